//! The streams of the current run, and what becomes of the times of each.

use crate::base::Instant;
use crate::recovery::splice::lead::Lead;
use crate::recovery::splice::stamps::{Histories, STRANGER_TICKS, pts_ticks};
use crate::recovery::splice::tracks::{Tracks, Written};
use crate::ts::{Pcr, PesRest, PesTimes, Pid, Pts, StreamKind};

/// Times that advance by this more than the time that has passed are of another time base.
const JUMP_TICKS: i64 = 90_000;
/// Times that step back by less are a slip; what is stamped so leaves with the last time.
const SLIP_TICKS: i64 = 9_000;
/// A stream follows the new time base of another when that takes it no further than this from where it was.
const FOLLOW_TICKS_MAX: i64 = 45_000;
/// A stream that begins further from where its like was is not of the time base it should be of.
const STRAY_TICKS_MAX: i64 = 450_000;
/// Data further from the clock is stamped with the clock.
const DATA_TICKS_MAX: i64 = 5_400_000;
/// A filler's sound leaves at least this long before its time.
const SOUND_LEAD_TICKS: i64 = 13_500;
/// Two decoding times further apart are a pause, not a frame.
const FRAME_TICKS_MAX: i64 = 90_000;

/// What is done with the packets of the current PES packet or section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// None has begun in this run.
    Awaited,
    /// They leave.
    Passing,
    /// They do not.
    Dropping,
}

/// One stream of the run.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) source: Pid,
    pub(super) track: usize,
    pub(super) kind: StreamKind,
    pub(super) unit: Unit,
    /// Packets are missing, and what leaves has not said so yet.
    pub(super) gap: bool,
    /// What is still to come of what leaves.
    pub(super) rest: PesRest,
    /// Its last packet with payload, while that can still be changed: which restamping it was in, and where.
    pub(super) last_left: Option<(u64, usize)>,
    offset: i64,
    /// The time base it is of; others have moved on when theirs is later.
    base: u32,
    /// Its times may still be those of what has left.
    overlap: bool,
    /// It was not there when the run began, and may be of another time base.
    joined: bool,
    came: Option<Written>,
    /// What the times of the current PES packet have left as.
    pub(super) stamped: Option<PesTimes>,
    /// Presentation and decoding times differ somewhere in the stream.
    has_dts: bool,
}

impl Lane {
    /// Whether the stream still waits for a time that has not left.
    pub(super) const fn overlaps(&self) -> bool {
        self.overlap
    }

    /// The order of its times is not that of decoding: pictures are reordered and only say when they are shown.
    fn reordered(&self, times: PesTimes) -> bool {
        self.kind == StreamKind::Video && !self.has_dts && times.dts.is_none()
    }
}

/// Others have found a new time base, and a step that may be the order of pictures is theirs: this is clearly nearer to what
/// is due with their offset than with its own.
fn is_nearer(dts: Pts, common: i64, own: i64, due: Option<Pts>) -> bool {
    let Some(due) = due else { return false };
    let far = |offset: i64| dts.plus(offset).since(due).abs();
    far(common) <= FOLLOW_TICKS_MAX && far(own) - far(common) > SLIP_TICKS
}

/// When a packet leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// The session's clock.
    pub(super) clock: Option<Pts>,
    /// The run's own clock.
    pub(super) source: Option<Pcr>,
}

/// The streams of a run.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// What is added to the times of the run.
    common: i64,
    base: u32,
    /// The offset waits for the first time stamp.
    pending: bool,
    /// The streams that the run began with are known.
    fitted: bool,
    /// The pictures come in the order in which they are shown: they are a filler's.
    in_order: bool,
    /// What is added to the times of a filler's sound, where that is not what is added to its pictures.
    sound: Option<i64>,
    /// What the first time stamp has told, if the clock does not know yet.
    settled: Option<i64>,
    histories: Histories,
    reanchorings: u64,
}

impl Lanes {
    /// A run begins, whose pictures come in the order in which they are shown or may not. Returns what is added to its
    /// times.
    pub(super) fn begin(&mut self, now: Instant, lead: &Lead, clock: Option<Pts>, in_order: bool) -> i64 {
        self.lanes.clear();
        self.in_order = in_order;
        self.fitted = false;
        self.base = 0;
        let offset = self.histories.offset(now, lead, clock);
        self.pending = offset.is_none() && (clock.is_some() || self.histories.any(now));
        self.common = offset.unwrap_or(0);
        self.sound = self.sound_of_filler(now, lead, clock).filter(|_| in_order && offset.is_some());
        self.common
    }

    /// A filler's silence belongs to none of its pictures: it begins where the sound has ended, which is often behind the
    /// pictures, so that nothing is missing between.
    fn sound_of_filler(&self, now: Instant, lead: &Lead, clock: Option<Pts>) -> Option<i64> {
        let soonest = clock?.plus(SOUND_LEAD_TICKS);
        let due = self.histories.due(now, StreamKind::Audio)?;
        let due = if soonest.since(due) > 0 { soonest } else { due };
        Some(due.since(lead.audio?.decoding()).min(self.common))
    }

    /// Fits the streams to a programme: those that stay keep their state. `unit` is what those begin with that the run
    /// began with.
    pub(super) fn fit(&mut self, wanted: &[(Pid, usize, StreamKind)], unit: Unit) {
        let joined = std::mem::replace(&mut self.fitted, true);
        let unit = if joined { Unit::Awaited } else { unit };
        let mut lanes = Vec::with_capacity(wanted.len());
        for (source, track, kind) in wanted {
            let known = self.lanes.iter().position(|lane| (lane.source, lane.track) == (*source, *track));
            lanes.push(match known {
                Some(index) => self.lanes.swap_remove(index),
                None => Lane {
                    source: *source,
                    track: *track,
                    kind: *kind,
                    unit,
                    gap: false,
                    rest: PesRest::Perhaps,
                    last_left: None,
                    offset: match self.sound {
                        Some(sound) if *kind == StreamKind::Audio && !joined => sound,
                        Some(_) | None => self.common,
                    },
                    base: self.base,
                    overlap: unit == Unit::Awaited && !(joined && self.untouched()),
                    joined,
                    came: None,
                    stamped: None,
                    has_dts: false,
                },
            });
        }
        self.lanes = lanes;
    }

    pub(super) fn get_mut(&mut self, index: usize) -> &mut Lane {
        &mut self.lanes[index]
    }

    /// The offset that the first time stamp of the run has told, once.
    pub(super) const fn take_settled(&mut self) -> Option<i64> {
        self.settled.take()
    }

    /// Streams that were found to be of another time base.
    pub(super) const fn reanchorings(&self) -> u64 {
        self.reanchorings
    }

    /// What has left so far.
    pub(super) const fn histories(&self) -> &Histories {
        &self.histories
    }

    /// The run's times leave as they are.
    pub(super) const fn untouched(&self) -> bool {
        self.common == 0 && self.base == 0
    }

    /// What the times of a PES packet leave as; `None` when it may not leave.
    pub(super) fn stamp(
        &mut self,
        moment: Moment,
        tracks: &mut Tracks,
        index: usize,
        times: PesTimes,
    ) -> Option<PesTimes> {
        let now = moment.now;
        if self.pending {
            self.settle(moment, index, times);
        }
        let out = match self.lanes[index].kind {
            StreamKind::Video | StreamKind::Audio => self.stamp_av(moment, tracks, index, times)?,
            StreamKind::Other => self.stamp_data(moment, tracks, index, times)?,
        };
        let out = if self.in_order { self.behind(now, index, out) } else { out };
        let lane = &mut self.lanes[index];
        lane.stamped = Some(out);
        let track = tracks.get_mut(lane.track);
        let dts = out.decoding();
        let advanced = track.last.map(|last| dts.since(last.dts));
        if let Some(frame) = advanced.filter(|ticks| (1..=FRAME_TICKS_MAX).contains(ticks) && !lane.overlap) {
            track.frame = Some(frame);
        }
        if advanced.is_none_or(|ticks| ticks >= 0) || stale(track.last, now) {
            track.last = Some(Written { dts, at: now });
        }
        self.histories.write(now, lane.kind, out, track.frame);
        Some(out)
    }

    /// A picture is shown later than all before it. A source that is lost has often sent a picture that is shown after
    /// others it has not sent any more.
    fn behind(&self, now: Instant, index: usize, times: PesTimes) -> PesTimes {
        let shown = self.histories.top(now).filter(|_| self.lanes[index].kind == StreamKind::Video);
        match shown.filter(|top| times.dts.is_some() && times.pts.since(*top) <= 0) {
            Some(top) => PesTimes { pts: top.plus(1), ..times },
            None => times,
        }
    }

    /// The first time stamp of a run whose beginning had none.
    fn settle(&mut self, moment: Moment, index: usize, times: PesTimes) {
        let (video, audio) = match self.lanes[index].kind {
            StreamKind::Video => (Some(times), None),
            StreamKind::Audio => (None, Some(times)),
            StreamKind::Other => return,
        };
        self.pending = false;
        let Some(offset) =
            self.histories.offset(moment.now, &Lead { pcr: moment.source, video, audio }, moment.clock)
        else {
            return;
        };
        self.common = offset;
        self.settled = Some(offset);
        for lane in &mut self.lanes {
            lane.offset = offset;
        }
    }

    fn stamp_av(
        &mut self,
        moment: Moment,
        tracks: &Tracks,
        index: usize,
        times: PesTimes,
    ) -> Option<PesTimes> {
        let Moment { now, clock, .. } = moment;
        let dts = times.decoding();
        let track = tracks.get(self.lanes[index].track);
        let last = track.last.filter(|_| !stale(track.last, now));
        self.lanes[index].has_dts |= times.dts.is_some();
        let lane = &self.lanes[index];
        let reordered = lane.reordered(times);
        let due = last
            .filter(|last| !self.histories.outlives(lane.kind, last.at))
            .map(|last| last.dts.plus(track.frame.unwrap_or(1).max(pts_ticks(now - last.at))))
            .or_else(|| self.histories.due(now, lane.kind));
        // Two pictures of one time are the source's own doing.
        let same = lane.came.is_some_and(|came| came.dts == dts);
        let jumped = match lane.came {
            Some(_) if lane.base != self.base && is_nearer(dts, self.common, lane.offset, due) => true,
            Some(came) => {
                let back = if reordered { JUMP_TICKS } else { SLIP_TICKS };
                !(-back..=pts_ticks(now - came.at).saturating_add(JUMP_TICKS)).contains(&dts.since(came.dts))
            }
            None => self.strays(now, lane, dts.plus(lane.offset), due, clock),
        };
        let lane = &mut self.lanes[index];
        if lane.came.is_none_or(|came| jumped || dts.since(came.dts) >= 0) {
            lane.came = Some(Written { dts, at: now });
        }
        let late = |offset: i64| last.map_or(1, |last| dts.plus(offset).since(last.dts));
        if jumped {
            let due = due.or_else(|| clock.map(|clock| clock.plus(STRANGER_TICKS)));
            self.reanchor(due, clock, index, dts, last);
        }
        let lane = &self.lanes[index];
        let unsent = clock.is_none_or(|clock| dts.plus(lane.offset).since(clock) >= 0);
        if lane.overlap && lane.kind == StreamKind::Video && (late(lane.offset) <= 0 || !unsent) {
            self.delay(due, clock, index, dts);
        }
        let lane = &mut self.lanes[index];
        let ahead = late(lane.offset);
        if lane.overlap && ahead <= 0 {
            return None;
        }
        lane.overlap = false;
        let mut out = times.plus(lane.offset);
        if !reordered && (ahead < 0 || (ahead == 0 && !same)) {
            // Later than the last by as little as can be.
            let slipped = dts.plus(lane.offset + 1 - ahead);
            out.dts = out.dts.map(|_early| slipped);
            if out.pts.since(slipped) < 0 {
                out.pts = slipped;
            }
        }
        Some(out)
    }

    /// The first time of a stream in a run, which would leave as `out`, is of another time base than it should be of.
    fn strays(&self, now: Instant, lane: &Lane, out: Pts, due: Option<Pts>, clock: Option<Pts>) -> bool {
        let (back, ahead) = if lane.joined {
            // The last of its like may have been held back for long: what else has left tells as much.
            let reached = self.histories.reached(now);
            if reached.is_some_and(|reached| out.since(reached).abs() <= FOLLOW_TICKS_MAX) {
                return false;
            }
            (FOLLOW_TICKS_MAX, JUMP_TICKS)
        } else if self.untouched() {
            return false;
        } else {
            (STRAY_TICKS_MAX, STRAY_TICKS_MAX)
        };
        match (due, clock) {
            (Some(due), _) => {
                // A source that stood still goes on where it was, not where it would be.
                let soonest = self.histories.last(now, lane.kind).unwrap_or(due);
                out.since(soonest) < -back || out.since(due) > ahead
            }
            (None, Some(clock)) => !(-FOLLOW_TICKS_MAX..=ahead).contains(&out.since(clock)),
            (None, None) => false,
        }
    }

    /// The run's first picture comes too early. Pictures are never left out, because those behind refer to them: the whole
    /// run is later.
    fn delay(&mut self, due: Option<Pts>, clock: Option<Pts>, index: usize, dts: Pts) {
        let later = due.into_iter().chain(clock).reduce(|a, b| if b.since(a) > 0 { b } else { a });
        let Some(own) = later.map(|due| due.since(dts)) else { return };
        let base = self.lanes[index].base;
        for lane in self.lanes.iter_mut().filter(|lane| lane.base == base) {
            (lane.offset, lane.overlap) = (own, true);
        }
        if base == self.base {
            self.common = own;
        }
    }

    /// A stream goes on where it was, in the time base that others have found before if that fits.
    fn reanchor(
        &mut self,
        due: Option<Pts>,
        clock: Option<Pts>,
        index: usize,
        dts: Pts,
        last: Option<Written>,
    ) {
        let Some(mut due) = due else { return };
        if let Some(clock) = clock.filter(|clock| clock.since(due) > 0) {
            due = clock;
        }
        self.reanchorings += 1;
        let own = due.since(dts);
        let followed = dts.plus(self.common).since(due);
        let lane = &mut self.lanes[index];
        if lane.base != self.base && followed.abs() <= FOLLOW_TICKS_MAX {
            let steps_back = last.is_some_and(|last| dts.plus(self.common).since(last.dts) <= 0);
            lane.base = self.base;
            if lane.kind != StreamKind::Video || !steps_back {
                (lane.offset, lane.overlap) = (self.common, true);
                return;
            }
            // Sound that has found the new base first follows the pictures.
            for other in &mut self.lanes {
                if other.base == self.base && other.kind != StreamKind::Video {
                    (other.offset, other.overlap) = (own, true);
                }
            }
        } else {
            self.base += 1;
        }
        self.common = own;
        let lane = &mut self.lanes[index];
        (lane.offset, lane.base, lane.overlap) = (own, self.base, false);
    }

    /// Subtitles and data are rare: their own times tell nothing about the time base, they follow the others.
    fn stamp_data(&self, moment: Moment, tracks: &Tracks, index: usize, times: PesTimes) -> Option<PesTimes> {
        let Moment { now, clock, .. } = moment;
        if self.untouched() {
            return Some(times);
        }
        let mut out = times.plus(self.common);
        if let Some(clock) = clock.filter(|clock| out.decoding().since(*clock).abs() > DATA_TICKS_MAX) {
            out = PesTimes { pts: clock, dts: out.dts.map(|_far| clock) };
        }
        let last = tracks.get(self.lanes[index].track).last;
        let steps_back =
            last.is_some_and(|last| !stale(Some(last), now) && out.decoding().since(last.dts) < 0);
        (!steps_back).then_some(out)
    }
}

/// Too long ago to be compared with.
fn stale(last: Option<Written>, now: Instant) -> bool {
    last.is_some_and(|last| (now - last.at).as_secs() > 6 * 3600)
}
