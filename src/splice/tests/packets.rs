//! Single packets: what leaves in the place of each.

use proptest::prelude::*;

use crate::base::Instant;
use crate::splice::holdback::{HELD_BYTES_MAX, Holdback};
use crate::splice::tests::source::{Source, bytes};
use crate::splice::{FirstTimestamps, Run, RunKind, Splice, SpliceCounts};
use crate::ts::testing::{Fields, pes};
use crate::ts::{ContinuityTable, NULL_PACKET, Packet, PacketBytes, PayloadDigest, Pcr};

/// Begins a run of the usual source without a packet of it.
fn begin(splice: &mut Splice, at: u64, source: &Source) {
    let programme = source.programme();
    let run = Run { kind: RunKind::Live, programme: &programme, lead: FirstTimestamps::default() };
    splice.begin(Instant::from_millis(at), &run);
}

fn restamp(splice: &mut Splice, packets: &[PacketBytes]) -> Vec<PacketBytes> {
    let mut bytes = packets.concat();
    splice.restamp(Instant::START, &mut bytes);
    bytes.as_chunks().0.to_vec()
}

const VIDEO: Fields = Fields { pid: 0x100, ..Fields::NONE };

/// A packet of video in the middle of a picture.
fn video(counter: u8, data: u8) -> PacketBytes {
    Fields { counter, ..VIDEO }.packet(&[data; 184])
}

/// The same with an adaptation field.
fn with_field(counter: u8, discontinuity: bool) -> PacketBytes {
    Fields { counter, discontinuity, random_access: true, ..VIDEO }.packet(&[9; 182])
}

/// A packet without payload that says that something is missing.
fn hole(counter: u8) -> PacketBytes {
    Fields { counter, discontinuity: true, no_payload: true, ..VIDEO }.packet(&[])
}

#[test]
fn holes_are_signalled_in_place_and_counters_go_on() {
    let changed = |mut packet: PacketBytes, counter: u8| {
        packet[3] = (packet[3] & 0xF0) | counter;
        packet
    };
    let error = Fields { counter: 5, transport_error: true, ..VIDEO }.packet(&[1; 184]);
    let mut malformed = video(5, 1);
    malformed[3] |= 0x20;
    malformed[4] = 200;
    let own_signal = with_field(9, true);
    type Case = (&'static str, Vec<PacketBytes>, Vec<PacketBytes>);
    let table: Vec<Case> = vec![
        (
            "an unbroken stream",
            vec![video(14, 1), video(15, 2), video(0, 3)],
            vec![video(14, 1), video(15, 2), video(0, 3)],
        ),
        (
            "a hole with room for a word",
            vec![video(4, 1), with_field(7, false), video(8, 3)],
            vec![video(4, 1), with_field(5, true), video(6, 3)],
        ),
        (
            "a hole without",
            vec![video(4, 1), video(7, 2), video(8, 3)],
            vec![video(4, 1), hole(4), video(5, 3)],
        ),
        (
            "a repetition",
            vec![video(4, 1), video(4, 1), video(5, 2)],
            vec![video(4, 1), video(4, 1), video(5, 2)],
        ),
        (
            "a repetition of what had to go",
            vec![video(4, 1), video(7, 2), video(7, 2), video(8, 3)],
            vec![video(4, 1), hole(4), NULL_PACKET, video(5, 3)],
        ),
        (
            "fifteen missing packets",
            vec![video(4, 1), video(4, 2), video(5, 3)],
            vec![video(4, 1), hole(4), video(5, 3)],
        ),
        (
            "the source's own word",
            vec![video(4, 1), own_signal, video(10, 3)],
            vec![video(4, 1), changed(own_signal, 5), video(6, 3)],
        ),
        (
            "a transport error",
            vec![video(4, 1), error, video(5, 3)],
            vec![video(4, 1), NULL_PACKET, video(5, 3)],
        ),
        (
            "a packet that cannot be read",
            vec![video(4, 1), malformed, video(6, 3)],
            vec![video(4, 1), NULL_PACKET, hole(4)],
        ),
    ];
    for (name, packets, expected) in table {
        let mut splice = Splice::new();
        begin(&mut splice, 0, &Source::usual());
        assert_eq!(restamp(&mut splice, &packets), expected, "{name}");
    }
}

/// A packet in which a PES packet of so many bytes in all begins; zero is a length that is not said.
fn start(fields: Fields, length: u16, payload: usize) -> PacketBytes {
    let mut bytes = pes(0xE0, None, &vec![1; payload - 9]);
    if let Some(length) = length.checked_sub(6) {
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
    }
    Fields { unit_start: true, ..fields }.packet(&bytes)
}

#[test]
fn a_counter_that_does_not_follow_where_a_pes_packet_begins_costs_nothing_but_what_is_missing() {
    let numbered = |counter| Fields { counter, ..VIDEO };
    let said = Fields { random_access: true, discontinuity: true, ..numbered(6) };
    let roomy = Fields { random_access: true, ..numbered(9) };
    let own_word = Fields { discontinuity: true, ..numbered(9) };
    let last = Fields { counter: 5, ..VIDEO }.packet(&[3; 100]);
    let full = video(5, 3);
    type Case = (&'static str, Vec<PacketBytes>, Vec<PacketBytes>);
    let table: Vec<Case> = vec![
        (
            "the one before has its length",
            vec![start(numbered(4), 284, 184), last, start(numbered(9), 0, 184)],
            vec![start(numbered(4), 284, 184), last, start(numbered(6), 0, 184)],
        ),
        (
            "the one before has filled all its packets and has its length",
            vec![start(numbered(4), 368, 184), full, start(numbered(9), 0, 184)],
            vec![start(numbered(4), 368, 184), full, start(numbered(6), 0, 184)],
        ),
        (
            "the one before has no length, and its end",
            vec![start(numbered(4), 0, 184), last, start(numbered(9), 0, 184)],
            vec![start(numbered(4), 0, 184), last, start(numbered(6), 0, 184)],
        ),
        (
            "the source says so itself",
            vec![start(numbered(4), 284, 184), last, start(own_word, 0, 182)],
            vec![start(numbered(4), 284, 184), last, start(Fields { counter: 6, ..own_word }, 0, 182)],
        ),
        (
            "the counter stands still",
            vec![start(numbered(4), 284, 184), last, start(numbered(5), 0, 184)],
            vec![start(numbered(4), 284, 184), last, start(numbered(6), 0, 184)],
        ),
        (
            "bytes are missing, and there is room for a word",
            vec![start(numbered(4), 500, 184), full, start(roomy, 0, 182)],
            vec![start(numbered(4), 500, 184), full, start(said, 0, 182)],
        ),
        (
            "bytes are missing, and there is none: the end of what is torn says so",
            vec![start(numbered(4), 500, 184), full, start(numbered(9), 0, 184), video(10, 7)],
            vec![start(numbered(4), 500, 184), hole(4), start(numbered(5), 0, 184), video(6, 7)],
        ),
        (
            "more would have come of what has no length",
            vec![start(numbered(4), 0, 184), full, start(numbered(9), 0, 184), video(10, 7)],
            vec![start(numbered(4), 0, 184), hole(4), start(numbered(5), 0, 184), video(6, 7)],
        ),
        (
            "a repetition is the last of what is torn",
            vec![start(numbered(4), 500, 184), full, full, start(numbered(9), 0, 184)],
            vec![start(numbered(4), 500, 184), full, hole(4), start(numbered(5), 0, 184)],
        ),
    ];
    for (name, packets, expected) in table {
        let mut splice = Splice::new();
        begin(&mut splice, 0, &Source::usual());
        assert_eq!(restamp(&mut splice, &packets), expected, "{name}");
    }
}

#[test]
fn what_has_left_before_is_not_asked_to_say_that_something_is_missing() {
    let mut splice = Splice::new();
    begin(&mut splice, 0, &Source::usual());
    let first = [start(Fields { counter: 4, ..VIDEO }, 500, 184), video(5, 3)];
    assert_eq!(restamp(&mut splice, &first), first);
    let next = start(Fields { counter: 9, ..VIDEO }, 0, 184);
    assert_eq!(restamp(&mut splice, &[next]), [start(Fields { counter: 6, ..VIDEO }, 0, 184)]);
}

#[test]
fn a_multiplexer_that_does_not_count_loses_nothing_once_that_is_known() {
    let source = Source::usual();
    let packets = bytes_of(&source, 0, 500);
    let mut uncounted = packets.clone();
    uncounted.iter_mut().for_each(|packet| packet[3] &= 0xF0);
    let mut seen = ContinuityTable::new();
    for packet in &uncounted {
        seen.check(Packet::parse(packet).unwrap(), PayloadDigest::of(packet));
    }
    let mut splice = Splice::new();
    begin(&mut splice, 0, &source);
    splice.counts_by(seen.habits());
    let left = restamp(&mut splice, &uncounted);
    for stream in &source.streams {
        let of = |packets: &[PacketBytes]| -> Vec<PacketBytes> {
            let [high, low] = stream.pid.to_be_bytes();
            packets.iter().filter(|packet| [packet[1] & 0x1F, packet[2]] == [high, low]).copied().collect()
        };
        assert_eq!(of(&left), of(&packets), "{:#x}", stream.pid);
    }
}

#[test]
fn the_first_run_leaves_as_it_comes_with_whatever_else_is_in_it() {
    let mut splice = Splice::new();
    let source = Source::usual();
    begin(&mut splice, 0, &source);
    let mut packets: Vec<PacketBytes> =
        source.packets(0, 500).into_iter().map(|(_, packet)| packet).collect();
    let data = Fields { pid: 0x777, counter: 3, unit_start: true, ..Fields::NONE }.packet(&[0; 184]);
    let more_data = Fields { pid: 0x777, counter: 4, ..Fields::NONE }.packet(&[5; 184]);
    let service = Fields { pid: 0x11, counter: 7, unit_start: true, ..Fields::NONE }.packet(&[0; 184]);
    packets.extend([data, more_data, service, NULL_PACKET]);
    assert_eq!(restamp(&mut splice, &packets), packets);
    assert_eq!(splice.counts(), SpliceCounts::default());
}

#[test]
fn nothing_that_may_be_of_another_programme_leaves_and_the_pat_lists_one() {
    let unlisted = |counter, unit_start, data: &[u8]| {
        Fields { pid: 0x777, counter, unit_start, ..Fields::NONE }.packet(data)
    };
    let mut pes = [5; 184];
    pes[..4].copy_from_slice(&[0, 0, 1, 0xE0]);
    let pcr = Some(Pcr::from_ticks(5));
    let clock = Fields { pid: 0x778, pcr, no_payload: true, ..Fields::NONE }.packet(&[]);
    let packets = [unlisted(3, true, &pes), unlisted(4, false, &[5; 184]), clock];
    // Data in sections, which the only programme may have without listing them.
    let mut table = crate::ts::testing::Stream::default();
    table.push_section(
        0x779,
        &crate::ts::testing::section(2, 2, 0, &[0xE7, 0x77, 0xF0, 0, 0x1B, 0xE7, 0x77, 0xF0, 0]),
    );
    let source = Source::usual();
    let others = crate::ts::testing::section(0, 1, 1, &[0, 1, 0xF0, 0, 0, 2, 0xE7, 0x79]);
    let mut both = crate::ts::testing::Stream::default();
    both.push_section(0, &others);
    let one = bytes_of(&source, 0, 1);
    for (name, alone, pat, passes) in [
        ("one programme", true, &one, true),
        ("two programmes", false, &both.packets, false),
        ("two programmes of a sudden", true, &both.packets, false),
    ] {
        let mut splice = Splice::new();
        let mut programme = source.programme();
        programme.alone = alone;
        let run = Run { kind: RunKind::Live, programme: &programme, lead: FirstTimestamps::default() };
        splice.begin(Instant::START, &run);
        if alone {
            assert_eq!(restamp(&mut splice, &table.packets), table.packets, "{name}");
        }
        let mut left = restamp(&mut splice, pat);
        left.truncate(1);
        assert_eq!(left[0][13..17], one[0][13..17], "{name}: the first programme is listed");
        assert_eq!(left[0][7], 13, "{name}: and nothing else");
        assert_eq!(restamp(&mut splice, &packets), [NULL_PACKET; 3], "{name}");
        let mut again = table.packets.clone();
        again[0][3] = (again[0][3] & 0xF0) | 1;
        let expected = if passes { again.clone() } else { vec![NULL_PACKET] };
        assert_eq!(restamp(&mut splice, &again), expected, "{name}");
    }
}

#[test]
fn what_comes_before_the_table_that_lists_it_does_not_leave() {
    let mut splice = Splice::new();
    let source = Source::usual();
    begin(&mut splice, 0, &source);
    restamp(&mut splice, &bytes_of(&source, 0, 100));
    let pids = |left: &[PacketBytes]| -> std::collections::BTreeSet<u16> {
        left.iter().map(|packet| u16::from_be_bytes([packet[1] & 0x1F, packet[2]])).collect()
    };
    let mut moved = Source { version: 1, pcr_pid: 0x300, ..Source::usual() };
    (moved.streams[0].pid, moved.streams[1].pid) = (0x300, 0x301);
    // Its tables are counted on, or the later ones would repeat the earlier.
    let of_both = moved.packets(100, 300).into_iter();
    let (first, rest): (Vec<_>, Vec<_>) = of_both.partition(|(millis, _)| *millis < 200);
    let bytes = |timed: Vec<(u64, PacketBytes)>| timed.into_iter().map(|(_, packet)| packet);
    let (tables, others): (Vec<_>, Vec<_>) =
        bytes(first).partition(|packet| [0, 0x10].contains(&(packet[1] & 0x1F)));
    assert_eq!(pids(&restamp(&mut splice, &others)), [0x1FFF].into());
    let tables = restamp(&mut splice, &tables);
    assert_eq!(pids(&tables), [0, 0x1000].into());
    // It is the same in kind, and stays where viewers have it.
    let left = restamp(&mut splice, &bytes(rest).collect::<Vec<_>>());
    assert_eq!(pids(&left), [0, 0x100, 0x101, 0x1000].into());
}

#[test]
fn a_later_run_lets_nothing_pass_but_its_programme_and_the_standards_tables() {
    let mut splice = Splice::new();
    begin(&mut splice, 0, &Source::usual());
    let service = |counter, unit_start, data| {
        Fields { pid: 0x11, counter, unit_start, ..Fields::NONE }.packet(&[data; 184])
    };
    restamp(&mut splice, &[service(7, true, 0)]);
    begin(&mut splice, 10, &Source::other());
    let unlisted = Fields { pid: 0x777, ..Fields::NONE }.packet(&[5; 184]);
    let middle = Fields { pid: 0x200, ..Fields::NONE }.packet(&[5; 184]);
    let packets = [service(2, false, 1), service(3, true, 2), unlisted, middle];
    let expected = [NULL_PACKET, service(8, true, 2), NULL_PACKET, NULL_PACKET];
    assert_eq!(restamp(&mut splice, &packets), expected);
    assert_eq!(splice.counts().unmapped_packets, 1);
}

#[test]
fn the_clock_in_a_packet_that_may_not_leave_does() {
    let mut splice = Splice::new();
    let source = Source::usual();
    begin(&mut splice, 0, &source);
    restamp(&mut splice, &source.packets(0, 50).into_iter().map(|(_, packet)| packet).collect::<Vec<_>>());
    begin(&mut splice, 0, &source);
    let pcr = Some(Pcr::from_ticks(90_000 * 300));
    let middle = Fields { pcr, random_access: true, counter: 3, ..VIDEO }.packet(&[5; 100]);
    let left = restamp(&mut splice, &[middle])[0];
    assert_eq!((left[3] & 0xF0, left[4], left[5]), (0x20, 183, 0x10));
    assert_eq!(Some(Pcr::from_field(left[6..12].try_into().unwrap())), splice.clock(Instant::START));
    assert!(left[12..].iter().all(|byte| *byte == 0xFF));
}

#[test]
fn a_source_that_changes_its_programme_is_followed_at_once() {
    let mut splice = Splice::new();
    begin(&mut splice, 0, &Source::usual());
    restamp(&mut splice, &bytes_of(&Source::usual(), 0, 100));
    begin(&mut splice, 100, &Source::other());
    restamp(&mut splice, &bytes_of(&Source::other(), 0, 100));
    // The second source gets a second sound stream.
    let mut more = Source { version: 6, ..Source::other() };
    more.streams.push(crate::splice::tests::source::Es::audio(0x333, 0x0F));
    let left = restamp(&mut splice, &bytes_of(&more, 200, 400));
    let known = splice.programme().unwrap();
    let pids: Vec<_> = known.pmt.streams().iter().map(|stream| stream.pid.get()).collect();
    assert_eq!(pids, [0x101, 0x100, 0x333]);
    let at = left.iter().position(|packet| packet[1..3] == [0x50, 0]).unwrap();
    assert_eq!(left[at][5..5 + known.pmt.section_bytes().len()], *known.pmt.section_bytes());
    assert!(left[at..].iter().any(|packet| packet[1..3] == [0x43, 0x33]));
}

fn bytes_of(source: &Source, from: u64, until: u64) -> Vec<PacketBytes> {
    bytes(&source.packets(from, until)).as_chunks().0.to_vec()
}

proptest! {
    #[test]
    fn counters_that_begin_anew_wherever_something_begins_are_counted_on_and_nothing_is_lost(
        // Fifteen further is the counter of the one before: a table that has not changed is then a repetition.
        steps in prop::collection::vec(0..15_u8, 1..40),
        burst in 1..200_usize,
    ) {
        let source = Source::usual();
        let packets = bytes_of(&source, 0, 1000);
        let mut added = std::collections::BTreeMap::new();
        let mut steps = steps.into_iter().cycle();
        let jumping: Vec<PacketBytes> = packets
            .iter()
            .map(|packet| {
                let mut packet = *packet;
                let step: &mut Option<u8> = added.entry([packet[1] & 0x1F, packet[2]]).or_default();
                if packet[1] & 0x40 != 0 {
                    // The first of all is counted from.
                    *step = Some(step.map_or(0, |step| step + steps.next().unwrap()) % 16);
                }
                packet[3] = (packet[3] & 0xF0) | ((packet[3] + step.unwrap_or(0)) & 0x0F);
                packet
            })
            .collect();
        let mut splice = Splice::new();
        begin(&mut splice, 0, &source);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&source.programme()));
        let (mut held, mut left) = (Vec::new(), Vec::new());
        for packets in jumping.chunks(burst) {
            packets.iter().for_each(|packet| holdback.packet(packet));
            held.extend(packets.concat());
            let free = holdback.release(&mut held);
            left.extend(restamp(&mut splice, held[..free].as_chunks().0));
            held.drain(..free);
        }
        let held = held.len() / 188;
        prop_assert!(held < 30, "{} are held", held);
        let other = left.iter().zip(&packets).position(|(left, packet)| left != packet);
        prop_assert_eq!((left.len(), other), (packets.len() - held, None));
        prop_assert_eq!(splice.counts(), SpliceCounts::default());
    }

    #[test]
    fn no_packet_makes_it_panic_or_lose_its_place(
        parts in prop::collection::vec(
            (0..9_usize, any::<[u8; 3]>(), prop::collection::vec(any::<u8>(), 184), any::<bool>()),
            0..60,
        ),
    ) {
        const PIDS: [u16; 9] = [0, 0x11, 0x20, 0x200, 0x201, 0x1000, 0x100, 0x777, 0x1FFF];
        let mut packets = bytes_of(&Source::other(), 0, 60);
        for (pid, header, payload, pes) in parts {
            let mut packet = [0x47; 188];
            let [high, low] = PIDS[pid].to_be_bytes();
            packet[1..4].copy_from_slice(&[(header[0] & 0xE0) | high, low, header[1]]);
            packet[4..].copy_from_slice(&payload);
            if pes {
                // The beginning of a PES packet behind an adaptation field of any length that fits.
                packet[1] |= 0x40;
                packet[3] = (packet[3] & 0x0F) | 0x30;
                let at = 5 + usize::from(header[2]) % 182;
                packet[4] = u8::try_from(at - 5).unwrap();
                let start = [0, 0, 1, 0xE0, 0, 0, 0x80];
                let fits = start.len().min(188 - at);
                packet[at..at + fits].copy_from_slice(&start[..fits]);
            }
            packets.push(packet);
        }
        for first in [Source::usual(), Source::other()] {
            let mut splice = Splice::new();
            begin(&mut splice, 0, &first);
            let before = restamp(&mut splice, &packets);
            begin(&mut splice, 50, &Source::other());
            for left in [before, restamp(&mut splice, &packets)] {
                prop_assert_eq!(left.len(), packets.len());
                prop_assert!(left.iter().all(|packet| packet[0] == 0x47 && packet[1] & 0x80 == 0));
            }
            let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
            holdback.set_programme(Some(&Source::other().programme()));
            let mut released = 0;
            for packet in &packets {
                holdback.packet(packet);
                prop_assert!(holdback.releasable() >= released);
                released = holdback.releasable();
            }
        }
    }
}
