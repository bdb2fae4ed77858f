//! Where to listen, and whom to believe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use crate::base::Network;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// `:5004`: every address of the host. The binder takes `[::]` for both families where the host has
    /// IPv6, else `0.0.0.0`.
    All {
        /// The port.
        port: u16,
    },
    /// `localhost:5004`: both loopback addresses.
    Loopback {
        /// The port.
        port: u16,
    },
    /// `192.0.2.7:5004`, `[2001:db8::7]:5004`: one address.
    One(SocketAddr),
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is no colon and port.
    #[error("has no port")]
    NoPort,
    /// The port is not a number from 0 to 65535.
    #[error("has a port that is not a number from 0 to 65535")]
    BadPort,
    /// What stands before the port is neither empty nor an address.
    #[error("names a host that is not an IP address (an IPv6 address stands in brackets)")]
    BadHost,
    /// Not an address with an optional prefix length.
    #[error("has an entry that is neither an IP address nor a CIDR range")]
    BadNetwork,
}

impl std::fmt::Display for BindAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All { port } => write!(formatter, ":{port}"),
            Self::Loopback { port } => write!(formatter, "localhost:{port}"),
            Self::One(address) => address.fmt(formatter),
        }
    }
}

impl BindAddress {
    /// Reads `:port`, `localhost:port`, `a.b.c.d:port` or `[v6]:port`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        if host.starts_with('[') && !host.ends_with(']') {
            return Err(AddressError::NoPort);
        }
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::BadPort);
        }
        let port: u16 = port.parse().map_err(|_overflow| AddressError::BadPort)?;
        if host.is_empty() {
            return Ok(Self::All { port });
        }
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Loopback { port });
        }
        let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse::<Ipv6Addr>().map(IpAddr::V6),
            None => host.parse::<Ipv4Addr>().map(IpAddr::V4),
        };
        let address = address.map_err(|_not_an_address| AddressError::BadHost)?;
        // As in Go, the unspecified address of either family means every address only of that family when
        // it is IPv4; `[::]` is dual-stack and so the same as no host at all.
        if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            return Ok(Self::All { port });
        }
        Ok(Self::One(SocketAddr::new(address, port)))
    }

    /// The port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::All { port } | Self::Loopback { port } => port,
            Self::One(address) => address.port(),
        }
    }
}

/// Reads a comma-separated list of addresses and CIDR ranges.
///
/// # Errors
///
/// When an entry is neither.
pub(super) fn parse_networks(text: &str) -> Result<Vec<Network>, AddressError> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(parse_network).collect()
}

/// Its address is the first one: the bits after the prefix are zero, and it is never an IPv4 address dressed as IPv6.
fn parse_network(entry: &str) -> Result<Network, AddressError> {
    let (address, prefix) = match entry.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (entry, None),
    };
    let typed: IpAddr = address.parse().map_err(|_not_an_address| AddressError::BadNetwork)?;
    let typed_bits: u8 = if typed.is_ipv4() { 32 } else { 128 };
    let prefix_bits = match prefix {
        None => typed_bits,
        Some(prefix) => prefix.parse().map_err(|_not_a_number| AddressError::BadNetwork)?,
    };
    if prefix_bits > typed_bits {
        return Err(AddressError::BadNetwork);
    }
    // `::ffff:10.0.0.0/104` is 10.0.0.0/8: peers are compared as what they are.
    let address = typed.to_canonical();
    let shed_bits = if address.is_ipv4() && typed.is_ipv6() { 96 } else { 0 };
    let prefix_bits: u8 = u8::checked_sub(prefix_bits, shed_bits).ok_or(AddressError::BadNetwork)?;
    let shift = |width: u32| width - u32::from(prefix_bits);
    let address = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(shift(32)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(shift(128)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    };
    Ok(Network { address, prefix_bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read_as_go_reads_them() {
        let one = |text: &str| Ok(BindAddress::One(text.parse().unwrap()));
        for (text, expected) in [
            (":5004", Ok(BindAddress::All { port: 5004 })),
            ("[::]:80", Ok(BindAddress::All { port: 80 })),
            ("0.0.0.0:80", one("0.0.0.0:80")),
            ("127.0.0.1:0", one("127.0.0.1:0")),
            ("[2001:db8::7]:5004", one("[2001:db8::7]:5004")),
            ("localhost:5004", Ok(BindAddress::Loopback { port: 5004 })),
            ("5004", Err(AddressError::NoPort)),
            ("[::1]", Err(AddressError::NoPort)),
            (":", Err(AddressError::BadPort)),
            (":http", Err(AddressError::BadPort)),
            (":65536", Err(AddressError::BadPort)),
            (":+80", Err(AddressError::BadPort)),
            ("::1:80", Err(AddressError::BadHost)),
            ("example.com:80", Err(AddressError::BadHost)),
        ] {
            assert_eq!(BindAddress::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn trusted_networks_are_cut_to_their_prefix() {
        for (text, address, prefix_bits) in [
            ("10.1.2.3", "10.1.2.3", 32),
            ("10.1.2.3/8", "10.0.0.0", 8),
            ("10.1.2.3/0", "0.0.0.0", 0),
            ("2001:db8::7/32", "2001:db8::", 32),
            ("::1", "::1", 128),
            ("::/0", "::", 0),
            ("::ffff:10.1.2.3/104", "10.0.0.0", 8),
        ] {
            let expected = Network { address: address.parse().unwrap(), prefix_bits };
            assert_eq!(parse_networks(text), Ok(vec![expected]), "{text}");
        }
        assert_eq!(parse_networks(" 10.0.0.0/8 ,, ::1 ").unwrap().len(), 2);
        for text in ["10.0.0.0/33", "10.0.0/8", "proxy", "10.0.0.0/-1", "10.0.0.0/", "::ffff:10.0.0.0/8"] {
            assert_eq!(parse_networks(text), Err(AddressError::BadNetwork), "{text}");
        }
    }
}
