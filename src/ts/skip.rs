//! What belongs to an entry point besides its bytes: the tables that were in force before it and the counters
//! that what follows will continue.

use std::hash::{DefaultHasher, Hash, Hasher};

#[cfg(test)]
use crate::base::limits::{PACKET_BYTES, PSI_PACKETS_MAX};
use crate::ts::clock_ref::Pcr;
use crate::ts::continuity::ContinuityTable;
use crate::ts::packet::{ContinuityCounter, Packet, PacketBytes, Pid, discontinuity_packet};
use crate::ts::psi::{Programme, PsiTracker, STREAMS_MAX, TablePackets};

/// The streams of a programme and its clock, which may have a PID of its own.
const COUNTERS_MAX: usize = STREAMS_MAX + 1;

/// The most bytes [`write_join`] adds.
#[cfg(test)]
const JOIN_BYTES_MAX: usize = 2 * PSI_PACKETS_MAX * PACKET_BYTES;
/// The most bytes [`write_skip`] adds: a packet for every PID, then the tables.
#[cfg(test)]
pub(super) const SKIP_BYTES_MAX: usize = JOIN_BYTES_MAX + (2 + COUNTERS_MAX) * PACKET_BYTES;

/// The last counter of a PID before an entry point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PidCounter {
    /// The PID.
    pub pid: Pid,
    /// The counter that its next packet with payload will follow.
    pub counter: ContinuityCounter,
}

const NO_COUNTER: PidCounter = PidCounter { pid: Pid::NULL, counter: ContinuityCounter::new(0) };

/// A table in force, and the last counter on its PID.
#[derive(Clone, Debug)]
struct Table {
    at: PidCounter,
    packets: TablePackets,
}

impl Table {
    fn new(pid: Pid, packets: TablePackets, continuity: &ContinuityTable) -> Self {
        // A table's packets were seen, so its PID has a counter; without packets it does not matter.
        Self { at: PidCounter { pid, counter: continuity.last(pid).unwrap_or_default() }, packets }
    }

    /// The counter before that of the first packet when the last one is to have the counter on the PID.
    fn counter_before(&self) -> ContinuityCounter {
        self.at.counter.before(self.packets.as_slice().len())
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut counter = self.counter_before();
        for packet in self.packets.as_slice() {
            counter = counter.next();
            let at = out.len();
            out.extend_from_slice(packet);
            // Unchanged when the table was the last thing on its PID, which is the rule.
            out[at + 3] = (packet[3] & 0xF0) | counter.get();
        }
    }
}

/// What was true just before the first packet of an entry point. Small, and shares the packets of the tables:
/// a copy asks for no memory.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pat: Table,
    pmt: Table,
    pcr_pid: Option<Pid>,
    pcr: Option<Pcr>,
    counters: [PidCounter; COUNTERS_MAX],
    counters_used: usize,
    /// What the programme is made of, in short.
    make_up: u64,
}

fn make_up(programme: &Programme) -> u64 {
    let mut hasher = DefaultHasher::new();
    (programme.pmt_pid.get(), programme.pmt.pcr_pid.map(Pid::get)).hash(&mut hasher);
    for stream in programme.pmt.streams() {
        (stream.pid.get(), stream.stream_type).hash(&mut hasher);
    }
    hasher.finish()
}

impl Snapshot {
    /// The state before `packet`, with which an entry point may begin. `pcr` is the programme's clock at it. `None` before a
    /// programme is known.
    pub(crate) fn before(
        packet: Packet<'_>,
        psi: &PsiTracker,
        continuity: &ContinuityTable,
        pcr: Option<Pcr>,
    ) -> Option<Self> {
        let programme = psi.programme()?;
        let pmt = &programme.pmt;
        let mut snapshot = Self {
            pat: Table::new(Pid::PAT, psi.pat_packets().clone(), continuity),
            pmt: Table::new(programme.pmt_pid, psi.pmt_packets().cloned().unwrap_or_default(), continuity),
            pcr_pid: pmt.pcr_pid,
            pcr,
            counters: [NO_COUNTER; COUNTERS_MAX],
            counters_used: 0,
            make_up: make_up(programme),
        };
        for pid in pmt.streams().iter().map(|stream| stream.pid).chain(pmt.pcr_pid) {
            let counter = if pid == packet.pid() {
                // The packet itself is counted already. What it follows is what it says it follows.
                Some(packet.continuity_counter().before(1))
            } else {
                continuity.last(pid)
            };
            let listed = pid == Pid::PAT
                || pid == programme.pmt_pid
                || snapshot.counters().iter().any(|known| known.pid == pid);
            if let (Some(counter), false) = (counter, listed) {
                snapshot.counters[snapshot.counters_used] = PidCounter { pid, counter };
                snapshot.counters_used += 1;
            }
        }
        Some(snapshot)
    }

    /// The PAT's packets as they came.
    #[must_use]
    #[cfg(test)]
    pub fn pat_packets(&self) -> &[PacketBytes] {
        self.pat.packets.as_slice()
    }

    /// The PMT's packets as they came.
    #[must_use]
    #[cfg(test)]
    pub fn pmt_packets(&self) -> &[PacketBytes] {
        self.pmt.packets.as_slice()
    }

    /// True when the programme is made of the same streams as before the other entry point, each of the same kind and on the same PID.
    #[must_use]
    pub const fn has_programme_of(&self, other: &Self) -> bool {
        self.make_up == other.make_up
    }

    /// The counters of the programme's PIDs, tables left out.
    #[must_use]
    pub fn counters(&self) -> &[PidCounter] {
        &self.counters[..self.counters_used]
    }

    /// The programme's clock at the entry point, as far as it can be told.
    #[must_use]
    pub const fn pcr(&self) -> Option<Pcr> {
        self.pcr
    }

    fn discontinuity(&self, pid: Pid, counter: ContinuityCounter) -> PacketBytes {
        discontinuity_packet(pid, counter, if Some(pid) == self.pcr_pid { self.pcr } else { None })
    }
}

/// Adds what a viewer gets before its first entry point: PAT and PMT, with counters that what follows continues.
/// At most `JOIN_BYTES_MAX` bytes.
pub fn write_join(snapshot: &Snapshot, out: &mut Vec<u8>) {
    snapshot.pat.write(out);
    snapshot.pmt.write(out);
}

/// Adds what a viewer gets that is moved to an entry point from elsewhere in the stream: a discontinuity on every PID of the
/// programme, on the clock's PID with the new time, then PAT and PMT. At most `SKIP_BYTES_MAX` bytes.
///
/// A packet without payload does not advance its counter (ISO/IEC 13818-1, 2.4.3.3), so each of these has the
/// counter that the next packet with payload follows.
pub fn write_skip(snapshot: &Snapshot, out: &mut Vec<u8>) {
    for table in [&snapshot.pat, &snapshot.pmt] {
        out.extend_from_slice(&snapshot.discontinuity(table.at.pid, table.counter_before()));
    }
    for PidCounter { pid, counter } in snapshot.counters() {
        out.extend_from_slice(&snapshot.discontinuity(*pid, *counter));
    }
    write_join(snapshot, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::continuity::Continuity;
    use crate::ts::continuity::PayloadDigest;
    use crate::ts::inspector::{EntryPoint, Inspector};
    use crate::ts::packet::AdaptationField;
    use crate::ts::testing::{Fields, Stream, pes, pmt, programme};

    const VIDEO: Fields = Fields { pid: 0x100, ..Fields::NONE };
    const AUDIO: Fields = Fields { pid: 0x101, ..Fields::NONE };
    const IDR: &[u8] = &[0, 0, 1, 0x67, 1, 0x80, 0, 0, 1, 0x68, 1, 0x80, 0, 0, 1, 0x65, 0x88, 0x80];

    /// Tables, some pictures and sound, an entry point in the middle, more of the same.
    fn stream() -> (Stream, EntryPoint) {
        let mut stream = programme(&[0x1B, 0x0F, 0x06]);
        let pat = stream.packets[0][5..].to_vec();
        for round in 0..20u64 {
            if round % 3 == 0 {
                stream.push(Fields { unit_start: true, ..Fields::NONE }, &[&[0], &pat[..100]].concat());
                stream.push_section(0x1000, &pmt(0, &[0x1B, 0x0F, 0x06]));
            }
            let pcr = Some(Pcr::from_ticks(round * 1_080_000));
            let data = if round == 10 { IDR } else { &[0, 0, 1, 0x41, 0x9A] };
            let picture = pes(0xE0, None, &[data, &[5; 700]].concat());
            stream.push_pes(Fields { pcr, ..VIDEO }, &picture, 184);
            stream.push_pes(AUDIO, &pes(0xC0, None, &[6; 300]), 184);
        }
        let entry = inspect(&stream.packets).pop().unwrap();
        (stream, entry)
    }

    fn inspect(packets: &[PacketBytes]) -> Vec<EntryPoint> {
        let mut inspector = Inspector::new();
        let mut found = Vec::new();
        for (packet, index) in packets.iter().zip(0u64..) {
            inspector.packet(index * 188, packet);
            found.extend(inspector.take_entry_point());
        }
        found
    }

    fn packets(bytes: &[u8]) -> Vec<PacketBytes> {
        bytes.chunks(PACKET_BYTES).map(|packet| packet.try_into().unwrap()).collect()
    }

    /// The packets from an entry point on.
    fn from<'a>(stream: &'a Stream, entry: &EntryPoint) -> &'a [PacketBytes] {
        &stream.packets[usize::try_from(entry.position).unwrap() / PACKET_BYTES..]
    }

    /// How every packet's counter fits the ones before.
    fn verdicts(packets: &[PacketBytes]) -> Vec<Continuity> {
        let mut table = ContinuityTable::new();
        packets
            .iter()
            .map(|packet| table.check(Packet::parse(packet).unwrap(), PayloadDigest::of(packet)))
            .collect()
    }

    #[test]
    fn a_joining_viewer_gets_the_tables_first_and_no_hole() {
        let (stream, entry) = stream();
        let mut joined = Vec::new();
        write_join(&entry.snapshot, &mut joined);
        assert!(joined.len() <= JOIN_BYTES_MAX);
        let mut received = packets(&joined);
        let pids: Vec<_> = received.iter().map(|packet| Packet::parse(packet).unwrap().pid().get()).collect();
        assert_eq!(pids, [0, 0x1000]);
        received.extend(from(&stream, &entry));
        assert!(verdicts(&received).iter().all(|verdict| *verdict == Continuity::Fits));
        assert_eq!(
            inspect(&received)[0].position,
            2 * 188,
            "the picture is the first thing behind the tables"
        );
    }

    #[test]
    fn a_viewer_that_skips_sees_every_hole_signalled() {
        let (stream, entry) = stream();
        for leaves_after in [3, 9, 10, 17, 25] {
            let mut received = stream.packets[..leaves_after].to_vec();
            let mut skip = Vec::new();
            write_skip(&entry.snapshot, &mut skip);
            assert!(skip.len() <= SKIP_BYTES_MAX);
            received.extend(packets(&skip));
            received.extend(from(&stream, &entry));
            let verdicts = verdicts(&received);
            assert!(!verdicts.contains(&Continuity::Gap), "after {leaves_after} packets: {verdicts:?}");
            assert!(verdicts.contains(&Continuity::Signalled));
        }
    }

    #[test]
    fn the_clocks_discontinuity_carries_the_new_time() {
        let (_, entry) = stream();
        let mut skip = Vec::new();
        write_skip(&entry.snapshot, &mut skip);
        let found: Vec<_> = packets(&skip)
            .iter()
            .map(|packet| {
                let packet = Packet::parse(packet).unwrap();
                let field = packet.adaptation_field();
                (
                    packet.pid().get(),
                    packet.has_payload(),
                    field.is_some_and(AdaptationField::discontinuity_indicator),
                    field.and_then(AdaptationField::pcr),
                )
            })
            .collect();
        let expected = [
            (0, false, true, None),
            (0x1000, false, true, None),
            (0x100, false, true, Some(Pcr::from_ticks(10_800_000))),
            (0x101, false, true, None),
            (0, true, false, None),
            (0x1000, true, false, None),
        ];
        assert_eq!(found, expected);
        assert_eq!(entry.snapshot.pcr(), Some(Pcr::from_ticks(10_800_000)));
    }

    #[test]
    fn tables_are_those_in_force_at_the_entry_point_not_later_ones() {
        let mut stream = programme(&[0x1B]);
        let start = stream.position();
        let picture = pes(0xE0, None, &[&[5; 100], IDR].concat());
        stream.push(Fields { unit_start: true, ..VIDEO }, &picture[..50]);
        stream.push_section(0x1000, &pmt(1, &[0x1B, 0x0F]));
        stream.push(VIDEO, &picture[50..]);
        let found = inspect(&stream.packets);
        assert_eq!(found[0].position, start);
        assert_eq!(found[0].snapshot.pmt_packets(), &stream.packets[1..2]);
        assert_eq!(found[0].snapshot.pat_packets(), &stream.packets[..1]);
    }
}
