//! Tables kept as the packets they came in, so that a viewer can be given them before the stream repeats them.

use std::sync::Arc;

use crate::base::limits::PSI_PACKETS_MAX;
use crate::ts::packet::{ContinuityCounter, Packet, PacketBytes, Pid};
use crate::ts::psi::build::{SectionBuffer, packetise};
use crate::ts::psi::section::SectionAssembler;

/// The packets of one table, verbatim, shared: a copy costs a reference count. Their counters are those they
/// came with and mean nothing later.
#[derive(Clone, Debug)]
pub struct TablePackets(Arc<[PacketBytes]>);

impl Default for TablePackets {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl TablePackets {
    /// The packets of a table that was made here.
    pub(super) fn made(section: &SectionBuffer, pid: Pid) -> Self {
        let mut packets = Vec::new();
        packetise(section, pid, ContinuityCounter::new(0), |packet| packets.push(*packet));
        Self(packets.into())
    }

    /// The packets, at most [`PSI_PACKETS_MAX`].
    #[must_use]
    pub fn as_slice(&self) -> &[PacketBytes] {
        &self.0
    }
}

/// Puts the sections of one PID together and keeps the packets of the last one that was accepted.
#[derive(Default)]
pub(super) struct TableReader {
    assembler: SectionAssembler,
    /// The packets of the section that is being put together.
    pending: Vec<PacketBytes>,
    /// The section began in the first pending packet, and none had to be left out.
    pending_whole: bool,
    complete: TablePackets,
}

impl TableReader {
    /// Takes a packet. `accept` sees every section that ends in it, unchecked, and says whether its packets are to be kept. True
    /// when one was accepted.
    pub(super) fn packet(
        &mut self,
        packet: Packet<'_>,
        intact: bool,
        mut accept: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        let Some(payload) = packet.payload() else { return false };
        let unit_start = packet.payload_unit_start_indicator();
        let continues = intact && self.assembler.unfinished();
        if !continues {
            self.begin();
        }
        if continues || unit_start {
            self.keep(packet);
        }
        let mut accepted = false;
        self.assembler.feed(payload, unit_start, intact, |section| accepted |= accept(section));
        if accepted && self.pending_whole {
            self.complete_pending();
        }
        if unit_start || !self.assembler.unfinished() {
            self.begin();
            if self.assembler.unfinished() {
                self.keep(packet);
            }
        }
        accepted
    }

    /// The packets of the last accepted section.
    pub(super) const fn packets(&self) -> &TablePackets {
        &self.complete
    }

    /// Sections that were given up before they could be checked.
    #[cfg(any(test, feature = "sim"))]
    pub(super) const fn malformed(&self) -> u64 {
        self.assembler.malformed()
    }

    /// Forgets the accepted section.
    pub(super) fn forget(&mut self) {
        self.complete = TablePackets::default();
    }

    fn begin(&mut self) {
        self.pending.clear();
        self.pending_whole = true;
    }

    fn keep(&mut self, packet: Packet<'_>) {
        if self.pending.len() < PSI_PACKETS_MAX {
            self.pending.push(*packet.bytes());
        } else {
            self.pending_whole = false;
        }
    }

    /// A table is repeated ten times a second and hardly ever changes: the packets are replaced, and memory asked
    /// for, only when they differ in more than their counters.
    fn complete_pending(&mut self) {
        let same = self.complete.0.len() == self.pending.len()
            && self.complete.0.iter().zip(&self.pending).all(|(old, new)| {
                old[..3] == new[..3] && (old[3] ^ new[3]) & 0xF0 == 0 && old[4..] == new[4..]
            });
        if !same {
            self.complete = TablePackets(Arc::from(self.pending.as_slice()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::testing::{Fields, Stream, section};

    fn read(reader: &mut TableReader, packets: &[PacketBytes]) -> usize {
        packets.iter().filter(|packet| reader.packet(Packet::parse(packet).unwrap(), true, |_| true)).count()
    }

    #[test]
    fn the_packets_of_a_section_are_kept_as_they_came() {
        let mut stream = Stream::default();
        stream.push_section(0x20, &section(0x02, 1, 0, &[1; 500]));
        let mut reader = TableReader::default();
        assert_eq!(read(&mut reader, &stream.packets), 1);
        assert_eq!(reader.packets().as_slice(), stream.packets);
    }

    #[test]
    fn a_repetition_with_other_counters_keeps_the_memory() {
        let mut stream = Stream::default();
        for _ in 0..2 {
            stream.push_section(0x20, &section(0x02, 1, 0, &[1; 50]));
        }
        let mut reader = TableReader::default();
        read(&mut reader, &stream.packets[..1]);
        let first = reader.packets().clone();
        read(&mut reader, &stream.packets[1..]);
        assert!(Arc::ptr_eq(&first.0, &reader.packets().0));
        stream.push_section(0x20, &section(0x02, 1, 1, &[1; 50]));
        read(&mut reader, &stream.packets[2..]);
        assert_eq!(reader.packets().as_slice(), &stream.packets[2..]);
    }

    #[test]
    fn a_section_that_starts_where_another_ends_is_kept_from_there() {
        let first = section(0x02, 1, 0, &[1; 200]);
        let second = section(0x02, 2, 0, &[2; 200]);
        let bytes = [&first[..], &second].concat();
        let mut stream = Stream::default();
        let start = Fields { pid: 0x20, unit_start: true, ..Fields::NONE };
        stream.push(start, &[&[0], &bytes[..183]].concat());
        let pointer = u8::try_from(first.len() - 183).unwrap();
        stream.push(start, &[&[pointer], &bytes[183..366]].concat());
        let mut last = bytes[366..].to_vec();
        last.resize(184, 0xFF);
        stream.push(Fields { unit_start: false, ..start }, &last);
        let mut reader = TableReader::default();
        assert_eq!(read(&mut reader, &stream.packets[..2]), 1);
        assert_eq!(reader.packets().as_slice(), &stream.packets[..2]);
        assert_eq!(read(&mut reader, &stream.packets[2..]), 1);
        assert_eq!(reader.packets().as_slice(), &stream.packets[1..]);
    }

    #[test]
    fn a_section_in_too_many_packets_is_not_kept() {
        let section = section(0x02, 1, 0, &[1; 300]);
        let mut stream = Stream::default();
        stream.push_pes(Fields { pid: 0x20, ..Fields::NONE }, &[&[0][..], &section].concat(), 10);
        let mut reader = TableReader::default();
        assert_eq!(read(&mut reader, &stream.packets), 1);
        assert_eq!(reader.packets().as_slice(), [] as [PacketBytes; 0]);
    }
}
