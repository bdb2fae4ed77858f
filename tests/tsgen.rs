//! The test generator makes transport streams that a strict receiver and an independent parser accept, and the checker
//! sees each fault it is there for.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use mpeg2ts_reader::packet::Packet;
use std::collections::BTreeMap;
use std::time::Duration;

use support::tscheck::{Checker, Findings};
use support::tsgen::{PACKET_BYTES, Params, TsGen};

const BITRATE: u64 = 8_000_000;

fn stream(params: Params, length: Duration) -> Vec<u8> {
    let mut out = Vec::new();
    TsGen::new(params).fill(length, &mut out);
    out
}

fn check(bytes: &[u8]) -> Findings {
    let mut checker = Checker::new();
    checker.feed(bytes);
    checker.findings().clone()
}

fn packets(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(PACKET_BYTES).collect()
}

#[test]
fn the_bitrate_is_exact_and_nothing_is_found_wrong() {
    for bitrate in [500_000, 2_000_000, BITRATE, 40_000_000] {
        let bytes = stream(Params::new(bitrate), Duration::from_secs(10));
        let exact = usize::try_from(bitrate * 10 / 8).unwrap();
        assert!(bytes.len().abs_diff(exact) <= PACKET_BYTES, "{} bytes at {bitrate} bit/s", bytes.len());
        let findings = check(&bytes);
        assert_eq!(findings.faults(), 0, "{findings:?} at {bitrate} bit/s");
        assert!(findings.tagged > findings.packets / 2, "{findings:?} at {bitrate} bit/s");
    }
}

#[test]
fn pcr_and_tables_come_as_often_as_the_standards_ask() {
    for bitrate in [500_000, BITRATE] {
        let bytes = stream(Params::new(bitrate), Duration::from_secs(5));
        let packet_ms = 188.0 * 8.0 * 1000.0 / bitrate as f64;
        let mut last_pcr = 0.0;
        let mut last_pat = 0.0;
        for (number, raw) in packets(&bytes).iter().enumerate() {
            let now_ms = number as f64 * packet_ms;
            let packet = Packet::try_new(raw).unwrap();
            if packet.pid() == mpeg2ts_reader::packet::Pid::new(0) {
                assert!(now_ms - last_pat <= 105.0, "no PAT for {} ms at {now_ms}", now_ms - last_pat);
                last_pat = now_ms;
            }
            let Some(pcr) = packet.adaptation_field().and_then(|field| field.pcr().ok()) else { continue };
            assert!(
                now_ms - last_pcr <= 40.0,
                "no PCR for {} ms at {now_ms} ({bitrate} bit/s)",
                now_ms - last_pcr
            );
            let stated_ms = (u64::from(pcr) as f64) / 27_000.0 - 10_000.0;
            assert!((stated_ms - now_ms).abs() < 0.001, "PCR says {stated_ms} ms at {now_ms} ms");
            last_pcr = now_ms;
        }
        assert!(last_pcr > 4_900.0 && last_pat > 4_800.0);
    }
}

/// PES packets of one PID, put together again.
fn elementary(bytes: &[u8], pid: u16) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for raw in packets(bytes) {
        let packet = Packet::try_new(raw).unwrap();
        if packet.pid() != mpeg2ts_reader::packet::Pid::new(pid) || !packet.adaptation_control().has_payload()
        {
            continue;
        }
        if packet.payload_unit_start_indicator() {
            found.push(Vec::new());
        }
        if let Some(pes) = found.last_mut() {
            pes.extend_from_slice(packet.payload().unwrap());
        }
    }
    found
}

/// NAL unit types of an access unit, by its start codes.
fn nal_types(pes: &[u8]) -> Vec<u8> {
    let data = &pes[9 + usize::from(pes[8])..];
    data.windows(4).filter(|w| w[..3] == [0, 0, 1]).map(|w| w[3] & 0x1F).collect()
}

#[test]
fn every_second_begins_with_parameter_sets_and_an_idr_and_filler_holds_no_start_code() {
    let bytes = stream(Params::new(BITRATE), Duration::from_secs(3));
    let pictures = elementary(&bytes, 0x100);
    for (number, picture) in pictures.iter().enumerate() {
        let expected: &[u8] = if number % 25 == 0 { &[9, 7, 8, 5] } else { &[9, 1] };
        assert_eq!(nal_types(picture), expected, "picture {number}");
    }
    assert!(pictures.len() >= 70, "{} pictures", pictures.len());
}

#[test]
fn a_picture_is_complete_before_its_time_to_be_decoded() {
    let bytes = stream(Params::new(BITRATE), Duration::from_secs(3));
    let mut checked = 0;
    let mut last_pcr = 0;
    let mut dts = None;
    for raw in packets(&bytes) {
        let packet = Packet::try_new(raw).unwrap();
        if let Some(pcr) = packet.adaptation_field().and_then(|field| field.pcr().ok()) {
            last_pcr = u64::from(pcr) / 300;
        }
        if packet.pid() != mpeg2ts_reader::packet::Pid::new(0x100) {
            continue;
        }
        if let Some(due) = dts {
            assert!(last_pcr < due, "still sending at {last_pcr} what is decoded at {due}");
            checked += 1;
        }
        if packet.payload_unit_start_indicator() {
            let stamp = &packet.payload().unwrap()[14..19];
            let part = |at: usize| u64::from(stamp[at]);
            dts = Some(
                ((part(0) >> 1 & 7) << 30)
                    | (part(1) << 22)
                    | ((part(2) >> 1) << 15)
                    | (part(3) << 7)
                    | (part(4) >> 1),
            );
        }
    }
    assert!(checked > 1000);
}

#[test]
fn the_clock_wraps_without_a_fault() {
    let params = Params { first_pcr_90k: (1 << 33) - 90_000, ..Params::new(BITRATE) };
    assert_eq!(check(&stream(params, Duration::from_secs(3))).faults(), 0);
}

#[test]
fn a_signalled_discontinuity_is_marked_once_on_each_pid() {
    let mut generator = TsGen::new(Params::new(BITRATE));
    let mut bytes = Vec::new();
    generator.fill(Duration::from_secs(1), &mut bytes);
    generator.signal_discontinuity();
    generator.fill(Duration::from_secs(2), &mut bytes);
    let mut marked: BTreeMap<u16, u32> = BTreeMap::new();
    for raw in packets(&bytes) {
        let packet = Packet::try_new(raw).unwrap();
        if packet.adaptation_field().is_some_and(|field| field.discontinuity_indicator()) {
            *marked.entry(u16::from(packet.pid())).or_default() += 1;
        }
    }
    assert_eq!(marked, BTreeMap::from([(0, 1), (0x100, 1), (0x101, 1), (0x1000, 1)]));
}

/// Index of the first plain video packet (no adaptation field) behind the first second.
fn plain_video(bytes: &[u8]) -> usize {
    let plain = |raw: &&[u8]| raw[1] & 0x5F == 0x01 && raw[2] == 0 && raw[3] & 0x30 == 0x10;
    5400 + packets(bytes)[5400..].iter().position(plain).unwrap()
}

#[test]
fn the_checker_sees_each_kind_of_fault() {
    let good = stream(Params::new(BITRATE), Duration::from_secs(2));
    let other = stream(Params { stream: 7, ..Params::new(BITRATE) }, Duration::from_secs(2));
    let at = plain_video(&good) * PACKET_BYTES;
    let second = good.len() / 2 / PACKET_BYTES * PACKET_BYTES;
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        check(&bytes)
    };
    let lost = edit(&|bytes| drop(bytes.drain(at..at + PACKET_BYTES)));
    assert_eq!((lost.continuity_errors, lost.sequence_breaks), (1, 1), "{lost:?}");
    let torn = edit(&|bytes| bytes[at + 140] ^= 0x01);
    assert_eq!((torn.torn_packets, torn.faults()), (1, 1), "{torn:?}");
    let unsynced = edit(&|bytes| bytes[at] = 0x48);
    assert_eq!(unsynced.sync_losses, 1, "{unsynced:?}");
    let headless = edit(&|bytes| drop(bytes.drain(..PACKET_BYTES)));
    assert_eq!((headless.no_pat_first, headless.faults()), (1, 1), "{headless:?}");
    let rewound = edit(&|bytes| bytes.extend_from_slice(&good));
    assert_eq!(rewound.pcr_steps_back, 1, "{rewound:?}");
    let jumped = edit(&|bytes| drop(bytes.drain(second - 4000 * PACKET_BYTES..second)));
    assert_eq!(jumped.pcr_jumps, 1, "{jumped:?}");
    let mixed = edit(&|bytes| bytes[at..at + PACKET_BYTES].copy_from_slice(&other[at..at + PACKET_BYTES]));
    assert_eq!((mixed.foreign_packets, mixed.faults()), (2, 2), "{mixed:?}");
    let repeated = edit(&|bytes| {
        let packet = good[at..at + PACKET_BYTES].to_vec();
        bytes.splice(at..at, packet);
    });
    assert_eq!(repeated.faults(), 0, "one repetition is allowed: {repeated:?}");
}

#[test]
fn the_checker_does_not_care_where_the_bytes_are_cut() {
    let bytes = stream(Params::new(BITRATE), Duration::from_secs(1));
    let whole = check(&bytes);
    for size in [1, 187, 188, 189, 65_536] {
        let mut checker = Checker::new();
        bytes.chunks(size).for_each(|piece| checker.feed(piece));
        assert_eq!(*checker.findings(), whole, "pieces of {size}");
    }
}
