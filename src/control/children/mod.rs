//! Child processes: how one is started, what it says, how it ends.

mod capture;
mod listener;
mod probes;
mod running;
mod said;
mod spawn;
mod stderr_tail;
mod trampoline;

pub(super) use capture::{Capture, Captured, Limits};
pub(super) use probes::Probes;
pub(super) use running::Children;
pub use said::Passthrough;
pub(super) use spawn::find;
pub use trampoline::{ExecError, exec_child};
