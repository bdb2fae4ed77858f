//! A source while it is opened and read: a channel's, or one that the prober tries.

pub(crate) mod attempt;
pub(crate) mod ingest;
pub(crate) mod own;
pub(crate) mod run;
pub(crate) mod staging;
pub(crate) mod upstream;
