//! Who may watch, and how many may.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Streams of one address on all cores, other than of this host's; zero is any number.
    pub per_address_max: u32,
    /// Viewers on all cores; zero is any number.
    pub viewers_max: u32,
    /// Those there are, shared by all cores.
    pub watching: Arc<AtomicU32>,
    /// Those of each address, if that is limited: as many entries as there are viewers at most.
    pub by_address: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
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

    /// One viewer more, on whichever core. Whoever gets a place here gives it back by [`Gate::leave`].
    ///
    /// # Errors
    /// Why it gets none.
    pub(crate) fn enter(&self, peer: IpAddr, is_local: bool) -> Result<(), StreamError> {
        let max = self.per_address_max;
        let mut by_address = self.by_address();
        let of_address = by_address.as_ref().and_then(|known| known.get(&peer)).copied().unwrap_or(0);
        if max > 0 && !is_local && of_address >= max {
            return Err(StreamError::AddressLimit);
        }
        let max = if self.viewers_max == 0 { u32::MAX } else { self.viewers_max };
        let more = |watching: u32| watching.checked_add(1).filter(|watching| *watching <= max);
        self.watching
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_full| StreamError::ViewerLimit)?;
        if let Some(known) = &mut by_address {
            known.insert(peer, of_address + 1);
        }
        Ok(())
    }

    /// How many there are on all cores.
    pub(crate) fn count(&self) -> u32 {
        self.watching.load(Ordering::Relaxed)
    }

    /// One less.
    pub(crate) fn leave(&self, peer: IpAddr) {
        let before = self.watching.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a viewer leaves once");
        let Some(mut known) = self.by_address() else { return };
        let left = known.get_mut(&peer).expect("whoever leaves has entered");
        *left -= 1;
        if *left == 0 {
            known.remove(&peer);
        }
    }

    /// How many of each address watch, if anybody wants to know. A look into the map is all that another core could wait for.
    fn by_address(&self) -> Option<MutexGuard<'_, BTreeMap<IpAddr, u32>>> {
        (self.per_address_max > 0).then(|| self.by_address.lock().unwrap_or_else(PoisonError::into_inner))
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
        let peer = IpAddr::from([192, 0, 2, 1]);
        let gate = Gate { viewers_max: 2, ..Gate::default() };
        let of_another_core = gate.clone();
        assert_eq!((gate.enter(peer, false), of_another_core.enter(peer, false)), (Ok(()), Ok(())));
        for gate in [&gate, &of_another_core] {
            assert_eq!(gate.enter(peer, false), Err(StreamError::ViewerLimit));
        }
        of_another_core.leave(peer);
        assert_eq!(gate.enter(peer, false), Ok(()));
        let open = Gate::default();
        assert!((0..1000).all(|_| open.enter(peer, false).is_ok()));
    }

    #[test]
    fn an_address_has_so_many_streams_and_all_together_so_many_whichever_cores_they_are_on() {
        let gate = Gate { per_address_max: 2, viewers_max: 5, ..Gate::default() };
        let cores = [gate.clone(), gate.clone()];
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!(cores[0].enter(address(1), false), Ok(()));
        assert_eq!(cores[1].enter(address(1), false), Ok(()));
        for core in &cores {
            assert_eq!(core.enter(address(1), false), Err(StreamError::AddressLimit));
        }
        for turn in 0..3 {
            // A proxy on this host watches for many.
            assert_eq!(cores[turn % 2].enter(address(2), true), Ok(()));
        }
        assert_eq!(cores[0].enter(address(3), false), Err(StreamError::ViewerLimit));
        cores[1].leave(address(1));
        assert_eq!(cores[0].enter(address(3), false), Ok(()));
        for last in [1, 2, 2, 2, 3] {
            cores[0].leave(address(last));
        }
        assert!(gate.by_address().unwrap().is_empty());
        assert_eq!(cores[1].enter(address(1), false), Ok(()));
    }

    #[test]
    fn the_token_is_not_printed() {
        assert!(!format!("{:?}", StreamToken("let-me".to_owned())).contains("let-me"));
    }
}
