//! When playlists are read again: by their schedule, a little later than it says, and sooner after a failure.

use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::WallTime;

/// Until a playlist has been read once, it is tried again after this long, and twice as long each further time.
const FIRST_RETRY_MIN: Duration = Duration::from_secs(5);
const FIRST_RETRY_MAX: Duration = Duration::from_secs(300);
/// The same for one that has been read.
const RETRY_MIN: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// Not everybody asks a provider in the same second: up to a tenth of the time between two readings is added, and no more
/// than this.
const JITTER_MAX: Duration = Duration::from_secs(300);

/// When playlists are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// So long after the last time.
    Every(Duration),
    /// At the moments whose fields all match, in this host's time zone.
    Calendar(Box<Cron>),
}

/// When a playlist is read next, as a pure machine.
#[derive(Debug)]
pub(super) struct Pace {
    timing: Option<Timing>,
    has_been_read: bool,
    failures: u32,
}

impl Pace {
    pub(super) const fn new(timing: Option<Timing>) -> Self {
        Self { timing, has_been_read: false, failures: 0 }
    }

    /// How long from now until it is read again, having just been read or not. `None` is never by itself. `permille` is by how
    /// much of what is possible it is put off.
    pub(super) fn next(
        &mut self,
        now: WallTime,
        zone: &TimeZone,
        is_read: bool,
        permille: u32,
    ) -> Option<Duration> {
        let scheduled = self.timing.as_ref().and_then(|timing| timing.wait(now, zone, permille));
        if is_read {
            (self.has_been_read, self.failures) = (true, 0);
            return scheduled;
        }
        let (min, max) =
            if self.has_been_read { (RETRY_MIN, RETRY_MAX) } else { (FIRST_RETRY_MIN, FIRST_RETRY_MAX) };
        let retry = min.saturating_mul(2_u32.saturating_pow(self.failures)).min(max);
        self.failures = self.failures.saturating_add(1);
        match scheduled {
            Some(scheduled) => Some(scheduled.min(retry)),
            // Nobody has asked for more than one reading.
            None if self.has_been_read => None,
            None => Some(retry),
        }
    }
}

impl Timing {
    fn wait(&self, now: WallTime, zone: &TimeZone, permille: u32) -> Option<Duration> {
        let (wait, period) = match self {
            Self::Every(period) => (*period, *period),
            Self::Calendar(cron) => {
                let now =
                    Timestamp::from_nanosecond(i128::from(now.unix_nanos())).ok()?.to_zoned(zone.clone());
                let mut moments = cron.iter_after(now.clone());
                let (next, second) = (moments.next()?, moments.next());
                let between = |from: &jiff::Zoned, to: &jiff::Zoned| {
                    Duration::try_from(to.timestamp().duration_since(from.timestamp())).unwrap_or_default()
                };
                let period = second.map_or(JITTER_MAX, |second| between(&next, &second));
                (between(&now, &next), period)
            }
        };
        Some(wait + (period / 10).min(JITTER_MAX) * permille / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01T20:15:00Z, a Sunday.
    fn now() -> WallTime {
        WallTime::from_unix_nanos(1_772_396_100 * 1_000_000_000)
    }

    fn calendar(text: &str) -> Option<Timing> {
        Some(Timing::Calendar(Box::new(text.parse().unwrap())))
    }

    fn seconds(wait: Option<Duration>) -> Option<u64> {
        wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn a_schedule_is_met_with_a_little_delay_at_most() {
        for (timing, permille, expected) in [
            (None, 0, None),
            (Some(Timing::Every(Duration::from_secs(600))), 0, Some(600)),
            (Some(Timing::Every(Duration::from_secs(600))), 1000, Some(660)),
            (Some(Timing::Every(Duration::from_secs(86_400))), 1000, Some(86_700)),
            (calendar("0 * * * *"), 0, Some(45 * 60)),
            (calendar("0 * * * *"), 500, Some(45 * 60 + 150)),
            (calendar("*/5 * * * *"), 1000, Some(330)),
            (calendar("0 0 30 2 *"), 0, None),
        ] {
            let mut pace = Pace::new(timing.clone());
            assert_eq!(
                seconds(pace.next(now(), &TimeZone::UTC, true, permille)),
                expected,
                "{timing:?} {permille}"
            );
        }
    }

    #[test]
    fn a_calendar_is_that_of_the_place() {
        let zone = TimeZone::fixed(jiff::tz::offset(3));
        let wait = Pace::new(calendar("0 4 * * *")).next(now(), &zone, true, 0);
        // It is a quarter past eleven in the evening.
        assert_eq!(seconds(wait), Some(4 * 3600 + 45 * 60));
    }

    #[test]
    fn what_has_never_been_read_is_tried_soon_and_ever_later() {
        for timing in [None, calendar("0 4 * * *")] {
            let mut pace = Pace::new(timing);
            let mut next = |is_read| seconds(pace.next(now(), &TimeZone::UTC, is_read, 0));
            let waits: Vec<_> = (0..9).map(|_| next(false)).collect();
            assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300].map(Some));
        }
    }

    #[test]
    fn after_a_failure_it_is_tried_before_its_time_and_never_later_than_that() {
        let mut pace = Pace::new(Some(Timing::Every(Duration::from_secs(1000))));
        let mut next = |is_read| seconds(pace.next(now(), &TimeZone::UTC, is_read, 0));
        let waits = [true, false, false, false, false, false, false, true, false].map(&mut next);
        assert_eq!(waits, [1000, 60, 120, 240, 480, 960, 1000, 1000, 60].map(Some));
        let mut only_asked = Pace::new(None);
        let waits = [true, false, false].map(|is_read| only_asked.next(now(), &TimeZone::UTC, is_read, 0));
        assert_eq!(waits, [None; 3], "a reading that somebody asked for is not repeated");
    }
}
