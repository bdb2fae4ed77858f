//! Chunks and what a read gives.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::WallTime;

/// Why a ring was closed.
pub type RingError = Arc<dyn Error + Send + Sync>;

/// A chunk. Its bytes stay as they are for as long as this or a clone of it is held.
#[derive(Clone)]
pub struct Chunk {
    seq: u64,
    published_at: WallTime,
    bytes: Bytes,
}

impl Chunk {
    pub(super) const fn new(seq: u64, published_at: WallTime, bytes: Bytes) -> Self {
        Self { seq, published_at, bytes }
    }

    /// Its number in the ring.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// When it was published.
    #[must_use]
    pub const fn published_at(&self) -> WallTime {
        self.published_at
    }

    /// Its bytes: never none.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn to_owned_chunk(&self) -> OwnedChunk {
        OwnedChunk { seq: self.seq, published_at: self.published_at, bytes: self.bytes().to_vec() }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Chunk")
            .field("seq", &self.seq)
            .field("published_at", &self.published_at)
            .field("length", &self.bytes().len())
            .finish()
    }
}

/// A copy of a chunk, for diagnosis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedChunk {
    /// Its number in the ring.
    pub seq: u64,
    /// When it was published.
    pub published_at: WallTime,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a read has found. All of it is of one moment.
#[derive(Clone, Debug)]
#[must_use]
pub struct ReadResult {
    /// The chunks from the wanted one to the newest.
    pub chunks: Vec<Chunk>,
    /// Where to read next.
    pub next_seq: u64,
    /// What was wanted has been evicted; `next_seq` is the oldest that is left.
    pub behind: bool,
    /// Nothing comes any more, and everything before the close has been read.
    pub closed: bool,
    /// Why it was closed, when `closed`; nothing when there was no error.
    pub error: Option<RingError>,
    /// What to wait on when nothing was found.
    pub wait_seq: u64,
    /// What was wanted.
    pub requested_seq: u64,
    /// The oldest chunk; the next one when there is none.
    pub oldest_seq: u64,
    /// The number of the next chunk.
    pub ring_next_seq: u64,
    /// Chunks in the ring.
    pub buffered_chunks: usize,
    /// Their bytes.
    pub buffered_bytes: usize,
}

impl ReadResult {
    /// True when what was wanted lies beyond the next chunk: a reader that goes on from here misses what
    /// comes before.
    #[must_use]
    pub const fn is_ahead(&self) -> bool {
        self.requested_seq > self.ring_next_seq
    }

    /// Lets the chunks go. Dropping the result does it too.
    pub fn release(&mut self) {
        self.chunks = Vec::new();
    }
}
