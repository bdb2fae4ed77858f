//! The pages that can be open, with what of them is asked for.

use super::channel::ViewersAsked;
use super::history::HistoryAsked;
use super::html::{Place, in_address};

/// Rows of a page.
pub(in crate::control) const ROWS_SHOWN: usize = 50;

/// A page, with what of it is asked for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::control) enum View {
    Now,
    Channel { channel: i64, viewers: ViewersAsked },
    Playlists { offset: usize },
    History(HistoryAsked),
    System,
}

/// What names the fields of a query.
type PageQuery<'a> = &'a dyn Fn(&str) -> Option<String>;

fn asked(query: PageQuery<'_>, name: &str) -> String {
    query(name).unwrap_or_default().trim().to_owned()
}

/// Whoever asks for rows that there cannot be is shown the first.
pub(in crate::control) fn offset(query: PageQuery<'_>) -> usize {
    query("offset").and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

impl View {
    pub(in crate::control) fn of_channel(channel: i64, query: PageQuery<'_>) -> Self {
        Self::Channel { channel, viewers: ViewersAsked { address: asked(query, "q"), offset: offset(query) } }
    }

    pub(in crate::control) fn of_playlists(query: PageQuery<'_>) -> Self {
        Self::Playlists { offset: offset(query) }
    }

    pub(in crate::control) fn of_history(query: PageQuery<'_>) -> Self {
        Self::History(HistoryAsked {
            channel: asked(query, "channel"),
            reason: asked(query, "reason"),
            day: asked(query, "day"),
            offset: offset(query),
        })
    }

    /// The one whose news are asked for; without a name that of the page Now.
    pub(in crate::control) fn of_events(query: PageQuery<'_>) -> Option<Self> {
        Some(match query("view").unwrap_or_default().trim() {
            "" | "now" => Self::Now,
            "channel" => Self::of_channel(query("id")?.trim().parse().ok()?, query),
            "playlists" => Self::of_playlists(query),
            "history" => Self::of_history(query),
            "system" => Self::System,
            _ => return None,
        })
    }

    /// Where its news are.
    pub(super) fn events(&self) -> String {
        let query = match self {
            Self::Now => "now".to_owned(),
            Self::Channel { channel, viewers: ViewersAsked { address, offset } } => {
                format!("channel&id={channel}&q={}&offset={offset}", in_address(address))
            }
            Self::Playlists { offset } => format!("playlists&offset={offset}"),
            Self::History(HistoryAsked { channel, reason, day, offset }) => format!(
                "history&channel={}&reason={}&day={}&offset={offset}",
                in_address(channel),
                in_address(reason),
                in_address(day)
            ),
            Self::System => "system".to_owned(),
        };
        format!("/api/admin/events?view={query}")
    }

    pub(super) const fn place(&self) -> Place {
        match self {
            Self::Now => Place::Now,
            Self::Channel { .. } => Place::Channels,
            Self::Playlists { .. } => Place::Playlists,
            Self::History(_) => Place::History,
            Self::System => Place::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_page_asks_for_the_news_of_what_it_shows() {
        let viewers = ViewersAsked { address: "192.0.2.1".to_owned(), offset: 100 };
        let history = HistoryAsked {
            channel: "5 News & <b>".to_owned(),
            reason: "stall".to_owned(),
            day: "2026-03-01".to_owned(),
            offset: 50,
        };
        for view in [
            View::Now,
            View::Channel { channel: 7, viewers },
            View::Playlists { offset: 3 },
            View::History(history),
            View::System,
        ] {
            let address = view.events();
            let (_, query) = address.split_once('?').unwrap();
            let fields: BTreeMap<String, String> = crate::http::form_pairs(query).collect();
            assert_eq!(View::of_events(&|name| fields.get(name).cloned()), Some(view), "{address}");
        }
        let one = |name: &'static str, value: &'static str| {
            View::of_events(&move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(one("view", "channel"), None, "a channel has an id");
        assert_eq!(one("view", "add"), None);
        assert_eq!(one("other", ""), Some(View::Now));
    }
}
