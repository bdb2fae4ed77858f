//! How long datagrams may gather in their socket before they are received.
//!
//! Fifty channels that receive each datagram by itself would wake their core forty thousand times a second; and a queue that the
//! system keeps small (`net.core.rmem_max`) overflows when it is left alone for long. So the time follows the rate.

use std::time::Duration;

use crate::base::limits::DATAGRAMS_PER_READ_MAX;

/// The longest time. Until something has come nobody waits.
const REST_MAX: Duration = Duration::from_millis(50);
const REST_MIN: Duration = Duration::from_millis(3);
/// When so many come at once they are received more often: with all that the kernel needs for one it may be 220 KB, half of what
/// a queue holds where nothing was configured.
const MANY: u32 = 48;
const FEW: u32 = 16;
const _: () = assert!(MANY < DATAGRAMS_PER_READ_MAX as u32 && 2 * FEW < MANY);

/// The rests between batches of datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batches {
    rest: Duration,
    /// The last batch was as large as one may be: there is more.
    is_full: bool,
}

impl Default for Batches {
    fn default() -> Self {
        Self { rest: REST_MAX, is_full: false }
    }
}

impl Batches {
    /// So many have come at once.
    pub fn came(&mut self, count: u32) {
        self.is_full = count >= u32::from(DATAGRAMS_PER_READ_MAX);
        if count > MANY {
            self.rest = (self.rest / 2).max(REST_MIN);
        } else if count < FEW {
            self.rest = (self.rest * 2).min(REST_MAX);
        }
    }

    /// How long the next ones may gather, if they may; `longest` is the most that viewers let it be.
    #[must_use]
    pub fn rest(&self, longest: Duration) -> Option<Duration> {
        (!self.is_full).then(|| self.rest.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest on which a steady rate settles, and the most datagrams that came at once from then on.
    fn settled(per_second: u32) -> (Duration, u32) {
        let mut batches = Batches::default();
        let (mut waiting, mut most) = (0.0, 0);
        for round in 0..200 {
            let rest = batches.rest(Duration::from_secs(1)).unwrap_or_default();
            waiting += f64::from(per_second) * (rest.as_secs_f64() + 0.000_1);
            let count = (1..=u32::from(DATAGRAMS_PER_READ_MAX))
                .rev()
                .find(|count| f64::from(*count) <= waiting)
                .unwrap_or(0);
            waiting -= f64::from(count);
            batches.came(count);
            if round > 100 {
                most = most.max(count);
            }
        }
        assert!(waiting < 64.0, "{per_second} datagrams a second are received as fast as they come");
        (batches.rest, most)
    }

    #[test]
    fn datagrams_gather_for_as_long_as_few_come() {
        for (name, per_second, rest_ms, most_max) in [
            ("radio", 20, 50, 2),
            ("4 Mbit/s", 380, 50, 20),
            ("8 Mbit/s", 760, 50, 39),
            ("20 Mbit/s", 1_900, 25, 48),
            ("50 Mbit/s", 4_750, 6, 48),
            ("80 Mbit/s", 7_600, 6, 48),
        ] {
            let (rest, most) = settled(per_second);
            assert_eq!((rest.as_millis(), most <= most_max), (rest_ms, true), "{name}: {most}");
        }
    }

    #[test]
    fn a_full_batch_is_followed_at_once() {
        let mut batches = Batches::default();
        batches.came(u32::from(DATAGRAMS_PER_READ_MAX));
        assert_eq!(batches.rest(REST_MAX), None);
        batches.came(1);
        assert_eq!(batches.rest(REST_MAX), Some(REST_MAX));
        assert_eq!(batches.rest(Duration::from_millis(10)), Some(Duration::from_millis(10)));
    }
}
