//! What a core has counted since the start, for metrics: it never shrinks, whoever leaves and whatever is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Histogram;
use crate::http::StreamError;
use crate::session::history::CloseReason;

/// Chunks that a viewer missed when it was moved forward.
const SKIPPED_CHUNKS: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
/// Bytes that it missed: 1 KiB to 32 MiB.
const SKIPPED_BYTES: [f64; 16] = [
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16_384.0,
    32_768.0,
    65_536.0,
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
    33_554_432.0,
];
/// Seconds that a send waited for room.
const BLOCKED_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// Seconds until something is there.
const SECONDS: [f64; 11] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
/// Seconds of one turn.
const TURN_SECONDS: [f64; 9] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25];
/// Bytes that one send took.
const SENT_BYTES: [f64; 7] = [4096.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0, 262_144.0, 1_048_576.0];

/// Why a recovery was begun, without what only one of them has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RecoveryKind {
    /// The source sent nothing that moves the picture.
    Stall,
    /// It ended.
    SourceEof,
    /// Its server answered with an error.
    Upstream,
    /// It failed otherwise.
    SourceError,
    /// Somebody wanted it.
    Manual,
}

impl RecoveryKind {
    /// Of the reason that the status shows.
    #[must_use]
    pub(crate) fn of(reason: &str) -> Self {
        match reason {
            "stall" => Self::Stall,
            "source_eof" => Self::SourceEof,
            "source_error" => Self::SourceError,
            code if code.strip_prefix("upstream_").is_some_and(|code| code.parse::<u16>().is_ok()) => {
                Self::Upstream
            }
            _of_somebody => Self::Manual,
        }
    }

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::SourceEof => "source_eof",
            Self::Upstream => "upstream",
            Self::SourceError => "source_error",
            Self::Manual => "manual",
        }
    }
}

/// What a core has counted.
#[derive(Clone, PartialEq, Debug)]
pub struct Tallies {
    joins: u64,
    ends: BTreeMap<&'static str, u64>,
    refusals: BTreeMap<&'static str, u64>,
    skipped_chunks: Histogram<13>,
    skipped_bytes: Histogram<16>,
    deadline_timeouts: u64,
    short_writes: u64,
    blocked: Histogram<16>,
    first_bytes: Histogram<11>,
    sent_bytes: Histogram<7>,
    turns: Histogram<9>,
    recoveries: BTreeMap<RecoveryKind, u64>,
    recovered: Histogram<11>,
    source_failures: u64,
    selections: u64,
}

impl Default for Tallies {
    fn default() -> Self {
        Self {
            joins: 0,
            ends: BTreeMap::new(),
            refusals: BTreeMap::new(),
            skipped_chunks: Histogram::new(&SKIPPED_CHUNKS),
            skipped_bytes: Histogram::new(&SKIPPED_BYTES),
            deadline_timeouts: 0,
            short_writes: 0,
            blocked: Histogram::new(&BLOCKED_SECONDS),
            first_bytes: Histogram::new(&SECONDS),
            sent_bytes: Histogram::new(&SENT_BYTES),
            turns: Histogram::new(&TURN_SECONDS),
            recoveries: BTreeMap::new(),
            recovered: Histogram::new(&SECONDS),
            source_failures: 0,
            selections: 0,
        }
    }
}

/// How the core counts.
impl Tallies {
    pub(crate) const fn joined(&mut self) {
        self.joins += 1;
    }

    pub(crate) fn ended(&mut self, reason: CloseReason) {
        *self.ends.entry(reason.as_str()).or_default() += 1;
    }

    pub(crate) fn refused(&mut self, error: StreamError) {
        *self.refusals.entry(error.reason()).or_default() += 1;
    }

    /// A viewer was moved forward.
    pub(crate) fn skipped(&mut self, bytes: u64, chunk_bytes: u64) {
        self.skipped_bytes.observe(float(bytes));
        self.skipped_chunks.observe(float(bytes.div_ceil(chunk_bytes.max(1))));
    }

    pub(crate) const fn timed_out(&mut self) {
        self.deadline_timeouts += 1;
    }

    /// A socket has taken a part of what it was offered.
    pub(crate) const fn took_a_part(&mut self) {
        self.short_writes += 1;
    }

    /// A socket has taken so many bytes, after so long.
    pub(crate) fn sent(&mut self, bytes: u32, blocked: Duration) {
        self.sent_bytes.observe(bytes.into());
        if blocked >= Duration::from_micros(1) {
            self.blocked.observe(blocked.as_secs_f64());
        }
    }

    /// A viewer has got its first bytes.
    pub(crate) fn began(&mut self, waited: Duration) {
        self.first_bytes.observe(waited.as_secs_f64());
    }

    pub(crate) fn turned(&mut self, worked: Duration) {
        self.turns.observe(worked.as_secs_f64());
    }

    pub(crate) fn recovery_began(&mut self, kind: RecoveryKind) {
        *self.recoveries.entry(kind).or_default() += 1;
    }

    /// A source shows a picture again.
    pub(crate) fn recovered(&mut self, took: Duration) {
        self.recovered.observe(took.as_secs_f64());
    }

    pub(crate) const fn source_failed(&mut self) {
        self.source_failures += 1;
    }

    pub(crate) const fn selected(&mut self) {
        self.selections += 1;
    }
}

/// What it has counted.
impl Tallies {
    /// What another core has counted comes to it.
    pub fn add(&mut self, other: &Self) {
        let gather = |into: &mut BTreeMap<&'static str, u64>, from: &BTreeMap<&'static str, u64>| {
            for (reason, count) in from {
                *into.entry(reason).or_default() += count;
            }
        };
        self.joins += other.joins;
        gather(&mut self.ends, &other.ends);
        gather(&mut self.refusals, &other.refusals);
        self.skipped_chunks.add(&other.skipped_chunks);
        self.skipped_bytes.add(&other.skipped_bytes);
        self.deadline_timeouts += other.deadline_timeouts;
        self.short_writes += other.short_writes;
        self.blocked.add(&other.blocked);
        self.first_bytes.add(&other.first_bytes);
        self.sent_bytes.add(&other.sent_bytes);
        self.turns.add(&other.turns);
        for (kind, count) in &other.recoveries {
            *self.recoveries.entry(*kind).or_default() += count;
        }
        self.recovered.add(&other.recovered);
        self.source_failures += other.source_failures;
        self.selections += other.selections;
    }

    /// Viewers who were let in to wait for a picture.
    #[must_use]
    pub const fn joins(&self) -> u64 {
        self.joins
    }

    /// Viewers whose stream has ended, by the reason.
    #[must_use]
    pub const fn ends(&self) -> &BTreeMap<&'static str, u64> {
        &self.ends
    }

    /// Requests for a stream that were refused, by the reason.
    #[must_use]
    pub const fn refusals(&self) -> &BTreeMap<&'static str, u64> {
        &self.refusals
    }

    /// Chunks that viewers missed who were moved forward.
    #[must_use]
    pub const fn skipped_chunks(&self) -> &Histogram<13> {
        &self.skipped_chunks
    }

    /// Bytes that they missed.
    #[must_use]
    pub const fn skipped_bytes(&self) -> &Histogram<16> {
        &self.skipped_bytes
    }

    /// Viewers ended because their socket took nothing for too long.
    #[must_use]
    pub const fn deadline_timeouts(&self) -> u64 {
        self.deadline_timeouts
    }

    /// Sends of which the socket took a part only.
    #[must_use]
    pub const fn short_writes(&self) -> u64 {
        self.short_writes
    }

    /// How long sends waited for room, in seconds.
    #[must_use]
    pub const fn blocked(&self) -> &Histogram<16> {
        &self.blocked
    }

    /// How long viewers waited for their first bytes, in seconds.
    #[must_use]
    pub const fn first_bytes(&self) -> &Histogram<11> {
        &self.first_bytes
    }

    /// How many bytes sockets took at once.
    #[must_use]
    pub const fn sent_bytes(&self) -> &Histogram<7> {
        &self.sent_bytes
    }

    /// How long turns of the loop worked, in seconds.
    #[must_use]
    pub const fn turns(&self) -> &Histogram<9> {
        &self.turns
    }

    /// Recoveries begun, by the kind of reason.
    #[must_use]
    pub const fn recoveries(&self) -> &BTreeMap<RecoveryKind, u64> {
        &self.recoveries
    }

    /// How long it took until a source showed a picture again, in seconds.
    #[must_use]
    pub const fn recovery_seconds(&self) -> &Histogram<11> {
        &self.recovered
    }

    /// Sources that could not be started, or failed, and were written down for it.
    #[must_use]
    pub const fn source_failures(&self) -> u64 {
        self.source_failures
    }

    /// Sources that were selected.
    #[must_use]
    pub const fn selections(&self) -> u64 {
        self.selections
    }
}

#[expect(clippy::cast_precision_loss, reason = "an exact count of so many bytes is nobody's need")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_recoveries_are_few_whatever_people_call_theirs() {
        for (reason, kind) in [
            ("stall", "stall"),
            ("source_eof", "source_eof"),
            ("source_error", "source_error"),
            ("upstream_404", "upstream"),
            ("upstream_of_my_own", "manual"),
            ("ui_manual_trigger", "manual"),
            ("", "manual"),
        ] {
            assert_eq!(RecoveryKind::of(reason).as_str(), kind, "{reason}");
        }
    }

    #[test]
    fn what_cores_have_counted_is_added_up() {
        let mut one = Tallies::default();
        one.joined();
        one.refused(StreamError::NoTuners);
        one.ended(CloseReason::SessionClosed);
        one.skipped(150, 30);
        let mut all = one.clone();
        all.add(&one);
        assert_eq!((all.joins(), all.refusals()["no_tuners"], all.ends()["session_closed"]), (2, 2, 2));
        assert_eq!((all.skipped_chunks().sum(), all.skipped_bytes().sum()), (10.0, 300.0));
        assert_eq!(all.skipped_bytes().count(), 2);
    }

    #[test]
    fn a_wait_shorter_than_a_microsecond_is_none() {
        let mut tallies = Tallies::default();
        tallies.sent(4096, Duration::from_nanos(999));
        assert_eq!((tallies.blocked().count(), tallies.sent_bytes().count()), (0, 1));
        tallies.sent(4096, Duration::from_micros(1));
        assert_eq!((tallies.blocked().count(), tallies.sent_bytes().count()), (1, 2));
    }
}
