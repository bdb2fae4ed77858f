//! What cores and control say to each other.

pub(crate) mod drain;
pub(crate) mod gate;
pub(crate) mod heartbeat;
pub(crate) mod ids;
pub(crate) mod mailbox;
pub(crate) mod messages;
pub(crate) mod outlets;
pub(crate) mod params;
pub(crate) mod placement;
pub(crate) mod places;
pub(crate) mod providers;
pub(crate) mod room;
pub mod snapshot;
pub(crate) mod tallies;
pub(crate) mod trials;
