//! Sources are tried in the background, and viewers do not notice.

use std::time::Duration;

use serde_json::Value;

use crate::kit::{Daemon, LONG, Stopwatch, Upstream, judge, until};

const SHORT: Duration = Duration::from_secs(5);
/// Long enough for a pass to begin and end, when it is to be seen that nothing happens.
const SOME_PASSES: Duration = Duration::from_millis(2500);

fn start(settings: &[(&str, &str)]) -> (Daemon, Upstream) {
    let mut all = vec![
        ("PROBE_INTERVAL", "1s"),
        ("PROBE_TIMEOUT", "1s"),
        ("AUTO_PRIORITIZE_PROBE_TUNE_DELAY", "0"),
        ("PREEMPT_SETTLE_DELAY", "0"),
        ("SESSION_IDLE_TIMEOUT", "0"),
    ];
    all.extend_from_slice(settings);
    (Daemon::start(&all), Upstream::start())
}

/// Successes, failures and the reason of the last failure, as the database has them.
fn stored(daemon: &Daemon, channel: i64) -> (i64, i64, String) {
    let connection = rusqlite::Connection::open(daemon.database()).unwrap();
    let query =
        "SELECT success_count, fail_count, last_fail_reason FROM channel_sources WHERE channel_id = ?1";
    connection.query_row(query, [channel], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

/// The row of a probe that has a tuner.
fn probe_row(daemon: &Daemon) -> Value {
    until(LONG, "a source is tried", || {
        let row = daemon.tuners()["tuners"][0].clone();
        (row["kind"] == "probe").then_some(row)
    })
}

#[test]
fn a_source_that_streams_is_remembered_and_let_go() {
    let (mut daemon, upstream) = start(&[]);
    let channel = daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let (successes, failures, reason) =
        until(SHORT, "it is written", || Some(stored(&daemon, channel)).filter(|stored| stored.0 > 0));
    assert_eq!((successes, failures, reason.as_str()), (1, 0, ""));
    until(SHORT, "the tuner is free", || (daemon.tuners_in_use() == 0).then_some(()));
    let status = daemon.tuners();
    assert_eq!(status["session_history"], Value::Null, "it was no session");
    assert_eq!(daemon.log().matches("shared session").count(), 0);
}

#[test]
fn a_source_that_fails_is_remembered_with_why_and_then_left_alone() {
    let (mut daemon, upstream) = start(&[]);
    let missing = daemon.channel("100", &[upstream.url("/missing/a")]);
    let silent = daemon.channel("200", &[upstream.url("/silent/a")]);
    for (channel, expected) in [(missing, "upstream returned status 404"), (silent, "timeout")] {
        let (successes, failures, reason) =
            until(SHORT, "it is written", || Some(stored(&daemon, channel)).filter(|stored| stored.1 > 0));
        assert_eq!((successes, failures), (0, 1));
        assert!(reason.contains(expected), "{reason}");
    }
    std::thread::park_timeout(SOME_PASSES);
    assert_eq!(upstream.requests("/missing/a").len(), 1, "it cools");
    assert_eq!(daemon.tuners_in_use(), 0);
}

#[test]
fn a_provider_that_is_asked_too_often_is_left_alone_with_all_its_sources() {
    let (mut daemon, upstream) = start(&[("UPSTREAM_OVERLIMIT_COOLDOWN", "1m")]);
    let first = daemon.channel("100", &[upstream.url("/limited/a")]);
    daemon.channel("200", &[upstream.url("/good/4000000/a")]);
    let (_, failures, reason) =
        until(SHORT, "it is written", || Some(stored(&daemon, first)).filter(|stored| stored.1 > 0));
    assert_eq!((failures, reason.as_str()), (1, "upstream returned status 429"));
    let asked = upstream.requests_total();
    std::thread::park_timeout(SOME_PASSES);
    assert_eq!(upstream.requests_total(), asked);
}

#[test]
fn on_several_cores_sources_are_tried_one_after_the_other() {
    let settings = [("CORES", "2"), ("TUNER_COUNT", "4"), ("AUTO_PRIORITIZE_PROBE_TUNE_DELAY", "300ms")];
    let (mut daemon, upstream) = start(&settings);
    // A provider that allows one connection, and counts one for a tenth of a second after it was closed.
    let channels: Vec<_> = (0..4)
        .map(|number| {
            let url = upstream.url(&format!("/account/4000000/403/100/{number}"));
            daemon.channel(&format!("10{number}"), &[url])
        })
        .collect();
    until(LONG, "each has been tried twice", || {
        channels.iter().all(|channel| stored(&daemon, *channel).0 > 1).then_some(())
    });
    let account = upstream.account();
    assert_eq!((account.streams_max, account.refused), (1, 0));
}

#[test]
fn the_last_free_tuner_rests_before_a_source_is_tried_with_it() {
    const REST: Duration = Duration::from_secs(3);
    let (mut daemon, upstream) = start(&[("TUNER_COUNT", "2"), ("PREEMPT_SETTLE_DELAY", "3s")]);
    for name in ["1", "2"] {
        daemon.channel(name, &[upstream.url(&format!("/good/4000000/{name}"))]);
    }
    let viewers = ["/auto/v1", "/auto/v2"].map(|path| daemon.open(path));
    let tried = daemon.channel("3", &[upstream.url("/good/4000000/3")]);
    let watch = Stopwatch::start();
    let [_stays, leaves] = viewers;
    drop(leaves);
    until(LONG, "the source is tried", || (!upstream.requests("/good/4000000/3").is_empty()).then_some(()));
    assert!(watch.elapsed() >= REST, "{:?}", watch.elapsed());
    let stored = until(SHORT, "it is written", || Some(stored(&daemon, tried)).filter(|stored| stored.0 > 0));
    assert_eq!(stored.1, 0);
}

#[test]
fn without_a_free_tuner_nothing_is_tried_and_nothing_is_held_against_a_source() {
    let (mut daemon, upstream) = start(&[("TUNER_COUNT", "1")]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    let other = daemon.channel("200", &[upstream.url("/good/4000000/b")]);
    let findings = judge(&viewer.watch(SOME_PASSES));
    assert_eq!(findings.faults(), 0, "{findings:?}");
    assert_eq!(upstream.requests("/good/4000000/b").len(), 0);
    assert_eq!(stored(&daemon, other), (0, 0, String::new()));
}

#[test]
fn a_channel_that_is_watched_is_not_tried() {
    let (mut daemon, upstream) = start(&[("TUNER_COUNT", "4")]);
    daemon.channel("100", &[upstream.url("/good/4000000/a"), upstream.url("/good/4000000/b")]);
    let mut viewer = daemon.open("/auto/v100");
    let asked = upstream.requests_total();
    let findings = judge(&viewer.watch(SOME_PASSES));
    assert_eq!(findings.faults(), 0, "{findings:?}");
    assert_eq!(upstream.requests_total(), asked);
}

#[test]
fn a_viewer_takes_the_tuner_of_a_source_that_is_being_tried_and_nothing_is_held_against_it() {
    let (mut daemon, upstream) =
        start(&[("TUNER_COUNT", "1"), ("PROBE_INTERVAL", "4s"), ("PROBE_TIMEOUT", "4s")]);
    let tried = daemon.channel("100", &[upstream.url("/silent/a")]);
    daemon.channel("200", &[upstream.url("/good/4000000/a")]);
    let row = probe_row(&daemon);
    assert_eq!((&row["state"], &row["channel_id"]), (&Value::from("probe"), &Value::Null), "{row}");
    until(SHORT, "the source is asked", || (!upstream.requests("/silent/a").is_empty()).then_some(()));
    assert_eq!(upstream.requests("/silent/a").len(), 1);
    let watch = Stopwatch::start();
    let mut viewer = daemon.open("/auto/v200");
    assert!(watch.elapsed() < Duration::from_secs(2), "{:?}", watch.elapsed());
    assert_eq!(judge(&viewer.watch(Duration::from_secs(1))).faults(), 0);
    assert_eq!(daemon.tuners()["tuners"][0]["kind"], "client");
    assert_eq!(stored(&daemon, tried), (0, 0, String::new()));
}

#[test]
fn a_viewer_of_the_channel_that_is_being_tried_ends_the_trial() {
    let (mut daemon, upstream) =
        start(&[("TUNER_COUNT", "2"), ("PROBE_INTERVAL", "3s"), ("PROBE_TIMEOUT", "3s")]);
    daemon.channel("100", &[upstream.url("/silent/a"), upstream.url("/good/4000000/a")]);
    let row = probe_row(&daemon);
    assert!(row["guide_number"].as_str().unwrap().starts_with("probe:"), "{row}");
    let mut waiting = std::net::TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
    std::io::Write::write_all(&mut waiting, b"GET /auto/v100 HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    until(SHORT, "only the viewer's tuner is in use", || {
        let tuners = daemon.tuners()["tuners"].clone();
        let kinds: Vec<_> = tuners.as_array().unwrap().iter().map(|row| row["kind"].clone()).collect();
        (kinds == ["client"]).then_some(())
    });
}

#[test]
fn many_passes_leave_nothing_behind() {
    let settings = [("PROBE_INTERVAL", "500ms"), ("PROBE_TIMEOUT", "500ms")];
    let (mut daemon, upstream) = start(&settings);
    for name in 1..=6 {
        daemon.channel(&name.to_string(), &[upstream.url(&format!("/good/4000000/{name}"))]);
    }
    let tried = |least: usize| {
        until(LONG, "sources are tried", || (upstream.requests_total() >= least).then_some(()));
    };
    tried(6);
    let quiet = |limit: usize| {
        until(SHORT, "nothing is tried at this moment", || {
            let (free, descriptors) = (daemon.tuners_in_use() == 0, daemon.process().descriptors());
            (free && descriptors <= limit).then_some(descriptors)
        })
    };
    let before = quiet(usize::MAX);
    tried(40);
    quiet(before);
}
