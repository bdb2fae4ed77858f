//! The profile that packets tell, compared with what ffmpeg was told to encode and with what ffprobe says of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use tunerd::base::ChildExit;
use tunerd::base::limits::PACKET_BYTES;
use tunerd::source::profile::{ProfileScanner, ffprobe};
use tunerd::source::watch::Progress;
use tunerd::ts::es::FrameRate;
use tunerd::ts::{Codec, Inspector, StreamProfile};

/// Two seconds of a stream in a file, for as long as its folder lives.
struct Clip {
    folder: TempDir,
    bytes: Vec<u8>,
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        panic!("{program} cannot be started ({error}); these tests need ffmpeg with libx264 and libx265")
    })
}

fn encode(size: &str, rate: &str, encoders: &[&str]) -> Clip {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.ts");
    let pictures = format!("color=size=64x64:rate={rate}");
    let scale = format!("scale={}", size.replace('x', ":"));
    let mut arguments = vec!["-v", "error", "-nostdin", "-f", "lavfi", "-i", &pictures];
    arguments.extend(["-f", "lavfi", "-i", "anoisesrc=sample_rate=48000", "-t", "2", "-vf", &scale]);
    arguments.extend(encoders);
    arguments.extend(["-f", "mpegts", path.to_str().unwrap()]);
    let output = run("ffmpeg", &arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Clip { bytes: std::fs::read(&path).unwrap(), folder }
}

/// The profile after these bytes, and the number of packets after which all was known.
fn scan(bytes: &[u8]) -> (StreamProfile, Option<usize>) {
    let (mut inspector, mut scanner) = (Inspector::new(), ProfileScanner::new());
    let mut complete = None;
    for (index, packet) in bytes.as_chunks::<188>().0.iter().enumerate() {
        inspector.packet(u64::try_from(index * 188).unwrap(), packet);
        if let Some(programme) = inspector.programme() {
            scanner.packet(packet, programme);
        }
        scanner.clock(inspector.last_pcr());
        if scanner.is_complete() {
            complete.get_or_insert(index);
        }
    }
    (scanner.profile(), complete)
}

fn probe(path: &Path) -> StreamProfile {
    let arguments = ffprobe::arguments(path.to_str().unwrap(), &[]).unwrap();
    let output = run("ffprobe", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    ffprobe::outcome(Some(ChildExit::from(output.status)), &output.stdout, &output.stderr).unwrap()
}

/// Checks a clip from its start, and joined in its middle.
fn check(clip: &Clip, expected: StreamProfile) {
    let bytes = &clip.bytes;
    for from in [0, bytes.len() / 188 / 3 * 188] {
        let (found, complete) = scan(&bytes[from..]);
        assert!(complete.is_some(), "not complete from {from}: {found:?}");
        assert_eq!(StreamProfile { bitrate_bps: 0, ..found }, expected, "from {from}");
    }
    let probed = probe(&clip.folder.path().join("clip.ts"));
    let found = scan(bytes).0;
    assert!((found.fps() - probed.fps()).abs() < 0.011, "{} {}", found.fps(), probed.fps());
    let same = StreamProfile { frame_rate: probed.frame_rate, bitrate_bps: probed.bitrate_bps, ..found };
    assert_eq!(same, probed, "ffprobe agrees");
}

#[test]
fn h264_with_aac() {
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-pix_fmt", "yuv420p"];
    let clip = encode("1920x1080", "30000/1001", &[&x264[..], &["-c:a", "aac", "-ac", "2"]].concat());
    check(
        &clip,
        StreamProfile {
            width: 1920,
            height: 1080,
            frame_rate: FrameRate::new(30_000, 1001),
            video_codec: Some(Codec::H264.into()),
            audio_codec: Some(Codec::Aac.into()),
            sample_rate: 48_000,
            channels: 2,
            bitrate_bps: 0,
        },
    );
}

#[test]
fn hevc_with_ac3_of_six_channels() {
    let x265 = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "keyint=20:log-level=none",
        "-pix_fmt",
        "yuv420p",
    ];
    let clip = encode("1280x720", "50", &[&x265[..], &["-c:a", "ac3", "-ac", "6"]].concat());
    check(
        &clip,
        StreamProfile {
            width: 1280,
            height: 720,
            frame_rate: FrameRate::new(50, 1),
            video_codec: Some(Codec::Hevc.into()),
            audio_codec: Some(Codec::Ac3.into()),
            sample_rate: 48_000,
            channels: 6,
            bitrate_bps: 0,
        },
    );
}

#[test]
fn interlaced_mpeg2_with_mp2() {
    let mpeg2 = [
        "-c:v",
        "mpeg2video",
        "-flags",
        "+ildct+ilme",
        "-g",
        "10",
        "-c:a",
        "mp2",
        "-ar",
        "44100",
        "-ac",
        "1",
    ];
    let clip = encode("720x576", "25", &mpeg2);
    check(
        &clip,
        StreamProfile {
            width: 720,
            height: 576,
            frame_rate: FrameRate::new(25, 1),
            video_codec: Some(Codec::Mpeg2Video.into()),
            audio_codec: Some(Codec::Mpeg1Audio.into()),
            sample_rate: 44_100,
            channels: 1,
            bitrate_bps: 0,
        },
    );
}

#[test]
fn odd_sizes_are_cropped_in_every_chroma_format() {
    for (format, size, width, height) in
        [("yuv420p", "854x482", 854, 482), ("yuv422p", "854x482", 854, 482), ("yuv444p", "853x481", 853, 481)]
    {
        for (encoder, codec) in [("libx264", Codec::H264), ("libx265", Codec::Hevc)] {
            let mut encoders = vec!["-c:v", encoder, "-preset", "ultrafast", "-g", "12", "-pix_fmt", format];
            if codec == Codec::Hevc {
                encoders.extend(["-x265-params", "log-level=none"]);
            }
            encoders.extend(["-c:a", "eac3", "-ac", "2"]);
            let clip = encode(size, "24", &encoders);
            check(
                &clip,
                StreamProfile {
                    width,
                    height,
                    frame_rate: FrameRate::new(24, 1),
                    video_codec: Some(codec.into()),
                    audio_codec: Some(Codec::Eac3.into()),
                    sample_rate: 48_000,
                    channels: 2,
                    bitrate_bps: 0,
                },
            );
        }
    }
}

#[test]
fn interlaced_h264_has_whole_frames() {
    let x264 =
        ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "tff=1:keyint=10", "-pix_fmt", "yuv420p"];
    let clip = encode("1920x1080", "25", &[&x264[..], &["-c:a", "ac3", "-ac", "2"]].concat());
    let (found, _) = scan(&clip.bytes);
    assert_eq!((found.width, found.height, found.frame_rate), (1920, 1080, FrameRate::new(25, 1)));
}

#[test]
fn without_timing_in_the_headers_the_pictures_times_tell_the_rate() {
    // x264 names the ticks of a variable rate, which no viewer could see.
    for (rate, expected) in [("25", (25, 1)), ("60000/1001", (60_000, 1001)), ("24000/1001", (24_000, 1001))]
    {
        let x264 = ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", "bframes=3:keyint=24"];
        let strip = ["-bsf:v", "h264_metadata=tick_rate=90000", "-pix_fmt", "yuv420p", "-an"];
        let clip = encode("320x240", rate, &[&x264[..], &strip].concat());
        let (found, complete) = scan(&clip.bytes);
        assert_eq!(found.frame_rate.map(|rate| (rate.num, rate.den)), Some(expected), "{rate}");
        assert!(complete.is_some());
        assert_eq!((found.audio_codec, found.channels), (None, 0));
    }
}

#[test]
fn a_picture_of_another_size_is_noticed() {
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-pix_fmt", "yuv420p", "-an"];
    let large = encode("1280x720", "50", &x264);
    let small = encode("720x576", "25", &x264);
    let (found, _) = scan(&[&large.bytes[..], &small.bytes].concat());
    assert_eq!((found.width, found.height, found.frame_rate), (720, 576, FrameRate::new(25, 1)));
}

#[test]
fn the_bitrate_is_that_of_the_multiplex() {
    let encoders = ["-c:v", "mpeg2video", "-b:v", "500k", "-an", "-muxrate", "3000000"];
    let folder = encode("320x240", "25", &encoders);
    // Two seconds are the least that is measured: the clip twice, the clock going back between.
    let (found, _) = scan(&[&folder.bytes[..], &folder.bytes].concat());
    assert!((2_900_000..3_100_000).contains(&found.bitrate_bps), "{}", found.bitrate_bps);
}

#[test]
fn lost_packets_delay_a_profile_and_do_not_falsify_it() {
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-pix_fmt", "yuv420p"];
    let clip = encode("1280x720", "25", &[&x264[..], &["-c:a", "aac", "-ac", "2"]].concat());
    let (whole, _) = scan(&clip.bytes);
    let packets = clip.bytes.as_chunks::<188>().0;
    for lost in 0..60 {
        let kept: Vec<u8> = packets
            .iter()
            .enumerate()
            .filter(|(index, _)| index % 60 != lost)
            .flat_map(|(_, packet)| *packet)
            .collect();
        let (found, _) = scan(&kept);
        let known = |found: u32, whole: u32| found == whole || found == 0;
        assert!(known(found.width, whole.width) && known(found.height, whole.height), "{found:?}");
        assert!(
            known(found.sample_rate, whole.sample_rate) && known(found.channels, whole.channels),
            "{found:?}"
        );
    }
}

#[test]
fn progress_counts_what_the_inspector_saw() {
    let encoders = ["-c:v", "mpeg2video", "-c:a", "mp2", "-muxrate", "4000000"];
    let clip = encode("320x240", "25", &encoders);
    let mut inspector = Inspector::new();
    for (packet, index) in clip.bytes.as_chunks::<188>().0.iter().zip(0u64..) {
        inspector.packet(index * 188, packet);
    }
    let counts = inspector.counts();
    let progress = Progress::of(&inspector, counts.packets * PACKET_BYTES as u64);
    assert!(progress.has_video && progress.pcr.is_some());
    assert!(counts.null > 0 && counts.video > 0 && counts.audio > 0);
    assert_eq!(progress.payload_packets, counts.video + counts.audio, "neither tables nor null packets");
    assert_eq!(
        (progress.bytes, progress.video_packets),
        (counts.packets * PACKET_BYTES as u64, counts.video)
    );
}
