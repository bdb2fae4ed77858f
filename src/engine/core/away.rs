//! Viewers of channels that live on another core.
//!
//! A connection stays on the core that has accepted it. That core asks the channel's own to let it join, which counts it; from then on
//! it is served here, and the channel's core is told what it must know.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::engine::connection::{Asked, LetIn};
use crate::engine::context::post::ToChannel;
use crate::engine::context::token::{ChannelRef, ConnectionRef, Token};
use crate::engine::outlet::Newcomer;
use crate::engine::port::ids::{CoreId, SessionId};
use crate::engine::port::messages::{CoreCommand, OutletMail};
use crate::engine::port::outlets::{JoinRequest, Joined, News, OutletWord, ToHome};
use crate::http::StreamError;
use crate::ring::Lent;
use crate::session::history::CloseReason;
use crate::uring::Driver;

use super::Core;

/// The side of the viewers.
impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Somebody who is counted as a viewer asks for a channel of another core.
    pub(super) fn ask_home(&mut self, home: CoreId, peer: SocketAddr, asked: Asked) {
        let Asked { connection, channel, duration, via, takes_interim } = asked;
        self.connections.await_join(&self.cx, connection, duration, takes_interim);
        log::debug!(
            "channel {} of core {} is asked for by core {}",
            channel.guide_number,
            home.0,
            self.cx.id.0
        );
        let request =
            JoinRequest { core: self.cx.id, connection: connection.0, peer, channel: channel.id, via };
        if self.cx.tell_core(home, outlets(OutletWord::Join(request))).is_err() {
            self.connections.not_let_in(&mut self.cx, connection, StreamError::ViewerLimit);
        }
    }

    /// Delivers what outlets here have to tell channels elsewhere. None is lost, and each core hears it in order; what a full mailbox
    /// refuses is tried again next turn.
    pub(super) fn deliver_home(&mut self) {
        while let Some((core, at, word)) = self.cx.post.next_for_home() {
            let to_home = outlets(OutletWord::ToHome { core: self.cx.id, at: at.0, word });
            if self.cx.tell_core(core, to_home).is_err() {
                return self.cx.post.put_back_for_home(core, at, word);
            }
        }
    }

    /// An outlet here has something to tell its channel elsewhere.
    pub(super) fn on_word_away(&mut self, at: ChannelRef, word: ToChannel) {
        let Some(away) = self.stations.away_mut(at) else { return };
        match word {
            ToChannel::Left(number, reason) => {
                away.tell_left(&mut self.cx, number, reason);
                self.forget_away_if_empty(at);
            }
            ToChannel::Promised(offset) => away.tell_home(&mut self.cx, ToHome::Promised(offset)),
            ToChannel::Admitted(reply) => away.tell_home(&mut self.cx, ToHome::Admitted(reply)),
            ToChannel::Fetched => unreachable!("segments are fetched where the channel is"),
        }
    }

    fn forget_away_if_empty(&mut self, at: ChannelRef) {
        if let Some(away) = self.stations.remove_if_empty(at) {
            self.cx.retire(away.view().ring());
        }
    }

    /// A channel elsewhere has something to tell its viewers here.
    fn on_news(&mut self, home: (CoreId, ChannelRef), session: SessionId, mut news: News) {
        let known = self.stations.of_away(session);
        let at = match (known, news.sight.take()) {
            (Some(at), sight) => {
                if let Some((away, sight)) = self.stations.away_mut(at).zip(sight) {
                    away.see(&mut self.cx, *sight);
                }
                Some(at)
            }
            (None, Some(sight)) if !news.joined.is_empty() => {
                self.stations.open_away(&self.cx, home, session, *sight)
            }
            // Its last viewer here has left, and that is on its way.
            (None, Some(_) | None) => return,
        };
        for joined in std::mem::take(&mut news.joined) {
            self.on_let_in(home, at, &joined);
        }
        let Some(at) = at else { return };
        if let Some(away) = self.stations.away_mut(at) {
            away.hear(&mut self.cx, &news);
        }
        self.forget_away_if_empty(at);
    }

    /// Somebody may join a channel elsewhere, and does if he is still there.
    fn on_let_in(&mut self, home: (CoreId, ChannelRef), at: Option<ChannelRef>, joined: &Joined) {
        let away = at.and_then(|at| self.stations.away_mut(at));
        let refusal = if self.draining.is_some() { StreamError::Draining } else { StreamError::ViewerLimit };
        let away = away.filter(|_| self.draining.is_none());
        if let Some(away) = away
            && let Some(LetIn { taken, duration, takes_interim }) =
                self.connections.let_in(ConnectionRef(joined.connection))
        {
            let newcomer = Newcomer {
                handle: taken.handle,
                peer: taken.peer,
                is_local: taken.is_local,
                duration,
                takes_interim,
                number: Some(joined.number),
            };
            return away.join(&mut self.cx, newcomer, joined.is_reused);
        }
        self.connections.not_let_in(&mut self.cx, ConnectionRef(joined.connection), refusal);
        let left = ToHome::Left(joined.number, CloseReason::HttpContextCanceled);
        self.cx.post.tell_home(home.0, home.1, left);
    }
}

/// The side of the channels.
impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Another core has something to say about viewers.
    pub(super) fn on_outlet_word(&mut self, word: OutletWord) {
        match word {
            OutletWord::Join(request) => {
                let (core, connection) = (request.core, request.connection);
                if let Err(error) = self.join_away(request) {
                    let refusal = outlets(OutletWord::NotJoined(connection, error));
                    // Whoever is not told waits for as long as it may, and is refused then.
                    let _full = self.cx.tell_core(core, refusal);
                }
            }
            OutletWord::NotJoined(connection, error) => {
                self.connections.not_let_in(&mut self.cx, ConnectionRef(connection), error);
            }
            OutletWord::News { home, at, session, news } => {
                self.on_news((home, ChannelRef(at)), session, *news)
            }
            OutletWord::ToHome { core, at, word } => {
                let at = ChannelRef(at);
                let heard =
                    self.stations.get_mut(at).and_then(|(_, outlets)| outlets.hear(self.cx.now, core, word));
                if let Some(word) = heard {
                    self.on_word(at, word);
                }
            }
        }
    }

    /// Somebody on another core asks for a channel that lives here.
    fn join_away(&mut self, request: JoinRequest) -> Result<(), StreamError> {
        let listing = self.cx.lineup.channel(request.channel).ok_or(StreamError::ChannelNotFound)?;
        let (at, is_reused, first_actions) = self.session_of(&Arc::clone(listing))?;
        let Some((channel, outlets)) = self.stations.get_mut(at) else {
            unreachable!("the index names channels that exist")
        };
        let number = outlets.join_away(&mut self.cx, &request, is_reused);
        channel.joined(&mut self.cx, outlets, number, request.via);
        channel.perform_first(&mut self.cx, outlets, first_actions);
        Ok(())
    }

    /// Tells outlets elsewhere what their channel has to say. What a full mailbox refuses is tried again next turn.
    pub(super) fn tell_news(&mut self, at: ChannelRef) {
        let (id, lost) = (self.cx.id, self.cx.time.lost());
        let Some((channel, all)) = self.stations.get_mut(at) else { return };
        while let Some((core, news)) = all.take_news(channel.feed(), lost) {
            let word = OutletWord::News { home: id, at: at.0, session: channel.id(), news: Box::new(news) };
            if let Err(CoreCommand::Outlets(OutletMail(OutletWord::News { news, .. }))) =
                self.cx.tell_core(core, outlets(word))
            {
                all.put_back(core, *news);
                self.untold.push(at);
                return;
            }
        }
    }

    /// Tries again to tell what mailboxes have refused.
    pub(super) fn tell_untold(&mut self) {
        for at in std::mem::take(&mut self.untold) {
            self.tell_news(at);
        }
    }
}

const fn outlets<F>(word: OutletWord) -> CoreCommand<F> {
    CoreCommand::Outlets(OutletMail(word))
}
