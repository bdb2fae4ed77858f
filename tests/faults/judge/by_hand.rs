//! A failover made by hand, as a perfect program would make it: the judge has nothing to say to it, and much to the same
//! without the care.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{Rules, Verdict, Wrong, judge};
use crate::provider::{Make, Replay};
use crate::recorder::Recording;
use crate::tsedit::{set_counter, shift_pcr, shift_stamps};
use crate::tsview::{PTS_WRAP, Packet, View, ahead};

const HALF: Duration = Duration::from_secs(4);
const TURN: Duration = Duration::from_millis(20);
const BACKUP_PMT: u16 = 0x1F0;
/// The name under which the latest PCR stands among the times of PIDs.
const CLOCK: u16 = 0x1FFF;

/// Packets with their time of arrival, from the first PAT on.
fn run(make: Make, begin: Duration) -> Vec<(Duration, Packet)> {
    let mut replay = Replay::at(make.media(), 0, Duration::ZERO);
    let mut packets = Vec::new();
    while replay.due() < HALF {
        packets.push((begin + replay.due(), replay.next()));
    }
    let first = packets.iter().position(|(_, packet)| View(packet).pid() == 0).unwrap();
    packets.split_off(first)
}

fn times(packet: &Packet) -> Vec<(u16, u64)> {
    let view = View(packet);
    let clock = view.pcr().map(|pcr| (CLOCK, pcr / 300));
    let pes = view.pes().and_then(|pes| Some((view.pid(), pes.decoded_at()?)));
    clock.into_iter().chain(pes).collect()
}

/// Without each stream's last PES packet, which is cut off.
fn without_torn(packets: &mut Vec<(Duration, Packet)>) {
    let mut last_starts = BTreeMap::new();
    for (index, (_, packet)) in packets.iter().enumerate() {
        if View(packet).pes().is_some() {
            last_starts.insert(View(packet).pid(), index);
        }
    }
    let mut index = 0;
    packets.retain(|(_, packet)| {
        index += 1;
        last_starts.get(&View(packet).pid()).is_none_or(|start| index <= *start)
    });
}

/// By how much the second run must be later so that no time steps back.
fn shift(first: &[(Duration, Packet)], second: &[(Duration, Packet)]) -> u64 {
    let pairs = [(0x100, 0x231), (0x101, 0x232), (CLOCK, CLOCK)];
    let usual = [3600, 1920, 1800];
    let shifts = pairs.iter().zip(usual).map(|((before, after), usual)| {
        let of = |pid: u16| {
            move |(_, packet): &(Duration, Packet)| times(packet).into_iter().find(|(of, _)| *of == pid)
        };
        let last = first.iter().rev().find_map(of(*before)).unwrap().1;
        let next = second.iter().find_map(of(*after)).unwrap().1;
        ahead(next, last, PTS_WRAP) + usual
    });
    u64::try_from(shifts.max().unwrap()).unwrap()
}

/// Says that the make-up is another one.
fn bump_version(packet: &mut Packet) {
    let length = usize::from(u16::from_be_bytes([packet[6] & 0x0F, packet[7]])) + 3;
    let section = &mut packet[5..5 + length];
    section[5] ^= 0b10;
    let (body, crc) = section.split_at_mut(length - 4);
    crc.copy_from_slice(&crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(body).to_be_bytes());
}

fn recording(packets: &[(Duration, Packet)]) -> Recording {
    let opened = Duration::from_secs(50);
    let mut recording = Recording { opened, closed: opened + HALF * 2, ..Recording::default() };
    let mut counters = BTreeMap::new();
    let mut turn = TURN;
    for (due, packet) in packets {
        while *due >= turn {
            recording.reads.push((opened + turn, recording.bytes.len()));
            turn += TURN;
        }
        let mut packet = *packet;
        let has_payload = View(&packet).has_payload();
        let counter = counters.entry(View(&packet).pid()).or_insert(15_u8);
        *counter = (*counter + u8::from(has_payload)) & 0x0F;
        set_counter(&mut packet, *counter);
        recording.bytes.extend_from_slice(&packet);
    }
    recording.reads.push((opened + turn, recording.bytes.len()));
    recording
}

fn verdict(name: &str, packets: &[(Duration, Packet)]) -> Verdict {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("by-hand-{name}"));
    judge(&recording(packets), &Rules::default(), &path)
}

#[test]
fn a_failover_made_with_care_passes_and_one_without_does_not() {
    let mut first = run(Make::SmallPrimary, Duration::ZERO);
    let second = run(Make::SmallBackup, HALF);
    let careless = verdict("careless", &[&first[..], &second].concat());
    for wrong in [Wrong::Table, Wrong::PcrBack, Wrong::Decoder] {
        assert!(careless.has(wrong), "{wrong:?} is not among {:#?}", careless.lines());
    }

    without_torn(&mut first);
    let shift = shift(&first, &second);
    let mut second = second;
    for (_, packet) in &mut second {
        shift_pcr(packet, shift);
        shift_stamps(packet, shift);
        if View(packet).pid() == BACKUP_PMT {
            bump_version(packet);
        }
    }
    let careful = verdict("careful", &[first, second].concat());
    assert!(careful.findings.is_empty(), "{:#?}", careful.lines());
    assert_eq!(careful.codecs, [["aac", "h264"], ["aac", "h264"]]);
}
