//! What is said of a source's requests holds for all of them, whoever asks: our client for streams, the one for HLS, ffmpeg, and the
//! one for the playlist.

use std::fs;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Daemon, LONG, Process, Upstream, Viewer, children_of, judge, programme, run, until};

const RECORDING: Duration = Duration::from_millis(700);
const MOVED: &str = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: ";
/// Channels end with their last viewer, and slates take no processor.
const QUICK: [(&str, &str); 4] = [
    ("SESSION_IDLE_TIMEOUT", "0"),
    ("RECOVERY_FILLER_MODE", "psi"),
    ("LOG_LEVEL", "trace"),
    ("TUNER_COUNT", "32"),
];

/// The programme as a stream, in segments that need a key, and in fragments that ffmpeg reads.
struct Media {
    files: Vec<(String, Vec<u8>)>,
}

impl Media {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("a.ts"), programme()).unwrap();
        fs::write(path("key"), [7; 16]).unwrap();
        fs::write(path("info"), format!("key\n{}\n", path("key"))).unwrap();
        for (list, arguments) in [
            ("list.m3u8", format!("-hls_key_info_file {}", path("info"))),
            (
                "parts.m3u8",
                "-bsf:a aac_adtstoasc -hls_segment_type fmp4 -hls_fmp4_init_filename parts.mp4".into(),
            ),
        ] {
            let all = format!(
                "-v error -nostdin -i {} -c copy {arguments} -f hls -hls_time 2 -hls_list_size 0 {}",
                path("a.ts"),
                path(list)
            );
            run("ffmpeg", &all.split(' ').collect::<Vec<_>>());
        }
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| {
            let file = entry.unwrap().path();
            (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(file).unwrap())
        });
        Self { files: files.collect() }
    }

    /// Offers it below a folder, with more lines in the heads of answers, by the name of what is asked for.
    fn offer(&self, upstream: &Upstream, folder: &str, lines: impl Fn(&str) -> String) {
        for (name, bytes) in &self.files {
            let length = bytes.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close{}", lines(name));
            upstream.offer_raw(&format!("{folder}/{name}"), &head, bytes);
        }
        for (from, to) in [("start.ts", "a.ts"), ("start.m3u8", "list.m3u8"), ("begin.m3u8", "parts.m3u8")] {
            upstream.offer_raw(&format!("{folder}/{from}"), &format!("{MOVED}{to}{}", lines(from)), b"");
        }
    }
}

/// Who reads: the mode, the file it begins with, what it has to ask for at least, and its name.
const READERS: [(&str, &str, &[&str], &str); 6] = [
    ("direct", "start.ts", &["start.ts", "a.ts"], "direct:"),
    ("direct", "start.m3u8", &["start.m3u8", "list.m3u8", "key", "list0.ts"], "direct:"),
    ("auto", "begin.m3u8", &["begin.m3u8", "parts.m3u8", "parts.mp4", "parts0.m4s"], "ffmpeg-copy:"),
    ("ffmpeg-copy", "start.ts", &["start.ts", "a.ts"], "ffmpeg-copy:"),
    ("ffmpeg-copy", "start.m3u8", &["start.m3u8", "list.m3u8", "key", "list0.ts"], "ffmpeg-copy:"),
    ("ffmpeg-transcode", "start.ts", &["start.ts", "a.ts"], "ffmpeg-transcode:"),
];

const BOX: &str = "User-Agent: Box/7.1 (TV)";
const REFERER: &str = "Referer: http://portal.example/watch";
const ORIGIN: &str = "Origin: http://portal.example";
const KEY: &str = "X-Key: canary-hd-8812";

/// Ways in which an entry says what is to be sent; `{url}` stands for the address.
const NOTATIONS: [(&str, &[&str]); 6] = [
    (
        "{url}|User-Agent=Box/7.1 (TV)&Referer=http://portal.example/watch&X-Key=canary-hd-8812",
        &[BOX, REFERER, KEY],
    ),
    (
        "#EXTVLCOPT:http-user-agent=Box/7.1 (TV)\n#EXTVLCOPT:http-referrer=http://portal.example/watch\n\
         #EXTVLCOPT:http-origin=http://portal.example\n{url}",
        &[BOX, REFERER, ORIGIN],
    ),
    (
        "#KODIPROP:inputstream.adaptive.stream_headers=User-Agent=Box%2F7.1%20%28TV%29&X-Key=canary-hd-8812\n{url}",
        &[BOX, KEY],
    ),
    ("#EXTHTTP:{\"User-Agent\":\"Box/7.1 (TV)\",\"X-Key\":\"canary-hd-8812\"}\n{url}", &[BOX, KEY]),
    ("user-agent=\"Box/7.1 (TV)\" http-referrer=\"http://portal.example/watch\"\t{url}", &[BOX, REFERER]),
    // Of its profile.
    ("{url}", &[BOX, KEY]),
];

fn done(daemon: &Daemon, method: &str, path: &str, body: &Value, status: u16) {
    let answer = daemon.ask(method, path, &body.to_string());
    assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
}

/// The arguments of every process below this one.
fn arguments_below(process: Process) -> Vec<String> {
    let children = children_of(process);
    let own =
        children.iter().filter_map(|child| fs::read_to_string(format!("/proc/{}/cmdline", child.0)).ok());
    let mut all: Vec<_> = own.collect();
    all.extend(children.into_iter().flat_map(arguments_below));
    all
}

/// No canary stands anywhere that others may look at.
fn assert_discreet(daemon: &Daemon, what: &str) {
    let mut places: Vec<_> = arguments_below(daemon.process());
    for path in
        ["/api/admin/tuners", "/api/channels", "/api/items", "/api/profiles", "/lineup.json", "/metrics"]
    {
        places.push(String::from_utf8_lossy(&daemon.get(path).body).into_owned());
    }
    places.push(daemon.log());
    let leak = places.iter().flat_map(|place| place.lines()).find(|line| line.contains("canary"));
    assert_eq!(leak, None, "{what}");
}

/// Somebody who watches each of these channels, at the same time.
fn watch_all(daemon: &Daemon, numbers: &[String]) -> Vec<(Viewer, Vec<u8>)> {
    let watch = |number: &String| {
        let mut viewer = daemon.open(&format!("/auto/v{number}"));
        let recording = viewer.watch(RECORDING);
        (viewer, recording)
    };
    std::thread::scope(|scope| {
        let watching: Vec<_> = numbers.iter().map(|number| scope.spawn(move || watch(number))).collect();
        watching.into_iter().map(|watching| watching.join().unwrap()).collect()
    })
}

#[test]
fn header_fields_are_sent_with_every_request_whoever_makes_it() {
    let media = Media::new();
    for (mode, first, asked, producer) in READERS {
        let upstream = Upstream::start();
        let mut daemon =
            Daemon::start(&[&QUICK[..], &[("STREAM_MODE", mode), ("ENABLE_METRICS", "true")]].concat());
        let profile =
            json!({"name": "box", "headers": {"User-Agent": "Box/7.1 (TV)", "X-Key": "canary-hd-8812"}});
        done(&daemon, "POST", "/api/profiles", &profile, 201);
        // To encode takes a processor: one way of saying it, and the profile's.
        let notations =
            NOTATIONS.iter().enumerate().filter(|(at, _)| mode != "ffmpeg-transcode" || at % 5 == 0);
        let notations: Vec<_> = notations.collect();
        let mut numbers = Vec::new();
        for (at, (notation, _)) in &notations {
            let folder = format!("/raw/{at}");
            media.offer(&upstream, &folder, |_name| String::new());
            numbers.push(format!("10{at}"));
            let entry = notation.replace("{url}", &upstream.url(&format!("{folder}/{first}")));
            let channel = daemon.channel(&format!("10{at}"), &[entry]);
            if *notation == "{url}" {
                done(&daemon, "PATCH", &format!("/api/channels/{channel}"), &json!({"profile": "box"}), 200);
            }
        }
        let watching = watch_all(&daemon, &numbers);
        assert_discreet(&daemon, &format!("{mode} {first}"));
        let rows = daemon.tuners();
        for (((at, (notation, fields)), number), (_, recording)) in
            notations.iter().zip(&numbers).zip(&watching)
        {
            let what = format!("{mode} {first} {notation}");
            let findings = judge(recording);
            assert!(findings.packets > 50 && findings.faults() == 0, "{what}: {findings:?}");
            let rows = rows["tuners"].as_array().unwrap();
            let row = rows.iter().find(|row| row["guide_number"] == **number).unwrap();
            assert!(row["producer"].as_str().unwrap().starts_with(producer), "{what}: {row}");
            let requests = upstream.requests_below(&format!("/raw/{at}/"));
            for name in asked {
                assert!(
                    requests.iter().any(|(path, _)| path.ends_with(&format!("/{name}"))),
                    "{what}: {name}"
                );
            }
            for (path, head) in &requests {
                for field in *fields {
                    assert!(head.contains(&format!("\r\n{field}\r\n")), "{what}: {field} of {path}: {head}");
                }
                assert_eq!(head.matches("\r\nUser-Agent: ").count(), 1, "{what}: {head}");
            }
        }
    }
}

/// What servers set with an answer, by the name of what was asked for.
fn set(name: &str) -> String {
    let fields: &[&str] = match name {
        "start.ts" | "start.m3u8" | "begin.m3u8" => &["moved=canary-ck-1; Path=/raw"],
        "a.ts" | "list.m3u8" | "parts.m3u8" => &[
            "listed=canary-ck-2",
            "secret=canary-ck-3; Secure",
            "elsewhere=canary-ck-4; Domain=elsewhere.example",
            "deep=canary-ck-5; Path=/raw/deep",
            "gone=canary-ck-6; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ],
        "list0.ts" | "parts0.m4s" => &["played=canary-ck-7; Max-Age=600"],
        _other => &[],
    };
    fields.iter().map(|field| format!("\r\nSet-Cookie: {field}")).collect()
}

#[test]
fn cookies_are_sent_where_they_were_set_for_and_again_at_the_next_tune_whoever_asks() {
    let media = Media::new();
    for (mode, first, asked, _) in READERS {
        let upstream = Upstream::start();
        media.offer(&upstream, "/raw/one", set);
        let mut daemon = Daemon::start(&[&QUICK[..], &[("STREAM_MODE", mode)]].concat());
        daemon.channel("100", &[upstream.url(&format!("/raw/one/{first}"))]);
        // Nobody else gets them.
        media.offer(&upstream, "/raw/two", |_name| String::new());
        daemon.channel("200", &[upstream.url(&format!("/raw/two/{first}"))]);
        let mut kept = vec!["moved=canary-ck-1", "listed=canary-ck-2"];
        if asked.len() > 2 {
            kept.push("played=canary-ck-7");
        }
        for tune in 0..2 {
            let mut viewer = daemon.open("/auto/v100");
            let findings = judge(&viewer.watch(RECORDING));
            assert!(findings.packets > 50 && findings.faults() == 0, "{mode} {first}: {findings:?}");
            if tune == 0 && asked.len() > 2 {
                let second = asked[3].replace('0', "1");
                let second = format!("/raw/one/{second}");
                until(LONG, "the second segment is asked for", || upstream.requests(&second).pop());
            }
            assert_discreet(&daemon, &format!("{mode} {first}"));
            drop(viewer);
            until(LONG, "the session has ended", || (daemon.tuners_in_use() == 0).then_some(()));
        }
        let what = format!("{mode} {first}");
        let requests = upstream.requests(&format!("/raw/one/{first}"));
        assert!(!requests[0].contains("Cookie") && requests.len() >= 2, "{what}: {requests:?}");
        let again = requests.last().unwrap();
        for cookie in &kept {
            assert!(again.contains(cookie), "{what}: {cookie}: {again}");
        }
        let last = upstream.requests(&format!("/raw/one/{}", asked[asked.len() - 1]));
        assert!(last.iter().all(|head| head.contains("moved=canary-ck-1")), "{what}: {last:?}");
        for (path, head) in upstream.requests_below("/raw/") {
            for cookie in ["ck-3", "ck-4", "ck-5", "ck-6"] {
                assert!(!head.contains(cookie), "{what}: {cookie} of {path}: {head}");
            }
        }
        drop(daemon.open("/auto/v200").watch(RECORDING));
        for (path, head) in upstream.requests_below("/raw/two") {
            assert!(!head.contains("Cookie"), "{what}: {path}: {head}");
        }
    }
}

fn synced(daemon: &Daemon) -> u16 {
    until(LONG, "the playlist is asked for", || {
        let answer = daemon.ask("POST", "/api/admin/jobs/playlist-sync/run?wait=true", "");
        Some(answer.status).filter(|status| *status != 409)
    })
}

#[test]
fn the_playlist_is_asked_for_as_its_address_and_its_profile_say_and_with_its_servers_cookies() {
    let upstream = Upstream::start();
    let list = b"#EXTM3U\n#EXTINF:-1,One\nhttp://127.0.0.1:9/1\n";
    let moved = format!("{MOVED}list.m3u?key=canary-qu-1\r\nSet-Cookie: sid=canary-ck-1; Path=/raw");
    upstream.offer_raw("/raw/get.php?key=canary-qu-1", &moved, b"");
    let head = "HTTP/1.1 200 OK\r\nSet-Cookie: listed=canary-ck-2\r\nSet-Cookie: s=canary-ck-3; Secure";
    upstream.offer_raw("/raw/list.m3u?key=canary-qu-1", head, list);
    let url = upstream.url("/raw/get.php?key=canary-qu-1").replace("://", "://user:canary-pw-1@");
    let url = format!("{url}|User-Agent=Box/7.1 (TV)&X-Key=canary-hd-8812");
    let settings = [("PLAYLIST_URL", url.as_str()), ("PLAYLIST_PROFILE", "list")];
    let daemon = Daemon::start(&[&QUICK[..], &settings].concat());
    let profile =
        json!({"name": "list", "headers": {"Referer": "http://portal.example/watch", "User-Agent": "no"}});
    done(&daemon, "POST", "/api/profiles", &profile, 201);
    assert_eq!((synced(&daemon), synced(&daemon)), (200, 200));
    let requests = upstream.requests("/raw/get.php?key=canary-qu-1");
    let last = requests.last().unwrap();
    for field in [BOX, REFERER, KEY, "Authorization: Basic dXNlcjpjYW5hcnktcHctMQ=="] {
        assert!(last.contains(&format!("\r\n{field}\r\n")), "{field}: {last}");
    }
    assert!(!requests[0].contains("Cookie"), "{requests:?}");
    assert!(last.contains("sid=canary-ck-1") && last.contains("listed=canary-ck-2"), "{last}");
    assert!(!last.contains("canary-ck-3"), "{last}");
    assert_discreet(&daemon, "the playlist");
}

#[test]
fn what_an_address_holds_in_confidence_stands_nowhere() {
    let media = Media::new();
    for (mode, first, asked, _) in READERS {
        let upstream = Upstream::start();
        media.offer(&upstream, "/raw/one", |_name| String::new());
        let to = asked[1];
        upstream.offer_raw(&format!("/raw/one/{first}?token=canary-qu-1"), &format!("{MOVED}{to}"), b"");
        let url = upstream.url(&format!("/raw/one/{first}?token=canary-qu-1"));
        let mut daemon = Daemon::start(&[&QUICK[..], &[("STREAM_MODE", mode)]].concat());
        daemon.channel("100", &[url.replace("://", "://user:canary-pw-1@")]);
        let mut viewer = daemon.open("/auto/v100");
        assert_eq!(judge(&viewer.watch(RECORDING)).faults(), 0, "{mode} {first}");
        assert_discreet(&daemon, &format!("{mode} {first}"));
        for (path, head) in upstream.requests_below("/raw/") {
            assert!(head.contains("\r\nAuthorization: Basic dXNlcjpjYW5hcnktcHctMQ==\r\n"), "{path}: {head}");
        }
    }
}

/// Heads as no standard has them, or few servers; `{length}` stands for the body's length.
const HEADS: [(&str, &str); 11] = [
    ("a length of -1", "HTTP/1.1 200 OK\r\nContent-Length: -1"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Length: 1"),
    ("an absurd length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999"),
    ("a streaming server's status", "ICY 200 OK\r\nicy-name: One\r\nicy-metaint: 0"),
    ("another version", "HTTP/2 200"),
    ("no head at all", ""),
    ("two hundred fields", "HTTP/1.1 200 OK{fields}"),
    ("an interim answer", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}"),
    ("bare line ends and no reason", "HTTP/1.0 200\nContent-Length: {length}"),
    ("names that are none", "HTTP/1.1 200 OK\r\nBad Header: x\r\ncontent-LENGTH : {length}"),
    (PACKED, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip"),
];
const PACKED: &str = "a list that gzip has packed";

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn head_of(template: &str, length: usize) -> String {
    let fields: String = (0..200).map(|number| format!("\r\nX-Field-{number}: {number}")).collect();
    template.replace("{length}", &length.to_string()).replace("{fields}", &fields)
}

#[test]
fn whatever_head_an_answer_has_it_is_read_whoever_asks() {
    let media = Media::new();
    let upstream = Upstream::start();
    for (at, (what, template)) in HEADS.iter().enumerate() {
        for (name, bytes) in &media.files {
            let (is_list, is_key) = (name.ends_with(".m3u8"), name == "key");
            let body = if is_list && *what == PACKED { packed(bytes) } else { bytes.clone() };
            // What a stream is packed in is told. Keys, and segments that need one, do not tell of themselves that they are no head.
            let tells = is_list || name == "a.ts";
            let is_plain = is_key || (*what == PACKED && !is_list) || (template.is_empty() && !tells);
            let template = if is_plain { "HTTP/1.1 200 OK" } else { template };
            upstream.offer_raw(&format!("/raw/{at}/{name}"), &head_of(template, body.len()), &body);
        }
    }
    for (mode, file) in [("auto", "a.ts"), ("auto", "list.m3u8"), ("ffmpeg-copy", "list.m3u8")] {
        let mut daemon = Daemon::start(&[&QUICK[..], &[("STREAM_MODE", mode)]].concat());
        let numbers: Vec<_> = (100..100 + HEADS.len()).map(|number| number.to_string()).collect();
        for (at, number) in numbers.iter().enumerate() {
            daemon.channel(number, &[upstream.url(&format!("/raw/{at}/{file}"))]);
        }
        for ((what, _), (_, recording)) in HEADS.iter().zip(watch_all(&daemon, &numbers)) {
            let findings = judge(&recording);
            assert!(findings.packets > 50 && findings.faults() == 0, "{mode} {file} {what}: {findings:?}");
        }
    }
    // The playlist's server has the same habits, and leads on twenty times.
    let list = b"#EXTM3U\n#EXTINF:-1,One\nhttp://127.0.0.1:9/1\n";
    let url = upstream.url("/raw/hop0");
    let daemon = Daemon::start(&[&QUICK[..], &[("PLAYLIST_URL", &url)]].concat());
    for hop in 0..20 {
        upstream.offer_raw(&format!("/raw/hop{hop}"), &format!("{MOVED}hop{}", hop + 1), b"");
    }
    for (what, template) in HEADS {
        let body = if what == PACKED { packed(list) } else { list.to_vec() };
        upstream.offer_raw("/raw/hop20", &head_of(template, body.len()), &body);
        assert_eq!(synced(&daemon), 200, "{what}");
    }
    let twenty_first = format!("{MOVED}hop21");
    upstream.offer_raw("/raw/hop20", &twenty_first, b"");
    let refused = daemon.ask("POST", "/api/admin/jobs/playlist-sync/run?wait=true", "");
    assert!(refused.status >= 400 && String::from_utf8_lossy(&refused.body).contains("20 redirects"));
}
