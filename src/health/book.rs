//! What is known of the sources of one core's channels, and what of it is not in the database yet.
//!
//! A channel lives on one core, so this is the truth about its sources: whoever orders candidates asks the book
//! and never waits for the database. What is written is always the whole newest row of a source, whose counts
//! hold every event before it. Rows may therefore be written late, together, twice or again without harm, and no
//! two writers ever meet in one row.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::profile::StoredProfile;
use super::reason::stored_reason;
use super::row::Health;
use crate::base::Instant;

mod counts;

pub use counts::{Counts, News, Totals};

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

/// What is to be stored of one source.
#[derive(Clone, PartialEq, Debug)]
pub struct Row<S> {
    /// The source.
    pub source: S,
    /// Its whole health, unless it is stored already.
    pub health: Option<Health>,
    /// Its whole profile, unless it is stored already.
    pub profile: Option<StoredProfile>,
}

/// Rows that are written together or not at all.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch<S> {
    /// Comes back in [`Book::persisted`].
    pub seq: u64,
    /// At least one.
    pub rows: Vec<Row<S>>,
}

/// What of an entry is meant.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Columns {
    health: bool,
    profile: bool,
}

impl Columns {
    const fn any(self) -> bool {
        self.health || self.profile
    }

    const fn and(self, other: Self) -> Self {
        Self { health: self.health || other.health, profile: self.profile || other.profile }
    }
}

struct Entry<C> {
    channel: C,
    health: Health,
    profile: StoredProfile,
    /// Neither stored nor on its way. With `is_queued` unset it was dropped.
    unsaved: Columns,
    /// On its way.
    sent: Columns,
    is_queued: bool,
    /// Writes that have failed since the last event.
    attempts: u32,
    counts: Counts,
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
pub struct Book<S, C> {
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
    is_failing: bool,
    news: Option<News>,
    totals: Totals,
}

impl<S: Copy + Ord, C: Copy + Eq> Default for Book<S, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Copy + Ord, C: Copy + Eq> Book<S, C> {
    /// An empty book.
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
            is_failing: false,
            news: None,
            totals: Totals::new(),
        }
    }

    /// Takes in what the database knew of a source, when the book does not know better.
    pub fn learn(&mut self, source: S, channel: C, health: &Health, profile: &StoredProfile) {
        let wall = self.wall;
        self.entries.entry(source).or_insert_with(|| {
            let mut health = health.clone();
            if wall > 0 {
                health.bring_back(wall);
            }
            Entry {
                channel,
                health,
                profile: profile.clone(),
                unsaved: Columns::default(),
                sent: Columns::default(),
                is_queued: false,
                attempts: 0,
                counts: Counts::default(),
            }
        });
    }

    /// True when the book knows the source better than the database.
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
        let wall = self.read_wall(wall);
        let reason = stored_reason(reason);
        self.change(now, source, Columns { health: true, profile: false }, |entry| {
            let applied = entry.health.mark_failure(&reason, wall);
            debug_assert!(applied, "what happens is newer than what has happened");
        })
    }

    /// A source has streamed well. False when it was never learned.
    pub fn ok(&mut self, now: Instant, wall: u64, source: S) -> bool {
        let wall = self.read_wall(wall);
        self.change(now, source, Columns { health: true, profile: false }, |entry| {
            let applied = entry.health.mark_success(wall);
            debug_assert!(applied, "what happens is newer than what has happened");
        })
    }

    /// A source has been looked at. False when it was never learned, or when what is known is newer.
    pub fn look(&mut self, now: Instant, source: S, profile: StoredProfile) -> bool {
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
        self.entries.retain(|source, entry| entry.is_queued || entry.sent.any() || is_offered(*source));
    }

    /// When [`Book::take_batch`] may have something to do.
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

    /// A batch could not be handed over: its rows stay first in the queue, and nothing is counted.
    pub fn refused(&mut self, now: Instant, seq: u64) {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.seq == seq) else { return };
        for source in in_flight.sources.into_iter().rev() {
            let entry = self.entries.get_mut(&source).expect("what is on its way is not forgotten");
            entry.unsaved = entry.unsaved.and(std::mem::take(&mut entry.sent));
            entry.is_queued = true;
            self.queue.push_front(source);
        }
        self.flush_at = now + RETRY_PAUSE;
    }

    /// A batch has been written, except for sources that the database does not have; or it has not, and why.
    /// An answer that comes after [`Book::take_batch`] has stopped waiting for it says nothing.
    pub fn persisted(&mut self, now: Instant, seq: u64, result: Result<Vec<S>, String>) {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.seq == seq) else { return };
        match result {
            Ok(missing) => self.written(now, &in_flight.sources, &missing),
            Err(reason) => self.not_written(now, &in_flight.sources, reason),
        }
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

    /// Drops what is not written yet, and says how many rows that are.
    pub fn give_up(&mut self) -> u64 {
        let in_flight = self.in_flight.take().map(|in_flight| in_flight.sources).unwrap_or_default();
        let waiting = std::mem::take(&mut self.queue);
        for source in in_flight {
            let entry = self.entries.get_mut(&source).expect("what is on its way is not forgotten");
            entry.unsaved = entry.unsaved.and(std::mem::take(&mut entry.sent));
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
    fn read_wall(&mut self, wall: u64) -> u64 {
        // Zero is never.
        let wall = wall.max(1);
        if wall < self.wall || self.wall == 0 {
            self.entries.values_mut().for_each(|entry| entry.health.bring_back(wall));
        }
        self.wall = wall;
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
        if entry.is_queued || entry.sent.any() {
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

    fn send(&mut self, source: S) -> Row<S> {
        let entry = self.entries.get_mut(&source).expect("what waits is not forgotten");
        entry.is_queued = false;
        entry.sent = std::mem::take(&mut entry.unsaved);
        Row {
            source,
            health: entry.sent.health.then(|| entry.health.clone()),
            profile: entry.sent.profile.then(|| entry.profile.clone()),
        }
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
        if std::mem::take(&mut self.is_failing) {
            self.news = Some(News::WorksAgain);
            self.requeue_dropped(now);
        }
    }

    fn not_written(&mut self, now: Instant, sources: &[S], reason: String) {
        let mut attempts = 0;
        for source in sources {
            let entry = self.entries.get_mut(source).expect("what is on its way is not forgotten");
            entry.unsaved = entry.unsaved.and(std::mem::take(&mut entry.sent));
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
            if !std::mem::replace(&mut self.is_failing, true) {
                self.news = Some(News::Failing { reason: reason.clone() });
            }
        }
        self.flush_at = now + RETRY_PAUSE * attempts.max(1);
    }

    fn drop_row(entry: &mut Entry<C>, totals: &mut Totals) {
        entry.attempts = 0;
        entry.counts.dropped += 1;
        totals.dropped += 1;
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
