//! Names are looked up on threads of their own: the system's resolver blocks, for half a minute when no
//! server answers, and a name that cannot be found must not delay the others.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::engine::{CoreId, Ticket};

/// Lookups at the same time.
const THREADS: usize = 4;
/// Lookups that wait for a thread. Full: the asker is told so at once.
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
    questions: SyncSender<Question>,
}

impl Resolver {
    /// Starts the threads. Answers come out of the receiver.
    pub(super) fn start() -> Result<(Self, mpsc::Receiver<Answer>), std::io::Error> {
        let (questions, waiting) = sync_channel(QUEUE_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let (answers, receiver) = mpsc::channel(QUEUE_MAX);
        for _ in 0..THREADS {
            let (waiting, answers) = (Arc::clone(&waiting), answers.clone());
            std::thread::Builder::new()
                .name("resolver".to_owned())
                .spawn(move || serve(&waiting, &answers))?;
        }
        Ok((Self { questions }, receiver))
    }

    /// Asks. Gives the answer at once when the queue is full.
    pub(super) fn ask(&self, question: Question) -> Result<(), Answer> {
        self.questions.try_send(question).map_err(|error| {
            let (TrySendError::Full(question) | TrySendError::Disconnected(question)) = error;
            Answer {
                core: question.core,
                ticket: question.ticket,
                result: Err(format!("look up {}: too many names wait to be looked up", question.host)),
            }
        })
    }
}

fn serve(waiting: &Mutex<Receiver<Question>>, answers: &mpsc::Sender<Answer>) {
    loop {
        // Nothing panics while the lock is held; a poisoned lock still guards a whole receiver.
        let question = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Question { core, ticket, host, port }) = question else { return };
        let answer = Answer { core, ticket, result: look_up(&host, port) };
        if answers.blocking_send(answer).is_err() {
            return;
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

    #[test]
    fn a_full_queue_answers_at_once() {
        let (questions, _nobody_takes) = sync_channel(0);
        let resolver = Resolver { questions };
        let question = Question { core: CoreId(0), ticket: Ticket(1), host: "a".to_owned(), port: 1 };
        let answer = resolver.ask(question).unwrap_err();
        assert_eq!(answer.result.unwrap_err(), "look up a: too many names wait to be looked up");
    }
}
