use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use super::testing::{self, NoSources, SimCore, add_session, add_viewer, core};
use super::*;
use crate::base::limits::SEND_BYTES_MAX;
use crate::base::{Clock, KeyBits};
use crate::engine::context::token::ConnectionRef;
use crate::engine::port::ids::SessionId;
use crate::engine::port::messages::{CoreCommand, TriggerRefusal};
use crate::http::RequestHeaders;
use crate::lineup::{Channel, ChannelId, Manner, PlaylistId, Source, SourceId, Tuners};
use crate::lineup::{Health, StoredProfile};
use crate::session::ProviderScope;
use crate::session::history::{CloseReason, Ended, Outcome};
use crate::session::{Candidate, Event as SessionEvent, Sources};
use crate::tuner::Kind;
use crate::uring::sim::{Answer, Faults, World};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn viewers_are_sent_whole_steps_and_the_rest_when_it_is_old() {
    const STEP: u64 = 188 * 3;
    let (mut core, _) = core();
    let session = add_session(&mut core, 1);
    let (channel, _) = core.stations.get_mut(session).unwrap();
    let mut write = |millis: u64, packets: usize| {
        let feed = channel.feed_mut();
        feed.write_quietly(packets * 188);
        let is_due = feed.mark_committed(at(millis), STEP);
        (is_due, feed.mark(), feed.unmarked_since().map(Instant::as_millis))
    };
    for (millis, packets, expected) in [
        (10, 1, (false, 0, Some(10))),
        (20, 1, (false, 0, Some(10))),
        (30, 5, (true, 2 * STEP, Some(30))),
        (40, 2, (true, 3 * STEP, None)),
        (50, 1, (false, 3 * STEP, Some(50))),
    ] {
        assert_eq!(write(millis, packets), expected, "at {millis} ms");
    }
    channel.arm(&mut core.cx);
    core.cx.now = at(150);
    core.expire();
    let feed = core.stations.get_mut(session).unwrap().0.feed();
    assert_eq!((feed.mark(), feed.unmarked_since()), (feed.view().head(), None));
}

#[test]
fn the_last_of_a_source_is_sent_though_nothing_follows() {
    let (mut core, _) = core();
    let session = add_session(&mut core, 1);
    let (channel, outlet) = core.stations.get_mut(session).unwrap();
    channel.feed_mut().write_quietly(188);
    channel.lose_source(&mut core.cx, outlet);
    core.cx.now += core.cx.params.egress.delay;
    core.expire();
    let feed = core.stations.get_mut(session).unwrap().0.feed();
    assert_eq!((feed.mark(), feed.unmarked_since()), (188, None));
}

#[test]
fn timers_do_not_multiply() {
    let (mut core, _) = core();
    let session = add_session(&mut core, 1);
    let mut most = 0;
    for _ in 0..1000 {
        let (channel, _) = core.stations.get_mut(session).unwrap();
        channel.select_unknown(core.cx.now);
        channel.feed_mut().set_unmarked_since(None);
        channel.arm(&mut core.cx);
        channel.feed_mut().set_unmarked_since(Some(core.cx.now));
        channel.arm(&mut core.cx);
        core.cx.now += core.cx.params.egress.delay;
        core.expire();
        most = most.max(core.cx.timers.armed());
    }
    assert!(most <= 3, "{most} timers of one session");
}

#[test]
fn whoever_could_be_sent_nothing_while_the_core_stood_still_is_late_for_as_long_until_it_has_caught_up() {
    let (mut core, handle) = core();
    let session = add_session(&mut core, 1);
    let viewer = add_viewer(&mut core, session, handle);
    let (channel, _) = core.stations.get_mut(session).unwrap();
    for second in 0..60 {
        channel.feed_mut().note_pace(second * 100_000, Duration::from_secs(second));
    }
    let free_at = |core: &mut SimCore| {
        let (channel, _) = core.stations.get_mut(session).unwrap();
        channel.feed().floor_free_at(1_000_000).unwrap().as_millis()
    };
    let set_position = |core: &mut SimCore, position| {
        let (_, outlet) = core.stations.get_mut(session).unwrap();
        outlet.own_mut().set_position(viewer, position);
    };
    core.cx.now = at(4000);
    set_position(&mut core, 400_000);
    core.sweep();
    assert_eq!(free_at(&mut core), 10_300);
    core.excuse_viewers(Duration::from_secs(7));
    core.cx.now = at(11_000);
    assert_eq!(free_at(&mut core), 17_300, "it has had nothing for so long");
    core.sweep();
    assert_eq!(free_at(&mut core), 17_300);
    core.cx.now = at(12_000);
    set_position(&mut core, 1_000_000);
    core.sweep();
    assert_eq!(free_at(&mut core), 12_300, "it takes it faster than it is played");
    set_position(&mut core, 1_400_000);
    core.sweep();
    assert_eq!(free_at(&mut core), 10_300, "it has caught up");
}

#[test]
fn patience_with_a_blocked_viewer_follows_the_rate_of_its_programme() {
    // 64 kbit/s, of which a socket's step lasts for 24 s; and 8 Mbit/s.
    for (bytes_per_second, goes_after) in [(8000, 25), (1_000_000, 2)] {
        let (mut core, handle) = core();
        core.cx.params.egress.max_blocked_write = Some(Duration::from_secs(2));
        let session = add_session(&mut core, 1);
        let viewer = add_viewer(&mut core, session, handle);
        let poll = Operation::AwaitHangup { socket: handle };
        let Ok(op) = core.cx.driver.push(poll, Token::Send(viewer)) else { panic!("there is room") };
        let (channel, outlet) = core.stations.get_mut(session).unwrap();
        outlet.own_mut().set_sending(viewer, op);
        channel.tell_machine(Instant::START, SessionEvent::Joined, &mut NoSources);
        channel.feed_mut().note_pace(0, Duration::ZERO);
        channel.feed_mut().note_pace(bytes_per_second, Duration::from_secs(1));
        for second in 1..goes_after + 2 {
            core.cx.now = at(second * 1000);
            core.sweep();
            let is_there = core.stations.outlet(session).is_some_and(|outlet| outlet.has(viewer));
            assert_eq!(is_there, second < goes_after, "{bytes_per_second} B/s after {second} s");
        }
    }
}

#[test]
fn a_core_without_time_takes_nobody_in_and_calls_nobody_slow_who_waits_for_it() {
    let (mut core, handle) = core();
    let ask = |core: &mut SimCore| {
        let connection = ConnectionRef(KeyBits::first_of(0));
        let channel = Arc::new(Channel { sources: Vec::new(), ..Channel::clone(&testing::listing(1)) });
        let via = crate::http::Via::default();
        core.join_counted(Asked { connection, channel, duration: None, via, takes_interim: true })
    };
    assert_eq!(ask(&mut core), Err(StreamError::NoSources));
    let session = add_session(&mut core, 1);
    let viewers = [0; 3].map(|_| add_viewer(&mut core, session, handle));
    let poll = Operation::AwaitHangup { socket: handle };
    let Ok(op) = core.cx.driver.push(poll, Token::Send(viewers[2])) else { panic!("there is room") };
    let (_, outlet) = core.stations.get_mut(session).unwrap();
    outlet.own_mut().set_was_full(viewers[1]);
    outlet.own_mut().set_sending(viewers[2], op);
    for (is_saturated, expected) in [(false, [false, true, true]), (true, [false, false, true])] {
        let (_, outlet) = core.stations.get_mut(session).unwrap();
        assert_eq!(
            viewers.map(|viewer| outlet.own_mut().is_slow(viewer, is_saturated)),
            expected,
            "{is_saturated}"
        );
    }
    let turn = Duration::from_millis(250);
    for _turn in 0..6 {
        core.cx.now += turn;
        core.note_turn(turn, Duration::ZERO);
    }
    assert_eq!(ask(&mut core), Err(StreamError::NoSources), "nobody waits for it");
    core.cx.sends.push(core.cx.now, viewers[0], false);
    for _turn in 0..6 {
        core.cx.now += turn;
        core.note_turn(turn, Duration::ZERO);
    }
    assert_eq!(ask(&mut core), Err(StreamError::Saturated));
    assert_eq!(core.cx.counters.saturations, 1);
    core.cx.sends.pop(core.cx.now);
    core.note_turn(turn, Duration::ZERO);
    assert_eq!(ask(&mut core), Err(StreamError::NoSources), "it is in time again");
}

#[test]
fn a_saturated_core_that_falls_further_behind_ends_as_many_as_are_too_many_newest_first() {
    let world = World::new(1, Faults::default());
    let (mut core, _) = testing::core_in(&world);
    let session = add_session(&mut core, 1);
    let viewers: Vec<_> = (0..20)
        .map(|second| {
            let Ok(handle) = core.cx.driver.adopt(world.pipe().0) else { panic!("there is room") };
            core.cx.now = at(second * 1000);
            let (channel, _) = core.stations.get_mut(session).unwrap();
            channel.tell_machine(core.cx.now, SessionEvent::Joined, &mut NoSources);
            add_viewer(&mut core, session, handle)
        })
        .collect();
    let left = |core: &SimCore| {
        let outlet = core.stations.outlet(session).unwrap();
        viewers.iter().map(|viewer| outlet.has(*viewer)).collect::<Vec<_>>()
    };
    let (send, window) = (SEND_BYTES_MAX as u64, Duration::from_millis(250));
    for (windows, waiting, expected) in [(1, 4, 20), (4, 4, 20), (4, 4, 20), (4, 5, 16), (4, 3, 16)] {
        for _window in 0..windows {
            for _viewer in 0..20 {
                core.cx.note_send(waiting * send, send);
            }
            core.note_turn(window, Duration::ZERO);
        }
        let left = left(&core);
        assert!(left[..expected].iter().all(|is_there| *is_there), "{left:?}");
        assert!(!left[expected..].iter().any(|is_there| *is_there), "{left:?}");
    }
    assert_eq!(core.cx.counters.shed, 4);
    let (gone, _) = core.stations.outlet(session).unwrap().audience().gone();
    let reasons: Vec<_> = gone.iter().filter_map(|viewer| viewer.left).map(|(_, reason)| reason).collect();
    assert_eq!(reasons, [CloseReason::CoreSaturated; 4]);
}

#[test]
fn a_snapshot_holds_every_viewer_with_its_session() {
    let (mut core, handle) = core();
    let sessions = [add_session(&mut core, 1), add_session(&mut core, 2)];
    for session in sessions.iter().cycle().take(5) {
        add_viewer(&mut core, *session, handle);
    }
    let snapshot = core.snapshot();
    let numbers: Vec<Vec<_>> = snapshot
        .sessions
        .iter()
        .map(|session| session.viewers.iter().map(|viewer| viewer.id).collect())
        .collect();
    assert_eq!(numbers, [vec![1, 2, 3], vec![1, 2]]);
    assert_eq!((snapshot.connections, snapshot.tuners.map(|tuners| tuners.count)), (0, Some(2)));
}

#[test]
fn an_ended_session_is_remembered_with_those_who_watched_and_only_if_it_had_a_tuner() {
    let (mut core, handle) = core();
    let session = add_session(&mut core, 1);
    let viewers = [1, 2].map(|_| add_viewer(&mut core, session, handle));
    let (channel, outlet) = core.stations.get_mut(session).unwrap();
    outlet.own_mut().note_left(core.cx.now, channel.feed().view(), viewers[0], CloseReason::StreamWriteError);
    outlet.own_mut().remove(viewers[0]);
    channel.feed_mut().set_tuner(Some(1));
    core.cx.now = at(50);
    channel.end_as_written(&mut core.cx, outlet);
    core.on_over(session);
    let (channel, outlet) = core.stations.get_mut(session).unwrap();
    outlet.own_mut().note_left(
        core.cx.now,
        channel.feed().view(),
        viewers[1],
        CloseReason::HttpContextCanceled,
    );
    let without_tuner = add_session(&mut core, 2);
    let (channel, outlet) = core.stations.get_mut(without_tuner).unwrap();
    channel.end_as_written(&mut core.cx, outlet);
    core.on_over(without_tuner);
    let closed = core.snapshot().closed;
    let [record] = closed.sessions.as_slice() else { panic!("{closed:?}") };
    let outcome = Outcome::Completed;
    assert_eq!(record.ended, Some(Ended { at: at(50), outcome }));
    assert_eq!((record.tuner, record.viewers.total, record.viewers.completed), (Some(1), 2, 2));
    let reasons: Vec<_> = record.subscribers.iter().map(|viewer| viewer.left.unwrap().1).collect();
    assert_eq!(reasons, [CloseReason::StreamWriteError, CloseReason::SessionClosed]);
}

#[test]
fn five_thousand_viewers_are_copied_in_one_go() {
    let (mut core, handle) = core();
    let session = add_session(&mut core, 1);
    for _ in 0..5000 {
        add_viewer(&mut core, session, handle);
    }
    let clock = Clock::start();
    let began = clock.now();
    let snapshot = core.snapshot();
    println!("5000 viewers were copied in {:?}", clock.now() - began);
    assert_eq!(snapshot.sessions[0].viewers.len(), 5000);
    assert!(snapshot.sessions[0].viewers.iter().all(|viewer| viewer.bytes_sent == viewer.id));
}

mod recovery_that_somebody_asks_for {
    use super::*;

    /// A channel with one source.
    struct OneSource;

    impl Sources for OneSource {
        fn candidates(&mut self) -> Vec<Candidate> {
            vec![Candidate {
                index: 0,
                id: SourceId(1),
                provider: ProviderScope::of("http://127.0.0.1/a", 1),
                has_url: true,
                cooling_until: None,
                persisted_cooling_until: None,
                fails: 0,
                last_fail_at: 0,
                priority: 0,
                is_full: false,
                is_place_given_up: false,
                release: None,
                provider_free_at: None,
            }]
        }

        fn failover_settle(&mut self, _now: Instant) -> Duration {
            Duration::ZERO
        }
    }

    fn trigger(core: &mut SimCore, channel: i64) -> Result<(), TriggerRefusal> {
        let (sender, answer) = mpsc::channel();
        let reply = Box::new(move |result| sender.send(result).unwrap());
        let (channel, reason) = (ChannelId(channel), "x".to_owned());
        core.on_command(CoreCommand::TriggerRecovery { channel, reason, reply });
        answer.recv().unwrap()
    }

    #[test]
    fn only_a_session_that_shows_a_picture_to_somebody_can_recover() {
        let (mut core, handle) = core();
        assert_eq!(trigger(&mut core, 1), Err(TriggerRefusal::NotFound), "there is none");
        let session = add_session(&mut core, 1);
        add_viewer(&mut core, session, handle);
        let mut after = |event| {
            let now = core.cx.now;
            core.stations.get_mut(session).unwrap().0.tell_machine(now, event, &mut OneSource);
            trigger(&mut core, 1)
        };
        assert_eq!(after(SessionEvent::Joined), Err(TriggerRefusal::AlreadyPending), "it is being created");
        assert_eq!(after(SessionEvent::TunerGranted), Err(TriggerRefusal::NotFound), "it has no picture yet");
        assert_eq!(after(SessionEvent::SourceReady), Ok(()));
    }

    #[test]
    fn a_session_that_nobody_watches_is_not_recovered() {
        let (mut core, handle) = core();
        let session = add_session(&mut core, 1);
        add_viewer(&mut core, session, handle);
        for event in
            [SessionEvent::Joined, SessionEvent::TunerGranted, SessionEvent::SourceReady, SessionEvent::Left]
        {
            let now = core.cx.now;
            core.stations.get_mut(session).unwrap().0.tell_machine(now, event, &mut OneSource);
        }
        assert_eq!(trigger(&mut core, 1), Err(TriggerRefusal::NotFound));
    }
}

mod sources_tried_in_the_background {
    use super::*;

    const PARAMS: crate::health::Params = crate::health::Params {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        tune_delay: Duration::ZERO,
    };
    /// Connections are accepted there, and nothing is said.
    const UNANSWERED: &str = "http://10.0.0.9/";
    const EMPTY_URL: &str = "source stream URL is empty";

    /// A core with a channel for each address, numbered from one, that has come to its first pass.
    fn core(urls: &[&str]) -> SimCore {
        let channel = |(id, url): (i64, &&str)| Channel {
            id: ChannelId(id),
            guide_number: id.to_string(),
            name: String::new(),
            sources: vec![Source {
                id: SourceId(id),
                item_key: format!(" item{id} "),
                name: std::sync::Arc::default(),
                playlist: PlaylistId(1),
                url: (*url).to_owned(),
                program: None,
                tls_verify: None,
                manner: Manner::default(),
                headers: RequestHeaders::NONE,
                priority: 0,
                health: Health::default(),
                profile: StoredProfile::default(),
            }],
        };
        let world = World::new(1, Faults::default());
        world.serve(SocketAddr::from(([10, 0, 0, 9], 80)), Answer::Accept);
        let (mut core, _handle) = testing::core_in(&world);
        core.on_lineup(Arc::new(Lineup::new((1..).zip(urls).map(channel))));
        core.probe = Probe::new(PARAMS);
        for _ in 0..=urls.len() {
            turn(&mut core, 10_000);
        }
        core
    }

    fn turn(core: &mut SimCore, millis: u64) {
        core.turn(at(millis)).unwrap();
    }

    fn tuners_in_use(core: &SimCore) -> usize {
        core.cx.tuners.as_ref().map_or(0, |tuners| tuners.in_use())
    }

    fn assert_nothing_is_left(core: &SimCore) {
        assert!(core.stations.is_empty() && !core.probe.is_trying());
        assert_eq!((core.stations.of_session(SessionId(1)), tuners_in_use(core)), (None, 0));
    }

    #[test]
    fn sources_that_cannot_even_be_begun_are_remembered_one_channel_each_turn() {
        let core = core(&[" ", "http://host.example/", "nonsense"]);
        let reasons = [1, 2, 3].map(|id| core.health_of(SourceId(id)).last_fail_reason);
        assert_eq!(reasons[0], EMPTY_URL);
        assert!(reasons[1].contains("too many names"), "{reasons:?}");
        assert!(!reasons[2].is_empty());
        assert_nothing_is_left(&core);
        assert!(!core.probe.is_looking());
        assert_eq!(core.probe.next_deadline(), Some(at(20_000)));
    }

    #[test]
    fn a_source_that_is_tried_is_shown_as_a_tuner_and_not_as_a_session() {
        let core = core(&[UNANSWERED]);
        let snapshot = core.snapshot();
        let leases = snapshot.tuners.unwrap().leases;
        assert_eq!((leases[0].kind, leases[0].label.as_str()), (Kind::Probe, "probe:item1"));
        assert_eq!((leases.len(), snapshot.sessions.len()), (1, 0));
    }

    #[test]
    fn a_source_that_does_not_answer_has_failed_when_its_time_is_up() {
        let mut core = core(&[UNANSWERED]);
        turn(&mut core, 10_999);
        assert_eq!(tuners_in_use(&core), 1);
        turn(&mut core, 11_000);
        assert_eq!(core.health_of(SourceId(1)).fail_count, 1);
        assert_nothing_is_left(&core);
    }

    #[test]
    fn a_source_that_is_taken_away_while_it_is_tried_leaves_nothing_behind() {
        let mut core = core(&[UNANSWERED]);
        core.on_lineup(Arc::new(Lineup::default()));
        turn(&mut core, 11_000);
        assert_nothing_is_left(&core);
        assert_eq!(core.health_of(SourceId(1)), Health::default());
    }

    #[test]
    fn a_stop_ends_what_is_tried_at_once() {
        let mut core = core(&[UNANSWERED]);
        let drain = CoreCommand::Drain { deadline: at(60_000) };
        assert!(core.cx.tell_core(CoreId(0), drain).is_ok());
        turn(&mut core, 10_001);
        assert_nothing_is_left(&core);
        turn(&mut core, 30_000);
        assert!(core.is_drained());
        assert_nothing_is_left(&core);
    }
}

#[test]
fn a_provider_of_one_connection_sees_the_end_of_it_before_the_next_one_begins() {
    let provider: SocketAddr = "10.9.9.9:8080".parse().unwrap();
    let viewers: SocketAddr = "10.0.0.1:5004".parse().unwrap();
    for seed in 0..20 {
        let faults = Faults { latency_max: Duration::from_millis(20), ..Faults::default() };
        let world = World::new(seed, faults);
        world.serve(provider, Answer::Accept);
        let mut params = testing::params();
        params.session.failover_total_timeout = Duration::from_secs(3);
        let listing = testing::listing(1);
        // The first one says nothing, and the second is tried.
        let source = |id| Source {
            id: SourceId(id),
            url: format!("http://{provider}/{id}"),
            priority: u32::try_from(id).unwrap(),
            ..listing.sources[0].clone()
        };
        let sources = vec![source(1), source(2)];
        let allowed = Tuners { count: Some(1), of_playlists: [(sources[0].playlist, 1)].into() };
        let lineup = Lineup::new(vec![Channel { sources, ..Channel::clone(&listing) }]).with_tuners(allowed);
        let mut core: SimCore = testing::core_with(&world, params, vec![world.listen(viewers)], lineup);
        let viewer = world.connect_client(viewers);
        world.peer_send(viewer, b"GET /auto/v1 HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut visits = Vec::new();
        while world.now() < at(2500) {
            core.turn_by(|| world.now()).unwrap();
            visits.extend(world.take_arrival(provider));
        }
        let [first, second] = visits[..] else { panic!("{} connections", visits.len()) };
        let (begun_at, over_at) = (world.peer_visit(second).0, world.peer_visit(first).1.unwrap());
        assert!(
            over_at <= begun_at,
            "seed {seed}: the first is over at {over_at:?}, the next begins {begun_at:?}"
        );
    }
}

/// Cores that end together. A channel of the second has asked the first for a tuner.
mod ends {
    use super::*;
    use crate::engine::port::messages::TunerMessage;
    use crate::ring::{Ring, Segments};

    const DEADLINE: Instant = Instant::from_millis(7000);

    fn two_cores() -> [SimCore; 2] {
        let world = World::new(1, Faults::default());
        let (mailboxes, readers): (Vec<_>, Vec<_>) = (0..2).map(|_| Mailbox::new().unwrap()).unzip();
        let params = Params { cores: 2, ..testing::params() };
        let cores = (0..2).zip(readers).map(|(id, reader)| {
            testing::core_of(&world, params.clone(), CoreId(id), reader, mailboxes.clone())
        });
        let Ok(cores) = <[SimCore; 2]>::try_from(cores.collect::<Vec<_>>()) else { panic!("there are two") };
        cores
    }

    fn asks_for_a_tuner(core: &mut SimCore) {
        let (id, ring) = (core.cx.session_id(), Ring::new(1 << 20, Segments::Small).unwrap());
        let (at, asks) = core.stations.insert(&core.cx, id, &testing::listing(1), ring).unwrap();
        let (channel, outlets) = core.stations.get_mut(at).unwrap();
        channel.perform_first(&mut core.cx, outlets, asks);
        core.settle();
    }

    #[test]
    fn a_core_that_has_nothing_left_hears_the_others_until_they_have_nothing_left() {
        let [mut first, mut second] = two_cores();
        asks_for_a_tuner(&mut second);
        for core in [CoreId(0), CoreId(1)] {
            assert!(first.cx.tell_core(core, CoreCommand::Drain { deadline: DEADLINE }).is_ok());
        }
        first.turn(at(1)).unwrap();
        assert!(first.is_empty() && !first.is_drained(), "the second has a tuner to give back");
        for millis in [2, 3, 4] {
            second.turn(at(millis)).unwrap();
            first.turn(at(millis)).unwrap();
        }
        second.turn(at(5)).unwrap();
        assert!(second.is_drained() && first.is_drained(), "long before the time is up");
        assert_eq!(first.cx.tuners.as_ref().map(|tuners| tuners.in_use()), Some(0));
    }

    #[test]
    fn nobody_waits_until_a_core_that_has_returned_has_room() {
        let [mut first, mut second] = two_cores();
        first.close_mailbox();
        let cancelled = TunerMessage::Cancelled { core: CoreId(1), session: SessionId(1) };
        second.cx.post.tell_tuners(cancelled);
        second.settle();
        assert!(!second.cx.post.waits_for_room());
    }
}
