//! What is left out when it is empty, and numbers as existing dashboards read them.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

pub(super) fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// A number without a point when it is whole.
pub(super) fn float<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // A part behind the point is written alike either way, and this one needs no text in between.
    if number.is_finite() && number.fract() != 0.0 {
        return serializer.serialize_f64(*number);
    }
    // What is no number (a rate over no time) is nothing.
    let text = number.to_string();
    text.parse().unwrap_or_else(|_not_finite| serde_json::Number::from(0)).serialize(serializer)
}

/// A client's address; one that came as IPv4 in IPv6 is IPv4.
pub(super) fn address(peer: SocketAddr) -> Address {
    Address(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
}

/// As text. IPv4 is put together by hand: an answer about thousands of viewers holds three addresses per viewer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(SocketAddr);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SocketAddr::V4(address) = self.0 else {
            return self.0.serialize(serializer);
        };
        let mut text = Line::new();
        for (part, behind) in address.ip().octets().into_iter().zip(*b"...:") {
            text.push_number(part.into());
            text.push(behind);
        }
        text.push_number(address.port().into());
        serializer.serialize_str(text.as_str())
    }
}

/// A short text without an allocation.
struct Line {
    bytes: [u8; Self::BYTES_MAX],
    length: usize,
}

impl Line {
    /// The longest is an IPv4 address with its port.
    const BYTES_MAX: usize = 24;

    const fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], length: 0 }
    }

    /// Appends an ASCII character.
    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Appends a number without leading zeros.
    fn push_number(&mut self, number: u32) {
        let digits = std::iter::successors(Some(number), |rest| Some(rest / 10).filter(|rest| *rest > 0));
        self.push_digits(number, digits.count());
    }

    /// Appends the last `digits` digits of a number.
    fn push_digits(&mut self, mut number: u32, digits: usize) {
        for place in self.bytes[self.length..self.length + digits].iter_mut().rev() {
            *place = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
        }
        self.length += digits;
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only ASCII is appended")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Number(#[serde(serialize_with = "float")] f64);

    #[test]
    fn whole_numbers_have_no_point() {
        for (number, text) in [
            (0.0, "0"),
            (59.94, "59.94"),
            (187_500.0, "187500"),
            (1.1, "1.1"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
        ] {
            assert_eq!(serde_json::to_string(&Number(number)).unwrap(), text);
        }
    }

    #[test]
    fn an_ipv4_client_is_shown_as_such() {
        for (peer, shown) in [
            ("192.168.1.10:40001", "192.168.1.10:40001"),
            ("[::ffff:192.168.1.10]:40001", "192.168.1.10:40001"),
            ("[fe80::1]:7", "[fe80::1]:7"),
            ("255.255.255.255:65535", "255.255.255.255:65535"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ] {
            assert_eq!(serde_json::to_value(address(peer.parse().unwrap())).unwrap(), shown);
        }
    }
}
