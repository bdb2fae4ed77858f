//! A core's book of its sources' health: fed by its sessions and probes, written by control in the background. No
//! viewer ever waits for it.

#[cfg(test)]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, WallTime};
use crate::health::{Book, News, Ranked, order};
#[cfg(test)]
use crate::health::{Counts, Totals};
#[cfg(test)]
use crate::lineup::Health;
use crate::lineup::{Channel, ChannelId, Lineup, Source, SourceId, StoredProfile};
use crate::ring::Lent;
use crate::uring::Driver;

use crate::engine::connection::client::SessionKey;
use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::messages::{ControlRequest, CoreId};
use crate::engine::port::placement::home;

/// How often the wall clock is looked at: it may be set while the program runs.
const WALL_INTERVAL: Duration = Duration::from_secs(1);
/// A clock that shows less than this, the beginning of 2025, has not been set yet: it says nothing about what is
/// stored.
const CLOCK_IS_SET: u64 = 1_735_689_600;

/// What a core keeps for its book.
pub(crate) struct CoreHealth {
    pub(crate) book: Book<SourceId, ChannelId>,
    /// The wall time at an instant; without a clock, seconds since the start.
    wall: (Instant, WallTime),
    ending: Ending,
}

/// What is still to be written when everything else has ended.
#[derive(Clone, Copy, Debug)]
enum Ending {
    NotYet,
    Writing { since: Instant, until: Instant, written_before: u64 },
    Over,
}

impl CoreHealth {
    pub(crate) const fn new() -> Self {
        Self {
            book: Book::new(),
            wall: (Instant::START, WallTime::from_unix_nanos(0)),
            ending: Ending::NotYet,
        }
    }

    /// Seconds since 1970.
    pub(crate) fn wall_at(&self, now: Instant) -> u64 {
        let (at, wall) = self.wall;
        let passed = u64::try_from((now - at).as_nanos()).unwrap_or(u64::MAX);
        WallTime::from_unix_nanos(wall.unix_nanos().saturating_add(passed)).unix_seconds()
    }

    /// Asks for the wall time once in a while.
    pub(crate) fn read_wall(&mut self, now: Instant, wall_at: impl FnOnce(Instant) -> WallTime) {
        let (at, wall) = self.wall;
        if wall.unix_nanos() == 0 || now - at >= WALL_INTERVAL {
            self.wall = (now, wall_at(now));
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let ending = match self.ending {
            Ending::Writing { until, .. } => Some(until),
            Ending::NotYet | Ending::Over => None,
        };
        self.book.next_deadline().into_iter().chain(ending).min()
    }

    /// True when the core need not go on for the sake of health.
    pub(crate) fn is_over(&self) -> bool {
        self.book.is_settled() || matches!(self.ending, Ending::Over)
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// A source of a channel that lives here has failed. The session helps to find a source that the lineup does not
    /// offer any more.
    pub(crate) fn health_failed(
        &mut self,
        source: SourceId,
        channel: ChannelId,
        session: Option<SessionKey>,
        reason: &str,
    ) {
        if self.learn(source, channel, session) {
            let wall = self.health.wall_at(self.now);
            self.health.book.fail(self.now, wall, source, reason);
        }
    }

    /// A source of a channel that lives here has streamed well for long enough.
    pub(crate) fn health_ok(&mut self, source: SourceId, channel: ChannelId, session: Option<SessionKey>) {
        if self.learn(source, channel, session) {
            let wall = self.health.wall_at(self.now);
            self.health.book.ok(self.now, wall, source);
        }
    }

    /// A source's stream has been looked at; a time of zero in the profile is now.
    pub(crate) fn health_looked(
        &mut self,
        source: SourceId,
        channel: ChannelId,
        session: Option<SessionKey>,
        profile: StoredProfile,
    ) {
        if self.learn(source, channel, session) {
            let probed_at =
                if profile.probed_at == 0 { self.health.wall_at(self.now) } else { profile.probed_at };
            self.health.book.look(self.now, source, StoredProfile { probed_at, ..profile });
        }
    }

    /// What is known of a source: from this core's memory, else from the database.
    #[cfg(test)]
    pub(crate) fn health_of(&self, source: SourceId) -> Health {
        let known = self.health.book.health(source);
        known
            .or_else(|| self.lineup.source(source).map(|(_, source)| &source.health))
            .cloned()
            .unwrap_or_default()
    }

    /// The places of a channel's sources in the order in which they are to be tried.
    pub(crate) fn health_order(&self, channel: &Channel) -> Vec<Ranked<usize>> {
        let ranked = |(place, source): (usize, &Source)| {
            let health = self.health.book.health(source.id).unwrap_or(&source.health).clone();
            Ranked { source: place, id: source.id.0, priority: source.priority, health }
        };
        let mut ranked: Vec<_> = channel.sources.iter().enumerate().map(ranked).collect();
        order(self.health.wall_at(self.now), &mut ranked);
        ranked
    }

    /// What has become of the events of a channel's sources since the start, where there were any.
    #[cfg(test)]
    pub(crate) fn health_counts(&self, channel: &Channel) -> BTreeMap<SourceId, Counts> {
        let counts = |source: &Source| (source.id, self.health.book.counts(source.id));
        channel.sources.iter().map(counts).filter(|(_, counts)| *counts != Counts::default()).collect()
    }

    /// What has become of the health that was to be stored.
    #[cfg(test)]
    pub(crate) const fn health_totals(&self) -> Totals {
        self.health.book.totals()
    }

    /// Sees to it that the book knows the source.
    fn learn(&mut self, source: SourceId, channel: ChannelId, session: Option<SessionKey>) -> bool {
        if self.health.book.knows(source) {
            return true;
        }
        let in_channel = |channel: &Channel| -> Option<Source> {
            channel.sources.iter().find(|other| other.id == source).cloned()
        };
        let offered = self.lineup.source(source).map(|(_, source)| source.clone());
        let used = || self.sessions.get(session?).and_then(|live| in_channel(&live.channel));
        let Some(row) = offered.or_else(used) else {
            log::debug!("source {source} of channel {channel} is not known any more; its health is not kept");
            return false;
        };
        let wall = self.health.wall_at(self.now);
        self.health.book.learn(self.now, wall, source, channel, &row.health, &row.profile);
        true
    }

    /// The channels have changed.
    pub(crate) fn on_lineup(&mut self, lineup: Arc<Lineup>) {
        self.lineup = lineup;
        let lineup = &self.lineup;
        self.health.book.retain(|source| lineup.source(source).is_some());
        for (_, live) in self.sessions.iter_mut() {
            // Sources that were added or taken away count from the next recovery on.
            if let Some(channel) = lineup.channels().find(|channel| channel.id == live.channel.id) {
                live.channel = Arc::clone(channel);
            } else {
                let gone = Channel { sources: Vec::new(), ..Channel::clone(&live.channel) };
                live.channel = Arc::new(gone);
            }
        }
        // What a clock that was wrong has stored would keep sources from being tried for years.
        let wall = self.health.wall_at(self.now);
        if wall < CLOCK_IS_SET {
            return;
        }
        for channel in lineup.channels().filter(|channel| home(channel.id, self.params.cores) == self.id) {
            for source in channel.sources.iter().filter(|source| source.health.is_ahead_of(wall)) {
                let (health, profile) = (&source.health, &source.profile);
                self.health.book.learn(self.now, wall, source.id, channel.id, health, profile);
            }
        }
    }

    /// The operator has reset health in the database.
    pub(crate) fn on_clear_health(&mut self, channel: Option<ChannelId>) {
        self.health.book.clear(self.now, channel);
    }

    /// The store's answer to a batch.
    pub(crate) fn on_health_persisted(&mut self, seq: u64, result: Result<Vec<SourceId>, String>) {
        self.health.book.persisted(self.now, seq, result);
        self.tell_health_news();
    }

    /// Hands over what is due, and ends when everything else has ended.
    pub(crate) fn flush_health(&mut self) {
        self.end_health();
        if let Some(batch) = self.health.book.take_batch(self.now) {
            let seq = batch.seq;
            let request = ControlRequest::PersistHealth { core: self.id, seq, rows: batch.rows };
            if self.control.request(request).is_err() {
                self.counters.queue_full += 1;
                self.health.book.refused(self.now, seq);
            }
        }
        self.tell_health_news();
    }

    /// The end of a drain: nothing can happen to a source any more, and what has is written now or never.
    fn end_health(&mut self) {
        let Some(deadline) = self.draining else { return };
        if !self.is_empty() && self.now < deadline {
            return;
        }
        if matches!(self.health.ending, Ending::NotYet) {
            self.health.ending = if self.health.book.is_settled() {
                Ending::Over
            } else {
                self.health.book.hurry(self.now);
                let until = deadline.min(self.now + self.params.health_drain_timeout);
                let written_before = self.health.book.totals().written;
                Ending::Writing { since: self.now, until, written_before }
            };
        }
        let Ending::Writing { since, until, written_before } = self.health.ending else { return };
        let timed_out = until <= self.now && !self.health.book.is_settled();
        if timed_out || self.health.book.is_settled() {
            let drained = self.health.book.totals().written - written_before;
            let dropped = self.health.book.give_up();
            log_end(self.id, drained, dropped, timed_out, self.now - since);
            self.health.ending = Ending::Over;
        }
    }

    fn tell_health_news(&mut self) {
        match self.health.book.take_news() {
            Some(News::Failing { reason }) => log::error!(
                "core {}: the health of sources cannot be stored and is kept in memory only: {reason}",
                self.id.0
            ),
            Some(News::WorksAgain) => {
                log::info!("core {}: the health of sources is stored again", self.id.0);
            }
            None => {}
        }
    }
}

fn log_end(core: CoreId, drained: u64, dropped: u64, timed_out: bool, duration: Duration) {
    let level = if timed_out || dropped > 0 { log::Level::Warn } else { log::Level::Info };
    log::log!(
        level,
        "msg=\"source health stored\" core={} drained={drained} dropped={dropped} timed_out={timed_out} duration={duration:?}",
        core.0
    );
}

#[cfg(test)]
mod tests;
