//! The frame rate of pictures whose headers do not tell it, by their decoding times.

use crate::ts::Pts;
use crate::ts::es::FrameRate;

/// Distances that are measured.
const DISTANCES: usize = 30;
/// Pictures after which a stream that stamps few of them is given up.
const PICTURES_MAX: u32 = 150;
/// Rates that streams have. Time stamps are rounded to 1/90000 s.
const COMMON: &[(u32, u32)] =
    &[(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];
/// How far a measured rate may be from a common one, as a part of it: half the way from 59.94 to 60.
const TOLERANCE: f64 = 0.0005;
/// Slower than this it is not pictures that are stamped, but groups of them.
const RATE_MIN: f64 = 10.0;
/// From this rate on pictures that may be fields are fields.
const FIELDS_MIN: f64 = 40.0;

/// Collects the decoding times of a stream's first pictures.
#[derive(Clone, Debug, Default)]
pub(super) struct Cadence {
    last: Option<Pts>,
    distances: [u32; DISTANCES],
    used: usize,
    pictures: u32,
}

impl Cadence {
    /// A picture begins, decoded at this time.
    pub(super) fn picture(&mut self, time: Option<Pts>) {
        self.pictures = self.pictures.saturating_add(1);
        let Some(time) = time else { return };
        let Some(before) = self.last.replace(time) else { return };
        // Steps back and holes are not distances of pictures.
        if let Some(distance) =
            u32::try_from(time.since(before)).ok().filter(|ticks| (1..=90_000).contains(ticks))
            && self.used < DISTANCES
        {
            self.distances[self.used] = distance;
            self.used += 1;
        }
    }

    /// Bytes are missing, and pictures may be.
    pub(super) const fn lose(&mut self) {
        self.last = None;
    }

    pub(super) const fn is_done(&self) -> bool {
        self.used == DISTANCES || self.pictures >= PICTURES_MAX
    }

    /// The rate, once enough pictures were seen.
    pub(super) fn rate(&self, may_be_fields: bool) -> Option<FrameRate> {
        if self.used < DISTANCES {
            return None;
        }
        let mut distances = self.distances;
        distances.sort_unstable();
        // Of the middle third, since a rate of 59.94 alternates between 1501 and 1502.
        let middle = &distances[DISTANCES / 3..DISTANCES - DISTANCES / 3];
        let sum: u32 = middle.iter().sum();
        let count = u32::try_from(middle.len()).expect("a third of thirty");
        let measured = 90_000.0 * f64::from(count) / f64::from(sum);
        if measured < RATE_MIN {
            return None;
        }
        let common = COMMON
            .iter()
            .map(|(num, den)| (*num, *den, (f64::from(*num) / f64::from(*den) / measured - 1.0).abs()))
            .filter(|(_, _, error)| *error < TOLERANCE)
            .min_by(|a, b| a.2.total_cmp(&b.2));
        let (num, den) = common.map_or((90_000 * u64::from(count), u64::from(sum)), |(num, den, _)| {
            (u64::from(num), u64::from(den))
        });
        FrameRate::new(num, if may_be_fields && measured > FIELDS_MIN { den * 2 } else { den })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate of pictures shown at whole ticks of the 90 kHz clock, which wraps among them.
    fn rate_of(num: u64, den: u64, may_be_fields: bool) -> Option<(u32, u32)> {
        let mut cadence = Cadence::default();
        for picture in 0..=30u64 {
            assert_eq!(cadence.rate(may_be_fields), None);
            let ticks = picture * 90_000 * den / num;
            cadence.picture(Some(Pts::from_ticks(Pts::MODULUS - 20_000 + ticks)));
        }
        assert!(cadence.is_done());
        cadence.rate(may_be_fields).map(|rate| (rate.num, rate.den))
    }

    #[test]
    fn common_rates_are_recognised_and_others_are_measured() {
        for (num, den) in COMMON {
            assert_eq!(rate_of(u64::from(*num), u64::from(*den), false), Some((*num, *den)));
        }
        assert_eq!(rate_of(15, 1, false), Some((15, 1)));
        assert_eq!(rate_of(50, 1, true), Some((25, 1)), "each picture is a field");
        assert_eq!(rate_of(60_000, 1001, true), Some((30_000, 1001)));
        assert_eq!(rate_of(25, 1, true), Some((25, 1)));
        assert_eq!(rate_of(2, 1, false), None, "groups of pictures are stamped");
    }

    #[test]
    fn holes_and_steps_back_do_not_count() {
        let mut cadence = Cadence::default();
        let mut ticks = 0;
        for picture in 0..50u64 {
            ticks += match picture {
                10 => 900_000,
                20 => Pts::MODULUS - 300_000,
                30 => 7200,
                _ => 3600,
            };
            if picture == 40 {
                cadence.lose();
            }
            cadence.picture(Some(Pts::from_ticks(ticks)));
        }
        assert_eq!(cadence.rate(false), FrameRate::new(25, 1));
    }

    #[test]
    fn a_stream_without_times_is_given_up() {
        let mut cadence = Cadence::default();
        for _ in 0..PICTURES_MAX {
            assert!(!cadence.is_done());
            cadence.picture(None);
        }
        assert!(cadence.is_done());
        assert_eq!(cadence.rate(false), None);
    }
}
