//! Notices a filler that produces more than a live stream could: something is broken then, and its bytes would
//! push what viewers have not read yet out of the ring.

use std::time::Duration;

use crate::base::Instant;

/// How many times what is expected is too much.
const EXCESS: f64 = 2.5;
/// A rate over less time than this says nothing.
const ELAPSED_MIN: Duration = Duration::from_millis(750);
/// Too much for this long trips.
const PATIENCE: Duration = Duration::from_millis(1500);

const SLOT_NANOS: u64 = 250_000_000;
const SLOTS: usize = 4;

/// Bytes of the last second, in slots of a quarter of it: a burst has left before the patience ends.
#[derive(Clone, Debug)]
pub(super) struct Guardrail {
    began: Instant,
    /// Number of the slot and its bytes. A number that is too old means zero.
    slots: [(u64, u64); SLOTS],
    /// Bytes per second that are too many.
    limit: f64,
    over_since: Option<Instant>,
}

/// It has tripped.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Tripped {
    pub(super) rate: f64,
    pub(super) limit: f64,
}

impl Guardrail {
    /// Watches from now. `expected` is what a live stream would have, `own` what the filler itself means to
    /// produce, both in bytes per second: a channel of very few bits is no reason to end a healthy filler.
    pub(super) fn new(now: Instant, expected: f64, own: f64) -> Self {
        Self { began: now, slots: [(0, 0); SLOTS], limit: EXCESS * expected.max(own), over_since: None }
    }

    /// Bytes have been published.
    pub(super) fn published(&mut self, now: Instant, bytes: u64) -> Option<Tripped> {
        let number = now.as_nanos() / SLOT_NANOS;
        let index = usize::try_from(number % SLOTS as u64).expect("less than the number of slots");
        let slot = &mut self.slots[index];
        if slot.0 != number {
            *slot = (number, 0);
        }
        slot.1 = slot.1.saturating_add(bytes);

        let oldest = (number + 1).saturating_sub(SLOTS as u64);
        let from = self.began.max(Instant::from_nanos(oldest * SLOT_NANOS));
        let elapsed = (now - from).as_secs_f64();
        let recent = self.slots.iter().filter(|(slot, _)| *slot >= oldest).map(|(_, bytes)| *bytes);
        #[expect(clippy::cast_precision_loss, reason = "a rate is no account")]
        let bytes = recent.fold(0, u64::saturating_add) as f64;
        if now - self.began < ELAPSED_MIN || bytes <= self.limit * elapsed {
            self.over_since = None;
            return None;
        }
        let since = *self.over_since.get_or_insert(now);
        (now - since >= PATIENCE).then_some(Tripped { rate: bytes / elapsed, limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Publishes `rate` bytes per second each 20 ms, for times in milliseconds; returns when it tripped.
    fn run(guard: &mut Guardrail, rate: u64, millis: std::ops::Range<u64>) -> Option<u64> {
        millis.step_by(20).find(|at| guard.published(Instant::from_millis(*at), rate / 50).is_some())
    }

    #[test]
    fn too_much_for_long_enough_trips() {
        for began in [0, 130, 7_777] {
            let mut guard = Guardrail::new(Instant::from_millis(began), 1000.0, 0.0);
            let tripped = run(&mut guard, 3000, began..began + 10_000).unwrap() - began;
            assert!((2250..2300).contains(&tripped), "{tripped} ms");
        }
    }

    #[test]
    fn what_is_within_the_limit_never_trips() {
        let mut guard = Guardrail::new(Instant::START, 1000.0, 0.0);
        assert_eq!(run(&mut guard, 2200, 0..60_000), None);
    }

    #[test]
    fn a_burst_is_forgiven_and_forgotten() {
        let mut guard = Guardrail::new(Instant::START, 1000.0, 0.0);
        for second in 0..10 {
            let from = second * 4000;
            assert_eq!(run(&mut guard, 1000, from..from + 3600), None);
            assert_eq!(run(&mut guard, 50_000, from + 3600..from + 4000), None);
        }
        assert_eq!(run(&mut guard, 1000, 40_000..60_000), None);
        assert!(run(&mut guard, 50_000, 60_000..62_000).is_some(), "it still watches");
    }

    #[test]
    fn what_it_means_to_produce_is_no_excess() {
        let mut guard = Guardrail::new(Instant::START, 1000.0, 20_000.0);
        assert_eq!(run(&mut guard, 22_000, 0..10_000), None);
        assert!(run(&mut guard, 60_000, 10_000..20_000).is_some());
    }
}
