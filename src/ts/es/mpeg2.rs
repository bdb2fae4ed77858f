//! MPEG-1 and MPEG-2 sequence headers (ISO/IEC 13818-2, 6.2.2.1 and 6.2.2.3).

use super::bits::Bits;
use super::{FrameRate, Picture};

/// The identifier of a sequence extension among the extensions.
const SEQUENCE_EXTENSION: u32 = 1;

/// Frame rates by their codes, from 1 on.
const RATES: &[(u64, u64)] =
    &[(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];

/// Reads a sequence header, from the byte of its start code on.
#[must_use]
pub fn mpeg2_sequence(unit: &[u8]) -> Option<Picture> {
    let mut bits = Bits::new(unit);
    if bits.bits(8)? != 0xB3 {
        return None;
    }
    let (width, height) = (bits.bits(12)?, bits.bits(12)?);
    bits.skip(4)?;
    let code = usize::try_from(bits.bits(4)?).ok()?;
    let rate = code
        .checked_sub(1)
        .and_then(|index| RATES.get(index))
        .and_then(|(num, den)| FrameRate::new(*num, *den));
    (width > 0 && height > 0).then_some(Picture { width, height, rate, may_be_fields: false })
}

/// What a sequence extension, from the byte of its start code on, adds to the header before it. `None` when it is
/// another extension.
#[must_use]
pub fn mpeg2_sequence_extension(picture: Picture, unit: &[u8]) -> Option<Picture> {
    let mut bits = Bits::new(unit);
    if bits.bits(8)? != 0xB5 || bits.bits(4)? != SEQUENCE_EXTENSION {
        return None;
    }
    bits.skip(8)?;
    let progressive = bits.flag()?;
    bits.skip(2)?;
    let (width_high, height_high) = (bits.bits(2)?, bits.bits(2)?);
    bits.skip(22)?;
    let (num, den) = (bits.bits(2)? + 1, bits.bits(5)? + 1);
    let rate = picture.rate.and_then(|rate| {
        FrameRate::new(u64::from(rate.num) * u64::from(num), u64::from(rate.den) * u64::from(den))
    });
    Some(Picture {
        width: picture.width | (width_high << 12),
        height: picture.height | (height_high << 12),
        rate,
        may_be_fields: !progressive,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 720x576 at 25.
    const HEADER: [u8; 8] = [0xB3, 0x2D, 0x02, 0x40, 0x33, 0xFF, 0xFF, 0xE0];

    #[test]
    fn a_header_tells_size_and_rate() {
        let picture = mpeg2_sequence(&HEADER).unwrap();
        assert_eq!((picture.width, picture.height), (720, 576));
        assert_eq!(picture.rate, FrameRate::new(25, 1));
        for (code, rate) in
            [(0, None), (1, FrameRate::new(24_000, 1001)), (8, FrameRate::new(60, 1)), (9, None)]
        {
            let mut header = HEADER;
            header[4] = 0x30 | code;
            assert_eq!(mpeg2_sequence(&header).unwrap().rate, rate, "code {code}");
        }
    }

    #[test]
    fn an_extension_widens_both() {
        let picture = mpeg2_sequence(&HEADER).unwrap();
        // Main profile, interlaced, 4:2:0, sizes beyond 4095, the rate times 2/3.
        let extension = [0xB5, 0x14, 0x82, 0xA0, 0x01, 0x00, 0x22];
        let wide = mpeg2_sequence_extension(picture, &extension).unwrap();
        assert_eq!((wide.width, wide.height), (720 + 4096, 576 + 4096));
        assert_eq!(wide.rate, FrameRate::new(50, 3));
        assert!(wide.may_be_fields);
        assert_eq!(mpeg2_sequence_extension(picture, &[0xB5, 0x24, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn what_is_cut_or_empty_is_nothing() {
        let picture = mpeg2_sequence(&HEADER).unwrap();
        for bytes in [&[][..], &HEADER[..4], &[0xB3, 0, 0, 0, 0x33], &[0xB8, 0, 0, 0, 0]] {
            assert_eq!(mpeg2_sequence(bytes), None, "{bytes:x?}");
            assert_eq!(mpeg2_sequence_extension(picture, bytes), None);
        }
    }
}
