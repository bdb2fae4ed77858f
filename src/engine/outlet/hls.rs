//! Those who watch a channel by asking for lists and segments. They have no connection: each request comes by one of its own or by one
//! that was kept, to the channel's core, and what makes a viewer of several is the name of their session.

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::{HLS_VIEWERS_MAX, REQUEST_HEAD_TIMEOUT};
use crate::engine::border::feed::Feed;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::post::{ToChannel, Word};
use crate::engine::context::token::{ChannelRef, ConnectionRef};
use crate::engine::port::ids::CoreId;
use crate::engine::port::outlets::ToOutlet;
use crate::engine::port::snapshot::{HlsSnapshot, ViewerSnapshot};
use crate::engine::report::events::{self, About, ViewerName};
use crate::hls::{ListAddress, SessionName, Viewers, Watcher, master_list, media_list};
use crate::http::{ListKind, Persistence, StreamError, hls_list};
use crate::session::history::{Audience, CloseReason, SubscriberWindow};

/// Whoever has not asked for so many target durations has left,
const IDLE_TARGETS: u32 = 3;
/// and for so long: a player that stands still for a moment comes back.
const IDLE: Duration = Duration::from_secs(12);
/// A request for a list is answered after this at the latest.
const LIST_WAIT: Duration = Duration::from_secs(8);
const _: () = assert!(LIST_WAIT.as_secs() < REQUEST_HEAD_TIMEOUT.as_secs());

/// A request for a list.
pub(crate) struct ListRequest {
    /// Who asks.
    pub(crate) connection: ConnectionRef,
    /// By which name it is a viewer.
    pub(crate) name: SessionName,
    /// It has that name from here, and is told it.
    pub(crate) is_new: bool,
    /// The word that opens streams, as it stood in the request.
    pub(crate) token: Option<String>,
    /// What becomes of the connection when it is answered.
    pub(crate) persistence: Persistence,
}

impl ListRequest {
    fn answer(&self, feed: &mut Feed, is_patient: bool) -> Option<Vec<u8>> {
        let (stream, bits_per_second) = (feed.stream(), feed.bits_per_second());
        let listed = feed.listed(is_patient)?;
        let address = ListAddress { stream, token: self.token.as_deref() };
        let mut answer = Vec::new();
        if self.is_new {
            let text = master_list(address, self.name.as_str(), bits_per_second);
            hls_list(&mut answer, ListKind::Master, self.persistence, &text);
        } else {
            hls_list(&mut answer, ListKind::Media, self.persistence, &media_list(address, &listed));
        }
        Some(answer)
    }
}

/// One that waits for the first segment.
struct Waiting {
    until: Instant,
    request: ListRequest,
}

/// Those of one channel. They stand where the channel is.
pub(super) struct HlsAudience {
    channel: ChannelRef,
    viewers: Viewers,
    waiting: Vec<Waiting>,
}

impl HlsAudience {
    pub(super) const fn new(channel: ChannelRef) -> Self {
        Self { channel, viewers: Viewers::new(HLS_VIEWERS_MAX), waiting: Vec::new() }
    }

    pub(super) const fn viewers(&self) -> &Viewers {
        &self.viewers
    }

    pub(super) const fn viewers_mut(&mut self) -> &mut Viewers {
        &mut self.viewers
    }

    /// Somebody who has a place is a viewer from now on.
    pub(super) fn join<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        about: About<'_>,
        name: SessionName,
        watcher: Watcher,
        (count, is_reused): (u64, bool),
    ) {
        cx.tallies_mut().joined();
        let level = events::viewer_level(count);
        if log::log_enabled!(level) {
            if is_reused {
                log::log!(level, "{}", events::session_reused(about, count));
            }
            let line = events::subscriber_connected(about, named(&watcher), count);
            let line = line.field("kind", "hls").unless_empty("user_agent", &watcher.user_agent);
            log::log!(level, "{line}");
        }
        if count == 1 {
            log::info!("{}", events::entered_active_subscribers(about));
        }
        self.viewers.join(name, watcher);
    }

    /// A viewer wants its list: it gets it when there is something to be listed.
    pub(super) fn ask<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &mut Feed, request: ListRequest) {
        match request.answer(feed, true) {
            Some(answer) => cx.post.say(Word::Answer(request.connection, answer, request.persistence)),
            None => self.waiting.push(Waiting { until: cx.now + LIST_WAIT, request }),
        }
    }

    /// Looks after those who wait, and finds those who have left. The windows of these are for the history.
    pub(super) fn sweep<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &mut Feed, audience: &mut Audience) {
        let now = cx.now;
        if !self.waiting.is_empty() {
            for Waiting { until, request } in std::mem::take(&mut self.waiting) {
                if let Some(answer) = request.answer(feed, until > now) {
                    cx.post.say(Word::Answer(request.connection, answer, request.persistence));
                } else if until <= now {
                    cx.post.say(Word::Refuse(request.connection, StreamError::NoSegment));
                } else {
                    self.waiting.push(Waiting { until, request });
                    continue;
                }
            }
        }
        for watcher in self.viewers.take_idle(now, IDLE.max(feed.target() * IDLE_TARGETS)) {
            self.gone(cx, feed, audience, &watcher, CloseReason::HttpContextCanceled);
        }
    }

    /// An administrator wants one to leave. Gives its name.
    pub(super) fn kick<D: CoreDriver>(
        &self,
        cx: &mut Cx<D>,
        feed: &Feed,
        audience: &mut Audience,
        (name, watcher): (SessionName, Watcher),
    ) -> SessionName {
        self.gone(cx, feed, audience, &watcher, CloseReason::Kicked);
        name
    }

    /// The channel tells something.
    pub(super) fn tell<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &Feed,
        audience: &mut Audience,
        word: ToOutlet,
    ) {
        match word {
            ToOutlet::Moved => {}
            ToOutlet::Admit => self.viewers.admit(),
            ToOutlet::Refuse(error) => {
                for watcher in self.viewers.take_waiting() {
                    // The channel knows whom it has turned away.
                    self.forget(cx, feed, audience, &watcher, CloseReason::SessionClosed);
                }
                self.refuse_waiting(cx, error);
            }
            ToOutlet::Over => {
                // What is listed of it may still be fetched by its viewers, who begin a new session when they ask for the list again.
                for watcher in self.viewers.take_all() {
                    self.forget(cx, feed, audience, &watcher, CloseReason::SessionClosed);
                }
                self.refuse_waiting(cx, StreamError::NoSegment);
            }
            ToOutlet::End => {
                for watcher in self.viewers.take_all() {
                    self.gone(cx, feed, audience, &watcher, CloseReason::SessionClosed);
                }
                self.refuse_waiting(cx, StreamError::NoSegment);
            }
        }
    }

    fn refuse_waiting<D: CoreDriver>(&mut self, cx: &mut Cx<D>, error: StreamError) {
        for waiting in std::mem::take(&mut self.waiting) {
            cx.post.say(Word::Refuse(waiting.request.connection, error));
        }
    }

    /// A viewer is gone, which the channel is told.
    fn gone<D: CoreDriver>(
        &self,
        cx: &mut Cx<D>,
        feed: &Feed,
        audience: &mut Audience,
        watcher: &Watcher,
        reason: CloseReason,
    ) {
        self.forget(cx, feed, audience, watcher, reason);
        cx.post.say(Word::Channel(self.channel, ToChannel::Left(watcher.number, reason)));
    }

    fn forget<D: CoreDriver>(
        &self,
        cx: &mut Cx<D>,
        feed: &Feed,
        audience: &mut Audience,
        watcher: &Watcher,
        reason: CloseReason,
    ) {
        audience.detach(SubscriberWindow { left: Some((cx.now, reason)), ..window(watcher) });
        cx.tallies_mut().ended(reason);
        cx.viewer_leaves(watcher.came_from.ip());
        let count = audience.connected();
        let level = events::viewer_level(count);
        if log::log_enabled!(level) {
            let duration = cx.now - watcher.joined_at;
            let line = events::subscriber_disconnected(feed.about(), named(watcher), reason, count, duration);
            log::log!(level, "{line}");
        }
    }

    /// The viewers as operators see them.
    pub(super) fn snapshot(&self, core: CoreId) -> impl Iterator<Item = ViewerSnapshot> {
        self.viewers.iter().map(move |watcher| ViewerSnapshot {
            id: watcher.number,
            peer: watcher.peer,
            core,
            joined_at: watcher.joined_at,
            bytes_sent: 0,
            lag_bytes: 0,
            hls: Some(HlsSnapshot { user_agent: watcher.user_agent.clone() }),
        })
    }
}

const fn window(watcher: &Watcher) -> SubscriberWindow {
    SubscriberWindow { id: watcher.number, peer: watcher.peer, connected_at: watcher.joined_at, left: None }
}

const fn named(watcher: &Watcher) -> ViewerName {
    ViewerName { subscriber_id: watcher.number, client_addr: watcher.peer }
}
