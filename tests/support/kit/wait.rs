//! Waiting for what has to happen, never longer than said.

use std::time::{Duration, Instant};

/// Whatever is certain to happen has happened after this long, on a busy machine too.
pub const LONG: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// Measures from when it is made.
#[derive(Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "what a test waits for happens in other processes, in their time"
    )]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is left of `limit`; `None` when it is over.
    pub fn left_of(&self, limit: Duration) -> Option<Duration> {
        limit.checked_sub(self.elapsed()).filter(|left| !left.is_zero())
    }
}

/// Looks again and again until there is something to be seen.
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(watch.left_of(limit).is_some(), "not within {limit:?}: {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}
