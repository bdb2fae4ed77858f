//! A source is lost, stalls or breaks: what is said of it, what is recorded, and what follows under each policy.

use std::time::Duration;

use super::super::{Action, Event, Lost, Notice, Params, StallPolicy, State};
use super::harness::{GOOD, Life, MS, PARAMS, Play, REFUSED, Start, World, at};
use crate::lineup::SourceId;

const RESTART: Params = Params { stall_policy: StallPolicy::RestartSame, ..PARAMS };
const CLOSE: Params = Params { stall_policy: StallPolicy::CloseSession, ..PARAMS };

const fn stalls(ms: u64) -> Play {
    (Start::Ready(100), Life::Stalls(ms))
}

const fn ends(ms: u64) -> Play {
    (Start::Ready(100), Life::Ends(ms))
}

const fn breaks(ms: u64, status: Option<u16>) -> Play {
    (Start::Ready(100), Life::Breaks(ms, status))
}

#[test]
fn a_stalled_source_that_works_again_is_restarted_and_blamed_once() {
    let mut world = World::watched(RESTART, &[(1, &[stalls(5000), GOOD]), (2, &[GOOD])]);
    world.run_to(60_000);
    assert_eq!(world.hits(1), [0, 5100]);
    assert!(world.hits(2).is_empty(), "the alternate is left alone");
    assert_eq!(world.source(1).failures, ["stream pump stall detected"]);
    assert_eq!(world.recovery_reason(), Some("stall"));
    let record = world.machine.record();
    assert_eq!((record.stall_count, record.recovery_cycle, record.source_select_count), (1, 1, 2));
    assert_eq!(record.same_source_reselect_count, 1);
    assert_eq!(record.last_select_reason.as_deref(), Some("recovery_cycle_1:stall"));
    assert_eq!(record.last_selected_at, Some(at(5200)));
    assert_eq!(world.machine.state(), State::Live);
}

/// What comes first, whether a manual trigger does, what comes at the same moment, the reason, and the status of a
/// session that is over.
type Row = (Option<Event>, bool, Option<Event>, Option<&'static str>, Option<&'static str>);

#[test]
fn how_a_source_is_lost_decides_the_recovery_or_the_end() {
    let lost = |status| {
        let cause = Lost::Error { reason: "broken".to_owned(), status, retry_after: None };
        Event::SourceLost { cause }
    };
    let stalled = || Event::Stalled { what: "bytes" };
    let eof = || Event::SourceLost { cause: Lost::Eof };
    let rows: Vec<Row> = vec![
        (Some(eof()), false, None, Some("source_eof"), None),
        (Some(stalled()), false, None, Some("stall"), None),
        (Some(lost(None)), false, None, Some("source_error"), None),
        (Some(lost(Some(404))), false, None, Some("upstream_404"), None),
        (Some(lost(Some(503))), false, None, Some("upstream_503"), None),
        (Some(lost(Some(302))), false, None, Some("source_error"), None),
        (Some(stalled()), false, Some(eof()), Some("stall"), None),
        (Some(stalled()), false, Some(lost(Some(404))), Some("stall"), None),
        (Some(eof()), false, Some(stalled()), Some("source_eof"), None),
        (None, true, Some(eof()), Some("asked"), None),
        (None, true, Some(lost(Some(404))), Some("asked"), None),
        (None, true, Some(stalled()), Some("asked"), None),
        (None, true, Some(Event::Drain), Some("asked"), Some("canceled")),
        (Some(Event::Drain), false, Some(eof()), None, Some("completed")),
        (Some(Event::Drain), false, Some(stalled()), None, Some("completed")),
    ];
    for (first, is_manual, second, reason, status) in rows {
        let mut world = World::watched(RESTART, &[(1, &[GOOD])]);
        world.run_to(1000);
        let row = format!("{first:?} {is_manual} {second:?}");
        if let Some(event) = first {
            world.event(event);
        }
        if is_manual {
            world.trigger("asked").unwrap();
        }
        if let Some(event) = second {
            world.event(event);
        }
        assert_eq!(world.recovery_reason(), reason, "{row}");
        assert_eq!(world.machine.terminal().map(|end| end.status.as_str()), status, "{row}");
        let cycles = u32::from(reason.is_some());
        assert_eq!(world.machine.record().recovery_cycle, cycles, "{row}: one loss is one recovery");
    }
}

#[test]
fn closing_sessions_end_with_what_happened_and_viewers_get_the_rest() {
    for (life, error, failures) in [
        (Life::Ends(900), "source ended", vec!["source stream ended"]),
        (Life::Stalls(900), "stream pump stall detected", vec!["stream pump stall detected"]),
        (Life::Breaks(900, Some(503)), "upstream returned status 503", vec!["upstream returned status 503"]),
    ] {
        let mut world = World::watched(CLOSE, &[(1, &[(Start::Ready(100), life)]), (2, &[GOOD])]);
        world.run_to(60_000);
        assert_eq!(world.terminal(), ("error", error));
        assert_eq!(world.source(1).failures, failures);
        assert_eq!(world.machine.record().recovery_cycle, 0);
        assert!(world.times(&Action::EndViewers).is_empty());
        assert!(world.hits(2).is_empty());
    }
    let mut world = World::watched(CLOSE, &[(1, &[GOOD])]);
    world.run_to(1000);
    world.trigger("Operator Click").unwrap();
    assert_eq!(world.terminal(), ("error", "manual recovery requested: operator_click"));
    assert!(world.source(1).failures.is_empty() && world.source(1).told.is_empty());
}

#[test]
fn a_session_nobody_watches_is_not_recovered_and_nothing_is_held_against_its_source() {
    for life in [Life::Ends(2000), Life::Breaks(2000, Some(429))] {
        let mut world = World::watched(PARAMS, &[(1, &[(Start::Ready(100), life)]), (2, &[GOOD])]);
        world.run_to(1000);
        world.event(Event::Left);
        world.run_to(60_000);
        assert_eq!(world.terminal(), ("completed", ""));
        let source = world.source(1);
        assert!(source.failures.is_empty() && source.told.is_empty() && source.successes.is_empty());
        assert_eq!((world.hits(1).len(), world.hits(2).len()), (1, 0));
        assert_eq!(world.machine.record().recovery_cycle, 0);
        assert!(matches!(world.notices()[..], [Notice::IdleSkip { source: SourceId(1), .. }]));
        assert!(world.shelf.providers.free_at(world.now, &super::harness::candidate(1).provider).is_none());
    }
}

#[test]
fn a_stall_nobody_sees_changes_nothing() {
    let mut world = World::watched(PARAMS, &[(1, &[stalls(2000)])]);
    world.run_to(1000);
    world.event(Event::Left);
    world.run_to(5000);
    world.event(Event::Joined);
    assert_eq!(world.machine.state(), State::Live);
    assert_eq!((world.machine.record().stall_count, world.machine.record().recovery_cycle), (0, 0));
    world.event(Event::Stalled { what: "bytes" });
    assert_eq!(world.machine.state(), State::Recovering, "now somebody sees it");
}

#[test]
fn success_is_recorded_after_healthy_streaming_and_not_at_the_start() {
    let mut world = World::watched(PARAMS, &[(1, &[GOOD])]);
    world.run_to(60_000);
    assert_eq!(world.source(1).successes, [20_100]);

    let mut world = World::watched(Params { min_health: Duration::ZERO, ..PARAMS }, &[(1, &[GOOD])]);
    world.run_to(60_000);
    assert_eq!(world.source(1).successes, [100], "no such time: at once");

    let mut world = World::watched(RESTART, &[(1, &[ends(19_999), GOOD])]);
    world.run_to(21_000);
    assert!(world.source(1).successes.is_empty(), "it did not last");
    assert_eq!(world.source(1).failures, ["source stream ended"], "and its end counts");
}

#[test]
fn a_source_that_streams_well_while_nobody_watches_proves_itself_unless_it_stalls() {
    let params = Params { idle_timeout: Duration::from_secs(60), ..PARAMS };
    for (life, expected) in [(Life::Runs, 20_100), (Life::Stalls(4900), 25_000)] {
        let mut world = World::watched(params, &[(1, &[(Start::Ready(100), life)])]);
        world.run_to(1000);
        world.event(Event::Left);
        world.run_to(50_000);
        assert_eq!(world.source(1).successes, [expected]);
    }
}

#[test]
fn the_end_of_a_short_life_after_a_recovery_is_told_but_does_not_count() {
    let mut world = World::watched(PARAMS, &[(1, &[ends(1000), ends(1000), GOOD])]);
    world.run_to(60_000);
    assert_eq!(world.source(1).failures, ["source stream ended"], "the first one's");
    assert_eq!(world.source(1).told, ["source stream ended"], "the second one's");
    assert_eq!(world.source(1).successes.len(), 1, "the third one stays");
    let penalized = world.notices().into_iter().find_map(|notice| {
        let Notice::Penalized { source, reason, count, cooldown } = notice else { return None };
        Some((source.0, reason, count, cooldown))
    });
    let expected = (1, "startup_passed_unstable_source_eof".to_owned(), 1, MS(1000));
    assert_eq!(penalized, Some(expected));
}

#[test]
fn a_providers_429_counts_whether_the_source_was_starting_or_running() {
    for (first, counts) in [
        (breaks(1000, Some(429)), true),
        ((Start::Fails(10, Some(429)), Life::Runs), true),
        (breaks(1000, Some(503)), false),
        ((Start::Fails(10, Some(503)), Life::Runs), false),
    ] {
        let mut world = World::watched(RESTART, &[(1, &[first, GOOD])]);
        world.run_to(1100);
        let armed = world.log.iter().any(|(_, action)| matches!(action, Action::ArmProvider { .. }));
        assert_eq!(armed, counts);
    }
    let mut world = World::watched(RESTART, &[(1, &[breaks(1000, Some(429)), GOOD])]);
    world.run_to(60_000);
    assert_eq!(world.hits(1), [0, 4100], "the same source waits for its provider");
    assert_eq!(world.recovery_reason(), Some("upstream_429"));
}

#[test]
fn selections_of_one_source_in_a_row_are_counted() {
    let plays = [ends(2500), ends(2500), ends(2500), ends(2500), GOOD];
    let mut world = World::watched(RESTART, &[(1, &plays)]);
    world.run_to(120_000);
    assert_eq!(world.machine.record().same_source_reselect_count, 4);
}

#[test]
fn viewers_who_come_while_a_source_is_looked_for_are_let_in() {
    let mut world = World::watched(PARAMS, &[(1, &[ends(1000), (Start::Hangs, Life::Runs)])]);
    world.run_to(2000);
    world.log.clear();
    world.event(Event::Joined);
    assert_eq!(world.times(&Action::Admit), [2000]);
    world.event(Event::Left);
    assert_eq!(world.machine.state(), State::Recovering, "the first viewer is still there");
}

#[test]
fn filler_starts_at_once_and_ends_with_the_source_or_the_session() {
    let mut world = World::watched(PARAMS, &[(1, &[ends(1000), ends(100), GOOD])]);
    world.run_to(60_000);
    assert_eq!(world.times(&Action::StartFiller), [1100, 1300], "before pacing, in the moment of the loss");
    assert_eq!(world.times(&Action::StopFiller { back_to_live: true }), [1200, 1550]);

    let mut world = World::watched(PARAMS, &[(1, &[ends(1000), REFUSED])]);
    world.run_to(60_000);
    assert!(world.finished);
    assert_eq!(world.times(&Action::StopFiller { back_to_live: false }).len(), 1);
    assert!(world.times(&Action::StopFiller { back_to_live: true }).is_empty(), "nothing came back");

    let params = Params { filler_enabled: false, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[ends(1000), GOOD])]);
    world.run_to(60_000);
    assert!(world.times(&Action::StartFiller).is_empty());
}
