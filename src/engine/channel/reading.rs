//! The source is opened, read into the ring, and gone.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::limits::READ_BYTES_MAX;
use crate::base::{ChildExit, Errno, KernelBytes, redact};
use crate::engine::border::messages::Readers;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::token::SourceStep;
use crate::engine::port::messages::ChildRefused;
use crate::engine::report::events;
use crate::engine::source::run::Came;
use crate::engine::source::upstream::{Completed, Happened, Step};
use crate::ring::{Lent, WriteSpan};
use crate::session::{Event as SessionEvent, Lost};
use crate::source::error::Kind;
use crate::uring::Event;

use super::Channel;

/// The longest rest between two reads of a source that gives little at a time: short beside the egress delay, long
/// enough that fifty channels do not wake the core for every packet of their upstreams.
const READ_REST_MAX: Duration = Duration::from_millis(50);

/// Whether a source is read a little later again. What fills the memory it was given gives more, however little that was: a stream
/// whose rate is not known is read in small parts.
const fn gives_little(count: usize, is_all: bool) -> bool {
    is_all && 0 < count && count < READ_BYTES_MAX / 2
}

impl Channel {
    /// What has happened to the source, as the session is to hear of it.
    pub(super) fn on_happened<D: CoreDriver>(&mut self, cx: &mut Cx<D>, happened: Happened) -> SessionEvent {
        match happened {
            Happened::Ready { from } => {
                self.select(cx, from);
                SessionEvent::SourceReady
            }
            Happened::FailedToStart { source, error, came } => {
                let url = redact::url(&source.url);
                let line = events::source_start_failed(self.about(), source.id.0, &url, &error.reason());
                log::warn!("{line}");
                self.error = Some(error.reason());
                self.met_itself = error.is_loop();
                SessionEvent::SourceFailed {
                    // Told apart for the viewer: nothing came at all, or something came and was no picture.
                    silent: came && matches!(error.kind(), Kind::Timeout | Kind::NoEntryPoint),
                    hung_up: error.is_hang_up(),
                    reason: error.reason(),
                    status: error.status_code(),
                    retry_after: error.retry_after(),
                }
            }
            Happened::NoPlace => SessionEvent::NoPlace,
            Happened::Ended => {
                self.error = Some("source ended".to_owned());
                self.log_lost(None);
                SessionEvent::SourceLost { cause: Lost::Eof }
            }
            Happened::Broken(error) => {
                self.error = Some(error.reason());
                self.log_lost(Some(&error.reason()));
                let cause = Lost::Error {
                    reason: error.reason(),
                    status: error.status_code(),
                    retry_after: error.retry_after(),
                };
                SessionEvent::SourceLost { cause }
            }
            Happened::Stalled(stall) => {
                let what = stall.kind.as_str();
                self.error = Some(format!("stream pump stall detected: {what}"));
                let line = self.about().line("shared session source stalled").field("stall_kind", what);
                log::warn!("{}", line.field("since", format!("{:?}", cx.now - stall.since)));
                SessionEvent::Stalled { what }
            }
        }
    }

    fn follow<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        happened: Option<Happened>,
    ) {
        if let Some(happened) = happened {
            let event = self.on_happened(cx, happened);
            self.handle(cx, readers, event);
        }
    }

    /// The source that is being started is the session's from now on.
    fn select<D: CoreDriver>(&mut self, cx: &mut Cx<D>, from: u64) {
        let is_first = self.history.current().is_none();
        if is_first {
            cx.backoff.record_success(cx.now, self.listing().id);
        }
        let clock_now = cx.clock_now();
        // Beside what is pending there is always room for those who read.
        let held_bytes_max = self.feed.capacity() / 4;
        if let Some(run) = self.upstream.run_mut() {
            run.ingest_mut().pacer().begin(clock_now);
            run.select(cx.now, from, is_first, held_bytes_max, &cx.params.session);
        }
        self.note_selected(cx, from);
        self.schedule_probe(cx.now);
    }

    /// The source is not wanted any more.
    pub(super) fn stop_source<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        self.cancel_probe(cx);
        self.show_rest(cx, false);
        // Nothing need follow for long.
        self.publish(cx, readers);
        if self.upstream.stop(cx) && !self.feed.ring().is_reserved() {
            // What it has left half received is shown to nobody.
            self.feed.ring_mut().drop_pending();
        }
    }

    /// Does what the source needs next, as far as that goes without waiting. Gives what has happened to it meanwhile.
    pub(super) fn drive<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
    ) -> Option<SessionEvent> {
        loop {
            let run = self.upstream.run_mut()?;
            if run.selected_at().is_none() {
                let happened = self.upstream.drive_start(cx)?;
                return Some(self.on_happened(cx, happened));
            }
            let rests = run.rests_until().is_some_and(|until| until > cx.now) && run.is_streaming();
            if rests || run.gathers_drips(cx.now) {
                return None;
            }
            run.rest(None);
            if run.is_moving() && !self.move_staged(cx, readers) {
                return None;
            }
            if self.upstream.run()?.is_waiting() {
                return None;
            }
            let may_read = !self.is_paused(cx);
            if !may_read && self.upstream.run()?.is_streaming() {
                return None;
            }
            match self.upstream.step(cx, may_read) {
                Step::Wait => return None,
                Step::Again => {}
                Step::Happened(happened) => return Some(self.on_happened(cx, happened)),
                Step::Take => {
                    let span = self.reserve(cx, self.room())?;
                    if let Some(event) = self.take_body(cx, readers, span) {
                        return Some(event);
                    }
                }
                Step::Fill(inlet) => {
                    let span = self.reserve(cx, self.room())?;
                    if let Err(span) = self.upstream.fill(cx, inlet, Lent::Span(span)) {
                        // No room for an operation: the memory goes back and the source is tried again next turn.
                        if let Some(span) = span {
                            self.feed.ring_mut().received(span, 0);
                        }
                        return None;
                    }
                }
            }
        }
    }

    /// Drives the source, and handles what happens to it.
    pub(crate) fn drive_on<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        if let Some(event) = self.drive(cx, readers) {
            self.handle(cx, readers, event);
        }
    }

    /// What could not be written last turn is tried again.
    pub(crate) fn retry<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        self.fill_in(cx, readers);
        self.drive_on(cx, readers);
    }

    /// Copies body bytes that the client holds (behind the head, or decrypted) into the ring.
    fn take_body<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        span: WriteSpan,
    ) -> Option<SessionEvent> {
        let room = span.len();
        let before = self.feed.ring().pending_bytes();
        self.feed.ring_mut().received(span, room);
        let offset = usize::try_from(before).expect("less than the ring");
        let rest = read_rest(cx);
        let run = self.upstream.run_mut()?;
        let taken = run.take_body(cx.now, &mut self.feed.ring_mut().pending()[offset..]);
        if let Some(rest) = run.gathers_for(rest) {
            run.rest(Some(cx.now + rest));
        }
        self.ingest(cx, readers, offset, taken)
    }

    /// An operation of a source has ended.
    pub(crate) fn on_source<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        run: u32,
        step: SourceStep,
        event: Event<Lent, D::Descriptor>,
    ) {
        match self.upstream.on_completion(cx, run, step, event) {
            Completed::Stale(span) => {
                self.feed.ring_mut().received(span, 0);
                // What an earlier run left half received is no part of this one.
                self.feed.ring_mut().drop_pending();
                return self.retry(cx, readers);
            }
            Completed::Here(happened) => self.follow(cx, readers, happened),
            Completed::Filled(span, result) => {
                if let Some(event) = self.filled(cx, readers, span, result) {
                    self.handle(cx, readers, event);
                }
            }
        }
        self.drive_on(cx, readers);
        self.arm(cx);
    }

    fn filled<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        span: WriteSpan,
        result: Result<u32, Errno>,
    ) -> Option<SessionEvent> {
        let count = result.map_or(0, |count| count as usize);
        let rest = read_rest(cx);
        let is_all = count < span.len();
        let ring = self.feed.ring_mut();
        let offset = usize::try_from(ring.pending_bytes()).expect("less than the ring");
        ring.received(span, count);
        let run = self.upstream.run_mut()?;
        if is_all {
            run.set_waited(Duration::ZERO);
        }
        run.rest(gives_little(count, is_all).then(|| cx.now + rest));
        match run.came(cx.now, &mut ring.pending()[offset..], result) {
            Came::Bytes(count) => self.ingest(cx, readers, offset, count),
            Came::Nothing => None,
            Came::End => {
                let happened = self.upstream.output_ended(cx)?;
                Some(self.on_happened(cx, happened))
            }
        }
    }

    /// `count` bytes of the stream have come into the ring, behind the first `offset` pending ones; what lies behind
    /// them is forgotten.
    fn ingest<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        offset: usize,
        count: usize,
    ) -> Option<SessionEvent> {
        let now = cx.now;
        self.upstream.note_read(now, count);
        let run = self.upstream.run_mut()?;
        let ingest = run.ingest_mut();
        let held = usize::try_from(ingest.held()).expect("less than the ring");
        let pending = &mut self.feed.ring_mut().pending()[..offset + count];
        ingest.came(now);
        let aligned = ingest.take(&mut pending[held..], offset - held);
        let unsuitable = ingest.take_unsuitable();
        self.commit(cx, held + aligned.packets_bytes, aligned.rest_bytes);
        self.fit_ring(cx);
        if let Some(error) = unsuitable {
            let happened = self.upstream.failed(cx, error)?;
            return Some(self.on_happened(cx, happened));
        }
        self.admit_late(cx, readers);
        self.publish(cx, readers);
        None
    }

    pub(super) fn expire_source<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        let happened = self.upstream.open_awaited(cx);
        self.follow(cx, readers, happened);
        if self.upstream.expire_client(cx) {
            self.drive_on(cx, readers);
        }
        let happened = self.upstream.expire(cx);
        self.follow(cx, readers, happened);
    }

    /// A child has ended: begins the attempt that has waited for that.
    pub(crate) fn open_awaited<D: CoreDriver>(&mut self, cx: &mut Cx<D>, readers: &mut dyn Readers<D>) {
        if self.upstream.is_awaiting() {
            let happened = self.upstream.open_awaited(cx);
            self.follow(cx, readers, happened);
            self.arm(cx);
        }
    }

    /// The answer to the question where a source's host is.
    pub(crate) fn on_resolved<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        run: u32,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        self.upstream.on_resolved(cx, run, result);
        self.drive_on(cx, readers);
        self.arm(cx);
    }

    /// A child has been started for a run, or not.
    pub(crate) fn on_child_started<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        run: u32,
        result: Result<D::Descriptor, ChildRefused>,
    ) {
        let happened = self.upstream.on_child_started(cx, run, result);
        self.follow(cx, readers, happened);
        self.drive_on(cx, readers);
        self.arm(cx);
    }

    /// The child of a run has ended.
    pub(crate) fn on_child_ended<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
        run: u32,
        exit: ChildExit,
        stderr_tail: &str,
    ) {
        if self.upstream.is_selected(run) {
            // The pipe may still hold what it wrote last; the end of the pipe is the end of the source.
            let source = self.history.current().map_or(0, |window| window.source.id.0);
            log::warn!("{}", events::child_ended(self.about(), source, exit, stderr_tail));
            return;
        }
        let happened = self.upstream.on_child_ended(cx, run, exit, stderr_tail);
        self.follow(cx, readers, happened);
        self.arm(cx);
    }

    /// The selected source is gone.
    fn log_lost(&self, reason: Option<&str>) {
        let source = self.history.current().map_or(0, |window| window.source.id.0);
        log::warn!("{}", events::source_lost(self.about(), source, reason));
    }
}

/// How long a source that gives little at a time is left alone.
fn read_rest<D: CoreDriver>(cx: &Cx<D>) -> Duration {
    READ_REST_MAX.min(cx.params.egress.delay / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_fills_what_it_is_given_is_read_on_at_once() {
        for (count, room, expected) in [
            (1316, 32 * 1024, true),
            (32 * 1024 - 1, 32 * 1024, true),
            (32 * 1024, 32 * 1024, false),
            (1316, 1316, false),
            (READ_BYTES_MAX / 2 - 1, READ_BYTES_MAX, true),
            (READ_BYTES_MAX / 2, READ_BYTES_MAX, false),
            (0, READ_BYTES_MAX, false),
        ] {
            assert_eq!(gives_little(count, count < room), expected, "{count} of {room}");
        }
    }
}
