//! The splice as a whole: what leaves, packet by packet, and what a strict receiver makes of it.

mod checker;
mod oracle;
mod source;
