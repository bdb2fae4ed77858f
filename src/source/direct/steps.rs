//! What the engine and a client say to each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::http::{CookieJar, RequestHeaders};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Params {
    /// `USER_AGENT`; empty stands for our own name.
    pub user_agent: String,
    /// The value of the `Via` header.
    pub via: Option<String>,
    /// What the source's list wants to be sent.
    pub headers: RequestHeaders,
    /// What the source's servers have set before.
    pub cookies: CookieJar,
    /// The most time one address gets to accept a connection.
    pub connect_timeout: Duration,
    /// The most time between a connection and the end of the response's head.
    pub header_timeout: Duration,
    /// The most time until the head of the last response, with names, connections and redirects.
    pub startup_timeout: Duration,
    /// Made by [`crate::source::direct::tls_config`].
    pub tls: Arc<ClientConfig>,
}

/// What one of a source's many requests has of its own.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The host that the source's address names, when this address is another: what is meant for that host goes to no other.
    pub origin: Option<String>,
    /// The value of the `Range` header. A server may send everything all the same.
    pub range: Option<String>,
    /// The body may be compressed by gzip, although that is not asked for.
    pub may_be_packed: bool,
    /// The connection may be used for another request: [`super::Client::take_kept`].
    pub keeps: bool,
    /// That is asked for.
    pub asks_for_packed: bool,
}

/// What the client waits for. The engine does it and reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want<'client> {
    /// The addresses of a host: [`super::Client::resolved`].
    Resolve {
        /// A name; never an address.
        host: &'client str,
        /// The port that goes with the addresses.
        port: u16,
    },
    /// A new socket, connected to here: [`super::Client::connected`].
    Connect(SocketAddr),
    /// [`super::Client::outgoing`] is to be sent: [`super::Client::sent`].
    Send,
    /// Bytes into a private buffer of [`crate::source::direct::RECEIVE_BYTES_MAX`]: [`super::Client::received`].
    ReceivePrivate,
    /// Bytes that came with the head, or were decrypted, are to be taken first: [`super::Client::take_body`].
    TakeBody,
    /// Bytes into the memory where the stream goes: [`super::Client::body_in_place`].
    ReceiveBody,
    /// The socket is to be closed; another connection follows: [`super::Client::disconnected`].
    Reconnect,
    /// Nothing, until the next deadline, or until more of the stream may be read. Only segments are waited for.
    Wait,
    /// The body is complete.
    Finished,
    /// [`super::Client::failure`] says why.
    Failed,
}
