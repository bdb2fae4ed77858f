//! What the answer says in each state.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{
    at, closed, core, failed, first_core, json, lease, recovering, session, shown, streaming, viewer,
};
use crate::engine::snapshot::{SessionPhase, SessionSnapshot, TunersSnapshot};
use crate::lineup::ChannelId;
use crate::session::history::{Outcome, SourceWindow};
use crate::status::{DrainWait, TunerStatusSnapshot};
use crate::tuner::pool::Kind;

const NEVER: &str = "0001-01-01T00:00:00Z";

/// The only tuner's row.
fn row(cores: &[crate::engine::snapshot::CoreSnapshot]) -> Value {
    let answer = json(cores);
    let rows = answer["tuners"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{answer}");
    rows[0].clone()
}

fn client(session: u64) -> Vec<crate::engine::snapshot::LeaseSnapshot> {
    vec![lease(0, Kind::Client, "101", session)]
}

#[test]
fn nothing_in_use_is_two_empty_lists_and_the_counters() {
    let mut idle = first_core(Vec::new(), Vec::new());
    idle.tuners = Some(TunersSnapshot { count: 2, in_use: 0, leases: Vec::new() });
    (idle.counters.given_bytes, idle.counters.accept_pauses) = (524_288, 1);
    (idle.counters.refused, idle.counters.refused_at_bound) = (9, 4);
    idle.counters.bytes_sent = 7000;
    idle.tallies.turned(Duration::from_millis(250));
    (idle.connections, idle.ring_bytes, idle.turn_longest) = (3, 11_010_048, Duration::from_micros(417));
    (idle.send_wait, idle.is_saturated) = (Duration::from_millis(120), true);
    (idle.counters.saturations, idle.counters.shed) = (2, 40);
    assert_eq!(
        shown(&[idle]),
        r#"{"generated_at":"2026-03-01T20:15:00Z","tuner_count":2,"in_use_count":0,"idle_count":2,"churn":{"reselect_alert_threshold":3,"session_count":0,"recovering_session_count":0,"sessions_with_reselect_count":0,"sessions_over_reselect_threshold":0,"total_recovery_cycles":0,"total_source_select_count":0,"total_same_source_reselect_count":0,"max_same_source_reselect_count":0},"drain_wait":{"ok":0,"error":0,"wait_duration_us":0,"wait_duration_ms":0},"probe_close":{"inline_count":0,"queue_full_count":0},"tuners":[],"client_streams":[],"session_history_limit":256,"cores":[{"core":0,"viewers":0,"connections":3,"ring_bytes":11010048,"given_bytes_total":524288,"turn_longest_us":417,"send_wait_us":120000,"is_saturated":true,"saturations_total":2,"shed_total":40,"refused_total":9,"refused_at_bound_total":4,"accept_pauses_total":1,"sent_bytes_total":7000,"busy_us_total":250000}],"playlists":[{"playlist_id":1,"connections":0,"connections_counted":1,"connections_max":4},{"playlist_id":9,"connections":0,"connections_counted":0}],"version":"VERSION","started_at":"2026-03-01T20:00:00Z"}"#
            .replace("VERSION", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_row_without_session_keeps_its_zero_times_and_its_null() {
    let probe = first_core(vec![lease(1, Kind::Probe, "probe:src:sports.one", 9)], Vec::new());
    let answer = shown(&[probe]);
    let row = answer.split_once(r#""tuners":["#).unwrap().1.split_once(r#"],"client_streams""#).unwrap().0;
    assert_eq!(
        row,
        r#"{"tuner_id":1,"kind":"probe","state":"probe","guide_number":"probe:src:sports.one","lease_client_addr":"auto-prioritize","lease_started_at":"2026-03-01T20:00:00.05Z","session_started_at":"0001-01-01T00:00:00Z","last_byte_at":"0001-01-01T00:00:00Z","last_push_at":"0001-01-01T00:00:00Z","bytes_read":0,"bytes_pushed":0,"chunks_pushed":0,"continuity_errors_in":0,"continuity_errors_out":0,"slow_skip_events_total":0,"slow_skip_lag_chunks_total":0,"slow_skip_lag_bytes_total":0,"slow_skip_max_lag_chunks":0,"subscriber_write_deadline_timeouts_total":0,"subscriber_write_short_writes_total":0,"subscriber_write_blocked_duration_us":0,"subscriber_write_blocked_duration_ms":0,"stall_count":0,"recovery_cycle":0,"recovery_keepalive_started_at":"0001-01-01T00:00:00Z","recovery_keepalive_stopped_at":"0001-01-01T00:00:00Z","source_select_count":0,"same_source_reselect_count":0,"last_source_selected_at":"0001-01-01T00:00:00Z","subscribers":null}"#
    );
}

#[test]
fn what_a_session_does_is_told_in_a_word() {
    let of = |mut session: SessionSnapshot, phase| {
        session.phase = phase;
        row(&[first_core(client(5), vec![session])])["activity"].clone()
    };
    for (phase, word, while_recovering) in [
        (SessionPhase::Starting, "starting", "starting"),
        (SessionPhase::Live, "playing", "recovering"),
        (SessionPhase::Idle, "idle", "idle"),
        (SessionPhase::Ending, "ending", "ending"),
    ] {
        assert_eq!(of(streaming(5, 0), phase), word);
        let mut lost = streaming(5, 0);
        lost.recovery.in_progress = true;
        assert_eq!(of(lost, phase), while_recovering);
    }
    assert_eq!(row(&[first_core(client(5), Vec::new())])["activity"], Value::Null);
}

#[test]
fn a_viewer_is_shown_with_what_it_has_got_and_what_it_lags() {
    let mut session = streaming(5, 0);
    (session.viewers[0].bytes_sent, session.viewers[0].lag_bytes) = (1_880_000, 37_600);
    let answer = json(&[first_core(client(5), vec![session])]);
    let viewer = &answer["client_streams"][0];
    assert_eq!((&viewer["bytes_sent"], &viewer["lag_bytes"]), (&1_880_000.into(), &37_600.into()));
}

#[test]
fn the_state_of_a_tuner_follows_from_its_lease_its_session_and_its_viewers() {
    let with_viewers = |mut session: SessionSnapshot, count: u64| {
        session.viewers = (1..=count).map(|id| viewer(id, 100)).collect();
        vec![session]
    };
    let probe = || vec![lease(0, Kind::Probe, "probe:a", 1)];
    for (leases, sessions, state) in [
        (probe(), Vec::new(), "probe"),
        (client(1), with_viewers(session(1, Some(0)), 1), "active_subscribers"),
        (client(1), with_viewers(session(1, None), 1), "active_subscribers"),
        (client(1), with_viewers(session(1, Some(0)), 0), "idle_grace_no_subscribers"),
        (client(1), Vec::new(), "allocating_session"),
        // Sessions the pool has no lease for any more: between the copies of two cores.
        (Vec::new(), with_viewers(streaming(1, 0), 1), "active_subscribers"),
        (Vec::new(), with_viewers(streaming(1, 0), 0), "idle_grace_no_subscribers"),
    ] {
        let has_lease = !leases.is_empty();
        let row = row(&[first_core(leases, sessions)]);
        assert_eq!(row["state"], state);
        assert_eq!(row["lease_started_at"] != NEVER, has_lease);
    }
}

#[test]
fn a_probe_that_has_the_number_of_a_session_is_not_that_session() {
    let answer = json(&[first_core(vec![lease(1, Kind::Probe, "probe:a", 2)], vec![streaming(2, 0)])]);
    let rows: Vec<_> =
        answer["tuners"].as_array().unwrap().iter().map(|row| (&row["kind"], &row["channel_id"])).collect();
    assert_eq!(rows, [(&json!("client"), &json!(42)), (&json!("probe"), &Value::Null)]);
}

#[test]
fn churn_without_sessions_is_zero_and_names_nobody() {
    assert_eq!(
        json(&[])["churn"],
        json!({"reselect_alert_threshold":3,"session_count":0,"recovering_session_count":0,
            "sessions_with_reselect_count":0,"sessions_over_reselect_threshold":0,"total_recovery_cycles":0,
            "total_source_select_count":0,"total_same_source_reselect_count":0,
            "max_same_source_reselect_count":0})
    );
}

#[test]
fn churn_adds_up_the_sessions_and_names_the_first_with_the_most_reselections() {
    let churning = |id, tuner, cycles, reason: &str, count, same_source| {
        let mut session = streaming(id, tuner);
        let record = &mut session.record;
        record.channel = ChannelId(i64::from(tuner) + 40);
        record.guide_number = format!("{}", 100 + tuner);
        record.recovery_cycles = cycles;
        record.recovery_reason = reason.to_owned();
        (record.selections.count, record.selections.same_source) = (count, same_source);
        session
    };
    let cores = [
        core(0, vec![churning(1, 3, 2, "stall", 4, 3), churning(3, 1, 5, "source_eof", 6, 4)]),
        core(1, vec![churning(2, 0, 0, "", 1, 0), churning(4, 2, 0, "manual_trigger", 2, 4)]),
    ];
    assert_eq!(
        json(&cores)["churn"],
        json!({"reselect_alert_threshold":3,"session_count":4,"recovering_session_count":3,
            "sessions_with_reselect_count":3,"sessions_over_reselect_threshold":3,"total_recovery_cycles":7,
            "total_source_select_count":13,"total_same_source_reselect_count":11,
            "max_same_source_reselect_count":4,"max_reselect_channel_id":41,"max_reselect_guide_number":"101"})
    );
}

#[test]
fn waits_for_the_end_of_sessions_are_told_in_both_units() {
    for (waited_us, expected) in [
        (0, json!({"ok":0,"error":0,"wait_duration_us":0,"wait_duration_ms":0})),
        (1_999, json!({"ok":2,"error":1,"wait_duration_us":1999,"wait_duration_ms":1})),
    ] {
        let drain = if waited_us == 0 {
            DrainWait::default()
        } else {
            DrainWait { ok: 2, error: 1, waited: std::time::Duration::from_micros(waited_us) }
        };
        let answer = TunerStatusSnapshot::new(&[], drain, super::world::moment());
        assert_eq!(serde_json::to_value(&answer).unwrap()["drain_wait"], expected);
    }
}

#[test]
fn closing_probes_never_blocks_so_its_counters_are_there_and_zero() {
    assert_eq!(json(&[])["probe_close"], json!({"inline_count":0,"queue_full_count":0}));
}

#[test]
fn everything_known_of_a_session_is_in_its_row() {
    let row = row(&[first_core(client(5), vec![recovering(5, 0)])]);
    for (field, value) in [
        ("guide_number", json!("101")),
        ("lease_client_addr", json!("shared:101")),
        ("source_id", json!(8)),
        ("source_startup_probe_bytes", json!(150_400)),
        ("source_startup_random_access_codec", json!("h264")),
        ("source_startup_audio_codecs", json!("aac,ac3")),
        ("source_startup_retry_relaxed_probe_reason", json!("startup_detection_incomplete")),
        ("resolution", json!("1280x720")),
        ("frame_rate", json!(59.94)),
        ("current_bitrate_bps", json!(4_400_000)),
        ("producer", json!("ffmpeg-copy:source=8:startup_retry_relaxed_probe")),
        ("last_byte_at", json!("2026-03-01T20:14:59.98Z")),
        ("subscriber_write_blocked_duration_us", json!(1_840_211)),
        ("subscriber_write_blocked_duration_ms", json!(1_840)),
        ("recovery_transition_effective_mode", json!("default")),
        ("recovery_transition_fallback_reason", json!("default: idr_not_ready")),
        ("recovery_keepalive_mode", json!("psi")),
        ("recovery_keepalive_stopped_at", json!(NEVER)),
        ("recovery_keepalive_duration", json!("4.5s")),
        ("recovery_keepalive_realtime_multiplier", json!(1.1)),
        ("last_source_selected_at", json!("2026-03-01T20:10:09.5Z")),
        ("since_last_source_select", json!("4m50.5s")),
        ("source_health_persist_dropped_by_source", json!({"7": 1, "8": 3})),
    ] {
        assert_eq!(row[field], value, "{field}");
    }
    assert!(shown(&[first_core(client(5), vec![recovering(5, 0)])]).contains(r#"_per_second":500000,"#));
}

#[test]
fn a_keepalive_that_has_stopped_keeps_its_numbers_and_loses_its_mode() {
    let mut live = recovering(5, 0);
    let keepalive = live.recovery.keepalive.as_mut().unwrap();
    (keepalive.mode, keepalive.stopped_at) = (None, Some(at(897_500)));
    let row = row(&[first_core(client(5), vec![live])]);
    assert_eq!(row["recovery_keepalive_duration"], "2s");
    assert_eq!(row["recovery_keepalive_stopped_at"], "2026-03-01T20:14:57.5Z");
    assert_eq!(
        (&row["recovery_keepalive_mode"], &row["recovery_keepalive_chunks"]),
        (&Value::Null, &json!(40))
    );
}

#[test]
fn half_a_resolution_is_none() {
    let mut live = streaming(1, 0);
    let mut half = SourceWindow::clone(&live.record.sources[0]);
    (half.source.profile.width, half.source.profile.height) = (1280, 0);
    live.record.sources = vec![half.into()];
    assert_eq!(row(&[first_core(client(1), vec![live])])["resolution"], Value::Null);
}

#[test]
fn two_viewers_are_one_tuner_and_two_streams_sorted_by_tuner_and_time() {
    let mut late = streaming(2, 1);
    late.viewers = vec![viewer(2, 90), viewer(1, 10)];
    let leases = vec![lease(1, Kind::Client, "101", 2), lease(0, Kind::Client, "101", 1)];
    let answer = json(&[first_core(leases, vec![late]), core(1, vec![streaming(1, 0), session(7, None)])]);
    let ids: Vec<_> = answer["tuners"].as_array().unwrap().iter().map(|row| &row["tuner_id"]).collect();
    assert_eq!(ids, [0, 1]);
    assert_eq!(answer["churn"]["session_count"], 2, "a session without a tuner is not yet one");
    let streams: Vec<_> = answer["client_streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["tuner_id"].as_u64().unwrap(), row["subscriber_id"].as_u64().unwrap()))
        .collect();
    assert_eq!(streams, [(0, 1), (0, 3), (1, 1), (1, 2)]);
    assert_eq!(
        answer["tuners"][0]["subscribers"],
        json!([
            {"SubscriberID":1,"ClientAddr":"192.168.1.10:40001","StartedAt":"2026-03-01T20:00:00.1Z"},
            {"SubscriberID":3,"ClientAddr":"192.168.1.10:40003","StartedAt":"2026-03-01T20:07:12.25Z"}
        ])
    );
}

#[test]
fn sessions_that_go_on_and_that_have_ended_are_one_history() {
    let mut only = first_core(client(12), vec![streaming(12, 0)]);
    only.closed = closed(2, [failed(10, "refused"), failed(11, "upstream returned status 404: gone")]);
    only.closed.truncated = 5;
    let answer = json(&[only]);
    let entries = answer["session_history"].as_array().unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry["session_id"].as_u64().unwrap(), entry["active"] == true))
        .collect();
    assert_eq!(seen, [(11, false), (10, false)], "of those that began together the ended ones come first");
    assert_eq!(
        (&answer["session_history_limit"], &answer["session_history_truncated_count"]),
        (&json!(2), &json!(5))
    );
    let entry = &entries[0];
    for (field, value) in [
        ("tuner_id", json!(1)),
        ("closed_at", json!("2026-03-01T20:00:03.3Z")),
        ("terminal_status", json!("error")),
        ("terminal_error", json!("upstream returned status 404: gone")),
        ("last_error", json!("upstream returned status 404: gone")),
        ("last_source_selected_at", json!(NEVER)),
        ("sources", Value::Null),
        ("source_history_limit", json!(256)),
    ] {
        assert_eq!(entry[field], value, "{field}");
    }
    assert_eq!(entry["subscribers"][0]["close_reason"], "session_closed");
}

#[test]
fn a_session_that_goes_on_has_no_end_in_the_history() {
    let answer = json(&[first_core(client(12), vec![streaming(12, 0)])]);
    let entry = &answer["session_history"][0];
    assert_eq!((&entry["active"], &entry["closed_at"]), (&json!(true), &json!(NEVER)));
    assert_eq!((&entry["terminal_status"], &entry["terminal_error"]), (&Value::Null, &Value::Null));
    assert_eq!(entry["sources"][0]["deselected_at"], NEVER);
    let viewers: Vec<_> = entry["subscribers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|viewer| {
            let reason = viewer["close_reason"].as_str().unwrap_or("watches");
            (viewer["subscriber_id"].as_u64().unwrap(), reason, viewer["closed_at"] == NEVER)
        })
        .collect();
    assert_eq!(viewers, [(1, "watches", true), (2, "http_context_canceled", false), (3, "watches", true)]);
}

#[test]
fn an_end_is_told_by_its_word() {
    for (outcome, status, error) in [
        (Outcome::Completed, "completed", Value::Null),
        (Outcome::Canceled("canceled".to_owned()), "canceled", json!("canceled")),
        (Outcome::Failed("source ended".to_owned()), "error", json!("source ended")),
    ] {
        let mut record = failed(1, "");
        record.ended.as_mut().unwrap().outcome = outcome;
        let mut only = first_core(Vec::new(), Vec::new());
        only.closed = closed(2, [record]);
        let entry = &json(&[only])["session_history"][0];
        assert_eq!((&entry["terminal_status"], &entry["terminal_error"]), (&json!(status), &error));
    }
}

#[test]
fn a_tuner_nobody_watches_has_null_for_viewers() {
    let mut idle = streaming(1, 0);
    idle.viewers.clear();
    let row = row(&[first_core(client(1), vec![idle])]);
    assert!(row.as_object().unwrap().contains_key("subscribers"));
    assert_eq!(row["subscribers"], Value::Null);
}

#[test]
fn without_cores_only_the_time_means_anything() {
    let answer = json(&[]);
    assert_eq!(answer["generated_at"], "2026-03-01T20:15:00Z");
    assert_eq!(
        (&answer["tuner_count"], &answer["tuners"], &answer["client_streams"]),
        (&json!(0), &json!([]), &json!([]))
    );
}

#[test]
fn addresses_of_sources_are_shown_as_the_core_has_redacted_them() {
    let url = "http://cdn-b.example:8080/live/news-one.ts";
    let answer = json(&[first_core(client(1), vec![streaming(1, 0)])]);
    assert_eq!(answer["tuners"][0]["source_stream_url"], url);
    assert_eq!(answer["client_streams"][0]["source_stream_url"], url);
    assert_eq!(answer["session_history"][0]["sources"][0]["stream_url"], url);
}

#[test]
fn five_thousand_viewers_are_written_once_each_in_three_lists() {
    let mut busy = streaming(1, 0);
    busy.viewers = (1..=5000).map(|id| viewer(id, id)).collect();
    let cores = [first_core(client(1), vec![busy])];
    let clock = crate::base::Clock::start();
    let began = clock.now();
    let answer = shown(&cores);
    println!("{} bytes for 5000 viewers in {:?}", answer.len(), clock.now() - began);
    for (field, count) in [("\"SubscriberID\":", 5000), ("\"client_addr\":", 10_001), ("\"tuner_id\":", 5002)]
    {
        assert_eq!(answer.matches(field).count(), count, "{field}");
    }
}
