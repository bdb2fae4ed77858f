//! Viewers that are to be sent to, newcomers first.

use std::collections::VecDeque;

use super::token::ViewerRef;

/// The queue of a core. Each of its viewers is in it once at most.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// With a preamble to send: a first byte is worth more than a next one.
    fresh: VecDeque<ViewerRef>,
    /// For whom something waits and who have no send in flight.
    ready: VecDeque<ViewerRef>,
    /// Somebody new is being served: this turn does not wait for more to do.
    wakes_now: bool,
}

impl SendQueue {
    pub(crate) fn push(&mut self, viewer: ViewerRef, is_fresh: bool) {
        if is_fresh { self.fresh.push_back(viewer) } else { self.ready.push_back(viewer) }
    }

    pub(crate) fn pop(&mut self) -> Option<ViewerRef> {
        self.fresh.pop_front().or_else(|| self.ready.pop_front())
    }

    /// Who will be served so many sends from now.
    pub(crate) fn ahead(&self, sends: usize) -> Option<ViewerRef> {
        self.ready.get(sends).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.ready.is_empty()
    }

    /// Somebody new is served.
    pub(crate) const fn wake_now(&mut self) {
        self.wakes_now = true;
    }

    /// True when somebody new was served since this was asked last.
    pub(crate) const fn take_wake_now(&mut self) -> bool {
        std::mem::replace(&mut self.wakes_now, false)
    }
}
