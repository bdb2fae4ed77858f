//! What is known of one source.

use std::time::Duration;

use super::profile::StoredProfile;

/// What is known of one source. Times are seconds since 1970; 0 is never.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Health {
    /// When it last streamed well.
    pub last_ok_at: u64,
    /// When it last failed, since it last streamed well.
    pub last_fail_at: u64,
    /// Why it last failed; redacted.
    pub last_fail_reason: String,
    /// How often it has streamed well.
    pub success_count: u64,
    /// How often it has failed in a row.
    pub fail_count: u32,
    /// It is left alone until then.
    pub cooldown_until: u64,
}

/// What is to be stored of one source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthRow<S> {
    /// The source.
    pub source: S,
    /// Its whole health, unless it is stored already.
    pub health: Option<Health>,
    /// Its whole profile, unless it is stored already.
    pub profile: Option<StoredProfile>,
}

/// How long a source is left alone after this many failures in a row.
#[must_use]
pub const fn cooldown_after(fails: u32) -> Duration {
    Duration::from_secs(match fails {
        0 => 0,
        1 => 10,
        2 => 30,
        3 => 2 * 60,
        4 => 10 * 60,
        _ => 60 * 60,
    })
}

impl Health {
    /// True while it is left alone.
    #[must_use]
    pub const fn is_cooling(&self, now: u64) -> bool {
        self.cooldown_until > now
    }

    /// It has failed. False when that is older than its last success and therefore changes nothing.
    pub fn mark_failure(&mut self, reason: &str, at: u64) -> bool {
        if at > 0 && at < self.last_ok_at {
            return false;
        }
        self.fail_count = self.fail_count.saturating_add(1);
        self.last_fail_at = at;
        let reason = reason.trim();
        self.last_fail_reason =
            if reason.is_empty() { "startup failed".to_owned() } else { reason.to_owned() };
        self.cooldown_until = at.saturating_add(cooldown_after(self.fail_count).as_secs());
        true
    }

    /// The wall clock has been set back to `now`: nothing has happened later than that, and nothing is left alone
    /// for longer than its failures say. True when that changes anything.
    pub fn bring_back(&mut self, now: u64) -> bool {
        let is_ahead = self.is_ahead_of(now);
        self.last_ok_at = self.last_ok_at.min(now);
        self.last_fail_at = self.last_fail_at.min(now);
        self.cooldown_until = self.cooldown_until.min(self.cools_until(now));
        is_ahead
    }

    /// True when something in it cannot have been written by a clock that shows `now`: the clock was wrong.
    #[must_use]
    pub fn is_ahead_of(&self, now: u64) -> bool {
        self.last_ok_at > now || self.last_fail_at > now || self.cooldown_until > self.cools_until(now)
    }

    /// The longest that its failures let it cool.
    fn cools_until(&self, now: u64) -> u64 {
        now.saturating_add(cooldown_after(self.fail_count).as_secs())
    }

    /// It has streamed well. False when that is older than its last failure and therefore changes nothing.
    pub fn mark_success(&mut self, at: u64) -> bool {
        if at > 0 && at < self.last_fail_at {
            return false;
        }
        let success_count = self.success_count.saturating_add(1);
        *self = Self { last_ok_at: at, success_count, ..Self::default() };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_cools_longer() {
        let mut health = Health::default();
        for (fails, cooldown) in [(1, 10), (2, 30), (3, 120), (4, 600), (5, 3600), (6, 3600)] {
            assert!(health.mark_failure("refused", 1000));
            assert_eq!((health.fail_count, health.cooldown_until), (fails, 1000 + cooldown));
        }
        assert!(health.is_cooling(4599));
        assert!(!health.is_cooling(4600), "the cooldown ends at its end exactly");
    }

    #[test]
    fn a_success_clears_the_ladder_and_the_next_failure_begins_it_anew() {
        let mut health = Health { fail_count: 4, last_fail_at: 90, cooldown_until: 690, ..Health::default() };
        assert!(health.mark_success(100));
        assert_eq!(health, Health { last_ok_at: 100, success_count: 1, ..Health::default() });
        assert!(health.mark_failure(" ", 100), "what happened in one second is applied");
        assert_eq!((health.fail_count, health.cooldown_until), (1, 110));
        assert_eq!(health.last_fail_reason, "startup failed");
    }

    #[test]
    fn what_is_older_than_its_opposite_changes_nothing() {
        let mut ok = Health { last_ok_at: 100, ..Health::default() };
        assert!(!ok.mark_failure("refused", 99));
        assert_eq!(ok, Health { last_ok_at: 100, ..Health::default() });
        let mut failed = Health { last_fail_at: 100, fail_count: 1, ..Health::default() };
        assert!(!failed.mark_success(99));
        assert_eq!(failed.fail_count, 1);
    }
}
