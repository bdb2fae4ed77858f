//! How much the sessions that go on change sources.

use serde::Serialize;

use crate::engine::snapshot::SessionSnapshot;
use crate::session::history::RESELECT_ALERT_THRESHOLD;

use super::encode::is_zero;

/// The counters of all of them.
#[derive(Serialize, Debug)]
pub(super) struct ChurnSummary<'a> {
    reselect_alert_threshold: u64,
    session_count: u64,
    /// Sessions that have ever recovered, not those that recover now.
    recovering_session_count: u64,
    sessions_with_reselect_count: u64,
    /// At the threshold counts.
    sessions_over_reselect_threshold: u64,
    total_recovery_cycles: u64,
    total_source_select_count: u64,
    total_same_source_reselect_count: u64,
    max_same_source_reselect_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max_reselect_channel_id: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    max_reselect_guide_number: &'a str,
}

impl<'a> ChurnSummary<'a> {
    /// Of these sessions, in the order of their rows.
    pub(super) fn new(sessions: impl Iterator<Item = &'a SessionSnapshot>) -> Self {
        let mut churn = Self {
            reselect_alert_threshold: RESELECT_ALERT_THRESHOLD,
            session_count: 0,
            recovering_session_count: 0,
            sessions_with_reselect_count: 0,
            sessions_over_reselect_threshold: 0,
            total_recovery_cycles: 0,
            total_source_select_count: 0,
            total_same_source_reselect_count: 0,
            max_same_source_reselect_count: 0,
            max_reselect_channel_id: 0,
            max_reselect_guide_number: "",
        };
        for session in sessions {
            churn.add(session);
        }
        churn
    }

    fn add(&mut self, session: &'a SessionSnapshot) {
        let record = &session.record;
        let reselects = record.selections.same_source;
        let has_recovered = record.recovery_cycles > 0 || !record.recovery_reason.is_empty();
        self.session_count += 1;
        self.recovering_session_count += u64::from(has_recovered);
        self.sessions_with_reselect_count += u64::from(reselects > 0);
        self.sessions_over_reselect_threshold += u64::from(reselects >= RESELECT_ALERT_THRESHOLD);
        self.total_recovery_cycles += record.recovery_cycles;
        self.total_source_select_count += record.selections.count;
        self.total_same_source_reselect_count += reselects;
        if reselects > self.max_same_source_reselect_count {
            self.max_same_source_reselect_count = reselects;
            self.max_reselect_channel_id = record.channel.0;
            self.max_reselect_guide_number = &record.guide_number;
        }
    }
}
