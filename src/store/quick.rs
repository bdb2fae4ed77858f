//! A hash of bytes, eight at a time. The same bytes have the same everywhere and at any time, so it may be kept in a database; who
//! wants two texts of one hash finds them.

use std::hash::Hasher;

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Default)]
pub(super) struct Quick(u64);

impl Quick {
    const fn add(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(ODD);
    }
}

impl Hasher for Quick {
    /// Tables take a place from the low bits, and a mark from the high ones.
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        let (pieces, rest) = bytes.as_chunks();
        for piece in pieces {
            self.add(u64::from_le_bytes(*piece));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
        self.add(bytes.len() as u64);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut quick = Quick::default();
        quick.write(bytes);
        quick.finish()
    }

    #[test]
    fn it_stays_what_it_is_since_databases_hold_it() {
        assert_eq!(of(b""), 0);
        assert_eq!(of(b"news"), of(b"news"));
        let all = [
            &b"news"[..],
            b"newt",
            b"news\0",
            b"a longer text of several pieces",
            b"a longer text of several piecet",
        ];
        let hashes: std::collections::BTreeSet<_> = all.into_iter().map(of).collect();
        assert_eq!(hashes.len(), all.len());
    }
}
