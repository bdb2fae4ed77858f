//! A core's loop: reap everything that has happened, act, submit once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{
    CHANNELS_PER_CORE_MAX, CONNECTIONS_PER_CORE_MAX, MAILBOX_MESSAGES_MAX, REQUEST_HEAD_TIMEOUT,
};
use crate::base::{Arena, Errno, HeapBytes, Instant, OwnTime};
use crate::lineup::{ChannelId, Lineup};
use crate::ring::{Lent, Ring};
use crate::session;
use crate::session::ProviderCooldowns;
use crate::session::history::ClosedSessions;
use crate::tuner::Backoff;
use crate::uring::{Completion, Driver, Event, Handle, Hangup, Operation};

use super::children::Child;
use super::client::{Client, ClientKey, ClientState, SessionKey};
use super::health::CoreHealth;
use super::live::LiveSession;
use super::mailbox::{Mailbox, MailboxReader};
use super::params::Params;
use super::port::{ControlPort, CoreCommand, CoreId, SessionId, Ticket, TunerMessage};
use super::probing::Probing;
use super::snapshot::CoreCounters;
use super::token::Token;
use super::tuners::Tuners;

/// How often every viewer is looked at: blocked, out of the ring, or at the end of its wished duration.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// The longest a core sleeps: it must come round to show that it lives.
const SLEEP_MAX: Duration = Duration::from_millis(500);
/// How long completions may gather before a turn.
const PATIENCE: Duration = Duration::from_millis(1);
/// From this many connections on they gather.
const MANY_CLIENTS: usize = 32;
/// A listener that cannot accept (no descriptors left) is tried again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A writer that waits for lent spans looks again after this.
const BLOCKED_RETRY: Duration = Duration::from_millis(2);

/// A listening socket.
struct Listener {
    handle: Handle,
    /// Its accept is with the kernel.
    is_accepting: bool,
}

/// What a core needs from outside.
pub struct Parts<F> {
    /// Which core this is.
    pub id: CoreId,
    /// Settings.
    pub params: Params,
    /// The way to control.
    pub control: Box<dyn ControlPort<F>>,
    /// This core's mailbox.
    pub mailbox: MailboxReader<F>,
    /// The bell of that mailbox, when the driver can wait on it.
    pub bell: Option<F>,
    /// The mailboxes of all cores, this one's included.
    pub cores: Vec<Mailbox<F>>,
    /// Listening sockets.
    pub listeners: Vec<F>,
    /// The channels so far.
    pub lineup: Arc<Lineup>,
}

/// One core.
pub struct Core<D: Driver<Memory = Lent, Token = Token>> {
    pub(crate) driver: D,
    pub(crate) id: CoreId,
    pub(crate) params: Params,
    pub(crate) control: Box<dyn ControlPort<D::Descriptor>>,
    mailbox: MailboxReader<D::Descriptor>,
    bell: Option<Handle>,
    /// A read of the bell is under way.
    hears_bell: bool,
    pub(crate) cores: Vec<Mailbox<D::Descriptor>>,
    /// Where connections come in; none once it drains.
    listeners: Vec<Listener>,
    pub(crate) lineup: Arc<Lineup>,

    /// The time of this turn, by which all are judged. It stands still while the core cannot run.
    pub(crate) now: Instant,
    pub(crate) time: OwnTime,
    /// Viewers are late because it has stood still, or may be.
    pub(crate) has_excused: bool,
    pub(crate) clients: Arena<Client>,
    pub(crate) sessions: Arena<LiveSession>,
    /// The session of a channel that viewers may still join.
    pub(crate) by_channel: BTreeMap<ChannelId, SessionKey>,
    pub(crate) by_id: BTreeMap<SessionId, SessionKey>,
    pub(crate) tuners: Option<Tuners>,
    /// Providers that this core leaves alone.
    pub(crate) providers: ProviderCooldowns,
    /// Channels that are refused for a while.
    pub(crate) backoff: Backoff,
    /// Sources that are tried in the background.
    pub(crate) probing: Probing,
    /// Sessions that have ended here.
    pub(crate) closed: ClosedSessions,
    next_ticket: u64,
    pub(crate) next_session: u64,

    /// Viewers with a preamble to send: a first byte is worth more than a next one.
    pub(crate) fresh: VecDeque<ClientKey>,
    /// Viewers for whom something waits and who have no send in flight.
    pub(crate) ready: VecDeque<ClientKey>,
    /// Sessions whose source could not reserve memory last turn.
    pub(crate) blocked_sources: Vec<SessionKey>,
    /// Rings that are done with, but of which something is still lent.
    pub(crate) retired_rings: Vec<Ring>,
    /// Events of sessions that follow from what is being done.
    pub(crate) session_events: VecDeque<(SessionKey, session::Event)>,
    pub(crate) in_session_event: bool,
    /// Messages about tuners that are on their way.
    pub(crate) tuner_post: VecDeque<(CoreId, TunerMessage)>,
    pub(crate) in_tuner_post: bool,
    /// Children that were asked for and whose end has not been heard of.
    pub(crate) children: BTreeMap<Ticket, Child>,
    /// Names being looked up, by the question's ticket.
    pub(crate) lookups: BTreeMap<Ticket, (SessionKey, u32)>,
    /// Deadlines of sessions, some outdated: each is checked when it comes.
    pub(crate) timers: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Connections in the order in which they were accepted, with the time by which they must have got somewhere.
    pub(crate) intake: VecDeque<(Instant, ClientKey)>,
    /// Somebody new is being served: this turn does not wait for more to do.
    pub(crate) in_haste: bool,
    accept_again: Option<Instant>,
    next_sweep: Instant,
    pub(crate) draining: Option<Instant>,
    /// What is known of the sources of the channels that live here.
    pub(crate) health: CoreHealth,
    pub(crate) counters: CoreCounters,
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// A core that listens.
    ///
    /// # Errors
    /// When the driver cannot take the listeners in.
    pub fn new(driver: D, parts: Parts<D::Descriptor>) -> Result<Self, Errno> {
        let first = parts.id == CoreId(0);
        let tuners = first.then(|| Tuners::new(parts.params.tuners, parts.params.preempt_settle_delay));
        let backoff = parts.params.tune_backoff;
        let mut core = Self {
            driver,
            id: parts.id,
            providers: ProviderCooldowns::new(parts.params.session.provider_cooldown),
            backoff: Backoff::new(backoff.tunes_max, backoff.interval, backoff.cooldown),
            probing: Probing::new(parts.params.probes),
            closed: ClosedSessions::new(parts.params.history.sessions),
            params: parts.params,
            control: parts.control,
            mailbox: parts.mailbox,
            bell: None,
            hears_bell: false,
            cores: parts.cores,
            listeners: Vec::new(),
            lineup: parts.lineup,
            now: Instant::START,
            time: OwnTime::default(),
            has_excused: false,
            clients: Arena::with_limit(CONNECTIONS_PER_CORE_MAX),
            sessions: Arena::with_limit(CHANNELS_PER_CORE_MAX),
            by_channel: BTreeMap::new(),
            by_id: BTreeMap::new(),
            tuners,
            next_ticket: 0,
            next_session: 0,
            fresh: VecDeque::new(),
            ready: VecDeque::new(),
            blocked_sources: Vec::new(),
            retired_rings: Vec::new(),
            session_events: VecDeque::new(),
            in_session_event: false,
            tuner_post: VecDeque::new(),
            in_tuner_post: false,
            children: BTreeMap::new(),
            lookups: BTreeMap::new(),
            timers: BinaryHeap::new(),
            intake: VecDeque::new(),
            in_haste: false,
            accept_again: None,
            next_sweep: Instant::START,
            draining: None,
            health: CoreHealth::new(),
            counters: CoreCounters::default(),
        };
        if let Some(bell) = parts.bell {
            let handle = core.driver.adopt(bell).map_err(|_full| Errno::MFILE)?;
            core.bell = Some(handle);
        }
        for listener in parts.listeners {
            let handle = core.driver.adopt(listener).map_err(|_full| Errno::MFILE)?;
            core.listeners.push(Listener { handle, is_accepting: false });
        }
        core.accept_on_all();
        Ok(core)
    }

    /// True when everything has ended after [`CoreCommand::Drain`], or its deadline has come.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let is_done = self.is_empty() && self.health.is_over();
        self.draining.is_some_and(|deadline| self.now >= deadline || is_done)
    }

    /// True when there is neither a connection nor a session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.count() == 0 && self.sessions.count() == 0
    }

    /// The driver, for tests that look behind the scenes.
    #[cfg(test)]
    pub const fn driver_mut(&mut self) -> &mut D {
        &mut self.driver
    }

    /// Gives the driver back, once drained.
    #[cfg(any(test, feature = "sim"))]
    pub fn into_driver(mut self) -> D {
        let listeners = std::mem::take(&mut self.listeners).into_iter().map(|listener| listener.handle);
        for handle in listeners.chain(self.bell.take()) {
            self.driver.close(handle, Hangup::Finish);
        }
        self.driver
    }

    pub(super) fn wait(&self) -> Duration {
        let has_more = !self.fresh.is_empty() || !self.ready.is_empty();
        if has_more || self.probing.is_looking() {
            return Duration::ZERO;
        }
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let intake = self.intake.front().map(|(at, _)| *at);
        let tuners = self.tuners.as_ref().and_then(Tuners::next_deadline);
        let is_idle = self.clients.count() == 0 && self.retired_rings.is_empty() && self.children.is_empty();
        let sweep = (!is_idle).then_some(self.next_sweep);
        let health = self.health.next_deadline();
        let probing = self.probing.next_deadline();
        // The completion that frees the span wakes the core before that.
        let blocked = (!self.blocked_sources.is_empty()).then_some(self.now + BLOCKED_RETRY);
        let deadlines =
            [timer, intake, tuners, self.accept_again, self.draining, sweep, health, probing, blocked];
        let next = deadlines.into_iter().flatten().min().unwrap_or(self.now + SLEEP_MAX);
        (next - self.now).min(SLEEP_MAX)
    }

    /// With many viewers single completions are not worth a turn each; with somebody at the door each is.
    pub(super) fn patience(&mut self) -> Duration {
        let in_haste = std::mem::take(&mut self.in_haste);
        if in_haste || self.clients.count() < MANY_CLIENTS { Duration::ZERO } else { PATIENCE }
    }

    pub(super) fn dispatch(&mut self, completion: Completion<Token, Lent, D::Descriptor>) {
        match completion.token {
            Token::Bell => self.hears_bell = false,
            Token::Listener(index) => self.on_listener(index, completion.event),
            Token::RequestHead(bits) => self.on_request_head(bits.key(), completion.event),
            Token::Hangup(bits) => self.on_hangup(bits.key()),
            Token::Reply(bits) => self.on_reply(bits.key(), completion.event),
            Token::Send(bits) => self.on_send(bits.key(), completion.event),
            Token::Source { session, run, step } => {
                self.on_source(session.key(), run, step, completion.event)
            }
        }
    }

    /// Sees to it that mail wakes the core. What is refused is tried again a turn later; the mail is read each
    /// turn all the same.
    pub(super) fn listen_for_bell(&mut self) {
        let Some(file) = self.bell.filter(|_| !self.hears_bell) else { return };
        let into = Lent::Heap(HeapBytes::zeroed(8));
        self.hears_bell = self.driver.push(Operation::Read { file, into }, Token::Bell).is_ok();
        if !self.hears_bell {
            self.counters.queue_full += 1;
        }
    }

    /// Sees to it that every listener accepts.
    fn accept_on_all(&mut self) {
        for (listener, index) in self.listeners.iter_mut().zip(0u8..) {
            if listener.is_accepting {
                continue;
            }
            let accept = Operation::Accept { listener: listener.handle };
            listener.is_accepting = self.driver.push(accept, Token::Listener(index)).is_ok();
            if !listener.is_accepting {
                self.accept_again = Some(self.now + ACCEPT_PAUSE);
            }
        }
    }

    fn on_listener(&mut self, index: u8, event: Event<Lent, D::Descriptor>) {
        match event {
            Event::Accepted(socket) => self.on_connection(socket),
            Event::Done { result, .. } => {
                let Some(listener) = self.listeners.get_mut(usize::from(index)) else { return };
                listener.is_accepting = false;
                if result.is_err_and(|errno| errno != Errno::CANCELED && errno != Errno::INTR) {
                    log::warn!("core {}: accepting is paused for {ACCEPT_PAUSE:?}: {result:?}", self.id.0);
                    self.accept_again = Some(self.now + ACCEPT_PAUSE);
                    return;
                }
                self.accept_on_all();
            }
            Event::Sent { .. } | Event::Released { .. } => unreachable!("a listener does not send"),
        }
    }

    pub(super) fn read_mail(&mut self) {
        for _ in 0..MAILBOX_MESSAGES_MAX {
            let Some(command) = self.mailbox.take() else { return };
            match command {
                CoreCommand::Viewer(connection) => self.on_handed_viewer(connection),
                CoreCommand::Lineup(lineup) => self.on_lineup(lineup),
                CoreCommand::Resolved { ticket, result } => self.on_resolved(ticket, result),
                CoreCommand::ChildStarted { ticket, result } => self.on_child_started(ticket, result),
                CoreCommand::ChildEnded { ticket, exit, stderr_tail } => {
                    self.on_child_ended(ticket, exit, &stderr_tail)
                }
                CoreCommand::Probed { ticket, exit, stdout, stderr } => {
                    self.on_probed(ticket, exit, &stdout, &stderr);
                }
                CoreCommand::HealthPersisted { seq, result } => self.on_health_persisted(seq, result),
                CoreCommand::ClearHealth { channel } => self.on_clear_health(channel),
                CoreCommand::SlateReady { ticket, result } => self.on_slate(ticket, result),
                CoreCommand::Tuner(message) => self.on_tuner_message(message),
                CoreCommand::Snapshot(reply) => reply(self.snapshot()),
                CoreCommand::TriggerRecovery { channel, reason, reply } => {
                    self.on_trigger(channel, &reason, reply)
                }
                CoreCommand::Drain { deadline } => self.drain(self.time.of(deadline)),
            }
        }
    }

    fn drain(&mut self, deadline: Instant) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(deadline);
        for listener in std::mem::take(&mut self.listeners) {
            self.driver.close(listener.handle, Hangup::Finish);
        }
        self.drain_probing();
        let sessions: Vec<_> = self.sessions.iter().map(|(key, _)| key).collect();
        for session in sessions {
            self.session_event(session, session::Event::Drain);
            // Those that were over already have viewers who get the rest.
            self.end_viewers(session);
        }
        let reading: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| matches!(client.state, ClientState::Reading(_)))
            .map(|(key, _)| key)
            .collect();
        for client in reading {
            self.close_client(client);
        }
    }

    pub(crate) fn expire(&mut self) {
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= self.now) {
            let Some(Reverse((at, bits))) = self.timers.pop() else { break };
            self.on_session_timer(SessionKey::from_bits(bits), at);
        }
        while self.intake.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, client)) = self.intake.pop_front() else { break };
            self.on_intake_timeout(client);
        }
        if self.accept_again.is_some_and(|at| at <= self.now) {
            self.accept_again = None;
            self.accept_on_all();
        }
        self.expire_probing();
        self.expire_tuners();
        self.deliver_tuner_post();
        if self.next_sweep <= self.now {
            self.next_sweep = self.now + SWEEP_INTERVAL;
            self.sweep();
        }
        // Last: whatever has ended just now may have been the last thing a drain waits for.
        self.flush_health();
    }

    /// A name for a question to control.
    pub(crate) const fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// The time by which a connection accepted now must have got somewhere.
    pub(crate) fn intake_deadline(&self) -> Instant {
        self.now + REQUEST_HEAD_TIMEOUT
    }
}
