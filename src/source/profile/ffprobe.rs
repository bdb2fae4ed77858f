//! What ffprobe is told, and what its answer says.

use std::time::Duration;

use serde_json::Value;

use crate::base::{ChildExit, redact};
use crate::source::admission;
use crate::source::relayed::RELAYED_ADDRESS;
use crate::source::scheme::Scheme;
use crate::ts::es::FrameRate;
use crate::ts::{ProfileCodec, StreamProfile};

/// The time of one probe.
pub const TIMEOUT: Duration = Duration::from_secs(4);
/// Characters of output that are quoted in an error.
const SNIPPET_CHARS_MAX: usize = 240;

/// Why there is no profile. No text in it holds credentials.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is nothing to ask about.
    #[error("stream URL is required")]
    NoUrl,
    /// It ended badly, or not in time.
    #[error("ffprobe stream profile failed: {end}: {snippet}")]
    Failed {
        /// How it ended.
        end: String,
        /// What it said.
        snippet: String,
    },
    /// Its answer is not what it was asked for.
    #[error("decode ffprobe stream profile JSON: {problem}: {snippet}")]
    Json {
        /// What is wrong with it.
        problem: String,
        /// Its beginning.
        snippet: String,
    },
    /// It has found neither pictures nor sound.
    #[error("ffprobe returned no video or audio streams")]
    NoStreams,
}

/// The arguments for an address; HTTP is read through us. `verification` is what [`ffmpeg`](crate::source::ffmpeg) is told about
/// other servers.
///
/// # Errors
/// When there is no address.
pub fn arguments(url: &str, verification: &[String]) -> Result<Vec<String>, ProbeError> {
    let url = url.trim();
    if url.is_empty() {
        return Err(ProbeError::NoUrl);
    }
    let fixed = ["-v", "error", "-of", "json", "-show_streams", "-show_format"];
    let limits = ["-analyzeduration", "1500000", "-probesize", "1000000"];
    let is_http = Scheme::of(url).is_http();
    // What is read through us leads nowhere else.
    let protocols = if is_http { Some("http,tcp,crypto,data") } else { admission::protocols(url) };
    let protocols = protocols.map(|protocols| ["-protocol_whitelist", protocols]);
    let verification = verification.iter().map(String::as_str);
    let url = if is_http { RELAYED_ADDRESS } else { url };
    let all = fixed
        .into_iter()
        .chain(limits)
        .chain(protocols.into_iter().flatten())
        .chain(verification)
        .chain([url]);
    Ok(all.map(str::to_owned).collect())
}

/// The profile that a run of ffprobe has found. `exit` is `None` when its time was over.
///
/// # Errors
/// When it failed, or found nothing.
pub fn outcome(exit: Option<ChildExit>, stdout: &[u8], stderr: &[u8]) -> Result<StreamProfile, ProbeError> {
    if exit.is_some_and(ChildExit::is_clean) {
        return parse(stdout);
    }
    let end = exit.map_or_else(|| "timed out".to_owned(), |exit| exit.to_string());
    let said = [stderr, stdout].map(snippet).into_iter().find(|said| !said.is_empty());
    Err(ProbeError::Failed { end, snippet: said.unwrap_or_else(|| "no output".to_owned()) })
}

/// Reads the answer. A number that is none is unknown; it does not spoil the others.
///
/// # Errors
/// When it is not JSON or has neither video nor audio.
pub fn parse(answer: &[u8]) -> Result<StreamProfile, ProbeError> {
    let json: Value = serde_json::from_slice(answer)
        .map_err(|error| ProbeError::Json { problem: error.to_string(), snippet: snippet(answer) })?;
    let streams = json["streams"].as_array().map_or(&[][..], Vec::as_slice);
    let first = |kind| streams.iter().find(|stream| is_of_kind(stream, kind) && !is_attached(stream));
    let (video, audio) = (first("video"), first("audio"));
    if video.is_none() && audio.is_none() {
        return Err(ProbeError::NoStreams);
    }
    let absent = Value::Null;
    let (video, audio) = (video.unwrap_or(&absent), audio.unwrap_or(&absent));
    let rates = [&video["avg_frame_rate"], &video["r_frame_rate"]].map(frame_rate);
    let bitrates = [&video["bit_rate"], &json["format"]["bit_rate"], &video["tags"]["variant_bitrate"]];
    Ok(StreamProfile {
        width: small(&video["width"]),
        height: small(&video["height"]),
        frame_rate: rates.into_iter().flatten().next(),
        video_codec: ProfileCodec::of_name(text(&video["codec_name"])),
        audio_codec: ProfileCodec::of_name(text(&audio["codec_name"])),
        sample_rate: small(&audio["sample_rate"]),
        channels: small(&audio["channels"]),
        bitrate_bps: bitrates.into_iter().map(integer).find(|bitrate| *bitrate > 0).unwrap_or(0),
    })
}

fn is_of_kind(stream: &Value, kind: &str) -> bool {
    text(&stream["codec_type"]).eq_ignore_ascii_case(kind)
}

/// A cover, which is a video stream of one picture.
fn is_attached(stream: &Value) -> bool {
    stream["disposition"]["attached_pic"] == 1
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("").trim()
}

/// An integer, written as one or as a text.
fn integer(value: &Value) -> u64 {
    value.as_u64().or_else(|| text(value).parse().ok()).unwrap_or(0)
}

fn small(value: &Value) -> u32 {
    u32::try_from(integer(value)).unwrap_or(0)
}

/// A number, or a fraction.
fn frame_rate(value: &Value) -> Option<FrameRate> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let rate = match text(value).split_once('/') {
        Some((num, den)) => number(num).zip(number(den)).map(|(num, den)| num / den),
        None => number(text(value)),
    };
    FrameRate::of_f64(rate?)
}

/// The beginning of an output on one line, redacted.
fn snippet(output: &[u8]) -> String {
    let shown = redact::text(&String::from_utf8_lossy(output));
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SNIPPET_CHARS_MAX {
        return line;
    }
    let cut: String = line.chars().take(SNIPPET_CHARS_MAX).collect();
    format!("{}...", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::ts::codec_name;

    fn profile(answer: &Value) -> StreamProfile {
        parse(answer.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn all_fields_of_a_programme_are_read() {
        let answer = json!({
            "streams": [
                {"codec_type": "data"},
                {"codec_type": " Video", "codec_name": " h264 ", "width": 1920, "height": 1080,
                    "avg_frame_rate": "30000/1001", "r_frame_rate": "60/1", "bit_rate": "4100000"},
                {"codec_type": "video", "codec_name": "hevc", "width": 1, "height": 1},
                {"codec_type": "audio", "codec_name": "aac", "sample_rate": "48000", "channels": 2},
            ],
            "format": {"bit_rate": "4200000"},
        });
        let expected = StreamProfile {
            width: 1920,
            height: 1080,
            frame_rate: FrameRate::new(30_000, 1001),
            video_codec: ProfileCodec::of_name("h264"),
            audio_codec: ProfileCodec::of_name("aac"),
            sample_rate: 48_000,
            channels: 2,
            bitrate_bps: 4_100_000,
        };
        assert_eq!(profile(&answer), expected);
    }

    #[test]
    fn the_first_bitrate_that_is_known_counts() {
        for (video, format, variant, expected) in [
            ("0", "2500000", "1", 2_500_000),
            ("0", "0", "1800000", 1_800_000),
            ("N/A", "N/A", "", 0),
            ("-5", "2500000", "1", 2_500_000),
            ("1.5", "x", "1", 1),
        ] {
            let answer = json!({
                "streams": [{"codec_type": "video", "bit_rate": video, "tags": {"variant_bitrate": variant}}],
                "format": {"bit_rate": format},
            });
            assert_eq!(profile(&answer).bitrate_bps, expected, "{video} {format} {variant}");
        }
    }

    #[test]
    fn one_kind_of_stream_is_enough() {
        let audio = json!({
            "streams": [{"codec_type": "audio", "codec_name": "mp2", "sample_rate": "44100", "channels": 1}],
            "format": {"bit_rate": "128000"},
        });
        let found = profile(&audio);
        assert_eq!(
            (found.width, codec_name(found.video_codec.as_ref()), codec_name(found.audio_codec.as_ref())),
            (0, "", "mp2")
        );
        assert_eq!((found.sample_rate, found.channels, found.bitrate_bps), (44_100, 1, 128_000));
        let video = json!({"streams": [{"codec_type": "video", "codec_name": "hevc", "width": 640}]});
        let found = profile(&video);
        assert_eq!(
            (found.width, codec_name(found.video_codec.as_ref()), codec_name(found.audio_codec.as_ref())),
            (640, "hevc", "")
        );
    }

    #[test]
    fn nothing_is_said_when_there_is_nothing() {
        for answer in [json!({}), json!({"streams": []}), json!({"streams": [{"codec_type": "data"}, 5]})] {
            let error = parse(answer.to_string().as_bytes()).unwrap_err();
            assert!(error.to_string().contains("no video or audio streams"), "{answer}");
        }
        let cover = json!({"codec_type": "video", "width": 300, "disposition": {"attached_pic": 1}});
        let radio = json!({"streams": [cover, {"codec_type": "audio", "codec_name": "mp3"}]});
        assert_eq!(profile(&radio).width, 0, "a cover is no picture that moves");
    }

    #[test]
    fn frame_rates_are_numbers_or_fractions() {
        for (text, expected) in [
            ("25", 25.0),
            ("25/1", 25.0),
            (" 50 / 2 ", 25.0),
            ("29.97", 29.97),
            ("", 0.0),
            ("0", 0.0),
            ("0/0", 0.0),
            ("5/0", 0.0),
            ("-25/1", 0.0),
            ("1/2/3", 0.0),
            ("nan", 0.0),
            ("inf", 0.0),
            ("fast", 0.0),
        ] {
            assert_eq!(frame_rate(&json!(text)).map_or(0.0, FrameRate::as_f64), expected, "{text:?}");
        }
        let answer =
            json!({"streams": [{"codec_type": "video", "avg_frame_rate": "0/0", "r_frame_rate": "50/1"}]});
        assert_eq!(profile(&answer).fps(), 50.0);
    }

    #[test]
    fn an_odd_number_does_not_spoil_the_others() {
        let answer = json!({"streams": [
            {"codec_type": "video", "codec_name": "h264", "width": -1, "height": 1080, "avg_frame_rate": "x"},
            {"codec_type": "audio", "codec_name": "aac", "sample_rate": "N/A", "channels": -2},
        ]});
        let found = profile(&answer);
        assert_eq!((found.width, found.height, codec_name(found.video_codec.as_ref())), (0, 1080, "h264"));
        assert_eq!(
            (found.sample_rate, found.channels, codec_name(found.audio_codec.as_ref())),
            (0, 0, "aac")
        );
    }

    #[test]
    fn the_command_is_complete() {
        for (url, told, expected) in [
            (
                " http://u:p@h/a.ts ",
                None,
                "-protocol_whitelist http,tcp,crypto,data http://127.0.0.1/relayed",
            ),
            ("srt://h/a", Some("-tls_verify"), "-protocol_whitelist srt -tls_verify srt://h/a"),
        ] {
            let verification: Vec<_> = told.into_iter().map(str::to_owned).collect();
            let line = arguments(url, &verification).unwrap().join(" ");
            let before =
                "-v error -of json -show_streams -show_format -analyzeduration 1500000 -probesize 1000000";
            assert_eq!(line, format!("{before} {expected}"));
        }
        assert_eq!(arguments("  ", &[]).unwrap_err().to_string(), "stream URL is required");
    }

    #[test]
    fn failures_say_what_happened_and_hide_credentials() {
        let url = "http://user:secret@h/live/u/p/1.ts?token=abc";
        for (exit, stdout, stderr, expected) in [
            (
                Some(ChildExit::Code(1)),
                "{}",
                format!("{url}:\n  Server returned 404"),
                "ffprobe stream profile failed: exit status 1: http://h/live/***/***/1.ts: Server returned 404",
            ),
            (None, " x\ty ", String::new(), "ffprobe stream profile failed: timed out: x y"),
            (None, "", " \n".to_owned(), "ffprobe stream profile failed: timed out: no output"),
        ] {
            let error = outcome(exit, stdout.as_bytes(), stderr.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = outcome(Some(ChildExit::Code(0)), url.as_bytes(), b"").unwrap_err().to_string();
        assert!(error.starts_with("decode ffprobe stream profile JSON: "), "{error}");
        assert!(error.ends_with(": http://h/live/***/***/1.ts"), "{error}");
    }

    #[test]
    fn quotes_are_short() {
        let error = outcome(None, b"", "é ".repeat(200).as_bytes()).unwrap_err().to_string();
        let snippet = error.strip_prefix("ffprobe stream profile failed: timed out: ").unwrap();
        assert_eq!(snippet, format!("{}...", "é ".repeat(120).trim_end()));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in "(?s)[{}\\[\\]\",:a-z0-9 ]{0,80}", number in any::<f64>()) {
            if let Ok(found) = parse(answer.as_bytes()) {
                prop_assert!(!found.is_empty() || answer.contains("codec_type"));
            }
            let value = json!({"streams": [{"codec_type": "video", "width": number, "avg_frame_rate": number}]});
            prop_assert!(profile(&value).fps().is_finite());
        }
    }
}
