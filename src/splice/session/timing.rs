//! The clock of a run, packet by packet, and what it has to do with the times of its streams.

use super::Splice;
use crate::base::Instant;
use crate::splice::input_streams::{ClockMove, Moment, Opening};
use crate::splice::outlook::Behind;
use crate::ts::{AdaptationField, Packet, PacketBytes, PacketMut, Pid};

impl Splice {
    /// When a PES packet leaves.
    pub(in crate::splice) fn moment(&self, now: Instant) -> Moment {
        Moment {
            now,
            came_at: self.came_at,
            clock: self.clock_now(now),
            source: self.clock.source_at(now),
            came: self.clock.came(),
            stray: self.clock.stray(),
            is_there: self.clock.is_there(),
        }
    }

    /// The streams have found a time base, or found that it is later than was thought.
    pub(in crate::splice) fn move_clock(&mut self) {
        match self.inputs.take_move() {
            Some(ClockMove::Rebase(offset, first)) => self.clock.rebase(offset * 300, first),
            Some(ClockMove::Shift(ticks)) => self.clock.shift(ticks * 300),
            None => {}
        }
    }

    /// Looks at the clock in a packet, before the streams are told of what begins in it. True when there is one.
    pub(in crate::splice) fn take_clock(
        &mut self,
        now: Instant,
        bytes: &PacketBytes,
        source: Pid,
        behind: Behind<'_>,
    ) -> bool {
        let Ok(packet) = Packet::parse(bytes) else { return false };
        let field = packet.adaptation_field();
        let Some((field, pcr)) = field.and_then(|field| Some((field, field.pcr()?))) else { return false };
        if self.source_pcr == Some(source) {
            let jump = self.clock.take(now, self.came_at, pcr, field.discontinuity_indicator());
            self.inputs.clock_came(now, jump.map(|ticks| ticks / 300));
            if let Some(jump) = jump {
                let packets = std::iter::once(packet).chain(behind.packets());
                let opening = Opening { pcr_pid: self.source_pcr, pcr: Some(pcr), jump: Some(jump / 300) };
                self.inputs.open_by_clock(self.moment(now), &self.outputs, opening, packets);
                self.move_clock();
            }
        }
        true
    }

    /// Replaces the clock in a packet, if it is still there.
    pub(in crate::splice) fn restamp_clock(&mut self, now: Instant, bytes: &mut PacketBytes, source: Pid) {
        let Ok(mut packet) = PacketMut::parse(bytes) else { return };
        let Some(pcr) = packet.view().adaptation_field().and_then(AdaptationField::pcr) else { return };
        if self.source_pcr != Some(source) {
            let out = self.clock.restamp_foreign(now, pcr);
            if out != pcr {
                packet.set_pcr(out);
            }
            return;
        }
        let reached = self.inputs.reached(now);
        let Some(left) = self.clock.leave(now, reached) else { return };
        if left.pcr != pcr {
            packet.set_pcr(left.pcr);
        }
        if left.jumps {
            packet.set_discontinuity(true);
        }
        if self.clock.stray().is_none() {
            self.inputs.clock_is_known();
        }
        if let Some(late) = left.late {
            self.inputs.raise(late / 300 + 1);
            self.move_clock();
        }
    }
}
