//! HEVC video and sequence parameter sets (ITU-T H.265, 7.3.2.1, 7.3.2.2 and annex E).

use super::bits::Bits;
use super::h264::skip_appearance;
use super::{FrameRate, Picture};

/// Bytes of a NAL header.
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
