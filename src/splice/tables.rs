//! PAT and PMT of the session: what it says of itself, whoever delivers.

use crate::base::limits::PACKET_BYTES;
use crate::splice::counters::OutCounters;
use crate::splice::output_streams::Carried;
use crate::splice::source::is_of_same_version;
use crate::ts::psi::{
    PatProgramme, Pmt, PmtStream, Programme, Section, SectionBuffer, pat_section, pmt_section,
};
use crate::ts::{PacketBytes, Pid, SYNC_BYTE};

/// The programme that is told before any is known: what a remuxing ffmpeg would make of a single H.264 stream.
mod unknown {
    use crate::splice::output_streams::Carried;
    use crate::ts::Codec;

    pub(super) const TRANSPORT_STREAM: u16 = 1;
    pub(super) const PROGRAMME: u16 = 1;
    pub(super) const PMT_PID: u16 = 0x1000;
    pub(super) const PCR_PID: u16 = 0x102;
    pub(super) const VIDEO_PID: u16 = 0x100;
    pub(super) const H264: u8 = 0x1B;
    pub(super) const CARRIED: &[(u16, Carried)] =
        &[(VIDEO_PID, Carried::Stream(H264, Codec::H264)), (PCR_PID, Carried::Clock)];
}

/// What the session is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Name {
    transport_stream_id: u16,
    program_number: u16,
    pmt_pid: Pid,
}

/// A stream of the programme and the PID it leaves on; `None` when it does not.
pub(super) type Mapped = Option<Pid>;

/// The tables as they left last.
pub(super) struct Tables {
    name: Option<Name>,
    pat: Vec<u8>,
    pmt: Option<Pmt>,
    /// The PMT of the last run that was no filler.
    live: Option<Pmt>,
    /// The PMT in packets, and which of them comes next.
    packets: Vec<PacketBytes>,
    next: usize,
}

impl Tables {
    pub(super) const fn new() -> Self {
        Self { name: None, pat: Vec::new(), pmt: None, live: None, packets: Vec::new(), next: 0 }
    }

    /// The programme as it leaves.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn programme(&self) -> Option<Programme> {
        let name = self.name?;
        Some(Programme {
            transport_stream_id: name.transport_stream_id,
            pat_version: version_of(&self.pat),
            alone: true,
            pmt_pid: name.pmt_pid,
            pmt: self.pmt.clone()?,
        })
    }

    /// Where the PMT leaves, once a programme is known.
    pub(super) fn pmt_pid(&self) -> Option<Pid> {
        self.name.map(|name| name.pmt_pid)
    }

    /// The clock's PID in the PMT that left last.
    pub(super) fn pcr_pid(&self) -> Option<Pid> {
        self.pmt.as_ref().and_then(|pmt| pmt.pcr_pid)
    }

    /// The session takes the name of a programme.
    pub(super) fn call(&mut self, programme: &Programme) {
        self.name = Some(Name {
            transport_stream_id: programme.transport_stream_id,
            program_number: programme.pmt.program_number,
            pmt_pid: programme.pmt_pid,
        });
        self.cut();
    }

    /// A PAT leaves as the source has made it.
    pub(super) fn pass_pat(&mut self, section: &[u8], transport_stream_id: u16, pmt_pid: Pid) {
        section.clone_into(&mut self.pat);
        if let Some(name) = &mut self.name {
            name.transport_stream_id = transport_stream_id;
            name.pmt_pid = pmt_pid;
        }
        self.cut();
    }

    /// Whether a PMT differs from the one that left last, and receivers need not notice.
    pub(super) fn contradicts(&self, pmt: &Pmt) -> bool {
        self.pmt.as_ref().is_some_and(|last| is_of_same_version(last.section_bytes(), pmt.section_bytes()))
    }

    /// A PMT leaves as the source has made it.
    pub(super) fn pass_pmt(&mut self, pmt: &Pmt, live: bool) {
        if let Some(name) = &mut self.name {
            name.program_number = pmt.program_number;
        }
        self.adopt(pmt.clone());
        if live {
            self.live = Some(pmt.clone());
        }
    }

    /// The PMT becomes that of a source whose streams leave on these PIDs.
    pub(super) fn revise_pmt(&mut self, source: &Pmt, streams: &[Mapped], pcr_pid: Option<Pid>, live: bool) {
        let Some(name) = self.name else { return };
        self.revise(name, source, streams, pcr_pid);
        if live {
            self.live.clone_from(&self.pmt);
        }
    }

    /// The PMT stays that of the last run that was no filler, if every stream of the filler is one of its own. False, and
    /// nothing changed, when it is not.
    pub(super) fn keep_live(&mut self, filler: &Pmt, streams: &[Mapped], pcr_pid: Option<Pid>) -> bool {
        let (Some(name), Some(live)) = (self.name, self.live.clone()) else { return false };
        let listed = filler.streams().iter().zip(streams).all(|(stream, mapped)| {
            live.streams().iter().any(|own| {
                (Some(own.pid), own.stream_type, own.codec) == (*mapped, stream.stream_type, stream.codec)
            })
        });
        if listed {
            let same: Vec<Mapped> = live.streams().iter().map(|stream| Some(stream.pid)).collect();
            self.revise(name, &live, &same, pcr_pid.or(live.pcr_pid));
        }
        listed
    }

    fn revise(&mut self, name: Name, source: &Pmt, streams: &[Mapped], pcr_pid: Option<Pid>) {
        let build = |version: u8| {
            let entries = source.streams().iter().zip(streams).filter_map(|(stream, mapped)| {
                let descriptors = source.stream_descriptors(stream);
                mapped.map(|pid| PmtStream { pid, stream_type: stream.stream_type, descriptors })
            });
            pmt_section(name.program_number, version, pcr_pid, source.programme_descriptors(), entries).ok()
        };
        let last = self.pmt.as_ref().map_or(&[][..], Pmt::section_bytes);
        let Some(section) = revised(last, source.version, build) else { return };
        if let Some(section) = section {
            self.adopt(parsed(&section));
        }
    }

    fn adopt(&mut self, pmt: Pmt) {
        self.pmt = Some(pmt);
        self.cut();
    }

    /// Cuts the PMT into packets anew.
    fn cut(&mut self) {
        self.packets.clear();
        self.next = 0;
        if let (Some(pmt), Some(pid)) = (&self.pmt, self.pmt_pid()) {
            cut(pmt.section_bytes(), pid, false, |packet| self.packets.push(*packet));
        }
    }

    /// Begins the next PMT at its first packet.
    pub(super) const fn rewind(&mut self) {
        self.next = 0;
    }

    /// Whether the tables of an unknown programme have left.
    pub(super) const fn any(&self) -> bool {
        !self.pat.is_empty() || self.pmt.is_some()
    }

    /// The PAT becomes that of the session alone.
    pub(super) fn revise_pat(&mut self, wanted_version: u8) {
        let Some(name) = self.name else { return };
        let programme = PatProgramme { program_number: name.program_number, pmt_pid: name.pmt_pid };
        let build = |version: u8| pat_section(name.transport_stream_id, version, &[programme]).ok();
        if let Some(Some(section)) = revised(&self.pat, wanted_version, build) {
            section.as_bytes().clone_into(&mut self.pat);
        }
    }

    /// The programme of an unknown source, when nothing else is known: what its PIDs are said to carry.
    pub(super) fn synthesize_psi(&mut self) -> &'static [(u16, Carried)] {
        if self.any() {
            return &[];
        }
        let pid = |number| Pid::new(number).expect("the numbers fit");
        let name = Name {
            transport_stream_id: unknown::TRANSPORT_STREAM,
            program_number: unknown::PROGRAMME,
            pmt_pid: pid(unknown::PMT_PID),
        };
        let stream = PmtStream { pid: pid(unknown::VIDEO_PID), stream_type: unknown::H264, descriptors: &[] };
        let pmt = pmt_section(name.program_number, 0, Some(pid(unknown::PCR_PID)), &[], [stream]);
        self.name = Some(name);
        self.revise_pat(0);
        self.adopt(parsed(&pmt.expect("one stream fits a section")));
        unknown::CARRIED
    }

    /// PAT and PMT as they are now.
    pub(super) fn write(&mut self, signalled: bool, counters: &mut OutCounters, out: &mut Vec<u8>) {
        self.rewind();
        let Some(pmt_pid) = self.pmt_pid() else { return };
        let pmt = self.pmt.as_ref().map_or(&[][..], Pmt::section_bytes);
        for (section, pid) in [(self.pat.as_slice(), Pid::PAT), (pmt, pmt_pid)] {
            cut(section, pid, signalled, |packet| {
                let at = out.len();
                out.extend_from_slice(packet);
                out[at + 3] |= counters.next(pid).get();
            });
        }
    }

    /// The PAT in the place of a packet.
    pub(super) fn write_pat(&self, packet: &mut PacketBytes, counters: &mut OutCounters) {
        // The session's PAT has one programme: one packet.
        cut(&self.pat, Pid::PAT, false, |made| *packet = *made);
        packet[3] |= counters.next(Pid::PAT).get();
    }

    /// The next packet of the PMT in the place of a packet. False, and nothing written, when there is none.
    pub(super) fn write_pmt(&mut self, packet: &mut PacketBytes, counters: &mut OutCounters) -> bool {
        let Some(pid) = self.pmt_pid() else { return false };
        let Some(made) = self.packets.get(self.next) else { return false };
        *packet = *made;
        packet[3] |= counters.next(pid).get();
        self.next = (self.next + 1) % self.packets.len();
        true
    }
}

/// A table's new section, if anything but the version differs from the last one; its version is then the next one. `None`
/// when it cannot be built.
fn revised(
    last: &[u8],
    wanted_version: u8,
    build: impl Fn(u8) -> Option<SectionBuffer>,
) -> Option<Option<SectionBuffer>> {
    if last.is_empty() {
        return build(wanted_version).map(Some);
    }
    let version = version_of(last);
    if build(version)?.as_bytes() == last {
        return Some(None);
    }
    build((version + 1) & 0x1F).map(Some)
}

/// The version in a section.
fn version_of(section: &[u8]) -> u8 {
    section.get(5).map_or(0, |byte| (byte >> 1) & 0x1F)
}

fn parsed(section: &SectionBuffer) -> Pmt {
    let section = Section::parse(section.as_bytes()).expect("the CRC was made for it");
    Pmt::parse(section).expect("its lengths were made for it")
}

/// Cuts a section into packets without counters. The first may carry the discontinuity indicator, in an adaptation field
/// of nothing but flags.
fn cut(section: &[u8], pid: Pid, signalled: bool, mut sink: impl FnMut(&PacketBytes)) {
    let mut rest = section;
    let mut first = true;
    while !rest.is_empty() {
        let [high, low] = pid.get().to_be_bytes();
        let mut packet = [0xFF; PACKET_BYTES];
        packet[..4].copy_from_slice(&[SYNC_BYTE, high, low, 0x10]);
        let mut at = 4;
        if first {
            packet[1] |= 0x40;
            if signalled {
                packet[3] |= 0x20;
                packet[4..6].copy_from_slice(&[1, 0x80]);
                at = 6;
            }
            // The section begins right behind the pointer.
            packet[at] = 0;
            at += 1;
            first = false;
        }
        let (now, later) = rest.split_at(rest.len().min(PACKET_BYTES - at));
        packet[at..at + now.len()].copy_from_slice(now);
        sink(&packet);
        rest = later;
    }
}
