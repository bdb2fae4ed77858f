//! Whole cores in a simulated world, seed by seed: whatever goes wrong, no viewer gets a wrong byte, and when
//! things are well again every picture moves. `scripts/sim` runs more seeds than the few of the test suite.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use support::tsview;

mod sim;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use sim::providers;
use sim::recovery;
use sim::run::{Tally, run, run_on_several};

/// Seeds of the test suite. More are for `scripts/sim`.
const SEEDS: u64 = 3;

#[expect(clippy::disallowed_methods, reason = "the setting of a test run, not of the program")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Runs the seeds asked for, on every processor. Each that fails is named, with the way to see it again.
fn seeds<T: Send + std::fmt::Debug>(
    run: impl Fn(u64) -> Result<T, String> + Sync + std::panic::RefUnwindSafe,
    mut count: impl FnMut(T),
) -> (u64, u64) {
    let from = setting("SIM_FROM", 0);
    let seeds = setting("SIM_SEEDS", SEEDS);
    let tells_each = setting("SIM_TELL", 0) > 0;
    let first_only = setting("SIM_FIRST", 0) > 0;
    // Of one seed, to see what led to a failure: RUST_LOG=info scripts/sim --from S --seeds 1
    let _set_before = env_logger::builder().is_test(true).format_timestamp(None).try_init();
    let next = AtomicU64::new(from);
    let (sender, results) = channel();
    let mut failed = BTreeSet::new();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (sender, run, next) = (sender.clone(), &run, &next);
            scope.spawn(move || {
                let seeds = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < from + seeds);
                for seed in std::iter::from_fn(seeds) {
                    let result = catch_unwind(|| run(seed)).unwrap_or_else(|panic| {
                        let words = panic.downcast_ref::<String>().map_or("see above", String::as_str);
                        Err(format!("a panic: {words}"))
                    });
                    sender.send((seed, result)).unwrap();
                }
            });
        }
        drop(sender);
        for (seed, result) in results {
            match result {
                Ok(done) => {
                    if tells_each {
                        println!("seed {seed}: {done:?}");
                    }
                    count(done);
                }
                Err(wrong) => {
                    eprintln!("seed {seed}: {wrong}\nagain with: scripts/sim --from {seed} --seeds 1");
                    failed.insert(seed);
                    if first_only {
                        next.store(from + seeds, Ordering::Relaxed);
                    }
                }
            }
        }
    });
    assert!(failed.is_empty(), "{} of {seeds} seeds failed: {failed:?}", failed.len());
    (from, seeds)
}

#[test]
fn no_fault_reaches_a_viewer_but_as_a_delay_a_signalled_gap_or_an_end() {
    let mut sum = Tally::default();
    let (from, seeds) = seeds(run, |tally| {
        sum.viewers += tally.viewers;
        sum.packets += tally.packets;
        sum.jumps += tally.jumps;
        sum.runs += tally.runs;
    });
    println!("{seeds} seeds from {from}: {sum:?}");
    assert!(sum.packets > 1000 * seeds, "the viewers have seen too little: {sum:?}");
}

#[test]
fn whatever_sources_do_viewers_have_one_sound_stream_and_the_picture_comes_back() {
    let mut sum = recovery::Sum::default();
    let (from, seeds) = seeds(recovery::run, |story| sum.add(&story));
    println!("{seeds} seeds of recovery from {from}: {sum:?}");
    assert!(sum.live_packets > 1000 * seeds, "the viewers have seen too little: {sum:?}");
}

#[test]
fn whoever_takes_the_programme_at_its_own_rate_is_never_sent_away_or_moved_forward() {
    let mut sum = recovery::Sum::default();
    let (from, seeds) = seeds(recovery::run_paced, |story| sum.add(&story));
    println!("{seeds} seeds of pace from {from}: {sum:?}");
    assert!(sum.live_packets > 1000 * seeds, "the viewers have seen too little: {sum:?}");
}

#[test]
fn on_several_cores_whichever_has_its_turn_viewers_are_counted_once_and_have_sound_streams() {
    let (mut plain, mut hostile) = (Tally::default(), recovery::Sum::default());
    // Every second is one of faults on our side, and the others have sources that do as they like.
    let either = |seed: u64| {
        let of_kind = seed / 2;
        if seed.is_multiple_of(2) {
            run_on_several(of_kind).map(Ok)
        } else {
            recovery::run_on_several(of_kind).map(Err)
        }
    };
    let (from, seeds) = seeds(either, |story| match story {
        Ok(tally) => {
            plain.viewers += tally.viewers;
            plain.packets += tally.packets;
            plain.kicked += tally.kicked;
        }
        Err(story) => hostile.add(&story),
    });
    println!("{seeds} seeds of several cores from {from}: {plain:?}, {hostile:?}");
    assert!(plain.packets + hostile.live_packets > 1000 * seeds, "the viewers have seen too little");
}

#[test]
fn no_provider_sees_more_connections_than_it_allows_and_who_changes_the_channel_is_served() {
    let mut sum = providers::Sum::default();
    let (from, seeds) = seeds(providers::run, |story| sum.add(&story));
    println!("{seeds} seeds of providers from {from}: {sum:?}");
    assert!(sum.streams > 20 * seeds && sum.programs > 5 * seeds, "too little was watched: {sum:?}");
}

#[test]
fn two_hours_of_zapping_at_providers_that_count_connections() {
    let sum = providers::run_two_hours(0).unwrap();
    println!("two hours of providers: {sum:?}");
    assert!(sum.seconds > 2 * 3600 && sum.streams > 240, "too little was watched: {sum:?}");
}

#[test]
fn one_seed_is_one_story() {
    assert_eq!(run(1), run(1));
    assert_eq!(run_on_several(1), run_on_several(1));
    assert_eq!(recovery::run(1), recovery::run(1));
    assert_eq!(recovery::run_paced(1), recovery::run_paced(1));
    assert_eq!(providers::run(1), providers::run(1));
}
