//! How the program starts, ends and stays as it was.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kit::{
    Daemon, End, LONG, Process, Stopwatch, Upstream, binary, children_of, command, exchange, free_port,
    judge, until,
};

const SHORT: Duration = Duration::from_secs(5);
/// What a stop may take.
const STOP: Duration = Duration::from_secs(10);
const PATTERN: &str = "test://pattern?bitrate=1000000&size=320x180&rate=25";

/// A program with a channel that is read directly and one that ffmpeg makes, and a viewer of each.
fn with_two_viewers() -> (Daemon, Upstream, [crate::kit::Viewer; 2]) {
    let upstream = Upstream::start();
    // Without a picture for recoveries the one child is the source's; without recoveries its end is the stream's.
    let settings =
        [("RECOVERY_FILLER_MODE", "psi"), ("STALL_POLICY", "close_session"), ("SOURCE_SCHEMES", "http test")];
    let mut daemon = Daemon::start(&settings);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    daemon.channel("200", &[PATTERN.to_owned()]);
    let viewers = [daemon.open("/auto/v100"), daemon.open("/auto/v200")];
    (daemon, upstream, viewers)
}

fn assert_database_is_sound(daemon: &Daemon) {
    let connection = rusqlite::Connection::open(daemon.database()).unwrap();
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
    drop(connection);
    let database = tunerd::store::Database::open(&daemon.database()).unwrap();
    assert_eq!(database.channels().unwrap().len(), 2);
}

/// The program's ffmpeg.
fn only_child(daemon: &Daemon) -> Process {
    let children = children_of(daemon.process());
    let [child] = children[..] else { panic!("{children:?}") };
    assert!(child.is_alive());
    child
}

#[test]
fn a_stop_ends_streams_in_order_and_leaves_nothing_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut daemon, _upstream, mut viewers) = with_two_viewers();
        let ffmpeg = only_child(&daemon);
        let watch = Stopwatch::start();
        daemon.signal(signal);
        for viewer in &mut viewers {
            let (recording, end) = viewer.rest(STOP);
            assert_eq!(end, End::Finished);
            assert_eq!(judge(&recording).faults(), 0);
        }
        if let Ok(answer) = exchange(daemon.port(), b"GET /auto/v100 HTTP/1.1\r\nHost: tv\r\n\r\n") {
            assert_eq!((answer.status, answer.header("X-HDHomeRun-Error")), (503, Some("803 System Busy")));
        }
        assert_eq!(daemon.ended(STOP).code(), Some(0));
        assert!(watch.elapsed() < STOP, "{:?}", watch.elapsed());
        assert!(!ffmpeg.is_alive(), "{ffmpeg:?} has outlived the program");
        assert_database_is_sound(&daemon);
    }
}

#[test]
fn what_is_killed_leaves_no_ffmpeg_and_a_sound_database() {
    let (mut daemon, _upstream, _viewers) = with_two_viewers();
    let ffmpeg = only_child(&daemon);
    daemon.signal(Signal::SIGKILL);
    daemon.ended(SHORT);
    until(Duration::from_secs(2), "ffmpeg is gone", || (!ffmpeg.is_alive()).then_some(()));
    assert_database_is_sound(&daemon);
}

#[test]
fn an_ffmpeg_that_dies_ends_its_viewers_in_order_and_the_channel_can_be_tuned_again() {
    let (daemon, _upstream, [mut other, mut viewer]) = with_two_viewers();
    let ffmpeg = only_child(&daemon);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(ffmpeg.0).unwrap()), Signal::SIGKILL)
        .unwrap();
    let (recording, end) = viewer.rest(SHORT);
    assert_eq!((judge(&recording).faults(), end), (0, End::Finished));
    until(SHORT, "its tuner is free", || (daemon.tuners_in_use() == 1).then_some(()));
    let findings = judge(&daemon.open("/auto/v200").watch(Duration::from_secs(1)));
    assert!(findings.packets > 100 && findings.faults() == 0, "{findings:?}");
    assert_ne!(only_child(&daemon), ffmpeg);
    assert_eq!(judge(&other.watch(Duration::from_millis(500))).faults(), 0);
}

#[test]
fn two_hundred_tunes_leave_no_descriptor_child_or_memory() {
    const THREADS: usize = 4;
    let settings = [
        ("SESSION_IDLE_TIMEOUT", "0"),
        ("SOURCE_SCHEMES", "http test"),
        ("TUNER_COUNT", "8"),
        ("PREEMPT_SETTLE_DELAY", "0"),
        // What is remembered, and shown each time somebody asks, is all there after the first cycles.
        ("SESSION_HISTORY_LIMIT", "8"),
    ];
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&settings);
    for number in 0..THREADS {
        daemon.channel(&format!("10{number}"), &[upstream.url(&format!("/good/2000000/{number}"))]);
        daemon.channel(&format!("20{number}"), &[PATTERN.to_owned()]);
    }
    let daemon = &daemon;
    // Each thread has its channels, so that each viewer is the first and the last of its session.
    let cycle = |rounds: usize| {
        std::thread::scope(|scope| {
            for number in 0..THREADS {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        for hundred in [1, 2] {
                            let path = format!("/auto/v{hundred}0{number}");
                            let mut viewer = daemon.open(&path);
                            until(LONG, "the first packets", || viewer.read(LONG).ok());
                            let address = viewer.address();
                            drop(viewer);
                            until(LONG, "it is gone", || {
                                (!daemon.viewers().contains(&address)).then_some(())
                            });
                        }
                    }
                });
            }
        });
        until(LONG, "all is over and given back", || {
            let process = daemon.process();
            let is_over = daemon.tuners_in_use() == 0 && children_of(process).is_empty();
            (is_over && process.resident_rings_kib() < 1024).then_some(())
        });
    };
    // The first cycles make what is kept.
    cycle(2);
    let process = daemon.process();
    let before = (process.descriptors(), process.resident_kib());
    cycle(25);
    until(SHORT, "the descriptors are as before", || (process.descriptors() <= before.0).then_some(()));
    let grown = process.resident_kib().saturating_sub(before.1);
    assert!(grown <= 2048, "{grown} KiB more than {} KiB", before.1);
}

/// Starts the program, which is to end by itself; gives the code and what it said.
fn failing(settings: &[(&str, &str)], prepare: impl FnOnce(&std::path::Path)) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let mut command = command(folder.path(), settings);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = until(LONG, "the program ends", || child.try_wait().unwrap());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

#[test]
fn wrong_settings_are_all_listed_and_nothing_is_started() {
    let wrong = [("TUNER_COUNT", "none"), ("STREAM_MODE", "magic"), ("SESSION_IDLE_TIMEOUT", "soon")];
    let (code, said) = failing(&wrong, |_folder| {});
    assert_eq!(code, Some(2), "{said}");
    for (name, value) in wrong {
        assert!(said.lines().any(|line| line.contains(name) && line.contains(value)), "{name}: {said}");
    }
}

#[test]
fn an_address_that_is_taken_ends_the_start_whoever_has_taken_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let other = Daemon::start(&[("CORES", "2")]);
    let by_its_own_kind = format!("127.0.0.1:{}", other.port());
    for address in [taken, by_its_own_kind] {
        for cores in ["1", "2"] {
            let (code, said) = failing(&[("HTTP_ADDR", &address), ("CORES", cores)], |_folder| {});
            assert_eq!(code, Some(4), "{address} with {cores} core(s): {said}");
            assert!(said.contains(&address), "{said}");
        }
    }
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let damaged = [&b"SQLite format 3\0"[..], &[0xA5; 8192]].concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.db");
    fs::write(&path, &damaged).unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let (code, said) = failing(&[("DB_PATH", path.to_str().unwrap()), ("HTTP_ADDR", &address)], |_folder| {});
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains(path.to_str().unwrap()), "{said}");
    assert_eq!(fs::read(&path).unwrap(), damaged);
}

#[test]
fn check_says_what_is_there_and_what_will_be_used() {
    let output =
        Command::new(binary()).arg("check").env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in [
        "kernel: Linux ",
        "(CORES=auto: one for each processor that this process may run on)",
        "ffmpeg: ",
        "settings:",
        "TUNER_COUNT",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn sockets_of_the_service_manager_are_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let mut shell = command(folder.path(), &[]);
    // Its own address is one that cannot be bound: it must not try.
    shell.env("HTTP_ADDR", "192.0.2.1:1");
    let mut manager = Command::new("sh");
    manager.args(["-c", "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\""]).arg(binary());
    manager.env_clear().current_dir(folder.path());
    manager.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    manager.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = manager.spawn().unwrap();
    // Connections wait in the socket until it serves.
    let answer = exchange(port, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM)
        .unwrap();
    let status = until(STOP, "the program ends", || child.try_wait().unwrap());
    assert_eq!((answer.unwrap().status, status.code()), (200, Some(0)));
}

#[test]
fn the_service_manager_hears_of_the_start_of_life_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(SHORT)).unwrap();
    let settings = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")];
    let mut daemon = Daemon::start(&settings);
    let hear = |word: &str| {
        until(SHORT, word, || {
            let mut bytes = [0; 1024];
            let count = manager.recv(&mut bytes).expect("something is said");
            String::from_utf8_lossy(&bytes[..count]).lines().any(|line| line == word).then_some(())
        });
    };
    hear("READY=1");
    for _ in 0..4 {
        // Half of the time after which it would be taken for dead.
        let watch = Stopwatch::start();
        hear("WATCHDOG=1");
        assert!(watch.elapsed() <= Duration::from_secs(1), "{:?}", watch.elapsed());
    }
    daemon.signal(Signal::SIGTERM);
    hear("STOPPING=1");
    assert_eq!(daemon.ended(STOP).code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", daemon.port())).is_err());
}
