//! A channel's bytes: one memfd mapped twice back to back, absolute positions, and leases on what the kernel
//! is still reading.
//!
//! * A position is a byte offset since the channel started. Lag is a subtraction, overrun a comparison.
//! * The writer reserves a span, the kernel fills it, and what has been inspected becomes visible by
//!   [`Ring::commit`]. Nothing is copied on the way.
//! * The writer never touches pages that somebody may still refer to. It takes others for them ([`Ring::reserve`]), so that nobody
//!   has to be waited for: a send that reads the bytes where they are is over within its turn.
//!
//! For programs that have threads of their own there is [`ChunkRing`]: chunks are copied in, and whoever has
//! read them keeps them for as long as it likes.

pub mod chunk_ring;
mod entry_index;
mod memory;
mod pace_line;
mod reader;
mod stream;

pub use chunk_ring::ChunkRing;
pub use entry_index::{Entry, EntryIndex};
pub use memory::{Lease, Lent, RegisteredSpan, RingMemory, Segments, WriteSpan};
pub use pace_line::{Offset, PaceLine};
pub use reader::{Reader, SharedRing};
pub use stream::{ReserveError, Ring};
