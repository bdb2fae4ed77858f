//! What a run's programme becomes in the session: its PIDs and its tables.

use super::{RunKind, Splice};
use crate::splice::input_streams::Passage;
use crate::splice::output_streams::{Carried, Wanted, language};
use crate::splice::routes::Route;
use crate::splice::source::SourceTables;
use crate::splice::tables::Mapped;
use crate::ts::psi::{Pmt, Programme};
use crate::ts::{Pid, StreamKind};

/// A stream of the run that has found its PID: where it comes from, the output it leaves on, what it is.
type Fitted = (Pid, usize, StreamKind);

impl Splice {
    /// A run begins.
    pub(in crate::splice) fn take_programme(&mut self, programme: &Programme) {
        self.source = Some(SourceTables::new(programme));
        let live = self.kind == RunKind::Live;
        self.canonical = self.first_run || (live && !self.live_seen);
        self.live_seen |= live;
        self.is_followed = false;
        if self.first_run {
            self.tables.call(programme);
        }
        self.alone = programme.alone;
        self.transparent = self.first_run && self.alone;
        self.si_awaited = if self.first_run { 0 } else { u16::MAX };
        self.follow(&programme.pmt, programme.pmt_pid);
        self.tables.revise_pat(programme.pat_version);
        self.tables.rewind();
    }

    /// The run's programme is made of this now.
    pub(in crate::splice) fn follow(&mut self, pmt: &Pmt, pmt_pid: Pid) {
        let (streams, pcr_pid) = self.fit(pmt, pmt_pid);
        let same = pmt.streams().iter().zip(&streams).all(|(stream, mapped)| *mapped == Some(stream.pid));
        let live = self.kind == RunKind::Live;
        // Receivers would not look at another table of the same version.
        self.transparent &= same && pcr_pid == pmt.pcr_pid && !self.tables.contradicts(pmt);
        if self.transparent {
            self.tables.pass_pmt(pmt, live);
        } else if live || !self.tables.keep_live(pmt, &streams, pcr_pid) {
            self.tables.revise_pmt(pmt, &streams, pcr_pid, live);
        }
    }

    /// Finds a PID for every stream and for the clock.
    fn fit(&mut self, pmt: &Pmt, pmt_pid: Pid) -> (Vec<Mapped>, Option<Pid>) {
        self.routes.clear(if self.first_run && self.alone { Route::Unlisted } else { Route::Drop });
        if let Some(own) = self.tables.pmt_pid() {
            self.routes.set(own, Route::Drop);
        }
        self.routes.set(pmt_pid, Route::Pmt);
        // What is to find a PID: the streams, and the clock if it is on none of theirs.
        let mut wanted: Vec<(usize, StreamKind, Wanted)> = Vec::with_capacity(pmt.streams().len() + 1);
        let is_possible = |own: Pid| own != Pid::PAT && own != Pid::NULL && own != pmt_pid;
        let is_new = |wanted: &[(usize, StreamKind, Wanted)], own: Pid| {
            is_possible(own) && !wanted.iter().any(|(_, _, other)| other.own == own)
        };
        for (index, stream) in pmt.streams().iter().enumerate() {
            if is_new(&wanted, stream.pid) {
                let carried = Carried::Stream(stream.stream_type, stream.codec);
                let language = language(pmt.stream_descriptors(stream));
                wanted.push((index, stream.kind(), Wanted { carried, language, own: stream.pid }));
            }
        }
        let clock = pmt.streams().len();
        if let Some(own) = pmt.pcr_pid.filter(|own| is_new(&wanted, *own)) {
            let carried = Carried::Clock;
            wanted.push((clock, StreamKind::Other, Wanted { carried, language: None, own }));
        }
        let fitted = self.place(&wanted);
        let mut streams: Vec<Mapped> = vec![None; clock + 1];
        for ((index, ..), output) in wanted.iter().zip(&fitted) {
            streams[*index] = output.map(|output| self.outputs.get(output).pid);
        }
        let pcr_pid = pmt.pcr_pid.and_then(|own| {
            let (index, ..) = wanted.iter().find(|(_, _, wanted)| wanted.own == own)?;
            streams[*index]
        });
        self.source_pcr = pmt.pcr_pid.filter(|_| pcr_pid.is_some());
        streams.truncate(clock);
        (streams, pcr_pid)
    }

    /// Finds an output stream for each of these and has its packets leave on it.
    fn place(&mut self, wanted: &[(usize, StreamKind, Wanted)]) -> Vec<Option<usize>> {
        let (session_pmt, canonical, counters) = (self.tables.pmt_pid(), self.canonical, &self.counters);
        let may_use = |pid: Pid, own: Pid| {
            Some(pid) != session_pmt && (!counters.seen(pid) || (canonical && pid == own))
        };
        let streams: Vec<Wanted> = wanted.iter().map(|(_, _, wanted)| *wanted).collect();
        // A source that changes by itself stays where it is: what it was before counts more than its PIDs.
        let keep_own = canonical && !self.is_followed;
        let found = self.outputs.assign(&streams, keep_own, may_use);
        self.is_followed = true;
        let mut inputs: Vec<Fitted> = Vec::with_capacity(wanted.len());
        for ((_, kind, Wanted { own, .. }), found) in wanted.iter().zip(&found) {
            let Some(output) = *found else {
                self.routes.set(*own, Route::Drop);
                continue;
            };
            let out = self.outputs.get(output).pid;
            // A first run's other packets pass, but not on a PID that has become a stream's.
            if out != *own && matches!(self.routes.of(out), Route::Pass | Route::Unlisted) {
                self.routes.set(out, Route::Drop);
            }
            inputs.push((*own, output, *kind));
        }
        self.inputs.fit(&inputs, if self.first_run { Passage::Passing } else { Passage::Awaited });
        for (index, (source, ..)) in (0..).zip(&inputs) {
            self.routes.set(*source, Route::InputStream(index));
        }
        found
    }
}
