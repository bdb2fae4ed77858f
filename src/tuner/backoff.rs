//! A channel that cannot be tuned is refused for a while, so that clients that ask again and again do not wear its
//! provider out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::Instant;
use crate::lineup::ChannelId;

/// Channels remembered. When full, those that are not refused go first, the one touched longest ago before others.
const CHANNELS_MAX: usize = 256;

/// The channel is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("channel failed {limit} tunes within {interval:?} and is refused for another {retry_after:?}")]
pub struct Rejected {
    /// For so long.
    pub retry_after: Duration,
    /// Until then.
    pub until: Instant,
    /// Failures since it was refused, within the interval.
    pub failures: usize,
    /// Failures after which it is refused
    pub limit: u32,
    /// when they come within this time.
    pub interval: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Oldest first, fewer than the limit.
    failures: VecDeque<Instant>,
    until: Instant,
    touched: Instant,
}

impl Entry {
    fn is_refused(&self, now: Instant) -> bool {
        self.until > now
    }
}

/// Counts failed tunes per channel.
#[derive(Clone, Debug)]
pub struct Backoff {
    limit: u32,
    interval: Duration,
    cooldown: Duration,
    channels_max: usize,
    channels: BTreeMap<i64, Entry>,
}

impl Backoff {
    /// Refuses a channel for `cooldown` after `limit` failures within `interval`. When any of them is zero, never.
    #[must_use]
    pub const fn new(limit: u32, interval: Duration, cooldown: Duration) -> Self {
        Self { limit, interval, cooldown, channels_max: CHANNELS_MAX, channels: BTreeMap::new() }
    }

    const fn is_off(&self) -> bool {
        self.limit == 0 || self.interval.is_zero() || self.cooldown.is_zero()
    }

    /// Whether the channel may be tuned. Asking leaves nothing behind.
    ///
    /// # Errors
    /// When it is refused.
    pub fn allow(&mut self, now: Instant, channel: ChannelId) -> Result<(), Rejected> {
        self.trim(now);
        let Some(entry) = self.channels.get_mut(&key(channel)) else { return Ok(()) };
        entry.touched = now;
        if !entry.is_refused(now) {
            return Ok(());
        }
        Err(Rejected {
            retry_after: entry.until - now,
            until: entry.until,
            failures: entry.failures.len(),
            limit: self.limit,
            interval: self.interval,
        })
    }

    /// A tune of the channel has failed.
    pub fn record_failure(&mut self, now: Instant, channel: ChannelId) {
        if self.is_off() {
            return;
        }
        self.trim(now);
        let entry = self.channels.entry(key(channel)).or_insert_with(|| Entry {
            failures: VecDeque::new(),
            until: Instant::START,
            touched: now,
        });
        entry.touched = now;
        entry.failures.push_back(now);
        if entry.failures.len() >= self.limit as usize {
            entry.until = now + self.cooldown;
            entry.failures.clear();
        }
        while self.channels.len() > self.channels_max {
            let others = self.channels.iter().filter(|(id, _)| **id != key(channel));
            let least = others.min_by_key(|(id, entry)| (entry.is_refused(now), entry.touched, **id));
            let Some(least) = least.map(|(id, _)| *id) else { return };
            self.channels.remove(&least);
        }
    }

    /// A tune of the channel has succeeded: whatever was wrong with it is over.
    pub fn record_success(&mut self, now: Instant, channel: ChannelId) {
        self.channels.remove(&key(channel));
        self.trim(now);
    }

    fn trim(&mut self, now: Instant) {
        let interval = self.interval;
        self.channels.retain(|_, entry| {
            while entry.failures.front().is_some_and(|at| now - *at > interval) {
                entry.failures.pop_front();
            }
            !entry.failures.is_empty() || entry.is_refused(now)
        });
    }
}

/// Channels without a row share one.
const fn key(channel: ChannelId) -> i64 {
    if channel.0 > 0 { channel.0 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    const A: ChannelId = ChannelId(1);
    const B: ChannelId = ChannelId(2);

    #[test]
    fn a_failed_channel_is_refused_for_the_cooldown_and_others_are_not() {
        let mut backoff = Backoff::new(1, MS(60_000), MS(2000));
        assert_eq!(backoff.allow(at(0), A), Ok(()));
        backoff.record_failure(at(0), A);
        let rejected = backoff.allow(at(0), A).unwrap_err();
        assert_eq!((rejected.retry_after, rejected.until, rejected.failures), (MS(2000), at(2000), 0));
        assert_eq!((rejected.limit, rejected.interval), (1, MS(60_000)));
        assert_eq!(backoff.allow(at(250), A).unwrap_err().retry_after, MS(1750));
        assert_eq!(backoff.allow(at(250), B), Ok(()));
    }

    #[test]
    fn a_success_between_failures_begins_the_count_anew() {
        let mut backoff = Backoff::new(2, MS(60_000), MS(2000));
        backoff.record_failure(at(0), A);
        backoff.record_success(at(1), A);
        backoff.record_failure(at(2), A);
        assert_eq!(backoff.allow(at(3), A), Ok(()));
        backoff.record_failure(at(4), A);
        assert!(backoff.allow(at(5), A).is_err(), "two in a row");
    }

    #[test]
    fn what_is_over_is_forgotten_when_anybody_asks() {
        let mut backoff = Backoff::new(1, MS(1000), MS(1000));
        for id in 1..=3 {
            backoff.record_failure(at(0), ChannelId(id));
        }
        assert_eq!(backoff.channels.len(), 3);
        assert_eq!(backoff.allow(at(3000), ChannelId(4)), Ok(()));
        assert!(backoff.channels.is_empty());
    }

    #[test]
    fn of_too_many_channels_the_most_recent_are_remembered() {
        let mut backoff = Backoff { channels_max: 4, ..Backoff::new(100, MS(60_000), MS(2000)) };
        for id in 1_i64..=12 {
            backoff.record_failure(at(id.unsigned_abs()), ChannelId(id));
        }
        assert_eq!(backoff.channels.keys().copied().collect::<Vec<_>>(), [9, 10, 11, 12]);
    }

    #[test]
    fn without_a_limit_an_interval_or_a_cooldown_everything_is_allowed() {
        for (limit, interval, cooldown) in [(0, 1000, 1000), (1, 0, 1000), (1, 1000, 0)] {
            let mut backoff = Backoff::new(limit, MS(interval), MS(cooldown));
            backoff.record_failure(at(0), A);
            backoff.record_failure(at(0), A);
            assert_eq!(backoff.allow(at(0), A), Ok(()));
            assert!(backoff.channels.is_empty());
        }
    }

    #[test]
    fn a_failure_counts_for_exactly_the_interval() {
        for (later_ns, refused) in [(1_000_000_000, true), (1_000_000_001, false)] {
            let mut backoff = Backoff::new(2, MS(1000), MS(2000));
            backoff.record_failure(Instant::from_nanos(5), A);
            let later = Instant::from_nanos(5 + later_ns);
            backoff.record_failure(later, A);
            assert_eq!(backoff.allow(later, A).is_err(), refused, "{later_ns}");
        }
    }

    #[test]
    fn a_refused_channel_is_forgotten_only_after_all_others() {
        let mut backoff = Backoff { channels_max: 2, ..Backoff::new(2, MS(60_000), MS(2000)) };
        backoff.record_failure(at(0), A);
        backoff.record_failure(at(0), A);
        backoff.record_failure(at(1), B);
        backoff.record_failure(at(2), ChannelId(3));
        assert!(backoff.allow(at(2), A).is_err());
        assert_eq!(backoff.channels.keys().copied().collect::<Vec<_>>(), [1, 3]);
        backoff.record_failure(at(3), ChannelId(3));
        backoff.record_failure(at(4), ChannelId(4));
        assert_eq!(
            backoff.channels.keys().copied().collect::<Vec<_>>(),
            [3, 4],
            "now all others are refused"
        );
    }

    #[test]
    fn a_cooldown_ends_at_its_end_exactly() {
        let mut backoff = Backoff::new(1, MS(60_000), MS(2000));
        backoff.record_failure(at(0), A);
        assert!(backoff.allow(Instant::from_nanos(1_999_999_999), A).is_err());
        assert_eq!(backoff.allow(at(2000), A), Ok(()));
    }

    #[test]
    fn failures_of_tunes_let_in_before_count_towards_the_next_refusal() {
        let mut backoff = Backoff::new(2, MS(60_000), MS(2000));
        for ms in [0, 0, 500] {
            backoff.record_failure(at(ms), A);
        }
        let rejected = backoff.allow(at(600), A).unwrap_err();
        assert_eq!((rejected.failures, rejected.retry_after), (1, MS(1400)));
        backoff.record_failure(at(1000), A);
        assert_eq!(backoff.allow(at(1000), A).unwrap_err().retry_after, MS(2000));
    }

    #[test]
    fn a_success_lifts_the_cooldown() {
        let mut backoff = Backoff::new(1, MS(60_000), MS(2000));
        backoff.record_failure(at(0), A);
        backoff.record_success(at(100), A);
        assert_eq!(backoff.allow(at(100), A), Ok(()));
    }

    #[test]
    fn channels_without_a_row_share_one() {
        let mut backoff = Backoff::new(1, MS(60_000), MS(2000));
        backoff.record_failure(at(0), ChannelId(0));
        assert!(backoff.allow(at(0), ChannelId(-3)).is_err());
    }
}
