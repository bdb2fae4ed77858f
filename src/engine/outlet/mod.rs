//! The reading side of a channel: its viewers.

pub(crate) mod egress;
pub(crate) mod log;
pub(crate) mod viewers;
