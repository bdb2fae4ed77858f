//! What a core tells of its viewers in the log.

use crate::base::ChildExit;
use crate::ring::Lent;
use crate::session::history::CloseReason;
use crate::uring::Driver;

use crate::engine::connection::client::{ClientKey, SessionKey};
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::report::events::{self, Lag, Viewer};

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// A client belongs to a session from now on.
    pub(crate) fn tell_joined(&self, session: SessionKey, key: ClientKey, is_reused: bool) {
        let Some(live) = self.sessions.get(session) else { return };
        let Some((_, viewer)) = self.clients.get(key).and_then(|client| client.subscriber()) else { return };
        let (about, count) = (live.about(), live.history.connected());
        let level = events::viewer_level(count);
        if !log::log_enabled!(level) {
            return;
        }
        if is_reused {
            log::log!(level, "{}", events::session_reused(about, count));
        }
        let viewer = Viewer { subscriber_id: viewer.id, client_addr: viewer.peer };
        log::log!(level, "{}", events::subscriber_connected(about, viewer, count));
        if count == 1 {
            log::info!("{}", events::entered_active_subscribers(about));
        }
    }

    /// A viewer gets its first bytes.
    pub(crate) fn tell_started(&self, session: SessionKey, key: ClientKey) {
        let Some(live) = self.sessions.get(session) else { return };
        let Some((_, viewer)) = self.clients.get(key).and_then(|client| client.subscriber()) else { return };
        let count = live.history.connected();
        let level = events::viewer_level(count);
        if !log::log_enabled!(level) {
            return;
        }
        let viewer = Viewer { subscriber_id: viewer.id, client_addr: viewer.peer };
        let producer = live.history.current().map(|window| window.source.producer()).unwrap_or_default();
        let tuner = live.tuner.unwrap_or_default();
        log::log!(level, "{}", events::stream_started(live.about(), viewer, tuner, &producer, count));
    }

    /// A client is no longer part of a session.
    pub(crate) fn tell_gone(&self, session: SessionKey, key: ClientKey, reason: CloseReason) {
        let (Some(live), Some(client)) = (self.sessions.get(session), self.clients.get(key)) else { return };
        let Some((_, subscriber)) = client.subscriber() else { return };
        let (about, count) = (live.about(), live.history.connected());
        let viewer = Viewer { subscriber_id: subscriber.id, client_addr: subscriber.peer };
        let duration = self.now - subscriber.connected_at;
        let usual = events::viewer_level(count);
        if log::log_enabled!(usual) {
            let line = events::subscriber_disconnected(about, viewer, reason, count, duration);
            log::log!(usual, "{line}");
        }
        let Some(watching) = client.viewer() else { return };
        let lag = Lag {
            position: watching.position,
            tail: live.ring.tail(),
            head: live.ring.head(),
            bytes: live.ring.head().saturating_sub(watching.position),
        };
        let level = events::stream_ended_level(reason, count);
        if log::log_enabled!(level) {
            let blocked = self.now - watching.progress_at;
            let line = events::stream_ended(about, viewer, reason, duration, blocked, lag);
            log::log!(level, "{line}");
        }
    }

    /// The selected source is gone.
    pub(crate) fn tell_lost(&self, session: SessionKey, reason: Option<&str>) {
        let Some(live) = self.sessions.get(session) else { return };
        let source = live.history.current().map_or(0, |window| window.source.id.0);
        log::warn!("{}", events::source_lost(live.about(), source, reason));
    }

    /// The child that reads the selected source has ended.
    pub(crate) fn tell_child_ended(&self, session: SessionKey, exit: ChildExit, stderr_tail: &str) {
        let Some(live) = self.sessions.get(session) else { return };
        let source = live.history.current().map_or(0, |window| window.source.id.0);
        log::warn!("{}", events::child_ended(live.about(), source, exit, stderr_tail));
    }

    /// A viewer that was too slow has been moved forward by `bytes`.
    pub(crate) fn tell_skipped(&mut self, session: SessionKey, key: ClientKey, bytes: u64) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(coalesced) = live.skip_log.due(self.now, ()) else { return };
        let Some(client) = self.clients.get(key) else { return };
        let Some(watching) = client.viewer() else { return };
        let viewer = Viewer { subscriber_id: watching.number, client_addr: client.peer };
        let lag = Lag {
            position: watching.position - bytes,
            tail: live.ring.tail(),
            head: live.ring.head(),
            bytes,
        };
        log::warn!("{}", events::slow_skip(live.about(), viewer, lag, coalesced));
    }
}
