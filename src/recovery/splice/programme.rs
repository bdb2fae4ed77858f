//! What a run's programme becomes in the session: its PIDs and its tables.

use crate::recovery::splice::lanes::Unit;
use crate::recovery::splice::routes::Route;
use crate::recovery::splice::session::{RunKind, Splice};
use crate::recovery::splice::source::SourceTables;
use crate::recovery::splice::tables::Mapped;
use crate::recovery::splice::tracks::{Carried, Wanted};
use crate::ts::psi::{Pmt, Programme};
use crate::ts::{Pid, StreamKind};

/// A stream of the run that has found its PID: where it comes from, the track it leaves on, what it is.
type Fitted = (Pid, usize, StreamKind);

impl Splice {
    /// A run begins.
    pub(super) fn take_programme(&mut self, programme: &Programme) {
        self.source = Some(SourceTables::new(programme));
        let live = self.kind == RunKind::Live;
        self.canonical = self.first_run || (live && !self.live_seen);
        self.live_seen |= live;
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
    pub(super) fn follow(&mut self, pmt: &Pmt, pmt_pid: Pid) {
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
        self.routes.clear(if self.first_run && self.alone { Route::Stranger } else { Route::Drop });
        if let Some(own) = self.tables.pmt_pid() {
            self.routes.set(own, Route::Drop);
        }
        self.routes.set(pmt_pid, Route::Pmt);
        let mut fitted: Vec<Fitted> = Vec::with_capacity(pmt.streams().len() + 1);
        let mut streams = Vec::with_capacity(pmt.streams().len());
        for stream in pmt.streams() {
            let carried = Carried::Stream(stream.stream_type, stream.codec);
            streams.push(self.place(&mut fitted, stream.pid, pmt_pid, carried, stream.kind()));
        }
        let listed =
            |fitted: &[Fitted], pid| fitted.iter().find(|(source, ..)| *source == pid).map(|found| found.1);
        let pcr_pid = pmt.pcr_pid.and_then(|pid| match listed(&fitted, pid) {
            Some(track) => Some(self.tracks.get(track).pid),
            None => self.place(&mut fitted, pid, pmt_pid, Carried::Clock, StreamKind::Other),
        });
        self.source_pcr = pmt.pcr_pid.filter(|_| pcr_pid.is_some());
        self.lanes.fit(&fitted, if self.first_run { Unit::Passing } else { Unit::Awaited });
        for (index, (source, ..)) in (0..).zip(&fitted) {
            self.routes.set(*source, Route::Lane(index));
        }
        (streams, pcr_pid)
    }

    /// Finds a PID for one stream.
    fn place(
        &mut self,
        fitted: &mut Vec<Fitted>,
        own: Pid,
        pmt_pid: Pid,
        carried: Carried,
        kind: StreamKind,
    ) -> Mapped {
        let impossible = own == Pid::PAT || own == Pid::NULL || own == pmt_pid;
        if impossible || fitted.iter().any(|(source, ..)| *source == own) {
            return None;
        }
        let taken: Vec<usize> = fitted.iter().map(|(_, track, _)| *track).collect();
        let nth = taken.iter().filter(|track| self.tracks.get(**track).carried == carried).count();
        let (session_pmt, canonical, counters) = (self.tables.pmt_pid(), self.canonical, &self.counters);
        let may_use =
            |pid: Pid| Some(pid) != session_pmt && (!counters.seen(pid) || (canonical && pid == own));
        let found = self.tracks.assign(Wanted { carried, nth, own }, &taken, canonical, may_use);
        let Some(track) = found else {
            self.routes.set(own, Route::Drop);
            return None;
        };
        let out = self.tracks.get(track).pid;
        // A first run's other packets pass, but not on a PID that has become a stream's.
        if out != own && matches!(self.routes.of(out), Route::Pass | Route::Stranger) {
            self.routes.set(out, Route::Drop);
        }
        fitted.push((own, track, kind));
        Some(out)
    }
}
