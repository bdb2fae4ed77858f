//! Providers count connections: a channel has one, however many watch it.

use std::time::Duration;

use crate::kit::{Stopwatch, Viewer};
use crate::provider::{Act, Make, Plan, Provider};
use crate::recorder::record;
use crate::scenario::{Baseline, channel, is_chosen, start};

const TIME: Duration = Duration::from_secs(3);

/// What is wrong in this mode.
fn count(mode: &str) -> Vec<String> {
    let clock = Stopwatch::start();
    let mut daemon = start(mode, "slate_av");
    let provider = Provider::start(clock, Plan::new(Make::SmallPrimary, &[Act::Play]));
    let (_, path) = channel(&mut daemon, 0, &[&provider]);
    let baseline = Baseline::of(&daemon);
    let mut wrong = Vec::new();
    for tunes in 1..=2 {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let viewer = Viewer::open(daemon.port(), &path);
                    let recording = record(viewer, clock, TIME, |_now| false);
                    assert!(recording.end.is_none() && recording.bytes.len() > 100_000, "{mode}");
                });
            }
        });
        let connections = provider.connections().len();
        if connections != tunes {
            wrong.push(format!("{mode}: {connections} connections after {tunes} tunes"));
        }
        let left = baseline.leftovers(&daemon, std::iter::once(&provider));
        wrong.extend(left.into_iter().map(|left| format!("{mode}: {left}")));
    }
    wrong
}

#[test]
fn a_tune_is_one_connection_in_every_mode_and_leaves_nothing_behind() {
    if !is_chosen("tunes", true) {
        return;
    }
    let modes = ["auto", "direct", "ffmpeg-copy", "ffmpeg-transcode"];
    let counting = modes.map(|mode| std::thread::spawn(move || count(mode)));
    let wrong: Vec<_> = counting.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
