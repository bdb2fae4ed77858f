//! A document in UTF-8, whatever it is written in.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// How much of a document is looked at to tell its encoding.
const HEAD_BYTES: usize = 512;
/// How much is converted at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Reads what another reader gives as UTF-8. What says that it is that is given as it is.
pub(super) struct Utf8<R> {
    from: R,
    /// What was read to look at, and how much of it has been given.
    head: Vec<u8>,
    head_at: usize,
    has_looked: bool,
    decoder: Option<Decoder>,
    /// What has been converted, and how much of it has been given.
    out: Vec<u8>,
    out_at: usize,
    has_ended: bool,
}

impl<R: BufRead> Utf8<R> {
    pub(super) const fn new(from: R) -> Self {
        Self {
            from,
            head: Vec::new(),
            head_at: 0,
            has_looked: false,
            decoder: None,
            out: Vec::new(),
            out_at: 0,
            has_ended: false,
        }
    }

    fn look(&mut self) -> io::Result<()> {
        let from = (&mut self.from).take(HEAD_BYTES as u64);
        read_to_end(from, &mut self.head)?;
        self.has_looked = true;
        let (encoding, mark_bytes) = recognised(&self.head);
        self.head_at = mark_bytes;
        if encoding != UTF_8 {
            self.decoder = Some(encoding.new_decoder_without_bom_handling());
        }
        Ok(())
    }

    /// Converts the next piece.
    fn convert(&mut self) -> io::Result<()> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        self.out.resize(PIECE_BYTES, 0);
        self.out_at = 0;
        loop {
            let in_head = self.head_at < self.head.len();
            let piece = if in_head { &self.head[self.head_at..] } else { fill(&mut self.from)? };
            let is_last = piece.is_empty();
            let (_, read, written, _) = decoder.decode_to_utf8(piece, &mut self.out, is_last);
            if in_head {
                self.head_at += read;
            } else {
                self.from.consume(read);
            }
            self.has_ended = is_last;
            if written > 0 || is_last {
                self.out.truncate(written);
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Read for Utf8<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(into.len());
        into[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.has_looked {
            self.look()?;
        }
        if self.decoder.is_none() {
            return if self.head_at < self.head.len() {
                Ok(&self.head[self.head_at..])
            } else {
                self.from.fill_buf()
            };
        }
        if self.out_at >= self.out.len() && !self.has_ended {
            self.convert()?;
        }
        Ok(&self.out[self.out_at..])
    }

    fn consume(&mut self, count: usize) {
        if self.decoder.is_some() {
            self.out_at += count;
        } else if self.head_at < self.head.len() {
            self.head_at += count;
        } else {
            self.from.consume(count);
        }
    }
}

/// The encoding of a document that begins so, and how many bytes of it say only that. What is declared counts where the bytes
/// do not say another thing themselves.
fn recognised(head: &[u8]) -> (&'static Encoding, usize) {
    if let Some(marked) = Encoding::for_bom(head) {
        return marked;
    }
    match head {
        [first, 0, ..] if *first != 0 => return (UTF_16LE, 0),
        [0, second, ..] if *second != 0 => return (UTF_16BE, 0),
        _ => {}
    }
    let declaration = head.split(|byte| *byte == b'>').next().unwrap_or_default();
    let declared = declared(declaration).and_then(Encoding::for_label_no_replacement);
    // Read as text, it has just been shown not to be in units of two bytes.
    (declared.filter(|encoding| encoding.is_ascii_compatible()).unwrap_or(UTF_8), 0)
}

/// What a declaration says behind `encoding=`.
fn declared(declaration: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"encoding";
    if !declaration.trim_ascii_start().starts_with(b"<?xml") {
        return None;
    }
    let at = declaration.windows(KEY.len()).position(|window| window.eq_ignore_ascii_case(KEY))?;
    let value = declaration[at + KEY.len()..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
    let end = value.iter().position(|byte| b"\"'? \t\r\n".contains(byte)).unwrap_or(value.len());
    Some(&value[..end])
}

fn read_to_end(mut from: impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    from.read_to_end(into).map(|_count| ())
}

/// What there is to read, however often a signal comes in between.
pub(super) fn fill(from: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match from.fill_buf() {
            // Asked once more below: a borrow that is returned cannot be held over the loop.
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    from.fill_buf()
}
