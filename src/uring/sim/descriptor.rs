//! Descriptors of the simulated kernel.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The numbers of descriptors that were dropped and are yet to be closed.
#[derive(Clone, Default)]
pub(super) struct Dropped(Arc<Mutex<Vec<u32>>>);

impl Dropped {
    pub(super) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }
}

/// A descriptor outside of any driver. Like an `OwnedFd` it is closed when it is dropped: the world notices
/// at its next step.
pub struct SimDescriptor {
    number: u32,
    dropped: Dropped,
}

impl SimDescriptor {
    pub(super) fn new(number: u32, dropped: &Dropped) -> Self {
        Self { number, dropped: dropped.clone() }
    }

    /// Its number in the simulated process. Never used twice.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for SimDescriptor {
    fn drop(&mut self) {
        self.dropped.push(self.number);
    }
}

impl fmt::Debug for SimDescriptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SimDescriptor({})", self.number)
    }
}
