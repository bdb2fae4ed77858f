//! Refused tunes in the log: each has its line, and what happens all the time is told once a minute by its number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Instant;
use crate::base::logfmt::Line;
use crate::http::StreamError;

/// Lines about one reason in one minute, on all cores together.
const LINES_PER_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// The longest guide number that is shown.
const NUMBER_CHARS_MAX: usize = 64;

/// What was told about one reason since its minute began.
#[derive(Clone, Copy, Debug)]
struct Told {
    since: Instant,
    lines: u32,
    kept_back: u64,
}

/// What one core tells of refused tunes. There are not more reasons than [`StreamError`] has.
#[derive(Debug)]
pub(crate) struct RefusalLog {
    lines_max: u32,
    told: BTreeMap<&'static str, Told>,
}

impl RefusalLog {
    /// Of one of so many cores.
    pub(crate) fn new(cores: u8) -> Self {
        let lines_max = (LINES_PER_MINUTE / u32::from(cores.max(1))).max(1);
        Self { lines_max, told: BTreeMap::new() }
    }

    /// A tune is refused. True when that is to have a line.
    pub(crate) fn is_due(&mut self, now: Instant, error: StreamError) -> bool {
        let begun = Told { since: now, lines: 0, kept_back: 0 };
        let told = self.told.entry(error.reason()).or_insert(begun);
        let has_room = told.lines < self.lines_max;
        told.lines += u32::from(has_room);
        told.kept_back += u64::from(!has_room);
        has_room
    }

    /// What was kept back in minutes that are over.
    pub(crate) fn digest(&mut self, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        self.told.retain(|reason, told| {
            let is_over = now - told.since >= MINUTE;
            if is_over && told.kept_back > 0 {
                let line = Line::new("stream tunes rejected");
                lines.push(line.field("reason", reason).field("count", told.kept_back));
            }
            !is_over
        });
        lines
    }
}

/// A tune is refused.
pub(crate) fn tune_rejected(guide_number: Option<&str>, client: SocketAddr, error: StreamError) -> Line {
    let is_shown = |number: &&str| is_of_a_channel(error) || is_number(number);
    let number = guide_number.filter(is_shown);
    let number = number.map(|number| number.chars().take(NUMBER_CHARS_MAX).collect::<String>());
    Line::new("stream tune rejected")
        .field("reason", error.reason())
        .maybe("guide_number", number)
        .field("client_addr", client)
        .field("status", error.status())
        .field("error", error)
        .field("hint", error.hint())
}

/// Whether a channel had been found when the tune was refused.
const fn is_of_a_channel(error: StreamError) -> bool {
    match error {
        StreamError::GuideNumberMissing
        | StreamError::ChannelNotFound
        | StreamError::TunerNotFound
        | StreamError::NotAllowed
        | StreamError::MethodNotAllowed => false,
        StreamError::TuneBackoff { .. }
        | StreamError::NoTuners
        | StreamError::MaxSubscribers
        | StreamError::ViewerLimit
        | StreamError::AddressLimit
        | StreamError::NoSources
        | StreamError::TuneFailed
        | StreamError::NoVideo
        | StreamError::SourceLoop
        | StreamError::RequestLoop
        | StreamError::RingMemory
        | StreamError::Saturated
        | StreamError::NoSegment
        | StreamError::SentAway
        | StreamError::Draining => true,
    }
}

/// What is no channel's may be anything, a password in the wrong place too: it is shown if it looks like a guide number.
fn is_number(text: &str) -> bool {
    text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Instant {
        Instant::from_millis(second * 1000)
    }

    #[test]
    fn ten_of_a_reason_are_told_in_a_minute_and_then_how_many_more_there_were() {
        let mut log = RefusalLog::new(1);
        let told = (0..25).filter(|second| log.is_due(at(*second), StreamError::NoTuners)).count();
        assert_eq!(told, 10);
        assert!(log.is_due(at(30), StreamError::NoSources), "another reason has its own ten");
        assert_eq!(log.digest(at(59)), []);
        let digest: Vec<_> = log.digest(at(60)).iter().map(ToString::to_string).collect();
        assert_eq!(digest, ["msg=\"stream tunes rejected\" reason=no_tuners count=15"]);
        assert_eq!(log.digest(at(60)), []);
        assert_eq!(log.digest(at(95)), [], "nothing of the other was kept back");
        assert!(log.is_due(at(96), StreamError::NoTuners), "a new minute");
    }

    #[test]
    fn cores_share_the_lines_and_each_has_one() {
        for (cores, expected) in [(1, 10), (2, 5), (3, 3), (64, 1)] {
            let mut log = RefusalLog::new(cores);
            let told = (0..20).filter(|_| log.is_due(at(0), StreamError::NoTuners)).count();
            assert_eq!(told, expected, "{cores}");
        }
    }

    #[test]
    fn a_line_says_who_wanted_what_why_not_and_what_would_help() {
        let client = SocketAddr::from(([192, 0, 2, 7], 4000));
        assert_eq!(
            tune_rejected(Some("101"), client, StreamError::NoTuners).to_string(),
            "msg=\"stream tune rejected\" reason=no_tuners guide_number=101 client_addr=192.0.2.7:4000 \
             status=503 error=\"all tuners busy\" hint=\"raise TUNER_COUNT only if the provider allows more streams\""
        );
        let long = "7".repeat(5000);
        let line = tune_rejected(Some(&long), client, StreamError::NoTuners).to_string();
        assert!(line.len() < 400, "{line}");
        for (asked, is_shown) in [("999", true), ("5.1", true), ("hunter2", false), (long.as_str(), false)] {
            let line = tune_rejected(Some(asked), client, StreamError::ChannelNotFound).to_string();
            assert_eq!(line.contains("guide_number"), is_shown, "{line}");
        }
        assert!(!tune_rejected(None, client, StreamError::ViewerLimit).to_string().contains("guide_number"));
    }
}
