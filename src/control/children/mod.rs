//! Child processes: how one is started, what it says, how it ends.

mod capture;
mod listener;
mod probes;
mod running;
mod spawn;
mod stderr_lines;
mod stderr_tail;
mod trampoline;

pub(super) use capture::{Capture, Captured, Limits};
pub(super) use probes::Probes;
pub(super) use running::Children;
pub(super) use spawn::find;
pub use stderr_lines::Passthrough;
pub use trampoline::{ExecError, exec_child};
