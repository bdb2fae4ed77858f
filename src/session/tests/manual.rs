//! Somebody asks for a recovery.

use std::time::Duration;

use super::super::{Event, Params, StallPolicy, State, TriggerError};
use super::harness::{GOOD, Life, PARAMS, Play, REFUSED, Start, World, at};
use crate::lineup::SourceId;

const HANGS: Play = (Start::Hangs, Life::Runs);

#[test]
fn a_trigger_moves_the_channel_to_another_source_and_holds_nothing_against_the_old_one() {
    let mut world = World::live(&[(1, &[GOOD]), (2, &[GOOD])]);
    assert_eq!(world.trigger("ui_manual_trigger"), Ok(()));
    world.run_to(10_000);
    assert_eq!(world.recovery_reason(), Some("ui_manual_trigger"));
    assert_eq!(world.selection_reasons()[1], "recovery_cycle_1:ui_manual_trigger");
    let source = world.source(1);
    assert!(source.failures.is_empty() && source.told.is_empty());
    assert_eq!(world.machine.penalties.of(world.now, SourceId(1)), None);
    assert_eq!((world.hits(1).len(), world.hits(2).len()), (1, 1));
    assert_eq!(world.machine.record().stall_count, 1);
}

#[test]
fn the_reason_is_normalized_and_an_immediate_second_trigger_is_pending() {
    let mut world = World::live(&[(1, &[GOOD]), (2, &[GOOD])]);
    assert_eq!(world.trigger("  Operator  Click "), Ok(()));
    assert_eq!(world.trigger("again"), Err(TriggerError::AlreadyPending));
    world.run_to(2500);
    assert_eq!(world.trigger("again"), Err(TriggerError::AlreadyPending), "still in progress");
    world.run_to(10_000);
    assert_eq!(world.recovery_reason(), Some("operator_click"));
    assert_eq!(world.selection_reasons()[1], "recovery_cycle_1:operator_click");
    assert_eq!(world.trigger(""), Ok(()), "the next source runs, and its recovery may be asked for");
    assert_eq!(world.recovery_reason(), Some("manual_trigger"));
}

#[test]
fn a_trigger_needs_a_picture_and_somebody_who_watches() {
    let mut world = World::new(PARAMS, &[(1, &[GOOD])]);
    world.event(Event::Joined);
    assert_eq!(world.trigger("x"), Err(TriggerError::AlreadyPending), "the session is only being made");
    world.event(Event::TunerGranted);
    assert_eq!(world.trigger("x"), Err(TriggerError::NotFound), "before the first picture");
    world.run_to(1000);
    world.event(Event::Left);
    assert_eq!(world.trigger("x"), Err(TriggerError::NotFound), "nobody watches");
    assert_eq!(world.hits(1), [0], "and nothing is started");
    world.run_to(20_000);
    assert!(world.finished);
    assert_eq!(world.trigger("x"), Err(TriggerError::NotFound), "it is over");
}

#[test]
fn a_trigger_during_a_recovery_is_pending() {
    let mut world = World::live(&[(1, &[(Start::Ready(100), Life::Ends(2000)), HANGS])]);
    world.run_to(2200);
    assert_eq!(world.trigger("x"), Err(TriggerError::AlreadyPending));
    assert_eq!(world.recovery_reason(), Some("source_eof"));
}

#[test]
fn a_trigger_follows_the_policy_as_a_stall_does() {
    let params = Params { stall_policy: StallPolicy::RestartSame, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[GOOD]), (2, &[GOOD])]);
    world.run_to(1000);
    world.trigger("x").unwrap();
    world.run_to(10_000);
    assert_eq!((world.hits(1), world.hits(2).len()), (&[0, 1000][..], 0));
}

#[test]
fn a_trigger_takes_another_source_though_all_others_cool() {
    // Of as many sources as one likes: those that cool go last, and only some are tried.
    let params = Params { failovers_max: 1, ..PARAMS };
    let scripts: Vec<(i64, &[Play])> = (1..=5).map(|id| (id, &[GOOD][..])).collect();
    let mut world = World::watched(params, &scripts);
    world.run_to(1000);
    for (id, cools_until) in [(2, 900_000), (3, 700_000), (4, 800_000)] {
        world.source(id).candidate.cooling_until = Some(at(cools_until));
    }
    world.source(5).is_enabled = false;
    world.trigger("x").unwrap();
    world.run_to(10_000);
    assert_eq!(world.machine.state(), State::Live);
    assert_eq!(world.hits(3).len(), 1, "the one that has cooled first");
    assert!(world.hits(1).len() == 1 && [2, 4, 5].iter().all(|id| world.hits(*id).is_empty()));
}

#[test]
fn a_trigger_waits_for_the_other_sources_provider() {
    let mut world = World::live(&[(1, &[GOOD]), (2, &[GOOD])]);
    world.source(2).candidate.cooling_until = Some(at(900_000));
    let provider = world.source(2).candidate.provider.clone();
    world.shelf.providers.arm(at(1000), &provider, Some(Duration::from_millis(3500)));
    world.trigger("x").unwrap();
    world.run_to(10_000);
    assert_eq!((world.hits(1).len(), world.hits(2)), (1, &[4500][..]));
}

#[test]
fn a_trigger_of_a_channel_with_one_source_starts_it_anew() {
    let mut world = World::live(&[(1, &[GOOD])]);
    world.trigger("x").unwrap();
    world.run_to(10_000);
    assert_eq!(world.hits(1).len(), 2);
}

#[test]
fn a_trigger_whose_alternate_fails_goes_back_to_the_old_source() {
    let mut world = World::live(&[(1, &[GOOD]), (2, &[REFUSED])]);
    world.trigger("x").unwrap();
    world.run_to(20_000);
    assert_eq!((world.hits(1), world.hits(2).len()), (&[0, 4790][..], 4));
    assert!(world.source(1).failures.is_empty() && world.source(2).failures.is_empty());
    assert_eq!(world.machine.state(), State::Live);
}
