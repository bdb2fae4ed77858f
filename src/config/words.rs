//! Settings whose value is one of a few words.

pub(super) use crate::engine::{SlowPolicy, ZeroCopy};
pub(super) use crate::filler::Mode as FillerMode;
pub(super) use crate::session::StallPolicy;
pub(super) use crate::source::Mode as StreamMode;
pub(super) use crate::source::ffmpeg::LogLevel as FfmpegLogLevel;

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Names and values in a line.
    Logfmt,
    /// An object of JSON in a line.
    Json,
}

/// A setting whose value is one of a few words. The values are those of the module that acts upon them.
pub trait Word: Copy + PartialEq + 'static {
    /// The words, with what each means.
    const WORDS: &'static [(&'static str, Self)];
    /// The words to choose from, without further spellings.
    const CHOICES: &'static [&'static str];

    /// The word for it; none for what no word chooses.
    fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

/// Reads a word, whatever its case.
#[must_use]
pub(super) fn parse_word<W: Word>(text: &str) -> Option<W> {
    W::WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|&(_, value)| value)
}

/// Gives values their words. `also` lists further spellings.
macro_rules! words {
    ($type:ty { $( $variant:ident = $word:literal $(also $other:literal)? ),+ $(,)? }) => {
        impl Word for $type {
            const WORDS: &'static [(&'static str, Self)] =
                &[$( ($word, Self::$variant), $( ($other, Self::$variant), )? )+];
            const CHOICES: &'static [&'static str] = &[$($word),+];
        }
    };
}

words! { StreamMode {
    Auto = "auto",
    Direct = "direct",
    FfmpegCopy = "ffmpeg-copy",
    FfmpegTranscode = "ffmpeg-transcode",
} }

words! { StallPolicy {
    FailoverSource = "failover_source",
    RestartSame = "restart_same",
    CloseSession = "close_session",
} }

words! { FillerMode { Null = "null", Psi = "psi", SlateAv = "slate_av" also "slate-av" } }

words! { SlowPolicy { Disconnect = "disconnect", Skip = "skip" } }

words! { ZeroCopy { Auto = "auto", SendZc = "send-zc" also "always", SendFile = "sendfile", Never = "never" } }

// The least important messages that are logged.
words! { log::LevelFilter { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" } }

words! { LogFormat { Logfmt = "logfmt", Json = "json" } }

words! { FfmpegLogLevel { Error = "error", Warning = "warning" also "warn", Info = "info", Debug = "debug" } }

// The level at which ffmpeg's lines enter our log.
words! { log::Level { Debug = "debug", Info = "info", Warn = "warn" also "warning" } }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_spelling() {
        assert_eq!(parse_word("FFmpeg-Copy"), Some(StreamMode::FfmpegCopy));
        assert_eq!(parse_word("slate-av"), Some(FillerMode::SlateAv));
        assert_eq!(parse_word("slate_av"), Some(FillerMode::SlateAv));
        assert_eq!(parse_word::<StallPolicy>("x"), None);
        assert_eq!(parse_word::<ZeroCopy>(""), None);
    }

    #[test]
    fn what_can_be_chosen_is_named_as_in_the_log() {
        let names =
            |modes: &[(&str, FillerMode)]| modes.iter().map(|(_, mode)| mode.as_str()).collect::<Vec<_>>();
        assert_eq!(FillerMode::CHOICES, ["null", "psi", "slate_av"]);
        assert_eq!(names(FillerMode::WORDS), ["null", "psi", "slate_av", "slate_av"]);
        assert!(StreamMode::WORDS.iter().all(|(word, mode)| mode.name() == *word));
        assert!(StallPolicy::WORDS.iter().all(|(word, policy)| policy.as_str() == *word));
        let levels = FfmpegLogLevel::WORDS.iter().map(|(word, level)| (*word, level.name()));
        let same = ["error", "warning", "info", "debug"].map(|word| (word, word));
        assert_eq!(levels.collect::<Vec<_>>(), [same[0], same[1], ("warn", "warning"), same[2], same[3]]);
    }
}
