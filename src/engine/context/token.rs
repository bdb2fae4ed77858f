//! What travels with an operation and comes back with its completion.

use crate::engine::connection::client::{ClientKey, SessionKey};

/// What a core is told with a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// The mailbox's bell.
    Bell,
    /// A listener, by its place in the list.
    Listener(u8),
    /// A request head arrives.
    RequestHead(ClientKeyBits),
    /// A client has gone.
    Hangup(ClientKeyBits),
    /// An error reply is out.
    Reply(ClientKeyBits),
    /// A viewer's send.
    Send(ClientKeyBits),
    /// A source's socket or pipe.
    Source {
        /// The session.
        session: SessionKeyBits,
        /// Which of its runs.
        run: u32,
        /// What was being done.
        step: SourceStep,
    },
}

/// A client's key as it travels with an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientKeyBits(u64);
/// A session's key as it travels with an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionKeyBits(u64);

impl From<ClientKey> for ClientKeyBits {
    fn from(key: ClientKey) -> Self {
        Self(key.to_bits())
    }
}
impl From<SessionKey> for SessionKeyBits {
    fn from(key: SessionKey) -> Self {
        Self(key.to_bits())
    }
}
impl ClientKeyBits {
    pub(crate) fn key(self) -> ClientKey {
        ClientKey::from_bits(self.0)
    }
}
impl SessionKeyBits {
    pub(crate) fn key(self) -> SessionKey {
        SessionKey::from_bits(self.0)
    }
}

/// What a source's operation was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceStep {
    /// Connecting to the upstream.
    Connect,
    /// Sending the request.
    Send,
    /// Receiving into memory of the client's own: the response head, or TLS records.
    ReceivePrivate,
    /// Receiving or reading the stream into the ring.
    Fill,
}
