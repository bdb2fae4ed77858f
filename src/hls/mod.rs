//! A channel as HTTP Live Streaming (RFC 8216): where its segments begin and end, which of them are listed, the lists' text, and who
//! watches by asking for them. All of it pure: positions and times come in, segments and texts go out.
//!
//! A segment here is a span of a channel's ring, from one entry point to another. (Those of [`source::hls`](crate::source::hls) are a
//! provider's.)

mod cutter;
mod list;
mod viewers;

pub use cutter::{Cutter, LISTED_AFTER, Listed, Place, Segment};
pub use list::{ListAddress, master_list, media_list};
pub use viewers::{SentAway, SessionName, Viewers, Watcher};
