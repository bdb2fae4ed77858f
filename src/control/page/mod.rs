//! The pages for whoever runs the server: what is watched, what is wrong, and one button for it. They are in the program itself, can be
//! read and used without scripts, and nothing of them comes from another host. What they show is read where the API reads it; here it
//! becomes HTML, and nothing is kept.

mod add;
mod band;
mod calendar;
mod channel;
mod channels;
mod history;
mod html;
mod live;
mod moments;
mod pages;
mod playlists;
mod render;
mod system;
#[cfg(test)]
pub(super) mod testing;
mod view;
mod viewers;
mod words;

use sha1::{Digest, Sha1};

use crate::http::Response;

pub(super) use add::{AddPage, Proposal};
pub(super) use channels::ChannelsPage;
pub(super) use html::{Rows, problem};
pub(super) use live::{OpenPage, show};
pub(super) use moments::Unshown;
pub(super) use pages::{PAGES_MAX, Pages};
pub(super) use view::{ROWS_SHOWN, View, offset};

const STYLE: &str = include_str!("now.css");
const SCRIPT: &str = include_str!("now.js");
const PLAYER: &str = include_str!("player.js");
const ICON: &str = include_str!("icon.svg");

/// A file of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageFile {
    /// How it looks.
    Style,
    /// What makes it live.
    Script,
    /// What tells of a channel's picture.
    Player,
    /// What browsers show beside its name.
    Icon,
}

impl PageFile {
    const fn text(self) -> &'static str {
        match self {
            Self::Style => STYLE,
            Self::Script => SCRIPT,
            Self::Player => PLAYER,
            Self::Icon => ICON,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Style => "text/css; charset=utf-8",
            Self::Script | Self::Player => "text/javascript; charset=utf-8",
            Self::Icon => "image/svg+xml",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::StreamError;

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        for file in [PageFile::Style, PageFile::Script, PageFile::Player, PageFile::Icon] {
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
        assert!(STYLE.len() + SCRIPT.len() + PLAYER.len() < 150 * 1024);
        for text in [STYLE, SCRIPT, PLAYER] {
            assert!(!text.contains("//cdn") && !text.contains("http:") && !text.contains("https:"));
        }
    }

    /// Whether a player of the page can be refused for this reason.
    const fn is_for_players(error: StreamError) -> bool {
        match error {
            StreamError::GuideNumberMissing | StreamError::TunerNotFound | StreamError::MethodNotAllowed => {
                false
            }
            StreamError::ChannelNotFound
            | StreamError::TuneBackoff { .. }
            | StreamError::NoTuners
            | StreamError::MaxSubscribers
            | StreamError::ViewerLimit
            | StreamError::AddressLimit
            | StreamError::NotAllowed
            | StreamError::NoSources
            | StreamError::TuneFailed
            | StreamError::NoVideo
            | StreamError::SourceLoop
            | StreamError::RequestLoop
            | StreamError::RingMemory
            | StreamError::Saturated
            | StreamError::NoSegment
            | StreamError::SentAway
            | StreamError::Draining => true,
        }
    }

    #[test]
    fn the_player_has_words_for_every_reason_for_which_it_can_be_refused() {
        let all = [
            StreamError::ChannelNotFound,
            StreamError::TuneBackoff { remaining: std::time::Duration::ZERO },
            StreamError::NoTuners,
            StreamError::MaxSubscribers,
            StreamError::ViewerLimit,
            StreamError::AddressLimit,
            StreamError::NotAllowed,
            StreamError::NoSources,
            StreamError::TuneFailed,
            StreamError::NoVideo,
            StreamError::SourceLoop,
            StreamError::RequestLoop,
            StreamError::RingMemory,
            StreamError::Saturated,
            StreamError::NoSegment,
            StreamError::SentAway,
            StreamError::Draining,
        ];
        for error in all {
            assert!(is_for_players(error), "{error}");
            let reason = error.reason();
            assert_eq!(PLAYER.matches(&format!("\n  {reason}: \"")).count(), 1, "{reason}");
        }
        assert_eq!(PLAYER.matches(".\",\n").count(), all.len(), "and no other words");
    }
}
