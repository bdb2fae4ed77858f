//! Sources that are odd and well, and sources that are dead, each through the real inspector in a time of its own.

use std::time::Duration;

use super::{Progress, Stall, StallKind, Watch, WatchParams};
use crate::base::Instant;
use crate::ts::testing::{Fields, Stream, pes, pmt, programme, section};
use crate::ts::{Inspector, NULL_PACKET, Pcr, Pts};

const STALL_MS: u64 = 4000;
/// A source goes on as it began until then.
const DEATH_MS: u64 = 60_000;
const HEALTHY_MS: u64 = 600_000;
/// What a source makes at once.
const STEP_MS: u64 = 20;
/// Packets that come in one read.
const READ_PACKETS: usize = 348;
const H264: u8 = 0x1B;
const AAC: u8 = 0x0F;
const VIDEO: u16 = 0x100;

/// How a part of a programme goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// It is not there.
    Absent,
    Moves,
    /// What it was when it stopped, again and again.
    Repeats,
    Scrambled,
    /// Its PES packets are scrambled, and the packets around them clear.
    ScrambledInside,
    /// With the transport error indicator.
    Damaged,
}

/// What a source sends.
#[derive(Clone, Copy, Debug)]
struct Content {
    video: Part,
    audio: Part,
    pcr: Part,
    tables: bool,
    nulls: bool,
    /// Subtitles of the programme, and another programme.
    others: bool,
    garbage: bool,
    /// The last packet of video, again and again with its counter.
    duplicates: bool,
}

const TV: Content = Content {
    video: Part::Moves,
    audio: Part::Moves,
    pcr: Part::Moves,
    tables: true,
    nulls: false,
    others: false,
    garbage: false,
    duplicates: false,
};
const RADIO: Content = Content { video: Part::Absent, ..TV };
const CAMERA: Content = Content { audio: Part::Absent, ..TV };
const NOTHING: Content =
    Content { video: Part::Absent, audio: Part::Absent, pcr: Part::Absent, tables: false, ..TV };

/// A source.
#[derive(Clone)]
struct Source {
    stream_types: &'static [u8],
    content: Content,
    /// What it sends from [`DEATH_MS`] on.
    then: Content,
    /// Milliseconds between pictures, and whether one comes at a time that is a multiple of it.
    picture_ms: u64,
    pictures: fn(u64) -> bool,
    sounds: fn(u64) -> bool,
    picture_bytes: usize,
    /// Which pictures tell their time.
    timed: fn(u64) -> bool,
    /// When the clock is sent.
    clocks: fn(u64) -> bool,
    clock_pid: u16,
    /// What is added to all times, in milliseconds.
    shift: fn(u64) -> i64,
    /// When what belongs to a time is delivered; must not go back.
    delivered: fn(u64) -> u64,
    /// Announced from a minute on: a table without video.
    ends_video: bool,
    read_packets: usize,
}

fn tv() -> Source {
    Source {
        stream_types: &[H264, AAC],
        content: TV,
        then: TV,
        picture_ms: 40,
        pictures: |_| true,
        sounds: |_| true,
        picture_bytes: 500,
        timed: |_| true,
        clocks: |_| true,
        clock_pid: VIDEO,
        shift: |_| 0,
        delivered: |at| at,
        ends_video: false,
        read_packets: READ_PACKETS,
    }
}

fn radio() -> Source {
    Source { stream_types: &[AAC], content: RADIO, then: RADIO, ..tv() }
}

fn camera(picture_ms: u64) -> Source {
    let content = Content { tables: false, ..CAMERA };
    let clocks = |at: u64| at.is_multiple_of(1000);
    Source { stream_types: &[H264], content, then: content, picture_ms, clocks, ..tv() }
}

/// Batches of a length, each delivered when its first part is due.
const fn batches(at: u64, length: u64) -> u64 {
    at / length * length
}

/// Batches of six seconds at the distances that somebody measured of a public channel.
fn uneven_batches(at: u64) -> u64 {
    const GAPS: [u64; 6] = [6660, 6660, 9860, 3550, 6560, 6840];
    let Some(before) = (at / 6000).checked_sub(2) else { return 0 };
    (0..=before).zip(GAPS.iter().cycle()).map(|(_, gap)| gap).sum()
}

/// Segments of four seconds, each up to 1.5 s too late or too early.
fn segments(at: u64) -> u64 {
    let segment = at / 4000;
    4000 * segment + [700, 1500, 0, 1200, 300][usize::try_from(segment % 5).unwrap()]
}

/// A source as it is read, its watchdog's timer firing exactly when it is due.
struct Reader {
    inspector: Inspector,
    watch: Watch,
    packets: u64,
    stall: Option<(u64, Stall)>,
}

impl Reader {
    fn wait(&mut self, until_ms: u64) {
        let until = Instant::from_millis(until_ms);
        if let Some(due) = self.watch.next_deadline().filter(|due| *due < until) {
            let stall = self.watch.expire(due).expect("a deadline is the time of a stall");
            self.stall.get_or_insert((due.as_millis(), stall));
        }
    }

    fn read(&mut self, now_ms: u64, stream: &mut Stream, read_packets: usize) {
        self.wait(now_ms);
        for part in stream.packets.chunks(read_packets) {
            for packet in part {
                self.inspector.packet(self.packets * 188, packet);
                self.packets += 1;
            }
            let progress = Progress::of(&self.inspector, self.packets * 188);
            self.watch.observe(Instant::from_millis(now_ms), &progress);
        }
        stream.packets.clear();
    }
}

impl Source {
    /// Sends what belongs to a step.
    fn make(&self, stream: &mut Stream, at: u64) {
        let content = if at < DEATH_MS { self.content } else { self.then };
        let millis = |part: Part| {
            let at = if part == Part::Repeats { at.min(DEATH_MS - self.picture_ms) } else { at };
            10_000 + i64::try_from(at).unwrap() + (self.shift)(at)
        };
        // So near the end that it wraps soon.
        let pts = |part| Pts::from_ticks(Pts::MODULUS - 9_000_000).plus(millis(part) * 90);
        let fields = |pid, part| Fields {
            pid,
            scrambling: u8::from(part == Part::Scrambled) * 2,
            transport_error: part == Part::Damaged,
            ..Fields::NONE
        };
        let inside = |mut bytes: Vec<u8>, part| {
            bytes[6] |= u8::from(part == Part::ScrambledInside) << 5;
            bytes
        };
        if content.tables && at.is_multiple_of(500) {
            stream.push_section(0, &section(0x00, 1, 0, &[0, 1, 0xF0, 0x00, 0, 2, 0xF0, 0x10]));
            let types = if self.ends_video && at >= DEATH_MS { &[0x06, AAC] } else { self.stream_types };
            stream.push_section(
                0x1000,
                &clocked(pmt(u8::from(types != self.stream_types), types), self.clock_pid),
            );
        }
        if content.pcr != Part::Absent && (self.clocks)(at) {
            let clock = Pcr::from_ticks(pts(content.pcr).plus(-63_000).ticks() * 300);
            stream.push(Fields { pid: self.clock_pid, pcr: Some(clock), ..Fields::NONE }, &[]);
        }
        if content.video != Part::Absent && at.is_multiple_of(self.picture_ms) && (self.pictures)(at) {
            let time = (self.timed)(at).then(|| pts(content.video));
            let bytes = inside(pes(0xE0, time, &vec![9; self.picture_bytes]), content.video);
            push(stream, fields(VIDEO, content.video), &bytes);
        }
        let audio_pid = 0x100 + u16::try_from(self.stream_types.len()).unwrap() - 1;
        if content.audio != Part::Absent && (self.sounds)(at) {
            let bytes = inside(pes(0xC0, Some(pts(content.audio)), &[7; 160]), content.audio);
            push(stream, fields(audio_pid, content.audio), &bytes);
        }
        if content.others {
            push(stream, fields(0x180, Part::Moves), &pes(0xBD, Some(pts(Part::Moves)), &[1; 60]));
            push(stream, fields(0x200, Part::Moves), &pes(0xE0, Some(pts(Part::Moves)), &[2; 900]));
        }
        if content.duplicates {
            stream.packets.push(Fields { pid: VIDEO, counter: 5, ..Fields::NONE }.packet(&[9; 184]));
        }
        if content.nulls {
            stream.packets.extend([NULL_PACKET; 10]);
        }
        // Garbage never becomes packets, and so nothing of it is seen.
        assert!(!content.garbage || content.video == Part::Absent);
    }

    /// Reads it for a time and gives the stall that is noticed: what, when, and since when.
    fn run(&self, stall_ms: u64, until_ms: u64) -> Option<(StallKind, u64, u64)> {
        let params = WatchParams { stall_detect: Duration::from_millis(stall_ms), content: true };
        let watch = Watch::new(params, Instant::START);
        let mut reader = Reader { inspector: Inspector::new(), watch, packets: 0, stall: None };
        let mut stream = programme(self.stream_types);
        for at in (0..until_ms).step_by(usize::try_from(STEP_MS).unwrap()) {
            self.make(&mut stream, at);
            if (self.delivered)(at + STEP_MS) > (self.delivered)(at) {
                reader.read((self.delivered)(at), &mut stream, self.read_packets);
            }
            if let Some((due, stall)) = reader.stall {
                return Some((stall.kind, due, stall.since.as_millis()));
            }
        }
        reader.wait((self.delivered)(until_ms));
        reader.stall.map(|(due, stall)| (stall.kind, due, stall.since.as_millis()))
    }
}

/// A programme's table with the clock on a PID, or without one.
fn clocked(table: Vec<u8>, clock_pid: u16) -> Vec<u8> {
    let [high, low] = clock_pid.to_be_bytes();
    let mut body = table[8..table.len() - 4].to_vec();
    (body[0], body[1]) = (0xE0 | high, low);
    section(0x02, 1, (table[5] >> 1) & 0x1F, &body)
}

fn push(stream: &mut Stream, fields: Fields, bytes: &[u8]) {
    for (index, part) in bytes.chunks(184).enumerate() {
        stream.push(Fields { unit_start: index == 0, ..fields }, part);
    }
}

#[test]
fn what_is_odd_and_well_is_no_stall() {
    let stills = |at: u64| at.is_multiple_of(10_000);
    let second = STALL_MS / 4;
    #[rustfmt::skip]
    let table: Vec<(&str, u64, Source)> = vec![
        ("television", STALL_MS, tv()),
        ("batches of 2 s", STALL_MS, Source { delivered: |at| batches(at, 2000), ..tv() }),
        ("batches of 6 s", STALL_MS, Source { delivered: |at| batches(at, 6000), ..tv() }),
        ("batches of 10 s", STALL_MS, Source { delivered: |at| batches(at, 10_000), ..tv() }),
        ("batches of 6 s, at 1 s", second, Source { delivered: |at| batches(at, 6000), ..tv() }),
        ("batches of 10 s, at 1 s", second, Source { delivered: |at| batches(at, 10_000), ..tv() }),
        ("batches of 10 s of radio, at 1 s", second, Source { delivered: |at| batches(at, 10_000), ..radio() }),
        ("batches as measured", STALL_MS, Source { delivered: uneven_batches, ..tv() }),
        ("segments with jitter", STALL_MS, Source { delivered: segments, ..tv() }),
        ("batches of 10 s without a clock", STALL_MS,
            Source { delivered: |at| batches(at, 10_000), clock_pid: 0x1FFF, clocks: |_| false, ..tv() }),
        ("20 s at once, then live", STALL_MS, Source { delivered: |at| at.saturating_sub(20_000), ..tv() }),
        ("a clock every 5 s", STALL_MS, Source { clocks: |at| at.is_multiple_of(5000), ..tv() }),
        ("a clock with key pictures, at 0, 1 and then every 5 s", STALL_MS,
            Source { clocks: |at| at == 0 || at % 5000 == 1000, ..tv() }),
        ("the same of radio", STALL_MS, Source { clocks: |at| at == 0 || at % 5000 == 1000, ..radio() }),
        ("no clock", STALL_MS, Source { clock_pid: 0x1FFF, clocks: |_| false, ..tv() }),
        ("a clock that was announced and never came", STALL_MS, Source { clocks: |_| false, ..tv() }),
        ("a clock that stopped", STALL_MS, Source { then: Content { pcr: Part::Repeats, ..TV }, ..tv() }),
        ("a clock that went away", STALL_MS, Source { then: Content { pcr: Part::Absent, ..TV }, ..tv() }),
        ("a clock on a PID of its own", STALL_MS, Source { clock_pid: 0x1F0, ..tv() }),
        ("a picture every 10 s, with sound", STALL_MS, Source { pictures: stills, ..tv() }),
        ("a slide show: 3 to 20 s a picture", STALL_MS,
            Source { pictures: |at| [0, 3000, 23_000, 31_000].contains(&(at % 40_000)), ..tv() }),
        ("radio", STALL_MS, radio()),
        ("radio with a cover, sent once", STALL_MS, Source { pictures: |at| at == 0, ..tv() }),
        ("radio with a cover every 5 s", STALL_MS, Source { pictures: |at| at.is_multiple_of(5000), ..tv() }),
        ("a picture a second, and no sound", STALL_MS, camera(1000)),
        ("a picture every 5 s, and no sound", STALL_MS, camera(5000)),
        ("a picture every 5 s with tables, and no sound", STALL_MS, Source { content: CAMERA, then: CAMERA, ..camera(5000) }),
        ("black: a packet for a picture", STALL_MS, Source { picture_bytes: 60, ..tv() }),
        ("3 s of every 10 with a picture a second", STALL_MS,
            Source { pictures: |at| at % 10_000 > 3000 || at.is_multiple_of(1000), ..tv() }),
        ("stuffed to a constant rate", STALL_MS,
            Source { content: Content { nulls: true, ..TV }, then: Content { nulls: true, ..TV }, ..tv() }),
        ("sound that pauses for 20 s", STALL_MS, Source { sounds: |at| at % 40_000 < 20_000, ..tv() }),
        ("pictures that pause for 3 s, with the sound", STALL_MS,
            Source { pictures: |at| at % 30_000 >= 3000, sounds: |at| at % 30_000 >= 3000, ..tv() }),
        ("times that jump by an hour at each ad", STALL_MS,
            Source { shift: |at| if at / 30_000 % 2 == 0 { 0 } else { 3_600_000 }, ..tv() }),
        ("a loop of 2 s", STALL_MS, Source { shift: |at| -i64::try_from(at / 2000 * 2000).unwrap(), ..tv() }),
        ("a packet at a time", STALL_MS, Source { read_packets: 1, ..tv() }),
        ("times with key pictures only", STALL_MS, Source { timed: |at| at.is_multiple_of(5000), ..tv() }),
        ("times with key pictures only, and no sound", STALL_MS,
            Source { timed: |at| at.is_multiple_of(5000), picture_ms: 40, ..camera(40) }),
        ("television that becomes radio, as its table says", STALL_MS,
            Source { then: RADIO, clock_pid: 0x1F0, ends_video: true, ..tv() }),
        ("subtitles and another programme beside it", STALL_MS,
            Source { content: Content { others: true, ..TV }, then: Content { others: true, ..TV }, ..tv() }),
    ];
    for (name, stall_ms, source) in table {
        assert_eq!(source.run(stall_ms, HEALTHY_MS), None, "{name}");
    }
}

#[test]
fn what_is_dead_is_found_when_what_it_delivered_has_run_out_for_as_long_as_the_limit() {
    use StallKind::{AudioSilent, OnlyNull, PcrFrozen, Scrambled, Silence, VideoSilent};
    let all = |part| Content { video: part, audio: part, ..TV };
    let batched = || Source { delivered: |at| batches(at, 6000), ..tv() };
    let radio_then = |then| Source { then: Content { video: Part::Absent, ..then }, ..radio() };
    let jumps = |at: u64| if at < 59_000 { 0 } else { 3_600_000 };
    // What is noticed, and how long after the death what had been delivered lasts at the most.
    #[rustfmt::skip]
    let table: Vec<(&str, Source, StallKind, u64)> = vec![
        ("silence", Source { then: NOTHING, ..tv() }, Silence, 100),
        ("only null packets", Source { then: Content { nulls: true, ..NOTHING }, ..tv() }, OnlyNull, 100),
        ("only tables", Source { then: Content { tables: true, ..NOTHING }, ..tv() }, OnlyNull, 100),
        ("only a clock", Source { then: Content { pcr: Part::Moves, ..NOTHING }, ..tv() }, OnlyNull, 100),
        ("only subtitles and another programme", Source { then: Content { others: true, tables: true, ..NOTHING }, ..tv() }, OnlyNull, 100),
        ("garbage", Source { then: Content { garbage: true, ..NOTHING }, ..tv() }, Silence, 100),
        ("only damaged packets", Source { then: all(Part::Damaged), ..tv() }, OnlyNull, 100),
        ("one packet again and again", Source { then: Content { duplicates: true, ..NOTHING }, ..tv() }, PcrFrozen, 100),
        ("sound without pictures", Source { then: RADIO, ..tv() }, VideoSilent, 100),
        ("one picture again and again, with sound", Source { then: Content { video: Part::Repeats, ..TV }, ..tv() }, VideoSilent, 100),
        ("one picture and one sound, and the clock goes on", Source { then: all(Part::Repeats), ..tv() }, VideoSilent, 100),
        ("one picture and one sound, and the clock stands", Source { then: Content { pcr: Part::Repeats, ..all(Part::Repeats) }, ..tv() }, PcrFrozen, 100),
        ("scrambled", Source { then: all(Part::Scrambled), ..tv() }, Scrambled, 100),
        ("scrambled pictures", Source { then: Content { video: Part::Scrambled, ..TV }, ..tv() }, Scrambled, 100),
        ("scrambled in clear packets", Source { then: all(Part::ScrambledInside), ..tv() }, Scrambled, 100),
        ("radio: silence", radio_then(NOTHING), Silence, 100),
        ("radio: only null packets", radio_then(Content { nulls: true, ..NOTHING }), OnlyNull, 100),
        ("radio: one sound, and the clock goes on", radio_then(all(Part::Repeats)), AudioSilent, 100),
        ("radio: one sound, and the clock stands", radio_then(Content { pcr: Part::Repeats, ..all(Part::Repeats) }), PcrFrozen, 100),
        ("radio: scrambled", radio_then(all(Part::Scrambled)), Scrambled, 100),
        ("no clock, and then silence", Source { clock_pid: 0x1FFF, clocks: |_| false, then: NOTHING, ..tv() }, Silence, 100),
        ("a camera with a picture a second", Source { then: NOTHING, ..camera(1000) }, Silence, 1000),
        ("a camera with a picture every 5 s", Source { then: NOTHING, ..camera(5000) }, Silence, 5000),
        ("batches of 6 s, and then silence", Source { then: NOTHING, ..batched() }, Silence, 100),
        ("batches of 6 s, then without pictures", Source { then: RADIO, ..batched() }, VideoSilent, 100),
        ("batches of 6 s, then scrambled", Source { then: all(Part::Scrambled), ..batched() }, Scrambled, 100),
        ("20 s at once, then live, then silence", Source { delivered: |at| at.saturating_sub(20_000), then: NOTHING, ..tv() }, Silence, 100),
        ("times that jump by an hour, and then silence", Source { shift: jumps, then: NOTHING, ..tv() }, Silence, 1100),
    ];
    for (name, source, kind, late_ms) in table {
        let Some((found, due, since)) = source.run(STALL_MS, 3 * DEATH_MS) else {
            panic!("{name}: not found");
        };
        assert_eq!(found, kind, "{name}: at {due} ms since {since} ms");
        let (earliest, latest) = (DEATH_MS + STALL_MS - 100, DEATH_MS + STALL_MS + late_ms);
        assert!((earliest..=latest).contains(&due), "{name}: at {due} ms since {since} ms");
        // What dies together is told by its gravest sign, which may have come a picture later.
        assert!((STALL_MS - 100..=STALL_MS).contains(&(due - since)), "{name}: at {due} ms since {since} ms");
    }
}
