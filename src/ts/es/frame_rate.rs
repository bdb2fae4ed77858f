//! How many pictures a second, exactly.

use std::fmt;

/// A frame rate as a fraction. Neither part is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameRate {
    /// Frames in `den` seconds.
    pub num: u32,
    /// Seconds of `num` frames.
    pub den: u32,
}

impl FrameRate {
    /// The reduced fraction, when it is one that pictures are shown at. Streams of variable rate name the ticks of
    /// their clock instead, some of them 90000 in a second.
    #[must_use]
    pub fn new(num: u64, den: u64) -> Option<Self> {
        let divisor = gcd(num, den);
        let rate = Self {
            num: u32::try_from(num.checked_div(divisor)?).ok()?,
            den: u32::try_from(den.checked_div(divisor)?).ok()?,
        };
        (rate.num > 0 && rate.den > 0 && (1.0..=300.0).contains(&rate.as_f64())).then_some(rate)
    }

    /// The simplest fraction that is this number, as databases and ffprobe have rates. `None` for what is none.
    #[must_use]
    pub fn of_f64(rate: f64) -> Option<Self> {
        let (mut before, mut found) = ((0_u32, 1_u32), (1_u32, 0_u32));
        let mut rest = rate;
        // Each step of the continued fraction makes the denominator larger; a float has no room for 40.
        for _ in 0..40 {
            if !(0.0..=f64::from(u32::MAX)).contains(&rest) {
                break;
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within u32")]
            let whole = rest.floor() as u32;
            let next = |last: u32, older: u32| whole.checked_mul(last)?.checked_add(older);
            let Some(fraction) = next(found.0, before.0).zip(next(found.1, before.1)) else { break };
            (before, found) = (found, fraction);
            if f64::from(found.0) / f64::from(found.1) == rate {
                break;
            }
            rest = (rest - f64::from(whole)).recip();
        }
        let (num, den) = found;
        (num > 0 && den > 0).then_some(Self { num, den })
    }

    /// Frames in a second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// When picture `number` is due, in ticks of a clock of `rate`. Counted from zero each time, so no error grows.
    #[must_use]
    pub fn ticks(self, number: u64, rate: u64) -> u64 {
        let ticks = u128::from(number) * u128::from(rate) * u128::from(self.den) / u128::from(self.num);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// As ffmpeg reads it: a fraction, a whole number, or two decimals at most.
impl fmt::Display for FrameRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.den {
            1 => write!(formatter, "{}", self.num),
            100 => {
                let text = format!("{}.{:02}", self.num / 100, self.num % 100);
                formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
            den => write!(formatter, "{}/{den}", self.num),
        }
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_reduced_fraction_that_a_viewer_could_see() {
        for (num, den, expected) in [
            (60_000, 2002, Some((30_000, 1001))),
            (50, 2, Some((25, 1))),
            (300, 1, Some((300, 1))),
            (301, 1, None),
            (1, 2, None),
            (90_000, 1, None),
            (0, 5, None),
            (5, 0, None),
            (0, 0, None),
            (u64::MAX, u64::MAX - 1, None),
        ] {
            let found = FrameRate::new(num, den).map(|rate| (rate.num, rate.den));
            assert_eq!(found, expected, "{num}/{den}");
        }
    }

    #[test]
    fn a_number_is_the_simplest_fraction_that_gives_it_back() {
        for (rate, expected) in [
            (25.0, Some((25, 1))),
            (12.5, Some((25, 2))),
            (29.97, Some((2997, 100))),
            (30_000.0 / 1001.0, Some((30_000, 1001))),
            (24_000.0 / 1001.0, Some((24_000, 1001))),
            (60_000.0 / 1001.0, Some((60_000, 1001))),
            (90_000.0 * 10.0 / 59_999.0, Some((900_000, 59_999))),
            (90_000.0, Some((90_000, 1))),
            (0.3, Some((3, 10))),
            (0.0, None),
            (-25.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (1e300, None),
            (1e-300, None),
        ] {
            let found = FrameRate::of_f64(rate);
            assert_eq!(found.map(|rate| (rate.num, rate.den)), expected, "{rate}");
            assert!(found.is_none_or(|found| found.as_f64() == rate), "{rate}");
        }
    }

    #[test]
    fn any_number_of_pictures_is_met_closely() {
        for step in 1..2000_u32 {
            let rate = f64::from(step).sqrt() * 7.0;
            let found = FrameRate::of_f64(rate).unwrap();
            assert!((found.as_f64() - rate).abs() < 1e-9, "{rate} {found:?}");
        }
    }
}
