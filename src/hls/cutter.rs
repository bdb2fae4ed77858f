//! Where segments begin and end.

use std::collections::VecDeque;
use std::time::Duration;

/// The target duration is at least this. Players ask for the list anew after a target duration: the shorter it is, the less they have to
/// have in stock, and the sooner somebody who begins with the channel is shown something.
const TARGET_MIN: Duration = Duration::from_secs(2);
/// A segment may be longer than the target duration by this. What is told is rounded to whole seconds by players, and half a second more
/// would be too much; a picture may come late by the rest.
const SLACK: Duration = Duration::from_millis(300);
/// A segment ends at the first entry point after this.
const USUAL: Duration = Duration::from_secs(1);
/// But for the second one of a stream, and the third is as long as is needed: what has few segments and much time is begun at its beginning
/// by all players. Of four or more VLC leaves out the first ones.
const SECOND: Duration = Duration::from_millis(1750);
/// A segment that is longer than `USUAL` for that reason is not longer than a target duration of three seconds allows.
const STOCK_TARGET: Duration = Duration::from_secs(3);
/// A player's stock has to last until its list comes anew, and until there is a segment in that which is not in the one before. This is
/// for fetching it, and for VLC, which decodes one second ahead of what it shows and says that the stream is late from there on.
const AHEAD: Duration = Duration::from_millis(1200);
/// As long as no target duration has been told a segment may be this long: key pictures are up to ten seconds apart on air.
const UNLISTED_MAX: Duration = Duration::from_secs(12);
/// Segments are remembered whose bytes are still there, and of those not more than this; the oldest go first.
const SEGMENTS_MAX: usize = 128;
/// What is listed is at least so many segments, if there are so many,
const LISTED_MIN: usize = 3;
/// and at least as long as this, and as so many target durations.
const LISTED: Duration = Duration::from_secs(12);
const LISTED_TARGETS: u32 = 3;
/// How much of a stream the ring should hold for those who watch by segments: what is listed, one that is being cut, and one that is
/// fetched after it was taken off the list.
pub const LISTED_AFTER: Duration = Duration::from_secs(20);

/// A place in a stream where a segment may begin.
#[derive(Clone, Debug)]
pub struct Place<S> {
    /// Its position in the ring.
    pub position: u64,
    /// How far the programme has come there.
    pub time: Duration,
    /// What a decoder must be told before it.
    pub state: S,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct Segment<S> {
    /// Its number, by which it is asked for.
    pub sequence: u64,
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// How long it takes.
    pub duration: Duration,
    /// What a decoder must be told before it.
    pub state: S,
    /// The programme is made of something else than in the one before, or its times are others.
    pub is_discontinuous: bool,
    /// How many such there were up to here, this one included.
    discontinuities: u64,
}

/// What is listed at some time.
#[derive(Debug)]
pub struct Listed<'a, S> {
    /// In order, without a gap.
    pub segments: Vec<&'a Segment<S>>,
    /// In whole seconds, the same for as long as the stream lasts.
    pub target_secs: u64,
    /// How many discontinuities there were before the first of them.
    pub discontinuities_before: u64,
}

/// Begins where the last one has ended.
#[derive(Clone, Debug)]
struct Open<S> {
    start: Place<S>,
    is_discontinuous: bool,
    /// The latest entry point in it.
    last: Option<Place<S>>,
}

/// Cuts a stream into segments. A segment is cut at the first entry point at which it is long enough; if that is one at which it would be
/// too long, at the one before. Once a target duration has been told it is kept, also where no entry point comes in time: then a segment
/// begins with a picture that needs others, which come before it in the list.
#[derive(Debug)]
pub struct Cutter<S> {
    /// The number of the first segment.
    first_sequence: u64,
    count: u64,
    discontinuities: u64,
    open: Option<Open<S>>,
    segments: VecDeque<Segment<S>>,
    /// How long the first segment was, also when it has been overwritten: others will be as long.
    first_duration: Option<Duration>,
    /// How long all segments were together.
    cut_time: Duration,
    target_secs: u64,
    /// A list was made: its target duration stays.
    is_listed: bool,
    /// What was taken off the list does not come back to it.
    listed_from: u64,
}

impl<S> Cutter<S> {
    /// For a stream that begins. Its first segment has this number.
    #[must_use]
    pub const fn new(first_sequence: u64) -> Self {
        Self {
            first_sequence,
            count: 0,
            discontinuities: 0,
            open: None,
            segments: VecDeque::new(),
            first_duration: None,
            cut_time: Duration::ZERO,
            target_secs: TARGET_MIN.as_secs(),
            is_listed: false,
            listed_from: 0,
        }
    }

    /// The target duration, as it is told.
    #[must_use]
    pub const fn target(&self) -> Duration {
        Duration::from_secs(self.target_secs)
    }

    /// An entry point behind all others. `is_other` says that the programme is made of something else from here on, or has other times.
    pub fn entry(&mut self, place: Place<S>, is_other: bool) {
        let longest = if self.is_listed { self.target() } else { STOCK_TARGET } + SLACK;
        let Some(open) = &mut self.open else {
            self.open = Some(Open { start: place, is_discontinuous: false, last: None });
            return;
        };
        if place.position <= open.start.position {
            // It was cut there already, before it was known that a key picture begins there.
            return;
        }
        let mut length = place.time.saturating_sub(open.start.time);
        if length > longest
            && let Some(last) = open.last.take()
        {
            length = place.time.saturating_sub(last.time);
            self.cut(last, false);
        }
        if is_other || length >= self.wanted() {
            self.cut(place, is_other);
        } else if let Some(open) = &mut self.open {
            open.last = Some(place);
        }
    }

    /// The segment that is open ends at the first entry point after this.
    fn wanted(&self) -> Duration {
        match self.count {
            1 if !self.is_listed => SECOND,
            2 if !self.is_listed => self.stock().saturating_sub(self.cut_time).max(USUAL),
            _ => USUAL,
        }
    }

    /// What a player that begins has to have in stock so that it never waits for more.
    fn stock(&self) -> Duration {
        self.target() + self.first_duration.unwrap_or(USUAL) + AHEAD
    }

    /// True when no entry point has come for so long that a segment has to end without one.
    #[must_use]
    pub fn is_overdue(&self, time: Duration) -> bool {
        let longest = if self.is_listed { self.target() + SLACK } else { UNLISTED_MAX };
        self.open.as_ref().is_some_and(|open| time.saturating_sub(open.start.time) >= longest)
    }

    /// The segment that is open is overdue: it ends at the latest entry point in it, or else here, where a picture begins.
    pub fn cut_late(&mut self, place: Place<S>) {
        let Some(open) = &mut self.open else { return };
        let last = open.last.take();
        self.cut(last.unwrap_or(place), false);
    }

    /// The segment that is open ends here, and another begins.
    fn cut(&mut self, end: Place<S>, is_discontinuous: bool) {
        let (position, time) = (end.position, end.time);
        let Some(open) = self.open.replace(Open { start: end, is_discontinuous, last: None }) else { return };
        self.discontinuities += u64::from(open.is_discontinuous);
        let duration = time.saturating_sub(open.start.time);
        self.first_duration.get_or_insert(duration);
        self.cut_time += duration;
        if !self.is_listed {
            let whole = duration.saturating_sub(SLACK).as_nanos().div_ceil(1_000_000_000);
            self.target_secs = self.target_secs.max(u64::try_from(whole).unwrap_or(u64::MAX));
        }
        if self.segments.len() == SEGMENTS_MAX {
            self.segments.pop_front();
        }
        self.segments.push_back(Segment {
            sequence: self.first_sequence + self.count,
            start: open.start.position,
            end: position,
            duration,
            state: open.start.state,
            is_discontinuous: open.is_discontinuous,
            discontinuities: self.discontinuities,
        });
        self.count += 1;
    }

    /// Forgets what has been overwritten.
    pub fn evict_below(&mut self, tail: u64) {
        while self.segments.front().is_some_and(|segment| segment.start < tail) {
            self.segments.pop_front();
        }
    }

    /// What somebody is told who asks now, of a ring whose bytes from `tail` on are there and may be sent up to `mark`. Nothing before
    /// the first segment is whole.
    ///
    /// Who is patient gets the first list of a stream when it has three segments, since Chromium gives up on a live list that has fewer when
    /// it is first seen, and as much time as a player has to have in stock. One that begins with less has shown all of it before it asks
    /// for the list again, and stands still then.
    ///
    /// One that the writer will soon have reached is not listed any more, if there are others: it has to be there while it is fetched.
    pub fn list(&mut self, tail: u64, mark: u64, is_patient: bool) -> Option<Listed<'_, S>> {
        let room = self.segments.iter().map(|segment| segment.end - segment.start).max()?;
        let is_there = |segment: &&Segment<S>| segment.start >= tail && segment.end <= mark;
        let whole: Vec<_> = self.segments.iter().filter(is_there).collect();
        let newest = whole.last()?.sequence;
        // Before the ring is full nothing is overwritten.
        let lasting = if tail == 0 { 0 } else { tail + room };
        let enough = LISTED.max(self.target() * LISTED_TARGETS);
        let mut time = Duration::ZERO;
        let mut segments: Vec<_> = whole
            .into_iter()
            .rev()
            .enumerate()
            .take_while(|(count, segment)| {
                let is_wanted = *count < LISTED_MIN || time < enough;
                let stays = *count == 0 || segment.start >= lasting;
                time += segment.duration;
                is_wanted && stays
            })
            .map(|(_, segment)| segment)
            .collect();
        let is_short = segments.len() < LISTED_MIN || time < self.stock();
        if is_patient && !self.is_listed && is_short {
            return None;
        }
        segments.reverse();
        let from = segments.first().map_or(newest, |first| first.sequence).max(self.listed_from).min(newest);
        segments.retain(|segment| segment.sequence >= from);
        (self.listed_from, self.is_listed) = (from, true);
        let first = segments.first()?;
        let discontinuities_before = first.discontinuities - u64::from(first.is_discontinuous);
        Some(Listed { target_secs: self.target_secs, discontinuities_before, segments })
    }

    /// The segment of this number, if its bytes are still there and may be sent.
    #[must_use]
    pub fn find(&self, sequence: u64, tail: u64, mark: u64) -> Option<&Segment<S>> {
        let first = self.segments.front()?.sequence;
        let index = usize::try_from(sequence.checked_sub(first)?).ok()?;
        self.segments.get(index).filter(|segment| segment.start >= tail && segment.end <= mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(position: u64, millis: u64) -> Place<()> {
        Place { position, time: Duration::from_millis(millis), state: () }
    }

    /// A cutter that has seen entry points at these times, each as many bytes into the ring as milliseconds into the programme.
    fn cut_at(times: impl IntoIterator<Item = u64>) -> Cutter<()> {
        let mut cutter = Cutter::new(100);
        times.into_iter().for_each(|millis| cutter.entry(place(millis, millis), false));
        cutter
    }

    fn millis(cutter: &Cutter<()>) -> Vec<u64> {
        cutter.segments.iter().map(|segment| u64::try_from(segment.duration.as_millis()).unwrap()).collect()
    }

    #[test]
    fn segments_end_at_the_first_entry_point_after_one_second_and_the_first_three_make_a_stock() {
        for (what, every, until, expected) in [
            ("half a second apart", 500, 8000, vec![1000, 2000, 1500, 1000, 1000, 1000]),
            ("1400 ms apart", 1400, 8400, vec![1400, 2800, 1400, 1400, 1400]),
            ("1920 ms apart", 1920, 12_000, vec![1920; 6]),
            ("two seconds apart", 2000, 8000, vec![2000; 4]),
            ("three seconds apart", 3000, 9000, vec![3000; 3]),
            ("five seconds apart", 5000, 20_000, vec![5000; 4]),
            ("ten seconds apart", 10_000, 40_000, vec![10_000; 4]),
            ("sound alone, an entry point with each packet", 24, 7000, vec![1008, 1752, 1464, 1008, 1008]),
        ] {
            let cutter = cut_at((0..=until).step_by(every));
            assert_eq!(millis(&cutter), expected, "{what}");
        }
        let uneven = cut_at([0, 1000, 2000, 4500]);
        assert_eq!(millis(&uneven), [1000, 1000, 2500], "the last two together would be too long");
    }

    #[test]
    fn segments_join_and_are_numbered_without_a_gap() {
        let cutter = cut_at((0..60_000).step_by(700));
        let all: Vec<_> = cutter.segments.iter().collect();
        assert!(all.len() > 10 && all[0].start == 0);
        for pair in all.windows(2) {
            assert_eq!((pair[0].end, pair[0].sequence + 1), (pair[1].start, pair[1].sequence));
        }
        assert_eq!(all[0].sequence, 100);
    }

    #[test]
    fn the_target_duration_is_two_seconds_or_that_of_longer_pictures_and_stays_once_it_was_told() {
        for (every, told) in [(1000, 2), (2300, 2), (2400, 3), (4400, 5), (10_000, 10)] {
            assert_eq!(cut_at([0, every]).list(0, u64::MAX, false).unwrap().target_secs, told, "{every}");
        }
        let mut cutter = cut_at([0, 2000]);
        assert_eq!(cutter.list(0, u64::MAX, false).unwrap().target_secs, 2);
        cutter.entry(place(14_000, 14_000), false);
        assert_eq!(cutter.list(0, u64::MAX, false).unwrap().target_secs, 2);
    }

    #[test]
    fn a_target_duration_that_was_told_is_kept_where_no_key_picture_comes_in_time() {
        let mut cutter = cut_at([0, 3000]);
        assert_eq!(cutter.list(0, u64::MAX, false).unwrap().target_secs, 3);
        for millis in (3040..33_000).step_by(40) {
            // A picture, of which every 250th does without others.
            if (millis - 3000) % 10_000 == 0 {
                cutter.entry(place(millis, millis), false);
            } else if cutter.is_overdue(Duration::from_millis(millis)) {
                cutter.cut_late(place(millis, millis));
            }
        }
        // Players round to whole seconds. Behind a key picture another segment begins.
        assert_eq!(millis(&cutter), [3000, 3320, 3320, 3320, 40, 3320, 3320, 3320, 40, 3320, 3320, 3320]);
        // What is found to be a key picture afterwards is none twice.
        cutter.cut_late(place(33_000, 33_000));
        cutter.entry(place(33_000, 33_000), false);
        assert_eq!(cutter.segments.back().unwrap().end, 33_000);
        // One entry point is passed over, and then none comes for too long.
        let mut cutter = cut_at([0, 2000]);
        cutter.list(0, u64::MAX, false);
        cutter.entry(place(2900, 2900), false);
        let is_overdue = |cutter: &Cutter<()>, millis| cutter.is_overdue(Duration::from_millis(millis));
        assert!(!is_overdue(&cutter, 4299) && is_overdue(&cutter, 4300));
        cutter.cut_late(place(4300, 4300));
        assert_eq!(millis(&cutter), [2000, 900]);
        // Nothing was told yet: a few seconds more are given.
        assert!(!is_overdue(&cut_at([0]), 11_999) && is_overdue(&cut_at([0]), 12_000));
    }

    #[test]
    fn another_programme_begins_a_segment_at_once_and_is_counted_when_it_has_left_the_list() {
        let mut cutter = cut_at([0, 1000, 2000, 3000]);
        cutter.entry(place(3200, 3200), true);
        for seconds in 4..40 {
            cutter.entry(place(seconds * 1000, seconds * 1000), false);
        }
        assert_eq!(millis(&cutter)[..5], [1000, 2000, 200, 1800, 1000]);
        let marked: Vec<_> =
            cutter.segments.iter().filter(|segment| segment.is_discontinuous).map(|one| one.start).collect();
        assert_eq!(marked, [3200]);
        for (tail, mark, before) in [(0, 9000, 0), (0, 40_000, 1), (20_000, 40_000, 1)] {
            let listed = cutter.list(tail, mark, true).unwrap();
            assert_eq!(listed.discontinuities_before, before, "{tail}..{mark}");
        }
    }

    #[test]
    fn what_is_listed_is_whole_is_there_and_stays_for_a_while() {
        // One second, two, two, and then one each.
        let mut cutter = cut_at((0..=43_000).step_by(1000));
        let mut listed = |tail, mark, is_patient| {
            let listed = cutter.list(tail, mark, is_patient);
            listed.map(|listed| listed.segments.iter().map(|segment| segment.sequence).collect::<Vec<_>>())
        };
        assert_eq!(listed(0, 999, false), None, "none is whole");
        assert_eq!(listed(0, 4999, true), None, "they are two");
        assert_eq!(listed(0, 4999, false).unwrap(), [100, 101], "it takes too long");
        assert_eq!(listed(0, 4999, true).unwrap(), [100, 101], "what has been listed is listed");
        assert_eq!(listed(0, 5000, true).unwrap(), [100, 101, 102]);
        // Twelve seconds are enough.
        assert_eq!(listed(0, 43_000, true).unwrap(), (129..=140).collect::<Vec<_>>());
        // Those at 31 and 32 s are there, and will not be for long.
        assert_eq!(listed(31_000, 43_000, true).unwrap(), (131..=140).collect::<Vec<_>>());
        assert_eq!(listed(0, 43_000, true).unwrap(), (131..=140).collect::<Vec<_>>(), "nothing comes back");
        assert_eq!(listed(41_000, 43_000, true).unwrap(), [140], "a ring that holds no more");
        assert_eq!(listed(42_001, 43_000, true), None);
        let first = |times: &[u64]| cut_at(times.iter().copied()).list(0, u64::MAX, true).is_some();
        assert!(first(&[0, 1000, 3000, 5000]) && first(&[0, 3000, 6000, 9000]));
        assert!(!first(&[0, 3000, 6000]), "long, and too few");
        assert!(!first(&[0, 1000, 2000, 3000, 4000]), "shown before the list comes anew");
    }

    /// Of one target duration, for as long as a segment is made, and for what a player is ahead of what it shows.
    #[test]
    fn a_first_list_lasts_until_its_player_has_another_one() {
        for every in [40, 480, 500, 960, 1000, 1200, 1280, 1400, 1500, 1600, 1920, 2000, 2400, 3000, 4000] {
            let mut cutter = Cutter::new(0);
            let mut now = 0;
            while cutter.list(0, u64::MAX, true).is_none() {
                cutter.entry(place(now, now), false);
                now += every;
            }
            assert_eq!(cutter.segments.len(), 3, "{every} apart: VLC leaves out the first of more");
            let begun = now - every;
            let target = u64::try_from(cutter.target().as_millis()).unwrap();
            // Whoever asks just before a segment is there has it a target duration later.
            let mut has = begun;
            for asks_at in (begun..begun + 60_000).step_by(usize::try_from(target).unwrap()).skip(1) {
                assert!(
                    has >= asks_at - begun + 1000,
                    "{every} apart: at {asks_at} there is stock up to {has}"
                );
                while now < asks_at {
                    cutter.entry(place(now, now), false);
                    now += every;
                }
                has = cutter.list(0, u64::MAX, true).unwrap().segments.last().unwrap().end;
            }
        }
    }

    #[test]
    fn in_a_ring_of_few_seconds_segments_are_no_longer() {
        let mut cutter = Cutter::new(0);
        for now in (0..20_000).step_by(1000) {
            cutter.entry(place(now, now), false);
            cutter.evict_below(now.saturating_sub(2500));
        }
        assert!(millis(&cutter).iter().all(|length| *length <= 2000), "{:?}", millis(&cutter));
        assert!(cutter.list(16_500, 19_000, false).is_some());
    }

    #[test]
    fn a_segment_is_found_by_its_number_while_its_bytes_are_there() {
        let mut cutter = cut_at((0..=23_000).step_by(1000));
        let found =
            |cutter: &Cutter<()>, sequence, tail| cutter.find(sequence, tail, 23_000).map(|one| one.start);
        assert_eq!(found(&cutter, 103, 0), Some(5000));
        assert_eq!(found(&cutter, 103, 5001), None);
        for sequence in [99, 121, u64::MAX] {
            assert_eq!(found(&cutter, sequence, 0), None, "{sequence}");
        }
        cutter.evict_below(5001);
        assert_eq!((found(&cutter, 103, 0), found(&cutter, 104, 0)), (None, Some(6000)));
        assert!(cutter.find(120, 0, 22_999).is_none(), "not yet to be sent");
    }

    #[test]
    fn no_more_is_remembered_than_the_bound() {
        let cutter = cut_at((0..10_000_000).step_by(2000));
        assert_eq!(cutter.segments.len(), SEGMENTS_MAX);
    }
}
