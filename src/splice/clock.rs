//! The programme's clock that leaves: that of the source, moved with its time stamps, and never back.

use std::time::Duration;

use crate::base::Instant;
use crate::splice::stamps::Reached;
use crate::ts::Pcr;

/// A source's clock may run ahead of real time by this between two samples: what arrives comes in bursts.
const AHEAD_TICKS_MAX: i64 = 27_000_000;
/// A sample behind a signalled discontinuity, and one of a clock that stands still, may be this far ahead of real time. What leaves
/// further ahead than that, and has gone further than the source's own clock, is a discontinuity, and says so.
const FIRST_AHEAD_TICKS_MAX: i64 = 2_700_000;
/// A clock that would leave earlier than its last sample by less than this stands until it is there again. By more, and the whole
/// time base is later.
const HELD_TICKS_MAX: i64 = 2_700_000;
/// A time base that the stamps have found before the clock is the clock's too when that leads no further than this: ahead, as far
/// as sound of before and sound of now reach beyond the pictures, or back.
const JOINT_AHEAD_TICKS_MAX: i64 = 10 * 27_000_000;
const JOINT_BACK_TICKS_MAX: i64 = 4 * 27_000_000;
/// A clock further than this from where the time base of the streams would have it is of none of those that are known: sound may have
/// reached many seconds further than pictures.
const ELSEWHERE_TICKS_MIN: i64 = 60 * 27_000_000;
/// What is sent a while before its time is sent about as long before it later, to this.
const STREAMS_APART_TICKS_MAX: i64 = 13_500_000;
/// The first sample of a run follows that of its boundary after this.
pub(super) const STEP_TICKS: i64 = 27_000;

/// 27 MHz ticks of a duration.
pub(super) fn pcr_ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() * 27 / 1000).unwrap_or(i64::MAX)
}

#[derive(Clone, Copy)]
struct Sample {
    pcr: Pcr,
    at: Instant,
}

impl Sample {
    /// A clock that stands still is as old as when it last moved: the time it has missed is not lost.
    fn new(before: Option<Self>, now: Instant, pcr: Pcr) -> Self {
        before.filter(|before| before.pcr == pcr).unwrap_or(Self { pcr, at: now })
    }
}

/// Whether it is known what is added to the run's clock.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Bearing {
    /// It is.
    #[default]
    Known,
    /// The sample that has just come is of another time base.
    Broken,
    /// The clock goes on from where it broke, until its time base is known.
    Adrift,
}

/// What a sample of the run's clock leaves as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Left {
    pub(super) pcr: Pcr,
    /// It is further ahead than time is, and the source's own clock is not: a discontinuity.
    pub(super) jumps: bool,
    /// The time base must be later by this, or the clock would step back.
    pub(super) late: Option<i64>,
}

/// The clock of a session.
///
/// A source's clock and its time stamps are of one time base: the same is added to both, so that what is sent a second before it
/// is shown leaves so too. The clock by itself is carried on only where it breaks and the stamps do not.
#[derive(Default)]
pub(super) struct SessionClock {
    /// The last one that left.
    written: Option<Sample>,
    /// The last one that came in this run,
    came: Option<Sample>,
    /// how far it has gone with that, if it went on,
    step: Option<i64>,
    /// and the one before what leaves of it, or the first.
    before: Option<Sample>,
    /// What left when the run's clock last moved, and how far the streams were then.
    moved: Option<(Sample, Reached)>,
    /// The same of the sample before, where the last one has not moved as far as the streams have: it may have been of a time base
    /// that these had not come to.
    undoubted: Option<(Sample, Reached)>,
    /// What is added to the run's clock.
    offset: i64,
    /// What is added to the time stamps of the newest time base.
    common: i64,
    /// The clock has not come to that time base yet.
    behind: bool,
    /// The first sample of that, where it is known before.
    turn: Option<Pcr>,
    /// So many samples have still to leave until much is known of the newest time base.
    samples_to_know: u8,
    bearing: Bearing,
    /// The last sample is the first of its time base.
    is_first: bool,
    stands: bool,
    /// The last sample is the one before once more.
    is_repeated: bool,
    /// The samples before the last one were one and the same.
    stood: bool,
    reanchorings: u64,
}

impl SessionClock {
    /// The last one that left, advanced by the time since.
    pub(super) fn at(&self, now: Instant) -> Option<Pcr> {
        self.written.map(|last| last.pcr.plus(pcr_ticks(now - last.at)))
    }

    /// The last one that left.
    pub(super) fn written(&self) -> Option<Pcr> {
        self.written.map(|last| last.pcr)
    }

    /// The last sample of the run's own clock.
    pub(super) fn came(&self) -> Option<Pcr> {
        self.came.map(|last| last.pcr)
    }

    /// The run's own clock, advanced by the time since it came.
    pub(super) fn source_at(&self, now: Instant) -> Option<Pcr> {
        self.came.map(|last| last.pcr.plus(pcr_ticks(now - last.at)))
    }

    /// The run's own clock, if the stamps' time base is not known to be its own.
    pub(super) fn stray(&self) -> Option<Pcr> {
        self.came.filter(|_| self.bearing != Bearing::Known).map(|last| last.pcr)
    }

    /// Whether the run's clock has come to the newest time base of the stamps.
    pub(super) fn is_there(&self) -> bool {
        !self.behind && self.bearing == Bearing::Known
    }

    /// Times the run's clock was found to be another one.
    #[cfg(any(test, feature = "sim"))]
    pub(super) const fn reanchorings(&self) -> u64 {
        self.reanchorings
    }

    /// Whether the last sample of the run's clock is the one before once more: it tells no time.
    pub(super) const fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// A run begins. `offset` is what is added to its clock; `None` when that is to be told by its stamps. `before` is what its clock
    /// was before the first sample that leaves, if that is known.
    pub(super) fn begin(&mut self, now: Instant, offset: Option<i64>, before: Option<Pcr>) {
        (self.came, self.step) = (None, None);
        self.before = before.map(|pcr| Sample { pcr, at: now });
        (self.stands, self.is_repeated, self.stood) = (false, false, false);
        self.behind = false;
        self.turn = None;
        self.bearing = if offset.is_some() { Bearing::Known } else { Bearing::Broken };
        self.offset = offset.unwrap_or(0);
        self.common = self.offset;
    }

    /// The run's clock is not that of its first units: `made_up` is, until it comes to them.
    pub(super) fn stray_from(&mut self, now: Instant, made_up: Option<Pcr>) {
        self.bearing = Bearing::Broken;
        if let Some(pcr) = made_up.filter(|_| self.written.is_none()) {
            self.write(now, pcr);
        }
    }

    /// The stamps are of a new time base, to which this is added. `first` is its first sample, if that is known.
    pub(super) fn rebase(&mut self, offset: i64, first: Option<Pcr>) {
        self.common = offset;
        self.turn = first;
        self.samples_to_know = 2;
        self.behind = self.bearing == Bearing::Known || self.came.is_none();
        if !self.behind {
            self.offset = offset;
            self.bearing = Bearing::Known;
        }
    }

    /// The newest time base is later by so much.
    pub(super) const fn shift(&mut self, ticks: i64) {
        self.common += ticks;
        if !self.behind && matches!(self.bearing, Bearing::Known) {
            self.offset += ticks;
        }
    }

    /// A sample made here leaves.
    pub(super) fn write(&mut self, now: Instant, pcr: Pcr) {
        self.written = Some(Sample { pcr, at: now });
    }

    /// A sample of the run's clock leaves, which has come at `came_at`. When it does not follow the one before, and nobody knows of a new time base: by how
    /// much not.
    pub(super) fn take(&mut self, now: Instant, came_at: Instant, pcr: Pcr, signalled: bool) -> Option<i64> {
        let before = self.came;
        self.came = Some(Sample::new(before, now, pcr));
        self.is_first = before.is_none();
        self.step = None;
        self.stands = before.is_some_and(|before| before.pcr == pcr && before.at < now);
        let is_repeated = before.is_some_and(|before| before.pcr == pcr);
        self.stood = std::mem::replace(&mut self.is_repeated, is_repeated) && !is_repeated;
        let before = before.or(self.before)?;
        let passed = pcr_ticks(came_at - before.at);
        let ahead = if signalled { FIRST_AHEAD_TICKS_MAX } else { AHEAD_TICKS_MAX };
        let step = pcr.since(before.pcr);
        if (0..=passed.saturating_add(ahead)).contains(&step) {
            self.step = Some(step).filter(|_| !self.is_first);
            return None;
        }
        self.bearing = Bearing::Broken;
        // The streams know, unless it is of a time base behind theirs.
        let out = self.written.map(|written| pcr.plus(self.common).since(written.pcr));
        let is_theirs = out.is_none_or(|ticks| ticks.abs() <= ELSEWHERE_TICKS_MIN);
        (!self.behind || !is_theirs).then(|| step.saturating_sub(passed))
    }

    /// What the sample that has come last leaves as. `reached` is how far pictures and sound have come.
    pub(super) fn leave(&mut self, now: Instant, reached: Reached) -> Option<Left> {
        let pcr = self.came?.pcr;
        if self.stands
            && let Some(due) = self.standing(now, reached)
        {
            self.write(now, due);
            return Some(Left { pcr: due, jumps: false, late: None });
        }
        self.find(now, pcr, reached);
        self.samples_to_know = self.samples_to_know.saturating_sub(1);
        let mut left = Left { pcr: pcr.plus(self.offset), jumps: false, late: None };
        if let Some(written) = self.written {
            let passed = pcr_ticks(now - written.at);
            let ahead = left.pcr.since(written.pcr);
            let limit = passed.saturating_add(JOINT_AHEAD_TICKS_MAX);
            let back = if self.is_first { JOINT_BACK_TICKS_MAX } else { HELD_TICKS_MAX };
            if ahead < -back || ahead > limit {
                self.drift(now, pcr, reached);
                left.pcr = pcr.plus(self.offset);
            } else if ahead < 0 {
                left.pcr = written.pcr;
                left.late = (ahead < -HELD_TICKS_MAX).then_some(-ahead);
            }
            let most = passed.saturating_add(FIRST_AHEAD_TICKS_MAX).max(self.step.unwrap_or(0));
            left.jumps = left.pcr.since(written.pcr) > most;
        }
        self.write(now, left.pcr);
        // A clock that stands still has not moved since, also when all of that comes at once.
        if self.moved.is_none_or(|(last, before)| last.pcr != left.pcr || before.is_nowhere()) {
            let with_streams = self.moved.and_then(|before| Self::with_streams(before, reached));
            let lags = with_streams.is_some_and(|due| due.since(left.pcr) > HELD_TICKS_MAX);
            self.undoubted = self.moved.filter(|_| lags && !self.behind && self.bearing == Bearing::Known);
            self.moved = Some((Sample { pcr: left.pcr, at: now }, self.reached_with(left.pcr, reached)));
        }
        Some(left)
    }

    /// Finds the time base of a sample, where it may be another one than before.
    fn find(&mut self, now: Instant, pcr: Pcr, reached: Reached) {
        let Some(due) = self.due(now, reached) else {
            // Nothing has left: it may be anything.
            if self.bearing != Bearing::Known || self.behind {
                self.offset = self.common;
            }
            self.bearing = Bearing::Known;
            self.behind = false;
            return;
        };
        let far = |offset: i64| pcr.plus(offset).since(due);
        let is_there = match self.bearing {
            Bearing::Known if !self.behind => return,
            _any if self.turn == Some(pcr) => true,
            Bearing::Known if self.turn.is_some() => return,
            Bearing::Known => {
                far(self.common).abs() < far(self.offset).abs() || self.was_there_before_streams(pcr, reached)
            }
            Bearing::Broken | Bearing::Adrift if self.behind => {
                (-JOINT_BACK_TICKS_MAX..=JOINT_AHEAD_TICKS_MAX).contains(&far(self.common))
            }
            // It comes rarely or stood still, and what it has missed comes at once.
            Bearing::Broken if self.is_with_streams(pcr, reached) || self.is_before_streams(pcr, reached) => {
                true
            }
            // It has been somewhere else for a moment, and is back.
            Bearing::Broken => {
                self.came.is_some() && (-HELD_TICKS_MAX..=AHEAD_TICKS_MAX).contains(&far(self.common))
            }
            Bearing::Adrift => false,
        };
        if is_there {
            self.is_first |= self.behind;
            self.offset = self.common;
            self.bearing = Bearing::Known;
            self.behind = false;
        } else if self.bearing == Bearing::Broken {
            self.drift(now, pcr, reached);
        }
    }

    /// Whether the last sample was of the streams' newest time base already, and nobody could know: one that comes rarely jumps back by
    /// less than it had to go ahead. By the sample before that this one is where the streams have it.
    fn was_there_before_streams(&self, pcr: Pcr, reached: Reached) -> bool {
        let due = self.undoubted.and_then(|before| Self::with_streams(before, reached));
        due.is_some_and(|due| pcr.plus(self.common).since(due).abs() <= HELD_TICKS_MAX)
    }

    /// How far the streams have to come to be with a clock that leaves so. Behind a silence it comes in front of them, and has gone as
    /// far as they will at once: if it stands still then, they have not moved on without it.
    fn reached_with(&self, out: Pcr, reached: Reached) -> Reached {
        let due = self.moved.and_then(|before| Self::with_streams(before, reached));
        let ahead = due.map_or(0, |due| out.since(due));
        if ahead > AHEAD_TICKS_MAX { reached.plus(ahead / 300) } else { reached }
    }

    /// Where a clock that left so is when it has gone as far as pictures and sound have since.
    fn with_streams((last, before): (Sample, Reached), reached: Reached) -> Option<Pcr> {
        Some(last.pcr.plus(reached.since(before)? * 300))
    }

    /// Whether the clock has moved as far as pictures and sound have.
    fn is_with_streams(&self, pcr: Pcr, reached: Reached) -> bool {
        let Some((last, before)) = self.moved else { return false };
        let streams = reached.since(before).map(|ticks| ticks * 300);
        let step = pcr.plus(self.common).since(last.pcr);
        streams.is_some_and(|streams| streams > 0 && (step - streams).abs() <= STREAMS_APART_TICKS_MAX)
    }

    /// Whether a sample is between what left last and the streams, where that is all there is to go by: of its time base no more than
    /// one sample has come, and how far the streams have come since is not how far times have, where sound of before was waited for; or
    /// the clock stood still, and nobody knows since when.
    fn is_before_streams(&self, pcr: Pcr, reached: Reached) -> bool {
        let is_all = self.samples_to_know > 0 || self.stood;
        let Some(written) = self.written.filter(|_| is_all) else { return false };
        let out = pcr.plus(self.common);
        let ahead = [reached.video, reached.audio].into_iter().flatten().map(|dts| dts.since(out.to_pts()));
        let most = JOINT_AHEAD_TICKS_MAX / 300;
        out.since(written.pcr) >= 0 && ahead.max().is_some_and(|ahead| (0..=most).contains(&ahead))
    }

    /// The clock goes on from here, whatever it says it is.
    fn drift(&mut self, now: Instant, pcr: Pcr, reached: Reached) {
        let Some(due) = self.due(now, reached) else { return };
        self.offset = due.since(pcr);
        self.bearing = Bearing::Adrift;
        self.reanchorings += 1;
    }

    /// Where the clock should be: as far as the streams have come since it left last, or since it stood still, but no further than
    /// time.
    fn due(&self, now: Instant, reached: Reached) -> Option<Pcr> {
        let written = self.written?;
        let passed = pcr_ticks(now - written.at);
        let is_last = |last: Sample| last.at == written.at && last.pcr == written.pcr;
        let since = self.moved.filter(|(last, _)| self.stood || is_last(*last));
        let streams = since
            .and_then(|(last, before)| Some(last.pcr.plus(reached.since(before)? * 300).since(written.pcr)));
        Some(written.pcr.plus(streams.unwrap_or(passed).clamp(0, passed)))
    }

    /// What leaves of a clock that stands still: what viewers go by does not stand, but it waits for pictures and sound,
    /// which would come too late for it ever after.
    fn standing(&self, now: Instant, reached: Reached) -> Option<Pcr> {
        let (written, (last, before)) = (self.written?, self.moved?);
        let passed = pcr_ticks(now - last.at);
        let streams = reached.since(before).map(|ticks| ticks * 300);
        let due = last.pcr.plus(streams.map_or(passed, |streams| streams.clamp(0, passed)));
        let step = pcr_ticks(now - written.at).saturating_add(FIRST_AHEAD_TICKS_MAX);
        Some(written.pcr.plus(due.since(written.pcr).clamp(0, step)))
    }

    /// What a clock on another PID than the programme's leaves as: the same clock, if it can be.
    pub(super) fn restamp_foreign(&self, now: Instant, pcr: Pcr) -> Pcr {
        let out = pcr.plus(self.offset);
        let Some(written) = self.written else { return out };
        let limit = pcr_ticks(now - written.at).saturating_add(AHEAD_TICKS_MAX);
        if (0..=limit).contains(&out.since(written.pcr)) { out } else { self.at(now).unwrap_or(out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::Pts;

    fn pcr(millis: u64) -> Pcr {
        Pcr::from_ticks(millis * 27_000)
    }

    /// What a sample leaves as.
    fn pass(clock: &mut SessionClock, at: u64, sample: Pcr, reached: Option<Pts>) -> Pcr {
        clock.take(Instant::from_millis(at), Instant::from_millis(at), sample, false);
        let reached = Reached { video: reached, audio: None };
        clock.leave(Instant::from_millis(at), reached).unwrap().pcr
    }

    #[test]
    fn a_run_has_the_clock_that_its_stamps_have() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(0), None);
        assert_eq!(pass(&mut clock, 0, pcr(1000), None), pcr(1000));
        assert_eq!(clock.at(Instant::from_millis(350)), Some(pcr(1350)));
        clock.begin(Instant::START, Some(-48_000 * 27_000), None);
        assert_eq!(pass(&mut clock, 350, pcr(50_000), None), pcr(2000));
        assert_eq!(pass(&mut clock, 360, pcr(50_040), None), pcr(2040));
        assert_eq!(clock.reanchorings(), 0);
    }

    #[test]
    fn a_clock_that_breaks_inside_a_run_goes_on_by_elapsed_time() {
        // (time, clock, signalled) -> what leaves
        type Case = (&'static str, [(u64, u64, bool); 3], u64);
        let table: &[Case] = &[
            ("an even one", [(0, 1000, false), (40, 1040, false), (80, 1080, false)], 1080),
            ("a burst", [(0, 1000, false), (40, 1040, false), (40, 2040, false)], 2040),
            ("a step back", [(0, 1000, false), (40, 1040, false), (80, 500, false)], 1080),
            ("a jump", [(0, 1000, false), (40, 1040, false), (80, 2081, false)], 1080),
            ("a silence", [(0, 1000, false), (40, 1040, false), (9040, 10_040, false)], 10_040),
            ("a signalled step that is none", [(0, 1000, false), (40, 1040, false), (80, 1080, true)], 1080),
            ("a signalled jump", [(0, 1000, false), (40, 1040, false), (80, 2500, true)], 1080),
        ];
        for (name, samples, expected) in table {
            let mut clock = SessionClock::default();
            clock.begin(Instant::START, Some(0), None);
            let out = samples.map(|(at, ticks, signalled)| {
                clock.take(Instant::from_millis(at), Instant::from_millis(at), pcr(ticks), signalled);
                clock.leave(Instant::from_millis(at), Reached::default()).unwrap().pcr
            });
            assert_eq!(out[2], pcr(*expected), "{name}");
        }
    }

    #[test]
    fn a_clock_that_was_elsewhere_for_a_moment_is_what_it_was() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(0), None);
        let steps = [(0, 1000, 1000), (40, 900_000, 1040), (80, 1080, 1080), (120, 1120, 1120)];
        for (at, came, left) in steps {
            assert_eq!(pass(&mut clock, at, pcr(came), None), pcr(left), "at {at} ms");
        }
        assert_eq!((clock.stray(), clock.reanchorings()), (None, 1));
    }

    #[test]
    fn the_clock_follows_its_stamps_to_a_new_time_base_whoever_comes_first() {
        for stamps_first in [true, false] {
            let mut clock = SessionClock::default();
            clock.begin(Instant::START, Some(0), None);
            pass(&mut clock, 0, pcr(60_000), None);
            let mut out = Vec::new();
            if stamps_first {
                clock.rebase(59_500 * 27_000, None);
            } else {
                out.push(pass(&mut clock, 40, pcr(600), None));
                clock.rebase(59_500 * 27_000, None);
            }
            out.push(pass(&mut clock, 80, pcr(640), None));
            out.push(pass(&mut clock, 120, pcr(680), None));
            assert_eq!(out[out.len() - 2..], [pcr(60_140), pcr(60_180)], "{stamps_first}");
        }
    }

    #[test]
    fn a_step_ahead_of_time_is_a_discontinuity_and_one_back_waits_or_makes_everything_later() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(0), None);
        pass(&mut clock, 0, pcr(60_000), None);
        // Where the new time base lies -> what leaves, whether it jumps, by how much it is late.
        let table = [(0, 60_040, false, None), (3000, 63_040, true, None), (-90, 60_000, false, None)];
        let late = [(-840, 60_000, false, Some(800 * 27_000))];
        for (offset, out, jumps, late) in table.into_iter().chain(late) {
            let mut clock =
                SessionClock { written: clock.written, came: clock.came, ..SessionClock::default() };
            clock.rebase((60_000 + offset) * 27_000, None);
            clock.take(Instant::from_millis(40), Instant::from_millis(40), pcr(40), false);
            let left = clock.leave(Instant::from_millis(40), Reached::default());
            assert_eq!(left, Some(Left { pcr: pcr(out), jumps, late }), "{offset}");
        }
    }

    #[test]
    fn a_rare_clock_that_comes_at_once_with_what_it_is_of_is_no_discontinuity() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(0), None);
        for millis in [5000, 5360, 5720, 6600] {
            clock.take(Instant::START, Instant::START, pcr(millis), false);
            let left = clock.leave(Instant::START, Reached::default());
            assert_eq!(left, Some(Left { pcr: pcr(millis), jumps: false, late: None }));
        }
    }

    #[test]
    fn a_clock_that_came_in_front_of_its_streams_behind_a_silence_and_stands_still_waits_for_them() {
        let at = |millis: u64| Some(Pts::from_ticks((9_000 + millis) * 90));
        let mut clock = SessionClock::default();
        // When it comes, what it is, how far the streams have come -> what leaves.
        let steps = [
            (0, 5000, 0, 5000),
            (400, 5400, 400, 5400),
            // Twenty seconds of nothing, and what was to be sent in them is lost.
            (20_400, 25_400, 400, 25_400),
            (20_500, 25_400, 20_440, 25_440),
            (20_700, 25_400, 20_480, 25_480),
            (21_900, 25_400, 21_040, 26_040),
        ];
        for (now, came, streams, left) in steps {
            assert_eq!(pass(&mut clock, now, pcr(came), at(streams)), pcr(left), "at {now} ms");
        }
        // It moves again, and is where they are.
        let out = pass(&mut clock, 22_000, pcr(26_080), at(21_040));
        assert_eq!((out, clock.reanchorings()), (pcr(26_080), 0));
    }

    #[test]
    fn the_time_for_which_a_clock_stood_still_is_not_lost() {
        let mut clock = SessionClock::default();
        for at in 0..16 {
            pass(&mut clock, at * 1000, pcr(5000), None);
        }
        assert_eq!(clock.at(Instant::from_millis(16_000)), Some(pcr(21_000)));
        let out = pass(&mut clock, 16_000, pcr(21_000), None);
        assert_eq!((out, clock.reanchorings()), (pcr(21_000), 0));
    }

    #[test]
    fn a_clock_that_stands_still_leaves_moving_and_goes_on_from_there() {
        let mut clock = SessionClock::default();
        let steps = [
            (0, 5000, 5000),
            (40, 5040, 5040),
            (80, 5040, 5080),
            (80, 5040, 5080),
            (120, 5040, 5120),
            // Those 80 ms are lost, but not to its pictures and sound.
            (160, 5080, 5120),
            (200, 5120, 5120),
            (240, 5160, 5160),
        ];
        for (at, came, left) in steps {
            assert_eq!(pass(&mut clock, at, pcr(came), None), pcr(left), "at {at} ms");
        }
    }

    #[test]
    fn a_clock_that_stands_still_waits_for_pictures_and_sound() {
        // Milliseconds since the clock stands, how far the streams have come since -> how far the clock has.
        let steps = [
            (40, 40, 40),
            (560, 40, 40),
            (600, 120, 120),
            (640, 1500, 260),
            (700, 660, 420),
            (800, 640, 620),
            (840, 600, 620),
            (8000, 680, 680),
            (8040, 4000, 820),
            (8080, 4040, 960),
        ];
        let mut clock = SessionClock::default();
        let at = |millis: u64| Some(Pts::from_ticks((9_000 + millis) * 90));
        pass(&mut clock, 0, pcr(5000), at(0));
        for (passed, streams, left) in steps {
            let out = pass(&mut clock, passed, pcr(5000), at(streams));
            assert_eq!(out, pcr(5000 + left), "after {passed} ms");
        }
        // It moves again, and is where the streams are.
        let out = pass(&mut clock, 8120, pcr(9120), at(4080));
        assert_eq!((out, clock.reanchorings()), (pcr(9120), 0));
    }

    #[test]
    fn a_clock_that_stands_still_while_the_process_does_is_where_what_has_come_meanwhile_is() {
        let mut clock = SessionClock::default();
        let at = |millis: u64| Some(Pts::from_ticks((9_000 + millis) * 90));
        pass(&mut clock, 0, pcr(5000), at(0));
        for millis in (40..=400).step_by(40) {
            assert_eq!(pass(&mut clock, millis, pcr(5000), at(millis)), pcr(5000 + millis));
        }
        // Three seconds of it have waited to be read.
        for millis in (440..=3400).step_by(40) {
            assert_eq!(pass(&mut clock, 3400, pcr(5000), at(millis)), pcr(5000 + millis));
        }
        clock.take(Instant::from_millis(3440), Instant::from_millis(3440), pcr(8440), false);
        let reached = Reached { video: at(3440), audio: None };
        let left = clock.leave(Instant::from_millis(3440), reached);
        assert_eq!(left, Some(Left { pcr: pcr(8440), jumps: false, late: None }));
    }

    #[test]
    fn a_clock_that_stands_still_does_not_run_ahead_with_long_sound() {
        let at = |millis: u64| Some(Pts::from_ticks((9_000 + millis) * 90));
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(0), None);
        let mut pass = |millis: u64, pcr: Pcr, audio: u64| {
            clock.take(Instant::from_millis(millis), Instant::from_millis(millis), pcr, false);
            let reached = Reached { video: at(millis / 40 * 40), audio: at(audio) };
            clock.leave(Instant::from_millis(millis), reached).unwrap().pcr
        };
        // Sound of 400 ms begins as the clock stops, and what came before it has waited for its end.
        assert_eq!(pass(0, pcr(5000), 0), pcr(5000));
        assert_eq!(pass(200, pcr(5000), 400), pcr(5200));
        assert_eq!(pass(340, pcr(5000), 400), pcr(5320), "as far as the pictures");
        assert_eq!(pass(360, pcr(5360), 400), pcr(5360));
    }

    #[test]
    fn a_rare_clock_moves_as_far_at_once_as_pictures_and_sound_do() {
        let at = |millis: u64| Some(Pts::from_ticks((9_000 + millis) * 90));
        // How often the clock stands first, how far pictures and sound and then the clock have come -> how far what leaves has.
        let table = [
            (0, 2400, 2400, 2400),
            (3, 2400, 2400, 2400),
            (3, 2800, 2400, 2400),
            (0, 40, 2400, 0),
            (3, 200, 2400, 2400),
            (3, 200, 7000, 0),
        ];
        for (stands, streams, moves, left) in table {
            let mut clock = SessionClock::default();
            pass(&mut clock, 0, pcr(5000), at(0));
            for step in 1..=stands {
                assert_eq!(pass(&mut clock, 0, pcr(5000), at(streams * step / 4)), pcr(5000));
            }
            let out = pass(&mut clock, 0, pcr(5000 + moves), at(streams));
            assert_eq!(out, pcr(5000 + left), "{stands} {streams} {moves}");
        }
    }

    #[test]
    fn a_clock_that_stood_while_its_streams_changed_their_time_base_is_of_the_new_one_however_long_it_was_held()
     {
        let at = |millis: u64| Some(Pts::from_ticks((9_000 + millis) * 90));
        // By how much the new time base is earlier, and how far the clock has jumped.
        for (earlier, came) in [(1004, 6124), (-1004, 4116), (500, 5620)] {
            let mut clock = SessionClock::default();
            clock.begin(Instant::START, Some(0), None);
            pass(&mut clock, 0, pcr(5000), at(0));
            pass(&mut clock, 40, pcr(5000), at(40));
            clock.rebase(-earlier * 27_000, None);
            pass(&mut clock, 80, pcr(5000), at(80));
            assert_eq!(pass(&mut clock, 1300, pcr(came), at(120)), pcr(5120), "{earlier}");
        }
    }

    #[test]
    fn a_rare_clock_that_has_jumped_back_a_little_before_its_streams_did_is_with_them_from_its_next_sample_on()
     {
        let at = |millis: u64| Some(Pts::from_ticks((9_000 + millis) * 90));
        // By how much the clock is earlier in front of the streams, and these wait for sound of before -> what leaves of the next.
        for (earlier, waited, left) in [(452, 160, 6960), (452, 0, 6800), (0, 160, 6800)] {
            let mut clock = SessionClock::default();
            clock.begin(Instant::START, Some(0), None);
            pass(&mut clock, 0, pcr(5000), at(0));
            pass(&mut clock, 600, pcr(5600), at(600));
            assert_eq!(pass(&mut clock, 1200, pcr(6200 - earlier), at(1200)), pcr(6200 - earlier));
            clock.rebase((452 + waited) * 27_000, None);
            // Where the clock has not jumped it is still of the time base before.
            let reached = if earlier > 0 { 1800 + u64::try_from(waited).unwrap() } else { 1800 };
            assert_eq!(
                pass(&mut clock, 2400, pcr(6800 - earlier), at(reached)),
                pcr(left),
                "{earlier} {waited}"
            );
        }
    }

    #[test]
    fn how_far_a_clock_has_jumped_is_told_by_when_it_came_and_not_by_when_it_leaves() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(0), None);
        pass(&mut clock, 0, pcr(5000), None);
        let [came, leaves] = [40, 1240].map(Instant::from_millis);
        assert_eq!(clock.take(leaves, came, pcr(4900), false), Some(-140 * 27_000));
    }

    #[test]
    fn a_clock_of_a_time_base_behind_that_of_the_streams_is_told_of() {
        for (came, is_told) in [(600, false), (900_000, true)] {
            let mut clock = SessionClock::default();
            clock.begin(Instant::START, Some(0), None);
            pass(&mut clock, 0, pcr(60_000), None);
            clock.rebase(59_500 * 27_000, None);
            let at = Instant::from_millis(40);
            assert_eq!(clock.take(at, at, pcr(came), false).is_some(), is_told, "{came}");
        }
    }

    #[test]
    fn the_first_sample_of_a_run_is_compared_with_the_one_before_it() {
        for (before, jump) in [(None, None), (Some(pcr(960)), None), (Some(pcr(9000)), Some(-8000 * 27_000))]
        {
            let mut clock = SessionClock::default();
            clock.begin(Instant::START, Some(0), before);
            assert_eq!(clock.take(Instant::START, Instant::START, pcr(1000), false), jump, "{before:?}");
        }
    }

    #[test]
    fn the_wrap_is_no_step_back() {
        let mut clock = SessionClock::default();
        let before = Pcr::from_ticks(Pcr::MODULUS - 27_000);
        assert_eq!(pass(&mut clock, 0, before, None), before);
        assert_eq!(pass(&mut clock, 2, pcr(1), None), pcr(1));
        assert_eq!(clock.reanchorings(), 0);
    }

    #[test]
    fn a_clock_nobody_announced_goes_on_until_the_stamps_tell_what_it_is() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(0), None);
        pass(&mut clock, 0, pcr(1000), None);
        clock.begin(Instant::START, None, None);
        assert_eq!(pass(&mut clock, 100, pcr(70_000), None), pcr(1100));
        assert_eq!(clock.stray(), Some(pcr(70_000)));
        clock.rebase(-68_850 * 27_000, None);
        assert_eq!(pass(&mut clock, 140, pcr(70_040), None), pcr(1190));
        assert_eq!(clock.stray(), None);
    }

    #[test]
    fn a_second_clock_of_the_run_never_contradicts_the_first() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, Some(27_000_000), None);
        pass(&mut clock, 0, pcr(1000), None);
        let later = Instant::from_millis(50);
        assert_eq!(clock.restamp_foreign(later, pcr(1030)), pcr(2030));
        assert_eq!(clock.restamp_foreign(later, pcr(1)), pcr(2050));
        assert_eq!(clock.restamp_foreign(later, pcr(90_000)), pcr(2050));
    }
}
