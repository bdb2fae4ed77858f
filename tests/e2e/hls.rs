//! HLS from outside: what is read on the core, and what is left to ffmpeg.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cbc::cipher::{Array, BlockModeEncrypt, KeyIvInit};
use flate2::Compression;
use flate2::write::GzEncoder;
use rustls::{ServerConnection, StreamOwned};
use tunerd::ts::{Packet, PesTimes};

use crate::kit::{Daemon, Reply, Request, Segments, Upstream, children_of, judge, programme, run};
use crate::tls::server_named;
use crate::tracks::{tracks, two_languages};
use crate::tsgen::PACKET_BYTES;

const RECORDING: Duration = Duration::from_millis(2500);

/// How a provider cuts its programme, and whether it takes a process to read that.
const CUTS: &[(&str, &[&str], bool)] = &[
    ("plain", &[], false),
    ("encrypted", &["-hls_enc", "1", "-hls_enc_key", "0123456789abcdef"], false),
    // Its server does not know ranges and sends everything.
    ("ranges", &["-hls_flags", "single_file"], false),
    ("disguised", &["-hls_segment_filename", "%03d.jpg"], false),
    ("fragments", &["-bsf:a", "aac_adtstoasc", "-hls_segment_type", "fmp4"], true),
];

#[test]
fn segments_of_mpeg_ts_are_read_without_a_process_and_each_is_asked_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("programme.ts");
    fs::write(&source, programme()).unwrap();
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    for (number, (name, options, needs_process)) in (100..).zip(CUTS) {
        let place = folder.path().join(name);
        fs::create_dir(&place).unwrap();
        let mut arguments: Vec<String> = ["-v", "error", "-nostdin", "-i", source.to_str().unwrap()]
            .into_iter()
            .chain(["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0"])
            .map(str::to_owned)
            .collect();
        arguments.extend(options.iter().map(|option| match *option {
            file if file.contains('%') => place.join(file).to_str().unwrap().to_owned(),
            option => option.to_owned(),
        }));
        arguments.push(place.join("list.m3u8").to_str().unwrap().to_owned());
        run("ffmpeg", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut files = Vec::new();
        for entry in fs::read_dir(&place).unwrap() {
            let file = entry.unwrap().path();
            let path = format!("/whole/{name}/{}", file.file_name().unwrap().to_str().unwrap());
            let mut bytes = fs::read(&file).unwrap();
            if path.ends_with(".m3u8") {
                // ffmpeg names its key by where it lies on this machine.
                let place = format!("{}/", place.display());
                bytes = String::from_utf8(bytes).unwrap().replace(&place, "").into_bytes();
            }
            upstream.offer_whole(&path, "application/octet-stream", bytes);
            files.push(path);
        }
        daemon.channel(&number.to_string(), &[upstream.url(&format!("/whole/{name}/list.m3u8"))]);
        let mut viewer = daemon.open(&format!("/auto/v{number}"));
        let findings = judge(&viewer.watch(RECORDING));
        assert!(findings.packets > 500 && findings.faults() == 0, "{name}: {findings:?}");
        assert_eq!(!children_of(daemon.process()).is_empty(), *needs_process, "{name}: {}", daemon.log());
        let is_segment = |path: &&String| !path.contains("list.m3u8") && !path.ends_with(".mp4");
        for path in files.iter().filter(is_segment).filter(|_| !needs_process && *name != "ranges") {
            assert!(upstream.requests(path).len() <= 1, "{path} is asked for more than once");
        }
        drop(viewer);
    }
}

/// A programme in segments, by the names that ffmpeg gives its files.
fn cut(source: &[u8], options: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("source.ts");
    fs::write(&file, source).unwrap();
    let place = folder.path().join("cut");
    fs::create_dir(&place).unwrap();
    let fixed = format!("-v error -nostdin -i {} {options} -c copy", file.display());
    let end = format!("-f hls -hls_time 2 -hls_list_size 0 {}/", place.display());
    let list = if options.contains("var_stream_map") { "%v.m3u8" } else { "list.m3u8" };
    let all = format!("{fixed} {end}{list}");
    // A tilde stands for a blank within an argument.
    let arguments: Vec<String> = all.split_whitespace().map(|word| word.replace('~', " ")).collect();
    run("ffmpeg", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let files = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&file).unwrap()))
        .collect()
}

/// A picture with two sounds in segments of their own, an English and a German one.
fn apart() -> BTreeMap<String, Vec<u8>> {
    static MADE: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let source = two_languages(folder.path(), 180, ["eng", "deu"]);
        cut(
            &source,
            "-map 0 -master_pl_name master.m3u8 -var_stream_map \
             v:0,agroup:s~a:0,agroup:s,language:en,default:yes~a:1,agroup:s,language:de",
        )
    };
    MADE.get_or_init(make).clone()
}

/// What a stream says of its PES packets: by PID, each with its time and its payload.
pub(crate) fn pes(stream: &[u8]) -> BTreeMap<u16, Vec<(u64, Vec<u8>)>> {
    let mut found: BTreeMap<u16, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    for bytes in stream.as_chunks::<PACKET_BYTES>().0 {
        let packet = Packet::parse(bytes).unwrap();
        let Some(payload) = packet.payload() else { continue };
        let units = found.entry(packet.pid().get()).or_default();
        match PesTimes::begun_in(packet) {
            Some(times) => units.push((times.pts.ticks(), payload[9 + usize::from(payload[8])..].to_vec())),
            None => units.last_mut().into_iter().for_each(|unit| unit.1.extend_from_slice(payload)),
        }
    }
    found.retain(|_, units| !units.is_empty());
    found
}

/// Every PES packet of these segments is in the recording, but those that have not come yet. Gives how far their times are apart.
fn assert_all_there(name: &str, segments: &[u8], recorded: &[(u64, Vec<u8>)]) -> u64 {
    let of_segments = pes(segments);
    let (_, units) = of_segments.iter().find(|(_, units)| units.len() > 10).unwrap();
    // What comes last may be cut off.
    let recorded = &recorded[..recorded.len() - 1];
    let from = units.iter().position(|unit| unit.1 == recorded[0].1);
    let from = from.unwrap_or_else(|| panic!("{name}: the recording begins with something else"));
    assert!(from < 40, "{name}: {from} are missing at the beginning");
    assert!(recorded.len() > 30, "{name}: {}", recorded.len());
    for (at, (sent, came)) in units[from..].iter().zip(recorded).enumerate() {
        assert!(sent.1 == came.1, "{name}: the PES packet {at}");
        let apart = |unit: &(u64, Vec<u8>)| unit.0.wrapping_sub(sent.0) & ((1 << 33) - 1);
        assert_eq!(apart(came), recorded[0].0.wrapping_sub(units[from].0) & ((1 << 33) - 1), "{name}: {at}");
    }
    recorded[0].0.wrapping_sub(units[from].0) & ((1 << 33) - 1)
}

/// All segments of a rendition, one behind the other.
fn rendition(files: &BTreeMap<String, Vec<u8>>, number: usize) -> Vec<u8> {
    let start = number.to_string();
    let names = files.keys().filter(|name| name.starts_with(&start) && name.ends_with(".ts"));
    let mut numbered: Vec<(u32, &String)> =
        names.map(|name| (name[1..name.len() - 3].parse().unwrap(), name)).collect();
    numbered.sort();
    numbered.iter().flat_map(|(_, name)| files[*name].clone()).collect()
}

/// The frames of AAC in a stream, in segments of two seconds without a container, each behind a tag that says when it is heard.
fn without_container(stream: &[u8]) -> Vec<Vec<u8>> {
    const FRAMES: usize = 94;
    const FRAME_TICKS: u64 = 1920;
    let of_stream = pes(stream);
    let units = of_stream.values().find(|units| units.len() > 10).unwrap();
    let frames: Vec<u8> = units.iter().flat_map(|unit| unit.1.clone()).collect();
    let mut rest = frames.as_slice();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for number in 0.. {
        let [_, _, _, a, b, c, ..] = rest else { break };
        let length = usize::from(a & 3) << 11 | usize::from(*b) << 3 | usize::from(c >> 5);
        if number % FRAMES == 0 {
            let at = units[0].0 + number as u64 * FRAME_TICKS;
            let owner = b"com.apple.streaming.transportStreamTimestamp\0";
            let private = [b"PRIV\0\0\0\x35\0\0".as_slice(), owner, &at.to_be_bytes()].concat();
            segments.push([b"ID3\x04\0\0\0\0\0\x3F".as_slice(), &private].concat());
        }
        let (frame, later) = rest.split_at(length.min(rest.len()));
        segments.last_mut().unwrap().extend_from_slice(frame);
        rest = later;
    }
    segments
}

#[test]
fn sounds_in_segments_of_their_own_are_read_with_the_picture_and_every_pes_packet_is_there() {
    let files = apart();
    let [picture, english, german] = [0, 1, 2].map(|number| rendition(&files, number));
    let upstream = Segments::start(move |request| {
        files
            .get(request.path.trim_start_matches("/apart/"))
            .map_or(Reply::status(404), |file| Reply::new(file.clone()))
    });
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/apart/master.m3u8")]);
    let mut viewer = daemon.open("/auto/v100");
    let recording = viewer.watch(RECORDING);
    let findings = judge(&recording);
    assert!(findings.packets > 500 && findings.faults() == 0, "{findings:?}");
    assert_eq!(tracks(&recording), ["180", "aac eng", "ac3 deu"], "{}", daemon.log());
    assert!(children_of(daemon.process()).is_empty(), "{}", daemon.log());
    let came = pes(&recording);
    let recorded: Vec<&Vec<(u64, Vec<u8>)>> = came.values().collect();
    assert_eq!(recorded.len(), 3);
    let shifts = [("picture", &picture), ("English", &english), ("German", &german)]
        .iter()
        .zip(recorded)
        .map(|((name, segments), recorded)| assert_all_there(name, segments, recorded))
        .collect::<Vec<_>>();
    assert!(
        shifts.iter().all(|shift| *shift == shifts[0]),
        "pictures and sounds are as far apart as they were: {shifts:?}"
    );
    let mut asked = upstream.requests("/apart/");
    assert!(asked.len() > 12, "{asked:?}");
    asked.sort();
    assert!(asked.windows(2).all(|pair| pair[0] != pair[1]), "{asked:?}");
}

#[test]
fn one_connection_serves_lists_segments_and_keys_where_the_server_keeps_it() {
    let files = Arc::new(apart());
    let folder = tempfile::tempdir().unwrap();
    let (config, authority) = server_named("127.0.0.1", folder.path());
    let mut daemon = Daemon::start(&[("UPSTREAM_CA_FILE", authority.to_str().unwrap())]);
    let answer = |closes: bool| {
        let files = Arc::clone(&files);
        move |request: &Request<'_>| {
            let file = files.get(request.path.trim_start_matches("/apart/"));
            file.map_or(Reply::status(404), |file| Reply { closes, ..Reply::new(file.clone()) })
        }
    };
    let encrypted =
        move |stream| StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
    for (number, scheme, upstream, keeps) in [
        (100, "http", Segments::start(answer(false)), true),
        (200, "https", Segments::start_as(answer(false), encrypted), true),
        (300, "http", Segments::start(answer(true)), false),
    ] {
        daemon.channel(
            &number.to_string(),
            &[format!("{scheme}://127.0.0.1:{}/apart/master.m3u8", upstream.port())],
        );
        let viewer = daemon.open(&format!("/auto/v{number}")).watch(RECORDING);
        let findings = judge(&viewer);
        assert!(findings.packets > 500 && findings.faults() == 0, "{number}: {findings:?}");
        let asked = upstream.requests("/").len();
        assert!(asked > 12, "{number}: {asked}");
        assert_eq!(upstream.connections(), if keeps { 1 } else { asked }, "{number}: of {asked} requests");
    }
}

/// Segments in the list, and those of before.
const WINDOW: usize = 6;

/// A list of this programme as it is so long after it was first asked for, each segment written by `line`.
fn live(passed: Duration, segment: Duration, line: impl Fn(usize) -> String) -> String {
    let end = WINDOW + usize::try_from(passed.as_millis() / segment.as_millis()).unwrap();
    let first = end - WINDOW;
    let lines: String = (first..end).map(|number| format!("#EXTINF:2,\n{}\n", line(number))).collect();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{lines}")
}

const SEGMENT: Duration = Duration::from_secs(2);

fn ts(number: usize) -> String {
    format!("{number}.ts")
}

fn number_in(path: &str) -> Option<usize> {
    path.rsplit('/').next()?.split('.').next()?.parse().ok()
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

fn encrypted(segment: &[u8], key: u8, number: usize) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    let padding = 16 - bytes.len() % 16;
    bytes.extend(std::iter::repeat_n(u8::try_from(padding).unwrap(), padding));
    let iv = (number as u128).to_be_bytes();
    let mut cipher = cbc::Encryptor::<aes::Aes128>::new(&[key; 16].into(), &iv.into());
    cipher.encrypt_blocks(Array::slice_as_chunks_mut(&mut bytes).0);
    bytes
}

/// Made after what providers send; all but the fragments are read here.
const SHAPES: [&str; 26] = [
    "lesser-first",
    "better-first",
    "sounds",
    "no-container",
    "subtitles",
    "key",
    "rotation",
    "ranges",
    "whole-for-ranges",
    "discontinuity",
    "disguised",
    "junk",
    "stale",
    "missing",
    "target",
    "reset",
    "fast",
    "moved-list",
    "moved-segments",
    "cookie",
    "relative",
    "absolute",
    "gzip",
    "vod",
    "event",
    "dates",
];

/// What the provider of all shapes has.
struct Shapes {
    segments: Vec<Vec<u8>>,
    apart: BTreeMap<String, Vec<u8>>,
    /// The English sound of that.
    sound: Vec<Vec<u8>>,
}

impl Shapes {
    fn answer(&self, request: &Request<'_>) -> Option<Reply> {
        let (shape, rest) = request.path.trim_start_matches('/').split_once('/')?;
        let passed = request.passed;
        let is_list = rest.ends_with(".m3u8");
        let segment = || self.segments.get(number_in(rest)?).cloned();
        if is_list {
            return self.list(shape, rest, request);
        }
        Some(match shape {
            "no-container" if rest.ends_with(".aac") => Reply::new(self.sound.get(number_in(rest)?)?.clone()),
            "sounds" | "no-container" => Reply::new(self.apart.get(rest)?.clone()),
            "key" | "rotation" if rest.starts_with("key") => {
                Reply::new([u8::try_from(number_in(&rest[3..])?).ok()?; 16])
            }
            "key" => Reply::new(encrypted(&segment()?, 7, number_in(rest)?)),
            "rotation" => {
                Reply::new(encrypted(&segment()?, u8::try_from(number_in(rest)? / 2).ok()?, number_in(rest)?))
            }
            "ranges" => {
                let (from, length) = request.range()?;
                Reply { status: 206, ..Reply::new(&self.segments.concat()[from..from + length]) }
            }
            "whole-for-ranges" => Reply::new(self.segments.concat()),
            "disguised" => Reply::new([b"\x89PNG\r\n\x1A\n0000IHDR".as_slice(), &segment()?].concat())
                .with("Content-Type: image/png"),
            "junk" => Reply::new([b"ID3\x04\0\0\0\0\0\x3F".as_slice(), &[0; 63], &segment()?].concat()),
            "missing" if number_in(rest) == Some(4) => Reply::status(404),
            "moved-segments" if !rest.starts_with("edge/") => {
                Reply::to(&format!("/moved-segments/edge/{rest}"))
            }
            "discontinuity" => {
                Reply::new(self.segments.get((number_in(rest)? * 7) % self.segments.len())?.clone())
            }
            _ if passed > Duration::from_secs(60) => return None,
            _ => Reply::new(segment()?),
        })
    }

    fn list(&self, shape: &str, rest: &str, request: &Request<'_>) -> Option<Reply> {
        let (passed, plain) = (request.passed, live(request.passed, SEGMENT, ts));
        let variants = |first: &str, second: &str| format!("#EXTM3U\n{first}{second}");
        let hd = "#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=320x180\nhd/list.m3u8\n";
        let sd = "#EXT-X-STREAM-INF:BANDWIDTH=200000,RESOLUTION=160x90\nsd/list.m3u8\n";
        let is_first = rest == "list.m3u8";
        let whole = || {
            (0..self.segments.len()).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect::<String>()
        };
        let parts = || {
            let end = WINDOW + usize::try_from(passed.as_millis() / 2000).unwrap_or(0);
            let length = |number: usize| self.segments[number].len();
            live(passed, SEGMENT, |number| {
                assert!(number < end);
                let from: usize = (0..number).map(length).sum();
                format!("#EXT-X-BYTERANGE:{}@{from}\nall.ts", length(number))
            })
        };
        let text = match shape {
            "lesser-first" if is_first => variants(sd, hd),
            "better-first" if is_first => variants(hd, sd),
            "no-container" if is_first => {
                "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",LANGUAGE=\"en\",URI=\"en.m3u8\"\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n0.m3u8\n"
                    .to_owned()
            }
            "no-container" if rest == "en.m3u8" => {
                let lines = (0..self.sound.len()).map(|number| format!("#EXTINF:2.005,\n{number}.aac\n"));
                format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}#EXT-X-ENDLIST\n", lines.collect::<String>())
            }
            "sounds" | "no-container" => {
                return Some(Reply::new(self.apart.get(&rest.replace("list", "master"))?.clone()));
            }
            "subtitles" if is_first => variants(
                "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"x\",URI=\"s.m3u8\"\n",
                &hd.replace("BANDWIDTH", "SUBTITLES=\"s\",BANDWIDTH"),
            ),
            "key" => plain.replace("#EXT-X-MEDIA", "#EXT-X-KEY:METHOD=AES-128,URI=\"key7\"\n#EXT-X-MEDIA"),
            "rotation" => live(passed, SEGMENT, |number| {
                format!("#EXT-X-KEY:METHOD=AES-128,URI=\"key{}\"\n{number}.ts", number / 2)
            }),
            "ranges" | "whole-for-ranges" => parts(),
            "discontinuity" => live(passed, SEGMENT, |number| format!("#EXT-X-DISCONTINUITY\n{number}.ts")),
            "disguised" => live(passed, SEGMENT, |number| format!("{number}.png")),
            "stale" => live(passed.saturating_sub(Duration::from_secs(2)), SEGMENT, ts),
            "target" => plain.replace("DURATION:2", "DURATION:60"),
            "reset" if passed > Duration::from_secs(1) => {
                let number = plain.lines().find(|line| line.contains("SEQUENCE"))?;
                plain.replace(number, "#EXT-X-MEDIA-SEQUENCE:0")
            }
            "reset" => plain.replace("SEQUENCE:", "SEQUENCE:900"),
            "fast" => live(passed, SEGMENT / 2, ts),
            "moved-list" if is_first => return Some(Reply::to("/moved-list/edge/now.m3u8")),
            "cookie" if !request.head.contains("\r\nCookie: seen=1\r\n") => {
                return Some(Reply::to("/cookie/list.m3u8").with("Set-Cookie: seen=1; Path=/"));
            }
            "relative" => live(passed, SEGMENT, |number| format!("../relative/./x/{number}.ts")),
            "absolute" => {
                let host = request.head.lines().find_map(|line| line.strip_prefix("Host: "))?;
                live(passed, SEGMENT, |number| format!("http://{host}/absolute/{number}.ts"))
            }
            "gzip" => return Some(Reply::new(packed(&plain)).with("Content-Encoding: gzip")),
            "vod" => format!(
                "#EXTM3U\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:2\n{}#EXT-X-ENDLIST\n",
                whole()
            ),
            "event" => plain.replace("#EXT-X-MEDIA", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA"),
            "dates" => live(passed, SEGMENT, |number| {
                format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-28T20:00:{:02}.000+01:00\n{number}.ts", number * 2)
            }),
            _plain => plain,
        };
        Some(Reply::new(text))
    }
}

#[test]
fn every_shape_of_hls_is_read_without_a_process_and_each_segment_is_asked_for_once() {
    let files = cut(&programme(), "");
    let segments = (0..).map_while(|number| files.get(&format!("list{number}.ts")).cloned()).collect();
    let apart = apart();
    let shapes = Shapes { segments, sound: without_container(&rendition(&apart, 1)), apart };
    assert!(shapes.segments.len() >= 19, "{}", shapes.segments.len());
    let upstream =
        Segments::start(move |request| shapes.answer(request).unwrap_or_else(|| Reply::status(404)));
    let mut daemon = Daemon::start(&[("TUNER_COUNT", "40"), ("TUNE_BACKOFF_MAX_TUNES", "0")]);
    for (number, shape) in (100..).zip(SHAPES) {
        daemon.channel(&number.to_string(), &[upstream.url(&format!("/{shape}/list.m3u8"))]);
    }
    let recordings: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let daemon = &daemon;
        let watch =
            |number: usize| scope.spawn(move || daemon.open(&format!("/auto/v{number}")).watch(RECORDING));
        let viewers: Vec<_> = (100..100 + SHAPES.len()).map(watch).collect();
        viewers.into_iter().map(|viewer| viewer.join().unwrap()).collect()
    });
    assert!(children_of(daemon.process()).is_empty(), "{}", daemon.log());
    for (shape, recording) in SHAPES.iter().zip(recordings) {
        let findings = judge(&recording);
        assert!(findings.packets > 500 && findings.faults() == 0, "{shape}: {findings:?}: {}", daemon.log());
        let mut asked = upstream.requests(&format!("/{shape}/"));
        asked.retain(|request| !request.contains(".m3u8"));
        let count = asked.len();
        asked.sort();
        asked.dedup();
        assert!(count >= 3 && asked.len() == count, "{shape}: {count} requests for {asked:?}");
        if *shape == "no-container" {
            assert_eq!(tracks(&recording), ["180", "aac eng"]);
        }
        let has = |part: &str| asked.iter().any(|request| request.contains(part));
        assert!(!has("/sd/"), "{shape}: the lesser quality is left alone");
    }
}
