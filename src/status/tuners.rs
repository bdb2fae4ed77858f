//! The answer of `GET /api/admin/tuners`. Names, order and what is left out when empty are a contract with
//! existing dashboards; fields that describe what cannot happen here stay and are zero.

use serde::Serialize;

use crate::base::Instant;
use crate::engine::snapshot::{CoreSnapshot, SessionSnapshot, SourceSnapshot, ViewerSnapshot};

use super::go_time::{GoTime, Moment, duration};

/// Reselections of one source in a row from which a session counts as troubled.
const RESELECT_ALERT_THRESHOLD: u64 = 3;
const KIND_CLIENT: &str = "client";

/// Everything.
#[derive(Serialize, Debug)]
pub struct TunerStatusSnapshot {
    generated_at: GoTime,
    tuner_count: usize,
    in_use_count: usize,
    idle_count: usize,
    churn: ChurnSummary,
    drain_wait: DrainWait,
    probe_close: ProbeClose,
    tuners: Vec<TunerStatus>,
    client_streams: Vec<ClientStreamStatus>,
}

/// How much the live sessions change sources.
#[derive(Serialize, Debug)]
struct ChurnSummary {
    reselect_alert_threshold: u64,
    session_count: usize,
    recovering_session_count: u64,
    sessions_with_reselect_count: u64,
    sessions_over_reselect_threshold: u64,
    total_recovery_cycles: u64,
    total_source_select_count: u64,
    total_same_source_reselect_count: u64,
    max_same_source_reselect_count: u64,
}

/// Nothing here waits for a drain by blocking, so it stays at zero.
#[derive(Serialize, Default, Debug)]
struct DrainWait {
    ok: u64,
    error: u64,
    wait_duration_us: u64,
    wait_duration_ms: u64,
}

/// Closing never blocks here, so it needs no queue and stays at zero.
#[derive(Serialize, Default, Debug)]
struct ProbeClose {
    inline_count: u64,
    queue_full_count: u64,
}

/// One tuner that is in use.
#[derive(Serialize, Debug)]
struct TunerStatus {
    tuner_id: u16,
    kind: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    guide_number: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    lease_client_addr: String,
    lease_started_at: GoTime,
    channel_id: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    guide_name: String,
    #[serde(flatten)]
    source: Option<SourceStatus>,
    session_started_at: GoTime,
    last_byte_at: GoTime,
    last_push_at: GoTime,
    bytes_read: u64,
    bytes_pushed: u64,
    chunks_pushed: u64,
    #[serde(flatten)]
    writes: WriteCounters,
    stall_count: u64,
    recovery_cycle: u64,
    recovery_keepalive_started_at: GoTime,
    recovery_keepalive_stopped_at: GoTime,
    source_select_count: u64,
    same_source_reselect_count: u64,
    last_source_selected_at: GoTime,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_source_select_reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_last_source_select: Option<String>,
    /// `null`, not an empty list, when nobody watches.
    subscribers: Option<Vec<Subscriber>>,
}

/// The selected source, as its tuner's row shows it.
#[derive(Serialize, Debug)]
struct SourceStatus {
    source_id: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_item_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_stream_url: String,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_probe_raw_bytes: u64,
    source_startup_inventory_method: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_video_streams: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_audio_streams: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_startup_video_codecs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_startup_audio_codecs: String,
    source_startup_component_state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    video_codec: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    audio_codec: String,
    #[serde(skip_serializing_if = "is_zero")]
    current_bitrate_bps: u64,
    producer: String,
}

/// What slow viewers cost a session.
#[derive(Serialize, Debug)]
struct WriteCounters {
    slow_skip_events_total: u64,
    slow_skip_lag_chunks_total: u64,
    slow_skip_lag_bytes_total: u64,
    slow_skip_max_lag_chunks: u64,
    subscriber_write_deadline_timeouts_total: u64,
    subscriber_write_short_writes_total: u64,
    subscriber_write_blocked_duration_us: u64,
    subscriber_write_blocked_duration_ms: u64,
}

/// A viewer in its tuner's row; the only names that are not in snake case.
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Subscriber {
    #[serde(rename = "SubscriberID")]
    subscriber_id: u64,
    client_addr: String,
    started_at: GoTime,
}

/// A viewer with what it watches.
#[derive(Serialize, Debug)]
struct ClientStreamStatus {
    tuner_id: u16,
    kind: &'static str,
    channel_id: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    guide_number: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    guide_name: String,
    #[serde(flatten)]
    source: Option<ClientSource>,
    subscriber_id: u64,
    client_addr: String,
    connected_at: GoTime,
}

/// The selected source, as a viewer's row shows it.
#[derive(Serialize, Debug)]
struct ClientSource {
    source_id: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_item_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_stream_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    video_codec: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    audio_codec: String,
    #[serde(skip_serializing_if = "is_zero")]
    current_bitrate_bps: u64,
    producer: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TunerStatusSnapshot {
    /// Of all cores. `moment` gives their monotonic times a wall time.
    #[must_use]
    pub fn new(cores: &[CoreSnapshot], moment: Moment) -> Self {
        let tuner_count = cores.iter().find_map(|core| core.tuner_count).unwrap_or(0);
        let in_use_count = cores.iter().find_map(|core| core.tuners_in_use).unwrap_or(0);
        let sessions = || cores.iter().flat_map(|core| &core.sessions);
        // A session that waits for its tuner is no tuner's row; those that wait are seen by their viewers only.
        let with_tuner = || sessions().filter_map(|session| Some((session.tuner?, session)));
        let mut tuners: Vec<_> =
            with_tuner().map(|(tuner, session)| TunerStatus::new(tuner, session, moment)).collect();
        tuners.sort_by_key(|row| row.tuner_id);
        let mut streams: Vec<_> = with_tuner()
            .flat_map(|(tuner, session)| session.viewers.iter().map(move |viewer| (tuner, session, viewer)))
            .collect();
        streams.sort_by_key(|(tuner, _, viewer)| (*tuner, viewer.joined_at, viewer.id));
        Self {
            generated_at: moment.now(),
            tuner_count,
            in_use_count,
            idle_count: tuner_count.saturating_sub(in_use_count),
            churn: ChurnSummary::new(sessions()),
            drain_wait: DrainWait::default(),
            probe_close: ProbeClose::default(),
            tuners,
            client_streams: streams
                .into_iter()
                .map(|(tuner, session, viewer)| ClientStreamStatus::new(tuner, session, viewer, moment))
                .collect(),
        }
    }
}

impl ChurnSummary {
    fn new<'a>(sessions: impl Iterator<Item = &'a SessionSnapshot>) -> Self {
        let (session_count, selects) =
            sessions.fold((0, 0), |(count, selects), session| (count + 1, selects + session.source_selects));
        Self {
            reselect_alert_threshold: RESELECT_ALERT_THRESHOLD,
            session_count,
            recovering_session_count: 0,
            sessions_with_reselect_count: 0,
            sessions_over_reselect_threshold: 0,
            total_recovery_cycles: 0,
            total_source_select_count: selects,
            total_same_source_reselect_count: 0,
            max_same_source_reselect_count: 0,
        }
    }
}

impl TunerStatus {
    fn new(tuner: u16, session: &SessionSnapshot, moment: Moment) -> Self {
        let selected_at: Option<Instant> = session.source.as_ref().map(|source| source.selected_at);
        let subscribers = session.viewers.iter().map(|viewer| Subscriber {
            subscriber_id: viewer.id,
            client_addr: viewer.peer.to_string(),
            started_at: moment.time(viewer.joined_at),
        });
        Self {
            tuner_id: tuner,
            kind: KIND_CLIENT,
            state: if session.viewers.is_empty() {
                "idle_grace_no_subscribers"
            } else {
                "active_subscribers"
            },
            guide_number: session.guide_number.clone(),
            lease_client_addr: format!("shared:{}", session.guide_number),
            lease_started_at: moment.time(session.started_at),
            channel_id: session.channel.0,
            guide_name: session.guide_name.clone(),
            source: session.source.as_ref().map(SourceStatus::new),
            session_started_at: moment.time(session.started_at),
            last_byte_at: moment.time_or_never(session.last_byte_at),
            last_push_at: moment.time_or_never(session.last_push_at),
            bytes_read: session.bytes_read,
            bytes_pushed: session.bytes_pushed,
            chunks_pushed: session.chunks_pushed,
            writes: WriteCounters::new(session),
            stall_count: 0,
            recovery_cycle: 0,
            recovery_keepalive_started_at: GoTime::NEVER,
            recovery_keepalive_stopped_at: GoTime::NEVER,
            source_select_count: session.source_selects,
            same_source_reselect_count: 0,
            last_source_selected_at: moment.time_or_never(selected_at),
            last_source_select_reason: session
                .source
                .as_ref()
                .map(|source| source.select_reason.clone())
                .unwrap_or_default(),
            since_last_source_select: selected_at.map(|at| duration(moment.at - at)),
            subscribers: if session.viewers.is_empty() { None } else { Some(subscribers.collect()) },
        }
    }
}

impl WriteCounters {
    fn new(session: &SessionSnapshot) -> Self {
        Self {
            slow_skip_events_total: session.slow_skip_events,
            slow_skip_lag_chunks_total: 0,
            slow_skip_lag_bytes_total: session.slow_skip_lag_bytes,
            slow_skip_max_lag_chunks: 0,
            subscriber_write_deadline_timeouts_total: session.write_timeouts,
            subscriber_write_short_writes_total: 0,
            subscriber_write_blocked_duration_us: 0,
            subscriber_write_blocked_duration_ms: 0,
        }
    }
}

/// The first of a comma-separated list.
fn first(codecs: &str) -> String {
    codecs.split(',').next().unwrap_or_default().to_owned()
}

fn producer(source: &SourceSnapshot) -> String {
    format!("{}:source={}", source.mode, source.id)
}

impl SourceStatus {
    fn new(source: &SourceSnapshot) -> Self {
        // Streams are only ever learnt from the programme map.
        let method = if source.component_state == "undetected" { "none" } else { "pmt" };
        Self {
            source_id: source.id.0,
            source_item_key: source.item_key.clone(),
            source_stream_url: source.url.clone(),
            source_startup_probe_raw_bytes: source.startup_bytes,
            source_startup_inventory_method: method,
            source_startup_video_streams: u64::from(source.video_streams),
            source_startup_audio_streams: u64::from(source.audio_streams),
            source_startup_video_codecs: source.video_codecs.clone(),
            source_startup_audio_codecs: source.audio_codecs.clone(),
            source_startup_component_state: source.component_state,
            video_codec: first(&source.video_codecs),
            audio_codec: first(&source.audio_codecs),
            current_bitrate_bps: source.bitrate_bps,
            producer: producer(source),
        }
    }
}

impl ClientStreamStatus {
    fn new(tuner: u16, session: &SessionSnapshot, viewer: &ViewerSnapshot, moment: Moment) -> Self {
        Self {
            tuner_id: tuner,
            kind: KIND_CLIENT,
            channel_id: session.channel.0,
            guide_number: session.guide_number.clone(),
            guide_name: session.guide_name.clone(),
            source: session.source.as_ref().map(|source| ClientSource {
                source_id: source.id.0,
                source_item_key: source.item_key.clone(),
                source_stream_url: source.url.clone(),
                video_codec: first(&source.video_codecs),
                audio_codec: first(&source.audio_codecs),
                current_bitrate_bps: source.bitrate_bps,
                producer: producer(source),
            }),
            subscriber_id: viewer.id,
            client_addr: viewer.peer.to_string(),
            connected_at: moment.time(viewer.joined_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde_json::json;

    use super::*;
    use crate::base::WallTime;
    use crate::engine::CoreId;
    use crate::engine::snapshot::{CoreCounters, SessionPhase};
    use crate::tuner::{ChannelId, SourceId};

    fn moment() -> Moment {
        Moment {
            at: Instant::from_millis(900_000),
            wall: WallTime::from_unix_nanos(1_772_396_100_000_000_000),
        }
    }

    fn viewer(id: u64, port: u16, joined_millis: u64) -> ViewerSnapshot {
        ViewerSnapshot {
            id,
            peer: SocketAddr::from(([192, 168, 1, 10], port)),
            joined_at: Instant::from_millis(joined_millis),
            bytes_sent: 0,
            lag_bytes: 0,
        }
    }

    fn source() -> SourceSnapshot {
        SourceSnapshot {
            id: SourceId(8),
            item_key: "src:news.one:5b1f0c2d9a7e".to_owned(),
            url: "http://cdn-b.example:8080/live/news-one.ts".to_owned(),
            mode: "ffmpeg-copy",
            selected_at: Instant::from_millis(609_500),
            select_reason: "initial_startup".to_owned(),
            startup_bytes: 188_000,
            video_codecs: "h264".to_owned(),
            audio_codecs: "aac,ac3".to_owned(),
            video_streams: 1,
            audio_streams: 2,
            component_state: "video_audio",
            bytes_since_select: 5,
            bitrate_bps: 4_400_000,
        }
    }

    fn session(tuner: Option<u16>, viewers: Vec<ViewerSnapshot>) -> SessionSnapshot {
        SessionSnapshot {
            id: 1,
            tuner,
            channel: ChannelId(42),
            guide_number: "101".to_owned(),
            guide_name: "News One".to_owned(),
            phase: SessionPhase::Live,
            started_at: Instant::from_millis(100),
            source: None,
            bytes_read: 492,
            bytes_pushed: 490,
            chunks_pushed: 9,
            last_byte_at: None,
            last_push_at: None,
            slow_skip_events: 0,
            slow_skip_lag_bytes: 0,
            write_timeouts: 0,
            writer_pauses: 0,
            source_selects: 0,
            viewers_peak: 0,
            viewers_total: 0,
            viewers,
        }
    }

    fn core(number: u8, sessions: Vec<SessionSnapshot>, tuners: Option<(usize, usize)>) -> CoreSnapshot {
        CoreSnapshot {
            core: CoreId(number),
            at: Instant::from_millis(900_000),
            counters: CoreCounters::default(),
            sessions,
            connections: 0,
            tuners_in_use: tuners.map(|(in_use, _)| in_use),
            tuner_count: tuners.map(|(_, count)| count),
        }
    }

    #[test]
    fn nothing_in_use_is_two_empty_lists_and_the_counters() {
        let json =
            serde_json::to_string(&TunerStatusSnapshot::new(&[core(0, Vec::new(), Some((0, 2)))], moment()))
                .unwrap();
        assert_eq!(
            json,
            r#"{"generated_at":"2026-03-01T20:15:00Z","tuner_count":2,"in_use_count":0,"idle_count":2,"churn":{"reselect_alert_threshold":3,"session_count":0,"recovering_session_count":0,"sessions_with_reselect_count":0,"sessions_over_reselect_threshold":0,"total_recovery_cycles":0,"total_source_select_count":0,"total_same_source_reselect_count":0,"max_same_source_reselect_count":0},"drain_wait":{"ok":0,"error":0,"wait_duration_us":0,"wait_duration_ms":0},"probe_close":{"inline_count":0,"queue_full_count":0},"tuners":[],"client_streams":[]}"#
        );
    }

    #[test]
    fn a_session_without_source_or_viewers_keeps_its_zero_times_and_its_null() {
        let row = TunerStatus::new(1, &session(Some(1), Vec::new()), moment());
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"tuner_id":1,"kind":"client","state":"idle_grace_no_subscribers","guide_number":"101","lease_client_addr":"shared:101","lease_started_at":"2026-03-01T20:00:00.1Z","channel_id":42,"guide_name":"News One","session_started_at":"2026-03-01T20:00:00.1Z","last_byte_at":"0001-01-01T00:00:00Z","last_push_at":"0001-01-01T00:00:00Z","bytes_read":492,"bytes_pushed":490,"chunks_pushed":9,"slow_skip_events_total":0,"slow_skip_lag_chunks_total":0,"slow_skip_lag_bytes_total":0,"slow_skip_max_lag_chunks":0,"subscriber_write_deadline_timeouts_total":0,"subscriber_write_short_writes_total":0,"subscriber_write_blocked_duration_us":0,"subscriber_write_blocked_duration_ms":0,"stall_count":0,"recovery_cycle":0,"recovery_keepalive_started_at":"0001-01-01T00:00:00Z","recovery_keepalive_stopped_at":"0001-01-01T00:00:00Z","source_select_count":0,"same_source_reselect_count":0,"last_source_selected_at":"0001-01-01T00:00:00Z","subscribers":null}"#
        );
    }

    #[test]
    fn the_selected_source_and_the_viewers_appear_under_their_names() {
        let mut live = session(Some(0), vec![viewer(1, 40_001, 100), viewer(3, 40_002, 432_250)]);
        live.source = Some(source());
        live.source_selects = 2;
        live.last_byte_at = Some(Instant::from_millis(899_980));
        let row = serde_json::to_value(TunerStatus::new(0, &live, moment())).unwrap();
        for (field, value) in [
            ("state", json!("active_subscribers")),
            ("source_id", json!(8)),
            ("source_stream_url", json!("http://cdn-b.example:8080/live/news-one.ts")),
            ("source_startup_probe_raw_bytes", json!(188_000)),
            ("source_startup_inventory_method", json!("pmt")),
            ("source_startup_audio_streams", json!(2)),
            ("source_startup_audio_codecs", json!("aac,ac3")),
            ("audio_codec", json!("aac")),
            ("current_bitrate_bps", json!(4_400_000)),
            ("producer", json!("ffmpeg-copy:source=8")),
            ("last_byte_at", json!("2026-03-01T20:14:59.98Z")),
            ("last_source_selected_at", json!("2026-03-01T20:10:09.5Z")),
            ("last_source_select_reason", json!("initial_startup")),
            ("since_last_source_select", json!("4m50.5s")),
        ] {
            assert_eq!(row[field], value, "{field}");
        }
        assert_eq!(
            row["subscribers"].to_string(),
            r#"[{"ClientAddr":"192.168.1.10:40001","StartedAt":"2026-03-01T20:00:00.1Z","SubscriberID":1},{"ClientAddr":"192.168.1.10:40002","StartedAt":"2026-03-01T20:07:12.25Z","SubscriberID":3}]"#
        );
    }

    #[test]
    fn rows_of_all_cores_are_sorted_and_each_viewer_has_one() {
        let cores = [
            core(
                0,
                vec![session(Some(1), vec![viewer(1, 1001, 50)]), session(None, Vec::new())],
                Some((2, 4)),
            ),
            core(1, vec![session(Some(0), vec![viewer(2, 1002, 90), viewer(1, 1003, 10)])], None),
        ];
        let status = TunerStatusSnapshot::new(&cores, moment());
        assert_eq!((status.tuner_count, status.in_use_count, status.idle_count), (4, 2, 2));
        assert_eq!(status.churn.session_count, 3);
        assert_eq!(status.tuners.iter().map(|row| row.tuner_id).collect::<Vec<_>>(), [0, 1]);
        let streams: Vec<_> =
            status.client_streams.iter().map(|row| (row.tuner_id, row.subscriber_id)).collect();
        assert_eq!(streams, [(0, 1), (0, 2), (1, 1)]);
    }
}
