//! Slates for the cores: from memory, from the files of earlier runs, or encoded now. One encoder runs at a time,
//! and never because of an outage: slates are asked for when a channel is first seen.

mod cache;
mod encoder;
mod keeper;

pub(super) use encoder::Encoder;
pub(super) use keeper::Slates;
