//! What the process offers to tuners' clients: the channel lineup and the tuners themselves.

pub mod lineup;

pub use lineup::{Channel, ChannelId, Lineup, Source, SourceId};
