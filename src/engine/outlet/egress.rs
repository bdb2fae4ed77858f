//! From the ring to the viewers' sockets.
//!
//! Publishing moves a channel's mark; it does not walk packets. A viewer that has everything up to the mark waits in
//! its outlet's list, the others wait in the core's queue, and each turn serves a bounded part of that queue. While a
//! send is in flight more gathers by itself.

use crate::base::limits::{PACKET_BYTES, SEGMENTED_BYTES, SEND_BYTES_MAX, ZERO_COPY_IN_FLIGHT_MAX};
use crate::base::{Errno, HeapBytes};
use crate::engine::border::feed::Feed;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::post::{ToChannel, Word};
use crate::engine::context::token::{Token, ViewerRef};
use crate::engine::port::params::{SlowPolicy, ZeroCopy};
use crate::ring::{Lease, Lent};
use crate::session::history::CloseReason;
use crate::ts;
use crate::uring::{Event, Hangup, OpKey, Operation};

use super::{Outlet, Sending, Viewer, ViewerKey, ZeroCopyState};

/// A send smaller than this is cheaper to copy.
const ZERO_COPY_BYTES_MIN: u64 = 16 * 1024;
/// After so many notifications in a row that say "copied" the viewer is sent to by copying.
const COPIED_IN_A_ROW_MAX: u8 = 8;
const PACKET: u64 = PACKET_BYTES as u64;

/// What a viewer is to be sent next.
enum Next {
    Nothing,
    Preamble,
    Stream {
        position: u64,
        bytes: usize,
        zero_copy: bool,
    },
    /// It fell out of the ring.
    Lagged,
    /// It has been sent all there will ever be.
    Over,
}

/// What is left of the packet in which a send from this lease has ended; nothing when it ended between two.
fn rest_of_packet(lease: &Lease, result: Result<u32, Errno>) -> &[u8] {
    let count = result.map_or(0, |count| count as usize);
    let into = usize::try_from((lease.position() + count as u64) % PACKET).expect("less than a packet");
    let missing = if into == 0 { 0 } else { PACKET_BYTES - into };
    lease.bytes().get(count..count + missing).unwrap_or_default()
}

impl Outlet {
    /// Begins to fetch a viewer that will be served soon.
    pub(crate) fn touch(&self, viewer: ViewerRef) {
        self.viewers.touch(ViewerKey::from_bits(viewer.viewer));
    }

    /// Puts a viewer into the queue unless it is there or has a send in flight.
    pub(super) fn enqueue<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ViewerKey) {
        let at = self.at(key);
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        if viewer.is_queued || viewer.sending != Sending::Nothing {
            return;
        }
        viewer.is_queued = true;
        cx.sends.push(at, !viewer.preamble.is_empty());
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

    fn next_for<D: CoreDriver>(&mut self, cx: &Cx<D>, feed: &Feed, key: ViewerKey) -> Option<Next> {
        let viewer = self.viewers.get_mut(key)?.watching_mut()?;
        viewer.is_queued = false;
        debug_assert_eq!(viewer.sending, Sending::Nothing, "a queued viewer has no send in flight");
        if !viewer.preamble.is_empty() {
            return Some(Next::Preamble);
        }
        let torn = viewer.position % PACKET;
        if viewer.is_ending && torn == 0 {
            // What a zero-copy send has left in the socket's queue would be cut off by the end: it is waited for.
            return Some(if viewer.held.is_empty() { Next::Over } else { Next::Nothing });
        }
        if viewer.skip_wanted || viewer.position < feed.tail() {
            return Some(Next::Lagged);
        }
        let waiting = feed.mark().saturating_sub(viewer.position);
        if waiting == 0 && feed.lingers_until().is_some() {
            return Some(Next::Over);
        }
        if waiting == 0 {
            viewer.progress_at = cx.now;
            self.caught_up.push(key);
            return Some(Next::Nothing);
        }
        let wanted = if viewer.is_ending { PACKET - torn } else { SEND_BYTES_MAX as u64 };
        let bytes = waiting.min(wanted);
        let is_near = feed.head() - viewer.position <= feed.capacity() / 2;
        let zero_copy = matches!(viewer.zero_copy, ZeroCopyState::On { .. })
            && bytes >= ZERO_COPY_BYTES_MIN
            && is_near
            && viewer.held.count() < usize::from(ZERO_COPY_IN_FLIGHT_MAX)
            && feed.is_registered();
        let bytes = if zero_copy { bytes.min(SEGMENTED_BYTES as u64) } else { bytes };
        let bytes = usize::try_from(bytes).expect("at most SEND_BYTES_MAX");
        Some(Next::Stream { position: viewer.position, bytes, zero_copy })
    }

    /// Submits a viewer's next send. Gives the bytes submitted.
    pub(crate) fn send_next<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &Feed, viewer: ViewerRef) -> u64 {
        let key = ViewerKey::from_bits(viewer.viewer);
        match self.next_for(cx, feed, key) {
            None | Some(Next::Nothing) => 0,
            Some(Next::Lagged) => {
                self.fell_behind(cx, feed, key, &[]);
                0
            }
            Some(Next::Over) => {
                self.leave(cx, feed, key, Hangup::Finish, CloseReason::SessionClosed);
                0
            }
            Some(Next::Preamble) => self.send_preamble(cx, feed, key),
            Some(Next::Stream { position, bytes, zero_copy }) => {
                self.send_stream(cx, feed, key, position, bytes, zero_copy)
            }
        }
    }

    fn send_preamble<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &Feed, key: ViewerKey) -> u64 {
        cx.sends.wake_now();
        let Some(viewer) = self.viewers.get_mut(key) else { return 0 };
        let socket = viewer.handle;
        let Some(watching) = viewer.watching_mut() else { return 0 };
        let preamble = std::mem::take(&mut watching.preamble);
        let bytes = preamble.len() as u64;
        let send = Operation::Send { socket, from: Lent::Heap(HeapBytes::from_vec(preamble)) };
        if let Some(op) = self.submit(cx, feed, key, send) {
            self.now_sending(cx, key, Sending::Preamble(op));
        }
        bytes
    }

    fn send_stream<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &Feed,
        key: ViewerKey,
        position: u64,
        bytes: usize,
        zero_copy: bool,
    ) -> u64 {
        let Some(viewer) = self.viewers.get(key) else { return 0 };
        let socket = viewer.handle;
        let from = Lent::Lease(feed.lease(position, bytes));
        let send = if zero_copy {
            Operation::SendZeroCopy { socket, from }
        } else {
            Operation::Send { socket, from }
        };
        if let Some(op) = self.submit(cx, feed, key, send) {
            let bytes = u32::try_from(bytes).expect("at most SEND_BYTES_MAX");
            self.now_sending(cx, key, Sending::Stream { op, zero_copy, bytes });
        }
        bytes as u64
    }

    fn submit<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &Feed,
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
            viewer.progress_at = cx.now;
        }
    }

    /// A viewer's send, or the notification of one, has come back.
    pub(crate) fn on_send<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &Feed,
        viewer: ViewerRef,
        event: Event<Lent, D::Descriptor>,
    ) {
        let key = ViewerKey::from_bits(viewer.viewer);
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        match event {
            Event::Sent { result } => {
                cx.counters.zero_copy_sends += 1;
                viewer.held.push(viewer.position);
                self.sent(cx, feed, key, result, None, &[]);
            }
            Event::Released { memory, copied } => {
                cx.counters.sends -= 1;
                // Not always the oldest: one that was cancelled comes back before those in the socket's queue.
                if let Lent::Lease(lease) = &memory {
                    viewer.held.remove(lease.position());
                }
                let is_over = viewer.is_ending && viewer.held.is_empty();
                if let ZeroCopyState::On { copied_in_a_row } = &mut viewer.zero_copy {
                    *copied_in_a_row = if copied { copied_in_a_row.saturating_add(1) } else { 0 };
                }
                if copied {
                    cx.counters.zero_copy_copied += 1;
                    self.reconsider_zero_copy(cx, key);
                }
                if is_over {
                    self.enqueue(cx, key);
                }
            }
            Event::Done { result, memory } => {
                let mut rest = Vec::new();
                let preamble = match memory {
                    Some(Lent::Heap(bytes)) => Some(bytes.into_vec()),
                    Some(Lent::Lease(lease)) if viewer.skip_wanted => {
                        rest.extend_from_slice(rest_of_packet(&lease, result));
                        None
                    }
                    Some(Lent::Lease(_) | Lent::Span(_)) | None => None,
                };
                self.sent(cx, feed, key, result, preamble, &rest);
            }
            Event::Accepted(_) | Event::Noticed(_) => {
                unreachable!("a send neither accepts nor notices anything")
            }
        }
    }

    /// `rest` is what is left of the packet in which the send has ended, where that is known.
    fn sent<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        feed: &Feed,
        key: ViewerKey,
        result: Result<u32, Errno>,
        preamble: Option<Vec<u8>>,
        rest: &[u8],
    ) {
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        let was = std::mem::replace(&mut viewer.sending, Sending::Nothing);
        let count = match result {
            Ok(count) => count as usize,
            // Cancelled because it was in the writer's way or is to skip; the queue decides what comes next.
            Err(Errno::CANCELED | Errno::AGAIN | Errno::INTR) => 0,
            // No memory for a zero-copy send (locked memory, socket option memory): copy from now on.
            Err(Errno::NOBUFS | Errno::NOMEM) if matches!(viewer.zero_copy, ZeroCopyState::On { .. }) => {
                viewer.zero_copy = ZeroCopyState::Off;
                0
            }
            Err(Errno::PIPE | Errno::CONNRESET) => {
                return self.leave(cx, feed, key, Hangup::Reset, CloseReason::HttpContextCanceled);
            }
            Err(_broken) => return self.leave(cx, feed, key, Hangup::Reset, CloseReason::StreamWriteError),
        };
        // Within the turn it was submitted in, a send has not waited.
        let blocked = cx.now - viewer.progress_at;
        let is_short = matches!(was, Sending::Stream { bytes, .. } if (1..bytes as usize).contains(&count));
        self.writes.blocked += blocked;
        self.writes.short_writes += u64::from(is_short);
        if count > 0 {
            viewer.progress_at = cx.now;
        }
        viewer.bytes_sent += count as u64;
        cx.counters.bytes_sent += count as u64;
        match was {
            Sending::Preamble(_) => {
                let mut rest = preamble.unwrap_or_default();
                rest.drain(..count.min(rest.len()));
                // An empty vector that keeps its memory would be the larger part of what a viewer costs.
                viewer.preamble = if rest.is_empty() { Vec::new() } else { rest };
            }
            Sending::Stream { .. } => viewer.position += count as u64,
            Sending::Nothing => unreachable!("a send that ended was in flight"),
        }
        if viewer.skip_wanted && viewer.preamble.is_empty() {
            // At once: the writer waits for this span, and would take the rest of a torn packet with it.
            return self.fell_behind(cx, feed, key, rest);
        }
        self.enqueue(cx, key);
    }

    fn reconsider_zero_copy<D: CoreDriver>(&mut self, cx: &Cx<D>, key: ViewerKey) {
        if cx.params.egress.zero_copy == ZeroCopy::Always {
            return;
        }
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return };
        if matches!(viewer.zero_copy, ZeroCopyState::On { copied_in_a_row } if copied_in_a_row >= COPIED_IN_A_ROW_MAX)
        {
            viewer.zero_copy = ZeroCopyState::Off;
        }
    }

    /// A viewer without a send in flight has fallen out of the ring, or is about to.
    fn fell_behind<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &Feed, key: ViewerKey, rest: &[u8]) {
        let skipped = cx.params.egress.slow_policy == SlowPolicy::Skip && self.skip(cx, feed, key, rest);
        if skipped {
            self.enqueue(cx, key);
        } else {
            self.leave(cx, feed, key, Hangup::Reset, CloseReason::SlowClientLagged);
        }
    }

    /// Moves a viewer forward to the newest entry point: the rest of the packet it was being sent, the sign of a
    /// discontinuity on every stream, the tables, and then the picture. False when that is impossible.
    fn skip<D: CoreDriver>(&mut self, cx: &mut Cx<D>, feed: &Feed, key: ViewerKey, rest: &[u8]) -> bool {
        let Some(viewer) = self.viewers.get_mut(key).and_then(Viewer::watching_mut) else { return false };
        let Some(entry) = feed.newest_entry().filter(|entry| entry.position > viewer.position) else {
            return false;
        };
        let torn = viewer.position % PACKET;
        let mut preamble = Vec::new();
        if torn != 0 {
            let missing = usize::try_from(PACKET - torn).expect("less than a packet");
            // The ring may have gone on meanwhile; what was lent for the send has not.
            if rest.len() == missing {
                preamble.extend_from_slice(rest);
            } else if viewer.position < feed.tail() {
                return false;
            } else {
                preamble.extend_from_slice(feed.bytes(viewer.position, missing));
            }
        }
        ts::write_skip(&entry.state, &mut preamble);
        let missed = entry.position - viewer.position;
        viewer.position = entry.position;
        viewer.promised = feed.offset(cx.clock_now(), entry.position);
        viewer.excused_ms = 0;
        viewer.preamble = preamble;
        viewer.skip_wanted = false;
        viewer.progress_at = cx.now;
        self.writes.skipped(missed, cx.params.chunk_bytes);
        cx.post.say(Word::Channel(self.channel, ToChannel::Promised(viewer.promised)));
        self.log_skipped(cx.now, feed, key, missed);
        true
    }
}
