//! Who may watch, and how many may.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::Network;
use crate::http::{Request, StreamError};

/// The parameter of a stream's address that holds the token.
const TOKEN_PARAMETER: &str = "token";

/// A word that opens streams.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamToken(pub String);

impl fmt::Debug for StreamToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StreamToken(..)")
    }
}

impl StreamToken {
    /// True when a request carries it. How long the look takes tells nothing about it.
    #[must_use]
    pub fn is_in(&self, request: &Request) -> bool {
        request.query_pairs().any(|(name, value)| {
            let differ =
                value.bytes().zip(self.0.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other));
            name == TOKEN_PARAMETER && value.len() == self.0.len() && std::hint::black_box(differ) == 0
        })
    }
}

/// Who may watch.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Whose requests are taken besides this host's; empty is everybody's.
    pub allow: Vec<Network>,
    /// What a request has to carry.
    pub token: Option<StreamToken>,
    /// Streams of one address on one core, other than of this host's; zero is any number.
    pub per_address_max: u32,
    /// Viewers on all cores; zero is any number.
    pub viewers_max: u32,
    /// Those there are, shared by all cores.
    pub watching: Arc<AtomicU32>,
}

impl Gate {
    /// Whether a request may have a stream.
    ///
    /// # Errors
    /// [`StreamError::NotAllowed`].
    pub(crate) fn check(&self, request: &Request, peer: IpAddr, is_local: bool) -> Result<(), StreamError> {
        let is_invited =
            is_local || self.allow.is_empty() || self.allow.iter().any(|network| network.contains(peer));
        let has_token = self.token.as_ref().is_none_or(|token| token.is_in(request));
        if is_invited && has_token { Ok(()) } else { Err(StreamError::NotAllowed) }
    }

    /// One viewer more, on whichever core; false when there are as many as may be.
    pub(crate) fn enter(&self) -> bool {
        let max = if self.viewers_max == 0 { u32::MAX } else { self.viewers_max };
        let more = |watching: u32| watching.checked_add(1).filter(|watching| *watching <= max);
        self.watching.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// How many there are on all cores.
    pub(crate) fn count(&self) -> u32 {
        self.watching.load(Ordering::Relaxed)
    }

    /// One less.
    pub(crate) fn leave(&self) {
        let before = self.watching.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a viewer leaves once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Parsed, parse};

    #[test]
    fn who_may_watch_is_told_by_address_and_token() {
        let network = |address: &str, prefix_bits| Network { address: address.parse().unwrap(), prefix_bits };
        let house = vec![network("192.168.0.0", 16), network("fd00::", 8)];
        let token = || Some(StreamToken("let-me".to_owned()));
        for (allow, token, peer, is_local, query, may) in [
            (vec![], None, "203.0.113.9", false, "", true),
            (house.clone(), None, "192.168.7.7", false, "", true),
            (house.clone(), None, "::ffff:192.168.7.7", false, "", true),
            (house.clone(), None, "fd00::1", false, "", true),
            (house.clone(), None, "203.0.113.9", false, "", false),
            (house.clone(), None, "2001:db8::1", false, "", false),
            (house.clone(), None, "127.0.0.1", true, "", true),
            (vec![], token(), "203.0.113.9", false, "", false),
            (vec![], token(), "127.0.0.1", true, "", false),
            (vec![], token(), "203.0.113.9", false, "?token=let-me", true),
            (vec![], token(), "203.0.113.9", false, "?duration=5&token=let%2Dme", true),
            (vec![], token(), "203.0.113.9", false, "?token=let-m", false),
            (vec![], token(), "203.0.113.9", false, "?token=let-me2", false),
            (vec![], token(), "203.0.113.9", false, "?Token=let-me", false),
            (house.clone(), token(), "203.0.113.9", false, "?token=let-me", false),
        ] {
            let gate = Gate { allow, token, ..Gate::default() };
            let head = format!("GET /auto/v1{query} HTTP/1.1\r\n\r\n");
            let Ok(Parsed::Complete { request, .. }) = parse(head.as_bytes()) else { panic!("{head}") };
            let checked = gate.check(&request, peer.parse().unwrap(), is_local);
            assert_eq!(checked.is_ok(), may, "{peer} {query} {gate:?}");
        }
    }

    #[test]
    fn no_more_watch_than_may_on_all_cores_together() {
        let gate = Gate { viewers_max: 2, ..Gate::default() };
        let of_another_core = gate.clone();
        assert!(gate.enter() && of_another_core.enter() && !gate.enter() && !of_another_core.enter());
        of_another_core.leave();
        assert!(gate.enter());
        let open = Gate::default();
        assert!((0..1000).all(|_| open.enter()));
    }

    #[test]
    fn the_token_is_not_printed() {
        assert!(!format!("{:?}", StreamToken("let-me".to_owned())).contains("let-me"));
    }
}
