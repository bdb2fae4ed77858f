//! The places at providers, shared by all cores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ids::{CoreId, SessionId};
use crate::lineup::PlaylistId;
use crate::session::Places;

/// The places of all playlists. A core that is to open a connection must know at once whether it may, so these are not asked for by
/// message; the lock is held for a look at a few entries, when a stream begins or ends.
#[derive(Clone, Debug, Default)]
pub struct SharedPlaces(Arc<Mutex<Places<(CoreId, SessionId)>>>);

impl SharedPlaces {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Places<(CoreId, SessionId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams each playlist may have.
    pub(crate) fn set_limits(&self, limits: &BTreeMap<PlaylistId, u32>) {
        self.lock().set_limits(limits);
    }
}
