//! Lent memory as a kernel sees it: an address and a length.
#![expect(unsafe_code, reason = "a simulated kernel reads and writes lent memory as the real one does")]

use std::io::{IoSlice, PipeWriter};

use nix::fcntl::{SpliceFFlags, vmsplice};

use crate::base::KernelBytes;

/// Which driver's operation, and its `user_data`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct OpId {
    pub(super) driver: u32,
    pub(super) user_data: u64,
}

/// Bytes somebody else owns. Made by [`Span::lent`], whose caller has promised that they stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    address: *mut u8,
    bytes: usize,
}

impl Span {
    /// The bytes of an operation's memory.
    ///
    /// # Safety
    /// The caller owns `memory` until it has seen to it that no copy of the span is used any more. The driver
    /// does: its table owns the memory until the operation's last completion, which the host posts after it
    /// has forgotten the span, and a driver that is dropped makes the host forget all its spans first.
    pub(super) unsafe fn lent(memory: &impl KernelBytes) -> Self {
        Self { address: memory.address(), bytes: memory.len() }
    }

    pub(super) const fn bytes(self) -> usize {
        self.bytes
    }

    /// A part of the span.
    pub(super) fn part(self, from: usize, bytes: usize) -> Self {
        assert!(from <= self.bytes && bytes <= self.bytes - from, "a part lies inside the whole");
        // SAFETY: `from` is at most the length of the span, whose bytes lie in one mapping.
        let address = unsafe { self.address.add(from) };
        Self { address, bytes }
    }

    /// A copy of the bytes as they are now.
    pub(super) fn read(self) -> Vec<u8> {
        let mut copy = vec![0; self.bytes];
        // SAFETY: the span's bytes are mapped (see `lent`) and `copy` is as long and not among them.
        unsafe { std::ptr::copy_nonoverlapping(self.address, copy.as_mut_ptr(), self.bytes) };
        copy
    }

    /// Has a pipe refer to the pages of the span, as far as it has room. Gives the bytes.
    pub(super) fn refer_from(self, pipe: &PipeWriter) -> usize {
        // SAFETY: the span's bytes are mapped (see `lent`), and the slice is gone before anybody writes to them.
        let bytes = unsafe { std::slice::from_raw_parts(self.address, self.bytes) };
        match vmsplice(pipe, &[IoSlice::new(bytes)], SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(count) => count,
            Err(nix::Error::EAGAIN) => 0,
            Err(error) => unreachable!("mapped memory can be referred to: {error}"),
        }
    }

    /// Writes to the span's beginning.
    pub(super) fn write(self, bytes: &[u8]) {
        assert!(bytes.len() <= self.bytes, "a kernel writes only what it was lent");
        // SAFETY: the span's bytes are mapped and lent for writing (see `lent`): nobody holds a reference.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address, bytes.len()) };
    }

    /// A number that changes with the bytes.
    pub(super) fn checksum(self) -> u64 {
        let mut sum = self.bytes as u64;
        for chunk in self.read().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            sum = fold(sum, u64::from_le_bytes(word));
        }
        sum
    }
}

/// One step of a hash.
pub(super) const fn fold(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
