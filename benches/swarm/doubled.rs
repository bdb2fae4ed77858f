//! Memory that is mapped twice back to back, so that a span across its end is contiguous.
#![expect(unsafe_code, reason = "maps memory twice; nothing else here is unsafe")]

use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc::{c_void, iovec};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use nix::sys::sendfile::sendfile64;
use nix::unistd::ftruncate;
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

/// Whole pages and whole TS packets: lcm(4096, 188).
const UNIT: usize = 192_512;

pub(crate) struct Doubled {
    start: NonNull<c_void>,
    bytes: usize,
    file: File,
}

impl Doubled {
    /// At most `wanted` bytes, rounded down to whole pages and packets.
    pub(crate) fn new(wanted: usize) -> io::Result<Self> {
        let bytes = (wanted / UNIT).max(1) * UNIT;
        let memfd: OwnedFd = memfd_create("swarm-ring", MFdFlags::MFD_CLOEXEC)?;
        ftruncate(&memfd, i64::try_from(bytes).map_err(io::Error::other)?)?;
        let (Some(once), Some(twice)) = (NonZeroUsize::new(bytes), NonZeroUsize::new(2 * bytes)) else {
            return Err(io::Error::other("a ring of no bytes"));
        };
        // SAFETY: asks for fresh address space, which nobody else can hold.
        let start = unsafe { mmap_anonymous(None, twice, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }?;
        let doubled = Doubled { start, bytes, file: File::from(memfd) };
        for half in [0, bytes] {
            let at = NonZeroUsize::new(start.as_ptr().addr() + half);
            let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED | MapFlags::MAP_POPULATE;
            // Registering a buffer pins it for writing, so reading alone would not do.
            let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            // SAFETY: replaces half of the space reserved above, which `doubled` owns until it is dropped.
            unsafe { mmap(at, once, access, flags, &doubled.file, 0) }?;
        }
        Ok(doubled)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn write(&self, content: &[u8]) -> io::Result<()> {
        self.file.write_all_at(content, 0)
    }

    /// New pages for the part of the memory at this position, with what belongs there; whoever refers to the old ones keeps them.
    /// Gives the position behind it.
    pub(crate) fn renew(&self, position: u64, content: &[u8]) -> io::Result<u64> {
        let unit = u64::try_from(UNIT).expect("usize fits into u64");
        let part = usize::try_from(position / unit).map_err(io::Error::other)? % (self.bytes / UNIT) * UNIT;
        let offset = u64::try_from(part).map_err(io::Error::other)?;
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(
            &self.file,
            hole,
            i64::try_from(part).map_err(io::Error::other)?,
            i64::try_from(UNIT).map_err(io::Error::other)?,
        )?;
        self.file.write_all_at(&content[part..part + UNIT], offset)?;
        Ok((position / unit + 1) * unit)
    }

    /// Sends from the file as much of a span as the socket has room for.
    pub(crate) fn send(&self, socket: &TcpStream, position: u64, bytes: usize) -> io::Result<usize> {
        let all = u64::try_from(self.bytes).expect("usize fits into u64");
        let at = position % all;
        let count = usize::try_from(all - at).map_or(bytes, |left| left.min(bytes));
        let mut next = i64::try_from(at).map_err(io::Error::other)?;
        Ok(sendfile64(socket, &self.file, Some(&mut next), count)?)
    }

    /// Address of a position; what stands there is contiguous for a whole ring.
    pub(crate) fn address(&self, position: u64) -> *const u8 {
        let bytes = u64::try_from(self.bytes).expect("usize fits into u64");
        let offset = usize::try_from(position % bytes).expect("below a usize");
        self.start.as_ptr().cast::<u8>().wrapping_add(offset).cast_const()
    }

    /// Both mappings as one buffer to be registered.
    pub(crate) fn iovec(&self) -> iovec {
        iovec { iov_base: self.start.as_ptr(), iov_len: 2 * self.bytes }
    }
}

impl Drop for Doubled {
    fn drop(&mut self) {
        // SAFETY: the whole reservation of `new`, which nobody refers to any more.
        if let Err(errno) = unsafe { munmap(self.start, 2 * self.bytes) } {
            eprintln!("swarm: munmap: {errno}");
        }
    }
}
