//! How often one sender is answered, and all of them together. Senders of datagrams can be made up: whoever is not asked
//! after must not be made to send to others what we answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::Instant;

/// Senders that are remembered. Full: the one that may be answered soonest is forgotten.
const SENDERS_MAX: usize = 512;

/// So many at once, and then one in each interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) interval: Duration,
}

/// Says who is answered.
pub(super) struct Limiter {
    each: Rate,
    all: Rate,
    /// When a sender has used up nothing again.
    rested_at: BTreeMap<IpAddr, Instant>,
    all_rested_at: Instant,
}

impl Limiter {
    pub(super) const fn new(each: Rate, all: Rate) -> Self {
        Self { each, all, rested_at: BTreeMap::new(), all_rested_at: Instant::START }
    }

    /// Whether a sender is answered now.
    pub(super) fn admits(&mut self, now: Instant, sender: IpAddr) -> bool {
        let own = self.rested_at.get(&sender).copied().unwrap_or(now);
        let (Some(own), Some(all)) = (after(self.each, now, own), after(self.all, now, self.all_rested_at))
        else {
            return false;
        };
        self.all_rested_at = all;
        if !self.rested_at.contains_key(&sender) && self.rested_at.len() >= SENDERS_MAX {
            let soonest = self.rested_at.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address);
            soonest.map(|address| self.rested_at.remove(&address));
        }
        self.rested_at.insert(sender, own);
        true
    }
}

/// When all is used up no more after one answer now; `None` when there is none left.
fn after(rate: Rate, now: Instant, rested_at: Instant) -> Option<Instant> {
    let rested_at = rested_at.max(now) + rate.interval;
    (rested_at - now <= rate.interval * rate.burst).then_some(rested_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter {
        Limiter::new(
            Rate { burst: 3, interval: Duration::from_millis(100) },
            Rate { burst: 1000, interval: Duration::from_millis(1) },
        )
    }

    fn sender(number: u32) -> IpAddr {
        IpAddr::from((0x0A00_0000 + number).to_be_bytes())
    }

    #[test]
    fn a_sender_is_answered_so_often_at_once_and_then_at_the_rate() {
        let mut limiter = limiter();
        let mut admitted = |millis| limiter.admits(Instant::from_millis(millis), sender(1));
        let found: Vec<_> = [0, 0, 0, 0, 99, 100, 101, 200, 1000, 1000, 1000, 1000].map(&mut admitted).into();
        assert_eq!(
            found,
            [true, true, true, false, false, true, false, true, true, true, true, false],
            "a burst of three, then one in a tenth of a second"
        );
    }

    #[test]
    fn senders_do_not_use_up_what_others_have_but_all_together_have_a_bound() {
        let mut limiter = limiter();
        let now = Instant::from_millis(5);
        let admitted = (0..2000).filter(|number| limiter.admits(now, sender(*number))).count();
        assert_eq!(admitted, 1000);
        assert!(!limiter.admits(now, sender(5000)));
        assert!(limiter.admits(now + Duration::from_millis(1), sender(5000)));
    }

    #[test]
    fn so_many_senders_are_remembered_and_those_with_the_most_to_wait_longest() {
        let mut limiter = limiter();
        let now = Instant::from_millis(5);
        for _ in 0..3 {
            assert!(limiter.admits(now, sender(0)));
        }
        for number in 1..800 {
            assert!(limiter.admits(now, sender(number)));
        }
        assert_eq!(limiter.rested_at.len(), SENDERS_MAX);
        assert!(!limiter.admits(now, sender(0)), "whoever has asked the most is not forgotten for others");
    }
}
