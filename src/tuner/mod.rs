//! Who has a tuner: the pool of them, and which channels are refused for a while.

pub mod backoff;
pub mod pool;

pub use backoff::{Backoff, Rejected};
pub use pool::{Action, Event, Kind, Lease, Pool};
