//! A client's connection on a core: from its request to its last byte.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::{Instant, Key};
use crate::ring::Offset;
use crate::session::history::SubscriberWindow;
use crate::uring::{Handle, OpKey};

use crate::engine::channel::live::LiveSession;

pub(crate) type ClientKey = Key<Client>;
pub(crate) type SessionKey = Key<LiveSession>;

/// One connection.
pub(crate) struct Client {
    pub(crate) handle: Handle,
    pub(crate) peer: SocketAddr,
    /// The peer is on this host.
    pub(crate) is_local: bool,
    pub(crate) state: ClientState,
}

/// What a connection is doing.
pub(crate) enum ClientState {
    /// Its request head is being received; these bytes have come so far.
    Reading(Vec<u8>),
    /// It waits for its session's first picture.
    Waiting { session: SessionKey, duration: Option<Duration>, number: u64, joined_at: Instant },
    /// It watches.
    Viewing(Viewer),
    /// It is being told why not; then it is closed.
    Replying { until: Instant },
}

/// A viewer: a position in its session's ring.
pub(crate) struct Viewer {
    pub(crate) session: SessionKey,
    /// Its number within the session, from 1.
    pub(crate) number: u64,
    /// The next byte of the stream it is to be sent.
    pub(crate) position: u64,
    /// What it is to be sent before that: the response head and tables, or the signs of a skip.
    pub(crate) preamble: Vec<u8>,
    pub(crate) sending: Sending,
    /// It is in the queue of those to be sent to.
    pub(crate) is_queued: bool,
    /// Where the zero-copy sends begin whose bytes are taken and whose memory the kernel still holds.
    pub(crate) held: Vec<u64>,
    pub(crate) zero_copy: ZeroCopyState,
    /// When its socket last took something, or had nothing to take.
    pub(crate) progress_at: Instant,
    pub(crate) joined_at: Instant,
    /// At which pace it may take what it gets.
    pub(crate) promised: Offset,
    /// How much later than that it may take it, in milliseconds: it cannot be sent anything while the core cannot run.
    pub(crate) excused_ms: u32,
    /// When its wish for a limited duration is fulfilled.
    pub(crate) until: Option<Instant>,
    pub(crate) bytes_sent: u64,
    /// It fell too far behind while a send was in flight, which is being cancelled: skip when it ends.
    pub(crate) skip_wanted: bool,
}

/// Whether a viewer's socket has work to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sending {
    /// No send in flight.
    Nothing,
    /// The preamble is in flight.
    Preamble(OpKey),
    /// A span of the ring is in flight.
    Stream { op: OpKey, zero_copy: bool, bytes: u32 },
}

/// Whether a viewer is sent to without copying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ZeroCopyState {
    Off,
    /// On; so many notifications in a row have said that the kernel copied.
    On {
        copied_in_a_row: u8,
    },
}

// Memory per viewer is what this and two operations in flight take.
const _: () = assert!(size_of::<Client>() <= 208);

impl Viewer {
    /// At which pace it takes what it gets, as it is.
    pub(crate) fn pace(&self) -> Offset {
        self.promised.late_by(Duration::from_millis(self.excused_ms.into()))
    }
}

impl Client {
    pub(crate) const fn viewer(&self) -> Option<&Viewer> {
        match &self.state {
            ClientState::Viewing(viewer) => Some(viewer),
            ClientState::Reading(_) | ClientState::Waiting { .. } | ClientState::Replying { .. } => None,
        }
    }

    pub(crate) const fn viewer_mut(&mut self) -> Option<&mut Viewer> {
        match &mut self.state {
            ClientState::Viewing(viewer) => Some(viewer),
            ClientState::Reading(_) | ClientState::Waiting { .. } | ClientState::Replying { .. } => None,
        }
    }

    /// Its time with the session it watches or waits for, until now.
    pub(crate) const fn subscriber(&self) -> Option<(SessionKey, SubscriberWindow)> {
        let (session, id, connected_at) = match &self.state {
            ClientState::Viewing(viewer) => (viewer.session, viewer.number, viewer.joined_at),
            ClientState::Waiting { session, number, joined_at, .. } => (*session, *number, *joined_at),
            ClientState::Reading(_) | ClientState::Replying { .. } => return None,
        };
        Some((session, SubscriberWindow { id, peer: self.peer, connected_at, left: None }))
    }

    /// The session it watches or waits for.
    pub(crate) const fn session(&self) -> Option<SessionKey> {
        match &self.state {
            ClientState::Viewing(viewer) => Some(viewer.session),
            ClientState::Waiting { session, .. } => Some(*session),
            ClientState::Reading(_) | ClientState::Replying { .. } => None,
        }
    }
}
