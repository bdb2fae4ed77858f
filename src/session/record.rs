//! What is known of a session afterwards, and while it lasts.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

/// A trigger for the same source and reason within this time is counted instead of logged.
const TRIGGER_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How a session has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nobody watched any more, or the program was stopped.
    Completed,
    /// It was given up before there was a picture, or while there was none.
    Canceled,
    /// No source could be had.
    Error,
}

impl Status {
    /// Its word in the history.
    #[must_use]
    #[cfg(test)]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Error => "error",
        }
    }
}

/// How a session has ended, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terminal {
    /// How.
    pub status: Status,
    /// Why; empty when it was completed.
    pub error: String,
}

/// What is counted of a session.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Record {
    /// Stalls and recoveries that somebody asked for.
    pub stall_count: u64,
    /// Recoveries begun.
    pub recovery_cycle: u32,
    /// Why the latest one was.
    pub recovery_reason: Option<String>,
    /// Sources selected, the same one again included.
    pub source_select_count: u64,
    /// How often in a row the same source was selected again.
    pub same_source_reselect_count: u32,
    /// When a source was last selected.
    pub last_selected_at: Option<Instant>,
    /// Why: `initial_startup` or `recovery_cycle_<n>:<reason>`.
    pub last_select_reason: Option<String>,
    /// Triggers that were counted instead of logged.
    pub trigger_logs_coalesced: u64,
}

/// Which triggers are logged.
#[derive(Clone, Default, Debug)]
pub(super) struct TriggerLog {
    last: Option<(SourceId, String, Instant)>,
    suppressed: u64,
}

impl TriggerLog {
    /// How many were suppressed since the last one that was logged, when this one is to be logged.
    pub(super) fn admit(&mut self, now: Instant, source: SourceId, reason: &str) -> Option<u64> {
        let is_repeat = self.last.as_ref().is_some_and(|(last_source, last_reason, at)| {
            *last_source == source && last_reason == reason && now - *at < TRIGGER_LOG_INTERVAL
        });
        if is_repeat {
            self.suppressed += 1;
            return None;
        }
        self.last = Some((source, reason.to_owned(), now));
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_triggers_within_a_second_are_counted_and_told_with_the_next() {
        let mut log = TriggerLog::default();
        let at = Instant::from_millis;
        let source = SourceId(1);
        assert_eq!(log.admit(at(0), source, "stall"), Some(0));
        assert_eq!(log.admit(at(400), source, "stall"), None);
        assert_eq!(log.admit(at(999), source, "stall"), None);
        assert_eq!(log.admit(at(1000), source, "stall"), Some(2));
        assert_eq!(log.admit(at(1001), source, "source_eof"), Some(0), "another reason");
        assert_eq!(log.admit(at(1002), SourceId(2), "source_eof"), Some(0), "another source");
    }
}
