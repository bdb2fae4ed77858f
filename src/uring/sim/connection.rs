//! A connection: our socket (or the reading end of a pipe) and the far end, which a test scripts.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::{Errno, Instant};

use super::flow::Flow;

/// A far end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerId(pub(super) u32);

/// How fast a far end reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    /// Whatever arrives.
    Unlimited,
    /// At most this many bytes in a second.
    BytesPerSecond(u64),
    /// Nothing: the bytes stay in our socket's queue.
    Stopped,
}

/// How a far end goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// It has said all it has to say, and still listens: FIN, and nothing else.
    HalfClose,
    /// It closes: FIN after what it has sent, and a reset for what it is sent from then on.
    Close,
    /// RST.
    Reset,
}

/// What a far end sees of our end of the connection, once it has read what was sent before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// FIN.
    Finished,
    /// RST, by us or by the network; or nobody was there.
    Reset,
}

/// Our side of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Near {
    /// On its way, or waiting to be accepted.
    Unaccepted,
    /// A file.
    Open(u32),
    /// Closed.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    Socket,
    Pipe,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) line: Line,
    pub(super) near: Near,
    pub(super) far_address: SocketAddr,
    pub(super) near_address: SocketAddr,
    /// What we have sent and the far end has not read.
    pub(super) outgoing: Flow,
    /// What has arrived and we have not received.
    pub(super) incoming: Flow,
    /// The far end's FIN has arrived (behind what is in `incoming`), or its RST.
    pub(super) incoming_ended: bool,
    /// What our next operation is told, once.
    pub(super) error: Option<Errno>,
    /// An RST went one way or the other: nothing moves any more.
    pub(super) broken: bool,
    /// We have closed, and FIN goes out behind `outgoing`.
    pub(super) near_finished: bool,
    /// The far end has closed its socket.
    pub(super) far_closed: bool,
    /// What the far end has sent and the network has not delivered yet.
    pub(super) unsent: VecDeque<u8>,
    /// FIN follows `unsent`.
    pub(super) fin_wanted: bool,
    pub(super) rate: Rate,
    /// Deliveries that were scheduled under another rate are void.
    pub(super) delivery_generation: u32,
    pub(super) delivery_due: bool,
    /// Bytes the far end has read.
    pub(super) delivered: u64,
    /// Of these, what the test has not taken yet.
    pub(super) received: Vec<u8>,
    pub(super) end: Option<End>,
    /// When a server has accepted it.
    pub(super) begun_at: Instant,
    /// When the far end has closed it or has seen that we have.
    pub(super) over_at: Option<Instant>,
}

impl Connection {
    pub(super) const fn new(
        line: Line,
        far_address: SocketAddr,
        near_address: SocketAddr,
        queue_bytes: usize,
    ) -> Self {
        Self {
            line,
            near: Near::Unaccepted,
            far_address,
            near_address,
            outgoing: Flow::new(queue_bytes),
            incoming: Flow::new(queue_bytes),
            incoming_ended: false,
            error: None,
            broken: false,
            near_finished: false,
            far_closed: false,
            unsent: VecDeque::new(),
            fin_wanted: false,
            rate: Rate::Unlimited,
            delivery_generation: 0,
            delivery_due: false,
            delivered: 0,
            received: Vec::new(),
            end: None,
            begun_at: Instant::START,
            over_at: None,
        }
    }

    /// It is over in both directions.
    pub(super) const fn is_over(&self) -> bool {
        self.broken || self.error.is_some()
    }

    /// A poll for the peer's going would not wait.
    pub(super) const fn is_hung_up(&self) -> bool {
        self.incoming_ended || self.is_over()
    }
}
