//! What a player asks for by one connection, one thing after the other.

use std::net::SocketAddr;
use std::time::Duration;

use support::tsgen::{self, TsGen};

use super::testing::{self, SimCore};
use super::*;
use crate::base::limits::REQUEST_HEAD_TIMEOUT;
use crate::engine::port::params::ZeroCopy;
use crate::lineup::{Channel, Lineup, Source};
use crate::uring::sim::{Answer, End, Faults, Leave, PeerId, Rate, World};

const SERVER: &str = "10.0.0.9:80";
const VIEWERS: &str = "10.0.0.1:5004";
const BITRATE: u64 = 2_000_000;
const STEP: Duration = Duration::from_millis(20);
/// By then there is a list, and everything else that is asked for.
const PATIENCE: Duration = Duration::from_secs(12);

/// A channel whose source never falters, and a player.
struct Scene {
    world: World,
    core: SimCore,
    player: PeerId,
    source: Option<(PeerId, TsGen, Instant)>,
    received: Vec<u8>,
}

impl Scene {
    fn new(zero_copy: ZeroCopy) -> Self {
        let world = World::new(11, Faults::default());
        world.serve(SERVER.parse().unwrap(), Answer::Accept);
        let mut params = testing::params();
        params.session.startup_timeout = PATIENCE;
        params.session.failover_total_timeout = PATIENCE;
        params.session.stall_detect = PATIENCE;
        params.sources.direct.header_timeout = PATIENCE;
        params.sources.direct.startup_timeout = PATIENCE;
        params.sources.startup.timeout = PATIENCE;
        params.egress.bytes = 65_048;
        // As few as there may be.
        params.room.connections_max = 0;
        params.egress.zero_copy = zero_copy;
        let listing = testing::listing(1);
        let source = Source { url: format!("http://{SERVER}/x.ts"), ..listing.sources[0].clone() };
        let lineup = Lineup::new(vec![Channel { sources: vec![source], ..Channel::clone(&listing) }]);
        let viewers: SocketAddr = VIEWERS.parse().unwrap();
        let core = testing::core_with(&world, params, vec![world.listen(viewers)], lineup);
        let player = world.connect_client(viewers);
        Self { world, core, player, source: None, received: Vec::new() }
    }

    fn step(&mut self) {
        let now = self.world.now();
        if let Some(peer) = self.world.take_arrival(SERVER.parse().unwrap()) {
            self.world.peer_send(peer, b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n");
            self.source = Some((peer, TsGen::new(tsgen::Params::new(BITRATE)), now));
        }
        if let Some((peer, generator, since)) = &mut self.source {
            let mut bytes = Vec::new();
            generator.fill(now - *since, &mut bytes);
            self.world.peer_send(*peer, &bytes);
        }
        let tick = now + STEP;
        self.world.wake_at(tick);
        while self.world.now() < tick {
            self.core.turn_by(|| self.world.now()).unwrap();
        }
        self.received.extend(self.world.peer_received(self.player));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            self.step();
        }
    }

    fn ask(&mut self, path: &str, more: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
        self.world.peer_send(self.player, request.as_bytes());
    }

    /// The next answer, once all of it is there: its head and its body.
    fn answer(&mut self) -> (String, Vec<u8>) {
        let until = self.world.now() + PATIENCE;
        while self.world.now() < until {
            self.step();
            let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8(self.received[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let whole = end + 4 + length.unwrap().parse::<usize>().unwrap();
            if self.received.len() >= whole {
                let answer: Vec<u8> = self.received.drain(..whole).collect();
                return (head, answer[end + 4..].to_vec());
            }
        }
        panic!("no answer: {:?}", String::from_utf8_lossy(&self.received));
    }

    fn get(&mut self, path: &str) -> (String, Vec<u8>) {
        self.ask(path, "");
        self.answer()
    }

    fn has_ended(&self) -> bool {
        self.world.peer_end(self.player).is_some()
    }
}

fn last_line(list: &[u8]) -> String {
    let text = std::str::from_utf8(list).unwrap();
    format!("/hls/v1/{}", text.lines().last().unwrap())
}

#[test]
fn lists_and_segments_come_by_one_connection_until_nothing_is_asked_for() {
    for zero_copy in [ZeroCopy::Never, ZeroCopy::SendFile, ZeroCopy::SendZc, ZeroCopy::Auto] {
        let mut scene = Scene::new(zero_copy);
        let (head, master) = scene.get("/hls/v1/index.m3u8");
        assert!(head.contains("\r\nConnection: keep-alive"), "{zero_copy:?}: {head}");
        let list = last_line(&master);
        for _ in 0..3 {
            let (head, listed) = scene.get(&list);
            assert!(head.contains("\r\nConnection: keep-alive"), "{zero_copy:?}: {head}");
            let (head, segment) = scene.get(&last_line(&listed));
            assert!(head.starts_with("HTTP/1.1 200 "), "{zero_copy:?}: {head}");
            assert!(segment.len().is_multiple_of(188) && segment[0] == 0x47, "{zero_copy:?}");
            // What is not there does not end it either.
            let (head, _) = scene.get("/hls/v1/1-99999.ts");
            assert!(head.starts_with("HTTP/1.1 404 "), "{zero_copy:?}: {head}");
            scene.pass(Duration::from_secs(2));
        }
        assert_eq!(scene.core.cx.counters.accepted, 1, "{zero_copy:?}");
        assert!(!scene.has_ended(), "{zero_copy:?}");
        scene.pass(REQUEST_HEAD_TIMEOUT - Duration::from_secs(3));
        assert!(!scene.has_ended(), "{zero_copy:?}: it is not over before its time");
        scene.pass(Duration::from_secs(2));
        assert_eq!(scene.world.peer_end(scene.player), Some(End::Finished), "{zero_copy:?}");
        assert_eq!(scene.core.connections.count(), 0, "{zero_copy:?}");
    }
}

#[test]
fn a_connection_ends_with_its_answer_where_the_client_says_so_or_more_has_come_than_a_request() {
    for more in ["Connection: close\r\n", "Content-Length: 1\r\n", "\r\nGET /hls/v1/index.m3u8 HTTP/1.1\r\n"]
    {
        let mut scene = Scene::new(ZeroCopy::Never);
        scene.ask("/hls/v1/index.m3u8", more);
        let (head, _) = scene.answer();
        assert!(head.contains("\r\nConnection: close"), "{more:?}: {head}");
        scene.pass(STEP);
        assert!(scene.has_ended(), "{more:?}");
    }
}

#[test]
fn whoever_goes_in_the_middle_of_a_segment_leaves_nothing_behind() {
    let mut scene = Scene::new(ZeroCopy::Never);
    let (_, master) = scene.get("/hls/v1/index.m3u8");
    let (_, listed) = scene.get(&last_line(&master));
    let places = scene.core.cx.places_taken();
    scene.world.peer_set_read_rate(scene.player, Rate::Stopped);
    scene.ask(&last_line(&listed), "");
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.core.cx.places_taken(), places);
    scene.world.peer_close(scene.player, Leave::Reset);
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.core.cx.places_taken(), places - 1, "its place is free");
    assert_eq!(scene.core.connections.count(), 0);
}

#[test]
fn a_connection_that_is_kept_for_nothing_gives_way_to_newcomers_after_older_ones() {
    let mut scene = Scene::new(ZeroCopy::Never);
    let _master = scene.get("/hls/v1/index.m3u8");
    // It came first, and has asked last.
    let silent = scene.world.connect_client(VIEWERS.parse().unwrap());
    scene.pass(STEP);
    let _again = scene.get("/hls/v1/index.m3u8");
    let most = scene.core.cx.newcomers_max();
    let crowd: Vec<_> = (scene.core.connections.count()..most)
        .map(|_| scene.world.connect_client(VIEWERS.parse().unwrap()))
        .collect();
    scene.pass(STEP);
    assert_eq!((scene.core.connections.count(), crowd.len()), (most, most - 2));
    let _late = scene.world.connect_client(VIEWERS.parse().unwrap());
    scene.pass(STEP);
    assert!(scene.world.peer_end(silent).is_some(), "the one that has been silent for the longest time goes");
    assert!(!scene.has_ended());
}
