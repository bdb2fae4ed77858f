//! A registry, a store that works, fails, is slow or is not heard, and a database: whatever happens between them, the
//! database says in the end what memory says.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

const SOURCES: i64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Fail(i64),
    Ok(i64),
    Look(i64),
    /// Time passes.
    Pass(u64),
    /// The core's turn: what is due is handed over, if there is room.
    Turn {
        is_full: bool,
    },
    /// The store does the next thing it was asked, or cannot.
    Write {
        works: bool,
    },
    /// The core hears the next thing it is told; an answer may get lost.
    Hear {
        is_lost: bool,
    },
    /// The operator forgets a channel or all.
    Clear(Option<i64>),
    /// The wall clock is set.
    SetWall(u64),
    /// A source is deleted from the database.
    Delete(i64),
}

enum Told {
    Persisted { seq: u64, result: Result<Vec<i64>, String> },
    Clear(Option<i64>),
}

struct World {
    registry: Registry<i64, i64>,
    now: Instant,
    wall: u64,
    database: BTreeMap<i64, (Health, StoredProfile)>,
    /// On the way to the store.
    asked: VecDeque<Batch<i64>>,
    /// On the way to the core.
    told: VecDeque<Told>,
}

const fn channel(source: i64) -> i64 {
    source % 2
}

impl World {
    fn new() -> Self {
        let now = Instant::from_millis(1000);
        let mut registry = Registry::new();
        let mut database = BTreeMap::new();
        for source in 1..=SOURCES {
            registry.load(now, 5000, source, channel(source), &Health::default(), &StoredProfile::default());
            database.insert(source, Default::default());
        }
        Self { registry, now, wall: 5000, database, asked: VecDeque::new(), told: VecDeque::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fail(source) => assert!(self.registry.fail(self.now, self.wall, source, "refused")),
            Step::Ok(source) => assert!(self.registry.ok(self.now, self.wall, source)),
            Step::Look(source) => {
                let profile = StoredProfile { probed_at: self.wall, ..StoredProfile::default() };
                self.registry.note_profile(self.now, source, profile);
            }
            Step::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                self.wall += millis / 1000;
            }
            Step::Turn { is_full } => self.turn(is_full),
            Step::Write { works } => self.write(works),
            Step::Hear { is_lost } => self.hear(is_lost),
            Step::Clear(cleared) => {
                for (source, (health, _)) in &mut self.database {
                    if cleared.is_none_or(|cleared| cleared == channel(*source)) {
                        *health = Health::default();
                    }
                }
                self.told.push_back(Told::Clear(cleared));
            }
            Step::SetWall(wall) => self.wall = wall,
            Step::Delete(source) => {
                self.database.remove(&source);
            }
        }
    }

    fn turn(&mut self, is_full: bool) {
        let Some(batch) = self.registry.take_batch(self.now) else { return };
        assert!((1..=BATCH_ROWS_MAX).contains(&batch.rows.len()));
        if is_full {
            self.registry.refused(self.now, batch.seq);
        } else {
            self.asked.push_back(batch);
        }
    }

    fn write(&mut self, works: bool) {
        let Some(Batch { seq, rows }) = self.asked.pop_front() else { return };
        let mut missing = Vec::new();
        for row in rows.into_iter().filter(|_| works) {
            let Some((health, profile)) = self.database.get_mut(&row.source) else {
                missing.push(row.source);
                continue;
            };
            *health = row.health.unwrap_or(std::mem::take(health));
            if let Some(newer) = row.profile.filter(|newer| newer.replaces(profile)) {
                *profile = newer;
            }
        }
        let result = if works { Ok(missing) } else { Err("disk full".to_owned()) };
        self.told.push_back(Told::Persisted { seq, result });
    }

    fn hear(&mut self, is_lost: bool) {
        match self.told.pop_front() {
            Some(Told::Clear(channel)) => self.registry.clear(self.now, channel),
            Some(Told::Persisted { seq, result }) if !is_lost => {
                self.registry.persisted(self.now, seq, result)
            }
            Some(Told::Persisted { .. }) | None => {}
        }
    }

    /// From now on everything works. What the registry did not get rid of goes at the end.
    fn end(&mut self) {
        for _ in 0..100 {
            while !self.asked.is_empty() || !self.told.is_empty() {
                self.write(true);
                self.hear(false);
            }
            self.registry.hurry(self.now);
            let Some(deadline) = self.registry.next_deadline() else { return };
            self.now = self.now.max(deadline);
            self.turn(false);
        }
        panic!("it does not end");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let source = 1..=SOURCES;
    prop_oneof![
        4 => source.clone().prop_map(Step::Fail),
        2 => source.clone().prop_map(Step::Ok),
        1 => source.clone().prop_map(Step::Look),
        4 => prop_oneof![0..300u64, Just(12_000)].prop_map(Step::Pass),
        6 => prop::bool::weighted(0.1).prop_map(|is_full| Step::Turn { is_full }),
        5 => prop::bool::weighted(0.6).prop_map(|works| Step::Write { works }),
        5 => prop::bool::weighted(0.1).prop_map(|is_lost| Step::Hear { is_lost }),
        1 => prop::option::of(0..2i64).prop_map(Step::Clear),
        1 => (1..10_000u64).prop_map(Step::SetWall),
        1 => source.prop_map(Step::Delete),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_database_says_in_the_end_what_memory_says(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            let dropped: u64 = (1..=SOURCES).map(|source| world.registry.counts(source).dropped).sum();
            let coalesced: u64 = (1..=SOURCES).map(|source| world.registry.counts(source).coalesced).sum();
            let totals = world.registry.totals();
            prop_assert_eq!((dropped, coalesced), (totals.dropped, totals.coalesced));
        }
        world.end();
        prop_assert!(world.registry.is_settled());
        for (source, (health, profile)) in &world.database {
            prop_assert_eq!(world.registry.health(*source).unwrap(), health, "source {}", source);
            prop_assert_eq!(world.registry.profile(*source).unwrap(), profile, "source {}", source);
        }
    }
}
