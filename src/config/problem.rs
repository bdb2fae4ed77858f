//! What is wrong with the settings, in sentences for whoever typed them.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// The most characters of a wrong value that are repeated.
const VALUE_CHARS_MAX: usize = 80;

/// Something that keeps the program from starting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// A value that cannot be used.
    #[error("{name}: {value} {why}; allowed: {allowed}")]
    Value {
        /// The setting, as it was given.
        name: String,
        /// The value as it may be shown.
        value: String,
        /// What is wrong.
        why: String,
        /// What would be right.
        allowed: String,
    },
    /// A value that is not text at all.
    #[error("{name}: the value is not UTF-8")]
    NotUtf8 {
        /// The setting, as it was given.
        name: String,
    },
    /// Values that are right one by one and wrong together.
    #[error("{0}")]
    Conflict(String),
    /// A line of the settings file that cannot be used.
    #[error("{} line {line}: {why}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The settings file cannot be read.
    #[error("--config: {} cannot be read: {why}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's word for it.
        why: String,
    },
}

/// Everything that is wrong, together. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// A line for each, without a newline at the end.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Something that is probably not meant, and does not keep the program from starting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Warning {
    /// A variable whose name nearly is a setting's.
    #[error("{name} is not a setting; is {meant} meant?")]
    Typo {
        /// The variable.
        name: String,
        /// The setting.
        meant: &'static str,
    },
    /// A name that other programs know.
    #[error("{name} has no effect: tunerd has no need of it")]
    WithoutEffect {
        /// The name.
        name: &'static str,
    },
    /// Values that hardly do what they are meant to do, and why.
    #[error("{0}")]
    Doubtful(String),
}

/// A wrong value as it is repeated: quoted, without line breaks, and not at length.
pub(super) fn quote(value: &str) -> String {
    if value.chars().count() <= VALUE_CHARS_MAX {
        return format!("{value:?}");
    }
    let start: String = value.chars().take(VALUE_CHARS_MAX).collect();
    format!("{start:?}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_repeated_on_one_line_and_not_at_length() {
        assert_eq!(quote("x\ny"), "\"x\\ny\"");
        assert_eq!(quote(&"ä".repeat(80)).chars().count(), 82);
        assert_eq!(quote(&"ä".repeat(5_000)).chars().count(), 83);
    }
}
