//! One source in the registry.

use super::counts::Counts;
use crate::lineup::{Health, StoredProfile};

/// What of an entry is meant.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Columns {
    pub(super) health: bool,
    pub(super) profile: bool,
}

impl Columns {
    pub(super) const fn any(self) -> bool {
        self.health || self.profile
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self { health: self.health || other.health, profile: self.profile || other.profile }
    }
}

/// One source.
pub(super) struct Entry<C> {
    pub(super) channel: C,
    pub(super) health: Health,
    pub(super) profile: StoredProfile,
    /// Neither stored nor on its way. With `is_queued` unset it was dropped.
    pub(super) unsaved: Columns,
    /// On its way.
    pub(super) sent: Columns,
    pub(super) is_queued: bool,
    /// Writes that have failed since the last event.
    pub(super) attempts: u32,
    pub(super) counts: Counts,
}

impl<C> Entry<C> {
    /// What was on its way has not arrived, or nobody knows.
    pub(super) fn take_back(&mut self) {
        self.unsaved = self.unsaved.and(std::mem::take(&mut self.sent));
    }

    /// True while it waits to be written or is being written.
    pub(super) const fn is_pending(&self) -> bool {
        self.is_queued || self.sent.any()
    }
}
