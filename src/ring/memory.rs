//! The doubled mapping, and the ways in which parts of it are lent out: to the kernel, for reading and for
//! writing, and to other threads.
#![expect(unsafe_code, reason = "a mapping that Rust's types cannot describe")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::base::limits::LEASE_ROUNDING_BYTES;
use crate::base::{HeapBytes, KernelBytes};

const PAGE_BYTES: usize = 4096;

/// A memfd of `capacity` bytes mapped twice back to back: any span up to the capacity is contiguous, wherever
/// it begins.
#[derive(Debug)]
pub struct RingMemory {
    base: NonNull<u8>,
    capacity: usize,
    _file: OwnedFd,
}

impl RingMemory {
    /// Maps memory for at least `bytes`, rounded up to whole pages.
    ///
    /// # Errors
    /// When the process is out of memory, address space or file descriptors.
    pub fn new(bytes: usize) -> Result<Self, nix::Error> {
        let capacity = bytes.max(1).next_multiple_of(PAGE_BYTES);
        let file = memfd_create(c"tunerd-ring", MFdFlags::MFD_CLOEXEC)?;
        let length = i64::try_from(capacity).map_err(|_too_large| nix::Error::ENOMEM)?;
        nix::unistd::ftruncate(&file, length)?;
        let single = NonZeroUsize::new(capacity).expect("at least one page");
        let double =
            NonZeroUsize::new(capacity.checked_mul(2).ok_or(nix::Error::ENOMEM)?).expect("two pages");

        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe { mmap_anonymous(None, double, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }?;
        // From here on the mapping is owned: dropping `memory` unmaps both halves.
        let memory = Self { base: base.cast(), capacity, _file: file };
        let readable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        for half in 0..2 {
            let address = NonZeroUsize::new(base.as_ptr() as usize + half * capacity);
            // SAFETY: MAP_FIXED replaces exactly one half of the reservation made above, which nobody uses yet.
            unsafe {
                mmap(
                    address,
                    single,
                    readable,
                    MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                    memory._file.as_fd(),
                    0,
                )
            }?;
        }
        Ok(memory)
    }

    /// Bytes before the memory repeats.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    fn address(&self, position: u64, bytes: usize) -> *mut u8 {
        assert!(bytes <= self.capacity, "a span is at most the ring");
        let offset = usize::try_from(position % self.capacity as u64).expect("less than the capacity");
        // SAFETY: offset < capacity and bytes <= capacity, so the span lies inside the doubled mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// The bytes of a span. The caller sees to it that nobody writes them meanwhile: see [`super::Ring`] and
    /// [`SpanArena`].
    pub(super) fn read(&self, position: u64, bytes: usize) -> &[u8] {
        let address = self.address(position, bytes);
        // SAFETY: the span is mapped for as long as `self` lives; `Ring` hands out only committed spans here,
        // and it lends for writing only what lies outside them (`Ring::reserve` advances the tail first); a
        // `Span` asks for its own bytes alone, and `SpanArena` writes nowhere that a held one lies.
        unsafe { std::slice::from_raw_parts(address, bytes) }
    }
}

// SAFETY: a mapping belongs to the process and not to the thread that made it, and `new` leaves nothing of it
// behind in that thread.
unsafe impl Send for RingMemory {}

// SAFETY: `&RingMemory` gives the capacity to everybody, and bytes to this module's siblings only. Of those
// `Shared` is not `Sync` and stays on one thread; `SpanArena` writes through `&mut` of itself, into spans to
// which no `Span` refers, and readers reach bytes through a `Span` only.
unsafe impl Sync for RingMemory {}

impl Drop for RingMemory {
    fn drop(&mut self) {
        // SAFETY: the doubled mapping was made in `new` and is unmapped once; leases, write spans
        // and spans hold an `Rc` or `Arc` of this value, so none is left when this runs.
        let unmapped = unsafe { munmap(self.base.cast::<c_void>(), self.capacity * 2) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

/// What the ring and all that has been lent from it share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) memory: RingMemory,
    /// Leases by the segment in which they begin. The writer reaches a lease at its beginning, so that is
    /// all it needs to know.
    pub(super) pins: Box<[Cell<u32>]>,
    pub(super) registered: Cell<Option<u16>>,
}

/// Bytes per pin counter: the granularity at which the writer sees leases.
pub(super) const SEGMENT_BYTES: u64 = LEASE_ROUNDING_BYTES;

impl Shared {
    pub(super) fn pin(&self, position: u64) -> &Cell<u32> {
        let count = self.pins.len() as u64;
        let index =
            usize::try_from((position / SEGMENT_BYTES) % count).expect("less than the number of pins");
        &self.pins[index]
    }
}

/// A committed span that somebody, the kernel for instance, still reads. The writer stays out of it until
/// the lease is dropped.
#[derive(Debug)]
pub struct Lease {
    shared: Rc<Shared>,
    position: u64,
    bytes: u32,
}

impl Lease {
    pub(super) fn new(shared: &Rc<Shared>, position: u64, bytes: usize) -> Self {
        let pin = shared.pin(position);
        pin.set(pin.get() + 1);
        let bytes = u32::try_from(bytes).expect("a lease is shorter than 4 GiB");
        Self { shared: Rc::clone(shared), position, bytes }
    }

    /// Where the span begins.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Where the span ends.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.position + self.bytes as u64
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.shared.memory.read(self.position, self.bytes as usize)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let pin = self.shared.pin(self.position);
        pin.set(pin.get().checked_sub(1).expect("a lease was counted when it was made"));
    }
}

// SAFETY: the span lies in a mapping that `shared` keeps alive and that never moves; the ring does not write
// into it while the pin is set, and the kernel is only ever told to read from a lease.
unsafe impl KernelBytes for Lease {
    fn address(&self) -> *mut u8 {
        self.shared.memory.address(self.position, self.bytes as usize)
    }

    fn len(&self) -> usize {
        self.bytes as usize
    }

    fn registered_buffer(&self) -> Option<u16> {
        self.shared.registered.get()
    }
}

/// A span the kernel may fill. While it is out, the ring neither reads nor reserves anything behind its head.
#[derive(Debug)]
pub struct WriteSpan {
    pub(super) shared: Rc<Shared>,
    pub(super) position: u64,
    pub(super) bytes: usize,
}

// SAFETY: the span lies in a mapping that `shared` keeps alive and that never moves. It is behind the head, so
// no lease covers it, and `Ring` forms no reference to it until the span is given back.
unsafe impl KernelBytes for WriteSpan {
    fn address(&self) -> *mut u8 {
        self.shared.memory.address(self.position, self.bytes)
    }

    fn len(&self) -> usize {
        self.bytes
    }

    fn registered_buffer(&self) -> Option<u16> {
        self.shared.registered.get()
    }
}

/// The whole doubled mapping, for registering it with a driver.
#[derive(Debug)]
pub struct WholeMapping {
    pub(super) shared: Rc<Shared>,
}

// SAFETY: the mapping lives as long as `shared` and never moves; it is handed to the kernel for registration
// only, reads and writes go through leases and write spans.
unsafe impl KernelBytes for WholeMapping {
    fn address(&self) -> *mut u8 {
        self.shared.memory.base.as_ptr()
    }

    fn len(&self) -> usize {
        self.shared.memory.capacity * 2
    }
}

/// Exclusive access to a span behind the head, by the ring alone.
pub(super) fn pending_mut(shared: &mut Rc<Shared>, position: u64, bytes: usize) -> &mut [u8] {
    let address = shared.memory.address(position, bytes);
    // SAFETY: the caller is the ring, holding `&mut` of itself; the span is behind its head, so no lease
    // covers it, and no `WriteSpan` is out (`Ring::pending` asserts it), so the kernel does not write it.
    unsafe { std::slice::from_raw_parts_mut(address, bytes) }
}

/// Everything a core lends to the kernel.
#[derive(Debug)]
pub enum Lent {
    /// Part of a ring, to be sent.
    Lease(Lease),
    /// Part of a ring, to be filled.
    Span(WriteSpan),
    /// Bytes of a connection's own.
    Heap(HeapBytes),
}

// SAFETY: each variant is `KernelBytes` itself, and an address does not depend on where the enum lies.
unsafe impl KernelBytes for Lent {
    fn address(&self) -> *mut u8 {
        match self {
            Self::Lease(lease) => lease.address(),
            Self::Span(span) => span.address(),
            Self::Heap(bytes) => bytes.address(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Lease(lease) => lease.len(),
            Self::Span(span) => span.len(),
            Self::Heap(bytes) => bytes.len(),
        }
    }

    fn registered_buffer(&self) -> Option<u16> {
        match self {
            Self::Lease(lease) => lease.registered_buffer(),
            Self::Span(span) => span.registered_buffer(),
            Self::Heap(bytes) => bytes.registered_buffer(),
        }
    }
}

/// Bytes in a [`SpanArena`]. They do not change while anybody but the arena holds this.
#[derive(Debug)]
pub(super) struct Span {
    memory: Arc<RingMemory>,
    position: u64,
    bytes: usize,
    given_up: AtomicBool,
}

impl Span {
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.read(self.position, self.bytes)
    }

    /// Whoever holds it still may go on for long: the arena is not to wait for it.
    pub(super) fn give_up(&self) {
        // Only the writer acts on it, and it is the writer who says so.
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// A doubled mapping from which spans are lent to any thread, one behind the other, round and round.
///
/// A span is free again when nobody but the arena holds it. One that has been given up and is held still is
/// stepped over; one that is neither free nor given up ends the search.
#[derive(Debug)]
pub(super) struct SpanArena {
    memory: Arc<RingMemory>,
    /// Where the next span begins, if nothing is in the way there.
    head: u64,
    /// What is lent, in the order in which the head will meet it. Each lies, once and without touching
    /// another, in the `capacity` bytes before the head. A span that is stepped over moves one round on,
    /// which is the same place in memory.
    lent: VecDeque<(u64, Arc<Span>)>,
    /// So many spans at most, free ones the head has not met again included: short ones would otherwise take
    /// more memory to be known than they have bytes.
    spans_max: usize,
}

/// Spans that one call steps over at most; the next call goes on from there.
const STEPS_MAX: usize = 64;

impl SpanArena {
    /// An arena of at least `bytes` in at most `spans_max` spans.
    pub(super) fn new(bytes: usize, spans_max: usize) -> Result<Self, nix::Error> {
        let memory = Arc::new(RingMemory::new(bytes)?);
        Ok(Self { memory, head: 0, lent: VecDeque::new(), spans_max })
    }

    pub(super) fn capacity(&self) -> usize {
        self.memory.capacity
    }

    /// Copies `bytes` into a span of their own; nothing when there is no room for them now.
    pub(super) fn copy_in(&mut self, bytes: &[u8]) -> Option<Arc<Span>> {
        if bytes.len() > self.memory.capacity {
            return None;
        }
        self.make_room(bytes.len() as u64)?;
        let position = self.head;
        let address = self.memory.address(position, bytes.len());
        // SAFETY: `address` gives the whole span, and `make_room` has seen to it that no span that anybody
        // holds overlaps it (its check of the last holder acquires what that holder did). `&mut self` keeps
        // other writers out. `bytes` may lie in this very mapping, but then in a span that somebody holds.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address, bytes.len()) };
        self.head += bytes.len() as u64;
        let memory = Arc::clone(&self.memory);
        let span = Arc::new(Span { memory, position, bytes: bytes.len(), given_up: AtomicBool::new(false) });
        self.lent.push_back((position, Arc::clone(&span)));
        Some(span)
    }

    /// Moves the head to where `bytes` are free.
    fn make_room(&mut self, bytes: u64) -> Option<()> {
        let capacity = self.memory.capacity as u64;
        let mut steps = 0;
        while let Some((start, mut span)) = self.lent.pop_front() {
            if self.head + bytes <= start + capacity && self.lent.len() + 1 < self.spans_max {
                self.lent.push_front((start, span));
                return Some(());
            }
            // Nobody else holds it, and nobody can any more.
            if Arc::get_mut(&mut span).is_some() {
                continue;
            }
            if steps == STEPS_MAX || !span.given_up.load(Ordering::Relaxed) {
                self.lent.push_front((start, span));
                return None;
            }
            steps += 1;
            self.head = start + capacity + span.bytes as u64;
            self.lent.push_back((start + capacity, span));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = PAGE_BYTES;

    fn arena() -> SpanArena {
        SpanArena::new(4 * PAGE, 1000).unwrap()
    }

    fn is_all(span: &Span, fill: u8) -> bool {
        span.bytes().iter().all(|&byte| byte == fill)
    }

    #[test]
    fn a_span_that_nobody_holds_is_used_again() {
        let mut arena = arena();
        for round in 0..100u8 {
            let span = arena.copy_in(&[round; 3000]).unwrap();
            assert!(is_all(&span, round) && span.bytes().len() == 3000);
        }
        assert!(arena.lent.len() <= 6);
    }

    #[test]
    fn the_arena_can_be_filled_to_its_last_byte_and_not_beyond() {
        let mut arena = arena();
        let held: Vec<_> = (0..4).map(|fill| arena.copy_in(&[fill; PAGE]).unwrap()).collect();
        assert!(arena.copy_in(&[9]).is_none());
        assert!((0..4).zip(&held).all(|(fill, span)| is_all(span, fill)));
        drop(held);
        assert!(arena.copy_in(&[9; 4 * PAGE]).is_some_and(|span| is_all(&span, 9)));
        assert!(arena.copy_in(&[9; 4 * PAGE + 1]).is_none());
    }

    #[test]
    fn a_span_across_the_seam_is_whole() {
        let mut arena = arena();
        drop(arena.copy_in(&[0; 4 * PAGE - 10]).unwrap());
        let across = arena.copy_in(&[7; 20]).unwrap();
        let behind = arena.copy_in(&[8; 20]).unwrap();
        assert!(is_all(&across, 7) && is_all(&behind, 8));
    }

    #[test]
    fn a_span_given_up_and_held_is_stepped_over_round_after_round() {
        let mut arena = arena();
        let held = arena.copy_in(&[1; 1000]).unwrap();
        held.give_up();
        for round in 0..200u8 {
            let span = arena.copy_in(&[round; 3000]).expect("there is room beside it");
            assert!(is_all(&span, round) && is_all(&held, 1));
        }
        drop(held);
        assert!(arena.copy_in(&[3; 4 * PAGE]).is_some(), "its room comes back");
    }

    #[test]
    fn when_everything_is_held_the_search_ends_and_goes_on_next_time() {
        let mut arena = arena();
        let held: Vec<_> = (0..STEPS_MAX * 2).map(|_| arena.copy_in(&[1; 128]).unwrap()).collect();
        held.iter().for_each(|span| span.give_up());
        assert!(arena.copy_in(&[2; 128]).is_none());
        let mut held = held.into_iter();
        let (one, last) = (held.nth(STEPS_MAX - 1).unwrap(), held.next_back().unwrap());
        drop(held);
        assert!(arena.copy_in(&[2; 128]).is_some());
        assert!(is_all(&one, 1) && is_all(&last, 1));
    }

    #[test]
    fn there_are_never_more_spans_than_allowed_and_held_ones_do_not_stop_the_others() {
        let mut arena = SpanArena::new(4 * PAGE, 10).unwrap();
        let held = arena.copy_in(&[1]).unwrap();
        held.give_up();
        for round in 0..200u8 {
            assert!(arena.copy_in(&[round]).is_some_and(|span| is_all(&span, round)));
            assert!(arena.lent.len() <= 10 && is_all(&held, 1));
        }
        let all: Vec<_> = std::iter::from_fn(|| arena.copy_in(&[2])).take(100).collect();
        assert_eq!(all.len(), 9, "one is held from before");
    }

    #[test]
    fn a_span_outlives_its_arena() {
        let mut arena = arena();
        let span = arena.copy_in(&[5; 100]).unwrap();
        drop(arena);
        assert!(is_all(&span, 5));
    }
}
