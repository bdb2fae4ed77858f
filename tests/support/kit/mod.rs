//! What the tests work with: the program, its clients and its providers.

mod broadcast;
mod client;
mod daemon;
mod network;
mod process;
mod programme;
mod segments;
mod upstream;
mod wait;

pub use broadcast::{Broadcast, Fate, Manner, free_group, plain_head};
pub use client::{Answer, End, Viewer, exchange, exchange_within, judge};
pub use daemon::{Daemon, binary, command, free_port};
pub use network::Network;
pub use process::{Process, children_of};
pub use programme::{PROGRAMME, PROGRAMME_RATE, programme, run};
pub use segments::{Reply, Request, Segments};
pub use upstream::Upstream;
pub use wait::{LONG, Stopwatch, until};
