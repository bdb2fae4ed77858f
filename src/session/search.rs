//! Looking for a source: the candidates, and the plan by which they are tried.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

use super::events::Candidate;
use super::pass::Pass;
use super::release::UNASKED_MAX;
use super::retry::Retry;
use super::step::{Attempt, End, Fault, Look, Step};

/// The longest that a program takes to end, from when it is asked to.
const PROGRAM_END_MAX: Duration = Duration::from_secs(1);
/// Whoever waits for a place that somebody has given up in time waits for so much longer: until its connection is closed, and its
/// provider is asked again.
const GIVEN_UP_MAX: Duration = UNASKED_MAX.saturating_add(PROGRAM_END_MAX);

/// The loss that a recovery is to repair.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) current: SourceId,
    pub(super) reason: String,
    /// It is bounded like a stall: a stall, or somebody asked for it.
    pub(super) is_stall: bool,
    /// Somebody asked for it, and wants another source.
    pub(super) is_manual: bool,
}

/// Why a source is looked for.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Startup,
    Recovery(Outage),
}

/// How candidates are tried.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// Not before then: the source was selected too often.
    Pacing { until: Instant },
    /// One source, several times.
    Retry(Retry),
    /// All of them, one after the other.
    Pass(Pass),
}

/// Looking for a source.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) origin: Origin,
    pub(super) selection_reason: String,
    pub(super) started_at: Instant,
    /// It ends here.
    pub(super) deadline: Instant,
    /// As they stood when the search began. What happens to them meanwhile is the plan's to know.
    pub(super) candidates: Vec<Candidate>,
    pub(super) plan: Plan,
    pub(super) attempt: Option<Attempt>,
    /// When there is no attempt: what is waited for.
    pub(super) waits_until: Instant,
    pub(super) any_silent: bool,
}

impl Search {
    pub(super) const fn is_recovery(&self) -> bool {
        matches!(self.origin, Origin::Recovery(_))
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.attempt.as_ref().map_or(self.waits_until, |attempt| attempt.deadline)
    }

    /// What is to be done now. Not to be asked while an attempt is under way.
    pub(super) fn step(&mut self, look: &Look<'_>) -> Step {
        if let Some(wait) = self.full(look) {
            if let Step::Wait(until) = wait {
                self.waits_until = until;
            }
            return wait;
        }
        let step = match &mut self.plan {
            Plan::Pacing { until } if *until > look.now => Step::Wait(*until),
            Plan::Pacing { .. } => Step::Paced,
            Plan::Retry(retry) => retry.step(look, &self.candidates),
            Plan::Pass(pass) => pass.step(look, &self.candidates, self.deadline),
        };
        match &step {
            Step::Start { attempt, .. } => self.attempt = Some(attempt.clone()),
            Step::Wait(until) => self.waits_until = *until,
            Step::Paced | Step::Unusable { .. } | Step::GiveWay { .. } | Step::Over(_) => {}
        }
        step
    }

    /// At the start nothing is tried while every source that could be tried has no place at its provider; what is to be done then.
    fn full(&self, look: &Look<'_>) -> Option<Step> {
        match self.origin {
            Origin::Startup => {}
            // Whoever watches has filler, and time.
            Origin::Recovery(_) => return None,
        }
        let mut usable = look.list.iter().filter(|candidate| candidate.has_url).peekable();
        usable.peek()?;
        let (mut first, mut is_given_up) = (None, false);
        for candidate in usable {
            let free_at = candidate.provider_free_at.filter(|at| candidate.is_full && *at > look.now)?;
            first = first.into_iter().chain([free_at]).min();
            is_given_up |= candidate.is_place_given_up;
        }
        let wait = look.params.place_wait;
        let mut end = self.started_at + wait;
        if look.now >= end && is_given_up && !wait.is_zero() {
            end += GIVEN_UP_MAX;
        }
        if look.now >= end {
            return Some(Step::Over(End::NoPlaces));
        }
        Some(Step::Wait(first?.min(end)))
    }

    /// The plan's last candidate has come too early to its provider.
    pub(super) fn refused(&mut self, id: SourceId, fault: Fault) {
        match &mut self.plan {
            Plan::Pacing { .. } => unreachable!("nothing is tried before its time"),
            Plan::Retry(retry) => retry.refused(fault),
            Plan::Pass(pass) => pass.refused(id, fault),
        }
    }

    /// The plan's last candidate has failed. `settle` is to pass until another one is tried.
    pub(super) fn failed(&mut self, now: Instant, fault: Fault, settle: Duration) {
        self.any_silent |= fault.silent;
        match &mut self.plan {
            Plan::Pacing { .. } => unreachable!("nothing is tried before its time"),
            Plan::Retry(retry) => retry.failed(now, fault),
            Plan::Pass(pass) => pass.failed(now, fault, self.candidates.len(), settle),
        }
    }
}
