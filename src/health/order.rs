//! The order in which the sources of a channel are tried.

use crate::lineup::Health;

/// A failure that is older than this no longer counts against a source.
const RECENT_SECONDS: u64 = 20 * 60;

/// What the order looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranked<S> {
    /// The source.
    pub source: S,
    /// Its row: of two equals the older one goes first.
    pub id: i64,
    /// Its place by the operator's wish, 0 first.
    pub priority: u32,
    /// What is known of it.
    pub health: Health,
}

/// Puts sources that may be tried before those that cool, and each group in order of promise.
pub fn order<S>(now: u64, sources: &mut [Ranked<S>]) {
    let recent = |health: &Health| {
        health.last_fail_at > 0 && health.last_fail_at.saturating_add(RECENT_SECONDS) >= now
    };
    sources.sort_by(|a, b| {
        let (x, y) = (&a.health, &b.health);
        let both_recent = recent(x) && recent(y);
        x.is_cooling(now)
            .cmp(&y.is_cooling(now))
            .then(recent(x).cmp(&recent(y)))
            .then(x.fail_count.cmp(&y.fail_count))
            .then(if both_recent { x.last_fail_at.cmp(&y.last_fail_at) } else { std::cmp::Ordering::Equal })
            .then(y.success_count.cmp(&x.success_count))
            .then(a.priority.cmp(&b.priority))
            .then(a.id.cmp(&b.id))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100_000;

    fn ranked(id: i64, health: Health) -> Ranked<i64> {
        Ranked { source: id, id, priority: u32::try_from(id).unwrap(), health }
    }

    fn ordered(mut sources: Vec<Ranked<i64>>) -> Vec<i64> {
        order(NOW, &mut sources);
        sources.into_iter().map(|ranked| ranked.source).collect()
    }

    fn cooling() -> Health {
        Health { cooldown_until: NOW + 60, ..Health::default() }
    }

    #[test]
    fn cooling_sources_go_last() {
        let expired = Health { cooldown_until: NOW, ..Health::default() };
        assert_eq!(
            ordered(vec![ranked(1, cooling()), ranked(2, Health::default()), ranked(3, expired)]),
            [2, 3, 1]
        );
    }

    #[test]
    fn when_all_are_cooling_the_operators_order_stays() {
        assert_eq!(
            ordered(vec![ranked(2, cooling()), ranked(1, cooling()), ranked(3, cooling())]),
            [1, 2, 3]
        );
    }

    #[test]
    fn failures_within_twenty_minutes_then_their_number_then_successes_decide() {
        let failed = |fail_count, minutes: u64| Health {
            fail_count,
            last_fail_at: NOW - minutes * 60,
            ..Health::default()
        };
        let successes = Health { success_count: 4, ..Health::default() };
        let sources = vec![
            ranked(10, failed(3, 1)),
            ranked(11, successes),
            ranked(12, failed(0, 5)),
            ranked(13, failed(0, 45)),
        ];
        assert_eq!(ordered(sources), [11, 13, 12, 10]);
    }

    #[test]
    fn a_failure_of_exactly_twenty_minutes_ago_or_of_the_future_is_recent() {
        for (last_fail_at, expected) in [(NOW - 1200, [2, 1]), (NOW + 5, [2, 1]), (NOW - 1201, [1, 2])] {
            let failed = Health { last_fail_at, ..Health::default() };
            assert_eq!(
                ordered(vec![ranked(1, failed), ranked(2, Health::default())]),
                expected,
                "{last_fail_at}"
            );
        }
    }

    #[test]
    fn of_two_that_failed_recently_the_one_that_failed_longer_ago_goes_first() {
        let failed = |at| Health { fail_count: 1, last_fail_at: at, ..Health::default() };
        assert_eq!(ordered(vec![ranked(1, failed(NOW - 10)), ranked(2, failed(NOW - 600))]), [2, 1]);
    }
}
