//! What a setting is: its names, its default, what is allowed, and a sentence for people.

use std::fmt;
use std::time::Duration;

use super::duration::format_duration;

/// A setting. Everything about it but its type in `Settings` is here.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in the environment and in files: `STALL_DETECT`.
    pub env: &'static str,
    /// Its name on the command line, without the dashes: `stall-detect`.
    pub flag: &'static str,
    /// The value when nobody gives one, as it would be typed.
    pub default: &'static str,
    /// What may be typed.
    pub kind: Kind,
    /// What it does.
    pub help: &'static str,
}

/// What may be typed for a setting.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// True or false.
    Switch,
    /// A whole number, both ends included.
    Whole {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number with a decimal point, both ends included.
    Real {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A duration, both ends included.
    Span {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Something with a grammar of its own, described.
    Special(&'static str),
    /// The same, and never to be printed.
    Private(&'static str),
}

/// Settings that are shown together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What they have in common.
    pub heading: &'static str,
    /// The settings, in the order in which they are shown.
    pub settings: &'static [Setting],
}

/// The longest duration a setting takes. Longer ones are slips: nothing here waits for more than a month.
const SPAN_MAX: Duration = Duration::from_secs(31 * 24 * 3_600);

/// A duration that may be zero.
pub(super) const SPAN: Kind = Kind::Span { min: Duration::ZERO, max: SPAN_MAX };
/// A duration that may not be zero. The engine's timers do not split a millisecond.
pub(super) const SPAN_SOME: Kind = Kind::Span { min: Duration::from_millis(1), max: SPAN_MAX };

impl Setting {
    /// Whether its value must not be printed.
    #[must_use]
    pub fn is_private(&self) -> bool {
        matches!(self.kind, Kind::Private(_))
    }
}

impl fmt::Display for Kind {
    /// What is allowed, for a sentence that ends with it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Switch => formatter.write_str("true or false"),
            Self::Whole { min, max } => write!(formatter, "a whole number from {min} to {max}"),
            Self::Real { min, max } => write!(formatter, "a number from {min} to {max}"),
            Self::Span { min, max } => {
                let min = if min.is_zero() { "0".to_owned() } else { format_duration(min) };
                write!(formatter, "a duration from {min} to {}", format_duration(max))
            }
            Self::Choice(words) => match words {
                [first @ .., last] if !first.is_empty() => {
                    write!(formatter, "{} or {last}", first.join(", "))
                }
                words => formatter.write_str(&words.concat()),
            },
            Self::Special(allowed) | Self::Private(allowed) => formatter.write_str(allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_said_in_words() {
        assert_eq!(Kind::Choice(&["disconnect", "skip"]).to_string(), "disconnect or skip");
        assert_eq!(Kind::Choice(&["a", "b", "c"]).to_string(), "a, b or c");
        assert_eq!(SPAN_SOME.to_string(), "a duration from 1ms to 744h0m0s");
        assert_eq!(Kind::Whole { min: -1, max: 9 }.to_string(), "a whole number from -1 to 9");
    }
}
