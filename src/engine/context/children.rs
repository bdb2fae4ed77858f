//! Children that feed sources, from the request to start one until it has been reaped. Control starts and reaps them, the core
//! reads their pipes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;
use crate::engine::port::ids::Ticket;
use crate::lineup::{Source, SourceId};
use crate::session::{Place, ProviderScope};

use super::token::SourceOwner;

/// A request to stop a child is repeated after this long without an answer.
const STOP_REPEAT: Duration = Duration::from_secs(1);

struct Child {
    owner: SourceOwner,
    run: u32,
    source: SourceId,
    /// What it is connected to.
    provider: ProviderScope,
    /// When its end was last asked for.
    stop_asked_at: Option<Instant>,
    /// The place at its provider, when whoever has taken it wants no more of it.
    place: Option<Place>,
}

/// A child that is no more.
pub(crate) struct Ended {
    pub(crate) owner: SourceOwner,
    pub(crate) run: u32,
    /// What it has read.
    pub(crate) source: SourceId,
    /// The provider that has got its connection back, if the end was asked for.
    pub(crate) given_up: Option<ProviderScope>,
    /// The place that is free now.
    pub(crate) place: Option<Place>,
}

/// A core's children.
#[derive(Default)]
pub(crate) struct Children {
    by_ticket: BTreeMap<Ticket, Child>,
}

impl Children {
    /// One has been asked for.
    pub(crate) fn insert(&mut self, ticket: Ticket, owner: SourceOwner, run: u32, source: &Source) {
        let provider = ProviderScope::of(&source.url, source.id.0);
        let child = Child { owner, run, source: source.id, provider, stop_asked_at: None, place: None };
        self.by_ticket.insert(ticket, child);
    }

    /// Who reads it, in which run.
    pub(crate) fn reader(&self, ticket: Ticket) -> Option<(SourceOwner, u32)> {
        self.by_ticket.get(&ticket).map(|child| (child.owner, child.run))
    }

    /// It has never been.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<(SourceOwner, u32)> {
        self.by_ticket.remove(&ticket).map(|child| (child.owner, child.run))
    }

    /// It is no more.
    pub(crate) fn ended(&mut self, ticket: Ticket) -> Option<Ended> {
        let Child { owner, run, source, provider, stop_asked_at, place } = self.by_ticket.remove(&ticket)?;
        Some(Ended { owner, run, source, given_up: stop_asked_at.map(|_asked| provider), place })
    }

    /// A child of this owner that is to end and has no place yet.
    pub(crate) fn one_ending_of(&self, owner: SourceOwner) -> Option<Ticket> {
        let is_it =
            |child: &Child| child.owner == owner && child.stop_asked_at.is_some() && child.place.is_none();
        self.by_ticket.iter().find(|(_, child)| is_it(child)).map(|(ticket, _)| *ticket)
    }

    /// It is to end, and has its place until then.
    pub(crate) fn keep_place(&mut self, ticket: Ticket, place: Place) {
        if let Some(child) = self.by_ticket.get_mut(&ticket) {
            child.place = Some(place);
        }
    }

    /// The place that a child has kept of which nothing has become.
    pub(crate) fn take_place(&mut self, ticket: Ticket) -> Option<Place> {
        self.by_ticket.get_mut(&ticket)?.place.take()
    }

    /// True when there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_ticket.is_empty()
    }

    /// Its end is asked for. False when it has been heard of already.
    pub(crate) fn note_stop(&mut self, ticket: Ticket, now: Instant) -> bool {
        let child = self.by_ticket.get_mut(&ticket);
        child.is_some_and(|child| {
            child.stop_asked_at = Some(now);
            true
        })
    }

    /// Those whose end has been asked for a while ago and has not come.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<Ticket> {
        let is_overdue = |child: &Child| child.stop_asked_at.is_some_and(|asked| now - asked >= STOP_REPEAT);
        self.by_ticket.iter().filter(|(_, child)| is_overdue(child)).map(|(ticket, _)| *ticket).collect()
    }

    /// True while a child that is to end may still be connected to this source, or, when it is of the same owner, to its provider.
    /// The source of a viewer that comes right back is often one that allows a single connection.
    pub(crate) fn is_one_ending(&self, owner: SourceOwner, source: &Source) -> bool {
        let provider = ProviderScope::of(&source.url, source.id.0);
        let is_one =
            |child: &Child| child.source == source.id || child.owner == owner && child.provider == provider;
        self.by_ticket.values().any(|child| child.stop_asked_at.is_some() && is_one(child))
    }
}
