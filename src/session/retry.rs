//! One source, several times.

use crate::base::Instant;
use crate::lineup::SourceId;

use super::budget::backoff;
use super::events::Candidate;
use super::step::{End, Fault, Look, Step};

/// What happens when the source does not start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// The search is over.
    End,
    /// All sources are tried.
    Pass,
}

/// One source, several times.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    pub(super) id: SourceId,
    /// It is left alone until then.
    pub(super) cooling_until: Option<Instant>,
    pub(super) attempts_max: u32,
    /// No attempt begins here or later.
    pub(super) end: Instant,
    pub(super) not_before: Instant,
    pub(super) then: Then,
    /// It is waited for, though others could be tried meanwhile.
    pub(super) insists: bool,
    pub(super) attempts: u32,
    pub(super) last: Option<Fault>,
}

impl Retry {
    pub(super) fn step(&mut self, look: &Look<'_>, candidates: &[Candidate]) -> Step {
        let Some(source) = look.fresh(self.id) else {
            // It was disabled meanwhile, and is not tried again whatever the policy.
            return self.give_way(look);
        };
        if !source.has_url && self.then == Then::End {
            return Step::Over(End::NoSources);
        }
        if !source.has_url || self.attempts >= self.attempts_max {
            return self.over(look);
        }
        let ready_at = self.not_before.max(self.cooling_until.unwrap_or(look.now)).max(look.now);
        let free_at = source.provider_free_at.unwrap_or(look.now);
        let at = ready_at.max(free_at);
        if at >= self.end {
            return self.over(look);
        }
        if free_at > ready_at
            && self.then == Then::Pass
            && !self.insists
            && self.another_is_ready(look, candidates)
        {
            // Its provider is being left alone, and another host could be asked meanwhile.
            return self.give_way(look);
        }
        if at > look.now {
            return Step::Wait(at);
        }
        self.attempts += 1;
        look.attempt(source, self.end)
    }

    pub(super) fn failed(&mut self, now: Instant, fault: Fault) {
        self.last = Some(fault);
        self.not_before = now + backoff(self.attempts);
    }

    /// The source has come too early: that was no attempt.
    pub(super) fn refused(&mut self, fault: Fault) {
        self.last = Some(fault);
        self.attempts = self.attempts.saturating_sub(1);
    }

    fn another_is_ready(&self, look: &Look<'_>, candidates: &[Candidate]) -> bool {
        candidates.iter().filter(|other| other.id != self.id).any(|other| {
            let is_free = |fresh: &Candidate| {
                fresh.has_url && fresh.provider_free_at.is_none_or(|free_at| free_at <= look.now)
            };
            look.standing(other).cooling_until.is_none() && look.fresh(other.id).is_some_and(is_free)
        })
    }

    fn give_way(&mut self, look: &Look<'_>) -> Step {
        // The wait before the first attempt is for whichever source is started. Those between attempts are its own.
        let not_before = if self.attempts == 0 { self.not_before } else { look.now };
        Step::GiveWay { source: self.id, attempts: self.attempts, last: self.last.take(), not_before }
    }

    fn over(&mut self, look: &Look<'_>) -> Step {
        if self.then == Then::Pass {
            return self.give_way(look);
        }
        let text = match &self.last {
            None => "recovery source attempts exhausted".to_owned(),
            Some(last) if self.attempts >= self.attempts_max => format!(
                "recovery source attempts exhausted after {} attempts (stall_max_failovers_per_stall={}): {}",
                self.attempts, look.params.stall_retries_max, last.text
            ),
            Some(last) => last.text.clone(),
        };
        Step::Over(End::Failed(text))
    }
}
