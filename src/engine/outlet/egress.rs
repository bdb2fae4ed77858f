//! From the ring to the viewers' sockets.
//!
//! Publishing moves a session's mark; it does not walk packets. A viewer that has everything up to the mark waits in
//! its session's list, the others wait in the core's queue, and each turn serves a bounded part of that queue. While a
//! send is in flight more gathers by itself.

use crate::base::limits::{
    PACKET_BYTES, SEGMENTED_BYTES, SEND_BYTES_MAX, SENDS_PER_TURN, ZERO_COPY_IN_FLIGHT_MAX,
};
use crate::base::{Errno, HeapBytes};
use crate::ring::{Lease, Lent};
use crate::session::history::CloseReason;
use crate::ts;
use crate::uring::{Driver, Event, Hangup, OpKey, Operation};

use crate::engine::connection::client::{ClientKey, Sending, SessionKey, ZeroCopyState};
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::params::SlowPolicy;

/// Bytes a core hands to the kernel in one turn: about 3 ms of work, the time somebody new may have to wait.
const BYTES_PER_TURN: u64 = 16 * 1024 * 1024;
/// A send smaller than this is cheaper to copy.
const ZERO_COPY_BYTES_MIN: u64 = 16 * 1024;
/// After so many notifications in a row that say "copied" the viewer is sent to by copying.
const COPIED_IN_A_ROW_MAX: u8 = 8;
const PACKET: u64 = PACKET_BYTES as u64;
/// How many sends ahead a viewer is fetched into the cache.
const TOUCH_AHEAD: usize = 4;

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

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Serves those who wait, newcomers first, within this turn's share.
    pub(crate) fn flush(&mut self) {
        let mut bytes_left = BYTES_PER_TURN;
        for _ in 0..SENDS_PER_TURN {
            if bytes_left == 0 {
                return;
            }
            let Some(key) = self.fresh.pop_front().or_else(|| self.ready.pop_front()) else { return };
            if let Some(&ahead) = self.ready.get(TOUCH_AHEAD) {
                self.clients.touch(ahead);
            }
            let sent = self.send_next(key);
            bytes_left = bytes_left.saturating_sub(sent);
        }
    }

    /// Puts a viewer into the queue unless it is there or has a send in flight.
    pub(crate) fn enqueue(&mut self, key: ClientKey) {
        let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut()) else { return };
        if viewer.is_queued || viewer.sending != Sending::Nothing {
            return;
        }
        viewer.is_queued = true;
        if viewer.preamble.is_empty() { self.ready.push_back(key) } else { self.fresh.push_back(key) }
    }

    /// The mark of a session has moved: those who had caught up have something to get.
    pub(crate) fn wake_viewers(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let mut caught_up = std::mem::take(&mut live.caught_up);
        for &key in &caught_up {
            self.enqueue(key);
        }
        caught_up.clear();
        if let Some(live) = self.sessions.get_mut(session) {
            // The list keeps its memory: this happens ten times a second.
            live.caught_up = caught_up;
        }
    }

    fn next_for(&mut self, key: ClientKey) -> Option<Next> {
        let client = self.clients.get_mut(key)?;
        let viewer = client.viewer_mut()?;
        viewer.is_queued = false;
        debug_assert_eq!(viewer.sending, Sending::Nothing, "a queued viewer has no send in flight");
        if !viewer.preamble.is_empty() {
            return Some(Next::Preamble);
        }
        let live = self.sessions.get_mut(viewer.session)?;
        if viewer.skip_wanted || viewer.position < live.ring.tail() {
            return Some(Next::Lagged);
        }
        let waiting = live.mark.saturating_sub(viewer.position);
        if waiting == 0 && live.lingers_until.is_some() {
            return Some(Next::Over);
        }
        if waiting == 0 {
            live.caught_up.push(key);
            viewer.progress_at = self.now;
            return Some(Next::Nothing);
        }
        let bytes = waiting.min(SEND_BYTES_MAX as u64);
        let is_near = live.ring.head() - viewer.position <= live.ring.capacity() / 2;
        let zero_copy = matches!(viewer.zero_copy, ZeroCopyState::On { .. })
            && bytes >= ZERO_COPY_BYTES_MIN
            && is_near
            && viewer.held.len() < usize::from(ZERO_COPY_IN_FLIGHT_MAX)
            && live.ring.registered().is_some();
        let bytes = if zero_copy { bytes.min(SEGMENTED_BYTES as u64) } else { bytes };
        let bytes = usize::try_from(bytes).expect("at most SEND_BYTES_MAX");
        Some(Next::Stream { position: viewer.position, bytes, zero_copy })
    }

    /// Submits a viewer's next send. Gives the bytes submitted.
    fn send_next(&mut self, key: ClientKey) -> u64 {
        match self.next_for(key) {
            None | Some(Next::Nothing) => 0,
            Some(Next::Lagged) => {
                self.fell_behind(key, &[]);
                0
            }
            Some(Next::Over) => {
                self.leave(key, Hangup::Finish, CloseReason::SessionClosed);
                0
            }
            Some(Next::Preamble) => self.send_preamble(key),
            Some(Next::Stream { position, bytes, zero_copy }) => {
                self.send_stream(key, position, bytes, zero_copy)
            }
        }
    }

    fn send_preamble(&mut self, key: ClientKey) -> u64 {
        self.in_haste = true;
        let Some(client) = self.clients.get_mut(key) else { return 0 };
        let socket = client.handle;
        let Some(viewer) = client.viewer_mut() else { return 0 };
        let preamble = std::mem::take(&mut viewer.preamble);
        let bytes = preamble.len() as u64;
        let send = Operation::Send { socket, from: Lent::Heap(HeapBytes::from_vec(preamble)) };
        if let Some(op) = self.submit(key, send) {
            self.now_sending(key, Sending::Preamble(op));
        }
        bytes
    }

    fn send_stream(&mut self, key: ClientKey, position: u64, bytes: usize, zero_copy: bool) -> u64 {
        let Some(client) = self.clients.get_mut(key) else { return 0 };
        let socket = client.handle;
        let Some(viewer) = client.viewer_mut() else { return 0 };
        let Some(live) = self.sessions.get(viewer.session) else { return 0 };
        let from = Lent::Lease(live.ring.lease(position, bytes));
        let send = if zero_copy {
            Operation::SendZeroCopy { socket, from }
        } else {
            Operation::Send { socket, from }
        };
        if let Some(op) = self.submit(key, send) {
            let bytes = u32::try_from(bytes).expect("at most SEND_BYTES_MAX");
            self.now_sending(key, Sending::Stream { op, zero_copy, bytes });
        }
        bytes as u64
    }

    fn submit(&mut self, key: ClientKey, send: Operation<Lent>) -> Option<OpKey> {
        match self.driver.push(send, Token::Send(key.into())) {
            Ok(op) => Some(op),
            Err(_full) => {
                self.counters.queue_full += 1;
                self.leave(key, Hangup::Reset, CloseReason::StreamWriteError);
                None
            }
        }
    }

    fn now_sending(&mut self, key: ClientKey, sending: Sending) {
        let now = self.now;
        if let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut()) {
            viewer.sending = sending;
            viewer.progress_at = now;
        }
    }

    /// A viewer's send, or the notification of one, has come back.
    pub(crate) fn on_send(&mut self, key: ClientKey, event: Event<Lent, D::Descriptor>) {
        self.counters.sends += 1;
        let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut()) else { return };
        match event {
            Event::Sent { result } => {
                self.counters.zero_copy_sends += 1;
                viewer.held.push(viewer.position);
                self.sent(key, result, None, &[]);
            }
            Event::Released { memory, copied } => {
                self.counters.sends -= 1;
                // Not always the oldest: one that was cancelled comes back before those in the socket's queue.
                if let Lent::Lease(lease) = &memory
                    && let Some(at) = viewer.held.iter().position(|&held| held == lease.position())
                {
                    viewer.held.swap_remove(at);
                }
                if let ZeroCopyState::On { copied_in_a_row } = &mut viewer.zero_copy {
                    *copied_in_a_row = if copied { copied_in_a_row.saturating_add(1) } else { 0 };
                }
                if copied {
                    self.counters.zero_copy_copied += 1;
                    self.reconsider_zero_copy(key);
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
                self.sent(key, result, preamble, &rest);
            }
            Event::Accepted(_) => unreachable!("a viewer's socket does not accept"),
        }
    }

    /// `rest` is what is left of the packet in which the send has ended, where that is known.
    fn sent(&mut self, key: ClientKey, result: Result<u32, Errno>, preamble: Option<Vec<u8>>, rest: &[u8]) {
        let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut()) else { return };
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
                return self.leave(key, Hangup::Reset, CloseReason::HttpContextCanceled);
            }
            Err(_broken) => return self.leave(key, Hangup::Reset, CloseReason::StreamWriteError),
        };
        // Within the turn it was submitted in, a send has not waited.
        let blocked = self.now - viewer.progress_at;
        let is_short = matches!(was, Sending::Stream { bytes, .. } if (1..bytes as usize).contains(&count));
        if (is_short || !blocked.is_zero())
            && let Some(live) = self.sessions.get_mut(viewer.session)
        {
            live.stats.writes.blocked += blocked;
            live.stats.writes.short_writes += u64::from(is_short);
        }
        if count > 0 {
            viewer.progress_at = self.now;
        }
        viewer.bytes_sent += count as u64;
        self.counters.bytes_sent += count as u64;
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
            return self.fell_behind(key, rest);
        }
        self.enqueue(key);
    }

    fn reconsider_zero_copy(&mut self, key: ClientKey) {
        if self.params.egress.zero_copy == crate::engine::port::params::ZeroCopy::Always {
            return;
        }
        let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut()) else { return };
        if matches!(viewer.zero_copy, ZeroCopyState::On { copied_in_a_row } if copied_in_a_row >= COPIED_IN_A_ROW_MAX)
        {
            viewer.zero_copy = ZeroCopyState::Off;
        }
    }

    /// A viewer without a send in flight has fallen out of the ring, or is about to.
    fn fell_behind(&mut self, key: ClientKey, rest: &[u8]) {
        let skipped = self.params.egress.slow_policy == SlowPolicy::Skip && self.skip(key, rest);
        if skipped {
            self.enqueue(key);
        } else {
            self.leave(key, Hangup::Reset, CloseReason::SlowClientLagged);
        }
    }

    /// Moves a viewer forward to the newest entry point: the rest of the packet it was being sent, the sign of a
    /// discontinuity on every stream, the tables, and then the picture. False when that is impossible.
    fn skip(&mut self, key: ClientKey, rest: &[u8]) -> bool {
        let clock_now = self.clock_now();
        let Some(viewer) = self.clients.get_mut(key).and_then(|client| client.viewer_mut()) else {
            return false;
        };
        let Some(live) = self.sessions.get_mut(viewer.session) else { return false };
        let Some(entry) = live.entries.newest().filter(|entry| entry.position > viewer.position) else {
            return false;
        };
        let torn = viewer.position % PACKET;
        let mut preamble = Vec::new();
        if torn != 0 {
            let missing = usize::try_from(PACKET - torn).expect("less than a packet");
            // The ring may have gone on meanwhile; what was lent for the send has not.
            if rest.len() == missing {
                preamble.extend_from_slice(rest);
            } else if viewer.position < live.ring.tail() {
                return false;
            } else {
                preamble.extend_from_slice(live.ring.bytes(viewer.position, missing));
            }
        }
        ts::write_skip(&entry.state, &mut preamble);
        let (session, missed) = (viewer.session, entry.position - viewer.position);
        live.stats.writes.skipped(missed, self.params.chunk_bytes);
        viewer.position = entry.position;
        viewer.promised = live.pace_line.promise(clock_now, entry.position);
        viewer.excused_ms = 0;
        viewer.preamble = preamble;
        viewer.skip_wanted = false;
        viewer.progress_at = self.now;
        self.tell_skipped(session, key, missed);
        true
    }
}
