//! What cores and control say to each other. Every queue between them is bounded; the rule for "full" is
//! written at each message.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::base::{ChildExit, Instant};
use crate::engine::port::outlets::OutletWord;
use crate::filler::slate::{Slate, SlateSpec};
use crate::http::CookieJar;
use crate::lineup::HealthRow;
use crate::lineup::{ChannelId, Lineup, SourceId};
use crate::session::{Counted, Purpose};
use crate::source::Relayed;
use crate::source::ffmpeg::{Listing, LogLevel};
use crate::tuner::Kind;

use super::ids::{CoreId, SessionId, Ticket};
use super::snapshot::CoreSnapshot;

/// A client's connection that moves to another thread with the bytes already read from it.
#[derive(Debug)]
pub struct HandedConnection<F = OwnedFd> {
    /// The socket, in non-blocking mode.
    pub socket: F,
    /// What has been read so far: at least one whole request head.
    pub bytes: Vec<u8>,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address the client connected to.
    pub local: SocketAddr,
}

/// For whom a child runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChildOwner {
    /// The channel.
    pub channel_id: i64,
    /// The source it reads.
    pub source_id: i64,
}

/// Why a child's output cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChildRefused {
    /// It could not be started.
    NotStarted(String),
    /// Its input has several programmes, and it has not been told which one to take. It is being killed.
    Several(Listing),
}

/// Why a recovery is not begun.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum TriggerRefusal {
    /// Nobody watches this channel, or there is no picture yet.
    #[error("shared session not found")]
    NotFound,
    /// The session is being created, or recovers already.
    #[error("shared session manual recovery is already pending")]
    AlreadyPending,
}

/// The answer to a question for a recovery; runs on the core and must not block.
pub type TriggerReply = Box<dyn FnOnce(Result<(), TriggerRefusal>) + Send>;

/// The answer to the wish to end a viewer's stream, whether it was here; runs on the core and must not block.
pub type KickReply = Box<dyn FnOnce(bool) + Send>;

/// What has come of trying a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TryOutcome {
    /// It shows a picture. What was learnt of it is on its way to the store.
    Ready,
    /// It cannot be used, and why.
    Failed(String),
    /// Its channel is watched, or its source is not offered: it was not tried.
    Watched,
    /// There is no tuner, one was taken back, or another source is being tried: ask again.
    Busy,
}

/// The answer to the wish to try a source; runs on the core and must not block.
pub type TryReply = Box<dyn FnOnce(TryOutcome) + Send>;

/// What a core asks of control.
#[derive(Debug)]
pub enum ControlRequest<F = OwnedFd> {
    /// A request that is not for a stream. Full: the core answers 503 itself.
    Connection(HandedConnection<F>),
    /// Look a host name up. Full: the source's start fails with that reason.
    Resolve {
        /// Who asks.
        core: CoreId,
        /// Comes back in [`CoreCommand::Resolved`].
        ticket: Ticket,
        /// The name.
        host: String,
        /// The port that goes into the addresses.
        port: u16,
    },
    /// Start a child whose standard output is the stream. Full: the source's start fails with that reason.
    StartChild {
        /// Who asks.
        core: CoreId,
        /// Comes back in [`CoreCommand::ChildStarted`] and [`CoreCommand::ChildEnded`].
        ticket: Ticket,
        /// The program.
        program: OsString,
        /// Its arguments.
        arguments: Vec<OsString>,
        /// For whom it runs: what it says is logged with that.
        owner: ChildOwner,
        /// It is ffmpeg and says what its input is before it writes; what is less than this level is then not logged. Its output
        /// is handed over when there is one programme, or so many words about it do not come.
        listing: Option<LogLevel>,
        /// What it reads through control: [`RELAYED_ADDRESS`](crate::source::RELAYED_ADDRESS) among its arguments stands for it.
        relayed: Option<Box<Relayed>>,
    },
    /// Run a program to its end and say what it has written. Full: nothing is learnt.
    Probe {
        /// Who asks.
        core: CoreId,
        /// Comes back in [`CoreCommand::Probed`].
        ticket: Ticket,
        /// The program.
        program: OsString,
        /// Its arguments.
        arguments: Vec<OsString>,
        /// What it reads through control, as of a child.
        relayed: Option<Box<Relayed>>,
    },
    /// Stop a child: SIGTERM, then SIGKILL after 500 ms. Full: the core repeats the request until the child's end
    /// is reported. A probe is killed at once, and has no answer.
    StopChild {
        /// The ticket it was started with.
        core: CoreId,
        /// The ticket it was started with.
        ticket: Ticket,
    },
    /// Write what has become of sources. Full: the core keeps the rows and offers them again.
    PersistHealth {
        /// Who asks.
        core: CoreId,
        /// Comes back in [`CoreCommand::HealthPersisted`].
        seq: u64,
        /// At most [`crate::health::BATCH_ROWS_MAX`].
        rows: Vec<HealthRow<SourceId>>,
    },
    /// Remember how long a provider counts a connection that is closed. Full: it is learnt again.
    ProviderSeen(Counted),
    /// Have a slate ready for the channel of a session. Full: the session does without, as when none can be made.
    PrepareSlate {
        /// Who asks.
        core: CoreId,
        /// Comes back in [`CoreCommand::SlateReady`].
        ticket: Ticket,
        /// What it is to look like.
        spec: SlateSpec,
    },
}

/// What a core is told, by control or by another core.
pub enum CoreCommand<F = OwnedFd> {
    /// A stream request that has come to control, with the request head in its bytes. Full: the sender answers 503.
    Viewer(HandedConnection<F>),
    /// What a channel and its viewers on another core have to say to each other. Full: a request gets 503; everything else is kept,
    /// what a channel has to tell is put together, and it is tried again a turn later.
    Outlets(OutletMail),
    /// The channels have changed.
    Lineup(Arc<Lineup>),
    /// The answer to [`ControlRequest::Resolve`]: addresses in the order to be tried, or why there are none.
    Resolved {
        /// Of the question.
        ticket: Ticket,
        /// The answer.
        result: Result<Vec<SocketAddr>, String>,
    },
    /// The answer to [`ControlRequest::StartChild`]: the reading end of its standard output (non-blocking
    /// mode off, size 1 MiB), or why it could not be started.
    ChildStarted {
        /// Of the question.
        ticket: Ticket,
        /// The pipe.
        result: Result<F, ChildRefused>,
    },
    /// A child has been reaped. Comes exactly once for each child whose start was told.
    ChildEnded {
        /// Of its start.
        ticket: Ticket,
        /// How it ended.
        exit: ChildExit,
        /// The end of its standard error, redacted.
        stderr_tail: String,
        /// What its source's servers had set by then, if it has read that through control.
        cookies: Option<CookieJar>,
    },
    /// The answer to [`ControlRequest::Probe`].
    Probed {
        /// Of the question.
        ticket: Ticket,
        /// How it ended; `None` when it did not in time.
        exit: Option<ChildExit>,
        /// What it has written.
        stdout: Vec<u8>,
        /// What it complained of, redacted.
        stderr: String,
    },
    /// The answer to [`ControlRequest::PersistHealth`]: the sources that the database does not have, or why nothing
    /// was written.
    HealthPersisted {
        /// Of the rows.
        seq: u64,
        /// The answer.
        result: Result<Vec<SourceId>, String>,
    },
    /// How long a provider counts a connection that is closed, as it was seen before this process began.
    ProviderSeen(Counted),
    /// The health of this channel's sources, or of all, has been reset in the database.
    ClearHealth {
        /// The channel.
        channel: Option<ChannelId>,
    },
    /// The answer to [`ControlRequest::PrepareSlate`]: the slate, or why there is none.
    SlateReady {
        /// Of the question.
        ticket: Ticket,
        /// The answer.
        result: Result<Arc<Slate>, String>,
    },
    /// A tuner message between cores.
    Tuner(TunerMessage),
    /// Describe everything that lives here; the reply runs on the core and must not block.
    Snapshot(Box<dyn FnOnce(CoreSnapshot) + Send>),
    /// Get the channel's stream from another source, or from the same one anew, as after a stall.
    TriggerRecovery {
        /// The channel, which lives on this core if anywhere.
        channel: ChannelId,
        /// Why, for the status.
        reason: String,
        /// Told whether it is done.
        reply: TriggerReply,
    },
    /// End a viewer's stream.
    Kick {
        /// The session it watches.
        session: SessionId,
        /// Its number within that.
        viewer: u64,
        /// Told whether it watched here.
        reply: KickReply,
    },
    /// Try a source without showing anything of it, with a tuner for probes.
    TrySource {
        /// Its channel, which lives on this core if anywhere.
        channel: ChannelId,
        /// The source.
        source: SourceId,
        /// Told what has come of it, exactly once.
        reply: TryReply,
    },
    /// End everything: new tunes get 503, viewers end cleanly, sources stop. The core's thread returns when
    /// nothing is left or at the deadline.
    Drain {
        /// When the thread returns no matter what is left.
        deadline: Instant,
    },
}

/// What cores say to each other about a channel's viewers.
pub struct OutletMail(pub(in crate::engine) OutletWord);

/// Tuners are counted by core 0; other cores ask it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TunerMessage {
    /// A session or a probe needs a tuner.
    Request {
        /// Where the session lives.
        core: CoreId,
        /// The session.
        session: SessionId,
        /// For the snapshot: its channel's guide number, or `probe:` and an item.
        label: String,
        /// Which of both it is.
        kind: Kind,
    },
    /// The session has its tuner.
    Granted {
        /// The session.
        session: SessionId,
        /// The tuner's number.
        tuner: u16,
    },
    /// All tuners are in use.
    Refused {
        /// The session.
        session: SessionId,
    },
    /// Whether a tuner is free, and so a connection more takes nothing from a viewer.
    IsRoom {
        /// Where the session lives that wants to know.
        core: CoreId,
        /// The session.
        session: SessionId,
    },
    /// The answer to `IsRoom`.
    Room {
        /// The session.
        session: SessionId,
        /// The answer.
        is_room: bool,
    },
    /// A viewer needs a place at the provider: the session is to end if nobody watches it, a probe in any case.
    GiveWay {
        /// The session, or the probe.
        session: SessionId,
        /// What its place is for.
        purpose: Purpose,
    },
    /// The session or probe does not wait for a tuner any more. One that is on its way is given back when it comes.
    Cancelled {
        /// Where the session lives.
        core: CoreId,
        /// The session.
        session: SessionId,
    },
    /// The session is done with its tuner.
    Released {
        /// The tuner's number.
        tuner: u16,
    },
    /// The session has no viewers (or has them again): its tuner may (not) be taken for another channel.
    Idle {
        /// The tuner's number.
        tuner: u16,
        /// No viewers now.
        idle: bool,
    },
    /// The session is to end if it still has no viewers. It answers with `Released` or `NotIdle`.
    Preempt {
        /// The session.
        session: SessionId,
        /// The tuner's number.
        tuner: u16,
    },
    /// The answer to `Preempt` when viewers had come back.
    NotIdle {
        /// The tuner's number.
        tuner: u16,
    },
}

/// A core's way to control. Implemented by `control`; the engine does not know what is behind it.
pub trait ControlPort<F = OwnedFd>: Send {
    /// Hands a request over without blocking.
    ///
    /// # Errors
    /// The request itself, when control's queue is full.
    fn request(&self, request: ControlRequest<F>) -> Result<(), Box<ControlRequest<F>>>;
}
