//! Numbers as ffmpeg's command line takes them.

use std::time::Duration;

/// The shortest decimal without an exponent: `1`, `1.25`. Rust prints floating point numbers that way.
pub(super) fn decimal(number: f64) -> String {
    format!("{number}")
}

/// Whole seconds, rounded up.
pub(super) fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Whole microseconds, rounded up.
pub(super) fn micros_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// Seconds with exactly six decimals, rounded to the nearest.
pub(super) fn seconds_with_micros(duration: Duration) -> String {
    let micros = (duration.as_nanos() + 500) / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_short_and_have_no_exponent() {
        for (number, expected) in [
            (1.0, "1"),
            (1.25, "1.25"),
            (1.75, "1.75"),
            (0.1, "0.1"),
            (10.0, "10"),
            (1e-7, "0.0000001"),
            (1e21, "1000000000000000000000"),
        ] {
            assert_eq!(decimal(number), expected);
        }
    }

    #[test]
    fn seconds_and_microseconds_round_up() {
        for (millis, expected) in [(0, 0), (1, 1), (1500, 2), (2000, 2), (2001, 3)] {
            assert_eq!(seconds_up(Duration::from_millis(millis)), expected, "{millis} ms");
        }
        for (nanos, expected) in [(0, 0), (1, 1), (1000, 1), (1500, 2), (200_000_000, 200_000)] {
            assert_eq!(micros_up(Duration::from_nanos(nanos)), expected, "{nanos} ns");
        }
        assert_eq!(micros_up(Duration::MAX), u64::MAX);
    }

    #[test]
    fn offsets_have_six_decimals() {
        for (nanos, expected) in
            [(90_001_234_600, "90.001235"), (400, "0.000000"), (500, "0.000001"), (999_999_999, "1.000000")]
        {
            assert_eq!(seconds_with_micros(Duration::from_nanos(nanos)), expected, "{nanos} ns");
        }
    }
}
