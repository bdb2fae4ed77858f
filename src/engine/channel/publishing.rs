//! What is released becomes visible: on the one timeline, with the places where viewers can start.

use crate::base::Instant;
use crate::base::limits::{PACKET_BYTES, READ_BYTES_MAX};
use crate::engine::border::messages::Readers;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::splice::{FirstTimestamps, Run, RunKind};

use super::Channel;

impl Channel {
    /// Commits what may be shown of the first `packets` pending bytes, which are whole packets; behind them and `rest`
    /// more there is nothing. The watchdog is told.
    pub(super) fn commit<D: CoreDriver>(&mut self, cx: &Cx<D>, packets: usize, rest: usize) {
        let Some(run) = self.upstream.run_mut() else { return };
        let ingest = run.ingest_mut();
        let bytes = ingest.release(cx.clock_now(), &mut self.feed.ring_mut().pending()[..packets]);
        if let Some(since) = ingest.held_since() {
            self.splice.has_held(since);
        }
        self.show(cx, bytes, packets - bytes, rest);
        if let Some(run) = self.upstream.run_mut() {
            run.observe(cx.now);
        }
    }

    /// Shows viewers the first `bytes` pending bytes, which have been released; `held` are held back behind them, and behind those
    /// and `rest` more there is nothing.
    pub(super) fn show<D: CoreDriver>(&mut self, cx: &Cx<D>, bytes: usize, held: usize, rest: usize) {
        let now = cx.now;
        let pending = self.feed.ring_mut().pending();
        let (shown, held_back) = pending[..bytes + held].split_at_mut(bytes);
        self.splice.restamp_before(cx.clock_now(), shown, held_back);
        self.feed.commit(bytes, held + rest);
        if bytes > 0 {
            self.written.bytes += bytes as u64;
            self.written.commits += 1;
            self.written.last_at = Some(now);
            self.bitrate.add(now, bytes as u64);
        }
    }

    /// Nothing follows from the source: what has come whole of it is shown, and what it has left in its middle is not. `is_last`
    /// says that nothing follows at all.
    pub(super) fn show_rest<D: CoreDriver>(&mut self, cx: &Cx<D>, is_last: bool) {
        let Some(run) = self.upstream.run_mut().filter(|run| run.is_publishing()) else { return };
        if self.feed.ring().is_reserved() {
            return;
        }
        let ingest = run.ingest_mut();
        ingest.end(is_last);
        let held = ingest.held().min(self.feed.ring().pending_bytes());
        self.commit(cx, usize::try_from(held).expect("less than the ring"), 0);
    }

    /// The selected source takes over, when the clock shows `now`.
    fn begin_run(&mut self, now: Instant) {
        let Some((staging, ingest)) = self.upstream.run_mut().and_then(|run| run.begin()) else { return };
        let Some(programme) = ingest.inspector().programme() else {
            unreachable!("a source is selected once its programme is known")
        };
        self.feed.accept_from(ingest.start_grade());
        let lead = FirstTimestamps::scan_behind(staging.clock_before(), staging.packets(), programme);
        let boundary = self.splice.begin(now, &Run { kind: RunKind::Live, programme, lead });
        self.splice.counts_by(ingest.inspector().counting_habits());
        if boundary.is_empty() {
            self.prologue = ingest.prologue();
            // Their counters are counted on from, also when the source's own next tables are lost.
            self.splice.restamp(now, &mut self.prologue);
        } else {
            self.prologue.extend_from_slice(&boundary);
            self.note_boundary("keepalive_to_live", "idr", "");
        }
    }

    /// Writes what comes before a run's first packet. True when nothing of it is left.
    fn write_prologue<D: CoreDriver>(&mut self, cx: &mut Cx<D>) -> bool {
        let prologue = std::mem::take(&mut self.prologue);
        if prologue.is_empty() || self.write(cx, &prologue) {
            return true;
        }
        self.prologue = prologue;
        false
    }

    /// Moves what was staged of a selected source into the ring. True when nothing of it is left.
    pub(super) fn move_staged<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        readers: &mut dyn Readers<D>,
    ) -> bool {
        if self.filling.is_some() {
            // It is about to be stopped.
            return false;
        }
        self.begin_run(cx.clock_now());
        if !self.write_prologue(cx) {
            return false;
        }
        loop {
            let Some(run) = self.upstream.run_mut() else { return false };
            let Some(left) = run.left_to_move() else { return true };
            let count = left.min(READ_BYTES_MAX);
            if count == 0 {
                if run.is_busy() {
                    return false;
                }
                run.has_moved();
                return true;
            }
            if self.is_too_early(cx, count) {
                return false;
            }
            let Some(span) = self.reserve(cx, count) else { return false };
            let Some(run) = self.upstream.run_mut() else { return false };
            let ring = self.feed.ring_mut();
            let offset = usize::try_from(ring.pending_bytes()).expect("less than the ring");
            ring.received(span, count);
            run.move_into(&mut ring.pending()[offset..]);
            let held =
                usize::try_from(run.ingest().held()).map_or(usize::MAX, |held| held).min(offset + count);
            let packets = held - held % PACKET_BYTES;
            // Else the first bytes after it, whatever they are, would pass for what this was.
            self.commit(cx, packets, offset + count - packets);
            self.admit_late(cx, readers);
            self.publish(cx, readers);
        }
    }
}
