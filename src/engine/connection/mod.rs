//! Connections that are not viewers: from accept to the place where they belong, or to a reply that says why not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{CONNECTIONS_PER_CORE_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_HEAD_TIMEOUT};
use crate::base::{Arena, HeapBytes, Instant, Key};
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::post::Taken;
use crate::engine::context::token::{ConnectionRef, Token};
use crate::engine::port::messages::{ControlRequest, CoreCommand, HandedConnection};
use crate::engine::port::placement;
use crate::engine::report::refusals::tune_rejected;
use crate::http::request::{self, Parsed, Request, Version};
use crate::http::{
    HlsPart, HlsWant, ListKind, Persistence, RequestError, Response, Route, StreamError, Via,
    hls_list_head_only, hls_permission, stream_error, stream_head_only, stream_route,
};
use crate::lineup;
use crate::ring::Lent;
use crate::uring::{Event, Handle, Hangup, Operation};

/// The first receive of a request head: enough for every player known.
const HEAD_FIRST_BYTES: usize = 2048;

type ConnectionKey = Key<Connection>;

/// One connection.
struct Connection {
    handle: Handle,
    peer: SocketAddr,
    /// The peer is on this host.
    is_local: bool,
    /// The guide number of the channel that it asks for.
    asks_for: Option<String>,
    /// It must have got somewhere by then.
    until: Instant,
    state: ConnectionState,
}

/// What a connection is doing.
enum ConnectionState {
    /// Its request head is being received; these bytes have come so far.
    Reading(Vec<u8>),
    /// It is counted as a viewer, and another core is asked to let it join.
    Joining { duration: Option<Duration>, takes_interim: bool },
    /// What it asks for is to be had before long, and then it is answered.
    Awaiting,
    /// It is being answered.
    Replying(Persistence),
}

/// A core's connections.
pub(crate) struct Connections {
    arena: Arena<Connection>,
    /// In the order in which they were accepted or replied to, with the time by which they must have got somewhere. Those that have a
    /// later time now, or are gone, still stand here.
    intake: VecDeque<(Instant, ConnectionKey)>,
    /// Whoever is answered is closed.
    is_draining: bool,
}

/// There are no more than so many entries of the intake for each connection, and this many.
const INTAKE_PER_CONNECTION: usize = 8;
const INTAKE_MORE: usize = 1024;

/// A request for the stream of a channel.
pub(crate) struct Asked {
    /// Who asks. The connection is taken or refused by whoever is told.
    pub(crate) connection: ConnectionRef,
    pub(crate) channel: Arc<lineup::Channel>,
    /// How long it wants to watch.
    pub(crate) duration: Option<Duration>,
    /// The servers that have sent it on.
    pub(crate) via: Via,
    /// It knows interim answers.
    pub(crate) takes_interim: bool,
}

/// A request for a part of a channel as HTTP Live Streaming. The connection is answered, taken or refused by whoever is told.
pub(crate) struct HlsAsked {
    pub(crate) connection: ConnectionRef,
    pub(crate) channel: Arc<lineup::Channel>,
    pub(crate) part: HlsPart,
    /// The head of the answer alone is wanted.
    pub(crate) head_only: bool,
    /// The servers that have sent it on.
    pub(crate) via: Via,
    /// What the client calls itself.
    pub(crate) user_agent: String,
    /// The word that opens streams, as it stands in the request.
    pub(crate) token: Option<String>,
    /// What becomes of the connection when it is answered.
    pub(crate) persistence: Persistence,
}

/// What is asked for.
pub(crate) enum Wanted {
    Stream(Asked),
    Hls(HlsAsked),
}

/// A connection that leaves to become a viewer's, since another core has let it join.
pub(crate) struct LetIn {
    pub(crate) taken: Taken,
    /// How long it wants to watch.
    pub(crate) duration: Option<Duration>,
    /// It knows interim answers.
    pub(crate) takes_interim: bool,
}

impl Connections {
    pub(crate) const fn new() -> Self {
        Self {
            arena: Arena::with_limit(CONNECTIONS_PER_CORE_MAX),
            intake: VecDeque::new(),
            is_draining: false,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.arena.count()
    }

    /// The time by which the next one must have got somewhere.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.intake.front().map(|(at, _)| *at)
    }

    /// A listener has accepted one.
    pub(crate) fn accepted<D: CoreDriver>(&mut self, cx: &mut Cx<D>, socket: D::Descriptor) {
        cx.counters.accepted += 1;
        if let Some(key) = self.take_in(cx, socket) {
            self.receive_head(cx, key, HEAD_FIRST_BYTES);
        }
    }

    /// Gives a connection a place. Without one it is closed, which is all a peer can be told then.
    fn take_in<D: CoreDriver>(&mut self, cx: &mut Cx<D>, socket: D::Descriptor) -> Option<ConnectionKey> {
        let Ok(handle) = cx.driver.adopt(socket) else {
            cx.counters.refused += 1;
            cx.counters.refused_at_bound += 1;
            return None;
        };
        let Ok((peer, local)) = cx.driver.addresses(handle) else {
            cx.driver.close(handle, Hangup::Finish);
            return None;
        };
        let is_local = peer.ip() == local.ip() || peer.ip().is_loopback();
        if !self.has_room(cx) || !cx.take_place() {
            cx.counters.refused += 1;
            cx.counters.refused_at_bound += 1;
            cx.driver.close(handle, Hangup::Finish);
            return None;
        }
        Some(self.insert_reading(cx, handle, peer, is_local))
    }

    fn insert_reading<D: CoreDriver>(
        &mut self,
        cx: &Cx<D>,
        handle: Handle,
        peer: SocketAddr,
        is_local: bool,
    ) -> ConnectionKey {
        let until = cx.now + REQUEST_HEAD_TIMEOUT;
        let state = ConnectionState::Reading(Vec::new());
        let key = self.insert(Connection { handle, peer, is_local, asks_for: None, until, state });
        self.remember(until, key);
        key
    }

    /// A connection has got somewhere, and has time until then for what is next.
    fn goes_on<D: CoreDriver>(&mut self, cx: &Cx<D>, key: ConnectionKey, state: ConnectionState) {
        let until = cx.now + REQUEST_HEAD_TIMEOUT;
        let Some(connection) = self.arena.get_mut(key) else { return };
        (connection.until, connection.state) = (until, state);
        self.remember(until, key);
    }

    fn remember(&mut self, until: Instant, key: ConnectionKey) {
        self.forget_gone();
        if self.intake.len() >= INTAKE_PER_CONNECTION * self.arena.count() + INTAKE_MORE {
            let arena = &self.arena;
            self.intake.retain(|(at, key)| arena.get(*key).is_some_and(|kept| kept.until == *at));
        }
        self.intake.push_back((until, key));
    }

    /// True when there is room for a newcomer, which the one makes that has asked for nothing for the longest time.
    fn has_room<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> bool {
        if self.arena.count() < cx.newcomers_max() {
            return true;
        }
        let is_reading = |(at, key): &&(Instant, ConnectionKey)| {
            let connection = self.arena.get(*key).filter(|connection| connection.until == *at);
            connection.is_some_and(|connection| matches!(connection.state, ConnectionState::Reading(_)))
        };
        let Some((_, oldest)) = self.intake.iter().find(is_reading).copied() else { return false };
        cx.counters.refused += 1;
        cx.counters.refused_at_bound += 1;
        self.close(cx, oldest);
        true
    }

    /// Those who have got somewhere need not be looked at when their time has come: a crowd that comes at once would be
    /// remembered for that long.
    fn forget_gone(&mut self) {
        while self.intake.front().is_some_and(|(_, key)| self.arena.get(*key).is_none()) {
            self.intake.pop_front();
        }
    }

    fn insert(&mut self, connection: Connection) -> ConnectionKey {
        let Ok(key) = self.arena.insert(connection) else {
            unreachable!("there are as many places as the core counts")
        };
        key
    }

    fn receive_head<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ConnectionKey, bytes: usize) {
        cx.sends.wake_now();
        let Some(connection) = self.arena.get(key) else { return };
        let into = Lent::Heap(HeapBytes::zeroed(bytes));
        let receive = Operation::Receive { socket: connection.handle, into };
        if cx.driver.push(receive, Token::RequestHead(at(key))).is_err() {
            self.close(cx, key);
        }
    }

    /// Part of a request head has come. Gives what is asked for, once that is known and is to be had here.
    pub(crate) fn on_request_head<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        connection: ConnectionRef,
        event: Event<Lent, D::Descriptor>,
    ) -> Option<Wanted> {
        let key = ConnectionKey::from_bits(connection.0);
        let connection = self.arena.get_mut(key)?;
        let Event::Done { result, memory: Some(Lent::Heap(received)) } = event else {
            unreachable!("a head is received into the connection's own bytes")
        };
        let count = match result {
            Ok(count) if count > 0 => count as usize,
            Ok(_) | Err(_) => {
                self.close(cx, key);
                return None;
            }
        };
        let ConnectionState::Reading(bytes) = &mut connection.state else {
            unreachable!("a head is received while it is read")
        };
        bytes.extend_from_slice(&received.as_slice()[..count]);
        match request::parse(bytes) {
            Ok(Parsed::NeedMore) => {
                let room = REQUEST_HEAD_BYTES_MAX.saturating_sub(bytes.len()).max(1);
                self.receive_head(cx, key, room);
                None
            }
            Ok(Parsed::Complete { request, head_bytes }) => {
                let bytes = std::mem::take(bytes);
                self.route(cx, key, &request, (bytes, head_bytes))
            }
            // Whoever sends more than may be read has to be heard out, or it never sees the answer.
            Err(RequestError::HeadTooLarge) => {
                cx.counters.refused += 1;
                let bytes = std::mem::take(bytes);
                self.hand_to_control(cx, key, bytes);
                None
            }
            Err(
                error @ (RequestError::Malformed | RequestError::Version | RequestError::TransferEncoding),
            ) => {
                cx.counters.refused += 1;
                let mut reply = Vec::new();
                Response::text(error.status(), &error.to_string()).write_last(&mut reply);
                self.reply(cx, key, reply);
                None
            }
        }
    }

    fn route<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        key: ConnectionKey,
        request: &Request,
        (bytes, head_bytes): (Vec<u8>, usize),
    ) -> Option<Wanted> {
        let route = stream_route(request);
        if let (Route::Stream { guide_number, .. } | Route::Hls { guide_number, .. }, Some(connection)) =
            (&route, self.arena.get_mut(key))
        {
            connection.asks_for = Some(guide_number.clone());
        }
        if matches!(route, Route::Stream { .. } | Route::Hls { want: HlsWant::Whole | HlsWant::Head, .. })
            && let Err(refused) = self.check_gate(cx, key, request)
        {
            self.refuse(cx, at(key), refused);
            return None;
        }
        let error = match route {
            Route::Control => {
                self.hand_to_control(cx, key, bytes);
                return None;
            }
            Route::Hls { guide_number, part, want } => {
                match self.route_hls(cx, key, request, (bytes, head_bytes), (&guide_number, part, want)) {
                    Ok(asked) => return asked.map(Wanted::Hls),
                    Err(error) => error,
                }
            }
            Route::StreamError(error) => error,
            Route::MethodNotAllowed => StreamError::MethodNotAllowed,
            Route::Stream { tuner: Some(tuner), .. } if tuner >= u32::from(cx.params.tuners) => {
                StreamError::TunerNotFound
            }
            Route::Stream { guide_number, tuner: _, head_only, duration } => {
                let channel = cx.lineup.find(&guide_number).map(Arc::clone);
                let via = Via::of(request);
                match channel {
                    None => StreamError::ChannelNotFound,
                    Some(_) if head_only => {
                        let mut reply = Vec::new();
                        stream_head_only(&mut reply);
                        self.reply(cx, key, reply);
                        return None;
                    }
                    Some(_) if via.names(&cx.params.own.name) => {
                        log::warn!(
                            "channel {guide_number}: a request of this very server has come back to it; refused"
                        );
                        StreamError::RequestLoop
                    }
                    Some(channel) => {
                        let takes_interim = request.version() == Version::Http11;
                        let connection = at(key);
                        let asked = Asked { connection, channel, duration, via, takes_interim };
                        return Some(Wanted::Stream(asked));
                    }
                }
            }
        };
        self.refuse(cx, at(key), error);
        None
    }

    /// What is asked of a channel as HTTP Live Streaming, if it is to be had here. Where the channel lives elsewhere it is asked there.
    fn route_hls<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        key: ConnectionKey,
        request: &Request,
        (bytes, head_bytes): (Vec<u8>, usize),
        (guide_number, part, want): (&str, HlsPart, HlsWant),
    ) -> Result<Option<HlsAsked>, StreamError> {
        let mut reply = Vec::new();
        if want == HlsWant::Permission {
            hls_permission(&mut reply);
            self.reply(cx, key, reply);
            return Ok(None);
        }
        let channel = cx.lineup.find(guide_number).map(Arc::clone).ok_or(StreamError::ChannelNotFound)?;
        let via = Via::of(request);
        if via.names(&cx.params.own.name) {
            log::warn!("channel {guide_number}: a request of this very server has come back to it; refused");
            return Err(StreamError::RequestLoop);
        }
        let head_only = want == HlsWant::Head;
        if let (HlsPart::List(session), true) = (&part, head_only) {
            let kind = session.as_ref().map_or(ListKind::Master, |_| ListKind::Media);
            hls_list_head_only(&mut reply, kind);
            self.reply(cx, key, reply);
            return Ok(None);
        }
        let home = placement::home(channel.id, cx.params.cores);
        if home != cx.id {
            let Some(connection) = self.handed(cx, key, bytes) else { return Ok(None) };
            if let Err(refused) = cx.tell_core(home, CoreCommand::Viewer(connection)) {
                let CoreCommand::Viewer(connection) = refused else { unreachable!("a viewer was sent") };
                self.no_room_elsewhere(cx, connection);
            }
            return Ok(None);
        }
        let user_agent = request.header("user-agent").unwrap_or_default().to_owned();
        let token =
            request.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("token=")));
        let token = token.map(str::to_owned);
        let persistence = request.persistence(bytes.len() == head_bytes);
        let connection = at(key);
        Ok(Some(HlsAsked { connection, channel, part, head_only, via, user_agent, token, persistence }))
    }

    fn check_gate<D: CoreDriver>(
        &self,
        cx: &Cx<D>,
        key: ConnectionKey,
        request: &Request,
    ) -> Result<(), StreamError> {
        let (peer, is_local) = self.who(at(key)).ok_or(StreamError::NotAllowed)?;
        cx.params.gate.check(request, peer.ip(), is_local)
    }

    fn handed<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        key: ConnectionKey,
        bytes: Vec<u8>,
    ) -> Option<HandedConnection<D::Descriptor>> {
        let connection = self.arena.remove(key)?;
        cx.free_place();
        let Ok((peer, local)) = cx.driver.addresses(connection.handle) else {
            cx.driver.close(connection.handle, Hangup::Finish);
            return None;
        };
        let socket = cx.driver.detach(connection.handle);
        Some(HandedConnection { socket, bytes, peer, local })
    }

    fn hand_to_control<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ConnectionKey, bytes: Vec<u8>) {
        let Some(connection) = self.handed(cx, key, bytes) else { return };
        cx.counters.handed_to_control += 1;
        if let Err(refused) = cx.request(ControlRequest::Connection(connection)) {
            let ControlRequest::Connection(connection) = *refused else {
                unreachable!("a connection was offered")
            };
            self.no_room_elsewhere(cx, connection);
        }
    }

    /// A connection that is counted as a viewer waits for another core to let it join.
    pub(crate) fn await_join<D: CoreDriver>(
        &mut self,
        cx: &Cx<D>,
        connection: ConnectionRef,
        duration: Option<Duration>,
        takes_interim: bool,
    ) {
        let state = ConnectionState::Joining { duration, takes_interim };
        self.goes_on(cx, ConnectionKey::from_bits(connection.0), state);
    }

    /// Another core has let somebody join. Nothing when the connection does not wait for that any more.
    pub(crate) fn let_in(&mut self, connection: ConnectionRef) -> Option<LetIn> {
        let waiting = self.arena.get(ConnectionKey::from_bits(connection.0))?;
        let ConnectionState::Joining { duration, takes_interim } = waiting.state else { return None };
        let taken = self.take(connection)?;
        Some(LetIn { taken, duration, takes_interim })
    }

    /// A connection that waits for another core to let it join does not join.
    pub(crate) fn not_let_in<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        connection: ConnectionRef,
        error: StreamError,
    ) {
        let key = ConnectionKey::from_bits(connection.0);
        let Some(waiting) = self.arena.get(key) else { return };
        if matches!(waiting.state, ConnectionState::Joining { .. }) {
            cx.viewer_leaves(waiting.peer.ip());
            self.refuse(cx, connection, error);
        }
    }

    /// Another thread had no room for a connection: it gets 503 from here.
    fn no_room_elsewhere<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        connection: HandedConnection<D::Descriptor>,
    ) {
        if let Some(key) = self.take_in(cx, connection.socket) {
            self.refuse(cx, at(key), StreamError::ViewerLimit);
        }
    }

    /// A stream request that has come to control.
    pub(crate) fn on_handed<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        connection: HandedConnection<D::Descriptor>,
    ) -> Option<Wanted> {
        let key = self.take_in(cx, connection.socket)?;
        match request::parse(&connection.bytes) {
            Ok(Parsed::Complete { request, head_bytes }) => {
                self.route(cx, key, &request, (connection.bytes, head_bytes))
            }
            Ok(Parsed::NeedMore) | Err(_) => unreachable!("control has parsed this head"),
        }
    }

    /// Whose a connection is, and whether he is on this host.
    pub(crate) fn who(&self, connection: ConnectionRef) -> Option<(SocketAddr, bool)> {
        let connection = self.arena.get(ConnectionKey::from_bits(connection.0))?;
        Some((connection.peer, connection.is_local))
    }

    /// A connection leaves with its place, to become a viewer's.
    pub(crate) fn take(&mut self, connection: ConnectionRef) -> Option<Taken> {
        let Connection { handle, peer, is_local, .. } =
            self.arena.remove(ConnectionKey::from_bits(connection.0))?;
        Some(Taken { handle, peer, is_local })
    }

    /// Somebody who waited for a picture comes back with its place, and gets none.
    pub(crate) fn turned_away<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        handle: Handle,
        peer: SocketAddr,
        guide_number: String,
        error: StreamError,
    ) {
        let key = self.insert_reading(cx, handle, peer, false);
        if let Some(connection) = self.arena.get_mut(key) {
            connection.asks_for = Some(guide_number);
        }
        self.refuse(cx, at(key), error);
    }

    /// Answers with an error of the stream routes and closes.
    pub(crate) fn refuse<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        connection: ConnectionRef,
        error: StreamError,
    ) {
        cx.counters.refused += 1;
        let is_told = cx.counts_refusal(error);
        if let Some(refused) = self.arena.get(ConnectionKey::from_bits(connection.0)).filter(|_| is_told) {
            log::warn!("{}", tune_rejected(refused.asks_for.as_deref(), refused.peer, error));
        }
        let mut reply = Vec::new();
        stream_error(&mut reply, error);
        self.reply(cx, ConnectionKey::from_bits(connection.0), reply);
    }

    /// Somebody waits for an answer that is to come before long.
    pub(crate) fn await_answer<D: CoreDriver>(&mut self, cx: &Cx<D>, connection: ConnectionRef) {
        // Whoever has promised the answer is sooner.
        self.goes_on(cx, ConnectionKey::from_bits(connection.0), ConnectionState::Awaiting);
    }

    /// Answers, and closes or reads on.
    pub(crate) fn answer<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        connection: ConnectionRef,
        bytes: Vec<u8>,
        persistence: Persistence,
    ) {
        self.reply_and(cx, ConnectionKey::from_bits(connection.0), bytes, persistence);
    }

    /// Answers and closes.
    fn reply<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ConnectionKey, bytes: Vec<u8>) {
        self.reply_and(cx, key, bytes, Persistence::Close);
    }

    fn reply_and<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        key: ConnectionKey,
        bytes: Vec<u8>,
        persistence: Persistence,
    ) {
        let Some(connection) = self.arena.get(key) else { return };
        let from = Lent::Heap(HeapBytes::from_vec(bytes));
        let send = Operation::Send { socket: connection.handle, from };
        if cx.driver.push(send, Token::Reply(at(key))).is_err() {
            return self.close(cx, key);
        }
        // A peer that reads nothing does not keep its place.
        self.goes_on(cx, key, ConnectionState::Replying(persistence));
    }

    /// Somebody has got a segment, and comes back with its place to ask for more.
    pub(crate) fn served<D: CoreDriver>(&mut self, cx: &mut Cx<D>, taken: Taken) {
        let Taken { handle, peer, is_local } = taken;
        let key = self.insert_reading(cx, handle, peer, is_local);
        self.read_next(cx, key);
    }

    /// The next request of a connection that is kept. Whoever has none gives way to newcomers.
    fn read_next<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ConnectionKey) {
        if self.is_draining {
            return self.close(cx, key);
        }
        if let Some(connection) = self.arena.get_mut(key) {
            connection.asks_for = None;
        }
        self.goes_on(cx, key, ConnectionState::Reading(Vec::new()));
        self.receive_head(cx, key, HEAD_FIRST_BYTES);
    }

    /// A reply is out, or a part of it.
    pub(crate) fn on_reply<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        connection: ConnectionRef,
        event: Event<Lent, D::Descriptor>,
    ) {
        let Event::Done { result, memory: Some(Lent::Heap(sent)) } = event else {
            unreachable!("a reply is bytes of its own")
        };
        let key = ConnectionKey::from_bits(connection.0);
        let count = result.unwrap_or(0) as usize;
        let Some(connection) = self.arena.get(key) else { return };
        let ConnectionState::Replying(persistence) = connection.state else {
            unreachable!("a connection that is answered does nothing else")
        };
        let mut rest = sent.into_vec();
        if count > 0 && count < rest.len() {
            rest.drain(..count);
            self.reply_and(cx, key, rest, persistence);
        } else if count > 0 && persistence == Persistence::KeepAlive {
            self.read_next(cx, key);
        } else {
            self.close(cx, key);
        }
    }

    /// Ends those that have got nowhere in time.
    pub(crate) fn expire<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        while let Some((until, key)) = self.intake.front().copied().filter(|(until, _)| *until <= cx.now) {
            self.intake.pop_front();
            // It may have a later time now.
            let Some(connection) = self.arena.get(key).filter(|found| found.until == until) else { continue };
            match connection.state {
                ConnectionState::Reading(_) | ConnectionState::Replying(_) => self.close(cx, key),
                ConnectionState::Joining { .. } => self.not_let_in(cx, at(key), StreamError::ViewerLimit),
                ConnectionState::Awaiting => self.refuse(cx, at(key), StreamError::NoSegment),
            }
        }
    }

    fn close<D: CoreDriver>(&mut self, cx: &mut Cx<D>, key: ConnectionKey) {
        let Some(connection) = self.arena.remove(key) else { return };
        cx.driver.close(connection.handle, Hangup::Finish);
        cx.free_place();
    }

    /// Gives the memory back that a crowd has left behind.
    pub(crate) fn give_back(&mut self) {
        self.arena.give_back();
        self.forget_gone();
        self.intake.shrink_to_fit();
    }

    /// Those that have asked for nothing yet are closed, and so is whoever is answered from now on.
    pub(crate) fn drain<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        self.is_draining = true;
        let is_reading = |connection: &Connection| matches!(connection.state, ConnectionState::Reading(_));
        let reading: Vec<_> =
            self.arena.iter().filter(|(_, connection)| is_reading(connection)).map(|(key, _)| key).collect();
        for key in reading {
            self.close(cx, key);
        }
        let is_joining =
            |connection: &Connection| matches!(connection.state, ConnectionState::Joining { .. });
        let joining: Vec<_> =
            self.arena.iter().filter(|(_, connection)| is_joining(connection)).map(|(key, _)| key).collect();
        for key in joining {
            self.not_let_in(cx, at(key), StreamError::Draining);
        }
    }
}

fn at(key: ConnectionKey) -> ConnectionRef {
    ConnectionRef(key.to_bits())
}
