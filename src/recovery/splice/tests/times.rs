//! Times inside a run: what breaks in a source does not break what leaves.

use crate::base::Instant;
use crate::recovery::splice::tests::checker::Checker;
use crate::recovery::splice::tests::source::{Es, Source, bytes};
use crate::recovery::splice::{Lead, Run, RunKind, Splice};

/// A run of parts of sources, one behind the other in real time, and what a receiver makes of it.
fn play(splice: &mut Splice, checker: &mut Checker, from: u64, parts: &[(&Source, u64, u64)]) {
    let (source, start, until) = parts[0];
    let programme = source.programme();
    let lead = Lead::scan(&bytes(&source.packets(start, until)), &programme);
    let run = Run { kind: RunKind::Live, programme: &programme, lead };
    checker.feed(from, &splice.begin(Instant::from_millis(from), &run));
    let mut counters = std::collections::BTreeMap::new();
    let mut passed = from;
    for (source, start, until) in parts {
        for (at, mut packet) in source.packets(*start, *until) {
            let counter = counters.entry([packet[1] & 0x1F, packet[2]]).or_insert(15);
            if packet[3] & 0x10 != 0 {
                *counter = (*counter + 1) % 16;
            }
            packet[3] = (packet[3] & 0xF0) | *counter;
            let now = passed + at - start;
            splice.restamp(Instant::from_millis(now), &mut packet);
            checker.feed(now, &packet);
        }
        passed += until - start;
    }
}

fn steps(times: &[i64]) -> Vec<i64> {
    times.windows(2).map(|pair| (pair[1] - pair[0]).rem_euclid(1 << 33)).collect()
}

#[test]
fn a_time_base_that_breaks_is_carried_on_with_its_streams_together() {
    for moved in [-80_000_i64, -45_000, 5_000_000, -(1 << 32), 200_000] {
        let source = Source { base: (1 << 33) - 50_000, ..Source::usual() };
        let mut other = source.clone();
        other.base = other.base.wrapping_add_signed(moved) & ((1 << 33) - 1);
        let (mut splice, mut checker) = (Splice::new(), Checker::default());
        play(&mut splice, &mut checker, 0, &[(&source, 0, 1000), (&other, 1000, 2000)]);
        assert!(checker.faults.is_empty(), "moved by {moved}: {:#?}", checker.faults);
        let (video, sound) = (&checker.decoded[&0x100], &checker.decoded[&0x101]);
        assert!(steps(video).iter().all(|step| (3600..=5400).contains(step)), "{moved}: {:?}", steps(video));
        assert!(steps(sound).iter().all(|step| *step <= 3 * 1920), "{moved}: {:?}", steps(sound));
        // Sound was 0.2 s before the pictures and still is.
        let apart = (video.last().unwrap() - sound.last().unwrap()).rem_euclid(1 << 33);
        assert!((18_000 - 3600..=18_000 + 3600).contains(&apart), "{moved}: {apart}");
        assert_eq!(splice.counts().reanchorings, 3, "{moved}: the clock and both streams");
    }
}

#[test]
fn pictures_that_only_say_when_they_are_shown_are_left_in_their_order() {
    let mut source = Source::usual();
    source.streams[0].reorders = false;
    let packets = source.packets(0, 1000);
    // Each picture changes places with its neighbour: only the presentation times are known, and they step back.
    let mut bytes = bytes(&packets);
    let starts: Vec<_> = (0..bytes.len() / 188)
        .map(|index| index * 188)
        .filter(|at| bytes[at + 1] == 0x41 && bytes[at + 2] == 0 && bytes[at + 12..at + 15] == [0, 0, 1])
        .collect();
    for pair in starts.chunks_exact(2) {
        for byte in 21..26 {
            bytes.swap(pair[0] + byte, pair[1] + byte);
        }
    }
    let programme = source.programme();
    let lead = Lead::scan(&bytes, &programme);
    let mut splice = Splice::new();
    splice.begin(Instant::START, &Run { kind: RunKind::Live, programme: &programme, lead });
    let came = bytes.clone();
    splice.restamp(Instant::START, &mut bytes);
    assert_eq!(starts.len(), 25);
    assert!(bytes == came, "nothing was changed");
    assert_eq!(splice.counts().reanchorings, 0);
}

#[test]
fn sound_whose_time_has_left_already_is_left_out_whole() {
    let (mut splice, mut checker) = (Splice::new(), Checker::default());
    let source = Source::usual();
    let mut early = Source::other();
    // Its sound is half a second behind its pictures, that of the first source 0.2 s.
    early.streams[0] = Es { lead: 18_000, ..Es::audio(0x201, 0x0F) };
    play(&mut splice, &mut checker, 0, &[(&source, 0, 1000)]);
    play(&mut splice, &mut checker, 1000, &[(&early, 0, 1000)]);
    assert!(checker.faults.is_empty(), "{:#?}", checker.faults);
    let dropped = splice.counts().pes_dropped;
    assert!((9..=15).contains(&dropped), "{dropped} frames of 21 ms for 0.3 s less what may be added");
    let steps = steps(&checker.decoded[&0x100]);
    assert!(steps.iter().all(|step| (3600..=3600 + 9000).contains(step)), "{steps:?}");
}

#[test]
fn times_go_on_over_the_wrap_and_over_silence() {
    let (mut splice, mut checker) = (Splice::new(), Checker::default());
    let source = Source { base: (1 << 33) - 90_000, ..Source::usual() };
    let other = Source::other();
    let mut now = 0;
    for (run, silence) in [(&source, 0), (&other, 10_000), (&source, 70_000), (&other, 300)] {
        now += silence;
        play(&mut splice, &mut checker, now, &[(run, 0, 1500)]);
        now += 1500;
    }
    assert!(checker.faults.is_empty(), "{:#?}", checker.faults);
    let clocks = &checker.clocks;
    let whole = (clocks.last().unwrap() - clocks[0]).rem_euclid(1 << 33) / 90;
    assert!((i64::try_from(now).unwrap() - whole).abs() < 100, "{whole} ms of {now}");
    assert_eq!(splice.counts().reanchorings, 0);
}
