//! One unbroken timeline out of many sources: everything a session's viewers get is one transport stream, with one set
//! of PIDs, counters that break only where it is said, and times that never step back.
//!
//! ```text
//! run: packets ─▶ Splice::restamp ─▶ packets, as many, in the same place
//!                  routes        which PID is what in this run
//!                  OutputStreams which PID carries what in this session
//!                  Tables        PAT and PMT as they leave
//!                  InputStreams  what is added to PTS and DTS
//!                  Clock         what is added to the PCR
//!                  Counters      the last counter that left on each PID
//! ```
//!
//! The first run of a session passes as it is, as far as it is sound. A later run begins with a boundary: PAT, PMT and
//! the clock, each with the discontinuity indicator.
//!
//! Time here is that of the clock, also while the process could not run: sources and those who watch have gone on
//! meanwhile, and what comes at once behind a stop has taken as long as it says.

mod cadence;
mod clock;
mod counters;
mod edit;
mod first_timestamps;
mod holdback;
mod input_streams;
mod outlook;
mod output_streams;
mod report;
mod routes;
mod session;
mod source;
mod stamps;
mod tables;
#[cfg(test)]
mod tests;

pub use first_timestamps::{ClockBefore, FirstTimestamps};
pub use holdback::{HELD_BYTES_MAX, HELD_BYTES_USUAL, Holdback};
pub use report::{BoundaryReport, SpliceCounts};
pub use session::{Run, RunKind, Splice};
