//! What is said of channels, in plain words and from facts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::base::Instant;
use crate::engine::snapshot::{SessionPhase, SessionSnapshot};
use crate::session::history::SourceWindow;

/// How a channel is, by its mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    Playing,
    Starting,
    Recovering,
    Idle,
}

impl Mark {
    pub(super) const fn of(session: &SessionSnapshot) -> Self {
        match session.phase {
            SessionPhase::Starting => Self::Starting,
            SessionPhase::Live if session.recovery.in_progress => Self::Recovering,
            SessionPhase::Live => Self::Playing,
            SessionPhase::Idle | SessionPhase::Ending => Self::Idle,
        }
    }

    /// The sign, which stands beside words: state is never colour alone.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Playing => "●",
            Self::Starting => "◐",
            Self::Recovering => "▲",
            Self::Idle => "○",
        }
    }

    /// The name of its colour.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Playing => "ok",
            Self::Starting => "new",
            Self::Recovering => "wait",
            Self::Idle => "quiet",
        }
    }
}

/// How long something is, as people say it.
pub(super) fn long(time: Duration) -> String {
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
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Why a source was left, from the reason of the selection that followed.
pub(super) fn why_left(selection_reason: &str) -> String {
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

/// The state of a channel, in a few words.
pub(super) fn state(session: &SessionSnapshot, now: Instant) -> String {
    let record = &session.record;
    let source = record.sources.last();
    match Mark::of(session) {
        Mark::Starting => format!("waiting for a picture ({})", long(now - record.opened_at)),
        Mark::Playing => {
            let since = source.map_or(record.opened_at, |window| window.selected_at);
            format!("playing {}", long(now - since))
        }
        Mark::Recovering => {
            let keepalive = session.recovery.keepalive.as_ref();
            let shows = keepalive.filter(|report| report.mode.is_some());
            let since = shows.map(|report| long(now - report.started_at));
            let left = why_left(&session.recovery.reason);
            match since {
                Some(since) => format!("the source {left}; viewers see the slate since {since}"),
                None => format!("the source {left}; another one is tried"),
            }
        }
        Mark::Idle => "nobody watches; closes soon".to_owned(),
    }
}

/// What is known of one source in this session.
#[derive(Default)]
struct SourceFigures {
    shown: u32,
    /// Why it was left, and how often.
    left: BTreeMap<String, u32>,
    lasted: Duration,
    is_current: bool,
}

/// Why a channel is bad, in one sentence for each of its sources; nothing when it is not.
pub(super) fn why_bad(session: &SessionSnapshot, now: Instant) -> Vec<String> {
    let sources = &session.record.sources;
    let mut figures: BTreeMap<i64, SourceFigures> = BTreeMap::new();
    let reasons = sources.iter().skip(1).map(|window| window.reason.as_str());
    let mut reasons = reasons.chain([session.recovery.reason.as_str()]);
    for window in sources {
        let reason = reasons.next().unwrap_or_default();
        let source = figures.entry(window.source.id.0).or_default();
        source.shown += 1;
        source.lasted += window.deselected_at.unwrap_or(now) - window.selected_at;
        let is_open = window.deselected_at.is_none();
        source.is_current = is_open && !session.recovery.in_progress;
        if !source.is_current && !reason.is_empty() {
            *source.left.entry(why_left(reason)).or_default() += 1;
        }
    }
    let bad = figures.into_iter().filter(|(_, source)| !source.left.is_empty());
    bad.map(|(id, source)| {
        let mut sentence = format!("Source {id} ");
        for (index, (why, times)) in source.left.iter().enumerate() {
            let joint = if index > 0 { ", and " } else { "" };
            let often = if *times > 1 { format!(" {times} times") } else { " once".to_owned() };
            write!(sentence, "{joint}{why}{often}").expect("a String takes everything");
        }
        let mean = source.lasted / source.shown.max(1);
        write!(sentence, "; it lasted {} on average", long(mean)).expect("a String takes everything");
        sentence + if source.is_current { ", and is shown again." } else { "." }
    })
    .collect()
}

/// What one bar of the timeline says.
pub(super) fn bar(window: &SourceWindow, now: Instant) -> String {
    let lasted = window.deselected_at.unwrap_or(now) - window.selected_at;
    let ago = long(now - window.selected_at);
    let began = if window.reason == "initial_startup" {
        "at the start".to_owned()
    } else {
        format!("because the one before {}", why_left(&window.reason))
    };
    format!("Source {}: shown for {}, from {ago} ago, {began}", window.source.id, long(lasted))
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
