//! From received bytes to visible packets: aligned, inspected, committed.

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::PACKET_BYTES;
use crate::source::body::Body;
use crate::source::error::SourceError;
use crate::source::pace::{self, Pacer};
use crate::source::profile::ProfileScanner;
use crate::source::sniff::Sniffer;
use crate::source::startup::{Programme, Seen};
use crate::splice::{ClockBefore, Holdback};
use crate::ts::{
    self, Aligned, Aligner, Codec, EntryPoint, Grade, Inspector, MediaSeen, PacketBytes, PayloadDigest,
    PlainRun,
};

/// Between two bursts of a source nothing comes, and nothing is late: of a longer gap only this counts.
const FLOW_GAP_MAX: Duration = Duration::from_millis(200);

/// What is known of one run's bytes. Positions count its whole packets' bytes, from its beginning.
pub(crate) struct Ingest {
    /// Decides what the body is, until that is known. A child's output is never anything but a transport stream.
    sniffer: Option<Sniffer>,
    aligner: Aligner,
    /// Sees the packets as the source sends them.
    inspector: Inspector,
    /// Says when more of it is to be read.
    pacer: Pacer,
    /// Learns what the stream is made of.
    scanner: ProfileScanner,
    /// Once viewers are shown the stream: what of it is whole.
    holdback: Option<Holdback>,
    /// When the first of it came.
    began: Option<Instant>,
    /// Bytes received.
    bytes: u64,
    /// Bytes of the whole packets among them.
    aligned: u64,
    /// Bytes of these that viewers may have, or that were dropped before the start.
    released: u64,
    first_entry: Option<EntryPoint>,
    /// Where a decoder may start, as long as there is nothing better: the first and the last place of the best grade, each
    /// with the programme that lies before it.
    fallback: Option<(EntryPoint, MediaSeen)>,
    last_fallback: Option<(EntryPoint, MediaSeen)>,
    /// The programme that lies before the first entry point.
    media_before: MediaSeen,
    /// When something has come last.
    came_at: Option<Instant>,
    /// Since when what is whole waits for a joint, and what was released last has.
    joint_since: Option<Instant>,
    held_since: Option<Instant>,
    /// The end of the table that the holdback goes by.
    held_table: Option<[u8; 4]>,
    unsuitable: Option<SourceError>,
    /// The text that came instead of a stream, if it may be a list.
    list: Option<Vec<u8>>,
}

impl Ingest {
    /// `program` is the number of the only programme that is taken, if there is one.
    pub(crate) fn new(sniffer: Option<Sniffer>, program: Option<u16>, pace: pace::PaceParams) -> Self {
        Self {
            sniffer,
            aligner: Aligner::new(),
            inspector: Inspector::for_start(program),
            pacer: Pacer::new(pace),
            scanner: ProfileScanner::new(),
            holdback: None,
            came_at: None,
            joint_since: None,
            held_since: None,
            began: None,
            bytes: 0,
            aligned: 0,
            released: 0,
            first_entry: None,
            fallback: None,
            last_fallback: None,
            media_before: MediaSeen::default(),
            held_table: None,
            unsuitable: None,
            list: None,
        }
    }

    /// What the source sends.
    pub(crate) const fn inspector(&self) -> &Inspector {
        &self.inspector
    }

    /// What has been learnt of what the stream is made of.
    pub(crate) const fn scanner(&self) -> &ProfileScanner {
        &self.scanner
    }

    /// Says when more of it is to be read.
    pub(crate) const fn pacer(&mut self) -> &mut Pacer {
        &mut self.pacer
    }

    /// How many bytes of it are to be read at once.
    pub(crate) fn read_bytes(&self) -> usize {
        self.pacer.room()
    }

    /// Bytes received.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the first of it came.
    pub(crate) const fn began(&self) -> Option<Instant> {
        self.began
    }

    /// When the stream has ended before it was known what it is: why it cannot be used.
    pub(crate) fn unsuitable_at_end(&mut self) -> Option<SourceError> {
        let sniffer = self.sniffer.as_mut()?;
        let body = sniffer.end();
        if sniffer.is_suitable(body) || body == Body::Empty {
            return None;
        }
        let failure = sniffer.failure(body);
        self.keep_list(body);
        Some(failure)
    }

    fn keep_list(&mut self, body: Body) {
        let sniffer = self.sniffer.take();
        if matches!(body, Body::List | Body::Text) {
            self.list = sniffer.map(Sniffer::into_text);
        }
    }

    /// The text that came instead of a stream, if it may be a list.
    pub(crate) const fn take_list(&mut self) -> Option<Vec<u8>> {
        self.list.take()
    }

    /// Why the body cannot be used, once that is known.
    pub(crate) const fn take_unsuitable(&mut self) -> Option<SourceError> {
        self.unsuitable.take()
    }

    /// Looks at what has come: `bytes` are the undecided ones of before, then from `fresh` on the new ones. Packets of other
    /// programmes than the chosen one go no further: viewers of a whole multiplex would get mostly null packets.
    pub(crate) fn take(&mut self, bytes: &mut [u8], fresh: usize) -> Aligned {
        self.bytes += (bytes.len() - fresh) as u64;
        self.sniff(&bytes[fresh..]);
        let came = self.aligner.align(bytes);
        let (packets, _) = bytes[..came.packets_bytes].as_chunks_mut::<PACKET_BYTES>();
        let mut kept = 0;
        let mut index = 0;
        let mut run = None;
        while index < packets.len() {
            run = run.or_else(|| PlainRun::at_front(&packets[index..]));
            let taken = run.map_or(0, |run| self.take_run(run, &packets[index..]));
            let count = taken.max(1);
            if taken > 0 || self.take_packet(&packets[index], kept) {
                if kept < index {
                    packets.copy_within(index..index + count, kept);
                }
                kept += count;
            }
            index += count;
            run = run.and_then(|run| run.behind(count));
        }
        let aligned = Aligned { packets_bytes: kept * PACKET_BYTES, ..came };
        if aligned.packets_bytes < came.packets_bytes {
            let rest = came.packets_bytes..came.packets_bytes + came.rest_bytes;
            bytes.copy_within(rest, aligned.packets_bytes);
        }
        self.pacer.follow(self.inspector.programme());
        self.scanner.clock(self.inspector.last_pcr());
        self.judge_programme();
        self.follow_programme();
        self.aligned += aligned.packets_bytes as u64;
        aligned
    }

    /// Looks at the first packets of a run, with which `packets` begin, and says at how many: the next is to be looked at by itself.
    /// They are of the programme.
    fn take_run(&mut self, run: PlainRun, packets: &[PacketBytes]) -> usize {
        let mut digest = PayloadDigest::default();
        let taken = self.inspector.take_run(run, packets, |taken| {
            digest = PayloadDigest::of_last(taken, packets);
            digest
        });
        if taken == 0 {
            return 0;
        }
        let run = run.first_packets(taken);
        self.pacer.plain(taken);
        if let Some(programme) = self.inspector.programme() {
            self.scanner.run(run, packets, programme);
        }
        if let Some(holdback) = &mut self.holdback {
            holdback.run(run, packets, digest);
        }
        taken
    }

    /// Looks at a packet; `kept` are those in front of it that are of the programme. False when it is not.
    fn take_packet(&mut self, packet: &PacketBytes, kept: usize) -> bool {
        let position = self.aligned + (kept * PACKET_BYTES) as u64;
        let digest = PayloadDigest::of(packet);
        self.inspector.packet_with(position, packet, digest);
        self.pacer.packet(packet);
        if self.inspector.is_foreign(packet) {
            return false;
        }
        if let Some(entry) = self.inspector.take_entry_point() {
            self.note_entry(entry);
        }
        if let Some(programme) = self.inspector.programme() {
            self.scanner.packet(packet, programme);
        }
        if let Some(holdback) = &mut self.holdback {
            holdback.packet_with(packet, digest);
        }
        true
    }

    fn note_entry(&mut self, entry: EntryPoint) {
        if entry.grade >= Grade::Blind {
            self.pacer.first_picture();
        }
        let before = self.inspector.media();
        if entry.grade == Grade::Certain {
            if self.first_entry.is_none() {
                self.first_entry = Some(entry);
                self.media_before = before;
            }
            return;
        }
        let best = self.fallback.as_ref().map(|(known, _)| known.grade);
        if best.is_none_or(|best| entry.grade > best) {
            self.fallback = Some((entry, before));
            self.last_fallback = None;
        } else if best == Some(entry.grade) {
            self.last_fallback = Some((entry, before));
        }
    }

    /// The programme that lies before the place where the run starts.
    pub(crate) fn media_before(&self) -> MediaSeen {
        match (&self.first_entry, &self.fallback) {
            (None, Some((_, before))) => *before,
            (Some(_), _) | (None, None) => self.media_before,
        }
    }

    /// What lies before a position of the run is not at hand any more.
    pub(crate) fn forget_before(&mut self, position: u64) {
        let is_at_hand = |(entry, _): &(EntryPoint, MediaSeen)| entry.position >= position;
        if self.holdback.is_none() && !self.fallback.as_ref().is_some_and(is_at_hand) {
            self.fallback = self.last_fallback.take().filter(is_at_hand);
        }
    }

    /// A programme that nobody can see, or that is not there, need not be waited for.
    fn judge_programme(&mut self) {
        if self.holdback.is_some() || self.unsuitable.is_some() {
            return;
        }
        if let Some((number, present)) = self.inspector.absent() {
            self.unsuitable = Some(SourceError::no_programme(number, &present));
        }
    }

    /// Viewers are shown the stream: nothing of it is forgotten any more.
    pub(crate) const fn has_started(&self) -> bool {
        self.holdback.is_some()
    }

    /// Bytes of whole packets so far.
    pub(crate) const fn aligned(&self) -> u64 {
        self.aligned
    }

    /// The codec of the stream in which the first entry point was found.
    pub(crate) fn entry_codec(&self) -> Option<Codec> {
        self.start_entry().map(|entry| entry.codec)
    }

    /// The place where the run starts, or would.
    fn start_entry(&self) -> Option<&EntryPoint> {
        self.first_entry.as_ref().or(self.fallback.as_ref().map(|(entry, _)| entry))
    }

    /// How good the place is where the run has started.
    pub(crate) fn start_grade(&self) -> Grade {
        self.start_entry().map_or(Grade::Certain, |entry| entry.grade)
    }

    /// Whole packets that wait to be released.
    pub(crate) const fn held(&self) -> u64 {
        self.aligned - self.released
    }

    /// What a decoder is to be told before what begins at the first entry point.
    pub(crate) fn prologue(&self) -> Vec<u8> {
        let mut packets = Vec::new();
        if let Some(entry) = self.start_entry() {
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

    /// What lies before this position is never shown to anybody, but for its `clock`. `packets` are those from there on. `at_once` is
    /// for a session's first viewers, and of `held_bytes_max` there is room: see [`Holdback::new`].
    pub(crate) fn start_from(
        &mut self,
        position: u64,
        clock: Option<ClockBefore>,
        packets: &[u8],
        at_once: bool,
        held_bytes_max: u64,
    ) {
        assert!(self.released <= position && position <= self.aligned, "a start lies in what was seen");
        self.released = position;
        self.holdback = Some(Holdback::new(at_once, held_bytes_max));
        self.inspector.stop_searching();
        self.follow_programme();
        if let Some(holdback) = &mut self.holdback {
            if let Some(clock) = clock {
                holdback.has_had_clock(clock.pcr());
            }
            for packet in packets.as_chunks::<PACKET_BYTES>().0 {
                holdback.packet_with(packet, PayloadDigest::of(packet));
            }
        }
    }

    /// What is taken next has come now.
    pub(crate) fn came(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        let Some(holdback) = &mut self.holdback else { return };
        holdback.pass(self.came_at.replace(now).map_or(Duration::ZERO, |at| (now - at).min(FLOW_GAP_MAX)));
    }

    /// Releases what viewers may have of `held`, the first held bytes at hand, and says how much that is; its packets may have
    /// changed their order then.
    pub(crate) fn release(&mut self, now: Instant, held: &mut [u8]) -> usize {
        let Some(holdback) = &mut self.holdback else { return 0 };
        let bytes = holdback.release(held);
        self.released += bytes as u64;
        self.held_since = self.joint_since;
        self.joint_since = holdback.is_at_joint().then(|| self.joint_since.unwrap_or(now));
        bytes
    }

    /// When what has been released last began to come, if it waited for a joint.
    pub(crate) const fn held_since(&self) -> Option<Instant> {
        self.held_since
    }

    /// The stream is one that a child puts into packets anew.
    pub(crate) const fn doubt_ends(&mut self) {
        if let Some(holdback) = &mut self.holdback {
            holdback.doubt_ends();
        }
    }

    /// The stream has ended by itself.
    pub(crate) fn has_ended(&mut self) {
        if let Some(holdback) = &mut self.holdback {
            holdback.has_ended();
        }
    }

    /// Nothing more comes: what is whole may be shown. `is_last` says that nothing comes from elsewhere either.
    pub(crate) fn end(&mut self, is_last: bool) {
        if let Some(holdback) = &mut self.holdback {
            holdback.end(is_last);
        }
    }

    /// Bytes of which something has been made for viewers. What waits for a joint is as good as theirs: that it does is not the
    /// source's fault.
    pub(crate) fn usable(&self) -> u64 {
        let is_at_joint = self.holdback.as_ref().is_some_and(Holdback::is_at_joint);
        if is_at_joint { self.aligned } else { self.released }
    }

    fn sniff(&mut self, bytes: &[u8]) {
        let Some(sniffer) = &mut self.sniffer else { return };
        match sniffer.push(bytes) {
            None => {}
            Some(body) if sniffer.is_suitable(body) => self.sniffer = None,
            Some(other) => {
                self.unsuitable = Some(sniffer.failure(other));
                self.keep_list(other);
            }
        }
    }

    pub(crate) fn seen(&self) -> Seen {
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
            fallback: self
                .fallback
                .as_ref()
                .map(|(entry, _)| (entry.grade, entry.position))
                .filter(|(grade, _)| *grade > Grade::Sound || self.inspector.counts().video == 0),
            is_clear: self.inspector.is_clear(),
            is_scrambled: self.inspector.is_scrambled(),
        }
    }
}
