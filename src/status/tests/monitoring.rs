//! What monitoring reads, and the second format of the status.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::{core, first_core, json, lease, recovering, session, streaming, viewer};
use crate::engine::snapshot::{CoreSnapshot, SessionSnapshot};
use crate::lineup::ChannelId;
use crate::status::{ControlMetrics, Metrics, MetricsFormat, PlaylistMetrics, second_format};
use crate::tuner::pool::Kind;

fn text(cores: &[CoreSnapshot], format: MetricsFormat) -> String {
    let playlist = PlaylistMetrics { id: 7, age: None, is_read: false, items: 3 };
    let control =
        ControlMetrics { wrong_passwords: 2, playlists: vec![playlist], ..ControlMetrics::default() };
    Metrics::new(cores, &control).write(format)
}

/// The value of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn world() -> Vec<CoreSnapshot> {
    let mut watched = streaming(1, 0);
    watched.viewers = vec![viewer(1, 100), viewer(2, 200)];
    watched.bitrate_bps = 4_400_000;
    let mut core = first_core(vec![lease(0, Kind::Client, "101", 1)], vec![watched]);
    core.counters.sends = 10;
    core.counters.zero_copy_sends = 3;
    core.counters.file_sends = 2;
    vec![core]
}

#[test]
fn metrics_and_the_status_say_the_same() {
    let cores = world();
    let (metrics, status) = (text(&cores, MetricsFormat::OpenMetrics), json(&cores));
    for (series, expected) in [
        ("tunerd_tuners", status["tuner_count"].as_f64()),
        ("tunerd_tuners_in_use", status["in_use_count"].as_f64()),
        ("tunerd_viewers", Some(2.0)),
        ("tunerd_sessions", status["churn"]["session_count"].as_f64()),
        ("tunerd_channel_viewers{channel=\"101\"}", Some(2.0)),
        (
            "tunerd_channel_bytes_per_second{channel=\"101\"}",
            status["tuners"][0]["current_bitrate_bps"].as_f64().map(|bits| bits / 8.0),
        ),
        ("tunerd_channel_read_bytes_total{channel=\"101\"}", status["tuners"][0]["bytes_read"].as_f64()),
        ("tunerd_channel_stalls_total{channel=\"101\"}", status["tuners"][0]["stall_count"].as_f64()),
        (
            "tunerd_channel_continuity_errors_total{channel=\"101\",direction=\"in\"}",
            status["tuners"][0]["continuity_errors_in"].as_f64(),
        ),
        (
            "tunerd_channel_continuity_errors_total{channel=\"101\",direction=\"out\"}",
            status["tuners"][0]["continuity_errors_out"].as_f64(),
        ),
        ("tunerd_channel_state{channel=\"101\",state=\"playing\"}", Some(1.0)),
        ("tunerd_channel_state{channel=\"101\",state=\"idle\"}", Some(0.0)),
        ("tunerd_core_sends_total{core=\"0\",way=\"copy\"}", Some(5.0)),
        ("tunerd_core_sends_total{core=\"0\",way=\"zero_copy\"}", Some(3.0)),
        ("tunerd_core_sends_total{core=\"0\",way=\"file\"}", Some(2.0)),
        ("tunerd_wrong_passwords_total", Some(2.0)),
        ("tunerd_playlist_items{playlist=\"7\"}", Some(3.0)),
        ("tunerd_playlist_read{playlist=\"7\"}", Some(0.0)),
        // Never read: it has no age.
        ("tunerd_playlist_age_seconds{playlist=\"7\"}", None),
        ("stream_slow_skip_events_total", Some(0.0)),
        ("stream_slow_skip_lag_bytes_bucket{le=\"33554432.0\"}", Some(0.0)),
        ("stream_close_with_timeout_release_underflow_total", Some(0.0)),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}\n{metrics}");
    }
}

#[test]
fn the_older_format_names_counters_as_their_series_and_has_no_end() {
    let cores = world();
    let (new, old) = (text(&cores, MetricsFormat::OpenMetrics), text(&cores, MetricsFormat::Text));
    assert!(new.ends_with("# EOF\n") && !old.contains("# EOF"));
    assert!(new.contains("# TYPE tunerd_viewer_joins counter\n"), "{new}");
    assert!(old.contains("# TYPE tunerd_viewer_joins_total counter\ntunerd_viewer_joins_total 0\n"), "{old}");
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(series(&new), series(&old));
    let typed: Vec<_> = old.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    assert_eq!(typed.len(), typed.iter().collect::<BTreeSet<_>>().len(), "each is told of once");
}

#[test]
fn a_guide_number_cannot_end_its_label_and_there_are_no_more_series_than_the_bound() {
    let strange = |id: u64, number: &str| {
        let mut session: SessionSnapshot = session(id, Some(u16::try_from(id).unwrap()));
        session.record.channel = ChannelId(i64::try_from(id).unwrap());
        session.record.guide_number = number.to_owned();
        session
    };
    let hostile = strange(1, "1\"} 7\n\\x");
    let metrics = text(&[core(0, vec![hostile])], MetricsFormat::Text);
    assert!(metrics.contains("tunerd_channel_viewers{channel=\"1\\\"} 7\\n\\\\x\"} 0"), "{metrics}");

    let many = (1..=600).map(|id| strange(id, &id.to_string())).collect();
    let metrics = text(&[core(0, many)], MetricsFormat::Text);
    let series = metrics.lines().filter(|line| line.starts_with("tunerd_channel_viewers{")).count();
    assert_eq!((series, value(&metrics, "tunerd_channels_unlisted")), (512, Some(88.0)));
}

/// Everything that is surprising in the first format.
fn surprises(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                // Maps by a source's number are no fields.
                let is_snake = name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit());
                if !is_snake || value.is_null() || value == "0001-01-01T00:00:00Z" {
                    found.push(format!("{name}: {value}"));
                }
                surprises(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|value| surprises(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn nothing_in_the_second_format_surprises() {
    let mut watched = recovering(2, 1);
    watched.viewers = vec![viewer(1, 100)];
    let leases = vec![lease(0, Kind::Client, "101", 1), lease(1, Kind::Client, "101", 2)];
    let mut document = json(&[first_core(leases, vec![session(1, Some(0)), watched])]);
    let mut before = Vec::new();
    surprises(&document, &mut before);
    assert!(before.len() > 5, "the first format has what this takes away: {before:?}");
    second_format(&mut document);
    let mut found = Vec::new();
    surprises(&document, &mut found);
    assert_eq!(found, [""; 0]);
    assert_eq!(
        (&document["format"], document["tuners"][0]["subscribers"].as_array().map(Vec::len)),
        (&2.into(), Some(0))
    );
    assert_eq!(document["tuners"][1]["subscribers"][0]["client_addr"], "192.168.1.10:40001");
    assert_eq!(document["client_streams"][0]["viewer_id"], "2-1");

    let mut idle = json(&[first_core(Vec::new(), Vec::new())]);
    second_format(&mut idle);
    assert_eq!(idle["session_history"], Value::Array(Vec::new()));
}
