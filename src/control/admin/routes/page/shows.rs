//! What pages show, read where the API reads it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::control::admin::call::{Call, refusal};
use crate::control::admin::routes::{channel_refusal, store_refusal};
use crate::control::page::{
    self, AddPage, Calendar, ChannelPage, ChannelsPage, ConnectionsInUse, HistoryAsked, HistoryPage,
    PlaylistRow, PlaylistsPage, Proposal, Rows, SystemPage, ViewersAsked,
};
use crate::control::state::State;
use crate::engine::snapshot::CoreSnapshot;
use crate::http::Response;
use crate::session::history::merge;
use crate::status::Moment;
use crate::store::{ChannelError, ChannelRecord, Database, ItemFilter, PlaylistRecord, Search, StoreError};

/// Rows of a page.
const ROWS_SHOWN: usize = 50;
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

/// Whoever asks for rows that there cannot be is shown the first.
fn offset(call: &Call) -> usize {
    call.query("offset").and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn asked(call: &Call, name: &str) -> String {
    call.query(name).unwrap_or_default().trim().to_owned()
}

fn calendar(state: &State) -> Calendar {
    let at = state.clock.now();
    Calendar::new(Moment { at, wall: state.clock.wall_at(at) }, TimeZone::system())
}

fn names(playlists: &[PlaylistRecord]) -> BTreeMap<i64, String> {
    playlists.iter().map(|playlist| (playlist.playlist_id, playlist.name.clone())).collect()
}

/// The page as it is now.
pub(super) async fn now(state: &State) -> Result<Response, Response> {
    page::now(state).await.ok_or_else(busy)
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
    let rows = Rows { total: found.len(), offset: offset(call), limit: ROWS_SHOWN };
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

pub(super) async fn channel(call: &Call, state: &State, channel_id: i64) -> Result<Response, Response> {
    let read = move |database: &mut Database| {
        Ok::<_, ChannelError>((database.channel(channel_id)?, database.playlists()?))
    };
    let (channel, playlists) = state.ask_store(read).await.map_err(|error| channel_refusal(&error))?;
    let cores = cores(state).await?;
    let is_this = |id: crate::lineup::ChannelId| id.0 == channel_id;
    let session =
        cores.iter().flat_map(|core| &core.sessions).rfind(|session| is_this(session.record.channel));
    let mut past: Vec<_> = cores.iter().flat_map(|core| &core.closed.sessions).map(AsRef::as_ref).collect();
    past.retain(|record| is_this(record.channel));
    past.sort_by_key(|record| std::cmp::Reverse(record.id));
    let page = ChannelPage {
        device: device(state),
        channel: &channel,
        session,
        past,
        playlists: &names(&playlists),
        calendar: &calendar(state),
        viewers: ViewersAsked { address: asked(call, "q"), offset: offset(call) },
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
    let offset = offset(call);
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

pub(super) async fn playlists(call: &Call, state: &State) -> Result<Response, Response> {
    let read = |database: &mut Database| database.playlists();
    let records = state.ask_store(read).await.map_err(|error| store_refusal(&error))?;
    let rows = Rows { total: records.len(), offset: offset(call), limit: ROWS_SHOWN };
    // Playlists are read, and told of, whatever cores do.
    let cores = state.snapshots().await;
    let places: Option<BTreeMap<_, _>> = cores.as_ref().map(|cores| {
        cores.iter().flat_map(|core| &core.places).map(|places| (places.playlist.0, places)).collect()
    });
    let count = u32::try_from(state.params.identity.tuner_count).unwrap_or(u32::MAX);
    let readings = state.readings.borrow();
    let row = |record: PlaylistRecord| {
        let of_this = readings.get(&record.playlist_id);
        let is_reading = of_this.is_some_and(crate::control::readings::Readings::is_running);
        let max = record.tuners.unwrap_or(count);
        let taken = places.as_ref().map(|places| {
            places.get(&record.playlist_id).map_or((0, 0), |places| (places.taken, places.counted))
        });
        let connections = ConnectionsInUse { taken, max };
        let next_at = of_this.and_then(|readings| readings.next_at());
        PlaylistRow { record, is_reading, next_at, connections }
    };
    let playlists = rows.of(records).into_iter().map(row).collect();
    let page = PlaylistsPage { device: device(state), rows, playlists, calendar: &calendar(state) };
    Ok(page.answer())
}

pub(super) async fn history(call: &Call, state: &State) -> Result<Response, Response> {
    let history_asked = HistoryAsked {
        channel: asked(call, "channel"),
        reason: asked(call, "reason"),
        day: asked(call, "day"),
        offset: offset(call),
    };
    let read = |database: &mut Database| database.channels();
    let channels = state.ask_store(read).await.map_err(|error| store_refusal(&error))?;
    let channels = channels.into_iter().map(|channel| (channel.channel_id, channel)).collect();
    let cores = cores(state).await?;
    let going_on = cores.iter().flat_map(|core| &core.sessions).map(|session| &session.record);
    let merged = merge(going_on, cores.iter().map(|core| &core.closed));
    let page = HistoryPage {
        device: device(state),
        asked: &history_asked,
        sessions: merged.sessions,
        forgotten: merged.truncated,
        channels: &channels,
        calendar: &calendar(state),
        rows_max: ROWS_SHOWN,
    };
    Ok(page.answer())
}

/// What this process has in memory, as the kernel says.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

pub(super) async fn system(state: &State) -> Result<Response, Response> {
    let cores = cores(state).await?;
    let page = SystemPage {
        device: device(state),
        about: &state.params.about,
        cores: &cores,
        resident_kib: resident_kib(),
        uptime: state.clock.now() - crate::base::Instant::START,
    };
    Ok(page.answer())
}
