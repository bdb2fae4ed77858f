//! How others on the network find us: HDHomeRun's own discovery.

mod hdhomerun;
mod hosts;
mod interfaces;
mod packet;
mod rate;
mod socket;

pub(super) use hdhomerun::HdHomeRun;
