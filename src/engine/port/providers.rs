//! What is known of providers, shared by all cores: a provider does not know which of them asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::session::ProviderCooldowns;

/// The providers that are left alone, and how long each counts what is closed; by the clock, since each core has a time of its own.
/// The lock is held for a look at one entry, when a source is chosen, begins or ends.
#[derive(Clone, Debug)]
pub struct SharedProviders(Arc<Mutex<ProviderCooldowns>>);

impl Default for SharedProviders {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(ProviderCooldowns::new(Duration::ZERO))))
    }
}

impl SharedProviders {
    pub(crate) fn lock(&self) -> MutexGuard<'_, ProviderCooldowns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
