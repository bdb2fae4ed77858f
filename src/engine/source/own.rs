//! This server as its own source: recognized by its address, and by its name where others stand between.
//!
//! A request for a source names this server and those that have sent the session's viewers here (`Via`). A request that
//! names this server came from it: refused. So two servers that feed one another find out with the first request
//! that has gone round.

use std::net::{IpAddr, SocketAddr};

use crate::base::sockets::is_of_this_host;
use crate::http::Url;

use crate::engine::port::params::Own;

/// True when this server listens there.
pub(crate) fn is_own(own: &Own, address: SocketAddr) -> bool {
    let wanted = address.ip().to_canonical();
    own.listens.iter().filter(|listener| listener.port() == address.port()).any(|listener| {
        let bound = listener.ip().to_canonical();
        // Whoever connects to no address in particular gets the loopback.
        let is_same = bound == wanted || (wanted.is_unspecified() && bound.is_loopback());
        is_same || (bound.is_unspecified() && (wanted.is_unspecified() || is_of_this_host(wanted)))
    })
}

/// The address in a source's URL, when it is one and this server listens there.
pub(crate) fn own_address_in(own: &Own, url: &str) -> Option<SocketAddr> {
    let url = Url::parse(url).ok()?;
    let ip: IpAddr = match url.host() {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().ok()?,
    };
    let address = SocketAddr::new(ip, url.port_or_default());
    is_own(own, address).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_knows_itself_by_all_its_addresses() {
        let own = |listens: &[&str]| Own {
            started_unix_ms: 0,
            name: String::new(),
            listens: listens.iter().map(|listener| listener.parse().unwrap()).collect(),
        };
        for (listens, address, expected) in [
            (&["127.0.0.1:5004"][..], "127.0.0.1:5004", true),
            (&["127.0.0.1:5004"], "127.0.0.1:5005", false),
            (&["127.0.0.1:5004"], "127.0.0.2:5004", false),
            (&["127.0.0.1:5004"], "0.0.0.0:5004", true),
            (&["0.0.0.0:80", "0.0.0.0:5004"], "127.0.0.2:5004", true),
            (&["[::]:5004"], "127.0.0.1:5004", true),
            (&["[::]:5004"], "[::1]:5004", true),
            (&["[::]:5004"], "[::ffff:127.0.0.1]:5004", true),
            (&["0.0.0.0:5004"], "192.0.2.7:5004", false),
            (&[], "127.0.0.1:5004", false),
        ] {
            assert_eq!(is_own(&own(listens), address.parse().unwrap()), expected, "{listens:?} {address}");
        }
    }
}
