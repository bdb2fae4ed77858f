//! One seed: channels whose sources fail, then health, then the end.

use std::sync::Arc;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::engine::{CoreCommand, Filling, Params, SlowPolicy};
use tunerd::filler::{Mode as FillerMode, Params as FillerParams};
use tunerd::lineup::{Channel, ChannelId, Lineup, Source};
use tunerd::session::StallPolicy;
use tunerd::source::Mode;
use tunerd::tuner::Kind;
use tunerd::uring::sim::{Answer, Faults, Leave, PeerId, Random, World};

use super::super::run::{check_snapshot, listener_address, params};
use super::super::scene::{Cores, Scene, Story, channel, source};
use super::super::upstream::Runs;
use super::origin::{Climate, SOURCES_PER_CHANNEL, Stream, address};
use super::watcher::{Habit, Promise, Watcher};
use super::witness::CLOCK_AHEAD_MAX;

const TICK: Duration = Duration::from_millis(20);
const CHAOS_MAX: Duration = Duration::from_secs(60);
/// After which every channel shows its picture: watchdogs, deadlines, cooldowns and viewers that come again are
/// all shorter.
const CALM: Duration = Duration::from_secs(75);
/// A picture that moves has moved within this time.
const STILL_MAX: Duration = Duration::from_secs(3);
/// What a source delivers at once lasts for so long, its lead and long sound included.
const STOCK_TIME: Duration = Duration::from_millis(1500);
/// Pictures that have moved for so long are as well as they will be.
const MOVING_SECONDS: u32 = 6;
/// How long the end of a connection may be on its way: the core closes it when it lets go of the tuner, and its server looks
/// every tick, which may be just before.
const CLOSING: Duration = TICK.saturating_mul(2);
/// Idle sessions and sessions that are over linger for less.
const REST: Duration = Duration::from_secs(12);
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// A stop is at most two seconds longer than this, and so long after it everything is as before.
const STOPPED_MAX: Duration = Duration::from_secs(8);
const PORT: u16 = 5004;

/// What stories have come to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Sum {
    pub(crate) seconds: u64,
    pub(crate) runs: u64,
    pub(crate) visits: u64,
    pub(crate) packets: u64,
    pub(crate) live_packets: u64,
    pub(crate) digest: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.runs += other.runs;
        self.visits += other.visits;
        self.packets += other.packets;
        self.live_packets += other.live_packets;
    }
}

/// Sessions with their recoveries, and visits of those who stay.
type GoingOn = (Vec<(u64, u64)>, Vec<u64>);

struct Hostile {
    scene: Scene,
    runs: Runs,
    channels: Vec<Channel>,
    climate: Climate,
    streams: Vec<Stream>,
    watchers: Vec<Watcher>,
    /// Viewers whose stream has been ended, and what was read for their channel then.
    ended: Vec<(Instant, u64, Vec<PeerId>)>,
    chaos: Duration,
}

fn drawn_source(channel: i64, place: i64, random: &mut Random) -> Source {
    let number = (channel - 1) * SOURCES_PER_CHANNEL + place;
    // Some share their provider.
    let host = if random.below(4) == 0 { (channel - 1) * SOURCES_PER_CHANNEL + 1 } else { number };
    source(number, format!("http://{}/live/{number}", address(host)), u32::try_from(place).unwrap())
}

fn drawn_channel(id: i64, random: &mut Random) -> Channel {
    let sources = i64::try_from(random.between(1, 4)).unwrap();
    channel(id, (1..=sources).map(|place| drawn_source(id, place, random)).collect())
}

fn recovering(random: &mut Random, cores: u8, tuners: u16) -> Params {
    let mut params = params(random, cores, tuners);
    let millis = Duration::from_millis;
    let session = &mut params.session;
    session.viewers_max = 0;
    session.stall_detect = *random.pick(&[millis(500), millis(1000), millis(2000), millis(4000), millis(0)]);
    session.stall_hard_deadline = millis(random.between(4_000, 16_000));
    session.stall_policy = *random.pick(&[
        StallPolicy::FailoverSource,
        StallPolicy::FailoverSource,
        StallPolicy::RestartSame,
        StallPolicy::CloseSession,
    ]);
    session.stall_retries_max = u32::try_from(random.below(5)).unwrap();
    session.min_health = millis(random.below(8_000));
    session.provider_cooldown = millis(random.below(3_000));
    params.filler = (random.below(5) > 0).then(|| Filling {
        filler: FillerParams {
            mode: *random.pick(&[
                FillerMode::Null,
                FillerMode::Psi,
                FillerMode::SlateAv,
                FillerMode::SlateAv,
            ]),
            interval: millis(random.between(20, 400)),
            has_audio: random.below(3) > 0,
        },
        text: "One moment".to_owned(),
    });
    session.filler_enabled = params.filler.is_some();
    params.egress.delay = millis(random.between(10, 200));
    params.sources.mode = Mode::Direct;
    if random.below(2) == 0 {
        params.egress.slow_policy = SlowPolicy::Skip;
    }
    params
}

impl Hostile {
    fn new(seed: u64, cores: Cores) -> Self {
        let mut random = Random::new(seed ^ 0x5EC0_4E12_7A11_0000);
        let world = World::with_queues(random.bits(), Faults::default(), random.bytes(64 * 1024, 512 * 1024));
        let core_count = u8::try_from(random.between(1, 2)).unwrap();
        let core_count = if cores == Cores::Several { core_count + 1 } else { core_count };
        let channel_count = i64::try_from(random.between(1, 3)).unwrap();
        let channels: Vec<_> = (1..=channel_count).map(|id| drawn_channel(id, &mut random)).collect();
        (1..=channel_count * SOURCES_PER_CHANNEL).for_each(|n| world.serve(address(n), Answer::Accept));
        let tuners = u16::try_from(channel_count).unwrap() + u16::try_from(random.below(2)).unwrap();
        let params = recovering(&mut random, core_count, tuners);
        let stall_detect = params.session.stall_detect;
        let is_watched = !stall_detect.is_zero() && params.filler.is_some();
        let promise = Promise {
            // A source stands still when what it has delivered runs out.
            gap_max: is_watched.then(|| stall_detect + STOCK_TIME + Duration::from_secs(1)),
            lasts: false,
            clock_ahead_max: CLOCK_AHEAD_MAX,
            skips: params.egress.slow_policy == SlowPolicy::Skip,
        };
        let lineup = Lineup::new(channels.clone());
        let mut scene = Scene::new(world, random, &params, &[PORT], |_random| lineup);
        if cores == Cores::Several {
            scene.mix_turns(Random::new(seed ^ 0x00C0_4E50_0000_0002));
        }
        let (world, random) = (&scene.world, &mut scene.random);
        if random.below(2) == 0 {
            world.set_faults(Faults::harmless(random));
        }
        let mut watchers = Vec::new();
        for id in 1..=channel_count.unsigned_abs() {
            watchers.push(Watcher::new(world, listener_address(PORT), id, Habit::Prompt, promise, random));
            for _ in 0..random.below(3) {
                watchers.push(Watcher::new(
                    world,
                    listener_address(PORT),
                    id,
                    Habit::Fickle,
                    promise,
                    random,
                ));
            }
        }
        let chaos = Duration::from_secs(10) + random.time(CHAOS_MAX - Duration::from_secs(10));
        Self {
            climate: Climate::new(stall_detect.is_zero()),
            scene,
            runs: Runs::new(),
            channels,
            streams: Vec::new(),
            watchers,
            ended: Vec::new(),
            chaos,
        }
    }

    fn addresses(&self) -> i64 {
        i64::try_from(self.channels.len()).unwrap() * SOURCES_PER_CHANNEL
    }

    /// Nobody who takes what comes is sent away while the source that it was shown goes on being read. Another session of the
    /// channel may have begun meanwhile, with a source of its own.
    fn nobody_ends_alone(&mut self) -> Result<(), String> {
        let now = self.scene.world.now();
        for watcher in &self.watchers {
            if watcher.ended_at == Some(now) && !watcher.is_fickle() {
                let shown = watcher.shown_run();
                let is_shown = |stream: &&Stream| stream.is_of(watcher.channel) && Some(stream.run) == shown;
                let streams = self.streams.iter().filter(is_shown);
                self.ended.push((now, watcher.channel, streams.map(|stream| stream.peer).collect()));
            }
        }
        let is_old = |ended: &mut (Instant, u64, Vec<PeerId>)| now - ended.0 > CLOSING;
        for (at, channel, peers) in self.ended.extract_if(.., is_old) {
            if self.streams.iter().any(|stream| peers.contains(&stream.peer)) {
                return Err(format!("ended: a viewer of channel {channel}, alone, at {at:?}"));
            }
        }
        Ok(())
    }

    fn new_lineup(&self, channels: &[Channel]) {
        let lineup = Arc::new(Lineup::new(channels.to_vec()));
        self.scene.tell_all(|| CoreCommand::Lineup(Arc::clone(&lineup)));
    }

    fn disturb(&mut self) {
        let channel = self.scene.random.below(self.channels.len() as u64);
        let id = ChannelId(i64::try_from(channel).unwrap() + 1);
        match self.scene.random.below(4000) {
            0..=5 => {
                self.scene.tell_all(|| CoreCommand::Snapshot(Box::new(|snapshot| check_snapshot(&snapshot))))
            }
            6..=9 => {
                let mut channels = self.channels.clone();
                for channel in &mut channels {
                    channel.sources.retain(|_| self.scene.random.below(3) > 0);
                    let by = self.scene.random.bytes(0, channel.sources.len());
                    channel.sources.rotate_left(by);
                }
                self.new_lineup(&channels);
            }
            10..=12 => self.new_lineup(&self.channels),
            13..=22 => self.scene.tell_all(|| CoreCommand::TriggerRecovery {
                channel: id,
                reason: "somebody asked".to_owned(),
                reply: Box::new(|_answer| {}),
            }),
            23..=26 => {
                let channel = (self.scene.random.below(2) == 0).then_some(id);
                self.scene.tell_all(|| CoreCommand::ClearHealth { channel });
            }
            27..=40 => {
                let number =
                    i64::try_from(self.scene.random.between(1, self.addresses().unsigned_abs())).unwrap();
                let answer = match self.scene.random.below(3) {
                    0 => Answer::Refuse,
                    1 => Answer::Silent,
                    _mostly => Answer::Accept,
                };
                self.scene.world.serve(address(number), answer);
            }
            _mostly => {}
        }
    }

    fn chaos(&mut self) -> Result<(), String> {
        self.go_on(self.chaos)
    }

    /// Every channel has sources that are well, and shows them.
    fn health(&mut self) -> Result<(), String> {
        self.scene.world.set_faults(Faults::default());
        self.scene.outside.heal();
        self.climate.is_healthy = true;
        (1..=self.addresses()).for_each(|number| self.scene.world.serve(address(number), Answer::Accept));
        self.new_lineup(&self.channels);
        let until = self.scene.world.now() + CALM;
        let mut moving = 0;
        while moving < MOVING_SECONDS {
            self.go_on(Duration::from_secs(1))?;
            let now = self.scene.world.now();
            let still = |watcher: &Watcher| watcher.live_at.is_none_or(|at| now - at > STILL_MAX);
            let standing = self.watchers.iter().find(|watcher| !watcher.is_fickle() && still(watcher));
            let standing = standing.map(|watcher| (watcher.channel, watcher.live_at.map(|at| now - at)));
            moving = if standing.is_none() { moving + 1 } else { 0 };
            if moving > 0 && self.is_settled() {
                // Whoever sees the picture now sees it until it goes.
                let goes_on = |run| self.streams.iter().any(|stream| stream.run == run);
                let sees =
                    |watcher: &&mut Watcher| !watcher.is_fickle() && watcher.live_run().is_some_and(goes_on);
                for watcher in self.watchers.iter_mut().filter(sees) {
                    watcher.promise(Promise { lasts: true, ..watcher.promised() });
                }
            }
            if let Some((channel, last)) = standing.filter(|_| now > until) {
                return Err(format!(
                    "channel {channel} shows nothing live: {last:?} ago, health since {CALM:?}"
                ));
            }
        }
        Ok(())
    }

    /// Every source that is read is well, and shown: none is being started in the place of another.
    fn is_settled(&self) -> bool {
        let shown = |run: u32| {
            self.watchers.iter().any(|watcher| !watcher.is_fickle() && watcher.live_run() == Some(run))
        };
        self.streams.iter().all(|stream| !stream.is_ill(self.scene.world.now()) && shown(stream.run))
    }

    /// The process is stopped for a while, and its sources go on: nobody is blamed for that, and nobody thrown out.
    fn stopped(&mut self) -> Result<(), String> {
        let before = self.going_on()?;
        let until = self.scene.world.now() + Duration::from_secs(2) + self.scene.random.time(STOPPED_MAX);
        while self.scene.world.now() < until {
            self.climate.trickled_at = Some(self.scene.world.now());
            self.tick()?;
            self.scene.world.pass(TICK);
        }
        self.go_on(STOPPED_MAX)?;
        let after = self.going_on()?;
        // A session that was over may have been let go; the viewers of those that are new would have come again.
        let is_as_before = after.0.iter().all(|session| before.0.contains(session)) && before.1 == after.1;
        if is_as_before { Ok(()) } else { Err(format!("a stop changed {before:?} to {after:?}")) }
    }

    /// The sessions of those who stay, with their recoveries, and how often these viewers have come.
    fn going_on(&mut self) -> Result<GoingOn, String> {
        let snapshots = self.snapshots()?;
        let sessions = snapshots.iter().flat_map(|snapshot| &snapshot.sessions);
        let sessions = sessions.map(|session| (session.record.id, session.record.recovery_cycles)).collect();
        let faithful = self.watchers.iter().filter(|watcher| !watcher.is_fickle());
        Ok((sessions, faithful.map(|watcher| watcher.visits).collect()))
    }

    /// When nobody watches any more nothing is kept.
    fn rest(&mut self) -> Result<(), String> {
        self.watchers.iter_mut().for_each(|watcher| watcher.go(&self.scene.world, Leave::Reset));
        self.go_on(REST)?;
        if let Err(kept) = self.nothing_is_kept() {
            // A source that was looked at until just now: its connection is on its way out.
            self.go_on(CLOSING)?;
            return self.nothing_is_kept().map_err(|still| format!("{kept}, then {still}"));
        }
        Ok(())
    }

    fn nothing_is_kept(&mut self) -> Result<(), String> {
        let mut probes = 0;
        for snapshot in self.snapshots()? {
            let leases = snapshot.tuners.iter().flat_map(|tuners| &tuners.leases);
            // Sources are looked at while nobody watches.
            let (probing, kept): (Vec<_>, Vec<_>) = leases.partition(|lease| lease.kind == Kind::Probe);
            if !snapshot.sessions.is_empty() || !kept.is_empty() {
                return Err("sessions or tuners are kept for nobody".to_owned());
            }
            probes += probing.len();
        }
        match self.streams.len() {
            streams if streams <= probes => Ok(()),
            left => Err(format!("{left} sources are read for nobody, {probes} are looked at")),
        }
    }

    fn finish(mut self) -> Result<Sum, String> {
        self.drain(DRAIN_TIME)?;
        let world = self.scene.end()?;
        let seconds = (world.now() - Instant::START).as_secs();
        let (runs, digest) = (u64::from(self.climate.runs()), world.digest());
        let mut sum = Sum { seconds, runs, digest, ..Sum::default() };
        for watcher in &self.watchers {
            sum.visits += watcher.visits;
            sum.packets += watcher.packets;
            sum.live_packets += watcher.live_packets;
        }
        Ok(sum)
    }
}

impl Story for Hostile {
    const TICK: Duration = TICK;

    fn scene(&mut self) -> &mut Scene {
        &mut self.scene
    }

    fn tick(&mut self) -> Result<(), String> {
        for number in 1..=self.addresses() {
            while let Some(peer) = self.scene.world.take_arrival(address(number)) {
                self.streams.push(Stream::new(
                    &self.scene.world,
                    peer,
                    &mut self.climate,
                    &mut self.scene.random,
                ));
            }
        }
        self.scene.outside.step(&self.scene.world, &mut Vec::new(), &mut self.runs);
        for stream in &mut self.streams {
            stream.step(&self.scene.world, &mut self.climate);
        }
        self.streams.retain(|stream| !stream.is_over());
        if !self.climate.is_healthy {
            self.disturb();
        }
        for watcher in &mut self.watchers {
            watcher
                .step(&self.scene.world, self.climate.trickled_at)
                .map_err(|wrong| format!("a viewer of channel {}: {wrong}", watcher.channel))?;
        }
        self.nobody_ends_alone()
    }
}

/// Tells the story of a seed.
pub(crate) fn run(seed: u64) -> Result<Sum, String> {
    run_on(seed, Cores::Any)
}

/// The same on several cores, which have their turns as it comes.
pub(crate) fn run_on_several(seed: u64) -> Result<Sum, String> {
    run_on(seed, Cores::Several)
}

fn run_on(seed: u64, cores: Cores) -> Result<Sum, String> {
    let mut story = Hostile::new(seed, cores);
    for phase in [Hostile::chaos, Hostile::health, Hostile::stopped, Hostile::rest] {
        phase(&mut story).map_err(|wrong| {
            let now = story.scene.world.now();
            let snapshots = story.snapshots();
            format!("at {now:?}: {wrong}\n{snapshots:?}")
        })?;
    }
    story.finish()
}
