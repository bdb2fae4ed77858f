//! What keeps the picture moving when a source is lost. Pure: times come as arguments, bytes go to the caller.

mod filler;
mod guardrail;
pub mod slate;

pub use filler::{Due, Filler, KeepaliveTotals, Mode, Params as FillerParams, Report as FillerReport};
