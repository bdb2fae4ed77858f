//! Runs of packets that only go on with what was begun: nine in ten of a stream at the rate of television.
//!
//! What a reader keeps of such packets follows from how many there are and from the last of them. So the headers of a run are
//! looked at once, and whoever reads it counts instead of reading each packet.

use crate::ts::packet::{ContinuityCounter, Packet, PacketBytes, Pid};

/// The bits of a header that are the same in all plain packets, and what they are: a sync byte, no error, no unit that starts,
/// nothing scrambled, payload and no adaptation field.
const FORM_MASK: u32 = 0xFFC0_00F0;
const FORM: u32 = 0x4700_0010;
/// The packet identifier.
const PID_MASK: u32 = 0x001F_FF00;
const COUNTER_MASK: u32 = 0x0000_000F;

/// Packets that lie one behind the other, all of one PID, each with the counter behind that of the one before. They are full of
/// clear payload that goes on with what was begun before them, and say nothing else. Never null packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlainRun {
    pid: Pid,
    first: ContinuityCounter,
    /// One at least.
    packets: usize,
}

impl PlainRun {
    /// Bytes of payload in each packet.
    pub const PAYLOAD_BYTES: usize = 184;

    /// The run with which packets begin, as long as it is; `None` when the first is no plain packet.
    #[must_use]
    pub fn at_front(packets: &[PacketBytes]) -> Option<Self> {
        let (head, rest) = packets.split_first()?;
        let head = header(head);
        let pid = head & PID_MASK;
        if head & FORM_MASK != FORM || pid == PID_MASK {
            return None;
        }
        let mut counter = head & COUNTER_MASK;
        let follows = |packet: &&PacketBytes| {
            counter = (counter + 1) & COUNTER_MASK;
            header(packet) & (FORM_MASK | PID_MASK | COUNTER_MASK) == FORM | pid | counter
        };
        let packets = 1 + rest.iter().take_while(follows).count();
        let [_, high, low, counter] = head.to_be_bytes();
        Some(Self { pid: Pid::from_field([high, low]), first: ContinuityCounter::new(counter), packets })
    }

    /// The same without its first packets; `None` when nothing is left.
    #[must_use]
    pub const fn behind(self, packets: usize) -> Option<Self> {
        if packets >= self.packets {
            return None;
        }
        Some(Self { first: self.first.after(packets), packets: self.packets - packets, ..self })
    }

    /// Its first packets, one at least, alone.
    #[must_use]
    pub fn first_packets(self, packets: usize) -> Self {
        Self { packets: packets.clamp(1, self.packets), ..self }
    }

    /// How many packets it has.
    #[must_use]
    pub const fn packets(self) -> usize {
        self.packets
    }

    /// The PID of all of them.
    #[must_use]
    pub const fn pid(self) -> Pid {
        self.pid
    }

    /// The counter of the first.
    #[must_use]
    pub const fn first_counter(self) -> ContinuityCounter {
        self.first
    }

    /// The counter of the last.
    #[must_use]
    pub const fn last_counter(self) -> ContinuityCounter {
        self.first.after(self.packets - 1)
    }
}

fn header(packet: &PacketBytes) -> u32 {
    let [a, b, c, d, ..] = *packet;
    u32::from_be_bytes([a, b, c, d])
}

/// The payload of a plain packet.
pub(crate) fn plain_payload(packet: &PacketBytes) -> &[u8; PlainRun::PAYLOAD_BYTES] {
    debug_assert_eq!(Packet::parse(packet).ok().and_then(Packet::payload_at), Some(4), "it is plain");
    packet.last_chunk().expect("a packet is longer than its payload")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ts::continuity::PayloadDigest;
    use crate::ts::null::NULL_PACKET;
    use crate::ts::testing::Fields;

    /// The run by what its packets say, one by one.
    fn by_fields(packets: &[PacketBytes]) -> usize {
        let is_plain = |packet: Packet<'_>| {
            !packet.transport_error_indicator()
                && !packet.payload_unit_start_indicator()
                && packet.transport_scrambling_control() == 0
                && packet.payload_at() == Some(4)
                && packet.pid() != Pid::NULL
        };
        let parsed: Vec<_> = packets.iter().map_while(|packet| Packet::parse(packet).ok()).collect();
        let Some(first) = parsed.first().filter(|first| is_plain(**first)) else { return 0 };
        let counters = (0..).map(|packets| first.continuity_counter().after(packets));
        let fits = |(packet, counter): &(&Packet<'_>, ContinuityCounter)| {
            is_plain(**packet) && packet.pid() == first.pid() && packet.continuity_counter() == *counter
        };
        parsed.iter().zip(counters).take_while(fits).count()
    }

    proptest! {
        #[test]
        fn a_run_is_as_long_as_its_packets_say(
            headers in proptest::collection::vec(
                (prop_oneof![20 => Just(0x47u8), 1 => any::<u8>()], prop_oneof![8 => Just(1u8), 1 => any::<u8>()],
                    prop_oneof![8 => Just(0u8), 1 => any::<u8>()], prop_oneof![8 => Just(0x10u8), 1 => any::<u8>()],
                    prop_oneof![8 => Just(1usize), 1 => 0..16usize]),
                0..40,
            ),
            from in 0..16usize,
        ) {
            let mut counter = ContinuityCounter::new(0).after(from);
            let packets: Vec<_> = headers.iter().map(|(sync, high, low, control, step)| {
                counter = counter.after(*step);
                let mut bytes = [9; 188];
                bytes[..4].copy_from_slice(&[*sync, *high, *low, (control & 0xF0) | counter.get()]);
                bytes
            }).collect();
            let expected = by_fields(&packets);
            prop_assert_eq!(PlainRun::at_front(&packets).map_or(0, PlainRun::packets), expected);
        }
    }

    #[test]
    fn what_is_left_of_a_run_goes_on_with_its_counters() {
        let packets: Vec<_> = (14..19)
            .map(|n| Fields { pid: 0x100, counter: n % 16, ..Fields::NONE }.packet(&[n; 184]))
            .collect();
        let run = PlainRun::at_front(&packets).unwrap();
        assert_eq!((run.packets(), run.first_counter().get(), run.last_counter().get()), (5, 14, 2));
        assert_eq!(PayloadDigest::of_last(run, &packets), PayloadDigest::of(&packets[4]));
        assert_eq!(run.behind(2), PlainRun::at_front(&packets[2..]));
        assert_eq!(run.behind(5), None);
        assert_eq!(Some(run.first_packets(2)), PlainRun::at_front(&packets[..2]));
        assert_eq!(PlainRun::at_front(&[NULL_PACKET]), None, "null packets do not count");
        assert_eq!(PlainRun::at_front(&[]), None);
    }
}
