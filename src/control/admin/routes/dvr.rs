//! What hdhriptv answers about recorders whose lineups it writes. tunerd writes into nobody's lineup: recorders find its channels and
//! their guide by themselves. What is asked is answered as by an hdhriptv that was told of no recorder, and what would be written is
//! refused.

use serde::Serialize;

use crate::control::admin::call::{Call, refusal};
use crate::control::state::State;
use crate::http::Response;
use crate::store::{ChannelRecord, StoreError};

use super::channels::{CHANNELS_PAGE_MAX, PAGE_DEFAULT, page};
use super::items::{page_asked, switch};
use super::{channel_refusal, store_refusal};

/// Channels that a rule has made are of this class.
const MADE_BY_RULE: &str = "dynamic_generated";

#[derive(Serialize)]
struct Config {
    instance: Instance,
}

#[derive(Serialize)]
struct Instance {
    id: i64,
    provider: &'static str,
    base_url: &'static str,
    sync_enabled: bool,
    sync_mode: &'static str,
    pre_sync_refresh_devices: bool,
    updated_at: i64,
}

#[derive(Serialize)]
struct Lineups {
    lineups: [(); 0],
    refresh: bool,
}

#[derive(Serialize)]
struct Mappings {
    mappings: Vec<Mapping>,
    total: usize,
    limit: u32,
    offset: u32,
    enabled_only: bool,
    include_dynamic: bool,
}

#[derive(Serialize)]
struct Mapping {
    channel_id: i64,
    guide_number: String,
    guide_name: String,
    enabled: bool,
    dvr_instance_id: i64,
}

impl From<ChannelRecord> for Mapping {
    fn from(channel: ChannelRecord) -> Self {
        let ChannelRecord { channel_id, guide_number, guide_name, enabled, .. } = channel;
        Self { channel_id, guide_number, guide_name, enabled, dvr_instance_id: 1 }
    }
}

/// `GET /api/admin/dvr`.
pub(super) fn config() -> Response {
    let instance = Instance {
        id: 1,
        provider: "channels",
        base_url: "",
        sync_enabled: false,
        sync_mode: "configured_only",
        pre_sync_refresh_devices: false,
        updated_at: 0,
    };
    Response::json(200, &Config { instance })
}

/// `GET /api/admin/dvr/lineups?refresh=`.
pub(super) fn lineups(call: &Call) -> Result<Response, Response> {
    Ok(Response::json(200, &Lineups { lineups: [], refresh: switch(call, "refresh")?.unwrap_or(false) }))
}

/// `GET /api/channels/dvr?enabled_only=&include_dynamic=&limit=&offset=`.
pub(super) async fn mappings(call: &Call, state: &State) -> Result<Response, Response> {
    let (limit, offset) = page_asked(call, PAGE_DEFAULT, CHANNELS_PAGE_MAX)?;
    let enabled_only = switch(call, "enabled_only")?.unwrap_or(false);
    let include_dynamic = switch(call, "include_dynamic")?.unwrap_or(false);
    let channels = state
        .ask_store::<_, StoreError>(|database| database.channels())
        .await
        .map_err(|error| store_refusal(&error))?;
    let is_asked = |channel: &ChannelRecord| {
        (channel.enabled || !enabled_only) && (include_dynamic || channel.channel_class != MADE_BY_RULE)
    };
    let channels: Vec<_> = channels.into_iter().filter(is_asked).collect();
    let total = channels.len();
    let mappings = page(channels, limit, offset).map(Mapping::from).collect();
    Ok(Response::json(200, &Mappings { mappings, total, limit, offset, enabled_only, include_dynamic }))
}

/// `GET /api/channels/{id}/dvr`.
pub(super) async fn mapping(state: &State, channel: i64) -> Result<Response, Response> {
    let found = state.ask_store(move |database| database.channel(channel)).await;
    Ok(Response::json(200, &Mapping::from(found.map_err(|error| channel_refusal(&error))?)))
}

/// What would have been written into a recorder, or asked of it.
pub(super) fn refused() -> Response {
    refusal(
        501,
        "tunerd writes into no recorder's lineup; let the recorder use /lineup.json, or /lineup.m3u with /guide.xml",
    )
}
