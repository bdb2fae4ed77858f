//! The beginning of a stream, before it is known whether viewers will get it.
//!
//! A source that is being started must not write into the ring: a filler may be writing there, and most starts begin
//! in the middle of a picture. What it sends is kept here until it is selected, and then moved.

use crate::base::HeapBytes;
use crate::base::limits::{PACKET_BYTES, READ_BYTES_MAX};
use crate::splice::ClockBefore;
use crate::ts::psi::Programme;

use crate::engine::source::ingest::Ingest;

/// What is kept of a stream in which no start has been found. A start is found within a few packets of where it lies.
const STAGED_BYTES_MAX: usize = 2 * 1024 * 1024;
const _: () = assert!(STAGED_BYTES_MAX.is_multiple_of(4) && STAGED_BYTES_MAX > 4 * READ_BYTES_MAX);

/// The beginning of a stream.
#[derive(Default)]
pub(crate) struct Staging {
    /// Whole packets, then what is undecided.
    bytes: Vec<u8>,
    /// Of these, bytes of whole packets.
    packets_bytes: usize,
    /// The position of the first of them in the run.
    position: u64,
    /// The last clock before what is kept.
    clock_before: Option<ClockBefore>,
    /// What the next read is to use.
    spare: Option<HeapBytes>,
}

impl Staging {
    /// Memory for the next read.
    pub(crate) fn room(&mut self) -> HeapBytes {
        self.spare.take().unwrap_or_else(|| HeapBytes::zeroed(READ_BYTES_MAX))
    }

    /// Memory that was read into comes back.
    pub(crate) fn keep(&mut self, memory: HeapBytes) {
        self.spare = Some(memory);
    }

    /// Adds what has been read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Looks at what has been added.
    pub(crate) fn look(&mut self, ingest: &mut Ingest, fresh: usize) {
        let undecided = self.bytes.len() - self.packets_bytes - fresh;
        let aligned = ingest.take(&mut self.bytes[self.packets_bytes..], undecided);
        self.packets_bytes += aligned.packets_bytes;
        self.bytes.truncate(self.packets_bytes + aligned.rest_bytes);
        if self.bytes.len() > STAGED_BYTES_MAX && !ingest.has_started() {
            let excess = (self.bytes.len() - STAGED_BYTES_MAX / 2).next_multiple_of(PACKET_BYTES);
            self.drop_front(excess.min(self.packets_bytes));
            ingest.forget_before(self.position);
        }
    }

    /// Forgets what lies before a position of the run, but for the programme's clock.
    pub(crate) fn start_from(&mut self, position: u64, programme: Option<&Programme>) {
        let before = usize::try_from(position.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let before = before.min(self.packets_bytes);
        let clock = programme.and_then(|programme| ClockBefore::find(&self.bytes[..before], programme));
        self.clock_before = clock.or(self.clock_before.filter(|_| before == 0));
        self.drop_front(before);
    }

    /// The last clock before what is kept.
    pub(crate) const fn clock_before(&self) -> Option<ClockBefore> {
        self.clock_before
    }

    fn drop_front(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        self.packets_bytes -= bytes;
        self.position += bytes as u64;
    }

    /// Where what is kept begins, in the run.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The whole packets.
    pub(crate) fn packets(&self) -> &[u8] {
        &self.bytes[..self.packets_bytes]
    }

    /// Bytes that are left to be moved.
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Moves the next bytes.
    pub(crate) fn flush(&mut self, into: &mut [u8]) {
        into.copy_from_slice(&self.bytes[..into.len()]);
        self.bytes.drain(..into.len());
        self.packets_bytes = self.packets_bytes.saturating_sub(into.len());
    }
}
