//! Names are looked up on threads of their own: the system's resolver blocks, for half a minute when no
//! server answers, and a name that cannot be found must not delay the others.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::engine::{CoreId, Ticket};

/// Lookups at the same time.
const THREADS: usize = 4;
/// Askers that wait for an answer. Full: the next one is told so at once.
const QUEUE_MAX: usize = 256;
/// Addresses of one answer; the rest is cut.
const ADDRESSES_MAX: usize = 16;

/// A question of a core.
pub(super) struct Question {
    pub(super) core: CoreId,
    pub(super) ticket: Ticket,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What came of it.
pub(super) struct Answer {
    pub(super) core: CoreId,
    pub(super) ticket: Ticket,
    pub(super) result: Result<Vec<SocketAddr>, String>,
}

/// The way to the resolver's threads. They end when it is dropped, each after its present lookup.
pub(super) struct Resolver {
    desk: Arc<Desk>,
}

/// A host and a port.
type Name = (String, u16);

/// What askers and threads share.
#[derive(Default)]
struct Desk {
    open: Mutex<Open>,
    /// A name waits, or the end has come.
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    /// Names no thread has taken yet, each once.
    waiting: VecDeque<Name>,
    /// Who wants to know, until the answer is there: whoever asks meanwhile gets the same.
    askers: BTreeMap<Name, Vec<(CoreId, Ticket)>>,
    is_over: bool,
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while the lock is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next name to look up; `None` at the end.
    fn next(&self) -> Option<Name> {
        let mut open = self.open();
        loop {
            if open.is_over {
                return None;
            }
            if let Some(name) = open.waiting.pop_front() {
                return Some(name);
            }
            open = self.changed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Those who asked for a name, from now on served.
    fn askers(&self, name: &Name) -> Vec<(CoreId, Ticket)> {
        self.open().askers.remove(name).unwrap_or_default()
    }
}

impl Resolver {
    /// Starts the threads. Answers come out of the receiver.
    pub(super) fn start() -> Result<(Self, mpsc::Receiver<Answer>), std::io::Error> {
        // Made first: when a thread cannot be started, its drop ends those that were.
        let resolver = Self { desk: Arc::default() };
        let (answers, receiver) = mpsc::channel(QUEUE_MAX);
        for _ in 0..THREADS {
            let (desk, answers) = (Arc::clone(&resolver.desk), answers.clone());
            std::thread::Builder::new().name("resolver".to_owned()).spawn(move || serve(&desk, &answers))?;
        }
        Ok((resolver, receiver))
    }

    /// Asks. Gives the answer at once when the queue is full.
    pub(super) fn ask(&self, Question { core, ticket, host, port }: Question) -> Result<(), Answer> {
        let mut open = self.desk.open();
        if open.askers.values().map(Vec::len).sum::<usize>() >= QUEUE_MAX {
            let text = format!("look up {host}: too many names wait to be looked up");
            return Err(Answer { core, ticket, result: Err(text) });
        }
        let name = (host, port);
        let askers = open.askers.entry(name.clone()).or_default();
        askers.push((core, ticket));
        if askers.len() == 1 {
            open.waiting.push_back(name);
            self.desk.changed.notify_one();
        }
        Ok(())
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.desk.open().is_over = true;
        self.desk.changed.notify_all();
    }
}

fn serve(desk: &Desk, answers: &mpsc::Sender<Answer>) {
    while let Some(name) = desk.next() {
        let result = look_up(&name.0, name.1);
        for (core, ticket) in desk.askers(&name) {
            if answers.blocking_send(Answer { core, ticket, result: result.clone() }).is_err() {
                return;
            }
        }
    }
}

/// Addresses in the system's order of preference, each once.
fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = (name, port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        format!("look up {host}: {text}")
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(format!("look up {host}: it has no addresses")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_addresses_are_answered_as_they_are() {
        for (host, address) in
            [("127.0.0.1", "127.0.0.1:8080"), ("::1", "[::1]:8080"), ("[::1]", "[::1]:8080")]
        {
            assert_eq!(look_up(host, 8080), Ok(vec![address.parse().unwrap()]));
        }
    }

    #[test]
    fn a_name_that_cannot_exist_is_answered_with_the_name_and_the_reason() {
        let text = look_up("a..b", 80).unwrap_err();
        assert!(text.starts_with("look up a..b: "), "{text}");
        assert!(!text.contains("failed to lookup"), "{text}");
    }

    #[test]
    fn an_answer_carries_the_askers_ticket() {
        let (resolver, mut answers) = Resolver::start().unwrap();
        let question = Question { core: CoreId(3), ticket: Ticket(9), host: "127.0.0.1".to_owned(), port: 1 };
        assert!(resolver.ask(question).is_ok());
        let answer = answers.blocking_recv().unwrap();
        assert_eq!((answer.core, answer.ticket), (CoreId(3), Ticket(9)));
        assert!(answer.result.is_ok());
    }

    fn ask(resolver: &Resolver, ticket: u64, host: &str) -> Result<(), Answer> {
        resolver.ask(Question { core: CoreId(0), ticket: Ticket(ticket), host: host.to_owned(), port: 1 })
    }

    #[test]
    fn a_full_queue_answers_at_once() {
        let resolver = Resolver { desk: Arc::default() };
        for ticket in 0..QUEUE_MAX {
            assert!(ask(&resolver, ticket.try_into().unwrap(), "a").is_ok());
        }
        let answer = ask(&resolver, 0, "a").unwrap_err();
        assert_eq!(answer.result.unwrap_err(), "look up a: too many names wait to be looked up");
    }

    #[test]
    fn whoever_asks_for_the_same_name_shares_one_lookup() {
        let resolver = Resolver { desk: Arc::default() };
        for (ticket, host) in [(1, "dead.example"), (2, "dead.example"), (3, "b"), (4, "dead.example")] {
            assert!(ask(&resolver, ticket, host).is_ok());
        }
        let desk = &resolver.desk;
        let dead = desk.next().unwrap();
        assert!(ask(&resolver, 5, "dead.example").is_ok(), "while it is being looked up");
        assert_eq!(desk.next().unwrap().0, "b");
        assert_eq!(desk.askers(&dead).len(), 4);
        assert!(desk.open().waiting.is_empty());
        assert!(ask(&resolver, 6, "dead.example").is_ok());
        assert_eq!(desk.next(), Some(dead), "what comes after the answer is looked up anew");
        drop(ask(&resolver, 7, "c"));
        let desk = Arc::clone(desk);
        drop(resolver);
        assert_eq!(desk.next(), None);
    }
}
