//! Frame headers of AAC in ADTS, AC-3, E-AC-3 and MPEG audio.

use super::bits::Bits;
use crate::ts::codec::Codec;

/// The longest frame of all: AAC in ADTS.
pub const AUDIO_FRAME_BYTES_MAX: usize = 8191;

/// Channels of the `acmod` of AC-3 and E-AC-3, without the one for low frequencies.
const DOLBY_CHANNELS: [u32; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
const DOLBY_RATES: [u32; 3] = [48_000, 44_100, 32_000];
const DOLBY_KBPS: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const ADTS_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];
const MPEG_RATES: [u32; 3] = [44_100, 48_000, 32_000];
const MPEG1_KBPS: [[u32; 14]; 3] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
];
const MPEG2_KBPS: [[u32; 14]; 2] = [
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// What the frames of an audio stream tell of its sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AudioFormat {
    /// Samples in a second. Of AAC with spectral band replication: of its core.
    pub sample_rate: u32,
    /// Channels, with the one for low frequencies.
    pub channels: u32,
}

impl AudioFormat {
    /// Whether frames of a codec can be read here.
    #[must_use]
    pub fn is_readable(codec: Codec) -> bool {
        Syntax::of(codec).is_some()
    }

    /// Searches a piece of a stream for two frames in a row that agree. What looks like one header may be chance.
    #[must_use]
    pub fn find(codec: Codec, bytes: &[u8]) -> Option<Self> {
        let first_byte = Syntax::of(codec)?.first_byte();
        let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first_byte);
        starts.find_map(|(at, _)| {
            let (format, length) = frame(codec, &bytes[at..])?;
            let (next, _) = frame(codec, bytes.get(at + length..)?)?;
            (format == next).then_some(format)
        })
    }

    /// Whether so many frames in a row that agree begin within the first `within` bytes.
    #[must_use]
    pub fn is_stream_of(codec: Codec, bytes: &[u8], frames: u32, within: usize) -> bool {
        (0..bytes.len().min(within)).any(|start| {
            let mut at = start;
            let mut first = None;
            (0..frames).all(|_| {
                let Some((format, length)) = bytes.get(at..).and_then(|rest| frame(codec, rest)) else {
                    return false;
                };
                at += length;
                *first.get_or_insert(format) == format
            })
        })
    }
}

/// How the frames of a codec are written.
enum Syntax {
    Adts,
    /// AC-3 and E-AC-3, which muxers mistake for each other.
    Dolby,
    Mpeg,
}

impl Syntax {
    fn of(codec: Codec) -> Option<Self> {
        if codec == Codec::Aac {
            Some(Self::Adts)
        } else if matches!(codec, Codec::Ac3 | Codec::Eac3) {
            Some(Self::Dolby)
        } else if matches!(codec, Codec::Mpeg1Audio | Codec::Mpeg2Audio) {
            Some(Self::Mpeg)
        } else {
            None
        }
    }

    /// What each frame begins with.
    const fn first_byte(self) -> u8 {
        match self {
            Self::Adts | Self::Mpeg => 0xFF,
            Self::Dolby => 0x0B,
        }
    }
}

/// The format and length of the frame that begins here.
#[must_use]
pub fn audio_frame(codec: Codec, bytes: &[u8]) -> Option<(AudioFormat, usize)> {
    frame(codec, bytes)
}

fn frame(codec: Codec, bytes: &[u8]) -> Option<(AudioFormat, usize)> {
    let (sample_rate, channels, length) = match Syntax::of(codec)? {
        Syntax::Adts => adts(bytes)?,
        Syntax::Dolby => dolby(bytes)?,
        Syntax::Mpeg => mpeg(bytes)?,
    };
    let length = usize::try_from(length).ok()?;
    (length > 0).then_some((AudioFormat { sample_rate, channels }, length))
}

fn index<T: Copy>(table: &[T], number: u32) -> Option<T> {
    table.get(usize::try_from(number).ok()?).copied()
}

fn adts(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let [0xFF, second, ..] = bytes else { return None };
    if second & 0xF6 != 0xF0 {
        return None;
    }
    let mut bits = Bits::new(&bytes[2..]);
    bits.skip(2)?;
    let rate = index(&ADTS_RATES, bits.bits(4)?)?;
    bits.skip(1)?;
    // 0: told inside the frame, where it is not looked for.
    let channels = match bits.bits(3)? {
        7 => 8,
        configuration => configuration,
    };
    bits.skip(4)?;
    let length = bits.bits(13)?;
    (length > 7).then_some((rate, channels, length))
}

fn dolby(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let [0x0B, 0x77, _, _, _, version, ..] = bytes else { return None };
    match version >> 3 {
        0..=8 => ac3(&bytes[4..]),
        11..=16 => eac3(&bytes[2..]),
        _reserved => None,
    }
}

/// From behind the checksum on.
fn ac3(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let mut bits = Bits::new(bytes);
    let rate = index(&DOLBY_RATES, bits.bits(2)?)?;
    let size = bits.bits(6)?;
    let kbps = index(&DOLBY_KBPS, size / 2)?;
    let words = match rate {
        48_000 => kbps * 2,
        44_100 => kbps * 320 / 147 + size % 2,
        _ => kbps * 3,
    };
    bits.skip(8)?;
    let mode = bits.bits(3)?;
    if mode & 1 == 1 && mode != 1 {
        bits.skip(2)?;
    }
    if mode & 4 == 4 {
        bits.skip(2)?;
    }
    if mode == 2 {
        bits.skip(2)?;
    }
    let low = u32::from(bits.flag()?);
    Some((rate, index(&DOLBY_CHANNELS, mode)? + low, words * 2))
}

/// From behind the sync word on.
fn eac3(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    const DEPENDENT: u32 = 1;
    let mut bits = Bits::new(bytes);
    if bits.bits(2)? == DEPENDENT {
        return None;
    }
    bits.skip(3)?;
    let length = (bits.bits(11)? + 1) * 2;
    let rate = match bits.bits(2)? {
        3 => index(&DOLBY_RATES, bits.bits(2)?)? / 2,
        code => {
            bits.skip(2)?;
            index(&DOLBY_RATES, code)?
        }
    };
    let mode = bits.bits(3)?;
    let low = u32::from(bits.flag()?);
    Some((rate, index(&DOLBY_CHANNELS, mode)? + low, length))
}

fn mpeg(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let mut bits = Bits::new(bytes);
    if bits.bits(11)? != 0x7FF {
        return None;
    }
    let version = bits.bits(2)?;
    let layer = 4 - bits.bits(2)?;
    bits.skip(1)?;
    let kbps = bits.bits(4)?.checked_sub(1)?;
    let divisor = match version {
        0 => 4,
        2 => 2,
        3 => 1,
        _reserved => return None,
    };
    let table = match (version, layer) {
        (3, 1..=3) => &MPEG1_KBPS[usize::try_from(layer - 1).ok()?],
        (_, 1) => &MPEG2_KBPS[0],
        (_, 2 | 3) => &MPEG2_KBPS[1],
        _reserved => return None,
    };
    let bps = index(table, kbps)? * 1000;
    let rate = index(&MPEG_RATES, bits.bits(2)?)? / divisor;
    let padding = bits.bits(1)?;
    bits.skip(1)?;
    let channels = if bits.bits(2)? == 3 { 1 } else { 2 };
    let length = match layer {
        1 => (12 * bps / rate + padding) * 4,
        3 if divisor > 1 => 72 * bps / rate + padding,
        _ => 144 * bps / rate + padding,
    };
    Some((rate, channels, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Frames of a header and stuffing, behind what does not belong to one.
    fn frames(header: &[u8], length: usize) -> Vec<u8> {
        let frame: Vec<u8> = header.iter().copied().chain(std::iter::repeat(0x11)).take(length).collect();
        [&[1, 0xFF, 0x0B, 0x77][..], &frame, &frame].concat()
    }

    #[test]
    fn each_codec_is_read() {
        let table: &[(Codec, &[u8], usize, u32, u32)] = &[
            (Codec::Aac, &[0xFF, 0xF1, 0x4C, 0x80, 0x20, 0x1F, 0xFC], 256, 48_000, 2),
            (Codec::Aac, &[0xFF, 0xF9, 0x59, 0xC0, 0x20, 0x1F, 0xFC], 256, 24_000, 8),
            (Codec::Aac, &[0xFF, 0xF0, 0x50, 0x40, 0x20, 0x1F, 0xFC], 256, 44_100, 1),
            // 448 kbit/s, 3/2 with low frequencies; 192 kbit/s, 2/0; 44.1 kHz, 1/0, the longer of two sizes.
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x1E, 0x40, 0xE1, 0], 1792, 48_000, 6),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x14, 0x40, 0x40, 0], 768, 48_000, 2),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x55, 0x40, 0x20, 0], 836, 44_100, 1),
            (Codec::Eac3, &[0x0B, 0x77, 0x01, 0xFF, 0x3F, 0x80], 1024, 48_000, 6),
            (Codec::Eac3, &[0x0B, 0x77, 0x01, 0xFF, 0xC4, 0x80], 1024, 24_000, 2),
            (Codec::Mpeg1Audio, &[0xFF, 0xFD, 0xA4, 0x00], 576, 48_000, 2),
            (Codec::Mpeg1Audio, &[0xFF, 0xFB, 0x90, 0xC0], 417, 44_100, 1),
            (Codec::Mpeg1Audio, &[0xFF, 0xFB, 0x92, 0xC0], 418, 44_100, 1),
            (Codec::Mpeg2Audio, &[0xFF, 0xF5, 0x84, 0x00], 384, 24_000, 2),
            (Codec::Mpeg2Audio, &[0xFF, 0xF3, 0x84, 0x00], 192, 24_000, 2),
        ];
        for (codec, header, length, sample_rate, channels) in table {
            let bytes = frames(header, *length);
            let expected = AudioFormat { sample_rate: *sample_rate, channels: *channels };
            assert_eq!(AudioFormat::find(*codec, &bytes), Some(expected), "{codec:?} {header:x?}");
            assert_eq!(AudioFormat::find(*codec, &bytes[..bytes.len() - length]), None, "one frame alone");
        }
    }

    #[test]
    fn frames_that_disagree_are_chance() {
        let mut bytes = frames(&[0xFF, 0xF1, 0x4C, 0x80, 0x20, 0x1F, 0xFC], 256);
        let second = bytes.len() - 256;
        bytes[second + 3] = 0x40;
        assert_eq!(AudioFormat::find(Codec::Aac, &bytes), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), which in 0..Codec::ALL.len()) {
            let codec = Codec::ALL[which];
            let found = AudioFormat::find(codec, &bytes);
            prop_assert!(found.is_none() || AudioFormat::is_readable(codec));
        }

        #[test]
        fn headers_of_chance_do_not_make_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(0xFFu8), Just(0x0B), Just(0x77), any::<u8>()], 0..300)) {
            for codec in [Codec::Aac, Codec::Ac3, Codec::Mpeg1Audio] {
                let _found: Option<AudioFormat> = AudioFormat::find(codec, &bytes);
            }
        }
    }
}
