//! The filler of a channel, from its start to the moment a source takes over.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::filler::slate::Slate;
use crate::filler::{Due, Filler, KeepaliveReport, Mode};
use crate::splice::{FirstTimestamps, Run, RunKind, Splice};

/// How long what is due of a slate may wait for more: short beside the egress delay, and long enough that twenty
/// slates cost less than the twenty sources in whose place they are.
const REST: Duration = Duration::from_millis(45);

/// What viewers get while there is no source.
pub(super) struct FillerRun {
    filler: Filler,
    /// The slate whose run has begun in the splice.
    begun: Option<Arc<Slate>>,
    /// The boundary before null packets or tables has been made.
    is_paused: bool,
    /// What is due and has not been written yet: the ring had no room, or was lent.
    unwritten: Vec<u8>,
    /// Nothing is written before this: pictures and sound that follow each other are written together.
    rests_until: Option<Instant>,
}

impl FillerRun {
    pub(super) const fn new(filler: Filler) -> Self {
        Self { filler, begun: None, is_paused: false, unwritten: Vec::new(), rests_until: None }
    }

    /// Its mode's name.
    pub(super) fn mode(&self) -> &'static str {
        self.filler.mode().map_or("", Mode::as_str)
    }

    /// A slate is played.
    pub(super) const fn is_picture(&self) -> bool {
        self.begun.is_some()
    }

    /// When something more is to be written.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let due = self.filler.next_deadline()?;
        Some(self.rests_until.map_or(due, |until| due.max(until)))
    }

    /// Makes ready what is due, unless something waits to be written; the clock shows `clock_now`. True when it begins with a boundary.
    pub(super) fn prepare(&mut self, now: Instant, clock_now: Instant, splice: &mut Splice) -> bool {
        if !self.unwritten.is_empty() || self.rests_until.is_some_and(|until| until > now) {
            return false;
        }
        self.rests_until = None;
        let mut packets = Vec::new();
        let due = self.filler.due(now, &mut packets);
        let is_beat = matches!(due, Due::Null | Due::Psi);
        let is_first_beat = is_beat && !self.is_paused;
        self.is_paused |= is_beat;
        if is_first_beat {
            self.unwritten = splice.pause(clock_now);
        }
        match due {
            Due::Nothing => false,
            Due::Null => {
                self.unwritten.extend_from_slice(&packets);
                is_first_beat
            }
            Due::Psi => {
                self.unwritten.extend_from_slice(&splice.psi());
                is_first_beat
            }
            Due::Slate => {
                let Some(slate) = self.filler.slate() else { return false };
                let is_new = self.begun.as_ref().is_none_or(|begun| !Arc::ptr_eq(begun, slate));
                if is_new {
                    self.begun = Some(Arc::clone(slate));
                    let lead = FirstTimestamps::scan(&packets, slate.programme());
                    let run = Run { kind: RunKind::Filler, programme: slate.programme(), lead };
                    self.unwritten = splice.begin(clock_now, &run);
                }
                splice.restamp(clock_now, &mut packets);
                self.unwritten.extend_from_slice(&packets);
                is_new
            }
        }
    }

    /// What is ready to be written.
    pub(super) fn take_ready(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unwritten)
    }

    /// It could not be written yet.
    pub(super) fn put_back(&mut self, packets: Vec<u8>) {
        self.unwritten = packets;
    }

    /// So many bytes have been written. When the filler's mode has had to change: from which, to which, and why.
    pub(super) fn written(
        &mut self,
        now: Instant,
        bytes: usize,
    ) -> Option<(&'static str, &'static str, String)> {
        self.rests_until = self.filler.slate().is_some().then(|| now + REST);
        let before = self.mode();
        self.filler.published(now, bytes as u64);
        let after = self.mode();
        (before != after).then(|| (before, after, self.filler.report().totals.fallback_reason.clone()))
    }

    /// It ends. Gives what it came to, and what has its place in the counters already but was not written.
    pub(super) fn stop(mut self, now: Instant) -> (KeepaliveReport, Vec<u8>) {
        self.filler.stop(now);
        (self.filler.report().clone(), self.unwritten)
    }

    /// What it has come to until now.
    pub(super) const fn report(&self) -> &KeepaliveReport {
        self.filler.report()
    }
}
