//! The far ends that take connections.

use std::collections::VecDeque;

use crate::base::Instant;

use super::connection::PeerId;

/// How a simulated server takes connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It accepts them: see [`super::World::take_arrival`].
    Accept,
    /// Connection refused. So does every address that nobody serves.
    Refuse,
    /// Nothing comes back.
    Silent,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) answer: Answer,
    pub(super) arrivals: VecDeque<PeerId>,
    /// When the last of what was sent there arrives.
    pub(super) reached_at: Instant,
}
