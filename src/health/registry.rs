//! What is known of the sources of one core's channels, and what of it is not in the database yet.
//!
//! A channel lives on one core, so this is the truth about its sources: whoever orders candidates asks the registry
//! and never waits for the database. What is written is always the whole newest row of a source, whose counts
//! hold every event before it. Rows may therefore be written late, together, twice or again without harm, and no
//! two writers ever meet in one row.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::Instant;
use crate::lineup::{Health, HealthRow, StoredProfile};

use super::reason::stored_reason;

mod answers;
mod counts;
mod entry;

pub use counts::{Counts, News, Totals};
use entry::{Columns, Entry};

/// Rows are written at most this often, and an event waits no longer to be written while writing works.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(250);
/// The most rows in one batch. The rest goes with the next one.
pub const BATCH_ROWS_MAX: usize = 256;
/// Writes of a row that fail before it is left alone until writing works again.
const ATTEMPTS_MAX: u32 = 3;
/// The pause after a write that failed, times the writes that have.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// After this long an answer does not come any more: the store itself waits five seconds for a locked file.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows that are written together or not at all.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch<S> {
    /// Comes back in [`Registry::persisted`].
    pub seq: u64,
    /// At least one.
    pub rows: Vec<HealthRow<S>>,
}

struct InFlight<S> {
    seq: u64,
    sources: Vec<S>,
    until: Instant,
}

/// The health of sources `S` of channels `C`.
///
/// It holds the sources that something has happened to since the start and that the lineup still offers, which
/// bounds it.
pub struct Registry<S, C> {
    entries: BTreeMap<S, Entry<C>>,
    /// Sources to be written, in the order of their first event; each once.
    queue: VecDeque<S>,
    /// The next batch goes no sooner.
    flush_at: Instant,
    in_flight: Option<InFlight<S>>,
    last_seq: u64,
    /// The newest wall time seen.
    wall: u64,
    is_hurried: bool,
    /// Batches that were not written, in a row.
    failures: u32,
    is_failing: bool,
    news: Option<News>,
    totals: Totals,
}

impl<S: Copy + Ord, C: Copy + Eq> Default for Registry<S, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Copy + Ord, C: Copy + Eq> Registry<S, C> {
    /// An empty registry.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            queue: VecDeque::new(),
            flush_at: Instant::START,
            in_flight: None,
            last_seq: 0,
            wall: 0,
            is_hurried: false,
            failures: 0,
            is_failing: false,
            news: None,
            totals: Totals::new(),
        }
    }

    /// Takes in what the database knew of a source, when the registry does not know better.
    pub fn load(
        &mut self,
        now: Instant,
        wall: u64,
        source: S,
        channel: C,
        health: &Health,
        profile: &StoredProfile,
    ) {
        let wall = self.read_wall(now, wall);
        if self.knows(source) {
            return;
        }
        let mut health = health.clone();
        let unsaved = Columns { health: health.bring_back(wall), profile: false };
        let entry = Entry {
            channel,
            health,
            profile: profile.clone(),
            unsaved,
            sent: Columns::default(),
            is_queued: false,
            attempts: 0,
            counts: Counts::default(),
        };
        self.entries.insert(source, entry);
        if unsaved.any() {
            self.enqueue(now, source);
        }
    }

    /// True when the registry knows the source better than the database.
    #[must_use]
    pub fn knows(&self, source: S) -> bool {
        self.entries.contains_key(&source)
    }

    /// The health of a source that something has happened to.
    #[must_use]
    pub fn health(&self, source: S) -> Option<&Health> {
        self.entries.get(&source).map(|entry| &entry.health)
    }

    /// The profile of a source that something has happened to.
    #[must_use]
    pub fn profile(&self, source: S) -> Option<&StoredProfile> {
        self.entries.get(&source).map(|entry| &entry.profile)
    }

    /// A source has failed, at `wall` seconds since 1970. False when it was never learned.
    pub fn fail(&mut self, now: Instant, wall: u64, source: S, reason: &str) -> bool {
        let wall = self.read_wall(now, wall);
        let reason = stored_reason(reason);
        self.change(now, source, Columns { health: true, profile: false }, |entry| {
            let applied = entry.health.mark_failure(&reason, wall);
            debug_assert!(applied, "what happens is newer than what has happened");
        })
    }

    /// A source has streamed well. False when it was never learned.
    pub fn ok(&mut self, now: Instant, wall: u64, source: S) -> bool {
        let wall = self.read_wall(now, wall);
        self.change(now, source, Columns { health: true, profile: false }, |entry| {
            let applied = entry.health.mark_success(wall);
            debug_assert!(applied, "what happens is newer than what has happened");
        })
    }

    /// A source has been looked at. False when it was never learned, or when what is known is newer.
    pub fn note_profile(&mut self, now: Instant, source: S, profile: StoredProfile) -> bool {
        if !self.entries.get(&source).is_some_and(|entry| profile.replaces(&entry.profile)) {
            return false;
        }
        self.change(now, source, Columns { health: false, profile: true }, |entry| entry.profile = profile)
    }

    /// Forgets the health of a channel's sources, or of all. The database has been reset before; it is written once
    /// more, because a batch may have arrived there after the reset.
    pub fn clear(&mut self, now: Instant, channel: Option<C>) {
        let cleared: Vec<S> = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| channel.is_none_or(|channel| channel == entry.channel))
            .map(|(source, entry)| {
                entry.health = Health::default();
                entry.unsaved.health = true;
                entry.attempts = 0;
                *source
            })
            .collect();
        for source in cleared {
            self.enqueue(now, source);
        }
    }

    /// Forgets sources that are not offered any more, except what is still to be written of them.
    pub fn retain(&mut self, is_offered: impl Fn(S) -> bool) {
        self.entries.retain(|source, entry| entry.is_pending() || is_offered(*source));
    }

    /// When [`Registry::take_batch`] may have something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.in_flight {
            Some(in_flight) => Some(in_flight.until),
            None => (!self.queue.is_empty()).then_some(self.flush_at),
        }
    }

    /// The next rows to be written, when it is time. One batch is on its way at most.
    pub fn take_batch(&mut self, now: Instant) -> Option<Batch<S>> {
        if let Some(in_flight) = &self.in_flight {
            if now < in_flight.until {
                return None;
            }
            let seq = in_flight.seq;
            self.persisted(now, seq, Err("no answer came".to_owned()));
        }
        if now < self.flush_at || self.queue.is_empty() {
            return None;
        }
        let count = self.queue.len().min(BATCH_ROWS_MAX);
        let sources: Vec<S> = self.queue.drain(..count).collect();
        let rows = sources.iter().map(|source| self.send(*source)).collect();
        self.last_seq += 1;
        let seq = self.last_seq;
        self.in_flight = Some(InFlight { seq, sources, until: now + ANSWER_TIMEOUT });
        self.flush_at = now + self.interval();
        Some(Batch { seq, rows })
    }

    /// From now on nothing waits for company, and what was dropped gets another chance.
    pub fn hurry(&mut self, now: Instant) {
        self.is_hurried = true;
        self.requeue_dropped(now);
        self.flush_at = now;
    }

    /// True when nothing is to be written and no answer is awaited.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.queue.is_empty()
    }

    /// What has become of a source's events.
    #[must_use]
    pub fn counts(&self, source: S) -> Counts {
        self.entries.get(&source).map(|entry| entry.counts).unwrap_or_default()
    }

    /// What has become of all sources' events.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether writing has stopped working or works again, once each time that changes.
    pub const fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// The wall clock may be set back at any time; what happens is nevertheless newer than what has happened.
    fn read_wall(&mut self, now: Instant, wall: u64) -> u64 {
        // Zero is never.
        let wall = wall.max(1);
        if std::mem::replace(&mut self.wall, wall) > wall {
            let mut changed = Vec::new();
            for (source, entry) in &mut self.entries {
                if entry.health.bring_back(wall) {
                    entry.unsaved.health = true;
                    changed.push(*source);
                }
            }
            changed.into_iter().for_each(|source| self.enqueue(now, source));
        }
        wall
    }

    const fn interval(&self) -> Duration {
        if self.is_hurried { Duration::ZERO } else { FLUSH_INTERVAL }
    }

    fn change(
        &mut self,
        now: Instant,
        source: S,
        columns: Columns,
        change: impl FnOnce(&mut Entry<C>),
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&source) else { return false };
        change(entry);
        entry.unsaved = entry.unsaved.and(columns);
        entry.attempts = 0;
        if entry.is_pending() {
            entry.counts.coalesced += 1;
            self.totals.coalesced += 1;
        }
        self.enqueue(now, source);
        true
    }

    fn enqueue(&mut self, now: Instant, source: S) {
        let Some(entry) = self.entries.get_mut(&source) else { return };
        if std::mem::replace(&mut entry.is_queued, true) {
            return;
        }
        if self.queue.is_empty() {
            self.flush_at = self.flush_at.max(now + self.interval());
        }
        self.queue.push_back(source);
    }

    fn send(&mut self, source: S) -> HealthRow<S> {
        let entry = self.entries.get_mut(&source).expect("what waits is not forgotten");
        entry.is_queued = false;
        entry.sent = std::mem::take(&mut entry.unsaved);
        HealthRow {
            source,
            health: entry.sent.health.then(|| entry.health.clone()),
            profile: entry.sent.profile.then(|| entry.profile.clone()),
        }
    }

    /// What could not be written is in memory still.
    fn requeue_dropped(&mut self, now: Instant) {
        let dropped = |entry: &Entry<C>| entry.unsaved.any() && !entry.is_queued;
        let sources: Vec<S> =
            self.entries.iter().filter(|(_, entry)| dropped(entry)).map(|(source, _)| *source).collect();
        for source in sources {
            self.enqueue(now, source);
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod model_test;
