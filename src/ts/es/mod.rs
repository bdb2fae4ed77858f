//! Elementary streams: what their headers tell of pictures and sound, no further.

mod audio;
mod bits;
mod h264;
mod hevc;
mod mpeg2;

pub use audio::{AUDIO_FRAME_BYTES_MAX, AudioFormat, audio_frame};
pub use h264::{h264_slice_start, h264_sps};
pub use hevc::{hevc_sps, hevc_vps};
pub use mpeg2::{mpeg2_sequence, mpeg2_sequence_extension};

/// A frame rate as a fraction. Neither part is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameRate {
    /// Frames in `den` seconds.
    pub num: u32,
    /// Seconds of `num` frames.
    pub den: u32,
}

impl FrameRate {
    /// The reduced fraction, when it is one that pictures are shown at. Streams of variable rate name the ticks of
    /// their clock instead, some of them 90000 in a second.
    #[must_use]
    pub fn new(num: u64, den: u64) -> Option<Self> {
        let divisor = gcd(num, den);
        let rate = Self {
            num: u32::try_from(num.checked_div(divisor)?).ok()?,
            den: u32::try_from(den.checked_div(divisor)?).ok()?,
        };
        (rate.num > 0 && rate.den > 0 && (1.0..=300.0).contains(&rate.as_f64())).then_some(rate)
    }

    /// Frames in a second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// What a video stream's headers tell of its pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picture {
    /// Shown columns.
    pub width: u32,
    /// Shown lines of a whole frame.
    pub height: u32,
    /// Frames in a second, when the headers tell.
    pub rate: Option<FrameRate>,
    /// A picture may be one field of a frame.
    pub may_be_fields: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_reduced_fraction_that_a_viewer_could_see() {
        for (num, den, expected) in [
            (60_000, 2002, Some((30_000, 1001))),
            (50, 2, Some((25, 1))),
            (300, 1, Some((300, 1))),
            (301, 1, None),
            (1, 2, None),
            (90_000, 1, None),
            (0, 5, None),
            (5, 0, None),
            (0, 0, None),
            (u64::MAX, u64::MAX - 1, None),
        ] {
            let found = FrameRate::new(num, den).map(|rate| (rate.num, rate.den));
            assert_eq!(found, expected, "{num}/{den}");
        }
    }
}
