//! Whose turn it is to try a source in the background: one core's at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::Instant;

use super::ids::CoreId;

/// A core that waits for its turn asks again before this time is over.
const WAITING_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Trials {
    /// Whose turn it is.
    of: Option<CoreId>,
    /// Nobody's before this, by the clock.
    free_at: Instant,
    /// Whose turn is next, and when it asked.
    next: Option<(CoreId, Instant)>,
}

/// The turns of all cores: a provider that is being measured does not see two at once, and has its pause between them.
#[derive(Clone, Debug, Default)]
pub struct SharedTrials(Arc<Mutex<Trials>>);

impl SharedTrials {
    /// True when it is this core's turn now, until it says that it is over.
    pub(crate) fn begin(&self, core: CoreId, clock_now: Instant) -> bool {
        let mut trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = trials.next.filter(|(_, asked_at)| clock_now - *asked_at < WAITING_MAX);
        let is_others = next.is_some_and(|(next, _)| next != core);
        if trials.of.is_some() || clock_now < trials.free_at || is_others {
            trials.next = next.filter(|_| is_others).or(Some((core, clock_now)));
            return false;
        }
        trials.of = Some(core);
        trials.next = None;
        true
    }

    /// Its turn is over. Nobody has one before `free_at`.
    pub(crate) fn end(&self, free_at: Instant) {
        let mut trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(trials.of.take().is_some(), "a turn ends once");
        trials.free_at = free_at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_try_sources_one_after_the_other_with_a_pause_and_none_is_left_out() {
        let at = Instant::from_millis;
        let trials = SharedTrials::default();
        let [first, second, third] = [CoreId(0), CoreId(1), CoreId(2)];
        assert!(trials.begin(first, at(0)));
        assert!(!trials.begin(second, at(10)), "another one's");
        trials.end(at(1000));
        assert!(!trials.begin(second, at(900)), "too early");
        assert!(!trials.begin(first, at(1000)), "the other one has waited");
        assert!(!trials.begin(third, at(1001)));
        assert!(trials.begin(second, at(1002)));
        assert!(!trials.begin(third, at(1003)));
        trials.end(at(1004));
        assert!(!trials.begin(first, at(1004)));
        assert!(trials.begin(first, at(2003)), "whoever waits asks again, or is gone");
    }
}
