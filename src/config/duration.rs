//! Durations as Go writes them: `1h2m3.5s`, `250ms`, `20µs`, `0`.
//!
//! The environment files of existing installations are full of them, so the grammar is Go's to the letter,
//! except that a setting has no use for a negative one.

use std::fmt::Write as _;
use std::time::Duration;

use thiserror::Error;

/// The longest duration there is, Go's: a signed 64-bit count of nanoseconds, about 292 years.
const DURATION_MAX: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    // The Greek letter mu looks the same as the micro sign above and is typed as often.
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
];

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// There is nothing, or only a sign.
    #[error("is empty")]
    Empty,
    /// A number was expected.
    #[error("is not a duration")]
    NotANumber,
    /// A number without a unit; only `0` may stand alone.
    #[error("has no unit (ns, us, ms, s, m or h)")]
    NoUnit,
    /// A unit that is none of Go's.
    #[error("has an unknown unit (ns, us, ms, s, m and h are known)")]
    UnknownUnit,
    /// Below zero.
    #[error("is negative")]
    Negative,
    /// Longer than Go knows, about 292 years.
    #[error("is too long")]
    TooLong,
}

/// Reads a duration in Go's notation.
///
/// # Errors
///
/// Says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total = 0_u64;
    if rest != "0" {
        while !rest.is_empty() {
            let nanos;
            (nanos, rest) = parse_term(rest)?;
            total = total.checked_add(nanos).ok_or(DurationError::TooLong)?;
        }
    }
    let duration = Duration::from_nanos(total);
    if duration > DURATION_MAX {
        return Err(DurationError::TooLong);
    }
    if negative && !duration.is_zero() { Err(DurationError::Negative) } else { Ok(duration) }
}

/// Reads one number and its unit from the front: its nanoseconds, and what follows.
fn parse_term(text: &str) -> Result<(u64, &str), DurationError> {
    let digits_end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits_end(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits_end(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::NotANumber);
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    if unit.is_empty() {
        return Err(DurationError::NoUnit);
    }
    let &(_, nanos_per_unit) =
        UNITS.iter().find(|(name, _)| *name == unit).ok_or(DurationError::UnknownUnit)?;
    let whole: u64 =
        if whole.is_empty() { 0 } else { whole.parse().map_err(|_overflow| DurationError::TooLong)? };
    let nanos = whole.checked_mul(nanos_per_unit).ok_or(DurationError::TooLong)?;
    let nanos = nanos.checked_add(fraction_nanos(fraction, nanos_per_unit)).ok_or(DurationError::TooLong)?;
    Ok((nanos, rest))
}

/// The nanoseconds of the digits after the point. What is finer than a nanosecond is dropped, as in Go.
fn fraction_nanos(digits: &str, nanos_per_unit: u64) -> u64 {
    // An hour has 3.6e12 ns, so more than 15 digits cannot add a nanosecond; 3.6e12 * 1e15 fits in a u128.
    let mut numerator = 0_u128;
    let mut denominator = 1_u128;
    for digit in digits.bytes().take(15) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    let nanos = numerator * u128::from(nanos_per_unit) / denominator;
    u64::try_from(nanos).expect("a fraction of a unit is less than the unit")
}

/// Writes a duration as Go prints it: `1h2m3.5s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < NANOS_PER_SECOND {
        let (unit, nanos_per_unit) = match nanos {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            1_000_000.. => ("ms", 1_000_000),
        };
        return format!("{}{unit}", decimal(nanos, nanos_per_unit));
    }
    let seconds = nanos / NANOS_PER_SECOND;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = String::new();
    let infallible = "writing to a string cannot fail";
    if hours > 0 {
        write!(text, "{hours}h").expect(infallible);
    }
    if hours > 0 || minutes > 0 {
        write!(text, "{minutes}m").expect(infallible);
    }
    write!(text, "{}s", decimal(nanos % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND)).expect(infallible);
    text
}

/// `nanos / nanos_per_unit` as a decimal without trailing zeros.
fn decimal(nanos: u64, nanos_per_unit: u64) -> String {
    let width = usize::try_from(nanos_per_unit.ilog10()).expect("at most 9 digits");
    let text = format!("{}.{:0width$}", nanos / nanos_per_unit, nanos % nanos_per_unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("1ns", 1),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+4s", 4_000_000_000),
            ("1m", 60_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("3.5s2m1h", 3_723_500_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("1.0000000001s", 1_000_000_000),
            ("9223372036854775807ns", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_says_why() {
        for (text, error) in [
            ("", DurationError::Empty),
            ("-", DurationError::Empty),
            ("5", DurationError::NoUnit),
            ("1h5", DurationError::NoUnit),
            ("00", DurationError::NoUnit),
            ("s", DurationError::NotANumber),
            (".s", DurationError::NotANumber),
            ("soon", DurationError::NotANumber),
            ("1 s", DurationError::UnknownUnit),
            ("5sec", DurationError::UnknownUnit),
            ("1d", DurationError::UnknownUnit),
            ("1S", DurationError::UnknownUnit),
            ("-1s", DurationError::Negative),
            ("9223372036854775808ns", DurationError::TooLong),
            ("99999999999999999999s", DurationError::TooLong),
            ("9999999999h", DurationError::TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (20_000_000, "20ms"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (3_723_500_000_000, "1h2m3.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
        ] {
            assert_eq!(format_duration(Duration::from_nanos(nanos)), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..=i64::MAX.unsigned_abs()) {
            let duration = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-+0-9.a-zµμ ]{0,24}") {
            match parse_duration(&text) {
                Ok(duration) => proptest::prop_assert!(duration <= DURATION_MAX),
                Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
