//! All sources, one after the other, again and again while there is hope and time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;

use super::events::Candidate;
use super::step::{End, Fault, Look, Standing, Step};

const COOLING: &str = "all source candidates currently in cooldown";
const LIMITED: &str = "all source candidates wait for their provider";
const EXHAUSTED: &str = "all source attempts exhausted";

/// All sources, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    tried: BTreeSet<SourceId>,
    /// Came too early to their provider: they are tried again when the others were.
    early: BTreeSet<SourceId>,
    /// All cool: this one is tried all the same.
    forced: Option<SourceId>,
    has_begun: bool,
    not_before: Instant,
    last: Option<Fault>,
}

/// What a pass found that cannot be tried yet.
#[derive(Default)]
struct Later {
    /// The first provider is free then.
    provider: Option<Instant>,
    /// Some were passed over because they cool.
    is_cooling: bool,
    /// The first of all that cool has cooled then.
    cooled_at: Option<Instant>,
}

impl Pass {
    /// A pass that begins then, after an attempt that failed if there was one.
    pub(super) fn after(last: Option<Fault>, not_before: Instant) -> Self {
        Self {
            tried: BTreeSet::new(),
            early: BTreeSet::new(),
            forced: None,
            has_begun: false,
            not_before,
            last,
        }
    }

    pub(super) fn step(&mut self, look: &Look<'_>, candidates: &[Candidate], deadline: Instant) -> Step {
        if look.now.max(self.not_before) >= deadline {
            return self.over(EXHAUSTED);
        }
        if self.not_before > look.now {
            return Step::Wait(self.not_before);
        }
        let entries: Vec<(&Candidate, Standing)> =
            candidates.iter().filter_map(|then| Some((look.fresh(then.id)?, look.standing(then)))).collect();
        if entries.is_empty() {
            return Step::Over(End::NoSources);
        }
        if !self.has_begun {
            self.has_begun = true;
            self.forced = forced(&entries);
        }
        let is_left = |source: &Candidate| !self.tried.contains(&source.id);
        if entries.iter().all(|(source, _)| !is_left(source) || self.early.contains(&source.id)) {
            self.early.clear();
        }
        let mut later = Later::default();
        let left: Vec<_> = entries.iter().filter(|(source, _)| is_left(source)).collect();
        let (early, first): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(source, _)| self.early.contains(&source.id));
        for (source, standing) in first.into_iter().chain(early) {
            match (standing.cooling_until, source.provider_free_at) {
                (Some(_), _) if self.forced != Some(source.id) => later.is_cooling = true,
                (_, Some(free_at)) if free_at > look.now && source.has_url => {
                    later.provider = later.provider.into_iter().chain([free_at]).min();
                }
                (Some(_) | None, Some(_) | None) => {
                    self.tried.insert(source.id);
                    if source.has_url {
                        return look.attempt(source, deadline);
                    }
                    return Step::Unusable { id: source.id, provider: source.provider.clone() };
                }
            }
        }
        if later.is_cooling {
            // Those that were tried and cool since then may be the first that can be tried again.
            later.cooled_at = entries.iter().filter_map(|(_, standing)| standing.cooling_until).min();
        }
        self.wait_or_end(look, &later, deadline)
    }

    /// Nothing can be tried at this moment.
    fn wait_or_end(&mut self, look: &Look<'_>, later: &Later, deadline: Instant) -> Step {
        match (later.provider, later.cooled_at) {
            (Some(free_at), cooling) => {
                let at = cooling.map_or(free_at, |cooling| cooling.min(free_at));
                if at >= deadline { self.over(LIMITED) } else { Step::Wait(at) }
            }
            (None, Some(until)) if until >= deadline => self.over(COOLING),
            (None, Some(until)) => {
                self.last = Some(Fault::text(COOLING));
                self.begin_again();
                self.not_before = until;
                Step::Wait(until)
            }
            (None, None) => {
                let is_overlimit = self.last.as_ref().is_some_and(|last| last.status == Some(429));
                if !is_overlimit || look.params.provider_cooldown.is_zero() {
                    return self.over(EXHAUSTED);
                }
                // Their provider was told to be left alone: the next pass waits for it.
                self.begin_again();
                Step::Wait(look.now)
            }
        }
    }

    pub(super) fn failed(&mut self, now: Instant, fault: Fault, candidates: usize, settle: Duration) {
        self.last = Some(fault);
        if self.tried.len() < candidates {
            self.not_before = now + settle;
        }
    }

    /// The source has come too early: it is still to be tried.
    pub(super) fn refused(&mut self, id: SourceId, fault: Fault) {
        self.last = Some(fault);
        self.tried.remove(&id);
        self.early.insert(id);
    }

    fn begin_again(&mut self) {
        self.tried.clear();
        self.early.clear();
        self.forced = None;
        self.has_begun = false;
    }

    fn over(&mut self, text: &str) -> Step {
        let text = self.last.take().map_or_else(|| text.to_owned(), |last| last.text);
        Step::Over(End::Failed(text))
    }
}

/// When all are left alone, one of them is tried all the same: waiting for all would be worse.
fn forced(entries: &[(&Candidate, Standing)]) -> Option<SourceId> {
    if entries.iter().any(|(_, standing)| standing.cooling_until.is_none()) {
        return None;
    }
    entries
        .iter()
        .min_by_key(|(source, standing)| (standing.fails, source.priority, source.last_fail_at, source.id))
        .map(|(source, _)| source.id)
}
