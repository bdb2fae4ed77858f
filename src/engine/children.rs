//! Children that feed sources: control starts and reaps them, the core reads their pipes.

use std::ffi::OsString;
use std::time::Duration;

use crate::base::{ChildExit, Instant};
use crate::lineup::{Source, SourceId};
use crate::ring::Lent;
use crate::session::ProviderScope;
use crate::source::Remux;
use crate::source::error::SourceError;
use crate::source::ffmpeg::{self, Detection};
use crate::source::startup::Verdict;
use crate::source::telemetry::component_hint;
use crate::ts::ComponentState;
use crate::uring::{Driver, Hangup};

use super::client::SessionKey;
use super::core::Core;
use super::opening::Attempt;
use super::port::{ChildOwner, ControlRequest, Ticket};
use super::profiles::stored_profile;
use super::token::Token;
use super::upstream::{Io, SourceRun};

/// A request to stop a child is repeated after this long without an answer.
const STOP_REPEAT: Duration = Duration::from_secs(1);

/// A child from the request to start it until it has been reaped.
pub(crate) struct Child {
    session: SessionKey,
    run: u32,
    source: SourceId,
    /// What it is connected to.
    provider: ProviderScope,
    /// When its end was last asked for.
    stop_asked_at: Option<Instant>,
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    pub(crate) fn start_ffmpeg(
        &mut self,
        session: SessionKey,
        run: u32,
        attempt: &Attempt,
        remux: Remux,
        detection: Detection,
    ) -> Result<Ticket, SourceError> {
        let params = &self.params.sources.ffmpeg;
        let Attempt { source, address, sound, .. } = attempt;
        // Radio that was there before has its cover again.
        let is_radio =
            component_hint(&stored_profile(&self.health.book, source)) == ComponentState::AudioOnly;
        let wish = ffmpeg::Run {
            remux,
            detection,
            timestamp_offset: Duration::ZERO,
            sound: *sound,
            listed: attempt.look.takes_what_is_listed() || is_radio,
            program: source.program,
            via: self.via(session),
            headers: source.headers.clone(),
            cookies: attempt.cookies.clone(),
        };
        let arguments = ffmpeg::arguments(address, &wish, params, &self.params.sources.capabilities)?;
        let program = self.params.sources.ffmpeg_path.clone();
        let arguments = arguments.into_iter().map(OsString::from).collect();
        let ticket = self.ticket();
        let core = self.id;
        let channel_id = self.sessions.get(session).map_or(0, |live| live.channel.id.0);
        let owner = ChildOwner { channel_id, source_id: source.id.0 };
        let request = ControlRequest::StartChild { core, ticket, program, arguments, owner };
        if self.control.request(request).is_err() {
            self.counters.queue_full += 1;
            return Err(SourceError::spawn("too many requests are waiting for control"));
        }
        let provider = ProviderScope::of(&source.url, source.id.0);
        self.children
            .insert(ticket, Child { session, run, source: source.id, provider, stop_asked_at: None });
        Ok(ticket)
    }

    pub(crate) fn on_child_started(&mut self, ticket: Ticket, result: Result<D::Descriptor, String>) {
        let Some(child) = self.children.get(&ticket) else { return };
        let (session, run) = (child.session, child.run);
        let pipe = match result {
            Ok(pipe) => pipe,
            Err(reason) => {
                self.children.remove(&ticket);
                self.open_all_awaited();
                if self.source_of(session, run).is_some() {
                    self.source_failed(session, &SourceError::spawn(reason));
                }
                return;
            }
        };
        if self.source_of(session, run).is_none() {
            // Nobody wants it any more; its pipe closes here and its end has been asked for.
            return;
        }
        let Ok(handle) = self.driver.adopt(pipe) else {
            return self.source_failed(session, &SourceError::spawn("no file descriptor is left"));
        };
        match self.source_of(session, run).map(|source| &mut source.io) {
            Some(Io::Child { pipe, .. }) => *pipe = Some(handle),
            Some(Io::Direct { .. }) | None => return self.driver.close(handle, Hangup::Finish),
        }
        self.drive(session);
    }

    pub(crate) fn on_child_ended(&mut self, ticket: Ticket, exit: ChildExit, stderr_tail: &str) {
        let Some(child) = self.children.remove(&ticket) else { return };
        self.open_all_awaited();
        let Some(source) = self.source_of(child.session, child.run) else { return };
        if source.selected_at.is_some() {
            // The pipe may still hold what it wrote last; the end of the pipe is the end of the source.
            self.tell_child_ended(child.session, exit, stderr_tail);
            return;
        }
        if let Io::Child { has_ended: false, .. } = source.io {
            // The rest of its pipe comes first.
            source.child_end = Some((exit, stderr_tail.into()));
            return;
        }
        let verdict = child_verdict(source, exit, stderr_tail);
        self.on_verdict(child.session, verdict);
    }

    /// True while a child that is to end may still be connected to this source, or, when it is of the same session, to its provider.
    /// The source of a viewer that comes right back is often one that allows a single connection.
    pub(crate) fn is_child_ending(&self, session: SessionKey, source: &Source) -> bool {
        let provider = ProviderScope::of(&source.url, source.id.0);
        let is_one = |child: &Child| {
            child.source == source.id || child.session == session && child.provider == provider
        };
        self.children.values().any(|child| child.stop_asked_at.is_some() && is_one(child))
    }

    fn source_of(&mut self, session: SessionKey, run: u32) -> Option<&mut SourceRun> {
        self.sessions.get_mut(session)?.source.as_mut().filter(|source| source.run == run)
    }

    pub(crate) fn stop_child(&mut self, ticket: Ticket) {
        let Some(child) = self.children.get_mut(&ticket) else { return };
        child.stop_asked_at = Some(self.now);
        if self.control.request(ControlRequest::StopChild { core: self.id, ticket }).is_err() {
            // Asked again by the sweep.
            self.counters.queue_full += 1;
        }
    }

    /// Asks again for ends that have not come.
    pub(crate) fn repeat_child_stops(&mut self) {
        let now = self.now;
        let overdue: Vec<_> = self
            .children
            .iter()
            .filter(|(_, child)| child.stop_asked_at.is_some_and(|asked| now - asked >= STOP_REPEAT))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in overdue {
            self.stop_child(ticket);
        }
    }
}

/// What becomes of a start whose child has ended and said everything.
pub(crate) fn child_verdict(source: &mut SourceRun, exit: ChildExit, stderr_tail: &str) -> Verdict {
    match source.startup.ended() {
        Verdict::Failed(error) => Verdict::Failed(error.opening_ffmpeg(Some(exit), stderr_tail)),
        settled @ (Verdict::KeepGoing | Verdict::Ready { .. }) => settled,
    }
}
