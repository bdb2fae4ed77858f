//! What the heap keeps of the memory that nobody holds any more. glibc gives back by itself only what lies at the heap's end, and one
//! small thing that stays is enough to hold all that was there before it.
#![expect(unsafe_code, reason = "nix has no word for the heap")]

/// Bytes of the heap that nobody holds, resident or not.
#[must_use]
pub fn free_bytes() -> usize {
    // SAFETY: it reads the heap's own books, under the heap's own locks.
    let books = unsafe { nix::libc::mallinfo2() };
    books.fordblks
}

/// Gives the kernel the whole pages that nobody holds. Whoever allocates meanwhile waits: a millisecond for some 20 MiB.
pub fn give_back() {
    // SAFETY: it changes nothing but what is free, under the heap's own locks.
    let _released = unsafe { nix::libc::malloc_trim(0) };
}
