//! Sources of a session that have just disappointed it: passed over for seconds, forgotten after minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;

/// A disappointment this long after the last one is the first of a new row.
const ROW_ENDS_AFTER: Duration = Duration::from_secs(45);
/// A source that has not disappointed for so long is not held to anything.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 60);

/// What a source is held to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Penalty {
    /// It is passed over until then.
    pub(super) until: Instant,
    /// How often it has disappointed in a row.
    pub(super) count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Charged {
    penalty: Penalty,
    at: Instant,
}

/// The penalties of one session. At most one per source of its channel.
#[derive(Clone, Debug)]
pub(super) struct Penalties<K> {
    entries: BTreeMap<K, Charged>,
}

impl<K: Copy + Ord> Default for Penalties<K> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Penalties<K> {
    /// The source has disappointed once more.
    pub(super) fn record(&mut self, now: Instant, source: K) -> Penalty {
        self.entries.retain(|_, entry| now - entry.at <= FORGOTTEN_AFTER);
        let before = self.entries.get(&source).filter(|entry| now - entry.at <= ROW_ENDS_AFTER);
        let count = before.map_or(0, |entry| entry.penalty.count).saturating_add(1);
        let cooldown = Duration::from_secs(match count {
            0 | 1 => 1,
            2 => 2,
            3 => 4,
            4 => 8,
            _ => 12,
        });
        let penalty = Penalty { until: now + cooldown, count };
        self.entries.insert(source, Charged { penalty, at: now });
        penalty
    }

    /// What the source is held to, if anything.
    #[must_use]
    pub(super) fn of(&self, now: Instant, source: K) -> Option<Penalty> {
        let entry = self.entries.get(&source)?;
        (now - entry.at <= FORGOTTEN_AFTER).then_some(entry.penalty)
    }

    /// The source has proved itself.
    pub(super) fn clear(&mut self, source: K) {
        self.entries.remove(&source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn each_disappointment_in_a_row_lasts_longer_to_the_very_millisecond() {
        let mut penalties = Penalties::default();
        for (turn, seconds) in [1_u64, 2, 4, 8, 12, 12].into_iter().enumerate() {
            let now = 10_123 + 20_000 * turn as u64;
            let penalty = penalties.record(at(now), 7);
            assert_eq!(penalty.until, at(now + seconds * 1000));
            assert_eq!(penalty.count as usize, turn + 1);
        }
    }

    #[test]
    fn the_row_begins_anew_after_forty_five_seconds() {
        let mut penalties = Penalties::default();
        penalties.record(at(0), 7);
        assert_eq!(penalties.record(at(45_000), 7).count, 2);
        assert_eq!(penalties.record(at(90_001), 7).count, 1);
    }

    #[test]
    fn a_penalty_is_forgotten_after_two_minutes_and_cleared_at_once() {
        let mut penalties = Penalties::default();
        penalties.record(at(0), 7);
        penalties.record(at(0), 8);
        assert_eq!(penalties.of(at(120_000), 7).map(|penalty| penalty.count), Some(1));
        assert_eq!(penalties.of(at(120_001), 7), None);
        penalties.clear(8);
        assert_eq!(penalties.of(at(0), 8), None);
        assert_eq!(penalties.of(at(0), 9), None, "one that never disappointed");
    }
}
