//! Bodies of upstream responses, freed of their framing in the memory they were received into.

use super::upstream::Framing;

/// The longest line that announces a chunk, extensions included.
const CHUNK_LINE_BYTES_MAX: u32 = 1024;
/// The most bytes of trailer fields after the last chunk.
const TRAILER_BYTES_MAX: u32 = 8 * 1024;

/// What became of the bytes given to a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the body, now at the front of the slice.
    pub body_bytes: usize,
    /// The body is complete; whatever came behind it was dropped.
    pub finished: bool,
    /// Something came behind it.
    pub has_more: bool,
}

/// Why a chunked body cannot be followed further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk does not begin with its size.
    #[error("a chunk's size is not valid")]
    ChunkSize,
    /// A chunk is longer than its size says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A chunk's line or the trailer fields exceed their bound.
    #[error("a chunk's line or the trailer is too long")]
    TooLong,
}

/// Decodes a response's body, whatever its framing.
#[derive(Debug)]
pub enum BodyDecoder {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked(Dechunker),
    /// Everything belongs to the body.
    UntilClose,
}

impl BodyDecoder {
    /// A decoder for a body with this framing.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(bytes) => Self::Length(bytes),
            Framing::Chunked => Self::Chunked(Dechunker::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Moves the body's bytes to the front of `bytes` and consumes all of it. A `Length(0)` body is finished
    /// by a call with an empty slice.
    ///
    /// # Errors
    /// When chunks cannot be followed; the connection is of no more use then.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
        match self {
            Self::Length(remaining) => {
                let received = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let body_bytes = usize::try_from(received.min(*remaining)).unwrap_or(bytes.len());
                *remaining -= received.min(*remaining);
                Ok(Decoded { body_bytes, finished: *remaining == 0, has_more: body_bytes < bytes.len() })
            }
            Self::Chunked(dechunker) => dechunker.decode(bytes),
            Self::UntilClose => Ok(Decoded { body_bytes: bytes.len(), finished: false, has_more: false }),
        }
    }
}

/// Where in the framing the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the hexadecimal size; `line_bytes` of its line were read.
    Size { size: u64, digits: bool, line_bytes: u32 },
    /// Behind the size, on the way to the end of its line.
    Extension { size: u64, line_bytes: u32 },
    /// In the chunk's data.
    Data { remaining: u64 },
    /// Behind the data: the line break that closes the chunk.
    DataEnd { carriage_return: bool },
    /// In the trailer fields; `empty` while the current line holds nothing.
    Trailer { empty: bool, bytes: u32 },
    /// Behind the body.
    Finished,
}

/// Removes chunked framing in place. State is carried from call to call, so a body may arrive in any pieces.
#[derive(Debug)]
pub struct Dechunker {
    state: State,
}

impl Default for Dechunker {
    fn default() -> Self {
        Self::new()
    }
}

const LINE_START: State = State::Size { size: 0, digits: false, line_bytes: 0 };

impl Dechunker {
    /// A decoder before the first chunk.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: LINE_START }
    }

    /// Moves the body's bytes to the front of `bytes` and consumes all of it.
    ///
    /// # Errors
    /// When the bytes are not chunks. What was decoded in the same call is lost with the connection.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
        let mut read = 0;
        let mut body_bytes = 0;
        while read < bytes.len() && self.state != State::Finished {
            if let State::Data { remaining } = self.state {
                let available = bytes.len() - read;
                let taken = usize::try_from(remaining).unwrap_or(available).min(available);
                if read != body_bytes {
                    bytes.copy_within(read..read + taken, body_bytes);
                }
                read += taken;
                body_bytes += taken;
                let remaining = remaining.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                self.state = match remaining {
                    0 => State::DataEnd { carriage_return: false },
                    _ => State::Data { remaining },
                };
            } else {
                self.state = self.state.after_framing(bytes[read])?;
                read += 1;
            }
        }
        Ok(Decoded { body_bytes, finished: self.state == State::Finished, has_more: read < bytes.len() })
    }
}

impl State {
    /// The state behind one byte of framing. A line may end with a bare line feed.
    fn after_framing(self, byte: u8) -> Result<Self, BodyError> {
        match self {
            Self::Size { size, digits, line_bytes } => after_size_byte(size, digits, line_bytes, byte),
            Self::Extension { size, line_bytes } => match byte {
                b'\n' => Ok(after_size_line(size)),
                _ if line_bytes >= CHUNK_LINE_BYTES_MAX => Err(BodyError::TooLong),
                _ => Ok(Self::Extension { size, line_bytes: line_bytes + 1 }),
            },
            Self::DataEnd { carriage_return } => match byte {
                b'\n' => Ok(LINE_START),
                b'\r' if !carriage_return => Ok(Self::DataEnd { carriage_return: true }),
                _ => Err(BodyError::ChunkEnd),
            },
            Self::Trailer { empty, bytes } => match byte {
                b'\n' if empty => Ok(Self::Finished),
                _ if bytes >= TRAILER_BYTES_MAX => Err(BodyError::TooLong),
                b'\n' => Ok(Self::Trailer { empty: true, bytes: bytes + 1 }),
                b'\r' => Ok(Self::Trailer { empty, bytes: bytes + 1 }),
                _ => Ok(Self::Trailer { empty: false, bytes: bytes + 1 }),
            },
            Self::Data { .. } | Self::Finished => unreachable!("{self:?} holds no framing"),
        }
    }
}

fn after_size_byte(size: u64, digits: bool, line_bytes: u32, byte: u8) -> Result<State, BodyError> {
    if let Some(digit) = char::from(byte).to_digit(16) {
        if line_bytes >= CHUNK_LINE_BYTES_MAX {
            return Err(BodyError::TooLong);
        }
        let size = size.checked_mul(16).ok_or(BodyError::ChunkSize)? | u64::from(digit);
        return Ok(State::Size { size, digits: true, line_bytes: line_bytes + 1 });
    }
    match byte {
        b'\n' if digits => Ok(after_size_line(size)),
        b'\r' | b';' | b' ' | b'\t' if digits => Ok(State::Extension { size, line_bytes: line_bytes + 1 }),
        _ => Err(BodyError::ChunkSize),
    }
}

/// The last chunk has no data: trailer fields follow it.
const fn after_size_line(size: u64) -> State {
    match size {
        0 => State::Trailer { empty: true, bytes: 0 },
        _ => State::Data { remaining: size },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes `encoded` in pieces of the given sizes (the last size repeats).
    fn decode(encoded: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, bool), BodyError> {
        let mut dechunker = Dechunker::new();
        let (mut body, mut finished, mut rest) = (Vec::new(), false, encoded.to_vec());
        let mut sizes = pieces.iter().copied().chain(std::iter::repeat(*pieces.last().unwrap()));
        while !rest.is_empty() {
            let after = rest.split_off(sizes.next().unwrap().clamp(1, rest.len()));
            let decoded = dechunker.decode(&mut rest)?;
            body.extend_from_slice(&rest[..decoded.body_bytes]);
            finished = decoded.finished;
            rest = after;
        }
        Ok((body, finished))
    }

    #[test]
    fn framing_is_removed_and_the_end_is_seen() {
        for (encoded, body, finished) in [
            ("5\r\nhello\r\n0\r\n\r\n", "hello", true),
            ("5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\n\r\n", "hello world", true),
            ("00000A \r\n0123456789\r\n000\r\nX: y\r\nZ: w\r\n\r\nleft over", "0123456789", true),
            ("2\nhi\n0\n\n", "hi", true),
            ("5\r\nhel", "hel", false),
            ("2\r\n\r\n\r\n0\r\n", "\r\n", false),
            ("0\r\n\r\n", "", true),
            ("", "", false),
        ] {
            for piece in [1, 2, 3, 1000] {
                assert_eq!(
                    decode(encoded.as_bytes(), &[piece]),
                    Ok((body.as_bytes().to_vec(), finished)),
                    "{encoded:?} in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_chunked_is_an_error() {
        let long_extension = format!("5;{}\r\n", "x".repeat(2000));
        let long_size = format!("{}5\r\n", "0".repeat(2000));
        let long_trailer = format!("0\r\n{}\r\n", "X: y\r\n".repeat(2000));
        for (encoded, error) in [
            ("\r\n", BodyError::ChunkSize),
            ("G\u{47}", BodyError::ChunkSize),
            ("-5\r\n", BodyError::ChunkSize),
            ("0x5\r\n", BodyError::ChunkSize),
            ("10000000000000000\r\n", BodyError::ChunkSize),
            ("2\r\nabc", BodyError::ChunkEnd),
            ("2\r\nab\r\r\n", BodyError::ChunkEnd),
            (&long_extension, BodyError::TooLong),
            (&long_size, BodyError::TooLong),
            (&long_trailer, BodyError::TooLong),
        ] {
            for piece in [1, 5000] {
                assert_eq!(decode(encoded.as_bytes(), &[piece]), Err(error), "{:.20}", encoded);
            }
        }
    }

    #[test]
    fn the_largest_chunk_size_is_followed() {
        let (body, finished) = decode(b"ffffffffffffffff\r\nabc", &[100]).unwrap();
        assert_eq!((body.as_slice(), finished), (b"abc".as_slice(), false));
    }

    #[test]
    fn a_body_with_a_length_ends_there_and_one_without_never_does() {
        let decoded = |body_bytes, finished, has_more| Ok(Decoded { body_bytes, finished, has_more });
        let mut bytes = *b"abcdef";
        let mut decoder = BodyDecoder::new(Framing::Length(8));
        assert_eq!(decoder.decode(&mut bytes), decoded(6, false, false));
        assert_eq!(decoder.decode(&mut bytes), decoded(2, true, true));
        assert_eq!(decoder.decode(&mut bytes), decoded(0, true, true));
        let mut decoder = BodyDecoder::new(Framing::Length(0));
        assert_eq!(decoder.decode(&mut []), decoded(0, true, false));
        let mut decoder = BodyDecoder::new(Framing::UntilClose);
        assert_eq!(decoder.decode(&mut bytes), decoded(6, false, false));
        let mut chunk = *b"1\r\nx\r\n0\r\n\r\n";
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        assert_eq!(decoder.decode(&mut chunk), decoded(1, true, false));
        let mut more = *b"0\r\n\r\nx";
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        assert_eq!(decoder.decode(&mut more), decoded(0, true, true));
        assert_eq!(chunk[0], b'x');
    }

    proptest! {
        #[test]
        fn any_split_of_a_body_decodes_to_the_same_bytes(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
            pieces in proptest::collection::vec(1usize..200, 1..20),
            extension in "(;[a-z=\"]{0,9})?",
            trailer in "(X: [a-z]{0,9}\r\n){0,3}",
        ) {
            let mut encoded = Vec::new();
            for chunk in &chunks {
                encoded.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                encoded.extend_from_slice(chunk);
                encoded.extend_from_slice(b"\r\n");
            }
            encoded.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
            prop_assert_eq!(decode(&encoded, &pieces), Ok((chunks.concat(), true)));
        }

        #[test]
        fn garbage_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 1..300),
            text in "[0-9a-f\r\n;]{1,60}",
            pieces in proptest::collection::vec(1usize..50, 1..10),
        ) {
            for garbage in [bytes.as_slice(), text.as_bytes()] {
                if let Ok((body, _)) = decode(garbage, &pieces) {
                    prop_assert!(body.len() < garbage.len());
                }
            }
        }
    }
}
