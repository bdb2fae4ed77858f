//! Sessions that have ended: each core remembers its own, and who asks sees them as one list.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::facts::SessionRecord;

/// The ended sessions of one core, newest first.
#[derive(Clone, Debug)]
pub struct ClosedSessions {
    limit: usize,
    sessions: VecDeque<Arc<SessionRecord>>,
    truncated: u64,
}

/// A copy of it.
#[derive(Clone, Default, Debug)]
pub struct ClosedSnapshot {
    /// Newest first.
    pub sessions: Vec<Arc<SessionRecord>>,
    /// How many are remembered at most.
    pub limit: usize,
    /// How many are forgotten.
    pub truncated: u64,
}

impl ClosedSessions {
    /// Remembers this many.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, sessions: VecDeque::new(), truncated: 0 }
    }

    /// One more has ended. Full: the oldest is forgotten.
    pub fn push(&mut self, session: SessionRecord) {
        assert!(session.ended.is_some(), "session {} has not ended", session.id);
        self.sessions.push_front(Arc::new(session));
        while self.sessions.len() > self.limit {
            self.sessions.pop_back();
            self.truncated += 1;
        }
    }

    /// A copy; the sessions themselves are shared.
    #[must_use]
    pub fn snapshot(&self) -> ClosedSnapshot {
        ClosedSnapshot {
            sessions: self.sessions.iter().cloned().collect(),
            limit: self.limit,
            truncated: self.truncated,
        }
    }
}

/// The sessions of all cores.
#[derive(Clone, Debug)]
pub struct Merged<'a> {
    /// Newest first.
    pub sessions: Vec<&'a SessionRecord>,
    /// At most this many.
    pub limit: usize,
    /// Ended sessions that are forgotten or have no place here. Never decreases: it does not count the ended
    /// ones that make room for those that go on, since they come back.
    pub truncated: u64,
}

/// Puts the sessions of all cores into one list. One that goes on hides what is remembered of it.
#[must_use]
pub fn merge<'a>(
    going_on: impl IntoIterator<Item = &'a SessionRecord>,
    closed: impl IntoIterator<Item = &'a ClosedSnapshot>,
) -> Merged<'a> {
    let mut sessions: Vec<_> = going_on.into_iter().collect();
    let ids: BTreeSet<u64> = sessions.iter().map(|session| session.id).collect();
    let (mut limit, mut truncated, mut remembered) = (0, 0, 0);
    for core in closed {
        limit = limit.max(core.limit);
        truncated += core.truncated;
        remembered += core.sessions.len();
        sessions.extend(core.sessions.iter().map(Arc::as_ref).filter(|session| !ids.contains(&session.id)));
    }
    sessions.sort_by_key(|session| {
        Reverse((session.opened_at, session.ended.as_ref().map(|ended| ended.at), session.id))
    });
    sessions.truncate(limit);
    let surplus = u64::try_from(remembered.saturating_sub(limit)).unwrap_or(u64::MAX);
    Merged { sessions, limit, truncated: truncated + surplus }
}
