//! The source that was selected last.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

use super::events::Params;
use super::scope::ProviderScope;

/// What selections by a recovery begin with.
pub(super) const RECOVERY_PREFIX: &str = "recovery_cycle_";

/// The source that was selected last, running or lost.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    pub(super) id: SourceId,
    pub(super) provider: ProviderScope,
    pub(super) at: Instant,
    pub(super) reason: String,
    /// Its success counts from then on, unless it is lost or has stalled.
    pub(super) proven_at: Option<Instant>,
}

impl Selected {
    pub(super) fn uptime(&self, now: Instant) -> Duration {
        now - self.at
    }

    /// Whether the end of the source is held against it. One that was chosen by a recovery and is gone at once says
    /// more about the outage than about itself.
    pub(super) fn is_held_to_account(&self, now: Instant, params: &Params) -> bool {
        !self.reason.starts_with(RECOVERY_PREFIX)
            || params.min_health.is_zero()
            || self.uptime(now) >= params.min_health
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::harness::PARAMS;
    use super::*;

    #[test]
    fn only_a_short_life_after_a_recovery_is_not_held_against_a_source() {
        for (reason, uptime_ms, min_health_s, expected) in [
            ("recovery_cycle_3:source_eof", 600, 2, false),
            ("initial_startup", 600, 2, true),
            ("recovery_cycle_3:source_eof", 3000, 2, true),
            ("recovery_cycle_3:source_eof", 2000, 2, true),
            ("recovery_cycle_3:source_eof", 600, 0, true),
        ] {
            let selected = Selected {
                id: SourceId(1),
                provider: ProviderScope::of("", 1),
                at: Instant::from_millis(500),
                reason: reason.to_owned(),
                proven_at: None,
            };
            let params = Params { min_health: Duration::from_secs(min_health_s), ..PARAMS };
            let now = Instant::from_millis(500 + uptime_ms);
            assert_eq!(selected.is_held_to_account(now, &params), expected, "{reason} {uptime_ms}");
        }
    }
}
