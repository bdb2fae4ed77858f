//! What ffmpeg is told to encode a slate.

use super::frame_rate::gop;
use super::spec::{AudioCodec, AudioSpec, SlateSpec, VideoCodec};

/// The height for which the text has [`FONT_SIZE`].
const FONT_HEIGHT: u32 = 720;
const FONT_SIZE: u32 = 42;
const FONT_SIZE_MIN: u32 = 8;

/// ffmpeg's arguments for one GOP of a slate, as a transport stream on its standard output.
///
/// Nothing here is newer than ffmpeg 4, and nothing paces the encoder: it is done in less than the slate lasts.
#[must_use]
pub fn ffmpeg_arguments(spec: &SlateSpec) -> Vec<String> {
    arguments(spec, (!spec.text.is_empty()).then(|| draw_text(spec)))
}

/// The same with an empty picture, for an ffmpeg that finds no font.
#[must_use]
pub fn ffmpeg_arguments_without_text(spec: &SlateSpec) -> Vec<String> {
    arguments(spec, None)
}

fn arguments(spec: &SlateSpec, filter: Option<String>) -> Vec<String> {
    let mut list = words("-nostdin -hide_banner -loglevel error -f lavfi -i");
    list.push(format!("color=c=black:s={}x{}:r={}", spec.width, spec.height, spec.rate));
    if let Some(audio) = spec.audio {
        // One frame is kept; an encoder's first ones may differ from the rest.
        list.extend(words("-f lavfi -t 1 -i"));
        list.push(format!("anullsrc=r={}:cl={}", audio.sample_rate, audio.layout()));
    }
    if let Some(filter) = filter {
        list.extend(["-vf".to_owned(), filter]);
    }
    list.extend(video(spec));
    list.extend(spec.audio.map_or_else(|| words("-an"), audio));
    list.extend(words("-muxpreload 0 -muxdelay 0 -mpegts_flags +resend_headers -f mpegts pipe:1"));
    list
}

fn video(spec: &SlateSpec) -> Vec<String> {
    let gop = gop(spec.rate);
    let encoder = match spec.video {
        VideoCodec::H264 => format!(
            "-c:v libx264 -preset veryfast -tune stillimage -profile:v high -sc_threshold 0 -x264-params \
             keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:repeat-headers=1:aud=1"
        ),
        VideoCodec::Hevc => format!(
            "-c:v libx265 -preset veryfast -x265-params \
             keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=0:repeat-headers=1:aud=1:log-level=error"
        ),
        VideoCodec::Mpeg2 => "-c:v mpeg2video -q:v 4 -flags +cgop -sc_threshold 1000000000".to_owned(),
    };
    words(&format!("-frames:v {gop} {encoder} -pix_fmt yuv420p -bf 0 -g {gop} -keyint_min {gop}"))
}

fn audio(audio: AudioSpec) -> Vec<String> {
    let bit_rate = match audio.codec {
        AudioCodec::Aac | AudioCodec::Mp2 => "96k",
        AudioCodec::Ac3 | AudioCodec::Eac3 if audio.channels <= 2 => "96k",
        AudioCodec::Ac3 | AudioCodec::Eac3 => "192k",
    };
    let encoder = audio.codec.as_str();
    words(&format!("-c:a {encoder} -b:a {bit_rate} -ar {} -ac {}", audio.sample_rate, audio.channels))
}

fn draw_text(spec: &SlateSpec) -> String {
    let font_size = (spec.height * FONT_SIZE / FONT_HEIGHT).max(FONT_SIZE_MIN);
    format!(
        "drawtext=expansion=none:text='{}':x=(w-text_w)/2:y=(h-text_h)/2:fontsize={font_size}:\
         fontcolor=white:box=1:boxcolor=black@0.45:boxborderw=12",
        escape(&spec.text)
    )
}

/// A text for use between single quotes in a graph of filters. It is unpacked twice: first the graph's parser
/// takes the quotes away, between which it changes nothing, so that a quote itself has to stand outside of them;
/// then the filter's options are told apart, where a backslash protects backslash, quote and colon.
fn escape(text: &str) -> String {
    let mut option = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '\'' | ':') {
            option.push('\\');
        }
        option.push(character);
    }
    option.replace('\'', r"'\''")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::es::FrameRate;
    use crate::ts::{Codec, StreamProfile};

    fn joined(spec: &SlateSpec) -> String {
        ffmpeg_arguments(spec).join(" ")
    }

    #[test]
    fn size_rate_sound_and_text_are_those_of_the_channel() {
        let profile = StreamProfile {
            width: 1920,
            height: 1080,
            frame_rate: FrameRate::of_f64(59.94),
            sample_rate: 44_100,
            channels: 2,
            ..StreamProfile::default()
        };
        let text = joined(&SlateSpec::of(&profile, "Recovering: please wait", true));
        for part in [
            "s=1920x1080:r=60000/1001",
            "anullsrc=r=44100:cl=stereo",
            r"Recovering\: please wait",
            "-g 120",
            "-frames:v 120",
            "repeat-headers=1",
            "aud=1",
            "-c:a aac -b:a 96k -ar 44100 -ac 2",
            "-f mpegts pipe:1",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("readrate"), "ffmpeg 4 does not know it: {text}");
        assert!(!text.contains("-an "), "{text}");
    }

    #[test]
    fn no_sound_has_no_input() {
        let text = joined(&SlateSpec::of(&StreamProfile::default(), "x", false));
        assert!(text.contains(" -an ") && !text.contains("anullsrc") && !text.contains("-c:a"), "{text}");
    }

    #[test]
    fn each_codec_has_its_encoder() {
        for (video, audio, encoders) in [
            (Codec::H264, Codec::Aac, ["-c:v libx264", "-c:a aac"]),
            (Codec::Hevc, Codec::Ac3, ["-c:v libx265", "-c:a ac3"]),
            (Codec::Mpeg2Video, Codec::Mpeg1Audio, ["-c:v mpeg2video", "-c:a mp2"]),
            (Codec::H264, Codec::Eac3, ["-c:v libx264", "-c:a eac3"]),
        ] {
            let profile = StreamProfile {
                video_codec: Some(video.into()),
                audio_codec: Some(audio.into()),
                ..StreamProfile::default()
            };
            let text = joined(&SlateSpec::of(&profile, "x", true));
            assert!(encoders.iter().all(|encoder| text.contains(encoder)), "{encoders:?}: {text}");
            assert!(text.contains("-bf 0"), "{text}");
        }
    }

    #[test]
    fn a_text_is_quoted_for_both_of_its_readers() {
        for (text, escaped) in [
            ("plain", "plain"),
            ("a: b", r"a\: b"),
            ("it's", r"it\'\''s"),
            (r"a\b", r"a\\b"),
            ("100% [x];,=", "100% [x];,="),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn without_text_nothing_is_drawn() {
        let spec = SlateSpec::of(&StreamProfile::default(), "x", true);
        assert!(!ffmpeg_arguments_without_text(&spec).join(" ").contains("drawtext"));
        assert!(!joined(&SlateSpec { text: String::new(), ..spec }).contains("drawtext"));
    }
}
