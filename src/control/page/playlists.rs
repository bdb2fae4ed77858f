//! The page "Playlists": where channels come from, and how reading that went.

use crate::base::{WallTime, redact};
use crate::store::PlaylistRecord;

use super::calendar::Calendar;
use super::html::{Piece, Rows, asks_once, button, escaped, in_address, push};
use super::words::count;

/// A playlist, and how it is being read.
pub(in crate::control) struct PlaylistRow {
    pub(in crate::control) record: PlaylistRecord,
    pub(in crate::control) is_reading: bool,
    pub(in crate::control) next_at: Option<WallTime>,
    /// Connections to its provider.
    pub(in crate::control) connections: ConnectionsInUse,
}

/// Connections to the provider of a playlist.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::control) struct ConnectionsInUse {
    /// Those that carry a stream, or are being opened for one, and those that are closed and that the provider still counts; nothing
    /// when the cores did not say.
    pub(in crate::control) taken: Option<(usize, usize)>,
    /// How many there may be at once.
    pub(in crate::control) max: u32,
}

impl ConnectionsInUse {
    fn words(self) -> String {
        let Self { taken, max } = self;
        let Some((in_use, counted)) = taken else { return format!("– of {max} in use") };
        let closed = match counted {
            0 => String::new(),
            1 => "<br><span class=quiet>1 closed, still counted there</span>".to_owned(),
            many => format!("<br><span class=quiet>{many} closed, still counted there</span>"),
        };
        let is_full = in_use + counted >= max as usize && in_use > 0;
        let (class, sign) = if is_full { (" class=wait", "▲ ") } else { ("", "") };
        format!("<span{class}>{sign}{in_use} of {max} in use</span>{closed}")
    }
}

/// What the page is made of.
pub(in crate::control) struct PlaylistsPage<'a> {
    pub(in crate::control) rows: Rows,
    pub(in crate::control) playlists: Vec<PlaylistRow>,
    pub(in crate::control) calendar: &'a Calendar,
}

impl PlaylistsPage<'_> {
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut html = format!("<h1>{}</h1>", count(self.rows.total, "playlist", "playlists"));
        if !self.playlists.is_empty() {
            html.push_str(
                "<table class=rows><thead><tr><th>Name<th class=n>Entries<th>Connections<th>Last read<th></tr></thead><tbody>",
            );
            self.playlists.iter().for_each(|playlist| html.push_str(&self.row(playlist)));
            html.push_str("</tbody></table>");
            html.push_str(&self.rows.links("/ui/playlists?"));
        }
        let add = "<h3>Add a playlist</h3><form class=fields method=post action=/ui/playlists>\
             <label>Name <input name=name required maxlength=200></label>\
             <label>Address <input name=url required size=40 placeholder=\"http://…, https://… or xtream://name:password@host\"></label>\
             <label>Streams at once <input name=tuners size=4 inputmode=numeric placeholder=\"all\"></label>\
             <button>Add, and read it now</button></form>";
        vec![Piece::new("rows", html), Piece::new("add", add.to_owned())]
    }

    fn row(&self, playlist: &PlaylistRow) -> String {
        let PlaylistRow { record, is_reading, next_at, connections } = playlist;
        let id = record.playlist_id;
        let state = if !record.is_enabled {
            "<span class=quiet>○ off</span>".to_owned()
        } else if *is_reading {
            "<span class=new>◐ being read now</span>".to_owned()
        } else if let Some(failure) = &record.failure {
            let tried = record.tried_at.map_or_else(|| "–".to_owned(), |at| self.calendar.of_wall(at));
            let kept = if record.items > 0 { "; what was read before stays" } else { "" };
            format!("<span class=bad>■ {tried}: {}{kept}</span>", escaped(failure))
        } else if let Some(at) = record.read_at {
            format!("<span class=ok>● {}</span>", self.calendar.of_wall(at))
        } else {
            "<span class=quiet>– not read yet</span>".to_owned()
        };
        let next = next_at.filter(|_| record.is_enabled && !is_reading).map_or_else(String::new, |at| {
            format!("<br><span class=quiet>next {}</span>", self.calendar.of_wall(at))
        });
        let connections = connections.words();
        let back = [("back", "/ui/playlists")];
        let mut html = format!(
            "<tr id=p-{id}><td><b>{}</b><br><span class=\"quiet address\">{}</span><td class=n data-unit=entries>{}<td data-what=Connections>{connections}<td class=full>{state}{next}<td class=acts>",
            escaped(&record.name),
            escaped(&redact::url(&record.url)),
            record.items,
        );
        if record.is_enabled && !is_reading {
            let spoken = format!("Read now: {}", record.name);
            html.push_str(&button(&format!("/ui/playlists/{id}/read"), &back, "Read now", &spoken));
        }
        if record.is_set {
            html.push_str("<span class=quiet>set by PLAYLIST_URL or PLAYLIST_SOURCES</span> ");
        } else {
            let (label, to) = if record.is_enabled { ("Switch off", "false") } else { ("Switch on", "true") };
            let spoken = format!("{label} {}", record.name);
            html.push_str(&button(
                &format!("/ui/playlists/{id}/switch"),
                &[("enabled", to), back[0]],
                label,
                &spoken,
            ));
            let really = format!(
                "Remove {} with its {} and the sources made of them",
                record.name,
                count(usize::try_from(record.items).unwrap_or(usize::MAX), "entry", "entries")
            );
            html.push_str(&asks_once(&format!("/ui/playlists/{id}/remove"), &back, "Remove…", &really));
        }
        push(
            &mut html,
            format_args!(
                "<a href=\"/ui/add?playlist={}\">Search in it</a></tr>\n",
                in_address(&id.to_string())
            ),
        );
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::calendar::tests::calendar;

    fn record(id: i64) -> PlaylistRecord {
        PlaylistRecord {
            playlist_id: id,
            name: "Provider <A>".to_owned(),
            url: "http://user:hunter2@host/get.php?password=hunter2".to_owned(),
            tuners: Some(2),
            user_agent: None,
            is_enabled: true,
            is_set: false,
            tried_at: Some(WallTime::from_unix_nanos(1_772_396_000_000_000_000)),
            read_at: Some(WallTime::from_unix_nanos(1_772_396_000_000_000_000)),
            failure: None,
            items: 1234,
        }
    }

    fn html(record: PlaylistRecord, is_reading: bool) -> String {
        html_of(record, is_reading, ConnectionsInUse { taken: Some((1, 0)), max: 4 })
    }

    fn html_of(record: PlaylistRecord, is_reading: bool, connections: ConnectionsInUse) -> String {
        let calendar = calendar();
        let next_at = Some(WallTime::from_unix_nanos(1_772_400_000_000_000_000));
        let playlists = vec![PlaylistRow { record, is_reading, next_at, connections }];
        let rows = Rows { total: 1, offset: 0, limit: 50 };
        let pieces = PlaylistsPage { rows, playlists, calendar: &calendar }.pieces();
        pieces.iter().map(|piece| piece.html.as_str()).collect()
    }

    #[test]
    fn a_playlist_shows_what_it_holds_and_how_it_was_read_and_no_password() {
        let shown = html(record(3), false);
        for piece in [
            "Provider &lt;A&gt;",
            "<td class=n data-unit=entries>1234",
            "● 2026-03-01 20:13:20",
            "next 2026-03-01 21:20:00",
            "action=\"/ui/playlists/3/read\"",
            "Remove Provider &lt;A&gt; with its 1234 entries",
            "action=/ui/playlists>",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn it_is_said_how_many_of_its_connections_are_in_use() {
        for (in_use, counted, said) in [
            (0, 0, "<td data-what=Connections><span>0 of 4 in use</span><td"),
            (
                2,
                1,
                "<td data-what=Connections><span>2 of 4 in use</span><br><span class=quiet>1 closed, still counted there</span><td",
            ),
            (3, 1, "<td data-what=Connections><span class=wait>▲ 3 of 4 in use</span><br>"),
            (4, 0, "<td data-what=Connections><span class=wait>▲ 4 of 4 in use</span><td"),
        ] {
            let shown =
                html_of(record(3), false, ConnectionsInUse { taken: Some((in_use, counted)), max: 4 });
            assert!(shown.contains(said), "{said}: {shown}");
        }
        let shown = html_of(record(3), false, ConnectionsInUse { taken: None, max: 4 });
        assert!(shown.contains("<td data-what=Connections>– of 4 in use<td"), "{shown}");
    }

    #[test]
    fn a_reading_that_failed_or_goes_on_says_so() {
        let failed =
            html(PlaylistRecord { failure: Some("the server answered 404".to_owned()), ..record(3) }, false);
        assert!(
            failed.contains("■ 2026-03-01 20:13:20: the server answered 404; what was read before stays"),
            "{failed}"
        );
        let reading = html(record(3), true);
        assert!(reading.contains("◐ being read now") && !reading.contains("/read\""), "{reading}");
        let set = html(PlaylistRecord { is_set: true, is_enabled: false, ..record(3) }, false);
        assert!(
            set.contains("set by PLAYLIST_URL") && !set.contains("/remove\"") && set.contains("○ off"),
            "{set}"
        );
    }
}
