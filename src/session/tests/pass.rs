//! All sources are tried one after the other, at the start and in recovery: cooling ones, limited providers, time.

use std::time::Duration;

use super::super::{Params, State};
use super::harness::{GOOD, Life, MS, PARAMS, Play, REFUSED, Start, World, at, candidate};

const MISSING: Play = (Start::Fails(10, Some(404)), Life::Runs);
const LIMITED: Play = (Start::Fails(10, Some(429)), Life::Runs);

/// A world whose sources' cooldowns are set before it begins.
fn cooling(scripts: &[(i64, &[Play])], cooldowns: &[(i64, u64, u32)]) -> World {
    let mut world = World::new(PARAMS, scripts);
    for (id, until, fails) in cooldowns {
        let candidate = &mut world.source(*id).candidate;
        candidate.cooling_until = Some(at(*until));
        candidate.fails = *fails;
    }
    world.begin();
    world
}

#[test]
fn a_cooling_source_is_tried_when_its_cooldown_is_over() {
    let mut world = cooling(&[(1, &[GOOD]), (2, &[REFUSED])], &[(1, 1000, 1)]);
    world.run_to(20_000);
    assert_eq!(world.hits(1), [1010], "in its place in the second pass");
    assert_eq!(world.hits(2), [0, 1000]);
    assert_eq!(world.machine.state(), State::Live);
}

#[test]
fn when_all_are_cooling_the_one_that_failed_least_is_tried_at_once() {
    for (cooldowns, expected) in [
        ([(1, 60_000, 3), (2, 60_000, 1), (3, 60_000, 2)], 2),
        ([(1, 60_000, 1), (2, 30_000, 1), (3, 60_000, 1)], 1),
    ] {
        let mut world = cooling(&[(1, &[GOOD]), (2, &[GOOD]), (3, &[GOOD])], &cooldowns);
        world.run_to(900);
        for id in 1..=3 {
            assert_eq!(world.hits(id), if id == expected { &[0][..] } else { &[] }, "{cooldowns:?}");
        }
    }
}

#[test]
fn of_equal_ones_that_cool_the_one_that_failed_longest_ago_then_the_oldest_is_tried() {
    for (last_fail_at, expected) in [([50, 40], 2), ([40, 50], 1), ([40, 40], 1)] {
        let mut world = World::new(PARAMS, &[(1, &[GOOD]), (2, &[GOOD])]);
        for (id, last_fail_at) in (1..).zip(last_fail_at) {
            let candidate = &mut world.source(id).candidate;
            (candidate.cooling_until, candidate.fails, candidate.priority) = (Some(at(60_000)), 1, 0);
            candidate.last_fail_at = last_fail_at;
        }
        world.begin();
        assert_eq!(world.running, Some(expected));
    }
}

#[test]
fn a_cooldown_that_outlasts_the_start_is_not_waited_for() {
    let mut world = cooling(&[(1, &[GOOD]), (2, &[REFUSED])], &[(1, 32_000, 1)]);
    world.run_to(20);
    assert!(world.finished && world.hits(1).is_empty());
    assert_eq!(world.terminal(), ("error", "refused"));
}

#[test]
fn a_provider_that_outlasts_the_start_means_no_attempt_at_all() {
    let mut world = World::new(PARAMS, &[(1, &[GOOD])]);
    world.shelf.providers.arm(at(0), &candidate(1).provider, Some(Duration::from_secs(40)));
    world.begin();
    assert!(world.finished && world.hits(1).is_empty());
    assert_eq!(world.terminal(), ("error", "all source candidates wait for their provider"));
}

#[test]
fn a_limited_provider_is_waited_for_when_there_is_no_other_host() {
    let params = Params { provider_cooldown: MS(200), ..PARAMS };
    let mut world = World::new(params, &[(1, &[LIMITED]), (2, &[GOOD])]);
    let shared = candidate(1).provider;
    world.source(2).candidate.provider = shared;
    world.begin();
    world.run_to(5000);
    assert_eq!((world.hits(1), world.hits(2)), (&[0][..], &[210][..]));
    assert_eq!(world.source(1).failures, ["upstream returned status 429"]);

    let mut world = World::watched(params, &[(1, &[LIMITED]), (2, &[GOOD])]);
    world.run_to(5000);
    assert_eq!(world.hits(2), [10], "another host is not");
}

#[test]
fn a_rate_limited_source_does_not_keep_one_on_another_host_waiting() {
    let mut world = World::new(PARAMS, &[(1, &[GOOD]), (2, &[REFUSED]), (3, &[REFUSED])]);
    world.shelf.providers.arm(at(0), &candidate(1).provider, None);
    world.begin();
    world.run_to(10_000);
    assert_eq!([world.hits(2), world.hits(3), world.hits(1)], [[0], [10], [3000]]);
}

#[test]
fn when_providers_were_the_reason_all_are_tried_again() {
    let params = Params { provider_cooldown: MS(200), ..PARAMS };
    let mut world = World::watched(params, &[(1, &[LIMITED, GOOD]), (2, &[LIMITED, GOOD])]);
    world.run_to(20_000);
    assert_eq!(world.machine.state(), State::Live);
    assert_eq!((world.hits(1), world.hits(2)), (&[0, 210][..], &[10][..]));
}

#[test]
fn other_failures_neither_hold_a_provider_nor_give_a_second_pass() {
    let mut world = World::watched(PARAMS, &[(1, &[MISSING]), (2, &[MISSING])]);
    world.run_to(20);
    assert!(world.finished);
    assert_eq!((world.hits(1).len(), world.hits(2).len()), (1, 1));
    assert!(world.shelf.providers.free_at(world.now, &candidate(1).provider).is_none());
}

#[test]
fn without_provider_cooldowns_a_429_is_a_failure_like_others() {
    let params = Params { provider_cooldown: Duration::ZERO, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[LIMITED])]);
    world.run_to(10);
    assert_eq!(world.terminal(), ("error", "upstream returned status 429"));
}

#[test]
fn a_source_without_an_address_fails_without_an_attempt() {
    let mut world = World::new(PARAMS, &[(1, &[GOOD]), (2, &[GOOD])]);
    world.source(1).candidate.has_url = false;
    world.begin();
    world.run_to(1000);
    assert_eq!(world.source(1).failures, ["source stream URL is empty"]);
    assert_eq!((world.hits(1).len(), world.hits(2)), (0, &[0][..]));
}

#[test]
fn a_success_frees_its_provider_for_others() {
    let mut world = World::watched(PARAMS, &[(1, &[(Start::Ready(500), Life::Runs)])]);
    let scope = candidate(1).provider;
    world.shelf.providers.arm(at(0), &scope, None);
    world.run_to(600);
    assert_eq!(world.shelf.providers.free_at(world.now, &scope), None);
}

#[test]
fn in_recovery_the_general_search_waits_for_whoever_cools() {
    // At first both cool: the lost source for 10 s after its failure, the alternate for 8 s after its fourth.
    let ends: Play = (Start::Ready(100), Life::Ends(900));
    let refused = [REFUSED, REFUSED, REFUSED, REFUSED, GOOD];
    let mut world = World::watched(PARAMS, &[(1, &[ends, REFUSED]), (2, &refused)]);
    world.run_to(30_000);
    assert_eq!(world.hits(1), [0, 4790, 11_000], "tried all the same, and again when its cooldown is over");
    assert_eq!(world.hits(2), [3000, 3260, 3770, 4780, 12_790]);
}

#[test]
fn a_search_in_recovery_ends_with_its_time() {
    let ends: Play = (Start::Ready(100), Life::Ends(900));
    let mut world = World::watched(PARAMS, &[(1, &[ends, REFUSED]), (2, &[REFUSED])]);
    world.run_to(120_000);
    assert!(world.finished);
    let (status, error) = world.terminal();
    assert_eq!(status, "error");
    assert!(!error.is_empty());
    let (last, _) = world.log.last().unwrap();
    assert!(*last <= 33_000, "32 s after the loss at the latest, not at {last}");
}
