//! The channels that are watched on a core, each with its outlet.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::limits::CHANNELS_PER_CORE_MAX;
use crate::base::logfmt::Line;
use crate::base::{Arena, Key};
use crate::engine::channel::Channel;
use crate::engine::context::cx::{CoreDriver, Cx};
use crate::engine::context::token::ChannelRef;
use crate::engine::outlet::Outlet;
use crate::engine::port::ids::SessionId;
use crate::engine::port::room::RingShare;
use crate::engine::report::events;
use crate::http::StreamError;
use crate::lineup::{self, ChannelId};
use crate::ring::Ring;
use crate::session::Action;

/// A channel and its outlet. Today there is one outlet, on the channel's own core.
struct Station {
    channel: Channel,
    outlet: Outlet,
}

/// All of a core.
pub(super) struct Stations {
    arena: Arena<Station>,
    /// The one of a channel that viewers may still join.
    by_channel: BTreeMap<ChannelId, ChannelRef>,
    by_session: BTreeMap<SessionId, ChannelRef>,
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
    pub(super) const fn new() -> Self {
        Self {
            arena: Arena::with_limit(CHANNELS_PER_CORE_MAX),
            by_channel: BTreeMap::new(),
            by_session: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.arena.count() == 0
    }

    /// A channel of that reference; `None` when it is gone, and whatever is meant for it with it.
    pub(super) fn get_mut(&mut self, at: ChannelRef) -> Option<(&mut Channel, &mut Outlet)> {
        self.arena.get_mut(key(at)).map(|station| (&mut station.channel, &mut station.outlet))
    }

    pub(super) fn outlet(&self, at: ChannelRef) -> Option<&Outlet> {
        self.arena.get(key(at)).map(|station| &station.outlet)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Channel, &Outlet)> {
        self.arena.iter().map(|(_, station)| (&station.channel, &station.outlet))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&mut Channel, &mut Outlet)> {
        self.arena.iter_mut().map(|(_, station)| (&mut station.channel, &mut station.outlet))
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
            Station { channel, outlet: Outlet::new(at, cx.params.history) }
        })?;
        let at = ChannelRef(key.to_bits());
        self.by_channel.insert(listing.id, at);
        self.by_session.insert(id, at);
        Some((at, actions))
    }

    /// The session is over: its channel may be tuned anew.
    pub(super) fn close(&mut self, at: ChannelRef) {
        let Some(station) = self.arena.get(key(at)) else { return };
        let (channel, session) = (station.channel.listing().id, station.channel.id());
        if self.by_channel.get(&channel) == Some(&at) {
            self.by_channel.remove(&channel);
        }
        self.by_session.remove(&session);
    }

    /// Forgets one that is closed and whose last viewer has gone.
    pub(super) fn remove(&mut self, at: ChannelRef) -> Option<Channel> {
        self.arena.remove(key(at)).map(|station| station.channel)
    }
}
