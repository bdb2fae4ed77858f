//! One channel's viewers on two cores: where they are is nothing that anybody could notice.
//!
//! The kernel deals connections out to the cores. Of sixteen, all are on one core once in thirty thousand times; the status says which.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::kit::{
    Daemon, End, LONG, Network, Stopwatch, Upstream, Viewer, exchange, free_port, judge, until,
};

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

/// The rows of those who watch on one core, and of those who watch on the other. There are some on both.
fn rows_of_cores(daemon: &Daemon) -> [Vec<Value>; 2] {
    let tuners = daemon.tuners();
    let rows = tuners["client_streams"].as_array().unwrap();
    let of = |core: u64| rows.iter().filter(|row| row["core"] == core).cloned().collect::<Vec<_>>();
    let both = [of(0), of(1)];
    assert_eq!(both[0].len() + both[1].len(), rows.len(), "{tuners}");
    for (core, rows) in both.iter().enumerate() {
        assert!(!rows.is_empty(), "nobody is on core {core}: {tuners}");
        assert_eq!(tuners["cores"][core]["viewers"], rows.len(), "{tuners}");
    }
    both
}

/// Takes those away who watch on one of the cores.
fn take_those_on(daemon: &Daemon, core: usize, viewers: &mut Vec<Recorded>) -> Vec<Recorded> {
    let rows = &rows_of_cores(daemon)[core];
    let is_there = |recorded: &mut Recorded| {
        let address = recorded.0.address();
        rows.iter().any(|row| row["client_addr"] == address)
    };
    viewers.extract_if(.., is_there).collect()
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
    rows_of_cores(&daemon);
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
        rows_of_cores(&daemon);
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
        rows_of_cores(&daemon);
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

#[test]
fn those_on_either_core_keep_a_session_alone_and_nobody_is_waited_for_before_it_is_over() {
    for last in [0, 1] {
        let (daemon, upstream, _) = with_channel(&[("SESSION_IDLE_TIMEOUT", "2s")]);
        let mut viewers = open_many(&daemon);
        watch_all(&mut viewers);
        let mut stay = take_those_on(&daemon, last, &mut viewers);
        drop(viewers);
        until(LONG, "those on the other core are gone", || {
            (count_watching(&daemon) == stay.len()).then_some(())
        });
        // Longer than a session without viewers would last.
        for _ in 0..4 {
            watch_all(&mut stay);
        }
        let rows = daemon.tuners()["client_streams"].as_array().unwrap().clone();
        assert!(rows.iter().all(|row| row["core"] == last), "{rows:?}");
        drop(stay);
        until(LONG, "all are gone", || (count_watching(&daemon) == 0).then_some(()));
        // Whoever comes in that time, on whichever core, has the same session.
        let mut again = open_many(&daemon);
        watch_all(&mut again);
        assert_eq!(upstream.requests(PATH).len(), 1, "last on core {last}");
        let watch = Stopwatch::start();
        drop(again);
        until(LONG, "the session is over", || (daemon.tuners_in_use() == 0).then_some(()));
        assert!(watch.elapsed() > Duration::from_millis(1800), "{:?}", watch.elapsed());
    }
}

#[test]
fn who_is_sent_away_on_either_core_goes_and_is_remembered_and_nobody_else_does() {
    let (daemon, _upstream, _) = with_channel(&[]);
    let mut viewers = open_many(&daemon);
    watch_all(&mut viewers);
    let mut sent_away = Vec::new();
    for row in rows_of_cores(&daemon).map(|rows| rows[0].clone()) {
        let id = row["viewer_id"].as_str().unwrap();
        let answer = daemon.ask("POST", &format!("/api/admin/viewers/{id}/kick"), "");
        assert_eq!(answer.status, 200, "{row}: {}", answer.head);
        assert_eq!(daemon.ask("POST", &format!("/api/admin/viewers/{id}/kick"), "").status, 404, "{row}");
        let is_it = |recorded: &Recorded| row["client_addr"] == recorded.0.address();
        let (mut viewer, mut recording) =
            viewers.swap_remove(viewers.iter().position(is_it).expect("it is one of them"));
        let (rest, end) = viewer.rest(LONG);
        recording.extend(rest);
        assert_eq!((end, judge(&recording).faults()), (End::Finished, 0), "{row}");
        sent_away.push(row["subscriber_id"].clone());
    }
    watch_all(&mut viewers);
    assert_eq!(count_watching(&daemon), MANY - 2);
    let tuners = daemon.tuners();
    let remembered = tuners["session_history"][0]["subscribers"].as_array().unwrap();
    let kicked = remembered.iter().filter(|row| row["close_reason"] == "kicked");
    let kicked: Vec<_> = kicked.map(|row| row["subscriber_id"].clone()).collect();
    assert!(kicked.len() == 2 && sent_away.iter().all(|id| kicked.contains(id)), "{tuners}");
}

#[test]
fn an_address_has_as_many_streams_as_it_may_on_both_cores_together() {
    let Some(network) = Network::with_others(1) else { return };
    let upstream = network.at_home(Upstream::start);
    let port = free_port();
    let settings = [("CORES", "2"), ("STREAM_MAX_PER_ADDRESS", "6")];
    let mut daemon = network.at_home(|| {
        Daemon::start_with(port, &settings, |command| {
            command.env("HTTP_ADDR", format!(":{port}"));
        })
    });
    network.at_home(|| daemon.channel("100", &[upstream.url(PATH)]));
    let ask = || {
        let stream = TcpStream::connect((network.address(0), port)).unwrap();
        Viewer::ask(stream, "GET /auto/v100 HTTP/1.1\r\nHost: tv\r\n\r\n")
    };
    let viewers = network.at(0, || (0..MANY).map(|_| ask()).collect::<Vec<_>>());
    let (inside, outside): (Vec<_>, Vec<_>) = viewers.into_iter().partition(|viewer| viewer.status() == 200);
    assert_eq!(inside.len(), 6);
    assert!(outside.iter().all(|viewer| viewer.status() == 503 && viewer.head.contains("address_limit")));
    let refused_on =
        |core: usize| network.at_home(|| daemon.tuners())["cores"][core]["refused_total"].as_u64();
    assert!([refused_on(0), refused_on(1)].iter().all(|count| count.unwrap() > 0), "on both cores");
    // Viewers of this host are not counted: a proxy watches for many.
    let mut own = network.at_home(|| (0..8).map(|_| daemon.open("/auto/v100")).collect::<Vec<_>>());
    assert!(own.iter_mut().all(|viewer| !viewer.watch(Duration::from_millis(100)).is_empty()));
    drop(inside);
    let free = |_| until(LONG, "there is room", || Some(ask()).filter(|viewer| viewer.status() == 200));
    assert_eq!(network.at(0, || (0..6).map(free).collect::<Vec<_>>()).len(), 6);
}

#[test]
fn a_tuner_that_a_channel_of_one_core_has_left_is_free_for_one_of_the_other() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[
        ("CORES", "2"),
        ("TUNER_COUNT", "1"),
        ("TUNE_WAIT", "0"),
        ("PREEMPT_SETTLE_DELAY", "0"),
    ]);
    for number in 0..2 {
        daemon.channel(&format!("10{number}"), &[upstream.url(&format!("/good/4000000/{number}"))]);
    }
    let ask = |number: usize| {
        let stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        Viewer::ask(stream, &format!("GET /auto/v10{number} HTTP/1.1\r\nHost: tv\r\n\r\n"))
    };
    for round in 0..4 {
        let (number, other) = (round % 2, (round + 1) % 2);
        let mut viewers: Vec<_> =
            (0..MANY).map(|_| (daemon.open(&format!("/auto/v10{number}")), Vec::new())).collect();
        rows_of_cores(&daemon);
        for _ in 0..4 {
            let refused = ask(other);
            assert!(refused.status() == 503 && refused.head.contains("no_tuners"), "{}", refused.head);
        }
        watch_all(&mut viewers);
        assert_eq!(daemon.tuners_in_use(), 1);
        // The next round's channel takes the tuner over while the session of this one is idle.
        drop(viewers);
        until(LONG, "nobody watches", || (count_watching(&daemon) == 0).then_some(()));
    }
    assert_eq!(daemon.tuners()["session_history"].as_array().unwrap().len(), 4);
}
