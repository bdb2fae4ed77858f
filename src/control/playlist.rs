//! Reading the playlist into the catalog: at the start, by the schedule, and when asked. Whatever goes wrong, the catalog
//! stays as it was when that went well.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::base::{Clock, WallTime};
use crate::catalog::m3u::{LeftOut, split_address};
use crate::catalog::{self, Profiles};
use crate::http::CookieJar;
use crate::source::admission::is_of_this_host;
use crate::source::direct;
use crate::store::{Database, Moved, Reading, RefreshOutcome, SourceMove, StoreError};

use super::fetch::{self, Fetched, Validators};
use super::schedule::Pace;
use super::state::State;

/// A wait for a time of the day is cut into pieces, since the clock may be set meanwhile and the host may sleep.
const WAIT_PIECE: Duration = Duration::from_secs(60);
/// A playlist that goes on being much smaller than it was for so long is believed.
const SMALLER_BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a run did.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    items: usize,
    added: usize,
    reactivated: usize,
    inactive: usize,
    /// Sources whose address has moved.
    moved: usize,
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
    #[error(
        "the playlist holds {seen} items where it held {before}; the catalog stays as it was, unless it is read with \
         accept_smaller=true or stays so for a day"
    )]
    MuchSmaller { seen: usize, before: usize },
    #[error("the store did not take the playlist: {0}")]
    Store(String),
    #[error("reading the playlist ended in a panic")]
    Panicked,
}

/// Somebody wants it read now. The run goes on when nobody waits.
pub(super) async fn read_now(state: &Rc<State>, accepts_less: bool) -> Result<Counts, SyncError> {
    let of_run = Rc::clone(state);
    tokio_uring::spawn(async move { run(&of_run, accepts_less).await })
        .await
        .unwrap_or(Err(SyncError::Panicked))
}

/// The service manager, or whoever is at the console, wants it read.
pub(super) async fn read_when_told(state: Rc<State>) {
    log::info!("SIGHUP: the playlist is read");
    // What was read is told of there.
    if let Err(error) = read_now(&state, false).await {
        log::warn!("the playlist was not read: {error}");
    }
}

/// Reads the playlist until it has been read once, and then by its schedule, if it has one.
pub(super) async fn keep_reading(state: Rc<State>) {
    let mut pace = Pace::new(state.params.refresh.clone());
    loop {
        let is_read = match run(&state, false).await {
            Err(SyncError::NoPlaylist) => return,
            Ok(_) => true,
            Err(error) => {
                log::warn!("the playlist was not read: {error}");
                false
            }
        };
        let wait = pace.next(state.wall_now(), &TimeZone::system(), is_read, permille());
        let at = wait.map(|wait| state.wall_now().after(wait));
        state.readings.borrow_mut().next_at = at;
        let Some(at) = at else { return };
        log::debug!("the playlist is read again in {} s", wait.unwrap_or_default().as_secs());
        until(&state, at).await;
    }
}

/// Waits until it is this late, or the clock has been set back.
async fn until(state: &State, at: WallTime) {
    let mut before = state.wall_now();
    loop {
        let now = state.wall_now();
        let left = Duration::from_nanos(at.unix_nanos().saturating_sub(now.unix_nanos()));
        if left.is_zero() || now < before {
            return;
        }
        before = now;
        sleep(left.min(WAIT_PIECE)).await;
    }
}

/// Nobody else puts it off by the same.
fn permille() -> u32 {
    let random = RandomState::new().build_hasher().finish() % 1001;
    u32::try_from(random).expect("it is at most a thousand")
}

/// Takes its mark back however the run ends.
struct Running<'a>(&'a State);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.syncing.set(false);
    }
}

async fn run(state: &State, accepts_less: bool) -> Result<Counts, SyncError> {
    let url = state.params.playlist.clone().ok_or(SyncError::NoPlaylist)?;
    if state.syncing.replace(true) {
        return Err(SyncError::Running);
    }
    let _running = Running(state);
    let result = read_and_store(state, url.0, accepts_less).await;
    let now = state.wall_now();
    let mut readings = state.readings.borrow_mut();
    readings.last_tried_at = Some(now);
    match &result {
        Ok(_) => (readings.last_read_at, readings.last_error) = (Some(now), None),
        Err(error) => readings.last_error = Some(error.to_string()),
    }
    result
}

async fn read_and_store(state: &State, url: String, accepts_less: bool) -> Result<Counts, SyncError> {
    let of_store = |error: StoreError| SyncError::Store(error.to_string());
    let known = state.readings.borrow().validators.clone();
    let is_fetched = fetch::is_fetched(&url);
    let (address, params) = asked(state, &url).await?;
    let (read, cookies) = read(address, params, state.clock, known).await?;
    // Those of a refusal too: the next request may be let in with them.
    state.playlist_cookies.replace(cookies.kept(state.clock.now()));
    let Fetched::List { list, validators } = read? else {
        let items = state.ask_store(|database| database.active_items()).await.map_err(of_store)?;
        log::info!("the playlist is as it was: {items} items");
        return Ok(Counts { items, ..Counts::default() });
    };
    let smaller_since = state.readings.borrow().smaller_since;
    let now = state.clock.now();
    let is_believed = smaller_since.is_some_and(|since| now - since >= SMALLER_BELIEVED_AFTER);
    let reading = Reading { at: state.wall_now(), accepts_less: accepts_less || is_believed };
    let store = move |database: &mut Database| {
        let mut items = catalog::NewItems::new(list);
        let mut own_files = 0_u64;
        // What was fetched was written by somebody else, who has no business in the files of this host.
        let allowed = items.by_ref().filter(|item| {
            let is_own = is_fetched && item.as_ref().is_ok_and(|item| is_of_this_host(&item.stream_url));
            own_files += u64::from(is_own);
            !is_own
        });
        let outcome = database.refresh(allowed, reading)?;
        Ok::<_, StoreError>((outcome, items.left_out(), own_files))
    };
    let (outcome, left_out, own_files) = state.ask_store(store).await.map_err(of_store)?;
    report_left_out(left_out);
    if own_files > 0 {
        log::warn!(
            "left out of the playlist: {own_files} entries that name files of this host; a list that is fetched may not"
        );
    }
    let done = match outcome {
        RefreshOutcome::EmptyIgnored => return Err(SyncError::Empty),
        RefreshOutcome::MuchSmallerIgnored { seen, before } => {
            state.readings.borrow_mut().smaller_since = smaller_since.or(Some(now));
            return Err(SyncError::MuchSmaller { seen, before });
        }
        RefreshOutcome::Refreshed(done) => done,
    };
    {
        let mut readings = state.readings.borrow_mut();
        (readings.validators, readings.smaller_since) = (validators, None);
    }
    let counts = Counts {
        items: done.seen,
        added: done.added,
        reactivated: done.reactivated,
        inactive: done.deactivated,
        moved: done.moves.iter().filter(|source| matches!(source.to, Moved::To(_))).count(),
    };
    log::info!(
        "the playlist was read: {} items, {} new, {} back, {} gone, {} forgotten",
        counts.items,
        counts.added,
        counts.reactivated,
        counts.inactive,
        done.removed
    );
    done.moves.iter().for_each(report_move);
    state.publish_lineup().await.map_err(of_store)?;
    Ok(counts)
}

/// Where the playlist is, and how it is asked for there: as its address says, and its profile.
async fn asked(state: &State, url: &str) -> Result<(String, direct::Params), SyncError> {
    let profiles = state.ask_store::<_, StoreError>(|database| database.profiles());
    let profiles = profiles.await.map_err(|error| SyncError::Store(error.to_string()))?;
    // What is wrong with them is said when they are used for channels.
    let (profiles, _complaints) = Profiles::new(&profiles, state.params.playlist_profile.as_deref());
    let treatment = profiles.of_playlist();
    let (address, headers) = split_address(url);
    let trust = &state.params.trust;
    let params = direct::Params {
        user_agent: state.params.user_agent.clone(),
        via: None,
        headers: headers.or(&treatment.headers),
        cookies: state.playlist_cookies.borrow().clone(),
        connect_timeout: fetch::TIMEOUT,
        header_timeout: fetch::TIMEOUT,
        startup_timeout: fetch::TIMEOUT,
        tls: trust.client(trust.verifies(treatment.tls_verify)),
    };
    Ok((address.to_owned(), params))
}

/// Fetches on a thread of its own, since that blocks and takes long. Gives the cookies with which it has ended, too.
async fn read(
    url: String,
    mut params: direct::Params,
    clock: Clock,
    known: Validators,
) -> Result<(Result<Fetched, SyncError>, CookieJar), SyncError> {
    let (sender, answer) = oneshot::channel();
    let work = move || {
        let fetched = fetch::fetch(&url, &mut params, clock, &known);
        // Nobody waits any more when the process ends.
        let _unheard =
            sender.send((fetched.map_err(|error| SyncError::Unreadable(error.to_string())), params.cookies));
    };
    let thread = std::thread::Builder::new().name("playlist".to_owned()).spawn(work);
    thread.map_err(|error| SyncError::Unreadable(format!("read the playlist: {error}")))?;
    answer
        .await
        .map_err(|_panicked| SyncError::Unreadable("reading the playlist ended in a panic".to_owned()))
}

fn report_move(source: &SourceMove) {
    let SourceMove { channel_id: _, guide_number, source_id, from, to } = source;
    match to {
        Moved::To(to) => {
            log::info!("channel {guide_number}: source {source_id} has moved from {from} to {to}")
        }
        Moved::Ambiguous(candidates) => log::warn!(
            "channel {guide_number}: the item of source {source_id}, {from}, is gone, and any of these may have come in its \
             place, so none is taken: {}",
            candidates.join(", ")
        ),
    }
}

/// Why the playlist has fewer items than its owner expects.
fn report_left_out(left_out: LeftOut) {
    let LeftOut { long_lines, long_urls, entries_without_url, urls_without_entry, latin1_lines } = left_out;
    if left_out != LeftOut::default() {
        log::warn!(
            "left out of the playlist: {entries_without_url} entries without an address, {urls_without_entry} addresses \
             without an entry, {long_lines} lines and {long_urls} addresses that are too long; {latin1_lines} lines were read \
             as Latin-1"
        );
    }
}
