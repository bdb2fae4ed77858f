//! What travels with an operation and comes back with its completion: the names of those whom it concerns.

use crate::base::KeyBits;

/// A channel that is live on this core. Whoever is asked for by the name of one that is gone is not found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ChannelRef(pub(in crate::engine) KeyBits);

/// A connection that is not a viewer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionRef(pub(in crate::engine) KeyBits);

/// A viewer of a channel's outlet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ViewerRef {
    /// The channel.
    pub(in crate::engine) channel: ChannelRef,
    /// Its key within the outlet.
    pub(in crate::engine) viewer: KeyBits,
}

/// Who reads a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceOwner {
    /// A channel.
    Channel(ChannelRef),
    /// The prober, which tries one source at a time; how many it had tried before this one.
    Probe(u32),
}

/// What a core is told with a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// The mailbox's wakeup.
    Wakeup,
    /// A listener, by its place in the list.
    Listener(u8),
    /// A request head arrives.
    RequestHead(ConnectionRef),
    /// An error reply is out.
    Reply(ConnectionRef),
    /// A viewer has gone, or has said that it will not say more.
    Hangup(ViewerRef),
    /// An interim answer to a viewer that waits is out.
    Interim(ViewerRef),
    /// A viewer's send.
    Send(ViewerRef),
    /// A source's socket or pipe.
    Source {
        /// Who reads it.
        owner: SourceOwner,
        /// Which of its runs.
        run: u32,
        /// What was being done.
        step: SourceStep,
    },
}

impl Token {
    /// Whether it is of what sources and those who have caught up with them need, or of those who come and go and ask for other
    /// things. What a send is of is known where it is submitted.
    pub(crate) const fn is_for_stream(self) -> Option<bool> {
        match self {
            Self::Source { .. } => Some(true),
            Self::Send(_) => None,
            Self::Wakeup
            | Self::Listener(_)
            | Self::RequestHead(_)
            | Self::Reply(_)
            | Self::Hangup(_)
            | Self::Interim(_) => Some(false),
        }
    }
}

// One travels with every operation in flight, whose record is a cache line.
const _: () = assert!(size_of::<Token>() <= 20 && align_of::<Token>() <= 4);

/// What a source's operation was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceStep {
    /// Connecting to the upstream.
    Connect,
    /// Sending the request.
    Send,
    /// Receiving into memory of the client's own: the response head, or TLS records.
    ReceivePrivate,
    /// Receiving or reading the stream.
    Fill,
    /// Receiving datagrams.
    Gather,
}
