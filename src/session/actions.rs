//! What the machine wants done.

use std::time::Duration;

use crate::base::Instant;
use crate::lineup::SourceId;
use crate::session::ProviderScope;

/// Why a session's viewers get no picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// All tuners are in use.
    NoTuners,
    /// The channel has no enabled source.
    NoSources,
    /// Every source failed to start.
    SourcesFailed,
    /// Sources were reached, but no picture came in time.
    NoVideo,
    /// The program is being stopped.
    Draining,
    /// The channel is not offered any more.
    NotOffered,
}

impl Failure {
    /// True when the sources were tried and it is they that failed.
    #[must_use]
    pub const fn is_of_the_sources(self) -> bool {
        match self {
            Self::SourcesFailed | Self::NoVideo => true,
            Self::NoTuners | Self::NoSources | Self::Draining | Self::NotOffered => false,
        }
    }
}

/// What the engine is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask for a tuner.
    AskForTuner,
    /// Tell the pool whether the tuner may be taken away.
    TunerIdle(bool),
    /// Start a source.
    StartSource {
        /// Its place in the channel's list.
        index: usize,
        /// `initial_startup` or `recovery_cycle_<n>:<reason>`.
        selection_reason: String,
        /// The attempt may take this long.
        timeout: Duration,
        /// Viewers are watching: only a picture that decodes on its own is of use.
        in_recovery: bool,
    },
    /// Stop the source, started or starting.
    StopSource,
    /// Give viewers something to play from now on.
    StartFiller,
    /// Stop that.
    StopFiller {
        /// A source takes over.
        back_to_live: bool,
    },
    /// Let the waiting viewers in.
    Admit,
    /// Turn the waiting viewers away.
    Refuse(Failure),
    /// End the streams of all viewers now; what has been sent still arrives.
    EndViewers,
    /// Give the tuner back. Viewers who are left get the rest of the stream, then the session is forgotten.
    Finish,
    /// A source has failed.
    RecordFailure {
        /// Which.
        id: SourceId,
        /// Why.
        reason: String,
        /// It counts against the source's health. Otherwise it is only told.
        persist: bool,
    },
    /// The provider may count a connection that is closed: it is asked again at that time.
    AwaitRelease {
        /// Which.
        scope: ProviderScope,
        /// When.
        until: Instant,
    },
    /// A source has streamed well for long enough.
    RecordSuccess {
        /// Which.
        id: SourceId,
    },
    /// A provider said 429: it is left alone.
    ArmProvider {
        /// Which.
        scope: ProviderScope,
        /// For how long it asked to be.
        retry_after: Option<Duration>,
    },
    /// A provider's source has started: the provider is no longer left alone.
    ClearProvider {
        /// Which.
        scope: ProviderScope,
        /// When the attempt was begun: what was learnt since then stays.
        since: Instant,
    },
    /// Something to be logged.
    Note(Notice),
}

/// What is to be logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A recovery begins.
    RecoveryTriggered {
        /// The source that is lost.
        source: SourceId,
        /// Why.
        reason: String,
        /// What was missing, for a stall.
        what: Option<&'static str>,
        /// Which recovery of the session it is, from 1.
        cycle: u32,
        /// Triggers since the last line that were not logged.
        coalesced: u64,
    },
    /// The source was lost while nobody watched: nothing is recovered.
    IdleSkip {
        /// The source.
        source: SourceId,
        /// How it was lost.
        reason: String,
    },
    /// The session ends because nobody watches.
    CanceledWhileIdle {
        /// `no_subscribers_before_ready`, `idle_timeout_disabled`, `idle_timeout` or `idle_preempted`.
        reason: &'static str,
    },
    /// No other source can be tried: the same one is.
    SameSourceFallback {
        /// The source.
        source: SourceId,
        /// Other sources with an address.
        alternates: usize,
        /// Of these, those that are left alone.
        alternates_cooling: usize,
    },
    /// The other source did not start; the search goes on with all of them.
    AlternateFailed {
        /// The source.
        source: SourceId,
        /// Attempts on it.
        attempts: u32,
        /// The last error.
        reason: String,
    },
    /// A source is passed over for a while.
    Penalized {
        /// The source.
        source: SourceId,
        /// `startup_passed_unstable_<reason>` or `alternate_startup_failed_<reason>`.
        reason: String,
        /// How often in a row.
        count: u32,
        /// For how long.
        cooldown: Duration,
    },
}
