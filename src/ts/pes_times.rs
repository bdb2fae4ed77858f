//! The time stamps in a PES header (ISO/IEC 13818-1, 2.4.3.6), read and replaced where they lie.

use crate::ts::Packet;
use crate::ts::clock_ref::Pts;

/// Where the flags that announce time stamps are.
const FLAGS_AT: usize = 7;
const PTS_AT: usize = 9;
const DTS_AT: usize = PTS_AT + Pts::FIELD_BYTES;
/// The two bits that announce time stamps: none, forbidden, presentation alone, both.
const PTS_DTS_MASK: u8 = 0xC0;

/// The time stamps of a PES packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PesTimes {
    /// When it is shown.
    pub pts: Pts,
    /// When it is decoded, if that is another time.
    pub dts: Option<Pts>,
}

impl PesTimes {
    /// Those of the PES packet that begins in a packet, if one does and says when.
    #[must_use]
    pub fn begun_in(packet: Packet<'_>) -> Option<Self> {
        if !packet.payload_unit_start_indicator() || packet.transport_scrambling_control() != 0 {
            return None;
        }
        match PesStart::read(packet.payload()?) {
            PesStart::Timed(times) => Some(times),
            PesStart::None | PesStart::Untimed | PesStart::Cut => None,
        }
    }

    /// When it is decoded.
    #[must_use]
    pub fn decoding(self) -> Pts {
        self.dts.unwrap_or(self.pts)
    }

    /// Both moved by 90 kHz ticks.
    #[must_use]
    pub fn plus(self, ticks: i64) -> Self {
        Self { pts: self.pts.plus(ticks), dts: self.dts.map(|dts| dts.plus(ticks)) }
    }
}

/// What the first payload of a PES packet says of its times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PesStart {
    /// No PES packet begins here.
    None,
    /// It has no time stamps.
    Untimed,
    /// It has time stamps, or may have, that do not lie in this payload as a whole.
    Cut,
    /// It has these.
    Timed(PesTimes),
}

impl PesStart {
    /// Reads the payload of a packet with the payload unit start indicator.
    #[must_use]
    pub fn read(payload: &[u8]) -> Self {
        let [0, 0, 1, stream_id, ..] = payload else { return Self::None };
        // Maps, padding, entitlements and directories have no flags behind the length.
        if matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF) {
            return Self::Untimed;
        }
        let [_, _, _, _, _, _, marker, flags, header_bytes, ..] = payload else { return Self::Cut };
        let wanted = match flags & PTS_DTS_MASK {
            0x80 => Pts::FIELD_BYTES,
            0xC0 => 2 * Pts::FIELD_BYTES,
            _ => return Self::Untimed,
        };
        if marker & 0xC0 != 0x80 || usize::from(*header_bytes) < wanted {
            return Self::Untimed;
        }
        if payload.len() < PTS_AT + wanted {
            return Self::Cut;
        }
        let at = |at: usize| payload.get(at..).and_then(<[u8]>::first_chunk).and_then(Pts::from_field);
        let Some(pts) = at(PTS_AT) else { return Self::Untimed };
        let dts = if wanted > Pts::FIELD_BYTES { at(DTS_AT) } else { None };
        Self::Timed(PesTimes { pts, dts })
    }
}

/// The bytes of a PES packet that begins with these, by its length field; zero when it does not say.
#[must_use]
pub fn pes_bytes(payload: &[u8]) -> u64 {
    match payload {
        [0, 0, 1, _, 0, 0, ..] => 0,
        [0, 0, 1, _, high, low, ..] => 6 + u64::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    }
}

/// Replaces the time stamps that [`PesStart::read`] has found in a payload.
pub fn write_pes_times(payload: &mut [u8], times: PesTimes) {
    for (at, stamp) in [(PTS_AT, Some(times.pts)), (DTS_AT, times.dts)] {
        if let Some(stamp) = stamp
            && let Some(field) = payload.get_mut(at..).and_then(<[u8]>::first_chunk_mut)
        {
            stamp.write_field(field);
        }
    }
}

/// Takes the announcement of time stamps back; their bytes are then skipped with the rest of the header. False, and
/// nothing changed, when the flags are not in this payload.
pub fn strip_pes_times(payload: &mut [u8]) -> bool {
    let Some(flags) = payload.get_mut(FLAGS_AT) else { return false };
    *flags &= !PTS_DTS_MASK;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with both time stamps: 1.4 s and 1.32 s.
    const BOTH: [u8; 21] = [
        0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 10, 0x31, 0x00, 0x07, 0xD8, 0x61, 0x11, 0x00, 0x07, 0xA0, 0x41, 7, 7,
    ];

    #[test]
    fn times_are_found_wherever_the_header_has_them() {
        let both = PesTimes { pts: Pts::from_ticks(126_000), dts: Some(Pts::from_ticks(118_816)) };
        let only = PesTimes { pts: Pts::from_ticks(126_000), dts: None };
        let mut alone = BOTH;
        alone[7] = 0x80;
        let mut none = BOTH;
        none[7] = 0;
        let mut short = BOTH;
        short[8] = 4;
        let mut unmarked = BOTH;
        unmarked[9] &= !1;
        let mut padding = BOTH;
        padding[3] = 0xBE;
        let table: &[(&str, &[u8], PesStart)] = &[
            ("both", &BOTH, PesStart::Timed(both)),
            ("presentation alone", &alone, PesStart::Timed(only)),
            ("none", &none, PesStart::Untimed),
            ("a header too short for what it announces", &short, PesStart::Untimed),
            ("a stamp without its markers", &unmarked, PesStart::Untimed),
            ("padding", &padding, PesStart::Untimed),
            ("no start code", &BOTH[1..], PesStart::None),
            ("cut before the flags", &BOTH[..7], PesStart::Cut),
            ("cut in the second stamp", &BOTH[..18], PesStart::Cut),
            ("cut behind the stamps", &BOTH[..19], PesStart::Timed(both)),
        ];
        for (name, bytes, expected) in table {
            assert_eq!(PesStart::read(bytes), *expected, "{name}");
        }
        assert_eq!(both.decoding(), Pts::from_ticks(118_816));
        assert_eq!(only.decoding(), only.pts);
    }

    #[test]
    fn replaced_times_are_read_back_and_nothing_else_changes() {
        let mut bytes = BOTH;
        let PesStart::Timed(times) = PesStart::read(&bytes) else { panic!("it has times") };
        let later = times.plus(Pts::MODULUS.cast_signed() - 126_001);
        write_pes_times(&mut bytes, later);
        assert_eq!(PesStart::read(&bytes), PesStart::Timed(later));
        assert_eq!(later.pts, Pts::from_ticks(Pts::MODULUS - 1));
        assert_eq!((bytes[9] >> 4, bytes[14] >> 4), (3, 1));
        write_pes_times(&mut bytes, times);
        assert_eq!(bytes, BOTH);
    }

    #[test]
    fn times_that_are_taken_back_leave_a_header_of_the_same_length() {
        let mut bytes = BOTH;
        assert!(strip_pes_times(&mut bytes));
        assert_eq!(PesStart::read(&bytes), PesStart::Untimed);
        assert_eq!(bytes[8], 10);
        assert!(!strip_pes_times(&mut bytes[..7]));
    }
}
