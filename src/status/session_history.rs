//! Sessions that go on and sessions that have ended, as entries of one list.

use serde::Serialize;

use crate::engine::snapshot::ViewerSnapshot;
use crate::session::history::{SessionRecord, SubscriberWindow, WriteCounters};

use super::encode::{Address, address, is_zero};
use super::go_time::{GoTime, Moment};
use super::source::SourceHistory;

/// One session.
#[derive(Serialize, Debug)]
pub(super) struct SharedSessionHistory<'a> {
    session_id: u64,
    #[serde(skip_serializing_if = "is_zero")]
    channel_id: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    guide_number: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    guide_name: &'a str,
    /// -1 without a tuner.
    tuner_id: i32,
    opened_at: GoTime,
    closed_at: GoTime,
    active: bool,
    /// Only of a session that has ended: a session that goes on has not completed.
    #[serde(skip_serializing_if = "str::is_empty")]
    terminal_status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    terminal_error: &'a str,
    peak_subscribers: u64,
    total_subscribers: u64,
    completed_subscribers: u64,
    #[serde(flatten)]
    writes: Writes,
    recovery_cycle_count: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_recovery_reason: &'a str,
    source_select_count: u64,
    same_source_reselect_count: u64,
    last_source_selected_at: GoTime,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_source_select_reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_error: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<SourceHistory<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscribers: Vec<SubscriberHistory>,
    #[serde(skip_serializing_if = "is_zero")]
    source_history_limit: usize,
    #[serde(skip_serializing_if = "is_zero")]
    source_history_truncated_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    subscriber_history_limit: usize,
    #[serde(skip_serializing_if = "is_zero")]
    subscriber_history_truncated_count: u64,
}

/// What slow viewers cost a session.
#[derive(Serialize, Default, Debug)]
pub(super) struct Writes {
    slow_skip_events_total: u64,
    slow_skip_lag_chunks_total: u64,
    slow_skip_lag_bytes_total: u64,
    slow_skip_max_lag_chunks: u64,
    subscriber_write_deadline_timeouts_total: u64,
    subscriber_write_short_writes_total: u64,
    subscriber_write_blocked_duration_us: u64,
    subscriber_write_blocked_duration_ms: u64,
}

/// One viewer's time with it.
#[derive(Serialize, Debug)]
struct SubscriberHistory {
    subscriber_id: u64,
    client_addr: Address,
    connected_at: GoTime,
    closed_at: GoTime,
    #[serde(skip_serializing_if = "str::is_empty")]
    close_reason: &'static str,
}

impl Writes {
    pub(super) fn new(counters: &WriteCounters) -> Self {
        let blocked_us = u64::try_from(counters.blocked.as_micros()).unwrap_or(u64::MAX);
        Self {
            slow_skip_events_total: counters.slow_skip_events,
            slow_skip_lag_chunks_total: counters.slow_skip_lag_chunks,
            slow_skip_lag_bytes_total: counters.slow_skip_lag_bytes,
            slow_skip_max_lag_chunks: counters.slow_skip_max_lag_chunks,
            subscriber_write_deadline_timeouts_total: counters.deadline_timeouts,
            subscriber_write_short_writes_total: counters.short_writes,
            subscriber_write_blocked_duration_us: blocked_us,
            subscriber_write_blocked_duration_ms: blocked_us / 1000,
        }
    }
}

impl SubscriberHistory {
    fn gone(viewer: &SubscriberWindow, moment: Moment) -> Self {
        Self {
            subscriber_id: viewer.id,
            client_addr: address(viewer.peer),
            connected_at: moment.time(viewer.connected_at),
            closed_at: moment.time_or_never(viewer.left.map(|(at, _)| at)),
            close_reason: viewer.left.map_or("", |(_, reason)| reason.as_str()),
        }
    }

    fn watching(viewer: &ViewerSnapshot, moment: Moment) -> Self {
        Self {
            subscriber_id: viewer.id,
            client_addr: address(viewer.peer),
            connected_at: moment.time(viewer.joined_at),
            closed_at: GoTime::NEVER,
            close_reason: "",
        }
    }
}

impl<'a> SharedSessionHistory<'a> {
    /// A session with those who watch it now.
    pub(super) fn new(session: &'a SessionRecord, watching: &'a [ViewerSnapshot], moment: Moment) -> Self {
        let moment = moment.of_core(session.lost);
        let mut subscribers: Vec<_> =
            session.subscribers.iter().map(|viewer| SubscriberHistory::gone(viewer, moment)).collect();
        subscribers.extend(watching.iter().map(|viewer| SubscriberHistory::watching(viewer, moment)));
        subscribers.sort_by_key(|viewer| viewer.subscriber_id);
        let outcome = session.ended.as_ref().map(|ended| &ended.outcome);
        let error = outcome.and_then(|outcome| outcome.error()).unwrap_or_default();
        Self {
            session_id: session.id,
            channel_id: session.channel.0,
            guide_number: &session.guide_number,
            guide_name: &session.guide_name,
            tuner_id: session.tuner.map_or(-1, i32::from),
            opened_at: moment.time(session.opened_at),
            closed_at: moment.time_or_never(session.ended.as_ref().map(|ended| ended.at)),
            active: session.ended.is_none(),
            terminal_status: outcome.map_or("", |outcome| outcome.status()),
            terminal_error: error,
            peak_subscribers: session.viewers.peak,
            total_subscribers: session.viewers.total,
            completed_subscribers: session.viewers.completed,
            writes: Writes::new(&session.writes),
            recovery_cycle_count: session.recovery_cycles,
            last_recovery_reason: &session.recovery_reason,
            source_select_count: session.selections.count,
            same_source_reselect_count: session.selections.same_source,
            last_source_selected_at: moment.time_or_never(session.selections.last_at),
            last_source_select_reason: &session.selections.last_reason,
            last_error: error,
            sources: session.sources.iter().map(|window| SourceHistory::new(window, moment)).collect(),
            subscribers,
            source_history_limit: session.limits.sources,
            source_history_truncated_count: session.sources_truncated,
            subscriber_history_limit: session.limits.subscribers,
            subscriber_history_truncated_count: session.subscribers_truncated,
        }
    }
}
