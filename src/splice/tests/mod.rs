//! The splice as a whole: what leaves, packet by packet, and what a strict receiver makes of it.

mod boundaries;
mod checker;
mod joints;
mod oracle;
mod packets;
pub(super) mod source;
mod times;
