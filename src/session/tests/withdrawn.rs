//! What a session uses is not offered any more.

use super::super::{Action, Event, Failure, Notice, State};
use super::harness::{GOOD, Life, PARAMS, Play, Start, World};
use crate::lineup::SourceId;

const HANGS: Play = (Start::Hangs, Life::Runs);
const DELETED: &str = "admin_source_deleted";

/// The source is taken from the channel.
fn withdraw(world: &mut World, id: i64) {
    world.source(id).is_enabled = false;
    world.event(Event::SourceWithdrawn { id: SourceId(id), reason: DELETED });
}

#[test]
fn a_source_that_is_withdrawn_is_left_at_once_for_another_one_and_nothing_is_held_against_it() {
    let mut world = World::live(&[(1, &[GOOD]), (2, &[GOOD])]);
    assert_eq!(world.machine.source(), Some(SourceId(1)));
    withdraw(&mut world, 1);
    assert_eq!((world.machine.state(), world.running), (State::Recovering, None));
    assert_eq!(world.recovery_reason(), Some(DELETED));
    world.run_to(10_000);
    assert_eq!(world.machine.state(), State::Live);
    assert_eq!(world.selection_reasons()[1], "recovery_cycle_1:admin_source_deleted");
    assert_eq!((world.hits(1).len(), world.hits(2).len()), (1, 1));
    assert!(world.source(1).failures.is_empty() && world.source(1).told.is_empty());
}

#[test]
fn the_only_source_that_is_withdrawn_ends_the_session_at_once() {
    let mut world = World::live(&[(1, &[GOOD])]);
    withdraw(&mut world, 1);
    assert!(world.finished);
    assert_eq!(world.terminal(), ("error", "no enabled sources"));
}

#[test]
fn a_source_that_is_not_used_may_be_withdrawn() {
    let mut world = World::live(&[(1, &[GOOD]), (2, &[GOOD])]);
    withdraw(&mut world, 2);
    assert_eq!((world.machine.state(), world.running), (State::Live, Some(1)));
}

#[test]
fn an_idle_session_whose_source_is_withdrawn_is_over() {
    let mut world = World::live(&[(1, &[GOOD]), (2, &[GOOD])]);
    world.event(Event::Left);
    withdraw(&mut world, 1);
    assert!(world.finished && world.running.is_none());
    assert_eq!(world.terminal(), ("completed", ""));
    assert!(world.notices().contains(&Notice::CanceledWhileIdle { reason: DELETED }));
}

#[test]
fn a_source_that_is_withdrawn_while_it_is_being_started_makes_room_for_the_next() {
    let mut starting = World::watched(PARAMS, &[(1, &[HANGS]), (2, &[GOOD])]);
    starting.run_to(500);
    withdraw(&mut starting, 1);
    starting.run_to(1000);
    assert_eq!((starting.machine.state(), starting.hits(2)), (State::Live, &[500][..]));

    let mut recovering = World::live(&[(1, &[GOOD]), (2, &[HANGS]), (3, &[GOOD])]);
    recovering.trigger("x").unwrap();
    recovering.run_to(4000);
    assert_eq!(recovering.machine.source(), Some(SourceId(2)));
    withdraw(&mut recovering, 2);
    recovering.run_to(8000);
    assert_eq!(recovering.machine.state(), State::Live);
    assert!(recovering.source(2).told.is_empty(), "nothing is held against it");
}

#[test]
fn a_channel_that_is_withdrawn_ends_its_session_wherever_it_stands() {
    let withdraw = |mut world: World| {
        world.event(Event::ChannelWithdrawn { reason: "admin_channel_disabled" });
        assert!(world.finished && world.running.is_none());
        assert_eq!(world.terminal(), ("canceled", "admin_channel_disabled"));
        let refused = world.times(&Action::Refuse(Failure::NotOffered)).len();
        (refused, world.times(&Action::EndViewers).len())
    };
    let mut awaiting = World::new(PARAMS, &[(1, &[GOOD])]);
    awaiting.event(Event::Joined);
    assert_eq!(withdraw(awaiting), (1, 0));
    let mut starting = World::watched(PARAMS, &[(1, &[HANGS])]);
    starting.run_to(100);
    assert_eq!(withdraw(starting), (1, 0));
    assert_eq!(withdraw(World::live(&[(1, &[GOOD])])), (0, 1));
    let mut idle = World::live(&[(1, &[GOOD])]);
    idle.event(Event::Left);
    assert_eq!(withdraw(idle), (0, 1));
    let mut recovering = World::live(&[(1, &[GOOD, HANGS])]);
    recovering.trigger("x").unwrap();
    assert_eq!(withdraw(recovering), (0, 1));
}
