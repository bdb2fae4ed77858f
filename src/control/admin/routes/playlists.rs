//! `GET /api/playlists`: where items come from, and how that went.

use serde::Serialize;

use crate::base::{WallTime, redact};
use crate::catalog::xtream::Login;
use crate::control::state::State;
use crate::http::Response;
use crate::status::go_time::rfc3339;

use super::store_refusal;

#[derive(Serialize)]
struct PlaylistsView {
    playlists: Vec<Playlist>,
}

#[derive(Serialize)]
struct Playlist {
    /// Without credentials, whoever asks.
    url: String,
    /// Where its programme guide is, when it says so; without credentials.
    epg_url: Option<String>,
    /// In it, as it was when it was last read well.
    items: usize,
    last_tried_at: Option<String>,
    last_read_at: Option<String>,
    /// Why it was not read the last time; the items are those of the last time that went well.
    last_error: Option<String>,
    /// When it is read again by itself.
    next_read_at: Option<String>,
}

/// All playlists.
pub(super) async fn list(state: &State) -> Result<Response, Response> {
    let items =
        state.ask_store(|database| database.active_items()).await.map_err(|error| store_refusal(&error))?;
    let readings = state.readings.borrow().clone();
    let shown = |at: Option<WallTime>| at.map(rfc3339);
    let playlist = state.params.playlist.as_ref().map(|url| Playlist {
        url: redact::url(&url.0),
        epg_url: Login::parse(&url.0).and_then(Result::ok).map(|login| redact::url(&login.guide())),
        items,
        last_tried_at: shown(readings.last_tried_at),
        last_read_at: shown(readings.last_read_at),
        last_error: readings.last_error,
        next_read_at: shown(readings.next_at),
    });
    Ok(Response::json(200, &PlaylistsView { playlists: playlist.into_iter().collect() }))
}
