//! The page "History": sessions that have ended and that go on, and their recoveries.

use crate::http::Response;
use crate::session::history::SessionRecord;

use super::calendar::Calendar;
use super::html::{Place, Rows, escaped, in_address, page, push};
use super::words::{count, long, why_left};

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
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(in crate::control) struct HistoryAsked {
    /// A part of number or name.
    pub(in crate::control) channel: String,
    /// One of the reasons.
    pub(in crate::control) reason: String,
    /// `2026-03-01`.
    pub(in crate::control) day: String,
    pub(in crate::control) offset: usize,
}

/// What the page is made of.
pub(in crate::control) struct HistoryPage<'a> {
    pub(in crate::control) device: &'a str,
    pub(in crate::control) asked: &'a HistoryAsked,
    /// All that are remembered, newest first.
    pub(in crate::control) sessions: Vec<&'a SessionRecord>,
    /// How many are forgotten.
    pub(in crate::control) forgotten: u64,
    pub(in crate::control) calendar: &'a Calendar,
    pub(in crate::control) rows_max: usize,
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
    pub(in crate::control) fn answer(&self) -> Response {
        page(self.device, Place::History, &self.html())
    }

    fn matches(&self, session: &SessionRecord) -> bool {
        let HistoryAsked { channel, reason, day, .. } = self.asked;
        let calendar = self.calendar.of_core(session.lost);
        let (name, part) = (session.guide_name.to_lowercase(), channel.trim().to_lowercase());
        let is_channel = session.guide_number == part || name.contains(&part);
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

    fn html(&self) -> String {
        let asked = self.asked;
        let found: Vec<_> = self.sessions.iter().copied().filter(|session| self.matches(session)).collect();
        let mut html = format!("<h1>{}</h1>", count(found.len(), "session", "sessions"));
        html.push_str("<form class=search method=get action=/ui/history role=search>");
        push(
            &mut html,
            format_args!(
                "<label>Channel <input type=search name=channel value=\"{}\"></label><label>With <select name=reason>",
                escaped(&asked.channel)
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
            "<tr><td class=t>{}<td><a href=\"/ui/channels/{}\">{} {}</a><td class=\"n wide\">{}<td class=\"n wide\">{}, {}<td class=full>",
            calendar.at(session.opened_at),
            session.channel.0,
            escaped(&session.guide_number),
            escaped(&session.guide_name),
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
                        "<li><span class=t>{}</span> to source {}, because the one before {}</li>",
                        calendar.at(window.selected_at),
                        window.source.id,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::control::page::calendar::tests::calendar;
    use crate::control::page::testing::{record, window};
    use crate::session::history::{Ended, Outcome};

    fn html(sessions: &[SessionRecord], asked: &HistoryAsked) -> String {
        let calendar = calendar();
        let sessions = sessions.iter().collect();
        HistoryPage { device: "tv", asked, sessions, forgotten: 3, calendar: &calendar, rows_max: 2 }.html()
    }

    fn sessions() -> Vec<SessionRecord> {
        let live = record(
            3,
            vec![
                window(1, 3_000, Some(3_100), "initial_startup"),
                window(2, 3_100, None, "recovery_cycle_1:upstream_404"),
            ],
        );
        let ended = |id, outcome| {
            let mut record = record(id, vec![window(1, 100, Some(200), "initial_startup")]);
            record.ended = Some(Ended { at: Instant::from_millis(200_000), outcome });
            record
        };
        let mut failed = ended(2, Outcome::Failed("no <source>".to_owned()));
        (failed.guide_number, failed.guide_name) = ("101".to_owned(), "Sports".to_owned());
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
            "1–2 of 3",
            "3 older ones are forgotten. Times are of UTC.",
            "News &amp; &lt;b&gt;",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
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
