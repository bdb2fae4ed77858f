//! Programme guides in XMLTV: read, matched with the channels, and written again. Bytes go in and bytes come out, one programme
//! after the other: a guide of a gigabyte takes no more memory than one of a page.
//!
//! Guides are written by everybody with whatever was at hand. Nothing here is an error but a reader that fails: what can be read of
//! a broken one is, what cannot is left out and counted, and what is written is well-formed whatever was read.

mod names;
mod plan;
mod read;
mod text;
mod times;
mod tokens;
mod write;

pub use names::normalised;
pub use plan::{Digest, LineupChannel, Pick, choose};
pub use read::{GuideChannel, GuideEntry, Programme, Reader, Skipped};
pub use times::{parse_shift, parse_time, shown_time};
pub use write::{GuideWriter, WriteCounts};

#[cfg(test)]
mod tests;
