//! Names are looked up on threads of their own: the system's resolver blocks, for half a minute when no
//! server answers, and a name that cannot be found must not delay the others.

use std::cell::RefCell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::base::Clock;
use crate::engine::{CoreCommand, CoreId, Ticket};

use super::names::{ADDRESSES_MAX, Answer, Asked, Found, LOOKUPS_MAX, Name, Names};
use super::outbox::{Asker, Outbox};

/// A question of a core.
pub(super) struct Question {
    pub(super) core: CoreId,
    pub(super) ticket: Ticket,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Who looks names up. Threads end with their lookup.
pub(super) struct Resolver {
    names: RefCell<Names>,
    clock: Clock,
    outbox: Rc<Outbox>,
    results: mpsc::Sender<(Name, Found)>,
}

impl Resolver {
    pub(super) fn start(clock: Clock, outbox: Rc<Outbox>) -> Rc<Self> {
        let (results, mut finished) = mpsc::channel(LOOKUPS_MAX);
        let resolver = Rc::new(Self { names: RefCell::default(), clock, outbox, results });
        let of_task = Rc::downgrade(&resolver);
        tokio_uring::spawn(async move {
            while let Some((name, found)) = finished.recv().await {
                let Some(resolver) = of_task.upgrade() else { return };
                resolver.finished(&name, found);
            }
        });
        resolver
    }

    /// Asks. The answer goes to the core that has asked, sooner or later.
    pub(super) fn ask(self: &Rc<Self>, Question { core, ticket, host, port }: Question) {
        let name = (host, port);
        let asked = self.names.borrow_mut().ask(self.clock.now(), name.clone(), (core, ticket));
        match asked {
            Asked::Known(answer) => self.tell((core, ticket), answer),
            Asked::Pending { start, due } => {
                let wait = due - self.clock.now();
                let resolver = Rc::clone(self);
                tokio_uring::spawn(async move {
                    sleep(wait).await;
                    let answers = resolver.names.borrow_mut().overdue(resolver.clock.now(), &name);
                    resolver.tell_all(answers);
                });
                if let Some(name) = start {
                    self.begin(name);
                }
            }
        }
    }

    /// Looks a name up on a thread.
    fn begin(&self, name: Name) {
        let (of_thread, results) = (name.clone(), self.results.clone());
        let started = std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let found = look_up(&of_thread.0, of_thread.1);
            // Nobody hears it when the program ends.
            let _unheard = results.blocking_send((of_thread, found));
        });
        if let Err(error) = started {
            // Through the queue, so that one failure after the other does not go deeper and deeper. It has room for all.
            let _full = self.results.try_send((name, Err(format!("no thread could be started: {error}"))));
        }
    }

    fn finished(&self, name: &Name, found: Found) {
        let (answers, start) = self.names.borrow_mut().found(self.clock.now(), name, found);
        self.tell_all(answers);
        if let Some(name) = start {
            self.begin(name);
        }
    }

    fn tell_all(&self, answers: Vec<(Asker, Answer)>) {
        for (asker, answer) in answers {
            self.tell(asker, answer);
        }
    }

    fn tell(&self, (core, ticket): Asker, result: Answer) {
        self.outbox.send(core, CoreCommand::Resolved { ticket, result });
    }
}

/// Addresses in the system's order of preference, each once.
fn look_up(host: &str, port: u16) -> Found {
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = (name, port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("it has no addresses".to_owned()) } else { Ok(addresses) }
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
    fn a_name_that_cannot_exist_is_answered_with_the_reason() {
        let text = look_up("a..b", 80).unwrap_err();
        assert!(!text.contains("failed to lookup"), "{text}");
    }
}
