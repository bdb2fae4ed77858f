//! A core whose channel receives datagrams, in a simulated world: the network reorders, repeats and loses them, and the kernel is
//! late and gives few at a time. What a viewer gets is whole, and what was lost is told.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use support::tscheck::{Checker, Findings};
use support::tsgen::{self, PACKET_BYTES, TsGen};
use tunerd::base::Instant;
use tunerd::engine::snapshot::{DatagramCounters, SessionSnapshot};
use tunerd::engine::{
    ControlPort, ControlRequest, Core, CoreCommand, CoreId, Egress, Mailbox, Own, Params, Parts,
    SessionNumbers, SharedPlaces, SharedProviders, SharedTrials, SlowPolicy, Sources, Token, TuneBackoff,
    ZeroCopy,
};
use tunerd::http::{CookieJar, RequestHeaders};
use tunerd::lineup::{Channel, ChannelId, Health, Lineup, PlaylistId, Source, SourceId, StoredProfile};
use tunerd::ring::{Lent, Segments};
use tunerd::session::history::Limits;
use tunerd::source;
use tunerd::uring::sim::{Faults, Leave, PeerId, Random, SimDescriptor, SimDriver, World};

const SEEDS: u64 = 40;
const TICK: Duration = Duration::from_millis(5);
const BITRATE: u64 = 4_000_000;
const GROUP: &str = "239.0.0.1:5000";
const SENDER: &str = "10.7.0.1";

/// Nobody is needed.
struct Nobody;

impl ControlPort<SimDescriptor> for Nobody {
    fn request(
        &self,
        request: ControlRequest<SimDescriptor>,
    ) -> Result<(), Box<ControlRequest<SimDescriptor>>> {
        Err(Box::new(request))
    }
}

fn params() -> Params {
    let second = Duration::from_secs(1);
    Params {
        session: tunerd::session::Params {
            startup_timeout: 5 * second,
            failover_total_timeout: 5 * second,
            failovers_max: 0,
            idle_timeout: Duration::ZERO,
            viewers_max: 0,
            stall_detect: 2 * second,
            stall_hard_deadline: 5 * second,
            stall_policy: tunerd::session::StallPolicy::CloseSession,
            stall_retries_max: 0,
            min_health: second,
            provider_cooldown: Duration::ZERO,
            place_wait: Duration::ZERO,
            filler_enabled: false,
        },
        history: Limits::default(),
        egress: Egress {
            bytes: 16_384,
            delay: Duration::from_millis(100),
            delay_max: Duration::ZERO,
            zero_copy: ZeroCopy::Never,
            max_blocked_write: None,
            slow_policy: SlowPolicy::Disconnect,
            join_lag_bytes: 0,
        },
        gate: tunerd::engine::Gate::default(),
        sources: Sources {
            admission: source::admission::Admission::new(source::admission::SCHEMES, true),
            mode: source::Mode::Auto,
            trust: Arc::new(source::Trust::new(true, Vec::new()).unwrap()),
            direct: source::direct::Params {
                headers: RequestHeaders::NONE,
                cookies: CookieJar::default(),
                user_agent: String::new(),
                via: None,
                connect_timeout: second,
                header_timeout: second,
                startup_timeout: second,
                tls: source::direct::tls_config(&[]).unwrap(),
            },
            hls: source::hls::HlsParams::default(),
            udp: source::udp::DatagramParams::default(),
            ffmpeg: source::ffmpeg::FfmpegParams::default(),
            capabilities: Arc::new(source::ffmpeg::Capabilities::parse("", "")),
            ffmpeg_path: "ffmpeg".into(),
            ffprobe_path: "ffprobe".into(),
            pace: source::pace::PaceParams::default(),
            startup: source::startup::StartupParams {
                timeout: 5 * second,
                ..source::startup::StartupParams::default()
            },
        },
        filler: None,
        health_drain_timeout: second,
        tune_backoff: TuneBackoff { tunes_max: 0, interval: second, cooldown: second },
        probes: tunerd::health::Params { interval: Duration::ZERO, timeout: second, tune_delay: second },
        own: Own::default(),
        room: tunerd::engine::Room::default(),
        chunk_bytes: 65_536,
        segments: Segments::Small,
        cores: 1,
        tuners: 1,
        preempt_settle_delay: Duration::ZERO,
        places: SharedPlaces::default(),
        providers: SharedProviders::default(),
        trials: SharedTrials::default(),
        session_numbers: SessionNumbers::default(),
        tune_wait: Duration::ZERO,
    }
}

fn lineup(url: &str) -> Arc<Lineup> {
    let source = Source {
        id: SourceId(1),
        item_key: "item".to_owned(),
        name: std::sync::Arc::default(),
        playlist: PlaylistId(1),
        url: url.to_owned(),
        headers: RequestHeaders::NONE,
        program: None,
        manner: tunerd::lineup::Manner::default(),
        tls_verify: None,
        priority: 0,
        health: Health::default(),
        profile: StoredProfile::default(),
    };
    let channel = Channel {
        id: ChannelId(1),
        guide_number: "1".to_owned(),
        name: "One".to_owned(),
        sources: vec![source],
    };
    Arc::new(Lineup::new(vec![channel]))
}

/// What the network does to datagrams, each time so many in a thousand.
#[derive(Clone, Copy, Default)]
struct Network {
    delayed: u64,
    repeated: u64,
    lost: u64,
}

/// A core, a sender, and what lies between them.
struct Scene {
    world: World,
    random: Random,
    core: Core<SimDriver<Token, Lent>>,
    mailbox: Mailbox<SimDescriptor>,
    generator: TsGen,
    network: Network,
    sequence: u16,
    /// Datagrams on their way, and when they are sent on.
    delayed: Vec<(Instant, Vec<u8>)>,
    /// When one was lost.
    lost: Vec<Instant>,
    viewer: Option<PeerId>,
    got: Vec<u8>,
}

impl Scene {
    fn new(seed: u64, network: Network, url: &str) -> Self {
        let mut random = Random::new(seed);
        let mut faults = if seed == 0 { Faults::default() } else { Faults::harmless(&mut random) };
        // What comes within a window is in order again: longer ways are the network's below.
        faults.latency_max = faults.latency_max.min(Duration::from_millis(20));
        let world = World::new(random.bits(), Faults::default());
        let (mailbox, reader) = Mailbox::new().unwrap();
        let parts = Parts {
            id: CoreId(0),
            params: params(),
            control: Box::new(Nobody),
            mailbox: reader,
            wakeup: None,
            cores: vec![mailbox.clone()],
            listeners: vec![world.listen(listener())],
            lineup: lineup(url),
        };
        let core = Core::new(SimDriver::new(&world), parts).unwrap();
        world.set_faults(faults);
        let generator = TsGen::new(tsgen::Params::new(BITRATE));
        let sequence = u16::try_from(random.below(65_536)).unwrap();
        Self {
            world,
            random,
            core,
            mailbox,
            generator,
            network,
            sequence,
            delayed: Vec::new(),
            lost: Vec::new(),
            viewer: None,
            got: Vec::new(),
        }
    }

    fn tune(&mut self) {
        let viewer = self.world.connect_client(listener());
        self.world.peer_send(viewer, b"GET /auto/v1 HTTP/1.1\r\nHost: x\r\n\r\n");
        self.viewer = Some(viewer);
    }

    /// Lets a time pass, in which the sender sends or not.
    fn pass(&mut self, time: Duration, is_sending: bool) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            if is_sending {
                self.send();
            }
            let tick = self.world.now() + TICK;
            self.world.wake_at(tick);
            while self.world.now() < tick {
                self.core.turn_by(|| self.world.now()).unwrap();
            }
            if let Some(viewer) = self.viewer {
                self.got.extend(self.world.peer_received(viewer));
            }
        }
    }

    /// Sends what has become due, and what the network has delayed.
    fn send(&mut self) {
        let now = self.world.now();
        let mut bytes = Vec::new();
        self.generator.fill(now - Instant::START, &mut bytes);
        for payload in bytes.chunks(7 * PACKET_BYTES) {
            self.sequence = self.sequence.wrapping_add(1);
            let [high, low] = self.sequence.to_be_bytes();
            let datagram = [&[0x80, 33, high, low, 0, 0, 0, 0, 0, 0, 0, 7], payload].concat();
            let fate = self.random.below(1000);
            let Network { delayed, repeated, lost } = self.network;
            if fate < lost {
                self.lost.push(now);
            } else if fate < lost + delayed {
                self.delayed.push((now + self.random.time(Duration::from_millis(100)), datagram));
            } else {
                for _ in 0..1 + u8::from(fate < lost + delayed + repeated) {
                    self.world.send_datagram(SENDER.parse().unwrap(), group(), &datagram);
                }
            }
        }
        let world = &self.world;
        for (_, datagram) in self.delayed.extract_if(.., |(at, _)| *at <= now) {
            world.send_datagram(SENDER.parse().unwrap(), group(), &datagram);
        }
    }

    /// What a strict receiver finds in what the viewer has got, behind the head of the answer.
    fn findings(&self) -> Findings {
        let end = self.got.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer") + 4;
        let mut checker = Checker::new();
        checker.feed(&self.got[end..]);
        checker.findings().clone()
    }

    fn session(&mut self) -> Option<SessionSnapshot> {
        let (sender, receiver) = channel();
        let reply = Box::new(move |snapshot| drop(sender.send(snapshot)));
        assert!(self.mailbox.send(CoreCommand::Snapshot(reply)).is_ok());
        self.pass(TICK, true);
        receiver.try_recv().unwrap().sessions.into_iter().next()
    }

    /// Everything ends, and nothing is left behind.
    fn end(mut self) {
        self.world.peer_close(self.viewer.unwrap(), Leave::Reset);
        self.pass(Duration::from_secs(2), false);
        assert_eq!(self.world.receivers(group()), 0, "the group is left");
        let deadline = self.world.now() + Duration::from_secs(5);
        assert!(self.mailbox.send(CoreCommand::Drain { deadline }).is_ok());
        while !self.core.is_drained() {
            self.pass(TICK, false);
        }
        let mut driver = self.core.into_driver();
        for _ in 0..100 {
            tunerd::uring::Driver::turn(&mut driver, TICK).unwrap();
            while tunerd::uring::Driver::next(&mut driver).is_some() {}
        }
        driver.assert_quiet();
    }
}

fn listener() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5004))
}

fn group() -> SocketAddr {
    GROUP.parse().unwrap()
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// Plays many seeds with a network, and gives what was counted and found in each; and of what was lost, how much must have been
/// counted, and how much may have been.
fn play(network: Network) -> Vec<((u64, u64), DatagramCounters, Findings)> {
    let play_one = |seed| {
        let _seed = Seed(seed);
        let mut scene = Scene::new(seed, network, &format!("rtp://{SENDER}@{GROUP}"));
        scene.pass(Duration::from_millis(300), true);
        scene.tune();
        scene.pass(Duration::from_secs(6), true);
        let counters = scene.session().unwrap().datagrams;
        // What was missing in the beginning, and what is waited for, is not counted.
        let (from, now) = (Instant::from_millis(800), scene.world.now());
        let is_certain = |at: &&Instant| **at >= from && now - **at > Duration::from_millis(300);
        let certain = scene.lost.iter().filter(is_certain).count() as u64;
        let lost = (certain, scene.lost.len() as u64);
        let findings = scene.findings();
        scene.end();
        (lost, counters, findings)
    };
    (0..SEEDS).map(play_one).collect()
}

#[test]
fn nothing_is_missing_when_all_comes_in_time_in_whatever_order() {
    let mut reordered = 0;
    for (seed, (_, counters, findings)) in (0..).zip(play(Network { delayed: 20, repeated: 10, lost: 0 })) {
        let _seed = Seed(seed);
        assert!(findings.tagged > 8_000, "{findings:?}");
        assert_eq!((findings.faults(), findings.signalled), (0, 0), "{findings:?} {counters:?}");
        assert_eq!((counters.lost, counters.strange, counters.restarts), (0, 0, 0), "{counters:?}");
        assert!(counters.duplicate > 5, "{counters:?}");
        reordered += counters.reordered;
    }
    assert!(reordered > 20 * SEEDS, "{reordered}");
}

#[test]
fn what_is_lost_is_signalled_and_counted() {
    for (seed, (lost, counters, findings)) in (0..).zip(play(Network { delayed: 10, repeated: 0, lost: 5 })) {
        let _seed = Seed(seed);
        assert!(findings.tagged > 6_000 && findings.signalled > 0, "{findings:?}");
        assert_eq!(findings.faults(), 0, "{findings:?} {counters:?}");
        let (certain, most) = lost;
        assert!(certain > 0 && (certain..=most).contains(&counters.lost), "{counters:?} of {lost:?}");
        assert_eq!(counters.late, 0, "{counters:?}");
    }
}

#[test]
fn a_sender_that_falls_silent_is_a_stall_and_who_is_not_named_is_not_heard() {
    for seed in 0..10 {
        let _seed = Seed(seed);
        let mut scene = Scene::new(seed, Network::default(), &format!("rtp://{SENDER}@{GROUP}"));
        scene.tune();
        scene.pass(Duration::from_secs(3), true);
        let strangers = scene.session().unwrap().datagrams;
        scene.world.send_datagram("10.7.0.2".parse().unwrap(), group(), b"x");
        scene.pass(TICK * 20, true);
        assert_eq!(scene.session().unwrap().datagrams.strange, strangers.strange);
        scene.pass(Duration::from_secs(8), false);
        assert!(scene.session().is_none(), "nothing comes, and there is no other source");
        scene.end();
    }
}
