use super::*;
use crate::control::state::tests::{params, with};
use crate::engine::Mailbox;
use crate::lineup::{Health, StoredProfile, StreamProfile};
use crate::store::NewChannel;

/// What the core hears.
type Told = Result<Vec<SourceId>, String>;

fn failed(source: i64, fail_count: u32) -> HealthRow<SourceId> {
    let health = Health {
        fail_count,
        last_fail_at: 10,
        last_fail_reason: "refused".to_owned(),
        cooldown_until: 20,
        ..Health::default()
    };
    let stream = StreamProfile { width: 1920, ..StreamProfile::default() };
    let profile = StoredProfile { stream, probed_at: 9 };
    HealthRow { source: SourceId(source), health: Some(health), profile: Some(profile) }
}

/// Runs control's side on this thread, asks, and waits for the core to be told.
fn told(
    prepare: impl FnOnce(&mut crate::store::Database) -> Result<(), StoreError> + Send + 'static,
    rows: Vec<HealthRow<SourceId>>,
) -> (Told, Vec<(u32, u64, u32)>) {
    let (mailbox, mut core) = Mailbox::new().unwrap();
    tokio_uring::start(async move {
        let state = with(params(), vec![mailbox]);
        let new = NewChannel { item_key: "a".to_owned(), ..NewChannel::default() };
        let now = state.wall_now();
        state.ask_store(move |database| database.create_channel(&new, 100, now)).await.unwrap();
        state.ask_store(prepare).await.unwrap();
        persist(&state, CoreId(0), 7, rows);
        // The store answers in order, so the task that passes its answer on has been woken when this is answered.
        let channels = state.ask_store(|database| database.channels()).await.unwrap();
        let result = loop {
            match core.take() {
                Some(CoreCommand::HealthPersisted { seq: 7, result }) => break result,
                Some(_) => {}
                None => tokio::task::yield_now().await,
            }
        };
        let rows = channels[0].sources.iter().map(|source| {
            (source.health.fail_count, source.health.cooldown_until, source.profile.stream.width)
        });
        (result, rows.collect())
    })
}

#[test]
fn what_a_core_has_learned_is_written_and_the_core_told() {
    assert_eq!(told(|_| Ok(()), vec![failed(1, 3)]), (Ok(Vec::new()), vec![(3, 20, 1920)]));
}

#[test]
fn a_source_that_is_gone_is_named_to_the_core() {
    let rows = vec![failed(1, 3), failed(99, 1)];
    assert_eq!(told(|_| Ok(()), rows), (Ok(vec![SourceId(99)]), vec![(3, 20, 1920)]));
}

#[test]
fn a_database_that_cannot_be_written_is_told_with_its_reason() {
    let (result, rows) = told(|database| database.refuse_writes(), vec![failed(1, 3)]);
    let reason = result.unwrap_err();
    assert!(reason.contains("readonly"), "{reason}");
    assert_eq!(rows, [(0, 0, 0)]);
}

#[test]
fn a_store_that_is_closed_is_a_reason_too() {
    let (mailbox, mut core) = Mailbox::new().unwrap();
    tokio_uring::start(async move {
        let state = with(params(), vec![mailbox]);
        state.store.close(std::time::Duration::from_secs(60)).unwrap();
        persist(&state, CoreId(0), 8, vec![failed(1, 1)]);
        let result = loop {
            match core.take() {
                Some(CoreCommand::HealthPersisted { seq: 8, result }) => break result,
                Some(_) => panic!("nothing else was asked for"),
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(result, Err("the store is closed".to_owned()));
    });
}
