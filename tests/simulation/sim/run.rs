//! One seed: chaos, then health, then the end.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tunerd::engine::snapshot::CoreSnapshot;
use tunerd::engine::{
    CoreCommand, CoreId, Egress, Gate, Params, SessionId, SessionNumbers, SharedPlaces, SharedProviders,
    SharedTrials, SlowPolicy, Sources, TuneBackoff, ZeroCopy,
};
use tunerd::health;
use tunerd::http::{CookieJar, RequestHeaders};
use tunerd::lineup::{Channel, Lineup, Source};
use tunerd::ring::Segments;
use tunerd::session::history::Limits;
use tunerd::source::{self, Mode};
use tunerd::uring::sim::{Answer, Faults, Leave, Random, World};

use super::scene::{Cores, Scene, Story, channel, source};
use super::upstream::{Runs, SOURCES, Upstream, source_address};
use super::viewer::Viewer;

/// How long everything that can go wrong does.
const CHAOS: Duration = Duration::from_secs(40);
/// After which everything that chaos has left behind is over: idle sessions, blocked viewers, lost answers.
const CALM: Duration = Duration::from_secs(30);
/// In a healthy world a viewer has its picture after this long.
const TUNE_TIME: Duration = Duration::from_secs(5);
/// And then it never stands still for longer than this.
const STILL_MAX: Duration = Duration::from_secs(2);
/// A core that is to end does so within this time.
const DRAIN_TIME: Duration = Duration::from_secs(10);
const PORT: u16 = 5004;
const OTHER_PORT: u16 = 80;
const VIEWERS_MAX: usize = 40;

/// What a run has come to, for whoever wonders whether anything was tried.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    pub(crate) viewers: u64,
    pub(crate) packets: u64,
    pub(crate) jumps: u64,
    pub(crate) runs: u32,
    pub(crate) kicked: u32,
    pub(crate) digest: u64,
}

struct Simulation {
    scene: Scene,
    channels: Vec<Channel>,
    tuners: u16,
    upstreams: Vec<Upstream>,
    flawed: BTreeSet<u32>,
    runs: Runs,
    viewers: Vec<Viewer>,
    gate: Gate,
    /// Viewers whom an administrator has sent away.
    kicked: Option<Arc<AtomicU32>>,
    tally: Tally,
}

pub(super) fn listener_address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn channels(random: &mut Random) -> Vec<Channel> {
    let count = i64::try_from(random.between(1, 5)).unwrap();
    (1..=count)
        .map(|id| channel(id, (0..random.between(1, 3)).map(|_| drawn_source(random)).collect()))
        .collect()
}

fn drawn_source(random: &mut Random) -> Source {
    let number = i64::try_from(random.between(1, SOURCES)).unwrap();
    let url = match random.below(6) {
        0 => format!("srt://239.0.0.{number}:5000"),
        1..=2 => format!("http://source{number}.example:8080/live"),
        _mostly => format!("http://{}/live", source_address(number)),
    };
    source(number, url, 0)
}

pub(super) fn params(random: &mut Random, cores: u8, tuners: u16) -> Params {
    let seconds = Duration::from_secs;
    let startup_timeout = seconds(random.between(2, 6));
    Params {
        session: tunerd::session::Params {
            startup_timeout,
            failover_total_timeout: seconds(random.between(4, 12)),
            failovers_max: u32::try_from(random.below(3)).unwrap(),
            idle_timeout: seconds(random.below(4)),
            viewers_max: if random.below(4) == 0 { 5 } else { 0 },
            stall_detect: seconds(4),
            stall_hard_deadline: seconds(10),
            stall_policy: tunerd::session::StallPolicy::CloseSession,
            stall_retries_max: 3,
            min_health: seconds(20),
            provider_cooldown: seconds(1),
            place_wait: Duration::ZERO,
            filler_enabled: false,
        },
        history: Limits::new(2, 0, 0),
        filler: None,
        egress: Egress {
            bytes: 188 * random.between(1, 348),
            delay: Duration::from_millis(random.between(10, 300)),
            delay_max: Duration::from_millis(300),
            zero_copy: *random.pick(&[ZeroCopy::Auto, ZeroCopy::SendZc, ZeroCopy::SendFile, ZeroCopy::Never]),
            max_blocked_write: if random.below(2) == 0 { None } else { Some(seconds(random.between(1, 8))) },
            slow_policy: *random.pick(&[SlowPolicy::Disconnect, SlowPolicy::Skip]),
            join_lag_bytes: random.below(400_000),
        },
        gate: Gate::default(),
        sources: Sources {
            admission: source::admission::Admission::new(source::admission::SCHEMES, true),
            mode: Mode::Auto,
            trust: Arc::new(source::Trust::new(true, Vec::new()).unwrap()),
            direct: source::direct::Params {
                headers: RequestHeaders::NONE,
                cookies: CookieJar::default(),
                user_agent: String::new(),
                via: None,
                connect_timeout: seconds(1),
                header_timeout: seconds(2),
                startup_timeout,
                tls: source::direct::tls_config(&[]).unwrap(),
            },
            hls: source::hls::HlsParams::default(),
            udp: source::udp::DatagramParams::default(),
            ffmpeg: source::ffmpeg::FfmpegParams::default(),
            capabilities: Arc::new(source::ffmpeg::Capabilities::parse("", "")),
            ffmpeg_path: "ffmpeg".into(),
            ffprobe_path: "ffprobe".into(),
            pace: source::pace::PaceParams {
                rate: 1.0,
                catch_up: 1.0 + f64::from(u32::try_from(random.below(3)).unwrap()) / 4.0,
                burst: seconds(random.between(0, 5)),
            },
            startup: source::startup::StartupParams {
                timeout: startup_timeout,
                ..source::startup::StartupParams::default()
            },
        },
        tune_backoff: TuneBackoff {
            tunes_max: u32::try_from(random.below(4)).unwrap(),
            interval: seconds(10),
            cooldown: seconds(random.between(1, 5)),
        },
        probes: health::Params {
            interval: seconds(*random.pick(&[0, 2, 20])),
            timeout: seconds(random.between(1, 3)),
            tune_delay: Duration::from_millis(random.below(1000)),
        },
        own: tunerd::engine::Own::default(),
        room: tunerd::engine::Room::default(),
        chunk_bytes: random.between(1, 16) * 188 * 7,
        segments: Segments::Small,
        cores,
        tuners,
        preempt_settle_delay: Duration::from_millis(random.below(500)),
        places: SharedPlaces::default(),
        providers: SharedProviders::default(),
        trials: SharedTrials::default(),
        session_numbers: SessionNumbers::default(),
        tune_wait: Duration::ZERO,
        health_drain_timeout: Duration::from_millis(250),
    }
}

/// What a core says of itself fits together at every moment.
pub(super) fn check_snapshot(snapshot: &CoreSnapshot) {
    for session in &snapshot.sessions {
        let (record, viewers) = (&session.record, session.record.viewers);
        let is_over = record.ended.is_some();
        let watching = if is_over { 0 } else { session.viewers.len() as u64 };
        assert_eq!(viewers.total - viewers.completed, watching, "{session:?}");
        assert!(viewers.peak >= watching && viewers.peak <= viewers.total, "{session:?}");
        let open = record.sources.iter().filter(|source| source.deselected_at.is_none()).count();
        assert_eq!(open, usize::from(!is_over && record.selections.count > 0), "{session:?}");
    }
    assert!(snapshot.closed.sessions.len() <= snapshot.closed.limit);
    for closed in &snapshot.closed.sessions {
        let ended = closed.ended.as_ref().unwrap();
        assert!(closed.tuner.is_some() && closed.viewers.total == closed.viewers.completed, "{closed:?}");
        assert!(closed.sources.iter().all(|source| source.deselected_at.is_some_and(|at| at <= ended.at)));
        assert!(closed.subscribers.iter().all(|viewer| viewer.left.is_some_and(|(at, _)| at <= ended.at)));
    }
}

impl Simulation {
    fn new(seed: u64, cores: Cores) -> Self {
        let mut random = Random::new(seed);
        let faults = match random.below(8) {
            0 => Faults::default(),
            1..=2 => Faults::harmless(&mut random),
            _mostly => Faults::drawn(&mut random),
        };
        let queue_bytes = random.bytes(16 * 1024, 512 * 1024);
        // A core that cannot take its listeners in does not start: that much luck it needs.
        let world = World::with_queues(random.bits(), Faults::default(), queue_bytes);
        for number in 1..=i64::try_from(SOURCES).unwrap() {
            world.serve(source_address(number), Answer::Accept);
        }
        let core_count = u8::try_from(random.between(1, 3)).unwrap();
        let core_count = if cores == Cores::Several { core_count.max(2) } else { core_count };
        let tuners = u16::try_from(random.between(1, 4)).unwrap();
        let channels = channels(&mut random);
        let lineup = Lineup::new(channels.clone());
        let mut params = params(&mut random, core_count, tuners);
        let mut of_cores = Random::new(seed ^ 0x00C0_4E50_0000_0001);
        if cores == Cores::Several {
            params.gate.viewers_max = *of_cores.pick(&[0, 8, 20]);
            params.gate.per_address_max = *of_cores.pick(&[0, 1]);
        }
        let gate = params.gate.clone();
        let mut scene = Scene::new(world, random, &params, &[PORT, OTHER_PORT], |_random| lineup);
        let kicked = (cores == Cores::Several).then(Arc::default);
        if cores == Cores::Several {
            scene.mix_turns(of_cores);
        }
        scene.world.set_faults(faults);
        Self {
            scene,
            channels,
            tuners,
            upstreams: Vec::new(),
            flawed: BTreeSet::new(),
            runs: Runs::new(),
            viewers: Vec::new(),
            gate,
            kicked,
            tally: Tally::default(),
        }
    }

    fn disturb(&mut self) {
        if self.viewers.len() < VIEWERS_MAX && self.scene.random.below(10) == 0 {
            let channels = self.channels.len() as u64;
            let port = *self.scene.random.pick(&[PORT, OTHER_PORT]);
            self.viewers.push(Viewer::new(
                &self.scene.world,
                listener_address(port),
                channels,
                &mut self.scene.random,
            ));
            self.tally.viewers += 1;
        }
        let core = CoreId(u8::try_from(self.scene.random.below(self.scene.cores.len() as u64)).unwrap());
        match self.scene.random.below(2000) {
            0..=4 => {
                let reply = Box::new(|snapshot: CoreSnapshot| check_snapshot(&snapshot));
                self.scene.outside.tell(core, CoreCommand::Snapshot(reply));
            }
            5 => {
                // Another choice of sources for every channel, from now on.
                for channel in &mut self.channels {
                    channel.sources = (0..self.scene.random.between(1, 3))
                        .map(|_| drawn_source(&mut self.scene.random))
                        .collect();
                }
                let lineup = Arc::new(Lineup::new(self.channels.clone()));
                self.scene.tell_all(|| CoreCommand::Lineup(Arc::clone(&lineup)));
            }
            6..=60 => self.kick(),
            _mostly => {}
        }
    }

    /// An administrator guesses at a viewer. It watches on one core, if at all.
    fn kick(&mut self) {
        let Some(kicked) = self.kicked.clone() else { return };
        let random = &mut self.scene.random;
        let (session, viewer) = (SessionId(random.between(1, 24)), random.between(1, 8));
        let found = Arc::new(AtomicU32::new(0));
        self.scene.tell_all(|| {
            let (kicked, found) = (Arc::clone(&kicked), Arc::clone(&found));
            let reply = Box::new(move |is_gone| {
                if is_gone {
                    kicked.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(found.fetch_add(1, Ordering::Relaxed), 0, "a viewer watches on one core");
                }
            });
            CoreCommand::Kick { session, viewer, reply }
        });
    }

    /// Whatever can go wrong does.
    fn chaos(&mut self) -> Result<(), String> {
        self.go_on(CHAOS)
    }

    /// Where and when it is, and what the cores say of themselves.
    fn describe(&mut self) -> String {
        let (sender, receiver) = std::sync::mpsc::channel();
        for index in 0..self.scene.cores.len() {
            let sender = sender.clone();
            let reply = Box::new(move |snapshot| drop(sender.send(snapshot)));
            self.scene.outside.tell(CoreId(u8::try_from(index).unwrap()), CoreCommand::Snapshot(reply));
        }
        let turned = self.turn();
        let mut text = format!("at {:?}, {turned:?}\n", self.scene.world.now());
        for snapshot in receiver.try_iter() {
            text += &format!("{snapshot:?}\n");
        }
        text
    }

    /// Everything works from now on, and what is left of the chaos goes.
    fn heal(&mut self) -> Result<(), String> {
        self.scene.world.set_faults(Faults::default());
        self.scene.outside.heal();
        self.runs.is_healthy = true;
        for upstream in &mut self.upstreams {
            upstream.kill(&self.scene.world);
        }
        for viewer in &mut self.viewers {
            viewer.go(&self.scene.world, Leave::Reset);
        }
        self.go_on(CALM)?;
        if self.kicked.is_none() {
            return Ok(());
        }
        // On whichever core they were: everybody has gone, and nothing goes on for them.
        let snapshots = self.snapshots()?;
        match snapshots.iter().find(|core| core.viewers > 0 || !core.sessions.is_empty()) {
            Some(core) => Err(format!("nobody watches, and there is still something: {core:?}")),
            None => Ok(()),
        }
    }

    /// In a healthy world every channel that can have a tuner shows its picture, and it keeps moving, whatever
    /// other viewers do.
    fn check_pictures(&mut self) -> Result<(), String> {
        let channels = (self.channels.len() as u64).min(u64::from(self.tuners));
        for channel in 1..=channels {
            self.viewers.push(Viewer::faithful(
                &self.scene.world,
                listener_address(PORT),
                channel,
                &mut self.scene.random,
            ));
        }
        self.go_on(TUNE_TIME)?;
        for _ in 0..10 {
            let channel = self.scene.random.between(1, channels);
            self.viewers.push(Viewer::rude(
                &self.scene.world,
                listener_address(PORT),
                channel,
                &mut self.scene.random,
            ));
            self.go_on(Duration::from_secs(1))?;
            for viewer in &self.viewers {
                viewer.check_picture(&self.scene.world, STILL_MAX)?;
            }
        }
        Ok(())
    }

    /// Everything ends in time, and nothing is left behind.
    fn finish(mut self) -> Result<Tally, String> {
        self.drain(DRAIN_TIME)?;
        for viewer in &mut self.viewers {
            viewer.check_end(&self.scene.world)?;
            viewer.go(&self.scene.world, Leave::Reset);
            self.tally.packets += viewer.checker.packets();
        }
        let world = self.scene.end()?;
        let (left, of_addresses) = (self.gate.watching.load(Ordering::Relaxed), &self.gate.by_address);
        if left > 0 || !of_addresses.lock().unwrap().is_empty() {
            return Err(format!("{left} viewers are counted, and none is there: {of_addresses:?}"));
        }
        self.tally.kicked = self.kicked.map_or(0, |kicked| kicked.load(Ordering::Relaxed));
        self.tally.runs = self.runs.count();
        self.tally.digest = world.digest();
        Ok(self.tally)
    }
}

impl Story for Simulation {
    const TICK: Duration = Duration::from_millis(10);

    fn scene(&mut self) -> &mut Scene {
        &mut self.scene
    }

    fn tick(&mut self) -> Result<(), String> {
        for number in 1..=i64::try_from(SOURCES).unwrap() {
            while let Some(peer) = self.scene.world.take_arrival(source_address(number)) {
                let upstream = Upstream::new(&self.scene.world, peer, &mut self.runs, &mut self.scene.random);
                self.upstreams.push(upstream);
            }
        }
        self.scene.outside.step(&self.scene.world, &mut self.upstreams, &mut self.runs);
        for upstream in &mut self.upstreams {
            upstream.step(&self.scene.world);
            if upstream.is_flawed() {
                self.flawed.insert(upstream.run);
            }
        }
        self.upstreams.retain(|upstream| !upstream.is_over());
        if !self.runs.is_healthy {
            self.disturb();
        }
        for viewer in &mut self.viewers {
            let peer = viewer.peer;
            viewer.step(&self.scene.world, &self.flawed).map_err(|wrong| format!("{peer:?}: {wrong}"))?;
        }
        let (world, tally) = (&self.scene.world, &mut self.tally);
        self.viewers.retain(|viewer| {
            let over = viewer.is_over(world);
            if over {
                tally.packets += viewer.checker.packets();
                tally.jumps += viewer.checker.jumps();
            }
            !over
        });
        Ok(())
    }
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Result<Tally, String> {
    run_on(seed, Cores::Any)
}

/// Runs one seed on several cores, which have their turns as it comes, with bounds on all of them together.
pub(crate) fn run_on_several(seed: u64) -> Result<Tally, String> {
    run_on(seed, Cores::Several)
}

fn run_on(seed: u64, cores: Cores) -> Result<Tally, String> {
    let mut simulation = Simulation::new(seed, cores);
    let shown = [Simulation::chaos, Simulation::heal, Simulation::check_pictures];
    for phase in shown {
        phase(&mut simulation).map_err(|wrong| format!("{wrong}\n{}", simulation.describe()))?;
    }
    simulation.finish()
}
