//! The answer of `GET /api/admin/tuners`. Names, order and what is left out when empty are a contract with
//! existing dashboards; fields that describe what cannot happen here stay and are zero.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::base::Instant;
use crate::engine::snapshot::{CoreSnapshot, SessionSnapshot};
use crate::session::history;
use crate::tuner::pool::Kind;

use super::churn::ChurnSummary;
use super::client_stream::{ClientStreamStatus, stream_of};
use super::core_status::CoreStatus;
use super::encode::is_zero;
use super::go_time::{GoTime, Moment};
use super::playlist_status::PlaylistStatus;
use super::session_history::SharedSessionHistory;
use super::tuner_row::{Row, TunerStatus, kind_name};

/// Everything.
#[derive(Serialize, Debug)]
pub struct TunerStatusSnapshot<'a> {
    generated_at: GoTime,
    tuner_count: usize,
    in_use_count: usize,
    idle_count: usize,
    churn: ChurnSummary<'a>,
    drain_wait: DrainWaitTelemetry,
    probe_close: ProbeCloseTelemetry,
    tuners: Vec<TunerStatus<'a>>,
    client_streams: Vec<ClientStreamStatus<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    session_history: Vec<SharedSessionHistory<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    session_history_limit: usize,
    #[serde(skip_serializing_if = "is_zero")]
    session_history_truncated_count: u64,
    /// What the threads that carry streams have come to. Not of the reference.
    cores: Vec<CoreStatus>,
    /// Connections to the providers of playlists. Not of the reference.
    playlists: Vec<PlaylistStatus>,
    /// Servers are believed whatever they show. Not of the reference.
    #[serde(skip_serializing_if = "is_zero")]
    upstream_tls_unverified: bool,
    /// The program that answers, and since when it runs. Not of the reference.
    version: &'static str,
    started_at: GoTime,
}

/// How often somebody waited until no session was left, and how long in all.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DrainWait {
    /// None was left in the end.
    pub ok: u64,
    /// The waiting was given up.
    pub error: u64,
    /// All of it.
    pub waited: Duration,
}

impl DrainWait {
    /// Somebody has waited.
    #[must_use]
    pub fn and(self, is_drained: bool, waited: Duration) -> Self {
        Self {
            ok: self.ok + u64::from(is_drained),
            error: self.error + u64::from(!is_drained),
            waited: self.waited + waited,
        }
    }
}

#[derive(Serialize, Debug)]
struct DrainWaitTelemetry {
    ok: u64,
    error: u64,
    wait_duration_us: u64,
    wait_duration_ms: u64,
}

/// Closing never blocks here, so it needs no queue and stays at zero.
#[derive(Serialize, Default, Debug)]
struct ProbeCloseTelemetry {
    inline_count: u64,
    queue_full_count: u64,
}

impl From<DrainWait> for DrainWaitTelemetry {
    fn from(DrainWait { ok, error, waited }: DrainWait) -> Self {
        let wait_duration_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        Self { ok, error, wait_duration_us, wait_duration_ms: wait_duration_us / 1000 }
    }
}

impl<'a> TunerStatusSnapshot<'a> {
    /// Of all cores. `moment` gives their monotonic times a wall time.
    #[must_use]
    pub fn new(cores: &'a [CoreSnapshot], drain_wait: DrainWait, moment: Moment) -> Self {
        let tuners = cores.iter().find_map(|core| core.tuners.as_ref());
        let (tuner_count, in_use_count) = tuners.map_or((0, 0), |tuners| (tuners.count, tuners.in_use));
        let rows = rows(cores);
        let history = merged_history(cores, &rows);
        Self {
            generated_at: moment.now(),
            tuner_count,
            in_use_count,
            idle_count: tuner_count.saturating_sub(in_use_count),
            churn: ChurnSummary::new(rows.iter().filter_map(|row| row.session)),
            drain_wait: drain_wait.into(),
            probe_close: ProbeCloseTelemetry::default(),
            tuners: rows.iter().map(|row| TunerStatus::new(*row, moment)).collect(),
            client_streams: client_streams(&rows, moment),
            session_history: history
                .sessions
                .iter()
                .map(|record| {
                    let going_on = rows.iter().filter_map(|row| row.session);
                    let mut going_on = going_on.filter(|session| session.record.id == record.id);
                    let watching = going_on.next().map_or(&[][..], |session| &session.viewers);
                    SharedSessionHistory::new(record, watching, moment)
                })
                .collect(),
            session_history_limit: history.limit,
            session_history_truncated_count: history.truncated,
            cores: cores.iter().map(CoreStatus::new).collect(),
            playlists: cores.iter().flat_map(|core| &core.places).map(PlaylistStatus::from).collect(),
            upstream_tls_unverified: false,
            version: env!("CARGO_PKG_VERSION"),
            started_at: moment.time(Instant::START),
        }
    }

    /// The same, where servers are believed whatever they show.
    #[must_use]
    pub fn unverified(self, is_unverified: bool) -> Self {
        Self { upstream_tls_unverified: is_unverified, ..self }
    }
}

/// Each tuner in use with its session: those the pool has granted, and those of sessions that got theirs, or
/// have not yet given it back, between the copies of two cores.
pub(super) fn rows(cores: &[CoreSnapshot]) -> Vec<Row<'_>> {
    let sessions: BTreeMap<u64, &SessionSnapshot> =
        cores.iter().flat_map(|core| &core.sessions).map(|session| (session.record.id, session)).collect();
    let leases = cores.iter().filter_map(|core| core.tuners.as_ref()).flat_map(|tuners| &tuners.leases);
    let mut rows: Vec<_> = leases
        .map(|lease| Row {
            tuner: lease.tuner,
            kind: lease.kind,
            lease: Some(lease),
            session: match lease.kind {
                Kind::Client => sessions.get(&lease.session.0).copied(),
                Kind::Probe => None,
            },
        })
        .collect();
    let known: BTreeSet<u64> =
        rows.iter().filter_map(|row| row.session).map(|session| session.record.id).collect();
    rows.extend(sessions.values().filter(|session| !known.contains(&session.record.id)).filter_map(
        |session| {
            let tuner = session.record.tuner?;
            Some(Row { tuner, kind: Kind::Client, lease: None, session: Some(session) })
        },
    ));
    rows.sort_by_key(|row| (row.tuner, kind_name(row.kind)));
    rows
}

/// Sessions without a tuner are not yet sessions, or no longer: those are remembered by their cores.
fn merged_history<'a>(cores: &'a [CoreSnapshot], rows: &[Row<'a>]) -> history::Merged<'a> {
    let going_on = rows.iter().filter_map(|row| row.session).map(|session| &session.record);
    history::merge(going_on.filter(|record| record.tuner.is_some()), cores.iter().map(|core| &core.closed))
}

fn client_streams<'a>(rows: &[Row<'a>], moment: Moment) -> Vec<ClientStreamStatus<'a>> {
    let mut viewers: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.session?)))
        .map(|(row, session)| (row, session, stream_of(session)))
        .flat_map(|(row, session, stream)| {
            session.viewers.iter().map(move |viewer| (row, session, Rc::clone(&stream), viewer))
        })
        .collect();
    viewers.sort_by_key(|(row, _, _, viewer)| (row.tuner, viewer.joined_at, viewer.id));
    viewers
        .into_iter()
        .map(|(row, session, stream, viewer)| {
            ClientStreamStatus::new(row.tuner, kind_name(row.kind), session, stream, viewer, moment)
        })
        .collect()
}
