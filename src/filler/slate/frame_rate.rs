//! How many pictures a second a slate has.

use crate::ts::es::FrameRate;

/// Nothing is known of the frame rate: that of NTSC.
const UNKNOWN: FrameRate = FrameRate { num: 30_000, den: 1001 };
/// The rates that are thousandths of a whole one slower, by their usual short form in thousandths.
const SLOWED: [(u32, FrameRate); 3] = [
    (23_976, FrameRate { num: 24_000, den: 1001 }),
    (29_970, UNKNOWN),
    (59_940, FrameRate { num: 60_000, den: 1001 }),
];
/// How far from those a rate may be said to be one of them, in thousandths.
const SLOWED_TOLERANCE: u32 = 20;
/// How far from a whole number a rate is one, in thousandths.
const WHOLE_TOLERANCE: u32 = 10;
/// A slate is no slide show and no slow motion.
const THOUSANDTHS: std::ops::RangeInclusive<u32> = 1_000..=120_000;
/// Key frame distances.
const GOP: std::ops::RangeInclusive<u64> = 24..=120;

/// The rates MPEG-2 video can say without extension.
const MPEG2: [FrameRate; 8] = [
    FrameRate { num: 24_000, den: 1001 },
    FrameRate { num: 24, den: 1 },
    FrameRate { num: 25, den: 1 },
    UNKNOWN,
    FrameRate { num: 30, den: 1 },
    FrameRate { num: 50, den: 1 },
    FrameRate { num: 60_000, den: 1001 },
    FrameRate { num: 60, den: 1 },
];

/// The exact rate behind a number that somebody has rounded. What is no rate for a picture counts as unknown.
#[must_use]
pub(super) fn of_hertz(hertz: f64) -> FrameRate {
    // Through its decimal form, where rounding is what one expects and nothing overflows.
    let Ok(thousandths) = format!("{hertz:.3}").replace('.', "").parse::<u32>() else { return UNKNOWN };
    if !THOUSANDTHS.contains(&thousandths) {
        return UNKNOWN;
    }
    if let Some((_, rate)) = SLOWED.iter().find(|(short, _)| short.abs_diff(thousandths) <= SLOWED_TOLERANCE)
    {
        return *rate;
    }
    let whole = (thousandths + 500) / 1000;
    if (whole * 1000).abs_diff(thousandths) <= WHOLE_TOLERANCE {
        return FrameRate { num: whole, den: 1 };
    }
    FrameRate { num: (thousandths + 5) / 10, den: 100 }
}

/// The nearest rate that MPEG-2 video has.
#[must_use]
pub(super) fn nearest_of_mpeg2(rate: FrameRate) -> FrameRate {
    let millionths = |rate: FrameRate| u64::from(rate.num) * 1_000_000 / u64::from(rate.den);
    let own = millionths(rate);
    MPEG2.into_iter().min_by_key(|rate| millionths(*rate).abs_diff(own)).expect("the list is not empty")
}

/// Pictures from one entry point to the next: two seconds, within reason.
#[must_use]
pub(super) fn gop(rate: FrameRate) -> u32 {
    let den = u64::from(rate.den);
    let pictures = (4 * u64::from(rate.num) + den) / (2 * den);
    u32::try_from(pictures.clamp(*GOP.start(), *GOP.end())).expect("it is at most 120")
}

/// The rate at which decoding times in ticks of 90 kHz were rounded to what they are, or none when they are
/// not evenly spaced.
#[must_use]
pub(super) fn of_times(times: &[u64]) -> Option<FrameRate> {
    let (first, last) = (*times.first()?, *times.last()?);
    let intervals = u32::try_from(times.len()).ok()?.checked_sub(1).filter(|intervals| *intervals > 0)?;
    let span = u32::try_from(last.checked_sub(first)?).ok().filter(|span| *span > 0)?;
    let measured = FrameRate { num: intervals.checked_mul(90_000)?, den: span };
    [of_hertz(measured.as_f64()), measured].into_iter().find(|rate| {
        times.iter().zip(0u64..).all(|(time, number)| {
            time.checked_sub(first).is_some_and(|time| time.abs_diff(rate.ticks(number, 90_000)) <= 1)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_rate_becomes_the_exact_one_it_was_meant_to_be() {
        for (hertz, text) in [
            (0.0, "30000/1001"),
            (-5.0, "30000/1001"),
            (f64::NAN, "30000/1001"),
            (f64::INFINITY, "30000/1001"),
            (0.3, "30000/1001"),
            (1e9, "30000/1001"),
            (23.976, "24000/1001"),
            (23.98, "24000/1001"),
            (24.0, "24"),
            (25.0, "25"),
            (24.995, "25"),
            (29.97, "30000/1001"),
            (29.99, "30000/1001"),
            (30.0, "30"),
            (50.0, "50"),
            (59.94, "60000/1001"),
            (60.0, "60"),
            (60.02, "60.02"),
            (12.5, "12.5"),
        ] {
            assert_eq!(of_hertz(hertz).to_string(), text, "{hertz}");
        }
    }

    #[test]
    fn entry_points_are_two_seconds_apart_but_within_24_and_120_pictures() {
        for (hertz, expected) in
            [(0.0, 60), (5.0, 24), (12.5, 25), (25.0, 50), (29.97, 60), (59.94, 120), (100.0, 120)]
        {
            assert_eq!(gop(of_hertz(hertz)), expected, "{hertz}");
        }
    }

    #[test]
    fn the_rate_is_found_behind_rounded_times() {
        for rate in [of_hertz(59.94), of_hertz(23.976), of_hertz(25.0), of_hertz(12.5)] {
            for count in [2, 24, 120] {
                let times: Vec<_> = (0..count).map(|number| 126_000 + rate.ticks(number, 90_000)).collect();
                let found = of_times(&times).unwrap();
                let drift = found.ticks(count, 90_000).abs_diff(rate.ticks(count, 90_000));
                assert!(drift <= 1, "{rate}, {count} pictures: {found}");
                assert!(count < 24 || found == rate, "{rate}, {count} pictures: {found}");
            }
        }
        assert_eq!(of_times(&[]), None);
        assert_eq!(of_times(&[7]), None);
        assert_eq!(of_times(&[7, 7]), None);
        assert_eq!(of_times(&[9, 7]), None);
        assert_eq!(of_times(&[0, 3600, 9000, 10_800]), None);
    }

    #[test]
    fn mpeg2_video_gets_the_nearest_of_its_rates() {
        for (hertz, text) in
            [(12.5, "24000/1001"), (25.0, "25"), (29.0, "30000/1001"), (48.0, "50"), (100.0, "60")]
        {
            assert_eq!(nearest_of_mpeg2(of_hertz(hertz)).to_string(), text, "{hertz}");
        }
    }
}
