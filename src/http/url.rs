//! The URL of an upstream: what to connect to and what to ask for.

use std::fmt;
use std::net::Ipv6Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::base::address::{AddressParts, is_port, is_scheme, split_host};

/// The longest URL, as it is sent: what servers and caches commonly take.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// Why a text is not a URL that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing but white space.
    #[error("the URL is empty")]
    Empty,
    /// A control character, which could end a line of the request.
    #[error("the URL holds a control character")]
    ControlCharacter,
    /// No `scheme://`, or one that is not HTTP.
    #[error("the URL's scheme is not http or https")]
    Scheme,
    /// The host is missing or holds characters a host cannot have.
    #[error("the URL's host is not valid")]
    Host,
    /// Longer than [`URL_BYTES_MAX`] once encoded.
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// The port is not a number from 1 to 65535.
    #[error("the URL's port is not valid")]
    Port,
}

/// How the upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// Its name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A parsed URL. `Debug` shows no credentials, path or query: any of them may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// As written, still percent-encoded.
    userinfo: Option<String>,
    /// Lower case, without brackets.
    host: String,
    port: Option<u16>,
    /// Path and query as sent; begins with `/`.
    target: String,
}

impl Url {
    /// Parses an absolute URL. White space around it is ignored, a fragment is dropped.
    ///
    /// # Errors
    /// When the text is not an `http` or `https` URL with a valid host and port.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = clean(text)?;
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        let parts = AddressParts::split(text).ok_or(UrlError::Scheme)?;
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|scheme| parts.is_of(scheme.as_str()))
            .ok_or(UrlError::Scheme)?;
        let userinfo = parts.userinfo.filter(|text| !text.is_empty()).map(str::to_owned);
        let (host, port) = host_and_port(parts.place)?;
        let mut target = String::with_capacity(parts.target.len() + 1);
        if !parts.target.starts_with('/') {
            target.push('/');
        }
        push_encoded(&mut target, parts.target);
        Self { scheme, userinfo, host, port, target }.bounded()
    }

    fn bounded(self) -> Result<Self, UrlError> {
        let userinfo = self.userinfo.as_ref().map_or(0, String::len);
        if userinfo + self.host.len() + self.target.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        Ok(self)
    }

    /// The URL that a redirect from here leads to. Credentials written in `location` are used; without
    /// them this URL's own are kept for the same host and port only.
    ///
    /// # Errors
    /// When `location` is neither a valid URL nor a valid reference.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        let location = clean(location)?;
        if location.starts_with("//") {
            return Ok(self.lend_credentials(Self::parse(&format!("{}:{location}", self.scheme.as_str()))?));
        }
        if has_scheme(location) {
            return Ok(self.lend_credentials(Self::parse(location)?));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let (new_path, new_query) = location.split_at(location.find('?').unwrap_or(location.len()));
        let mut target = String::with_capacity(path.len() + location.len());
        if location.is_empty() {
            target.push_str(&self.target);
        } else if new_path.is_empty() {
            target.push_str(path);
            push_encoded(&mut target, new_query);
        } else {
            let folder = if new_path.starts_with('/') { "" } else { &path[..=path.rfind('/').unwrap_or(0)] };
            let merged = without_dot_segments(&format!("{folder}{new_path}"));
            push_encoded(&mut target, &merged);
            push_encoded(&mut target, new_query);
        }
        Self { target, ..self.clone() }.bounded()
    }

    /// The whole URL, credentials too: not to be shown.
    #[must_use]
    pub fn text(&self) -> String {
        let userinfo = self.userinfo.as_ref().map(|text| format!("{text}@")).unwrap_or_default();
        format!("{}://{userinfo}{}{}", self.scheme.as_str(), self.authority(), self.target)
    }

    /// How the upstream is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port as written, else the scheme's.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.scheme.default_port())
    }

    /// Host and, unless it is the scheme's own, port: the value of the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) if port != self.scheme.default_port() => format!("{host}:{port}"),
            Some(_) | None => host,
        }
    }

    /// Path and query as they are sent. Never empty, never with a character that could end the line.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The value of the `Authorization` header when the URL names a user.
    #[must_use]
    pub fn basic_authorization(&self) -> Option<String> {
        let userinfo = self.userinfo.as_deref()?;
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let mut plain: Vec<u8> = percent_decode_str(user).collect();
        plain.push(b':');
        plain.extend(percent_decode_str(password));
        Some(format!("Basic {}", BASE64.encode(&plain)))
    }

    fn lend_credentials(&self, mut other: Self) -> Self {
        let same = self.host == other.host && self.port_or_default() == other.port_or_default();
        if same && other.userinfo.is_none() {
            other.userinfo.clone_from(&self.userinfo);
        }
        other
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}/…", self.scheme.as_str(), self.authority())
    }
}

/// The text without surrounding white space and fragment.
fn clean(text: &str) -> Result<&str, UrlError> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(UrlError::ControlCharacter);
    }
    Ok(text.split('#').next().unwrap_or(""))
}

/// Whether a reference begins with `scheme:`.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, behind) = split_host(place);
    let behind = behind.ok_or(UrlError::Host)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    let is_host = if place.starts_with('[') {
        host.parse::<Ipv6Addr>().is_ok()
    } else {
        !host.is_empty() && host.bytes().all(valid)
    };
    if !is_host {
        return Err(UrlError::Host);
    }
    if !is_port(behind) {
        return Err(UrlError::Port);
    }
    let port = match behind.strip_prefix(':') {
        None | Some("") => None,
        Some(digits) => match digits.parse() {
            Ok(0) | Err(_) => return Err(UrlError::Port),
            Ok(port) => Some(port),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// Appends path or query with every byte encoded that a request line cannot hold. Escapes stay as they
/// are, also invalid ones: the server that made the link knows what it meant.
fn push_encoded(out: &mut String, text: &str) {
    const UNSENDABLE: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    out.extend(utf8_percent_encode(text, UNSENDABLE));
}

/// Resolves `.` and `..` in an absolute path.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    // A dot segment at the end names a folder.
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask_for() {
        for (text, host, port, authority, target) in [
            ("http://example.com", "example.com", 80, "example.com", "/"),
            (" HTTP://EXAMPLE.com:80/A?b=C#frag ", "example.com", 80, "example.com", "/A?b=C"),
            ("https://example.com:8443?x=1", "example.com", 8443, "example.com:8443", "/?x=1"),
            ("http://[2001:DB8::1]:8080/x", "2001:db8::1", 8080, "[2001:db8::1]:8080", "/x"),
            ("https://[::1]", "::1", 443, "[::1]", "/"),
            ("http://host:/x", "host", 80, "host", "/x"),
            ("http://u:p@ss@my_host/a b/ü|%zz", "my_host", 80, "my_host", "/a%20b/%C3%BC%7C%zz"),
            ("http://host/x?u=http://y/z@q", "host", 80, "host", "/x?u=http://y/z@q"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.host(), url.port_or_default(), url.authority().as_str(), url.target()),
                (host, port, authority, target),
                "{text}"
            );
        }
        assert_eq!(Url::parse("hTTpS://x").unwrap().scheme(), Scheme::Https);
    }

    #[test]
    fn what_cannot_be_fetched_is_refused_with_the_reason() {
        for (text, error) in [
            ("", UrlError::Empty),
            (" \t ", UrlError::Empty),
            ("http://host/a\r\nHost: evil", UrlError::ControlCharacter),
            ("http://host/\u{85}x", UrlError::ControlCharacter),
            ("host/path", UrlError::Scheme),
            ("rtsp://host/path", UrlError::Scheme),
            ("http:/host/path", UrlError::Scheme),
            ("http://", UrlError::Host),
            ("http:///path", UrlError::Host),
            ("http://user@/path", UrlError::Host),
            ("http://ho st/", UrlError::Host),
            ("http://h%20st/", UrlError::Host),
            ("http://münchen/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://[nonsense]/", UrlError::Host),
            ("http://[::1]x/", UrlError::Port),
            ("http://host:0/", UrlError::Port),
            ("http://host:65536/", UrlError::Port),
            ("http://host:+80/", UrlError::Port),
            ("http://a:b:c/", UrlError::Port),
        ] {
            assert_eq!(Url::parse(text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn credentials_become_a_basic_authorization() {
        for (text, value) in [
            ("http://host/", None),
            ("http://@host/", None),
            ("http://Aladdin:open%20sesame@host/", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("http://user:p%40s:s@host/", Some("Basic dXNlcjpwQHM6cw==")),
            ("http://user@host/", Some("Basic dXNlcjo=")),
            ("http://a:bc@host/", Some("Basic YTpiYw==")),
            ("http://a:b@host/", Some("Basic YTpi")),
        ] {
            assert_eq!(Url::parse(text).unwrap().basic_authorization().as_deref(), value, "{text}");
        }
    }

    #[test]
    fn what_no_server_takes_is_no_url() {
        let path = format!("/{}", "a".repeat(URL_BYTES_MAX - 2));
        assert!(Url::parse(&format!("http://h{path}")).is_ok());
        for text in [format!("http://h{path}a"), format!("http://h/{}", "\"".repeat(URL_BYTES_MAX / 3 + 1))] {
            assert_eq!(Url::parse(&text), Err(UrlError::TooLong));
        }
        let from = Url::parse("https://host/x").unwrap();
        assert_eq!(from.join(&format!("{path}a123")), Err(UrlError::TooLong));
        assert_eq!(from.join(&format!("https://h/{}", "\"".repeat(22_000))), Err(UrlError::TooLong));
    }

    #[test]
    fn a_redirect_resolves_against_the_url_it_came_from() {
        let base = Url::parse("http://host:8080/a/b/c?q=1").unwrap();
        for (location, authority, target) in [
            ("https://other/x?y", "other", "/x?y"),
            ("//other:81/x", "other:81", "/x"),
            ("/x/y?z", "host:8080", "/x/y?z"),
            ("x y", "host:8080", "/a/b/x%20y"),
            ("./x?u=http://z/../w", "host:8080", "/a/b/x?u=http://z/../w"),
            ("../x", "host:8080", "/a/x"),
            ("../../../../x/./y/..", "host:8080", "/x/"),
            ("?z=2", "host:8080", "/a/b/c?z=2"),
            ("#only", "host:8080", "/a/b/c?q=1"),
            ("", "host:8080", "/a/b/c?q=1"),
            ("/t:1/x", "host:8080", "/t:1/x"),
        ] {
            let url = base.join(location).unwrap();
            assert_eq!((url.authority().as_str(), url.target()), (authority, target), "{location:?}");
        }
        assert_eq!(base.join("//other/x").unwrap().scheme(), Scheme::Http);
        assert_eq!(base.join("rtsp://other/x").unwrap_err(), UrlError::Scheme);
        assert_eq!(base.join("mailto:a@b").unwrap_err(), UrlError::Scheme);
        assert_eq!(base.join("/x\r\ny").unwrap_err(), UrlError::ControlCharacter);
    }

    #[test]
    fn credentials_follow_a_redirect_to_the_same_host_and_port_only() {
        let base = Url::parse("http://u:p@host:8080/a").unwrap();
        let own = base.basic_authorization();
        for (location, expected) in [
            ("/b", own.clone()),
            ("http://HOST:8080/b", own.clone()),
            ("//host:8080/b", own),
            ("http://host/b", None),
            ("http://other:8080/b", None),
            ("http://x:y@other/b", Some("Basic eDp5".to_owned())),
            ("http://x:y@host:8080/b", Some("Basic eDp5".to_owned())),
        ] {
            assert_eq!(base.join(location).unwrap().basic_authorization(), expected, "{location}");
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let url = Url::parse("http://user:secret@host:8080/live/user/secret/1.ts?token=secret").unwrap();
        assert_eq!(format!("{url:?}"), "http://host:8080/…");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_target_can_end_the_request_line(text in "\\PC*", location in ".*") {
            for candidate in [text.clone(), format!("http://host{text}"), format!("http://{text}")] {
                if let Ok(url) = Url::parse(&candidate) {
                    prop_assert!(url.target().starts_with('/'));
                    prop_assert!(url.target().bytes().all(|byte| byte.is_ascii_graphic()));
                    prop_assert!(url.authority().bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
            if let Ok(url) = Url::parse("http://host/a/b").unwrap().join(&location) {
                prop_assert!(url.target().starts_with('/'));
                prop_assert!(url.target().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
