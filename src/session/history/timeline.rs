//! A session's sources as they follow each other.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::Instant;

use super::facts::{Limits, Selections, SourceFacts, SourceWindow};

/// Reselections of one source in a row at which somebody should look.
pub const RESELECT_ALERT_THRESHOLD: u64 = 3;

/// What a selection means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selection {
    /// How often this source was selected again, in a row.
    pub same_source: u64,
    /// That has just become worth a warning.
    pub alert: bool,
}

/// One session's sources, the past ones and the present one.
#[derive(Clone, Debug)]
pub struct SourceTimeline {
    limits: Limits,
    selections: Selections,
    current: Option<Arc<SourceWindow>>,
    /// Deselected ones, oldest first.
    past: VecDeque<Arc<SourceWindow>>,
    sources_truncated: u64,
}

impl SourceTimeline {
    /// Of a session that begins.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            selections: Selections::default(),
            current: None,
            past: VecDeque::new(),
            sources_truncated: 0,
        }
    }

    /// A source was selected; the one before is no more. A source at an address that was selected before it
    /// keeps what was known of its stream.
    pub fn select(&mut self, now: Instant, mut source: SourceFacts, reason: String) -> Selection {
        let before = self.current.as_ref().map(|window| &window.source);
        let is_same = before.is_some_and(|before| before.id == source.id);
        if let Some(before) = before
            && is_same
            && before.url == source.url
            && source.profile.is_empty()
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
        Selection { same_source, alert: same_source == RESELECT_ALERT_THRESHOLD }
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

    /// The session is over: so is its source.
    pub fn end(&mut self, now: Instant) {
        self.deselect(now);
        self.forget_sources();
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

    /// How much is remembered.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }
}
