//! How healthy a source is: what is known of its last starts, how long it is left alone after failures, in which
//! order the sources of a channel are tried, and what of all that is yet to be stored. Pure: times are arguments,
//! and those that are stored are seconds since 1970, as the database has them.

mod order;
mod prober;
mod reason;
mod registry;

pub use order::{Ranked, order};
pub use prober::{Action, Candidate, Event, Params, Prober};
pub use reason::{REASON_CHARS_MAX, failure_reason, stored_reason};
pub use registry::{BATCH_ROWS_MAX, Batch, Counts, FLUSH_INTERVAL, News, Registry, Totals};
