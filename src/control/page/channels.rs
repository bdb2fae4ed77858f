//! The page "Channels": all of them in their order, and what can be done to each.

use std::collections::BTreeMap;

use crate::http::Response;
use crate::store::ChannelRecord;

use super::html::{Place, Rows, asks_once, button, escaped, in_address, page, push, search};
use super::words::count;

/// What the page is made of.
pub(in crate::control) struct ChannelsPage<'a> {
    pub(in crate::control) device: &'a str,
    /// What is searched for.
    pub(in crate::control) asked: &'a str,
    pub(in crate::control) rows: Rows,
    /// Those that are shown.
    pub(in crate::control) channels: Vec<ChannelRecord>,
    /// Who watches, by channel.
    pub(in crate::control) watched: BTreeMap<i64, usize>,
    /// Seconds since 1970.
    pub(in crate::control) now: u64,
}

impl ChannelsPage<'_> {
    pub(in crate::control) fn answer(&self) -> Response {
        page(self.device, Place::Channels, &self.html())
    }

    fn here(&self) -> String {
        format!("/ui/channels?q={}&offset={}", in_address(self.asked), self.rows.offset)
    }

    fn html(&self) -> String {
        let mut html = format!("<h1>{}</h1>", count(self.rows.total, "channel", "channels"));
        html.push_str(&search("/ui/channels", "Number or name", self.asked, ""));
        if self.channels.is_empty() {
            html.push_str(if self.asked.is_empty() {
                "<p class=quiet>There is none yet. <a href=/ui/add>Add one</a>: search in the playlists, and press one button.</p>"
            } else {
                "<p class=quiet>None has that in its number or its name. <a href=/ui/channels>Show all</a></p>"
            });
            return html;
        }
        html.push_str(
            "<table class=rows><thead><tr><th class=n>Number<th>Name<th class=wide>Sources<th>State<th class=wide>Order<th></tr></thead><tbody>",
        );
        for channel in &self.channels {
            html.push_str(&self.row(channel));
        }
        html.push_str("</tbody></table>");
        let before = format!("/ui/channels?q={}&", in_address(self.asked));
        html + &self.rows.links(&before)
    }

    fn state(&self, channel: &ChannelRecord) -> String {
        let mut sources = channel.sources.iter().filter(|source| source.is_offered()).peekable();
        let viewers = self.watched.get(&channel.channel_id).copied().unwrap_or(0);
        if !channel.enabled {
            "<span class=quiet>○ off</span>".to_owned()
        } else if viewers > 0 {
            format!("<span class=ok>● {}</span>", count(viewers, "viewer", "viewers"))
        } else if sources.peek().is_none() {
            "<span class=bad>■ no source is on</span>".to_owned()
        } else if sources.all(|source| source.health.is_cooling(self.now)) {
            "<span class=wait>▲ its sources have failed</span>".to_owned()
        } else {
            "<span class=quiet>○ idle</span>".to_owned()
        }
    }

    fn row(&self, channel: &ChannelRecord) -> String {
        let (id, name) = (channel.channel_id, &channel.guide_name);
        let back = format!("{}#c-{id}", self.here());
        let on = channel.sources.iter().filter(|source| source.is_offered()).count();
        let sources = match channel.sources.len() {
            all if all == on => count(all, "source", "sources"),
            all => format!("{on} of {all} on"),
        };
        let (switch, to) = if channel.enabled { ("Switch off", "false") } else { ("Switch on", "true") };
        let act = |what: &str| format!("/ui/channels/{id}/{what}");
        let mut html = format!(
            "<tr id=c-{id}><td class=n>{}<td><a href=\"/ui/channels/{id}\">{}</a><td class=wide>{sources}<td>{}<td class=\"wide acts\">",
            escaped(&channel.guide_number),
            escaped(name),
            self.state(channel),
        );
        // Another's place is only told where all are shown.
        if self.asked.is_empty() {
            for (to, sign, word) in [("up", "↑", "up"), ("down", "↓", "down")] {
                let spoken = format!("Move {name} {word}");
                html.push_str(&button(&act("move"), &[("to", to), ("back", &back)], sign, &spoken));
            }
        }
        html.push_str("<td class=acts>");
        let spoken = format!("{switch} {name}");
        html.push_str(&button(&act("switch"), &[("enabled", to), ("back", &back)], switch, &spoken));
        push(
            &mut html,
            format_args!(
                "<details class=ask><summary aria-label=\"Change {}\">Change…</summary><form class=fields method=post action=\"{}\">\
                 <input type=hidden name=back value=\"{}\"><label>Number <input name=guide_number value=\"{}\" size=8 required></label>\
                 <label>Name <input name=guide_name value=\"{}\" required></label><button>Save</button></form>{}</details>",
                escaped(name),
                act("change"),
                escaped(&back),
                escaped(&channel.guide_number),
                escaped(name),
                asks_once(
                    &act("remove"),
                    &[],
                    "Remove…",
                    &format!(
                        "Remove {} {name} and its {}",
                        channel.guide_number,
                        count(channel.sources.len(), "source", "sources")
                    )
                ),
            ),
        );
        html + "</tr>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::testing::channels_of;

    fn channels() -> Vec<ChannelRecord> {
        channels_of(&[("a", "News & <b>"), ("b", "Sports")])
    }

    fn html(asked: &str, channels: Vec<ChannelRecord>, watched: &[(i64, usize)]) -> String {
        let rows = Rows { total: channels.len(), offset: 0, limit: 100 };
        let watched = watched.iter().copied().collect();
        ChannelsPage { device: "tv", asked, rows, channels, watched, now: 1_000 }.html()
    }

    #[test]
    fn a_row_says_what_a_channel_is_and_offers_what_can_be_done() {
        let shown = html("", channels(), &[(1, 3)]);
        for piece in [
            "<h1>2 channels</h1>",
            "<tr id=c-1><td class=n>100<td><a href=\"/ui/channels/1\">News &amp; &lt;b&gt;</a>",
            "● 3 viewers",
            "○ idle",
            "action=\"/ui/channels/2/move\"",
            "aria-label=\"Move Sports up\"",
            "name=\"enabled\" value=\"false\"",
            "name=guide_number value=\"101\"",
            "Remove 101 Sports and its 1 source",
            "value=\"/ui/channels?q=&amp;offset=0#c-2\"",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
        assert!(!shown.contains("<b>"), "{shown}");
    }

    #[test]
    fn a_channel_that_is_off_or_has_no_source_says_so() {
        let mut all = channels();
        all[0].enabled = false;
        all[1].sources[0].enabled = false;
        let shown = html("", all.clone(), &[]);
        assert!(
            shown.contains("○ off") && shown.contains("Switch on") && shown.contains("■ no source is on")
        );
        assert!(shown.contains("0 of 1 on"), "{shown}");
        all[1].sources[0].enabled = true;
        all[1].sources[0].health.mark_failure("refused", 995);
        assert!(html("", all, &[]).contains("▲ its sources have failed"));
    }

    #[test]
    fn a_search_shows_no_buttons_that_would_move_a_row_past_rows_that_are_hidden() {
        let shown = html("<news>", channels(), &[]);
        assert!(!shown.contains("/move") && shown.contains("value=\"&lt;news&gt;\""), "{shown}");
        assert!(html("x", Vec::new(), &[]).contains("Show all"));
        assert!(html("", Vec::new(), &[]).contains("/ui/add"));
    }
}
