//! The kernel's side of a core: operations in, completions out.
//!
//! [`Driver`] is what the engine sees. [`KernelDriver`] is io_uring; `sim::SimDriver` (feature `sim`) is its seeded,
//! faulty twin for tests. Whatever an operation lends to the kernel is owned by the driver's table until the kernel's last
//! word about it: the completion, or for a zero-copy send the notification.

mod driver;
mod kernel;
mod probe;
mod receiver;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod slots;
mod submit;
mod table;

pub use driver::{
    Completion, Driver, Event, Handle, Hangup, OpKey, Operation, Reception, ReceptionError, Refused, is_over,
};
pub use kernel::{Files, KernelDriver};
pub use probe::{Missing, Probe, ProbeError, probe};
