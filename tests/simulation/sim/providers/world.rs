//! One seed: people, administrators, probes and failing sources for a while, then health, then the end.

use std::sync::Arc;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::engine::{CoreCommand, Filling, Params};
use tunerd::filler::{Mode as FillerMode, Params as FillerParams};
use tunerd::lineup::{Channel, ChannelId, Lineup, Source, SourceId, Tuners};
use tunerd::session::StallPolicy;
use tunerd::uring::sim::{Answer, Faults, Leave, Random, World};

use super::ledger::{LIMITS, Provider};
use super::person::{Answer as Told, Person, Screen};
use super::programs::Programs;
use super::visit::Visit;
use crate::sim::run::{check_snapshot, listener_address, params};
use crate::sim::scene::{Scene, Story, channel, source};
use crate::sim::upstream::Runs;

/// How long everything that can go wrong does: twelve seeds are two hours.
const CHAOS: Duration = Duration::from_secs(600);
const LONG_CHAOS: Duration = Duration::from_secs(2 * 3600);
/// After which what chaos has left behind is over: cooldowns, idle sessions, programs that are to end.
const CALM: Duration = Duration::from_secs(20);
/// Whoever changes the channel has a picture within this time, in a healthy world.
const SWITCH_MAX: Duration = Duration::from_secs(5);
/// How long whoever comes waits for a tuner and for a place, as it is when nothing is set.
const TUNE_WAIT: Duration = Duration::from_secs(3);
/// The longest that a source is tried in the background, until its program has ended.
const TRIAL_MAX: Duration = Duration::from_secs(8);
const STILL_MAX: Duration = Duration::from_secs(2);
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Those that live on a single provider, and how many there are.
const OF_THE_FIRST: [i64; 3] = [1, 2, 3];
const OF_ALL_PLACES: [i64; 7] = [1, 4, 5, 6, 7, 8, 9];
const CHANNELS: i64 = 14;
const PORT: u16 = 5004;

/// What stories have come to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Sum {
    pub(crate) seconds: u64,
    /// Connections that providers have seen, and of these programs'.
    pub(crate) visits: u64,
    pub(crate) programs: u64,
    pub(crate) tunes: u64,
    /// Tunes that led to a stream.
    pub(crate) streams: u64,
    /// Changes of the channel on the provider of one connection, and how long they took.
    pub(crate) switches: u64,
    pub(crate) switch_millis: u64,
    pub(crate) digest: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.visits += other.visits;
        self.programs += other.programs;
        self.tunes += other.tunes;
        self.streams += other.streams;
        self.switches += other.switches;
        self.switch_millis += other.switch_millis;
    }
}

struct Counted {
    scene: Scene,
    providers: Vec<Provider>,
    channels: Vec<Channel>,
    visits: Vec<Visit>,
    programs: Programs,
    people: Vec<Person>,
    /// Looked at in a healthy world.
    screens: Vec<Screen>,
    /// A provider that takes no connections, until then.
    away: Option<(usize, Instant)>,
    is_healthy: bool,
    /// Nobody is looked up, and no program is of the other worlds.
    nobody: (Vec<crate::sim::upstream::Upstream>, Runs),
    sum: Sum,
}

fn drawn_source(number: i64, provider: &Provider, priority: u32, random: &mut Random) -> Source {
    let (address, host) = (provider.address, provider.address.ip());
    let url = match random.below(4) {
        // A program reads it.
        0 => format!("srt://{host}:5000?streamid={number}"),
        _mostly => format!("http://{address}/live/{number}"),
    };
    Source { playlist: provider.playlist, ..source(number, url, priority) }
}

fn channels(providers: &[Provider], random: &mut Random) -> Vec<Channel> {
    let mut number = 0;
    (1..=CHANNELS)
        .map(|id| {
            let of = match id {
                1..=3 => Some(0),
                4..=5 => Some(1),
                6..=9 => Some(2),
                _mixed => None,
            };
            let count = u32::try_from(random.between(1, 3)).unwrap();
            let sources = (0..count).map(|place| {
                number += 1;
                let provider = of.unwrap_or_else(|| random.bytes(0, providers.len() - 1));
                drawn_source(number, &providers[provider], place, random)
            });
            channel(id, sources.collect())
        })
        .collect()
}

fn counting(random: &mut Random, cores: u8, tuners: u16) -> Params {
    let mut params = params(random, cores, tuners);
    let (seconds, millis) = (Duration::from_secs, Duration::from_millis);
    let session = &mut params.session;
    session.viewers_max = 0;
    session.failover_total_timeout = seconds(random.between(6, 20));
    session.stall_detect = millis(random.between(1500, 4000));
    session.stall_policy = *random.pick(&[
        StallPolicy::FailoverSource,
        StallPolicy::FailoverSource,
        StallPolicy::RestartSame,
        StallPolicy::CloseSession,
    ]);
    session.provider_cooldown = millis(random.below(3000));
    session.place_wait = TUNE_WAIT;
    params.filler = (random.below(3) > 0).then(|| Filling {
        filler: FillerParams { mode: FillerMode::Null, interval: millis(200), has_audio: false },
        text: "One moment".to_owned(),
    });
    session.filler_enabled = params.filler.is_some();
    params.probes.interval = seconds(*random.pick(&[0, 2, 10]));
    params.tune_wait = TUNE_WAIT;
    params
}

impl Counted {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x0971_0E25_0000_0003);
        let faults = match random.below(8) {
            0 => Faults::default(),
            1..=3 => Faults::harmless(&mut random),
            _mostly => Faults::drawn(&mut random),
        };
        let world = World::with_queues(random.bits(), Faults::default(), 16 * 1024);
        let providers: Vec<_> = (0..LIMITS.len()).map(|place| Provider::drawn(place, &mut random)).collect();
        providers.iter().for_each(|provider| world.serve(provider.address, Answer::Accept));
        let channels = channels(&providers, &mut random);
        let core_count = u8::try_from(random.between(1, 3)).unwrap();
        let count = u16::try_from(LIMITS.iter().sum::<usize>()).unwrap();
        let params = counting(&mut random, core_count, count);
        let lineup = lineup(&channels, &providers);
        let mut turns = Random::new(seed ^ 0x00C0_4E50_0000_0004);
        let mut scene = Scene::new(world, random, &params, &[PORT], |_random| lineup);
        scene.outside.keep_programs();
        if core_count > 1 && turns.below(2) == 0 {
            scene.mix_turns(turns);
        }
        let programs = Programs::new(faults.latency_max);
        scene.world.set_faults(faults);
        let people = (0..scene.random.between(3, 7)).map(|_| Person::new(Instant::START, &mut scene.random));
        let people = people.collect();
        Self {
            scene,
            providers,
            channels,
            visits: Vec::new(),
            programs,
            people,
            screens: Vec::new(),
            away: None,
            is_healthy: false,
            nobody: (Vec::new(), Runs::new()),
            sum: Sum::default(),
        }
    }

    fn tell_lineup(&self, channels: &[Channel]) {
        let lineup = Arc::new(lineup(channels, &self.providers));
        self.scene.tell_all(|| CoreCommand::Lineup(Arc::clone(&lineup)));
    }

    /// Administrators, and providers as a whole.
    fn disturb(&mut self) {
        let random = &mut self.scene.random;
        let channel = ChannelId(i64::try_from(random.between(1, CHANNELS.unsigned_abs())).unwrap());
        match random.below(4000) {
            0..=5 => {
                self.scene.tell_all(|| CoreCommand::Snapshot(Box::new(|snapshot| check_snapshot(&snapshot))));
            }
            6..=45 => self.scene.tell_all(|| CoreCommand::TriggerRecovery {
                channel,
                reason: "somebody asked".to_owned(),
                reply: Box::new(|_answer| {}),
            }),
            46..=75 => {
                let sources = &self.channels[usize::try_from(channel.0).unwrap() - 1].sources;
                let source: SourceId = random.pick(sources).id;
                self.scene.tell_all(|| CoreCommand::TrySource {
                    channel,
                    source,
                    reply: Box::new(|_outcome| {}),
                });
            }
            76..=90 => {
                let channel = (random.below(2) == 0).then_some(channel);
                self.scene.tell_all(|| CoreCommand::ClearHealth { channel });
            }
            91..=110 => {
                let (session, viewer) =
                    (tunerd::engine::SessionId(self.sum.tunes.saturating_sub(random.below(20))), 1);
                self.scene.tell_all(|| CoreCommand::Kick { session, viewer, reply: Box::new(|_is_gone| {}) });
            }
            111..=116 => {
                let mut channels = self.channels.clone();
                for channel in &mut channels {
                    channel.sources.retain(|_| random.below(4) > 0);
                    let by = random.bytes(0, channel.sources.len());
                    channel.sources.rotate_left(by);
                }
                self.tell_lineup(&channels);
            }
            117..=130 => self.tell_lineup(&self.channels),
            131..=136 if self.away.is_none() => {
                let provider = random.bytes(0, LIMITS.len() - 1);
                let until = self.scene.world.now() + random.time(Duration::from_secs(10));
                let answer = if random.below(2) == 0 { Answer::Refuse } else { Answer::Silent };
                self.scene.world.serve(self.providers[provider].address, answer);
                self.away = Some((provider, until));
            }
            // The process gets no time.
            137 => self.scene.world.pass(random.time(Duration::from_secs(3))),
            _mostly => {}
        }
    }

    fn come_back(&mut self) {
        if let Some((provider, until)) = self.away
            && (self.is_healthy || self.scene.world.now() >= until)
        {
            self.scene.world.serve(self.providers[provider].address, Answer::Accept);
            self.away = None;
        }
    }

    /// Everything works from now on, and what is left of the chaos goes.
    fn heal(&mut self) -> Result<(), String> {
        self.is_healthy = true;
        let world = &self.scene.world;
        world.set_faults(Faults::default());
        self.scene.outside.heal();
        self.providers.iter_mut().for_each(Provider::heal);
        self.visits.iter_mut().for_each(|visit| visit.kill(world));
        self.people.iter_mut().for_each(|person| person.go(world));
        for person in std::mem::take(&mut self.people) {
            self.sum.tunes += person.tunes;
            self.sum.streams += person.streams;
        }
        self.come_back();
        self.tell_lineup(&self.channels);
        self.go_on(CALM)?;
        self.scene.tell_all(|| CoreCommand::ClearHealth { channel: None });
        // Sources are tried in the background, and for no longer.
        let world = &self.scene.world;
        match self.providers.iter().find_map(|provider| provider.older_than(world, TRIAL_MAX)) {
            Some(visitor) => Err(format!("a provider is read from, and nobody watches: {visitor}")),
            None => Ok(()),
        }
    }

    /// A picture on a screen, in time.
    fn wait_for(&mut self, screen: usize) -> Result<Duration, String> {
        let until = self.scene.world.now() + SWITCH_MAX;
        while self.scene.world.now() < until {
            self.turn()?;
            if let Some(waited) = self.screens[screen].waited() {
                return Ok(waited);
            }
        }
        Err(format!("no picture after {SWITCH_MAX:?}: {:?}", self.screens[screen].answer))
    }

    /// Who changes the channel on a provider of one connection is not refused.
    fn switch(&mut self) -> Result<(), String> {
        let listener = listener_address(PORT);
        for round in 0..6 {
            let channel = OF_THE_FIRST[round % OF_THE_FIRST.len()];
            let before = self.screens.pop();
            if let Some(before) = &before {
                before.leave(&self.scene.world, Leave::Close);
            }
            self.screens.push(Screen::on(&self.scene.world, listener, channel));
            let waited = self.wait_for(0).map_err(|wrong| format!("switch to channel {channel}: {wrong}"))?;
            if before.is_some() {
                self.sum.switches += 1;
                self.sum.switch_millis += u64::try_from(waited.as_millis()).unwrap();
            }
            let stay = Duration::from_millis(500) + self.scene.random.time(Duration::from_secs(4));
            self.go_on(stay)?;
        }
        let last = self.screens.pop().expect("one has switched");
        last.leave(&self.scene.world, Leave::Close);
        Ok(())
    }

    /// Every place can be used, and is enough.
    fn fill(&mut self) -> Result<(), String> {
        for channel in OF_ALL_PLACES {
            self.screens.push(Screen::on(&self.scene.world, listener_address(PORT), channel));
        }
        for (screen, channel) in OF_ALL_PLACES.iter().enumerate() {
            self.wait_for(screen).map_err(|wrong| format!("channel {channel} of all: {wrong}"))?;
        }
        for _second in 0..5 {
            self.go_on(Duration::from_secs(1))?;
            let world = &self.scene.world;
            if let Some(still) = self.screens.iter().position(|screen| !screen.is_moving(world, STILL_MAX)) {
                return Err(format!("channel {} of all stands still", OF_ALL_PLACES[still]));
            }
        }
        let world = &self.scene.world;
        self.screens.drain(..).for_each(|screen| screen.leave(world, Leave::Close));
        match self.providers.iter().find(|provider| provider.most != provider.limit) {
            Some(provider) => Err(format!("{} has seen {} at most", provider.address, provider.most)),
            None => Ok(()),
        }
    }

    /// Where and when it is, and what the cores say of themselves.
    fn describe(&mut self) -> String {
        let snapshots = self.snapshots();
        format!("at {:?}\n{snapshots:?}", self.scene.world.now())
    }

    fn finish(mut self) -> Result<Sum, String> {
        self.drain(DRAIN_TIME)?;
        self.sum.visits = self.providers.iter().map(|provider| provider.visits).sum();
        self.sum.programs = self.programs.started;
        self.sum.seconds = (self.scene.world.now() - Instant::START).as_secs();
        self.sum.digest = self.scene.end()?.digest();
        Ok(self.sum)
    }
}

fn lineup(channels: &[Channel], providers: &[Provider]) -> Lineup {
    let limit = |provider: &Provider| (provider.playlist, u32::try_from(provider.limit).unwrap());
    let count = u16::try_from(LIMITS.iter().sum::<usize>()).ok();
    Lineup::new(channels.to_vec())
        .with_tuners(Tuners { count, of_playlists: providers.iter().map(limit).collect() })
}

impl Story for Counted {
    const TICK: Duration = Duration::from_millis(50);

    fn scene(&mut self) -> &mut Scene {
        &mut self.scene
    }

    fn tick(&mut self) -> Result<(), String> {
        let scene = &mut self.scene;
        for (place, provider) in self.providers.iter_mut().enumerate() {
            while let Some(peer) = scene.world.take_arrival(provider.address) {
                provider.accepted(&scene.world, peer);
                self.visits.push(Visit::new(peer, place, &mut scene.random));
            }
        }
        let (upstreams, runs) = &mut self.nobody;
        scene.outside.step(&scene.world, upstreams, runs);
        self.programs.step(
            &scene.world,
            &mut scene.outside,
            &mut self.providers,
            self.is_healthy,
            &mut scene.random,
        );
        for visit in &mut self.visits {
            visit.step(&scene.world, &self.providers[visit.provider], self.is_healthy);
        }
        self.visits.retain(|visit| !visit.is_over());
        for provider in &mut self.providers {
            provider.check(&scene.world)?;
        }
        for person in &mut self.people {
            person.step(&scene.world, listener_address(PORT), CHANNELS);
        }
        self.screens.iter_mut().for_each(|screen| screen.step(&scene.world));
        if let Some(refused) = self.screens.iter().find(|screen| matches!(screen.answer, Told::Refused(_))) {
            return Err(format!("{:?} where there was a place", refused.answer));
        }
        self.come_back();
        if !self.is_healthy {
            self.disturb();
        }
        Ok(())
    }
}

fn run_for(seed: u64, chaos: Duration) -> Result<Sum, String> {
    let mut story = Counted::new(seed);
    let phases = [
        |story: &mut Counted, chaos| story.go_on(chaos),
        |story: &mut Counted, _chaos| story.heal(),
        |story: &mut Counted, _chaos| story.switch(),
        |story: &mut Counted, _chaos| story.fill(),
    ];
    for phase in phases {
        phase(&mut story, chaos).map_err(|wrong| format!("{wrong}\n{}", story.describe()))?;
    }
    story.finish()
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Result<Sum, String> {
    run_for(seed, CHAOS)
}

/// Runs one seed for two hours.
pub(crate) fn run_two_hours(seed: u64) -> Result<Sum, String> {
    run_for(seed, LONG_CHAOS)
}
