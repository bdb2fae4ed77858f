//! A source as rows show it.

use serde::Serialize;

use crate::session::history::SourceWindow;
use crate::source::startup_facts::StartupFacts;
use crate::ts::codec_name;

use super::encode::{float, is_zero};
use super::go_time::{GoTime, Moment};

/// The identity of the selected source.
#[derive(Serialize, Clone, Copy, Default, Debug)]
pub(super) struct SourceIdentity<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    source_id: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_item_key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_stream_url: &'a str,
}

/// What is known of its stream.
#[derive(Serialize, Clone, Default, Debug)]
pub(super) struct Stream<'a> {
    #[serde(skip_serializing_if = "String::is_empty")]
    resolution: String,
    #[serde(skip_serializing_if = "is_zero", serialize_with = "float")]
    frame_rate: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    video_codec: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    audio_codec: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    current_bitrate_bps: u64,
    #[serde(skip_serializing_if = "is_zero")]
    profile_bitrate_bps: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    producer: String,
    /// Its servers are believed whatever they show. Not of the reference.
    #[serde(skip_serializing_if = "is_zero")]
    tls_unverified: bool,
    /// The name of its nearest profile. Not of the reference.
    #[serde(skip_serializing_if = "str::is_empty")]
    profile: &'a str,
}

/// The start of the selected source.
#[derive(Serialize, Default, Debug)]
pub(super) struct SourceStartup<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_probe_raw_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_probe_trimmed_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_probe_cutover_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_probe_dropped_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_probe_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_random_access_ready: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_startup_random_access_codec: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_startup_inventory_method: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_video_streams: u32,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_audio_streams: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_startup_video_codecs: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_startup_audio_codecs: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_startup_component_state: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    source_startup_retry_relaxed_probe: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    source_startup_retry_relaxed_probe_reason: &'static str,
}

/// One selection in a session's history. The names have no `source_` here.
#[derive(Serialize, Debug)]
pub(super) struct SourceHistory<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    source_id: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    item_key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    stream_url: &'a str,
    selected_at: GoTime,
    deselected_at: GoTime,
    #[serde(skip_serializing_if = "str::is_empty")]
    selection_reason: &'a str,
    #[serde(flatten)]
    startup: Startup<'a>,
    #[serde(flatten)]
    stream: Stream<'a>,
}

/// The start of a source in a session's history.
#[derive(Serialize, Debug)]
struct Startup<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    startup_probe_raw_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    startup_probe_trimmed_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    startup_probe_cutover_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    startup_probe_dropped_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    startup_random_access_ready: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    startup_random_access_codec: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    startup_inventory_method: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    startup_video_streams: u32,
    #[serde(skip_serializing_if = "is_zero")]
    startup_audio_streams: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    startup_video_codecs: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    startup_audio_codecs: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    startup_component_state: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    startup_retry_relaxed_probe: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    startup_retry_relaxed_probe_reason: &'static str,
}

impl<'a> SourceIdentity<'a> {
    pub(super) fn new(window: &'a SourceWindow) -> Self {
        let source = &window.source;
        Self { source_id: source.id.0, source_item_key: &source.item_key, source_stream_url: &source.url }
    }
}

impl<'a> Stream<'a> {
    pub(super) fn new(window: &'a SourceWindow, current_bitrate_bps: u64) -> Self {
        let profile = &window.source.profile;
        Self {
            resolution: profile.resolution().unwrap_or_default(),
            frame_rate: profile.fps(),
            video_codec: codec_name(profile.video_codec.as_ref()),
            audio_codec: codec_name(profile.audio_codec.as_ref()),
            current_bitrate_bps,
            profile_bitrate_bps: profile.bitrate_bps,
            producer: window.source.producer(),
            tls_unverified: window.source.is_unverified,
            profile: window.source.profile_name.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> SourceStartup<'a> {
    pub(super) fn new(window: &'a SourceWindow) -> Self {
        let startup = Startup::new(&window.source.startup);
        Self {
            source_startup_probe_raw_bytes: startup.startup_probe_raw_bytes,
            source_startup_probe_trimmed_bytes: startup.startup_probe_trimmed_bytes,
            source_startup_probe_cutover_offset: startup.startup_probe_cutover_offset,
            source_startup_probe_dropped_bytes: startup.startup_probe_dropped_bytes,
            source_startup_probe_bytes: startup.startup_probe_trimmed_bytes,
            source_startup_random_access_ready: startup.startup_random_access_ready,
            source_startup_random_access_codec: startup.startup_random_access_codec,
            source_startup_inventory_method: startup.startup_inventory_method,
            source_startup_video_streams: startup.startup_video_streams,
            source_startup_audio_streams: startup.startup_audio_streams,
            source_startup_video_codecs: startup.startup_video_codecs,
            source_startup_audio_codecs: startup.startup_audio_codecs,
            source_startup_component_state: startup.startup_component_state,
            source_startup_retry_relaxed_probe: startup.startup_retry_relaxed_probe,
            source_startup_retry_relaxed_probe_reason: startup.startup_retry_relaxed_probe_reason,
        }
    }
}

impl<'a> Startup<'a> {
    fn new(facts: &'a StartupFacts) -> Self {
        Self {
            startup_probe_raw_bytes: facts.cutover.raw,
            startup_probe_trimmed_bytes: facts.cutover.trimmed,
            startup_probe_cutover_offset: facts.cutover.offset,
            startup_probe_dropped_bytes: facts.cutover.dropped,
            startup_random_access_ready: facts.random_access_ready(),
            startup_random_access_codec: facts.random_access_codec().unwrap_or_default(),
            startup_inventory_method: facts.method.as_str(),
            startup_video_streams: facts.video_streams,
            startup_audio_streams: facts.audio_streams,
            startup_video_codecs: &facts.video_codecs,
            startup_audio_codecs: &facts.audio_codecs,
            startup_component_state: facts.component_state().as_str(),
            startup_retry_relaxed_probe: facts.relaxed_retry,
            startup_retry_relaxed_probe_reason: facts.relaxed_retry_reason().unwrap_or_default(),
        }
    }
}

impl<'a> SourceHistory<'a> {
    pub(super) fn new(window: &'a SourceWindow, moment: Moment) -> Self {
        let source = &window.source;
        Self {
            source_id: source.id.0,
            item_key: &source.item_key,
            stream_url: &source.url,
            selected_at: moment.time(window.selected_at),
            deselected_at: moment.time_or_never(window.deselected_at),
            selection_reason: &window.reason,
            startup: Startup::new(&source.startup),
            stream: Stream::new(window, 0),
        }
    }
}
