//! What the playlists offer, and how it becomes channels.

pub mod m3u;
pub mod sync;

pub use sync::{lineup, new_items};
