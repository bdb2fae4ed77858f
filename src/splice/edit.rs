//! What is done to a packet that may not leave as it is.

use crate::base::limits::PACKET_BYTES;
use crate::ts::{
    AdaptationField, ContinuityCounter, NULL_PACKET, Packet, PacketBytes, Pid, discontinuity_packet,
};

/// Where the adaptation field's flags are, and its PCR.
const FLAGS_AT: usize = 5;
const PCR_END: usize = 12;

/// Whether header and adaptation field fit the packet.
pub(super) fn sound(packet: Packet<'_>) -> bool {
    let control = packet.bytes()[3];
    let payload_fits = control & 0x10 == 0 || packet.payload_at().is_some();
    let field_fits = control & 0x20 == 0 || packet.adaptation_field().is_some();
    control & 0x30 != 0 && payload_fits && field_fits
}

/// The packet says nothing any more.
pub(super) fn blank(bytes: &mut PacketBytes) {
    *bytes = NULL_PACKET;
}

/// The packet says only what time it is: the clock of a packet whose payload does not leave.
pub(super) fn clock_alone(bytes: &mut PacketBytes, pid: Pid, counter: ContinuityCounter) {
    let [high, low] = pid.get().to_be_bytes();
    bytes[1] = high;
    bytes[2] = low;
    bytes[3] = 0x20 | counter.get();
    bytes[4] = 183;
    // The discontinuity indicator and the PCR stay, and nothing else does.
    bytes[FLAGS_AT] &= 0x90;
    bytes[PCR_END..PACKET_BYTES].fill(0xFF);
}

/// The packet gives way to the word that something is missing on its PID, and keeps the programme's clock if it has it.
pub(super) fn hole(bytes: &mut PacketBytes, pid: Pid, counter: ContinuityCounter) {
    let has_clock =
        Packet::parse(bytes).ok().and_then(Packet::adaptation_field).and_then(AdaptationField::pcr);
    if has_clock.is_none() {
        *bytes = discontinuity_packet(pid, counter, None);
        return;
    }
    clock_alone(bytes, pid, counter);
    bytes[FLAGS_AT] |= 0x80;
}
