//! One channel's viewers on two cores: where they are is nothing that anybody could notice.
//!
//! The kernel deals connections out to the cores. Of sixteen, all are on one core once in thirty thousand times.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kit::{Daemon, End, LONG, Stopwatch, Upstream, Viewer, exchange, judge, until};

const MANY: usize = 16;
const PATH: &str = "/good/4000000/a";
const WATCH: Duration = Duration::from_millis(700);

fn with_channel(settings: &[(&str, &str)]) -> (Daemon, Upstream, i64) {
    let upstream = Upstream::start();
    let settings = [&[("CORES", "2")], settings].concat();
    let mut daemon = Daemon::start(&settings);
    let id = daemon.channel("100", &[upstream.url(PATH)]);
    (daemon, upstream, id)
}

/// A viewer, and all that it has got.
type Recorded = (Viewer, Vec<u8>);

fn open_many(daemon: &Daemon) -> Vec<Recorded> {
    (0..MANY).map(|_| (daemon.open("/auto/v100"), Vec::new())).collect()
}

/// How many there are, as the administrator sees it.
fn count_watching(daemon: &Daemon) -> usize {
    daemon.viewers().len()
}

/// Each of them gets what there is meanwhile.
fn watch_meanwhile(viewers: &mut [Recorded], time: Duration) {
    std::thread::scope(|scope| {
        for (viewer, recording) in viewers {
            scope.spawn(|| recording.extend(viewer.watch(time)));
        }
    });
}

/// Each of them gets a sound stream meanwhile.
fn watch_all(viewers: &mut [Recorded]) {
    std::thread::scope(|scope| {
        for (viewer, recording) in viewers {
            scope.spawn(|| {
                recording.extend(viewer.watch(WATCH));
                let findings = judge(recording);
                assert!(
                    findings.packets > 300 && findings.faults() == 0,
                    "{}: {findings:?}",
                    viewer.address()
                );
            });
        }
    });
}

#[test]
fn viewers_on_both_cores_have_one_session_and_one_source_and_leave_it_alone_when_they_go() {
    let (daemon, upstream, _) = with_channel(&[("SESSION_IDLE_TIMEOUT", "2s")]);
    let mut viewers = open_many(&daemon);
    watch_all(&mut viewers);
    let elsewhere = daemon.log().matches("is asked for by core").count();
    assert!((1..MANY).contains(&elsewhere), "{elsewhere} of {MANY} are on the other core");
    let tuners = daemon.tuners();
    let streams = tuners["client_streams"].as_array().unwrap();
    let mut shown: Vec<_> = daemon.viewers();
    let mut expected: Vec<_> = viewers.iter().map(|(viewer, _)| viewer.address()).collect();
    shown.sort();
    expected.sort();
    assert_eq!(shown, expected, "{tuners}");
    let numbers: std::collections::BTreeSet<_> =
        streams.iter().map(|stream| stream["subscriber_id"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=MANY as u64).collect(), "{tuners}");
    assert_eq!(upstream.requests(PATH).len(), 1, "one source for all");
    // Half of them go.
    let mut others = viewers.split_off(MANY / 2);
    drop(viewers);
    until(LONG, "half of them are gone", || (count_watching(&daemon) == MANY / 2).then_some(()));
    watch_all(&mut others);
    // The last one goes, on whichever core, and the session stays for those who come back.
    drop(others);
    until(LONG, "all of them are gone", || (count_watching(&daemon) == 0).then_some(()));
    assert_eq!(daemon.tuners_in_use(), 1);
    let mut viewers = open_many(&daemon);
    watch_all(&mut viewers);
    assert_eq!(upstream.requests(PATH).len(), 1, "it was still there");
    let watch = Stopwatch::start();
    drop(viewers);
    until(LONG, "the session is over", || (daemon.tuners_in_use() == 0).then_some(()));
    assert!(watch.elapsed() > Duration::from_millis(1800), "{:?}", watch.elapsed());
    let tuners = daemon.tuners();
    let history = tuners["session_history"].as_array().unwrap();
    assert_eq!(history.len(), 1, "{tuners}");
    assert_eq!(history[0]["total_subscribers"], 2 * MANY, "{tuners}");
    assert_eq!(history[0]["peak_subscribers"], MANY, "{tuners}");
}

#[test]
fn no_more_watch_a_channel_or_all_of_them_than_may_on_both_cores_together() {
    for (setting, reason) in [("SESSION_MAX_SUBSCRIBERS", "max_subscribers"), ("VIEWERS_MAX", "viewer_limit")]
    {
        let (daemon, _upstream, _) = with_channel(&[(setting, "5")]);
        let ask = || {
            let stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
            Viewer::ask(stream, "GET /auto/v100 HTTP/1.1\r\nHost: tv\r\n\r\n")
        };
        let viewers: Vec<_> = (0..MANY).map(|_| ask()).collect();
        let (inside, outside): (Vec<_>, Vec<_>) =
            viewers.into_iter().partition(|viewer| viewer.status() == 200);
        assert_eq!(inside.len(), 5, "{setting}");
        for viewer in &outside {
            assert!(viewer.status() == 503 && viewer.head.contains(reason), "{setting}: {}", viewer.head);
        }
        drop(inside);
        // Their places are free on both cores.
        let free = |_| until(LONG, "there is room", || Some(ask()).filter(|viewer| viewer.status() == 200));
        let again: Vec<_> = (0..5).map(free).collect();
        assert_eq!(again.len(), 5);
    }
}

#[test]
fn whoever_waits_on_whichever_core_is_told_that_there_is_no_picture() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("CORES", "2"), ("STARTUP_TIMEOUT", "1s")]);
    daemon.channel("100", &[upstream.url("/nothing/a")]);
    daemon.channel("101", &[upstream.url("/nothing/b")]);
    std::thread::scope(|scope| {
        for number in 0..MANY {
            let port = daemon.port();
            scope.spawn(move || {
                let request = format!("GET /auto/v{} HTTP/1.1\r\nHost: tv\r\n\r\n", 100 + number % 2);
                let answer = exchange(port, request.as_bytes()).unwrap();
                assert_eq!(answer.status, 503, "{}", answer.head);
            });
        }
    });
    until(LONG, "the tuners are free", || (daemon.tuners_in_use() == 0).then_some(()));
}

#[test]
fn a_channel_that_is_taken_away_and_a_stop_end_all_streams_on_both_cores_in_order() {
    for is_stop in [false, true] {
        let (mut daemon, _upstream, id) = with_channel(&[]);
        let mut viewers = open_many(&daemon);
        watch_all(&mut viewers);
        if is_stop {
            daemon.signal(Signal::SIGTERM);
        } else {
            let answer = daemon.ask("DELETE", &format!("/api/channels/{id}"), "");
            assert!(answer.status < 300, "{}", answer.head);
        }
        for (viewer, recording) in &mut viewers {
            let (rest, end) = viewer.rest(LONG);
            recording.extend(rest);
            assert_eq!((end, judge(recording).faults()), (End::Finished, 0), "stopped: {is_stop}");
        }
        if is_stop {
            assert_eq!(daemon.ended(LONG).code(), Some(0));
        } else {
            until(LONG, "the tuner is free", || (daemon.tuners_in_use() == 0).then_some(()));
        }
    }
}

/// The packets with which the first boundary begins that a recording has, and those behind it.
fn from_boundary(recording: &[u8]) -> &[[u8; 188]] {
    let (packets, _) = recording.as_chunks::<188>();
    let is_signalled = |packet: &[u8; 188]| packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0;
    &packets[packets.iter().position(is_signalled).expect("there is a boundary")..]
}

#[test]
fn what_comes_while_a_source_is_gone_and_the_source_after_it_are_the_same_on_both_cores() {
    for (mode, keepalive) in [("psi", "keepalive_mode=psi"), ("slate_av", "keepalive_mode=slate_av")] {
        let (first, second) = (Upstream::start(), Upstream::start());
        let mut daemon = Daemon::start(&[
            ("CORES", "2"),
            ("RECOVERY_FILLER_MODE", mode),
            ("STALL_POLICY", "failover_source"),
            ("STARTUP_TIMEOUT", "1s"),
        ]);
        // Between two that are good there is one that takes its time to be none.
        let urls = [first.url(PATH), second.url("/silent/b"), second.url("/good/4000000/c")];
        daemon.channel("100", &urls);
        let mut viewers = open_many(&daemon);
        watch_all(&mut viewers);
        let elsewhere = daemon.log().matches("is asked for by core").count();
        assert!((1..MANY).contains(&elsewhere), "{elsewhere} of {MANY} are on the other core");
        drop(first);
        let has_moved = || daemon.log().contains("transition=keepalive_to_live");
        until(LONG, "the last source is shown", || {
            watch_meanwhile(&mut viewers, Duration::from_millis(200));
            has_moved().then_some(())
        });
        watch_all(&mut viewers);
        assert!(daemon.log().contains(keepalive), "{mode}: {}", daemon.log());
        assert_eq!(daemon.viewers().len(), MANY, "{mode}: nobody was ended");
        let expected = from_boundary(&viewers[0].1);
        for (viewer, recording) in &viewers {
            let shown = from_boundary(recording);
            let both = shown.len().min(expected.len());
            assert!(both > 500 && shown[..both] == expected[..both], "{mode}: {}", viewer.address());
        }
    }
}
