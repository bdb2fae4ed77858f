//! Where decoding can begin, told by the codec that the PMT names.
//!
//! | codec | entry point |
//! |---|---|
//! | H.264 | SPS and PPS, then an IDR picture or one announced by a recovery point SEI (open GOP, intra refresh) |
//! | HEVC | VPS, SPS and PPS, then an IRAP picture (IDR, CRA, BLA) |
//! | MPEG-1, MPEG-2 | sequence header, then an I picture |
//! | MPEG-4 part 2 | VOL header, then an I-VOP |
//! | other video | the random access indicator of the packet in which a PES packet starts |
//! | audio alone | every PES packet |
//!
//! Parameter sets and picture must be of one access unit. Streams that never repeat the sets with their key
//! pictures, but have shown them once, are given up on only after [`BARE_PICTURES_MAX`] such pictures.

use crate::ts::codec::Codec;
use crate::ts::nal::{Piece, StartCodes};

/// Key pictures without parameter sets that are passed over before one is accepted.
pub const BARE_PICTURES_MAX: u32 = 3;

/// The parameter sets, or headers, in front of a picture. One bit each.
type Sets = u8;
const SEQUENCE: Sets = 1;
const PICTURE: Sets = 2;
const VIDEO: Sets = 4;

/// An entry point was passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Everything a decoder needs is in the access unit.
    pub(crate) parameter_sets: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    H264,
    Hevc,
    Mpeg2,
    Mpeg4,
    /// The random access indicator decides.
    Indicator,
    /// Every PES packet will do.
    AnyStart,
}

impl Family {
    const fn needed(self) -> Sets {
        match self {
            Self::H264 => SEQUENCE | PICTURE,
            Self::Hevc => VIDEO | SEQUENCE | PICTURE,
            Self::Mpeg2 | Self::Mpeg4 => SEQUENCE,
            Self::Indicator | Self::AnyStart => 0,
        }
    }
}

/// What a unit is to the search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    /// A parameter set or header.
    Sets(Sets),
    /// Something that comes before the picture of an access unit.
    Leading,
    /// The first or a further slice of a picture.
    Slice { key: bool },
    /// Of no interest.
    Other,
}

/// Where the search is inside the current unit. Most of a stream is passed over in `Ignored`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inside {
    Ignored,
    Header,
    /// `zeros` counts those just passed: a 3 behind two of them is not part of the payload.
    Sei {
        sei: Sei,
        zeros: u8,
    },
    /// Behind an MPEG-2 picture start code: the picture type is in the second byte.
    PictureHeader {
        byte: u8,
    },
    /// Behind a VOP start code: the coding type is in the first byte.
    VopHeader,
}

/// Inside an H.264 SEI unit: a list of (type, size, payload).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sei {
    Type { sum: u32 },
    Size { of: u32, sum: u32 },
    Payload { left: u32 },
}

/// The payload type of a recovery point.
const RECOVERY_POINT: u32 = 6;

/// The access unit that is passing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct AccessUnit {
    sets: Sets,
    recovery_point: bool,
    /// Its picture has begun: what decides has been seen.
    decided: bool,
}

/// Searches one elementary stream.
#[derive(Debug)]
pub(crate) struct EntryDetector {
    family: Family,
    codes: StartCodes,
    parser: Parser,
    /// The packet with the current start had the random access indicator.
    indicated: bool,
    /// The current PES packet was announced already.
    announced: bool,
}

impl EntryDetector {
    pub(crate) fn new(codec: Codec) -> Self {
        let family = match codec {
            Codec::H264 => Family::H264,
            Codec::Hevc => Family::Hevc,
            Codec::Mpeg1Video | Codec::Mpeg2Video => Family::Mpeg2,
            Codec::Mpeg4Video => Family::Mpeg4,
            Codec::Av1 | Codec::Avs | Codec::Avs2 | Codec::Avs3 | Codec::Vc1 | Codec::Vvc => {
                Family::Indicator
            }
            Codec::Aac
            | Codec::AacLatm
            | Codec::Ac3
            | Codec::Ac4
            | Codec::Dts
            | Codec::Eac3
            | Codec::Lpcm
            | Codec::Mpeg1Audio
            | Codec::Mpeg2Audio
            | Codec::Opus
            | Codec::Other
            | Codec::S302m
            | Codec::Subtitle
            | Codec::Teletext
            | Codec::TrueHd => Family::AnyStart,
        };
        Self {
            family,
            codes: StartCodes::default(),
            parser: Parser::new(family),
            indicated: false,
            announced: true,
        }
    }

    /// Whether the access unit being searched began in an earlier PES packet and is still undecided: an entry
    /// point found next is where that one started.
    pub(crate) const fn in_access_unit(&self) -> bool {
        !self.parser.access_unit.decided && self.parser.access_unit.sets != 0
    }

    /// A PES packet starts, in a packet with or without the random access indicator.
    pub(crate) fn start(&mut self, random_access_indicator: bool) {
        self.indicated = random_access_indicator;
        self.announced = false;
        if self.parser.access_unit.decided {
            self.parser.access_unit = AccessUnit::default();
        }
    }

    /// Bytes are missing: what was begun will not be completed.
    pub(crate) fn lose(&mut self) {
        self.codes.reset();
        self.parser.inside = Inside::Ignored;
        self.parser.access_unit = AccessUnit::default();
    }

    /// Takes bytes of the elementary stream, from behind a sound PES header.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Found> {
        let announced = std::mem::replace(&mut self.announced, true);
        match self.family {
            Family::Indicator => (!announced && self.indicated).then_some(Found { parameter_sets: true }),
            Family::AnyStart => (!announced).then_some(Found { parameter_sets: true }),
            Family::H264 | Family::Hevc | Family::Mpeg2 | Family::Mpeg4 => {
                let parser = &mut self.parser;
                let mut found = None;
                self.codes.feed(bytes, |piece| match piece {
                    Piece::Start => parser.inside = Inside::Header,
                    Piece::Unit(bytes) => found = found.or(parser.inside_unit(bytes)),
                });
                found
            }
        }
    }
}

#[derive(Debug)]
struct Parser {
    family: Family,
    inside: Inside,
    access_unit: AccessUnit,
    /// Every set that was ever seen.
    known: Sets,
    /// Key pictures without sets since the last one with them.
    bare_pictures: u32,
}

impl Parser {
    fn new(family: Family) -> Self {
        Self {
            family,
            inside: Inside::Ignored,
            access_unit: AccessUnit::default(),
            known: 0,
            bare_pictures: 0,
        }
    }

    fn inside_unit(&mut self, bytes: &[u8]) -> Option<Found> {
        let mut found = None;
        for byte in bytes {
            let unit = match self.inside {
                Inside::Ignored => break,
                Inside::Header => self.header(*byte),
                Inside::Sei { sei, zeros } => {
                    self.inside = match (zeros, *byte) {
                        (2, 3) => Inside::Sei { sei, zeros: 0 },
                        (_, 0) => Inside::Sei { sei: self.sei(sei, 0), zeros: (zeros + 1).min(2) },
                        (_, byte) => Inside::Sei { sei: self.sei(sei, byte), zeros: 0 },
                    };
                    continue;
                }
                Inside::PictureHeader { byte: 0 } => {
                    self.inside = Inside::PictureHeader { byte: 1 };
                    continue;
                }
                Inside::PictureHeader { .. } => Unit::Slice { key: (byte >> 3) & 0x07 == 1 },
                Inside::VopHeader => Unit::Slice { key: byte >> 6 == 0 },
            };
            if matches!(self.inside, Inside::PictureHeader { .. } | Inside::VopHeader) && unit != Unit::Other
            {
                self.inside = Inside::Ignored;
            }
            found = found.or(self.take(unit));
        }
        found
    }

    /// The byte behind a start code. Sets `inside` to where the next bytes are.
    fn header(&mut self, byte: u8) -> Unit {
        self.inside = Inside::Ignored;
        match self.family {
            Family::H264 => match byte & 0x1F {
                1..=4 => Unit::Slice { key: self.access_unit.recovery_point },
                5 => Unit::Slice { key: true },
                6 => {
                    self.inside = Inside::Sei { sei: Sei::Type { sum: 0 }, zeros: 0 };
                    Unit::Leading
                }
                7 => Unit::Sets(SEQUENCE),
                8 => Unit::Sets(PICTURE),
                9 | 14..=18 => Unit::Leading,
                _ => Unit::Other,
            },
            Family::Hevc => match (byte >> 1) & 0x3F {
                16..=21 => Unit::Slice { key: true },
                0..=31 => Unit::Slice { key: false },
                32 => Unit::Sets(VIDEO),
                33 => Unit::Sets(SEQUENCE),
                34 => Unit::Sets(PICTURE),
                35 | 39 => Unit::Leading,
                _ => Unit::Other,
            },
            Family::Mpeg2 => match byte {
                0x00 => {
                    self.inside = Inside::PictureHeader { byte: 0 };
                    Unit::Other
                }
                0xB3 => Unit::Sets(SEQUENCE),
                0xB8 => Unit::Leading,
                _ => Unit::Other,
            },
            Family::Mpeg4 => match byte {
                0x20..=0x2F => Unit::Sets(SEQUENCE),
                0xB0 | 0xB3 | 0xB5 => Unit::Leading,
                0xB6 => {
                    self.inside = Inside::VopHeader;
                    Unit::Other
                }
                _ => Unit::Other,
            },
            Family::Indicator | Family::AnyStart => Unit::Other,
        }
    }

    /// One byte of an SEI unit.
    fn sei(&mut self, sei: Sei, byte: u8) -> Sei {
        match sei {
            Sei::Type { sum } => {
                let sum = sum.saturating_add(u32::from(byte));
                if byte == 0xFF { Sei::Type { sum } } else { Sei::Size { of: sum, sum: 0 } }
            }
            Sei::Size { of, sum } => {
                let sum = sum.saturating_add(u32::from(byte));
                if byte == 0xFF {
                    return Sei::Size { of, sum };
                }
                self.access_unit.recovery_point |= of == RECOVERY_POINT && sum > 0;
                if sum == 0 { Sei::Type { sum: 0 } } else { Sei::Payload { left: sum } }
            }
            Sei::Payload { left: 1 } => Sei::Type { sum: 0 },
            Sei::Payload { left } => Sei::Payload { left: left - 1 },
        }
    }

    fn take(&mut self, unit: Unit) -> Option<Found> {
        match unit {
            Unit::Other => None,
            Unit::Leading => {
                self.begin_access_unit();
                None
            }
            Unit::Sets(sets) => {
                self.begin_access_unit();
                self.access_unit.sets |= sets;
                self.known |= sets;
                None
            }
            Unit::Slice { key } => {
                let first = !std::mem::replace(&mut self.access_unit.decided, true);
                if first && key { self.key_picture() } else { None }
            }
        }
    }

    fn begin_access_unit(&mut self) {
        if self.access_unit.decided {
            self.access_unit = AccessUnit::default();
        }
    }

    fn key_picture(&mut self) -> Option<Found> {
        let needed = self.family.needed();
        if self.access_unit.sets & needed == needed {
            self.bare_pictures = 0;
            return Some(Found { parameter_sets: true });
        }
        if self.known & needed != needed {
            return None;
        }
        self.bare_pictures = self.bare_pictures.saturating_add(1);
        (self.bare_pictures > BARE_PICTURES_MAX).then_some(Found { parameter_sets: false })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMPLETE: Option<Found> = Some(Found { parameter_sets: true });
    const BARE: Option<Found> = Some(Found { parameter_sets: false });

    /// Units with start codes in front of them.
    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
    }

    /// What is found in PES packets that each hold the given units.
    fn found(codec: Codec, packets: &[&[&[u8]]]) -> Vec<Option<Found>> {
        let mut detector = EntryDetector::new(codec);
        packets
            .iter()
            .map(|units| {
                detector.start(false);
                detector.feed(&stream(units))
            })
            .collect()
    }

    const SPS: &[u8] = &[0x67, 0x42, 0x80];
    const PPS: &[u8] = &[0x68, 0xCE, 0x80];
    const IDR: &[u8] = &[0x65, 0x88, 0x80];
    const INTER: &[u8] = &[0x41, 0x9A, 0x80];
    const AUD: &[u8] = &[0x09, 0xF0];
    const RECOVERY: &[u8] = &[0x06, 6, 1, 0xC4, 0x80];

    #[test]
    fn h264_enters_at_idr_pictures_and_recovery_points_with_their_sets() {
        type Case = (&'static str, &'static [&'static [u8]], Option<Found>);
        let table: &[Case] = &[
            ("sets and IDR", &[AUD, SPS, PPS, IDR], COMPLETE),
            ("a recovery point", &[AUD, SPS, PPS, RECOVERY, INTER], COMPLETE),
            (
                "a recovery point behind other messages",
                &[AUD, SPS, PPS, &[0x06, 1, 2, 9, 9, 0xFF, 0x00, 1, 9, 6, 1, 0xC4, 0x80], INTER],
                COMPLETE,
            ),
            (
                "a recovery point behind a message with emulation prevention",
                &[AUD, SPS, PPS, &[0x06, 5, 4, 0, 0, 3, 1, 9, 6, 1, 0xC4, 0x80], INTER],
                COMPLETE,
            ),
            ("a message that only contains a 6", &[AUD, SPS, PPS, &[0x06, 5, 2, 6, 1, 0x80], INTER], None),
            ("an IDR alone", &[AUD, IDR], None),
            ("no PPS", &[AUD, SPS, IDR], None),
            ("sets behind the picture", &[AUD, IDR, SPS, PPS], None),
            ("sets and another picture", &[AUD, SPS, PPS, INTER], None),
            ("sets of another access unit", &[SPS, PPS, INTER, AUD, IDR], None),
            ("the second access unit of a PES packet", &[AUD, INTER, AUD, SPS, PPS, IDR], COMPLETE),
        ];
        for (name, units, expected) in table {
            assert_eq!(found(Codec::H264, &[units]), [*expected], "{name}");
        }
    }

    #[test]
    fn several_slices_are_one_picture() {
        let mut detector = EntryDetector::new(Codec::H264);
        detector.start(false);
        assert_eq!(detector.feed(&stream(&[SPS, PPS, IDR])), COMPLETE);
        assert_eq!(detector.feed(&stream(&[IDR, IDR])), None);
    }

    #[test]
    fn sets_in_one_pes_packet_belong_to_the_picture_in_the_next() {
        let mut detector = EntryDetector::new(Codec::H264);
        detector.start(false);
        assert_eq!(detector.feed(&stream(&[AUD, SPS, PPS])), None);
        assert!(detector.in_access_unit());
        detector.start(false);
        assert!(detector.in_access_unit());
        assert_eq!(detector.feed(&stream(&[IDR])), COMPLETE);
        assert!(!detector.in_access_unit());
    }

    #[test]
    fn pictures_without_sets_are_accepted_when_sets_never_come_again() {
        let bare: &[&[u8]] = &[AUD, IDR];
        let full: &[&[u8]] = &[AUD, SPS, PPS, IDR];
        assert_eq!(found(Codec::H264, &[bare; 6]), [None; 6]);
        let packets = [full, bare, bare, bare, bare, bare, full, bare];
        let expected = [COMPLETE, None, None, None, BARE, BARE, COMPLETE, None];
        assert_eq!(found(Codec::H264, &packets), expected);
    }

    #[test]
    fn hevc_enters_at_every_irap_picture_with_its_sets() {
        for kind in 0..=31u8 {
            let slice = [kind << 1, 1, 0x80];
            let units: &[&[u8]] = &[&[0x46, 1], &[0x40, 1], &[0x42, 1], &[0x44, 1], &[0x4E, 1], &slice];
            let expected = if (16..=21).contains(&kind) { COMPLETE } else { None };
            assert_eq!(found(Codec::Hevc, &[units]), [expected], "NAL type {kind}");
        }
        let without_vps: &[&[u8]] = &[&[0x42, 1], &[0x44, 1], &[0x26, 1, 0x80]];
        assert_eq!(found(Codec::Hevc, &[without_vps]), [None]);
    }

    #[test]
    fn the_codec_selects_the_parser() {
        // To HEVC, H.264's units are slices; to H.264, HEVC's are of no interest.
        assert_eq!(found(Codec::Hevc, &[&[SPS, PPS, IDR]]), [None]);
        let hevc: &[&[u8]] = &[&[0x40, 1], &[0x42, 1], &[0x44, 1], &[0x26, 1, 0x80]];
        assert_eq!(found(Codec::H264, &[hevc]), [None]);
        // MPEG-2 slices 7, 8 and 5 look like SPS, PPS and IDR.
        let mpeg2: &[&[u8]] = &[&[0x00, 0, 0x10, 0], &[0x07, 1], &[0x08, 1], &[0x05, 1]];
        assert_eq!(found(Codec::Mpeg2Video, &[mpeg2]), [None]);
    }

    #[test]
    fn mpeg2_enters_at_i_pictures_behind_a_sequence_header() {
        const SEQUENCE_HEADER: &[u8] = &[0xB3, 0x2D, 0x02, 0x40];
        const GOP: &[u8] = &[0xB8, 0, 8, 0];
        const I: &[u8] = &[0x00, 0x00, 0x0F, 0xFF];
        const P: &[u8] = &[0x00, 0x00, 0x57, 0xFF];
        const SLICE: &[u8] = &[0x01, 0x12];
        let table: &[(&[&[u8]], Option<Found>)] = &[
            (&[SEQUENCE_HEADER, &[0xB5, 0x14], GOP, I, SLICE], COMPLETE),
            (&[SEQUENCE_HEADER, I, SLICE], COMPLETE),
            (&[SEQUENCE_HEADER, P, SLICE], None),
            (&[GOP, I, SLICE], None),
            (&[P, SLICE, SEQUENCE_HEADER, GOP, I], COMPLETE),
        ];
        for (units, expected) in table {
            for codec in [Codec::Mpeg1Video, Codec::Mpeg2Video] {
                assert_eq!(found(codec, &[units]), [*expected], "{units:x?}");
            }
        }
    }

    #[test]
    fn mpeg4_enters_at_i_vops_behind_a_vol_header() {
        const VOL: &[u8] = &[0x20, 0x08];
        const I: &[u8] = &[0xB6, 0x10];
        const P: &[u8] = &[0xB6, 0x50];
        assert_eq!(found(Codec::Mpeg4Video, &[&[&[0xB0, 1], &[0xB5, 9], &[0], VOL, I]]), [COMPLETE]);
        assert_eq!(found(Codec::Mpeg4Video, &[&[VOL, P], &[I]]), [None, None]);
    }

    #[test]
    fn other_video_enters_where_the_indicator_says_so() {
        let mut detector = EntryDetector::new(Codec::Av1);
        for (indicator, expected) in [(true, COMPLETE), (false, None), (true, COMPLETE)] {
            detector.start(indicator);
            assert_eq!(detector.feed(&[1, 2, 3]), expected);
            assert_eq!(detector.feed(&[1, 2, 3]), None);
        }
    }

    #[test]
    fn audio_enters_at_every_pes_packet_once() {
        let mut detector = EntryDetector::new(Codec::Aac);
        assert_eq!(detector.feed(&[1, 2, 3]), None);
        for _ in 0..2 {
            detector.start(false);
            assert_eq!(detector.feed(&[1, 2, 3]), COMPLETE);
            assert_eq!(detector.feed(&[1, 2, 3]), None);
        }
    }

    #[test]
    fn a_loss_between_the_sets_and_the_picture_is_no_entry_point() {
        let mut detector = EntryDetector::new(Codec::H264);
        detector.start(false);
        assert_eq!(detector.feed(&stream(&[AUD, SPS, PPS])), None);
        detector.lose();
        detector.start(false);
        assert_eq!(detector.feed(&stream(&[IDR])), None);
    }

    proptest! {
        #[test]
        fn any_cut_finds_the_same(
            units in proptest::collection::vec(
                prop_oneof![Just(SPS), Just(PPS), Just(IDR), Just(INTER), Just(AUD), Just(RECOVERY)], 0..12),
            pieces in proptest::collection::vec(1..9usize, 0..40),
        ) {
            let bytes = stream(&units);
            let run = |pieces: &[usize]| {
                let mut detector = EntryDetector::new(Codec::H264);
                detector.start(false);
                let mut left = &bytes[..];
                let mut count = 0;
                for piece in pieces {
                    let (now, later) = left.split_at((*piece).min(left.len()));
                    count += usize::from(detector.feed(now).is_some());
                    left = later;
                }
                count + usize::from(detector.feed(left).is_some())
            };
            // One piece reports one entry point at most; a cut may bring several to light.
            prop_assert_eq!(run(&[]) > 0, run(&pieces) > 0);
        }
    }
}
