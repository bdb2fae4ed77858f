//! The end of a child's standard error, without secrets.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::Receiver;

use crate::base::limits::STDERR_TAIL_BYTES;
use crate::base::redact;

const READ_BYTES: usize = 4096;

/// Reads a child's standard error and keeps its end.
pub(super) struct StderrTail {
    pipe: Receiver,
    kept: Tail,
}

impl StderrTail {
    /// Of the reading end of a pipe.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { pipe: Receiver::from_owned_fd(pipe)?, kept: Tail::default() })
    }

    /// Returns when nobody can write any more. What was read stays when this is dropped half-way. `said` gets each piece.
    pub(super) async fn read_to_end(&mut self, mut said: impl FnMut(&[u8])) {
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.pipe.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    self.kept.push(&buffer[..count]);
                    said(&buffer[..count]);
                    // A child that says more than is read must not keep this thread from everybody else.
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.pipe.readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// What was kept, redacted.
    pub(super) fn text(&self) -> String {
        self.kept.text()
    }
}

/// The last [`STDERR_TAIL_BYTES`].
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(STDERR_TAIL_BYTES)..];
        let over = (self.bytes.len() + kept.len()).saturating_sub(STDERR_TAIL_BYTES);
        self.cut |= over > 0 || kept.len() < bytes.len();
        self.bytes.drain(..over);
        self.bytes.extend(kept);
    }

    /// Begins with a whole line when the beginning was cut: what is left of a cut address cannot be
    /// recognised as one, and may be its password.
    fn text(&self) -> String {
        let (front, back) = self.bytes.as_slices();
        let bytes = [front, back].concat();
        let text = String::from_utf8_lossy(&bytes);
        let whole = if self.cut { text.split_once(['\n', '\r']).map_or("", |(_, rest)| rest) } else { &text };
        // Line by line: redacted text is one line.
        whole.lines().map(|line| redact::text(line) + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_begins_with_a_whole_line() {
        let mut tail = Tail::default();
        tail.push(b"http://user:");
        tail.push(b"secret@host/x\n");
        tail.push(&vec![b'a'; STDERR_TAIL_BYTES - 10]);
        assert!(!tail.text().contains("secret"));
        tail.push(b"\nlast line");
        assert_eq!(tail.bytes.len(), STDERR_TAIL_BYTES);
        assert_eq!(tail.text(), "last line\n");
    }

    #[test]
    fn a_piece_longer_than_what_is_kept_is_cut_at_its_front() {
        let mut tail = Tail::default();
        let mut piece = vec![b'a'; STDERR_TAIL_BYTES];
        piece.extend_from_slice(b"\nend");
        tail.push(&piece);
        assert_eq!(tail.text(), "end\n");
        let mut one_line = Tail::default();
        one_line.push(&vec![b'a'; STDERR_TAIL_BYTES + 1]);
        assert_eq!(one_line.text(), "");
    }

    #[test]
    fn addresses_in_it_lose_their_credentials() {
        let mut tail = Tail::default();
        tail.push(b"http://user:secret@host/x?token=abc: Server returned 404\n");
        let text = tail.text();
        assert!(!text.contains("secret") && !text.contains("abc"), "{text}");
        assert!(text.contains("Server returned 404"), "{text}");
    }
}
