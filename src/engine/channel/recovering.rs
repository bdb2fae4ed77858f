//! What sessions' machines decide about sources that were lost: recorded, told, and asked for by operators.

use crate::base::redact;
use crate::health::failure_reason;
use crate::lineup::SourceId;
use crate::ring::Lent;
use crate::session::{Action, Notice, TriggerError};
use crate::uring::Driver;

use crate::engine::channel::candidates::Candidates;
use crate::engine::channel::trigger::TriggerRefusal;
use crate::engine::connection::client::SessionKey;
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::report::events::{self, RecoveryTriggered};

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// A source has failed, and its health remembers it.
    pub(crate) fn record_failure(&mut self, session: SessionKey, source: SourceId, reason: &str) {
        let Some(live) = self.sessions.get(session) else { return };
        let channel = live.channel.id;
        let reason = failure_reason(None, &redact::text(reason));
        self.health_failed(source, channel, Some(session), &reason);
    }

    /// A source has streamed well.
    pub(crate) fn record_success(&mut self, session: SessionKey, source: SourceId) {
        let Some(live) = self.sessions.get(session) else { return };
        let channel = live.channel.id;
        self.health_ok(source, channel, Some(session));
    }

    /// What the machine wants to be known.
    pub(crate) fn tell_notice(&mut self, session: SessionKey, notice: &Notice) {
        let policy = self.params.session.stall_policy.as_str();
        let Some(live) = self.sessions.get(session) else { return };
        let about = live.about();
        match notice {
            Notice::RecoveryTriggered { source, reason, cycle, coalesced, .. } => {
                let event = RecoveryTriggered {
                    cycle: u64::from(*cycle),
                    reason,
                    source_id: source.0,
                    stall_policy: policy,
                    effective_mode: None,
                    fallback_reason: None,
                    coalesced: *coalesced,
                };
                log::warn!("{}", events::recovery_triggered(about, &event));
            }
            Notice::IdleSkip { source, reason } => {
                log::info!("{}", events::recovery_skipped(about, source.0, &redact::text(reason)));
            }
            Notice::CanceledWhileIdle { reason } => {
                log::info!("{}", events::canceled_while_idle(about, reason));
            }
            Notice::SameSourceFallback { source, alternates, alternates_cooling } => {
                let line = about
                    .line("shared session recovery restarts the same source")
                    .field("source_id", source.0)
                    .field("stall_policy", policy)
                    .field("effective_recovery_mode", "restart_same_fallback")
                    .field("fallback_reason", "no_alternate_sources")
                    .field("alternate_sources", alternates)
                    .field("alternate_sources_cooling", alternates_cooling);
                log::info!("{line}");
            }
            Notice::AlternateFailed { source, attempts, reason } => {
                let line = about
                    .line("shared session recovery alternate failed")
                    .field("source_id", source.0)
                    .field("attempts", attempts)
                    .field("error", redact::text(reason));
                log::warn!("{line}");
            }
            Notice::Penalized { source, reason, count, cooldown } => {
                let line = about
                    .line("shared session source penalized")
                    .field("source_id", source.0)
                    .field("reason", redact::text(reason))
                    .field("count", count)
                    .field("cooldown", format!("{cooldown:?}"));
                log::info!("{line}");
            }
        }
    }

    /// Somebody wants the session to go on with another source.
    pub(crate) fn trigger_session(
        &mut self,
        session: SessionKey,
        reason: &str,
    ) -> Result<(), TriggerRefusal> {
        let settle = self.failover_settle();
        let wall = self.health.wall_at(self.now);
        let live = self.sessions.get_mut(session).ok_or(TriggerRefusal::NotFound)?;
        let mut sources = Candidates {
            channel: &live.channel,
            health: &self.health.book,
            providers: &self.providers,
            now: self.now,
            wall,
            settle,
        };
        let actions = live.machine.trigger(self.now, reason, &mut sources).map_err(|error| match error {
            TriggerError::NotFound => TriggerRefusal::NotFound,
            TriggerError::AlreadyPending => TriggerRefusal::AlreadyPending,
        })?;
        self.perform_all_then(session, actions);
        self.arm(session);
        Ok(())
    }

    /// Does what a machine has decided.
    pub(crate) fn perform_all(&mut self, session: SessionKey, actions: Vec<Action>) {
        for action in actions {
            self.perform(session, action);
        }
    }
}
