//! Reading the playlist into the catalog, at the start and when asked.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::catalog;
use crate::source::Trust;
use crate::source::admission::is_of_this_host;
use crate::store::{NewItem, RefreshOutcome};

use super::fetch;
use super::state::State;

/// After the first failure at the start; each further one doubles it.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(5);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// What a run did.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counts {
    items: usize,
    added: usize,
    reactivated: usize,
    inactive: usize,
}

/// Why a run did nothing.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub(super) enum SyncError {
    #[error("no playlist is set; set PLAYLIST_URL to its address")]
    NoPlaylist,
    #[error("the playlist is being read already")]
    Running,
    #[error("{0}")]
    Unreadable(String),
    #[error("the playlist holds no items; the catalog stays as it was")]
    Empty,
    #[error("the store did not take the playlist: {0}")]
    Store(String),
    #[error("reading the playlist ended in a panic")]
    Panicked,
}

/// Somebody wants it read now. The run goes on when nobody waits.
pub(super) async fn read_now(state: &Rc<State>) -> Result<Counts, SyncError> {
    let of_run = Rc::clone(state);
    tokio_uring::spawn(async move { run(&of_run).await }).await.unwrap_or(Err(SyncError::Panicked))
}

/// The service manager, or whoever is at the console, wants it read.
pub(super) async fn read_when_told(state: Rc<State>) {
    log::info!("SIGHUP: the playlist is read");
    // What was read is told of there.
    if let Err(error) = read_now(&state).await {
        log::warn!("the playlist was not read: {error}");
    }
}

/// Reads the playlist until it has been read once.
pub(super) async fn read_at_start(state: Rc<State>) {
    let mut delay = RETRY_DELAY_MIN;
    loop {
        match run(&state).await {
            Ok(_) | Err(SyncError::NoPlaylist) => return,
            Err(error) => {
                log::warn!("the playlist was not read, next try in {} s: {error}", delay.as_secs());
            }
        }
        sleep(delay).await;
        delay = (delay * 2).min(RETRY_DELAY_MAX);
    }
}

/// Takes its mark back however the run ends.
struct Running<'a>(&'a State);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.syncing.set(false);
    }
}

async fn run(state: &State) -> Result<Counts, SyncError> {
    let url = state.params.playlist.clone().ok_or(SyncError::NoPlaylist)?;
    if state.syncing.replace(true) {
        return Err(SyncError::Running);
    }
    let _running = Running(state);
    let items = read(url.0, state.params.user_agent.clone(), Arc::clone(&state.params.trust)).await?;
    let now = state.wall_now();
    let outcome = state
        .ask_store(move |database| database.refresh_items(&items, now))
        .await
        .map_err(|error| SyncError::Store(error.to_string()))?;
    let counts = match outcome {
        RefreshOutcome::EmptyIgnored => return Err(SyncError::Empty),
        RefreshOutcome::Refreshed { seen, added, reactivated, deactivated } => {
            Counts { items: seen, added, reactivated, inactive: deactivated }
        }
    };
    log::info!(
        "the playlist was read: {} items, {} new, {} back, {} gone",
        counts.items,
        counts.added,
        counts.reactivated,
        counts.inactive
    );
    state.publish_lineup().await.map_err(|error| SyncError::Store(error.to_string()))?;
    Ok(counts)
}

/// Fetches and parses on a thread of its own: both take long, and fetching blocks.
async fn read(url: String, user_agent: String, trust: Arc<Trust>) -> Result<Vec<NewItem>, SyncError> {
    let (sender, answer) = oneshot::channel();
    let work = move || {
        let items = fetch::fetch(&url, &user_agent, &trust).map(|text| {
            let playlist = catalog::m3u::parse(&text);
            report_left_out(&playlist);
            let playlist = if fetch::is_fetched(&url) { without_own_files(playlist) } else { playlist };
            catalog::new_items(playlist)
        });
        // Nobody waits any more when the process ends.
        let _unheard = sender.send(items);
    };
    let thread = std::thread::Builder::new().name("playlist".to_owned()).spawn(work);
    thread.map_err(|error| SyncError::Unreadable(format!("read the playlist: {error}")))?;
    match answer.await {
        Ok(Ok(items)) => Ok(items),
        Ok(Err(error)) => Err(SyncError::Unreadable(error.to_string())),
        Err(_panicked) => Err(SyncError::Unreadable("reading the playlist ended in a panic".to_owned())),
    }
}

/// What was fetched was written by somebody else, who has no business in the files of this host.
fn without_own_files(mut playlist: catalog::m3u::Playlist) -> catalog::m3u::Playlist {
    let before = playlist.items.len();
    playlist.items.retain(|item| !is_of_this_host(&item.url));
    let left_out = before - playlist.items.len();
    if left_out > 0 {
        log::warn!(
            "left out of the playlist: {left_out} entries that name files of this host; a list that is fetched may not"
        );
    }
    playlist
}

/// Why the playlist has fewer items than its owner expects.
fn report_left_out(playlist: &catalog::m3u::Playlist) {
    let catalog::m3u::Playlist {
        items: _,
        long_lines,
        long_urls,
        excess_entries,
        entries_without_url,
        urls_without_entry,
        latin1_lines,
    } = playlist;
    if long_lines + long_urls + excess_entries + entries_without_url + urls_without_entry + latin1_lines > 0 {
        log::warn!(
            "left out of the playlist: {entries_without_url} entries without an address, \
             {urls_without_entry} addresses without an entry, {excess_entries} entries above the limit, \
             {long_lines} lines and {long_urls} addresses that are too long; {latin1_lines} lines were read as Latin-1"
        );
    }
}
