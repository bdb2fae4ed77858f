//! `/ui/`: the pages, and what their forms do. All of it works without scripts: a form is answered with the way back to a page, which
//! shows what has come of it.

mod acts;
mod shows;

use std::rc::Rc;

use serde_json::Value;

use crate::control::admin::call::Call;
use crate::control::page::{self, PageFile, View};
use crate::control::state::State;
use crate::http::{Method, Response};

use super::numbers::{number, viewer};

/// A path under `/ui/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageRoute {
    Now,
    File(PageFile),
    Channels,
    Channel(i64),
    OfChannel(i64, ChannelAct),
    OfSource(i64, i64, SourceAct),
    Add,
    Playlists,
    OfPlaylist(i64, PlaylistAct),
    History,
    System,
    Kick(u64, u64),
}

/// What is done to a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ChannelAct {
    Switch,
    Change,
    Move,
    Remove,
    Recover,
    Forget,
}

/// What is done to a source of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SourceAct {
    Switch,
    Move,
    Remove,
}

/// What is done to a playlist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PlaylistAct {
    Read,
    Switch,
    Remove,
}

impl PageRoute {
    /// By the pieces of the path behind `/ui/`.
    pub(super) fn find(pieces: &[&str]) -> Option<Self> {
        Some(match *pieces {
            [""] => Self::Now,
            ["now.css"] => Self::File(PageFile::Style),
            ["now.js"] => Self::File(PageFile::Script),
            ["player.js"] => Self::File(PageFile::Player),
            ["icon.svg"] => Self::File(PageFile::Icon),
            ["channels"] => Self::Channels,
            ["channels", channel] => Self::Channel(number(channel)?),
            ["channels", channel, act] => Self::OfChannel(
                number(channel)?,
                match act {
                    "switch" => ChannelAct::Switch,
                    "change" => ChannelAct::Change,
                    "move" => ChannelAct::Move,
                    "remove" => ChannelAct::Remove,
                    "recover" => ChannelAct::Recover,
                    "forget" => ChannelAct::Forget,
                    _ => return None,
                },
            ),
            ["channels", channel, "sources", source, act] => Self::OfSource(
                number(channel)?,
                number(source)?,
                match act {
                    "switch" => SourceAct::Switch,
                    "move" => SourceAct::Move,
                    "remove" => SourceAct::Remove,
                    _ => return None,
                },
            ),
            ["add"] => Self::Add,
            ["playlists"] => Self::Playlists,
            ["playlists", playlist, act] => Self::OfPlaylist(
                number(playlist)?,
                match act {
                    "read" => PlaylistAct::Read,
                    "switch" => PlaylistAct::Switch,
                    "remove" => PlaylistAct::Remove,
                    _ => return None,
                },
            ),
            ["history"] => Self::History,
            ["system"] => Self::System,
            ["viewers", id, "kick"] => {
                let (session, viewer) = viewer(id)?;
                Self::Kick(session, viewer)
            }
            _ => return None,
        })
    }

    pub(super) const fn methods(self) -> &'static [Method] {
        match self {
            Self::Now | Self::File(_) | Self::Channels | Self::Channel(_) | Self::History | Self::System => {
                &[Method::Get, Method::Head]
            }
            Self::Add | Self::Playlists => &[Method::Get, Method::Head, Method::Post],
            Self::OfChannel(..) | Self::OfSource(..) | Self::OfPlaylist(..) | Self::Kick(..) => {
                &[Method::Post]
            }
        }
    }

    /// The page on which its form stands.
    fn home(self) -> String {
        match self {
            Self::Now | Self::File(_) | Self::Kick(..) | Self::OfChannel(_, ChannelAct::Recover) => {
                "/ui/".to_owned()
            }
            Self::Channels | Self::OfChannel(..) => "/ui/channels".to_owned(),
            Self::Channel(channel) | Self::OfSource(channel, ..) => format!("/ui/channels/{channel}"),
            Self::Add => "/ui/add".to_owned(),
            Self::Playlists | Self::OfPlaylist(..) => "/ui/playlists".to_owned(),
            Self::History => "/ui/history".to_owned(),
            Self::System => "/ui/system".to_owned(),
        }
    }
}

/// A page, or what a form has done. Whoever reads pages is told in one what was not done.
pub(super) async fn serve(call: &Call, state: &Rc<State>, route: PageRoute) -> Result<Response, Response> {
    let served = if call.method() == Method::Post {
        act(call, state, route).await
    } else {
        show(call, state, route).await
    };
    let reads_pages = call.header("accept").is_some_and(|accepted| accepted.contains("text/html"));
    served.map_err(|refused| {
        if !reads_pages {
            return refused;
        }
        let back = back(call).unwrap_or_else(|| route.home());
        page::problem(&state.params.identity.friendly_name, refused.status(), &sentence(&refused), &back)
    })
}

async fn show(call: &Call, state: &State, route: PageRoute) -> Result<Response, Response> {
    let query = |name: &str| call.query(name);
    match route {
        PageRoute::Now => shows::live(state, View::Now).await,
        PageRoute::File(file) => Ok(file.answer(call.header("if-none-match"))),
        PageRoute::Channels => shows::channels(call, state).await,
        PageRoute::Channel(channel) => shows::live(state, View::of_channel(channel, &query)).await,
        PageRoute::Add => shows::add(call, state).await,
        PageRoute::Playlists => shows::live(state, View::of_playlists(&query)).await,
        PageRoute::History => shows::live(state, View::of_history(&query)).await,
        PageRoute::System => shows::live(state, View::System).await,
        PageRoute::OfChannel(..)
        | PageRoute::OfSource(..)
        | PageRoute::OfPlaylist(..)
        | PageRoute::Kick(..) => {
            unreachable!("`check` has let its methods pass")
        }
    }
}

async fn act(call: &Call, state: &Rc<State>, route: PageRoute) -> Result<Response, Response> {
    let to = match route {
        PageRoute::OfChannel(channel, act) => {
            match act {
                ChannelAct::Switch => acts::switch_channel(call, state, channel).await?,
                ChannelAct::Change => acts::change_channel(call, state, channel).await?,
                ChannelAct::Move => acts::move_channel(call, state, channel).await?,
                ChannelAct::Remove => acts::remove_channel(state, channel).await?,
                ChannelAct::Recover => acts::recover(state, channel).await?,
                ChannelAct::Forget => acts::forget(state, channel).await?,
            }
            None
        }
        PageRoute::OfSource(channel, source, act) => {
            match act {
                SourceAct::Switch => acts::switch_source(call, state, channel, source).await?,
                SourceAct::Move => acts::move_source(call, state, channel, source).await?,
                SourceAct::Remove => acts::remove_source(state, channel, source).await?,
            }
            None
        }
        PageRoute::Add => Some(format!("/ui/channels/{}", acts::add(call, state).await?)),
        PageRoute::Playlists => {
            acts::add_playlist(call, state).await?;
            None
        }
        PageRoute::OfPlaylist(playlist, act) => {
            match act {
                PlaylistAct::Read => acts::read_playlist(state, playlist).await?,
                PlaylistAct::Switch => acts::switch_playlist(call, state, playlist).await?,
                PlaylistAct::Remove => acts::remove_playlist(state, playlist).await?,
            }
            None
        }
        PageRoute::Kick(session, viewer) => {
            acts::kick(state, session, viewer).await?;
            None
        }
        PageRoute::Now
        | PageRoute::File(_)
        | PageRoute::Channels
        | PageRoute::Channel(_)
        | PageRoute::History
        | PageRoute::System => unreachable!("`check` has let its methods pass"),
    };
    let to = to.or_else(|| back(call)).unwrap_or_else(|| route.home());
    Ok(Response::new(303).header("Location", &to))
}

/// The page of ours that a form names as the one to come back to.
fn back(call: &Call) -> Option<String> {
    let is_ours = |to: &String| {
        to.starts_with("/ui/") && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    call.form("back").filter(is_ours)
}

/// The sentence of a refusal.
fn sentence(refused: &Response) -> String {
    let body = refused.body_bytes();
    let of_json = serde_json::from_slice::<Value>(body).ok().and_then(|value| {
        let sentence = value.get("error")?.as_str()?;
        Some(sentence.to_owned())
    });
    of_json.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

#[cfg(test)]
mod tests;
