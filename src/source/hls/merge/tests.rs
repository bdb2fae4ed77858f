use proptest::prelude::*;

use super::*;
use crate::ts::Pcr;
use crate::ts::psi::Pmt;
use crate::ts::testing::{Fields, Stream, pes, pmt, section};

pub(crate) const VIDEO: u16 = 0x100;

pub(crate) fn ticks(ms: i64) -> Pts {
    Pts::from_ticks(0).plus(ms * 90)
}

fn bytes(stream: &Stream) -> Vec<u8> {
    stream.packets.concat()
}

/// A segment whose pictures are decoded at these times.
pub(crate) fn picture(times: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut stream = crate::ts::testing::programme(&[0x1B]);
    for ms in times {
        let pcr = Some(Pcr::from_ticks(ticks(ms - 700).ticks() * 300));
        let fields = Fields { pid: VIDEO, random_access: true, pcr, ..Fields::NONE };
        stream.push_pes(fields, &pes(0xE0, Some(ticks(ms)), &[7; 400]), 184);
    }
    bytes(&stream)
}

/// A segment of sound on this PID, whose PES packets are heard at these times.
pub(crate) fn sound_on(pid: u16, descriptors: &[u8], times: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut stream = Stream::default();
    stream.push_section(0, &section(0x00, 1, 0, &[0, 1, 0xF0, 0x00]));
    let [high, low] = pid.to_be_bytes();
    let length = u8::try_from(descriptors.len()).unwrap();
    let body = [&[0xE0 | high, low, 0xF0, 0, 0x0F, 0xE0 | high, low, 0xF0, length][..], descriptors].concat();
    stream.push_section(0x1000, &section(0x02, 1, 0, &body));
    for ms in times {
        let pcr = Some(Pcr::from_ticks(ticks(ms).ticks() * 300));
        stream.push_pes(Fields { pid, pcr, ..Fields::NONE }, &pes(0xC0, Some(ticks(ms)), &[9; 300]), 184);
    }
    bytes(&stream)
}

fn sound(times: impl IntoIterator<Item = i64>) -> Vec<u8> {
    sound_on(VIDEO, &[], times)
}

pub(crate) fn every(step: i64, from: i64, to: i64) -> impl Iterator<Item = i64> + Clone {
    (0..).map(move |number| from + number * step).take_while(move |ms| *ms < to)
}

/// PES packets in their order: PID and milliseconds.
pub(crate) fn units(stream: &[u8]) -> Vec<(u16, i64)> {
    let (packets, rest) = stream.as_chunks::<PACKET_BYTES>();
    assert!(rest.is_empty(), "whole packets");
    packets
        .iter()
        .filter_map(|bytes| {
            let packet = Packet::parse(bytes).unwrap();
            let times = PesTimes::begun_in(packet)?;
            Some((packet.pid().get(), (times.pts.ticks() / 90).cast_signed()))
        })
        .collect()
}

/// No packet is missing, and only the picture has a clock.
fn assert_whole(stream: &[u8]) {
    let mut counters = std::collections::BTreeMap::new();
    for bytes in stream.as_chunks::<PACKET_BYTES>().0 {
        let packet = Packet::parse(bytes).unwrap();
        let (pid, counter) = (packet.pid().get(), packet.continuity_counter());
        if let Some(before) = counters.insert(pid, counter) {
            assert_eq!(ContinuityCounter::next(before), counter, "{pid:#x}");
        }
        let has_pcr = packet.adaptation_field().is_some_and(|field| field.pcr().is_some());
        assert!(!has_pcr || pid == VIDEO, "{pid:#x} has a clock");
    }
}

/// A stream in a table: PID, type, descriptors.
type Listed = (u16, u8, Vec<u8>);

/// The tables of a stream, with their versions.
fn tables(stream: &[u8]) -> Vec<(u8, Vec<Listed>)> {
    let mut tracker = PsiTracker::default();
    let mut tables = Vec::new();
    for bytes in stream.as_chunks::<PACKET_BYTES>().0 {
        let packet = Packet::parse(bytes).unwrap();
        if tracker.handles(packet.pid())
            && tracker.packet(packet, true)
            && let Some(programme) = tracker.programme()
        {
            let Pmt { version, .. } = programme.pmt;
            let streams = programme.pmt.streams().iter();
            let streams = streams.map(|stream| {
                (stream.pid.get(), stream.stream_type, programme.pmt.stream_descriptors(stream).to_vec())
            });
            tables.push((version, streams.collect()));
        }
    }
    tables
}

fn all(merger: &mut Merger) -> Vec<u8> {
    let mut all = Vec::new();
    let mut into = [0; 1000];
    while merger.waiting() > 0 {
        let count = merger.take(&mut into);
        all.extend_from_slice(&into[..count]);
    }
    all
}

/// The times on a PID.
pub(crate) fn on(units: &[(u16, i64)], pid: u16) -> Vec<i64> {
    units.iter().filter(|unit| unit.0 == pid).map(|unit| unit.1).collect()
}

#[test]
fn pictures_and_sounds_become_one_programme_in_the_order_of_their_times() {
    let mut merger = Merger::new([Some(*b"eng"), Some(*b"deu")]);
    let (heard, seen) = (every(24, 1000, 5000), every(40, 1010, 5000));
    merger.push_sound(0, &sound(heard.clone()));
    merger.push_sound(1, &sound_on(0x300, &[0x0A, 4, b'f', b'r', b'a', 1], heard.clone()));
    merger.push_picture(&picture(seen.clone()));
    merger.finish();
    let stream = all(&mut merger);
    assert_whole(&stream);
    let units = units(&stream);
    assert_eq!(on(&units, VIDEO), seen.collect::<Vec<_>>());
    // The first one's PID is the picture's.
    assert_eq!(on(&units, 0x101), heard.clone().collect::<Vec<_>>());
    assert_eq!(on(&units, 0x300), heard.collect::<Vec<_>>());
    assert!(units.is_sorted_by_key(|(_, ms)| *ms), "{units:?}");
    let english = vec![0x0A, 4, b'e', b'n', b'g', 0];
    let french = vec![0x0A, 4, b'f', b'r', b'a', 1];
    let expected = vec![(VIDEO, 0x1B, vec![]), (0x101, 0x0F, english), (0x300, 0x0F, french)];
    assert_eq!(tables(&stream), [(0, expected)]);
}

#[test]
fn a_picture_waits_for_its_sound_and_goes_on_without_one_that_is_not_waited_for() {
    let mut merger = Merger::new([None]);
    merger.push_sound(0, &sound(every(24, 1000, 1500)));
    merger.push_picture(&picture(every(40, 1000, 3000)));
    let first = units(&all(&mut merger));
    assert_eq!(on(&first, VIDEO).last(), Some(&1440), "of the next one the sound is not known to be all");
    assert!(merger.is_missing(0));
    assert_eq!(merger.ahead(0).map(|ticks| ticks / 90), Some(1480 - 2960));
    merger.begin_segment(0);
    merger.push_sound(0, &sound(every(24, 1504, 2000)));
    let second = units(&all(&mut merger));
    assert_eq!((on(&second, VIDEO)[0], on(&second, VIDEO).last()), (1480, Some(&1960)));
    merger.wait_for(0, false);
    assert_eq!(on(&units(&all(&mut merger)), VIDEO).last(), Some(&2960));
    // What comes too late is dropped, what does not is heard again.
    merger.begin_segment(0);
    merger.push_sound(0, &sound(every(24, 2008, 3500)));
    merger.push_picture(&picture(every(40, 3000, 3400)));
    let third = units(&all(&mut merger));
    let heard = on(&third, 0x101);
    assert!((2460..2500).contains(&heard[0]), "{heard:?}");
    assert!(third.len() > 20 && on(&third, VIDEO).last() == Some(&3360));
}

#[test]
fn sound_from_before_the_first_picture_is_dropped() {
    let mut merger = Merger::new([None]);
    merger.push_sound(0, &sound(every(100, 0, 9000)));
    merger.push_picture(&picture(every(40, 6000, 8000)));
    let units = units(&all(&mut merger));
    assert_eq!(on(&units, 0x101)[0], 5500, "half a second is what decoders have");
    assert_eq!(on(&units, VIDEO).len(), 50);
}

#[test]
fn what_waits_is_bounded_on_either_side() {
    let mut merger = Merger::new([None]);
    // The sound's table only.
    merger.push_sound(0, &sound([]));
    for second in 0..400 {
        merger.push_picture(&picture(every(40, second * 1000, second * 1000 + 1000)));
    }
    let left = units(&all(&mut merger)).len();
    assert!(left > 1000 && merger.held.len() <= HLS_HELD_PACKETS_MAX, "{left}");

    let mut merger = Merger::new([None]);
    for second in 0..1000 {
        merger.begin_segment(0);
        merger.push_sound(0, &sound(every(24, second * 1000, second * 1000 + 1000)));
    }
    assert!(merger.sounds[0].queue.len() <= HLS_SOUND_PACKETS_MAX);
    // What is dropped is dropped from one PES packet to another.
    merger.push_picture(&picture(every(40, 0, 1000)));
    merger.finish();
    let stream = all(&mut merger);
    let starts = stream.as_chunks::<PACKET_BYTES>().0.iter().filter(|packet| packet[2] == 1).count();
    assert_eq!(starts, units(&stream).iter().filter(|unit| unit.0 == 0x101).count() * 2);
}

#[test]
fn times_that_jump_take_nothing_from_either_side() {
    for (name, before, after) in [
        ("back", 100_000, 1000),
        ("forward", 1000, 500_000),
        ("round the clock", 95_443_700, 200),
        ("a little back", 20_000, 5000),
    ] {
        // The sound's segments end before or behind the picture's.
        for offset in [-30, 0, 30] {
            let seen = |from| every(40, from, from + 2000);
            let heard = |from: i64| every(24, from + offset.max(0), from + 2000 + offset);
            let mut merger = Merger::new([None]);
            for start in [before, after] {
                merger.begin_segment(0);
                merger.push_sound(0, &sound(heard(start)));
                merger.push_picture(&picture(seen(start)));
            }
            merger.finish();
            let units = units(&all(&mut merger));
            let clock = |ms: &i64| (ticks(*ms).ticks() / 90).cast_signed();
            let both = |times: &dyn Fn(i64) -> Vec<i64>| {
                [times(before), times(after)].concat().iter().map(clock).collect::<Vec<_>>()
            };
            assert_eq!(on(&units, VIDEO), both(&|from| seen(from).collect()), "{name} {offset}");
            assert_eq!(on(&units, 0x101), both(&|from| heard(from).collect()), "{name} {offset}");
            let jump = units.iter().position(|unit| unit.1 == after).unwrap();
            let (old, new) = units.split_at(jump);
            assert_eq!(on(old, VIDEO).len(), 50, "{name} {offset}");
            assert!(on(new, VIDEO).len() == 50 && on(new, 0x101).len() > 70, "{name} {offset}");
        }
    }
}

#[test]
fn sound_of_another_time_base_is_dropped_and_the_next_of_this_one_heard() {
    let mut merger = Merger::new([None]);
    merger.push_sound(0, &sound(every(24, 900_000, 902_000)));
    merger.begin_segment(0);
    merger.push_sound(0, &sound(every(24, 13_000, 20_000)));
    for second in 1..18 {
        merger.push_picture(&picture(every(40, second * 1000, second * 1000 + 1000)));
    }
    let units = units(&all(&mut merger));
    assert_eq!(on(&units, VIDEO).len(), 17 * 25, "the picture does not wait");
    let heard = on(&units, 0x101);
    assert!(heard[0] == 13_000 && heard.len() > 150, "{heard:?}");
}

#[test]
fn the_table_follows_what_comes_and_goes() {
    let mut merger = Merger::new([None, None]);
    merger.push_sound(0, &sound(every(24, 0, 1000)));
    merger.wait_for(1, false);
    let listed = |merger: &mut Merger, second: i64| {
        merger.push_picture(&picture(every(40, second * 1000, second * 1000 + 100)));
        let tables = tables(&all(merger));
        let (version, streams) = tables.last().unwrap().clone();
        (version, streams.iter().map(|stream| stream.0).collect::<Vec<_>>())
    };
    assert_eq!(listed(&mut merger, 0), (0, vec![VIDEO, 0x101]));
    merger.wait_for(0, false);
    // Another one comes, on the PID that the first was given.
    merger.push_sound(1, &sound_on(0x101, &[], every(24, 1000, 2000)));
    assert_eq!(listed(&mut merger, 1), (1, vec![VIDEO, 0x101, 0x102]));
    merger.list(0, false);
    assert_eq!(listed(&mut merger, 2), (2, vec![VIDEO, 0x102]));
    merger.list(0, true);
    assert_eq!(listed(&mut merger, 3), (3, vec![VIDEO, 0x101, 0x102]));
    assert_eq!(listed(&mut merger, 4), (3, vec![VIDEO, 0x101, 0x102]));
}

#[test]
fn a_picture_with_sound_of_its_own_keeps_it() {
    let mut merger = Merger::new([Some(*b"deu")]);
    merger.push_sound(0, &sound_on(0x101, &[], every(24, 1000, 2000)));
    let mut stream = Stream::default();
    stream.push_section(0, &section(0x00, 1, 0, &[0, 1, 0xF0, 0x00]));
    stream.push_section(0x1000, &pmt(0, &[0x1B, 0x0F]));
    for ms in every(40, 1000, 1900) {
        for (pid, id) in [(VIDEO, 0xE0), (0x101, 0xC0)] {
            stream.push_pes(Fields { pid, ..Fields::NONE }, &pes(id, Some(ticks(ms)), &[1; 100]), 184);
        }
    }
    merger.push_picture(&bytes(&stream));
    let stream = all(&mut merger);
    let units = units(&stream);
    assert_eq!(on(&units, 0x101).len(), 23, "the picture's own");
    assert!(on(&units, 0x102).len() > 30, "the one beside it: {units:?}");
    let streams: Vec<u16> = tables(&stream)[0].1.iter().map(|stream| stream.0).collect();
    assert_eq!(streams, [VIDEO, 0x101, 0x102]);
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_same_comes(pieces in prop::collection::vec(1_usize..700, 1..20)) {
        let whole = |sizes: &[usize]| {
            let mut merger = Merger::new([None]);
            let mut sizes = sizes.iter().cycle();
            let (sound, picture) = (sound(every(24, 1000, 2000)), picture(every(40, 1000, 1800)));
            for (bytes, is_sound) in [(&sound, true), (&picture, false)] {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                    if is_sound { merger.push_sound(0, piece) } else { merger.push_picture(piece) }
                    rest = later;
                }
            }
            merger.finish();
            all(&mut merger)
        };
        let (at_once, in_pieces) = (whole(&[usize::MAX]), whole(&pieces));
        prop_assert!(at_once == in_pieces);
    }

    #[test]
    fn no_bytes_panic(
        first in prop::collection::vec(any::<u8>(), 0..2000),
        header in prop::collection::vec(any::<[u8; 24]>(), 0..60),
    ) {
        let mut merger = Merger::new([None, Some(*b"eng")]);
        merger.push_sound(0, &sound(every(24, 0, 500)));
        merger.push_picture(&picture(every(40, 0, 500)));
        // Packets on the PIDs that are known, with anything in them.
        let packets: Vec<u8> = header
            .iter()
            .flat_map(|bytes| {
                let mut packet = [0; PACKET_BYTES];
                packet[..24].copy_from_slice(bytes);
                (packet[0], packet[1], packet[2]) = (0x47, (bytes[1] & 0xC0) | 1, 0);
                packet
            })
            .collect();
        for index in 0..2 {
            merger.push_sound(index, &first);
            merger.push_sound(index, &packets);
        }
        merger.push_picture(&packets);
        merger.push_picture(&first);
        merger.finish();
        prop_assert_eq!(all(&mut merger).len() % PACKET_BYTES, 0);
    }
}
