//! A session's sources, as its machine asks for them.

use std::time::Duration;

use crate::base::Instant;
use crate::engine::context::cx::{CoreDriver, Cx, Holder};
use crate::engine::context::providers::Providers;
use crate::engine::port::ids::SessionId;
use crate::engine::port::places::SharedPlaces;
use crate::health::{Ranked, Registry, order};
use crate::lineup::{Channel, ChannelId, Source, SourceId};
use crate::session::{self, Candidate};
use crate::session::{Occupant, ProviderScope, Purpose};

/// A place that somebody was asked for is looked for again after this long.
const SOON: Duration = Duration::from_millis(50);

/// What is known of a channel's sources at this moment.
pub(super) struct Candidates<'a> {
    channel: &'a Channel,
    health: &'a Registry<SourceId, ChannelId>,
    providers: Providers<'a>,
    now: Instant,
    /// The same in seconds since 1970.
    wall: u64,
    /// What [`session::Sources::failover_settle`] answers.
    settle: Duration,
    places: &'a SharedPlaces,
    /// The time by which all cores count places.
    clock_now: Instant,
    holder: Holder,
    /// Who is to be asked to give way.
    asked: Vec<Occupant<Holder>>,
}

impl<'a> Candidates<'a> {
    pub(super) fn of<D: CoreDriver>(cx: &'a Cx<D>, channel: &'a Channel, session: SessionId) -> Self {
        Candidates {
            channel,
            health: cx.health.registry(),
            providers: cx.providers(),
            now: cx.now,
            wall: cx.health.wall_at(cx.now),
            settle: cx.failover_settle(),
            places: &cx.params.places,
            clock_now: cx.clock_now(),
            holder: (cx.id, session),
            asked: Vec::new(),
        }
    }

    /// Who is to be asked to give up a place, since this session needs it.
    pub(super) fn into_asked(self) -> Vec<Occupant<Holder>> {
        self.asked
    }

    /// Looks for places at the providers of what could be tried now. Where the first of all has none, and somebody can be asked to
    /// give way to a viewer, the others wait for that a little.
    fn look_for_places(&mut self, candidates: &mut [Candidate]) {
        let places = self.places;
        let mut places = places.lock();
        let now = self.clock_now;
        let mut is_first = true;
        for at in 0..candidates.len() {
            let playlist = self.channel.sources[candidates[at].index].playlist;
            let free_at = places.free_at(now, playlist, self.holder, Purpose::Stream);
            if let Some(free_at) = free_at {
                let candidate = &mut candidates[at];
                candidate.is_full = true;
                candidate.is_place_given_up = places.is_given_up(now, playlist);
                candidate.provider_free_at = candidate.provider_free_at.max(Some(self.now + (free_at - now)));
            }
            let could_be_tried = candidates[at].has_url && candidates[at].cooling_until.is_none();
            if !(could_be_tried && std::mem::take(&mut is_first) && free_at.is_some()) {
                continue;
            }
            self.asked.extend(places.ask_to_give_way(now, playlist, self.holder));
            if let Some(until) = places.is_coming_until(now, playlist) {
                let wait = self.now + (until - now);
                candidates[at].provider_free_at = candidates[at].provider_free_at.min(Some(self.now + SOON));
                for other in &mut candidates[at + 1..] {
                    other.provider_free_at = other.provider_free_at.max(Some(wait));
                }
            }
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
            is_full: false,
            is_place_given_up: false,
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
        let mut candidates: Vec<_> = sources.into_iter().map(|ranked| self.candidate(ranked)).collect();
        self.look_for_places(&mut candidates);
        candidates
    }

    fn failover_settle(&mut self, _now: Instant) -> Duration {
        self.settle
    }
}
