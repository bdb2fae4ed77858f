//! A core's snapshot of itself, and what it remembers of sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Arena, Instant, redact};
use crate::health::Book;
use crate::lineup::{ChannelId, SourceId};
use crate::ring::Lent;
use crate::session::history::{
    Ended, Outcome, Profile, RESELECT_ALERT_THRESHOLD, SessionRecord, SourceFacts, StartupFacts,
};
use crate::session::{Failure, State, Status};
use crate::source::cutover::Cutover;
use crate::source::profile::{BitrateMeter, StreamProfile};
use crate::source::telemetry::Telemetry;
use crate::uring::Driver;

use crate::engine::channel::live::LiveSession;
use crate::engine::channel::profiles::stored_profile;
use crate::engine::connection::client::{Client, ClientState, SessionKey};
use crate::engine::context::token::Token;
use crate::engine::context::tuners::Tuners;
use crate::engine::core::Core;
use crate::engine::port::snapshot::{
    CoreSnapshot, HealthPersistSnapshot, LeaseSnapshot, RecoverySnapshot, SessionPhase, SessionSnapshot,
    TunersSnapshot, ViewerSnapshot,
};
use crate::engine::report::events;
use crate::engine::source::upstream::SourceRun;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn snapshot(&self) -> CoreSnapshot {
        let (mut viewers, connections) = copy_viewers(&self.clients, &self.sessions);
        let mut sessions: Vec<_> = self
            .sessions
            .iter()
            .filter(|(key, _)| !self.is_probe(*key))
            .map(|(key, live)| {
                let viewers = viewers.remove(&key.to_bits()).unwrap_or_default();
                session_snapshot(live, &self.health.book, self.now, self.time.lost(), viewers)
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
            tuners: self.tuners.as_ref().map(|tuners| tuners.snapshot(self.time.lost())),
        }
    }

    /// The source that is being started is the session's from now on.
    pub(crate) fn note_selected(&mut self, session: SessionKey, from: u64) {
        let now = self.now;
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(run) = &live.source else { return };
        let stored = stored_profile(&self.health.book, &run.attempt.source);
        let facts = source_facts(run, from, &stored);
        let reason = run.attempt.selection_reason.clone();
        live.error = None;
        live.bitrate = BitrateMeter::new(now);
        let selected = live.history.select(now, facts, reason);
        let Some(window) = live.history.current() else { return };
        let about = live.about();
        if live.history.selections().count == 1 {
            log::info!("{}", events::session_ready(about, now - live.started_at));
        }
        log::info!("{}", events::source_selected(about, window, selected.same_source));
        if selected.alert {
            let threshold = RESELECT_ALERT_THRESHOLD;
            log::warn!("{}", events::reselect_alert(about, window, selected.same_source, threshold));
        }
        let startup = &window.source.startup;
        let cutover = Cutover::new(startup.raw_bytes, startup.trimmed_bytes, startup.cutover_offset);
        if let Some(suppressed) = live.cutover_warning.due(now, cutover) {
            log::warn!("{}", events::startup_cutover(live.about(), window, cutover, suppressed));
        }
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
        let (level, line) = events::session_stopped(live.about(), &ended.outcome, now - live.started_at);
        log::log!(level, "{line}");
        let subscribers = self.clients.iter().filter_map(|(_, client)| client.subscriber());
        live.ended = Some(ended);
        live.history.end(now, subscribers.filter(|(of, _)| *of == session).map(|(_, viewer)| viewer));
        if live.tuner.is_some() {
            self.closed.push(record(live, self.time.lost()));
        }
    }
}

impl Tuners {
    fn snapshot(&self, lost: Duration) -> TunersSnapshot {
        let lease =
            |lease: crate::tuner::pool::Lease<crate::engine::context::tuners::Holder>| LeaseSnapshot {
                tuner: lease.tuner,
                kind: lease.kind,
                label: lease.label,
                session: lease.holder.1,
                started_at: lease.started_at + lost,
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

fn session_snapshot(
    live: &LiveSession,
    health: &Book<SourceId, ChannelId>,
    now: Instant,
    lost: Duration,
    mut viewers: Vec<ViewerSnapshot>,
) -> SessionSnapshot {
    viewers.sort_by_key(|viewer| viewer.id);
    let stats = &live.stats;
    SessionSnapshot {
        record: record(live, lost),
        phase: match live.machine.state() {
            State::AwaitingTuner | State::Starting => SessionPhase::Starting,
            State::Live | State::Recovering => SessionPhase::Live,
            State::Idle { .. } => SessionPhase::Idle,
            State::Ended => SessionPhase::Ending,
        },
        bytes_read: stats.bytes_read,
        bytes_pushed: stats.bytes_pushed,
        chunks_pushed: stats.chunks_pushed,
        bitrate_bps: live.bitrate.clone().bits_per_second(now),
        last_byte_at: stats.last_byte_at,
        last_push_at: stats.last_push_at,
        writer_pauses: stats.writer_pauses,
        recovery: live.recovery_snapshot(now),
        health_persist: health_persist(live, health),
        viewers,
    }
}

/// What became of the health of the session's sources on its way to the database.
fn health_persist(live: &LiveSession, health: &Book<SourceId, ChannelId>) -> HealthPersistSnapshot {
    let mut persist = HealthPersistSnapshot::default();
    for source in &live.channel.sources {
        let counts = health.counts(source.id);
        persist.coalesced_total += counts.coalesced;
        persist.dropped_total += counts.dropped;
        if counts.coalesced > 0 {
            persist.coalesced.insert(source.id, counts.coalesced);
        }
        if counts.dropped > 0 {
            persist.dropped.insert(source.id, counts.dropped);
        }
    }
    persist
}

fn record(live: &LiveSession, lost: Duration) -> SessionRecord {
    let (sources, sources_truncated) = live.history.sources();
    let (subscribers, subscribers_truncated) = live.history.gone();
    SessionRecord {
        id: live.id.0,
        channel: live.channel.id,
        guide_number: live.channel.guide_number.clone(),
        guide_name: live.channel.name.clone(),
        tuner: live.tuner,
        lost,
        opened_at: live.started_at,
        ended: live.ended.clone(),
        viewers: live.history.counts(),
        writes: live.stats.writes,
        recovery_cycles: u64::from(live.machine.record().recovery_cycle),
        recovery_reason: live.machine.record().recovery_reason.clone().unwrap_or_default(),
        selections: live.history.selections().clone(),
        sources,
        sources_truncated,
        subscribers,
        subscribers_truncated,
        limits: live.history.limits(),
    }
}

impl LiveSession {
    fn recovery_snapshot(&self, now: Instant) -> RecoverySnapshot {
        let record = self.machine.record();
        RecoverySnapshot {
            stall_count: record.stall_count,
            cycle: u64::from(record.recovery_cycle),
            reason: record.recovery_reason.clone().unwrap_or_default(),
            in_progress: self.machine.state() == State::Recovering,
            transition: self.transition.clone(),
            keepalive: self.keepalive_snapshot(now),
        }
    }

    /// How it ended, if it ends now.
    fn outcome(&self) -> Outcome {
        if let Some(terminal) = self.machine.terminal() {
            let error = if terminal.error.is_empty() { None } else { Some(redact::text(&terminal.error)) };
            return match terminal.status {
                Status::Completed => Outcome::Completed,
                Status::Canceled => Outcome::Canceled(error.unwrap_or_else(|| "canceled".to_owned())),
                Status::Error => Outcome::Failed(error.unwrap_or_else(|| self.failed_with())),
            };
        }
        Outcome::Completed
    }

    fn failed_with(&self) -> String {
        let text = match self.failure {
            Some(Failure::NoTuners) => "no tuners available",
            Some(Failure::NoSources) => "channel has no enabled sources",
            Some(Failure::SourcesFailed | Failure::NoVideo | Failure::Draining) | None => {
                "all source attempts exhausted"
            }
        };
        self.error.clone().unwrap_or_else(|| text.to_owned())
    }
}

/// The source that has just shown its first picture, which begins at byte `from` of its packets; `stored` is what
/// was known of its stream before.
fn source_facts(run: &SourceRun, from: u64, stored: &StreamProfile) -> SourceFacts {
    let source = &run.attempt.source;
    let start = telemetry(run, from, stored);
    let first = |codecs: &str| codecs.split(',').next().unwrap_or_default().to_owned();
    SourceFacts {
        id: source.id,
        item_key: source.item_key.clone(),
        url: redact::url(&source.url),
        mode: run.opening.name(),
        profile: Profile {
            video_codec: first(&start.video_codecs),
            audio_codec: first(&start.audio_codecs),
            ..Profile::default()
        },
        startup: StartupFacts {
            raw_bytes: start.cutover.raw,
            trimmed_bytes: start.cutover.trimmed,
            cutover_offset: start.cutover.offset,
            dropped_bytes: start.cutover.dropped,
            random_access_codec: start.random_access_codec().map(str::to_owned),
            inventory_method: start.method.as_str(),
            video_streams: start.video_streams,
            audio_streams: start.audio_streams,
            component_state: start.component_state().as_str(),
            relaxed_retry: start.relaxed_retry_reason(),
            video_codecs: start.video_codecs,
            audio_codecs: start.audio_codecs,
        },
    }
}

/// What the start of a source has shown, which begins at byte `from` of its packets; `stored` is what was known of it
/// before.
fn telemetry(run: &SourceRun, from: u64, stored: &StreamProfile) -> Telemetry {
    let undecided = run.staging.as_ref().map_or(0, |staging| staging.left() - staging.packets().len());
    let cutover = Cutover::at_start(run.ingest.bytes, run.ingest.aligned(), undecided as u64, from);
    let inventory = run.ingest.inspector.inventory();
    Telemetry::new(cutover, &inventory, run.ingest.entry_codec(), run.attempt.look.is_second())
        .enriched(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Clock;
    use crate::engine::testing::{add_session, add_viewer, core};
    use crate::session::history::CloseReason;

    #[test]
    fn a_snapshot_holds_every_viewer_with_its_session() {
        let (mut core, handle) = core();
        let sessions = [add_session(&mut core, 1), add_session(&mut core, 2)];
        for session in sessions.iter().cycle().take(5) {
            add_viewer(&mut core, *session, handle);
        }
        let snapshot = core.snapshot();
        let numbers: Vec<Vec<_>> = snapshot
            .sessions
            .iter()
            .map(|session| session.viewers.iter().map(|viewer| viewer.id).collect())
            .collect();
        assert_eq!(numbers, [vec![1, 2, 3], vec![1, 2]]);
        assert_eq!((snapshot.connections, snapshot.tuners.map(|tuners| tuners.count)), (0, Some(2)));
    }

    #[test]
    fn the_bitrate_is_the_sources_of_the_last_seconds_and_filler_has_no_part_in_it() {
        let (mut core, _) = core();
        let session = add_session(&mut core, 1);
        let live = core.sessions.get_mut(session).unwrap();
        live.bitrate.add(Instant::from_millis(100), 500_000);
        assert!(core.write(session, &[0x47; 188 * 100]), "there is room");
        for (millis, expected) in [(2000, 2_000_000), (3200, 1_250_000), (5000, 0), (90_000, 0)] {
            core.now = Instant::from_millis(millis);
            assert_eq!(core.snapshot().sessions[0].bitrate_bps, expected, "{millis} ms");
        }
    }

    #[test]
    fn an_ended_session_is_remembered_with_those_who_watched_and_only_if_it_had_a_tuner() {
        let (mut core, handle) = core();
        let session = add_session(&mut core, 1);
        let viewers = [1, 2].map(|_| add_viewer(&mut core, session, handle));
        core.note_gone(viewers[0], CloseReason::StreamWriteError);
        core.clients.remove(viewers[0]);
        core.sessions.get_mut(session).unwrap().tuner = Some(1);
        core.now = Instant::from_millis(50);
        core.remember(session);
        core.note_gone(viewers[1], CloseReason::HttpContextCanceled);
        let without_tuner = add_session(&mut core, 2);
        core.remember(without_tuner);
        let closed = core.snapshot().closed;
        let [record] = closed.sessions.as_slice() else { panic!("{closed:?}") };
        let outcome = Outcome::Completed;
        assert_eq!(record.ended, Some(Ended { at: Instant::from_millis(50), outcome }));
        assert_eq!((record.tuner, record.viewers.total, record.viewers.completed), (Some(1), 2, 2));
        let reasons: Vec<_> = record.subscribers.iter().map(|viewer| viewer.left.unwrap().1).collect();
        assert_eq!(reasons, [CloseReason::StreamWriteError, CloseReason::SessionClosed]);
    }

    #[test]
    fn a_session_that_failed_says_with_what() {
        let (mut core, _) = core();
        let key = add_session(&mut core, 1);
        let live = core.sessions.get_mut(key).unwrap();
        for (failure, text) in [
            (Failure::NoTuners, "no tuners available"),
            (Failure::NoSources, "channel has no enabled sources"),
            (Failure::NoVideo, "all source attempts exhausted"),
            (Failure::SourcesFailed, "all source attempts exhausted"),
        ] {
            live.failure = Some(failure);
            assert_eq!(live.failed_with(), text);
        }
        live.error = Some("upstream returned status 404".to_owned());
        assert_eq!(live.failed_with(), "upstream returned status 404");
    }

    #[test]
    fn five_thousand_viewers_are_copied_in_one_go() {
        let (mut core, handle) = core();
        let session = add_session(&mut core, 1);
        for _ in 0..5000 {
            add_viewer(&mut core, session, handle);
        }
        let clock = Clock::start();
        let began = clock.now();
        let snapshot = core.snapshot();
        println!("5000 viewers were copied in {:?}", clock.now() - began);
        assert_eq!(snapshot.sessions[0].viewers.len(), 5000);
        assert!(snapshot.sessions[0].viewers.iter().all(|viewer| viewer.bytes_sent == viewer.id));
    }
}
