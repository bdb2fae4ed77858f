//! Pages that a socket's queue refers to.

use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};

use super::span::Span;

/// Pages that one queue of one connection may refer to at a time. A queue of many short sends is full before its bytes are.
const PAGES_MAX: i32 = 128;
const PAGE_BYTES: i32 = 4096;

/// The pages, in the order in which they were sent. It is a pipe of the real kernel's: what comes out is what stands in the
/// pages that were put in, whatever has been mapped in their place since.
#[derive(Debug)]
pub(super) struct Pages {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Pages {
    pub(super) fn new() -> Self {
        let (reader, writer) = std::io::pipe().expect("a simulation needs a few descriptors");
        // Where it is not allowed it is smaller, and full earlier.
        let _smaller = fcntl(writer.as_fd(), FcntlArg::F_SETPIPE_SZ(PAGES_MAX * PAGE_BYTES));
        Self { reader, writer }
    }

    /// Refers to the pages of a span, as far as there is room. Gives the bytes.
    pub(super) fn put(&self, span: Span) -> usize {
        let mut put = 0;
        while put < span.bytes() {
            match span.part(put, span.bytes() - put).refer_from(&self.writer) {
                0 => break,
                bytes => put += bytes,
            }
        }
        put
    }

    /// What stands in the first pages now; they are let go.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut taken = vec![0; bytes];
        self.reader.read_exact(&mut taken).expect("as much is taken as was put in");
        taken
    }
}
