//! What tuners' clients read of the channels.

use std::rc::Rc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::base::redact;
use crate::control::admin::access::base_url;
use crate::control::admin::call::Call;
use crate::control::admin::xml::Xml;
use crate::control::state::State;
use crate::http::{HDHR_XML, Response};
use crate::store::{ChannelRecord, SourceRecord};
use crate::ts::{ComponentState, ProfileCodec};

/// From this height a picture counts as high definition.
const HD_HEIGHT_MIN: u32 = 720;

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

/// `GET /lineup.json`.
pub(super) fn json(call: &Call, state: &State) -> Response {
    Response::hdhr_json(&programs(call, state))
}

/// `GET /lineup.xml`.
pub(super) fn xml(call: &Call, state: &State) -> Response {
    let mut xml = Xml::document();
    xml.open("Lineup", &[]);
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
        xml.open("Program", &[]);
        for (name, value) in elements {
            if let Some(value) = value {
                xml.text(name, value);
            }
        }
        xml.close("Program");
    }
    xml.close("Lineup");
    Response::new(200).body(HDHR_XML, xml.finish()).hdhr()
}

/// `GET /lineup.m3u`: what players show of a channel, too, as far as the playlist told it.
pub(super) fn m3u(call: &Call, state: &State) -> Response {
    let mut text = "#EXTM3U".to_owned();
    let base = base_url(call, &state.params.trusted_proxies);
    let own = format!("{base}/guide.xml");
    let has_own = state.params.guide_url.is_none() && state.guides().is_offered(&state.params.guides);
    let guide = state.params.guide_url.as_deref().unwrap_or(if has_own { &own } else { "" });
    push_attribute(&mut text, "x-tvg-url", guide);
    text.push('\n');
    let query = token_query(call, state);
    for channel in offered(call, state).iter().take(limit(state)) {
        push_entry(&mut text, channel, &(stream_url(channel, &base) + &query), has_own);
    }
    Response::new(200).body("text/plain", text).hdhr()
}

/// `has_own_guide`: the guide that is named is ours, which calls channels by their numbers.
fn push_entry(text: &mut String, channel: &ChannelRecord, url: &str, has_own_guide: bool) {
    let said = |of: fn(&SourceRecord) -> &str| {
        channel.sources.iter().map(of).find(|value| !value.is_empty()).unwrap_or_default()
    };
    // A logo that can only be fetched with a password is not for everybody.
    let logo = said(|source| &source.tvg_logo);
    let logo = if redact::url(logo) == logo { logo } else { "" };
    text.push_str("#EXTINF:-1");
    let id = if has_own_guide { &channel.guide_number } else { said(|source| &source.tvg_id) };
    for (name, value) in [
        ("tvg-id", id),
        ("tvg-name", said(|source| &source.tvg_name)),
        ("tvg-logo", logo),
        ("group-title", said(|source| &source.group_name)),
        ("tvg-chno", &channel.guide_number),
    ] {
        push_attribute(text, name, value);
    }
    let name = one_line(&channel.guide_name);
    text.push_str(&format!(",{name}\n{url}\n"));
}

/// Nothing is written of what nobody said. Quotes would end a value.
fn push_attribute(text: &mut String, name: &str, value: &str) {
    let value = one_line(value).replace('"', "'");
    if !value.is_empty() {
        text.push_str(&format!(" {name}=\"{value}\""));
    }
}

/// The channels that are to be shown.
fn offered(call: &Call, state: &State) -> Rc<Vec<ChannelRecord>> {
    // What clients mean by `show=demo` is channels for a showroom.
    if call.query("show").is_some_and(|show| show.trim().eq_ignore_ascii_case("demo")) {
        return Rc::default();
    }
    Rc::clone(&state.listed.borrow())
}

fn limit(state: &State) -> usize {
    state.params.lineup_max.unwrap_or(usize::MAX)
}

fn programs(call: &Call, state: &State) -> Vec<Program> {
    let base = base_url(call, &state.params.trusted_proxies);
    let query = token_query(call, state);
    let program = |channel| program(channel, &base, &query);
    offered(call, state).iter().take(limit(state)).map(program).collect()
}

/// Whoever knows the word may have it written into the addresses; nobody else learns it.
fn token_query(call: &Call, state: &State) -> String {
    let token = state.params.stream_token.as_ref().filter(|token| token.is_in(&call.request));
    token.map_or_else(String::new, |token| format!("?token={}", path_segment(&token.0)))
}

/// Where a channel is watched.
pub(super) fn stream_url(channel: &ChannelRecord, base: &str) -> String {
    format!("{base}/auto/v{}", path_segment(&channel.guide_number))
}

fn program(channel: &ChannelRecord, base: &str, query: &str) -> Program {
    let source = best_described(&channel.sources);
    let stream = source.map(|source| &source.profile.stream);
    let height = stream.map_or(0, |stream| stream.height);
    Program {
        guide_number: channel.guide_number.clone(),
        guide_name: channel.guide_name.clone(),
        url: stream_url(channel, base) + query,
        tags: "favorite",
        hd: u8::from(height == 0 || height >= HD_HEIGHT_MIN),
        video_codec: stream.and_then(|stream| device_name(stream.video_codec.as_ref()?, VIDEO_NAMES)),
        audio_codec: stream.and_then(|stream| device_name(stream.audio_codec.as_ref()?, AUDIO_NAMES)),
    }
}

/// The first source of which both codecs are known, else the first of which one is.
fn best_described(sources: &[SourceRecord]) -> Option<&SourceRecord> {
    let components = |source: &SourceRecord| source.profile.stream.components();
    let both = sources.iter().find(|source| components(source) == ComponentState::VideoAudio);
    both.or_else(|| sources.iter().find(|source| components(source) != ComponentState::Undetected))
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

fn device_name(codec: &ProfileCodec, names: &[(&str, &str)]) -> Option<String> {
    let codec = codec.as_str();
    let known = names.iter().find(|(name, _)| *name == codec);
    Some(known.map_or_else(|| codec.to_uppercase(), |(_, shown)| (*shown).to_owned()))
}

/// Everything but what RFC 3986 calls unreserved is escaped.
fn path_segment(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A name for a line of a playlist.
fn one_line(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::to_json;
    use crate::lineup::StreamProfile;

    fn source(video: &str, audio: &str, height: u32) -> SourceRecord {
        let stream = StreamProfile {
            video_codec: ProfileCodec::of_name(video),
            audio_codec: ProfileCodec::of_name(audio),
            height,
            ..StreamProfile::default()
        };
        SourceRecord::showing(1, stream)
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

    fn entry(channel: &ChannelRecord) -> String {
        let mut text = String::new();
        push_entry(&mut text, channel, &stream_url(channel, "http://h"), false);
        text
    }

    #[test]
    fn an_entry_of_the_playlist_tells_what_the_first_source_that_knows_it_tells() {
        let mut first = source("", "", 0);
        first.tvg_id = "one.tv".to_owned();
        let mut second = source("", "", 0);
        second.tvg_id = "two.tv".to_owned();
        second.tvg_name = "Two".to_owned();
        second.tvg_logo = "http://logos/two.png".to_owned();
        second.group_name = "World".to_owned();
        assert_eq!(
            entry(&channel(vec![first, second])),
            "#EXTINF:-1 tvg-id=\"one.tv\" tvg-name=\"Two\" tvg-logo=\"http://logos/two.png\" \
             group-title=\"World\" tvg-chno=\"5 1\",A & B\nhttp://h/auto/v5%201\n"
        );
    }

    #[test]
    fn names_cannot_break_out_of_a_value_or_a_line() {
        let mut odd = source("", "", 0);
        odd.tvg_id = "a\" tvg-name=\"b".to_owned();
        odd.group_name = "A\r\n#EXTINF:x".to_owned();
        let mut channel = channel(vec![odd]);
        channel.guide_name = "A\r\nhttp://x".to_owned();
        assert_eq!(
            entry(&channel),
            "#EXTINF:-1 tvg-id=\"a' tvg-name='b\" group-title=\"A  #EXTINF:x\" tvg-chno=\"5 1\",A  http://x\n\
             http://h/auto/v5%201\n"
        );
    }

    #[test]
    fn a_logo_that_needs_a_password_is_left_out() {
        for (logo, is_shown) in [
            ("http://logos/a.png", true),
            ("http://user:hunter2@logos/a.png", false),
            ("http://logos/a.png?token=hunter2", false),
        ] {
            let mut with_logo = source("", "", 0);
            with_logo.tvg_logo = logo.to_owned();
            assert_eq!(entry(&channel(vec![with_logo])).contains("tvg-logo"), is_shown, "{logo}");
        }
    }
}
