//! A stream of few bytes: what is looked at here are connections, for hours.

use std::time::Duration;

use crate::sim::packets::{AUDIO_PID, KEY_PICTURE, PACKET, PMT_PID, VIDEO_PID, pat, pcr_field, pes, pmt};

/// How often a unit comes.
pub(super) const UNIT_TIME: Duration = Duration::from_millis(500);
const UNIT_TICKS: u64 = 45_000;

fn packet(pid: u16, number: u64, adaptation: &[u8], payload: &[u8]) -> [u8; PACKET] {
    let mut packet = [0xFF; PACKET];
    let [high, low] = pid.to_be_bytes();
    packet[..3].copy_from_slice(&[0x47, 0x40 | high, low]);
    let has_adaptation = u8::from(!adaptation.is_empty()) << 5;
    packet[3] = 0x10 | has_adaptation | u8::try_from(number % 16).unwrap();
    let at = 4 + adaptation.len();
    packet[4..at].copy_from_slice(adaptation);
    packet[at..at + payload.len()].copy_from_slice(payload);
    packet
}

fn table(pid: u16, number: u64, section: &[u8]) -> [u8; PACKET] {
    packet(pid, number, &[], &[&[0], section].concat())
}

/// Tables, a picture that needs no other, and a piece of sound.
pub(super) fn unit(number: u64) -> Vec<u8> {
    let ticks = number * UNIT_TICKS;
    let clock = [&[7, 0x50], &pcr_field(ticks)[..]].concat();
    let picture = [&pes(0xE0, ticks + 9000, 0)[..], KEY_PICTURE].concat();
    let sound = pes(0xC0, ticks + 9000, 170);
    [
        table(0, number, &pat()),
        table(PMT_PID, number, &pmt()),
        packet(VIDEO_PID, number, &clock, &picture),
        packet(AUDIO_PID, number, &[], &sound),
    ]
    .concat()
}
