//! How many bits a second: by arrival, and by the programme's clock.

use std::time::Duration;

use crate::base::Instant;
use crate::ts::{Pcr, PcrSample};

const SLOTS: usize = 16;
const SLOT: Duration = Duration::from_millis(250);
/// Less time than this is no measure: a source that has just been opened delivers what it had in store.
const MEASURED_MIN: Duration = Duration::from_secs(1);

/// The bits a second that arrived in the last four seconds.
#[derive(Clone, Debug)]
pub struct BitrateMeter {
    began: Instant,
    /// Bytes of each quarter of a second, the current one at `current % SLOTS`.
    bytes: [u64; SLOTS],
    current: u64,
}

impl BitrateMeter {
    /// A meter that begins now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { began: now, bytes: [0; SLOTS], current: 0 }
    }

    /// Bytes arrived.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.advance(now);
        self.bytes[slot(self.current)] += bytes;
    }

    /// The bits a second, rounded down; 0 when nothing came.
    pub fn bits_per_second(&mut self, now: Instant) -> u64 {
        self.advance(now);
        let first = (self.current + 1).saturating_sub(SLOTS as u64);
        let from = self.began + Duration::from_nanos(first.saturating_mul(slot_nanos()));
        let elapsed = now - from;
        if elapsed.is_zero() {
            return 0;
        }
        let bits = u128::from(self.bytes.iter().sum::<u64>()) * 8;
        let rate = bits * 1_000_000_000 / elapsed.max(MEASURED_MIN).as_nanos();
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    fn advance(&mut self, now: Instant) {
        let reached = (now.as_nanos().saturating_sub(self.began.as_nanos())) / slot_nanos();
        let passed = reached.saturating_sub(self.current).min(SLOTS as u64);
        for index in 1..=passed {
            self.bytes[slot(self.current + index)] = 0;
        }
        if passed == SLOTS as u64 {
            self.bytes = [0; SLOTS];
        }
        self.current = self.current.max(reached);
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).expect("less than the number of slots")
}

fn slot_nanos() -> u64 {
    u64::try_from(SLOT.as_nanos()).expect("a quarter of a second")
}

/// Samples of a clock further apart than this belong to different time bases: half a minute at the standard's
/// rate of samples would be three hundred of them.
const SAMPLE_TICKS_MAX: i64 = 5 * 27_000_000;
/// Clock time after which the rate is told.
const MEASURED_TICKS_MIN: u64 = 2 * Pcr::RATE;
/// Clock time after which what was measured counts half.
const HALVED_AFTER_TICKS: u64 = 60 * Pcr::RATE;

/// The bits of a second of the programme's own time, whatever the speed at which they come.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockRate {
    last: Option<PcrSample>,
    ticks: u64,
    bytes: u64,
}

impl ClockRate {
    /// The last sample of the clock, after each read.
    pub fn observe(&mut self, sample: PcrSample) {
        let Some(before) = self.last.replace(sample) else { return };
        let ticks = sample.pcr.since(before.pcr);
        let Some(bytes) = sample.position.checked_sub(before.position) else { return };
        if (1..=SAMPLE_TICKS_MAX).contains(&ticks) {
            self.ticks += ticks.unsigned_abs();
            self.bytes += bytes;
        }
        if self.ticks > HALVED_AFTER_TICKS {
            self.ticks /= 2;
            self.bytes /= 2;
        }
    }

    /// The bits a second, rounded down; 0 until two seconds were measured.
    #[must_use]
    pub fn bits_per_second(&self) -> u64 {
        if self.ticks < MEASURED_TICKS_MIN {
            return 0;
        }
        let rate = u128::from(self.bytes) * 8 * u128::from(Pcr::RATE) / u128::from(self.ticks);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn half_a_megabyte_in_two_seconds_is_two_megabits() {
        let mut meter = BitrateMeter::new(at(7000));
        assert_eq!(meter.bits_per_second(at(7000)), 0);
        meter.add(at(7000), 500_000);
        assert_eq!(meter.bits_per_second(at(7000)), 0, "no time has passed");
        assert_eq!(meter.bits_per_second(at(7010)), 4_000_000, "a first burst is not taken for a rate");
        assert_eq!(meter.bits_per_second(at(9000)), 2_000_000);
    }

    #[test]
    fn the_rate_is_the_current_one() {
        let mut meter = BitrateMeter::new(at(0));
        for step in 0..100 {
            meter.add(at(step * 100), 100_000);
        }
        assert!((7_800_000..8_200_000).contains(&meter.bits_per_second(at(10_000))));
        for step in 100..140 {
            meter.add(at(step * 100), 12_500);
        }
        assert!((950_000..1_100_000).contains(&meter.bits_per_second(at(14_000))));
        assert!((1..1_000_000).contains(&meter.bits_per_second(at(16_000))));
        assert_eq!(meter.bits_per_second(at(18_000)), 0);
        assert_eq!(meter.bits_per_second(at(90_000)), 0);
    }

    #[test]
    fn a_clock_that_goes_back_costs_one_measure_only() {
        let mut rate = ClockRate::default();
        let mut start = Pcr::from_ticks(Pcr::MODULUS - Pcr::RATE);
        for step in 0..200i64 {
            if step == 100 {
                start = Pcr::from_ticks(Pcr::MODULUS / 2);
            }
            let pcr = start.plus(step * 2_700_000);
            rate.observe(PcrSample { pcr, position: u64::try_from(step).unwrap() * 50_000 });
            assert_eq!(rate.bits_per_second(), if step < 20 { 0 } else { 4_000_000 }, "sample {step}");
        }
    }

    #[test]
    fn a_changed_rate_is_followed_within_minutes() {
        let mut rate = ClockRate::default();
        let mut position = 0;
        for step in 0..6000 {
            position += if step < 3000 { 100_000 } else { 50_000 };
            rate.observe(PcrSample { pcr: Pcr::from_ticks(step * 2_700_000), position });
        }
        assert!((4_000_000..4_100_000).contains(&rate.bits_per_second()), "{}", rate.bits_per_second());
    }

    #[test]
    fn a_sample_seen_twice_is_one() {
        let mut rate = ClockRate::default();
        for step in [0, 0, 30, 30, 60] {
            rate.observe(PcrSample { pcr: Pcr::from_ticks(step * 2_700_000), position: step * 1000 });
        }
        assert_eq!(rate.bits_per_second(), 80_000);
    }
}
