//! AES-128 in CBC mode with PKCS#7 padding, as whole segments are encrypted (RFC 8216, 4.3.2.4).
//!
//! Decrypted where the bytes are. The last block holds the padding, and which one is last is known only at the end: so much is
//! held back, and with it what does not fill a block yet.

use aes::Aes128;
use cbc::Decryptor;
use cbc::cipher::{Array, BlockModeDecrypt, KeyIvInit};

use crate::source::hls::delay::Delay;

const BLOCK_BYTES: usize = 16;
/// What a [`Decryption`] holds back at most: a block, and all but one byte of the next.
pub(super) const HELD_BYTES_MAX: usize = 2 * BLOCK_BYTES - 1;

/// The decryption of one segment.
pub(super) struct Decryption {
    cipher: Decryptor<Aes128>,
    /// Plain bytes, then less than a block that is not decrypted yet.
    delay: Delay,
    /// How much of what is held is not decrypted.
    encrypted: usize,
}

impl Decryption {
    pub(super) fn new(key: &[u8; 16], iv: &[u8; 16]) -> Self {
        Self { cipher: Decryptor::new(key.into(), iv.into()), delay: Delay::default(), encrypted: 0 }
    }

    /// Decrypts the segment's next bytes. Plain ones are then at the front; the result is their number.
    pub(super) fn push(&mut self, bytes: &mut [u8]) -> usize {
        let missing = (BLOCK_BYTES - self.encrypted) % BLOCK_BYTES;
        if bytes.len() < missing {
            self.encrypted += bytes.len();
        } else {
            self.fill_block(&mut bytes[..missing]);
            let (blocks, rest) = Array::slice_as_chunks_mut(&mut bytes[missing..]);
            self.cipher.decrypt_blocks(blocks);
            self.encrypted = rest.len();
        }
        let plain = self.delay.held().len() + bytes.len() - self.encrypted;
        let passed = plain.saturating_sub(BLOCK_BYTES).min(bytes.len());
        self.delay.pass(bytes, passed);
        debug_assert!(
            self.delay.held().len() <= HELD_BYTES_MAX,
            "{} bytes are held",
            self.delay.held().len()
        );
        passed
    }

    /// Completes the block whose beginning is held.
    fn fill_block(&mut self, beginning: &mut [u8]) {
        if beginning.is_empty() {
            return;
        }
        let held = self.delay.held_mut();
        let at = held.len() - self.encrypted;
        let mut block = Array::default();
        block[..self.encrypted].copy_from_slice(&held[at..]);
        block[self.encrypted..].copy_from_slice(beginning);
        self.cipher.decrypt_block(&mut block);
        held[at..].copy_from_slice(&block[..self.encrypted]);
        beginning.copy_from_slice(&block[self.encrypted..]);
    }

    /// The segment has ended: its last plain bytes. Padding that is none is not taken away, since some encrypt without; what
    /// is left of a block was cut off, and is of no use.
    pub(super) fn finish(self) -> Vec<u8> {
        let encrypted = self.encrypted;
        let mut plain = self.delay.into_held();
        plain.truncate(plain.len() - encrypted);
        let padding = plain.last().map_or(0, |byte| usize::from(*byte));
        let is_padded = (1..=BLOCK_BYTES.min(plain.len())).contains(&padding)
            && plain[plain.len() - padding..].iter().all(|byte| usize::from(*byte) == padding);
        if is_padded && encrypted == 0 {
            plain.truncate(plain.len() - padding);
        }
        plain
    }
}

#[cfg(test)]
pub(super) mod tests {
    use cbc::cipher::BlockModeEncrypt;
    use proptest::prelude::*;

    use super::*;

    /// As providers encrypt; without padding when the plain text fills its blocks.
    pub(in crate::source::hls) fn encrypt(
        plain: &[u8],
        key: &[u8; 16],
        iv: &[u8; 16],
        is_padded: bool,
    ) -> Vec<u8> {
        let mut bytes = plain.to_vec();
        if is_padded {
            let padding = BLOCK_BYTES - bytes.len() % BLOCK_BYTES;
            bytes.extend(std::iter::repeat_n(u8::try_from(padding).unwrap(), padding));
        }
        let mut cipher = cbc::Encryptor::<Aes128>::new(key.into(), iv.into());
        let (blocks, rest) = Array::slice_as_chunks_mut(&mut bytes);
        assert!(rest.is_empty());
        cipher.encrypt_blocks(blocks);
        bytes
    }

    fn decrypt(encrypted: &[u8], key: &[u8; 16], iv: &[u8; 16], pieces: &[usize]) -> Vec<u8> {
        let mut decryption = Decryption::new(key, iv);
        let (mut plain, mut rest) = (Vec::new(), encrypted.to_vec());
        for &piece in pieces.iter().cycle() {
            let later = rest.split_off(piece.min(rest.len()));
            let count = decryption.push(&mut rest);
            plain.extend_from_slice(&rest[..count]);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        plain.extend(decryption.finish());
        plain
    }

    #[test]
    fn a_published_example_is_decrypted() {
        // NIST SP 800-38A, F.2.2.
        let bytes = |text: &str| {
            let number = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(number).collect::<Vec<u8>>()
        };
        let key = bytes("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
        let iv = bytes("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let encrypted = bytes("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
        let plain = bytes("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        assert_eq!(decrypt(&encrypted, &key, &iv, &[5]), plain);
    }

    #[test]
    fn the_padding_is_taken_away_where_there_is_one() {
        let (key, iv) = ([7; 16], [9; 16]);
        for length in [0, 1, 15, 16, 17, 188, 752] {
            let plain: Vec<u8> = (0..length).map(|at| u8::try_from(0x40 + at % 100).unwrap()).collect();
            let padded = encrypt(&plain, &key, &iv, true);
            for piece in [1, 7, 16, 31, 100, 1000] {
                assert_eq!(decrypt(&padded, &key, &iv, &[piece]), plain, "{length} in pieces of {piece}");
            }
            if length % 16 == 0 {
                let bare = encrypt(&plain, &key, &iv, false);
                assert_eq!(decrypt(&bare, &key, &iv, &[1000]), plain, "{length} without padding");
            }
            let cut = &padded[..padded.len() - 3];
            let whole_blocks = cut.len() / 16 * 16;
            assert_eq!(decrypt(cut, &key, &iv, &[50]), plain[..whole_blocks], "{length}, cut off");
        }
        assert!(decrypt(&[], &key, &iv, &[1]).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_are_decrypted_alike(
            plain in prop::collection::vec(any::<u8>(), 0..3000),
            pieces in prop::collection::vec(1_usize..700, 1..12),
            key: [u8; 16],
            iv: [u8; 16],
        ) {
            let encrypted = encrypt(&plain, &key, &iv, true);
            prop_assert_eq!(decrypt(&encrypted, &key, &iv, &pieces), plain);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
            prop_assert!(decrypt(&bytes, &[1; 16], &[2; 16], &[piece]).len() <= bytes.len());
        }
    }
}
