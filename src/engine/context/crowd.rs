//! Who watches on a core, by address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::engine::port::gate::Gate;
use crate::http::StreamError;

/// Viewers of this core, and this core's way to the count of all.
pub(crate) struct Crowd {
    gate: Gate,
    /// Viewers of addresses that have some: as many entries as there are viewers at most.
    by_address: BTreeMap<IpAddr, u32>,
}

impl Crowd {
    pub(crate) const fn new(gate: Gate) -> Self {
        Self { gate, by_address: BTreeMap::new() }
    }

    /// Somebody is to watch. Whoever gets a place here gives it back by [`Crowd::leave`].
    ///
    /// # Errors
    /// Why it gets none.
    pub(crate) fn join(&mut self, peer: IpAddr, is_local: bool) -> Result<(), StreamError> {
        let of_address = self.by_address.get(&peer).copied().unwrap_or(0);
        let max = self.gate.per_address_max;
        if max > 0 && !is_local && of_address >= max {
            return Err(StreamError::AddressLimit);
        }
        if !self.gate.enter() {
            return Err(StreamError::ViewerLimit);
        }
        self.by_address.insert(peer, of_address + 1);
        Ok(())
    }

    /// It does so no more.
    pub(crate) fn leave(&mut self, peer: IpAddr) {
        self.gate.leave();
        let left = self.by_address.get_mut(&peer).expect("whoever leaves has joined");
        *left -= 1;
        if *left == 0 {
            self.by_address.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_streams_and_all_together_so_many() {
        let mut crowd = Crowd::new(Gate { per_address_max: 2, viewers_max: 5, ..Gate::default() });
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!(crowd.join(address(1), false), Ok(()));
        assert_eq!(crowd.join(address(1), false), Ok(()));
        assert_eq!(crowd.join(address(1), false), Err(StreamError::AddressLimit));
        for _ in 0..3 {
            // A proxy on this host watches for many.
            assert_eq!(crowd.join(address(2), true), Ok(()));
        }
        assert_eq!(crowd.join(address(3), false), Err(StreamError::ViewerLimit));
        crowd.leave(address(1));
        assert_eq!(crowd.join(address(3), false), Ok(()));
        for last in [1, 2, 2, 2, 3] {
            crowd.leave(address(last));
        }
        assert!(crowd.by_address.is_empty());
        assert_eq!(crowd.join(address(1), false), Ok(()));
    }
}
