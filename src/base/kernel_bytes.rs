//! Memory that may be lent to the kernel.
#![expect(unsafe_code, reason = "the trait is a promise about addresses")]

/// Bytes an operation may own while the kernel reads or writes them.
///
/// # Safety
/// While the value lives, and even when it is moved, `address()` returns the same address, `len()` bytes from
/// there stay mapped and are neither moved nor freed, and nobody forms a Rust reference to bytes the kernel
/// may write.
pub unsafe trait KernelBytes {
    /// Where the bytes begin.
    fn address(&self) -> *mut u8;
    /// How many there are.
    fn len(&self) -> usize;
    /// The index of the registered buffer the bytes lie in, if any.
    fn registered_buffer(&self) -> Option<u16> {
        None
    }
    /// True when there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
