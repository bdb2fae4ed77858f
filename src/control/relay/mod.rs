//! Children read HTTP and HTTPS through this process: they are given addresses of this host for everything, and it is asked for by
//! our own client. So whoever reads a source, its servers are verified alike, hear the same header fields and get their cookies
//! back, and what is said in confidence stands in no child's arguments, which every user of this host may read.
//!
//! ```text
//! ffmpeg ── http://127.0.0.1:PORT/TOKEN/NUMBER.m4s ──▶ relay ── the address that a list named ──▶ the source's servers
//!        ── http://127.0.0.1:PORT/TOKEN/dNUMBER/path ──▶      ── the server that a manifest named ──▶
//! ```
//!
//! A token is a child's and dies with it; a number is that of an address which a list of this child's has named, or of a server that
//! a manifest of DASH has, which names segments by templates. Nothing else is asked for. Each connection has a thread that waits
//! for both its ends.

mod fetch;
mod listener;
mod names;
mod origin;
mod serve;

pub(super) use fetch::{Fetch, Requester};
pub(super) use listener::{Lease, NO_PROXY, Relay, Shown};
