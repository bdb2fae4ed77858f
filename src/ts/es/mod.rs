//! Elementary streams: what their headers tell of pictures and sound, no further.

mod audio;
mod bits;
mod frame_rate;
mod h264;
mod hevc;
mod mpeg2;

pub use audio::{AUDIO_FRAME_BYTES_MAX, AudioFormat, audio_frame};
pub use frame_rate::FrameRate;
pub use h264::{h264_slice_start, h264_sps};
pub use hevc::{hevc_sps, hevc_vps};
pub use mpeg2::{mpeg2_sequence, mpeg2_sequence_extension};

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
