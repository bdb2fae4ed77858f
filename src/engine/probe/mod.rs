//! Sources tried in the background.

pub(crate) mod probing;
