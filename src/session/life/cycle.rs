//! The selected source is lost, has stalled, or somebody wants another one: what follows.

use crate::base::Instant;
use crate::lineup::{SourceId, cooldown_after};

use super::{Machine, Stage};
use crate::session::actions::{Action, Notice};
use crate::session::budget::pacing;
use crate::session::events::{Candidate, Sources, StallPolicy, TriggerError};
use crate::session::record::Status;
use crate::session::search::{Origin, Outage, Plan, Search};
use crate::session::selected::RECOVERY_PREFIX;
use crate::session::step::{End, Fault};
use crate::session::turn::Turn;

/// What is recorded against sources.
const STALLED: &str = "stream pump stall detected";
const ENDED: &str = "source stream ended";
/// Characters of a reason that somebody gave: it becomes part of log lines and of the history.
const REASON_CHARS_MAX: usize = 128;

/// Why the selected source does not go on.
enum Cause {
    Manual(String),
    Stall(&'static str),
    Eof,
    Error(Fault),
}

impl Cause {
    /// The word of the recovery.
    fn word(&self) -> String {
        match self {
            Self::Manual(reason) => reason.clone(),
            Self::Stall(_) => "stall".to_owned(),
            Self::Eof => "source_eof".to_owned(),
            Self::Error(Fault { status: Some(status @ 400..=599), .. }) => format!("upstream_{status}"),
            Self::Error(_) => "source_error".to_owned(),
        }
    }

    /// What is recorded against the source; `None` when nothing is.
    fn blame(&self) -> Option<Fault> {
        match self {
            Self::Manual(_) => None,
            Self::Stall(_) => Some(Fault::text(STALLED)),
            Self::Eof => Some(Fault::text(ENDED)),
            Self::Error(fault) => Some(fault.clone()),
        }
    }

    /// The error of a session that ends with it.
    fn terminal(&self) -> String {
        match self {
            Self::Manual(reason) => format!("manual recovery requested: {reason}"),
            Self::Stall(_) => STALLED.to_owned(),
            Self::Eof => "source ended".to_owned(),
            Self::Error(fault) => fault.text.clone(),
        }
    }

    const fn what(&self) -> Option<&'static str> {
        match self {
            Self::Stall(what) => Some(what),
            Self::Manual(_) | Self::Eof | Self::Error(_) => None,
        }
    }

    const fn has_ended(&self) -> bool {
        matches!(self, Self::Eof)
    }

    /// It counts and is bounded like a stall.
    const fn is_stall(&self) -> bool {
        matches!(self, Self::Stall(_) | Self::Manual(_))
    }
}

impl Machine {
    /// Somebody wants the channel to go on with another source, or with the same one started anew.
    ///
    /// # Errors
    /// When nobody watches a picture, or a source is looked for already.
    pub fn trigger(
        &mut self,
        now: Instant,
        reason: &str,
        sources: &mut dyn Sources,
    ) -> Result<Vec<Action>, TriggerError> {
        match &self.stage {
            Stage::Live => {}
            // The session is only being made, or recovers as it is.
            Stage::AwaitingTuner => return Err(TriggerError::AlreadyPending),
            Stage::Searching(search) if search.is_recovery() => return Err(TriggerError::AlreadyPending),
            Stage::Searching(_) | Stage::Idle { .. } | Stage::Ended => return Err(TriggerError::NotFound),
        }
        let mut turn = Turn::new(now, sources);
        self.prove(&mut turn);
        self.cycle_ended(&mut turn, &Cause::Manual(normalized(reason)));
        Ok(turn.actions)
    }

    /// The selected source is not offered any more: nothing is held against it, and another one is looked for.
    pub(in crate::session) fn withdrawn_while_watched(&mut self, turn: &mut Turn<'_>, reason: &'static str) {
        self.cycle_ended(turn, &Cause::Manual(reason.to_owned()));
    }

    pub(in crate::session) fn source_ended(&mut self, turn: &mut Turn<'_>) {
        self.lost(turn, &Cause::Eof);
    }

    pub(in crate::session) fn source_broken(&mut self, turn: &mut Turn<'_>, fault: Fault) {
        self.lost(turn, &Cause::Error(fault));
    }

    fn lost(&mut self, turn: &mut Turn<'_>, cause: &Cause) {
        match self.stage {
            Stage::Live | Stage::Idle { .. } => self.cycle_ended(turn, cause),
            // A source that was given up for another reason at the same moment.
            Stage::Searching(_) | Stage::Ended => {}
            Stage::AwaitingTuner => unreachable!("no source is selected in {:?}", self.stage),
        }
    }

    pub(in crate::session) fn stalled(&mut self, turn: &mut Turn<'_>, what: &'static str) {
        match self.stage {
            Stage::Live => self.cycle_ended(turn, &Cause::Stall(what)),
            Stage::Idle { .. } => {
                // Nobody misses anything. But it does not run well, so its time begins anew.
                let proven_at = turn.now + self.params.min_health;
                if let Some(selected) = &mut self.selected
                    && selected.proven_at.is_some()
                {
                    selected.proven_at = Some(proven_at);
                }
            }
            // A source that was given up for another reason at the same moment.
            Stage::Searching(_) | Stage::Ended => {}
            Stage::AwaitingTuner => unreachable!("no source is selected in {:?}", self.stage),
        }
    }

    /// The selected source does not go on.
    fn cycle_ended(&mut self, turn: &mut Turn<'_>, cause: &Cause) {
        let selected = self.selected.as_mut().expect("a session that is live has selected a source");
        selected.proven_at = None;
        let (id, provider) = (selected.id, selected.provider.clone());
        let is_held_to_account = selected.is_held_to_account(turn.now, &self.params);
        let word = cause.word();
        if self.viewers == 0 {
            turn.note(Notice::IdleSkip { source: id, reason: word });
            return self.finish(turn, Status::Completed, "");
        }
        turn.push(Action::StopSource);
        let blamed = cause.blame();
        // As they stand before this failure is told: the database's view must not hold it against the source.
        let mut candidates = turn.list().to_vec();
        if let Some(fault) = &blamed {
            turn.push(Action::RecordFailure { id, reason: fault.text.clone(), persist: is_held_to_account });
            turn.arm_if_overlimit(&self.params, &provider, fault);
            if is_held_to_account {
                cool(&mut candidates, id, turn.now);
            } else {
                self.penalize(turn, id, format!("startup_passed_unstable_{word}"));
            }
        }
        if cause.is_stall() {
            self.record.stall_count += 1;
        }
        if self.params.stall_policy == StallPolicy::CloseSession {
            // What ran is stopped already.
            self.stage = Stage::Ended;
            return self.finish(turn, Status::Error, &cause.terminal());
        }
        self.begin_recovery(turn, id, word, cause, candidates);
    }

    fn begin_recovery(
        &mut self,
        turn: &mut Turn<'_>,
        source: SourceId,
        word: String,
        cause: &Cause,
        candidates: Vec<Candidate>,
    ) {
        let now = turn.now;
        let record = &mut self.record;
        record.recovery_cycle = record.recovery_cycle.saturating_add(1);
        record.recovery_reason = Some(word.clone());
        let cycle = record.recovery_cycle;
        match self.trigger_log.admit(now, source, &word) {
            Some(coalesced) => {
                let (reason, what) = (word.clone(), cause.what());
                turn.note(Notice::RecoveryTriggered { source, reason, what, cycle, coalesced });
            }
            None => record.trigger_logs_coalesced += 1,
        }
        let reselects = record.same_source_reselect_count;
        let selected_at = record.last_selected_at.unwrap_or(now);
        if now - selected_at >= self.budget.reset_window() {
            self.without_source = std::time::Duration::ZERO;
        }
        // Losses that follow each other share the time that viewers may be without a source.
        let left = self.params.stall_hard_deadline.saturating_sub(self.without_source);
        let until = selected_at + pacing(cause.has_ended(), reselects);
        self.stage = Stage::Searching(Box::new(Search {
            origin: Origin::Recovery(Outage {
                current: source,
                reason: word.clone(),
                is_stall: cause.is_stall(),
                is_manual: matches!(cause, Cause::Manual(_)),
            }),
            selection_reason: format!("{RECOVERY_PREFIX}{cycle}:{word}"),
            started_at: now,
            deadline: now + left,
            candidates,
            plan: Plan::Pacing { until: until.min(now + left) },
            attempt: None,
            waits_until: now,
            any_silent: false,
        }));
        if self.params.filler_enabled {
            self.filler_runs = true;
            turn.push(Action::StartFiller);
        }
        self.advance(turn);
    }

    /// A recovery goes on after its pacing: it is counted.
    pub(in crate::session) fn charge(&mut self, now: Instant) -> Result<(), End> {
        let Stage::Searching(search) = &self.stage else { unreachable!("a recovery is a search") };
        if now >= search.deadline {
            return Err(End::Failed("recovery deadline exceeded".to_owned()));
        }
        let since_selection = self.record.last_selected_at.map_or_else(Default::default, |at| now - at);
        self.budget.charge(now, since_selection).map_err(|exhausted| End::Failed(exhausted.to_string()))
    }
}

/// The failure that is being told to the engine in this turn, as it will be known from then on.
fn cool(candidates: &mut [Candidate], source: SourceId, now: Instant) {
    for candidate in candidates.iter_mut().filter(|candidate| candidate.id == source) {
        candidate.fails = candidate.fails.saturating_add(1);
        candidate.last_fail_at = u64::MAX;
        candidate.cooling_until = candidate.cooling_until.max(Some(now + cooldown_after(candidate.fails)));
    }
}

/// A reason as it is kept: lower-case words joined by underscores.
fn normalized(reason: &str) -> String {
    let words: Vec<_> = reason.split_whitespace().collect();
    if words.is_empty() {
        return "manual_trigger".to_owned();
    }
    words.join("_").to_lowercase().chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_becomes_lower_case_words_joined_by_underscores() {
        for (given, expected) in [
            ("  Operator  Click ", "operator_click"),
            ("ui_manual_trigger", "ui_manual_trigger"),
            (" \t ", "manual_trigger"),
            ("A\nB", "a_b"),
        ] {
            assert_eq!(normalized(given), expected);
        }
        assert_eq!(normalized(&"x".repeat(9999)).len(), REASON_CHARS_MAX);
    }
}
