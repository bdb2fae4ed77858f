//! From received bytes to visible packets: aligned, inspected, committed.

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::{PACKET_BYTES, READ_BYTES_MAX};
use crate::health::Event as ProbeEvent;
use crate::recovery::Holdback;
use crate::ring::Lent;
use crate::session::{Event as SessionEvent, State};
use crate::source::error::SourceError;
use crate::source::pace::{self, Pacer};
use crate::source::profile::ProfileScanner;
use crate::source::sniff::{Body, Sniffer};
use crate::source::startup::{Programme, Seen, Verdict};
use crate::source::watch::{self, Watch};
use crate::ts::{self, Aligned, Aligner, Codec, EntryPoint, Inspector, MediaSeen};
use crate::uring::Driver;

use super::client::SessionKey;
use super::core::Core;
use super::token::Token;
use super::upstream::SourceRun;

/// Between two bursts of a source nothing comes, and nothing is late: of a longer gap only this counts.
const FLOW_GAP_MAX: Duration = Duration::from_millis(200);

/// What is known of one run's bytes. Positions count its whole packets' bytes, from its beginning.
pub(crate) struct Ingest {
    /// Decides what the body is, until that is known. A child's output is never anything but a transport stream.
    sniffer: Option<Sniffer>,
    pub(crate) aligner: Aligner,
    /// Sees the packets as the source sends them.
    pub(crate) inspector: Inspector,
    /// Says when more of it is to be read.
    pub(crate) pacer: Pacer,
    /// Learns what the stream is made of.
    pub(crate) scanner: ProfileScanner,
    /// Once viewers are shown the stream: what of it is whole.
    holdback: Option<Holdback>,
    /// Bytes received.
    pub(crate) bytes: u64,
    /// Bytes of the whole packets among them.
    aligned: u64,
    /// Bytes of these that viewers may have, or that were dropped before the start.
    released: u64,
    first_entry: Option<EntryPoint>,
    /// The programme that lies before it.
    media_before: MediaSeen,
    /// When it was last looked for what may be released.
    looked_at: Option<Instant>,
    /// The end of the table that the holdback goes by.
    held_table: Option<[u8; 4]>,
    unsuitable: Option<SourceError>,
}

impl Ingest {
    pub(crate) fn new(sniff: bool, pace: pace::Params) -> Self {
        Self {
            sniffer: sniff.then(Sniffer::default),
            aligner: Aligner::new(),
            inspector: Inspector::new(),
            pacer: Pacer::new(pace),
            scanner: ProfileScanner::new(),
            holdback: None,
            looked_at: None,
            bytes: 0,
            aligned: 0,
            released: 0,
            first_entry: None,
            media_before: MediaSeen::default(),
            held_table: None,
            unsuitable: None,
        }
    }

    /// When the stream has ended before it was known what it is: why it cannot be used.
    pub(crate) fn unsuitable_at_end(&mut self) -> Option<SourceError> {
        let sniffer = self.sniffer.as_mut()?;
        let body = sniffer.end();
        (!matches!(body, Body::TransportStream | Body::Empty)).then(|| sniffer.failure(body))
    }

    /// Why the body cannot be used, once that is known.
    pub(crate) const fn take_unsuitable(&mut self) -> Option<SourceError> {
        self.unsuitable.take()
    }

    /// Looks at what has come: `bytes` are the undecided ones of before, then from `fresh` on the new ones.
    pub(crate) fn take(&mut self, bytes: &mut [u8], fresh: usize) -> Aligned {
        self.bytes += (bytes.len() - fresh) as u64;
        self.sniff(&bytes[fresh..]);
        let aligned = self.aligner.align(bytes);
        let (packets, _) = bytes[..aligned.packets_bytes].as_chunks::<PACKET_BYTES>();
        for (packet, position) in packets.iter().zip((self.aligned..).step_by(PACKET_BYTES)) {
            self.inspector.packet(position, packet);
            self.pacer.packet(packet);
            if let Some(entry) = self.inspector.take_entry_point() {
                self.pacer.first_picture();
                if self.first_entry.is_none() {
                    self.first_entry = Some(entry);
                    self.media_before = self.inspector.media();
                }
            }
            if let Some(programme) = self.inspector.programme() {
                self.scanner.packet(packet, programme);
            }
            if let Some(holdback) = &mut self.holdback {
                holdback.packet(packet);
            }
        }
        self.pacer.follow(self.inspector.programme());
        self.scanner.clock(self.inspector.last_pcr());
        self.follow_programme();
        self.aligned += aligned.packets_bytes as u64;
        aligned
    }

    /// Bytes of whole packets so far.
    pub(crate) const fn aligned(&self) -> u64 {
        self.aligned
    }

    /// The codec of the stream in which the first entry point was found.
    pub(crate) fn entry_codec(&self) -> Option<Codec> {
        self.first_entry.as_ref().map(|entry| entry.codec)
    }

    /// Whole packets that wait to be released.
    pub(crate) const fn held(&self) -> u64 {
        self.aligned - self.released
    }

    /// What a decoder is to be told before what begins at the first entry point.
    pub(crate) fn prologue(&self) -> Vec<u8> {
        let mut packets = Vec::new();
        if let Some(entry) = &self.first_entry {
            ts::write_join(&entry.snapshot, &mut packets);
        }
        packets
    }

    /// The holdback goes by the programme's table as it is now.
    fn follow_programme(&mut self) {
        let Some(holdback) = &mut self.holdback else { return };
        let programme = self.inspector.programme();
        let table = programme.and_then(|programme| programme.pmt.section_bytes().last_chunk().copied());
        if table != self.held_table {
            self.held_table = table;
            holdback.set_programme(programme);
        }
    }

    /// What lies before this position is never shown to anybody. `packets` are those from there on. `at_once` is for a
    /// session's first viewers, and of `held_bytes_max` there is room: see [`Holdback::new`].
    pub(crate) fn start_from(&mut self, position: u64, packets: &[u8], at_once: bool, held_bytes_max: u64) {
        assert!(self.released <= position && position <= self.aligned, "a start lies in what was seen");
        self.released = position;
        self.holdback = Some(Holdback::new(at_once, held_bytes_max));
        self.inspector.stop_searching();
        self.follow_programme();
        if let Some(holdback) = &mut self.holdback {
            packets.as_chunks::<PACKET_BYTES>().0.iter().for_each(|packet| holdback.packet(packet));
        }
    }

    /// Releases what viewers may have of `held`, the first held bytes at hand, and says how much that is; its packets may have
    /// changed their order then.
    pub(crate) fn release(&mut self, now: Instant, held: &mut [u8]) -> usize {
        let Some(holdback) = &mut self.holdback else { return 0 };
        holdback.pass(self.looked_at.replace(now).map_or(Duration::ZERO, |at| (now - at).min(FLOW_GAP_MAX)));
        let bytes = holdback.release(held);
        self.released += bytes as u64;
        bytes
    }

    /// Nothing more comes: what is whole may be shown.
    pub(crate) fn end(&mut self) {
        if let Some(holdback) = &mut self.holdback {
            holdback.end();
        }
    }

    /// Bytes that viewers may have, or that were dropped before the start.
    pub(crate) const fn released(&self) -> u64 {
        self.released
    }

    fn sniff(&mut self, bytes: &[u8]) {
        let Some(sniffer) = &mut self.sniffer else { return };
        match sniffer.push(bytes) {
            None => {}
            Some(Body::TransportStream) => self.sniffer = None,
            Some(other) => {
                self.unsuitable = Some(sniffer.failure(other));
                self.sniffer = None;
            }
        }
    }

    fn seen(&self) -> Seen {
        Seen {
            bytes: self.bytes,
            first_packet: (self.aligned > 0).then_some(0),
            programme: self.inspector.programme().map(|_known| {
                let inventory = self.inspector.inventory();
                let count = |streams: usize| u32::try_from(streams).unwrap_or(u32::MAX);
                Programme {
                    video_streams: count(inventory.video_streams),
                    audio_streams: count(inventory.audio_streams),
                }
            }),
            entry_point: self.first_entry.as_ref().map(|entry| entry.position),
            is_scrambled: self.inspector.is_scrambled(),
        }
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// `count` bytes of the stream have come into the ring, behind the first `offset` pending ones; what lies behind
    /// them is forgotten.
    pub(crate) fn ingest(&mut self, session: SessionKey, offset: usize, count: usize) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(SourceRun { ingest, .. }) = &mut live.source else { return };
        live.stats.bytes_read += count as u64;
        live.stats.last_byte_at = Some(now);
        let held = usize::try_from(ingest.held()).expect("less than the ring");
        let pending = &mut live.ring.pending()[..offset + count];
        let aligned = ingest.take(&mut pending[held..], offset - held);
        let unsuitable = ingest.take_unsuitable();
        live.release(now, held + aligned.packets_bytes, aligned.rest_bytes);
        live.observe(now);
        self.fit_ring(session);
        if let Some(error) = unsuitable {
            return self.source_failed(session, &error);
        }
        self.admit_late(session);
        self.publish(session);
    }

    /// Bytes of a stream that is not shown yet have come.
    pub(crate) fn ingest_staged(&mut self, session: SessionKey, count: usize) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(SourceRun { ingest, staging: Some(staging), .. }) = &mut live.source else { return };
        live.stats.bytes_read += count as u64;
        live.stats.last_byte_at = Some(now);
        staging.look(ingest, count);
        if let Some(error) = ingest.take_unsuitable() {
            return self.source_failed(session, &error);
        }
        self.observe_startup(session);
    }

    /// Lets those in who came while the ring held no entry point.
    pub(crate) fn admit_late(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get(session) else { return };
        let has_stream = matches!(live.machine.state(), State::Live | State::Recovering);
        if has_stream && !live.waiting.is_empty() {
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
        if self.is_probe(session) {
            return self.probe_event(ProbeEvent::Ready);
        }
        let clock_now = self.clock_now();
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(source) = &mut live.source else { return };
        source.selected_at = Some(self.now);
        source.ingest.pacer.begin(clock_now);
        let is_first = live.history.current().is_none();
        if is_first {
            self.backoff.record_success(self.now, live.channel.id);
        }
        if let Some(staging) = &mut source.staging {
            staging.start_from(from);
            // Beside what is pending there is always room for those who read.
            let held_bytes_max = live.ring.capacity() / 4;
            source.ingest.start_from(staging.position(), staging.packets(), is_first, held_bytes_max);
        }
        let watch = watch::Params { stall_detect: self.params.session.stall_detect, content: true };
        source.watch = Some(Watch::new(watch, self.now).after(source.ingest.media_before));
        self.note_selected(session, from);
        self.schedule_probe(session);
        self.session_event(session, SessionEvent::SourceReady);
        self.drive(session);
    }

    /// Lets the viewers know that there is more, if it is time.
    pub(crate) fn publish(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        if live.mark_committed(self.now, self.params.egress.bytes) {
            self.wake_viewers(session);
        }
        if self.sessions.get(session).is_some_and(|live| live.unmarked_since == Some(self.now)) {
            self.arm(session);
        }
    }

    /// Writes what comes before a run's first packet. True when nothing of it is left.
    fn write_prologue(&mut self, session: SessionKey) -> bool {
        let Some(live) = self.sessions.get_mut(session) else { return false };
        let prologue = std::mem::take(&mut live.prologue);
        if prologue.is_empty() || self.write(session, &prologue) {
            return true;
        }
        if let Some(live) = self.sessions.get_mut(session) {
            live.prologue = prologue;
        }
        false
    }

    /// Moves what was staged of a selected source into the ring. True when nothing of it is left.
    pub(crate) fn pour(&mut self, session: SessionKey) -> bool {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return false };
        if live.filling.is_some() {
            // It is about to be stopped.
            return false;
        }
        live.begin_run(now);
        if !self.write_prologue(session) {
            return false;
        }
        loop {
            let Some(live) = self.sessions.get_mut(session) else { return false };
            let Some(source) = &mut live.source else { return false };
            let Some(staging) = &mut source.staging else { return true };
            let count = staging.left().min(READ_BYTES_MAX);
            if count == 0 {
                source.staging = None;
                return true;
            }
            if self.is_too_early(session, count) {
                return false;
            }
            let Some(span) = self.reserve(session, count) else { return false };
            let now = self.now;
            let Some(live) = self.sessions.get_mut(session) else { return false };
            let Some(SourceRun { ingest, staging: Some(staging), .. }) = &mut live.source else {
                return false;
            };
            let offset = usize::try_from(live.ring.pending_bytes()).expect("less than the ring");
            live.ring.received(span, count);
            let pending = live.ring.pending();
            staging.pour(&mut pending[offset..]);
            let held = usize::try_from(ingest.held()).map_or(usize::MAX, |held| held).min(offset + count);
            let packets = held - held % PACKET_BYTES;
            live.release(now, packets, offset + count - packets);
            // Else the first bytes after it, whatever they are, would pass for what this was.
            live.observe(now);
            self.admit_late(session);
            self.publish(session);
        }
    }
}
