//! What is answered to requests for a stream.

use std::time::Duration;

use crate::kit::{Answer, Daemon, End, Stopwatch, Upstream, Viewer, exchange, judge, until};
use crate::tsgen::PACKET_BYTES;

const SHORT: Duration = Duration::from_secs(5);
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nServer: HDHomeRun/1.0\r\nConnection: close\r\n\
     Access-Control-Allow-Origin: *\r\nCache-Control: no-cache, no-store\r\n\
     Content-Type: video/mp2t\r\nX-HDHomeRun-Resource: tuner0\r\n\r\n";

/// The program and a provider, with a good channel on 100.
fn with_channel(settings: &[(&str, &str)]) -> (Daemon, Upstream) {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(settings);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    (daemon, upstream)
}

/// An error of the stream routes: no body, and the reason in the headers.
fn assert_refused(answer: &Answer, status: u16, error: &str, reason: &str) {
    let told =
        (answer.status, answer.header("X-HDHomeRun-Error").unwrap_or(""), answer.header("X-Tunerd-Reason"));
    assert_eq!(told, (status, error, Some(reason)), "{}", answer.head);
    assert_eq!(answer.header("Content-Length"), Some("0"), "{}", answer.head);
    assert!(answer.body.is_empty(), "some clients take any byte for the stream's first");
}

#[test]
fn a_stream_begins_with_the_head_clients_need_and_a_pat_and_holds_no_fault() {
    let (daemon, upstream) = with_channel(&[]);
    let mut viewer = daemon.open("/auto/v100");
    assert_eq!(viewer.head, STREAM_HEAD);
    let recording = viewer.watch(Duration::from_secs(3));
    let findings = judge(&recording);
    assert_eq!(findings.faults(), 0, "{findings:?}");
    assert_eq!(findings.signalled, 0, "{findings:?}");
    assert!(recording.len() > 1_000_000, "{} bytes", recording.len());
    assert_eq!(upstream.requests("/good/4000000/a").len(), 1);
    assert_eq!(daemon.viewers(), [viewer.address()]);
}

#[test]
fn old_protocols_ranges_and_wishes_change_nothing() {
    let (daemon, _upstream) = with_channel(&[]);
    for request in [
        "GET /auto/v100 HTTP/1.0\r\n\r\n",
        "GET /auto/v100 HTTP/1.1\r\nHost: tv\r\nRange: bytes=0-\r\nIcy-MetaData: 1\r\nAccept-Encoding: gzip\r\n\r\n",
        "GET /auto/v100?transcode=heavy?transcode=none HTTP/1.1\r\nHost: tv\r\n\r\n",
        "GET /tuner1/v100 HTTP/1.1\r\nHost: tv\r\n\r\n",
        "GET http://tv/auto/100 HTTP/1.1\r\nHost: tv\r\n\r\n",
    ] {
        let address = (std::net::Ipv4Addr::LOCALHOST, daemon.port());
        let mut viewer = Viewer::ask(std::net::TcpStream::connect(address).unwrap(), request);
        assert_eq!(viewer.head, STREAM_HEAD, "{request}");
        let findings = judge(&viewer.watch(Duration::from_millis(500)));
        assert!(findings.packets > 0 && findings.faults() == 0, "{request}: {findings:?}");
    }
}

#[test]
fn head_is_answered_at_once_and_tunes_nothing() {
    let (daemon, upstream) = with_channel(&[]);
    let watch = Stopwatch::start();
    let answer = exchange(daemon.port(), b"HEAD /auto/v100 HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    assert!(watch.elapsed() < Duration::from_secs(1), "after {:?}", watch.elapsed());
    assert_eq!(answer.head, STREAM_HEAD.replace("X-HDHomeRun-Resource: tuner0\r\n", ""));
    assert!(answer.body.is_empty());
    assert_eq!((upstream.requests_total(), daemon.tuners_in_use()), (0, 0));
}

#[test]
fn a_wished_duration_ends_the_stream_in_order_and_with_a_whole_packet() {
    let (daemon, _upstream) = with_channel(&[]);
    let mut viewer = daemon.open("/auto/v100?duration=2&transcode=none");
    let watch = Stopwatch::start();
    let (recording, end) = viewer.rest(SHORT);
    let elapsed = watch.elapsed();
    assert_eq!(end, End::Finished);
    assert!(elapsed > Duration::from_millis(1900) && elapsed < Duration::from_millis(2600), "{elapsed:?}");
    assert_eq!((recording.len() % PACKET_BYTES, judge(&recording).faults()), (0, 0));
}

#[test]
fn two_viewers_share_one_connection_and_one_tuner() {
    let (daemon, upstream) = with_channel(&[]);
    let mut viewers = [daemon.open("/auto/v100"), daemon.open("/auto/v100")];
    for viewer in &mut viewers {
        let findings = judge(&viewer.watch(Duration::from_secs(1)));
        assert!(findings.packets > 0 && findings.faults() == 0, "{findings:?}");
    }
    assert_eq!((upstream.requests_total(), daemon.tuners_in_use(), daemon.viewers().len()), (1, 1, 2));
}

#[test]
fn on_several_cores_a_channel_is_still_one_and_tuners_are_counted_together() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("CORES", "2"), ("TUNER_COUNT", "3"), ("TUNE_WAIT", "0")]);
    for number in 0..4 {
        daemon.channel(&format!("10{number}"), &[upstream.url(&format!("/good/2000000/{number}"))]);
    }
    // Which core accepts a connection is the kernel's choice: so many are on both.
    let mut viewers: Vec<_> =
        (0..24).map(|viewer| daemon.open(&format!("/auto/v10{}", viewer % 3))).collect();
    for _ in 0..8 {
        assert_refused(&daemon.get("/auto/v103"), 503, "805 All Tuners In Use", "no_tuners");
    }
    for viewer in &mut viewers {
        let findings = judge(&viewer.watch(Duration::from_millis(200)));
        assert!(findings.packets > 0 && findings.faults() == 0, "{findings:?}");
    }
    assert_eq!((upstream.requests_total(), daemon.tuners_in_use(), daemon.viewers().len()), (3, 3, 24));
}

#[test]
fn what_is_no_channel_is_refused_with_an_empty_body() {
    let (mut daemon, upstream) = with_channel(&[]);
    assert_refused(&daemon.get("/auto/v999"), 404, "801 Unknown Channel", "channel_not_found");
    assert_refused(&daemon.get("/auto/%20"), 400, "801 Unknown Channel", "missing_guide_number");
    let answer = daemon.ask("POST", "/auto/v100", "");
    assert_refused(&answer, 405, "", "method_not_allowed");
    assert_eq!(answer.header("Allow"), Some("GET, HEAD"));

    let id = daemon.channel("200", &[upstream.url("/good/4000000/b")]);
    let source = daemon.get(&format!("/api/channels/{id}/sources")).json()["sources"][0]["source_id"].clone();
    assert_eq!(daemon.ask("DELETE", &format!("/api/channels/{id}/sources/{source}"), "").status, 204);
    assert_refused(&daemon.get("/auto/v200"), 503, "806 Tune Failed", "no_sources");

    assert_eq!(daemon.ask("PATCH", &format!("/api/channels/{id}"), r#"{"enabled":false}"#).status, 200);
    assert_eq!(daemon.get("/auto/v200").status, 404);
    assert_eq!(upstream.requests_total(), 0);
}

#[test]
fn a_session_has_no_more_viewers_than_it_may() {
    let (daemon, _upstream) = with_channel(&[("SESSION_MAX_SUBSCRIBERS", "1")]);
    let viewer = daemon.open("/auto/v100");
    let answer = daemon.get("/auto/v100");
    assert_refused(&answer, 503, "809 Playback Connection Limit", "max_subscribers");
    assert!(answer.header("Retry-After").is_some(), "{}", answer.head);
    drop(viewer);
    until(SHORT, "the place is free", || daemon.viewers().is_empty().then_some(()));
    daemon.open("/auto/v100");
}

#[test]
fn while_all_tuners_are_watched_another_channel_is_refused() {
    let (mut daemon, upstream) = with_channel(&[("TUNER_COUNT", "1")]);
    daemon.channel("200", &[upstream.url("/good/4000000/b")]);
    let mut viewer = daemon.open("/auto/v100");
    let answer = daemon.get("/auto/v200");
    assert_refused(&answer, 503, "805 All Tuners In Use", "no_tuners");
    assert!(answer.header("Retry-After").is_some(), "{}", answer.head);
    assert_eq!(upstream.requests("/good/4000000/b").len(), 0);
    assert_eq!(judge(&viewer.watch(Duration::from_millis(500))).faults(), 0);
}

#[test]
fn a_channel_nobody_watches_gives_its_tuner_to_the_next() {
    let settings = [("TUNER_COUNT", "1"), ("SESSION_IDLE_TIMEOUT", "30s"), ("PREEMPT_SETTLE_DELAY", "0")];
    let (mut daemon, upstream) = with_channel(&settings);
    daemon.channel("200", &[upstream.url("/good/4000000/b")]);
    drop(daemon.open("/auto/v100"));
    until(SHORT, "nobody watches", || daemon.viewers().is_empty().then_some(()));
    assert_eq!(daemon.tuners_in_use(), 1);
    let watch = Stopwatch::start();
    let mut viewer = daemon.open("/auto/v200");
    assert!(watch.elapsed() < Duration::from_secs(2), "after {:?}", watch.elapsed());
    assert_eq!(judge(&viewer.watch(Duration::from_millis(500))).faults(), 0);
    assert_eq!(daemon.tuners_in_use(), 1);
}

#[test]
fn whoever_comes_back_within_the_grace_finds_the_channel_still_running() {
    let (daemon, upstream) = with_channel(&[("SESSION_IDLE_TIMEOUT", "10s")]);
    for _ in 0..3 {
        let mut viewer = daemon.open("/auto/v100");
        assert_eq!(judge(&viewer.watch(Duration::from_millis(300))).faults(), 0);
        drop(viewer);
        until(SHORT, "nobody watches", || daemon.viewers().is_empty().then_some(()));
        assert_eq!(daemon.tuners_in_use(), 1);
    }
    assert_eq!(upstream.requests_total(), 1);
}

#[test]
fn after_the_grace_the_channel_ends_and_its_connection_with_it() {
    let (daemon, upstream) = with_channel(&[("SESSION_IDLE_TIMEOUT", "200ms")]);
    for round in 1..=3 {
        drop(daemon.open("/auto/v100"));
        until(SHORT, "the tuner is free", || (daemon.tuners_in_use() == 0).then_some(()));
        assert_eq!(upstream.requests_total(), round);
    }
}
