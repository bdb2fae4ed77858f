//! What all cores together have room for: those who have asked for nothing yet, and the memory of rings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What there is room for.
#[derive(Clone, Debug)]
pub struct Room {
    /// Connections on all cores, viewers included. Full: the oldest that has asked for nothing yet gives way, so that whoever asks at
    /// once is heard however many only connect.
    pub connections_max: u32,
    /// Memory of the rings of all cores.
    pub rings: RingBudget,
}

impl Default for Room {
    fn default() -> Self {
        Self { connections_max: u32::MAX, rings: RingBudget::with_bytes(u64::MAX) }
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
