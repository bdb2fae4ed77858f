//! What the parts of a core have to say to each other: said while one of them works, heard when it has done.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::engine::port::ids::CoreId;
use crate::engine::port::messages::TunerMessage;
use crate::http::StreamError;
use crate::ring::Offset;
use crate::uring::Handle;

use super::token::ChannelRef;

/// What an outlet has to say to its channel.
pub(crate) enum ToChannel {
    /// A viewer has left; its number.
    Left(u64),
    /// A viewer has been moved forward, and may take what it gets at this pace.
    Promised(Offset),
}

/// One thing that is said.
pub(crate) enum Word {
    /// An outlet to its channel.
    Channel(ChannelRef, ToChannel),
    /// A channel to the core: its session is over.
    Over(ChannelRef),
    /// An outlet to the core: somebody who waited is turned away.
    TurnedAway { handle: Handle, peer: SocketAddr, error: StreamError },
}

/// What has been said and not been heard. Both queues are emptied before a core goes on, but for messages to another core whose
/// mailbox is full; of those there are no more than sessions.
#[derive(Default)]
pub(crate) struct Post {
    words: VecDeque<Word>,
    tuners: VecDeque<(CoreId, TunerMessage)>,
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
}
