//! What is still to come of a PES packet (ISO/IEC 13818-1, 2.4.3.6), told by its packets one by one.

use crate::ts::packet::Packet;
use crate::ts::plain_run::PlainRun;

/// Bytes of a PES packet up to and with its length.
const PREFIX_BYTES: u32 = 6;

/// What is still to come of a PES packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PesRest {
    /// This many bytes.
    Bytes(u32),
    /// It ends where the next one begins, and its last packet so far was filled to its end, as all but the last are.
    More,
    /// It ends where the next one begins, and nothing says that it has not ended.
    Perhaps,
}

impl PesRest {
    /// Behind a packet. `before` is what was still to come before it.
    #[must_use]
    pub fn behind(before: Self, packet: Packet<'_>) -> Self {
        let Some(payload) = packet.payload() else { return before };
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let unbounded = || if packet.has_stuffing() { Self::Perhaps } else { Self::More };
        match (packet.payload_unit_start_indicator(), payload, before) {
            (true, [0, 0, 1, _, high, low, ..], _) => match u16::from_be_bytes([*high, *low]) {
                0 => unbounded(),
                length => Self::Bytes((PREFIX_BYTES + u32::from(length)).saturating_sub(bytes)),
            },
            // A section, or what cannot be read.
            (true, _, _) => Self::Perhaps,
            (false, _, Self::Bytes(left)) => Self::Bytes(left.saturating_sub(bytes)),
            (false, _, Self::More | Self::Perhaps) => unbounded(),
        }
    }

    /// Behind a run, none of whose packets is stuffed.
    #[must_use]
    pub fn behind_run(self, run: PlainRun) -> Self {
        match self {
            Self::Bytes(left) => {
                let bytes = run.packets().saturating_mul(PlainRun::PAYLOAD_BYTES);
                Self::Bytes(left.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX)))
            }
            Self::More | Self::Perhaps => Self::More,
        }
    }

    /// Whether the end is missing where nothing more comes.
    #[must_use]
    pub const fn is_torn(self) -> bool {
        match self {
            Self::Bytes(left) => left > 0,
            Self::More => true,
            Self::Perhaps => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::testing::{Fields, Stream, pes};

    /// What is still to come behind each packet.
    fn rests(bytes: &[u8], fields: Fields) -> Vec<PesRest> {
        let mut stream = Stream::default();
        stream.push_pes(fields, bytes, 184);
        let mut rest = PesRest::Perhaps;
        let packets = stream.packets.iter();
        packets
            .map(|packet| {
                rest = PesRest::behind(rest, Packet::parse(packet).unwrap());
                rest
            })
            .collect()
    }

    #[test]
    fn what_is_still_to_come_is_told_by_the_length_or_by_a_last_packet_that_is_not_filled() {
        use PesRest::{Bytes, More, Perhaps};
        let unbounded = |bytes: usize| pes(0xE0, None, &vec![1; bytes - 9]);
        let bounded = |bytes: usize, said: u16| {
            let mut pes = unbounded(bytes);
            pes[4..6].copy_from_slice(&said.to_be_bytes());
            pes
        };
        let with_field = Fields { random_access: true, ..Fields::NONE };
        let with_clock = Fields { pcr: Some(crate::ts::Pcr::from_ticks(1)), ..with_field };
        let table = [
            ("no length", unbounded(500), Fields::NONE, vec![More, More, Perhaps]),
            ("no length, and filled to the end", unbounded(368), Fields::NONE, vec![More, More]),
            ("a field that is filled is not stuffed", unbounded(400), with_field, vec![More, More, Perhaps]),
            ("nor is a clock", unbounded(400), with_clock, vec![More, More, Perhaps]),
            ("one packet", unbounded(100), with_clock, vec![Perhaps]),
            ("a length", bounded(500, 494), Fields::NONE, vec![Bytes(316), Bytes(132), Bytes(0)]),
            ("a length that is too short", bounded(300, 10), Fields::NONE, vec![Bytes(0), Bytes(0)]),
            ("a length that is too long", bounded(300, 394), Fields::NONE, vec![Bytes(216), Bytes(100)]),
        ];
        for (name, bytes, fields, expected) in table {
            assert_eq!(rests(&bytes, fields), expected, "{name}");
        }
        assert!(More.is_torn() && Bytes(1).is_torn() && !Bytes(0).is_torn() && !Perhaps.is_torn());
    }

    #[test]
    fn a_section_has_no_rest() {
        let bytes = Fields { unit_start: true, ..Fields::NONE }.packet(&[0; 184]);
        assert_eq!(PesRest::behind(PesRest::More, Packet::parse(&bytes).unwrap()), PesRest::Perhaps);
    }
}
