//! Whether the clocks of a recording go as time does.

use std::time::Duration;

use super::walk::{Point, Walk};
use super::{Finding, Rules, Wrong, at_point};
use crate::tsview::{PCR_WRAP, PTS_WRAP, ahead};

/// Steps on either side that say how long a step of this clock is.
const NEIGHBOURS: usize = 8;

/// What is sent in advance at a start is sent within this time.
const START: Duration = Duration::from_secs(2);

/// A clock of the stream: how it counts, and what is wrong with it when it goes wrong.
struct Clock<'a> {
    name: String,
    points: &'a [Point],
    wrap: u64,
    ticks_per_ms: u64,
    /// Two packets of one stream are never decoded at the same time; a PCR may be repeated.
    may_stand: bool,
    back: Wrong,
    jump: Wrong,
}

pub(super) fn check(walk: &Walk, rules: &Rules) -> Vec<Finding> {
    let pcr = Clock {
        name: "the PCR".to_owned(),
        points: &walk.pcrs,
        wrap: PCR_WRAP,
        ticks_per_ms: 27_000,
        may_stand: true,
        back: Wrong::PcrBack,
        jump: Wrong::PcrJump,
    };
    let stamps = walk.stamps.iter().map(|(pid, points)| Clock {
        name: format!("PID {pid:#x}"),
        points,
        wrap: PTS_WRAP,
        ticks_per_ms: 90,
        may_stand: false,
        back: Wrong::TimeBack,
        jump: Wrong::TimeJump,
    });
    std::iter::once(pcr).chain(stamps).flat_map(|clock| clock.check(walk.opened, rules)).collect()
}

impl Clock<'_> {
    fn check(&self, opened: Duration, rules: &Rules) -> Vec<Finding> {
        let steps: Vec<i64> =
            self.points.windows(2).map(|pair| ahead(pair[0].ticks, pair[1].ticks, self.wrap)).collect();
        let mut findings = Vec::new();
        for (index, pair) in self.points.windows(2).enumerate() {
            let step = steps[index];
            let waited = pair[1].arrived.saturating_sub(pair[0].arrived);
            let name = &self.name;
            let Ok(ahead) = u64::try_from(step) else {
                let text = format!("{name} steps back by {} ms", self.millis(step.unsigned_abs()));
                findings.push(at_point(self.back, &pair[1], opened, text));
                continue;
            };
            if ahead == 0 && !self.may_stand {
                findings.push(at_point(self.back, &pair[1], opened, format!("{name} stands still")));
            }
            let usual = self.usual(&steps, index);
            let allowed = usual.max(waited) + rules.jump + rules.batching;
            if self.time(ahead) > allowed && !self.has_waited(index + 1, usual, rules) {
                let text = format!(
                    "{name} steps {} ms ahead; {} ms is usual, and {} ms have passed",
                    self.millis(ahead),
                    usual.as_millis(),
                    waited.as_millis()
                );
                findings.push(at_point(self.jump, &pair[1], opened, text));
            }
        }
        findings
    }

    /// Whether the clock at this point is further than at one shortly before by no more than the time in between: what was waited for
    /// has come together.
    fn has_waited(&self, index: usize, usual: Duration, rules: &Rules) -> bool {
        let here = &self.points[index];
        self.points[index.saturating_sub(NEIGHBOURS)..index].iter().any(|before| {
            let waited = here.arrived.saturating_sub(before.arrived);
            let step = u64::try_from(ahead(before.ticks, here.ticks, self.wrap));
            step.is_ok_and(|step| self.time(step) <= usual.max(waited) + rules.jump + rules.batching)
        })
    }

    fn millis(&self, ticks: u64) -> u64 {
        ticks / self.ticks_per_ms
    }

    fn time(&self, ticks: u64) -> Duration {
        Duration::from_micros(ticks * 1000 / self.ticks_per_ms)
    }

    /// How long a step is here: a stream may hold its packets of sound together, and another not.
    fn usual(&self, steps: &[i64], index: usize) -> Duration {
        let before = &steps[index.saturating_sub(NEIGHBOURS)..index];
        let after = &steps[(index + 1).min(steps.len())..(index + 1 + NEIGHBOURS).min(steps.len())];
        let ticks = median(before).max(median(after));
        self.time(u64::try_from(ticks).unwrap_or(0))
    }
}

fn median(steps: &[i64]) -> i64 {
    let mut steps = steps.to_vec();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(0)
}

/// How much more of the stream's time than of real time comes where the sources begin: at the start, and where the clock says that it
/// is another one when a further source has begun to send.
pub(super) fn advance(walk: &Walk, rules: &Rules) -> Duration {
    let further = rules.further.iter().flatten().filter_map(|began| {
        let position = walk.breaks.iter().find(|point| point.arrived > *began)?.position;
        Some(walk.pcrs.partition_point(|point| point.position < position))
    });
    std::iter::once(0).chain(further).map(|begin| advance_from(walk, begin, rules.catches_up)).sum()
}

fn advance_from(walk: &Walk, begin: usize, catches_up: bool) -> Duration {
    let Some(first) = walk.pcrs.get(begin) else { return Duration::ZERO };
    let breaks = walk.breaks.iter().map(|point| point.position);
    let end = breaks.filter(|position| *position > first.position).min().unwrap_or(usize::MAX);
    let of_run = walk.pcrs[begin..].iter().take_while(|point| point.position < end);
    let at_start = of_run.take_while(|point| catches_up || point.arrived <= first.arrived + START);
    at_start.map(|point| lead(first, point)).max().map_or(Duration::ZERO, micros)
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// By how much more than time, in microseconds, the clock has gone on from one point to another.
fn lead(from: &Point, to: &Point) -> i64 {
    let passed = i64::try_from((to.arrived - from.arrived).as_micros()).unwrap_or(i64::MAX);
    ahead(from.ticks, to.ticks, PCR_WRAP) / 27 - passed
}

/// How much of what has come by then a viewer that plays from the first byte on has left to play.
pub(super) fn stored(walk: &Walk, by: Duration) -> Duration {
    let Some(first) = walk.pcrs.first() else { return Duration::ZERO };
    let mut least = 0;
    let mut last = 0;
    for point in walk.pcrs.iter().take_while(|point| point.arrived <= by) {
        last = lead(first, point);
        least = least.min(last);
    }
    micros(last - least)
}
