//! How often somebody may ask: a bucket that fills by itself, for each address. No clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::base::Instant;

/// Whoever has not been seen for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Who is counted as one: an IPv4 address, or a network of IPv6 (/64), of which every host has as many addresses as it likes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Household(IpAddr);

impl Household {
    /// The one that an address belongs to.
    pub(super) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self(match address {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => address,
        })
    }
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// One bucket for each household. Full: the one that has not been seen for longest makes room.
pub(super) struct Rates {
    per_second: f64,
    burst: f64,
    clients_max: usize,
    buckets: BTreeMap<Household, Bucket>,
    /// The same households by when they were seen.
    seen: BTreeSet<(Instant, Household)>,
}

impl Rates {
    /// `burst` at once and `per_second` for long, for each of at most `clients_max`.
    pub(super) const fn new(per_second: f64, burst: u32, clients_max: usize) -> Self {
        Self { per_second, burst: burst as f64, clients_max, buckets: BTreeMap::new(), seen: BTreeSet::new() }
    }

    /// How long somebody has to wait until he may be charged; nothing when he may be now.
    pub(super) fn wait(&self, now: Instant, who: Household) -> Duration {
        let missing = 1.0 - self.tokens(now, who);
        // Of 64 bits of nanoseconds a long wait is the longest there is.
        if missing <= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64((missing / self.per_second).min(86_400.0))
        }
    }

    /// Charges him for once.
    pub(super) fn charge(&mut self, now: Instant, who: Household) {
        let tokens = (self.tokens(now, who) - 1.0).max(0.0);
        if let Some(before) = self.buckets.insert(who, Bucket { tokens, at: now }) {
            self.seen.remove(&(before.at, who));
        }
        self.seen.insert((now, who));
        while let Some(&(at, oldest)) = self.seen.first()
            && (self.seen.len() > self.clients_max.max(1) || now - at >= FORGOTTEN_AFTER)
        {
            self.seen.pop_first();
            self.buckets.remove(&oldest);
        }
    }

    /// Charges him if he may be.
    ///
    /// # Errors
    /// How long he has to wait for that.
    pub(super) fn admit(&mut self, now: Instant, who: Household) -> Result<(), Duration> {
        match self.wait(now, who) {
            Duration::ZERO => {
                self.charge(now, who);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    fn tokens(&self, now: Instant, who: Household) -> f64 {
        self.buckets.get(&who).map_or(self.burst, |bucket| {
            (bucket.tokens + (now - bucket.at).as_secs_f64() * self.per_second).min(self.burst)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn who(address: &str) -> Household {
        Household::of(address.parse().unwrap())
    }

    #[test]
    fn a_burst_is_let_in_and_then_as_many_as_a_second_allows() {
        let mut rates = Rates::new(8.0, 32, 10);
        let client = who("192.0.2.7");
        for _ in 0..32 {
            assert_eq!(rates.admit(at(0), client), Ok(()));
        }
        assert_eq!(rates.admit(at(0), client), Err(Duration::from_millis(125)));
        assert_eq!(rates.admit(at(125), client), Ok(()));
        assert!(rates.admit(at(126), client).is_err());
        assert_eq!(rates.admit(at(126), who("192.0.2.8")), Ok(()), "somebody else is not held up");
        let let_in = (0..1000).filter(|second| rates.admit(at(1000 + second * 10), client).is_ok()).count();
        assert!((80..=87).contains(&let_in), "{let_in} in ten seconds");
        let rested = (0..100).filter(|_| rates.admit(at(100_000), client).is_ok()).count();
        assert_eq!(rested, 32, "no more than a burst is saved up");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_ipv4_in_ipv6_is_ipv4() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.7", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("::1", "::2", false),
        ] {
            assert_eq!(who(one) == who(other), same, "{one} {other}");
        }
    }

    #[test]
    fn no_more_are_remembered_than_may_be_and_nobody_for_ever() {
        let mut rates = Rates::new(1.0, 1, 3);
        for last in 1..=4 {
            rates.charge(at(last), who(&format!("192.0.2.{last}")));
        }
        assert_eq!((rates.buckets.len(), rates.seen.len()), (3, 3));
        assert_eq!(rates.wait(at(5), who("192.0.2.1")), Duration::ZERO, "the oldest has made room");
        assert!(rates.wait(at(5), who("192.0.2.2")) > Duration::ZERO);
        rates.charge(at(5) + FORGOTTEN_AFTER, who("192.0.2.9"));
        assert_eq!((rates.buckets.len(), rates.seen.len()), (1, 1));
    }
}
