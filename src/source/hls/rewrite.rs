//! A list as somebody is to read it who asks another server than its own for what it names.

use crate::base::limits::{HLS_LIST_BYTES_MAX, RELAYED_LIST_BYTES_MAX};
use crate::http::Url;

use super::failure::ListError;
use super::list::{is_gzip, unpack};

/// What a body's first bytes tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// It may be a list: more bytes tell.
    Undecided,
    /// It is one, or packed and may be one: [`rewritten`] wants all of it.
    List,
    /// It is none.
    Other,
}

/// What a body is that begins with these bytes.
#[must_use]
pub fn start(bytes: &[u8]) -> Start {
    if is_gzip(bytes) {
        return Start::List;
    }
    let rest = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start();
    let is_begun = GZIP_MAGIC.starts_with(bytes) || BYTE_ORDER_MARK.starts_with(bytes);
    if rest.starts_with(MARK) {
        Start::List
    } else if (is_begun || MARK.starts_with(rest)) && bytes.len() < START_BYTES_MAX {
        Start::Undecided
    } else {
        Start::Other
    }
}

/// The list at `at` with another address, which `address` gives, for everything of HTTP(S) that it names. What is packed and no
/// list stays as it is.
///
/// # Errors
/// When it is too long, becomes longer than [`RELAYED_LIST_BYTES_MAX`], or is packed and damaged.
pub fn rewritten(
    bytes: &[u8],
    at: &Url,
    mut address: impl FnMut(&Url) -> String,
) -> Result<Vec<u8>, ListError> {
    let unpacked = match is_gzip(bytes) {
        true => Some(unpack(bytes, HLS_LIST_BYTES_MAX).ok_or(ListError::DamagedGzip)?),
        false => None,
    };
    let bytes = unpacked.as_deref().unwrap_or(bytes);
    if bytes.len() > HLS_LIST_BYTES_MAX {
        return Err(ListError::TooLong);
    }
    if start(bytes) != Start::List {
        return Ok(bytes.to_vec());
    }
    let text = String::from_utf8_lossy(bytes);
    let mut list = String::with_capacity(text.len() * 2);
    // What cannot be asked for by HTTP stays, as does what only its reader knows.
    let mut elsewhere = |uri: &str| at.join(uri).ok().map(|url| address(&url));
    for line in text.split_inclusive('\n') {
        let words = line.trim();
        let bare = words.trim_start_matches('\u{feff}');
        let after = &line[line.trim_end().len()..];
        let tag = words.split_once(':').filter(|(name, _)| TAGS.contains(name));
        match tag {
            Some((name, attributes)) => {
                list.push_str(name);
                list.push(':');
                push_attributes(&mut list, attributes, &mut elsewhere);
            }
            None if bare.is_empty() || bare.starts_with('#') => {
                list.push_str(line.trim_end());
            }
            None => list.push_str(elsewhere(words).as_deref().unwrap_or(words)),
        }
        list.push_str(after);
        if list.len() > RELAYED_LIST_BYTES_MAX {
            return Err(ListError::TooLong);
        }
    }
    Ok(list.into_bytes())
}

/// Attributes as they are, but for the value of `URI`.
fn push_attributes(list: &mut String, text: &str, elsewhere: &mut impl FnMut(&str) -> Option<String>) {
    let mut is_quoted = false;
    let parts = text.split_inclusive(|character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    });
    for part in parts {
        let uri = part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("URI"));
        let value = uri.map(|(_, value)| value.trim_end_matches(',').trim().trim_matches('"').trim());
        match value.filter(|value| !value.is_empty()).and_then(&mut *elsewhere) {
            Some(address) => {
                list.push_str(&format!("URI=\"{address}\"{}", if part.ends_with(',') { "," } else { "" }));
            }
            None => list.push_str(part),
        }
    }
}

const MARK: &[u8] = b"#EXTM3U";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
/// A list that begins with more white space than this is taken for none.
const START_BYTES_MAX: usize = 512;
/// Those that name something to be asked for.
const TAGS: &[&str] = &[
    "#EXT-X-KEY",
    "#EXT-X-MAP",
    "#EXT-X-MEDIA",
    "#EXT-X-I-FRAME-STREAM-INF",
    "#EXT-X-PART",
    "#EXT-X-SESSION-KEY",
    "#EXT-X-PRELOAD-HINT",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn relayed(text: &[u8]) -> String {
        let at = Url::parse("https://h/live/list.m3u8?t=1").unwrap();
        let bytes = rewritten(text, &at, |url| format!("<{}>", url.text())).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn everything_a_list_names_gets_another_address_and_nothing_else_changes() {
        for (line, expected) in [
            ("0.ts\n", "<https://h/live/0.ts>\n"),
            ("0.ts?a=1&b=%2F\r\n", "<https://h/live/0.ts?a=1&b=%2F>\r\n"),
            ("  ../0.ts \r\n", "<https://h/0.ts> \r\n"),
            ("/v/0.ts\n", "<https://h/v/0.ts>\n"),
            ("?n=2\n", "<https://h/live/list.m3u8?n=2>\n"),
            ("//cdn:8443/0.ts\n", "<https://cdn:8443/0.ts>\n"),
            ("HTTPS://cdn/0.m4s\n", "<https://cdn/0.m4s>\n"),
            ("http://cdn/0.m4s\n", "<http://cdn/0.m4s>\n"),
            ("rtmp://cdn/0\n", "rtmp://cdn/0\n"),
            ("data:text/plain,x\n", "data:text/plain,x\n"),
            ("\r\n", "\r\n"),
            ("# a word\n", "# a word\n"),
            ("#EXTINF:4.0,news, weather.ts\n", "#EXTINF:4.0,news, weather.ts\n"),
            ("#EXT-X-OTHER:URI=\"a\"\n", "#EXT-X-OTHER:URI=\"a\"\n"),
            (
                "#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n",
                "#EXT-X-STREAM-INF:BANDWIDTH=1\n<https://h/live/v.m3u8>\n",
            ),
            (
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k?a,b=1\",IV=0x1\r\n",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"<https://h/live/k?a,b=1>\",IV=0x1\r\n",
            ),
            (
                "#EXT-X-KEY:METHOD=AES-128,URI=\"data:;base64,AAAA\"\n",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"data:;base64,AAAA\"\n",
            ),
            ("#EXT-X-KEY:METHOD=NONE\n", "#EXT-X-KEY:METHOD=NONE\n"),
            (
                "#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"8@0\"\n",
                "#EXT-X-MAP:URI=\"<https://h/live/i.mp4>\",BYTERANGE=\"8@0\"\n",
            ),
            (
                "#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a,URI=x\",URI=\"a.m3u8\"\n",
                "#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a,URI=x\",URI=\"<https://h/live/a.m3u8>\"\n",
            ),
            (
                "#EXT-X-I-FRAME-STREAM-INF:URI=\"i.m3u8\"\n",
                "#EXT-X-I-FRAME-STREAM-INF:URI=\"<https://h/live/i.m3u8>\"\n",
            ),
            ("#EXT-X-PART:DURATION=1,URI=p.m4s\n", "#EXT-X-PART:DURATION=1,URI=\"<https://h/live/p.m4s>\"\n"),
            ("#EXT-X-SESSION-KEY:URI=\"k\"\n", "#EXT-X-SESSION-KEY:URI=\"<https://h/live/k>\"\n"),
            (
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p2.m4s\"\n",
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"<https://h/live/p2.m4s>\"\n",
            ),
        ] {
            let list = format!("#EXTM3U\n{line}#EXT-X-ENDLIST");
            assert_eq!(relayed(list.as_bytes()), format!("#EXTM3U\n{expected}#EXT-X-ENDLIST"), "{line:?}");
        }
        assert_eq!(relayed(b"#EXTM3U\n0.ts"), "#EXTM3U\n<https://h/live/0.ts>");
        assert_eq!(relayed(b"\xef\xbb\xbf\n #EXTM3U\na"), "\u{feff}\n #EXTM3U\n<https://h/live/a>");
    }

    #[test]
    fn a_list_is_known_by_its_first_bytes_however_few_have_come() {
        for (bytes, expected) in [
            (&b""[..], Start::Undecided),
            (b"#EXT", Start::Undecided),
            (b"\xef\xbb", Start::Undecided),
            (b"\xef\xbb\xbf\r\n#EXTM3U\n", Start::List),
            (b"#EXTM3U", Start::List),
            (b"\x1f", Start::Undecided),
            (b"\x1f\x8b\x08", Start::List),
            (b"#EXTM4U", Start::Other),
            (b"G@\x00\x10", Start::Other),
            (&[b' '; 512], Start::Other),
        ] {
            assert_eq!(start(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_and_what_is_too_long_is_refused() {
        use std::io::Write as _;
        let packed = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(relayed(&packed(b"#EXTM3U\na")), "#EXTM3U\n<https://h/live/a>");
        assert_eq!(relayed(&packed(b"anything")), "anything");
        let at = Url::parse("https://h/").unwrap();
        let long = [&b"#EXTM3U\n"[..], &vec![b'#'; HLS_LIST_BYTES_MAX]].concat();
        for bytes in [long.clone(), packed(&long), b"\x1f\x8bx".to_vec()] {
            assert!(rewritten(&bytes, &at, |_url| String::new()).is_err());
        }
        let relayed = |lines| {
            let list = format!("#EXTM3U\n{}", "a\n".repeat(lines));
            rewritten(list.as_bytes(), &at, |_url| "b".repeat(8000)).map(|list| list.len())
        };
        assert_eq!(relayed(1000), Ok(8 + 1000 * 8001));
        assert_eq!(relayed(RELAYED_LIST_BYTES_MAX / 8000 + 1), Err(ListError::TooLong));
    }
}
