//! Datagrams from outside: groups are joined and left, what is out of order is put in order, and what is missing is told.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use crate::kit::{
    Broadcast, Daemon, Fate, LONG, Manner, Process, Stopwatch, children_of, free_group, free_port, judge,
    plain_head, until,
};

const BITRATE: u64 = 8_000_000;
const IN_ORDER: Manner = Manner::Rtp { head: plain_head, network: |_| Fate::Comes };

/// The program; groups are on the loopback here.
fn daemon(settings: &[(&str, &str)]) -> Daemon {
    let interface = [("UPSTREAM_MULTICAST_INTERFACE", "127.0.0.1")];
    Daemon::start(&[&interface, settings].concat())
}

/// The row of the only tuner that is in use.
fn row(daemon: &Daemon) -> Value {
    daemon.tuners()["tuners"][0].clone()
}

/// A figure of it; what is not told is nothing.
fn figure(daemon: &Daemon, name: &str) -> u64 {
    row(daemon)[name].as_u64().unwrap_or(0)
}

/// True when this host is a member of the group.
fn is_member(group: SocketAddr) -> bool {
    let IpAddr::V4(group) = group.ip() else { panic!("{group} is none of IPv4") };
    let word = format!("{:08X}", u32::from_ne_bytes(group.octets()));
    fs::read_to_string("/proc/net/igmp").unwrap().lines().any(|line| line.trim_start().starts_with(&word))
}

/// Its log is written by the way: what it says is there soon.
fn says(daemon: &Daemon, text: &str) {
    until(LONG, text, || daemon.log().contains(text).then_some(()));
}

fn is_childless(process: Process) -> bool {
    children_of(process).is_empty()
}

/// A head with contributors and an extension.
fn long_head(sequence: u16) -> Vec<u8> {
    let mut head = plain_head(sequence);
    head[0] = 0x92;
    head[1] = 0x80 | 96;
    head.extend_from_slice(b"aaaabbbb\xBE\xDE\0\x01xxxx");
    head
}

#[test]
fn datagrams_of_every_form_are_read_without_a_process() {
    // A slate would be made by a process.
    let filler = ("RECOVERY_FILLER_MODE", "psi");
    let mut daemon = daemon(&[("TUNER_COUNT", "1"), ("SESSION_IDLE_TIMEOUT", "100ms"), filler]);
    let host = |ip: [u8; 4]| SocketAddr::from((ip, free_port()));
    let group = || SocketAddr::from((free_group(), 20_801));
    let long = Manner::Rtp { head: long_head, network: |_| Fate::Comes };
    let (any, own) = (host([127, 0, 0, 1]), host([127, 0, 0, 1]));
    for (number, (name, to, manner, url)) in (100..).zip([
        ("bare", group(), Manner::Bare, "udp://@{}"),
        ("cut anywhere", group(), Manner::Cut, "udp://{}?pkt_size=1472"),
        ("RTP", group(), IN_ORDER, "rtp://@{}"),
        ("RTP that is called UDP", group(), long, "udp://{}"),
        ("bare that is called RTP", group(), Manner::Bare, "rtp://{}/?iface=lo"),
        ("of one sender", group(), IN_ORDER, "rtp://127.0.0.1@{}?localaddr=127.0.0.1"),
        ("to this host", own, Manner::Bare, "udp://{}"),
        ("to this host, whichever address", any, IN_ORDER, "udp://@:{port}"),
    ]) {
        let url = url.replace("{}", &to.to_string()).replace("{port}", &to.port().to_string());
        let broadcast = Broadcast::start(to, BITRATE / 2, manner);
        daemon.channel(&number.to_string(), std::slice::from_ref(&url));
        let mut viewer = daemon.open(&format!("/auto/v{number}"));
        let findings = judge(&viewer.watch(Duration::from_millis(1500)));
        assert!(findings.packets > 2000 && findings.faults() == 0, "{name}: {findings:?}");
        assert_eq!(findings.signalled, 0, "{name}: {findings:?}");
        assert!(is_childless(daemon.process()), "{name}: {}", daemon.log());
        assert!(figure(&daemon, "source_datagrams") > 300, "{name}: {}", row(&daemon));
        assert_eq!(figure(&daemon, "source_datagrams_lost"), 0, "{name}: {}", row(&daemon));
        assert_eq!(row(&daemon)["producer"].as_str().unwrap().split(':').next(), Some("direct"), "{name}");
        drop((viewer, broadcast));
        until(LONG, "the tuner is free", || (daemon.tuners_in_use() == 0).then_some(()));
    }
}

#[test]
fn packets_out_of_order_are_put_in_order_and_repeated_ones_left_out() {
    // One in a hundred comes behind 1 to 20 later ones, and one in a hundred comes twice.
    let network = |number| match number % 100 {
        0 => Fate::ComesLater(1 + number / 100 % 20),
        50 => Fate::ComesTwice,
        _ => Fate::Comes,
    };
    let broadcast = Broadcast::to_group(BITRATE, Manner::Rtp { head: plain_head, network });
    let mut daemon = daemon(&[]);
    daemon.channel("100", &[format!("rtp://@{}", broadcast.address)]);
    let mut viewer = daemon.open("/auto/v100");
    let findings = judge(&viewer.watch(Duration::from_secs(4)));
    assert!(findings.tagged > 10_000 && findings.faults() == 0, "{findings:?}");
    assert_eq!(findings.signalled, 0, "nothing is missing: {findings:?}");
    let row = row(&daemon);
    let figure = |name: &str| row[name].as_u64().unwrap_or(0);
    assert!(figure("source_datagrams_reordered") >= 20, "{row}");
    assert!(figure("source_datagrams_duplicate") >= 20, "{row}");
    assert_eq!((figure("source_datagrams_lost"), figure("source_datagrams_late")), (0, 0), "{row}");
}

#[test]
fn packets_that_are_lost_are_signalled_and_counted() {
    let network = |number| if number % 1000 == 0 { Fate::IsLost } else { Fate::Comes };
    let broadcast = Broadcast::to_group(BITRATE, Manner::Rtp { head: plain_head, network });
    let mut daemon = daemon(&[]);
    daemon.channel("100", &[format!("rtp://@{}", broadcast.address)]);
    let mut viewer = daemon.open("/auto/v100");
    let before = broadcast.lost();
    let findings = judge(&viewer.watch(Duration::from_secs(5)));
    // What was lost before the viewer's first packet it does not see.
    let lost = broadcast.lost() - before;
    assert!(lost >= 3, "{lost}");
    assert_eq!(findings.faults(), 0, "every gap is signalled: {findings:?}");
    assert!((1..=3 * lost + 6).contains(&findings.signalled), "{lost} lost: {findings:?}");
    let counted = until(LONG, "the last one is given up", || {
        Some(figure(&daemon, "source_datagrams_lost")).filter(|counted| *counted >= lost)
    });
    assert!(counted <= broadcast.lost() && figure(&daemon, "source_datagrams_late") == 0, "{}", row(&daemon));
}

#[test]
fn what_is_no_transport_stream_says_so() {
    let broadcast = Broadcast::to_group(BITRATE, Manner::Foreign(96));
    let mut daemon = daemon(&[]);
    daemon.channel("100", &[format!("rtp://@{}", broadcast.address)]);
    let watch = Stopwatch::start();
    assert_eq!(daemon.get("/auto/v100").status, 503);
    assert!(watch.elapsed() < Duration::from_secs(5), "at once, and not when time is up");
    let text = "RTP of payload type 96 holds no MPEG-TS: its payload begins with 7c 85 b8 00";
    says(&daemon, text);
    assert!(is_childless(daemon.process()));
}

#[test]
fn who_switches_leaves_the_group() {
    let broadcasts = [(); 2].map(|()| Broadcast::to_group(BITRATE / 4, Manner::Bare));
    let mut daemon = daemon(&[("TUNER_COUNT", "1"), ("SESSION_IDLE_TIMEOUT", "100ms")]);
    for (number, broadcast) in (100..).zip(&broadcasts) {
        daemon.channel(&number.to_string(), &[format!("udp://@{}", broadcast.address)]);
    }
    for round in 0..4 {
        let (here, there) = (round % 2, 1 - round % 2);
        let mut viewer = daemon.open(&format!("/auto/v{}", 100 + here));
        assert_eq!(judge(&viewer.watch(Duration::from_millis(500))).faults(), 0);
        assert!(is_member(broadcasts[here].address), "round {round}");
        assert!(!is_member(broadcasts[there].address), "round {round}");
        drop(viewer);
    }
    until(LONG, "all groups are left", || {
        broadcasts.iter().all(|broadcast| !is_member(broadcast.address)).then_some(())
    });
}

#[test]
fn a_group_to_which_nobody_sends_has_its_time_and_the_next_source_is_taken() {
    let broadcast = Broadcast::to_group(BITRATE / 4, Manner::Bare);
    let mut daemon =
        daemon(&[("STARTUP_TIMEOUT", "1s"), ("UPSTREAM_CONNECT_TIMEOUT", "1s"), ("STALL_DETECT", "1s")]);
    let silent = SocketAddr::from((free_group(), 20_802));
    let sources = [silent, broadcast.address].map(|address| format!("udp://@{address}"));
    daemon.channel("100", &sources);
    let mut viewer = daemon.open("/auto/v100");
    assert_eq!(judge(&viewer.watch(Duration::from_millis(500))).faults(), 0);
    says(&daemon, "startup timeout waiting for source bytes");
    assert!(!is_member(silent), "what did not come is left");
    // And when it falls silent, that is a stall as any other.
    broadcast.stop();
    until(LONG, "the stall is noticed", || {
        let _filler = viewer.watch(Duration::from_millis(200));
        (figure(&daemon, "stall_count") > 0).then_some(())
    });
    assert_eq!(row(&daemon)["recovery_reason"].as_str(), Some("stall"), "{}", row(&daemon));
}

#[test]
fn what_cannot_be_joined_says_why() {
    let mut daemon = daemon(&[]);
    for (number, (url, text)) in (100..).zip([
        (
            "udp://@239.1.2.3:20803?iface=nowhere7",
            "receive datagrams to 239.1.2.3:20803: this host has no interface \"nowhere7\"",
        ),
        ("udp://@239.1.2.3", "\"239.1.2.3\" has no port: what is received has the form group:port"),
        ("rtp://tv@232.1.2.3:20803", "the sender \"tv\" is no address of a host"),
    ]) {
        daemon.channel(&number.to_string(), &[url.to_owned()]);
        assert_eq!(daemon.get(&format!("/auto/v{number}")).status, 503, "{url}");
        // As the log writes a text in which something is quoted.
        says(&daemon, &text.replace('"', "\\\""));
    }
}

#[test]
fn fifty_megabits_are_received_as_fast_as_they_come() {
    let broadcast = Broadcast::to_group(50_000_000, IN_ORDER);
    let mut daemon = daemon(&[]);
    daemon.channel("100", &[format!("rtp://@{}", broadcast.address)]);
    let mut viewer = daemon.open("/auto/v100");
    let findings = judge(&viewer.watch(Duration::from_secs(2)));
    assert!(findings.packets > 30_000 && findings.faults() == 0, "{findings:?}");
    let row = row(&daemon);
    let figure = |name: &str| row[name].as_u64().unwrap_or(0);
    let (lost, dropped) = (figure("source_datagrams_lost"), figure("source_datagrams_dropped"));
    assert_eq!(lost, dropped, "what is lost found the kernel's queue full: {row}");
    // Whoever may not enlarge the queue loses what this sender catches up with when it is late itself.
    let queue_max = fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap().trim().parse::<u64>().unwrap();
    if queue_max >= 4 << 20 || nix::unistd::geteuid().is_root() {
        assert_eq!((lost, findings.signalled), (0, 0), "{row} {findings:?}");
    }
}

#[test]
fn several_channels_receive_one_port() {
    // Groups of one port, as providers have them: each channel gets its own.
    let port = free_port();
    let groups = [(); 3].map(|()| SocketAddr::from((free_group(), port)));
    let _broadcasts = groups.map(|group| Broadcast::start(group, BITRATE / 4, Manner::Bare));
    let mut daemon = daemon(&[("TUNER_COUNT", "3")]);
    let mut viewers = Vec::new();
    for (number, group) in (100..).zip(groups) {
        daemon.channel(&number.to_string(), &[format!("udp://@{group}")]);
        viewers.push(daemon.open(&format!("/auto/v{number}")));
    }
    for mut viewer in viewers {
        let findings = judge(&viewer.watch(Duration::from_millis(700)));
        assert!(findings.packets > 500 && findings.faults() == 0, "{findings:?}");
    }
}
