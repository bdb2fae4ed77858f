//! A source while it is opened and read.

pub(crate) mod children;
pub(crate) mod ingest;
pub(crate) mod looking;
pub(crate) mod opening;
pub(crate) mod own;
pub(crate) mod staging;
pub(crate) mod upstream;
