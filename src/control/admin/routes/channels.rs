//! Channels and their sources: listing, making, changing, deleting.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::base::redact;
use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::Response;
use crate::lineup::StoredProfile;
use crate::store::{
    ChannelChange, ChannelError, ChannelRecord, Database, NewChannel, SourceRecord, SourceRule, StoreError,
};
use crate::ts::codec_name;

use super::{channel_refusal, items, store_refusal};

/// Channels and sources of a page when the request does not say how many.
pub(super) const PAGE_DEFAULT: u32 = 200;
/// Channels of a page, at most.
pub(super) const CHANNELS_PAGE_MAX: u32 = 1000;
/// Sources of a page, at most.
const SOURCES_PAGE_MAX: u32 = 2000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewChannelBody {
    #[serde(default)]
    item_key: String,
    guide_number: Option<String>,
    guide_name: Option<String>,
    channel_key: Option<String>,
    dynamic_rule: Option<SourceRuleBody>,
    program: Option<u64>,
    tls_verify: Option<bool>,
    profile: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelChangeBody {
    enabled: Option<bool>,
    dynamic_rule: Option<SourceRuleBody>,
    guide_name: Option<String>,
    guide_number: Option<String>,
    /// `null` is none.
    #[serde(default, deserialize_with = "named")]
    profile: Option<Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSourceBody {
    item_key: String,
    /// Any item may be a source of any channel, whether this is said or not.
    #[serde(default, rename = "allow_cross_channel")]
    _allow_cross_channel: bool,
    program: Option<u64>,
    tls_verify: Option<bool>,
    profile: Option<String>,
}

/// By which a channel finds further sources. One group may be named by itself.
#[derive(Clone, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SourceRuleBody {
    enabled: bool,
    group_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_names: Vec<String>,
    #[serde(skip_serializing)]
    source_ids: Vec<i64>,
    search_query: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    search_regex: bool,
}

impl SourceRuleBody {
    fn rule(self) -> Result<SourceRule, Response> {
        if !self.source_ids.is_empty() {
            return Err(refusal(400, "dynamic_rule.source_ids cannot name playlists; allowed: []"));
        }
        let named = if self.group_names.is_empty() { vec![self.group_name] } else { self.group_names };
        let mut group_names: Vec<String> = Vec::new();
        for name in named.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            if !group_names.iter().any(|known| known == name) {
                group_names.push(name.to_owned());
            }
        }
        let search_query = self.search_query.trim().to_owned();
        Ok(SourceRule { enabled: self.enabled, group_names, search_query, search_regex: self.search_regex })
    }
}

impl From<SourceRule> for SourceRuleBody {
    fn from(rule: SourceRule) -> Self {
        let SourceRule { enabled, group_names, search_query, search_regex } = rule;
        let group_name = group_names.first().cloned().unwrap_or_default();
        Self { enabled, group_name, group_names, source_ids: Vec::new(), search_query, search_regex }
    }
}

/// What is not named stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceChangeBody {
    enabled: Option<bool>,
    /// `null` is what the profile says, or the first programme that can be shown.
    #[serde(default, deserialize_with = "named")]
    program: Option<Option<u64>>,
    /// `null` is as the profile or the setting says.
    #[serde(default, deserialize_with = "named")]
    tls_verify: Option<Option<bool>>,
    /// `null` is none.
    #[serde(default, deserialize_with = "named")]
    profile: Option<Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelOrderBody {
    channel_ids: Vec<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceOrderBody {
    source_ids: Vec<i64>,
}

/// A field that is there, `null` or not.
pub(super) fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Serialize)]
struct ChannelList {
    channels: Vec<Channel>,
    total: usize,
    limit: u32,
    offset: u32,
}

#[derive(Serialize)]
struct Channel {
    channel_id: i64,
    channel_class: String,
    channel_key: String,
    guide_number: String,
    guide_name: String,
    order_index: u32,
    enabled: bool,
    created_at: u64,
    updated_at: u64,
    /// The profile of all its sources that have none.
    profile: Option<String>,
    dynamic_rule: SourceRuleBody,
    source_total: usize,
    source_enabled: usize,
    /// Those that a rule has found.
    source_dynamic: usize,
    source_manual: usize,
}

#[derive(Serialize)]
struct SourceList {
    sources: Vec<Source>,
    total: usize,
    limit: u32,
    offset: u32,
}

#[derive(Serialize)]
struct Source {
    source_id: i64,
    channel_id: i64,
    item_key: String,
    tvg_name: String,
    /// Without credentials, whoever asks.
    stream_url: String,
    /// What requests for it carry, without credentials.
    headers: BTreeMap<String, String>,
    priority_index: u32,
    /// The only programme that is taken of its stream; `null` is the first that can be shown.
    program: Option<u16>,
    /// Whether its servers have to show who they are; `null` is as the setting says.
    tls_verify: Option<bool>,
    profile: Option<String>,
    enabled: bool,
    association_type: String,
    last_ok_at: u64,
    last_fail_at: u64,
    last_fail_reason: String,
    success_count: u64,
    fail_count: u32,
    cooldown_until: u64,
    last_probe_at: u64,
    profile_width: u32,
    profile_height: u32,
    profile_fps: f64,
    profile_video_codec: String,
    profile_audio_codec: String,
    profile_bitrate_bps: u64,
}

impl Channel {
    fn new(record: ChannelRecord, rule: Option<SourceRule>) -> Self {
        let dynamic =
            record.sources.iter().filter(|source| source.association_type == "dynamic_query").count();
        Self {
            dynamic_rule: rule.unwrap_or_default().into(),
            source_dynamic: dynamic,
            source_manual: record.sources.len() - dynamic,
            source_total: record.sources.len(),
            source_enabled: record.sources.iter().filter(|source| source.enabled).count(),
            channel_id: record.channel_id,
            channel_class: record.channel_class,
            channel_key: record.channel_key,
            guide_number: record.guide_number,
            guide_name: record.guide_name,
            order_index: record.order_index,
            enabled: record.enabled,
            created_at: record.created_at,
            updated_at: record.updated_at,
            profile: record.profile_name,
        }
    }
}

impl From<SourceRecord> for Source {
    fn from(record: SourceRecord) -> Self {
        let (health, StoredProfile { stream, probed_at }) = (record.health, record.profile);
        Self {
            source_id: record.source_id,
            channel_id: record.channel_id,
            item_key: record.item_key,
            tvg_name: record.tvg_name,
            stream_url: redact::url(&record.stream_url),
            headers: record.headers.redacted(),
            priority_index: record.priority_index,
            program: record.program,
            tls_verify: record.tls_verify,
            profile: record.profile_name,
            enabled: record.enabled,
            association_type: record.association_type,
            last_ok_at: health.last_ok_at,
            last_fail_at: health.last_fail_at,
            last_fail_reason: health.last_fail_reason,
            success_count: health.success_count,
            fail_count: health.fail_count,
            cooldown_until: health.cooldown_until,
            last_probe_at: probed_at,
            profile_width: stream.width,
            profile_height: stream.height,
            profile_fps: stream.fps(),
            profile_video_codec: codec_name(stream.video_codec.as_ref()).to_owned(),
            profile_audio_codec: codec_name(stream.audio_codec.as_ref()).to_owned(),
            profile_bitrate_bps: stream.bitrate_bps,
        }
    }
}

/// The part of a list that is asked for.
pub(super) fn page<T>(rows: Vec<T>, limit: u32, offset: u32) -> impl Iterator<Item = T> {
    let count = |number: u32| usize::try_from(number).expect("32 bits fit");
    rows.into_iter().skip(count(offset)).take(count(limit))
}

/// `GET /api/channels`.
pub(super) async fn list(call: &Call, state: &State) -> Result<Response, Response> {
    let (limit, offset) = items::page_asked(call, PAGE_DEFAULT, CHANNELS_PAGE_MAX)?;
    let read =
        |database: &mut Database| Ok::<_, StoreError>((database.channels()?, database.source_rules()?));
    let (channels, mut rules) = state.ask_store(read).await.map_err(|error| store_refusal(&error))?;
    let total = channels.len();
    let shown = |channel: ChannelRecord| {
        let rule = rules.remove(&channel.channel_id);
        Channel::new(channel, rule)
    };
    let channels = page(channels, limit, offset).map(shown).collect();
    Ok(Response::json(200, &ChannelList { channels, total, limit, offset }))
}

/// Some of these channels, which have no rules of their own.
pub(super) fn shown_all(channels: Vec<ChannelRecord>, limit: u32, offset: u32) -> Response {
    let total = channels.len();
    let channels = page(channels, limit, offset).map(|channel| Channel::new(channel, None)).collect();
    Response::json(200, &ChannelList { channels, total, limit, offset })
}

/// `POST /api/channels`, which is answered with 200 as hdhriptv does.
pub(super) async fn create(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let body: NewChannelBody = call.json()?;
    let NewChannelBody { item_key, guide_number, guide_name, program, tls_verify, profile, .. } = body;
    let rule = body.dynamic_rule.map(SourceRuleBody::rule).transpose()?;
    let named = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (now, guide_start) = (state.wall_now(), state.params.guide_start);
    let (guide_name, channel_key) = (named(guide_name), named(body.channel_key));
    let program = program_number(program)?;
    let new = NewChannel { item_key, guide_number, guide_name, program, profile, channel_key };
    let id = state
        .ask_store(move |database| {
            if let Some(rule) = &rule {
                database.check_source_rule(rule)?;
            }
            let channel = database.create_channel(&new, guide_start, now)?;
            if let (Some(_), Some(first)) = (tls_verify, channel.sources.first()) {
                database.set_source_tls_verify(channel.channel_id, first.source_id, tls_verify, now)?;
            }
            if let Some(rule) = &rule {
                database.set_source_rule(channel.channel_id, rule)?;
            }
            Ok::<_, ChannelError>(channel.channel_id)
        })
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::json(200, &shown(state, id).await?))
}

/// `PATCH /api/channels/{id}`.
pub(super) async fn change(call: &Call, state: &Rc<State>, channel: i64) -> Result<Response, Response> {
    let ChannelChangeBody { enabled, dynamic_rule, guide_name, guide_number, profile } = call.json()?;
    let rule = dynamic_rule.map(SourceRuleBody::rule).transpose()?;
    let change = ChannelChange { guide_number, guide_name, enabled, profile };
    let now = state.wall_now();
    state
        .ask_store(move |database| {
            if let Some(rule) = &rule {
                database.check_source_rule(rule)?;
            }
            database.update_channel(channel, &change, now)?;
            rule.map_or(Ok(()), |rule| database.set_source_rule(channel, &rule))
        })
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::json(200, &shown(state, channel).await?))
}

/// `GET /api/channels/{id}`.
pub(super) async fn show(state: &State, channel: i64) -> Result<Response, Response> {
    Ok(Response::json(200, &shown(state, channel).await?))
}

/// A channel as it is now.
async fn shown(state: &State, channel: i64) -> Result<Channel, Response> {
    let read = move |database: &mut Database| {
        Ok::<_, ChannelError>((database.channel(channel)?, database.source_rules()?.remove(&channel)))
    };
    let (channel, rule) = state.ask_store(read).await.map_err(|error| channel_refusal(&error))?;
    Ok(Channel::new(channel, rule))
}

/// `PATCH /api/channels/reorder`.
pub(super) async fn reorder(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let ChannelOrderBody { channel_ids } = call.json()?;
    state
        .ask_store(move |database| database.reorder_channels(&channel_ids))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

/// `PATCH /api/channels/{id}/sources/reorder`.
pub(super) async fn reorder_sources(
    call: &Call,
    state: &Rc<State>,
    channel: i64,
) -> Result<Response, Response> {
    let SourceOrderBody { source_ids } = call.json()?;
    let now = state.wall_now();
    state
        .ask_store(move |database| database.reorder_sources(channel, &source_ids, now))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

#[derive(Serialize)]
struct Added {
    added: usize,
}

/// `POST /api/channels/{id}/sources/same-key`.
pub(super) async fn add_same_key(state: &Rc<State>, channel: i64) -> Result<Response, Response> {
    let now = state.wall_now();
    let added = state
        .ask_store(move |database| database.add_same_key_sources(channel, now))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::json(200, &Added { added }))
}

/// `DELETE /api/channels/{id}`.
pub(super) async fn delete(state: &Rc<State>, channel: i64) -> Result<Response, Response> {
    state
        .ask_store(move |database| database.delete_channel(channel))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

/// `GET /api/channels/{id}/sources`.
pub(super) async fn sources(call: &Call, state: &State, channel: i64) -> Result<Response, Response> {
    let (limit, offset) = items::page_asked(call, PAGE_DEFAULT, SOURCES_PAGE_MAX)?;
    let record = state
        .ask_store(move |database| database.channel(channel))
        .await
        .map_err(|error| channel_refusal(&error))?;
    let total = record.sources.len();
    let sources = page(record.sources, limit, offset).map(Source::from).collect();
    Ok(Response::json(200, &SourceList { sources, total, limit, offset }))
}

/// `POST /api/channels/{id}/sources`, which is answered with 200 as hdhriptv does.
pub(super) async fn add_source(call: &Call, state: &Rc<State>, channel: i64) -> Result<Response, Response> {
    let NewSourceBody { item_key, _allow_cross_channel: _, program, tls_verify, profile } = call.json()?;
    let program = program_number(program)?;
    let now = state.wall_now();
    let source = state
        .ask_store::<_, ChannelError>(move |database| {
            database.check_profile(profile.as_deref())?;
            let mut source = database.add_source(channel, &item_key, program, now)?;
            if tls_verify.is_some() {
                source = database.set_source_tls_verify(channel, source.source_id, tls_verify, now)?;
            }
            match profile {
                None => Ok(source),
                Some(profile) => database.set_source_profile(channel, source.source_id, Some(&profile), now),
            }
        })
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::json(200, &Source::from(source)))
}

/// `PATCH /api/channels/{id}/sources/{source_id}`.
pub(super) async fn change_source(
    call: &Call,
    state: &Rc<State>,
    channel: i64,
    source: i64,
) -> Result<Response, Response> {
    let SourceChangeBody { enabled, program, tls_verify, profile } = call.json()?;
    let program = program.map(program_number).transpose()?;
    let now = state.wall_now();
    let source = state
        .ask_store::<_, ChannelError>(move |database| {
            database.check_profile(profile.as_ref().and_then(Option::as_deref))?;
            let of_switch = enabled
                .map(|enabled| database.set_source_enabled(channel, source, enabled, now))
                .transpose()?;
            let of_program = program
                .map(|program| database.set_source_program(channel, source, program, now))
                .transpose()?;
            let of_tls = tls_verify
                .map(|verify| database.set_source_tls_verify(channel, source, verify, now))
                .transpose()?;
            let of_profile = profile
                .map(|profile| database.set_source_profile(channel, source, profile.as_deref(), now))
                .transpose()?;
            Ok(of_profile.or(of_tls).or(of_program).or(of_switch))
        })
        .await
        .map_err(|error| channel_refusal(&error))?
        .ok_or_else(|| channel_refusal(&ChannelError::no_source_change()))?;
    publish(state).await?;
    Ok(Response::json(200, &Source::from(source)))
}

/// `DELETE /api/channels/{id}/sources/{source_id}`.
pub(super) async fn remove_source(
    state: &Rc<State>,
    channel: i64,
    source: i64,
) -> Result<Response, Response> {
    let now = state.wall_now();
    state
        .ask_store(move |database| database.remove_source(channel, source, now))
        .await
        .map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

/// The number of a programme, if it is one.
pub(super) fn program_number(asked: Option<u64>) -> Result<Option<u16>, Response> {
    let refused = |asked: u64| ChannelError::no_program_number(&asked.to_string());
    asked.map(|asked| u16::try_from(asked).map_err(|_too_large| channel_refusal(&refused(asked)))).transpose()
}

/// The change is made; when the cores cannot be told, that is what is answered.
pub(super) async fn publish(state: &State) -> Result<(), Response> {
    state.publish_lineup().await.map_err(|error| store_refusal(&error))
}

/// Whether a route of channels and their sources takes this body, as far as the body alone says.
#[cfg(any(test, feature = "sim"))]
pub(super) fn takes(body: &[u8]) -> bool {
    fn read<T: for<'body> Deserialize<'body>>(body: &[u8]) -> Option<T> {
        serde_json::from_slice(body).ok()
    }
    let programs = [
        read(body).map(|NewChannelBody { program, .. }| program),
        read(body).map(|NewSourceBody { program, .. }| program),
        read(body).and_then(|SourceChangeBody { program, .. }| program),
    ];
    let is_change = read::<ChannelChangeBody>(body).is_some();
    let is_order = read::<ChannelOrderBody>(body).is_some() || read::<SourceOrderBody>(body).is_some();
    is_change || is_order || programs.into_iter().flatten().any(|program| program_number(program).is_ok())
}
