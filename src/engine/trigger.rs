//! A recovery that somebody asks for.

use crate::ring::Lent;
use crate::tuner::ChannelId;
use crate::uring::Driver;

use super::client::SessionKey;
use super::core::Core;
use super::token::Token;

/// Why a recovery is not begun.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum TriggerRefusal {
    /// Nobody watches this channel, or there is no picture yet.
    #[error("shared session not found")]
    NotFound,
    /// The session is being created, or recovers already.
    #[error("shared session manual recovery is already pending")]
    AlreadyPending,
}

/// The answer to a question for a recovery; runs on the core and must not block.
pub type TriggerReply = Box<dyn FnOnce(Result<(), TriggerRefusal>) + Send>;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn on_trigger(&mut self, channel: ChannelId, reason: &str, reply: TriggerReply) {
        reply(self.session_of(channel).and_then(|session| self.trigger_session(session, reason)));
    }

    fn session_of(&self, channel: ChannelId) -> Result<SessionKey, TriggerRefusal> {
        self.by_channel.get(&channel).copied().ok_or(TriggerRefusal::NotFound)
    }
}
