//! Who has asked too often, or guessed at the password.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::Instant;

use super::params::Params;
use super::rates::{Household, Rates};

/// Wrong passwords that one household may try at once, and how many a second for long: a person errs less often, and whoever
/// guesses gets ten a minute.
pub(super) const WRONG_AT_ONCE: u32 = 10;
const WRONG_PER_SECOND: f64 = 1.0 / 6.0;
/// Households that are remembered for that. Full: the one that has not erred for longest makes room.
const WRONG_CLIENTS_MAX: usize = 1024;

/// What is remembered of those who ask.
pub(super) struct Doors {
    requests: Option<Rates>,
    wrong_passwords: Rates,
    /// Requests that had to wait, and passwords that were wrong.
    counts: (u64, u64),
}

impl Doors {
    pub(super) fn new(params: &Params) -> Self {
        let rates =
            |limit: super::params::RateLimit| Rates::new(limit.per_second, limit.burst, limit.clients_max);
        Self {
            requests: params.rate_limit.map(rates),
            wrong_passwords: Rates::new(WRONG_PER_SECOND, WRONG_AT_ONCE, WRONG_CLIENTS_MAX),
            counts: (0, 0),
        }
    }

    /// Somebody makes a request.
    ///
    /// # Errors
    /// How long it has to wait until it may.
    pub(super) fn ask(&mut self, now: Instant, who: IpAddr) -> Result<(), Duration> {
        let admitted = self.requests.as_mut().map_or(Ok(()), |rates| rates.admit(now, Household::of(who)));
        self.counts.0 += u64::from(admitted.is_err());
        admitted
    }

    /// How long somebody has to wait until its password is looked at.
    pub(super) fn guess_wait(&self, now: Instant, who: IpAddr) -> Duration {
        self.wrong_passwords.wait(now, Household::of(who))
    }

    /// Its password was wrong. Gives how long the next one has to wait.
    pub(super) fn guessed_wrong(&mut self, now: Instant, who: IpAddr) -> Duration {
        self.wrong_passwords.charge(now, Household::of(who));
        self.counts.1 += 1;
        self.guess_wait(now, who)
    }

    /// Requests that had to wait, and passwords that were wrong, since the start.
    pub(super) const fn counts(&self) -> (u64, u64) {
        self.counts
    }
}
