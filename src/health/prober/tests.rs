use super::*;
use crate::lineup::Health;

type TestProber = Prober<i64, i64>;
type Actions = Vec<Action<i64, i64>>;

const WALL: u64 = 100_000;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn params() -> Params {
    Params {
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(3),
        tune_delay: Duration::from_secs(1),
    }
}

fn candidate(source: i64, health: Health) -> Candidate<i64> {
    let priority = u32::try_from(source).unwrap();
    Candidate { ranked: Ranked { source, id: source, priority, health }, is_limited: false }
}

/// A machine whose first pass has begun at 30 s, with this list of channels.
fn begun(channels: &[i64]) -> (TestProber, Actions) {
    let mut prober = Prober::new(params(), at(0));
    assert_eq!(prober.handle(at(30_000), Event::Deadline), [Action::List]);
    let actions = prober.handle(at(30_000), Event::Channels(channels.to_vec()));
    (prober, actions)
}

/// One source, of which nothing is known, with the number of its channel and a zero.
fn untried(channel: i64) -> Event<i64, i64> {
    let sources = vec![candidate(channel * 10, Health::default())];
    Event::Candidates { is_tuned: false, wall: WALL, sources }
}

fn nothing(is_tuned: bool) -> Event<i64, i64> {
    Event::Candidates { is_tuned, wall: WALL, sources: Vec::new() }
}

fn lease(channel: i64) -> Action<i64, i64> {
    Action::Lease { channel, source: channel * 10 }
}

fn start(channel: i64) -> Action<i64, i64> {
    Action::Start { channel, source: channel * 10, timeout: Duration::from_secs(3) }
}

/// A machine that tries source 10 of channel 1 and has channel 2 before it.
fn probing() -> TestProber {
    let (mut prober, actions) = begun(&[1, 2]);
    assert_eq!(actions, [Action::Look(1)]);
    assert_eq!(prober.handle(at(30_000), untried(1)), [lease(1)]);
    assert_eq!(prober.handle(at(30_000), Event::Leased), [start(1)]);
    prober
}

#[test]
fn an_interval_of_zero_is_off() {
    let mut prober: TestProber = Prober::new(Params { interval: Duration::ZERO, ..params() }, at(0));
    assert!(prober.is_off());
    assert_eq!(prober.next_deadline(), None);
    assert_eq!(prober.handle(at(1_000_000), Event::Deadline), []);
}

#[test]
fn the_first_pass_comes_after_an_interval_but_within_a_minute() {
    for (interval, first) in [(30, 30), (60, 60), (3600, 60)] {
        let params = Params { interval: Duration::from_secs(interval), ..params() };
        let mut prober: TestProber = Prober::new(params, at(0));
        assert_eq!(prober.next_deadline(), Some(at(first * 1000)));
        assert_eq!(prober.handle(at(first * 1000 - 1), Event::Deadline), []);
        assert_eq!(prober.handle(at(first * 1000), Event::Deadline), [Action::List]);
        assert_eq!(prober.handle(at(first * 1000), Event::Channels(Vec::new())), []);
        assert_eq!(prober.next_deadline(), Some(at((first + interval) * 1000)));
    }
}

#[test]
fn a_source_that_streams_is_recorded_and_the_next_channel_waits_for_the_tune_delay() {
    let mut prober = probing();
    let actions = prober.handle(at(30_500), Event::Ready);
    assert_eq!(actions, [Action::Stop, Action::Release, Action::RecordOk { channel: 1, source: 10 }]);
    assert_eq!(prober.next_deadline(), Some(at(31_500)));
    assert_eq!(prober.handle(at(31_499), Event::Deadline), []);
    assert_eq!(prober.handle(at(31_500), Event::Deadline), [Action::Look(2)]);
    assert_eq!(prober.handle(at(31_500), nothing(false)), []);
    assert_eq!(prober.next_deadline(), Some(at(60_000)), "an interval after the pass began");
}

#[test]
fn a_source_that_fails_is_recorded_with_its_reason() {
    let mut prober = probing();
    let failed = Event::Failed("upstream returned status 429".to_owned());
    let reason = "upstream returned status 429".to_owned();
    let record = Action::RecordFailure { channel: 1, source: 10, reason };
    assert_eq!(prober.handle(at(30_500), failed), [Action::Stop, Action::Release, record]);
    assert_eq!(prober.next_deadline(), Some(at(31_500)));
}

#[test]
fn without_a_tune_delay_the_next_channel_follows_at_once() {
    let params = Params { tune_delay: Duration::ZERO, ..params() };
    let mut prober: TestProber = Prober::new(params, at(0));
    prober.handle(at(30_000), Event::Deadline);
    prober.handle(at(30_000), Event::Channels(vec![1, 2]));
    prober.handle(at(30_000), untried(1));
    prober.handle(at(30_000), Event::Leased);
    assert_eq!(prober.handle(at(30_100), Event::Ready).last(), Some(&Action::Look(2)));
}

#[test]
fn a_start_that_says_nothing_fails_once_its_own_timer_is_long_over() {
    let mut prober = probing();
    assert_eq!(prober.next_deadline(), Some(at(35_000)), "three seconds are the start's own");
    assert_eq!(prober.handle(at(34_999), Event::Deadline), []);
    let actions = prober.handle(at(35_000), Event::Deadline);
    let reason = "startup timeout after 3s".to_owned();
    assert_eq!(actions[2], Action::RecordFailure { channel: 1, source: 10, reason });
    assert_eq!(prober.handle(at(35_001), Event::Ready), [], "too late");
}

#[test]
fn cooling_and_limited_sources_are_not_tried() {
    let cooling = Health { cooldown_until: WALL + 60, ..Health::default() };
    let limited = Candidate { is_limited: true, ..candidate(2, Health::default()) };
    for sources in [vec![], vec![candidate(1, cooling.clone())], vec![limited, candidate(1, cooling)]] {
        let (mut prober, _) = begun(&[1]);
        let event = Event::Candidates { is_tuned: false, wall: WALL, sources };
        assert_eq!(prober.handle(at(30_000), event), []);
        assert_eq!(prober.next_deadline(), Some(at(60_000)), "no lease, no start, no record, no delay");
    }
}

#[test]
fn of_those_that_may_be_tried_the_one_known_least_recently_is_and_of_equals_the_first() {
    let ok = |last_ok_at| Health { last_ok_at, success_count: 1, ..Health::default() };
    let failed = Health { last_fail_at: WALL - 3600, fail_count: 1, ..Health::default() };
    let cooling = Health { cooldown_until: WALL + 1, ..Health::default() };
    for (healths, expected) in [
        (vec![Health::default(), Health::default()], Some(1)),
        (vec![ok(WALL - 10), Health::default()], Some(2)),
        (vec![ok(WALL - 10), ok(WALL - 20)], Some(2)),
        (vec![ok(WALL - 10), failed.clone()], Some(2)),
        (vec![ok(WALL - 7200), failed], Some(1)),
        (vec![ok(WALL - 10), cooling], Some(1)),
        (vec![], None),
    ] {
        let sources = (1..).zip(healths.clone()).map(|(id, health)| candidate(id, health)).collect();
        assert_eq!(choose(WALL, sources), expected, "{healths:?}");
    }
}

#[test]
fn a_channel_that_somebody_watches_is_left_alone() {
    let (mut prober, _) = begun(&[1, 2]);
    let sources = vec![candidate(10, Health::default())];
    let watched = Event::Candidates { is_tuned: true, wall: WALL, sources };
    assert_eq!(prober.handle(at(30_000), watched), [Action::Look(2)]);
}

#[test]
fn without_a_tuner_the_channel_is_passed_over_and_nothing_is_recorded() {
    let (mut prober, _) = begun(&[1, 2]);
    prober.handle(at(30_000), untried(1));
    assert_eq!(prober.next_deadline(), None, "a tuner that settles is waited for, however long that takes");
    assert_eq!(prober.handle(at(30_180), Event::Refused), [Action::Look(2)]);
}

#[test]
fn a_probe_that_yields_to_a_viewer_says_nothing_about_its_source() {
    let mut prober = probing();
    assert_eq!(prober.handle(at(30_500), Event::Preempted), [Action::Stop, Action::Release, Action::Look(2)]);
    assert_eq!(prober.handle(at(30_501), Event::Preempted), [], "it holds no tuner");
}

#[test]
fn a_preemption_that_comes_after_the_result_does_not_take_it_back() {
    let mut prober = probing();
    let actions = prober.handle(at(30_500), Event::Ready);
    assert!(actions.contains(&Action::RecordOk { channel: 1, source: 10 }));
    assert_eq!(prober.handle(at(30_500), Event::Preempted), []);
}

#[test]
fn a_viewer_of_the_channel_ends_its_probe_and_one_of_another_does_not() {
    let mut prober = probing();
    assert_eq!(prober.handle(at(30_100), Event::Tuned(2)), []);
    let actions = prober.handle(at(30_100), Event::Tuned(1));
    assert_eq!(actions, [Action::Stop, Action::Release, Action::Look(2)]);
}

#[test]
fn a_viewer_who_comes_while_the_tuner_is_asked_for_has_the_channel_to_himself() {
    let (mut prober, _) = begun(&[1, 2]);
    prober.handle(at(30_000), untried(1));
    assert_eq!(prober.handle(at(30_001), Event::Tuned(1)), []);
    assert_eq!(prober.handle(at(30_002), Event::Leased), [Action::Release, Action::Look(2)]);
}

/// Goes through passes, trying everything, each trial taking `trial_ms`. The channels of each pass.
fn passes(channels: &[i64], trial_ms: u64, count: usize) -> Vec<Vec<i64>> {
    let mut prober: TestProber = Prober::new(params(), at(0));
    let mut now = 30_000;
    let mut visited = Vec::new();
    let mut todo = prober.handle(at(now), Event::Deadline);
    while visited.len() <= count {
        let Some(action) = todo.pop() else {
            now = now.max(prober.next_deadline().unwrap().as_millis());
            todo = prober.handle(at(now), Event::Deadline);
            continue;
        };
        match action {
            Action::List => {
                visited.push(Vec::new());
                todo.extend(prober.handle(at(now), Event::Channels(channels.to_vec())));
            }
            Action::Look(channel) => {
                visited.last_mut().unwrap().push(channel);
                todo.extend(prober.handle(at(now), untried(channel)));
            }
            Action::Lease { .. } => todo.extend(prober.handle(at(now), Event::Leased)),
            Action::Start { .. } => {
                now += trial_ms;
                todo.extend(prober.handle(at(now), Event::Ready));
            }
            Action::Stop | Action::Release | Action::RecordOk { .. } => {}
            Action::RecordFailure { .. } => unreachable!("nothing fails here"),
        }
    }
    visited.truncate(count);
    visited
}

#[test]
fn each_pass_visits_every_channel_once_when_there_is_time() {
    assert_eq!(passes(&[1, 2, 3], 100, 2), [[1, 2, 3], [1, 2, 3]]);
}

#[test]
fn a_list_that_takes_longer_than_an_interval_goes_on_where_it_stopped() {
    let channels: Vec<i64> = (1..=20).collect();
    let passes = passes(&channels, 2000, 4);
    // Two seconds of trial and one of delay: ten in an interval of thirty seconds.
    assert_eq!(passes[0], (1..=10).collect::<Vec<_>>());
    assert_eq!(passes[1], (11..=20).collect::<Vec<_>>());
    assert_eq!(passes[2], (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_list_that_has_changed_begins_behind_the_last_channel_or_anew() {
    let (mut prober, _) = begun(&[1, 2, 3]);
    prober.handle(at(30_000), nothing(false));
    // The pass ends by time while channel 2 is looked at.
    assert_eq!(prober.handle(at(60_000), nothing(false)), []);
    assert_eq!(prober.handle(at(60_000), Event::Deadline), [Action::List]);
    assert_eq!(prober.handle(at(60_000), Event::Channels(vec![9, 2, 8])), [Action::Look(8)]);
    prober.handle(at(90_000), nothing(false));
    prober.handle(at(90_000), Event::Deadline);
    assert_eq!(prober.handle(at(90_000), Event::Channels(vec![5, 6])), [Action::Look(5)]);
}

#[test]
fn a_drain_ends_whatever_is_going_on_and_nothing_begins_again() {
    let mut prober = probing();
    assert_eq!(prober.handle(at(30_100), Event::Drain), [Action::Stop, Action::Release]);
    assert!(prober.is_off());
    assert_eq!(prober.handle(at(30_101), Event::Failed("late".to_owned())), []);
    assert_eq!(prober.handle(at(90_000), Event::Deadline), []);

    let (mut prober, _) = begun(&[1]);
    prober.handle(at(30_000), untried(1));
    assert_eq!(prober.handle(at(30_001), Event::Drain), []);
    assert_eq!(prober.handle(at(30_002), Event::Leased), [Action::Release], "it had been asked for");
}

#[test]
fn a_source_is_tried_out_of_turn_whether_or_not_there_are_turns() {
    for interval in [Duration::ZERO, Duration::from_secs(30)] {
        let mut prober = TestProber::new(Params { interval, ..params() }, at(0));
        let rested = prober.next_deadline();
        assert!(prober.is_free() && !prober.is_trying());
        let wanted = Event::Wanted { channel: 1, source: 10 };
        assert_eq!(prober.handle(at(1_000), wanted.clone()), [lease(1)]);
        assert!(!prober.is_free() && prober.is_trying());
        assert_eq!(prober.handle(at(1_000), Event::Leased), [start(1)]);
        let ended = prober.handle(at(2_000), Event::Ready);
        assert_eq!(ended, [Action::Stop, Action::Release, Action::RecordOk { channel: 1, source: 10 }]);
        assert!(!prober.is_free() && !prober.is_trying(), "a provider is given its pause");
        assert_eq!(prober.handle(at(3_000), Event::Deadline), []);
        assert!(prober.is_free());
        assert_eq!(prober.is_off(), interval.is_zero());
        assert_eq!(rested.is_none(), prober.next_deadline().is_none());
        // No tuner, and a viewer who takes it back.
        assert_eq!(prober.handle(at(4_000), wanted.clone()), [lease(1)]);
        assert_eq!(prober.handle(at(4_000), Event::Refused), []);
        assert!(prober.is_free());
        assert_eq!(prober.handle(at(5_000), wanted), [lease(1)]);
        assert_eq!(prober.handle(at(5_000), Event::Leased), [start(1)]);
        assert_eq!(prober.handle(at(5_500), Event::Preempted), [Action::Stop, Action::Release]);
        assert!(prober.is_free());
    }
}
