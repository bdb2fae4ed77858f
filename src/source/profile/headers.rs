//! The headers of a video stream, wherever packets cut them.

use crate::ts::es::{
    FrameRate, Picture, h264_sps, hevc_sps, hevc_vps, mpeg2_sequence, mpeg2_sequence_extension,
};
use crate::ts::{Codec, Piece, StartCodes};

/// The most bytes of a header that are looked at. Parameter sets have a few hundred with all scaling lists.
const UNIT_BYTES_MAX: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    H264,
    Hevc,
    Mpeg2,
}

/// What is done with the bytes of the current unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    /// Its first byte tells.
    New,
    Kept,
    PassedOver,
}

/// Finds the headers and reads them.
#[derive(Debug)]
pub(super) struct Headers {
    family: Family,
    codes: StartCodes,
    found: FoundHeader,
}

#[derive(Debug)]
struct FoundHeader {
    unit: Unit,
    bytes: Vec<u8>,
    video_rate: Option<FrameRate>,
    /// A sequence header whose extension may still come.
    sequence: Option<Picture>,
    picture: Option<Picture>,
}

impl Headers {
    /// `None` for codecs that are not read here.
    pub(super) fn new(codec: Codec) -> Option<Self> {
        let family = if codec == Codec::H264 {
            Family::H264
        } else if codec == Codec::Hevc {
            Family::Hevc
        } else if matches!(codec, Codec::Mpeg1Video | Codec::Mpeg2Video) {
            Family::Mpeg2
        } else {
            return None;
        };
        let found = FoundHeader {
            unit: Unit::PassedOver,
            bytes: Vec::new(),
            video_rate: None,
            sequence: None,
            picture: None,
        };
        Some(Self { family, codes: StartCodes::default(), found })
    }

    /// Bytes are missing: what was begun will not be completed.
    pub(super) const fn lose(&mut self) {
        self.codes.reset();
        self.found.unit = Unit::PassedOver;
        self.found.sequence = None;
    }

    /// Takes bytes of the elementary stream.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let (family, found) = (self.family, &mut self.found);
        self.codes.feed(bytes, |piece| match piece {
            Piece::Start => found.finish(family),
            Piece::Unit(bytes) => found.take(family, bytes),
        });
    }

    /// Takes what the headers told since the last time.
    pub(super) const fn take_picture(&mut self) -> Option<Picture> {
        self.found.picture.take()
    }
}

impl FoundHeader {
    fn take(&mut self, family: Family, bytes: &[u8]) {
        if self.unit == Unit::New
            && let Some(first) = bytes.first()
        {
            self.unit = if is_header(family, *first) { Unit::Kept } else { Unit::PassedOver };
            // A picture, or a group of them, follows a header without an extension: MPEG-1.
            if family == Family::Mpeg2 && matches!(first, 0x00 | 0xB8) {
                self.picture = self.sequence.take().or(self.picture);
            }
        }
        if self.unit == Unit::Kept {
            let room = UNIT_BYTES_MAX - self.bytes.len();
            self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// A unit ends where the next one starts.
    fn finish(&mut self, family: Family) {
        if self.unit == Unit::Kept {
            self.read(family);
        }
        self.unit = Unit::New;
        self.bytes.clear();
    }

    fn read(&mut self, family: Family) {
        let bytes = &self.bytes;
        match family {
            Family::H264 => self.picture = h264_sps(bytes).or(self.picture),
            Family::Hevc => {
                self.video_rate = hevc_vps(bytes).or(self.video_rate);
                if let Some(picture) = hevc_sps(bytes) {
                    self.picture = Some(Picture { rate: picture.rate.or(self.video_rate), ..picture });
                }
            }
            Family::Mpeg2 => {
                if let Some(sequence) = mpeg2_sequence(bytes) {
                    self.sequence = Some(sequence);
                } else if let Some(picture) =
                    self.sequence.and_then(|sequence| mpeg2_sequence_extension(sequence, bytes))
                {
                    self.sequence = None;
                    self.picture = Some(picture);
                }
            }
        }
    }
}

/// Whether a unit with this first byte is a header.
const fn is_header(family: Family, first: u8) -> bool {
    match family {
        Family::H264 => first & 0x1F == 7,
        Family::Hevc => matches!((first >> 1) & 0x3F, 32 | 33),
        Family::Mpeg2 => matches!(first, 0xB3 | 0xB5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1280x720, 25 frames in a second.
    const H264: &[u8] = &[
        0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1F, 0xAC, 0xD9, 0x40, 0x50, 0x05, 0xBB, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xF1, 0x83, 0x19, 0x60, 0, 0, 1, 0x68,
    ];
    const SEQUENCE: &[u8] = &[0, 0, 1, 0xB3, 0x2D, 0x02, 0x40, 0x33, 0xFF, 0xFF, 0xE0];
    const EXTENSION: &[u8] = &[0, 0, 1, 0xB5, 0x14, 0x82, 0x00, 0x01, 0x00, 0x00];
    const PICTURE: &[u8] = &[0, 0, 1, 0x00, 0, 0x0F];

    fn size(headers: &mut Headers) -> Option<(u32, u32, Option<u32>)> {
        let picture = headers.take_picture()?;
        Some((picture.width, picture.height, picture.rate.map(|rate| rate.num)))
    }

    #[test]
    fn headers_are_found_however_they_are_cut() {
        let mpeg2 = [SEQUENCE, EXTENSION, PICTURE].concat();
        let mpeg1 = [SEQUENCE, PICTURE].concat();
        for (codec, bytes, expected) in [
            (Codec::H264, H264, (1280, 720, Some(25))),
            (Codec::Mpeg2Video, &mpeg2, (720, 576, Some(25))),
            (Codec::Mpeg1Video, &mpeg1, (720, 576, Some(25))),
            (Codec::Mpeg2Video, &mpeg1, (720, 576, Some(25))),
        ] {
            for piece in [1, 2, 3, 7, 100] {
                let mut headers = Headers::new(codec).unwrap();
                bytes.chunks(piece).for_each(|part| headers.feed(part));
                assert_eq!(size(&mut headers), Some(expected), "{codec:?} in pieces of {piece}");
                assert_eq!(size(&mut headers), None, "told once");
            }
        }
    }

    #[test]
    fn a_sequence_header_waits_for_its_extension() {
        let mut headers = Headers::new(Codec::Mpeg2Video).unwrap();
        headers.feed(SEQUENCE);
        headers.feed(&[0, 0, 1, 0xB2]);
        assert_eq!(size(&mut headers), None);
        headers.feed(EXTENSION);
        headers.feed(PICTURE);
        assert!(headers.take_picture().is_some_and(|picture| picture.may_be_fields));
    }

    #[test]
    fn a_loss_inside_a_header_drops_it() {
        let mut headers = Headers::new(Codec::H264).unwrap();
        headers.feed(&H264[..12]);
        headers.lose();
        headers.feed(&H264[12..]);
        assert_eq!(size(&mut headers), None);
        headers.feed(H264);
        assert_eq!(size(&mut headers), Some((1280, 720, Some(25))));
    }

    #[test]
    fn a_header_without_end_takes_no_more_memory_than_one() {
        let mut headers = Headers::new(Codec::H264).unwrap();
        headers.feed(&H264[..30]);
        (0..100).for_each(|_| headers.feed(&[0x55; 1000]));
        assert_eq!(headers.found.bytes.len(), UNIT_BYTES_MAX);
        headers.feed(&[0, 0, 1]);
        assert_eq!(size(&mut headers), Some((1280, 720, Some(25))));
    }

    #[test]
    fn codecs_that_are_not_read_have_no_headers() {
        for codec in [Codec::Av1, Codec::Vvc, Codec::Mpeg4Video, Codec::Vc1, Codec::Aac] {
            assert!(Headers::new(codec).is_none(), "{codec:?}");
        }
    }
}
