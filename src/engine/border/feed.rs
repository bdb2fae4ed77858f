//! What a channel writes and its viewers read: the ring, the places where viewers can start, and how far they may read.
//!
//! How fast the ring is filled, how large it is, and where joiners start are such that whoever takes the programme at its own
//! rate is never overtaken by the writer. Of a ring's bytes, counted back from what has been received, these are not for
//! viewers:
//!
//! ```text
//! tail                                                                              head        filled
//!  │ next read │ SWEPT │ a send in flight │ lateness │ viewers may be here │ held back │
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{ENTRY_POINTS_MAX, PACKET_BYTES, READ_BYTES_MAX, SEND_BYTES_MAX};
use crate::base::{Instant, OwnTime};
use crate::engine::port::ids::SessionId;
use crate::engine::port::outlets::Sight;
use crate::engine::report::events::About;
use crate::hls::{Cutter, LISTED_AFTER, Listed, Place, Segment};
use crate::lineup;
use crate::ring::{Entry, EntryIndex, Offset, PaceLine, Reader, ReserveError, Ring, WriteSpan};
use crate::ts::{Elapsed, Grade, Inspector, PayloadDigest, PlainRun, Snapshot};

/// A viewer that is nearer to the writer than this, or than it writes from one look at viewers to the next, is about to
/// fall out of the ring.
const SWEPT_BYTES_MIN: u64 = 2 * READ_BYTES_MAX as u64;
/// A viewer may have more than its position says, by a send whose end is yet to be heard of.
const UNSEEN_BYTES: u64 = SEND_BYTES_MAX as u64;
/// A viewer's socket takes more when so much has gone: half of what may wait in it unsent, and what its peer may have
/// room for before it says so.
const SOCKET_STEP_BYTES: u64 = 192 * 1024;
/// The most patience with a viewer whose programme is slow.
const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// A stream without an entry point for longer than this has none that a ring could be made to hold.
const ENTRY_GAP_MAX: Duration = Duration::from_secs(12);
/// A ring grows to this many sixteenths of what is needed: the next picture is larger.
pub(crate) const GROWTH_SIXTEENTHS: u64 = 17;
/// Who is to skip does so when less than this part of the ring is left before the writer: it must still have the rest of the
/// packet it is in, and its send is cancelled before.
const SKIP_MARGIN_PART: u64 = 8;

/// What an outlet sees of its channel: on the channel's own core as it is, on another as it was told last. Positions and bytes are
/// read where they are on every core.
pub(crate) struct View {
    session: SessionId,
    listing: Arc<lineup::Channel>,
    tuner: Option<u16>,
    /// What reads the selected source, by name.
    producer: String,
    ring: Reader,
    entries: EntryIndex<Snapshot>,
    /// Where in the ring the programme was how far, and what is promised to those who watch.
    pace_line: PaceLine,
    /// What is written from one look at viewers to the next.
    swept_bytes: u64,
    /// Whoever takes the programme at its own rate may take nothing for so long.
    patience: Duration,
    /// Nothing is written any more, and viewers get the rest until then.
    lingers_until: Option<Instant>,
}

impl View {
    /// What is seen on a core whose own time this is.
    pub(crate) fn of(sight: Sight, time: &OwnTime) -> Self {
        let lingers_until = sight.lingers_until.map(|until| time.of(until));
        Self {
            session: sight.session,
            listing: sight.listing,
            tuner: sight.tuner,
            producer: sight.producer,
            ring: sight.ring.reader(),
            entries: sight.entries,
            pace_line: sight.pace_line,
            swept_bytes: sight.swept_bytes,
            patience: sight.patience,
            lingers_until,
        }
    }

    /// What is seen now. Gives the registrations of a ring that is not read any more.
    pub(crate) fn update(&mut self, time: &OwnTime, sight: Sight) -> Vec<u16> {
        let is_same = sight.ring.is_read_by(&self.ring);
        let before = std::mem::replace(self, Self::of(sight, time));
        if is_same {
            self.ring = before.ring;
            return Vec::new();
        }
        before.ring.withdraw()
    }

    /// What another core is to see.
    fn sight(&self, ring: &Ring, lost: Duration) -> Sight {
        Sight {
            session: self.session,
            listing: Arc::clone(&self.listing),
            tuner: self.tuner,
            producer: self.producer.clone(),
            ring: ring.shared(),
            entries: self.entries.clone(),
            pace_line: self.pace_line.clone(),
            swept_bytes: self.swept_bytes,
            patience: self.patience,
            lingers_until: self.lingers_until.map(|until| until + lost),
        }
    }

    /// Its name in log lines.
    pub(crate) fn about(&self) -> About<'_> {
        About {
            session_id: self.session.0,
            channel_id: self.listing.id.0,
            guide_number: &self.listing.guide_number,
        }
    }

    pub(crate) const fn session(&self) -> SessionId {
        self.session
    }

    pub(crate) const fn tuner(&self) -> Option<u16> {
        self.tuner
    }

    pub(crate) fn producer(&self) -> &str {
        &self.producer
    }

    pub(crate) fn mark(&self) -> u64 {
        self.ring.mark()
    }

    pub(crate) fn head(&self) -> u64 {
        self.ring.head()
    }

    pub(crate) fn tail(&self) -> u64 {
        self.ring.tail()
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    /// Reads the bytes.
    pub(crate) const fn ring(&self) -> &Reader {
        &self.ring
    }

    pub(crate) fn newest_entry(&self) -> Option<&Entry<Snapshot>> {
        self.entries.newest().filter(|entry| entry.position >= self.tail())
    }

    /// Where somebody who comes now starts.
    pub(crate) fn start_of_joiner(&self, lag: u64) -> Option<&Entry<Snapshot>> {
        let safe = (self.ring.filled() + self.taken_bytes()).saturating_sub(self.capacity());
        self.entries.for_lag(self.head(), lag, safe)
    }

    /// At which pace somebody may take what it gets who starts at this position.
    pub(crate) fn offset(&self, clock_now: Instant, position: u64) -> Offset {
        self.pace_line.offset(clock_now, position)
    }

    /// How much later somebody is who is to be sent what lies at this position than was promised.
    pub(crate) fn lateness(&self, clock_now: Instant, position: u64, promised: Offset) -> Duration {
        self.pace_line.lateness(clock_now, position, promised)
    }

    /// Somebody at this position is about to be overtaken.
    pub(crate) fn is_nearly_lost(&self, position: u64) -> bool {
        self.ring.filled().saturating_sub(position) + self.swept_bytes() > self.capacity()
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Nothing is written any more, and viewers get the rest until then.
    pub(crate) const fn lingers_until(&self) -> Option<Instant> {
        self.lingers_until
    }

    /// Of the oldest bytes of the ring, so many are as good as gone.
    const fn swept_bytes(&self) -> u64 {
        if self.swept_bytes > SWEPT_BYTES_MIN { self.swept_bytes } else { SWEPT_BYTES_MIN }
    }

    /// Bytes of the ring that viewers cannot have.
    fn taken_bytes(&self) -> u64 {
        READ_BYTES_MAX as u64 + self.swept_bytes() + UNSEEN_BYTES + self.pace_line.lateness_bytes()
    }
}

/// One channel's.
pub(crate) struct Feed {
    view: View,
    ring: Ring,
    /// Sees the packets as viewers get them.
    inspector: Inspector,
    /// How much of the programme viewers have been shown.
    shown: Elapsed,
    /// Viewers are sent what lies before this position; it follows the head in steps.
    mark: u64,
    /// When the first byte behind the mark was committed.
    unmarked_since: Option<Instant>,
    /// Counts what outlets on other cores do not see by themselves.
    changes: u64,
    /// Its segments.
    cutter: Cutter<Snapshot>,
    /// What tells them from those of the channel's earlier sessions.
    stream: u64,
    /// Somebody watches by segments, or has: the ring has to hold more of them than for viewers at the live edge.
    keeps_segments: bool,
    /// What was in force at the last entry point.
    last_state: Option<Snapshot>,
}

/// Writing: for the channel alone.
impl Feed {
    /// `unix_ms` is the wall time in milliseconds: its segments are numbered from that in seconds on, and are then others than those of
    /// the channel's earlier sessions.
    pub(crate) fn new(session: SessionId, listing: Arc<lineup::Channel>, ring: Ring, unix_ms: u64) -> Self {
        let view = View {
            session,
            listing,
            tuner: None,
            producer: String::new(),
            ring: ring.reader().clone(),
            entries: EntryIndex::new(ENTRY_POINTS_MAX),
            pace_line: PaceLine::new(ring.capacity()),
            swept_bytes: 0,
            patience: Duration::ZERO,
            lingers_until: None,
        };
        Self {
            view,
            ring,
            inspector: Inspector::new(),
            shown: Elapsed::default(),
            mark: 0,
            unmarked_since: None,
            changes: 0,
            cutter: Cutter::new(unix_ms / 1000),
            stream: unix_ms,
            keeps_segments: false,
            last_state: None,
        }
    }

    /// What tells its segments from those of the channel's earlier sessions.
    pub(crate) const fn stream(&self) -> u64 {
        self.stream
    }

    /// Somebody watches by segments from now on.
    pub(crate) const fn keep_segments(&mut self) {
        self.keeps_segments = true;
    }

    /// The target duration of its segments.
    pub(crate) const fn target(&self) -> Duration {
        self.cutter.target()
    }

    /// Its segments that are listed now, if there are any; for who is patient the first time if there are enough.
    pub(crate) fn listed(&mut self, is_patient: bool) -> Option<Listed<'_, Snapshot>> {
        self.cutter.list(self.ring.tail(), self.mark, is_patient)
    }

    /// The segment of this number, if it is there.
    pub(crate) fn segment(&self, sequence: u64) -> Option<&Segment<Snapshot>> {
        self.cutter.find(sequence, self.ring.tail(), self.mark)
    }

    /// Bits per second of what is in the ring; zero while there is too little of it.
    pub(crate) fn bits_per_second(&self) -> u64 {
        self.view.pace_line.bytes_for(Duration::from_secs(8)).unwrap_or(0)
    }

    /// What its outlets see.
    pub(crate) const fn view(&self) -> &View {
        &self.view
    }

    /// What outlets on other cores are to see. `lost` is by how much this core's own time is behind the clock.
    pub(crate) fn sight(&self, lost: Duration) -> Sight {
        self.view.sight(&self.ring, lost)
    }

    /// Another number whenever there is something in it that was not in the last sight.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) const fn session(&self) -> SessionId {
        self.view.session
    }

    /// Its name in log lines.
    pub(crate) fn about(&self) -> About<'_> {
        self.view.about()
    }

    pub(crate) const fn tuner(&self) -> Option<u16> {
        self.view.tuner
    }

    pub(crate) const fn mark(&self) -> u64 {
        self.mark
    }

    pub(crate) const fn lingers_until(&self) -> Option<Instant> {
        self.view.lingers_until
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    pub(crate) const fn listing(&self) -> &Arc<lineup::Channel> {
        &self.view.listing
    }

    /// The channel as it is offered from now on.
    pub(crate) fn relist(&mut self, listing: Arc<lineup::Channel>) {
        self.view.listing = listing;
        self.changes += 1;
    }

    pub(crate) const fn set_tuner(&mut self, tuner: Option<u16>) {
        self.view.tuner = tuner;
        self.changes += 1;
    }

    pub(crate) fn set_producer(&mut self, producer: String) {
        self.view.producer = producer;
        self.changes += 1;
    }

    pub(crate) const fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(crate) const fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// Gives the ring up, once nobody reads it.
    pub(crate) fn into_ring(self) -> Ring {
        self.ring
    }

    /// A larger ring with the same content takes over. Gives the old one.
    pub(crate) fn replace_ring(&mut self, ring: Ring) -> Ring {
        let old = std::mem::replace(&mut self.ring, ring);
        self.view.ring = self.ring.reader().clone();
        self.changes += 1;
        self.view.pace_line.grow(self.ring.capacity());
        old
    }

    /// Memory for the next bytes; what lay there is forgotten.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<WriteSpan, ReserveError> {
        let span = self.ring.reserve(bytes);
        // What has been given up is gone also when there is nothing in its place yet.
        let tail = self.ring.tail();
        self.view.entries.evict_below(tail);
        self.view.pace_line.evict_below(tail);
        self.cutter.evict_below(tail);
        span
    }

    /// From now on only these places are taken for entry points.
    pub(crate) fn accept_from(&mut self, grade: Grade) {
        self.inspector.accept_from(grade);
    }

    /// Makes the first `bytes` pending ones visible, with the places in them where viewers can start; behind them and `rest` more
    /// there is nothing.
    pub(crate) fn commit(&mut self, bytes: usize, rest: usize) {
        self.look(bytes);
        self.ring.commit(bytes, rest);
    }

    /// Notes where viewers can start in the next `bytes` to be committed.
    fn look(&mut self, bytes: usize) {
        let head = self.ring.head();
        let (packets, _) = self.ring.pending()[..bytes].as_chunks::<PACKET_BYTES>();
        let mut next_note = self.view.pace_line.next_note();
        self.shown.follow(self.inspector.programme());
        let mut run = None;
        let mut taken = 0;
        for (at, (packet, position)) in packets.iter().zip((head..).step_by(PACKET_BYTES)).enumerate() {
            if taken == 0 {
                run = run.or_else(|| PlainRun::at_front(&packets[at..]));
                let known = |_: PlainRun| PayloadDigest::default();
                taken = run.map_or(0, |run| self.inspector.take_run(run, &packets[at..], known));
            }
            run = run.and_then(|run| run.behind(1));
            if taken > 0 {
                taken -= 1;
                self.shown.plain(1);
                if position >= next_note {
                    self.view.pace_line.note(position, self.shown.time());
                    next_note = self.view.pace_line.next_note();
                }
                continue;
            }
            // All that is shown has been counted by the splice: what has the counter of the one before is its repetition.
            self.inspector.packet_with(position, packet, PayloadDigest::default());
            self.shown.packet(packet);
            if position >= next_note {
                self.view.pace_line.note(position, self.shown.time());
                next_note = self.view.pace_line.next_note();
            }
            if let Some(entry) = self.inspector.take_entry_point() {
                let state = entry.snapshot;
                // Players are told of either: they begin anew, and do not wait for times that never come.
                let has_jumped = self.shown.take_jump();
                let is_other =
                    has_jumped || self.last_state.as_ref().is_some_and(|last| !state.has_programme_of(last));
                let place = Place { position: entry.position, time: self.shown.time(), state: state.clone() };
                self.cutter.entry(place, is_other);
                self.last_state = Some(state.clone());
                self.view.entries.push(entry.position, state);
            } else if self.shown.begins_unit(packet)
                && self.cutter.is_overdue(self.shown.time())
                && let Some(state) = self.inspector.snapshot_before(position, packet)
            {
                self.cutter.cut_late(Place { position, time: self.shown.time(), state });
                self.changes += 1;
            }
        }
        self.view.pace_line.note(head + bytes as u64, self.shown.time());
    }

    /// Bytes have been committed: true when viewers are to be sent to now, otherwise a timer may be needed.
    pub(crate) fn mark_committed(&mut self, now: Instant, egress_bytes: u64) -> bool {
        let unmarked = self.ring.head() - self.mark;
        if unmarked >= egress_bytes {
            // In whole steps: what a viewer is sent is then one step, and not one and a bit.
            self.set_mark(self.mark + unmarked - unmarked % egress_bytes);
            self.unmarked_since = (self.mark < self.ring.head()).then_some(now);
            return true;
        }
        if unmarked > 0 && self.unmarked_since.is_none() {
            self.unmarked_since = Some(now);
        }
        false
    }

    fn set_mark(&mut self, mark: u64) {
        self.mark = mark;
        self.ring.set_mark(mark);
    }

    /// Lets viewers have everything that is there.
    pub(crate) fn advance_mark(&mut self) {
        self.set_mark(self.ring.head());
        self.unmarked_since = None;
    }

    /// When the first byte behind the mark was committed.
    pub(crate) const fn unmarked_since(&self) -> Option<Instant> {
        self.unmarked_since
    }

    /// Nothing is written any more.
    pub(crate) fn end(&mut self, lingers_until: Instant) {
        self.view.lingers_until = Some(lingers_until);
        self.changes += 1;
        self.advance_mark();
    }

    /// Somebody may take what it gets at this pace.
    pub(crate) fn promise(&mut self, offset: Offset) {
        self.view.pace_line.promise_again(offset);
    }

    /// What is promised to those who are there, the latest of whom takes what it gets at this pace.
    pub(crate) fn promise_anew(&mut self, latest: Option<Offset>) {
        self.view.pace_line.forget_promises();
        if let Some(latest) = latest {
            self.view.pace_line.promise_again(latest);
        }
        self.view.pace_line.promises_kept();
    }

    /// Looks ten times a second at how fast the programme is.
    pub(crate) fn sweep(&mut self, clock_now: Instant, interval: Duration, viewers_skip: bool) {
        self.view.pace_line.starve(clock_now);
        let swept = self.view.pace_line.bytes_in(interval + interval / 2);
        // One key picture may be all there is in the ring: it need not drive out those who take it.
        let swept = swept.min(self.ring.capacity() / 2);
        let margin = if viewers_skip { self.ring.capacity() / SKIP_MARGIN_PART } else { 0 };
        self.view.swept_bytes = swept.max(margin);
        self.changes += 1;
        self.view.patience = self.view.pace_line.time_of(SOCKET_STEP_BYTES).min(PATIENCE_MAX);
    }

    /// When `bytes` more may be written.
    pub(crate) fn free_at(&self, bytes: usize) -> Option<Instant> {
        let end = self.ring.filled() + bytes as u64 + self.view.swept_bytes() + UNSEEN_BYTES;
        self.view.pace_line.free_at(end.saturating_sub(self.ring.capacity()))
    }

    /// The size the ring should have, if it is too small: joiners want an entry point at some distance.
    pub(crate) fn larger(&self, lag: u64) -> Option<u64> {
        let listed = self.view.pace_line.bytes_for(LISTED_AFTER).filter(|_| self.keeps_segments);
        let lag = lag.max(listed.unwrap_or(0));
        let since_last = self.view.entries.last().map_or(0, |last| {
            let is_far = self.view.pace_line.time_since(last) > ENTRY_GAP_MAX;
            if is_far { 0 } else { self.ring.head() - last }
        });
        let span = self.view.entries.widest().max(since_last);
        let taken = self.view.taken_bytes();
        let room = self.ring.capacity().saturating_sub(taken + self.ring.pending_bytes());
        // A little less than the lag that is wished for is not worth a larger ring.
        (lag - lag / 4 + span > room).then(|| {
            let needed = (lag + span + taken + self.ring.pending_bytes()) / 16 * GROWTH_SIXTEENTHS;
            // How far away the next one is can only be guessed.
            let guessed =
                if since_last > self.view.entries.widest() { self.ring.capacity() / 2 * 3 } else { 0 };
            needed.max(guessed)
        })
    }
}

#[cfg(test)]
impl Feed {
    /// For tests: bytes are committed that are nothing.
    pub(crate) fn write_quietly(&mut self, bytes: usize) {
        let span = self.ring.reserve(bytes).unwrap();
        self.ring.received(span, bytes);
        self.ring.commit(bytes, 0);
    }

    /// For tests: when the first byte behind the mark was committed.
    pub(crate) const fn set_unmarked_since(&mut self, since: Option<Instant>) {
        self.unmarked_since = since;
    }

    /// For tests: the programme has come so far at this position.
    pub(crate) fn note_pace(&mut self, position: u64, media: Duration) {
        self.view.pace_line.note(position, media);
    }

    /// For tests: when what lies before `floor` may be overwritten.
    pub(crate) fn floor_free_at(&self, floor: u64) -> Option<Instant> {
        self.view.pace_line.free_at(floor)
    }
}
