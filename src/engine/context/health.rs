//! A core's registry of its sources' health: fed by its channels and its prober, written by control in the background. No
//! viewer ever waits for it.

use std::time::Duration;

use crate::base::{Instant, WallTime};
use crate::health::{Batch, Counts, News, Ranked, Registry, order};
use crate::lineup::{Channel, ChannelId, Lineup, Source, SourceId, StoredProfile};
use crate::ts::StreamProfile;

/// How often the wall clock is looked at: it may be set while the program runs.
const WALL_INTERVAL: Duration = Duration::from_secs(1);
/// A clock that shows less than this, the beginning of 2025, has not been set yet: it says nothing about what is
/// stored.
pub(crate) const CLOCK_IS_SET: u64 = 1_735_689_600;

/// What a core keeps for its registry.
pub(crate) struct CoreHealth {
    registry: Registry<SourceId, ChannelId>,
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
            registry: Registry::new(),
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
        self.registry.next_deadline().into_iter().chain(ending).min()
    }

    /// True when the core need not go on for the sake of health.
    pub(crate) fn is_over(&self) -> bool {
        self.registry.is_settled() || matches!(self.ending, Ending::Over)
    }

    /// What is known of sources.
    pub(crate) const fn registry(&self) -> &Registry<SourceId, ChannelId> {
        &self.registry
    }

    /// A source of a channel that lives here has failed. Whoever has used it helps to find a source that the lineup does not offer
    /// any more.
    pub(crate) fn failed(&mut self, now: Instant, known: &Known<'_>, source: SourceId, reason: &str) {
        if self.load(now, known, source) {
            let wall = self.wall_at(now);
            self.registry.fail(now, wall, source, reason);
        }
    }

    /// A source of a channel that lives here has streamed well for long enough.
    pub(crate) fn succeeded(&mut self, now: Instant, known: &Known<'_>, source: SourceId) {
        if self.load(now, known, source) {
            let wall = self.wall_at(now);
            self.registry.ok(now, wall, source);
        }
    }

    /// A source's stream has been looked at.
    pub(crate) fn looked(
        &mut self,
        now: Instant,
        known: &Known<'_>,
        source: SourceId,
        stream: StreamProfile,
    ) {
        if self.load(now, known, source) {
            let probed_at = self.wall_at(now);
            self.registry.note_profile(now, source, StoredProfile { stream, probed_at });
        }
    }

    /// The places of a channel's sources in the order in which they are to be tried.
    pub(crate) fn order(&self, now: Instant, channel: &Channel) -> Vec<Ranked<usize>> {
        let ranked = |(place, source): (usize, &Source)| {
            let health = self.registry.health(source.id).unwrap_or(&source.health).clone();
            Ranked { source: place, id: source.id.0, priority: source.priority, health }
        };
        let mut ranked: Vec<_> = channel.sources.iter().enumerate().map(ranked).collect();
        order(self.wall_at(now), &mut ranked);
        ranked
    }

    /// What has become of the events of a source since the start.
    pub(crate) fn counts(&self, source: SourceId) -> Counts {
        self.registry.counts(source)
    }

    /// Sees to it that the registry knows the source.
    fn load(&mut self, now: Instant, known: &Known<'_>, source: SourceId) -> bool {
        if self.registry.knows(source) {
            return true;
        }
        let channel = known.channel;
        let Some(row) = known.row(source) else {
            log::debug!("source {source} of channel {channel} is not known any more; its health is not kept");
            return false;
        };
        let wall = self.wall_at(now);
        self.registry.load(now, wall, source, channel, &row.health, &row.profile);
        true
    }

    /// The channels have changed; those that live here are told apart by `is_here`. Of a source that is another item now nothing
    /// is known.
    pub(crate) fn relist(
        &mut self,
        now: Instant,
        before: &Lineup,
        lineup: &Lineup,
        is_here: impl Fn(ChannelId) -> bool,
    ) {
        let item = |lineup: &Lineup, source| lineup.source(source).map(|(_, source)| source.item_key.clone());
        self.registry.retain(|source| match (item(before, source), item(lineup, source)) {
            (Some(before), Some(now)) => before == now,
            (None, Some(_)) => true,
            (_, None) => false,
        });
        // What a clock that was wrong has stored would keep sources from being tried for years.
        let wall = self.wall_at(now);
        if wall < CLOCK_IS_SET {
            return;
        }
        for channel in lineup.channels().filter(|channel| is_here(channel.id)) {
            for source in channel.sources.iter().filter(|source| source.health.is_ahead_of(wall)) {
                self.registry.load(now, wall, source.id, channel.id, &source.health, &source.profile);
            }
        }
    }

    /// The operator has reset health in the database.
    pub(crate) fn clear(&mut self, now: Instant, channel: Option<ChannelId>) {
        self.registry.clear(now, channel);
    }

    /// The store's answer to a batch.
    pub(crate) fn persisted(&mut self, now: Instant, seq: u64, result: Result<Vec<SourceId>, String>) {
        self.registry.persisted(now, seq, result);
    }

    /// What is due to be stored.
    pub(crate) fn take_batch(&mut self, now: Instant) -> Option<Batch<SourceId>> {
        self.registry.take_batch(now)
    }

    /// Control had no room for a batch.
    pub(crate) fn refused(&mut self, now: Instant, seq: u64) {
        self.registry.refused(now, seq);
    }

    /// Nothing can happen to a source any more, and what has is written now or never. Says what has become of it when that is
    /// over.
    pub(crate) fn end(&mut self, now: Instant, deadline: Instant, timeout: Duration) -> Option<Written> {
        if matches!(self.ending, Ending::NotYet) {
            self.ending = if self.registry.is_settled() {
                Ending::Over
            } else {
                self.registry.hurry(now);
                let until = deadline.min(now + timeout);
                Ending::Writing { since: now, until, written_before: self.registry.totals().written }
            };
        }
        let Ending::Writing { since, until, written_before } = self.ending else { return None };
        let timed_out = until <= now && !self.registry.is_settled();
        if !timed_out && !self.registry.is_settled() {
            return None;
        }
        let drained = self.registry.totals().written - written_before;
        let dropped = self.registry.give_up();
        self.ending = Ending::Over;
        Some(Written { drained, dropped, timed_out, duration: now - since })
    }

    /// Whether health can be stored, when that has changed.
    pub(crate) const fn take_news(&mut self) -> Option<News> {
        self.registry.take_news()
    }

    /// What has become of the health that was to be stored.
    #[cfg(test)]
    pub(crate) const fn totals(&self) -> crate::health::Totals {
        self.registry.totals()
    }

    /// The wall time at an instant, for tests.
    #[cfg(test)]
    pub(crate) const fn set_wall(&mut self, now: Instant, wall: WallTime) {
        self.wall = (now, wall);
    }
}

/// Where a source is looked up that the registry does not know.
pub(crate) struct Known<'a> {
    pub(crate) lineup: &'a Lineup,
    /// The source's channel.
    pub(crate) channel: ChannelId,
    /// The channel as whoever uses the source knows it.
    pub(crate) used: Option<&'a Channel>,
}

impl Known<'_> {
    fn row(&self, source: SourceId) -> Option<&Source> {
        let in_channel = |channel: &Channel| channel.sources.iter().position(|other| other.id == source);
        let offered = self.lineup.source(source).map(|(_, source)| source);
        offered.or_else(|| self.used.and_then(|used| Some(&used.sources[in_channel(used)?])))
    }
}

/// What has become of the last of the health that was to be stored.
pub(crate) struct Written {
    pub(crate) drained: u64,
    pub(crate) dropped: u64,
    pub(crate) timed_out: bool,
    pub(crate) duration: Duration,
}

/// What was known of a source's stream before: by this core, else by the database.
pub(crate) fn stored_profile<'a>(
    registry: &'a Registry<SourceId, ChannelId>,
    source: &'a Source,
) -> &'a StreamProfile {
    &registry.profile(source.id).unwrap_or(&source.profile).stream
}
