//! H.264 sequence parameter sets (ITU-T H.264, 7.3.2.1.1 and annex E).

use super::bits::Bits;
use super::{FrameRate, Picture};

/// Profiles whose parameter sets tell the chroma format and may hold scaling lists.
const HIGH_PROFILES: &[u32] = &[100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// No picture is larger (level 6.2).
const MACROBLOCKS_MAX: u32 = 1056;
/// An aspect ratio that is written out.
const EXTENDED_SAR: u32 = 255;

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
