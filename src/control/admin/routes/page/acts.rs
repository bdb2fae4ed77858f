//! What the forms of pages do: the same as the routes of the API, from fields instead of JSON.

use std::rc::Rc;

use crate::control::admin::call::{Call, refusal};
use crate::control::admin::routes::{channel_refusal, channels, health, playlists, recovery, viewers};
use crate::control::playlist;
use crate::control::state::State;
use crate::http::Response;
use crate::lineup::ChannelId;
use crate::store::{ChannelChange, ChannelError, Database, NewChannel, NewPlaylist, PlaylistChange};

type Done = Result<(), Response>;

/// A field that has to be there.
fn field(call: &Call, name: &str) -> Result<String, Response> {
    call.form(name).ok_or_else(|| refusal(400, &format!("the field {name} is missing or blank")))
}

fn enabled(call: &Call) -> Result<bool, Response> {
    match field(call, "enabled")?.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(refusal(400, &format!("enabled cannot be {other:?}; allowed: true, false"))),
    }
}

/// Where something is to be moved to among others.
#[derive(Clone, Copy)]
enum To {
    Up,
    Down,
    First,
    Last,
}

impl To {
    fn of(call: &Call) -> Result<Self, Response> {
        match field(call, "to")?.as_str() {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            "first" => Ok(Self::First),
            "last" => Ok(Self::Last),
            other => Err(refusal(400, &format!("to cannot be {other:?}; allowed: up, down, first, last"))),
        }
    }

    /// The others in their new order; nothing when it is there already, or is not among them.
    fn moved(self, mut ids: Vec<i64>, id: i64) -> Option<Vec<i64>> {
        let from = ids.iter().position(|other| *other == id)?;
        let to = match self {
            Self::Up => from.checked_sub(1)?,
            Self::Down => from + 1,
            Self::First => 0,
            Self::Last => ids.len() - 1,
        };
        if to == from || to >= ids.len() {
            return None;
        }
        ids.remove(from);
        ids.insert(to, id);
        Some(ids)
    }
}

/// Has the store change channels, and tells the cores.
async fn change<R: Send + 'static>(
    state: &State,
    change: impl FnOnce(&mut Database) -> Result<R, ChannelError> + Send + 'static,
) -> Result<R, Response> {
    let changed = state.ask_store(change).await.map_err(|error| channel_refusal(&error))?;
    channels::publish(state).await?;
    Ok(changed)
}

pub(super) async fn switch_channel(call: &Call, state: &State, channel: i64) -> Done {
    let switched = ChannelChange { enabled: Some(enabled(call)?), ..ChannelChange::default() };
    let now = state.wall_now();
    change(state, move |database| database.update_channel(channel, &switched, now)).await.map(drop)
}

pub(super) async fn change_channel(call: &Call, state: &State, channel: i64) -> Done {
    let renamed = ChannelChange {
        guide_number: Some(field(call, "guide_number")?),
        guide_name: Some(field(call, "guide_name")?),
        ..ChannelChange::default()
    };
    let now = state.wall_now();
    change(state, move |database| database.update_channel(channel, &renamed, now)).await.map(drop)
}

pub(super) async fn move_channel(call: &Call, state: &State, channel: i64) -> Done {
    let to = To::of(call)?;
    change(state, move |database| {
        database.channel(channel)?;
        let ids = database.channels()?.iter().map(|channel| channel.channel_id).collect();
        to.moved(ids, channel).map_or(Ok(()), |ids| database.reorder_channels(&ids))
    })
    .await
}

pub(super) async fn remove_channel(state: &State, channel: i64) -> Done {
    change(state, move |database| database.delete_channel(channel)).await
}

pub(super) async fn recover(state: &State, channel: i64) -> Done {
    recovery::ask(state, ChannelId(channel), recovery::REASON_DEFAULT).await
}

pub(super) async fn forget(state: &Rc<State>, channel: i64) -> Done {
    health::clear(state, channel).await.map(drop)
}

pub(super) async fn kick(state: &State, session: u64, viewer: u64) -> Done {
    viewers::kick(state, session, viewer).await.map(drop)
}

pub(super) async fn switch_source(call: &Call, state: &State, channel: i64, source: i64) -> Done {
    let (enabled, now) = (enabled(call)?, state.wall_now());
    change(state, move |database| database.set_source_enabled(channel, source, enabled, now)).await.map(drop)
}

pub(super) async fn move_source(call: &Call, state: &State, channel: i64, source: i64) -> Done {
    let (to, now) = (To::of(call)?, state.wall_now());
    change(state, move |database| {
        let sources = database.channel(channel)?.sources;
        let ids: Vec<i64> = sources.iter().map(|source| source.source_id).collect();
        if !ids.contains(&source) {
            return Err(ChannelError::SourceNotFound { channel_id: channel, source_id: source });
        }
        to.moved(ids, source).map_or(Ok(()), |ids| database.reorder_sources(channel, &ids, now))
    })
    .await
}

pub(super) async fn remove_source(state: &State, channel: i64, source: i64) -> Done {
    let now = state.wall_now();
    change(state, move |database| database.remove_source(channel, source, now)).await
}

/// Makes a channel of an entry, or adds that to one as a source. Gives the channel.
pub(super) async fn add(call: &Call, state: &State) -> Result<i64, Response> {
    let item_key = field(call, "item_key")?;
    let (now, guide_start) = (state.wall_now(), state.params.guide_start);
    match call.form("as").as_deref() {
        None | Some("channel") => {
            let new = NewChannel {
                item_key,
                guide_number: call.form("guide_number"),
                guide_name: call.form("guide_name"),
                ..NewChannel::default()
            };
            let made = change(state, move |database| database.create_channel(&new, guide_start, now)).await?;
            Ok(made.channel_id)
        }
        Some("source") => {
            let number = field(call, "of")?;
            let all = |database: &mut Database| database.channels();
            let all = state.ask_store(all).await.map_err(|error| super::super::store_refusal(&error))?;
            let found = all.iter().find(|channel| channel.guide_number == number);
            let channel = found.map(|channel| channel.channel_id).ok_or_else(|| {
                refusal(404, &format!("no channel has the number {number:?}; the page Channels names all"))
            })?;
            change(state, move |database| database.add_source(channel, &item_key, None, now)).await?;
            Ok(channel)
        }
        Some(other) => Err(refusal(400, &format!("as cannot be {other:?}; allowed: channel, source"))),
    }
}

pub(super) async fn add_playlist(call: &Call, state: &Rc<State>) -> Done {
    let tuners = call.form("tuners").map(|text| {
        let wrong = |_no_number| {
            refusal(400, &format!("tuners cannot be {text:?}; allowed: a whole number, or nothing for all"))
        };
        text.parse().map_err(wrong)
    });
    let new = NewPlaylist {
        name: field(call, "name")?,
        url: field(call, "url")?,
        tuners: tuners.transpose()?,
        user_agent: None,
        is_enabled: true,
    };
    playlists::make(state, new).await.map(drop)
}

/// The page shows that it is being read.
pub(super) async fn read_playlist(state: &Rc<State>, playlist_id: i64) -> Done {
    let known = state.ask_store(move |database| database.playlist(playlist_id)).await;
    let known = known.map_err(|error| channel_refusal(&error))?;
    if !known.is_enabled {
        return Err(refusal(409, "the playlist is switched off; switch it on to read it"));
    }
    playlist::read_in_background(state, playlist_id);
    Ok(())
}

pub(super) async fn switch_playlist(call: &Call, state: &Rc<State>, playlist_id: i64) -> Done {
    let change = PlaylistChange { is_enabled: Some(enabled(call)?), ..PlaylistChange::default() };
    playlists::alter(state, playlist_id, change).await.map(drop)
}

pub(super) async fn remove_playlist(state: &Rc<State>, playlist_id: i64) -> Done {
    playlists::delete(state, playlist_id).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_ends_where_it_is_wanted_and_nothing_leaves_the_list() {
        for (to, id, expected) in [
            (To::Up, 2, Some(vec![2, 1, 3])),
            (To::Down, 2, Some(vec![1, 3, 2])),
            (To::First, 3, Some(vec![3, 1, 2])),
            (To::Last, 1, Some(vec![2, 3, 1])),
            (To::Up, 1, None),
            (To::Down, 3, None),
            (To::First, 1, None),
            (To::Up, 9, None),
        ] {
            assert_eq!(to.moved(vec![1, 2, 3], id), expected);
        }
        assert_eq!(To::Last.moved(Vec::new(), 1), None);
    }
}
