//! How healthy a source is: what is known of its last starts, how long it is left alone after failures, and in
//! which order the sources of a channel are tried. Pure: times are seconds since 1970, as the database has them.

mod order;
mod row;

pub use order::{Ranked, order};
pub use row::{Health, cooldown_after};
