//! Another source takes over.

use std::time::Duration;

use super::super::{Action, Event, Notice, Params, State};
use super::harness::{GOOD, Life, MS, PARAMS, Play, REFUSED, Start, World, at, candidate};
use crate::lineup::SourceId;
use crate::session::ProviderScope;

const ENDS: Play = (Start::Ready(100), Life::Ends(900));
const STALLS: Play = (Start::Ready(100), Life::Stalls(900));
const DIES: Play = (Start::Ready(10), Life::Ends(50));
const HANGS: Play = (Start::Hangs, Life::Runs);

/// An attempt that is refused with this status.
fn refused_with(status: u16) -> Play {
    (Start::Fails(10, Some(status)), Life::Runs)
}

/// A channel of these sources, all of one provider, to which a connection was given up when it began.
fn after_a_channel_of_the_same_provider(scripts: &[(i64, &[Play])]) -> World {
    let mut world = World::new(PARAMS, scripts);
    let provider = ProviderScope::of("http://provider/", 1);
    for source in world.shelf.sources.values_mut() {
        source.candidate.provider = provider.clone();
    }
    world.shelf.providers.gave_up(at(0), &provider);
    world.begin();
    world
}

#[test]
fn what_a_provider_refuses_that_may_still_count_the_last_connection_is_asked_for_again() {
    for status in [403, 404, 429, 456, 458, 461, 503, 509] {
        let plays = [refused_with(status), refused_with(status), refused_with(status), GOOD];
        let mut world = after_a_channel_of_the_same_provider(&[(1, &plays)]);
        world.run_to(5000);
        assert_eq!(world.machine.state(), State::Live, "{status}");
        let hits = world.hits(1);
        assert!(hits.len() == 4 && hits[3] < 2500, "{status}: {hits:?}");
        assert_eq!(
            (world.source(1).failures.len(), world.source(1).told.len()),
            (0, 0),
            "nothing is held against it"
        );
    }
}

#[test]
fn a_refusal_that_no_closed_connection_explains_is_a_failure() {
    for (status, script) in [(500, true), (404, false)] {
        let mut world = if script {
            after_a_channel_of_the_same_provider(&[(1, &[refused_with(status)])])
        } else {
            World::watched(PARAMS, &[(1, &[refused_with(status)])])
        };
        world.run_to(1000);
        assert_eq!((world.hits(1).len(), world.source(1).failures.len()), (1, 1), "{status}");
    }
    // It is one too when the provider goes on refusing for longer than a connection is counted.
    let mut world = after_a_channel_of_the_same_provider(&[(1, &[refused_with(404)])]);
    world.run_to(14_000);
    assert_eq!(world.source(1).failures.len(), 1);
    let last = *world.hits(1).last().unwrap();
    assert!((9000..11_500).contains(&last), "{last}");
}

#[test]
fn while_a_provider_is_waited_for_the_channels_other_sources_are_tried() {
    let mut world = after_a_channel_of_the_same_provider(&[(1, &[refused_with(404)]), (2, &[GOOD])]);
    world.run_to(3000);
    assert_eq!((world.hits(1).len(), world.hits(2).len()), (1, 1), "the same provider, another stream");
    assert!(world.hits(2)[0] < 500, "{:?}", world.hits(2));
    let mut world = after_a_channel_of_the_same_provider(&[(1, &[refused_with(403)]), (2, &[GOOD])]);
    world.shelf.sources.get_mut(&2).unwrap().candidate.provider = ProviderScope::of("http://other/", 2);
    world.run_to(3000);
    assert!(world.hits(2).first().is_some_and(|at| *at < 500), "{:?}", world.hits(2));
}

#[test]
fn a_healthy_alternate_takes_over_after_the_settle_wait() {
    let mut world = World::watched(PARAMS, &[(1, &[STALLS]), (2, &[GOOD])]);
    world.run_to(60_000);
    assert_eq!((world.hits(1), world.hits(2)), (&[0][..], &[3000][..]));
    assert_eq!(world.source(1).failures, ["stream pump stall detected"]);
    assert_eq!(world.source(2).successes, [23_100], "recorded when it had run well");
    assert_eq!(world.selection_reasons(), ["initial_startup", "recovery_cycle_1:stall"]);
    let record = world.machine.record();
    assert_eq!((record.source_select_count, record.same_source_reselect_count), (2, 0));
}

#[test]
fn attempts_of_a_recovery_ask_for_a_picture_that_decodes_on_its_own() {
    let mut world = World::watched(PARAMS, &[(1, &[STALLS]), (2, &[REFUSED, GOOD])]);
    world.run_to(60_000);
    let starts: Vec<(bool, Duration)> = world
        .log
        .iter()
        .filter_map(|(_, action)| {
            let Action::StartSource { in_recovery, timeout, .. } = action else { return None };
            Some((*in_recovery, *timeout))
        })
        .collect();
    // The window of an alternate is 8 s, and the pause before its second attempt takes of it.
    assert_eq!(starts, [(false, MS(12_000)), (true, MS(8000)), (true, MS(7740))]);
}

#[test]
fn an_alternate_that_fails_twice_is_tried_a_third_time() {
    let plays = [REFUSED, REFUSED, GOOD];
    let params = Params { stall_retries_max: 0, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[STALLS, GOOD]), (2, &plays)]);
    world.run_to(20_000);
    assert_eq!(world.hits(2), [3000, 3260, 3770]);
    assert_eq!(world.hits(1), [0], "the lost source is left alone");
    assert_eq!((world.source(2).failures.len(), world.source(2).told.len()), (0, 2), "no failure counts");
    assert_eq!(world.machine.state(), State::Live);
}

#[test]
fn when_the_alternate_never_works_the_lost_source_is_tried_and_the_alternate_passed_over() {
    let lives_again: Play = (Start::Ready(100), Life::Ends(400));
    let mut world = World::watched(PARAMS, &[(1, &[ENDS, lives_again, GOOD]), (2, &[REFUSED])]);
    world.run_to(30_000);
    // Four attempts, then the general search: both cool, and the lost source has failed less often.
    assert_eq!(world.hits(2), [3000, 3260, 3770, 4780]);
    assert_eq!(world.hits(1)[..2], [0, 4790]);
    let failed = world.notices().into_iter().find_map(|notice| {
        let Notice::AlternateFailed { source, attempts, reason } = notice else { return None };
        Some((source, attempts, reason))
    });
    assert_eq!(failed, Some((SourceId(2), 4, "refused".to_owned())));
    // The second loss comes while the alternate's penalty lasts: it is not hit again.
    assert_eq!(world.machine.record().recovery_cycle, 2);
    assert_eq!(world.hits(2).len(), 4);
    assert_eq!(world.machine.state(), State::Live);
}

#[test]
fn penalties_of_sources_that_start_well_and_die_at_once_grow() {
    let mut world = World::watched(PARAMS, &[(1, &[DIES]), (2, &[DIES])]);
    world.run_to(60_000);
    let unstable: Vec<u32> = world
        .notices()
        .into_iter()
        .filter_map(|notice| {
            let Notice::Penalized { source: SourceId(2), reason, count, .. } = notice else { return None };
            reason.contains("unstable").then_some(count)
        })
        .collect();
    assert!(unstable.len() > 3 && unstable.is_sorted(), "a start alone forgives nothing: {unstable:?}");
}

#[test]
fn a_penalty_is_forgiven_when_the_source_has_run_well() {
    let lives: Play = (Start::Ready(100), Life::Ends(25_000));
    let mut world = World::watched(PARAMS, &[(1, &[STALLS]), (2, &[REFUSED, lives, GOOD])]);
    world.run_to(10_000);
    assert_eq!(world.machine.penalties.of(world.now, SourceId(2)).map(|penalty| penalty.count), Some(1));
    world.run_to(23_400);
    assert_eq!(world.machine.penalties.of(world.now, SourceId(2)), None);
}

#[test]
fn an_alternate_that_hangs_is_given_up_when_the_time_is_over() {
    let params = Params { failover_total_timeout: MS(180), stall_detect: MS(40), ..PARAMS };
    let mut world = World::watched(params, &[(1, &[(Start::Ready(100), Life::Ends(900))]), (2, &[HANGS])]);
    world.run_to(999);
    world.run_to(1499);
    assert_eq!(world.hits(2), [1050]);
    assert_eq!(world.times(&Action::StopSource), [1000, 1180]);
    assert_eq!(world.terminal().0, "error", "a recovery that ran out of time is an error");
}

#[test]
fn several_alternates_share_a_short_time() {
    let params = Params { failover_total_timeout: MS(8500), ..PARAMS };
    let mut world = World::watched(params, &[(1, &[ENDS]), (2, &[HANGS]), (3, &[GOOD])]);
    world.run_to(30_000);
    // 6.5 s are left after the settle wait, half a second of them is a reserve: 3 s for each.
    assert_eq!(world.hits(2), [3000]);
    assert_eq!(world.hits(3), [6000]);
    assert_eq!(world.machine.state(), State::Live);
}

#[test]
fn a_limited_provider_does_not_keep_an_alternate_on_another_host_waiting() {
    let mut world = World::watched(PARAMS, &[(1, &[ENDS]), (2, &[GOOD]), (3, &[GOOD])]);
    world.shelf.providers.arm(at(900), &candidate(2).provider, Some(Duration::from_secs(20)));
    world.run_to(30_000);
    assert_eq!((world.hits(2).len(), world.hits(3)), (0, &[3000][..]));
}

#[test]
fn a_source_lost_to_its_providers_limit_is_replaced_by_one_on_another_host_after_the_settle_wait() {
    let turned_away: Play = (Start::Ready(100), Life::Breaks(900, Some(429)));
    let mut world = World::new(PARAMS, &[(1, &[turned_away]), (2, &[GOOD]), (3, &[GOOD])]);
    let shared = candidate(1).provider;
    world.source(2).candidate.provider = shared;
    world.begin();
    world.run_to(30_000);
    assert_eq!((world.hits(2).len(), world.hits(3)), (0, &[3000][..]));
}

#[test]
fn the_settle_wait_holds_for_whichever_source_is_started_first() {
    // The only alternate's provider is limited, so the lost source is next; it too may still be counted.
    let mut world = World::watched(PARAMS, &[(1, &[GOOD]), (2, &[GOOD])]);
    world.run_to(1000);
    world.shelf.providers.arm(at(1000), &candidate(2).provider, Some(Duration::from_secs(20)));
    world.trigger("x").unwrap();
    world.run_to(30_000);
    assert_eq!((world.hits(1), world.hits(2).len()), (&[0, 3000][..], 0));
    let failed = |notice: &Notice| matches!(notice, Notice::AlternateFailed { .. });
    assert!(!world.notices().iter().any(failed), "what was not tried has not failed");
}

#[test]
fn an_alternate_turned_away_with_429_makes_room_for_another_host_at_once() {
    let limited: Play = (Start::Fails(10, Some(429)), Life::Runs);
    let mut world = World::watched(PARAMS, &[(1, &[ENDS]), (2, &[limited]), (3, &[GOOD])]);
    world.run_to(30_000);
    assert_eq!((world.hits(2), world.hits(3)), (&[3000][..], &[3010][..]));
}

#[test]
fn the_tuners_settle_time_is_kept_when_it_is_the_longer_one() {
    let mut world = World::watched(PARAMS, &[(1, &[ENDS]), (2, &[GOOD])]);
    world.shelf.settle = MS(3500);
    world.run_to(30_000);
    assert_eq!(world.hits(2), [4500]);
}

#[test]
fn when_the_last_viewer_leaves_in_the_middle_everything_stops_and_nothing_more_is_recorded() {
    // In the settle wait, in an attempt, and between two attempts.
    for (leave_at, play, runs) in [(2000, HANGS, false), (3500, HANGS, true), (3100, REFUSED, false)] {
        let mut world = World::watched(PARAMS, &[(1, &[STALLS]), (2, &[play])]);
        world.run_to(leave_at);
        assert_eq!(world.running.is_some(), runs, "{leave_at}");
        let before = (world.source(1).failures.len(), world.hits(1).len(), world.hits(2).len());
        world.event(Event::Left);
        assert!(world.finished, "at once");
        world.run_to(60_000);
        assert_eq!((world.source(1).failures.len(), world.hits(1).len(), world.hits(2).len()), before);
        assert_eq!(world.source(1).failures, ["stream pump stall detected"]);
        assert!(world.source(2).failures.is_empty());
        assert_eq!(world.terminal(), ("completed", ""));
    }
}

#[test]
fn an_attempt_that_ends_because_nobody_is_left_gives_no_penalty_and_a_failed_one_does() {
    let mut world = World::watched(PARAMS, &[(1, &[STALLS]), (2, &[HANGS])]);
    world.run_to(3500);
    world.event(Event::Left);
    assert_eq!(world.machine.penalties.of(world.now, SourceId(2)), None);

    let mut world = World::watched(PARAMS, &[(1, &[STALLS]), (2, &[REFUSED])]);
    world.run_to(3100);
    assert_eq!(world.machine.penalties.of(world.now, SourceId(2)).map(|penalty| penalty.count), Some(1));
}

#[test]
fn a_whole_stall_leaves_the_traces_that_operators_know() {
    let params = Params { stall_detect: MS(200), min_health: Duration::ZERO, ..PARAMS };
    let mut world = World::watched(params, &[(1, &[STALLS]), (2, &[GOOD])]);
    world.run_to(60_000);
    assert_eq!(world.source(1).failures, ["stream pump stall detected"]);
    assert_eq!((world.source(1).successes.len(), world.source(2).successes.len()), (1, 1));
    let record = world.machine.record();
    assert_eq!((record.stall_count, record.recovery_cycle), (1, 1));
    assert_eq!(world.recovery_reason(), Some("stall"));
    assert_eq!(record.last_select_reason.as_deref(), Some("recovery_cycle_1:stall"));
}
