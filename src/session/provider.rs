//! Providers that have said "too many streams": left alone for a while, by all sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;

use super::release::{Counted, Release, Releases};
use super::scope::ProviderScope;

/// Providers remembered. When full, those whose time is over go, then by [`ProviderCooldown::worth`].
const SCOPES_MAX: usize = 256;
/// A provider's own wish is granted up to here.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// How long a provider is left alone: as configured, or as it asks for if that is longer, within reason.
#[must_use]
pub(super) fn cooldown_with(configured: Duration, retry_after: Option<Duration>) -> Duration {
    if configured.is_zero() {
        return Duration::ZERO;
    }
    configured.max(retry_after.unwrap_or(Duration::ZERO).min(RETRY_AFTER_MAX))
}

#[derive(Clone, Debug)]
struct ProviderCooldown {
    until: Instant,
    arms: u32,
    armed_at: Instant,
}

impl ProviderCooldown {
    /// What goes first when there is no room: what was armed least often, then what was not touched for longest,
    /// then what ends first.
    const fn worth(&self) -> (u32, Instant, Instant) {
        (self.arms, self.armed_at, self.until)
    }
}

/// The providers that are being left alone.
#[derive(Clone, Debug)]
pub struct ProviderCooldowns {
    cooldown: Duration,
    scopes: BTreeMap<ProviderScope, ProviderCooldown>,
    releases: Releases,
}

impl ProviderCooldowns {
    /// Leaves providers alone for this long; zero is not at all.
    #[must_use]
    pub fn new(cooldown: Duration) -> Self {
        Self { cooldown, scopes: BTreeMap::new(), releases: Releases::default() }
    }

    /// Leaves them alone for this long from now on.
    pub fn set_cooldown(&mut self, cooldown: Duration) {
        self.cooldown = cooldown;
    }

    /// A connection to the provider is closed. It may go on counting it.
    pub fn gave_up(&mut self, now: Instant, scope: &ProviderScope) {
        self.releases.gave_up(now, scope);
    }

    /// Others have seen how long a provider counts a connection that is closed.
    pub fn recall(&mut self, now: Instant, counted: &Counted) {
        self.releases.recall(now, counted);
    }

    /// How long the provider is taken to count a connection that is closed.
    #[must_use]
    pub fn counted(&self, scope: &ProviderScope) -> Duration {
        self.releases.unasked(scope)
    }

    /// What is known of a provider that may count a closed connection.
    #[must_use]
    pub fn release(&self, now: Instant, scope: &ProviderScope) -> Option<Release> {
        self.releases.of(now, scope)
    }

    /// The provider has refused an attempt, for a connection that is closed perhaps; it is asked again at `until`.
    pub fn await_release(&mut self, now: Instant, scope: &ProviderScope, until: Instant) {
        self.releases.refused(scope);
        self.hold(now, scope, until);
    }

    /// The provider has said 429, and perhaps when to come back.
    pub fn arm(&mut self, now: Instant, scope: &ProviderScope, retry_after: Option<Duration>) {
        let cooldown = cooldown_with(self.cooldown, retry_after);
        if !cooldown.is_zero() {
            self.hold(now, scope, now + cooldown);
        }
    }

    /// The provider is left alone until then.
    fn hold(&mut self, now: Instant, scope: &ProviderScope, until: Instant) {
        self.scopes.retain(|_, entry| entry.until > now);
        let entry = self.scopes.entry(scope.clone()).or_insert(ProviderCooldown {
            until: now,
            arms: 0,
            armed_at: now,
        });
        entry.until = entry.until.max(until);
        entry.arms = entry.arms.saturating_add(1);
        entry.armed_at = now;
        if self.scopes.len() > SCOPES_MAX {
            let others = self.scopes.iter().filter(|(other, _)| *other != scope);
            let least = others.min_by_key(|(other, entry)| (entry.worth(), *other));
            if let Some(least) = least.map(|(scope, _)| scope.clone()) {
                self.scopes.remove(&least);
            }
        }
    }

    /// A source of the provider, whose start was begun at `since`, has started. What was armed after that stays:
    /// it speaks of a newer attempt than the one that succeeded. Gives what it teaches of how long the provider counts.
    pub fn clear(&mut self, scope: &ProviderScope, since: Instant) -> Option<Counted> {
        let counted = self.releases.admitted(scope, since);
        if self.scopes.get(scope).is_some_and(|entry| entry.armed_at <= since) {
            self.scopes.remove(scope);
        }
        counted
    }

    /// When the provider may be asked again; `None` is now.
    #[must_use]
    pub fn free_at(&self, now: Instant, scope: &ProviderScope) -> Option<Instant> {
        let held = self.scopes.get(scope).map(|entry| entry.until).filter(|until| *until > now);
        held.max(self.releases.free_at(now, scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_millis(200);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn host(number: u32) -> ProviderScope {
        ProviderScope::of(&format!("http://h{number:03}/x"), 1)
    }

    #[test]
    fn a_scope_is_the_host_and_port_of_the_address_or_the_source() {
        for (url, id, expected) in [
            ("https://H/x", 7, "h"),
            ("http://h/y?token=1", 7, "h"),
            ("h:8080/x", 7, "h:8080"),
            ("http://h:80/x", 7, "h:80"),
            ("rtp://@239.0.0.1:1234", 7, "239.0.0.1:1234"),
            ("http://user:secret@Host.Example:81/x", 7, "host.example:81"),
            ("http://[2001:DB8::1]:81/x", 7, "[2001:db8::1]:81"),
            ("foo", 7, "foo"),
            ("//cdn/x", 7, "cdn"),
            ("/rel", 7, "source:7"),
            ("  ", 7, "source:7"),
            ("file:///x", 7, "source:7"),
            ("http://h:port/x", 7, "source:7"),
            ("", 0, "global"),
        ] {
            assert_eq!(ProviderScope::of(url, id).to_string(), expected, "{url}");
        }
    }

    #[test]
    fn a_provider_is_left_alone_for_the_cooldown_and_another_one_is_not() {
        let mut providers = ProviderCooldowns::new(COOLDOWN);
        providers.arm(at(0), &host(1), None);
        assert_eq!(providers.free_at(at(199), &host(1)), Some(at(200)));
        assert_eq!(providers.free_at(at(200), &host(1)), None, "its end is its end");
        assert_eq!(providers.free_at(at(0), &host(2)), None);
    }

    #[test]
    fn arming_again_extends_and_never_shortens() {
        let mut providers = ProviderCooldowns::new(COOLDOWN);
        providers.arm(at(0), &host(1), Some(Duration::from_secs(2)));
        providers.arm(at(100), &host(1), None);
        assert_eq!(providers.free_at(at(100), &host(1)), Some(at(2000)));
    }

    #[test]
    fn a_providers_own_wish_counts_up_to_five_minutes_and_only_when_cooldowns_are_on() {
        for (configured, wish, expected) in [
            (200, None, 200),
            (200, Some(100), 200),
            (200, Some(7000), 7000),
            (200, Some(900_000), 300_000),
            (0, Some(7000), 0),
        ] {
            let wish = wish.map(Duration::from_millis);
            let configured = Duration::from_millis(configured);
            assert_eq!(cooldown_with(configured, wish), Duration::from_millis(expected));
            let mut providers = ProviderCooldowns::new(configured);
            providers.arm(at(0), &host(1), wish);
            assert_eq!(providers.free_at(at(0), &host(1)), (expected > 0).then(|| at(expected)));
        }
    }

    #[test]
    fn a_success_clears_its_own_scope_and_only_what_was_armed_before_its_attempt() {
        let mut providers = ProviderCooldowns::new(COOLDOWN);
        providers.arm(at(0), &host(1), None);
        providers.arm(at(0), &host(2), None);
        providers.clear(&host(1), at(0));
        assert_eq!(providers.free_at(at(1), &host(1)), None);
        assert!(providers.free_at(at(1), &host(2)).is_some());
        providers.arm(at(5), &host(1), None);
        providers.clear(&host(1), at(4));
        assert!(providers.free_at(at(6), &host(1)).is_some(), "a newer attempt was turned away");
    }

    #[test]
    fn an_often_armed_scope_survives_the_churn_of_others_and_still_gates() {
        let mut providers = ProviderCooldowns::new(Duration::from_secs(60));
        let busy = ProviderScope::of("http://busy", 1);
        for _again in 0..3 {
            providers.arm(at(0), &busy, None);
        }
        for number in 0..320 {
            providers.arm(at(u64::from(number) + 1), &host(number), None);
        }
        assert_eq!(providers.scopes.len(), SCOPES_MAX);
        assert!(providers.free_at(at(400), &busy).is_some());
        assert!(providers.free_at(at(400), &host(319)).is_some(), "the newest stays");
        assert!(providers.free_at(at(400), &host(0)).is_none(), "the oldest goes");
    }

    #[test]
    fn scopes_whose_time_is_over_are_forgotten() {
        let mut providers = ProviderCooldowns::new(COOLDOWN);
        providers.arm(at(0), &host(1), None);
        providers.arm(at(500), &host(2), None);
        assert_eq!(providers.scopes.len(), 1);
    }
}
