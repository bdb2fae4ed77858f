//! What a channel tells its outlets.

use crate::engine::context::cx::{CoreDriver, Cx};
use crate::http::StreamError;
use crate::ring::Offset;

use super::feed::Feed;

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

/// Those who read a channel.
pub(crate) trait Readers<D: CoreDriver> {
    /// Tells them something.
    fn tell(&mut self, cx: &mut Cx<D>, feed: &Feed, word: ToOutlet) -> Reply;
}
