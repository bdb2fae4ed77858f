//! How a child process ended.

use std::fmt;

/// The end of a child process. It cannot be mistaken for success: look at it.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildExit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl fmt::Display for ChildExit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit status {code}"),
            Self::Signal(number) => write!(formatter, "signal {number}"),
        }
    }
}
