//! What names an entry from one reading of a playlist to the next: its address without what changes by itself.
//!
//! The keys are in databases and in the heads of those who look after them. What they are made of cannot be
//! changed without every channel losing its sources.

use sha1::{Digest, Sha1};

use crate::base::address::{AddressParts, is_scheme};

/// The key of an entry. Streams that differ in their query are different ones, unless the difference is only
/// a token.
#[must_use]
pub fn item_key(tvg_id: &str, name: &str, url: &str) -> String {
    let url = normalized_url(url);
    let tvg_id = tvg_id.trim();
    if tvg_id.is_empty() {
        let mut text = normalized_name(name).into_bytes();
        text.push(b'\n');
        text.extend(url);
        ["src:", &hex_of_sha1(&text, 16)].concat()
    } else {
        ["src:", &lower(tvg_id), ":", &hex_of_sha1(&url, 12)].concat()
    }
}

/// The key that all entries of one channel share.
#[must_use]
pub fn channel_key(tvg_id: &str, name: &str) -> String {
    let tvg_id = tvg_id.trim();
    if tvg_id.is_empty() {
        ["name:", &normalized_name(name)].concat()
    } else {
        ["tvg:", &lower(tvg_id)].concat()
    }
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex_of_sha1(bytes: &[u8], digits: usize) -> String {
    let digit = |value: u8| char::from(HEX_DIGITS[usize::from(value)]);
    let pairs = Sha1::digest(bytes).into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    pairs.take(digits).collect()
}

/// Character by character, so that a letter's lower case does not depend on its neighbours.
fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

fn normalized_name(name: &str) -> String {
    let mut single = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !single.is_empty() {
            single.push(' ');
        }
        single.push_str(word);
    }
    lower(&single)
}

/// Scheme, host, decoded path and lasting query parameters. Text that is no such address stays as it is.
fn normalized_url(url: &str) -> Vec<u8> {
    let url = url.trim();
    split_and_normalize(url).unwrap_or_else(|| url.as_bytes().to_vec())
}

fn split_and_normalize(url: &str) -> Option<Vec<u8>> {
    if url.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    let parts = AddressParts::split(url).filter(|parts| is_scheme(parts.scheme) && is_host(parts.place))?;
    let mut normalized = Vec::with_capacity(url.len());
    normalized.extend(parts.scheme.bytes().map(|byte| byte.to_ascii_lowercase()));
    normalized.extend_from_slice(b"://");
    normalized.extend_from_slice(parts.place.as_bytes());
    let path = parts.path();
    if path.contains('%') {
        normalized.extend(decoded(path)?);
    } else {
        normalized.extend_from_slice(path.as_bytes());
    }
    append_lasting(&mut normalized, parts.query().unwrap_or(""));
    Some(normalized)
}

/// A name or an address, and perhaps a port.
fn is_host(host: &str) -> bool {
    let name_ends = host.rfind(']').map_or(0, |bracket| bracket + 1);
    let port = host[name_ends..].rsplit_once(':').map_or("", |(_name, port)| port);
    !host.is_empty()
        && host.starts_with('[') == host.contains(']')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && host.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
        })
}

/// Without percent signs; nothing when one of them escapes nothing.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            hex_digit(bytes.next())? << 4 | hex_digit(bytes.next())?
        } else {
            byte
        });
    }
    Some(decoded)
}

fn hex_digit(byte: Option<u8>) -> Option<u8> {
    let value = char::from(byte?).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Appends the parameters that say which stream it is, in order, each escaped in one way only.
fn append_lasting(url: &mut Vec<u8>, query: &str) {
    let part = |text: &str| {
        let text = text.replace('+', " ");
        decoded(&text).unwrap_or_else(|| text.into_bytes())
    };
    let mut lasting: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(key, value)| (part(key), part(value)))
        .filter(|(key, _value)| !is_volatile(key))
        .collect();
    lasting.sort();
    for (place, (key, value)) in lasting.iter().enumerate() {
        url.push(if place == 0 { b'?' } else { b'&' });
        append_escaped(url, key);
        url.push(b'=');
        append_escaped(url, value);
    }
}

fn append_escaped(url: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            url.push(byte);
        } else {
            url.extend(format!("%{byte:02X}").into_bytes());
        }
    }
}

/// Names of parameters that are volatile by themselves.
const VOLATILE_NAMES: &[&str] =
    &["sig", "sign", "hmac", "exp", "ticket", "hdnts", "hdnea", "phpsessid", "jsessionid"];
/// Beginnings and ends of names of volatile parameters.
const VOLATILE_FAMILIES: &[&str] =
    &["token", "signature", "session", "sessionid", "expire", "expires", "expiry", "expiration"];

/// Parameters that permit rather than name, and change from one reading of the playlist to the next. Short
/// names that are also used for services (`sid`, `id`, `key`) are not among them: a key that changes loses a
/// channel's history, but one that is shared loses the channel.
fn is_volatile(key: &[u8]) -> bool {
    let letters = key.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let key: String = letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    VOLATILE_NAMES.contains(&key.as_str())
        || VOLATILE_FAMILIES.iter().any(|family| key.starts_with(family) || key.ends_with(family))
        || key.ends_with("auth")
        || key.strip_prefix("auth").is_some_and(|rest| !rest.starts_with("or") || rest.starts_with("oriz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(url: &str) -> String {
        String::from_utf8_lossy(&normalized_url(url)).into_owned()
    }

    #[test]
    fn an_address_is_reduced_to_what_names_the_stream() {
        let cases = [
            ("http://h/p", "http://h/p"),
            (" HTTP://u:p@Host.example:8080/a/b.ts?#frag ", "http://Host.example:8080/a/b.ts"),
            ("http://u:p%40x@y@h/p", "http://h/p"),
            ("http://h/a%20b", "http://h/a b"),
            ("http://h/a b", "http://h/a b"),
            ("http://h", "http://h"),
            ("udp://@239.1.1.1:1234", "udp://239.1.1.1:1234"),
            ("http://[2001:db8::1]:80/p", "http://[2001:db8::1]:80/p"),
            ("http://h/p?b=2&a=1", "http://h/p?a=1&b=2"),
            ("http://h/p?a=2&a=1&&flag", "http://h/p?a=1&a=2&flag="),
            ("http://h/p?a=x%20y&b=%26", "http://h/p?a=x%20y&b=%26"),
            ("http://h/p?a=x+y&b=%zz", "http://h/p?a=x%20y&b=%25zz"),
            ("http://h/p?token=1&id=7&expires=9", "http://h/p?id=7"),
            ("http://h/p?x=http://u", "http://h/p?x=http%3A%2F%2Fu"),
        ];
        for (url, expected) in cases {
            assert_eq!(normalized(url), expected, "{url}");
        }
    }

    #[test]
    fn text_that_is_no_address_stays_as_it_is() {
        let cases = [
            "not a url",
            "rtp:239.1.1.1?token=1",
            "http:///path?token=1",
            "/just/a/path#f",
            "1http://h/p#f",
            "http://ho st/p#f",
            "http://h:port/p#f",
            "http://[::1/p#f",
            "http://h/%zz#f",
            "http://h/%2#f",
            "http://h/\u{1}#f",
        ];
        for text in cases {
            assert_eq!(normalized(text), text);
        }
    }

    #[test]
    fn tokens_are_told_from_names() {
        for volatile in [
            "token",
            "Token",
            "access_token",
            "token2",
            "auth",
            "authkey",
            "auth-sig",
            "Authorization",
            "wmsAuth",
            "sig",
            "signature",
            "sign",
            "X-Amz-Signature",
            "session",
            "session_id",
            "PlaySessionId",
            "expires",
            "Expire",
            "expiry",
            "exp",
            "X-Amz-Expires",
            "to%6ben",
            "hdnts",
            "PHPSESSID",
        ] {
            assert_eq!(normalized(&format!("http://h/p?{volatile}=1")), "http://h/p", "{volatile}");
        }
        for lasting in
            ["id", "sid", "stream", "channel", "author", "key", "design", "exponent", "u", "profile"]
        {
            let url = format!("http://h/p?{lasting}=1");
            assert_eq!(normalized(&url), url);
        }
    }

    #[test]
    fn what_changes_by_itself_does_not_change_the_keys() {
        let url = "http://example.com/live/1.ts";
        for other in [
            "http://example.com/live/1.ts?token=abc",
            "http://example.com/live/1.ts#part",
            "http://user:pass@example.com/live/1.ts?expires=1&signature=2",
        ] {
            assert_eq!(item_key("One", "x", url), item_key("one", "y", other), "{other}");
            assert_eq!(item_key("", "A  b", url), item_key(" ", " a B ", other), "{other}");
        }
        assert_eq!(channel_key("One", "x"), channel_key("oNE ", "y"));
    }

    #[test]
    fn two_sources_of_one_channel_share_its_key_and_not_their_own() {
        let [one, two] = ["http://a/1.ts", "http://b/1.ts"].map(|url| item_key("News", "n", url));
        assert_ne!(one, two);
        assert_eq!(channel_key("News", "n"), "tvg:news");
        assert_ne!(item_key("", "n", "http://a/x?id=1"), item_key("", "n", "http://a/x?id=2"));
    }

    #[test]
    fn keys_have_twelve_or_sixteen_digits() {
        assert_eq!(item_key("x", "n", "http://h/p").len(), "src:x:".len() + 12);
        assert_eq!(item_key("", "n", "http://h/p").len(), "src:".len() + 16);
    }

    #[test]
    fn keys_with_a_query_stay_what_they_are() {
        assert_eq!(item_key("One", "", "http://h/play?stream=7&token=a&lang=de"), "src:one:400c9892ab5d");
        assert_eq!(item_key("", "One", "http://h/play?stream=7"), "src:b04b1f416aa2af93");
    }
}
