//! Sessions whose sources do whatever they like and whose viewers come and go, for virtual hours. The world checks
//! every action against what runs: one source at a time, filler in pairs, a deadline whenever nothing streams,
//! everything stopped at the end.

use std::time::Duration;

use super::super::{Event, Lost, Params, StallPolicy, State};
use super::harness::{Life, MS, PARAMS, Play, Start, World, at};
use crate::lineup::SourceId;

/// xorshift: the seed is the whole state.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

fn play(random: &mut Random) -> Play {
    let status = random.pick(&[None, Some(404), Some(429), Some(503)]);
    let start = match random.below(6) {
        0..=3 => Start::Ready(random.below(3000)),
        4 => Start::Fails(random.below(3000), status),
        _other => Start::Hangs,
    };
    let span = random.pick(&[5, 500, 20_000, 200_000]);
    let life = match random.below(5) {
        0..=1 => Life::Runs,
        2 => Life::Ends(random.below(span)),
        3 => Life::Stalls(random.below(span)),
        _other => Life::Breaks(random.below(span), status),
    };
    (start, life)
}

fn params(random: &mut Random) -> Params {
    let policies = [StallPolicy::FailoverSource, StallPolicy::RestartSame, StallPolicy::CloseSession];
    Params {
        startup_timeout: MS(random.pick(&[0, 50, 1000, 12_000])),
        failover_total_timeout: MS(random.pick(&[0, 100, 5000, 32_000])),
        failovers_max: random.pick(&[0, 1, 3]),
        idle_timeout: MS(random.pick(&[0, 1000, 60_000])),
        viewers_max: 0,
        stall_detect: MS(random.pick(&[0, 100, 4000])),
        stall_hard_deadline: MS(random.pick(&[1, 2000, 32_000])),
        stall_policy: random.pick(&policies),
        stall_retries_max: random.pick(&[0, 1, 3]),
        min_health: MS(random.pick(&[0, 1000, 20_000])),
        provider_cooldown: MS(random.pick(&[0, 200, 3000])),
        place_wait: MS(3000),
        filler_enabled: random.below(4) > 0,
    }
}

fn world(random: &mut Random) -> World {
    let scripts: Vec<(i64, Vec<Play>)> = (1..=i64::try_from(random.below(5)).unwrap())
        .map(|id| (id, (0..=random.below(6)).map(|_| play(random)).collect()))
        .collect();
    let scripts: Vec<(i64, &[Play])> = scripts.iter().map(|(id, plays)| (*id, &plays[..])).collect();
    let mut world = World::new(params(random), &scripts);
    world.shelf.settle = MS(random.pick(&[0, 0, 500]));
    let shared = super::harness::candidate(1).provider;
    for source in world.shelf.sources.values_mut() {
        if random.below(3) == 0 {
            source.candidate.provider = shared.clone();
        }
        source.candidate.has_url = random.below(12) > 0;
        if random.below(6) == 0 {
            source.candidate.cooling_until = Some(at(random.below(60_000)));
        }
    }
    world
}

/// Something that can happen at this moment happens.
fn disturb(world: &mut World, random: &mut Random) {
    let has_source = matches!(world.machine.state(), State::Live | State::Idle { .. });
    match random.below(14) {
        0..=4 if world.machine.viewers() < 3 => world.event(Event::Joined),
        5..=6 if world.machine.viewers() > 0 => world.event(Event::Left),
        7 => {
            let is_live = world.machine.state() == State::Live;
            assert_eq!(world.trigger("walk").is_ok(), is_live);
        }
        8 => world.event(Event::Preempted),
        9 if has_source => world.event(Event::Stalled { what: "bytes" }),
        10 if has_source => world.event(Event::SourceLost { cause: Lost::Eof }),
        11 => {
            let chosen = i64::try_from(random.below(5)).unwrap();
            if let Some(source) = world.shelf.sources.get_mut(&chosen) {
                source.is_enabled = !source.is_enabled;
                if !source.is_enabled {
                    let id = SourceId(chosen);
                    world.event(Event::SourceWithdrawn { id, reason: "admin_source_disabled" });
                }
            }
        }
        12 => world.event(Event::Deadline),
        13 if random.below(8) == 0 => {
            world.event(Event::ChannelWithdrawn { reason: "admin_channel_deleted" });
        }
        _nothing => {}
    }
}

/// One session, for at most an hour. How long it lasted.
fn session(random: &mut Random) -> (Duration, u32) {
    let mut world = world(random);
    world.event(Event::Joined);
    if random.below(8) == 0 {
        disturb(&mut world, random);
    }
    if !world.finished {
        world.event(if random.below(16) == 0 { Event::TunerRefused } else { Event::TunerGranted });
    }
    let mut now = 0;
    while !world.finished && now < 3_600_000 {
        let span = random.pick(&[10, 1000, 60_000]);
        now += random.below(span) + 1;
        world.run_to(now);
        if !world.finished {
            disturb(&mut world, random);
        }
    }
    if !world.finished {
        world.event(Event::Drain);
    }
    assert!(world.finished && world.running.is_none() && !world.filler);
    assert_eq!(world.machine.state(), State::Ended);
    assert_eq!(world.machine.next_deadline(), None);
    assert!(world.machine.terminal().is_some());
    (MS(now), world.machine.record().recovery_cycle)
}

#[test]
fn whatever_happens_in_virtual_hours_sessions_stream_or_wait_for_something_and_end_clean() {
    let (mut hours, mut recoveries) = (Duration::ZERO, 0);
    for seed in 1..=400_u64 {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _session in 0..10 {
            let (lasted, cycles) = session(&mut random);
            hours += lasted;
            recoveries += cycles;
        }
    }
    assert!(hours > Duration::from_secs(10 * 3600), "only {hours:?} were walked");
    assert!(recoveries > 1000, "only {recoveries} recoveries were tried");
}

#[test]
fn the_same_events_give_the_same_actions() {
    let walk = |seed| {
        let mut random = Random(seed);
        let mut world = World::watched(PARAMS, &[(1, &[play(&mut random)]), (2, &[play(&mut random)])]);
        for step in 1..200 {
            if world.finished {
                break;
            }
            world.run_to(step * 500);
        }
        world.log
    };
    for seed in 1..50 {
        assert_eq!(walk(seed), walk(seed), "seed {seed}");
    }
}
