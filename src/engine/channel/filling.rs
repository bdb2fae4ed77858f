//! Filler begins, is written, and ends; and the slate for it is asked for before it is needed.

use std::sync::Arc;

use crate::engine::border::messages::Readers;
use crate::engine::context::cx::{CoreDriver, Cx, Question};
use crate::engine::port::ids::Ticket;
use crate::engine::port::messages::ControlRequest;
use crate::engine::port::snapshot::{KeepaliveReport, TransitionSnapshot};
use crate::engine::report::events::{self, Transition};
use crate::filler::slate::{Slate, SlateSpec, size_adjustment};
use crate::filler::{Filler, Mode};
use crate::session::Event;

use super::Channel;
use super::filler::FillerRun;

impl Channel {
    /// From now on viewers get filler.
    pub(super) fn start_filler<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        let Some(params) = cx.params.filler.as_ref().map(|params| params.filler) else { return };
        let bitrate = self.stream.as_ref().map(|stream| stream.bitrate_bps).filter(|rate| *rate > 0);
        let totals = self.keepalive.take().map(|report| report.totals).unwrap_or_default();
        let filling = FillerRun::new(Filler::start(cx.now, params, self.slate.clone(), bitrate, totals));
        let cycle = u64::from(self.machine.record().recovery_cycle);
        log::info!("{}", events::keepalive_started(self.about(), cycle, filling.mode()));
        self.filling = Some(filling);
        self.fill_in(cx, readers);
        self.arm(cx);
    }

    /// Filler ends, because a source takes over or because none will. Gives what happens to the source that takes over.
    pub(super) fn stop_filler<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
    ) -> Option<Event> {
        let filling = self.filling.take()?;
        let mode = filling.mode();
        let (report, unwritten) = filling.stop(cx.now);
        self.prologue.extend_from_slice(&unwritten);
        let line = events::keepalive_stopped(
            self.about(),
            mode,
            report.duration(cx.now),
            report.bytes,
            report.chunks,
        );
        log::info!("{line}");
        self.keepalive = Some(report);
        self.drive(cx, readers)
    }

    /// Writes what is due of the filler.
    pub(super) fn fill_in<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        let now = cx.now;
        let Some(filling) = &mut self.filling else { return };
        let is_boundary = filling.prepare(now, cx.clock_now(), &mut self.splice);
        let (packets, is_picture) = (filling.take_ready(), filling.is_picture());
        if is_boundary && is_picture {
            self.note_boundary("live_to_keepalive", "idr", "");
        } else if is_boundary {
            self.note_boundary("live_to_keepalive", "", "idr_keepalive_non_av");
        }
        let is_written = packets.is_empty() || self.write(cx, &packets);
        let Some(filling) = &mut self.filling else { return };
        if !is_written {
            return filling.put_back(packets);
        }
        if !packets.is_empty()
            && let Some((from, to, reason)) = filling.written(now, packets.len())
        {
            log::warn!("{}", events::keepalive_fallback(self.about(), from, to, &reason));
        }
        self.admit_late(cx, readers);
        self.publish(cx, readers);
    }

    /// Shows viewers packets of our own. False when there is no room yet.
    pub(super) fn write<D: CoreDriver>(&mut self, cx: &mut Cx<D>, packets: &[u8]) -> bool {
        let Some(span) = self.reserve(cx, packets.len()) else { return false };
        let ring = self.feed.ring_mut();
        ring.received(span, packets.len());
        assert_eq!(ring.pending_bytes(), packets.len() as u64, "our packets come between two sources");
        ring.pending().copy_from_slice(packets);
        self.feed.commit(packets.len(), 0);
        true
    }

    /// Has a slate made that looks like what the selected source shows.
    pub(super) fn ask_for_slate<D: CoreDriver>(&mut self, cx: &mut Cx<D>) {
        let Some(params) = &cx.params.filler else { return };
        if params.filler.mode != Mode::SlateAv {
            return;
        }
        let Some(stream) = &self.stream else { return };
        let spec = SlateSpec::of(stream, &params.text, params.filler.has_audio);
        let key = spec.key();
        if self.slate_key.as_ref() == Some(&key) {
            return;
        }
        if let Some(reason) = size_adjustment(stream) {
            log::info!("{}", self.about().line("shared session slate size adjusted").field("reason", reason));
        }
        let request = |core, ticket| ControlRequest::PrepareSlate { core, ticket, spec };
        if let Some(ticket) = cx.ask(Question::Slate(self.me), request) {
            self.slate_question = Some(ticket);
            self.slate_key = Some(key);
        }
    }

    /// Keeps the slate that was asked for. Without one the filler plays the slate that is built in; control has logged why.
    pub(crate) fn on_slate(&mut self, ticket: Ticket, result: Result<Arc<Slate>, String>) {
        if self.slate_question == Some(ticket) {
            self.slate_question = None;
            self.slate = result.ok().or(self.slate.take());
        }
    }

    /// A boundary has been made: what it signals, and what it could not.
    pub(super) fn note_boundary(&mut self, transition: &'static str, applied: &str, skipped: &str) {
        let report = self.splice.boundary();
        let join = |words: &mut dyn Iterator<Item = &'static str>, last: &str| {
            let mut words: Vec<_> = words.map(str::to_owned).collect();
            words.extend((!last.is_empty()).then(|| last.to_owned()));
            words.join(",")
        };
        let signals_applied = join(&mut report.applied(), applied);
        let signal_skips = join(&mut report.skips(), skipped);
        let stitch_applied = report.stitch();
        let reason = signal_skips
            .split(',')
            .find(|word| !word.is_empty() && *word != "idr_keepalive_non_av")
            .map(|word| format!("default: {word}"));
        let before = &self.transition;
        let is_news = reason.as_ref().is_some_and(|reason| *reason != before.fallback_reason);
        self.transition = TransitionSnapshot {
            fallback_count: before.fallback_count + u64::from(is_news),
            fallback_reason: reason.unwrap_or_else(|| before.fallback_reason.clone()),
            signals_applied,
            signal_skips,
            stitch_applied,
        };
        let event = Transition {
            transition,
            signals_applied: &self.transition.signals_applied,
            signal_skips: &self.transition.signal_skips,
            stitch_applied,
        };
        log::info!("{}", events::transition(self.about(), &event));
    }

    /// What operators see of the filler, the running one or the last.
    pub(super) fn keepalive_report(&self) -> Option<&KeepaliveReport> {
        self.filling.as_ref().map(FillerRun::report).or(self.keepalive.as_ref())
    }
}
