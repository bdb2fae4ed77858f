//! The doubled mapping, and the ways in which parts of it are lent to the kernel: for reading and for writing.
//!
//! The memory is a row of segments. Of a segment that something may still refer to the writer takes new pages before it writes:
//! a hole is punched in the file, and the old pages live on with whoever refers to them.
#![expect(unsafe_code, reason = "a mapping that Rust's types cannot describe")]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

use crate::base::limits::{READ_BYTES_MAX, REGISTERED_SPANS_MAX, SEGMENTED_BYTES};
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

// SAFETY: the mapping belongs to the process and not to a thread, and it stays where it is until it is dropped. Whoever reads or
// writes it goes through `read`, `pending_mut` or the kernel, and `Ring` keeps what is written apart from what is read.
unsafe impl Send for RingMemory {}
// SAFETY: as above; the memory's own fields do not change.
unsafe impl Sync for RingMemory {}

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
        // Leases and write spans hold an `Arc` of this value, so none is left when this runs.
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

/// What of a segment is lent, by all cores.
#[derive(Debug, Default)]
struct Segment {
    /// Leases whose bytes are read where they are, or are about to be referred to: the writer stays out.
    reading: AtomicU32,
    /// Leases whose pages the kernel holds.
    lent: AtomicU32,
    /// Sent from the file since it got its pages: nobody tells when the kernel lets go of them.
    given: AtomicBool,
    /// How often it has got new pages. A registration of its old ones is not to be used any more.
    renewed: AtomicU32,
}

/// Where the writer is. It alone changes these; readers of every core look.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Positions {
    pub(super) tail: AtomicU64,
    pub(super) head: AtomicU64,
    pub(super) filled: AtomicU64,
    pub(super) mark: AtomicU64,
}

/// What the ring, its readers on every core, and all that has been lent from it share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) memory: RingMemory,
    pub(super) at: Positions,
    segments: Box<[Segment]>,
}

/// The most that one operation reads into registered memory or sends from it.
const WINDOW_BYTES: usize = if SEGMENTED_BYTES > READ_BYTES_MAX { SEGMENTED_BYTES } else { READ_BYTES_MAX };
const _: () =
    assert!(WINDOW_BYTES <= Segments::Small.bytes(), "a window reaches into the next segment, no further");

impl Shared {
    pub(super) fn new(memory: RingMemory) -> Self {
        let count = memory.bytes() / memory.segments().bytes();
        let segments = (0..count).map(|_| Segment::default()).collect();
        Self { memory, at: Positions::default(), segments }
    }

    /// Bytes of a segment.
    pub(super) const fn segment_bytes(&self) -> u64 {
        self.memory.segments().bytes() as u64
    }

    fn index(&self, position: u64) -> usize {
        let count = self.segments.len() as u64;
        usize::try_from((position / self.segment_bytes()) % count).expect("less than the number of segments")
    }

    fn segment(&self, position: u64) -> &Segment {
        &self.segments[self.index(position)]
    }

    /// The segments in which a span lies.
    fn touched(&self, position: u64, bytes: usize) -> impl Iterator<Item = &Segment> {
        let first = position / self.segment_bytes();
        let end = (position + bytes as u64).div_ceil(self.segment_bytes()).max(first + 1);
        (first..end).map(|number| self.segment(number * self.segment_bytes()))
    }

    /// Somebody reads the bytes of the segment at this position, or has looked whether they are still there.
    pub(super) fn is_read(&self, position: u64) -> bool {
        self.segment(position).reading.load(Ordering::SeqCst) > 0
    }

    /// Something may refer to the pages of the segment at this position.
    pub(super) fn may_be_held(&self, position: u64) -> bool {
        let segment = self.segment(position);
        segment.given.load(Ordering::Acquire) || segment.lent.load(Ordering::Acquire) > 0
    }

    /// New pages for the segment at this position, which nobody reads. Registrations that name the old ones are outdated from now
    /// on.
    pub(super) fn renew(&self, position: u64) -> Result<(), nix::Error> {
        self.memory.renew(position)?;
        let segment = self.segment(position);
        segment.given.store(false, Ordering::Relaxed);
        segment.renewed.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// How often the segment at this position and the one behind it have got new pages.
    fn renewed(&self, position: u64) -> [u32; 2] {
        let of = |position| self.segment(position).renewed.load(Ordering::Acquire);
        [of(position), of(position + self.segment_bytes())]
    }

    /// True while something is lent.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn is_lent(&self) -> bool {
        let is_lent = |segment: &Segment| {
            segment.reading.load(Ordering::Acquire) > 0 || segment.lent.load(Ordering::Acquire) > 0
        };
        self.segments.iter().any(is_lent)
    }
}

/// What a driver knows the memory under that begins in a segment.
#[derive(Clone, Copy, Debug)]
struct KnownBuffer {
    buffer: u16,
    /// How often both segments in which it lies had got new pages before.
    renewed: [u32; 2],
}

/// What of a ring's memory one core has registered with its driver.
#[derive(Debug)]
pub(super) struct Registrations {
    /// By segment.
    known: Box<[Cell<Option<KnownBuffer>>]>,
    /// Registrations in whose place there is another.
    replaced: RefCell<Vec<u16>>,
}

impl Registrations {
    pub(super) fn new(shared: &Shared) -> Self {
        let known = shared.segments.iter().map(|_| Cell::new(None)).collect();
        Self { known, replaced: RefCell::default() }
    }

    /// The registration of what begins in the segment at this position, unless it names pages that have been given away.
    fn current(&self, shared: &Shared, position: u64) -> Option<u16> {
        let known = self.known[shared.index(position)].get()?;
        (known.renewed == shared.renewed(position)).then_some(known.buffer)
    }

    /// Where a span of so many bytes is registered.
    pub(super) fn of_span(&self, shared: &Shared, position: u64, bytes: usize) -> Option<u16> {
        self.current(shared, position).filter(|_| bytes <= WINDOW_BYTES)
    }

    /// What is to be registered for an operation that begins at this position; nothing if it is.
    pub(super) fn missing(&self, shared: &Arc<Shared>, position: u64) -> Option<RegisteredSpan> {
        // What gets new pages from here on is registered in vain, and so found out.
        let renewed = shared.renewed(position);
        let is_missing = self.current(shared, position).is_none();
        is_missing.then(|| RegisteredSpan { shared: Arc::clone(shared), position, renewed })
    }

    /// A span has been registered.
    pub(super) fn note(&self, span: &RegisteredSpan, buffer: u16) {
        let registration = KnownBuffer { buffer, renewed: span.renewed };
        let before = self.known[span.shared.index(span.position)].replace(Some(registration));
        self.replaced.borrow_mut().extend(before.map(|before| before.buffer));
    }

    /// Registrations that are to be withdrawn: what they name is not the ring's any more.
    pub(super) fn take_outdated(&self, shared: &Shared) -> Vec<u16> {
        let mut outdated = self.replaced.take();
        for (known, first) in self.known.iter().zip((0..).step_by(shared.memory.segments().bytes())) {
            if known.get().is_some() && self.current(shared, first).is_none() {
                outdated.extend(known.take().map(|known| known.buffer));
            }
        }
        outdated
    }

    /// All registrations; there is none from now on.
    pub(super) fn take_all(&self) -> Vec<u16> {
        let mut all = self.replaced.take();
        all.extend(self.known.iter().filter_map(|known| known.take().map(|known| known.buffer)));
        all
    }
}

/// How a span is lent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hold {
    /// Its bytes are read where they are, before long: the writer waits.
    Reading,
    /// The kernel holds its pages until the lease is dropped: the writer takes others.
    Lent,
    /// The kernel takes hold of its pages before the lease is dropped, and does not say for how long.
    Given,
}

/// Stands for no registration: there are fewer than that.
const UNREGISTERED: u16 = u16::MAX;
const _: () = assert!(REGISTERED_SPANS_MAX < UNREGISTERED as u32);

const fn known(buffer: u16) -> Option<u16> {
    if buffer == UNREGISTERED { None } else { Some(buffer) }
}

/// A committed span that somebody, the kernel for instance, still reads.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    position: u64,
    bytes: u32,
    buffer: u16,
    hold: Hold,
}

impl Lease {
    /// Lends a committed span, which is registered under this index if at all. Nothing when the writer has entered it.
    ///
    /// A reader says first that it reads, and looks then where the tail is; the writer moves the tail first, and looks then whether
    /// somebody reads. So one of them at least sees the other.
    pub(super) fn new(
        shared: &Arc<Shared>,
        position: u64,
        bytes: usize,
        hold: Hold,
        buffer: Option<u16>,
    ) -> Option<Self> {
        let lent_bytes = u32::try_from(bytes).expect("a lease is shorter than 4 GiB");
        for segment in shared.touched(position, bytes) {
            segment.reading.fetch_add(1, Ordering::SeqCst);
        }
        let is_there = shared.at.tail.load(Ordering::SeqCst) <= position;
        for segment in shared.touched(position, bytes) {
            match hold {
                Hold::Lent if is_there => {
                    segment.lent.fetch_add(1, Ordering::AcqRel);
                }
                Hold::Given if is_there => segment.given.store(true, Ordering::Release),
                Hold::Reading | Hold::Lent | Hold::Given => {}
            }
            // Pages that are held are found to be so by the writer, which then takes others.
            if !is_there || hold == Hold::Lent {
                segment.reading.fetch_sub(1, Ordering::Release);
            }
        }
        let buffer = buffer.unwrap_or(UNREGISTERED);
        is_there.then(|| Self { shared: Arc::clone(shared), position, bytes: lent_bytes, buffer, hold })
    }

    /// Where the span begins.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        assert_eq!(self.hold, Hold::Reading, "the writer may have been here");
        self.shared.memory.read(self.position, self.bytes as usize)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        for segment in self.shared.touched(self.position, self.bytes as usize) {
            let count = match self.hold {
                Hold::Reading | Hold::Given => &segment.reading,
                Hold::Lent => &segment.lent,
            };
            let before = count.fetch_sub(1, Ordering::Release);
            assert!(before > 0, "a lease was counted when it was made");
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
            Hold::Lent => known(self.buffer),
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
    pub(super) shared: Arc<Shared>,
    pub(super) position: u64,
    bytes: u32,
    buffer: u16,
}

impl WriteSpan {
    pub(super) fn new(shared: &Arc<Shared>, position: u64, bytes: usize, buffer: Option<u16>) -> Self {
        let bytes = u32::try_from(bytes).expect("a span is shorter than 4 GiB");
        Self { shared: Arc::clone(shared), position, bytes, buffer: buffer.unwrap_or(UNREGISTERED) }
    }
}

// SAFETY: the span lies in a mapping that `shared` keeps alive and that never moves. It is behind the head, so
// no lease covers it, and `Ring` forms no reference to it until the span is given back.
unsafe impl KernelBytes for WriteSpan {
    fn address(&self) -> *mut u8 {
        self.shared.memory.address(self.position, self.len())
    }

    fn len(&self) -> usize {
        self.bytes as usize
    }

    fn registered_buffer(&self) -> Option<u16> {
        known(self.buffer)
    }
}

/// What is registered with a driver for operations that begin in a segment: the segment, and behind it as much as one of them
/// reaches.
#[derive(Debug)]
pub struct RegisteredSpan {
    shared: Arc<Shared>,
    position: u64,
    renewed: [u32; 2],
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
pub(super) fn pending_mut(shared: &mut Arc<Shared>, position: u64, bytes: usize) -> &mut [u8] {
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
