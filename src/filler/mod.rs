//! What viewers get while no source delivers: a slate, tables, or null packets. Pure: times come as arguments, bytes go to
//! the caller.

mod filler;
mod guardrail;
pub mod slate;

pub use filler::{Due, Filler, KeepaliveTotals, Mode, Params, Report};
