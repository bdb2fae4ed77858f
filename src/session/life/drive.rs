//! A search is carried on: attempts begin, succeed and fail.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

use super::{Machine, Stage};
use crate::session::actions::{Action, Notice};
use crate::session::choose::{at_startup, choose};
use crate::session::events::{Params, StallPolicy};
use crate::session::pass::Pass;
use crate::session::penalty::Penalties;
use crate::session::scope::ProviderScope;
use crate::session::search::{Origin, Plan, Search};
use crate::session::selected::Selected;
use crate::session::step::{End, Fault, Look, Step};
use crate::session::turn::Turn;

/// What a source that gave nothing in time is recorded with.
const TIMED_OUT: &str = "startup timeout waiting for source bytes";

/// What it waits for whose provider has no place left.
const NO_PLACE: &str = "all places at the provider are taken";

impl Machine {
    /// The tuner is there: the first source is looked for.
    pub(in crate::session) fn begin_startup(&mut self, turn: &mut Turn<'_>) {
        let total = match self.params.failover_total_timeout {
            Duration::ZERO => self.params.startup_timeout,
            total => total,
        };
        self.stage = Stage::Searching(Box::new(Search {
            origin: Origin::Startup,
            selection_reason: "initial_startup".to_owned(),
            started_at: turn.now,
            deadline: turn.now + total,
            candidates: at_startup(turn.list(), self.params.failovers_max),
            plan: Plan::Pass(Pass::after(None, turn.now)),
            attempt: None,
            waits_until: turn.now,
            any_silent: false,
        }));
        self.advance(turn);
    }

    /// Carries the search on until it waits for something or is over.
    pub(in crate::session) fn advance(&mut self, turn: &mut Turn<'_>) {
        loop {
            let now = turn.now;
            let Stage::Searching(search) = &mut self.stage else { return };
            let is_recovery = search.is_recovery();
            let look = look(now, &self.params, &self.penalties, is_recovery, turn);
            match search.step(&look) {
                Step::Start { index, attempt } => {
                    let selection_reason = search.selection_reason.clone();
                    let timeout = attempt.deadline - now;
                    turn.push(Action::StartSource {
                        index,
                        selection_reason,
                        timeout,
                        in_recovery: is_recovery,
                    });
                    return;
                }
                Step::Wait(until) if until > now => return,
                Step::Wait(_now) => {}
                Step::Paced => {
                    if let Err(end) = self.charge(now).and_then(|()| self.choose(turn)) {
                        return self.search_over(turn, end);
                    }
                }
                Step::GiveWay { source, attempts, last, not_before } => {
                    let reason = last.as_ref().map_or_else(String::new, |last| last.text.clone());
                    search.plan = Plan::Pass(Pass::after(last, not_before));
                    if attempts > 0 {
                        turn.note(Notice::AlternateFailed { source, attempts, reason });
                    }
                }
                Step::Unusable { id, provider } => {
                    let fault = Fault::text("source stream URL is empty");
                    search.failed(now, fault.clone(), Duration::ZERO);
                    self.blame(turn, id, &provider, &fault);
                }
                Step::Over(end) => return self.search_over(turn, end),
            }
        }
    }

    /// How the recovery goes on, now that it may.
    pub(in crate::session) fn choose(&mut self, turn: &mut Turn<'_>) -> Result<(), End> {
        let (now, settle) = (turn.now, turn.sources.failover_settle(turn.now));
        let Stage::Searching(search) = &mut self.stage else { unreachable!("a recovery is a search") };
        let Origin::Recovery(outage) = &search.origin else { unreachable!("the first source is not chosen") };
        let look = look(now, &self.params, &self.penalties, true, turn);
        let candidates = std::mem::take(&mut search.candidates);
        let choice = choose(&look, outage, candidates, search.deadline, settle)?;
        search.plan = choice.plan;
        search.candidates = choice.candidates;
        search.deadline = choice.deadline;
        if let Some(notice) = choice.notice {
            turn.note(notice);
        }
        Ok(())
    }

    /// The time of what the search waits for has come.
    pub(in crate::session) fn search_deadline(&mut self, turn: &mut Turn<'_>) {
        let Stage::Searching(search) = &self.stage else { unreachable!("only a search waits") };
        if search.attempt.is_some() {
            let fault = Fault { silent: true, ..Fault::text(TIMED_OUT) };
            return self.attempt_failed(turn, fault);
        }
        self.advance(turn);
    }

    pub(in crate::session) fn source_ready(&mut self, turn: &mut Turn<'_>) {
        match &mut self.stage {
            Stage::Searching(search) => {
                // An attempt that was just given up may still have had its first picture on the way.
                let Some(attempt) = search.attempt.take() else { return };
                let (started_at, is_recovery) = (search.started_at, search.is_recovery());
                let reason = std::mem::take(&mut search.selection_reason);
                if is_recovery {
                    self.without_source += turn.now - started_at;
                }
                self.stop_filler(turn, true);
                self.stage = Stage::Live;
                turn.push(Action::ClearProvider {
                    scope: attempt.provider.clone(),
                    since: attempt.started_at,
                });
                self.select(turn, attempt.id, attempt.provider, reason);
                turn.push(Action::Admit);
            }
            // So may a source that was just stopped.
            Stage::Ended => {}
            Stage::AwaitingTuner | Stage::Live | Stage::Idle { .. } => {
                unreachable!("no source is being started in {:?}", self.stage)
            }
        }
    }

    fn select(&mut self, turn: &mut Turn<'_>, id: SourceId, provider: ProviderScope, reason: String) {
        let is_same = self.selected.as_ref().is_some_and(|selected| selected.id == id);
        let record = &mut self.record;
        record.source_select_count += 1;
        record.same_source_reselect_count =
            if is_same { record.same_source_reselect_count.saturating_add(1) } else { 0 };
        record.last_selected_at = Some(turn.now);
        record.last_select_reason = Some(reason.clone());
        let proven_at = Some(turn.now + self.params.min_health);
        self.selected = Some(Selected { id, provider, at: turn.now, reason, proven_at });
        self.prove(turn);
    }

    /// A source that has run well for long enough has proved itself.
    pub(in crate::session) fn prove(&mut self, turn: &mut Turn<'_>) {
        let Some(selected) = &mut self.selected else { return };
        if selected.proven_at.is_some_and(|at| at <= turn.now) {
            selected.proven_at = None;
            self.penalties.clear(selected.id);
            turn.push(Action::RecordSuccess { id: selected.id });
        }
    }

    pub(in crate::session) fn source_failed(&mut self, turn: &mut Turn<'_>, fault: Fault) {
        match &self.stage {
            Stage::Searching(search) if search.attempt.is_some() => self.attempt_failed(turn, fault),
            // An attempt that has been given up.
            Stage::Searching(_) | Stage::Ended => {}
            Stage::AwaitingTuner | Stage::Live | Stage::Idle { .. } => {
                unreachable!("no source is being started in {:?}", self.stage)
            }
        }
    }

    /// Another has taken the place at the provider that was free a moment ago: it is no failure of the source.
    pub(in crate::session) fn no_place(&mut self, turn: &mut Turn<'_>) {
        let Stage::Searching(search) = &mut self.stage else { return };
        let Some(attempt) = search.attempt.take() else { return };
        search.refused(attempt.id, Fault::text(NO_PLACE));
        turn.push(Action::StopSource);
        self.advance(turn);
    }

    fn attempt_failed(&mut self, turn: &mut Turn<'_>, fault: Fault) {
        let settle = turn.sources.failover_settle(turn.now);
        let Stage::Searching(search) = &mut self.stage else {
            unreachable!("an attempt is part of a search")
        };
        let attempt = search.attempt.take().expect("the caller has seen it");
        // Waiting for a provider is not to take longer than a source may take to start.
        let latest = search.started_at + self.params.startup_timeout;
        if turn.await_release(&attempt.provider, &fault, latest) {
            // It is no failure of the source: nothing is held against it, and it is tried again.
            search.refused(attempt.id, fault);
            turn.push(Action::StopSource);
            return self.advance(turn);
        }
        search.failed(turn.now, fault.clone(), settle);
        turn.push(Action::StopSource);
        self.blame(turn, attempt.id, &attempt.provider, &fault);
        self.advance(turn);
    }

    /// Says what a failed start means for its source and its provider.
    fn blame(&mut self, turn: &mut Turn<'_>, id: SourceId, provider: &ProviderScope, fault: &Fault) {
        let Stage::Searching(search) = &self.stage else { unreachable!("sources are started by a search") };
        turn.push(Action::RecordFailure { id, reason: fault.text.clone(), persist: !search.is_recovery() });
        turn.arm_if_overlimit(&self.params, provider, fault);
        if let Origin::Recovery(outage) = &search.origin
            && outage.current != id
        {
            let reason = format!("alternate_startup_failed_{}", outage.reason);
            self.penalize(turn, id, reason);
        }
    }

    /// The source is passed over for a while, if others may be chosen at all.
    pub(in crate::session) fn penalize(&mut self, turn: &mut Turn<'_>, source: SourceId, reason: String) {
        if self.params.stall_policy != StallPolicy::FailoverSource {
            return;
        }
        let penalty = self.penalties.record(turn.now, source);
        let cooldown = penalty.until - turn.now;
        turn.note(Notice::Penalized { source, reason, count: penalty.count, cooldown });
    }
}

/// What a plan looks at, in this turn.
fn look<'a>(
    now: Instant,
    params: &'a Params,
    penalties: &'a Penalties<SourceId>,
    is_recovery: bool,
    turn: &'a mut Turn<'_>,
) -> Look<'a> {
    let counts = is_recovery && params.stall_policy == StallPolicy::FailoverSource;
    Look { now, params, list: turn.list(), penalties: counts.then_some(penalties) }
}
