//! Where a new viewer may start.

use std::collections::VecDeque;

/// A position at which decoding can begin, and what a viewer must be told first.
#[derive(Clone, Debug)]
pub struct Entry<S> {
    /// The packet in which the picture begins.
    pub position: u64,
    /// What was in force before that packet: tables, counters.
    pub state: S,
}

/// The entry points that are still in the ring, oldest first. Bounded: when full the oldest goes, which costs
/// joiners some lag and nothing else.
#[derive(Clone, Debug)]
pub struct EntryIndex<S> {
    entries: VecDeque<Entry<S>>,
    limit: usize,
    /// The position of the last one, whether it is still there or not.
    last: Option<u64>,
    /// The widest distances of two: of late, and before that.
    widest: [u64; 2],
    /// How many more count as late.
    countdown: u32,
}

/// After so many entry points a wide distance is old, after as many more it is forgotten.
const WIDE_REMEMBERED: u32 = 64;

impl<S> EntryIndex<S> {
    /// An index of at most `limit` entry points.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        assert!(limit > 0, "an index without room finds nothing");
        Self { entries: VecDeque::new(), limit, last: None, widest: [0; 2], countdown: WIDE_REMEMBERED }
    }

    /// Notes an entry point behind all others.
    pub fn push(&mut self, position: u64, state: S) {
        assert!(self.newest().is_none_or(|newest| newest.position < position), "entry points come in order");
        if self.entries.len() == self.limit {
            self.entries.pop_front();
        }
        if let Some(last) = self.last.replace(position) {
            self.widest[0] = self.widest[0].max(position.saturating_sub(last));
        }
        self.countdown -= 1;
        if self.countdown == 0 {
            self.widest = [0, self.widest[0]];
            self.countdown = WIDE_REMEMBERED;
        }
        self.entries.push_back(Entry { position, state });
    }

    /// Forgets what has been overwritten.
    pub fn evict_below(&mut self, tail: u64) {
        while self.entries.front().is_some_and(|entry| entry.position < tail) {
            self.entries.pop_front();
        }
    }

    /// Where a viewer starts who wants at least `lag` bytes before `head`: at the newest entry point that
    /// gives them, else at the oldest there is. One before `safe` is none: the writer would be there before the viewer
    /// has left it.
    #[must_use]
    pub fn for_lag(&self, head: u64, lag: u64, safe: u64) -> Option<&Entry<S>> {
        let wanted = head.saturating_sub(lag);
        let later = self.entries.partition_point(|entry| entry.position <= wanted);
        let unsafe_ones = self.entries.partition_point(|entry| entry.position < safe);
        self.entries.get(later.saturating_sub(1).max(unsafe_ones))
    }

    /// The widest distance of two entry points of late.
    #[must_use]
    pub fn widest(&self) -> u64 {
        self.widest[0].max(self.widest[1])
    }

    /// The position of the last one there was.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// The newest entry point.
    #[must_use]
    pub fn newest(&self) -> Option<&Entry<S>> {
        self.entries.back()
    }

    /// The oldest entry point.
    #[must_use]
    #[cfg(test)]
    pub fn oldest(&self) -> Option<&Entry<S>> {
        self.entries.front()
    }

    /// How many there are.
    #[must_use]
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(positions: &[u64]) -> EntryIndex<u64> {
        let mut index = EntryIndex::new(8);
        for &position in positions {
            index.push(position, position);
        }
        index
    }

    #[test]
    fn a_joiner_gets_the_newest_entry_point_with_enough_lag() {
        let index = index(&[100, 200, 300, 400]);
        for (lag, expected) in
            [(0, 400), (99, 400), (100, 400), (101, 300), (300, 200), (400, 100), (9999, 100)]
        {
            assert_eq!(index.for_lag(500, lag, 0).unwrap().position, expected, "lag {lag}");
        }
    }

    #[test]
    fn where_the_writer_comes_too_soon_nobody_starts() {
        let index = index(&[100, 200, 300, 400]);
        for (lag, safe, expected) in
            [(300, 200, Some(200)), (300, 201, Some(300)), (0, 201, Some(400)), (0, 401, None)]
        {
            let entry = index.for_lag(500, lag, safe);
            assert_eq!(entry.map(|entry| entry.position), expected, "lag {lag}, safe from {safe}");
        }
    }

    #[test]
    fn a_wide_distance_is_remembered_for_a_while() {
        let mut index = EntryIndex::new(8);
        index.push(0, ());
        index.push(1000, ());
        index.evict_below(1001);
        for number in 1..WIDE_REMEMBERED {
            index.push(1000 + u64::from(number) * 10, ());
            assert_eq!(index.widest(), 1000);
        }
        for number in 0..=WIDE_REMEMBERED {
            index.push(2000 + u64::from(number) * 10, ());
        }
        assert_eq!(index.widest(), 370, "the distance to the second row");
    }

    #[test]
    fn what_is_overwritten_is_no_entry_point() {
        let mut index = index(&[100, 200, 300]);
        index.evict_below(200);
        assert_eq!(index.oldest().unwrap().position, 200);
        index.evict_below(301);
        assert!(index.for_lag(500, 0, 0).is_none());
    }

    #[test]
    fn a_full_index_forgets_its_oldest() {
        let index = index(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(index.count(), 8);
        assert_eq!(index.oldest().unwrap().position, 3);
    }
}
