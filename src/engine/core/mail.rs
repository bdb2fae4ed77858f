//! What control and other cores tell a core.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::MAILBOX_MESSAGES_MAX;
use crate::engine::context::children::Ended;
use crate::engine::context::cx::Question;
use crate::engine::context::token::{SourceOwner, Token};
use crate::engine::port::ids::SessionId;
use crate::engine::port::messages::{ChildRefused, CoreCommand, OutletMail, TriggerRefusal};
use crate::engine::port::placement::home;
use crate::lineup::{ChannelId, Lineup};
use crate::ring::Lent;
use crate::session::Event;
use crate::uring::{Driver, Hangup};

use super::Core;

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(super) fn read_mail(&mut self) {
        for _ in 0..MAILBOX_MESSAGES_MAX {
            let Some(command) = self.mailbox.take() else { return };
            self.on_command(command);
            self.settle();
        }
    }

    pub(super) fn on_command(&mut self, command: CoreCommand<D::Descriptor>) {
        let cx = &mut self.cx;
        match command {
            CoreCommand::Viewer(connection) => {
                let asked = self.connections.on_handed(cx, connection);
                self.on_asked(asked);
            }
            CoreCommand::Outlets(OutletMail(word)) => self.on_outlet_word(word),
            CoreCommand::Lineup(lineup) => self.on_lineup(lineup),
            CoreCommand::Resolved { ticket, result } => match cx.answered(ticket) {
                Some(Question::Host(SourceOwner::Channel(at), run)) => {
                    if let Some((channel, outlet)) = self.stations.get_mut(at) {
                        channel.on_resolved(cx, outlet, run, result);
                    }
                }
                Some(Question::Host(SourceOwner::Probe(count), run)) => {
                    self.probe.on_resolved(cx, count, run, result);
                }
                Some(Question::Stream(_) | Question::Slate(_)) | None => {}
            },
            CoreCommand::ChildStarted { ticket, result } => {
                let has_never_been = matches!(result, Err(ChildRefused::NotStarted(_)));
                if has_never_been && let Some(place) = cx.children.take_place(ticket) {
                    cx.give_playlist_place_back(&place, Duration::ZERO);
                }
                let whose =
                    if has_never_been { cx.children.remove(ticket) } else { cx.children.reader(ticket) };
                let Some((owner, run)) = whose else { return };
                if has_never_been {
                    self.open_all_awaited();
                }
                match owner {
                    SourceOwner::Channel(at) => {
                        if let Some((channel, outlet)) = self.stations.get_mut(at) {
                            channel.on_child_started(&mut self.cx, outlet, run, result);
                        }
                    }
                    SourceOwner::Probe(count) => {
                        self.probe.on_child_started(&mut self.cx, count, run, result);
                    }
                }
            }
            CoreCommand::ChildEnded { ticket, exit, stderr_tail, cookies } => {
                let Some(Ended { owner, run, source, given_up, place }) = cx.children.ended(ticket) else {
                    return;
                };
                if let Some(cookies) = cookies {
                    cx.keep_cookies(source, cookies);
                }
                let counted = given_up.map_or(Duration::ZERO, |provider| {
                    cx.providers().gave_up(cx.now, &provider);
                    cx.providers().counted(&provider)
                });
                if let Some(place) = place {
                    cx.give_playlist_place_back(&place, counted);
                }
                self.open_all_awaited();
                match owner {
                    SourceOwner::Channel(at) => {
                        if let Some((channel, outlet)) = self.stations.get_mut(at) {
                            channel.on_child_ended(&mut self.cx, outlet, run, exit, &stderr_tail);
                        }
                    }
                    SourceOwner::Probe(count) => {
                        self.probe.on_child_ended(&mut self.cx, count, run, exit, &stderr_tail);
                    }
                }
            }
            CoreCommand::Probed { ticket, exit, stdout, stderr } => {
                cx.withdrawn_is_gone(ticket);
                if let Some(Question::Stream(at)) = cx.answered(ticket)
                    && let Some((channel, _)) = self.stations.get_mut(at)
                {
                    channel.on_probed(cx, ticket, exit, &stdout, &stderr);
                }
            }
            CoreCommand::SlateReady { ticket, result } => {
                if let Some(Question::Slate(at)) = cx.answered(ticket)
                    && let Some((channel, _)) = self.stations.get_mut(at)
                {
                    channel.on_slate(ticket, result);
                }
            }
            CoreCommand::HealthPersisted { seq, result } => {
                cx.health.persisted(cx.now, seq, result);
                self.log_health_news();
            }
            CoreCommand::ProviderSeen(counted) => cx.providers().recall(cx.now, &counted),
            CoreCommand::ClearHealth { channel } => cx.health.clear(cx.now, channel),
            CoreCommand::Tuner(message) => self.on_tuner_message(message),
            CoreCommand::Snapshot(reply) => reply(self.snapshot()),
            CoreCommand::TriggerRecovery { channel, reason, reply } => reply(self.trigger(channel, &reason)),
            CoreCommand::Kick { session, viewer, reply } => reply(self.kick(session, viewer)),
            CoreCommand::TrySource { channel, source, reply } => {
                let is_watched = self.stations.of_channel(channel).is_some();
                self.probe.want(&mut self.cx, channel, source, is_watched || self.draining.is_some(), reply);
            }
            CoreCommand::Drain { deadline } => {
                let deadline = cx.time.of(deadline);
                self.drain(deadline);
            }
        }
    }

    /// A child has ended: begins the attempts that have waited for that.
    fn open_all_awaited(&mut self) {
        for (channel, outlet) in self.stations.iter_mut() {
            channel.open_awaited(&mut self.cx, outlet);
        }
        self.probe.open_awaited(&mut self.cx);
        self.settle();
    }

    /// The channels have changed. Sessions whose channel or source is not offered any more act on it at once.
    pub(super) fn on_lineup(&mut self, lineup: Arc<Lineup>) {
        let (id, cores) = (self.cx.id, self.cx.params.cores);
        let cx = &mut self.cx;
        cx.health.relist(cx.now, &cx.lineup, &lineup, |channel| home(channel, cores) == id);
        self.cx.lineup = Arc::clone(&lineup);
        self.cx.set_tuners(lineup.tuners());
        self.resize_pool();
        for at in self.stations.all() {
            if let Some((channel, outlet)) = self.stations.get_mut(at) {
                let whose = channel.listing().id;
                channel.relist(lineup.channel(whose));
                channel.withdraw(&mut self.cx, outlet, &lineup);
            }
            self.settle();
        }
        self.probe.relist(&self.cx);
    }

    /// Somebody wants a channel's session to go on with another source.
    fn trigger(&mut self, channel: ChannelId, reason: &str) -> Result<(), TriggerRefusal> {
        let at = self.stations.of_channel(channel).ok_or(TriggerRefusal::NotFound)?;
        let (channel, outlet) = self.stations.get_mut(at).ok_or(TriggerRefusal::NotFound)?;
        channel.trigger(&mut self.cx, outlet, reason)
    }

    /// Somebody wants a viewer's stream to end. True when it watched here.
    fn kick(&mut self, session: SessionId, viewer: u64) -> bool {
        let at = self.stations.of_session(session).or_else(|| self.stations.of_away(session));
        let outlet = at.and_then(|at| self.stations.outlet_mut(at));
        let mut is_gone = outlet.is_some_and(|(outlet, view)| outlet.kick(&mut self.cx, view, viewer));
        if !is_gone
            && let Some((channel, outlets)) = at.and_then(|at| self.stations.get_mut(at))
            && let Some(name) = outlets.kick_hls(&mut self.cx, channel.feed(), viewer)
        {
            self.sent_away.add(name, self.cx.now);
            is_gone = true;
        }
        self.settle();
        is_gone
    }

    fn drain(&mut self, deadline: Instant) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(deadline);
        for listener in std::mem::take(&mut self.listeners) {
            self.cx.driver.close(listener.handle, Hangup::Finish);
        }
        self.probe.drain(&mut self.cx);
        for at in self.stations.all() {
            if let Some((channel, outlet)) = self.stations.get_mut(at) {
                channel.handle(&mut self.cx, outlet, Event::Drain);
                // Those that were over already have viewers who get the rest.
                outlet.end_viewers(&mut self.cx, channel.feed());
            } else if let Some((outlet, view)) = self.stations.outlet_mut(at) {
                outlet.end_viewers(&mut self.cx, view);
            }
            self.settle();
        }
        self.connections.drain(&mut self.cx);
    }
}
