//! Looks at every packet of one source run and remembers what others need to know about it.

use std::time::Duration;

use crate::base::limits::PACKET_BYTES;
use crate::ts::clock_ref::Pts;
use crate::ts::codec::{Codec, StreamKind};
use crate::ts::continuity::{Continuity, ContinuityTable};
use crate::ts::entry_point::EntryDetector;
use crate::ts::inventory::{Inventory, PesSightings};
use crate::ts::media_clock::MediaClock;
use crate::ts::packet::{AdaptationField, Packet, PacketBytes, Pid};
use crate::ts::pcr_clock::{PcrClock, PcrSample};
use crate::ts::pes::{PesReader, kind_of_start};
use crate::ts::pes_times::PesStart;
use crate::ts::psi::{Programme, PsiTracker, TablePackets};
use crate::ts::skip::Snapshot;

/// Entry points closer together than this are left out: audio has one in every PES packet, and a ring's index
/// of them should reach back as far as the ring. 0.25 s.
const ENTRY_GAP_TICKS: i64 = 22_500;

/// Scrambled packets of a programme, without a clear one that could be shown, that make it a scrambled one.
const SCRAMBLED_MIN: u64 = 8;

/// A place where a viewer may start.
#[derive(Clone, Debug)]
pub struct EntryPoint {
    /// The position of the packet in which the access unit's PES packet starts.
    pub position: u64,
    /// The codec of the stream it was found in.
    pub codec: Codec,
    /// The presentation time of its PES packet.
    pub pts: Option<Pts>,
    /// Everything a decoder needs is behind the position. False for a stream that has stopped repeating its
    /// parameter sets.
    pub parameter_sets: bool,
    /// What a viewer needs who comes from elsewhere.
    pub snapshot: Snapshot,
}

/// What has been counted since the run began. Each is of packets unless it says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PacketCounts {
    /// All of them.
    pub packets: u64,
    /// Without meaning.
    pub null: u64,
    /// Of the programme's video streams, clear and with payload: a clock alone is no picture.
    pub video: u64,
    /// Of the programme's audio streams, clear and with payload.
    pub audio: u64,
    /// Of the programme's video and audio streams, scrambled, be it the packet or what is in it.
    pub unreadable: u64,
    /// Those of video that bring something new: not again a time that was shown before.
    pub video_news: u64,
    /// Those of audio that do.
    pub audio_news: u64,
    /// PES packets of video that begin in clear packets.
    pub pictures: u64,
    /// With the transport error indicator.
    pub transport_errors: u64,
    /// Scrambled.
    pub scrambled: u64,
    /// Repetitions of the packet before.
    pub duplicates: u64,
    /// Holes: packets before which others are missing, without a word about it.
    pub continuity_gaps: u64,
}

impl PacketCounts {
    /// All bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.packets * PACKET_BYTES as u64
    }
}

/// How much programme has been seen since the run began, by the times in it; `None` where there are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MediaSeen {
    /// By the times of the pictures.
    pub video: Option<Duration>,
    /// By the times of the sound.
    pub audio: Option<Duration>,
    /// By the programme's clock.
    pub clock: Option<Duration>,
}

/// The times of one kind of stream.
#[derive(Default)]
struct Times {
    clock: MediaClock,
    /// The PES packet that began last has a time that was there before.
    repeats: bool,
    /// It is scrambled itself, in clear packets.
    is_scrambled: bool,
}

impl Times {
    /// A clear packet of such a stream. True when it brings something new.
    fn packet(&mut self, packet: Packet<'_>) -> bool {
        if packet.payload_unit_start_indicator()
            && let Some(payload) = packet.payload()
        {
            self.is_scrambled = is_scrambled(payload);
            self.repeats = match PesStart::read(payload) {
                PesStart::Timed(times) => !self.clock.at(times.decoding()),
                PesStart::None | PesStart::Untimed | PesStart::Cut => false,
            };
        }
        !self.repeats && !self.is_scrambled
    }
}

/// What the PES header at the beginning of a payload says of the rest.
fn is_scrambled(payload: &[u8]) -> bool {
    matches!(payload, [0, 0, 1, _, _, _, flags, ..] if flags & 0xC0 == 0x80 && flags & 0x30 != 0)
}

/// The kind of each PID of the programme.
struct Kinds(Box<[StreamKind; Pid::COUNT]>);

/// The start of a PES packet that may turn out to be an entry point.
struct Candidate {
    position: u64,
    snapshot: Snapshot,
}

/// The stream in which entry points are searched.
struct Watch {
    pid: Pid,
    codec: Codec,
    pes: PesReader,
    detector: EntryDetector,
    candidate: Option<Candidate>,
}

/// Looks at packets. One per source run; memory is asked for only when the tables of the stream change.
pub struct Inspector {
    continuity: ContinuityTable,
    psi: PsiTracker,
    kinds: Kinds,
    clock: PcrClock,
    pcr_pid: Option<Pid>,
    video: Times,
    audio: Times,
    clock_media: MediaClock,
    watch: Option<Watch>,
    /// Entry points are searched.
    searches: bool,
    sightings: PesSightings,
    entry_point: Option<EntryPoint>,
    last_entry_pts: Option<Pts>,
    counts: PacketCounts,
}

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

impl Inspector {
    /// An inspector that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            continuity: ContinuityTable::new(),
            psi: PsiTracker::default(),
            kinds: Kinds(Box::new([StreamKind::Other; Pid::COUNT])),
            clock: PcrClock::default(),
            pcr_pid: None,
            video: Times::default(),
            audio: Times::default(),
            clock_media: MediaClock::default(),
            watch: None,
            searches: true,
            sightings: PesSightings::default(),
            entry_point: None,
            last_entry_pts: None,
            counts: PacketCounts::default(),
        }
    }

    /// Looks at the packet at a position. Positions only grow.
    pub fn packet(&mut self, position: u64, bytes: &PacketBytes) {
        self.counts.packets += 1;
        // The aligner delivers packets with a sync byte; one without is as untrustworthy as one with an error.
        let Ok(packet) = Packet::parse(bytes) else {
            self.counts.transport_errors += 1;
            return;
        };
        if packet.transport_error_indicator() {
            self.counts.transport_errors += 1;
            return;
        }
        let pid = packet.pid();
        if pid == Pid::NULL {
            self.counts.null += 1;
            return;
        }
        let kind = self.kinds.0[pid.index()];
        let scrambled = packet.transport_scrambling_control() != 0;
        self.counts.scrambled += u64::from(scrambled);
        match kind {
            StreamKind::Video | StreamKind::Audio if scrambled => self.counts.unreadable += 1,
            StreamKind::Video => self.counts.video += u64::from(packet.has_payload()),
            StreamKind::Audio => self.counts.audio += u64::from(packet.has_payload()),
            StreamKind::Other => {}
        }
        let intact = match self.continuity.check(packet) {
            Continuity::Fits => true,
            Continuity::Signalled => false,
            Continuity::Gap => {
                self.counts.continuity_gaps += 1;
                false
            }
            // A repetition differs in its PCR at most, and that is as late as the packet.
            Continuity::Duplicate => {
                self.counts.duplicates += 1;
                return;
            }
        };
        if Some(pid) == self.pcr_pid {
            self.observe_pcr(position, packet);
        }
        if scrambled {
            return;
        }
        if packet.has_payload() {
            self.note_times(kind, packet);
        }
        if self.watch.as_ref().is_some_and(|watch| watch.pid == pid) {
            self.watched(position, packet, intact);
        } else if self.psi.handles(pid) {
            if self.psi.packet(packet, intact) {
                self.follow_programme();
            }
        } else if self.psi.programme().is_none()
            && packet.payload_unit_start_indicator()
            && let Some(kind) = packet.payload().and_then(kind_of_start)
        {
            self.sightings.saw(pid, kind);
        }
    }

    /// Takes the entry point that the last packet completed. One that is not taken gives way to the next.
    pub const fn take_entry_point(&mut self) -> Option<EntryPoint> {
        self.entry_point.take()
    }

    /// Entry points are of no interest from here on.
    pub fn stop_searching(&mut self) {
        self.searches = false;
        self.watch = None;
    }

    /// The chosen programme, once its PMT is known.
    #[must_use]
    pub const fn programme(&self) -> Option<&Programme> {
        self.psi.programme()
    }

    /// The packets of the last PAT and then of the programme's last PMT, as they came.
    pub fn psi_packets(&self) -> impl Iterator<Item = &PacketBytes> {
        let pmt = self.psi.pmt_packets().map_or(&[][..], TablePackets::as_slice);
        self.psi.pat_packets().as_slice().iter().chain(pmt)
    }

    /// The components of the source: of the programme, or by the PES packets seen while there is none.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        match self.programme() {
            Some(programme) => Inventory::of_pmt(&programme.pmt),
            None => self.sightings.inventory(),
        }
    }

    /// The last sample of the programme's clock.
    #[must_use]
    pub const fn last_pcr(&self) -> Option<PcrSample> {
        self.clock.last()
    }

    /// There is a programme, and nothing of what it should show can be read.
    #[must_use]
    pub fn is_scrambled(&self) -> bool {
        let Some(programme) = self.psi.programme() else { return false };
        let has_video = programme.pmt.first(StreamKind::Video).is_some();
        let clear = if has_video { self.counts.video_news } else { self.counts.audio_news };
        clear == 0 && self.counts.unreadable >= SCRAMBLED_MIN
    }

    /// How much programme has been seen.
    #[must_use]
    pub fn media(&self) -> MediaSeen {
        MediaSeen {
            video: self.video.clock.media(),
            audio: self.audio.clock.media(),
            clock: self.clock_media.media(),
        }
    }

    /// What has been counted.
    #[must_use]
    pub const fn counts(&self) -> PacketCounts {
        self.counts
    }

    /// How the packets are counted.
    #[must_use]
    pub fn counting_habits(&self) -> ContinuityTable {
        self.continuity.habits()
    }

    /// Tables that were malformed or whose CRC was wrong.
    #[must_use]
    pub fn psi_errors(&self) -> u64 {
        self.psi.errors()
    }

    fn observe_pcr(&mut self, position: u64, packet: Packet<'_>) {
        let Some(field) = packet.adaptation_field() else { return };
        if let Some(pcr) = field.pcr() {
            self.clock.observe(PcrSample { pcr, position }, field.discontinuity_indicator());
            self.clock_media.at(pcr.to_pts());
        }
    }

    /// A clear packet with payload.
    fn note_times(&mut self, kind: StreamKind, packet: Packet<'_>) {
        match kind {
            StreamKind::Video => {
                self.counts.video_news += u64::from(self.video.packet(packet));
                self.counts.unreadable += u64::from(self.video.is_scrambled);
                let begins = packet.payload_unit_start_indicator() && !self.video.is_scrambled;
                self.counts.pictures += u64::from(begins);
            }
            StreamKind::Audio => {
                self.counts.audio_news += u64::from(self.audio.packet(packet));
                self.counts.unreadable += u64::from(self.audio.is_scrambled);
            }
            StreamKind::Other => {}
        }
    }

    /// A packet of the stream in which entry points are searched.
    fn watched(&mut self, position: u64, packet: Packet<'_>, intact: bool) {
        let Some(watch) = &mut self.watch else { return };
        if !intact {
            watch.pes.lose();
            watch.detector.lose();
        }
        let Some(payload) = packet.payload() else { return };
        if packet.payload_unit_start_indicator() {
            if !(watch.candidate.is_some() && watch.detector.in_access_unit()) {
                let pcr = self.clock.at(position);
                let snapshot = Snapshot::before(packet, &self.psi, &self.continuity, pcr);
                watch.candidate = snapshot.map(|snapshot| Candidate { position, snapshot });
            }
            watch.pes.start();
            let field = packet.adaptation_field();
            watch.detector.start(field.is_some_and(AdaptationField::random_access_indicator));
        }
        let stream = watch.pes.payload(payload);
        if !watch.pes.in_data() {
            return;
        }
        let Some(found) = watch.detector.feed(stream) else { return };
        let Some(candidate) = watch.candidate.take() else { return };
        let pts = watch.pes.pts();
        if let (Some(pts), Some(last)) = (pts, self.last_entry_pts) {
            // Time that steps back is a new timeline, not a short distance.
            if (0..ENTRY_GAP_TICKS).contains(&pts.since(last)) {
                return;
            }
        }
        self.last_entry_pts = pts;
        self.entry_point = Some(EntryPoint {
            position: candidate.position,
            codec: watch.codec,
            pts,
            parameter_sets: found.parameter_sets,
            snapshot: candidate.snapshot,
        });
    }

    /// The programme is another one, or made of something else.
    fn follow_programme(&mut self) {
        self.kinds.0.fill(StreamKind::Other);
        let pmt = self.psi.programme().map(|programme| &programme.pmt);
        for stream in pmt.iter().flat_map(|pmt| pmt.streams()) {
            self.kinds.0[stream.pid.index()] = stream.kind();
        }
        let pcr_pid = pmt.and_then(|pmt| pmt.pcr_pid);
        if pcr_pid != self.pcr_pid {
            self.pcr_pid = pcr_pid;
            self.clock = PcrClock::default();
        }
        if !self.searches {
            return;
        }
        let stream =
            pmt.and_then(|pmt| pmt.first(StreamKind::Video).or_else(|| pmt.first(StreamKind::Audio)));
        let Some(stream) = stream else {
            self.watch = None;
            return;
        };
        if self.watch.as_ref().is_none_or(|watch| (watch.pid, watch.codec) != (stream.pid, stream.codec)) {
            self.watch = Some(Watch {
                pid: stream.pid,
                codec: stream.codec,
                pes: PesReader::new(),
                detector: EntryDetector::new(stream.codec),
                candidate: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::ts::clock_ref::Pcr;
    use crate::ts::null::NULL_PACKET;
    use crate::ts::skip::{SKIP_BYTES_MAX, write_skip};
    use crate::ts::testing::{Fields, Stream, pes, programme};

    const VIDEO: Fields = Fields { pid: 0x100, ..Fields::NONE };
    const AUDIO: Fields = Fields { pid: 0x101, ..Fields::NONE };
    const PARAMETERS: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 0, 1, 0x67, 1, 0x80, 0, 0, 0, 1, 0x68, 1, 0x80];
    const IDR: &[u8] = &[0, 0, 1, 0x65, 0x88, 0x80];
    const INTER: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0, 0, 0, 1, 0x41, 0x9A, 0x80];

    fn pts(ticks: u64) -> Option<Pts> {
        Some(Pts::from_ticks(ticks))
    }

    /// What the inspector finds in packets, and itself.
    fn inspect(packets: &[PacketBytes]) -> (Inspector, Vec<EntryPoint>) {
        let mut inspector = Inspector::new();
        let mut found = Vec::new();
        for (packet, index) in packets.iter().zip(0u64..) {
            inspector.packet(index * 188, packet);
            found.extend(inspector.take_entry_point());
        }
        (inspector, found)
    }

    #[test]
    fn an_entry_point_is_where_its_pes_packet_starts_however_it_is_cut() {
        for room in [184, 60, 31, 16, 7, 3, 1] {
            let mut stream = programme(&[0x1B, 0x0F]);
            stream.push_pes(VIDEO, &pes(0xE0, pts(0), INTER), 184);
            stream.push(AUDIO, &[7; 184]);
            let start = stream.position();
            stream.push_pes(VIDEO, &pes(0xE0, pts(90_000), &[PARAMETERS, IDR].concat()), room);
            let (inspector, found) = inspect(&stream.packets);
            let found: Vec<_> = found.iter().map(|entry| (entry.position, entry.codec, entry.pts)).collect();
            assert_eq!(found, [(start, Codec::H264, pts(90_000))], "{room} bytes in each packet");
            assert_eq!(inspector.counts().continuity_gaps, 0);
        }
    }

    #[test]
    fn an_entry_point_is_reported_by_the_packet_that_decides_it() {
        let mut stream = programme(&[0x1B]);
        stream.push_pes(
            VIDEO,
            &pes(0xE0, pts(0), &[PARAMETERS, &[0, 0, 1, 0x06, 5, 200], &[9; 200], IDR].concat()),
            100,
        );
        stream.push_pes(VIDEO, &pes(0xE0, pts(3600), INTER), 100);
        let mut inspector = Inspector::new();
        let mut reported = Vec::new();
        for (index, packet) in stream.packets.iter().enumerate() {
            inspector.packet(0, packet);
            if inspector.take_entry_point().is_some() {
                reported.push(index);
            }
        }
        assert_eq!(reported, [2 + 2]);
    }

    #[test]
    fn parameter_sets_in_a_pes_packet_of_their_own_are_the_entry_point() {
        let mut stream = programme(&[0x1B]);
        let start = stream.position();
        stream.push_pes(VIDEO, &pes(0xE0, None, PARAMETERS), 184);
        stream.push_pes(VIDEO, &pes(0xE0, pts(5), IDR), 184);
        let (_, found) = inspect(&stream.packets);
        let found: Vec<_> = found.iter().map(|entry| (entry.position, entry.pts)).collect();
        assert_eq!(found, [(start, pts(5))]);
    }

    #[test]
    fn nothing_is_an_entry_point_before_the_pmt_or_after_a_loss_or_when_scrambled() {
        let mut before = Stream::default();
        before.push_pes(VIDEO, &pes(0xE0, pts(0), &[PARAMETERS, IDR].concat()), 184);
        assert_eq!(inspect(&before.packets).1.len(), 0);

        let mut lossy = programme(&[0x1B]);
        lossy.push_pes(VIDEO, &pes(0xE0, pts(0), &[PARAMETERS, &[1; 300], IDR].concat()), 100);
        lossy.packets.remove(3);
        let (inspector, found) = inspect(&lossy.packets);
        assert_eq!((found.len(), inspector.counts().continuity_gaps), (0, 1));

        let mut scrambled = programme(&[0x1B]);
        let fields = Fields { scrambling: 2, ..VIDEO };
        scrambled.push_pes(fields, &pes(0xE0, pts(0), &[PARAMETERS, IDR].concat()), 184);
        let (inspector, found) = inspect(&scrambled.packets);
        assert_eq!((found.len(), inspector.counts().scrambled), (0, 1));
    }

    #[test]
    fn what_is_not_searched_is_not_found_and_everything_else_is() {
        let mut stream = programme(&[0x1B]);
        let mut inspector = Inspector::new();
        inspector.stop_searching();
        stream.push_pes(VIDEO, &pes(0xE0, pts(0), &[PARAMETERS, IDR].concat()), 184);
        for packet in &stream.packets {
            inspector.packet(0, packet);
            assert!(inspector.take_entry_point().is_none());
        }
        assert_eq!((inspector.counts().video, inspector.programme().is_some()), (1, true));
    }

    #[test]
    fn sound_alone_has_entry_points_at_some_distance() {
        let mut stream = programme(&[0x0F]);
        let mut expected = Vec::new();
        for index in 0..40 {
            if index % 11 == 0 {
                expected.push(stream.position());
            }
            // 24 ms each; the eleventh is the first at least a quarter of a second away.
            stream.push_pes(VIDEO, &pes(0xC0, pts(index * 2160), &[0xFF; 100]), 184);
        }
        let (inspector, found) = inspect(&stream.packets);
        let found: Vec<_> = found.iter().map(|entry| entry.position).collect();
        assert_eq!(found, expected);
        assert_eq!(inspector.inventory().component_state().as_str(), "audio_only");
    }

    #[test]
    fn time_that_steps_back_does_not_hold_entry_points_back() {
        let mut stream = programme(&[0x1B]);
        for ticks in [900_000, 901_000, 10_000] {
            stream.push_pes(VIDEO, &pes(0xE0, pts(ticks), &[PARAMETERS, IDR].concat()), 184);
        }
        let found: Vec<_> = inspect(&stream.packets).1.iter().map(|entry| entry.pts).collect();
        assert_eq!(found, [pts(900_000), pts(10_000)]);
    }

    #[test]
    fn packets_are_counted_by_what_they_are() {
        let mut stream = programme(&[0x1B, 0x0F]);
        stream.push_pes(VIDEO, &pes(0xE0, pts(0), INTER), 184);
        stream.push(AUDIO, &[1; 184]);
        stream.push(AUDIO, &[2; 184]);
        let repeated = *stream.packets.last().unwrap();
        stream.packets.push(repeated);
        stream.packets.push(NULL_PACKET);
        stream.packets.push(Fields { transport_error: true, ..AUDIO }.packet(&[9; 184]));
        stream.packets.push([0; 188]);
        stream.packets.push(Fields { pid: 0x101, counter: 9, ..Fields::NONE }.packet(&[3; 184]));
        let (inspector, _) = inspect(&stream.packets);
        let expected = PacketCounts {
            packets: 10,
            null: 1,
            video: 1,
            audio: 4,
            unreadable: 0,
            video_news: 1,
            audio_news: 3,
            pictures: 1,
            transport_errors: 2,
            scrambled: 0,
            duplicates: 1,
            continuity_gaps: 1,
        };
        assert_eq!(inspector.counts(), expected);
        assert_eq!(inspector.counts().bytes(), 1880);
    }

    #[test]
    fn the_programmes_clock_is_read_and_no_other() {
        let mut stream = programme(&[0x1B, 0x0F]);
        stream.push(Fields { pcr: Some(Pcr::from_ticks(111)), ..VIDEO }, &[1; 100]);
        let position = stream.position() - 188;
        stream.push(Fields { pcr: Some(Pcr::from_ticks(999)), ..AUDIO }, &[1; 100]);
        let (inspector, _) = inspect(&stream.packets);
        assert_eq!(inspector.last_pcr(), Some(PcrSample { pcr: Pcr::from_ticks(111), position }));
    }

    #[test]
    fn without_a_pmt_pes_packets_make_the_inventory() {
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &pes(0xE0, None, INTER), 184);
        stream.push_pes(Fields { pid: 0x102, ..VIDEO }, &pes(0xBD, None, &[1]), 184);
        assert_eq!(inspect(&stream.packets).0.inventory().component_state().as_str(), "video_only");
        stream.push_pes(AUDIO, &pes(0xC0, None, &[1]), 184);
        let inventory = inspect(&stream.packets).0.inventory();
        assert_eq!((inventory.method.as_str(), inventory.component_state().as_str()), ("pes", "video_audio"));
    }

    #[test]
    fn a_pmt_is_believed_rather_than_pes_packets() {
        let mut stream = Stream::default();
        stream.push_pes(AUDIO, &pes(0xC0, None, &[1]), 184);
        stream.packets.extend(programme(&[0x1B]).packets);
        let inventory = inspect(&stream.packets).0.inventory();
        assert_eq!((inventory.method.as_str(), inventory.component_state().as_str()), ("pmt", "video_only"));
    }

    #[test]
    fn the_tables_packets_are_kept_verbatim() {
        let stream = programme(&[0x1B, 0x0F]);
        let (inspector, _) = inspect(&stream.packets);
        assert_eq!(inspector.psi_packets().copied().collect::<Vec<_>>(), stream.packets);
    }

    #[test]
    fn a_new_codec_on_the_same_pid_is_searched_by_its_own_rules() {
        let mut stream = programme(&[0x1B]);
        stream.push_section(0x1000, &crate::ts::testing::pmt(1, &[0x24]));
        stream.push_pes(VIDEO, &pes(0xE0, pts(0), &[PARAMETERS, IDR].concat()), 184);
        let hevc = [0, 0, 1, 0x40, 1, 0, 0, 1, 0x42, 1, 0, 0, 1, 0x44, 1, 0, 0, 1, 0x2A, 1];
        stream.push_pes(VIDEO, &pes(0xE0, pts(90_000), &hevc), 184);
        let found: Vec<_> = inspect(&stream.packets).1.iter().map(|entry| (entry.codec, entry.pts)).collect();
        assert_eq!(found, [(Codec::Hevc, pts(90_000))]);
    }

    proptest! {
        #[test]
        fn damage_of_any_kind_neither_panics_nor_moves_an_entry_point_off_a_pes_start(
            damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..60),
            lost in proptest::collection::vec(any::<Index>(), 0..4),
            stream_types in proptest::collection::vec(prop_oneof![Just(0x1Bu8), Just(0x24), Just(2), Just(15)], 1..4),
        ) {
            let mut stream = programme(&stream_types);
            for ticks in 0..12 {
                let fields = Fields { pcr: Some(Pcr::from_ticks(ticks * 13_500_000)), ..VIDEO };
                stream.push_pes(fields, &pes(0xE0, pts(ticks * 45_000), &[PARAMETERS, IDR, &[3; 400]].concat()), 120);
                stream.push_section(0x1000, &crate::ts::testing::pmt(0, &stream_types));
            }
            for at in lost {
                let at = at.index(stream.packets.len());
                stream.packets.remove(at);
            }
            for (at, byte) in damage {
                let at = at.index(stream.packets.len() * 188);
                stream.packets[at / 188][at % 188] = byte;
            }
            let (inspector, found) = inspect(&stream.packets);
            prop_assert_eq!(inspector.counts().bytes(), stream.position());
            for entry in found {
                let packet = &stream.packets[usize::try_from(entry.position).unwrap() / 188];
                prop_assert!(Packet::parse(packet).unwrap().payload_unit_start_indicator());
                let mut skip = Vec::new();
                write_skip(&entry.snapshot, &mut skip);
                prop_assert!(skip.len() <= SKIP_BYTES_MAX);
            }
        }
    }
}
