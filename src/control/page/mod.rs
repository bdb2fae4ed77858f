//! The page for whoever runs the server: what is watched, what is wrong, and one button for it. It is one file of each kind in the
//! program itself, its numbers can be read without scripts, and nothing of it comes from another host.

mod live;
mod pages;
mod render;
mod words;

use sha1::{Digest, Sha1};

use crate::http::Response;

use super::state::State;

pub(super) use live::OpenPage;
pub(super) use pages::{PAGES_MAX, Pages};

const STYLE: &str = include_str!("now.css");
const SCRIPT: &str = include_str!("now.js");
/// What the page may load: its own style and script, and nothing else.
const POLICY: &str = "default-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A file of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageFile {
    /// How it looks.
    Style,
    /// What makes it live.
    Script,
}

impl PageFile {
    const fn text(self) -> &'static str {
        match self {
            Self::Style => STYLE,
            Self::Script => SCRIPT,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Style => "text/css; charset=utf-8",
            Self::Script => "text/javascript; charset=utf-8",
        }
    }

    /// The file, or that the client has it already.
    pub(super) fn answer(self, known: Option<&str>) -> Response {
        let digest: [u8; 20] = Sha1::digest(self.text()).into();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = format!("\"{hex}\"");
        let is_known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
        let answer = if is_known {
            Response::new(304)
        } else {
            Response::new(200).body(self.content_type(), self.text())
        };
        answer
            .header("ETag", &tag)
            .header("Cache-Control", "no-cache")
            .header("X-Content-Type-Options", "nosniff")
    }
}

/// The page as it is now.
pub(super) async fn now(state: &State) -> Option<Response> {
    let pieces = live::picture(state, false).await?;
    let title = render::escaped(&state.params.identity.friendly_name);
    let sections: String = pieces
        .iter()
        .map(|piece| {
            let class = if piece.name.starts_with("channel-") { "row" } else { "" };
            format!("<section id=\"p-{}\" class=\"{class}\">{}</section>\n", piece.name, piece.html)
        })
        .collect();
    let html = format!(
        "<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><link rel=stylesheet href=/ui/now.css><script type=module src=/ui/now.js></script></head>\n\
         <body><header><span class=quiet>{title} · <span id=live role=status>as of this moment</span></span></header>\n\
         <main>\n{sections}</main></body></html>\n"
    );
    let answer = Response::new(200).body("text/html; charset=utf-8", html);
    Some(
        answer
            .header("Content-Security-Policy", POLICY)
            .header("Cache-Control", "no-store")
            .header("Referrer-Policy", "same-origin")
            .header("X-Content-Type-Options", "nosniff"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        for file in [PageFile::Style, PageFile::Script] {
            let mut bytes = Vec::new();
            file.answer(None).write_last(&mut bytes);
            let text = String::from_utf8(bytes).unwrap();
            let tag = text.split("ETag: ").nth(1).unwrap().split("\r\n").next().unwrap();
            assert!(text.ends_with(file.text()));
            assert_eq!(file.answer(Some(tag)).status(), 304);
            assert_eq!(file.answer(Some("\"other\"")).status(), 200);
        }
    }

    #[test]
    fn the_page_is_small_and_asks_no_other_host() {
        assert!(STYLE.len() + SCRIPT.len() < 150 * 1024);
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("//cdn") && !text.contains("http:") && !text.contains("https:"));
        }
    }
}
