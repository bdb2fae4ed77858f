//! Viewers come, wait, are let in or turned away, and leave; the tuner comes and goes.

use std::time::Duration;

use super::super::{Action, Event, Failure, Machine, Notice, Params, State};
use super::harness::{GOOD, Life, MS, PARAMS, Play, REFUSED, Start, World, at};

const HANGS: Play = (Start::Hangs, Life::Runs);

fn live(params: Params) -> World {
    let mut world = World::watched(params, &[(1, &[GOOD])]);
    world.run_to(1000);
    assert_eq!(world.machine.state(), State::Live);
    world.log.clear();
    world
}

/// What was asked for, without what only concerns the sources' health.
fn asked(world: &World) -> Vec<Action> {
    let is_shown = |action: &Action| {
        !matches!(
            action,
            Action::RecordFailure { .. }
                | Action::RecordSuccess { .. }
                | Action::ClearProvider { .. }
                | Action::Note(_)
                | Action::StartSource { .. }
        )
    };
    world.log.iter().map(|(_, action)| action.clone()).filter(is_shown).collect()
}

#[test]
fn a_channel_without_enabled_sources_refuses_and_gives_its_tuner_back() {
    let world = World::watched(PARAMS, &[]);
    assert_eq!(asked(&world), [Action::Refuse(Failure::NoSources), Action::Finish]);
    assert_eq!(world.terminal(), ("error", "no enabled sources"));
}

#[test]
fn sources_are_tried_in_order_until_one_shows_a_picture() {
    let mut world = World::watched(PARAMS, &[(1, &[REFUSED]), (2, &[REFUSED]), (3, &[GOOD])]);
    world.run_to(200);
    assert_eq!([world.hits(1), world.hits(2), world.hits(3)], [[0], [10], [20]]);
    assert_eq!(asked(&world), [Action::StopSource, Action::StopSource, Action::Admit]);
    assert_eq!(world.machine.state(), State::Live);
}

#[test]
fn a_place_that_somebody_has_given_up_is_waited_for_until_its_provider_may_be_asked_and_no_other_is() {
    for (free_at, is_given_up, wait, expected) in [
        (2900, false, 3000, Some(2900)),
        (3700, false, 3000, None),
        (3700, true, 3000, Some(3700)),
        (6900, true, 3000, Some(6900)),
        (7100, true, 3000, None),
        (100, true, 0, None),
    ] {
        let params = Params { place_wait: MS(wait), ..PARAMS };
        let mut world = World::new(params, &[(1, &[GOOD])]);
        let candidate = &mut world.source(1).candidate;
        candidate.provider_free_at = Some(at(free_at));
        (candidate.is_full, candidate.is_place_given_up) = (true, is_given_up);
        world.begin();
        world.run_to(8000);
        assert_eq!(world.hits(1).first().copied(), expected, "{free_at} {is_given_up} {wait}");
        let is_refused = asked(&world).contains(&Action::Refuse(Failure::NoTuners));
        assert_eq!(is_refused, expected.is_none(), "{free_at} {is_given_up} {wait}");
    }
}

#[test]
fn when_the_last_source_has_failed_the_tuner_is_free_before_anybody_could_ask_again() {
    let mut world = World::watched(PARAMS, &[(1, &[REFUSED])]);
    world.run_to(10);
    let expected = [Action::StopSource, Action::Refuse(Failure::SourcesFailed), Action::Finish];
    assert_eq!(asked(&world), expected);
    assert_eq!(world.terminal(), ("error", "refused"));
}

#[test]
fn a_silent_source_is_told_apart_from_one_that_cannot_be_reached() {
    let mut world = World::watched(PARAMS, &[(1, &[HANGS]), (2, &[REFUSED])]);
    assert_eq!(world.machine.next_deadline(), Some(at(12_000)));
    world.run_to(13_000);
    assert_eq!(world.hits(2), [12_000]);
    assert_eq!(asked(&world)[2], Action::Refuse(Failure::NoVideo));
}

#[test]
fn an_upstream_too_slow_at_startup_is_an_error_and_counts_against_the_source() {
    let mut world = World::watched(PARAMS, &[(1, &[HANGS])]);
    world.run_to(12_000);
    assert_eq!(world.terminal(), ("error", "startup timeout waiting for source bytes"));
    assert_eq!(world.source(1).failures, ["startup timeout waiting for source bytes"]);
}

#[test]
fn failovers_and_their_total_time_are_limited() {
    let refused: Vec<(i64, &[Play])> = (1..=5).map(|id| (id, &[REFUSED][..])).collect();
    let mut world = World::watched(Params { failovers_max: 1, ..PARAMS }, &refused);
    world.run_to(1000);
    assert_eq!(asked(&world).last(), Some(&Action::Finish));
    assert!(world.hits(3).is_empty(), "one failover was allowed");

    let hanging: Vec<(i64, &[Play])> = (1..=9).map(|id| (id, &[HANGS][..])).collect();
    let mut world = World::watched(Params { failovers_max: 0, ..PARAMS }, &hanging);
    world.run_to(24_000);
    assert_eq!(world.machine.next_deadline(), Some(at(32_000)), "the third attempt gets what is left");
    world.run_to(32_000);
    assert!(asked(&world).contains(&Action::Refuse(Failure::NoVideo)));
    assert!(world.hits(4).is_empty());
}

#[test]
fn without_a_total_time_the_startup_timeout_is_it() {
    let params = Params { failover_total_timeout: Duration::ZERO, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[HANGS]), (2, &[GOOD])]);
    world.run_to(12_000);
    assert!(world.finished && world.hits(2).is_empty());
}

#[test]
fn after_the_last_viewer_the_session_idles_and_ends() {
    let mut world = live(PARAMS);
    world.run_to(10_000);
    world.event(Event::Left);
    assert_eq!(world.machine.state(), State::Idle { until: at(15_000) });
    world.run_to(14_999);
    assert_eq!(asked(&world), [Action::TunerIdle(true)], "not before its time");
    world.run_to(15_000);
    assert_eq!(asked(&world)[1..], [Action::StopSource, Action::EndViewers, Action::Finish]);
    assert_eq!(world.terminal(), ("completed", ""));
}

#[test]
fn a_viewer_who_comes_back_in_time_finds_the_picture_moving() {
    let mut world = live(PARAMS);
    world.event(Event::Left);
    world.run_to(4000);
    world.event(Event::Joined);
    assert_eq!(asked(&world)[1..], [Action::TunerIdle(false), Action::Admit]);
    world.event(Event::Preempted);
    world.run_to(19_000);
    assert_eq!(world.machine.state(), State::Live, "a late preemption finds a viewer");
}

#[test]
fn a_preempted_idle_session_gives_its_tuner_at_once() {
    let mut world = live(PARAMS);
    world.event(Event::Left);
    world.event(Event::Preempted);
    assert_eq!(asked(&world)[1..], [Action::StopSource, Action::EndViewers, Action::Finish]);
    assert_eq!(world.terminal().0, "completed");
}

#[test]
fn no_grace_at_all_ends_the_session_with_its_last_viewer() {
    let mut world = live(Params { idle_timeout: Duration::ZERO, ..PARAMS });
    world.event(Event::Left);
    assert_eq!(asked(&world), [Action::StopSource, Action::EndViewers, Action::Finish]);
}

#[test]
fn a_session_that_ends_because_nobody_watches_says_why() {
    let reasons = |world: &World| -> Vec<&'static str> {
        let reason = |notice| {
            let Notice::CanceledWhileIdle { reason } = notice else { return None };
            Some(reason)
        };
        world.notices().into_iter().filter_map(reason).collect()
    };
    let mut world = World::watched(PARAMS, &[(1, &[HANGS])]);
    world.event(Event::Left);
    assert_eq!(reasons(&world), ["no_subscribers_before_ready"]);

    let mut world = live(Params { idle_timeout: Duration::ZERO, ..PARAMS });
    world.event(Event::Left);
    assert_eq!(reasons(&world), ["idle_timeout_disabled"]);

    let mut world = live(PARAMS);
    world.event(Event::Left);
    world.run_to(60_000);
    assert_eq!(reasons(&world), ["idle_timeout"]);

    let mut world = live(PARAMS);
    world.event(Event::Left);
    world.event(Event::Preempted);
    assert_eq!(reasons(&world), ["idle_preempted"]);

    // Somebody came back and left again: the old time means nothing.
    let mut world = live(PARAMS);
    for event in [Event::Left, Event::Joined, Event::Preempted, Event::Left] {
        world.run_to(world.now.as_millis() + 3000);
        world.event(event);
    }
    world.run_to(17_000);
    assert!(reasons(&world).is_empty() && !world.finished);
}

#[test]
fn viewers_who_give_up_before_the_picture_end_the_session_at_once() {
    let mut world = World::watched(PARAMS, &[(1, &[HANGS]), (2, &[GOOD])]);
    world.run_to(1000);
    world.event(Event::Left);
    assert_eq!(asked(&world), [Action::StopSource, Action::EndViewers, Action::Finish]);
    assert_eq!(world.terminal().0, "canceled");
    world.event(Event::SourceReady);
    world.event(Event::Deadline);
    assert_eq!(asked(&world).len(), 3, "what was on its way changes nothing");
}

#[test]
fn a_tuner_that_comes_for_nobody_is_given_back() {
    let mut world = World::new(PARAMS, &[(1, &[GOOD])]);
    world.event(Event::Joined);
    world.event(Event::Left);
    assert_eq!(asked(&world), []);
    world.event(Event::TunerGranted);
    assert_eq!(asked(&world), [Action::Finish]);
}

#[test]
fn whoever_made_a_session_may_leave_it_to_who_came_second() {
    // Before the tuner comes, and while the source starts.
    for leaves_first in [true, false] {
        let mut world = World::new(PARAMS, &[(1, &[(Start::Ready(500), Life::Runs)])]);
        world.event(Event::Joined);
        world.event(Event::Joined);
        if leaves_first {
            world.event(Event::Left);
        }
        world.event(Event::TunerGranted);
        world.run_to(100);
        if !leaves_first {
            world.event(Event::Left);
        }
        world.run_to(1000);
        assert_eq!(asked(&world), [Action::Admit]);
        assert_eq!(world.machine.state(), State::Live);
    }
}

#[test]
fn without_a_tuner_viewers_are_told_so() {
    let mut world = World::new(PARAMS, &[(1, &[GOOD])]);
    world.event(Event::Joined);
    world.event(Event::TunerRefused);
    assert_eq!(asked(&world), [Action::Refuse(Failure::NoTuners), Action::Finish]);
    assert_eq!(world.terminal(), ("error", "no tuners available"));
}

#[test]
fn draining_ends_every_state() {
    let mut world = World::new(PARAMS, &[(1, &[GOOD])]);
    world.event(Event::Joined);
    world.event(Event::Drain);
    assert_eq!(asked(&world), [Action::Refuse(Failure::Draining)]);
    world.event(Event::TunerGranted);
    assert_eq!(asked(&world)[1..], [Action::Finish]);

    let mut starting = World::watched(PARAMS, &[(1, &[HANGS])]);
    starting.event(Event::Drain);
    let expected = [Action::StopSource, Action::Refuse(Failure::Draining), Action::Finish];
    assert_eq!(asked(&starting), expected);
    assert_eq!(starting.terminal().0, "canceled");

    let mut live = live(PARAMS);
    live.event(Event::Drain);
    assert_eq!(asked(&live), [Action::StopSource, Action::EndViewers, Action::Finish]);
    assert_eq!(live.terminal(), ("completed", ""));

    let mut recovering = World::watched(PARAMS, &[(1, &[(Start::Ready(0), Life::Ends(100)), HANGS])]);
    recovering.run_to(2000);
    assert_eq!(recovering.machine.state(), State::Recovering);
    recovering.log.clear();
    recovering.event(Event::Drain);
    let stop = Action::StopFiller { back_to_live: false };
    assert_eq!(asked(&recovering), [Action::StopSource, stop, Action::EndViewers, Action::Finish]);
    assert_eq!(recovering.terminal().0, "canceled");
}

#[test]
fn a_limit_on_viewers_counts_waiting_ones_too() {
    let (mut machine, _) = Machine::new(Params { viewers_max: 2, ..PARAMS });
    let mut world = World::new(PARAMS, &[(1, &[HANGS])]);
    machine.handle(at(0), Event::Joined, &mut world.shelf);
    assert!(machine.has_room());
    machine.handle(at(0), Event::Joined, &mut world.shelf);
    assert!(!machine.has_room());
}

#[test]
fn readiness_is_told_once_and_later_trouble_does_not_take_it_back() {
    let mut world = World::watched(PARAMS, &[(1, &[(Start::Ready(100), Life::Ends(1000)), REFUSED])]);
    world.run_to(60_000);
    assert!(world.finished);
    assert!(!asked(&world).iter().any(|action| matches!(action, Action::Refuse(_))));
    assert_eq!(world.times(&Action::Admit), [100]);
}

#[test]
fn another_stream_is_opened_only_when_the_tuners_allow_it() {
    let mut world = World::new(PARAMS, &[(1, &[REFUSED]), (2, &[GOOD])]);
    world.shelf.settle = MS(500);
    world.begin();
    world.run_to(1000);
    assert_eq!((world.hits(1), world.hits(2)), (&[0][..], &[510][..]));
}
