//! Streams that ffmpeg has made, cut and spliced, and what ffmpeg says of the result.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tunerd::base::Instant;
use tunerd::splice::{FirstTimestamps, Holdback, Run, RunKind, Splice};
use tunerd::ts::psi::Programme;
use tunerd::ts::{Inspector, Pcr};

const PACKET_BYTES: usize = 188;

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("{program} cannot be started ({error}); these tests need ffmpeg with libx264, which scripts/test installs")
    });
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Four seconds of a moving picture and a tone.
fn encode(folder: &TempDir, name: &str, picture: &str, options: &[&str]) -> Vec<u8> {
    let path = folder.path().join(name);
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", picture];
    arguments.extend(["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "4"]);
    arguments.extend(["-preset", "veryfast", "-g", "25", "-threads", "1"]);
    arguments.extend(options);
    arguments.extend(["-f", "mpegts", path.to_str().unwrap()]);
    run("ffmpeg", &arguments);
    std::fs::read(&path).unwrap()
}

fn inspect(bytes: &[u8]) -> (Programme, Vec<Option<Pcr>>) {
    let mut inspector = Inspector::new();
    let mut clocks = Vec::new();
    for (index, packet) in (0..).zip(bytes.as_chunks::<PACKET_BYTES>().0) {
        inspector.packet(index * 188, packet);
        clocks.push(inspector.last_pcr().map(|sample| sample.pcr));
    }
    (inspector.programme().unwrap().clone(), clocks)
}

/// A session in the making.
struct Session {
    splice: Splice,
    shown: Vec<u8>,
    millis: u64,
}

impl Session {
    fn new() -> Self {
        Self { splice: Splice::new(), shown: Vec::new(), millis: 0 }
    }

    /// Plays the first packets of a stream, in the time its clock says they take. Where it breaks it has gone on for a frame.
    fn play(&mut self, kind: RunKind, bytes: &[u8], packets: usize) {
        let (programme, clocks) = inspect(bytes);
        let mut holdback = Holdback::new(self.shown.is_empty(), tunerd::splice::HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme));
        let lead = FirstTimestamps::scan(bytes, &programme);
        let start = self.millis;
        let boundary =
            self.splice.begin(Instant::from_millis(start), &Run { kind, programme: &programme, lead });
        assert_eq!(boundary.is_empty(), self.shown.is_empty());
        self.shown.extend(boundary);
        let (mut released, mut passed, mut last) = (0, 0, None::<Pcr>);
        for (packet, clock) in bytes.as_chunks::<PACKET_BYTES>().0.iter().zip(clocks).take(packets) {
            holdback.packet(packet);
            if let Some(clock) = clock {
                let step = last.map_or(0, |last| clock.since(last));
                passed += if (0..27_000_000).contains(&step) { step } else { 1_080_000 };
                last = Some(clock);
            }
            self.millis = start + u64::try_from(passed / 27_000).unwrap();
            let until = usize::try_from(holdback.releasable()).unwrap();
            let mut whole = bytes[released..until].to_vec();
            released = until;
            self.splice.restamp(Instant::from_millis(self.millis), &mut whole);
            self.shown.extend(whole);
        }
    }

    /// Decodes what was shown: what ffmpeg complains of, and the decoding times of each stream.
    fn decode(&self, folder: &TempDir) -> (String, BTreeMap<u32, Vec<i64>>) {
        let path: PathBuf = folder.path().join("shown.ts");
        std::fs::write(&path, &self.shown).unwrap();
        let path = path.to_str().unwrap();
        let decoded =
            run("ffmpeg", &["-v", "warning", "-xerror", "-i", path, "-map", "0", "-f", "null", "-"]);
        let fields = ["-show_entries", "packet=stream_index,dts", "-of", "csv=p=0"];
        let probed = run("ffprobe", &[&["-v", "warning"][..], &fields, &[path]].concat());
        let complaints = [decoded.stderr, probed.stderr].concat();
        let mut times: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        for line in String::from_utf8(probed.stdout).unwrap().lines() {
            // A packet with side data has an empty line behind it.
            let mut fields = line.split(',').filter(|field| !field.is_empty());
            let Some(stream) = fields.next() else { continue };
            times.entry(stream.parse().unwrap()).or_default().push(fields.next().unwrap().parse().unwrap());
        }
        (String::from_utf8(complaints).unwrap(), times)
    }
}

/// The largest distance of two decoding times of a stream, in milliseconds; they only grow.
fn largest_step(times: &[i64]) -> i64 {
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(steps.clone().all(|step| step > 0), "decoding times step back");
    steps.max().unwrap() / 90
}

const LARGE: &str = "testsrc2=size=320x240:rate=25";
const SMALL: &str = "testsrc=size=160x120:rate=25";
const FIRST: &[&str] = &["-c:v", "libx264", "-bf", "3", "-c:a", "aac"];
const SECOND: &[&str] = &[
    "-c:v",
    "libx264",
    "-bf",
    "1",
    "-c:a",
    "aac",
    "-mpegts_start_pid",
    "0x300",
    "-mpegts_pmt_start_pid",
    "0x30",
    "-mpegts_service_id",
    "9",
    "-output_ts_offset",
    "95440",
    "-map",
    "1",
    "-map",
    "0",
];
const SLATE: &[&str] = &["-c:v", "libx264", "-bf", "0", "-c:a", "aac", "-muxdelay", "0", "-muxpreload", "0"];

#[test]
fn a_source_torn_in_a_picture_a_slate_and_another_source_play_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = encode(&folder, "first.ts", LARGE, FIRST);
    let second = encode(&folder, "second.ts", LARGE, SECOND);
    let slate = encode(&folder, "slate.ts", SMALL, SLATE);
    let packets = |bytes: &[u8]| bytes.len() / PACKET_BYTES;
    for torn in [3, 17, 40] {
        let mut session = Session::new();
        session.play(RunKind::Live, &first, packets(&first) - 200 - torn);
        session.millis += 300;
        session.play(RunKind::Filler, &slate, packets(&slate) - torn);
        session.play(RunKind::Live, &second, packets(&second) - torn);
        session.millis += 20;
        session.play(RunKind::Live, &first, packets(&first));
        let (complaints, times) = session.decode(&folder);
        assert_eq!(complaints, "", "torn by {torn}");
        assert_eq!(times.len(), 2, "two streams, whoever delivers");
        for (stream, times) in &times {
            assert!(times.len() > 300, "stream {stream} has {} packets", times.len());
            assert!(largest_step(times) < 700, "stream {stream} pauses for {} ms", largest_step(times));
        }
        let counts = session.splice.counts();
        assert_eq!((counts.gaps_signalled, counts.reanchorings, counts.damaged_packets), (0, 0, 0));
    }
}

#[test]
fn another_codec_is_followed_to_its_own_pid() {
    let folder = tempfile::tempdir().unwrap();
    let first = encode(&folder, "first.ts", LARGE, FIRST);
    let mpeg2 = encode(&folder, "second.ts", LARGE, &["-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"]);
    let mut session = Session::new();
    session.play(RunKind::Live, &first, first.len() / PACKET_BYTES);
    session.play(RunKind::Live, &mpeg2, mpeg2.len() / PACKET_BYTES);
    session.play(RunKind::Live, &first, first.len() / PACKET_BYTES);
    let (complaints, times) = session.decode(&folder);
    assert_eq!(complaints, "");
    assert_eq!(times.len(), 4);
    for times in times.values() {
        largest_step(times);
    }
}

#[test]
fn a_single_source_passes_untouched() {
    let folder = tempfile::tempdir().unwrap();
    for options in [FIRST, SECOND] {
        let stream = encode(&folder, "only.ts", LARGE, options);
        let mut session = Session::new();
        session.play(RunKind::Live, &stream, stream.len() / PACKET_BYTES);
        assert!(session.shown.len() > stream.len() - 100 * PACKET_BYTES);
        assert!(stream.starts_with(&session.shown), "what leaves is what came");
    }
}

/// Eight seconds of which pictures or sound end sooner, with sound that ffmpeg puts into PES packets of many frames.
fn clip(folder: &TempDir, name: &str, pictures: &str, sound: &str, options: &[&str]) -> Vec<u8> {
    let path = folder.path().join(name);
    let picture = format!("testsrc2=size=320x240:rate=25:duration={pictures}");
    let tone = format!("sine=sample_rate=48000:duration={sound}");
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone];
    arguments.extend(["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-threads", "1"]);
    arguments.extend(["-c:a", "aac"]);
    arguments.extend(options);
    arguments.extend(["-f", "mpegts", path.to_str().unwrap()]);
    run("ffmpeg", &arguments);
    std::fs::read(&path).unwrap()
}

/// How far each picture that begins a part is from the first sound behind it, in the ticks of the stream: parts begin where pictures
/// pause or begin again.
fn presented(folder: &TempDir, bytes: &[u8]) -> (Vec<i64>, Vec<i64>) {
    let path = folder.path().join("presented.ts");
    std::fs::write(&path, bytes).unwrap();
    let of = |stream: &str| -> Vec<i64> {
        let fields = ["-show_entries", "packet=pts", "-of", "csv=p=0", path.to_str().unwrap()];
        let probed = run("ffprobe", &[&["-v", "error", "-select_streams", stream][..], &fields].concat());
        let text = String::from_utf8(probed.stdout).unwrap();
        text.lines().filter_map(|line| line.trim_matches(',').parse().ok()).collect()
    };
    (of("v"), of("a"))
}

#[test]
fn joints_of_files_play_without_a_complaint_and_keep_sound_and_pictures_together() {
    let folder = tempfile::tempdir().unwrap();
    // Sound as long as the pictures, longer, shorter; a varying bitrate and a constant one.
    for (pictures, sound, options) in [
        ("4", "4", &[][..]),
        ("4", "6", &[]),
        ("4", "3", &[]),
        ("4", "5", &["-b:v", "400k", "-maxrate", "400k", "-bufsize", "400k", "-muxrate", "900k"]),
    ] {
        let own = clip(&folder, "own.ts", pictures, sound, options);
        let other_pids = [options, &["-mpegts_start_pid", "0x300", "-output_ts_offset", "40000"]].concat();
        let other = clip(&folder, "other.ts", pictures, sound, &other_pids);
        let looped = [&own[..], &own, &own].concat();
        let ads = [&own[..], &other, &own].concat();
        for (name, bytes) in [("loop", &looped), ("ad break", &ads)] {
            let mut session = Session::new();
            session.play(RunKind::Live, bytes, bytes.len() / PACKET_BYTES);
            let told = format!("{name}, {pictures} s of pictures, {sound} s of sound, {options:?}");
            check_parts(&folder, &own, &session, 3, &told);
        }
        let mut session = Session::new();
        let slate = encode(&folder, "slate.ts", SMALL, SLATE);
        for source in [&own, &other, &own] {
            session.play(RunKind::Live, source, source.len() / PACKET_BYTES);
            session.play(RunKind::Filler, &slate, slate.len() / PACKET_BYTES);
        }
        let told = format!("failover, {pictures} s of pictures, {sound} s of sound, {options:?}");
        let (complaints, _) = session.decode(&folder);
        assert_eq!(complaints, "", "{told}");
        check_distances(&presented(&folder, &session.shown).0, &told);
    }
}

/// Whether a stream of parts like this one is sound, and each part's last picture as far from its first sound as in it alone.
fn check_parts(folder: &TempDir, part: &[u8], session: &Session, parts: usize, told: &str) {
    let (complaints, times) = session.decode(folder);
    assert_eq!(complaints, "", "{told}");
    assert_eq!(times.len(), 2, "{told}: two streams, whichever part is played");
    let (own_pictures, own_sound) = presented(folder, part);
    let (pictures, sound) = presented(folder, &session.shown);
    // The last picture of all may still be held back.
    let each = own_pictures.len();
    assert!(
        pictures.len() + 2 >= parts * each,
        "{told}: {} pictures of {parts} times {each}",
        pictures.len()
    );
    let own_apart = own_sound[0] - own_pictures[0];
    for begin in (0..parts).map(|number| pictures[number * each]) {
        let apart = sound.iter().map(|at| at - begin - own_apart).min_by_key(|ticks| ticks.abs()).unwrap();
        assert!(apart.abs() <= 90, "{told}: sound is {apart} ticks from where it was in the part alone");
    }
    check_distances(&pictures, told);
}

fn check_distances(pictures: &[i64], told: &str) {
    let mut shown = pictures.to_vec();
    shown.sort_unstable();
    let least = shown.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    assert!(least >= 3600, "{told}: two pictures {least} ticks apart");
}
