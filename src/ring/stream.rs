//! The ring itself: where the writer is, where readers may be, and what is lent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::KernelBytes;
use crate::base::limits::PACKET_BYTES;

use super::memory::{RingMemory, Segments, Shared, WriteSpan, pending_mut};
use super::reader::{Reader, SharedRing};

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
    shared: Arc<Shared>,
    /// Reads it on the writer's own core.
    reader: Reader,
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
        let shared = Arc::new(Shared::new(memory));
        Ok(Self {
            reader: Reader::new(&shared),
            shared,
            tail: 0,
            head: 0,
            filled: 0,
            lent_end: 0,
            entered: 0,
            given_bytes: 0,
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
        ring.publish();
        ring.set_mark(self.reader.mark());
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

    /// Reads it here.
    #[must_use]
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The ring for another core that is to read it.
    #[must_use]
    pub fn shared(&self) -> SharedRing {
        SharedRing::new(Arc::clone(&self.shared))
    }

    /// Readers may read up to here.
    pub fn set_mark(&self, mark: u64) {
        debug_assert!(mark <= self.head, "what is marked is committed");
        self.shared.at.mark.store(mark, Ordering::Release);
    }

    /// Readers see where the writer is. What lies before the head is written before the head is.
    fn publish(&self) {
        let set = |at: &AtomicU64, position| at.store(position, Ordering::Release);
        set(&self.shared.at.filled, self.filled);
        set(&self.shared.at.head, self.head);
        self.shared.at.tail.store(self.tail, Ordering::SeqCst);
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
        self.is_reserved() || self.shared.is_lent()
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
        let buffer = self.reader.registered().of_span(&self.shared, self.filled, bytes);
        Ok(WriteSpan::new(&self.shared, self.filled, bytes, buffer))
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
        self.publish();
        // Another core may have begun to read before it could see that.
        if self.shared.is_read(self.entered) {
            return Err(ReserveError::Read);
        }
        if self.shared.may_be_held(self.entered) {
            self.shared.renew(self.entered).map_err(ReserveError::NoMemory)?;
            self.given_bytes += self.shared.segment_bytes();
        }
        self.entered = segment_end;
        Ok(())
    }

    /// Takes a span back after `bytes` of it have been filled.
    pub fn received(&mut self, span: WriteSpan, bytes: usize) {
        assert!(Arc::ptr_eq(&span.shared, &self.shared), "the span is of this ring");
        assert!(
            span.position == self.filled && bytes <= span.len(),
            "a span comes back once, not overfilled"
        );
        drop(span);
        self.filled += bytes as u64;
        self.lent_end = self.filled;
        self.publish();
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
        self.publish();
    }

    /// Forgets what is pending: the source it came from is gone.
    pub fn drop_pending(&mut self) {
        self.commit(0, 0);
    }

    /// The bytes of a committed span.
    #[cfg(any(test, feature = "sim"))]
    #[must_use]
    pub fn bytes(&self, position: u64, bytes: usize) -> &[u8] {
        assert!(
            self.tail <= position && position + bytes as u64 <= self.head,
            "only what is committed and not overwritten can be read: {position}+{bytes} in {}..{}",
            self.tail,
            self.head
        );
        self.shared.memory.read(position, bytes)
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
        let lease = ring.reader().lease(0, 10 * PACKET_BYTES).unwrap();
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
        let lease = ring.reader().give(PACKET, 200 * PACKET_BYTES).unwrap();
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
        let across = ring.reader().lend(SEGMENT as u64 - PACKET, 2 * PACKET_BYTES).unwrap();
        let at_the_end = ring.reader().lend(0, SEGMENT).unwrap();
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
    fn what_was_overwritten_cannot_be_leased_and_keeps_nobody_out() {
        let mut ring = ring(1);
        let reader = ring.shared().reader();
        while ring.tail() == 0 {
            write(&mut ring, 10, 1).unwrap();
        }
        let leases = [reader.lease(0, 188), reader.lend(0, 188), reader.give(0, 188)];
        assert!(leases.iter().all(Option::is_none) && reader.copy(0, 188).is_none());
        assert!(!ring.is_lent());
        write_over(&mut ring, SEGMENT as u64 * 2, 2);
        assert_eq!(ring.given_bytes(), 0, "nothing was lent");
    }

    #[test]
    #[should_panic(expected = "only what is committed")]
    fn what_is_not_committed_is_not_lent() {
        let mut ring = ring(1);
        write(&mut ring, 10, 1).unwrap();
        let _lease = ring.reader().lease(0, 11 * PACKET_BYTES);
    }

    /// Packets each of which says where it lies.
    fn write_numbered(ring: &mut Ring, packets: usize) -> Result<(), ReserveError> {
        let (position, bytes) = (ring.head(), packets * PACKET_BYTES);
        let span = ring.reserve(bytes)?;
        ring.received(span, bytes);
        let (all, _) = ring.pending().as_chunks_mut::<PACKET_BYTES>();
        for (packet, position) in all.iter_mut().zip((position..).step_by(PACKET_BYTES)) {
            let (words, _) = packet.as_chunks_mut::<8>();
            words.fill(position.to_le_bytes());
        }
        ring.commit(bytes, 0);
        ring.set_mark(ring.head());
        Ok(())
    }

    /// Reads a span from the ring's file, as a send from it does.
    fn read_file(lease: &super::super::Lease) -> Vec<u8> {
        let mut into = vec![0; lease.len()];
        let at = lease.file().unwrap();
        let first = usize::try_from(at.end - at.offset).unwrap().min(into.len());
        let (one, two) = into.split_at_mut(first);
        nix::sys::uio::pread(at.file, one, i64::try_from(at.offset).unwrap()).unwrap();
        nix::sys::uio::pread(at.file, two, 0).unwrap();
        into
    }

    /// Reads until the mark is at `end`, and whenever it is overtaken goes on at the mark. Gives the packets read.
    fn follow(reader: &Reader, from_file: bool, end: u64, rounds: &AtomicU64) -> u64 {
        let (mut position, mut good) = (0, 0);
        loop {
            let mark = reader.mark();
            if position == mark && mark >= end {
                rounds.store(u64::MAX, Ordering::Release);
                return good;
            }
            let bytes = usize::try_from(mark - position).unwrap().min(300 * PACKET_BYTES);
            let read = if from_file {
                reader.give(position, bytes).map(|lease| read_file(&lease))
            } else {
                reader.copy(position, bytes)
            };
            let read = read.unwrap_or_default();
            let (packets, _) = read.as_chunks::<PACKET_BYTES>();
            for (packet, at) in packets.iter().zip((position..).step_by(PACKET_BYTES)) {
                let (words, _) = packet.as_chunks::<8>();
                assert!(words.iter().all(|word| *word == at.to_le_bytes()), "at {at}");
                good += 1;
            }
            position = if read.len() == bytes { position + bytes as u64 } else { mark };
            rounds.fetch_add(1, Ordering::Release);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_reader_on_another_thread_has_each_byte_as_it_was_written_or_not_at_all() {
        const BURSTS: usize = 150;
        let mut ring = ring(2);
        let rounds = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
        let end = (1..=BURSTS).map(|burst| burst * 7 % 40).sum::<usize>() * 100 * PACKET_BYTES;
        let readers = [false, true].map(|from_file| {
            let (shared, rounds) = (ring.shared(), Arc::clone(&rounds[usize::from(from_file)]));
            std::thread::spawn(move || follow(&shared.reader(), from_file, end as u64, &rounds))
        });
        for burst in 1..=BURSTS {
            let mut left = burst * 7 % 40;
            while left > 0 {
                match write_numbered(&mut ring, 100) {
                    Ok(()) => left -= 1,
                    Err(error) => assert_eq!(error, ReserveError::Read),
                }
            }
            // Some bursts are longer than the ring; between two of them each reader comes round.
            let before = [0, 1].map(|index| rounds[index].load(Ordering::Acquire));
            while (0..2).any(|index| {
                rounds[index].load(Ordering::Acquire).saturating_sub(before[index]) < 2
                    && rounds[index].load(Ordering::Acquire) != u64::MAX
            }) {
                std::thread::yield_now();
            }
        }
        for reader in readers {
            let good = reader.join().unwrap();
            assert!(good > 100, "{good} packets read");
        }
    }

    #[test]
    fn a_larger_ring_goes_on_where_the_smaller_one_was() {
        let mut small = ring(1);
        for fill in 0..1500 {
            write(&mut small, 3, u8::try_from(fill % 251).unwrap()).unwrap();
        }
        let span = small.reserve(100).unwrap();
        small.received(span, 100);
        let lease = small.reader().lease(small.tail(), 3 * PACKET_BYTES).unwrap();
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

    /// Registers what begins in the segment at this position, whatever was before. Gives where it lies.
    fn register(ring: &Ring, position: u64, buffer: u16) -> Option<std::ops::Range<usize>> {
        let span = ring.reader().unregistered(position)?;
        ring.reader().note_registered(&span, buffer);
        Some(span.address() as usize..span.address() as usize + span.len())
    }

    #[test]
    fn what_says_that_it_is_registered_lies_in_what_is_also_across_the_seam() {
        let mut ring = ring(3);
        let mut registered = 0;
        let mut known = std::collections::BTreeMap::new();
        for round in 0..400 {
            write(&mut ring, 53, 1).unwrap();
            let mut assert_inside = |known: &[std::ops::Range<usize>], lent: &dyn KernelBytes| {
                let Some(buffer) = lent.registered_buffer() else { return };
                registered += 1;
                let (all, from) = (&known[usize::from(buffer)], lent.address() as usize);
                assert!(all.start <= from && from + lent.len() <= all.end, "round {round}");
            };
            let spans =
                |known: &std::collections::BTreeMap<u16, _>| known.values().cloned().collect::<Vec<_>>();
            let span = ring.reserve(READ_BYTES_MAX).unwrap();
            assert_inside(&spans(&known), &span);
            ring.received(span, 0);
            for bytes in [PACKET_BYTES, 53 * PACKET_BYTES] {
                let position = ring.head() - bytes as u64;
                let buffer = u16::try_from(known.len()).unwrap();
                known.extend(register(&ring, position, buffer).map(|span| (buffer, span)));
                assert!(ring.reader().unregistered(position).is_none());
                assert_inside(&spans(&known), &ring.reader().lend(position, bytes).unwrap());
            }
        }
        assert!(registered > 800, "{registered}");
        let tail = ring.tail();
        register(&ring, tail, 9);
        assert!(ring.reader().lend(tail, SEGMENTED_BYTES).unwrap().registered_buffer().is_some());
        let too_long = ring.reader().lend(tail, SEND_BYTES_MAX).unwrap();
        assert_eq!(too_long.registered_buffer(), None, "no operation is that long");
        let read = ring.reader().lease(tail, PACKET_BYTES).unwrap();
        assert_eq!(read.registered_buffer(), None, "it is read where it is");
    }

    #[test]
    fn a_registration_goes_with_the_pages_it_names_on_every_core() {
        let mut ring = ring(3);
        (0..30).for_each(|_| write(&mut ring, 100, 1).unwrap());
        let other = ring.shared().reader();
        for segment in 0..2 {
            register(&ring, segment * SEGMENT as u64, u16::try_from(segment).unwrap());
        }
        let span = other.unregistered(0).unwrap();
        other.note_registered(&span, 5);
        // What begins in the first segment reaches into the second.
        let held = ring.reader().lend(SEGMENT as u64 + 10 * PACKET, PACKET_BYTES);
        write_over(&mut ring, SEGMENT as u64 * 2, 2);
        let mut outdated = ring.reader().take_outdated();
        outdated.sort_unstable();
        assert_eq!((outdated, other.take_outdated()), (vec![0, 1], vec![5]));
        drop(held);
        register(&ring, ring.head() - 1, 7);
        assert_eq!((ring.reader().withdraw(), ring.reader().withdraw()), (vec![7], vec![]));
    }

    #[test]
    fn huge_segments_are_a_ring_like_any_other() {
        let mut ring = Ring::new(1, Segments::Huge).unwrap();
        assert_eq!(ring.capacity(), Segments::Huge.bytes() as u64);
        for round in 0..60_u8 {
            let from = ring.head();
            write(&mut ring, 1000, round).unwrap();
            let given = ring.reader().give(from, 1000 * PACKET_BYTES).unwrap();
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
            let given = ring.reader().give(0, PACKET_BYTES).unwrap();
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
        let lease = ring.reader().lease(PACKET, PACKET_BYTES).unwrap();
        assert!(ring.is_lent());
        drop(ring);
        assert!(lease.bytes().iter().all(|&byte| byte == 0x77));
    }
}
