//! Whatever ffmpeg reads leaves with every sound and subtitle of the one programme, and with their languages.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tunerd::ts::crc32;

use crate::kit::{Daemon, PROGRAMME, Stopwatch, Upstream, judge, run, until};
use crate::tsgen::PACKET_BYTES;

const RECORDING: Duration = Duration::from_millis(2500);
/// What ffmpeg calls its second sound.
const SECOND_SOUND: u16 = 0x102;
/// A viewer waits for no subtitle: ffmpeg would for ten seconds.
const FIRST_PICTURE: Duration = Duration::from_secs(4);

/// ffmpeg's arguments for a picture of so many lines.
fn picture(lines: u32) -> String {
    format!("-f lavfi -i testsrc2=size={}x{lines}:rate=25:duration=40", lines * 16 / 9)
}

const TONE: &str = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=40";
const H264: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 25 -keyint_min 25 \
                    -sc_threshold 0 -b:v 300k";

fn ffmpeg(arguments: &str, output: &Path) {
    let all = format!("-v error -nostdin {arguments}");
    let all: Vec<_> = all.split_whitespace().chain([output.to_str().unwrap()]).collect();
    run("ffmpeg", &all);
}

/// A picture, and sounds in two languages and of two kinds.
pub(crate) fn two_languages(folder: &Path, lines: u32, languages: [&str; 2]) -> Vec<u8> {
    let path = folder.join(format!("{lines}.ts"));
    let [first, second] = languages;
    ffmpeg(
        &format!(
            "{} {TONE} {TONE} -map 0 -map 1 -map 2 {H264} -c:a:0 aac -c:a:1 ac3 -metadata:s:a:0 language={first} \
             -metadata:s:a:1 language={second} -f mpegts",
            picture(lines)
        ),
        &path,
    );
    fs::read(path).unwrap()
}

/// Both of a folder as the programmes 11 and 22, each with its sounds, behind a radio programme of the better one's second sound.
fn multiplex(folder: &Path) -> Vec<u8> {
    let path = folder.join("multiplex.ts");
    ffmpeg(
        &format!(
            "-i {0}/180.ts -i {0}/360.ts -map 1 -map 0 -map 1:a:1 -c copy -program program_num=7:st=6 -program \
             program_num=11:st=0:st=1:st=2 -program program_num=22:st=3:st=4:st=5 -f mpegts",
            folder.display()
        ),
        &path,
    );
    fs::read(path).unwrap()
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

/// The stream without what is sent on `pid`: it stays listed.
fn silent(stream: &[u8], silent: u16) -> Vec<u8> {
    stream.chunks(PACKET_BYTES).filter(|packet| pid(packet) != silent).flatten().copied().collect()
}

/// The stream with teletext in its table, of which nothing comes.
fn with_teletext(stream: &[u8]) -> Vec<u8> {
    const TABLE: u16 = 0x1000;
    const TELETEXT: [u8; 12] = [6, 0xE1, 0xF1, 0xF0, 7, 0x56, 5, b'd', b'e', b'u', 9, 0];
    let mut stream = stream.to_vec();
    for packet in
        stream.chunks_mut(PACKET_BYTES).filter(|packet| pid(packet) == TABLE && packet[1] & 0x40 != 0)
    {
        let section = 5 + usize::from(packet[4]);
        let end = section + 3 + usize::from(packet[section + 2]) - 4;
        packet[section + 2] += u8::try_from(TELETEXT.len()).unwrap();
        packet[end..end + TELETEXT.len()].copy_from_slice(&TELETEXT);
        let end = end + TELETEXT.len();
        let sum = crc32(&packet[section..end]);
        packet[end..end + 4].copy_from_slice(&sum.to_be_bytes());
    }
    stream
}

/// What ffprobe finds in a recording: pictures as their lines, the rest as its kind and language.
pub(crate) fn tracks(recording: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.ts");
    fs::write(&path, recording).unwrap();
    let arguments =
        ["-v", "quiet", "-probesize", "20M", "-analyzeduration", "20M", "-show_streams", "-of", "json"];
    let (text, _) = run("ffprobe", &[&arguments[..], &[path.to_str().unwrap()]].concat());
    let found: Value = serde_json::from_str(&text).unwrap();
    let name = |stream: &Value| match stream["codec_type"].as_str().unwrap() {
        "video" => stream["height"].to_string(),
        _sound_or_text => {
            let language = stream["tags"]["language"].as_str().unwrap_or("-");
            format!("{} {language}", stream["codec_name"].as_str().unwrap())
        }
    };
    found["streams"].as_array().unwrap().iter().map(name).collect()
}

/// Watches a channel of this address in this mode.
fn watched(mode: &str, url: String) -> (Vec<String>, Daemon) {
    let mut daemon = Daemon::start(&[("STREAM_MODE", mode), ("RECOVERY_FILLER_MODE", "psi")]);
    daemon.channel("100", &[url]);
    let watch = Stopwatch::start();
    let mut viewer = daemon.open("/auto/v100");
    assert!(watch.elapsed() < FIRST_PICTURE, "{mode}: {:?}", watch.elapsed());
    let recording = viewer.watch(RECORDING);
    assert_eq!(judge(&recording).faults(), 0, "{mode}");
    (tracks(&recording), daemon)
}

#[test]
fn every_sound_and_subtitle_of_the_one_programme_leaves_with_its_language() {
    let folder = tempfile::tempdir().unwrap();
    let plain = two_languages(folder.path(), 180, ["eng", "deu"]);
    two_languages(folder.path(), 360, ["fra", "ita"]);
    let upstream = Upstream::start();
    for (name, stream) in [
        ("languages", plain.clone()),
        ("teletext", with_teletext(&plain)),
        ("silent", silent(&plain, SECOND_SOUND)),
        ("multiplex", multiplex(folder.path())),
    ] {
        upstream.offer(&format!("/file/{name}"), stream, PROGRAMME);
    }
    for (mode, name, runs, expected) in [
        ("ffmpeg-copy", "languages", 1, &["180", "aac eng", "ac3 deu"][..]),
        // Asked for again by its number: for subtitles that do not come ffmpeg would hold back all else.
        ("ffmpeg-copy", "teletext", 2, &["180", "aac eng", "ac3 deu", "dvb_teletext deu"]),
        ("ffmpeg-copy", "silent", 2, &["180", "aac eng"]),
        // The radio programme in front, and the other one's sounds, are left out.
        ("ffmpeg-copy", "multiplex", 2, &["360", "aac fra", "ac3 ita"]),
        ("ffmpeg-transcode", "languages", 1, &["180", "aac eng", "aac deu"]),
    ] {
        let path = format!("/file/{name}");
        let before = upstream.requests(&path).len();
        let (tracks, daemon) = watched(mode, upstream.url(&path));
        assert_eq!(tracks, expected, "{mode} {name}: {}", daemon.log());
        assert_eq!(upstream.requests(&path).len() - before, runs, "{mode} {name}: {}", daemon.log());
    }
}

/// A master list with two qualities, the lesser one first, and its folder's files as the provider offers them. With `apart` the
/// sounds are in segments of their own, in a group for each quality.
fn qualities(upstream: &Upstream, folder: &Path, name: &str, is_apart: bool) {
    let place = folder.join(name);
    fs::create_dir(&place).unwrap();
    let (map, streams) = if is_apart {
        let group =
            |at: u32, group: &str, language: &str| format!("a:{at},agroup:{group},language:{language}");
        let [a, b, c, d] = [(0, "lo", "eng"), (1, "lo", "deu"), (2, "hi", "fra"), (3, "hi", "ita")]
            .map(|(at, of, word)| group(at, of, word));
        (
            "-map 0:v -map 0:a -map 1:v -map 1:a",
            format!("v:0,agroup:lo;v:1,agroup:hi;{a};{b};{c};{d}").replace(';', " "),
        )
    } else {
        ("-map 0:v -map 0:a:0 -map 1:v -map 1:a:0", "v:0,a:0 v:1,a:1".to_owned())
    };
    let inputs = format!("-v error -nostdin -i {0}/180.ts -i {0}/360.ts {map}", folder.display());
    let mut arguments: Vec<String> = inputs.split_whitespace().map(str::to_owned).collect();
    arguments.extend(
        "-c copy -b:v:0 300k -b:v:1 900k -f hls -hls_time 2 -hls_list_size 0 -master_pl_name master.m3u8 -var_stream_map"
            .split_whitespace()
            .map(str::to_owned),
    );
    arguments.extend([streams, place.join("%v.m3u8").to_str().unwrap().to_owned()]);
    run("ffmpeg", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    for entry in fs::read_dir(&place).unwrap() {
        let file = entry.unwrap().path();
        let path = format!("/whole/{name}/{}", file.file_name().unwrap().to_str().unwrap());
        let bytes = fs::read(&file).unwrap();
        if path.ends_with("master.m3u8") {
            upstream.offer_whole(
                &format!("/whole/{name}/live"),
                "application/vnd.apple.mpegurl",
                bytes.clone(),
            );
        }
        upstream.offer_whole(&path, "application/octet-stream", bytes);
    }
}

#[test]
fn a_programme_that_is_asked_for_is_taken_or_missed_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    two_languages(folder.path(), 180, ["eng", "deu"]);
    two_languages(folder.path(), 360, ["fra", "ita"]);
    let upstream = Upstream::start();
    upstream.offer("/file/multiplex", multiplex(folder.path()), PROGRAMME);
    let mut daemon = Daemon::start(&[
        ("STREAM_MODE", "ffmpeg-copy"),
        ("RECOVERY_FILLER_MODE", "psi"),
        ("SESSION_IDLE_TIMEOUT", "0"),
    ]);
    let channel = daemon.channel("100", &[upstream.url("/file/multiplex")]);
    let place = format!("/api/channels/{channel}/sources");
    let source = daemon.get(&place).json()["sources"][0]["source_id"].clone();
    let ask_for = |daemon: &Daemon, program: u16| {
        let body = format!("{{\"program\":{program}}}");
        assert_eq!(daemon.ask("PATCH", &format!("{place}/{source}"), &body).status, 200);
    };
    ask_for(&daemon, 22);
    let recording = daemon.open("/auto/v100").watch(RECORDING);
    assert_eq!(tracks(&recording), ["180", "aac eng", "ac3 deu"], "{}", daemon.log());
    until(FIRST_PICTURE, "the session has ended", || (daemon.tuners_in_use() == 0).then_some(()));
    ask_for(&daemon, 9);
    assert_eq!(daemon.get("/auto/v100").status, 503);
}

#[test]
fn the_sound_of_hls_is_never_that_of_another_quality() {
    let folder = tempfile::tempdir().unwrap();
    two_languages(folder.path(), 180, ["eng", "deu"]);
    two_languages(folder.path(), 360, ["fra", "ita"]);
    let upstream = Upstream::start();
    qualities(&upstream, folder.path(), "together", false);
    qualities(&upstream, folder.path(), "apart", true);
    let of_lesser = |path: &str| upstream.requests(&path.replace("master.m3u8", "00.ts")).len();
    for (mode, path, sounds) in [
        ("ffmpeg-copy", "/whole/together/master.m3u8", 1),
        // Its name does not tell what it is.
        ("ffmpeg-copy", "/whole/together/live", 1),
        ("ffmpeg-transcode", "/whole/together/master.m3u8", 1),
        ("ffmpeg-copy", "/whole/apart/master.m3u8", 2),
        ("auto", "/whole/apart/master.m3u8", 2),
    ] {
        let before = of_lesser(path);
        let (tracks, daemon) = watched(mode, upstream.url(path));
        // Which language it is lists say, and not all of them.
        let is_of_better =
            tracks.iter().all(|track| ["360", "aac", "ac3"].iter().any(|of| track.starts_with(of)));
        let languages =
            tracks.iter().filter(|track| ["aac fra", "ac3 ita"].contains(&track.as_str())).count();
        assert!(is_of_better && tracks.len() == 1 + sounds, "{mode} {path}: {tracks:?}: {}", daemon.log());
        assert!(languages == 2 || sounds == 1, "{mode} {path}: {tracks:?}: {}", daemon.log());
        // A list by another name ffmpeg has to look into itself.
        if path == "/whole/together/master.m3u8" {
            assert_eq!(of_lesser(path), before, "{mode} {path}: the lesser quality is not asked for");
        }
    }
}
