//! All outlets of a channel, as its own core knows them: the one that stands there, and links to those on other cores.
//!
//! A link says what is to be told and has not been. It is told when the other core's mailbox has room; until then everything is put
//! together, so that there is never more of it than one message.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::engine::border::feed::{Feed, View};
use crate::engine::border::messages::Readers;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::post::{ToChannel, Word};
use crate::engine::context::token::ChannelRef;
use crate::engine::port::ids::CoreId;
use crate::engine::port::outlets::{JoinRequest, Joined, News, Reply, ToHome, ToOutlet};
use crate::engine::port::snapshot::ViewerSnapshot;
use crate::hls::{SessionName, Viewers, Watcher};
use crate::ring::Offset;
use crate::session::history::{Audience, Limits, SubscriberWindow, WriteCounters};

use super::Outlet;
use super::hls::{HlsAudience, ListRequest};

/// A viewer on another core.
struct AwayViewer {
    peer: SocketAddr,
    joined_at: Instant,
}

impl AwayViewer {
    const fn window(&self, number: u64) -> SubscriberWindow {
        SubscriberWindow { id: number, peer: self.peer, connected_at: self.joined_at, left: None }
    }
}

/// The outlet on another core, which is there as long as it has viewers.
struct Link {
    core: CoreId,
    viewers: BTreeMap<u64, AwayViewer>,
    /// The pace of the latest of them.
    promised: Option<Offset>,
    /// Some of them may wait for the first picture.
    has_waiting: bool,
    /// How the feed was when it was last told what there is to see.
    seen: Option<u64>,
    /// What it is to be told.
    news: News,
    /// The core knows that there is something to tell.
    is_due: bool,
}

/// The outlets of one channel.
pub(crate) struct Outlets {
    channel: ChannelRef,
    own: Outlet,
    /// Those who watch by segments, from whichever core they come.
    hls: HlsAudience,
    /// One for each other core that has viewers.
    links: Vec<Link>,
    /// What the slow ones of other cores cost.
    writes: WriteCounters,
    promises_changed: bool,
}

impl Outlets {
    pub(crate) fn new(channel: ChannelRef, limits: Limits) -> Self {
        Self {
            channel,
            own: Outlet::new(channel, limits),
            hls: HlsAudience::new(channel),
            links: Vec::new(),
            writes: WriteCounters::default(),
            promises_changed: false,
        }
    }

    /// The one on the channel's own core.
    pub(crate) const fn own(&self) -> &Outlet {
        &self.own
    }

    pub(crate) const fn own_mut(&mut self) -> &mut Outlet {
        &mut self.own
    }

    /// Viewers on all cores, those included who wait for the first picture.
    pub(crate) fn count(&self) -> usize {
        self.own.count() + self.links.iter().map(|link| link.viewers.len()).sum::<usize>()
    }

    /// Who watches and has watched.
    pub(crate) const fn audience(&self) -> &Audience {
        self.own.audience()
    }

    /// What the slow ones cost.
    pub(crate) fn writes(&self) -> WriteCounters {
        let mut all = self.own.writes();
        all.add(&self.writes);
        all
    }

    /// Those who watch by segments.
    pub(crate) const fn hls(&self) -> &Viewers {
        self.hls.viewers()
    }

    /// One of those asks for its list. False when nobody watches by its name.
    pub(crate) fn ask_for_list<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &mut Feed,
        peer: SocketAddr,
        request: ListRequest,
    ) -> Result<(), ListRequest> {
        if !self.hls.viewers_mut().asks(&request.name, !request.is_new, peer, cx.now) {
            return Err(request);
        }
        self.hls.ask(cx, feed, request);
        Ok(())
    }

    /// Somebody who has a place watches by segments from now on. Gives the number.
    pub(crate) fn join_hls<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &Feed,
        (name, peer, user_agent): (SessionName, SocketAddr, &str),
        is_reused: bool,
    ) -> u64 {
        let number = self.own.audience_mut().attach();
        let watcher = Watcher::new(number, peer, user_agent, cx.now);
        let count = self.own.connected();
        self.hls.join(cx, feed.about(), name, watcher, (count, is_reused));
        number
    }

    /// Looks after those who watch by segments, ten times a second.
    pub(crate) fn sweep_hls<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &mut Feed) {
        self.hls.sweep(cx, feed, self.own.audience_mut());
    }

    /// An administrator wants a viewer that watches by segments to leave. Gives its name when it was here.
    pub(crate) fn kick_hls<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &Feed,
        number: u64,
    ) -> Option<SessionName> {
        let taken = self.hls.viewers_mut().take(number)?;
        Some(self.hls.kick(cx, feed, self.own.audience_mut(), taken))
    }

    /// Somebody on another core is a viewer from now on. Gives the number.
    pub(crate) fn join_away<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        request: &JoinRequest,
        is_reused: bool,
    ) -> u64 {
        let number = self.own.attach_away();
        let index = self.links.iter().position(|link| link.core == request.core);
        let index = index.unwrap_or_else(|| {
            self.links.push(Link {
                core: request.core,
                viewers: BTreeMap::new(),
                promised: None,
                has_waiting: false,
                seen: None,
                news: News::default(),
                is_due: false,
            });
            self.links.len() - 1
        });
        let link = &mut self.links[index];
        link.viewers.insert(number, AwayViewer { peer: request.peer, joined_at: cx.now });
        link.has_waiting = true;
        link.news.joined.push(Joined { connection: request.connection, number, is_reused });
        // That core forgets what it saw when its last viewer goes, which may be on its way.
        link.seen = None;
        link.is_due(cx, self.channel);
        number
    }

    /// An outlet on another core has something to tell. Gives what the channel is to hear.
    pub(crate) fn hear(&mut self, now: Instant, core: CoreId, word: ToHome) -> Option<ToChannel> {
        let index = self.links.iter().position(|link| link.core == core)?;
        let link = &mut self.links[index];
        match word {
            ToHome::Left(number, reason) => {
                let viewer = link.viewers.remove(&number)?;
                self.own.detach_away(SubscriberWindow { left: Some((now, reason)), ..viewer.window(number) });
                if link.viewers.is_empty() {
                    self.links.swap_remove(index);
                    self.promises_changed = true;
                }
                Some(ToChannel::Left(number, reason))
            }
            ToHome::Admitted(reply) => {
                link.has_waiting |= reply.has_waiting;
                link.promised = link.promised.max(reply.promised);
                Some(ToChannel::Admitted(reply))
            }
            ToHome::Promised(offset) => {
                link.promised = link.promised.max(Some(offset));
                Some(ToChannel::Promised(offset))
            }
            ToHome::Promises(latest) => {
                link.promised = latest;
                self.promises_changed = true;
                None
            }
            ToHome::Writes(writes) => {
                self.writes.add(&writes);
                None
            }
        }
    }

    /// The pace of the latest viewer on all cores, if what is promised has changed.
    pub(crate) fn promises(&mut self, clock_now: Instant, view: &View) -> Option<Option<Offset>> {
        let of_own = self.own.promises(clock_now, view);
        let has_changed = std::mem::take(&mut self.promises_changed) || of_own.is_some();
        if !has_changed {
            return None;
        }
        let of_own = of_own.unwrap_or_else(|| self.own.latest());
        Some(self.links.iter().map(|link| link.promised).fold(of_own, Option::max))
    }

    /// The streams of all viewers end.
    pub(crate) fn end_viewers<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &Feed) {
        let _nothing_comes_of_it = self.tell(cx, feed, ToOutlet::End);
    }

    /// There may be something to see that other cores have not seen.
    pub(crate) fn note_changes<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &Feed) {
        for link in &mut self.links {
            if link.seen != Some(feed.changes()) {
                link.is_due(cx, self.channel);
            }
        }
    }

    /// What another core is to be told next. `lost` is by how much this core's own time is behind the clock.
    pub(crate) fn take_news(&mut self, feed: &Feed, lost: Duration) -> Option<(CoreId, News)> {
        let connected = self.own.connected();
        let link = self.links.iter_mut().find(|link| link.is_due)?;
        link.is_due = false;
        let mut news = std::mem::take(&mut link.news);
        news.connected = connected.saturating_sub(link.viewers.len() as u64);
        if link.seen != Some(feed.changes()) {
            link.seen = Some(feed.changes());
            news.sight = Some(Box::new(feed.sight(lost)));
        }
        Some((link.core, news))
    }

    /// That core had no room for it: it is told later.
    pub(crate) fn put_back(&mut self, core: CoreId, mut news: News) {
        let Some(link) = self.links.iter_mut().find(|link| link.core == core) else { return };
        if news.sight.take().is_some() {
            link.seen = None;
        }
        link.is_due = true;
        link.news = news;
    }

    /// The viewers as operators see them, in the order in which they came. What those on other cores have got is known there.
    pub(crate) fn snapshot(&self, own: CoreId, view: &View) -> Vec<ViewerSnapshot> {
        let mut viewers = self.own.snapshot(own, view);
        for link in &self.links {
            let core = link.core;
            viewers.extend(link.viewers.iter().map(|(&id, &AwayViewer { peer, joined_at })| {
                ViewerSnapshot { id, peer, core, joined_at, bytes_sent: 0, lag_bytes: 0, hls: None }
            }));
        }
        viewers.extend(self.hls.snapshot(own));
        viewers.sort_by_key(|viewer| viewer.id);
        viewers
    }
}

impl Link {
    fn is_due<D: CoreDriver>(&mut self, cx: &mut Cx<D>, channel: ChannelRef) {
        if !std::mem::replace(&mut self.is_due, true) {
            cx.post.say(Word::News(channel));
        }
    }

    fn tell<D: CoreDriver>(&mut self, cx: &mut Cx<D>, channel: ChannelRef, word: ToOutlet) {
        match word {
            ToOutlet::Moved => self.news.has_moved = true,
            ToOutlet::Admit if !std::mem::take(&mut self.has_waiting) => return,
            ToOutlet::Admit => self.news.admits = true,
            // The session's end refuses once more; the first says why.
            ToOutlet::Refuse(error) => self.news.refuses = self.news.refuses.or(Some(error)),
            ToOutlet::Over => self.news.is_over = true,
            ToOutlet::End => self.news.ends = true,
        }
        self.is_due(cx, channel);
    }
}

impl<D: CoreDriver> Readers<D> for Outlets {
    fn tell(&mut self, cx: &mut Cx<D>, feed: &Feed, word: ToOutlet) -> Reply {
        for link in &mut self.links {
            link.tell(cx, self.channel, word);
        }
        self.hls.tell(cx, feed, self.own.audience_mut(), word);
        if word == ToOutlet::Over {
            let away = self.links.iter().flat_map(|link| &link.viewers);
            self.own.end(cx.now, away.map(|(&number, viewer)| viewer.window(number)));
            return Reply::default();
        }
        self.own.tell(cx, feed.view(), word)
    }
}
