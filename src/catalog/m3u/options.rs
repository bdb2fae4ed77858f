//! What a playlist says about how an entry is to be asked for: header fields, in the five ways in which lists say them.

use percent_encoding::percent_decode_str;

use crate::http::RequestHeaders;

/// Options behind an address that are no header fields but settings of the player they were written for.
const PLAYER_OPTIONS: &[&str] = &[
    "seekable",
    "acceptencoding",
    "encoding",
    "noshout",
    "postdata",
    "active-remote",
    "customrequest",
    "verifypeer",
    "sslcipherlist",
    "connection-timeout",
    "failonerror",
    "redirect-limit",
    "auth",
];

/// Splits `address|Name=value&Name=value`. What stands behind the bar and is no list of options belongs to the address.
#[must_use]
pub fn split_address(address: &str) -> (&str, RequestHeaders) {
    let whole = (address, RequestHeaders::NONE);
    let Some((front, options)) = address.split_once('|') else { return whole };
    if !front.contains("://") || !is_option_list(options) {
        return whole;
    }
    (front.trim_end(), options_of(options))
}

/// The fields that a comment line names for the entry it stands with, added to those before it.
pub(super) fn read_line(line: &str, headers: &mut RequestHeaders) {
    if let Some(option) = after(line, "#EXTVLCOPT:") {
        if let Some((name, value)) = option.split_once('=')
            && name.trim().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("http-"))
        {
            set(headers, name, unquoted(value));
        }
    } else if let Some(property) = after(line, "#KODIPROP:") {
        if let Some((name, value)) = property.split_once('=')
            && [
                "inputstream.adaptive.stream_headers",
                "inputstream.adaptive.manifest_headers",
                "inputstream.adaptive.common_headers",
            ]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name.trim()))
        {
            *headers = options_of(value.trim()).or(headers);
        }
    } else if let Some(json) = after(line, "#EXTHTTP:")
        && let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(json.trim())
    {
        for (name, value) in &fields {
            if let Some(value) = value.as_str() {
                set(headers, name, value);
            }
        }
    }
}

/// The fields that attributes of an entry name.
pub(super) fn of_attributes<'a>(attribute: impl Fn(&str) -> Option<&'a String>) -> RequestHeaders {
    let mut headers = RequestHeaders::default();
    for name in ["user-agent", "http-user-agent", "referer", "referrer", "http-referrer", "http-origin"] {
        if let Some(value) = attribute(name) {
            set(&mut headers, name, value);
        }
    }
    headers
}

/// What cannot be sent is left out: an entry without it may play all the same.
fn set(headers: &mut RequestHeaders, name: &str, value: &str) {
    let _refused = headers.set(name, value);
}

fn options_of(options: &str) -> RequestHeaders {
    let mut headers = RequestHeaders::default();
    for (name, value) in options.split('&').filter_map(|option| option.split_once('=')) {
        // A mark of Kodi's for fields that are not to be logged.
        let name = name.trim().trim_start_matches('!');
        if !PLAYER_OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            set(&mut headers, name, &decoded(value));
        }
    }
    headers
}

/// `Name=value&Name=value`: the first one at least is an option.
fn is_option_list(text: &str) -> bool {
    let Some((name, _)) = text.split('&').next().and_then(|first| first.split_once('=')) else {
        return false;
    };
    let name = name.trim().trim_start_matches('!');
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Percent-encoded or not. A plus is a blank where all else is encoded too.
fn decoded(value: &str) -> String {
    let is_encoded = value.contains('%') && !value.contains(' ');
    let value = if is_encoded { value.replace('+', " ") } else { value.to_owned() };
    percent_decode_str(&value).decode_utf8_lossy().into_owned()
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// What follows a directive, in whatever case it is written.
pub(super) fn after<'line>(line: &'line str, directive: &str) -> Option<&'line str> {
    let start = line.get(..directive.len())?;
    start.eq_ignore_ascii_case(directive).then(|| &line[directive.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = &'static [(&'static str, &'static str)];

    fn fields(headers: &RequestHeaders) -> Vec<(&str, &str)> {
        headers.iter().collect()
    }

    #[test]
    fn options_behind_an_address_are_header_fields() {
        let cases: &[(&str, &str, Fields)] = &[
            (
                "http://h/1.ts|User-Agent=Box/7.1 (TV)&Referer=http://p/w",
                "http://h/1.ts",
                &[("User-Agent", "Box/7.1 (TV)"), ("Referer", "http://p/w")],
            ),
            (
                "http://h/1.ts|user-agent=Box%2F7.1%20%28TV%29&referer=http%3A%2F%2Fp%2Fw%3Fa%3D1%26b%3D2",
                "http://h/1.ts",
                &[("User-Agent", "Box/7.1 (TV)"), ("Referer", "http://p/w?a=1&b=2")],
            ),
            ("http://h/1|User-Agent=a%2Fb+c", "http://h/1", &[("User-Agent", "a/b c")]),
            ("http://h/1|User-Agent=a (+http://b)", "http://h/1", &[("User-Agent", "a (+http://b)")]),
            ("http://h/1|!X-Key=k&verifypeer=false&seekable=0", "http://h/1", &[("X-Key", "k")]),
            ("http://h/1?a=b|Cookie=a=1; b=2", "http://h/1?a=b", &[("Cookie", "a=1; b=2")]),
            ("http://h/1 |Origin=http://o", "http://h/1", &[("Origin", "http://o")]),
            ("http://h/1|Host=other&Connection=x", "http://h/1", &[]),
            ("http://h/1|X=a%0d%0aHost: b", "http://h/1", &[]),
            ("http://h/a|b", "http://h/a|b", &[]),
            ("http://h/a|b c=d", "http://h/a|b c=d", &[]),
            ("http://h/a|", "http://h/a|", &[]),
            ("not a url|A=b", "not a url|A=b", &[]),
            ("rtsp://h/1|User-Agent=a", "rtsp://h/1", &[("User-Agent", "a")]),
        ];
        for (text, address, expected) in cases {
            let (found, headers) = split_address(text);
            assert_eq!((found, fields(&headers)), (*address, expected.to_vec()), "{text:?}");
        }
    }

    #[test]
    fn comment_lines_name_header_fields_too() {
        let cases: &[(&[&str], Fields)] = &[
            (
                &["#EXTVLCOPT:http-user-agent=Box/7.1 (TV)", "#EXTVLCOPT:http-referrer=http://p/w"],
                &[("User-Agent", "Box/7.1 (TV)"), ("Referer", "http://p/w")],
            ),
            (&["#extvlcopt:HTTP-Origin=\"http://o\""], &[("Origin", "http://o")]),
            (&["#EXTVLCOPT:network-caching=1000", "#EXTVLCOPT:http-user-agent", "#EXTVLCOPT:"], &[]),
            (
                &[
                    "#KODIPROP:inputstream.adaptive.stream_headers=User-Agent=Box%2F7.1%20%28TV%29&Referer=http%3A%2F%2Fp",
                ],
                &[("User-Agent", "Box/7.1 (TV)"), ("Referer", "http://p")],
            ),
            (&["#KODIPROP:inputstream.adaptive.license_key=User-Agent=a"], &[]),
            (
                &[r#"#EXTHTTP:{"cookie":"a=1","User-Agent":"x","n":5}"#],
                &[("User-Agent", "x"), ("Cookie", "a=1")],
            ),
            (&["#EXTHTTP:{", "#EXTHTTP:[1]", "#EXTHTTP:"], &[]),
            (&["#EXTVLCOPT:http-user-agent=a", r#"#EXTHTTP:{"user-agent":"b"}"#], &[("User-Agent", "b")]),
        ];
        for (lines, expected) in cases {
            let mut headers = RequestHeaders::default();
            for line in *lines {
                read_line(line, &mut headers);
            }
            assert_eq!(fields(&headers), expected.to_vec(), "{lines:?}");
        }
    }
}
