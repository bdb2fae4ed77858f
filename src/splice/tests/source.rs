//! Sources for tests: a programme, a time base, and frames that come one by one.

use crate::ts::psi::{Pmt, Programme, Section};
use crate::ts::testing::{Fields, Stream, section};
use crate::ts::{PacketBytes, Pcr, Pid, Pts};

/// One stream of a source.
#[derive(Clone, Debug)]
pub(in crate::splice) struct Es {
    pub(in crate::splice) pid: u16,
    pub(in crate::splice) stream_type: u8,
    /// 90 kHz between two PES packets.
    pub(in crate::splice) frame: u64,
    /// 90 kHz from the clock to the decoding time.
    pub(in crate::splice) lead: u64,
    /// Bytes of a PES packet, header left out.
    pub(in crate::splice) bytes: usize,
    /// Presentation and decoding times differ by turns.
    pub(in crate::splice) reorders: bool,
}

impl Es {
    pub(in crate::splice) fn video(pid: u16, stream_type: u8) -> Self {
        Self { pid, stream_type, frame: 3600, lead: 63_000, bytes: 900, reorders: true }
    }

    pub(in crate::splice) fn audio(pid: u16, stream_type: u8) -> Self {
        Self { pid, stream_type, frame: 1920, lead: 45_000, bytes: 300, reorders: false }
    }

    const fn is_video(&self) -> bool {
        matches!(self.stream_type, 0x02 | 0x1B | 0x24)
    }
}

/// A source: what it is made of and what time it begins at.
#[derive(Clone, Debug)]
pub(in crate::splice) struct Source {
    pub(in crate::splice) number: u16,
    pub(in crate::splice) pmt_pid: u16,
    pub(in crate::splice) version: u8,
    pub(in crate::splice) pcr_pid: u16,
    pub(in crate::splice) streams: Vec<Es>,
    /// The clock at its beginning, 90 kHz.
    pub(in crate::splice) base: u64,
}

impl Source {
    /// H.264 and AAC on the usual PIDs.
    pub(in crate::splice) fn usual() -> Self {
        Self {
            number: 1,
            pmt_pid: 0x1000,
            version: 0,
            pcr_pid: 0x100,
            streams: vec![Es::video(0x100, 0x1B), Es::audio(0x101, 0x0F)],
            base: 90_000,
        }
    }

    /// H.264 and AAC elsewhere, in another time base.
    pub(in crate::splice) fn other() -> Self {
        Self {
            number: 7,
            pmt_pid: 0x20,
            version: 5,
            pcr_pid: 0x200,
            streams: vec![Es::audio(0x201, 0x0F), Es::video(0x200, 0x1B)],
            base: 8_000_000_000,
        }
    }

    pub(in crate::splice) fn pat(&self) -> Vec<u8> {
        let body = [self.number.to_be_bytes(), (0xE000 | self.pmt_pid).to_be_bytes()].concat();
        section(0, 1, self.version, &body)
    }

    pub(in crate::splice) fn pmt(&self) -> Vec<u8> {
        let mut body = (0xE000 | self.pcr_pid).to_be_bytes().to_vec();
        body.extend([0xF0, 0]);
        for stream in &self.streams {
            body.push(stream.stream_type);
            body.extend((0xE000 | stream.pid).to_be_bytes());
            // Two streams of one type still differ in their language.
            body.extend([0xF0, 6, 0x0A, 4, b'd', b'e', b'u', 0]);
        }
        section(2, self.number, self.version, &body)
    }

    pub(in crate::splice) fn programme(&self) -> Programme {
        let pmt = self.pmt();
        Programme {
            transport_stream_id: 1,
            pat_version: self.version,
            alone: true,
            pmt_pid: Pid::new(self.pmt_pid).unwrap(),
            pmt: Pmt::parse(Section::parse(&pmt).unwrap()).unwrap(),
        }
    }

    /// The packets of a span of its time, in milliseconds, each with the millisecond it belongs to. The tables come every 100 ms, the
    /// clock with every packet that begins a picture, or every 20 ms on a PID of its own.
    pub(in crate::splice) fn packets(&self, from: u64, until: u64) -> Vec<(u64, PacketBytes)> {
        let mut stream = Stream::default();
        let mut times = Vec::new();
        for millis in from..until {
            self.push(&mut stream, millis, millis == from);
            times.resize(stream.packets.len(), millis);
        }
        times.into_iter().zip(stream.packets).collect()
    }

    fn push(&self, stream: &mut Stream, millis: u64, first: bool) {
        let clock = self.base + millis * 90;
        let pcr = Some(Pcr::from_ticks(clock * 300));
        if first || millis.is_multiple_of(100) {
            stream.push_section(0, &self.pat());
            stream.push_section(self.pmt_pid, &self.pmt());
        }
        let alone = !self.streams.iter().any(|es| es.pid == self.pcr_pid);
        if alone && self.pcr_pid != 0x1FFF && (first || millis.is_multiple_of(20)) {
            stream.push(Fields { pid: self.pcr_pid, pcr, ..Fields::NONE }, &[]);
        }
        for es in &self.streams {
            // The frames that belong to this millisecond.
            let (now, next) = (millis * 90, (millis + 1) * 90);
            let Some(frame) = (now.div_ceil(es.frame)..next.div_ceil(es.frame)).next() else { continue };
            let dts = self.base + frame * es.frame + es.lead;
            let later = if !es.reorders { 0 } else { [2, 4, 1, 1][usize::try_from(frame % 4).unwrap()] };
            let pcr = pcr.filter(|_| es.pid == self.pcr_pid);
            let (pts, dts) = (dts + later * es.frame, Some(dts).filter(|_| later > 0));
            let bytes = pes(es, pts, dts, frame);
            stream.push_pes(Fields { pid: es.pid, pcr, ..Fields::NONE }, &bytes, 184);
        }
    }
}

/// Whether the data of a PES packet is all there.
pub(super) fn is_whole(data: &[u8]) -> bool {
    let Some(bytes) = data.get(5..9) else { return false };
    let wanted = usize::try_from(u32::from_be_bytes(bytes.try_into().unwrap())).unwrap();
    data.len() == wanted && data.iter().enumerate().skip(9).all(|(at, byte)| *byte == filler(at))
}

fn filler(at: usize) -> u8 {
    u8::try_from(at % 251).unwrap() | 1
}

/// A PES packet whose data says what it is, which one, and how long. Audio has a length, video has none.
fn pes(es: &Es, pts: u64, dts: Option<u64>, frame: u64) -> Vec<u8> {
    let mut header = vec![if dts.is_some() { 0xC0 } else { 0x80 }, if dts.is_some() { 10 } else { 5 }];
    for (prefix, ticks) in [(if dts.is_some() { 0x31 } else { 0x21 }, Some(pts)), (0x11, dts)] {
        if let Some(ticks) = ticks {
            let mut field = [prefix; 5];
            Pts::from_ticks(ticks).write_field(&mut field);
            header.extend(field);
        }
    }
    let mut data: Vec<u8> = (0..es.bytes).map(filler).collect();
    data[0] = es.stream_type;
    data[1..5].copy_from_slice(&u32::try_from(frame).unwrap().to_be_bytes());
    data[5..9].copy_from_slice(&u32::try_from(es.bytes).unwrap().to_be_bytes());
    let length = if es.is_video() { 0 } else { u16::try_from(1 + header.len() + data.len()).unwrap() };
    let mut bytes = vec![0, 0, 1, if es.is_video() { 0xE0 } else { 0xC0 }];
    bytes.extend(length.to_be_bytes());
    bytes.push(0x80);
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

/// The bytes of packets.
pub(in crate::splice) fn bytes(packets: &[(u64, PacketBytes)]) -> Vec<u8> {
    packets.iter().flat_map(|(_, packet)| packet).copied().collect()
}
