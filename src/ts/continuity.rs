//! Continuity counters of all PIDs (ISO/IEC 13818-1, 2.4.3.3).

use crate::ts::packet::{AdaptationField, ContinuityCounter, Packet, PacketBytes, Pid};
use crate::ts::pid_table::PidTable;
use crate::ts::plain_run::PlainRun;

/// What a packet's counter says about the packets before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Continuity {
    /// The counter follows, or there is nothing it could follow.
    Fits,
    /// The packet repeats the one before it. The standard allows one repetition.
    Duplicate,
    /// The counter does not follow, and the packet says so itself.
    Signalled,
    /// The counter does not follow. Packets are missing, unless something begins here that needs none of them.
    Gap,
}

/// A PID's last counter, what has become of it, and by which bytes its last packet is known again.
#[derive(Clone, Copy)]
struct CounterWord(u32);

impl CounterWord {
    const COUNTER: u32 = 0x0F;
    /// A packet was seen on the PID.
    const SEEN: u32 = 0x10;
    /// The last packet was a repetition; another one is a gap of 16.
    const REPEATED: u32 = 0x20;
    /// How often in a row another packet has come with the counter of the one before: a gap of 16, or a multiplexer that
    /// does not count.
    const STUCK: u32 = 0xC0;
    const STUCK_ONE: u32 = 0x40;
    /// Twice in a row is no accident.
    const NEVER_COUNTS: u32 = 2 * Self::STUCK_ONE;
    /// How often in a row a packet without payload has counted.
    const STEPS: u32 = 0x300;
    const STEPS_ONE: u32 = 0x100;
    /// The multiplexer counts these as well.
    const COUNTS_ALL: u32 = 3 * Self::STEPS_ONE;
    /// A digest of the last packet with payload.
    const MARK: u32 = 0xFFFF_0000;

    const fn counter(self) -> Option<ContinuityCounter> {
        if self.0 & Self::SEEN == 0 { None } else { Some(ContinuityCounter::new(self.0.to_le_bytes()[0])) }
    }

    const fn has_repeated(self) -> bool {
        self.0 & Self::REPEATED != 0
    }

    const fn never_counts(self) -> bool {
        self.0 & Self::STUCK == Self::NEVER_COUNTS
    }

    const fn counts_all(self) -> bool {
        self.0 & Self::STEPS == Self::COUNTS_ALL
    }

    const fn with(self, mask: u32, bits: u32) -> Self {
        Self((self.0 & !mask) | bits)
    }
}

/// The last counter of every PID.
pub struct ContinuityTable {
    last: PidTable<CounterWord>,
}

impl Default for ContinuityTable {
    fn default() -> Self {
        Self::new()
    }
}

impl ContinuityTable {
    /// A table that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { last: PidTable::new(CounterWord(0)) }
    }

    /// A table that has seen nothing but knows how the packets are counted that this one has seen.
    #[must_use]
    pub fn habits(&self) -> Self {
        let mut last = self.last.clone();
        last.change(|seen| {
            // What was begun to be suspected is looked at anew.
            let never = if seen.never_counts() { CounterWord::NEVER_COUNTS } else { 0 };
            let all = if seen.counts_all() { CounterWord::COUNTS_ALL } else { 0 };
            CounterWord(never | all)
        });
        Self { last }
    }

    /// The counter of the last packet of a PID.
    #[must_use]
    pub fn last(&self, pid: Pid) -> Option<ContinuityCounter> {
        self.last.get(pid).counter()
    }

    /// Checks a packet's counter and remembers it. Null packets have none. A packet with the counter of the one before is its
    /// repetition if the `digest` of its payload is the same; of packets that are known to be counted right that need not be made.
    pub fn check(&mut self, packet: Packet<'_>, digest: PayloadDigest) -> Continuity {
        let pid = packet.pid();
        if pid == Pid::NULL {
            return Continuity::Fits;
        }
        let entry = self.last.get_mut(pid);
        let (verdict, next) = if packet.has_payload() {
            Self::with_payload(*entry, packet, digest)
        } else {
            Self::without_payload(*entry, packet)
        };
        let counter = u32::from(packet.continuity_counter().get());
        *entry = next.with(CounterWord::COUNTER, counter | CounterWord::SEEN);
        verdict
    }

    /// Takes a run whose first counter follows: then all of them do. False, and nothing changed, when it does not. `digest` is of
    /// its last packet.
    pub fn take_run(&mut self, run: PlainRun, digest: PayloadDigest) -> bool {
        if !self.fits_run(run) {
            return false;
        }
        let forgotten = CounterWord::MARK | CounterWord::REPEATED | CounterWord::STUCK | CounterWord::COUNTER;
        let entry = self.last.get_mut(run.pid());
        *entry = entry.with(forgotten, digest.mark() | u32::from(run.last_counter().get()));
        true
    }

    /// Whether the first counter of a run follows what came before.
    #[must_use]
    pub fn fits_run(&self, run: PlainRun) -> bool {
        self.last(run.pid()).map(ContinuityCounter::next) == Some(run.first_counter())
    }

    fn with_payload(
        entry: CounterWord,
        packet: Packet<'_>,
        digest: PayloadDigest,
    ) -> (Continuity, CounterWord) {
        let counter = packet.continuity_counter();
        let mark = digest.mark();
        let next = entry.with(CounterWord::MARK | CounterWord::REPEATED, mark);
        let counts = next.with(CounterWord::STUCK, 0);
        let Some(last) = entry.counter() else { return (Continuity::Fits, next) };
        if counter == last.next() {
            return (Continuity::Fits, counts);
        }
        if packet.adaptation_field().is_some_and(AdaptationField::discontinuity_indicator) {
            return (Continuity::Signalled, next);
        }
        if counter != last {
            return (Continuity::Gap, counts);
        }
        if entry.0 & CounterWord::MARK != mark {
            if entry.never_counts() {
                return (Continuity::Fits, next);
            }
            return (Continuity::Gap, CounterWord(next.0 + CounterWord::STUCK_ONE));
        }
        if entry.has_repeated() {
            return (Continuity::Gap, next);
        }
        (Continuity::Duplicate, next.with(0, CounterWord::REPEATED))
    }

    /// A packet without payload repeats the counter of the last one that had some.
    fn without_payload(entry: CounterWord, packet: Packet<'_>) -> (Continuity, CounterWord) {
        let counter = packet.continuity_counter();
        let Some(last) = entry.counter() else { return (Continuity::Fits, entry) };
        if counter == last {
            return (Continuity::Fits, entry.with(CounterWord::STEPS, 0));
        }
        let next = entry.with(CounterWord::REPEATED, 0);
        if packet.adaptation_field().is_some_and(AdaptationField::discontinuity_indicator) {
            return (Continuity::Signalled, next);
        }
        if counter != last.next() {
            return (Continuity::Gap, next);
        }
        if entry.counts_all() {
            return (Continuity::Fits, next);
        }
        (Continuity::Gap, CounterWord(next.0 + CounterWord::STEPS_ONE))
    }
}

/// By this a repetition is known: all of a packet's payload, since its clock may be another. A part of it says little, as sections
/// and teletext end in bytes that fill up. Made once of each packet that comes, for all that look for repetitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PayloadDigest(u64);

impl PayloadDigest {
    const KEYS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93];

    /// The same for packets of one payload, and hardly ever for others.
    #[must_use]
    pub fn of(bytes: &PacketBytes) -> Self {
        let payload =
            Packet::parse(bytes).ok().filter(|packet| packet.pid() != Pid::NULL).and_then(Packet::payload);
        let Some(payload) = payload else { return Self::default() };
        let (pairs, rest) = payload.as_chunks::<16>();
        // No product waits for the one before it: that is what a chain of them costs.
        let mut digest = pairs.iter().fold(payload.len() as u64, Self::mix);
        if !rest.is_empty() {
            // Some of them again, where there are as many: copying costs more.
            let mut few = [0; 16];
            let last = payload.last_chunk().unwrap_or_else(|| {
                few[..rest.len()].copy_from_slice(rest);
                &few
            });
            digest = Self::mix(digest, last);
        }
        Self(Self::fold(digest ^ Self::KEYS[0], Self::KEYS[1]))
    }

    /// Of the last packet of a run, with which `packets` begin: a repetition of that is known by it.
    #[must_use]
    pub fn of_last(run: PlainRun, packets: &[PacketBytes]) -> Self {
        packets.get(run.packets() - 1).map_or_else(Self::default, Self::of)
    }

    fn mix(digest: u64, pair: &[u8; 16]) -> u64 {
        let (words, _) = pair.as_chunks::<8>();
        let [low, high] = [0, 1].map(|at| u64::from_le_bytes(words[at]).wrapping_add(Self::KEYS[at]));
        digest.rotate_left(23).wrapping_add(Self::fold(low, high))
    }

    /// Both halves of a product.
    fn fold(a: u64, b: u64) -> u64 {
        let product = u128::from(a).wrapping_mul(u128::from(b)).to_le_bytes();
        let (halves, _) = product.as_chunks::<8>();
        u64::from_le_bytes(halves[0]) ^ u64::from_le_bytes(halves[1])
    }

    /// As much of it as is kept of each PID.
    fn mark(self) -> u32 {
        let [.., high, low] = self.0.to_le_bytes();
        u32::from(u16::from_be_bytes([high, low])) << 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::testing::Fields;
    use Continuity::{Duplicate, Fits, Gap, Signalled};

    fn check(table: &mut ContinuityTable, bytes: &PacketBytes) -> Continuity {
        table.check(Packet::parse(bytes).unwrap(), PayloadDigest::of(bytes))
    }

    /// What each packet of PID 0x100 is found to be.
    fn verdicts(packets: &[Fields]) -> Vec<Continuity> {
        let mut table = ContinuityTable::new();
        packets
            .iter()
            .map(|fields| {
                let bytes = if fields.no_payload { fields.packet(&[]) } else { fields.packet(&[0; 150]) };
                check(&mut table, &bytes)
            })
            .collect()
    }

    const fn plain(counter: u8) -> Fields {
        Fields { pid: 0x100, counter, ..Fields::NONE }
    }
    const fn empty(counter: u8) -> Fields {
        Fields { no_payload: true, ..plain(counter) }
    }
    const fn signalled(counter: u8) -> Fields {
        Fields { discontinuity: true, ..plain(counter) }
    }

    #[test]
    fn counters_are_judged_by_the_standards_rules() {
        let table: &[(&str, Vec<Fields>, Vec<Continuity>)] = &[
            ("the first packet has any counter", vec![plain(9)], vec![Fits]),
            ("payload counts up and wraps", vec![plain(14), plain(15), plain(0)], vec![Fits, Fits, Fits]),
            (
                "one repetition is a duplicate",
                vec![plain(3), plain(3), plain(4)],
                vec![Fits, Duplicate, Fits],
            ),
            ("a second repetition is a gap", vec![plain(3), plain(3), plain(3)], vec![Fits, Duplicate, Gap]),
            ("a jump is a gap, once", vec![plain(3), plain(5), plain(6)], vec![Fits, Gap, Fits]),
            (
                "no payload, no step",
                vec![plain(3), empty(3), empty(3), plain(4)],
                vec![Fits, Fits, Fits, Fits],
            ),
            ("a step without payload is a gap", vec![plain(3), empty(4)], vec![Fits, Gap]),
            (
                "a signalled jump is none",
                vec![plain(3), signalled(9), plain(10)],
                vec![Fits, Signalled, Fits],
            ),
            (
                "a signalled jump without payload",
                vec![plain(3), Fields { discontinuity: true, ..empty(9) }, plain(10)],
                vec![Fits, Signalled, Fits],
            ),
        ];
        for (name, packets, expected) in table {
            assert_eq!(&verdicts(packets), expected, "{name}");
        }
    }

    /// The same for packets of which no two have the same content.
    fn all_different(table: &mut ContinuityTable, packets: &[Fields]) -> Vec<Continuity> {
        let bytes = (0..).zip(packets).map(|(number, fields)| {
            if fields.no_payload { fields.packet(&[]) } else { fields.packet(&[number; 184]) }
        });
        bytes.map(|bytes| check(table, &bytes)).collect()
    }

    #[test]
    fn a_multiplexer_that_does_not_count_is_known_by_its_third_packet() {
        let mut table = ContinuityTable::new();
        let stuck = [plain(0); 5];
        assert_eq!(all_different(&mut table, &stuck), [Fits, Gap, Gap, Fits, Fits]);
        assert_eq!(all_different(&mut table.habits(), &stuck), [Fits; 5]);
        let counts_again = [plain(1), plain(2), plain(2)];
        assert_eq!(all_different(&mut table, &counts_again), [Fits, Fits, Gap]);
        // An accident is no habit.
        assert_eq!(all_different(&mut table.habits(), &stuck[..2]), [Fits, Gap]);
    }

    #[test]
    fn a_multiplexer_that_counts_packets_without_payload_is_known_by_the_third_of_them() {
        let mut table = ContinuityTable::new();
        let step = |counter| [plain(counter), empty(counter + 1)];
        let packets = [step(0), step(2), step(4), step(6), step(8)].concat();
        let expected = [Fits, Gap, Fits, Gap, Fits, Gap, Fits, Fits, Fits, Fits];
        assert_eq!(all_different(&mut table, &packets), expected);
        assert_eq!(all_different(&mut table.habits(), &packets), [Fits; 10]);
        assert_eq!(all_different(&mut table, &[plain(10), empty(10), empty(11)]), [Fits, Fits, Gap]);
    }

    #[test]
    fn packets_that_end_alike_are_no_repetitions() {
        let mut table = ContinuityTable::new();
        let mut check_numbered = |number: u8, pcr| {
            let mut payload = [0xFF; 150];
            payload[..9].copy_from_slice(&[0, 0x74, 0xB0, 14, 0, 1, 0xC1, 0, number]);
            let bytes = Fields { pcr, ..plain(7) }.packet(&payload);
            check(&mut table, &bytes)
        };
        assert_eq!(check_numbered(1, None), Fits);
        assert_eq!(check_numbered(2, None), Gap, "it was counted anew");
        assert_eq!(check_numbered(2, None), Duplicate);
        assert_eq!(check_numbered(3, Some(crate::ts::Pcr::from_ticks(1))), Gap);
        assert_eq!(
            check_numbered(3, Some(crate::ts::Pcr::from_ticks(2))),
            Duplicate,
            "its clock may be another"
        );
    }

    #[test]
    fn a_digest_is_of_all_of_a_payload_and_of_nothing_else() {
        let pcr = |ticks| Some(crate::ts::Pcr::from_ticks(ticks));
        for (room, field) in [(184, None), (176, pcr(7)), (150, pcr(7)), (9, pcr(7)), (1, pcr(7))] {
            let payload: Vec<u8> = (0..room).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let fields = Fields { pcr: field, ..plain(3) };
            let own = PayloadDigest::of(&fields.packet(&payload));
            let moved = Fields { pid: 0x200, pcr: field.and(pcr(9)), ..plain(4) };
            assert_eq!(own, PayloadDigest::of(&moved.packet(&payload)), "{room}");
            let mut others = std::collections::HashSet::from([own.0]);
            for at in 0..payload.len() {
                for bit in 0..8 {
                    let mut other = payload.clone();
                    other[at] ^= 1 << bit;
                    let digest = PayloadDigest::of(&fields.packet(&other));
                    assert!(others.insert(digest.0), "{room}: bit {bit} of byte {at}");
                }
            }
        }
    }

    #[test]
    fn a_digest_knows_where_things_are() {
        let mut seen = std::collections::HashSet::new();
        for filled in [0, 0xFF] {
            for at in 0..184 {
                let mut payload = [filled; 184];
                payload[at] = 0x47;
                let digest = PayloadDigest::of(&plain(0).packet(&payload));
                assert!(seen.insert(digest.0), "{filled:#x}: {at}");
            }
        }
    }

    #[test]
    fn null_packets_have_no_continuity() {
        let mut table = ContinuityTable::new();
        for counter in [0, 5, 5, 5] {
            let bytes = Fields { pid: 0x1FFF, counter, ..Fields::NONE }.packet(&[0; 184]);
            assert_eq!(check(&mut table, &bytes), Fits);
        }
        assert_eq!(table.last(Pid::NULL), None);
    }

    #[test]
    fn pids_do_not_disturb_each_other() {
        let mut table = ContinuityTable::new();
        for (pid, counter) in [(0x100, 1), (0x1FFE, 7), (0x100, 2), (0x1FFE, 8)] {
            let bytes = Fields { pid, counter, ..Fields::NONE }.packet(&[0; 184]);
            assert_eq!(check(&mut table, &bytes), Fits);
        }
        assert_eq!(table.last(Pid::new(0x100).unwrap()), Some(ContinuityCounter::new(2)));
        assert_eq!(table.last(Pid::new(0x1FFE).unwrap()), Some(ContinuityCounter::new(8)));
    }
}
