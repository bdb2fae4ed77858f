//! Sections: cut out of the payloads of one PID, checked, and viewed in place.

use crate::ts::crc::crc32;

/// The longest PAT or PMT section (2.4.4.4: the section length is at most 1021).
pub const SECTION_BYTES_MAX: usize = 1024;

/// Table identifier, and the length of the rest.
const PREFIX_BYTES: usize = 3;
/// Bytes before the table's own, and the CRC behind them.
const HEADER_BYTES: usize = 8;
const CRC_BYTES: usize = 4;
/// Fills the rest of a packet after its last section.
const STUFFING: u8 = 0xFF;

/// Why bytes are not a section with a table in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SectionError {
    /// Shorter than header and CRC, or of a form without them.
    #[error("not a section of a table")]
    Form,
    /// The CRC says that a bit is wrong.
    #[error("section CRC does not match")]
    Crc,
    /// An inner length points outside.
    #[error("a length inside the section points outside of it")]
    Length,
    /// Not the table it was expected to be.
    #[error("table {0:#04x} was not expected here")]
    Table(u8),
}

/// A whole section whose CRC is right.
#[derive(Clone, Copy, Debug)]
pub struct Section<'buf> {
    bytes: &'buf [u8],
}

impl<'buf> Section<'buf> {
    /// Views the bytes of a section.
    ///
    /// # Errors
    /// When the section has not the long form that tables have, or its CRC is wrong.
    pub fn parse(bytes: &'buf [u8]) -> Result<Self, SectionError> {
        if bytes.len() < HEADER_BYTES + CRC_BYTES || bytes[1] & 0x80 == 0 {
            return Err(SectionError::Form);
        }
        if crc32(bytes) != 0 {
            return Err(SectionError::Crc);
        }
        Ok(Self { bytes })
    }

    /// All bytes, from the table identifier to the CRC.
    #[must_use]
    pub const fn bytes(self) -> &'buf [u8] {
        self.bytes
    }

    /// Which table it is a part of.
    #[must_use]
    pub const fn table_id(self) -> u8 {
        self.bytes[0]
    }

    /// The transport stream of a PAT, the programme of a PMT.
    #[must_use]
    pub const fn table_id_extension(self) -> u16 {
        u16::from_be_bytes([self.bytes[3], self.bytes[4]])
    }

    /// The version of the table, 0 to 31.
    #[must_use]
    pub const fn version_number(self) -> u8 {
        (self.bytes[5] >> 1) & 0x1F
    }

    /// Whether the table is valid now rather than the next to become valid.
    #[must_use]
    pub const fn current_next_indicator(self) -> bool {
        self.bytes[5] & 1 != 0
    }

    /// The section's place in its table.
    #[must_use]
    pub const fn section_number(self) -> u8 {
        self.bytes[6]
    }

    /// The place of the table's last section.
    #[must_use]
    pub const fn last_section_number(self) -> u8 {
        self.bytes[7]
    }

    /// The table's own bytes, between header and CRC.
    #[must_use]
    pub fn body(self) -> &'buf [u8] {
        &self.bytes[HEADER_BYTES..self.bytes.len() - CRC_BYTES]
    }
}

/// Puts the sections of one PID together.
pub struct SectionAssembler {
    buffer: Box<[u8; SECTION_BYTES_MAX]>,
    /// Bytes of an unfinished section; zero when there is none.
    filled: usize,
    malformed: u64,
}

impl Default for SectionAssembler {
    fn default() -> Self {
        Self::new()
    }
}

impl SectionAssembler {
    /// An assembler that waits for the start of a section.
    #[must_use]
    pub fn new() -> Self {
        Self { buffer: Box::new([0; SECTION_BYTES_MAX]), filled: 0, malformed: 0 }
    }

    /// Whether a section has begun and not ended.
    #[must_use]
    pub const fn unfinished(&self) -> bool {
        self.filled > 0
    }

    /// Sections given up: longer than any table's, or pointing outside their packet.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Takes a packet's payload and hands every section that ends in it to `sink`, unchecked. `intact` says that no packet
    /// is missing between the one before and this one.
    pub fn feed(&mut self, payload: &[u8], unit_start: bool, intact: bool, mut sink: impl FnMut(&[u8])) {
        if !intact {
            self.filled = 0;
        }
        if !unit_start {
            if self.unfinished() {
                self.extend(payload, &mut sink);
            }
            return;
        }
        let Some((pointer, after)) = payload.split_first() else { return };
        let Some((end_of_last, mut rest)) = after.split_at_checked(usize::from(*pointer)) else {
            self.give_up();
            return;
        };
        if self.unfinished() {
            self.extend(end_of_last, &mut sink);
        }
        // What the start indicator cuts short never ends.
        self.filled = 0;
        while rest.first().is_some_and(|table_id| *table_id != STUFFING) {
            let Some(bytes) = section_bytes(rest) else {
                self.begin(rest);
                return;
            };
            if bytes > SECTION_BYTES_MAX {
                self.give_up();
                return;
            }
            let Some((section, after)) = rest.split_at_checked(bytes) else {
                self.begin(rest);
                return;
            };
            sink(section);
            rest = after;
        }
    }

    fn give_up(&mut self) {
        self.filled = 0;
        self.malformed += 1;
    }

    fn begin(&mut self, start: &[u8]) {
        self.buffer[..start.len()].copy_from_slice(start);
        self.filled = start.len();
    }

    /// Adds bytes to the unfinished section. After its end only stuffing can follow, because a section that
    /// starts in a packet is announced by that packet.
    fn extend(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        if self.filled < PREFIX_BYTES {
            bytes = self.append(bytes, PREFIX_BYTES);
        }
        let Some(wanted) = section_bytes(&self.buffer[..self.filled]) else { return };
        if wanted > SECTION_BYTES_MAX {
            self.give_up();
            return;
        }
        self.append(bytes, wanted);
        if self.filled == wanted {
            self.filled = 0;
            sink(&self.buffer[..wanted]);
        }
    }

    /// Fills the buffer up to `until` and returns what is left of the bytes.
    fn append<'buf>(&mut self, bytes: &'buf [u8], until: usize) -> &'buf [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(until - self.filled));
        self.buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
        self.filled += now.len();
        later
    }
}

/// The length of the section that begins here, once its prefix is there.
fn section_bytes(start: &[u8]) -> Option<usize> {
    let [_, high, low, ..] = start else { return None };
    Some(PREFIX_BYTES + usize::from(u16::from_be_bytes([high & 0x0F, *low])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ts::testing::section;

    /// Cuts sections into payloads of packets: `(starts a unit, payload)`.
    fn payloads(sections: &[Vec<u8>], room: usize) -> Vec<(bool, Vec<u8>)> {
        let bytes = sections.concat();
        let mut starts: Vec<usize> = Vec::new();
        for section in sections {
            starts.push(starts.last().map_or(0, |last| last + sections[starts.len() - 1].len()));
            assert!(!section.is_empty());
        }
        let mut at = 0;
        let mut out = Vec::new();
        while at < bytes.len() {
            let begins = starts.iter().find(|start| (at..at + room - 1).contains(*start));
            let mut payload = Vec::new();
            let take = if let Some(start) = begins {
                payload.push(u8::try_from(start - at).unwrap());
                room - 1
            } else {
                // A section whose start has no room beside its pointer begins in the next packet.
                starts.iter().find(|start| **start > at).map_or(room, |next| room.min(next - at))
            };
            let end = bytes.len().min(at + take);
            payload.extend(&bytes[at..end]);
            payload.resize(room, STUFFING);
            out.push((begins.is_some(), payload));
            at = end;
        }
        out
    }

    fn assemble(payloads: &[(bool, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut assembler = SectionAssembler::new();
        let mut found = Vec::new();
        for (unit_start, payload) in payloads {
            assembler.feed(payload, *unit_start, true, |section| found.push(section.to_vec()));
        }
        assert_eq!(assembler.malformed(), 0);
        found
    }

    #[test]
    fn several_sections_in_one_packet_and_one_section_over_several_come_out_whole() {
        let sections =
            [section(0x02, 1, 0, &[1; 20]), section(0x02, 2, 0, &[2; 600]), section(0x02, 3, 0, &[3; 30])];
        assert_eq!(assemble(&payloads(&sections, 184)), sections);
    }

    #[test]
    fn a_prefix_cut_by_the_packets_border_is_put_together() {
        for first in 160..=182 {
            // The second section begins with its last or its last few bytes of room in the first packet.
            let sections = [section(0x02, 1, 0, &vec![1; first - 12]), section(0x02, 2, 0, &[2; 40])];
            assert_eq!(assemble(&payloads(&sections, 184)), sections, "first section of {first} bytes");
        }
    }

    #[test]
    fn a_missing_packet_drops_the_section_it_was_part_of_and_no_other() {
        let sections = [section(0x02, 1, 0, &[1; 500]), section(0x02, 2, 0, &[2; 50])];
        let payloads = payloads(&sections, 184);
        let mut assembler = SectionAssembler::new();
        let mut found = Vec::new();
        for (index, (unit_start, payload)) in payloads.iter().enumerate() {
            if index != 1 {
                assembler.feed(payload, *unit_start, index != 2, |section| found.push(section.to_vec()));
            }
        }
        assert_eq!(found, [sections[1].clone()]);
    }

    #[test]
    fn a_pointer_or_a_length_beyond_all_bounds_is_given_up() {
        let mut assembler = SectionAssembler::new();
        let mut payload = vec![0x00; 184];
        payload[0] = 200;
        assembler.feed(&payload, true, true, |_| panic!("there is no section"));
        payload[..4].copy_from_slice(&[0, 0x02, 0xBF, 0xFF]);
        assembler.feed(&payload, true, true, |_| panic!("there is no section"));
        assert_eq!(assembler.malformed(), 2);
        assert!(!assembler.unfinished());
    }

    #[test]
    fn a_section_is_checked_before_it_is_viewed() {
        let good = section(0x00, 0x1234, 7, &[1, 2, 3, 4]);
        let view = Section::parse(&good).unwrap();
        assert_eq!(view.table_id(), 0x00);
        assert_eq!(view.table_id_extension(), 0x1234);
        assert_eq!(view.version_number(), 7);
        assert!(view.current_next_indicator());
        assert_eq!((view.section_number(), view.last_section_number()), (0, 0));
        assert_eq!(view.body(), [1, 2, 3, 4]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Section::parse(&bad).is_err(), "bit {bit} is wrong");
        }
        assert_eq!(Section::parse(&good[..11]).unwrap_err(), SectionError::Form);
    }

    proptest! {
        #[test]
        fn any_sections_in_packets_of_any_size_come_out_whole(
            bodies in proptest::collection::vec(1..900usize, 1..6),
            room in 20..185usize,
        ) {
            let sections: Vec<_> =
                bodies.iter().zip(1u16..).map(|(bytes, id)| section(0x02, id, 0, &vec![0x5A; *bytes])).collect();
            prop_assert_eq!(assemble(&payloads(&sections, room)), sections);
        }

        #[test]
        fn no_payload_makes_the_assembler_panic(
            payloads in proptest::collection::vec(
                (any::<bool>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..185)), 0..20),
        ) {
            let mut assembler = SectionAssembler::new();
            for (unit_start, intact, payload) in payloads {
                assembler.feed(&payload, unit_start, intact, |section| {
                    let checked = Section::parse(section);
                    assert!(checked.is_err() || section.len() >= 12);
                });
            }
        }
    }
}
