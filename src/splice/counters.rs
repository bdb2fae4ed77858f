//! The continuity counters of everything that leaves: one count per PID, whoever the packets come from.

use crate::ts::{ContinuityCounter, Packet, Pid, PidTable, PlainRun};

/// Nothing has left on the PID yet.
const UNSEEN: u8 = 0xFF;
/// The last packet with payload that came for the PID did not leave: neither may its repetition.
const WITHHELD: u8 = 0x10;

/// The last counter that left on every PID.
pub(super) struct OutCounters {
    last: PidTable<u8>,
}

impl OutCounters {
    pub(super) fn new() -> Self {
        Self { last: PidTable::new(UNSEEN) }
    }

    /// The counter of a packet about to leave on a PID. The first one keeps its own; from then on a packet with
    /// payload counts one up and one without repeats the last.
    pub(super) fn count(&mut self, pid: Pid, packet: Packet<'_>) -> ContinuityCounter {
        let last = self.last.get(pid);
        let counter = match (last, packet.has_payload()) {
            (UNSEEN, _) => packet.continuity_counter(),
            (last, true) => ContinuityCounter::new(last).next(),
            (last, false) => ContinuityCounter::new(last),
        };
        *self.last.get_mut(pid) = counter.get();
        counter
    }

    /// The counter of the first packet of a run about to leave on a PID; the others count on from it.
    pub(super) fn count_run(&mut self, pid: Pid, run: PlainRun) -> ContinuityCounter {
        let last = self.last.get_mut(pid);
        let first = if *last == UNSEEN { run.first_counter() } else { ContinuityCounter::new(*last).next() };
        *last = first.after(run.packets() - 1).get();
        first
    }

    /// The counter of the next packet with payload that is made here.
    pub(super) fn next(&mut self, pid: Pid) -> ContinuityCounter {
        let last = self.last.get(pid);
        let counter =
            if last == UNSEEN { ContinuityCounter::new(0) } else { ContinuityCounter::new(last).next() };
        *self.last.get_mut(pid) = counter.get();
        counter
    }

    /// The counter of a packet without payload that is made here.
    pub(super) fn repeat(&mut self, pid: Pid) -> ContinuityCounter {
        let last = self.last.get(pid);
        let counter = ContinuityCounter::new(if last == UNSEEN { 0 } else { last });
        *self.last.get_mut(pid) = counter.get();
        counter
    }

    /// The last packet with payload gives way to one without. Returns the counter of that.
    pub(super) fn take_back(&mut self, pid: Pid) -> ContinuityCounter {
        let counter = ContinuityCounter::new(self.last.get(pid)).before(1);
        *self.last.get_mut(pid) = counter.get() | WITHHELD;
        counter
    }

    /// Whether anything has left on a PID.
    pub(super) fn seen(&self, pid: Pid) -> bool {
        self.last.get(pid) != UNSEEN
    }

    /// A packet with payload did not leave.
    pub(super) fn withhold(&mut self, pid: Pid) {
        let last = self.last.get_mut(pid);
        if *last != UNSEEN {
            *last |= WITHHELD;
        }
    }

    /// Whether the repetition of the last packet may leave: that packet did, as it was.
    pub(super) fn may_repeat(&self, pid: Pid) -> bool {
        let last = self.last.get(pid);
        last != UNSEEN && last & WITHHELD == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::{NULL_PACKET, PacketMut};

    #[test]
    fn a_pid_counts_on_whoever_its_packets_come_from() {
        let mut counters = OutCounters::new();
        let (video, other) = (Pid::new(0x100).unwrap(), Pid::new(0x101).unwrap());
        let mut count = |pid, counter, payload: bool| {
            let mut bytes = NULL_PACKET;
            bytes[3] = if payload { 0x10 } else { 0x20 };
            let mut packet = PacketMut::parse(&mut bytes).unwrap();
            packet.set_continuity_counter(ContinuityCounter::new(counter));
            counters.count(pid, packet.view()).get()
        };
        assert_eq!(count(video, 14, true), 14, "the first keeps its own");
        assert_eq!(count(video, 3, true), 15);
        assert_eq!(count(video, 3, false), 15, "no payload, no step");
        assert_eq!(count(video, 9, true), 0);
        assert_eq!(count(other, 9, true), 9);
        assert_eq!(counters.next(video).get(), 1);
        assert_eq!(counters.repeat(video).get(), 1);
        assert_eq!(counters.next(Pid::PAT).get(), 0);
    }

    #[test]
    fn the_repetition_of_a_packet_that_did_not_leave_does_not_either() {
        let mut counters = OutCounters::new();
        let video = Pid::new(0x100).unwrap();
        assert!(!counters.may_repeat(video));
        counters.next(video);
        assert!(counters.may_repeat(video));
        counters.withhold(video);
        assert!(!counters.may_repeat(video));
        assert_eq!(counters.next(video).get(), 1);
        assert!(counters.may_repeat(video));
    }
}
