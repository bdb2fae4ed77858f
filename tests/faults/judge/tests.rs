//! The judge before the judge: what is good passes, and each damage is found for what it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Rules, Verdict, Wrong, judge};
use crate::kit::End;
use crate::provider::{Make, Replay};
use crate::recorder::Recording;
use crate::tsedit::{set_counter, set_pcr, shift_pcr, shift_stamps};
use crate::tsview::{PACKET_BYTES, PTS_WRAP, Packet, View};

const TURN: Duration = Duration::from_millis(20);
const LENGTH: Duration = Duration::from_secs(5);

/// What a viewer of a perfect program would have got.
fn perfect(make: Make, base: u64, length: Duration) -> Recording {
    let mut replay = Replay::at(make.media(), base, Duration::ZERO);
    let opened = Duration::from_secs(100);
    let mut recording = Recording { opened, closed: opened + length, ..Recording::default() };
    let mut now = Duration::ZERO;
    while now < length {
        now += TURN;
        while replay.due() < now {
            let packet = replay.next();
            // Recordings of ffmpeg begin with an SDT.
            if !recording.bytes.is_empty() || View(&packet).pid() == 0 {
                recording.bytes.extend_from_slice(&packet);
            }
        }
        recording.reads.push((opened + now, recording.bytes.len()));
    }
    recording
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("judge-{name}"))
}

fn verdict(name: &str, recording: &Recording) -> Verdict {
    judge(recording, &Rules::default(), &path(name))
}

#[test]
fn what_is_good_passes_also_where_the_recording_begins_again_and_where_its_clock_does() {
    let near_the_end_of_the_clock = PTS_WRAP - 4 * 90_000;
    for (make, base, length) in [
        (Make::Primary, 0, LENGTH),
        (Make::Backup, near_the_end_of_the_clock, LENGTH),
        (Make::SmallPrimary, 0, Duration::from_secs(26)),
        (Make::SmallBackup, near_the_end_of_the_clock, Duration::from_secs(26)),
        (Make::Hevc, 0, LENGTH),
        (Make::Ac3, near_the_end_of_the_clock, Duration::from_secs(26)),
        (Make::Fifty, 0, LENGTH),
    ] {
        let verdict = verdict(&format!("good-{make:?}"), &perfect(make, base, length));
        assert!(verdict.findings.is_empty(), "{make:?}: {:#?}", verdict.lines());
        assert!(verdict.plays + Duration::from_millis(300) > length, "{make:?}: {:?}", verdict.plays);
        assert!(verdict.packets > 2000, "{}", verdict.packets);
    }
}

fn packets(recording: &mut Recording) -> &mut [Packet] {
    recording.bytes.as_chunks_mut().0
}

/// The first packet in the second half for which this holds.
fn later(recording: &mut Recording, holds: impl Fn(View<'_>) -> bool) -> usize {
    let packets = packets(recording);
    let half = packets.len() / 2;
    half + packets[half..].iter().position(|packet| holds(View(packet))).unwrap()
}

fn is_of(pid: u16) -> impl Fn(View<'_>) -> bool {
    move |packet| packet.pid() == pid && packet.has_payload() && !packet.starts()
}

const VIDEO: u16 = 0x100;
const AUDIO: u16 = 0x101;

/// From a key picture on, all that comes arrives later.
fn wait(recording: &mut Recording, time: Duration) {
    let half = recording.reads.len() / 2;
    for read in &mut recording.reads[half..] {
        read.0 += time;
    }
    recording.closed += time;
}

/// All times are later from where the second half of the reads begins.
fn jump(recording: &mut Recording, millis: u64) {
    let half = recording.reads.len() / 2 - 1;
    let from = recording.reads[half].1 / PACKET_BYTES;
    for packet in &mut packets(recording)[from..] {
        shift_pcr(packet, millis * 90);
        shift_stamps(packet, millis * 90);
    }
}

fn remove(recording: &mut Recording, index: usize) {
    let at = index * PACKET_BYTES;
    recording.bytes.drain(at..at + PACKET_BYTES);
    for (_, bytes) in &mut recording.reads {
        *bytes -= if *bytes > at { PACKET_BYTES } else { 0 };
    }
}

/// Keeps the packets of a PID up to the middle only.
fn fall_silent(recording: &mut Recording, pid: u16) {
    let half = recording.bytes.len() / PACKET_BYTES / 2;
    for packet in &mut packets(recording)[half..] {
        if View(packet).pid() == pid {
            *packet = crate::tsedit::null_packet();
        }
    }
}

/// A picture without some of its packets, with counters as if nothing were missing.
fn tear_picture(recording: &mut Recording) {
    // A key picture: what there is of it is no stuffing.
    let is_key = |packet: View<'_>| packet.pid() == VIDEO && packet.starts() && packet.0[5] & 0x40 != 0;
    let start = later(recording, is_key);
    let mut lost = 0_u8;
    for packet in &mut packets(recording)[start + 1..] {
        if View(packet).pid() != VIDEO {
            continue;
        }
        if lost < 12 && View(packet).has_payload() && !View(packet).starts() && View(packet).pcr().is_none() {
            lost += 1;
            *packet = crate::tsedit::null_packet();
        } else {
            let counter = View(packet).counter();
            set_counter(packet, counter.wrapping_sub(lost) & 0x0F);
        }
    }
}

type Damage = fn(&mut Recording);

/// Each damage, and what must be found; the first of them at least.
const DAMAGES: &[(&str, Damage, &[Wrong])] = &[
    (
        "a packet is missing",
        |recording| {
            let index = later(recording, is_of(AUDIO));
            remove(recording, index);
        },
        &[Wrong::Continuity],
    ),
    (
        "a packet comes three times",
        |recording| {
            let index = later(recording, is_of(VIDEO));
            let packet = packets(recording)[index];
            packets(recording)[index + 1] = packet;
            packets(recording)[index + 2] = packet;
        },
        &[Wrong::Continuity],
    ),
    (
        "the PCR steps back by 50 ms",
        |recording| {
            let index = later(recording, |packet| packet.pcr().is_some());
            let packet = &mut packets(recording)[index];
            let pcr = View(packet).pcr().unwrap();
            set_pcr(packet, pcr - 50 * 27_000);
        },
        &[Wrong::PcrBack],
    ),
    (
        "the PCR alone jumps by 150 ms",
        |recording| {
            let index = later(recording, |packet| packet.pcr().is_some());
            packets(recording)[index..].iter_mut().for_each(|packet| shift_pcr(packet, 150 * 90));
        },
        &[Wrong::PcrJump],
    ),
    ("all times jump by 150 ms", |recording| jump(recording, 150), &[Wrong::TimeJump, Wrong::PcrJump]),
    (
        "one picture's times jump by 150 ms",
        |recording| {
            let index = later(recording, |packet| packet.pid() == VIDEO && packet.starts());
            shift_stamps(&mut packets(recording)[index], 150 * 90);
        },
        &[Wrong::TimeJump, Wrong::TimeBack],
    ),
    (
        "sound is decoded twice at one time",
        |recording| {
            let is_start = |packet: View<'_>| packet.pid() == AUDIO && packet.starts();
            let index = later(recording, is_start);
            let before = View(&packets(recording)[index]).pes().unwrap().pts.unwrap();
            let next =
                index + 1 + packets(recording)[index + 1..].iter().position(|p| is_start(View(p))).unwrap();
            let packet = &mut packets(recording)[next];
            let own = View(packet).pes().unwrap().pts.unwrap();
            shift_stamps(packet, PTS_WRAP + before - own);
        },
        &[Wrong::TimeBack],
    ),
    (
        "pictures come after their time",
        |recording| {
            for packet in packets(recording) {
                if View(packet).pid() == VIDEO {
                    shift_stamps(packet, PTS_WRAP - 2 * 90_000);
                }
            }
        },
        &[Wrong::Late, Wrong::Skew],
    ),
    ("a part of a picture is missing", tear_picture, &[Wrong::Decoder]),
    (
        "bytes that are no packets come in between",
        |recording| {
            let at = recording.bytes.len() / 2 / PACKET_BYTES * PACKET_BYTES;
            recording.bytes.splice(at..at, [1; 100]);
            for (_, bytes) in &mut recording.reads {
                *bytes += if *bytes > at { 100 } else { 0 };
            }
        },
        &[Wrong::Sync],
    ),
    (
        "a PMT is damaged",
        |recording| {
            let index = later(recording, |packet| packet.pid() == 0x1000);
            packets(recording)[index][20] ^= 1;
        },
        &[Wrong::Table],
    ),
    (
        "sound moves to a PID that no PMT names",
        |recording| {
            let half = recording.bytes.len() / PACKET_BYTES / 2;
            for packet in &mut packets(recording)[half..] {
                if View(packet).pid() == AUDIO {
                    packet[2] = 0x77;
                }
            }
        },
        &[Wrong::UnknownPid, Wrong::Missing],
    ),
    ("the picture is gone", |recording| fall_silent(recording, VIDEO), &[Wrong::Missing]),
    ("the sound is gone", |recording| fall_silent(recording, AUDIO), &[Wrong::Missing]),
    (
        "nothing comes for three seconds",
        |recording| wait(recording, Duration::from_secs(3)),
        &[Wrong::Silence, Wrong::Length],
    ),
    (
        "it plays for less than it took to come",
        |recording| {
            let opened = recording.opened;
            for (at, _) in &mut recording.reads {
                *at = opened + (*at - opened).mul_f64(1.2);
            }
            recording.closed = recording.reads.last().unwrap().0;
        },
        &[Wrong::Length],
    ),
    (
        "it plays for more than it took to come",
        |recording| {
            let opened = recording.opened;
            for (at, _) in &mut recording.reads {
                *at = opened + (*at - opened).mul_f64(0.85);
            }
            recording.closed = recording.reads.last().unwrap().0;
        },
        &[Wrong::Length],
    ),
    (
        "the PCR keeps its value",
        |recording| {
            let half = recording.bytes.len() / PACKET_BYTES / 2;
            let mut frozen = None;
            for packet in &mut packets(recording)[half..] {
                if let Some(pcr) = View(packet).pcr() {
                    set_pcr(packet, *frozen.get_or_insert(pcr));
                }
            }
        },
        &[Wrong::Still],
    ),
    ("it ends", |recording| recording.end = Some(End::Reset), &[Wrong::Ended]),
    ("the PAT does not come first", |recording| remove(recording, 0), &[Wrong::NotPatFirst]),
];

#[test]
fn each_damage_is_found_for_what_it_is() {
    for (name, damage, expected) in DAMAGES {
        let mut recording = perfect(Make::Primary, 0, LENGTH);
        damage(&mut recording);
        let verdict = verdict("damaged", &recording);
        for wrong in *expected {
            assert!(verdict.has(*wrong), "{name}: {wrong:?} is not among {:#?}", verdict.lines());
        }
        let first = verdict.findings.iter().find(|finding| finding.wrong == expected[0]).unwrap();
        assert!(first.at <= recording.closed - recording.opened && !first.text.is_empty(), "{first}");
    }
}

#[test]
fn a_clock_may_jump_by_as_much_as_the_viewer_had_to_wait() {
    let mut recording = perfect(Make::Primary, 0, LENGTH);
    jump(&mut recording, 1500);
    let unexplained = verdict("jump", &recording);
    assert!(unexplained.has(Wrong::TimeJump), "{:#?}", unexplained.lines());
    wait(&mut recording, Duration::from_millis(1500));
    let explained = verdict("jump", &recording);
    let is_clock = |wrong| matches!(wrong, Wrong::TimeJump | Wrong::PcrJump | Wrong::Length | Wrong::Silence);
    assert!(!explained.findings.iter().any(|finding| is_clock(finding.wrong)), "{:#?}", explained.lines());
    assert!(explained.longest_gap.0 >= Duration::from_millis(1500), "{:?}", explained.longest_gap);
}

#[test]
fn sound_that_is_sent_behind_its_pictures_makes_nothing_longer() {
    let mut recording = perfect(Make::Primary, 0, LENGTH);
    for packet in packets(&mut recording) {
        if View(packet).pid() == AUDIO {
            shift_stamps(packet, PTS_WRAP - 400 * 90);
        }
    }
    let verdict = verdict("behind", &recording);
    assert!(!verdict.has(Wrong::Length), "{:#?}", verdict.lines());
}

/// What is found of clocks and pictures.
fn leads(recording: &Recording, rules: &Rules) -> Vec<Wrong> {
    super::leads::check(&super::walk::walk(recording), rules)
        .into_iter()
        .map(|finding| finding.wrong)
        .collect()
}

#[test]
fn sound_far_from_its_clock_is_found_and_so_is_sound_behind_it() {
    let good = perfect(Make::Primary, 0, LENGTH);
    let rules = Rules { leads: Some(Make::Primary.media().leads), ..Rules::default() };
    assert_eq!(leads(&good, &rules), []);
    for (rules, moved_ms) in [(rules, 250), (rules, -250), (Rules::default(), -900)] {
        let mut recording = good.clone();
        let last_quarter = recording.bytes.len() / PACKET_BYTES / 4 * 3;
        let packets = &mut packets(&mut recording)[last_quarter..];
        for packet in packets.iter_mut().filter(|packet| View(packet).pid() == AUDIO) {
            shift_stamps(packet, PTS_WRAP.wrapping_add_signed(moved_ms * 90));
        }
        let found = leads(&recording, &rules);
        assert!(found.contains(&Wrong::Lead), "{moved_ms} ms: {found:?}");
        assert!(!found.contains(&Wrong::Crowded), "{moved_ms} ms: {found:?}");
        // A source that has been as late as that is why.
        if rules.leads.is_some() {
            assert_eq!(
                leads(&recording, &Rules { late: Duration::from_millis(250), ..rules }),
                [],
                "{moved_ms} ms"
            );
        }
    }
}

#[test]
fn two_pictures_a_tick_apart_are_found() {
    let mut recording = perfect(Make::Fifty, 0, LENGTH);
    let rules = Rules { leads: Some(Make::Fifty.media().leads), ..Rules::default() };
    assert_eq!(leads(&recording, &rules), []);
    let from = later(&mut recording, |packet| {
        packet.pes().is_some_and(|pes| pes.id == 0xE0) && packet.0[5] & 0x40 != 0
    });
    for packet in &mut packets(&mut recording)[from..] {
        shift_pcr(packet, PTS_WRAP - 1799);
        shift_stamps(packet, PTS_WRAP - 1799);
    }
    assert!(leads(&recording, &rules).contains(&Wrong::Crowded));
}

#[test]
fn a_discontinuity_may_be_signalled() {
    let mut recording = perfect(Make::Primary, 0, LENGTH);
    let index = later(&mut recording, |packet| packet.pid() == VIDEO && packet.pcr().is_some());
    let half = &mut packets(&mut recording)[index..];
    half[0][5] |= 0x80;
    for packet in half {
        if View(packet).pid() == VIDEO {
            let counter = View(packet).counter();
            set_counter(packet, (counter + 5) & 0x0F);
        }
    }
    let verdict = verdict("signalled", &recording);
    assert!(!verdict.has(Wrong::Continuity), "{:#?}", verdict.lines());
}

#[test]
fn what_a_further_source_sends_in_advance_makes_nothing_longer_and_anything_else_does() {
    const EARLIER: Duration = Duration::from_millis(700);
    let mut recording = perfect(Make::Primary, 0, LENGTH);
    let index = later(&mut recording, |packet| packet.pid() == VIDEO && packet.pcr().is_some());
    packets(&mut recording)[index][5] |= 0x80;
    let began = recording.arrived(index * PACKET_BYTES);
    for (at, _) in recording.reads.iter_mut().filter(|(at, _)| *at > began) {
        *at = began.max(at.saturating_sub(EARLIER));
    }
    recording.closed -= EARLIER;
    let walk = super::walk::walk(&recording);
    let plays = LENGTH;
    let (first, last) = recording.span().unwrap();
    let is_longer = |further| {
        let rules = Rules { further: [further, None], ..Rules::default() };
        super::check_length(&recording, &rules, &walk, last - first, plays).is_some()
    };
    assert!(is_longer(None));
    assert!(is_longer(Some(began)), "it began behind that");
    assert!(!is_longer(Some(began - Duration::from_millis(50))));
}

#[test]
fn who_has_something_left_to_play_may_wait_for_longer() {
    const EARLIER: Duration = Duration::from_millis(900);
    let mut recording = perfect(Make::Primary, 0, LENGTH);
    let opened = recording.opened;
    // All but the first moment comes earlier than its time, until it stops in the middle for 2.5 s.
    let middle = opened + LENGTH / 2;
    for (at, _) in &mut recording.reads {
        let is_first = *at <= opened + TURN * 5;
        let later = if *at > middle { Duration::from_millis(2500) } else { Duration::ZERO };
        *at = if is_first { *at } else { (opened + TURN * 5).max(at.saturating_sub(EARLIER)) } + later;
    }
    recording.closed += Duration::from_millis(2500) - EARLIER;
    let is_silent = |recording: &Recording, rules: &Rules| {
        let walk = super::walk::walk(recording);
        !super::check_silence(recording, rules, &walk).1.is_empty()
    };
    assert!(!is_silent(&recording, &Rules::default()));
    let stricter = Rules { silence: Duration::from_millis(1500), ..Rules::default() };
    assert!(is_silent(&recording, &stricter), "no longer than what is left and that");
    // Where nothing is in advance nothing is left.
    let mut late = perfect(Make::Primary, 0, LENGTH);
    late.reads
        .iter_mut()
        .filter(|(at, _)| *at > middle)
        .for_each(|(at, _)| *at += Duration::from_millis(2500));
    late.closed += Duration::from_millis(2500);
    assert!(is_silent(&late, &Rules::default()));
}

#[test]
fn what_was_waited_for_may_come_together_and_its_clock_with_it() {
    let mut recording = perfect(Make::Primary, 0, LENGTH);
    jump(&mut recording, 900);
    let half = recording.bytes.len() / 2;
    // The jump is behind a wait that ended three reads earlier.
    let from = recording.reads.iter().position(|(_, bytes)| *bytes > half).unwrap();
    for (at, _) in &mut recording.reads[from - 3..] {
        *at += Duration::from_millis(900);
    }
    recording.closed += Duration::from_millis(900);
    let walk = super::walk::walk(&recording);
    let found = super::clocks::check(&walk, &Rules::default());
    assert!(found.is_empty(), "{found:#?}");
}
