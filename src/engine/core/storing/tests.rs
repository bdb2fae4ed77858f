use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::base::{Instant, WallTime};
use crate::engine::Parts;
use crate::engine::context::health::{CLOCK_IS_SET, CoreHealth, Known};
use crate::engine::core::testing::{SimCore, params};
use crate::engine::port::ids::CoreId;
use crate::engine::port::mailbox::Mailbox;
use crate::engine::port::messages::{ControlPort, CoreCommand};
use crate::health::Counts;
use crate::http::RequestHeaders;
use crate::lineup::{Channel, ChannelId, Lineup, Manner, PlaylistId, Source, SourceId};
use crate::lineup::{Health, HealthRow, StoredProfile, StreamProfile};
use crate::uring::sim::{Faults, SimDescriptor, SimDriver, World};

type Asked = Vec<(u64, Vec<HealthRow<SourceId>>)>;

/// What a core has asked to be written, and whether there is room for it.
#[derive(Clone, Default)]
struct Port(Arc<Mutex<(bool, Asked)>>);

impl ControlPort<SimDescriptor> for Port {
    fn request(
        &self,
        request: ControlRequest<SimDescriptor>,
    ) -> Result<(), Box<ControlRequest<SimDescriptor>>> {
        let (is_full, asked) = &mut *self.0.lock().unwrap();
        let ControlRequest::PersistHealth { core: CoreId(0), seq, rows } = request else {
            panic!("nothing else is asked for here: {request:?}")
        };
        if *is_full {
            return Err(Box::new(ControlRequest::PersistHealth { core: CoreId(0), seq, rows }));
        }
        asked.push((seq, rows));
        Ok(())
    }
}

struct Bench {
    core: SimCore,
    port: Port,
    mailbox: Mailbox<SimDescriptor>,
    now: Instant,
}

/// Channel 1 with source 11, which has failed once, and channel 2 with source 21.
fn lineup() -> Arc<Lineup> {
    let channel = |id: i64, fail_count| Channel {
        id: ChannelId(id),
        guide_number: id.to_string(),
        name: String::new(),
        sources: vec![Source {
            id: SourceId(id * 10 + 1),
            item_key: String::new(),
            name: std::sync::Arc::default(),
            playlist: PlaylistId(1),
            url: "http://host/".to_owned(),
            program: None,
            tls_verify: None,
            manner: Manner::default(),
            headers: RequestHeaders::NONE,
            priority: 0,
            health: Health { fail_count, ..Health::default() },
            profile: StoredProfile::default(),
        }],
    };
    Arc::new(Lineup::new([channel(1, 1), channel(2, 0)]))
}

impl Bench {
    fn new() -> Self {
        let world = World::new(1, Faults::default());
        let (mailbox, reader) = Mailbox::new().unwrap();
        let port = Port::default();
        let parts = Parts {
            id: CoreId(0),
            params: params(),
            control: Box::new(port.clone()),
            mailbox: reader,
            wakeup: None,
            cores: vec![mailbox.clone()],
            listeners: Vec::new(),
            lineup: lineup(),
        };
        let core = Core::new(SimDriver::new(&world), parts).unwrap();
        let mut bench = Self { core, port, mailbox, now: Instant::from_millis(10_000) };
        bench.core.cx.health.read_wall(bench.now, |_| WallTime::from_unix_nanos(5_000_000_000_000));
        bench.pass(0);
        bench
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.core.turn(self.now).unwrap();
    }

    fn tell(&mut self, command: CoreCommand<SimDescriptor>) {
        assert!(self.mailbox.send(command).is_ok());
        self.pass(0);
    }

    fn asked(&self) -> Asked {
        std::mem::take(&mut self.port.0.lock().unwrap().1)
    }

    /// Answers everything that was asked. The number of rows.
    fn store_all(&mut self) -> usize {
        let asked = self.asked();
        for (seq, _) in &asked {
            self.tell(CoreCommand::HealthPersisted { seq: *seq, result: Ok(Vec::new()) });
        }
        asked.iter().map(|(_, rows)| rows.len()).sum()
    }

    fn fail(&mut self, source: i64) {
        let cx = &mut self.core.cx;
        let known = Known { lineup: &cx.lineup, channel: ChannelId(source / 10), used: None };
        cx.health.failed(cx.now, &known, SourceId(source), "refused");
    }

    fn succeed(&mut self, source: i64, channel: i64) {
        let cx = &mut self.core.cx;
        let known = Known { lineup: &cx.lineup, channel: ChannelId(channel), used: None };
        cx.health.succeeded(cx.now, &known, SourceId(source));
    }

    fn drain(&mut self) {
        self.tell(CoreCommand::Drain { deadline: self.now + Duration::from_secs(7) });
    }
}

#[test]
fn a_failure_counts_on_from_the_lineups_row_and_is_written_within_a_quarter_of_a_second() {
    let mut bench = Bench::new();
    assert_eq!(bench.core.health_of(SourceId(11)).fail_count, 1, "as the database has it");
    bench.fail(11);
    let health = bench.core.health_of(SourceId(11));
    assert_eq!((health.fail_count, health.last_fail_at, health.cooldown_until), (2, 5000, 5030));
    bench.pass(249);
    assert_eq!(bench.asked(), []);
    bench.pass(1);
    let asked = bench.asked();
    let [(seq, rows)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((rows[0].source, rows[0].health.as_ref()), (SourceId(11), Some(&health)));
    bench.tell(CoreCommand::HealthPersisted { seq: *seq, result: Ok(Vec::new()) });
    bench.succeed(11, 1);
    let health = bench.core.health_of(SourceId(11));
    assert_eq!((health.fail_count, health.success_count), (0, 1));
    assert_eq!((bench.core.cx.health.totals().written, bench.core.cx.health.totals().coalesced), (1, 0));
}

#[test]
fn a_core_sleeps_no_longer_than_until_health_is_due() {
    let mut bench = Bench::new();
    bench.fail(21);
    assert_eq!(bench.core.cx.health.next_deadline(), Some(bench.now + Duration::from_millis(250)));
}

#[test]
fn a_full_queue_to_control_is_tried_again() {
    let mut bench = Bench::new();
    bench.port.0.lock().unwrap().0 = true;
    bench.fail(11);
    bench.pass(250);
    bench.pass(50);
    bench.port.0.lock().unwrap().0 = false;
    bench.pass(50);
    assert_eq!(bench.store_all(), 1);
    assert_eq!(bench.core.cx.health.totals().dropped, 0);
}

#[test]
fn a_source_that_nobody_knows_is_not_made_up() {
    let mut bench = Bench::new();
    bench.fail(99);
    bench.succeed(99, 9);
    bench.pass(1000);
    assert_eq!(bench.asked(), []);
    assert_eq!(bench.core.health_of(SourceId(99)), Health::default());
}

#[test]
fn a_clear_reaches_the_channel_alone_and_is_written_behind_what_was_on_its_way() {
    let mut bench = Bench::new();
    bench.fail(11);
    bench.fail(21);
    bench.pass(250);
    bench.tell(CoreCommand::ClearHealth { channel: Some(ChannelId(1)) });
    assert_eq!(bench.core.health_of(SourceId(11)), Health::default());
    assert_eq!(bench.core.health_of(SourceId(21)).fail_count, 1);
    assert_eq!(bench.store_all(), 2);
    bench.pass(250);
    let asked = bench.asked();
    assert_eq!(
        asked[0].1,
        [HealthRow { source: SourceId(11), health: Some(Health::default()), profile: None }]
    );
}

#[test]
fn a_new_lineup_forgets_what_it_does_not_offer_and_changes_nothing_of_the_rest() {
    let mut bench = Bench::new();
    bench.fail(11);
    bench.pass(250);
    bench.store_all();
    bench.tell(CoreCommand::Lineup(lineup()));
    assert_eq!(bench.core.health_of(SourceId(11)).fail_count, 2, "memory is newer than any row");
    bench.tell(CoreCommand::Lineup(Arc::new(Lineup::default())));
    assert!(!bench.core.cx.health.registry().knows(SourceId(11)));
}

#[test]
fn what_is_learnt_of_a_stream_is_of_now() {
    let mut bench = Bench::new();
    let stream = StreamProfile { width: 1920, ..StreamProfile::default() };
    let cx = &mut bench.core.cx;
    let known = Known { lineup: &cx.lineup, channel: ChannelId(1), used: None };
    cx.health.looked(cx.now, &known, SourceId(11), stream);
    bench.pass(2250);
    let asked = bench.asked();
    let profile = asked[0].1[0].profile.as_ref().unwrap();
    assert_eq!((profile.stream.width, profile.probed_at), (1920, 5000));
}

#[test]
fn a_drain_writes_at_once_and_ends_with_the_answer() {
    let mut bench = Bench::new();
    bench.fail(11);
    bench.drain();
    assert!(!bench.core.is_drained());
    assert_eq!(bench.store_all(), 1);
    assert!(bench.core.is_drained());
    assert_eq!((bench.core.cx.health.totals().written, bench.core.cx.health.totals().dropped), (1, 0));
}

#[test]
fn a_drain_waits_for_a_slow_store_no_longer_than_it_may_and_counts_what_is_left() {
    let mut bench = Bench::new();
    bench.fail(11);
    bench.fail(21);
    bench.drain();
    bench.pass(249);
    assert!(!bench.core.is_drained());
    bench.pass(1);
    assert!(bench.core.is_drained());
    assert_eq!((bench.core.cx.health.totals().written, bench.core.cx.health.totals().dropped), (0, 2));
}

#[test]
fn a_drain_with_nothing_to_write_does_not_wait() {
    let mut bench = Bench::new();
    bench.drain();
    assert!(bench.core.is_drained());
}

#[test]
fn without_a_clock_time_is_counted_from_the_start() {
    let health = CoreHealth::new();
    assert_eq!(health.wall_at(Instant::from_millis(12_345)), 12);
}

#[test]
fn candidates_are_ordered_by_memory_and_by_the_database_where_memory_has_nothing() {
    let mut bench = Bench::new();
    let (Some(one), Some(two)) = (lineup().find("1").cloned(), lineup().find("2").cloned()) else {
        panic!("both are there")
    };
    let mut both = (*one).clone();
    both.sources.extend(two.sources.iter().cloned());
    let places = |bench: &Bench| -> Vec<usize> {
        bench.core.cx.health.order(bench.core.cx.now, &both).iter().map(|ranked| ranked.source).collect()
    };
    assert_eq!(places(&bench), [1, 0], "the first has failed once, says the database");
    bench.fail(21);
    bench.fail(21);
    assert_eq!(places(&bench), [0, 1], "the second has failed twice, says memory");
    let counts = |source: &Source| (source.id, bench.core.cx.health.counts(source.id));
    let counts = both.sources.iter().map(counts).filter(|(_, counts)| *counts != Counts::default());
    let counts: BTreeMap<_, _> = counts.collect();
    let coalesced: Vec<_> = counts.iter().map(|(source, counts)| (source.0, counts.coalesced)).collect();
    assert_eq!(coalesced, [(21, 1)]);
}

#[test]
fn a_row_of_a_clock_that_was_wrong_is_set_right_with_the_lineup_once_the_clock_is_set() {
    let year = 365 * 86_400;
    let wrong = CLOCK_IS_SET + 2 * year;
    for (wall, expected) in [(CLOCK_IS_SET + year, CLOCK_IS_SET + year), (1000, wrong)] {
        let mut bench = Bench::new();
        bench.core.cx.health.set_wall(bench.now, WallTime::from_unix_nanos(wall * 1_000_000_000));
        let mut channel = (**lineup().find("1").unwrap()).clone();
        channel.sources[0].health =
            Health { fail_count: 1, last_fail_at: wrong, cooldown_until: wrong + 10, ..Health::default() };
        bench.tell(CoreCommand::Lineup(Arc::new(Lineup::new([channel]))));
        let health = bench.core.health_of(SourceId(11));
        assert_eq!((health.last_fail_at, health.cooldown_until), (expected, expected + 10));
        bench.pass(250);
        assert_eq!(bench.store_all(), usize::from(expected != wrong));
    }
}
