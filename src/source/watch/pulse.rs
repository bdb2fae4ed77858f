//! What should keep moving: until when what was delivered of it lasts, and how long it has stood still since.

use std::time::Duration;

use crate::base::Instant;

/// What was delivered is believed to last no longer than this.
const SUPPLY_MAX: Duration = Duration::from_secs(30);
/// Something that has moved for this long without a gap as long as a stall is expected to go on.
const STEADY_AFTER: Duration = Duration::from_millis(250);
/// What has not moved steadily yet is given at least this long.
const UNSTEADY_PATIENCE: Duration = Duration::from_secs(30);
/// How long gaps are remembered: at least one of these, at most two.
const GAP_MEMORY: Duration = Duration::from_secs(60);

/// Something that should keep moving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    pub(super) moved_at: Instant,
    /// What was delivered of it lasts until then.
    pub(super) supply: Instant,
    /// The same with what has come and viewers cannot have yet: it lasts from when it came on, not from when they get it.
    coming: Instant,
    /// How long it has stood still since, as far as that counts.
    pub(super) stood: Duration,
    /// The flow since which it has moved without a gap as long as a stall.
    run_began: Duration,
    pub(super) steady: bool,
    /// The longest gap since `gaps_began`, and of the time before.
    longest_gaps: [Duration; 2],
    gaps_began: Duration,
}

impl Pulse {
    pub(super) const fn new(flow: Duration, now: Instant) -> Self {
        Self {
            moved_at: now,
            supply: now,
            coming: now,
            stood: Duration::ZERO,
            run_began: flow,
            steady: false,
            longest_gaps: [Duration::ZERO; 2],
            gaps_began: flow,
        }
    }

    /// It is another from now on, and what has come of it is there.
    pub(super) fn begun_anew(self, flow: Duration, now: Instant) -> Self {
        let Self { supply, coming, .. } = self;
        Self { supply: supply.max(now), coming: coming.max(now), ..Self::new(flow, now) }
    }

    /// No bytes came since `last_byte_at`. `programme` is how long what is there of the programme lasts.
    pub(super) fn wait(
        &mut self,
        last_byte_at: Instant,
        programme: Instant,
        now: Instant,
        gap_max: Duration,
    ) {
        let began = last_byte_at.max(self.supply);
        let shown = now.min(programme) - began;
        let idle = now - began.max(programme);
        self.stood += shown + idle.min(gap_max);
    }

    /// So much of it has come, whether viewers can have it or not.
    pub(super) fn came(&mut self, now: Instant, received: Duration) {
        if !received.is_zero() {
            self.coming = (self.coming.max(now) + received).min(now + SUPPLY_MAX);
        }
    }

    /// So much of what was said to have come was none.
    pub(super) fn lasts_less(&mut self, now: Instant, by: Duration) {
        self.lasts_no_longer(now + (self.coming - now).saturating_sub(by));
    }

    /// What has come of it lasts no longer than until then.
    pub(super) fn lasts_no_longer(&mut self, until: Instant) {
        self.coming = self.coming.min(until);
        self.supply = self.supply.min(until);
    }

    /// Viewers can have what has come.
    pub(super) fn moved(&mut self, flow: Duration, now: Instant, stall: Duration) {
        let gap = std::mem::take(&mut self.stood);
        if gap >= stall {
            self.run_began = flow;
        }
        self.steady |= flow - self.run_began >= STEADY_AFTER;
        if flow - self.gaps_began >= GAP_MEMORY {
            self.longest_gaps = [Duration::ZERO, self.longest_gaps[0]];
            self.gaps_began = flow;
        }
        self.longest_gaps[0] = self.longest_gaps[0].max(gap);
        self.moved_at = now;
        self.supply = self.supply.max(now).max(self.coming).min(now + SUPPLY_MAX);
    }

    /// What was delivered of it before it was looked at lasts until then.
    pub(super) fn begin_with(&mut self, supply: Instant) {
        self.last_until(supply.min(self.moved_at + SUPPLY_MAX));
    }

    /// The same for somebody who knows better whether it moves steadily.
    pub(super) const fn steady_if(self, steady: bool) -> Self {
        Self { steady, ..self }
    }

    /// It is there as long as something else is.
    pub(super) fn last_until(&mut self, supply: Instant) {
        self.supply = self.supply.max(supply);
        self.coming = self.coming.max(supply);
    }

    /// How long it may stand still.
    pub(super) fn limit(&self, stall: Duration) -> Duration {
        let usual = self.longest_gaps[0].max(self.longest_gaps[1]) * 2;
        let least = if self.steady { stall } else { UNSTEADY_PATIENCE.max(stall * 4) };
        usual.max(least)
    }
}
