//! A recovery that somebody asks for.

use crate::ring::Lent;
use crate::session::State;
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
    /// This build cannot recover a session.
    #[error("session recovery is not available")]
    Unavailable,
}

/// The answer to a question for a recovery; runs on the core and must not block.
pub type TriggerReply = Box<dyn FnOnce(Result<(), TriggerRefusal>) + Send>;

/// The form in which a reason stands in the status: lower case, words joined by underscores.
#[must_use]
pub fn normalized_reason(reason: &str) -> String {
    let words: Vec<_> = reason.split_whitespace().map(str::to_lowercase).collect();
    if words.is_empty() { "manual_trigger".to_owned() } else { words.join("_") }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn on_trigger(&mut self, channel: ChannelId, reason: &str, reply: TriggerReply) {
        let result = self.session_to_recover(channel);
        reply(result.and_then(|session| self.trigger_session(session, normalized_reason(reason))));
    }

    /// The session of a channel, if it shows a picture to somebody.
    fn session_to_recover(&self, channel: ChannelId) -> Result<SessionKey, TriggerRefusal> {
        let session = self.by_channel.get(&channel).copied().ok_or(TriggerRefusal::NotFound)?;
        let live = self.sessions.get(session).ok_or(TriggerRefusal::NotFound)?;
        match live.machine.state() {
            State::AwaitingTuner => Err(TriggerRefusal::AlreadyPending),
            State::Starting { .. } | State::Idle { .. } | State::Ended => Err(TriggerRefusal::NotFound),
            State::Live => Ok(session),
        }
    }

    /// Hands the wish to the session's machine: the one place to be completed once that can recover.
    fn trigger_session(&mut self, session: SessionKey, reason: String) -> Result<(), TriggerRefusal> {
        let live = self.sessions.get_mut(session).ok_or(TriggerRefusal::NotFound)?;
        if live.recovery.in_progress {
            return Err(TriggerRefusal::AlreadyPending);
        }
        drop(reason);
        Err(TriggerRefusal::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::engine::testing::{SimCore, add_session, add_viewer, core};
    use crate::session::Event;

    fn trigger(core: &mut SimCore, channel_id: i64) -> Result<(), TriggerRefusal> {
        let (sender, answer) = channel();
        let reply = Box::new(move |result| sender.send(result).unwrap());
        core.on_trigger(ChannelId(channel_id), "x", reply);
        answer.recv().unwrap()
    }

    #[test]
    fn only_a_session_that_shows_a_picture_to_somebody_can_recover() {
        let (mut core, handle) = core();
        assert_eq!(trigger(&mut core, 1), Err(TriggerRefusal::NotFound), "there is none");
        let session = add_session(&mut core, 1);
        add_viewer(&mut core, session, handle);
        let mut after = |event| {
            let now = core.now;
            core.sessions.get_mut(session).unwrap().machine.handle(now, event);
            trigger(&mut core, 1)
        };
        assert_eq!(after(Event::Joined), Err(TriggerRefusal::AlreadyPending), "it is being created");
        assert_eq!(after(Event::TunerGranted), Err(TriggerRefusal::NotFound), "it has no picture yet");
        assert_ne!(after(Event::SourceReady), Err(TriggerRefusal::NotFound));
        assert_eq!(after(Event::Left), Err(TriggerRefusal::NotFound), "nobody watches");
    }

    #[test]
    fn reasons_become_one_word() {
        for (reason, normalized) in [
            ("", "manual_trigger"),
            ("  \t", "manual_trigger"),
            ("ui_manual_trigger", "ui_manual_trigger"),
            ("  Operator \t Click ", "operator_click"),
        ] {
            assert_eq!(normalized_reason(reason), normalized);
        }
    }
}
