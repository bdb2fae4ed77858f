//! A core: its loop, and everything that lives on it.
//!
//! A core reaps everything that has happened, acts, and submits once. Who is concerned by a completion is told by its token, and
//! told directly; what the parts have to say to each other meanwhile is heard when they have done ([`Core::settle`]).

mod away;
mod hls;
mod mail;
mod stations;
mod storing;
mod tuners;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use crate::base::logfmt::Line;
use crate::base::{Errno, HeapBytes, Instant, Rarely};
use crate::engine::channel::Watched;
use crate::engine::connection::{Asked, Connections, Wanted};
use crate::engine::context::cx::Cx;
use crate::engine::context::post::{Taken, ToChannel, Word};
use crate::engine::context::timers::Timer;
use crate::engine::context::token::{ChannelRef, SourceOwner, Token, ViewerRef};
use crate::engine::outlet::{Newcomer, Outlet};
use crate::engine::port::drain::Vote;
use crate::engine::port::ids::CoreId;
use crate::engine::port::mailbox::{Mailbox, MailboxReader};
use crate::engine::port::messages::{ControlPort, TunerMessage};
use crate::engine::port::params::Params;
use crate::engine::port::placement;
use crate::engine::port::snapshot::CoreSnapshot;
use crate::engine::probe::Probe;
use crate::health::Event as ProbeEvent;
use crate::hls::SentAway;
use crate::http::StreamError;
use crate::lineup::{self, Lineup};
use crate::ring::Lent;
use crate::session::Action;
use crate::session::history::ClosedSessions;
use crate::uring::{Completion, Driver, Event, Handle, Operation, is_over};

use stations::Stations;

/// How often every viewer is looked at: blocked, out of the ring, or at the end of its wished duration.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// How often memory is looked for that nobody needs any more.
const TIDYING_INTERVAL: Duration = Duration::from_secs(5);
/// The longest a core sleeps: it must come round to show that it lives.
const SLEEP_MAX: Duration = Duration::from_millis(500);
/// A core that has nothing left looks so often whether the others have.
const DRAINED_LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How long completions may gather before a turn.
const BATCH_WAIT: Duration = Duration::from_millis(1);
/// From this many connections on they gather.
const MANY_CLIENTS: u32 = 32;
/// A listener that cannot accept (no descriptors left) is tried again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// That a core is saturated is said this often at most.
const SATURATIONS_SAID_EVERY: Duration = Duration::from_secs(60);
/// A writer that waits for the end of a send, or for memory, looks again after this.
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
    /// The wakeup of that mailbox, when the driver can wait on it.
    pub wakeup: Option<F>,
    /// The mailboxes of all cores, this one's included.
    pub cores: Vec<Mailbox<F>>,
    /// Listening sockets.
    pub listeners: Vec<F>,
    /// The channels so far.
    pub lineup: Arc<Lineup>,
}

/// One core.
pub struct Core<D: Driver<Memory = Lent, Token = Token>> {
    cx: Cx<D>,
    mailbox: MailboxReader<D::Descriptor>,
    wakeup: Option<Handle>,
    /// A read of the wakeup is under way.
    awaits_wakeup: bool,
    /// Where connections come in; none once it drains.
    listeners: Vec<Listener>,
    accept_again: Option<Instant>,
    saturations: Rarely,
    connections: Connections,
    /// The channels that are watched here, each with its outlet.
    stations: Stations,
    /// Sources that are tried in the background.
    probe: Probe,
    /// Sessions that have ended here.
    closed: ClosedSessions,
    /// Viewers by segments who were sent away, and will ask again.
    sent_away: SentAway,
    /// How many of those got their names here.
    names_given: u64,
    /// Channels that have something to tell outlets on other cores, whose mailboxes were full.
    untold: Vec<ChannelRef>,
    next_sweep: Instant,
    next_tidying: Instant,
    draining: Option<Instant>,
    drained: Vote,
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// A core that listens.
    ///
    /// # Errors
    /// When the driver cannot take the listeners in.
    pub fn new(driver: D, parts: Parts<D::Descriptor>) -> Result<Self, Errno> {
        let (probes, sessions, cores) =
            (parts.params.probes, parts.params.history.sessions, parts.params.cores);
        let drained = Vote::new(parts.params.room.drained.clone());
        let mut core = Self {
            cx: Cx::new(parts.id, parts.params, driver, parts.control, parts.cores, parts.lineup),
            mailbox: parts.mailbox,
            wakeup: None,
            awaits_wakeup: false,
            listeners: Vec::new(),
            accept_again: None,
            saturations: Rarely::new(SATURATIONS_SAID_EVERY),
            connections: Connections::new(),
            stations: Stations::new(cores),
            probe: Probe::new(probes),
            closed: ClosedSessions::new(sessions),
            sent_away: SentAway::default(),
            names_given: 0,
            untold: Vec::new(),
            next_sweep: Instant::START,
            next_tidying: Instant::START,
            draining: None,
            drained,
        };
        if let Some(wakeup) = parts.wakeup {
            let handle = core.cx.driver.adopt(wakeup).map_err(|_full| Errno::MFILE)?;
            core.wakeup = Some(handle);
        }
        for listener in parts.listeners {
            let handle = core.cx.driver.adopt(listener).map_err(|_full| Errno::MFILE)?;
            core.listeners.push(Listener { handle, is_accepting: false });
        }
        core.accept_on_all();
        Ok(core)
    }

    /// True when everything has ended on all cores after [`CoreCommand::Drain`](crate::engine::CoreCommand::Drain), or its deadline
    /// has come.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let has_all_ended = self.drained.is_unanimous(self.cx.params.cores);
        self.draining.is_some_and(|deadline| self.cx.now >= deadline || has_all_ended)
    }

    /// True when there is neither a connection nor a session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cx.places_taken() == 0
            && self.stations.is_empty()
            && !self.probe.is_trying()
            && !self.cx.post.waits_for_room()
    }

    /// The driver, for tests that look behind the scenes.
    #[cfg(test)]
    pub const fn driver_mut(&mut self) -> &mut D {
        &mut self.cx.driver
    }

    /// Takes no messages any more, as a core that has returned.
    ///
    /// # Panics
    /// When the process is out of file descriptors.
    #[cfg(any(test, feature = "sim"))]
    pub fn close_mailbox(&mut self) {
        self.mailbox = Mailbox::new().expect("a descriptor is free").1;
    }

    /// Gives the driver back, once drained.
    #[cfg(any(test, feature = "sim"))]
    pub fn into_driver(mut self) -> D {
        let listeners = std::mem::take(&mut self.listeners).into_iter().map(|listener| listener.handle);
        for handle in listeners.chain(self.wakeup.take()) {
            self.cx.driver.close(handle, crate::uring::Hangup::Finish);
        }
        self.cx.driver
    }

    /// How long nothing is due.
    fn wait(&mut self) -> Duration {
        let cx = &mut self.cx;
        if !cx.sends.is_empty() || self.probe.is_looking() {
            return Duration::ZERO;
        }
        let now = cx.now;
        if self.draining.is_some() && self.drained.is_given() {
            // No message comes of the other cores' having nothing left.
            return DRAINED_LOOK_INTERVAL;
        }
        let is_idle = cx.places_taken() == 0 && cx.children.is_empty() && !cx.has_withdrawn();
        // The completion of the send wakes the core before that.
        let waits_for_room = cx.post.waits_for_room() || !self.untold.is_empty();
        let writers = (cx.has_blocked() || waits_for_room).then_some(now + BLOCKED_RETRY);
        let tuners = cx.tuners.as_ref().and_then(|tuners| tuners.next_deadline());
        for (timer, next) in [
            (Timer::Connection, self.connections.next_deadline()),
            (Timer::Tuners, tuners),
            (Timer::Accept, self.accept_again),
            (Timer::Drain, self.draining),
            (Timer::Sweep, (!is_idle).then_some(self.next_sweep)),
            (Timer::Health, cx.health.next_deadline()),
            (Timer::Prober, self.probe.next_deadline()),
            (Timer::Writers, writers),
        ] {
            cx.timers.set(timer, next);
        }
        let next = cx.timers.next().unwrap_or(now + SLEEP_MAX);
        (next - now).min(SLEEP_MAX)
    }

    /// With many viewers single completions are not worth a turn each; with somebody at the door each is.
    fn batch_wait(&mut self) -> Duration {
        let wakes_now = self.cx.sends.take_wake_now();
        if wakes_now || self.cx.places_taken() < MANY_CLIENTS { Duration::ZERO } else { BATCH_WAIT }
    }

    /// Somebody is told what has happened. Whoever is asked for and gone needs not know.
    fn dispatch(&mut self, completion: Completion<Token, Lent, D::Descriptor>) {
        let event = completion.event;
        if let Some(is_for_stream) = completion.token.is_for_stream() {
            self.cx.note_done(is_for_stream);
        }
        match completion.token {
            Token::Wakeup => self.awaits_wakeup = false,
            Token::Listener(index) => self.on_listener(index, event),
            Token::RequestHead(connection) => {
                let asked = self.connections.on_request_head(&mut self.cx, connection, event);
                self.on_asked(asked);
            }
            Token::Reply(connection) => self.connections.on_reply(&mut self.cx, connection, event),
            Token::Hangup(viewer) => {
                if let Some((outlet, view)) = self.stations.outlet_mut(viewer.channel) {
                    let noticed = match event {
                        Event::Noticed(events) => Ok(events),
                        Event::Done { result, .. } => result,
                        Event::Accepted(_) | Event::Sent { .. } | Event::Released { .. } => {
                            unreachable!("a poll notices events")
                        }
                    };
                    outlet.on_hangup(&mut self.cx, view, viewer, is_over(noticed));
                }
            }
            Token::Interim(viewer) => {
                if let Some((outlet, view)) = self.stations.outlet_mut(viewer.channel) {
                    let Event::Done { result, .. } = event else { unreachable!("it is sent by copying") };
                    outlet.on_interim(&mut self.cx, view, viewer, result);
                }
            }
            Token::Send(viewer) => {
                if let Some((outlet, view)) = self.stations.outlet_mut(viewer.channel) {
                    outlet.on_send(&mut self.cx, view, viewer, event);
                }
            }
            Token::Source { owner: SourceOwner::Channel(at), run, step } => {
                if let Some((channel, outlet)) = self.stations.get_mut(at) {
                    channel.on_source(&mut self.cx, outlet, run, step, event);
                }
            }
            Token::Source { owner: SourceOwner::Probe(count), run, step } => {
                self.probe.on_source(&mut self.cx, count, run, step, event);
            }
        }
        self.settle();
    }

    /// What the parts have said to each other is heard, and what follows from that.
    fn settle(&mut self) {
        loop {
            self.deliver_tuner_messages();
            self.deliver_home();
            let Some(word) = self.cx.post.hear() else { return };
            match word {
                Word::Channel(at, word) => self.on_word(at, word),
                Word::News(at) => self.tell_news(at),
                Word::Over(at) => self.on_over(at),
                Word::Answer(connection, bytes, persistence) => {
                    self.connections.answer(&mut self.cx, connection, bytes, persistence);
                }
                Word::Refuse(connection, error) => {
                    self.connections.refuse(&mut self.cx, connection, error);
                }
                Word::TurnedAway { handle, peer, guide_number, error } => {
                    self.connections.turned_away(&mut self.cx, handle, peer, guide_number, error);
                }
                Word::Served(taken) => self.connections.served(&mut self.cx, taken),
            }
        }
    }

    fn on_word(&mut self, at: ChannelRef, word: ToChannel) {
        if self.stations.away_mut(at).is_some() {
            return self.on_word_away(at, word);
        }
        let has_left = matches!(word, ToChannel::Left(..) | ToChannel::Fetched);
        if has_left && self.forget_if_over(at) {
            return;
        }
        if let Some((channel, outlet)) = self.stations.get_mut(at) {
            channel.hear(&mut self.cx, outlet, word);
        }
    }

    /// A session is over: it is remembered, its tuner is free from this moment, and its channel may be tuned anew.
    fn on_over(&mut self, at: ChannelRef) {
        let Some((channel, outlet)) = self.stations.get_mut(at) else { return };
        let watched = Watched { audience: outlet.audience(), writes: outlet.writes(), viewers: Vec::new() };
        if let Some(record) = channel.record(&watched, self.cx.time.lost()) {
            self.closed.push(record);
        }
        self.cx.post.tell_tuners(match channel.take_tuner() {
            Some(tuner) => TunerMessage::Released { tuner },
            None => TunerMessage::Cancelled { core: self.cx.id, session: channel.id() },
        });
        self.stations.close(at);
        self.forget_if_over(at);
    }

    /// Forgets a channel whose session is over and whose last viewer has gone. Not before that has been heard: its tuner is given
    /// back then.
    fn forget_if_over(&mut self, at: ChannelRef) -> bool {
        let session = self
            .stations
            .get_mut(at)
            .filter(|(channel, outlet)| channel.is_over() && outlet.count() == 0)
            .map(|(channel, _)| channel.id());
        let is_over = session.is_some_and(|session| self.stations.of_session(session).is_none());
        if is_over && let Some(channel) = self.stations.remove(at) {
            self.cx.timers.forget(Timer::Channel(at));
            self.cx.retire(channel.into_ring().reader());
        }
        is_over
    }

    /// Somebody asks for something of a channel.
    fn on_asked(&mut self, wanted: Option<Wanted>) {
        let asked = match wanted {
            None => return,
            Some(Wanted::Hls(asked)) => return self.on_hls(asked),
            Some(Wanted::Stream(asked)) => asked,
        };
        let connection = asked.connection;
        if let Err(error) = self.join(asked) {
            self.connections.refuse(&mut self.cx, connection, error);
        }
    }

    /// Somebody asks for a channel.
    fn join(&mut self, asked: Asked) -> Result<(), StreamError> {
        let Some((peer, is_local)) = self.connections.who(asked.connection) else {
            unreachable!("a connection asks while it is there")
        };
        if self.draining.is_some() {
            return Err(StreamError::Draining);
        }
        self.cx.viewer_joins(peer.ip(), is_local)?;
        let home = placement::home(asked.channel.id, self.cx.params.cores);
        if home != self.cx.id && !self.cx.is_saturated() {
            self.ask_home(home, peer, asked);
            return Ok(());
        }
        let joined = self.join_counted(asked);
        if joined.is_err() {
            self.cx.viewer_leaves(peer.ip());
        }
        joined
    }

    /// The session that somebody may join who asks for a channel that lives here, whether it was there already, and what is to be
    /// done first if it was not.
    fn session_of(
        &mut self,
        channel: &Arc<lineup::Channel>,
    ) -> Result<(ChannelRef, bool, Vec<Action>), StreamError> {
        if self.draining.is_some() {
            return Err(StreamError::Draining);
        }
        if channel.sources.is_empty() {
            return Err(StreamError::NoSources);
        }
        let (at, is_reused, first_actions) = match self.stations.of_channel(channel.id) {
            Some(at) => (at, true, Vec::new()),
            None if self.cx.is_saturated() => return Err(StreamError::Saturated),
            None => {
                if let Err(rejected) = self.cx.backoff.allow(self.cx.now, channel.id) {
                    log::debug!("channel {}: {rejected}", channel.id);
                    return Err(StreamError::TuneBackoff { remaining: rejected.retry_after });
                }
                // Its provider need not stand two streams of it.
                self.probe.handle(&mut self.cx, ProbeEvent::Tuned(channel.id));
                let (at, first) = self.stations.open(&mut self.cx, channel)?;
                (at, false, first)
            }
        };
        let has_room = self.stations.get_mut(at).is_some_and(|(channel, _)| channel.has_room());
        if has_room { Ok((at, is_reused, first_actions)) } else { Err(StreamError::MaxSubscribers) }
    }

    fn join_counted(&mut self, asked: Asked) -> Result<(), StreamError> {
        let Asked { connection, channel, duration, via, takes_interim } = asked;
        if self.cx.is_saturated() {
            return Err(StreamError::Saturated);
        }
        let (at, is_reused, first_actions) = self.session_of(&channel)?;
        let Some((channel, outlets)) = self.stations.get_mut(at) else {
            unreachable!("the index names channels that exist")
        };
        let Some(Taken { handle, peer, is_local }) = self.connections.take(connection) else {
            unreachable!("a connection joins while it is there")
        };
        let newcomer = Newcomer { handle, peer, is_local, duration, takes_interim, number: None };
        let number = outlets.own_mut().join(&mut self.cx, channel.feed().view(), newcomer, is_reused);
        channel.joined(&mut self.cx, outlets, number, via);
        // Only now: a tuner may be granted on the spot, and one that comes for nobody is given back.
        channel.perform_first(&mut self.cx, outlets, first_actions);
        Ok(())
    }

    /// Sees to it that mail wakes the core. What is refused is tried again a turn later; the mail is read each
    /// turn all the same.
    fn await_wakeup(&mut self) {
        let Some(file) = self.wakeup.filter(|_| !self.awaits_wakeup) else { return };
        let into = Lent::Heap(HeapBytes::zeroed(8));
        self.awaits_wakeup = self.cx.driver.push(Operation::Read { file, into }, Token::Wakeup).is_ok();
        if !self.awaits_wakeup {
            self.cx.counters.queue_full += 1;
        }
    }

    /// Sees to it that every listener accepts.
    fn accept_on_all(&mut self) {
        for (listener, index) in self.listeners.iter_mut().zip(0u8..) {
            if listener.is_accepting {
                continue;
            }
            let accept = Operation::Accept { listener: listener.handle };
            listener.is_accepting = self.cx.driver.push(accept, Token::Listener(index)).is_ok();
            if !listener.is_accepting {
                self.accept_again = Some(self.cx.now + ACCEPT_PAUSE);
            }
        }
    }

    fn on_listener(&mut self, index: u8, event: Event<Lent, D::Descriptor>) {
        match event {
            Event::Accepted(socket) => self.connections.accepted(&mut self.cx, socket),
            Event::Done { result, .. } => {
                let Some(listener) = self.listeners.get_mut(usize::from(index)) else { return };
                listener.is_accepting = false;
                match result {
                    Err(errno) if errno != Errno::CANCELED && errno != Errno::INTR => {
                        self.pause_accepting(errno)
                    }
                    Ok(_) | Err(_) => self.accept_on_all(),
                }
            }
            Event::Noticed(_) | Event::Sent { .. } | Event::Released { .. } => {
                unreachable!("a listener accepts, and nothing else")
            }
        }
    }

    /// A listener could not accept. What is missing may be there again soon, and is said now and then.
    fn pause_accepting(&mut self, errno: Errno) {
        self.accept_again = Some(self.cx.now + ACCEPT_PAUSE);
        self.cx.counters.accept_pauses += 1;
        let clock_now = self.cx.clock_now();
        let Some(times) = self.cx.params.room.remarks.accept_paused(clock_now) else { return };
        let remedy = match errno {
            Errno::MFILE => {
                "no descriptors are left: raise the limit on open files (ulimit -n, systemd: LimitNOFILE=)"
            }
            Errno::NFILE => "this host has no descriptors left: raise the sysctl fs.file-max",
            Errno::NOMEM | Errno::NOBUFS => "the kernel has no memory for sockets",
            _ => "",
        };
        let line = Line::new("accepting is paused").field("core", self.cx.id.0).field("error", errno);
        log::warn!("{}", line.field("times", times).unless_empty("remedy", remedy));
    }

    /// Does what is due.
    fn expire(&mut self) {
        while let Some(timer) = self.cx.timers.pop_due(self.cx.now) {
            match timer {
                Timer::Channel(at) => {
                    if let Some((channel, outlet)) = self.stations.get_mut(at) {
                        channel.on_timer(&mut self.cx, outlet);
                    }
                }
                Timer::ProbedSource => self.probe.on_timer(&mut self.cx),
                Timer::Connection
                | Timer::Accept
                | Timer::Prober
                | Timer::Tuners
                | Timer::Sweep
                | Timer::Health
                | Timer::Writers
                | Timer::Drain => unreachable!("these are asked, each below: {timer:?}"),
            }
            self.settle();
        }
        self.connections.expire(&mut self.cx);
        if self.accept_again.is_some_and(|at| at <= self.cx.now) {
            self.accept_again = None;
            self.accept_on_all();
        }
        let stations = &self.stations;
        self.probe.expire(&mut self.cx, |channel| stations.of_channel(channel).is_some());
        self.expire_tuners();
        self.settle();
        if self.next_sweep <= self.cx.now {
            self.next_sweep = self.cx.now + SWEEP_INTERVAL;
            self.sweep();
        }
        if self.next_tidying <= self.cx.now {
            self.next_tidying = self.cx.now + TIDYING_INTERVAL;
            self.give_back();
        }
        // Last: whatever has ended just now may have been the last thing a drain waits for.
        self.flush_health();
    }

    /// Gives the memory back that a crowd has left behind.
    fn give_back(&mut self) {
        self.connections.give_back();
        self.cx.driver.give_back();
        for (_, outlets) in self.stations.iter_mut() {
            outlets.own_mut().give_back();
        }
        for away in self.stations.iter_away_mut() {
            away.parts_mut().0.give_back();
        }
    }

    /// Looks after everything that is looked at ten times a second.
    fn sweep(&mut self) {
        let clock_now = self.cx.clock_now();
        for (channel, outlets) in self.stations.iter_mut() {
            let promises = outlets.promises(clock_now, channel.feed().view());
            channel.sweep(&self.cx, SWEEP_INTERVAL, promises);
            outlets.note_changes(&mut self.cx, channel.feed());
            outlets.sweep_hls(&mut self.cx, channel.feed_mut());
        }
        for (channel, outlets) in self.stations.iter_mut() {
            outlets.own_mut().sweep(&mut self.cx, channel.feed().view());
        }
        for away in self.stations.iter_away_mut() {
            away.sweep(&mut self.cx, clock_now);
        }
        self.settle();
        self.cx.repeat_child_stops();
        for (channel, _) in self.stations.iter_mut() {
            channel.use_profile(&mut self.cx);
        }
        self.settle();
    }

    /// Those whose source could not be read last turn try it again.
    fn retry_blocked(&mut self) {
        for owner in self.cx.take_blocked() {
            match owner {
                SourceOwner::Channel(at) => {
                    if let Some((channel, outlet)) = self.stations.get_mut(at) {
                        channel.retry(&mut self.cx, outlet);
                    }
                }
                SourceOwner::Probe(count) => self.probe.retry(&mut self.cx, count),
            }
            self.settle();
        }
    }

    /// Gives a viewer its next send. Gives the bytes submitted.
    fn send_next(&mut self, viewer: ViewerRef) -> u64 {
        let Some((outlet, view)) = self.stations.outlet_mut(viewer.channel) else { return 0 };
        let bytes = outlet.send_next(&mut self.cx, view, viewer);
        self.settle();
        bytes
    }

    fn snapshot(&self) -> CoreSnapshot {
        let mut sessions: Vec<_> = self
            .stations
            .iter()
            .map(|(channel, outlets)| {
                let viewers = outlets.snapshot(self.cx.id, channel.feed().view());
                let watched = Watched { audience: outlets.audience(), writes: outlets.writes(), viewers };
                channel.snapshot(&self.cx, watched)
            })
            .collect();
        sessions.sort_by_key(|session| session.record.id);
        CoreSnapshot {
            core: self.cx.id,
            counters: self.cx.counters,
            tallies: self.cx.tallies().clone(),
            sessions,
            away: self.stations.iter_away().map(|away| away.snapshot(self.cx.id)).collect(),
            closed: self.closed.snapshot(),
            viewers: self.stations.outlets().map(Outlet::count).sum(),
            connections: self.connections.count(),
            ring_bytes: self.stations.iter().map(|(channel, _)| channel.ring_memory_bytes()).sum(),
            turn_longest: self.cx.turn_longest(),
            send_wait: self.cx.send_wait(),
            is_saturated: self.cx.is_saturated(),
            tuners: self.tuners_snapshot(),
            places: self.places_snapshot(),
        }
    }
}

#[cfg(test)]
mod drips;
#[cfg(test)]
mod kept;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
