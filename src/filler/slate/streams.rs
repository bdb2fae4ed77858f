//! The elementary data of a slate.

use crate::ts::Codec;

use crate::ts::es::FrameRate;

/// One coded picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    /// The access unit.
    pub bytes: Vec<u8>,
    /// It is shown so many pictures after it is decoded.
    pub delay: u64,
    /// A decoder may start with it.
    pub is_entry: bool,
}

/// A closed GOP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Video {
    /// What it is coded in.
    pub codec: Codec,
    /// The same as the PMT says it.
    pub stream_type: u8,
    /// What else the PMT says.
    pub descriptors: Vec<u8>,
    /// How fast.
    pub rate: FrameRate,
    /// The pictures in the order of decoding; the first is an entry point.
    pub pictures: Vec<Picture>,
}

/// Silence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sound {
    /// What it is coded in.
    pub codec: Codec,
    /// The same as the PMT says it.
    pub stream_type: u8,
    /// What else the PMT says.
    pub descriptors: Vec<u8>,
    /// One frame, which needs no other.
    pub frame: Vec<u8>,
    /// Samples in it.
    pub samples: u32,
    /// Samples in a second.
    pub sample_rate: u32,
}
