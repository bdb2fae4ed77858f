//! What the heap keeps of the memory that nobody holds any more. glibc gives back by itself only what lies at the heap's end, and one
//! small thing that stays is enough to hold all that was there before it.
#![expect(unsafe_code, reason = "nix has no word for the heap")]

/// So much stays at the end of each thread's part of the heap.
const KEPT_BYTES: nix::libc::c_int = 512 * 1024;
/// What is larger has pages of its own, and gives them back when it is dropped.
const OWN_PAGES_BYTES: nix::libc::c_int = 1024 * 1024;

/// Has each part of the heap give back what lies at its end. Of all but the first thread's [`give_back`] does not, and glibc keeps
/// the more of it the larger the largest thing was that has been dropped, up to 64 MiB each. To be called before there are other
/// threads.
pub fn keep_ends_short() {
    for (option, bytes) in
        [(nix::libc::M_TRIM_THRESHOLD, KEPT_BYTES), (nix::libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES)]
    {
        // SAFETY: it changes nothing but how much is kept.
        let _is_set = unsafe { nix::libc::mallopt(option, bytes) };
    }
}

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
