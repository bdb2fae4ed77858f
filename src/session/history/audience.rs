//! Who watches a session, and who has.

use std::collections::BTreeMap;

use crate::base::Instant;

use super::facts::{CloseReason, Limits, SubscriberWindow, ViewerCounts};

/// The viewers of one session.
#[derive(Clone, Debug)]
pub struct Audience {
    limit: usize,
    counts: ViewerCounts,
    connected: u64,
    is_over: bool,
    /// Viewers who have gone, by number. Those who watch are known to the engine.
    gone: BTreeMap<u64, SubscriberWindow>,
    truncated: u64,
}

impl Audience {
    /// Of a session that begins.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limit: limits.subscribers,
            counts: ViewerCounts::default(),
            connected: 0,
            is_over: false,
            gone: BTreeMap::new(),
            truncated: 0,
        }
    }

    /// A viewer has come. Gives its number.
    pub fn attach(&mut self) -> u64 {
        self.counts.total += 1;
        self.connected += 1;
        self.counts.peak = self.counts.peak.max(self.connected);
        self.forget();
        self.counts.total
    }

    /// A viewer has gone. After the end of the session it has gone already.
    pub fn detach(&mut self, viewer: SubscriberWindow) {
        if self.is_over {
            return;
        }
        assert!(viewer.left.is_some(), "who has gone left at some time: {viewer:?}");
        self.connected = self.connected.checked_sub(1).expect("a viewer leaves once");
        self.counts.completed += 1;
        self.gone.insert(viewer.id, viewer);
        self.forget();
    }

    /// Those who watch have their place whatever the limit is; the oldest of those who have gone give theirs.
    fn forget(&mut self) {
        let connected = usize::try_from(self.connected).unwrap_or(usize::MAX);
        while self.gone.len().saturating_add(connected) > self.limit && self.gone.pop_first().is_some() {
            self.truncated += 1;
        }
    }

    /// The session is over: so are the streams of those who still watch.
    pub fn end(&mut self, now: Instant, watching: impl IntoIterator<Item = SubscriberWindow>) {
        for viewer in watching {
            self.detach(SubscriberWindow { left: Some((now, CloseReason::SessionClosed)), ..viewer });
        }
        self.is_over = true;
    }

    /// How many viewers there were.
    #[must_use]
    pub const fn counts(&self) -> ViewerCounts {
        self.counts
    }

    /// Viewers who watch, or wait for the first picture.
    #[must_use]
    pub const fn connected(&self) -> u64 {
        self.connected
    }

    /// All remembered viewers who have gone, in the order in which they came, and how many are forgotten.
    #[must_use]
    pub fn gone(&self) -> (Vec<SubscriberWindow>, u64) {
        (self.gone.values().copied().collect(), self.truncated)
    }
}
