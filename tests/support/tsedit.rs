//! Changes packets of a transport stream in place: for providers that play a recording for ever, and for damage.

use crate::tsview::{PCR_WRAP, PTS_WRAP, Packet, SYNC_BYTE, View};

/// Says which packet of its PID this one is.
pub fn set_counter(packet: &mut Packet, counter: u8) {
    packet[3] = (packet[3] & 0xF0) | (counter & 0x0F);
}

/// Writes the PCR of a packet that has one, in ticks of 27 MHz.
pub fn set_pcr(packet: &mut Packet, pcr: u64) {
    let pcr = pcr % PCR_WRAP;
    let (base, extension) = (pcr / 300, pcr % 300);
    let bytes =
        [base >> 25, base >> 17, base >> 9, base >> 1, (base << 7) | 0x7E | (extension >> 8), extension];
    packet[6..12].copy_from_slice(&bytes.map(low_byte));
}

/// Moves the PCR, in ticks of 90 kHz.
pub fn shift_pcr(packet: &mut Packet, ticks: u64) {
    if let Some(pcr) = View(packet).pcr() {
        set_pcr(packet, pcr + ticks % PTS_WRAP * 300);
    }
}

/// Moves PTS and DTS of the PES packet that starts here, in ticks of 90 kHz.
pub fn shift_stamps(packet: &mut Packet, ticks: u64) {
    let view = View(packet);
    let Some(pes) = view.pes() else { return };
    let at = view.payload_at();
    for (stamp, place) in [(pes.pts, 9), (pes.dts, 14)] {
        if let Some(stamp) = stamp {
            let prefix = packet[at + place] >> 4;
            let moved = (stamp + ticks) % PTS_WRAP;
            packet[at + place..at + place + 5].copy_from_slice(&stamp_bytes(prefix, moved));
        }
    }
}

/// The five bytes of a PTS or DTS behind its four-bit prefix.
fn stamp_bytes(prefix: u8, value: u64) -> [u8; 5] {
    [
        (prefix << 4) | (low_byte(value >> 29) & 0x0E) | 1,
        low_byte(value >> 22),
        low_byte(value >> 14) | 1,
        low_byte(value >> 7),
        low_byte(value << 1) | 1,
    ]
}

/// A packet that says nothing.
pub fn null_packet() -> Packet {
    let mut packet = [0xFF; 188];
    packet[..4].copy_from_slice(&[SYNC_BYTE, 0x1F, 0xFF, 0x10]);
    packet
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}
