use super::*;
use crate::health::{Ranked, order};
use crate::lineup::StreamProfile;

type TestRegistry = Registry<i64, i64>;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A registry of sources 1 to `count` of channel 7, about which nothing is known.
fn registry(count: i64) -> TestRegistry {
    let mut registry = Registry::new();
    for source in 1..=count {
        registry.load(at(0), 100, source, 7, &Health::default(), &StoredProfile::default());
    }
    registry
}

/// The fail counts of a batch's rows.
fn fails(batch: &Batch<i64>) -> Vec<(i64, u32)> {
    batch.rows.iter().map(|row| (row.source, row.health.as_ref().unwrap().fail_count)).collect()
}

fn stored(registry: &mut TestRegistry, millis: u64, seq: u64) {
    registry.persisted(at(millis), seq, Ok(Vec::new()));
}

fn broken(registry: &mut TestRegistry, millis: u64, seq: u64) {
    registry.persisted(at(millis), seq, Err("disk full".to_owned()));
}

#[test]
fn a_success_resets_the_failures_and_the_next_failure_begins_the_ladder_anew() {
    let mut registry = registry(1);
    for (wall, fail_count, cooldown) in [(1000, 1, 10), (1001, 2, 30), (1002, 3, 120)] {
        assert!(registry.fail(at(0), wall, 1, "refused"));
        let health = registry.health(1).unwrap();
        assert_eq!((health.fail_count, health.cooldown_until), (fail_count, wall + cooldown));
    }
    assert!(registry.ok(at(0), 1003, 1));
    let expected = Health { last_ok_at: 1003, success_count: 1, ..Health::default() };
    assert_eq!(registry.health(1), Some(&expected));
    registry.fail(at(0), 1003, 1, "refused");
    let health = registry.health(1).unwrap();
    assert_eq!((health.fail_count, health.success_count, health.cooldown_until), (1, 1, 1013));
}

#[test]
fn what_the_database_says_is_taken_once_and_then_memory_wins() {
    let mut registry: TestRegistry = Registry::new();
    let row = Health { fail_count: 2, last_fail_at: 990, success_count: 5, ..Health::default() };
    assert!(!registry.fail(at(0), 1000, 1, "refused"), "nobody has said what the database knows");
    registry.load(at(0), 1000, 1, 7, &row, &StoredProfile::default());
    assert!(registry.fail(at(0), 1000, 1, "refused"));
    assert_eq!(
        (registry.health(1).unwrap().fail_count, registry.health(1).unwrap().cooldown_until),
        (3, 1120)
    );
    registry.load(at(0), 1000, 1, 7, &row, &StoredProfile::default());
    assert_eq!(registry.health(1).unwrap().fail_count, 3);
    assert_eq!(fails(&registry.take_batch(at(250)).unwrap()), [(1, 3)]);
}

#[test]
fn events_gather_for_a_quarter_of_a_second_and_go_as_one_row_per_source() {
    let mut registry = registry(2);
    assert_eq!(registry.next_deadline(), None);
    for (millis, source) in [(1000, 2), (1010, 1), (1100, 2), (1249, 2)] {
        registry.fail(at(millis), 50, source, "refused");
    }
    assert_eq!(registry.next_deadline(), Some(at(1250)));
    assert_eq!(registry.take_batch(at(1249)), None);
    let batch = registry.take_batch(at(1250)).unwrap();
    assert_eq!(
        fails(&batch),
        [(2, 3), (1, 1)],
        "in the order of their first events, with every event in them"
    );
    assert_eq!(
        (registry.counts(1).coalesced, registry.counts(2).coalesced, registry.totals().coalesced),
        (0, 2, 2)
    );
    stored(&mut registry, 1260, batch.seq);
    assert!(registry.is_settled());
    assert_eq!((registry.next_deadline(), registry.totals().written), (None, 2));
}

#[test]
fn fail_success_fail_loses_no_event_and_stores_the_last_state_alone() {
    let mut registry = registry(1);
    registry.fail(at(0), 100, 1, "first");
    registry.ok(at(1), 101, 1);
    assert_eq!(registry.health(1).unwrap().fail_count, 0, "seen at once");
    registry.fail(at(2), 102, 1, "last");
    let batch = registry.take_batch(at(250)).unwrap();
    let health = batch.rows[0].health.clone().unwrap();
    assert_eq!((health.fail_count, health.success_count, health.last_ok_at), (1, 1, 101));
    assert_eq!(health.last_fail_reason, "last");
    assert_eq!((registry.totals().coalesced, registry.totals().dropped), (2, 0));
}

#[test]
fn one_batch_is_on_its_way_and_what_happens_meanwhile_follows() {
    let mut registry = registry(2);
    registry.fail(at(0), 100, 1, "refused");
    let first = registry.take_batch(at(250)).unwrap();
    registry.fail(at(260), 100, 1, "refused");
    registry.fail(at(260), 100, 2, "refused");
    assert_eq!(registry.counts(1).coalesced, 1, "its row is being written");
    assert_eq!(registry.take_batch(at(5000)), None);
    stored(&mut registry, 5000, first.seq);
    let second = registry.take_batch(at(5000)).unwrap();
    assert_eq!(fails(&second), [(1, 2), (2, 1)]);
    assert!(second.seq > first.seq);
    stored(&mut registry, 5001, first.seq);
    assert!(!registry.is_settled(), "an old answer says nothing about a new batch");
    stored(&mut registry, 5002, second.seq);
    assert!(registry.is_settled());
}

#[test]
fn a_batch_has_256_rows_and_the_rest_goes_a_quarter_of_a_second_later() {
    let mut registry = registry(600);
    (1..=600).for_each(|source| assert!(registry.fail(at(0), 100, source, "refused")));
    let mut sizes = Vec::new();
    for millis in [250, 500, 750] {
        assert_eq!(registry.take_batch(at(millis - 1)), None);
        let batch = registry.take_batch(at(millis)).unwrap();
        sizes.push(batch.rows.len());
        stored(&mut registry, millis, batch.seq);
    }
    assert_eq!(sizes, [256, 256, 88]);
    assert_eq!((registry.totals().dropped, registry.is_settled()), (0, true));
}

#[test]
fn a_full_queue_to_control_costs_a_pause_and_nothing_else() {
    let mut registry = registry(2);
    registry.fail(at(0), 100, 1, "refused");
    for millis in (250..10_000).step_by(50) {
        let batch = registry.take_batch(at(millis)).unwrap();
        registry.refused(at(millis), batch.seq);
        assert_eq!(registry.next_deadline(), Some(at(millis + 50)));
    }
    registry.fail(at(10_000), 100, 2, "refused");
    let batch = registry.take_batch(at(10_000)).unwrap();
    assert_eq!(fails(&batch), [(1, 1), (2, 1)]);
    assert_eq!(registry.totals(), Totals::default());
}

#[test]
fn a_write_that_fails_twice_is_made_a_third_time_after_50_and_100_ms() {
    let mut registry = registry(1);
    registry.fail(at(0), 100, 1, "refused");
    for (millis, pause) in [(250, 50), (300, 100)] {
        let batch = registry.take_batch(at(millis)).unwrap();
        broken(&mut registry, millis, batch.seq);
        assert_eq!(registry.next_deadline(), Some(at(millis + pause)));
        assert_eq!(registry.take_batch(at(millis + pause - 1)), None);
    }
    let batch = registry.take_batch(at(400)).unwrap();
    assert_eq!(fails(&batch), [(1, 1)]);
    stored(&mut registry, 401, batch.seq);
    assert_eq!((registry.totals().written, registry.totals().dropped, registry.take_news()), (1, 0, None));
}

/// Lets every write fail until the registry is settled. The time then.
fn let_all_writes_fail(registry: &mut TestRegistry, mut millis: u64) -> u64 {
    while let Some(deadline) = registry.next_deadline() {
        millis = millis.max(deadline.as_millis());
        if let Some(batch) = registry.take_batch(at(millis)) {
            broken(registry, millis, batch.seq);
        }
    }
    millis
}

#[test]
fn a_loss_is_counted_per_source_and_said_once_until_writing_works_again() {
    let mut registry = registry(2);
    registry.fail(at(0), 100, 1, "refused");
    let millis = let_all_writes_fail(&mut registry, 0);
    assert_eq!(registry.take_news(), Some(News::Failing { reason: "disk full".to_owned() }));
    for round in 0..5 {
        registry.fail(at(millis + round * 1000), 100, 1, "refused");
        let_all_writes_fail(&mut registry, millis);
    }
    assert_eq!(registry.take_news(), None, "the loss goes on, and nobody wants to read that six times");
    assert_eq!(
        (registry.counts(1).dropped, registry.counts(2).dropped, registry.totals().dropped),
        (6, 0, 6)
    );
    assert_eq!(registry.health(1).unwrap().fail_count, 6, "and memory holds what the database does not");

    registry.fail(at(20_000), 100, 2, "refused");
    let batch = registry.take_batch(at(20_250)).unwrap();
    assert_eq!(fails(&batch), [(2, 1)]);
    stored(&mut registry, 20_251, batch.seq);
    assert_eq!((registry.take_news(), registry.take_news()), (Some(News::WorksAgain), None));
    let batch = registry.take_batch(at(20_501)).unwrap();
    assert_eq!(fails(&batch), [(1, 6)], "what was dropped is written once writing works");
    stored(&mut registry, 20_502, batch.seq);
    assert!(registry.is_settled());
    assert_eq!(registry.totals().dropped, 6);
}

#[test]
fn a_disk_that_stays_full_is_told_of_although_a_source_always_has_news() {
    let mut registry = registry(1);
    registry.fail(at(0), 100, 1, "refused");
    let mut millis = 0;
    for round in 1..=20 {
        millis += 250;
        let batch = registry.take_batch(at(millis)).unwrap();
        registry.fail(at(millis), 100, 1, "refused");
        broken(&mut registry, millis, batch.seq);
        assert_eq!(registry.take_news().is_some(), round == 3, "{round}");
    }
    assert_eq!((registry.totals().dropped, registry.is_settled()), (0, false), "the next row holds it all");
}

#[test]
fn a_source_that_the_database_does_not_have_is_dropped_at_once() {
    let mut registry = registry(2);
    registry.fail(at(0), 100, 1, "refused");
    registry.fail(at(0), 100, 2, "refused");
    let batch = registry.take_batch(at(250)).unwrap();
    registry.persisted(at(251), batch.seq, Ok(vec![1]));
    assert!(registry.is_settled());
    assert_eq!((registry.counts(1).dropped, registry.counts(2).dropped), (1, 0));
    assert_eq!((registry.totals().dropped, registry.totals().written, registry.take_news()), (1, 1, None));
}

#[test]
fn an_answer_that_does_not_come_is_a_write_that_failed() {
    let mut registry = registry(1);
    registry.fail(at(0), 100, 1, "refused");
    let first = registry.take_batch(at(250)).unwrap();
    assert_eq!(registry.next_deadline(), Some(at(10_250)));
    assert_eq!(registry.take_batch(at(10_250)), None);
    let second = registry.take_batch(at(10_300)).unwrap();
    assert_eq!(second.rows, first.rows, "written twice is as good as once");
    stored(&mut registry, 10_301, first.seq);
    assert!(!registry.is_settled(), "the answer came after it was given up");
    stored(&mut registry, 10_302, second.seq);
    assert!(registry.is_settled());
}

#[test]
fn a_clear_forgets_a_channel_or_all_and_is_written_behind_what_was_on_its_way() {
    let mut registry = registry(2);
    registry.load(at(0), 100, 3, 8, &Health::default(), &StoredProfile::default());
    for source in [1, 3] {
        registry.fail(at(0), 100, source, "refused");
    }
    let old = registry.take_batch(at(250)).unwrap();
    registry.fail(at(251), 100, 2, "refused");
    registry.clear(at(252), Some(7));
    for source in [1, 2] {
        assert_eq!(registry.health(source), Some(&Health::default()));
    }
    assert_eq!(registry.health(3).unwrap().fail_count, 1, "another channel's source");
    // The old rows arrive in the database after its reset, and the cleared ones behind them.
    stored(&mut registry, 300, old.seq);
    let new = registry.take_batch(at(502)).unwrap();
    assert_eq!(fails(&new), [(2, 0), (1, 0)]);
    stored(&mut registry, 503, new.seq);
    registry.clear(at(600), None);
    assert_eq!(registry.health(3), Some(&Health::default()));
    assert_eq!(fails(&registry.take_batch(at(850)).unwrap()), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn a_clear_does_not_come_undone_when_the_write_on_its_way_fails() {
    let mut registry = registry(1);
    registry.fail(at(0), 100, 1, "refused");
    let old = registry.take_batch(at(250)).unwrap();
    registry.clear(at(251), None);
    broken(&mut registry, 252, old.seq);
    let new = registry.take_batch(at(600)).unwrap();
    assert_eq!(fails(&new), [(1, 0)]);
}

#[test]
fn a_clear_keeps_the_counts_so_that_sources_and_total_agree() {
    let mut registry = registry(1);
    for _ in 0..3 {
        registry.fail(at(0), 100, 1, "refused");
    }
    registry.clear(at(1), None);
    assert_eq!((registry.counts(1).coalesced, registry.totals().coalesced), (2, 2));
    registry.fail(at(2), 100, 1, "refused");
    assert_eq!(registry.health(1).unwrap().cooldown_until, 110, "the ladder begins anew");
}

#[test]
fn a_wall_clock_that_is_set_back_hides_no_event_and_cools_nothing_for_years() {
    let mut registry = registry(2);
    let year = 365 * 86_400;
    registry.ok(at(0), 2 * year, 1);
    registry.fail(at(0), 2 * year, 2, "refused");
    registry.fail(at(1), year, 1, "refused");
    let failed = registry.health(1).unwrap();
    assert_eq!((failed.fail_count, failed.last_fail_at, failed.cooldown_until), (1, year, year + 10));
    let other = registry.health(2).unwrap().clone();
    assert_eq!((other.last_fail_at, other.cooldown_until), (year, year + 10));
    registry.ok(at(2), year, 2);
    assert_eq!(registry.health(2).unwrap().fail_count, 0);
}

#[test]
fn what_a_wrong_clock_has_stored_is_set_right_and_stored_anew() {
    let mut registry: TestRegistry = Registry::new();
    let year = 365 * 86_400;
    let cooling =
        Health { fail_count: 2, last_fail_at: 2 * year, cooldown_until: 2 * year + 30, ..Health::default() };
    let fine = Health { fail_count: 2, last_fail_at: year, cooldown_until: year + 30, ..Health::default() };
    assert!(cooling.is_ahead_of(year) && !fine.is_ahead_of(year));
    for (source, row) in [(1, &cooling), (2, &fine)] {
        registry.load(at(0), year, source, 7, row, &StoredProfile::default());
        assert_eq!(registry.health(source), Some(&fine));
    }
    assert_eq!(fails(&registry.take_batch(at(250)).unwrap()), [(1, 2)]);
}

#[test]
fn what_is_offered_no_more_is_forgotten_once_it_is_written() {
    let mut registry = registry(2);
    registry.fail(at(0), 100, 1, "refused");
    registry.retain(|source| source == 9);
    assert!(registry.knows(1) && !registry.knows(2));
    let batch = registry.take_batch(at(250)).unwrap();
    registry.retain(|_| false);
    stored(&mut registry, 251, batch.seq);
    registry.retain(|_| false);
    assert!(!registry.knows(1));
}

#[test]
fn with_time_enough_the_end_writes_everything_in_batches_without_pauses() {
    let mut registry = registry(600);
    (1..=600).for_each(|source| assert!(registry.fail(at(0), 100, source, "refused")));
    registry.hurry(at(10));
    for millis in 10..13 {
        let batch = registry.take_batch(at(millis)).unwrap();
        stored(&mut registry, millis, batch.seq);
    }
    assert!(registry.is_settled());
    assert_eq!((registry.give_up(), registry.totals().written), (0, 600));
}

#[test]
fn without_time_the_end_drops_and_counts_everything() {
    let mut registry = registry(3);
    (1..=3).for_each(|source| assert!(registry.fail(at(0), 100, source, "refused")));
    registry.hurry(at(10));
    assert_eq!(registry.give_up(), 3);
    assert_eq!((registry.totals().dropped, registry.counts(2).dropped, registry.is_settled()), (3, 1, true));
}

#[test]
fn an_end_in_the_middle_has_written_some_and_counts_the_rest_once_each() {
    let mut registry = registry(600);
    (1..=600).for_each(|source| assert!(registry.fail(at(0), 100, source, "refused")));
    registry.hurry(at(10));
    let first = registry.take_batch(at(10)).unwrap();
    stored(&mut registry, 20, first.seq);
    registry.take_batch(at(20)).unwrap();
    // On its way, and to be written again.
    registry.fail(at(21), 100, 300, "refused");
    assert_eq!(registry.give_up(), 344);
    assert_eq!((registry.totals().written, registry.totals().dropped), (256, 344));
    assert_eq!(registry.counts(300).dropped, 1);
    assert_eq!(registry.take_batch(at(1000)), None);
}

#[test]
fn the_end_gives_what_was_dropped_another_chance() {
    let mut registry = registry(1);
    registry.fail(at(0), 100, 1, "refused");
    let millis = let_all_writes_fail(&mut registry, 0);
    assert!(registry.is_settled());
    registry.hurry(at(millis));
    assert_eq!(fails(&registry.take_batch(at(millis)).unwrap()), [(1, 1)]);
}

#[test]
fn a_failure_that_is_not_written_yet_reorders_the_candidates_of_everybody() {
    let mut registry = registry(2);
    let candidates = |registry: &TestRegistry| -> Vec<i64> {
        let ranked = |source: i64| {
            let health = registry.health(source).unwrap().clone();
            Ranked { source, id: source, priority: u32::try_from(source).unwrap(), health }
        };
        let mut ranked = [1, 2].map(ranked);
        order(100, &mut ranked);
        ranked.map(|ranked| ranked.source).into()
    };
    assert_eq!(candidates(&registry), [1, 2]);
    registry.fail(at(0), 100, 1, "refused");
    assert_eq!(candidates(&registry), [2, 1]);
    let_all_writes_fail(&mut registry, 0);
    assert_eq!(candidates(&registry), [2, 1], "and stays so when it cannot be written at all");
}

#[test]
fn a_profile_is_written_with_the_health_or_alone_and_an_older_one_is_left() {
    let mut registry = registry(1);
    let profile = |probed_at, width| StoredProfile {
        stream: StreamProfile { width, ..StreamProfile::default() },
        probed_at,
    };
    assert!(registry.note_profile(at(0), 1, profile(100, 1920)));
    assert!(!registry.note_profile(at(1), 1, profile(99, 720)));
    let alone = registry.take_batch(at(250)).unwrap();
    assert_eq!(alone.rows, [HealthRow { source: 1, health: None, profile: Some(profile(100, 1920)) }]);
    registry.fail(at(251), 100, 1, "refused");
    broken(&mut registry, 252, alone.seq);
    let both = registry.take_batch(at(502)).unwrap();
    assert_eq!(both.rows[0].profile, Some(profile(100, 1920)), "the one that failed goes along");
    assert_eq!(both.rows[0].health.as_ref().unwrap().fail_count, 1);
    stored(&mut registry, 503, both.seq);
    registry.clear(at(504), None);
    let cleared = registry.take_batch(at(800)).unwrap();
    assert_eq!(cleared.rows, [HealthRow { source: 1, health: Some(Health::default()), profile: None }]);
    assert_eq!(registry.profile(1), Some(&profile(100, 1920)));
}

#[test]
fn reasons_are_stored_without_credentials_and_bounded() {
    let mut registry = registry(1);
    let reason = format!("http://joe:hunter2@host/ said {}", "x".repeat(1000));
    registry.fail(at(0), 100, 1, &reason);
    let stored = &registry.health(1).unwrap().last_fail_reason;
    assert!(!stored.contains("hunter2") && stored.contains("host"), "{stored}");
    assert_eq!(stored.chars().count(), crate::health::REASON_CHARS_MAX);
    registry.fail(at(0), 100, 1, " ");
    assert_eq!(registry.health(1).unwrap().last_fail_reason, "startup failed");
}
