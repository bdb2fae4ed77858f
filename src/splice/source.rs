//! The tables of the current run's source, as far as its programme is concerned.

use crate::ts::psi::{Pat, Pmt, Programme, Section, SectionAssembler};
use crate::ts::{Packet, Pid};

/// Follows the PAT and the programme's PMT through a run.
pub(super) struct SourceTables {
    number: u16,
    pmt_pid: Pid,
    last: Vec<u8>,
    last_pat: Vec<u8>,
    pat: SectionAssembler,
    pmt: SectionAssembler,
}

/// What a PAT section has said.
pub(super) struct PatSeen {
    /// The section.
    pub(super) section: Vec<u8>,
    /// The transport stream.
    pub(super) transport_stream_id: u16,
    /// It lists no other programme.
    pub(super) alone: bool,
    /// Its version is that of the one before, and what it says is not.
    pub(super) contradicts: bool,
}

impl SourceTables {
    pub(super) fn new(programme: &Programme) -> Self {
        Self {
            number: programme.pmt.program_number,
            pmt_pid: programme.pmt_pid,
            last: programme.pmt.section_bytes().to_vec(),
            last_pat: Vec::new(),
            pat: SectionAssembler::new(),
            pmt: SectionAssembler::new(),
        }
    }

    pub(super) const fn pmt_pid(&self) -> Pid {
        self.pmt_pid
    }

    /// Takes a packet of the PAT's PID. Returns a section that lists the programme.
    pub(super) fn pat(&mut self, packet: Packet<'_>, intact: bool) -> Option<PatSeen> {
        let payload = packet.payload()?;
        let (number, pmt_pid, last) = (&mut self.number, &mut self.pmt_pid, &mut self.last_pat);
        let mut seen = None;
        self.pat.feed(payload, packet.payload_unit_start_indicator(), intact, |bytes| {
            let Ok(section) = Section::parse(bytes) else { return };
            let Ok(pat) = Pat::parse(section) else { return };
            if !section.current_next_indicator() {
                return;
            }
            let listed = pat.programmes().find(|(listed, _)| listed == number);
            let alone = section.last_section_number() == 0 && pat.programmes().nth(1).is_none();
            // A source that renumbers its only programme still has that one.
            let renumbered = || pat.programmes().next().filter(|_| alone);
            let Some((listed, pid)) = listed.or_else(renumbered) else { return };
            if pid.get() >= 0x10 && pid != Pid::NULL {
                (*number, *pmt_pid) = (listed, pid);
                let transport_stream_id = pat.transport_stream_id();
                let contradicts = is_of_same_version(last, bytes);
                let section = bytes.to_vec();
                last.clone_from(&section);
                seen = Some(PatSeen { section, transport_stream_id, alone, contradicts });
            }
        });
        seen
    }

    /// Takes a packet of the PMT's PID. Returns the programme's PMT when it is another one than before.
    pub(super) fn pmt(&mut self, packet: Packet<'_>, intact: bool) -> Option<Pmt> {
        let payload = packet.payload()?;
        let (number, last) = (self.number, &mut self.last);
        let mut changed = None;
        self.pmt.feed(payload, packet.payload_unit_start_indicator(), intact, |bytes| {
            if bytes == last.as_slice() {
                return;
            }
            let Ok(section) = Section::parse(bytes) else { return };
            if section.table_id_extension() != number || !section.current_next_indicator() {
                return;
            }
            if let Ok(pmt) = Pmt::parse(section) {
                last.clear();
                last.extend_from_slice(bytes);
                changed = Some(pmt);
            }
        });
        changed
    }
}

/// Whether two sections differ and receivers need not notice, because their versions do not.
pub(super) fn is_of_same_version(last: &[u8], section: &[u8]) -> bool {
    /// Where the version is, and the section's number behind it.
    const VERSION: std::ops::RangeInclusive<usize> = 5..=6;
    last != section && last.get(VERSION).is_some_and(|version| section.get(VERSION) == Some(version))
}
