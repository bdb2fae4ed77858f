//! Slates for sessions: asked of control when a channel's stream is known, and there before they are needed.

use std::sync::Arc;

use crate::filler::slate::Slate;
use crate::ring::Lent;
use crate::uring::Driver;

use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::messages::Ticket;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Keeps the slate for the session that asked. Without one the filler plays the slate that is built in;
    /// control has logged why.
    pub(crate) fn on_slate(&mut self, ticket: Ticket, result: Result<Arc<Slate>, String>) {
        let asker = self.sessions.iter_mut().find(|(_, session)| session.slate_question == Some(ticket));
        let Some((_, session)) = asker else { return };
        session.slate_question = None;
        session.slate = result.ok().or(session.slate.take());
    }
}
