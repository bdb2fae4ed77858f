//! A profile in words and numbers, as it is stored and shown.

use crate::source::profile::scanner::Profile;
use crate::ts::{Codec, StreamKind};

/// Codecs whose names in profiles are not those of inventories: profiles have always had ffprobe's.
const NAMES: &[(&str, Codec)] = &[
    ("aac_latm", Codec::AacLatm),
    ("cavs", Codec::Avs),
    ("mp1", Codec::Mpeg1Audio),
    ("mp2", Codec::Mpeg1Audio),
    ("mp3", Codec::Mpeg1Audio),
    ("mpeg4", Codec::Mpeg4Video),
    ("pcm_bluray", Codec::Lpcm),
];

/// The name of a codec in profiles.
#[must_use]
pub const fn name_of_codec(codec: Codec) -> &'static str {
    if matches!(codec, Codec::Mpeg1Audio | Codec::Mpeg2Audio) {
        "mp2"
    } else if matches!(codec, Codec::AacLatm) {
        "aac_latm"
    } else if matches!(codec, Codec::Avs) {
        "cavs"
    } else if matches!(codec, Codec::Mpeg4Video) {
        "mpeg4"
    } else if matches!(codec, Codec::Lpcm) {
        "pcm_bluray"
    } else {
        codec.as_str()
    }
}

/// The codec of a name in a profile or in an inventory. `None` for what no transport stream carries.
#[must_use]
pub fn codec_of_name(name: &str) -> Option<Codec> {
    let name = name.trim();
    let known = Codec::ALL
        .iter()
        .map(|codec| (codec.as_str(), *codec))
        .chain(NAMES.iter().copied())
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, codec)| codec).filter(|codec| codec.kind() != StreamKind::Other)
}

/// What a source's stream is made of. Zero and blank are unknown.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StreamProfile {
    /// Shown columns.
    pub width: u32,
    /// Shown lines.
    pub height: u32,
    /// Frames in a second.
    pub fps: f64,
    /// By ffprobe's name.
    pub video_codec: String,
    /// By ffprobe's name.
    pub audio_codec: String,
    /// Samples in a second. Not stored.
    pub sample_rate: u32,
    /// With the one for low frequencies. Not stored.
    pub channels: u32,
    /// Bits in a second.
    pub bitrate_bps: u64,
}

impl StreamProfile {
    /// Nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `WxH`, once both are known.
    #[must_use]
    pub fn resolution(&self) -> Option<String> {
        (self.width > 0 && self.height > 0).then(|| format!("{}x{}", self.width, self.height))
    }

    /// What is not known filled in from what was known before, as far as it can be of the same streams.
    #[must_use]
    pub fn filled_from(mut self, before: &Self) -> Self {
        if is_same(&self.video_codec, &before.video_codec) {
            if self.video_codec.is_empty() {
                self.video_codec.clone_from(&before.video_codec);
            }
            if self.width == 0 || self.height == 0 {
                (self.width, self.height) = (before.width, before.height);
            }
            if self.fps == 0.0 {
                self.fps = before.fps;
            }
        }
        if is_same(&self.audio_codec, &before.audio_codec) {
            if self.audio_codec.is_empty() {
                self.audio_codec.clone_from(&before.audio_codec);
            }
            if self.sample_rate == 0 || self.channels == 0 {
                (self.sample_rate, self.channels) = (before.sample_rate, before.channels);
            }
        }
        if self.bitrate_bps == 0 {
            self.bitrate_bps = before.bitrate_bps;
        }
        self
    }
}

fn is_same(now: &str, before: &str) -> bool {
    now.is_empty() || now == before
}

impl From<&Profile> for StreamProfile {
    fn from(profile: &Profile) -> Self {
        let name = |codec: Option<Codec>| codec.map(name_of_codec).unwrap_or_default().to_owned();
        let fps =
            if profile.fps_den == 0 { 0.0 } else { f64::from(profile.fps_num) / f64::from(profile.fps_den) };
        Self {
            width: profile.width,
            height: profile.height,
            fps,
            video_codec: name(profile.video_codec),
            audio_codec: name(profile.audio_codec),
            sample_rate: profile.sample_rate,
            channels: profile.channels,
            bitrate_bps: profile.bitrate_bps,
        }
    }
}

impl From<&StreamProfile> for Profile {
    /// Names of codecs that no transport stream carries are lost. Frame rates that are stored as a decimal fraction
    /// are taken for the common one they mean.
    fn from(stored: &StreamProfile) -> Self {
        let (fps_num, fps_den) = fraction(stored.fps);
        Self {
            width: stored.width,
            height: stored.height,
            fps_num,
            fps_den,
            video_codec: codec_of_name(&stored.video_codec).filter(|codec| codec.kind() == StreamKind::Video),
            audio_codec: codec_of_name(&stored.audio_codec).filter(|codec| codec.kind() == StreamKind::Audio),
            sample_rate: stored.sample_rate,
            channels: stored.channels,
            bitrate_bps: stored.bitrate_bps,
        }
    }
}

/// A frame rate as a fraction: whole, a thousandth less than whole, or in hundredths.
fn fraction(fps: f64) -> (u32, u32) {
    if !(0.01..=1000.0).contains(&fps) {
        return (0, 0);
    }
    let whole = fps.round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 100000")]
    let rounded = |number: f64| number.round() as u32;
    if (fps - whole).abs() < 0.001 {
        (rounded(whole), 1)
    } else if (fps - whole * 1000.0 / 1001.0).abs() < 0.006 {
        (rounded(whole * 1000.0), 1001)
    } else {
        (rounded(fps * 100.0), 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> StreamProfile {
        StreamProfile {
            width: 1920,
            height: 1080,
            fps: 30_000.0 / 1001.0,
            video_codec: "h264".to_owned(),
            audio_codec: "mp2".to_owned(),
            sample_rate: 48_000,
            channels: 2,
            bitrate_bps: 4_100_000,
        }
    }

    #[test]
    fn a_profile_survives_being_stored() {
        let profile = Profile::from(&full());
        assert_eq!((profile.fps_num, profile.fps_den), (30_000, 1001));
        assert_eq!(profile.audio_codec, Some(Codec::Mpeg1Audio));
        assert_eq!(StreamProfile::from(&profile), full());
        assert_eq!(StreamProfile::from(&Profile::default()), StreamProfile::default());
        assert_eq!(Profile::from(&StreamProfile::default()), Profile::default());
    }

    #[test]
    fn rates_in_decimals_are_fractions_again() {
        for (fps, expected) in [
            (25.0, (25, 1)),
            (29.97, (30_000, 1001)),
            (23.976, (24_000, 1001)),
            (59.94, (60_000, 1001)),
            (12.5, (1250, 100)),
            (0.0, (0, 0)),
            (-1.0, (0, 0)),
            (f64::NAN, (0, 0)),
            (f64::INFINITY, (0, 0)),
        ] {
            assert_eq!(fraction(fps), expected, "{fps}");
        }
    }

    #[test]
    fn every_codec_is_known_by_its_names() {
        for codec in Codec::ALL.iter().filter(|codec| codec.kind() != StreamKind::Other) {
            assert_eq!(codec_of_name(codec.as_str()), Some(*codec));
            let named = codec_of_name(name_of_codec(*codec)).unwrap();
            assert_eq!(name_of_codec(named), name_of_codec(*codec));
        }
        for (name, codec) in [
            (" MP2 ", Some(Codec::Mpeg1Audio)),
            ("mp3", Some(Codec::Mpeg1Audio)),
            ("aac_latm", Some(Codec::AacLatm)),
            ("vp9", None),
            ("teletext", None),
            ("", None),
        ] {
            assert_eq!(codec_of_name(name), codec, "{name}");
        }
    }

    #[test]
    fn a_resolution_needs_both_sides_and_empty_is_without_anything() {
        assert_eq!(full().resolution().as_deref(), Some("1920x1080"));
        assert_eq!(StreamProfile { height: 0, ..full() }.resolution(), None);
        assert!(StreamProfile::default().is_empty());
        assert!(!StreamProfile { channels: 2, ..StreamProfile::default() }.is_empty());
    }

    #[test]
    fn gaps_are_filled_from_before_unless_the_streams_are_others() {
        assert_eq!(StreamProfile::default().filled_from(&full()), full());
        let hevc = StreamProfile { video_codec: "hevc".to_owned(), ..StreamProfile::default() };
        let filled = hevc.filled_from(&full());
        assert_eq!((filled.width, filled.fps, filled.channels), (0, 0.0, 2));
        let small = StreamProfile { width: 640, height: 360, fps: 25.0, ..StreamProfile::default() };
        let filled = small.filled_from(&full());
        assert_eq!((filled.width, filled.height, filled.fps), (640, 360, 25.0));
    }
}
