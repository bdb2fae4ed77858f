//! The end of a child's standard error, without secrets.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::Receiver;

use crate::base::limits::STDERR_TAIL_BYTES;
use crate::base::redact;
use crate::control::relay::Shown;
use crate::source::ffmpeg::{Listing, LogLevel};

use super::listener::Listener;

const READ_BYTES: usize = 4096;

/// Reads a child's standard error and keeps its end.
pub(super) struct StderrTail {
    pipe: Receiver,
    kept: Tail,
    listener: Option<Listener>,
    shown: Option<Shown>,
}

impl StderrTail {
    /// Of the reading end of a pipe.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { pipe: Receiver::from_owned_fd(pipe)?, kept: Tail::default(), listener: None, shown: None })
    }

    /// The writer tells of its input; what is less than this level goes no further.
    pub(super) fn listen(&mut self, level: LogLevel) {
        self.listener = Some(Listener::new(level));
    }

    /// The writer knows addresses that are not to be shown.
    pub(super) fn show(&mut self, shown: Shown) {
        self.shown = Some(shown);
    }

    /// What the writer has told of its input.
    pub(super) fn listing(&self) -> Option<&Listing> {
        self.listener.as_ref().map(Listener::listing)
    }

    /// Returns when everything has been told of the input, or nobody can write any more. As [`StderrTail::read_to_end`].
    pub(super) async fn read_listing(&mut self, said: impl FnMut(&[u8])) {
        self.read(said, |listing| listing.is_some_and(Listing::is_complete)).await;
    }

    /// Returns when nobody can write any more. What was read stays when this is dropped half-way. `said` gets each piece.
    pub(super) async fn read_to_end(&mut self, said: impl FnMut(&[u8])) {
        self.read(said, |_listing| false).await;
    }

    async fn read(&mut self, mut said: impl FnMut(&[u8]), is_over: impl Fn(Option<&Listing>) -> bool) {
        let mut buffer = [0; READ_BYTES];
        while !is_over(self.listing()) {
            match self.pipe.try_read(&mut buffer) {
                Ok(count) => {
                    let Self { kept, listener, .. } = self;
                    let mut pass = |bytes: &[u8]| {
                        kept.push(bytes);
                        said(bytes);
                    };
                    match listener {
                        Some(listener) if count == 0 => listener.end(&mut pass),
                        Some(listener) => listener.push(&buffer[..count], &mut pass),
                        None => pass(&buffer[..count]),
                    }
                    if count == 0 {
                        return;
                    }
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
        self.kept.text(self.shown.as_ref())
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
    fn text(&self, shown: Option<&Shown>) -> String {
        let (front, back) = self.bytes.as_slices();
        let bytes = [front, back].concat();
        let text = String::from_utf8_lossy(&bytes);
        let whole = if self.cut { text.split_once(['\n', '\r']).map_or("", |(_, rest)| rest) } else { &text };
        // Line by line: redacted text is one line.
        let redacted = |line| match shown {
            Some(shown) => redact::text(&shown.line(line)),
            None => redact::text(line),
        };
        whole.lines().map(|line| redacted(line) + "\n").collect()
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
        assert!(!tail.text(None).contains("secret"));
        tail.push(b"\nlast line");
        assert_eq!(tail.bytes.len(), STDERR_TAIL_BYTES);
        assert_eq!(tail.text(None), "last line\n");
    }

    #[test]
    fn a_piece_longer_than_what_is_kept_is_cut_at_its_front() {
        let mut tail = Tail::default();
        let mut piece = vec![b'a'; STDERR_TAIL_BYTES];
        piece.extend_from_slice(b"\nend");
        tail.push(&piece);
        assert_eq!(tail.text(None), "end\n");
        let mut one_line = Tail::default();
        one_line.push(&vec![b'a'; STDERR_TAIL_BYTES + 1]);
        assert_eq!(one_line.text(None), "");
    }

    #[test]
    fn addresses_in_it_lose_their_credentials() {
        let mut tail = Tail::default();
        tail.push(b"http://user:secret@host/x?token=abc: Server returned 404\n");
        let text = tail.text(None);
        assert!(!text.contains("secret") && !text.contains("abc"), "{text}");
        assert!(text.contains("Server returned 404"), "{text}");
    }
}
