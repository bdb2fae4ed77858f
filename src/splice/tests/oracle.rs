//! Sessions made up at random, and what a strict receiver finds in them.

use proptest::prelude::*;

use crate::base::Instant;
use crate::base::limits::PACKET_BYTES;
use crate::splice::edit;
use crate::splice::holdback::{HELD_BYTES_MAX, Holdback};
use crate::splice::outlook::Behind;
use crate::splice::tests::checker::Checker;
use crate::splice::tests::source::{Es, Source};
use crate::splice::{FirstTimestamps, Run, RunKind, Splice};
use crate::ts::{PacketBytes, PayloadDigest, PlainRun, SYNC_BYTE};

/// One run of a session.
#[derive(Clone, Debug)]
struct Leg {
    source: Source,
    kind: RunKind,
    /// Where in the source it begins, and how long it takes.
    from: u64,
    millis: u64,
    /// Packets cut off its end.
    torn: usize,
    /// Every so many packets this one is lost.
    loss: Option<usize>,
    /// Every so many packets one comes twice.
    repeats: Option<usize>,
    /// Silence behind it.
    silence: u64,
    /// Bytes that come at once, in milliseconds of the source.
    burst: u64,
    /// The time base moves by this in the middle. A step ahead of less than a second is none.
    moves: i64,
    /// It takes over with its first packet, before its first picture has come.
    hasty: bool,
    /// Tables fill the silence behind it.
    idle: bool,
}

fn sources() -> impl Strategy<Value = Source> {
    let base = prop_oneof![0..(1_u64 << 33), Just((1 << 33) - 90_000), Just((1 << 33) - 200_000), Just(0),];
    let pids = prop_oneof![Just(0x100), Just(0x101), Just(0x200), Just(0x31), Just(0x1000), 0x20..0x1F00_u16];
    (
        base,
        pids,
        prop_oneof![Just(0x1B_u8), Just(0x24), Just(0x02)],
        prop::collection::vec(prop_oneof![Just(0x0F_u8), Just(0x81), Just(0x03)], 0..3),
        any::<bool>(),
        any::<bool>(),
        0..32_u8,
        prop_oneof![Just(0x1000_u16), Just(0x20), Just(0x100)],
    )
        .prop_map(|(base, first, video, audio, audio_first, own_clock, version, pmt_pid)| {
            let mut pids = (first..).filter(|pid| *pid != pmt_pid);
            let mut streams = vec![Es::video(pids.next().unwrap(), video)];
            for stream_type in audio {
                streams.push(Es::audio(pids.next().unwrap(), stream_type));
            }
            let pcr_pid = if own_clock { pids.next().unwrap() } else { streams[0].pid };
            if audio_first {
                streams.rotate_left(1);
            }
            Source { number: u16::from(version) + 1, pmt_pid, version, pcr_pid, streams, base }
        })
}

fn moves() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0_i64), 1 => -400_000..0_i64, 1 => 160_000..400_000_i64, 1 => Just(5_000_000_000)]
}

fn legs() -> impl Strategy<Value = Leg> {
    let every = || prop::option::weighted(0.4, 20..200_usize);
    (
        sources(),
        any::<bool>(),
        0..2000_u64,
        (1..1500_u64, prop_oneof![Just(0), 0..10_000_u64]),
        0..30_usize,
        every(),
        every(),
        1..60_u64,
        (moves(), any::<bool>(), any::<bool>()),
    )
        .prop_map(
            |(source, filler, from, (millis, silence), torn, loss, repeats, burst, (moves, hasty, idle))| {
                Leg {
                    source,
                    kind: if filler { RunKind::Filler } else { RunKind::Live },
                    from,
                    millis,
                    torn,
                    loss,
                    repeats,
                    silence,
                    burst,
                    moves: if millis < 400 { 0 } else { moves },
                    hasty,
                    idle,
                }
            },
        )
}

/// What arrives of a leg.
fn arrive(leg: &Leg) -> Vec<(u64, PacketBytes)> {
    let half = leg.millis / 2;
    let mut sent = leg.source.packets(leg.from, leg.from + half);
    let mut moved = leg.source.clone();
    moved.base = moved.base.wrapping_add_signed(leg.moves) & ((1 << 33) - 1);
    let mut counters = std::collections::BTreeMap::new();
    sent.extend(moved.packets(leg.from + half, leg.from + leg.millis));
    // The second half counts on where the first one ends.
    for (_, packet) in &mut sent {
        let counter = counters.entry([packet[1] & 0x1F, packet[2]]).or_insert(15_u8);
        if packet[3] & 0x10 != 0 {
            *counter = (*counter + 1) % 16;
        }
        packet[3] = (packet[3] & 0xF0) | *counter;
    }
    let mut arrived = Vec::new();
    for (index, (at, packet)) in sent.into_iter().enumerate() {
        if leg.loss.is_some_and(|every| index % every == every - 1) {
            continue;
        }
        arrived.push((at - leg.from, packet));
        if packet[3] & 0x10 != 0 && leg.repeats.is_some_and(|every| index % every == every - 2) {
            arrived.push((at - leg.from, packet));
        }
    }
    arrived.truncate(arrived.len().saturating_sub(leg.torn));
    arrived
}

/// Restamps packet by packet, as if none of them made a run.
fn restamp_one_by_one(splice: &mut Splice, now: Instant, packets: &mut [u8], held: &[u8]) {
    let (packets, _) = packets.as_chunks_mut::<PACKET_BYTES>();
    splice.restampings += 1;
    splice.came_at = now;
    for at in 0..packets.len() {
        let (packet, rest) = packets[at..].split_first_mut().unwrap();
        let digest = PayloadDigest::of(packet);
        let behind = Behind { rest, held: held.as_chunks().0 };
        if let Some(hole) = splice.packet(now, at, packet, digest, behind) {
            edit::hole(&mut packets[hole.at], hole.pid, hole.counter);
        }
    }
}

/// Takes packets by their runs.
fn hold_runs(holdback: &mut Holdback, packets: &[PacketBytes]) {
    let mut at = 0;
    while at < packets.len() {
        let Some(run) = PlainRun::at_front(&packets[at..]) else {
            holdback.packet(&packets[at]);
            at += 1;
            continue;
        };
        holdback.run(run, &packets[at..], PayloadDigest::of_last(run, &packets[at..]));
        at += run.packets();
    }
}

/// Plays a session and returns what its viewer found. What is made of runs is held against what is made of single packets.
fn play(legs: &[Leg]) -> (Checker, Splice) {
    let mut checker = Checker::default();
    let mut splice = Splice::new();
    let mut one_by_one = Splice::new();
    let mut now = 0;
    for leg in legs {
        let programme = leg.source.programme();
        let arrived = arrive(leg);
        let mut holdback = Holdback::new(false, HELD_BYTES_MAX);
        holdback.set_programme(Some(&programme));
        let mut holdback_of_runs = Holdback::new(false, HELD_BYTES_MAX);
        holdback_of_runs.set_programme(Some(&programme));
        let mut held: Vec<u8> = Vec::new();
        let mut released = 0;
        let mut begun = false;
        for burst in arrived.chunk_by(|a, b| a.0 / leg.burst == b.0 / leg.burst) {
            let at = now + burst.last().unwrap().0;
            for (_, packet) in burst {
                holdback.packet(packet);
                held.extend(packet);
            }
            let burst: Vec<_> = burst.iter().map(|(_, packet)| *packet).collect();
            hold_runs(&mut holdback_of_runs, &burst);
            assert_eq!(holdback_of_runs.releasable(), holdback.releasable());
            let free = usize::try_from(holdback.releasable() - released).unwrap();
            let lead = FirstTimestamps::scan(&held, &programme);
            if free == 0 || !(begun || leg.hasty || lead.video.is_some()) {
                continue;
            }
            if !begun {
                let run = Run { kind: leg.kind, programme: &programme, lead };
                let boundary = splice.begin(Instant::from_millis(at), &run);
                assert_eq!(one_by_one.begin(Instant::from_millis(at), &run), boundary);
                assert_eq!(boundary.is_empty(), !splice.report.made);
                checker.feed(at, &boundary);
                begun = true;
            }
            let mut whole: Vec<u8> = held.drain(..free).collect();
            released += u64::try_from(free).unwrap();
            let before = whole.len();
            let mut expected = whole.clone();
            restamp_one_by_one(&mut one_by_one, Instant::from_millis(at), &mut expected, &held);
            splice.restamp_before(Instant::from_millis(at), &mut whole, &held);
            assert_eq!(whole, expected, "a run leaves as its packets would");
            assert_eq!(whole.len(), before);
            assert!(whole.chunks(188).all(|packet| packet[0] == SYNC_BYTE));
            checker.feed(at, &whole);
        }
        now += leg.millis;
        if leg.idle {
            checker.feed(now, &splice.pause(Instant::from_millis(now)));
            one_by_one.pause(Instant::from_millis(now));
            for later in (200..leg.silence).step_by(200) {
                checker.feed(now + later, &splice.psi());
                one_by_one.psi();
            }
        }
        now += leg.silence;
    }
    checker.finish();
    assert_eq!(splice.counts(), one_by_one.counts());
    (checker, splice)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_sequence_of_runs_breaks_the_timeline(legs in prop::collection::vec(legs(), 1..6)) {
        let (checker, _) = play(&legs);
        prop_assert!(checker.faults.is_empty(), "{:#?}", &checker.faults[..checker.faults.len().min(12)]);
    }
}

/// Steps back of a frame of sound and of a moment, with losses near them.
#[test]
fn a_little_step_back_among_losses_breaks_nothing() {
    let source = |pcr_pid| {
        let streams = vec![Es::video(0x100, 0x1B), Es::audio(0x101, 0x0F), Es::audio(0x102, 0x0F)];
        Source { pcr_pid, streams, base: 0, ..Source::usual() }
    };
    for (pcr_pid, from, millis, loss, moves) in
        [(0x100, 1441, 404, 37, -1920), (0x100, 1029, 1144, 105, -1920), (0x103, 1067, 1068, 53, -91)]
    {
        let leg = Leg {
            source: source(pcr_pid),
            kind: RunKind::Live,
            from,
            millis,
            torn: 0,
            loss: Some(loss),
            repeats: None,
            silence: 0,
            burst: 1,
            moves,
            hasty: false,
            idle: false,
        };
        let (checker, _) = play(&[leg]);
        assert!(checker.faults.is_empty(), "from {from}: {:#?}", checker.faults);
    }
}
