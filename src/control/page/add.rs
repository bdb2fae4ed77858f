//! The page "Add": one search over all playlists, and a channel from what is found by one button.

use std::collections::BTreeMap;

use crate::base::redact;
use crate::http::Response;
use crate::store::ItemRecord;

use super::html::{Place, Rows, escaped, in_address, page, push, search};

/// What a channel of an item would be called.
pub(in crate::control) struct Proposal {
    pub(in crate::control) item: ItemRecord,
    pub(in crate::control) guide_number: String,
    pub(in crate::control) guide_name: String,
    /// Number and name of the channel of which it is a source already, and its id.
    pub(in crate::control) used: Option<(i64, String)>,
}

/// What the page is made of.
pub(in crate::control) struct AddPage<'a> {
    pub(in crate::control) device: &'a str,
    pub(in crate::control) asked: &'a str,
    pub(in crate::control) rows: Rows,
    pub(in crate::control) found: Vec<Proposal>,
    /// What playlists are called.
    pub(in crate::control) playlists: BTreeMap<i64, String>,
    /// The only playlist that is searched in.
    pub(in crate::control) only: Option<i64>,
    /// What of the search did not count.
    pub(in crate::control) is_cut: bool,
}

impl AddPage<'_> {
    pub(in crate::control) fn answer(&self) -> Response {
        page(self.device, Place::Add, &self.html())
    }

    fn html(&self) -> String {
        let mut html = String::from("<h1>Add a channel</h1>");
        let only = self.only.and_then(|id| Some((id, self.playlists.get(&id)?)));
        let (label, hidden) = match only {
            Some((id, name)) => {
                (format!("Search in {name}"), format!("<input type=hidden name=playlist value={id}>"))
            }
            None => ("Search in all playlists".to_owned(), String::new()),
        };
        html.push_str(&search("/ui/add", &label, self.asked, &hidden));
        if self.playlists.is_empty() && self.found.is_empty() {
            html.push_str(
                "<p class=quiet>There is no playlist yet. <a href=/ui/playlists>Add one</a> first.</p>",
            );
            return html;
        }
        if self.asked.is_empty() && only.is_none() {
            html.push_str("<p class=quiet>Some words of its name, as the playlist has it: a name, a part of one, or several.</p>");
            return html;
        }
        if self.is_cut {
            html.push_str(
                "<p class=wait>▲ The search is longer than what is searched for; its end does not count.</p>",
            );
        }
        if self.found.is_empty() {
            html.push_str("<p class=quiet>Nothing in the playlists has these words in its name.</p>");
            return html;
        }
        html.push_str("<table class=rows><thead><tr><th>In the playlist<th class=wide>Group<th class=wide>Playlist<th></tr></thead><tbody>");
        for proposal in &self.found {
            html.push_str(&self.row(proposal));
        }
        html.push_str("</tbody></table>");
        let only = only.map_or_else(String::new, |(id, _name)| format!("playlist={id}&"));
        html + &self.rows.links(&format!("/ui/add?{only}q={}&", in_address(self.asked)))
    }

    fn row(&self, proposal: &Proposal) -> String {
        let Proposal { item: record, guide_number, guide_name, used } = proposal;
        let item = &record.item;
        let playlist = self.playlists.get(&record.playlist_id).map_or("–", String::as_str);
        let used = used.as_ref().map_or_else(String::new, |(id, channel)| {
            format!(
                "<br><span class=quiet>a source of <a href=\"/ui/channels/{id}\">{}</a></span>",
                escaped(channel)
            )
        });
        let mut html = format!(
            "<tr><td><b>{}</b><br><span class=\"quiet address\">{}</span>{used}<td class=wide>{}<td class=wide>{}<td class=full>",
            escaped(if item.name.is_empty() { &item.item_key } else { &item.name }),
            escaped(&redact::url(&item.stream_url)),
            escaped(&item.group_name),
            escaped(playlist),
        );
        let (number, name) = (escaped(guide_number), escaped(guide_name));
        push(
            &mut html,
            format_args!(
                "<form class=add method=post action=/ui/add><input type=hidden name=item_key value=\"{}\">\
                 <button name=as value=channel>Add as {number}</button><details class=ask><summary>Otherwise…</summary><div class=fields>\
                 <label>Number <input name=guide_number value=\"{number}\" size=8></label>\
                 <label>Name <input name=guide_name value=\"{name}\"></label>\
                 <button name=as value=channel>Add as said here</button>\
                 <label>Or one more source of channel <input name=of size=8 placeholder=\"number\"></label>\
                 <button name=as value=source>Add as its source</button></div></details></form></tr>\n",
                escaped(&item.item_key),
            ),
        );
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::testing::with_items;

    fn html(asked: &str, items: &[(&str, &str)], playlists: &[(i64, &str)]) -> String {
        let database = with_items(items);
        let proposal = |(place, (key, name)): (usize, &(&str, &str))| Proposal {
            item: database.item(key).unwrap().unwrap(),
            guide_number: (100 + place).to_string(),
            guide_name: (*name).to_owned(),
            used: (place == 1).then(|| (7, "5 <i>".to_owned())),
        };
        let found = items.iter().enumerate().map(proposal).collect();
        let rows = Rows { total: items.len(), offset: 0, limit: 50 };
        let playlists = playlists.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
        AddPage { device: "tv", asked, rows, found, playlists, only: None, is_cut: false }.html()
    }

    #[test]
    fn what_is_found_is_one_button_away_and_number_and_name_are_proposed() {
        let shown = html("news", &[("a", "News \"One\""), ("b", "News <Two>")], &[(1, "Provider & A")]);
        for piece in [
            "name=item_key value=\"a\"",
            "<button name=as value=channel>Add as 100</button>",
            "name=guide_name value=\"News &quot;One&quot;\"",
            "a source of <a href=\"/ui/channels/7\">5 &lt;i&gt;</a>",
            "Provider &amp; A",
            "<button name=as value=source>",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
        assert!(!shown.contains("<Two>") && !shown.contains("<i>"), "{shown}");
    }

    #[test]
    fn without_anything_to_search_in_the_way_there_is_shown() {
        assert!(html("", &[], &[]).contains("/ui/playlists"));
        assert!(html("", &[], &[(1, "A")]).contains("Some words"));
        assert!(html("x", &[], &[(1, "A")]).contains("Nothing in the playlists"));
    }
}
