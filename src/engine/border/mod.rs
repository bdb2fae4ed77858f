//! The border between a channel, which writes, and its outlets, which read.
//!
//! Nothing crosses it but memory that an outlet only reads ([`feed::Feed`]) and messages ([`messages::ToOutlet`] one way,
//! [`ToChannel`](super::context::post::ToChannel) the other). Today a channel's outlet stands on the same core and is called;
//! one on another core would be sent the same.

pub(crate) mod feed;
pub(crate) mod messages;
