//! The lines by which a session's life is told in the log. Texts and keys are those that existing scripts
//! look for; times are written as `1.5s`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::logfmt::Line;
use crate::base::{ChildExit, Instant};
use crate::session::history::{CloseReason, Outcome, SourceWindow};
use crate::source::cutover::Cutover;

/// With more viewers than this each one's coming and going is told to those who look for it only.
const VIEWERS_TOLD_MAX: u64 = 64;
/// Lines about the same thing are kept back for this long.
const QUIET_INTERVAL: Duration = Duration::from_secs(1);

/// The level at which one viewer's coming or going is told: a core that loses thousands at once has better
/// things to do than to write thousands of lines.
#[must_use]
pub(crate) const fn viewer_level(subscribers: u64) -> log::Level {
    if subscribers <= VIEWERS_TOLD_MAX { log::Level::Info } else { log::Level::Debug }
}

/// Keeps lines back that say the same as the last one.
#[derive(Clone, Debug)]
pub(crate) struct Coalesced<K> {
    last: Option<(K, Instant)>,
    suppressed: u64,
}

impl<K> Default for Coalesced<K> {
    fn default() -> Self {
        Self { last: None, suppressed: 0 }
    }
}

impl<K: PartialEq> Coalesced<K> {
    /// The number of lines kept back since the last one, when one about `what` is due.
    pub(crate) fn due(&mut self, now: Instant, what: K) -> Option<u64> {
        if self.last.as_ref().is_some_and(|(last, at)| *last == what && now - *at < QUIET_INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some((what, now));
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The session an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct About<'a> {
    /// Its number.
    pub(crate) session_id: u64,
    /// Its channel.
    pub(crate) channel_id: i64,
    /// The channel's guide number.
    pub(crate) guide_number: &'a str,
}

/// The viewer an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ViewerName {
    /// Its number.
    pub(crate) subscriber_id: u64,
    /// Its address.
    pub(crate) client_addr: SocketAddr,
}

impl About<'_> {
    /// A line about the session.
    pub(crate) fn line(&self, message: &str) -> Line {
        Line::new(message)
            .field("session_id", self.session_id)
            .field("channel_id", self.channel_id)
            .field("guide_number", self.guide_number)
    }

    fn of_viewer(&self, message: &str, viewer: ViewerName) -> Line {
        self.line(message)
            .field("subscriber_id", viewer.subscriber_id)
            .field("client_addr", viewer.client_addr)
    }
}

/// A tuner is free again.
pub(crate) fn tuner_released(tuner: u16, label: &str, held: Duration) -> Line {
    Line::new("tuner lease released")
        .field("tuner_id", tuner)
        .field("label", label)
        .field("duration", format!("{held:?}"))
}

/// Somebody needs the tuner of a session without viewers. `is_idle` is whether it has given way.
pub(crate) fn idle_client_preempted(about: About<'_>, tuner: u16, is_idle: bool) -> Line {
    let result = if is_idle { "preempted" } else { "not_idle" };
    about.line("tuner idle-client preempted").field("tuner_id", tuner).field("result", result)
}

/// A viewer needs the tuner of a probe, which gives way.
pub(crate) fn probe_preempted(tuner: u16) -> Line {
    Line::new("tuner probe preempted").field("tuner_id", tuner)
}

/// A viewer's request has made a session.
pub(crate) fn session_created(about: About<'_>) -> Line {
    about.line("shared session created")
}

/// A viewer's request has found one.
pub(crate) fn session_reused(about: About<'_>, subscribers: u64) -> Line {
    about.line("shared session reused").field("subscribers", subscribers)
}

/// The first source is selected.
pub(crate) fn session_ready(about: About<'_>, startup: Duration) -> Line {
    about.line("shared session ready").field("startup", format!("{startup:?}"))
}

/// A viewer belongs to a session.
pub(crate) fn subscriber_connected(about: About<'_>, viewer: ViewerName, subscribers: u64) -> Line {
    about.of_viewer("shared session subscriber connected", viewer).field("subscribers", subscribers)
}

/// It is the first one.
pub(crate) fn entered_active_subscribers(about: About<'_>) -> Line {
    about.line("shared session entered active_subscribers")
}

/// A viewer has gone.
pub(crate) fn subscriber_disconnected(
    about: About<'_>,
    viewer: ViewerName,
    reason: CloseReason,
    subscribers: u64,
    duration: Duration,
) -> Line {
    about
        .of_viewer("shared session subscriber disconnected", viewer)
        .field("close_reason", reason.as_str())
        .field("subscribers", subscribers)
        .field("duration", format!("{duration:?}"))
}

/// A session without viewers ends.
pub(crate) fn canceled_while_idle(about: About<'_>, reason: &str) -> Line {
    about.line("shared session canceled while idle").field("reason", reason)
}

/// A source is the session's from now on.
pub(crate) fn source_selected(about: About<'_>, window: &SourceWindow, same_source: u64) -> Line {
    let source = &window.source;
    about
        .line("shared session selected source")
        .field("source_id", source.id)
        .field("source_item_key", &source.item_key)
        .field("source_url", &source.url)
        .field("producer", source.producer())
        .field("reason", &window.reason)
        .unless_zero("same_source_reselect_count", same_source)
        .unless_empty(
            "source_startup_retry_reason",
            source.startup.relaxed_retry_reason().unwrap_or_default(),
        )
}

/// A source is selected over and over.
pub(crate) fn reselect_alert(
    about: About<'_>,
    window: &SourceWindow,
    same_source: u64,
    threshold: u64,
) -> Line {
    about
        .line("shared session reselect alert")
        .field("source_id", window.source.id)
        .field("same_source_reselect_count", same_source)
        .field("reselect_alert_threshold", threshold)
        .field("reason", &window.reason)
}

/// Most of what a start has read is shown to nobody.
pub(crate) fn startup_cutover(
    about: About<'_>,
    window: &SourceWindow,
    cutover: Cutover,
    suppressed: u64,
) -> Line {
    about
        .line("shared session startup cutover dropped most of the probe")
        .field("source_id", window.source.id)
        .field("startup_probe_raw_bytes", cutover.raw)
        .field("startup_probe_trimmed_bytes", cutover.trimmed)
        .field("startup_probe_cutover_offset", cutover.offset)
        .field("startup_probe_dropped_bytes", cutover.dropped)
        .field("startup_probe_cutover_percent", cutover.percent())
        .unless_zero("startup_probe_cutover_logs_coalesced", suppressed)
}

/// The selected source has ended, or failed for a reason.
pub(crate) fn source_lost(about: About<'_>, source_id: i64, reason: Option<&str>) -> Line {
    let message = if reason.is_some() { "shared session source lost" } else { "shared session source ended" };
    about.line(message).field("source_id", source_id).maybe("reason", reason)
}

/// The child that reads the selected source has ended. Its words are redacted.
pub(crate) fn child_ended(about: About<'_>, source_id: i64, exit: ChildExit, words: &str) -> Line {
    about
        .line("shared session ffmpeg ended")
        .field("source_id", source_id)
        .field("exit", exit)
        .unless_empty("stderr", words.trim_end())
}

/// A source could not be started. The address is redacted.
pub(crate) fn source_start_failed(about: About<'_>, source_id: i64, source_url: &str, reason: &str) -> Line {
    about
        .line("shared session source failed to start")
        .field("source_id", source_id)
        .field("source_url", source_url)
        .field("reason", reason)
}

/// A recovery begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecoveryTriggered<'a> {
    /// Which one of the session.
    pub(crate) cycle: u64,
    /// Why.
    pub(crate) reason: &'a str,
    /// The source that is lost.
    pub(crate) source_id: i64,
    /// `failover_source`, `restart_same` or `close_session`.
    pub(crate) stall_policy: &'a str,
    /// What is done instead of that, if something else is.
    pub(crate) effective_mode: Option<&'a str>,
    /// Why something else is done.
    pub(crate) fallback_reason: Option<&'a str>,
    /// Such lines about this source and reason that were kept back.
    pub(crate) coalesced: u64,
}

/// A recovery begins.
pub(crate) fn recovery_triggered(about: About<'_>, event: &RecoveryTriggered<'_>) -> Line {
    about
        .line("shared session recovery triggered")
        .field("recovery_cycle", event.cycle)
        .field("recovery_reason", event.reason)
        .field("source_id", event.source_id)
        .field("stall_policy", event.stall_policy)
        .maybe("effective_recovery_mode", event.effective_mode)
        .maybe("fallback_reason", event.fallback_reason)
        .unless_zero("recovery_trigger_logs_coalesced", event.coalesced)
}

/// The source is lost and nobody watches.
pub(crate) fn recovery_skipped(about: About<'_>, source_id: i64, reason: &str) -> Line {
    about
        .line("shared session skipped recovery while idle without subscribers")
        .field("source_id", source_id)
        .field("recovery_reason", reason)
}

/// Something fills the stream.
pub(crate) fn keepalive_started(about: About<'_>, cycle: u64, mode: &str) -> Line {
    about
        .line("shared session recovery keepalive started")
        .field("recovery_cycle", cycle)
        .field("recovery_keepalive_mode", mode)
}

/// It has to be something simpler.
pub(crate) fn keepalive_fallback(about: About<'_>, from: &str, to: &str, error: &str) -> Line {
    about
        .line("shared session recovery keepalive fallback")
        .field("from_mode", from)
        .field("to_mode", to)
        .field("error", error)
}

/// A source fills it again, or the session has ended.
pub(crate) fn keepalive_stopped(
    about: About<'_>,
    mode: &str,
    duration: Duration,
    bytes: u64,
    chunks: u64,
) -> Line {
    about
        .line("shared session recovery keepalive stopped")
        .field("recovery_keepalive_mode", mode)
        .field("duration", format!("{duration:?}"))
        .field("bytes", bytes)
        .field("chunks", chunks)
}

/// The stream is led from one kind of content to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Transition<'a> {
    /// `live_to_keepalive` or `keepalive_to_live`.
    pub(crate) transition: &'a str,
    /// What was signalled, comma-separated.
    pub(crate) signals_applied: &'a str,
    /// What could not be, comma-separated.
    pub(crate) signal_skips: &'a str,
    /// The clock went on.
    pub(crate) stitch_applied: bool,
}

/// The stream is led from one kind of content to another.
pub(crate) fn transition(about: About<'_>, event: &Transition<'_>) -> Line {
    about
        .line("shared session recovery transition")
        .field("transition", event.transition)
        .field("signals_applied", event.signals_applied)
        .unless_empty("signal_skips", event.signal_skips)
        .field("stitch_applied", event.stitch_applied)
}

/// Where a viewer that is too slow stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lag {
    /// What it would be sent next.
    pub(crate) position: u64,
    /// The oldest byte there is.
    pub(crate) tail: u64,
    /// The newest.
    pub(crate) head: u64,
    /// The bytes it misses.
    pub(crate) bytes: u64,
}

impl Lag {
    fn of(self, line: Line) -> Line {
        line.field("position", self.position)
            .field("oldest_position", self.tail)
            .field("newest_position", self.head)
            .field("lag_bytes", self.bytes)
    }
}

/// A viewer that was too slow goes on further ahead.
pub(crate) fn slow_skip(about: About<'_>, viewer: ViewerName, lag: Lag, coalesced: u64) -> Line {
    lag.of(about.of_viewer("stream subscriber skipped forward due to lag", viewer))
        .unless_zero("slow_skip_logs_coalesced", coalesced)
}

/// A viewer gets its first bytes.
pub(crate) fn stream_started(
    about: About<'_>,
    viewer: ViewerName,
    tuner: u16,
    producer: &str,
    subscribers: u64,
) -> Line {
    about
        .of_viewer("stream subscriber started", viewer)
        .field("tuner_id", tuner)
        .unless_empty("producer", producer)
        .field("subscribers", subscribers)
}

/// The level at which the end of a viewer's stream is told.
#[must_use]
pub(crate) const fn stream_ended_level(reason: CloseReason, subscribers: u64) -> log::Level {
    match reason {
        CloseReason::SessionClosed
        | CloseReason::HttpContextCanceled
        | CloseReason::CoreSaturated
        | CloseReason::Kicked => viewer_level(subscribers),
        CloseReason::SlowClientLagged | CloseReason::StreamWriteError => log::Level::Warn,
    }
}

/// A viewer's stream has ended. `blocked` is how long its socket had taken nothing.
pub(crate) fn stream_ended(
    about: About<'_>,
    viewer: ViewerName,
    reason: CloseReason,
    duration: Duration,
    blocked: Duration,
    lag: Lag,
) -> Line {
    let message = match reason {
        CloseReason::SessionClosed | CloseReason::Kicked => "stream subscriber ended",
        CloseReason::HttpContextCanceled => "stream subscriber canceled",
        CloseReason::SlowClientLagged => "stream subscriber disconnected due to lag",
        CloseReason::StreamWriteError => "stream subscriber ended with error",
        CloseReason::CoreSaturated => "stream subscriber ended because its core is saturated",
    };
    let line = about
        .of_viewer(message, viewer)
        .field("close_reason", reason.as_str())
        .field("duration", format!("{duration:?}"));
    match reason {
        CloseReason::SlowClientLagged => lag.of(line),
        CloseReason::StreamWriteError => line.field("blocked", format!("{blocked:?}")),
        CloseReason::SessionClosed
        | CloseReason::HttpContextCanceled
        | CloseReason::CoreSaturated
        | CloseReason::Kicked => line,
    }
}

/// A session is over, with the level it is told at.
pub(crate) fn session_stopped(about: About<'_>, outcome: &Outcome, duration: Duration) -> (log::Level, Line) {
    let (level, message) = match outcome {
        Outcome::Completed | Outcome::Canceled(_) => (log::Level::Info, "shared stream session stopped"),
        Outcome::Failed(_) => (log::Level::Warn, "shared stream session stopped with error"),
    };
    let line = about
        .line(message)
        .field("terminal_status", outcome.status())
        .maybe("error", outcome.error())
        .field("duration", format!("{duration:?}"));
    (level, line)
}

#[cfg(test)]
mod tests;
