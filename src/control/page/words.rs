//! What is said of channels, in plain words and from facts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::base::Instant;
use crate::engine::snapshot::{SessionPhase, SessionSnapshot};
use crate::session::history::{Outcome, SessionRecord, SourceWindow};
use crate::ts::StreamProfile;

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

/// Why a source failed. Reasons are kept as logs and the API have them, and those are for whoever looks for one word.
pub(super) fn failure(reason: &str) -> &str {
    if reason.starts_with("stream pump stall detected") {
        "it sent nothing that moves the picture"
    } else {
        reason.trim_end_matches('.')
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

/// What is known of one source from the sessions that have shown it.
#[derive(Clone, Default, Debug)]
pub(super) struct SourceFigures {
    shown: u32,
    /// Why it was left, and how often.
    left: BTreeMap<String, u32>,
    lasted: Duration,
    is_current: bool,
}

impl SourceFigures {
    /// How often it was left because it was bad.
    pub(super) fn losses(&self) -> u32 {
        self.left.values().sum()
    }

    /// How long it was shown at a time.
    pub(super) fn mean(&self) -> Duration {
        self.lasted / self.shown.max(1)
    }

    /// What is wrong with it; nothing when nothing is.
    pub(super) fn complaint(&self, name: &str) -> Option<String> {
        if self.left.is_empty() {
            return None;
        }
        let mut sentence = format!("{name} ");
        for (index, (why, times)) in self.left.iter().enumerate() {
            let joint = if index > 0 { ", and " } else { "" };
            let often = if *times > 1 { format!(" {times} times") } else { " once".to_owned() };
            write!(sentence, "{joint}{why}{often}").expect("a String takes everything");
        }
        write!(sentence, "; it lasted {} on average", long(self.mean())).expect("a String takes everything");
        Some(sentence + if self.is_current { ", and is shown again." } else { "." })
    }
}

/// What is known of sources, by their ids.
pub(super) type AllFigures = BTreeMap<i64, SourceFigures>;

/// Adds what a session knows of its sources.
pub(super) fn add_session(figures: &mut AllFigures, session: &SessionSnapshot, now: Instant) {
    let recovery = &session.recovery;
    add_windows(figures, &session.record, recovery.in_progress, &recovery.reason, now);
}

/// Adds what a session knew of its sources that has ended.
pub(super) fn add_closed(figures: &mut AllFigures, record: &SessionRecord, now: Instant) {
    let failed = record.ended.as_ref().is_some_and(|ended| matches!(ended.outcome, Outcome::Failed(_)));
    add_windows(figures, record, true, if failed { "source_error" } else { "" }, now);
}

fn add_windows(figures: &mut AllFigures, record: &SessionRecord, is_left: bool, last: &str, now: Instant) {
    let reasons = record.sources.iter().skip(1).map(|window| window.reason.as_str());
    let mut reasons = reasons.chain([last]);
    for window in &record.sources {
        let reason = reasons.next().unwrap_or_default();
        let source = figures.entry(window.source.id.0).or_default();
        source.shown += 1;
        source.lasted += window.deselected_at.unwrap_or(now) - window.selected_at;
        source.is_current = window.deselected_at.is_none() && !is_left;
        if !source.is_current && !reason.is_empty() {
            *source.left.entry(why_left(reason)).or_default() += 1;
        }
    }
}

/// Why a channel is bad, in one sentence for each of its sources, which `called` names; nothing when it is not.
pub(super) fn why_bad(
    session: &SessionSnapshot,
    now: Instant,
    called: impl Fn(i64) -> String,
) -> Vec<String> {
    let mut figures = AllFigures::new();
    add_session(&mut figures, session, now);
    figures.into_iter().filter_map(|(id, source)| source.complaint(&called(id))).collect()
}

/// So many bits in a second.
pub(super) fn rate(bits_per_second: u64) -> String {
    if bits_per_second == 0 {
        return "–".to_owned();
    }
    let tenths = bits_per_second / 100_000;
    format!("{}.{} Mbit/s", tenths / 10, tenths % 10)
}

/// What a stream is made of, in a few words.
pub(super) fn stream(profile: &StreamProfile) -> String {
    let mut words = Vec::new();
    if profile.height > 0 {
        let rate = profile.fps();
        let rate = if rate > 0.0 { format!("{}", (rate * 100.0).round() / 100.0) } else { String::new() };
        words.push(format!("{}p{rate}", profile.height));
    }
    let codecs = [&profile.video_codec, &profile.audio_codec];
    let codecs: Vec<_> = codecs.into_iter().flatten().map(|codec| spelled(codec.as_str())).collect();
    words.extend((!codecs.is_empty()).then(|| codecs.join(" · ")));
    words.join(" ")
}

/// A codec as its makers spell it.
fn spelled(codec: &str) -> &str {
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

/// What one bar of the timeline says of a source of this name.
pub(super) fn bar(name: &str, window: &SourceWindow, now: Instant) -> String {
    let lasted = window.deselected_at.unwrap_or(now) - window.selected_at;
    let ago = long(now - window.selected_at);
    let began = if window.reason == "initial_startup" {
        "at the start".to_owned()
    } else {
        format!("because the one before {}", why_left(&window.reason))
    };
    format!("{name}: shown for {}, from {ago} ago, {began}", long(lasted))
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
