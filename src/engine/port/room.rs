//! What all cores together have room for, those who have asked for nothing yet and the memory of rings, and what they say where
//! there is none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::{Instant, Rarely};

use super::drain::Drained;

/// That accepting is paused is said so often at most.
const PAUSES_SAID_EVERY: Duration = Duration::from_secs(60);

/// What there is room for.
#[derive(Clone, Debug)]
pub struct Room {
    /// Connections on all cores, viewers included. Full: the oldest that has asked for nothing yet gives way, so that whoever asks at
    /// once is heard however many only connect.
    pub connections_max: u32,
    /// Memory of the rings of all cores.
    pub rings: RingBudget,
    /// What has been said of what is missing.
    pub remarks: Remarks,
    /// Which cores have nothing left, once they are to end.
    pub drained: Drained,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            connections_max: u32::MAX,
            rings: RingBudget::with_bytes(u64::MAX),
            remarks: Remarks::default(),
            drained: Drained::default(),
        }
    }
}

/// What is missing on one core is missing on all: it is said by one of them.
#[derive(Clone, Debug)]
pub struct Remarks {
    accept_pauses: Arc<Mutex<Rarely>>,
    cannot_register: Arc<AtomicBool>,
    store_fails: Arc<AtomicBool>,
}

impl Default for Remarks {
    fn default() -> Self {
        Self {
            accept_pauses: Arc::new(Mutex::new(Rarely::new(PAUSES_SAID_EVERY))),
            cannot_register: Arc::default(),
            store_fails: Arc::default(),
        }
    }
}

impl Remarks {
    /// Accepting is paused. Gives how often it was since that was said last, when it is to be said now.
    pub(crate) fn accept_paused(&self, clock_now: Instant) -> Option<u64> {
        self.accept_pauses.lock().unwrap_or_else(PoisonError::into_inner).happened(clock_now)
    }

    /// Memory cannot be registered: true the first time.
    pub(crate) fn cannot_register(&self) -> bool {
        !self.cannot_register.swap(true, Ordering::Relaxed)
    }

    /// What is to be stored cannot be: true the first time since it could.
    pub(crate) fn store_fails(&self) -> bool {
        !self.store_fails.swap(true, Ordering::Relaxed)
    }

    /// It can be again: true the first time since it could not.
    pub(crate) fn store_works(&self) -> bool {
        self.store_fails.swap(false, Ordering::Relaxed)
    }
}

/// Memory that rings may have, shared by all cores.
#[derive(Clone, Debug)]
pub struct RingBudget {
    bytes_max: u64,
    taken: Arc<AtomicU64>,
}

impl RingBudget {
    /// So many bytes.
    #[must_use]
    pub fn with_bytes(bytes_max: u64) -> Self {
        Self { bytes_max, taken: Arc::default() }
    }

    /// All of it.
    #[must_use]
    pub const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Memory for a ring, given back when the share is dropped; nothing when there is not as much left.
    pub(crate) fn take(&self, bytes: u64) -> Option<RingShare> {
        let mut share = RingShare { of: self.clone(), bytes: 0 };
        share.grow_to(bytes).then_some(share)
    }
}

/// One ring's part.
#[derive(Debug)]
pub(crate) struct RingShare {
    of: RingBudget,
    bytes: u64,
}

impl RingShare {
    /// Bytes that it is.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// False, and nothing changes, when there is not as much left.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let grown = |taken: u64| taken.checked_add(more).filter(|taken| *taken <= self.of.bytes_max);
        let has_grown = self.of.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if has_grown {
            self.bytes += more;
        }
        has_grown
    }
}

impl Drop for RingShare {
    fn drop(&mut self) {
        let before = self.of.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        assert!(before >= self.bytes, "what was taken is given back once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_on_all_cores_is_said_by_one() {
        let remarks = Remarks::default();
        let of_another_core = remarks.clone();
        assert_eq!([remarks.cannot_register(), of_another_core.cannot_register()], [true, false]);
        assert_eq!([remarks.store_fails(), of_another_core.store_fails()], [true, false]);
        assert_eq!([of_another_core.store_works(), remarks.store_works()], [true, false]);
        let at = Instant::from_millis;
        assert_eq!(remarks.accept_paused(at(1000)), Some(1));
        assert_eq!(of_another_core.accept_paused(at(999)), None);
        assert_eq!(remarks.accept_paused(at(60_999)), None);
        assert_eq!(of_another_core.accept_paused(at(61_000)), Some(3));
    }

    #[test]
    fn rings_of_all_cores_share_what_there_is_and_give_it_back() {
        let budget = RingBudget::with_bytes(100);
        let of_another_core = budget.clone();
        let mut first = budget.take(40).unwrap();
        let second = of_another_core.take(50).unwrap();
        assert!(budget.take(11).is_none(), "90 of 100 are taken");
        assert!(!first.grow_to(51) && first.bytes() == 40);
        assert!(first.grow_to(50) && first.bytes() == 50);
        assert!(first.grow_to(20) && first.bytes() == 50, "it does not shrink");
        assert!(of_another_core.take(1).is_none());
        drop(second);
        assert!(of_another_core.take(50).is_some());
        drop(first);
        assert!(budget.take(101).is_none() && budget.take(100).is_some());
    }
}
