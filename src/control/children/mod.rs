//! Child processes: how one is started, what it says, how it ends.

mod capture;
mod children;
mod probes;
mod said;
mod spawn;
mod stderr_tail;
mod trampoline;

pub(super) use capture::{Capture, Captured, Limits};
pub(super) use children::Children;
pub(super) use probes::Probes;
pub use said::Passthrough;
pub(super) use spawn::find;
pub use trampoline::{ExecError, exec_child};
