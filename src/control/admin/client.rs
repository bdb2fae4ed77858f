//! Who asks: the peer, or whom a proxy speaks for that is believed.

use std::net::{IpAddr, SocketAddr};

use super::call::Call;
use crate::control::params::Network;

/// Headers in which proxies say for whom they speak, the one that counts most first.
const FORWARDED_HEADERS: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Client {
    /// The address by which it is counted.
    pub(super) address: IpAddr,
    /// It is certain that somebody on this host asks.
    pub(super) is_here: bool,
}

/// Who sends a request. Proxies that are not believed speak for nobody, and nobody knows for whom they ask.
pub(super) fn client(call: &Call, trusted: &[Network]) -> Client {
    let peer = call.peer_address();
    let is_own = |address: IpAddr| address.is_loopback() || address == call.local.ip().to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let chains = FORWARDED_HEADERS.map(|name| chain(call, name));
    if chains.iter().all(Vec::is_empty) {
        return Client { address: peer, is_here: is_own(peer) };
    }
    if !is_trusted(peer) {
        return Client { address: peer, is_here: false };
    }
    let peeled: Vec<_> =
        chains.iter().filter(|chain| !chain.is_empty()).map(|chain| peel(peer, chain, is_trusted)).collect();
    // A proxy passes on what it does not know: a header that says "this host" may be the client's own invention.
    let is_here = is_own(peer) && peeled.iter().all(|(address, is_whole)| *is_whole && is_own(*address));
    Client { address: peeled[0].0, is_here }
}

/// From the right: whoever is believed is believed about the one to the left. False behind the address when the last of
/// them said no address.
fn peel(peer: IpAddr, chain: &[Option<IpAddr>], is_trusted: impl Fn(IpAddr) -> bool) -> (IpAddr, bool) {
    let mut address = peer;
    for entry in chain.iter().rev() {
        let Some(entry) = entry else { return (address, false) };
        address = *entry;
        if !is_trusted(address) {
            break;
        }
    }
    (address, true)
}

/// The addresses in a header, from the client to the last proxy. What is no address is `None`.
fn chain(call: &Call, name: &'static str) -> Vec<Option<IpAddr>> {
    let values = call.request.headers(name).flat_map(|value| split(value, ','));
    if name == "forwarded" { values.map(named_in).collect() } else { values.map(address).collect() }
}

/// `for=` of one element of `Forwarded` (RFC 7239).
fn named_in(element: &str) -> Option<IpAddr> {
    let mut pairs = split(element, ';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value)
}

/// Pieces between separators that do not stand in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    })
}

/// An address with or without a port, brackets and quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"').trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let found = text.parse().ok().or_else(with_port).or_else(in_brackets);
    found.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::call::tests::call_with;

    fn network(address: &str, prefix_bits: u8) -> Network {
        Network { address: address.parse().unwrap(), prefix_bits }
    }

    #[test]
    fn the_client_is_who_the_last_proxy_that_is_not_believed_is() {
        let trusted = [network("127.0.0.1", 32), network("10.0.0.0", 8), network("2001:db8::", 32)];
        for (peer, headers, address, is_here) in [
            ("127.0.0.1", "", "127.0.0.1", true),
            ("[::1]", "", "::1", true),
            ("192.0.2.1", "", "192.0.2.1", false),
            // The address by which this host was reached is its own.
            ("192.0.2.200", "", "192.0.2.200", true),
            // Nobody believes these.
            ("192.0.2.1", "X-Forwarded-For: 127.0.0.1", "192.0.2.1", false),
            ("[::1]", "X-Forwarded-For: 127.0.0.1", "::1", false),
            // What the client has written stands to the left of what a proxy adds.
            ("127.0.0.1", "X-Forwarded-For: 127.0.0.1, 192.0.2.7", "192.0.2.7", false),
            ("127.0.0.1", "X-Forwarded-For: 192.0.2.9, 192.0.2.7, 10.0.0.2", "192.0.2.7", false),
            ("127.0.0.1", "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.7", "192.0.2.7", false),
            ("127.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2", "10.0.0.3", false),
            ("127.0.0.1", "X-Forwarded-For: 127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "X-Forwarded-For: 192.0.2.7:4711", "192.0.2.7", false),
            ("127.0.0.1", "X-Forwarded-For: [2001:db9::7]:4711", "2001:db9::7", false),
            ("127.0.0.1", "X-Forwarded-For: unknown", "127.0.0.1", false),
            ("127.0.0.1", "X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.2", "10.0.0.2", false),
            ("127.0.0.1", "X-Forwarded-For:", "127.0.0.1", false),
            ("127.0.0.1", "Forwarded: for=192.0.2.7;proto=https", "192.0.2.7", false),
            ("127.0.0.1", "Forwarded: proto=https;For=\"[2001:db9::7]:4711\"", "2001:db9::7", false),
            ("127.0.0.1", "Forwarded: for=\"a,b\", for=192.0.2.7", "192.0.2.7", false),
            ("127.0.0.1", "Forwarded: for=_hidden", "127.0.0.1", false),
            ("127.0.0.1", "X-Real-IP: 192.0.2.7", "192.0.2.7", false),
            // One of these is the client's, and nobody knows which.
            ("127.0.0.1", "Forwarded: for=127.0.0.1\r\nX-Forwarded-For: 192.0.2.7", "127.0.0.1", false),
            ("127.0.0.1", "X-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.7", "192.0.2.7", false),
            // "This host" is the proxy's.
            ("10.0.0.2", "X-Forwarded-For: 127.0.0.1", "127.0.0.1", false),
        ] {
            let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
            let mut call = call_with("GET", "/", &headers, "");
            call.peer = format!("{peer}:9").parse().unwrap();
            call.local = "192.0.2.200:5004".parse().unwrap();
            let expected = Client { address: address.parse().unwrap(), is_here };
            assert_eq!(client(&call, &trusted), expected, "{peer} {headers}");
        }
    }
}
