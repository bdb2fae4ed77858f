//! The doubled mapping, and the ways in which parts of it are lent to the kernel: for reading and for writing.
#![expect(unsafe_code, reason = "a mapping that Rust's types cannot describe")]

use std::cell::Cell;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::rc::Rc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::base::limits::{LEASE_ROUNDING_BYTES, READ_BYTES_MAX, SEND_BYTES_MAX};
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

    /// The bytes of a span. The caller sees to it that nobody writes them meanwhile: see [`super::Ring`].
    pub(super) fn read(&self, position: u64, bytes: usize) -> &[u8] {
        let address = self.address(position, bytes);
        // SAFETY: the span is mapped for as long as `self` lives; `Ring` hands out only committed spans here,
        // and it lends for writing only what lies outside them (`Ring::reserve` advances the tail first).
        unsafe { std::slice::from_raw_parts(address, bytes) }
    }
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        // SAFETY: the doubled mapping was made in `new` and is unmapped once; leases and write spans hold
        // an `Rc` of this value, so none is left when this runs.
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

/// The most that one operation sends from a ring or reads into it.
const OPERATION_BYTES_MAX: usize =
    if SEND_BYTES_MAX > READ_BYTES_MAX { SEND_BYTES_MAX } else { READ_BYTES_MAX };

/// Bytes per pin counter: the granularity at which the writer sees leases.
pub(super) const SEGMENT_BYTES: u64 = LEASE_ROUNDING_BYTES;

impl Shared {
    /// Where a span of so many bytes is registered.
    fn registered_for(&self, bytes: usize) -> Option<u16> {
        self.registered.get().filter(|_| bytes <= OPERATION_BYTES_MAX)
    }

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
    #[cfg(test)]
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
        self.shared.registered_for(self.bytes as usize)
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
        self.shared.registered_for(self.bytes)
    }
}

/// What of a ring is registered with a driver: its memory once, and behind that as much as one operation reaches. The kernel
/// pins and maps what is registered: the whole doubled mapping would count twice as resident memory.
#[derive(Debug)]
pub struct RegisteredSpan {
    pub(super) shared: Rc<Shared>,
}

// SAFETY: the mapping lives as long as `shared` and never moves; it is handed to the kernel for registration
// only, reads and writes go through leases and write spans.
unsafe impl KernelBytes for RegisteredSpan {
    fn address(&self) -> *mut u8 {
        self.shared.memory.base.as_ptr()
    }

    fn len(&self) -> usize {
        let capacity = self.shared.memory.capacity;
        capacity + capacity.min(OPERATION_BYTES_MAX)
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
