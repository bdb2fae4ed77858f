//! When guides are fetched, and when the one that players read is written anew.

use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::asking::params;
use super::make::{self, AskedGuide, Order, Outcome};
use super::shelf::Wanted;
use crate::base::{WallTime, redact};
use crate::catalog::guide::LineupChannel;
use crate::catalog::xtream::Login;
use crate::control::playlist::{permille, until};
use crate::control::schedule::{Pace, Timing};
use crate::control::state::State;
use crate::http::RequestHeaders;
use crate::store::StoreError;

/// Changes come in heaps: one that is made waits so long for the next.
const SETTLE: Duration = Duration::from_secs(1);

/// Keeps the guide up to date for as long as the program runs.
pub(in crate::control) async fn keep(state: Rc<State>) {
    let guides = &state.params.guides;
    let Some(folder) = guides.folder.clone() else { return };
    let mut pace = Pace::new(guides.refresh.map(Timing::Every));
    let mut fetch_at = Some(state.wall_now());
    let mut written: Option<(Vec<LineupChannel>, Vec<String>)> = None;
    loop {
        match state.ask_store::<_, StoreError>(|database| database.playlists()).await {
            Ok(playlists) => {
                let enabled = playlists.into_iter().filter(|playlist| playlist.is_enabled);
                state.guides().set_playlists(enabled.map(|playlist| playlist.playlist_id).collect());
            }
            Err(error) => log::warn!("which playlists there are cannot be read: {error}"),
        }
        let wanted = state.guides().wanted(guides);
        if wanted.is_empty() && !guides.has_placeholders {
            if state.guides().has_none(guides) {
                // Nobody names one any more.
                make::clear(&folder);
                written = None;
            }
            state.guides().changed().await;
            continue;
        }
        let is_due = fetch_at.is_some_and(|at| at <= state.wall_now());
        let lineup = match lineup(&state).await {
            Ok(lineup) => lineup,
            Err(error) => {
                log::warn!("the guide is not written: {error}");
                sleep(SETTLE).await;
                continue;
            }
        };
        let of = (lineup, wanted.iter().map(|wanted| wanted.url.clone()).collect());
        if is_due || written.as_ref() != Some(&of) {
            let is_read = work(&state, &wanted, of.0.clone(), is_due).await;
            written = Some(of);
            if is_due || !is_read {
                let wait = pace.next(state.wall_now(), &TimeZone::system(), is_read, permille());
                fetch_at = wait.map(|wait| state.wall_now().after(wait));
                state.guides().set_next(fetch_at);
            }
        }
        let due = async {
            match fetch_at {
                Some(at) => until(&state, at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = state.guides().changed() => sleep(SETTLE).await,
            () = due => {}
        }
    }
}

async fn lineup(state: &State) -> Result<Vec<LineupChannel>, StoreError> {
    let rows = state.ask_store::<_, StoreError>(|database| database.guide_rows()).await?;
    let mut lineup = LineupChannel::all(rows);
    lineup.truncate(state.params.lineup_max.unwrap_or(usize::MAX));
    Ok(lineup)
}

/// Fetches and writes. True when every guide that was due was read.
async fn work(state: &State, wanted: &[Wanted], lineup: Vec<LineupChannel>, is_due: bool) -> bool {
    let guides = &state.params.guides;
    let Some(folder) = guides.folder.clone() else { return true };
    let order = Order {
        folder,
        guides: wanted.iter().map(|wanted| asked(state, wanted, is_due)).collect(),
        lineup,
        now: seconds(state.wall_now()),
        has_placeholders: guides.has_placeholders,
        clock: state.clock,
    };
    let Some(outcome) = on_a_thread(order).await else { return false };
    let now = state.wall_now();
    let mut is_read = true;
    for (wanted, outcome) in wanted.iter().zip(outcome.guides) {
        if let Some(Err(error)) = &outcome.fetched {
            is_read = false;
            log::warn!("the guide {} was not read: {error}", redact::url(&wanted.url));
        }
        state.guides().looked_at(&wanted.url, outcome, now);
    }
    match outcome.made {
        Ok(counts) => {
            log::info!(
                "the guide was written: {} programmes for {} of {} channels",
                counts.programmes,
                counts.channels_with_programmes,
                counts.channels
            );
            log::debug!(
                "left out of the guide: {} programmes that overlap others, {} that are long over or far away",
                counts.overlaps,
                counts.out_of_range
            );
            state.guides().set_made(now, counts);
        }
        Err(error) => {
            is_read = false;
            log::warn!("the guide was not written: {error}");
        }
    }
    is_read
}

/// Nobody else is on this thread: reading a long guide takes a while.
async fn on_a_thread(order: Order) -> Option<Outcome> {
    let (sender, answer) = oneshot::channel();
    let work = move || {
        // Nobody waits any more when the process ends.
        let _unheard = sender.send(make::make(order));
    };
    if let Err(error) = std::thread::Builder::new().name("guide".to_owned()).spawn(work) {
        log::warn!("the guide is not written: {error}");
        return None;
    }
    // The panic hook has said why there is no answer.
    answer.await.ok()
}

fn asked(state: &State, wanted: &Wanted, is_due: bool) -> AskedGuide {
    let is_new = state.guides().is_new(&wanted.url);
    let account = Login::parse(&wanted.url).and_then(Result::ok).map(|login| login.guide());
    let (url, params) = match (&wanted.params, account) {
        (Some(params), _) => (wanted.url.clone(), params.clone()),
        (None, Some(url)) => (url, params(state, RequestHeaders::NONE)),
        (None, None) => {
            let (url, headers) = crate::catalog::m3u::split_address(&wanted.url);
            (url.to_owned(), params(state, headers))
        }
    };
    AskedGuide {
        url,
        params,
        known: state.guides().validators(&wanted.url),
        shift_seconds: wanted.shift_seconds,
        default_shift_seconds: wanted.default_shift_seconds,
        is_due: is_due || is_new,
    }
}

fn seconds(at: WallTime) -> i64 {
    i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX)
}
