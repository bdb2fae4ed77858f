//! What the playlists offer.

pub mod m3u;
