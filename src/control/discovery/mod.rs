//! How others on the network find us: HDHomeRun's own discovery, and that of UPnP (SSDP).

mod due;
mod hdhomerun;
mod hosts;
mod interfaces;
mod message;
mod packet;
mod rate;
mod socket;
mod ssdp;

pub(super) use hdhomerun::HdHomeRun;
#[cfg(any(test, feature = "sim"))]
pub use message::is_search;
#[cfg(any(test, feature = "sim"))]
pub use packet::is_question;
pub(super) use ssdp::Ssdp;
