//! How others on the network find the program: HDHomeRun's own discovery, asked by the vendor's tool and by hand.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::kit::{Daemon, LONG, Network, Upstream, free_port, until};

/// As libhdhomerun asks for all tuners.
const ASKS_FOR_TUNERS: [u8; 20] = [
    0x00, 0x02, 0x00, 0x0C, 0x01, 0x04, 0x00, 0x00, 0x00, 0x01, 0x02, 0x04, 0xFF, 0xFF, 0xFF, 0xFF, 0x4E,
    0x50, 0x7F, 0x35,
];
const PORT: u16 = 65001;
const QUIET: Duration = Duration::from_millis(300);

/// The program on its network's own host. `addresses` is where HTTP listens, without the port.
fn on(network: &Network, addresses: &str, settings: &[(&str, &str)]) -> Daemon {
    network.at_home(|| {
        let port = free_port();
        let mut settings = settings.to_vec();
        settings.extend([("HDHR_DISCOVERY_ENABLED", "true"), ("DEVICE_ID", "1234ABC2")]);
        Daemon::start_with(port, &settings, |command| {
            command.env("HTTP_ADDR", format!("{addresses}:{port}"));
        })
    })
}

fn asker() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

/// Who answers first, and what the answer says as text.
fn ask(socket: &UdpSocket, to: SocketAddr) -> (SocketAddr, String) {
    socket.send_to(&ASKS_FOR_TUNERS, to).unwrap();
    let mut buffer = [0; 1500];
    let (bytes, from) = socket.recv_from(&mut buffer).unwrap();
    (from, String::from_utf8_lossy(&buffer[..bytes]).into_owned())
}

#[test]
fn the_vendors_tool_finds_the_tuner_by_broadcast_and_by_its_address() {
    let Some(network) = Network::with_others(1) else { return };
    let _daemon = on(&network, "", &[]);
    let address = network.address(0);
    let (is_well, found) = network.run(0, 10, "hdhomerun_config", &["discover"]);
    // Later versions of it may show an address of IPv6.
    assert!(is_well && found.starts_with("hdhomerun device 1234ABC2 found at "), "{found}");
    let (is_well, found) = network.run(0, 10, "hdhomerun_config", &["discover", &address]);
    assert_eq!((is_well, found), (true, format!("hdhomerun device 1234ABC2 found at {address}\n")));
    // Nobody but the one with the id answers, and only a right check digit is looked for at all.
    let other = format!("{:08X}", tunerd::config::generate_device_id(0x0234_ABD0));
    let (_, other) = network.run(0, 10, "hdhomerun_config", &[&other, "get", "/sys/model"]);
    assert_eq!(other, "unable to connect to device\n");
    let (_, wrong) = network.run(0, 10, "hdhomerun_config", &["1234ABC3", "get", "/sys/model"]);
    assert!(wrong.starts_with("invalid device id"), "{wrong}");
}

#[test]
fn the_vendors_tool_is_told_what_it_asks_of_a_tuner_and_sets_nothing() {
    let Some(network) = Network::with_others(1) else { return };
    let upstream = network.at_home(Upstream::start);
    let mut daemon = on(&network, "", &[("TUNER_COUNT", "2")]);
    let get = |name: &str| network.run(0, 10, "hdhomerun_config", &["1234ABC2", "get", name]);
    let (is_well, help) = get("help");
    assert!(is_well && help.starts_with("Supported configuration options:\n"), "{help}");
    assert!(help.contains("/tuner<n>/status"), "{help}");
    let idle = "ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0";
    for (name, value) in [
        ("/sys/model", "hdhomerun_dvr_atsc3"),
        ("/sys/hwmodel", "HDFX-4K"),
        ("/sys/version", "20250815"),
        ("/lineup/location", "disabled"),
        ("/tuner0/status", idle),
        ("/tuner1/status", idle),
        ("/tuner1/channel", "none"),
    ] {
        assert_eq!(get(name), (true, format!("{value}\n")), "{name}");
    }
    for name in ["/tuner2/status", "/sys/nothing"] {
        assert_eq!(get(name).1, "ERROR: unknown getset variable\n", "{name}");
    }
    let set = ["1234ABC2", "set", "/tuner0/channel", "auto:5"];
    let (is_well, said) = network.run(0, 10, "hdhomerun_config", &set);
    assert_eq!((is_well, said.as_str()), (false, "ERROR: getset variable is read-only\n"));
    network.at_home(|| {
        daemon.channel("100", &[upstream.url("/good/4000000/a")]);
        let mut viewer = daemon.open("/auto/v100");
        assert!(!viewer.watch(Duration::from_millis(500)).is_empty());
        let (_, watched) = get("/tuner0/status");
        assert!(watched.starts_with("ch=auto:100 lock=8vsb ss=100 snq=100 seq=100 bps="), "{watched}");
        assert_eq!(get("/tuner0/vchannel").1, "100\n");
    });
}

#[test]
fn tools_that_only_hold_connections_keep_nobody_else_out_for_long_and_cost_nothing() {
    let Some(network) = Network::with_others(1) else { return };
    let daemon = on(&network, "", &[]);
    let address = network.address(0);
    let before = daemon.process().resident_kib();
    network.at(0, || {
        let connect = || TcpStream::connect(format!("{address}:{PORT}")).unwrap();
        // What is no packet, or too long for one, ends a connection.
        for bytes in [&[0, 4, 0xFF, 0xFF][..], &[0, 4, 0, 0, 1, 2, 3, 4], &[0, 6, 0, 0]] {
            let mut client = connect();
            client.set_read_timeout(Some(LONG)).unwrap();
            client.write_all(bytes).unwrap();
            if bytes[1] == 6 {
                client.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0, "{bytes:?}");
        }
        let mut held: Vec<_> = (0..64).map(|_| connect()).collect();
        // Those beyond the bound are closed at once.
        for client in &mut held[40..] {
            client.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0);
        }
    });
    let grown = daemon.process().resident_kib().saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB");
    let version = || network.run(0, 10, "hdhomerun_config", &["1234ABC2", "get", "/sys/version"]);
    until(LONG, "there is a place again", || (version() == (true, "20250815\n".to_owned())).then_some(()));
    assert_eq!(network.at_home(|| daemon.get("/healthz").status), 200);
}

#[test]
fn whoever_asks_is_told_the_address_it_can_reach_on_each_of_several_networks() {
    let Some(network) = Network::with_others(2) else { return };
    let daemon = on(&network, "", &[]);
    for other in 0..2 {
        let address = network.address(other);
        network.at(other, || {
            for to in [
                format!("{address}:{PORT}"),
                format!("255.255.255.255:{PORT}"),
                format!("10.213.{}.255:{PORT}", other + 80),
            ] {
                let (from, answer) = ask(&asker(), to.parse().unwrap());
                assert_eq!(from.to_string(), format!("{address}:{PORT}"), "asked at {to}");
                let base = format!("http://{address}:{}", daemon.port());
                assert!(answer.contains(&format!("{base}/lineup.json")), "asked at {to}: {answer:?}");
            }
        });
    }
}

#[test]
fn ipv6_is_answered_by_group_and_by_address() {
    let Some(network) = Network::with_others(1) else { return };
    let daemon = on(&network, "", &[]);
    network.at(0, || {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let interface = nix::net::if_::if_nametoindex("eth0").unwrap();
        let group = std::net::SocketAddrV6::new("ff02::176".parse().unwrap(), PORT, 0, interface);
        let (from, answer) = ask(&socket, group.into());
        assert!(from.ip().to_string().starts_with("fe80:"), "{from}");
        assert!(answer.contains(&format!("http://[fe80::1]:{}", daemon.port())), "{answer:?}");
        let (_, answer) = ask(&socket, format!("[fd00:0::1]:{PORT}").parse().unwrap());
        assert!(answer.contains(&format!("http://[fd00::1]:{}", daemon.port())), "{answer:?}");
    });
}

#[test]
fn garbage_is_not_answered_floods_are_bounded_and_both_are_lived_through() {
    let Some(network) = Network::with_others(1) else { return };
    let _daemon = on(&network, "", &[]);
    let to: SocketAddr = format!("{}:{PORT}", network.address(0)).parse().unwrap();
    network.at(0, || {
        let socket = asker();
        socket.set_read_timeout(Some(QUIET)).unwrap();
        let mut buffer = [0; 1500];
        for length in 0..ASKS_FOR_TUNERS.len() {
            socket.send_to(&ASKS_FOR_TUNERS[..length], to).unwrap();
        }
        for place in 0..ASKS_FOR_TUNERS.len() {
            let mut wrong = ASKS_FOR_TUNERS;
            wrong[place] ^= 0xFF;
            socket.send_to(&wrong, to).unwrap();
        }
        socket.send_to(&[0xFF; 1400], to).unwrap();
        assert!(socket.recv_from(&mut buffer).is_err(), "nothing of that is a question");
        for _ in 0..200 {
            socket.send_to(&ASKS_FOR_TUNERS, to).unwrap();
        }
        let answers = std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).count();
        assert!((1..=30).contains(&answers), "{answers} answers");
    });
}

#[test]
fn what_listens_on_this_host_alone_is_not_announced_to_others() {
    let Some(network) = Network::with_others(1) else { return };
    let daemon = on(&network, "127.0.0.1", &[]);
    let to: SocketAddr = format!("{}:{PORT}", network.address(0)).parse().unwrap();
    network.at(0, || {
        let socket = asker();
        socket.set_read_timeout(Some(QUIET)).unwrap();
        socket.send_to(&ASKS_FOR_TUNERS, to).unwrap();
        assert!(socket.recv_from(&mut [0; 1500]).is_err());
    });
    network.at_home(|| {
        let (_, answer) = ask(&asker(), SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        assert!(answer.contains(&format!("http://127.0.0.1:{}", daemon.port())), "{answer:?}");
    });
}

#[test]
fn a_port_that_is_taken_is_told_in_one_line_and_everything_else_works() {
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = [("HDHR_DISCOVERY_ENABLED", "true"), ("HDHR_DISCOVERY_ADDR", &address)];
    let daemon = Daemon::start(&settings);
    let line = "HDHomeRun discovery is off: UDP port ";
    until(LONG, "it is told", || daemon.log().contains(line).then_some(()));
    let log = daemon.log();
    assert_eq!(log.matches(line).count(), 1);
    assert!(log.contains("in use (os error 98); another program answers there"), "{log}");
    assert_eq!(daemon.get("/discover.json").status, 200);
}

#[test]
fn discovery_can_be_switched_off_or_kept_to_one_address() {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let text = free.to_string();
    let daemon = Daemon::start(&[("HDHR_DISCOVERY_ENABLED", "true"), ("HDHR_DISCOVERY_ADDR", &text)]);
    let (from, answer) = ask(&asker(), free);
    assert_eq!(from, free);
    assert!(answer.contains(&format!("http://127.0.0.1:{}", daemon.port())), "{answer:?}");
    drop(daemon);
    let daemon = Daemon::start(&[("HDHR_DISCOVERY_ENABLED", "false"), ("HDHR_DISCOVERY_ADDR", &text)]);
    assert!(UdpSocket::bind(free).is_ok(), "nobody listens there");
    assert!(!daemon.log().contains("HDHomeRun discovery"));
}
