//! The writing side of a channel: the session from its first viewer to its last, and the one stream that its viewers get.
//!
//! A channel owns the session's machine, the source that is read, the filler that stands in for one, the splice that makes one
//! timeline of both, and the ring that all of it goes into. What it has written is read by its [outlets](super::outlet); what
//! they must know they are told through [`Readers`].

mod candidates;
mod filler;
mod filling;
mod pacing;
mod probing;
mod profiles;
mod publishing;
mod reading;
mod record;
mod session;

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::engine::border::feed::Feed;
use crate::engine::border::messages::Readers;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::timers::Timer;
use crate::engine::context::token::{ChannelRef, SourceOwner};
use crate::engine::port::ids::{SessionId, Ticket};
use crate::engine::port::outlets::{Reply, ToOutlet};
use crate::engine::port::room::RingShare;
use crate::engine::port::snapshot::TransitionSnapshot;
use crate::engine::report::events::About;
use crate::engine::source::upstream::Upstream;
use crate::filler::KeepaliveReport;
use crate::filler::slate::Slate;
use crate::http::Via;
use crate::lineup;
use crate::ring::{ReserveError, Ring, WriteSpan};
use crate::session::history::{Ended, SourceTimeline};
use crate::session::{Action, Failure, Machine, State};
use crate::source::cutover::CutoverWarning;
use crate::source::profile::BitrateMeter;
use crate::splice::Splice;
use crate::ts::StreamProfile;

use filler::FillerRun;
use probing::StreamProbe;

pub(crate) use record::Watched;

/// One channel while somebody watches it.
pub(crate) struct Channel {
    me: ChannelRef,
    machine: Machine,
    /// What it has written, and how far viewers may read.
    feed: Feed,
    /// The part of the memory for rings that its ring takes.
    share: Option<RingShare>,
    /// It has been said that the ring cannot grow.
    has_met_the_bound: bool,
    upstream: Upstream,
    /// When ffprobe is asked about the source.
    stream_probe: StreamProbe,
    /// What viewers get before the selected source's first packet.
    prologue: Vec<u8>,
    /// What is shown while there is no source, once control has it.
    slate: Option<Arc<Slate>>,
    /// The question for it that was asked last, and what it asked for.
    slate_question: Option<Ticket>,
    slate_key: Option<String>,
    /// Makes one timeline of all that viewers get.
    splice: Splice,
    /// What viewers get while there is no source.
    filling: Option<FillerRun>,
    /// What the last filler came to.
    keepalive: Option<KeepaliveReport>,
    transition: TransitionSnapshot,
    /// How much comes of the selected source.
    bitrate: BitrateMeter,
    /// What is known of the stream that was last shown.
    stream: Option<StreamProfile>,
    /// Somebody may wait for the first picture.
    has_waiting: bool,
    /// Viewers that are tunerds, or that were sent by some, by number, and which.
    restreamers: Vec<(u64, Via)>,

    started_at: Instant,
    /// The sources it had.
    history: SourceTimeline,
    /// Why those who waited for the first picture were turned away.
    failure: Option<Failure>,
    /// How it ended; viewers may still get the rest of its stream.
    ended: Option<Ended>,
    /// What went wrong with the last source; redacted.
    error: Option<String>,
    /// The last source that did not start was this server itself.
    met_itself: bool,
    cutover_warning: CutoverWarning,
    /// It has been without a source since then, and recovers.
    recovering_since: Option<Instant>,
    recoveries_counted: u32,
    written: Tally,
}

/// What a channel has written of its sources.
#[derive(Default)]
struct Tally {
    bytes: u64,
    commits: u64,
    last_at: Option<Instant>,
    /// How often it had to wait for the end of a send, or for memory.
    pauses: u64,
}

impl Channel {
    /// Of a session that begins; what is to be done first comes with it.
    pub(crate) fn new<D: CoreDriver>(
        cx: &Cx<D>,
        me: ChannelRef,
        id: SessionId,
        listing: Arc<lineup::Channel>,
        ring: Ring,
    ) -> (Self, Vec<Action>) {
        let (machine, actions) = Machine::new(cx.params.session);
        let mut channel = Self {
            me,
            machine,
            upstream: Upstream::new(SourceOwner::Channel(me), id, Arc::clone(&listing)),
            feed: Feed::new(id, listing, ring, cx.params.own.unix_ms(cx.clock_now())),
            share: None,
            has_met_the_bound: false,
            stream_probe: StreamProbe::new(cx.params.session),
            prologue: Vec::new(),
            slate: None,
            slate_question: None,
            slate_key: None,
            splice: Splice::new(),
            filling: None,
            keepalive: None,
            transition: TransitionSnapshot::default(),
            bitrate: BitrateMeter::new(cx.now),
            stream: None,
            has_waiting: false,
            restreamers: Vec::new(),
            started_at: cx.now,
            history: SourceTimeline::new(cx.params.history),
            failure: None,
            ended: None,
            error: None,
            met_itself: false,
            cutover_warning: CutoverWarning::default(),
            recovering_since: None,
            recoveries_counted: 0,
            written: Tally::default(),
        };
        channel.renew_via(cx);
        (channel, actions)
    }

    pub(crate) const fn id(&self) -> SessionId {
        self.feed.session()
    }

    pub(crate) const fn listing(&self) -> &Arc<lineup::Channel> {
        self.feed.listing()
    }

    /// What viewers read.
    pub(crate) const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// What viewers read, for those who make lists of it.
    pub(crate) const fn feed_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }

    /// Somebody asks for its list.
    pub(crate) const fn feed_for_lists(&mut self) -> &mut Feed {
        self.feed.keep_segments();
        &mut self.feed
    }

    /// Its name in log lines.
    pub(crate) fn about(&self) -> About<'_> {
        self.feed.about()
    }

    /// Nothing more is written; viewers may still get the rest.
    pub(crate) const fn is_over(&self) -> bool {
        self.feed.lingers_until().is_some()
    }

    /// True when another viewer may join.
    pub(crate) const fn has_room(&self) -> bool {
        self.machine.has_room()
    }

    /// Gives the ring up, once the last viewer has gone.
    pub(crate) fn into_ring(self) -> Ring {
        self.feed.into_ring()
    }

    /// Gives the tuner up.
    pub(crate) const fn take_tuner(&mut self) -> Option<u16> {
        let tuner = self.feed.tuner();
        self.feed.set_tuner(None);
        tuner
    }

    /// The channel as it is offered from now on. What it uses and may not any more is left by [`Channel::withdraw`].
    pub(crate) fn relist(&mut self, offered: Option<&Arc<lineup::Channel>>) {
        let listing = offered.map_or_else(
            || Arc::new(lineup::Channel { sources: Vec::new(), ..lineup::Channel::clone(self.listing()) }),
            Arc::clone,
        );
        self.upstream.relist(Arc::clone(&listing));
        self.feed.relist(listing);
    }

    /// The `Via` of requests for its sources follows from who watches.
    fn renew_via<D: CoreDriver>(&mut self, cx: &Cx<D>) {
        let mut via = Via::default();
        for (_, of_viewer) in &self.restreamers {
            via.add_all(of_viewer);
        }
        self.upstream.set_via(via.sent_on_by(&cx.params.own.name));
    }

    /// Sees to it that a timer is set for whatever it waits for next.
    pub(crate) fn arm<D: CoreDriver>(&self, cx: &mut Cx<D>) {
        let deadlines = [
            self.machine.next_deadline(),
            self.feed.unmarked_since().map(|since| since + cx.egress_delay()),
            self.upstream.next_deadline(),
            self.filling.as_ref().and_then(FillerRun::next_deadline),
            self.stream_probe.next_deadline(),
        ];
        cx.timers.arm(cx.now, Timer::Channel(self.me), deadlines.into_iter().flatten().min());
    }

    /// Lets the viewers know that there is more, if it is time.
    fn publish<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        if self.feed.mark_committed(cx.now, cx.egress_bytes()) {
            readers.tell(cx, &self.feed, ToOutlet::Moved);
        }
        if self.feed.unmarked_since() == Some(cx.now) {
            self.arm(cx);
        }
    }

    /// Lets those who wait watch.
    fn admit<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        let reply = readers.tell(cx, &self.feed, ToOutlet::Admit);
        self.has_waiting = reply.has_waiting;
        self.note_admitted(reply);
    }

    /// Viewers have been let in. True when the mark has moved for them.
    fn note_admitted(&mut self, reply: Reply) -> bool {
        if let Some(offset) = reply.promised {
            self.feed.promise(offset);
        }
        // A joiner at the live edge does not wait for the next step of the mark.
        let is_ahead = reply.foremost.is_some_and(|position| self.feed.mark() < position);
        if is_ahead {
            self.feed.advance_mark();
        }
        is_ahead
    }

    /// Lets those in who came while the ring held no entry point.
    fn admit_late<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        let has_stream = matches!(self.machine.state(), State::Live | State::Recovering);
        if has_stream && self.has_waiting {
            self.admit(cx, readers);
        }
    }

    /// Memory of the ring for what comes next.
    fn reserve<D: CoreDriver>(&mut self, cx: &mut Cx<D>, bytes: usize) -> Option<WriteSpan> {
        let given = self.feed.ring().given_bytes();
        let reserved = self.feed.reserve(bytes);
        let given = self.feed.ring().given_bytes() - given;
        cx.counters.given_bytes += given;
        if given > 0 {
            for buffer in self.feed.ring().reader().take_outdated() {
                cx.driver.unregister_memory(buffer);
            }
        }
        match reserved {
            Ok(span) => Some(span),
            // It is over with this turn.
            Err(ReserveError::Read) => {
                self.written.pauses += 1;
                cx.block(SourceOwner::Channel(self.me));
                None
            }
            Err(ReserveError::NoMemory(error)) => {
                self.written.pauses += 1;
                if self.written.pauses.is_power_of_two() {
                    log::error!("{}", self.about().line("no memory for the ring").field("error", error));
                }
                cx.block(SourceOwner::Channel(self.me));
                None
            }
            // An earlier run's span is still with the kernel; its return drives the source on.
            Err(ReserveError::Lent) => None,
        }
    }

    /// Looks ten times a second at how fast the programme is. `promises` is the pace of the latest viewer, if that has changed.
    pub(crate) fn sweep<D: CoreDriver>(
        &mut self,
        cx: &Cx<D>,
        interval: Duration,
        promises: Option<Option<crate::ring::Offset>>,
    ) {
        let skips = cx.params.egress.slow_policy == crate::engine::port::params::SlowPolicy::Skip;
        self.feed.sweep(cx.clock_now(), interval, skips);
        if let Some(latest) = promises {
            self.feed.promise_anew(latest);
        }
    }

    /// Its ring takes this part of the memory for rings.
    pub(crate) fn pay_with(&mut self, share: RingShare) {
        self.share = Some(share);
    }

    /// Bytes of memory that its ring takes.
    pub(crate) fn ring_memory_bytes(&self) -> u64 {
        self.share.as_ref().map_or(0, RingShare::bytes)
    }

    /// Somebody may take what it gets at this pace.
    pub(crate) fn promise(&mut self, offset: crate::ring::Offset) {
        self.feed.promise(offset);
    }
}

#[cfg(test)]
mod tests;
