//! A simulated kernel and network, for tests and simulations.
//!
//! [`SimDriver`] is [`super::KernelDriver`]'s twin: the same trait, the same table of operations, the same
//! assertions. Behind it is a [`World`]: virtual time, sockets with bounded queues, and far ends that a test
//! scripts. Everything that happens is a function of a seed and of what the test does.
//!
//! What the world is strict about, because a real kernel is:
//! * A send's bytes are read when the kernel gets to them: for a queued send when there is room, for a
//!   zero-copy send and one from a file when the far end reads, however long ago the send was. What is read then are the *pages*
//!   that were sent, held as a socket's queue holds them: whoever writes to them instead of taking new ones fails an assertion.
//! * Completions may be late and out of order among operations; never out of order for one operation, and
//!   never against the order of a byte stream.
//! * Closing with unread bytes resets the connection, a bound is a bound, and a descriptor that is dropped is
//!   closed.

mod connection;
mod descriptor;
mod driver;
mod faults;
mod flow;
mod host;
mod pages;
mod random;
mod server;
mod span;
mod world;

pub use connection::{End, Leave, PeerId, Rate};
pub use descriptor::SimDescriptor;
pub use driver::SimDriver;
pub use faults::Faults;
pub use random::{Chance, Random};
pub use server::Answer;
pub use world::{Wakeup, World};
