//! The client's states and what moves it between them.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::limits::UPSTREAM_REDIRECTS_MAX;
use crate::base::{Errno, Instant};
use crate::http::{CookieJar, Framing, ResponseHead, Url};
use crate::source::direct::exchange::{BodyPart, End, Exchange, Kept};
use crate::source::direct::refusal::Refusal;
use crate::source::direct::steps::{Params, Part, Want};
use crate::source::error::{Kind, SourceError};

enum ClientState {
    Resolving,
    Connecting {
        address: SocketAddr,
        others: VecDeque<SocketAddr>,
        deadline: Instant,
    },
    /// `is_reused`: on a connection of before.
    Awaiting {
        exchange: Box<Exchange>,
        deadline: Instant,
        is_reused: bool,
    },
    Refused {
        exchange: Box<Exchange>,
        refusal: Refusal,
    },
    Streaming {
        exchange: Box<Exchange>,
        peer_closed: bool,
    },
    /// After a redirect, or when a connection of before has turned out to be closed.
    Reconnecting,
    Finished {
        kept: Option<Box<Kept>>,
    },
    Failed(SourceError),
}

/// One request for one source.
pub struct Client {
    params: Params,
    url: Url,
    /// The host that the source's address names.
    origin: String,
    part: Part,
    /// The status of an answer that is a stream.
    status: Option<u16>,
    /// What the answer calls its body.
    content_type: Option<String>,
    /// How long it says that its body is.
    length: Option<u64>,
    /// Which part of the whole it calls its body, as sent.
    content_range: Option<String>,
    /// Which state of what was asked for it is: `ETag` and `Last-Modified`, as sent.
    validators: (Option<String>, Option<String>),
    redirects: u32,
    deadline: Instant,
    state: ClientState,
}

impl Client {
    /// A client that has done nothing yet.
    ///
    /// # Errors
    /// When the address is no HTTP(S) URL.
    pub fn new(url: &str, params: Params, now: Instant) -> Result<Self, SourceError> {
        let url = Url::parse(url).map_err(|error| {
            SourceError::new(Kind::Unusable, &format!("create upstream request: {error}"))
        })?;
        let deadline = now + params.startup_timeout;
        let origin = url.host().to_owned();
        let state = ClientState::Resolving;
        let part = Part::default();
        let mut client = Self {
            params,
            url,
            origin,
            part,
            status: None,
            content_type: None,
            length: None,
            content_range: None,
            validators: (None, None),
            redirects: 0,
            deadline,
            state,
        };
        client.resolve(now);
        Ok(client)
    }

    /// The same for a part of what the source is. Said before anything is done.
    #[must_use]
    pub fn with_part(mut self, mut part: Part) -> Self {
        if let Some(origin) = part.origin.take() {
            self.origin = origin;
        }
        Self { part, ..self }
    }

    /// The same on a connection of before, which serves its address. If that is closed, or says nothing for half of the time,
    /// a new one is made.
    #[must_use]
    pub fn resume(mut self, kept: Box<Kept>, now: Instant) -> Self {
        let is_origin = self.url.host() == self.origin;
        if let Ok(exchange) = Exchange::again(now, *kept, &self.url, &self.params, &self.part, is_origin) {
            let deadline = (now + self.params.header_timeout / 2).min(self.deadline);
            self.state = ClientState::Awaiting { exchange: Box::new(exchange), deadline, is_reused: true };
        }
        self
    }

    /// The connection, when the body is complete and another request may follow on it.
    pub const fn take_kept(&mut self) -> Option<Box<Kept>> {
        match &mut self.state {
            ClientState::Finished { kept } => kept.take(),
            ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Awaiting { .. }
            | ClientState::Refused { .. }
            | ClientState::Streaming { .. }
            | ClientState::Reconnecting
            | ClientState::Failed(_) => None,
        }
    }

    /// What is to be done next. Ask again after every report.
    #[must_use]
    pub fn want(&self) -> Want<'_> {
        match &self.state {
            ClientState::Resolving => {
                Want::Resolve { host: self.url.host(), port: self.url.port_or_default() }
            }
            ClientState::Connecting { address, .. } => Want::Connect(*address),
            ClientState::Awaiting { exchange, .. }
            | ClientState::Refused { exchange, .. }
            | ClientState::Streaming { exchange, .. }
                if !exchange.outgoing().is_empty() =>
            {
                Want::Send
            }
            ClientState::Streaming { exchange, .. } if exchange.waiting() > 0 => Want::TakeBody,
            ClientState::Streaming { exchange, .. } if exchange.may_receive_in_place() => Want::ReceiveBody,
            ClientState::Awaiting { .. } | ClientState::Refused { .. } | ClientState::Streaming { .. } => {
                Want::ReceivePrivate
            }
            ClientState::Reconnecting => Want::Reconnect,
            ClientState::Finished { .. } => Want::Finished,
            ClientState::Failed(_) => Want::Failed,
        }
    }

    /// Where it is, after redirects.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// What the source's servers have set, before and on this way.
    #[must_use]
    pub const fn cookies(&self) -> &CookieJar {
        &self.params.cookies
    }

    /// The status of the answer, once the upstream has agreed to stream.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// What the answer calls its body, as sent.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// How long the answer says that its body is.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Which part of the whole the answer calls its body, as sent.
    #[must_use]
    pub fn content_range(&self) -> Option<&str> {
        self.content_range.as_deref()
    }

    /// Which state of what was asked for the answer is: `ETag` and `Last-Modified`, as sent.
    #[must_use]
    pub fn validators(&self) -> (Option<&str>, Option<&str>) {
        (self.validators.0.as_deref(), self.validators.1.as_deref())
    }

    /// Why it failed, when it did.
    #[must_use]
    pub const fn failure(&self) -> Option<&SourceError> {
        match &self.state {
            ClientState::Failed(failure) => Some(failure),
            ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Awaiting { .. }
            | ClientState::Refused { .. }
            | ClientState::Streaming { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. } => None,
        }
    }

    /// True from the moment the upstream has agreed to stream.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.state, ClientState::Streaming { .. })
    }

    /// When [`Client::expire`] is to be called. A stream has none: whether it flows is not judged here.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            ClientState::Resolving => Some(self.deadline),
            ClientState::Connecting { deadline, .. } | ClientState::Awaiting { deadline, .. } => {
                Some(*deadline)
            }
            ClientState::Refused { refusal, .. } => Some(refusal.deadline()),
            ClientState::Streaming { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_) => None,
        }
    }

    /// The addresses of the host, or why there are none.
    pub fn resolved(&mut self, now: Instant, addresses: Result<Vec<SocketAddr>, String>) {
        match (&self.state, addresses) {
            (ClientState::Resolving, Ok(addresses)) => {
                let addresses = addresses.into_iter().take(ADDRESSES_MAX).collect();
                let host = self.url.host();
                let none = SourceError::request(Kind::Unresolved, format!("{host} has no address"));
                self.connect(now, addresses, none);
            }
            (ClientState::Resolving, Err(what)) => {
                self.fail(SourceError::request(Kind::Unresolved, what));
            }
            // A slow answer may come after the deadline.
            (
                ClientState::Connecting { .. }
                | ClientState::Awaiting { .. }
                | ClientState::Refused { .. }
                | ClientState::Streaming { .. }
                | ClientState::Reconnecting
                | ClientState::Finished { .. }
                | ClientState::Failed(_),
                _,
            ) => {}
        }
    }

    /// The socket asked for is connected, or cannot be. After a failure the next attempt takes a new socket.
    pub fn connected(&mut self, now: Instant, outcome: Result<(), Errno>) {
        let ClientState::Connecting { address, others, .. } = &mut self.state else { return };
        let (address, others) = (*address, std::mem::take(others));
        match outcome {
            Ok(()) => {
                let is_origin = self.url.host() == self.origin;
                match Exchange::new(now, &self.url, &self.params, &self.part, is_origin) {
                    Ok(exchange) => {
                        let deadline = (now + self.params.header_timeout).min(self.deadline);
                        let exchange = Box::new(exchange);
                        self.state = ClientState::Awaiting { exchange, deadline, is_reused: false };
                    }
                    Err(failure) => self.fail(failure),
                }
            }
            Err(errno) => {
                let failure =
                    SourceError::request(Kind::Connection, format!("connect to {address}: {errno}"));
                self.connect(now, others, failure);
            }
        }
    }

    /// The address asked for is not to be connected to.
    pub fn refuse(&mut self, failure: SourceError) {
        if matches!(self.state, ClientState::Connecting { .. }) {
            self.fail(failure);
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        self.exchange().map_or(&[], Exchange::outgoing)
    }

    /// So many bytes of [`Client::outgoing`] were sent.
    pub fn sent(&mut self, count: usize) {
        // Without an exchange the connection was given up while the send was on its way.
        if let Some(exchange) = self.exchange_mut() {
            exchange.sent(count);
        }
    }

    /// Bytes came into the private buffer. None is the peer's end: [`Client::closed`].
    pub fn received(&mut self, now: Instant, bytes: &[u8]) {
        // Without an exchange the connection was given up while the bytes were on their way.
        match self.exchange_mut().map(|exchange| exchange.received(bytes)) {
            None => {}
            Some(Ok(())) => self.proceed(now),
            Some(Err(failure)) => self.break_off(failure),
        }
    }

    /// Bytes of the body came into the stream's memory. Their framing is removed where they are.
    pub fn body_in_place(&mut self, bytes: &mut [u8]) -> BodyPart {
        let ClientState::Streaming { exchange, .. } = &mut self.state else { return BodyPart::default() };
        assert!(exchange.may_receive_in_place() && exchange.waiting() == 0, "what waits comes first");
        let outcome = exchange.decode_in_place(bytes);
        self.settle(outcome)
    }

    /// Bytes that wait to be taken, at least as many as [`Client::take_body`] will give.
    #[must_use]
    #[cfg(test)]
    pub fn body_waiting(&self) -> usize {
        if self.is_streaming() { self.exchange().map_or(0, Exchange::waiting) } else { 0 }
    }

    /// Copies bytes of the body to where the stream goes. None may come even when some wait: they were framing.
    pub fn take_body(&mut self, into: &mut [u8]) -> usize {
        let ClientState::Streaming { exchange, .. } = &mut self.state else { return 0 };
        let outcome = exchange.take(into);
        self.settle(outcome).kept
    }

    /// The peer closed the connection.
    pub fn closed(&mut self) {
        match &mut self.state {
            ClientState::Awaiting { exchange, .. } => {
                let failure = if exchange.is_handshaking() {
                    SourceError::request(Kind::Tls, "connection closed during the TLS handshake")
                } else {
                    SourceError::request(Kind::Connection, "connection closed before the response")
                };
                self.break_off(failure);
            }
            ClientState::Refused { refusal, .. } => {
                let failure = refusal.failure();
                self.fail(failure);
            }
            ClientState::Streaming { peer_closed, .. } => {
                *peer_closed = true;
                self.settle(Ok(BodyPart::default()));
            }
            // No connection, or one that is not wanted any more.
            ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_) => {}
        }
    }

    /// The connection broke.
    pub fn lost(&mut self, errno: Errno) {
        match &mut self.state {
            ClientState::Awaiting { .. } => self.break_off(SourceError::request(Kind::Connection, errno)),
            ClientState::Refused { refusal, .. } => {
                let failure = refusal.failure();
                self.fail(failure);
            }
            ClientState::Streaming { .. } => {
                self.fail(SourceError::new(Kind::Connection, &format!("upstream connection lost: {errno}")));
            }
            // No connection, or one that is not wanted any more.
            ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_) => {}
        }
    }

    /// The socket that was to be closed is closed.
    pub fn disconnected(&mut self, now: Instant) {
        if matches!(self.state, ClientState::Reconnecting) {
            self.resolve(now);
        }
    }

    /// Time passed.
    pub fn expire(&mut self, now: Instant) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.state {
            ClientState::Connecting { .. } if now < self.deadline => {
                self.connected(now, Err(Errno::TIMEDOUT))
            }
            ClientState::Refused { refusal, .. } => {
                let failure = refusal.failure();
                self.fail(failure);
            }
            ClientState::Resolving => {
                let host = self.url.host();
                self.fail(SourceError::request(
                    Kind::Unresolved,
                    format!("name look-up of {host}: no answer in time"),
                ));
            }
            ClientState::Connecting { .. } | ClientState::Awaiting { .. } => {
                let text = "startup timeout waiting for upstream response headers";
                self.break_off(SourceError::new(Kind::Timeout, text));
            }
            state @ (ClientState::Streaming { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_)) => {
                unreachable!("no deadline is armed in {state:?}")
            }
        }
    }
}

impl Client {
    fn fail(&mut self, failure: SourceError) {
        self.state = ClientState::Failed(failure);
    }

    /// The answer does not come. On a connection of before that says nothing of the server: it may have been closed long since.
    fn break_off(&mut self, failure: SourceError) {
        match &self.state {
            ClientState::Awaiting { exchange, is_reused: true, .. } if exchange.is_unanswered() => {
                self.state = ClientState::Reconnecting;
            }
            ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Awaiting { .. }
            | ClientState::Refused { .. }
            | ClientState::Streaming { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_) => self.fail(failure),
        }
    }

    const fn exchange(&self) -> Option<&Exchange> {
        match &self.state {
            ClientState::Awaiting { exchange, .. }
            | ClientState::Refused { exchange, .. }
            | ClientState::Streaming { exchange, .. } => Some(exchange),
            ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_) => None,
        }
    }

    const fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match &mut self.state {
            ClientState::Awaiting { exchange, .. }
            | ClientState::Refused { exchange, .. }
            | ClientState::Streaming { exchange, .. } => Some(exchange),
            ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_) => None,
        }
    }

    fn resolve(&mut self, now: Instant) {
        self.state = ClientState::Resolving;
        if let Ok(address) = self.url.host().parse() {
            self.resolved(now, Ok(vec![SocketAddr::new(address, self.url.port_or_default())]));
        }
    }

    /// Tries the next address. Each gets its share of the time, so that one that is silent does not use up all.
    fn connect(&mut self, now: Instant, mut addresses: VecDeque<SocketAddr>, otherwise: SourceError) {
        let count = u32::try_from(addresses.len()).expect("at most ADDRESSES_MAX").max(1);
        let share = (self.deadline.since(now) / count).max(CONNECT_SHARE_MIN);
        let deadline = (now + share.min(self.params.connect_timeout)).min(self.deadline);
        match addresses.pop_front() {
            Some(address) => self.state = ClientState::Connecting { address, others: addresses, deadline },
            None => self.fail(otherwise),
        }
    }

    /// Looks at what came in.
    fn proceed(&mut self, now: Instant) {
        let close_notify = self.exchange().is_some_and(Exchange::peer_closed);
        match &mut self.state {
            ClientState::Awaiting { exchange, .. } => match exchange.head() {
                Ok(Some(head)) => self.answered(now, &head),
                Ok(None) if close_notify => self.closed(),
                Ok(None) => {}
                Err(failure) => self.fail(failure),
            },
            ClientState::Refused { exchange, refusal } => {
                if refusal.collect(exchange) || close_notify {
                    let failure = refusal.failure();
                    self.fail(failure);
                }
            }
            ClientState::Streaming { .. } => {
                self.settle(Ok(BodyPart::default()));
            }
            state @ (ClientState::Resolving
            | ClientState::Connecting { .. }
            | ClientState::Reconnecting
            | ClientState::Finished { .. }
            | ClientState::Failed(_)) => unreachable!("bytes came in {state:?}"),
        }
    }

    /// The response's head is complete.
    fn answered(&mut self, now: Instant, head: &ResponseHead) {
        let before = std::mem::replace(&mut self.state, ClientState::Reconnecting);
        let ClientState::Awaiting { exchange, is_reused, .. } = before else {
            unreachable!("a head is awaited");
        };
        // That was said before the request came: the server has waited for one for too long.
        if is_reused && head.status == STATUS_REQUEST_TIMEOUT {
            return;
        }
        for field in &head.set_cookies {
            self.params.cookies.set(now, &self.url, field, head.date.as_deref());
        }
        match (head.status, &head.location) {
            (200..=299, _) if head.content_encoding.as_deref().is_some_and(|coding| !self.may_be(coding)) => {
                let coding: String = head
                    .content_encoding
                    .iter()
                    .flat_map(|coding| coding.chars())
                    .take(CODING_CHARS_MAX)
                    .collect();
                let text = format!("upstream sends its body compressed ({coding}), which was not asked for");
                self.fail(SourceError::new(Kind::Protocol, &text));
            }
            (status @ 200..=299, _) => {
                self.status = Some(status);
                self.content_type.clone_from(&head.content_type);
                self.length = match head.framing {
                    Framing::Length(bytes) => Some(bytes),
                    Framing::Chunked | Framing::UntilClose => None,
                };
                self.content_range.clone_from(&head.content_range);
                self.validators = (head.etag.clone(), head.last_modified.clone());
                self.state = ClientState::Streaming { exchange, peer_closed: false };
                self.settle(Ok(BodyPart::default()));
            }
            (301 | 302 | 303 | 307 | 308, Some(location)) => self.redirect(location),
            (status, _) => {
                let refusal = Refusal::new(status, head.retry_after, now, self.deadline.since(now));
                self.state = ClientState::Refused { exchange, refusal };
                self.proceed(now);
            }
        }
    }

    /// True for a coding that whoever reads the body knows.
    fn may_be(&self, coding: &str) -> bool {
        self.part.may_be_packed
            && ["gzip", "x-gzip"].iter().any(|known| known.eq_ignore_ascii_case(coding.trim()))
    }

    fn redirect(&mut self, location: &str) {
        if self.redirects == UPSTREAM_REDIRECTS_MAX {
            let text = format!("stopped after {UPSTREAM_REDIRECTS_MAX} redirects");
            return self.fail(SourceError::request(Kind::Redirect, text));
        }
        self.redirects += 1;
        match self.url.join(location) {
            Ok(url) => {
                self.url = url;
                self.state = ClientState::Reconnecting;
            }
            Err(error) => self.fail(SourceError::request(Kind::Redirect, format!("redirect: {error}"))),
        }
    }

    /// The body is complete.
    fn finish(&mut self) {
        let before = std::mem::replace(&mut self.state, ClientState::Finished { kept: None });
        if let ClientState::Streaming { exchange, peer_closed: false } = before {
            self.state = ClientState::Finished {
                kept: exchange.into_kept(&self.url).filter(|_| self.part.keeps).map(Box::new),
            };
        }
    }

    /// Goes on after bytes of the body were dealt with.
    fn settle(&mut self, outcome: Result<BodyPart, SourceError>) -> BodyPart {
        let ClientState::Streaming { exchange, peer_closed } = &self.state else {
            unreachable!("a body comes in {:?}", self.state);
        };
        let ended = exchange.waiting() == 0 && (*peer_closed || exchange.peer_closed());
        match outcome {
            Err(failure) => {
                self.fail(failure);
                BodyPart::default()
            }
            Ok(part) if exchange.is_finished() => {
                self.finish();
                part
            }
            Ok(part) if !ended => part,
            Ok(part) => {
                match exchange.end() {
                    End::Complete => self.finish(),
                    End::CutShort => {
                        let text = "upstream closed the connection in the middle of the stream";
                        self.fail(SourceError::new(Kind::Connection, text));
                    }
                }
                part
            }
        }
    }
}

impl fmt::Debug for ClientState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Resolving => "Resolving",
            Self::Connecting { .. } => "Connecting",
            Self::Awaiting { .. } => "Awaiting",
            Self::Refused { .. } => "Refused",
            Self::Streaming { .. } => "Streaming",
            Self::Reconnecting => "Reconnecting",
            Self::Finished { .. } => "Finished",
            Self::Failed(_) => "Failed",
        })
    }
}

const STATUS_REQUEST_TIMEOUT: u16 = 408;
/// The name of a content coding is shown up to here.
const CODING_CHARS_MAX: usize = 32;
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;
/// An address that is to be tried at all gets this long.
const CONNECT_SHARE_MIN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestHeaders;
    use crate::source::direct::tls_config;
    use proptest::prelude::*;

    const T0: Instant = Instant::START;
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n";

    fn params() -> Params {
        Params {
            user_agent: "tv/1".to_owned(),
            via: None,
            headers: RequestHeaders::NONE,
            cookies: CookieJar::default(),
            connect_timeout: Duration::from_secs(3),
            header_timeout: Duration::from_secs(5),
            startup_timeout: Duration::from_secs(12),
            tls: tls_config(&[]).unwrap(),
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    /// A client that has sent its request.
    fn awaiting(url: &str) -> Client {
        let mut client = Client::new(url, params(), T0).unwrap();
        request(&mut client);
        client
    }

    /// Drives a client to where it waits for a response, and returns what it asked.
    fn request(client: &mut Client) -> String {
        if matches!(client.want(), Want::Resolve { .. }) {
            client.resolved(T0, Ok(vec![address(1)]));
        }
        assert!(matches!(client.want(), Want::Connect(_)), "{:?}", client.want());
        client.connected(T0, Ok(()));
        assert_eq!(client.want(), Want::Send);
        let text = String::from_utf8(client.outgoing().to_vec()).unwrap();
        client.sent(text.len());
        assert_eq!(client.want(), Want::ReceivePrivate);
        text
    }

    fn failure(client: &Client) -> String {
        assert_eq!(client.want(), Want::Failed, "no failure");
        client.failure().unwrap().to_string()
    }

    #[test]
    fn a_stream_goes_from_a_name_to_bytes_in_place() {
        let mut client = Client::new("http://user:pw@Host.example:8080/live/1.ts?x=1", params(), T0).unwrap();
        assert_eq!(client.want(), Want::Resolve { host: "host.example", port: 8080 });
        assert_eq!(client.next_deadline(), Some(at(12_000)));
        client.resolved(T0, Ok(vec![address(1)]));
        assert_eq!(client.want(), Want::Connect(address(1)));
        client.connected(T0, Ok(()));
        // The kernel may take a part.
        let whole = client.outgoing().to_vec();
        client.sent(5);
        assert_eq!((client.want(), client.outgoing()), (Want::Send, &whole[5..]));
        client.sent(whole.len() - 5);
        let text = String::from_utf8(whole).unwrap();
        assert!(
            text.starts_with("GET /live/1.ts?x=1 HTTP/1.1\r\n") && text.contains("User-Agent: tv/1\r\n"),
            "{text}"
        );
        assert!(text.contains("Authorization: Basic dXNlcjpwdw==\r\n"), "{text}");
        assert_eq!(client.next_deadline(), Some(at(5_000)));
        client.received(T0, &[OK, b"first"].concat());
        assert_eq!((client.want(), client.body_waiting(), client.next_deadline()), (Want::TakeBody, 5, None));
        let mut memory = [0; 3];
        assert_eq!((client.take_body(&mut memory), &memory), (3, b"fir"));
        assert_eq!((client.take_body(&mut memory), &memory[..2]), (2, &b"st"[..]));
        assert_eq!(client.want(), Want::ReceiveBody);
        assert_eq!(client.body_in_place(&mut [0x47; 188]), BodyPart { kept: 188, finished: false });
        assert!(client.is_streaming());
        client.closed();
        assert_eq!(client.want(), Want::Finished);
    }

    #[test]
    fn framing_is_removed_in_place_and_ends_the_stream() {
        let mut client = awaiting("http://h/");
        client.received(T0, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab");
        let mut memory = [0; 64];
        assert_eq!((client.take_body(&mut memory), &memory[..2]), (2, &b"ab"[..]));
        let mut bytes = *b"cd\r\n3\r\nefg\r\n";
        assert_eq!(client.body_in_place(&mut bytes), BodyPart { kept: 5, finished: false });
        assert_eq!(&bytes[..5], b"cdefg");
        assert_eq!(client.body_in_place(&mut b"0\r\n\r\n".to_owned()), BodyPart { kept: 0, finished: true });
        assert_eq!(client.want(), Want::Finished);
    }

    #[test]
    fn no_url_no_client() {
        for url in ["", "rtsp://h/", "http://", "http://h:99999/"] {
            assert_eq!(
                Client::new(url, params(), T0).err().map(|error| error.kind()),
                Some(Kind::Unusable),
                "{url}"
            );
        }
    }

    #[test]
    fn an_address_is_not_resolved() {
        for (url, expected) in [
            ("http://10.0.0.1/", "10.0.0.1:80"),
            ("https://10.0.0.1/", "10.0.0.1:443"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            let client = Client::new(url, params(), T0).unwrap();
            assert_eq!(client.want(), Want::Connect(expected.parse().unwrap()), "{url}");
        }
    }

    #[test]
    fn names_without_addresses_fail() {
        for (outcome, expected) in [
            (Err("no such host".to_owned()), "request upstream stream failed: no such host"),
            (Ok(vec![]), "request upstream stream failed: h has no address"),
        ] {
            let mut client = Client::new("http://h/", params(), T0).unwrap();
            client.resolved(T0, outcome);
            assert_eq!(failure(&client), expected);
        }
    }

    #[test]
    fn addresses_are_tried_in_turn_and_share_the_time() {
        let mut client = Client::new("http://h/", params(), T0).unwrap();
        client.resolved(T0, Ok((1..=20).map(address).collect()));
        assert_eq!(client.next_deadline(), Some(at(1_500)), "an eighth of 12 s");
        client.connected(at(100), Err(Errno::CONNREFUSED));
        assert_eq!(client.want(), Want::Connect(address(2)));
        client.expire(client.next_deadline().unwrap());
        assert_eq!(client.want(), Want::Connect(address(3)));
        for _ in 3..=8 {
            client.connected(at(200), Err(Errno::CONNREFUSED));
        }
        assert_eq!(
            failure(&client),
            "request upstream stream failed: connect to 10.0.0.8:80: Connection refused (os error 111)"
        );
    }

    #[test]
    fn every_step_has_its_deadline() {
        let header = "startup timeout waiting for upstream response headers";
        let resolving = || Client::new("http://h/", params(), T0).unwrap();
        let connecting = || Client::new("http://10.0.0.1/", params(), T0).unwrap();
        let short = || {
            let short = Params { startup_timeout: Duration::from_millis(120), ..params() };
            Client::new("http://10.0.0.1/", short, T0).unwrap()
        };
        for (mut client, deadline, expected) in [
            (resolving(), 12_000, "request upstream stream failed: name look-up of h: no answer in time"),
            (
                connecting(),
                3_000,
                "request upstream stream failed: connect to 10.0.0.1:80: Connection timed out (os error 110)",
            ),
            (short(), 120, header),
            (awaiting("http://h/"), 5_000, header),
        ] {
            assert_eq!(client.next_deadline(), Some(at(deadline)));
            client.expire(at(deadline - 1));
            assert_ne!(client.want(), Want::Failed);
            client.expire(at(deadline));
            assert_eq!(failure(&client), expected);
            assert_eq!(client.next_deadline(), None);
        }
    }

    #[test]
    fn redirects_are_followed_to_their_bound_on_new_connections() {
        let mut client = awaiting("http://h/0");
        for hop in 1..=UPSTREAM_REDIRECTS_MAX {
            client.received(T0, format!("HTTP/1.1 302 Found\r\nLocation: /{hop}\r\n\r\n").as_bytes());
            assert_eq!((client.want(), client.next_deadline()), (Want::Reconnect, None));
            client.disconnected(T0);
            assert!(request(&mut client).starts_with(&format!("GET /{hop} HTTP/1.1\r\n")));
        }
        client.received(T0, b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n");
        assert_eq!(failure(&client), "request upstream stream failed: stopped after 20 redirects");
    }

    #[test]
    fn a_cookie_set_on_the_way_is_asked_for_by_where_it_leads() {
        let mut client = awaiting("http://h/live");
        client.received(T0, b"HTTP/1.1 302 Found\r\nLocation: /live\r\nSet-Cookie: sid=1; Path=/\r\n\r\n");
        client.disconnected(T0);
        assert!(request(&mut client).ends_with("\r\nCookie: sid=1\r\n\r\n"));
        client.received(T0, OK);
        assert!(client.is_streaming());
        assert_eq!(client.cookies().header(T0, client.url()).as_deref(), Some("sid=1"));
        // What was set is known to the next connection.
        let next = Params { cookies: client.cookies().clone(), ..params() };
        assert!(
            request(&mut Client::new("http://h/live", next, T0).unwrap()).contains("\r\nCookie: sid=1\r\n")
        );
    }

    #[test]
    fn what_a_list_wants_sent_goes_along_redirects_but_credentials_do_not_leave_their_host() {
        let mut headers = RequestHeaders::default();
        for (name, value) in
            [("User-Agent", "Box/7.1"), ("Referer", "http://p/"), ("Authorization", "Bearer x")]
        {
            headers.set(name, value).unwrap();
        }
        let mut client = Client::new("http://h/", Params { headers, ..params() }, T0).unwrap();
        let first = request(&mut client);
        for field in ["User-Agent: Box/7.1", "Referer: http://p/", "Authorization: Bearer x"] {
            assert!(first.contains(field), "{first}");
        }
        client.received(T0, b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\n\r\n");
        client.disconnected(T0);
        let second = request(&mut client);
        assert!(second.contains("User-Agent: Box/7.1") && second.contains("Referer: http://p/"), "{second}");
        assert!(!second.contains("Bearer"), "{second}");
    }

    #[test]
    fn a_body_that_is_compressed_unasked_is_an_error_that_says_so() {
        let mut client = awaiting("http://h/");
        client.received(T0, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b");
        assert_eq!(failure(&client), "upstream sends its body compressed (gzip), which was not asked for");
    }

    #[test]
    fn credentials_stay_with_their_host() {
        for (location, carried) in [
            ("/other", true),
            ("http://h/other", true),
            ("http://other/", false),
            ("http://h:81/", false),
            ("http://a:b@other/", true),
        ] {
            let mut client = awaiting("http://user:pw@h/");
            client.received(T0, format!("HTTP/1.1 301 Moved\r\nLocation: {location}\r\n\r\n").as_bytes());
            client.disconnected(T0);
            assert_eq!(request(&mut client).contains("Authorization: Basic"), carried, "{location}");
        }
    }

    #[test]
    fn redirects_to_nowhere_fail() {
        for (location, kind) in [("rtsp://h/", Kind::Redirect), ("http://", Kind::Redirect)] {
            let mut client = awaiting("http://h/");
            client.received(T0, format!("HTTP/1.1 301 Moved\r\nLocation: {location}\r\n\r\n").as_bytes());
            assert_eq!(client.failure().map(SourceError::kind), Some(kind), "{location}");
        }
        let mut client = awaiting("http://h/");
        client.received(T0, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(failure(&client), "upstream returned status 302");
    }

    #[test]
    fn a_refusal_is_told_with_its_status_and_its_words() {
        for (response, expected) in [
            (
                "404 Not Found\r\nContent-Length: 15\r\n\r\n  missing token",
                "upstream returned status 404: missing token",
            ),
            ("404 Not Found\r\nContent-Length: 0\r\n\r\n", "upstream returned status 404"),
            ("304 Not Modified\r\nContent-Length: 0\r\n\r\n", "upstream returned status 304"),
            (
                "429 Slow\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n",
                "upstream returned status 429: busy",
            ),
            (
                "403 No\r\nContent-Length: 42\r\n\r\nsee http://user:secret@h/p?token=hidden ok",
                "upstream returned status 403: see http://h/p ok",
            ),
        ] {
            let mut client = awaiting("http://h/");
            client.received(T0, format!("HTTP/1.1 {response}").as_bytes());
            assert_eq!(failure(&client), expected);
        }
        let mut long = awaiting("http://h/");
        long.received(T0, format!("HTTP/1.1 500 No\r\n\r\n{}", "x".repeat(60_000)).as_bytes());
        assert_eq!(failure(&long).len(), "upstream returned status 500: ".len() + 256);
    }

    #[test]
    fn a_refusal_waits_for_its_words_only_so_long() {
        let refused = |now| {
            let mut client = awaiting("http://h/");
            client.received(now, b"HTTP/1.1 503 No\r\nRetry-After: 7\r\n\r\nover");
            assert_eq!(client.want(), Want::ReceivePrivate);
            client
        };
        let mut silent = refused(T0);
        assert_eq!(silent.next_deadline(), Some(at(500)));
        silent.received(at(100), b"loaded");
        silent.expire(at(500));
        assert_eq!(failure(&silent), "upstream returned status 503: overloaded");
        assert_eq!(silent.failure().unwrap().retry_after(), Some(Duration::from_secs(7)));
        // The head came at the last moment.
        assert_eq!(refused(at(11_999)).next_deadline(), Some(at(12_049)));
        let mut closed = refused(T0);
        closed.closed();
        assert_eq!(failure(&closed), "upstream returned status 503: over");
        let mut lost = refused(T0);
        lost.lost(Errno::CONNRESET);
        assert_eq!(failure(&lost), "upstream returned status 503: over");
    }

    #[test]
    fn a_connection_that_ends_early_is_told_by_how_far_it_came() {
        let cut = "upstream closed the connection in the middle of the stream";
        for (received, closed, lost) in [
            (
                "HTTP/1.1 20",
                "request upstream stream failed: connection closed before the response",
                "request upstream stream failed: Connection reset by peer (os error 104)",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                cut,
                "upstream connection lost: Connection reset by peer (os error 104)",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                cut,
                "upstream connection lost: Connection reset by peer (os error 104)",
            ),
        ] {
            let client = || {
                let mut client = awaiting("http://h/");
                client.received(T0, received.as_bytes());
                client
            };
            let (mut one, mut two) = (client(), client());
            one.closed();
            two.lost(Errno::CONNRESET);
            assert_eq!((failure(&one).as_str(), failure(&two).as_str()), (closed, lost));
        }
    }

    #[test]
    fn what_waits_when_the_peer_closes_is_still_taken() {
        let mut client = awaiting("http://h/");
        client.received(T0, &[OK, b"last"].concat());
        client.closed();
        assert_eq!(client.want(), Want::TakeBody);
        let mut memory = [0; 16];
        assert_eq!((client.take_body(&mut memory), &memory[..4]), (4, &b"last"[..]));
        assert_eq!(client.want(), Want::Finished);
    }

    #[test]
    fn an_empty_success_is_finished_at_once() {
        for head in ["204 No Content\r\n\r\n", "200 OK\r\nContent-Length: 0\r\n\r\n"] {
            let mut client = awaiting("http://h/");
            client.received(T0, format!("HTTP/1.1 {head}").as_bytes());
            assert_eq!(client.want(), Want::Finished, "{head}");
        }
    }

    #[test]
    fn heads_that_are_none_are_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(40_000));
        for head in ["SSH-2.0-x\r\n", "HTTP/1.1 abc\r\n\r\n", &long] {
            let mut client = awaiting("http://h/");
            client.received(T0, head.as_bytes());
            assert_eq!(client.failure().map(SourceError::kind), Some(Kind::Protocol), "{:.20}", head);
        }
    }

    #[test]
    fn nothing_moves_a_client_that_has_failed_or_finished() {
        let mut finished = awaiting("http://h/");
        finished.received(T0, b"HTTP/1.1 204 x\r\n\r\n");
        let mut failed = awaiting("http://h/");
        failed.closed();
        let before = failure(&failed);
        for client in [&mut finished, &mut failed] {
            client.resolved(T0, Ok(vec![address(1)]));
            client.connected(T0, Ok(()));
            client.sent(5);
            client.received(T0, b"late");
            client.closed();
            client.lost(Errno::CONNRESET);
            client.disconnected(T0);
            client.expire(at(99_999));
            assert_eq!(
                (client.body_in_place(&mut [1]), client.take_body(&mut [1])),
                (BodyPart::default(), 0)
            );
            assert!(client.outgoing().is_empty());
        }
        assert_eq!((finished.want(), failure(&failed)), (Want::Finished, before));
    }

    proptest! {
        #[test]
        fn a_response_is_the_same_however_it_is_cut(
            cuts in prop::collection::vec(1_usize..40, 1..60),
            room in 1_usize..50,
            chunked in any::<bool>(),
            interim in any::<bool>(),
        ) {
            let body: Vec<u8> = (0..=255).cycle().take(700).collect();
            let mut wire = if interim { b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_vec() } else { Vec::new() };
            if chunked {
                wire.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(97) {
                    wire.extend_from_slice(format!("{:x};note\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n\r\n");
            } else {
                wire.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n");
                wire.extend_from_slice(&body);
            }
            let mut client = awaiting("http://h/");
            let mut streamed = Vec::new();
            let mut memory = vec![0; room];
            let mut rest = wire.as_slice();
            let mut sizes = cuts.iter().cycle();
            loop {
                match client.want() {
                    Want::TakeBody => {
                        let count = client.take_body(&mut memory);
                        streamed.extend_from_slice(&memory[..count]);
                    }
                    want @ (Want::ReceivePrivate | Want::ReceiveBody) => {
                        prop_assert!(!rest.is_empty(), "all was sent");
                        let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                        rest = after;
                        if want == Want::ReceivePrivate {
                            client.received(T0, piece);
                        } else {
                            let mut piece = piece.to_vec();
                            let part = client.body_in_place(&mut piece);
                            streamed.extend_from_slice(&piece[..part.kept]);
                        }
                    }
                    Want::Finished => break,
                    Want::Resolve { .. } | Want::Connect(_) | Want::Send | Want::Reconnect | Want::Wait | Want::Failed => {
                        return Err(TestCaseError::fail(format!("{:?} {:?}", client.want(), client.failure())));
                    }
                }
            }
            prop_assert_eq!(streamed, body);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), ok in any::<bool>(), chunked in any::<bool>()) {
            let mut client = awaiting("http://h/");
            if ok {
                client.received(T0, if chunked { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { OK });
                client.body_in_place(&mut bytes.clone());
            } else {
                client.received(T0, &bytes);
            }
            let known = [Want::Finished, Want::Failed, Want::ReceiveBody, Want::ReceivePrivate, Want::TakeBody, Want::Reconnect];
            prop_assert!(known.contains(&client.want()));
        }
    }
}
