//! Time bases that follow each other: as a file that is played again and again, as advertisements between parts of a programme,
//! and as sources that take over from each other. How far sound, pictures and clock are apart is each source's own.

use std::collections::BTreeMap;

use crate::base::Instant;
use crate::filler::slate::{Player, Slate};
use crate::splice::holdback::Holdback;
use crate::splice::{FirstTimestamps, Run, RunKind, Splice};
use crate::ts::psi::Programme;
use crate::ts::testing::{Fields, Stream};
use crate::ts::{Inspector, PacketBytes, Pcr, PesStart, PesTimes, Pts};

use super::source::{Es, Source};

const FRAME: i64 = 3600;
const SECOND: i64 = 90_000;
const JOINTS: i64 = 5;

/// A piece of a programme with a time base of its own: when its streams begin and end, by the time of its first picture, in ticks
/// of 90 kHz.
#[derive(Clone, Debug)]
struct Clip {
    /// Its name is in every picture and every frame of sound.
    name: u8,
    base: u64,
    pictures: i64,
    sound_from: i64,
    sound_until: i64,
    /// From the clock to the decoding time.
    video_lead: i64,
    audio_lead: i64,
    /// Frames of sound in a PES packet.
    frames: i64,
    /// Pictures say when they are decoded.
    has_dts: bool,
    /// Pictures that come behind the first are shown before it.
    is_open: bool,
    /// The clock comes with every eighth picture only, and not with the first.
    is_clock_rare: bool,
    video_pid: u16,
    audio_pid: u16,
}

/// A frame of AAC at 48 kHz.
const SOUND: i64 = 1920;

impl Clip {
    fn new(name: u8, base: u64, sound_until: i64) -> Self {
        Self {
            name,
            base,
            pictures: 100,
            sound_from: 0,
            sound_until,
            video_lead: 63_000,
            audio_lead: 63_000,
            frames: 1,
            has_dts: true,
            is_open: false,
            is_clock_rare: false,
            video_pid: 0x100,
            audio_pid: 0x101,
        }
    }

    fn source(&self) -> Source {
        let streams = vec![Es::video(self.video_pid, 0x1B), Es::audio(self.audio_pid, 0x0F)];
        Source { pcr_pid: self.video_pid, streams, ..Source::usual() }
    }

    /// The packets in the order in which they are sent, and when, in ticks since the first picture is due to be sent.
    fn packets(&self) -> Vec<(i64, PacketBytes)> {
        // When it is sent, what: a picture, or sound.
        let mut units: Vec<(i64, bool, i64)> =
            (0..self.pictures).map(|number| (number * FRAME - self.video_lead, true, number)).collect();
        let mut at = self.sound_from;
        while at < self.sound_until {
            units.push((at - self.audio_lead, false, at));
            at += SOUND * self.frames;
        }
        units.sort_by_key(|unit| (unit.0, !unit.1));
        let mut stream = Stream::default();
        let mut times = Vec::new();
        let first = units[0].0;
        let source = self.source();
        let mut tables_at = first - 1;
        for (at, is_picture, number) in units {
            let at = at - first;
            if tables_at < at {
                stream.push_section(0, &source.pat());
                stream.push_section(0x1000, &source.pmt());
                tables_at = at + SECOND / 10;
            }
            if is_picture {
                self.picture(&mut stream, number)
            } else {
                self.sound(&mut stream, number)
            }
            times.resize(stream.packets.len(), at);
        }
        times.into_iter().zip(stream.packets).collect()
    }

    fn stamp(&self, ticks: i64) -> Pts {
        Pts::from_ticks(self.base).plus(ticks)
    }

    fn picture(&self, stream: &mut Stream, number: i64) {
        // I, P and B by turns: 0 3 1 2 6 4 5, or 2 0 1 5 3 4.
        let shown = match number % 3 {
            0 if self.is_open => number + 2,
            _later if self.is_open => number - 1,
            0 if number == 0 => 0,
            0 => number - 1,
            1 => number + 2,
            _second => number - 1,
        };
        let (pts, dts) = (self.stamp(shown * FRAME + FRAME), self.stamp(number * FRAME));
        let clock = self.stamp(number * FRAME - self.video_lead);
        let has_clock = !self.is_clock_rare || number % 8 == 4;
        let pcr = has_clock.then(|| Pcr::from_ticks(clock.ticks() * 300));
        let entry = number == 0 || number % 25 == 0;
        let bytes = self.pes(true, number, pts, Some(dts).filter(|_| self.has_dts), 700);
        let fields = Fields { pid: self.video_pid, pcr, random_access: entry, ..Fields::NONE };
        stream.push_pes(fields, &bytes, 184);
    }

    fn sound(&self, stream: &mut Stream, at: i64) {
        let frames = self.frames.min((self.sound_until - at + SOUND - 1) / SOUND);
        let bytes = self.pes(false, at, self.stamp(at), None, usize::try_from(frames * 200).unwrap());
        stream.push_pes(Fields { pid: self.audio_pid, ..Fields::NONE }, &bytes, 184);
    }

    /// A PES packet that says which clip it is of, and how far from the clip's zero its unit is decoded.
    fn pes(&self, is_picture: bool, number: i64, pts: Pts, dts: Option<Pts>, data: usize) -> Vec<u8> {
        let mut header = vec![if dts.is_some() { 0xC0 } else { 0x80 }, if dts.is_some() { 10 } else { 5 }];
        for (prefix, stamp) in [(if dts.is_some() { 0x31 } else { 0x21 }, Some(pts)), (0x11, dts)] {
            if let Some(stamp) = stamp {
                let mut field = [prefix; 5];
                stamp.write_field(&mut field);
                header.extend(field);
            }
        }
        let length = if is_picture { 0 } else { u16::try_from(1 + header.len() + data).unwrap() };
        let mut bytes = vec![0, 0, 1, if is_picture { 0xE0 } else { 0xC0 }];
        bytes.extend(length.to_be_bytes());
        bytes.push(0x80);
        bytes.extend(header);
        let mut own = vec![self.name];
        let ticks = if is_picture { number * FRAME } else { number };
        own.extend(i32::try_from(ticks).unwrap().to_be_bytes());
        own.resize(data, 0x55);
        bytes.extend(own);
        bytes
    }
}

/// A unit as it left.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// The clip and the time in it; `None` for a slate's.
    of: Option<(u8, i64)>,
    is_picture: bool,
    times: PesTimes,
    clock: Option<Pcr>,
}

/// A session, its sources and its viewer.
struct Play {
    splice: Splice,
    now: u64,
    left: Vec<u8>,
}

fn nanos(ticks: i64) -> u64 {
    u64::try_from(ticks).unwrap() * 100_000 / 9
}

impl Play {
    fn new() -> Self {
        Self { splice: Splice::new(), now: 1_000_000_000, left: Vec::new() }
    }

    /// A run of clips, each of which lasts as long as pictures and sound do. `burst` is how many ticks of it come at once.
    fn run(&mut self, clips: &[Clip], burst: i64) {
        let mut packets: Vec<(u64, PacketBytes)> = Vec::new();
        let mut start = self.now;
        let mut counters = BTreeMap::new();
        for clip in clips {
            let own = clip.packets();
            let lasts = (clip.pictures * FRAME).max(clip.sound_until) - clip.sound_from.min(0);
            for (at, mut packet) in own {
                let counter = counters.entry([packet[1] & 0x1F, packet[2]]).or_insert(15_u8);
                if packet[3] & 0x10 != 0 {
                    *counter = (*counter + 1) % 16;
                }
                packet[3] = (packet[3] & 0xF0) | *counter;
                packets.push((start + nanos(at), packet));
            }
            start += nanos(lasts);
        }
        let mut inspector = Inspector::new();
        let mut holdback = Holdback::new(self.left.is_empty(), crate::splice::HELD_BYTES_MAX);
        let mut programme: Option<Programme> = None;
        let (mut held, mut released, mut begun) = (Vec::<u8>::new(), 0, false);
        let origin = self.now;
        let of = |at: u64| (at - origin) / nanos(burst);
        let mut position = 0;
        for group in packets.chunk_by(|a, b| of(a.0) == of(b.0)) {
            let now = group.last().unwrap().0.max(self.now);
            self.now = now;
            for (_, packet) in group {
                inspector.packet(position, packet);
                position += 188;
                if inspector.programme() != programme.as_ref() {
                    programme = inspector.programme().cloned();
                    holdback.set_programme(programme.as_ref());
                }
                holdback.packet(packet);
                held.extend(packet);
            }
            let Some(programme) = &programme else { continue };
            let lead = FirstTimestamps::scan(&held, programme);
            if !begun && lead.video.is_none() {
                continue;
            }
            let now = Instant::from_nanos(now);
            if !std::mem::replace(&mut begun, true) {
                self.left.extend(self.splice.begin(now, &Run { kind: RunKind::Live, programme, lead }));
            }
            let free = usize::try_from(holdback.releasable() - released).unwrap();
            released += u64::try_from(free).unwrap();
            let mut whole: Vec<u8> = held.drain(..free).collect();
            self.splice.restamp_before(now, &mut whole, &held);
            self.left.extend(whole);
        }
        self.now = self.now.max(start);
        self.splice.restamp(Instant::from_nanos(self.now), &mut held);
        self.left.extend(held);
    }

    fn slate(&mut self, ticks: i64) {
        let slate = Slate::built_in().unwrap();
        let mut player = Player::new(slate.clone());
        let (start, end) = (self.now, self.now + nanos(ticks));
        let mut begun = false;
        while self.now < end {
            self.now += 45_000_000;
            let mut packets = Vec::new();
            while player.next_at() * 1000 / 27 <= self.now - start {
                player.play(&mut packets);
            }
            let now = Instant::from_nanos(self.now);
            if !std::mem::replace(&mut begun, true) {
                let lead = FirstTimestamps::scan(&packets, slate.programme());
                let run = Run { kind: RunKind::Filler, programme: slate.programme(), lead };
                self.left.extend(self.splice.begin(now, &run));
            }
            self.splice.restamp(now, &mut packets);
            self.left.extend(packets);
        }
    }

    /// All that left, on the PIDs that the session's programme has.
    fn shown(&self) -> Vec<Shown> {
        let programme = self.splice.programme().unwrap();
        let [video, audio] = [0, 1].map(|index: usize| programme.pmt.streams()[index].pid);
        let (mut clock, mut shown) = (None::<Pcr>, Vec::new());
        for bytes in self.left.as_chunks::<188>().0 {
            let packet = crate::ts::Packet::parse(bytes).unwrap();
            if let Some(pcr) = packet.adaptation_field().and_then(crate::ts::AdaptationField::pcr) {
                assert!(
                    clock.is_none_or(|last| pcr.since(last) >= 0),
                    "the clock steps back to {pcr:?} from {clock:?}"
                );
                clock = Some(pcr);
            }
            let payload = packet.payload().filter(|_| packet.payload_unit_start_indicator());
            let Some((payload, PesStart::Timed(times))) =
                payload.map(|payload| (payload, PesStart::read(payload)))
            else {
                continue;
            };
            assert!([video, audio].contains(&packet.pid()), "{:?} is not of the session", packet.pid());
            let data = &payload[9 + usize::from(payload[8])..];
            let ticks = i64::from(i32::from_be_bytes(data[1..5].try_into().unwrap()));
            let of = Some((data[0], ticks)).filter(|_| data[5..10] == [0x55; 5]);
            shown.push(Shown { of, is_picture: packet.pid() == video, times, clock });
        }
        shown
    }
}

/// From the clock to each unit of a clip in the source itself.
fn leads(clip: &Clip) -> BTreeMap<(bool, i64), i64> {
    let (mut clock, mut leads) = (None::<Pcr>, BTreeMap::new());
    for (_, bytes) in clip.packets() {
        let packet = crate::ts::Packet::parse(&bytes).unwrap();
        clock = packet.adaptation_field().and_then(crate::ts::AdaptationField::pcr).or(clock);
        let payload = packet.payload().filter(|_| packet.payload_unit_start_indicator());
        if let Some((payload, PesStart::Timed(times))) =
            payload.map(|payload| (payload, PesStart::read(payload)))
        {
            let data = &payload[9 + usize::from(payload[8])..];
            let ticks = i64::from(i32::from_be_bytes(data[1..5].try_into().unwrap()));
            let is_picture = packet.pid().get() == clip.video_pid;
            let dts = if is_picture { clip.stamp(ticks) } else { times.pts };
            if let Some(clock) = clock {
                leads.insert((is_picture, ticks), dts.since(clock.to_pts()));
            }
        }
    }
    leads
}

/// What was found wrong, and how many units of each clip have left: pictures and sound.
fn judge(shown: &[Shown], clips: &[Clip]) -> (Vec<String>, BTreeMap<u8, [usize; 2]>) {
    let mut faults = Vec::new();
    let mut counts: BTreeMap<u8, [usize; 2]> = BTreeMap::new();
    // Where each clip's zero lies, by its first picture.
    let mut zeros: BTreeMap<u8, Pts> = BTreeMap::new();
    for unit in shown {
        if let Some((name, ticks)) = unit.of
            && unit.is_picture
        {
            zeros.entry(name).or_insert(decoding(unit, clips, name).plus(-ticks));
        }
    }
    let all_leads: BTreeMap<u8, _> = clips.iter().map(|clip| (clip.name, leads(clip))).collect();
    let mut last: BTreeMap<bool, Pts> = BTreeMap::new();
    let mut pictures = Vec::new();
    for unit in shown {
        let clip = unit.of.and_then(|(name, _)| clips.iter().find(|clip| clip.name == name));
        if unit.is_picture {
            pictures.push(unit.times.pts);
        }
        let dts = unit.of.map_or(unit.times.decoding(), |(name, _)| decoding(unit, clips, name));
        if let Some(last) = last.insert(unit.is_picture, dts) {
            let step = dts.since(last);
            if step < if unit.is_picture { FRAME } else { 1 } {
                faults.push(format!("{unit:?}: {step} ticks behind the last"));
            }
        }
        let Some(((name, ticks), clip)) = unit.of.zip(clip) else { continue };
        counts.entry(name).or_default()[usize::from(!unit.is_picture)] += 1;
        let off = zeros.get(&name).map_or(0, |zero| dts.since(zero.plus(ticks)));
        if off.abs() > 90 {
            faults.push(format!("{unit:?}: {off} ticks from its picture"));
        }
        let Some(lead) = all_leads[&clip.name].get(&(unit.is_picture, ticks)).copied() else { continue };
        let early = unit.clock.map_or(lead, |clock| dts.since(clock.to_pts()));
        if early < 0 || (early - lead).abs() > 9000 {
            faults.push(format!("{unit:?}: {early} ticks before its time, {lead} in the source"));
        }
    }
    let first = pictures[0];
    pictures.sort_by_key(|pts| pts.since(first));
    for pair in pictures.windows(2) {
        if pair[1].since(pair[0]) < FRAME {
            faults.push(format!("pictures are shown at {:?} and {:?}", pair[0], pair[1]));
        }
    }
    (faults, counts)
}

/// The decoding time, also of a picture that only says when it is shown.
fn decoding(unit: &Shown, clips: &[Clip], name: u8) -> Pts {
    let clip = clips.iter().find(|clip| clip.name == name).unwrap();
    if clip.has_dts || !unit.is_picture {
        return unit.times.decoding();
    }
    let (_, ticks) = unit.of.unwrap();
    let number = ticks / FRAME;
    let shown = match number % 3 {
        0 if number == 0 => 0,
        0 => number - 1,
        1 => number + 2,
        _second => number - 1,
    };
    unit.times.pts.plus((number - shown - 1) * FRAME)
}

/// From 3 s longer than the pictures to 3 s shorter.
fn reaches() -> impl Iterator<Item = i64> {
    (-12..=12).map(|quarter| quarter * SECOND / 4)
}

/// Six clips whose sound reaches further than their pictures by this.
fn clips(reach: i64, base: impl Fn(i64) -> u64, change: impl Fn(i64, &mut Clip)) -> Vec<Clip> {
    (0..=JOINTS)
        .map(|number| {
            let mut clip = Clip::new(u8::try_from(number).unwrap() + 1, base(number), 100 * FRAME + reach);
            change(number, &mut clip);
            clip
        })
        .collect()
}

/// What is wrong with what has left, in a few words.
fn check(name: &str, play: &Play, clips: &[Clip], reach: i64, sound_may_be_lost: usize) -> Option<String> {
    let (mut faults, counts) = judge(&play.shown(), clips);
    for clip in clips {
        let [pictures, sound] = counts.get(&clip.name).copied().unwrap_or_default();
        let step = SOUND * clip.frames;
        let all = [clip.pictures, ((clip.sound_until - clip.sound_from + step - 1) / step).max(0)];
        let all = all.map(|units| usize::try_from(units).unwrap());
        if pictures < all[0] || sound + sound_may_be_lost < all[1] {
            faults.push(format!("{pictures} pictures and {sound} of sound of {all:?} of clip {}", clip.name));
        }
    }
    let first = faults.first()?;
    Some(format!("{name}, sound {} ms longer: {} faults: {first}", reach / 90, faults.len()))
}

/// A loop: every clip has the same times.
fn same(_number: i64) -> u64 {
    126_000
}

/// Parts of a programme, whose times go on, and other times between.
fn ad(number: i64) -> u64 {
    if number % 2 == 1 { 3_000_000_000 } else { 900_000 + u64::try_from(number).unwrap() * 400 * 90_000 }
}

#[test]
fn five_loops_of_sound_longer_or_shorter_than_its_pictures_keep_their_distance() {
    let mut wrong = Vec::new();
    for reach in reaches() {
        for burst in [900, 9_000, 900_000] {
            let clips = clips(reach, same, |_, _| {});
            let mut play = Play::new();
            play.run(&clips, burst);
            wrong.extend(check("loop", &play, &clips, reach, 0));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn five_ad_breaks_of_sound_longer_or_shorter_than_its_pictures_keep_their_distance() {
    let mut wrong = Vec::new();
    for reach in reaches() {
        // With other PIDs and another order of sending too.
        for moves in [false, true] {
            let clips = clips(reach, ad, |number, clip| {
                if moves && number % 2 == 1 {
                    (clip.video_pid, clip.audio_pid) = (0x200, 0x201);
                    (clip.video_lead, clip.audio_lead) = (45_000, 18_000);
                }
            });
            let mut play = Play::new();
            play.run(&clips, 900);
            let name = if moves { "ad break, moved" } else { "ad break" };
            wrong.extend(check(name, &play, &clips, reach, 0));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn five_failovers_of_sound_longer_or_shorter_than_its_pictures_keep_their_distance() {
    let mut wrong = Vec::new();
    for reach in reaches() {
        let clips = clips(reach, ad, |number, clip| {
            if number % 2 == 1 {
                (clip.video_pid, clip.audio_pid) = (0x200, 0x201);
                (clip.video_lead, clip.audio_lead) = (90_000, 40_000);
            }
        });
        let mut play = Play::new();
        for clip in &clips {
            play.run(std::slice::from_ref(clip), 900);
            play.slate(SECOND);
        }
        wrong.extend(check("failover", &play, &clips, reach, usize::MAX / 2));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A joint of another kind: what is changed in each clip, and how much may be lost.
type Kind = (&'static str, fn(i64) -> u64, fn(i64, &mut Clip), usize);

#[test]
fn joints_of_every_kind_keep_the_distance() {
    let mut wrong = Vec::new();
    let kinds: &[Kind] = &[
        ("sound 3 s before its pictures", same, |_, clip| clip.sound_from = -3 * SECOND, 0),
        ("sound 3 s behind its pictures", same, |_, clip| clip.sound_from = 2 * SECOND, 0),
        ("eight frames of sound together", same, |_, clip| clip.frames = 8, 0),
        ("thirty frames of sound together", ad, |_, clip| clip.frames = 30, 0),
        (
            "sound sent much later than pictures",
            ad,
            |_, clip| {
                (clip.video_lead, clip.audio_lead) = (110_000, 18_000);
            },
            0,
        ),
        (
            "pictures sent later than sound",
            ad,
            |_, clip| {
                (clip.video_lead, clip.audio_lead) = (20_000, 80_000);
            },
            0,
        ),
        (
            "by turns sent early and late",
            ad,
            |number, clip| {
                (clip.video_lead, clip.audio_lead) =
                    if number % 2 == 0 { (110_000, 18_000) } else { (30_000, 40_000) };
            },
            40,
        ),
        ("pictures that only say when they are shown", ad, |_, clip| clip.has_dts = false, 0),
        ("the same in a loop", same, |_, clip| clip.has_dts = false, 0),
        ("pictures that are shown before the first that comes", same, |_, clip| clip.is_open = true, 0),
        (
            "a step of 100 ms back",
            |number| 90_000_000 + 351_000 * u64::try_from(number).unwrap(),
            |_, _| {},
            0,
        ),
        (
            "a step of 60 ms back",
            |number| 90_000_000 + 354_600 * u64::try_from(number).unwrap(),
            |_, _| {},
            0,
        ),
        (
            "a step of 1.5 s ahead",
            |number| {
                900_000 + 135_000 * u64::try_from(number).unwrap() + 360_000 * u64::try_from(number).unwrap()
            },
            |_, _| {},
            0,
        ),
        (
            "a step of 2 s back",
            |number| {
                90_000_000 - 180_000 * u64::try_from(number).unwrap()
                    + 360_000 * u64::try_from(number).unwrap()
            },
            |_, _| {},
            0,
        ),
        (
            "a step of 70 ms back that the clock tells of later",
            |number| 90_000_000 + 353_700 * u64::try_from(number).unwrap(),
            |_, clip| clip.is_clock_rare = true,
            0,
        ),
        ("over the wrap", |number| if number % 2 == 0 { (1 << 33) - 180_000 } else { 90_000 }, |_, _| {}, 0),
        (
            "half the range away",
            |number| if number % 2 == 0 { 900_000 } else { 900_000 + (1 << 32) },
            |_, _| {},
            0,
        ),
    ];
    for (name, base, change, lost) in kinds {
        for reach in [-3, -1, 0, 1, 3].map(|seconds| seconds * SECOND) {
            for burst in [900, 90_000] {
                let clips = clips(reach, base, change);
                let mut play = Play::new();
                play.run(&clips, burst);
                wrong.extend(check(&format!("{name}, {burst} at once"), &play, &clips, reach, *lost));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
