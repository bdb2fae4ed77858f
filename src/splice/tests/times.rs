//! Times inside a run: what breaks in a source does not break what leaves.

use crate::base::Instant;
use crate::filler::slate::{Player, Slate};
use crate::splice::tests::checker::Checker;
use crate::splice::tests::source::{Es, Source, bytes};
use crate::splice::{ClockBefore, FirstTimestamps, Run, RunKind, Splice};
use crate::ts::testing::{Fields, pes};
use crate::ts::{Packet, PesStart, Pid, Pts};

/// A run of parts of sources, one behind the other in real time, and what a receiver makes of it.
fn play(splice: &mut Splice, checker: &mut Checker, from: u64, parts: &[(&Source, u64, u64)]) {
    let (source, start, until) = parts[0];
    let programme = source.programme();
    let lead = FirstTimestamps::scan(&bytes(&source.packets(start, until)), &programme);
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
        assert_eq!(splice.counts().reanchorings, 1, "{moved}: one of all");
    }
}

#[test]
fn data_whose_own_times_step_back_is_left_in_its_order_in_every_time_base() {
    let mut source = Source::usual();
    source.streams.push(Es { frame: 9_000, lead: 30_000, ..Es::audio(0x102, 0x06) });
    let moved = 5_000_000;
    let other = Source { base: source.base + moved, ..source.clone() };
    let mut packets = source.packets(0, 1000);
    packets.extend(other.packets(1000, 2000));
    let times = |packet: &[u8; 188]| {
        let view = Packet::parse(packet).unwrap();
        let starts = view.payload_unit_start_indicator() && view.pid().get() == 0x102;
        let PesStart::Timed(times) = PesStart::read(&packet[view.payload_at()?..]) else { return None };
        starts.then_some(times)
    };
    // Each third one is shown a millisecond before the second.
    let mut came = Vec::new();
    for (_, packet) in &mut packets {
        let Some(own) = times(packet) else { continue };
        let earlier = came.last().filter(|_| came.len() % 3 == 2).map(|last: &Pts| last.plus(-90));
        let pts = earlier.unwrap_or(own.pts);
        let at = Packet::parse(packet).unwrap().payload_at().unwrap();
        crate::ts::write_pes_times(&mut packet[at..], crate::ts::PesTimes { pts, dts: None });
        came.push(pts);
    }
    let programme = source.programme();
    let lead = FirstTimestamps::scan(&bytes(&packets), &programme);
    let mut splice = Splice::new();
    splice.begin(Instant::START, &Run { kind: RunKind::Live, programme: &programme, lead });
    let mut left = Vec::new();
    for (at, mut packet) in packets {
        splice.restamp(Instant::from_millis(at), &mut packet);
        left.extend(times(&packet).map(|times| times.pts));
    }
    let offsets: Vec<_> = left.iter().zip(&came).map(|(left, came)| left.since(*came)).collect();
    let (first, second) = offsets.split_at(came.len() / 2);
    assert_eq!((came.len(), left.len()), (20, 20), "nothing is left out");
    assert!(first.iter().all(|offset| *offset == 0), "{first:?}");
    // The first one behind the joint may come before what tells of it.
    assert!(second[1..].iter().all(|offset| *offset == second[1] && *offset < 0), "{second:?}");
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
    let lead = FirstTimestamps::scan(&bytes, &programme);
    let mut splice = Splice::new();
    splice.begin(Instant::START, &Run { kind: RunKind::Live, programme: &programme, lead });
    let came = bytes.clone();
    splice.restamp(Instant::START, &mut bytes);
    assert_eq!(starts.len(), 25);
    assert!(bytes == came, "nothing was changed");
    assert_eq!(splice.counts().reanchorings, 0);
}

#[test]
fn pictures_of_a_slow_camera_are_left_in_their_order_too() {
    // A picture a second, of which each third comes before the two that are shown before it.
    let source = Source { streams: vec![Es::audio(0x101, 0x0F)], pcr_pid: 0x150, ..Source::usual() };
    let with_video =
        Source { streams: vec![Es::video(0x100, 0x1B), Es::audio(0x101, 0x0F)], ..source.clone() };
    let mut stream = crate::ts::testing::Stream::default();
    for (second, shown) in
        (0..30).zip([0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17].into_iter().cycle())
    {
        let round = second / 19 * 19;
        let clock = 90_000 * (second + 1);
        let pcr = Some(crate::ts::Pcr::from_ticks(clock * 300));
        stream.push(Fields { pid: 0x150, pcr, ..Fields::NONE }, &[]);
        let pts = Pts::from_ticks(90_000 * (shown + round + 4));
        stream.push_pes(Fields { pid: 0x100, ..Fields::NONE }, &pes(0xE0, Some(pts), &[7; 300]), 184);
    }
    let mut bytes = stream.packets.concat();
    let came = bytes.clone();
    let programme = with_video.programme();
    let lead = FirstTimestamps::scan(&bytes, &programme);
    let mut splice = Splice::new();
    splice.begin(Instant::START, &Run { kind: RunKind::Live, programme: &programme, lead });
    for (number, packet) in bytes.chunks_mut(188).enumerate() {
        splice.restamp(Instant::from_millis(u64::try_from(number).unwrap() * 330), packet);
    }
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
fn an_encoder_that_starts_anew_as_another_on_the_same_connection_is_a_new_version_at_the_same_time() {
    let source = Source::usual();
    // The same version, whatever changes: where the table is, where the streams are, what they are.
    let video = |pid| Es::video(pid, 0x24);
    let table = [
        ("on other PIDs", 0x20, vec![video(0x200), Es::audio(0x201, 0x0F)]),
        ("sound first", 0x1000, vec![Es::audio(0x201, 0x0F), video(0x200)]),
        ("on the same PIDs", 0x1000, vec![video(0x100), Es::audio(0x101, 0x0F)]),
        ("on the table's PID", 0x20, vec![video(0x1000), Es::audio(0x101, 0x0F)]),
    ];
    for (name, pmt_pid, streams) in table {
        for base in [90_000, 90_000 * 3_000, (1 << 33) - 50_000] {
            let pcr_pid = streams.iter().find(|es| es.stream_type == 0x24).map_or(0, |es| es.pid);
            let other = Source { pmt_pid, pcr_pid, base, streams: streams.clone(), ..Source::usual() };
            let (mut splice, mut checker) = (Splice::new(), Checker::default());
            play(&mut splice, &mut checker, 0, &[(&source, 0, 1000), (&other, 0, 1000)]);
            assert!(checker.faults.is_empty(), "{name}, {base}: {:#?}", checker.faults);
            let versions: Vec<_> = checker.pmts.iter().map(|(version, _)| *version).collect();
            assert_eq!(versions, [0, 1], "{name}, {base}");
            let of = |stream_type: u8| {
                let (pid, _) = checker.streams.iter().find(|(_, is)| **is == stream_type).unwrap();
                checker.decoded[pid].last().unwrap()
            };
            let last = checker.decoded[&0x100].iter().take(25).next_back().unwrap();
            let (video, sound) = (of(0x24), of(0x0F));
            let passed = (video - last).rem_euclid(1 << 33);
            assert!((85_000..=100_000).contains(&passed), "{name}, {base}: {passed} in a second");
            let apart = (video - sound).rem_euclid(1 << 33);
            assert!((14_400..=21_600).contains(&apart), "{name}, {base}: {apart}");
        }
    }
}

#[test]
fn a_stream_that_joins_in_the_same_time_base_leaves_as_it_is() {
    let source = Source::usual();
    let mut more = source.clone();
    more.version = 1;
    more.streams.push(Es { lead: 20_000, ..Es::audio(0x102, 0x03) });
    let (mut splice, mut checker) = (Splice::new(), Checker::default());
    play(&mut splice, &mut checker, 0, &[(&source, 0, 1000), (&more, 1000, 2000)]);
    assert!(checker.faults.is_empty(), "{:#?}", checker.faults);
    assert_eq!(checker.pmts.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(checker.decoded[&0x102].len(), 47);
    assert_eq!(splice.counts().reanchorings, 0);
}

/// A part of a source that takes `pace` times as long as it should.
fn trickle(
    splice: &mut Splice,
    checker: &mut Checker,
    from: u64,
    pace: u64,
    source: &Source,
    span: (u64, u64),
) {
    for (at, mut packet) in source.packets(span.0, span.1) {
        let now = from + (at - span.0) * pace;
        splice.restamp(Instant::from_millis(now), &mut packet);
        checker.feed(now, &packet);
    }
}

/// How long the last picture of one PID is decoded after the last sound of another.
fn apart(checker: &Checker, video: u16, sound: u16) -> i64 {
    let last = |pid| *checker.decoded[&pid].last().unwrap();
    (last(video) - last(sound) + (1 << 32)).rem_euclid(1 << 33) - (1 << 32)
}

#[test]
fn a_pid_that_has_rested_goes_on_with_the_others_also_when_the_session_was_slower_than_time() {
    let usual = Source::usual();
    // One of the two has a PID of its own meanwhile, and the other rests.
    let table = [
        ("pictures", vec![Es::video(0x100, 0x24), Es::audio(0x101, 0x0F)]),
        ("sound", vec![Es::video(0x100, 0x1B), Es::audio(0x101, 0x03)]),
        ("both", vec![Es::video(0x100, 0x24), Es::audio(0x101, 0x03)]),
    ];
    for (name, streams) in table {
        let other = Source { streams, base: 700_000, ..Source::usual() };
        let (mut splice, mut checker) = (Splice::new(), Checker::default());
        play(&mut splice, &mut checker, 0, &[(&usual, 0, 1000)]);
        let programme = other.programme();
        let lead = FirstTimestamps::scan(&bytes(&other.packets(0, 2000)), &programme);
        let run = Run { kind: RunKind::Live, programme: &programme, lead };
        checker.feed(1000, &splice.begin(Instant::from_millis(1000), &run));
        trickle(&mut splice, &mut checker, 1000, 8, &other, (0, 2000));
        play(&mut splice, &mut checker, 17_000, &[(&usual, 0, 1000)]);
        assert!(checker.faults.is_empty(), "{name}: {:#?}", checker.faults);
        let apart = apart(&checker, 0x100, 0x101);
        assert!((14_400..=21_600).contains(&apart), "{name}: {apart}");
        assert_eq!(splice.counts().reanchorings, 0, "{name}");
    }
}

#[test]
fn what_follows_a_source_that_stood_still_goes_on_where_that_was() {
    let usual = Source::usual();
    let streams = vec![Es::video(0x110, 0x24), Es::audio(0x101, 0x0F)];
    let other = Source { version: 1, streams, pcr_pid: 0x110, ..Source::usual() };
    // Another stream of the same run.
    let (mut splice, mut checker) = (Splice::new(), Checker::default());
    play(&mut splice, &mut checker, 0, &[(&usual, 0, 1000)]);
    trickle(&mut splice, &mut checker, 9000, 1, &other, (1000, 2000));
    let joined = apart(&checker, 0x110, 0x101);
    assert!((14_400..=21_600).contains(&joined), "{joined}");
    assert_eq!(splice.counts().reanchorings, 0);
    // The first packets of a run, long after it has taken over.
    let (mut splice, mut checker) = (Splice::new(), Checker::default());
    play(&mut splice, &mut checker, 0, &[(&usual, 0, 1000)]);
    let programme = usual.programme();
    let lead = FirstTimestamps::scan(&bytes(&usual.packets(0, 1000)), &programme);
    checker.feed(
        1000,
        &splice.begin(Instant::from_millis(1000), &Run { kind: RunKind::Live, programme: &programme, lead }),
    );
    trickle(&mut splice, &mut checker, 14_000, 1, &usual, (0, 1000));
    let begun = apart(&checker, 0x100, 0x101);
    assert!((14_400..=21_600).contains(&begun), "{begun}");
    assert_eq!(splice.counts().reanchorings, 0);
}

#[test]
fn a_stream_that_joins_goes_with_the_others_when_the_last_of_its_like_was_held_back() {
    let usual = Source::usual();
    let streams = vec![Es::video(0x100, 0x1B), Es::audio(0x102, 0x03)];
    let other = Source { version: 1, streams, ..Source::usual() };
    let (mut splice, mut checker) = (Splice::new(), Checker::default());
    let mut packets = usual.packets(0, 1000);
    let last_sound = packets.iter().rposition(|(_, packet)| packet[1..3] == [0x41, 1]).unwrap();
    let held: Vec<_> = packets.split_off(last_sound);
    let programme = usual.programme();
    let run = Run { kind: RunKind::Live, programme: &programme, lead: FirstTimestamps::default() };
    checker.feed(0, &splice.begin(Instant::START, &run));
    for (at, mut packet) in packets.into_iter().chain(held.into_iter().map(|(_, packet)| (9000, packet))) {
        splice.restamp(Instant::from_millis(at), &mut packet);
        checker.feed(at, &packet);
    }
    trickle(&mut splice, &mut checker, 9000, 1, &other, (9000, 10_000));
    let apart = apart(&checker, 0x100, 0x102);
    assert!((14_400..=21_600).contains(&apart), "{apart}");
    assert_eq!(splice.counts().reanchorings, 0);
}

/// When the pictures among these packets are shown.
fn shown(packets: &[u8]) -> Vec<i64> {
    let mut shown = Vec::new();
    for bytes in packets.as_chunks().0 {
        let packet = Packet::parse(bytes).unwrap();
        let payload = packet.payload().filter(|_| packet.payload_unit_start_indicator());
        if packet.pid().get() == 0x100
            && let Some(PesStart::Timed(times)) = payload.map(PesStart::read)
        {
            assert!(times.pts.since(times.decoding()) >= 0);
            shown.push(i64::try_from(times.pts.ticks()).unwrap());
        }
    }
    shown
}

#[test]
fn a_slate_is_shown_behind_the_last_picture_that_a_lost_source_has_sent_too_early() {
    let source = Source::usual();
    for frame in 20..24 {
        let lost_at = frame * 40 + 1;
        let (mut splice, mut checker) = (Splice::new(), Checker::default());
        play(&mut splice, &mut checker, 0, &[(&source, 0, lost_at)]);
        let last = shown(&bytes(&source.packets(0, lost_at))).into_iter().max().unwrap();
        let slate = Slate::built_in().unwrap();
        let mut player = Player::new(slate.clone());
        let (mut left, mut has_begun) = (Vec::new(), false);
        while player.next_at() < 27_000_000 {
            let now = Instant::from_millis(lost_at + player.next_at() / 27_000);
            let mut packets = Vec::new();
            while !has_begun && player.next_at() == 0 {
                player.play(&mut packets);
            }
            if !std::mem::replace(&mut has_begun, true) {
                let lead = FirstTimestamps::scan(&packets, slate.programme());
                let run = Run { kind: RunKind::Filler, programme: slate.programme(), lead };
                left.extend(splice.begin(now, &run));
            } else {
                player.play(&mut packets);
            }
            splice.restamp(now, &mut packets);
            left.extend(packets);
        }
        let shown = shown(&left);
        assert_eq!(shown.len(), 25);
        assert!(shown[0] > last, "{frame}: {} behind {last}", shown[0]);
        assert!(shown.is_sorted_by(|a, b| a < b), "{frame}: {shown:?}");
        assert!(steps(&shown[6..]).iter().all(|step| *step == 3600), "{frame}: {shown:?}");
    }
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

#[test]
fn where_sound_was_held_for_long_a_slates_is_as_far_ahead_of_the_clock_as_it_was() {
    for (lead, expected) in [(60_000, 60_000), (9_000, 13_500)] {
        let video = Es { lead: 63_000, ..Es::video(0x100, 0x1B) };
        let streams = vec![video, Es { lead, ..Es::audio(0x101, 0x0F) }];
        let source = Source { streams, ..Source::usual() };
        let (mut splice, mut checker) = (Splice::new(), Checker::default());
        play(&mut splice, &mut checker, 0, &[(&source, 0, 1000)]);
        // What has come of it in the last second waited, and leaves with the slate.
        let now = Instant::from_millis(2100);
        for (_, mut packet) in source.packets(1000, 1060) {
            if [packet[1] & 0x1F, packet[2]] == [1, 1] {
                splice.restamp(now, &mut packet);
            }
        }
        let slate = Slate::built_in().unwrap();
        let mut player = Player::new(slate.clone());
        let mut packets = Vec::new();
        while player.next_at() < 27_000_000 / 5 {
            player.play(&mut packets);
        }
        let run = Run {
            kind: RunKind::Filler,
            programme: slate.programme(),
            lead: FirstTimestamps::scan(&packets, slate.programme()),
        };
        let boundary = splice.begin(now, &run);
        splice.restamp(now, &mut packets);
        let shown = |bytes: &[u8; 188]| {
            let packet = Packet::parse(bytes).unwrap();
            let is_sound = packet.pid() == Pid::new(0x101).unwrap() && packet.payload_unit_start_indicator();
            let Some(PesStart::Timed(times)) = packet.payload().map(PesStart::read) else { return None };
            is_sound.then_some(times.pts)
        };
        let clock = boundary.as_chunks().0.iter().find_map(|bytes| {
            Packet::parse(bytes).unwrap().adaptation_field().and_then(crate::ts::AdaptationField::pcr)
        });
        let ahead = packets.as_chunks().0.iter().find_map(shown).unwrap().since(clock.unwrap().to_pts());
        assert!((ahead - expected).abs() <= 1920, "{lead}: {ahead}");
    }
}

/// Decoding times and clocks as they left, in their order, of packets that came with these.
fn left(packets: &[[u8; 188]]) -> Vec<(Option<i64>, Option<i64>)> {
    let signed = |pts: Pts| i64::try_from(pts.ticks()).unwrap();
    let read = |bytes| {
        let packet = Packet::parse(bytes).unwrap();
        let pcr = packet.adaptation_field().and_then(crate::ts::AdaptationField::pcr);
        let times = crate::ts::PesTimes::begun_in(packet);
        (pcr.map(|pcr| signed(pcr.to_pts())), times.map(|times| signed(times.decoding())))
    };
    packets.iter().map(read).collect()
}

#[test]
fn a_clock_of_the_next_time_base_in_front_of_all_others_of_its_run_waits_for_that() {
    let source = Source { pcr_pid: 0x1FE, ..Source::usual() };
    let other = Source { base: 4_000_000_000, ..source.clone() };
    let programme = source.programme();
    // The run begins behind the last clock of the first time base.
    let first: Vec<_> = source.packets(40, 79).into_iter().skip(3).collect();
    let before = ClockBefore::find(&bytes(&source.packets(40, 41)), &programme);
    let second = other.packets(100, 400);
    let (first, second) = (bytes(&first), bytes(&second));
    let mut packets = [first.clone(), second].concat();
    let lead = FirstTimestamps::scan_behind(before, &first, &programme);
    let mut splice = Splice::new();
    let now = Instant::from_millis(1000);
    splice.begin(now, &Run { kind: RunKind::Live, programme: &programme, lead });
    let (clocked, held) = packets.split_at_mut(first.len() + 3 * 188);
    splice.restamp_before(now, clocked, held);
    splice.restamp(now, held);
    let mut clock = None;
    for (pcr, dts) in left(packets[first.len()..].as_chunks().0) {
        clock = pcr.or(clock);
        let Some((clock, dts)) = clock.zip(dts) else { continue };
        assert!((40_000..=64_800).contains(&(dts - clock)), "{} ticks behind the clock", dts - clock);
    }
}

#[test]
fn a_run_that_begins_with_a_clock_that_stands_hours_away_has_one_of_its_own() {
    let source = Source { pcr_pid: 0x1FE, ..Source::usual() };
    let programme = source.programme();
    let stands = crate::ts::Pcr::from_ticks(5_000_000_000 * 300);
    let mut packets = bytes(&source.packets(0, 3000));
    let (packets, _) = packets.as_chunks_mut::<188>();
    // It goes on after two seconds.
    let goes_on = packets.len() * 2 / 3;
    for packet in &mut packets[..goes_on] {
        let mut packet = crate::ts::PacketMut::parse(packet).unwrap();
        if packet.view().adaptation_field().and_then(crate::ts::AdaptationField::pcr).is_some() {
            packet.set_pcr(stands);
        }
    }
    let lead = FirstTimestamps::scan(packets.as_flattened(), &programme);
    let mut splice = Splice::new();
    splice.begin(Instant::START, &Run { kind: RunKind::Live, programme: &programme, lead });
    let mut distances = Vec::new();
    let mut clock: Option<i64> = None;
    let count = u64::try_from(packets.len()).unwrap();
    for (packet, at) in packets.iter_mut().zip(0..) {
        splice.restamp(Instant::from_millis(at * 3000 / count), packet);
        let [(pcr, dts)] = left(&[*packet])[..] else { continue };
        assert!(pcr.zip(clock).is_none_or(|(pcr, clock)| pcr >= clock), "the clock steps back");
        clock = pcr.or(clock);
        distances.extend(dts.zip(clock).map(|(dts, clock)| dts - clock));
    }
    assert!(distances.iter().all(|ticks| (0..=180_000).contains(ticks)), "{distances:?}");
    let last = &distances[distances.len() * 3 / 4..];
    assert!(last.iter().all(|ticks| (40_000..=64_800).contains(ticks)), "{last:?}");
}

#[test]
fn a_rare_clock_comes_to_a_time_base_with_the_streams_that_have_and_not_with_pictures_that_are_missing() {
    let source = Source { pcr_pid: 0x1FE, ..Source::usual() };
    // An encoder that has lost its pictures starts anew, a little earlier.
    let earlier = 38_000;
    let other = Source { base: source.base - earlier, ..source.clone() };
    let programme = source.programme();
    let is_kept = |at: u64, packet: &[u8; 188], has_pictures: bool| {
        let packet = Packet::parse(packet).unwrap();
        let pid = packet.pid().get();
        if pid == 0x1FE { at.is_multiple_of(600) } else { has_pictures || pid != 0x100 }
    };
    let mut packets: Vec<_> = source.packets(0, 1400);
    packets.retain(|(at, packet)| is_kept(*at, packet, *at < 1340));
    let held_from = packets.len();
    packets.extend(other.packets(1400, 4000).into_iter().filter(|(at, packet)| is_kept(*at, packet, false)));
    let mut counters = std::collections::BTreeMap::new();
    for (_, packet) in &mut packets {
        let counter = counters.entry([packet[1] & 0x1F, packet[2]]).or_insert(15);
        if packet[3] & 0x10 != 0 {
            *counter = (*counter + 1) % 16;
        }
        packet[3] = (packet[3] & 0xF0) | *counter;
    }
    let lead = FirstTimestamps::scan(&bytes(&packets[..held_from]), &programme);
    let mut splice = Splice::new();
    splice.begin(Instant::START, &Run { kind: RunKind::Live, programme: &programme, lead });
    let (mut clock, mut distances) = (None, Vec::new());
    for (number, (at, packet)) in packets.iter_mut().enumerate() {
        // What comes of the new time base waits for the pictures.
        let now = if number < held_from { *at } else { (*at).max(2600) };
        splice.restamp(Instant::from_millis(now), packet);
        let [(pcr, dts)] = left(&[*packet])[..] else { continue };
        clock = pcr.or(clock);
        if number >= held_from && *at >= 1800 {
            distances.extend(dts.zip(clock).map(|(dts, clock)| dts - clock));
        }
    }
    // As far as the source's sound is in 600 ms.
    assert!(!distances.is_empty());
    assert!(distances.iter().all(|ticks| (45_000..=45_000 + 54_000).contains(ticks)), "{distances:?}");
}
