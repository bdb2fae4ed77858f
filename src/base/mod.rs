//! What every other module stands on: time, keys, bounds, memory the kernel may touch.

pub mod arena;
pub mod child_exit;
pub mod clock;
pub mod errno;
pub mod inherited;
pub mod kernel_bytes;
pub mod limits;
pub mod redact;

pub use arena::{Arena, Key};
pub use child_exit::ChildExit;
pub use clock::{Clock, Instant, WallTime};
pub use errno::Errno;
pub use kernel_bytes::{HeapBytes, KernelBytes};
