//! The programme guide that players read: fetched from wherever guides are, limited to the lineup, kept on disk.
//!
//! Each guide lies compressed beside the database as it was when it was last read well, so that a changed lineup needs no server, and
//! what players get is made from these on a thread of its own, and put in its place when it is whole.

mod asking;
mod keep;
mod make;
mod shelf;
mod unpack;

pub(super) use asking::hint_params;
pub(super) use keep::keep;
pub(super) use shelf::{Hint, Shelf, ShownGuide};
#[cfg(any(test, feature = "sim"))]
pub use unpack::unpacked_guide;
