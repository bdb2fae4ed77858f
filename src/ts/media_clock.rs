//! How much programme the times of a stream tell of.

use std::time::Duration;

use crate::ts::clock_ref::Pts;

/// What steps further than this begins a new timeline: no picture is shown for so long. 15 s.
const STEP_TICKS_MAX: i64 = 15 * Pts::RATE.cast_signed();
/// What steps back by less than this comes in another order than it is shown. 1 s.
const REORDER_TICKS_MAX: i64 = Pts::RATE.cast_signed();
/// A step that is more than twice as long as the one beside it is a hole, or a joint, from here on. 1 s.
const EVEN_STEP_TICKS: i64 = Pts::RATE.cast_signed();

/// Adds up the programme that lies between the times of a stream, whatever happens to its time base.
///
/// What counts is how far the furthest time moves. A jump counts as no more than two of the stream's usual steps: a joint,
/// or a hole where something was lost, brings nothing to show. The first step of all is believed until the second: when
/// that tells that it was a hole, the programme so far is less than it was said to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MediaClock {
    furthest: Option<Pts>,
    last: Option<Pts>,
    /// Ticks gone forward since the furthest time moved.
    walked: i64,
    /// The last step of the furthest time.
    step: Option<i64>,
    /// That was the first.
    is_first_step: bool,
    total: i64,
}

impl MediaClock {
    /// The stream's next time. True when it is a new one: what is sent again and again moves nothing.
    pub(crate) fn at(&mut self, time: Pts) -> bool {
        let stepped = self.last.map_or(0, |last| time.since(last));
        self.last = Some(time);
        let Some(furthest) = self.furthest else {
            self.furthest = Some(time);
            return true;
        };
        let ahead = time.since(furthest);
        if (-REORDER_TICKS_MAX..=0).contains(&ahead) {
            // A loop shorter than the patience with reordering moves on as well.
            self.walked += stepped.max(0);
            if self.walked <= REORDER_TICKS_MAX {
                return false;
            }
        } else if (1..=STEP_TICKS_MAX).contains(&ahead) {
            if let Some(before) = self.step.filter(|_| self.is_first_step) {
                self.total -= before - shown(before, ahead);
            }
            let more = self.step.map_or(ahead, |before| shown(ahead, before));
            self.total = self.total.saturating_add(more);
            self.is_first_step = self.step.replace(ahead).is_none();
        }
        self.furthest = Some(time);
        self.walked = 0;
        true
    }

    /// The programme so far; none while nothing has told a time.
    pub(crate) fn media(&self) -> Option<Duration> {
        self.furthest?;
        let nanos = self.total.unsigned_abs().saturating_mul(1_000_000) / (Pts::RATE / 1000);
        Some(Duration::from_nanos(nanos))
    }
}

/// How much of a step there is to show, by another that is next to it.
fn shown(step: i64, other: i64) -> i64 {
    let usual = 2 * other;
    if step <= usual.max(EVEN_STEP_TICKS) { step } else { usual }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The programme that times tell of, and how many of them are new; all in milliseconds.
    fn told(times: impl IntoIterator<Item = i64>) -> (u128, usize) {
        let mut clock = MediaClock::default();
        // So near the end that it wraps soon.
        let start = Pts::from_ticks(Pts::MODULUS - 90_000);
        let new = times.into_iter().filter(|millis| clock.at(start.plus(millis * 90))).count();
        (clock.media().unwrap_or_default().as_millis(), new)
    }

    #[test]
    fn times_tell_of_as_much_programme_as_lies_between_them() {
        let frames = |range: std::ops::Range<i64>| range.map(|frame| frame * 40);
        type Case = (&'static str, Vec<i64>, u128, usize);
        let table: Vec<Case> = vec![
            ("nothing", vec![], 0, 0),
            ("one picture", vec![0], 0, 1),
            ("25 pictures a second, over the wrap", frames(0..101).collect(), 4000, 101),
            ("a picture every ten seconds", (0..7).map(|n| n * 10_000).collect(), 60_000, 7),
            ("one that is shown before the one in front", vec![0, 120, 40, 80, 240, 160, 200], 240, 3),
            ("one time for ever", vec![500; 9000], 0, 1),
            ("two times in turn", [0, 40].into_iter().cycle().take(8).collect(), 40, 2),
            // Neither a joint nor a hole has anything to show.
            ("an hour ahead", frames(0..51).chain((0..51).map(|n| 3_600_000 + n * 40)).collect(), 4000, 102),
            ("an hour back", frames(0..51).chain((0..51).map(|n| n * 40 - 3_600_000)).collect(), 4000, 102),
            ("eight seconds lost", frames(0..51).chain(frames(250..301)).collect(), 4080, 102),
            ("lost behind the first", std::iter::once(0).chain(frames(200..251)).collect(), 2080, 52),
            ("as much behind the first, and no more has come", vec![0, 8000], 8000, 2),
            ("one picture of six seconds, then steady ones", vec![0, 6000, 6900], 2700, 3),
            ("slow ones that become slower", vec![0, 3000, 8000, 18_000], 18_000, 4),
            ("no two steps are alike", vec![0, 400, 1600, 2000, 3200], 2400, 5),
            ("a loop of two seconds", frames(0..50).cycle().take(500).collect(), 10 * 1960, 500),
        ];
        for (name, times, media, new) in table {
            assert_eq!(told(times), (media, new), "{name}");
        }
    }

    #[test]
    fn a_loop_shorter_than_the_patience_with_reordering_goes_on() {
        let (media, new) = told((0..10).map(|frame| frame * 40).cycle().take(2500));
        assert!((2_000..100_000).contains(&media), "{media} ms of 100 s");
        assert!(new > 100, "something new within every second: {new}");
    }
}
