//! What is compressed, by its first bytes, whatever it is called.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

const GZIP: &[u8] = b"\x1F\x8B";
const XZ: &[u8] = b"\xFD7zXZ\0";
/// A file that is compressed may be sent compressed once more.
const LAYERS_MAX: usize = 2;
/// What unpacking one may need: a dictionary of 32 MiB, which is more than guides are packed with.
const XZ_MEMORY_BYTES_MAX: u64 = 36 * 1024 * 1024;
const PIECE_BYTES: usize = 64 * 1024;

/// A reader of what is inside.
///
/// # Errors
/// When its beginning cannot be read.
pub(super) fn unpacked<'reader>(from: impl Read + 'reader) -> io::Result<Box<dyn BufRead + 'reader>> {
    let mut inner: Box<dyn BufRead + 'reader> = Box::new(BufReader::with_capacity(PIECE_BYTES, from));
    for _layer in 0..LAYERS_MAX {
        // The first piece may come in pieces.
        let mut start = Vec::new();
        inner.by_ref().take(XZ.len() as u64).read_to_end(&mut start)?;
        let (is_gzip, is_xz) = (start.starts_with(GZIP), start == XZ);
        let whole = io::Cursor::new(start).chain(inner);
        if is_gzip {
            inner = Box::new(BufReader::with_capacity(PIECE_BYTES, MultiGzDecoder::new(whole)));
        } else if is_xz {
            let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES_MAX, CONCATENATED)?;
            inner = Box::new(BufReader::with_capacity(PIECE_BYTES, XzDecoder::new_stream(whole, stream)));
        } else {
            return Ok(Box::new(whole));
        }
    }
    Ok(inner)
}

/// What is inside of a guide as it may come, up to so many bytes, for tests of hostile bytes.
///
/// # Errors
/// When it is compressed and broken.
#[cfg(any(test, feature = "sim"))]
pub fn unpacked_guide(bytes: &[u8], bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    unpacked(bytes)?.take(bytes_max).read_to_end(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        unpacked_guide(bytes, u64::MAX)
    }

    #[test]
    fn what_is_packed_is_told_by_its_bytes() {
        let text = b"<tv></tv>".repeat(1000);
        let twice = [gzip(b"<tv>"), gzip(b"</tv>")].concat();
        for (packed, whole) in [
            (text.clone(), text.clone()),
            (gzip(&text), text.clone()),
            (xz(&text), text.clone()),
            (gzip(&gzip(&text)), text.clone()),
            (gzip(&xz(&text)), text.clone()),
            (twice, b"<tv></tv>".to_vec()),
            (Vec::new(), Vec::new()),
            (b"<".to_vec(), b"<".to_vec()),
        ] {
            assert_eq!(read(&packed).unwrap(), whole);
        }
    }

    #[test]
    fn what_is_broken_or_needs_too_much_memory_is_an_error() {
        let text = b"<tv></tv>".repeat(1000);
        let (gz, xz) = (gzip(&text), xz(&text));
        assert!(read(&gz[..gz.len() - 9]).is_err(), "it ends too early");
        assert!(read(&xz[..xz.len() - 9]).is_err(), "it ends too early");
        let mut wrong = gz;
        wrong[20] ^= 0x55;
        assert!(read(&wrong).is_err());
        // A dictionary of 64 MiB.
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 9);
        encoder.write_all(&text).unwrap();
        assert!(read(&encoder.finish().unwrap()).is_err());
    }
}
