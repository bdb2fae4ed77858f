//! Packets and sections for tests, by the names of their fields.

use crate::base::limits::PACKET_BYTES;
use crate::ts::clock_ref::{Pcr, Pts};
use crate::ts::packet::PacketBytes;

/// The header fields of a packet. What is not said is zero or absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub(crate) pid: u16,
    pub(crate) unit_start: bool,
    pub(crate) transport_error: bool,
    pub(crate) scrambling: u8,
    pub(crate) counter: u8,
    pub(crate) discontinuity: bool,
    pub(crate) random_access: bool,
    pub(crate) pcr: Option<Pcr>,
    pub(crate) no_payload: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self::NONE
    }
}

impl Fields {
    pub(crate) const NONE: Self = Self {
        pid: 0,
        unit_start: false,
        transport_error: false,
        scrambling: 0,
        counter: 0,
        discontinuity: false,
        random_access: false,
        pcr: None,
        no_payload: false,
    };

    /// Bytes of payload a packet with these fields has room for.
    pub(crate) fn room(&self) -> usize {
        let field = 8 * usize::from(self.pcr.is_some());
        184 - if self.discontinuity || self.random_access { field.max(2) } else { field }
    }

    /// A packet with these fields and this payload; the adaptation field is stuffed to fill it.
    pub(crate) fn packet(&self, payload: &[u8]) -> PacketBytes {
        assert!(payload.len() <= self.room(), "{} bytes do not fit", payload.len());
        assert_eq!(self.no_payload, payload.is_empty());
        let mut bytes = [0xFF; PACKET_BYTES];
        let at = PACKET_BYTES - payload.len();
        let [high, low] = self.pid.to_be_bytes();
        bytes[0] = 0x47;
        bytes[1] = (u8::from(self.transport_error) << 7) | (u8::from(self.unit_start) << 6) | high;
        bytes[2] = low;
        bytes[3] = (self.scrambling << 6)
            | (u8::from(at > 4) << 5)
            | (u8::from(!self.no_payload) << 4)
            | self.counter;
        if at > 4 {
            bytes[4] = u8::try_from(at - 5).unwrap();
        }
        if at > 5 {
            bytes[5] = (u8::from(self.discontinuity) << 7)
                | (u8::from(self.random_access) << 6)
                | (u8::from(self.pcr.is_some()) << 4);
        }
        if let Some(pcr) = self.pcr {
            bytes[6..12].copy_from_slice(&pcr.to_field());
        }
        bytes[at..].copy_from_slice(payload);
        bytes
    }
}

/// A section in the long form, current, alone in its table. Its CRC is computed bit by bit.
pub(crate) fn section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 9).unwrap();
    let mut bytes = vec![table_id];
    bytes.extend((0xB000 | length).to_be_bytes());
    bytes.extend(extension.to_be_bytes());
    bytes.extend([0xC1 | (version << 1), 0, 0]);
    bytes.extend(body);
    let mut crc = u32::MAX;
    for byte in &bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
        }
    }
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// A PMT of programme 1: a stream of each type, from PID 0x100 on, the clock on the first.
pub(crate) fn pmt(version: u8, stream_types: &[u8]) -> Vec<u8> {
    let mut body = vec![0xE1, 0x00, 0xF0, 0x00];
    for (stream_type, pid) in stream_types.iter().zip(0u8..) {
        body.extend([*stream_type, 0xE1, pid, 0xF0, 0x00]);
    }
    section(0x02, 1, version, &body)
}

/// A stream that begins with PAT and PMT of one programme, the PMT on PID 0x1000.
pub(crate) fn programme(stream_types: &[u8]) -> Stream {
    let mut stream = Stream::default();
    stream.push_section(0, &section(0x00, 1, 0, &[0, 1, 0xF0, 0x00]));
    stream.push_section(0x1000, &pmt(0, stream_types));
    stream
}

/// A PES packet of unbounded length with a presentation time.
pub(crate) fn pes(stream_id: u8, pts: Option<Pts>, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, stream_id, 0, 0, 0x80];
    match pts {
        Some(pts) => {
            let mut field = [0x20; 5];
            pts.write_field(&mut field);
            bytes.extend([0x80, 5]);
            bytes.extend(field);
        }
        None => bytes.extend([0, 0]),
    }
    bytes.extend(data);
    bytes
}

/// A stream of packets in the making; counters per PID are kept.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) packets: Vec<PacketBytes>,
    counters: std::collections::BTreeMap<u16, u8>,
}

impl Stream {
    /// The position of the next packet.
    pub(crate) fn position(&self) -> u64 {
        u64::try_from(self.packets.len() * PACKET_BYTES).unwrap()
    }

    /// Adds one packet with the next counter of its PID.
    pub(crate) fn push(&mut self, fields: Fields, payload: &[u8]) {
        let next = self.counters.entry(fields.pid).or_insert(0);
        let counter = if payload.is_empty() { (*next + 15) % 16 } else { *next };
        if !payload.is_empty() {
            *next = (*next + 1) % 16;
        }
        let fields = Fields { counter, no_payload: payload.is_empty(), ..fields };
        self.packets.push(fields.packet(payload));
    }

    /// Adds a section in packets of its own.
    pub(crate) fn push_section(&mut self, pid: u16, section: &[u8]) {
        let bytes = [&[0][..], section].concat();
        for (index, part) in bytes.chunks(184).enumerate() {
            let mut payload = part.to_vec();
            payload.resize(184, 0xFF);
            self.push(Fields { pid, unit_start: index == 0, ..Fields::NONE }, &payload);
        }
    }

    /// Adds a PES packet, `room` bytes of it in each packet. `fields` are those of the first packet.
    pub(crate) fn push_pes(&mut self, fields: Fields, bytes: &[u8], room: usize) {
        let first = bytes.len().min(room).min(fields.room());
        self.push(Fields { unit_start: true, ..fields }, &bytes[..first]);
        for part in bytes[first..].chunks(room) {
            self.push(Fields { pid: fields.pid, ..Fields::NONE }, part);
        }
    }
}
