//! Times in a transport stream: the programme clock reference (27 MHz) and the time stamps of PES packets
//! (90 kHz). Both wrap after 2^33 ticks of 90 kHz, 26.5 hours, so earlier and later are a matter of the shorter way
//! round.

/// 2^33.
const BASE_MODULUS: u64 = 1 << 33;

/// The signed distance from `earlier` to `later` on a circle of `modulus` ticks, the shorter way round.
fn distance(later: u64, earlier: u64, modulus: u64) -> i64 {
    let ahead = (later + modulus - earlier) % modulus;
    let signed = i64::try_from(ahead).expect("the modulus fits 42 bits");
    if ahead <= modulus / 2 { signed } else { signed - i64::try_from(modulus).expect("it fits 42 bits") }
}

/// `ticks` moved by a signed distance on a circle of `modulus` ticks.
fn moved(ticks: u64, by: i64, modulus: u64) -> u64 {
    let modulus_signed = i64::try_from(modulus).expect("the modulus fits 42 bits");
    let by = u64::try_from(by.rem_euclid(modulus_signed)).expect("a euclidean remainder is not negative");
    (ticks + by) % modulus
}

/// A programme clock reference: 27 MHz, stored as 33 bits of 90 kHz and 9 bits of the rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pcr(u64);

impl Pcr {
    /// Ticks in a second.
    pub const RATE: u64 = 27_000_000;
    /// Ticks after which the clock is at zero again.
    pub const MODULUS: u64 = BASE_MODULUS * 300;
    /// Bytes of the field in a packet.
    pub const FIELD_BYTES: usize = 6;

    /// A clock reference of 27 MHz ticks, modulo [`Pcr::MODULUS`].
    #[must_use]
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks % Self::MODULUS)
    }

    /// 27 MHz ticks, less than [`Pcr::MODULUS`].
    #[must_use]
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// Ticks from `earlier` to `self`, negative when `earlier` is ahead by less than half the range.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        distance(self.0, earlier.0, Self::MODULUS)
    }

    /// The clock `ticks` later, or earlier when negative.
    #[must_use]
    pub fn plus(self, ticks: i64) -> Self {
        Self(moved(self.0, ticks, Self::MODULUS))
    }

    /// The clock in the 90 kHz of time stamps, rounded down.
    #[must_use]
    pub const fn to_pts(self) -> Pts {
        Pts(self.0 / 300)
    }

    /// Reads the field of a packet. An extension above 299, which no clock has, is taken as it is.
    #[must_use]
    pub fn from_field(field: &[u8; 6]) -> Self {
        let [a, b, c, d, e, f] = *field;
        let base = (u64::from(u32::from_be_bytes([a, b, c, d])) << 1) | u64::from(e >> 7);
        let extension = u64::from(u16::from_be_bytes([e & 0x01, f]));
        Self::from_ticks(base * 300 + extension)
    }

    /// The field of a packet, its reserved bits set.
    #[must_use]
    pub fn to_field(self) -> [u8; 6] {
        let [.., a, b, c, d, e, f] = (((self.0 / 300) << 15) | (0x3F << 9) | (self.0 % 300)).to_be_bytes();
        [a, b, c, d, e, f]
    }
}

/// A presentation or decoding time stamp: 33 bits of 90 kHz.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pts(u64);

impl Pts {
    /// Ticks in a second.
    pub const RATE: u64 = 90_000;
    /// Ticks after which the time stamps are at zero again.
    pub const MODULUS: u64 = BASE_MODULUS;
    /// Bytes of the field in a PES header.
    pub const FIELD_BYTES: usize = 5;

    /// A time stamp of 90 kHz ticks, modulo [`Pts::MODULUS`].
    #[must_use]
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks % Self::MODULUS)
    }

    /// 90 kHz ticks, less than [`Pts::MODULUS`].
    #[must_use]
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// Ticks from `earlier` to `self`, negative when `earlier` is ahead by less than half the range.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        distance(self.0, earlier.0, Self::MODULUS)
    }

    /// The time stamp `ticks` later, or earlier when negative.
    #[must_use]
    pub fn plus(self, ticks: i64) -> Self {
        Self(moved(self.0, ticks, Self::MODULUS))
    }

    /// Reads the field of a PES header; `None` when one of its three marker bits is missing.
    #[must_use]
    pub fn from_field(field: &[u8; 5]) -> Option<Self> {
        let [a, b, c, d, e] = *field;
        if a & c & e & 1 == 0 {
            return None;
        }
        let high = u64::from(a >> 1) & 0x07;
        let middle = u64::from(u16::from_be_bytes([b, c]) >> 1);
        let low = u64::from(u16::from_be_bytes([d, e]) >> 1);
        Some(Self((high << 30) | (middle << 15) | low))
    }

    /// Writes the field of a PES header. The four bits in front, which tell a PTS from a DTS, stay.
    pub fn write_field(self, field: &mut [u8; 5]) {
        let bits = (((self.0 >> 30) & 0x07) << 33)
            | (1 << 32)
            | (((self.0 >> 15) & 0x7FFF) << 17)
            | (1 << 16)
            | ((self.0 & 0x7FFF) << 1)
            | 1;
        let [.., a, b, c, d, e] = bits.to_be_bytes();
        *field = [(field[0] & 0xF0) | a, b, c, d, e];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_have_their_bits_where_the_standard_wants_them() {
        assert_eq!(Pcr::from_ticks(0).to_field(), [0, 0, 0, 0, 0x7E, 0]);
        assert_eq!(Pcr::from_ticks(Pcr::MODULUS - 1).to_field(), [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x2B]);
        assert_eq!(Pcr::from_field(&[0, 0, 0, 0, 0x80, 0]), Pcr::from_ticks(300));
        let mut field = [0x31, 0, 0, 0, 0];
        Pts::from_ticks(0).write_field(&mut field);
        assert_eq!(field, [0x31, 0x00, 0x01, 0x00, 0x01]);
        Pts::from_ticks(Pts::MODULUS - 1).write_field(&mut field);
        assert_eq!(field, [0x3F, 0xFF, 0xFF, 0xFF, 0xFF]);
        // 1.4 s, as ffmpeg stamps its first picture: 21 00 07 D8 61.
        assert_eq!(Pts::from_field(&[0x21, 0x00, 0x07, 0xD8, 0x61]), Some(Pts::from_ticks(126_000)));
    }

    #[test]
    fn a_time_stamp_without_its_marker_bits_is_none() {
        for byte in [0, 2, 4] {
            let mut field = [0x21, 0x00, 0x07, 0xD8, 0x61];
            field[byte] &= !1;
            assert_eq!(Pts::from_field(&field), None, "byte {byte}");
        }
    }

    #[test]
    fn differences_go_the_shorter_way_round() {
        let before = Pts::from_ticks(Pts::MODULUS - 10);
        let after = Pts::from_ticks(20);
        assert_eq!(after.since(before), 30);
        assert_eq!(before.since(after), -30);
        assert_eq!(before.plus(30), after);
        assert_eq!(after.plus(-30), before);
    }

    #[test]
    fn a_clock_is_rounded_down_to_a_time_stamp() {
        assert_eq!(Pcr::from_ticks(899).to_pts(), Pts::from_ticks(2));
    }

    proptest! {
        #[test]
        fn fields_survive_writing_and_reading(ticks in 0..Pcr::MODULUS) {
            prop_assert_eq!(Pcr::from_field(&Pcr::from_ticks(ticks).to_field()), Pcr::from_ticks(ticks));
            let pts = Pts::from_ticks(ticks);
            let mut field = [0x20; 5];
            pts.write_field(&mut field);
            prop_assert_eq!(field[0] >> 4, 2);
            prop_assert_eq!(Pts::from_field(&field), Some(pts));
        }

        #[test]
        fn adding_the_difference_arrives(from in 0..Pts::MODULUS, to in 0..Pts::MODULUS) {
            let (from, to) = (Pts::from_ticks(from), Pts::from_ticks(to));
            prop_assert_eq!(from.plus(to.since(from)), to);
            prop_assert!(to.since(from).unsigned_abs() <= Pts::MODULUS / 2);
        }
    }
}
