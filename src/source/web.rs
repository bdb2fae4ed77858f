//! What is read over HTTP(S): one response that goes on, or HLS, which is many.

use std::net::SocketAddr;

use crate::base::{Errno, Instant};
use crate::http::{CookieJar, Url};
use crate::source::direct::{Client, Want};
use crate::source::error::SourceError;
use crate::source::hls::{ForOthers, Next, Remark, Upstream};

/// An upstream over HTTP(S), as the engine drives it.
pub enum Web {
    /// The response is the stream.
    Stream(Box<Client>),
    /// Segments are.
    Hls(Box<Upstream>),
}

impl Web {
    /// What is to be done next. Ask again after every report, and when a wait is over. `may_read` says whether more of the
    /// stream is wanted now; a response that is the stream is not asked for more by whoever does not want it.
    pub fn want(&mut self, now: Instant, may_read: bool) -> Want<'_> {
        match self {
            Self::Stream(client) => client.want(),
            Self::Hls(upstream) => match upstream.next(now, may_read) {
                Next::Client => upstream.client().expect("a request is on its way").want(),
                Next::TakeBody => Want::TakeBody,
                Next::Close => Want::Reconnect,
                Next::Wait => Want::Wait,
                Next::Ended => Want::Finished,
                Next::Failed => Want::Failed,
            },
        }
    }

    /// The client of the request that is on its way, to be told what came of what it wanted.
    pub fn client_mut(&mut self) -> Option<&mut Client> {
        match self {
            Self::Stream(client) => Some(client),
            Self::Hls(upstream) => upstream.client_mut(),
        }
    }

    /// The addresses of the host, or why there are none. Of this and what follows nothing is heard when the request was
    /// given up meanwhile.
    pub fn resolved(&mut self, now: Instant, addresses: Result<Vec<SocketAddr>, String>) {
        if let Some(client) = self.client_mut() {
            client.resolved(now, addresses);
        }
    }

    /// The socket asked for is connected, or cannot be.
    pub fn connected(&mut self, now: Instant, outcome: Result<(), Errno>) {
        if let Some(client) = self.client_mut() {
            client.connected(now, outcome);
        }
    }

    /// The address asked for is not to be connected to.
    pub fn refuse(&mut self, failure: SourceError) {
        if let Some(client) = self.client_mut() {
            client.refuse(failure);
        }
    }

    /// The peer closed the connection.
    pub fn closed(&mut self) {
        if let Some(client) = self.client_mut() {
            client.closed();
        }
    }

    /// The connection broke.
    pub fn lost(&mut self, errno: Errno) {
        if let Some(client) = self.client_mut() {
            client.lost(errno);
        }
    }

    /// Why it failed, when it did.
    #[must_use]
    pub fn failure(&self) -> Option<SourceError> {
        match self {
            Self::Stream(client) => client.failure().cloned(),
            Self::Hls(upstream) => upstream.failure(),
        }
    }

    /// Where it is, after redirects; of HLS, where the source is.
    #[must_use]
    pub const fn url(&self) -> &Url {
        match self {
            Self::Stream(client) => client.url(),
            Self::Hls(upstream) => upstream.url(),
        }
    }

    /// Of a master list, what others are to read instead.
    #[must_use]
    pub const fn for_others(&self) -> Option<&ForOthers> {
        match self {
            Self::Stream(_) => None,
            Self::Hls(upstream) => upstream.for_others(),
        }
    }

    /// What people may want to know, once.
    pub fn take_remark(&mut self) -> Option<Remark> {
        match self {
            Self::Stream(_) => None,
            Self::Hls(upstream) => upstream.take_remark(),
        }
    }

    /// What the answer calls its body, as sent.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        match self {
            Self::Stream(client) => client.content_type(),
            Self::Hls(_) => None,
        }
    }

    /// What the source's servers have set, before and on this way.
    #[must_use]
    pub fn cookies(&self) -> &CookieJar {
        match self {
            Self::Stream(client) => client.cookies(),
            Self::Hls(upstream) => upstream.cookies(),
        }
    }

    /// True while what comes next is the stream itself.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        match self {
            Self::Stream(client) => reads_body(client),
            Self::Hls(upstream) => upstream.is_streaming() && upstream.client().is_none_or(reads_body),
        }
    }

    /// True when it would read more of the stream, or ask for more of it, if it may.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        match self {
            Self::Stream(client) => reads_body(client),
            Self::Hls(upstream) => upstream.client().is_none() || self.is_streaming(),
        }
    }

    /// Bytes of the body came into the stream's memory. Those of the stream are then at the front; the result is their number.
    pub fn body_in_place(&mut self, now: Instant, bytes: &mut [u8]) -> usize {
        match self {
            Self::Stream(client) => client.body_in_place(bytes).kept,
            Self::Hls(upstream) => upstream.body_in_place(now, bytes),
        }
    }

    /// Copies bytes of the stream that wait to where it goes. None may come even when some wait.
    pub fn take_body(&mut self, now: Instant, into: &mut [u8]) -> usize {
        match self {
            Self::Stream(client) => client.take_body(into),
            Self::Hls(upstream) => upstream.take_body(now, into),
        }
    }

    /// The socket that was to be closed is closed.
    pub fn disconnected(&mut self, now: Instant) {
        match self {
            Self::Stream(client) => client.disconnected(now),
            Self::Hls(upstream) => upstream.disconnected(now),
        }
    }

    /// When [`Web::expire`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Stream(client) => client.next_deadline(),
            Self::Hls(upstream) => upstream.next_deadline(),
        }
    }

    /// Time passed.
    pub fn expire(&mut self, now: Instant) {
        match self {
            Self::Stream(client) => client.expire(now),
            Self::Hls(upstream) => upstream.expire(now),
        }
    }
}

fn reads_body(client: &Client) -> bool {
    client.is_streaming()
        && matches!(client.want(), Want::TakeBody | Want::ReceiveBody | Want::ReceivePrivate)
}
