//! What a source's pictures and sound are like: for status, for the size of the slate, for the rate of the filler.
//!
//! * [`ProfileScanner`] reads it from the packets that pass anyway: no second connection, no process.
//! * [`BitrateMeter`]: how much comes now.
//! * [`ffprobe`]: for what the scanner cannot read, when a connection is to spare.
//! * [`Schedule`]: when ffprobe may be asked.

mod bitrate;
mod cadence;
pub mod ffprobe;
mod headers;
mod scanner;
mod schedule;

pub use bitrate::{BitrateMeter, ClockRate};
pub use scanner::ProfileScanner;
pub use schedule::{Schedule, Timing, needs_ffprobe};
