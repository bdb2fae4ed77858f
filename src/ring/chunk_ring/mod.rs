//! A ring of chunks that any thread may write and read.
//!
//! * [`ChunkRing::publish`] copies a chunk in and never waits for a reader: the oldest chunks go when the
//!   ring has too many, or too many bytes. Each chunk has a sequence number, from 0 and without gaps.
//! * A reader keeps the sequence number it wants next and asks [`ChunkRing::read_from`]. What it gets is its
//!   own until it is released (or dropped), evicted or not. A reader that has fallen behind is told so; what
//!   follows from that is its own decision.
//! * With nothing to read, [`ChunkRing::wait_for_change`] with the result's `wait_seq` returns when there is.
//!   Nothing that happens between the read and the wait is missed.
//!
//! Memory: each chunk is reference-counted bytes of its own, freed with its last holder. So a ring takes its byte limit,
//! never more than one chunk longer, and readers what they hold beyond it.

mod cancel;
mod chunk;
mod ring;
mod session_limits;

pub use cancel::{Cancel, Cancelled, Unchanged};
pub use chunk::{Chunk, OwnedChunk, ReadResult, RingError};
pub use ring::{ChunkRing, RingClosed};
pub use session_limits::{SessionLimits, session_limits};
