//! How many connections to the provider of a playlist are in use.

use serde::Serialize;

use crate::engine::snapshot::PlacesInUse;

/// One playlist. Not of the reference.
#[derive(Serialize, Debug)]
pub(super) struct PlaylistStatus {
    playlist_id: i64,
    /// Connections that carry a stream, or are being opened for one.
    connections: usize,
    /// Connections that are closed, and that the provider still counts.
    connections_counted: usize,
    /// How many there may be, of both kinds together. Without it the number of tuners is the only bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    connections_max: Option<u32>,
}

impl From<&PlacesInUse> for PlaylistStatus {
    fn from(places: &PlacesInUse) -> Self {
        Self {
            playlist_id: places.playlist.0,
            connections: places.taken,
            connections_counted: places.counted,
            connections_max: places.limit,
        }
    }
}
