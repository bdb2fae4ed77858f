//! The programme's clock between its samples.

use crate::ts::clock_ref::Pcr;

/// Samples further apart than this tell nothing about the rate (the standard wants one every 0.1 s).
const SPAN_TICKS_MAX: i64 = 27_000_000;

/// A sample of the programme's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PcrSample {
    /// The clock.
    pub pcr: Pcr,
    /// The position of the packet that carried it.
    pub position: u64,
}

/// The last two samples, unless the time base changed between them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PcrClock {
    last: Option<PcrSample>,
    before: Option<PcrSample>,
}

impl PcrClock {
    pub(crate) fn observe(&mut self, sample: PcrSample, discontinuity: bool) {
        self.before = if discontinuity { None } else { self.last };
        self.last = Some(sample);
    }

    pub(crate) const fn last(&self) -> Option<PcrSample> {
        self.last
    }

    /// The clock at a position behind the last sample: at the rate between the last two, or the last sample
    /// itself when they tell no rate.
    pub(crate) fn at(&self, position: u64) -> Option<Pcr> {
        let last = self.last?;
        Some(self.ticks_since(last, position).map_or(last.pcr, |ticks| last.pcr.plus(ticks)))
    }

    fn ticks_since(&self, last: PcrSample, position: u64) -> Option<i64> {
        let before = self.before?;
        let ticks = last.pcr.since(before.pcr);
        let bytes = last.position.checked_sub(before.position).filter(|bytes| *bytes > 0)?;
        let ahead = position.checked_sub(last.position)?;
        if !(0..=SPAN_TICKS_MAX).contains(&ticks) {
            return None;
        }
        let ticks = i128::from(ahead) * i128::from(ticks) / i128::from(bytes);
        i64::try_from(ticks).ok().filter(|ticks| *ticks <= SPAN_TICKS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(samples: &[(u64, u64, bool)]) -> PcrClock {
        let mut clock = PcrClock::default();
        for (ticks, position, discontinuity) in samples {
            clock.observe(PcrSample { pcr: Pcr::from_ticks(*ticks), position: *position }, *discontinuity);
        }
        clock
    }

    #[test]
    fn the_clock_runs_on_at_the_last_rate() {
        type Case = (&'static str, &'static [(u64, u64, bool)], u64, Option<u64>);
        let table: &[Case] = &[
            ("nothing known", &[], 9, None),
            ("one sample", &[(500, 0, false)], 1880, Some(500)),
            ("a rate", &[(0, 0, false), (1000, 1880, false)], 2820, Some(1500)),
            ("over the wrap", &[(Pcr::MODULUS - 1000, 0, false), (0, 1000, false)], 1500, Some(500)),
            ("a new time base", &[(0, 0, false), (1000, 1880, true)], 2820, Some(1000)),
            ("an unsignalled step back", &[(5000, 0, false), (1000, 1880, false)], 2820, Some(1000)),
            ("samples too far apart", &[(0, 0, false), (27_000_001, 1880, false)], 2820, Some(27_000_001)),
        ];
        for (name, samples, position, expected) in table {
            assert_eq!(clock(samples).at(*position), expected.map(Pcr::from_ticks), "{name}");
        }
    }
}
