//! Header fields that a source's requests carry because its list says so.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::redact;

/// Fields of one source behind this many are left out.
pub const REQUEST_HEADERS_MAX: usize = 32;
/// The longest value of one field, and of its name.
pub const REQUEST_HEADER_BYTES_MAX: usize = 4 * 1024;

/// What the connection itself is made of: ours to say, whatever a list says.
const OURS: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "expect",
    "via",
    "range",
    "accept-encoding",
];

/// Fields that are for the one host they were given for.
const CREDENTIALS: &[&str] = &["authorization", "cookie"];

/// Names of other programs for fields, and the fields' own.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("user-agent", "User-Agent"),
    ("useragent", "User-Agent"),
    ("http-user-agent", "User-Agent"),
    ("referer", "Referer"),
    ("referrer", "Referer"),
    ("http-referrer", "Referer"),
    ("http-referer", "Referer"),
    ("origin", "Origin"),
    ("http-origin", "Origin"),
    ("cookie", "Cookie"),
    ("cookies", "Cookie"),
    ("http-cookie", "Cookie"),
];

/// Why a field cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is no token (RFC 9110, 5.6.2).
    #[error("the name of a header field has letters, digits and !#$%&'*+-.^_`|~ alone")]
    Name,
    /// The value holds a control character, or what is neither ASCII nor text.
    #[error("the value of a header field cannot hold control characters")]
    Value,
    /// The field is said by the connection itself.
    #[error("this header field belongs to the connection and cannot be set")]
    Ours,
    /// Longer than [`REQUEST_HEADER_BYTES_MAX`].
    #[error("a header field has at most {REQUEST_HEADER_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`REQUEST_HEADERS_MAX`].
    #[error("a source has at most {REQUEST_HEADERS_MAX} header fields")]
    TooMany,
}

/// Header fields, each of which can be sent. A name stands once, in whatever case. Values may be secrets: `Debug` shows names alone.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, String>", from = "BTreeMap<String, String>")]
pub struct RequestHeaders(Vec<(String, String)>);

impl RequestHeaders {
    /// No fields.
    pub const NONE: Self = Self(Vec::new());

    /// Sets a field; one of the same name is replaced. An empty value takes the field away.
    ///
    /// # Errors
    /// When the field could not be sent, or is not for a list to say.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let name = name.trim();
        let value = value.trim();
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(HeaderError::Name);
        }
        let name = OTHER_NAMES
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map_or(name, |(_, own)| own);
        if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            return Err(HeaderError::Ours);
        }
        if value.chars().any(char::is_control) {
            return Err(HeaderError::Value);
        }
        if name.len() + value.len() > REQUEST_HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong);
        }
        let place = self.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        match place {
            Some(place) if value.is_empty() => {
                self.0.remove(place);
            }
            Some(place) => value.clone_into(&mut self.0[place].1),
            None if value.is_empty() => {}
            None if self.0.len() == REQUEST_HEADERS_MAX => return Err(HeaderError::TooMany),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// These fields, and of `others` those that these have not.
    #[must_use]
    pub fn or(mut self, others: &Self) -> Self {
        for (name, value) in &others.0 {
            if self.get(name).is_none() && self.0.len() < REQUEST_HEADERS_MAX {
                self.0.push((name.clone(), value.clone()));
            }
        }
        self
    }

    /// The value of a field, whatever the case of its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// True when there is no field.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The fields as they may be shown: what names a program or a page as a log would show it, everything else hidden.
    #[must_use]
    pub fn redacted(&self) -> BTreeMap<String, String> {
        let shown = |name: &str, value: &str| match name.to_ascii_lowercase().as_str() {
            "user-agent" | "accept" | "accept-language" => redact::text(value),
            "referer" | "origin" => redact::url(value),
            _ => redact::HIDDEN.to_owned(),
        };
        self.iter().map(|(name, value)| (name.to_owned(), shown(name, value))).collect()
    }

    /// The fields that may be sent to another host than they were given for.
    #[must_use]
    pub fn for_other_host(&self) -> Self {
        let is_kept = |name: &str| !CREDENTIALS.iter().any(|known| known.eq_ignore_ascii_case(name));
        Self(self.0.iter().filter(|(name, _)| is_kept(name)).cloned().collect())
    }
}

impl fmt::Debug for RequestHeaders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl From<RequestHeaders> for BTreeMap<String, String> {
    fn from(headers: RequestHeaders) -> Self {
        headers.0.into_iter().collect()
    }
}

impl From<BTreeMap<String, String>> for RequestHeaders {
    /// What cannot be sent is left out.
    fn from(fields: BTreeMap<String, String>) -> Self {
        let mut headers = Self::default();
        for (name, value) in fields {
            let _refused = headers.set(&name, &value);
        }
        headers
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_by_its_name_in_any_case_and_by_the_names_of_players() {
        let mut headers = RequestHeaders::default();
        for (name, value) in [
            ("http-user-agent", "Box/7.1 (TV)"),
            ("http-referrer", "http://portal.example/a"),
            ("REFERER", " http://portal.example/b "),
            ("X-Forwarded-For", "10.0.0.1"),
            ("x-forwarded-for", ""),
            ("X-Empty", ""),
        ] {
            headers.set(name, value).unwrap();
        }
        let fields: Vec<_> = headers.iter().collect();
        assert_eq!(fields, [("User-Agent", "Box/7.1 (TV)"), ("Referer", "http://portal.example/b")]);
        assert_eq!(headers.get("user-AGENT"), Some("Box/7.1 (TV)"));
    }

    #[test]
    fn what_could_not_be_sent_is_refused() {
        let mut headers = RequestHeaders::default();
        for (name, value, error) in [
            ("", "x", HeaderError::Name),
            ("a b", "x", HeaderError::Name),
            ("a:", "x", HeaderError::Name),
            ("X", "a\r\nHost: b", HeaderError::Value),
            ("X", "a\0", HeaderError::Value),
            ("Host", "other", HeaderError::Ours),
            ("content-LENGTH", "1", HeaderError::Ours),
        ] {
            assert_eq!(headers.set(name, value), Err(error), "{name:?}");
        }
        let long = "a".repeat(REQUEST_HEADER_BYTES_MAX);
        assert_eq!(headers.set("X", &long), Err(HeaderError::TooLong));
        assert!(headers.is_empty());
        for number in 0..REQUEST_HEADERS_MAX {
            headers.set(&format!("X-{number}"), "1").unwrap();
        }
        assert_eq!(headers.set("Y", "1"), Err(HeaderError::TooMany));
        assert_eq!(headers.set("x-0", "2"), Ok(()));
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let mut headers = RequestHeaders::default();
        for name in ["Authorization", "Cookie", "User-Agent", "X-Token"] {
            headers.set(name, "v").unwrap();
        }
        let names: Vec<_> = headers.for_other_host().iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["User-Agent", "X-Token"]);
    }

    #[test]
    fn they_are_shown_without_secrets() {
        let mut headers = RequestHeaders::default();
        for (name, value) in [
            ("User-Agent", "Box/7.1 token=abc"),
            ("Referer", "http://u:p@portal.example/live/user/pass/1?key=1"),
            ("Cookie", "sid=1"),
            ("X-Anything", "secret"),
        ] {
            headers.set(name, value).unwrap();
        }
        let shown = headers.redacted();
        assert_eq!(shown["User-Agent"], "Box/7.1 token=***");
        assert_eq!(shown["Referer"], "http://portal.example/live/***/***/1");
        assert_eq!((shown["Cookie"].as_str(), shown["X-Anything"].as_str()), ("***", "***"));
    }

    #[test]
    fn what_is_said_nearer_wins() {
        let with = |fields: &[(&str, &str)]| {
            let mut headers = RequestHeaders::default();
            for (name, value) in fields {
                headers.set(name, value).unwrap();
            }
            headers
        };
        let joined = with(&[("User-Agent", "a")]).or(&with(&[("user-agent", "b"), ("Origin", "o")]));
        assert_eq!(joined, with(&[("User-Agent", "a"), ("Origin", "o")]));
    }

    #[test]
    fn they_are_stored_as_an_object_and_shown_by_name_alone() {
        let mut headers = RequestHeaders::default();
        headers.set("Cookie", "secret=1").unwrap();
        let text = serde_json::to_string(&headers).unwrap();
        assert_eq!(text, r#"{"Cookie":"secret=1"}"#);
        assert_eq!(serde_json::from_str::<RequestHeaders>(&text).unwrap(), headers);
        assert_eq!(
            serde_json::from_str::<RequestHeaders>(r#"{"Host":"h","a b":"c"}"#).unwrap(),
            RequestHeaders::NONE
        );
        assert_eq!(format!("{headers:?}"), r#"["Cookie"]"#);
    }
}
