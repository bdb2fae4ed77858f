//! A picture that says the channel is coming back, with silence: encoded once, looped for as long as needed.
//!
//! A slate is kept as elementary data, the pictures of one closed GOP and a single frame of silence, so that the
//! two loops need no common length and time is counted rather than added up. The [`Player`] makes packets of it
//! on a time base of its own that never jumps; whoever publishes them moves them to the session's.

mod arguments;
mod demux;
mod frame_rate;
mod material;
mod pes;
mod player;
mod sound;
mod spec;
mod streams;

pub use arguments::{ffmpeg_arguments, ffmpeg_arguments_without_text};
pub use demux::SlateError;
pub use material::Slate;
pub use player::{FIRST_PCR, Player};
pub use spec::{AudioCodec, AudioSpec, SlateSpec, VideoCodec, size_adjustment};
pub use streams::{Picture, Sound, Video};
