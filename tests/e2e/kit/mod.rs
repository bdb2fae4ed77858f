//! What the tests work with: the program, its clients and its providers.

mod broadcast;
mod client;
mod daemon;
mod network;
mod process;
mod segments;
mod upstream;
mod wait;

pub(crate) use broadcast::{Broadcast, Fate, Manner, free_group, plain_head};
pub(crate) use client::{Answer, End, Viewer, exchange, exchange_within, judge};
pub(crate) use daemon::{BINARY, Daemon, command, free_port};
pub(crate) use network::Network;
pub(crate) use process::{Process, children_of};
pub(crate) use segments::{Reply, Request, Segments};
pub(crate) use upstream::Upstream;
pub(crate) use wait::{LONG, Stopwatch, until};
