//! Memory that may be lent to the kernel.
#![expect(unsafe_code, reason = "the trait is a promise about addresses")]

use std::os::fd::BorrowedFd;

/// Where bytes lie in a file that goes on at its beginning when its end is reached.
#[derive(Clone, Copy, Debug)]
pub struct FileBytes<'file> {
    /// The file.
    pub file: BorrowedFd<'file>,
    /// Where in it the bytes begin.
    pub offset: u64,
    /// Where it goes on at its beginning.
    pub end: u64,
}

/// Bytes an operation may own while the kernel reads or writes them.
///
/// # Safety
/// While the value lives, and even when it is moved, `address()` returns the same address, `len()` bytes from
/// there stay mapped and are neither moved nor freed, and nobody forms a Rust reference to bytes the kernel
/// may write.
#[expect(clippy::len_without_is_empty, reason = "an operation always lends some")]
pub unsafe trait KernelBytes {
    /// Where the bytes begin.
    fn address(&self) -> *mut u8;
    /// How many there are.
    fn len(&self) -> usize;
    /// The index of the registered buffer the bytes lie in, if any.
    fn registered_buffer(&self) -> Option<u16> {
        None
    }
    /// Where in a file the bytes lie, if whoever sends them may keep referring to its pages when the value is gone.
    fn file(&self) -> Option<FileBytes<'_>> {
        None
    }
}

/// Bytes on the heap that can be lent: a request head being received, a reply being sent.
#[derive(Debug)]
pub struct HeapBytes {
    // A vector's buffer stays where it is when the vector is moved. It is never grown while it is lent, for
    // then the operation owns it.
    bytes: Vec<u8>,
}

impl HeapBytes {
    /// This many zeroed bytes, to be filled.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self { bytes: vec![0; len] }
    }

    /// These bytes, to be sent.
    #[must_use]
    pub const fn from_vec(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The bytes, given back.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

// SAFETY: the buffer is on the heap, does not move with the value, lives as long as it, and is reachable only
// through the value's owner.
unsafe impl KernelBytes for HeapBytes {
    fn address(&self) -> *mut u8 {
        self.bytes.as_ptr().cast_mut()
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}
