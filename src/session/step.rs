//! What a plan is asked, and what it answers.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

use super::events::{Candidate, Params};
use super::penalty::Penalties;
use super::scope::ProviderScope;

/// What providers answer an account that has too many connections: panels say 403, 404 or a number of their own.
const COUNT_STATUSES: &[u16] = &[403, 404, 429, 456, 458, 461, 503, 509];

/// Why an attempt failed, or a source was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) text: String,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    /// The source was reached, but gave no picture in time.
    pub(super) silent: bool,
    /// Its server hung up without a word.
    pub(super) hung_up: bool,
}

impl Fault {
    pub(super) fn text(text: &str) -> Self {
        Self { text: text.to_owned(), status: None, retry_after: None, silent: false, hung_up: false }
    }

    /// True for what providers answer who count too many connections, each in its own way.
    pub(super) fn may_be_for_count(&self) -> bool {
        self.hung_up || self.status.is_some_and(|status| COUNT_STATUSES.contains(&status))
    }
}

/// An attempt that is under way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) id: SourceId,
    pub(super) provider: ProviderScope,
    pub(super) started_at: Instant,
    pub(super) deadline: Instant,
}

/// Why a search has ended without a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    NoSources,
    /// Nothing could be tried, since all places are taken.
    NoPlaces,
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
