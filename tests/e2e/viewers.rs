//! Viewers who go, stop reading, vanish or are too slow.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::kit::{Daemon, End, LONG, Stopwatch, Upstream, Viewer, free_port, judge, until};
use crate::tsgen::{PACKET_BYTES, VideoTag};

const SHORT: Duration = Duration::from_secs(5);

fn with_channel(bitrate: u64, settings: &[(&str, &str)]) -> (Daemon, Upstream) {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(settings);
    daemon.channel("100", &[upstream.url(&format!("/good/{bitrate}/a"))]);
    (daemon, upstream)
}

#[test]
fn a_viewer_who_closes_is_gone_within_a_tenth_of_a_second_and_its_tuner_is_free() {
    let (daemon, _upstream) = with_channel(4_000_000, &[("SESSION_IDLE_TIMEOUT", "0")]);
    let mut took: Vec<_> = (0..5)
        .map(|round| {
            let mut viewer = daemon.open("/auto/v100");
            viewer.watch(Duration::from_millis(100));
            if round % 2 == 0 {
                viewer.shutdown();
            }
            let watch = Stopwatch::start();
            drop(viewer);
            until(SHORT, "the viewer is gone", || {
                let tuners = daemon.tuners();
                let is_gone = tuners["client_streams"].as_array().unwrap().is_empty();
                is_gone.then(|| assert_eq!(tuners["in_use_count"], 0, "{tuners}"))
            });
            watch.elapsed()
        })
        .collect();
    took.sort();
    // The machine may have been busy elsewhere once or twice.
    assert!(took[2] < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_viewer_who_says_that_it_will_not_ask_more_gets_its_stream_and_is_gone_when_it_closes() {
    let settings = [("SESSION_IDLE_TIMEOUT", "0")];
    let (mut daemon, upstream) = with_channel(4_000_000, &settings);
    daemon.channel("101", &[upstream.url("/redirect/9/4000000/b")]);
    daemon.channel("102", &[upstream.url("/silent/c")]);
    for (path, version) in [("v100", "1.1"), ("v100", "1.0"), ("v101", "1.1"), ("v101", "1.0")] {
        let what = format!("{path}, HTTP/{version}");
        let stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        let mut viewer =
            Viewer::ask_last(stream, &format!("GET /auto/{path} HTTP/{version}\r\nHost: tv\r\n\r\n"));
        assert_eq!(viewer.status(), 200, "{what}: {}", viewer.head);
        let findings = judge(&viewer.watch(Duration::from_millis(500)));
        assert!(findings.packets > 300 && findings.continuity_errors == 0, "{what}: {findings:?}");
        drop(viewer);
        until(SHORT, "the viewer is gone", || daemon.viewers().is_empty().then_some(()));
    }
    // Who closes while it waits gives its tuner back, although its half-closed socket looked the same until then.
    let stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
    (&stream).write_all(b"GET /auto/v102 HTTP/1.1\r\nHost: tv\r\n\r\n").unwrap();
    until(SHORT, "a tuner is taken", || (daemon.tuners()["in_use_count"] == 1).then_some(()));
    let watch = Stopwatch::start();
    drop(stream);
    until(SHORT, "it is free", || (daemon.tuners()["in_use_count"] == 0).then_some(()));
    assert!(watch.elapsed() < Duration::from_secs(1), "{:?}", watch.elapsed());
    // Requests that are no streams are answered just so.
    for path in ["/lineup.json", "/api/admin/tuners", "/auto/v999"] {
        let stream = TcpStream::connect(("127.0.0.1", daemon.port())).unwrap();
        let viewer = Viewer::ask_last(stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(matches!(viewer.status(), 200 | 404), "{path}: {}", viewer.head);
    }
}

/// Bytes between the program's socket and the viewer's: what the one has not sent and the other has not read.
fn queued_bytes(server: u16, viewer: u16) -> Option<u64> {
    let rows = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |address: &str| u16::from_str_radix(address.split(':').nth(1)?, 16).ok();
    let mut queued = None;
    for row in rows.lines().skip(1) {
        let fields: Vec<_> = row.split_whitespace().collect();
        let ends = (port(fields[1]), port(fields[2]));
        if ends == (Some(server), Some(viewer)) || ends == (Some(viewer), Some(server)) {
            let (sent, received) = fields[4].split_once(':').unwrap();
            let bytes = |text| u64::from_str_radix(text, 16).unwrap();
            queued = Some(queued.unwrap_or(0) + bytes(sent) + bytes(received));
        }
    }
    queued
}

#[test]
fn a_viewer_who_stops_reading_leaves_when_its_socket_has_taken_nothing_for_as_long_as_allowed() {
    // What is sent from a file is received in part long before that is acknowledged, and would be counted twice here.
    let settings =
        [("SUBSCRIBER_MAX_BLOCKED_WRITE", "1s"), ("SESSION_IDLE_TIMEOUT", "0"), ("ZERO_COPY", "never")];
    let (daemon, _upstream) = with_channel(40_000_000, &settings);
    let viewer = daemon.open("/auto/v100");
    let mut progress = Stopwatch::start();
    let mut queued = 0;
    until(LONG, "the viewer is gone", || {
        let now_queued = queued_bytes(daemon.port(), viewer.port()).unwrap_or(0);
        if now_queued > queued {
            queued = now_queued;
            progress = Stopwatch::start();
        }
        daemon.viewers().is_empty().then_some(())
    });
    let blocked = progress.elapsed();
    assert!(queued > 100_000, "{queued} bytes");
    assert!(blocked > Duration::from_millis(700) && blocked < Duration::from_millis(1250), "{blocked:?}");
    assert_eq!(daemon.tuners_in_use(), 0);
}

#[test]
fn a_wished_duration_ends_with_a_whole_packet_for_a_viewer_who_is_behind_too() {
    // More in a second than sockets hold, so that a send is cut off wherever the queue happens to be full.
    let (daemon, _upstream) = with_channel(200_000_000, &[("SUBSCRIBER_MAX_BLOCKED_WRITE", "10s")]);
    let mut viewer = daemon.open("/auto/v100?duration=1");
    let watch = Stopwatch::start();
    until(SHORT, "its time is over", || (watch.elapsed() > Duration::from_millis(1_300)).then_some(()));
    let (recording, end) = viewer.rest(LONG);
    assert_eq!((end, recording.len() % PACKET_BYTES), (End::Finished, 0), "{} bytes", recording.len());
    assert!(
        recording.len() > 10_000 && recording.len() < 20_000_000,
        "it was behind: {} bytes",
        recording.len()
    );
}

#[test]
fn a_slow_viewer_skips_to_an_entry_point_and_every_gap_is_signalled() {
    let settings = [("SUBSCRIBER_SLOW_CLIENT_POLICY", "skip"), ("SUBSCRIBER_MAX_BLOCKED_WRITE", "0")];
    let (daemon, _upstream) = with_channel(40_000_000, &settings);
    let mut slow = daemon.open("/auto/v100");
    let mut recording = Vec::new();
    for round in 1..=2 {
        // It reads nothing until it has been moved forward.
        until(LONG, "the viewer has skipped", || {
            daemon.tuners()["tuners"][0]["slow_skip_events_total"].as_u64().filter(|events| *events >= round)
        });
        recording.extend_from_slice(&slow.watch(Duration::from_secs(2)));
    }
    let findings = judge(&recording);
    assert_eq!(findings.faults(), 0, "{findings:?}");
    let (gaps, bad) = gaps(&recording);
    assert!(gaps >= 2 && findings.signalled > 0, "{gaps} gaps, {findings:?}");
    assert_eq!(bad, 0, "of {gaps} gaps");
    let row = &daemon.tuners()["tuners"][0];
    assert_eq!((&row["stall_count"], &row["recovery_cycle"]), (&0.into(), &0.into()), "the source is well");
}

#[test]
fn who_pauses_and_goes_on_gets_what_was_sent_or_a_signalled_gap_in_every_way_out() {
    let upstream = Upstream::start();
    let pauses = [4, 10, 20].map(Duration::from_secs);
    std::thread::scope(|scope| {
        for way in ["sendfile", "send-zc", "never"] {
            // The ring goes round in less than two seconds; what lies in the sockets is older by as long as the pause.
            let settings = [
                ("ZERO_COPY", way),
                ("SUBSCRIBER_SLOW_CLIENT_POLICY", "skip"),
                ("SUBSCRIBER_MAX_BLOCKED_WRITE", "0"),
                ("SUBSCRIBER_JOIN_LAG_BYTES", "0"),
                ("BUFFER_CHUNK_BYTES", "1316"),
            ];
            let url = upstream.url(&format!("/good/12000000/{way}"));
            scope.spawn(move || {
                let mut daemon = Daemon::start(&settings);
                daemon.channel("100", &[url]);
                std::thread::scope(|scope| {
                    for pause in pauses {
                        let mut viewer = daemon.open("/auto/v100");
                        scope.spawn(move || {
                            let mut recording = viewer.watch(Duration::from_secs(1));
                            std::thread::park_timeout(pause);
                            recording.extend_from_slice(&viewer.watch(Duration::from_secs(2)));
                            let findings = judge(&recording);
                            assert_eq!(findings.faults(), 0, "{way}, {pause:?}: {findings:?}");
                            let (gaps, bad) = gaps(&recording);
                            assert_eq!(
                                (bad, gaps > findings.signalled),
                                (0, false),
                                "{way}, {pause:?}: {gaps}"
                            );
                            assert!(findings.tagged > 10_000, "{way}, {pause:?}: {findings:?}");
                        });
                    }
                });
            });
        }
    });
}

/// Gaps in the video, and those of them behind which it does not go on with a key frame.
fn gaps(recording: &[u8]) -> (u64, u64) {
    let (mut gaps, mut bad) = (0, 0);
    let mut last: Option<VideoTag> = None;
    for packet in recording.as_chunks::<PACKET_BYTES>().0 {
        let Some(tag) = VideoTag::read(packet) else { continue };
        if last.is_some_and(|last| tag.sequence != last.sequence + 1) {
            gaps += 1;
            let begins_a_unit = packet[1] & 0x40 != 0;
            let random_access = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x40 != 0;
            bad += u64::from(!begins_a_unit || !random_access);
        }
        last = Some(tag);
    }
    (gaps, bad)
}

/// Another host: a network namespace behind a cable.
struct OtherHost {
    name: String,
    cable: String,
}

impl OtherHost {
    const HERE: [u8; 4] = [10, 213, 77, 1];

    fn new() -> OtherHost {
        let name = format!("tunerd-test-{}", std::process::id());
        let cable = format!("tt{}", std::process::id() % 1_000_000);
        let host = OtherHost { name, cable };
        let (name, here, there) = (&host.name, &format!("{}a", host.cable), &format!("{}b", host.cable));
        ip(&["netns", "add", name]);
        ip(&["link", "add", here, "type", "veth", "peer", "name", there, "netns", name]);
        ip(&["address", "add", "10.213.77.1/30", "dev", here]);
        ip(&["link", "set", here, "up"]);
        ip(&["-n", name, "address", "add", "10.213.77.2/30", "dev", there]);
        ip(&["-n", name, "link", "set", there, "up"]);
        host
    }

    /// A connection from there to here.
    fn connect(&self, port: u16) -> TcpStream {
        let there = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let address = SocketAddr::from((Self::HERE, port));
        // The namespace is its thread's; the socket keeps it.
        let thread = std::thread::spawn(move || {
            setns(there, CloneFlags::CLONE_NEWNET).unwrap();
            TcpStream::connect_timeout(&address, LONG).unwrap()
        });
        thread.join().unwrap()
    }

    fn cut_the_cable(&self) {
        ip(&["-n", &self.name, "link", "set", &format!("{}b", self.cable), "down"]);
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        // The cable goes with its end; what is left of it when the test fails is named in the message.
        for arguments in [["link", "del", &format!("{}a", self.cable)], ["netns", "del", &self.name]] {
            let _left = Command::new("ip").args(arguments).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_viewer_behind_a_cut_cable_is_gone_within_ten_seconds_and_its_tuner_is_free() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tested: only root can lay a cable to cut");
        return;
    }
    for bitrate in [1_000_000, 20_000_000] {
        let upstream = Upstream::start();
        let host = OtherHost::new();
        let port = free_port();
        let settings = [("SESSION_IDLE_TIMEOUT", "0")];
        let mut daemon = Daemon::start_with(port, &settings, |command| {
            command.env("HTTP_ADDR", format!("0.0.0.0:{port}"));
        });
        daemon.channel("100", &[upstream.url(&format!("/good/{bitrate}/a"))]);
        let mut viewer = Viewer::ask(host.connect(port), "GET /auto/v100 HTTP/1.0\r\n\r\n");
        let findings = judge(&viewer.watch(Duration::from_secs(2)));
        assert!(findings.packets > 500 && findings.faults() == 0, "{findings:?}");
        host.cut_the_cable();
        let watch = Stopwatch::start();
        until(Duration::from_secs(15), "the viewer is gone", || {
            let tuners = daemon.tuners();
            let is_gone = tuners["client_streams"].as_array().unwrap().is_empty();
            is_gone.then(|| assert_eq!(tuners["in_use_count"], 0, "{tuners}"))
        });
        let elapsed = watch.elapsed();
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?} at {bitrate} bit/s");
    }
}
