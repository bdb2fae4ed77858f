//! Lists that name streams: plain M3U and PLS, as radio stations hand them out. An HLS playlist is none.

use crate::base::limits::LIST_ENTRIES_MAX;
use crate::http::Url;
use crate::source::scheme::Scheme;

/// What a text is, by its lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ListShape {
    /// An HLS playlist: its tags have a prefix of their own (RFC 8216, 4.3).
    Hls,
    /// The beginning of a list, and of an HLS playlist too.
    Undecided,
    /// A list.
    Plain,
}

/// Looks at a text. `complete`: no more will come. `None` for what is no list in any case.
pub(super) fn listing(text: &[u8], complete: bool) -> Option<ListShape> {
    if starts_with(text, b"[playlist]") {
        return Some(if complete { ListShape::Plain } else { ListShape::Undecided });
    }
    let is_headed = [&b"#EXTM3U"[..], b"#EXTINF", b"#EXT-X-"].iter().any(|word| starts_with(text, word));
    // The last line may go on.
    let whole =
        if complete { text } else { &text[..text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)] };
    if is_headed && (starts_with(text, b"#EXT-X-") || lines(whole).any(|line| starts_with(line, b"#EXT-X-")))
    {
        return Some(ListShape::Hls);
    }
    // Some have nothing but addresses in them.
    let names_first = || lines(text).find(|line| line[0] != b'#').is_some_and(is_address);
    if !is_headed && !names_first() {
        return None;
    }
    Some(if complete { ListShape::Plain } else { ListShape::Undecided })
}

/// The streams that a list names, at most [`LIST_ENTRIES_MAX`] of them, as far as they are somewhere in the network. Relative
/// ones are so to `base`, where the list is from.
#[must_use]
pub fn entries(text: &[u8], base: &Url) -> Vec<String> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii_start();
    let is_pls = starts_with(text, b"[playlist]");
    let named = lines(text).filter_map(|line| if is_pls { pls_file(line) } else { m3u_line(line) });
    named.filter_map(|name| address(&String::from_utf8_lossy(name), base)).take(LIST_ENTRIES_MAX).collect()
}

/// True when the path's ending names such a list.
#[must_use]
pub fn is_list_name(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or("").to_ascii_lowercase();
    [".m3u", ".pls"].iter().any(|ending| path.ends_with(ending))
}

/// True when a content type is that of such a list. HLS playlists have these types too.
#[must_use]
pub fn is_list_type(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or("").trim();
    ["audio/x-mpegurl", "audio/mpegurl", "application/x-mpegurl", "audio/x-scpls", "application/pls+xml"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// Lines that are not empty, without white space around them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

fn m3u_line(line: &[u8]) -> Option<&[u8]> {
    (line[0] != b'#').then_some(line)
}

/// `File7=address`. Stations write the entries in order.
fn pls_file(line: &[u8]) -> Option<&[u8]> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
    let is_file = starts_with(key, b"file") && key[4..].iter().all(u8::is_ascii_digit);
    (is_file && !value.is_empty()).then_some(value)
}

fn is_address(line: &[u8]) -> bool {
    SCHEMES.iter().any(|scheme| starts_with(line, scheme))
}

/// What a name in a list may lead to. A list comes from a stranger: it opens no file of this machine.
fn address(name: &str, base: &Url) -> Option<String> {
    // A station's own word for HTTP.
    let name = name.strip_prefix("icy:").map_or_else(|| name.to_owned(), |rest| format!("http:{rest}"));
    match Scheme::of(&name) {
        Scheme::Rtmp | Scheme::Rtsp | Scheme::Srt => Some(name),
        Scheme::Http | Scheme::Https => base.join(&name).ok().map(|url| url.text()),
        Scheme::Other if !name.contains("://") && !name.contains('\\') => {
            base.join(&name).ok().map(|url| url.text())
        }
        Scheme::Other | Scheme::Udp | Scheme::Rtp | Scheme::Tcp | Scheme::Test => None,
    }
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

const SCHEMES: [&[u8]; 6] = [b"http://", b"https://", b"icy://", b"rtmp://", b"rtsp://", b"srt://"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        entries(text.as_bytes(), &Url::parse("http://u:p@radio.example/lists/one.m3u?x=1").unwrap())
    }

    #[test]
    fn entries_are_found_in_either_form_and_relative_to_the_list() {
        for (text, expected) in [
            ("#EXTM3U\n#EXTINF:-1,One\nhttp://a.example/one\n", vec!["http://a.example/one"]),
            (
                "\u{FEFF}http://a.example:8000/one\r\n\r\nhttps://b.example/",
                vec!["http://a.example:8000/one", "https://b.example/"],
            ),
            (
                "#EXTM3U\none.mp3\n/two.mp3\n",
                vec!["http://u:p@radio.example/lists/one.mp3", "http://u:p@radio.example/two.mp3"],
            ),
            (
                "[playlist]\nNumberOfEntries=2\nFile1=http://a.example/one\nTitle1=One\nfile2 = two.mp3\nVersion=2",
                vec!["http://a.example/one", "http://u:p@radio.example/lists/two.mp3"],
            ),
            (
                "icy://a.example/one\nrtsp://b.example/two",
                vec!["http://a.example/one", "rtsp://b.example/two"],
            ),
            ("#EXTM3U\nfile:///etc/passwd\ntest://pattern\npipe:0\nC:\\x.mp3\nudp://@239.0.0.1:1\n", vec![]),
            ("[playlist]\nFile=\nFiles=http://a.example/\nFileX=http://a.example/", vec![]),
        ] {
            assert_eq!(of(text), expected, "{text:?}");
        }
        assert_eq!(of(&"http://a.example/x\n".repeat(1000)).len(), LIST_ENTRIES_MAX);
    }

    #[test]
    fn a_list_is_told_from_an_hls_playlist_once_it_is_certain() {
        for (text, complete, expected) in [
            ("#EXTM3U\n#EXT-X-VERSION:3", true, Some(ListShape::Hls)),
            ("#EXTM3U\n#EXT-X-VERSION:3\n", false, Some(ListShape::Hls)),
            ("#EXTM3U\n#EXT-X", false, Some(ListShape::Undecided)),
            ("#EXTM3U\n#EXTINF:10,\n0.ts\n#EXT-X-ENDLIST\n", false, Some(ListShape::Hls)),
            ("#EXTM3U\n#EXTINF:-1,One\nhttp://a/", false, Some(ListShape::Undecided)),
            ("#extm3u\n#EXTINF:-1,One\nhttp://a/", true, Some(ListShape::Plain)),
            ("[Playlist]\nFile1=http://a/", false, Some(ListShape::Undecided)),
            ("[Playlist]\nFile1=http://a/", true, Some(ListShape::Plain)),
            ("# comment\nhttps://a/", true, Some(ListShape::Plain)),
            ("Too many connections, see https://a/", true, None),
            ("{\"url\":\"http://a/\"}", true, None),
            ("", true, None),
        ] {
            assert_eq!(listing(text.as_bytes(), complete), expected, "{text:?} {complete}");
        }
    }

    #[test]
    fn lists_are_known_by_name() {
        for (url, expected) in [
            ("http://h/a.M3U?x=1", true),
            ("http://h/a.pls", true),
            ("http://h/a.m3u8", false),
            ("http://h/a?list=b.pls", false),
        ] {
            assert_eq!(is_list_name(url), expected, "{url}");
        }
    }

    #[test]
    fn lists_are_known_by_their_type() {
        for (content_type, expected) in [
            ("audio/x-mpegurl", true),
            ("Audio/X-SCPLS; charset=utf-8", true),
            ("audio/mpeg", false),
            ("", false),
        ] {
            assert_eq!(is_list_type(content_type), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..400), complete: bool) {
            let _listing: Option<ListShape> = listing(&text, complete);
            let found = entries(&text, &Url::parse("http://h/").unwrap());
            prop_assert!(found.len() <= LIST_ENTRIES_MAX);
        }
    }
}
