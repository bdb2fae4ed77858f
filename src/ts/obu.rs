//! The units of an AV1 stream (AV1 specification, 5.3), as far as they tell where decoding can begin.
//!
//! Two ways to put them into PES packets are about: behind start codes, as the carriage in MPEG-2 TS has it, and one
//! behind the other with their sizes, as in files.

use crate::ts::nal::{Piece, StartCodes};

/// A unit that matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Obu {
    TemporalDelimiter,
    SequenceHeader,
    /// A frame, or its header.
    Frame {
        key: bool,
    },
}

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum At {
    /// Before the next start code, or nowhere.
    #[default]
    Lost,
    Header,
    Extension {
        kind: u8,
        sized: bool,
    },
    Size {
        kind: u8,
        size: u64,
        shift: u32,
    },
    /// Before a payload of this many bytes, if that was said.
    Payload {
        kind: u8,
        size: Option<u64>,
    },
    Skipping {
        left: u64,
    },
}

/// How the units are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Framing {
    /// The first byte of a PES packet will tell: no unit begins with zero.
    #[default]
    Unknown,
    StartCodes,
    Sizes,
}

/// Follows the units of one stream.
#[derive(Debug, Default)]
pub(crate) struct ObuReader {
    framing: Framing,
    codes: StartCodes,
    at: At,
}

impl ObuReader {
    /// A PES packet starts, and with it a unit.
    pub(crate) fn start(&mut self) {
        self.framing = Framing::Unknown;
        self.codes.reset();
        self.at = At::Header;
    }

    /// Bytes are missing.
    pub(crate) fn lose(&mut self) {
        self.codes.reset();
        self.at = At::Lost;
    }

    pub(crate) fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Obu)) {
        let Some(first) = bytes.first() else { return };
        if self.framing == Framing::Unknown {
            self.framing = if *first == 0 { Framing::StartCodes } else { Framing::Sizes };
            if self.framing == Framing::StartCodes {
                self.at = At::Lost;
            }
        }
        if self.framing == Framing::Sizes {
            return walk(&mut self.at, bytes, true, &mut sink);
        }
        let at = &mut self.at;
        self.codes.feed(bytes, |piece| match piece {
            Piece::Start => *at = At::Header,
            Piece::Unit(bytes) => walk(at, bytes, false, &mut sink),
        });
    }
}

/// Walks through units. `in_row`: what follows a unit is the next one.
fn walk(at: &mut At, bytes: &[u8], in_row: bool, sink: &mut impl FnMut(Obu)) {
    let mut rest = bytes;
    while let Some((&byte, behind)) = rest.split_first() {
        match *at {
            At::Lost => return,
            At::Header => {
                let (kind, sized) = ((byte >> 3) & 0x0F, byte & 0x02 != 0);
                *at = match (byte & 0x80 != 0, byte & 0x04 != 0) {
                    (true, _) => At::Lost,
                    (false, true) => At::Extension { kind, sized },
                    (false, false) => sized_or_not(kind, sized),
                };
                if kind == TEMPORAL_DELIMITER && *at != At::Lost {
                    sink(Obu::TemporalDelimiter);
                }
            }
            At::Extension { kind, sized } => *at = sized_or_not(kind, sized),
            At::Size { shift: 56.., .. } => *at = At::Lost,
            At::Size { kind, size, shift } => {
                let size = size | u64::from(byte & 0x7F) << shift;
                *at = match (byte & 0x80 != 0, size) {
                    (true, _) => At::Size { kind, size, shift: shift + 7 },
                    (false, 0) if in_row => At::Header,
                    (false, 0) => At::Lost,
                    (false, _) => At::Payload { kind, size: Some(size) },
                };
            }
            At::Payload { kind, size } => {
                match kind {
                    SEQUENCE_HEADER => sink(Obu::SequenceHeader),
                    // No frame shown again, and the type of key frames.
                    FRAME_HEADER | FRAME => sink(Obu::Frame { key: byte >> 5 == 0 }),
                    _ => {}
                }
                *at = match size {
                    Some(size) if in_row => At::Skipping { left: size },
                    Some(_) | None => At::Lost,
                };
                // The byte is the first of those that are passed over.
                continue;
            }
            At::Skipping { left } => {
                let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let left = left - here as u64;
                *at = if left == 0 { At::Header } else { At::Skipping { left } };
                rest = &rest[here..];
                continue;
            }
        }
        rest = behind;
    }
}

const fn sized_or_not(kind: u8, sized: bool) -> At {
    if sized { At::Size { kind, size: 0, shift: 0 } } else { At::Payload { kind, size: None } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], pieces: &[usize]) -> Vec<Obu> {
        let mut reader = ObuReader::default();
        reader.start();
        let mut found = Vec::new();
        let mut left = bytes;
        for piece in pieces.iter().copied().chain([usize::MAX]) {
            let (now, later) = left.split_at(piece.min(left.len()));
            reader.feed(now, |obu| found.push(obu));
            left = later;
        }
        found
    }

    const KEY: [Obu; 3] = [Obu::TemporalDelimiter, Obu::SequenceHeader, Obu::Frame { key: true }];
    const INTER: [Obu; 2] = [Obu::TemporalDelimiter, Obu::Frame { key: false }];

    #[test]
    fn units_are_found_in_either_framing_however_they_are_cut() {
        let table: &[(&[u8], &[Obu])] = &[
            (&[0x12, 0, 0x0A, 3, 9, 9, 9, 0x32, 0x82, 0, 0x10, 7], &KEY),
            (&[0x12, 0, 0x32, 2, 0x30, 7], &INTER),
            // A frame shown again is none to begin with.
            (&[0x12, 0, 0x1A, 1, 0x80], &INTER),
            (&[0, 0, 1, 0x10, 0, 0, 1, 0x08, 9, 9, 0, 0, 1, 0x30, 0x10, 7], &KEY),
            (&[0, 0, 1, 0x12, 0, 0, 0, 1, 0x0E, 0, 2, 9, 9, 0, 0, 1, 0x32, 2, 0x10, 7], &KEY),
            (&[0, 0, 1, 0x10, 0, 0, 1, 0x30, 0x30, 7], &INTER),
        ];
        for (bytes, expected) in table {
            for at in 0..bytes.len() {
                assert_eq!(read(bytes, &[at]), *expected, "{bytes:x?} cut at {at}");
            }
        }
    }

    #[test]
    fn the_frame_behind_another_is_found_behind_its_size() {
        let bytes =
            [&[0x12, 0, 0x32, 0xC8, 0x01, 0x30][..], &[7; 199], &[0x0A, 1, 9, 0x32, 1, 0x10]].concat();
        let expected = [INTER[0], INTER[1], KEY[1], KEY[2]];
        assert_eq!(read(&bytes, &[3, 50]), expected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), pieces in proptest::collection::vec(0..30usize, 0..20)) {
            read(&bytes, &pieces);
        }
    }
}
