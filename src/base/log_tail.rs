//! The last lines of the log, for whoever looks at the page instead of the journal.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Lines that are kept, and how much of each. Full: the oldest is forgotten.
const LINES_MAX: usize = 100;
const LINE_CHARS_MAX: usize = 400;

/// The last lines.
#[derive(Default, Debug)]
pub struct LogTail(Mutex<Lines>);

#[derive(Default, Debug)]
struct Lines {
    kept: VecDeque<String>,
    /// How many there have been.
    total: u64,
}

impl LogTail {
    /// One more line, with its line break or without.
    pub fn push(&self, line: &str) {
        let line = line.trim_end().chars().take(LINE_CHARS_MAX).collect();
        // Whoever has panicked here has left whole lines.
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.kept.len() == LINES_MAX {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
        lines.total += 1;
    }

    /// All of them by their numbers, which count from 1, the newest last.
    #[must_use]
    pub fn lines(&self) -> Vec<(u64, String)> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = lines.total + 1 - lines.kept.len() as u64;
        (first..).zip(lines.kept.iter().cloned()).collect()
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
        assert_eq!((lines.len(), &lines[0]), (LINES_MAX, &(3, "line 2".to_owned())));
        assert_eq!(lines[LINES_MAX - 1].1.chars().count(), LINE_CHARS_MAX);
    }
}
