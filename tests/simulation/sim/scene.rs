//! What every simulated story has: cores in a world, control outside of them, and time.

use std::sync::Arc;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::engine::snapshot::CoreSnapshot;
use tunerd::engine::{Core, CoreCommand, CoreId, Mailbox, Params, Parts, Token};
use tunerd::http::RequestHeaders;
use tunerd::lineup::{
    Channel, ChannelId, Health, Lineup, Manner, PlaylistId, Source, SourceId, StoredProfile,
};
use tunerd::ring::Lent;
use tunerd::uring::Driver;
use tunerd::uring::sim::{Chance, Random, SimDescriptor, SimDriver, World};

use super::outside::Outside;
use super::run::listener_address;

/// A source at an address.
pub(super) fn source(number: i64, url: String, priority: u32) -> Source {
    Source {
        id: SourceId(number),
        item_key: format!("item{number}"),
        name: std::sync::Arc::default(),
        playlist: PlaylistId(1),
        url,
        headers: RequestHeaders::NONE,
        program: None,
        tls_verify: None,
        manner: Manner::default(),
        priority,
        health: Health::default(),
        profile: StoredProfile::default(),
    }
}

/// A channel that is called by its number.
pub(super) fn channel(id: i64, sources: Vec<Source>) -> Channel {
    Channel { id: ChannelId(id), guide_number: id.to_string(), name: format!("Channel {id}"), sources }
}

/// How many cores a story has, and how their turns lie to one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cores {
    /// One or more, as it comes. Each has a turn after the other, in their order.
    Any,
    /// Two or more. They have their turns in any order, and now and then one has none for a while.
    Several,
}

/// Whose turn it is.
struct Turns {
    random: Random,
    left_out: Chance,
}

impl Turns {
    fn drawn(mut random: Random) -> Self {
        // At most every second: each comes round again before time is lost, or hardly later.
        let times = random.between(1, 12);
        let left_out = if times == 1 { Chance::NEVER } else { Chance::one_in(times) };
        Self { random, left_out }
    }

    /// The cores that have a turn now, in this order.
    fn next(&mut self, cores: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..cores).filter(|_| !self.random.happens(self.left_out)).collect();
        for end in (1..order.len()).rev() {
            order.swap(end, self.random.bytes(0, end));
        }
        order
    }
}

pub(super) struct Scene {
    pub(super) world: World,
    pub(super) random: Random,
    pub(super) cores: Vec<Core<SimDriver<Token, Lent>>>,
    pub(super) outside: Outside,
    next_tick: Instant,
    turns: Option<Turns>,
}

impl Scene {
    /// As many cores as the settings say, which listen at the same ports.
    pub(super) fn new(
        world: World,
        mut random: Random,
        params: &Params,
        ports: &[u16],
        lineup: impl FnOnce(&mut Random) -> Lineup,
    ) -> Self {
        let (mailboxes, readers): (Vec<_>, Vec<_>) =
            (0..params.cores).map(|_| Mailbox::new().unwrap()).unzip();
        let outside = Outside::new(mailboxes.clone(), &mut random);
        let lineup = Arc::new(lineup(&mut random));
        let cores = (0..params.cores).zip(readers).map(|(index, mailbox)| {
            let parts = Parts {
                id: CoreId(index),
                params: params.clone(),
                control: Box::new(outside.port()),
                mailbox,
                wakeup: None,
                cores: mailboxes.clone(),
                listeners: ports.iter().map(|port| world.listen(listener_address(*port))).collect(),
                lineup: Arc::clone(&lineup),
            };
            Core::new(SimDriver::new(&world), parts).unwrap()
        });
        let cores = cores.collect();
        Self { world, random, cores, outside, next_tick: Instant::START, turns: None }
    }

    /// From now on the cores have their turns as it comes.
    pub(super) fn mix_turns(&mut self, random: Random) {
        self.turns = Some(Turns::drawn(random));
    }

    pub(super) fn tell_all(&self, command: impl Fn() -> CoreCommand<SimDescriptor>) {
        for index in 0..self.cores.len() {
            self.outside.tell(CoreId(u8::try_from(index).unwrap()), command());
        }
    }

    /// The cores are over, and nothing is left behind.
    pub(super) fn end(self) -> Result<World, String> {
        for core in self.cores {
            let mut driver = core.into_driver();
            for _ in 0..1000 {
                if driver.in_flight() == 0 {
                    break;
                }
                driver.turn(Duration::from_millis(20)).map_err(|errno| errno.to_string())?;
                while driver.next().is_some() {}
            }
            driver.assert_quiet();
        }
        drop(self.outside);
        self.world.pass(Duration::from_secs(1));
        match self.world.open_files() {
            0 => Ok(self.world),
            left => Err(format!("{left} descriptors were left open")),
        }
    }
}

/// What happens in a scene.
pub(super) trait Story {
    /// How often the outside acts.
    const TICK: Duration;

    fn scene(&mut self) -> &mut Scene;

    /// Everything outside of the cores acts.
    fn tick(&mut self) -> Result<(), String>;

    /// What comes before everything else.
    fn before_turn(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        self.before_turn()?;
        let scene = self.scene();
        if scene.world.now() >= scene.next_tick {
            self.tick()?;
            let scene = self.scene();
            scene.next_tick = scene.world.now() + Self::TICK;
            scene.world.wake_at(scene.next_tick);
        }
        let scene = self.scene();
        let count = scene.cores.len();
        let order = scene.turns.as_mut().map_or_else(|| (0..count).collect(), |turns| turns.next(count));
        for index in order {
            let turned = scene.cores[index].turn_by(|| scene.world.now());
            turned.map_err(|errno| format!("a core gives up: {errno}"))?;
        }
        Ok(())
    }

    /// Lets a time pass.
    fn go_on(&mut self, time: Duration) -> Result<(), String> {
        let until = self.scene().world.now() + time;
        while self.scene().world.now() < until {
            self.turn()?;
        }
        Ok(())
    }

    /// What the cores say of themselves.
    fn snapshots(&mut self) -> Result<Vec<CoreSnapshot>, String> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.scene().tell_all(|| {
            let sender = sender.clone();
            CoreCommand::Snapshot(Box::new(move |snapshot| drop(sender.send(snapshot))))
        });
        self.turn()?;
        self.turn()?;
        let mut snapshots: Vec<_> = receiver.try_iter().collect();
        for _turn in 0..1000 {
            if snapshots.len() == self.scene().cores.len() {
                break;
            }
            // One has had no turn meanwhile.
            self.turn()?;
            snapshots.extend(receiver.try_iter());
        }
        Ok(snapshots)
    }

    /// The cores end, in time.
    fn drain(&mut self, time: Duration) -> Result<(), String> {
        let deadline = self.scene().world.now() + time;
        self.scene().tell_all(|| CoreCommand::Drain { deadline });
        let mut returned = vec![false; self.scene().cores.len()];
        while returned.contains(&false) {
            self.turn()?;
            let Scene { cores, outside, .. } = self.scene();
            for (index, core) in cores.iter_mut().enumerate().filter(|(_, core)| core.is_drained()) {
                if !std::mem::replace(&mut returned[index], true) {
                    core.close_mailbox();
                    outside.has_returned(CoreId(u8::try_from(index).unwrap()));
                }
            }
        }
        if self.scene().world.now() >= deadline {
            return Err("the cores were not drained in time".to_owned());
        }
        self.go_on(Duration::from_secs(2))
    }
}
