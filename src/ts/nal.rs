//! Start codes in the bytes of a video stream: `00 00 01`, wherever packets cut them.

/// A part of the stream, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece<'buf> {
    /// A start code: the next byte is the first of a unit.
    Start,
    /// Bytes of the current unit. Zeros in front of a start code may be among them.
    Unit(&'buf [u8]),
}

/// Finds start codes.
#[derive(Debug, Default)]
pub(crate) struct StartCodes {
    /// Zeros at the end of what was fed, two at most.
    zeros: usize,
}

impl StartCodes {
    /// Forgets what came before: bytes are missing.
    pub(crate) const fn reset(&mut self) {
        self.zeros = 0;
    }

    /// Goes on behind bytes in which no start code begins or ends. False, and nothing changed, where one may.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> bool {
        if self.zeros > 0 || has_two_zeros(bytes) {
            return false;
        }
        self.zeros = usize::from(bytes.last() == Some(&0));
        true
    }

    /// Cuts bytes at start codes.
    pub(crate) fn feed<'buf>(&mut self, bytes: &'buf [u8], mut sink: impl FnMut(Piece<'buf>)) {
        let mut unit_at = 0;
        let mut at = 0;
        // A start code that began in earlier bytes.
        while self.zeros > 0 {
            let Some(byte) = bytes.get(at) else { break };
            at += 1;
            match byte {
                0 => self.zeros = 2,
                1 if self.zeros == 2 => {
                    sink(Piece::Start);
                    unit_at = at;
                    self.zeros = 0;
                }
                _ => self.zeros = 0,
            }
        }
        while let Some(found) = find(&bytes[at..]) {
            let start = at + found;
            if start > unit_at {
                sink(Piece::Unit(&bytes[unit_at..start]));
            }
            sink(Piece::Start);
            unit_at = start + 3;
            at = unit_at;
        }
        if unit_at < bytes.len() {
            sink(Piece::Unit(&bytes[unit_at..]));
        }
        let tail = &bytes[at..];
        let zeros = tail.iter().rev().take(2).take_while(|byte| **byte == 0).count();
        if !tail.is_empty() {
            self.zeros = zeros;
        }
    }
}

/// Whether there are two zeros side by side, as in front of every start code. All bytes are looked at, which is quicker than to stop
/// at the first: it needs no branch.
fn has_two_zeros(bytes: &[u8]) -> bool {
    let next = bytes.get(1..).unwrap_or_default();
    bytes.iter().zip(next).fold(0, |found, (a, b)| found | u8::from(a | b == 0)) != 0
}

/// The first start code. Most bytes are not zero, so eight are looked at together and passed over when none is.
fn find(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // The lowest bit set belongs to the first zero byte; bits above it may be wrong.
        let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
        if zeros == 0 {
            at += 8;
            continue;
        }
        at += usize::try_from(zeros.trailing_zeros() / 8).expect("less than eight");
        match bytes.get(at..).and_then(<[u8]>::first_chunk::<3>) {
            Some([0, 0, 1]) => return Some(at),
            Some([0, 0, 0]) => at += 1,
            Some([0, 0, _]) => at += 3,
            Some(_) => at += 2,
            None => return None,
        }
    }
    bytes.get(at..)?.windows(3).position(|window| window == [0, 0, 1]).map(|offset| at + offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The units as the bytes after each start code; the first is what came before any.
    fn units(bytes: &[u8], pieces: &[usize]) -> Vec<Vec<u8>> {
        let mut codes = StartCodes::default();
        let mut units = vec![Vec::new()];
        let mut left = bytes;
        for piece in pieces.iter().copied().chain([usize::MAX]) {
            let (now, later) = left.split_at(piece.min(left.len()));
            codes.feed(now, |piece| match piece {
                Piece::Start => units.push(Vec::new()),
                Piece::Unit(bytes) => units.last_mut().unwrap().extend_from_slice(bytes),
            });
            left = later;
        }
        units
    }

    /// The same, the obvious way.
    fn starts(bytes: &[u8]) -> Vec<usize> {
        (0..bytes.len().saturating_sub(2)).filter(|at| bytes[*at..*at + 3] == [0, 0, 1]).collect()
    }

    #[test]
    fn units_begin_behind_start_codes_of_three_and_four_bytes() {
        let bytes = [9, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 0, 0, 1, 0, 0, 1, 0x65];
        assert_eq!(units(&bytes, &[]), [&[9][..], &[0x67, 1, 2, 0], &[0x68], &[], &[0x65]]);
    }

    proptest! {
        #[test]
        fn every_start_code_is_found_however_the_bytes_are_cut(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(0u8), 2 => Just(1), 2 => any::<u8>()], 0..120),
            pieces in proptest::collection::vec(0..12usize, 0..30),
        ) {
            let whole = units(&bytes, &[]);
            prop_assert_eq!(whole.len() - 1, starts(&bytes).len());
            let cut = units(&bytes, &pieces);
            prop_assert_eq!(cut.len(), whole.len());
            // Zeros in front of a start code may or may not be delivered; all else is the same.
            let trimmed = |units: &[Vec<u8>]| -> Vec<Vec<u8>> {
                units.iter().map(|unit| {
                    let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                    unit[..end].to_vec()
                }).collect()
            };
            prop_assert_eq!(trimmed(&cut), trimmed(&whole));
        }

        #[test]
        fn what_is_passed_has_no_start_code_and_is_as_good_as_looked_at(
            bytes in proptest::collection::vec(prop_oneof![1 => Just(0u8), 1 => Just(1), 4 => any::<u8>()], 0..60),
            before in proptest::collection::vec(0..2u8, 0..4),
        ) {
            let mut passing = StartCodes::default();
            passing.feed(&before, |_piece| ());
            let mut looking = StartCodes { zeros: passing.zeros };
            if passing.pass(&bytes) {
                looking.feed(&bytes, |piece| assert_ne!(piece, Piece::Start));
                prop_assert_eq!(passing.zeros, looking.zeros);
            } else {
                prop_assert_eq!(passing.zeros, looking.zeros, "nothing has changed");
                let has_zeros = looking.zeros > 0 || bytes.windows(2).any(|pair| pair == [0, 0]);
                prop_assert!(has_zeros, "{:?} could have been passed", bytes);
            }
        }

        #[test]
        fn sparse_zeros_do_not_hide_start_codes(
            mut bytes in proptest::collection::vec(1u8.., 64..300),
            at in 0..60usize,
        ) {
            bytes[at] = 0;
            bytes[at + 1] = 0;
            bytes[at + 2] = 1;
            prop_assert_eq!(find(&bytes), Some(at));
        }
    }
}
