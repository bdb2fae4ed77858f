//! Playlists: where items come from, and how that went.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{WallTime, redact};
use crate::catalog::m3u::split_address;
use crate::catalog::xtream::Login;
use crate::control::admin::call::{Call, refusal};
use crate::control::jobs::JobKind;
use crate::control::playlist::{self, SyncError};
use crate::control::state::State;
use crate::http::{Response, Url};
use crate::status::go_time::rfc3339;
use crate::store::{ChannelError, NewPlaylist, PlaylistChange, PlaylistRecord, UPLOADED};

use super::channels::{named, publish};
use super::items::switch;
use super::{channel_refusal, store_refusal};

/// The longest address.
const URL_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPlaylistBody {
    name: String,
    url: String,
    tuners: Option<u32>,
    user_agent: Option<String>,
    enabled: Option<bool>,
}

/// What is not named stays; `null` takes a value away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaylistBody {
    name: Option<String>,
    url: Option<String>,
    #[serde(default, deserialize_with = "named")]
    tuners: Option<Option<u32>>,
    #[serde(default, deserialize_with = "named")]
    user_agent: Option<Option<String>>,
    enabled: Option<bool>,
}

#[derive(Serialize)]
struct PlaylistsView {
    playlists: Vec<Playlist>,
    total: usize,
}

#[derive(Serialize)]
struct Playlist {
    playlist_id: i64,
    name: String,
    /// Without credentials, whoever asks.
    url: String,
    /// Where its programme guide is, when it says so; without credentials.
    epg_url: Option<String>,
    /// Its streams that may be open at once; without a number as many as `TUNER_COUNT` says.
    tuners: Option<u32>,
    user_agent: Option<String>,
    enabled: bool,
    /// `settings`, where it is changed then, or `api`.
    origin: &'static str,
    /// It is being read now.
    is_reading: bool,
    /// In it, as it was when it was last read well.
    items: u64,
    last_tried_at: Option<String>,
    last_read_at: Option<String>,
    /// Since it was read last.
    age_seconds: Option<u64>,
    /// Why it was not read the last time; the items are those of the last time that went well.
    last_error: Option<String>,
    /// When it is read again by itself.
    next_read_at: Option<String>,
}

impl Playlist {
    fn new(record: PlaylistRecord, state: &State) -> Self {
        let readings = state.readings.borrow().get(&record.playlist_id).cloned().unwrap_or_default();
        let (is_running, next_at) = (readings.is_running(), readings.next_at());
        let shown = |at: Option<WallTime>| at.map(rfc3339);
        let age = |at: WallTime| state.wall_now().unix_nanos().saturating_sub(at.unix_nanos());
        Self {
            playlist_id: record.playlist_id,
            url: redact::url(&record.url),
            epg_url: Login::parse(&record.url).and_then(Result::ok).map(|login| redact::url(&login.guide())),
            name: record.name,
            tuners: record.tuners,
            user_agent: record.user_agent,
            enabled: record.is_enabled,
            origin: if record.is_set { "settings" } else { "api" },
            is_reading: is_running,
            items: record.items,
            last_tried_at: shown(record.tried_at),
            last_read_at: shown(record.read_at),
            age_seconds: record.read_at.map(|at| Duration::from_nanos(age(at)).as_secs()),
            last_error: record.failure,
            next_read_at: shown(next_at.filter(|_| record.is_enabled)),
        }
    }
}

/// `GET /api/playlists`.
pub(super) async fn list(state: &State) -> Result<Response, Response> {
    let playlists =
        state.ask_store(|database| database.playlists()).await.map_err(|error| store_refusal(&error))?;
    let playlists: Vec<_> = playlists.into_iter().map(|record| Playlist::new(record, state)).collect();
    Ok(Response::json(200, &PlaylistsView { total: playlists.len(), playlists }))
}

/// `GET /api/playlists/{id}`.
pub(super) async fn show(state: &State, playlist_id: i64) -> Result<Response, Response> {
    let record = state.ask_store(move |database| database.playlist(playlist_id)).await;
    let record = record.map_err(|error| channel_refusal(&error))?;
    Ok(Response::json(200, &Playlist::new(record, state)))
}

/// `POST /api/playlists`: it is read in the background.
pub(super) async fn create(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let NewPlaylistBody { name, url, tuners, user_agent, enabled } = call.json()?;
    let new = NewPlaylist { name, url, tuners, user_agent, is_enabled: enabled.unwrap_or(true) };
    let made = make(state, new).await?;
    Ok(Response::json(201, &Playlist::new(made, state)))
}

/// Makes a playlist, which is read in the background.
pub(super) async fn make(state: &Rc<State>, new: NewPlaylist) -> Result<PlaylistRecord, Response> {
    check_address(&new.url)?;
    let made = state.ask_store::<_, ChannelError>(move |database| database.create_playlist(&new)).await;
    let made = made.map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    playlist::keep_changed(state, made.playlist_id);
    Ok(made)
}

/// `PATCH /api/playlists/{id}`: with another address, or when it is switched on, it is read in the background.
pub(super) async fn change(call: &Call, state: &Rc<State>, playlist_id: i64) -> Result<Response, Response> {
    let PlaylistBody { name, url, tuners, user_agent, enabled } = call.json()?;
    url.as_deref().map(check_address).transpose()?;
    let change = PlaylistChange { name, url, tuners, user_agent, is_enabled: enabled };
    if change == PlaylistChange::default() {
        return Err(refusal(400, "the change is empty; allowed: name, url, tuners, user_agent, enabled"));
    }
    let now = alter(state, playlist_id, change).await?;
    Ok(Response::json(200, &Playlist::new(now, state)))
}

/// Changes a playlist, which is read in the background when it has to be.
pub(super) async fn alter(
    state: &Rc<State>,
    playlist_id: i64,
    change: PlaylistChange,
) -> Result<PlaylistRecord, Response> {
    let change = move |database: &mut crate::store::Database| {
        let before = database.playlist(playlist_id)?;
        Ok::<_, ChannelError>((before, database.update_playlist(playlist_id, &change)?))
    };
    let (before, now) = state.ask_store(change).await.map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    if before.url != now.url || (now.is_enabled && !before.is_enabled) {
        playlist::keep_changed(state, playlist_id);
    }
    Ok(now)
}

/// `DELETE /api/playlists/{id}`: with its items, and the sources that stand on them.
pub(super) async fn delete(state: &Rc<State>, playlist_id: i64) -> Result<Response, Response> {
    let deleted = state.ask_store(move |database| database.delete_playlist(playlist_id)).await;
    deleted.map_err(|error| channel_refusal(&error))?;
    publish(state).await?;
    Ok(Response::new(204))
}

/// `POST /api/playlists/{id}/refresh`: answers when it is done.
pub(super) async fn refresh(call: &Call, state: &Rc<State>, playlist_id: i64) -> Result<Response, Response> {
    let accepts_less = switch(call, "accept_smaller")?.unwrap_or(false);
    answer(playlist::read_one(state, playlist_id, accepts_less).await)
}

/// `PUT /api/playlists/{id}/list`: the list itself, compressed or not. Answers when it is taken in.
pub(super) async fn upload(call: &Call, state: &Rc<State>, playlist_id: i64) -> Result<Response, Response> {
    let accepts_less = switch(call, "accept_smaller")?.unwrap_or(false);
    let list = call.body.clone();
    if list.is_empty() {
        return Err(refusal(400, "the body is empty; allowed: a playlist, compressed by gzip or not"));
    }
    let kept = state.ask_store(move |database| database.keep_uploaded_list(playlist_id, &list)).await;
    kept.map_err(|error| channel_refusal(&error))?;
    answer(playlist::read_after(state, playlist_id, accepts_less).await)
}

/// `POST /api/admin/jobs/playlist-sync/run`: all of them. Answers when it has begun, or with `wait=true` when it is done.
pub(super) async fn read_all(call: &Call, state: &Rc<State>) -> Result<Response, Response> {
    let accepts_less = switch(call, "accept_smaller")?.unwrap_or(false);
    if !switch(call, "wait")?.unwrap_or(false) {
        return super::jobs::run(state, JobKind::PlaylistSync, accepts_less).await;
    }
    answer(playlist::read_all(state, accepts_less).await)
}

fn answer(result: Result<playlist::Counts, SyncError>) -> Result<Response, Response> {
    match result {
        Ok(counts) => Ok(Response::json(200, &counts)),
        Err(error) => Err(refusal(status(&error), &error.to_string())),
    }
}

fn status(error: &SyncError) -> u16 {
    match error {
        SyncError::Gone(_) => 404,
        SyncError::NoPlaylist | SyncError::Running | SyncError::Disabled | SyncError::Changed => 409,
        SyncError::Panicked => 500,
        SyncError::Unreadable(_) | SyncError::Empty | SyncError::MuchSmaller { .. } => 502,
        SyncError::Store(_) => 503,
        SyncError::Some { error, .. } => status(error),
    }
}

/// An address that can be fetched. Files of this host are for the settings to name: whoever asks here may be on another one.
fn check_address(url: &str) -> Result<(), Response> {
    let (address, _headers) = split_address(url);
    let is_web = ["http://", "https://"]
        .iter()
        .any(|scheme| address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let is_good = match Login::parse(address) {
        Some(login) => login.is_ok(),
        None if url.starts_with(UPLOADED) => url.len() > UPLOADED.len() && !url.contains(char::is_whitespace),
        None => is_web && Url::parse(address).is_ok() && !address.contains(char::is_whitespace),
    };
    if is_good && url.len() <= URL_BYTES_MAX && !url.contains(char::is_control) {
        return Ok(());
    }
    Err(refusal(
        400,
        "url is no address of a playlist; allowed: http://…, https://…, xtream://name:password@host, xtreams://… and upload:NAME of \
         up to 4096 bytes (files are named by PLAYLIST_URL and PLAYLIST_SOURCES)",
    ))
}
