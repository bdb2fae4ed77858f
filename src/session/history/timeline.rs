//! A session's past as it gathers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::Instant;

use super::facts::{
    CloseReason, Limits, Profile, Selections, SourceFacts, SourceWindow, SubscriberWindow, ViewerCounts,
};

/// Reselections of one source in a row at which somebody should look.
pub const RESELECT_ALERT_THRESHOLD: u64 = 3;

/// What a selection means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selected {
    /// How often this source was selected again, in a row.
    pub same_source: u64,
    /// That has just become worth a warning.
    pub alert: bool,
}

/// One session's past, and its present source.
#[derive(Clone, Debug)]
pub struct History {
    limits: Limits,
    counts: ViewerCounts,
    connected: u64,
    is_over: bool,
    selections: Selections,
    current: Option<Arc<SourceWindow>>,
    /// Deselected ones, oldest first.
    past: VecDeque<Arc<SourceWindow>>,
    sources_truncated: u64,
    /// Viewers who have gone, by number. Those who watch are known to the engine.
    gone: BTreeMap<u64, SubscriberWindow>,
    subscribers_truncated: u64,
}

impl History {
    /// Of a session that begins.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            counts: ViewerCounts::default(),
            connected: 0,
            is_over: false,
            selections: Selections::default(),
            current: None,
            past: VecDeque::new(),
            sources_truncated: 0,
            gone: BTreeMap::new(),
            subscribers_truncated: 0,
        }
    }

    /// A viewer has come. Gives its number.
    pub fn attach(&mut self) -> u64 {
        self.counts.total += 1;
        self.connected += 1;
        self.counts.peak = self.counts.peak.max(self.connected);
        self.forget_subscribers();
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
        self.forget_subscribers();
    }

    /// Those who watch have their place whatever the limit is; the oldest of those who have gone give theirs.
    fn forget_subscribers(&mut self) {
        let connected = usize::try_from(self.connected).unwrap_or(usize::MAX);
        while self.gone.len().saturating_add(connected) > self.limits.subscribers
            && self.gone.pop_first().is_some()
        {
            self.subscribers_truncated += 1;
        }
    }

    /// A source was selected; the one before is no more. A source at an address that was selected before it
    /// keeps what was known of its stream.
    pub fn select(&mut self, now: Instant, mut source: SourceFacts, reason: String) -> Selected {
        let before = self.current.as_ref().map(|window| &window.source);
        let is_same = before.is_some_and(|before| before.id == source.id);
        if let Some(before) = before
            && is_same
            && before.url == source.url
            && source.profile == Profile::default()
        {
            source.profile = before.profile.clone();
        }
        self.deselect(now);
        let same_source = if is_same { self.selections.same_source + 1 } else { 0 };
        self.selections = Selections {
            count: self.selections.count + 1,
            same_source,
            last_at: Some(now),
            last_reason: reason.clone(),
        };
        self.current = Some(Arc::new(SourceWindow { source, selected_at: now, deselected_at: None, reason }));
        self.forget_sources();
        Selected { same_source, alert: same_source == RESELECT_ALERT_THRESHOLD }
    }

    /// More is known of the current source.
    pub fn update(&mut self, change: impl FnOnce(&mut SourceFacts)) {
        if let Some(current) = &mut self.current {
            change(&mut Arc::make_mut(current).source);
        }
    }

    fn deselect(&mut self, now: Instant) {
        if let Some(mut window) = self.current.take() {
            Arc::make_mut(&mut window).deselected_at = Some(now);
            self.past.push_back(window);
        }
    }

    fn forget_sources(&mut self) {
        while self.past.len() + usize::from(self.current.is_some()) > self.limits.sources {
            self.past.pop_front();
            self.sources_truncated += 1;
        }
    }

    /// The session is over: so are its source and the streams of those who still watch.
    pub fn end(&mut self, now: Instant, watching: impl IntoIterator<Item = SubscriberWindow>) {
        for viewer in watching {
            self.detach(SubscriberWindow { left: Some((now, CloseReason::SessionClosed)), ..viewer });
        }
        self.deselect(now);
        self.forget_sources();
        self.is_over = true;
    }

    /// True once [`History::end`] was called.
    #[must_use]
    #[cfg(test)]
    pub const fn is_over(&self) -> bool {
        self.is_over
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

    /// How often sources were selected.
    #[must_use]
    pub const fn selections(&self) -> &Selections {
        &self.selections
    }

    /// The selected source.
    #[must_use]
    pub fn current(&self) -> Option<&SourceWindow> {
        self.current.as_deref()
    }

    /// All remembered sources in the order of selection, and how many are forgotten.
    #[must_use]
    pub fn sources(&self) -> (Vec<Arc<SourceWindow>>, u64) {
        (self.past.iter().chain(&self.current).cloned().collect(), self.sources_truncated)
    }

    /// All remembered viewers who have gone, in the order in which they came, and how many are forgotten.
    #[must_use]
    pub fn gone(&self) -> (Vec<SubscriberWindow>, u64) {
        (self.gone.values().copied().collect(), self.subscribers_truncated)
    }

    /// How much is remembered.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }
}
