//! What is released becomes visible: on the session's one timeline, with the places where viewers can start.

use crate::base::Instant;
use crate::base::limits::PACKET_BYTES;
use crate::source::watch::Progress;
use crate::splice::{Lead, Run, RunKind};

use crate::engine::channel::live::LiveSession;
use crate::engine::source::upstream::SourceRun;

impl LiveSession {
    /// Commits what may be shown of the first `packets` pending bytes, which are whole packets; behind them and `rest`
    /// more there is nothing.
    pub(crate) fn release(&mut self, now: Instant, packets: usize, rest: usize) {
        let Some(SourceRun { ingest, .. }) = &mut self.source else { return };
        let bytes = ingest.release(now, &mut self.ring.pending()[..packets]);
        if let Some(since) = ingest.held_since() {
            self.splice.has_held(since);
        }
        self.show(now, bytes, packets - bytes, rest);
    }

    /// Shows viewers the first `bytes` pending bytes, which have been released; `held` are held back behind them, and behind those
    /// and `rest` more there is nothing.
    fn show(&mut self, now: Instant, bytes: usize, held: usize, rest: usize) {
        let (shown, held_back) = self.ring.pending()[..bytes + held].split_at_mut(bytes);
        self.splice.restamp_before(now, shown, held_back);
        self.look(bytes);
        self.ring.commit(bytes, held + rest);
        if bytes > 0 {
            self.stats.bytes_pushed += bytes as u64;
            self.bitrate.add(now, bytes as u64);
            self.stats.chunks_pushed += 1;
            self.stats.last_push_at = Some(now);
        }
    }

    /// Nothing follows from the source: what has come whole of it is shown, and what it has left in its middle is not. `is_last`
    /// says that nothing follows at all.
    pub(crate) fn show_rest(&mut self, now: Instant, is_last: bool) {
        let Some(SourceRun { ingest, staging: None, .. }) = &mut self.source else { return };
        if self.ring.is_reserved() {
            return;
        }
        ingest.end(is_last);
        let held = ingest.held().min(self.ring.pending_bytes());
        self.release(now, usize::try_from(held).expect("less than the ring"), 0);
    }

    /// The selected source takes over.
    pub(crate) fn begin_run(&mut self, now: Instant) {
        let Some(SourceRun { ingest, staging: Some(staging), has_begun, .. }) = &mut self.source else {
            return;
        };
        if std::mem::replace(has_begun, true) {
            return;
        }
        let Some(programme) = ingest.inspector.programme() else {
            unreachable!("a source is selected once its programme is known")
        };
        self.inspector.accept_from(ingest.start_grade());
        let lead = Lead::scan_behind(staging.clock_before(), staging.packets(), programme);
        let boundary = self.splice.begin(now, &Run { kind: RunKind::Live, programme, lead });
        self.splice.counts_by(ingest.inspector.counting_habits());
        if boundary.is_empty() {
            self.prologue = ingest.prologue();
            // Their counters are counted on from, also when the source's own next tables are lost.
            self.splice.restamp(now, &mut self.prologue);
        } else {
            self.prologue.extend_from_slice(&boundary);
            self.note_boundary("keepalive_to_live", "idr", "");
        }
    }

    /// Tells the watchdog what has come. What comes and makes nothing whole is as good as nothing to viewers.
    pub(crate) fn observe(&mut self, now: Instant) {
        let Some(SourceRun { ingest, watch: Some(watch), .. }) = &mut self.source else { return };
        watch.observe(now, &Progress::of(&ingest.inspector, ingest.usable()));
    }

    /// Notes where viewers can start in the next `bytes` to be committed.
    pub(crate) fn look(&mut self, bytes: usize) {
        let head = self.ring.head();
        let (packets, _) = self.ring.pending()[..bytes].as_chunks::<PACKET_BYTES>();
        let mut next_note = self.pace_line.next_note();
        self.shown.follow(self.inspector.programme());
        for (packet, position) in packets.iter().zip((head..).step_by(PACKET_BYTES)) {
            self.inspector.packet(position, packet);
            self.shown.packet(packet);
            if position >= next_note {
                self.pace_line.note(position, self.shown.time());
                next_note = self.pace_line.next_note();
            }
            if let Some(entry) = self.inspector.take_entry_point() {
                self.entries.push(entry.position, entry.snapshot);
            }
        }
        self.pace_line.note(head + bytes as u64, self.shown.time());
    }
}
