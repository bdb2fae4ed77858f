//! Which jobs run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

/// What can be run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::control) enum JobKind {
    /// Reads the playlists.
    PlaylistSync,
    /// Tries the channels' sources, and puts the best first.
    AutoPrioritize,
}

impl JobKind {
    pub(in crate::control) const ALL: [Self; 2] = [Self::PlaylistSync, Self::AutoPrioritize];

    /// As rows and answers name it.
    pub(in crate::control) const fn name(self) -> &'static str {
        match self {
            Self::PlaylistSync => "playlist_sync",
            Self::AutoPrioritize => "auto_prioritize",
        }
    }
}

/// Who has begun a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::control) enum Trigger {
    Manual,
    Schedule,
}

impl Trigger {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
        }
    }
}

/// How a run has ended.
pub(super) enum RunEnd {
    Success(String),
    Error(String),
    Canceled(String),
}

/// A run that goes on.
#[derive(Default)]
pub(super) struct Going {
    /// 0 until the store has given one.
    run_id: Cell<i64>,
    is_canceled: Cell<bool>,
    canceled: Notify,
}

impl Going {
    pub(super) const fn run_id(&self) -> i64 {
        self.run_id.get()
    }

    pub(super) fn set_run_id(&self, run_id: i64) {
        self.run_id.set(run_id);
    }

    pub(super) fn is_canceled(&self) -> bool {
        self.is_canceled.get()
    }

    /// Waits until nobody wants it any more.
    pub(super) async fn canceled(&self) {
        while !self.is_canceled.get() {
            self.canceled.notified().await;
        }
    }
}

/// The runs that go on.
#[derive(Default)]
pub(in crate::control) struct JobDesk {
    going: RefCell<BTreeMap<JobKind, Rc<Going>>>,
    rescheduled: Notify,
}

impl JobDesk {
    /// One more goes on; the number of the run when one of its kind does already.
    pub(super) fn begin(&self, kind: JobKind) -> Result<Rc<Going>, i64> {
        let mut all = self.going.borrow_mut();
        if let Some(other) = all.get(&kind) {
            return Err(other.run_id());
        }
        let going = Rc::new(Going::default());
        all.insert(kind, Rc::clone(&going));
        Ok(going)
    }

    /// It does not any more.
    pub(super) fn end(&self, kind: JobKind) {
        self.going.borrow_mut().remove(&kind);
    }

    /// Ends a run that goes on. False when there is none with this number.
    pub(in crate::control) fn cancel(&self, run_id: i64) -> bool {
        let all = self.going.borrow();
        let Some(going) = all.values().find(|going| going.run_id() == run_id) else { return false };
        going.is_canceled.set(true);
        going.canceled.notify_one();
        true
    }

    /// The schedules have changed.
    pub(in crate::control) fn reschedule(&self) {
        self.rescheduled.notify_one();
    }

    /// Waits until they have.
    pub(super) async fn rescheduled(&self) {
        self.rescheduled.notified().await;
    }
}
