//! What `ts` finds in streams that ffmpeg has made, compared with what ffprobe finds in them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tunerd::base::limits::PACKET_BYTES;
use tunerd::ts::{Aligner, EntryPoint, Inspector, Pcr, write_join, write_skip};

const PICTURES: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25"];
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=sample_rate=48000"];

/// A stream in a file, for as long as its folder lives.
struct Encoded {
    _folder: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program} cannot be started ({error}); these tests need ffmpeg with libx264 and libx265, which scripts/test installs")
        });
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Four seconds of the inputs through the encoders.
fn encode(inputs: &[[&str; 4]], encoders: &[&str]) -> Encoded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream.ts");
    let mut arguments = vec!["-v", "error", "-nostdin"];
    arguments.extend(inputs.iter().flatten());
    arguments.extend(["-t", "4"]);
    arguments.extend(encoders);
    arguments.extend(["-f", "mpegts", path.to_str().unwrap()]);
    run("ffmpeg", &arguments, &[]);
    let bytes = std::fs::read(&path).unwrap();
    Encoded { path, bytes, _folder: folder }
}

/// Position and presentation time of every key frame of the first video stream.
fn key_frames(path: &Path) -> Vec<(u64, u64)> {
    let entries = ["-show_packets", "-show_entries", "packet=pts,pos,flags"];
    let mut arguments = vec!["-v", "error", "-select_streams", "v:0"];
    arguments.extend(entries);
    arguments.extend(["-of", "default=noprint_wrappers=1:nokey=0", path.to_str().unwrap()]);
    let output = String::from_utf8(run("ffprobe", &arguments, &[]).stdout).unwrap();
    let (mut pts, mut position, mut found) = (None, None, Vec::new());
    for line in output.lines() {
        match line.split_once('=') {
            Some(("pts", number)) => pts = number.parse().ok(),
            Some(("pos", number)) => position = number.parse().ok(),
            Some(("flags", flags)) if flags.contains('K') => found.push((position.unwrap(), pts.unwrap())),
            _ => {}
        }
    }
    found
}

/// What is found in bytes that arrive in uneven pieces, the first of them at a position.
fn inspect(position: u64, bytes: &[u8]) -> (Inspector, Vec<EntryPoint>) {
    let mut inspector = Inspector::new();
    let mut aligner = Aligner::new();
    let mut found = Vec::new();
    let (mut ring, mut committed, mut left) = (Vec::new(), 0, bytes);
    let mut piece = 1;
    while !left.is_empty() {
        piece = (piece * 7 + 13) % 5001;
        let (now, later) = left.split_at(left.len().min(piece));
        left = later;
        ring.extend_from_slice(now);
        let aligned = aligner.align(&mut ring[committed..]);
        for packet in ring[committed..committed + aligned.packets_bytes].as_chunks().0 {
            inspector.packet(position + u64::try_from(committed).unwrap(), packet);
            found.extend(inspector.take_entry_point());
            committed += packet.len();
        }
        ring.truncate(committed + aligned.rest_bytes);
    }
    assert_eq!(ring, bytes, "aligned bytes pass unchanged");
    (inspector, found)
}

fn places(found: &[EntryPoint]) -> Vec<(u64, u64)> {
    found.iter().map(|entry| (entry.position, entry.pts.unwrap().ticks())).collect()
}

/// Checks a stream with pictures whose codec is `video`, from its start and joined behind its first key frame.
fn check(encoded: &Encoded, video: &str, audio: &str) {
    let (inspector, found) = inspect(0, &encoded.bytes);
    let inventory = inspector.inventory();
    assert_eq!(inventory.method.as_str(), "pmt");
    let names = (inventory.video_codecs.to_string(), inventory.audio_codecs.to_string());
    assert_eq!(names, (video.to_owned(), audio.to_owned()));
    let state = if audio.is_empty() { "video_only" } else { "video_audio" };
    assert_eq!(inventory.component_state().as_str(), state);
    let expected = key_frames(&encoded.path);
    assert!(expected.len() >= 4, "{expected:?}");
    assert_eq!(places(&found), expected);
    assert!(found.iter().all(|entry| entry.parameter_sets && entry.codec.as_str() == video));
    let counts = inspector.counts();
    assert_eq!((counts.continuity_gaps, counts.duplicates, counts.transport_errors), (0, 0, 0));
    assert_eq!(inspector.psi_errors(), 0);
    assert_eq!(counts.packets * PACKET_BYTES as u64, u64::try_from(encoded.bytes.len()).unwrap());
    // The clock of an entry point is a little before its presentation time.
    for entry in &found {
        let lead = entry.pts.unwrap().since(entry.snapshot.pcr().map(Pcr::to_pts).unwrap());
        assert!((0..200_000).contains(&lead), "{lead} ticks");
    }

    let cut = expected[0].0 + 188;
    let (_, found) = inspect(cut, &encoded.bytes[usize::try_from(cut).unwrap()..]);
    assert_eq!(places(&found), expected[1..]);
}

#[test]
fn h264_with_aac_enters_at_idr_pictures() {
    let encoders = ["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-c:a", "aac"];
    check(&encode(&[PICTURES, SOUND], &encoders), "h264", "aac");
}

#[test]
fn h264_with_intra_refresh_enters_at_recovery_points() {
    let x264 = "intra-refresh=1:keyint=25";
    let encoders = ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", x264, "-c:a", "ac3"];
    check(&encode(&[PICTURES, SOUND], &encoders), "h264", "ac3");
}

#[test]
fn h264_with_open_gops_and_eac3_enters_at_recovery_points() {
    let x264 = "open-gop=1:keyint=25:bframes=3";
    let encoders = ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", x264, "-c:a", "eac3"];
    check(&encode(&[PICTURES, SOUND], &encoders), "h264", "eac3");
}

#[test]
fn hevc_with_open_gops_enters_at_cra_pictures() {
    let x265 = "open-gop=1:keyint=25:log-level=none";
    let encoders = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", x265];
    check(&encode(&[PICTURES], &encoders), "hevc", "");
}

#[test]
fn mpeg2_with_mp2_enters_at_sequence_headers() {
    let encoders = ["-c:v", "mpeg2video", "-g", "15", "-bf", "2", "-c:a", "mp2"];
    check(&encode(&[PICTURES, SOUND], &encoders), "mpeg2video", "mpeg1audio");
}

#[test]
fn mpeg4_enters_at_vol_headers() {
    let encoders = ["-c:v", "mpeg4", "-g", "15", "-c:a", "aac"];
    check(&encode(&[PICTURES, SOUND], &encoders), "mpeg4video", "aac");
}

#[test]
fn sound_alone_enters_at_its_pes_packets() {
    let encoded = encode(&[SOUND], &["-c:a", "aac"]);
    let (inspector, found) = inspect(0, &encoded.bytes);
    let inventory = inspector.inventory();
    assert_eq!(inventory.component_state().as_str(), "audio_only");
    assert_eq!(inventory.audio_codecs.to_string(), "aac");
    assert!((8..=16).contains(&found.len()), "{} entry points in four seconds", found.len());
}

/// Frames that ffmpeg decodes, and what it complains about.
fn decode(bytes: &[u8]) -> (usize, String) {
    let arguments = ["-v", "warning", "-f", "mpegts", "-i", "pipe:0", "-map", "0:v", "-f", "framecrc", "-"];
    let output = run("ffmpeg", &arguments, bytes);
    let frames = String::from_utf8(output.stdout).unwrap();
    let frames = frames.lines().filter(|line| !line.starts_with('#')).count();
    (frames, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_decoder_starts_cleanly_at_an_entry_point_and_survives_a_skip() {
    let encoders = ["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-c:a", "aac"];
    let encoded = encode(&[PICTURES, SOUND], &encoders);
    let (_, found) = inspect(0, &encoded.bytes);
    let from = |entry: &EntryPoint| &encoded.bytes[usize::try_from(entry.position).unwrap()..];

    let mut joined = Vec::new();
    write_join(&found[1].snapshot, &mut joined);
    assert_eq!(joined[..3], [0x47, 0x40, 0x00], "a PAT comes first");
    joined.extend_from_slice(from(&found[1]));
    assert_eq!(decode(&joined), (75, String::new()));

    // The first second, then the last.
    let first = &encoded.bytes[..usize::try_from(found[1].position).unwrap()];
    let mut skip = Vec::new();
    write_skip(&found[3].snapshot, &mut skip);
    let (frames, complaints) = decode(&[first, &skip, from(&found[3])].concat());
    assert!((49..=50).contains(&frames), "{frames} frames");
    assert!(!complaints.contains("corrupt"), "{complaints}");
    let (_, complaints) = decode(&[first, from(&found[3])].concat());
    assert!(
        complaints.contains("corrupt"),
        "an unsignalled hole must be noticed, or the above proves nothing"
    );
}
