//! How often a session may recover in a row, and how fast.

use std::time::Duration;

use crate::base::Instant;

/// The limits of [`Budget::limit`] and of the windows, as the settings may move them.
const LIMIT_RANGE: (u32, u32) = (12, 48);
const RESET_RANGE: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(20));
const PACE_RANGE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
const PACE: Duration = Duration::from_millis(250);

/// How long to wait before another attempt at a source that has been tried this often in a row.
#[must_use]
pub(super) const fn backoff(tries: u32) -> Duration {
    Duration::from_millis(match tries {
        0 => 0,
        1 => 250,
        2 => 500,
        3 => 1000,
        _ => 2000,
    })
}

/// How long after its selection a source that has ended may be replaced, when it was selected again and again.
#[must_use]
pub(super) const fn pacing(has_ended: bool, reselects: u32) -> Duration {
    if has_ended { backoff(reselects) } else { Duration::ZERO }
}

/// Recoveries follow each other too fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("recovery cycle budget exhausted (limit {limit})")]
pub(super) struct Exhausted {
    /// Recoveries that were allowed.
    pub limit: u32,
}

/// Counts recoveries that follow each other. Those that come faster than one per pace window count as one.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: u32,
    reset_window: Duration,
    pace: Duration,
    burst: Option<Burst>,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    started_at: Instant,
    count: u32,
}

impl Budget {
    /// A budget for these settings; `retries` are the attempts on one source after the first.
    #[must_use]
    pub(super) fn new(retries: u32, stall_detect: Duration, startup_timeout: Duration) -> Self {
        let attempts = retries.saturating_add(1);
        let reset = stall_detect.saturating_mul(2).saturating_add(startup_timeout);
        let pace = [stall_detect, startup_timeout]
            .into_iter()
            .filter(|span| !span.is_zero())
            .fold(PACE, Duration::min)
            .clamp(PACE_RANGE.0, PACE_RANGE.1);
        Self {
            limit: attempts.saturating_mul(8).clamp(LIMIT_RANGE.0, LIMIT_RANGE.1),
            reset_window: reset.clamp(RESET_RANGE.0, RESET_RANGE.1),
            pace,
            burst: None,
        }
    }

    /// A source that has run for this long ends the row.
    #[must_use]
    pub(super) const fn reset_window(&self) -> Duration {
        self.reset_window
    }

    /// A recovery begins, so long after the last selection of a source.
    ///
    /// # Errors
    /// When there were too many in a row.
    pub(super) fn charge(&mut self, now: Instant, since_selection: Duration) -> Result<(), Exhausted> {
        let burst = match self.burst {
            Some(burst) if since_selection < self.reset_window => {
                Burst { count: burst.count.saturating_add(1), ..burst }
            }
            Some(_) | None => Burst { started_at: now, count: 1 },
        };
        self.burst = Some(burst);
        let windows = (now - burst.started_at).as_nanos() / self.pace.as_nanos() + 1;
        if u128::from(burst.count).min(windows) > u128::from(self.limit) {
            return Err(Exhausted { limit: self.limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(60_000 + ms)
    }

    #[test]
    fn only_sources_that_end_again_and_again_are_paced() {
        for (has_ended, reselects, expected) in [
            (true, 0, 0),
            (false, 3, 0),
            (true, 1, 250),
            (true, 2, 500),
            (true, 3, 1000),
            (true, 4, 2000),
            (true, 99, 2000),
        ] {
            assert_eq!(pacing(has_ended, reselects), MS(expected), "{has_ended} {reselects}");
        }
    }

    #[test]
    fn the_budgets_limits_follow_the_settings_within_bounds() {
        for (retries, stall, startup, limit, reset, pace) in [
            (3, 4000, 6000, 32, 14_000, 250),
            (1, 2000, 5000, 16, 9000, 250),
            (0, 0, 0, 12, 4000, 250),
            (99, 20_000, 1, 48, 20_000, 50),
            (3, 100, 5000, 32, 5200, 100),
        ] {
            let budget = Budget::new(retries, MS(stall), MS(startup));
            assert_eq!((budget.limit, budget.reset_window, budget.pace), (limit, MS(reset), MS(pace)));
        }
    }

    #[test]
    fn recoveries_faster_than_the_pace_are_charged_per_window() {
        let mut budget = Budget::new(1, MS(2000), MS(5000));
        for cycle in 0..16 {
            assert_eq!(budget.charge(at(cycle * 100), MS(100)), Ok(()), "cycle {cycle}");
        }
        assert_eq!(budget.clone().charge(at(2000), MS(500)), Ok(()), "nine windows have passed");
        assert_eq!(budget.clone().charge(at(16 * 250 - 1), MS(500)), Ok(()), "the sixteenth window");
        assert_eq!(budget.charge(at(16 * 250), MS(500)), Err(Exhausted { limit: 16 }));
        assert_eq!(budget.clone().charge(at(16 * 250), MS(8999)), Err(Exhausted { limit: 16 }));
        assert_eq!(budget.charge(at(16 * 250), MS(9000)), Ok(()), "a source has run for the reset window");
        assert_eq!(budget.burst.unwrap().count, 1);
    }
}
