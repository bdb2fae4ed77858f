//! The last lines of the log, for whoever looks at the page instead of the journal.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Lines that are kept, and how much of each. Full: the oldest is forgotten.
const LINES_MAX: usize = 100;
const LINE_CHARS_MAX: usize = 400;

/// The last lines.
#[derive(Default, Debug)]
pub struct LogTail(Mutex<VecDeque<String>>);

impl LogTail {
    /// One more line, with its line break or without.
    pub fn push(&self, line: &str) {
        let line = line.trim_end().chars().take(LINE_CHARS_MAX).collect();
        // Whoever has panicked here has left whole lines.
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// All of them, the newest last.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_no_line_is_long() {
        let tail = LogTail::default();
        for number in 0..=LINES_MAX {
            tail.push(&format!("line {number}\n"));
        }
        tail.push(&"é".repeat(LINE_CHARS_MAX + 1));
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (LINES_MAX, "line 2"));
        assert_eq!(lines[LINES_MAX - 1].chars().count(), LINE_CHARS_MAX);
    }
}
