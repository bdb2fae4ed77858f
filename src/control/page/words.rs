//! What is said of channels, in plain words and from facts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::base::Instant;
use crate::engine::snapshot::{ContinuityErrors, DatagramCounters, SessionSnapshot};
use crate::session::history::{Outcome, SessionRecord, SourceWindow};
use crate::status::words::spelled;
use crate::store::{ChannelRecord, SourceRecord};
use crate::ts::StreamProfile;

pub(super) use crate::status::words::{Mark, count, failure, is_by_hand, long, why_left};

/// What a source is called: by its place among those of its channel, as people count, or, when it is gone, by what was known of it
/// when it was shown.
pub(super) fn called<'a>(
    channel: Option<&ChannelRecord>,
    records: impl IntoIterator<Item = &'a SessionRecord>,
    source: i64,
) -> String {
    let sources = channel.map_or(&[][..], |channel| &channel.sources);
    if let Some(place) = sources.iter().position(|listed| listed.source_id == source) {
        return format!("Source {}", place + 1);
    }
    let windows = records.into_iter().flat_map(|record| &record.sources);
    let known = windows.filter(|window| window.source.id.0 == source).last();
    let (title, playlist) = known
        .map_or(("", ""), |window| (window.source.name.title.as_str(), window.source.name.playlist.as_str()));
    match (title, playlist) {
        ("", "") => "A source that is gone".to_owned(),
        ("", playlist) => format!("A source of {playlist} (gone)"),
        (title, "") => format!("{title} (gone)"),
        (title, playlist) => format!("{title} ({playlist}, gone)"),
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
        // A showing that somebody has ended goes on with the next one.
        let is_ended_by_hand = !reason.is_empty() && is_by_hand(reason);
        source.shown += u32::from(!is_ended_by_hand);
        source.lasted += window.deselected_at.unwrap_or(now) - window.selected_at;
        source.is_current = window.deselected_at.is_none() && !is_left;
        if !source.is_current && !reason.is_empty() && !is_ended_by_hand {
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

/// Whether a source is received in datagrams.
fn is_in_datagrams(source: &SourceRecord) -> bool {
    let scheme = source.stream_url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| scheme == "udp" || scheme == "rtp")
}

/// What was lost on the way to us since the session began, which breaks the picture up on every player; nothing when nothing was. It
/// is counted of all sources together: when only one of them is received in datagrams, it is that one's.
pub(super) fn losses(
    session: &SessionSnapshot,
    now: Instant,
    listed: Option<&ChannelRecord>,
    called: impl Fn(i64) -> String,
) -> Option<String> {
    let DatagramCounters { datagrams, dropped, lost, .. } = session.datagrams;
    if lost == 0 && dropped == 0 {
        return holes(session, now, called);
    }
    let shown = |source: &&SourceRecord| {
        let windows = &session.record.sources;
        windows.iter().any(|window| window.source.id.0 == source.source_id)
    };
    let sources = listed.map_or(&[][..], |channel| &channel.sources);
    let mut received = sources.iter().filter(|source| is_in_datagrams(source)).filter(shown);
    let (first, second) = (received.next(), received.next());
    let name = match (first, second) {
        (Some(source), None) => called(source.source_id),
        (None | Some(_), _) => "Its sources together".to_owned(),
    };
    let time = long(now - session.record.opened_at);
    let packets = |many: u64| count(usize::try_from(many).unwrap_or(usize::MAX), "packet", "packets");
    // What was dropped is among what was lost where packets are numbered, as those of RTP are.
    let sentence = if lost > 0 {
        let here = match dropped {
            0 => String::new(),
            _ => format!("; {} had reached this host, which did not take them in time", packets(dropped)),
        };
        format!("lost {} on the way in the last {time}, and {} came{here}", packets(lost), packets(datagrams))
    } else {
        format!(
            "sent {} in the last {time} that reached this host and were not taken in time",
            packets(dropped)
        )
    };
    Some(format!(
        "{name} {sentence}. Each is a hole (a continuity error), where the picture breaks up on every player."
    ))
}

/// Holes that were in the streams before they reached us, or that viewers have got since the session began; nothing when there is none.
fn holes(session: &SessionSnapshot, now: Instant, called: impl Fn(i64) -> String) -> Option<String> {
    let ContinuityErrors { incoming, outgoing } = session.continuity;
    let number = |many: u64| count(usize::try_from(many).unwrap_or(usize::MAX), "hole", "holes");
    let time = long(now - session.record.opened_at);
    if incoming == 0 {
        return (outgoing > 0).then(|| {
            format!(
                "Viewers got {} in the last {time}, each marked as one (continuity errors).",
                number(outgoing)
            )
        });
    }
    let windows = &session.record.sources;
    let one = windows.first().map(|window| window.source.id.0);
    let one = one.filter(|id| windows.iter().all(|window| window.source.id.0 == *id));
    let name = one.map_or_else(|| "Its sources together".to_owned(), called);
    Some(format!(
        "{name} came with {} in the last {time} (continuity errors): packets were missing before it reached this host, and viewers got {}. \
         There the picture breaks up on every player.",
        number(incoming),
        number(outgoing)
    ))
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
    use crate::control::page::testing::{channels_of, session, window};
    use crate::lineup::SourceName;

    fn losses_of(urls: [&str; 2], datagrams: DatagramCounters) -> Option<String> {
        let mut channel = channels_of(&[("a", "News")]).remove(0);
        let mut other = channel.sources[0].clone();
        (channel.sources[0].source_id, other.source_id) = (41, 42);
        channel.sources.push(other);
        for (source, url) in channel.sources.iter_mut().zip(urls) {
            url.clone_into(&mut source.stream_url);
        }
        let windows = vec![
            window(41, 3_000, Some(3_060), "initial_startup"),
            window(42, 3_060, None, "recovery_cycle_1:stall"),
        ];
        let session = SessionSnapshot { datagrams, ..session(7, windows, 1) };
        let called = |id| format!("Source {id}");
        losses(&session, Instant::from_millis(3_600_000), Some(&channel), called)
    }

    #[test]
    fn what_somebody_wanted_says_nothing_against_a_source() {
        let windows = vec![
            window(1, 0, Some(60), "initial_startup"),
            window(1, 60, Some(120), "recovery_cycle_1:ui_manual_trigger"),
            window(2, 120, None, "recovery_cycle_2:operator_click"),
        ];
        let live = session(7, windows, 1);
        let now = Instant::from_millis(180_000);
        assert_eq!(why_bad(&live, now, |id| format!("Source {id}")), [""; 0]);
        let windows = vec![
            window(1, 0, Some(60), "initial_startup"),
            window(1, 60, Some(120), "recovery_cycle_1:ui_manual_trigger"),
            window(2, 120, None, "recovery_cycle_2:stall"),
        ];
        let said = why_bad(&session(7, windows, 1), now, |id| format!("Source {id}"));
        assert_eq!(said, ["Source 1 sent nothing that moves the picture once; it lasted 2 min on average."]);
    }

    #[test]
    fn a_source_that_is_gone_is_called_as_it_was_known() {
        let known = |id, title: &str, playlist: &str| {
            let mut window = (*window(id, 0, Some(1), "initial_startup")).clone();
            let (title, playlist) = (title.to_owned(), playlist.to_owned());
            window.source.name = std::sync::Arc::new(SourceName { title, playlist });
            std::sync::Arc::new(window)
        };
        let windows = vec![
            known(40, "Old", "Provider"),
            known(40, "News", "Provider"),
            known(41, "News", ""),
            known(42, "", "Provider"),
            known(43, "", ""),
        ];
        let record = crate::control::page::testing::record(7, windows);
        let channel = channels_of(&[("a", "News")]).remove(0);
        for (id, expected) in [
            (1, "Source 1"),
            (40, "News (Provider, gone)"),
            (41, "News (gone)"),
            (42, "A source of Provider (gone)"),
            (43, "A source that is gone"),
            (44, "A source that is gone"),
        ] {
            assert_eq!(called(Some(&channel), [&record], id), expected);
        }
    }

    #[test]
    fn what_was_lost_is_told_of_the_source_that_can_have_lost_it() {
        let counters = |datagrams, lost, dropped| DatagramCounters {
            datagrams,
            lost,
            dropped,
            ..DatagramCounters::default()
        };
        let holes = ". Each is a hole (a continuity error), where the picture breaks up on every player.";
        let (http, udp, rtp) = ("http://host/a", "UDP://239.1.1.1:5000", "rtp://239.1.1.1:5000");
        for (urls, counters, said) in [
            (
                [http, rtp],
                counters(90_000, 37, 0),
                "Source 42 lost 37 packets on the way in the last 10 min, and 90000 packets came",
            ),
            (
                [rtp, http],
                counters(9, 2, 1),
                "Source 41 lost 2 packets on the way in the last 10 min, and 9 packets came; 1 packet had reached this host, which did \
                 not take them in time",
            ),
            (
                [udp, rtp],
                counters(9, 0, 3),
                "Its sources together sent 3 packets in the last 10 min that reached this host and were not taken in time",
            ),
        ] {
            assert_eq!(losses_of(urls, counters).unwrap(), format!("{said}{holes}"));
        }
        assert_eq!(losses_of([udp, rtp], counters(9, 0, 0)), None, "nothing was lost");
    }

    #[test]
    fn holes_that_come_in_are_told_with_those_that_leave() {
        let windows =
            |ids: &[i64]| ids.iter().map(|id| window(*id, 3_000, None, "stall")).collect::<Vec<_>>();
        let said = |ids: &[i64], incoming, outgoing| {
            let continuity = ContinuityErrors { incoming, outgoing };
            let session = SessionSnapshot { continuity, ..session(7, windows(ids), 1) };
            losses(&session, Instant::from_millis(3_600_000), None, |id| format!("Source {id}"))
        };
        let missing =
            "(continuity errors): packets were missing before it reached this host, and viewers got";
        let breaks = "There the picture breaks up on every player.";
        let one = format!("Source 1 came with 37 holes in the last 10 min {missing} 36 holes. {breaks}");
        assert_eq!(said(&[1, 1], 37, 36), Some(one));
        let both =
            format!("Its sources together came with 1 hole in the last 10 min {missing} 0 holes. {breaks}");
        assert_eq!(said(&[1, 2], 1, 0), Some(both));
        let out = "Viewers got 2 holes in the last 10 min, each marked as one (continuity errors).";
        assert_eq!(said(&[1], 0, 2).as_deref(), Some(out));
        assert_eq!(said(&[1], 0, 0), None);
    }
}
