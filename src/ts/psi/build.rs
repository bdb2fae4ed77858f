//! Writing PAT and PMT sections and the packets that carry them.

use crate::base::limits::PACKET_BYTES;
use crate::ts::crc::crc32;
use crate::ts::packet::{ContinuityCounter, PacketBytes, Pid, SYNC_BYTE};
use crate::ts::psi::pat::Pat;
use crate::ts::psi::pmt::Pmt;
use crate::ts::psi::section::SECTION_BYTES_MAX;

/// Why a section cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuildError {
    /// The table does not fit one section.
    #[error("the table needs more than {SECTION_BYTES_MAX} bytes")]
    TooLong,
}

/// One entry of a PAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PatProgramme {
    /// The programme's number; zero is the network's.
    pub program_number: u16,
    /// Where its PMT is.
    pub pmt_pid: Pid,
}

/// One stream of a PMT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PmtStream<'buf> {
    /// Where its packets are.
    pub pid: Pid,
    /// What it is.
    pub stream_type: u8,
    /// Its descriptors, as they stand in the table.
    pub descriptors: &'buf [u8],
}

/// A section with its CRC, built in place.
#[derive(Clone)]
pub struct SectionBuffer {
    bytes: [u8; SECTION_BYTES_MAX],
    filled: usize,
}

impl SectionBuffer {
    fn begin(table_id: u8, extension: u16, version: u8) -> Self {
        let mut buffer = Self { bytes: [0; SECTION_BYTES_MAX], filled: 8 };
        let [high, low] = extension.to_be_bytes();
        // Current, and the only section.
        buffer.bytes[..8].copy_from_slice(&[table_id, 0, 0, high, low, 0xC1 | ((version & 0x1F) << 1), 0, 0]);
        buffer
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        let room = self.bytes.get_mut(self.filled..self.filled + bytes.len()).ok_or(BuildError::TooLong)?;
        room.copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    /// Twelve bits of length behind four reserved ones.
    fn push_length(&mut self, length: usize) -> Result<(), BuildError> {
        let length = u16::try_from(length).map_err(|_too_long| BuildError::TooLong)?;
        self.push(&(0xF000 | length).to_be_bytes())
    }

    fn push_pid(&mut self, pid: Pid) -> Result<(), BuildError> {
        self.push(&(0xE000 | pid.get()).to_be_bytes())
    }

    fn finish(mut self) -> Result<Self, BuildError> {
        let length = u16::try_from(self.filled + 4 - 3).map_err(|_too_long| BuildError::TooLong)?;
        self.bytes[1..3].copy_from_slice(&(0xB000 | length).to_be_bytes());
        let crc = crc32(self.as_bytes());
        self.push(&crc.to_be_bytes())?;
        Ok(self)
    }

    /// The section.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

/// A PAT in one section.
///
/// # Errors
/// When it does not fit one.
pub fn pat_section(
    transport_stream_id: u16,
    version: u8,
    programmes: &[PatProgramme],
) -> Result<SectionBuffer, BuildError> {
    let mut section = SectionBuffer::begin(Pat::TABLE_ID, transport_stream_id, version);
    for programme in programmes {
        section.push(&programme.program_number.to_be_bytes())?;
        section.push_pid(programme.pmt_pid)?;
    }
    section.finish()
}

/// A PMT in one section. `pcr_pid` is `None` for a programme without a clock.
///
/// # Errors
/// When it does not fit one.
pub fn pmt_section<'buf>(
    program_number: u16,
    version: u8,
    pcr_pid: Option<Pid>,
    programme_descriptors: &[u8],
    streams: impl IntoIterator<Item = PmtStream<'buf>>,
) -> Result<SectionBuffer, BuildError> {
    let mut section = SectionBuffer::begin(Pmt::TABLE_ID, program_number, version);
    section.push_pid(pcr_pid.unwrap_or(Pid::NULL))?;
    section.push_length(programme_descriptors.len())?;
    section.push(programme_descriptors)?;
    for stream in streams {
        section.push(&[stream.stream_type])?;
        section.push_pid(stream.pid)?;
        section.push_length(stream.descriptors.len())?;
        section.push(stream.descriptors)?;
    }
    section.finish()
}

/// Cuts a section into packets of its own and hands them to `sink`. The first gets `counter`; returned is the
/// counter of the packet that will follow.
pub fn packetise(
    section: &SectionBuffer,
    pid: Pid,
    counter: ContinuityCounter,
    mut sink: impl FnMut(&PacketBytes),
) -> ContinuityCounter {
    let mut counter = counter;
    let mut rest = section.as_bytes();
    let mut first = true;
    while !rest.is_empty() {
        let [high, low] = pid.get().to_be_bytes();
        let mut packet = [0xFF; PACKET_BYTES];
        packet[..4].copy_from_slice(&[SYNC_BYTE, high, low, 0x10 | counter.get()]);
        let mut at = 4;
        if first {
            packet[1] |= 0x40;
            // The section begins right behind the pointer.
            packet[4] = 0;
            at = 5;
            first = false;
        }
        let (now, later) = rest.split_at(rest.len().min(PACKET_BYTES - at));
        packet[at..at + now.len()].copy_from_slice(now);
        sink(&packet);
        rest = later;
        counter = counter.next();
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::codec::Codec;
    use crate::ts::packet::Packet;
    use crate::ts::psi::section::{Section, SectionAssembler};

    fn pid(number: u16) -> Pid {
        Pid::new(number).unwrap()
    }

    fn packets(section: &SectionBuffer, on: Pid, counter: u8) -> (Vec<PacketBytes>, u8) {
        let mut packets = Vec::new();
        let next = packetise(section, on, ContinuityCounter::new(counter), |packet| packets.push(*packet));
        (packets, next.get())
    }

    #[test]
    fn a_pat_and_a_pmt_match_golden_packets() {
        let pat = pat_section(1, 0, &[PatProgramme { program_number: 1, pmt_pid: pid(0x1000) }]).unwrap();
        let (pat_packets, next) = packets(&pat, Pid::PAT, 0);
        let golden = [
            0x47, 0x40, 0x00, 0x10, 0x00, 0x00, 0xB0, 0x0D, 0x00, 0x01, 0xC1, 0x00, 0x00, 0x00, 0x01, 0xF0,
            0x00, 0x2A, 0xB1, 0x04, 0xB2,
        ];
        assert_eq!(pat_packets.len(), 1);
        assert_eq!(pat_packets[0][..golden.len()], golden);
        assert!(pat_packets[0][golden.len()..].iter().all(|byte| *byte == 0xFF));
        assert_eq!(next, 1);

        let video = PmtStream { pid: pid(0x100), stream_type: 0x1B, descriptors: &[] };
        let pmt = pmt_section(1, 0, Some(pid(0x102)), &[], [video]).unwrap();
        let (pmt_packets, _) = packets(&pmt, pid(0x1000), 0);
        let golden = [
            0x47, 0x50, 0x00, 0x10, 0x00, 0x02, 0xB0, 0x12, 0x00, 0x01, 0xC1, 0x00, 0x00, 0xE1, 0x02, 0xF0,
            0x00, 0x1B, 0xE1, 0x00, 0xF0, 0x00, 0xA2, 0xFE, 0xF4, 0xC2,
        ];
        assert_eq!(pmt_packets[0][..golden.len()], golden);

        let pmt = pmt_section(1, 1, Some(pid(0x102)), &[], [video]).unwrap();
        assert_eq!(pmt.as_bytes()[5], 0xC3);
        assert_eq!(pmt.as_bytes()[17..], [0xAD, 0x13, 0x32, 0xCE]);
    }

    #[test]
    fn a_long_table_is_cut_and_read_back_whole() {
        let descriptors = [0x0A, 4, b'e', b'n', b'g', 0].repeat(8);
        let streams = (0..12).map(|index| PmtStream {
            pid: pid(0x200 + index),
            stream_type: 0x0F,
            descriptors: &descriptors,
        });
        let pmt = pmt_section(7, 31, None, &[0x0E, 0], streams).unwrap();
        let (packets, next) = packets(&pmt, pid(0x20), 14);
        assert_eq!((packets.len(), next), (4, 2));
        let mut assembler = SectionAssembler::new();
        let mut read = None;
        for packet in &packets {
            let packet = Packet::parse(packet).unwrap();
            assert_eq!(packet.pid(), pid(0x20));
            assembler.feed(packet.payload().unwrap(), packet.payload_unit_start_indicator(), true, |bytes| {
                read = Some(Pmt::parse(Section::parse(bytes).unwrap()).unwrap());
            });
        }
        let read = read.unwrap();
        assert_eq!((read.program_number, read.version, read.pcr_pid), (7, 31, None));
        assert_eq!(read.programme_descriptors(), [0x0E, 0]);
        assert_eq!(read.streams().len(), 12);
        assert!(read.streams().iter().all(|stream| stream.codec == Codec::Aac));
        assert_eq!(read.stream_descriptors(&read.streams()[11]), descriptors);
    }

    #[test]
    fn a_table_that_does_not_fit_one_section_is_refused() {
        let programmes = vec![PatProgramme { program_number: 1, pmt_pid: pid(0x20) }; 254];
        assert!(pat_section(1, 0, &programmes[..253]).is_ok());
        assert_eq!(pat_section(1, 0, &programmes).err(), Some(BuildError::TooLong));
    }
}
