//! The session: what its machine asks for is done here.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::redact;
use crate::engine::border::messages::Readers;
use crate::engine::context::cx::{CoreDriver, Cx, Holder};
use crate::engine::context::health::Known;
use crate::engine::context::post::{ToChannel, Word};
use crate::engine::port::messages::ControlRequest;
use crate::engine::port::messages::{TriggerRefusal, TunerMessage};
use crate::engine::port::outlets::ToOutlet;
use crate::engine::port::tallies::RecoveryKind;
use crate::engine::report::events::{self, RecoveryTriggered};
use crate::health::failure_reason;
use crate::http::{StreamError, Via};
use crate::lineup::Lineup;
use crate::session::{Action, Event, Failure, Notice, Occupant, TriggerError};
use crate::tuner::Kind;

use super::Channel;
use super::candidates::Candidates;

/// How long viewers may take for the rest of a stream that is over: what a full ring holds of a usual channel.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// Others have places that this session needs.
fn ask_to_give_way<D: CoreDriver>(cx: &mut Cx<D>, asked: Vec<Occupant<Holder>>) {
    for Occupant { holder: (core, session), purpose } in asked {
        cx.post.tell_holder(core, TunerMessage::GiveWay { session, purpose });
    }
}

impl Channel {
    /// A viewer of this number waits for the first picture, or for being let in.
    pub(crate) fn joined<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        number: u64,
        via: Via,
    ) {
        if !via.is_empty() {
            self.restreamers.push((number, via));
            self.renew_via(cx);
        }
        self.has_waiting = true;
        self.handle(cx, readers, Event::Joined);
    }

    /// What an outlet has to say.
    pub(crate) fn hear<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        word: ToChannel,
    ) {
        match word {
            ToChannel::Left(number, _reason) => {
                if !self.restreamers.is_empty() {
                    self.restreamers.retain(|(of, _)| *of != number);
                    self.renew_via(cx);
                }
                self.handle(cx, readers, Event::Left);
            }
            ToChannel::Promised(offset) => self.feed.promise(offset),
            ToChannel::Fetched => {}
            ToChannel::Admitted(reply) => {
                self.has_waiting |= reply.has_waiting;
                if self.note_admitted(reply) {
                    readers.tell(cx, &self.feed, ToOutlet::Moved);
                }
            }
        }
    }

    /// Its tuner has been granted.
    pub(crate) fn granted<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        tuner: u16,
    ) {
        self.feed.set_tuner(Some(tuner));
        self.handle(cx, readers, Event::TunerGranted);
    }

    /// Something has happened to the session. What follows from it is handled in order, after it.
    pub(crate) fn handle<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        event: Event,
    ) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let is_ready = matches!(event, Event::SourceReady);
            let mut sources = Candidates::of(cx, self.feed.listing(), self.id());
            let actions = self.machine.handle(cx.now, event, &mut sources);
            ask_to_give_way(cx, sources.into_asked());
            // A source that nobody watches may be silent.
            let nobody = self.machine.viewers() == 0;
            if let Some(watch) = self.upstream.run_mut().and_then(|run| run.watch()) {
                watch.pause(nobody, cx.now);
            }
            if actions.contains(&Action::Finish) {
                self.show_rest(cx, true);
            }
            self.perform_all(cx, readers, actions, &mut events);
            if is_ready {
                events.extend(self.drive(cx, readers));
            }
            self.arm(cx);
        }
    }

    /// Does what the machine has decided without an event, and then what follows from it.
    pub(crate) fn perform_first<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        actions: Vec<Action>,
    ) {
        let mut events = VecDeque::new();
        self.perform_all(cx, readers, actions, &mut events);
        for event in events {
            self.handle(cx, readers, event);
        }
    }

    /// Somebody wants the session to go on with another source.
    pub(crate) fn trigger<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        reason: &str,
    ) -> Result<(), TriggerRefusal> {
        let mut sources = Candidates::of(cx, self.feed.listing(), self.id());
        let triggered = self.machine.trigger(cx.now, reason, &mut sources);
        ask_to_give_way(cx, sources.into_asked());
        let actions = triggered.map_err(|error| match error {
            TriggerError::NotFound => TriggerRefusal::NotFound,
            TriggerError::AlreadyPending => TriggerRefusal::AlreadyPending,
        })?;
        self.perform_first(cx, readers, actions);
        self.arm(cx);
        Ok(())
    }

    /// The channels have changed, and this one has its new listing. What may not be used any more is left.
    pub(crate) fn withdraw<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        lineup: &Lineup,
    ) {
        let id = self.listing().id;
        let event = match (lineup.channel(id), self.machine.source()) {
            (None, _) => Event::ChannelWithdrawn { reason: lineup.why_no_channel(id) },
            (Some(_), Some(id)) if self.listing().sources.iter().all(|source| source.id != id) => {
                Event::SourceWithdrawn { id, reason: lineup.why_no_source(id) }
            }
            (Some(_), Some(_) | None) => return,
        };
        self.handle(cx, readers, event);
    }

    fn perform_all<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        actions: Vec<Action>,
        events: &mut VecDeque<Event>,
    ) {
        self.count_recoveries(cx);
        for action in actions {
            events.extend(self.perform(cx, readers, action));
        }
    }

    /// The machine may have begun to recover.
    fn count_recoveries<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        let record = self.machine.record();
        if record.recovery_cycle > self.recoveries_counted {
            self.recoveries_counted = record.recovery_cycle;
            cx.tallies_mut()
                .recovery_began(RecoveryKind::of(record.recovery_reason.as_deref().unwrap_or_default()));
            self.recovering_since.get_or_insert(cx.now);
        }
    }

    /// Does one thing; gives what follows from it at once.
    fn perform<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        action: Action,
    ) -> Option<Event> {
        match action {
            Action::AskForTuner => {
                let (core, session) = (cx.id, self.id());
                let label = self.listing().guide_number.clone();
                cx.post.tell_tuners(TunerMessage::Request { core, session, label, kind: Kind::Client });
            }
            Action::TunerIdle(idle) => {
                cx.params.places.lock().set_idle((cx.id, self.id()), idle);
                if let Some(tuner) = self.feed.tuner() {
                    cx.post.tell_tuners(TunerMessage::Idle { tuner, idle });
                }
            }
            Action::StartSource { index, selection_reason, timeout, in_recovery } => {
                let source = self.listing().sources[index].clone();
                let happened = self.upstream.start(cx, source, selection_reason, in_recovery, timeout)?;
                return Some(self.on_happened(cx, happened));
            }
            Action::StopSource => self.stop_source(cx, readers),
            Action::Admit => self.admit(cx, readers),
            Action::Refuse(failure) => {
                self.failure = Some(failure);
                if failure.is_of_the_sources() {
                    cx.backoff.record_failure(cx.now, self.listing().id);
                }
                self.refuse_waiting(cx, readers, failure);
            }
            Action::EndViewers => {
                readers.tell(cx, &self.feed, ToOutlet::End);
            }
            Action::Finish => self.finish(cx, readers),
            Action::ArmProvider { scope, retry_after } => cx.providers().arm(cx.now, &scope, retry_after),
            Action::AwaitRelease { scope, until } => cx.providers().await_release(cx.now, &scope, until),
            Action::ClearProvider { scope, since } => {
                let learnt = cx.providers().clear(&scope, since);
                if let Some(counted) = learnt {
                    // What control does not take is learnt again.
                    let _full = cx.request(ControlRequest::ProviderSeen(counted));
                }
            }
            Action::RecordFailure { id, reason, persist } => {
                cx.tallies_mut().source_failed();
                if persist {
                    let reason = failure_reason(None, &reason);
                    let listing = self.feed.listing();
                    let known = Known { lineup: &cx.lineup, channel: listing.id, used: Some(listing) };
                    cx.health.failed(cx.now, &known, id, &reason);
                }
            }
            Action::RecordSuccess { id } => {
                let listing = self.feed.listing();
                let known = Known { lineup: &cx.lineup, channel: listing.id, used: Some(listing) };
                cx.health.succeeded(cx.now, &known, id);
            }
            Action::Note(notice) => self.log_notice(cx.params.session.stall_policy.as_str(), &notice),
            Action::StartFiller => self.start_filler(cx, readers),
            Action::StopFiller { .. } => return self.stop_filler(cx, readers),
        }
        None
    }

    fn refuse_waiting<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        failure: Failure,
    ) {
        let error = match failure {
            Failure::NoTuners => StreamError::NoTuners,
            Failure::NoSources => StreamError::NoSources,
            Failure::SourcesFailed if self.met_itself => StreamError::SourceLoop,
            Failure::SourcesFailed => StreamError::TuneFailed,
            Failure::NoVideo => StreamError::NoVideo,
            Failure::Draining => StreamError::Draining,
            Failure::NotOffered => StreamError::ChannelNotFound,
        };
        readers.tell(cx, &self.feed, ToOutlet::Refuse(error));
        self.has_waiting = false;
    }

    /// The session is over: its channel may be tuned anew, and its tuner is free, once the core has heard of it.
    fn finish<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        self.stop_source(cx, readers);
        let none_is_left = self.stop_filler(cx, readers);
        debug_assert!(none_is_left.is_none(), "nothing happens to a source that is stopped");
        self.refuse_waiting(cx, readers, Failure::SourcesFailed);
        self.note_ended(cx.now);
        readers.tell(cx, &self.feed, ToOutlet::Over);
        self.feed.end(cx.now + LINGER_MAX);
        readers.tell(cx, &self.feed, ToOutlet::Moved);
        cx.post.say(Word::Over(self.me));
    }

    /// The timer has run out.
    pub(crate) fn on_timer<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        if self.feed.unmarked_since().is_some_and(|since| since + cx.egress_delay() <= cx.now) {
            self.feed.advance_mark();
            readers.tell(cx, &self.feed, ToOutlet::Moved);
        }
        self.fill_in(cx, readers);
        self.expire_source(cx, readers);
        self.ask_ffprobe_if_due(cx);
        self.drive_on(cx, readers);
        if self.machine.next_deadline().is_some_and(|deadline| deadline <= cx.now) {
            self.handle(cx, readers, Event::Deadline);
        }
        self.arm(cx);
    }

    /// What the machine wants to be known.
    fn log_notice(&self, policy: &str, notice: &Notice) {
        let about = self.about();
        match notice {
            Notice::RecoveryTriggered { source, reason, cycle, coalesced, .. } => {
                let event = RecoveryTriggered {
                    cycle: u64::from(*cycle),
                    reason,
                    source_id: source.0,
                    stall_policy: policy,
                    effective_mode: None,
                    fallback_reason: None,
                    coalesced: *coalesced,
                };
                log::warn!("{}", events::recovery_triggered(about, &event));
            }
            Notice::IdleSkip { source, reason } => {
                log::info!("{}", events::recovery_skipped(about, source.0, &redact::text(reason)));
            }
            Notice::CanceledWhileIdle { reason } => {
                log::info!("{}", events::canceled_while_idle(about, reason));
            }
            Notice::SameSourceFallback { source, alternates, alternates_cooling } => {
                let line = about
                    .line("shared session recovery restarts the same source")
                    .field("source_id", source.0)
                    .field("stall_policy", policy)
                    .field("effective_recovery_mode", "restart_same_fallback")
                    .field("fallback_reason", "no_alternate_sources")
                    .field("alternate_sources", alternates)
                    .field("alternate_sources_cooling", alternates_cooling);
                log::info!("{line}");
            }
            Notice::AlternateFailed { source, attempts, reason } => {
                let line = about
                    .line("shared session recovery alternate failed")
                    .field("source_id", source.0)
                    .field("attempts", attempts)
                    .field("error", reason);
                log::warn!("{line}");
            }
            Notice::Penalized { source, reason, count, cooldown } => {
                let line = about
                    .line("shared session source penalized")
                    .field("source_id", source.0)
                    .field("reason", reason)
                    .field("count", count)
                    .field("cooldown", format!("{cooldown:?}"));
                log::info!("{line}");
            }
        }
    }
}
