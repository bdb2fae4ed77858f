//! What a core tells in the log.

pub(crate) mod events;
pub(crate) mod refusals;
