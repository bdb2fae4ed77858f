//! Bits of a header, most significant first.

/// Reads bits. In NAL units the byte 3 behind two zeros is no part of the data and is left out.
#[derive(Clone, Debug)]
pub(super) struct Bits<'buf> {
    bytes: &'buf [u8],
    current: u8,
    /// Bits of `current` not yet read.
    left: u8,
    zeros: u8,
    is_nal: bool,
}

impl<'buf> Bits<'buf> {
    pub(super) const fn new(bytes: &'buf [u8]) -> Self {
        Self { bytes, current: 0, left: 0, zeros: 0, is_nal: false }
    }

    pub(super) const fn of_nal(bytes: &'buf [u8]) -> Self {
        Self { is_nal: true, ..Self::new(bytes) }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*byte)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            let mut byte = self.next_byte()?;
            if self.is_nal {
                if self.zeros == 2 && byte == 3 {
                    self.zeros = 0;
                    byte = self.next_byte()?;
                }
                self.zeros = if byte == 0 { (self.zeros + 1).min(2) } else { 0 };
            }
            (self.current, self.left) = (byte, 8);
        }
        self.left -= 1;
        Some((self.current >> self.left) & 1 == 1)
    }

    /// Up to 32 bits.
    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        assert!(count <= 32, "no field is longer");
        let mut value = 0;
        for _ in 0..count {
            value = (value << 1) | u32::from(self.flag()?);
        }
        Some(value)
    }

    pub(super) fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.flag().map(|_bit| ()))
    }

    /// An unsigned Exp-Golomb number.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// An unsigned Exp-Golomb number that has a largest value.
    pub(super) fn ue_max(&mut self, max: u32) -> Option<u32> {
        self.ue().filter(|number| *number <= max)
    }

    /// A signed Exp-Golomb number.
    pub(super) fn se(&mut self) -> Option<i64> {
        let number = i64::from(self.ue()?);
        Some(if number % 2 == 1 { number / 2 + 1 } else { -(number / 2) })
    }
}

/// Writes bits, for tests.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Writer {
    bits: Vec<bool>,
}

#[cfg(test)]
impl Writer {
    pub(super) fn bits(&mut self, count: u32, value: u32) -> &mut Self {
        self.bits.extend((0..count).rev().map(|bit| (value >> bit) & 1 == 1));
        self
    }

    /// Numbers of Exp-Golomb.
    pub(super) fn ue(&mut self, numbers: &[u32]) -> &mut Self {
        for number in numbers {
            let length = (number + 1).ilog2();
            self.bits(length, 0).bits(length + 1, number + 1);
        }
        self
    }

    /// The bytes of a NAL unit, with emulation prevention and a stop bit.
    pub(super) fn nal(&self) -> Vec<u8> {
        let mut bits = self.bits.clone();
        bits.push(true);
        let mut bytes: Vec<u8> = Vec::new();
        for octet in bits.chunks(8) {
            let byte = (0..8).fold(0, |byte, bit| (byte << 1) | u8::from(octet.get(bit) == Some(&true)));
            if byte <= 3 && bytes.ends_with(&[0, 0]) {
                bytes.push(3);
            }
            bytes.push(byte);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_numbers_are_read() {
        // 1 010 011 00100 00101 000011111 (0, 1, 2, 3, 4, 30), then padding.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0111, 0b1100_0000];
        let mut bits = Bits::new(&bytes);
        let numbers: Vec<_> = (0..6).map(|_| bits.ue().unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 30]);
        assert_eq!(bits.ue(), None);
        let mut bits = Bits::new(&bytes);
        let numbers: Vec<_> = (0..6).map(|_| bits.se().unwrap()).collect();
        assert_eq!(numbers, [0, 1, -1, 2, -2, -15]);
    }

    #[test]
    fn the_largest_number_is_read_and_longer_ones_are_refused() {
        let largest = [0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFE];
        assert_eq!(Bits::new(&largest).ue(), Some(u32::MAX - 1));
        assert_eq!(Bits::new(&[0; 9]).ue(), None);
    }

    #[test]
    fn emulation_prevention_is_left_out_in_nal_units_alone() {
        let bytes = [0, 0, 3, 1, 0, 0, 3, 0, 0, 3];
        let mut nal = Bits::of_nal(&bytes);
        let read: Vec<_> = std::iter::from_fn(|| nal.bits(8)).collect();
        assert_eq!(read, [0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(Bits::new(&bytes).bits(32), Some(0x301));
    }
}
