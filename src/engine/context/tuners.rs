//! Tuners: core 0 counts them, every core asks by message.

use std::time::Duration;

use crate::base::Instant;
use crate::health::Event as ProbeEvent;
use crate::ring::Lent;
use crate::session::Event as SessionEvent;
use crate::tuner::pool::{Action, Event, Pool};
use crate::uring::Driver;

use crate::engine::context::token::Token;
use crate::engine::core::Core;
use crate::engine::port::messages::{CoreCommand, CoreId, SessionId, TunerMessage};

/// Who holds a tuner.
pub(crate) type Holder = (CoreId, SessionId);

/// The pool, on core 0.
pub(crate) struct Tuners {
    pub(crate) pool: Pool<Holder>,
}

impl Tuners {
    pub(crate) fn new(count: u16, settle: Duration, wait: Duration) -> Self {
        Self { pool: Pool::new(count, settle, wait) }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pool.next_deadline()
    }
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn expire_tuners(&mut self) {
        if self.tuners.as_ref().and_then(Tuners::next_deadline).is_some_and(|deadline| deadline <= self.now) {
            self.pool_event(Event::Deadline);
        }
    }

    fn pool_event(&mut self, event: Event<Holder>) {
        let Some(tuners) = &mut self.tuners else { unreachable!("only core 0 is asked for tuners") };
        for action in tuners.pool.handle(self.now, event) {
            let (core, message) = match action {
                Action::Grant { holder: (core, session), tuner } => {
                    (core, TunerMessage::Granted { session, tuner })
                }
                Action::Refuse { holder: (core, session) } => (core, TunerMessage::Refused { session }),
                Action::Preempt { holder: (core, session), tuner } => {
                    (core, TunerMessage::Preempt { session, tuner })
                }
            };
            self.tuner_post.push_back((core, message));
        }
    }

    /// Delivers what cores have to say to each other about tuners: at once to this core, by mailbox to others. None
    /// is lost; what a full mailbox refuses is tried again next turn.
    pub(crate) fn deliver_tuner_post(&mut self) {
        if self.in_tuner_post {
            return;
        }
        self.in_tuner_post = true;
        while let Some((core, message)) = self.tuner_post.pop_front() {
            if core == self.id {
                self.on_tuner_message(message);
                continue;
            }
            let mailbox = &self.cores[usize::from(core.0)];
            if let Err(full) = mailbox.send(CoreCommand::Tuner(message)) {
                let CoreCommand::Tuner(message) = full.0 else { unreachable!("a tuner message was sent") };
                self.counters.queue_full += 1;
                self.tuner_post.push_front((core, message));
                break;
            }
        }
        self.in_tuner_post = false;
    }

    pub(crate) fn on_tuner_message(&mut self, message: TunerMessage) {
        match message {
            TunerMessage::Request { core, session, label, kind } => {
                self.pool_event(Event::Request { holder: (core, session), label, kind });
            }
            TunerMessage::Released { tuner } => self.pool_event(Event::Release { tuner }),
            TunerMessage::Idle { tuner, idle } => self.pool_event(Event::Idle { tuner, idle }),
            TunerMessage::NotIdle { tuner } => self.pool_event(Event::NotIdle { tuner }),
            TunerMessage::IsRoom { core, session } => {
                let Some(tuners) = &self.tuners else { unreachable!("only core 0 is asked for tuners") };
                let is_room = tuners.pool.in_use() < tuners.pool.capacity();
                self.tuner_post.push_back((core, TunerMessage::Room { session, is_room }));
            }
            TunerMessage::Room { session, is_room } => self.on_room(session, is_room),
            TunerMessage::Granted { session, tuner } => self.on_granted(session, tuner),
            TunerMessage::Refused { session } => {
                if let Some(&key) = self.by_id.get(&session) {
                    if self.is_probe(key) {
                        self.probe_refused();
                    } else {
                        self.session_event(key, SessionEvent::TunerRefused);
                    }
                }
            }
            TunerMessage::Preempt { session, tuner } => self.on_preempt(session, tuner),
        }
        self.deliver_tuner_post();
    }

    fn on_granted(&mut self, session: SessionId, tuner: u16) {
        let Some(&key) = self.by_id.get(&session) else {
            self.tuner_post.push_back((CoreId(0), TunerMessage::Released { tuner }));
            return;
        };
        if let Some(live) = self.sessions.get_mut(key) {
            live.tuner = Some(tuner);
        }
        if self.is_probe(key) {
            return self.probe_event(ProbeEvent::Leased);
        }
        self.session_event(key, SessionEvent::TunerGranted);
    }

    fn on_preempt(&mut self, session: SessionId, tuner: u16) {
        let Some(&key) = self.by_id.get(&session) else { return };
        if self.is_probe(key) {
            return self.probe_event(ProbeEvent::Preempted);
        }
        self.session_event(key, SessionEvent::Preempted);
        if self.by_id.contains_key(&session) {
            self.tuner_post.push_back((CoreId(0), TunerMessage::NotIdle { tuner }));
        }
    }
}
