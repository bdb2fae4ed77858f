//! One run of a source: from the moment it is opened until it is dropped.

use std::time::Duration;

use crate::base::limits::PACKET_BYTES;
use crate::base::{ChildExit, Errno, HeapBytes, Instant};
use crate::engine::port::ids::Ticket;
use crate::ring::Lent;
use crate::session;
use crate::source::error::SourceError;
use crate::source::hls::Remark;
use crate::source::startup::{Startup, Verdict};
use crate::source::udp::{self, Batches, Receiver};
use crate::source::watch::{self, Progress, Watch};
use crate::source::web::Web;
use crate::source::{Opening, Remux};
use crate::uring::Handle;

use super::attempt::Attempt;
use super::ingest::Ingest;
use super::staging::Staging;

use crate::engine::context::token::SourceStep;

/// One attempt at, and then the life of, one source.
pub(crate) struct SourceRun {
    /// Which run of its owner this is: completions of earlier ones are told apart by it.
    number: u32,
    /// What is tried, or has succeeded.
    attempt: Attempt,
    opening: Opening,
    io: Io,
    ingest: Ingest,
    /// It sends in drips: nothing is received before this.
    drips_until: Option<Instant>,
    phase: Phase,
}

/// Less than this of a stream is a drip: what servers send at once holds a datagram's worth of packets or more.
const DRIP_BYTES: usize = 7 * PACKET_BYTES;
/// Less than this is one of whatever is received: no head and no handshake comes in such pieces.
const SMALL_DRIP_BYTES: usize = 64;
/// So long drips gather: whoever sends a byte at a time costs two hundred receives a second at most, and nobody sees the delay.
const DRIP_REST: Duration = Duration::from_millis(5);

/// Where a run stands.
enum Phase {
    /// It is opened, and what it sends is kept until a start has been found in it.
    Staging {
        staging: Staging,
        startup: Startup,
        /// How its child has ended, whose pipe is not empty yet, and what it said last.
        child_end: Option<(ChildExit, Box<str>)>,
    },
    /// It is selected, and what was kept of it moves into the ring.
    Moving {
        staging: Staging,
        /// Its first packet has been given its place in the timeline.
        has_begun: bool,
        shown: Published,
    },
    /// What it sends goes into the ring.
    Publishing(Published),
}

/// What there is to a run once it is selected.
struct Published {
    since: Instant,
    /// Notices when it stalls.
    watch: Watch,
    /// What its stream is made of has been noted.
    is_profiled: bool,
    /// So is its rate, which takes longer to be known.
    is_rated: bool,
    /// More is not read before this: what comes meanwhile gathers in the kernel, and is then read at once.
    rests_until: Option<Instant>,
    /// How long it had to wait for viewers since it last had nothing more to give.
    waited: Duration,
}

/// How bytes are had.
pub(super) enum Io {
    /// From a socket of this core.
    Direct { web: Web, socket: Option<Handle>, is_busy: bool, spare: Option<HeapBytes> },
    /// From a socket of this core, in datagrams.
    Udp { receiver: Box<Receiver>, socket: Handle, is_gathering: bool, batches: Batches },
    /// From a child's standard output.
    Child { ticket: Ticket, pipe: Option<Handle>, is_busy: bool, has_ended: bool },
}

/// What has been read of a run that is shown.
pub(crate) enum Came {
    /// So many bytes of the stream, at the offset given.
    Bytes(usize),
    /// Nothing, and the client knows why.
    Nothing,
    /// The end of a child's output.
    End,
}

impl SourceRun {
    pub(super) fn new(
        number: u32,
        attempt: Attempt,
        opening: Opening,
        io: Io,
        ingest: Ingest,
        startup: Startup,
    ) -> Self {
        let phase = Phase::Staging { staging: Staging::default(), startup, child_end: None };
        Self { number, attempt, opening, io, ingest, drips_until: None, phase }
    }

    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// Completions of what it has asked for until now are an earlier run's.
    pub(super) const fn renumber(&mut self, number: u32) {
        self.number = number;
    }

    pub(crate) const fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    pub(crate) const fn opening(&self) -> Opening {
        self.opening
    }

    pub(crate) const fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    pub(crate) const fn ingest_mut(&mut self) -> &mut Ingest {
        &mut self.ingest
    }

    pub(super) const fn io_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// What it holds on to when it is dropped.
    pub(super) fn into_io(self) -> Io {
        self.io
    }

    const fn shown(&self) -> Option<&Published> {
        match &self.phase {
            Phase::Moving { shown, .. } | Phase::Publishing(shown) => Some(shown),
            Phase::Staging { .. } => None,
        }
    }

    const fn shown_mut(&mut self) -> Option<&mut Published> {
        match &mut self.phase {
            Phase::Moving { shown, .. } | Phase::Publishing(shown) => Some(shown),
            Phase::Staging { .. } => None,
        }
    }

    /// When it was selected; `None` while it is being started.
    pub(crate) fn selected_at(&self) -> Option<Instant> {
        self.shown().map(|shown| shown.since)
    }

    /// What was kept of it moves into the ring.
    pub(crate) const fn is_moving(&self) -> bool {
        matches!(self.phase, Phase::Moving { .. })
    }

    /// What it sends goes into the ring.
    pub(crate) const fn is_publishing(&self) -> bool {
        matches!(self.phase, Phase::Publishing(_))
    }

    /// Whole packets and what is undecided behind them, as long as they are not in the ring.
    pub(crate) const fn staged(&self) -> Option<&Staging> {
        match &self.phase {
            Phase::Staging { staging, .. } | Phase::Moving { staging, .. } => Some(staging),
            Phase::Publishing(_) => None,
        }
    }

    pub(super) const fn staging_mut(&mut self) -> Option<&mut Staging> {
        match &mut self.phase {
            Phase::Staging { staging, .. } | Phase::Moving { staging, .. } => Some(staging),
            Phase::Publishing(_) => None,
        }
    }

    pub(super) const fn startup_mut(&mut self) -> Option<&mut Startup> {
        match &mut self.phase {
            Phase::Staging { startup, .. } => Some(startup),
            Phase::Moving { .. } | Phase::Publishing(_) => None,
        }
    }

    /// It can be asked for nothing now: an operation is on its way, or its child has no output yet, or no more.
    pub(crate) const fn is_waiting(&self) -> bool {
        match &self.io {
            Io::Direct { is_busy, .. } => *is_busy,
            // What has come can be taken while more is waited for.
            Io::Udp { receiver, is_gathering, .. } => {
                *is_gathering && !receiver.has_bytes() && receiver.failure().is_none()
            }
            Io::Child { is_busy, pipe, has_ended, .. } => *is_busy || pipe.is_none() || *has_ended,
        }
    }

    /// Memory for the stream is on its way.
    pub(crate) const fn is_busy(&self) -> bool {
        match &self.io {
            Io::Direct { is_busy, .. } | Io::Child { is_busy, .. } => *is_busy,
            Io::Udp { .. } => false,
        }
    }

    pub(super) const fn set_busy(&mut self, busy: bool) {
        match &mut self.io {
            Io::Direct { is_busy, .. }
            | Io::Child { is_busy, .. }
            | Io::Udp { is_gathering: is_busy, .. } => *is_busy = busy,
        }
    }

    /// What it does next is read.
    pub(crate) fn wants_bytes(&self) -> bool {
        match &self.io {
            Io::Direct { web, .. } => web.wants_bytes(),
            Io::Udp { .. } | Io::Child { .. } => true,
        }
    }

    /// What is read next is the stream: lists and keys are read however far ahead of viewers it is.
    pub(crate) fn is_streaming(&self) -> bool {
        match &self.io {
            Io::Direct { web, .. } => web.is_streaming(),
            Io::Udp { .. } | Io::Child { .. } => true,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let client = match &self.io {
            Io::Direct { web, .. } => web.next_deadline(),
            Io::Udp { receiver, .. } => receiver.next_deadline(),
            Io::Child { .. } => None,
        };
        let (of_phase, rest) = match &self.phase {
            Phase::Staging { startup, .. } => (startup.next_deadline(), None),
            Phase::Moving { shown, .. } | Phase::Publishing(shown) => {
                (shown.watch.next_deadline(), shown.rests_until)
            }
        };
        [client, of_phase, rest, self.drips_until].into_iter().flatten().min()
    }

    /// So much of what has room for `room` has been received.
    pub(super) fn note_received(&mut self, now: Instant, count: usize, room: usize) {
        let least = if self.is_streaming() { DRIP_BYTES } else { SMALL_DRIP_BYTES };
        if count > 0 && count < least.min(room) {
            self.drips_until = Some(now + DRIP_REST);
        }
    }

    /// True while what comes in drips gathers.
    pub(crate) fn gathers_drips(&mut self, now: Instant) -> bool {
        self.drips_until = self.drips_until.filter(|until| *until > now);
        self.drips_until.is_some()
    }

    /// A start has been found at this position: viewers are shown the stream from there on. `is_first` is for a session's first
    /// viewers, and of `held_bytes_max` there is room in the ring.
    pub(crate) fn select(
        &mut self,
        now: Instant,
        from: u64,
        is_first: bool,
        held_bytes_max: u64,
        params: &session::Params,
    ) {
        let Phase::Staging { staging, .. } = &mut self.phase else { return };
        let mut staging = std::mem::take(staging);
        let ingest = &mut self.ingest;
        staging.start_from(from, ingest.inspector().programme());
        let (position, clock) = (staging.position(), staging.clock_before());
        ingest.start_from(position, clock, staging.packets(), is_first, held_bytes_max);
        // A child that encodes has decoded what it was given, and what it writes is whole.
        if self.opening == Opening::Ffmpeg(Remux::Copy) {
            ingest.doubt_ends();
        }
        let watch = watch::WatchParams { stall_detect: params.stall_detect, content: true };
        let began = ingest.began().unwrap_or(now);
        let watch = Watch::new(watch, now).after(ingest.media_before(), began);
        let shown = Published {
            since: now,
            watch,
            is_profiled: false,
            is_rated: false,
            rests_until: None,
            waited: Duration::ZERO,
        };
        self.phase = Phase::Moving { staging, has_begun: false, shown };
    }

    /// What was kept, and what is known of it, for its first packet's place in the timeline; once.
    pub(crate) fn begin(&mut self) -> Option<(&Staging, &Ingest)> {
        match &mut self.phase {
            Phase::Moving { staging, has_begun, .. } => {
                let is_first = !std::mem::replace(has_begun, true);
                is_first.then_some((staging, &self.ingest))
            }
            Phase::Staging { .. } | Phase::Publishing(_) => None,
        }
    }

    /// How much of what was kept is to be moved next. A start that time alone has decided finds a read on its way, and what it
    /// brings belongs behind what is undecided, which has not moved then.
    pub(crate) fn left_to_move(&self) -> Option<usize> {
        let Phase::Moving { staging, .. } = &self.phase else { return None };
        Some(if self.is_busy() { staging.packets().len() } else { staging.left() })
    }

    /// Moves the next of what was kept.
    pub(crate) fn move_into(&mut self, into: &mut [u8]) {
        if let Phase::Moving { staging, .. } = &mut self.phase {
            staging.flush(into);
        }
    }

    /// All that was kept is in the ring.
    pub(crate) fn has_moved(&mut self) {
        let Some(shown) = self.shown_mut() else { return };
        let (since, rests_until, waited) = (shown.since, shown.rests_until, shown.waited);
        let (is_profiled, is_rated) = (shown.is_profiled, shown.is_rated);
        let watch = shown.watch.clone();
        self.phase =
            Phase::Publishing(Published { since, watch, is_profiled, is_rated, rests_until, waited });
    }

    /// Copies body bytes that the client holds (behind the head, or decrypted).
    pub(crate) fn take_body(&mut self, now: Instant, into: &mut [u8]) -> usize {
        match &mut self.io {
            Io::Direct { web, .. } => web.take_body(now, into),
            Io::Udp { receiver, .. } => receiver.take(into),
            Io::Child { .. } => 0,
        }
    }

    /// What `result` has brought of the stream: `bytes` are what was received, of which framing is taken out in place.
    pub(crate) fn came(&mut self, now: Instant, bytes: &mut [u8], result: Result<u32, Errno>) -> Came {
        match (&mut self.io, result) {
            (Io::Direct { web, .. }, Ok(0)) => {
                web.closed();
                Came::Nothing
            }
            (Io::Direct { web, .. }, Err(errno)) => {
                web.lost(errno);
                Came::Nothing
            }
            (Io::Direct { web, .. }, Ok(_)) => Came::Bytes(web.body_in_place(now, bytes)),
            (Io::Udp { .. }, _) => unreachable!("datagrams are not received into the stream's memory"),
            (Io::Child { .. }, Ok(0) | Err(_)) => Came::End,
            (Io::Child { .. }, Ok(_)) => Came::Bytes(bytes.len()),
        }
    }

    /// What people may want to know of it, once.
    pub(super) fn take_remark(&mut self) -> Option<Remark> {
        match &mut self.io {
            Io::Direct { web, .. } => web.take_remark(),
            Io::Udp { .. } | Io::Child { .. } => None,
        }
    }

    /// What has come in datagrams.
    pub(crate) fn datagrams(&self) -> udp::DatagramCounters {
        match &self.io {
            Io::Udp { receiver, .. } => receiver.counters(),
            Io::Direct { .. } | Io::Child { .. } => udp::DatagramCounters::default(),
        }
    }

    /// When nothing is left of the datagrams that have come: how long the next ones may gather, `longest` at most.
    pub(crate) fn gathers_for(&self, longest: Duration) -> Option<Duration> {
        match &self.io {
            Io::Udp { receiver, is_gathering: false, batches, .. } if !receiver.has_bytes() => {
                batches.rest(longest)
            }
            Io::Udp { .. } | Io::Direct { .. } | Io::Child { .. } => None,
        }
    }

    /// A step of the client's own has ended.
    pub(super) fn on_private_step(
        &mut self,
        now: Instant,
        step: SourceStep,
        result: Result<u32, Errno>,
        memory: Option<Lent>,
    ) {
        let Io::Direct { web, spare, .. } = &mut self.io else { return };
        // Without one the request was given up while this was on its way.
        let Some(client) = web.client_mut() else { return };
        match (step, result, memory) {
            (SourceStep::Connect, result, _) => client.connected(now, result.map(drop)),
            (_, Err(errno), _) => client.lost(errno),
            (SourceStep::Send, Ok(count), _) => client.sent(count as usize),
            (SourceStep::ReceivePrivate, Ok(0), _) => client.closed(),
            (SourceStep::ReceivePrivate, Ok(count), Some(Lent::Heap(bytes))) => {
                client.received(now, &bytes.as_slice()[..count as usize]);
                *spare = Some(bytes);
            }
            (SourceStep::ReceivePrivate | SourceStep::Fill | SourceStep::Gather, Ok(_), memory) => {
                unreachable!("private bytes are received into memory of their own, not {memory:?}")
            }
        }
    }

    /// What was read of a stream that is not shown yet is looked at.
    pub(super) fn look_at_staged(&mut self, now: Instant, count: usize) {
        self.ingest.came(now);
        let ingest = &mut self.ingest;
        match &mut self.phase {
            Phase::Staging { staging, .. } | Phase::Moving { staging, .. } => staging.look(ingest, count),
            Phase::Publishing(_) => unreachable!("a stream is staged until all that was read is in the ring"),
        }
    }

    /// What the start has come to.
    pub(super) fn observe_start(&mut self, now: Instant) -> Verdict {
        match &mut self.phase {
            Phase::Staging { startup, .. } => startup.observe(now, self.ingest.seen()),
            Phase::Moving { .. } | Phase::Publishing(_) => Verdict::KeepGoing,
        }
    }

    /// Its child has ended before its pipe was empty.
    pub(super) fn keep_child_end(&mut self, exit: ChildExit, stderr_tail: &str) {
        if let Phase::Staging { child_end, .. } = &mut self.phase {
            *child_end = Some((exit, stderr_tail.into()));
        }
    }

    pub(super) fn take_child_end(&mut self) -> Option<(ChildExit, Box<str>)> {
        match &mut self.phase {
            Phase::Staging { child_end, .. } => child_end.take(),
            Phase::Moving { .. } | Phase::Publishing(_) => None,
        }
    }

    /// What becomes of a start whose child has ended and said everything.
    pub(super) fn child_verdict(&mut self, exit: ChildExit, stderr_tail: &str) -> Verdict {
        match self.startup_mut().map(Startup::ended) {
            Some(Verdict::Failed(error)) => Verdict::Failed(error.opening_ffmpeg(Some(exit), stderr_tail)),
            Some(settled @ (Verdict::KeepGoing | Verdict::Ready { .. })) => settled,
            None => Verdict::KeepGoing,
        }
    }

    /// What becomes of a start whose connection has ended.
    pub(super) fn end_verdict(&mut self) -> Verdict {
        let unsuitable = self.ingest.unsuitable_at_end();
        match (self.startup_mut(), unsuitable) {
            (Some(startup), Some(error)) => startup.failed(error),
            (Some(startup), None) => startup.ended(),
            (None, _) => Verdict::KeepGoing,
        }
    }

    /// Tells the watchdog what has come. What comes and makes nothing whole is as good as nothing to viewers.
    pub(crate) fn observe(&mut self, now: Instant) {
        let progress = Progress::of(self.ingest.inspector(), self.ingest.usable());
        if let Some(shown) = self.shown_mut() {
            shown.watch.observe(now, &progress);
        }
    }

    /// The watchdog of a run that is shown.
    pub(crate) fn watch(&mut self) -> Option<&mut Watch> {
        self.shown_mut().map(|shown| &mut shown.watch)
    }

    /// More is not read before this.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.shown()?.rests_until
    }

    pub(crate) const fn rest(&mut self, until: Option<Instant>) {
        if let Some(shown) = self.shown_mut() {
            shown.rests_until = until;
        }
    }

    /// How long it had to wait for viewers since it last had nothing more to give.
    pub(crate) fn waited(&self) -> Duration {
        self.shown().map_or(Duration::ZERO, |shown| shown.waited)
    }

    pub(crate) const fn set_waited(&mut self, waited: Duration) {
        if let Some(shown) = self.shown_mut() {
            shown.waited = waited;
        }
    }

    /// True once, when enough is known of the selected stream or nothing more is waited for.
    pub(crate) fn take_profile_due(&mut self, now: Instant, wait: Duration) -> bool {
        let is_complete = self.ingest.scanner().is_complete();
        let Some(shown) = self.shown_mut() else { return false };
        let is_due = !shown.is_profiled && (is_complete || now - shown.since >= wait);
        shown.is_profiled |= is_due;
        is_due
    }

    /// True once, when the rate of a stream that was profiled has become known.
    pub(crate) fn take_rate_due(&mut self) -> bool {
        let has_rate = self.ingest.scanner().has_rate();
        let Some(shown) = self.shown_mut() else { return false };
        let is_due = shown.is_profiled && !shown.is_rated && has_rate;
        shown.is_rated |= is_due;
        is_due
    }

    /// Why the body cannot be used, once that is known.
    pub(crate) const fn take_unsuitable(&mut self) -> Option<SourceError> {
        self.ingest.take_unsuitable()
    }
}
