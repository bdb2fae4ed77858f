//! The process is killed while it takes in a playlist: what is there is whole items of the list before and of the new one, searches
//! find them as they are, and the next reading makes all of it the new list.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use tunerd::base::WallTime;
use tunerd::store::{Database, Entry, ItemFilter, NewItem, Progress, Reading};

/// Set for the process that is killed: the database, and the list that it takes in.
const DATABASE: &str = "TUNERD_TEST_KILL_DATABASE";
const LIST: &str = "TUNERD_TEST_KILL_LIST";
const ITEMS: u32 = 3_000;
const STEP: usize = 200;
const KILLS: u32 = 7;
/// What the killed process says on a line of its own when a piece of the list is in the database.
const TAKEN: &str = "taken in";

/// One of the lists. Of each item the address and the group say which; every hundredth item is in every second list only.
fn list(number: u32) -> Vec<NewItem> {
    let item = |n: u32| NewItem {
        item_key: format!("src:{n:05}"),
        channel_key: format!("name:{n}"),
        name: format!("Item {n:05}"),
        group_name: format!("List {number}"),
        stream_url: format!("http://provider.example/{n}/{number}"),
        attrs_json: "{}".to_owned(),
        ..NewItem::default()
    };
    (0..ITEMS).filter(|n| number.is_multiple_of(2) || n % 100 != 0).map(item).collect()
}

fn at(number: u32) -> WallTime {
    WallTime::from_unix_nanos(u64::from(number) * 1_000_000_000)
}

/// Takes a list in, step by step, and says so after each.
fn take_in(path: &Path, number: u32) {
    let mut database = Database::open(path).unwrap();
    let mut left: VecDeque<_> = list(number).iter().map(Entry::new).collect();
    let mut refresh = database.begin_refresh(Reading::from(at(number))).unwrap();
    while !left.is_empty() {
        let mut entries: VecDeque<_> = left.drain(..STEP.min(left.len())).collect();
        while database.merge(&mut refresh, &mut entries, left.is_empty()).unwrap() == Progress::Unfinished {}
        println!("{TAKEN}");
    }
    while database.finish_refresh(&mut refresh).unwrap() == Progress::Unfinished {}
}

/// Kills the child after so many steps.
fn kill_after(mut child: Child, steps: usize) {
    let mut left = steps;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        left = left.saturating_sub(usize::from(line.ends_with(TAKEN)));
        if left == 0 {
            // Repeated until its output has ended.
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert_eq!(left, 0, "it had come so far");
}

/// How many items of each list there are, by the items themselves; each is wholly of one list.
fn found(database: &Database) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut filter = ItemFilter { active: Some(true), ..ItemFilter::default() };
    loop {
        let page = database.items(&filter).unwrap().items;
        let Some(last) = page.len().checked_sub(1) else { return counts };
        for record in page {
            let list = record.item.group_name.strip_prefix("List ").unwrap();
            assert!(record.item.stream_url.ends_with(&format!("/{list}")), "{:?}", record.item);
            *counts.entry(record.item.group_name).or_default() += 1;
        }
        filter.offset += u32::try_from(last).unwrap() + 1;
    }
}

#[test]
fn a_playlist_whose_taking_in_was_killed_is_of_whole_items_and_made_right_by_the_next_reading() {
    if let Some(path) = env::var_os(DATABASE) {
        #[expect(clippy::disallowed_methods, reason = "what the test tells the process that it kills")]
        let number = env::var(LIST).unwrap().parse().unwrap();
        take_in(path.as_ref(), number);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tunerd.db");
    take_in(&path, 0);
    let name = "a_playlist_whose_taking_in_was_killed_is_of_whole_items_and_made_right_by_the_next_reading";
    let mut mixtures = 0;
    for number in 1..=KILLS {
        let child = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(DATABASE, &path)
            .env(LIST, number.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        kill_after(child, usize::try_from(number).unwrap() * 2 - 1);

        let database = Database::open(&path).unwrap();
        let counts = found(&database);
        mixtures += usize::from(counts.len() > 1);
        let [before, new] = [number - 1, number].map(|number| format!("List {number}"));
        assert!(counts.keys().all(|list| *list == before || *list == new), "round {number}: {counts:?}");
        // Whatever both lists have is there.
        let least = u64::from(ITEMS - ITEMS / 100);
        assert!(counts.values().sum::<u64>() >= least, "round {number}: {counts:?}");
        for (list, count) in &counts {
            let filter = ItemFilter {
                groups: vec![list.clone()],
                active: Some(true),
                limit: 1,
                ..ItemFilter::default()
            };
            assert_eq!(database.items(&filter).unwrap().total, *count, "round {number}: {counts:?}");
        }
        drop(database);
        // The program reads every playlist when it starts.
        take_in(&path, number);
        let expected = BTreeMap::from([(new, u64::try_from(list(number).len()).unwrap())]);
        assert_eq!(found(&Database::open(&path).unwrap()), expected, "round {number}");
    }
    assert!(mixtures > 0, "none was killed in the middle");
}
