//! The policy of sources: how one is opened, read, judged and given up. Pure; the engine and control do the IO.
//!
//! * [`mode`]: which means open which address.
//! * [`direct`]: an HTTP(S) client without a socket.
//! * [`ffmpeg`]: the argument lists of the child, by what the installed ffmpeg knows.
//! * [`sniff`]: what a [`body`] is when it is no transport stream.
//! * [`hls`]: segments instead of a stream.
//! * [`dash`]: manifests for whoever asks another server than theirs.
//! * [`udp`]: datagrams, bare and in RTP.
//! * [`web`]: a stream or segments, behind one face.
//! * [`list`]: which streams a list names.
//! * [`profile`]: what its pictures and sound are like.
//! * [`pace`]: how far ahead of viewers it is read.
//! * [`relayed`]: what a child asks for through us.
//! * [`trust`]: which servers are believed.
//! * [`startup`]: one attempt, from the first byte to the first picture.
//! * [`startup_facts`]: what that attempt has shown.
//! * [`watch`]: whether a started source still delivers what viewers need.
//! * [`error`]: what a failure means for everybody else.

pub mod admission;
pub mod body;
pub mod cutover;
pub mod dash;
pub mod direct;
pub mod error;
pub mod ffmpeg;
pub mod hls;
pub mod list;
pub mod mode;
pub mod pace;
pub mod profile;
pub mod relayed;
pub mod scheme;
pub mod sniff;
pub mod startup;
pub mod startup_facts;
pub mod trust;
pub mod udp;
pub mod watch;
pub mod web;

pub use error::{Kind, SourceError};
pub use mode::{Mode, Opening, Remux, plan, plan_after};
pub use relayed::{RELAYED_ADDRESS, Relayed};
pub use trust::Trust;
