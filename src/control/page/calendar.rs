//! When something was, by the clock on the wall.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::{Instant, WallTime};
use crate::status::Moment;

/// Turns moments into dates and times of a time zone.
#[derive(Clone)]
pub(in crate::control) struct Calendar {
    moment: Moment,
    zone: TimeZone,
}

impl Calendar {
    pub(in crate::control) const fn new(moment: Moment, zone: TimeZone) -> Self {
        Self { moment, zone }
    }

    /// The same for times by the own clock of a core that has lost so much.
    pub(super) fn of_core(&self, lost: Duration) -> Self {
        Self { moment: self.moment.of_core(lost), zone: self.zone.clone() }
    }

    /// Now, by the clock whose times are asked for.
    pub(super) const fn now(&self) -> Instant {
        self.moment.at
    }

    /// Now, in seconds since 1970.
    pub(super) const fn seconds(&self) -> u64 {
        self.moment.wall.unix_seconds()
    }

    fn written(&self, wall: WallTime, how: &str) -> String {
        let Ok(time) = Timestamp::from_nanosecond(wall.unix_nanos().into()) else { return "–".to_owned() };
        time.to_zoned(self.zone.clone()).strftime(how).to_string()
    }

    fn wall(&self, at: Instant) -> WallTime {
        let (at, now) = (at.as_nanos(), self.moment.at.as_nanos());
        let wall = self.moment.wall.unix_nanos();
        WallTime::from_unix_nanos(if at > now {
            wall.saturating_add(at - now)
        } else {
            wall.saturating_sub(now - at)
        })
    }

    /// `2026-03-01 20:15:00`.
    pub(super) fn at(&self, at: Instant) -> String {
        self.of_wall(self.wall(at))
    }

    /// `2026-03-01`.
    pub(super) fn day(&self, at: Instant) -> String {
        self.written(self.wall(at), "%Y-%m-%d")
    }

    /// `2026-03-01 20:15:00`.
    pub(super) fn of_wall(&self, wall: WallTime) -> String {
        self.written(wall, "%Y-%m-%d %H:%M:%S")
    }

    /// What the times are of.
    pub(super) fn zone_name(&self) -> String {
        self.zone.iana_name().map_or_else(|| self.written(self.moment.wall, "UTC%:z"), str::to_owned)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A calendar whose now is an hour after the clock was started.
    pub(in crate::control::page) fn calendar() -> Calendar {
        let wall = WallTime::from_unix_nanos(1_772_396_100_000_000_000);
        Calendar::new(Moment { at: Instant::from_millis(3_600_000), wall }, TimeZone::UTC)
    }

    #[test]
    fn moments_are_dated_by_how_long_ago_they_were() {
        let calendar = calendar();
        assert_eq!(calendar.at(Instant::from_millis(3_600_000)), "2026-03-01 20:15:00");
        assert_eq!(calendar.at(Instant::from_millis(3_540_000)), "2026-03-01 20:14:00");
        assert_eq!(calendar.day(Instant::START), "2026-03-01");
        let behind = calendar.of_core(Duration::from_secs(60));
        assert_eq!(behind.at(Instant::from_millis(3_540_000)), "2026-03-01 20:15:00");
        assert_eq!(calendar.zone_name(), "UTC");
    }
}
