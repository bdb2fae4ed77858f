//! Ranges of addresses.

use std::net::IpAddr;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// An address of it.
    pub address: IpAddr,
    /// How many bits are the same.
    pub prefix_bits: u8,
}

impl Network {
    /// True when the address is one of them. IPv4 in IPv6 is IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix_bits.min(32))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix_bits.min(128))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_the_addresses_with_its_first_bits() {
        for (network, bits, address, inside) in [
            ("10.0.0.0", 8, "10.255.3.4", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("10.1.2.3", 32, "10.1.2.3", true),
            ("10.1.2.3", 32, "10.1.2.2", false),
            ("0.0.0.0", 0, "203.0.113.9", true),
            ("0.0.0.0", 0, "2001:db8::1", false),
            ("10.0.0.0", 8, "::ffff:10.0.0.1", true),
            ("2001:db8::", 32, "2001:db8:ffff::1", true),
            ("2001:db8::", 32, "2001:db9::1", false),
            ("::1", 128, "::1", true),
        ] {
            let network = Network { address: network.parse().unwrap(), prefix_bits: bits };
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network:?} {address}");
        }
    }
}
