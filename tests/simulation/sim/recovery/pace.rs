//! One seed: sources that are well and send when and as much as they like, viewers who take the programme at its own rate.
//!
//! Whoever does is never sent away and never moved forward, and no source is left: unless the world has a reason, and here
//! it has none but an operator's wish for another source.

use std::collections::VecDeque;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::engine::{CoreCommand, CoreId, Params, SlowPolicy};
use tunerd::lineup::{ChannelId, Lineup};
use tunerd::session::StallPolicy;
use tunerd::source::Mode;
use tunerd::uring::sim::{Answer, Faults, Leave, PeerId, Random, World};

use super::super::run::{check_snapshot, listener_address, params};
use super::super::scene::{Scene, Story, channel, source};
use super::super::upstream::Runs;
use super::feed::{Feed, RATE, Shape};
use super::hostile::Sum;
use super::origin::address;
use super::watcher::{Habit, Promise, Watcher};

const TICK: Duration = Duration::from_millis(20);
const FRAME_TIME: Duration = Duration::from_millis(1000 / RATE);
/// How long it is watched.
const TIME_MIN: Duration = Duration::from_secs(15);
const TIME_MAX: Duration = Duration::from_secs(35);
const DRAIN_TIME: Duration = Duration::from_secs(20);
/// A film's server has always so much on its way.
const LINE_BYTES: usize = 512 * 1024;
/// Batches come at least so often.
const BATCH_MAX: Duration = Duration::from_secs(6);
/// How far ahead of their first key picture sources are read, at most: the burst of the settings, what a clock that comes
/// seldom hides,
const AHEAD_MAX: Duration = Duration::from_secs(6);
/// and what is read before their rate is known.
const AHEAD_BYTES_MAX: u64 = 64 * 1024;
/// A process stands still for so long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const VIEWERS_MAX: u64 = 4;
const PORT: u16 = 5004;

/// When a source sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Each picture in its time, after what it has in stock.
    Live { stock: u64 },
    /// So much at once, so often.
    Batches { pictures: u64 },
    /// As fast as it is read.
    Film,
}

impl Manner {
    fn drawn(shape: &Shape, random: &mut Random) -> Self {
        // What is in stock is bounded by bytes, too, or the seed would take for ever.
        let pictures_max = 16 * 1024 * 1024 * RATE / shape.bytes_per_second();
        match random.below(5) {
            0 => Self::Live { stock: 0 },
            1..=2 => Self::Live { stock: random.between(RATE, pictures_max.clamp(RATE, 120 * RATE)) },
            3 => Self::Batches { pictures: random.between(RATE / 5, RATE * BATCH_MAX.as_secs()) },
            _film => Self::Film,
        }
    }
}

/// A connection to the source.
struct Provider {
    peer: PeerId,
    request: Vec<u8>,
    manner: Manner,
    feed: Feed,
    next_at: Option<Instant>,
    /// What has been sent when a picture had been, and not been received by us.
    sent: u64,
    ends: VecDeque<u64>,
    received_pictures: u64,
    began: Instant,
}

impl Provider {
    fn new(world: &World, peer: PeerId, run: u32, shape: Shape, manner: Manner, random: &mut Random) -> Self {
        let feed = Feed::new(run, shape, random);
        let (request, ends) = (Vec::new(), VecDeque::new());
        let began = world.now();
        Self { peer, request, manner, feed, next_at: None, sent: 0, ends, received_pictures: 0, began }
    }

    fn is_over(&self, world: &World) -> bool {
        world.peer_end(self.peer).is_some()
    }

    fn step(&mut self, world: &World) {
        let now = world.now();
        if self.next_at.is_none() {
            self.request.extend(world.peer_received(self.peer));
            if !self.request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                return;
            }
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
            self.send(world, head);
            self.began = now;
            self.next_at = Some(now);
            let stock = match self.manner {
                Manner::Live { stock } => stock,
                Manner::Batches { .. } | Manner::Film => 0,
            };
            self.pictures(world, stock);
        }
        match self.manner {
            Manner::Live { .. } => {
                let due = self.due(now, FRAME_TIME);
                self.pictures(world, due);
            }
            Manner::Batches { pictures } => {
                let every = FRAME_TIME * u32::try_from(pictures).unwrap();
                let due = self.due(now, every);
                self.pictures(world, due * pictures);
            }
            Manner::Film => {
                while world.peer_unsent(self.peer) < LINE_BYTES {
                    self.pictures(world, 1);
                }
            }
        }
        let received = self.sent - world.peer_unreceived(self.peer) as u64;
        while self.ends.front().is_some_and(|end| *end <= received) {
            self.ends.pop_front();
            self.received_pictures += 1;
        }
    }

    /// How many are due, one each `every`.
    fn due(&mut self, now: Instant, every: Duration) -> u64 {
        let Some(next_at) = &mut self.next_at else { return 0 };
        let mut due = 0;
        while *next_at <= now {
            *next_at += every;
            due += 1;
        }
        due
    }

    fn pictures(&mut self, world: &World, count: u64) {
        for _ in 0..count {
            let mut bytes = Vec::new();
            self.feed.next(&mut bytes);
            self.send(world, &bytes);
            self.ends.push_back(self.sent);
        }
    }

    fn send(&mut self, world: &World, bytes: &[u8]) {
        world.peer_send(self.peer, bytes);
        self.sent += bytes.len() as u64;
    }

    /// No further than viewers can follow.
    fn check_ahead(&self, now: Instant) -> Result<(), String> {
        let read = FRAME_TIME * u32::try_from(self.received_pictures).unwrap();
        let ahead = read.saturating_sub(now - self.began);
        if ahead > ahead_max(&self.feed.shape) {
            Err(format!("ahead: the source is read {ahead:?} ahead"))
        } else {
            Ok(())
        }
    }
}

fn ahead_max(shape: &Shape) -> Duration {
    let group = FRAME_TIME * u32::try_from(shape.gop).unwrap();
    AHEAD_MAX + 2 * group + Duration::from_millis(1000 * AHEAD_BYTES_MAX / shape.least_bytes_per_second())
}

/// What begins is begun with a key picture: of the next batch, or of the other source that somebody asks for meanwhile.
fn dark_max(shape: &Shape) -> Duration {
    let group = FRAME_TIME * u32::try_from(shape.gop).unwrap();
    BATCH_MAX + Duration::from_secs(2) + group
}

struct Pace {
    scene: Scene,
    shape: Shape,
    manner: Manner,
    providers: Vec<Provider>,
    runs: u32,
    /// Sources that may have been asked for.
    runs_max: u32,
    viewers: Vec<Watcher>,
    triggers_at: Option<Instant>,
    pauses_at: Option<Instant>,
    /// Since then the process has not stood still.
    goes_on_since: Instant,
}

fn lineup(random: &mut Random) -> Lineup {
    let source = |number: i64| {
        let url = format!("http://{}/live/{number}", address(number));
        source(number, url, u32::try_from(number).unwrap())
    };
    let sources = i64::try_from(random.between(1, 2)).unwrap();
    Lineup::new(vec![channel(1, (1..=sources).map(source).collect())])
}

fn patient(random: &mut Random) -> Params {
    let mut params = params(random, 1, 2);
    let seconds = Duration::from_secs;
    params.egress.slow_policy = *random.pick(&[SlowPolicy::Disconnect, SlowPolicy::Skip]);
    params.egress.join_lag_bytes = *random.pick(&[0, 50_000, 400_000, 2_000_000]);
    params.egress.bytes = 188 * random.between(1, 348);
    params.egress.max_blocked_write = (random.below(2) == 0).then(|| seconds(8));
    params.sources.mode = Mode::Direct;
    params.sources.startup.timeout = seconds(15);
    params.sources.direct.startup_timeout = seconds(15);
    params.probes.interval = Duration::ZERO;
    params.tune_backoff.tunes_max = 0;
    let session = &mut params.session;
    session.startup_timeout = seconds(15);
    session.failover_total_timeout = seconds(30);
    session.viewers_max = 0;
    session.idle_timeout = seconds(5);
    session.stall_detect = *random.pick(&[seconds(0), seconds(2), seconds(4)]);
    session.stall_policy = *random.pick(&[StallPolicy::FailoverSource, StallPolicy::RestartSame]);
    session.provider_cooldown = Duration::ZERO;
    params
}

/// Faults that slow nobody down: a far end that reads at a rate does so every 10 ms or less often.
fn gentle(random: &mut Random) -> Faults {
    if random.below(2) == 0 {
        return Faults::default();
    }
    let faults = Faults::harmless(random);
    let latency_max = faults.latency_max.min(Duration::from_millis(5));
    Faults { latency_max, ..faults }
}

impl Pace {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x9ACE_0000_0000_0009);
        let world = World::with_queues(random.bits(), Faults::default(), random.bytes(64 * 1024, 512 * 1024));
        (1..=2).for_each(|number| world.serve(address(number), Answer::Accept));
        let shape = Shape::paced(&mut random);
        let manner = Manner::drawn(&shape, &mut random);
        let params = patient(&mut random);
        let skips = params.egress.slow_policy == SlowPolicy::Skip;
        let mut scene = Scene::new(world, random, &params, &[PORT], lineup);
        let (world, random) = (&scene.world, &mut scene.random);
        world.set_faults(gentle(random));
        let watched = TIME_MIN + random.time(TIME_MAX - TIME_MIN);
        let sometime = |random: &mut Random| Instant::START + random.time(watched);
        // Another source is found in time only if it does not take longer than an attempt to show a key picture.
        let is_quick = shape.gop <= 4 * RATE;
        let triggers_at = (random.below(2) == 0).then(|| sometime(random)).filter(|_| is_quick);
        let pauses_at = (random.below(3) == 0).then(|| sometime(random));
        let promise = Promise {
            // Another source begins with its next key picture.
            gap_max: Some(dark_max(&shape)),
            lasts: true,
            skips,
            // A stock is read as fast as it may be.
            clock_ahead_max: ahead_max(&shape),
        };
        let rate = shape.bytes_per_second();
        let mut viewers = Vec::new();
        for number in 0..random.between(2, VIEWERS_MAX) {
            let faster = *random.pick(&[0, 0, 0, 5, 50]);
            let habit = match number {
                0 => Habit::Prompt,
                // The first one keeps the session.
                1 => Habit::Steady(rate, Duration::MAX),
                _later => {
                    let stay = Duration::from_secs(3) + random.time(watched);
                    Habit::Steady(rate + rate * faster / 100, stay)
                }
            };
            let mut viewer = Watcher::new(world, listener_address(PORT), 1, habit, promise, random);
            if number > 1 {
                viewer.comes_at(sometime(random));
            }
            viewers.push(viewer);
        }
        Self {
            scene,
            shape,
            manner,
            providers: Vec::new(),
            runs: 0,
            runs_max: 1,
            viewers,
            triggers_at,
            pauses_at,
            goes_on_since: Instant::START,
        }
    }

    /// The process does not run. Everybody else does, and what it does not read waits.
    fn pause(&mut self) -> Result<(), String> {
        let until = self.scene.world.now() + PAUSE_MIN + self.scene.random.time(PAUSE_MAX - PAUSE_MIN);
        self.goes_on_since = until;
        log::info!("the process stands still from {:?} until {until:?}", self.scene.world.now());
        for viewer in &mut self.viewers {
            let promise = Promise { gap_max: None, ..viewer.promised() };
            viewer.promise(promise);
        }
        while self.scene.world.now() < until {
            self.scene.world.pass(TICK);
            self.tick()?;
        }
        Ok(())
    }

    fn watch(&mut self) -> Result<(), String> {
        log::info!(
            "{:?}, {:?}, {} bytes in a second",
            self.manner,
            self.shape,
            self.shape.bytes_per_second()
        );
        let time = TIME_MIN + self.scene.random.time(TIME_MAX - TIME_MIN);
        self.go_on(time)?;
        for snapshot in self.snapshots()? {
            check_snapshot(&snapshot);
            for session in snapshot.sessions {
                let writes = session.record.writes;
                if writes.slow_skip_events > 0 || writes.deadline_timeouts > 0 {
                    return Err(format!("blamed: viewers who were not slow, {writes:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whoever comes sees a picture when one has come.
    fn check_dark(&self, number: usize, viewer: &Watcher) -> Result<(), String> {
        let since = viewer.dark_since().map(|since| since.max(self.goes_on_since));
        let dark = since.map_or(Duration::ZERO, |since| self.scene.world.now() - since);
        if dark > dark_max(&self.shape) {
            return Err(format!("dark: viewer {number} has seen nothing for {dark:?}"));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Sum, String> {
        for viewer in &mut self.viewers {
            viewer.go(&self.scene.world, Leave::Reset);
        }
        self.drain(DRAIN_TIME)?;
        let world = self.scene.end()?;
        let seconds = (world.now() - Instant::START).as_secs();
        let mut sum = Sum { seconds, runs: u64::from(self.runs), digest: world.digest(), ..Sum::default() };
        for viewer in &self.viewers {
            sum.visits += viewer.visits;
            sum.packets += viewer.packets;
            sum.live_packets += viewer.live_packets;
        }
        Ok(sum)
    }
}

impl Story for Pace {
    const TICK: Duration = TICK;

    fn scene(&mut self) -> &mut Scene {
        &mut self.scene
    }

    fn tick(&mut self) -> Result<(), String> {
        let now = self.scene.world.now();
        for number in 1..=2 {
            while let Some(peer) = self.scene.world.take_arrival(address(number)) {
                self.runs += 1;
                let (shape, manner) = (self.shape, self.manner);
                let provider =
                    Provider::new(&self.scene.world, peer, self.runs, shape, manner, &mut self.scene.random);
                self.providers.push(provider);
            }
        }
        if self.runs > self.runs_max {
            return Err(format!("recovered: {} connections, and reasons for {}", self.runs, self.runs_max));
        }
        self.providers.retain(|provider| !provider.is_over(&self.scene.world));
        for provider in &mut self.providers {
            provider.step(&self.scene.world);
            provider.check_ahead(now)?;
        }
        self.scene.outside.step(&self.scene.world, &mut Vec::new(), &mut Runs::new());
        if self.triggers_at.take_if(|at| *at <= now).is_some() {
            self.runs_max += 1;
            self.scene.outside.tell(
                CoreId(0),
                CoreCommand::TriggerRecovery {
                    channel: ChannelId(1),
                    reason: "somebody asked".to_owned(),
                    reply: Box::new(|_answer| {}),
                },
            );
        }
        for (viewer, number) in self.viewers.iter_mut().zip(1..) {
            viewer.step(&self.scene.world, None).map_err(|wrong| format!("viewer {number}: {wrong}"))?;
        }
        self.viewers.iter().zip(1..).try_for_each(|(viewer, number)| self.check_dark(number, viewer))
    }

    fn before_turn(&mut self) -> Result<(), String> {
        let now = self.scene.world.now();
        if self.pauses_at.take_if(|at| *at <= now).is_some() {
            self.pause()?;
        }
        Ok(())
    }
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Result<Sum, String> {
    let mut pace = Pace::new(seed);
    pace.watch().map_err(|wrong| {
        let (now, manner, shape) = (pace.scene.world.now(), pace.manner, pace.shape);
        let wrong: String = wrong.chars().take(2000).collect();
        format!("at {now:?}, {manner:?}, {shape:?}: {wrong}")
    })?;
    pace.finish()
}
