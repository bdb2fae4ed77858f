//! What is written between runs, byte by byte.

use crate::base::Instant;
use crate::splice::tests::checker::Checker;
use crate::splice::tests::source::{Es, Source, bytes};
use crate::splice::{FirstTimestamps, Run, RunKind, Splice};
use crate::ts::{AdaptationField, Packet, Pcr, Pid};

/// A run of a source from its beginning, all at once. Returns its boundary and what leaves of it.
fn play(splice: &mut Splice, at: u64, kind: RunKind, source: &Source, millis: u64) -> (Vec<u8>, Vec<u8>) {
    let mut packets = bytes(&source.packets(0, millis));
    let programme = source.programme();
    let lead = FirstTimestamps::scan(&packets, &programme);
    let boundary = splice.begin(Instant::from_millis(at), &Run { kind, programme: &programme, lead });
    splice.restamp(Instant::from_millis(at), &mut packets);
    (boundary, packets)
}

fn words(splice: &Splice) -> (String, String) {
    let report = splice.boundary();
    (report.applied().collect::<Vec<_>>().join(","), report.skips().collect::<Vec<_>>().join(","))
}

fn packet(bytes: &[u8], index: usize) -> Packet<'_> {
    Packet::parse(&bytes.as_chunks().0[index]).unwrap()
}

#[test]
fn before_anything_is_known_the_tables_are_those_of_a_remuxed_picture() {
    let mut splice = Splice::new();
    let psi = splice.psi();
    assert_eq!(psi.len(), 376);
    let pat =
        [0x47, 0x40, 0, 0x10, 0, 0, 0xB0, 0x0D, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 0x2A, 0xB1, 0x04, 0xB2];
    let pmt = [
        0x47, 0x50, 0, 0x10, 0, 2, 0xB0, 0x12, 0, 1, 0xC1, 0, 0, 0xE1, 2, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0,
        0xA2, 0xFE, 0xF4, 0xC2,
    ];
    assert_eq!(psi[..pat.len()], pat);
    assert_eq!(psi[188..188 + pmt.len()], pmt);
    assert!(psi[pat.len()..188].iter().chain(&psi[188 + pmt.len()..]).all(|byte| *byte == 0xFF));
    let again = splice.psi();
    assert_eq!((again[3], again[191]), (0x11, 0x11), "counters go on");
    assert_eq!(again[4..188], psi[4..188]);

    let boundary = splice.pause(Instant::START);
    assert_eq!(boundary.len(), 564);
    assert_eq!(boundary[..8], [0x47, 0x40, 0, 0x32, 1, 0x80, 0, 0]);
    assert_eq!(boundary[188..196], [0x47, 0x50, 0, 0x32, 1, 0x80, 0, 2]);
    assert_eq!(boundary[376..388], [0x47, 1, 2, 0x20, 0xB7, 0x90, 0, 0, 0, 0, 0x7E, 0]);
    assert!(boundary[388..].iter().all(|byte| *byte == 0xFF));
    assert_eq!(words(&splice), ("disc,cc,pcr,psi_version".into(), "stitch_no_observed_pcr".into()));
}

#[test]
fn the_clock_of_a_boundary_is_the_last_one_advanced_by_its_age() {
    let mut splice = Splice::new();
    let source = Source::usual();
    let (boundary, _) = play(&mut splice, 0, RunKind::Live, &source, 1);
    assert_eq!(boundary, [0_u8; 0], "a session's first run has none");
    assert_eq!(words(&splice), (String::new(), String::new()));
    let boundary = splice.pause(Instant::from_millis(350));
    let clock = packet(&boundary, 2).adaptation_field().and_then(AdaptationField::pcr);
    assert_eq!(clock, Some(Pcr::from_ticks(121_500 * 300)));
    assert_eq!(packet(&boundary, 2).pid(), Pid::new(0x100).unwrap());
    assert_eq!(words(&splice), ("disc,cc,pcr,psi_version,stitch".into(), String::new()));
    assert!(splice.boundary().stitch());
    assert_eq!(splice.clock(Instant::from_millis(360)), Some(Pcr::from_ticks(122_400 * 300)));
}

#[test]
fn a_session_that_has_had_no_clock_gets_one_from_what_has_left() {
    let mut splice = Splice::new();
    let source = Source { pcr_pid: 0x150, ..Source::usual() };
    let mut packets = source.packets(0, 101);
    packets.retain(|(_, packet)| packet[1..3] != [1, 0x50]);
    let mut packets = bytes(&packets);
    let programme = source.programme();
    let lead = FirstTimestamps::scan(&packets, &programme);
    splice.begin(Instant::START, &Run { kind: RunKind::Live, programme: &programme, lead });
    splice.restamp(Instant::START, &mut packets);
    let boundary = splice.pause(Instant::from_millis(500));
    let clock = packet(&boundary, 2).adaptation_field().and_then(AdaptationField::pcr);
    // The last sound at 4 frames and half a second later, less 0.3 s.
    let sound = 90_000 + 45_000 + 4 * 1920 + 45_000;
    assert_eq!(clock, Some(Pcr::from_ticks((sound - 27_000) * 300)));
    assert_eq!(words(&splice), ("disc,cc,pcr,psi_version".into(), "stitch_no_observed_pcr".into()));
}

#[test]
fn a_boundary_repeats_the_sessions_own_tables_and_its_counters_go_on() {
    let mut splice = Splice::new();
    let source = Source::usual();
    let (_, first) = play(&mut splice, 0, RunKind::Live, &source, 101);
    let counters: Vec<_> = first
        .as_chunks::<188>()
        .0
        .iter()
        .filter(|packet| packet[1..3] == [0x40, 0])
        .map(|packet| packet[3] & 0x0F)
        .collect();
    assert_eq!(counters, [0, 1]);
    let (boundary, _) = play(&mut splice, 150, RunKind::Live, &source, 1);
    assert_eq!(boundary.len(), 564);
    assert_eq!((boundary[3], boundary[191]), (0x32, 0x32));
    assert_eq!(boundary[7..7 + 16], source.pat());
    assert_eq!(boundary[195..195 + source.pmt().len()], source.pmt());
    assert_eq!(splice.programme(), Some(source.programme()));
}

#[test]
fn a_version_grows_only_when_the_programme_is_made_of_something_else() {
    let live = Source::usual();
    let same_elsewhere = Source::other();
    let hevc = Source { streams: vec![Es::video(0x100, 0x24), Es::audio(0x101, 0x0F)], ..Source::usual() };
    let silent = Source { streams: vec![Es::video(0x50, 0x1B)], pcr_pid: 0x50, ..Source::other() };
    let (live_run, filler) = (RunKind::Live, RunKind::Filler);
    // Each run: what it is, the PMT's version behind it, its streams, and what was signalled.
    type Step<'a> = (&'a str, RunKind, &'a Source, u8, &'a [(u16, u8)], &'a str);
    let steps: &[Step<'_>] = &[
        ("the first", live_run, &live, 0, &[(0x100, 0x1B), (0x101, 0x0F)], ""),
        (
            "silent filler",
            filler,
            &silent,
            0,
            &[(0x100, 0x1B), (0x101, 0x0F)],
            "disc,cc,pcr,psi_version,stitch",
        ),
        ("back again", live_run, &live, 0, &[(0x100, 0x1B), (0x101, 0x0F)], "disc,cc,pcr,psi_version,stitch"),
        (
            "another codec",
            live_run,
            &hevc,
            1,
            &[(0x101, 0x0F), (0x102, 0x24)],
            "disc,cc,pcr,psi_version,stitch",
        ),
        ("filler of the old codec", filler, &silent, 2, &[(0x100, 0x1B)], "disc,cc,pcr,psi_version,stitch"),
        (
            "the other codec again",
            live_run,
            &hevc,
            3,
            &[(0x101, 0x0F), (0x102, 0x24)],
            "disc,cc,pcr,psi_version,stitch",
        ),
        (
            "another order of the first's streams",
            live_run,
            &same_elsewhere,
            4,
            &[(0x100, 0x1B), (0x101, 0x0F)],
            "disc,cc,pcr,psi_version,stitch",
        ),
    ];
    let mut splice = Splice::new();
    let mut checker = Checker::default();
    for ((name, kind, source, version, streams, signals), at) in steps.iter().zip((0..).step_by(500)) {
        let (boundary, shown) = play(&mut splice, at, *kind, source, 200);
        checker.feed(at, &boundary);
        checker.feed(at + 200, &shown);
        assert_eq!(checker.pmts.last().unwrap().0, *version, "{name}");
        assert_eq!(splice.programme().unwrap().pmt.version, *version, "{name}");
        assert_eq!(
            checker.streams.iter().map(|(pid, kind)| (*pid, *kind)).collect::<Vec<_>>(),
            *streams,
            "{name}"
        );
        assert_eq!(words(&splice).0, *signals, "{name}");
    }
}

#[test]
fn a_pmt_of_several_packets_takes_the_place_of_the_sources() {
    let mut long = Source::other();
    long.streams.extend((0..14).map(|index| Es::audio(0x300 + index, 0x03)));
    let mut splice = Splice::new();
    let mut checker = Checker::default();
    let (_, shown) = play(&mut splice, 0, RunKind::Live, &Source::usual(), 200);
    checker.feed(200, &shown);
    let (boundary, shown) = play(&mut splice, 250, RunKind::Live, &long, 200);
    assert_eq!(boundary.len(), 4 * 188);
    checker.feed(250, &boundary);
    checker.feed(450, &shown);
    assert_eq!(checker.streams.len(), 16);
    // The session's PMT of two packets goes on in the single ones of a filler.
    let silent = Source { streams: vec![Es::video(0x50, 0x1B)], pcr_pid: 0x50, ..Source::other() };
    let (_, shown) = play(&mut splice, 500, RunKind::Filler, &silent, 400);
    let tables =
        shown.as_chunks::<188>().0.iter().filter(|packet| packet[1] & 0x1F == 0x10 && packet[2] == 0);
    let starts: Vec<_> = tables.map(|packet| packet[1] & 0x40 != 0).collect();
    assert_eq!(starts, [true, false, true, false]);
}
