//! Settings whose value is one of a few words.

/// A setting whose value is one of a few words.
pub trait Word: Copy + PartialEq + Sized + 'static {
    /// The words, with what each means. The first for a value is its name; others are accepted spellings.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for it.
    fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

/// Reads a word, whatever its case.
#[must_use]
pub(super) fn parse_word<W: Word>(text: &str) -> Option<W> {
    W::WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|&(_, value)| value)
}

/// Declares an enum, its words and its name in logs and JSON. `also` lists further spellings.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident { $( $(#[$means:meta])* $variant:ident = $word:literal $(also $other:literal)? ),+ $(,)? }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$means])* $variant ),+ }

        impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] =
                &[$( ($word, Self::$variant), $( ($other, Self::$variant), )? )+];
        }

        impl $name {
            /// The words to choose from, without the further spellings.
            pub const CHOICES: &'static [&'static str] = &[$($word),+];
        }
    };
}

words! {
    /// How a source is opened.
    pub enum StreamMode {
        /// MPEG-TS over HTTP(S) directly, everything else through ffmpeg without re-encoding.
        Auto = "auto",
        /// Never ffmpeg.
        Direct = "direct",
        /// Through ffmpeg, remuxed.
        FfmpegCopy = "ffmpeg-copy",
        /// Through ffmpeg, re-encoded.
        FfmpegTranscode = "ffmpeg-transcode",
    }
}

words! {
    /// What to do when a source has stalled.
    pub enum StallPolicy {
        /// Another source of the channel, else the same again.
        FailoverSource = "failover_source",
        /// The same source again.
        RestartSame = "restart_same",
        /// End the session.
        CloseSession = "close_session",
    }
}

words! {
    /// What viewers get while a channel recovers.
    pub enum FillerMode {
        /// Null packets.
        Null = "null",
        /// PAT and PMT.
        Psi = "psi",
        /// A decodable picture and sound.
        SlateAv = "slate_av" also "slate-av",
    }
}

words! {
    /// What becomes of a viewer who falls behind the ring.
    pub enum SlowClientPolicy {
        /// The connection ends.
        Disconnect = "disconnect",
        /// On to the newest entry point, signalled as a discontinuity.
        Skip = "skip",
    }
}

words! {
    /// How to send without copying.
    pub enum ZeroCopy {
        /// By `send-zc` to peers on other hosts, as long as the kernel does not report that it copied after all, else by `sendfile`.
        Auto = "auto",
        /// To everybody from registered memory.
        SendZc = "send-zc" also "always",
        /// To everybody from the ring's file.
        SendFile = "sendfile",
        /// Not at all.
        Never = "never",
    }
}

words! {
    /// The least important messages that are logged.
    pub enum LogLevel {
        /// Broken promises.
        Error = "error",
        /// What somebody should act on.
        Warn = "warn",
        /// Changes of state.
        Info = "info",
        /// Decisions and their reasons.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

words! {
    /// How much ffmpeg says on its standard error.
    pub enum FfmpegLogLevel {
        /// What it cannot recover from.
        Error = "error",
        /// Also what looks wrong.
        Warning = "warning" also "warn",
        /// Also what it is doing.
        Info = "info",
        /// Everything useful to its developers.
        Debug = "debug",
    }
}

words! {
    /// The level at which ffmpeg's lines enter our log.
    pub enum StderrLogLevel {
        /// `debug`.
        Debug = "debug",
        /// `info`.
        Info = "info",
        /// `warn`.
        Warn = "warn" also "warning",
    }
}

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
    fn a_value_is_named_by_its_first_word() {
        assert_eq!(FillerMode::SlateAv.as_str(), "slate_av");
        assert_eq!(FillerMode::CHOICES, ["null", "psi", "slate_av"]);
        assert_eq!(FfmpegLogLevel::Warning.as_str(), "warning");
    }
}
