//! What keeps the picture moving when a source is lost. Pure: times come as arguments, bytes go to the caller.

mod holdback;
pub mod splice;

pub use holdback::{HELD_BYTES_MAX, Holdback};
pub use splice::{BoundaryReport, Lead, Run, RunKind, Splice, SpliceCounts};
