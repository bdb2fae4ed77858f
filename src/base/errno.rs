//! The kernel's error numbers, read in one place.

use std::fmt;
use std::io;

/// A positive error number of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    /// Operation was cancelled.
    pub const CANCELED: Self = Self(125);
    /// No buffer space available.
    pub const NOBUFS: Self = Self(105);
    /// Broken pipe.
    pub const PIPE: Self = Self(32);
    /// Connection reset by peer.
    pub const CONNRESET: Self = Self(104);
    /// Try again.
    pub const AGAIN: Self = Self(11);
    /// Interrupted.
    pub const INTR: Self = Self(4);
    /// No such device.
    pub const NODEV: Self = Self(19);
    /// Invalid argument.
    pub const INVAL: Self = Self(22);
    /// Connection timed out.
    pub const TIMEDOUT: Self = Self(110);
    /// Connection refused.
    #[cfg(any(test, feature = "sim"))]
    pub const CONNREFUSED: Self = Self(111);
    /// Too many open files in the process.
    pub const MFILE: Self = Self(24);
    /// Too many open files in the system.
    pub const NFILE: Self = Self(23);
    /// The timer of a wait ran out.
    pub const TIME: Self = Self(62);
    /// Out of memory (also: the locked-memory limit).
    pub const NOMEM: Self = Self(12);
    /// Device or resource busy (also: the completion queue overflowed).
    pub const BUSY: Self = Self(16);

    /// An error number as the kernel returns it through `errno`: positive.
    #[must_use]
    pub const fn from_positive(number: i32) -> Self {
        Self(number)
    }

    /// Reads an io_uring result: zero or more is a count, less is a negated error number.
    ///
    /// # Errors
    /// The error number when `result` is negative.
    pub fn check(result: i32) -> Result<u32, Self> {
        u32::try_from(result).map_err(|_negative| Self(result.wrapping_neg()))
    }

    /// The number, positive.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(formatter)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl std::error::Error for Errno {}

impl From<io::Error> for Errno {
    /// Errors that carry no number of the kernel's become `EIO`.
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_result_is_a_negated_error_number() {
        assert_eq!(Errno::check(-22), Err(Errno::INVAL));
        assert_eq!(Errno::check(-104), Err(Errno::CONNRESET));
        assert_eq!(Errno::check(0), Ok(0));
        assert_eq!(Errno::check(188), Ok(188));
        assert_eq!(Errno::INVAL.to_string(), "Invalid argument (os error 22)");
    }
}
