//! How clients of UPnP find the program, and what it tells them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kit::{Answer, Daemon, LONG, Network, Stopwatch, Upstream, exchange, free_port, judge, until};

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

/// So many messages, and whatever comes right behind them.
fn answers(socket: &UdpSocket, count: usize) -> Vec<(SocketAddr, String)> {
    let (watch, mut found) = (Stopwatch::start(), Vec::new());
    while found.len() < count && watch.left_of(LONG).is_some() {
        found.extend(received(socket, Duration::from_millis(20)));
    }
    found.extend(received(socket, Duration::from_millis(100)));
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
                let answers = answers(&socket, TARGETS);
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
            let answers = answers(&socket, 1);
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
            let answers = answers(&socket, 1);
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
        assert_eq!(answers(&asker, 1).len(), 1);
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

/// An action of the content directory or of the connection manager, as a control point asks for it.
fn act(daemon: &Daemon, path: &str, service: &str, action: &str, arguments: &str) -> Answer {
    let kind = format!("urn:schemas-upnp-org:service:{service}:1");
    let body = format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
         <u:{action} xmlns:u=\"{kind}\">{arguments}</u:{action}></s:Body></s:Envelope>"
    );
    post(daemon, path, &format!("SOAPACTION: \"{kind}#{action}\"\r\n"), &body)
}

fn post(daemon: &Daemon, path: &str, fields: &str, body: &str) -> Answer {
    let (port, length) = (daemon.port(), body.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n"
    );
    exchange(port, format!("{head}{body}").as_bytes()).unwrap()
}

/// What stands in the first element of a name.
fn inside(text: &str, name: &str) -> String {
    let (_, rest) = text.split_once(&format!("<{name}")).unwrap_or_else(|| panic!("no {name}: {text}"));
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

#[test]
fn a_control_point_finds_its_way_from_the_description_to_a_stream() {
    let upstream = Upstream::start();
    let mut daemon = Daemon::start(&[]);
    daemon.channel("100", &[upstream.url("/good/4000000/a")]);
    let description = text(&daemon.get("/upnp/device.xml"));
    let (_, directory) = description.split_once("serviceId:ContentDirectory</serviceId>").unwrap();
    let service = text(&daemon.get(&inside(directory, "SCPDURL")));
    assert!(service.contains("<name>Browse</name>"), "{service}");
    let control = inside(directory, "controlURL");
    let browse = |id: &str| {
        let arguments = format!(
            "<ObjectID>{id}</ObjectID><BrowseFlag>BrowseDirectChildren</BrowseFlag><Filter>*</Filter>\
             <StartingIndex>0</StartingIndex><RequestedCount>10</RequestedCount><SortCriteria></SortCriteria>"
        );
        let answer = act(&daemon, &control, "ContentDirectory", "Browse", &arguments);
        assert_eq!(answer.status, 200, "{}", text(&answer));
        inside(&text(&answer), "Result").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
    };
    assert!(browse("0").contains("<container id=\"channels\""));
    let url = inside(&browse("channels"), "res");
    let base = format!("http://127.0.0.1:{}", daemon.port());
    let mut viewer = daemon.open(url.strip_prefix(&base).unwrap());
    assert_eq!(judge(&viewer.watch(Duration::from_millis(500))).faults(), 0);
    let info = act(&daemon, "/upnp/control/connection-manager", "ConnectionManager", "GetProtocolInfo", "");
    assert_eq!(inside(&text(&info), "Source"), "http-get:*:video/mpeg:*");
}

#[test]
fn hostile_bodies_are_refused_and_change_nothing() {
    let daemon = Daemon::start(&[]);
    let path = "/upnp/control/content-directory";
    let bomb = "<!DOCTYPE a [<!ENTITY b \"xxxxxxxxxx\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><a>&c;</a>";
    let deep = "<a>".repeat(20_000);
    let many = format!("<Envelope><Body><a>{}</a></Body></Envelope>", "<b/>".repeat(10_000));
    for (body, status) in [
        (bomb, 500),
        (deep.as_str(), 500),
        (many.as_str(), 500),
        ("", 500),
        ("\u{0}", 500),
        (&"x".repeat(64 * 1024), 500),
        (&"x".repeat(64 * 1024 + 1), 413),
    ] {
        let answer = post(&daemon, path, "", body);
        assert_eq!(answer.status, status, "{}: {}", &body[..body.len().min(40)], text(&answer));
        assert!(status != 500 || text(&answer).contains("<errorCode>402</errorCode>"), "{}", text(&answer));
    }
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n{}",
        "x".repeat(0x20000)
    );
    assert_eq!(exchange(daemon.port(), chunked.as_bytes()).unwrap().status, 413);
    assert_eq!(daemon.get("/healthz").status, 200);
    assert!(!daemon.log().contains("panic"));
}
