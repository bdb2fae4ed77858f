//! A DASH manifest as somebody is to read it who asks another server than its own for what it names.
//!
//! Segments are named by templates, of which only their reader makes addresses. So not the addresses are given others but the
//! servers, and paths stay: where a manifest names a server, and in front of what is relative to the manifest itself.

use crate::base::limits::{HLS_LIST_BYTES_MAX, RELAYED_LIST_BYTES_MAX};
use crate::http::Url;
use crate::source::hls::Start;

/// Why a manifest cannot be given to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`HLS_LIST_BYTES_MAX`], or with other addresses than [`RELAYED_LIST_BYTES_MAX`].
    #[error("the DASH manifest is too long")]
    TooLong,
    /// No end of a tag, or of a value.
    #[error("the DASH manifest is damaged")]
    Damaged,
    /// The address of a server makes no sense.
    #[error("the DASH manifest names a server by an address that is none")]
    Server,
}

/// What a body is that begins with these bytes.
#[must_use]
pub fn start(bytes: &[u8]) -> Start {
    let rest = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start();
    let is_begun = |mark: &&[u8]| mark.starts_with(&rest[..rest.len().min(mark.len())]);
    if !MARKS.iter().any(is_begun) {
        Start::Other
    } else if rest.windows(MPD.len()).any(|window| window == MPD) {
        Start::List
    } else if bytes.len() < START_BYTES_MAX {
        Start::Undecided
    } else {
        Start::Other
    }
}

/// The manifest at `at` with other servers: `server` gives the address, without a slash at its end, of one that is named by its root.
///
/// # Errors
/// When it is too long or damaged, or names a server that there cannot be.
pub fn rewritten(
    bytes: &[u8],
    at: &Url,
    server: impl FnMut(&Url) -> String,
) -> Result<Vec<u8>, ManifestError> {
    if bytes.len() > HLS_LIST_BYTES_MAX {
        return Err(ManifestError::TooLong);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut manifest = Manifest { at, server, written: String::with_capacity(text.len() * 2) };
    manifest.read(&text)?;
    Ok(manifest.written.into_bytes())
}

/// A manifest while it is read.
struct Manifest<'manifest, S> {
    at: &'manifest Url,
    server: S,
    written: String,
}

impl<S: FnMut(&Url) -> String> Manifest<'_, S> {
    fn read(&mut self, mut text: &str) -> Result<(), ManifestError> {
        let (mut is_in_period, mut is_begun) = (false, false);
        while let Some(at) = text.find('<') {
            if self.written.len() > RELAYED_LIST_BYTES_MAX {
                return Err(ManifestError::TooLong);
            }
            let (before, rest) = text.split_at(at);
            self.written.push_str(before);
            if rest.starts_with(COMMENT) {
                let end = rest.find(COMMENT_END).ok_or(ManifestError::Damaged)? + COMMENT_END.len();
                self.written.push_str(&rest[..end]);
                text = &rest[end..];
                continue;
            }
            let (tag, rest) = rest.split_at(tag_bytes(rest).ok_or(ManifestError::Damaged)?);
            text = rest;
            self.tag(tag)?;
            let is_open = !tag.ends_with("/>");
            match local_name(&tag[1..]) {
                // One is all that a manifest has, and behind each of many everything would be looked through.
                "MPD" if is_open && !is_begun => {
                    is_begun = true;
                    if !has_base(text) {
                        let base = self.resolved("")?;
                        self.written.push_str(&format!("<BaseURL>{base}</BaseURL>"));
                    }
                }
                "Period" => is_in_period = true,
                "BaseURL" | "Location" if is_open => {
                    let (value, rest) = text.split_at(text.find('<').ok_or(ManifestError::Damaged)?);
                    // Only the outermost is relative to the manifest.
                    let value = value.trim();
                    let other =
                        if is_in_period { self.of_server(value)? } else { Some(self.resolved(value)?) };
                    self.written.push_str(other.as_deref().unwrap_or(value));
                    text = rest;
                }
                _other => {}
            }
        }
        self.written.push_str(text);
        Ok(())
    }

    /// A tag, with other servers in its attributes.
    fn tag(&mut self, tag: &str) -> Result<(), ManifestError> {
        let mut rest = tag;
        while let Some(at) = rest.find(['"', '\'']) {
            let quote = &rest[at..=at];
            let (before, value) = rest.split_at(at + 1);
            let (value, after) = value.split_once(quote).ok_or(ManifestError::Damaged)?;
            let name = before.trim_end_matches(['"', '\'', '=', ' ']);
            let name = name.rsplit(|character: char| character.is_whitespace()).next().unwrap_or_default();
            let other = if ATTRIBUTES.contains(&local_name(name)) { self.of_server(value)? } else { None };
            self.written.push_str(before);
            self.written.push_str(other.as_deref().unwrap_or(value));
            self.written.push_str(quote);
            rest = after;
        }
        self.written.push_str(rest);
        Ok(())
    }

    /// What names a server, with another in its place; `None` for what is relative to its surroundings.
    fn of_server(&mut self, value: &str) -> Result<Option<String>, ManifestError> {
        let is =
            |scheme: &str| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let authority = match ["http://", "https://", "//"].into_iter().find(|start| is(start)) {
            Some(start) => start.len(),
            None if value.starts_with('/') => 0,
            None => return Ok(None),
        };
        let path = value[authority..].find(['/', '?']).map_or(value.len(), |at| authority + at);
        let (server, path) = value.split_at(path);
        let root = self.at.join(if server.is_empty() { "/" } else { server });
        let root = root.map_err(|_no_address| ManifestError::Server)?;
        Ok(Some((self.server)(&root) + path))
    }

    /// What is relative to the manifest, or names a server.
    fn resolved(&mut self, value: &str) -> Result<String, ManifestError> {
        if let Some(other) = self.of_server(value)? {
            return Ok(other);
        }
        let plain = value.replace("&amp;", "&");
        let reference = if plain.is_empty() { "." } else { plain.as_str() };
        let url = self.at.join(reference).map_err(|_no_address| ManifestError::Server)?;
        let root = self.at.join("/").map_err(|_no_address| ManifestError::Server)?;
        Ok((self.server)(&root) + &url.target().replace('&', "&amp;"))
    }
}

/// True when something stands in front of the periods that everything is relative to.
fn has_base(text: &str) -> bool {
    let end = text.find("<Period").unwrap_or(text.len());
    let mut parts = text[..end].split(COMMENT);
    let first = parts.next().unwrap_or_default();
    let behind_comments = parts.filter_map(|part| part.split_once(COMMENT_END).map(|(_, behind)| behind));
    std::iter::once(first).chain(behind_comments).any(|part| part.contains("<BaseURL"))
}

/// How long the tag is that a text begins with. What is quoted ends none.
fn tag_bytes(text: &str) -> Option<usize> {
    let mut quote = None;
    let end = text.find(|character| match (quote, character) {
        (None, '>') => true,
        (None, '"' | '\'') => {
            quote = Some(character);
            false
        }
        (Some(open), _) if open == character => {
            quote = None;
            false
        }
        (None | Some(_), _) => false,
    });
    end.map(|end| end + 1)
}

/// A name without what stands for its namespace.
fn local_name(text: &str) -> &str {
    let end = text.find(|character: char| character.is_whitespace() || matches!(character, '>' | '/'));
    let name = &text[..end.unwrap_or(text.len())];
    name.rsplit(':').next().unwrap_or(name)
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const MPD: &[u8] = b"<MPD";
/// What a manifest begins with.
const MARKS: [&[u8]; 3] = [b"<?xml", MPD, b"<!--"];
const COMMENT: &str = "<!--";
const COMMENT_END: &str = "-->";
/// A text that has told nothing by then is no manifest.
const START_BYTES_MAX: usize = 4096;
/// Those that name something to be asked for.
const ATTRIBUTES: [&str; 5] = ["media", "initialization", "sourceURL", "index", "href"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relayed(text: &str) -> Result<String, ManifestError> {
        let at = Url::parse("https://h:8443/live/one/a.mpd?t=1&u=2").unwrap();
        let bytes = rewritten(text.as_bytes(), &at, |root| format!("<{}>", root.authority()))?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn servers_get_other_addresses_and_paths_and_templates_stay() {
        for (inside, expected) in [
            ("<Period/>", "<BaseURL><h:8443>/live/one/</BaseURL><Period/>"),
            ("<BaseURL>x/</BaseURL><Period>", "<BaseURL><h:8443>/live/one/x/</BaseURL><Period>"),
            ("<BaseURL a='b'> ../x/ </BaseURL>", "<BaseURL a='b'><h:8443>/live/x/</BaseURL>"),
            ("<BaseURL>https://cdn/x/?a=1&amp;b</BaseURL>", "<BaseURL><cdn>/x/?a=1&amp;b</BaseURL>"),
            ("<BaseURL>//cdn:81/</BaseURL>", "<BaseURL><cdn:81>/</BaseURL>"),
            (
                "<Period><BaseURL>v/</BaseURL></Period>",
                "<BaseURL><h:8443>/live/one/</BaseURL><Period><BaseURL>v/</BaseURL></Period>",
            ),
            (
                "<!-- <BaseURL>no</BaseURL> --><Period><BaseURL>HTTP://cdn/v/</BaseURL>",
                "<BaseURL><h:8443>/live/one/</BaseURL><!-- <BaseURL>no</BaseURL> --><Period><BaseURL><cdn>/v/</BaseURL>",
            ),
            (
                "<BaseURL>/</BaseURL><S media=\"https://cdn/$Number%05d$.m4s?a=1&amp;b=2\" initialization='i-$RepresentationID$'/>",
                "<BaseURL><h:8443>/</BaseURL><S media=\"<cdn>/$Number%05d$.m4s?a=1&amp;b=2\" initialization='i-$RepresentationID$'/>",
            ),
            (
                "<BaseURL>/</BaseURL><Role schemeIdUri=\"https://dash/role\" x:href = '/p' value=\"a>b\"/>",
                "<BaseURL><h:8443>/</BaseURL><Role schemeIdUri=\"https://dash/role\" x:href = '<h:8443>/p' value=\"a>b\"/>",
            ),
            (
                "<BaseURL>/</BaseURL><Location>b.mpd?v=2</Location>",
                "<BaseURL><h:8443>/</BaseURL><Location><h:8443>/live/one/b.mpd?v=2</Location>",
            ),
        ] {
            let (head, tail) =
                ("<?xml version=\"1.0\"?>\n<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>", "</MPD>\n");
            assert_eq!(relayed(&format!("{head}{inside}{tail}")), Ok(format!("{head}{expected}{tail}")));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, error) in [
            ("<MPD", ManifestError::Damaged),
            ("<MPD a=\"b>", ManifestError::Damaged),
            ("<MPD><!-- ", ManifestError::Damaged),
            ("<MPD><BaseURL>x", ManifestError::Damaged),
            ("<MPD><BaseURL>https://h:x/</BaseURL>", ManifestError::Server),
        ] {
            assert_eq!(relayed(text), Err(error), "{text}");
        }
        assert_eq!(relayed(&" ".repeat(HLS_LIST_BYTES_MAX + 1)), Err(ManifestError::TooLong));
    }

    #[test]
    fn one_element_is_the_manifest_however_many_there_are() {
        let head = "<MPD><BaseURL><h:8443>/live/one/</BaseURL><Period>";
        assert_eq!(relayed("<MPD><Period><MPD><MPD>"), Ok(format!("{head}<MPD><MPD>")));
        assert_eq!(relayed("<MPD/><MPD><Period>"), Ok(format!("<MPD/>{head}")));
    }

    #[test]
    fn what_grows_beyond_all_measure_is_refused() {
        let at = Url::parse(&format!("http://h/{}/", "a".repeat(8000))).unwrap();
        let relayed = |places| {
            let manifest = "<BaseURL></BaseURL>".repeat(places);
            rewritten(manifest.as_bytes(), &at, |_root| String::new()).map(|manifest| manifest.len())
        };
        assert_eq!(relayed(1000), Ok(1000 * 8021));
        assert_eq!(relayed(RELAYED_LIST_BYTES_MAX / 8000 + 1), Err(ManifestError::TooLong));
    }

    #[test]
    fn a_manifest_is_known_by_its_first_bytes_however_few_have_come() {
        let long = format!("<!--{}--><MPD>", " ".repeat(START_BYTES_MAX));
        for (text, expected) in [
            ("", Start::Undecided),
            ("<", Start::Undecided),
            (" <?xml version='1.0'?>\n", Start::Undecided),
            ("<?xml version='1.0'?><!-- a -->\n<MPD", Start::List),
            ("<MPD type='dynamic'>", Start::List),
            ("<html>", Start::Other),
            ("G@", Start::Other),
            (&long[..START_BYTES_MAX], Start::Other),
        ] {
            assert_eq!(start(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in "[<>/!\"'= a-zBMPDURLé-]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _result: Result<String, ManifestError> = relayed(&text);
            let at = Url::parse("http://h/").unwrap();
            let _result: Result<Vec<u8>, ManifestError> = rewritten(&bytes, &at, |_root| String::new());
            let _start: Start = start(&bytes);
        }
    }
}
