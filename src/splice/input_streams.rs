//! The streams of the current run, and what becomes of the times of each.
//!
//! A source's pictures, sound and clock are of one time base, and how far apart they are is the source's own: one offset is added
//! to all of them. A new time base inside a run (a file that begins again, an advertisement, another encoder) is opened by the
//! stream that comes to it first; the others follow it, each with its first unit of it.

use std::time::Duration;

use crate::base::Instant;
use crate::splice::first_timestamps::{FirstTimestamps, Order};
use crate::splice::outlook::{
    APART_TICKS_MAX, Behind, Opened, Outlook, RunClock, Stream, Turn, beyond_frame, is_hole,
};
use crate::splice::output_streams::{OutputStreams, Written};
use crate::splice::stamps::{ClockNow, Histories, Reached, STRANGER_TICKS, further, pts_ticks};
use crate::ts::{Continuity, Packet, Pcr, PesRest, PesTimes, Pid, Pts, StreamKind};

/// Times that advance by this more than the time that has passed are of another time base.
const JUMP_TICKS: i64 = 90_000;
/// Times that step back by less are a slip; what is stamped so leaves with the last time.
const SLIP_TICKS: i64 = 9_000;
/// Pictures that only say when they are shown step back by no more of them than a decoder holds.
const REORDERED_MAX: i64 = 16;
/// The streams of a time base come so soon behind its clock.
const JUMP_MAX: Duration = Duration::from_secs(5);
/// The time from the clock to a stream changes by no more than this from one time base to the next of a source.
const LEAD_TICKS_MAX: i64 = 9_000;
/// When sound is first, the pictures are sent later by what they are sent earlier otherwise, if that is no more than this.
const BETWEEN_TICKS_MAX: i64 = 45_000;
/// The streams of one time base are no further apart than this at any time.
const LEVEL_TICKS_MAX: i64 = 360_000;
/// A stream that joins is of the same time base when it begins no further than this from where its like was.
const FOLLOW_TICKS_MAX: i64 = 45_000;
/// A stream that begins further from where its like was is not of the time base it should be of.
const STRAY_TICKS_MAX: i64 = 450_000;
/// Data further from the clock is stamped with the clock.
const DATA_TICKS_MAX: i64 = 5_400_000;
/// Data nearer to the clock than this is of the time base it is taken for.
const DATA_NEAR_TICKS: i64 = 900_000;
/// A filler's sound leaves at least this long before its time.
const SOUND_LEAD_TICKS: i64 = 13_500;
/// The run's own clock that came no longer ago than this, in ticks of 27 MHz, is where it would be if it had come now.
const RECENT_TICKS_MAX: i64 = 3 * 13_500_000;
/// A clock that left no longer ago than this says what time it is.
const FRESH_TICKS_MAX: i64 = 9_000;
/// How long sound lasts is guessed from its bytes: it may begin earlier than what came before it is thought to end by this, and by one
/// part in so many of that.
const SOUND_SLACK_TICKS: i64 = 900;
const SOUND_SLACK_PART: i64 = 16;

/// What is done with the packets of the current PES packet or section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passage {
    /// None has begun in this run.
    Awaited,
    /// They leave.
    Passing,
    /// They do not.
    Dropping,
}

/// One stream of the run.
#[derive(Debug)]
pub(super) struct InputStream {
    pub(super) source: Pid,
    pub(super) output: usize,
    pub(super) kind: StreamKind,
    pub(super) unit: Passage,
    /// Packets are missing, and what leaves has not said so yet.
    pub(super) gap: bool,
    /// Packets may be missing since its last time.
    lacks: bool,
    /// What is still to come of what leaves.
    pub(super) rest: PesRest,
    /// Its last packet with payload, while that can still be changed: which restamping it was in, and where.
    pub(super) last_left: Option<(u64, usize)>,
    offset: i64,
    /// The time base it is of; others have moved on when theirs is later.
    base: u32,
    /// Its times may still be those of what has left.
    overlap: bool,
    /// With what it comes to the newest time base, if that is known before.
    turn: Option<Turn>,
    /// It was not there when the run began, and may be of another time base.
    joined: bool,
    came: Option<Written>,
    /// From the run's clock to its last time.
    lead: Option<i64>,
    /// What the times of the current PES packet have left as.
    pub(super) stamped: Option<PesTimes>,
    /// Presentation and decoding times differ somewhere in the stream.
    has_dts: bool,
    /// The most that pictures which only say when they are shown have stepped back.
    back: i64,
    /// Where decoders may begin is said somewhere in the stream.
    has_entries: bool,
    /// Of a stream that is neither pictures nor sound.
    data: Option<Data>,
}

/// What is added to the times of a stream of data, and its last time before that was added.
#[derive(Clone, Copy, Debug)]
struct Data {
    offset: i64,
    before: Option<Pts>,
}

impl InputStream {
    /// Whether the stream still waits for a time that has not left.
    pub(super) const fn overlaps(&self) -> bool {
        self.overlap
    }

    /// A packet has come whose counter says this.
    pub(super) fn note_counter(&mut self, verdict: Continuity) {
        let is_gap = verdict == Continuity::Gap;
        self.gap |= is_gap && self.unit == Passage::Passing;
        self.lacks |= is_gap;
    }

    /// The order of its times is not that of decoding: pictures are reordered and only say when they are shown.
    fn reordered(&self, times: PesTimes) -> bool {
        self.kind == StreamKind::Video && !self.has_dts && times.dts.is_none()
    }
}

/// When a packet leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// When it has come, or what was held back before it.
    pub(super) came_at: Instant,
    /// The session's clock.
    pub(super) clock: Option<ClockNow>,
    /// The run's own clock.
    pub(super) source: Option<Pcr>,
    /// Its last sample.
    pub(super) came: Option<Pcr>,
    /// The run's own clock, when it is of a time base that the streams have not come to.
    pub(super) stray: Option<Pcr>,
    /// The run's own clock has come to the newest time base.
    pub(super) is_there: bool,
}

/// A PES packet that begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun<'a> {
    pub(super) times: PesTimes,
    /// Its bytes, zero when it does not say.
    pub(super) bytes: u64,
    /// The packets behind its first one that have come too.
    pub(super) behind: Behind<'a>,
    pub(super) pcr_pid: Option<Pid>,
    /// The clock in its first packet.
    pub(super) pcr: Option<Pcr>,
    /// It says that decoders may begin with it.
    pub(super) is_entry: bool,
}

impl Begun<'_> {
    /// The clock that comes with it, if that is of its time base.
    fn clock(&self) -> Option<Pcr> {
        let dts = self.times.decoding();
        self.pcr.filter(|pcr| (-LEVEL_TICKS_MAX..=2 * LEVEL_TICKS_MAX).contains(&dts.since(pcr.to_pts())))
    }
}

/// What is known of a new time base where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// Where its clock comes.
    pub(super) pcr_pid: Option<Pid>,
    /// Its first sample, if that has come.
    pub(super) pcr: Option<Pcr>,
    /// How much further it is than what was due.
    pub(super) jump: Option<i64>,
}

/// What the run's clock is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClockMove {
    /// The streams are of a new time base, to which this is added, and of which this is the first sample, if that is known.
    Rebase(i64, Option<Pcr>),
    /// To the newest time base this is added too.
    Shift(i64),
}

/// Which time base a PES packet is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// That of the stream's last one.
    Own,
    /// The newest one, which others have found before.
    Newest,
    /// One that nothing has come of so far.
    Fresh,
    /// One of its own: nothing else is of it.
    Stray,
}

/// The streams of a run.
#[derive(Default)]
pub(super) struct InputStreams {
    inputs: Vec<InputStream>,
    /// What is added to the times of the newest time base, and to those of the one before.
    common: i64,
    previous: i64,
    base: u32,
    /// The latest time of the newest time base, as it came.
    front: Option<Written>,
    /// The first times of pictures and of sound in the newest time base, as they came.
    first_video: Option<Pts>,
    first_audio: Option<Pts>,
    /// How much later than pictures sound begins in the time bases of this run.
    apart: Option<i64>,
    /// The least time from the clock to pictures and to sound that was seen in this run.
    video_lead: Option<i64>,
    audio_lead: Option<i64>,
    /// When the first picture of the newest time base is shown, and when the next one of before would have been.
    first_shown: Option<Pts>,
    next_shown: Option<Pts>,
    /// In which order its pictures are shown.
    order: Order,
    /// A picture of this run that is decoded no longer than this before it is shown has none before it: one with which a time base
    /// has begun had not.
    closed: Option<i64>,
    /// The least time from the decoding of a picture of this run until it is shown.
    soonest: Option<i64>,
    /// The clock has jumped by this, and no stream has.
    jump: Option<(i64, Instant)>,
    /// The offset waits for the first time stamp.
    pending: bool,
    /// The streams that the run began with are known.
    fitted: bool,
    /// The pictures come in the order in which they are shown: they are a filler's.
    in_order: bool,
    /// How much later than it says each picture of a filler is shown.
    later: Option<i64>,
    /// How far sound was ahead of the clock last, when that had just left.
    sound_ahead: Option<i64>,
    /// What is added to the times of a filler's sound, where that is not what is added to its pictures.
    sound: Option<i64>,
    moved: Option<ClockMove>,
    histories: Histories,
    reanchorings: u64,
}

impl InputStreams {
    /// A run begins, whose pictures come in the order in which they are shown or may not. Returns what is added to its
    /// times; `None` when its first time stamp is to tell.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        lead: &FirstTimestamps,
        clock: Option<ClockNow>,
        in_order: bool,
    ) -> Option<i64> {
        let mut histories = self.histories;
        histories.begin();
        let offset = if in_order {
            histories.offset_of_filler(now, lead, clock)
        } else {
            histories.offset(now, lead, clock)
        };
        let pending = offset.is_none() && (clock.is_some() || histories.any(now));
        let common = offset.unwrap_or(0);
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.clear();
        *self = Self {
            inputs,
            common,
            previous: common,
            pending,
            in_order,
            next_shown: histories.shown(now),
            closed: lead.closed,
            sound_ahead: self.sound_ahead,
            histories,
            reanchorings: self.reanchorings,
            ..Self::default()
        };
        self.sound = self.sound_of_filler(now, lead, clock).filter(|_| in_order && offset.is_some());
        (!pending).then_some(common)
    }

    /// A filler's silence belongs to none of its pictures: it begins where the sound has ended, which is often behind the
    /// pictures, so that nothing is missing between. Where that is too soon something is, and it is as far ahead of the clock as sound
    /// was before.
    fn sound_of_filler(&self, now: Instant, lead: &FirstTimestamps, clock: Option<ClockNow>) -> Option<i64> {
        let clock = clock?.due;
        let due = self.histories.due(now, StreamKind::Audio)?;
        let ahead = self.sound_ahead.unwrap_or(0).max(SOUND_LEAD_TICKS);
        let due = if due.since(clock) < SOUND_LEAD_TICKS { clock.plus(ahead) } else { due };
        let first = lead.audio?.decoding();
        let early = due.since(first.plus(self.common)).min(0);
        Some(self.common + early)
    }

    /// Fits the streams to a programme: those that stay keep their state. `unit` is what those begin with that the run
    /// began with.
    pub(super) fn fit(&mut self, wanted: &[(Pid, usize, StreamKind)], unit: Passage) {
        let joined = std::mem::replace(&mut self.fitted, true);
        let unit = if joined { Passage::Awaited } else { unit };
        let mut inputs = Vec::with_capacity(wanted.len());
        for (source, output, kind) in wanted {
            let known =
                self.inputs.iter().position(|input| (input.source, input.output) == (*source, *output));
            inputs.push(match known {
                Some(index) => self.inputs.swap_remove(index),
                None => InputStream {
                    source: *source,
                    output: *output,
                    kind: *kind,
                    unit,
                    gap: false,
                    lacks: false,
                    rest: PesRest::Perhaps,
                    last_left: None,
                    offset: match self.sound {
                        Some(sound) if *kind == StreamKind::Audio && !joined => sound,
                        Some(_) | None => self.common,
                    },
                    base: self.base,
                    overlap: unit == Passage::Awaited,
                    turn: None,
                    joined,
                    came: None,
                    lead: None,
                    stamped: None,
                    has_dts: false,
                    back: 0,
                    has_entries: false,
                    data: None,
                },
            });
        }
        self.inputs = inputs;
        if !self.inputs.iter().any(|input| input.came.is_some()) {
            self.front = None;
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> &mut InputStream {
        &mut self.inputs[index]
    }

    /// What the clock is to be told, once.
    pub(super) const fn take_move(&mut self) -> Option<ClockMove> {
        self.moved.take()
    }

    /// The run's clock has come. When it does not follow the one before: by how many ticks of 90 kHz not.
    pub(super) fn clock_came(&mut self, now: Instant, jump: Option<i64>) {
        self.jump = jump.map(|ticks| (ticks, now)).or(self.jump).filter(|(_, at)| now - *at <= JUMP_MAX);
    }

    /// The run's clock is of the time base of the streams.
    pub(super) const fn clock_is_known(&mut self) {
        self.jump = None;
    }

    /// Time bases that were found inside runs.
    #[cfg(any(test, feature = "sim"))]
    pub(super) const fn reanchorings(&self) -> u64 {
        self.reanchorings
    }

    /// How far the streams have come that are of the newest time base. One that has not come to it tells nothing of how far that has.
    pub(super) fn reached(&self, now: Instant) -> Reached {
        let Reached { video, audio } = self.histories.reached(now);
        let is_there = |kind: StreamKind| {
            let mut of_kind = self.inputs.iter().filter(|input| input.kind == kind).peekable();
            of_kind.peek().is_none() || of_kind.any(|input| input.base == self.base)
        };
        let video = video.filter(|_| is_there(StreamKind::Video));
        Reached { video, audio: audio.filter(|_| is_there(StreamKind::Audio)) }
    }

    /// What has left so far.
    pub(super) const fn histories(&self) -> &Histories {
        &self.histories
    }

    /// The run's times leave as they are.
    pub(super) const fn untouched(&self) -> bool {
        self.common == 0 && self.base == 0
    }

    /// The newest time base is later by so much than it was thought to be.
    pub(super) fn raise(&mut self, ticks: i64) {
        for input in self.inputs.iter_mut().filter(|input| input.base == self.base) {
            input.offset += ticks;
        }
        self.common += ticks;
        self.moved = Some(match self.moved {
            Some(ClockMove::Rebase(offset, first)) => ClockMove::Rebase(offset + ticks, first),
            Some(ClockMove::Shift(before)) => ClockMove::Shift(before + ticks),
            None => ClockMove::Shift(ticks),
        });
    }

    /// What the times of a PES packet leave as; `None` when it may not leave.
    pub(super) fn stamp(
        &mut self,
        moment: Moment,
        outputs: &mut OutputStreams,
        index: usize,
        begun: Begun<'_>,
    ) -> Option<PesTimes> {
        let (now, times) = (moment.now, begun.times);
        if self.pending {
            self.settle(moment, outputs, index, begun);
        }
        let kind = self.inputs[index].kind;
        let out = match kind {
            StreamKind::Video | StreamKind::Audio => self.stamp_av(moment, outputs, index, begun)?,
            StreamKind::Other => self.stamp_data(moment, outputs, index, times),
        };
        let out = if self.in_order { self.behind(now, index, out) } else { out };
        let input = &mut self.inputs[index];
        let is_first = std::mem::take(&mut input.overlap);
        let lacks = std::mem::take(&mut input.lacks);
        input.stamped = Some(out);
        let output = outputs.get_mut(input.output);
        let dts = out.decoding();
        let advanced = output.last.map(|last| dts.since(last.dts));
        if is_first && kind == StreamKind::Audio {
            output.cadence.begin();
        }
        output.cadence.step(advanced.filter(|_| !is_first), begun.bytes, lacks);
        if advanced.is_none_or(|ticks| ticks >= 0) || stale(output.last, now) {
            output.last = Some(Written { dts, at: now });
        }
        self.histories.write(now, kind, out, output.cadence.lasts(kind));
        Some(out)
    }

    /// A filler's pictures are shown behind all before them. A source that is lost has often sent a picture that is shown after
    /// others it has not sent any more.
    fn behind(&mut self, now: Instant, index: usize, times: PesTimes) -> PesTimes {
        if self.inputs[index].kind != StreamKind::Video {
            return times;
        }
        let shown = self.histories.shown(now);
        let later = *self.later.get_or_insert_with(|| shown.map_or(0, |shown| shown.since(times.pts).max(0)));
        PesTimes { pts: times.pts.plus(later), ..times }
    }

    /// The first time stamp of a run whose beginning had none.
    fn settle(&mut self, moment: Moment, outputs: &OutputStreams, index: usize, begun: Begun<'_>) {
        if self.inputs[index].kind == StreamKind::Other {
            return;
        }
        self.pending = false;
        let opening = Opening { pcr_pid: begun.pcr_pid, pcr: begun.clock().or(moment.stray), jump: None };
        let lead = self.look(moment, outputs, Some((index, begun)), opening, begun.behind.packets()).lead;
        let Some(offset) = self.histories.offset(moment.now, &lead, moment.clock) else { return };
        self.common = offset;
        self.previous = offset;
        self.moved = Some(ClockMove::Rebase(offset, None));
        for input in &mut self.inputs {
            input.offset = offset;
        }
    }

    fn stamp_av(
        &mut self,
        moment: Moment,
        outputs: &OutputStreams,
        index: usize,
        begun: Begun<'_>,
    ) -> Option<PesTimes> {
        let (now, times) = (moment.now, begun.times);
        let dts = times.decoding();
        let output = outputs.get(self.inputs[index].output);
        let last = output.last.filter(|_| !stale(output.last, now));
        self.inputs[index].has_dts |= times.dts.is_some();
        self.inputs[index].has_entries |= begun.is_entry;
        let input = &self.inputs[index];
        let (kind, reordered) = (input.kind, input.reordered(times));
        // Two pictures of one time are the source's own doing.
        let same = kind == StreamKind::Video && input.came.is_some_and(|came| came.dts == dts);
        let frame = output.cadence.lasts(kind).unwrap_or(1);
        let place = match self.place(moment, index, times, frame) {
            Place::Own if self.turns_with_others(moment, outputs, index, begun, frame) => Place::Fresh,
            place @ (Place::Own | Place::Newest | Place::Fresh | Place::Stray) => place,
        };
        let input = &mut self.inputs[index];
        match place {
            Place::Own => {}
            Place::Newest => {
                (input.offset, input.base, input.overlap, input.turn) = (self.common, self.base, true, None);
            }
            Place::Fresh => self.open(moment, outputs, index, begun),
            Place::Stray => {
                let due = self.histories.due(now, kind);
                let due = due.or_else(|| moment.clock.map(|clock| clock.due.plus(STRANGER_TICKS)));
                input.offset = due.map_or(input.offset, |due| due.since(dts));
            }
        }
        self.note(moment, index, dts, place);
        if self.inputs[index].overlap && kind == StreamKind::Video {
            self.keep_behind(moment, index, begun, frame, last.map(|last| last.dts.plus(frame)));
        }
        let input = &mut self.inputs[index];
        let ahead = last.map_or(1, |last| dts.plus(input.offset).since(last.dts));
        let early = if kind == StreamKind::Audio && last.is_some() {
            (frame - SOUND_SLACK_TICKS.max(frame / SOUND_SLACK_PART)).max(1) - ahead
        } else {
            1 - ahead
        };
        if input.overlap && early > 0 {
            return None;
        }
        let offset = input.offset;
        let mut out = times.plus(offset);
        if kind == StreamKind::Video && self.is_of_before(out, frame) {
            return None;
        }
        if !reordered && (ahead < 0 || (ahead == 0 && !same)) {
            // Later than the last by as little as can be.
            let slipped = dts.plus(offset + 1 - ahead);
            out.dts = out.dts.map(|_early| slipped);
            if out.pts.since(slipped) < 0 {
                out.pts = slipped;
            }
        }
        Some(out)
    }

    /// What may be the next of its stream is of another time base all the same, for others come to that with it: a picture that only
    /// says when it is shown steps back further than any so far, what is decoded in order steps back at all, or something is missing,
    /// and others step back.
    fn turns_with_others(
        &mut self,
        moment: Moment,
        outputs: &OutputStreams,
        index: usize,
        begun: Begun<'_>,
        frame: i64,
    ) -> bool {
        let input = &self.inputs[index];
        let Some(came) = input.came.filter(|_| !self.in_order && input.base == self.base) else {
            return false;
        };
        let step = begun.times.decoding().since(came.dts);
        let is_reordered = input.reordered(begun.times);
        let steps_back = step < 0 && (!is_reordered || -step > input.back);
        if !(steps_back || step > 0 && is_hole(step, frame)) {
            return false;
        }
        let is_known = outputs.get(input.output).cadence.is_known();
        if !is_known && step > 0 && beyond_frame(step) == 0 {
            return false;
        }
        let opening =
            Opening { pcr_pid: begun.pcr_pid, pcr: begun.clock().or(moment.stray), jump: Some(step - frame) };
        let look = self.look(moment, outputs, Some((index, begun)), opening, begun.behind.packets());
        let others = (0..).zip(self.inputs.iter().zip(&look.turns)).filter(|(at, _)| *at != index);
        let mut turns = others.filter_map(|(_, (input, turn))| input.came.and(*turn));
        let follows = if steps_back {
            turns.next().is_some()
        } else {
            let dts = begun.times.decoding();
            turns.any(|Turn { after, times }| {
                let (first, after) = (times.decoding(), after.unwrap_or(dts));
                first.since(after) < 0 && dts.since(first).abs() <= APART_TICKS_MAX
            })
        };
        if follows && !look.goes_on() {
            return true;
        }
        if steps_back && is_reordered {
            self.inputs[index].back = -step;
        }
        false
    }

    /// Remembers what has come.
    fn note(&mut self, moment: Moment, index: usize, dts: Pts, place: Place) {
        let now = moment.now;
        let input = &mut self.inputs[index];
        let fresh = moment.clock.filter(|clock| clock.due.since(clock.written) <= FRESH_TICKS_MAX);
        if let Some(clock) = fresh.filter(|_| input.kind == StreamKind::Audio && !self.in_order) {
            self.sound_ahead = Some(dts.plus(input.offset).since(clock.written));
        }
        if place != Place::Own || input.came.is_none_or(|came| dts.since(came.dts) >= 0) {
            input.came = Some(Written { dts, at: now });
        }
        // What comes after a silence is told apart from its clock by that of before.
        let is_recent =
            moment.source.zip(moment.came).is_some_and(|(at, came)| at.since(came) <= RECENT_TICKS_MAX);
        let source = moment.source.filter(|_| is_recent && moment.stray.is_none());
        input.lead = source.map(|pcr| dts.since(pcr.to_pts())).or(input.lead);
        if input.base != self.base || place == Place::Stray {
            return;
        }
        let (first, least) = match input.kind {
            StreamKind::Video => (&mut self.first_video, &mut self.video_lead),
            StreamKind::Audio | StreamKind::Other => (&mut self.first_audio, &mut self.audio_lead),
        };
        first.get_or_insert(dts);
        if let Some(lead) = source.map(|pcr| dts.since(pcr.to_pts())) {
            *least = Some(least.map_or(lead, |least| least.min(lead)));
        }
        if self.front.is_none_or(|front| dts.since(front.dts) >= 0) {
            self.front = Some(Written { dts, at: now });
        }
    }

    /// A picture that refers to pictures before its time base's first one, and would be shown among those: nothing refers to it.
    fn is_of_before(&mut self, out: PesTimes, frame: i64) -> bool {
        if self.in_order {
            return false;
        }
        let order = if self.first_shown.is_none() { Order::default() } else { self.order };
        self.order = order;
        self.order.saw(out);
        let delay = out.pts.since(out.decoding());
        self.soonest = Some(self.soonest.map_or(delay, |soonest| soonest.min(delay)));
        self.closed = self.order.delay_of_closed().or(self.closed);
        let first = *self.first_shown.get_or_insert(out.pts);
        let is_leading = out.pts.since(first) < 0;
        is_leading && self.next_shown.is_some_and(|next| out.pts.since(next) < -(frame / 2))
    }

    /// The first picture that comes of a time base is not to be too early. Pictures are never left out, because those behind refer
    /// to them: the whole time base is later.
    fn keep_behind(&mut self, moment: Moment, index: usize, begun: Begun<'_>, frame: i64, due: Option<Pts>) {
        let offset = self.inputs[index].offset;
        let dts = begun.times.decoding().plus(offset);
        let decoded = due.map(|due| due.since(dts));
        let is_first = self.first_shown.is_none() && !self.in_order;
        let shown = self.next_shown.filter(|_| is_first).and_then(|next| {
            let first = self.first_shown(index, begun, frame)?;
            Some(next.since(first.plus(offset)))
        });
        let unclocked = moment.clock.filter(|_| moment.source.is_none());
        let sent = unclocked.map(|clock| clock.due.since(dts));
        let late = [decoded, shown, sent].into_iter().flatten().max().unwrap_or(0);
        if late > 0 {
            self.raise(late);
        }
    }

    /// When the first of the pictures is shown that come with this one and behind it.
    fn first_shown(&self, index: usize, begun: Begun<'_>, frame: i64) -> Option<Pts> {
        let PesTimes { pts, dts } = begun.times;
        if dts.zip(self.closed).is_some_and(|(dts, closed)| pts.since(dts) <= closed) {
            return Some(pts);
        }
        let mut order = Order::default();
        order.saw(begun.times);
        let source = self.inputs[index].source;
        let pictures = begun.behind.packets().filter(|packet| packet.pid() == source);
        for times in pictures.filter_map(PesTimes::begun_in) {
            order.saw(times);
        }
        order.first_shown(frame + self.soonest.map_or(0, |ticks| ticks.max(0)))
    }

    /// Which time base a PES packet is of. `frame` is how long the last one of its stream lasts.
    fn place(&self, moment: Moment, index: usize, times: PesTimes, frame: i64) -> Place {
        let input = &self.inputs[index];
        if input.turn == Some(Turn { after: input.came.map(|came| came.dts), times }) {
            return Place::Newest;
        }
        let Some(came) = input.came else { return self.place_first(moment, input, times.decoding()) };
        let step = times.decoding().since(came.dts);
        let fits = self.fits(moment, input, times, frame);
        let hole = (step - frame).abs();
        let is_hole = is_hole(step, frame);
        if input.turn.is_some() && fits && !is_hole {
            return Place::Own;
        }
        // Where another time base is known, or the clock tells of one: how far it is from what is due of that.
        let jump = if input.base == self.base {
            self.jump.map(|(ticks, _)| ticks)
        } else {
            Some(further(self.common, input.offset))
        };
        let other = jump.map(|jump| further(jump, step - frame).abs());
        let is_other = other.is_some_and(|other| other <= APART_TICKS_MAX);
        let there = if input.base == self.base { Place::Fresh } else { Place::Newest };
        if input.base != self.base
            && let Some(place) = self.place_by_clock(moment, input, times.decoding(), fits)
        {
            return place;
        }
        // A little back is a slip, unless the clock or the others step back by as much.
        let lead = moment.source.filter(|_| jump.is_some()).zip(input.lead);
        let lead = lead.map(|(clock, before)| (times.decoding().since(clock.to_pts()) - before).abs());
        let is_together =
            lead.is_some_and(|apart| 2 * apart < hole) || other.is_some_and(|other| 4 * other < hole);
        let steps_back = step < 0 && !input.reordered(times) && is_together;
        match (fits, is_hole, is_other) {
            (true, false, _) if steps_back => there,
            (true, false, _) => Place::Own,
            // One that others have come to is as good a reason for a hole as any.
            (true, true, true) if input.base != self.base => there,
            (true, true, _) if other.is_some_and(|other| other < hole) => there,
            (true, true, _) => Place::Own,
            (false, _, true) => there,
            // One that was missing for long comes back where the others are.
            (false, _, false) if input.base != self.base && self.is_level(moment.now, times.decoding()) => {
                there
            }
            (false, _, false) => Place::Fresh,
        }
    }

    /// Which of two time bases a PES packet is of by the time from the clock to it, where that tells.
    fn place_by_clock(&self, moment: Moment, input: &InputStream, dts: Pts, fits: bool) -> Option<Place> {
        let usual = match input.kind {
            StreamKind::Video => self.video_lead,
            StreamKind::Audio | StreamKind::Other => self.audio_lead,
        }?;
        let clock = moment.source.filter(|_| moment.stray.is_none() && moment.is_there)?;
        let lead = dts.since(clock.to_pts());
        let newest = (lead - usual).abs();
        let own = (lead + further(self.common, input.offset) - usual).abs();
        if newest <= LEAD_TICKS_MAX && own > 2 * LEAD_TICKS_MAX {
            Some(Place::Newest)
        } else if own <= LEAD_TICKS_MAX && newest > 2 * LEAD_TICKS_MAX && fits {
            Some(Place::Own)
        } else {
            None
        }
    }

    /// Whether a PES packet may be the next of its stream in the stream's own time base.
    fn fits(&self, moment: Moment, input: &InputStream, times: PesTimes, frame: i64) -> bool {
        let Some(came) = input.came else { return false };
        let came_at = moment.came_at;
        let dts = times.decoding();
        let step = dts.since(came.dts);
        let back = if !input.reordered(times) {
            SLIP_TICKS
        } else if self.is_shown_in_time(moment, input, dts) {
            APART_TICKS_MAX
        } else {
            JUMP_TICKS.max(REORDERED_MAX * frame)
        };
        let soon =
            |from: Written| dts.since(from.dts) <= pts_ticks(came_at - from.at).saturating_add(JUMP_TICKS);
        if step < -back || soon(came) {
            return step >= -back;
        }
        // A stream that has paused goes on where the others are.
        let mut others =
            self.inputs.iter().filter(|other| other.base == input.base && other.source != input.source);
        if others.any(|other| other.came.is_some_and(soon)) {
            return true;
        }
        let clock = moment.source.filter(|_| input.base == self.base && moment.stray.is_none());
        let lead = clock.map(|pcr| dts.since(pcr.to_pts()));
        let most = if input.reordered(times) { LEVEL_TICKS_MAX } else { JUMP_TICKS };
        lead.zip(input.lead).is_some_and(|(lead, before)| (lead - before).abs() <= most)
    }

    /// The clock goes on, and a picture that is shown before others that have come is not late for it.
    fn is_shown_in_time(&self, moment: Moment, input: &InputStream, pts: Pts) -> bool {
        let is_known = input.base == self.base && self.jump.is_none() && moment.stray.is_none();
        let clock = moment.source.filter(|_| is_known);
        clock.is_some_and(|clock| pts.since(clock.to_pts()) >= 0)
    }

    /// A time is where the streams of the newest time base are.
    fn is_level(&self, now: Instant, dts: Pts) -> bool {
        self.front.is_some_and(|front| {
            dts.since(front.dts).abs() <= pts_ticks(now - front.at).saturating_add(LEVEL_TICKS_MAX)
        })
    }

    /// Which time base the first PES packet of a stream is of.
    fn place_first(&self, moment: Moment, input: &InputStream, dts: Pts) -> Place {
        let is_first = self.base == input.base && self.front.is_none();
        if !input.joined && (self.in_order || self.untouched() || is_first) {
            return Place::Own;
        }
        let may_open = input.joined || self.jump.is_some();
        if self.jump.is_none() {
            if self.is_level(moment.now, dts) {
                return Place::Newest;
            }
            if !self.strays(moment, input, dts.plus(self.common)) {
                return Place::Newest;
            }
        }
        let is_alone = !self.inputs.iter().any(|other| other.base == self.base && other.came.is_some());
        if may_open && (is_alone || self.jump.is_some()) { Place::Fresh } else { Place::Stray }
    }

    /// The first time of a stream in a run, which would leave as `out`, is of another time base than it should be of.
    fn strays(&self, moment: Moment, input: &InputStream, out: Pts) -> bool {
        let now = moment.now;
        let (back, ahead) = if input.joined {
            // The last of its like may have been held back for long: what else has left tells as much.
            let reached = self.histories.furthest(now);
            if reached.is_some_and(|reached| out.since(reached).abs() <= FOLLOW_TICKS_MAX) {
                return false;
            }
            (FOLLOW_TICKS_MAX, JUMP_TICKS)
        } else {
            (STRAY_TICKS_MAX, STRAY_TICKS_MAX)
        };
        match (self.histories.due(now, input.kind), moment.clock) {
            (Some(due), _) => {
                // A source that stood still goes on where it was, not where it would be.
                let soonest = self.histories.last(now, input.kind).unwrap_or(due);
                out.since(soonest) < -back || out.since(due) > ahead
            }
            (None, Some(clock)) => !(-FOLLOW_TICKS_MAX..=ahead).contains(&out.since(clock.due)),
            (None, None) => false,
        }
    }

    /// A new time base, of which this is the first PES packet.
    fn open(&mut self, moment: Moment, outputs: &OutputStreams, index: usize, begun: Begun<'_>) {
        let now = moment.now;
        self.note_apart();
        let input = &self.inputs[index];
        let frame = outputs.get(input.output).cadence.lasts(input.kind).unwrap_or(1);
        let jump = input.came.map(|came| begun.times.decoding().since(came.dts) - frame);
        let opening = Opening { pcr_pid: begun.pcr_pid, pcr: begun.clock().or(moment.stray), jump };
        let look = self.look(moment, outputs, Some((index, begun)), opening, begun.behind.packets());
        let offset = look.histories.joint(now, moment.came_at, &look.lead, look.written);
        let by_clock =
            || moment.clock.map(|clock| clock.due.plus(STRANGER_TICKS).since(begun.times.decoding()));
        let Some(offset) = offset.or_else(by_clock) else { return };
        self.begin_base(now, offset, &look);
        let input = &mut self.inputs[index];
        (input.offset, input.base, input.overlap, input.turn) = (offset, self.base, true, None);
    }

    /// The run's clock is of a new time base, if the streams are seen to follow it: by what begins in its packet, and
    /// what comes behind.
    pub(super) fn open_by_clock<'a>(
        &mut self,
        moment: Moment,
        outputs: &OutputStreams,
        opening: Opening,
        packets: impl Iterator<Item = Packet<'a>>,
    ) {
        // Streams that the programme has got meanwhile are as good as any that have come.
        let is_there =
            |input: &InputStream| input.came.is_some() || input.joined && input.kind != StreamKind::Other;
        if self.in_order || self.pending || !self.inputs.iter().any(is_there) {
            return;
        }
        self.note_apart();
        let look = self.look(moment, outputs, None, opening, packets);
        if look.turns.iter().all(Option::is_none) || look.goes_on() {
            return;
        }
        if let Some(offset) = look.histories.joint(moment.now, moment.came_at, &look.lead, look.written) {
            self.begin_base(moment.now, offset, &look);
        }
    }

    /// How far sound began behind pictures in the time base that ends.
    fn note_apart(&mut self) {
        if self.base > 0 {
            let apart = self.first_audio.zip(self.first_video).map(|(audio, video)| audio.since(video));
            self.apart = apart.filter(|ticks| ticks.abs() <= LEVEL_TICKS_MAX).or(self.apart);
        }
    }

    fn begin_base(&mut self, now: Instant, offset: i64, look: &Outlook) {
        self.reanchorings += 1;
        self.base += 1;
        self.previous = self.common;
        self.common = offset;
        (self.front, self.first_video, self.first_audio, self.jump) = (None, None, None, None);
        (self.first_shown, self.next_shown) = (None, look.histories.shown(now));
        self.moved = Some(ClockMove::Rebase(offset, look.lead.pcr));
        for (input, turn) in self.inputs.iter_mut().zip(&look.turns) {
            input.turn = *turn;
        }
    }

    /// What is known of a time base that begins: by what has come behind it, and where nothing has come yet, by how others have
    /// begun. `opener` is the PES packet with which it begins, if it is not the clock.
    fn look<'a>(
        &self,
        moment: Moment,
        outputs: &OutputStreams,
        opener: Option<(usize, Begun<'_>)>,
        opening: Opening,
        packets: impl Iterator<Item = Packet<'a>>,
    ) -> Outlook {
        let Opening { pcr_pid, pcr, jump } = opening;
        let lead = FirstTimestamps { pcr, ..FirstTimestamps::default() };
        let lasts = |input: &InputStream| outputs.get(input.output).cadence.lasts(input.kind).unwrap_or(1);
        let stream = |input: &InputStream| Stream {
            source: input.source,
            kind: input.kind,
            came: input.came.map(|came| came.dts),
            frame: lasts(input),
            is_frame_known: outputs.get(input.output).cadence.is_known(),
            reordered: input.kind == StreamKind::Video && !input.has_dts,
            offset: input.offset,
        };
        let mut streams: Vec<_> = self.inputs.iter().map(stream).collect();
        let mut look = Outlook::new(lead, streams.len(), self.histories);
        if let Some((index, begun)) = opener {
            look.saw(index, streams[index], begun.times);
        }
        let clock =
            RunClock { pid: pcr_pid, came: moment.came, written: moment.clock.map(|clock| clock.written) };
        let video = self.inputs.iter().find(|input| input.kind == StreamKind::Video);
        let after = video.map_or(0, lasts) + self.soonest.map_or(0, |ticks| ticks.max(0));
        let at = opener.map(|(_, begun)| begun.times.decoding()).or_else(|| pcr.map(Pcr::to_pts));
        let Some(at) = at else { return look };
        look.look(moment.now, &mut streams, clock, Opened { at, jump }, packets, after);
        if let Some(first) = look.lead.video
            && let Some(dts) = first.dts
            && self.closed.is_some_and(|closed| first.pts.since(dts) <= closed)
        {
            look.lead.shown = Some(first.pts);
        }
        self.expect(&mut look.lead, outputs, opener);
        look
    }

    /// What has not come yet is expected.
    fn expect(
        &self,
        lead: &mut FirstTimestamps,
        outputs: &OutputStreams,
        opener: Option<(usize, Begun<'_>)>,
    ) {
        let has = |kind: StreamKind| self.inputs.iter().any(|input| input.kind == kind);
        let expected =
            |first: PesTimes, ticks: i64| PesTimes { pts: first.decoding().plus(ticks), dts: None };
        // What is sent later has less time left, and when the two begin together it is sound mostly.
        let between = self.video_lead.zip(self.audio_lead).map(|(video, audio)| video - audio);
        let between = between.filter(|ticks| ticks.abs() <= BETWEEN_TICKS_MAX);
        let apart = self.apart;
        // What begins anew begins with a picture that needs no other. Where such pictures say so and this one does not, it is what
        // was there before, counted anew, and so is the sound.
        let opener = opener.map(|(index, begun)| (&self.inputs[index], begun));
        let opener = opener.filter(|(input, _)| input.kind == StreamKind::Video);
        let goes_on = opener.is_some_and(|(input, begun)| input.has_entries && !begun.is_entry);
        let counted_anew = || {
            let lasts = |input: &InputStream| outputs.get(input.output).cadence.lasts(input.kind);
            let (video, begun) = opener?;
            let jump = begun.times.decoding().since(video.came?.dts.plus(lasts(video)?));
            let audio = self.inputs.iter().find(|input| input.kind == StreamKind::Audio)?;
            Some(audio.came?.dts.plus(lasts(audio)? + jump))
        };
        match (lead.video, lead.audio) {
            (Some(_), None) if goes_on && has(StreamKind::Audio) => {
                lead.audio = counted_anew().map(|pts| PesTimes { pts, dts: None });
            }
            (Some(video), None) if has(StreamKind::Audio) => {
                lead.audio = Some(expected(video, apart.unwrap_or(0)));
            }
            (None, Some(audio)) if has(StreamKind::Video) => {
                lead.video = Some(expected(audio, apart.map(|ticks| -ticks).or(between).unwrap_or(0)));
            }
            _both_or_none => {}
        }
    }

    /// Subtitles and data are rare: their own times tell nothing about the time base, they follow the others. Where they step back
    /// inside one it is as the source has it; those of another time base do not step back behind what was before.
    fn stamp_data(
        &mut self,
        moment: Moment,
        outputs: &OutputStreams,
        index: usize,
        times: PesTimes,
    ) -> PesTimes {
        let Moment { now, clock, .. } = moment;
        let far = |offset: i64| clock.map_or(0, |clock| times.decoding().plus(offset).since(clock.due).abs());
        let is_of_before = far(self.common) > DATA_NEAR_TICKS && far(self.previous) <= DATA_NEAR_TICKS;
        let mut offset = if is_of_before { self.previous } else { self.common };
        if let Some(clock) = clock.filter(|_| !self.untouched() && far(offset) > DATA_TICKS_MAX) {
            offset = clock.due.since(times.decoding());
        }
        let input = &mut self.inputs[index];
        let known = input.data.filter(|known| further(known.offset, offset) == 0);
        let last = outputs.get(input.output).last.filter(|last| !stale(Some(*last), now));
        let data = known.unwrap_or_else(|| Data { offset, before: last.map(|last| last.dts) });
        input.data = Some(data);
        let early = data.before.map_or(0, |before| before.since(times.decoding().plus(offset)));
        times.plus(offset + if (1..=DATA_NEAR_TICKS).contains(&early) { early } else { 0 })
    }
}

/// Too long ago to be compared with.
fn stale(last: Option<Written>, now: Instant) -> bool {
    last.is_some_and(|last| (now - last.at).as_secs() > 6 * 3600)
}
