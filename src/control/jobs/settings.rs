//! What administrators have said of jobs: when they run by themselves, and which sources are looked at.

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::desk::JobKind;
use crate::base::WallTime;
use crate::store::{Database, StoreError};

/// When a job runs by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::control) struct JobSchedule {
    pub(in crate::control) is_enabled: bool,
    /// Five or six fields of cron, or a word such as `@daily`. May be empty.
    pub(in crate::control) cron: String,
}

/// What administrators have said of jobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::control) struct AutomationSettings {
    /// The time zone of the schedules; empty is that of this host.
    pub(in crate::control) timezone: String,
    pub(in crate::control) playlist_sync: JobSchedule,
    pub(in crate::control) auto_prioritize: JobSchedule,
    /// Sources that are disabled are not tried.
    pub(in crate::control) enabled_only: bool,
    /// So many sources of each channel are tried; 0 is all.
    pub(in crate::control) top_n_per_channel: u32,
}

impl AutomationSettings {
    pub(in crate::control) const fn schedule(&self, job: JobKind) -> &JobSchedule {
        match job {
            JobKind::PlaylistSync => &self.playlist_sync,
            JobKind::AutoPrioritize => &self.auto_prioritize,
        }
    }
}

/// The settings' names in the store.
pub(in crate::control) mod keys {
    pub(in crate::control) const TIMEZONE: &str = "jobs.timezone";
    pub(in crate::control) const PLAYLIST_SYNC: (&str, &str) =
        ("jobs.playlist_sync.enabled", "jobs.playlist_sync.cron");
    pub(in crate::control) const AUTO_PRIORITIZE: (&str, &str) =
        ("jobs.auto_prioritize.enabled", "jobs.auto_prioritize.cron");
    pub(in crate::control) const ENABLED_ONLY: &str = "analyzer.autoprioritize.enabled_only";
    pub(in crate::control) const TOP_N: &str = "analyzer.autoprioritize.top_n_per_channel";
}

/// Reads them; what was never said is as it is at first.
pub(in crate::control) fn load(database: &Database) -> Result<AutomationSettings, StoreError> {
    let text = |key: &str, at_first: &str| {
        let said = database.setting(key)?.filter(|text| !text.trim().is_empty());
        Ok::<_, StoreError>(said.unwrap_or_else(|| at_first.to_owned()))
    };
    let schedule = |(enabled, cron): (&str, &str), at_first: &str| {
        Ok::<_, StoreError>(JobSchedule {
            is_enabled: text(enabled, "false")? == "true",
            cron: text(cron, at_first)?,
        })
    };
    Ok(AutomationSettings {
        timezone: text(keys::TIMEZONE, "")?,
        playlist_sync: schedule(keys::PLAYLIST_SYNC, "*/30 * * * *")?,
        auto_prioritize: schedule(keys::AUTO_PRIORITIZE, "30 3 * * *")?,
        enabled_only: text(keys::ENABLED_ONLY, "true")? == "true",
        top_n_per_channel: text(keys::TOP_N, "0")?.parse().unwrap_or(0),
    })
}

/// When a schedule is due next, in a zone. Nothing when it is off, or never.
pub(in crate::control) fn next_run(
    schedule: &JobSchedule,
    timezone: &str,
    now: WallTime,
) -> Option<WallTime> {
    let cron: Cron = schedule.cron.parse().ok().filter(|_| schedule.is_enabled)?;
    let zone = zone(timezone).unwrap_or_else(TimeZone::system);
    let now = Timestamp::from_nanosecond(i128::from(now.unix_nanos())).ok()?.to_zoned(zone);
    let next = cron.iter_after(now).next()?;
    u64::try_from(next.timestamp().as_nanosecond()).ok().map(WallTime::from_unix_nanos)
}

/// A time zone by its name; nothing when nobody knows it. The empty name is that of this host.
pub(in crate::control) fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() { Some(TimeZone::system()) } else { TimeZone::get(name).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_due_in_its_own_zone_and_only_when_it_is_on() {
        // 2026-03-01T20:15:00Z.
        let now = WallTime::from_unix_nanos(1_772_396_100 * 1_000_000_000);
        let schedule = |is_enabled, cron: &str| JobSchedule { is_enabled, cron: cron.to_owned() };
        let hours = |schedule: &JobSchedule, zone: &str| {
            next_run(schedule, zone, now).map(|at| (at.unix_nanos() - now.unix_nanos()) / 60_000_000_000)
        };
        assert_eq!(hours(&schedule(true, "*/30 * * * *"), "UTC"), Some(15));
        assert_eq!(hours(&schedule(true, "30 3 * * *"), "UTC"), Some(435));
        assert_eq!(hours(&schedule(true, "30 3 * * *"), "Europe/Berlin"), Some(375));
        assert_eq!(hours(&schedule(false, "30 3 * * *"), "UTC"), None);
        assert_eq!(hours(&schedule(true, "never"), "UTC"), None);
        assert!(zone("Nowhere/At_All").is_none() && zone("").is_some());
    }

    #[test]
    fn what_was_never_said_is_as_at_first() {
        let mut database = Database::in_memory().unwrap();
        let settings = load(&database).unwrap();
        assert!(!settings.auto_prioritize.is_enabled && settings.enabled_only);
        assert_eq!((settings.auto_prioritize.cron.as_str(), settings.top_n_per_channel), ("30 3 * * *", 0));
        database.set_setting(keys::AUTO_PRIORITIZE.0, "true").unwrap();
        database.set_setting(keys::TOP_N, "3").unwrap();
        let settings = load(&database).unwrap();
        assert!(settings.auto_prioritize.is_enabled && settings.top_n_per_channel == 3);
    }
}
