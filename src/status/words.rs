//! The words that pages and the terminal have for what the status document says in codes.

use std::time::Duration;

use crate::engine::RecoveryKind;
use crate::engine::snapshot::{SessionPhase, SessionSnapshot};

/// What a session does, in one word.
#[must_use]
pub const fn activity(session: &SessionSnapshot) -> &'static str {
    match session.phase {
        SessionPhase::Starting => "starting",
        SessionPhase::Live if session.recovery.in_progress => "recovering",
        SessionPhase::Live => "playing",
        SessionPhase::Idle => "idle",
        SessionPhase::Ending => "ending",
    }
}

/// How a channel is, by its mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Viewers see a source.
    Playing,
    /// A picture is waited for.
    Starting,
    /// Another source is looked for.
    Recovering,
    /// Nobody watches, or it ends.
    Idle,
}

impl Mark {
    /// That of a session.
    #[must_use]
    pub const fn of(session: &SessionSnapshot) -> Self {
        match session.phase {
            SessionPhase::Starting => Self::Starting,
            SessionPhase::Live if session.recovery.in_progress => Self::Recovering,
            SessionPhase::Live => Self::Playing,
            SessionPhase::Idle | SessionPhase::Ending => Self::Idle,
        }
    }

    /// The sign, which stands beside words: state is never colour alone.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Playing => "●",
            Self::Starting => "◐",
            Self::Recovering => "▲",
            Self::Idle => "○",
        }
    }

    /// The name of its colour.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Playing => "ok",
            Self::Starting => "new",
            Self::Recovering => "wait",
            Self::Idle => "quiet",
        }
    }
}

/// How long something is, as people say it.
#[must_use]
pub fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes, seconds) {
        (0, 0, 0..10) => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (0..48, minutes, _) => format!("{hours} h {} min", minutes % 60),
        (hours, ..) => format!("{} days", hours / 24),
    }
}

/// So many of something.
#[must_use]
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Why a source was left, from the reason of the selection that followed.
#[must_use]
pub fn why_left(selection_reason: &str) -> String {
    let reason = selection_reason.split_once(':').map_or(selection_reason, |(_, reason)| reason);
    match reason {
        "stall" => "sent nothing that moves the picture".to_owned(),
        "source_eof" => "ended".to_owned(),
        "source_error" => "failed".to_owned(),
        code if code.strip_prefix("upstream_").is_some_and(|code| code.parse::<u16>().is_ok()) => {
            format!("answered {}", code.trim_start_matches("upstream_"))
        }
        other => format!("was left because somebody wanted it ({other})"),
    }
}

/// Whether a source was left because somebody wanted it, from the reason of the selection that followed: that says nothing against it.
#[must_use]
pub fn is_by_hand(selection_reason: &str) -> bool {
    let reason = selection_reason.split_once(':').map_or(selection_reason, |(_, reason)| reason);
    match RecoveryKind::of(reason) {
        RecoveryKind::Manual => reason != "initial_startup",
        RecoveryKind::Stall
        | RecoveryKind::SourceEof
        | RecoveryKind::Upstream
        | RecoveryKind::SourceError => false,
    }
}

/// Why a source failed. Reasons are kept as logs and the API have them, and those are for whoever looks for one word.
#[must_use]
pub fn failure(reason: &str) -> &str {
    if reason.starts_with("stream pump stall detected") {
        "it sent nothing that moves the picture"
    } else {
        reason.trim_end_matches('.')
    }
}

/// A codec as its makers spell it.
#[must_use]
pub fn spelled(codec: &str) -> &str {
    match codec {
        "h264" => "H.264",
        "hevc" => "HEVC",
        "mpeg2video" => "MPEG-2",
        "av1" => "AV1",
        "aac" => "AAC",
        "ac3" => "AC-3",
        "eac3" => "E-AC-3",
        "ac4" => "AC-4",
        "mp2" => "MP2",
        "mp3" => "MP3",
        "opus" => "Opus",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        for (millis, said) in [
            (2_100, "2.1 s"),
            (12_000, "12 s"),
            (61_000, "1 min"),
            (11_520_000, "3 h 12 min"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(long(Duration::from_millis(millis)), said);
        }
    }

    #[test]
    fn reasons_are_said_in_words() {
        for (reason, said) in [
            ("recovery_cycle_3:stall", "sent nothing that moves the picture"),
            ("source_eof", "ended"),
            ("upstream_404", "answered 404"),
            ("recovery_cycle_1:operator_click", "was left because somebody wanted it (operator_click)"),
        ] {
            assert_eq!(why_left(reason), said);
        }
        assert_eq!(
            (count(1, "viewer", "viewers"), count(0, "viewer", "viewers")),
            ("1 viewer".to_owned(), "0 viewers".to_owned())
        );
    }
}
