//! Providers as they are: absent, silent, elsewhere, secretive.

use std::time::Duration;

use crate::kit::{Answer, Daemon, Stopwatch, Upstream, judge, until};

const SHORT: Duration = Duration::from_secs(5);
/// A silent source is given up soon, and the last free tuner need not rest.
const IMPATIENT: [(&str, &str); 3] =
    [("STARTUP_TIMEOUT", "1s"), ("TUNER_COUNT", "1"), ("PREEMPT_SETTLE_DELAY", "0")];

fn start(settings: &[(&str, &str)]) -> (Daemon, Upstream) {
    (Daemon::start(settings), Upstream::start())
}

fn assert_failed(answer: &Answer, error: &str) {
    assert_eq!((answer.status, answer.header("X-HDHomeRun-Error")), (503, Some(error)), "{}", answer.head);
    assert!(answer.body.is_empty());
}

/// The channel plays without a fault.
fn assert_plays(daemon: &Daemon, path: &str) {
    let findings = judge(&daemon.open(path).watch(Duration::from_secs(1)));
    assert!(findings.packets > 500 && findings.faults() == 0, "{path}: {findings:?}");
}

#[test]
fn sources_are_tried_in_their_order_until_one_shows_a_picture() {
    let (mut daemon, upstream) = start(&IMPATIENT);
    let paths = ["/missing/a", "/page/a", "/silent/a", "/good/4000000/a"];
    daemon.channel("100", &paths.map(|path| upstream.url(path)));
    assert_plays(&daemon, "/auto/v100");
    for path in paths {
        assert_eq!(upstream.requests(path).len(), 1, "{path}");
    }
}

#[test]
fn when_all_sources_fail_the_viewer_is_told_and_the_tuner_is_free_by_then() {
    let (mut daemon, upstream) = start(&IMPATIENT);
    daemon.channel("100", &["/missing/a", "/page/a", "/silent/a"].map(|path| upstream.url(path)));
    daemon.channel("200", &[upstream.url("/good/4000000/a")]);
    for _ in 0..2 {
        assert_failed(&daemon.get("/auto/v100"), "806 Tune Failed");
        assert_plays(&daemon, "/auto/v200");
        until(SHORT, "nobody watches", || daemon.viewers().is_empty().then_some(()));
    }
}

#[test]
fn a_source_without_a_picture_is_told_apart() {
    let (mut daemon, upstream) = start(&IMPATIENT);
    daemon.channel("100", &[upstream.url("/blind/4000000/a")]);
    let watch = Stopwatch::start();
    assert_failed(&daemon.get("/auto/v100"), "807 No Video Data");
    let elapsed = watch.elapsed();
    assert!(elapsed > Duration::from_millis(900) && elapsed < Duration::from_secs(3), "{elapsed:?}");
    assert_eq!(daemon.tuners_in_use(), 0);
}

#[test]
fn a_source_that_cannot_be_reached_is_given_up() {
    let (mut daemon, upstream) = start(&IMPATIENT);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let nobody = ["http://host.invalid/a".to_owned(), format!("http://127.0.0.1:{closed}/a")];
    daemon.channel("100", &nobody);
    assert_failed(&daemon.get("/auto/v100"), "806 Tune Failed");
    daemon.channel("200", &[nobody[1].clone(), nobody[0].clone(), upstream.url("/good/4000000/a")]);
    assert_plays(&daemon, "/auto/v200");
}

#[test]
fn a_viewer_who_leaves_while_a_source_is_being_started_leaves_nothing_behind() {
    let (mut daemon, upstream) = start(&[("TUNER_COUNT", "1"), ("PREEMPT_SETTLE_DELAY", "0")]);
    daemon.channel("100", &[upstream.url("/silent/a")]);
    daemon.channel("200", &[upstream.url("/good/4000000/a")]);
    let mut impatient = std::net::TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
    std::io::Write::write_all(&mut impatient, b"GET /auto/v100 HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    until(SHORT, "the source is asked", || (upstream.requests("/silent/a").len() == 1).then_some(()));
    drop(impatient);
    until(SHORT, "the tuner is free", || (daemon.tuners_in_use() == 0).then_some(()));
    assert_plays(&daemon, "/auto/v200");
}

#[test]
fn a_body_in_chunks_is_joined() {
    let (mut daemon, upstream) = start(&[]);
    daemon.channel("100", &[upstream.url("/chunked/4000000/a")]);
    assert_plays(&daemon, "/auto/v100");
}

#[test]
fn what_a_source_signals_reaches_the_viewer() {
    let (mut daemon, upstream) = start(&[]);
    daemon.channel("100", &[upstream.url("/marked/4000000/a")]);
    let findings = judge(&daemon.open("/auto/v100").watch(Duration::from_millis(2500)));
    // PAT, PMT, video and audio, twice.
    assert_eq!((findings.signalled, findings.faults()), (8, 0), "{findings:?}");
}

#[test]
fn twenty_redirects_are_followed_and_no_more() {
    let (mut daemon, upstream) = start(&IMPATIENT);
    daemon.channel("100", &[upstream.url("/redirect/20/4000000/a")]);
    daemon.channel("200", &[upstream.url("/redirect/21/4000000/b")]);
    assert_plays(&daemon, "/auto/v100");
    assert_eq!(upstream.requests("/good/4000000/a").len(), 1);
    until(SHORT, "nobody watches", || daemon.viewers().is_empty().then_some(()));
    assert_failed(&daemon.get("/auto/v200"), "806 Tune Failed");
    assert_eq!(upstream.requests("/good/4000000/b").len(), 0);
}

#[test]
fn credentials_reach_the_provider_and_nobody_else() {
    const CANARY: &str = "canary7391";
    let (mut daemon, upstream) =
        start(&[("LOG_LEVEL", "trace"), ("TUNER_COUNT", "1"), ("STARTUP_TIMEOUT", "2s")]);
    let secret = |path: &str| {
        let url = upstream.url(path);
        format!("{}?token={CANARY}", url.replace("http://", &format!("http://user:{CANARY}@")))
    };
    daemon.channel("100", &[secret("/missing/a"), secret("/good/4000000/a")]);
    let url = format!("rtsp://user:{CANARY}@127.0.0.1:{}/x?token={CANARY}", upstream.port());
    daemon.channel("200", &[url, secret("/page/b"), upstream.url(&format!("/live/user/{CANARY}/7.ts"))]);
    assert_plays(&daemon, "/auto/v100");

    let path = format!("/good/4000000/a?token={CANARY}");
    let requests = upstream.requests(&path);
    assert_eq!(requests.len(), 1);
    // user:canary7391
    assert!(requests[0].contains("\r\nAuthorization: Basic dXNlcjpjYW5hcnk3Mzkx\r\n"), "{}", requests[0]);
    assert!(requests[0].starts_with(&format!("GET {path} ")), "{}", requests[0]);
    assert!(!requests[0].contains('@'), "{}", requests[0]);

    let watched = daemon.open("/auto/v100");
    let mut shown: Vec<_> =
        ["/api/items", "/api/channels", "/api/channels/1/sources", "/api/channels/2/sources"]
            .into_iter()
            .chain([
                "/api/admin/tuners",
                "/lineup.json",
                "/lineup.m3u",
                "/lineup.xml",
                "/discover.json",
                "/nowhere",
            ])
            .map(|path| (path, String::from_utf8(daemon.get(path).body).unwrap()))
            .collect();
    drop(watched);
    let settled = || daemon.get("/auto/v200").header("X-Tunerd-Reason").map(str::to_owned);
    until(SHORT, "the other channel is tried", || settled().filter(|reason| reason == "other"));
    shown.push(("the log", daemon.log()));
    for (place, text) in shown {
        let line = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(line, None, "{place}");
    }
}

#[test]
fn when_a_stream_ends_every_viewer_gets_the_rest_of_it_and_the_tuner_is_free() {
    let (mut daemon, upstream) =
        start(&[("TUNER_COUNT", "1"), ("SESSION_IDLE_TIMEOUT", "0"), ("STALL_POLICY", "close_session")]);
    let mut bytes = Vec::new();
    let length = Duration::from_secs(2);
    crate::tsgen::TsGen::new(crate::tsgen::Params::new(30_000_000)).fill(length, &mut bytes);
    upstream.offer("/file/a", bytes.clone(), length);
    daemon.channel("100", &[upstream.url("/file/a")]);
    let mut viewer = daemon.open("/auto/v100");
    // One who has read nothing when it ends gets all of it too: more than sockets hold, and less than the ring.
    let mut slow = daemon.open("/auto/v100");
    let (recording, end) = viewer.rest(SHORT);
    assert_eq!(end, crate::kit::End::Finished);
    assert_eq!(judge(&recording).faults(), 0);
    assert!(recording == bytes, "{} of {} bytes, or others", recording.len(), bytes.len());
    until(SHORT, "the tuner is free", || (daemon.tuners_in_use() == 0).then_some(()));
    let (late, end) = slow.rest(SHORT);
    assert!(
        late == bytes && end == crate::kit::End::Finished,
        "{} of {} bytes, {end:?}",
        late.len(),
        bytes.len()
    );
}
