//! What a stream is made of: the one shape of it, from packets, ffprobe and the database to slates and the status document.

use super::es::FrameRate;
use super::inventory::ComponentState;
use super::{Codec, StreamKind};

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
const fn name_of_codec(codec: Codec) -> &'static str {
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
fn codec_of_name(name: &str) -> Option<Codec> {
    let known = Codec::ALL
        .iter()
        .map(|codec| (codec.as_str(), *codec))
        .chain(NAMES.iter().copied())
        .find(|(known, _)| *known == name);
    known.map(|(_, codec)| codec).filter(|codec| codec.kind() != StreamKind::Other)
}

/// A codec in a profile.
#[derive(Clone, Eq, Debug)]
pub enum ProfileCodec {
    /// One that transport streams carry, under its own name.
    Exact(Codec),
    /// Another, or another name for it: what ffprobe or the database has called it, in lower case.
    Named(Box<str>),
}

impl ProfileCodec {
    /// The codec of a name, unless that is blank.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.trim().to_lowercase();
        let exact = codec_of_name(&name).filter(|codec| name_of_codec(*codec) == name);
        (!name.is_empty()).then(|| exact.map_or_else(|| Self::Named(name.into()), Self::Exact))
    }

    /// Its name in the database and in the status document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(codec) => name_of_codec(*codec),
            Self::Named(name) => name,
        }
    }

    /// What a transport stream has that carries it. `None` for what none can.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        match self {
            Self::Exact(codec) => Some(*codec),
            Self::Named(name) => codec_of_name(name),
        }
    }
}

/// What has the same name is the same: profiles do not tell the two MPEGs' audio apart.
impl PartialEq for ProfileCodec {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl From<Codec> for ProfileCodec {
    fn from(codec: Codec) -> Self {
        Self::Exact(codec)
    }
}

/// The name of a codec in the database and in the status document; blank when it is not known.
#[must_use]
pub fn codec_name(codec: Option<&ProfileCodec>) -> &str {
    codec.map(ProfileCodec::as_str).unwrap_or_default()
}

/// What a source's stream is made of. Zero and `None` are unknown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamProfile {
    /// Shown columns.
    pub width: u32,
    /// Shown lines.
    pub height: u32,
    /// Of the pictures.
    pub frame_rate: Option<FrameRate>,
    /// Of the first video stream.
    pub video_codec: Option<ProfileCodec>,
    /// Of the first audio stream.
    pub audio_codec: Option<ProfileCodec>,
    /// Samples in a second; with spectral band replication those of its core. Not stored.
    pub sample_rate: u32,
    /// With the one for low frequencies. Not stored.
    pub channels: u32,
    /// Bits in a second, of the whole source.
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

    /// Frames in a second; zero when that is not known.
    #[must_use]
    pub fn fps(&self) -> f64 {
        self.frame_rate.map_or(0.0, FrameRate::as_f64)
    }

    /// Which kinds of components it speaks of.
    #[must_use]
    pub const fn components(&self) -> ComponentState {
        ComponentState::of(self.video_codec.is_some(), self.audio_codec.is_some())
    }

    /// What is not known filled in from what was known before, as far as it can be of the same streams.
    #[must_use]
    pub fn filled_from(mut self, before: &Self) -> Self {
        if is_same(self.video_codec.as_ref(), before.video_codec.as_ref()) {
            if self.video_codec.is_none() {
                self.video_codec.clone_from(&before.video_codec);
            }
            if self.width == 0 || self.height == 0 {
                (self.width, self.height) = (before.width, before.height);
            }
            self.frame_rate = self.frame_rate.or(before.frame_rate);
        }
        if is_same(self.audio_codec.as_ref(), before.audio_codec.as_ref()) {
            if self.audio_codec.is_none() {
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

fn is_same(now: Option<&ProfileCodec>, before: Option<&ProfileCodec>) -> bool {
    now.is_none() || now == before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> StreamProfile {
        StreamProfile {
            width: 1920,
            height: 1080,
            frame_rate: FrameRate::new(30_000, 1001),
            video_codec: Some(Codec::H264.into()),
            audio_codec: Some(Codec::Mpeg2Audio.into()),
            sample_rate: 48_000,
            channels: 2,
            bitrate_bps: 4_100_000,
        }
    }

    #[test]
    fn a_profile_survives_being_stored() {
        let stored = |codec: &Option<ProfileCodec>| ProfileCodec::of_name(codec_name(codec.as_ref()));
        let back = StreamProfile {
            frame_rate: FrameRate::of_f64(full().fps()),
            video_codec: stored(&full().video_codec),
            audio_codec: stored(&full().audio_codec),
            ..full()
        };
        assert_eq!(back, full());
        assert_eq!(back.frame_rate.map(|rate| (rate.num, rate.den)), Some((30_000, 1001)));
        assert_eq!(back.audio_codec.unwrap().codec(), Some(Codec::Mpeg1Audio));
        assert_eq!((stored(&None), StreamProfile::default().fps()), (None, 0.0));
    }

    #[test]
    fn every_codec_is_known_by_its_names() {
        for codec in Codec::ALL.iter().filter(|codec| codec.kind() != StreamKind::Other) {
            assert_eq!(codec_of_name(codec.as_str()), Some(*codec));
            let named = codec_of_name(name_of_codec(*codec)).unwrap();
            assert_eq!(name_of_codec(named), name_of_codec(*codec));
        }
        for (name, shown, codec) in [
            (" MP2 ", "mp2", Some(Codec::Mpeg1Audio)),
            ("mp3", "mp3", Some(Codec::Mpeg1Audio)),
            ("mpeg2audio", "mpeg2audio", Some(Codec::Mpeg2Audio)),
            ("aac_latm", "aac_latm", Some(Codec::AacLatm)),
            ("vp9", "vp9", None),
            ("teletext", "teletext", None),
            (" \t", "", None),
            ("", "", None),
        ] {
            let found = ProfileCodec::of_name(name);
            assert_eq!(codec_name(found.as_ref()), shown, "{name}");
            assert_eq!(found.and_then(|found| found.codec()), codec, "{name}");
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
        let hevc = StreamProfile { video_codec: Some(Codec::Hevc.into()), ..StreamProfile::default() };
        let filled = hevc.filled_from(&full());
        assert_eq!((filled.width, filled.fps(), filled.channels), (0, 0.0, 2));
        let small = StreamProfile {
            width: 640,
            height: 360,
            frame_rate: FrameRate::new(25, 1),
            ..StreamProfile::default()
        };
        let filled = small.filled_from(&full());
        assert_eq!((filled.width, filled.height, filled.fps()), (640, 360, 25.0));
    }

    #[test]
    fn a_profile_speaks_of_components() {
        for (video, audio, expected) in [
            ("h264", "aac", ComponentState::VideoAudio),
            ("", "", ComponentState::Undetected),
            ("  hevc  ", "   ", ComponentState::VideoOnly),
            ("", "mp2", ComponentState::AudioOnly),
        ] {
            let profile = StreamProfile {
                video_codec: ProfileCodec::of_name(video),
                audio_codec: ProfileCodec::of_name(audio),
                ..StreamProfile::default()
            };
            assert_eq!(profile.components(), expected);
        }
    }
}
