//! What is offered: channels, their sources, and what was last known of each source. One shape of each, from the database
//! to the status document.

mod channels;
mod health;
mod profile;
mod treatment;

pub use crate::ts::StreamProfile;
pub use channels::{Channel, ChannelId, Lineup, PlaylistId, Source, SourceId, SourceName, Tuners};
pub use health::{Health, HealthRow, cooldown_after};
pub use profile::StoredProfile;
pub use treatment::{Manner, Treatment};
