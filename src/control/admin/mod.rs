//! The administrative HTTP: who may ask, what is answered, and the connections on which it happens.

mod access;
mod call;
mod client;
mod connection;
mod permits;
mod routes;
mod soap;
mod xml;

pub(super) use connection::Connections;
#[cfg(any(test, feature = "sim"))]
pub use routes::is_body;
#[cfg(any(test, feature = "sim"))]
pub use soap::is_action;
