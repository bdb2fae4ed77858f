//! Channels that cannot be tuned are refused for a while.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::kit::{Answer, Daemon, Upstream, Viewer, until};

const SHORT: Duration = Duration::from_secs(5);

fn start(tunes_max: &str, cooldown: &str) -> (Daemon, Upstream) {
    let settings = [
        ("TUNE_BACKOFF_MAX_TUNES", tunes_max),
        ("TUNE_BACKOFF_INTERVAL", "1m"),
        ("TUNE_BACKOFF_COOLDOWN", cooldown),
        ("STARTUP_TIMEOUT", "1s"),
        ("SESSION_IDLE_TIMEOUT", "0"),
        ("PREEMPT_SETTLE_DELAY", "0"),
    ];
    (Daemon::start(&settings), Upstream::start())
}

/// A request whose answer is not waited for yet.
fn ask(daemon: &Daemon, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    stream
}

/// Status, reason, HDHomeRun's error and when to come back.
fn told(answer: &Answer) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
    let header = |name| answer.header(name);
    (answer.status, header("X-Tunerd-Reason"), header("X-HDHomeRun-Error"), header("Retry-After"))
}

const FAILED: (u16, Option<&str>, Option<&str>, Option<&str>) =
    (503, Some("other"), Some("806 Tune Failed"), None);

fn refused(seconds: &str) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
    (503, Some("channel_tune_backoff"), Some("803 System Busy"), Some(seconds))
}

fn wait_until_nobody_watches(daemon: &Daemon) {
    until(SHORT, "nobody watches", || (daemon.tuners_in_use() == 0).then_some(()));
}

#[test]
fn a_channel_that_failed_is_refused_without_asking_its_provider_and_others_are_not() {
    let (mut daemon, upstream) = start("1", "1500ms");
    daemon.channel("100", &[upstream.url("/missing/a")]);
    daemon.channel("200", &[upstream.url("/good/4000000/a")]);
    assert_eq!(told(&daemon.get("/auto/v100")), FAILED);
    let answer = daemon.get("/auto/v100");
    assert_eq!(told(&answer), refused("2"), "{}", answer.head);
    assert!(answer.body.is_empty());
    assert_eq!(upstream.requests("/missing/a").len(), 1);
    assert_eq!(daemon.tuners_in_use(), 0, "a refusal takes no tuner");
    drop(daemon.open("/auto/v200"));
    until(SHORT, "the channel is tried again", || (told(&daemon.get("/auto/v100")) == FAILED).then_some(()));
}

#[test]
fn a_healthy_channel_is_never_refused_however_often_it_is_tuned() {
    let (mut daemon, upstream) = start("1", "20s");
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    for _ in 0..3 {
        drop(daemon.open("/auto/v100"));
        wait_until_nobody_watches(&daemon);
    }
    assert_eq!(upstream.requests("/good/4000000/a").len(), 3);
}

#[test]
fn a_start_that_several_wait_for_counts_once_and_so_does_running_out_of_time() {
    let (mut daemon, upstream) = start("2", "20s");
    daemon.channel("100", &[upstream.url("/silent/a")]);
    let failing = |leader_leaves: bool| {
        let asked = upstream.requests("/silent/a").len();
        let mut waiting: Vec<_> = (0..3).map(|_| ask(&daemon, "/auto/v100")).collect();
        until(SHORT, "all wait", || {
            let row = daemon.tuners()["tuners"][0]["subscribers"].clone();
            row.as_array().is_some_and(|waiting| waiting.len() == 3).then_some(())
        });
        if leader_leaves {
            drop(waiting.remove(0));
        }
        for stream in waiting {
            let answer = Viewer::ask(stream, "");
            let is_failed =
                answer.status() == 503 && answer.head.contains("X-HDHomeRun-Error: 806 Tune Failed");
            assert!(is_failed && !answer.head.contains("Retry-After"), "{}", answer.head);
        }
        assert_eq!(upstream.requests("/silent/a").len(), asked + 1);
    };
    failing(false);
    // Whoever has asked first is gone, but others wait for the same.
    failing(true);
    let answer = daemon.get("/auto/v100");
    assert_eq!(told(&answer), refused("20"), "{}", answer.head);
}

#[test]
fn who_joins_a_start_is_never_refused_and_one_that_nobody_waits_for_does_not_count() {
    let (mut daemon, upstream) = start("1", "20s");
    daemon.channel("100", &[upstream.url("/silent/a"), upstream.url("/good/4000000/a")]);
    daemon.channel("200", &[upstream.url("/silent/b")]);
    let waiting: Vec<_> = (0..4).map(|_| ask(&daemon, "/auto/v100")).collect();
    for stream in waiting {
        assert_eq!(Viewer::ask(stream, "").status(), 200);
    }
    wait_until_nobody_watches(&daemon);
    let impatient = ask(&daemon, "/auto/v200");
    until(SHORT, "the source is asked", || (upstream.requests("/silent/b").len() == 1).then_some(()));
    drop(impatient);
    wait_until_nobody_watches(&daemon);
    assert_eq!(told(&daemon.get("/auto/v200")), FAILED);
}
