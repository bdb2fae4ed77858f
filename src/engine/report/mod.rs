//! What a core tells: events as log lines.

pub(crate) mod events;
