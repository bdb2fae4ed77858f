//! New connections: from accept to the place where they belong.

use std::time::Duration;

use crate::base::limits::REQUEST_HEAD_BYTES_MAX;
use crate::base::{HeapBytes, Instant};
use crate::http::request::{self, Parsed, Request};
use crate::http::{Response, Route, StreamError, Via, stream_error, stream_head_only, stream_route};
use crate::ring::Lent;
use crate::session::history::CloseReason;
use crate::uring::{Driver, Event, Hangup, Operation};

use crate::engine::connection::client::{Client, ClientKey, ClientState};
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::messages::{ControlRequest, CoreCommand, CoreId, HandedConnection};
use crate::engine::port::placement;

/// The first receive of a request head: enough for every player known.
const HEAD_FIRST_BYTES: usize = 2048;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn on_connection(&mut self, socket: D::Descriptor) {
        self.counters.accepted += 1;
        if let Some(key) = self.take_in(socket) {
            self.receive_head(key, HEAD_FIRST_BYTES);
        }
    }

    /// Gives a connection a place. Without one it is closed, which is all a peer can be told then.
    fn take_in(&mut self, socket: D::Descriptor) -> Option<ClientKey> {
        let handle = self.driver.adopt(socket).ok()?;
        let Ok((peer, local)) = self.driver.addresses(handle) else {
            self.driver.close(handle, Hangup::Finish);
            return None;
        };
        let is_local = peer.ip() == local.ip() || peer.ip().is_loopback();
        let client = Client { handle, peer, is_local, state: ClientState::Reading(Vec::new()) };
        match self.clients.insert(client) {
            Ok(key) => {
                let deadline = self.intake_deadline();
                self.intake.push_back((deadline, key));
                Some(key)
            }
            Err(client) => {
                self.driver.close(client.handle, Hangup::Finish);
                None
            }
        }
    }

    fn receive_head(&mut self, key: ClientKey, bytes: usize) {
        self.in_haste = true;
        let Some(client) = self.clients.get(key) else { return };
        let into = Lent::Heap(HeapBytes::zeroed(bytes));
        let receive = Operation::Receive { socket: client.handle, into };
        if self.driver.push(receive, Token::RequestHead(key.into())).is_err() {
            self.close_client(key);
        }
    }

    pub(crate) fn on_request_head(&mut self, key: ClientKey, event: Event<Lent, D::Descriptor>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Event::Done { result, memory: Some(Lent::Heap(received)) } = event else {
            unreachable!("a head is received into the connection's own bytes")
        };
        let count = match result {
            Ok(count) if count > 0 => count as usize,
            Ok(_) | Err(_) => return self.close_client(key),
        };
        let ClientState::Reading(bytes) = &mut client.state else {
            unreachable!("a head is received while it is read")
        };
        bytes.extend_from_slice(&received.as_slice()[..count]);
        match request::parse(bytes) {
            Ok(Parsed::NeedMore) => {
                let room = REQUEST_HEAD_BYTES_MAX.saturating_sub(bytes.len()).max(1);
                self.receive_head(key, room);
            }
            Ok(Parsed::Complete { request, .. }) => {
                let bytes = std::mem::take(bytes);
                self.route(key, &request, bytes);
            }
            Err(error) => {
                self.counters.refused += 1;
                let mut reply = Vec::new();
                Response::text(error.status(), &error.to_string()).write_last(&mut reply);
                self.reply(key, reply);
            }
        }
    }

    fn route(&mut self, key: ClientKey, request: &Request, bytes: Vec<u8>) {
        match stream_route(request) {
            Route::Control => self.hand_to_control(key, bytes),
            Route::StreamError(error) => self.refuse(key, error),
            Route::MethodNotAllowed => self.refuse(key, StreamError::MethodNotAllowed),
            Route::Stream { guide_number, head_only, duration } => {
                let Some(channel) = self.lineup.find(&guide_number).map(std::sync::Arc::clone) else {
                    return self.refuse(key, StreamError::ChannelNotFound);
                };
                if head_only {
                    let mut reply = Vec::new();
                    stream_head_only(&mut reply);
                    return self.reply(key, reply);
                }
                let via = Via::of(request);
                if via.names(&self.params.own.name) {
                    log::warn!(
                        "channel {guide_number}: a request of this very server has come back to it; refused"
                    );
                    return self.refuse(key, StreamError::RequestLoop);
                }
                let home = placement::home(channel.id, self.params.cores);
                if home == self.id {
                    self.join(key, &channel, duration, via);
                } else {
                    self.hand_to_core(key, home, bytes);
                }
            }
        }
    }

    fn handed(&mut self, key: ClientKey, bytes: Vec<u8>) -> Option<HandedConnection<D::Descriptor>> {
        let client = self.clients.remove(key)?;
        let Ok((peer, local)) = self.driver.addresses(client.handle) else {
            self.driver.close(client.handle, Hangup::Finish);
            return None;
        };
        let socket = self.driver.detach(client.handle);
        Some(HandedConnection { socket, bytes, peer, local })
    }

    fn hand_to_control(&mut self, key: ClientKey, bytes: Vec<u8>) {
        let Some(connection) = self.handed(key, bytes) else { return };
        self.counters.handed_to_control += 1;
        if let Err(refused) = self.control.request(ControlRequest::Connection(connection)) {
            let ControlRequest::Connection(connection) = *refused else {
                unreachable!("a connection was offered")
            };
            self.turn_away(connection);
        }
    }

    fn hand_to_core(&mut self, key: ClientKey, home: CoreId, bytes: Vec<u8>) {
        let Some(connection) = self.handed(key, bytes) else { return };
        self.counters.handed_to_cores += 1;
        let mailbox = &self.cores[usize::from(home.0)];
        if let Err(full) = mailbox.send(CoreCommand::Viewer(connection)) {
            let CoreCommand::Viewer(connection) = full.0 else { unreachable!("a viewer was sent") };
            self.turn_away(connection);
        }
    }

    /// Another thread had no room for a connection: it gets 503 from here.
    fn turn_away(&mut self, connection: HandedConnection<D::Descriptor>) {
        self.counters.queue_full += 1;
        if let Some(key) = self.take_in(connection.socket) {
            self.refuse(key, StreamError::ViewerLimit);
        }
    }

    /// A stream request that another core has accepted for a channel that lives here.
    pub(crate) fn on_handed_viewer(&mut self, connection: HandedConnection<D::Descriptor>) {
        let Some(key) = self.take_in(connection.socket) else { return };
        match request::parse(&connection.bytes) {
            Ok(Parsed::Complete { request, .. }) => self.route(key, &request, connection.bytes),
            Ok(Parsed::NeedMore) | Err(_) => unreachable!("the other core has parsed this head"),
        }
    }

    /// Answers with an error of the stream routes and closes.
    pub(crate) fn refuse(&mut self, key: ClientKey, error: StreamError) {
        self.counters.refused += 1;
        let mut reply = Vec::new();
        stream_error(&mut reply, error);
        self.reply(key, reply);
    }

    fn reply(&mut self, key: ClientKey, bytes: Vec<u8>) {
        let until = self.intake_deadline();
        let Some(client) = self.clients.get_mut(key) else { return };
        // A peer that reads nothing does not keep its place.
        client.state = ClientState::Replying { until };
        let send = Operation::Send { socket: client.handle, from: Lent::Heap(HeapBytes::from_vec(bytes)) };
        if self.driver.push(send, Token::Reply(key.into())).is_err() {
            self.close_client(key);
            return;
        }
        self.intake.push_back((until, key));
    }

    pub(crate) fn on_reply(&mut self, key: ClientKey, event: Event<Lent, D::Descriptor>) {
        let Event::Done { result, memory: Some(Lent::Heap(sent)) } = event else {
            unreachable!("a reply is bytes of its own")
        };
        let count = result.unwrap_or(0) as usize;
        let mut rest = sent.into_vec();
        if count == 0 || count >= rest.len() {
            self.close_client(key);
        } else {
            rest.drain(..count);
            self.reply(key, rest);
        }
    }

    pub(crate) fn on_intake_timeout(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        match client.state {
            ClientState::Reading(_) => self.close_client(key),
            ClientState::Replying { until } if until <= self.now => self.close_client(key),
            // It has got somewhere; other limits hold there.
            ClientState::Replying { .. } | ClientState::Waiting { .. } | ClientState::Viewing(_) => {}
        }
    }

    /// Closes a connection that is in no session.
    pub(crate) fn close_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.remove(key) else { return };
        debug_assert!(client.session().is_none(), "a viewer leaves its session first");
        self.driver.close(client.handle, Hangup::Finish);
    }

    /// Notices when the peer goes. Armed once a connection waits or watches; until then its receive does it.
    pub(crate) fn watch_for_hangup(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get(key) else { return };
        let poll = Operation::AwaitHangup { socket: client.handle };
        if self.driver.push(poll, Token::Hangup(key.into())).is_err() {
            // The next failing send, or the sweep, will notice.
            self.counters.queue_full += 1;
        }
    }

    pub(crate) fn on_hangup(&mut self, key: ClientKey) {
        if self.clients.get(key).is_some() {
            self.leave(key, Hangup::Reset, CloseReason::HttpContextCanceled);
        }
    }

    pub(crate) fn duration_limit(&self, duration: Option<Duration>) -> Option<Instant> {
        duration.map(|duration| self.now + duration)
    }
}
