//! A transport stream packet (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5), read in place and changed in place.

use std::fmt;

use crate::base::limits::PACKET_BYTES;
use crate::ts::clock_ref::Pcr;

/// The bytes of one packet.
pub type PacketBytes = [u8; PACKET_BYTES];

/// The first byte of every packet.
pub const SYNC_BYTE: u8 = 0x47;

/// Bytes before the adaptation field or the payload.
const HEADER_BYTES: usize = 4;
/// Where the adaptation field's flags are, if it has any byte after its length.
const FLAGS_AT: usize = 5;
/// Where the PCR is, if the flags announce one.
const PCR_AT: usize = 6;

const DISCONTINUITY: u8 = 0x80;
const RANDOM_ACCESS: u8 = 0x40;
const PCR_FLAG: u8 = 0x10;
const OPCR_FLAG: u8 = 0x08;
const SPLICING_POINT: u8 = 0x04;
const PRIVATE_DATA: u8 = 0x02;
const EXTENSION: u8 = 0x01;

/// A packet identifier: 13 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(u16);

impl Pid {
    /// How many packet identifiers there are.
    pub const COUNT: usize = 8192;
    /// The programme association table.
    pub const PAT: Self = Self(0);
    /// Null packets.
    pub const NULL: Self = Self(0x1FFF);

    /// A packet identifier, if the number fits 13 bits.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= Self::NULL.0 { Some(Self(number)) } else { None }
    }

    /// The 13 low bits of two bytes, as every table and the packet header store it.
    #[must_use]
    pub const fn from_field(field: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(field) & 0x1FFF)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The number, for tables of [`Pid::COUNT`] entries.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#06x}", self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#06x}", self.0)
    }
}

/// The 4-bit counter that grows by one with every packet of a PID that carries payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ContinuityCounter(u8);

impl ContinuityCounter {
    /// The counter of a number, modulo 16.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number & 0x0F)
    }

    /// The number, 0 to 15.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The counter after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self((self.0 + 1) & 0x0F)
    }

    /// The counter `steps` after this one.
    #[must_use]
    pub const fn after(self, steps: usize) -> Self {
        // Only the distance modulo 16 matters; it fits a byte.
        #[expect(clippy::cast_possible_truncation, reason = "masked to four bits")]
        let steps = (steps & 0x0F) as u8;
        Self((self.0 + steps) & 0x0F)
    }

    /// The counter `steps` before this one.
    #[must_use]
    pub const fn before(self, steps: usize) -> Self {
        // Only the distance modulo 16 matters; it fits a byte.
        #[expect(clippy::cast_possible_truncation, reason = "masked to four bits")]
        let steps = (steps & 0x0F) as u8;
        Self((self.0 + 16 - steps) & 0x0F)
    }
}

/// Why bytes are not a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    /// The first byte is not [`SYNC_BYTE`].
    #[error("no sync byte: found {found:#04x}")]
    LostSync {
        /// The byte in its place.
        found: u8,
    },
}

/// A packet, borrowed. Fields are decoded when asked for.
#[derive(Clone, Copy)]
pub struct Packet<'buf> {
    bytes: &'buf PacketBytes,
}

impl<'buf> Packet<'buf> {
    /// A view of the bytes of a packet.
    ///
    /// # Errors
    /// When the bytes do not begin with the sync byte.
    pub const fn parse(bytes: &'buf PacketBytes) -> Result<Self, PacketError> {
        if bytes[0] == SYNC_BYTE {
            Ok(Self { bytes })
        } else {
            Err(PacketError::LostSync { found: bytes[0] })
        }
    }

    /// The packet as it is in memory.
    #[must_use]
    pub const fn bytes(self) -> &'buf PacketBytes {
        self.bytes
    }

    /// Set by a receiver that could not correct the packet. Nothing in it can be trusted then, the PID included.
    #[must_use]
    pub const fn transport_error_indicator(self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// A PES packet starts with the payload, or a section starts somewhere in it.
    #[must_use]
    pub const fn payload_unit_start_indicator(self) -> bool {
        self.bytes[1] & 0x40 != 0
    }

    /// The packet identifier.
    #[must_use]
    pub const fn pid(self) -> Pid {
        Pid::from_field([self.bytes[1], self.bytes[2]])
    }

    /// Zero when the payload is in the clear.
    #[must_use]
    pub const fn transport_scrambling_control(self) -> u8 {
        self.bytes[3] >> 6
    }

    /// Whether the header announces payload. It may still be empty when the adaptation field is malformed.
    #[must_use]
    pub const fn has_payload(self) -> bool {
        self.bytes[3] & 0x10 != 0
    }

    /// The continuity counter.
    #[must_use]
    pub const fn continuity_counter(self) -> ContinuityCounter {
        ContinuityCounter::new(self.bytes[3])
    }

    /// The adaptation field, unless there is none or its length does not fit the packet.
    #[must_use]
    pub fn adaptation_field(self) -> Option<AdaptationField<'buf>> {
        let fields = self.bytes.get(FLAGS_AT..self.adaptation_end()?)?;
        Some(AdaptationField { fields })
    }

    /// Where the payload begins, unless there is none.
    #[must_use]
    pub fn payload_at(self) -> Option<usize> {
        if !self.has_payload() {
            return None;
        }
        let at = if self.bytes[3] & 0x20 == 0 { HEADER_BYTES } else { self.adaptation_end()? };
        (at < PACKET_BYTES).then_some(at)
    }

    /// The payload. `None` when there is none or the adaptation field leaves no room for it.
    #[must_use]
    pub fn payload(self) -> Option<&'buf [u8]> {
        self.bytes.get(self.payload_at()?..)
    }

    /// Whether bytes that mean nothing come before the payload: what a PES packet has left did not fill its last packet
    /// (2.4.3.5).
    #[must_use]
    pub fn has_stuffing(self) -> bool {
        let (Some(field), true) = (self.adaptation_field(), self.has_payload()) else { return false };
        field.has_stuffing()
    }

    /// One past the last byte of the adaptation field.
    fn adaptation_end(self) -> Option<usize> {
        if self.bytes[3] & 0x20 == 0 {
            return None;
        }
        let end = FLAGS_AT + usize::from(self.bytes[4]);
        (end <= PACKET_BYTES).then_some(end)
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Packet")
            .field("pid", &self.pid())
            .field("payload_unit_start_indicator", &self.payload_unit_start_indicator())
            .field("continuity_counter", &self.continuity_counter().get())
            .field("payload_at", &self.payload_at())
            .finish_non_exhaustive()
    }
}

/// The adaptation field after its length byte. Empty when it is a single byte of stuffing.
#[derive(Clone, Copy)]
pub struct AdaptationField<'buf> {
    fields: &'buf [u8],
}

impl AdaptationField<'_> {
    fn flags(self) -> u8 {
        self.fields.first().copied().unwrap_or(0)
    }

    /// The continuity counter of this packet, or on the PCR's PID the time base, need not fit what came before.
    #[must_use]
    pub fn discontinuity_indicator(self) -> bool {
        self.flags() & DISCONTINUITY != 0
    }

    /// Decoding may start with the next access unit of this PID.
    #[must_use]
    pub fn random_access_indicator(self) -> bool {
        self.flags() & RANDOM_ACCESS != 0
    }

    /// Whether the field is longer than what it says.
    fn has_stuffing(self) -> bool {
        let flags = self.flags();
        let mut said = 1;
        for (flag, bytes) in
            [(PCR_FLAG, Pcr::FIELD_BYTES), (OPCR_FLAG, Pcr::FIELD_BYTES), (SPLICING_POINT, 1)]
        {
            said += if flags & flag == 0 { 0 } else { bytes };
        }
        // Private data and the extension begin with their length.
        for flag in [PRIVATE_DATA, EXTENSION] {
            if flags & flag != 0 {
                said += 1 + self.fields.get(said).map_or(0, |bytes| usize::from(*bytes));
            }
        }
        self.fields.is_empty() || said < self.fields.len()
    }

    /// The programme clock reference, if the field has one.
    #[must_use]
    pub fn pcr(self) -> Option<Pcr> {
        if self.flags() & PCR_FLAG == 0 {
            return None;
        }
        self.fields.get(1..).and_then(<[u8]>::first_chunk).map(Pcr::from_field)
    }
}

/// A packet that is changed where it lies.
pub struct PacketMut<'buf> {
    bytes: &'buf mut PacketBytes,
}

impl<'buf> PacketMut<'buf> {
    /// A view of the bytes of a packet.
    ///
    /// # Errors
    /// When the bytes do not begin with the sync byte.
    pub fn parse(bytes: &'buf mut PacketBytes) -> Result<Self, PacketError> {
        Packet::parse(bytes)?;
        Ok(Self { bytes })
    }

    /// The packet as it is now.
    #[must_use]
    pub fn view(&self) -> Packet<'_> {
        Packet { bytes: self.bytes }
    }

    /// Moves the packet to another PID.
    pub fn set_pid(&mut self, pid: Pid) {
        let [high, low] = pid.get().to_be_bytes();
        self.bytes[1] = (self.bytes[1] & 0xE0) | high;
        self.bytes[2] = low;
    }

    /// Replaces the continuity counter.
    pub fn set_continuity_counter(&mut self, counter: ContinuityCounter) {
        self.bytes[3] = (self.bytes[3] & 0xF0) | counter.get();
    }

    /// Replaces the PCR. False, and nothing changed, when the packet has none.
    pub fn set_pcr(&mut self, pcr: Pcr) -> bool {
        if self.view().adaptation_field().and_then(AdaptationField::pcr).is_none() {
            return false;
        }
        self.bytes[PCR_AT..PCR_AT + Pcr::FIELD_BYTES].copy_from_slice(&pcr.to_field());
        true
    }

    /// Takes the PCR away; its bytes become stuffing.
    pub fn remove_pcr(&mut self) {
        if self.view().adaptation_field().and_then(AdaptationField::pcr).is_none() {
            return;
        }
        let end = FLAGS_AT + usize::from(self.bytes[FLAGS_AT - 1]);
        self.bytes[FLAGS_AT] &= !PCR_FLAG;
        let field = &mut self.bytes[PCR_AT..end];
        field.copy_within(Pcr::FIELD_BYTES.., 0);
        let rest = field.len() - Pcr::FIELD_BYTES;
        field[rest..].fill(0xFF);
    }

    /// Sets or clears the discontinuity indicator. False, and nothing changed, when the packet has no
    /// adaptation field with flags: making room for one would cost payload.
    pub fn set_discontinuity(&mut self, discontinuity: bool) -> bool {
        if self.view().adaptation_field().is_none_or(|field| field.fields.is_empty()) {
            return false;
        }
        self.bytes[FLAGS_AT] = if discontinuity {
            self.bytes[FLAGS_AT] | DISCONTINUITY
        } else {
            self.bytes[FLAGS_AT] & !DISCONTINUITY
        };
        true
    }
}

/// A packet without payload that signals a discontinuity. Its counter is that of the packet before the next
/// one with payload: a packet without payload does not advance it (2.4.3.3). With a PCR it is the first of a
/// new time base (2.4.3.5).
#[must_use]
pub fn discontinuity_packet(pid: Pid, counter: ContinuityCounter, pcr: Option<Pcr>) -> PacketBytes {
    let mut bytes = [0xFF; PACKET_BYTES];
    let [high, low] = pid.get().to_be_bytes();
    bytes[..FLAGS_AT + 1].copy_from_slice(&[SYNC_BYTE, high, low, 0x20 | counter.get(), 183, DISCONTINUITY]);
    if let Some(pcr) = pcr {
        bytes[FLAGS_AT] |= PCR_FLAG;
        bytes[PCR_AT..PCR_AT + Pcr::FIELD_BYTES].copy_from_slice(&pcr.to_field());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ts::testing::Fields;

    #[test]
    fn every_field_of_a_packet_is_found() {
        let mut bytes = [0xAA; PACKET_BYTES];
        // TEI, start, PID 0x1234, scrambling 2, adaptation and payload, counter 9; field of 7 bytes with
        // discontinuity, random access and a PCR of base 1, extension 2.
        bytes[..12].copy_from_slice(&[0x47, 0xD2, 0x34, 0xB9, 7, 0xD0, 0x00, 0x00, 0x00, 0x00, 0xFE, 0x02]);
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.transport_error_indicator());
        assert!(packet.payload_unit_start_indicator());
        assert_eq!(packet.pid().get(), 0x1234);
        assert_eq!(packet.transport_scrambling_control(), 2);
        assert_eq!(packet.continuity_counter().get(), 9);
        let field = packet.adaptation_field().unwrap();
        assert!(field.discontinuity_indicator());
        assert!(field.random_access_indicator());
        assert_eq!(field.pcr(), Some(Pcr::from_ticks(302)));
        assert_eq!(packet.payload_at(), Some(12));
        assert_eq!(packet.payload().unwrap().len(), 176);
    }

    #[test]
    fn what_a_packet_holds_follows_from_its_control_bits_and_the_fields_length() {
        // (control bits, field length) -> (has a field, payload bytes)
        let table = [
            (0x00, 0, false, None),
            (0x10, 0, false, Some(184)),
            (0x20, 183, true, None),
            (0x20, 184, false, None),
            (0x30, 0, true, Some(183)),
            (0x30, 182, true, Some(1)),
            (0x30, 183, true, None),
            (0x30, 200, false, None),
        ];
        for (control, length, has_field, payload_bytes) in table {
            let mut bytes = [0; PACKET_BYTES];
            bytes[..5].copy_from_slice(&[0x47, 0, 0, control, length]);
            let packet = Packet::parse(&bytes).unwrap();
            let found = (packet.adaptation_field().is_some(), packet.payload().map(<[u8]>::len));
            assert_eq!(found, (has_field, payload_bytes), "control {control:#x}, length {length}");
        }
    }

    #[test]
    fn stuffing_is_what_a_field_has_beyond_what_it_says() {
        let table: &[(&str, &[u8], bool)] = &[
            ("no byte but the length", &[0], true),
            ("flags alone", &[1, 0x40], false),
            ("flags and stuffing", &[2, 0x40, 0xFF], true),
            ("a clock", &[7, 0x10, 0, 0, 0, 0, 0, 0], false),
            ("a clock and stuffing", &[8, 0x10, 0, 0, 0, 0, 0, 0, 0xFF], true),
            ("private data", &[4, 0x02, 2, 7, 7], false),
            ("private data and stuffing", &[5, 0x02, 2, 7, 7, 0xFF], true),
            ("a splicing point and an extension", &[5, 0x05, 9, 2, 7, 7], false),
            ("private data beyond the field", &[3, 0x02, 200, 7], false),
        ];
        for (name, field, expected) in table {
            let mut bytes = [0x47; PACKET_BYTES];
            bytes[3] = 0x30;
            bytes[4..4 + field.len()].copy_from_slice(field);
            assert_eq!(Packet::parse(&bytes).unwrap().has_stuffing(), *expected, "{name}");
            bytes[3] = 0x20;
            assert!(!Packet::parse(&bytes).unwrap().has_stuffing(), "{name}, no payload");
        }
        assert!(!Packet::parse(&[0x47; PACKET_BYTES]).unwrap().has_stuffing(), "no field");
    }

    #[test]
    fn a_pcr_flag_without_room_for_a_pcr_is_no_pcr() {
        let mut bytes = [0; PACKET_BYTES];
        bytes[..6].copy_from_slice(&[0x47, 0, 0, 0x30, 6, 0x10]);
        assert_eq!(Packet::parse(&bytes).unwrap().adaptation_field().unwrap().pcr(), None);
    }

    #[test]
    fn setters_change_their_field_and_nothing_else() {
        let pcr = Pcr::from_ticks(123_456_789);
        let mut bytes =
            Fields { pid: 0x100, unit_start: true, pcr: Some(Pcr::from_ticks(1)), ..Fields::default() }
                .packet(&[7; 100]);
        let mut packet = PacketMut::parse(&mut bytes).unwrap();
        packet.set_pid(Pid::new(0x1ABC).unwrap());
        packet.set_continuity_counter(ContinuityCounter::new(13));
        assert!(packet.set_pcr(pcr));
        assert!(packet.set_discontinuity(true));
        let expected = Fields {
            pid: 0x1ABC,
            unit_start: true,
            counter: 13,
            pcr: Some(pcr),
            discontinuity: true,
            ..Fields::default()
        };
        assert_eq!(bytes, expected.packet(&[7; 100]));
        assert!(PacketMut::parse(&mut bytes).unwrap().set_discontinuity(false));
        assert_eq!(bytes, Fields { discontinuity: false, ..expected }.packet(&[7; 100]));
    }

    #[test]
    fn a_clock_that_is_taken_away_leaves_stuffing_behind_what_else_the_field_says() {
        let fields = Fields { pid: 0x100, unit_start: true, ..Fields::default() };
        let mut bytes = Fields { pcr: Some(Pcr::from_ticks(1)), ..fields }.packet(&[7; 170]);
        // Private data of two bytes behind the clock.
        bytes[FLAGS_AT] |= PRIVATE_DATA;
        bytes[PCR_AT + 6..PCR_AT + 9].copy_from_slice(&[2, 0xAB, 0xCD]);
        let before = bytes;
        let mut packet = PacketMut::parse(&mut bytes).unwrap();
        packet.remove_pcr();
        packet.remove_pcr();
        let field = packet.view().adaptation_field().unwrap();
        assert_eq!((field.pcr(), field.has_stuffing()), (None, true));
        assert_eq!(bytes[..FLAGS_AT], before[..FLAGS_AT]);
        assert_eq!(
            bytes[FLAGS_AT..FLAGS_AT + 10],
            [PRIVATE_DATA, 2, 0xAB, 0xCD, 255, 255, 255, 255, 255, 255]
        );
        assert_eq!(bytes[FLAGS_AT + 10..], before[FLAGS_AT + 10..]);
    }

    #[test]
    fn setters_refuse_what_the_packet_has_no_room_for() {
        let mut bytes = Fields { pid: 0x100, ..Fields::default() }.packet(&[7; 184]);
        let before = bytes;
        let mut packet = PacketMut::parse(&mut bytes).unwrap();
        assert!(!packet.set_pcr(Pcr::from_ticks(1)));
        assert!(!packet.set_discontinuity(true));
        assert_eq!(bytes, before);
        // One byte of stuffing: an adaptation field of length zero, without flags.
        let mut bytes = Fields { pid: 0x100, ..Fields::default() }.packet(&[7; 183]);
        assert_eq!(bytes[4], 0);
        assert!(!PacketMut::parse(&mut bytes).unwrap().set_discontinuity(true));
    }

    #[test]
    fn a_discontinuity_packet_with_a_pcr_matches_the_reference_bytes() {
        let packet = discontinuity_packet(
            Pid::new(0x102).unwrap(),
            ContinuityCounter::new(8),
            Some(Pcr::from_ticks(0)),
        );
        assert_eq!(packet[..12], [0x47, 0x01, 0x02, 0x28, 0xB7, 0x90, 0, 0, 0, 0, 0x7E, 0]);
        assert!(packet[12..].iter().all(|byte| *byte == 0xFF));
    }

    #[test]
    fn counters_wrap_both_ways() {
        assert_eq!(ContinuityCounter::new(15).next(), ContinuityCounter::new(0));
        assert_eq!(ContinuityCounter::new(1).before(3), ContinuityCounter::new(14));
        assert_eq!(ContinuityCounter::new(4).before(32), ContinuityCounter::new(4));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_view_panic(mut bytes in proptest::array::uniform32(any::<u8>())) {
            bytes[0] = SYNC_BYTE;
            let mut packet = [0x55; PACKET_BYTES];
            packet[..32].copy_from_slice(&bytes);
            let view = Packet::parse(&packet).unwrap();
            let field = view.adaptation_field();
            let pcr = field.and_then(AdaptationField::pcr);
            prop_assert!(pcr.is_none_or(|pcr| pcr.ticks() < Pcr::MODULUS));
            prop_assert!(view.payload().is_none_or(|payload| !payload.is_empty()));
        }
    }
}
