//! The programme's clock that leaves: it goes on whatever the clocks that come do.

use std::time::Duration;

use crate::base::Instant;
use crate::ts::{Pcr, Pts};

/// A source's clock may run ahead of real time by this between two samples: what arrives comes in bursts.
const AHEAD_TICKS_MAX: i64 = 27_000_000;
/// The first sample of a run, one behind a signalled discontinuity, and one of a clock that stands still may be this far
/// ahead of real time.
const FIRST_AHEAD_TICKS_MAX: i64 = 2_700_000;
/// The first sample of a run follows that of its boundary after this.
const STEP_TICKS: i64 = 27_000;

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

/// The clock of a session.
#[derive(Default)]
pub(super) struct SessionClock {
    /// The last one that left.
    written: Option<Sample>,
    /// The last one that came in this run.
    came: Option<Sample>,
    /// What left when the run's clock last moved, and how far the streams were then.
    moved: Option<(Sample, Option<Pts>)>,
    /// What is added to the run's clock.
    offset: i64,
    reanchorings: u64,
}

impl SessionClock {
    /// The last one that left, advanced by the time since.
    pub(super) fn at(&self, now: Instant) -> Option<Pcr> {
        self.written.map(|last| last.pcr.plus(pcr_ticks(now - last.at)))
    }

    /// The run's own clock, advanced by the time since it came.
    pub(super) fn source_at(&self, now: Instant) -> Option<Pcr> {
        self.came.map(|last| last.pcr.plus(pcr_ticks(now - last.at)))
    }

    /// Times the run's clock was found to be another one.
    pub(super) const fn reanchorings(&self) -> u64 {
        self.reanchorings
    }

    /// A run begins. `first` is the beginning of its clock, `fallback` the offset to take when that or the
    /// session's clock is unknown.
    pub(super) fn begin(&mut self, now: Instant, first: Option<Pcr>, fallback: i64) {
        self.came = None;
        self.offset = match (self.at(now), first) {
            (Some(due), Some(first)) => due.plus(STEP_TICKS).since(first),
            _ => fallback,
        };
    }

    /// The offset to take when the run's clock has not come, and nothing was known of it when the run began.
    pub(super) const fn settle(&mut self, offset: i64) {
        if self.came.is_none() {
            self.offset = offset;
        }
    }

    /// A sample made here leaves.
    pub(super) fn write(&mut self, now: Instant, pcr: Pcr) {
        self.written = Some(Sample { pcr, at: now });
    }

    /// What a sample of the run's clock leaves as. `reached` is the last decoding time that has left.
    pub(super) fn restamp(&mut self, now: Instant, pcr: Pcr, signalled: bool, reached: Option<Pts>) -> Pcr {
        let came = self.came;
        self.came = Some(Sample::new(came, now, pcr));
        if came.is_some_and(|came| came.pcr == pcr && came.at < now)
            && let Some(due) = self.standing(now, reached)
        {
            self.write(now, due);
            return due;
        }
        let fits = match (came, self.written) {
            (Some(came), _) => {
                let ahead = if signalled { FIRST_AHEAD_TICKS_MAX } else { AHEAD_TICKS_MAX };
                let within = |from: Sample, to: Pcr| {
                    let limit = pcr_ticks(now - from.at).saturating_add(ahead);
                    (0..=limit).contains(&to.since(from.pcr))
                };
                let out = pcr.plus(self.offset);
                within(came, pcr) && self.written.is_none_or(|written| within(written, out))
            }
            (None, Some(written)) => {
                let limit = pcr_ticks(now - written.at).saturating_add(FIRST_AHEAD_TICKS_MAX);
                (0..=limit).contains(&pcr.plus(self.offset).since(written.pcr))
            }
            (None, None) => true,
        };
        if !fits && let Some(due) = self.at(now) {
            self.offset = due.since(pcr);
            self.reanchorings += u64::from(came.is_some());
        }
        let out = pcr.plus(self.offset);
        self.write(now, out);
        self.moved = Some((Sample { pcr: out, at: now }, reached));
        out
    }

    /// What leaves of a clock that stands still: what viewers go by does not stand, but it waits for pictures and sound,
    /// which would come too late for it ever after.
    fn standing(&self, now: Instant, reached: Option<Pts>) -> Option<Pcr> {
        let (written, (last, before)) = (self.written?, self.moved?);
        let passed = pcr_ticks(now - last.at);
        let streams = reached.zip(before).map(|(reached, before)| reached.since(before) * 300);
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

    fn pcr(millis: u64) -> Pcr {
        Pcr::from_ticks(millis * 27_000)
    }

    #[test]
    fn a_run_continues_the_clock_by_the_time_that_has_passed() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::from_millis(0), Some(pcr(7)), 0);
        assert_eq!(clock.restamp(Instant::from_millis(0), pcr(1000), false, None), pcr(1000));
        assert_eq!(clock.at(Instant::from_millis(350)), Some(pcr(1350)));
        clock.begin(Instant::from_millis(350), Some(pcr(50_000)), 0);
        assert_eq!(clock.restamp(Instant::from_millis(350), pcr(50_000), false, None), pcr(1351));
        assert_eq!(clock.restamp(Instant::from_millis(360), pcr(50_040), false, None), pcr(1391));
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
            ("a signalled jump", [(0, 1000, false), (40, 1040, false), (80, 1500, true)], 1080),
        ];
        for (name, samples, expected) in table {
            let mut clock = SessionClock::default();
            clock.begin(Instant::START, None, 0);
            let out = samples.map(|(at, ticks, signalled)| {
                clock.restamp(Instant::from_millis(at), pcr(ticks), signalled, None)
            });
            assert_eq!(out[2], pcr(*expected), "{name}");
        }
    }

    #[test]
    fn the_time_for_which_a_clock_stood_still_is_not_lost() {
        let mut clock = SessionClock::default();
        for at in 0..16 {
            clock.restamp(Instant::from_millis(at * 1000), pcr(5000), false, None);
        }
        assert_eq!(clock.at(Instant::from_millis(16_000)), Some(pcr(21_000)));
        let out = clock.restamp(Instant::from_millis(16_000), pcr(21_000), false, None);
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
            (160, 5080, 5160),
        ];
        for (at, came, left) in steps {
            assert_eq!(
                clock.restamp(Instant::from_millis(at), pcr(came), false, None),
                pcr(left),
                "at {at} ms"
            );
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
        clock.restamp(Instant::START, pcr(5000), false, at(0));
        for (passed, streams, left) in steps {
            let out = clock.restamp(Instant::from_millis(passed), pcr(5000), false, at(streams));
            assert_eq!(out, pcr(5000 + left), "after {passed} ms");
        }
        // It moves again, and the streams have left out what it has not.
        let out = clock.restamp(Instant::from_millis(8120), pcr(9120), false, at(4080));
        assert_eq!((out, clock.reanchorings()), (pcr(6000), 1));
    }

    #[test]
    fn the_wrap_is_no_step_back() {
        let mut clock = SessionClock::default();
        let before = Pcr::from_ticks(Pcr::MODULUS - 27_000);
        assert_eq!(clock.restamp(Instant::START, before, false, None), before);
        assert_eq!(clock.restamp(Instant::from_millis(2), pcr(1), false, None), pcr(1));
        assert_eq!(clock.reanchorings(), 0);
    }

    #[test]
    fn a_clock_nobody_announced_is_corrected_when_it_comes() {
        let mut clock = SessionClock::default();
        clock.restamp(Instant::START, pcr(1000), false, None);
        for (fallback, expected) in [(-27_000_000, 1100), (27_000_000 * 5, 1100), (270_000, 1110)] {
            let mut clock = SessionClock { written: clock.written, ..SessionClock::default() };
            clock.begin(Instant::from_millis(100), None, fallback);
            assert_eq!(clock.restamp(Instant::from_millis(100), pcr(1100), false, None), pcr(expected));
        }
    }

    #[test]
    fn a_second_clock_of_the_run_never_contradicts_the_first() {
        let mut clock = SessionClock::default();
        clock.begin(Instant::START, None, 27_000_000);
        clock.restamp(Instant::START, pcr(1000), false, None);
        let later = Instant::from_millis(50);
        assert_eq!(clock.restamp_foreign(later, pcr(1030)), pcr(2030));
        assert_eq!(clock.restamp_foreign(later, pcr(1)), pcr(2050));
        assert_eq!(clock.restamp_foreign(later, pcr(90_000)), pcr(2050));
    }
}
