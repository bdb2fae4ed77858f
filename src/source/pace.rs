//! How far ahead of viewers a source is read.
//!
//! Viewers take a programme at its own rate. What a source offers beyond that (a film, what a provider keeps ready for
//! whoever connects, what gathered while it was late) is read so far ahead and no further; the rest stays in
//! the sockets, the provider's and ours.
//!
//! ```text
//! lead    the programme read, less the time since the first picture; not counted below -burst
//! credit  what may be read at once: at first, and at most, the burst; it grows with time, faster while
//!         the lead is negative
//! ```
//!
//! `lead + credit <= burst` holds throughout, so a source is never read further ahead than the burst.

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::{PACKET_BYTES, READ_BYTES_MAX};
use crate::ts::psi::Programme;
use crate::ts::{Elapsed, PacketBytes};

/// A provider's clock may be this much faster than ours for ever: three times what the standard allows.
const DRIFT: f64 = 1e-4;
/// Reads of a source that is read at its own rate are of this much of the programme.
const STEP: Duration = Duration::from_millis(200);
/// The longest rest: whoever watches for silence must not take it for one.
const REST_MAX: Duration = Duration::from_millis(500);
/// What one read may have brought too much. More is a mistake about the time in it, and is forgotten.
const DEBT_MAX: Duration = Duration::from_secs(1);
/// The least that is read at once.
const READ_BYTES_MIN: usize = 7 * PACKET_BYTES;

/// The settings.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Params {
    /// `PRODUCER_READRATE`. Not above zero acts as 1.
    pub rate: f64,
    /// `PRODUCER_READRATE_CATCHUP`: the same while behind. Below `rate` acts as `rate`.
    pub catch_up: f64,
    /// `PRODUCER_INITIAL_BURST`. Zero acts as a second.
    pub burst: Duration,
}

impl Params {
    fn effective(self) -> Self {
        let or_one = |rate: f64| if rate.is_finite() && rate > 0.0 { rate } else { 1.0 };
        let rate = or_one(self.rate);
        let catch_up = or_one(self.catch_up).max(rate);
        let burst = if self.burst.is_zero() { Duration::from_secs(1) } else { self.burst };
        Self { rate, catch_up, burst }
    }
}

/// Paces one run of a source.
#[derive(Clone, Debug)]
pub struct Pacer {
    params: Params,
    elapsed: Elapsed,
    /// The programme's time at the first picture.
    first: Option<Duration>,
    /// Set once it is paced.
    pace: Option<Pace>,
}

/// Seconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    at: Instant,
    counted: Duration,
    lead: f64,
    credit: f64,
}

impl Pacer {
    /// Nothing has been read.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self { params: params.effective(), elapsed: Elapsed::default(), first: None, pace: None }
    }

    /// The programme is this one.
    pub fn follow(&mut self, programme: Option<&Programme>) {
        self.elapsed.follow(programme);
    }

    /// A packet has been read.
    pub fn packet(&mut self, packet: &PacketBytes) {
        self.elapsed.packet(packet);
    }

    /// The first picture is in what has just been read.
    pub fn first_picture(&mut self) {
        self.first.get_or_insert(self.elapsed.time());
    }

    /// Viewers are shown the source from now on, from its first picture.
    pub fn begin(&mut self, now: Instant) {
        let counted = self.first.unwrap_or_else(|| self.elapsed.time());
        let burst = self.params.burst.as_secs_f64();
        self.pace.get_or_insert(Pace { at: now, counted, lead: 0.0, credit: burst });
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        let Some(pace) = &mut self.pace else { return };
        let burst = self.params.burst.as_secs_f64();
        let time = self.elapsed.time();
        let read = time.saturating_sub(pace.counted).as_secs_f64();
        let passed = (now - pace.at).as_secs_f64();
        let rate = self.params.rate * (1.0 + DRIFT);
        let catch_up = self.params.catch_up.max(rate);
        // Only until it has caught up.
        let behind = if catch_up > rate { (-pace.lead).max(0.0) / (catch_up - rate) } else { 0.0 };
        let hurried = passed.min(behind);
        let grown = hurried * catch_up + (passed - hurried) * rate;
        pace.credit = ((pace.credit + grown).min(burst) - read).max(-DEBT_MAX.as_secs_f64());
        pace.lead = (pace.lead + read - passed * rate).clamp(-burst, burst - pace.credit);
        pace.at = now;
        pace.counted = pace.counted.max(time);
    }

    /// Until when nothing is to be read; `None` is go on.
    pub fn rests_until(&mut self, now: Instant) -> Option<Instant> {
        self.settle(now);
        let pace = self.pace.filter(|pace| pace.credit <= 0.0)?;
        let seconds = (STEP.as_secs_f64() - pace.credit) / self.params.rate;
        Some(now + Duration::from_secs_f64(seconds).min(REST_MAX))
    }

    /// How many bytes may be read at once.
    #[must_use]
    pub fn room(&self) -> usize {
        let (Some(pace), Some(rate)) = (self.pace, self.elapsed.bytes_per_second()) else {
            return READ_BYTES_MAX;
        };
        let seconds = pace.credit.max(STEP.as_secs_f64());
        let step = Duration::from_secs_f64(seconds).as_millis() * u128::from(rate) / 1000;
        usize::try_from(step).unwrap_or(usize::MAX).clamp(READ_BYTES_MIN, READ_BYTES_MAX)
    }

    /// How much less than its own time has been read of it.
    #[must_use]
    pub fn behind(&self) -> Duration {
        self.pace.map_or(Duration::ZERO, |pace| Duration::from_secs_f64((-pace.lead).max(0.0)))
    }
}
