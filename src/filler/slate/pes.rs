//! One access unit as a PES packet in transport packets.

use crate::base::limits::PACKET_BYTES;
use crate::ts::{ContinuityCounter, PacketBytes, Pcr, Pid, Pts, SYNC_BYTE};

/// Bytes of a packet behind its header.
const ROOM: usize = PACKET_BYTES - 4;
/// A PES header with both times.
const HEADER_BYTES_MAX: usize = 9 + 2 * Pts::FIELD_BYTES;
/// Bytes of a PES header that its own length field does not count.
const UNCOUNTED_BYTES: usize = 6;
const DATA_ALIGNMENT: u8 = 0x04;
const RANDOM_ACCESS: u8 = 0x40;
const PCR: u8 = 0x10;

/// An access unit on its way out.
pub(super) struct AccessUnit<'buf> {
    pub(super) pid: Pid,
    pub(super) stream_id: u8,
    pub(super) pts: Pts,
    pub(super) dts: Pts,
    /// The clock when it is sent, on the PID that carries the clock.
    pub(super) pcr: Option<Pcr>,
    pub(super) is_entry: bool,
    pub(super) data: &'buf [u8],
}

impl AccessUnit<'_> {
    /// Appends its packets. The first gets `counter`; returned is the counter of the packet that will follow.
    pub(super) fn write(&self, counter: ContinuityCounter, out: &mut Vec<u8>) -> ContinuityCounter {
        let mut counter = counter;
        let (header, header_bytes) = self.header();
        let mut header = &header[..header_bytes];
        let mut data = self.data;
        let mut is_first = true;
        while is_first || !data.is_empty() {
            let mut packet = [0xFF; PACKET_BYTES];
            let mut field = if is_first { self.adaptation_field(&mut packet) } else { 0 };
            let left = header.len() + data.len();
            if left < ROOM - field {
                field = stuff(&mut packet, field, ROOM - left);
            }
            let [high, low] = self.pid.get().to_be_bytes();
            packet[..3].copy_from_slice(&[SYNC_BYTE, (u8::from(is_first) << 6) | high, low]);
            packet[3] = (u8::from(field > 0) << 5) | 0x10 | counter.get();
            let (head, rest) = packet[4 + field..].split_at_mut(header.len());
            head.copy_from_slice(header);
            let (now, later) = data.split_at(rest.len().min(data.len()));
            rest.copy_from_slice(now);
            out.extend_from_slice(&packet);
            counter = counter.next();
            (header, data, is_first) = (&[], later, false);
        }
        counter
    }

    fn header(&self) -> ([u8; HEADER_BYTES_MAX], usize) {
        let times = if self.pts == self.dts { 1 } else { 2 };
        let header_bytes = HEADER_BYTES_MAX - (2 - times) * Pts::FIELD_BYTES;
        // Zero is "until the next one", which only video may say.
        let length = u16::try_from(header_bytes - UNCOUNTED_BYTES + self.data.len()).unwrap_or(0);
        let [high, low] = length.to_be_bytes();
        let (flags, optional_bytes) = if times == 1 { (0x80, 5) } else { (0xC0, 10) };
        let mut header = [0; HEADER_BYTES_MAX];
        header[..9].copy_from_slice(&[
            0,
            0,
            1,
            self.stream_id,
            high,
            low,
            0x80 | DATA_ALIGNMENT,
            flags,
            optional_bytes,
        ]);
        let mut field = [if times == 1 { 0x20 } else { 0x30 }, 0, 0, 0, 0];
        self.pts.write_field(&mut field);
        header[9..14].copy_from_slice(&field);
        field[0] = 0x10;
        self.dts.write_field(&mut field);
        header[14..].copy_from_slice(&field);
        (header, header_bytes)
    }

    /// Writes the field the first packet needs, and says how long it is.
    fn adaptation_field(&self, packet: &mut PacketBytes) -> usize {
        if self.pcr.is_none() && !self.is_entry {
            return 0;
        }
        let clock_bytes = if self.pcr.is_some() { Pcr::FIELD_BYTES } else { 0 };
        packet[4] = if self.pcr.is_some() { 7 } else { 1 };
        packet[5] = if self.is_entry { RANDOM_ACCESS } else { 0 } | if self.pcr.is_some() { PCR } else { 0 };
        if let Some(pcr) = self.pcr {
            packet[6..12].copy_from_slice(&pcr.to_field());
        }
        2 + clock_bytes
    }
}

/// Makes the adaptation field `wanted` bytes long, its length byte included.
fn stuff(packet: &mut PacketBytes, present: usize, wanted: usize) -> usize {
    packet[4] = u8::try_from(wanted - 1).expect("a field fits its packet");
    if present == 0 && wanted > 1 {
        packet[5] = 0;
    }
    wanted
}

/// A packet that carries nothing but the clock. `counter` is that of the next packet with payload, which this
/// one does not advance.
pub(super) fn clock_packet(pid: Pid, counter: ContinuityCounter, pcr: Pcr) -> PacketBytes {
    let mut packet = [0xFF; PACKET_BYTES];
    let [high, low] = pid.get().to_be_bytes();
    packet[..6].copy_from_slice(&[SYNC_BYTE, high, low, 0x20 | counter.before(1).get(), 183, PCR]);
    packet[6..12].copy_from_slice(&pcr.to_field());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::{AdaptationField, Packet};

    #[test]
    fn a_unit_of_any_length_comes_out_whole_with_its_times() {
        for bytes in (1..600).chain([70_000]) {
            for (has_clock, is_entry, delayed) in
                [(true, true, false), (true, false, true), (false, false, false), (false, true, true)]
            {
                let data: Vec<u8> = (0u8..=255).cycle().take(bytes).collect();
                let dts = Pts::from_ticks(Pts::MODULUS - 1);
                let unit = AccessUnit {
                    pid: Pid::new(0x100).unwrap(),
                    stream_id: 0xE0,
                    pts: if delayed { dts.plus(3600) } else { dts },
                    dts,
                    pcr: has_clock.then(|| Pcr::from_ticks(27_000_301)),
                    is_entry,
                    data: &data,
                };
                let mut out = Vec::new();
                let next = unit.write(ContinuityCounter::new(14), &mut out);
                let (packets, rest) = out.as_chunks::<PACKET_BYTES>();
                assert!(rest.is_empty());
                assert_eq!(next, ContinuityCounter::new(14).before(16 - packets.len() % 16));
                let mut pes = Vec::new();
                for (packet, index) in packets.iter().zip(0..) {
                    let packet = Packet::parse(packet).unwrap();
                    assert_eq!(packet.payload_unit_start_indicator(), index == 0);
                    let field = packet.adaptation_field();
                    let expected = unit.pcr.filter(|_| index == 0);
                    assert_eq!(field.and_then(AdaptationField::pcr), expected, "{bytes} bytes");
                    assert_eq!(
                        field.is_some_and(AdaptationField::random_access_indicator),
                        is_entry && index == 0
                    );
                    assert!(!field.is_some_and(AdaptationField::discontinuity_indicator));
                    pes.extend_from_slice(packet.payload().unwrap());
                }
                let header_bytes = if delayed { 19 } else { 14 };
                assert_eq!(pes[header_bytes..], data, "{bytes} bytes");
                let length = u16::from_be_bytes([pes[4], pes[5]]);
                assert_eq!(usize::from(length), if bytes > 60_000 { 0 } else { pes.len() - 6 });
                assert_eq!(Pts::from_field(pes[9..14].try_into().unwrap()), Some(unit.pts));
                if delayed {
                    assert_eq!(Pts::from_field(pes[14..19].try_into().unwrap()), Some(dts));
                }
            }
        }
    }

    #[test]
    fn a_clock_packet_has_the_counter_of_the_packet_before() {
        let bytes = clock_packet(Pid::new(0x100).unwrap(), ContinuityCounter::new(0), Pcr::from_ticks(5));
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.continuity_counter().get(), packet.has_payload()), (15, false));
        assert_eq!(packet.adaptation_field().unwrap().pcr(), Some(Pcr::from_ticks(5)));
    }
}
