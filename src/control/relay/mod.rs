//! Children that read HLS through this process: their ffmpeg does not verify the servers that a list names, so they are given
//! addresses of this host for everything, and it is asked for by our own client.
//!
//! ```text
//! ffmpeg ── http://127.0.0.1:PORT/TOKEN/NUMBER.m4s ──▶ relay ── the address that a list named ──▶ the source's servers
//! ```
//!
//! A token is a child's and dies with it; a number is that of an address which a list of this child's has named. Nothing else
//! is asked for. Each connection has a thread that waits for both its ends.

mod fetch;
mod listener;
mod names;
mod origin;
mod serve;

pub(super) use listener::{Lease, RELAY_HOST, Relay, Shown};
