//! What the process offers to tuners' clients: the channel lineup and the tuners themselves.

pub mod backoff;
pub mod lineup;
pub mod pool;

pub use backoff::{Backoff, Rejected};
pub use lineup::{Channel, ChannelId, Lineup, Source, SourceId};
pub use pool::{Action, Event, Kind, Lease, Pool};
