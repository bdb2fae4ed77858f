//! Places at providers: how many streams of a playlist are open, on all cores together, and how many may be.
//!
//! Every connection that is to carry a stream takes a place before it is opened: a session's, the next source's that a recovery
//! tries, that of a source tried in the background, and ffprobe's. A place is given back when its connection is closed, and is
//! free when the provider does not count it any more.
//!
//! * The last place is for viewers: a probe takes one only where another is left.
//! * Viewers go before probes, and before sessions that nobody watches: whoever finds no place has one of these asked to give way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;
use crate::lineup::PlaylistId;

/// When to look again for a place that somebody was asked for, and for one that nobody can be asked for.
const YIELDED_SOON: Duration = Duration::from_millis(50);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// So long somebody has to give way until it is asked again, or the next one is.
const YIELD_TIME: Duration = Duration::from_secs(1);
/// So long a source that stands first is waited for before the next one is tried, when somebody gives way.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// What a place is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// A session's stream.
    Stream,
    /// A source that is tried in the background.
    Trial,
    /// What ffprobe reads.
    Look,
}

/// A place that is taken. It is given back once.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Place {
    playlist: PlaylistId,
    number: u64,
}

/// Somebody who is asked to give way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Occupant<H> {
    /// Who has the place.
    pub holder: H,
    /// What it is for.
    pub purpose: Purpose,
}

/// How many places of a playlist are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlacesInUse {
    /// The playlist.
    pub playlist: PlaylistId,
    /// Places that are taken: each is a connection that is open, or about to be.
    pub taken: usize,
    /// Connections that are closed, and that the provider still counts.
    pub counted: usize,
    /// How many there are; `None` is any number.
    pub limit: Option<u32>,
}

#[derive(Debug)]
struct Held<H> {
    number: u64,
    holder: H,
    purpose: Purpose,
    /// Nobody watches.
    is_idle: bool,
    /// Whoever has it wants no more of it, and it is not free yet.
    is_left: bool,
    asked_at: Option<Instant>,
}

#[derive(Debug)]
struct Provider<H> {
    /// Places; `None` is any number.
    limit: Option<u32>,
    held: Vec<Held<H>>,
    /// Until when places that were given back are counted by the provider.
    counted_until: Vec<Instant>,
}

impl<H> Default for Provider<H> {
    fn default() -> Self {
        Self { limit: None, held: Vec::new(), counted_until: Vec::new() }
    }
}

/// The places of all playlists. As many entries as there are playlists and streams.
#[derive(Debug)]
pub struct Places<H> {
    providers: BTreeMap<PlaylistId, Provider<H>>,
    next: u64,
}

impl<H> Default for Places<H> {
    fn default() -> Self {
        Self { providers: BTreeMap::new(), next: 0 }
    }
}

impl<H: Copy + Eq> Places<H> {
    /// So many streams each of these playlists may have; of all others any number. Whoever has a place keeps it.
    pub fn set_limits(&mut self, limits: &BTreeMap<PlaylistId, u32>) {
        for provider in self.providers.values_mut() {
            provider.limit = None;
        }
        for (playlist, limit) in limits {
            self.providers.entry(*playlist).or_default().limit = Some(*limit);
        }
        self.providers.retain(|_, provider| {
            provider.limit.is_some() || !provider.held.is_empty() || !provider.counted_until.is_empty()
        });
    }

    /// Whether the playlist has a number of places.
    #[must_use]
    pub fn is_limited(&self, playlist: PlaylistId) -> bool {
        self.providers.get(&playlist).is_some_and(|provider| provider.limit.is_some())
    }

    /// Takes a place, if there is one.
    pub fn take(&mut self, now: Instant, playlist: PlaylistId, holder: H, purpose: Purpose) -> Option<Place> {
        let provider = self.providers.entry(playlist).or_default();
        if provider.left(now, None, purpose) == Some(0) {
            return None;
        }
        self.next += 1;
        provider.held.push(Held {
            number: self.next,
            holder,
            purpose,
            is_idle: false,
            is_left: false,
            asked_at: None,
        });
        Some(Place { playlist, number: self.next })
    }

    /// A connection is closed; the provider goes on counting it for so long.
    pub fn give_back(&mut self, now: Instant, place: &Place, counted: Duration) {
        let Some(provider) = self.providers.get_mut(&place.playlist) else {
            unreachable!("a playlist with a place that is taken is known")
        };
        provider.forget(now);
        let before = provider.held.len();
        provider.held.retain(|held| held.number != place.number);
        assert!(provider.held.len() < before, "a place is given back once");
        // Nobody asks for what is not limited.
        if !counted.is_zero() && provider.limit.is_some() {
            provider.counted_until.push(now + counted);
        }
    }

    /// The session wants no more of a place that it cannot give back yet: it is in its way like anybody's.
    pub fn leave(&mut self, place: &Place) {
        let held = self.providers.get_mut(&place.playlist).map(|provider| &mut provider.held);
        for held in held.into_iter().flatten().filter(|held| held.number == place.number) {
            held.is_left = true;
        }
    }

    /// Whether somebody watches the session.
    pub fn set_idle(&mut self, holder: H, is_idle: bool) {
        for held in self.providers.values_mut().flat_map(|provider| &mut provider.held) {
            if held.holder == holder && held.purpose == Purpose::Stream {
                held.is_idle = is_idle;
            }
        }
    }

    /// When to look for a place; `None` is now. A session that has one at this playlist gives it up before it takes another.
    #[must_use]
    pub fn free_at(
        &self,
        now: Instant,
        playlist: PlaylistId,
        holder: H,
        purpose: Purpose,
    ) -> Option<Instant> {
        let provider = self.providers.get(&playlist)?;
        let left = provider.left(now, Some(holder), purpose)?;
        if left > 0 {
            return None;
        }
        let first_counted = provider.counted_until.iter().filter(|until| **until > now).min().copied();
        let is_giving_way = provider.held.iter().any(|held| held.is_giving_way(now));
        let again = now + if is_giving_way { YIELDED_SOON } else { LOOK_AGAIN };
        Some(first_counted.map_or(again, |until| until.min(again)))
    }

    /// A session needs a place where there is none: the one to be asked to give way, which is noted. Probes go first, then
    /// sessions that nobody watches, the oldest first.
    pub fn ask_to_give_way(&mut self, now: Instant, playlist: PlaylistId, holder: H) -> Option<Occupant<H>> {
        let provider = self.providers.get_mut(&playlist)?;
        let is_coming = provider.held.iter().any(|held| held.is_giving_way(now));
        if is_coming || provider.left(now, Some(holder), Purpose::Stream)? > 0 {
            return None;
        }
        let may_yield = |held: &&mut Held<H>| {
            held.holder != holder && !held.is_left && (held.purpose != Purpose::Stream || held.is_idle)
        };
        let asked = provider.held.iter_mut().filter(may_yield);
        let asked = asked.min_by_key(|held| (held.asked_at, held.purpose == Purpose::Stream, held.number))?;
        asked.asked_at = Some(now);
        Some(Occupant { holder: asked.holder, purpose: asked.purpose })
    }

    /// Somebody was asked for a place of this playlist not long ago: until when it is waited for rather than anything else tried.
    #[must_use]
    pub fn is_coming_until(&self, now: Instant, playlist: PlaylistId) -> Option<Instant> {
        let asked = self.providers.get(&playlist)?.held.iter().filter_map(|held| held.asked_at);
        asked.map(|asked| asked + FIRST_WAIT).filter(|until| *until > now).max()
    }

    /// Somebody has given up a place of this playlist that nobody else can have yet: its connection is being closed, or counted.
    #[must_use]
    pub fn is_given_up(&self, now: Instant, playlist: PlaylistId) -> bool {
        self.providers.get(&playlist).is_some_and(|provider| {
            provider.counted(now) > 0 || provider.held.iter().any(|held| held.is_left)
        })
    }

    /// The places of all playlists that have a number of them, or of which some were taken.
    #[must_use]
    pub fn in_use(&self, now: Instant) -> Vec<PlacesInUse> {
        let of = |(playlist, provider): (&PlaylistId, &Provider<H>)| PlacesInUse {
            playlist: *playlist,
            taken: provider.held.len(),
            counted: provider.counted(now),
            limit: provider.limit,
        };
        self.providers.iter().map(of).collect()
    }

    /// The places of a playlist that are taken, or counted.
    #[cfg(test)]
    #[must_use]
    pub fn taken(&self, now: Instant, playlist: PlaylistId) -> usize {
        self.providers.get(&playlist).map_or(0, |provider| provider.held.len() + provider.counted(now))
    }
}

impl<H> Held<H> {
    fn is_giving_way(&self, now: Instant) -> bool {
        self.asked_at.is_some_and(|asked| now < asked + YIELD_TIME)
    }
}

impl<H: Copy + Eq> Provider<H> {
    /// What is over.
    fn forget(&mut self, now: Instant) {
        self.counted_until.retain(|until| *until > now);
    }

    fn counted(&self, now: Instant) -> usize {
        self.counted_until.iter().filter(|until| **until > now).count()
    }

    /// Places that are left for a purpose, that of `holder` not counted; `None` is any number.
    fn left(&self, now: Instant, holder: Option<H>, purpose: Purpose) -> Option<usize> {
        let limit = self.limit? as usize;
        let is_own =
            |held: &&Held<H>| Some(held.holder) == holder && held.purpose == purpose && !held.is_left;
        let own = self.held.iter().filter(is_own).count();
        let taken = self.held.len() - own + self.counted(now);
        let kept = match purpose {
            Purpose::Stream => 0,
            Purpose::Trial | Purpose::Look => 1,
        };
        Some(limit.saturating_sub(taken + kept))
    }
}

#[cfg(test)]
mod tests;
