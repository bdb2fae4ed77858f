//! How fast the ring is filled, how large it is, and where joiners start: so that whoever takes the programme at its
//! own rate is never overtaken by the writer.
//!
//! Of a ring's bytes, counted back from what has been received, these are not for viewers:
//!
//! ```text
//! tail                                                                              head        filled
//!  │ next read │ SWEPT │ a send in flight │ rounding │ lateness │ viewers may be here │ held back │
//! ```

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::{LEASE_ROUNDING_BYTES, READ_BYTES_MAX, RING_GROWTH_BYTES_MAX, SEND_BYTES_MAX};
use crate::ring::{Entry, Lent};
use crate::source::direct::Want;
use crate::ts::Snapshot;
use crate::uring::Driver;

use crate::engine::channel::live::LiveSession;
use crate::engine::connection::client::SessionKey;
use crate::engine::context::token::Token;
use crate::engine::core::{Core, SWEEP_INTERVAL};
use crate::engine::port::params::SlowPolicy;
use crate::engine::source::upstream::{Io, SourceRun};

/// A viewer that is nearer to the writer than this, or than it writes from one look at viewers to the next, is about to
/// fall out of the ring.
const SWEPT_BYTES_MIN: u64 = 2 * READ_BYTES_MAX as u64;
/// A viewer has more than its position says, by a send in flight; and leases are known to the writer by the segment.
const UNSEEN_BYTES: u64 = SEND_BYTES_MAX as u64 + LEASE_ROUNDING_BYTES;
/// A viewer's socket takes more when so much has gone: half of what may wait in it unsent, and what its peer may have
/// room for before it says so.
const SOCKET_STEP_BYTES: u64 = 192 * 1024;
/// The most patience with a viewer whose programme is slow.
const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// The longest rest for the sake of viewers: then it is looked again.
const REST_MAX: Duration = Duration::from_millis(250);
/// A source that is behind by more than this, and has waited for as long because the ring is small, gets a larger one.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// A stream without an entry point for longer than this has none that a ring could be made to hold.
const ENTRY_GAP_MAX: Duration = Duration::from_secs(12);
/// A ring grows to this many sixteenths of what is needed: the next picture is larger.
const GROWTH_SIXTEENTHS: u64 = 17;
/// Who is to skip does so when less than this part of the ring is left before the writer: it must still have the rest of the
/// packet it is in, and its send is cancelled before.
const SKIP_MARGIN_PART: u64 = 8;

impl LiveSession {
    /// Of the oldest bytes of the ring, so many are as good as gone.
    pub(crate) const fn swept_bytes(&self) -> u64 {
        if self.swept_bytes > SWEPT_BYTES_MIN { self.swept_bytes } else { SWEPT_BYTES_MIN }
    }

    /// Bytes of the ring that viewers cannot have.
    fn taken_bytes(&self) -> u64 {
        READ_BYTES_MAX as u64 + self.swept_bytes() + UNSEEN_BYTES + self.pace_line.lateness_bytes()
    }

    /// Where somebody who comes now starts.
    pub(crate) fn start_of_joiner(&self, lag: u64) -> Option<&Entry<Snapshot>> {
        let safe = (self.ring.filled() + self.taken_bytes()).saturating_sub(self.ring.capacity());
        self.entries.for_lag(self.ring.head(), lag, safe)
    }

    /// When `bytes` more may be written.
    fn free_at(&self, bytes: usize) -> Option<Instant> {
        let end = self.ring.filled() + bytes as u64 + self.swept_bytes() + UNSEEN_BYTES;
        self.pace_line.free_at(end.saturating_sub(self.ring.capacity()))
    }

    /// The size the ring should have, if it is too small: joiners want an entry point at some distance.
    fn larger(&self, lag: u64) -> Option<u64> {
        let since_last = self.entries.last().map_or(0, |last| {
            let is_far = self.pace_line.time_since(last) > ENTRY_GAP_MAX;
            if is_far { 0 } else { self.ring.head() - last }
        });
        let span = self.entries.widest().max(since_last);
        let taken = self.taken_bytes();
        let room = self.ring.capacity().saturating_sub(taken + self.ring.pending_bytes());
        // A little less than the lag that is wished for is not worth a larger ring.
        (lag - lag / 4 + span > room).then(|| {
            let needed = (lag + span + taken + self.ring.pending_bytes()) / 16 * GROWTH_SIXTEENTHS;
            // How far away the next one is can only be guessed.
            let guessed = if since_last > self.entries.widest() { self.ring.capacity() / 2 * 3 } else { 0 };
            needed.max(guessed)
        })
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// How many bytes are read from a session's source at once.
    pub(crate) fn room(&self, session: SessionKey) -> usize {
        let source = self.sessions.get(session).and_then(|live| live.source.as_ref());
        source.map_or(READ_BYTES_MAX, |source| source.ingest.pacer.room())
    }

    /// True when a session's source would be read and is not yet to be: viewers are not that far.
    pub(crate) fn is_paused(&mut self, session: SessionKey) -> bool {
        let now = self.clock_now();
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let Some(source) = &mut live.source else { return false };
        if source.selected_at.is_none() || !source.wants_bytes() {
            return false;
        }
        if let Some(until) = source.ingest.pacer.rests_until(now) {
            source.rests_until = Some(self.time.of(until));
            self.arm(session);
            return true;
        }
        self.is_too_early(session, self.room(session))
    }

    /// True when `bytes` more of a session's source would overwrite what viewers have a right to.
    pub(crate) fn is_too_early(&mut self, session: SessionKey, bytes: usize) -> bool {
        let now = self.clock_now();
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let Some(free_at) = live.free_at(bytes).filter(|free_at| *free_at > now) else { return false };
        let Some(source) = &mut live.source else { return false };
        let is_behind = source.ingest.pacer.behind() > BEHIND_MAX && source.waited > BEHIND_MAX;
        if is_behind {
            source.waited = Duration::ZERO;
            if self.enlarge(session, |live| live.ring.capacity() / 16 * (GROWTH_SIXTEENTHS + 3)) {
                return false;
            }
        }
        let Some(source) = self.sessions.get_mut(session).and_then(|live| live.source.as_mut()) else {
            return false;
        };
        let rest = (free_at - now).min(REST_MAX);
        source.rests_until = Some(self.time.of(now + rest));
        source.waited += rest;
        self.arm(session);
        true
    }

    /// Sees to it that the ring is large enough for its stream.
    pub(crate) fn fit_ring(&mut self, session: SessionKey) {
        let lag = self.params.egress.join_lag_bytes;
        let Some(bytes) = self.sessions.get(session).and_then(|live| live.larger(lag)) else { return };
        self.enlarge(session, |_live| bytes);
    }

    /// Lets the kernel send from the ring without copying, and read into it.
    pub(crate) fn register_ring(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        if live.ring.registered().is_some() {
            return;
        }
        match self.driver.register_memory(&live.ring.mapping()) {
            Ok(buffer) => live.ring.set_registered(Some(buffer)),
            // Everything works without; only zero copy does not.
            Err(errno) => {
                let text = "ring is not registered, viewers are sent to by copying";
                log::warn!("{}", live.about().line(text).field("error", errno));
            }
        }
    }

    /// True when the ring has become larger.
    fn enlarge(&mut self, session: SessionKey, wanted: impl FnOnce(&LiveSession) -> u64) -> bool {
        let most = self.params.ring_bytes().saturating_add(RING_GROWTH_BYTES_MAX);
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let bytes = wanted(live).min(most);
        if bytes <= live.ring.capacity() || live.ring.is_reserved() {
            return false;
        }
        let ring = match usize::try_from(bytes)
            .map_err(|_| nix::Error::ENOMEM)
            .and_then(|bytes| live.ring.enlarged(bytes))
        {
            Ok(ring) => ring,
            Err(error) => {
                log::warn!("{}", live.about().line("no memory for a larger ring").field("error", error));
                return false;
            }
        };
        let line = live.about().line("ring is enlarged").field("from_bytes", live.ring.capacity());
        log::info!("{}", line.field("to_bytes", ring.capacity()));
        let old = std::mem::replace(&mut live.ring, ring);
        live.pace_line.grow(live.ring.capacity());
        if old.registered().is_some() {
            self.retired_rings.push(old);
            self.register_ring(session);
        }
        true
    }

    /// The core could not run for so long. Viewers who had nothing left in their sockets have taken nothing meanwhile.
    pub(crate) fn excuse_viewers(&mut self, lost: Duration) {
        let lost_ms = u32::try_from(lost.as_millis()).unwrap_or(u32::MAX);
        for (_, client) in self.clients.iter_mut() {
            let Some(viewer) = client.viewer_mut() else { continue };
            viewer.excused_ms = viewer.excused_ms.saturating_add(lost_ms);
            self.has_excused = true;
            if let Some(live) = self.sessions.get_mut(viewer.session) {
                live.pace_line.promise_again(viewer.pace());
            }
        }
    }

    /// Whoever has caught up is not late any more, and nothing need wait for it.
    fn end_excuses(&mut self, now: Instant) {
        if !std::mem::take(&mut self.has_excused) {
            return;
        }
        for (_, client) in self.clients.iter_mut() {
            let Some(viewer) = client.viewer_mut().filter(|viewer| viewer.excused_ms > 0) else { continue };
            let Some(live) = self.sessions.get_mut(viewer.session) else { continue };
            let late = live.pace_line.lateness(now, viewer.position, viewer.promised);
            let late_ms = u32::try_from(late.as_millis()).unwrap_or(u32::MAX);
            live.promises_changed |= late_ms < viewer.excused_ms;
            viewer.excused_ms = viewer.excused_ms.min(late_ms);
            self.has_excused |= viewer.excused_ms > 0;
        }
    }

    /// What was promised to those who have left is not to be kept, and whoever waits for the writer takes it up later.
    pub(crate) fn keep_promises(&mut self) {
        let now = self.clock_now();
        self.end_excuses(now);
        let mut has_changed = false;
        for (_, live) in self.sessions.iter_mut() {
            live.pace_line.starve(now);
            let swept = live.pace_line.bytes_in(SWEEP_INTERVAL + SWEEP_INTERVAL / 2);
            // One key picture may be all there is in the ring: it need not drive out those who take it.
            let swept = swept.min(live.ring.capacity() / 2);
            live.swept_bytes = match self.params.egress.slow_policy {
                SlowPolicy::Skip => swept.max(live.ring.capacity() / SKIP_MARGIN_PART),
                SlowPolicy::Disconnect => swept,
            };
            live.patience = live.pace_line.time_of(SOCKET_STEP_BYTES).min(PATIENCE_MAX);
            if live.promises_changed {
                live.pace_line.forget_promises();
                has_changed = true;
            }
        }
        if !has_changed {
            return;
        }
        for (_, client) in self.clients.iter() {
            let Some(viewer) = client.viewer() else { continue };
            let Some(live) = self.sessions.get_mut(viewer.session) else { continue };
            if live.promises_changed {
                live.pace_line.promise_again(viewer.pace());
            }
        }
        for (_, live) in self.sessions.iter_mut() {
            if std::mem::take(&mut live.promises_changed) {
                live.pace_line.promises_kept();
            }
        }
    }
}

impl SourceRun {
    /// What it does next is read.
    fn wants_bytes(&self) -> bool {
        match &self.io {
            Io::Direct { client, .. } => {
                client.is_streaming()
                    && matches!(client.want(), Want::TakeBody | Want::ReceiveBody | Want::ReceivePrivate)
            }
            Io::Child { .. } => true,
        }
    }
}
