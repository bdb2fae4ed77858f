//! The ring itself: where the writer is, where readers may be, and what is lent.

use std::rc::Rc;

use crate::base::limits::PACKET_BYTES;

use super::memory::{Hold, Lease, RegisteredSpan, RingMemory, Segments, Shared, WriteSpan, pending_mut};

const PACKET: u64 = PACKET_BYTES as u64;
/// What is copied at once when a ring grows.
const COPIED_BYTES: usize = 64 * 1024;

/// Why a span cannot be reserved now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReserveError {
    /// A send that the kernel has yet to be told of, or whose end is yet to be heard of, reads what lies there.
    Read,
    /// A span is out already: one at a time.
    Lent,
    /// There are no pages to be had.
    NoMemory(nix::Error),
}

/// A channel's ring. Positions: `tail <= readers <= head <= filled`, and `filled - tail` is at most the memory.
///
/// The writer enters one segment after the other; what lay in one is gone once it has been entered. So there is one segment more
/// than the capacity says.
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
    /// End of the segments that have been entered.
    entered: u64,
    /// Bytes of pages that were given away because somebody may still have referred to them.
    given_bytes: u64,
    /// Registrations that name pages which have been given away.
    withdrawn: Vec<u16>,
}

impl Ring {
    /// A ring that holds at least `bytes`.
    ///
    /// # Errors
    /// When the process is out of memory, address space or file descriptors.
    pub fn new(bytes: usize, segments: Segments) -> Result<Self, nix::Error> {
        let bytes = bytes.max(1).checked_next_multiple_of(segments.bytes()).ok_or(nix::Error::ENOMEM)?;
        let memory =
            RingMemory::new(bytes.checked_add(segments.bytes()).ok_or(nix::Error::ENOMEM)?, segments)?;
        Ok(Self {
            shared: Rc::new(Shared::new(memory)),
            tail: 0,
            head: 0,
            filled: 0,
            lent_end: 0,
            entered: 0,
            given_bytes: 0,
            withdrawn: Vec::new(),
        })
    }

    /// A larger ring with the same bytes at the same positions. What has been lent of this one stays where it is.
    ///
    /// # Errors
    /// When the process is out of memory, address space or file descriptors.
    pub fn enlarged(&self, bytes: usize) -> Result<Self, nix::Error> {
        assert!(!self.is_reserved(), "nothing is being received while the ring grows");
        let mut ring = Self::new(bytes, self.shared.memory.segments())?;
        assert!(ring.capacity() >= self.capacity(), "a ring does not shrink");
        (ring.tail, ring.head, ring.filled, ring.lent_end) =
            (self.tail, self.head, self.filled, self.lent_end);
        (ring.entered, ring.given_bytes) = (self.entered, self.given_bytes);
        // In parts: copied as one, nearly all of both doubled mappings would become resident.
        for position in (self.tail..self.filled).step_by(COPIED_BYTES) {
            let bytes =
                usize::try_from(self.filled - position).map_or(COPIED_BYTES, |bytes| bytes.min(COPIED_BYTES));
            pending_mut(&mut ring.shared, position, bytes)
                .copy_from_slice(self.shared.memory.read(position, bytes));
        }
        Ok(ring)
    }

    /// What lies so many bytes before the end of what is received or being received is still there.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.shared.memory.bytes() as u64 - self.shared.segment_bytes()
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

    /// What is to be registered with a driver for an operation at this position; nothing if it is.
    #[must_use]
    pub fn unregistered(&self, position: u64) -> Option<RegisteredSpan> {
        let is_new = !self.shared.is_registered(position);
        is_new.then(|| RegisteredSpan { shared: Rc::clone(&self.shared), position })
    }

    /// Notes under which index that is registered; what is lent of it from now on says so.
    pub fn note_registered(&self, position: u64, buffer: u16) {
        self.shared.set_registered(position, buffer);
    }

    /// Registrations that are to be withdrawn: what they name is not the ring's any more.
    pub fn take_withdrawn(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.withdrawn)
    }

    /// All registrations, to be withdrawn: the ring is done with.
    pub fn withdraw(&mut self) -> Vec<u16> {
        let mut all = self.take_withdrawn();
        all.extend(self.shared.withdraw());
        all
    }

    /// Bytes of pages that were given away so far.
    #[must_use]
    pub const fn given_bytes(&self) -> u64 {
        self.given_bytes
    }

    /// True while a reserved span has not come back.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        self.lent_end != self.filled
    }

    /// True while anything of this ring is lent.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub fn is_lent(&self) -> bool {
        Rc::strong_count(&self.shared) > 1
    }

    /// Reserves the next `bytes` for the kernel to fill, and gives up what they overwrite. Nobody is waited for but a send that
    /// this very turn has begun: pages that the kernel may still refer to are left to it.
    ///
    /// # Errors
    /// See [`ReserveError`]; nothing is reserved then.
    pub fn reserve(&mut self, bytes: usize) -> Result<WriteSpan, ReserveError> {
        if self.lent_end != self.filled {
            return Err(ReserveError::Lent);
        }
        let end = self.filled + bytes as u64;
        assert!(end - self.head <= self.capacity() / 2, "what is pending is small beside the ring");
        while self.entered < end {
            self.enter()?;
        }
        self.lent_end = end;
        Ok(WriteSpan { shared: Rc::clone(&self.shared), position: self.filled, bytes })
    }

    /// Enters the next segment.
    fn enter(&mut self) -> Result<(), ReserveError> {
        if self.shared.is_read(self.entered) {
            return Err(ReserveError::Read);
        }
        let segment_end = self.entered + self.shared.segment_bytes();
        // What lay here is gone from now on, also if there are no pages yet.
        let tail = segment_end.saturating_sub(self.shared.memory.bytes() as u64).next_multiple_of(PACKET);
        self.tail = self.tail.max(tail);
        if self.shared.may_be_held(self.entered) {
            let withdrawn = self.shared.renew(self.entered).map_err(ReserveError::NoMemory)?;
            self.withdrawn.extend(withdrawn.into_iter().flatten());
            self.given_bytes += self.shared.segment_bytes();
        }
        self.entered = segment_end;
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

    /// Lends a committed span whose bytes are read where they are, before long.
    pub fn lease(&self, position: u64, bytes: usize) -> Lease {
        self.assert_readable(position, bytes);
        Lease::new(&self.shared, position, bytes, Hold::Reading)
    }

    /// Lends a committed span whose pages are held until the lease is dropped.
    pub fn lend(&self, position: u64, bytes: usize) -> Lease {
        self.assert_readable(position, bytes);
        Lease::new(&self.shared, position, bytes, Hold::Lent)
    }

    /// Gives a committed span to be sent from the file. Its pages may be held when the lease is long gone.
    pub fn give(&self, position: u64, bytes: usize) -> Lease {
        self.assert_readable(position, bytes);
        Lease::new(&self.shared, position, bytes, Hold::Given)
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
    use std::io::Read;
    use std::os::fd::AsFd;

    use nix::sys::sendfile::sendfile64;

    use super::*;
    use crate::base::KernelBytes;
    use crate::base::limits::{READ_BYTES_MAX, SEGMENTED_BYTES, SEND_BYTES_MAX};

    const SEGMENT: usize = Segments::Small.bytes();

    fn ring(segments: usize) -> Ring {
        Ring::new(segments * SEGMENT, Segments::Small).unwrap()
    }

    /// Writes whole packets whose bytes are all `fill`.
    fn write(ring: &mut Ring, packets: usize, fill: u8) -> Result<(), ReserveError> {
        let bytes = packets * PACKET_BYTES;
        let span = ring.reserve(bytes)?;
        ring.received(span, bytes);
        ring.pending().fill(fill);
        ring.commit(bytes, 0);
        Ok(())
    }

    /// Writes until what lies at a position is gone.
    fn write_over(ring: &mut Ring, position: u64, fill: u8) {
        let end = position + ring.shared.memory.bytes() as u64 + SEGMENT as u64;
        while ring.head() < end {
            write(ring, 100, fill).unwrap();
        }
        assert!(ring.tail() > position);
    }

    #[test]
    fn a_span_across_the_seam_is_contiguous() {
        let mut ring = ring(1);
        let seam = ring.shared.memory.bytes() as u64;
        for fill in 0..seam / PACKET - 1 {
            write(&mut ring, 1, u8::try_from(fill % 251).unwrap()).unwrap();
        }
        write(&mut ring, 4, 0xEE).unwrap();
        let position = ring.head() - 4 * PACKET;
        assert!(position < seam && ring.head() > seam, "the span crosses the seam");
        assert!(ring.bytes(position, 4 * PACKET_BYTES).iter().all(|&byte| byte == 0xEE));
    }

    #[test]
    fn what_the_capacity_promises_is_there_wherever_the_writer_is() {
        let mut ring = ring(3);
        assert_eq!(ring.capacity(), 3 * SEGMENT as u64);
        for _ in 0..30_000 {
            write(&mut ring, 3, 1).unwrap();
            let (head, tail) = (ring.head(), ring.tail());
            assert!(head - tail <= ring.shared.memory.bytes() as u64);
            assert!(
                tail <= head.saturating_sub(ring.capacity()).next_multiple_of(PACKET),
                "{tail} of {head}"
            );
            assert_eq!(tail % PACKET, 0);
        }
        assert_eq!(ring.given_bytes(), 0, "nobody referred to anything");
    }

    #[test]
    fn what_is_read_where_it_is_stops_the_writer_and_keeps_its_bytes() {
        let mut ring = ring(1);
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
        assert_eq!(blocked, ReserveError::Read);
        assert!(lease.bytes().iter().all(|&byte| byte == 0xAA));
        drop(lease);
        write(&mut ring, 10, 0xBB).unwrap();
    }

    #[test]
    fn what_is_sent_from_the_file_arrives_as_it_was_however_late_it_is_read() {
        let mut ring = ring(2);
        write(&mut ring, 300, 0xAA).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let lease = ring.give(PACKET, 200 * PACKET_BYTES);
        let at = lease.file().unwrap();
        let mut offset = i64::try_from(at.offset).unwrap();
        let sent = sendfile64(writer.as_fd(), at.file, Some(&mut offset), lease.len()).unwrap();
        drop((lease, writer));
        write_over(&mut ring, 0, 0xBB);
        assert_eq!(ring.given_bytes(), SEGMENT as u64, "one segment, and once");
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert!(got.len() == sent && sent > 10_000 && got.iter().all(|&byte| byte == 0xAA), "{sent} bytes");
        let head = ring.head();
        write(&mut ring, 300, 0xCC).unwrap();
        assert!(ring.bytes(head, 300 * PACKET_BYTES).iter().all(|&byte| byte == 0xCC));
    }

    #[test]
    fn new_pages_are_taken_only_where_something_may_be_held() {
        let mut ring = ring(3);
        (0..30).for_each(|_| write(&mut ring, 100, 1).unwrap());
        let across = ring.lend(SEGMENT as u64 - PACKET, 2 * PACKET_BYTES);
        let at_the_end = ring.lend(0, SEGMENT);
        drop(at_the_end);
        write_over(&mut ring, SEGMENT as u64 * 2, 2);
        assert_eq!(ring.given_bytes(), 2 * SEGMENT as u64, "both segments in which the span lies");
        drop(across);
        let end = ring.head() + 10 * SEGMENT as u64;
        while ring.head() < end {
            write(&mut ring, 100, 3).unwrap();
        }
        assert!(ring.given_bytes() <= 4 * SEGMENT as u64, "those who hold nothing cost nothing");
    }

    #[test]
    fn only_one_span_is_out_at_a_time() {
        let mut ring = ring(1);
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
        let mut ring = ring(1);
        while ring.tail() == 0 {
            write(&mut ring, 10, 1).unwrap();
        }
        let _lease = ring.lease(0, PACKET_BYTES);
    }

    #[test]
    fn a_larger_ring_goes_on_where_the_smaller_one_was() {
        let mut small = ring(1);
        for fill in 0..1500 {
            write(&mut small, 3, u8::try_from(fill % 251).unwrap()).unwrap();
        }
        let span = small.reserve(100).unwrap();
        small.received(span, 100);
        let lease = small.lease(small.tail(), 3 * PACKET_BYTES);
        let mut large = small.enlarged(2 * SEGMENT).unwrap();
        assert_eq!((large.tail(), large.head(), large.pending_bytes()), (small.tail(), small.head(), 100));
        assert_eq!(large.pending(), small.pending());
        let kept = usize::try_from(small.head() - small.tail()).unwrap();
        assert_eq!(large.bytes(large.tail(), kept), small.bytes(small.tail(), kept));
        drop(small);
        let (tail, before) = (large.tail(), lease.bytes().to_vec());
        write(&mut large, 20, 9).unwrap();
        assert_eq!(large.tail(), tail, "there is more room");
        write_over(&mut large, tail, 9);
        assert!(lease.bytes() == before, "what was lent of the smaller one is its own");
    }

    #[test]
    fn what_says_that_it_is_registered_lies_in_what_is_also_across_the_seam() {
        let mut ring = ring(3);
        let mut registered = 0;
        for round in 0..400 {
            write(&mut ring, 53, 1).unwrap();
            let mut assert_inside = |ring: &Ring, position: u64, lent: &dyn KernelBytes| {
                let span = RegisteredSpan { shared: Rc::clone(&ring.shared), position };
                let all = span.address() as usize..span.address() as usize + span.len();
                let from = lent.address() as usize;
                registered += usize::from(lent.registered_buffer().is_some());
                assert!(all.start <= from && from + lent.len() <= all.end, "round {round}");
            };
            let span = ring.reserve(READ_BYTES_MAX).unwrap();
            assert_inside(&ring, ring.filled(), &span);
            ring.received(span, 0);
            for bytes in [PACKET_BYTES, 53 * PACKET_BYTES] {
                let position = ring.head() - bytes as u64;
                if ring.unregistered(position).is_some() {
                    ring.note_registered(position, 3);
                }
                assert!(ring.unregistered(position).is_none());
                assert_inside(&ring, position, &ring.lend(position, bytes));
            }
        }
        assert!(registered > 800, "{registered}");
        let tail = ring.tail();
        ring.note_registered(tail, 3);
        assert_eq!(ring.lend(tail, SEGMENTED_BYTES).registered_buffer(), Some(3));
        assert_eq!(ring.lend(tail, SEND_BYTES_MAX).registered_buffer(), None, "no operation is that long");
        assert_eq!(ring.lease(tail, PACKET_BYTES).registered_buffer(), None, "it is read where it is");
    }

    #[test]
    fn a_registration_goes_with_the_pages_it_names() {
        let mut ring = ring(3);
        (0..30).for_each(|_| write(&mut ring, 100, 1).unwrap());
        for segment in 0..2 {
            ring.note_registered(segment * SEGMENT as u64, u16::try_from(segment).unwrap());
        }
        // What begins in the first segment reaches into the second.
        let held = ring.lend(SEGMENT as u64 + 10 * PACKET, PACKET_BYTES);
        write_over(&mut ring, SEGMENT as u64 * 2, 2);
        let mut withdrawn = ring.take_withdrawn();
        withdrawn.sort_unstable();
        assert_eq!(withdrawn, [0, 1]);
        drop(held);
        ring.note_registered(ring.head() - 1, 7);
        assert_eq!((ring.withdraw(), ring.withdraw()), (vec![7], vec![]));
    }

    #[test]
    fn huge_segments_are_a_ring_like_any_other() {
        let mut ring = Ring::new(1, Segments::Huge).unwrap();
        assert_eq!(ring.capacity(), Segments::Huge.bytes() as u64);
        for round in 0..60_u8 {
            let from = ring.head();
            write(&mut ring, 1000, round).unwrap();
            let given = ring.give(from, 1000 * PACKET_BYTES);
            assert!(given.file().is_some());
            assert!(ring.bytes(from, 1000 * PACKET_BYTES).iter().all(|&byte| byte == round));
        }
        assert!(ring.given_bytes() >= 3 * Segments::Huge.bytes() as u64, "{}", ring.given_bytes());
    }

    #[test]
    fn huge_pages_are_used_where_files_in_memory_get_them_when_asked_for() {
        for (said, expected) in [
            ("always within_size advise [never] deny force", Segments::Small),
            ("always within_size advise never [deny] force", Segments::Small),
            ("always within_size [advise] never deny force", Segments::Huge),
            ("always [within_size] advise never deny force", Segments::Huge),
            ("[always] within_size advise never deny force\n", Segments::Huge),
            ("", Segments::Small),
        ] {
            assert_eq!(Segments::where_shmem_is(said), expected, "{said:?}");
        }
    }

    #[test]
    fn a_large_ring_is_freed_by_another_thread_and_a_small_one_at_once() {
        for (segments, at_once) in [(4, true), (40, false)] {
            let mut ring = ring(segments);
            write(&mut ring, 300, 1).unwrap();
            let given = ring.give(0, PACKET_BYTES);
            let file = nix::sys::stat::fstat(given.file().unwrap().file).unwrap().st_ino;
            let is_mapped = || {
                let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
                maps.lines()
                    .any(|line| line.contains("memfd:tunerd-ring") && line.contains(&format!(" {file} ")))
            };
            assert!(is_mapped());
            drop((ring, given));
            assert!(!at_once || !is_mapped());
            while is_mapped() {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn memory_is_gone_with_the_last_lease_not_before() {
        let mut ring = ring(1);
        write(&mut ring, 2, 0x77).unwrap();
        let lease = ring.lease(PACKET, PACKET_BYTES);
        assert!(ring.is_lent());
        drop(ring);
        assert!(lease.bytes().iter().all(|&byte| byte == 0x77));
    }
}
