//! Addresses of datagrams, as players and lists write them: `udp://@239.1.1.1:1234`, `rtp://10.0.0.1@232.1.1.1:5004?iface=eth1`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::source::error::{Kind, SourceError};

/// The most senders that are named for one group.
const SENDERS_MAX: usize = 16;

/// Under these names players give the interface, by its name or by one of its addresses.
const INTERFACE_OPTIONS: [&str; 5] = ["iface", "interface", "ifname", "localaddr", "multicast-iface"];
/// And under these the senders.
const SENDER_OPTIONS: [&str; 2] = ["sources", "source"];

/// What is to be received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatagramAddress {
    /// The group, an address of this host, or none in particular; and the port.
    pub to: SocketAddr,
    /// From these senders, or from everybody when there are none.
    pub from: Vec<IpAddr>,
    /// The interface by which a group is joined: a name, or an address of it.
    pub interface: Option<String>,
}

impl DatagramAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none; the text names the part that is wrong, and what may stand there.
    pub fn parse(url: &str) -> Result<Self, SourceError> {
        let url = url.trim();
        let rest = url.split_once(':').map_or(url, |(_scheme, rest)| rest).trim_start_matches('/');
        let rest = rest.split('#').next().unwrap_or_default();
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (sender, place) =
            place.trim_end_matches('/').rsplit_once('@').unwrap_or(("", place.trim_end_matches('/')));
        let to = destination(place)?;
        let mut address = Self { to, from: Vec::new(), interface: None };
        if !sender.is_empty() {
            address.from.push(sender_of(sender)?);
        }
        for (name, value) in options(query) {
            if value.is_empty() {
                continue;
            }
            if INTERFACE_OPTIONS.contains(&name.as_str()) {
                address.interface = Some(value);
            } else if SENDER_OPTIONS.contains(&name.as_str()) {
                for sender in value.split(',').filter(|sender| !sender.is_empty()) {
                    address.from.push(sender_of(sender)?);
                }
            }
        }
        address.check()
    }

    fn check(mut self) -> Result<Self, SourceError> {
        self.from.dedup();
        if self.from.len() > SENDERS_MAX {
            return Err(unusable(&format!(
                "{} senders are named, and {SENDERS_MAX} may be",
                self.from.len()
            )));
        }
        if let Some(other) = self.from.iter().find(|sender| sender.is_ipv4() != self.to.is_ipv4()) {
            return Err(unusable(&format!("the sender {other} and {} are not of one kind", self.to.ip())));
        }
        if !self.is_group() && self.from.len() > 1 {
            return Err(unusable("only a group may have several senders"));
        }
        Ok(self)
    }

    /// True when it is a group of hosts, to be joined.
    #[must_use]
    pub const fn is_group(&self) -> bool {
        self.to.ip().is_multicast()
    }
}

/// `host:port`, where the host may be missing.
fn destination(text: &str) -> Result<SocketAddr, SourceError> {
    let (host, port) = split_port(text).ok_or_else(|| {
        unusable(&format!("{text:?} has no port: what is received has the form group:port"))
    })?;
    let number = port.parse().ok().filter(|port| *port != 0);
    let number = number.ok_or_else(|| unusable(&format!("the port {port:?} is none of 1 to 65535")))?;
    let ip = match host {
        "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => ip(host).ok_or_else(|| {
            let allowed = "an IPv4 address, an IPv6 address in brackets, or nothing";
            unusable(&format!("{host:?} is no address to receive at: it may be {allowed}"))
        })?,
    };
    Ok(SocketAddr::new(ip, number))
}

/// A sender; its port says nothing about where it sends to.
fn sender_of(text: &str) -> Result<IpAddr, SourceError> {
    let host = match split_port(text) {
        Some((host, _port)) if text.starts_with('[') || text.matches(':').count() == 1 => host,
        Some(_) | None => text,
    };
    let sender = ip(host).filter(|sender| !sender.is_multicast() && !sender.is_unspecified());
    sender.ok_or_else(|| unusable(&format!("the sender {text:?} is no address of a host")))
}

/// The host and the port behind the last colon, unless that is one of an IPv6 address.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_inside = host.starts_with('[') && !host.ends_with(']');
    (!is_inside).then_some((host, port))
}

fn ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn options(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter_map(|option| {
        let (name, value) = option.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().trim().to_owned();
        Some((name.to_ascii_lowercase(), value))
    })
}

fn unusable(text: &str) -> SourceError {
    SourceError::new(Kind::Unusable, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(String, String, Option<String>), String> {
        let address = DatagramAddress::parse(url).map_err(|error| error.to_string())?;
        let from: Vec<String> = address.from.iter().map(ToString::to_string).collect();
        Ok((address.to.to_string(), from.join(" "), address.interface))
    }

    #[test]
    fn addresses_are_read_as_players_write_them() {
        for (url, to, from, interface) in [
            ("udp://@239.1.1.1:1234", "239.1.1.1:1234", "", None),
            ("udp://239.1.1.1:1234", "239.1.1.1:1234", "", None),
            (" UDP://@239.1.1.1:1234/ ", "239.1.1.1:1234", "", None),
            ("udp:@239.1.1.1:1234", "239.1.1.1:1234", "", None),
            ("rtp://10.0.0.9@232.1.1.1:5004", "232.1.1.1:5004", "10.0.0.9", None),
            // A sender with its port, which players of before asked for.
            ("udp://10.0.0.9:40000@232.1.1.1:5004", "232.1.1.1:5004", "10.0.0.9", None),
            ("udp://232.1.1.1:5004?sources=10.0.0.9,10.0.0.8", "232.1.1.1:5004", "10.0.0.9 10.0.0.8", None),
            ("udp://10.0.0.9@232.1.1.1:5004?source=10.0.0.9", "232.1.1.1:5004", "10.0.0.9", None),
            // Our own host, whichever of its addresses, or one of them.
            ("udp://@:1234", "0.0.0.0:1234", "", None),
            ("udp://:1234", "0.0.0.0:1234", "", None),
            ("udp://0.0.0.0:1234", "0.0.0.0:1234", "", None),
            ("udp://127.0.0.1:1234", "127.0.0.1:1234", "", None),
            ("udp://localhost:1234", "127.0.0.1:1234", "", None),
            ("udp://10.0.0.9@:1234", "0.0.0.0:1234", "10.0.0.9", None),
            // IPv6.
            ("udp://@[ff15::1]:1234", "[ff15::1]:1234", "", None),
            ("rtp://[2001:db8::1]@[ff35::1]:1234", "[ff35::1]:1234", "2001:db8::1", None),
            ("rtp://2001:db8::1@[ff35::1]:1234", "[ff35::1]:1234", "2001:db8::1", None),
            ("udp://@[::]:1234", "[::]:1234", "", None),
            // Options of several players; those of which we know nothing change nothing.
            ("udp://239.1.1.1:1234?localaddr=192.168.7.2", "239.1.1.1:1234", "", Some("192.168.7.2")),
            ("udp://@239.1.1.1:1234?iface=eth1.4", "239.1.1.1:1234", "", Some("eth1.4")),
            ("udp://239.1.1.1:1234/?interface=br%2dlan&reuse=1", "239.1.1.1:1234", "", Some("br-lan")),
            ("udp://239.1.1.1:1234?multicast-iface=eth0", "239.1.1.1:1234", "", Some("eth0")),
            ("udp://239.1.1.1:1234?pkt_size=1316&fifo_size=1000000&iface=", "239.1.1.1:1234", "", None),
            ("rtp://239.1.1.1:1234?fcc=10.255.14.152:15970&fec=4055#x", "239.1.1.1:1234", "", None),
        ] {
            let expected = Ok((to.to_owned(), from.to_owned(), interface.map(str::to_owned)));
            assert_eq!(read(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_says_which_part_of_it_is_wrong_and_what_is_allowed() {
        for (url, text) in [
            ("udp://@239.1.1.1", "\"239.1.1.1\" has no port: what is received has the form group:port"),
            ("udp://", "\"\" has no port: what is received has the form group:port"),
            ("udp://@[ff15::1]", "\"[ff15::1]\" has no port: what is received has the form group:port"),
            ("udp://@239.1.1.1:0", "the port \"0\" is none of 1 to 65535"),
            ("udp://@239.1.1.1:65536", "the port \"65536\" is none of 1 to 65535"),
            ("udp://@239.1.1.1:x", "the port \"x\" is none of 1 to 65535"),
            (
                "udp://@tv.example:1234",
                "\"tv.example\" is no address to receive at: it may be an IPv4 address, an IPv6 address in brackets, \
                 or nothing",
            ),
            ("rtp://tv@232.1.1.1:5004", "the sender \"tv\" is no address of a host"),
            ("rtp://239.0.0.1@232.1.1.1:5004", "the sender \"239.0.0.1\" is no address of a host"),
            ("rtp://0.0.0.0@232.1.1.1:5004", "the sender \"0.0.0.0\" is no address of a host"),
            ("rtp://10.0.0.1@[ff35::1]:5004", "the sender 10.0.0.1 and ff35::1 are not of one kind"),
            ("udp://@:1234?sources=10.0.0.1,10.0.0.2", "only a group may have several senders"),
        ] {
            assert_eq!(read(url), Err(text.to_owned()), "{url}");
        }
        let many: Vec<String> = (1..=17).map(|host| format!("10.0.0.{host}")).collect();
        let url = format!("udp://232.1.1.1:1234?sources={}", many.join(","));
        assert_eq!(read(&url), Err("17 senders are named, and 16 may be".to_owned()));
    }

    #[test]
    fn a_group_is_told_from_a_host() {
        for (url, is_group) in [
            ("udp://@224.0.0.1:1", true),
            ("udp://@239.255.255.255:1", true),
            ("udp://@223.255.255.255:1", false),
            ("udp://@:1", false),
            ("udp://@[ff02::1]:1", true),
            ("udp://@[::1]:1", false),
        ] {
            assert_eq!(DatagramAddress::parse(url).unwrap().is_group(), is_group, "{url}");
        }
    }
}
