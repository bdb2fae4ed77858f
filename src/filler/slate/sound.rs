//! Frames of coded sound: as much of their headers as it takes to cut them out and to time them.

use crate::ts::Codec;

/// One frame's place in time and in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) bytes: usize,
    pub(super) samples: u32,
    pub(super) sample_rate: u32,
}

/// A frame from the middle of a stream in which all are alike, with its header: encoders begin with one that
/// carries their name or is not settled yet, and may end with one that is cut.
pub(super) fn steady_frame(codec: Codec, stream: &[u8]) -> Option<(Header, &[u8])> {
    let mut frames = Vec::new();
    let mut rest = stream;
    while let Some(header) = header(codec, rest) {
        let Some((frame, later)) = rest.split_at_checked(header.bytes) else { break };
        frames.push((header, frame));
        rest = later;
    }
    let steady = *frames.get(frames.len() / 2)?;
    let is_even =
        |other: &Header| (other.samples, other.sample_rate) == (steady.0.samples, steady.0.sample_rate);
    frames.iter().all(|(header, _)| is_even(header)).then_some(steady)
}

/// The header that begins here.
fn header(codec: Codec, bytes: &[u8]) -> Option<Header> {
    let header = if codec == Codec::Aac {
        adts(bytes.first_chunk()?)?
    } else if codec == Codec::Ac3 {
        ac3(bytes.first_chunk()?)?
    } else if codec == Codec::Eac3 {
        eac3(bytes.first_chunk()?)?
    } else if matches!(codec, Codec::Mpeg1Audio | Codec::Mpeg2Audio) {
        layer_two(bytes.first_chunk()?)?
    } else {
        return None;
    };
    (header.bytes > 0).then_some(header)
}

/// ISO/IEC 13818-7, 6.2.
fn adts(bytes: &[u8; 7]) -> Option<Header> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
    ];
    if bytes[0] != 0xFF || bytes[1] & 0xF6 != 0xF0 {
        return None;
    }
    let length =
        (usize::from(bytes[3] & 0x03) << 11) | (usize::from(bytes[4]) << 3) | usize::from(bytes[5] >> 5);
    Some(Header {
        bytes: length,
        samples: 1024 * (u32::from(bytes[6] & 0x03) + 1),
        sample_rate: *RATES.get(usize::from((bytes[2] >> 2) & 0x0F))?,
    })
}

const DOLBY_RATES: [u32; 3] = [48_000, 44_100, 32_000];

/// ATSC A/52, 5.3.1 and table 5.18.
fn ac3(bytes: &[u8; 6]) -> Option<Header> {
    const KILOBITS: [usize; 19] =
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    if bytes[..2] != [0x0B, 0x77] || bytes[5] >> 3 > 8 {
        return None;
    }
    let code = usize::from(bytes[4] & 0x3F);
    let kilobits = *KILOBITS.get(code / 2)?;
    let sample_rate = *DOLBY_RATES.get(usize::from(bytes[4] >> 6))?;
    let words = match sample_rate {
        48_000 => kilobits * 2,
        44_100 => kilobits * 320 / 147 + code % 2,
        _ => kilobits * 3,
    };
    Some(Header { bytes: 2 * words, samples: 1536, sample_rate })
}

/// ATSC A/52, annex E, 2.2: the first independent substream, at a full rate.
fn eac3(bytes: &[u8; 6]) -> Option<Header> {
    let is_first_substream = bytes[2] >> 3 == 0;
    if bytes[..2] != [0x0B, 0x77] || !(11..=16).contains(&(bytes[5] >> 3)) || !is_first_substream {
        return None;
    }
    let words = (usize::from(bytes[2] & 0x07) << 8 | usize::from(bytes[3])) + 1;
    let blocks = [1, 2, 3, 6][usize::from((bytes[4] >> 4) & 0x03)];
    let sample_rate = *DOLBY_RATES.get(usize::from(bytes[4] >> 6))?;
    Some(Header { bytes: 2 * words, samples: 256 * blocks, sample_rate })
}

/// ISO/IEC 11172-3, 2.4.1.3, and ISO/IEC 13818-3 for the halved rates. Layer II only: a frame of layer III
/// lives on the one before.
fn layer_two(bytes: &[u8; 4]) -> Option<Header> {
    const KILOBITS: [usize; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
    const KILOBITS_HALVED: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    const RATES: [u32; 3] = [44_100, 48_000, 32_000];
    if bytes[0] != 0xFF || bytes[1] & 0xE6 != 0xE4 {
        return None;
    }
    let (kilobits, divisor) = match (bytes[1] >> 3) & 0x03 {
        3 => (KILOBITS, 1),
        2 => (KILOBITS_HALVED, 2),
        _ => return None,
    };
    let kilobits = *kilobits.get(usize::from(bytes[2] >> 4).checked_sub(1)?)?;
    let sample_rate = RATES.get(usize::from((bytes[2] >> 2) & 0x03))? / divisor;
    let padding = usize::from((bytes[2] >> 1) & 1);
    let length = 144_000 * kilobits / usize::try_from(sample_rate).ok()? + padding;
    Some(Header { bytes: length, samples: 1152, sample_rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(codec: Codec, start: &[u8]) -> Option<(usize, u32, u32)> {
        header(codec, start).map(|header| (header.bytes, header.samples, header.sample_rate))
    }

    #[test]
    fn headers_tell_length_and_duration() {
        for (codec, start, expected) in [
            // 13 bytes, 48 kHz.
            (Codec::Aac, &[0xFF, 0xF1, 0x4C, 0x80, 0x01, 0xBF, 0xFC][..], Some((13, 1024, 48_000))),
            (Codec::Aac, &[0xFF, 0xF1, 0x50, 0x80, 0x01, 0xBF, 0xFD], Some((13, 2048, 44_100))),
            (Codec::Aac, &[0xFF, 0xF1, 0x7C, 0x80, 0x01, 0xBF, 0xFC], None),
            (Codec::Aac, &[0xFF, 0xE1, 0x4C, 0x80, 0x01, 0xBF, 0xFC], None),
            (Codec::Aac, &[0xFF, 0xF1, 0x4C, 0x80, 0x00, 0x1F, 0xFC], None),
            // 96 kbit/s at each rate; 44.1 kHz with and without the odd word.
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 12, 8 << 3], Some((384, 1536, 48_000))),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x40 | 12, 8 << 3], Some((416, 1536, 44_100))),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x40 | 13, 8 << 3], Some((418, 1536, 44_100))),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 0x80 | 12, 8 << 3], Some((576, 1536, 32_000))),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 38, 8 << 3], None),
            (Codec::Ac3, &[0x0B, 0x77, 0, 0, 12, 16 << 3], None),
            (Codec::Eac3, &[0x0B, 0x77, 0x00, 0xBF, 0x30, 16 << 3], Some((384, 1536, 48_000))),
            (Codec::Eac3, &[0x0B, 0x77, 0x40, 0xBF, 0x30, 16 << 3], None),
            (Codec::Mpeg1Audio, &[0xFF, 0xFD, 0x64, 0x00], Some((288, 1152, 48_000))),
            (Codec::Mpeg1Audio, &[0xFF, 0xFD, 0x62, 0x00], Some((314, 1152, 44_100))),
            (Codec::Mpeg2Audio, &[0xFF, 0xF5, 0xA4, 0x00], Some((576, 1152, 24_000))),
            (Codec::Mpeg1Audio, &[0xFF, 0xFB, 0x64, 0x00], None),
            (Codec::Mpeg1Audio, &[0xFF, 0xFD, 0x04, 0x00], None),
            (Codec::Opus, &[0x7F, 0xE0, 0, 0, 0, 0, 0], None),
        ] {
            assert_eq!(found(codec, start), expected, "{codec:?} {start:x?}");
        }
    }

    #[test]
    fn the_steady_frame_is_whole_and_from_the_middle() {
        let frame = |mark: u8| [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x1F, 0xFC, mark];
        let stream = [frame(1), frame(2), frame(3)].concat();
        assert_eq!(steady_frame(Codec::Aac, &stream[..20]).unwrap().1, frame(2));
        assert_eq!(steady_frame(Codec::Aac, &stream[..7]), None);
        let mut uneven = stream;
        uneven[2] = 0x50;
        assert_eq!(steady_frame(Codec::Aac, &uneven), None);
    }
}
