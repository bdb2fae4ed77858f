//! What every other module stands on: time, keys, bounds, memory the kernel may touch.

pub mod address;
pub mod arena;
pub mod blocks;
pub mod child_exit;
pub mod clock;
pub mod errno;
pub mod heap;
pub mod histogram;
#[cfg(test)]
pub(crate) mod json_schema;
pub mod kernel_bytes;
pub mod limits;
pub mod log_tail;
pub mod logfmt;
pub mod network;
pub mod rarely;
pub mod redact;
pub mod sockets;

pub use arena::{Arena, Key, KeyBits, behind_last};
pub use blocks::Blocks;
pub use child_exit::ChildExit;
pub use clock::{Clock, Instant, OwnTime, WallTime};
pub use errno::Errno;
pub use histogram::Histogram;
pub use kernel_bytes::{FileBytes, HeapBytes, KernelBytes};
pub use log_tail::LogTail;
pub use network::Network;
pub use rarely::Rarely;
