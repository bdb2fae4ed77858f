//! Under which address others reach our HTTP, who reached us by a datagram.

use std::net::{IpAddr, SocketAddr};

/// The port that clients ask which know no other.
const HTTP_PORT: u16 = 80;

/// Where our HTTP listens.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// The preferred ones first.
    listens: Vec<SocketAddr>,
}

impl Hosts {
    /// Of several listeners a client is sent to port 80 before others, and then to the second place of the settings: some
    /// clients ask there whatever they are told.
    pub(super) fn new(listens: &[SocketAddr], legacy_port: Option<u16>) -> Self {
        let mut preferred = listens.to_vec();
        preferred.sort_by_key(|listener| match listener.port() {
            HTTP_PORT => 0,
            port if Some(port) == legacy_port => 1,
            _other => 2,
        });
        preferred.dedup();
        Self { listens: preferred }
    }

    /// The address of our HTTP for somebody whose datagram came to `local`; `None` when it is not to be had from there.
    pub(super) fn reached_at(&self, local: IpAddr) -> Option<SocketAddr> {
        let local = local.to_canonical();
        self.listens.iter().find_map(|listener| address_for(*listener, local))
    }
}

fn address_for(listener: SocketAddr, local: IpAddr) -> Option<SocketAddr> {
    let own = listener.ip().to_canonical();
    let is_reached = match own {
        // The wildcard of IPv6 takes IPv4, too.
        own if own.is_unspecified() => own.is_ipv6() || local.is_ipv4(),
        own => own == local,
    };
    if is_reached {
        return Some(SocketAddr::new(local, listener.port()));
    }
    // Another address of ours is reached from the network, too, if it is not one of this host alone.
    let is_near = !own.is_unspecified() && own.is_ipv4() == local.is_ipv4();
    (is_near && own.is_loopback() == local.is_loopback()).then_some(SocketAddr::new(own, listener.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(listens: &[&str], legacy_port: Option<u16>, local: &str) -> Option<String> {
        let listens: Vec<_> = listens.iter().map(|text| text.parse().unwrap()).collect();
        Hosts::new(&listens, legacy_port)
            .reached_at(local.parse().unwrap())
            .map(|address| address.to_string())
    }

    #[test]
    fn whoever_asks_is_sent_to_the_address_that_it_reached() {
        for (listens, local, expected) in [
            (&["[::]:5004"][..], "192.168.1.20", Some("192.168.1.20:5004")),
            (&["[::]:5004"], "2001:db8::2", Some("[2001:db8::2]:5004")),
            (&["[::]:5004"], "::ffff:192.168.1.20", Some("192.168.1.20:5004")),
            (&["0.0.0.0:5004"], "10.0.0.1", Some("10.0.0.1:5004")),
            (&["0.0.0.0:5004"], "2001:db8::2", None),
            (&["[::]:5004"], "127.0.0.1", Some("127.0.0.1:5004")),
            (&["192.168.1.5:5004"], "192.168.1.5", Some("192.168.1.5:5004")),
            // On another of its addresses than the one that listens.
            (&["192.168.1.5:5004"], "10.0.0.1", Some("192.168.1.5:5004")),
            (&["192.168.1.5:5004"], "2001:db8::2", None),
            // Who is not on this host cannot reach what listens on it alone, and is never sent to itself.
            (&["127.0.0.1:5004"], "192.168.1.20", None),
            (&["127.0.0.1:5004", "[::1]:5004"], "fe80::1", None),
            (&["127.0.0.1:5004"], "127.0.0.2", Some("127.0.0.1:5004")),
            (&["192.168.1.5:5004"], "127.0.0.1", None),
            (&["127.0.0.1:5004", "192.168.1.5:5004"], "192.168.1.5", Some("192.168.1.5:5004")),
            (&[], "192.168.1.5", None),
        ] {
            assert_eq!(reached(listens, None, local).as_deref(), expected, "{listens:?} {local}");
        }
    }

    #[test]
    fn port_80_goes_first_and_then_the_legacy_one() {
        let local = "10.0.0.1";
        let both = &["[::]:5004", "[::]:8080"];
        assert_eq!(reached(both, None, local).unwrap(), "10.0.0.1:5004");
        assert_eq!(reached(both, Some(8080), local).unwrap(), "10.0.0.1:8080");
        assert_eq!(reached(&["[::]:5004", "[::]:80"], None, local).unwrap(), "10.0.0.1:80");
        assert_eq!(reached(&["[::]:5004", "127.0.0.1:80"], None, local).unwrap(), "10.0.0.1:5004");
    }
}
