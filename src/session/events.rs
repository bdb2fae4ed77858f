//! What the machine is told.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;
use crate::session::{ProviderScope, Release};

/// What happens when a source is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StallPolicy {
    /// Another source of the channel, else the same again.
    FailoverSource,
    /// The same source again.
    RestartSame,
    /// The session ends.
    CloseSession,
}

impl StallPolicy {
    /// Its word in settings and log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailoverSource => "failover_source",
            Self::RestartSame => "restart_same",
            Self::CloseSession => "close_session",
        }
    }
}

/// What the machine must know of the settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// One source may take this long to its first picture.
    pub startup_timeout: Duration,
    /// All sources together may take this long, at the start and in one recovery.
    pub failover_total_timeout: Duration,
    /// Sources tried after the first; 0 is all of them.
    pub failovers_max: u32,
    /// How long the source goes on after the last viewer has left; zero ends it at once.
    pub idle_timeout: Duration,
    /// Viewers at once, at most; 0 is any number.
    pub viewers_max: u32,
    /// How long a source may give nothing before it counts as stalled; zero is for ever.
    pub stall_detect: Duration,
    /// How long viewers may be without a source until the session ends.
    pub stall_hard_deadline: Duration,
    /// What happens when a source is lost.
    pub stall_policy: StallPolicy,
    /// Attempts on one source after the first, in one recovery.
    pub stall_retries_max: u32,
    /// A source must have run for this long for its failures to be forgiven, and for the end of one that a recovery
    /// has chosen to be held against it. Zero is no time at all.
    pub min_health: Duration,
    /// How long a provider that said 429 is left alone; zero is not at all.
    pub provider_cooldown: Duration,
    /// How long viewers wait at the start while all places at the providers of all sources are taken.
    pub place_wait: Duration,
    /// Viewers get something to play while a source is looked for.
    pub filler_enabled: bool,
}

/// A source that could be started now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its place in the channel's list of sources, at this moment.
    pub index: usize,
    /// Its row.
    pub id: SourceId,
    /// Whose limits it shares.
    pub provider: ProviderScope,
    /// It has an address.
    pub has_url: bool,
    /// It is left alone until then.
    pub cooling_until: Option<Instant>,
    /// The same as the database has it: what was learnt since does not count.
    pub persisted_cooling_until: Option<Instant>,
    /// How often it has failed in a row.
    pub fails: u32,
    /// When it last failed, in seconds since 1970.
    pub last_fail_at: u64,
    /// Its place by the operator's wish, 0 first.
    pub priority: u32,
    /// Its provider is left alone until then.
    pub provider_free_at: Option<Instant>,
    /// That is since all places at its provider are taken.
    pub is_full: bool,
    /// Somebody has given up a place there that cannot be had yet.
    pub is_place_given_up: bool,
    /// Its provider may count a connection that was given up.
    pub release: Option<Release>,
}

/// What the machine asks about its channel. Answers are those of the moment; the machine asks anew before each
/// attempt, so that a source that was disabled meanwhile is not started.
pub trait Sources {
    /// The enabled sources in the order in which they are to be tried. When they cannot be read: as they were last.
    fn candidates(&mut self) -> Vec<Candidate>;

    /// How long to wait before another stream is opened in the place of one that was closed or failed: as long as
    /// the provider may still count more streams than there are tuners.
    fn failover_settle(&mut self, now: Instant) -> Duration;
}

/// How the selected source was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// It has ended.
    Eof,
    /// It cannot go on.
    Error {
        /// The text to be stored.
        reason: String,
        /// The upstream's error status, when there was one.
        status: Option<u16>,
        /// How long the upstream asked to be left alone.
        retry_after: Option<Duration>,
    },
}

/// What can happen to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It has its tuner.
    TunerGranted,
    /// There is no tuner for it.
    TunerRefused,
    /// The source that is being started shows a picture.
    SourceReady,
    /// The source that is being started cannot be used.
    SourceFailed {
        /// It was reached, but gave no picture in time.
        silent: bool,
        /// Its server hung up without a word, or with none but a good answer's head.
        hung_up: bool,
        /// The text to be stored.
        reason: String,
        /// The upstream's error status, when there was one.
        status: Option<u16>,
        /// How long the upstream asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The source that was to be started has no place at its provider: another was quicker.
    NoPlace,
    /// The selected source is lost.
    SourceLost {
        /// How.
        cause: Lost,
    },
    /// The selected source gives nothing that moves the picture.
    Stalled {
        /// What is missing.
        what: &'static str,
    },
    /// A viewer has come.
    Joined,
    /// A viewer has gone.
    Left,
    /// The deadline of [`super::Machine::next_deadline`] has come.
    Deadline,
    /// Another channel needs the tuner.
    Preempted,
    /// The program is being stopped.
    Drain,
    /// This source is not offered any more.
    SourceWithdrawn {
        /// Which.
        id: SourceId,
        /// The word of the recovery.
        reason: &'static str,
    },
    /// The channel is not offered any more.
    ChannelWithdrawn {
        /// Why the session ends.
        reason: &'static str,
    },
}

/// Why a recovery that somebody asked for does not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TriggerError {
    /// Nothing is being watched.
    #[error("no session with viewers")]
    NotFound,
    /// The session is looking for a source already, or is about to begin.
    #[error("a recovery is pending already")]
    AlreadyPending,
}
