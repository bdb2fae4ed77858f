//! HDHomeRun device ids: 32 bits, written as eight hex digits, of which the last is a check digit.

/// The check digit's substitution for every second nibble, as in libhdhomerun.
const SUBSTITUTION: [u8; 16] =
    [0xA, 0x5, 0xF, 0x6, 0x7, 0xC, 0x1, 0xB, 0x9, 0x2, 0x8, 0xD, 0x4, 0x3, 0xE, 0x0];

/// Addresses every device in a discovery request, so no device may have it, although its check digit is right.
const WILDCARD: u32 = 0xFFFF_FFFF;

/// Why a text is not a device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdError {
    /// Not exactly eight hexadecimal digits.
    #[error("is not eight hexadecimal digits")]
    NotEightHexDigits,
    /// All zeros or all ones, which discovery reads as "none" and "any".
    #[error("is reserved: discovery reads it as no device or as every device")]
    Reserved,
}

/// Reads a device id.
///
/// # Errors
///
/// Says what is wrong with the text. A wrong check digit is not an error; see
/// [`device_id_is_valid_hdhomerun`].
pub fn parse_device_id(text: &str) -> Result<u32, DeviceIdError> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(DeviceIdError::NotEightHexDigits);
    }
    match u32::from_str_radix(text, 16) {
        Ok(0 | WILDCARD) => Err(DeviceIdError::Reserved),
        Ok(id) => Ok(id),
        Err(_not_hex) => Err(DeviceIdError::NotEightHexDigits),
    }
}

/// True when the check digit is right. Programs built on libhdhomerun overlook a device whose is not.
#[must_use]
pub fn device_id_is_valid_hdhomerun(id: u32) -> bool {
    checksum(id) == 0
}

/// True for ids of devices that have no HTTP: clients show no channels of them, or leave them out. The ranges are those of
/// libhdhomerun.
#[must_use]
pub(super) fn device_id_is_legacy(id: u32) -> bool {
    match id >> 20 {
        0x100 => id < 0x1004_0000,
        0x120 => id < 0x1203_0000,
        0x101 | 0x102 | 0x103 | 0x111 | 0x121 | 0x122 => true,
        _current => false,
    }
}

/// A valid device id from random bits. Its first digit is 1, as on the real devices, which also keeps it
/// clear of the reserved ids, and it is none of a legacy device.
#[must_use]
pub fn generate_device_id(seed: u32) -> u32 {
    let id = 0x1000_0000 | (seed & 0x0FFF_FFF0);
    // No range of legacy devices has this bit set.
    let id = if device_id_is_legacy(id) { id | 0x0080_0000 } else { id };
    id | u32::from(checksum(id))
}

/// Zero for a valid id. The last nibble enters as it is, so the checksum of an id that ends in 0 is its
/// check digit.
fn checksum(id: u32) -> u8 {
    let mut sum = 0;
    for byte in id.to_be_bytes() {
        sum ^= SUBSTITUTION[usize::from(byte >> 4)] ^ (byte & 0xF);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_eight_hex_digits() {
        for (text, expected) in [
            ("1234ABCD", Ok(0x1234_ABCD)),
            ("deadbeef", Ok(0xDEAD_BEEF)),
            ("1234ABC", Err(DeviceIdError::NotEightHexDigits)),
            ("1234ABCDE", Err(DeviceIdError::NotEightHexDigits)),
            ("bad-id", Err(DeviceIdError::NotEightHexDigits)),
            ("+1234ABC", Err(DeviceIdError::NotEightHexDigits)),
            ("1234ABCG", Err(DeviceIdError::NotEightHexDigits)),
            ("00000000", Err(DeviceIdError::Reserved)),
            ("ffffffff", Err(DeviceIdError::Reserved)),
        ] {
            assert_eq!(parse_device_id(text), expected, "{text}");
        }
    }

    #[test]
    fn the_check_digit_is_libhdhomeruns() {
        // By hand for 0x1234ABC?: table[1] ^ 2 ^ table[3] ^ 4 ^ table[A] ^ B ^ table[C] = 5^2^6^4^8^B^4 = 2.
        for digit in 0..16 {
            assert_eq!(device_id_is_valid_hdhomerun(0x1234_ABC0 | digit), digit == 2, "{digit:X}");
        }
    }

    #[test]
    fn an_id_of_a_legacy_device_is_never_made_up() {
        for (id, is_legacy) in [
            (0x1000_0000, true),
            (0x1003_FFFF, true),
            (0x1004_0000, false),
            (0x1010_C032, true),
            (0x1039_9999, true),
            (0x1041_0000, false),
            (0x1110_0000, true),
            (0x1202_FFFF, true),
            (0x1203_0000, false),
            (0x1220_0000, true),
            (0x1230_0000, false),
            (0x1234_ABC2, false),
        ] {
            assert_eq!(device_id_is_legacy(id), is_legacy, "{id:08X}");
            assert!(!device_id_is_legacy(generate_device_id(id)), "{id:08X}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_generated_id_is_valid_and_not_reserved(seed: u32) {
            let id = generate_device_id(seed);
            proptest::prop_assert!(device_id_is_valid_hdhomerun(id));
            proptest::prop_assert_eq!(parse_device_id(&format!("{id:08X}")), Ok(id));
            proptest::prop_assert!(!device_id_is_legacy(id));
            proptest::prop_assert_eq!(id & 0x0F7F_FFF0, seed & 0x0F7F_FFF0);
        }

        #[test]
        fn one_wrong_digit_is_noticed(seed: u32, nibble in 0_u32..8, change in 1_u32..16) {
            let id = generate_device_id(seed) ^ (change << (nibble * 4));
            proptest::prop_assert!(!device_id_is_valid_hdhomerun(id));
        }
    }
}
