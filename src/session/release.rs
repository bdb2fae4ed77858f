//! Providers that count a connection for a while after it was closed: how long, as far as it was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Instant, OwnTime};

use super::scope::ProviderScope;

/// Providers remembered. When full, the one that was used least lately goes.
const SCOPES_MAX: usize = 256;
/// A connection that was given up longer ago is counted by nobody any more.
pub const COUNTED_MAX: Duration = Duration::from_secs(10);
/// The first wait after a refusal, and how long waits may become.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_millis(800);
/// So much longer than it was seen to a provider may count a connection. What it refuses later has another reason.
const LEARNED_SPREAD: Duration = Duration::from_secs(3);
/// The longest that a provider is waited for before it is asked at all: what was seen may have had another reason, and whoever
/// waits for a tuner does not wait longer. A provider that counts for longer refuses once more, and is asked again when it was seen
/// to be ready.
pub(super) const UNASKED_MAX: Duration = Duration::from_secs(3);
/// A provider that needs less is asked at once.
const LEARNED_MIN: Duration = Duration::from_millis(100);

/// How long a provider was seen to count a connection that is closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// Whose connection.
    pub provider: ProviderScope,
    /// `None`: no longer than it takes to ask again.
    pub time: Option<Duration>,
}

/// What is known of a provider to which a connection was given up not long ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// When the last connection to it was closed.
    given_up_at: Instant,
    /// That was before this process began, if at all: the provider is asked at once, and only what it refuses tells that it was.
    is_presumed: bool,
    /// How long after that it was seen to count it.
    learned: Option<Duration>,
    /// So many attempts were refused since.
    refusals: u32,
}

impl Release {
    /// The same by a thread's own time, which stands still while that cannot run.
    #[must_use]
    pub fn by(self, time: &OwnTime) -> Self {
        Self { given_up_at: time.of(self.given_up_at), ..self }
    }

    /// When to ask again after a refusal now; `None` when the connection cannot be counted any more. Waits grow, and
    /// differ a little: all that wait for one provider are not to ask in the same moment.
    #[must_use]
    pub fn again_at(&self, now: Instant) -> Option<Instant> {
        let counted = self.learned.map_or(COUNTED_MAX, |learned| (learned + LEARNED_SPREAD).min(COUNTED_MAX));
        if now - self.given_up_at >= counted {
            return None;
        }
        let wait = (0..self.refusals).fold(WAIT_FIRST, |wait, _| (wait * 3 / 2).min(WAIT_MAX));
        let spread = u32::try_from(now.since(Instant::START).as_micros() % 16).unwrap_or(0);
        let guess = now + wait + wait * spread / 128;
        let known = self.learned.map(|learned| self.given_up_at + learned).filter(|known| *known > now);
        Some(known.unwrap_or(guess))
    }
}

/// The providers to which connections were given up.
#[derive(Clone, Default, Debug)]
pub(super) struct Releases(BTreeMap<ProviderScope, Release>);

impl Releases {
    /// A connection to the provider is closed.
    pub(super) fn gave_up(&mut self, now: Instant, scope: &ProviderScope) {
        let learned = self.0.get(scope).and_then(|release| release.learned);
        self.insert(scope, Release { given_up_at: now, is_presumed: false, learned, refusals: 0 });
    }

    fn insert(&mut self, scope: &ProviderScope, release: Release) {
        self.0.insert(scope.clone(), release);
        if self.0.len() > SCOPES_MAX {
            let others = self.0.iter().filter(|(other, _)| *other != scope);
            let oldest = others.min_by_key(|(other, release)| (release.given_up_at, *other));
            if let Some(oldest) = oldest.map(|(scope, _)| scope.clone()) {
                self.0.remove(&oldest);
            }
        }
    }

    /// Others have seen how long the provider counts: before this process, or on another core.
    pub(super) fn recall(&mut self, now: Instant, counted: &Counted) {
        let Counted { provider, time } = counted;
        let learned = time.map(|time| time.min(COUNTED_MAX));
        match self.0.get_mut(provider) {
            Some(release) => release.learned = learned,
            None if learned.is_some() => {
                self.insert(provider, Release { given_up_at: now, is_presumed: true, learned, refusals: 0 });
            }
            None => {}
        }
    }

    /// The provider has refused an attempt that may have come too early.
    pub(super) fn refused(&mut self, scope: &ProviderScope) {
        if let Some(release) = self.0.get_mut(scope) {
            release.refusals = release.refusals.saturating_add(1);
        }
    }

    /// An attempt that was begun at `since` has succeeded. Gives what that teaches, if it is something new.
    pub(super) fn admitted(&mut self, scope: &ProviderScope, since: Instant) -> Option<Counted> {
        let release = self.0.get_mut(scope)?;
        let waited = since.since(release.given_up_at);
        let before = release.learned;
        if release.is_presumed || waited >= COUNTED_MAX {
            release.refusals = 0;
            return None;
        }
        if release.refusals > 0 {
            release.learned = Some(waited);
        } else {
            // It may have become quicker: the next attempt comes a little earlier.
            let less = release.learned.map(|learned| (learned * 9 / 10).min(waited));
            release.learned = less.filter(|learned| *learned >= LEARNED_MIN);
        }
        release.refusals = 0;
        let learned = release.learned;
        (learned != before).then(|| Counted { provider: scope.clone(), time: learned })
    }

    /// How long nobody asks the provider after a connection to it is closed, since it was seen to count it.
    pub(super) fn unasked(&self, scope: &ProviderScope) -> Duration {
        let learned = self.0.get(scope).and_then(|release| release.learned);
        learned.unwrap_or(Duration::ZERO).min(UNASKED_MAX)
    }

    /// What is known of a provider, while it may count a connection that is closed.
    pub(super) fn of(&self, now: Instant, scope: &ProviderScope) -> Option<Release> {
        self.0.get(scope).filter(|release| now - release.given_up_at < COUNTED_MAX).copied()
    }

    /// When to ask it, as it is known to count one until then.
    pub(super) fn free_at(&self, now: Instant, scope: &ProviderScope) -> Option<Instant> {
        let release = self.of(now, scope).filter(|release| !release.is_presumed)?;
        Some(release.given_up_at + self.unasked(scope)).filter(|free_at| *free_at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn scope(number: u32) -> ProviderScope {
        ProviderScope::of(&format!("http://h{number:03}/x"), 1)
    }

    #[test]
    fn waits_grow_until_the_connection_cannot_be_counted_any_more() {
        let (mut releases, scope) = (Releases::default(), scope(1));
        assert_eq!(releases.of(at(0), &scope), None);
        releases.gave_up(at(0), &scope);
        let mut now = at(10);
        let mut waits = Vec::new();
        while let Some(again) = releases.of(now, &scope).and_then(|release| release.again_at(now)) {
            waits.push((again - now).as_millis());
            releases.refused(&scope);
            now = again;
        }
        assert!(waits[0] >= 250 && waits[0] < 290, "{waits:?}");
        assert!(waits.windows(2).all(|pair| pair[1] * 10 >= pair[0] * 8), "{waits:?}");
        assert!(*waits.last().unwrap() <= 900 && now - at(0) >= COUNTED_MAX, "{waits:?}");
        assert!(now - at(0) < COUNTED_MAX + Duration::from_secs(1));
    }

    #[test]
    fn a_providers_time_is_learnt_waited_for_and_becomes_shorter_where_it_can() {
        let (mut releases, scope) = (Releases::default(), scope(1));
        releases.gave_up(at(0), &scope);
        releases.refused(&scope);
        releases.admitted(&scope, at(2600));
        releases.gave_up(at(60_000), &scope);
        assert_eq!(releases.free_at(at(60_010), &scope), Some(at(62_600)));
        assert_eq!(releases.of(at(60_010), &scope).unwrap().again_at(at(60_010)), Some(at(62_600)));
        assert_eq!(releases.free_at(at(62_600), &scope), None);
        assert_eq!(
            releases.of(at(65_600), &scope).unwrap().again_at(at(65_600)),
            None,
            "that is another reason"
        );
        releases.admitted(&scope, at(62_600));
        releases.gave_up(at(90_000), &scope);
        assert_eq!(releases.free_at(at(90_000), &scope), Some(at(92_340)));
        // Too early once more.
        releases.refused(&scope);
        releases.admitted(&scope, at(92_700));
        releases.gave_up(at(120_000), &scope);
        assert_eq!(releases.free_at(at(120_000), &scope), Some(at(122_700)));
    }

    #[test]
    fn what_another_process_has_seen_is_used_for_what_is_refused_and_costs_nobody_a_wait() {
        let (mut releases, scope) = (Releases::default(), scope(1));
        let seen = |millis| Counted { provider: scope.clone(), time: Some(Duration::from_millis(millis)) };
        releases.recall(at(100), &seen(2600));
        assert_eq!(releases.free_at(at(110), &scope), None, "nothing may have been open");
        assert_eq!(releases.of(at(110), &scope).unwrap().again_at(at(110)), Some(at(2700)));
        releases.refused(&scope);
        assert_eq!(releases.admitted(&scope, at(2700)), None, "when it was closed nobody knows");
        releases.gave_up(at(60_000), &scope);
        assert_eq!(releases.free_at(at(60_010), &scope), Some(at(62_600)));
        releases.recall(at(60_020), &seen(3000));
        assert_eq!(releases.free_at(at(60_020), &scope), Some(at(63_000)));
        assert_eq!(releases.admitted(&scope, at(63_000)), Some(seen(2700)));
        releases.recall(at(64_000), &Counted { provider: scope.clone(), time: None });
        releases.gave_up(at(90_000), &scope);
        assert_eq!(releases.free_at(at(90_000), &scope), None);
        releases.recall(at(0), &Counted { provider: super::tests::scope(2), time: None });
        assert_eq!(releases.0.len(), 1);
    }

    #[test]
    fn nobody_waits_for_long_before_it_is_asked_whether_a_provider_counts_as_long_as_it_was_seen_to() {
        let (mut releases, scope) = (Releases::default(), scope(1));
        releases.gave_up(at(0), &scope);
        releases.refused(&scope);
        releases.admitted(&scope, at(8000));
        releases.gave_up(at(20_000), &scope);
        assert_eq!(releases.free_at(at(20_000), &scope), Some(at(23_000)));
        assert_eq!(releases.unasked(&scope), Duration::from_secs(3));
        // It does: it is asked again when it was seen to be ready.
        assert_eq!(releases.of(at(23_000), &scope).unwrap().again_at(at(23_000)), Some(at(28_000)));
        releases.refused(&scope);
        releases.admitted(&scope, at(28_000));
        // It does not.
        releases.gave_up(at(40_000), &scope);
        let learnt = Counted { provider: scope.clone(), time: Some(Duration::from_secs(3)) };
        assert_eq!(releases.admitted(&scope, at(43_000)), Some(learnt));
    }

    #[test]
    fn a_start_long_after_teaches_nothing() {
        let (mut releases, scope) = (Releases::default(), scope(1));
        releases.gave_up(at(0), &scope);
        releases.refused(&scope);
        releases.admitted(&scope, at(10_000));
        releases.gave_up(at(20_000), &scope);
        assert_eq!(releases.free_at(at(20_000), &scope), None);
        // Nor does one of which nothing was refused.
        releases.admitted(&scope, at(20_100));
        releases.gave_up(at(30_000), &scope);
        assert_eq!(releases.free_at(at(30_000), &scope), None);
    }

    #[test]
    fn the_number_of_providers_is_bounded() {
        let mut releases = Releases::default();
        for number in 0..300 {
            releases.gave_up(at(u64::from(number)), &scope(number));
        }
        assert_eq!(releases.0.len(), SCOPES_MAX);
        assert!(releases.of(at(300), &scope(0)).is_none() && releases.of(at(300), &scope(299)).is_some());
    }
}
