//! When the playlist is fetched again: cron expressions of five or six fields, and descriptors.

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use thiserror::Error;

use super::duration::parse_duration;
use crate::control::Timing;

/// A schedule: as it was typed, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// As typed, or as made from an interval. This is what is shown and stored.
    pub text: String,
    /// What it means.
    pub timing: Timing,
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Not a cron expression; says which part is wrong.
    #[error("is not a cron expression of five or six fields: {0}")]
    Calendar(String),
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
            calendar(expand(text).ok_or(ScheduleError::Descriptor)?)?
        } else {
            calendar(text)?
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

fn calendar(text: &str) -> Result<Timing, ScheduleError> {
    // `5/15` (from 5 on, every 15) is what the reference takes too.
    let parser =
        CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).sloppy_ranges(true).build();
    let cron = parser.parse(text).map_err(|error| ScheduleError::Calendar(error.to_string()))?;
    Ok(Timing::Calendar(Box::new(cron)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next moments after 2026-03-01T20:15:00Z, a Sunday.
    fn next(text: &str, count: usize) -> Vec<String> {
        let Timing::Calendar(cron) = Schedule::parse(text).unwrap().timing else {
            panic!("{text} is no calendar")
        };
        let after =
            "2026-03-01T20:15:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        cron.iter_after(after)
            .take(count)
            .map(|moment| moment.strftime("%m-%dT%H:%M:%S").to_string())
            .collect()
    }

    #[test]
    fn a_calendar_names_its_moments() {
        for (text, expected) in [
            ("15 3 * * *", &["03-02T03:15:00", "03-03T03:15:00"][..]),
            ("30 */20 22 * * *", &["03-01T22:00:30", "03-01T22:20:30", "03-01T22:40:30"]),
            ("0 1-5/2,22 * * *", &["03-01T22:00:00", "03-02T01:00:00", "03-02T03:00:00"]),
            ("0 0 1 apr,Jun *", &["04-01T00:00:00", "06-01T00:00:00"]),
            ("0 0 * * 7", &["03-08T00:00:00"]),
            ("0 0 * * fri-7", &["03-06T00:00:00", "03-07T00:00:00", "03-08T00:00:00"]),
            ("50/5 * * * *", &["03-01T20:50:00", "03-01T20:55:00", "03-01T21:50:00"]),
            ("0 0 ? * ?", &["03-02T00:00:00", "03-03T00:00:00"]),
            // Either kind of day.
            ("0 0 3 * wed", &["03-03T00:00:00", "03-04T00:00:00"]),
            ("@midnight", &["03-02T00:00:00"]),
            ("@hourly", &["03-01T21:00:00"]),
            ("@weekly", &["03-08T00:00:00"]),
        ] {
            assert_eq!(next(text, expected.len()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_schedule_says_why() {
        for text in [
            "not-a-cron",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "60 * * * * *",
            "*/0 * * * *",
            "9-5 * * * *",
            "+5 * * * *",
            "5-/2 * * * *",
            "*/99999999999 * * * *",
            "",
        ] {
            assert!(matches!(Schedule::parse(text), Err(ScheduleError::Calendar(_))), "{text}");
        }
        for (text, error) in [
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
