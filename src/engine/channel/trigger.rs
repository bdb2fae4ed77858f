//! A recovery that somebody asks for.

use crate::lineup::ChannelId;
use crate::ring::Lent;
use crate::uring::Driver;

use crate::engine::connection::client::SessionKey;
use crate::engine::context::token::Token;
use crate::engine::core::Core;

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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::base::Instant;
    use crate::engine::testing::{SimCore, add_session, add_viewer, core};
    use crate::lineup::SourceId;
    use crate::session::ProviderScope;
    use crate::session::{Candidate, Event, Sources};

    /// A channel with one source.
    struct OneSource;

    impl Sources for OneSource {
        fn candidates(&mut self) -> Vec<Candidate> {
            vec![Candidate {
                index: 0,
                id: SourceId(1),
                provider: ProviderScope::of("http://127.0.0.1/a", 1),
                has_url: true,
                cooling_until: None,
                persisted_cooling_until: None,
                fails: 0,
                last_fail_at: 0,
                priority: 0,
                provider_free_at: None,
                release: None,
            }]
        }

        fn failover_settle(&mut self, _now: Instant) -> Duration {
            Duration::ZERO
        }
    }

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
            core.sessions.get_mut(session).unwrap().machine.handle(now, event, &mut OneSource);
            trigger(&mut core, 1)
        };
        assert_eq!(after(Event::Joined), Err(TriggerRefusal::AlreadyPending), "it is being created");
        assert_eq!(after(Event::TunerGranted), Err(TriggerRefusal::NotFound), "it has no picture yet");
        assert_eq!(after(Event::SourceReady), Ok(()));
    }

    #[test]
    fn a_session_that_nobody_watches_is_not_recovered() {
        let (mut core, handle) = core();
        let session = add_session(&mut core, 1);
        add_viewer(&mut core, session, handle);
        for event in [Event::Joined, Event::TunerGranted, Event::SourceReady, Event::Left] {
            let now = core.now;
            core.sessions.get_mut(session).unwrap().machine.handle(now, event, &mut OneSource);
        }
        assert_eq!(trigger(&mut core, 1), Err(TriggerRefusal::NotFound));
    }
}
