//! What tuners' clients read: the device and its channels.

use std::fmt::Write;
use std::rc::Rc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::control::admin::access::base_url;
use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::{HDHR_JSON, HDHR_XML, Response, to_json};
use crate::store::{ChannelRecord, SourceRecord};

/// From this height a picture counts as high definition.
const HD_HEIGHT_MIN: u32 = 720;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Discover<'a> {
    friendly_name: &'a str,
    #[serde(rename = "DeviceID")]
    device_id: String,
    device_auth: &'a str,
    #[serde(rename = "BaseURL")]
    base_url: &'a str,
    #[serde(rename = "LineupURL")]
    lineup_url: String,
    model_number: &'static str,
    firmware_name: &'static str,
    firmware_version: &'static str,
    tuner_count: usize,
}

/// One channel as all three forms of the lineup show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Program {
    guide_number: String,
    guide_name: String,
    #[serde(rename = "URL")]
    url: String,
    tags: &'static str,
    /// Without it, Jellyfin takes every channel for a 2 Mbit/s stream.
    #[serde(rename = "HD")]
    hd: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_codec: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LineupStatus {
    scan_in_progress: u8,
    scan_possible: u8,
    source: &'static str,
    source_list: [&'static str; 2],
}

fn json_answer<T: Serialize + ?Sized>(value: &T) -> Response {
    Response::new(200).body(HDHR_JSON, to_json(value)).hdhr()
}

/// `GET /discover.json`.
pub(super) fn discover(call: &Call, state: &State) -> Response {
    let identity = &state.params.identity;
    let base = base_url(call, &state.params.trusted_proxies);
    json_answer(&Discover {
        friendly_name: &identity.friendly_name,
        device_id: identity.device_id.to_ascii_uppercase(),
        device_auth: &identity.device_auth,
        base_url: &base,
        lineup_url: format!("{base}/lineup.json"),
        model_number: "HDFX-4K",
        firmware_name: "hdhomerun_dvr_atsc3",
        firmware_version: "20250815",
        tuner_count: identity.tuner_count,
    })
}

/// `GET /lineup_status.json`. Playlists are read, not scanned for: there is never a scan to wait for, and
/// one is always possible, because without that Plex's wizard ends with no channels.
pub(super) fn status() -> Response {
    json_answer(&LineupStatus {
        scan_in_progress: 0,
        scan_possible: 1,
        source: "Antenna",
        source_list: ["Antenna", "Cable"],
    })
}

/// `POST /lineup.post`. A scan is over as soon as it has begun.
pub(super) fn post(call: &Call) -> Result<Response, Response> {
    match call.query("scan").as_deref() {
        Some("start" | "abort") | None => Ok(Response::new(200).hdhr()),
        Some(other) => Err(refusal(400, &format!("scan cannot be {other:?}; allowed: start, abort"))),
    }
}

/// `GET /lineup.json`.
pub(super) fn json(call: &Call, state: &State) -> Response {
    json_answer(&programs(call, state))
}

/// `GET /lineup.xml`.
pub(super) fn xml(call: &Call, state: &State) -> Response {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Lineup>\n".to_owned();
    for program in programs(call, state) {
        let hd = program.hd.to_string();
        let elements = [
            ("GuideNumber", Some(program.guide_number.as_str())),
            ("GuideName", Some(program.guide_name.as_str())),
            ("URL", Some(program.url.as_str())),
            ("Subscribed", Some("1")),
            ("VideoCodec", program.video_codec.as_deref()),
            ("AudioCodec", program.audio_codec.as_deref()),
            ("HD", Some(hd.as_str())),
            ("DRM", Some("0")),
        ];
        text.push_str("  <Program>\n");
        for (name, value) in elements {
            if let Some(value) = value {
                writeln!(text, "    <{name}>{}</{name}>", escaped(value)).expect("a String takes everything");
            }
        }
        text.push_str("  </Program>\n");
    }
    text.push_str("</Lineup>\n");
    Response::new(200).body(HDHR_XML, text).hdhr()
}

/// `GET /lineup.m3u`.
pub(super) fn m3u(call: &Call, state: &State) -> Response {
    let mut text = "#EXTM3U\n".to_owned();
    for program in programs(call, state) {
        let name = one_line(&program.guide_name);
        writeln!(text, "#EXTINF:-1 tvg-chno=\"{}\",{name}\n{}", program.guide_number, program.url)
            .expect("a String takes everything");
    }
    Response::new(200).body("text/plain", text).hdhr()
}

fn programs(call: &Call, state: &State) -> Vec<Program> {
    // What clients mean by `show=demo` is channels for a showroom.
    if call.query("show").is_some_and(|show| show.trim().eq_ignore_ascii_case("demo")) {
        return Vec::new();
    }
    let base = base_url(call, &state.params.trusted_proxies);
    let listed = Rc::clone(&state.listed.borrow());
    let limit = state.params.lineup_max.unwrap_or(usize::MAX);
    // Whoever knows the word may have it written into the addresses; nobody else learns it.
    let token = state.params.stream_token.as_ref().filter(|token| token.is_in(&call.request));
    let query = token.map_or_else(String::new, |token| format!("?token={}", path_segment(&token.0)));
    listed.iter().take(limit).map(|channel| program(channel, &base, &query)).collect()
}

fn program(channel: &ChannelRecord, base: &str, query: &str) -> Program {
    let source = best_described(&channel.sources);
    let codec = |of: fn(&SourceRecord) -> &str, names| {
        source.map(of).filter(|codec| !codec.is_empty()).map(|codec| codec_name(codec, names))
    };
    let height = source.map_or(0, |source| source.profile.height);
    Program {
        guide_number: channel.guide_number.clone(),
        guide_name: channel.guide_name.clone(),
        url: format!("{base}/auto/v{}{query}", path_segment(&channel.guide_number)),
        tags: "favorite",
        hd: u8::from(height == 0 || height >= HD_HEIGHT_MIN),
        video_codec: codec(|source| &source.profile.video_codec, VIDEO_NAMES),
        audio_codec: codec(|source| &source.profile.audio_codec, AUDIO_NAMES),
    }
}

/// The first source of which both codecs are known, else the first of which one is.
fn best_described(sources: &[SourceRecord]) -> Option<&SourceRecord> {
    let known = |source: &&SourceRecord| {
        (!source.profile.video_codec.is_empty(), !source.profile.audio_codec.is_empty())
    };
    let both = sources.iter().find(|source| known(source) == (true, true));
    both.or_else(|| sources.iter().find(|source| known(source) != (false, false)))
}

const VIDEO_NAMES: &[(&str, &str)] = &[
    ("h264", "H264"),
    ("avc", "H264"),
    ("hevc", "HEVC"),
    ("h265", "HEVC"),
    ("mpeg2video", "MPEG2"),
    ("mpeg2", "MPEG2"),
    ("mpeg-2video", "MPEG2"),
    ("av1", "AV1"),
];
const AUDIO_NAMES: &[(&str, &str)] =
    &[("aac", "AAC"), ("ac3", "AC3"), ("eac3", "EAC3"), ("mp2", "MP2"), ("mp3", "MP3")];

fn codec_name(codec: &str, names: &[(&str, &str)]) -> String {
    let known = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(codec.trim()));
    known.map_or_else(|| codec.trim().to_uppercase(), |(_, shown)| (*shown).to_owned())
}

/// Everything but what RFC 3986 calls unreserved is escaped.
fn path_segment(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Text for XML: what XML 1.0 cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// A name for a line of a playlist.
fn one_line(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestHeaders;
    use crate::store::{SourceHealth, SourceProfile};

    fn source(video: &str, audio: &str, height: u32) -> SourceRecord {
        SourceRecord {
            source_id: 1,
            channel_id: 1,
            item_key: String::new(),
            tvg_name: String::new(),
            stream_url: String::new(),
            headers: RequestHeaders::NONE,
            priority_index: 0,
            program: None,
            tls_verify: None,
            profile_name: None,
            enabled: true,
            association_type: String::new(),
            health: SourceHealth::default(),
            last_probe_at: 0,
            profile: SourceProfile {
                video_codec: video.to_owned(),
                audio_codec: audio.to_owned(),
                height,
                ..SourceProfile::default()
            },
        }
    }

    fn channel(sources: Vec<SourceRecord>) -> ChannelRecord {
        ChannelRecord {
            profile_name: None,
            channel_id: 1,
            channel_class: String::new(),
            channel_key: String::new(),
            guide_number: "5 1".to_owned(),
            guide_name: "A & B".to_owned(),
            order_index: 0,
            enabled: true,
            created_at: 0,
            updated_at: 0,
            sources,
        }
    }

    #[test]
    fn codecs_come_from_the_best_described_source() {
        for (sources, video, audio) in [
            (vec![], None, None),
            (vec![source("", "", 0)], None, None),
            (vec![source("h264", "", 0), source("hevc", "ac3", 0)], Some("HEVC"), Some("AC3")),
            (vec![source("", "mp2", 0), source("h264", "", 0)], None, Some("MP2")),
            (vec![source("MPEG2Video", "truehd", 0)], Some("MPEG2"), Some("TRUEHD")),
        ] {
            let program = program(&channel(sources), "http://h", "");
            assert_eq!((program.video_codec.as_deref(), program.audio_codec.as_deref()), (video, audio));
        }
    }

    #[test]
    fn a_channel_is_high_definition_unless_its_height_is_known_to_be_less() {
        for (height, hd) in [(0, 1), (576, 0), (720, 1), (1080, 1)] {
            assert_eq!(program(&channel(vec![source("h264", "aac", height)]), "http://h", "").hd, hd);
        }
    }

    #[test]
    fn a_program_is_written_in_this_order() {
        let json = to_json(&program(&channel(vec![source("h264", "aac", 0)]), "http://h", ""));
        assert_eq!(
            json,
            r#"{"GuideNumber":"5 1","GuideName":"A \u0026 B","URL":"http://h/auto/v5%201","Tags":"favorite","HD":1,"VideoCodec":"H264","AudioCodec":"AAC"}"#
        );
    }

    #[test]
    fn names_cannot_break_out_of_xml_or_a_line() {
        assert_eq!(escaped("<A&\u{1}\"b\">"), "&lt;A&amp;&#34;b&#34;&gt;");
        assert_eq!(one_line("A\r\n#EXTINF:x"), "A  #EXTINF:x");
    }
}
