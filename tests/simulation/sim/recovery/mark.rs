//! What each packet of a source says of itself: which unit of which run it is part of, and the source's own times of it.
//!
//! A viewer's packets carry it all the way, so that whoever judges them knows the truth without asking anybody.

use crate::tsview::PACKET_BYTES;

/// What a mark begins with. Nothing else in a feed has four such bytes.
const MAGIC: [u8; 4] = [0xA7, 0xA1, 0xAC, 0xA3];
/// The upper half of a byte that carries a digit: nothing in a mark looks like the start of a unit.
const DIGIT: u8 = 0xA0;
/// Digits of each field, in their order.
const DIGITS: [usize; 13] = [1, 6, 6, 3, 3, 2, 9, 5, 9, 6, 6, 2, 6];
/// Bytes of a mark.
pub(super) const MARK_BYTES: usize = MAGIC.len() + 64;

/// What a packet is part of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Of {
    Video,
    Sound,
    /// No unit: the clock alone.
    Clock,
}

/// The source's truth about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) of: Of,
    /// A decoder can begin with the unit.
    pub(super) is_key: bool,
    /// The clock is what it should be.
    pub(super) is_clock_sound: bool,
    pub(super) run: u32,
    /// Units of a kind are counted as they are sent.
    pub(super) unit: u32,
    /// Its packets are counted too,
    pub(super) part: u32,
    /// and there are so many.
    pub(super) parts: u32,
    /// A source whose times go on somewhere else begins another one.
    pub(super) base: u8,
    /// When the unit is decoded, in ticks of 90 kHz,
    pub(super) dts: u64,
    /// and how much later it is shown.
    pub(super) shown_after: u64,
    /// The last clock the source sent up to here, in the same ticks.
    pub(super) clock: u64,
    /// The unit of the other kind that begins next.
    pub(super) companion: u32,
    /// The last units of this kind that did not leave the source whole: the first of them, and how many.
    pub(super) damaged: (u32, u8),
    /// Of the payload before the mark, without the PES header.
    pub(super) checksum: u32,
}

fn low(value: u64, digits: usize) -> u64 {
    value & ((1 << (4 * digits)) - 1)
}

impl Mark {
    pub(super) fn write(&self) -> [u8; MARK_BYTES] {
        let of = match self.of {
            Of::Video => 1,
            Of::Sound => 2,
            Of::Clock => 3,
        };
        let what = of << 2 | u64::from(self.is_key) << 1 | u64::from(self.is_clock_sound);
        let fields = [
            what,
            u64::from(self.run),
            u64::from(self.unit),
            u64::from(self.part),
            u64::from(self.parts),
            u64::from(self.base),
            self.dts,
            self.shown_after,
            self.clock,
            u64::from(self.companion),
            u64::from(self.damaged.0),
            u64::from(self.damaged.1),
            u64::from(self.checksum),
        ];
        let mut bytes = [DIGIT; MARK_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        let mut at = MAGIC.len();
        for (value, digits) in fields.into_iter().zip(DIGITS) {
            for place in (0..digits).rev() {
                bytes[at] |= u8::try_from(low(value, digits) >> (4 * place) & 0xF).unwrap();
                at += 1;
            }
        }
        assert_eq!(at, MARK_BYTES);
        bytes
    }

    /// The mark these bytes are.
    fn read(bytes: &[u8; MARK_BYTES]) -> Option<Self> {
        if bytes[..MAGIC.len()] != MAGIC || bytes.iter().any(|byte| byte & 0xF0 != DIGIT) {
            return None;
        }
        let mut digits = bytes[MAGIC.len()..].iter();
        let mut fields = [0_u64; DIGITS.len()];
        for (field, count) in fields.iter_mut().zip(DIGITS) {
            for digit in digits.by_ref().take(count) {
                *field = *field << 4 | u64::from(digit & 0xF);
            }
        }
        let small = |value: u64| u32::try_from(value).unwrap();
        let byte = |value: u64| u8::try_from(value).unwrap();
        let [what, run, unit, part, parts, base, dts, shown_after, clock, companion, first, count, checksum] =
            fields;
        Some(Self {
            of: match what >> 2 {
                1 => Of::Video,
                2 => Of::Sound,
                _clock => Of::Clock,
            },
            is_key: what & 2 != 0,
            is_clock_sound: what & 1 != 0,
            run: small(run),
            unit: small(unit),
            part: small(part),
            parts: small(parts),
            base: byte(base),
            dts,
            shown_after,
            clock,
            companion: small(companion),
            damaged: (small(first), byte(count)),
            checksum: small(checksum),
        })
    }

    /// What a packet with a payload says of itself: the mark stands at its end.
    pub(super) fn of_payload(packet: &[u8; PACKET_BYTES]) -> Option<Self> {
        Self::read(packet.last_chunk().expect("a packet is longer than a mark"))
    }

    /// What a packet that is a clock and nothing else says of itself: as private data behind the clock.
    pub(super) fn of_clock(packet: &[u8; PACKET_BYTES]) -> Option<Self> {
        // Adaptation field: length, flags, six bytes of clock, the length of private data.
        let has_private = packet[3] & 0x30 == 0x20 && packet[5] & 0x12 == 0x12;
        has_private.then(|| Self::read(packet[13..].first_chunk().expect("a packet is longer"))).flatten()
    }

    /// True when the unit does not matter to a viewer who has lost it: it did not leave its source whole.
    pub(super) fn excuses(&self, unit: u32) -> bool {
        let (first, count) = self.damaged;
        (first..first + u32::from(count)).contains(&unit)
    }
}

/// A checksum of a payload.
pub(super) fn checksum(payload: &[u8]) -> u32 {
    let (chunks, rest) = payload.as_chunks::<8>();
    let mut sum = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |bytes: u64| sum = (sum ^ bytes).wrapping_mul(0x0100_0000_01B3).rotate_left(29);
    chunks.iter().for_each(|chunk| add(u64::from_le_bytes(*chunk)));
    rest.iter().for_each(|byte| add(u64::from(*byte)));
    u32::try_from(sum >> 40).unwrap()
}

#[test]
fn a_mark_is_read_as_it_was_written() {
    let mark = Mark {
        of: Of::Sound,
        is_key: true,
        is_clock_sound: false,
        run: 77,
        unit: 1234,
        part: 3,
        parts: 400,
        base: 200,
        dts: (1 << 33) - 1,
        shown_after: 3 * 3600,
        clock: 99,
        companion: 1300,
        damaged: (1230, 3),
        checksum: 0x00AB_CDEF,
    };
    assert_eq!(Mark::read(&mark.write()), Some(mark));
    assert!(mark.excuses(1232) && !mark.excuses(1229) && !mark.excuses(1233));
}
