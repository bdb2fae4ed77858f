//! What is left out when it is empty, and numbers as existing dashboards read them.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
pub(super) fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// A number without a point when it is whole.
pub(super) fn float<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // What is no number (a rate over no time) is nothing.
    let text = number.to_string();
    text.parse().unwrap_or_else(|_not_finite| serde_json::Number::from(0)).serialize(serializer)
}

/// A client's address; one that came as IPv4 in IPv6 is IPv4.
pub(super) fn address(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
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
        ] {
            assert_eq!(address(peer.parse().unwrap()).to_string(), shown);
        }
    }
}
