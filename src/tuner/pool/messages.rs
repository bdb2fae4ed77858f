//! What is said between the pool and those who need tuners.

use crate::base::Instant;

/// What a tuner is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A session. May take the tuner of a probe or of a session without viewers.
    Client,
    /// A probe. Takes only what is free, and yields to any session.
    Probe,
}

/// What can happen to the pool. `H` names the holder of a tuner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<H> {
    /// Somebody needs a tuner. Answered by exactly one [`Action::Grant`] or [`Action::Refuse`], unless it is
    /// cancelled before.
    Request {
        /// Who asks.
        holder: H,
        /// What the snapshot calls the lease.
        label: String,
        /// What for.
        kind: Kind,
    },
    /// Somebody who waits has given up. Too late once the tuner is granted: it must then be released.
    Cancel {
        /// Who asked.
        holder: H,
    },
    /// The holder is done with its tuner.
    Release {
        /// The tuner.
        tuner: u16,
    },
    /// The holder has no viewers (or has them again): the tuner may (not) be taken from it.
    Idle {
        /// The tuner.
        tuner: u16,
        /// No viewers now.
        idle: bool,
    },
    /// The answer to [`Action::Preempt`] when viewers had come back.
    NotIdle {
        /// The tuner.
        tuner: u16,
    },
    /// The deadline of [`super::Pool::next_deadline`] has come.
    Deadline,
}

/// What the engine is to tell somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<H> {
    /// The tuner is the holder's until it releases it.
    Grant {
        /// Who asked.
        holder: H,
        /// The tuner.
        tuner: u16,
    },
    /// There is no tuner for the holder.
    Refuse {
        /// Who asked.
        holder: H,
    },
    /// The holder is to end if it still has no viewers; a probe is to end in any case, and says nothing about
    /// its source.
    Preempt {
        /// Whose tuner it is.
        holder: H,
        /// The tuner.
        tuner: u16,
    },
}

/// A tuner that has been granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease<H> {
    /// The tuner, from zero.
    pub tuner: u16,
    /// What for.
    pub kind: Kind,
    /// What the request called it.
    pub label: String,
    /// Who has it.
    pub holder: H,
    /// When it was granted.
    pub started_at: Instant,
}
