//! A session's sources, as its machine asks for them.

use std::time::Duration;

use crate::base::Instant;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::health::{Ranked, Registry, order};
use crate::lineup::{Channel, ChannelId, Source, SourceId};
use crate::session::{self, Candidate};
use crate::session::{ProviderCooldowns, ProviderScope};

/// What is known of a channel's sources at this moment.
pub(super) struct Candidates<'a> {
    channel: &'a Channel,
    health: &'a Registry<SourceId, ChannelId>,
    providers: &'a ProviderCooldowns,
    now: Instant,
    /// The same in seconds since 1970.
    wall: u64,
    /// What [`session::Sources::failover_settle`] answers.
    settle: Duration,
}

impl<'a> Candidates<'a> {
    pub(super) fn of<D: CoreDriver>(cx: &'a Cx<D>, channel: &'a Channel) -> Self {
        Candidates {
            channel,
            health: cx.health.registry(),
            providers: &cx.providers,
            now: cx.now,
            wall: cx.health.wall_at(cx.now),
            settle: cx.failover_settle(),
        }
    }
    /// When a time of the wall clock will be; `None` when it has been.
    fn instant(&self, wall: u64) -> Option<Instant> {
        (wall > self.wall).then(|| self.now + Duration::from_secs(wall - self.wall))
    }

    fn candidate(&self, ranked: Ranked<(usize, &Source)>) -> Candidate {
        let Ranked { source: (index, source), health, .. } = ranked;
        let provider = ProviderScope::of(&source.url, source.id.0);
        let cooling_until = self.instant(health.cooldown_until);
        Candidate {
            index,
            id: source.id,
            has_url: !source.url.trim().is_empty(),
            cooling_until,
            // The registry is the truth, and the database follows it.
            persisted_cooling_until: cooling_until,
            fails: health.fail_count,
            last_fail_at: health.last_fail_at,
            priority: source.priority,
            provider_free_at: self.providers.free_at(self.now, &provider),
            release: self.providers.release(self.now, &provider),
            provider,
        }
    }
}

impl session::Sources for Candidates<'_> {
    fn candidates(&mut self) -> Vec<Candidate> {
        let ranked = |(index, source)| {
            let source: &Source = source;
            let health = self.health.health(source.id).unwrap_or(&source.health).clone();
            Ranked { source: (index, source), id: source.id.0, priority: source.priority, health }
        };
        let mut sources: Vec<_> = self.channel.sources.iter().enumerate().map(ranked).collect();
        order(self.wall, &mut sources);
        sources.into_iter().map(|ranked| self.candidate(ranked)).collect()
    }

    fn failover_settle(&mut self, _now: Instant) -> Duration {
        self.settle
    }
}
