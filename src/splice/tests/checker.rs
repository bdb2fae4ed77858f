//! A strict receiver. It reads bits by itself, and shares nothing with what it checks but the section assembler.

use std::collections::BTreeMap;

use crate::splice::tests::source::is_whole;
use crate::ts::PacketBytes;
use crate::ts::psi::SectionAssembler;

const WRAP: i64 = 1 << 33;
/// The clock may be this far ahead of the time that has passed, in 90 kHz ticks.
const AHEAD_MAX: i64 = 9_000;

/// The same where a discontinuity is signalled.
const DISCONTINUITY_MAX: i64 = 900_000;
/// Sound may come this much after its time.
const SOUND_LATE_MAX: i64 = 45_000;

/// The shorter way round from one time of 33 bits to another.
fn distance(later: i64, earlier: i64) -> i64 {
    let ahead = (later - earlier).rem_euclid(WRAP);
    if ahead <= WRAP / 2 { ahead } else { ahead - WRAP }
}

#[derive(Default)]
struct PidState {
    counter: Option<u8>,
    last: Vec<u8>,
    repeated: bool,
    dts: Option<i64>,
    /// The data of the current PES packet; `None` when its beginning was not seen or a hole was signalled.
    data: Option<Vec<u8>>,
}

/// What a receiver knows, and what it found wrong.
#[derive(Default)]
pub(super) struct Checker {
    pids: BTreeMap<u16, PidState>,
    pat: SectionAssembler,
    pmt: SectionAssembler,
    pmt_pid: Option<u16>,
    pcr_pid: u16,
    /// Streams of the last PMT.
    pub(super) streams: BTreeMap<u16, u8>,
    /// Which type each PID has ever carried.
    carried: BTreeMap<u16, u8>,
    /// Each PMT that differed from the one before: its version.
    pub(super) pmts: Vec<(u8, Vec<u8>)>,
    clock: Option<(u64, i64)>,
    /// Decoding times by PID, as they came.
    pub(super) decoded: BTreeMap<u16, Vec<i64>>,
    pub(super) clocks: Vec<i64>,
    pub(super) signalled: u64,
    pub(super) faults: Vec<String>,
    packets: u64,
}

impl Checker {
    pub(super) fn feed(&mut self, millis: u64, bytes: &[u8]) {
        let (packets, rest) = bytes.as_chunks::<188>();
        assert!(rest.is_empty());
        for packet in packets {
            self.packet(millis, packet);
            self.packets += 1;
        }
    }

    /// What is still open has ended here.
    pub(super) fn finish(&mut self) {
        for pid in self.streams.keys().copied().collect::<Vec<_>>() {
            self.end_pes(pid);
        }
    }

    fn fault(&mut self, text: &str) {
        self.faults.push(format!("packet {}: {text}", self.packets));
    }

    fn packet(&mut self, millis: u64, packet: &PacketBytes) {
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        if packet[0] != 0x47 || packet[1] & 0x80 != 0 {
            self.fault("not a sound packet");
        }
        if pid == 0x1FFF {
            return;
        }
        let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        let flags = if has_field && packet[4] > 0 { packet[5] } else { 0 };
        let at = if has_field { 5 + usize::from(packet[4]) } else { 4 };
        if at > 188 || (has_payload && at == 188) {
            self.fault("a field that does not fit");
            return;
        }
        let signalled = flags & 0x80 != 0;
        self.signalled += u64::from(signalled);
        let repetition = self.counter(pid, packet, has_payload, signalled);
        if flags & 0x10 != 0 {
            self.pcr(pid, millis, &packet[6..12], signalled);
        }
        if repetition || !has_payload {
            return;
        }
        let (starts, payload) = (packet[1] & 0x40 != 0, &packet[at..]);
        if pid == 0 {
            self.read_pat(payload, starts);
        } else if Some(pid) == self.pmt_pid {
            self.read_pmt(payload, starts);
        } else if !(0x10..0x20).contains(&pid) {
            self.read_pes(pid, payload, starts, packet[3] & 0xC0 != 0);
        }
    }

    /// True for the repetition of a packet.
    fn counter(&mut self, pid: u16, packet: &PacketBytes, has_payload: bool, signalled: bool) -> bool {
        let counter = packet[3] & 0x0F;
        let state = self.pids.entry(pid).or_default();
        let expected = state.counter.map(|last| if has_payload { (last + 1) % 16 } else { last });
        // The clock of a repetition may be another.
        let same = has_payload && state.last.get(12..) == Some(&packet[12..]);
        let repetition = has_payload && state.counter == Some(counter) && !state.repeated && same;
        let wrong = expected.is_some_and(|expected| expected != counter) && !signalled && !repetition;
        state.counter = Some(counter);
        if has_payload {
            state.repeated = repetition;
            state.last = packet.to_vec();
        }
        if signalled {
            state.data = None;
        }
        if wrong {
            self.fault(&format!("pid {pid:#x}: counter {counter} instead of {expected:?}"));
        }
        repetition
    }

    fn pcr(&mut self, pid: u16, millis: u64, field: &[u8], signalled: bool) {
        let base =
            i64::from(u32::from_be_bytes(field[..4].try_into().unwrap())) * 2 + i64::from(field[4] >> 7);
        if pid != self.pcr_pid {
            self.fault(&format!("a clock on pid {pid:#x}"));
        }
        if let Some((at, last)) = self.clock {
            let step = distance(base, last);
            let passed = i64::try_from((millis - at) * 90).unwrap();
            // How far ahead the clock of another time base may be is that base's own, but it has to say so.
            let ahead_max = if signalled { DISCONTINUITY_MAX } else { AHEAD_MAX };
            if step < 0 || step > passed + ahead_max {
                self.fault(&format!("the clock steps {step}, {passed} have passed"));
            }
        }
        self.clock = Some((millis, base));
        self.clocks.push(base);
    }

    fn read_pat(&mut self, payload: &[u8], starts: bool) {
        let mut found = Vec::new();
        self.pat.feed(payload, starts, true, |section| found.push(section.to_vec()));
        for section in found {
            if crate::ts::crc32(&section) != 0 || section.len() != 16 {
                self.fault("a PAT that is damaged or not of one programme");
            }
            self.pmt_pid = Some(u16::from_be_bytes([section[10] & 0x1F, section[11]]));
        }
    }

    fn read_pmt(&mut self, payload: &[u8], starts: bool) {
        let mut found = Vec::new();
        self.pmt.feed(payload, starts, true, |section| found.push(section.to_vec()));
        for section in found {
            if crate::ts::crc32(&section) != 0 {
                self.fault("a damaged PMT");
                continue;
            }
            self.take_pmt(&section);
        }
    }

    fn take_pmt(&mut self, section: &[u8]) {
        let version = (section[5] >> 1) & 0x1F;
        if let Some((last, known)) = self.pmts.last() {
            if known == section {
                return;
            }
            if *last == version {
                self.fault("another PMT of the same version");
            }
        }
        self.pmts.push((version, section.to_vec()));
        self.pcr_pid = u16::from_be_bytes([section[8] & 0x1F, section[9]]);
        self.streams.clear();
        let mut at = 12 + usize::from(u16::from_be_bytes([section[10] & 0x0F, section[11]]));
        while at + 5 <= section.len() - 4 {
            let pid = u16::from_be_bytes([section[at + 1] & 0x1F, section[at + 2]]);
            let stream_type = section[at];
            if self.streams.insert(pid, stream_type).is_some() || Some(pid) == self.pmt_pid {
                self.fault(&format!("pid {pid:#x} is listed twice"));
            }
            if *self.carried.entry(pid).or_insert(stream_type) != stream_type {
                self.fault(&format!("pid {pid:#x} changes its codec"));
            }
            at += 5 + usize::from(u16::from_be_bytes([section[at + 3] & 0x0F, section[at + 4]]));
        }
    }

    fn read_pes(&mut self, pid: u16, payload: &[u8], starts: bool, scrambled: bool) {
        if scrambled {
            return;
        }
        let Some(stream_type) = self.streams.get(&pid).copied() else {
            self.fault(&format!("payload on pid {pid:#x}, which is not listed"));
            return;
        };
        if !starts {
            if let Some(data) = &mut self.pids.entry(pid).or_default().data {
                data.extend(payload);
            }
            return;
        }
        self.end_pes(pid);
        let header = 9 + usize::from(payload[8]);
        let at = if payload[7] & 0x40 != 0 { 14 } else { 9 };
        let (pts, dts) = (stamp(&payload[9..14]), stamp(&payload[at..at + 5]));
        let data = &payload[header..];
        if data[0] != stream_type {
            self.fault(&format!("pid {pid:#x} carries {:#x} and is listed as {stream_type:#x}", data[0]));
        }
        let state = self.pids.entry(pid).or_default();
        state.data = Some(data.to_vec());
        let last = state.dts.replace(dts);
        if last.is_some_and(|last| distance(dts, last) <= 0) {
            self.fault(&format!("pid {pid:#x}: {dts} is decoded after {last:?}"));
        }
        if distance(pts, dts) < 0 {
            self.fault(&format!("pid {pid:#x}: shown before it is decoded"));
        }
        // Sound stays with the pictures, even if it is late then.
        let late = if matches!(stream_type, 0x02 | 0x1B | 0x24) { 0 } else { SOUND_LATE_MAX };
        if let Some((_, clock)) = self.clock.filter(|(_, clock)| distance(dts, *clock) < -late) {
            self.fault(&format!("pid {pid:#x}: decoded at {dts}, sent at {clock}"));
        }
        self.decoded.entry(pid).or_default().push(dts);
    }

    fn end_pes(&mut self, pid: u16) {
        let data = self.pids.entry(pid).or_default().data.take();
        if data.is_some_and(|data| !is_whole(&data)) {
            self.fault(&format!("pid {pid:#x}: a PES packet is torn"));
        }
    }
}

fn stamp(field: &[u8]) -> i64 {
    let bits = field.iter().fold(0_i64, |bits, byte| (bits << 8) | i64::from(*byte));
    ((bits >> 33) & 7) << 30 | ((bits >> 17) & 0x7FFF) << 15 | ((bits >> 1) & 0x7FFF)
}
