use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::base::Instant;
use crate::lineup::{ChannelId, SourceId, StreamProfile};
use crate::source::startup_facts::StartupFacts;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn timeline(sources: usize) -> SourceTimeline {
    SourceTimeline::new(Limits { sessions: 256, sources, subscribers: 16 })
}

fn audience(subscribers: usize) -> Audience {
    Audience::new(Limits { sessions: 256, sources: 16, subscribers })
}

fn source(id: i64) -> SourceFacts {
    SourceFacts {
        id: SourceId(id),
        item_key: format!("src:{id}"),
        name: std::sync::Arc::default(),
        url: format!("http://host/{id}"),
        mode: "direct",
        is_unverified: false,
        profile_name: None,
        startup: StartupFacts::default(),
        profile: StreamProfile::default(),
    }
}

fn window(id: u64, left: Option<(Instant, CloseReason)>) -> SubscriberWindow {
    let peer = SocketAddr::from(([192, 168, 1, 10], 40_000));
    SubscriberWindow { id, peer, connected_at: at(id), left }
}

fn gone(id: u64, reason: CloseReason) -> SubscriberWindow {
    window(id, Some((at(100 + id), reason)))
}

fn record(
    id: u64,
    opened: u64,
    ended: Option<u64>,
    (history, audience): (&SourceTimeline, &Audience),
) -> SessionRecord {
    let (sources, sources_truncated) = history.sources();
    let (subscribers, subscribers_truncated) = audience.gone();
    SessionRecord {
        id,
        channel: ChannelId(1),
        guide_number: "101".to_owned(),
        guide_name: "News One".to_owned(),
        tuner: Some(0),
        lost: std::time::Duration::ZERO,
        opened_at: at(opened),
        ended: ended.map(|ended| Ended { at: at(ended), outcome: Outcome::Failed("gone".to_owned()) }),
        viewers: audience.counts(),
        writes: WriteCounters::default(),
        recovery_cycles: 1,
        recovery_reason: "stall".to_owned(),
        selections: history.selections().clone(),
        sources,
        sources_truncated,
        subscribers,
        subscribers_truncated,
        limits: history.limits(),
    }
}

#[test]
fn a_session_from_its_first_viewer_to_its_failure_is_one_entry_with_everything_closed() {
    let (mut history, mut audience) = (timeline(256), audience(256));
    assert_eq!(audience.attach(), 1);
    history.select(at(5), source(7), "initial_startup".to_owned());
    audience.detach(gone(1, CloseReason::StreamWriteError));
    history.select(at(50), source(8), "recovery_cycle_1:stall".to_owned());
    history.end(at(90));
    audience.end(at(90), []);
    let mut closed = ClosedSessions::new(256);
    closed.push(record(1, 0, Some(90), (&history, &audience)));
    let snapshot = closed.snapshot();
    let merged = merge([], [&snapshot]);
    let [entry] = merged.sessions.as_slice() else { panic!("{merged:?}") };
    assert_eq!(entry.ended.as_ref().unwrap().outcome.status(), "error");
    assert_eq!(entry.viewers, ViewerCounts { peak: 1, total: 1, completed: 1 });
    assert_eq!((entry.recovery_cycles, entry.recovery_reason.as_str()), (1, "stall"));
    let windows: Vec<_> = entry
        .sources
        .iter()
        .map(|window| (window.source.id.0, window.deselected_at, window.reason.as_str()))
        .collect();
    assert_eq!(windows, [(7, Some(at(50)), "initial_startup"), (8, Some(at(90)), "recovery_cycle_1:stall")]);
    assert_eq!(entry.subscribers, [gone(1, CloseReason::StreamWriteError)]);
}

#[test]
fn of_many_selections_the_newest_stay_and_the_current_one_is_open() {
    let mut history = timeline(3);
    for id in 1..=6 {
        history.select(at(id), source(i64::try_from(id).unwrap()), "initial_startup".to_owned());
    }
    let (sources, truncated) = history.sources();
    let ids: Vec<_> = sources.iter().map(|window| window.source.id.0).collect();
    assert_eq!((ids, truncated), (vec![4, 5, 6], 3));
    assert_eq!(sources[2].deselected_at, None);
    history.end(at(9));
    let (sources, truncated) = history.sources();
    assert_eq!((sources.len(), truncated), (3, 3));
    assert!(sources.iter().all(|window| window.deselected_at.is_some()));
}

#[test]
fn of_many_viewers_those_who_watch_stay() {
    let mut audience = audience(4);
    assert_eq!(audience.attach(), 1);
    for id in 2..=6 {
        assert_eq!(audience.attach(), id);
        audience.detach(gone(id, CloseReason::HttpContextCanceled));
    }
    let (left, truncated) = audience.gone();
    assert_eq!(left.iter().map(|viewer| viewer.id).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!((left.len() + 1, truncated), (4, 2));
    assert_eq!(audience.counts(), ViewerCounts { peak: 2, total: 6, completed: 5 });
}

#[test]
fn more_viewers_than_the_limit_are_remembered_while_they_watch() {
    let mut audience = audience(2);
    (1..=4).for_each(|id| assert_eq!(audience.attach(), id));
    assert_eq!((audience.connected(), audience.gone().1), (4, 0));
    audience.end(at(50), (1..=4).map(|id| window(id, None)));
    let (left, truncated) = audience.gone();
    let kept: Vec<_> = left.iter().map(|viewer| (viewer.id, viewer.left)).collect();
    let closed = Some((at(50), CloseReason::SessionClosed));
    assert_eq!((kept, truncated), (vec![(3, closed), (4, closed)], 2));
    assert_eq!(audience.counts().completed, 4);
    audience.detach(gone(4, CloseReason::HttpContextCanceled));
    assert_eq!(audience.counts().completed, 4, "a viewer who gets the rest of the stream has left with it");
}

#[test]
fn limits_follow_the_settings_within_their_bounds() {
    for (sessions, wish, expected) in [(1, 48, 48), (64, 0, 64), (0, 0, 256), (0, 4, 16), (0, 5000, 4096)] {
        let limits = Limits::new(sessions, wish, wish);
        assert_eq!((limits.sources, limits.subscribers), (expected, expected), "{sessions} {wish}");
    }
    assert_eq!(Limits::new(0, 0, 0).sessions, 256);
    assert_eq!(Limits::new(2, 0, 0), Limits { sessions: 2, sources: 16, subscribers: 16 });
}

#[test]
fn a_second_look_finds_the_same_and_a_session_that_goes_on_has_one_entry() {
    let (mut live, viewers) = (timeline(3), audience(16));
    (1..=5).for_each(|id| {
        live.select(at(1), source(id), "initial_startup".to_owned());
    });
    assert_eq!(live.sources(), live.sources());
    let mut closed = ClosedSessions::new(8);
    closed.push(record(1, 0, Some(9), (&live, &viewers)));
    closed.push(record(2, 0, Some(9), (&live, &viewers)));
    let going_on = record(2, 0, None, (&live, &viewers));
    for _ in 0..2 {
        let snapshot = closed.snapshot();
        let merged = merge([&going_on], [&snapshot]);
        let seen: Vec<_> =
            merged.sessions.iter().map(|session| (session.id, session.ended.is_some())).collect();
        assert_eq!((seen, merged.truncated), (vec![(1, true), (2, false)], 0));
    }
}

#[test]
fn of_three_ended_sessions_the_newest_two_stay() {
    let mut closed = ClosedSessions::new(2);
    let (sources, viewers) = (timeline(16), audience(16));
    let none = (&sources, &viewers);
    for id in 1..=3 {
        closed.push(record(id, id, Some(10 + id), none));
    }
    let snapshot = closed.snapshot();
    let merged = merge([], [&snapshot]);
    let ids: Vec<_> = merged.sessions.iter().map(|session| session.id).collect();
    assert_eq!((ids, merged.limit, merged.truncated), (vec![3, 2], 2, 1));
}

#[test]
fn sessions_of_all_cores_are_one_list_that_never_counts_backwards() {
    let (sources, viewers) = (timeline(16), audience(16));
    let none = (&sources, &viewers);
    let (mut first, mut second) = (ClosedSessions::new(3), ClosedSessions::new(3));
    let going_on = [record(90, 90, None, none), record(91, 90, None, none)];
    let mut before = 0;
    for id in 1..=12 {
        let core = if id % 3 == 0 { &mut second } else { &mut first };
        core.push(record(id, id, Some(id), none));
        let cores = [first.snapshot(), second.snapshot()];
        for live in 0..=going_on.len() {
            let merged = merge(&going_on[..live], &cores);
            assert_eq!(merged.sessions.len(), 3.min(live + usize::try_from(id).unwrap()));
            assert_eq!(merged.truncated, id.saturating_sub(3), "{id} ended, {live} go on");
            assert!(merged.truncated >= before);
            before = merged.truncated;
            let order: Vec<_> = merged.sessions.iter().map(|session| session.opened_at).collect();
            assert!(order.is_sorted_by(|a, b| a >= b), "{order:?}");
        }
    }
}

#[test]
fn a_session_that_ended_last_comes_first_of_those_that_began_together() {
    let (sources, viewers) = (timeline(16), audience(16));
    let none = (&sources, &viewers);
    let mut closed = ClosedSessions::new(8);
    for (id, ended) in [(1, 20), (2, 30), (3, 30)] {
        closed.push(record(id, 5, Some(ended), none));
    }
    let snapshot = closed.snapshot();
    let going_on = record(4, 5, None, none);
    let merged = merge([&going_on], [&snapshot]);
    assert_eq!(merged.sessions.iter().map(|session| session.id).collect::<Vec<_>>(), [3, 2, 1, 4]);
}

#[test]
fn the_third_reselection_in_a_row_is_an_alert_once() {
    let mut history = timeline(256);
    let mut select = |id| {
        let selected = history.select(at(1), source(id), "recovery_cycle_1:source_eof".to_owned());
        (selected.same_source, selected.alert)
    };
    let streak = [(0, false), (1, false), (2, false), (3, true), (4, false)];
    assert_eq!([7, 7, 7, 7, 7].map(&mut select), streak);
    assert_eq!([8, 7, 7, 7, 7].map(&mut select), [(0, false), (0, false), (1, false), (2, false), (3, true)]);
    assert_eq!(history.selections().count, 10);
}

#[test]
fn what_is_known_of_a_stream_goes_with_its_address() {
    let mut history = timeline(256);
    let profile =
        StreamProfile { width: 1280, height: 720, bitrate_bps: 4_000_000, ..StreamProfile::default() };
    let known = |history: &SourceTimeline| history.current().unwrap().source.profile == profile;
    history.select(at(1), source(7), "initial_startup".to_owned());
    let shared = Arc::clone(&history.sources().0[0]);
    history.update(|source| source.profile = profile.clone());
    assert_eq!(shared.source.profile, StreamProfile::default(), "a copy does not change");
    history.select(at(2), source(7), "recovery_cycle_1:stall".to_owned());
    assert!(known(&history));
    history.select(at(3), SourceFacts { url: "http://other/7".to_owned(), ..source(7) }, String::new());
    assert!(!known(&history), "another address is another stream");
    history.select(at(4), source(8), String::new());
    assert!(!known(&history));
}

#[test]
fn missed_bytes_are_counted_in_chunks_too() {
    let mut writes = WriteCounters::default();
    for (bytes, chunks, most) in [(0, 0, 0), (1, 1, 1), (65_536, 2, 1), (65_537, 4, 2), (10, 5, 2)] {
        writes.skipped(bytes, 65_536);
        assert_eq!((writes.slow_skip_lag_chunks, writes.slow_skip_max_lag_chunks), (chunks, most));
    }
    assert_eq!((writes.slow_skip_events, writes.slow_skip_lag_bytes), (5, 131_084));
}

#[test]
fn what_reads_a_source_is_named_with_its_second_start() {
    let mut facts = source(8);
    assert_eq!(facts.producer(), "direct:source=8");
    facts.mode = "ffmpeg-copy";
    facts.startup.relaxed_retry = true;
    assert_eq!(facts.producer(), "ffmpeg-copy:source=8:startup_retry_relaxed_probe");
}
