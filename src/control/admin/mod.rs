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
