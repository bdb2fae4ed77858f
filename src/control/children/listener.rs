//! What ffmpeg says, line by line: what it has found in its input, and what is worth being heard.

use crate::source::ffmpeg::{Listing, LogLevel, levelled};

/// A line is taken apart only up to here.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Listens to one ffmpeg.
#[derive(Debug)]
pub(super) struct Listener {
    /// What is less is not passed on.
    level: LogLevel,
    listing: Listing,
    line: Vec<u8>,
    /// The last line that had a level was passed on, and so are those behind it that have none.
    passes: bool,
}

impl Listener {
    pub(super) fn new(level: LogLevel) -> Self {
        Self { level, listing: Listing::default(), line: Vec::new(), passes: true }
    }

    /// What has been said of the input.
    pub(super) const fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Takes what was read, and passes on whole lines without their levels.
    pub(super) fn push(&mut self, bytes: &[u8], pass: &mut impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") || self.line.ends_with(b"\r") || self.line.len() > LINE_BYTES_MAX {
                self.end(pass);
            }
        }
    }

    /// Nothing more is said.
    pub(super) fn end(&mut self, pass: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        match levelled(&String::from_utf8_lossy(&line)) {
            Some((level, words)) => {
                self.listing.push(&words);
                self.passes = level <= self.level;
                if self.passes {
                    pass(words.as_bytes());
                }
            }
            None if self.passes => pass(&line),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(level: LogLevel, pieces: &[&str]) -> (String, Listing) {
        let mut listener = Listener::new(level);
        let mut heard = Vec::new();
        for piece in pieces {
            listener.push(piece.as_bytes(), &mut |bytes| heard.extend_from_slice(bytes));
        }
        listener.end(&mut |bytes| heard.extend_from_slice(bytes));
        (String::from_utf8(heard).unwrap(), listener.listing().clone())
    }

    const SAID: &str = "sh: hello\n[mpegts @ 0x1] [warning] odd\n more\n[info] Input #0, mpegts\n  of it\n[info]   Program 5 \n[info]     Stream #0:0: Audio: mp2\n[info]   Program 6\n[info]     Stream #0:1: Audio: mp2\n[error] bad\n[info] Stream mapping:\n";

    #[test]
    fn lines_below_the_level_are_read_and_not_passed_on() {
        for (level, expected) in [
            (LogLevel::Error, "sh: hello\nbad\n"),
            (LogLevel::Warning, "sh: hello\n[mpegts @ 0x1] odd\n more\nbad\n"),
            (
                LogLevel::Info,
                "sh: hello\n[mpegts @ 0x1] odd\n more\nInput #0, mpegts\n  of it\n  Program 5 \n    Stream #0:0: Audio: mp2\n  Program 6\n    Stream #0:1: Audio: mp2\nbad\nStream mapping:\n",
            ),
        ] {
            let (text, listing) = heard(level, &[SAID]);
            assert_eq!(text, expected, "{level:?}");
            assert!(listing.needs_choice() && listing.is_complete());
        }
    }

    #[test]
    fn words_are_heard_however_they_are_cut() {
        let whole = heard(LogLevel::Warning, &[SAID]);
        for at in 0..SAID.len() {
            assert_eq!(heard(LogLevel::Warning, &[&SAID[..at], &SAID[at..]]), whole, "cut at {at}");
        }
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        assert_eq!(heard(LogLevel::Warning, &[&long]).0, long);
    }
}
