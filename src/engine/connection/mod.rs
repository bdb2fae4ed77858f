//! Connections: from accept to the place where they belong.

pub(crate) mod client;
pub(crate) mod intake;
