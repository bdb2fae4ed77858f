//! A source's life around its bytes: opened, selected, ended, stopped.

use std::time::Duration;

use crate::base::Instant;
use crate::base::limits::LIST_NESTING_MAX;
use crate::http::CookieJar;
use crate::lineup::Source;
use crate::ring::Lent;
use crate::session::{Event as SessionEvent, Lost};
use crate::source::body::{Body, Sound};
use crate::source::direct::{Client, Want};
use crate::source::error::{Kind, SourceError};
use crate::source::sniff::Sniffer;
use crate::source::startup::{self, Startup};
use crate::source::watch::Stall;
use crate::source::{Mode, Opening, direct, list, mode};
use crate::uring::{Driver, Hangup};

use super::children::child_verdict;
use super::client::SessionKey;
use super::core::Core;
use super::events;
use super::ingest::Ingest;
use super::looking::Look;
use super::staging::Staging;
use super::token::Token;
use super::upstream::{Io, SourceRun};

/// How long an attempt waits for a child of before that still reads from the same provider: the time from SIGTERM to
/// SIGKILL, and what it takes to hear of it.
const CHILD_END_WAIT: Duration = Duration::from_millis(750);

/// Whether a text of addresses without any mark of its own is a list by its name or type.
fn is_called_list(attempt: &Attempt, client: &Client) -> bool {
    list::is_list_name(&attempt.address) || client.content_type().is_some_and(list::is_list_type)
}

/// The least time that one stream of a list is given.
const STREAM_SHARE_MIN: Duration = Duration::from_secs(2);

/// What is to be tried.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) source: Source,
    /// `initial_startup` or `recovery_cycle_<n>:<reason>`.
    pub(crate) selection_reason: String,
    pub(crate) in_recovery: bool,
    /// When it is given up.
    pub(crate) deadline: Instant,
    pub(crate) look: Look,
    /// Where the stream is: at the source's address, or where the list there says.
    pub(crate) address: String,
    /// The list's other streams, the next one last.
    others: Vec<String>,
    /// Lists that have led here.
    lists: u32,
    /// What the stream is known to be, and nothing else.
    pub(crate) sound: Option<Sound>,
    /// What its servers have set on the way here.
    pub(crate) cookies: CookieJar,
}

impl Attempt {
    /// When the stream that is tried now is given up for the next one of its list.
    fn stream_deadline(&self, now: Instant) -> Instant {
        let count = u32::try_from(self.others.len()).expect("a list has few entries") + 1;
        let share = (self.deadline - now) / count;
        self.deadline.min(now + share.max(STREAM_SHARE_MIN))
    }

    /// The same source with the next stream of its list.
    fn next_of_list(mut self, now: Instant) -> Option<Self> {
        let address = self.others.pop().filter(|_| now < self.deadline)?;
        Some(Self { address, look: Look::First, sound: None, ..self })
    }

    /// The same source with the streams of the list that it is, unless lists lead to lists for too long.
    fn of_list(self, mut streams: Vec<String>, now: Instant) -> Option<Self> {
        if self.lists == LIST_NESTING_MAX {
            return None;
        }
        streams.reverse();
        let others = [self.others, streams].concat();
        Self { others, lists: self.lists + 1, ..self }.next_of_list(now)
    }
}

/// An attempt that begins when a child of the same provider has ended: providers count connections.
pub(crate) struct Awaited {
    attempt: Attempt,
    opening: Opening,
    /// Then it begins all the same.
    pub(crate) until: Instant,
}

impl<D: Driver<Memory = Lent, Token = Token>> Core<D> {
    /// Begins the attempt that the session's machine has asked for.
    pub(crate) fn start_source(
        &mut self,
        session: SessionKey,
        index: usize,
        selection_reason: String,
        in_recovery: bool,
        timeout: Duration,
    ) {
        self.register_ring(session);
        let Some(live) = self.sessions.get(session) else { return };
        let source = live.channel.sources[index].clone();
        self.try_source(session, source, selection_reason, in_recovery, timeout);
    }

    /// Begins an attempt at a source.
    pub(crate) fn try_source(
        &mut self,
        session: SessionKey,
        source: Source,
        selection_reason: String,
        in_recovery: bool,
        timeout: Duration,
    ) {
        let deadline = self.now + timeout;
        let attempt = Attempt {
            address: source.url.clone(),
            source,
            selection_reason,
            in_recovery,
            deadline,
            look: Look::First,
            others: Vec::new(),
            lists: 0,
            sound: None,
            cookies: CookieJar::default(),
        };
        self.open_planned(session, attempt);
    }

    fn open_planned(&mut self, session: SessionKey, attempt: Attempt) {
        match mode::plan(self.params.sources.mode, &attempt.address) {
            Ok(opening) => self.open(session, attempt, opening),
            Err(error) => self.stream_failed_to_start(session, attempt, &error),
        }
    }

    /// What was tried cannot be had: the next one of its list, if there is one, else the source has failed.
    fn stream_failed_to_start(&mut self, session: SessionKey, attempt: Attempt, error: &SourceError) {
        let source = attempt.source.clone();
        match attempt.next_of_list(self.now) {
            Some(next) => {
                self.stop_source(session);
                self.tell_followed(session, &next);
                self.open_planned(session, next);
            }
            None => self.source_failed_to_start(session, &source, error),
        }
    }

    fn tell_followed(&self, session: SessionKey, attempt: &Attempt) {
        let Some(live) = self.sessions.get(session) else { return };
        let line = live.about().line("shared session source is a list and is followed");
        let url = crate::base::redact::url(&attempt.address);
        log::info!("{}", line.field("source_id", attempt.source.id.0).field("stream_url", url));
    }

    /// Opens a source, as soon as no child that is to end is connected to it any more, and none of the session to its provider.
    fn open(&mut self, session: SessionKey, attempt: Attempt, opening: Opening) {
        if !self.is_child_ending(session, &attempt.source) {
            return self.open_now(session, attempt, opening);
        }
        let until = attempt.deadline.min(self.now + CHILD_END_WAIT);
        if let Some(live) = self.sessions.get_mut(session) {
            live.awaited = Some(Awaited { attempt, opening, until });
        }
        self.arm(session);
    }

    /// A child has ended: begins the attempts that have waited for that.
    pub(crate) fn open_all_awaited(&mut self) {
        let waiting = self.sessions.iter().filter(|(_, live)| live.awaited.is_some());
        let waiting: Vec<_> = waiting.map(|(session, _)| session).collect();
        for session in waiting {
            self.open_awaited(session);
        }
    }

    /// Begins the attempt that waits, if it need not wait any longer.
    fn open_awaited(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get(session) else { return };
        let Some(awaited) = &live.awaited else { return };
        if awaited.until > self.now && self.is_child_ending(session, &awaited.attempt.source) {
            return;
        }
        let awaited = self.sessions.get_mut(session).and_then(|live| live.awaited.take());
        if let Some(Awaited { attempt, opening, .. }) = awaited {
            self.open_now(session, attempt, opening);
        }
    }

    fn open_now(&mut self, session: SessionKey, attempt: Attempt, opening: Opening) {
        let (inventory, detection) = self.terms_of(&attempt, opening);
        let timeout = attempt.stream_deadline(self.now) - self.now;
        let url = attempt.address.clone();
        if let Some(address) = self.own_address_in(&url) {
            let error = SourceError::own_server(address);
            return self.stream_failed_to_start(session, attempt, &error);
        }
        let via = self.via(session);
        let (headers, cookies) = (attempt.source.headers.clone(), attempt.cookies.clone());
        let defaults = self.params.sources.direct.clone();
        let direct = direct::Params { startup_timeout: timeout, via, headers, cookies, ..defaults };
        let Some(live) = self.sessions.get_mut(session) else { return };
        live.runs += 1;
        let run = live.runs;
        let io = match opening {
            Opening::Direct => match Client::new(&url, direct, self.now) {
                Ok(client) => {
                    Io::Direct { client: Box::new(client), socket: None, is_busy: false, spare: None }
                }
                Err(error) => return self.stream_failed_to_start(session, attempt, &error),
            },
            Opening::Ffmpeg(remux) => match self.start_ffmpeg(session, run, &attempt, remux, detection) {
                Ok(ticket) => Io::Child { ticket, pipe: None, is_busy: false, has_ended: false },
                Err(error) => return self.stream_failed_to_start(session, attempt, &error),
            },
        };
        let Some(live) = self.sessions.get_mut(session) else { return };
        let pace = self.params.sources.pace;
        let ingest = match (opening, self.params.sources.mode) {
            (Opening::Direct, Mode::Auto | Mode::Direct) => {
                Ingest::new(Some(Sniffer::default()), attempt.source.program, pace)
            }
            (Opening::Direct, Mode::FfmpegCopy | Mode::FfmpegTranscode) => {
                Ingest::new(Some(Sniffer::for_lists()), None, pace)
            }
            // ffmpeg has chosen the programme, and numbers it anew.
            (Opening::Ffmpeg(_), _) => Ingest::new(None, None, pace),
        };
        let limits = startup::Params { timeout, inventory, ..self.params.sources.startup };
        let startup = Startup::new(limits, self.now);
        live.source = Some(SourceRun {
            run,
            attempt,
            opening,
            io,
            ingest,
            staging: Some(Staging::default()),
            startup,
            has_begun: false,
            watch: None,
            profile_used: false,
            rests_until: None,
            waited: Duration::ZERO,
            child_end: None,
            selected_at: None,
        });
        self.drive(session);
        self.arm(session);
    }

    /// The session's machine wants the source gone.
    pub(crate) fn stop_source(&mut self, session: SessionKey) {
        self.cancel_probe(session);
        let Some(live) = self.sessions.get_mut(session) else { return };
        live.awaited = None;
        live.show_rest(self.now, false);
        // Nothing need follow for long.
        self.publish(session);
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(source) = live.source.take() else { return };
        // What it has left half received is shown to nobody.
        if !live.ring.is_reserved() {
            live.ring.drop_pending();
        }
        let handle = match source.io {
            Io::Direct { socket, .. } => socket,
            Io::Child { ticket, pipe, .. } => {
                self.stop_child(ticket);
                pipe
            }
        };
        if let Some(handle) = handle {
            self.driver.close(handle, Hangup::Finish);
        }
    }

    pub(crate) fn expire_source(&mut self, session: SessionKey) {
        self.open_awaited(session);
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(source) = &mut live.source else { return };
        if let Io::Direct { client, .. } = &mut source.io
            && client.next_deadline().is_some_and(|deadline| deadline <= self.now)
        {
            client.expire(self.now);
            self.drive_expired(session);
        }
        let Some(source) = self.sessions.get_mut(session).and_then(|live| live.source.as_mut()) else {
            return;
        };
        if source.startup.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            let verdict = source.startup.expire(self.now);
            return self.on_verdict(session, verdict);
        }
        let stall = source.watch.as_mut().and_then(|watch| watch.expire(self.now));
        if let Some(stall) = stall {
            self.source_stalled(session, &stall);
        }
    }

    /// The client's time is up: whatever was in flight for it no longer matters.
    fn drive_expired(&mut self, session: SessionKey) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(SourceRun { io: Io::Direct { client, socket, is_busy, .. }, run, .. }) = &mut live.source
        else {
            return;
        };
        if matches!(client.want(), Want::Failed | Want::Finished) {
            *is_busy = false;
        } else if *is_busy && matches!(client.want(), Want::Connect(_)) {
            // The next address: the old attempt's completion is an earlier run's from now on.
            live.runs += 1;
            *run = live.runs;
            *is_busy = false;
            if let Some(old) = socket.take() {
                self.driver.close(old, Hangup::Finish);
            }
        }
        self.drive(session);
    }

    /// The source gives nothing that moves the picture.
    fn source_stalled(&mut self, session: SessionKey, stall: &Stall) {
        let what = stall.kind.as_str();
        self.note_error(session, format!("stream pump stall detected: {what}"));
        let Some(live) = self.sessions.get(session) else { return };
        let line = live.about().line("shared session source stalled").field("stall_kind", what);
        log::warn!("{}", line.field("since", format!("{:?}", self.now - stall.since)));
        self.session_event(session, SessionEvent::Stalled { what });
    }

    /// The source has ended by itself.
    pub(crate) fn source_ended(&mut self, session: SessionKey) {
        let Some(source) = self.sessions.get_mut(session).and_then(|live| live.source.as_mut()) else {
            return;
        };
        if source.selected_at.is_some() {
            source.ingest.has_ended();
            self.note_error(session, "source ended".to_owned());
            self.tell_lost(session, None);
            self.session_event(session, SessionEvent::SourceLost { cause: Lost::Eof });
            return;
        }
        match &mut source.io {
            // Why it ended is known when it has been reaped; its end is certain and soon.
            Io::Child { has_ended, ticket, .. } => {
                *has_ended = true;
                let ticket = *ticket;
                match source.child_end.take() {
                    Some((exit, stderr_tail)) => {
                        let verdict = child_verdict(source, exit, &stderr_tail);
                        self.on_verdict(session, verdict);
                    }
                    None => self.stop_child(ticket),
                }
            }
            Io::Direct { .. } => {
                let verdict = match source.ingest.unsuitable_at_end() {
                    Some(error) => source.startup.failed(error),
                    None => source.startup.ended(),
                };
                self.on_verdict(session, verdict);
            }
        }
    }

    /// The source cannot go on.
    pub(crate) fn source_failed(&mut self, session: SessionKey, error: &SourceError) {
        let Some(source) = self.sessions.get_mut(session).and_then(|live| live.source.as_mut()) else {
            return;
        };
        if source.selected_at.is_some() {
            self.note_error(session, error.reason());
            self.tell_lost(session, Some(&error.reason()));
            let cause = Lost::Error {
                reason: error.reason(),
                status: error.status_code(),
                retry_after: error.retry_after(),
            };
            self.session_event(session, SessionEvent::SourceLost { cause });
            return;
        }
        let (mut attempt, opening) = (source.attempt.clone(), source.opening);
        if let Io::Direct { client, .. } = &source.io {
            attempt.cookies = client.cookies().clone();
        }
        if let (Io::Direct { client, .. }, Some(text)) = (&source.io, source.ingest.take_list())
            && (error.kind() == Kind::NotTransportStream(Body::List) || is_called_list(&attempt, client))
            && let Some(next) = attempt.clone().of_list(list::entries(&text, client.url()), self.now)
        {
            self.stop_source(session);
            self.tell_followed(session, &next);
            return self.open_planned(session, next);
        }
        if let Kind::NotTransportStream(Body::Sound(sound)) = error.kind() {
            attempt.sound = Some(sound);
        }
        if let Some(other) = mode::plan_after(self.params.sources.mode, opening, error) {
            self.stop_source(session);
            self.open(session, attempt, other);
            return;
        }
        let inventory = source.ingest.inspector.inventory();
        let is_sound = inventory.video_streams == 0 && inventory.audio_streams > 0;
        if let Some(look) = self.longer_look(&attempt, opening, error, is_sound) {
            let Some(live) = self.sessions.get(session) else { return };
            let line = live.about().line("shared session source is looked at longer");
            log::info!("{}", line.field("source_id", attempt.source.id.0).field("reason", error.reason()));
            self.stop_source(session);
            self.open(session, Attempt { look, ..attempt }, opening);
            return;
        }
        self.stream_failed_to_start(session, attempt, error);
    }

    pub(crate) fn source_failed_to_start(
        &mut self,
        session: SessionKey,
        source: &Source,
        error: &SourceError,
    ) {
        if self.is_probe(session) {
            return self.probe_failed(source, error);
        }
        let Some(live) = self.sessions.get(session) else { return };
        let url = crate::base::redact::url(&source.url);
        log::warn!("{}", events::source_start_failed(live.about(), source.id.0, &url, &error.reason()));
        self.note_error(session, error.reason());
        let Some(live) = self.sessions.get_mut(session) else { return };
        live.met_itself = error.is_loop();
        // Told apart for the viewer: nothing came at all, or something came and was no picture.
        let came = live.source.as_ref().is_some_and(|source| source.ingest.bytes > 0);
        let silent = came && matches!(error.kind(), Kind::Timeout | Kind::NoEntryPoint);
        self.session_event(
            session,
            SessionEvent::SourceFailed {
                silent,
                reason: error.reason(),
                status: error.status_code(),
                retry_after: error.retry_after(),
            },
        );
    }
}
