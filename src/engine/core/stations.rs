//! The channels that are watched on a core: those that live there with their outlets, and of those that live elsewhere the outlets.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::limits::CHANNELS_PER_CORE_MAX;
use crate::base::logfmt::Line;
use crate::base::{Arena, Key};
use crate::engine::border::feed::View;
use crate::engine::channel::Channel;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::token::ChannelRef;
use crate::engine::outlet::Outlet;
use crate::engine::outlet::away::Away;
use crate::engine::outlet::outlets::Outlets;
use crate::engine::port::ids::{CoreId, SessionId};
use crate::engine::port::outlets::Sight;
use crate::engine::port::room::RingShare;
use crate::engine::report::events;
use crate::http::StreamError;
use crate::lineup::{self, ChannelId};
use crate::ring::Ring;
use crate::session::Action;

/// What of a channel is on this core.
enum Station {
    /// The channel, its outlet here, and what it has to tell those elsewhere.
    Home(Box<(Channel, Outlets)>),
    /// The channel lives elsewhere.
    Away(Box<Away>),
}

impl Station {
    const fn home(&self) -> Option<&(Channel, Outlets)> {
        match self {
            Self::Home(home) => Some(home),
            Self::Away(_) => None,
        }
    }

    const fn away(&self) -> Option<&Away> {
        match self {
            Self::Away(away) => Some(away),
            Self::Home(_) => None,
        }
    }

    fn home_mut(&mut self) -> Option<(&mut Channel, &mut Outlets)> {
        match self {
            Self::Home(home) => Some((&mut home.0, &mut home.1)),
            Self::Away(_) => None,
        }
    }

    fn away_mut(&mut self) -> Option<&mut Away> {
        match self {
            Self::Away(away) => Some(away),
            Self::Home(_) => None,
        }
    }
}

/// All of a core.
pub(super) struct Stations {
    arena: Arena<Station>,
    /// The one of a channel that viewers may still join.
    by_channel: BTreeMap<ChannelId, ChannelRef>,
    by_session: BTreeMap<SessionId, ChannelRef>,
    /// Outlets here, by the sessions of other cores.
    away: BTreeMap<SessionId, ChannelRef>,
}

/// A ring for a channel, and its part of the memory for all; `None` when there is none left.
fn ring<D: CoreDriver>(cx: &Cx<D>, listing: &lineup::Channel) -> Option<(Ring, RingShare)> {
    let wanted = cx.params.ring_bytes();
    let budget = &cx.params.room.rings;
    let Some(share) = budget.take(cx.params.ring_memory_bytes(wanted)) else {
        let line = Line::new(
            "the rings of all channels have all memory they may (RING_MEMORY_BYTES), channel is refused",
        );
        let line = line.field("guide_number", &listing.guide_number).field("ring_bytes", wanted);
        log::warn!("{}", line.field("ring_memory_bytes", budget.bytes_max()));
        return None;
    };
    match usize::try_from(wanted)
        .map_err(|_| nix::Error::ENOMEM)
        .and_then(|bytes| Ring::new(bytes, cx.params.segments))
    {
        Ok(ring) => Some((ring, share)),
        Err(error) => {
            let line = Line::new("no memory for a ring").field("guide_number", &listing.guide_number);
            log::error!("{}", line.field("ring_bytes", wanted).field("error", error));
            None
        }
    }
}

fn key(at: ChannelRef) -> Key<Station> {
    Key::from_bits(at.0)
}

impl Stations {
    /// Of one of so many cores: each may have viewers of every channel.
    pub(super) fn new(cores: u8) -> Self {
        Self {
            arena: Arena::with_limit(CHANNELS_PER_CORE_MAX * u32::from(cores.max(1))),
            by_channel: BTreeMap::new(),
            by_session: BTreeMap::new(),
            away: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.arena.count() == 0
    }

    /// A channel of that reference; `None` when it is gone, and whatever is meant for it with it.
    pub(super) fn get_mut(&mut self, at: ChannelRef) -> Option<(&mut Channel, &mut Outlets)> {
        self.arena.get_mut(key(at)).and_then(Station::home_mut)
    }

    /// An outlet whose channel lives elsewhere.
    pub(super) fn away_mut(&mut self, at: ChannelRef) -> Option<&mut Away> {
        self.arena.get_mut(key(at)).and_then(Station::away_mut)
    }

    /// The outlet of that reference, wherever its channel is, and what it sees.
    pub(super) fn outlet_mut(&mut self, at: ChannelRef) -> Option<(&mut Outlet, &View)> {
        match self.arena.get_mut(key(at))? {
            Station::Home(home) => Some((home.1.own_mut(), home.0.feed().view())),
            Station::Away(away) => Some(away.parts_mut()),
        }
    }

    pub(super) fn outlet(&self, at: ChannelRef) -> Option<&Outlet> {
        self.arena.get(key(at)).map(|station| match station {
            Station::Home(home) => home.1.own(),
            Station::Away(away) => away.outlet(),
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Channel, Outlets)> {
        self.arena.iter().filter_map(|(_, station)| station.home())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&mut Channel, &mut Outlets)> {
        self.arena.iter_mut().filter_map(|(_, station)| station.home_mut())
    }

    /// All outlets of this core.
    pub(super) fn outlets(&self) -> impl Iterator<Item = &Outlet> {
        self.iter().map(|(_, outlets)| outlets.own()).chain(self.iter_away().map(Away::outlet))
    }

    /// Outlets whose channels live elsewhere.
    pub(super) fn iter_away(&self) -> impl Iterator<Item = &Away> {
        self.arena.iter().filter_map(|(_, station)| station.away())
    }

    pub(super) fn iter_away_mut(&mut self) -> impl Iterator<Item = &mut Away> {
        self.arena.iter_mut().filter_map(|(_, station)| station.away_mut())
    }

    /// The outlet here of a session of another core.
    pub(super) fn of_away(&self, session: SessionId) -> Option<ChannelRef> {
        self.away.get(&session).copied()
    }

    /// An outlet for a channel that is `home` on another core; `None` when there is no room for it.
    pub(super) fn open_away<D: CoreDriver>(
        &mut self,
        cx: &Cx<D>,
        home: (CoreId, ChannelRef),
        session: SessionId,
        sight: Sight,
    ) -> Option<ChannelRef> {
        let key = self.arena.insert_with(|key| {
            Station::Away(Box::new(Away::new(cx, ChannelRef(key.to_bits()), home, sight)))
        })?;
        let at = ChannelRef(key.to_bits());
        self.away.insert(session, at);
        Some(at)
    }

    /// Forgets an outlet whose channel lives elsewhere, if it has no viewers.
    pub(super) fn remove_if_empty(&mut self, at: ChannelRef) -> Option<Box<Away>> {
        self.away_mut(at).filter(|away| away.is_empty())?;
        let Some(Station::Away(away)) = self.arena.remove(key(at)) else {
            unreachable!("it was found to be one")
        };
        self.away.remove(&away.session());
        Some(away)
    }

    /// All that there are now.
    pub(super) fn all(&self) -> Vec<ChannelRef> {
        self.arena.iter().map(|(key, _)| ChannelRef(key.to_bits())).collect()
    }

    /// The one that viewers of a channel may join.
    pub(super) fn of_channel(&self, channel: ChannelId) -> Option<ChannelRef> {
        self.by_channel.get(&channel).copied()
    }

    /// The one of a session that is not over.
    pub(super) fn of_session(&self, session: SessionId) -> Option<ChannelRef> {
        self.by_session.get(&session).copied()
    }

    /// A session for a channel, and what is to be done first.
    ///
    /// # Errors
    /// Why there is no room for it.
    pub(super) fn open<D: CoreDriver>(
        &mut self,
        cx: &mut Cx<D>,
        listing: &Arc<lineup::Channel>,
    ) -> Result<(ChannelRef, Vec<Action>), StreamError> {
        let (ring, share) = ring(cx, listing).ok_or(StreamError::RingMemory)?;
        let id = cx.session_id();
        let (at, actions) = self.insert(cx, id, listing, ring).ok_or(StreamError::ViewerLimit)?;
        if let Some((channel, _)) = self.get_mut(at) {
            channel.pay_with(share);
            log::info!("{}", events::session_created(channel.about()));
        }
        Ok((at, actions))
    }

    pub(super) fn insert<D: CoreDriver>(
        &mut self,
        cx: &Cx<D>,
        id: SessionId,
        listing: &Arc<lineup::Channel>,
        ring: Ring,
    ) -> Option<(ChannelRef, Vec<Action>)> {
        let mut actions = Vec::new();
        let key = self.arena.insert_with(|key| {
            let at = ChannelRef(key.to_bits());
            let (channel, first_actions) = Channel::new(cx, at, id, Arc::clone(listing), ring);
            actions = first_actions;
            Station::Home(Box::new((channel, Outlets::new(at, cx.params.history))))
        })?;
        let at = ChannelRef(key.to_bits());
        self.by_channel.insert(listing.id, at);
        self.by_session.insert(id, at);
        Some((at, actions))
    }

    /// The session is over: its channel may be tuned anew.
    pub(super) fn close(&mut self, at: ChannelRef) {
        let Some((channel, _)) = self.arena.get(key(at)).and_then(Station::home) else { return };
        let (channel, session) = (channel.listing().id, channel.id());
        if self.by_channel.get(&channel) == Some(&at) {
            self.by_channel.remove(&channel);
        }
        self.by_session.remove(&session);
    }

    /// Forgets one that is closed and whose last viewer has gone.
    pub(super) fn remove(&mut self, at: ChannelRef) -> Option<Channel> {
        self.get_mut(at)?;
        let Some(Station::Home(home)) = self.arena.remove(key(at)) else {
            unreachable!("it was found to be one")
        };
        Some(home.0)
    }
}
