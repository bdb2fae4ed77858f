//! The process is killed while it stores sources' health: the database stays whole, and nothing is lost that had
//! been acknowledged.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use tunerd::base::{Instant, WallTime};
use tunerd::health::{FLUSH_INTERVAL, Registry};
use tunerd::lineup::{Health, SourceId, StoredProfile};
use tunerd::store::{Database, NewChannel, NewItem, Store, StoreError};

/// Set for the process that is killed: the database it writes to.
const DATABASE: &str = "TUNERD_TEST_KILL_DATABASE";
const SOURCES: i64 = 40;
const KILLS: u64 = 200;
/// What the killed process says on a line of its own when a batch is in the database.
const WRITTEN: &str = "written ";

fn create(path: &Path) {
    let now = WallTime::from_unix_nanos(1);
    let items: Vec<_> = (1..=SOURCES)
        .map(|number| NewItem {
            item_key: number.to_string(),
            name: number.to_string(),
            attrs_json: "{}".to_owned(),
            ..NewItem::default()
        })
        .collect();
    let mut database = Database::open(path).unwrap();
    database.refresh_items(&items, now).unwrap();
    for item in items {
        let new = NewChannel { item_key: item.item_key, ..NewChannel::default() };
        database.create_channel(&new, 100, now).unwrap();
    }
}

/// Every source's health, by what its first row says.
fn stored(path: &Path) -> Vec<(i64, u64)> {
    // Opening checks the pages.
    let database = Database::open(path).unwrap();
    let channels = database.channels().unwrap();
    let sources = channels.into_iter().flat_map(|channel| channel.sources);
    sources.map(|source| (source.source_id, source.health.success_count)).collect()
}

/// The process that is killed: each round every source streams well, and the round is written as a core and
/// control write it. The time between rounds is that of the registry, and passes at once.
fn write_until_killed(path: PathBuf) {
    let mut registry: Registry<SourceId, i64> = Registry::new();
    for (source, success_count) in stored(&path) {
        let health = Health { success_count, ..Health::default() };
        registry.load(Instant::START, 1, SourceId(source), source, &health, &StoredProfile::default());
    }
    let store = Store::start(Database::open(&path).unwrap()).unwrap();
    let mut now = Instant::START;
    for wall in 1.. {
        for source in 1..=SOURCES {
            assert!(registry.ok(now, wall, SourceId(source)));
        }
        now += FLUSH_INTERVAL;
        let batch = registry.take_batch(now).unwrap();
        let written = batch.rows[0].health.as_ref().unwrap().success_count;
        let missing =
            store.call::<_, StoreError>(move |database| database.write_health(&batch.rows)).unwrap();
        assert_eq!(missing, [SourceId(0); 0]);
        registry.persisted(now, batch.seq, Ok(Vec::new()));
        // The parent is gone when nobody listens any more.
        println!("{WRITTEN}{written}");
    }
}

/// Kills the child after this many batches. The number of successes that the last acknowledged one has stored.
fn kill_after(mut child: Child, batches: u64) -> u64 {
    let mut acknowledged = 0;
    let mut left = batches;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let Some(written) = line.strip_prefix(WRITTEN) else { continue };
        acknowledged = written.parse().unwrap();
        left = left.saturating_sub(1);
        if left == 0 {
            // Repeated until its output has ended: what it had said before is read as well.
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert_eq!(left, 0, "it wrote until then");
    acknowledged
}

#[test]
fn killed_200_times_while_writing_the_database_is_whole_and_holds_every_acknowledged_batch() {
    if let Some(path) = env::var_os(DATABASE) {
        return write_until_killed(path.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tunerd.db");
    create(&path);
    let name = "killed_200_times_while_writing_the_database_is_whole_and_holds_every_acknowledged_batch";
    for round in 0..KILLS {
        let child = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(DATABASE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let acknowledged = kill_after(child, 1 + round % 7);
        let counts: Vec<u64> = stored(&path).into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts.len(), usize::try_from(SOURCES).unwrap());
        let first = counts[0];
        assert!(counts.iter().all(|count| *count == first), "round {round}: half a batch: {counts:?}");
        // At the moment of death one more batch may have been written whose answer nobody heard.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&first),
            "round {round}: {acknowledged} acknowledged, {first} stored"
        );
    }
}
