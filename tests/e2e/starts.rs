//! Sources that are no single clear programme in a transport stream: radio, lists, several programmes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::kit::{Daemon, LONG, Stopwatch, Upstream, judge};

/// What a listener waits at most.
const FIRST_SOUND: Duration = Duration::from_secs(2);
const SECONDS: u64 = 20;
const PROGRAMME: Duration = Duration::from_secs(SECONDS);
const PACKET_BYTES: usize = 188;
const TONE: &str = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=20";
const PICTURE: &str = "-f lavfi -i testsrc=size=160x90:rate=25:duration=20";

/// What ffmpeg makes of these arguments.
fn made(arguments: &str, ending: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("made.{ending}"));
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success(), "{arguments}");
    fs::read(&path).unwrap()
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

fn packets(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks_exact(PACKET_BYTES)
}

#[test]
fn radio_at_its_own_rate_is_heard_within_two_seconds() {
    let cover =
        "-f lavfi -i testsrc=size=64x64:duration=0.04 -map 0 -map 1 -c:v png -disposition:v attached_pic";
    let upstream = Upstream::start();
    let mut daemons = ["auto", "ffmpeg-copy"]
        .map(|mode| Daemon::start(&[("STREAM_MODE", mode), ("SESSION_IDLE_TIMEOUT", "0")]));
    for (number, arguments, ending) in [
        ("100", "-c:a libmp3lame -b:a 128k -id3v2_version 0 -write_xing 0".to_owned(), "mp3"),
        ("101", format!("{cover} -c:a libmp3lame -b:a 96k -id3v2_version 3"), "mp3"),
        ("102", "-c:a aac -b:a 64k -f adts".to_owned(), "aac"),
    ] {
        let mut sound = made(&format!("{TONE} {arguments}"), ending);
        if number != "101" {
            // A listener comes in the middle of a frame.
            sound.drain(..1001);
        }
        upstream.offer(&format!("/file/{number}"), sound, PROGRAMME);
        // Without a word about what it is ffmpeg looks at sound that begins inside a frame for long.
        let is_told = number == "101";
        for daemon in daemons.iter_mut().take(if is_told { 2 } else { 1 }) {
            daemon.channel(number, &[upstream.url(&format!("/file/{number}"))]);
            let watch = Stopwatch::start();
            let mut viewer = daemon.open(&format!("/auto/v{number}"));
            let mut recording = viewer.read(LONG).unwrap();
            assert!(watch.elapsed() < FIRST_SOUND, "{number}: {:?}", watch.elapsed());
            recording.extend(viewer.watch(Duration::from_secs(1)));
            let findings = judge(&recording);
            assert!(findings.packets > 40 && findings.faults() == 0, "{number}: {findings:?}");
        }
    }
}

#[test]
fn a_list_leads_to_its_first_stream_that_works_whatever_it_is_called() {
    let upstream = Upstream::start();
    let stream = upstream.url("/good/4000000/a");
    let missing = upstream.url("/missing/a");
    for (path, kind, list) in [
        ("/whole/one.m3u", "audio/x-mpegurl", format!("#EXTM3U\n#EXTINF:-1,One\n{missing}\n{stream}\n")),
        ("/whole/two.pls", "audio/x-scpls", format!("[playlist]\nNumberOfEntries=1\nFile1={stream}\n")),
        ("/whole/three", "text/plain", "/whole/two.pls\n".replace("/whole", &upstream.url("/whole"))),
        ("/whole/four", "audio/x-mpegurl; charset=utf-8", "/good/4000000/a\n".to_owned()),
    ] {
        upstream.offer_whole(path, kind, list.into_bytes());
    }
    for mode in ["auto", "direct", "ffmpeg-copy"] {
        let mut daemon = Daemon::start(&[("STREAM_MODE", mode), ("SESSION_IDLE_TIMEOUT", "0")]);
        // Whoever has chosen ffmpeg gets it for all that has not the name of a list.
        let names: &[_] = if mode == "ffmpeg-copy" {
            &["one.m3u", "two.pls"]
        } else {
            &["one.m3u", "two.pls", "three", "four"]
        };
        for (number, name) in (100..).zip(names) {
            daemon.channel(&number.to_string(), &[upstream.url(&format!("/whole/{name}"))]);
            let mut viewer = daemon.open(&format!("/auto/v{number}"));
            let findings = judge(&viewer.watch(Duration::from_secs(1)));
            // What ffmpeg makes of them has not the generator's packets any more.
            let faults = if mode == "ffmpeg-copy" { findings.continuity_errors } else { findings.faults() };
            assert!(findings.packets > 200 && faults == 0, "{mode} {name}: {findings:?}");
        }
    }
}

#[test]
fn a_list_that_names_itself_or_a_file_of_this_machine_leads_nowhere() {
    let upstream = Upstream::start();
    upstream.offer_whole("/whole/a.m3u", "audio/x-mpegurl", b"#EXTM3U\na.m3u\n".to_vec());
    upstream.offer_whole("/whole/b.m3u", "audio/x-mpegurl", b"#EXTM3U\nfile:///etc/hostname\n".to_vec());
    let mut daemon = Daemon::start(&[]);
    for (number, name, requests) in [("100", "a", 4), ("101", "b", 1)] {
        let path = format!("/whole/{name}.m3u");
        daemon.channel(number, &[upstream.url(&path)]);
        assert_eq!(daemon.get(&format!("/auto/v{number}")).status, 503);
        assert_eq!(upstream.requests(&path).len(), requests);
    }
}

/// Two programmes, the second with other streams than the first.
fn two_programmes() -> Vec<u8> {
    made(
        &format!(
            "{PICTURE} {TONE} -map 0 -map 1 -map 0 -map 1 -c:v libx264 -preset ultrafast -g 25 -c:a aac \
             -program program_num=11:st=0:st=1 -program program_num=12:st=2:st=3 -f mpegts"
        ),
        "ts",
    )
}

/// The streams of ffmpeg's first and second programme, and their maps.
const PIDS: [[u16; 3]; 2] = [[0x1000, 0x100, 0x101], [0x1001, 0x102, 0x103]];

/// Only the tables and streams of one programme came, and their PAT lists it and no other.
fn assert_alone(recording: &[u8], number: u16, pids: [u16; 3], name: &str) {
    let mut seen: Vec<u16> = packets(recording).map(pid).filter(|pid| *pid != 0x11).collect();
    seen.sort_unstable();
    seen.dedup();
    let mut expected = [&[0][..], &pids].concat();
    expected.sort_unstable();
    assert_eq!(seen, expected, "{name}");
    for pat in packets(recording).filter(|packet| pid(packet) == 0) {
        // A section of one entry behind the pointer.
        assert_eq!((pat[7], [pat[13], pat[14]]), (13, number.to_be_bytes()), "{name}");
    }
    let findings = judge(recording);
    assert!(findings.packets > 100 && findings.faults() == 0, "{name}: {findings:?}");
}

/// The packets of some PIDs look scrambled.
fn scrambled(bytes: &[u8], pids: &[u16]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for packet in bytes.chunks_exact_mut(PACKET_BYTES) {
        if pids.contains(&pid(packet)) {
            packet[3] |= 0x80;
        }
    }
    bytes
}

#[test]
fn of_several_programmes_one_leaves_the_first_that_is_clear_or_the_one_that_is_set() {
    let both = two_programmes();
    let upstream = Upstream::start();
    upstream.offer("/file/both", both.clone(), PROGRAMME);
    upstream.offer("/file/second", scrambled(&both, &PIDS[0][1..]), PROGRAMME);
    upstream.offer("/file/none", scrambled(&both, &[PIDS[0][1], PIDS[1][1]]), PROGRAMME);
    let mut daemon = Daemon::start(&[("SESSION_IDLE_TIMEOUT", "0")]);
    let watched = |daemon: &Daemon, number: &str| {
        daemon.open(&format!("/auto/v{number}")).watch(Duration::from_secs(2))
    };
    daemon.channel("100", &[upstream.url("/file/both")]);
    assert_alone(&watched(&daemon, "100"), 11, PIDS[0], "the first");
    daemon.channel("101", &[upstream.url("/file/second")]);
    assert_alone(&watched(&daemon, "101"), 12, PIDS[1], "the first that is clear");

    let set = |daemon: &Daemon, channel: i64, program: u16| {
        let sources = format!("/api/channels/{channel}/sources");
        let source = daemon.get(&sources).json()["sources"][0]["source_id"].clone();
        let body = json!({"program": program}).to_string();
        assert_eq!(daemon.ask("PATCH", &format!("{sources}/{source}"), &body).status, 200);
    };
    let channel = daemon.channel("102", &[format!("{}?set", upstream.url("/file/both"))]);
    set(&daemon, channel, 12);
    upstream.offer("/file/both?set", both, PROGRAMME);
    assert_alone(&watched(&daemon, "102"), 12, PIDS[1], "the one that is set");

    set(&daemon, channel, 7);
    daemon.channel("103", &[upstream.url("/file/none")]);
    for (number, reason) in [
        ("102", "programme 7 is not in the stream, which has 11, 12"),
        ("103", "startup stream is scrambled"),
    ] {
        let watch = Stopwatch::start();
        // A session that has just ended may still be there.
        let answer = crate::kit::until(LONG, "it is refused", || {
            Some(daemon.get(&format!("/auto/v{number}?duration=1"))).filter(|answer| answer.status == 503)
        });
        assert_eq!(answer.status, 503, "{number}");
        crate::kit::until(LONG, reason, || daemon.log().contains(reason).then_some(()));
        assert!(
            watch.elapsed() < Duration::from_secs(8),
            "{number} is refused at once: {:?}",
            watch.elapsed()
        );
    }
}

#[test]
fn sound_is_heard_after_five_seconds_when_the_pictures_that_are_listed_do_not_come_and_they_may_come_later() {
    let whole = made(
        &format!(
            "{PICTURE} {TONE} -map 0 -map 1 -c:v libx264 -preset ultrafast -g 25 -c:a aac -muxdelay 0 -f mpegts"
        ),
        "ts",
    );
    // No picture in the first half.
    let half = whole.len() / PACKET_BYTES / 2;
    let cut: Vec<u8> = packets(&whole)
        .enumerate()
        .flat_map(|(index, packet)| {
            if index < half && pid(packet) == 0x100 {
                [&[0x47, 0x1F, 0xFF, 0x10][..], &[0xFF; 184]].concat()
            } else {
                packet.to_vec()
            }
        })
        .collect();
    let upstream = Upstream::start();
    upstream.offer("/file/a", cut, PROGRAMME);
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/file/a")]);
    let watch = Stopwatch::start();
    let mut viewer = daemon.open("/auto/v100");
    let waited = watch.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(8), "{waited:?}");
    let recording = viewer.watch(Duration::from_secs(9));
    let of = |wanted: u16| packets(&recording).filter(|packet| pid(packet) == wanted).count();
    assert!(of(0x101) > 100 && of(0x100) > 100, "{} of sound, {} of pictures", of(0x101), of(0x100));
    assert_eq!(upstream.requests("/file/a").len(), 1);
}
