//! Recoveries are paced, counted and bounded.

use std::time::Duration;

use super::super::{Action, Params, StallPolicy, State};
use super::harness::{Life, MS, PARAMS, Play, Start, World};

const QUICK: Play = (Start::Ready(1), Life::Ends(1));

/// How long viewers had no source.
fn without_source(world: &World) -> u64 {
    let begins = world.times(&Action::StartFiller);
    let mut ends = world.times(&Action::StopFiller { back_to_live: true });
    ends.extend(world.times(&Action::StopFiller { back_to_live: false }));
    ends.iter().sum::<u64>() - begins.iter().sum::<u64>()
}

#[test]
fn a_lone_source_that_ends_at_once_again_and_again_is_started_in_growing_intervals() {
    let mut world = World::watched(PARAMS, &[(1, &[QUICK])]);
    world.run_to(900);
    assert!(!world.finished, "no budget is used up in a second");
    world.run_to(12_000);
    let hits = world.hits(1).to_vec();
    let gaps: Vec<u64> = hits.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] < 10, "the first loss is repaired at once");
    assert!(gaps[1..].iter().all(|gap| *gap >= 200), "{gaps:?}");
    assert_eq!(gaps[1..5], [251, 501, 1001, 2001]);
}

#[test]
fn stalls_are_not_paced() {
    let stalls: Play = (Start::Ready(10), Life::Stalls(10));
    let params = Params { stall_policy: StallPolicy::RestartSame, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[stalls])]);
    world.run_to(100);
    assert_eq!(world.hits(1)[..4], [0, 20, 40, 60]);
}

#[test]
fn losses_that_follow_each_other_share_the_time_without_a_source() {
    let mut world = World::watched(PARAMS, &[(1, &[QUICK])]);
    world.run_to(600_000);
    assert_eq!(world.terminal(), ("error", "recovery deadline exceeded"));
    assert!(without_source(&world) <= 32_000, "{} ms", without_source(&world));
    assert!(without_source(&world) > 30_000, "the time is used");
}

#[test]
fn a_source_that_has_run_for_the_reset_window_begins_a_new_incident() {
    // 2 × 4 s + 12 s, at most 20 s.
    for (life, ends) in [(20_000, false), (15_000, true)] {
        let play: Play = (Start::Ready(3000), Life::Ends(life));
        let mut world = World::watched(PARAMS, &[(1, &[play])]);
        world.run_to(600_000);
        assert_eq!(world.finished, ends, "after {life} ms of life");
    }
}

#[test]
fn too_many_recoveries_in_a_row_end_the_session() {
    let stalls: Play = (Start::Ready(1), Life::Stalls(400));
    let params = Params { stall_policy: StallPolicy::RestartSame, stall_retries_max: 0, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[stalls])]);
    world.run_to(600_000);
    assert_eq!(world.terminal(), ("error", "recovery cycle budget exhausted (limit 12)"));
    assert_eq!(world.hits(1).len(), 1 + 12);
    assert_eq!(
        world.times(&Action::StartFiller).len(),
        world.times(&Action::StopFiller { back_to_live: true }).len() + 1
    );
}

#[test]
fn pacing_ends_with_the_recoverys_time() {
    let params = Params { stall_hard_deadline: MS(300), ..PARAMS };
    let mut world = World::watched(params, &[(1, &[QUICK])]);
    world.run_to(60_000);
    assert_eq!(world.terminal(), ("error", "recovery deadline exceeded"));
    assert!(without_source(&world) <= 300);
}

#[test]
fn a_viewer_who_leaves_during_pacing_ends_the_session() {
    let mut world = World::watched(PARAMS, &[(1, &[QUICK])]);
    world.run_to(100);
    assert_eq!((world.machine.state(), world.running), (State::Recovering, None));
    world.event(super::super::Event::Left);
    assert_eq!(world.terminal(), ("completed", ""));
}

#[test]
fn without_a_total_time_a_recovery_has_its_hard_deadline() {
    let ends: Play = (Start::Ready(100), Life::Ends(900));
    let params = Params {
        failover_total_timeout: Duration::ZERO,
        startup_timeout: Duration::from_secs(60),
        stall_policy: StallPolicy::RestartSame,
        ..PARAMS
    };
    let mut world = World::watched(params, &[(1, &[ends, (Start::Hangs, Life::Runs)])]);
    world.run_to(120_000);
    assert_eq!(world.times(&Action::StopSource), [1000, 33_000]);
}
