//! HEVC video and sequence parameter sets (ITU-T H.265, 7.3.2.1, 7.3.2.2 and annex E).

use super::bits::Bits;
use super::h264::skip_appearance;
use super::{FrameRate, Picture};

/// A NAL header.
const HEADER_BITS: u32 = 16;
/// Bits of a profile without its level.
const PROFILE_BITS: u32 = 88;
/// No picture is larger (level 6.2).
const SAMPLES_MAX: u32 = 16_888;
const SHORT_TERM_SETS_MAX: usize = 64;
/// Pictures that a set may refer to, before and after each.
const REFERENCES_MAX: u32 = 16;

/// Reads a sequence parameter set, from its NAL header on.
#[must_use]
pub fn hevc_sps(unit: &[u8]) -> Option<Picture> {
    let mut bits = Bits::of_nal(unit);
    header(&mut bits, 33)?;
    bits.skip(4)?;
    let sub_layers = bits.bits(3)?;
    bits.skip(1)?;
    skip_profile(&mut bits, sub_layers)?;
    bits.ue()?;
    let chroma = bits.ue_max(3)?;
    let separate_planes = chroma == 3 && bits.flag()?;
    let (mut width, mut height) = (bits.ue_max(SAMPLES_MAX)?, bits.ue_max(SAMPLES_MAX)?);
    if bits.flag()? {
        let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma == 1 && !separate_planes { 2 } else { 1 };
        let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
    }
    if width == 0 || height == 0 {
        return None;
    }
    // A damaged end costs the rate alone.
    let usability = usability(&mut bits, sub_layers);
    let is_fields = usability.is_some_and(|(is_fields, _)| is_fields);
    let pictures = usability.and_then(|(_, timing)| timing);
    Some(Picture {
        width,
        height: if is_fields { height * 2 } else { height },
        rate: pictures
            .and_then(|(scale, units)| FrameRate::new(scale, if is_fields { units * 2 } else { units })),
        may_be_fields: is_fields,
    })
}

/// Reads the picture rate of a video parameter set, from its NAL header on.
#[must_use]
pub fn hevc_vps(unit: &[u8]) -> Option<FrameRate> {
    let mut bits = Bits::of_nal(unit);
    header(&mut bits, 32)?;
    bits.skip(12)?;
    let sub_layers = bits.bits(3)?;
    bits.skip(17)?;
    skip_profile(&mut bits, sub_layers)?;
    skip_ordering(&mut bits, sub_layers)?;
    let layer_id_max = bits.bits(6)?;
    let layer_sets = bits.ue_max(1023)?;
    bits.skip(layer_sets * (layer_id_max + 1))?;
    let (scale, units) = timing(&mut bits)?;
    FrameRate::new(scale, units)
}

fn header(bits: &mut Bits<'_>, unit_type: u32) -> Option<()> {
    let header = bits.bits(HEADER_BITS)?;
    ((header >> 9) & 0x3F == unit_type).then_some(())
}

/// The profile, tier and level of the stream and of its sub-layers (less one).
fn skip_profile(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    bits.skip(PROFILE_BITS + 8)?;
    let mut skipped = 0;
    for _ in 0..sub_layers {
        skipped += if bits.flag()? { PROFILE_BITS } else { 0 };
        skipped += if bits.flag()? { 8 } else { 0 };
    }
    if sub_layers > 0 {
        bits.skip((8 - sub_layers) * 2)?;
    }
    bits.skip(skipped)
}

fn skip_ordering(bits: &mut Bits<'_>, sub_layers: u32) -> Option<()> {
    let of_each = bits.flag()?;
    for _ in 0..if of_each { sub_layers + 1 } else { 1 } {
        bits.ue()?;
        bits.ue()?;
        bits.ue()?;
    }
    Some(())
}

fn timing(bits: &mut Bits<'_>) -> Option<(u64, u64)> {
    if !bits.flag()? {
        return None;
    }
    let units_in_tick = bits.bits(32)?;
    let time_scale = bits.bits(32)?;
    Some((u64::from(time_scale), u64::from(units_in_tick)))
}

/// What follows the size: whether pictures are fields, and ticks and seconds of the pictures' rate.
fn usability(bits: &mut Bits<'_>, sub_layers: u32) -> Option<(bool, Option<(u64, u64)>)> {
    bits.ue()?;
    bits.ue()?;
    let order_bits = bits.ue_max(12)? + 4;
    skip_ordering(bits, sub_layers)?;
    for _block_size in 0..6 {
        bits.ue()?;
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    skip_short_term_sets(bits)?;
    if bits.flag()? {
        let pictures = bits.ue_max(32)?;
        bits.skip(pictures * (order_bits + 1))?;
    }
    bits.skip(2)?;
    if !bits.flag()? {
        return None;
    }
    skip_appearance(bits)?;
    bits.skip(1)?;
    let is_fields = bits.flag()?;
    bits.skip(1)?;
    if bits.flag()? {
        for _edge in 0..4 {
            bits.ue()?;
        }
    }
    Some((is_fields, timing(bits)))
}

fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4u32 {
        for _matrix in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _coefficient in 0..64.min(1 << (4 + size * 2)) {
                bits.se()?;
            }
        }
    }
    Some(())
}

fn skip_short_term_sets(bits: &mut Bits<'_>) -> Option<()> {
    let sets = bits.ue()?;
    if usize::try_from(sets).is_ok_and(|sets| sets > SHORT_TERM_SETS_MAX) {
        return None;
    }
    // Pictures of the set before.
    let mut pictures = 0;
    for set in 0..sets {
        pictures = if set > 0 && bits.flag()? {
            bits.skip(1)?;
            bits.ue()?;
            let mut kept = 0;
            for _picture in 0..=pictures {
                // Used by the current picture, or else by later ones.
                kept += u32::from(bits.flag()? || bits.flag()?);
            }
            kept
        } else {
            let (before, after) = (bits.ue_max(REFERENCES_MAX)?, bits.ue_max(REFERENCES_MAX)?);
            for _picture in 0..before + after {
                bits.ue()?;
                bits.skip(1)?;
            }
            before + after
        };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bits::Writer;
    use super::*;

    /// 640x360, 50 pictures, by x265.
    const SPS: [u8; 41] = [
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x5A, 0xA0, 0x05, 0x02, 0x01, 0x69, 0x65, 0x95, 0x9A, 0x49, 0x32, 0xBC, 0x05, 0xA0, 0x20, 0x00, 0x00,
        0x03, 0x00, 0x20, 0x00, 0x00, 0x06, 0x41,
    ];

    /// Columns, lines and the rate.
    type Size = (u32, u32, Option<(u32, u32)>);

    fn size(picture: Option<Picture>) -> Option<Size> {
        picture.map(|found| (found.width, found.height, found.rate.map(|rate| (rate.num, rate.den))))
    }

    /// Profile, tier and level, with sub-layers of which every other has its own.
    fn profile(writer: &mut Writer, sub_layers: u32) {
        (0..12).for_each(|_| {
            writer.bits(8, 0x5A);
        });
        (0..sub_layers).for_each(|layer| {
            writer.bits(2, if layer % 2 == 0 { 0b11 } else { 0 });
        });
        if sub_layers > 0 {
            writer.bits((8 - sub_layers) * 2, 0);
        }
        (0..sub_layers).filter(|layer| layer % 2 == 0).for_each(|_| {
            writer.bits(32, 1).bits(32, 2).bits(32, 3);
        });
    }

    /// A parameter set with everything that may stand before the timing: 1920x1080 of 1920x1088.
    fn full(sub_layers: u32, is_fields: bool) -> Writer {
        let mut writer = Writer::default();
        writer.bits(16, 33 << 9 | 1).bits(4, 0).bits(3, sub_layers).bits(1, 1);
        profile(&mut writer, sub_layers);
        writer.ue(&[0, 1, 1920, if is_fields { 544 } else { 1088 }]);
        writer.bits(1, 1).ue(&[0, 0, 0, if is_fields { 2 } else { 4 }]).ue(&[2, 2, 4]).bits(1, 1);
        (0..=sub_layers).for_each(|_| {
            writer.ue(&[4, 2, 5]);
        });
        writer.ue(&[0, 3, 0, 3, 1, 1]);
        // Scaling lists: predicted ones, and one of each size written out.
        writer.bits(2, 0b11);
        for (list, coefficients) in (0..20).zip([16; 6].into_iter().chain([64; 14])) {
            let written = matches!(list, 0 | 6 | 12 | 18);
            writer.bits(1, u32::from(written));
            match written {
                true => writer.ue(&vec![3; coefficients + usize::from(list >= 12)]),
                false => writer.ue(&[0]),
            };
        }
        // Asymmetric partitions, offsets, PCM.
        writer.bits(3, 0b111).bits(8, 0x77).ue(&[0, 1]).bits(1, 0);
        // Three short-term sets: two before and one after; predicted from that, one left out; one before.
        writer.ue(&[3]).ue(&[2, 1, 0]).bits(1, 1).ue(&[1]).bits(1, 1).ue(&[0]).bits(1, 1);
        writer.bits(2, 0b10).ue(&[0]).bits(5, 0b1_01_00).bits(1, 1).bits(1, 0).ue(&[1, 0, 0]).bits(1, 1);
        // Two long-term pictures of eight bits.
        writer.bits(1, 1).ue(&[2]).bits(18, 0x155).bits(2, 0b11);
        // Usability: nothing of the appearance, then fields or not, no default window.
        writer.bits(1, 1).bits(4, 0).bits(1, 0).bits(1, u32::from(is_fields)).bits(2, 0b11).ue(&[0, 0, 0, 0]);
        writer.bits(1, 1).bits(32, 1001).bits(32, 60_000);
        writer
    }

    #[test]
    fn a_real_one_is_read() {
        assert_eq!(size(hevc_sps(&SPS)), Some((640, 360, Some((50, 1)))));
        for kept in [30, 35] {
            assert_eq!(size(hevc_sps(&SPS[..kept])), Some((640, 360, None)), "a damaged end costs the rate");
        }
        assert_eq!(hevc_sps(&SPS[..20]), None);
    }

    #[test]
    fn everything_before_the_timing_is_passed_over() {
        for sub_layers in 0..=6 {
            let found = size(hevc_sps(&full(sub_layers, false).nal()));
            assert_eq!(found, Some((1920, 1080, Some((60_000, 1001)))), "{sub_layers} sub-layers");
        }
    }

    #[test]
    fn two_fields_are_a_frame() {
        let found = hevc_sps(&full(0, true).nal());
        assert_eq!(size(found), Some((1920, 1080, Some((30_000, 1001)))));
        assert!(found.unwrap().may_be_fields);
    }

    #[test]
    fn a_video_parameter_set_may_tell_the_rate() {
        for sub_layers in [0, 2] {
            for has_timing in [0, 1] {
                let mut writer = Writer::default();
                writer.bits(16, 32 << 9 | 1).bits(12, 0xC0).bits(3, sub_layers).bits(17, 0x1FFFF);
                profile(&mut writer, sub_layers);
                writer.bits(1, 0).ue(&[4, 2, 5]).bits(6, 1).ue(&[2]).bits(4, 0b1010);
                writer.bits(1, has_timing).bits(32, 1).bits(32, 25);
                let found = hevc_vps(&writer.nal()).map(|rate| (rate.num, rate.den));
                assert_eq!(found, (has_timing == 1).then_some((25, 1)));
            }
        }
        assert_eq!(hevc_vps(&SPS), None, "another unit");
        assert_eq!(hevc_sps(&[0x40, 0x01, 0x0C]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), flips in proptest::collection::vec((0usize..400, 0u8..8), 0..4)) {
            let mut damaged = full(1, false).nal();
            for (at, bit) in flips {
                let at = at % damaged.len();
                damaged[at] ^= 1 << bit;
            }
            let sps = [&[0x42, 0x01][..], &bytes].concat();
            let vps = [&[0x40, 0x01][..], &bytes].concat();
            let rate = hevc_vps(&vps);
            prop_assert!(rate.is_none_or(|rate| rate.num > 0 && rate.den > 0));
            for picture in [hevc_sps(&sps), hevc_sps(&damaged)].into_iter().flatten() {
                prop_assert!((1..=16_888).contains(&picture.width) && (1..=33_776).contains(&picture.height));
            }
        }
    }
}
