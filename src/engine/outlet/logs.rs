//! What is told of viewers in the log.

use crate::base::Instant;
use crate::engine::border::feed::View;
use crate::engine::report::events::{self, Lag};
use crate::session::history::CloseReason;

use super::{Outlet, Viewer, ViewerKey};

impl Viewer {
    const fn named(&self) -> events::ViewerName {
        events::ViewerName { subscriber_id: self.number, client_addr: self.peer }
    }
}

impl Outlet {
    /// Somebody belongs to the session from now on.
    pub(super) fn log_joined(&self, feed: &View, key: ViewerKey, is_reused: bool) {
        let Some(viewer) = self.viewers.get(key) else { return };
        let (about, count) = (feed.about(), self.connected());
        let level = events::viewer_level(count);
        if !log::log_enabled!(level) {
            return;
        }
        if is_reused {
            log::log!(level, "{}", events::session_reused(about, count));
        }
        log::log!(level, "{}", events::subscriber_connected(about, viewer.named(), count));
        if count == 1 {
            log::info!("{}", events::entered_active_subscribers(about));
        }
    }

    /// A viewer gets its first bytes.
    pub(super) fn log_started(&self, feed: &View, key: ViewerKey) {
        let Some(viewer) = self.viewers.get(key) else { return };
        let count = self.connected();
        let level = events::viewer_level(count);
        if !log::log_enabled!(level) {
            return;
        }
        let tuner = feed.tuner().unwrap_or_default();
        let line = events::stream_started(feed.about(), viewer.named(), tuner, feed.producer(), count);
        log::log!(level, "{line}");
    }

    /// A viewer is no longer part of the session.
    pub(super) fn log_gone(&self, now: Instant, feed: &View, key: ViewerKey, reason: CloseReason) {
        let Some(viewer) = self.viewers.get(key) else { return };
        let (about, count) = (feed.about(), self.connected());
        let duration = now - viewer.joined_at;
        let usual = events::viewer_level(count);
        if log::log_enabled!(usual) {
            let line = events::subscriber_disconnected(about, viewer.named(), reason, count, duration);
            log::log!(usual, "{line}");
        }
        let Some(watching) = viewer.watching() else { return };
        let lag = Lag {
            position: watching.position,
            tail: feed.tail(),
            head: feed.head(),
            bytes: feed.head().saturating_sub(watching.position),
        };
        let level = events::stream_ended_level(reason, count);
        if log::log_enabled!(level) {
            let blocked = now - watching.progress_at;
            let line = events::stream_ended(about, viewer.named(), reason, duration, blocked, lag);
            log::log!(level, "{line}");
        }
    }

    /// A viewer that was too slow has been moved forward by `bytes`.
    pub(super) fn log_skipped(&mut self, now: Instant, feed: &View, key: ViewerKey, bytes: u64) {
        let Some(coalesced) = self.skip_log.due(now, ()) else { return };
        let Some(viewer) = self.viewers.get(key) else { return };
        let Some(watching) = viewer.watching() else { return };
        let lag = Lag { position: watching.position - bytes, tail: feed.tail(), head: feed.head(), bytes };
        log::warn!("{}", events::slow_skip(feed.about(), viewer.named(), lag, coalesced));
    }
}
