//! How others on the network find us: HDHomeRun's own discovery and what its tools ask next, and that of UPnP (SSDP).

mod due;
mod getset;
mod hdhomerun;
mod hosts;
mod interfaces;
mod message;
mod packet;
mod rate;
mod socket;
mod ssdp;

pub(super) use getset::{FIRMWARE_NAME, FIRMWARE_VERSION, MODEL_NUMBER};
pub(super) use hdhomerun::HdHomeRun;
#[cfg(any(test, feature = "sim"))]
pub use message::is_search;
#[cfg(any(test, feature = "sim"))]
pub use packet::{is_question, value_answer};
pub(super) use ssdp::Ssdp;
