//! What becomes of each packet of a run.

use super::{Hole, Splice};
use crate::base::Instant;
use crate::splice::edit;
use crate::splice::input_streams::{Begun, Passage};
use crate::splice::outlook::Behind;
use crate::splice::routes::{Route, STANDARD};
use crate::ts::{
    AdaptationField, Continuity, Packet, PacketBytes, PacketMut, PayloadDigest, PesRest, PesStart, Pid,
    PlainRun, discontinuity_packet, pes_bytes, strip_pes_times, write_pes_times,
};

impl Splice {
    /// Restamps the packet at a place among those that leave together; `behind` are those behind it. What is to be said of
    /// one before it is returned. By its `digest` a repetition is known.
    pub(in crate::splice) fn packet(
        &mut self,
        now: Instant,
        at: usize,
        bytes: &mut PacketBytes,
        digest: PayloadDigest,
        behind: Behind<'_>,
    ) -> Option<Hole> {
        let sound = Packet::parse(bytes)
            .ok()
            .filter(|packet| !packet.transport_error_indicator() && edit::sound(*packet));
        let Some(packet) = sound else {
            edit::blank(bytes);
            self.counts.damaged_packets += 1;
            return None;
        };
        let pid = packet.pid();
        if pid == Pid::NULL {
            return None;
        }
        let verdict = self.came.check(packet, digest);
        match self.routes.of(pid) {
            Route::InputStream(index) => {
                let has_clock = self.take_clock(now, bytes, pid, behind);
                let hole = self.input(now, at, bytes, usize::from(index), verdict, behind);
                if has_clock {
                    self.restamp_clock(now, bytes, pid);
                }
                return hole;
            }
            Route::Pass => self.pass(bytes, pid, verdict),
            Route::Unlisted => self.unlisted(bytes, pid, verdict),
            Route::Pat => self.pat(bytes, verdict),
            Route::Pmt => self.pmt(bytes, pid, verdict),
            Route::Drop => {
                edit::blank(bytes);
                self.counts.unmapped_packets += 1;
            }
        }
        None
    }

    /// Restamps a run at a place among those that leave together, with which `packets` begin, if all of it leaves as what was begun
    /// goes on. False, and nothing changed, if it is to be restamped packet by packet.
    pub(in crate::splice) fn run(&mut self, at: usize, run: PlainRun, packets: &mut [PacketBytes]) -> bool {
        let Route::InputStream(index) = self.routes.of(run.pid()) else { return false };
        let input = self.inputs.get_mut(usize::from(index));
        if input.unit != Passage::Passing || input.gap || !self.came.fits_run(run) {
            return false;
        }
        self.came.take_run(run, PayloadDigest::of_last(run, packets));
        input.rest = input.rest.behind_run(run);
        input.last_left = Some((self.restampings, at + run.packets() - 1));
        let out = self.outputs.get(input.output).pid;
        let first = self.counters.count_run(out, run);
        if (out, first) == (run.pid(), run.first_counter()) {
            return true;
        }
        for (packet, ahead) in packets.iter_mut().zip(0..run.packets()) {
            let Ok(mut packet) = PacketMut::parse(packet) else { continue };
            packet.set_pid(out);
            packet.set_continuity_counter(first.after(ahead));
        }
        true
    }

    /// A packet of the programme's streams.
    fn input(
        &mut self,
        now: Instant,
        at: usize,
        bytes: &mut PacketBytes,
        index: usize,
        verdict: Continuity,
        behind: Behind<'_>,
    ) -> Option<Hole> {
        let input = self.inputs.get_mut(index);
        let (source, out) = (input.source, self.outputs.get(input.output).pid);
        let (payload, starts) = header(bytes);
        let input = self.inputs.get_mut(index);
        if !payload {
            input.note_counter(verdict);
            self.leave(bytes, out);
            return None;
        }
        if verdict == Continuity::Duplicate {
            let passes = input.unit == Passage::Passing && self.counters.may_repeat(out);
            if passes && starts {
                self.repeat_unit(bytes, index);
            }
            if passes {
                self.inputs.get_mut(index).last_left = Some((self.restampings, at));
                self.repeat(bytes, out);
            } else {
                self.withhold(bytes, source, out);
            }
            return None;
        }
        input.note_counter(verdict);
        let hole = if starts { self.start(now, bytes, index, behind) } else { None };
        let input = self.inputs.get_mut(index);
        if input.unit != Passage::Passing {
            self.withhold(bytes, source, out);
            return hole;
        }
        let rest = Packet::parse(bytes).map_or(input.rest, |packet| PesRest::behind(input.rest, packet));
        if std::mem::take(&mut input.gap) && !self.signal(bytes, out) {
            return hole;
        }
        let input = self.inputs.get_mut(index);
        (input.rest, input.last_left) = (rest, Some((self.restampings, at)));
        self.leave(bytes, out);
        hole
    }

    /// Something begins, for which nothing that came before is needed: a counter that does not follow there is as often that
    /// of a source that began to count anew, as that of one of which something was lost. Only where the end of what was there
    /// before is missing there is something to be said: here, if there is room, else at the end of that.
    fn start(
        &mut self,
        now: Instant,
        bytes: &mut PacketBytes,
        index: usize,
        behind: Behind<'_>,
    ) -> Option<Hole> {
        let input = self.inputs.get_mut(index);
        let is_torn = std::mem::take(&mut input.gap) && input.rest.is_torn();
        let last = input.last_left.take().filter(|(restamping, _)| *restamping == self.restampings);
        self.start_unit(now, bytes, index, behind);
        if !is_torn {
            return None;
        }
        self.counts.gaps_signalled += 1;
        let input = self.inputs.get_mut(index);
        let has_said = input.unit == Passage::Passing
            && PacketMut::parse(bytes).is_ok_and(|mut packet| packet.set_discontinuity(true));
        if has_said {
            return None;
        }
        let pid = self.outputs.get(input.output).pid;
        let (_, at) = last?;
        Some(Hole { at, pid, counter: self.counters.take_back(pid) })
    }

    /// A packet that no table lists. Tables and data come in sections, and who wants them finds them without the PMT. Pictures
    /// and sound of no programme are for nobody: the source has another make-up than its last PMT says.
    fn unlisted(&mut self, bytes: &mut PacketBytes, pid: Pid, verdict: Continuity) {
        if begins_section(bytes) {
            self.routes.set(pid, Route::Pass);
            return self.pass(bytes, pid, verdict);
        }
        edit::blank(bytes);
        self.counts.unmapped_packets += 1;
    }

    /// A packet that is none of the programme's.
    fn pass(&mut self, bytes: &mut PacketBytes, pid: Pid, verdict: Continuity) {
        let (payload, starts) = header(bytes);
        if !payload {
            self.leave(bytes, pid);
            return;
        }
        if STANDARD.contains(&pid.get()) && self.si_awaited & (1 << (pid.get() - STANDARD.start())) != 0 {
            if !starts {
                edit::blank(bytes);
                self.counters.withhold(pid);
                return;
            }
            self.si_awaited &= !(1 << (pid.get() - STANDARD.start()));
        }
        match verdict {
            Continuity::Fits | Continuity::Signalled => self.leave(bytes, pid),
            Continuity::Duplicate if self.counters.may_repeat(pid) => self.repeat(bytes, pid),
            Continuity::Duplicate => edit::blank(bytes),
            Continuity::Gap if starts => self.leave(bytes, pid),
            Continuity::Gap => {
                if self.signal(bytes, pid) {
                    self.leave(bytes, pid);
                }
            }
        }
    }

    fn pat(&mut self, bytes: &mut PacketBytes, verdict: Continuity) {
        let (payload, starts) = header(bytes);
        if verdict != Continuity::Duplicate {
            self.read_pat(bytes, verdict);
        }
        if self.transparent {
            self.pass_table(bytes, Pid::PAT, verdict);
        } else if payload && starts && verdict != Continuity::Duplicate {
            self.tables.write_pat(bytes, &mut self.counters);
        } else {
            edit::blank(bytes);
        }
    }

    fn read_pat(&mut self, bytes: &PacketBytes, verdict: Continuity) {
        let (Ok(packet), Some(source)) = (Packet::parse(bytes), &mut self.source) else { return };
        let before = source.pmt_pid();
        let Some(seen) = source.pat(packet, verdict == Continuity::Fits) else { return };
        let pmt_pid = source.pmt_pid();
        if self.alone && !seen.alone {
            // What passed because nobody else could own it may be another programme's from here on.
            self.routes.expel();
        }
        self.alone = seen.alone;
        // Receivers would not look at another table of the same version, and are told of no other programme.
        self.transparent &= !seen.contradicts && seen.alone;
        if self.transparent {
            self.tables.pass_pat(&seen.section, seen.transport_stream_id, pmt_pid);
        }
        if pmt_pid != before {
            if self.tables.pmt_pid() == Some(before) {
                self.routes.set(before, Route::Drop);
            } else {
                self.routes.reset(before);
            }
            self.routes.set(pmt_pid, Route::Pmt);
        }
    }

    fn pmt(&mut self, bytes: &mut PacketBytes, pid: Pid, verdict: Continuity) {
        if verdict != Continuity::Duplicate
            && let (Ok(packet), Some(source)) = (Packet::parse(bytes), &mut self.source)
            && let Some(pmt) = source.pmt(packet, verdict == Continuity::Fits)
        {
            self.follow(&pmt, pid);
            if !self.transparent {
                self.tables.revise_pat(0);
            }
        }
        let (payload, _) = header(bytes);
        if self.transparent {
            self.pass_table(bytes, pid, verdict);
        } else if !payload
            || verdict == Continuity::Duplicate
            || !self.tables.write_pmt(bytes, &mut self.counters)
        {
            edit::blank(bytes);
        }
    }

    /// A packet of a table that passes. A table is repeated: what is lost of it is not worth a signal.
    fn pass_table(&mut self, bytes: &mut PacketBytes, pid: Pid, verdict: Continuity) {
        let (payload, starts) = header(bytes);
        match verdict {
            Continuity::Fits | Continuity::Signalled => self.leave(bytes, pid),
            Continuity::Gap if starts || !payload => self.leave(bytes, pid),
            Continuity::Duplicate if self.counters.may_repeat(pid) => self.repeat(bytes, pid),
            Continuity::Gap | Continuity::Duplicate => {
                edit::blank(bytes);
                self.counters.withhold(pid);
            }
        }
    }

    /// A PES packet or a section begins.
    fn start_unit(&mut self, now: Instant, bytes: &mut PacketBytes, index: usize, behind: Behind<'_>) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let Some(at) = packet.payload_at() else { return };
        let start = if packet.transport_scrambling_control() == 0 {
            PesStart::read(&bytes[at..])
        } else {
            PesStart::None
        };
        let field = packet.adaptation_field();
        let is_entry = field.is_some_and(AdaptationField::random_access_indicator);
        let has_clock = self.source_pcr == Some(packet.pid());
        // One that stands tells nothing about what comes with it.
        let has_clock = has_clock && !self.clock.is_repeated();
        let pcr = field.and_then(AdaptationField::pcr).filter(|_| has_clock);
        let moment = self.moment(now);
        let input = self.inputs.get_mut(index);
        let passes = match start {
            PesStart::None => true,
            PesStart::Untimed => input.unit != Passage::Dropping || !input.overlaps(),
            PesStart::Cut => self.inputs.untouched() || strip_pes_times(&mut bytes[at..]),
            PesStart::Timed(times) => {
                let bytes_of_unit = pes_bytes(&bytes[at..]);
                let pcr_pid = self.source_pcr;
                let begun = Begun { times, bytes: bytes_of_unit, behind, pcr_pid, pcr, is_entry };
                let out = self.inputs.stamp(moment, &mut self.outputs, index, begun);
                self.move_clock();
                if let Some(out) = out.filter(|out| *out != times) {
                    write_pes_times(&mut bytes[at..], out);
                }
                out.is_some()
            }
        };
        self.counts.pes_dropped += u64::from(!passes);
        self.inputs.get_mut(index).unit = if passes { Passage::Passing } else { Passage::Dropping };
    }

    /// The first packet of a PES packet comes again: it leaves with the same times.
    fn repeat_unit(&mut self, bytes: &mut PacketBytes, index: usize) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let Some(at) = packet.payload_at().filter(|_| packet.transport_scrambling_control() == 0) else {
            return;
        };
        match (PesStart::read(&bytes[at..]), self.inputs.get_mut(index).stamped) {
            (PesStart::Timed(_), Some(out)) => write_pes_times(&mut bytes[at..], out),
            (PesStart::Cut, _) if !self.inputs.untouched() => {
                strip_pes_times(&mut bytes[at..]);
            }
            (PesStart::None | PesStart::Untimed | PesStart::Cut | PesStart::Timed(_), _) => {}
        }
    }

    /// The packet leaves on a PID with the next counter.
    fn leave(&mut self, bytes: &mut PacketBytes, out: Pid) {
        let Ok(mut packet) = PacketMut::parse(bytes) else { return };
        let counter = self.counters.count(out, packet.view());
        packet.set_pid(out);
        packet.set_continuity_counter(counter);
    }

    /// The repetition of a packet that has left.
    fn repeat(&mut self, bytes: &mut PacketBytes, out: Pid) {
        let Ok(mut packet) = PacketMut::parse(bytes) else { return };
        packet.set_pid(out);
        packet.set_continuity_counter(self.counters.repeat(out));
    }

    /// The packet says that those before it are missing. False when its payload had to make room for that.
    fn signal(&mut self, bytes: &mut PacketBytes, out: Pid) -> bool {
        self.counts.gaps_signalled += 1;
        if PacketMut::parse(bytes).is_ok_and(|mut packet| packet.set_discontinuity(true)) {
            return true;
        }
        *bytes = discontinuity_packet(out, self.counters.repeat(out), None);
        self.counters.withhold(out);
        false
    }

    /// The packet does not leave, but for the programme's clock in it.
    fn withhold(&mut self, bytes: &mut PacketBytes, source: Pid, out: Pid) {
        let has_clock = self.source_pcr == Some(source)
            && Packet::parse(bytes)
                .ok()
                .and_then(Packet::adaptation_field)
                .and_then(AdaptationField::pcr)
                .is_some();
        if has_clock {
            edit::clock_alone(bytes, out, self.counters.repeat(out));
        } else {
            edit::blank(bytes);
        }
        self.counters.withhold(out);
    }
}

/// Whether a section begins in a packet, and no PES packet.
fn begins_section(bytes: &PacketBytes) -> bool {
    Packet::parse(bytes).is_ok_and(|packet| {
        packet.payload_unit_start_indicator()
            && packet.transport_scrambling_control() == 0
            && packet.payload().is_some_and(|payload| !payload.starts_with(&[0, 0, 1]))
    })
}

/// Whether a packet has payload, and whether a unit starts in it.
fn header(bytes: &PacketBytes) -> (bool, bool) {
    Packet::parse(bytes)
        .map_or((false, false), |packet| (packet.has_payload(), packet.payload_unit_start_indicator()))
}
