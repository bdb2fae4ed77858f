//! The same source is tried again: because the policy says so, or because there is no other.

use std::time::Duration;

use super::super::{Action, Notice, Params, StallPolicy, State};
use super::harness::{GOOD, Life, PARAMS, Play, REFUSED, Start, World, at};
use crate::lineup::SourceId;

const RESTART: Params = Params { stall_policy: StallPolicy::RestartSame, ..PARAMS };
const ENDS: Play = (Start::Ready(100), Life::Ends(900));
const STALLS: Play = (Start::Ready(100), Life::Stalls(900));

fn fallbacks(world: &World) -> Vec<(i64, usize, usize)> {
    let fallback = |notice| {
        let Notice::SameSourceFallback { source, alternates, alternates_cooling } = notice else {
            return None;
        };
        Some((source.0, alternates, alternates_cooling))
    };
    world.notices().into_iter().filter_map(fallback).collect()
}

#[test]
fn a_lone_source_is_retried_with_growing_pauses() {
    let mut world = World::watched(PARAMS, &[(1, &[STALLS, REFUSED, REFUSED, REFUSED, GOOD])]);
    world.shelf.lists = 0;
    world.run_to(20_000);
    assert_eq!(world.hits(1), [0, 1000, 1260, 1770, 2780], "250 ms, 500 ms and 1 s after each failure");
    assert_eq!(fallbacks(&world), [(1, 0, 0)]);
    assert_eq!(world.machine.state(), State::Live);
    assert_eq!(world.source(1).failures, ["stream pump stall detected"], "its failed restarts do not count");
    assert_eq!(world.source(1).told.len(), 3);
}

#[test]
fn the_list_of_sources_is_asked_for_once_per_decision() {
    let mut world = World::watched(PARAMS, &[(1, &[STALLS, GOOD])]);
    world.run_to(999);
    world.shelf.lists = 0;
    world.run_to(1000);
    assert_eq!((world.hits(1).len(), world.shelf.lists), (2, 1));
}

#[test]
fn alternates_that_cool_or_have_no_address_are_no_alternates() {
    let mut world = World::watched(PARAMS, &[(1, &[STALLS, REFUSED, GOOD]), (2, &[GOOD]), (3, &[GOOD])]);
    world.run_to(500);
    world.source(2).candidate.cooling_until = Some(at(600_000));
    world.source(3).candidate.has_url = false;
    world.run_to(20_000);
    assert_eq!(fallbacks(&world), [(1, 1, 1)]);
    assert_eq!(world.hits(1), [0, 1000, 1260]);
    assert!(world.hits(2).is_empty() && world.hits(3).is_empty());
}

#[test]
fn only_what_the_database_holds_against_the_same_source_is_waited_for() {
    for (params, persisted, expected) in
        [(RESTART, Some(2000), 2000), (RESTART, None, 1000), (PARAMS, Some(2000), 2000), (PARAMS, None, 1000)]
    {
        let mut world = World::watched(params, &[(1, &[STALLS, GOOD])]);
        world.run_to(500);
        world.source(1).candidate.persisted_cooling_until = persisted.map(at);
        world.source(1).candidate.cooling_until = Some(at(9000));
        world.run_to(20_000);
        assert_eq!(world.hits(1), [0, expected], "{persisted:?}");
    }
}

#[test]
fn a_disabled_source_is_never_retried_whatever_the_policy() {
    for params in [RESTART, PARAMS] {
        let mut world = World::watched(params, &[(1, &[STALLS, GOOD]), (2, &[GOOD])]);
        world.run_to(500);
        world.source(1).is_enabled = false;
        world.run_to(20_000);
        assert_eq!((world.hits(1), world.hits(2).len()), (&[0][..], 1));
        assert_eq!(world.machine.state(), State::Live);
        assert_eq!(fallbacks(&world), []);
    }
}

#[test]
fn a_source_that_is_disabled_between_two_attempts_is_not_tried_again() {
    let mut world = World::watched(RESTART, &[(1, &[STALLS, REFUSED]), (2, &[GOOD])]);
    world.run_to(1100);
    world.source(1).is_enabled = false;
    world.run_to(20_000);
    assert_eq!(world.hits(1), [0, 1000]);
    assert_eq!(world.machine.state(), State::Live, "the other one was found");
}

#[test]
fn without_any_enabled_source_there_is_nothing_to_recover_with() {
    for params in [RESTART, PARAMS] {
        let mut world = World::watched(params, &[(1, &[ENDS])]);
        world.run_to(500);
        world.source(1).is_enabled = false;
        world.run_to(20_000);
        assert_eq!(world.terminal(), ("error", "no enabled sources"));
        assert_eq!(world.hits(1), [0]);
        assert!(!world.log.iter().any(|(_, action)| matches!(action, Action::Refuse(_))));
    }
}

#[test]
fn the_same_source_without_an_address_is_no_source() {
    let mut world = World::watched(RESTART, &[(1, &[STALLS])]);
    world.run_to(500);
    world.source(1).candidate.has_url = false;
    world.run_to(20_000);
    assert_eq!(world.terminal(), ("error", "no enabled sources"));
}

#[test]
fn the_number_of_attempts_is_capped_and_the_error_says_so() {
    for params in [RESTART, PARAMS] {
        let params = Params { stall_retries_max: 1, ..params };
        let mut world = World::watched(params, &[(1, &[STALLS, REFUSED])]);
        world.run_to(60_000);
        assert_eq!(world.hits(1).len(), 1 + 2);
        let (status, error) = world.terminal();
        assert_eq!(status, "error");
        assert_eq!(
            error,
            "recovery source attempts exhausted after 2 attempts (stall_max_failovers_per_stall=1): refused"
        );
        assert_eq!(
            world.source(1).failures,
            ["stream pump stall detected"],
            "nothing else is held against it"
        );
    }
}

#[test]
fn a_cooldown_that_outlasts_the_recovery_is_not_waited_for() {
    let mut world = World::watched(RESTART, &[(1, &[STALLS, GOOD])]);
    world.run_to(500);
    world.source(1).candidate.persisted_cooling_until = Some(at(600_000));
    world.run_to(2000);
    assert_eq!(world.hits(1), [0]);
    assert_eq!(world.terminal(), ("error", "recovery source attempts exhausted"));
}

#[test]
fn an_attempt_ends_with_the_startup_timeout_or_the_recovery() {
    let params = Params { stall_hard_deadline: Duration::from_secs(15), ..RESTART };
    let mut world = World::watched(params, &[(1, &[STALLS, (Start::Hangs, Life::Runs)])]);
    world.run_to(60_000);
    assert_eq!(world.hits(1), [0, 1000, 13_250]);
    let stops = world.times(&Action::StopSource);
    assert_eq!(stops, [1000, 13_000, 16_000], "the second attempt gets what is left");
    assert_eq!(world.terminal(), ("error", "startup timeout waiting for source bytes"));
}

#[test]
fn triggers_that_repeat_within_a_second_are_counted_instead_of_logged() {
    let quick: Play = (Start::Ready(10), Life::Ends(10));
    let mut world = World::watched(PARAMS, &[(1, &[quick])]);
    world.run_to(5000);
    let logged: Vec<u64> = world
        .notices()
        .into_iter()
        .filter_map(|notice| {
            let Notice::RecoveryTriggered { source: SourceId(1), coalesced, .. } = notice else {
                return None;
            };
            Some(coalesced)
        })
        .collect();
    let record = world.machine.record();
    assert!(logged.len() < record.recovery_cycle as usize);
    assert_eq!(logged.iter().sum::<u64>(), record.trigger_logs_coalesced);
}
