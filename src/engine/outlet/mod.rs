//! The reading side of a channel: its viewers, from their request to their last byte.
//!
//! An outlet reads what its channel has written ([`Feed`]) and owns everything about its viewers. It changes nothing of the
//! channel: what the channel must know of viewers it is told.

pub(crate) mod away;
mod egress;
pub(crate) mod fetches;
pub(crate) mod hls;
mod logs;
mod looks;
pub(crate) mod outlets;

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::limits::CONNECTIONS_PER_CORE_MAX;
use crate::base::{Arena, Errno, HeapBytes, Instant, Key};
use crate::engine::border::feed::View;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::post::{ToChannel, Word};
use crate::engine::context::token::{ChannelRef, Token, ViewerRef};
use crate::engine::port::ids::CoreId;
use crate::engine::port::outlets::{Reply, ToOutlet};
use crate::engine::port::params::{SlowPolicy, ZeroCopy};
use crate::engine::port::snapshot::ViewerSnapshot;
use crate::engine::report::events::Coalesced;
use crate::http::{Persistence, STREAM_INTERIM, StreamError, stream_head};
use crate::ring::{Entry, Lent, Offset, Segments};
use crate::session::history::{Audience, CloseReason, Limits, SubscriberWindow, WriteCounters};
use crate::ts;
use crate::uring::{Handle, Hangup, KernelDriver, OpKey, Operation};

type ViewerKey = Key<Viewer>;

/// The viewers of one channel on one core.
pub(crate) struct Outlet {
    channel: ChannelRef,
    viewers: Arena<Viewer>,
    /// Those who wait for the first picture. Some may have left since.
    waiting: Vec<ViewerKey>,
    /// Those who have been sent everything up to the mark. Some may have left since.
    caught_up: Vec<ViewerKey>,
    /// Who watches and has watched: of the whole session where its channel is, else of this core.
    audience: Audience,
    /// Where the channel is on another core: how many watch the session on others, as far as is known here.
    elsewhere: Option<u64>,
    /// What the slow ones cost.
    writes: WriteCounters,
    /// Somebody has left to whom something was promised.
    promises_changed: bool,
    /// Viewers are late because the core has stood still, or may be.
    has_excused: bool,
    skip_log: Coalesced<()>,
}

/// A viewer, or somebody who is to become one.
struct Viewer {
    handle: Handle,
    peer: SocketAddr,
    /// The peer is on this host.
    is_local: bool,
    /// It knows interim answers.
    takes_interim: bool,
    /// Its number within the session, from 1.
    number: u64,
    joined_at: Instant,
    state: ViewerState,
}

enum ViewerState {
    /// It waits for the first picture, and wants to watch for so long.
    Waiting(Option<Duration>),
    Watching(Watching),
}

/// A position in the channel's ring, and what is on its way from there.
struct Watching {
    /// The next byte of the stream it is to be sent.
    position: u64,
    /// What it is to be sent before that: the response head and tables, or the signs of a skip.
    preamble: Vec<u8>,
    sending: Sending,
    /// It is in the queue of those to be sent to.
    is_queued: bool,
    /// Zero-copy sends whose memory the kernel still holds.
    held: u8,
    way: Way,
    /// Its socket has taken nothing since it was full.
    is_full: bool,
    /// Its socket was full since it last had everything: whoever is behind without that waits for the core.
    was_full: bool,
    /// It has had everything once. What it was given to begin with is not what it is behind.
    has_caught_up: bool,
    /// When its socket last took something, or had nothing to take.
    progress_at: Instant,
    /// At which pace it may take what it gets.
    promised: Offset,
    /// How much later than that it may take it, in milliseconds: it cannot be sent anything while the core cannot run.
    excused_ms: u32,
    /// When it has had what it wants.
    goal: Goal,
    /// That time has come: it gets the rest of the packet it was being sent, and then the end.
    is_ending: bool,
    bytes_sent: u64,
    /// It fell too far behind while a send was in flight, which is being cancelled: skip when it ends.
    skip_wanted: bool,
}

/// What somebody wants of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goal {
    /// All that comes.
    Endless,
    /// What comes until then.
    Until(Instant),
    /// What lies before this position: it fetches a segment, and whose viewer it is is not known. It is no viewer of the session, and
    /// when it has all of that it may ask for more.
    Span(u64, Persistence),
}

/// Whether a viewer's socket has work to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sending {
    /// No send in flight.
    Nothing,
    /// The preamble is in flight.
    Preamble(OpKey),
    /// A span of the ring is being sent.
    Stream { op: OpKey, bytes: u32 },
    /// It is full, and says when it is not.
    Room(OpKey),
}

/// How a viewer is sent the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// The kernel copies it.
    Copy,
    /// The network card reads it; so many notifications in a row have said that the kernel copied.
    ZeroCopy { copied_in_a_row: u8 },
    /// From the ring's file: the kernel refers to its pages.
    File,
}

/// From so many viewers of a channel on a core on, whoever joins is sent to from the ring's file, though its pages are small.
const FILE_VIEWERS_MIN: usize = 16;

impl Way {
    /// To somebody who begins.
    const fn first(asked: ZeroCopy, segments: Segments, is_local: bool, viewers: usize) -> Self {
        match asked {
            ZeroCopy::SendZc => Self::ZeroCopy { copied_in_a_row: 0 },
            ZeroCopy::Auto if !is_local => Self::ZeroCopy { copied_in_a_row: 0 },
            ZeroCopy::Auto => Self::on_this_host(segments, viewers),
            ZeroCopy::SendFile => Self::File,
            ZeroCopy::Never => Self::Copy,
        }
    }

    /// The cheapest to one of so many viewers whose socket is on this host, too. What was sent from the ring's file gets new pages once
    /// in each round of the ring: with small ones that costs what a dozen viewers save.
    const fn on_this_host(segments: Segments, viewers: usize) -> Self {
        match segments {
            Segments::Small if viewers < FILE_VIEWERS_MIN => Self::Copy,
            Segments::Small | Segments::Huge => Self::File,
        }
    }
}

// Memory per viewer is what this and two operations in flight take; each of those is one cache line.
const _: () = assert!(size_of::<Viewer>() <= 184);
const _: () = assert!(KernelDriver::<Token, Lent>::BYTES_PER_OPERATION == 64);

impl Viewer {
    const fn watching(&self) -> Option<&Watching> {
        match &self.state {
            ViewerState::Watching(watching) => Some(watching),
            ViewerState::Waiting(_) => None,
        }
    }

    const fn watching_mut(&mut self) -> Option<&mut Watching> {
        match &mut self.state {
            ViewerState::Watching(watching) => Some(watching),
            ViewerState::Waiting(_) => None,
        }
    }

    /// It fetches a segment.
    const fn is_fetch(&self) -> bool {
        matches!(self.state, ViewerState::Watching(Watching { goal: Goal::Span(..), .. }))
    }

    /// Its time with the session, until now.
    const fn window(&self) -> SubscriberWindow {
        SubscriberWindow { id: self.number, peer: self.peer, connected_at: self.joined_at, left: None }
    }
}

impl Watching {
    /// Of somebody who begins.
    const fn from(
        position: u64,
        preamble: Vec<u8>,
        way: Way,
        goal: Goal,
        promised: Offset,
        now: Instant,
    ) -> Self {
        Self {
            position,
            preamble,
            sending: Sending::Nothing,
            is_queued: false,
            held: 0,
            way,
            is_full: false,
            was_full: false,
            has_caught_up: false,
            progress_at: now,
            promised,
            excused_ms: 0,
            goal,
            is_ending: false,
            bytes_sent: 0,
            skip_wanted: false,
        }
    }

    /// Whether a packet of its own can be sent to it now: nothing is on its way that would ask the same, and the last packet is whole.
    fn may_be_asked(&self) -> bool {
        self.sending == Sending::Nothing && self.preamble.is_empty() && !self.is_ending && !self.skip_wanted
    }

    /// What becomes of it when it has fallen behind. Who was not sent what it would have taken is not sent away for that.
    fn policy(&self, otherwise: SlowPolicy, is_saturated: bool) -> SlowPolicy {
        if matches!(self.goal, Goal::Span(..)) {
            // What it has been promised the length of cannot be had from elsewhere.
            return SlowPolicy::Disconnect;
        }
        let waits_for_the_core = matches!(self.sending, Sending::Nothing) && (is_saturated || !self.was_full);
        if waits_for_the_core { SlowPolicy::Skip } else { otherwise }
    }

    /// It has all of the segment that it asked for, and its connection is kept.
    fn may_ask_for_more(&self) -> bool {
        let Goal::Span(end, Persistence::KeepAlive) = self.goal else { return false };
        self.position >= end && self.preamble.is_empty() && self.sending == Sending::Nothing
    }

    /// At which pace it takes what it gets, as it is. Whoever fetches a segment has been promised none.
    fn pace(&self) -> Option<Offset> {
        let is_promised = !matches!(self.goal, Goal::Span(..));
        is_promised.then(|| self.promised.late_by(Duration::from_millis(self.excused_ms.into())))
    }
}

/// A connection whose request is for the channel.
pub(crate) struct Newcomer {
    pub(crate) handle: Handle,
    pub(crate) peer: SocketAddr,
    /// The peer is on this host.
    pub(crate) is_local: bool,
    /// How long it wants to watch.
    pub(crate) duration: Option<Duration>,
    /// It knows interim answers.
    pub(crate) takes_interim: bool,
    /// Its number within the session, where the channel is on another core, which has given it.
    pub(crate) number: Option<u64>,
}

impl Outlet {
    pub(crate) fn new(channel: ChannelRef, limits: Limits) -> Self {
        Self {
            channel,
            viewers: Arena::with_limit(CONNECTIONS_PER_CORE_MAX),
            waiting: Vec::new(),
            caught_up: Vec::new(),
            audience: Audience::new(limits),
            elsewhere: None,
            writes: WriteCounters::default(),
            promises_changed: false,
            has_excused: false,
            skip_log: Coalesced::default(),
        }
    }

    /// Gives the memory back that a crowd has left behind.
    pub(crate) fn give_back(&mut self) {
        self.viewers.give_back();
    }

    /// Viewers, those included who wait for the first picture.
    pub(crate) fn count(&self) -> usize {
        self.viewers.count()
    }

    /// Viewers of the session on all cores, as far as is known here.
    pub(crate) fn connected(&self) -> u64 {
        self.audience.connected() + self.elsewhere.unwrap_or(0)
    }

    /// Who watches and has watched.
    pub(crate) const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// What the slow ones cost.
    pub(crate) const fn writes(&self) -> WriteCounters {
        self.writes
    }

    fn at(&self, key: ViewerKey) -> ViewerRef {
        ViewerRef { channel: self.channel, viewer: key.to_bits() }
    }

    /// Somebody waits for the first picture from now on. Gives the number.
    pub(crate) fn join<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        newcomer: Newcomer,
        is_reused: bool,
    ) -> u64 {
        let Newcomer { handle, peer, is_local, duration, takes_interim, number } = newcomer;
        let own_number = self.audience.attach();
        let number = number.unwrap_or(own_number);
        let state = ViewerState::Waiting(duration);
        let viewer = Viewer { handle, peer, is_local, takes_interim, number, joined_at: cx.now, state };
        let Ok(key) = self.viewers.insert(viewer) else {
            unreachable!("there are as many places as the core counts")
        };
        self.waiting.push(key);
        cx.tallies_mut().joined();
        self.log_joined(feed, key, is_reused);
        // Until now its receive has noticed when the peer goes.
        let poll = Operation::AwaitHangup { socket: handle };
        if cx.driver.push(poll, Token::Hangup(self.at(key))).is_err() {
            // The next failing send, or the sweep, will notice.
            cx.counters.queue_full += 1;
        }
        number
    }

    /// Lets those who wait watch.
    fn admit<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View) -> Reply {
        let mut reply = Reply::default();
        let lag = cx.params.egress.join_lag_bytes;
        let waiting = std::mem::take(&mut self.waiting);
        for (index, &key) in waiting.iter().enumerate() {
            // Another core may write meanwhile: whether there is a place is asked once for each.
            let Some(entry) = feed.start_of_joiner(lag) else {
                // Key pictures lie further apart than the ring is long: who comes between two of them waits for the next.
                self.waiting.extend_from_slice(&waiting[index..]);
                reply.has_waiting = true;
                return reply;
            };
            if let Some((position, promised)) = self.admit_one(cx, feed, entry, key) {
                reply.promised = reply.promised.max(Some(promised));
                reply.foremost = reply.foremost.max(Some(position));
            }
        }
        reply
    }

    fn admit_one<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        entry: &Entry<ts::Snapshot>,
        key: ViewerKey,
    ) -> Option<(u64, Offset)> {
        let viewers = self.count();
        let viewer = self.viewers.get_mut(key)?;
        let ViewerState::Waiting(duration) = viewer.state else { return None };
        let way = Way::first(cx.params.egress.zero_copy, cx.params.segments, viewer.is_local, viewers);
        let mut preamble = Vec::with_capacity(1024);
        stream_head(&mut preamble, feed.tuner().unwrap_or_default());
        ts::write_join(&entry.state, &mut preamble);
        let position = entry.position;
        let promised = feed.offset(cx.clock_now(), position);
        let goal = duration.map_or(Goal::Endless, |duration| Goal::Until(cx.now + duration));
        viewer.state = ViewerState::Watching(Watching::from(position, preamble, way, goal, promised, cx.now));
        self.log_started(feed, key);
        self.enqueue(cx, key);
        Some((position, promised))
    }

    /// A viewer leaves, or is made to.
    fn leave<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        how: Hangup,
        reason: CloseReason,
    ) {
        if self.viewers.get(key).is_some_and(Viewer::is_fetch) {
            return self.end_fetch(cx, key, how);
        }
        self.note_gone(cx.now, feed, key, reason);
        let Some(viewer) = self.viewers.remove(key) else { return };
        cx.tallies_mut().ended(reason);
        cx.driver.close(viewer.handle, how);
        cx.free_place();
        cx.viewer_leaves(viewer.peer.ip());
        self.promises_changed = true;
        cx.post.say(Word::Channel(self.channel, ToChannel::Left(viewer.number, reason)));
    }

    /// Writes down that a viewer goes.
    fn note_gone(&mut self, now: Instant, feed: &View, key: ViewerKey, reason: CloseReason) {
        let Some(viewer) = self.viewers.get(key) else { return };
        self.audience.detach(SubscriberWindow { left: Some((now, reason)), ..viewer.window() });
        self.log_gone(now, feed, key, reason);
    }

    /// Those who wait for a picture get none.
    fn refuse_waiting<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, error: StreamError) {
        for key in std::mem::take(&mut self.waiting) {
            if self.viewers.get(key).is_none_or(|viewer| viewer.watching().is_some()) {
                continue;
            }
            self.note_gone(cx.now, feed, key, CloseReason::SessionClosed);
            let Some(Viewer { handle, peer, number, .. }) = self.viewers.remove(key) else { continue };
            cx.tallies_mut().ended(CloseReason::SessionClosed);
            self.promises_changed = true;
            if self.elsewhere.is_some() {
                // The channel's own core knows who is turned away there, and only there.
                let left = ToChannel::Left(number, CloseReason::SessionClosed);
                cx.post.say(Word::Channel(self.channel, left));
            }
            cx.viewer_leaves(peer.ip());
            let guide_number = feed.about().guide_number.to_owned();
            cx.post.say(Word::TurnedAway { handle, peer, guide_number, error });
        }
    }

    /// The streams of all viewers end.
    pub(crate) fn end_viewers<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View) {
        let viewers: Vec<_> = self.viewers.iter().map(|(key, _)| key).collect();
        for viewer in viewers {
            self.leave(cx, feed, viewer, Hangup::Finish, CloseReason::SessionClosed);
        }
    }

    /// An administrator wants a viewer's stream to end. True when it was here.
    pub(crate) fn kick<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, number: u64) -> bool {
        let viewer = self.viewers.iter().find(|(_, viewer)| viewer.number == number).map(|(key, _)| key);
        if let Some(key) = viewer {
            self.leave(cx, feed, key, Hangup::Finish, CloseReason::Kicked);
        }
        viewer.is_some()
    }

    /// The session is over: those who still get the rest of its stream are no longer part of it, here or `away`.
    fn end(&mut self, now: Instant, away: impl IntoIterator<Item = SubscriberWindow>) {
        let here = self.viewers.iter().filter(|(_, viewer)| !viewer.is_fetch());
        let here = here.map(|(_, viewer)| viewer.window());
        self.audience.end(now, here.chain(away));
    }

    const fn audience_mut(&mut self) -> &mut Audience {
        &mut self.audience
    }

    /// A viewer of the session has come to another core. Gives its number.
    fn attach_away(&mut self) -> u64 {
        self.audience.attach()
    }

    /// It has gone.
    fn detach_away(&mut self, viewer: SubscriberWindow) {
        self.audience.detach(viewer);
    }

    /// The channel is on another core, and so many watch the session on other cores than this.
    const fn note_elsewhere(&mut self, connected: u64) {
        self.elsewhere = Some(connected);
    }

    /// What the slow ones have cost since this was asked last, if anything.
    fn take_writes(&mut self) -> Option<WriteCounters> {
        let writes = std::mem::take(&mut self.writes);
        (writes != WriteCounters::default()).then_some(writes)
    }

    /// A viewer has hung up, or has said that it will not say more: then it may have closed its socket, and may be waiting for its
    /// answer as well.
    pub(crate) fn on_hangup<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        viewer: ViewerRef,
        is_over: bool,
    ) {
        let key = ViewerKey::from_bits(viewer.viewer);
        if self.viewers.get(key).is_some() && (is_over || !self.ask_whether_there(cx, key)) {
            self.leave(cx, feed, key, Hangup::Reset, CloseReason::HttpContextCanceled);
        }
    }

    /// Sends something that means nothing to a viewer that listens: the peer of a closed socket answers it with a reset. False when
    /// that cannot be done.
    fn ask_whether_there<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ViewerKey) -> bool {
        let at = self.at(key);
        let Some(viewer) = self.viewers.get_mut(key) else { return false };
        let socket = viewer.handle;
        match &mut viewer.state {
            ViewerState::Waiting(_) if viewer.takes_interim => {
                let from = Lent::Heap(HeapBytes::from_vec(STREAM_INTERIM.to_vec()));
                cx.driver.push(Operation::Send { socket, from }, Token::Interim(at)).is_ok()
            }
            // An older client takes nothing but its answer, and is asked with that.
            ViewerState::Waiting(_) | ViewerState::Watching(Watching { goal: Goal::Span(..), .. }) => true,
            ViewerState::Watching(watching) => {
                if watching.may_be_asked() {
                    watching.preamble = ts::NULL_PACKET.to_vec();
                    self.enqueue(cx, key);
                }
                true
            }
        }
    }

    /// An interim answer is out, or a part of it, behind which nothing could be understood.
    pub(crate) fn on_interim<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        viewer: ViewerRef,
        result: Result<u32, Errno>,
    ) {
        let key = ViewerKey::from_bits(viewer.viewer);
        let is_out = result.is_ok_and(|count| count as usize == STREAM_INTERIM.len());
        if !is_out && self.viewers.get(key).is_some() {
            self.leave(cx, feed, key, Hangup::Reset, CloseReason::HttpContextCanceled);
        }
    }

    /// The channel tells something.
    pub(crate) fn tell<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, word: ToOutlet) -> Reply {
        match word {
            ToOutlet::Moved => self.wake(cx),
            ToOutlet::Admit => return self.admit(cx, feed),
            ToOutlet::Refuse(error) => self.refuse_waiting(cx, feed, error),
            ToOutlet::Over => self.end(cx.now, []),
            ToOutlet::End => self.end_viewers(cx, feed),
        }
        Reply::default()
    }

    /// The viewers as operators see them, in the order in which they came.
    pub(crate) fn snapshot(&self, core: CoreId, feed: &View) -> Vec<ViewerSnapshot> {
        let of = |viewer: &Viewer| {
            let (bytes_sent, lag_bytes) = viewer.watching().map_or((0, 0), |watching| {
                (watching.bytes_sent, feed.head().saturating_sub(watching.position))
            });
            let (id, peer, joined_at) = (viewer.number, viewer.peer, viewer.joined_at);
            ViewerSnapshot { id, peer, core, joined_at, bytes_sent, lag_bytes, hls: None }
        };
        let viewers = self.viewers.iter().filter(|(_, viewer)| !viewer.is_fetch());
        let mut viewers: Vec<_> = viewers.map(|(_, viewer)| of(viewer)).collect();
        viewers.sort_by_key(|viewer| viewer.id);
        viewers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_what_was_asked_for_or_the_cheapest_there_is() {
        const NIC: Way = Way::ZeroCopy { copied_in_a_row: 0 };
        let (few, many) = (FILE_VIEWERS_MIN - 1, FILE_VIEWERS_MIN);
        let table = [
            // On another host the network card reads it, for however many.
            (ZeroCopy::Auto, Segments::Small, false, 0, NIC),
            (ZeroCopy::Auto, Segments::Huge, false, 2000, NIC),
            // On this one few are copied to, since pages that are given away are renewed; huge ones are worth it for one.
            (ZeroCopy::Auto, Segments::Small, true, 0, Way::Copy),
            (ZeroCopy::Auto, Segments::Small, true, few, Way::Copy),
            (ZeroCopy::Auto, Segments::Small, true, many, Way::File),
            (ZeroCopy::Auto, Segments::Small, true, 2000, Way::File),
            (ZeroCopy::Auto, Segments::Huge, true, 0, Way::File),
            (ZeroCopy::Auto, Segments::Huge, true, many, Way::File),
            // Whoever asks for one gets it.
            (ZeroCopy::SendZc, Segments::Small, true, 0, NIC),
            (ZeroCopy::SendZc, Segments::Huge, false, many, NIC),
            (ZeroCopy::SendFile, Segments::Small, true, 0, Way::File),
            (ZeroCopy::SendFile, Segments::Small, false, many, Way::File),
            (ZeroCopy::Never, Segments::Huge, true, many, Way::Copy),
            (ZeroCopy::Never, Segments::Small, false, 0, Way::Copy),
        ];
        for (asked, segments, is_local, viewers, way) in table {
            let found = Way::first(asked, segments, is_local, viewers);
            assert_eq!(found, way, "{asked:?}, {segments:?}, on this host: {is_local}, viewers: {viewers}");
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    impl Outlet {
        /// Adds somebody who watches from the beginning.
        pub(crate) fn add_viewer(
            &mut self,
            feed: &View,
            now: Instant,
            handle: Handle,
        ) -> (ViewerRef, Offset) {
            let number = self.audience.attach();
            let promised = feed.offset(now, 0);
            let begun = Watching::from(0, Vec::new(), Way::Copy, Goal::Endless, promised, Instant::START);
            let state = ViewerState::Watching(Watching { bytes_sent: number, ..begun });
            let peer = SocketAddr::from(([10, 0, 0, 1], 4000));
            let viewer =
                Viewer { handle, peer, is_local: false, takes_interim: true, number, joined_at: now, state };
            let Ok(key) = self.viewers.insert(viewer) else { panic!("there is room") };
            (self.at(key), promised)
        }

        /// Makes a viewer go, as far as it is written down.
        pub(crate) fn note_left(
            &mut self,
            now: Instant,
            feed: &View,
            viewer: ViewerRef,
            reason: CloseReason,
        ) {
            self.note_gone(now, feed, ViewerKey::from_bits(viewer.viewer), reason);
        }

        /// A viewer that has been noted as gone is no more.
        pub(crate) fn remove(&mut self, viewer: ViewerRef) {
            self.viewers.remove(ViewerKey::from_bits(viewer.viewer));
        }

        pub(crate) fn has(&self, viewer: ViewerRef) -> bool {
            self.viewers.get(ViewerKey::from_bits(viewer.viewer)).is_some()
        }

        /// A viewer has got so far.
        pub(crate) fn set_position(&mut self, viewer: ViewerRef, position: u64) {
            let viewer = self.viewers.get_mut(ViewerKey::from_bits(viewer.viewer));
            viewer.and_then(Viewer::watching_mut).unwrap().position = position;
        }

        /// Whether a viewer that is behind is so by itself.
        pub(crate) fn is_slow(&self, viewer: ViewerRef, is_saturated: bool) -> bool {
            let viewer = self.viewers.get(ViewerKey::from_bits(viewer.viewer));
            let policy =
                viewer.and_then(Viewer::watching).unwrap().policy(SlowPolicy::Disconnect, is_saturated);
            policy == SlowPolicy::Disconnect
        }

        /// A viewer's socket was full.
        pub(crate) fn set_was_full(&mut self, viewer: ViewerRef) {
            let viewer = self.viewers.get_mut(ViewerKey::from_bits(viewer.viewer));
            viewer.and_then(Viewer::watching_mut).unwrap().was_full = true;
        }

        /// A send to a viewer is on its way.
        pub(crate) fn set_sending(&mut self, viewer: ViewerRef, op: OpKey) {
            let viewer = self.viewers.get_mut(ViewerKey::from_bits(viewer.viewer));
            viewer.and_then(Viewer::watching_mut).unwrap().sending = Sending::Preamble(op);
        }
    }
}
