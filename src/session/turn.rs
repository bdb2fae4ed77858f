//! One call of the machine: its time, what it asks and what it wants done.

use crate::base::Instant;

use super::actions::{Action, Notice};
use super::events::{Candidate, Params, Sources};
use super::provider::{ProviderScope, cooldown_with};
use super::step::Fault;

/// One call of the machine.
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    pub(super) actions: Vec<Action>,
    pub(super) sources: &'a mut dyn Sources,
    list: Option<Vec<Candidate>>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(now: Instant, sources: &'a mut dyn Sources) -> Self {
        Self { now, actions: Vec::new(), sources, list: None }
    }

    pub(super) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(super) fn note(&mut self, notice: Notice) {
        self.actions.push(Action::Note(notice));
    }

    /// The channel's sources, asked for once per call.
    pub(super) fn list(&mut self) -> &[Candidate] {
        let sources = &mut self.sources;
        self.list.get_or_insert_with(|| sources.candidates())
    }

    /// A provider's 429 is told to the engine, which acts on it after this call. So that the next source is chosen
    /// with it in mind, the list of this call is told too.
    pub(super) fn arm_if_overlimit(&mut self, params: &Params, scope: &ProviderScope, fault: &Fault) {
        if fault.status != Some(429) || params.provider_cooldown.is_zero() {
            return;
        }
        let until = self.now + cooldown_with(params.provider_cooldown, fault.retry_after);
        self.list();
        for candidate in self.list.iter_mut().flatten().filter(|candidate| candidate.provider == *scope) {
            candidate.provider_free_at = candidate.provider_free_at.max(Some(until));
        }
        self.push(Action::ArmProvider { scope: scope.clone(), retry_after: fault.retry_after });
    }
}
