//! What the parts of a core have to say to each other: said while one of them works, heard when it has done.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::engine::port::ids::CoreId;
use crate::engine::port::messages::TunerMessage;
use crate::engine::port::outlets::{Reply, ToHome};
use crate::http::{Persistence, StreamError};
use crate::ring::Offset;
use crate::session::history::CloseReason;
use crate::uring::Handle;

use super::token::{ChannelRef, ConnectionRef};

/// What an outlet has to say to its channel.
pub(crate) enum ToChannel {
    /// A viewer has left; its number, and why.
    Left(u64, CloseReason),
    /// Those of another core who waited were let in, or not.
    Admitted(Reply),
    /// A viewer has been moved forward, and may take what it gets at this pace.
    Promised(Offset),
    /// Somebody has fetched a segment, or has given up.
    Fetched,
}

/// A connection that changes hands with its place: it becomes a viewer's, or is kept when a segment has been fetched by it.
pub(crate) struct Taken {
    pub(crate) handle: Handle,
    pub(crate) peer: SocketAddr,
    /// The peer is on this host.
    pub(crate) is_local: bool,
}

/// One thing that is said.
pub(crate) enum Word {
    /// An outlet to its channel, which may be on another core.
    Channel(ChannelRef, ToChannel),
    /// A channel to the core: there is something to tell its outlets on other cores.
    News(ChannelRef),
    /// A channel to the core: its session is over.
    Over(ChannelRef),
    /// An outlet to the core: a connection that waited is answered.
    Answer(ConnectionRef, Vec<u8>, Persistence),
    /// An outlet to the core: a connection that waited is refused.
    Refuse(ConnectionRef, StreamError),
    /// An outlet to the core: somebody who waited is turned away.
    TurnedAway { handle: Handle, peer: SocketAddr, guide_number: String, error: StreamError },
    /// An outlet to the core: somebody has its segment, and asks for more by the same connection.
    Served(Taken),
}

/// What has been said and not been heard. All queues are emptied before a core goes on, but for messages to another core whose
/// mailbox is full; of those there are no more than sessions, and viewers that leave.
#[derive(Default)]
pub(crate) struct Post {
    words: VecDeque<Word>,
    tuners: VecDeque<(CoreId, TunerMessage)>,
    homes: VecDeque<(CoreId, ChannelRef, ToHome)>,
}

impl Post {
    pub(crate) fn say(&mut self, word: Word) {
        self.words.push_back(word);
    }

    pub(crate) fn hear(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// A message for whoever counts the tuners.
    pub(crate) fn tell_tuners(&mut self, message: TunerMessage) {
        self.tuners.push_back((CoreId(0), message));
    }

    /// A message about a tuner for the core where its holder lives.
    pub(crate) fn tell_holder(&mut self, core: CoreId, message: TunerMessage) {
        self.tuners.push_back((core, message));
    }

    pub(crate) fn next_of_tuners(&mut self) -> Option<(CoreId, TunerMessage)> {
        self.tuners.pop_front()
    }

    /// A message could not be handed over: it is the next one again.
    pub(crate) fn put_back(&mut self, core: CoreId, message: TunerMessage) {
        self.tuners.push_front((core, message));
    }

    /// A message of an outlet for its channel on another core.
    pub(crate) fn tell_home(&mut self, core: CoreId, at: ChannelRef, word: ToHome) {
        self.homes.push_back((core, at, word));
    }

    pub(crate) fn next_for_home(&mut self) -> Option<(CoreId, ChannelRef, ToHome)> {
        self.homes.pop_front()
    }

    /// A message could not be handed over: it is the next one again.
    pub(crate) fn put_back_for_home(&mut self, core: CoreId, at: ChannelRef, word: ToHome) {
        self.homes.push_front((core, at, word));
    }

    /// Messages to other cores wait for room.
    pub(crate) fn waits_for_room(&self) -> bool {
        !self.tuners.is_empty() || !self.homes.is_empty()
    }
}
