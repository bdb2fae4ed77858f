//! The comparer before it compares: what is as it was sent passes, and each damage is found for what it is.

use std::path::Path;

use crate::compare::{Report, Rules, Wrong, compare};
use crate::decode::decode;
use crate::made::{FAR_BACK, by_hand, joint};
use crate::tsedit::{null_packet, set_counter, set_pcr, shift_pcr, shift_stamps};
use crate::tsview::{PACKET_BYTES, PTS_WRAP, Packet, View};

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;
const TELETEXT: u16 = 0x121;
const SECTIONS: u16 = 0x122;

fn source() -> Vec<u8> {
    by_hand("data_beside_cbr")
}

fn packets(bytes: &mut [u8]) -> &mut [Packet] {
    bytes.as_chunks_mut().0
}

fn wrongs(report: &Report) -> Vec<Wrong> {
    report.findings.iter().map(|(wrong, _)| *wrong).collect()
}

/// The packets of a PID's unit in the middle.
fn unit(bytes: &mut [u8], pid: u16) -> Vec<usize> {
    let packets = packets(bytes);
    let of_pid = |index: &usize| View(&packets[*index]).pid() == pid && View(&packets[*index]).has_payload();
    let middle: Vec<_> = (packets.len() / 2..packets.len()).filter(of_pid).collect();
    let starts = |index: &usize| View(&packets[*index]).starts();
    let first = middle.iter().position(starts).unwrap();
    let length = middle[first + 1..].iter().position(starts).unwrap() + 1;
    middle[first..first + length].to_vec()
}

/// Counts the packets of a PID anew.
fn recount(bytes: &mut [u8], pid: u16) {
    let mut counter = 15_u8;
    for packet in packets(bytes).iter_mut().filter(|packet| View(packet).pid() == pid) {
        counter = (counter + u8::from(View(packet).has_payload())) & 0x0F;
        set_counter(packet, counter);
    }
}

fn drop_unit(bytes: &mut [u8], pid: u16) {
    for index in unit(bytes, pid) {
        let pcr = View(&packets(bytes)[index]).pcr();
        packets(bytes)[index] = null_packet();
        if let Some(pcr) = pcr {
            // What is lost is the unit and not the clock.
            let packet = &mut packets(bytes)[index];
            packet[1] = pid.to_be_bytes()[0];
            packet[2] = pid.to_be_bytes()[1];
            packet[3..6].copy_from_slice(&[0x20, 183, 0x10]);
            set_pcr(packet, pcr);
        }
    }
    recount(bytes, pid);
}

fn from_the_middle(bytes: &mut [u8], change: impl Fn(&mut Packet)) {
    let half = bytes.len() / PACKET_BYTES / 2;
    packets(bytes)[half..].iter_mut().for_each(change);
}

type Damage = (&'static str, fn(&mut Vec<u8>), Wrong);

const DAMAGES: &[Damage] = &[
    ("a picture is missing", |bytes| drop_unit(bytes, VIDEO), Wrong::Missing),
    ("a PES packet of sound is missing", |bytes| drop_unit(bytes, AUDIO), Wrong::Missing),
    ("a page of teletext is missing", |bytes| drop_unit(bytes, TELETEXT), Wrong::Missing),
    ("a section is missing", |bytes| drop_unit(bytes, SECTIONS), Wrong::Missing),
    (
        "a byte of a picture is another",
        |bytes| {
            let index = unit(bytes, VIDEO)[1];
            packets(bytes)[index][100] ^= 1;
        },
        Wrong::Changed,
    ),
    (
        "a byte of a section is another",
        |bytes| {
            let index = unit(bytes, SECTIONS)[0];
            packets(bytes)[index][12] ^= 1;
        },
        Wrong::Changed,
    ),
    (
        "the last second is missing",
        |bytes| bytes.truncate(bytes.len() / 9 * 8 / PACKET_BYTES * PACKET_BYTES),
        Wrong::Missing,
    ),
    (
        "sound is 40 ms later from the middle on",
        |bytes| {
            from_the_middle(bytes, |packet| {
                if View(packet).pid() == AUDIO {
                    shift_stamps(packet, 40 * 90);
                }
            });
        },
        Wrong::Distance,
    ),
    (
        "sound is 2 ms earlier all the time",
        |bytes| {
            for packet in packets(bytes).iter_mut().filter(|packet| View(packet).pid() == AUDIO) {
                shift_stamps(packet, PTS_WRAP - 2 * 90);
            }
        },
        Wrong::Distance,
    ),
    (
        "the clock is 20 ms later from the middle on",
        |bytes| from_the_middle(bytes, |packet| shift_pcr(packet, 20 * 90)),
        Wrong::Clock,
    ),
    (
        "all times step back",
        |bytes| {
            from_the_middle(bytes, |packet| {
                shift_pcr(packet, PTS_WRAP - 500 * 90);
                shift_stamps(packet, PTS_WRAP - 500 * 90);
            });
        },
        Wrong::Back,
    ),
    (
        "a counter does not follow",
        |bytes| {
            let index = unit(bytes, AUDIO)[0];
            let packet = &mut packets(bytes)[index];
            let counter = View(packet).counter();
            set_counter(packet, counter ^ 8);
        },
        Wrong::Continuity,
    ),
    (
        "a packet of nothing that is listed",
        |bytes| {
            let index = bytes.len() / PACKET_BYTES / 3;
            let mut packet = null_packet();
            packet[1..3].copy_from_slice(&[0x03, 0x45]);
            let at = index * PACKET_BYTES;
            bytes.splice(at..at, packet);
        },
        Wrong::ForeignPid,
    ),
    (
        "a language is another",
        |bytes| {
            for packet in packets(bytes).iter_mut().filter(|packet| View(packet).pid() == 0x1000) {
                let length = usize::from(u16::from_be_bytes([packet[6] & 0x0F, packet[7]])) + 3;
                let section = &mut packet[5..5 + length];
                let at = section.windows(3).position(|bytes| bytes == b"deu").unwrap();
                section[at..at + 3].copy_from_slice(b"fra");
                let (body, crc) = section.split_at_mut(length - 4);
                crc.copy_from_slice(&crc::Crc::<u32>::new(&crc::CRC_32_MPEG_2).checksum(body).to_be_bytes());
            }
        },
        Wrong::Table,
    ),
    ("nothing came", |bytes| bytes.clear(), Wrong::Nothing),
];

#[test]
fn each_damage_is_found_for_what_it_is() {
    let source = source();
    for (name, damage, wrong) in DAMAGES {
        let mut recording = source.clone();
        damage(&mut recording);
        let found = wrongs(&compare(&source, &recording, Rules::default()));
        assert!(found.contains(wrong), "{name}: {wrong:?} is not among {found:?}");
    }
}

#[test]
fn a_missing_picture_is_found_by_the_decoder_too() {
    let source = source();
    let mut recording = source.clone();
    drop_unit(&mut recording, VIDEO);
    let mut report = compare(&source, &recording, Rules::default());
    decode(&mut report, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("fidelity-damaged"));
    assert!(wrongs(&report).contains(&Wrong::Frames), "{:#?}", report.lines());
}

/// Moves all times of some packets, as a session's timeline does.
fn moved(packets: &mut [Packet], ticks: u64) {
    for packet in packets {
        shift_pcr(packet, ticks);
        shift_stamps(packet, ticks);
    }
}

/// Whether a key picture begins in a packet. An adaptation field of no bytes, which fills up a packet that has one byte too few,
/// has no flags: what follows it is the picture's.
fn is_key(packet: &Packet) -> bool {
    let has_flags = packet[3] & 0x20 != 0 && packet[4] > 0;
    View(packet).pid() == VIDEO && View(packet).starts() && has_flags && packet[5] & 0x40 != 0
}

#[test]
fn what_is_as_it_was_sent_passes_wherever_it_begins_and_whatever_its_times_are() {
    let source = source();
    let mut recording = source.clone();
    moved(packets(&mut recording), 3600 * 90_000);
    assert_eq!(compare(&source, &recording, Rules::default()).lines(), [""; 0]);
    // From the second key picture on, behind tables.
    let keys = packets(&mut recording).iter().enumerate().filter(|(_, packet)| is_key(packet));
    let second = keys.map(|(index, _)| index).nth(1).unwrap();
    let later = [&recording[..2 * PACKET_BYTES], &recording[second * PACKET_BYTES..]].concat();
    let report = compare(&source, &later, Rules::default());
    let lines: Vec<_> = report.lines().into_iter().filter(|line| !line.starts_with("Continuity")).collect();
    assert_eq!(lines, [""; 0]);
    assert_eq!(report.start.0, second);
}

#[test]
fn behind_a_joint_all_streams_move_by_the_same() {
    let source = joint(4000, 4800, FAR_BACK, true);
    // The second part begins where the clock goes back.
    let mut recording = source.clone();
    let pcrs: Vec<_> = packets(&mut recording)
        .iter()
        .enumerate()
        .filter_map(|(index, packet)| Some((index, View(packet).pcr()?)))
        .collect();
    let back = pcrs.windows(2).find(|pair| pair[1].1 < pair[0].1).unwrap();
    let tables =
        packets(&mut recording)[..back[1].0].iter().rposition(|packet| View(packet).pid() == 0).unwrap();
    let until = (50_000 - 10) * 90_000 + 4860 * 90;
    moved(&mut packets(&mut recording)[tables..], until);
    assert_eq!(compare(&source, &recording, Rules::default()).lines(), [""; 0]);
    for packet in packets(&mut recording)[tables..].iter_mut().filter(|packet| View(packet).pid() == AUDIO) {
        shift_stamps(packet, PTS_WRAP - 500 * 90);
    }
    let found = wrongs(&compare(&source, &recording, Rules::default()));
    assert!(found.contains(&Wrong::Distance), "{found:?}");
}
