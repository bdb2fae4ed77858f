//! How busy a core is, by its own turns and by how far behind those are whom it serves.

use std::time::Duration;

use crate::base::limits::SEND_BYTES_MAX;

/// So long is looked at in one.
const WINDOW: Duration = Duration::from_millis(250);
/// A core that works for streams for more than this part of its time, in thousandths, lets what is less than a step wait longer:
/// nearly always the rest of the step comes meanwhile, and a send of a few bytes costs what one of many does.
const HAS_SOME_WORK: u32 = 50;
/// From this part on more gathers for a viewer,
const AT_WORK: u32 = 100;
/// and both are the most that they may be from here on.
const HARD_AT_WORK: u32 = 250;
/// A core that works this part of its time has none left. It may still serve everybody in time:
const SATURATED: u32 = 950;
/// it is late only when all that are to be sent to wait so long, though it comes to the end of them at last,
const LATE: Duration = Duration::from_millis(200);
/// or when more than half have more before them than the largest send takes.
const BEHIND_BYTES: u64 = SEND_BYTES_MAX as u64;
/// A core that has no time left and is late, window after window, is saturated,
const WINDOWS_SATURATED: u8 = 2;
/// until all wait less than this and less than a quarter is behind.
const IN_TIME: Duration = Duration::from_millis(100);
/// How far behind those are who are served is compared so many windows apart.
const WINDOWS_COMPARED: u8 = 4;
/// Of thousand viewers fewer are not too many.
const EXCESS_MIN: u64 = 5;
/// No more of thousand are ended at once.
const EXCESS_MAX: u64 = 250;

/// The longest turn is that of so much time, and of as much before.
const LONGEST_OF: Duration = Duration::from_secs(30);

/// Sends to those whose sockets had room.
#[derive(Debug, Default, Clone, Copy)]
struct Sends {
    count: u64,
    /// So many of those served were behind.
    behind: u64,
    /// Bytes of all sends.
    bytes: u64,
    /// Bytes that were left to be sent after each.
    left: u64,
}

impl Sends {
    const fn add(&mut self, other: Self) {
        self.count += other.count;
        self.behind += other.behind;
        self.bytes += other.bytes;
        self.left += other.left;
    }

    /// What is left for one who is served, on the average.
    const fn left_each(&self) -> Option<u64> {
        self.left.checked_div(self.count)
    }
}

/// The part of its time for which a core works, and whether that is enough.
#[derive(Debug, Default)]
pub(crate) struct Load {
    worked: Duration,
    waited: Duration,
    /// What was done in it: for streams, and for whoever comes, goes and asks for something else.
    done: Done,
    /// The part for streams of the last windows, in thousandths. Sends that are fewer and larger save time of these alone: whoever
    /// floods the core with requests is not to make viewers wait for it.
    share: u32,
    /// The shortest time that somebody waited to be sent to, of this window's turns.
    wait: Option<Duration>,
    /// The same of the window before.
    send_wait: Duration,
    /// Of this window.
    sends: Sends,
    /// So many windows in a row it was late.
    late_windows: u8,
    trend: Trend,
    /// The longest turns of this half minute and of the one before.
    longest: [Duration; 2],
    /// How much of this half minute is over.
    half_minute: Duration,
}

/// Whether a saturated core falls behind more and more.
#[derive(Debug, Default)]
struct Trend {
    windows: u8,
    sends: Sends,
    /// What was left for each of those served in the windows before.
    left_before: Option<u64>,
    /// Of thousand bytes that became due so many were left over, as long as nobody has asked.
    excess: Option<u64>,
}

impl Trend {
    fn window(&mut self, sends: Sends, viewers: u64) {
        self.sends.add(sends);
        self.windows += 1;
        if self.windows < WINDOWS_COMPARED {
            return;
        }
        let left = self.sends.left_each();
        self.excess = left.zip(self.left_before).and_then(|(left, before)| {
            let more = left.saturating_sub(before);
            let got = self.sends.bytes.checked_div(viewers)?;
            (more * 1000).checked_div(more + got)
        });
        *self = Self { left_before: left, excess: self.excess, ..Self::default() };
    }
}

/// What a core has done.
#[derive(Debug, Default, Clone, Copy)]
struct Done {
    for_streams: u64,
    otherwise: u64,
}

impl Done {
    /// So much of this is for streams.
    fn part_for_streams(self, of: u32) -> u32 {
        let all = self.for_streams + self.otherwise;
        (u64::from(of) * self.for_streams)
            .checked_div(all)
            .map_or(of, |part| u32::try_from(part).unwrap_or(of))
    }
}

impl Load {
    /// Something was done, for a stream or for somebody who comes, goes or asks for something else.
    pub(crate) const fn did(&mut self, is_for_stream: bool) {
        if is_for_stream {
            self.done.for_streams += 1;
        } else {
            self.done.otherwise += 1;
        }
    }

    /// A viewer who had caught up, and whose socket has room, is sent so much of what waits for it.
    pub(crate) const fn sends(&mut self, waiting: u64, bytes: u64) {
        self.sends.count += 1;
        self.sends.behind += (waiting > BEHIND_BYTES) as u64;
        self.sends.bytes += bytes;
        self.sends.left += waiting.saturating_sub(bytes);
    }

    /// A turn was work for so long, and waiting for more for so long; so long those wait now who are to be sent to; and there are so
    /// many viewers.
    pub(crate) fn turned(&mut self, worked: Duration, waited: Duration, wait: Duration, viewers: u64) {
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
        self.share = u32::midpoint(self.share, std::mem::take(&mut self.done).part_for_streams(share));
        let sends = std::mem::take(&mut self.sends);
        let is_late = wait >= LATE || 2 * sends.behind > sends.count;
        let is_in_time = wait < IN_TIME && 4 * sends.behind <= sends.count;
        self.late_windows = if is_late && share >= SATURATED {
            self.late_windows.saturating_add(1)
        } else if self.is_saturated() && !is_in_time {
            self.late_windows
        } else {
            0
        };
        if self.is_saturated() {
            self.trend.window(sends, viewers);
        } else {
            self.trend = Trend::default();
        }
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

    /// Of so many viewers this many are too many: without them a saturated core would fall behind no further. Asked once, for each
    /// second that it has fallen further behind.
    pub(crate) fn take_too_many(&mut self, viewers: u64) -> u64 {
        let Some(excess) = self.trend.excess.take().filter(|excess| *excess >= EXCESS_MIN) else { return 0 };
        // Those who stay have been there for longer and are further behind, which is no trend.
        self.trend = Trend::default();
        (viewers * excess.min(EXCESS_MAX)).div_ceil(1000)
    }

    /// So much between `least` and `most` gathers for a viewer, to save time.
    pub(crate) fn gathers(&self, least: u64, most: u64) -> u64 {
        self.between(AT_WORK, least, most)
    }

    /// So long between `least` and `most` waits what is less than that.
    pub(crate) fn lets_wait(&self, least: Duration, most: Duration) -> Duration {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.between(HAS_SOME_WORK, nanos(least), nanos(most)))
    }

    fn between(&self, from: u32, least: u64, most: u64) -> u64 {
        let part = u64::from(self.share.clamp(from, HARD_AT_WORK) - from);
        least + most.saturating_sub(least) * part / u64::from(HARD_AT_WORK - from)
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
                0,
            );
        }
    }

    #[test]
    fn the_more_a_core_works_the_more_it_lets_gather_between_the_bounds() {
        for (share, expected) in [(0, 100), (100, 100), (175, 150), (250, 200), (1000, 200)] {
            let mut load = Load::default();
            windows(&mut load, share, 0, 40);
            let gathers = load.gathers(100, 200);
            assert!(gathers.abs_diff(expected) <= 1, "{gathers} at {share}");
            assert_eq!(load.gathers(100, 50), 100, "the least is the least");
        }
    }

    #[test]
    fn what_is_less_than_a_step_waits_longer_from_a_little_work_on() {
        for (share, expected) in [(0, 100), (50, 100), (100, 137), (150, 175), (250, 250), (1000, 250)] {
            let mut load = Load::default();
            windows(&mut load, share, 0, 40);
            let waits = load.lets_wait(Duration::from_millis(100), Duration::from_millis(250));
            assert!(waits.as_millis().abs_diff(expected) <= 1, "{waits:?} at {share}");
            assert_eq!(load.lets_wait(WINDOW, Duration::ZERO), WINDOW, "the least is the least");
        }
    }

    #[test]
    fn who_asks_for_other_things_makes_nobody_wait_for_more_to_gather() {
        for (for_streams, otherwise, expected) in
            [(1, 0, 200), (1, 1, 200), (1, 3, 150), (1, 9, 100), (0, 1, 100)]
        {
            let mut load = Load::default();
            for _ in 0..40 {
                for (count, is_for_stream) in [(for_streams, true), (otherwise, false)] {
                    (0..count).for_each(|_| load.did(is_for_stream));
                }
                load.turned(WINDOW * 7 / 10, WINDOW * 3 / 10, Duration::ZERO, 0);
            }
            let gathers = load.gathers(100, 200);
            assert!(gathers.abs_diff(expected) <= 1, "{gathers} with {for_streams} to {otherwise}");
        }
    }

    #[test]
    fn the_longest_turn_is_remembered_for_half_a_minute_and_forgotten_in_a_minute() {
        let mut load = Load::default();
        let (long, short) = (Duration::from_millis(7), Duration::from_millis(1));
        load.turned(long, Duration::ZERO, Duration::ZERO, 0);
        for second in 1..=70 {
            load.turned(short, Duration::from_secs(1) - short, Duration::ZERO, 0);
            let expected = if second <= 30 { Some(long) } else { (second > 60).then_some(short) };
            assert!(
                expected.is_none_or(|expected| load.longest() == expected),
                "{second}: {:?}",
                load.longest()
            );
        }
    }

    #[test]
    fn a_core_is_saturated_when_everybody_waits_for_it_and_until_they_do_not() {
        let mut load = Load::default();
        let mut after = |share, wait_ms, count| {
            windows(&mut load, share, wait_ms, count);
            load.is_saturated()
        };
        for (share, wait_ms, count, expected, why) in [
            (1000, 199, 40, false, "it has no time left and is in time"),
            (900, 400, 40, false, "it has time, and is not what they wait for"),
            (1000, 200, 1, false, "not for long enough yet"),
            (1000, 10, 1, false, "they have been in time between"),
            (960, 200, 1, false, "not twice in a row"),
            (960, 200, 1, true, "twice in a row"),
            (900, 110, 9, true, "they wait, though less"),
            (1000, 99, 1, false, "they are in time"),
            (1000, 110, 9, false, "they wait, and no longer than may be"),
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
            load.turned(work, Duration::ZERO, if turn % 25 == 7 { Duration::ZERO } else { late }, 0);
            assert!(!load.is_saturated(), "turn {turn}");
        }
        assert_eq!(load.send_wait(), Duration::ZERO);
        for _turn in 0..100 {
            load.turned(work, Duration::ZERO, late, 0);
        }
        assert!(load.is_saturated() && load.send_wait() == late);
    }

    const SEND: u64 = SEND_BYTES_MAX as u64;

    /// Windows in which a core has no time left, and so much waits for one after the other of these viewers.
    fn full(load: &mut Load, count: u8, viewers: u64, waiting: impl Fn(u64) -> u64) {
        for _window in 0..count {
            for viewer in 0..viewers {
                let waiting = waiting(viewer);
                load.sends(waiting, waiting.min(SEND));
            }
            load.turned(WINDOW, Duration::ZERO, Duration::ZERO, viewers);
        }
    }

    #[test]
    fn a_core_is_saturated_when_more_than_half_have_more_before_them_than_one_send_takes() {
        for (behind, expected) in [(0, false), (50, false), (51, true), (100, true)] {
            let mut load = Load::default();
            full(&mut load, 2, 100, |viewer| if viewer < behind { SEND + 1 } else { SEND });
            assert_eq!(load.is_saturated(), expected, "{behind} of 100 are behind");
            full(&mut load, 9, 100, |viewer| if viewer < 26 { SEND + 1 } else { SEND });
            assert_eq!(load.is_saturated(), expected, "a quarter is behind still");
            full(&mut load, 1, 100, |viewer| if viewer < 25 { SEND + 1 } else { SEND });
            assert!(!load.is_saturated());
        }
    }

    #[test]
    fn as_many_are_too_many_as_get_nothing_of_what_comes() {
        // Each gets four sends a second; so much more becomes due.
        for (more, expected) in [(0, 0), (SEND / 1000, 0), (SEND, 200), (4 * SEND, 250), (400 * SEND, 250)] {
            let mut load = Load::default();
            full(&mut load, 1 + 2 * WINDOWS_COMPARED, 1000, |_| 4 * SEND);
            assert_eq!(load.take_too_many(1000), 0, "they are as far behind as they were");
            full(&mut load, WINDOWS_COMPARED, 1000, |_| 4 * SEND + more);
            assert_eq!(load.take_too_many(1000), expected, "{more} more");
            assert_eq!(load.take_too_many(1000), 0, "it has been asked");
            full(&mut load, WINDOWS_COMPARED, 1000, |_| 800 * SEND);
            assert!(expected == 0 || load.take_too_many(750) == 0, "those who stay are others");
            full(&mut load, WINDOWS_COMPARED, 1000, |_| 3 * SEND);
            assert_eq!(load.take_too_many(1000), 0, "they catch up");
        }
        let mut load = Load::default();
        full(&mut load, 1 + WINDOWS_COMPARED, 3, |_| 4 * SEND);
        full(&mut load, WINDOWS_COMPARED, 3, |_| 5 * SEND);
        assert_eq!(load.take_too_many(3), 1, "one at the least");
    }
}
