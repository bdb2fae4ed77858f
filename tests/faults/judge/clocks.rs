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
            if self.time(ahead) > allowed {
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
    std::iter::once(0).chain(further).map(|begin| advance_from(&walk.pcrs[begin..])).sum()
}

fn advance_from(pcrs: &[Point]) -> Duration {
    let Some(first) = pcrs.first() else { return Duration::ZERO };
    let at_start = pcrs.iter().take_while(|point| point.arrived <= first.arrived + START);
    let leads = at_start.map(|point| {
        let media = u64::try_from(ahead(first.ticks, point.ticks, PCR_WRAP)).unwrap_or(0);
        Duration::from_nanos(media * 1000 / 27).saturating_sub(point.arrived - first.arrived)
    });
    leads.max().unwrap_or_default()
}
