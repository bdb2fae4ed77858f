//! H.264 sequence parameter sets (ITU-T H.264, 7.3.2.1.1 and annex E).

use super::bits::Bits;
use super::{FrameRate, Picture};

/// Profiles whose parameter sets tell the chroma format and may hold scaling lists.
const HIGH_PROFILES: &[u32] = &[100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// No picture is larger (level 6.2).
const MACROBLOCKS_MAX: u32 = 1056;
/// An aspect ratio that is written out.
const EXTENDED_SAR: u32 = 255;

/// The type of a slice, from the bytes behind its NAL header; `None` when they do not reach that far.
#[must_use]
pub fn h264_slice_start(bytes: &[u8]) -> Option<u32> {
    let mut bits = Bits::of_nal(bytes);
    bits.ue()?;
    bits.ue()
}

/// Reads a sequence parameter set, from its NAL header on.
#[must_use]
pub fn h264_sps(unit: &[u8]) -> Option<Picture> {
    let mut bits = Bits::of_nal(unit);
    let header = bits.bits(8)?;
    if header & 0x1F != 7 {
        return None;
    }
    let chroma = chroma_format(&mut bits)?;
    skip_references(&mut bits)?;
    let columns = bits.ue_max(MACROBLOCKS_MAX)? + 1;
    let rows = bits.ue_max(MACROBLOCKS_MAX)? + 1;
    let frames_only = bits.flag()?;
    let fields = if frames_only { 1 } else { 2 };
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let (mut width, mut height) = (columns * 16, rows * 16 * fields);
    if bits.flag()? {
        let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let unit_y = fields * if chroma == 1 { 2 } else { 1 };
        let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
    }
    // A damaged end costs the rate alone.
    let rate = timing(&mut bits);
    (width > 0 && height > 0).then_some(Picture { width, height, rate, may_be_fields: !frames_only })
}

/// Everything up to the scaling lists; the chroma format, 0 for planes coded apart.
fn chroma_format(bits: &mut Bits<'_>) -> Option<u32> {
    let profile = bits.bits(8)?;
    bits.skip(16)?;
    bits.ue()?;
    if !HIGH_PROFILES.contains(&profile) {
        return Some(1);
    }
    let chroma = bits.ue_max(3)?;
    let separate_planes = chroma == 3 && bits.flag()?;
    bits.ue()?;
    bits.ue()?;
    bits.skip(1)?;
    if bits.flag()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(if separate_planes { 0 } else { chroma })
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// From `log2_max_frame_num` up to the size.
fn skip_references(bits: &mut Bits<'_>) -> Option<()> {
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue_max(255)? {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.skip(1)
}

/// The usability information up to its timing: two ticks are a frame.
fn timing(bits: &mut Bits<'_>) -> Option<FrameRate> {
    if !bits.flag()? {
        return None;
    }
    skip_appearance(bits)?;
    if !bits.flag()? {
        return None;
    }
    let units_in_tick = bits.bits(32)?;
    let time_scale = bits.bits(32)?;
    FrameRate::new(u64::from(time_scale), u64::from(units_in_tick) * 2)
}

/// Aspect ratio, overscan, colours and chroma location, which H.264 and HEVC write alike.
pub(super) fn skip_appearance(bits: &mut Bits<'_>) -> Option<()> {
    if bits.flag()? && bits.bits(8)? == EXTENDED_SAR {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bits::Writer;
    use super::*;

    /// 1920x1080 in interlaced High profile with scaling lists, 30000/1001 frames, by x264.
    const SPS: [u8; 25] = [
        0x67, 0x64, 0x00, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x04, 0x4F, 0xDE, 0x02, 0x20, 0x00, 0x00, 0x7D, 0x20,
        0x00, 0x1D, 0x4C, 0x03, 0xE2, 0xC5, 0xB2, 0xC0,
    ];

    /// Everything up to the size, in Baseline.
    fn baseline(picture_order: &[u32]) -> Writer {
        let mut writer = Writer::default();
        writer.bits(32, 0x6742_001E).ue(&[0, 0]).ue(picture_order).ue(&[1]).bits(1, 0);
        writer
    }

    /// Columns, lines and the rate.
    type Size = (u32, u32, Option<(u32, u32)>);

    fn size(picture: Option<Picture>) -> Option<Size> {
        picture.map(|found| (found.width, found.height, found.rate.map(|rate| (rate.num, rate.den))))
    }

    #[test]
    fn a_real_one_is_read() {
        let picture = h264_sps(&SPS);
        assert_eq!(size(picture), Some((1920, 1080, Some((30_000, 1001)))));
        assert!(picture.unwrap().may_be_fields);
    }

    #[test]
    fn a_damaged_end_costs_the_rate_alone() {
        for kept in 0..SPS.len() {
            let rate_from = 21;
            let expected = match kept {
                0..=10 => None,
                _ if kept < rate_from => Some((1920, 1080, None)),
                _ => Some((1920, 1080, Some((30_000, 1001)))),
            };
            assert_eq!(size(h264_sps(&SPS[..kept])), expected, "{kept} bytes");
        }
    }

    #[test]
    fn every_picture_order_and_cropping_is_understood() {
        for picture_order in [&[0u32, 4][..], &[2]] {
            let mut writer = baseline(picture_order);
            // 40x23 macroblocks, progressive, 8 lines cut below, no usability information.
            writer.ue(&[39, 22]).bits(3, 0b111).ue(&[0, 0, 0, 4]).bits(1, 0);
            assert_eq!(size(h264_sps(&writer.nal())), Some((640, 360, None)), "{picture_order:?}");
        }
        let mut writer = Writer::default();
        writer.bits(32, 0x6742_001E).ue(&[0, 0, 1]).bits(1, 0).ue(&[3, 4, 2, 5, 6, 1]).bits(1, 0);
        writer.ue(&[39, 22]).bits(4, 0b1100);
        assert_eq!(size(h264_sps(&writer.nal())), Some((640, 368, None)));
    }

    #[test]
    fn scaling_lists_and_all_of_the_appearance_are_passed_over() {
        let mut writer = Writer::default();
        writer.bits(32, 0x6764_001E).ue(&[0, 1, 0, 0]).bits(2, 0b01);
        // A list of sixteen that ends at once (a delta of -8), one of eight steps and then its end, six absent.
        writer.bits(1, 1).ue(&[16]).bits(1, 1).ue(&[1; 8]).ue(&[32]).bits(6, 0);
        writer.ue(&[0, 2, 1]).bits(1, 0).ue(&[39, 22]).bits(3, 0b110);
        // Usability: 16:11 written out, overscan, colours, chroma, then 50 fields.
        writer.bits(1, 1).bits(1, 1).bits(8, 255).bits(32, 0x0010_000B).bits(2, 0b11);
        writer.bits(1, 1).bits(4, 5).bits(1, 1).bits(24, 0x01_0101).bits(1, 1).ue(&[1, 1]);
        writer.bits(1, 1).bits(32, 1).bits(32, 50);
        assert_eq!(size(h264_sps(&writer.nal())), Some((640, 368, Some((25, 1)))));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (columns, rows, crop) in [(1057, 5, 0), (5, 1057, 0), (0, 0, 8), (0, 0, u32::MAX - 1)] {
            let mut writer = baseline(&[2]);
            writer.ue(&[columns, rows]).bits(3, 0b111).ue(&[crop, 0, 0, 0]).bits(1, 0);
            assert_eq!(h264_sps(&writer.nal()), None, "{columns} {rows} {crop}");
        }
        assert_eq!(h264_sps(&[0x68, 0xCE, 0x80]), None, "another unit");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let unit = [&[0x67][..], &bytes].concat();
            if let Some(picture) = h264_sps(&unit) {
                prop_assert!(picture.width > 0 && picture.width <= 16_912);
                prop_assert!(picture.height > 0 && picture.height <= 33_824);
            }
        }
    }
}
