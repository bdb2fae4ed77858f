//! Times and durations in the notation that existing dashboards read: RFC 3339 with the fraction's trailing
//! zeros removed, a zero time for "never", and durations such as `1m2.345s`.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::base::{Instant, WallTime};

/// What stands for a time that never was. Fields that hold a time are never left out.
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";
const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A time in JSON: UTC, to the millisecond, or the zero time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct GoTime(Option<WallTime>);

impl GoTime {
    /// The zero time.
    pub const NEVER: Self = Self(None);
}

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str(NEVER),
            Some(wall) => serializer.collect_str(&timestamp(wall)),
        }
    }
}

/// One moment by both clocks. All times of an answer are derived from one of these, so that their
/// differences are exact.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The moment by the monotonic clock.
    pub at: Instant,
    /// The same moment by the wall clock.
    pub wall: WallTime,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now(&self) -> GoTime {
        self.time(self.at)
    }

    /// This moment by the own time of a core that has lost so much.
    #[must_use]
    pub fn of_core(self, lost: Duration) -> Self {
        let lost = u64::try_from(lost.as_nanos()).unwrap_or(u64::MAX);
        Self { at: Instant::from_nanos(self.at.as_nanos().saturating_sub(lost)), ..self }
    }

    /// Another moment. Cut to milliseconds: the wall clock is asked anew for each answer, and finer digits
    /// of a time that does not change would differ between two answers.
    #[must_use]
    pub fn time(&self, at: Instant) -> GoTime {
        let nanos = self.wall.unix_nanos();
        let nanos = if at > self.at {
            nanos.saturating_add(at.as_nanos() - self.at.as_nanos())
        } else {
            nanos.saturating_sub(self.at.as_nanos() - at.as_nanos())
        };
        GoTime(Some(WallTime::from_unix_nanos(nanos - nanos % NANOS_PER_MILLI)))
    }

    /// Another moment, or the zero time.
    #[must_use]
    pub fn time_or_never(&self, at: Option<Instant>) -> GoTime {
        at.map_or(GoTime::NEVER, |at| self.time(at))
    }
}

/// `2026-03-01T20:15:00.5Z`.
#[must_use]
pub fn rfc3339(wall: WallTime) -> String {
    timestamp(wall).to_string()
}

fn timestamp(wall: WallTime) -> Timestamp {
    Timestamp::from_nanosecond(wall.unix_nanos().into()).expect("64 bits of nanoseconds end in the year 2554")
}

/// `1h0m0s`, `1m2.345s`, `250ms`, `0s`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    let (unit_nanos, digits, unit) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => (1, 0, "ns"),
        1_000..1_000_000 => (1_000, 3, "µs"),
        1_000_000..NANOS_PER_SECOND => (NANOS_PER_MILLI, 6, "ms"),
        NANOS_PER_SECOND.. => (NANOS_PER_SECOND, 9, "s"),
    };
    let mut whole = nanos / unit_nanos;
    if unit == "s" {
        if whole >= 3600 {
            text.push_str(&format!("{}h", whole / 3600));
        }
        if whole >= 60 {
            text.push_str(&format!("{}m", whole / 60 % 60));
        }
        whole %= 60;
    }
    text.push_str(&whole.to_string());
    push_fraction(&mut text, nanos % unit_nanos, digits);
    text.push_str(unit);
    text
}

/// Appends a number with leading zeros.
fn push_digits(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_u64.pow(place) % 10;
        text.push(char::from(b'0' + u8::try_from(digit).expect("a digit")));
    }
}

/// Appends `.5` for half of ten to the power of `digits`, nothing for zero.
fn push_fraction(text: &mut String, fraction: u64, digits: u32) {
    if fraction > 0 {
        text.push('.');
        push_digits(text, fraction, digits);
        text.truncate(text.trim_end_matches('0').len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_without_trailing_zeros() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_000_000_001, "2024-02-29T23:59:59.000000001Z"),
            (1_709_251_200_000_000_000, "2024-03-01T00:00:00Z"),
            (1_772_396_100_500_000_000, "2026-03-01T20:15:00.5Z"),
            (1_772_395_200_100_412_000, "2026-03-01T20:00:00.100412Z"),
            (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(WallTime::from_unix_nanos(nanos)), text);
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_fits() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (250_000_000, "250ms"),
            (999_999_999, "999.999999ms"),
            (4_500_000_000, "4.5s"),
            (62_345_000_000, "1m2.345s"),
            (290_500_000_000, "4m50.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_000_000_001, "25h1m1.000000001s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn moments_are_counted_from_one_reading_of_the_wall_clock() {
        let moment = Moment {
            at: Instant::from_millis(60_000),
            wall: WallTime::from_unix_nanos(1_772_396_100_000_400_000),
        };
        for (at, json) in [
            (Some(Instant::from_millis(60_000)), r#""2026-03-01T20:15:00Z""#),
            (Some(Instant::from_millis(59_500)), r#""2026-03-01T20:14:59.5Z""#),
            (Some(Instant::from_millis(60_250)), r#""2026-03-01T20:15:00.25Z""#),
            (None, r#""0001-01-01T00:00:00Z""#),
        ] {
            assert_eq!(serde_json::to_string(&moment.time_or_never(at)).unwrap(), json);
        }
    }
}
