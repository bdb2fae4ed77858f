//! The numbers of a start: how much was read before viewers got their first byte.

use std::time::Duration;

use crate::base::Instant;

/// Bytes read and bytes kept of a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cutover {
    /// Bytes read.
    pub raw: u64,
    /// Bytes kept.
    pub trimmed: u64,
    /// Where the kept bytes begin.
    pub offset: u64,
    /// Bytes read and not kept.
    pub dropped: u64,
}

impl Cutover {
    /// Numbers that fit each other, whatever was counted.
    #[must_use]
    pub fn new(raw: u64, trimmed: u64, offset: u64) -> Self {
        let raw = raw.max(trimmed);
        let dropped = raw - trimmed;
        Self { raw, trimmed, offset: offset.min(dropped), dropped }
    }

    /// The numbers of a start at a position among the bytes that became packets. Of `received` bytes `undecided`
    /// still wait for the rest of their packet, and what is neither was no part of any.
    #[must_use]
    pub fn at_start(received: u64, packets: u64, undecided: u64, from: u64) -> Self {
        let junk = received.saturating_sub(packets).saturating_sub(undecided);
        Self::new(received, received.saturating_sub(junk).saturating_sub(from), junk.saturating_add(from))
    }

    /// The dropped part of what was read in percent, rounded half up.
    #[must_use]
    pub fn percent(self) -> u64 {
        let (dropped, raw) = (u128::from(self.dropped), u128::from(self.raw));
        let percent = (dropped * 200 + raw).checked_div(raw * 2).unwrap_or(0);
        u64::try_from(percent).expect("dropped is part of raw, so this is at most 100")
    }
}

/// Warns of starts that waited for most of what they read, and not too often.
#[derive(Clone, Copy, Debug, Default)]
pub struct CutoverWarning {
    quiet_until: Option<Instant>,
    suppressed: u64,
}

impl CutoverWarning {
    /// The number of warnings suppressed since the last one, when a warning is due.
    pub fn due(&mut self, now: Instant, cutover: Cutover) -> Option<u64> {
        if cutover.percent() < WARNING_PERCENT {
            return None;
        }
        if self.quiet_until.is_some_and(|until| now < until) {
            self.suppressed += 1;
            return None;
        }
        self.quiet_until = Some(now + WARNING_INTERVAL);
        Some(std::mem::take(&mut self.suppressed))
    }
}

const WARNING_PERCENT: u64 = 75;
const WARNING_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_fit_each_other() {
        for ((raw, trimmed, offset), (raw_after, offset_after, dropped, percent)) in [
            ((1000, 220, 780), (1000, 780, 780, 78)),
            ((100, 220, 780), (220, 0, 0, 0)),
            ((1000, 900, 500), (1000, 100, 100, 10)),
            ((1000, 255, 745), (1000, 745, 745, 75)),
            ((1000, 256, 744), (1000, 744, 744, 74)),
            ((376, 188, 188), (376, 188, 188, 50)),
            ((0, 0, 0), (0, 0, 0, 0)),
            ((u64::MAX, 0, u64::MAX), (u64::MAX, u64::MAX, u64::MAX, 100)),
        ] {
            let cutover = Cutover::new(raw, trimmed, offset);
            let expected = Cutover { raw: raw_after, trimmed, offset: offset_after, dropped };
            assert_eq!((cutover, cutover.percent()), (expected, percent), "({raw}, {trimmed}, {offset})");
        }
    }

    #[test]
    fn a_start_is_counted_in_the_bytes_received() {
        for ((received, packets, undecided, from), (raw, trimmed, offset)) in [
            ((376, 376, 0, 188), (376, 188, 188)),
            ((1880, 1880, 0, 0), (1880, 1880, 0)),
            // Three bytes before the first packet, and a hundred of the next.
            ((479, 376, 100, 188), (479, 288, 191)),
            ((0, 0, 0, 0), (0, 0, 0)),
            ((100, 200, 300, 400), (100, 0, 100)),
        ] {
            let expected = Cutover { raw, trimmed, offset, dropped: raw - trimmed };
            assert_eq!(Cutover::at_start(received, packets, undecided, from), expected);
        }
    }

    #[test]
    fn a_warning_is_given_at_most_every_half_minute_and_counts_the_silent_ones() {
        let mut warning = CutoverWarning::default();
        let late = Cutover::new(1000, 220, 780);
        for (seconds, cutover, expected) in [
            (0, late, Some(0)),
            (1, late, None),
            (29, late, None),
            (30, Cutover::new(1000, 256, 744), None),
            (30, late, Some(2)),
            (31, late, None),
        ] {
            assert_eq!(warning.due(Instant::from_millis(seconds * 1000), cutover), expected, "{seconds} s");
        }
    }
}
