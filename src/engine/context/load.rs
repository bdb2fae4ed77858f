//! How busy a core is, by its own turns.

use std::time::Duration;

/// So long is looked at in one.
const WINDOW: Duration = Duration::from_millis(250);
/// A core that works more than this part of its time, in thousandths, lets more gather for a viewer,
const AT_WORK: u32 = 100;
/// and all that it may from here on.
const HARD_AT_WORK: u32 = 250;
/// A core that has no time left, window after window, is saturated,
const SATURATED: u32 = 950;
const WINDOWS_SATURATED: u8 = 4;
/// until it has some again.
const RELIEVED: u32 = 850;

/// The longest turn is that of so much time, and of as much before.
const LONGEST_OF: Duration = Duration::from_secs(30);

/// The part of its time for which a core works.
#[derive(Debug, Default)]
pub(crate) struct Load {
    worked: Duration,
    waited: Duration,
    /// Of the last windows, in thousandths.
    share: u32,
    /// So many windows in a row left it no time.
    full_windows: u8,
    /// The longest turns of this half minute and of the one before.
    longest: [Duration; 2],
    /// How much of this half minute is over.
    half_minute: Duration,
}

impl Load {
    /// A turn was work for so long, and waiting for more for so long.
    pub(crate) fn turned(&mut self, worked: Duration, waited: Duration) {
        self.note_longest(worked, waited);
        self.worked += worked;
        self.waited += waited;
        let all = self.worked + self.waited;
        if all < WINDOW {
            return;
        }
        let share = self.worked.as_nanos() * 1000 / all.as_nanos();
        let share = u32::try_from(share).unwrap_or(1000).min(1000);
        self.share = u32::midpoint(self.share, share);
        self.full_windows = match share {
            SATURATED.. => self.full_windows.saturating_add(1),
            RELIEVED.. if self.is_saturated() => self.full_windows,
            _ => 0,
        };
        (self.worked, self.waited) = (Duration::ZERO, Duration::ZERO);
    }

    fn note_longest(&mut self, worked: Duration, waited: Duration) {
        self.longest[0] = self.longest[0].max(worked);
        self.half_minute += worked + waited;
        if self.half_minute >= LONGEST_OF {
            self.half_minute = Duration::ZERO;
            self.longest = [Duration::ZERO, self.longest[0]];
        }
    }

    /// The longest turn of the last half minute to a minute.
    pub(crate) fn longest(&self) -> Duration {
        self.longest[0].max(self.longest[1])
    }

    /// It cannot serve more than it does.
    pub(crate) const fn is_saturated(&self) -> bool {
        self.full_windows >= WINDOWS_SATURATED
    }

    /// How much of what is between `least` and `most` it needs to save time.
    pub(crate) fn between(&self, least: u64, most: u64) -> u64 {
        let part = u64::from(self.share.clamp(AT_WORK, HARD_AT_WORK) - AT_WORK);
        least + most.saturating_sub(least) * part / u64::from(HARD_AT_WORK - AT_WORK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core that works for so many thousandths of these windows.
    fn windows(load: &mut Load, share: u64, count: u32) {
        for _ in 0..count * 250 {
            load.turned(Duration::from_micros(share), Duration::from_micros(1000 - share));
        }
    }

    #[test]
    fn the_more_a_core_works_the_more_it_lets_gather_between_the_bounds() {
        for (share, expected) in [(0, 100), (100, 100), (175, 150), (250, 200), (1000, 200)] {
            let mut load = Load::default();
            windows(&mut load, share, 40);
            let gathers = load.between(100, 200);
            assert!(gathers.abs_diff(expected) <= 1, "{gathers} at {share}");
            assert_eq!(load.between(100, 50), 100, "the least is the least");
        }
    }

    #[test]
    fn the_longest_turn_is_remembered_for_half_a_minute_and_forgotten_in_a_minute() {
        let mut load = Load::default();
        let (long, short) = (Duration::from_millis(7), Duration::from_millis(1));
        load.turned(long, Duration::ZERO);
        for second in 1..=70 {
            load.turned(short, Duration::from_secs(1) - short);
            let expected = if second <= 30 { Some(long) } else { (second > 60).then_some(short) };
            assert!(
                expected.is_none_or(|expected| load.longest() == expected),
                "{second}: {:?}",
                load.longest()
            );
        }
    }

    #[test]
    fn a_core_is_saturated_when_it_has_had_no_time_for_a_second_and_until_it_has_some() {
        let mut load = Load::default();
        let mut after = |share, count| {
            windows(&mut load, share, count);
            load.is_saturated()
        };
        for (share, count, expected) in [
            (1000, 3, false),
            (900, 1, false),
            (960, 3, false),
            (960, 1, true),
            (900, 9, true),
            (840, 1, false),
            (900, 9, false),
        ] {
            assert_eq!(after(share, count), expected, "{share} in {count} windows");
        }
    }
}
