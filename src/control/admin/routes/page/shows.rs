//! What pages show, read where the API reads it.

use std::collections::BTreeMap;

use crate::control::admin::call::{Call, refusal};
use crate::control::admin::routes::{channel_refusal, store_refusal};
use crate::control::page::{self, AddPage, ChannelsPage, Proposal, ROWS_SHOWN, Rows, Unshown, View, offset};
use crate::control::state::State;
use crate::engine::snapshot::CoreSnapshot;
use crate::http::Response;
use crate::store::{ChannelError, ChannelRecord, Database, ItemFilter, PlaylistRecord, Search, StoreError};

/// Entries of playlists on a page.
const FOUND_SHOWN: u32 = 50;

fn device(state: &State) -> &str {
    &state.params.identity.friendly_name
}

fn busy() -> Response {
    refusal(503, "a core did not answer in time").header("Retry-After", "1")
}

async fn cores(state: &State) -> Result<Vec<CoreSnapshot>, Response> {
    state.snapshots().await.ok_or_else(busy)
}

fn asked(call: &Call, name: &str) -> String {
    call.query(name).unwrap_or_default().trim().to_owned()
}

fn names(playlists: &[PlaylistRecord]) -> BTreeMap<i64, String> {
    playlists.iter().map(|playlist| (playlist.playlist_id, playlist.name.clone())).collect()
}

/// A page that follows what happens.
pub(super) async fn live(state: &State, view: View) -> Result<Response, Response> {
    page::show(state, view).await.map_err(|unshown| match unshown {
        Unshown::Busy => busy(),
        Unshown::Channel(error) => channel_refusal(&error),
    })
}

fn is_called(channel: &ChannelRecord, part: &str) -> bool {
    channel.guide_number.starts_with(part) || channel.guide_name.to_lowercase().contains(part)
}

pub(super) async fn channels(call: &Call, state: &State) -> Result<Response, Response> {
    let asked = asked(call, "q");
    let part = asked.to_lowercase();
    let read = move |database: &mut Database| {
        let mut channels = database.channels()?;
        channels.retain(|channel| is_called(channel, &part));
        Ok::<_, StoreError>(channels)
    };
    let found = state.ask_store(read).await.map_err(|error| store_refusal(&error))?;
    let rows = Rows { total: found.len(), offset: offset(&|name| call.query(name)), limit: ROWS_SHOWN };
    let mut watched = BTreeMap::new();
    for session in cores(state).await?.iter().flat_map(|core| &core.sessions) {
        *watched.entry(session.record.channel.0).or_default() += session.viewers.len();
    }
    let page = ChannelsPage {
        device: device(state),
        asked: &asked,
        rows,
        channels: rows.of(found),
        watched,
        now: state.wall_now().unix_seconds(),
    };
    Ok(page.answer())
}

/// What is found, and what channels of it would be called.
struct SearchFound {
    proposals: Vec<Proposal>,
    total: u64,
    playlists: Vec<PlaylistRecord>,
}

pub(super) async fn add(call: &Call, state: &State) -> Result<Response, Response> {
    let (asked, limits, guide_start) = (asked(call, "q"), state.params.search, state.params.guide_start);
    let only: Option<i64> = call.query("playlist").and_then(|text| text.trim().parse().ok());
    let search = (!asked.is_empty()).then(|| Search::terms(&asked, limits));
    let is_cut = search.as_ref().map(Search::counts).is_some_and(|counts| {
        counts.terms_dropped + counts.disjuncts_dropped + counts.term_rune_truncations > 0
    });
    let offset = offset(&|name| call.query(name));
    let filter = ItemFilter {
        search,
        playlist: only,
        active: Some(true),
        limit: FOUND_SHOWN,
        offset: u32::try_from(offset).unwrap_or(u32::MAX),
        ..ItemFilter::default()
    };
    let is_asked = filter.search.is_some() || only.is_some();
    let read = move |database: &mut Database| {
        let playlists = database.playlists()?;
        if !is_asked {
            return Ok::<_, ChannelError>(SearchFound { proposals: Vec::new(), total: 0, playlists });
        }
        let found = database.items(&filter)?;
        let mut used = BTreeMap::new();
        for channel in database.channels()? {
            let called = format!("{} {}", channel.guide_number, channel.guide_name);
            for source in channel.sources {
                used.insert(source.item_key, (channel.channel_id, called.clone()));
            }
        }
        let mut proposals = Vec::new();
        for item in found.items {
            let (guide_number, guide_name) = database.proposal(&item, guide_start)?;
            let used = used.get(&item.item.item_key).cloned();
            proposals.push(Proposal { item, guide_number, guide_name, used });
        }
        Ok(SearchFound { proposals, total: found.total, playlists })
    };
    let found = state.ask_store(read).await.map_err(|error| channel_refusal(&error))?;
    let page = AddPage {
        device: device(state),
        asked: &asked,
        rows: Rows {
            total: usize::try_from(found.total).unwrap_or(usize::MAX),
            offset,
            limit: usize::try_from(FOUND_SHOWN).unwrap_or(usize::MAX),
        },
        found: found.proposals,
        playlists: names(&found.playlists),
        only,
        is_cut,
    };
    Ok(page.answer())
}
