//! Bytes per second through alignment and inspection of a 4 MiB stream: nine tenths video, some audio, tables
//! and null packets, an IDR picture every 2 MiB.

use divan::Bencher;
use divan::counter::BytesCount;
use tunerd::ts::psi::{PatProgramme, PmtStream, packetise, pat_section, pmt_section};
use tunerd::ts::{
    Aligner, ContinuityCounter, Inspector, NULL_PACKET, PacketBytes, PacketMut, PayloadDigest, Pid, PlainRun,
};

const PACKETS: usize = 4 * 1024 * 1024 / 188;
/// Packets of one picture, and pictures from one IDR to the next.
const PICTURE_PACKETS: usize = 60;
const PICTURES: usize = 180;

/// Shows that memory is asked for when tables are read, and never per packet.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// Bytes without a pattern, so that zeros are as rare as in coded video.
fn noise(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.to_be_bytes()[3]
}

fn pid(number: u16) -> Pid {
    Pid::new(number).expect("it fits 13 bits")
}

fn stream() -> Vec<u8> {
    let programme = [PatProgramme { program_number: 1, pmt_pid: pid(0x1000) }];
    let pat = pat_section(1, 0, &programme).expect("one programme fits");
    let streams = [(0x100, 0x1B), (0x101, 0x0F)].map(|(number, stream_type)| PmtStream {
        pid: pid(number),
        stream_type,
        descriptors: &[],
    });
    let pmt = pmt_section(1, 0, Some(pid(0x100)), &[], streams).expect("two streams fit");
    let mut counters = [ContinuityCounter::new(0); 4];
    let mut out: Vec<u8> = Vec::with_capacity(PACKETS * 188);
    let mut seed = 0x9E37_79B9_7F4A_7C15;
    let mut video_packets = 0;
    while out.len() < PACKETS * 188 {
        let index = out.len() / 188;
        if index.is_multiple_of(200) {
            counters[0] = packetise(&pat, Pid::PAT, counters[0], |packet| out.extend_from_slice(packet));
            counters[1] = packetise(&pmt, pid(0x1000), counters[1], |packet| out.extend_from_slice(packet));
        } else if index % 20 == 7 {
            out.extend_from_slice(&NULL_PACKET);
        } else {
            let video = index % 20 != 13;
            let mut bytes: PacketBytes = NULL_PACKET;
            bytes[4..].fill_with(|| noise(&mut seed));
            if video {
                if usize::is_multiple_of(video_packets, PICTURE_PACKETS) {
                    bytes[1] |= 0x40;
                    start_picture(&mut bytes, (video_packets / PICTURE_PACKETS).is_multiple_of(PICTURES));
                }
                video_packets += 1;
            }
            let counter = &mut counters[if video { 2 } else { 3 }];
            let mut packet = PacketMut::parse(&mut bytes).expect("it has a sync byte");
            packet.set_pid(pid(if video { 0x100 } else { 0x101 }));
            packet.set_continuity_counter(*counter);
            *counter = counter.next();
            out.extend_from_slice(&bytes);
        }
    }
    out
}

/// Writes a PES header and the units in front of a picture's first slice.
fn start_picture(bytes: &mut PacketBytes, idr: bool) {
    let head: &[u8] = if idr {
        &[
            0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 9, 0, 0, 1, 0x68, 9, 0, 0, 1,
            0x65,
        ]
    } else {
        &[0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0, 0, 0, 1, 9, 0x30, 0, 0, 1, 0x41]
    };
    bytes[4..4 + head.len()].copy_from_slice(head);
}

fn inspect(inspector: &mut Inspector, bytes: &[u8]) -> usize {
    let mut entry_points = 0;
    for (packet, position) in bytes.as_chunks().0.iter().zip((0..).step_by(188)) {
        inspector.packet(position, packet);
        entry_points += usize::from(inspector.take_entry_point().is_some());
    }
    entry_points
}

/// The usual case: packets arrive aligned and none is moved.
#[divan::bench]
fn align_aligned(bencher: Bencher<'_, '_>) {
    let mut bytes = stream();
    let mut aligner = Aligner::new();
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| aligner.align(&mut bytes));
}

/// Every packet is moved: four bytes are in front of each.
#[divan::bench]
fn align_m2ts(bencher: Bencher<'_, '_>) {
    let bytes: Vec<u8> = stream().chunks(188).flat_map(|packet| [&[0; 4], packet].concat()).collect();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .with_inputs(|| bytes.clone())
        .bench_local_values(|mut bytes| Aligner::new().align(&mut bytes));
}

#[divan::bench]
fn inspect_all(bencher: Bencher<'_, '_>) {
    let bytes = stream();
    assert_eq!(inspect(&mut Inspector::new(), &bytes), 2, "the stream has its IDR pictures");
    let counter = BytesCount::new(bytes.len());
    bencher
        .counter(counter)
        .with_inputs(Inspector::new)
        .bench_local_refs(|inspector| inspect(inspector, &bytes));
}

/// The same by runs, as a core does it.
#[divan::bench]
fn inspect_runs(bencher: Bencher<'_, '_>) {
    let bytes = stream();
    let packets = bytes.as_chunks().0;
    bencher.counter(BytesCount::new(bytes.len())).with_inputs(Inspector::new).bench_local_refs(|inspector| {
        let (mut at, mut entry_points) = (0, 0);
        while let Some(first) = packets.get(at) {
            let left = &packets[at..];
            let run = PlainRun::at_front(left);
            let taken =
                run.map_or(0, |run| inspector.take_run(run, left, |run| PayloadDigest::of_last(run, left)));
            if taken == 0 {
                inspector.packet(at as u64 * 188, first);
                entry_points += usize::from(inspector.take_entry_point().is_some());
            }
            at += taken.max(1);
        }
        entry_points
    });
}

/// What a core does with bytes that arrive, in pieces of 64 KiB.
#[divan::bench]
fn align_and_inspect(bencher: Bencher<'_, '_>) {
    let mut bytes = stream();
    let total = bytes.len();
    bencher.counter(BytesCount::new(total)).with_inputs(Inspector::new).bench_local_refs(|inspector| {
        let mut aligner = Aligner::new();
        let (mut committed, mut arrived) = (0, 0);
        while arrived < total {
            arrived = (arrived + 64 * 1024).min(total);
            let aligned = aligner.align(&mut bytes[committed..arrived]);
            inspect(inspector, &bytes[committed..committed + aligned.packets_bytes]);
            committed += aligned.packets_bytes;
        }
        committed
    });
}
