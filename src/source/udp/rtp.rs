//! The head of an RTP packet (RFC 3550, section 5.1).

/// The least that a head has.
const HEAD_BYTES: usize = 12;
/// MPEG transport streams have this payload type (RFC 3551, section 6); senders use those from 96 on as well.
pub(super) const TRANSPORT_STREAM: u8 = 33;

/// A packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packet<'bytes> {
    pub(super) payload_type: u8,
    pub(super) sequence: u16,
    /// Who sends it.
    pub(super) ssrc: u32,
    pub(super) payload: &'bytes [u8],
}

impl<'bytes> Packet<'bytes> {
    /// Reads a datagram; nothing when it is no RTP packet, or not whole.
    pub(super) fn parse(bytes: &'bytes [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [flags, kind, high, low, _, _, _, _, ssrc @ ..] = head;
        if flags >> 6 != 2 {
            return None;
        }
        let contributors = 4 * usize::from(flags & 0x0F);
        let mut payload = rest.get(contributors..)?;
        if flags & 0x10 != 0 {
            let (extension, rest) = payload.split_first_chunk::<4>()?;
            let [_, _, high, low] = *extension;
            payload = rest.get(4 * usize::from(u16::from_be_bytes([high, low]))..)?;
        }
        if flags & 0x20 != 0 {
            // The last byte says how many there are, itself included.
            let padding = usize::from(*payload.last()?);
            payload = payload.get(..payload.len().checked_sub(padding.max(1))?)?;
        }
        Some(Self {
            payload_type: kind & 0x7F,
            sequence: u16::from_be_bytes([*high, *low]),
            ssrc: u32::from_be_bytes(*ssrc),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_any_length_is_taken_off() {
        let packet = |flags: u8, kind: u8, rest: &[u8]| {
            [&[flags, kind, 0x12, 0x34, 1, 2, 3, 4, 0xA, 0xB, 0xC, 0xD], rest].concat()
        };
        for (name, bytes, expected) in [
            ("plain", packet(0x80, 33, b"Gtv"), Some((33, b"Gtv".as_slice()))),
            ("a marker", packet(0x80, 33 | 0x80, b"Gtv"), Some((33, b"Gtv"))),
            ("of a type that is agreed upon elsewhere", packet(0x80, 96, b"Gtv"), Some((96, b"Gtv"))),
            ("two contributors", packet(0x82, 33, b"aaaabbbbGtv"), Some((33, b"Gtv"))),
            ("an extension", packet(0x90, 33, b"\xBE\xDE\0\x01xxxxGtv"), Some((33, b"Gtv"))),
            ("an empty extension", packet(0x90, 33, b"\xBE\xDE\0\0Gtv"), Some((33, b"Gtv"))),
            (
                "a contributor and an extension",
                packet(0x91, 33, b"aaaa\0\0\0\x01xxxxGtv"),
                Some((33, b"Gtv")),
            ),
            ("padding", packet(0xA0, 33, b"Gtv\0\x02"), Some((33, b"Gtv"))),
            ("padding that says it is none", packet(0xA0, 33, b"Gtv\0"), Some((33, b"Gtv"))),
            ("nothing but padding", packet(0xA0, 33, b"\0\0\0\x04"), Some((33, b""))),
            ("no payload", packet(0x80, 33, b""), Some((33, b""))),
            ("more padding than there is", packet(0xA0, 33, b"Gtv\x05"), None),
            ("padding and no bytes", packet(0xA0, 33, b""), None),
            ("a contributor that is cut off", packet(0x81, 33, b"aaa"), None),
            ("an extension that is cut off", packet(0x90, 33, b"\xBE\xDE\0\x02xxxx"), None),
            ("an extension without its length", packet(0x90, 33, b"\xBE\xDE\0"), None),
            ("another version", packet(0x40, 33, b"Gtv"), None),
            ("a packet of a transport stream", [&[0x47_u8; 188][..]].concat(), None),
            ("cut off", packet(0x80, 33, b"")[..11].to_vec(), None),
            ("nothing", Vec::new(), None),
        ] {
            let parsed = Packet::parse(&bytes);
            assert_eq!(parsed.map(|packet| (packet.payload_type, packet.payload)), expected, "{name}");
            if let Some(packet) = parsed {
                assert_eq!((packet.sequence, packet.ssrc), (0x1234, 0x0A0B_0C0D), "{name}");
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_looked_at() {
        let mut seed = 1_u32;
        for length in 0..2_000_usize {
            let bytes: Vec<u8> = (0..length % 64)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    seed.to_be_bytes()[0]
                })
                .collect();
            if let Some(packet) = Packet::parse(&bytes) {
                assert!(packet.payload.len() + HEAD_BYTES <= bytes.len());
            }
        }
    }
}
