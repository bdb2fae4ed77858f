//! Ending a wait from another thread.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The wait was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the wait was cancelled")]
pub struct Cancelled;

/// Why a wait ended though nothing had changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unchanged {
    /// It was cancelled.
    #[error("the wait was cancelled")]
    Cancelled,
    /// Its time was up.
    #[error("nothing happened in time")]
    TimedOut,
}

/// Something that has waiting threads.
pub(super) trait Waking: Send + Sync {
    /// Wakes them all. Does not return before a thread that found nothing is asleep and can be woken.
    fn wake(&self);
}

/// Ends waits. All clones are one; once cancelled it stays so. One that is never cancelled ends nothing.
#[derive(Clone, Default)]
pub struct Cancel {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    waits: Mutex<Waits>,
}

/// At most one per thread that waits.
#[derive(Default)]
struct Waits {
    next: u64,
    waiting: BTreeMap<u64, Arc<dyn Waking>>,
}

impl Cancel {
    /// One that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends all waits it was given to, now and later.
    pub fn cancel(&self) {
        let waiting = {
            let mut waits = self.waits();
            self.state.cancelled.store(true, Ordering::Release);
            std::mem::take(&mut waits.waiting)
        };
        // Not under the lock: who registers holds the lock that `wake` takes.
        for waking in waiting.into_values() {
            waking.wake();
        }
    }

    /// True when it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Acquire)
    }

    /// Has `waking` woken by [`Self::cancel`] until the answer is dropped; nothing when it is too late.
    pub(super) fn register(&self, waking: Arc<dyn Waking>) -> Option<Registration<'_>> {
        let mut waits = self.waits();
        if self.is_cancelled() {
            return None;
        }
        let id = waits.next;
        waits.next += 1;
        waits.waiting.insert(id, waking);
        Some(Registration { cancel: self, id })
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        // Nothing panics under this lock.
        self.state.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cancel").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

pub(super) struct Registration<'cancel> {
    cancel: &'cancel Cancel,
    id: u64,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        // When it is gone already, `cancel` has it.
        drop(self.cancel.waits().waiting.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Waking for Counted {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn cancelling_wakes_who_waits_then_and_refuses_who_comes_later() {
        let cancel = Cancel::new();
        let (gone, waiting) = (Arc::new(Counted::default()), Arc::new(Counted::default()));
        drop(cancel.register(Arc::clone(&gone) as Arc<dyn Waking>));
        let registration = cancel.register(Arc::clone(&waiting) as Arc<dyn Waking>);
        assert!(registration.is_some() && !cancel.is_cancelled());
        cancel.clone().cancel();
        cancel.cancel();
        assert!(cancel.is_cancelled());
        assert_eq!(waiting.0.load(Ordering::Relaxed), 1);
        assert_eq!(gone.0.load(Ordering::Relaxed), 0);
        assert!(cancel.register(waiting).is_none());
    }
}
