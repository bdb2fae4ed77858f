//! Reads packets of a transport stream for judges. It shares nothing with the program it judges.

pub const PACKET_BYTES: usize = 188;
pub const SYNC_BYTE: u8 = 0x47;
pub const NULL_PID: u16 = 0x1FFF;
/// PTS and DTS count 90 kHz in 33 bits.
pub const PTS_WRAP: u64 = 1 << 33;
/// A PCR counts 27 MHz: 300 to each tick of 90 kHz.
pub const PCR_WRAP: u64 = PTS_WRAP * 300;

const SECTION_HEAD_BYTES: usize = 3;
const CRC_BYTES: usize = 4;

pub type Packet = [u8; PACKET_BYTES];

/// One packet.
#[derive(Clone, Copy)]
pub struct View<'a>(pub &'a Packet);

impl<'a> View<'a> {
    pub fn is_in_sync(self) -> bool {
        self.0[0] == SYNC_BYTE
    }

    pub fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1F, self.0[2]])
    }

    /// A PES packet or a section starts in it.
    pub fn starts(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    pub fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    pub fn counter(self) -> u8 {
        self.0[3] & 0x0F
    }

    /// The adaptation field's flags and what follows them; empty when there is none or its length is a lie.
    fn field(self) -> &'a [u8] {
        if self.0[3] & 0x20 == 0 { &[] } else { self.0.get(5..5 + usize::from(self.0[4])).unwrap_or(&[]) }
    }

    /// The discontinuity indicator.
    pub fn signals(self) -> bool {
        self.field().first().is_some_and(|flags| flags & 0x80 != 0)
    }

    /// In ticks of 27 MHz.
    pub fn pcr(self) -> Option<u64> {
        let (flags, rest) = self.field().split_first()?;
        let bytes = rest.first_chunk::<6>().filter(|_| flags & 0x10 != 0)?;
        let [a, b, c, d, e, f] = bytes.map(u64::from);
        let base = (a << 25) | (b << 17) | (c << 9) | (d << 1) | (e >> 7);
        Some(base * 300 + (((e & 1) << 8) | f))
    }

    /// Where the payload starts; `PACKET_BYTES` when there is none.
    pub fn payload_at(self) -> usize {
        let field = if self.0[3] & 0x20 == 0 { 0 } else { 1 + usize::from(self.0[4]) };
        if self.has_payload() { (4 + field).min(PACKET_BYTES) } else { PACKET_BYTES }
    }

    pub fn payload(self) -> &'a [u8] {
        &self.0[self.payload_at()..]
    }

    /// The times of the PES packet that starts here.
    pub fn pes(self) -> Option<PesStart> {
        let payload = self.payload();
        if !self.starts() || !payload.starts_with(&[0, 0, 1]) {
            return None;
        }
        let id = *payload.get(3)?;
        let flags = *payload.get(7)? >> 6;
        let pts = (flags & 0b10 != 0).then(|| stamp(payload, 9)).flatten();
        let dts = (flags == 0b11).then(|| stamp(payload, 14)).flatten();
        Some(PesStart { id, pts, dts })
    }
}

/// The head of a PES packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PesStart {
    pub id: u8,
    pub pts: Option<u64>,
    pub dts: Option<u64>,
}

impl PesStart {
    /// When it is decoded: the DTS, or the PTS of a packet that has none.
    pub fn decoded_at(self) -> Option<u64> {
        self.dts.or(self.pts)
    }
}

fn stamp(payload: &[u8], at: usize) -> Option<u64> {
    let [a, b, c, d, e] = payload.get(at..)?.first_chunk::<5>()?.map(u64::from);
    Some(((a & 0x0E) << 29) | (b << 22) | ((c & 0xFE) << 14) | (d << 7) | (e >> 1))
}

/// How far `to` is ahead of `from` on a clock that starts again at `wrap`; negative when it is behind.
pub fn ahead(from: u64, to: u64, wrap: u64) -> i64 {
    let forward = (to + wrap - from) % wrap;
    if forward < wrap / 2 {
        i64::try_from(forward).expect("half a clock fits")
    } else {
        -i64::try_from(wrap - forward).expect("half a clock fits")
    }
}

/// What was put together of one PID's payloads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Section {
    /// With a right CRC, from the table id up to the CRC.
    Whole(Vec<u8>),
    /// The CRC is wrong.
    Damaged,
}

/// Puts the sections of one PID together.
#[derive(Default)]
pub struct Assembler {
    bytes: Vec<u8>,
    is_open: bool,
}

impl Assembler {
    /// Takes the next payload and gives the sections that end in it.
    pub fn feed(&mut self, packet: View<'_>) -> Vec<Section> {
        let mut payload = packet.payload();
        let mut found = Vec::new();
        if packet.starts() {
            let Some((&pointer, rest)) = payload.split_first() else { return found };
            let (end, begin) = rest.split_at(rest.len().min(usize::from(pointer)));
            self.extend(end, &mut found);
            self.bytes.clear();
            self.is_open = true;
            payload = begin;
        }
        self.extend(payload, &mut found);
        found
    }

    fn extend(&mut self, payload: &[u8], found: &mut Vec<Section>) {
        if !self.is_open {
            return;
        }
        self.bytes.extend_from_slice(payload);
        while let Some(&[table, high, low]) = self.bytes.first_chunk::<SECTION_HEAD_BYTES>() {
            let length = usize::from(u16::from_be_bytes([high & 0x0F, low])) + SECTION_HEAD_BYTES;
            if table == 0xFF {
                // Stuffing up to the end of the packet.
                self.is_open = false;
                return;
            }
            if self.bytes.len() < length {
                return;
            }
            let rest = self.bytes.split_off(length);
            let mut section = std::mem::replace(&mut self.bytes, rest);
            let is_whole = length > SECTION_HEAD_BYTES + CRC_BYTES
                && crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(&section) == 0;
            section.truncate(length.saturating_sub(CRC_BYTES));
            found.push(if is_whole { Section::Whole(section) } else { Section::Damaged });
        }
    }
}

/// The PID of the first programme's PMT.
pub fn read_pat(section: &[u8]) -> Option<u16> {
    let entries = section.get(8..)?.as_chunks::<4>().0;
    let programme = entries.iter().find(|[a, b, ..]| (*a, *b) != (0, 0))?;
    Some(u16::from_be_bytes([programme[2] & 0x1F, programme[3]]))
}

/// A programme's make-up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pmt {
    pub version: u8,
    pub pcr_pid: u16,
    pub streams: Vec<Stream>,
}

/// One of its streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    pub kind: Kind,
    /// The stream type's number.
    pub number: u8,
    pub pid: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Video,
    Audio,
    Other,
}

impl Pmt {
    pub fn read(section: &[u8]) -> Option<Pmt> {
        let version = (section.get(5)? >> 1) & 0x1F;
        let pcr_pid = u16::from_be_bytes([section.get(8)? & 0x1F, *section.get(9)?]);
        let information = usize::from(u16::from_be_bytes([section.get(10)? & 0x0F, *section.get(11)?]));
        let mut rest = section.get(12 + information..)?;
        let mut streams = Vec::new();
        while let Some(&[number, a, b, c, d]) = rest.first_chunk::<5>() {
            let length = usize::from(u16::from_be_bytes([c & 0x0F, d]));
            let descriptors = rest.get(5..5 + length)?;
            let pid = u16::from_be_bytes([a & 0x1F, b]);
            streams.push(Stream { kind: kind(number, descriptors), number, pid });
            rest = &rest[5 + length..];
        }
        Some(Pmt { version, pcr_pid, streams })
    }

    pub fn pid(&self, kind: Kind) -> Option<u16> {
        self.streams.iter().find(|stream| stream.kind == kind).map(|stream| stream.pid)
    }
}

fn kind(number: u8, descriptors: &[u8]) -> Kind {
    const AC3: u8 = 0x6A;
    const EAC3: u8 = 0x7A;
    let mut rest = descriptors;
    let mut is_dolby = false;
    while let Some(&[tag, length]) = rest.first_chunk::<2>() {
        is_dolby |= tag == AC3 || tag == EAC3;
        rest = rest.get(2 + usize::from(length)..).unwrap_or(&[]);
    }
    match number {
        0x01 | 0x02 | 0x10 | 0x1B | 0x24 => Kind::Video,
        0x03 | 0x04 | 0x0F | 0x11 | 0x81 | 0x87 => Kind::Audio,
        0x06 if is_dolby => Kind::Audio,
        _other => Kind::Other,
    }
}
