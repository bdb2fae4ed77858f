//! What keeps the picture moving when a source is lost. Pure: times come as arguments, bytes go to the caller.

mod budget;
mod penalty;
mod provider;

pub use budget::{Budget, Exhausted, backoff, pacing};
pub use penalty::{Penalties, Penalty};
pub use provider::{ProviderCooldowns, ProviderScope, cooldown_with};
