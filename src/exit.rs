//! How the program ends, in a number.

use std::fmt;

/// How the program ends. Scripts and the service unit act on the number; people read the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It was asked to end and did, or did what was asked.
    Ok = 0,
    /// Something failed while it ran; starting again may help.
    Failure = 1,
    /// The command line or a setting is wrong. Starting again does not help.
    Settings = 2,
    /// The kernel lacks something, or does not allow it. Starting again does not help.
    Kernel = 3,
    /// An address is taken or may not be bound. It may become free.
    Bind = 4,
    /// The database is damaged, newer than this program, or cannot be opened. Starting again does not help.
    Database = 5,
    /// It was asked to end, and some connections or programs had to be cut off when the time was up.
    Forced = 6,
}

impl ExitCode {
    /// Every way to end, by number.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Failure, Self::Settings, Self::Kernel, Self::Bind, Self::Database, Self::Forced];

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether starting again with nothing changed can help. The service unit must not restart the others.
    #[must_use]
    pub const fn may_restart_help(self) -> bool {
        match self {
            Self::Ok | Self::Failure | Self::Bind | Self::Forced => true,
            Self::Settings | Self::Kernel | Self::Database => false,
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ended as asked",
            Self::Failure => "something failed while running; the log says what",
            Self::Settings => "the command line or a setting is wrong; every mistake is listed",
            Self::Kernel => "the kernel lacks or forbids what is needed; the message says what and why",
            Self::Bind => "an address is in use or may not be bound",
            Self::Database => "the database is damaged, newer than this program, or cannot be opened",
            Self::Forced => "ended as asked, but what was still running after ten seconds was cut off",
        })
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = include_str!("../systemd/tunerd.service");

    #[test]
    fn numbers_are_the_place_in_the_list() {
        for (index, code) in ExitCode::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(code.number()), index);
        }
    }

    #[test]
    fn the_unit_restarts_only_what_a_restart_can_help() {
        let numbers: Vec<String> = ExitCode::ALL
            .into_iter()
            .filter(|code| !code.may_restart_help())
            .map(|code| code.number().to_string())
            .collect();
        let line = format!("RestartPreventExitStatus={}", numbers.join(" "));
        assert!(UNIT.lines().any(|unit_line| unit_line == line), "{line}");
    }
}
