//! What the playlists offer, and how it becomes channels.

pub mod m3u;
pub mod sync;

pub use sync::{health_changes, lineup, new_items};
