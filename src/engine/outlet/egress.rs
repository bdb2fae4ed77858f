//! From the ring to the viewers' sockets.
//!
//! Publishing moves a channel's mark; it does not walk packets. A viewer that has everything up to the mark waits in
//! its outlet's list, the others wait in the core's queue, and each turn serves a bounded part of that queue.
//!
//! What goes before the stream is sent by an operation that waits. The stream itself is sent as far as there is room, at once: a
//! socket that is full is asked to say when it is not, and meanwhile nothing of the ring is read for it.

use crate::base::limits::{PACKET_BYTES, SEGMENTED_BYTES, SEND_BYTES_MAX, ZERO_COPY_IN_FLIGHT_MAX};
use crate::base::{Errno, HeapBytes, KernelBytes};
use crate::engine::border::feed::View;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::post::{ToChannel, Word};
use crate::engine::context::token::{Token, ViewerRef};
use crate::engine::port::params::{SlowPolicy, ZeroCopy};
use crate::ring::Lent;
use crate::session::history::CloseReason;
use crate::ts;
use crate::uring::{Event, Hangup, OpKey, Operation};

use super::{Goal, Outlet, Sending, Viewer, ViewerKey, Way};

/// A send smaller than this is cheaper to copy.
const ZERO_COPY_BYTES_MIN: u64 = 16 * 1024;
/// After so many notifications in a row that say "copied" the viewer is sent to in another way.
const COPIED_IN_A_ROW_MAX: u8 = 8;
const PACKET: u64 = PACKET_BYTES as u64;

/// What a viewer is to be sent next.
enum Next {
    Nothing,
    Preamble,
    Stream {
        position: u64,
        bytes: usize,
        way: Way,
    },
    /// It fell out of the ring.
    Lagged,
    /// It has been sent all there will ever be.
    Over,
}

impl Outlet {
    /// Begins to fetch a viewer that will be served soon.
    pub(crate) fn touch(&self, viewer: ViewerRef) {
        self.viewers.touch(ViewerKey::from_bits(viewer.viewer));
    }

    /// Puts a viewer into the queue unless it is there or its socket has work to do.
    pub(super) fn enqueue<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ViewerKey) {
        let at = self.at(key);
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        if viewer.is_queued || viewer.sending != Sending::Nothing {
            return;
        }
        viewer.is_queued = true;
        // The rest of a packet is nothing new.
        cx.sends.push(cx.now, at, viewer.preamble.len() >= PACKET_BYTES);
    }

    /// The mark has moved: those who had caught up have something to get.
    pub(crate) fn wake<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        let mut caught_up = std::mem::take(&mut self.caught_up);
        for &key in &caught_up {
            self.enqueue(cx, key);
        }
        caught_up.clear();
        // The list keeps its memory: this happens ten times a second.
        self.caught_up = caught_up;
    }

    fn next_for<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, key: ViewerKey) -> Option<Next> {
        let viewer = self.viewers.get_mut(key)?.watching_mut()?;
        viewer.is_queued = false;
        debug_assert_eq!(viewer.sending, Sending::Nothing, "a queued viewer's socket has nothing to do");
        if !viewer.preamble.is_empty() {
            return Some(Next::Preamble);
        }
        debug_assert_eq!(viewer.position % PACKET, 0, "the rest of a packet goes first");
        if viewer.is_ending {
            return Some(Next::Over);
        }
        if viewer.skip_wanted || viewer.position < feed.tail() {
            return Some(Next::Lagged);
        }
        let end = match viewer.goal {
            Goal::Span(end, _) if viewer.position >= end => return Some(Next::Over),
            Goal::Span(end, _) => end.min(feed.mark()),
            Goal::Endless | Goal::Until(_) => feed.mark(),
        };
        let waiting = end.saturating_sub(viewer.position);
        if waiting == 0 && feed.lingers_until().is_some() {
            return Some(Next::Over);
        }
        if waiting == 0 {
            viewer.progress_at = cx.now;
            viewer.was_full = false;
            viewer.has_caught_up = true;
            self.caught_up.push(key);
            return Some(Next::Nothing);
        }
        let is_near = feed.head() - viewer.position <= feed.capacity() / 2;
        let has_room = viewer.held < ZERO_COPY_IN_FLIGHT_MAX;
        let (way, most) = match viewer.way {
            _ if waiting < ZERO_COPY_BYTES_MIN => (Way::Copy, SEND_BYTES_MAX),
            // Whoever is far behind may be overtaken before it is known how much of a send was taken.
            Way::ZeroCopy { .. } if is_near && has_room => (viewer.way, SEGMENTED_BYTES),
            Way::ZeroCopy { .. } | Way::Copy => (Way::Copy, SEND_BYTES_MAX),
            Way::File => (Way::File, SEND_BYTES_MAX),
        };
        let bytes = usize::try_from(waiting).map_or(most, |bytes| bytes.min(most));
        cx.note_done(viewer.has_caught_up);
        if viewer.has_caught_up && !viewer.was_full {
            cx.note_send(waiting, bytes as u64);
        }
        Some(Next::Stream { position: viewer.position, bytes, way })
    }

    /// Gives a viewer what is next. Gives the bytes that were handed to the kernel.
    pub(crate) fn send_next<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, viewer: ViewerRef) -> u64 {
        let key = ViewerKey::from_bits(viewer.viewer);
        match self.next_for(cx, feed, key) {
            None | Some(Next::Nothing) => 0,
            Some(Next::Lagged) => {
                self.fell_behind(cx, feed, key);
                0
            }
            Some(Next::Over) => {
                self.leave(cx, feed, key, Hangup::Finish, CloseReason::SessionClosed);
                0
            }
            Some(Next::Preamble) => self.send_preamble(cx, feed, key),
            Some(Next::Stream { position, bytes, way }) => {
                match way {
                    Way::Copy => self.send_copy(cx, feed, key, position, bytes),
                    Way::ZeroCopy { .. } => self.send_zero_copy(cx, feed, key, position, bytes),
                    Way::File => self.send_file(cx, feed, key, position, bytes),
                }
                bytes as u64
            }
        }
    }

    fn send_preamble<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, key: ViewerKey) -> u64 {
        let Some(viewer) = self.viewers.get_mut(key) else { return 0 };
        let socket = viewer.handle;
        let Some(watching) = viewer.watching_mut() else { return 0 };
        let preamble = std::mem::take(&mut watching.preamble);
        if preamble.len() >= PACKET_BYTES {
            cx.sends.wake_now();
        }
        let bytes = preamble.len() as u64;
        let send = Operation::Send { socket, from: Lent::Heap(HeapBytes::from_vec(preamble)) };
        if let Some(op) = self.submit(cx, feed, key, send) {
            self.now_sending(cx, key, Sending::Preamble(op));
        }
        bytes
    }

    fn send_copy<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        position: u64,
        bytes: usize,
    ) {
        let Some(viewer) = self.viewers.get(key) else { return };
        let Some(lease) = feed.ring().lease(position, bytes) else { return self.fell_behind(cx, feed, key) };
        let from = Lent::Lease(lease);
        if let Some(op) = self.submit(cx, feed, key, Operation::SendNow { socket: viewer.handle, from }) {
            self.now_sending(cx, key, stream(op, bytes));
        }
    }

    fn send_zero_copy<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        position: u64,
        bytes: usize,
    ) {
        let Some(viewer) = self.viewers.get(key) else { return };
        let socket = viewer.handle;
        if let Some(span) = feed.ring().unregistered(position) {
            match cx.driver.register_memory(&span) {
                Ok(buffer) => feed.ring().note_registered(&span, buffer),
                Err(errno) => {
                    cx.cannot_register(errno);
                    self.change_way(cx, key);
                    return self.enqueue(cx, key);
                }
            }
        }
        let Some(lease) = feed.ring().lend(position, bytes) else { return self.fell_behind(cx, feed, key) };
        if lease.registered_buffer().is_none() {
            // The writer of another core has taken new pages meanwhile.
            return self.enqueue(cx, key);
        }
        let from = Lent::Lease(lease);
        if let Some(op) = self.submit(cx, feed, key, Operation::SendZeroCopy { socket, from }) {
            self.now_sending(cx, key, stream(op, bytes));
        }
    }

    /// The kernel does it on the spot.
    fn send_file<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        position: u64,
        bytes: usize,
    ) {
        let Some(viewer) = self.viewers.get(key) else { return };
        let socket = viewer.handle;
        self.now_sending(cx, key, Sending::Nothing);
        let Some(lease) = feed.ring().give(position, bytes) else { return self.fell_behind(cx, feed, key) };
        let result = cx.driver.send_file(socket, &Lent::Lease(lease));
        cx.counters.file_sends += 1;
        self.took(cx, feed, key, bytes, result);
    }

    fn submit<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        send: Operation<Lent>,
    ) -> Option<OpKey> {
        match cx.driver.push(send, Token::Send(self.at(key))) {
            Ok(op) => Some(op),
            Err(_full) => {
                cx.counters.queue_full += 1;
                self.leave(cx, feed, key, Hangup::Reset, CloseReason::StreamWriteError);
                None
            }
        }
    }

    fn now_sending<D: CoreDriver>(&mut self, cx: &Cx<D>, key: ViewerKey, sending: Sending) {
        if let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) {
            viewer.sending = sending;
            if !viewer.is_full {
                viewer.progress_at = cx.now;
            }
        }
    }

    /// A viewer's send, or the notification of one, has come back, or its socket has room.
    pub(crate) fn on_send<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        viewer: ViewerRef,
        event: Event<Lent, D::Descriptor>,
    ) {
        let key = ViewerKey::from_bits(viewer.viewer);
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        match event {
            Event::Sent { result } => {
                cx.counters.zero_copy_sends += 1;
                viewer.held += 1;
                self.sent(cx, feed, key, result, None);
            }
            Event::Released { memory, copied } => {
                // Its segment is lent once less.
                drop(memory);
                viewer.held = viewer.held.checked_sub(1).expect("a notification comes after its send");
                if let Way::ZeroCopy { copied_in_a_row } = &mut viewer.way {
                    *copied_in_a_row = if copied { copied_in_a_row.saturating_add(1) } else { 0 };
                }
                if copied {
                    cx.counters.zero_copy_copied += 1;
                    self.reconsider_zero_copy(cx, key);
                }
            }
            Event::Done { result, memory } => self.sent(cx, feed, key, result, memory),
            Event::Accepted(_) | Event::Noticed(_) => {
                unreachable!("a send neither accepts nor notices anything")
            }
        }
    }

    /// What a viewer's socket was doing has ended.
    fn sent<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        result: Result<u32, Errno>,
        memory: Option<Lent>,
    ) {
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        match std::mem::replace(&mut viewer.sending, Sending::Nothing) {
            Sending::Preamble(_) => {
                let mut rest = match memory {
                    Some(Lent::Heap(bytes)) => bytes.into_vec(),
                    Some(Lent::Lease(_) | Lent::Span(_)) | None => Vec::new(),
                };
                let count = result.map_or(0, |count| count as usize);
                rest.drain(..count.min(rest.len()));
                // An empty vector that keeps its memory would be the larger part of what a viewer costs.
                viewer.preamble = if rest.is_empty() { Vec::new() } else { rest };
                if self.note_taken(cx, feed, key, result).is_some() {
                    self.go_on(cx, feed, key);
                }
            }
            Sending::Stream { bytes, .. } => {
                self.took(cx, feed, key, bytes as usize, result);
                // Until then the writer was kept out: what is left of a packet has been read.
                drop(memory);
            }
            // What is wrong with the socket is told by the next send.
            Sending::Room(_) => self.go_on(cx, feed, key),
            Sending::Nothing => unreachable!("a send that ended was in flight"),
        }
    }

    /// A viewer's socket has taken something of what it was offered of the stream, or nothing.
    fn took<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        offered: usize,
        result: Result<u32, Errno>,
    ) {
        let Some(count) = self.note_taken(cx, feed, key, result) else { return };
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        self.writes.short_writes += u64::from((1..offered).contains(&count));
        viewer.position += count as u64;
        let torn = viewer.position % PACKET;
        if torn != 0 {
            // The rest of a packet is kept: when there is room for it, the ring may have gone on.
            let missing = usize::try_from(PACKET - torn).expect("less than a packet");
            let Some(rest) = feed.ring().copy(viewer.position, missing) else {
                return self.leave(cx, feed, key, Hangup::Reset, CloseReason::SlowClientLagged);
            };
            viewer.preamble = rest;
            viewer.position += PACKET - torn;
        }
        if (1..offered).contains(&count) {
            cx.tallies_mut().took_a_part();
        }
        // One whose way was changed has been offered nothing yet.
        let is_full = count < offered && !matches!(result, Err(Errno::NOBUFS | Errno::NOMEM));
        let is_asked = viewer.skip_wanted || viewer.is_ending;
        if is_full && !is_asked {
            return self.await_room(cx, feed, key);
        }
        let is_fetch = matches!(viewer.goal, Goal::Span(..));
        let has_all = viewer.position == feed.mark() && feed.lingers_until().is_none() && !is_fetch;
        if has_all && !is_asked && viewer.preamble.is_empty() {
            viewer.was_full = false;
            viewer.has_caught_up = true;
            self.caught_up.push(key);
            return;
        }
        self.go_on(cx, feed, key);
    }

    /// Notes what a send has come to: the bytes that were taken, or nothing when the viewer is gone.
    fn note_taken<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &View,
        key: ViewerKey,
        result: Result<u32, Errno>,
    ) -> Option<usize> {
        let viewer = self.viewers.get_mut(key)?;
        let joined_at = viewer.joined_at;
        let viewer = viewer.watching_mut()?;
        cx.counters.sends += 1;
        let count = match result {
            Ok(count) => count,
            // Full, or cancelled because it is to skip or to end; what comes next is decided by the caller.
            Err(Errno::CANCELED | Errno::AGAIN | Errno::INTR) => 0,
            // No memory for a zero-copy send (locked memory, socket option memory).
            Err(Errno::NOBUFS | Errno::NOMEM) if viewer.way != Way::Copy => {
                self.change_way(cx, key);
                return Some(0);
            }
            Err(Errno::PIPE | Errno::CONNRESET) => {
                self.leave(cx, feed, key, Hangup::Reset, CloseReason::HttpContextCanceled);
                return None;
            }
            Err(_broken) => {
                self.leave(cx, feed, key, Hangup::Reset, CloseReason::StreamWriteError);
                return None;
            }
        };
        if count > 0 {
            let blocked = cx.now - viewer.progress_at;
            self.writes.blocked += blocked;
            cx.tallies_mut().sent(count, blocked);
            viewer.progress_at = cx.now;
            viewer.is_full = false;
        }
        if viewer.bytes_sent == 0 && count > 0 && !matches!(viewer.goal, Goal::Span(..)) {
            let waited = cx.now - joined_at;
            cx.tallies_mut().began(waited);
        }
        viewer.bytes_sent += u64::from(count);
        cx.counters.bytes_sent += u64::from(count);
        Some(count as usize)
    }

    /// A viewer whose socket has nothing to do is moved forward if it is to be, else it waits for its turn.
    fn go_on<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, key: ViewerKey) {
        let Some(viewer) = self.viewers.get(key).and_then(Viewer::watching) else { return };
        // What goes before the stream goes before a skip, too.
        if viewer.skip_wanted && viewer.preamble.len() < PACKET_BYTES {
            return self.fell_behind(cx, feed, key);
        }
        self.enqueue(cx, key);
    }

    /// A viewer's socket is full: it is served again when it has room.
    fn await_room<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, key: ViewerKey) {
        let Some(viewer) = self.viewers.get(key) else { return };
        if let Some(op) = self.submit(cx, feed, key, Operation::AwaitRoom { socket: viewer.handle }) {
            self.now_sending(cx, key, Sending::Room(op));
            if let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) {
                (viewer.is_full, viewer.was_full) = (true, true);
            }
        }
    }

    fn reconsider_zero_copy<D: CoreDriver>(&mut self, cx: &Cx<D>, key: ViewerKey) {
        let Some(viewer) = self.viewers.get(key).and_then(Viewer::watching) else { return };
        let is_copied =
            matches!(viewer.way, Way::ZeroCopy { copied_in_a_row } if copied_in_a_row >= COPIED_IN_A_ROW_MAX);
        if is_copied && cx.params.egress.zero_copy == ZeroCopy::Auto {
            self.change_way(cx, key);
        }
    }

    /// A viewer is sent to in another way from now on.
    fn change_way<D: CoreDriver>(&mut self, cx: &Cx<D>, key: ViewerKey) {
        let viewers = self.count();
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        viewer.way = match (viewer.way, cx.params.egress.zero_copy) {
            (Way::ZeroCopy { .. }, ZeroCopy::Auto) => Way::on_this_host(cx.params.segments, viewers),
            (Way::ZeroCopy { .. }, ZeroCopy::SendZc | ZeroCopy::SendFile | ZeroCopy::Never)
            | (Way::Copy | Way::File, _) => Way::Copy,
        };
    }

    /// A viewer without a send in flight has fallen out of the ring, or is about to.
    fn fell_behind<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, key: ViewerKey) {
        let Some(viewer) = self.viewers.get(key).and_then(Viewer::watching) else { return };
        let policy = viewer.policy(cx.params.egress.slow_policy, cx.is_saturated());
        if policy == SlowPolicy::Skip && self.skip(cx, feed, key) {
            self.enqueue(cx, key);
        } else {
            self.leave(cx, feed, key, Hangup::Reset, CloseReason::SlowClientLagged);
        }
    }

    /// Moves a viewer forward to the newest entry point: the rest of the packet it was being sent, the sign of a
    /// discontinuity on every stream, the tables, and then the picture. False when that is impossible.
    fn skip<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &View, key: ViewerKey) -> bool {
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return false };
        let Some(entry) = feed.newest_entry().filter(|entry| entry.position > viewer.position) else {
            return false;
        };
        // Behind the rest of the packet it was being sent.
        ts::write_skip(&entry.state, &mut viewer.preamble);
        let missed = entry.position - viewer.position;
        viewer.position = entry.position;
        viewer.promised = feed.offset(cx.clock_now(), entry.position);
        viewer.excused_ms = 0;
        viewer.skip_wanted = false;
        viewer.progress_at = cx.now;
        self.writes.skipped(missed, cx.params.chunk_bytes);
        let chunk_bytes = cx.params.chunk_bytes;
        cx.tallies_mut().skipped(missed, chunk_bytes);
        cx.post.say(Word::Channel(self.channel, ToChannel::Promised(viewer.promised)));
        self.log_skipped(cx.now, feed, key, missed);
        true
    }
}

fn stream(op: OpKey, bytes: usize) -> Sending {
    Sending::Stream { op, bytes: u32::try_from(bytes).expect("at most SEND_BYTES_MAX") }
}
