//! Whenever a viewer comes, its first picture decodes. Judged by ffmpeg.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::kit::{Daemon, LONG, PROGRAMME, Stopwatch, Upstream, judge, programme, run};
use crate::tsgen::PACKET_BYTES;

/// ffmpeg's multiplexer numbers streams from here: video, then audio.
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;
const RECORDING: Duration = Duration::from_millis(2500);
/// No multiple of a picture's time or of the second between key frames.
const STAGGER: Duration = Duration::from_millis(371);

/// Records `count` viewers who come one after the other, and judges each recording.
fn assert_each_join_decodes(settings: &[(&str, &str)], producer: &str, count: u32) {
    let upstream = Upstream::start();
    upstream.offer("/file/a", programme(), PROGRAMME);
    let mut daemon = Daemon::start(settings);
    daemon.channel("100", &[upstream.url("/file/a")]);
    let recordings: Vec<_> = std::thread::scope(|scope| {
        let watch = Stopwatch::start();
        let daemon = &daemon;
        let viewers = (0..count).map(|number| {
            scope.spawn(move || {
                while let Some(left) = watch.left_of(STAGGER * number) {
                    std::thread::park_timeout(left);
                }
                daemon.open("/auto/v100").watch(RECORDING)
            })
        });
        let viewers: Vec<_> = viewers.collect();
        viewers.into_iter().map(|viewer| viewer.join().unwrap()).collect()
    });
    let told = daemon.tuners()["tuners"][0]["producer"].clone();
    assert!(told.as_str().unwrap().starts_with(producer), "{told}");
    let folder = tempfile::tempdir().unwrap();
    for (number, recording) in recordings.iter().enumerate() {
        let findings = judge(recording);
        assert!(findings.packets > 500 && findings.faults() == 0, "viewer {number}: {findings:?}");
        let path = folder.path().join(format!("{number}.ts"));
        fs::write(&path, without_torn_end(recording)).unwrap();
        assert_decodes(&path);
    }
}

/// Without the last, unfinished unit of each stream: what a viewer cut off is no fault of the stream.
fn without_torn_end(recording: &[u8]) -> Vec<u8> {
    let packets = recording.as_chunks::<PACKET_BYTES>().0;
    let pid = |packet: &[u8; PACKET_BYTES]| u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
    let last_unit =
        |wanted| packets.iter().rposition(|packet| pid(packet) == wanted && packet[1] & 0x40 != 0).unwrap();
    let (video, audio) = (last_unit(VIDEO_PID), last_unit(AUDIO_PID));
    let is_whole = |(index, packet): &(usize, &[u8; PACKET_BYTES])| match pid(packet) {
        VIDEO_PID => *index < video,
        AUDIO_PID => *index < audio,
        _ => true,
    };
    packets.iter().enumerate().filter(is_whole).flat_map(|(_, packet)| *packet).collect()
}

/// The first picture is a key frame, and nothing in the recording is wrong to a decoder.
fn assert_decodes(path: &Path) {
    let path = path.to_str().unwrap();
    let show = "-v error -select_streams v:0 -read_intervals %+#1 -show_entries frame=key_frame,pict_type -of csv=p=0";
    let mut arguments: Vec<_> = show.split_whitespace().collect();
    arguments.push(path);
    let (frame, complaints) = run("ffprobe", &arguments);
    assert!(frame.starts_with("1,I") && complaints.is_empty(), "{path}: {frame}{complaints}");
    let (_, complaints) = run("ffmpeg", &["-v", "warning", "-nostdin", "-i", path, "-f", "null", "-"]);
    assert_eq!(complaints, "", "{path}");
}

/// At the live edge every viewer starts elsewhere; behind it all start where the ring does.
const AT_THE_EDGE: (&str, &str) = ("SUBSCRIBER_JOIN_LAG_BYTES", "0");

#[test]
fn every_join_of_a_direct_source_decodes_from_its_first_picture() {
    assert_each_join_decodes(&[("STREAM_MODE", "direct"), AT_THE_EDGE], "direct", 20);
}

#[test]
fn every_join_of_a_remuxed_source_decodes_from_its_first_picture() {
    assert_each_join_decodes(&[("STREAM_MODE", "ffmpeg-copy"), AT_THE_EDGE], "ffmpeg-copy", 10);
}

#[test]
fn every_join_of_an_encoded_source_decodes_from_its_first_picture() {
    assert_each_join_decodes(&[("STREAM_MODE", "ffmpeg-transcode"), AT_THE_EDGE], "ffmpeg-transcode", 10);
}

#[test]
fn every_join_behind_the_live_edge_decodes_from_its_first_picture() {
    assert_each_join_decodes(&[("SUBSCRIBER_JOIN_LAG_BYTES", "300000")], "direct", 10);
}

#[test]
fn a_playlist_of_segments_is_played_whether_its_name_says_so_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let (source, list) = (folder.path().join("programme.ts"), folder.path().join("list.m3u8"));
    fs::write(&source, programme()).unwrap();
    let arguments = ["-v", "error", "-nostdin", "-i", source.to_str().unwrap(), "-c", "copy", "-f", "hls"];
    run(
        "ffmpeg",
        &[&arguments[..], &["-hls_time", "2", "-hls_list_size", "0", list.to_str().unwrap()]].concat(),
    );
    let upstream = Upstream::start();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        if name == "list.m3u8" {
            upstream.offer_whole("/whole/channel", "application/vnd.apple.mpegurl", bytes.clone());
            upstream.offer_whole("/whole/list.m3u8", "application/vnd.apple.mpegurl", bytes);
        } else {
            upstream.offer_whole(&format!("/whole/{name}"), "video/mp2t", bytes);
        }
    }
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/whole/list.m3u8")]);
    daemon.channel("200", &[upstream.url("/whole/channel")]);
    for (path, asked) in [("/auto/v100", ("/whole/list.m3u8", 1)), ("/auto/v200", ("/whole/channel", 2))] {
        let recording = daemon.open(path).watch(RECORDING);
        let findings = judge(&recording);
        assert!(findings.packets > 500 && findings.faults() == 0, "{path}: {findings:?}");
        let file = folder.path().join("recording.ts");
        fs::write(&file, without_torn_end(&recording)).unwrap();
        assert_decodes(&file);
        // What the name does not say, tunerd finds out by asking, and asks again for the list.
        assert_eq!(upstream.requests(asked.0).len(), asked.1, "{path}");
    }
}

#[test]
fn the_test_pattern_decodes_from_its_first_picture() {
    let mut daemon = Daemon::start(&[("SOURCE_SCHEMES", "test")]);
    daemon.channel("100", &["test://pattern?bitrate=1000000&size=320x180&rate=25".to_owned()]);
    let mut viewer = daemon.open("/auto/v100");
    let recording = viewer.watch(Duration::from_secs(4));
    assert_eq!(judge(&recording).faults(), 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pattern.ts");
    fs::write(&path, without_torn_end(&recording)).unwrap();
    assert_decodes(&path);
    assert!(viewer.read(LONG).is_ok());
}
