//! Where decoding can begin, told by the codec that the PMT names.
//!
//! | codec | certain |
//! |---|---|
//! | H.264 | SPS and PPS, then an IDR picture or one announced by a recovery point SEI (open GOP, intra refresh) |
//! | HEVC | VPS, SPS and PPS, then an IRAP picture (IDR, CRA, BLA) or a recovery point |
//! | VVC | SPS and PPS, then an IDR, CRA or GDR picture |
//! | MPEG-1, MPEG-2 | sequence header, then an I picture |
//! | MPEG-4 part 2 | VOL header, then an I-VOP |
//! | AVS, AVS2, AVS3 | sequence header, then an intra picture |
//! | VC-1 | sequence header and entry point header, then a frame |
//! | AV1 | sequence header, then a key frame |
//! | VVC, AVS, VC-1, AV1, other video | the random access indicator of the packet in which a PES packet starts |
//! | audio alone, pictures that never need others | every PES packet |
//!
//! Parameter sets and picture must be of one access unit. Streams that never repeat the sets with their key
//! pictures, but have shown them once, are given up on only after [`BARE_PICTURES_MAX`] such pictures.
//!
//! Many streams never have what is certain, and decoders show them all the same. What they begin with is told by a
//! lower [`Grade`], and it is for others to say how long something better is waited for.

use std::time::Duration;

use crate::ts::codec::Codec;
use crate::ts::es::h264_slice_start;
use crate::ts::nal::{Piece, StartCodes};
use crate::ts::obu::{Obu, ObuReader};

/// Key pictures without parameter sets that are passed over before one is accepted.
pub const BARE_PICTURES_MAX: u32 = 3;

/// How good a place is to begin. The better, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Grade {
    /// Sound begins; the pictures that the PMT lists do not come.
    Sound,
    /// A picture begins behind its parameter sets, but it is none that does without others.
    Possible,
    /// A picture begins, of which nothing can be told.
    Blind,
    /// A picture begins that the stream calls a random access point, or that does without others.
    Probable,
    /// A picture begins that the codec's standard lets decoders begin with.
    Certain,
}

impl Grade {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Sound, Self::Possible, Self::Blind, Self::Probable, Self::Certain];

    /// How long a start waits for something better.
    ///
    /// Key pictures are up to ten seconds apart on air, so a picture that needs others is the last resort. The
    /// random access indicator and intra pictures come as often as key pictures would.
    #[must_use]
    pub const fn patience(self) -> Duration {
        match self {
            Self::Certain => Duration::ZERO,
            Self::Probable | Self::Blind => Duration::from_secs(2),
            Self::Sound => Duration::from_secs(5),
            Self::Possible => Duration::from_secs(10),
        }
    }

    /// The same for one more place in a stream that has been shown already: a picture that may need others is
    /// taken only where nothing better can be on its way.
    #[must_use]
    pub(crate) const fn patience_within(self) -> Duration {
        match self {
            Self::Certain | Self::Probable | Self::Sound | Self::Possible => self.patience(),
            Self::Blind => Self::Possible.patience(),
        }
    }
}

/// The parameter sets, or headers, in front of a picture. One bit each.
type Sets = u8;
const SEQUENCE: Sets = 1;
const PICTURE: Sets = 2;
const VIDEO: Sets = 4;

/// An entry point was passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// How good it is.
    pub(crate) grade: Grade,
    /// Everything a decoder needs is in the access unit.
    pub(crate) parameter_sets: bool,
}

impl Found {
    const fn complete(grade: Grade) -> Self {
        Self { grade, parameter_sets: true }
    }
}

/// The better one; of equals the first.
fn better(a: Option<Found>, b: Option<Found>) -> Option<Found> {
    match (a, b) {
        (Some(first), Some(second)) if second.grade > first.grade => b,
        (None, found) => found,
        (Some(_), _) => a,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    H264,
    Hevc,
    Vvc,
    Mpeg2,
    Mpeg4,
    Avs,
    Vc1,
    Av1,
    /// The random access indicator decides; nothing else is known.
    Indicator,
    /// Every PES packet will do.
    AnyStart,
}

impl Family {
    const fn of(codec: Codec) -> Self {
        match codec {
            Codec::H264 => Self::H264,
            Codec::Hevc => Self::Hevc,
            Codec::Vvc => Self::Vvc,
            Codec::Mpeg1Video | Codec::Mpeg2Video => Self::Mpeg2,
            Codec::Mpeg4Video => Self::Mpeg4,
            Codec::Avs | Codec::Avs2 | Codec::Avs3 => Self::Avs,
            Codec::Vc1 => Self::Vc1,
            Codec::Av1 => Self::Av1,
            Codec::Dirac | Codec::Evc | Codec::Other => Self::Indicator,
            Codec::Jpeg2000
            | Codec::JpegXs
            | Codec::Aac
            | Codec::AacLatm
            | Codec::Ac3
            | Codec::Ac4
            | Codec::Dts
            | Codec::Eac3
            | Codec::Lpcm
            | Codec::Mpeg1Audio
            | Codec::Mpeg2Audio
            | Codec::MpegH
            | Codec::Opus
            | Codec::S302m
            | Codec::Subtitle
            | Codec::Teletext
            | Codec::TrueHd => Self::AnyStart,
        }
    }

    const fn needed(self) -> Sets {
        match self {
            Self::H264 | Self::Vvc | Self::Vc1 => SEQUENCE | PICTURE,
            Self::Hevc => VIDEO | SEQUENCE | PICTURE,
            Self::Mpeg2 | Self::Mpeg4 | Self::Avs | Self::Av1 => SEQUENCE,
            Self::Indicator | Self::AnyStart => 0,
        }
    }

    /// The random access indicator is all that is asked for. Of the other codecs many streams set it on every
    /// intra picture, or on every PES packet.
    const fn trusts_indicator(self) -> bool {
        match self {
            Self::Vvc | Self::Avs | Self::Vc1 | Self::Av1 | Self::Indicator => true,
            Self::H264 | Self::Hevc | Self::Mpeg2 | Self::Mpeg4 | Self::AnyStart => false,
        }
    }

    /// What a picture is that needs others, behind its headers.
    const fn dependent(self) -> Grade {
        match self {
            // Sequence headers come before I pictures, except in streams that have none: intra slices in P pictures.
            Self::Mpeg2 => Grade::Probable,
            Self::H264
            | Self::Hevc
            | Self::Vvc
            | Self::Mpeg4
            | Self::Avs
            | Self::Vc1
            | Self::Av1
            | Self::Indicator
            | Self::AnyStart => Grade::Possible,
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
    Slice(Slice),
    /// Of no interest.
    Other,
}

/// What a slice says of its picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slice {
    /// It is one to begin with.
    Key,
    /// No slice of it needs other pictures.
    AllIntra,
    /// This slice does not need other pictures.
    Intra,
    /// It needs others.
    Dependent,
}

/// Bytes of an H.264 slice header that hold its first two numbers: each is at most 31 bits long, with a zero bit for
/// each of its own, and every third byte may be for emulation prevention.
const SLICE_START_BYTES: usize = 24;

/// Where the search is inside the current unit. Most of a stream is passed over in `Ignored`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inside {
    Ignored,
    Header,
    /// In the second byte of a header.
    HeaderEnd {
        first: u8,
    },
    /// `zeros` counts those just passed: a 3 behind two of them is not part of the payload.
    Sei {
        sei: Sei,
        zeros: u8,
    },
    /// Behind the header of an H.264 slice.
    SliceHeader {
        bytes: [u8; SLICE_START_BYTES],
        filled: usize,
    },
    /// Behind an MPEG-2 picture start code: the picture type is in the second byte.
    PictureHeader {
        byte: u8,
    },
    /// Behind a VOP start code: the coding type is in the first byte.
    VopHeader,
}

/// Inside an SEI unit: a list of (type, size, payload).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sei {
    Type { sum: u32 },
    Size { of: u32, sum: u32 },
    Payload { left: u32 },
}

const SEI_BEGINS: Inside = Inside::Sei { sei: Sei::Type { sum: 0 }, zeros: 0 };

/// The payload type of a recovery point, in H.264 as in HEVC.
const RECOVERY_POINT: u32 = 6;

/// The access unit that is passing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct AccessUnit {
    sets: Sets,
    recovery_point: bool,
    /// Its picture has begun: what decides has been seen.
    decided: bool,
    /// Its slices so far do without other pictures, and there may be more of them.
    intra_so_far: bool,
}

/// Searches one elementary stream.
#[derive(Debug)]
pub(crate) struct EntryDetector {
    family: Family,
    codes: StartCodes,
    obus: ObuReader,
    parser: Parser,
    /// The current PES packet was looked at already.
    announced: bool,
}

impl EntryDetector {
    pub(crate) fn new(codec: Codec) -> Self {
        let family = Family::of(codec);
        Self {
            family,
            codes: StartCodes::default(),
            obus: ObuReader::default(),
            parser: Parser::new(family),
            announced: true,
        }
    }

    /// Whether the access unit being searched began in an earlier PES packet and is still undecided: an entry
    /// point found next is where that one started.
    pub(crate) const fn in_access_unit(&self) -> bool {
        !self.parser.access_unit.decided && self.parser.access_unit.sets != 0
    }

    /// The current PES packet has ended: what only its end could tell.
    pub(crate) fn end(&mut self) -> Option<Found> {
        self.parser.end_access_unit()
    }

    /// A PES packet starts, in a packet with or without the random access indicator.
    pub(crate) fn start(&mut self, random_access_indicator: bool) {
        // An access unit cut in two is announced where it begins.
        self.parser.indicated = random_access_indicator || (self.parser.indicated && self.in_access_unit());
        self.announced = false;
        self.obus.start();
        if self.parser.access_unit.decided {
            self.parser.access_unit = AccessUnit::default();
        }
    }

    /// Bytes are missing: what was begun will not be completed.
    pub(crate) fn lose(&mut self) {
        self.codes.reset();
        self.obus.lose();
        self.parser.inside = Inside::Ignored;
        self.parser.access_unit = AccessUnit::default();
    }

    /// Takes bytes of the elementary stream, from behind a sound PES header. The best of what they end.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Found> {
        let announced = std::mem::replace(&mut self.announced, true);
        let announcement = if announced { None } else { self.announcement() };
        let parser = &mut self.parser;
        let mut found = announcement;
        match self.family {
            Family::Indicator | Family::AnyStart => {}
            Family::Av1 => self.obus.feed(bytes, |obu| found = better(found, parser.obu(obu))),
            Family::H264
            | Family::Hevc
            | Family::Vvc
            | Family::Mpeg2
            | Family::Mpeg4
            | Family::Avs
            | Family::Vc1 => self.codes.feed(bytes, |piece| match piece {
                Piece::Start => parser.inside = Inside::Header,
                Piece::Unit(bytes) => found = better(found, parser.inside_unit(bytes)),
            }),
        }
        found
    }

    /// Goes on behind bytes of the elementary stream that tell nothing. False, and nothing changed, where they may tell something:
    /// they are to be fed then.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> bool {
        if !self.announced {
            return false;
        }
        match self.family {
            Family::Indicator | Family::AnyStart => true,
            Family::Av1 => false,
            Family::H264
            | Family::Hevc
            | Family::Vvc
            | Family::Mpeg2
            | Family::Mpeg4
            | Family::Avs
            | Family::Vc1 => self.parser.inside == Inside::Ignored && self.codes.pass(bytes),
        }
    }

    /// What the start of a PES packet alone tells.
    fn announcement(&self) -> Option<Found> {
        let needed = self.family.needed();
        if self.family == Family::AnyStart || (self.family.trusts_indicator() && self.parser.indicated) {
            Some(Found::complete(Grade::Certain))
        } else if self.family.trusts_indicator() && (needed == 0 || self.parser.known & needed != needed) {
            Some(Found::complete(Grade::Blind))
        } else {
            None
        }
    }
}

#[derive(Debug)]
struct Parser {
    family: Family,
    inside: Inside,
    access_unit: AccessUnit,
    /// The packet in which the access unit starts had the random access indicator.
    indicated: bool,
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
            indicated: false,
            known: 0,
            bare_pictures: 0,
        }
    }

    fn inside_unit(&mut self, bytes: &[u8]) -> Option<Found> {
        let mut found = None;
        for byte in bytes {
            let unit = match &mut self.inside {
                Inside::Ignored => break,
                Inside::Header => self.header(*byte),
                Inside::HeaderEnd { first } => {
                    let first = *first;
                    self.header_end(first, *byte)
                }
                Inside::Sei { sei, zeros } => {
                    let (sei, zeros) = (*sei, *zeros);
                    self.inside = match (zeros, *byte) {
                        (2, 3) => Inside::Sei { sei, zeros: 0 },
                        (_, 0) => Inside::Sei { sei: self.sei(sei, 0), zeros: (zeros + 1).min(2) },
                        (_, byte) => Inside::Sei { sei: self.sei(sei, byte), zeros: 0 },
                    };
                    continue;
                }
                Inside::SliceHeader { bytes, filled } => {
                    bytes[*filled] = *byte;
                    *filled += 1;
                    match (h264_slice_start(&bytes[..*filled]), *filled < SLICE_START_BYTES) {
                        (Some(slice_type), _) => {
                            self.inside = Inside::Ignored;
                            Unit::Slice(h264_slice(slice_type))
                        }
                        (None, true) => continue,
                        (None, false) => {
                            self.inside = Inside::Ignored;
                            Unit::Slice(Slice::Dependent)
                        }
                    }
                }
                Inside::PictureHeader { byte: 0 } => {
                    self.inside = Inside::PictureHeader { byte: 1 };
                    continue;
                }
                Inside::PictureHeader { .. } => {
                    self.inside = Inside::Ignored;
                    Unit::Slice(key_if((byte >> 3) & 0x07 == 1))
                }
                Inside::VopHeader => {
                    self.inside = Inside::Ignored;
                    Unit::Slice(key_if(byte >> 6 == 0))
                }
            };
            found = better(found, self.take(unit));
        }
        found
    }

    /// The byte behind a start code. Sets `inside` to where the next bytes are.
    fn header(&mut self, byte: u8) -> Unit {
        self.inside = Inside::Ignored;
        match self.family {
            Family::H264 => self.h264_header(byte),
            Family::Hevc => match (byte >> 1) & 0x3F {
                16..=21 => Unit::Slice(Slice::Key),
                0..=31 => Unit::Slice(key_if(self.access_unit.recovery_point)),
                32 => Unit::Sets(VIDEO),
                33 => Unit::Sets(SEQUENCE),
                34 => Unit::Sets(PICTURE),
                35 => Unit::Leading,
                39 => {
                    self.inside = Inside::HeaderEnd { first: byte };
                    Unit::Leading
                }
                _ => Unit::Other,
            },
            Family::Vvc => {
                self.inside = Inside::HeaderEnd { first: byte };
                Unit::Other
            }
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
            Family::Avs => match byte {
                0xB0 => Unit::Sets(SEQUENCE),
                0xB3 => Unit::Slice(Slice::Key),
                0xB6 => Unit::Slice(Slice::Dependent),
                _ => Unit::Other,
            },
            Family::Vc1 => match byte {
                0x0F => Unit::Sets(SEQUENCE),
                0x0E => Unit::Sets(PICTURE),
                0x0D => Unit::Slice(key_if(self.access_unit.sets & PICTURE != 0)),
                _ => Unit::Other,
            },
            Family::Av1 | Family::Indicator | Family::AnyStart => Unit::Other,
        }
    }

    fn h264_header(&mut self, byte: u8) -> Unit {
        match byte & 0x1F {
            1..=4 if self.access_unit.recovery_point => Unit::Slice(Slice::Key),
            // What a slice needs is asked only where it matters: the first of its header's numbers say it.
            1 | 2 if self.access_unit.sets & self.family.needed() == self.family.needed() => {
                self.inside = Inside::SliceHeader { bytes: [0; SLICE_START_BYTES], filled: 0 };
                Unit::Other
            }
            1..=4 => Unit::Slice(Slice::Dependent),
            5 => Unit::Slice(Slice::Key),
            6 => {
                self.inside = SEI_BEGINS;
                Unit::Leading
            }
            7 => Unit::Sets(SEQUENCE),
            8 => Unit::Sets(PICTURE),
            9 | 14..=18 => Unit::Leading,
            _ => Unit::Other,
        }
    }

    /// The second byte of a header of two.
    fn header_end(&mut self, first: u8, byte: u8) -> Unit {
        self.inside = Inside::Ignored;
        if self.family == Family::Hevc {
            assert!((first >> 1) & 0x3F == 39, "only messages are looked into");
            self.inside = SEI_BEGINS;
            return Unit::Other;
        }
        match byte >> 3 {
            // IDR with and without leading pictures, CRA, gradual decoding refresh.
            7..=10 => Unit::Slice(Slice::Key),
            0..=11 => Unit::Slice(Slice::Dependent),
            15 => Unit::Sets(SEQUENCE),
            16 => Unit::Sets(PICTURE),
            12..=14 | 17 | 19 | 20 | 23 => Unit::Leading,
            _ => Unit::Other,
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

    fn obu(&mut self, obu: Obu) -> Option<Found> {
        self.take(match obu {
            Obu::TemporalDelimiter => Unit::Leading,
            Obu::SequenceHeader => Unit::Sets(SEQUENCE),
            Obu::Frame { key } => Unit::Slice(key_if(key)),
        })
    }

    fn take(&mut self, unit: Unit) -> Option<Found> {
        match unit {
            Unit::Other => None,
            Unit::Leading => self.begin_access_unit(),
            Unit::Sets(sets) => {
                let found = self.begin_access_unit();
                self.access_unit.sets |= sets;
                self.known |= sets;
                found
            }
            Unit::Slice(slice) => {
                let first = !std::mem::replace(&mut self.access_unit.decided, true);
                if first {
                    self.first_slice(slice)
                } else if slice != Slice::Intra && std::mem::take(&mut self.access_unit.intra_so_far) {
                    self.picture(self.family.dependent())
                } else {
                    None
                }
            }
        }
    }

    fn first_slice(&mut self, slice: Slice) -> Option<Found> {
        let indicated = std::mem::take(&mut self.indicated);
        match slice {
            Slice::Key => self.picture(Grade::Certain),
            Slice::AllIntra => self.picture(Grade::Probable),
            Slice::Intra | Slice::Dependent if indicated => self.picture(Grade::Probable),
            Slice::Intra => {
                self.access_unit.intra_so_far = true;
                None
            }
            Slice::Dependent => self.picture(self.family.dependent()),
        }
    }

    fn begin_access_unit(&mut self) -> Option<Found> {
        if !self.access_unit.decided {
            return None;
        }
        let found = self.end_access_unit();
        self.access_unit = AccessUnit::default();
        found
    }

    /// No more slices of the picture come.
    fn end_access_unit(&mut self) -> Option<Found> {
        let intra = std::mem::take(&mut self.access_unit.intra_so_far);
        if intra { self.picture(Grade::Probable) } else { None }
    }

    /// It is known how good the picture is to begin with.
    fn picture(&mut self, grade: Grade) -> Option<Found> {
        let needed = self.family.needed();
        if self.access_unit.sets & needed == needed {
            if grade == Grade::Certain {
                self.bare_pictures = 0;
            }
            return Some(Found::complete(grade));
        }
        if self.known & needed != needed || grade < Grade::Probable {
            return None;
        }
        self.bare_pictures = self.bare_pictures.saturating_add(1);
        (self.bare_pictures > BARE_PICTURES_MAX).then_some(Found { grade, parameter_sets: false })
    }
}

const fn key_if(key: bool) -> Slice {
    if key { Slice::Key } else { Slice::Dependent }
}

/// From 5 on the type is that of all slices of the picture (ITU-T H.264, table 7-6).
const fn h264_slice(slice_type: u32) -> Slice {
    match slice_type {
        2 | 4 => Slice::Intra,
        7 | 9 => Slice::AllIntra,
        _ => Slice::Dependent,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMPLETE: Option<Found> = Some(Found::complete(Grade::Certain));
    const PROBABLE: Option<Found> = Some(Found::complete(Grade::Probable));
    const POSSIBLE: Option<Found> = Some(Found::complete(Grade::Possible));
    const BLIND: Option<Found> = Some(Found::complete(Grade::Blind));
    const BARE: Option<Found> = Some(Found { grade: Grade::Certain, parameter_sets: false });

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
    /// Types 7 and 2, the latter for the first and a later macroblock; and a P slice for a later macroblock.
    const ALL_INTRA: &[u8] = &[0x41, 0x88, 0x80];
    const INTRA: &[u8] = &[0x41, 0xB0, 0x80];
    const INTRA_2: &[u8] = &[0x41, 0x2B, 0x80];
    const INTER_2: &[u8] = &[0x41, 0x28, 0x80, 0x80];
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
            (
                "a message that only contains a 6",
                &[AUD, SPS, PPS, &[0x06, 5, 2, 6, 1, 0x80], INTER],
                POSSIBLE,
            ),
            ("an IDR alone", &[AUD, IDR], None),
            ("no PPS", &[AUD, SPS, IDR], None),
            ("sets behind the picture", &[AUD, IDR, SPS, PPS], None),
            ("sets and another picture", &[AUD, SPS, PPS, INTER], POSSIBLE),
            ("sets and slices that are all intra", &[AUD, SPS, PPS, ALL_INTRA], PROBABLE),
            ("sets and an intra slice that may not be the last", &[AUD, SPS, PPS, INTRA], None),
            ("sets and nothing but intra slices", &[AUD, SPS, PPS, INTRA, INTRA_2, AUD, INTER], PROBABLE),
            ("sets and an intra slice among others", &[AUD, SPS, PPS, INTRA, INTER_2], POSSIBLE),
            ("intra slices without sets", &[AUD, INTRA, AUD, ALL_INTRA], None),
            ("sets of another access unit", &[SPS, PPS, INTER, AUD, IDR], POSSIBLE),
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
            let expected = if (16..=21).contains(&kind) { COMPLETE } else { POSSIBLE };
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
            // Streams that refresh their pictures slice by slice have no others.
            (&[SEQUENCE_HEADER, P, SLICE], PROBABLE),
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
        assert_eq!(found(Codec::Mpeg4Video, &[&[VOL, P], &[I]]), [POSSIBLE, None]);
    }

    #[test]
    fn an_intra_picture_that_only_its_end_tells_is_found_at_the_end_of_its_pes_packet() {
        let mut detector = EntryDetector::new(Codec::H264);
        detector.start(false);
        assert_eq!(detector.feed(&stream(&[SPS, PPS, INTRA, INTRA_2])), None);
        assert_eq!(detector.end(), PROBABLE);
        detector.start(false);
        assert_eq!(detector.feed(&stream(&[INTER])), None);
        assert_eq!(detector.end(), None);
    }

    #[test]
    fn the_indicator_makes_a_picture_behind_its_sets_a_probable_one() {
        const HEVC: &[&[u8]] = &[&[0x40, 1], &[0x42, 1], &[0x44, 1], &[0x02, 1, 0x80]];
        const MPEG4: &[&[u8]] = &[&[0x20, 8], &[0xB6, 0x50]];
        type Case = (Codec, &'static [&'static [u8]], Option<Found>);
        let table: &[Case] = &[
            (Codec::H264, &[AUD, SPS, PPS, INTER], PROBABLE),
            (Codec::H264, &[AUD, SPS, PPS, IDR], COMPLETE),
            (Codec::H264, &[AUD, INTER], None),
            (Codec::Hevc, HEVC, PROBABLE),
            (Codec::Mpeg4Video, MPEG4, PROBABLE),
        ];
        for (codec, units, expected) in table {
            let mut detector = EntryDetector::new(*codec);
            detector.start(true);
            assert_eq!(detector.feed(&stream(units)), *expected, "{codec:?} {units:x?}");
        }
        let mut detector = EntryDetector::new(Codec::H264);
        detector.start(true);
        assert_eq!(detector.feed(&stream(&[AUD, SPS, PPS])), None);
        detector.start(false);
        assert_eq!(detector.feed(&stream(&[INTER])), PROBABLE, "it is the access unit's, not the packet's");
    }

    #[test]
    fn a_gradual_refresh_enters_at_its_recovery_points() {
        let hevc: &[&[u8]] = &[&[0x40, 1], &[0x42, 1], &[0x44, 1], &[0x4E, 1, 6, 1, 0xC0], &[0x02, 1, 0x80]];
        assert_eq!(found(Codec::Hevc, &[hevc]), [COMPLETE]);
        // Ten pictures later the picture is whole.
        let h264: &[&[u8]] = &[AUD, SPS, PPS, &[0x06, 6, 1, 0x16, 0x80], INTER];
        assert_eq!(found(Codec::H264, &[h264]), [COMPLETE]);
    }

    #[test]
    fn vvc_enters_at_idr_cra_and_gdr_pictures_with_their_sets() {
        for kind in 0..=11u8 {
            let slice = [0, (kind << 3) | 1, 0x80];
            let units: &[&[u8]] = &[&[0, 0xA1], &[0, 0x79], &[0, 0x81], &[0, 0x99], &slice];
            let expected = if (7..=10).contains(&kind) { COMPLETE } else { POSSIBLE };
            let mut detector = EntryDetector::new(Codec::Vvc);
            assert_eq!(detector.feed(&stream(&[&[0, 0x79], &[0, 0x81]])), None);
            detector.start(false);
            assert_eq!(detector.feed(&stream(units)), expected, "NAL type {kind}");
        }
    }

    #[test]
    fn avs_vc1_and_av1_enter_at_what_their_headers_announce() {
        let table: &[(Codec, &[u8], Option<Found>)] = &[
            (Codec::Avs, &[0, 0, 1, 0xB0, 0x20, 0, 0, 1, 0xB3, 0, 0], COMPLETE),
            (Codec::Avs2, &[0, 0, 1, 0xB0, 0x20, 0, 0, 1, 0xB6, 0, 0], POSSIBLE),
            (Codec::Avs3, &[0, 0, 1, 0xB3, 0, 0], None),
            (Codec::Vc1, &[0, 0, 1, 0x0F, 0xC0, 0, 0, 1, 0x0E, 0x40, 0, 0, 1, 0x0D, 9], COMPLETE),
            (Codec::Vc1, &[0, 0, 1, 0x0D, 9], None),
            (Codec::Av1, &[0x12, 0, 0x0A, 1, 9, 0x32, 2, 0x10, 9], COMPLETE),
            (Codec::Av1, &[0x12, 0, 0x32, 2, 0x30, 9], None),
        ];
        for (codec, bytes, expected) in table {
            let mut detector = EntryDetector::new(*codec);
            detector.parser.known = Family::of(*codec).needed();
            detector.start(false);
            assert_eq!(detector.feed(bytes), *expected, "{codec:?} {bytes:x?}");
        }
    }

    #[test]
    fn other_video_enters_where_the_indicator_says_so_and_else_blindly() {
        for codec in [Codec::Dirac, Codec::Evc, Codec::Av1, Codec::Vvc, Codec::Vc1] {
            let mut detector = EntryDetector::new(codec);
            for (indicator, expected) in [(true, COMPLETE), (false, BLIND), (true, COMPLETE)] {
                detector.start(indicator);
                assert_eq!(detector.feed(&[7, 2, 3]), expected, "{codec:?}");
                assert_eq!(detector.feed(&[7, 2, 3]), None);
            }
        }
    }

    #[test]
    fn pictures_that_never_need_others_are_all_entry_points() {
        assert_eq!(found(Codec::JpegXs, &[&[&[1]], &[&[2]]]), [COMPLETE; 2]);
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
