//! What a source's stream is made of.

/// What a source's stream was made of when it was last looked at. Zero and blank are unknown.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct StoredProfile {
    /// Of the picture.
    pub width: u32,
    /// Of the picture.
    pub height: u32,
    /// Pictures per second.
    pub fps: f64,
    /// As ffmpeg calls it.
    pub video_codec: String,
    /// As ffmpeg calls it.
    pub audio_codec: String,
    /// Bits per second.
    pub bitrate_bps: u64,
    /// When that was, in seconds since 1970; 0 is never.
    pub probed_at: u64,
}

impl StoredProfile {
    /// True when this one takes the place of `old`: it is not older, or it is to forget what was known.
    #[must_use]
    pub const fn replaces(&self, old: &Self) -> bool {
        self.probed_at == 0 || self.probed_at >= old.probed_at
    }
}
