//! A session as it lives on a core: its machine, its ring, its source and those who watch.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::ENTRY_POINTS_MAX;
use crate::filler::Report as FillerReport;
use crate::filler::slate::Slate;
use crate::http::Via;
use crate::lineup::Channel;
use crate::ring::{EntryIndex, PaceLine, Ring};
use crate::source::profile::{BitrateMeter, Profile};
use crate::splice::Splice;
use crate::ts::{Elapsed, Inspector, Snapshot};

use crate::engine::channel::filling::Filling;
use crate::engine::channel::profiles::Probing;
use crate::engine::connection::client::ClientKey;
use crate::engine::port::messages::{SessionId, Ticket};
use crate::engine::port::snapshot::TransitionSnapshot;
use crate::engine::report::events::{About, Coalesced};
use crate::engine::source::opening::Awaited;
use crate::engine::source::upstream::SourceRun;
use crate::session::history::{Ended, History, Limits, WriteCounters};
use crate::session::{self, Failure, Machine};
use crate::source::cutover::CutoverWarning;

/// A stream that has not told its make-up after this long is taken for what is known by then.
pub(crate) const PROFILE_WAIT: Duration = Duration::from_secs(5);

/// One session.
pub(crate) struct LiveSession {
    pub(crate) id: SessionId,
    pub(crate) channel: Arc<Channel>,
    pub(crate) machine: Machine,
    pub(crate) tuner: Option<u16>,
    pub(crate) ring: Ring,
    /// Sees the packets as viewers get them.
    pub(crate) inspector: Inspector,
    pub(crate) entries: EntryIndex<Snapshot>,
    /// How much of the programme viewers have been shown.
    pub(crate) shown: Elapsed,
    /// Where in the ring that was, and what is promised to those who watch.
    pub(crate) pace_line: PaceLine,
    /// What is written from one look at viewers to the next.
    pub(crate) swept_bytes: u64,
    /// Whoever takes the programme at its own rate may take nothing for so long.
    pub(crate) patience: Duration,
    /// Somebody has left to whom something was promised.
    pub(crate) promises_changed: bool,
    pub(crate) source: Option<SourceRun>,
    /// The attempt at a source that has yet to begin.
    pub(crate) awaited: Option<Awaited>,
    /// When ffprobe is asked about the source.
    pub(crate) probing: Probing,
    pub(crate) runs: u32,
    /// What viewers get before the selected source's first packet.
    pub(crate) prologue: Vec<u8>,
    /// What is shown while there is no source, once control has it.
    pub(crate) slate: Option<Arc<Slate>>,
    /// The question for it that was asked last, and what it asked for.
    pub(crate) slate_question: Option<Ticket>,
    pub(crate) slate_key: Option<String>,
    /// Makes one timeline of all that viewers get.
    pub(crate) splice: Splice,
    /// What viewers get while there is no source.
    pub(crate) filling: Option<Filling>,
    /// What the last filler came to.
    pub(crate) keepalive: Option<FillerReport>,
    pub(crate) transition: TransitionSnapshot,
    /// How much comes of the selected source.
    pub(crate) bitrate: BitrateMeter,
    /// What is known of the stream that was last shown.
    pub(crate) stream: Option<Profile>,

    /// Clients that wait for the first picture.
    pub(crate) waiting: Vec<ClientKey>,
    /// Viewers that have been sent everything up to the mark. Some may have left since.
    pub(crate) caught_up: Vec<ClientKey>,
    /// Viewers are sent what lies before this position; it follows the head in steps.
    pub(crate) mark: u64,
    /// When the first byte behind the mark was committed.
    pub(crate) unmarked_since: Option<Instant>,
    /// The timers that are set for this session, the earliest last. A later one is not taken back: when its time comes
    /// it sets the next, so there are never more than kinds of deadlines.
    pub(crate) armed: Vec<Instant>,

    /// The session is over and without a tuner, and viewers get the rest of its stream until then.
    pub(crate) lingers_until: Option<Instant>,

    pub(crate) started_at: Instant,
    /// The sources and viewers it had.
    pub(crate) history: History,
    /// Why those who waited for the first picture were turned away.
    pub(crate) failure: Option<Failure>,
    /// How it ended; viewers may still get the rest of its stream.
    pub(crate) ended: Option<Ended>,
    /// What went wrong with the last source; redacted.
    pub(crate) error: Option<String>,
    /// The last source that did not start was this server itself.
    pub(crate) met_itself: bool,
    /// Viewers that are tunerds, or that were sent by some, and which.
    pub(crate) restreamers: Vec<(ClientKey, Via)>,
    pub(crate) cutover_warning: CutoverWarning,
    pub(crate) skip_log: Coalesced<()>,
    pub(crate) stats: SessionStats,
}

/// What a session has counted.
#[derive(Default)]
pub(crate) struct SessionStats {
    pub(crate) viewers_now: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_pushed: u64,
    pub(crate) chunks_pushed: u64,
    pub(crate) last_byte_at: Option<Instant>,
    pub(crate) last_push_at: Option<Instant>,
    pub(crate) writes: WriteCounters,
    pub(crate) writer_pauses: u64,
}

impl LiveSession {
    /// A session for a channel; what is to be done first comes with it.
    pub(crate) fn new(
        id: SessionId,
        channel: Arc<Channel>,
        params: session::Params,
        limits: Limits,
        ring: Ring,
        now: Instant,
    ) -> (Self, Vec<session::Action>) {
        let (machine, actions) = Machine::new(params);
        let pace_line = PaceLine::new(ring.capacity());
        let session = Self {
            id,
            channel,
            machine,
            tuner: None,
            ring,
            inspector: Inspector::new(),
            entries: EntryIndex::new(ENTRY_POINTS_MAX),
            shown: Elapsed::default(),
            pace_line,
            swept_bytes: 0,
            patience: Duration::ZERO,
            promises_changed: false,
            source: None,
            awaited: None,
            probing: Probing::new(params),
            runs: 0,
            prologue: Vec::new(),
            slate: None,
            slate_question: None,
            slate_key: None,
            splice: Splice::new(),
            filling: None,
            keepalive: None,
            transition: TransitionSnapshot::default(),
            bitrate: BitrateMeter::new(now),
            stream: None,
            waiting: Vec::new(),
            caught_up: Vec::new(),
            mark: 0,
            unmarked_since: None,
            armed: Vec::new(),
            lingers_until: None,
            started_at: now,
            history: History::new(limits),
            failure: None,
            ended: None,
            error: None,
            met_itself: false,
            restreamers: Vec::new(),
            cutover_warning: CutoverWarning::default(),
            skip_log: Coalesced::default(),
            stats: SessionStats::default(),
        };
        (session, actions)
    }

    /// Its name in log lines.
    pub(crate) fn about(&self) -> About<'_> {
        About {
            session_id: self.id.0,
            channel_id: self.channel.id.0,
            guide_number: &self.channel.guide_number,
        }
    }

    /// Whether somebody watches has changed, perhaps: a source that nobody watches may be silent.
    pub(crate) fn watch_or_not(&mut self, now: Instant) {
        let nobody = self.machine.viewers() == 0;
        if let Some(watch) = self.source.as_mut().and_then(|source| source.watch.as_mut()) {
            watch.pause(nobody, now);
        }
    }

    /// Bytes have been committed: true when viewers are to be sent to now, otherwise a timer may be needed.
    pub(crate) fn mark_committed(&mut self, now: Instant, egress_bytes: u64) -> bool {
        let unmarked = self.ring.head() - self.mark;
        if unmarked >= egress_bytes {
            // In whole steps: what a viewer is sent is then one step, and not one and a bit.
            self.mark += unmarked - unmarked % egress_bytes;
            self.unmarked_since = (self.mark < self.ring.head()).then_some(now);
            return true;
        }
        if unmarked > 0 && self.unmarked_since.is_none() {
            self.unmarked_since = Some(now);
        }
        false
    }

    /// Lets viewers have everything that is there.
    pub(crate) fn advance_mark(&mut self) {
        self.mark = self.ring.head();
        self.unmarked_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{add_session, core};

    #[test]
    fn viewers_are_sent_whole_steps_and_the_rest_when_it_is_old() {
        const STEP: u64 = 188 * 3;
        let (mut core, _) = core();
        let session = add_session(&mut core, 1);
        let live = core.sessions.get_mut(session).unwrap();
        let mut write = |millis: u64, packets: usize| {
            let bytes = packets * 188;
            let span = live.ring.reserve(bytes).unwrap();
            live.ring.received(span, bytes);
            live.ring.commit(bytes, 0);
            let is_due = live.mark_committed(Instant::from_millis(millis), STEP);
            (is_due, live.mark, live.unmarked_since.map(Instant::as_millis))
        };
        for (millis, packets, expected) in [
            (10, 1, (false, 0, Some(10))),
            (20, 1, (false, 0, Some(10))),
            (30, 5, (true, 2 * STEP, Some(30))),
            (40, 2, (true, 3 * STEP, None)),
            (50, 1, (false, 3 * STEP, Some(50))),
        ] {
            assert_eq!(write(millis, packets), expected, "at {millis} ms");
        }
        core.arm(session);
        core.now = Instant::from_millis(150);
        core.expire();
        let live = core.sessions.get_mut(session).unwrap();
        assert_eq!((live.mark, live.unmarked_since), (live.ring.head(), None));
    }

    #[test]
    fn the_last_of_a_source_is_sent_though_nothing_follows() {
        let (mut core, _) = core();
        let session = add_session(&mut core, 1);
        let live = core.sessions.get_mut(session).unwrap();
        let span = live.ring.reserve(188).unwrap();
        live.ring.received(span, 188);
        live.ring.commit(188, 0);
        core.stop_source(session);
        core.now += core.params.egress.delay;
        core.expire();
        let live = core.sessions.get_mut(session).unwrap();
        assert_eq!((live.mark, live.unmarked_since), (188, None));
    }

    #[test]
    fn timers_do_not_multiply() {
        let (mut core, _) = core();
        let session = add_session(&mut core, 1);
        let mut most = 0;
        for _ in 0..1000 {
            let live = core.sessions.get_mut(session).unwrap();
            live.probing.schedule.select(core.now, 1, "http://source.example/", false, false);
            live.unmarked_since = None;
            core.arm(session);
            core.sessions.get_mut(session).unwrap().unmarked_since = Some(core.now);
            core.arm(session);
            core.now += core.params.egress.delay;
            core.expire();
            most = most.max(core.timers.len());
        }
        assert!(most <= 3, "{most} timers of one session");
    }
}
