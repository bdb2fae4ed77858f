//! Channels of two providers each, of which the first goes wrong, played all at once by one program.

mod cases;
mod group;
mod leftovers;

pub(crate) use cases::{Case, MINIMUM, changes, faults, troubles};
pub(crate) use group::{Group, STALL_DETECT, channel, keep_log, settings, start, write_down};
pub(crate) use leftovers::Baseline;

/// Whether a case is to run: a choice of them by default, all of them, or those whose names begin as asked for.
pub(crate) fn is_chosen(name: &str, by_default: bool) -> bool {
    match asked() {
        None => by_default,
        Some(asked) => asked == "all" || asked.split(',').any(|begin| name.starts_with(begin)),
    }
}

/// Whether everything is to be tried, for as long as it takes.
pub(crate) fn is_all() -> bool {
    asked().is_some_and(|asked| asked == "all")
}

#[expect(clippy::disallowed_methods, reason = "the setting of a test run, not of the program")]
fn asked() -> Option<String> {
    std::env::var("FAULTS").ok().filter(|asked| !asked.is_empty())
}
