//! What all pages are made of: one way to escape, one head, one way to page through rows, one kind of button.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::http::Response;

/// What a page may load: its own style and script, and nothing else.
const POLICY: &str = "default-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Where in the house a page stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::control) enum Place {
    Now,
    Channels,
    Add,
    Playlists,
    History,
    System,
}

impl Place {
    const ALL: [Self; 6] =
        [Self::Now, Self::Channels, Self::Add, Self::Playlists, Self::History, Self::System];

    const fn address(self) -> &'static str {
        match self {
            Self::Now => "/ui/",
            Self::Channels => "/ui/channels",
            Self::Add => "/ui/add",
            Self::Playlists => "/ui/playlists",
            Self::History => "/ui/history",
            Self::System => "/ui/system",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Channels => "Channels",
            Self::Add => "Add",
            Self::Playlists => "Playlists",
            Self::History => "History",
            Self::System => "System",
        }
    }
}

/// A text that means nothing else in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A text as it may stand in an address.
pub(super) fn in_address(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(super) fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a String takes everything");
}

/// A part of a page by its name: a page that is open is sent those that have changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) html: String,
}

impl Piece {
    pub(super) fn new(name: &str, html: String) -> Self {
        Self { name: name.to_owned(), html }
    }
}

/// A page of this device, in its place, with this between its head and its end.
pub(in crate::control) fn page(device: &str, place: Place, main: &str) -> Response {
    guarded(Response::new(200).body("text/html; charset=utf-8", document(device, place, "", main)))
}

/// The same of a page that follows what happens: what is new of it comes from this address.
pub(super) fn live_page(device: &str, place: Place, events: &str, pieces: &[Piece]) -> Response {
    let mut main = String::new();
    for Piece { name, html } in pieces {
        let class = if name.starts_with("channel-") { " class=row" } else { "" };
        push(&mut main, format_args!("<section id=\"p-{}\"{class}>{html}</section>\n", escaped(name)));
    }
    guarded(Response::new(200).body("text/html; charset=utf-8", document(device, place, events, &main)))
}

fn document(device: &str, place: Place, events: &str, main: &str) -> String {
    let device = escaped(device);
    let (script, live, notice, from) = if events.is_empty() {
        ("", "", "", String::new())
    } else {
        (
            "<script type=module src=/ui/now.js></script>",
            " · <span id=live role=status>as of this moment</span>",
            "<p id=notice role=status></p>",
            format!(" data-events=\"{}\"", escaped(events)),
        )
    };
    let mut links = String::new();
    for other in Place::ALL {
        let current = if other == place { " aria-current=page" } else { "" };
        push(&mut links, format_args!("<a href=\"{}\"{current}>{}</a>", other.address(), other.name()));
    }
    let title = if place == Place::Now { String::new() } else { format!("{} · ", place.name()) };
    format!(
        "<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}{device}</title><link rel=icon href=/ui/icon.svg><link rel=stylesheet href=/ui/now.css>{script}</head>\n\
         <body><header><span class=quiet>{device}{live}</span><nav aria-label=Places>{links}</nav></header>\n\
         <main{from}>\n{main}</main>{notice}</body></html>\n"
    )
}

/// A page that says why something was not done.
pub(in crate::control) fn problem(device: &str, status: u16, sentence: &str, back: &str) -> Response {
    let (device, sentence, back) = (escaped(device), escaped(sentence), escaped(back));
    let html = format!(
        "<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Not done · {device}</title><link rel=icon href=/ui/icon.svg><link rel=stylesheet href=/ui/now.css></head>\n\
         <body><header><span class=quiet>{device}</span></header>\n\
         <main><h1>That was not done.</h1><p class=bad role=alert>■ {sentence}</p><p><a href=\"{back}\">Back</a></p></main></body></html>\n"
    );
    guarded(Response::new(status).body("text/html; charset=utf-8", html))
}

fn guarded(answer: Response) -> Response {
    answer
        .header("Content-Security-Policy", POLICY)
        .header("Cache-Control", "no-store")
        .header("Referrer-Policy", "same-origin")
        .header("X-Content-Type-Options", "nosniff")
}

/// A button that sends these fields when it is pressed.
pub(super) fn button(action: &str, fields: &[(&str, &str)], label: &str, spoken: &str) -> String {
    let mut html = format!("<form method=post action=\"{}\">", escaped(action));
    for (name, value) in fields {
        push(&mut html, format_args!("<input type=hidden name=\"{name}\" value=\"{}\">", escaped(value)));
    }
    let spoken =
        if spoken.is_empty() { String::new() } else { format!(" aria-label=\"{}\"", escaped(spoken)) };
    push(&mut html, format_args!("<button{spoken}>{}</button></form>", escaped(label)));
    html
}

/// A button that asks once, in its place, before it does anything.
pub(super) fn asks_once(action: &str, fields: &[(&str, &str)], first: &str, really: &str) -> String {
    format!(
        "<details class=ask><summary>{}</summary>{}</details>",
        escaped(first),
        button(action, fields, really, "")
    )
}

/// A field to search in, with what is searched for now.
pub(super) fn search(action: &str, label: &str, asked: &str, others: &str) -> String {
    format!(
        "<form class=search method=get action=\"{action}\" role=search><label>{}\
         <input type=search name=q value=\"{}\"></label>{others}<button>Search</button></form>",
        escaped(label),
        escaped(asked)
    )
}

/// Which rows are shown of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::control) struct Rows {
    pub(in crate::control) total: usize,
    pub(in crate::control) offset: usize,
    pub(in crate::control) limit: usize,
}

impl Rows {
    /// Those of a list that are shown.
    pub(in crate::control) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.offset).take(self.limit).collect()
    }

    /// Which they are, and where the others stand. `before` is the address up to the number of the first row.
    pub(super) fn links(self, before: &str) -> String {
        let Self { total, offset, limit } = self;
        if total <= limit && offset == 0 {
            return String::new();
        }
        let (first, last) = ((offset + 1).min(total), (offset + limit).min(total));
        let mut html = format!("<p class=pager>{first}–{last} of {total}");
        if offset > 0 {
            let to = offset.saturating_sub(limit);
            push(
                &mut html,
                format_args!(" <a rel=prev href=\"{}offset={to}\">Earlier rows</a>", escaped(before)),
            );
        }
        if last < total {
            push(
                &mut html,
                format_args!(" <a rel=next href=\"{}offset={last}\">More rows</a>", escaped(before)),
            );
        }
        html + "</p>"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_part_of_the_page() {
        assert_eq!(
            escaped("<a href='x' title=\"y\">&amp;"),
            "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;amp;"
        );
        let html = button("/ui/x?a=\"b", &[("name", "\"><script>")], "<b>", "\"");
        assert!(!html.contains("<script>") && !html.contains("<b>") && !html.contains("a=\"b"), "{html}");
        assert_eq!(in_address("a&b=c d"), "a%26b%3Dc%20d");
    }

    #[test]
    fn rows_say_which_they_are_and_where_the_others_stand() {
        let rows = |total, offset| Rows { total, offset, limit: 50 }.links("/ui/x?");
        assert_eq!(rows(50, 0), "");
        assert_eq!(
            rows(120, 0),
            "<p class=pager>1–50 of 120 <a rel=next href=\"/ui/x?offset=50\">More rows</a></p>"
        );
        assert!(rows(120, 100).contains("101–120 of 120 <a rel=prev href=\"/ui/x?offset=50\">"));
        assert!(!rows(120, 100).contains("More rows"));
        assert!(rows(3, 200).contains("3–3 of 3"), "whoever asks for rows that are gone finds back");
        assert_eq!(Rows { total: 5, offset: 1, limit: 2 }.of(vec![1, 2, 3, 4, 5]), [2, 3]);
    }
}
