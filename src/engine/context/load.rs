//! How busy a core is, by its own turns.

use std::time::Duration;

/// So long is looked at in one.
const WINDOW: Duration = Duration::from_millis(250);
/// A core that works more than this part of its time, in thousandths, lets more gather for a viewer,
const AT_WORK: u32 = 100;
/// and all that it may from here on.
const HARD_AT_WORK: u32 = 250;
/// A core that never gets to the end of those who wait to be sent to, window after window, though it does nothing else, is
/// saturated once each of them waits so long. A core that only has no time left may serve everybody in time.
const SATURATED: u32 = 950;
const LATE: Duration = Duration::from_millis(100);
const WINDOWS_SATURATED: u8 = 4;
/// It is no more once they wait less than this.
const IN_TIME: Duration = Duration::from_millis(50);

/// The longest turn is that of so much time, and of as much before.
const LONGEST_OF: Duration = Duration::from_secs(30);

/// The part of its time for which a core works.
#[derive(Debug, Default)]
pub(crate) struct Load {
    worked: Duration,
    waited: Duration,
    /// Of the last windows, in thousandths.
    share: u32,
    /// The shortest time that somebody waited to be sent to, of this window's turns.
    wait: Option<Duration>,
    /// The same of the window before.
    send_wait: Duration,
    /// So many windows in a row it was late.
    late_windows: u8,
    /// The longest turns of this half minute and of the one before.
    longest: [Duration; 2],
    /// How much of this half minute is over.
    half_minute: Duration,
}

impl Load {
    /// A turn was work for so long, and waiting for more for so long; and so long those wait now who are to be sent to.
    pub(crate) fn turned(&mut self, worked: Duration, waited: Duration, wait: Duration) {
        self.note_longest(worked, waited);
        let wait = self.wait.map_or(wait, |shortest| shortest.min(wait));
        self.wait = Some(wait);
        self.worked += worked;
        self.waited += waited;
        let all = self.worked + self.waited;
        if all < WINDOW {
            return;
        }
        let share = self.worked.as_nanos() * 1000 / all.as_nanos();
        let share = u32::try_from(share).unwrap_or(1000).min(1000);
        self.share = u32::midpoint(self.share, share);
        self.late_windows = if wait >= LATE && share >= SATURATED {
            self.late_windows.saturating_add(1)
        } else if wait >= IN_TIME && self.is_saturated() {
            self.late_windows
        } else {
            0
        };
        (self.worked, self.waited, self.wait) = (Duration::ZERO, Duration::ZERO, None);
        self.send_wait = wait;
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

    /// How long those waited in the last window who were to be sent to, at the least.
    pub(crate) const fn send_wait(&self) -> Duration {
        self.send_wait
    }

    /// It cannot serve more than it does.
    pub(crate) const fn is_saturated(&self) -> bool {
        self.late_windows >= WINDOWS_SATURATED
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

    /// A core that works for so many thousandths of these windows, while those who are to be sent to wait so long.
    fn windows(load: &mut Load, share: u64, wait_ms: u64, count: u32) {
        for _ in 0..count * 250 {
            load.turned(
                Duration::from_micros(share),
                Duration::from_micros(1000 - share),
                Duration::from_millis(wait_ms),
            );
        }
    }

    #[test]
    fn the_more_a_core_works_the_more_it_lets_gather_between_the_bounds() {
        for (share, expected) in [(0, 100), (100, 100), (175, 150), (250, 200), (1000, 200)] {
            let mut load = Load::default();
            windows(&mut load, share, 0, 40);
            let gathers = load.between(100, 200);
            assert!(gathers.abs_diff(expected) <= 1, "{gathers} at {share}");
            assert_eq!(load.between(100, 50), 100, "the least is the least");
        }
    }

    #[test]
    fn the_longest_turn_is_remembered_for_half_a_minute_and_forgotten_in_a_minute() {
        let mut load = Load::default();
        let (long, short) = (Duration::from_millis(7), Duration::from_millis(1));
        load.turned(long, Duration::ZERO, Duration::ZERO);
        for second in 1..=70 {
            load.turned(short, Duration::from_secs(1) - short, Duration::ZERO);
            let expected = if second <= 30 { Some(long) } else { (second > 60).then_some(short) };
            assert!(
                expected.is_none_or(|expected| load.longest() == expected),
                "{second}: {:?}",
                load.longest()
            );
        }
    }

    #[test]
    fn a_core_is_saturated_when_everybody_has_waited_for_it_for_a_second_and_until_they_do_not() {
        let mut load = Load::default();
        let mut after = |share, wait_ms, count| {
            windows(&mut load, share, wait_ms, count);
            load.is_saturated()
        };
        for (share, wait_ms, count, expected, why) in [
            (1000, 99, 40, false, "it has no time left and is in time"),
            (900, 200, 40, false, "it has time, and is not what they wait for"),
            (1000, 100, 3, false, "not for a second yet"),
            (1000, 10, 1, false, "they have been in time between"),
            (960, 100, 3, false, "not for a second in a row"),
            (960, 100, 1, true, "a second"),
            (900, 60, 9, true, "they wait, though less"),
            (1000, 49, 1, false, "they are in time"),
            (1000, 60, 9, false, "they wait, and no longer than may be"),
        ] {
            assert_eq!(
                after(share, wait_ms, count),
                expected,
                "{why}: {share}, {wait_ms} ms in {count} windows"
            );
        }
    }

    #[test]
    fn one_turn_of_a_window_without_anybody_waiting_shows_that_the_core_gets_to_the_end() {
        let mut load = Load::default();
        let (work, late) = (Duration::from_millis(10), Duration::from_millis(300));
        for turn in 0..2000 {
            load.turned(work, Duration::ZERO, if turn % 25 == 7 { Duration::ZERO } else { late });
            assert!(!load.is_saturated(), "turn {turn}");
        }
        assert_eq!(load.send_wait(), Duration::ZERO);
        for _turn in 0..100 {
            load.turned(work, Duration::ZERO, late);
        }
        assert!(load.is_saturated() && load.send_wait() == late);
    }
}
