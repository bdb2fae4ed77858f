//! A session as it lives on a core: its machine, its ring, its source and those who watch.

use std::sync::Arc;

use crate::base::Instant;
use crate::base::limits::ENTRY_POINTS_MAX;
use crate::ring::{EntryIndex, Ring};
use crate::session::history::{Ended, History, Limits, WriteCounters};
use crate::session::{self, Failure, Machine};
use crate::source::cutover::CutoverWarning;
use crate::ts::Snapshot;
use crate::tuner::Channel;

use super::client::ClientKey;
use super::events::{About, Coalesced};
use super::port::SessionId;
use super::snapshot::{HealthPersistSnapshot, RecoverySnapshot};
use super::upstream::SourceRun;

/// One session.
pub(crate) struct LiveSession {
    pub(crate) id: SessionId,
    pub(crate) channel: Arc<Channel>,
    pub(crate) machine: Machine,
    pub(crate) tuner: Option<u16>,
    pub(crate) ring: Ring,
    pub(crate) entries: EntryIndex<Snapshot>,
    pub(crate) source: Option<SourceRun>,
    pub(crate) runs: u32,

    /// Clients that wait for the first picture.
    pub(crate) waiting: Vec<ClientKey>,
    /// Viewers that have been sent everything up to the mark. Some may have left since.
    pub(crate) caught_up: Vec<ClientKey>,
    /// Viewers are sent what lies before this position; it follows the head in steps.
    pub(crate) mark: u64,
    /// When the first byte behind the mark was committed.
    pub(crate) unmarked_since: Option<Instant>,
    /// The earliest timer that is set for this session.
    pub(crate) armed: Option<Instant>,

    /// The session is over and without a tuner, and viewers get the rest of its stream until then.
    pub(crate) lingers_until: Option<Instant>,

    pub(crate) started_at: Instant,
    /// The sources and viewers it had.
    pub(crate) history: History,
    /// Why those who waited for the first picture were turned away.
    pub(crate) failure: Option<Failure>,
    /// How it ended; viewers may still get the rest of its stream.
    pub(crate) ended: Option<Ended>,
    /// What went wrong with the last source; redacted.
    pub(crate) error: Option<String>,
    pub(crate) recovery: RecoverySnapshot,
    pub(crate) health_persist: HealthPersistSnapshot,
    pub(crate) cutover_warning: CutoverWarning,
    pub(crate) skip_log: Coalesced<()>,
    pub(crate) stats: SessionStats,
}

/// What a session has counted.
#[derive(Default)]
pub(crate) struct SessionStats {
    pub(crate) viewers_now: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_pushed: u64,
    pub(crate) bytes_pushed_at_select: u64,
    pub(crate) chunks_pushed: u64,
    pub(crate) last_byte_at: Option<Instant>,
    pub(crate) last_push_at: Option<Instant>,
    pub(crate) writes: WriteCounters,
    pub(crate) writer_pauses: u64,
}

impl LiveSession {
    /// A session for a channel; what is to be done first comes with it.
    pub(crate) fn new(
        id: SessionId,
        channel: Arc<Channel>,
        params: session::Params,
        limits: Limits,
        ring: Ring,
        now: Instant,
    ) -> (Self, Vec<session::Action>) {
        let (machine, actions) = Machine::new(params, channel.sources.len());
        let session = Self {
            id,
            channel,
            machine,
            tuner: None,
            ring,
            entries: EntryIndex::new(ENTRY_POINTS_MAX),
            source: None,
            runs: 0,
            waiting: Vec::new(),
            caught_up: Vec::new(),
            mark: 0,
            unmarked_since: None,
            armed: None,
            lingers_until: None,
            started_at: now,
            history: History::new(limits),
            failure: None,
            ended: None,
            error: None,
            recovery: RecoverySnapshot::default(),
            health_persist: HealthPersistSnapshot::default(),
            cutover_warning: CutoverWarning::default(),
            skip_log: Coalesced::default(),
            stats: SessionStats::default(),
        };
        (session, actions)
    }

    /// Its name in log lines.
    pub(crate) fn about(&self) -> About<'_> {
        About {
            session_id: self.id.0,
            channel_id: self.channel.id.0,
            guide_number: &self.channel.guide_number,
        }
    }

    /// Bytes have been committed: true when viewers are to be sent to now, otherwise a timer may be needed.
    pub(crate) fn mark_committed(&mut self, now: Instant, egress_bytes: u64) -> bool {
        let unmarked = self.ring.head() - self.mark;
        if unmarked >= egress_bytes {
            self.advance_mark();
            return true;
        }
        if unmarked > 0 && self.unmarked_since.is_none() {
            self.unmarked_since = Some(now);
        }
        false
    }

    /// Lets viewers have everything that is there.
    pub(crate) fn advance_mark(&mut self) {
        self.mark = self.ring.head();
        self.unmarked_since = None;
    }
}
