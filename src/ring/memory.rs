//! The doubled mapping, and the ways in which parts of it are lent to the kernel: for reading and for writing.
//!
//! The memory is a row of segments. Of a segment that something may still refer to the writer takes new pages before it writes:
//! a hole is punched in the file, and the old pages live on with whoever refers to them.
#![expect(unsafe_code, reason = "a mapping that Rust's types cannot describe")]

use std::cell::Cell;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

use crate::base::limits::{READ_BYTES_MAX, SEGMENTED_BYTES};
use crate::base::{FileBytes, HeapBytes, KernelBytes};

/// How a ring's memory is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segments {
    /// Into 64 pages of 4 KiB.
    Small,
    /// Into huge pages, where the kernel gives them to files in memory: a send refers to one instead of to sixteen.
    Huge,
}

impl Segments {
    /// What a host is good for that says this in `/sys/kernel/mm/transparent_hugepage/shmem_enabled`.
    #[must_use]
    pub fn where_shmem_is(shmem_enabled: &str) -> Self {
        let chosen =
            shmem_enabled.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        match chosen {
            Some("always" | "within_size" | "advise" | "force") => Self::Huge,
            Some(_) | None => Self::Small,
        }
    }

    /// Bytes of one.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Small => 256 * 1024,
            Self::Huge => 2 * 1024 * 1024,
        }
    }
}

/// A mapping that is longer than this is not freed by the core that is done with it.
const FREED_HERE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A memfd mapped twice back to back: any span up to its size is contiguous, wherever it begins.
#[derive(Debug)]
pub struct RingMemory {
    base: NonNull<u8>,
    bytes: usize,
    segments: Segments,
    /// What is mapped, which may begin before `base`.
    mapping: (NonNull<c_void>, usize),
    file: OwnedFd,
}

impl RingMemory {
    /// Maps memory for at least `bytes`, in whole segments.
    ///
    /// # Errors
    /// When the process is out of memory, address space or file descriptors.
    pub fn new(bytes: usize, segments: Segments) -> Result<Self, nix::Error> {
        let bytes = bytes.max(1).checked_next_multiple_of(segments.bytes()).ok_or(nix::Error::ENOMEM)?;
        let file = memfd_create(c"tunerd-ring", MFdFlags::MFD_CLOEXEC)?;
        let length = i64::try_from(bytes).map_err(|_too_large| nix::Error::ENOMEM)?;
        nix::unistd::ftruncate(&file, length)?;
        let single = NonZeroUsize::new(bytes).expect("at least one segment");
        // A huge page is mapped as one where its address is a multiple of its size.
        let alignment = match segments {
            Segments::Small => 0,
            Segments::Huge => segments.bytes(),
        };
        let mapped = bytes.checked_mul(2).and_then(|double| double.checked_add(alignment));
        let mapped = mapped.and_then(NonZeroUsize::new).ok_or(nix::Error::ENOMEM)?;

        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { mmap_anonymous(None, mapped, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }?;
        let ahead = (start.as_ptr() as usize).wrapping_neg().checked_rem(alignment).unwrap_or(0);
        // SAFETY: less than the alignment, by which the mapping is longer than both halves.
        let base = unsafe { start.cast::<u8>().add(ahead) };
        // From here on the mapping is owned: dropping `memory` unmaps all of it.
        let memory = Self { base, bytes, segments, mapping: (start, mapped.get()), file };
        let readable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        for half in 0..2 {
            let address = NonZeroUsize::new(base.as_ptr() as usize + half * bytes);
            // SAFETY: MAP_FIXED replaces exactly one half of the reservation made above, which nobody uses yet.
            unsafe {
                mmap(
                    address,
                    single,
                    readable,
                    MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                    memory.file.as_fd(),
                    0,
                )
            }?;
        }
        if segments == Segments::Huge {
            // SAFETY: both halves were mapped above; advice changes no byte.
            let advised = unsafe { madvise(base.cast(), 2 * bytes, MmapAdvise::MADV_HUGEPAGE) };
            // Without them everything works as well, at the price of small pages.
            debug_assert!(advised.is_ok() || advised == Err(nix::Error::EINVAL), "{advised:?}");
        }
        Ok(memory)
    }

    /// Bytes before the memory repeats.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How it is cut.
    pub(super) const fn segments(&self) -> Segments {
        self.segments
    }

    fn offset(&self, position: u64) -> usize {
        usize::try_from(position % self.bytes as u64).expect("less than the memory")
    }

    fn address(&self, position: u64, bytes: usize) -> *mut u8 {
        assert!(bytes <= self.bytes, "a span is at most the ring");
        // SAFETY: the offset is less than the memory and bytes at most as long, so the span lies inside the doubled mapping.
        unsafe { self.base.as_ptr().add(self.offset(position)) }
    }

    /// The bytes of a span. The caller sees to it that nobody writes them meanwhile: see [`super::Ring`].
    pub(super) fn read(&self, position: u64, bytes: usize) -> &[u8] {
        let address = self.address(position, bytes);
        // SAFETY: the span is mapped for as long as `self` lives; `Ring` hands out only committed spans here,
        // and it lends for writing only what lies outside them (`Ring::reserve` advances the tail first).
        unsafe { std::slice::from_raw_parts(address, bytes) }
    }

    /// New pages for the segment that begins at this position. Whoever refers to the old ones keeps them, with their bytes.
    fn renew(&self, position: u64) -> Result<(), nix::Error> {
        let (offset, bytes) = (self.offset(position), self.segments.bytes());
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let of_file = |count: usize| i64::try_from(count).expect("the file's size is one");
        fallocate(&self.file, hole, of_file(offset), of_file(bytes))?;
        let address = NonNull::new(self.address(position, bytes)).expect("the mapping is somewhere");
        // SAFETY: the segment is mapped, and `Ring` lets nobody refer to its bytes any more: populating it writes none.
        unsafe { madvise(address.cast(), bytes, MmapAdvise::MADV_POPULATE_WRITE) }
    }
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        let (start, bytes) = self.mapping;
        // Leases and write spans hold an `Rc` of this value, so none is left when this runs.
        let mapping = Mapping { start, bytes };
        if bytes > FREED_HERE_BYTES_MAX {
            let thread = std::thread::Builder::new().name("free-ring".to_owned());
            // Where none can be started it is freed here: what it was to do is dropped with what it holds.
            let _started = thread.spawn(move || drop(mapping));
        }
    }
}

/// A ring's last memory: the file behind it goes with it. To free so many pages takes a core 9 ms for 32 MiB, in which it would serve
/// nobody.
struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: nobody refers to the memory any more, and it may be unmapped from any thread.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `RingMemory::new`, which handed it over when it was dropped, and is unmapped once.
        let unmapped = unsafe { munmap(self.start, self.bytes) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

/// What of a segment is lent.
#[derive(Debug, Default)]
struct Segment {
    /// Leases whose bytes are read where they are: the writer stays out.
    reading: Cell<u32>,
    /// Leases whose pages the kernel holds.
    lent: Cell<u32>,
    /// Sent from the file since it got its pages: nobody tells when the kernel lets go of them.
    given: Cell<bool>,
    /// The registration of what begins in it.
    registered: Cell<Option<u16>>,
}

/// What the ring and all that has been lent from it share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) memory: RingMemory,
    segments: Box<[Segment]>,
}

/// The most that one operation reads into registered memory or sends from it.
const WINDOW_BYTES: usize = if SEGMENTED_BYTES > READ_BYTES_MAX { SEGMENTED_BYTES } else { READ_BYTES_MAX };
const _: () =
    assert!(WINDOW_BYTES <= Segments::Small.bytes(), "a window reaches into the next segment, no further");

impl Shared {
    pub(super) fn new(memory: RingMemory) -> Self {
        let count = memory.bytes() / memory.segments().bytes();
        Self { memory, segments: (0..count).map(|_| Segment::default()).collect() }
    }

    /// Bytes of a segment.
    pub(super) const fn segment_bytes(&self) -> u64 {
        self.memory.segments().bytes() as u64
    }

    fn segment(&self, position: u64) -> &Segment {
        let count = self.segments.len() as u64;
        let index = (position / self.segment_bytes()) % count;
        &self.segments[usize::try_from(index).expect("less than the number of segments")]
    }

    /// The segments in which a span lies.
    fn touched(&self, position: u64, bytes: usize) -> impl Iterator<Item = &Segment> {
        let first = position / self.segment_bytes();
        let end = (position + bytes as u64).div_ceil(self.segment_bytes()).max(first + 1);
        (first..end).map(|number| self.segment(number * self.segment_bytes()))
    }

    /// Somebody reads the bytes of the segment at this position.
    pub(super) fn is_read(&self, position: u64) -> bool {
        self.segment(position).reading.get() > 0
    }

    /// Something may refer to the pages of the segment at this position.
    pub(super) fn may_be_held(&self, position: u64) -> bool {
        let segment = self.segment(position);
        segment.given.get() || segment.lent.get() > 0
    }

    /// New pages for the segment at this position. Registrations that name the old ones are not to be used any more; they come
    /// with it.
    pub(super) fn renew(&self, position: u64) -> Result<[Option<u16>; 2], nix::Error> {
        self.memory.renew(position)?;
        let segment = self.segment(position);
        segment.given.set(false);
        let before = self.segment(position + self.memory.bytes() as u64 - self.segment_bytes());
        Ok([segment.registered.take(), before.registered.take()])
    }

    /// Where a span of so many bytes is registered.
    fn registered_for(&self, position: u64, bytes: usize) -> Option<u16> {
        self.segment(position).registered.get().filter(|_| bytes <= WINDOW_BYTES)
    }

    pub(super) fn set_registered(&self, position: u64, buffer: u16) {
        self.segment(position).registered.set(Some(buffer));
    }

    pub(super) fn is_registered(&self, position: u64) -> bool {
        self.segment(position).registered.get().is_some()
    }

    /// All registrations; there is none from now on.
    pub(super) fn withdraw(&self) -> Vec<u16> {
        self.segments.iter().filter_map(|segment| segment.registered.take()).collect()
    }
}

/// How a span is lent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hold {
    /// Its bytes are read where they are, before long: the writer waits.
    Reading,
    /// The kernel holds its pages until the lease is dropped: the writer takes others.
    Lent,
    /// The kernel may hold its pages when the lease is dropped, and does not say for how long.
    Given,
}

/// A committed span that somebody, the kernel for instance, still reads.
#[derive(Debug)]
pub struct Lease {
    shared: Rc<Shared>,
    position: u64,
    bytes: u32,
    hold: Hold,
}

impl Lease {
    pub(super) fn new(shared: &Rc<Shared>, position: u64, bytes: usize, hold: Hold) -> Self {
        for segment in shared.touched(position, bytes) {
            match hold {
                Hold::Reading => segment.reading.set(segment.reading.get() + 1),
                Hold::Lent => segment.lent.set(segment.lent.get() + 1),
                Hold::Given => segment.given.set(true),
            }
        }
        let bytes = u32::try_from(bytes).expect("a lease is shorter than 4 GiB");
        Self { shared: Rc::clone(shared), position, bytes, hold }
    }

    /// Where the span begins.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The bytes.
    #[must_use]
    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        assert_eq!(self.hold, Hold::Reading, "the writer may have been here");
        self.shared.memory.read(self.position, self.bytes as usize)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        for segment in self.shared.touched(self.position, self.bytes as usize) {
            let count = match self.hold {
                Hold::Reading => &segment.reading,
                Hold::Lent => &segment.lent,
                Hold::Given => return,
            };
            count.set(count.get().checked_sub(1).expect("a lease was counted when it was made"));
        }
    }
}

// SAFETY: the span lies in a mapping that `shared` keeps alive and that never moves, and the kernel is only ever told to read
// from a lease. The ring does not write into pages that the kernel may read from here: it stays out of those that are read
// where they are, and takes others for those that the kernel holds.
unsafe impl KernelBytes for Lease {
    fn address(&self) -> *mut u8 {
        self.shared.memory.address(self.position, self.bytes as usize)
    }

    fn len(&self) -> usize {
        self.bytes as usize
    }

    fn registered_buffer(&self) -> Option<u16> {
        match self.hold {
            Hold::Lent => self.shared.registered_for(self.position, self.bytes as usize),
            Hold::Reading | Hold::Given => None,
        }
    }

    fn file(&self) -> Option<FileBytes<'_>> {
        let memory = &self.shared.memory;
        let offset = memory.offset(self.position) as u64;
        (self.hold == Hold::Given).then(|| FileBytes {
            file: memory.file.as_fd(),
            offset,
            end: memory.bytes as u64,
        })
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
        self.shared.registered_for(self.position, self.bytes)
    }
}

/// What is registered with a driver for operations that begin in a segment: the segment, and behind it as much as one of them
/// reaches.
#[derive(Debug)]
pub struct RegisteredSpan {
    pub(super) shared: Rc<Shared>,
    pub(super) position: u64,
}

// SAFETY: the mapping lives as long as `shared` and never moves; it is handed to the kernel for registration
// only, reads and writes go through leases and write spans.
unsafe impl KernelBytes for RegisteredSpan {
    fn address(&self) -> *mut u8 {
        let start = self.position - self.position % self.shared.segment_bytes();
        self.shared.memory.address(start, 0)
    }

    fn len(&self) -> usize {
        self.shared.memory.segments().bytes() + WINDOW_BYTES
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

    fn file(&self) -> Option<FileBytes<'_>> {
        match self {
            Self::Lease(lease) => lease.file(),
            Self::Span(span) => span.file(),
            Self::Heap(bytes) => bytes.file(),
        }
    }
}
