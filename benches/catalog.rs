//! What a playlist of a million entries costs the store: processor time and the longest step of a first reading, of the same list
//! again and of one of which a hundredth has changed; and the processor time of searches.
//!
//!   cargo bench --bench catalog                  three times
//!   cargo bench --bench catalog -- 100000 1      fewer entries, once
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::fmt::Write as _;
use std::io::Cursor;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tunerd::base::WallTime;
use tunerd::catalog::{NewItems, Staging};
use tunerd::store::{
    Database, ItemFilter, PRIMARY_PLAYLIST, Progress, Reading, STEP_ITEMS_MAX, Search, SearchLimits,
};

const ENTRIES: u64 = 1_000_000;
const RUNS: usize = 3;
const SEARCHES: usize = 9;
const LIMITS: SearchLimits = SearchLimits { terms_max: 12, disjuncts_max: 8, term_chars_max: 64 };
/// A search, and whether it is a regular expression.
const QUERIES: &[(&str, bool)] = &[
    ("world news", false),
    ("0012345", false),
    ("12|0012345 -list", false),
    ("entry", false),
    ("world | list", false),
    ("-entry", false),
    ("sport 7|film", false),
    ("news [0-9]+0000$", true),
    ("^world", true),
    ("cinema|drama", true),
    ("^[a-z]+ [0-9]+7 ", true),
    ("", false),
];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let entries = numbers.next().unwrap_or(ENTRIES);
    let runs = numbers.next().and_then(|runs| usize::try_from(runs).ok()).unwrap_or(RUNS);
    for run in 1..=runs {
        println!("run {run} of {runs}, {entries} entries");
        measure(entries);
    }
}

fn measure(entries: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tunerd.db");
    let mut database = Database::open(&path).unwrap();
    read(&mut database, "first reading", &list(entries, false), 1);
    read(&mut database, "the same again", &list(entries, false), 2);
    read(&mut database, "one in a hundred changed", &list(entries, true), 3);
    println!("  {} MB of database", std::fs::metadata(&path).unwrap().len() / 1_000_000);
    for (text, is_regex) in QUERIES {
        let search = if *is_regex { Search::regex(text).unwrap() } else { Search::terms(text, LIMITS) };
        let filter = ItemFilter { search: Some(search), limit: 100, ..ItemFilter::default() };
        find(&database, &format!("{text:?}{}", if *is_regex { ", regex" } else { "" }), &filter);
    }
    let group = ItemFilter { groups: vec!["Group 7".to_owned()], limit: 100, ..ItemFilter::default() };
    find(&database, "a group", &group);
    let active = ItemFilter { active: Some(true), limit: 100, ..ItemFilter::default() };
    find(&database, "those that are there", &active);
    let before = processor_time();
    let groups = database.groups(200, 0).unwrap().1;
    println!("  {:6.1} ms the groups, {groups} of them", (processor_time() - before).as_secs_f64() * 1e3);
}

/// Half of them have an identifier, as lists do; one in ten thousand is a channel of news.
fn list(entries: u64, is_changed: bool) -> String {
    const WORDS: &[&str] =
        &["Sport", "Film", "Kino", "Drama", "Kids", "Doku", "Musik", "HD", "FHD", "4K", "(2019)"];
    let mut list = "#EXTM3U\n".to_owned();
    for n in 1..=entries {
        let id = if n % 2 == 1 { format!("channel.{}", n * 7919 % entries) } else { String::new() };
        let word = |at: u64| WORDS[usize::try_from(n / at % 11).unwrap()];
        let name = match (n % 10_000, is_changed && n % 100 == 7) {
            (0, _) => format!("World News {n}"),
            (_, true) => format!("Other {:07} Of A Long List", n * 104_729 % entries),
            (_, false) if n % 3 == 0 => format!("{} {} {} {}", word(1), word(13), n * 31 % 5000, word(7)),
            (_, false) => format!("Entry {:07} Of A Long List", n * 104_729 % entries),
        };
        writeln!(
            list,
            "#EXTINF:-1 tvg-id=\"{id}\" tvg-name=\"{name}\" tvg-logo=\"http://logo.example/{n}.png\" \
             group-title=\"Group {}\",{name}\nhttp://provider.example:8080/live/name/word/{n}.ts",
            n % 400
        )
        .unwrap();
    }
    list
}

fn read(database: &mut Database, what: &str, list: &str, second: u64) {
    let reading = Reading {
        playlist_id: PRIMARY_PLAYLIST,
        at: WallTime::from_unix_nanos(second * 1_000_000_000),
        accepts_less: false,
    };
    let begun = processor_time();
    let mut staging = Staging::new(PRIMARY_PLAYLIST, tempfile::tempfile().unwrap());
    for item in NewItems::new(Cursor::new(list)) {
        staging.push(&item.unwrap()).unwrap();
    }
    let mut staged = staging.finish().unwrap();
    let read = processor_time();
    let mut longest = Duration::ZERO;
    let mut timed = Duration::ZERO;
    let mut refresh = database.begin_refresh(reading).unwrap();
    loop {
        let mut entries = staged.take(STEP_ITEMS_MAX).unwrap();
        let are_last = entries.len() < STEP_ITEMS_MAX;
        loop {
            let before = processor_time();
            let progress = database.merge(&mut refresh, &mut entries, are_last).unwrap();
            let took = processor_time() - before;
            timed += took;
            longest = longest.max(took);
            if progress == Progress::Done {
                break;
            }
        }
        if are_last {
            break;
        }
    }
    let merged = processor_time();
    loop {
        let before = processor_time();
        let progress = database.finish_refresh(&mut refresh).unwrap();
        longest = longest.max(processor_time() - before);
        if progress == Progress::Done {
            break;
        }
    }
    let done = processor_time();
    println!(
        "  {:6.2} s {what}: read and sorted {:.2} s, sorted pieces read {:.2} s, merged {timed:.2?}, finished {:.2} s; longest step {longest:.3?}",
        (done - begun).as_secs_f64(),
        (read - begun).as_secs_f64(),
        (merged - read - timed).as_secs_f64(),
        (done - merged).as_secs_f64(),
    );
}

fn find(database: &Database, what: &str, filter: &ItemFilter) {
    let mut times: Vec<_> = (0..SEARCHES)
        .map(|_| {
            let before = processor_time();
            let total = database.items(filter).unwrap().total;
            (processor_time() - before, total)
        })
        .collect();
    times.sort_unstable();
    let (median, total) = times[SEARCHES / 2];
    println!("  {:6.1} ms {what}, {total} found", median.as_secs_f64() * 1e3);
}

/// Of all threads of this process.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}
