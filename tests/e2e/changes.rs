//! What an administrator changes under people who watch takes effect at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Daemon, End, LONG, Stopwatch, Upstream, Viewer, judge, until};

/// What was asked for is seen within this.
const AT_ONCE: Duration = Duration::from_millis(100);
/// The last free tuner need not rest, and the next source is not waited for.
const PROMPT: [(&str, &str); 3] =
    [("TUNER_COUNT", "1"), ("PREEMPT_SETTLE_DELAY", "0"), ("STALL_DETECT", "1s")];

/// A channel of two sources that somebody watches, and what that is so far.
fn watched() -> (Daemon, Upstream, i64, (Viewer, Vec<u8>)) {
    let (mut daemon, upstream) = (Daemon::start(&PROMPT), Upstream::start());
    let id = daemon.channel("100", &["/good/4000000/a", "/good/4000000/b"].map(|path| upstream.url(path)));
    let mut viewer = daemon.open("/auto/v100");
    let recording = viewer.watch(Duration::from_millis(500));
    (daemon, upstream, id, (viewer, recording))
}

fn sources(daemon: &Daemon, channel: i64) -> Vec<i64> {
    let listed = daemon.get(&format!("/api/channels/{channel}/sources")).json();
    listed["sources"].as_array().unwrap().iter().map(|source| source["source_id"].as_i64().unwrap()).collect()
}

/// The only session, as it is shown.
fn session(daemon: &Daemon) -> Value {
    daemon.tuners()["tuners"][0].clone()
}

fn change(daemon: &Daemon, method: &str, path: &str, body: &Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = daemon.ask(method, path, &body);
    assert!(
        (200..300).contains(&answer.status),
        "{method} {path}: {}",
        String::from_utf8_lossy(&answer.body)
    );
}

#[test]
fn a_source_that_is_taken_away_is_left_at_once_and_the_picture_goes_on_with_the_next() {
    for (method, reason) in [("PATCH", "admin_source_disabled"), ("DELETE", "admin_source_deleted")] {
        let (daemon, upstream, id, (mut viewer, mut recording)) = watched();
        let path = format!("/api/channels/{id}/sources/{}", sources(&daemon, id)[0]);
        let body = if method == "PATCH" { json!({"enabled": false}) } else { Value::Null };
        change(&daemon, method, &path, &body);
        let watch = Stopwatch::start();
        until(AT_ONCE, "a recovery begins", || (session(&daemon)["recovery_reason"] == reason).then_some(()));
        assert!(watch.elapsed() < AT_ONCE);
        until(LONG, "the other source is asked", || {
            (!upstream.requests("/good/4000000/b").is_empty()).then_some(())
        });
        recording.extend(viewer.watch(Duration::from_secs(2)));
        assert_eq!(judge(&recording).faults(), 0, "{:?}", judge(&recording));
        assert_eq!(session(&daemon)["source_id"], json!(sources(&daemon, id).last().unwrap()));
        assert_eq!(upstream.requests("/good/4000000/a").len(), 1, "the old one is not asked again");
    }
}

#[test]
fn a_channel_that_is_taken_away_ends_for_all_who_watch_and_frees_its_tuner() {
    for (method, reason) in [("PATCH", "admin_channel_disabled"), ("DELETE", "admin_channel_deleted")] {
        let (mut daemon, upstream, id, (mut viewer, _)) = watched();
        daemon.channel("200", &[upstream.url("/good/4000000/c")]);
        let body = if method == "PATCH" { json!({"enabled": false}) } else { Value::Null };
        change(&daemon, method, &format!("/api/channels/{id}"), &body);
        let watch = Stopwatch::start();
        assert_eq!(viewer.rest(LONG).1, End::Finished);
        assert!(watch.elapsed() < AT_ONCE, "{:?}", watch.elapsed());
        assert_eq!(daemon.tuners_in_use(), 0);
        let history = daemon.tuners()["session_history"][0].clone();
        assert_eq!(
            (&history["terminal_status"], &history["terminal_error"]),
            (&json!("canceled"), &json!(reason))
        );
        assert_eq!(daemon.get("/auto/v100").status, 404);
        let findings = judge(&daemon.open("/auto/v200").watch(Duration::from_millis(500)));
        assert!(findings.packets > 0 && findings.faults() == 0, "{findings:?}");
    }
}

#[test]
fn the_only_source_that_is_taken_away_ends_the_stream() {
    let (mut daemon, upstream) = (Daemon::start(&PROMPT), Upstream::start());
    let id = daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(500));
    change(
        &daemon,
        "DELETE",
        &format!("/api/channels/{id}/sources/{}", sources(&daemon, id)[0]),
        &Value::Null,
    );
    let watch = Stopwatch::start();
    assert_eq!(viewer.rest(LONG).1, End::Finished);
    assert!(watch.elapsed() < AT_ONCE, "{:?}", watch.elapsed());
    assert_eq!(daemon.tuners_in_use(), 0);
    assert_eq!(daemon.get("/auto/v100").header("X-Tunerd-Reason"), Some("no_sources"));
}

#[test]
fn a_new_number_or_order_interrupts_nobody_and_counts_from_now_on() {
    let (daemon, upstream, id, (mut viewer, mut recording)) = watched();
    let channel = format!("/api/channels/{id}");
    change(&daemon, "PATCH", &channel, &json!({"guide_number": "7.1"}));
    assert_eq!(daemon.get("/auto/v100").status, 404);
    // The same session: there is one tuner.
    daemon.open("/auto/v7.1").watch(Duration::from_millis(200));
    assert_eq!(upstream.requests("/good/4000000/a").len(), 1);
    let [first, second] = sources(&daemon, id)[..] else { panic!("it has two sources") };
    change(&daemon, "PATCH", &format!("{channel}/sources/reorder"), &json!({"source_ids": [second, first]}));
    recording.extend(viewer.watch(Duration::from_secs(1)));
    let findings = judge(&recording);
    assert!(findings.packets > 500 && findings.faults() == 0 && findings.signalled == 0, "{findings:?}");
    assert_eq!(upstream.requests("/good/4000000/b").len(), 0);
    drop(viewer);
    change(&daemon, "PATCH", &channel, &json!({"enabled": false}));
    until(LONG, "the tuner is free", || (daemon.tuners_in_use() == 0).then_some(()));
    change(&daemon, "PATCH", &channel, &json!({"enabled": true}));
    daemon.open("/auto/v7.1").watch(Duration::from_millis(200));
    assert_eq!(upstream.requests("/good/4000000/b").len(), 1, "the preferred one is another");
}
