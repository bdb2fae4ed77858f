//! Looking for a source: the candidates, and the plan by which they are tried.

use std::time::Duration;

use crate::base::Instant;
use crate::recovery::{Penalties, ProviderScope};
use crate::tuner::SourceId;

use super::events::{Candidate, Params};
use super::pass::Pass;
use super::retry::Retry;

/// Why an attempt failed, or a source was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) text: String,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    /// The source was reached, but gave no picture in time.
    pub(super) silent: bool,
}

impl Fault {
    pub(super) fn text(text: &str) -> Self {
        Self { text: text.to_owned(), status: None, retry_after: None, silent: false }
    }
}

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

/// An attempt that is under way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) id: SourceId,
    pub(super) provider: ProviderScope,
    pub(super) started_at: Instant,
    pub(super) deadline: Instant,
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

/// Why a search has ended without a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    NoSources,
    Failed(String),
}

/// What a plan wants next.
#[derive(Debug)]
pub(super) enum Step {
    Start {
        index: usize,
        attempt: Attempt,
    },
    Wait(Instant),
    /// The wait before the choice is over.
    Paced,
    /// This source cannot be tried at all.
    Unusable {
        id: SourceId,
        provider: ProviderScope,
    },
    /// This source alone does not do: all of them are tried.
    GiveWay {
        source: SourceId,
        attempts: u32,
        last: Option<Fault>,
        not_before: Instant,
    },
    Over(End),
}

/// What a plan looks at.
pub(super) struct Look<'a> {
    pub(super) now: Instant,
    pub(super) params: &'a Params,
    /// The channel's sources at this moment.
    pub(super) list: &'a [Candidate],
    /// What alternates are held to, when that counts.
    pub(super) penalties: Option<&'a Penalties<SourceId>>,
}

/// How a candidate stands, what it was held to included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) cooling_until: Option<Instant>,
    pub(super) fails: u32,
}

impl Look<'_> {
    /// The source as it is now; `None` when it is no longer enabled.
    pub(super) fn fresh(&self, id: SourceId) -> Option<&Candidate> {
        self.list.iter().find(|candidate| candidate.id == id)
    }

    pub(super) fn standing(&self, candidate: &Candidate) -> Standing {
        let penalty = self.penalties.and_then(|penalties| penalties.of(self.now, candidate.id));
        let cooling_until = candidate.cooling_until.max(penalty.map(|penalty| penalty.until));
        Standing {
            cooling_until: cooling_until.filter(|until| *until > self.now),
            fails: candidate.fails.saturating_add(penalty.map_or(0, |penalty| penalty.count)),
        }
    }

    pub(super) fn attempt(&self, candidate: &Candidate, end: Instant) -> Step {
        let attempt = Attempt {
            id: candidate.id,
            provider: candidate.provider.clone(),
            started_at: self.now,
            deadline: (self.now + self.params.startup_timeout).min(end),
        };
        Step::Start { index: candidate.index, attempt }
    }
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
