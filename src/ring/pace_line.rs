//! When what is in a ring may be overwritten: not before a viewer who takes the programme at its own rate has it.
//!
//! The time in the programme is noted at positions. Whoever is let in is *promised* that it may take the programme at
//! its own rate from where it starts: at a time `now` it has what lies before `now - offset` in the programme, `offset`
//! being the difference of both when it came. The writer goes by the largest offset of those who are there.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Instant;

/// Positions at which the time is known, at most. The oldest go first, with what the ring forgets.
const MARKS_MAX: usize = 1024;
/// A viewer may be late by this: its way to us and back, and the steps in which it takes what comes.
const LATENESS: Duration = Duration::from_millis(300);

/// The difference between the time and the time in the programme, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Offset(i64);

impl Offset {
    fn between(now: Instant, media: Duration) -> Self {
        Self(nanos(Duration::from_nanos(now.as_nanos())) - nanos(media))
    }

    /// That of somebody who is late by this.
    #[must_use]
    pub fn late_by(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 4)
}

/// The programme's time along a ring, and what is promised to those who watch.
#[derive(Clone, Debug)]
pub struct PaceLine {
    /// Positions and the programme's time there; both only grow.
    marks: VecDeque<(u64, Duration)>,
    /// How far it has come.
    newest: (u64, Duration),
    /// The least distance of two marks.
    step: u64,
    promised: Option<Offset>,
    /// The most anybody had to wait for the writer.
    starved: Option<Offset>,
    /// What they wait for now: it counts once more has come. If it counted before, a writer that waits for them would
    /// never find that they have had the time to take what there is.
    starving: Option<Offset>,
}

impl PaceLine {
    /// For a ring of so many bytes.
    #[must_use]
    pub const fn new(capacity: u64) -> Self {
        Self {
            marks: VecDeque::new(),
            newest: (0, Duration::ZERO),
            step: step(capacity),
            promised: None,
            starved: None,
            starving: None,
        }
    }

    /// The ring is larger from now on.
    pub const fn grow(&mut self, capacity: u64) {
        self.step = step(capacity);
    }

    /// The programme has come so far at this position.
    pub fn note(&mut self, position: u64, media: Duration) {
        if position > self.newest.0 {
            self.starved = self.starved.max(self.starving.take());
        }
        self.newest = (self.newest.0.max(position), self.newest.1.max(media));
        if self.marks.back().is_some_and(|(last, _)| self.newest.0 - last < self.step) {
            return;
        }
        if self.marks.len() == MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back(self.newest);
    }

    /// The next position worth a note.
    #[must_use]
    pub const fn next_note(&self) -> u64 {
        self.newest.0 + self.step
    }

    /// Forgets what has been overwritten, but for the last mark before it.
    pub fn evict_below(&mut self, tail: u64) {
        while self.marks.get(1).is_some_and(|(position, _)| *position <= tail) {
            self.marks.pop_front();
        }
    }

    /// How many bytes take this time, by what is in the ring. No more than that is: one key picture tells nothing about
    /// the rate of what follows.
    #[must_use]
    pub fn bytes_in(&self, time: Duration) -> u64 {
        let Some(first) = self.marks.front() else { return 0 };
        let last = self.newest;
        let media = last.1.saturating_sub(first.1).as_nanos();
        if media == 0 {
            return 0;
        }
        let known = last.0 - first.0;
        u64::try_from(u128::from(known) * time.as_nanos() / media).map_or(known, |bytes| bytes.min(known))
    }

    /// How many bytes take this time at the rate of what is in the ring; `None` while that is less than a second.
    #[must_use]
    pub fn bytes_for(&self, time: Duration) -> Option<u64> {
        let first = self.marks.front()?;
        let (known, media) = (self.newest.0 - first.0, self.newest.1.saturating_sub(first.1));
        let bytes = u128::from(known) * time.as_nanos() / media.as_nanos().max(1);
        (media >= Duration::from_secs(1)).then(|| u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// How long so many bytes last, by what is in the ring.
    #[must_use]
    pub fn time_of(&self, bytes: u64) -> Duration {
        let Some(first) = self.marks.front() else { return Duration::ZERO };
        let (known, media) = (self.newest.0 - first.0, self.newest.1.saturating_sub(first.1));
        if known == 0 {
            return Duration::ZERO;
        }
        let nanos = media.as_nanos() * u128::from(bytes) / u128::from(known);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The room that a viewer's lateness takes.
    #[must_use]
    pub fn lateness_bytes(&self) -> u64 {
        self.bytes_in(LATENESS)
    }

    /// The programme's time between a position and the newest mark.
    #[must_use]
    pub fn time_since(&self, position: u64) -> Duration {
        self.newest.1.saturating_sub(self.before(position))
    }

    fn before(&self, position: u64) -> Duration {
        let later = self.marks.partition_point(|(at, _)| *at <= position);
        let mark = self.marks.get(later.saturating_sub(1));
        mark.map_or(Duration::ZERO, |(_, media)| *media)
    }

    /// At which pace somebody may take what it gets who starts at this position now.
    #[must_use]
    pub fn offset(&self, now: Instant, position: u64) -> Offset {
        Offset::between(now, self.before(position))
    }

    /// Somebody has left: nothing is promised but what is promised again.
    pub const fn forget_promises(&mut self) {
        self.promised = None;
    }

    /// Somebody is there who may take what it gets at this pace.
    pub fn promise_again(&mut self, offset: Offset) {
        self.promised = self.promised.max(Some(offset));
    }

    /// How much later somebody is who is to be sent what lies at this position than was promised.
    #[must_use]
    pub fn lateness(&self, now: Instant, position: u64, promised: Offset) -> Duration {
        let late = Offset::between(now, self.before(position)).0.saturating_sub(promised.0);
        Duration::from_nanos(u64::try_from(late).unwrap_or(0))
    }

    /// Everybody who is there has been promised again what was promised.
    pub const fn promises_kept(&mut self) {
        if self.promised.is_none() {
            (self.starved, self.starving) = (None, None);
        }
    }

    /// Nobody can have more than there is: whoever had to wait takes it up from here.
    pub fn starve(&mut self, now: Instant) {
        if self.promised.is_some() {
            self.starving = self.starving.max(Some(Offset::between(now, self.newest.1)));
        }
    }

    /// When what lies before `floor` may be overwritten.
    #[must_use]
    pub fn free_at(&self, floor: u64) -> Option<Instant> {
        let promised = self.promised.max(self.starved)?;
        if floor == 0 {
            return None;
        }
        let at = self.marks.partition_point(|(position, _)| *position < floor);
        let (_, media) = self.marks.get(at).copied().unwrap_or(self.newest);
        let nanos = promised.0.saturating_add(nanos(media)).saturating_add(nanos(LATENESS));
        Some(Instant::from_nanos(u64::try_from(nanos).unwrap_or(0)))
    }
}

const fn step(capacity: u64) -> u64 {
    capacity / (MARKS_MAX as u64 / 2) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// A programme of 1000 bytes a millisecond that has come so many seconds far.
    fn line(seconds: u32) -> PaceLine {
        let mut line = PaceLine::new(1 << 23);
        for millis in 0..=seconds * 1000 {
            line.note(u64::from(millis) * 1000, Duration::from_millis(u64::from(millis)));
        }
        line
    }

    /// Somebody starts at this position.
    fn promise(line: &mut PaceLine, now: Instant, position: u64) -> Offset {
        let offset = line.offset(now, position);
        line.promise_again(offset);
        offset
    }

    fn free_at(line: &PaceLine, floor: u64) -> Option<u64> {
        line.free_at(floor).map(Instant::as_millis)
    }

    #[test]
    fn what_a_viewer_has_not_had_time_to_take_is_not_free() {
        let mut line = line(20);
        assert_eq!(line.free_at(5_000_000), None, "nobody is there");
        promise(&mut line, at(100_000), 14_000_000);
        assert_eq!(line.free_at(0), None, "nothing is overwritten");
        let late = 100_000 + 1000 + 300;
        let free = free_at(&line, 15_000_000).unwrap();
        assert!((late..late + 40).contains(&free), "the second from 14 to 15 takes a second: {free}");
        promise(&mut line, at(200_000), 19_000_000);
        assert!(free_at(&line, 15_000_000).unwrap() > 195_000, "whoever is furthest behind counts");
    }

    #[test]
    fn promises_end_with_those_who_had_them() {
        let mut line = line(20);
        let first = promise(&mut line, at(100_000), 4_000_000);
        let second = promise(&mut line, at(100_000), 19_000_000);
        assert!(first > second);
        line.forget_promises();
        line.promise_again(second);
        line.promises_kept();
        let free = free_at(&line, 19_000_000).unwrap();
        assert!((100_300..100_340).contains(&free), "{free}");
        line.forget_promises();
        line.promises_kept();
        assert_eq!(line.free_at(19_000_000), None);
    }

    #[test]
    fn whoever_had_to_wait_for_the_writer_goes_on_from_there() {
        let mut line = line(20);
        line.starve(at(1_000_000));
        assert_eq!(line.free_at(10_000_000), None, "nobody waits");
        promise(&mut line, at(100_000), 19_000_000);
        line.starve(at(108_000));
        line.note(20_000_001, 20 * SECOND);
        let free = free_at(&line, 20_000_000).unwrap();
        assert!((108_300..108_340).contains(&free), "{free}");
    }

    #[test]
    fn a_writer_that_waits_does_not_wait_for_ever() {
        let mut line = line(20);
        promise(&mut line, at(100_000), 19_000_000);
        for millis in (100_000..110_000).step_by(100) {
            line.starve(at(millis));
        }
        let free = free_at(&line, 20_000_000).unwrap();
        assert!((101_300..101_340).contains(&free), "they have all there is: {free}");
        line.note(20_100_000, 20 * SECOND);
        assert!(free_at(&line, 20_000_000).unwrap() > 109_000, "and take what is new from when it came");
    }

    #[test]
    fn one_key_picture_tells_nothing_about_the_rate() {
        let mut line = PaceLine::new(10 << 20);
        line.note(0, Duration::ZERO);
        line.note(9_000_000, Duration::from_millis(40));
        assert_eq!(line.bytes_in(Duration::from_millis(150)), 9_000_000, "there were no more");
        assert_eq!(line.bytes_in(Duration::from_millis(20)), 4_500_000);
    }

    #[test]
    fn it_remembers_what_the_ring_holds_and_not_much_more() {
        let mut line = line(3600);
        assert!(line.marks.len() <= MARKS_MAX);
        line.evict_below(3_599_000_000);
        assert_eq!(line.time_since(3_599_500_000).as_millis() / 10, 50);
        let bytes = line.bytes_in(SECOND);
        assert!(bytes.abs_diff(1_000_000) < 5000, "{bytes}");
        assert!(line.time_of(bytes).as_millis().abs_diff(1000) < 5);
        promise(&mut line, at(10_000_000), 3_599_500_000);
        let free = free_at(&line, 3_599_600_000).unwrap();
        assert!((10_000_400..10_000_440).contains(&free), "{free}");
    }
}
