//! The page of one channel: why it is bad, what has happened, its sources, and who watches.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Instant, redact};
use crate::engine::snapshot::SessionSnapshot;
use crate::session::history::SessionRecord;
use crate::store::{ChannelRecord, SourceRecord};

use super::band::{Stretch, band};
use super::calendar::Calendar;
use super::html::{Piece, Rows, asks_once, button, escaped, in_address, push, search};
use super::viewers::{VIEWERS_SHOWN_MAX, viewers};
use super::words::{
    AllFigures, Mark, add_closed, add_session, called, count, failure, long, losses, rate, state, stream,
    why_left,
};

/// Switches from source to source that are told in words.
const SWITCHES_SHOWN: usize = 20;

/// Which viewers are asked for.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::control) struct ViewersAsked {
    /// A part of their addresses.
    pub(in crate::control) address: String,
    pub(in crate::control) offset: usize,
}

/// What the page is made of.
pub(in crate::control) struct ChannelPage<'a> {
    pub(in crate::control) channel: &'a ChannelRecord,
    pub(in crate::control) session: Option<&'a SessionSnapshot>,
    /// Sessions of it that have ended, newest first.
    pub(in crate::control) past: Vec<&'a SessionRecord>,
    /// What playlists are called.
    pub(in crate::control) playlists: &'a BTreeMap<i64, String>,
    pub(in crate::control) calendar: &'a Calendar,
    pub(in crate::control) viewers: &'a ViewersAsked,
}

impl ChannelPage<'_> {
    fn here(&self) -> String {
        format!("/ui/channels/{}", self.channel.channel_id)
    }

    fn now_of(&self, record: &SessionRecord) -> Instant {
        self.calendar.of_core(record.lost).now()
    }

    pub(super) fn pieces(&self) -> Vec<Piece> {
        let channel = self.channel;
        let head = format!(
            "<p class=quiet><a href=/ui/channels>Channels</a></p><h1>{} {}</h1>",
            escaped(&channel.guide_number),
            escaped(&channel.guide_name)
        );
        vec![
            Piece::new("head", head),
            Piece::new("standing", self.standing()),
            Piece::new("watch", self.watch()),
            Piece::new("why", self.why()),
            Piece::new("timeline", self.timeline()),
            Piece::new("sources", self.sources()),
            Piece::new("watching", self.watching()),
        ]
    }

    /// The picture, for browsers that play HTTP Live Streaming, and what players need. It is fetched when somebody presses play; what
    /// is wrong with it then is said below it.
    fn watch(&self) -> String {
        if !self.channel.enabled {
            return String::new();
        }
        let number = in_address(&self.channel.guide_number);
        format!(
            "<video controls playsinline preload=none data-own src=\"/hls/v{number}/index.m3u8\"></video>\
             <div id=says role=status data-own></div><script type=module src=/ui/player.js></script>\
             <p class=quiet>Where the browser plays no HTTP Live Streaming: <a href=\"/auto/v{number}\">the stream itself</a> in a \
             player, or <a href=/lineup.m3u>all channels as a list</a> for VLC, mpv and Kodi.</p>"
        )
    }

    /// How it is now, and the one button for it.
    fn standing(&self) -> String {
        let Some(session) = self.session else {
            return if self.channel.enabled {
                "<p class=quiet>○ idle: nobody watches</p>".to_owned()
            } else {
                "<p class=quiet>○ off: it is in no list, and nobody can watch it</p>".to_owned()
            };
        };
        let mark = Mark::of(session);
        let mut html = format!(
            "<p class={}>{} {}</p><p>{} to {}</p>",
            mark.class(),
            mark.sign(),
            escaped(&state(session, self.now_of(&session.record))),
            rate(session.bitrate_bps),
            count(session.viewers.len(), "viewer", "viewers"),
        );
        if !session.viewers.is_empty() {
            let see = match session.viewers.len() {
                1 => "1 viewer sees".to_owned(),
                many => format!("{many} viewers see"),
            };
            let label = format!("Recover now ({see} the slate for about a second)");
            html.push_str(&button(
                &format!("{}/recover", self.here()),
                &[("back", &self.here())],
                &label,
                "",
            ));
        }
        html
    }

    /// The place of a source among those of the channel, as people count, and whose it is.
    fn called(&self, source: i64) -> String {
        let all = &self.channel.sources;
        match all.iter().position(|other| other.source_id == source) {
            Some(place) => format!("Source {}{}", place + 1, self.whose(&all[place])),
            None => called(None, self.records().map(|(record, _now)| record), source),
        }
    }

    fn whose(&self, source: &SourceRecord) -> String {
        let name = source.playlist_id.and_then(|id| self.playlists.get(&id));
        name.map_or_else(String::new, |name| format!(" ({name})"))
    }

    fn figures(&self) -> AllFigures {
        let mut figures = AllFigures::new();
        for record in self.past.iter().rev() {
            add_closed(&mut figures, record, self.now_of(record));
        }
        if let Some(session) = self.session {
            add_session(&mut figures, session, self.now_of(&session.record));
        }
        figures
    }

    /// Why the channel is bad, in one paragraph, and what could be done.
    fn why(&self) -> String {
        let figures = self.figures();
        let mut sentences = Vec::new();
        for source in &self.channel.sources {
            let name = self.called(source.source_id);
            let told = figures.get(&source.source_id).and_then(|figures| figures.complaint(&name));
            let health = self.ill(source, if told.is_some() { "It" } else { &name });
            sentences.extend(told);
            sentences.extend(health);
        }
        sentences.extend(self.session.and_then(|session| {
            losses(session, self.now_of(&session.record), Some(self.channel), |source| self.called(source))
        }));
        if self.channel.enabled && !self.channel.sources.iter().any(SourceRecord::is_offered) {
            sentences.push("None of its sources is on, so nobody can watch it.".to_owned());
        }
        if sentences.is_empty() {
            return String::new();
        }
        let text: Vec<_> = sentences.iter().map(|sentence| escaped(sentence)).collect();
        let mut html = format!("<h3>Why is this channel bad?</h3><p>{}</p>", text.join(" "));
        if let Some((id, name)) = self.better(&figures) {
            let label = format!("Put {} first", name.replacen("Source", "source", 1));
            let fields = [("to", "first"), ("back", &*self.here())];
            let put = button(&format!("{}/sources/{id}/move", self.here()), &fields, &label, "");
            push(&mut html, format_args!("<p>Try this:</p>{put}"));
        }
        html
    }

    /// What the health of a source says against it.
    fn ill(&self, source: &SourceRecord, name: &str) -> Option<String> {
        let (health, now) = (&source.health, self.calendar.seconds());
        if health.fail_count == 0 {
            return None;
        }
        let ago = long(Duration::from_secs(now.saturating_sub(health.last_fail_at)));
        let times = match health.fail_count {
            1 => "failed the last time".to_owned(),
            times => format!("failed {times} times in a row"),
        };
        let rest = if health.is_cooling(now) {
            let left = long(Duration::from_secs(health.cooldown_until - now));
            format!("; others are tried before it for another {left}")
        } else {
            String::new()
        };
        let reason = failure(&health.last_fail_reason);
        Some(format!("{name} {times}, {ago} ago: {reason}{rest}."))
    }

    /// A source that should stand before the first: it has been left less often, and has lasted longer.
    fn better(&self, figures: &AllFigures) -> Option<(i64, String)> {
        let mut offered = self.channel.sources.iter().filter(|source| source.is_offered());
        let first = offered.next()?;
        let of_first = figures.get(&first.source_id);
        let losses = of_first.map_or(0, super::words::SourceFigures::losses).max(first.health.fail_count);
        let lasted = of_first.map_or(Duration::ZERO, super::words::SourceFigures::mean);
        offered
            .filter(|source| source.health.fail_count == 0)
            .filter_map(|source| {
                let figures = figures.get(&source.source_id)?;
                let is_better = figures.losses() < losses && figures.mean() >= lasted;
                is_better.then_some((figures.mean(), source.source_id))
            })
            .max()
            .map(|(_, id)| (id, self.called(id)))
    }

    /// All sessions with the time by their cores' clocks, oldest first.
    fn records(&self) -> impl Iterator<Item = (&SessionRecord, Instant)> {
        let live = self.session.map(|session| &session.record);
        self.past.iter().rev().copied().chain(live).map(|record| (record, self.now_of(record)))
    }

    fn timeline(&self) -> String {
        let mut stretches = Vec::new();
        for (record, now) in self.records() {
            for window in &record.sources {
                let calendar = self.calendar.of_core(record.lost);
                let until = window.deselected_at.map_or_else(|| "now".to_owned(), |at| calendar.at(at));
                let why = if window.reason == "initial_startup" {
                    "at the start".to_owned()
                } else {
                    format!("because the one before {}", why_left(&window.reason))
                };
                let name = self.called(window.source.id.0);
                stretches.push(Stretch {
                    from: now - window.selected_at,
                    to: now - window.deselected_at.unwrap_or(now),
                    said: format!("{name}: {} to {until}, {why}", calendar.at(window.selected_at)),
                    row: name,
                    is_slate: false,
                });
            }
        }
        if let Some((slate, session)) =
            self.session.and_then(|session| Some((session.recovery.keepalive.as_ref()?, session)))
        {
            let now = self.now_of(&session.record);
            let row = session.record.sources.last().map(|window| self.called(window.source.id.0));
            let to = slate.stopped_at.unwrap_or(now);
            stretches.push(Stretch {
                from: now - slate.started_at,
                to: now - to,
                said: format!("The slate, for {}", long(to - slate.started_at)),
                row: row.unwrap_or_else(|| "Slate".to_owned()),
                is_slate: true,
            });
        }
        if stretches.is_empty() {
            return String::new();
        }
        band(&stretches, "hatch") + &self.switches()
    }

    /// The last switches, for those who would rather read.
    fn switches(&self) -> String {
        let mut rows = Vec::new();
        for (record, _now) in self.records() {
            let calendar = self.calendar.of_core(record.lost);
            for window in record.sources.iter().filter(|window| window.reason != "initial_startup") {
                rows.push(format!(
                    "<tr><td class=t>{}<td>{}, because the one before {}</tr>",
                    calendar.at(window.selected_at),
                    escaped(&self.called(window.source.id.0)),
                    escaped(&why_left(&window.reason)),
                ));
            }
        }
        if rows.is_empty() {
            return String::new();
        }
        rows.reverse();
        rows.truncate(SWITCHES_SHOWN);
        format!(
            "<details class=more><summary>The last {}</summary><table><tbody>{}</tbody></table></details>",
            count(rows.len(), "switch", "switches"),
            rows.concat()
        )
    }

    fn sources(&self) -> String {
        let sources = &self.channel.sources;
        let mut html = format!(
            "<h3>Sources</h3><p class=quiet>The first one that works is shown. <a href=\"/ui/add?q={}\">Find another</a></p>",
            in_address(&self.channel.guide_name)
        );
        if sources.is_empty() {
            return html + "<p class=bad>■ It has none.</p>";
        }
        html.push_str("<table class=rows><thead><tr><th class=n>#<th>Source<th class=wide>Stream<th>Health<th></tr></thead><tbody>");
        for (place, source) in sources.iter().enumerate() {
            html.push_str(&self.source_row(place, source));
        }
        html.push_str("</tbody></table>");
        if sources.iter().any(|source| source.health.fail_count > 0) {
            let fields = [("back", &*self.here())];
            html.push_str(&button(&format!("{}/forget", self.here()), &fields, "Forget their failures", ""));
        }
        html
    }

    fn source_row(&self, place: usize, source: &SourceRecord) -> String {
        let number = place + 1;
        let back = format!("{}#s-{}", self.here(), source.source_id);
        let act = |what: &str| format!("{}/sources/{}/{what}", self.here(), source.source_id);
        let profile = &source.profile.stream;
        let kbit =
            if profile.bitrate_bps > 0 { format!(" {}", rate(profile.bitrate_bps)) } else { String::new() };
        let shown = format!("{}{kbit}", stream(profile));
        let mut html = format!(
            "<tr id=s-{}><td class=n>{number}<td>{}{}<br><span class=\"quiet address\">{}</span><td class=wide>{}<td class=full>{}<td class=acts>",
            source.source_id,
            escaped(name_of(source)),
            escaped(&self.whose(source)),
            escaped(&redact::url(&source.stream_url)),
            if shown.is_empty() { "–".to_owned() } else { escaped(&shown) },
            self.health(source),
        );
        for (to, sign, word) in [("up", "↑", "up"), ("down", "↓", "down")] {
            let spoken = format!("Move source {number} {word}");
            html.push_str(&button(&act("move"), &[("to", to), ("back", &back)], sign, &spoken));
        }
        let (label, to) = if source.enabled { ("Switch off", "false") } else { ("Switch on", "true") };
        let spoken = format!("{label} source {number}");
        html.push_str(&button(&act("switch"), &[("enabled", to), ("back", &back)], label, &spoken));
        html.push_str(&asks_once(
            &act("remove"),
            &[("back", &self.here())],
            "Remove…",
            &format!("Remove source {number} from this channel"),
        ));
        html + "</tr>\n"
    }

    fn health(&self, source: &SourceRecord) -> String {
        let (health, now) = (&source.health, self.calendar.seconds());
        let current = self.session.and_then(|session| {
            let window = session.record.sources.last()?;
            (Mark::of(session) == Mark::Playing && window.source.id.0 == source.source_id).then_some(())
        });
        let ago = |at: u64| long(Duration::from_secs(now.saturating_sub(at)));
        if !source.enabled {
            "<span class=quiet>○ off</span>".to_owned()
        } else if !source.is_playlist_enabled {
            "<span class=quiet>○ its playlist is off</span>".to_owned()
        } else if current.is_some() {
            "<span class=ok>● shown now</span>".to_owned()
        } else if health.fail_count > 0 {
            let left = if health.is_cooling(now) {
                format!("; left alone for {}", long(Duration::from_secs(health.cooldown_until - now)))
            } else {
                String::new()
            };
            format!(
                "<span class=wait>▲ failed {} ago: {}{left}</span>",
                ago(health.last_fail_at),
                escaped(failure(&health.last_fail_reason))
            )
        } else if health.last_ok_at > 0 {
            format!(
                "<span class=ok>● good {} ago, {} in all</span>",
                ago(health.last_ok_at),
                count(usize::try_from(health.success_count).unwrap_or(usize::MAX), "time", "times")
            )
        } else {
            "<span class=quiet>– not tried yet</span>".to_owned()
        }
    }

    fn watching(&self) -> String {
        let Some(session) = self.session.filter(|session| !session.viewers.is_empty()) else {
            return String::new();
        };
        let asked = self.viewers.address.trim();
        let found: Vec<_> = session
            .viewers
            .iter()
            .filter(|viewer| asked.is_empty() || viewer.peer.ip().to_canonical().to_string().contains(asked))
            .collect();
        let rows = Rows { total: found.len(), offset: self.viewers.offset, limit: VIEWERS_SHOWN_MAX };
        let mut html = String::new();
        if session.viewers.len() > VIEWERS_SHOWN_MAX || !asked.is_empty() {
            html.push_str(&search(&self.here(), "Viewers by address", asked, ""));
        }
        if found.is_empty() {
            return html + "<p class=quiet>Nobody watches from an address like that.</p>";
        }
        let shown = rows.of(found);
        html.push_str(&viewers(session.record.id, shown, self.now_of(&session.record), &self.here()));
        html + &rows.links(&format!("{}?q={}&", self.here(), in_address(asked)))
    }
}

/// What a source is called: as its guide has it, or its playlist, or by its key when the playlist has it no longer.
fn name_of(source: &SourceRecord) -> &str {
    [&source.tvg_name, &source.item_name]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or(&source.item_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::calendar::tests::calendar;
    use crate::control::page::testing::{channels_of, record, session, window};
    use crate::session::history::{Ended, Outcome};

    fn channel() -> ChannelRecord {
        let mut channel = channels_of(&[("a", "News & <b>")]).remove(0);
        let mut other = channel.sources[0].clone();
        (other.source_id, other.priority_index) = (2, 1);
        channel.sources.push(other);
        channel
    }

    fn html(
        channel: &ChannelRecord,
        live: Option<&SessionSnapshot>,
        past: Vec<&SessionRecord>,
        asked: &str,
    ) -> String {
        let playlists = BTreeMap::from([(1, "Provider <A>".to_owned())]);
        let viewers = ViewersAsked { address: asked.to_owned(), offset: 0 };
        let calendar = calendar();
        ChannelPage {
            channel,
            session: live,
            past,
            playlists: &playlists,
            calendar: &calendar,
            viewers: &viewers,
        }
        .pieces()
        .iter()
        .map(|piece| piece.html.as_str())
        .collect()
    }

    #[test]
    fn a_channel_that_has_never_been_watched_has_its_sources_and_nothing_to_complain_of() {
        let shown = html(&channel(), None, Vec::new(), "");
        for piece in [
            "<h1>100 News &amp; &lt;b&gt;</h1>",
            "○ idle: nobody watches",
            "src=\"/hls/v100/index.m3u8\"",
            "href=\"/auto/v100\"",
            "<td>News &amp; &lt;b&gt; (Provider &lt;A&gt;)<br>",
            "– not tried yet",
            "aria-label=\"Move source 2 up\"",
            "Remove source 1 from this channel",
            "Provider &lt;A&gt;",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
        assert!(!shown.contains("Why is this channel bad?") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("<svg"), "{shown}");
    }

    #[test]
    fn a_bad_source_is_told_of_in_words_and_a_better_one_is_a_button_away() {
        let mut channel = channel();
        let now = 1_772_396_100;
        channel.sources[0].health.mark_failure("upstream returned status 404", now - 5);
        let windows = vec![
            window(1, 3_000, Some(3_060), "initial_startup"),
            window(2, 3_060, None, "recovery_cycle_1:stall"),
        ];
        let live = session(7, windows, 2);
        let mut past = record(6, vec![window(1, 100, Some(160), "initial_startup")]);
        let at = Instant::from_millis(160_000);
        past.ended = Some(Ended { at, outcome: Outcome::Failed("gone".to_owned()) });
        let shown = html(&channel, Some(&live), vec![&past], "");
        for piece in [
            "Source 1 (Provider &lt;A&gt;) failed once, and sent nothing that moves the picture once; it lasted 1 min on average.",
            "It failed the last time, 5.0 s ago: upstream returned status 404; others are tried before it for another 5.0 s.",
            "Put source 2 (Provider &lt;A&gt;) first",
            "action=\"/ui/channels/1/sources/2/move\"",
            "● playing 9 min",
            "● shown now",
            "Recover now (2 viewers see the slate for about a second)",
            "The last 1 switch",
            "<svg",
            "Disconnect 192.0.2.1",
            "Forget their failures",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
    }

    #[test]
    fn what_was_lost_on_the_way_makes_a_channel_bad() {
        let mut channel = channel();
        channel.sources[1].stream_url = "rtp://239.1.1.1:5000".to_owned();
        let mut live = session(7, vec![window(2, 3_000, None, "initial_startup")], 1);
        (live.datagrams.datagrams, live.datagrams.lost) = (90_000, 37);
        let shown = html(&channel, Some(&live), Vec::new(), "");
        let said = "<h3>Why is this channel bad?</h3><p>Source 2 (Provider &lt;A&gt;) lost 37 packets on the way in the last 10 min, \
                    and 90000 packets came. Each is a hole";
        assert!(shown.contains(said), "{shown}");
    }

    #[test]
    fn five_thousand_viewers_are_shown_by_the_hundred_and_found_by_address() {
        let live = session(7, vec![window(1, 3_000, None, "initial_startup")], 5_000);
        let shown = html(&channel(), Some(&live), Vec::new(), "");
        assert_eq!(shown.matches("/kick\"").count(), 100);
        assert!(shown.contains("8.1 Mbit/s to 5000 viewers") && shown.contains("1–100 of 5000"), "{shown}");
        let one = html(&channel(), Some(&live), Vec::new(), "192.0.2.249");
        assert_eq!(one.matches("/kick\"").count(), 20);
        assert!(html(&channel(), Some(&live), Vec::new(), "<x>").contains("Nobody watches from"));
    }
}
