//! The parts of an address, `scheme://user:password@host:port/path?query#fragment`, as they stand in its text.
//!
//! Nothing is decoded, and nothing is refused but a text without `://`: what a part may be is for whoever uses the address to say.

/// The parts of an address. Its fragment is left out: nobody sends one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressParts<'text> {
    /// What stands before `://`; [`is_scheme`] says whether it is one.
    pub scheme: &'text str,
    /// What stands before the last `@` of the authority.
    pub userinfo: Option<&'text str>,
    /// Host and port; [`split_host`] splits them.
    pub place: &'text str,
    /// Path and query: empty, or begins with `/` or `?`.
    pub target: &'text str,
}

impl<'text> AddressParts<'text> {
    /// Splits a text at its first `://`; `None` when there is none. Takes time that grows with the text's length only.
    #[must_use]
    pub fn split(text: &'text str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        Some(Self { scheme, ..Self::behind_scheme(rest) })
    }

    /// The parts of what stands behind a scheme and its `//`.
    #[must_use]
    pub fn behind_scheme(text: &'text str) -> Self {
        let text = &text[..text.find('#').unwrap_or(text.len())];
        let (authority, target) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
        let (userinfo, place) =
            authority.rsplit_once('@').map_or((None, authority), |(userinfo, place)| (Some(userinfo), place));
        Self { scheme: "", userinfo, place, target }
    }

    /// Whether the scheme is this one, in letters of any case.
    #[must_use]
    pub fn is_of(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The path: empty, or begins with `/`.
    #[must_use]
    pub fn path(&self) -> &'text str {
        self.target.split('?').next().unwrap_or("")
    }

    /// What stands behind the first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'text str> {
        self.target.split_once('?').map(|(_path, query)| query)
    }
}

/// Whether a text can be an address's scheme: a letter, then letters, digits, `+`, `-` and `.`.
#[must_use]
pub fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// The host without its brackets, and what stands behind it: nothing, or a port with its colon where the address is well formed.
/// `None` behind it when its bracket is not closed.
#[must_use]
pub fn split_host(place: &str) -> (&str, Option<&str>) {
    if let Some(inside) = place.strip_prefix('[') {
        return inside.split_once(']').map_or((inside, None), |(host, behind)| (host, Some(behind)));
    }
    let (host, behind) = place.split_at(place.find(':').unwrap_or(place.len()));
    (host, Some(behind))
}

/// Whether what stands behind a host is nothing, or a colon and digits or nothing.
#[must_use]
pub fn is_port(behind: &str) -> bool {
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    behind.is_empty() || behind.strip_prefix(':').is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_as_its_row_says() {
        for (text, scheme, userinfo, place, path, query) in [
            ("http://h", "http", None, "h", "", None),
            ("HTTP://h:80/a/b?c=d#e", "HTTP", None, "h:80", "/a/b", Some("c=d")),
            ("http://h?c#e?f", "http", None, "h", "", Some("c")),
            ("http://h#e/f?g@h", "http", None, "h", "", None),
            ("http://u:p@h/x@y", "http", Some("u:p"), "h", "/x@y", None),
            ("http://u:p@ss@h/", "http", Some("u:p@ss"), "h", "/", None),
            ("http://@h/", "http", Some(""), "h", "/", None),
            ("http://u@", "http", Some("u"), "", "", None),
            ("rtsp://[2001:db8::1]:554/x", "rtsp", None, "[2001:db8::1]:554", "/x", None),
            ("udp://@239.0.0.1:1234?fifo=1?2", "udp", Some(""), "239.0.0.1:1234", "", Some("fifo=1?2")),
            ("file:///srv/x.ts", "file", None, "", "/srv/x.ts", None),
            ("http://h/x?u=http://y/z", "http", None, "h", "/x", Some("u=http://y/z")),
            ("a b://h", "a b", None, "h", "", None),
            ("://", "", None, "", "", None),
        ] {
            let parts = AddressParts::split(text).unwrap();
            assert_eq!(
                (parts.scheme, parts.userinfo, parts.place, parts.path(), parts.query()),
                (scheme, userinfo, place, path, query),
                "{text}"
            );
        }
        for text in ["", "h", "h/x", "http:/h", "http:h", "/x", "//h/x"] {
            assert!(AddressParts::split(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_scheme_is_a_letter_and_what_may_follow_it() {
        for (text, is_one) in
            [("http", true), ("hls+http", true), ("x-1.2", true), ("", false), ("1x", false), ("a b", false)]
        {
            assert_eq!(is_scheme(text), is_one, "{text:?}");
        }
    }

    #[test]
    fn a_place_is_a_host_and_what_stands_behind_it() {
        for (place, host, behind, is_good) in [
            ("h", "h", Some(""), true),
            ("h:", "h", Some(":"), true),
            ("h:80", "h", Some(":80"), true),
            ("h:+80", "h", Some(":+80"), false),
            ("a:b:80", "a", Some(":b:80"), false),
            ("[::1]", "::1", Some(""), true),
            ("[::1]:80", "::1", Some(":80"), true),
            ("[::1]x", "::1", Some("x"), false),
            ("[::1", "::1", None, false),
            ("", "", Some(""), true),
        ] {
            assert_eq!(split_host(place), (host, behind), "{place:?}");
            assert_eq!(behind.is_some_and(is_port), is_good, "{place:?}");
        }
    }
}
