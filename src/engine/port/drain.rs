//! Cores end together. One that has nothing left goes on hearing the others until none has anything left: they may have a tuner to
//! give back to it, or wait for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many cores have nothing left, told by all of them.
#[derive(Clone, Debug, Default)]
pub struct Drained {
    count: Arc<AtomicU32>,
}

/// One core's word on itself.
#[derive(Debug)]
pub(crate) struct Vote {
    of: Drained,
    is_given: bool,
}

impl Vote {
    /// A core has something left until it says otherwise.
    pub(crate) const fn new(of: Drained) -> Self {
        Self { of, is_given: false }
    }

    /// Whether it has nothing left, which may change back: another core's last word may want an answer.
    pub(crate) fn note(&mut self, has_drained: bool) {
        if has_drained == self.is_given {
            return;
        }
        self.is_given = has_drained;
        if has_drained {
            self.of.count.fetch_add(1, Ordering::SeqCst);
        } else {
            self.of.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// It has nothing left.
    pub(crate) const fn is_given(&self) -> bool {
        self.is_given
    }

    /// None of so many cores has anything left.
    pub(crate) fn is_unanimous(&self, cores: u8) -> bool {
        self.is_given && self.of.count.load(Ordering::SeqCst) >= u32::from(cores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_drained_when_all_say_so_at_the_same_time() {
        let all = Drained::default();
        let (mut first, mut second) = (Vote::new(all.clone()), Vote::new(all));
        first.note(true);
        first.note(true);
        assert!(!first.is_unanimous(2) && first.is_unanimous(1), "said twice, it counts once");
        first.note(false);
        second.note(true);
        assert!(!first.is_unanimous(2) && !second.is_unanimous(2), "the first has something again");
        first.note(true);
        assert!(first.is_unanimous(2) && second.is_unanimous(2));
    }
}
