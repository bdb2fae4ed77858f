//! When the playlist is fetched again: cron expressions of five or six fields, and descriptors.

use std::time::Duration;

use thiserror::Error;

use super::duration::parse_duration;

/// A schedule: as it was typed, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// As typed, or as made from an interval. This is what is shown and stored.
    pub text: String,
    /// What it means.
    pub timing: Timing,
}

/// What a schedule means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// `@every 90m`: so long after the last time.
    Every(Duration),
    /// At the moments whose fields all match.
    Calendar(Calendar),
}

/// The moments that match, each field as a set of bits: bit `n` stands for the value `n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// 0 to 59.
    pub seconds: u64,
    /// 0 to 59.
    pub minutes: u64,
    /// 0 to 23.
    pub hours: u64,
    /// Days of the month, 1 to 31.
    pub days: u64,
    /// 1 to 12.
    pub months: u64,
    /// 0 (Sunday) to 6.
    pub weekdays: u64,
    /// Both kinds of day are restricted; then either is enough, else both must match. This is cron's rule.
    pub either_day: bool,
}

/// Why a text is not a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Neither five nor six fields.
    #[error("has neither five nor six fields")]
    FieldCount,
    /// A field that cannot be read or is out of range.
    #[error("has a {0} field that is not cron's")]
    Field(&'static str),
    /// An `@word` that is not known.
    #[error("has an unknown descriptor")]
    Descriptor,
    /// `@every` without a duration of a second or more.
    #[error("has no duration of a second or more after @every")]
    Every,
    /// An interval that no cron expression has.
    #[error("does not divide an hour or a day into whole minutes, so no schedule expresses it")]
    Interval,
}

/// A field: its name, its range, and names for its values.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    words: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", min: 0, max: 59, words: &[] };
const MINUTE: Field = Field { name: "minute", min: 0, max: 59, words: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, words: &[] };
const DAY: Field = Field { name: "day-of-month", min: 1, max: 31, words: &[] };
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// Sunday may also be 7.
const WEEKDAY: Field =
    Field { name: "day-of-week", min: 0, max: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Schedule {
    /// Reads `minute hour day month weekday`, the same with seconds in front, `@hourly` and its like, or
    /// `@every 90m`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let timing = if let Some(duration) = text.strip_prefix("@every ") {
            let duration = parse_duration(duration.trim()).map_err(|_not_a_duration| ScheduleError::Every)?;
            if duration < Duration::from_secs(1) {
                return Err(ScheduleError::Every);
            }
            Timing::Every(duration)
        } else if text.starts_with('@') {
            Timing::Calendar(Calendar::parse(expand(text).ok_or(ScheduleError::Descriptor)?)?)
        } else {
            Timing::Calendar(Calendar::parse(text)?)
        };
        Ok(Self { text: text.to_owned(), timing })
    }

    /// The schedule with this interval, aligned to the hour or the day.
    ///
    /// # Errors
    ///
    /// When the interval does not divide an hour or a day into whole minutes.
    pub fn from_interval(interval: Duration) -> Result<Self, ScheduleError> {
        let minutes = interval.as_secs() / 60;
        if Duration::from_secs(minutes * 60) != interval {
            return Err(ScheduleError::Interval);
        }
        let text = match minutes {
            60 => "0 * * * *".to_owned(),
            1_440 => "0 0 * * *".to_owned(),
            1..60 if 60 % minutes == 0 => format!("*/{minutes} * * * *"),
            61.. if 1_440 % minutes == 0 && minutes.is_multiple_of(60) => {
                format!("0 */{} * * *", minutes / 60)
            }
            0.. => return Err(ScheduleError::Interval),
        };
        Self::parse(&text)
    }
}

fn expand(descriptor: &str) -> Option<&'static str> {
    Some(match descriptor {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _unknown => return None,
    })
}

impl Calendar {
    fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let (second, fields) = match fields.as_slice() {
            [second, fields @ ..] if fields.len() == 5 => (*second, fields),
            fields => ("0", fields),
        };
        let &[minute, hour, day, month, weekday] = fields else {
            return Err(ScheduleError::FieldCount);
        };
        let weekdays = WEEKDAY.parse(weekday)?;
        let is_open = |field: &str| field.starts_with(['*', '?']);
        Ok(Self {
            seconds: SECOND.parse(second)?,
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days: DAY.parse(day)?,
            months: MONTH.parse(month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7F,
            either_day: !is_open(day) && !is_open(weekday),
        })
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, ScheduleError> {
        let bits = text.split(',').try_fold(0, |bits, part| Some(bits | self.parse_part(part)?));
        bits.ok_or(ScheduleError::Field(self.name))
    }

    /// `*`, `?`, `5`, `5-9`, and each with a step, `/2`.
    fn parse_part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(digits(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = if range == "*" || range == "?" {
            // Sunday is 0 here: 7 is only another way to type it.
            (self.min, if self.max == 7 { 6 } else { self.max })
        } else if let Some((first, last)) = range.split_once('-') {
            (self.value(first)?, self.value(last)?)
        } else {
            let first = self.value(range)?;
            (first, if step.is_some() { self.max } else { first })
        };
        if first > last {
            return None;
        }
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        Some((first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let value = match self.words.iter().position(|word| text.eq_ignore_ascii_case(word)) {
            Some(index) => u32::try_from(index).ok()? + self.min,
            None => digits(text)?,
        };
        (self.min..=self.max).contains(&value).then_some(value)
    }
}

/// A number of digits alone: `parse` would also take a sign.
fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(text: &str) -> Calendar {
        match Schedule::parse(text).unwrap().timing {
            Timing::Calendar(calendar) => calendar,
            Timing::Every(every) => panic!("{text} is every {every:?}"),
        }
    }

    #[test]
    fn fields_are_sets() {
        let daily = calendar("15 3 * * *");
        assert_eq!((daily.seconds, daily.minutes, daily.hours), (1, 1 << 15, 1 << 3));
        assert_eq!((daily.days, daily.months, daily.weekdays), (0xFFFF_FFFE, 0x1FFE, 0x7F));
        assert!(!daily.either_day);

        let odd = calendar("30 */20 1-5/2,22 1 jan,Mar fri-7");
        assert_eq!((odd.seconds, odd.minutes), (1 << 30, 1 | 1 << 20 | 1 << 40));
        assert_eq!(odd.hours, 1 << 1 | 1 << 3 | 1 << 5 | 1 << 22);
        assert_eq!((odd.days, odd.months), (1 << 1, 1 << 1 | 1 << 3));
        assert_eq!(odd.weekdays, 1 << 5 | 1 << 6 | 1, "Friday, Saturday, and Sunday typed as 7");
        assert!(odd.either_day);
        assert_eq!(calendar("50/5 * * * *").minutes, 1 << 50 | 1 << 55);
        assert_eq!(calendar("0 0 ? * ?"), calendar("@daily"));
    }

    #[test]
    fn what_is_not_a_schedule_says_why() {
        for (text, error) in [
            ("not-a-cron", ScheduleError::FieldCount),
            ("* * * *", ScheduleError::FieldCount),
            ("* * * * * * *", ScheduleError::FieldCount),
            ("60 * * * *", ScheduleError::Field("minute")),
            ("* 24 * * *", ScheduleError::Field("hour")),
            ("* * 0 * *", ScheduleError::Field("day-of-month")),
            ("* * * 13 *", ScheduleError::Field("month")),
            ("* * * * 8", ScheduleError::Field("day-of-week")),
            ("60 * * * * *", ScheduleError::Field("second")),
            ("*/0 * * * *", ScheduleError::Field("minute")),
            ("9-5 * * * *", ScheduleError::Field("minute")),
            ("+5 * * * *", ScheduleError::Field("minute")),
            ("1,,2 * * * *", ScheduleError::Field("minute")),
            ("5-/2 * * * *", ScheduleError::Field("minute")),
            ("*/99999999999 * * * *", ScheduleError::Field("minute")),
            ("@fortnightly", ScheduleError::Descriptor),
            ("@every soon", ScheduleError::Every),
            ("@every 10ms", ScheduleError::Every),
        ] {
            assert_eq!(Schedule::parse(text), Err(error), "{text}");
        }
        assert_eq!(Schedule::parse("@every 90m").unwrap().timing, Timing::Every(Duration::from_secs(5_400)));
    }

    #[test]
    fn an_interval_becomes_a_schedule_only_if_it_divides_the_hour_or_the_day() {
        let text = |minutes: u64| {
            Schedule::from_interval(Duration::from_secs(minutes * 60)).map(|schedule| schedule.text)
        };
        for (minutes, expected) in [
            (1, "*/1 * * * *"),
            (30, "*/30 * * * *"),
            (60, "0 * * * *"),
            (120, "0 */2 * * *"),
            (720, "0 */12 * * *"),
            (1_440, "0 0 * * *"),
        ] {
            assert_eq!(text(minutes).as_deref(), Ok(expected));
        }
        for minutes in [0, 7, 45, 90, 300, 1_000, 2_880] {
            assert_eq!(text(minutes), Err(ScheduleError::Interval), "{minutes} minutes");
        }
        assert_eq!(Schedule::from_interval(Duration::from_secs(90)), Err(ScheduleError::Interval));
    }
}
