//! What may be shown of a URL or of a foreign text: no credentials, no tokens, no control characters.
//!
//! Provider URLs carry passwords in every place a URL has, the path included. Where a text can be read in
//! two ways, the reading that hides more is taken. The scanner is its own because URL libraries disagree
//! about exactly the malformed URLs that leak.

use super::address::{is_scheme, split_host};

/// The most bytes of one redacted URL.
const URL_BYTES_MAX: usize = 8 * 1024;
/// Longer URLs are hidden whole.
const SHOWN_URL_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a redacted text.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// What stands where a secret was.
pub const HIDDEN: &str = "***";

/// So far behind a word it is looked for the rest of a userinfo: a longer one is no person's.
const USERINFO_BYTES_MAX: usize = 2 * 1024;

/// Printable characters that a path cannot hold. A host shows its own: what is wrong there should be seen.
const ILLEGAL_IN_PATH: &str = " \"<>\\^`{|}";
/// Path segments behind which providers put user, password and stream.
const CREDENTIALS_FOLLOW: &[&str] =
    &["live", "hls", "play", "vod", "movie", "movies", "series", "timeshift", "streaming"];
/// Schemes that are told from a user's name in `scheme:user@host`.
const SCHEMES: &[&str] = &["http", "https", "rtsp", "rtmp", "srt", "udp", "rtp"];
/// Names whose value is a secret, alone or as the last part of a longer name.
const SECRET_ENDINGS: &[&str] = &[
    "token",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "auth",
    "signature",
    "streamid",
    "session",
    "sessionid",
];
/// Names whose value is a secret, alone only: as an ending they are everyday words.
const SECRET_NAMES: &[&str] = &["pass", "key", "sig", "user", "username", "login", "pin", "hdnts", "hdnea"];
/// Header names whose value is a secret up to the end of the line.
const SECRET_HEADERS: &[&str] =
    &["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"];

/// A URL fit to be shown: without userinfo, query, fragment and path parameters, with credentials in the path
/// hidden and every control and non-ASCII character percent-encoded. What cannot be told from credentials is
/// hidden whole.
#[must_use]
pub fn url(text: &str) -> String {
    let text = text.trim();
    // Looked at by cores: no work for what no server takes. Cut in the middle it could show what is hidden whole.
    if text.len() > SHOWN_URL_BYTES_MAX {
        return HIDDEN.to_owned();
    }
    // Behind a bar players' options follow, header fields with what they hold.
    let bare = text.split(['#', '?', '|']).next().unwrap_or("");
    let mut out = String::with_capacity(bare.len());
    let (scheme, rest) = split_scheme(bare);
    if let Some(scheme) = scheme {
        // A scheme with a user in it is none, so nothing here can be trusted to be a host.
        if scheme.contains('@') {
            return HIDDEN.to_owned();
        }
        push_scheme(&mut out, scheme);
    }
    let rest = match rest.strip_prefix("//") {
        Some("") => return out,
        Some(rest) => {
            out.push_str("//");
            rest
        }
        None => rest,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let dropped = &text[bare.len()..];
    let place = authority.rsplit_once('@').map(|(_userinfo, place)| place);
    let escaped_userinfo = place.unwrap_or(authority).contains("%40");
    if escaped_userinfo || place.is_none() && is_cut_userinfo(scheme.is_some(), authority, path, dropped) {
        out.push_str(HIDDEN);
        return out;
    }
    if scheme.is_none() && place.is_some() {
        let name = authority.split(':').next().unwrap_or("");
        if SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            out.push_str(&name.to_ascii_lowercase());
            out.push(':');
        }
    }
    let place_shown = place.unwrap_or(authority);
    let (host, parameters) =
        place_shown.split_once(';').map_or((place_shown, false), |(host, _)| (host, true));
    host.chars().for_each(|character| push_encoded(&mut out, character, ""));
    if !parameters {
        // The last part of such an address is the key by which its stream is sent and read.
        let is_key = scheme
            .is_some_and(|scheme| scheme.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("rtmp")));
        push_path(&mut out, path, place.is_some(), is_key);
    }
    truncate(&mut out, URL_BYTES_MAX);
    out
}

/// A foreign text (an error, a child's output, the start of a body) fit for a log line: every URL in it goes
/// through [`url`], values of names like `token=` and of `Authorization:` are hidden, line breaks and tabs
/// become spaces and other control characters are escaped. At most 64 KiB.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    let mut rest = text;
    let mut word_begins = true;
    while let Some(first) = rest.chars().next() {
        if out.len() >= TEXT_BYTES_MAX {
            break;
        }
        if word_begins && let Some(consumed) = push_credential_word(&mut out, rest) {
            rest = &rest[consumed..];
            word_begins = false;
            continue;
        }
        let name = leading_name(rest);
        let consumed = if name.is_empty() {
            push_plain(&mut out, first);
            first.len_utf8()
        } else {
            push_named(&mut out, name, &rest[name.len()..])
        };
        rest = &rest[consumed..];
        word_begins = is_boundary(first);
    }
    truncate(&mut out, TEXT_BYTES_MAX);
    out
}

/// `scheme:` when `//` follows it and it stands before everything else, and what is behind it.
fn split_scheme(text: &str) -> (Option<&str>, &str) {
    match text.find("://") {
        Some(colon) if !text[..colon].contains('/') => (Some(&text[..colon]), &text[colon + 1..]),
        Some(_) | None => (None, text),
    }
}

fn push_scheme(out: &mut String, scheme: &str) {
    if is_scheme(scheme) {
        out.push_str(&scheme.to_ascii_lowercase());
    } else {
        scheme.chars().for_each(|character| push_encoded(out, character, ILLEGAL_IN_PATH));
    }
    out.push(':');
}

/// Whether what looks like host and path may be the first half of a userinfo that holds a `/`, `?` or `#`.
/// Users that are mail addresses do stand in paths; there the path itself is known to hold credentials.
fn is_cut_userinfo(has_scheme: bool, authority: &str, path: &str, dropped: &str) -> bool {
    if path.contains('@') {
        let segments: Vec<&str> = path.split('/').collect();
        let hidden = credential_segments(&segments);
        return segments.iter().enumerate().any(|(index, text)| text.contains('@') && !hidden[index]);
    }
    dropped.contains('@') && (has_bad_port(authority) || has_scheme && path.is_empty())
}

fn has_bad_port(authority: &str) -> bool {
    let (_, behind) = split_host(authority);
    let digits = behind.map(|behind| behind.strip_prefix(':').unwrap_or(behind));
    !digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Which segments are a user and a password: behind `live` and its like, and before a stream's
/// number.
fn credential_segments(segments: &[&str]) -> Vec<bool> {
    let named: Vec<(usize, &str)> = segments
        .iter()
        .enumerate()
        .map(|(index, segment)| (index, segment.split(';').next().unwrap_or("")))
        .filter(|(_, segment)| !segment.is_empty())
        .collect();
    let mut hidden = vec![false; segments.len()];
    for (at, (_, segment)) in named.iter().enumerate() {
        if let [user, password, _stream, ..] = &named[at + 1..]
            && CREDENTIALS_FOLLOW.iter().any(|keyword| keyword.eq_ignore_ascii_case(segment))
        {
            hidden[user.0] = true;
            hidden[password.0] = true;
        }
    }
    // A playlist may follow the number.
    for behind in 0..=1 {
        if let Some([.., user, password, (_, stream)]) =
            named.len().checked_sub(behind).map(|end| &named[..end])
            && is_stream_number(stream)
        {
            hidden[user.0] = true;
            hidden[password.0] = true;
        }
    }
    hidden
}

/// `12345`, `12345.ts`, `12345.m3u8`.
fn is_stream_number(segment: &str) -> bool {
    let digits = segment.split('.').next().unwrap_or("");
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The path up to its first parameter. `has_userinfo` says that the URL's userinfo was found before it.
/// `is_key`: its last segment is a secret.
fn push_path(out: &mut String, path: &str, has_userinfo: bool, is_key: bool) {
    let segments: Vec<&str> = path.split('/').collect();
    let mut hidden = credential_segments(&segments);
    if is_key
        && segments.len() > 2
        && let Some(last) = segments.iter().rposition(|segment| !segment.is_empty())
    {
        hidden[last] = true;
    }
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 {
            out.push('/');
        }
        let (shown, parameters) =
            segment.split_once(';').map_or((*segment, false), |(shown, _)| (shown, true));
        // A second URL may follow in the same text, with a userinfo of its own.
        let holds_userinfo =
            has_userinfo && shown.split_once(':').is_some_and(|(_, after)| after.contains('@'));
        if hidden[index] || holds_userinfo {
            out.push_str(HIDDEN);
        } else {
            let (name, value) = shown.split_once('=').map_or((shown, false), |(name, _)| (name, true));
            name.chars().for_each(|character| push_encoded(out, character, ILLEGAL_IN_PATH));
            if value {
                out.push('=');
                out.push_str(HIDDEN);
            }
        }
        if parameters {
            return;
        }
    }
}

fn push_encoded(out: &mut String, character: char, illegal: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if character == ' ' && !illegal.contains(' ')
        || character.is_ascii_graphic() && !illegal.contains(character)
    {
        out.push(character);
        return;
    }
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        out.push('%');
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// A character of a foreign text: on one line, and unable to steer a terminal.
fn push_plain(out: &mut String, character: char) {
    let steers =
        matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match character {
        '\n' | '\r' | '\t' => out.push(' '),
        _ if character.is_control() || steers => out.extend(character.escape_unicode()),
        _ => out.push(character),
    }
}

/// A character that no URL goes across.
fn is_boundary(character: char) -> bool {
    character.is_whitespace() || character.is_control() || matches!(character, '"' | '<' | '>' | '`')
}

/// The length of what stands before the next boundary, without the punctuation of the sentence around it.
fn word_bytes(text: &str) -> usize {
    let word = &text[..text.find(is_boundary).unwrap_or(text.len())];
    word.trim_end_matches(['\'', ')', ']', '}', ',', '.', ':', ';', '!']).len()
}

/// The length of a URL from its `://` on. What looks like a host may be a user whose password holds a boundary:
/// then the URL goes on behind the `@`.
fn url_bytes(text: &str) -> usize {
    let first = &text[..text.find(is_boundary).unwrap_or(text.len())];
    let authority = first.trim_start_matches([':', '/', '\\']);
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    let mut near = USERINFO_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(near) {
        near -= 1;
    }
    let near = &text[..near.max(first.len())];
    match near.find('@').filter(|at| !near[..*at].contains(char::is_whitespace)) {
        Some(at) if at > first.len() && (path.is_empty() || has_bad_port(authority)) => {
            at + word_bytes(&text[at..])
        }
        Some(_) | None => word_bytes(text),
    }
}

/// A word that is a path, or has a userinfo without being a URL: `/live/u/p/1.ts`, `user:pass@host/x`.
fn push_credential_word(out: &mut String, text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['(', '[', '{', '\'']);
    let word = &body[..word_bytes(body)];
    let before_at = word.split_once('@').map_or("", |(before, _)| before);
    let is_path = word.starts_with('/') && word[1..].contains('/');
    if !is_path && (!before_at.contains(':') || before_at.contains("://")) {
        return None;
    }
    let opening = text.len() - body.len();
    out.push_str(&text[..opening]);
    out.push_str(&url(word));
    Some(opening + word.len())
}

/// The run of letters, digits and `_ - . +` at the start: a header's or a parameter's name, or a scheme.
fn leading_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.+".contains(c));
    &text[..end.unwrap_or(text.len())]
}

/// Appends `name` and, when a secret is bound to it by what stands `after` it, what may be shown of that.
/// Returns how many bytes of both were consumed.
fn push_named(out: &mut String, name: &str, after: &str) -> usize {
    if after.starts_with("://") || after.starts_with(":\\/\\/") {
        let word = &after[..url_bytes(after)];
        // JSON may write every slash of a URL with a backslash.
        out.push_str(&url(&format!("{name}{}", word.replace("\\/", "/"))));
        return name.len() + word.len();
    }
    out.push_str(name);
    let is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let whole_line = is(SECRET_HEADERS);
    if is(&["bearer", "basic"]) {
        let value = after.trim_start_matches(' ');
        let spaces = after.len() - value.len();
        let value_bytes = value.find(is_boundary).unwrap_or(value.len());
        if spaces > 0 && value_bytes > 0 {
            out.push(' ');
            out.push_str(HIDDEN);
            return name.len() + spaces + value_bytes;
        }
    } else if whole_line || is(SECRET_NAMES) || SECRET_ENDINGS.iter().any(|ending| ends_with(name, ending)) {
        // An element of a page or of XML ends where the next one begins.
        if let Some(value) = after.strip_prefix('>') {
            let bytes = value.find(['<', '\n', '\r']).unwrap_or(value.len());
            out.push('>');
            if bytes > 0 {
                out.push_str(HIDDEN);
            }
            return name.len() + 1 + bytes;
        }
        let Some(separator) = separator_bytes(after) else { return name.len() };
        let value_bytes = value_bytes(&after[separator..], whole_line);
        if value_bytes > 0 {
            out.push_str(after[..separator].trim_end_matches(['"', '\'']));
            out.push_str(HIDDEN);
            return name.len() + separator + value_bytes;
        }
    }
    name.len()
}

fn ends_with(name: &str, ending: &str) -> bool {
    let tail = name.len().checked_sub(ending.len()).map(|start| &name.as_bytes()[start..]);
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(ending.as_bytes()))
}

/// The length of `=` or `:` between a name and its value, with the spaces and the name's closing quote.
fn separator_bytes(text: &str) -> Option<usize> {
    let rest = text.trim_start_matches('\\');
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start_matches(' ');
    let escaped =
        rest.get(..3).is_some_and(|start| ["%3D", "%3A"].contains(&start.to_ascii_uppercase().as_str()));
    let rest = if escaped { &rest[3..] } else { rest.strip_prefix(['=', ':'])? };
    Some(text.len() - rest.trim_start_matches(' ').len())
}

/// The length of a value: a quoted one with its quotes, a header's to the end of its line, else up to the next
/// `&` or boundary. An unclosed quote hides the rest of the line.
fn value_bytes(text: &str, whole_line: bool) -> usize {
    let ends_line = |character| matches!(character, '\n' | '\r');
    let opening = text.trim_start_matches('\\');
    if let Some(quote) = opening.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        // A quote inside an escaped string closes with a backslash before it, one inside a plain string does
        // not close it.
        let escapes = text.len() - opening.len();
        let from = escapes + 1;
        let mut backslashes = 0;
        for (index, character) in text[from..].char_indices() {
            if ends_line(character) {
                return from + index;
            }
            if character == quote && backslashes == escapes {
                return from + index + 1;
            }
            backslashes = if character == '\\' { backslashes + 1 } else { 0 };
        }
        return text.len();
    }
    let ends =
        |character| ends_line(character) || !whole_line && (character == '&' || is_boundary(character));
    text.find(ends).unwrap_or(text.len())
}

/// Cuts a text to at most so many bytes, between two characters.
pub fn truncate(text: &mut String, bytes_max: usize) {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_url_shows_no_more_than_its_row_says() {
        for (row, input, output) in [
            (
                1,
                "https://user:pass@example.com/live/stream.m3u8?token=abc123&expires=456#frag",
                "https://example.com/live/stream.m3u8",
            ),
            (2, "http://example.net/channels/news.ts", "http://example.net/channels/news.ts"),
            (
                3,
                "http://user:secret@example.org/live/index.m3u8?sig=%ZZ",
                "http://example.org/live/index.m3u8",
            ),
            (4, "   ", ""),
            (
                5,
                "https://alice:secret@example.test/live/news.m3u8?token=signed-token&exp=1700000000#frag",
                "https://example.test/live/news.m3u8",
            ),
            (
                6,
                "https://probe:secret@example.test/stream/live.m3u8?token=abc123#frag",
                "https://example.test/stream/live.m3u8",
            ),
            (7, "  http://a.example/x?y=1  ", "http://a.example/x"),
            (8, "http://example.com?token=1", "http://example.com"),
            (9, "http://example.com/#f", "http://example.com/"),
            (10, "http://example.com/a%2Fb/c%20d?x", "http://example.com/a%2Fb/c%20d"),
            (11, "http://example.com/a b?x=1", "http://example.com/a%20b"),
            (12, "HTTP://USER@EXAMPLE.com:8080/Path", "http://EXAMPLE.com:8080/Path"),
            (13, "http://:pw@example.com/", "http://example.com/"),
            // User and password stand in this path as in row 39.
            (14, "http://user:p%40ss@host:8080/live/u/p/1.ts", "http://host:8080/live/***/***/1.ts"),
            (15, "http://user:p@ss@host:8080/x?y", "http://host:8080/x"),
            (16, "http://host/%zz/path?token=1", "http://host/%zz/path"),
            (17, "http://user:pw@[::1]:8080/x?y=1", "http://[::1]:8080/x"),
            (18, "http://[::1]:bad/x?tok=1", "http://[::1]:bad/x"),
            (19, "http://user:pw@host:bad/x?tok=1", "http://host:bad/x"),
            (20, "rtsp://cam:pw@10.0.0.1:554/stream1?auth=1", "rtsp://10.0.0.1:554/stream1"),
            (21, "udp://@239.0.0.1:1234?pkt_size=1316", "udp://239.0.0.1:1234"),
            (22, "srt://host:9000?streamid=secret&passphrase=pw", "srt://host:9000"),
            (23, "/relative/path?token=1", "/relative/path"),
            (24, "//user:pw@host/path?x", "//host/path"),
            (25, "file:///srv/x.ts?x#y", "file:///srv/x.ts"),
            (26, "pipe:0", "pipe:0"),
            (27, "?token=abc", ""),
            (28, "ht!tp://user:pw@host/p?x=1", "ht!tp://host/p"),
            (29, "user@@host%zz?x", "host%zz"),
            (30, "http://example.com/x?a=1?b=2#c#d", "http://example.com/x"),
            (31, "http://münchen.example/straße?x=1", "http://m%C3%BCnchen.example/stra%C3%9Fe"),
            (32, "http://u:p@exa mple.com/x?tok=1", "http://exa mple.com/x"),
            (33, "http://u:p@host/a@b?c", "http://host/a@b"),
            // A bare `?` goes like any other query.
            (34, "http://example.com/a?", "http://example.com/a"),
            (35, "http://", "http:"),
            (36, "http://us/er:pass@host/x", "http://***"),
            (37, "user:pass@host/path?x=1", "host/path"),
            (38, "http:user@host?x=1", "http:host"),
            (
                39,
                "http://example.com/live/username/password/12345.ts",
                "http://example.com/live/***/***/12345.ts",
            ),
            (40, "http://example.com/path;token=abc?x=1", "http://example.com/path"),
            (41, "host:8080/path?x=1", "host:8080/path"),
        ] {
            assert_eq!(url(input), output, "row {row}: {input}");
        }
    }

    #[test]
    fn what_is_too_long_to_be_looked_at_is_hidden_whole() {
        let long = format!("http://h/{}user/secret/1.ts", "live/".repeat(SHOWN_URL_BYTES_MAX));
        assert_eq!(url(&long), HIDDEN);
        assert_eq!(text(&format!("open {long}: failed")), format!("open {HIDDEN}: failed"));
        let shorter = format!("http://h/{}user/secret/1.ts", "live/".repeat(3000));
        assert!(!url(&shorter).contains("secret"));
    }

    #[test]
    fn credentials_in_a_path_are_hidden_wherever_providers_put_them() {
        for (input, output) in [
            ("http://h/user/pass/123", "http://h/***/***/123"),
            ("http://h/user/pass/123.ts", "http://h/***/***/123.ts"),
            ("http://h:80/user/pass/123.m3u8?x", "http://h:80/***/***/123.m3u8"),
            ("http://h/LIVE/user/pass/index.m3u8", "http://h/LIVE/***/***/index.m3u8"),
            ("http://h/movie/user/pass/9.mkv", "http://h/movie/***/***/9.mkv"),
            ("http://h/series/user/pass/9.mp4", "http://h/series/***/***/9.mp4"),
            (
                "http://h/timeshift/user/pass/60/2024-01-01:10-00/9.ts",
                "http://h/timeshift/***/***/***/***/9.ts",
            ),
            ("http://h/proxy//live//user/pass/9.ts", "http://h/proxy//live//***/***/9.ts"),
            ("http://h:80/live/me@mail.example/pass/9.ts", "http://h:80/live/***/***/9.ts"),
            ("http://h/live/user;v=1/pass/9.ts", "http://h/live/***"),
            ("http://h/hls/token=abc/x.m3u8", "http://h/hls/token=***/x.m3u8"),
            ("http://h/live/news.m3u8", "http://h/live/news.m3u8"),
            ("http://h/stream/9.ts", "http://h/stream/9.ts"),
        ] {
            assert_eq!(url(input), output, "{input}");
        }
    }

    /// Every form in which what nobody is to see comes along, with one canary in all of them.
    #[test]
    fn a_canary_is_hidden_in_every_form() {
        const CANARY: &str = "cAnArY77";
        for form in [
            "http://user:{}@h/x",
            "http://{}:pw@h:8080/x.ts",
            "http://{}@h",
            "rtsp://admin:{}@10.0.0.1:554/h264",
            "rtsp://10.0.0.1/user=admin&password={}&channel=1&stream=0.sdp",
            "rtsp://10.0.0.1/user=admin_password={}_channel=1_stream=0.sdp?real_stream",
            "rtmp://h/app/{}",
            "rtmps://h:443/live2/{}/",
            "rtmp://h/app/stream?key={}",
            "srt://h:9000?streamid={}&passphrase=x",
            "http://h/live/{}/p/1.ts",
            "http://h/live/u/{}/1.m3u8",
            "http://h/hls/u/{}/1.m3u8",
            "http://h/play/u/{}/index.m3u8",
            "http://h/vod/{}/p/9.mkv",
            "http://h/{}/p/1234",
            "http://h/u/{}/1234.ts",
            "http://h/u/{}/1234/index.m3u8",
            "http://h:80/path/u/{}/77/mono.m3u8?x",
            "http://h/get.php?username=u&password={}&type=m3u_plus",
            "http://h/x;jsessionid={}",
            "http://h/x#{}",
            "http://h/token={}/x.m3u8",
            "http://h/x|User-Agent=tv&Cookie={}",
            "http://h/x|Authorization=Basic%20{}/ab==&Referer=http://h/{}/y",
            "http://h/{}%zz/p/1.ts?token={}",
            "https://h/s/u/{}/5.ts|http-user-agent=x",
        ] {
            let address = form.replace("{}", CANARY);
            assert!(!url(&address).contains(CANARY), "{address}: {}", url(&address));
            for around in [
                address.clone(),
                format!("open '{address}': failed"),
                format!("[http @ 0x1] {address}: Server returned 403"),
                format!("{{\"url\":\"{}\"}}", address.replace('/', "\\/")),
                format!("<a href=\"{address}\">x</a>"),
                format!("HTTP error 403, tried {address}, gave up\nnext"),
            ] {
                assert!(!text(&around).contains(CANARY), "{around}: {}", text(&around));
            }
        }
        for form in [
            "{\"user_info\":{\"username\":\"u\",\"password\":\"{}\"}}",
            "{\"token\" : \"{}\"}",
            "<password>{}</password>",
            "<user><login>{}</login></user>",
            "password={}&x",
            "Authorization: Bearer {}",
            "authorization=Basic {}",
            "Cookie: sid={}; other=1",
            "Set-Cookie: {}=1",
            "X-Api-Key: {}",
            "GET /live/u/{}/1.ts HTTP/1.1",
            "u:{}@h",
            "session_token='{}'",
        ] {
            let said = form.replace("{}", CANARY);
            assert!(!text(&said).contains(CANARY), "{said}: {}", text(&said));
        }
    }

    /// What strangers send must not stop a core: by the square of its length each of these would take seconds.
    #[test]
    fn a_long_text_of_the_worst_kind_is_redacted_in_linear_time() {
        // Of this thread's own time on a processor: however busy the machine is, it is the same.
        let spent = || {
            let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
            std::time::Duration::from(nix::time::clock_gettime(clock).unwrap())
        };
        for piece in [
            "http://a<",
            "a:b@c\"",
            "token\\\\",
            "((((('",
            "http://u:p/x@",
            "/a/b/",
            "password=\"",
            "=:=:",
            "http://h/live/",
        ] {
            let took = |bytes: usize| {
                let long = piece.repeat(bytes / piece.len());
                let runs = (0..3).map(|_| {
                    let began = spent();
                    std::hint::black_box(text(&long));
                    std::hint::black_box(url(&long));
                    spent() - began
                });
                runs.min().unwrap()
            };
            let longest = took(TEXT_BYTES_MAX);
            assert!(longest < std::time::Duration::from_millis(400), "{piece:?} took {longest:?}");
        }
    }

    #[test]
    fn a_userinfo_that_is_cut_by_its_own_characters_stays_hidden() {
        for (input, output) in [
            ("http://user:se/cret@host/x", "http://***"),
            ("http://user:se?cret@host/x", "http://***"),
            ("http://user:se#cret@host/x", "http://***"),
            ("http://us?er:secret@host/x", "http://***"),
            ("http://user:secret%40host/x", "http://***"),
            ("user:se?cret@host/x", "***"),
            ("http:/user:secret@host/x", "***"),
            ("http:///user:secret@host/x", "http://***"),
            ("us@er:pw://host/x", "***"),
            ("http://u:p@a/x,http://user:secret@b/y", "http://a/x,http://***/y"),
            ("http://a/x,http://user:secret@b/y", "http://***"),
            ("http://host:80/x?mail=a@b.example", "http://host:80/x"),
        ] {
            assert_eq!(url(input), output, "{input}");
        }
    }

    #[test]
    fn a_url_cannot_write_to_a_log_or_a_terminal() {
        assert_eq!(url("http://h/a\nb\u{1b}[31m"), "http://h/a%0Ab%1B[31m");
        assert_eq!(url("http://h\r:bad/\u{202e}x"), "http://h%0D:bad/%E2%80%AEx");
        assert_eq!(url(&format!("http://h/{}", "é".repeat(URL_BYTES_MAX))).len(), URL_BYTES_MAX);
    }

    #[test]
    fn every_url_in_a_text_is_redacted() {
        for (input, output) in [
            ("nothing to hide: 404, (ok)", "nothing to hide: 404, (ok)"),
            ("[http @ 0x55] HTTP error 401", "[http @ 0x55] HTTP error 401"),
            ("http://u:p@h/x?t=1: Server returned 404", "http://h/x: Server returned 404"),
            ("Get \"http://u:p@h/x?t=1\": refused", "Get \"http://h/x\": refused"),
            ("from 'http://h/live/u/p/1.ts':", "from 'http://h/live/***/***/1.ts':"),
            ("url=http://u:p@h/x, then", "url=http://h/x, then"),
            ("(see <https://u:p@h/y?z>)", "(see <https://h/y>)"),
            ("ht!tp://u:p@h/x", "ht!tp://h/x"),
            ("{\"u\":\"http:\\/\\/h\\/live\\/u\\/p\\/1.ts\"}", "{\"u\":\"http://h/live/***/***/1.ts\"}"),
            ("GET /live/u/p/1.ts?token=x HTTP/1.1", "GET /live/***/***/1.ts HTTP/1.1"),
            ("dial user:secret@h:80/x failed", "dial h:80/x failed"),
            ("over (user:secret@h/x)", "over (h/x)"),
            ("//user:secret@h/x", "//h/x"),
            ("'http://user:sec\"ret@h/x'", "'http://h/x'"),
            ("'http://us<er:secret@h/x'", "'http://h/x'"),
            ("\"http://h/x\",\"a@b\"", "\"http://h/x\",\"a@b\""),
        ] {
            assert_eq!(text(input), output, "{input}");
        }
    }

    #[test]
    fn values_of_secret_names_are_hidden_in_a_text() {
        for (input, output) in [
            ("token=abc&x=1", "token=***&x=1"),
            ("?access_token=a,b;c PASSWORD=x", "?access_token=*** PASSWORD=***"),
            ("apikey: abc api-key = abc", "apikey: *** api-key = ***"),
            ("auth=abc username=u user_auth=c", "auth=*** username=*** user_auth=***"),
            ("{\"password\": \"a \\\" b\", \"x\": 1}", "{\"password\": ***, \"x\": 1}"),
            ("\"{\\\"token\\\":\\\"abc\\\",\\\"x\\\":1}\"", "\"{\\\"token\\\":***,\\\"x\\\":1}\""),
            ("password='a b' c", "password=*** c"),
            ("password=\"a b\nnext", "password=*** next"),
            ("token%3Dabc", "token%3D***"),
            ("Authorization: Basic dTpw\nHost: h", "Authorization: *** Host: h"),
            ("-headers Cookie: a=b; c=d", "-headers Cookie: ***"),
            ("sent Bearer abc.def-ghi, and basic dTpw", "sent Bearer *** and basic ***"),
            ("Unauthorized: no", "Unauthorized: no"),
            ("tokens: 5, keyframe=1, author=me, token=", "tokens: 5, keyframe=1, author=me, token="),
        ] {
            assert_eq!(text(input), output, "{input}");
        }
    }

    #[test]
    fn a_text_is_one_line_without_control_characters() {
        assert_eq!(text("a\tb\r\nc\u{1b}[0m\u{0}\u{202e}ü"), "a b  c\\u{1b}[0m\\u{0}\\u{202e}ü");
    }

    #[test]
    fn a_text_is_bounded() {
        assert_eq!(text(&"é".repeat(TEXT_BYTES_MAX)).len(), TEXT_BYTES_MAX);
        assert_eq!(text(&format!("x{}", "é".repeat(TEXT_BYTES_MAX))).len(), TEXT_BYTES_MAX - 1);
    }

    proptest! {
        #[test]
        fn a_password_never_shows(
            before in "[ -~]{0,12}",
            user in "[a-z]{1,6}",
            between in "[!-~&&[^@]]{0,3}",
            host in "[a-z]{1,8}(:[0-9]{1,4})?",
            path in "(/[a-z]{1,5}){0,3}",
            after in "[ -~]{0,12}",
        ) {
            let secret = "zQzQ";
            for address in [
                format!("http://{user}:{secret}@{host}{path}"),
                format!("{user}:{secret}@{host}{path}"),
                format!("http://{user}:{secret}{between}@{host}{path}"),
                format!("http://{host}/live/{user}/{secret}/77.ts"),
                format!("http://{host}/{user}/{secret}/77"),
                format!("http://{host}{path}?{between}password={secret}"),
                format!("http://{host}{path};token={secret}"),
            ] {
                prop_assert!(!url(&address).contains(secret), "{address}");
                let around = format!("{before} {address} {after}");
                prop_assert!(!text(&around).contains(secret), "{around}");
            }
        }

        #[test]
        fn nothing_panics_and_nothing_steers_a_terminal(input in "(?s).{0,80}", shape in "[a-z:/@?#;='\"%&\\\\ 0-9*]{0,60}") {
            for candidate in [&input, &shape] {
                prop_assert!(url(candidate).bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
                prop_assert!(!text(candidate).chars().any(char::is_control));
            }
        }
    }
}
