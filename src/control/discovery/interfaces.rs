//! The network interfaces that others may find us by.

use std::net::IpAddr;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use crate::control::params::Network;

use super::socket::{Local, Received};

/// Addresses that are looked at. More than that a host has for its containers, and nobody searches there.
const ADDRESSES_MAX: usize = 256;

/// Our addresses on interfaces that are up and take multicast; of all or, where only one is wanted, of that one.
pub(super) fn locals(only: Option<IpAddr>) -> Vec<Local> {
    let interfaces = match getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            log::debug!("the network interfaces are not known: {error}");
            return Vec::new();
        }
    };
    interfaces.filter_map(|interface| local(&interface, only)).take(ADDRESSES_MAX).collect()
}

/// The networks that our interfaces are on.
pub(super) fn networks() -> Vec<Network> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let network = |interface: InterfaceAddress| {
        let address = address_of(interface.address.as_ref()?)?;
        let mask = address_of(interface.netmask.as_ref()?)?;
        let prefix_bits = match mask {
            IpAddr::V4(mask) => mask.to_bits().leading_ones(),
            IpAddr::V6(mask) => mask.to_bits().leading_ones(),
        };
        Some(Network { address, prefix_bits: u8::try_from(prefix_bits).ok()? })
    };
    interfaces.filter_map(network).take(ADDRESSES_MAX).collect()
}

/// Whether somebody may be told of us: whoever is on a network of ours, or has an address that no network but a private one
/// knows. Nobody on the Internet looks for tuners; its senders are made up, so that we send to somebody else.
pub(super) fn is_near(sender: IpAddr, networks: &[Network]) -> bool {
    let is_private = match sender.to_canonical() {
        IpAddr::V4(sender) => {
            let is_shared = sender.octets()[0] == 100 && sender.octets()[1] & 0xC0 == 64;
            sender.is_private() || sender.is_link_local() || sender.is_loopback() || is_shared
        }
        IpAddr::V6(sender) => {
            sender.is_unique_local() || sender.is_unicast_link_local() || sender.is_loopback()
        }
    };
    is_private || networks.iter().any(|network| network.contains(sender))
}

fn address_of(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|inet| IpAddr::from(inet.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|inet| IpAddr::from(inet.ip())))
}

/// Our address that a datagram is answered from, and by which interface. What came to a group of IPv6 names the group alone:
/// then it is one of the interface's addresses that reaches as far as the sender's.
pub(super) fn answering(received: &Received, own: &[Local]) -> Option<Local> {
    let Received { local, from, .. } = received;
    if !local.address.is_multicast() {
        return Some(*local);
    }
    let on_interface = || own.iter().filter(|one| one.interface == local.interface && one.address.is_ipv6());
    let reaches = |one: &&Local| is_link_local(one.address) == is_link_local(from.ip());
    on_interface().find(reaches).or_else(|| on_interface().next()).copied()
}

/// An address that is known on its own cable alone.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn local(interface: &InterfaceAddress, only: Option<IpAddr>) -> Option<Local> {
    let address = address_of(interface.address.as_ref()?)?;
    let is_wanted = match only {
        Some(only) => address == only,
        None => {
            let flags = interface.flags;
            flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST) && !address.is_loopback()
        }
    };
    let index = if_nametoindex(interface.interface_name.as_str()).ok()?;
    is_wanted.then_some(Local { address, interface: index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_a_group_is_answered_from_an_address_that_reaches_the_sender() {
        let local = |address: &str, interface| Local { address: address.parse().unwrap(), interface };
        let own = [local("10.0.0.1", 2), local("2001:db8::1", 2), local("fe80::1", 2), local("fe80::9", 3)];
        for (from, sent_to, interface, expected) in [
            ("[fe80::7]:9", "ff02::c", 2, Some("fe80::1")),
            ("[2001:db8::7]:9", "ff05::c", 2, Some("2001:db8::1")),
            ("[2001:db8::7]:9", "ff05::c", 3, Some("fe80::9")),
            ("[fe80::7]:9", "ff02::c", 4, None),
            ("[2001:db8::7]:9", "2001:db8::1", 0, Some("2001:db8::1")),
            ("10.0.0.7:9", "10.0.0.1", 2, Some("10.0.0.1")),
        ] {
            let received = Received {
                bytes: 0,
                from: from.parse().unwrap(),
                local: local(sent_to, interface),
                was_for_many: true,
            };
            let found = answering(&received, &own).map(|local| local.address.to_string());
            assert_eq!(found.as_deref(), expected, "{from} {sent_to}");
        }
    }

    #[test]
    fn whoever_is_on_the_internet_is_told_nothing() {
        let network = |address: &str, prefix_bits| Network { address: address.parse().unwrap(), prefix_bits };
        let own = [network("198.51.100.7", 24), network("2001:db8:1::7", 64)];
        for (sender, expected) in [
            ("192.168.7.7", true),
            ("10.9.8.7", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("169.254.3.4", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("127.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("198.51.100.200", true),
            ("198.51.101.200", false),
            ("8.8.8.8", false),
            ("fe80::1", true),
            ("fd12::1", true),
            ("2001:db8:1::99", true),
            ("2001:db8:2::99", false),
        ] {
            assert_eq!(is_near(sender.parse().unwrap(), &own), expected, "{sender}");
        }
    }

    #[test]
    fn the_loopback_is_a_network_of_this_host() {
        let found = networks();
        assert!(
            found.contains(&Network { address: IpAddr::from([127, 0, 0, 1]), prefix_bits: 8 }),
            "{found:?}"
        );
    }

    #[test]
    fn the_loopback_is_found_when_it_is_named_and_else_left_out() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(locals(Some(loopback)).iter().map(|local| local.address).collect::<Vec<_>>(), [loopback]);
        assert!(locals(None).iter().all(|local| !local.address.is_loopback() && local.interface > 0));
        assert_eq!(locals(Some(IpAddr::from([192, 0, 2, 77]))), []);
    }
}
