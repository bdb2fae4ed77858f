//! One call of the machine: its time, what it asks and what it wants done.

use crate::base::Instant;

use super::actions::{Action, Notice};
use super::events::{Candidate, Params, Sources};
use super::provider::cooldown_with;
use super::scope::ProviderScope;
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

    /// An attempt was refused, for a connection perhaps that is closed but still counted: the provider is asked again in
    /// a moment, and until then other providers are. False when that cannot be the reason, or takes longer than `latest`.
    pub(super) fn await_release(&mut self, scope: &ProviderScope, fault: &Fault, latest: Instant) -> bool {
        if !fault.may_be_for_count() || fault.retry_after.is_some() {
            return false;
        }
        let now = self.now;
        let release = self.list().iter().find(|candidate| candidate.provider == *scope);
        let until = release.and_then(|known| known.release).and_then(|release| release.again_at(now));
        let Some(until) = until.filter(|until| *until < latest) else { return false };
        self.hold(scope, until);
        self.push(Action::AwaitRelease { scope: scope.clone(), until });
        true
    }

    /// The list of this call is told that the provider is left alone.
    fn hold(&mut self, scope: &ProviderScope, until: Instant) {
        self.list();
        for candidate in self.list.iter_mut().flatten().filter(|candidate| candidate.provider == *scope) {
            candidate.provider_free_at = candidate.provider_free_at.max(Some(until));
        }
    }

    /// A provider's 429 is told to the engine, which acts on it after this call. So that the next source is chosen
    /// with it in mind, the list of this call is told too.
    pub(super) fn arm_if_overlimit(&mut self, params: &Params, scope: &ProviderScope, fault: &Fault) {
        if fault.status != Some(429) || params.provider_cooldown.is_zero() {
            return;
        }
        let until = self.now + cooldown_with(params.provider_cooldown, fault.retry_after);
        self.hold(scope, until);
        self.push(Action::ArmProvider { scope: scope.clone(), retry_after: fault.retry_after });
    }
}
