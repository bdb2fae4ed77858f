//! What is shown of a channel's session, and remembered of it.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, redact};
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::health::{CoreHealth, stored_profile};
use crate::engine::port::snapshot::{
    ContinuityErrors, HealthPersistSnapshot, RecoverySnapshot, SessionPhase, SessionSnapshot, ViewerSnapshot,
};
use crate::engine::report::events;
use crate::engine::source::run::SourceRun;
use crate::session::history::{
    Audience, Ended, Outcome, RESELECT_ALERT_THRESHOLD, SessionRecord, SourceFacts, WriteCounters,
};
use crate::session::{Failure, State, Status};
use crate::source::cutover::Cutover;
use crate::source::profile::BitrateMeter;
use crate::source::startup_facts::StartupFacts;
use crate::ts::{ProfileCodec, StreamProfile};

use super::Channel;

/// What a session's outlets have to say of its viewers.
pub(crate) struct Watched<'a> {
    /// Who watches and has watched.
    pub(crate) audience: &'a Audience,
    /// What the slow ones cost.
    pub(crate) writes: WriteCounters,
    /// Those who watch now.
    pub(crate) viewers: Vec<ViewerSnapshot>,
}

impl Channel {
    /// The source that is being started is the session's from now on.
    pub(super) fn note_selected<D: CoreDriver>(&mut self, cx: &mut Cx<D>, from: u64) {
        let now = cx.now;
        let Some(run) = self.upstream.run() else { return };
        let stored = stored_profile(cx.health.registry(), &run.attempt().source);
        let facts = source_facts(run, from, stored);
        let reason = run.attempt().selection_reason.clone();
        self.error = None;
        cx.tallies_mut().selected();
        if let Some(since) = self.recovering_since.take() {
            cx.tallies_mut().recovered(now - since);
        }
        self.bitrate = BitrateMeter::new(now);
        self.feed.set_producer(facts.producer());
        let selected = self.history.select(now, facts, reason);
        let Some(window) = self.history.current() else { return };
        let about = self.feed.about();
        if self.history.selections().count == 1 {
            log::info!("{}", events::session_ready(about, now - self.started_at));
        }
        log::info!("{}", events::source_selected(about, window, selected.same_source));
        if selected.alert {
            let threshold = RESELECT_ALERT_THRESHOLD;
            log::warn!("{}", events::reselect_alert(about, window, selected.same_source, threshold));
        }
        let cutover = window.source.startup.cutover;
        if let Some(suppressed) = self.cutover_warning.due(now, cutover) {
            log::warn!("{}", events::startup_cutover(about, window, cutover, suppressed));
        }
    }

    /// The session is over: so is its source.
    pub(super) fn note_ended(&mut self, now: Instant) {
        let ended = Ended { at: now, outcome: self.outcome() };
        let (level, line) = events::session_stopped(self.about(), &ended.outcome, now - self.started_at);
        log::log!(level, "{line}");
        self.ended = Some(ended);
        self.history.end(now);
    }

    /// The session as it is remembered. A session that never had a tuner was none.
    pub(crate) fn record(&self, watched: &Watched<'_>, lost: Duration) -> Option<SessionRecord> {
        self.feed.tuner().is_some().then(|| self.record_now(watched, lost))
    }

    fn record_now(&self, watched: &Watched<'_>, lost: Duration) -> SessionRecord {
        let (sources, sources_truncated) = self.history.sources();
        let (subscribers, subscribers_truncated) = watched.audience.gone();
        let (listing, record) = (self.listing(), self.machine.record());
        SessionRecord {
            id: self.id().0,
            channel: listing.id,
            guide_number: listing.guide_number.clone(),
            guide_name: listing.name.clone(),
            tuner: self.feed.tuner(),
            lost,
            opened_at: self.started_at,
            ended: self.ended.clone(),
            viewers: watched.audience.counts(),
            writes: watched.writes,
            recovery_cycles: u64::from(record.recovery_cycle),
            recovery_reason: record.recovery_reason.clone().unwrap_or_default(),
            selections: self.history.selections().clone(),
            sources,
            sources_truncated,
            subscribers,
            subscribers_truncated,
            limits: self.history.limits(),
        }
    }

    /// The session as operators see it.
    pub(crate) fn snapshot<D: CoreDriver>(&self, cx: &Cx<D>, watched: Watched<'_>) -> SessionSnapshot {
        let (bytes_read, last_byte_at) = self.upstream.read();
        SessionSnapshot {
            record: self.record_now(&watched, cx.time.lost()),
            phase: match self.machine.state() {
                State::AwaitingTuner | State::Starting => SessionPhase::Starting,
                State::Live | State::Recovering => SessionPhase::Live,
                State::Idle { .. } => SessionPhase::Idle,
                State::Ended => SessionPhase::Ending,
            },
            bytes_read,
            bytes_pushed: self.written.bytes,
            chunks_pushed: self.written.commits,
            bitrate_bps: self.bitrate.clone().bits_per_second(cx.now),
            last_byte_at,
            datagrams: self.upstream.datagrams(),
            continuity: ContinuityErrors {
                incoming: self.upstream.continuity_errors(),
                outgoing: self.splice.gaps_signalled(),
            },
            last_push_at: self.written.last_at,
            writer_pauses: self.written.pauses,
            recovery: self.recovery_snapshot(),
            health_persist: self.health_persist(&cx.health),
            viewers: watched.viewers,
        }
    }

    /// What became of the health of the session's sources on its way to the database.
    fn health_persist(&self, health: &CoreHealth) -> HealthPersistSnapshot {
        let mut persist = HealthPersistSnapshot::default();
        for source in &self.listing().sources {
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

    fn recovery_snapshot(&self) -> RecoverySnapshot {
        let record = self.machine.record();
        RecoverySnapshot {
            stall_count: record.stall_count,
            cycle: u64::from(record.recovery_cycle),
            reason: record.recovery_reason.clone().unwrap_or_default(),
            in_progress: self.machine.state() == State::Recovering,
            transition: self.transition.clone(),
            keepalive: self.keepalive_report().cloned(),
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

    pub(super) fn failed_with(&self) -> String {
        let text = match self.failure {
            Some(Failure::NoTuners) => "no tuners available",
            Some(Failure::NoSources) => "channel has no enabled sources",
            Some(Failure::NotOffered) => "channel is not offered any more",
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
    let source = &run.attempt().source;
    let startup = startup_facts(run, from, stored);
    let first = |codecs: &str| ProfileCodec::of_name(codecs.split(',').next().unwrap_or_default());
    SourceFacts {
        id: source.id,
        item_key: source.item_key.clone(),
        url: redact::url(&source.url),
        mode: run.opening().name(),
        is_unverified: run.attempt().is_unverified,
        name: Arc::clone(&source.name),
        profile_name: source.manner.profile.clone(),
        profile: StreamProfile {
            video_codec: first(&startup.video_codecs),
            audio_codec: first(&startup.audio_codecs),
            ..StreamProfile::default()
        },
        startup,
    }
}

/// What the start of a source has shown, which begins at byte `from` of its packets; `stored` is what was known of it
/// before.
fn startup_facts(run: &SourceRun, from: u64, stored: &StreamProfile) -> StartupFacts {
    let undecided = run.staged().map_or(0, |staging| staging.left() - staging.packets().len());
    let cutover = Cutover::at_start(run.ingest().bytes(), run.ingest().aligned(), undecided as u64, from);
    let inventory = run.ingest().inspector().inventory();
    StartupFacts::new(cutover, &inventory, run.ingest().entry_codec(), run.attempt().look.is_second())
        .enriched(stored)
}
