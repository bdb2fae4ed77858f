//! What viewers get while no source delivers: a slate, tables, or null packets. Pure: times come as arguments, bytes go to
//! the caller.

mod guardrail;
mod machine;
pub mod slate;

pub use machine::{Due, Filler, KeepaliveReport, KeepaliveTotals, Mode, Params};
