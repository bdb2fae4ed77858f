//! What is offered: channels, their sources, and what was last known of each source. One shape of each, from the database
//! to the status document.

mod health;
mod lineup;
mod profile;

pub use health::{Health, cooldown_after};
pub use lineup::{Channel, ChannelId, Lineup, Source, SourceId};
pub use profile::StoredProfile;
