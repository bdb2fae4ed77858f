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

/// A setting that is read and checked, and changes nothing. Help, the example file, `tunerd check` and the warning at the
/// start all go by this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unused {
    /// Its name in the environment.
    pub(super) env: &'static str,
    /// What may be typed beside the default without asking for anything.
    pub(super) off: &'static str,
    /// What becomes of it, to be read after its name.
    pub(super) effect: &'static str,
}

/// The settings without effect: what they set is not there yet, or never needs to be set.
pub(super) const UNUSED: &[Unused] = &[
    Unused {
        env: "STARTUP_RANDOM_ACCESS_RECOVERY_ONLY",
        off: "false",
        effect: "has no effect: every start waits for a picture that decodes on its own",
    },
    Unused {
        env: "BUFFER_PUBLISH_FLUSH_INTERVAL",
        off: "",
        effect: "has no effect: what is read is there for viewers at once",
    },
    Unused { env: "BUFFER_TS_ALIGN_188", off: "", effect: "has no effect: chunks always hold whole packets" },
    Unused { env: "SESSION_DRAIN_TIMEOUT", off: "", effect: "has no effect: closing a source never waits" },
];

/// What becomes of a setting without effect; `None` for all others.
pub(super) fn unused(env: &str) -> Option<&'static Unused> {
    UNUSED.iter().find(|unused| unused.env == env)
}

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
    fn what_is_unused_is_a_setting_and_is_said_once() {
        let mut names: Vec<&str> = UNUSED.iter().map(|unused| unused.env).collect();
        assert!(names.iter().all(|name| find(name).is_some()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), UNUSED.len());
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
