//! The last words of a child.

use std::collections::VecDeque;

/// Keeps the last bytes a child wrote to its standard error. When it is full the oldest go: the cause of an end
/// stands last.
#[derive(Debug)]
pub struct StderrTail {
    kept: VecDeque<u8>,
    limit: usize,
    dropped: bool,
}

impl StderrTail {
    /// An empty tail of at most `limit` bytes.
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit, dropped: false }
    }

    /// Takes what the child wrote.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = match bytes.len().checked_sub(self.limit) {
            None | Some(0) => bytes,
            Some(excess) => {
                self.dropped = true;
                &bytes[excess..]
            }
        };
        let excess = (self.kept.len() + bytes.len()).saturating_sub(self.limit);
        self.dropped |= excess > 0;
        self.kept.drain(..excess);
        self.kept.extend(bytes);
    }

    /// The text, with a mark in front when its beginning was dropped. Not yet redacted: what is put into a
    /// [`crate::source::SourceError`] is redacted there.
    #[must_use]
    pub fn text(&self) -> String {
        let (front, back) = self.kept.as_slices();
        let bytes = [front, back].concat();
        // A character cut in two at the front says nothing.
        let whole = bytes.iter().position(|byte| byte & 0xC0 != 0x80).unwrap_or(bytes.len());
        let text = String::from_utf8_lossy(&bytes[if self.dropped { whole } else { 0 }..]);
        if self.dropped {
            format!("[stderr truncated to last {} bytes] {text}", self.limit)
        } else {
            text.into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_stay_and_the_loss_is_told() {
        for (limit, writes, expected) in [
            (8, &["12345", "6789"][..], "[stderr truncated to last 8 bytes] 23456789"),
            (8, &["12345", "678"], "12345678"),
            (8, &["123456789abc"], "[stderr truncated to last 8 bytes] 56789abc"),
            (4, &["aé", "bcd"], "[stderr truncated to last 4 bytes] bcd"),
            (8, &[], ""),
        ] {
            let mut tail = StderrTail::with_limit(limit);
            for write in writes {
                tail.push(write.as_bytes());
            }
            assert_eq!(tail.text(), expected, "{writes:?}");
        }
    }

    #[test]
    fn a_noisy_child_leaves_its_last_line() {
        let mut tail = StderrTail::with_limit(65_536);
        for line in 0..4096 {
            tail.push(format!("noise line {line:05} which is long enough to be dropped\n").as_bytes());
        }
        tail.push(b"the cause");
        let text = tail.text();
        assert!(text.starts_with("[stderr truncated to last 65536 bytes] ") && text.ends_with("the cause"));
        assert!(!text.contains("line 00000") && text.len() <= 65_536 + 2048);
    }
}
