//! Sessions: what their machines ask for is done here.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::base::logfmt::Line;
use crate::health::Event as ProbeEvent;
use crate::http::{StreamError, Via};
use crate::lineup::Channel;
use crate::ring::{Lent, Ring};
use crate::session::history::CloseReason;
use crate::session::{Action, Event, Failure};
use crate::tuner::Kind;
use crate::uring::{Driver, Hangup};

use crate::engine::channel::candidates::Candidates;
use crate::engine::channel::filling::Filling;
use crate::engine::channel::live::LiveSession;
use crate::engine::connection::client::{ClientKey, ClientState, SessionKey};
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::messages::{CoreId, SessionId, TunerMessage};
use crate::engine::report::events;

/// How long viewers may take for the rest of a stream that is over: what a full ring holds of a usual channel.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// What was due and could not be done is tried again after this.
const OVERDUE_PAUSE: Duration = Duration::from_millis(1);

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// A client asks for a channel that lives here.
    pub(crate) fn join(
        &mut self,
        client: ClientKey,
        channel: &Arc<Channel>,
        duration: Option<Duration>,
        via: Via,
    ) {
        if self.draining.is_some() {
            return self.refuse(client, StreamError::Draining);
        }
        if channel.sources.is_empty() {
            return self.refuse(client, StreamError::NoSources);
        }
        let existing = self.by_channel.get(&channel.id).copied();
        let (session, first_actions) = match existing {
            Some(session) => (session, Vec::new()),
            None => {
                if let Err(rejected) = self.backoff.allow(self.now, channel.id) {
                    log::debug!("channel {}: {rejected}", channel.id);
                    return self.refuse(client, StreamError::TuneBackoff { remaining: rejected.retry_after });
                }
                // Its provider need not stand two streams of it.
                self.probe_event(ProbeEvent::Tuned(channel.id));
                match self.create(channel) {
                    Some(created) => created,
                    None => return self.refuse(client, StreamError::ViewerLimit),
                }
            }
        };
        let Some(live) = self.sessions.get_mut(session) else {
            unreachable!("the index names sessions that exist")
        };
        if !live.machine.has_room() {
            return self.refuse(client, StreamError::MaxSubscribers);
        }
        if !via.is_empty() {
            live.restreamers.push((client, via));
        }
        live.waiting.push(client);
        live.stats.viewers_now += 1;
        let number = live.history.attach();
        let Some(waiting) = self.clients.get_mut(client) else {
            unreachable!("a client joins while it is there")
        };
        waiting.state = ClientState::Waiting { session, duration, number, joined_at: self.now };
        self.tell_joined(session, client, existing.is_some());
        self.watch_for_hangup(client);
        self.session_event(session, Event::Joined);
        // Only now: a tuner may be granted on the spot, and one that comes for nobody is given back.
        for action in first_actions {
            self.perform(session, action);
        }
    }

    fn create(&mut self, channel: &Arc<Channel>) -> Option<(SessionKey, Vec<Action>)> {
        let bytes = usize::try_from(self.params.ring_bytes()).ok()?;
        let ring = match Ring::new(bytes) {
            Ok(ring) => ring,
            Err(error) => {
                let line = Line::new("no memory for a ring").field("guide_number", &channel.guide_number);
                log::error!("{}", line.field("ring_bytes", bytes).field("error", error));
                return None;
            }
        };
        let id = self.session_id();
        let (live, actions) = LiveSession::new(
            id,
            Arc::clone(channel),
            self.params.session,
            self.params.history,
            ring,
            self.now,
        );
        let session = self.sessions.insert(live).ok()?;
        self.by_channel.insert(channel.id, session);
        self.by_id.insert(id, session);
        if let Some(live) = self.sessions.get(session) {
            log::info!("{}", events::session_created(live.about()));
        }
        Some((session, actions))
    }

    /// A name for a session.
    pub(crate) fn session_id(&mut self) -> SessionId {
        let id = SessionId(self.next_session * u64::from(self.params.cores) + u64::from(self.id.0) + 1);
        self.next_session += 1;
        id
    }

    /// Something has happened to a session. Events that follow from what it does are handled in order, after it.
    pub(crate) fn session_event(&mut self, session: SessionKey, event: Event) {
        self.session_events.push_back((session, event));
        if !self.in_session_event {
            self.handle_session_events();
        }
    }

    fn handle_session_events(&mut self) {
        self.in_session_event = true;
        while let Some((session, event)) = self.session_events.pop_front() {
            let settle = self.failover_settle();
            let wall = self.health.wall_at(self.now);
            let Some(live) = self.sessions.get_mut(session) else { continue };
            let mut sources = Candidates {
                channel: &live.channel,
                health: &self.health.book,
                providers: &self.providers,
                now: self.now,
                wall,
                settle,
            };
            let actions = live.machine.handle(self.now, event, &mut sources);
            live.watch_or_not(self.now);
            if actions.contains(&Action::Finish) {
                live.show_rest(self.now, true);
            }
            self.perform_all(session, actions);
            self.arm(session);
        }
        self.in_session_event = false;
    }

    /// Does what a machine has decided without an event, and then what follows from it.
    pub(crate) fn perform_all_then(&mut self, session: SessionKey, actions: Vec<Action>) {
        self.in_session_event = true;
        self.perform_all(session, actions);
        self.handle_session_events();
    }

    pub(crate) fn perform(&mut self, session: SessionKey, action: Action) {
        match action {
            Action::AskForTuner => self.ask_for_tuner(session),
            Action::TunerIdle(idle) => self.tell_idle(session, idle),
            Action::StartSource { index, selection_reason, timeout, in_recovery } => {
                self.start_source(session, index, selection_reason, in_recovery, timeout);
            }
            Action::StopSource => self.stop_source(session),
            Action::Admit => self.admit(session),
            Action::Refuse(failure) => {
                if let Some(live) = self.sessions.get_mut(session) {
                    live.failure = Some(failure);
                    if failure.is_of_the_sources() {
                        self.backoff.record_failure(self.now, live.channel.id);
                    }
                }
                self.refuse_waiting(session, failure);
            }
            Action::EndViewers => self.end_viewers(session),
            Action::Finish => self.finish(session),
            Action::ArmProvider { scope, retry_after } => self.providers.arm(self.now, &scope, retry_after),
            Action::AwaitRelease { scope, until } => self.providers.await_release(self.now, &scope, until),
            Action::ClearProvider { scope, since } => self.providers.clear(&scope, since),
            Action::RecordFailure { id, reason, persist } => {
                if persist {
                    self.record_failure(session, id, &reason);
                }
            }
            Action::RecordSuccess { id } => self.record_success(session, id),
            Action::Note(notice) => self.tell_notice(session, &notice),
            Action::StartFiller => self.start_filler(session),
            Action::StopFiller { .. } => self.stop_filler(session),
        }
    }

    /// How long a session waits before it opens another stream in the place of one that is lost.
    pub(crate) fn failover_settle(&self) -> Duration {
        match &self.tuners {
            Some(tuners) => tuners.pool.failover_settle(self.now),
            // Only core 0 knows how full the pool is.
            None if self.params.tuners > 1 => self.params.preempt_settle_delay,
            None => Duration::ZERO,
        }
    }

    fn ask_for_tuner(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get(session) else { return };
        let label = live.channel.guide_number.clone();
        let (core, session) = (self.id, live.id);
        self.tell_tuners(TunerMessage::Request { core, session, label, kind: Kind::Client });
    }

    fn tell_idle(&mut self, session: SessionKey, idle: bool) {
        let Some(tuner) = self.sessions.get(session).and_then(|live| live.tuner) else { return };
        self.tell_tuners(TunerMessage::Idle { tuner, idle });
    }

    /// A message for whoever counts the tuners.
    pub(crate) fn tell_tuners(&mut self, message: TunerMessage) {
        self.tuner_post.push_back((CoreId(0), message));
        self.deliver_tuner_post();
    }

    fn refuse_waiting(&mut self, session: SessionKey, failure: Failure) {
        let error = match failure {
            Failure::NoTuners => StreamError::NoTuners,
            Failure::NoSources => StreamError::NoSources,
            Failure::SourcesFailed if self.met_itself(session) => StreamError::SourceLoop,
            Failure::SourcesFailed => StreamError::TuneFailed,
            Failure::NoVideo => StreamError::NoVideo,
            Failure::Draining => StreamError::Draining,
        };
        let Some(live) = self.sessions.get_mut(session) else { return };
        for client in std::mem::take(&mut live.waiting) {
            let waits = self.clients.get(client).is_some_and(|client| client.session() == Some(session));
            if waits {
                self.forget_restreamer(session, client);
                self.note_gone(client, CloseReason::SessionClosed);
                self.refuse(client, error);
                self.uncount_viewer(session);
            }
        }
    }

    pub(crate) fn end_viewers(&mut self, session: SessionKey) {
        let viewers: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| client.session() == Some(session))
            .map(|(key, _)| key)
            .collect();
        for viewer in viewers {
            self.leave(viewer, Hangup::Finish, CloseReason::SessionClosed);
        }
    }

    /// The session is over: its tuner is free from this moment, and its channel may be tuned anew.
    fn finish(&mut self, session: SessionKey) {
        self.stop_source(session);
        self.stop_filler(session);
        self.refuse_waiting(session, Failure::SourcesFailed);
        self.remember(session);
        let linger_until = self.now + LINGER_MAX;
        let Some(live) = self.sessions.get_mut(session) else { return };
        if self.by_channel.get(&live.channel.id) == Some(&session) {
            self.by_channel.remove(&live.channel.id);
        }
        self.by_id.remove(&live.id);
        live.lingers_until = Some(linger_until);
        live.advance_mark();
        if let Some(tuner) = live.tuner.take() {
            self.tell_tuners(TunerMessage::Released { tuner });
        }
        self.wake_viewers(session);
        self.forget_if_over(session);
    }

    /// Forgets a session that is over and whose last viewer has gone.
    pub(crate) fn forget_if_over(&mut self, session: SessionKey) {
        let is_over = |live: &LiveSession| live.lingers_until.is_some() && live.stats.viewers_now == 0;
        if !self.sessions.get(session).is_some_and(is_over) {
            return;
        }
        let Some(live) = self.sessions.remove(session) else { return };
        if live.ring.registered().is_some() {
            self.retired_rings.push(live.ring);
        }
    }

    /// Withdraws the registration of rings whose last lease has come back.
    pub(crate) fn retire_rings(&mut self) {
        let driver = &mut self.driver;
        self.retired_rings.retain_mut(|ring| {
            if ring.is_lent() {
                return true;
            }
            if let Some(buffer) = ring.registered() {
                driver.unregister_memory(buffer);
                ring.set_registered(None);
            }
            false
        });
    }

    /// Sees to it that a timer is set for whatever the session waits for next.
    pub(crate) fn arm(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let egress = live.unmarked_since.map(|since| since + self.params.egress.delay);
        let source = live.source.as_ref().and_then(crate::engine::source::upstream::SourceRun::next_deadline);
        let filling = live.filling.as_ref().and_then(Filling::next_deadline);
        let awaited = live.awaited.as_ref().map(|awaited| awaited.until);
        let probing = live.probing.next_deadline();
        let deadlines = [live.machine.next_deadline(), egress, source, filling, awaited, probing];
        let Some(next) = deadlines.into_iter().flatten().min() else {
            return;
        };
        // What is overdue waits for something that only a turn can bring, a span that is lent for instance.
        let next = if next > self.now { next } else { self.now + OVERDUE_PAUSE };
        if live.armed.last().is_none_or(|armed| next < *armed) {
            live.armed.push(next);
            self.timers.push(Reverse((next, session.to_bits())));
        }
    }

    /// The timer set for `at` has run out.
    pub(crate) fn on_session_timer(&mut self, session: SessionKey, at: Instant) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let set = live.armed.pop();
        debug_assert_eq!(set, Some(at), "the earliest timer of a session runs out first");
        if live.unmarked_since.is_some_and(|since| since + self.params.egress.delay <= self.now) {
            live.advance_mark();
            self.wake_viewers(session);
        }
        self.fill_in(session);
        self.expire_source(session);
        self.ask_ffprobe_if_due(session);
        self.drive(session);
        let due = self.sessions.get(session).and_then(|live| live.machine.next_deadline());
        if due.is_some_and(|deadline| deadline <= self.now) {
            self.session_event(session, Event::Deadline);
        }
        self.arm(session);
    }
}
