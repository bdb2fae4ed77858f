//! Sources that send datagrams: MPEG-TS in UDP, bare or in RTP, to a group of hosts or to this one alone.
//!
//! Nothing here has a socket. [`DatagramAddress`] says what is to be received, and [`Receiver`] makes a stream of it.

mod address;
mod batches;
mod order;
mod receiver;
mod rtp;

pub use address::DatagramAddress;
pub use batches::Batches;
pub use receiver::{DatagramCounters, Receiver};

/// What is the same for all sources that send datagrams.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DatagramParams {
    /// `UPSTREAM_MULTICAST_INTERFACE`: the name or an address of the interface by which groups are joined.
    pub interface: Option<String>,
}
