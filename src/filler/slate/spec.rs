//! What a slate is to look like, from what is known of the channel.

use crate::ts::es::FrameRate;
use crate::ts::{Codec, ProfileCodec, StreamProfile, crc32};

use super::frame_rate::{nearest_of_mpeg2, of_hertz};

const WIDTH_DEFAULT: u32 = 1280;
const HEIGHT_DEFAULT: u32 = 720;
/// Nobody's picture is larger; an encoder's memory grows with it.
const WIDTH_MAX: u32 = 4096;
const HEIGHT_MAX: u32 = 2304;
const SAMPLE_RATE_DEFAULT: u32 = 48_000;
const CHANNELS_DEFAULT: u32 = 2;
const CHANNELS_MAX: u32 = 8;
/// Characters of the text that are drawn.
const TEXT_CHARS_MAX: usize = 200;
/// Part of each key: slates encoded by other rules are not found any more.
const RULES: u32 = 1;

/// Why the slate has not the size of the channel's picture, as the log says it.
#[must_use]
pub fn size_adjustment(stream: &StreamProfile) -> Option<&'static str> {
    let odd = (stream.width % 2 == 1, stream.height % 2 == 1);
    if stream.width == 0 || stream.height == 0 {
        return Some("profile_dimension_default");
    }
    match odd {
        (true, true) => Some("profile_dimension_odd_width_height"),
        (true, false) => Some("profile_dimension_odd_width"),
        (false, true) => Some("profile_dimension_odd_height"),
        (false, false) => {
            let kept = (
                size(stream.width, WIDTH_DEFAULT, WIDTH_MAX),
                size(stream.height, HEIGHT_DEFAULT, HEIGHT_MAX),
            );
            (kept != (stream.width, stream.height)).then_some("profile_dimension_adjusted")
        }
    }
}

/// What a slate's pictures are encoded in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VideoCodec {
    /// AVC.
    H264,
    /// H.265.
    Hevc,
    /// ISO/IEC 13818-2.
    Mpeg2,
}

impl VideoCodec {
    /// The one that asks least of a receiver that shows `codec`.
    const fn for_channel(codec: Option<Codec>) -> Self {
        match codec {
            Some(Codec::Hevc) => Self::Hevc,
            Some(Codec::Mpeg2Video | Codec::Mpeg1Video) => Self::Mpeg2,
            Some(_) | None => Self::H264,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Mpeg2 => "mpeg2",
        }
    }
}

/// What a slate's silence is encoded in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AudioCodec {
    /// AAC-LC in ADTS.
    Aac,
    /// Dolby Digital.
    Ac3,
    /// Dolby Digital Plus.
    Eac3,
    /// MPEG layer II.
    Mp2,
}

impl AudioCodec {
    const fn for_channel(codec: Option<Codec>) -> Self {
        match codec {
            Some(Codec::Ac3) => Self::Ac3,
            Some(Codec::Eac3) => Self::Eac3,
            Some(Codec::Mpeg1Audio | Codec::Mpeg2Audio) => Self::Mp2,
            Some(_) | None => Self::Aac,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
            Self::Mp2 => "mp2",
        }
    }

    const fn sample_rates(self) -> &'static [u32] {
        match self {
            Self::Aac => &[
                96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
            ],
            Self::Ac3 | Self::Eac3 => &[48_000, 44_100, 32_000],
            Self::Mp2 => &[48_000, 44_100, 32_000, 24_000, 22_050, 16_000],
        }
    }

    const fn channels_max(self) -> u32 {
        match self {
            Self::Aac => CHANNELS_MAX,
            Self::Ac3 | Self::Eac3 => 6,
            Self::Mp2 => 2,
        }
    }
}

/// A slate's silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AudioSpec {
    /// What it is encoded in.
    pub codec: AudioCodec,
    /// Samples per second.
    pub sample_rate: u32,
    /// 1, 2, 6 or 8.
    pub channels: u32,
}

impl AudioSpec {
    fn of(stream: &StreamProfile) -> Self {
        let codec = AudioCodec::for_channel(stream.audio_codec.as_ref().and_then(ProfileCodec::codec));
        let known_rate = codec.sample_rates().contains(&stream.sample_rate);
        let channels = match stream.channels {
            0 => CHANNELS_DEFAULT,
            more => more.min(CHANNELS_MAX).min(codec.channels_max()),
        };
        Self {
            codec,
            sample_rate: if known_rate { stream.sample_rate } else { SAMPLE_RATE_DEFAULT },
            // The other counts have no layout that every encoder knows.
            channels: if matches!(channels, 1 | 6 | 8) { channels } else { CHANNELS_DEFAULT },
        }
    }

    /// The channels' layout by ffmpeg's names.
    pub(super) const fn layout(self) -> &'static str {
        match self.channels {
            1 => "mono",
            6 => "5.1",
            8 => "7.1",
            _ => "stereo",
        }
    }
}

/// What a slate is to look like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlateSpec {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Pictures per second.
    pub rate: FrameRate,
    /// What the pictures are encoded in.
    pub video: VideoCodec,
    /// The silence, if there is to be any.
    pub audio: Option<AudioSpec>,
    /// What the picture says; may be empty.
    pub text: String,
}

impl SlateSpec {
    /// The slate for a channel.
    #[must_use]
    pub fn of(stream: &StreamProfile, text: &str, has_audio: bool) -> Self {
        let (width, height) = if stream.width == 0 || stream.height == 0 {
            (WIDTH_DEFAULT, HEIGHT_DEFAULT)
        } else {
            (stream.width, stream.height)
        };
        let video = VideoCodec::for_channel(stream.video_codec.as_ref().and_then(ProfileCodec::codec));
        let rate = of_hertz(stream.fps());
        // A terminator would end an argument, and other control characters draw nothing.
        let text = text.trim().chars().take(TEXT_CHARS_MAX);
        Self {
            width: size(width, WIDTH_DEFAULT, WIDTH_MAX),
            height: size(height, HEIGHT_DEFAULT, HEIGHT_MAX),
            rate: if video == VideoCodec::Mpeg2 { nearest_of_mpeg2(rate) } else { rate },
            video,
            audio: has_audio.then(|| AudioSpec::of(stream)),
            text: text.map(|character| if character.is_control() { ' ' } else { character }).collect(),
        }
    }

    /// A name for everything that makes two slates different, fit for a file.
    #[must_use]
    pub fn key(&self) -> String {
        let audio = self.audio.map_or_else(
            || "silent".to_owned(),
            |audio| format!("{}-{}-{}", audio.codec.as_str(), audio.sample_rate, audio.channels),
        );
        format!(
            "{}-{}x{}-{}_{}-{audio}-{:08x}-{RULES}",
            self.video.as_str(),
            self.width,
            self.height,
            self.rate.num,
            self.rate.den,
            crc32(self.text.as_bytes()),
        )
    }
}

/// An even number of pixels that encoders take.
fn size(wanted: u32, default: u32, max: u32) -> u32 {
    let wanted = if wanted == 0 { default } else { wanted };
    (wanted - wanted % 2).clamp(2, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(width: u32, height: u32) -> StreamProfile {
        StreamProfile { width, height, ..StreamProfile::default() }
    }

    #[test]
    fn nothing_known_gives_the_defaults() {
        let spec = SlateSpec::of(&StreamProfile::default(), " Channel recovering... ", true);
        assert_eq!((spec.width, spec.height), (1280, 720));
        assert_eq!(spec.rate, FrameRate { num: 30_000, den: 1001 });
        assert_eq!(spec.video, VideoCodec::H264);
        let audio = AudioSpec { codec: AudioCodec::Aac, sample_rate: 48_000, channels: 2 };
        assert_eq!(spec.audio, Some(audio));
        assert_eq!(spec.text, "Channel recovering...");
        assert_eq!(SlateSpec::of(&StreamProfile::default(), "", false).audio, None);
    }

    #[test]
    fn sizes_are_made_even_and_the_reason_is_named() {
        for ((width, height), size, reason) in [
            ((0, 0), (1280, 720), Some("profile_dimension_default")),
            ((0, 720), (1280, 720), Some("profile_dimension_default")),
            ((1920, 0), (1280, 720), Some("profile_dimension_default")),
            ((853, 480), (852, 480), Some("profile_dimension_odd_width")),
            ((852, 481), (852, 480), Some("profile_dimension_odd_height")),
            ((853, 481), (852, 480), Some("profile_dimension_odd_width_height")),
            ((1, 1), (2, 2), Some("profile_dimension_odd_width_height")),
            ((1920, 1080), (1920, 1080), None),
            ((65_534, 1080), (4096, 1080), Some("profile_dimension_adjusted")),
        ] {
            let profile = sized(width, height);
            let spec = SlateSpec::of(&profile, "", true);
            assert_eq!((spec.width, spec.height), size, "{width}x{height}");
            assert_eq!(size_adjustment(&profile), reason, "{width}x{height}");
        }
    }

    #[test]
    fn codecs_follow_the_channels() {
        for (video, audio, expected) in [
            (Some(Codec::H264), Some(Codec::Aac), (VideoCodec::H264, AudioCodec::Aac)),
            (Some(Codec::Hevc), Some(Codec::Ac3), (VideoCodec::Hevc, AudioCodec::Ac3)),
            (Some(Codec::Hevc), Some(Codec::Eac3), (VideoCodec::Hevc, AudioCodec::Eac3)),
            (Some(Codec::Mpeg2Video), Some(Codec::Mpeg1Audio), (VideoCodec::Mpeg2, AudioCodec::Mp2)),
            (Some(Codec::Vvc), Some(Codec::AacLatm), (VideoCodec::H264, AudioCodec::Aac)),
            (None, None, (VideoCodec::H264, AudioCodec::Aac)),
        ] {
            let stream = StreamProfile {
                video_codec: video.map(ProfileCodec::from),
                audio_codec: audio.map(ProfileCodec::from),
                ..StreamProfile::default()
            };
            let spec = SlateSpec::of(&stream, "", true);
            assert_eq!((spec.video, spec.audio.unwrap().codec), expected, "{video:?} {audio:?}");
        }
    }

    #[test]
    fn sound_is_what_its_encoder_can_do() {
        for (audio, sample_rate, channels, expected) in [
            (Codec::Aac, 44_100, 2, (44_100, 2, "stereo")),
            (Codec::Aac, 0, 0, (48_000, 2, "stereo")),
            (Codec::Aac, 47_999, 3, (48_000, 2, "stereo")),
            (Codec::Aac, 48_000, 1, (48_000, 1, "mono")),
            (Codec::Aac, 48_000, 99, (48_000, 8, "7.1")),
            (Codec::Ac3, 24_000, 8, (48_000, 6, "5.1")),
            (Codec::Mpeg1Audio, 96_000, 6, (48_000, 2, "stereo")),
        ] {
            let profile = StreamProfile {
                audio_codec: Some(audio.into()),
                sample_rate,
                channels,
                ..StreamProfile::default()
            };
            let audio = SlateSpec::of(&profile, "", true).audio.unwrap();
            assert_eq!((audio.sample_rate, audio.channels, audio.layout()), expected);
        }
    }

    #[test]
    fn mpeg2_video_gets_a_rate_it_has() {
        let profile = StreamProfile {
            video_codec: Some(Codec::Mpeg2Video.into()),
            frame_rate: FrameRate::of_f64(12.5),
            ..StreamProfile::default()
        };
        assert_eq!(SlateSpec::of(&profile, "", true).rate.to_string(), "24000/1001");
    }

    #[test]
    fn a_text_is_bounded_and_without_control_characters() {
        let spec = SlateSpec::of(&StreamProfile::default(), &format!("a\0b\nc{}", "x".repeat(1000)), true);
        assert!(spec.text.starts_with("a b cx"));
        assert_eq!(spec.text.chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn a_key_tells_slates_apart_and_is_a_files_name() {
        let base = StreamProfile {
            width: 1920,
            height: 1080,
            frame_rate: FrameRate::of_f64(59.94),
            ..StreamProfile::default()
        };
        let specs = [
            SlateSpec::of(&base, "a", true),
            SlateSpec::of(&base, "b", true),
            SlateSpec::of(&base, "a", false),
            SlateSpec::of(&StreamProfile { frame_rate: FrameRate::new(50, 1), ..base.clone() }, "a", true),
            SlateSpec::of(
                &StreamProfile { video_codec: Some(Codec::Hevc.into()), ..base.clone() },
                "a",
                true,
            ),
            SlateSpec::of(&StreamProfile { audio_codec: Some(Codec::Ac3.into()), ..base.clone() }, "a", true),
            SlateSpec::of(&StreamProfile { channels: 1, ..base.clone() }, "a", true),
            SlateSpec::of(&StreamProfile { height: 720, ..base.clone() }, "a", true),
        ];
        let keys: std::collections::BTreeSet<_> = specs.iter().map(SlateSpec::key).collect();
        assert_eq!(keys.len(), specs.len());
        assert!(keys.contains("h264-1920x1080-60000_1001-aac-48000-2-e66c6494-1"), "{keys:?}");
        assert!(keys.iter().all(|key| key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))));
    }
}
