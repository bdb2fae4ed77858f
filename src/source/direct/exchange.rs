//! One request on one connection: what goes out, what comes in, decrypted and decoded.

use crate::base::Instant;
use crate::base::limits::UPSTREAM_HEAD_BYTES_MAX;
use crate::http::{
    BodyDecoder, BodyError, Framing, RequestFields, ResponseHead, ResponseStatus, Scheme, Url,
    parse_response, request_head,
};
use crate::source::direct::RECEIVE_BYTES_MAX;
use crate::source::direct::steps::{Params, Part};
use crate::source::direct::tls::Tls;
use crate::source::error::{Kind, SourceError};
use std::fmt;

/// What became of received or waiting bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BodyPart {
    /// Bytes of the body, now at the front of the memory that was given.
    pub kept: usize,
    /// The body is complete.
    pub finished: bool,
}

/// How the bytes of a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The body was complete, as far as can be known.
    Complete,
    /// More was promised.
    CutShort,
}

pub(super) struct Exchange {
    tls: Option<Tls>,
    outgoing: Vec<u8>,
    sent: usize,
    /// The head, and then the beginning of the body that came with it.
    inbox: Vec<u8>,
    /// Bytes of the inbox that have been dealt with.
    taken: usize,
    /// Set when the head is complete.
    body: Option<ResponseBody>,
}

/// A connection on which an answer was read to its end.
pub struct Kept {
    scheme: Scheme,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

impl Kept {
    /// True when a request for this may follow on it.
    #[must_use]
    pub fn serves(&self, url: &Url) -> bool {
        self.scheme == url.scheme() && self.host == url.host() && self.port == url.port_or_default()
    }
}

/// The body and what is known of its end.
struct ResponseBody {
    decoder: BodyDecoder,
    until_close: bool,
    finished: bool,
    /// Nothing but the body has come, and another request may follow.
    is_clean: bool,
}

impl ResponseBody {
    fn new(framing: Framing, is_kept: bool) -> Result<Self, BodyError> {
        let mut body = Self {
            decoder: BodyDecoder::new(framing),
            until_close: framing == Framing::UntilClose,
            finished: false,
            is_clean: is_kept && framing != Framing::UntilClose,
        };
        // An empty body is finished before its first byte.
        body.decode(&mut [])?;
        Ok(body)
    }

    fn decode(&mut self, bytes: &mut [u8]) -> Result<BodyPart, BodyError> {
        let decoded = self.decoder.decode(bytes)?;
        self.finished = decoded.finished;
        self.is_clean &= !decoded.has_more;
        Ok(BodyPart { kept: decoded.body_bytes, finished: decoded.finished })
    }
}

impl Exchange {
    /// On a new connection. `origin`: the request is to the host that the source's address names.
    pub(super) fn new(
        now: Instant,
        url: &Url,
        params: &Params,
        part: &Part,
        origin: bool,
    ) -> Result<Self, SourceError> {
        let tls = match url.scheme() {
            Scheme::Http => None,
            Scheme::Https => Some(Tls::new(&params.tls, url.host())?),
        };
        Self::on(tls, &request(now, url, params, part, origin))
    }

    /// On a connection of before, which serves the address.
    pub(super) fn again(
        now: Instant,
        kept: Kept,
        url: &Url,
        params: &Params,
        part: &Part,
        origin: bool,
    ) -> Result<Self, SourceError> {
        Self::on(kept.tls, &request(now, url, params, part, origin))
    }

    fn on(tls: Option<Tls>, request: &[u8]) -> Result<Self, SourceError> {
        let mut exchange =
            Self { tls, outgoing: Vec::new(), sent: 0, inbox: Vec::new(), taken: 0, body: None };
        match &mut exchange.tls {
            None => exchange.outgoing = request.to_vec(),
            Some(tls) => {
                tls.write(request)?;
                tls.take_outgoing(&mut exchange.outgoing);
            }
        }
        Ok(exchange)
    }

    /// The connection, when another request to the same server may follow on it.
    pub(super) fn into_kept(self, url: &Url) -> Option<Kept> {
        let is_clean = self.body.as_ref().is_some_and(|body| body.finished && body.is_clean);
        let is_clean = is_clean && self.waiting() == 0 && self.outgoing().is_empty() && !self.peer_closed();
        let (scheme, port) = (url.scheme(), url.port_or_default());
        is_clean.then(|| Kept { scheme, host: url.host().to_owned(), port, tls: self.tls })
    }

    /// Nothing of an answer has come.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.body.is_none() && self.inbox.is_empty()
    }

    pub(super) fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.sent += count;
        assert!(self.sent <= self.outgoing.len(), "no more is sent than was there");
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
    }

    /// True while the peers are still agreeing on keys.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::is_handshaking)
    }

    /// True when what is received next is bytes of the body and nothing else, so that it may go where bodies go.
    pub(super) const fn may_receive_in_place(&self) -> bool {
        self.tls.is_none() && self.body.is_some()
    }

    /// Takes bytes from the socket.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        assert!(bytes.len() <= RECEIVE_BYTES_MAX, "the private buffer holds {RECEIVE_BYTES_MAX} bytes");
        match &mut self.tls {
            Some(tls) => {
                tls.received(bytes)?;
                tls.take_outgoing(&mut self.outgoing);
                // The head is collected here; plaintext of the body stays with the connection until it is taken.
                while self.body.is_none() && tls.waiting() > 0 && self.inbox.len() < UPSTREAM_HEAD_BYTES_MAX {
                    let (start, end) =
                        (self.inbox.len(), UPSTREAM_HEAD_BYTES_MAX.min(self.inbox.len() + tls.waiting()));
                    self.inbox.resize(end, 0);
                    let count = tls.read(&mut self.inbox[start..])?;
                    self.inbox.truncate(start + count);
                }
            }
            None => self.inbox.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// The response's head, once it is complete.
    pub(super) fn head(&mut self) -> Result<Option<ResponseHead>, SourceError> {
        assert!(self.body.is_none(), "a response has one head");
        let protocol = |error: &dyn fmt::Display| SourceError::request(Kind::Protocol, error);
        match parse_response(&self.inbox).map_err(|error| protocol(&error))? {
            ResponseStatus::NeedMore => Ok(None),
            ResponseStatus::Complete(head) => {
                self.taken = head.head_bytes;
                self.body =
                    Some(ResponseBody::new(head.framing, head.is_kept).map_err(|error| protocol(&error))?);
                Ok(Some(*head))
            }
        }
    }

    /// Bytes that can be taken; with the framing that will be removed from them.
    pub(super) fn waiting(&self) -> usize {
        match self.inbox.len() - self.taken {
            0 => self.tls.as_ref().map_or(0, Tls::waiting),
            with_the_head => with_the_head,
        }
    }

    /// Copies bytes of the body that wait.
    pub(super) fn take(&mut self, into: &mut [u8]) -> Result<BodyPart, SourceError> {
        let mut part = BodyPart { kept: 0, finished: self.is_finished() };
        while !part.finished && part.kept < into.len() && self.waiting() > 0 {
            let free = &mut into[part.kept..];
            let count = self.copy_waiting(free)?;
            let next = self.decode_in_place(&mut free[..count])?;
            part = BodyPart { kept: part.kept + next.kept, finished: next.finished };
        }
        Ok(part)
    }

    /// Removes the framing from bytes of the body, where they are.
    pub(super) fn decode_in_place(&mut self, bytes: &mut [u8]) -> Result<BodyPart, SourceError> {
        let body = self.body.as_mut().expect("a body follows its head");
        body.decode(bytes).map_err(|error| SourceError::request(Kind::Protocol, error))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.finished)
    }

    /// What it means that the peer closes the connection now, when nothing waits any more.
    pub(super) fn end(&self) -> End {
        let said_so = self.tls.as_ref().is_none_or(Tls::peer_closed);
        match &self.body {
            Some(body) if body.finished || (body.until_close && said_so) => End::Complete,
            Some(_) | None => End::CutShort,
        }
    }

    /// True when the peer said inside the encryption that it has sent everything.
    pub(super) fn peer_closed(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::peer_closed)
    }

    fn copy_waiting(&mut self, into: &mut [u8]) -> Result<usize, SourceError> {
        let rest = &self.inbox[self.taken..];
        if rest.is_empty() {
            let tls = self.tls.as_mut().expect("bytes wait here or there");
            let count = tls.read(into)?;
            tls.take_outgoing(&mut self.outgoing);
            return Ok(count);
        }
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.inbox.len() {
            // A source may run for months; its head's memory need not.
            self.inbox = Vec::new();
            self.taken = 0;
        }
        Ok(count)
    }
}

/// What is sent.
fn request(now: Instant, url: &Url, params: &Params, part: &Part, origin: bool) -> Vec<u8> {
    let agent = params.user_agent.trim();
    let elsewhere;
    let headers = if origin {
        &params.headers
    } else {
        elsewhere = params.headers.for_other_host();
        &elsewhere
    };
    let cookie = params.cookies.header(now, url);
    let fields = RequestFields {
        user_agent: if agent.is_empty() { OWN_NAME } else { agent },
        via: params.via.as_deref(),
        range: part.range.as_deref(),
        may_be_packed: part.asks_for_packed,
        headers,
        cookie: cookie.as_deref(),
        keeps: part.keeps,
    };
    request_head(url, &fields)
}

/// Sent when the settings name none: some providers refuse requests without.
const OWN_NAME: &str = concat!("tunerd/", env!("CARGO_PKG_VERSION"));
