//! The context in which the parts of a core work: the time, the kernel, control, the settings, and what the whole core shares.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{CONNECTIONS_PER_CORE_MAX, PACKET_BYTES, SEND_BYTES_MAX};
use crate::base::logfmt::Line;
use crate::base::{Errno, Instant, OwnTime};
use crate::engine::port::ids::{CoreId, SessionId, Ticket};
use crate::engine::port::mailbox::Mailbox;
use crate::engine::port::messages::{ChildOwner, ControlPort, ControlRequest, CoreCommand};
use crate::engine::port::params::{Egress, Params};
use crate::engine::port::snapshot::CoreCounters;
use crate::engine::port::tallies::Tallies;
use crate::engine::report::refusals::RefusalLog;
use crate::http::{CookieJar, StreamError};
use crate::lineup::{Lineup, PlaylistId, Source, SourceId, Tuners};
use crate::ring::{Lent, Reader};
use crate::session::{Place, Purpose};
use crate::source::Relayed;
use crate::source::ffmpeg::LogLevel;
use crate::tuner::Backoff;
use crate::tuner::pool::Pool;
use crate::uring::Driver;

use super::children::Children;
use super::cookies::SourceCookies;
use super::health::CoreHealth;
use super::load::Load;
use super::post::Post;
use super::providers::Providers;
use super::sends::SendQueue;
use super::timers::Timers;
use super::token::{ChannelRef, SourceOwner, Token};

/// Somebody who asks at once is heard, however little is left.
const NEWCOMERS_MIN: u32 = 4;
/// A program that was stopped and of whose end nothing is heard for so long has no connection any more.
const WITHDRAWN_MAX: Duration = Duration::from_secs(10);

/// What a child is to do.
pub(crate) struct ChildWork {
    pub(crate) arguments: Vec<std::ffi::OsString>,
    pub(crate) listing: Option<LogLevel>,
    pub(crate) relayed: Option<Box<Relayed>>,
}

/// A driver as the engine uses it.
pub(crate) trait CoreDriver: Driver<Memory = Lent, Token = Token> {}

impl<D: Driver<Memory = Lent, Token = Token>> CoreDriver for D {}

/// Who holds a tuner.
pub(crate) type Holder = (CoreId, SessionId);

/// Who has asked control something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    /// Where a host is, for a run of a source.
    Host(SourceOwner, u32),
    /// What ffprobe says of a channel's source.
    Stream(ChannelRef),
    /// A slate for a channel.
    Slate(ChannelRef),
}

/// What a core gives to its parts.
pub(crate) struct Cx<D: CoreDriver> {
    pub(crate) id: CoreId,
    pub(crate) params: Params,
    pub(crate) driver: D,
    /// The time of this turn, by which all are judged. It stands still while the core cannot run.
    pub(crate) now: Instant,
    pub(crate) time: OwnTime,
    pub(crate) counters: CoreCounters,
    tallies: Tallies,
    /// What is told of refused tunes.
    refusals: RefusalLog,
    /// The channels.
    pub(crate) lineup: Arc<Lineup>,
    /// What is known of the sources of the channels that live here.
    pub(crate) health: CoreHealth,
    /// What the servers of sources have set.
    cookies: SourceCookies,
    /// Channels that are refused for a while.
    pub(crate) backoff: Backoff,
    pub(crate) timers: Timers,
    /// What the parts have to say to each other.
    pub(crate) post: Post,
    /// Viewers to be sent to.
    pub(crate) sends: SendQueue,
    load: Load,
    pub(crate) children: Children,
    /// The pool of tuners, on core 0.
    pub(crate) tuners: Option<Pool<Holder>>,
    control: Box<dyn ControlPort<D::Descriptor>>,
    /// The mailboxes of all cores, this one's included.
    cores: Vec<Mailbox<D::Descriptor>>,
    questions: BTreeMap<Ticket, Question>,
    next_ticket: u64,
    /// Questions whose programs are stopped and not known to be gone. Each had room in control's queue when it was asked.
    withdrawn: Vec<Withdrawn>,
    /// Connections and viewers.
    places_taken: u32,
    /// Those whose source could not be read last turn.
    blocked: Vec<SourceOwner>,
}

/// A program whose answer is not wanted any more.
struct Withdrawn {
    ticket: Ticket,
    /// It has it until it is gone.
    place: Place,
    /// So long its provider counts it then.
    counted: Duration,
    /// Control has been asked for its end.
    is_told: bool,
    until: Instant,
}

impl<D: CoreDriver> Cx<D> {
    pub(crate) fn new(
        id: CoreId,
        params: Params,
        driver: D,
        control: Box<dyn ControlPort<D::Descriptor>>,
        cores: Vec<Mailbox<D::Descriptor>>,
        lineup: Arc<Lineup>,
    ) -> Self {
        let backoff = params.tune_backoff;
        params.places.set_limits(&lineup.tuners().of_playlists);
        params.providers.lock().set_cooldown(params.session.provider_cooldown);
        let tuners = lineup.tuners().count.unwrap_or(params.tuners);
        Self {
            id,
            refusals: RefusalLog::new(params.cores),
            driver,
            now: Instant::START,
            time: OwnTime::default(),
            counters: CoreCounters::default(),
            tallies: Tallies::default(),
            lineup,
            health: CoreHealth::new(),
            cookies: SourceCookies::default(),
            backoff: Backoff::new(backoff.tunes_max, backoff.interval, backoff.cooldown),
            timers: Timers::default(),
            post: Post::default(),
            sends: SendQueue::default(),
            load: Load::default(),
            children: Children::default(),
            tuners: (id == CoreId(0))
                .then(|| Pool::new(tuners, params.preempt_settle_delay, params.tune_wait)),
            params,
            control,
            cores,
            questions: BTreeMap::new(),
            next_ticket: 0,
            withdrawn: Vec::new(),
            places_taken: 0,
            blocked: Vec::new(),
        }
    }

    /// What all cores know of providers, by this core's time.
    pub(crate) const fn providers(&self) -> Providers<'_> {
        Providers::new(&self.params.providers, self.time)
    }

    /// The time by the clock. A programme and those who watch it go on by this one, also while the core cannot run.
    pub(crate) fn clock_now(&self) -> Instant {
        self.now + self.time.lost()
    }

    /// A turn of the core was work for so long, and waiting for more for so long.
    pub(crate) fn turned(&mut self, worked: Duration, waited: Duration) {
        self.load.turned(worked, waited, self.sends.wait(self.now), self.places_taken as u64);
        self.tallies.turned(worked);
    }

    /// A viewer who had caught up, and whose socket has room, is sent so much of what waits for it.
    pub(crate) const fn note_send(&mut self, waiting: u64, bytes: u64) {
        self.load.sends(waiting, bytes);
    }

    /// Something was done for a source or for a viewer who has caught up with it, or for whoever comes, goes and asks for something
    /// else.
    pub(crate) const fn note_done(&mut self, is_for_stream: bool) {
        self.load.did(is_for_stream);
    }

    /// Of so many viewers this many are to end: the core falls behind more and more.
    pub(crate) fn take_too_many(&mut self, viewers: u64) -> u64 {
        self.load.take_too_many(viewers)
    }

    /// How long those waited lately who were to be sent to, at the least.
    pub(crate) const fn send_wait(&self) -> Duration {
        self.load.send_wait()
    }

    /// What is counted for metrics.
    pub(crate) const fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    pub(crate) const fn tallies_mut(&mut self) -> &mut Tallies {
        &mut self.tallies
    }

    /// A tune is refused. True when that is to have a line.
    pub(crate) fn counts_refusal(&mut self, error: StreamError) -> bool {
        self.tallies.refused(error);
        self.refusals.is_due(self.now, error)
    }

    /// Tells of refused tunes that had no line of their own.
    pub(crate) fn log_refusals(&mut self) {
        for line in self.refusals.digest(self.now) {
            log::warn!("{line}");
        }
    }

    /// The longest that it has worked without looking up, of the last half minute to a minute.
    pub(crate) fn turn_longest(&self) -> Duration {
        self.load.longest()
    }

    /// The core has more to do than it can.
    pub(crate) const fn is_saturated(&self) -> bool {
        self.load.is_saturated()
    }

    /// So much gathers for a viewer before it is sent to: twice the least where the core has no time to lose.
    pub(crate) fn egress_bytes(&self) -> u64 {
        let least = self.params.egress.bytes;
        let bytes = self.load.gathers(least, (2 * least).min(SEND_BYTES_MAX as u64));
        (bytes - bytes % PACKET_BYTES as u64).max(least)
    }

    /// Or what is so old.
    pub(crate) fn egress_delay(&self) -> Duration {
        let Egress { delay, delay_max, .. } = self.params.egress;
        self.load.lets_wait(delay, delay_max)
    }

    /// A name for a session.
    pub(crate) fn session_id(&self) -> SessionId {
        self.params.session_numbers.next()
    }

    /// How long a session waits before it opens another stream in the place of one that is lost.
    pub(crate) fn failover_settle(&self) -> Duration {
        match &self.tuners {
            Some(tuners) => tuners.failover_settle(self.now),
            // Only core 0 knows how full the pool is.
            None if self.params.tuners > 1 => self.params.preempt_settle_delay,
            None => Duration::ZERO,
        }
    }

    /// How many streams playlists allow.
    pub(crate) fn set_tuners(&self, tuners: &Tuners) {
        self.params.places.set_limits(&tuners.of_playlists);
    }

    /// Takes a place at the provider of a playlist, if one is free.
    pub(crate) fn take_playlist_place(
        &self,
        playlist: PlaylistId,
        session: SessionId,
        purpose: Purpose,
    ) -> Option<Place> {
        self.params.places.lock().take(self.clock_now(), playlist, (self.id, session), purpose)
    }

    /// Whether the playlist's provider allows a number of streams.
    pub(crate) fn is_limited(&self, playlist: PlaylistId) -> bool {
        self.params.places.lock().is_limited(playlist)
    }

    /// True when no place is left for trying a source in the background.
    pub(crate) fn has_no_place(&self, source: &Source) -> bool {
        // Whoever tries it has no name yet: it is nobody that has a place.
        let nobody = (self.id, SessionId(0));
        let places = self.params.places.lock();
        places.free_at(self.clock_now(), source.playlist, nobody, Purpose::Trial).is_some()
    }

    /// Nothing is connected any more in that place; its provider counts it for so long.
    pub(crate) fn give_playlist_place_back(&self, place: &Place, counted: Duration) {
        self.params.places.lock().give_back(self.clock_now(), place, counted);
    }

    /// What the servers of a source have set.
    pub(crate) fn cookies_of(&self, source: SourceId) -> CookieJar {
        self.cookies.of(source)
    }

    /// A source is not asked any more that was with its cookies, and has these by now.
    pub(crate) fn keep_cookies(&mut self, source: SourceId, jar: CookieJar) {
        self.cookies.keep(self.now, source, jar);
    }

    /// Somebody is to watch; gives its place back by [`Cx::viewer_leaves`].
    ///
    /// # Errors
    /// Why there is no place.
    pub(crate) fn viewer_joins(&mut self, peer: IpAddr, is_local: bool) -> Result<(), StreamError> {
        self.params.gate.enter(peer, is_local)
    }

    /// Somebody watches no more.
    pub(crate) fn viewer_leaves(&mut self, peer: IpAddr) {
        self.params.gate.leave(peer);
    }

    /// Connections that this core may have beside viewers: its part of what these leave.
    pub(crate) fn newcomers_max(&self) -> usize {
        let left = self.params.room.connections_max.saturating_sub(self.params.gate.count());
        (left / u32::from(self.params.cores)).max(NEWCOMERS_MIN) as usize
    }

    /// One connection more; false when there is no room for it.
    pub(crate) const fn take_place(&mut self) -> bool {
        let has_room = self.places_taken < CONNECTIONS_PER_CORE_MAX;
        self.places_taken += has_room as u32;
        has_room
    }

    /// A connection or viewer is gone.
    pub(crate) fn free_place(&mut self) {
        self.places_taken = self.places_taken.checked_sub(1).expect("a place is freed once");
    }

    /// Connections and viewers.
    pub(crate) const fn places_taken(&self) -> u32 {
        self.places_taken
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Tells another core something, which a core that has returned needs not hear. The message comes back when that core's mailbox
    /// is full.
    ///
    /// # Errors
    /// The message.
    pub(crate) fn tell_core(
        &mut self,
        core: CoreId,
        message: CoreCommand<D::Descriptor>,
    ) -> Result<(), CoreCommand<D::Descriptor>> {
        let result = self.cores[usize::from(core.0)].tell(message).map_err(|full| full.0);
        self.counters.queue_full += u64::from(result.is_err());
        result
    }

    /// Asks control for something. The request comes back when control's queue is full.
    ///
    /// # Errors
    /// The request.
    pub(crate) fn request(
        &mut self,
        request: ControlRequest<D::Descriptor>,
    ) -> Result<(), Box<ControlRequest<D::Descriptor>>> {
        let result = self.control.request(request);
        self.counters.queue_full += u64::from(result.is_err());
        result
    }

    /// Asks control a question whose answer names it by its ticket; `None` when control's queue is full.
    pub(crate) fn ask(
        &mut self,
        question: Question,
        request: impl FnOnce(CoreId, Ticket) -> ControlRequest<D::Descriptor>,
    ) -> Option<Ticket> {
        let ticket = self.ticket();
        self.request(request(self.id, ticket)).ok()?;
        self.questions.insert(ticket, question);
        Some(ticket)
    }

    /// Who has asked what is answered; `None` when the answer is not wanted any more.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Option<Question> {
        self.questions.remove(&ticket)
    }

    /// The answer to a question is not wanted any more, and the program that was to find it is stopped. It has its place until
    /// it is gone, and its provider counts it for so long; when control's queue is full it is asked again by the sweep.
    pub(crate) fn withdraw(&mut self, ticket: Ticket, place: Place, counted: Duration) {
        self.questions.remove(&ticket);
        self.params.places.lock().leave(&place);
        let is_told = self.request(ControlRequest::StopChild { core: self.id, ticket }).is_ok();
        let until = self.now + WITHDRAWN_MAX;
        self.withdrawn.push(Withdrawn { ticket, place, counted, is_told, until });
    }

    /// A program is gone whose answer is not wanted any more.
    pub(crate) fn withdrawn_is_gone(&mut self, ticket: Ticket) {
        if let Some(at) = self.withdrawn.iter().position(|withdrawn| withdrawn.ticket == ticket) {
            let Withdrawn { place, counted, .. } = self.withdrawn.swap_remove(at);
            self.give_playlist_place_back(&place, counted);
        }
    }

    /// Programs that were stopped are not known to be gone.
    pub(crate) const fn has_withdrawn(&self) -> bool {
        !self.withdrawn.is_empty()
    }

    /// Asks for a child whose output a run of a source is; `None` when control's queue is full.
    pub(crate) fn start_child(
        &mut self,
        owner: SourceOwner,
        run: u32,
        source: &Source,
        channel_id: i64,
        work: ChildWork,
    ) -> Option<Ticket> {
        let ChildWork { arguments, listing, relayed } = work;
        let (core, ticket) = (self.id, self.ticket());
        let program = self.params.sources.ffmpeg_path.clone();
        let whose = ChildOwner { channel_id, source_id: source.id.0 };
        let request =
            ControlRequest::StartChild { core, ticket, program, arguments, owner: whose, listing, relayed };
        self.request(request).ok()?;
        self.children.insert(ticket, owner, run, source);
        Some(ticket)
    }

    /// Asks for a child's end. When control's queue is full it is asked again by the sweep.
    pub(crate) fn stop_child(&mut self, ticket: Ticket) {
        if self.children.note_stop(ticket, self.now) {
            let _refused = self.request(ControlRequest::StopChild { core: self.id, ticket });
        }
    }

    /// Asks again for ends that have not come.
    pub(crate) fn repeat_child_stops(&mut self) {
        for ticket in self.children.overdue(self.now) {
            self.stop_child(ticket);
        }
        for mut withdrawn in std::mem::take(&mut self.withdrawn) {
            if withdrawn.until <= self.now {
                self.give_playlist_place_back(&withdrawn.place, withdrawn.counted);
                continue;
            }
            if !withdrawn.is_told {
                let stop = ControlRequest::StopChild { core: self.id, ticket: withdrawn.ticket };
                withdrawn.is_told = self.request(stop).is_ok();
            }
            self.withdrawn.push(withdrawn);
        }
    }

    /// Whoever reads a source waits for spans that are lent, or for room for an operation.
    pub(crate) fn block(&mut self, owner: SourceOwner) {
        if !self.blocked.contains(&owner) {
            self.blocked.push(owner);
        }
    }

    /// Those who wait so; each may block again.
    pub(crate) fn take_blocked(&mut self) -> Vec<SourceOwner> {
        std::mem::take(&mut self.blocked)
    }

    pub(crate) const fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Memory of a ring could not be registered: viewers are sent to in another way. Said once, for it will be met again and again.
    pub(crate) fn cannot_register(&self, errno: Errno) {
        if !self.params.room.remarks.cannot_register() {
            return;
        }
        let remedy = match errno {
            Errno::NOMEM => "locked memory is limited: raise it (ulimit -l, systemd: LimitMEMLOCK=infinity)",
            Errno::NOBUFS => {
                "io_uring takes no more parts of rings on one core: make them smaller (SUBSCRIBER_JOIN_LAG_BYTES)"
            }
            _ => "",
        };
        let line = Line::new("rings cannot be registered, viewers are sent to by copying or from files");
        log::warn!("{}", line.field("core", self.id.0).field("error", errno).unless_empty("remedy", remedy));
    }

    /// A ring is done with. What is lent of it stays where it is until it has come back.
    pub(crate) fn retire(&mut self, ring: &Reader) {
        for buffer in ring.withdraw() {
            self.driver.unregister_memory(buffer);
        }
    }
}
