//! Whoever takes a programme at its own rate is never ended and misses nothing, however its source is sent.
//!
//! ```text
//! cargo test --test pace             a choice, in half a minute
//! PACE=all cargo test --test pace    every manner, and two hundred who join at random moments; ten minutes
//! ```
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use support::{kit, tscheck, tsgen};

mod provider;
mod viewer;

use std::time::Duration;

use kit::{Daemon, Stopwatch};
use provider::{Manner, Provider};
use tunerd::uring::sim::Random;
use viewer::{Report, watch};

const MIB: u64 = 1 << 20;
const MBIT: u64 = 1_000_000;

/// A source, and those who watch it.
#[derive(Clone, Copy, Debug)]
struct Case {
    manner: Manner,
    /// Bits per second.
    rate: u64,
    /// Pictures from one entry point to the next; 25 in a second.
    pictures: u64,
    /// `SUBSCRIBER_JOIN_LAG_BYTES`
    join_lag: u64,
    viewers: u32,
    /// They come at random moments within this.
    within: Duration,
    /// And watch for so long.
    time: Duration,
}

/// What has gone wrong.
fn play(case: &Case) -> Vec<String> {
    let provider = Provider::start(case.manner, case.rate, case.pictures);
    let lag = case.join_lag.to_string();
    let mut daemon = Daemon::start(&[("SUBSCRIBER_JOIN_LAG_BYTES", &lag), ("STARTUP_TIMEOUT", "15s")]);
    daemon.channel("100", &[provider.url()]);
    let mut random = Random::new(case.rate + case.pictures + case.join_lag);
    // What so many take is more than a test can look at.
    let is_checked = case.rate * u64::from(case.viewers) <= 200 * MBIT;
    let daemon = &daemon;
    let clock = Stopwatch::start();
    let (reports, recoveries) = std::thread::scope(|scope| {
        let viewers: Vec<_> = (0..case.viewers)
            .map(|number| {
                let millis = u64::try_from(case.within.as_millis()).unwrap();
                let at = Duration::from_millis(if number == 0 { 0 } else { random.below(millis + 1) });
                scope.spawn(move || {
                    while let Some(left) = clock.left_of(at) {
                        std::thread::park_timeout(left);
                    }
                    // The first one sees it through.
                    let time = if number == 0 { case.within + case.time } else { case.time };
                    watch(daemon.port(), "/auto/v100", case.rate, time, is_checked)
                })
            })
            .collect();
        let reports: Vec<Report> = viewers.into_iter().map(|viewer| viewer.join().unwrap()).collect();
        (reports, daemon.tuners()["tuners"][0]["recovery_cycle"].clone())
    });
    let mut wrong = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        wrong.extend(report.wrong().map(|what| format!("{case:?}: viewer {number}: {what}")));
    }
    if provider.requests() != 1 {
        wrong.push(format!("{case:?}: {} requests", provider.requests()));
    }
    if recoveries.as_u64().unwrap_or(0) != 0 {
        wrong.push(format!("{case:?}: {recoveries} recoveries"));
    }
    let log = daemon.log();
    let told = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    let grown = log.lines().rfind(|line| line.contains("ring is enlarged"));
    let grown = grown.and_then(|line| line.split("to_bytes=").nth(1)).unwrap_or("-");
    let longest = reports.iter().map(|report| report.first_byte).max().unwrap();
    eprintln!(
        "{:?}, {} Mbit/s, entry points {} s apart, join lag {} MiB: {} viewers, {} ended, {} recoveries; ring grown to {grown} ({} times), first byte at the latest after {longest:?}",
        case.manner,
        case.rate / MBIT,
        case.pictures / 25,
        case.join_lag / MIB,
        reports.len(),
        reports.iter().filter(|report| report.ended.is_some()).count(),
        recoveries,
        told("ring is enlarged"),
    );
    if !wrong.is_empty() {
        let notable = log.lines().filter(|line| {
            ["WARN", "stalled", "slow", "lag", "enlarged", "disconnected"]
                .iter()
                .any(|word| line.contains(word))
        });
        wrong.extend(notable.take(30).map(str::to_owned));
    }
    wrong
}

/// Plays cases, two at a time.
fn play_all(cases: &[Case]) {
    let (even, odd): (Vec<_>, Vec<_>) = cases.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    let row = |row: Vec<(usize, &Case)>| row.into_iter().flat_map(|(_, case)| play(case)).collect::<Vec<_>>();
    let wrong = std::thread::scope(|scope| {
        let even = scope.spawn(|| row(even));
        let mut wrong = row(odd);
        wrong.extend(even.join().unwrap());
        wrong
    });
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn is_all() -> bool {
    std::env::var_os("PACE").is_some_and(|value| value == "all")
}

const SECOND: Duration = Duration::from_secs(1);

/// Watched by three from nearly its beginning.
fn sent(manner: Manner, rate: u64, time: Duration) -> Case {
    Case { manner, rate, pictures: 50, join_lag: 8 * MIB, viewers: 3, within: SECOND * 4, time }
}

fn joined(rate: u64, pictures: u64, join_lag: u64) -> Case {
    let (viewers, within, time) =
        if is_all() { (20, SECOND * 60, SECOND * 15) } else { (8, SECOND * 8, SECOND * 5) };
    Case {
        manner: Manner::Live,
        rate: rate * MBIT,
        pictures,
        join_lag: join_lag * MIB,
        viewers,
        within,
        time,
    }
}

#[test]
fn whatever_the_manner_of_a_source_nobody_is_ended() {
    let mut cases = vec![
        sent(Manner::Prefilled(16 * MIB), 8 * MBIT, SECOND * 8),
        sent(Manner::Film, 8 * MBIT, SECOND * 10),
        sent(Manner::Batches(SECOND * 6), 4 * MBIT, SECOND * 20),
    ];
    if is_all() {
        cases = Vec::new();
        for rate in [2, 8, 40] {
            for mib in [8, 16, 64] {
                cases.push(sent(Manner::Prefilled(mib * MIB), rate * MBIT, SECOND * 40));
            }
            cases.push(sent(Manner::Film, rate * MBIT, SECOND * 60));
        }
        cases.push(sent(Manner::Batches(SECOND * 6), 4 * MBIT, SECOND * 120));
        cases.push(sent(Manner::Batches(SECOND * 6), 16 * MBIT, SECOND * 120));
    }
    play_all(&cases);
}

#[test]
fn whenever_somebody_joins_there_is_time_to_stay() {
    let cases: Vec<_> = if is_all() {
        [
            (2, 12, 1),
            (2, 250, 1),
            (8, 50, 8),
            (8, 250, 2),
            (8, 125, 64),
            (20, 125, 8),
            (20, 25, 64),
            (40, 250, 8),
            (40, 50, 1),
            (40, 250, 64),
        ]
        .map(|(rate, pictures, join_lag)| joined(rate, pictures, join_lag))
        .to_vec()
    } else {
        vec![joined(8, 125, 1), joined(20, 100, 2)]
    };
    play_all(&cases);
}
