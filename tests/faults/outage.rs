//! Many channels lose their sources at the same moment.

use std::time::Duration;

use crate::judge::{Rules, judge};
use crate::kit::{Process, Stopwatch, Viewer, children_of, until};
use crate::provider::{Act, Fault, Make, Plan, Provider, Refusal, When};
use crate::recorder::{Recording, record};
use crate::scenario::{Baseline, channel, is_chosen, keep_log, start, write_down};

const CHANNELS: usize = 20;
/// Shorter than what a source may take to start, so that the outage is not over before.
const WINDOW: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(60);
/// From the loss to the filler, what waits to be sent included.
const FILLER: Duration = Duration::from_millis(150);
/// The same for any of the channels, on a machine that has much else to do.
const FILLER_MAX: Duration = Duration::from_millis(300);

/// Processor time used so far, in hundredths of a second.
fn ticks(process: Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0)).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// What is used in a while, and the most children there are in it.
fn observe(process: Process) -> (u64, usize) {
    let before = ticks(process);
    let watch = Stopwatch::start();
    let mut children = 0;
    while watch.left_of(WINDOW).is_some() {
        children = children.max(children_of(process).len());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    (ticks(process) - before, children)
}

/// The longest time without a byte around a moment; a stream that has ended has none for ever.
fn gap_around(recording: &Recording, moment: Duration) -> Duration {
    let second = Duration::from_secs(1);
    let is_near = |at: &Duration| *at + second >= moment && *at < moment + second;
    let mut times: Vec<_> = recording.reads.iter().map(|(at, _)| *at).filter(is_near).collect();
    times.push(if recording.end.is_some() { LIMIT } else { moment + second });
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(LIMIT)
}

#[test]
fn twenty_channels_that_lose_their_sources_at_once_go_on_at_once_and_start_no_encoder() {
    if !is_chosen("outage", true) {
        return;
    }
    let clock = Stopwatch::start();
    let mut daemon = start("direct", "slate_av");
    let lost = [Act::Fail(When::Told, Fault::Reset), Act::Refuse(Refusal::NotFound)];
    let slow = [Act::Refuse(Refusal::Nothing), Act::Play];
    let channels: Vec<_> = (0..CHANNELS)
        .map(|number| {
            let primary = Provider::start(clock, Plan::new(Make::Primary, &lost));
            let backup = Provider::start(clock, Plan::new(Make::Backup, &slow));
            let (_, path) = channel(&mut daemon, number, &[&primary, &backup]);
            (primary, backup, path)
        })
        .collect();
    let baseline = Baseline::of(&daemon);
    let process = daemon.process();
    let (recordings, (before, _), (during, children)) = std::thread::scope(|scope| {
        let watching: Vec<_> = channels
            .iter()
            .map(|(_, backup, path)| {
                let port = daemon.port();
                let back = Duration::from_secs(3);
                let enough = move |now| backup.played().is_some_and(|played| now > played + back);
                scope.spawn(move || record(Viewer::open(port, path), clock, LIMIT, enough))
            })
            .collect();
        until(LIMIT, "all channels play", || {
            channels.iter().all(|(primary, ..)| primary.played().is_some()).then_some(())
        });
        // A slate that is made for these channels is made before it is needed.
        until(LIMIT, "no child runs", || children_of(process).is_empty().then_some(()));
        let before = observe(process);
        channels.iter().for_each(|(primary, ..)| primary.tell());
        until(LIMIT, "all channels are lost", || {
            channels.iter().all(|(primary, ..)| primary.failed().is_some()).then_some(())
        });
        let during = observe(process);
        let recordings: Vec<_> = watching.into_iter().map(|thread| thread.join().unwrap()).collect();
        (recordings, before, during)
    });

    let mut wrong =
        baseline.leftovers(&daemon, channels.iter().flat_map(|(primary, backup, _)| [primary, backup]));
    let mut gaps: Vec<_> = (recordings.iter().zip(&channels))
        .map(|(recording, (primary, ..))| gap_around(recording, primary.failed().unwrap()))
        .collect();
    gaps.sort();
    let (usual, longest) = (gaps[CHANNELS / 2], gaps[CHANNELS - 1]);
    eprintln!(
        "outage: {} hundredths of a second before, {} during; without a byte for {usual:?}, at most {longest:?}",
        before, during
    );
    if usual > FILLER || longest > FILLER_MAX {
        wrong.push(format!("no byte for {usual:?}, at most {longest:?}"));
    }
    if children > 0 {
        wrong.push(format!("{children} children during the outage"));
    }
    let verdict = judge(&recordings[0], &Rules::default(), &write_down("outage"));
    wrong.extend(verdict.lines());
    keep_log("outage", &daemon, &wrong);
    drop(daemon);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
