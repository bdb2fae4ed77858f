//! Which programme a transport stream is watched for, and what it is made of now.

use crate::ts::codec::StreamKind;
use crate::ts::packet::{Packet, Pid};
use crate::ts::psi::build::{PatProgramme, pat_section};
use crate::ts::psi::capture::{TablePackets, TableReader};
use crate::ts::psi::pat::Pat;
use crate::ts::psi::pmt::Pmt;
use crate::ts::psi::section::{Section, SectionError};

/// Programmes of a PAT that are considered; further ones are left alone.
pub const PROGRAMMES_MAX: usize = 64;

/// A programme with video is chosen at its second PMT even while the PMT of an earlier programme is missing:
/// the PAT of a filtered stream often lists programmes that are not in it.
const VIDEO_PATIENCE: u32 = 2;
/// The same for a programme with audio alone, while another one might still show pictures.
const AUDIO_PATIENCE: u32 = 3;
/// The same for a programme with neither by its table: stream types that nobody here knows may be either.
const UNKNOWN_PATIENCE: u32 = 4;
/// A programme that was passed over has shown its PMT so often since, and no other has come.
const REJECTED_SIGHTINGS: u32 = 8;

/// The chosen programme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Programme {
    /// The transport stream, from the PAT.
    pub transport_stream_id: u16,
    /// The version of the PAT.
    pub pat_version: u8,
    /// The PAT lists this programme and no other.
    pub alone: bool,
    /// Where the PMT is.
    pub pmt_pid: Pid,
    /// What the programme is made of.
    pub pmt: Pmt,
}

/// Reads PAT and PMTs, chooses a programme and stays with it: the first one of the PAT that has video, else the
/// first that has audio; or the one that was asked for.
#[derive(Default)]
pub struct PsiTracker {
    pat: TableReader,
    maps: Vec<MapReader>,
    selection: Selection,
    /// A PAT of the chosen programme alone, when the stream's own says something else.
    own_pat: Option<TablePackets>,
}

/// Why a programme is passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// Its packets are scrambled.
    Scrambled,
    /// Its packets do not come, and those of others do.
    Missing,
}

/// The PMTs of one PID. Programmes may share it.
struct MapReader {
    pid: Pid,
    reader: TableReader,
    /// The programme whose packets the reader keeps.
    kept: u16,
}

impl PsiTracker {
    /// A tracker that chooses the programme of this number and no other, if one is given.
    #[must_use]
    pub fn wanting(number: Option<u16>) -> Self {
        Self { selection: Selection { wanted: number, ..Selection::default() }, ..Self::default() }
    }

    /// The programme that was asked for, and those that the PAT lists instead. `None` while it may yet be there.
    #[must_use]
    pub fn absent(&self) -> Option<(u16, Vec<u16>)> {
        let Selection { wanted, entries, complete, .. } = &self.selection;
        let wanted = (*wanted)?;
        let is_listed = entries.iter().any(|entry| entry.number == wanted);
        (*complete && !is_listed).then(|| (wanted, entries.iter().map(|entry| entry.number).collect()))
    }

    /// The chosen programme cannot be shown: another one is chosen, if there is one.
    pub fn reject(&mut self, why: Unfit) {
        let Some(programme) = self.selection.programme.take() else { return };
        let number = programme.pmt.program_number;
        self.selection.changes += 1;
        self.selection.number = None;
        self.selection.listed = true;
        self.selection.candidates.clear();
        self.selection.rejected.push(Rejected { number, why, sightings: 0 });
        if self.selection.are_all_rejected() && !self.is_scrambled() {
            // None of them comes: whichever does first is taken.
            self.selection.rejected.clear();
        }
        self.own_pat = None;
        self.follow_selection();
    }

    /// Every programme there is was passed over, and at least one because it is scrambled.
    #[must_use]
    pub fn is_scrambled(&self) -> bool {
        let scrambled = |rejected: &Rejected| rejected.why == Unfit::Scrambled;
        self.selection.programme.is_none()
            && self.selection.are_all_rejected()
            && self.selection.rejected.iter().any(scrambled)
    }

    /// Whether the payload of a packet begins a PMT, while no PAT has listed any.
    #[must_use]
    pub fn is_unlisted_map(&self, packet: Packet<'_>) -> bool {
        let Some([0, Pmt::TABLE_ID, flags, _, high, low, ..]) = packet.payload() else { return false };
        let is_open = self.selection.programme.is_none()
            && (self.selection.entries.is_empty() || self.selection.is_unlisted)
            && self.selection.entries.len() < PROGRAMMES_MAX;
        let number = u16::from_be_bytes([*high, *low]);
        is_open && packet.payload_unit_start_indicator() && flags & 0xF0 == 0xB0 && number != 0
    }

    /// Reads the PMTs on the PID of a packet for which [`PsiTracker::is_unlisted_map`] is true.
    pub fn take_unlisted(&mut self, packet: Packet<'_>) {
        let Some([_, _, _, _, high, low, ..]) = packet.payload() else { return };
        let number = u16::from_be_bytes([*high, *low]);
        self.selection.is_unlisted = true;
        self.selection.list(PatEntry { number, pmt_pid: packet.pid() });
        self.selection.listed = true;
        self.follow_selection();
    }

    /// Whether packets of a PID are to be handed to [`PsiTracker::packet`].
    #[must_use]
    pub fn handles(&self, pid: Pid) -> bool {
        pid == Pid::PAT || self.maps.iter().any(|map| map.pid == pid)
    }

    /// Takes a packet of PSI. `intact` says that none is missing before it on its PID. True when the chosen programme
    /// is another one than before, or is made of something else.
    pub fn packet(&mut self, packet: Packet<'_>, intact: bool) -> bool {
        let changes = self.selection.changes;
        let pid = packet.pid();
        if pid == Pid::PAT {
            self.pat.packet(packet, intact, |section| self.selection.take_pat(section));
        } else if let Some(map) = self.maps.iter_mut().find(|map| map.pid == pid) {
            let selection = &mut self.selection;
            let kept = &mut map.kept;
            map.reader.packet(packet, intact, |section| match selection.take_pmt(pid, section) {
                Some(number) => {
                    *kept = number;
                    true
                }
                None => false,
            });
            self.selection.choose();
        }
        self.follow_selection();
        let changed = changes != self.selection.changes;
        if changed {
            self.own_pat = self.programme().filter(|programme| !programme.alone).and_then(own_pat);
        }
        changed
    }

    /// The chosen programme, once its PMT is known.
    #[must_use]
    pub const fn programme(&self) -> Option<&Programme> {
        self.selection.programme.as_ref()
    }

    /// The packets of a PAT that lists the programme and no other: the stream's, if it does.
    #[must_use]
    pub fn pat_packets(&self) -> &TablePackets {
        self.own_pat.as_ref().unwrap_or_else(|| self.pat.packets())
    }

    /// The packets of the programme's last PMT.
    #[must_use]
    pub fn pmt_packets(&self) -> Option<&TablePackets> {
        let programme = self.programme()?;
        let map = self.maps.iter().find(|map| map.pid == programme.pmt_pid)?;
        Some(map.reader.packets())
    }

    /// Sections that were malformed or whose CRC was wrong.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub fn errors(&self) -> u64 {
        let maps: u64 = self.maps.iter().map(|map| map.reader.malformed()).sum();
        self.selection.errors + self.pat.malformed() + maps
    }

    /// Reads the PMT PIDs that the selection needs and no other.
    fn follow_selection(&mut self) {
        let Selection { programme, entries, listed, .. } = &mut self.selection;
        if let Some(programme) = programme {
            if self.maps.len() > 1 {
                self.maps.retain(|map| map.pid == programme.pmt_pid);
                for map in &mut self.maps {
                    // On a shared PID the last PMT may have been another programme's.
                    if map.kept != programme.pmt.program_number {
                        map.reader.forget();
                    }
                }
            }
        } else if std::mem::take(listed) {
            self.maps.retain(|map| entries.iter().any(|entry| entry.pmt_pid == map.pid));
            for entry in entries.iter() {
                if !self.maps.iter().any(|map| map.pid == entry.pmt_pid) {
                    self.maps.push(MapReader { pid: entry.pmt_pid, reader: TableReader::default(), kept: 0 });
                }
            }
        }
    }
}

/// The PAT of a programme alone.
fn own_pat(programme: &Programme) -> Option<TablePackets> {
    let listed = PatProgramme { program_number: programme.pmt.program_number, pmt_pid: programme.pmt_pid };
    let section = pat_section(programme.transport_stream_id, programme.pat_version, &[listed]).ok()?;
    Some(TablePackets::made(&section, Pid::PAT))
}

/// An entry of the PAT.
#[derive(Clone, Copy, PartialEq, Eq)]
struct PatEntry {
    number: u16,
    pmt_pid: Pid,
}

/// A programme that might be chosen.
struct ProgrammeCandidate {
    pmt: Pmt,
    seen: u32,
}

/// A programme that was passed over.
struct Rejected {
    number: u16,
    why: Unfit,
    /// Its PMTs since.
    sightings: u32,
}

#[derive(Default)]
struct Selection {
    /// The only programme that may be chosen.
    wanted: Option<u16>,
    rejected: Vec<Rejected>,
    /// Every section of the PAT has been seen.
    complete: bool,
    /// There are programmes, but no PAT has listed them.
    is_unlisted: bool,
    transport_stream_id: u16,
    version: u8,
    entries: Vec<PatEntry>,
    /// The section that comes next if the sections of the PAT come in order.
    next_section: u16,
    /// The entries may have changed since the readers were last fitted to them.
    listed: bool,
    candidates: Vec<ProgrammeCandidate>,
    programme: Option<Programme>,
    /// The programme to return to after its PMT has moved to another PID.
    number: Option<u16>,
    changes: u64,
    errors: u64,
}

impl Selection {
    /// Takes a section from the PAT's PID. True when its packets are worth keeping.
    fn take_pat(&mut self, bytes: &[u8]) -> bool {
        let Some(section) = self.checked(bytes) else { return false };
        let Ok(pat) = Pat::parse(section) else { return false };
        let (id, version) = (pat.transport_stream_id(), section.version_number());
        if (self.is_unlisted || self.programme.is_none()) && pat.programmes().next().is_none() {
            // Only where the network's table is: it says nothing of programmes.
            return false;
        }
        let another = (id, version) != (self.transport_stream_id, self.version) || self.is_unlisted;
        self.is_unlisted = false;
        (self.transport_stream_id, self.version) = (id, version);
        if another || section.last_section_number() == 0 {
            self.entries.clear();
            self.next_section = 0;
        }
        if another {
            self.candidates.clear();
            self.rejected.clear();
        }
        for (number, pmt_pid) in pat.programmes() {
            self.list(PatEntry { number, pmt_pid });
        }
        if u16::from(section.section_number()) == self.next_section {
            self.next_section += 1;
        }
        self.complete = self.next_section > u16::from(section.last_section_number());
        self.listed = true;
        self.recheck(self.complete);
        self.programme.as_ref().is_none_or(|programme| {
            pat.programmes().any(|(number, _)| number == programme.pmt.program_number)
        })
    }

    fn list(&mut self, entry: PatEntry) {
        // Below 0x10 are the tables of the standard itself.
        if entry.pmt_pid.get() < 0x10 || entry.pmt_pid == Pid::NULL {
            return;
        }
        if let Some(known) = self.entries.iter_mut().find(|known| known.number == entry.number) {
            *known = entry;
        } else if self.entries.len() < PROGRAMMES_MAX {
            self.entries.push(entry);
        }
    }

    /// Whether the PAT lists one programme.
    fn is_alone(&self) -> bool {
        self.entries.len() <= 1 && self.complete && !self.is_unlisted
    }

    fn are_all_rejected(&self) -> bool {
        let is_rejected = |entry: &PatEntry| self.rejected.iter().any(|known| known.number == entry.number);
        let is_wanted = |entry: &&PatEntry| self.wanted.is_none_or(|wanted| wanted == entry.number);
        let never_come = |known: &Rejected| known.sightings >= REJECTED_SIGHTINGS;
        !self.rejected.is_empty()
            && (self.entries.iter().filter(is_wanted).all(is_rejected)
                || self.rejected.iter().all(never_come))
    }

    /// Looks whether the chosen programme is still where it was.
    fn recheck(&mut self, complete: bool) {
        if let Some(number) = self.number {
            let alone = self.is_alone();
            let entry = self.entries.iter().find(|entry| entry.number == number);
            if entry.is_none() && complete {
                self.number = None;
                self.drop_programme();
            } else if let (Some(entry), Some(programme)) = (entry, &mut self.programme) {
                if entry.pmt_pid != programme.pmt_pid {
                    self.drop_programme();
                } else if (programme.transport_stream_id, programme.pat_version, programme.alone)
                    != (self.transport_stream_id, self.version, alone)
                {
                    programme.alone = alone;
                    programme.transport_stream_id = self.transport_stream_id;
                    programme.pat_version = self.version;
                    self.changes += 1;
                }
            }
        }
    }

    fn drop_programme(&mut self) {
        self.candidates.clear();
        if self.programme.take().is_some() {
            self.changes += 1;
        }
    }

    /// Takes a section from a PMT's PID. Returns the programme whose PMT it is, when its packets are worth keeping.
    fn take_pmt(&mut self, pid: Pid, bytes: &[u8]) -> Option<u16> {
        let section = self.checked(bytes)?;
        if section.table_id() != Pmt::TABLE_ID {
            return None;
        }
        let number = section.table_id_extension();
        if !self.entries.contains(&PatEntry { number, pmt_pid: pid }) {
            return None;
        }
        if let Some(rejected) = self.rejected.iter_mut().find(|known| known.number == number) {
            rejected.sightings = rejected.sightings.saturating_add(1);
            return None;
        }
        if let Some(programme) = &self.programme {
            if programme.pmt.program_number != number {
                return None;
            }
            if programme.pmt.section_bytes() == bytes {
                return Some(number);
            }
        } else if let Some(known) =
            self.candidates.iter_mut().find(|known| known.pmt.section_bytes() == bytes)
        {
            known.seen += 1;
            return Some(number);
        }
        let pmt = self.counted(Pmt::parse(section))?;
        if let Some(programme) = &mut self.programme {
            programme.pmt = pmt;
            self.changes += 1;
        } else if let Some(known) =
            self.candidates.iter_mut().find(|known| known.pmt.program_number == number)
        {
            *known = ProgrammeCandidate { pmt, seen: known.seen + 1 };
        } else {
            self.candidates.push(ProgrammeCandidate { pmt, seen: 1 });
        }
        Some(number)
    }

    /// Chooses, once enough is known.
    fn choose(&mut self) {
        if self.programme.is_some() {
            return;
        }
        let Some(entry) = self.choice() else { return };
        let index = self.candidates.iter().position(|known| known.pmt.program_number == entry.number);
        let candidate = self.candidates.swap_remove(index.expect("the choice is among the candidates"));
        self.candidates.clear();
        self.number = Some(entry.number);
        self.programme = Some(Programme {
            transport_stream_id: self.transport_stream_id,
            pat_version: self.version,
            alone: self.is_alone(),
            pmt_pid: entry.pmt_pid,
            pmt: candidate.pmt,
        });
        self.changes += 1;
    }

    fn choice(&self) -> Option<PatEntry> {
        let (mut audio, mut unknown) = (None, None);
        let mut all_known = true;
        let may_be = |entry: &&PatEntry| {
            [self.number, self.wanted].into_iter().flatten().all(|number| number == entry.number)
                && !self.rejected.iter().any(|known| known.number == entry.number)
        };
        for entry in self.entries.iter().filter(may_be) {
            let candidate = self.candidates.iter().find(|known| known.pmt.program_number == entry.number);
            let Some(candidate) = candidate else {
                all_known = false;
                continue;
            };
            let found = Some((*entry, candidate.seen));
            if candidate.pmt.first(StreamKind::Video).is_some() {
                return (all_known || candidate.seen >= VIDEO_PATIENCE).then_some(*entry);
            } else if candidate.pmt.first(StreamKind::Audio).is_some() {
                audio = audio.or(found);
            } else if !candidate.pmt.streams().is_empty() {
                unknown = unknown.or(found);
            }
        }
        let audio = audio.filter(|(_, seen)| all_known || *seen >= AUDIO_PATIENCE);
        let unknown = unknown.filter(|(_, seen)| *seen >= UNKNOWN_PATIENCE);
        audio.or(unknown).map(|(entry, _)| entry)
    }

    /// A section that is in force and whose CRC is right.
    fn checked<'buf>(&mut self, bytes: &'buf [u8]) -> Option<Section<'buf>> {
        self.counted(Section::parse(bytes)).filter(|section| section.current_next_indicator())
    }

    /// Counts an error. Sections of other forms are no errors: they are other people's tables.
    fn counted<T>(&mut self, result: Result<T, SectionError>) -> Option<T> {
        if matches!(result, Err(SectionError::Crc | SectionError::Length)) {
            self.errors += 1;
        }
        result.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::testing::{Stream, section};

    fn pat(version: u8, programmes: &[(u16, u16)]) -> Vec<u8> {
        let body: Vec<u8> = programmes
            .iter()
            .flat_map(|(number, pid)| [number.to_be_bytes(), (0xE000 | pid).to_be_bytes()].concat())
            .collect();
        section(0x00, 1, version, &body)
    }

    fn pmt(number: u16, version: u8, stream_types: &[u8]) -> Vec<u8> {
        let mut body = vec![0xE1, 0x00, 0xF0, 0x00];
        for (stream_type, pid) in stream_types.iter().zip(0u8..) {
            body.extend([*stream_type, 0xE1, pid, 0xF0, 0x00]);
        }
        section(0x02, number, version, &body)
    }

    /// Feeds sections by PID and tells which programme is chosen after each.
    fn chosen(tracker: &mut PsiTracker, sections: &[(u16, Vec<u8>)]) -> Vec<Option<u16>> {
        sections
            .iter()
            .map(|(pid, section)| {
                let mut stream = Stream::default();
                stream.push_section(*pid, section);
                for bytes in &stream.packets {
                    let packet = Packet::parse(bytes).unwrap();
                    if tracker.handles(packet.pid()) {
                        tracker.packet(packet, true);
                    }
                }
                tracker.programme().map(|programme| programme.pmt.program_number)
            })
            .collect()
    }

    const VIDEO: &[u8] = &[0x1B, 0x0F];
    const AUDIO: &[u8] = &[0x0F];
    const DATA: &[u8] = &[0x05];

    #[test]
    fn the_first_programme_with_pictures_is_chosen() {
        let listed = || (0, pat(0, &[(1, 0x20), (2, 0x21), (3, 0x22)]));
        type Case = (&'static str, Vec<(u16, Vec<u8>)>, Vec<Option<u16>>);
        let table: Vec<Case> = vec![
            (
                "a single one at once",
                vec![(0, pat(0, &[(7, 0x20)])), (0x20, pmt(7, 0, VIDEO))],
                vec![None, Some(7)],
            ),
            ("a radio alone", vec![(0, pat(0, &[(7, 0x20)])), (0x20, pmt(7, 0, AUDIO))], vec![None, Some(7)]),
            (
                "data is no programme",
                vec![(0, pat(0, &[(7, 0x20)])), (0x20, pmt(7, 0, DATA))],
                vec![None, None],
            ),
            (
                "in the order of the PAT, not of arrival",
                vec![listed(), (0x21, pmt(2, 0, VIDEO)), (0x20, pmt(1, 0, VIDEO))],
                vec![None, None, Some(1)],
            ),
            (
                "without waiting for ever",
                vec![listed(), (0x22, pmt(3, 0, VIDEO)), (0x22, pmt(3, 0, VIDEO))],
                vec![None, None, Some(3)],
            ),
            (
                "pictures before sound",
                vec![listed(), (0x20, pmt(1, 0, AUDIO)), (0x21, pmt(2, 0, DATA)), (0x22, pmt(3, 0, VIDEO))],
                vec![None, None, None, Some(3)],
            ),
            (
                "sound when there is nothing else",
                vec![listed(), (0x20, pmt(1, 0, AUDIO)), (0x21, pmt(2, 0, DATA)), (0x22, pmt(3, 0, AUDIO))],
                vec![None, None, None, Some(1)],
            ),
            (
                "sound after some patience",
                vec![listed(), (0x21, pmt(2, 0, AUDIO)), (0x21, pmt(2, 0, AUDIO)), (0x21, pmt(2, 0, AUDIO))],
                vec![None, None, None, Some(2)],
            ),
            (
                "only what the PAT lists, where it lists it",
                vec![listed(), (0x20, pmt(9, 0, VIDEO)), (0x21, pmt(1, 0, VIDEO)), (0x23, pmt(1, 0, VIDEO))],
                vec![None, None, None, None],
            ),
        ];
        for (name, sections, expected) in table {
            assert_eq!(chosen(&mut PsiTracker::default(), &sections), expected, "{name}");
        }
    }

    #[test]
    fn programmes_may_share_a_pid_and_only_the_chosen_ones_packets_are_kept() {
        let mut tracker = PsiTracker::default();
        let shared = [
            (0, pat(0, &[(1, 0x20), (2, 0x20), (3, 0x21)])),
            (0x20, pmt(2, 0, VIDEO)),
            (0x20, pmt(1, 0, DATA)),
        ];
        assert_eq!(chosen(&mut tracker, &shared), [None, None, Some(2)]);
        assert!(
            tracker.pmt_packets().unwrap().as_slice().is_empty(),
            "the last PMT on the PID was another programme's"
        );
        assert_eq!(chosen(&mut tracker, &[(0x20, pmt(2, 0, VIDEO)), (0x20, pmt(1, 0, DATA))]), [Some(2); 2]);
        let kept = tracker.pmt_packets().unwrap();
        assert_eq!(kept.as_slice()[0][8..10], [0, 2]);
    }

    #[test]
    fn a_chosen_programme_is_kept_through_its_changes() {
        let mut tracker = PsiTracker::default();
        let start =
            [(0, pat(0, &[(1, 0x20), (2, 0x21)])), (0x20, pmt(1, 0, AUDIO)), (0x21, pmt(2, 0, VIDEO))];
        assert_eq!(chosen(&mut tracker, &start), [None, None, Some(2)]);
        // It loses its pictures, and another one gets some.
        assert_eq!(chosen(&mut tracker, &[(0x21, pmt(2, 1, AUDIO)), (0x20, pmt(1, 1, VIDEO))]), [Some(2); 2]);
        assert_eq!(tracker.programme().unwrap().pmt.version, 1);
        // Its PMT moves.
        let moved =
            [(0, pat(1, &[(1, 0x20), (2, 0x30)])), (0x20, pmt(1, 1, VIDEO)), (0x30, pmt(2, 1, AUDIO))];
        assert_eq!(chosen(&mut tracker, &moved), [None, None, Some(2)]);
        assert_eq!(tracker.programme().unwrap().pmt_pid.get(), 0x30);
        // It is gone.
        assert_eq!(
            chosen(&mut tracker, &[(0, pat(2, &[(1, 0x20)])), (0x20, pmt(1, 1, VIDEO))]),
            [None, Some(1)]
        );
    }

    #[test]
    fn only_real_changes_are_reported() {
        let mut tracker = PsiTracker::default();
        let mut stream = Stream::default();
        let sections = [
            (0, pat(0, &[(1, 0x20)]), false),
            (0x20, pmt(1, 0, VIDEO), true),
            (0x20, pmt(1, 0, VIDEO), false),
            (0, pat(0, &[(1, 0x20)]), false),
            (0x20, pmt(1, 1, AUDIO), true),
            (0, pat(1, &[(1, 0x20)]), true),
        ];
        for (index, (pid, section, changed)) in sections.into_iter().enumerate() {
            stream.push_section(pid, &section);
            let packet = stream.packets.last().unwrap();
            assert_eq!(tracker.packet(Packet::parse(packet).unwrap(), true), changed, "section {index}");
        }
    }

    #[test]
    fn a_table_with_a_wrong_crc_or_not_yet_in_force_changes_nothing() {
        let mut tracker = PsiTracker::default();
        let mut damaged = pmt(1, 0, VIDEO);
        damaged[10] ^= 1;
        let mut later = pmt(1, 0, VIDEO);
        later[5] &= !1;
        let crc_at = later.len() - 4;
        let crc = crate::ts::crc::crc32(&later[..crc_at]);
        later[crc_at..].copy_from_slice(&crc.to_be_bytes());
        let sections = [(0, pat(0, &[(1, 0x20)])), (0x20, damaged), (0x20, later)];
        assert_eq!(chosen(&mut tracker, &sections), [None; 3]);
        assert_eq!(tracker.errors(), 1);
    }
}
