//! What keeps the picture moving when a source is lost. Pure: times come as arguments, bytes go to the caller.

mod budget;
mod filler;
mod guardrail;
mod penalty;
mod provider;
pub mod slate;

pub use budget::{Budget, Exhausted, backoff, pacing};
pub use filler::{Due, Filler, KeepaliveTotals, Mode, Params as FillerParams, Report as FillerReport};
pub use penalty::{Penalties, Penalty};
pub use provider::{ProviderCooldowns, ProviderScope, cooldown_with};
mod holdback;
pub mod splice;

pub use holdback::{HELD_BYTES_MAX, HELD_BYTES_USUAL, Holdback};
pub use splice::{BoundaryReport, ClockBefore, Lead, Run, RunKind, Splice, SpliceCounts};
