//! What must be gone when nobody watches any more.

use std::time::Duration;

use crate::kit::{Daemon, LONG, Stopwatch, children_of};
use crate::provider::Provider;

/// Descriptors that are made at the first use and kept, whatever the number of channels.
const KEPT: usize = 4;

/// What there was before anybody watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Baseline {
    descriptors: usize,
}

impl Baseline {
    pub(crate) fn of(daemon: &Daemon) -> Baseline {
        Baseline { descriptors: daemon.process().descriptors() }
    }

    /// Says what is left behind when the time has passed that is given to a session without viewers.
    pub(crate) fn leftovers<'a>(
        self,
        daemon: &Daemon,
        providers: impl Iterator<Item = &'a Provider>,
    ) -> Vec<String> {
        let mut providers: Vec<_> = providers.collect();
        let mut left = Vec::new();
        let watch = Stopwatch::start();
        while watch.left_of(LONG).is_some() {
            left = self.seen(daemon);
            // A provider notices at its next write.
            providers.retain(|provider| {
                provider.connections().iter().any(|connection| connection.ended.is_none())
            });
            left.extend(
                providers.iter().map(|provider| format!("a connection to {} is open", provider.address())),
            );
            if left.is_empty() {
                return left;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        left
    }

    fn seen(self, daemon: &Daemon) -> Vec<String> {
        let mut left = Vec::new();
        let tuners = daemon.tuners();
        if tuners["in_use_count"] != 0 {
            left.push(format!("{} tuners are in use", tuners["in_use_count"]));
        }
        let viewers = tuners["client_streams"].as_array().map_or(0, Vec::len);
        if viewers > 0 {
            left.push(format!("{viewers} viewers are shown"));
        }
        let children = children_of(daemon.process()).len();
        if children > 0 {
            left.push(format!("{children} children are left"));
        }
        let descriptors = daemon.process().descriptors();
        if descriptors > self.descriptors + KEPT {
            left.push(format!("{descriptors} descriptors are open, {} were", self.descriptors));
        }
        left
    }
}
