//! What administrators see: sessions, their past, and what becomes of a wish.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Daemon, Upstream, until};

const SHORT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(15);
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The entries of the history that have ended, once there are as many.
fn ended(daemon: &Daemon, count: usize) -> Vec<Value> {
    until(SHORT, "the sessions have ended", || {
        let answer = daemon.tuners();
        let entries = answer["session_history"].as_array().cloned().unwrap_or_default();
        let ended: Vec<_> = entries.into_iter().filter(|entry| entry["active"] == false).collect();
        (ended.len() == count).then_some(ended)
    })
}

#[test]
fn the_rate_of_a_source_is_profiled_when_it_is_known_at_last() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    let channel = daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let mut viewer = daemon.open("/auto/v100");
    let is_right = |rate: &Value| rate.as_u64().is_some_and(|rate| (3_000_000..5_000_000).contains(&rate));
    until(LONG, "the rate is in the status and in the database", || {
        viewer.watch(Duration::from_millis(100));
        let status = daemon.tuners();
        let sources = daemon.get(&format!("/api/channels/{channel}/sources")).json();
        let stored = &sources["sources"][0]["profile_bitrate_bps"];
        (is_right(&status["tuners"][0]["profile_bitrate_bps"]) && is_right(stored)).then_some(())
    });
}

#[test]
fn a_session_is_seen_while_it_lasts_and_remembered_when_it_is_over() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("SESSION_IDLE_TIMEOUT", "0")]);
    let shown = upstream.url("/good/4000000/a");
    let secret = shown.replace("http://", "http://user:hunter2@") + "?token=hunter2";
    let channel = daemon.channel("100", &[upstream.url("/missing/a"), secret]);
    let mut viewer = daemon.open("/auto/v100");
    viewer.watch(Duration::from_millis(300));

    let answer = daemon.get("/api/admin/tuners");
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(text.ends_with("}\n") && !text.contains("hunter2"), "{text}");
    let status = answer.json();
    let (row, entry) = (&status["tuners"][0], &status["session_history"][0]);
    for (value, expected) in [
        (&row["state"], json!("active_subscribers")),
        (&row["lease_client_addr"], json!("shared:100")),
        (&row["channel_id"], json!(channel)),
        (&row["source_stream_url"], json!(shown)),
        (&row["source_startup_random_access_codec"], json!("h264")),
        (&row["last_source_select_reason"], json!("initial_startup")),
        (&row["subscribers"][0]["ClientAddr"], json!(viewer.address())),
        (&status["client_streams"][0]["source_stream_url"], json!(shown)),
        (&entry["active"], json!(true)),
        (&entry["terminal_status"], Value::Null),
        (&entry["sources"][0]["stream_url"], json!(shown)),
        (&entry["sources"][0]["deselected_at"], json!(NEVER)),
        (&entry["subscribers"][0]["subscriber_id"], json!(1)),
        (&status["session_history_limit"], json!(256)),
    ] {
        assert_eq!(*value, expected, "{text}");
    }
    // A rate is of the time since the start, and on a busy machine the source is read late.
    until(SHORT, "the rate of the source is known", || {
        let status = daemon.tuners();
        (status["tuners"][0]["current_bitrate_bps"].as_u64()? > 1_000_000).then_some(())
    });

    drop(viewer);
    let entry = &ended(&daemon, 1)[0];
    for (value, expected) in [
        (&entry["terminal_status"], json!("completed")),
        (&entry["peak_subscribers"], json!(1)),
        (&entry["completed_subscribers"], json!(1)),
        (&entry["source_select_count"], json!(1)),
        (&entry["subscribers"][0]["close_reason"], json!("http_context_canceled")),
        (&entry["sources"][0]["deselected_at"], entry["closed_at"].clone()),
    ] {
        assert_eq!(*value, expected, "{entry}");
    }
    for event in [
        "msg=\"shared session created\" session_id=1",
        "msg=\"shared session entered active_subscribers\"",
        "msg=\"shared session source failed to start\"",
        "msg=\"shared session ready\"",
        "msg=\"shared session selected source\"",
        "msg=\"stream subscriber canceled\"",
        "msg=\"shared session canceled while idle\" session_id=1",
        "msg=\"shared stream session stopped\"",
        "msg=\"tuner lease released\" tuner_id=0 label=",
    ] {
        until(SHORT, event, || daemon.log().contains(event).then_some(()));
    }
    assert!(!daemon.log().contains("hunter2"));
}

#[test]
fn of_sessions_that_could_not_start_the_newest_are_remembered_with_why() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("SESSION_HISTORY_LIMIT", "2"), ("PREEMPT_SETTLE_DELAY", "0")]);
    daemon.channel("100", &[upstream.url("/missing/a")]);
    for _ in 0..3 {
        assert_eq!(daemon.get("/auto/v100").status, 503);
    }
    let entries = ended(&daemon, 2);
    let status = daemon.tuners();
    assert_eq!(status["session_history_truncated_count"], 1);
    assert_eq!(daemon.tuners()["session_history"], status["session_history"], "a look changes nothing");
    // As text, a time without a last digit of nought is not in its place.
    let opened_at = |entry: &Value| entry["opened_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let opened: Vec<_> = entries.iter().map(opened_at).collect();
    assert!(opened[0] >= opened[1], "{opened:?}");
    for entry in entries {
        assert_eq!((&entry["terminal_status"], &entry["sources"]), (&json!("error"), &Value::Null));
        assert!(entry["terminal_error"].as_str().unwrap().contains("404"), "{entry}");
        assert_eq!(entry["terminal_error"], entry["last_error"]);
        assert_eq!(entry["subscribers"][0]["close_reason"], "session_closed");
    }
}

#[test]
fn who_waits_for_a_picture_is_a_subscriber_of_a_session_without_source() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[("STARTUP_TIMEOUT", "20s")]);
    daemon.channel("100", &[upstream.url("/silent/a")]);
    let mut waiting = std::net::TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
    std::io::Write::write_all(&mut waiting, b"GET /auto/v100 HTTP/1.1\r\n\r\n").unwrap();
    let row = until(SHORT, "somebody waits", || {
        let row = daemon.tuners()["tuners"][0].clone();
        row["subscribers"].is_array().then_some(row)
    });
    assert_eq!((&row["state"], &row["source_id"]), (&json!("active_subscribers"), &Value::Null));
    drop(waiting);
    let entry = &ended(&daemon, 1)[0];
    assert_eq!(entry["terminal_status"], "canceled", "{entry}");
    assert_eq!(entry["subscribers"][0]["close_reason"], "http_context_canceled");
    until(SHORT, "the log says why", || {
        daemon.log().contains("reason=no_subscribers_before_ready").then_some(())
    });
}

#[test]
fn a_wish_for_a_channel_that_nobody_watches_is_refused_in_plain_text() {
    let daemon = Daemon::start(&[("ADMIN_JSON_BODY_LIMIT_BYTES", "200")]);
    let long = "x".repeat(300);
    for (body, status) in [
        (json!({"channel_id": 1}), 404),
        (json!({"channel_id": 0}), 400),
        (json!({"channel_id": 1, "why": "x"}), 400),
        (json!({"channel_id": 1, "reason": long}), 413),
    ] {
        let answer = daemon.ask("POST", "/api/admin/tuners/recovery", &body.to_string());
        assert_eq!(answer.status, status, "{body}");
        if status != 413 {
            assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
        }
    }
}
