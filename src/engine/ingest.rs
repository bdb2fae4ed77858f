//! From received bytes to visible packets: aligned, inspected, committed.

use crate::base::limits::PACKET_BYTES;
use crate::ring::Lent;
use crate::session::{Event as SessionEvent, State};
use crate::source::error::SourceError;
use crate::source::sniff::{Body, Sniffer};
use crate::source::startup::{Programme, Seen, Verdict};
use crate::ts::{Aligner, Inspector};
use crate::uring::Driver;

use super::client::SessionKey;
use super::core::Core;
use super::token::Token;
use super::upstream::SourceRun;

/// What is known of one run's bytes.
pub(crate) struct Ingest {
    /// Decides what the body is, until that is known. A child's output is never anything but a transport stream.
    sniffer: Option<Sniffer>,
    pub(crate) aligner: Aligner,
    pub(crate) inspector: Inspector,
    /// The ring's head when the run began.
    origin: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_committed: u64,
    first_entry: Option<u64>,
    unsuitable: Option<SourceError>,
}

impl Ingest {
    pub(crate) fn new(origin: u64, sniff: bool) -> Self {
        Self {
            sniffer: sniff.then(Sniffer::default),
            aligner: Aligner::new(),
            inspector: Inspector::new(),
            origin,
            bytes: 0,
            bytes_committed: 0,
            first_entry: None,
            unsuitable: None,
        }
    }

    /// When the stream has ended before it was known what it is: why it cannot be used.
    pub(crate) fn unsuitable_at_end(&mut self) -> Option<SourceError> {
        let sniffer = self.sniffer.as_mut()?;
        let body = sniffer.end();
        (!matches!(body, Body::TransportStream | Body::Empty)).then(|| sniffer.failure(body))
    }

    /// Looks at the first bytes of a body. False when it is no transport stream.
    fn sniff(&mut self, bytes: &[u8]) -> bool {
        let Some(sniffer) = &mut self.sniffer else { return true };
        match sniffer.push(bytes) {
            None => true,
            Some(Body::TransportStream) => {
                self.sniffer = None;
                true
            }
            Some(other) => {
                self.unsuitable = Some(sniffer.failure(other));
                self.sniffer = None;
                false
            }
        }
    }

    fn seen(&self) -> Seen {
        Seen {
            bytes: self.bytes,
            first_packet: (self.bytes_committed > 0).then_some(0),
            programme: self.inspector.programme().map(|_known| {
                let inventory = self.inspector.inventory();
                let count = |streams: usize| u32::try_from(streams).unwrap_or(u32::MAX);
                Programme {
                    video_streams: count(inventory.video_streams),
                    audio_streams: count(inventory.audio_streams),
                }
            }),
            entry_point: self.first_entry.map(|position| position - self.origin),
        }
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// `count` bytes of the stream lie behind the first `offset` pending ones; what lies behind them is forgotten.
    pub(crate) fn ingest(&mut self, session: SessionKey, offset: usize, count: usize) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(SourceRun { ingest, .. }) = &mut live.source else { return };
        live.stats.bytes_read += count as u64;
        live.stats.last_byte_at = Some(now);
        ingest.bytes += count as u64;
        let head = live.ring.head();
        let pending = &mut live.ring.pending()[..offset + count];
        let is_suitable = ingest.sniff(&pending[offset..]);
        let aligned = ingest.aligner.align(pending);
        let (packets, _) = pending[..aligned.packets_bytes].as_chunks::<PACKET_BYTES>();
        for (packet, position) in packets.iter().zip((head..).step_by(PACKET_BYTES)) {
            ingest.inspector.packet(position, packet);
            if let Some(entry) = ingest.inspector.take_entry_point() {
                ingest.first_entry.get_or_insert(entry.position);
                live.entries.push(entry.position, entry.snapshot);
            }
        }
        live.ring.commit(aligned.packets_bytes, aligned.rest_bytes);
        if aligned.packets_bytes > 0 {
            ingest.bytes_committed += aligned.packets_bytes as u64;
            live.stats.bytes_pushed += aligned.packets_bytes as u64;
            live.stats.chunks_pushed += 1;
            live.stats.last_push_at = Some(now);
        }
        if !is_suitable {
            let error = ingest.unsuitable.take().expect("an unsuitable body says why");
            return self.source_failed(session, &error);
        }
        self.observe_startup(session);
        self.admit_late(session);
        self.publish(session);
    }

    /// Lets those in who came while the ring held no entry point.
    fn admit_late(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get(session) else { return };
        if *live.machine.state() == State::Live && !live.waiting.is_empty() {
            self.admit(session);
        }
    }

    fn observe_startup(&mut self, session: SessionKey) {
        let Some(source) = self.sessions.get_mut(session).and_then(|live| live.source.as_mut()) else {
            return;
        };
        if source.selected_at.is_none() {
            let verdict = source.startup.observe(source.ingest.seen());
            self.on_verdict(session, verdict);
        }
    }

    /// What the startup machine has decided.
    pub(crate) fn on_verdict(&mut self, session: SessionKey, verdict: Verdict) {
        match verdict {
            Verdict::KeepGoing => {}
            Verdict::Ready { from } => self.source_ready(session, from),
            Verdict::Failed(error) => self.source_failed(session, &error),
        }
    }

    fn source_ready(&mut self, session: SessionKey, from: u64) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(source) = &mut live.source else { return };
        source.selected_at = Some(self.now);
        self.note_selected(session, from);
        self.session_event(session, SessionEvent::SourceReady);
    }

    /// Lets the viewers know that there is more, if it is time.
    fn publish(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        if live.mark_committed(self.now, self.params.egress.bytes) {
            self.wake_viewers(session);
        } else if live.unmarked_since == Some(self.now) {
            self.arm(session);
        }
    }
}
