//! A tuner that is in use, with the session that has it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::snapshot::{
    DatagramCounters, HealthPersistSnapshot, KeepaliveReport, LeaseSnapshot, RecoverySnapshot,
    SessionSnapshot,
};
use crate::filler::Mode;
use crate::lineup::SourceId;
use crate::tuner::pool::Kind;

use super::encode::{Address, address, float, is_zero};
use super::go_time::{GoTime, Moment, duration};
use super::session_history::Writes;
use super::source::{SourceIdentity, SourceStartup, Stream};
use super::words;

/// The way a session's boundaries are made; there is one.
const TRANSITION_MODE: &str = "default";

/// A tuner and who has it. One of the two is always known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) tuner: u16,
    pub(super) kind: Kind,
    pub(super) lease: Option<&'a LeaseSnapshot>,
    pub(super) session: Option<&'a SessionSnapshot>,
}

/// The row.
#[derive(Serialize, Debug)]
pub(super) struct TunerStatus<'a> {
    tuner_id: u16,
    kind: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    guide_number: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    lease_client_addr: String,
    lease_started_at: GoTime,
    #[serde(skip_serializing_if = "is_zero")]
    channel_id: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    guide_name: &'a str,
    #[serde(flatten)]
    source: SourceIdentity<'a>,
    #[serde(flatten)]
    startup: SourceStartup<'a>,
    #[serde(flatten)]
    stream: Stream<'a>,
    #[serde(flatten)]
    flow: Flow,
    #[serde(flatten)]
    datagrams: Datagrams,
    #[serde(flatten)]
    writes: Writes,
    #[serde(flatten)]
    recovery: Recovery<'a>,
    #[serde(flatten)]
    keepalive: Keepalive<'a>,
    #[serde(flatten)]
    selection: Selection<'a>,
    #[serde(flatten)]
    health: Health<'a>,
    /// What the session does, in a word; nothing without one. Not of the reference.
    #[serde(skip_serializing_if = "str::is_empty")]
    activity: &'static str,
    /// `null`, not an empty list, when nobody watches.
    subscribers: Option<Vec<SubscriberStats>>,
}

/// What flows through the session.
#[derive(Serialize, Default, Debug)]
struct Flow {
    session_started_at: GoTime,
    last_byte_at: GoTime,
    last_push_at: GoTime,
    bytes_read: u64,
    bytes_pushed: u64,
    chunks_pushed: u64,
    /// Places where packets are missing: in what comes from the sources, and in what viewers get. Not of the reference.
    continuity_errors_in: u64,
    continuity_errors_out: u64,
}

/// What has come in datagrams, over all sources.
#[derive(Serialize, Default, Debug)]
struct Datagrams {
    #[serde(skip_serializing_if = "is_zero")]
    source_datagrams: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_datagrams_dropped: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_datagrams_lost: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_datagrams_reordered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_datagrams_late: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_datagrams_duplicate: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_datagrams_ignored: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_datagram_sender_changes: u64,
}

/// How it got over the loss of sources.
#[derive(Serialize, Default, Debug)]
struct Recovery<'a> {
    stall_count: u64,
    recovery_cycle: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_transition_mode: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_transition_effective_mode: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_transition_signals_applied: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_transition_signal_skips: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    recovery_transition_fallback_count: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_transition_fallback_reason: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    recovery_transition_stitch_applied: bool,
}

/// What filled the gaps.
#[derive(Serialize, Default, Debug)]
struct Keepalive<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_keepalive_mode: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    recovery_keepalive_fallback_count: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_keepalive_fallback_reason: &'a str,
    recovery_keepalive_started_at: GoTime,
    recovery_keepalive_stopped_at: GoTime,
    #[serde(skip_serializing_if = "String::is_empty")]
    recovery_keepalive_duration: String,
    #[serde(skip_serializing_if = "is_zero")]
    recovery_keepalive_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    recovery_keepalive_chunks: u64,
    #[serde(skip_serializing_if = "is_zero", serialize_with = "float")]
    recovery_keepalive_rate_bytes_per_second: f64,
    #[serde(skip_serializing_if = "is_zero", serialize_with = "float")]
    recovery_keepalive_expected_rate_bytes_per_second: f64,
    #[serde(skip_serializing_if = "is_zero", serialize_with = "float")]
    recovery_keepalive_realtime_multiplier: f64,
    #[serde(skip_serializing_if = "is_zero")]
    recovery_keepalive_guardrail_count: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    recovery_keepalive_guardrail_reason: &'a str,
}

/// How its sources were selected.
#[derive(Serialize, Default, Debug)]
struct Selection<'a> {
    source_select_count: u64,
    same_source_reselect_count: u64,
    last_source_selected_at: GoTime,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_source_select_reason: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    since_last_source_select: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_error: &'a str,
}

/// What did not reach the database one by one.
#[derive(Serialize, Default, Debug)]
struct Health<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    source_health_persist_coalesced_total: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_health_persist_dropped_total: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "by_source")]
    source_health_persist_coalesced_by_source: Option<&'a BTreeMap<SourceId, u64>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "by_source")]
    source_health_persist_dropped_by_source: Option<&'a BTreeMap<SourceId, u64>>,
}

/// A viewer in its tuner's row; the only names that are not in snake case.
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct SubscriberStats {
    #[serde(rename = "SubscriberID")]
    subscriber_id: u64,
    client_addr: Address,
    started_at: GoTime,
}

fn by_source<S: serde::Serializer>(
    counts: &Option<&BTreeMap<SourceId, u64>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().flat_map(|counts| counts.iter()).map(|(id, count)| (id.0, count)))
}

pub(super) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => "client",
        Kind::Probe => "probe",
    }
}

fn state(kind: Kind, has_viewers: bool, has_session: bool) -> &'static str {
    match (kind, has_viewers, has_session) {
        (Kind::Probe, _, _) => "probe",
        (Kind::Client, true, _) => "active_subscribers",
        (Kind::Client, false, true) => "idle_grace_no_subscribers",
        (Kind::Client, false, false) => "allocating_session",
    }
}

impl<'a> TunerStatus<'a> {
    pub(super) fn new(row: Row<'a>, moment: Moment) -> Self {
        let Row { tuner, kind, lease, session } = row;
        let lease_started_at = moment.time_or_never(lease.map(|lease| lease.started_at));
        let moment = session.map_or(moment, |session| moment.of_core(session.record.lost));
        let record = session.map(|session| &session.record);
        let source = record.and_then(|record| record.source());
        let viewers = session.map_or(&[][..], |session| &session.viewers);
        let label = lease.map_or("", |lease| lease.label.as_str());
        let subscribers = viewers.iter().map(|viewer| SubscriberStats {
            subscriber_id: viewer.id,
            client_addr: address(viewer.peer),
            started_at: moment.time(viewer.joined_at),
        });
        Self {
            tuner_id: tuner,
            kind: kind_name(kind),
            state: state(kind, !viewers.is_empty(), session.is_some()),
            guide_number: record.map_or(label, |record| &record.guide_number),
            lease_client_addr: lease.map(client_of).unwrap_or_default(),
            lease_started_at,
            channel_id: record.map_or(0, |record| record.channel.0),
            guide_name: record.map_or("", |record| &record.guide_name),
            source: source.map(SourceIdentity::new).unwrap_or_default(),
            startup: source.map(SourceStartup::new).unwrap_or_default(),
            stream: source
                .zip(session)
                .map(|(source, session)| Stream::new(source, session.bitrate_bps))
                .unwrap_or_default(),
            flow: session.map(|session| Flow::new(session, moment)).unwrap_or_default(),
            datagrams: session.map(|session| Datagrams::new(&session.datagrams)).unwrap_or_default(),
            writes: record.map(|record| Writes::new(&record.writes)).unwrap_or_default(),
            recovery: session.map(|session| Recovery::new(&session.recovery)).unwrap_or_default(),
            keepalive: session
                .and_then(|session| session.recovery.keepalive.as_ref())
                .map(|report| Keepalive::new(report, moment))
                .unwrap_or_default(),
            selection: session.map(|session| Selection::new(session, moment)).unwrap_or_default(),
            health: session.map(|session| Health::new(&session.health_persist)).unwrap_or_default(),
            activity: session.map_or("", words::activity),
            subscribers: if viewers.is_empty() { None } else { Some(subscribers.collect()) },
        }
    }
}

/// Whom the tuner was granted to, in words.
fn client_of(lease: &LeaseSnapshot) -> String {
    match lease.kind {
        Kind::Client => format!("shared:{}", lease.label),
        Kind::Probe => "auto-prioritize".to_owned(),
    }
}

impl Flow {
    fn new(session: &SessionSnapshot, moment: Moment) -> Self {
        Self {
            session_started_at: moment.time(session.record.opened_at),
            last_byte_at: moment.time_or_never(session.last_byte_at),
            last_push_at: moment.time_or_never(session.last_push_at),
            bytes_read: session.bytes_read,
            bytes_pushed: session.bytes_pushed,
            chunks_pushed: session.chunks_pushed,
            continuity_errors_in: session.continuity.incoming,
            continuity_errors_out: session.continuity.outgoing,
        }
    }
}

impl Datagrams {
    const fn new(counters: &DatagramCounters) -> Self {
        let &DatagramCounters { datagrams, dropped, lost, reordered, late, duplicate, restarts, strange } =
            counters;
        Self {
            source_datagrams: datagrams,
            source_datagrams_dropped: dropped,
            source_datagrams_lost: lost,
            source_datagrams_reordered: reordered,
            source_datagrams_late: late,
            source_datagrams_duplicate: duplicate,
            source_datagrams_ignored: strange,
            source_datagram_sender_changes: restarts,
        }
    }
}

impl<'a> Recovery<'a> {
    fn new(recovery: &'a RecoverySnapshot) -> Self {
        let transition = &recovery.transition;
        Self {
            stall_count: recovery.stall_count,
            recovery_cycle: recovery.cycle,
            recovery_reason: &recovery.reason,
            recovery_transition_mode: TRANSITION_MODE,
            recovery_transition_effective_mode: TRANSITION_MODE,
            recovery_transition_signals_applied: &transition.signals_applied,
            recovery_transition_signal_skips: &transition.signal_skips,
            recovery_transition_fallback_count: transition.fallback_count,
            recovery_transition_fallback_reason: &transition.fallback_reason,
            recovery_transition_stitch_applied: transition.stitch_applied,
        }
    }
}

impl<'a> Keepalive<'a> {
    fn new(keepalive: &'a KeepaliveReport, moment: Moment) -> Self {
        Self {
            recovery_keepalive_mode: keepalive.mode.map(Mode::as_str).unwrap_or_default(),
            recovery_keepalive_fallback_count: keepalive.totals.fallback_count,
            recovery_keepalive_fallback_reason: &keepalive.totals.fallback_reason,
            recovery_keepalive_started_at: moment.time_or_never(Some(keepalive.started_at)),
            recovery_keepalive_stopped_at: moment.time_or_never(keepalive.stopped_at),
            recovery_keepalive_duration: duration(keepalive.duration(moment.at)),
            recovery_keepalive_bytes: keepalive.bytes,
            recovery_keepalive_chunks: keepalive.chunks,
            recovery_keepalive_rate_bytes_per_second: keepalive.rate_bytes_per_second(),
            recovery_keepalive_expected_rate_bytes_per_second: keepalive.expected_rate_bytes_per_second(),
            recovery_keepalive_realtime_multiplier: keepalive.realtime_multiplier(),
            recovery_keepalive_guardrail_count: keepalive.guardrail_count,
            recovery_keepalive_guardrail_reason: &keepalive.guardrail_reason,
        }
    }
}

impl<'a> Selection<'a> {
    fn new(session: &'a SessionSnapshot, moment: Moment) -> Self {
        let record = &session.record;
        let selections = &record.selections;
        let error = record.ended.as_ref().and_then(|ended| ended.outcome.error());
        Self {
            source_select_count: selections.count,
            same_source_reselect_count: selections.same_source,
            last_source_selected_at: moment.time_or_never(selections.last_at),
            last_source_select_reason: &selections.last_reason,
            since_last_source_select: selections
                .last_at
                .map(|at| duration(moment.at - at))
                .unwrap_or_default(),
            last_error: error.unwrap_or_default(),
        }
    }
}

impl<'a> Health<'a> {
    fn new(health: &'a HealthPersistSnapshot) -> Self {
        let some = |counts: &'a BTreeMap<SourceId, u64>| Some(counts).filter(|counts| !counts.is_empty());
        Self {
            source_health_persist_coalesced_total: health.coalesced_total,
            source_health_persist_dropped_total: health.dropped_total,
            source_health_persist_coalesced_by_source: some(&health.coalesced),
            source_health_persist_dropped_by_source: some(&health.dropped),
        }
    }
}
