//! HLS, read here: no process, no second connection, and the sound of the quality that is seen.
//!
//! * `machine`: what is fetched next of one list, and what becomes of it. It takes events and the time, and knows neither sockets nor
//!   HTTP.
//! * `group`: a picture and sounds in segments of their own, a machine for each; `merge`: one programme of them; `packed`: sound
//!   without a container.
//! * `list`, `attributes`: master and media lists. `choose`: which variant. `align`: where a list that was loaded again goes on.
//! * `segment`, `aes`, `delay`: which bytes of a segment are the stream's, in the memory into which they were received.
//! * [`Upstream`]: the group with the HTTP client of [`crate::source::direct`], which is all that the engine sees of it.
//!
//! ```text
//!          ┌───────────── list due ──────────────┐
//!          ▼                                     │
//! new ─▶ list ─▶ master? choose, list ─▶ media ──┼─▶ key? ─▶ segment ─▶ next one; missing: passed over ─┐
//!          ▲                                     │                                                      │
//!          │                                     └──────────────────────────────────────────────────────┤
//!          └── refused: where it was said to be, ◀── nothing new for three target durations: Failed     │
//!              then where the source is              all delivered, and the list says so: Ended ◀───────┘
//! ```
//!
//! # One request at a time
//!
//! Providers count connections. A list waits for the segment that is on its way and a segment for the list. That costs nothing: a
//! list is asked for once per target duration, of which segments fill a part. Where the server keeps the connection the next
//! request goes on it; it is closed before one to another server is made. Nothing is fetched ahead: a segment is asked for when
//! viewers want more ([`Upstream::next`] is told), and flows as slowly as they take it. Lists are asked for in any case.
//!
//! # Where lists are asked for
//!
//! Where redirects led the last time: panels give every visitor of the first address another edge with other numbers. When
//! that is refused, where the list was said to be, and then where the source is: what an address leads to expires.
//!
//! # What is left to ffmpeg
//!
//! [`Unreadable`] says what: fragmented MP4, SAMPLE-AES, DRM, sound without a container, unless it is beside a picture, AAC or MPEG
//! audio, and says when it is heard. It is known after a list, or after
//! the first bytes of a segment, and its failure is one that [`crate::source::plan_after`] answers with ffmpeg. A lesser
//! variant that could be read is not taken instead. Renditions of subtitles are passed over: a transport stream has no WebVTT.
//! Sounds in segments of their own are read beside the picture, the group's default and up to seven others.
//!
//! # How the engine drives it
//!
//! A run of HLS is a run of a direct source whose client changes; [`crate::source::web::Web`] is either. Instead of the client
//! [`Upstream::next`] is asked:
//!
//! | next | the engine |
//! |---|---|
//! | [`Next::Client`] | does what [`Upstream::client`] wants, as for a direct source: look up, connect, send, receive |
//! | ... its `TakeBody`, `ReceiveBody` | the same, by [`Upstream::take_body`] and [`Upstream::body_in_place`], with the ring's memory or the staged run's. What they return goes to the ingest; 0 is nothing: a list, a key, a picture in front |
//! | ... its `Reconnect`, [`Next::Close`] | closes the socket, then [`Upstream::disconnected`] |
//! | [`Next::TakeBody`] | [`Upstream::take_body`]: at most [`TAIL_BYTES_MAX`] bytes of a segment's end, or what a group has made |
//! | [`Next::Wait`] | asks again at [`Upstream::next_deadline`], and when the pace allows more |
//! | [`Next::Ended`] | the source has ended |
//! | [`Next::Failed`] | the source has failed: [`Upstream::failure`] |
//!
//! `may_read` is false while the pacer rests or the ring is not to be written. [`Upstream::is_streaming`] tells what is paced
//! from what is not: bytes of lists and keys pass through the same memory and leave none in it. The deadline of the run is
//! [`Upstream::next_deadline`] besides those of the startup and the watch; the watch counts silence from the end of what was
//! delivered, so that segments which come at once are no stall. No sniffer is needed: whatever is delivered begins with a packet.
//! Seams between segments are in [`Item`] for whoever wants to know of them. The splice need not be told: it finds by the packets
//! that times or streams change, announced or not.
//!
//! [`crate::source::plan`] opens by it what is called `.m3u8` in the modes `auto` and `direct`; [`crate::source::plan_after`]
//! what turns out to be a list; and what fails as [`Unreadable`] goes on by ffmpeg in `auto`.
//!
//! What belongs to requests belongs to the client: headers of the channel, cookies, TLS, redirects. Each request's client is
//! made of the same [`crate::source::direct::Params`], and the cookies of one are handed on to the next. What an entry's
//! headers say to the source's own host is said to no other host of segments.

mod aes;
mod align;
mod attributes;
mod choose;
mod delay;
mod failure;
mod group;
mod language;
mod list;
mod machine;
mod merge;
mod packed;
mod rewrite;
mod segment;
mod upstream;

pub use choose::{VariantMax, VariantMaxError};
pub use failure::{Failure, ListError, SegmentError, Unreadable};
pub use group::{Group, Remark};
pub use list::{ByteRange, is_gzip, unpack};
pub use machine::{Counters, Fetch, ForOthers, HlsParams, HlsWant, Item, Joint, Machine};
pub use rewrite::{Start, rewritten, start};
pub use segment::TAIL_BYTES_MAX;
pub use upstream::{Next, Upstream};
