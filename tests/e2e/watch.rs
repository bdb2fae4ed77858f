//! A channel watched as HTTP Live Streaming: lists, segments, and those who ask for them.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tunerd::ts::{Packet, PesTimes};

use crate::hls::pes;
use crate::kit::{Answer, Daemon, End, LONG, PROGRAMME, Upstream, Viewer, exchange, judge, programme, until};
use crate::players::{complains, play, said};
use crate::tsgen::PACKET_BYTES;

const PATH: &str = "/good/4000000/a";
const LIST: &str = "/hls/v100/index.m3u8";
const MEDIA: &str = "/hls/v100/index.m3u8?session=tv";
/// Three target durations, and time for everything else.
const IDLE: Duration = Duration::from_secs(30);

fn with_channel(settings: &[(&str, &str)]) -> (Daemon, Upstream) {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(settings);
    daemon.channel("100", &[upstream.url(PATH)]);
    (daemon, upstream)
}

fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.header("content-type"), Some("application/vnd.apple.mpegurl"), "{}", answer.head);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{}", answer.head);
    String::from_utf8(answer.body.clone()).unwrap()
}

fn tag<'text>(list: &'text str, name: &str) -> Option<&'text str> {
    list.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// What a list names, each as a path.
fn named(list: &str) -> Vec<String> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("/hls/v100/{line}")).collect()
}

fn segment(daemon: &Daemon, path: &str) -> Vec<u8> {
    let answer = daemon.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.head);
    let length = answer.header("content-length").map(|text| text.parse().unwrap());
    assert_eq!(length, Some(answer.body.len()), "{path}: {}", answer.head);
    assert_eq!(answer.header("content-type"), Some("video/mp2t"), "{}", answer.head);
    let kept = answer.header("cache-control").unwrap();
    assert!(kept.contains("immutable") && kept.contains("public"), "{kept}");
    answer.body
}

/// It begins with PAT and PMT, and then a key picture.
fn assert_begins_well(path: &str, segment: &[u8]) {
    let packets = segment.as_chunks::<PACKET_BYTES>().0;
    assert_eq!(segment.len(), packets.len() * PACKET_BYTES, "{path}: whole packets");
    let packet = |index: usize| Packet::parse(&packets[index]).unwrap();
    assert_eq!(packet(0).pid().get(), 0, "{path}: PAT");
    assert!(packet(1).pid().get() != 0 && packet(1).payload_unit_start_indicator(), "{path}: PMT");
    let picture = packet(2);
    assert!(picture.payload_unit_start_indicator(), "{path}: a picture begins");
    let payload = picture.payload().unwrap();
    let data = &payload[9 + usize::from(payload[8])..];
    let has_sets = data.windows(4).any(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1F == 7);
    assert!(payload[..3] == [0, 0, 1] && has_sets, "{path}: behind its parameter sets");
}

/// When its first picture is decoded, in seconds.
fn begins_at(segment: &[u8]) -> f64 {
    let packets = segment.as_chunks::<PACKET_BYTES>().0;
    let times = PesTimes::begun_in(Packet::parse(&packets[2]).unwrap()).unwrap();
    f64::from(u32::try_from(times.decoding().ticks() / 9).unwrap()) / 10_000.0
}

/// Players add up what is listed, and show nothing more when that has gone too far from what is in the segments.
#[test]
fn a_segment_takes_as_long_as_its_list_says() {
    let upstream = Upstream::start();
    upstream.offer("/file/a", programme(), PROGRAMME);
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/file/a")]);
    let (mut told, mut begins): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    until(LONG, "eight segments", || {
        let list = text(&daemon.get(MEDIA));
        let lengths = list.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
        for (length, path) in lengths.zip(named(&list)) {
            if seen.insert(path.clone()) {
                told.push(length.parse().unwrap());
                begins.push(begins_at(&segment(&daemon, &path)));
            }
        }
        std::thread::park_timeout(Duration::from_millis(100));
        (seen.len() >= 8).then_some(())
    });
    for (at, pair) in begins.windows(2).enumerate() {
        assert!((pair[1] - pair[0] - told[at]).abs() < 0.05, "{at}: {told:?}, {begins:?}");
    }
    let (sum, all): (f64, f64) = (told[..told.len() - 1].iter().sum(), begins[begins.len() - 1] - begins[0]);
    assert!((sum - all).abs() < 0.05, "{sum} s are told, and it takes {all} s");
}

/// A source that falls silent has been for a while before anybody knows, and so much is missing in the times.
#[test]
fn a_gap_in_the_times_is_listed_as_a_discontinuity() {
    let upstream = Upstream::start();
    let paths = ["/file/a", "/file/b"];
    paths.iter().for_each(|path| upstream.offer(path, programme(), PROGRAMME));
    let mut daemon = Daemon::start(&[("STALL_DETECT", "3s")]);
    daemon.channel("100", &paths.map(|path| upstream.url(path)));
    let mut begins: Vec<(f64, f64, bool)> = Vec::new();
    let mut seen = BTreeSet::new();
    until(LONG * 2, "the second source is listed", || {
        let list = text(&daemon.get(MEDIA));
        let mut lines = list.lines().map(str::to_owned).peekable();
        let mut is_marked = false;
        while let Some(line) = lines.next() {
            is_marked |= line == "#EXT-X-DISCONTINUITY";
            let length = line.strip_prefix("#EXTINF:").and_then(|line| line.strip_suffix(','));
            let Some(length) = length.map(|text| text.parse().unwrap()) else { continue };
            let path = format!("/hls/v100/{}", lines.next().unwrap());
            if seen.insert(path.clone()) {
                begins.push((begins_at(&segment(&daemon, &path)), length, is_marked));
            }
            is_marked = false;
        }
        if begins.len() == 4 {
            upstream.hush(paths[0]);
        }
        std::thread::park_timeout(Duration::from_millis(100));
        let marked = begins.iter().position(|segment| segment.2)?;
        (begins.len() > marked + 4).then_some(())
    });
    let mut jumps = Vec::new();
    for pair in begins.windows(2) {
        let jump = pair[1].0 - pair[0].0 - pair[0].1;
        assert_eq!(jump.abs() > 1.0, pair[1].2, "{begins:?}");
        jumps.extend((jump.abs() > 1.0).then_some(jump));
    }
    assert!(jumps.len() == 1 && (2.0..5.0).contains(&jumps[0]), "{begins:?}");
}

#[test]
fn a_list_grows_and_its_segments_are_what_a_viewer_of_the_stream_gets() {
    let (daemon, upstream) = with_channel(&[]);
    let (recording, segments) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| daemon.open("/auto/v100").watch(Duration::from_secs(14)));
        let master = daemon.get(LIST);
        assert_eq!(master.header("cache-control"), Some("no-store"));
        let master = text(&master);
        assert!(master.contains("#EXT-X-STREAM-INF:BANDWIDTH="), "{master}");
        let media = named(&master).remove(0);
        assert!(media.contains("index.m3u8?session="), "{master}");
        let mut seen: Vec<String> = Vec::new();
        let mut segments = Vec::new();
        let mut last_sequence = 0;
        until(LONG, "five segments", || {
            let answer = daemon.get(&media);
            assert_eq!(answer.header("cache-control"), Some("public, max-age=1"));
            let list = text(&answer);
            assert_eq!(tag(&list, "#EXT-X-TARGETDURATION"), Some("2"), "{list}");
            let sequence: u64 = tag(&list, "#EXT-X-MEDIA-SEQUENCE").unwrap().parse().unwrap();
            assert!(sequence >= last_sequence, "{list}");
            last_sequence = sequence;
            let longest = list.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
            assert!(longest.map(|text| text.parse::<f64>().unwrap()).all(|seconds| seconds < 2.5), "{list}");
            for path in named(&list) {
                if !seen.contains(&path) {
                    let bytes = segment(&daemon, &path);
                    assert_begins_well(&path, &bytes);
                    segments.extend_from_slice(&bytes);
                    seen.push(path);
                }
            }
            std::thread::park_timeout(Duration::from_millis(100));
            (seen.len() >= 5).then_some(())
        });
        // Another viewer is told the same addresses.
        let theirs = named(&text(&daemon.get(MEDIA)));
        assert!(theirs.iter().all(|path| seen.contains(path)), "{theirs:?}");
        (watching.join().unwrap(), segments)
    });
    let findings = judge(&segments);
    assert!(findings.packets > 3000 && findings.faults() == 0, "{findings:?}");
    assert_eq!(upstream.requests(PATH).len(), 1, "one source for all");
    let (of_segments, of_viewer) = (pes(&segments), pes(&recording));
    assert_eq!(of_segments.keys().collect::<Vec<_>>(), of_viewer.keys().collect::<Vec<_>>());
    for (pid, units) in &of_viewer {
        // What comes last may be cut off, and what comes first is where either began.
        let theirs = &of_segments[pid];
        let theirs = &theirs[..theirs.len() - 1];
        let from = units.iter().position(|unit| *unit == theirs[0]);
        let (units, theirs) = match from {
            Some(from) => (&units[from..], theirs),
            None => {
                let from = theirs.iter().position(|unit| *unit == units[0]).unwrap();
                (&units[..], &theirs[from..])
            }
        };
        let count = theirs.len().min(units.len() - 1);
        assert!(count > 150, "{pid}: {count}");
        assert!(theirs[..count] == units[..count], "{pid}: the PES packets");
    }
}

fn watching(daemon: &Daemon) -> Vec<Value> {
    daemon.tuners()["client_streams"].as_array().cloned().unwrap_or_default()
}

#[test]
fn who_asks_for_lists_is_a_viewer_until_it_has_not_asked_for_three_target_durations() {
    let (daemon, upstream) = with_channel(&[("SESSION_IDLE_TIMEOUT", "1s")]);
    let get = |query: &str| {
        let request = format!(
            "GET {LIST}{query} HTTP/1.1\r\nHost: tv\r\nUser-Agent: Box/1.0\r\nConnection: close\r\n\r\n"
        );
        text(&exchange(daemon.port(), request.as_bytes()).unwrap())
    };
    (0..3).for_each(|_| drop(get("?session=one")));
    get("?session=two");
    // Some players ask twice for what they open, and are one viewer.
    let given: BTreeSet<_> = (0..2).map(|_| named(&get("")).remove(0)).collect();
    assert_eq!(given.len(), 1, "{given:?}");
    let viewer = daemon.open("/auto/v100");
    let rows = watching(&daemon);
    assert_eq!(rows.len(), 4, "{rows:?}");
    let numbers: BTreeSet<_> = rows.iter().map(|row| row["subscriber_id"].as_u64().unwrap()).collect();
    assert_eq!(numbers, BTreeSet::from([1, 2, 3, 4]), "{rows:?}");
    let by_segments: Vec<_> = rows.iter().filter(|row| row["delivery"] == "hls").collect();
    assert!(
        by_segments.len() == 3 && by_segments.iter().all(|row| row["user_agent"] == "Box/1.0"),
        "{rows:?}"
    );
    let other = rows.iter().find(|row| row["delivery"] != "hls").unwrap();
    assert!(other.get("delivery").is_none() && other.get("user_agent").is_none(), "{other}");
    drop(viewer);
    // One of them goes on asking, and holds the channel.
    until(IDLE, "the others have left", || {
        get("?session=one");
        std::thread::park_timeout(Duration::from_millis(300));
        (watching(&daemon).len() == 1).then_some(())
    });
    assert_eq!(upstream.requests(PATH).len(), 1, "the same session all the time");
    // The ring has grown for those who watch by segments.
    let list = get("?session=one");
    let lengths = list.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
    let length: f64 = lengths.map(|text| text.parse::<f64>().unwrap()).sum();
    assert!(length > 10.0, "{list}");
    until(IDLE, "it has left, and the session is over", || (daemon.tuners_in_use() == 0).then_some(()));
    let history = daemon.tuners()["session_history"].clone();
    assert_eq!(history[0]["total_subscribers"], 4, "{history}");
    assert!(daemon.log().contains("user_agent=Box/1.0"), "its player is named in the log");
}

#[test]
fn a_viewer_by_segments_who_is_kicked_stays_away_and_others_do_not() {
    let (daemon, _upstream) = with_channel(&[]);
    text(&daemon.get(MEDIA));
    text(&daemon.get("/hls/v100/index.m3u8?session=other"));
    let id = watching(&daemon).iter().find(|row| row["subscriber_id"] == 1).unwrap()["viewer_id"].clone();
    let path = format!("/api/admin/viewers/{}/kick", id.as_str().unwrap());
    assert_eq!(daemon.ask("POST", &path, "").status, 200);
    assert_eq!(watching(&daemon).len(), 1);
    let refused = daemon.get(MEDIA);
    assert_eq!((refused.status, refused.header("x-tunerd-reason")), (410, Some("sent_away")));
    assert_eq!(watching(&daemon).len(), 1, "it is no viewer again");
    text(&daemon.get("/hls/v100/index.m3u8?session=other"));
    assert_eq!(daemon.ask("POST", &path, "").status, 404);
}

#[test]
fn what_is_not_there_or_may_not_be_asked_for_is_said_so_that_pages_and_players_understand() {
    let (daemon, upstream) = with_channel(&[("VIEWERS_MAX", "1"), ("STREAM_TOKEN", "let-me")]);
    let with_token = |path: &str| format!("{path}{}token=let-me", if path.contains('?') { '&' } else { '?' });
    for (method, path, status) in [
        ("HEAD", LIST, 200),
        ("HEAD", MEDIA, 200),
        ("HEAD", "/hls/v100/1-1.ts", 404),
        ("GET", "/hls/v100/1-1.ts", 404),
        ("GET", "/hls/v100/index.html", 404),
        ("GET", "/hls/v100/index.m3u8?session=a%2Fb", 404),
        ("GET", "/hls/v999/index.m3u8", 404),
        ("GET", "/hls/", 400),
        ("POST", LIST, 405),
    ] {
        let answer = daemon.ask(method, &with_token(path), "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.head);
        assert!(answer.body.is_empty(), "{method} {path}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{method} {path}: {}",
            answer.head
        );
    }
    assert_eq!(daemon.get(MEDIA).status, 403, "without the word");
    let asked = daemon.ask("OPTIONS", LIST, "");
    assert_eq!(asked.status, 204, "{}", asked.head);
    assert_eq!(asked.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    for path in ["/api/channels", "/api/admin/tuners", "/ui/"] {
        let answer = daemon.ask("OPTIONS", path, "");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}: {}", answer.head);
        assert_eq!(daemon.get(path).header("access-control-allow-origin"), None, "{path}");
    }
    assert!(upstream.requests(PATH).is_empty() && daemon.tuners_in_use() == 0, "nothing was tuned");
    let list = text(&daemon.get(&with_token(MEDIA)));
    let first = named(&list).remove(0);
    assert!(first.ends_with(".ts?token=let-me"), "{list}");
    segment(&daemon, &first);
    let head = daemon.ask("HEAD", &first, "");
    let length: usize = head.header("content-length").unwrap().parse().unwrap();
    assert!(
        head.status == 200 && head.body.is_empty() && length.is_multiple_of(PACKET_BYTES),
        "{}",
        head.head
    );
    let refused = daemon.get(&with_token("/hls/v100/index.m3u8?session=second"));
    assert_eq!((refused.status, refused.header("x-tunerd-reason")), (503, Some("viewer_limit")));
    assert_eq!(refused.header("x-hdhomerun-error"), Some("809 Playback Connection Limit"));
}

#[test]
fn a_segment_that_was_overwritten_is_gone_and_listed_no_more() {
    let upstream = Upstream::start();
    // The ring may not grow, and holds some seconds.
    let mut daemon = Daemon::start(&[("RING_MEMORY_BYTES", "13000000"), ("TUNER_COUNT", "1")]);
    daemon.channel("100", &[upstream.url("/good/16000000/a")]);
    let first = named(&text(&daemon.get(MEDIA))).remove(0);
    segment(&daemon, &first);
    until(LONG, "it is gone", || {
        let list = named(&text(&daemon.get(MEDIA)));
        let is_gone = daemon.get(&first).status == 404;
        // Whatever is listed is there.
        let newest = list.last().unwrap();
        assert!(segment(&daemon, newest).len() > PACKET_BYTES);
        std::thread::park_timeout(Duration::from_millis(300));
        (is_gone && !list.contains(&first)).then_some(())
    });
    assert_eq!(daemon.get(&first).header("cache-control"), Some("no-store"));
}

#[test]
fn a_channel_that_shows_nothing_is_refused_after_some_seconds() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/silent/a")]);
    daemon.channel("101", &[upstream.url("/missing/a")]);
    let answer = daemon.get(MEDIA);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{}", answer.head);
    let answer = daemon.get("/hls/v101/index.m3u8");
    assert_eq!((answer.status, answer.header("x-tunerd-reason")), (503, Some("other")), "{}", answer.head);
}

/// By each way out, and to somebody who says at once that nothing more will be asked.
#[test]
fn a_segment_comes_whole_by_every_way_out_and_then_the_connection_ends() {
    for way in ["send-zc", "sendfile", "never"] {
        let (daemon, _upstream) = with_channel(&[("ZERO_COPY", way)]);
        let first = named(&text(&daemon.get(MEDIA))).remove(0);
        let bytes = segment(&daemon, &first);
        let findings = judge(&bytes);
        assert!(findings.packets > 500 && findings.faults() == 0, "{way}: {findings:?}");
        let stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        let mut half = Viewer::ask_last(stream, &format!("GET {first} HTTP/1.1\r\nHost: tv\r\n\r\n"));
        let (theirs, end) = half.rest(LONG);
        assert!(theirs == bytes && end == End::Finished, "{way}: {} of {} bytes", theirs.len(), bytes.len());
    }
}

#[test]
fn requests_on_any_core_are_for_one_session() {
    let (daemon, upstream) = with_channel(&[("CORES", "2")]);
    let mut seen = BTreeSet::new();
    for _ in 0..16 {
        let list = text(&daemon.get(MEDIA));
        for path in named(&list) {
            assert_begins_well(&path, &segment(&daemon, &path));
            seen.insert(path);
        }
    }
    assert!(!seen.is_empty());
    assert_eq!(watching(&daemon).len(), 1);
    assert_eq!(upstream.requests(PATH).len(), 1);
}

/// A channel whose first source ends after ten seconds, and which has another.
fn with_loss() -> (Daemon, Upstream) {
    let upstream = Upstream::start();
    let all = programme();
    let packets = all.len() / PACKET_BYTES;
    upstream.offer("/file/a", all[..packets / 4 * PACKET_BYTES].to_vec(), PROGRAMME / 4);
    upstream.offer("/file/b", all, PROGRAMME);
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/file/a"), upstream.url("/file/b")]);
    (daemon, upstream)
}

#[test]
fn ffmpeg_plays_lists_through_the_loss_of_a_source_and_has_nothing_to_complain_of() {
    let (daemon, upstream) = with_loss();
    let list = format!("http://127.0.0.1:{}{LIST}", daemon.port());
    let output = play("ffmpeg", &["-nostdin", "-v", "warning", "-i", &list, "-t", "20", "-f", "null", "-"]);
    let output = output.expect("tests need ffmpeg");
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    assert_eq!(upstream.requests("/file/b").len(), 1, "the other source was needed");
}

#[test]
fn mpv_plays_lists_through_the_loss_of_a_source_without_a_complaint() {
    let (daemon, upstream) = with_loss();
    let list = format!("http://127.0.0.1:{}{LIST}", daemon.port());
    let arguments = ["--no-config", "--vo=null", "--ao=null", "--length=20", "--msg-level=all=warn", &list];
    let Some(output) = play("mpv", &arguments) else { return };
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(!complains(&said), "{said}");
    assert_eq!(upstream.requests("/file/b").len(), 1, "the other source was needed");
    // It opens what it plays twice, and is one viewer all the time.
    let numbers: Vec<_> = watching(&daemon).iter().map(|row| row["subscriber_id"].clone()).collect();
    assert_eq!(numbers, [1]);
}
