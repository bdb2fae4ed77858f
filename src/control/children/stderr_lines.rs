//! What a child says on its standard error, line by line, for the log.

use std::time::Duration;

use crate::base::logfmt::Line;
use crate::base::{Instant, redact};
use crate::control::relay::Shown;
use crate::engine::ChildOwner;

/// Bytes of a line that are looked at. What lies behind them is not kept.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Lines of one child in one [`WINDOW`]. More are counted and not written: a source that is broken for days is told of
/// and does not fill the disk.
const LINES_MAX: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// How children's words enter the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passthrough {
    /// The level of the lines.
    pub level: log::Level,
    /// Bytes of a line that are written.
    pub line_bytes_max: usize,
}

/// Cuts one child's words into lines.
pub(super) struct StderrLines {
    owner: ChildOwner,
    /// What stands behind addresses that the child knows alone.
    shown: Option<Shown>,
    line_bytes_max: usize,
    line: Vec<u8>,
    /// Bytes of the line were not kept.
    overlong: bool,
    sequence: u64,
    window: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl StderrLines {
    pub(super) const fn new(owner: ChildOwner, shown: Option<Shown>, passthrough: Passthrough) -> Self {
        Self {
            owner,
            shown,
            line_bytes_max: passthrough.line_bytes_max,
            line: Vec::new(),
            overlong: false,
            sequence: 0,
            window: None,
            lines: 0,
            suppressed: 0,
        }
    }

    /// Takes what was said. `write` gets the lines that are whole.
    pub(super) fn push(&mut self, now: Instant, bytes: &[u8], mut write: impl FnMut(Line)) {
        for piece in bytes.split_inclusive(|byte| is_end(*byte)) {
            let (words, is_whole) = match piece.split_last() {
                Some((last, words)) if is_end(*last) => (words, true),
                _ => (piece, false),
            };
            let room = LINE_BYTES_MAX - self.line.len();
            self.overlong |= words.len() > room;
            self.line.extend_from_slice(&words[..words.len().min(room)]);
            if is_whole {
                self.finish(now, &mut write);
            }
        }
    }

    /// Nothing more is said: what has no end is a line, too.
    pub(super) fn end(&mut self, now: Instant, mut write: impl FnMut(Line)) {
        self.finish(now, &mut write);
    }

    fn finish(&mut self, now: Instant, write: &mut impl FnMut(Line)) {
        let bytes = std::mem::take(&mut self.line);
        let overlong = std::mem::take(&mut self.overlong);
        let text = String::from_utf8_lossy(&bytes);
        // Of a cut word it cannot be told whether it is an address with a password in it.
        let text = if overlong {
            text.rsplit_once(char::is_whitespace).map_or("", |(whole, _)| whole)
        } else {
            &text
        };
        if text.trim().is_empty() && !overlong {
            return;
        }
        self.sequence += 1;
        if self.window.is_none_or(|began| now - began >= WINDOW) {
            self.window = Some(now);
            self.lines = 0;
        }
        if self.lines == LINES_MAX {
            self.suppressed += 1;
            return;
        }
        self.lines += 1;
        let shown = self.shown.as_ref().map(|shown| shown.line(text.trim()));
        let mut words = redact::text(shown.as_deref().unwrap_or_else(|| text.trim()));
        let bytes = words.len();
        redact::truncate(&mut words, self.line_bytes_max);
        let line = Line::new("ffmpeg stderr")
            .field("channel_id", self.owner.channel_id)
            .field("source_id", self.owner.source_id)
            .field("sequence", self.sequence)
            .field("line", &words)
            .field("truncated", overlong || words.len() < bytes)
            .unless_zero("suppressed", std::mem::take(&mut self.suppressed));
        write(line);
    }
}

const fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: ChildOwner = ChildOwner { channel_id: 3, source_id: 7 };

    /// The lines that pieces, each said at a second, are written as.
    fn written(line_bytes_max: usize, pieces: &[(u64, &str)]) -> Vec<String> {
        let mut said = StderrLines::new(OWNER, None, Passthrough { level: log::Level::Info, line_bytes_max });
        let mut lines = Vec::new();
        for (second, piece) in pieces {
            said.push(Instant::from_millis(second * 1000), piece.as_bytes(), |line| {
                lines.push(line.to_string())
            });
        }
        said.end(Instant::from_millis(0), |line| lines.push(line.to_string()));
        lines
    }

    fn line(sequence: u64, words: &str, rest: &str) -> String {
        format!(r#"msg="ffmpeg stderr" channel_id=3 source_id=7 sequence={sequence} line={words}{rest}"#)
    }

    #[test]
    fn words_become_lines_however_they_are_cut() {
        let table = [
            (vec![(0, "one\ntwo\n")], vec!["one", "two"]),
            (vec![(0, "on"), (0, "e\nt"), (0, "wo")], vec!["one", "two"]),
            (vec![(0, "one\r\n\r\ntwo\r")], vec!["one", "two"]),
            (vec![(0, "  \n\n")], vec![]),
        ];
        for (pieces, expected) in table {
            let expected: Vec<_> =
                expected.iter().zip(1..).map(|(words, nth)| line(nth, words, " truncated=false")).collect();
            assert_eq!(written(100, &pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn secrets_do_not_enter_the_log_wherever_a_line_is_cut() {
        let text = "[http @ 0x1] http://user:secret@host/live?token=abc: Server returned 404\n";
        for bytes in 64..text.len() + 20 {
            let lines = written(bytes, &[(0, text)]).concat();
            assert!(!lines.contains("secret") && !lines.contains("abc"), "{bytes}: {lines}");
        }
        assert!(written(2048, &[(0, text)]).concat().contains("Server returned 404"));
        let padding = " ".repeat(3) + &"x".repeat(LINE_BYTES_MAX - 20) + " ";
        let overlong = written(1 << 20, &[(0, &format!("{padding}http://user:secret@host/\n"))]).concat();
        assert!(!overlong.contains("secret") && overlong.ends_with("truncated=true"), "{}", &overlong[..200]);
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let lines = written(64, &[(0, &"ä".repeat(50)), (0, "\n")]);
        assert_eq!(lines, [line(1, &"ä".repeat(32), " truncated=true")]);
    }

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let flood = "again\n".repeat(120);
        let lines = written(64, &[(0, &flood), (9, "still\n"), (10, "later\n"), (11, "last\n")]);
        assert_eq!(lines.len(), 52);
        assert_eq!(lines[49], line(50, "again", " truncated=false"));
        assert_eq!(lines[50], line(122, "later", " truncated=false suppressed=71"));
        assert_eq!(lines[51], line(123, "last", " truncated=false"));
    }
}
