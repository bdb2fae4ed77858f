//! What all cores know of providers, as one of them sees it: by its own time.

use std::time::Duration;

use crate::base::{Instant, OwnTime};
use crate::engine::port::providers::SharedProviders;
use crate::session::{Counted, ProviderScope, Release};

/// One core's look at them.
#[derive(Clone, Copy)]
pub(crate) struct Providers<'a> {
    shared: &'a SharedProviders,
    time: OwnTime,
}

impl<'a> Providers<'a> {
    pub(crate) const fn new(shared: &'a SharedProviders, time: OwnTime) -> Self {
        Self { shared, time }
    }

    fn clock(&self, own: Instant) -> Instant {
        own + self.time.lost()
    }

    /// A connection to the provider is closed. It may go on counting it.
    pub(crate) fn gave_up(&self, now: Instant, scope: &ProviderScope) {
        self.shared.lock().gave_up(self.clock(now), scope);
    }

    /// It was seen before this process began how long a provider counts a connection that is closed.
    pub(crate) fn recall(&self, now: Instant, counted: &Counted) {
        self.shared.lock().recall(self.clock(now), counted);
    }

    /// How long the provider is taken to count a connection that is closed.
    pub(crate) fn counted(&self, scope: &ProviderScope) -> Duration {
        self.shared.lock().counted(scope)
    }

    /// What is known of a provider that may count a closed connection.
    pub(crate) fn release(&self, now: Instant, scope: &ProviderScope) -> Option<Release> {
        let release = self.shared.lock().release(self.clock(now), scope);
        release.map(|release| release.by(&self.time))
    }

    /// The provider has refused an attempt, for a connection that is closed perhaps; it is asked again at `until`.
    pub(crate) fn await_release(&self, now: Instant, scope: &ProviderScope, until: Instant) {
        self.shared.lock().await_release(self.clock(now), scope, self.clock(until));
    }

    /// The provider has said 429, and perhaps when to come back.
    pub(crate) fn arm(&self, now: Instant, scope: &ProviderScope, retry_after: Option<Duration>) {
        self.shared.lock().arm(self.clock(now), scope, retry_after);
    }

    /// A source of the provider, whose start was begun at `since`, has started. Gives what that teaches.
    pub(crate) fn clear(&self, scope: &ProviderScope, since: Instant) -> Option<Counted> {
        self.shared.lock().clear(scope, self.clock(since))
    }

    /// When the provider may be asked again; `None` is now.
    pub(crate) fn free_at(&self, now: Instant, scope: &ProviderScope) -> Option<Instant> {
        let free_at = self.shared.lock().free_at(self.clock(now), scope);
        free_at.map(|at| self.time.of(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_core_hears_of_a_provider_another_heeds_in_its_own_time() {
        let seconds = Duration::from_secs;
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let shared = SharedProviders::default();
        shared.lock().set_cooldown(seconds(5));
        let scope = ProviderScope::of("http://provider/x", 1);
        // One has stood still for ten seconds, less a tenth of one that is no loss.
        let mut behind = OwnTime::starting(at(0));
        let own = behind.read(at(10), Duration::ZERO);
        let (late, prompt) =
            (Providers::new(&shared, behind), Providers::new(&shared, OwnTime::starting(at(0))));
        prompt.arm(at(10), &scope, None);
        assert_eq!(prompt.free_at(at(10), &scope), Some(at(15)));
        assert_eq!(late.free_at(own, &scope), Some(own + seconds(5)));
        late.gave_up(own + seconds(1), &scope);
        assert_eq!(
            late.release(own + seconds(1), &scope),
            prompt.release(at(11), &scope).map(|it| it.by(&behind))
        );
        assert!(prompt.release(at(20), &scope).is_some() && prompt.release(at(21), &scope).is_none());
    }
}
