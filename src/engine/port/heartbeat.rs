//! The watchdog's food: each core's own loop says that it turns, and core 0 passes the word on only while
//! every core does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::Instant;

use super::ids::CoreId;

/// When each core's loop last came round.
#[derive(Debug)]
pub struct Heartbeats {
    beats: Box<[AtomicU64]>,
}

impl Heartbeats {
    /// For this many cores; none has turned yet.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self { beats: (0..cores).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The loop of `core` came round at `now`. Not part of the data path: called a few times a second.
    pub fn beat(&self, core: CoreId, now: Instant) {
        if let Some(beat) = self.beats.get(usize::from(core.0)) {
            beat.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// True when every core's loop came round within `limit` before `now`.
    #[must_use]
    pub fn all_within(&self, now: Instant, limit: Duration) -> bool {
        self.beats.iter().all(|beat| now - Instant::from_nanos(beat.load(Ordering::Relaxed)) <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_that_stands_still_is_enough_to_starve_the_watchdog() {
        let beats = Heartbeats::new(2);
        beats.beat(CoreId(0), Instant::from_millis(5_000));
        beats.beat(CoreId(1), Instant::from_millis(2_000));
        assert!(beats.all_within(Instant::from_millis(5_000), Duration::from_secs(3)));
        assert!(!beats.all_within(Instant::from_millis(5_001), Duration::from_secs(3)));
    }
}
