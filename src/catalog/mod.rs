//! What the playlists offer, and how it becomes channels.

pub mod guide;
pub mod m3u;
pub mod profiles;
pub mod staged;
pub mod sync;
pub mod xtream;

pub use profiles::{ProfileError, Profiles, treatment};
pub use staged::{Staged, Staging};
pub use sync::{NewItems, lineup, tuners};
