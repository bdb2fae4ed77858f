//! What the process offers to tuners' clients: the channel lineup and the tuners themselves.

pub mod lineup;
pub mod pool;

pub use lineup::{Channel, ChannelId, Lineup, Source, SourceId};
pub use pool::{Action, Event, Kind, Lease, Pool};
