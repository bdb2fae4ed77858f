//! The ring itself: where the writer is, where readers may be, and what is lent.

use std::cell::Cell;
use std::rc::Rc;

use crate::base::limits::PACKET_BYTES;

use super::memory::{Lease, RegisteredSpan, RingMemory, SEGMENT_BYTES, Shared, WriteSpan, pending_mut};

const PACKET: u64 = PACKET_BYTES as u64;
/// What is copied at once when a ring grows.
const COPIED_BYTES: usize = 64 * 1024;

/// Why a span cannot be reserved now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReserveError {
    /// A lease that begins before this position is in the way. Its holder is a ring behind.
    Pinned {
        /// Leases beginning before this position block the writer.
        below: u64,
    },
    /// A span is out already: one at a time.
    Lent,
}

/// A channel's ring. Positions: `tail <= readers <= head <= filled`, and `filled - tail <= capacity`.
#[derive(Debug)]
pub struct Ring {
    shared: Rc<Shared>,
    /// Oldest byte that is still there; packet-aligned.
    tail: u64,
    /// End of what readers may see; packet-aligned.
    head: u64,
    /// End of what has been received. Between head and here lies what is still to be inspected.
    filled: u64,
    /// End of the span that is out, or `filled`.
    lent_end: u64,
}

impl Ring {
    /// A ring that holds at least `bytes`.
    ///
    /// # Errors
    /// When the process is out of memory, address space or file descriptors.
    pub fn new(bytes: usize) -> Result<Self, nix::Error> {
        let memory = RingMemory::new(bytes)?;
        let segments = (memory.capacity() as u64).div_ceil(SEGMENT_BYTES) + 2;
        let pins = (0..segments).map(|_| Cell::new(0)).collect();
        let shared = Rc::new(Shared { memory, pins, registered: Cell::new(None) });
        Ok(Self { shared, tail: 0, head: 0, filled: 0, lent_end: 0 })
    }

    /// A larger ring with the same bytes at the same positions. What has been lent of this one stays where it is.
    ///
    /// # Errors
    /// When the process is out of memory, address space or file descriptors.
    pub fn enlarged(&self, bytes: usize) -> Result<Self, nix::Error> {
        assert!(!self.is_reserved(), "nothing is being received while the ring grows");
        let mut ring = Self::new(bytes)?;
        assert!(ring.capacity() >= self.capacity(), "a ring does not shrink");
        (ring.tail, ring.head, ring.filled, ring.lent_end) =
            (self.tail, self.head, self.filled, self.lent_end);
        // In parts: copied as one, nearly all of both doubled mappings would become resident.
        for position in (self.tail..self.filled).step_by(COPIED_BYTES) {
            let bytes =
                usize::try_from(self.filled - position).map_or(COPIED_BYTES, |bytes| bytes.min(COPIED_BYTES));
            pending_mut(&mut ring.shared, position, bytes)
                .copy_from_slice(self.shared.memory.read(position, bytes));
        }
        Ok(ring)
    }

    /// The ring's size.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.shared.memory.capacity() as u64
    }

    /// The oldest position that can be read.
    #[must_use]
    pub const fn tail(&self) -> u64 {
        self.tail
    }

    /// The end of what can be read: where the next packet will be.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// The end of what has been received.
    #[must_use]
    pub const fn filled(&self) -> u64 {
        self.filled
    }

    /// Bytes received but not yet committed.
    #[must_use]
    pub const fn pending_bytes(&self) -> u64 {
        self.filled - self.head
    }

    /// Its memory, to be registered with a driver.
    #[must_use]
    pub fn mapping(&self) -> RegisteredSpan {
        RegisteredSpan { shared: Rc::clone(&self.shared) }
    }

    /// Notes under which index the mapping is registered; leases and spans made from now on say so.
    pub fn set_registered(&mut self, buffer: Option<u16>) {
        self.shared.registered.set(buffer);
    }

    /// Under which index the mapping is registered.
    #[must_use]
    pub fn registered(&self) -> Option<u16> {
        self.shared.registered.get()
    }

    /// True while a reserved span has not come back.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        self.lent_end != self.filled
    }

    /// True while anything of this ring is lent: a registration must not be withdrawn before.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        Rc::strong_count(&self.shared) > 1
    }

    /// Reserves the next `bytes` for the kernel to fill, and gives up what they overwrite.
    ///
    /// # Errors
    /// See [`ReserveError`]; nothing has changed then.
    pub fn reserve(&mut self, bytes: usize) -> Result<WriteSpan, ReserveError> {
        if self.lent_end != self.filled {
            return Err(ReserveError::Lent);
        }
        let end = self.filled + bytes as u64;
        assert!(end - self.head <= self.capacity() / 2, "what is pending is small beside the ring");
        let tail = end.saturating_sub(self.capacity()).next_multiple_of(PACKET).max(self.tail);
        self.check_pins(tail)?;
        self.tail = tail;
        self.lent_end = end;
        Ok(WriteSpan { shared: Rc::clone(&self.shared), position: self.filled, bytes })
    }

    fn check_pins(&self, tail: u64) -> Result<(), ReserveError> {
        let mut segment = self.tail / SEGMENT_BYTES;
        while segment * SEGMENT_BYTES < tail {
            if self.shared.pin(segment * SEGMENT_BYTES).get() != 0 {
                return Err(ReserveError::Pinned { below: (segment + 1) * SEGMENT_BYTES });
            }
            segment += 1;
        }
        Ok(())
    }

    /// Takes a span back after `bytes` of it have been filled.
    pub fn received(&mut self, span: WriteSpan, bytes: usize) {
        assert!(Rc::ptr_eq(&span.shared, &self.shared), "the span is of this ring");
        assert!(
            span.position == self.filled && bytes <= span.bytes,
            "a span comes back once, not overfilled"
        );
        drop(span);
        self.filled += bytes as u64;
        self.lent_end = self.filled;
    }

    /// Everything received and not yet committed, to be inspected and changed in place.
    pub fn pending(&mut self) -> &mut [u8] {
        assert_eq!(self.lent_end, self.filled, "nothing behind the head is lent while it is looked at");
        let bytes = usize::try_from(self.filled - self.head).expect("less than the ring");
        pending_mut(&mut self.shared, self.head, bytes)
    }

    /// Makes the first `bytes` of what is pending visible, keeps the next `rest` pending and forgets the others.
    pub fn commit(&mut self, bytes: usize, rest: usize) {
        assert_eq!(self.lent_end, self.filled, "a commit does not pull memory from under the kernel");
        assert!(bytes.is_multiple_of(PACKET_BYTES), "only whole packets become visible");
        let head = self.head + bytes as u64;
        assert!(head + rest as u64 <= self.filled, "only what was received is committed");
        self.head = head;
        self.filled = head + rest as u64;
        self.lent_end = self.filled;
    }

    /// Forgets what is pending: the source it came from is gone.
    pub fn drop_pending(&mut self) {
        self.commit(0, 0);
    }

    /// Lends a committed span.
    pub fn lease(&self, position: u64, bytes: usize) -> Lease {
        self.assert_readable(position, bytes);
        Lease::new(&self.shared, position, bytes)
    }

    /// The bytes of a committed span.
    #[must_use]
    pub fn bytes(&self, position: u64, bytes: usize) -> &[u8] {
        self.assert_readable(position, bytes);
        self.shared.memory.read(position, bytes)
    }

    fn assert_readable(&self, position: u64, bytes: usize) {
        assert!(
            self.tail <= position && position + bytes as u64 <= self.head,
            "only what is committed and not overwritten can be read: {position}+{bytes} in {}..{}",
            self.tail,
            self.head
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::KernelBytes;
    use crate::base::limits::{READ_BYTES_MAX, SEND_BYTES_MAX};

    const PAGE: usize = 4096;

    /// Writes whole packets whose bytes are all `fill`.
    fn write(ring: &mut Ring, packets: usize, fill: u8) -> Result<(), ReserveError> {
        let bytes = packets * PACKET_BYTES;
        let span = ring.reserve(bytes)?;
        ring.received(span, bytes);
        ring.pending().fill(fill);
        ring.commit(bytes, 0);
        Ok(())
    }

    #[test]
    fn a_span_across_the_seam_is_contiguous() {
        let mut ring = Ring::new(64 * PAGE).unwrap();
        let packets = 64 * PAGE / PACKET_BYTES - 1;
        for fill in 0..packets {
            write(&mut ring, 1, u8::try_from(fill % 251).unwrap()).unwrap();
        }
        write(&mut ring, 4, 0xEE).unwrap();
        let position = ring.head() - 4 * PACKET;
        assert!(position < ring.capacity() && ring.head() > ring.capacity(), "the span crosses the seam");
        assert!(ring.bytes(position, 4 * PACKET_BYTES).iter().all(|&byte| byte == 0xEE));
    }

    #[test]
    fn the_tail_follows_the_writer_at_one_rings_distance() {
        let mut ring = Ring::new(64 * PAGE).unwrap();
        for _ in 0..10_000 {
            write(&mut ring, 3, 1).unwrap();
            assert!(ring.head() - ring.tail() <= ring.capacity());
            assert_eq!(ring.tail() % PACKET, 0);
        }
        assert!(ring.head() - ring.tail() > ring.capacity() - 4 * PACKET);
    }

    #[test]
    fn a_leased_span_stops_the_writer_and_keeps_its_bytes() {
        let mut ring = Ring::new(64 * PAGE).unwrap();
        write(&mut ring, 10, 0xAA).unwrap();
        let lease = ring.lease(0, 10 * PACKET_BYTES);
        let mut writes = 0;
        let blocked = loop {
            match write(&mut ring, 10, 0xBB) {
                Ok(()) => writes += 1,
                Err(error) => break error,
            }
            assert!(writes < 1000, "the writer never met the lease");
        };
        assert_eq!(blocked, ReserveError::Pinned { below: SEGMENT_BYTES });
        assert!(lease.bytes().iter().all(|&byte| byte == 0xAA));
        drop(lease);
        write(&mut ring, 10, 0xBB).unwrap();
    }

    #[test]
    fn only_one_span_is_out_at_a_time() {
        let mut ring = Ring::new(64 * PAGE).unwrap();
        let span = ring.reserve(1000).unwrap();
        assert_eq!(ring.reserve(1).unwrap_err(), ReserveError::Lent);
        ring.received(span, 200);
        assert_eq!(ring.pending().len(), 200);
        ring.commit(PACKET_BYTES, 12);
        assert_eq!((ring.head(), ring.pending_bytes()), (PACKET, 12));
        assert!(ring.reserve(1).is_ok());
    }

    #[test]
    #[should_panic(expected = "only what is committed")]
    fn what_was_overwritten_cannot_be_leased() {
        let mut ring = Ring::new(64 * PAGE).unwrap();
        while ring.tail() == 0 {
            write(&mut ring, 10, 1).unwrap();
        }
        let _lease = ring.lease(0, PACKET_BYTES);
    }

    #[test]
    fn a_larger_ring_goes_on_where_the_smaller_one_was() {
        let mut small = Ring::new(16 * PAGE).unwrap();
        for fill in 0..1000 {
            write(&mut small, 3, u8::try_from(fill % 251).unwrap()).unwrap();
        }
        let span = small.reserve(100).unwrap();
        small.received(span, 100);
        let lease = small.lease(small.tail(), 3 * PACKET_BYTES);
        let mut large = small.enlarged(20 * PAGE).unwrap();
        assert_eq!((large.tail(), large.head(), large.pending_bytes()), (small.tail(), small.head(), 100));
        assert_eq!(large.pending(), small.pending());
        let kept = usize::try_from(small.head() - small.tail()).unwrap();
        assert_eq!(large.bytes(large.tail(), kept), small.bytes(small.tail(), kept));
        drop(small);
        let (tail, before) = (large.tail(), lease.bytes().to_vec());
        write(&mut large, 20, 9).unwrap();
        assert_eq!(large.tail(), tail, "there is more room");
        write(&mut large, 100, 9).unwrap();
        assert!(
            large.tail() > tail && lease.bytes() == before,
            "what was lent of the smaller one is its own"
        );
    }

    #[test]
    fn what_says_that_it_is_registered_lies_in_what_is_also_across_the_seam() {
        let mut ring = Ring::new(256 * PAGE).unwrap();
        ring.set_registered(Some(3));
        let all = ring.mapping();
        let bytes = all.address() as usize..all.address() as usize + all.len();
        assert!(all.len() < 2 * 256 * PAGE, "what no operation reaches is not registered");
        let is_inside = |lent: &dyn KernelBytes| {
            let from = lent.address() as usize;
            lent.registered_buffer() == Some(3) && bytes.start <= from && from + lent.len() <= bytes.end
        };
        for _ in 0..50 {
            write(&mut ring, 53, 1).unwrap();
        }
        for _ in 0..200 {
            write(&mut ring, 53, 1).unwrap();
            let span = ring.reserve(READ_BYTES_MAX).unwrap();
            assert!(is_inside(&span));
            ring.received(span, 0);
            for bytes in [PACKET_BYTES, SEND_BYTES_MAX] {
                assert!(is_inside(&ring.lease(ring.tail(), bytes)));
                assert!(is_inside(&ring.lease(ring.head() - bytes as u64, bytes)));
            }
        }
        let long = ring.lease(ring.tail(), SEND_BYTES_MAX + 1);
        assert_eq!(long.registered_buffer(), None, "no operation is that long");
    }

    #[test]
    fn memory_is_gone_with_the_last_lease_not_before() {
        let mut ring = Ring::new(PAGE).unwrap();
        write(&mut ring, 2, 0x77).unwrap();
        let lease = ring.lease(PACKET, PACKET_BYTES);
        assert!(ring.is_lent());
        drop(ring);
        assert!(lease.bytes().iter().all(|&byte| byte == 0x77));
    }
}
