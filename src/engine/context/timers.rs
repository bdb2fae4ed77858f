//! Everything a core waits for, in one table.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use crate::base::Instant;

use super::token::ChannelRef;

/// What was due and could not be done is tried again after this.
const OVERDUE_PAUSE: Duration = Duration::from_millis(1);

/// Whose time has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// A channel's session, source or filler.
    Channel(ChannelRef),
    /// The source that the prober tries.
    ProbedSource,
    /// The connection that has taken longest to get somewhere.
    Connection,
    /// A listener that could not accept.
    Accept,
    /// The prober's next pass.
    Prober,
    /// A tuner that settles.
    Tuners,
    /// The viewers are looked at.
    Sweep,
    /// Sources' health is to be stored.
    Health,
    /// Writers that wait for what is lent.
    Writers,
    /// The end of a drain.
    Drain,
}

/// A core's timers.
///
/// An owner is asked for its next deadline whenever something has happened to it, for a channel that is with every read of its
/// source. So a deadline that moves away is not taken back: when the time comes its owner finds nothing to do and sets the
/// next. Of each owner there are never more than it has kinds of deadlines.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// What is set for each owner, the earliest last.
    armed: BTreeMap<Timer, Vec<Instant>>,
    /// Timers that are asked anew before each wait.
    asked: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sees to it that an owner is woken by its next deadline. What is overdue waits for something that only a turn can bring,
    /// a span that is lent for instance.
    pub(crate) fn arm(&mut self, now: Instant, timer: Timer, next: Option<Instant>) {
        let Some(next) = next else { return };
        let next = if next > now { next } else { now + OVERDUE_PAUSE };
        let armed = self.armed.entry(timer).or_default();
        if armed.last().is_none_or(|armed| next < *armed) {
            armed.push(next);
            self.heap.push(Reverse((next, timer)));
        }
    }

    /// The deadline of somebody who is asked before each wait.
    pub(crate) fn set(&mut self, timer: Timer, next: Option<Instant>) {
        match next {
            Some(next) => self.asked.insert(timer, next),
            None => self.asked.remove(&timer),
        };
    }

    /// An owner is gone.
    pub(crate) fn forget(&mut self, timer: Timer) {
        self.armed.remove(&timer);
    }

    /// An owner whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        let Reverse((at, timer)) = self.heap.pop()?;
        if let Some(armed) = self.armed.get_mut(&timer)
            && armed.last() == Some(&at)
        {
            armed.pop();
        }
        Some(timer)
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let set = self.heap.peek().map(|Reverse((at, _))| *at);
        self.asked.values().copied().chain(set).min()
    }

    /// How many are set for owners that are not asked.
    #[cfg(test)]
    pub(crate) fn armed(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::KeyBits;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn an_earlier_deadline_is_set_and_a_later_one_waits_until_its_owner_is_asked_again() {
        let (mut timers, owner) = (Timers::default(), Timer::Channel(ChannelRef(KeyBits::first_of(1))));
        timers.arm(at(0), owner, Some(at(50)));
        timers.arm(at(0), owner, Some(at(90)));
        timers.arm(at(0), owner, Some(at(20)));
        timers.set(Timer::Sweep, Some(at(30)));
        assert_eq!((timers.next(), timers.armed()), (Some(at(20)), 2));
        assert_eq!(timers.pop_due(at(19)), None);
        assert_eq!(timers.pop_due(at(20)), Some(owner));
        assert_eq!(timers.next(), Some(at(30)));
        timers.set(Timer::Sweep, None);
        timers.arm(at(20), owner, Some(at(90)));
        assert_eq!((timers.pop_due(at(60)), timers.pop_due(at(60))), (Some(owner), None));
    }

    #[test]
    fn what_is_overdue_comes_a_little_later() {
        let mut timers = Timers::default();
        timers.arm(at(10), Timer::ProbedSource, Some(at(3)));
        assert_eq!(timers.next(), Some(at(11)));
    }
}
