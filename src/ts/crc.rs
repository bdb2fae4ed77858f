//! The CRC of tables (ISO/IEC 13818-1, annex A).

use crc::{CRC_32_MPEG_2, Crc, Table};

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_MPEG_2);

/// The CRC of a section's bytes. Over a whole section, its own CRC included, it is zero.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_section_has_its_known_crc() {
        let pat = [0x00, 0xB0, 0x0D, 0x00, 0x01, 0xC1, 0x00, 0x00, 0x00, 0x01, 0xF0, 0x00];
        assert_eq!(crc32(&pat), 0x2AB1_04B2);
        let mut whole = pat.to_vec();
        whole.extend([0x2A, 0xB1, 0x04, 0xB2]);
        assert_eq!(crc32(&whole), 0);
    }
}
