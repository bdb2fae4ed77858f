//! What a channel and its outlets say to each other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, KeyBits};
use crate::http::{StreamError, Via};
use crate::lineup::{self, ChannelId};
use crate::ring::{EntryIndex, Offset, PaceLine, SharedRing};
use crate::session::history::{CloseReason, WriteCounters};
use crate::ts::Snapshot;

use super::ids::{CoreId, SessionId};

/// What a channel tells those who read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ToOutlet {
    /// The mark has moved: those who had caught up have something to get.
    Moved,
    /// Those who wait for a picture may be let in.
    Admit,
    /// Those who wait for a picture get none.
    Refuse(StreamError),
    /// The session is over: whoever still gets the rest of its stream is no longer part of it.
    Over,
    /// The streams of all viewers end now; what has been sent still arrives.
    End,
}

/// What comes of it for the channel.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    /// The pace at which the latest of those who were let in may take what they get.
    pub(crate) promised: Option<Offset>,
    /// Where the foremost of them starts.
    pub(crate) foremost: Option<u64>,
    /// Somebody still waits: there is no place in the ring where a viewer could start.
    pub(crate) has_waiting: bool,
}

/// Somebody on another core asks for a channel.
pub(crate) struct JoinRequest {
    /// On which.
    pub(crate) core: CoreId,
    /// Which connection of that core.
    pub(crate) connection: KeyBits,
    pub(crate) peer: SocketAddr,
    pub(crate) channel: ChannelId,
    /// The servers that have sent it on.
    pub(crate) via: Via,
}

/// Somebody on another core is a viewer from now on.
pub(crate) struct Joined {
    pub(crate) connection: KeyBits,
    /// Its number within the session.
    pub(crate) number: u64,
    /// The session was there already.
    pub(crate) is_reused: bool,
}

/// What an outlet on another core is to see of its channel, besides what it reads where it is.
pub(crate) struct Sight {
    pub(crate) session: SessionId,
    pub(crate) listing: Arc<lineup::Channel>,
    pub(crate) tuner: Option<u16>,
    pub(crate) producer: String,
    pub(crate) ring: SharedRing,
    pub(crate) entries: EntryIndex<Snapshot>,
    pub(crate) pace_line: PaceLine,
    pub(crate) swept_bytes: u64,
    pub(crate) patience: Duration,
    /// By the clock: a core's own time is nobody else's.
    pub(crate) lingers_until: Option<Instant>,
}

/// What a channel has to tell an outlet on another core. What could not be told yet is put together: each is as good later, and in
/// this order.
#[derive(Default)]
pub(crate) struct News {
    /// What there is to see, if that has changed or somebody has joined.
    pub(crate) sight: Option<Box<Sight>>,
    /// Viewers of the session on all cores.
    pub(crate) connected: u64,
    /// Not more than that core has connections.
    pub(crate) joined: Vec<Joined>,
    pub(crate) admits: bool,
    pub(crate) refuses: Option<StreamError>,
    pub(crate) is_over: bool,
    pub(crate) ends: bool,
    /// There may be more to send.
    pub(crate) has_moved: bool,
}

/// What an outlet has to tell its channel on another core.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToHome {
    /// A viewer has left; its number, and why.
    Left(u64, CloseReason),
    /// Those who waited were let in, or not.
    Admitted(Reply),
    /// A viewer may take what it gets at this pace, besides those that were named.
    Promised(Offset),
    /// The pace of the latest of those who are there.
    Promises(Option<Offset>),
    /// What the slow ones have cost so far.
    Writes(WriteCounters),
}

/// What cores say to each other about a channel's viewers.
pub(crate) enum OutletWord {
    Join(JoinRequest),
    /// Nobody joins; which connection, and why.
    NotJoined(KeyBits, StreamError),
    /// A channel to its outlet on another core.
    News {
        /// Where the channel is,
        home: CoreId,
        /// and which it is there.
        at: KeyBits,
        session: SessionId,
        news: Box<News>,
    },
    /// An outlet to its channel on another core.
    ToHome {
        /// On which core the outlet is.
        core: CoreId,
        /// Which channel.
        at: KeyBits,
        word: ToHome,
    },
}
