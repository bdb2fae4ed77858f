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
/// What is read at once while its rate is not known: a few seconds of radio at most.
const UNKNOWN_READ_BYTES: usize = READ_BYTES_MAX / 4;
/// The least that is read at once.
const READ_BYTES_MIN: usize = 7 * PACKET_BYTES;

/// The settings.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PaceParams {
    /// `PRODUCER_READRATE`. Not above zero acts as 1.
    pub rate: f64,
    /// `PRODUCER_READRATE_CATCHUP`: the same while behind. Below `rate` acts as `rate`.
    pub catch_up: f64,
    /// `PRODUCER_INITIAL_BURST`. Zero acts as a second.
    pub burst: Duration,
}

impl Default for PaceParams {
    fn default() -> Self {
        Self { rate: 1.0, catch_up: 1.75, burst: Duration::from_secs(10) }
    }
}

impl PaceParams {
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
    params: PaceParams,
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
    pub fn new(params: PaceParams) -> Self {
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

    /// So many packets of a run have been read.
    pub const fn plain(&mut self, packets: usize) {
        self.elapsed.plain(packets);
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
            return UNKNOWN_READ_BYTES;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::elapsed_tests::Pictures;

    const PICTURE_MS: u64 = 40;

    /// A source that has more than is read of it, and somebody who reads.
    struct Reader {
        pacer: Pacer,
        pictures: Pictures,
        now: u64,
        /// Pictures read since the first.
        read: u64,
        longest_rest: u64,
    }

    impl Reader {
        fn new(pictures: Pictures, params: PaceParams) -> Self {
            let mut pacer = Pacer::new(params);
            pacer.follow(Some(&Pictures::programme()));
            let mut reader = Self { pacer, pictures, now: 0, read: 0, longest_rest: 0 };
            reader.picture();
            reader.pacer.first_picture();
            reader.pacer.begin(Instant::from_millis(0));
            reader
        }

        fn picture(&mut self) {
            self.pictures.next().iter().for_each(|packet| self.pacer.packet(packet));
            self.read += 1;
        }

        /// Reads whatever may be read until then, of a source that has `left` more pictures.
        fn read_to(&mut self, until_ms: u64, mut left: u64) {
            while self.now < until_ms {
                match self.pacer.rests_until(Instant::from_millis(self.now)) {
                    Some(until) => {
                        let until = until.as_millis().max(self.now + 1);
                        self.longest_rest = self.longest_rest.max(until - self.now);
                        self.now = until;
                    }
                    None if left == 0 => self.now += 10,
                    None => {
                        let bytes = self.pictures.packets_each * PACKET_BYTES;
                        let pictures = (self.pacer.room() / bytes).max(1) as u64;
                        for _ in 0..pictures.min(left) {
                            self.picture();
                        }
                        left -= pictures.min(left);
                    }
                }
            }
        }

        fn read_ms(&self) -> u64 {
            self.read * PICTURE_MS
        }
    }

    #[test]
    fn a_film_is_read_a_burst_ahead_and_then_at_its_own_rate() {
        for (packets_each, clock_every, has_stamps) in [
            (3, 1, true),
            (10, 0, true),
            (10, 125, true),
            (1000, 1, true),
            (1000, 1, false),
            (1000, 50, true),
        ] {
            let pictures = Pictures { packets_each, clock_every, has_stamps, ..Pictures::USUAL };
            let mut reader = Reader::new(pictures, PaceParams::default());
            for second in 0..600 {
                reader.read_to(second * 1000 + 1, u64::MAX);
                let ahead = reader.read_ms().saturating_sub(reader.now);
                assert!(
                    (9000..=11_000).contains(&ahead),
                    "{ahead} ms ahead after {second} s of {packets_each}"
                );
            }
            assert!(reader.longest_rest <= 500, "{} ms", reader.longest_rest);
        }
    }

    #[test]
    fn a_loop_neither_stops_the_reading_nor_gives_credit() {
        let mut reader = Reader::new(Pictures::USUAL, PaceParams::default());
        for turn in 1..200 {
            reader.read_to(turn * 3000, u64::MAX);
            reader.pictures.number = if turn % 3 == 0 { 1_000_000 } else { 0 };
            let ahead = reader.read_ms().saturating_sub(reader.now);
            let lost = turn * 2 * PICTURE_MS;
            assert!(ahead <= 10_500 + lost && ahead >= 8000, "{ahead} ms ahead after {turn} jumps");
        }
    }

    #[test]
    fn what_a_late_source_owes_is_read_faster_and_no_more_than_the_burst_at_once() {
        let mut reader = Reader::new(Pictures::USUAL, PaceParams::default());
        // It has nothing for a minute; then all of it at once.
        reader.read_to(60_000, 0);
        reader.read_to(60_010, u64::MAX);
        assert!(reader.read_ms() <= 10_500, "the burst: {} ms", reader.read_ms());
        reader.read_to(64_000, u64::MAX);
        let hurried = reader.read_ms() - 10_000;
        assert!(hurried <= 8000, "not faster than allowed: {hurried} ms in 4 s");
        let before = reader.read_ms();
        reader.read_to(164_000, u64::MAX);
        let hundred = reader.read_ms() - before;
        assert!(hundred <= 120_000, "it has caught up with ten seconds at most: {hundred} ms in 100 s");
    }

    #[test]
    fn a_live_source_is_never_held_up_though_its_clock_is_a_little_fast() {
        let mut reader = Reader::new(Pictures::USUAL, PaceParams::default());
        for picture in 0..25 * 3600 * 2_u64 {
            reader.now = picture * PICTURE_MS * 9999 / 10_000;
            assert_eq!(
                reader.pacer.rests_until(Instant::from_millis(reader.now)),
                None,
                "at {} ms",
                reader.now
            );
            reader.picture();
        }
    }

    #[test]
    fn odd_settings_act_as_their_help_says() {
        let odd = PaceParams { rate: f64::NAN, catch_up: 0.5, burst: Duration::ZERO };
        assert_eq!(odd.effective(), PaceParams { rate: 1.0, catch_up: 1.0, burst: Duration::from_secs(1) });
    }
}
