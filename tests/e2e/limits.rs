//! What the program does where it may not have what it would use: locked memory, descriptors, memory for rings.

use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::kit::{Daemon, LONG, Upstream, Viewer, binary, exchange, free_port, judge, until};
use crate::tsgen::PACKET_BYTES;

/// What limits a program that is started through it: `prlimit` with this option.
fn limited(option: &str) -> Vec<String> {
    let mut words = Vec::new();
    if geteuid().is_root() && option.starts_with("--memlock") {
        // To whom this capability is left the limit is none.
        words.extend(["setpriv", "--bounding-set", "-ipc_lock"].map(str::to_owned));
    }
    words.extend(["prlimit".to_owned(), option.to_owned()]);
    words
}

/// The same program with the same environment, started through another.
fn through(wrapper: &[String], command: &Command, log: &Path) -> Command {
    let mut wrapped = Command::new(&wrapper[0]);
    wrapped.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let folder = command.get_current_dir().unwrap();
    let log = File::options().append(true).open(folder.join(log)).unwrap();
    wrapped.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    wrapped
}

fn start(option: &str, settings: &[(&str, &str)]) -> Daemon {
    let port = free_port();
    Daemon::start_with(port, settings, |command| {
        command.env("HTTP_ADDR", format!("127.0.0.1:{port}"));
        *command = through(&limited(option), command, Path::new("log"));
    })
}

/// What `check` says under a limit.
fn checked(option: &str, settings: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = limited(option);
    let mut wrapped = Command::new(&wrapper[0]);
    wrapped.args(&wrapper[1..]).arg(binary()).arg("check").env_clear();
    wrapped.env("PATH", "/usr/bin:/bin").env("CORES", "1");
    let output = wrapped.envs(settings.iter().copied()).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What all cores together have come to.
fn of_cores(daemon: &Daemon, field: &str) -> u64 {
    let tuners = daemon.tuners();
    tuners["cores"].as_array().unwrap().iter().map(|core| core[field].as_u64().unwrap()).sum()
}

/// What an answer without a stream says: status, number and reason.
fn refusal(viewer: &Viewer) -> (u16, Option<&str>, Option<&str>) {
    let field = |name: &str| {
        viewer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
    };
    (viewer.status(), field("X-HDHomeRun-Error"), field("X-Tunerd-Reason"))
}

fn ask(daemon: &Daemon, path: &str) -> Viewer {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.port())).unwrap();
    Viewer::ask(stream, &format!("GET {path} HTTP/1.1\r\nHost: tv\r\n\r\n"))
}

/// The viewer gets so much more, whole and in order.
fn gets(viewer: &mut Viewer, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    until(LONG, "the stream goes on", || {
        got.extend(viewer.read(LONG).unwrap());
        (got.len() >= bytes).then_some(())
    });
    got
}

#[test]
fn check_says_how_many_fit_and_what_to_change() {
    let said = checked("--nofile=256", &[]);
    for line in [
        "room for 118 viewers and 2 of 2 channels",
        "viewers are bounded by 256 open files (ulimit -n, systemd: LimitNOFILE=)",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let said = checked("--nofile=256", &[("TUNER_COUNT", "200"), ("VIEWERS_MAX", "7")]);
    for line in [
        "room for 7 viewers and 5 of 200 channels",
        "bounded by VIEWERS_MAX",
        "channels are bounded by 256 open files",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let said = checked("--nofile=16384", &[("TUNER_COUNT", "200"), ("RING_MEMORY_BYTES", "104857600")]);
    assert!(
        said.contains(" of 200 channels")
            && said.contains("channels are bounded by RING_MEMORY_BYTES=104857600"),
        "{said}"
    );
    let zero_copy = [("ZERO_COPY", "send-zc")];
    let said = checked("--memlock=65536", &zero_copy);
    for words in [
        "the rings of 0 of 2 channels can be registered",
        "locked memory is 64 KiB (ulimit -l, systemd: LimitMEMLOCK=infinity)",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Who may lock any amount has no limit; of others it is not known.
    if geteuid().is_root() {
        let said = checked("--nofile=4096", &zero_copy);
        assert!(said.contains("the rings of all channels can be registered\n"), "{said}");
        let said = checked("--nofile=4096", &[zero_copy[0], ("CORES", "3")]);
        assert!(said.contains("the rings of all channels can be registered with each of 3 cores"), "{said}");
    }
}

#[test]
fn as_many_cores_as_may_be_are_used_and_what_bounds_them_is_named() {
    let auto = [("CORES", "auto")];
    let said = checked("--memlock=400000", &auto);
    for words in ["cores: 1 (CORES=auto", "LimitMEMLOCK=infinity"] {
        // One processor is as many as there are with so little locked memory.
        let is_one = std::thread::available_parallelism().unwrap().get() == 1;
        assert!(said.contains(words) || is_one, "{words}: {said}");
    }
    let mut bound = Command::new("taskset");
    bound.arg("--cpu-list").arg(first_processor()).arg(binary()).arg("check");
    let output = bound.env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("cores: 1 (CORES=auto: one for each processor that this process may run on)"),
        "{said}"
    );
    assert!(checked("--nofile=4096", &[("CORES", "3")]).contains("cores: 3 (CORES=3)"));
}

/// A processor that this process may run on.
fn first_processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    allowed.trim().split([',', '-']).next().unwrap().to_owned()
}

#[test]
fn without_locked_memory_streams_go_on_by_copying_and_it_is_said_once() {
    let upstream = Upstream::start();
    let mut daemon = start("--memlock=65536", &[("ZERO_COPY", "send-zc"), ("CORES", "2")]);
    for number in ["100", "101"] {
        daemon.channel(number, &[upstream.url(&format!("/good/4000000/{number}"))]);
    }
    let mut viewers = ["100", "101"].repeat(8);
    let mut viewers: Vec<_> =
        viewers.drain(..).map(|number| daemon.open(&format!("/auto/v{number}"))).collect();
    for viewer in &mut viewers {
        let findings = judge(&gets(viewer, 1_000_000));
        assert!(findings.faults() == 0, "{findings:?}");
    }
    let log = daemon.log();
    let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("the rings of 0 of 2 channels can be registered"), 1, "at the start: {log}");
    assert_eq!(count("rings cannot be registered, viewers are sent to"), 1, "{log}");
    drop(daemon);
    // Each core has an io_uring, which the kernel counts since Linux 6.14. What has just been let go it counts a little longer.
    let said = until(LONG, "the start fails for want of memory for cores", || {
        let (code, said) = started_with_too_many_cores();
        match code {
            Some(1) => Some(said),
            Some(TIMED_OUT) => Some(format!("64 cores cannot begin, CORES to fewer: they can. {said}")),
            Some(_) | None => None,
        }
    });
    assert!(said.contains("64 cores cannot begin, ") && said.contains("CORES to fewer"), "{said}");
}

/// What `timeout` ends with when it has to end a program.
const TIMED_OUT: i32 = 124;

/// How a start ends that has memory for few cores.
fn started_with_too_many_cores() -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = limited("--memlock=65536");
    let mut wrapped = Command::new("timeout");
    wrapped.arg("5").args(&wrapper).arg(binary()).arg("run").env_clear().current_dir(folder.path());
    wrapped.env("PATH", "/usr/bin:/bin").env("CORES", "64");
    wrapped.env("HTTP_ADDR", format!("127.0.0.1:{}", free_port()));
    wrapped.env("HDHR_DISCOVERY_ENABLED", "false").env("UPNP_ENABLED", "false");
    let output = wrapped.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_flood_of_viewers_leaves_descriptors_for_administration_and_for_the_next_source() {
    let first = Upstream::start();
    let second = Upstream::start();
    let mut daemon = start("--nofile=200", &[("CORES", "1")]);
    daemon.channel("100", &[first.url("/good/2000000/a"), second.url("/good/2000000/b")]);
    let mut watching = Vec::new();
    let mut refused = 0;
    for _ in 0..150 {
        let viewer = ask(&daemon, "/auto/v100");
        match refusal(&viewer) {
            (200, ..) => watching.push(viewer),
            said => {
                assert_eq!(said, (503, Some("809 Playback Connection Limit"), Some("viewer_limit")));
                refused += 1;
            }
        }
    }
    assert!(watching.len() >= 60 && refused >= 50, "{} watch, {refused} do not", watching.len());
    // And a crowd that says nothing.
    let address = (Ipv4Addr::LOCALHOST, daemon.port());
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(daemon.get("/api/admin/tuners").status, 200);
    assert_eq!(second.requests_total(), 0);
    drop(first);
    until(LONG, "the next source is read", || (second.requests("/good/2000000/b").len() == 1).then_some(()));
    let last = watching.last_mut().unwrap();
    gets(last, 2_000_000);
    assert!(of_cores(&daemon, "refused_total") >= refused);
    assert!(of_cores(&daemon, "refused_at_bound_total") >= 50);
    let log = daemon.log();
    assert!(!log.contains("accepting is paused"), "{log}");
    drop(silent);
    drop(watching.split_off(1));
    until(LONG, "there is room again", || (ask(&daemon, "/auto/v100").status() == 200).then_some(()));
}

#[test]
fn that_accepting_is_paused_is_said_once_and_counted() {
    // Fewer than it needs, so that what it keeps is not there.
    let daemon = start("--nofile=32", &[("CORES", "2")]);
    let address = (Ipv4Addr::LOCALHOST, daemon.port());
    let waiting: Vec<_> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    until(LONG, "it is said", || daemon.log().contains("accepting is paused").then_some(()));
    drop(waiting);
    // Whoever comes before their descriptors are back is closed without an answer.
    until(LONG, "it answers again", || {
        let answer = exchange(daemon.port(), b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
        answer.ok().filter(|answer| answer.status == 200).map(|_| ())
    });
    assert!(of_cores(&daemon, "accept_pauses_total") >= 1);
    let log = daemon.log();
    assert!(log.contains("only 0 of TUNER_COUNT=2 channels fit: 32 open files"), "{log}");
    let said: Vec<_> = log.lines().filter(|line| line.contains("accepting is paused")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("LimitNOFILE="), "{said:?}");
}

#[test]
fn a_channel_for_whose_ring_there_is_no_memory_is_refused_until_there_is_some() {
    let upstream = Upstream::start();
    let prepared = |settings: &[(&str, &str)]| {
        let mut daemon = Daemon::start(settings);
        for number in ["100", "101"] {
            daemon.channel(number, &[upstream.url(&format!("/good/2000000/{number}"))]);
        }
        daemon
    };
    let one_ring = {
        let daemon = prepared(&[]);
        let _viewer = daemon.open("/auto/v100");
        of_cores(&daemon, "ring_bytes")
    };
    assert!(one_ring > 8 * 1024 * 1024, "{one_ring}");
    let memory = (one_ring + one_ring / 2).to_string();
    let daemon = prepared(&[("RING_MEMORY_BYTES", &memory), ("SESSION_IDLE_TIMEOUT", "0")]);
    let mut viewer = daemon.open("/auto/v100");
    let refused = ask(&daemon, "/auto/v101");
    assert_eq!(refusal(&refused), (503, Some("803 System Busy"), Some("ring_memory")));
    assert!(refused.head.contains("\r\nRetry-After: 5\r\n"), "{}", refused.head);
    gets(&mut viewer, 100 * PACKET_BYTES);
    let log = daemon.log();
    assert!(log.contains(&format!("RING_MEMORY_BYTES={memory}")), "at the start: {log}");
    assert!(log.contains("the rings of all channels have all memory they may (RING_MEMORY_BYTES)"), "{log}");
    drop(viewer);
    until(LONG, "the other channel can be tuned", || {
        (ask(&daemon, "/auto/v101").status() == 200).then_some(())
    });
}
