//! Where a list that was loaded again goes on.
//!
//! By the standard the sequence number says it. Providers forget the number, begin it anew with their encoder, give copies
//! that are older than the one before, and change the token in every address with every list. So the addresses are asked
//! first, and then the number.

use std::collections::VecDeque;

use crate::source::hls::list::{Identity, Media};

/// The segments that have been taken, or passed over, so far.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The number of the last one.
    sequence: u64,
    programme_time: Option<i64>,
    /// The last ones; the last of them at the end.
    recent: VecDeque<Identity>,
}

/// Where the next segment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Here. Behind the last segment nothing is new.
    At(usize),
    /// At the list's beginning: so many between have gone from the list.
    Lost(u64),
    /// Nowhere: the list is older than the last one.
    Old,
    /// Here, as the numbers have begun anew.
    Anew(Option<usize>),
}

impl Taken {
    /// A segment of a list has been taken.
    pub(super) fn note(taken: Option<Self>, list: &Media, index: usize) -> Self {
        let mut recent = taken.map(|taken| taken.recent).unwrap_or_default();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(list.identity(index));
        let sequence = list.sequence().saturating_add(u64::try_from(index).unwrap_or(u64::MAX));
        Self { sequence, programme_time: list.programme_time(index), recent }
    }

    /// Finds the place in a list that has segments. `doubts` counts the lists before that were of no use in a row.
    pub(super) fn place(&mut self, list: &Media, doubts: u32) -> Place {
        assert!(!list.is_empty(), "a list without segments says nothing");
        let identities: Vec<_> = (0..list.len()).map(|index| list.identity(index)).collect();
        let index = self.sequence.checked_sub(list.sequence()).and_then(|index| usize::try_from(index).ok());
        let place = self
            .by_address(list, &identities, index)
            .unwrap_or_else(|| self.by_number(list, &identities, doubts));
        if let Place::At(next @ 1..) = place {
            // The numbers go on as this list has them.
            self.sequence = list.sequence().saturating_add(u64::try_from(next - 1).unwrap_or(u64::MAX));
        }
        place
    }

    fn by_address(&self, list: &Media, identities: &[Identity], index: Option<usize>) -> Option<Place> {
        let last = self.recent.back()?;
        let there = index.and_then(|index| Some((index, identities.get(index)?)));
        if let Some((index, identity)) = there
            && identity.whole == last.whole
        {
            return Some(Place::At(index + 1));
        }
        // One address may be used again and again: what came before it decides, and of equals the last, since to
        // show something twice is worse than to pass over it.
        let run = |at: usize| {
            let before = identities[..=at].iter().rev().zip(self.recent.iter().rev());
            before.take_while(|(listed, taken)| listed.whole == taken.whole).count()
        };
        let best = (0..identities.len()).map(|at| (run(at), at)).max().filter(|(run, _)| *run > 0);
        if let Some((_, at)) = best {
            return Some(Place::At(at + 1));
        }
        if let Some((index, identity)) = there
            && identity.path == last.path
            && list.has_sequence()
        {
            return Some(Place::At(index + 1));
        }
        let mut same_path = identities.iter().enumerate().filter(|(_, identity)| identity.path == last.path);
        match (same_path.next(), same_path.next()) {
            (Some((at, _)), None) => Some(Place::At(at + 1)),
            (Some(_) | None, _) => None,
        }
    }

    fn by_number(&self, list: &Media, identities: &[Identity], doubts: u32) -> Place {
        if !list.has_sequence() {
            return Place::Lost(0);
        }
        let next = self.sequence.saturating_add(1);
        if next < list.sequence() {
            return Place::Lost(list.sequence() - next);
        }
        let ahead = usize::try_from(next - list.sequence()).unwrap_or(usize::MAX);
        if ahead <= list.len() {
            return Place::At(ahead);
        }
        let is_known = |identity: &Identity| {
            let is_told_apart = identities.iter().filter(|other| other.path == identity.path).count() == 1;
            self.recent
                .iter()
                .any(|taken| taken.whole == identity.whole || (is_told_apart && taken.path == identity.path))
        };
        let back = ahead - list.len();
        let believed_after =
            match identities.last().is_some_and(is_known) || identities.first().is_some_and(is_known) {
                true => KNOWN_LISTS_MAX,
                false if back < NEAR_SEGMENTS => 1,
                false => 0,
            };
        if doubts < believed_after {
            return Place::Old;
        }
        match self.programme_time {
            Some(taken) if list.programme_time(0).is_some() => {
                let later = |index: &usize| list.programme_time(*index).is_some_and(|time| time > taken);
                (0..list.len()).find(later).map_or(Place::Old, |index| Place::Anew(Some(index)))
            }
            Some(_) | None => Place::Anew(None),
        }
    }
}

/// Segments that are known again.
const RECENT_MAX: usize = 32;
/// A list that ends so few segments before the last one taken may be a copy from another server that is a little behind.
const NEAR_SEGMENTS: usize = 3;
/// A list of segments that were taken is an old copy, unless it is all there is for so many lists.
const KNOWN_LISTS_MAX: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::hls::list::{List, parse};

    fn list(text: &str) -> Media {
        let (head, names) = text.split_once(' ').unwrap_or((text, ""));
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n".to_owned();
        if head != "-" {
            text.push_str(&format!("#EXT-X-MEDIA-SEQUENCE:{head}\n"));
        }
        for name in names.split(' ') {
            match name.split_once('@') {
                Some((name, second)) => {
                    text.push_str(&format!(
                        "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{second:0>2}Z\n{name}\n"
                    ));
                }
                None => text.push_str(&format!("{name}\n")),
            }
        }
        match parse(text.as_bytes()) {
            Ok(List::Media(media)) => media,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    /// All of the first list has been taken.
    fn place(taken: &str, then: &str, doubts: u32) -> Place {
        let before = list(taken);
        let mut taken = None;
        for index in 0..before.len() {
            taken = Some(Taken::note(taken, &before, index));
        }
        taken.unwrap().place(&list(then), doubts)
    }

    #[test]
    fn a_list_goes_on_behind_what_was_taken() {
        for (taken, then, expected) in [
            // As it should be: the window slides by none, one, two, all.
            ("5 a b c", "5 a b c", Place::At(3)),
            ("5 a b c", "6 b c d", Place::At(2)),
            ("5 a b c", "7 c d e", Place::At(1)),
            ("5 a b c", "8 d e f", Place::At(0)),
            // Faster than it is read.
            ("5 a b c", "9 e f g", Place::Lost(1)),
            ("5 a b c", "1000 x y z", Place::Lost(992)),
            // Tokens in the query or in the path change with every list.
            ("5 a?t=1 b?t=1 c?t=1", "6 b?t=2 c?t=2 d?t=2", Place::At(2)),
            ("5 t1/a t1/b t1/c", "6 t2/b t2/c t2/d", Place::At(2)),
            // The number is missing, or stays the same, while the window slides.
            ("- a b c", "- b c d", Place::At(2)),
            ("- a b c", "- d e f", Place::Lost(0)),
            ("0 a b c", "0 b c d", Place::At(2)),
            ("- s?n=1 s?n=2 s?n=3", "- s?n=2 s?n=3 s?n=4", Place::At(2)),
            ("1 s?n=1 s?n=2 s?n=3", "1 s?n=2 s?n=3 s?n=4", Place::At(2)),
            // It begins anew, or is random, while the addresses go on.
            ("900 a b c", "0 b c d", Place::At(2)),
            ("900 a b c", "5000 b c d", Place::At(2)),
            // The same address in several places.
            ("5 ad ad ad", "6 ad ad ad", Place::At(2)),
            ("- x ad y ad", "- ad y ad z", Place::At(3)),
            ("- ad ad ad", "- ad ad ad", Place::At(3)),
            // The list names its segments by whole addresses now.
            ("5 a b c", "6 http://h/b http://h/c http://h/d", Place::At(2)),
            // What has been taken has gone from the list, and nothing is new.
            ("5 a b c", "7 c", Place::At(1)),
        ] {
            assert_eq!(place(taken, then, 0), expected, "{taken} | {then}");
        }
    }

    #[test]
    fn a_list_that_goes_back_is_an_old_copy_or_a_new_beginning() {
        for (taken, then, doubts, expected) in [
            // Another server is behind.
            ("5 a b c d", "4 z a b", 0, Place::Old),
            ("5 a b c d", "4 z a b", 3, Place::Old),
            // For so long that it is all there is.
            ("5 a b c d", "4 z a b", 4, Place::Anew(None)),
            // A little behind and unknown: a copy with other tokens, unless the next one is so too.
            ("5 a b c d", "4 t/z t/a t/b", 0, Place::Old),
            ("5 a b c d", "4 t/z t/a t/b", 1, Place::Anew(None)),
            // The encoder has been started again.
            ("900 a b c", "0 x y", 0, Place::Anew(None)),
            ("900 a@10 b@16 c@22", "0 x@22 y@28", 0, Place::Anew(Some(1))),
            ("900 a@10 b@16 c@22", "0 x@16 y@22", 0, Place::Old),
        ] {
            assert_eq!(place(taken, then, doubts), expected, "{taken} | {then}");
        }
    }

    #[test]
    fn the_numbers_go_on_as_the_newer_list_has_them() {
        let before = list("900 a b c");
        let mut taken = (0..3).fold(None, |taken, index| Some(Taken::note(taken, &before, index))).unwrap();
        assert_eq!(taken.place(&list("0 b c d"), 0), Place::At(2));
        assert_eq!(
            taken.place(&list("3 x/e x/f"), 0),
            Place::Lost(1),
            "d, which had the number 2, was not taken"
        );
        assert_eq!(taken.place(&list("2 x/d x/e"), 0), Place::At(0));
    }
}
