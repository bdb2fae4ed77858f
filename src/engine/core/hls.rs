//! What players of HTTP Live Streaming ask for. Their requests are short, any cache may answer for us, and a player's next one comes to
//! whichever core the kernel likes: so each is handed to the channel's own core, where its lists and segments are.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::engine::connection::HlsAsked;
use crate::engine::context::token::Token;
use crate::engine::outlet::fetches::segment_bytes;
use crate::engine::outlet::hls::ListRequest;
use crate::hls::SessionName;
use crate::http::{HlsPart, StreamError, Via, hls_not_found, hls_segment_head};
use crate::lineup;
use crate::ring::Lent;
use crate::uring::Driver;

use super::Core;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// A part of a channel that lives here is asked for.
    pub(super) fn on_hls(&mut self, asked: HlsAsked) {
        let HlsAsked { connection, persistence, .. } = asked;
        let result = match asked.part {
            HlsPart::List(ref session) => {
                let session = session.clone();
                self.list(asked, session)
            }
            HlsPart::Segment { stream, sequence } => self.segment(&asked, stream, sequence),
            HlsPart::Unknown => Err(None),
        };
        match result {
            Ok(()) => {}
            Err(Some(error)) => self.connections.refuse(&mut self.cx, connection, error),
            Err(None) => {
                let mut answer = Vec::new();
                hls_not_found(&mut answer, persistence);
                self.connections.answer(&mut self.cx, connection, answer, persistence);
            }
        }
    }

    /// Whoever asks for a list is a viewer.
    fn list(&mut self, asked: HlsAsked, session: Option<String>) -> Result<(), Option<StreamError>> {
        let HlsAsked { connection, channel, via, user_agent, token, persistence, .. } = asked;
        let Some((peer, is_local)) = self.connections.who(connection) else {
            unreachable!("a connection asks while it is there")
        };
        let is_new = session.is_none();
        let name = match session {
            Some(text) => SessionName::new(&text).ok_or(None)?,
            None => self.name_for(&channel, peer, &user_agent),
        };
        let mut request = ListRequest { connection, name, is_new, token, persistence };
        self.connections.await_answer(&self.cx, connection);
        if self.sent_away.has(&request.name, self.cx.now) {
            return Err(Some(StreamError::SentAway));
        }
        if let Some((channel, outlets)) =
            self.stations.of_channel(channel.id).and_then(|at| self.stations.get_mut(at))
        {
            match outlets.ask_for_list(&mut self.cx, channel.feed_for_lists(), peer, request) {
                Ok(()) => {
                    self.settle();
                    return Ok(());
                }
                Err(not_yet) => request = not_yet,
            }
        }
        if self.draining.is_some() {
            return Err(Some(StreamError::Draining));
        }
        self.cx.viewer_joins(peer.ip(), is_local)?;
        let joined = self.join_hls(&channel, peer, &user_agent, via, request);
        if joined.is_err() {
            self.cx.viewer_leaves(peer.ip());
        }
        self.settle();
        joined.map_err(Some)
    }

    fn join_hls(
        &mut self,
        channel: &Arc<lineup::Channel>,
        peer: SocketAddr,
        user_agent: &str,
        via: Via,
        request: ListRequest,
    ) -> Result<(), StreamError> {
        if self.cx.is_saturated() {
            return Err(StreamError::Saturated);
        }
        let (at, is_reused, first_actions) = self.session_of(channel)?;
        let Some((channel, outlets)) = self.stations.get_mut(at) else {
            unreachable!("the index names channels that exist")
        };
        if !outlets.hls().has_room() {
            return Err(StreamError::MaxSubscribers);
        }
        let who = (request.name.clone(), peer, user_agent);
        let number = outlets.join_hls(&mut self.cx, channel.feed(), who, is_reused);
        let asked = outlets.ask_for_list(&mut self.cx, channel.feed_for_lists(), peer, request);
        assert!(asked.is_ok(), "it has just become a viewer");
        channel.joined(&mut self.cx, outlets, number, via);
        // Only now: a tuner may be granted on the spot, and one that comes for nobody is given back.
        channel.perform_first(&mut self.cx, outlets, first_actions);
        Ok(())
    }

    /// The name of somebody who has none, and asks perhaps for the second time.
    fn name_for(&mut self, channel: &lineup::Channel, peer: SocketAddr, user_agent: &str) -> SessionName {
        let station = self.stations.of_channel(channel.id).and_then(|at| self.stations.get_mut(at));
        let known = station.and_then(|(_, outlets)| outlets.hls().nameless(peer.ip(), user_agent).cloned());
        known.unwrap_or_else(|| self.new_name(peer))
    }

    /// A name that no other viewer has: it stands in addresses, opens nothing, and need not be secret.
    fn new_name(&mut self, peer: SocketAddr) -> SessionName {
        self.names_given += 1;
        let mut hasher = DefaultHasher::new();
        let now = self.cx.clock_now();
        (self.cx.params.own.unix_ms(now), now.as_nanos(), self.cx.id.0, self.names_given, peer)
            .hash(&mut hasher);
        SessionName::new(&format!("{:016x}", hasher.finish())).expect("digits are a name")
    }

    /// Somebody wants a segment. `Err(None)` when it is not there, or not any more.
    fn segment(&mut self, asked: &HlsAsked, stream: u64, sequence: u64) -> Result<(), Option<StreamError>> {
        let at = self.stations.of_channel(asked.channel.id).ok_or(None)?;
        let (channel, outlets) = self.stations.get_mut(at).ok_or(None)?;
        let feed = channel.feed();
        let segment = feed.segment(sequence).filter(|_| feed.stream() == stream).ok_or(None)?;
        if asked.head_only {
            let mut answer = Vec::new();
            hls_segment_head(&mut answer, asked.persistence, segment_bytes(segment));
            self.connections.answer(&mut self.cx, asked.connection, answer, asked.persistence);
            return Ok(());
        }
        let Some(taken) = self.connections.take(asked.connection) else {
            unreachable!("a connection asks while it is there")
        };
        // Each page of the ring is sent to all viewers, of either kind, within some seconds.
        let viewers = outlets.count() + outlets.hls().count();
        outlets.own_mut().fetch(&mut self.cx, feed.view(), (taken, asked.persistence), viewers, segment);
        Ok(())
    }
}
