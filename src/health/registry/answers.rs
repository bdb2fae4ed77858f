//! What becomes of a batch.

use super::entry::{Columns, Entry};
use super::{ATTEMPTS_MAX, News, RETRY_PAUSE, Registry, Totals};
use crate::base::Instant;

impl<S: Copy + Ord, C: Copy + Eq> Registry<S, C> {
    /// A batch could not be handed over: its rows stay first in the queue, and nothing is counted.
    pub fn refused(&mut self, now: Instant, seq: u64) {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.seq == seq) else { return };
        for source in in_flight.sources.into_iter().rev() {
            let entry = self.entries.get_mut(&source).expect("what is on its way is not forgotten");
            entry.take_back();
            if !std::mem::replace(&mut entry.is_queued, true) {
                self.queue.push_front(source);
            }
        }
        self.flush_at = now + RETRY_PAUSE;
    }

    /// A batch has been written, except for sources that the database does not have; or it has not, and why.
    /// An answer that comes after [`Registry::take_batch`] has stopped waiting for it says nothing.
    pub fn persisted(&mut self, now: Instant, seq: u64, result: Result<Vec<S>, String>) {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.seq == seq) else { return };
        match result {
            Ok(missing) => self.written(now, &in_flight.sources, &missing),
            Err(reason) => self.not_written(now, &in_flight.sources, reason),
        }
    }

    /// Drops what is not written yet, and says how many rows that are.
    pub fn give_up(&mut self) -> u64 {
        let in_flight = self.in_flight.take().map(|in_flight| in_flight.sources).unwrap_or_default();
        let waiting = std::mem::take(&mut self.queue);
        for source in in_flight {
            let entry = self.entries.get_mut(&source).expect("what is on its way is not forgotten");
            entry.take_back();
            if !entry.is_queued {
                Self::drop_row(entry, &mut self.totals);
            }
        }
        for source in waiting {
            let entry = self.entries.get_mut(&source).expect("what waits is not forgotten");
            entry.is_queued = false;
            Self::drop_row(entry, &mut self.totals);
        }
        u64::try_from(self.entries.values().filter(|entry| entry.unsaved.any()).count()).unwrap_or(u64::MAX)
    }

    fn written(&mut self, now: Instant, sources: &[S], missing: &[S]) {
        for source in sources {
            let entry = self.entries.get_mut(source).expect("what is on its way is not forgotten");
            entry.sent = Columns::default();
            entry.attempts = 0;
            if missing.contains(source) {
                Self::drop_row(entry, &mut self.totals);
            } else {
                self.totals.written += 1;
            }
        }
        self.failures = 0;
        if std::mem::take(&mut self.is_failing) {
            self.news = Some(News::WorksAgain);
            self.requeue_dropped(now);
        }
    }

    fn not_written(&mut self, now: Instant, sources: &[S], reason: String) {
        // Sources to which something happens all the time are never dropped, and never stored either.
        self.failures += 1;
        let mut is_lost = self.failures >= ATTEMPTS_MAX;
        let mut attempts = 0;
        for source in sources {
            let entry = self.entries.get_mut(source).expect("what is on its way is not forgotten");
            entry.take_back();
            if entry.is_queued {
                // Something has happened since: that is written, and this with it.
                continue;
            }
            entry.attempts += 1;
            if entry.attempts < ATTEMPTS_MAX {
                attempts = attempts.max(entry.attempts);
                entry.is_queued = true;
                self.queue.push_back(*source);
                continue;
            }
            Self::drop_row(entry, &mut self.totals);
            is_lost = true;
        }
        if is_lost && !std::mem::replace(&mut self.is_failing, true) {
            self.news = Some(News::Failing { reason });
        }
        self.flush_at = now + RETRY_PAUSE * attempts.max(1);
    }

    fn drop_row(entry: &mut Entry<C>, totals: &mut Totals) {
        entry.attempts = 0;
        entry.counts.dropped += 1;
        totals.dropped += 1;
    }
}
