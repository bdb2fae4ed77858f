//! Waiting for what has to happen, never longer than said.

use std::time::Duration;

use tunerd::base::{Clock, Instant};

/// Whatever is certain to happen has happened after this long, on a busy machine too.
pub(crate) const LONG: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// Measures from when it is made.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch {
    clock: Clock,
    started: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let clock = Clock::start();
        Self { clock, started: clock.now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now() - self.started
    }

    /// What is left of `limit`; `None` when it is over.
    pub(crate) fn left_of(&self, limit: Duration) -> Option<Duration> {
        limit.checked_sub(self.elapsed()).filter(|left| !left.is_zero())
    }
}

/// Looks again and again until there is something to be seen.
pub(crate) fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(watch.left_of(limit).is_some(), "not within {limit:?}: {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}
