//! The page "History": sessions that have ended and that go on, and their recoveries.

use std::collections::BTreeMap;

use crate::session::history::SessionRecord;
use crate::store::ChannelRecord;

use super::calendar::Calendar;
use super::html::{Piece, Rows, escaped, in_address, push};
use super::words::{called as called_source, count, long, why_left};

/// Why a channel recovered, or how it ended, as the page asks for it: the word in the address, and the words on the page.
const REASONS: [(&str, &str); 7] = [
    ("", "everything"),
    ("recovered", "any recovery"),
    ("stall", "the picture stood still"),
    ("ended", "a source ended"),
    ("failed", "a source failed or refused"),
    ("asked", "somebody asked for a recovery"),
    ("error", "the session failed"),
];

/// What is asked for.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::control) struct HistoryAsked {
    /// A guide number, a part of a name, or both as the page writes them.
    pub(in crate::control) channel: String,
    /// One of the reasons.
    pub(in crate::control) reason: String,
    /// `2026-03-01`.
    pub(in crate::control) day: String,
    pub(in crate::control) offset: usize,
}

/// What the page is made of.
pub(in crate::control) struct HistoryPage<'a> {
    pub(in crate::control) asked: &'a HistoryAsked,
    /// All that are remembered, newest first.
    pub(in crate::control) sessions: Vec<&'a SessionRecord>,
    /// How many are forgotten.
    pub(in crate::control) forgotten: u64,
    /// The channels that there are, by their ids.
    pub(in crate::control) channels: &'a BTreeMap<i64, ChannelRecord>,
    pub(in crate::control) calendar: &'a Calendar,
    pub(in crate::control) rows_max: usize,
}

/// A guide number and a name, as people write them together; nothing when neither is known.
fn called(number: &str, name: &str) -> Option<String> {
    let both = format!("{number} {name}");
    Some(both.trim().to_owned()).filter(|called| !called.is_empty())
}

/// Whether a recovery had this reason.
fn is_of(selection: &str, reason: &str) -> bool {
    let Some((_, why)) = selection.split_once(':') else { return false };
    let kind = match why {
        "stall" => "stall",
        "source_eof" => "ended",
        "source_error" => "failed",
        upstream if upstream.starts_with("upstream_") => "failed",
        _somebodys => "asked",
    };
    reason == "recovered" || reason == kind
}

impl HistoryPage<'_> {
    /// Guide numbers and names of a session's channel: what it was called then, and what it is called now if it is still there.
    fn names<'b>(&'b self, session: &'b SessionRecord) -> impl Iterator<Item = (&'b str, &'b str)> {
        let now = self.channels.get(&session.channel.0);
        let now = now.map(|channel| (channel.guide_number.as_str(), channel.guide_name.as_str()));
        [(session.guide_number.as_str(), session.guide_name.as_str())].into_iter().chain(now)
    }

    /// A session's channel, in the words of the page.
    fn channel(&self, session: &SessionRecord) -> String {
        let then = called(&session.guide_number, &session.guide_name);
        let Some(channel) = self.channels.get(&session.channel.0) else {
            return then.map_or_else(
                || "<span class=quiet>deleted channel</span>".to_owned(),
                |then| format!("{} <span class=quiet>(deleted)</span>", escaped(&then)),
            );
        };
        let now = called(&channel.guide_number, &channel.guide_name).unwrap_or_default();
        let was = then
            .filter(|then| *then != now)
            .map_or_else(String::new, |then| format!("<br><span class=quiet>then {}</span>", escaped(&then)));
        format!("<a href=\"/ui/channels/{}\">{}</a>{was}", channel.channel_id, escaped(&now))
    }

    /// A source of a session's channel, by its place among those that the channel has now.
    fn source(&self, session: &SessionRecord, source: i64) -> String {
        let name = called_source(self.channels.get(&session.channel.0), [session], source);
        // In the midst of a sentence.
        ["Source ", "A source "]
            .iter()
            .find_map(|word| Some(word.to_lowercase() + name.strip_prefix(word)?))
            .unwrap_or(name)
    }

    /// What the field for channels proposes: those of the sessions.
    fn proposals(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        for (number, name) in self.sessions.iter().flat_map(|session| self.names(session)) {
            let Some(called) = called(number, name) else { continue };
            if !all.contains(&called) {
                all.push(called);
            }
            if all.len() == PROPOSALS_MAX {
                break;
            }
        }
        all.sort_unstable();
        let options = all.iter().map(|called| format!("<option value=\"{}\">", escaped(called)));
        format!("<datalist id=channels>{}</datalist>", options.collect::<String>())
    }

    fn matches(&self, session: &SessionRecord) -> bool {
        let HistoryAsked { channel, reason, day, .. } = self.asked;
        let calendar = self.calendar.of_core(session.lost);
        let part = channel.trim().to_lowercase();
        let is_channel = self.names(session).any(|(number, name)| {
            let name = name.to_lowercase();
            number == part
                || name.contains(&part)
                || called(number, &name).is_some_and(|called| called == part)
        });
        let is_day = day.is_empty() || {
            let last = session.ended.as_ref().map_or(calendar.now(), |ended| ended.at);
            // Days are written so that they stand in their order.
            calendar.day(session.opened_at) <= *day && *day <= calendar.day(last)
        };
        let failed = session.ended.as_ref().is_some_and(|ended| ended.outcome.error().is_some());
        let is_reason = match reason.as_str() {
            "" => true,
            "error" => failed,
            reason => session.sources.iter().any(|window| is_of(&window.reason, reason)),
        };
        is_channel && is_day && is_reason
    }

    pub(super) fn pieces(&self) -> Vec<Piece> {
        let found: Vec<_> = self.sessions.iter().copied().filter(|session| self.matches(session)).collect();
        vec![
            Piece::new("sentence", format!("<h1>{}</h1>", count(found.len(), "session", "sessions"))),
            Piece::new("asked", self.question()),
            Piece::new("rows", self.rows(found)),
        ]
    }

    /// The form that says which are wanted.
    fn question(&self) -> String {
        let asked = self.asked;
        let mut html = "<form class=search method=get action=/ui/history role=search>".to_owned();
        push(
            &mut html,
            format_args!(
                "<label>Channel <input type=search name=channel list=channels autocomplete=off value=\"{}\"></label>{}<label>With <select name=reason>",
                escaped(&asked.channel),
                self.proposals()
            ),
        );
        for (word, said) in REASONS {
            let selected = if word == asked.reason { " selected" } else { "" };
            push(&mut html, format_args!("<option value=\"{word}\"{selected}>{said}</option>"));
        }
        push(
            &mut html,
            format_args!(
                "</select></label><label>Day <input type=date name=day value=\"{}\"></label><button>Show</button></form>",
                escaped(&asked.day)
            ),
        );
        html
    }

    fn rows(&self, found: Vec<&SessionRecord>) -> String {
        let (asked, mut html) = (self.asked, String::new());
        let rows = Rows { total: found.len(), offset: asked.offset, limit: self.rows_max };
        if found.is_empty() {
            html.push_str("<p class=quiet>Nothing like that is remembered.</p>");
        } else {
            html.push_str(
                "<table class=rows><thead><tr><th>Began<th>Channel<th class=\"n wide\">Lasted<th class=\"n wide\">Viewers, most at once<th>What happened</tr></thead><tbody>",
            );
            rows.of(found).into_iter().for_each(|session| html.push_str(&self.row(session)));
            html.push_str("</tbody></table>");
            html.push_str(&rows.links(&format!(
                "/ui/history?channel={}&reason={}&day={}&",
                in_address(&asked.channel),
                in_address(&asked.reason),
                in_address(&asked.day)
            )));
        }
        let forgotten = match self.forgotten {
            0 => String::new(),
            many => format!(" {many} older ones are forgotten."),
        };
        push(
            &mut html,
            format_args!(
                "<p class=quiet>Since tunerd was started; SESSION_HISTORY_LIMIT says how many are kept.{forgotten} Times are of {}.</p>",
                escaped(&self.calendar.zone_name())
            ),
        );
        html
    }

    fn row(&self, session: &SessionRecord) -> String {
        let calendar = self.calendar.of_core(session.lost);
        let ended = session.ended.as_ref();
        let lasted = ended.map_or(calendar.now(), |ended| ended.at) - session.opened_at;
        let mut html = format!(
            "<tr id=h-{}><td class=t>{}<td>{}<td class=\"n wide\">{}<td class=\"n wide\">{}, {}<td class=full>",
            session.id,
            calendar.at(session.opened_at),
            self.channel(session),
            long(lasted),
            session.viewers.total,
            session.viewers.peak,
        );
        match ended.map(|ended| ended.outcome.error()) {
            None => html.push_str("<span class=ok>● goes on</span>"),
            Some(None) => html.push_str("<span class=quiet>○ nobody watched any more</span>"),
            Some(Some(error)) => push(&mut html, format_args!("<span class=bad>■ {}</span>", escaped(error))),
        }
        let switches: Vec<_> =
            session.sources.iter().filter(|window| window.reason != "initial_startup").collect();
        if !switches.is_empty() {
            let total = usize::try_from(session.recovery_cycles).unwrap_or(usize::MAX).max(switches.len());
            push(
                &mut html,
                format_args!(
                    "<details class=more><summary>▲ {}</summary><ul class=plain>",
                    count(total, "recovery", "recoveries")
                ),
            );
            for window in switches.iter().rev().take(SWITCHES_SHOWN) {
                push(
                    &mut html,
                    format_args!(
                        "<li><span class=t>{}</span> to {}, because the one before {}</li>",
                        calendar.at(window.selected_at),
                        escaped(&self.source(session, window.source.id.0)),
                        escaped(&why_left(&window.reason))
                    ),
                );
            }
            if total > SWITCHES_SHOWN {
                push(
                    &mut html,
                    format_args!("<li class=quiet>and {} before them</li>", total - SWITCHES_SHOWN),
                );
            }
            html.push_str("</ul></details>");
        }
        html + "</tr>\n"
    }
}

/// Recoveries of one session that are told.
const SWITCHES_SHOWN: usize = 20;
/// Channels that are proposed.
const PROPOSALS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::control::page::calendar::tests::calendar;
    use crate::control::page::testing::{channels_of, record, window};
    use crate::lineup::ChannelId;
    use crate::session::history::{Ended, Outcome};

    /// Of one channel, whose sources have the ids 41 and 42, as it is called now.
    fn html_of(called: (&str, &str), sessions: &[SessionRecord], asked: &HistoryAsked) -> String {
        let mut channel = channels_of(&[("a", "News")]).remove(0);
        let mut other = channel.sources[0].clone();
        (channel.sources[0].source_id, other.source_id) = (41, 42);
        channel.sources.push(other);
        (channel.guide_number, channel.guide_name) = (called.0.to_owned(), called.1.to_owned());
        let channels = BTreeMap::from([(channel.channel_id, channel)]);
        let calendar = calendar();
        HistoryPage {
            asked,
            sessions: sessions.iter().collect(),
            forgotten: 3,
            channels: &channels,
            calendar: &calendar,
            rows_max: 9,
        }
        .pieces()
        .iter()
        .map(|piece| piece.html.as_str())
        .collect()
    }

    fn html(sessions: &[SessionRecord], asked: &HistoryAsked) -> String {
        html_of(("100", "News & <b>"), sessions, asked)
    }

    fn sessions() -> Vec<SessionRecord> {
        let live = record(
            3,
            vec![
                window(41, 3_000, Some(3_100), "initial_startup"),
                window(42, 3_100, None, "recovery_cycle_1:upstream_404"),
            ],
        );
        let ended = |id, outcome| {
            let mut record = record(id, vec![window(1, 100, Some(200), "initial_startup")]);
            record.ended = Some(Ended { at: Instant::from_millis(200_000), outcome });
            record
        };
        let mut failed = ended(2, Outcome::Failed("no <source>".to_owned()));
        (failed.guide_number, failed.guide_name) = ("101".to_owned(), "Sports".to_owned());
        failed.channel = ChannelId(7);
        vec![live, failed, ended(1, Outcome::Completed)]
    }

    fn asked(channel: &str, reason: &str, day: &str) -> HistoryAsked {
        let [channel, reason, day] = [channel, reason, day].map(str::to_owned);
        HistoryAsked { channel, reason, day, offset: 0 }
    }

    #[test]
    fn sessions_say_how_they_went() {
        let shown = html(&sessions(), &asked("", "", ""));
        for piece in [
            "<h1>3 sessions</h1>",
            "● goes on",
            "▲ 1 recovery",
            "to source 2, because the one before answered 404",
            "■ no &lt;source&gt;",
            "3 older ones are forgotten. Times are of UTC.",
            "<td><a href=\"/ui/channels/1\">100 News &amp; &lt;b&gt;</a><td",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
    }

    #[test]
    fn rows_are_paged() {
        let channels = BTreeMap::new();
        let (calendar, sessions, asked) = (calendar(), sessions(), asked("", "", ""));
        let sessions = sessions.iter().collect();
        let (channels, asked) = (&channels, &asked);
        let page = HistoryPage { asked, sessions, forgotten: 0, channels, calendar: &calendar, rows_max: 2 };
        assert!(page.pieces()[2].html.contains("1–2 of 3"));
    }

    #[test]
    fn channels_are_called_by_number_and_name_whatever_they_are_in_the_database() {
        let [live, gone, mut unknown] = <[SessionRecord; 3]>::try_from(sessions()).unwrap();
        unknown.channel = ChannelId(8);
        unknown.guide_number.clear();
        unknown.guide_name.clear();
        let all = [live, gone, unknown];
        let shown = html_of(("5", "Other"), &all, &asked("", "", ""));
        for piece in [
            "<td><a href=\"/ui/channels/1\">5 Other</a><br><span class=quiet>then 100 News &amp; &lt;b&gt;</span><td",
            "<td>101 Sports <span class=quiet>(deleted)</span><td",
            "<td><span class=quiet>deleted channel</span><td",
            "list=channels",
            "<option value=\"100 News &amp; &lt;b&gt;\"><option value=\"101 Sports\"><option value=\"5 Other\"></datalist>",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
        assert!(!shown.contains("/ui/channels/7") && !shown.contains("/ui/channels/8"), "{shown}");
        for (part, found) in
            [("5", 1), ("100", 1), ("101 sports", 1), ("5 Other", 1), ("7", 0), ("8", 0), ("1", 0)]
        {
            let shown = html_of(("5", "Other"), &all, &asked(part, "", ""));
            let plural = if found == 1 { "session" } else { "sessions" };
            assert!(shown.contains(&format!("<h1>{found} {plural}</h1>")), "{part}: {shown}");
        }
        let mut moved = all[0].clone();
        moved.sources.push(window(43, 3_200, None, "recovery_cycle_2:stall"));
        let shown = html(&[moved], &asked("", "", ""));
        assert!(shown.contains("</span> to source 2, because the one before answered 404</li>"), "{shown}");
        assert!(shown.contains("</span> to a source that is gone, because"), "{shown}");
        assert!(!shown.contains("source 42") && !shown.contains("source 43"), "{shown}");
    }

    #[test]
    fn they_are_found_by_channel_reason_and_day() {
        for (asked, count) in [
            (asked("sports", "", ""), 1),
            (asked("100", "", ""), 2),
            (asked("10", "", ""), 0),
            (asked("", "recovered", ""), 1),
            (asked("", "failed", ""), 1),
            (asked("", "stall", ""), 0),
            (asked("", "error", ""), 1),
            (asked("", "", "2026-03-01"), 3),
            (asked("", "", "2026-02-28"), 0),
            (asked("", "<", ""), 0),
        ] {
            let shown = html(&sessions(), &asked);
            let plural = if count == 1 { "session" } else { "sessions" };
            assert!(shown.contains(&format!("<h1>{count} {plural}</h1>")), "{asked:?}: {shown}");
        }
        assert!(is_of("recovery_cycle_2:operator", "asked") && !is_of("initial_startup", "recovered"));
    }
}
