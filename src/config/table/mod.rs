//! Every setting there is.

mod service;
mod source;
mod viewer;

use super::setting::{Group, Setting};

/// Every setting, in the order in which help and the example file show them.
pub const GROUPS: &[Group] = &[
    source::SOURCES,
    source::FFMPEG,
    source::RECOVERY,
    viewer::BUFFER,
    viewer::SUBSCRIBERS,
    viewer::SESSIONS,
    viewer::TUNERS,
    viewer::PROBES,
    viewer::ENGINE,
    service::HTTP,
    service::ADMIN,
    service::DISCOVERY,
    service::CATALOG,
    service::PROCESS,
];

/// Names that other tuners of this kind know and this one has no need of. An environment file made for
/// them is accepted, and its reader told.
pub(super) const WITHOUT_EFFECT: &[&str] = &[
    "CLOSE_WITH_TIMEOUT_WORKER_BUDGET",
    "DVR_LINEUP_RELOAD_TIMEOUT",
    "HTTP_REQUEST_LOG_ENABLED",
    "LOG_DIR",
    "PLAYLIST_SOURCES_STARTUP_AUTHORITATIVE",
    "PLAYLIST_SYNC_SOURCE_CONCURRENCY",
    "RECONCILE_DYNAMIC_RULE_PAGED",
];

/// Every setting.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting with this name in the environment.
#[must_use]
pub(super) fn find(env: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.env == env)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_flag_is_the_environments_name_in_small_letters() {
        for setting in settings() {
            assert_eq!(setting.flag, setting.env.to_lowercase().replace('_', "-"));
        }
    }

    #[test]
    fn names_are_given_once() {
        let names: Vec<&str> =
            settings().map(|setting| setting.env).chain(WITHOUT_EFFECT.iter().copied()).collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn every_setting_says_what_it_does_in_a_sentence() {
        for group in GROUPS {
            assert!(!group.heading.is_empty() && !group.settings.is_empty());
        }
        for setting in settings() {
            assert!(setting.help.len() > 10 && setting.help.ends_with('.'), "{}", setting.env);
        }
    }
}
