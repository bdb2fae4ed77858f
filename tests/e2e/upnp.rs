//! How clients of UPnP find the program, and what it tells them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kit::{Daemon, LONG, Network, Stopwatch, free_port, until};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const PORT: u16 = 1900;
const TARGETS: usize = 7;

/// The program on its network's own host.
fn on(network: &Network, settings: &[(&str, &str)]) -> Daemon {
    network.at_home(|| {
        let port = free_port();
        let mut settings = settings.to_vec();
        settings.insert(0, ("UPNP_ENABLED", "true"));
        settings.push(("DEVICE_ID", "1234ABC2"));
        Daemon::start_with(port, &settings, |command| {
            command.env("HTTP_ADDR", format!(":{port}"));
        })
    })
}

fn search(target: &str, patience: &str) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}:{PORT}\r\nMAN: \"ssdp:discover\"\r\n{patience}ST: {target}\r\n\r\n"
    )
}

/// Everything that comes within a time, as text, with who sent it.
fn received(socket: &UdpSocket, time: Duration) -> Vec<(SocketAddr, String)> {
    let (watch, mut found) = (Stopwatch::start(), Vec::new());
    let mut buffer = [0; 4096];
    while let Some(left) = watch.left_of(time) {
        socket.set_read_timeout(Some(left)).unwrap();
        if let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
            found.push((from, String::from_utf8_lossy(&buffer[..bytes]).into_owned()));
        }
    }
    found
}

fn field<'a>(message: &'a str, name: &str) -> &'a str {
    let lines = message.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(known, _)| *known == name).map(|(_, value)| value).next().unwrap_or_default()
}

/// A member of the group on the only cable of a host.
fn listener(own: &str) -> UdpSocket {
    let socket = UdpSocket::bind((GROUP, PORT)).unwrap();
    socket.join_multicast_v4(&GROUP, &own.parse().unwrap()).unwrap();
    socket
}

fn asker() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap()
}

#[test]
fn a_search_is_answered_within_its_time_and_leads_to_the_description() {
    let Some(network) = Network::with_others(2) else { return };
    let daemon = on(&network, &[]);
    for other in 0..2 {
        let address = network.address(other);
        let location = format!("http://{address}:{}/upnp/device.xml", daemon.port());
        network.at(other, || {
            let socket = asker();
            for (to, patience) in [(IpAddr::V4(GROUP), "MX: 1\r\n"), (address.parse().unwrap(), "")] {
                socket.send_to(search("ssdp:all", patience).as_bytes(), (to, PORT)).unwrap();
                let answers = received(&socket, Duration::from_millis(1500));
                assert_eq!(answers.len(), TARGETS, "{to}: {answers:?}");
                for (from, answer) in &answers {
                    assert_eq!(from.to_string(), format!("{address}:{PORT}"), "{answer}");
                    assert!(
                        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"),
                        "{answer}"
                    );
                    assert_eq!(
                        (field(answer, "LOCATION"), field(answer, "CACHE-CONTROL")),
                        (location.as_str(), "max-age=1800")
                    );
                }
            }
            let wanted = "urn:schemas-upnp-org:device:MediaServer:1";
            socket.send_to(search(wanted, "MX: 0\r\n").as_bytes(), (GROUP, PORT)).unwrap();
            let answers = received(&socket, Duration::from_millis(500));
            assert_eq!((answers.len(), field(&answers[0].1, "ST")), (1, wanted));
            let unwanted = "urn:schemas-upnp-org:device:MediaRenderer:1";
            socket.send_to(search(unwanted, "MX: 0\r\n").as_bytes(), (GROUP, PORT)).unwrap();
            assert_eq!(received(&socket, Duration::from_millis(300)), []);
        });
        let (is_well, description) = network.run(other, 10, "curl", &["-sS", &location]);
        assert!(is_well && description.contains("<serialNumber>1234ABC2</serialNumber>"), "{description}");
    }
}

#[test]
fn the_network_is_told_at_the_start_again_and_again_and_at_the_end() {
    let Some(network) = Network::with_others(1) else { return };
    let told = |socket: &UdpSocket, kind: &str, count: usize| {
        let watch = Stopwatch::start();
        let mut targets = Vec::new();
        while targets.len() < count {
            let left = watch.left_of(LONG).unwrap_or_else(|| panic!("{kind}: {targets:?}"));
            for (_, message) in received(socket, left.min(Duration::from_millis(100))) {
                if field(&message, "NTS") == kind {
                    assert!(
                        message.starts_with("NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"),
                        "{message}"
                    );
                    targets.push(field(&message, "NT").to_owned());
                }
            }
        }
        targets.sort();
        targets.dedup();
        targets.len()
    };
    network.at(0, || {
        let listener = listener("10.213.80.2");
        let mut daemon = on(&network, &[("UPNP_NOTIFY_INTERVAL", "500ms")]);
        // At once, again after a second, and then in the interval.
        assert_eq!(told(&listener, "ssdp:alive", 3 * TARGETS), TARGETS);
        network.at_home(|| daemon.signal(Signal::SIGTERM));
        assert_eq!(told(&listener, "ssdp:byebye", TARGETS), TARGETS);
        assert!(daemon.ended(LONG).success());
        let after = received(&listener, Duration::from_millis(700));
        assert!(after.iter().all(|(_, message)| field(message, "NTS") == "ssdp:byebye"), "{after:?}");
    });
}

#[test]
fn ipv6_searches_are_answered_on_the_link_and_on_the_site() {
    let Some(network) = Network::with_others(1) else { return };
    let daemon = on(&network, &[]);
    network.at(0, || {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        let interface = nix::net::if_::if_nametoindex("eth0").unwrap();
        // A sender's address reaches as far as the group that it speaks to.
        for (group, host) in [("ff02::c", "[fe80::1]"), ("ff05::c", "[fd00::1]")] {
            let to = std::net::SocketAddrV6::new(group.parse().unwrap(), PORT, 0, interface);
            socket.send_to(search("upnp:rootdevice", "MX: 0\r\n").as_bytes(), to).unwrap();
            let answers = received(&socket, Duration::from_millis(500));
            assert_eq!(answers.len(), 1, "{group}: {answers:?}");
            let location = format!("http://{host}:{}/upnp/device.xml", daemon.port());
            assert_eq!(field(&answers[0].1, "LOCATION"), location);
        }
    });
}

#[test]
fn a_flood_of_searches_is_answered_in_part_and_garbage_not_at_all() {
    let Some(network) = Network::with_others(1) else { return };
    let _daemon = on(&network, &[]);
    let to: SocketAddr = format!("{}:{PORT}", network.address(0)).parse().unwrap();
    network.at(0, || {
        let socket = asker();
        for garbage in [
            "",
            "\r\n\r\n",
            "M-SEARCH * HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nST: ssdp:all\r\n\r\n",
            &"x".repeat(9000),
        ] {
            socket.send_to(garbage.as_bytes(), to).unwrap();
        }
        assert_eq!(received(&socket, Duration::from_millis(300)), []);
        for _ in 0..200 {
            socket.send_to(search("upnp:rootdevice", "").as_bytes(), to).unwrap();
        }
        let answers = received(&socket, Duration::from_millis(700)).len();
        assert!((1..=40).contains(&answers), "{answers} answers");
    });
}

#[test]
fn what_is_switched_off_or_told_to_be_quiet_says_nothing() {
    let Some(network) = Network::with_others(1) else { return };
    network.at(0, || {
        let listener = listener("10.213.80.2");
        let quiet = on(&network, &[("UPNP_NOTIFY_INTERVAL", "0")]);
        let asker = asker();
        asker.send_to(search("upnp:rootdevice", "MX: 0\r\n").as_bytes(), (GROUP, PORT)).unwrap();
        assert_eq!(received(&asker, Duration::from_millis(400)).len(), 1);
        drop(quiet);
        let _off = on(&network, &[("UPNP_ENABLED", "false")]);
        asker.send_to(search("upnp:rootdevice", "MX: 0\r\n").as_bytes(), (GROUP, PORT)).unwrap();
        assert_eq!(received(&asker, Duration::from_millis(400)), []);
        let heard = received(&listener, Duration::from_millis(100));
        assert!(heard.iter().all(|(_, message)| message.starts_with("M-SEARCH")), "{heard:?}");
    });
}

#[test]
fn a_port_that_others_have_too_is_shared_and_one_that_they_keep_is_told_of() {
    let kept = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = kept.local_addr().unwrap().to_string();
    let daemon = Daemon::start(&[("UPNP_ENABLED", "true"), ("UPNP_ADDR", &address)]);
    let line = "UPnP discovery is off: UDP port ";
    until(LONG, "it is told", || daemon.log().contains(line).then_some(()));
    assert_eq!(daemon.log().matches(line).count(), 1);
    assert_eq!(daemon.get("/device.xml").status, 200);
    drop((kept, daemon));
    let settings = [("UPNP_ENABLED", "true"), ("UPNP_ADDR", address.as_str())];
    let both = [Daemon::start(&settings), Daemon::start(&settings)];
    assert!(both.iter().all(|daemon| !daemon.log().contains(line)));
}
