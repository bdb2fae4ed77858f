//! Everything that is not a packet: the administrative HTTP, discovery, child processes, name lookups, the playlist,
//! signals and the service manager. One thread with a `tokio-uring` runtime, which nothing else names.
//!
//! A core never waits for this thread: it leaves a request in a bounded queue and finds the answer in its
//! mailbox. A request that panics here is answered with 500, and no viewer notices.

mod admin;
mod children;
mod client_names;
mod discovery;
mod doors;
mod fetch;
mod guide;
mod health;
mod heap;
mod jobs;
mod names;
mod notify;
mod outbox;
mod page;
mod params;
mod playlist;
mod port;
mod providers;
mod rates;
mod readings;
mod relay;
mod resolver;
mod run;
mod scan;
mod schedule;
mod signals;
mod slates;
mod state;

#[cfg(any(test, feature = "sim"))]
pub use admin::{is_action, is_body};
pub use children::{ExecError, Passthrough, exec_child};
#[cfg(any(test, feature = "sim"))]
pub use discovery::{is_question, is_search, value_answer};
#[cfg(any(test, feature = "sim"))]
pub use guide::unpacked_guide;
pub use notify::watchdog_feeder;
pub use params::{
    About, AdminAuth, GuideSource, Guides, Identity, Listen, Network, Params, Parts, RateLimit, SettingNow,
    Upnp,
};
pub use port::{Inbox, Port, port};
pub use run::{ControlError, run};
pub use schedule::Timing;
pub use signals::block_signals;
