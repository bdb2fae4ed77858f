//! Reading playlists into the catalog, each for itself: at the start, by the schedule, and when asked. Whatever goes wrong with
//! one, what it holds stays as it was when that went well.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::base::{Clock, WallTime};
use crate::catalog::guide::parse_shift;
use crate::catalog::m3u::{Guides, LeftOut, split_address};
use crate::catalog::xtream::Login;
use crate::catalog::{self, Profiles, Staging};
use crate::http::CookieJar;
use crate::source::admission::is_of_this_host;
use crate::source::direct;
use crate::store::{
    Applied, ChannelError, Database, Moved, PRIMARY_PLAYLIST, PlaylistRecord, Progress, Reading,
    RefreshOutcome, STEP_ITEMS_MAX, SearchLimits, SourceMove, Store, StoreError, UPLOADED,
};

use super::fetch::{self, Fetched, Validators};
use super::guide::{Hint, hint_params};
use super::readings::Readings;
use super::schedule::Pace;
use super::state::State;

/// A wait for a time of the day is cut into pieces, since the clock may be set meanwhile and the host may sleep.
const WAIT_PIECE: Duration = Duration::from_secs(60);
/// A run that has to end first is looked at this often.
const RUNNING_PIECE: Duration = Duration::from_secs(1);
/// A playlist that goes on being much smaller than it was for so long is believed.
const SMALLER_BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a run did.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    items: u64,
    added: u64,
    reactivated: u64,
    inactive: u64,
    /// Sources whose address has moved.
    moved: u64,
}

impl Counts {
    /// In words for administrators.
    pub(super) fn summary(self) -> String {
        let Self { items, added, reactivated, inactive, moved } = self;
        format!("items={items} added={added} reactivated={reactivated} inactive={inactive} moved={moved}")
    }
}

/// Why a run did nothing.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub(super) enum SyncError {
    #[error("no playlist is set; set PLAYLIST_URL to its address")]
    NoPlaylist,
    #[error("there is no playlist {0}")]
    Gone(i64),
    #[error("the playlist is switched off")]
    Disabled,
    #[error("the playlist is being read already")]
    Running,
    #[error("the playlist was changed while it was read")]
    Changed,
    #[error("{0}")]
    Unreadable(String),
    #[error("the playlist holds no items; the catalog stays as it was")]
    Empty,
    #[error(
        "the playlist holds {seen} items where it held {before}; the catalog stays as it was, unless it is read with \
         accept_smaller=true or stays so for a day"
    )]
    MuchSmaller { seen: u64, before: u64 },
    #[error("the store did not take the playlist: {0}")]
    Store(String),
    #[error("reading the playlist ended in a panic")]
    Panicked,
    /// Of several.
    #[error("{failed} of {count} playlists were not read; {name:?}: {error}")]
    Some { failed: usize, count: usize, name: String, error: Box<SyncError> },
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self { items, added, reactivated, inactive, moved } = other;
        self.items += items;
        self.added += added;
        self.reactivated += reactivated;
        self.inactive += inactive;
        self.moved += moved;
    }
}

/// Somebody wants all playlists read now, each for itself. The runs go on when nobody waits.
pub(super) async fn read_all(state: &Rc<State>, accepts_less: bool) -> Result<Counts, SyncError> {
    let mut playlists = state.ask_store::<_, StoreError>(|database| database.playlists()).await?;
    playlists.retain(|playlist| playlist.is_enabled);
    let begun: Vec<_> =
        playlists.iter().map(|playlist| begin(state, playlist.playlist_id, accepts_less)).collect();
    let (mut counts, mut failed, mut first) = (Counts::default(), 0, None);
    for (playlist, run) in playlists.iter().zip(begun) {
        match run.await.unwrap_or(Err(SyncError::Panicked)) {
            Ok(of_one) => counts += of_one,
            Err(error) => {
                failed += 1;
                first.get_or_insert((playlist.name.clone(), error));
            }
        }
    }
    match (playlists.len(), first) {
        (0, _) => Err(SyncError::NoPlaylist),
        (_, None) => Ok(counts),
        (1, Some((_name, error))) => Err(error),
        (count, Some((name, error))) => Err(SyncError::Some { failed, count, name, error: Box::new(error) }),
    }
}

/// Somebody wants one playlist read now. The run goes on when nobody waits.
pub(super) async fn read_one(
    state: &Rc<State>,
    playlist_id: i64,
    accepts_less: bool,
) -> Result<Counts, SyncError> {
    begin(state, playlist_id, accepts_less).await.unwrap_or(Err(SyncError::Panicked))
}

/// The same, when what is being read now has been read: it is what was there before.
pub(super) async fn read_after(
    state: &Rc<State>,
    playlist_id: i64,
    accepts_less: bool,
) -> Result<Counts, SyncError> {
    loop {
        match read_one(state, playlist_id, accepts_less).await {
            Err(SyncError::Running) => sleep(RUNNING_PIECE).await,
            result => return result,
        }
    }
}

fn begin(state: &Rc<State>, playlist_id: i64, accepts_less: bool) -> JoinHandle<Result<Counts, SyncError>> {
    let of_run = Rc::clone(state);
    tokio_uring::spawn(async move { run(&of_run, playlist_id, accepts_less).await })
}

/// Somebody wants one playlist read now, and does not wait for it.
pub(super) fn read_in_background(state: &Rc<State>, playlist_id: i64) {
    let run = begin(state, playlist_id, false);
    tokio_uring::spawn(async move {
        // How it went is noted where it is shown.
        if let Ok(Err(error)) = run.await {
            log::info!("playlist {playlist_id} was not read: {error}");
        }
    });
}

/// The service manager, or whoever is at the console, wants them read.
pub(super) async fn read_when_told(state: Rc<State>) {
    log::info!("SIGHUP: the playlists are read");
    // What was read is told of there.
    if let Err(error) = read_all(&state, false).await {
        log::warn!("the playlists were not read: {error}");
    }
}

/// Reads every playlist until it has been read once, and then by the schedule, if there is one.
pub(super) async fn keep_all(state: Rc<State>) {
    match state.ask_store::<_, StoreError>(|database| database.playlists()).await {
        Ok(playlists) => {
            for playlist in playlists {
                tokio_uring::spawn(keep(Rc::clone(&state), playlist.playlist_id));
            }
        }
        Err(error) => log::error!("which playlists there are cannot be read: {error}"),
    }
}

/// A playlist is new, or is to be read anew: in the background.
pub(super) fn keep_changed(state: &Rc<State>, playlist_id: i64) {
    let is_kept = {
        let mut readings = state.readings.borrow_mut();
        let of_this = readings.entry(playlist_id).or_default();
        of_this.moved();
        of_this.is_kept()
    };
    let state = Rc::clone(state);
    tokio_uring::spawn(async move {
        if !is_kept {
            return keep(state, playlist_id).await;
        }
        // What is being read is what it was before.
        while let Err(error) = run(&state, playlist_id, false).await {
            if error != SyncError::Running {
                return complain(&state, playlist_id, &error).await;
            }
            sleep(RUNNING_PIECE).await;
        }
    });
}

async fn keep(state: Rc<State>, playlist_id: i64) {
    if !state.readings.borrow_mut().entry(playlist_id).or_default().keep() {
        return;
    }
    let mut pace = Pace::new(state.params.refresh.clone());
    loop {
        let is_read = match run(&state, playlist_id, false).await {
            Err(SyncError::Gone(_)) => {
                state.readings.borrow_mut().remove(&playlist_id);
                return;
            }
            // It is looked at again by the schedule, or when it is switched on.
            Ok(_) | Err(SyncError::Disabled) => true,
            Err(error) => {
                complain(&state, playlist_id, &error).await;
                false
            }
        };
        let wait = pace.next(state.wall_now(), &TimeZone::system(), is_read, permille());
        let at = wait.map(|wait| state.wall_now().after(wait));
        state.readings.borrow_mut().entry(playlist_id).or_default().put_off(at);
        let Some(at) = at else { return };
        log::debug!("playlist {playlist_id} is read again in {} s", wait.unwrap_or_default().as_secs());
        until(&state, at).await;
    }
}

async fn complain(state: &State, playlist_id: i64, error: &SyncError) {
    let named = state.ask_store(move |database| database.playlist(playlist_id)).await;
    let name = named.map_or_else(|_gone: ChannelError| playlist_id.to_string(), |record| called(&record));
    log::warn!("{name} was not read: {error}");
}

/// How a playlist is called in the log. Most know of one only.
fn called(playlist: &PlaylistRecord) -> String {
    if playlist.playlist_id == PRIMARY_PLAYLIST {
        "the playlist".to_owned()
    } else {
        format!("the playlist {:?}", playlist.name)
    }
}

/// Waits until it is this late, or the clock has been set back.
pub(super) async fn until(state: &State, at: WallTime) {
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
pub(super) fn permille() -> u32 {
    let random = RandomState::new().build_hasher().finish() % 1001;
    u32::try_from(random).expect("it is at most a thousand")
}

/// Takes its mark back however the run ends.
struct Running<'a>(&'a State, i64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(of_this) = self.0.readings.borrow_mut().get_mut(&self.1) {
            of_this.end();
        }
    }
}

async fn run(state: &State, playlist_id: i64, accepts_less: bool) -> Result<Counts, SyncError> {
    let find = move |database: &mut Database| database.playlist(playlist_id);
    let found = state.ask_store::<_, ChannelError>(find).await;
    let playlist = found.map_err(|error| {
        if let ChannelError::Store(error) = error { error.into() } else { SyncError::Gone(playlist_id) }
    })?;
    if !playlist.is_enabled {
        return Err(SyncError::Disabled);
    }
    if !state.readings.borrow_mut().entry(playlist_id).or_default().begin() {
        return Err(SyncError::Running);
    }
    let _running = Running(state, playlist_id);
    let result = read_and_store(state, &playlist, accepts_less).await;
    let (now, failure) = (state.wall_now(), result.as_ref().err().map(ToString::to_string));
    let note = move |database: &mut Database| database.note_reading(playlist_id, now, failure.as_deref());
    if let Err(error) = state.ask_store::<_, StoreError>(note).await {
        log::debug!("how the playlist was read is not kept: {error}");
    }
    result
}

async fn read_and_store(
    state: &State,
    playlist: &PlaylistRecord,
    accepts_less: bool,
) -> Result<Counts, SyncError> {
    let (id, name) = (playlist.playlist_id, called(playlist));
    let known = state.readings.borrow().get(&id).cloned().unwrap_or_default();
    let is_foreign = fetch::is_foreign(&playlist.url);
    let uploaded = if playlist.url.starts_with(UPLOADED) {
        let kept = state.ask_store::<_, StoreError>(move |database| database.uploaded_list(id)).await?;
        Some(kept.ok_or_else(|| SyncError::Unreadable("nothing was uploaded yet".to_owned()))?)
    } else {
        None
    };
    let (address, params) = asked(state, playlist, known.cookies().clone()).await?;
    let of_guides = params.clone();
    let (read, cookies) = read(address, uploaded, params, state.clock, known.validators().clone()).await?;
    // Those of a refusal too: the next request may be let in with them.
    with_readings(state, id, |readings| readings.set_cookies(cookies.kept(state.clock.now())));
    let Fetched::List { list, validators } = read? else {
        let items = playlist.items;
        log::info!("{name} is as it was: {items} items");
        return Ok(Counts { items, ..Counts::default() });
    };
    let smaller_since = known.smaller_since();
    let now = state.clock.now();
    let is_believed = smaller_since.is_some_and(|since| now - since >= SMALLER_BELIEVED_AFTER);
    let reading =
        Reading { playlist_id: id, at: state.wall_now(), accepts_less: accepts_less || is_believed };
    let search = state.params.search;
    let taking =
        Taking { store: state.store.clone(), reading, url: playlist.url.clone(), is_foreign, search };
    let taken = on_thread("playlist", move || taking.take(list)).await?;
    let TakenIn { outcome, left_out, guides, own_files } = taken?;
    report_left_out(&name, left_out);
    if own_files > 0 {
        log::warn!(
            "left out of {name}: {own_files} entries that name files of this host; a list that is fetched may not"
        );
    }
    let done = match outcome {
        RefreshOutcome::EmptyIgnored => return Err(SyncError::Empty),
        RefreshOutcome::MuchSmallerIgnored { seen, before } => {
            with_readings(state, id, |readings| readings.smaller(now));
            return Err(SyncError::MuchSmaller { seen, before });
        }
        RefreshOutcome::Refreshed(done) => done,
    };
    state.guides().set_hints(id, hints(state, &playlist.url, &guides, &of_guides));
    with_readings(state, id, |readings| readings.taken(validators));
    let counts = Counts {
        items: done.seen,
        added: done.added,
        reactivated: done.reactivated,
        inactive: done.deactivated,
        moved: done.moves.iter().filter(|source| matches!(source.to, Moved::To(_))).count() as u64,
    };
    log::info!(
        "{name} was read: {} items, {} new, {} back, {} gone, {} forgotten",
        counts.items,
        counts.added,
        counts.reactivated,
        counts.inactive,
        done.removed
    );
    done.moves.iter().for_each(report_move);
    state.publish_lineup().await?;
    Ok(counts)
}

/// Notes something of a playlist, unless it is gone.
fn with_readings(state: &State, playlist_id: i64, note: impl FnOnce(&mut Readings)) {
    if let Some(readings) = state.readings.borrow_mut().get_mut(&playlist_id) {
        note(readings);
    }
}

/// The guides that a playlist names, and that of a provider that is logged in to.
fn hints(state: &State, playlist: &str, guides: &Guides, params: &direct::Params) -> Vec<Hint> {
    let of_account = Login::parse(playlist).and_then(Result::ok).map(|login| login.guide());
    let is_account = of_account.is_some();
    let shift_seconds = parse_shift(&guides.shift).unwrap_or_default();
    let (address, _) = split_address(playlist);
    let hint = |url: String| {
        let params = if is_account { params.clone() } else { hint_params(state, address, &url, params) };
        Hint { url, params, shift_seconds }
    };
    // What was fetched was written by somebody else, who has no business in the files of this host.
    let may_be_own = !fetch::is_foreign(playlist) && !is_account;
    let named = guides.urls.iter().filter(|url| fetch::is_fetched(url) || may_be_own && is_of_this_host(url));
    of_account.into_iter().chain(named.cloned()).map(hint).collect()
}

/// Where a playlist is, and how it is asked for there: as its address says, the profile, and itself.
async fn asked(
    state: &State,
    playlist: &PlaylistRecord,
    cookies: CookieJar,
) -> Result<(String, direct::Params), SyncError> {
    let profiles = state.ask_store::<_, StoreError>(|database| database.profiles()).await?;
    // What is wrong with them is said when they are used for channels.
    let (profiles, _complaints) = Profiles::new(&profiles, state.params.playlist_profile.as_deref());
    let treatment = profiles.of_playlist(playlist.user_agent.as_deref());
    let (address, headers) = split_address(&playlist.url);
    let trust = &state.params.trust;
    let params = direct::Params {
        user_agent: state.params.user_agent.clone(),
        via: None,
        headers: headers.or(&treatment.headers),
        cookies,
        connect_timeout: fetch::TIMEOUT,
        header_timeout: fetch::TIMEOUT,
        startup_timeout: fetch::TIMEOUT,
        tls: trust.client(trust.verifies(treatment.tls_verify)),
    };
    Ok((address.to_owned(), params))
}

/// Fetches, which blocks and takes long. Gives the cookies with which it has ended, too.
async fn read(
    url: String,
    uploaded: Option<Vec<u8>>,
    mut params: direct::Params,
    clock: Clock,
    known: Validators,
) -> Result<(Result<Fetched, SyncError>, CookieJar), SyncError> {
    let work = move || {
        let fetched = match uploaded {
            Some(bytes) => {
                fetch::uploaded(&bytes).map(|list| Fetched::List { list, validators: Validators::default() })
            }
            None => fetch::fetch(&url, &mut params, clock, &known),
        };
        (fetched.map_err(|error| SyncError::Unreadable(error.to_string())), params.cookies)
    };
    on_thread("fetch", work).await
}

/// Has a thread of its own do what blocks.
async fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SyncError> {
    let (sender, answer) = oneshot::channel();
    let work = move || {
        // Nobody waits any more when the process ends.
        let _unheard = sender.send(work());
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| SyncError::Unreadable(format!("read the playlist: {error}")))?;
    answer.await.map_err(|_panicked| SyncError::Panicked)
}

/// A list on its way into the catalog.
struct Taking {
    store: Store,
    reading: Reading,
    /// Where it was, and is to be still.
    url: String,
    is_foreign: bool,
    /// How much of a rule's search counts.
    search: SearchLimits,
}

/// What has come of it.
struct TakenIn {
    outcome: RefreshOutcome,
    left_out: LeftOut,
    /// The programme guides it names.
    guides: Guides,
    own_files: u64,
}

impl Taking {
    /// Reads the whole list, and puts it in order; then has the store take it in, piece by piece.
    fn take(self, list: fetch::List) -> Result<TakenIn, SyncError> {
        let of_disk =
            |error: io::Error| SyncError::Unreadable(format!("the playlist cannot be kept: {error}"));
        let Self { store, reading, url, is_foreign, search } = self;
        let mut staging = Staging::new(reading.playlist_id, fetch::unnamed_file().map_err(of_disk)?);
        let mut items = catalog::NewItems::new(list);
        let mut own_files = 0_u64;
        for item in items.by_ref() {
            let item = item.map_err(|error| SyncError::Unreadable(error.to_string()))?;
            // What was fetched was written by somebody else, who has no business in the files of this host.
            if is_foreign && is_of_this_host(&item.stream_url) {
                own_files += 1;
            } else {
                staging.push(&item).map_err(of_disk)?;
            }
        }
        let (left_out, guides) = (items.left_out(), items.guides().clone());
        let mut staged = staging.finish().map_err(of_disk)?;
        let (count, id) = (staged.count(), reading.playlist_id);
        let begun = store.call(move |database| {
            if !database.playlist(id).is_ok_and(|now| now.url == url) {
                return Err(SyncError::Changed);
            }
            match database.check_size(count, reading)? {
                Some(ignored) => Ok(Err(ignored)),
                None => Ok(Ok(database.begin_refresh(reading)?)),
            }
        })?;
        let mut refresh = match begun {
            Ok(refresh) => refresh,
            Err(outcome) => return Ok(TakenIn { outcome, left_out, guides, own_files }),
        };
        loop {
            let mut entries = staged.take(STEP_ITEMS_MAX).map_err(of_disk)?;
            let are_last = entries.len() < STEP_ITEMS_MAX;
            let mut progress = Progress::Unfinished;
            while progress == Progress::Unfinished {
                (refresh, entries, progress) = store.call(move |database| {
                    let progress = database.merge(&mut refresh, &mut entries, are_last)?;
                    Ok::<_, StoreError>((refresh, entries, progress))
                })?;
            }
            if are_last {
                break;
            }
        }
        let mut progress = Progress::Unfinished;
        while progress == Progress::Unfinished {
            (refresh, progress) = store.call(move |database| {
                let progress = database.finish_refresh(&mut refresh)?;
                Ok::<_, StoreError>((refresh, progress))
            })?;
        }
        let applied = store.call(move |database| database.apply_rules(search, reading.at))?;
        report_applied(&applied);
        Ok(TakenIn { outcome: refresh.into_outcome(), left_out, guides, own_files })
    }
}

/// What rules have made of it.
pub(super) fn report_applied(applied: &Applied) {
    let Applied { made, removed, sources, complaints } = applied;
    if made + removed + sources > 0 {
        log::info!("rules: {made} channels made, {removed} removed, {sources} sources added");
    }
    complaints.iter().for_each(|complaint| log::warn!("{complaint}"));
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
fn report_left_out(name: &str, left_out: LeftOut) {
    let LeftOut { long_lines, long_urls, entries_without_url, urls_without_entry, latin1_lines } = left_out;
    if left_out != LeftOut::default() {
        log::warn!(
            "left out of {name}: {entries_without_url} entries without an address, {urls_without_entry} addresses \
             without an entry, {long_lines} lines and {long_urls} addresses that are too long; {latin1_lines} lines were read \
             as Latin-1"
        );
    }
}
