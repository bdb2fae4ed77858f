//! Everything that is not a packet: the administrative HTTP, child processes, name lookups, the playlist,
//! signals and the service manager. One thread with a `tokio-uring` runtime, which nothing else names.
//!
//! A core never waits for this thread: it leaves a request in a bounded queue and finds the answer in its
//! mailbox. A request that panics here is answered with 500, and no viewer notices.

mod access;
mod call;
mod capture;
mod children;
mod connection;
mod fetch;
mod health;
mod notify;
mod outbox;
mod params;
mod playlist;
mod port;
mod probes;
mod resolver;
mod routes;
mod run;
mod said;
mod signals;
mod slates;
mod spawn;
mod state;
mod stderr_tail;
mod trampoline;

pub use notify::watchdog_feeder;
pub use params::{AdminAuth, Identity, Network, Params, Parts, PlaylistUrl};
pub use port::{Inbox, Port, port};
pub use run::{ControlError, run};
pub use said::Passthrough;
pub use signals::block_signals;
pub use trampoline::{ExecError, exec_child};
