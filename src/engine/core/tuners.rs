//! Tuners: core 0 counts them, every core asks by message.

use crate::engine::context::cx::Holder;
use crate::engine::context::token::Token;
use crate::engine::port::ids::SessionId;
use crate::engine::port::messages::{CoreCommand, TunerMessage};
use crate::engine::port::snapshot::{LeaseSnapshot, PlacesInUse, TunersSnapshot};
use crate::engine::report::events;
use crate::health::Event as ProbeEvent;
use crate::ring::Lent;
use crate::session::{Event as SessionEvent, Purpose};
use crate::tuner::pool::{Action, Event, Lease};
use crate::uring::Driver;

use super::Core;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(super) fn expire_tuners(&mut self) {
        let deadline = self.cx.tuners.as_ref().and_then(|tuners| tuners.next_deadline());
        if deadline.is_some_and(|deadline| deadline <= self.cx.now) {
            self.pool_event(Event::Deadline);
        }
    }

    fn pool_event(&mut self, event: Event<Holder>) {
        let Some(tuners) = &mut self.cx.tuners else { unreachable!("only core 0 is asked for tuners") };
        let actions = tuners.handle(self.cx.now, event);
        self.perform_pool(actions);
    }

    fn perform_pool(&mut self, actions: Vec<Action<Holder>>) {
        for action in actions {
            let (core, message) = match action {
                Action::Grant { holder: (core, session), tuner } => {
                    (core, TunerMessage::Granted { session, tuner })
                }
                Action::Refuse { holder: (core, session) } => (core, TunerMessage::Refused { session }),
                Action::Preempt { holder: (core, session), tuner } => {
                    (core, TunerMessage::Preempt { session, tuner })
                }
            };
            self.cx.post.tell_holder(core, message);
        }
    }

    /// Delivers what cores have to say to each other about tuners: at once to this core, by mailbox to others. None
    /// is lost; what a full mailbox refuses is tried again next turn.
    pub(super) fn deliver_tuner_messages(&mut self) {
        while let Some((core, message)) = self.cx.post.next_of_tuners() {
            if core == self.cx.id {
                self.on_tuner_message(message);
                continue;
            }
            if let Err(refused) = self.cx.tell_core(core, CoreCommand::Tuner(message)) {
                let CoreCommand::Tuner(message) = refused else { unreachable!("a tuner message was sent") };
                return self.cx.post.put_back(core, message);
            }
        }
    }

    pub(super) fn on_tuner_message(&mut self, message: TunerMessage) {
        match message {
            TunerMessage::Request { core, session, label, kind } => {
                self.pool_event(Event::Request { holder: (core, session), label, kind });
            }
            TunerMessage::Cancelled { core, session } => {
                self.pool_event(Event::Cancel { holder: (core, session) });
            }
            TunerMessage::Released { tuner } => {
                self.log_released(tuner);
                self.pool_event(Event::Release { tuner });
            }
            TunerMessage::Idle { tuner, idle } => self.pool_event(Event::Idle { tuner, idle }),
            TunerMessage::NotIdle { tuner } => self.pool_event(Event::NotIdle { tuner }),
            TunerMessage::IsRoom { core, session } => {
                let Some(tuners) = &self.cx.tuners else { unreachable!("only core 0 is asked for tuners") };
                let is_room = tuners.in_use() < tuners.capacity();
                self.cx.post.tell_holder(core, TunerMessage::Room { session, is_room });
            }
            TunerMessage::Room { session, is_room } => {
                if let Some(at) = self.stations.of_session(session)
                    && let Some((channel, _)) = self.stations.get_mut(at)
                {
                    channel.on_room(&mut self.cx, is_room);
                }
            }
            TunerMessage::Granted { session, tuner } => self.on_granted(session, tuner),
            TunerMessage::Refused { session } if self.probe.is_named(session) => {
                self.probe.refused(&mut self.cx);
            }
            TunerMessage::Refused { session } => {
                if let Some(at) = self.stations.of_session(session)
                    && let Some((channel, outlet)) = self.stations.get_mut(at)
                {
                    channel.handle(&mut self.cx, outlet, SessionEvent::TunerRefused);
                }
            }
            TunerMessage::Preempt { session, tuner } => self.on_preempt(session, tuner),
            TunerMessage::GiveWay { session, purpose } => self.on_give_way(session, purpose),
        }
    }

    fn on_granted(&mut self, session: SessionId, tuner: u16) {
        if self.probe.is_named(session) {
            return self.probe.granted(&mut self.cx, tuner);
        }
        let at = self.stations.of_session(session);
        match at.and_then(|at| self.stations.get_mut(at)) {
            Some((channel, outlet)) => channel.granted(&mut self.cx, outlet, tuner),
            // It is over meanwhile.
            None => self.cx.post.tell_tuners(TunerMessage::Released { tuner }),
        }
    }

    fn on_preempt(&mut self, session: SessionId, tuner: u16) {
        if self.probe.is_named(session) {
            log::info!("{}", events::probe_preempted(tuner));
            return self.probe.handle(&mut self.cx, ProbeEvent::Preempted);
        }
        let Some(at) = self.stations.of_session(session) else { return };
        let Some((channel, outlet)) = self.stations.get_mut(at) else { return };
        channel.handle(&mut self.cx, outlet, SessionEvent::Preempted);
        log::info!("{}", events::idle_client_preempted(channel.about(), tuner, channel.is_over()));
        if !channel.is_over() {
            self.cx.post.tell_tuners(TunerMessage::NotIdle { tuner });
        }
    }

    fn log_released(&self, tuner: u16) {
        let leases = self.cx.tuners.iter().flat_map(|tuners| tuners.snapshot());
        for lease in leases.filter(|lease| lease.tuner == tuner) {
            let held = self.cx.now - lease.started_at;
            log::info!("{}", events::tuner_released(tuner, &lease.label, held));
        }
    }

    /// A viewer needs a place at the provider.
    fn on_give_way(&mut self, session: SessionId, purpose: Purpose) {
        match purpose {
            Purpose::Trial if self.probe.is_named(session) => {
                self.probe.handle(&mut self.cx, ProbeEvent::Preempted);
            }
            Purpose::Trial => {}
            Purpose::Stream | Purpose::Look => {
                let Some(at) = self.stations.of_session(session) else { return };
                let Some((channel, outlet)) = self.stations.get_mut(at) else { return };
                match purpose {
                    Purpose::Look => channel.cancel_probe(&mut self.cx),
                    Purpose::Stream | Purpose::Trial => {
                        channel.handle(&mut self.cx, outlet, SessionEvent::Preempted);
                    }
                }
            }
        }
    }

    /// The playlists allow more or fewer streams than before.
    pub(super) fn resize_pool(&mut self) {
        let count = self.cx.lineup.tuners().count;
        let (now, Some(tuners), Some(count)) = (self.cx.now, &mut self.cx.tuners, count) else { return };
        let actions = tuners.resize(now, count);
        self.perform_pool(actions);
    }

    /// All cores know the same of places: the one that counts the tuners tells it.
    pub(super) fn places_snapshot(&self) -> Vec<PlacesInUse> {
        let tuners = self.cx.tuners.as_ref();
        tuners.map_or_else(Vec::new, |_| self.cx.params.places.lock().in_use(self.cx.clock_now()))
    }

    pub(super) fn tuners_snapshot(&self) -> Option<TunersSnapshot> {
        let tuners = self.cx.tuners.as_ref()?;
        let lost = self.cx.time.lost();
        let lease = |lease: Lease<Holder>| LeaseSnapshot {
            tuner: lease.tuner,
            kind: lease.kind,
            label: lease.label,
            session: lease.holder.1,
            started_at: lease.started_at + lost,
        };
        Some(TunersSnapshot {
            count: tuners.capacity(),
            in_use: tuners.in_use(),
            leases: tuners.snapshot().into_iter().map(lease).collect(),
        })
    }
}
