//! How a child process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The end of a child process. It must be looked at: a child that failed is never taken for one that ended well.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildExit {
    /// It exited by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl ChildExit {
    /// True when the child exited by itself with code 0.
    #[must_use]
    pub const fn is_clean(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl From<ExitStatus> for ChildExit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            // Waiting for an end without asking for stops or continues yields one of the two above.
            (None, None) => unreachable!("a reaped child neither exited nor was killed: {status:?}"),
        }
    }
}

impl fmt::Display for ChildExit {
    /// `exit status 1`, `signal: killed`: the words operators of such servers know.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit status {code}"),
            Self::Signal(signal) => match SIGNALS.iter().find(|(number, _)| number == signal) {
                Some((_, name)) => write!(formatter, "signal: {name}"),
                None => write!(formatter, "signal: {signal}"),
            },
        }
    }
}

/// The signals that end a child in practice.
const SIGNALS: &[(i32, &str)] = &[
    (1, "hangup"),
    (2, "interrupt"),
    (3, "quit"),
    (4, "illegal instruction"),
    (6, "aborted"),
    (7, "bus error"),
    (8, "floating point exception"),
    (9, "killed"),
    (11, "segmentation fault"),
    (13, "broken pipe"),
    (15, "terminated"),
    (24, "CPU time limit exceeded"),
    (25, "file size limit exceeded"),
    (31, "bad system call"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_becomes_a_code_or_a_signal() {
        for (raw, expected, text, clean) in [
            (0, ChildExit::Code(0), "exit status 0", true),
            (1 << 8, ChildExit::Code(1), "exit status 1", false),
            (8 << 8, ChildExit::Code(8), "exit status 8", false),
            (9, ChildExit::Signal(9), "signal: killed", false),
            (15, ChildExit::Signal(15), "signal: terminated", false),
            (11 | 0x80, ChildExit::Signal(11), "signal: segmentation fault", false),
            (40, ChildExit::Signal(40), "signal: 40", false),
        ] {
            let exit = ChildExit::from(ExitStatus::from_raw(raw));
            assert_eq!(exit, expected, "{raw:#x}");
            assert_eq!(exit.to_string(), text);
            assert_eq!(exit.is_clean(), clean, "{text}");
        }
    }
}
