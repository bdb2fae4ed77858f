//! Reads a transport stream as a strict receiver would and counts what is wrong with it.

use crate::tsgen::{PACKET_BYTES, VideoTag};

const NULL_PID: u16 = 0x1FFF;
const PIDS: usize = 0x2000;
const PCR_WRAP: u64 = (1 << 33) * 300;
/// A PCR that advances by more than this without a signalled discontinuity is a jump.
const PCR_JUMP: u64 = 27_000_000 / 2;

/// What was found. All counts but the first three are faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub packets: u64,
    /// Packets with the discontinuity indicator.
    pub signalled: u64,
    /// Packets of the test generator's video.
    pub tagged: u64,
    /// The stream began with something else than a PAT.
    pub no_pat_first: u64,
    pub sync_losses: u64,
    pub continuity_errors: u64,
    pub pcr_steps_back: u64,
    pub pcr_jumps: u64,
    /// The generator's video packets came out of order or with a gap, without a signalled discontinuity.
    pub sequence_breaks: u64,
    /// Video packets of another stream than the first one's.
    pub foreign_packets: u64,
    /// Packets overwritten in part.
    pub torn_packets: u64,
}

impl Findings {
    /// All faults together.
    pub fn faults(&self) -> u64 {
        self.no_pat_first
            + self.sync_losses
            + self.continuity_errors
            + self.pcr_steps_back
            + self.pcr_jumps
            + self.sequence_breaks
            + self.foreign_packets
            + self.torn_packets
    }
}

#[derive(Clone, Copy)]
struct Continuity {
    counter: u8,
    /// The one repetition that the standard allows was used.
    repeated: bool,
}

/// A strict receiver.
pub struct Checker {
    findings: Findings,
    partial: Vec<u8>,
    continuity: Vec<Option<Continuity>>,
    /// PID and value of the last PCR.
    pcr: Option<(u16, u64)>,
    tag: Option<VideoTag>,
    sequence_may_jump: bool,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    pub fn new() -> Self {
        Checker {
            findings: Findings::default(),
            partial: Vec::with_capacity(PACKET_BYTES),
            continuity: vec![None; PIDS],
            pcr: None,
            tag: None,
            sequence_may_jump: false,
        }
    }

    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Takes the next bytes, cut anywhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        if !self.partial.is_empty() {
            let missing = PACKET_BYTES - self.partial.len();
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(head);
            bytes = rest;
            let Ok(packet) = <[u8; PACKET_BYTES]>::try_from(self.partial.as_slice()) else { return };
            self.partial.clear();
            self.packet(&packet);
        }
        let (packets, rest) = bytes.as_chunks::<PACKET_BYTES>();
        for packet in packets {
            self.packet(packet);
        }
        self.partial.extend_from_slice(rest);
    }

    fn packet(&mut self, packet: &[u8; PACKET_BYTES]) {
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let first = self.findings.packets == 0;
        self.findings.packets += 1;
        if packet[0] != 0x47 {
            self.findings.sync_losses += 1;
            return;
        }
        self.findings.no_pat_first += u64::from(first && pid != 0);
        if pid == NULL_PID {
            return;
        }
        let field = if packet[3] & 0x20 == 0 { &[] } else { adaptation_field(packet) };
        let signalled = field.first().is_some_and(|flags| flags & 0x80 != 0);
        self.findings.signalled += u64::from(signalled);
        let repetition = self.check_continuity(packet, pid, signalled);
        if let Some(pcr) = read_pcr(field) {
            self.check_pcr(pid, pcr, signalled);
        }
        if let Some(tag) = VideoTag::read(packet).filter(|_| !repetition) {
            self.check_tag(tag, signalled);
        } else if signalled {
            // The indicator may stand on the PCR packet in front of the first picture.
            self.sequence_may_jump = true;
        }
    }

    /// Says whether the packet is an allowed repetition of the one before.
    fn check_continuity(&mut self, packet: &[u8; PACKET_BYTES], pid: u16, signalled: bool) -> bool {
        let counter = packet[3] & 0x0F;
        let has_payload = packet[3] & 0x10 != 0;
        let slot = &mut self.continuity[usize::from(pid)];
        let mut repetition = false;
        if let Some(last) = slot.filter(|_| !signalled) {
            let follows = counter == (last.counter + 1) & 0x0F;
            let same = counter == last.counter;
            repetition = has_payload && same && !last.repeated;
            let right = if has_payload { follows || repetition } else { same };
            self.findings.continuity_errors += u64::from(!right);
        }
        *slot = Some(Continuity { counter, repeated: repetition });
        repetition
    }

    fn check_pcr(&mut self, pid: u16, pcr: u64, signalled: bool) {
        if let Some((_, last)) = self.pcr.filter(|(last_pid, _)| *last_pid == pid && !signalled) {
            let advance = (pcr + PCR_WRAP - last) % PCR_WRAP;
            if advance > PCR_WRAP / 2 {
                self.findings.pcr_steps_back += 1;
            } else if advance > PCR_JUMP {
                self.findings.pcr_jumps += 1;
            }
        }
        self.pcr = Some((pid, pcr));
    }

    fn check_tag(&mut self, tag: VideoTag, signalled: bool) {
        let may_jump = signalled || std::mem::take(&mut self.sequence_may_jump);
        self.findings.tagged += 1;
        self.findings.torn_packets += u64::from(!tag.whole);
        if let Some(last) = self.tag.filter(|_| !may_jump) {
            if last.stream == tag.stream {
                self.findings.sequence_breaks += u64::from(tag.sequence != last.sequence + 1);
            } else {
                self.findings.foreign_packets += 1;
            }
        }
        self.tag = Some(tag);
    }
}

/// The adaptation field's flags and what follows them; empty when the length is a lie.
fn adaptation_field(packet: &[u8; PACKET_BYTES]) -> &[u8] {
    packet.get(5..5 + usize::from(packet[4])).unwrap_or(&[])
}

/// The PCR of an adaptation field, in 27 MHz ticks.
fn read_pcr(field: &[u8]) -> Option<u64> {
    let (flags, rest) = field.split_first()?;
    let bytes = rest.first_chunk::<6>().filter(|_| flags & 0x10 != 0)?;
    let [a, b, c, d, e, f] = bytes.map(u64::from);
    let base = (a << 25) | (b << 17) | (c << 9) | (d << 1) | (e >> 7);
    Some(base * 300 + (((e & 1) << 8) | f))
}
