//! Which names are being looked up, who waits for them, and what was found last. No threads, no clock.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;

use super::outbox::Asker;

/// Lookups at the same time. Names that nobody answers for hold a thread for half a minute each.
pub(super) const LOOKUPS_MAX: usize = 64;
/// Askers that wait for an answer. Full: the next one is told so at once.
const ASKERS_MAX: usize = 256;
/// Addresses of one answer; the rest is cut.
pub(super) const ADDRESSES_MAX: usize = 16;
/// Names whose last good answer is kept. When full, the oldest answer goes.
const KNOWN_MAX: usize = 1024;
/// An answer serves for so long without asking again.
const FRESH: Duration = Duration::from_secs(10);
/// So long an asker waits when there is an older answer that may serve as well.
const PATIENCE_KNOWN: Duration = Duration::from_secs(1);
/// So long an asker waits for a name of which nothing is known.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host and a port.
pub(super) type Name = (String, u16);
/// What a lookup has found.
pub(super) type Found = Result<Vec<SocketAddr>, String>;
/// What an asker is told.
pub(super) type Answer = Result<Vec<SocketAddr>, String>;

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is answered.
    Known(Answer),
    /// It will be, by `due` at the latest. A lookup is to be started, perhaps.
    Pending { start: Option<Name>, due: Instant },
}

struct Known {
    addresses: Vec<SocketAddr>,
    at: Instant,
}

/// Names and those who ask for them.
#[derive(Default)]
pub(super) struct Names {
    known: BTreeMap<Name, Known>,
    /// Names that are looked up or wait for that, and who waits until when.
    open: BTreeMap<Name, Vec<(Asker, Instant)>>,
    /// Names for which no lookup runs yet.
    waiting: VecDeque<Name>,
    running: usize,
}

impl Names {
    /// Somebody asks for a name.
    pub(super) fn ask(&mut self, now: Instant, name: Name, asker: Asker) -> Asked {
        let known = self.known.get(&name);
        if let Some(known) = known.filter(|known| now - known.at < FRESH) {
            return Asked::Known(Ok(known.addresses.clone()));
        }
        if self.open.values().map(Vec::len).sum::<usize>() >= ASKERS_MAX {
            return Asked::Known(Err(told(&name, "too many names wait to be looked up")));
        }
        let due = now + if known.is_some() { PATIENCE_KNOWN } else { PATIENCE };
        let is_new = !self.open.contains_key(&name);
        self.open.entry(name.clone()).or_default().push((asker, due));
        let start = match (is_new, self.running < LOOKUPS_MAX) {
            (true, true) => {
                self.running += 1;
                Some(name)
            }
            (true, false) => {
                self.waiting.push_back(name);
                None
            }
            (false, _) => None,
        };
        Asked::Pending { start, due }
    }

    /// Time has passed: those who have waited for as long as they may get what was found last, or nothing.
    pub(super) fn overdue(&mut self, now: Instant, name: &Name) -> Vec<(Asker, Answer)> {
        let Some(askers) = self.open.get_mut(name) else { return Vec::new() };
        let (over, waiting): (Vec<_>, Vec<_>) = askers.drain(..).partition(|(_, due)| *due <= now);
        *askers = waiting;
        let answer = match self.known.get(name) {
            Some(known) => Ok(known.addresses.clone()),
            None => Err(told(name, &format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        over.into_iter().map(|(asker, _)| (asker, answer.clone())).collect()
    }

    /// A lookup has ended. Gives who is told what, and the name to look up next.
    pub(super) fn found(
        &mut self,
        now: Instant,
        name: &Name,
        found: Found,
    ) -> (Vec<(Asker, Answer)>, Option<Name>) {
        self.running -= 1;
        let answer = match found {
            Ok(addresses) => {
                self.known.insert(name.clone(), Known { addresses: addresses.clone(), at: now });
                self.bound_known();
                Ok(addresses)
            }
            // A name server that has a bad hour does not end a channel.
            Err(text) => match self.known.get(name) {
                Some(known) => Ok(known.addresses.clone()),
                None => Err(told(name, &text)),
            },
        };
        let askers = self.open.remove(name).unwrap_or_default();
        let mut next = None;
        while let Some(name) = self.waiting.pop_front() {
            // Nobody waits for it any more.
            if self.open.get(&name).is_none_or(Vec::is_empty) {
                self.open.remove(&name);
                continue;
            }
            self.running += 1;
            next = Some(name);
            break;
        }
        (askers.into_iter().map(|(asker, _)| (asker, answer.clone())).collect(), next)
    }

    fn bound_known(&mut self) {
        if self.known.len() > KNOWN_MAX
            && let Some(oldest) =
                self.known.iter().min_by_key(|(_, known)| known.at).map(|(name, _)| name.clone())
        {
            self.known.remove(&oldest);
        }
    }
}

fn told((host, _port): &Name, text: &str) -> String {
    format!("name look-up of {host}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CoreId, Ticket};

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn name(host: &str) -> Name {
        (host.to_owned(), 80)
    }

    fn asker(ticket: u64) -> Asker {
        (CoreId(0), Ticket(ticket))
    }

    fn addresses(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([10, 0, 0, last], 80))]
    }

    /// Asks for a name that is looked up at once.
    fn start(names: &mut Names, ms: u64, host: &str, ticket: u64) -> Instant {
        let asked = names.ask(at(ms), name(host), asker(ticket));
        let Asked::Pending { start: Some(started), due } = asked else { panic!("{asked:?}") };
        assert_eq!(started, name(host));
        due
    }

    #[test]
    fn whoever_asks_for_the_same_name_shares_one_lookup_and_its_answer_serves_for_a_while() {
        let mut names = Names::default();
        start(&mut names, 0, "a", 1);
        assert!(matches!(names.ask(at(1), name("a"), asker(2)), Asked::Pending { start: None, .. }));
        let (answers, next) = names.found(at(5), &name("a"), Ok(addresses(1)));
        assert_eq!(answers, [(asker(1), Ok(addresses(1))), (asker(2), Ok(addresses(1)))]);
        assert_eq!(next, None);
        assert_eq!(names.ask(at(5000), name("a"), asker(3)), Asked::Known(Ok(addresses(1))));
        start(&mut names, 20_000, "a", 4);
    }

    #[test]
    fn a_name_that_nobody_answers_for_is_told_so_in_time_and_may_be_asked_for_again() {
        let mut names = Names::default();
        let due = start(&mut names, 0, "dead", 1);
        assert_eq!(due, at(5000));
        assert!(names.overdue(at(4999), &name("dead")).is_empty());
        let answers = names.overdue(due, &name("dead"));
        assert_eq!(answers, [(asker(1), Err("name look-up of dead: no answer within 5 s".to_owned()))]);
        // Its lookup goes on, and serves the next one.
        assert!(matches!(names.ask(at(6000), name("dead"), asker(2)), Asked::Pending { start: None, .. }));
        let (answers, _) = names.found(at(6500), &name("dead"), Err("Name or service not known".to_owned()));
        assert_eq!(answers, [(asker(2), Err("name look-up of dead: Name or service not known".to_owned()))]);
    }

    #[test]
    fn the_last_good_answer_serves_when_the_name_server_fails_or_is_late() {
        let mut names = Names::default();
        start(&mut names, 0, "a", 1);
        names.found(at(5), &name("a"), Ok(addresses(1)));
        let due = start(&mut names, 60_000, "a", 2);
        assert_eq!(due, at(61_000));
        assert_eq!(names.overdue(due, &name("a")), [(asker(2), Ok(addresses(1)))]);
        assert_eq!(names.found(at(90_000), &name("a"), Err("timed out".to_owned())), (vec![], None));
        start(&mut names, 91_000, "a", 3);
        let (answers, _) = names.found(at(91_100), &name("a"), Err("refused".to_owned()));
        assert_eq!(answers, [(asker(3), Ok(addresses(1)))]);
    }

    #[test]
    fn many_hanging_names_do_not_hold_up_others_and_all_is_bounded() {
        let mut names = Names::default();
        for number in 0..LOOKUPS_MAX {
            start(&mut names, 0, &format!("dead{number}"), number as u64);
        }
        assert!(matches!(names.ask(at(0), name("late"), asker(900)), Asked::Pending { start: None, .. }));
        assert!(matches!(names.ask(at(0), name("gone"), asker(901)), Asked::Pending { start: None, .. }));
        assert_eq!(names.overdue(at(5000), &name("late")).len(), 1);
        let (_, next) = names.found(at(5001), &name("dead0"), Ok(addresses(1)));
        assert_eq!(next, Some(name("gone")), "nobody waits for the other one any more");
        for ticket in 0..2 * ASKERS_MAX {
            names.ask(at(5002), name("gone"), asker(ticket as u64));
        }
        let refused = names.ask(at(5002), name("more"), asker(0));
        assert_eq!(
            refused,
            Asked::Known(Err("name look-up of more: too many names wait to be looked up".to_owned()))
        );
        let mut names = Names::default();
        for number in 0..=KNOWN_MAX {
            let host = format!("h{number}");
            start(&mut names, number as u64, &host, 1);
            names.found(at(number as u64), &name(&host), Ok(addresses(1)));
        }
        assert_eq!((names.known.len(), names.known.contains_key(&name("h0"))), (KNOWN_MAX, false));
    }
}
