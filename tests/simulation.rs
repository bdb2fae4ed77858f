//! Whole cores in a simulated world, seed by seed: whatever goes wrong, no viewer gets a wrong byte, and when
//! things are well again every picture moves. `scripts/sim` runs more seeds than the few of the test suite.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/sim/mod.rs"]
mod sim;

use std::panic::catch_unwind;

use sim::run::{Tally, run};

/// Seeds of the test suite. More are for `scripts/sim`.
const SEEDS: u64 = 3;

#[expect(clippy::disallowed_methods, reason = "the setting of a test run, not of the program")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn no_fault_reaches_a_viewer_but_as_a_delay_a_signalled_gap_or_an_end() {
    let from = setting("SIM_FROM", 0);
    let seeds = setting("SIM_SEEDS", SEEDS);
    // Of one seed, to see what led to a failure: RUST_LOG=info scripts/sim --from S --seeds 1
    let _set_before = env_logger::builder().is_test(true).format_timestamp(None).try_init();
    let (mut failed, mut sum) = (Vec::new(), Tally::default());
    for seed in from..from + seeds {
        let wrong = match catch_unwind(|| run(seed)) {
            Ok(Ok(tally)) => {
                sum.viewers += tally.viewers;
                sum.packets += tally.packets;
                sum.jumps += tally.jumps;
                sum.runs += tally.runs;
                continue;
            }
            Ok(Err(wrong)) => wrong,
            Err(_panic) => "a panic, see above".to_owned(),
        };
        eprintln!("seed {seed}: {wrong}\nagain with: scripts/sim --from {seed} --seeds 1");
        failed.push(seed);
    }
    println!("{seeds} seeds from {from}: {sum:?}");
    assert!(failed.is_empty(), "{} of {seeds} seeds failed: {failed:?}", failed.len());
    assert!(sum.packets > 1000 * seeds, "the viewers have seen too little: {sum:?}");
}

#[test]
fn one_seed_is_one_story() {
    assert_eq!(run(1), run(1));
}
