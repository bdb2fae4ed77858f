//! The null packet (ISO/IEC 13818-1, 2.4.3.3): PID 0x1FFF, no meaning, any content.

use crate::base::limits::PACKET_BYTES;
use crate::ts::packet::{PacketBytes, SYNC_BYTE};

/// A null packet. Its counter is undefined and never checked.
pub const NULL_PACKET: PacketBytes = {
    let mut bytes = [0xFF; PACKET_BYTES];
    bytes[0] = SYNC_BYTE;
    bytes[1] = 0x1F;
    bytes[3] = 0x10;
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::packet::{Packet, Pid};

    #[test]
    fn the_null_packet_is_what_receivers_expect() {
        assert_eq!(NULL_PACKET[..4], [0x47, 0x1F, 0xFF, 0x10]);
        assert!(NULL_PACKET[4..].iter().all(|byte| *byte == 0xFF));
        assert_eq!(Packet::parse(&NULL_PACKET).unwrap().pid(), Pid::NULL);
    }
}
