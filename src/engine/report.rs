//! A core's snapshot of itself, and what it remembers of sessions.

use std::collections::BTreeMap;

use crate::base::{Arena, Instant, redact};
use crate::ring::Lent;
use crate::session::history::{
    Ended, INITIAL_STARTUP, Outcome, Profile, SessionRecord, SourceFacts, StartupFacts,
};
use crate::session::{Failure, State};
use crate::source::cutover::Cutover;
use crate::uring::Driver;

use super::client::{Client, ClientState, SessionKey};
use super::core::Core;
use super::live::LiveSession;
use super::snapshot::{
    CoreSnapshot, LeaseSnapshot, SessionPhase, SessionSnapshot, TunersSnapshot, ViewerSnapshot,
};
use super::token::Token;
use super::tuners::Tuners;
use super::upstream::SourceRun;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn snapshot(&self) -> CoreSnapshot {
        let (mut viewers, connections) = copy_viewers(&self.clients, &self.sessions);
        let mut sessions: Vec<_> = self
            .sessions
            .iter()
            .map(|(key, live)| {
                let viewers = viewers.remove(&key.to_bits()).unwrap_or_default();
                session_snapshot(live, self.now, viewers)
            })
            .collect();
        sessions.sort_by_key(|session| session.record.id);
        CoreSnapshot {
            core: self.id,
            at: self.now,
            counters: self.counters,
            sessions,
            closed: self.closed.snapshot(),
            connections,
            tuners: self.tuners.as_ref().map(Tuners::snapshot),
        }
    }

    /// The source that is being started is the session's from now on.
    pub(crate) fn note_selected(&mut self, session: SessionKey, from: u64) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(run) = &live.source else { return };
        let facts = live.source_facts(run, from);
        live.error = None;
        live.stats.bytes_pushed_at_select = live.stats.bytes_pushed;
        live.history.select(now, facts, INITIAL_STARTUP.to_owned());
    }

    /// What a session ends with, unless another source is selected.
    pub(crate) fn note_error(&mut self, session: SessionKey, error: String) {
        if let Some(live) = self.sessions.get_mut(session) {
            live.error = Some(error);
        }
    }

    /// A session is over: its history is written, and those who still get the rest of its stream are no
    /// longer part of it. A session that never had a tuner was none.
    pub(crate) fn remember(&mut self, session: SessionKey) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let ended = Ended { at: now, outcome: live.outcome() };
        let subscribers = self.clients.iter().filter_map(|(_, client)| client.subscriber());
        live.history.end(now, subscribers.filter(|(of, _)| *of == session).map(|(_, viewer)| viewer));
        if live.tuner.is_some() {
            self.closed.push(record(live, Some(ended)));
        }
    }
}

impl Tuners {
    fn snapshot(&self) -> TunersSnapshot {
        let lease = |lease: crate::tuner::pool::Lease<super::tuners::Holder>| LeaseSnapshot {
            tuner: lease.tuner,
            kind: lease.kind,
            label: lease.label,
            session: lease.holder.1,
            started_at: lease.started_at,
        };
        TunersSnapshot {
            count: self.pool.capacity(),
            in_use: self.pool.in_use(),
            leases: self.pool.snapshot().into_iter().map(lease).collect(),
        }
    }
}

/// The viewers of each session, and the number of other connections.
fn copy_viewers(
    clients: &Arena<Client>,
    sessions: &Arena<LiveSession>,
) -> (BTreeMap<u64, Vec<ViewerSnapshot>>, usize) {
    let mut viewers: BTreeMap<u64, Vec<ViewerSnapshot>> = BTreeMap::new();
    let mut connections = 0;
    for (_, client) in clients.iter() {
        let Some((session, subscriber)) = client.subscriber() else {
            connections += 1;
            continue;
        };
        let (bytes_sent, lag_bytes) = match &client.state {
            ClientState::Viewing(viewer) => {
                let head = sessions.get(session).map_or(viewer.position, |live| live.ring.head());
                (viewer.bytes_sent, head.saturating_sub(viewer.position))
            }
            ClientState::Waiting { .. } | ClientState::Reading(_) | ClientState::Replying { .. } => (0, 0),
        };
        viewers.entry(session.to_bits()).or_default().push(ViewerSnapshot {
            id: subscriber.id,
            peer: subscriber.peer,
            joined_at: subscriber.connected_at,
            bytes_sent,
            lag_bytes,
        });
    }
    (viewers, connections)
}

fn session_snapshot(live: &LiveSession, now: Instant, mut viewers: Vec<ViewerSnapshot>) -> SessionSnapshot {
    viewers.sort_by_key(|viewer| viewer.id);
    let stats = &live.stats;
    SessionSnapshot {
        record: record(live, None),
        phase: match live.machine.state() {
            State::AwaitingTuner | State::Starting { .. } => SessionPhase::Starting,
            State::Live | State::Recovering => SessionPhase::Live,
            State::Idle { .. } => SessionPhase::Idle,
            State::Ended => SessionPhase::Ending,
        },
        bytes_read: stats.bytes_read,
        bytes_pushed: stats.bytes_pushed,
        chunks_pushed: stats.chunks_pushed,
        bitrate_bps: live.history.current().map_or(0, |source| {
            let elapsed_ms = u64::try_from((now - source.selected_at).as_millis()).unwrap_or(u64::MAX);
            let pushed = stats.bytes_pushed.saturating_sub(stats.bytes_pushed_at_select);
            pushed.saturating_mul(8000) / elapsed_ms.max(1)
        }),
        last_byte_at: stats.last_byte_at,
        last_push_at: stats.last_push_at,
        writer_pauses: stats.writer_pauses,
        recovery: live.recovery.clone(),
        health_persist: live.health_persist.clone(),
        viewers,
    }
}

fn record(live: &LiveSession, ended: Option<Ended>) -> SessionRecord {
    let (sources, sources_truncated) = live.history.sources();
    let (subscribers, subscribers_truncated) = live.history.gone();
    SessionRecord {
        id: live.id.0,
        channel: live.channel.id,
        guide_number: live.channel.guide_number.clone(),
        guide_name: live.channel.name.clone(),
        tuner: live.tuner,
        opened_at: live.started_at,
        ended,
        viewers: live.history.counts(),
        writes: live.stats.writes,
        recovery_cycles: live.recovery.cycle,
        recovery_reason: live.recovery.reason.clone(),
        selections: live.history.selections().clone(),
        sources,
        sources_truncated,
        subscribers,
        subscribers_truncated,
        limits: live.history.limits(),
    }
}

impl LiveSession {
    /// How it ended, if it ends now.
    fn outcome(&self) -> Outcome {
        let failed = |text: &str| Outcome::Failed(self.error.as_deref().unwrap_or(text).to_owned());
        match (self.failure, &self.error) {
            (Some(Failure::Draining), _) => Outcome::Canceled("canceled".to_owned()),
            (Some(Failure::NoTuners), _) => failed("no tuners available"),
            (Some(Failure::NoSources), _) => failed("channel has no enabled sources"),
            (Some(Failure::SourcesFailed | Failure::NoVideo), _) => failed("all source attempts exhausted"),
            (None, _) if self.history.current().is_none() => Outcome::Canceled("canceled".to_owned()),
            (None, Some(error)) if self.history.connected() > 0 => Outcome::Failed(error.clone()),
            (None, Some(_) | None) => Outcome::Completed,
        }
    }

    /// The source that has just shown its first picture, which begins at byte `from` of it.
    pub(crate) fn source_facts(&self, run: &SourceRun, from: u64) -> SourceFacts {
        let source = &self.channel.sources[run.index];
        let inventory = run.ingest.inspector.inventory();
        let raw = run.ingest.bytes;
        let cutover = Cutover::new(raw, raw.saturating_sub(from), from);
        let (video_codecs, audio_codecs) =
            (inventory.video_codecs.to_string(), inventory.audio_codecs.to_string());
        let first = |codecs: &str| codecs.split(',').next().unwrap_or_default().to_owned();
        SourceFacts {
            id: source.id,
            item_key: source.item_key.clone(),
            url: redact::url(&source.url),
            mode: run.opening.name(),
            profile: Profile {
                video_codec: first(&video_codecs),
                audio_codec: first(&audio_codecs),
                ..Profile::default()
            },
            startup: StartupFacts {
                raw_bytes: cutover.raw,
                trimmed_bytes: cutover.trimmed,
                cutover_offset: cutover.offset,
                dropped_bytes: cutover.dropped,
                random_access_codec: (inventory.video_streams > 0).then(|| first(&video_codecs)),
                inventory_method: inventory.method.as_str(),
                video_streams: u32::try_from(inventory.video_streams).unwrap_or(u32::MAX),
                audio_streams: u32::try_from(inventory.audio_streams).unwrap_or(u32::MAX),
                video_codecs,
                audio_codecs,
                component_state: inventory.component_state().as_str(),
                relaxed_retry: None,
            },
        }
    }
}
