//! What an independent reader of transport streams finds in generated ones, `ts` finds too.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use mpeg2ts_reader::demultiplex::{
    self, Demultiplex, DemuxContext, FilterChangeset, FilterRequest, PacketFilter, PatPacketFilter,
    PmtPacketFilter,
};
use mpeg2ts_reader::packet::Packet as OraclePacket;
use mpeg2ts_reader::pes::{ElementaryStreamConsumer, PesHeader, PesPacketFilter};
use mpeg2ts_reader::psi::pat::PAT_PID;
use proptest::prelude::*;
use tunerd::ts::psi::{PatProgramme, PmtStream, packetise, pat_section, pmt_section};
use tunerd::ts::{ContinuityCounter, Inspector, NULL_PACKET, PacketBytes, PacketMut, Pcr, Pid};

/// What either reader finds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    programmes: Vec<(u16, u16)>,
    pcr_pid: Option<u16>,
    streams: Vec<(u16, u8)>,
    pcrs: Vec<u64>,
    gaps: u64,
}

/// The oracle's context: it writes down what it is told.
#[derive(Default)]
struct Notes {
    changes: FilterChangeset<Filter>,
    findings: Findings,
}

impl DemuxContext for Notes {
    type F = Filter;

    fn filter_changeset(&mut self) -> &mut FilterChangeset<Filter> {
        &mut self.changes
    }

    fn construct(&mut self, request: FilterRequest<'_, '_>) -> Filter {
        match request {
            FilterRequest::ByPid(PAT_PID) => Filter::Pat(PatPacketFilter::default()),
            FilterRequest::Pmt { pid, program_number } => {
                self.findings.programmes.push((program_number, pid.into()));
                Filter::Pmt(PmtPacketFilter::new(pid, program_number))
            }
            FilterRequest::ByStream { pmt, stream_info, .. } => {
                let pcr_pid = u16::from(pmt.pcr_pid());
                let pid = u16::from(stream_info.elementary_pid());
                self.findings.pcr_pid = Some(pcr_pid);
                self.findings.streams.push((pid, stream_info.stream_type().0));
                Filter::Stream { pes: PesPacketFilter::new(Gaps), has_clock: pid == pcr_pid }
            }
            FilterRequest::ByPid(_) | FilterRequest::Nit { .. } => {
                Filter::Nothing(demultiplex::NullPacketFilter::default())
            }
        }
    }
}

enum Filter {
    Pat(PatPacketFilter<Notes>),
    Pmt(PmtPacketFilter<Notes>),
    Stream { pes: PesPacketFilter<Notes, Gaps>, has_clock: bool },
    Nothing(demultiplex::NullPacketFilter<Notes>),
}

impl PacketFilter for Filter {
    type Ctx = Notes;

    fn consume(&mut self, notes: &mut Notes, packet: &OraclePacket<'_>) {
        match self {
            Self::Pat(filter) => filter.consume(notes, packet),
            Self::Pmt(filter) => filter.consume(notes, packet),
            Self::Stream { pes, has_clock } => {
                let pcr = packet.adaptation_field().and_then(|field| field.pcr().ok());
                notes.findings.pcrs.extend(pcr.filter(|_| *has_clock).map(u64::from));
                pes.consume(notes, packet);
            }
            Self::Nothing(filter) => filter.consume(notes, packet),
        }
    }
}

struct Gaps;

impl ElementaryStreamConsumer<Notes> for Gaps {
    fn start_stream(&mut self, _notes: &mut Notes) {}
    fn begin_packet(&mut self, _notes: &mut Notes, _header: PesHeader<'_>) {}
    fn continue_packet(&mut self, _notes: &mut Notes, _data: &[u8]) {}
    fn end_packet(&mut self, _notes: &mut Notes) {}
    fn continuity_error(&mut self, notes: &mut Notes) {
        notes.findings.gaps += 1;
    }
}

fn by_the_oracle(packets: &[PacketBytes]) -> Findings {
    let mut notes = Notes::default();
    let mut demultiplexer = Demultiplex::new(&mut notes);
    demultiplexer.push(&mut notes, &packets.concat());
    notes.findings
}

fn by_the_inspector(packets: &[PacketBytes]) -> Findings {
    let mut inspector = Inspector::new();
    let mut findings = Findings::default();
    let mut last = None;
    for (packet, index) in packets.iter().zip(0u64..) {
        inspector.packet(index * 188, packet);
        if inspector.last_pcr() != last {
            last = inspector.last_pcr();
            findings.pcrs.extend(last.map(|sample| sample.pcr.ticks()));
        }
    }
    findings.gaps = inspector.counts().continuity_gaps;
    let programme = inspector.programme().unwrap();
    findings.programmes.push((programme.pmt.program_number, programme.pmt_pid.get()));
    findings.pcr_pid = programme.pmt.pcr_pid.map(Pid::get);
    findings.streams =
        programme.pmt.streams().iter().map(|stream| (stream.pid.get(), stream.stream_type)).collect();
    findings
}

/// A packet of an elementary stream and what happens to it.
#[derive(Clone, Copy, Debug)]
struct Step {
    stream: usize,
    unit_start: bool,
    pcr: Option<u64>,
    lost: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<usize>(), any::<bool>(), proptest::option::of(0..Pcr::MODULUS), 0..12u8)
        .prop_map(|(stream, unit_start, pcr, luck)| Step { stream, unit_start, pcr, lost: luck == 0 });
    proptest::collection::vec(step, 1..120)
}

fn pid(number: u16) -> Pid {
    Pid::new(number).unwrap()
}

/// Tables, then the packets of the steps.
fn generate(
    program_number: u16,
    stream_types: &[u8],
    descriptors: &[u8],
    steps: &[Step],
) -> Vec<PacketBytes> {
    let mut packets = Vec::new();
    let pmt_pid = pid(0x1000);
    let pat = pat_section(9, 3, &[PatProgramme { program_number, pmt_pid }]).unwrap();
    let streams = stream_types.iter().zip(0x100..).map(|(stream_type, number)| PmtStream {
        pid: pid(number),
        stream_type: *stream_type,
        descriptors,
    });
    let pmt = pmt_section(program_number, 5, Some(pid(0x100)), descriptors, streams).unwrap();
    packetise(&pat, Pid::PAT, ContinuityCounter::new(0), |packet| packets.push(*packet));
    packetise(&pmt, pmt_pid, ContinuityCounter::new(7), |packet| packets.push(*packet));

    let mut counters = BTreeMap::new();
    for step in steps {
        let stream = pid(0x100 + u16::try_from(step.stream % stream_types.len()).unwrap());
        let counter = counters.entry(stream).or_insert_with(|| ContinuityCounter::new(3));
        let mut bytes = NULL_PACKET;
        bytes[4..].fill(0x55);
        if let Some(ticks) = step.pcr {
            bytes[3] |= 0x20;
            bytes[4..6].copy_from_slice(&[7, 0x10]);
            bytes[6..12].copy_from_slice(&Pcr::from_ticks(ticks).to_field());
        }
        if step.unit_start {
            bytes[1] |= 0x40;
            let at = if step.pcr.is_some() { 12 } else { 4 };
            bytes[at..at + 9].copy_from_slice(&[0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0]);
        }
        let mut packet = PacketMut::parse(&mut bytes).unwrap();
        packet.set_pid(stream);
        packet.set_continuity_counter(*counter);
        *counter = counter.next();
        if !step.lost {
            packets.push(bytes);
        }
    }
    packets
}

proptest! {
    #[test]
    fn both_readers_find_the_same_tables_clocks_and_holes(
        program_number in 1..u16::MAX,
        mut stream_types in proptest::collection::vec(prop_oneof![
            Just(0x1Bu8), Just(0x24), Just(0x02), Just(0x0F), Just(0x81), Just(0x87), Just(0x06)], 0..12),
        language in any::<bool>(),
        steps in steps(),
    ) {
        stream_types.insert(0, 0x1B);
        let descriptors: &[u8] = if language { &[0x0A, 4, b'd', b'e', b'u', 0] } else { &[] };
        let packets = generate(program_number, &stream_types, descriptors, &steps);
        let found = by_the_inspector(&packets);
        prop_assert_eq!(&found, &by_the_oracle(&packets));
        prop_assert_eq!(found.streams.len(), stream_types.len());
    }
}
