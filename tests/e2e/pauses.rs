//! A process that could not run for a while: stopped, or on a host that was overloaded.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kit::{Daemon, Upstream, judge};

/// Longer than any patience below.
const STOPPED: Duration = Duration::from_secs(7);
const SHORT: Duration = Duration::from_secs(2);

#[test]
fn a_process_that_was_stopped_blames_nobody_and_loses_nobody() {
    let upstream = Upstream::start();
    let path = "/good/3000000/a";
    let settings = [("STALL_DETECT", "2s"), ("SUBSCRIBER_MAX_BLOCKED_WRITE", "2s")];
    let mut daemon = Daemon::start(&settings);
    daemon.channel("100", &[upstream.url(path), upstream.url("/good/3000000/b")]);
    let mut viewer = daemon.open("/auto/v100");
    let mut recording = viewer.watch(SHORT);

    daemon.signal(Signal::SIGSTOP);
    recording.extend(viewer.watch(STOPPED));
    let before = recording.len();
    daemon.signal(Signal::SIGCONT);
    recording.extend(viewer.watch(SHORT + SHORT));

    let findings = judge(&recording);
    assert_eq!((findings.faults(), findings.signalled), (0, 0), "{findings:?}");
    let (bytes, least) = (recording.len() - before, 3_000_000 / 8 * 8);
    assert!(bytes > least, "what came meanwhile was kept by the provider's socket or ours: {bytes}");
    assert_eq!(upstream.requests_total(), 1, "the connection that delivers is kept");
    let tuners = daemon.tuners();
    let row = &tuners["tuners"][0];
    assert_eq!((&row["stall_count"], &row["recovery_cycle"]), (&0.into(), &0.into()), "{row}");
    let log = daemon.log();
    assert!(!log.contains("stalled"), "{log}");
}
