//! Looks at every packet of one source run and remembers what others need to know about it.

use std::time::Duration;

use crate::ts::clock_ref::{Pcr, Pts};
use crate::ts::codec::{Codec, StreamKind};
use crate::ts::continuity::{Continuity, ContinuityTable, PayloadDigest};
use crate::ts::entry_point::{EntryDetector, Found, Grade};
use crate::ts::inventory::{Inventory, PesSightings};
use crate::ts::media_clock::MediaClock;
use crate::ts::packet::{AdaptationField, Packet, PacketBytes, Pid};
use crate::ts::pcr_clock::{PcrClock, PcrSample};
use crate::ts::pes::{PesKind, PesReader, kind_of_start};
use crate::ts::pes_times::PesStart;
use crate::ts::pid_table::PidTable;
use crate::ts::plain_run::{PlainRun, plain_payload};
use crate::ts::psi::{Programme, PsiTracker, Unfit};
use crate::ts::skip::Snapshot;

/// Entry points closer together than this are left out: audio has one in every PES packet, and a ring's index
/// of them should reach back as far as the ring. 0.25 s.
const ENTRY_GAP_TICKS: i64 = 22_500;

/// Scrambled packets of a programme, without a clear PES packet before or between, that make it a scrambled one.
const SCRAMBLED_MIN: u64 = 8;
/// Packets of other PIDs after which a programme of which none has come is passed over for another one: 0.4 s of the
/// largest multiplex.
const MISSING_AFTER: u32 = 10_000;

/// A stream that has no times: so many lesser places to begin are passed over for a better one instead.
const PASSED_OVER_MAX: u32 = 50;

/// A place where a viewer may start.
#[derive(Clone, Debug)]
pub struct EntryPoint {
    /// How good it is.
    pub grade: Grade,
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
        self.is_news()
    }

    /// What goes on with the PES packet that began last brings something new.
    const fn is_news(&self) -> bool {
        !self.repeats && !self.is_scrambled
    }
}

/// What the PES header at the beginning of a payload says of the rest.
fn is_scrambled(payload: &[u8]) -> bool {
    matches!(payload, [0, 0, 1, _, _, _, flags, ..] if flags & 0xC0 == 0x80 && flags & 0x30 != 0)
}

/// The kind of each PID of the programme; `None` for those that are not of it.
type Kinds = PidTable<Option<StreamKind>>;

/// The tables that every receiver knows the PIDs of, those of programmes left out.
const STANDARD: std::ops::RangeInclusive<u16> = 0x10..=0x1F;

/// The start of a PES packet that may turn out to be an entry point.
struct EntryCandidate {
    position: u64,
    snapshot: Snapshot,
    /// The best that was said of it.
    reported: Option<Grade>,
}

/// Which places are reported as entry points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Accepts {
    /// All: somebody else decides.
    All,
    /// What is as good as this, and what is not when nothing better comes.
    From(Grade),
}

/// How long nothing better than a grade has come.
#[derive(Clone, Copy, Default)]
struct Wait {
    since: Option<Pts>,
    passed_over: u32,
}

/// The stream in which entry points are searched.
struct Watch {
    pid: Pid,
    codec: Codec,
    pes: PesReader,
    detector: EntryDetector,
    candidate: Option<EntryCandidate>,
    /// One for each grade.
    waits: [Wait; Grade::ALL.len()],
}

/// Whether the chosen programme's packets come, and clear. Asked until it is known.
#[derive(Clone, Copy, Default)]
struct Fitness {
    is_known: bool,
    scrambled: u64,
    others: u32,
}

impl Watch {
    fn new(pid: Pid, codec: Codec) -> Self {
        Self {
            pid,
            codec,
            pes: PesReader::new(),
            detector: EntryDetector::new(codec),
            candidate: None,
            waits: [Wait::default(); Grade::ALL.len()],
        }
    }

    /// Passes over the first packets of a run, as many as tell nothing, and says how many.
    fn pass(&mut self, packets: &[PacketBytes]) -> usize {
        if self.pes.is_idle() {
            return packets.len();
        }
        if !self.pes.in_data() {
            return 0;
        }
        packets.iter().take_while(|packet| self.detector.pass(plain_payload(packet))).count()
    }
}

/// Sound beside pictures that may not come.
struct Sound {
    pid: Pid,
    codec: Codec,
    /// The first sound since the last picture.
    since: Option<Pts>,
    /// A picture came.
    has_pictures: bool,
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
    sound: Option<Sound>,
    /// Entry points are searched.
    searches: bool,
    accepts: Accepts,
    /// Programmes that cannot be shown are passed over for others.
    chooses: bool,
    fitness: Fitness,
    sightings: PesSightings,
    entry_point: Option<EntryPoint>,
    last_entry: Option<(Pts, Grade)>,
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
            kinds: Kinds::new(None),
            clock: PcrClock::default(),
            pcr_pid: None,
            video: Times::default(),
            audio: Times::default(),
            clock_media: MediaClock::default(),
            watch: None,
            sound: None,
            searches: true,
            accepts: Accepts::From(Grade::Certain),
            chooses: false,
            fitness: Fitness::default(),
            sightings: PesSightings::default(),
            entry_point: None,
            last_entry: None,
            counts: PacketCounts::default(),
        }
    }

    /// An inspector that reports every place at which a picture or, without pictures, sound begins: whoever starts a
    /// source knows the time, and how long better ones are waited for. `number` is the only programme it looks for, if
    /// one is given; else it passes over those that are scrambled.
    #[must_use]
    pub fn for_start(number: Option<u16>) -> Self {
        Self { accepts: Accepts::All, chooses: true, psi: PsiTracker::wanting(number), ..Self::new() }
    }

    /// The programme that was asked for and is not in the stream, and those that are.
    #[must_use]
    pub fn absent(&self) -> Option<(u16, Vec<u16>)> {
        self.psi.absent()
    }

    /// What begins next has been found good enough to begin with, and is an entry point until better ones come.
    pub fn accept_from(&mut self, grade: Grade) {
        self.accepts = Accepts::From(grade);
    }

    /// Looks at the packet at a position. Positions only grow.
    pub fn packet(&mut self, position: u64, bytes: &PacketBytes) {
        self.packet_with(position, bytes, PayloadDigest::of(bytes));
    }

    /// What was in force before the packet that was looked at last, and lies at this position. `None` before a programme is known.
    #[must_use]
    pub fn snapshot_before(&self, position: u64, bytes: &PacketBytes) -> Option<Snapshot> {
        let packet = Packet::parse(bytes).ok()?;
        Snapshot::before(packet, &self.psi, &self.continuity, self.clock.at(position))
    }

    /// The same, where the `digest` is at hand by which a repetition is known, or need not be made: see [`ContinuityTable::check`].
    pub fn packet_with(&mut self, position: u64, bytes: &PacketBytes, digest: PayloadDigest) {
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
        let kind = self.kinds.get(pid);
        let scrambled = packet.transport_scrambling_control() != 0;
        self.counts.scrambled += u64::from(scrambled);
        match kind {
            Some(StreamKind::Video | StreamKind::Audio) if scrambled => self.counts.unreadable += 1,
            Some(StreamKind::Video) => self.counts.video += u64::from(packet.has_payload()),
            Some(StreamKind::Audio) => self.counts.audio += u64::from(packet.has_payload()),
            Some(StreamKind::Other) | None => {}
        }
        let intact = match self.continuity.check(packet, digest) {
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
        if self.chooses && !self.fitness.is_known && self.psi.programme().is_some() {
            self.look_whether_fit(packet, scrambled);
        }
        if scrambled {
            return;
        }
        if packet.has_payload() {
            self.note_times(kind, packet);
        }
        if self.watch.as_ref().is_some_and(|watch| watch.pid == pid) {
            self.watched(position, packet, intact);
        } else if self.sound.as_ref().is_some_and(|sound| sound.pid == pid) {
            self.sounded(position, packet);
        } else if self.watch.is_none() && kind == Some(StreamKind::Other) && self.may_be_media(packet) {
            self.watch = Some(Watch::new(pid, Codec::Other));
            self.watched(position, packet, intact);
        } else if self.psi.handles(pid) {
            if self.psi.packet(packet, intact) {
                self.follow_programme();
            }
        } else if self.psi.is_unlisted_map(packet) {
            self.psi.take_unlisted(packet);
            if self.psi.handles(pid) && self.psi.packet(packet, intact) {
                self.follow_programme();
            }
        } else if self.psi.programme().is_none()
            && packet.payload_unit_start_indicator()
            && let Some(kind) = packet.payload().and_then(kind_of_start)
        {
            self.sightings.saw(pid, kind);
        }
    }

    /// Looks at the first packets of a run at once, as many as say nothing by themselves, and says how many: the next is to be looked
    /// at by itself. `packets` begin with the run, and `digest` is that of the last packet of what is taken, as for
    /// [`Inspector::packet_with`].
    pub fn take_run(
        &mut self,
        run: PlainRun,
        packets: &[PacketBytes],
        digest: impl FnOnce(PlainRun) -> PayloadDigest,
    ) -> usize {
        let pid = run.pid();
        let Some(kind) = self.kinds.get(pid) else { return 0 };
        let chooses = self.chooses && !self.fitness.is_known;
        if chooses || self.psi.handles(pid) || !self.continuity.fits_run(run) {
            return 0;
        }
        let taken = match &mut self.watch {
            Some(watch) if watch.pid == pid => watch.pass(packets.get(..run.packets()).unwrap_or(packets)),
            Some(_) | None => run.packets(),
        };
        if taken == 0 {
            return 0;
        }
        let run = run.first_packets(taken);
        self.continuity.take_run(run, digest(run));
        let count = taken as u64;
        self.counts.packets += count;
        match kind {
            StreamKind::Video => {
                self.counts.video += count;
                self.counts.video_news += if self.video.is_news() { count } else { 0 };
                self.counts.unreadable += if self.video.is_scrambled { count } else { 0 };
            }
            StreamKind::Audio => {
                self.counts.audio += count;
                self.counts.audio_news += if self.audio.is_news() { count } else { 0 };
                self.counts.unreadable += if self.audio.is_scrambled { count } else { 0 };
            }
            StreamKind::Other => {}
        }
        taken
    }

    /// Whether a packet is none of the chosen programme, nor of what all programmes have in common, in a stream that has
    /// others. Before a programme is chosen none is foreign.
    #[must_use]
    pub fn is_foreign(&self, bytes: &PacketBytes) -> bool {
        let Some(programme) = self.programme().filter(|programme| !programme.alone) else { return false };
        let Ok(packet) = Packet::parse(bytes) else { return false };
        let pid = packet.pid();
        let is_common = pid == Pid::PAT || STANDARD.contains(&pid.get());
        !is_common && pid != programme.pmt_pid && Some(pid) != self.pcr_pid && self.kinds.get(pid).is_none()
    }

    /// Takes the entry point that the last packet completed. One that is not taken gives way to the next.
    pub const fn take_entry_point(&mut self) -> Option<EntryPoint> {
        self.entry_point.take()
    }

    /// Entry points are of no interest from here on.
    pub fn stop_searching(&mut self) {
        self.searches = false;
        self.chooses = false;
        self.watch = None;
        self.sound = None;
    }

    /// The chosen programme, once its PMT is known.
    #[must_use]
    pub const fn programme(&self) -> Option<&Programme> {
        self.psi.programme()
    }

    /// The packets of the last PAT and then of the programme's last PMT, as they came.
    #[cfg(test)]
    pub fn psi_packets(&self) -> impl Iterator<Item = &PacketBytes> {
        let pmt = self.psi.pmt_packets().map_or(&[][..], crate::ts::psi::TablePackets::as_slice);
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

    /// There is a programme, and nothing of what it should show can be read. Where one is to be chosen: so it is with all of
    /// them, or with the one that was asked for.
    #[must_use]
    pub fn is_scrambled(&self) -> bool {
        if self.chooses {
            return self.psi.is_scrambled();
        }
        let Some(programme) = self.psi.programme() else { return false };
        let has_video = programme.pmt.first(StreamKind::Video).is_some();
        let clear = if has_video { self.counts.video_news } else { self.counts.audio_news };
        clear == 0 && self.counts.unreadable >= SCRAMBLED_MIN
    }

    /// A PES packet of the chosen programme's pictures, or of its sound when it has none, has begun, and can be read. Not asked
    /// any more once entry points are of no interest.
    #[must_use]
    pub const fn is_clear(&self) -> bool {
        self.fitness.is_known
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
    #[cfg(any(test, feature = "sim"))]
    pub fn psi_errors(&self) -> u64 {
        self.psi.errors()
    }

    /// Looks whether the chosen programme can be shown, and gives it up when it cannot. Its pictures decide, or its sound when
    /// it has none.
    fn look_whether_fit(&mut self, packet: Packet<'_>, scrambled: bool) {
        let Some(programme) = self.psi.programme() else { return };
        let main = [StreamKind::Video, StreamKind::Audio, StreamKind::Other]
            .into_iter()
            .find(|kind| programme.pmt.first(*kind).is_some());
        let kind = self.kinds.get(packet.pid());
        let Some(payload) = packet.payload() else { return };
        let fitness = &mut self.fitness;
        if kind.is_none() || kind != main {
            fitness.others += u32::from(kind.is_none());
        } else if scrambled {
            fitness.scrambled += 1;
        } else if packet.payload_unit_start_indicator() {
            if is_scrambled(payload) {
                fitness.scrambled += 1;
            } else {
                fitness.is_known = true;
            }
        }
        let unfit = if fitness.scrambled >= SCRAMBLED_MIN {
            Unfit::Scrambled
        } else if !programme.alone && fitness.scrambled == 0 && fitness.others >= MISSING_AFTER {
            Unfit::Missing
        } else {
            return;
        };
        self.psi.reject(unfit);
        self.follow_programme();
    }

    fn observe_pcr(&mut self, position: u64, packet: Packet<'_>) {
        let Some(field) = packet.adaptation_field() else { return };
        if let Some(pcr) = field.pcr() {
            self.clock.observe(PcrSample { pcr, position }, field.discontinuity_indicator());
            self.clock_media.at(pcr.to_pts());
        }
    }

    /// A clear packet with payload.
    fn note_times(&mut self, kind: Option<StreamKind>, packet: Packet<'_>) {
        match kind {
            Some(StreamKind::Video) => {
                self.counts.video_news += u64::from(self.video.packet(packet));
                self.counts.unreadable += u64::from(self.video.is_scrambled);
                let begins = packet.payload_unit_start_indicator() && !self.video.is_scrambled;
                self.counts.pictures += u64::from(begins);
            }
            Some(StreamKind::Audio) => {
                self.counts.audio_news += u64::from(self.audio.packet(packet));
                self.counts.unreadable += u64::from(self.audio.is_scrambled);
            }
            Some(StreamKind::Other) | None => {}
        }
    }

    /// Whether a stream of a programme without known pictures or sound has either, by the PES packet that begins: its table
    /// names a codec that nobody here knows, or none.
    fn may_be_media(&self, packet: Packet<'_>) -> bool {
        let Some(payload) = packet.payload().filter(|_| packet.payload_unit_start_indicator()) else {
            return false;
        };
        let streams = self.programme().map_or(&[][..], |programme| programme.pmt.streams());
        self.searches
            && kind_of_start(payload).is_some_and(|kind| kind != PesKind::Other)
            && streams.iter().all(|stream| stream.kind() == StreamKind::Other)
            && streams.iter().any(|stream| stream.pid == packet.pid() && stream.codec == Codec::Other)
    }

    /// A packet of the stream in which entry points are searched.
    fn watched(&mut self, position: u64, packet: Packet<'_>, intact: bool) {
        let Some(watch) = &mut self.watch else { return };
        if !intact {
            watch.pes.lose();
            watch.detector.lose();
        }
        let Some(payload) = packet.payload() else { return };
        if packet.payload_unit_start_indicator() && is_scrambled(payload) {
            // Whatever there is to be found in it is there by accident.
            watch.pes.lose();
            watch.detector.lose();
            watch.candidate = None;
            return;
        }
        if packet.payload_unit_start_indicator() {
            let ended = watch.detector.end();
            if let Some(found) = ended {
                self.found(found);
            }
            self.pictures_begin();
            let Some(watch) = &mut self.watch else { return };
            if !(watch.candidate.is_some() && watch.detector.in_access_unit()) {
                let pcr = self.clock.at(position);
                let snapshot = Snapshot::before(packet, &self.psi, &self.continuity, pcr);
                watch.candidate =
                    snapshot.map(|snapshot| EntryCandidate { position, snapshot, reported: None });
            }
            watch.pes.start();
            let field = packet.adaptation_field();
            watch.detector.start(field.is_some_and(AdaptationField::random_access_indicator));
        }
        let Some(watch) = &mut self.watch else { return };
        let stream = watch.pes.payload(payload);
        if !watch.pes.in_data() {
            return;
        }
        if let Some(found) = watch.detector.feed(stream) {
            self.found(found);
        }
    }

    /// The watched stream has a place to begin with.
    fn found(&mut self, found: Found) {
        let Some(watch) = &mut self.watch else { return };
        let Some(candidate) = &mut watch.candidate else { return };
        if candidate.reported.is_some_and(|grade| grade >= found.grade) {
            return;
        }
        let pts = watch.pes.pts();
        let time = pts.or_else(|| candidate.snapshot.pcr().map(Pcr::to_pts));
        if !accepts(self.accepts, &mut watch.waits, found.grade, time) {
            return;
        }
        candidate.reported = Some(found.grade);
        let entry = EntryPoint {
            grade: found.grade,
            position: candidate.position,
            codec: watch.codec,
            pts,
            parameter_sets: found.parameter_sets,
            snapshot: candidate.snapshot.clone(),
        };
        if let Accepts::From(floor) = &mut self.accepts {
            *floor = (*floor).max(found.grade);
        }
        self.report(entry);
    }

    fn report(&mut self, entry: EntryPoint) {
        if let (Some(pts), Some((last, grade))) = (entry.pts, self.last_entry) {
            // Time that steps back is a new timeline, not a short distance.
            if entry.grade <= grade && (0..ENTRY_GAP_TICKS).contains(&pts.since(last)) {
                return;
            }
        }
        self.last_entry = entry.pts.map(|pts| (pts, entry.grade));
        self.entry_point = Some(entry);
    }

    /// A PES packet of pictures begins: sound alone is no longer what there is.
    fn pictures_begin(&mut self) {
        let Some(sound) = &mut self.sound else { return };
        (sound.has_pictures, sound.since) = (true, None);
        if let Accepts::From(floor) = &mut self.accepts {
            *floor = (*floor).max(Grade::Possible);
        }
    }

    /// A packet of the sound beside pictures.
    fn sounded(&mut self, position: u64, packet: Packet<'_>) {
        let Some(sound) = &mut self.sound else { return };
        let Some(payload) = packet.payload().filter(|_| packet.payload_unit_start_indicator()) else {
            return;
        };
        let PesStart::Timed(times) = PesStart::read(payload) else { return };
        let alone_for = times.pts.since(*sound.since.get_or_insert(times.pts));
        let is_accepted = match self.accepts {
            Accepts::All => !sound.has_pictures,
            Accepts::From(Grade::Sound) => true,
            Accepts::From(Grade::Possible | Grade::Blind | Grade::Probable | Grade::Certain) => {
                alone_for >= ticks(Grade::Sound.patience_within())
            }
        };
        if alone_for < 0 {
            sound.since = Some(times.pts);
        }
        if !is_accepted {
            return;
        }
        let codec = sound.codec;
        let pcr = self.clock.at(position);
        let Some(snapshot) = Snapshot::before(packet, &self.psi, &self.continuity, pcr) else { return };
        self.report(EntryPoint {
            grade: Grade::Sound,
            position,
            codec,
            pts: Some(times.pts),
            parameter_sets: true,
            snapshot,
        });
    }

    /// The programme is another one, or made of something else.
    fn follow_programme(&mut self) {
        self.fitness = Fitness::default();
        self.kinds.fill(None);
        let pmt = self.psi.programme().map(|programme| &programme.pmt);
        for stream in pmt.iter().flat_map(|pmt| pmt.streams()) {
            *self.kinds.get_mut(stream.pid) = Some(stream.kind());
        }
        let pcr_pid = pmt.and_then(|pmt| pmt.pcr_pid);
        if pcr_pid != self.pcr_pid {
            self.pcr_pid = pcr_pid;
            self.clock = PcrClock::default();
        }
        if !self.searches {
            return;
        }
        let (video, audio) = (
            pmt.and_then(|pmt| pmt.first(StreamKind::Video)),
            pmt.and_then(|pmt| pmt.first(StreamKind::Audio)),
        );
        let sound = video.and(audio);
        if sound.map(|stream| stream.pid) != self.sound.as_ref().map(|sound| sound.pid) {
            self.sound = sound.map(|stream| Sound {
                pid: stream.pid,
                codec: stream.codec,
                since: None,
                has_pictures: false,
            });
        }
        let Some(stream) = video.or(audio) else {
            self.watch = None;
            return;
        };
        if self.watch.as_ref().is_none_or(|watch| (watch.pid, watch.codec) != (stream.pid, stream.codec)) {
            self.watch = Some(Watch::new(stream.pid, stream.codec));
        }
    }
}

fn ticks(time: Duration) -> i64 {
    i64::try_from(time.as_millis() * 90).unwrap_or(i64::MAX)
}

/// Whether a place of this grade is an entry point, given what came before. `time` is the stream's.
fn accepts(accepts: Accepts, waits: &mut [Wait; Grade::ALL.len()], grade: Grade, time: Option<Pts>) -> bool {
    let Accepts::From(floor) = accepts else { return true };
    for (wait, waiting) in waits.iter_mut().zip(Grade::ALL) {
        if waiting < grade {
            // What these waited for has come.
            *wait = Wait { since: time, passed_over: 0 };
        }
    }
    if grade >= floor {
        return true;
    }
    let own = Grade::ALL.iter().position(|known| *known == grade).expect("all grades are listed");
    let wait = &mut waits[own];
    wait.passed_over += 1;
    match (time, wait.since) {
        // Time that steps back says nothing about how long it has been.
        (Some(time), Some(since)) if time.since(since) < 0 => {
            wait.since = Some(time);
            false
        }
        (Some(time), Some(since)) => time.since(since) >= ticks(grade.patience_within()),
        (time, None) => {
            wait.since = time;
            time.is_none() && wait.passed_over > PASSED_OVER_MAX
        }
        (None, Some(_)) => false,
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
    use crate::ts::testing::{Fields, Stream, pes, programme, section};

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

    /// The same, looked at in pieces of so many packets, and in each by its runs.
    fn inspect_runs(inspector: &mut Inspector, packets: &[PacketBytes], piece: usize) -> Vec<EntryPoint> {
        let mut found = Vec::new();
        let mut position = 0;
        for mut left in packets.chunks(piece) {
            while let Some(first) = left.first() {
                let run = PlainRun::at_front(left);
                let mut taken = run
                    .map_or(0, |run| inspector.take_run(run, left, |run| PayloadDigest::of_last(run, left)));
                if taken == 0 {
                    inspector.packet(position, first);
                    found.extend(inspector.take_entry_point());
                    taken = 1;
                }
                assert!(inspector.take_entry_point().is_none(), "a run begins nothing");
                position += (taken * 188) as u64;
                left = &left[taken..];
            }
        }
        found
    }

    proptest! {
        #[test]
        fn a_run_is_as_good_as_its_packets_one_by_one(
            stream_types in prop::sample::select(vec![vec![0x1Bu8, 0x0F], vec![0x24, 0x0F], vec![0x02], vec![0x0F], vec![0x99, 0x06]]),
            units in proptest::collection::vec(
                (0..2u16, 0..900usize, proptest::collection::vec((any::<Index>(), 0..6usize), 0..4), 0..12u8, any::<bool>()),
                1..40,
            ),
            mishaps in proptest::collection::vec((any::<Index>(), 0..5u8), 0..12),
            piece in 1..40usize,
            starts in any::<bool>(),
        ) {
            let mut stream = programme(&stream_types);
            for (number, (stream_of, bytes, codes, form, has_clock)) in (0u64..).zip(units) {
                let mut data: Vec<u8> = (0..bytes).map(|at| u8::try_from(at % 255).unwrap() | 1).collect();
                for (at, code) in codes {
                    let code = [PARAMETERS, IDR, INTER, &[0, 0], &[0], &[0, 0, 1]][code];
                    let at = at.index(data.len() + 1);
                    data.splice(at..at, code.iter().copied());
                }
                let stream_id = if stream_of == 0 { 0xE0 } else { 0xC0 };
                let mut unit = pes(stream_id, pts(number * 3600 * u64::from(form > 1)), &data);
                unit[6] |= if form == 2 { 0x30 } else { 0 };
                let pcr = has_clock.then(|| Pcr::from_ticks(number * 1_080_000));
                let fields = Fields { pid: 0x100 + stream_of, pcr, random_access: form == 3, ..Fields::NONE };
                stream.push_pes(fields, &unit, if form == 4 { 100 } else { 184 });
                if form == 5 {
                    stream.push_section(0x1000, &crate::ts::testing::pmt(u8::try_from(number % 32).unwrap(), &stream_types));
                }
            }
            let mut packets = stream.packets;
            for (at, mishap) in mishaps {
                let at = at.index(packets.len());
                let packet = packets[at];
                match mishap {
                    0 => drop(packets.remove(at)),
                    1 => packets.insert(at, packet),
                    2 => packets.insert(at, NULL_PACKET),
                    3 => packets[at][1] |= 0x80,
                    _ => packets[at][3] |= 0x80,
                }
                if packets.is_empty() {
                    packets.push(NULL_PACKET);
                }
            }
            let new = || if starts { Inspector::for_start(None) } else { Inspector::new() };
            let (mut single, mut runs) = (new(), new());
            let mut expected = Vec::new();
            for (packet, index) in packets.iter().zip(0u64..) {
                single.packet(index * 188, packet);
                expected.extend(single.take_entry_point());
            }
            let found = inspect_runs(&mut runs, &packets, piece);
            prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
            prop_assert_eq!(runs.counts(), single.counts());
            prop_assert_eq!(runs.media(), single.media());
            prop_assert_eq!((runs.last_pcr(), runs.is_clear()), (single.last_pcr(), single.is_clear()));
            for pid in [0, 0x100, 0x101, 0x1000].map(|pid| Pid::new(pid).unwrap()) {
                prop_assert_eq!(runs.continuity.last(pid), single.continuity.last(pid));
            }
        }
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
        assert_eq!(inspector.counts().packets * 188, 1880);
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

    /// What an inspector that is to start a source finds.
    fn inspect_for_start(number: Option<u16>, packets: &[PacketBytes]) -> (Inspector, Vec<EntryPoint>) {
        let mut inspector = Inspector::for_start(number);
        let mut found = Vec::new();
        for (packet, index) in packets.iter().zip(0u64..) {
            inspector.packet(index * 188, packet);
            found.extend(inspector.take_entry_point());
        }
        (inspector, found)
    }

    /// The tables of programmes 1, 2, … of video and sound, the maps on PIDs 0x20, 0x21, …, the streams on 0x110 and 0x111,
    /// 0x120 and 0x121, …
    fn push_tables(stream: &mut Stream, programmes: u8) {
        let listed = (1..=programmes).flat_map(|number| [0, number, 0xE0, 0x1F + number]);
        stream.push_section(0, &section(0, 1, 0, &listed.collect::<Vec<_>>()));
        for number in 1..=programmes {
            let at = number * 16;
            let body = [0xE1, at, 0xF0, 0, 0x1B, 0xE1, at, 0xF0, 0, 0x0F, 0xE1, at + 1, 0xF0, 0];
            stream.push_section(0x1F + u16::from(number), &section(2, u16::from(number), 0, &body));
        }
    }

    /// Tables, and pictures of both programmes that are scrambled, or not.
    fn multiplex(scrambled: &[bool]) -> Stream {
        let mut stream = Stream::default();
        for ticks in 0..30 {
            push_tables(&mut stream, u8::try_from(scrambled.len()).unwrap());
            for (pid, scrambled) in (0x110..).step_by(16).zip(scrambled) {
                let fields = Fields { pid, scrambling: 2 * u8::from(*scrambled), ..Fields::NONE };
                stream.push_pes(fields, &pes(0xE0, pts(ticks * 90_000), &[PARAMETERS, IDR].concat()), 184);
            }
        }
        stream
    }

    #[test]
    fn the_first_clear_programme_is_chosen_or_the_one_that_was_asked_for() {
        for (scrambled, wanted, expected) in [
            (&[false, false][..], None, Some(1)),
            (&[true, false], None, Some(2)),
            (&[true, true, false], None, Some(3)),
            (&[true, true], None, None),
            (&[true], None, None),
            (&[false, false], Some(2), Some(2)),
            (&[true, false], Some(2), Some(2)),
            (&[false, true], Some(2), None),
        ] {
            let (inspector, found) = inspect_for_start(wanted, &multiplex(scrambled).packets);
            let chosen = inspector.programme().map(|programme| programme.pmt.program_number);
            assert_eq!(chosen, expected, "{scrambled:?} {wanted:?}");
            assert_eq!(found.is_empty(), expected.is_none(), "{scrambled:?} {wanted:?}");
            assert_eq!(inspector.is_scrambled(), expected.is_none(), "{scrambled:?} {wanted:?}");
        }
    }

    #[test]
    fn a_programme_that_is_not_there_is_told_with_those_that_are() {
        let stream = multiplex(&[false, false, false]);
        let (inspector, found) = inspect_for_start(Some(7), &stream.packets);
        assert_eq!((inspector.absent(), found.len()), (Some((7, vec![1, 2, 3])), 0));
        assert_eq!(inspect_for_start(Some(3), &stream.packets).0.absent(), None);
        assert_eq!(inspect_for_start(None, &stream.packets).0.absent(), None);
    }

    #[test]
    fn what_is_scrambled_below_the_packets_is_scrambled() {
        let mut stream = programme(&[0x1B, 0x0F]);
        let mut scrambled = pes(0xE0, pts(0), &[PARAMETERS, IDR].concat());
        scrambled[6] |= 0x20;
        for _ in 0..SCRAMBLED_MIN {
            stream.push_pes(VIDEO, &scrambled, 184);
        }
        assert!(inspect_for_start(None, &stream.packets).0.is_scrambled());
    }

    #[test]
    fn radio_is_clear_when_a_clear_packet_of_its_sound_has_begun() {
        let sound = pes(0xC0, pts(0), &[0xFF, 0xF1, 0x50, 0x80, 0x01, 0x7F, 0xFC, 0x21, 0x17]);
        let mut below = sound.clone();
        below[6] |= 0x20;
        for (scrambling, bytes, is_clear) in [(0, &sound, true), (2, &sound, false), (0, &below, false)] {
            let mut stream = programme(&[0x0F]);
            let fields = Fields { scrambling, pid: 0x100, ..Fields::NONE };
            stream.push_pes(fields, bytes, 184);
            let (inspector, found) = inspect_for_start(None, &stream.packets);
            let seen = (inspector.is_clear(), inspector.is_scrambled(), found.len());
            assert_eq!(seen, (is_clear, false, usize::from(is_clear)), "{scrambling}");
        }
    }

    #[test]
    fn scrambled_sound_beside_clear_pictures_and_a_programme_that_is_scrambled_later_are_no_reason() {
        let mut stream = programme(&[0x1B, 0x0F]);
        for _ in 0..20 {
            stream.push(Fields { scrambling: 3, ..AUDIO }, &[1; 184]);
        }
        stream.push_pes(VIDEO, &pes(0xE0, pts(0), &[PARAMETERS, IDR].concat()), 184);
        for _ in 0..20 {
            stream.push(Fields { scrambling: 3, ..VIDEO }, &[1; 184]);
        }
        let (inspector, found) = inspect_for_start(None, &stream.packets);
        assert_eq!((inspector.is_scrambled(), found.len()), (false, 1));
    }

    #[test]
    fn a_programme_of_which_nothing_comes_gives_way_to_one_of_which_something_does() {
        let mut stream = Stream::default();
        push_tables(&mut stream, 2);
        for _ in 0..=MISSING_AFTER {
            stream.push(Fields { pid: 0x121, ..Fields::NONE }, &[1; 184]);
        }
        push_tables(&mut stream, 2);
        stream.push_pes(Fields { pid: 0x120, ..VIDEO }, &pes(0xE0, pts(0), &[PARAMETERS, IDR].concat()), 184);
        let (inspector, found) = inspect_for_start(None, &stream.packets);
        assert_eq!(inspector.programme().unwrap().pmt.program_number, 2);
        assert_eq!((found.len(), inspector.is_scrambled()), (1, false));
    }

    #[test]
    fn what_is_of_other_programmes_is_foreign_and_the_pat_that_is_kept_lists_one() {
        let stream = multiplex(&[true, false]);
        let (inspector, found) = inspect_for_start(None, &stream.packets);
        let is_foreign = |pid| inspector.is_foreign(&Fields { pid, ..Fields::NONE }.packet(&[1; 184]));
        for pid in [0x20, 0x110, 0x111, 0x300, 0x1FFF] {
            assert!(is_foreign(pid), "{pid:#x}");
        }
        for pid in [0, 0x11, 0x21, 0x120, 0x121] {
            assert!(!is_foreign(pid), "{pid:#x}");
        }
        let kept: Vec<_> = inspector.psi_packets().copied().collect();
        assert_eq!(kept[0][7], 13, "one programme");
        assert_eq!(kept[0][13..17], [0, 2, 0xE0, 0x21]);
        let mut skip = Vec::new();
        write_skip(&found[0].snapshot, &mut skip);
        assert!(skip.windows(4).any(|window| window == [0, 2, 0xE0, 0x21]));
        assert!(!skip.windows(4).any(|window| window == [0, 1, 0xE0, 0x20]));
        let (alone, _) = inspect_for_start(None, &programme(&[0x1B]).packets);
        assert!(!alone.is_foreign(&Fields { pid: 0x300, ..Fields::NONE }.packet(&[1; 184])));
    }

    #[test]
    fn a_programme_without_a_pat_that_lists_it_is_found_by_its_map() {
        for network in [true, false] {
            let mut stream = Stream::default();
            for ticks in 0..3 {
                if network {
                    stream.push_section(0, &section(0, 1, 0, &[0, 0, 0xE0, 0x10]));
                }
                stream.push_section(0x1000, &crate::ts::testing::pmt(0, &[0x1B]));
                stream.push_pes(VIDEO, &pes(0xE0, pts(ticks * 90_000), &[PARAMETERS, IDR].concat()), 184);
            }
            let (inspector, found) = inspect_for_start(None, &stream.packets);
            assert_eq!(inspector.programme().unwrap().pmt.program_number, 1);
            assert_eq!(found.len(), 3);
            // Nobody else tells viewers where the map is.
            assert_eq!(inspector.psi_packets().next().unwrap()[13..17], [0, 1, 0xF0, 0]);
        }
    }

    #[test]
    fn tables_may_come_late_change_early_and_be_damaged() {
        let picture = pes(0xE0, pts(0), &[PARAMETERS, IDR].concat());
        let mut damaged = crate::ts::testing::pmt(0, &[0x24]);
        damaged[12] ^= 1;
        let mut stream = Stream::default();
        stream.push_pes(VIDEO, &picture, 184);
        stream.push_section(0, &section(0x00, 1, 0, &[0, 0, 0xE0, 0x10, 0, 1, 0xF0, 0x00]));
        stream.push_section(0x1000, &damaged);
        stream.push_section(0x1000, &crate::ts::testing::pmt(0, &[0x1B]));
        stream.push_section(0x1000, &crate::ts::testing::pmt(1, &[0x1B, 0x0F]));
        let start = stream.position();
        stream.push_pes(VIDEO, &picture, 184);
        let (inspector, found) = inspect_for_start(None, &stream.packets);
        assert_eq!(found.iter().map(|entry| entry.position).collect::<Vec<_>>(), [start]);
        assert_eq!((inspector.inventory().audio_streams, inspector.psi_errors()), (1, 1));
    }

    #[test]
    fn a_programme_of_streams_that_nobody_knows_may_be_begun_with_blindly() {
        for (stream_id, expected) in [(0xE0, Some(Grade::Blind)), (0xC0, Some(Grade::Blind)), (0xBD, None)] {
            let mut stream = Stream::default();
            for ticks in 0..8 {
                stream.push_section(0, &section(0x00, 1, 0, &[0, 1, 0xF0, 0x00]));
                stream.push_section(0x1000, &crate::ts::testing::pmt(0, &[0x06, 0x99]));
                stream.push_pes(VIDEO, &pes(stream_id, pts(ticks * 90_000), &[7; 300]), 184);
            }
            let (_, found) = inspect_for_start(None, &stream.packets);
            assert_eq!(found.last().map(|entry| entry.grade), expected, "{stream_id:#x}");
        }
    }

    /// A slice that is intra as all of its picture, without an IDR anywhere.
    const INTRA: &[u8] = &[0, 0, 1, 0x41, 0x88, 0x80];

    #[test]
    fn a_start_is_told_of_every_place_and_how_good_it_is() {
        let mut stream = programme(&[0x1B]);
        let fields = Fields { random_access: true, ..VIDEO };
        stream.push_pes(VIDEO, &pes(0xE0, pts(0), &[PARAMETERS, &[0, 0, 1, 0x41, 0x9A, 0x80]].concat()), 184);
        stream.push_pes(fields, &pes(0xE0, pts(90_000), &[PARAMETERS, &INTER[6..]].concat()), 184);
        stream.push_pes(VIDEO, &pes(0xE0, pts(180_000), &[PARAMETERS, INTRA].concat()), 184);
        stream.push_pes(VIDEO, &pes(0xE0, pts(270_000), &[PARAMETERS, IDR].concat()), 184);
        let grades = |found: Vec<EntryPoint>| found.iter().map(|entry| entry.grade).collect::<Vec<_>>();
        let expected = [Grade::Possible, Grade::Probable, Grade::Probable, Grade::Certain];
        assert_eq!(grades(inspect_for_start(None, &stream.packets).1), expected);
        assert_eq!(grades(inspect(&stream.packets).1), [Grade::Certain]);
    }

    #[test]
    fn a_stream_that_has_nothing_better_has_entry_points_for_all_that() {
        let mut stream = programme(&[0x1B]);
        for half_second in 0..20 {
            // One key picture, and from then on none.
            let slice = if half_second == 2 { IDR } else { INTRA };
            let data = [PARAMETERS, slice].concat();
            stream.push_pes(VIDEO, &pes(0xE0, pts(half_second * 45_000), &data), 184);
        }
        let times = |found: &[EntryPoint]| -> Vec<u64> {
            found.iter().map(|entry| entry.pts.unwrap().ticks() / 45_000).collect()
        };
        // Two seconds after the last better one, or the first of all.
        assert_eq!(times(&inspect(&stream.packets).1), [&[2][..], &(6..20).collect::<Vec<_>>()].concat());
        // A stream that has started with such a picture goes on with them until a better one comes.
        let mut inspector = Inspector::new();
        inspector.accept_from(Grade::Probable);
        let mut found = Vec::new();
        for (packet, index) in stream.packets.iter().zip(0u64..) {
            inspector.packet(index * 188, packet);
            found.extend(inspector.take_entry_point());
        }
        assert_eq!(times(&found), [&[0, 1, 2][..], &(6..20).collect::<Vec<_>>()].concat());
    }

    #[test]
    fn sound_is_where_to_begin_while_the_pictures_that_are_listed_do_not_come() {
        let mut stream = programme(&[0x1B, 0x0F]);
        for tenth in 0..100 {
            stream.push_pes(AUDIO, &pes(0xC0, pts(tenth * 9000), &[0xFF; 100]), 184);
        }
        let sound_ends = stream.position();
        stream.push_pes(VIDEO, &pes(0xE0, pts(900_000), &[PARAMETERS, IDR].concat()), 184);
        for tenth in 101..110 {
            stream.push_pes(AUDIO, &pes(0xC0, pts(tenth * 9000), &[0xFF; 100]), 184);
        }
        let (inspector, found) = inspect_for_start(None, &stream.packets);
        assert_eq!((found[0].grade, found[0].codec, found[0].pts), (Grade::Sound, Codec::Aac, pts(0)));
        assert_eq!(inspector.inventory().component_state().as_str(), "video_audio");
        assert!(found.iter().all(|entry| entry.grade == Grade::Certain || entry.position < sound_ends));
        assert_eq!(found.last().unwrap().grade, Grade::Certain);
        // Viewers of a stream that has not begun that way have them after five seconds without a picture.
        let (_, later) = inspect(&stream.packets);
        assert_eq!((later[0].grade, later[0].pts), (Grade::Sound, pts(450_000)));
        assert_eq!(later.last().unwrap().grade, Grade::Certain);
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
            prop_assert_eq!(inspector.counts().packets * 188, stream.position());
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
