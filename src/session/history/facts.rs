//! The facts that are remembered, as plain values.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::lineup::{ChannelId, SourceId, SourceName, StreamProfile};
use crate::source::startup_facts::StartupFacts;

/// Sessions remembered when the settings do not say.
const SESSIONS_DEFAULT: usize = 256;
/// Sources, and viewers, remembered per session: never fewer.
const PER_SESSION_MIN: usize = 16;
/// Never more.
const PER_SESSION_MAX: usize = 4096;

/// How much is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Ended sessions.
    pub sessions: usize,
    /// Sources of one session.
    pub sources: usize,
    /// Viewers of one session; those who watch are remembered in any case.
    pub subscribers: usize,
}

impl Limits {
    /// The limits that follow from the settings, where 0 stands for: no wish.
    #[must_use]
    pub fn new(sessions: usize, sources: usize, subscribers: usize) -> Self {
        let sessions = if sessions > 0 { sessions } else { SESSIONS_DEFAULT };
        let per_session = |wish: usize| {
            let wish = if wish > 0 { wish } else { sessions };
            wish.clamp(PER_SESSION_MIN, PER_SESSION_MAX)
        };
        Self { sessions, sources: per_session(sources), subscribers: per_session(subscribers) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(0, 0, 0)
    }
}

/// Why a viewer's stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The viewer has hung up.
    HttpContextCanceled,
    /// It fell out of the ring.
    SlowClientLagged,
    /// Its socket took nothing for too long, or failed.
    StreamWriteError,
    /// The stream is over, or what the viewer wanted of it.
    SessionClosed,
    /// The core had too many viewers, of whom this was one of the newest.
    CoreSaturated,
    /// An administrator wanted it.
    Kicked,
}

impl CloseReason {
    /// The word in the status and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HttpContextCanceled => "http_context_canceled",
            Self::SlowClientLagged => "slow_client_lagged",
            Self::StreamWriteError => "stream_write_error",
            Self::SessionClosed => "session_closed",
            Self::CoreSaturated => "core_saturated",
            Self::Kicked => "kicked",
        }
    }
}

/// One viewer's time with a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriberWindow {
    /// Its number within the session, from 1.
    pub id: u64,
    /// Its address.
    pub peer: SocketAddr,
    /// When it came.
    pub connected_at: Instant,
    /// When it went, and why.
    pub left: Option<(Instant, CloseReason)>,
}

/// A source that was selected.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceFacts {
    /// Its row.
    pub id: SourceId,
    /// Its playlist item.
    pub item_key: String,
    /// Its address, redacted.
    pub url: String,
    /// What it was called then.
    pub name: Arc<SourceName>,
    /// `direct`, `ffmpeg-copy` or `ffmpeg-transcode`.
    pub mode: &'static str,
    /// Its servers are believed whatever they show.
    pub is_unverified: bool,
    /// The name of its nearest profile.
    pub profile_name: Option<Arc<str>>,
    /// Its start.
    pub startup: StartupFacts,
    /// Its stream.
    pub profile: StreamProfile,
}

impl SourceFacts {
    /// The name of what reads it.
    #[must_use]
    pub fn producer(&self) -> String {
        let retried = if self.startup.relaxed_retry { ":startup_retry_relaxed_probe" } else { "" };
        format!("{}:source={}{retried}", self.mode, self.id)
    }
}

/// One selection of a source, until the next.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceWindow {
    /// The source.
    pub source: SourceFacts,
    /// When it was selected.
    pub selected_at: Instant,
    /// When another was, or the session ended.
    pub deselected_at: Option<Instant>,
    /// `initial_startup` or `recovery_cycle_<n>:<reason>`.
    pub reason: String,
}

/// How often sources were selected.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Selections {
    /// In all.
    pub count: u64,
    /// The same one again, in a row, until now.
    pub same_source: u64,
    /// The last time.
    pub last_at: Option<Instant>,
    /// Why.
    pub last_reason: String,
}

/// How many viewers there were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ViewerCounts {
    /// The most at once.
    pub peak: u64,
    /// Those who ever came.
    pub total: u64,
    /// Those of them who went.
    pub completed: u64,
}

/// What slow viewers cost a session.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WriteCounters {
    /// How often viewers were skipped forward.
    pub slow_skip_events: u64,
    /// Chunks they missed.
    pub slow_skip_lag_chunks: u64,
    /// Bytes they missed.
    pub slow_skip_lag_bytes: u64,
    /// The chunks missed at the worst skip.
    pub slow_skip_max_lag_chunks: u64,
    /// Viewers ended because their socket took nothing for too long.
    pub deadline_timeouts: u64,
    /// Sends of which the socket took a part only.
    pub short_writes: u64,
    /// How long sends waited for room in sockets, added up.
    pub blocked: Duration,
}

impl WriteCounters {
    /// A viewer was moved forward by so many bytes.
    pub fn skipped(&mut self, bytes: u64, chunk_bytes: u64) {
        let chunks = bytes.div_ceil(chunk_bytes.max(1));
        self.slow_skip_events += 1;
        self.slow_skip_lag_bytes += bytes;
        self.slow_skip_lag_chunks += chunks;
        self.slow_skip_max_lag_chunks = self.slow_skip_max_lag_chunks.max(chunks);
    }

    /// What others have cost comes to it.
    pub fn add(&mut self, others: &Self) {
        self.slow_skip_events += others.slow_skip_events;
        self.slow_skip_lag_chunks += others.slow_skip_lag_chunks;
        self.slow_skip_lag_bytes += others.slow_skip_lag_bytes;
        self.slow_skip_max_lag_chunks = self.slow_skip_max_lag_chunks.max(others.slow_skip_max_lag_chunks);
        self.deadline_timeouts += others.deadline_timeouts;
        self.short_writes += others.short_writes;
        self.blocked += others.blocked;
    }
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nobody wanted it any more.
    Completed,
    /// It was given up before it had a picture, or the program was stopped.
    Canceled(String),
    /// It could not go on.
    Failed(String),
}

impl Outcome {
    /// The word in the status.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Canceled(_) => "canceled",
            Self::Failed(_) => "error",
        }
    }

    /// What went wrong; redacted.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Completed => None,
            Self::Canceled(error) | Self::Failed(error) => Some(error),
        }
    }
}

/// The end of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// When.
    pub at: Instant,
    /// How.
    pub outcome: Outcome,
}

/// A session as it is remembered.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionRecord {
    /// Unique in the process, from 1.
    pub id: u64,
    /// Its channel.
    pub channel: ChannelId,
    /// The channel's guide number when the session was created.
    pub guide_number: String,
    /// The channel's name then.
    pub guide_name: String,
    /// Its tuner; `None` before it is granted.
    pub tuner: Option<u16>,
    /// The times here are its core's own; the clock showed so much more.
    pub lost: Duration,
    /// When it was created.
    pub opened_at: Instant,
    /// How it ended; `None` while it goes on.
    pub ended: Option<Ended>,
    /// Its viewers.
    pub viewers: ViewerCounts,
    /// What the slow ones cost.
    pub writes: WriteCounters,
    /// Recoveries begun.
    pub recovery_cycles: u64,
    /// Why the last one was.
    pub recovery_reason: String,
    /// Selections of sources.
    pub selections: Selections,
    /// In the order of selection; the last one is open while the session goes on.
    pub sources: Vec<Arc<SourceWindow>>,
    /// Sources forgotten.
    pub sources_truncated: u64,
    /// In the order in which they came. Of a session that goes on only those who have gone.
    pub subscribers: Vec<SubscriberWindow>,
    /// Viewers forgotten.
    pub subscribers_truncated: u64,
    /// How much is remembered.
    pub limits: Limits,
}

impl SessionRecord {
    /// The source that is selected, or was when the session ended.
    #[must_use]
    pub fn source(&self) -> Option<&SourceWindow> {
        self.sources.last().map(Arc::as_ref)
    }
}
