//! The border between a channel, which writes, and its outlets, which read.
//!
//! Nothing crosses it but memory that an outlet only reads ([`feed::View`]) and messages ([`ToOutlet`](super::port::outlets::ToOutlet) one way,
//! [`ToChannel`](super::context::post::ToChannel) the other). The outlet on the channel's own core is called. One on another core
//! reads the same ring, whose positions and leases are atomic, sees the rest as it was last told ([`Sight`](super::port::outlets::Sight)), and is sent the
//! same words, put together while its mailbox is full ([`News`](super::port::outlets::News)).

pub(crate) mod feed;
pub(crate) mod messages;
