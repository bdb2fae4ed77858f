//! Answers that wait: a search says within which time it takes them, so that not everybody answers at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;

use super::message::Target;
use super::socket::Local;

/// Answers that wait. Full: whoever asks now is not answered, and asks again as everybody does.
const ANSWERS_MAX: usize = 256;

/// An answer to one search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DueAnswer {
    pub(super) to: SocketAddr,
    pub(super) from: Local,
    pub(super) targets: Vec<Target>,
}

/// The answers, by when they are due.
pub(super) struct DueAnswers {
    waiting: BTreeMap<(Instant, u64), DueAnswer>,
    count: u64,
    /// What delays are drawn from.
    random: u64,
}

impl DueAnswers {
    /// None. Two devices with different seeds do not answer at the same time.
    pub(super) const fn new(seed: u64) -> Self {
        Self { waiting: BTreeMap::new(), count: 0, random: seed }
    }

    /// One more, at some time within `patience`. False when there is no room for it.
    pub(super) fn add(&mut self, now: Instant, patience: Duration, answer: DueAnswer) -> bool {
        if self.waiting.len() >= ANSWERS_MAX {
            return false;
        }
        let delay = self.draw(patience);
        self.count += 1;
        self.waiting.insert((now + delay, self.count), answer);
        true
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// One that is due by now.
    pub(super) fn take(&mut self, now: Instant) -> Option<DueAnswer> {
        let first = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// A time between zero and the longest (splitmix64).
    fn draw(&mut self, longest: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(mixed % nanos.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(port: u16) -> DueAnswer {
        let address = [192, 168, 1, 9];
        DueAnswer {
            to: SocketAddr::from((address, port)),
            from: Local { address: address.into(), interface: 0 },
            targets: vec![Target::Device],
        }
    }

    #[test]
    fn answers_come_in_the_time_that_is_given_and_not_all_at_once() {
        let mut due = DueAnswers::new(5);
        let patience = Duration::from_secs(3);
        for port in 1..=100 {
            assert!(due.add(Instant::START, patience, answer(port)));
        }
        assert_eq!(due.take(Instant::START), None);
        let mut per_second = [0; 3];
        for (until, count) in [1000, 2000, 3000].into_iter().zip(&mut per_second) {
            *count = std::iter::from_fn(|| due.take(Instant::from_millis(until))).count();
        }
        assert_eq!(per_second.iter().sum::<usize>(), 100);
        assert!(per_second.iter().all(|count| (15..60).contains(count)), "{per_second:?}");
        assert_eq!(due.next(), None);
    }

    #[test]
    fn without_patience_an_answer_is_due_at_once_and_in_order() {
        let mut due = DueAnswers::new(5);
        for port in 1..=3 {
            assert!(due.add(Instant::START, Duration::ZERO, answer(port)));
        }
        assert_eq!(due.next(), Some(Instant::START));
        let order: Vec<_> =
            std::iter::from_fn(|| due.take(Instant::START)).map(|one| one.to.port()).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let mut due = DueAnswers::new(5);
        let taken = (0..1000).filter(|port| due.add(Instant::START, Duration::from_secs(5), answer(*port)));
        assert_eq!(taken.count(), ANSWERS_MAX);
    }

    #[test]
    fn devices_with_different_seeds_answer_at_different_times() {
        let first = |seed| {
            let mut due = DueAnswers::new(seed);
            due.add(Instant::START, Duration::from_secs(3), answer(1));
            due.next()
        };
        assert_ne!(first(1), first(2));
    }
}
