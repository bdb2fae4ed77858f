//! Lines of a text whose encoding and line ends are whatever they are.

use std::io::{self, BufRead};

/// The mark that some put in front of UTF-8.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How bytes become characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    /// Nothing has been read.
    Unknown,
    /// As they are: UTF-8, or what its reader takes them for.
    Bytes,
    Utf16 {
        is_big_endian: bool,
    },
}

/// What has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    Line,
    /// A line that is longer than it may be; it has been passed over.
    TooLong,
    End,
}

/// Reads line by line; a line ends with CR, LF or both.
pub(super) struct Lines<R> {
    from: R,
    line_bytes_max: usize,
    encoding: Encoding,
    /// The first byte of a unit whose second is still to come, and the first half of a character.
    half: Option<u8>,
    surrogate: Option<u16>,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(from: R, line_bytes_max: usize) -> Self {
        Self { from, line_bytes_max, encoding: Encoding::Unknown, half: None, surrogate: None }
    }

    /// Reads the next line.
    pub(super) fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Read> {
        line.clear();
        if self.encoding == Encoding::Unknown {
            self.encoding = self.recognise()?;
        }
        let mut is_too_long = false;
        loop {
            let bytes = match self.from.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                return Ok(match (is_too_long, line.is_empty()) {
                    (true, _) => Read::TooLong,
                    (false, true) => Read::End,
                    (false, false) => Read::Line,
                });
            }
            let (taken, has_ended) = match self.encoding {
                Encoding::Utf16 { is_big_endian } => {
                    let mut units =
                        Units { half: &mut self.half, surrogate: &mut self.surrogate, is_big_endian };
                    units.take(bytes, line)
                }
                Encoding::Bytes | Encoding::Unknown => {
                    let end = memchr::memchr2(b'\n', b'\r', bytes);
                    let taken = end.unwrap_or(bytes.len());
                    line.extend_from_slice(&bytes[..taken]);
                    (taken + usize::from(end.is_some()), end.is_some())
                }
            };
            self.from.consume(taken);
            if line.len() > self.line_bytes_max {
                is_too_long = true;
                line.clear();
            }
            if has_ended {
                return Ok(if is_too_long { Read::TooLong } else { Read::Line });
            }
        }
    }

    /// Tells the encoding by the mark at the beginning, which is passed over, or by the zeros that ASCII has in UTF-16.
    fn recognise(&mut self) -> io::Result<Encoding> {
        let start = loop {
            match self.from.fill_buf() {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let (encoding, mark_bytes) = match start {
            [0xFF, 0xFE, ..] => (Encoding::Utf16 { is_big_endian: false }, 2),
            [0xFE, 0xFF, ..] => (Encoding::Utf16 { is_big_endian: true }, 2),
            [first, 0, second, 0, ..] if *first != 0 && *second != 0 => {
                (Encoding::Utf16 { is_big_endian: false }, 0)
            }
            [0, first, 0, second, ..] if *first != 0 && *second != 0 => {
                (Encoding::Utf16 { is_big_endian: true }, 0)
            }
            bytes if bytes.starts_with(UTF8_MARK) => (Encoding::Bytes, UTF8_MARK.len()),
            _other => (Encoding::Bytes, 0),
        };
        self.from.consume(mark_bytes);
        Ok(encoding)
    }
}

/// UTF-16, unit by unit.
struct Units<'a> {
    half: &'a mut Option<u8>,
    surrogate: &'a mut Option<u16>,
    is_big_endian: bool,
}

impl Units<'_> {
    /// Appends to the line what comes up to its end. How much that was, and whether the end has come.
    fn take(&mut self, bytes: &[u8], line: &mut Vec<u8>) -> (usize, bool) {
        for (at, byte) in bytes.iter().enumerate() {
            let Some(first) = self.half.take() else {
                *self.half = Some(*byte);
                continue;
            };
            let pair = [first, *byte];
            let unit = if self.is_big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
            let has_ended = unit == u16::from(b'\n') || unit == u16::from(b'\r');
            if !has_ended {
                self.push(unit, line);
                continue;
            }
            if self.surrogate.take().is_some() {
                line.extend_from_slice(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]).as_bytes());
            }
            return (at + 1, true);
        }
        (bytes.len(), false)
    }

    fn push(&mut self, unit: u16, line: &mut Vec<u8>) {
        let before = self.surrogate.take();
        if (0xD800..0xDC00).contains(&unit) {
            *self.surrogate = Some(unit);
            return;
        }
        for character in char::decode_utf16(before.into_iter().chain([unit])) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
