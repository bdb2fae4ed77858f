//! A channel's bytes: one memfd mapped twice back to back, absolute positions, and leases on what the kernel
//! is still reading.
//!
//! * A position is a byte offset since the channel started. Lag is a subtraction, overrun a comparison.
//! * The writer reserves a span, the kernel fills it, and what has been inspected becomes visible by
//!   [`Ring::commit`]. Nothing is copied on the way.
//! * The writer never touches a span on which a [`Lease`] is held: [`Ring::reserve`] says `Pinned` instead.

mod entry_index;
mod memory;
mod stream;

pub use entry_index::{Entry, EntryIndex};
pub use memory::{Lease, Lent, RingMemory, WholeMapping, WriteSpan};
pub use stream::{ReserveError, Ring};
