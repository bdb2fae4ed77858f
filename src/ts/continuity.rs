//! Continuity counters of all PIDs (ISO/IEC 13818-1, 2.4.3.3).

use crate::ts::packet::{AdaptationField, ContinuityCounter, Packet, Pid};

/// What a packet's counter says about the packets before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Continuity {
    /// The counter follows, or there is nothing it could follow.
    Fits,
    /// The packet repeats the one before it. The standard allows one repetition.
    Duplicate,
    /// The counter does not follow, and the packet says so itself.
    Signalled,
    /// Packets are missing.
    Gap,
}

/// Nothing was seen on the PID yet.
const UNSEEN: u8 = 0xFF;
/// The last packet was a repetition; another one is a gap of 16.
const REPEATED: u8 = 0x10;

/// The last counter of every PID: one byte each, since one table lives in every channel.
pub struct ContinuityTable {
    last: Box<[u8; Pid::COUNT]>,
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
        Self { last: Box::new([UNSEEN; Pid::COUNT]) }
    }

    /// The counter of the last packet of a PID.
    #[must_use]
    pub fn last(&self, pid: Pid) -> Option<ContinuityCounter> {
        let last = self.last[pid.index()];
        (last != UNSEEN).then(|| ContinuityCounter::new(last))
    }

    /// Checks a packet's counter and remembers it. Null packets have none.
    pub fn check(&mut self, packet: Packet<'_>) -> Continuity {
        let pid = packet.pid();
        if pid == Pid::NULL {
            return Continuity::Fits;
        }
        let counter = packet.continuity_counter();
        let last = std::mem::replace(&mut self.last[pid.index()], counter.get());
        if last == UNSEEN {
            return Continuity::Fits;
        }
        let last_counter = ContinuityCounter::new(last);
        // A packet without payload repeats the counter of the last one that had some.
        let expected = if packet.has_payload() { last_counter.next() } else { last_counter };
        if counter == expected {
            if !packet.has_payload() {
                self.last[pid.index()] |= last & REPEATED;
            }
            return Continuity::Fits;
        }
        if packet.adaptation_field().is_some_and(AdaptationField::discontinuity_indicator) {
            return Continuity::Signalled;
        }
        if packet.has_payload() && counter == last_counter && last & REPEATED == 0 {
            self.last[pid.index()] |= REPEATED;
            return Continuity::Duplicate;
        }
        Continuity::Gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::testing::Fields;
    use Continuity::{Duplicate, Fits, Gap, Signalled};

    /// What each packet of PID 0x100 is found to be.
    fn verdicts(packets: &[Fields]) -> Vec<Continuity> {
        let mut table = ContinuityTable::new();
        packets
            .iter()
            .map(|fields| {
                let bytes = if fields.no_payload { fields.packet(&[]) } else { fields.packet(&[0; 150]) };
                table.check(Packet::parse(&bytes).unwrap())
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

    #[test]
    fn null_packets_have_no_continuity() {
        let mut table = ContinuityTable::new();
        for counter in [0, 5, 5, 5] {
            let bytes = Fields { pid: 0x1FFF, counter, ..Fields::NONE }.packet(&[0; 184]);
            assert_eq!(table.check(Packet::parse(&bytes).unwrap()), Fits);
        }
        assert_eq!(table.last(Pid::NULL), None);
    }

    #[test]
    fn pids_do_not_disturb_each_other() {
        let mut table = ContinuityTable::new();
        for (pid, counter) in [(0x100, 1), (0x1FFE, 7), (0x100, 2), (0x1FFE, 8)] {
            let bytes = Fields { pid, counter, ..Fields::NONE }.packet(&[0; 184]);
            assert_eq!(table.check(Packet::parse(&bytes).unwrap()), Fits);
        }
        assert_eq!(table.last(Pid::new(0x100).unwrap()), Some(ContinuityCounter::new(2)));
        assert_eq!(table.last(Pid::new(0x1FFE).unwrap()), Some(ContinuityCounter::new(8)));
    }
}
