//! The head of a viewer's or administrator's request.

use percent_encoding::percent_decode_str;

use crate::base::address::AddressParts;
use crate::base::limits::{HEADERS_MAX, REQUEST_HEAD_BYTES_MAX};

/// What a request asks to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Any other; no route knows it.
    Other,
}

impl Method {
    fn parse(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// The decoded names and values of a query or of a form that was sent, in order. A name without `=` has an empty value.
pub fn form_pairs(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// The protocol version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// What becomes of a connection when an answer is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It is closed.
    Close,
    /// The next request is read from it.
    KeepAlive,
}

/// How far a request's head has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Not all of it.
    NeedMore,
    /// All of it.
    Complete {
        /// The request.
        request: Request,
        /// Bytes of the head; a body, or the next request, begins behind them.
        head_bytes: usize,
    },
}

/// Why a request is refused before any route sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not HTTP, or one of the ways to smuggle a second request past a proxy.
    #[error("the request is malformed")]
    Malformed,
    /// More than [`REQUEST_HEAD_BYTES_MAX`] bytes or [`HEADERS_MAX`] fields.
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the request's HTTP version is not supported")]
    Version,
    /// A transfer coding other than `chunked`.
    #[error("the request's transfer coding is not supported")]
    TransferEncoding,
}

impl RequestError {
    /// The status to answer with. The connection is to be closed after it: where the next request would
    /// begin is not known.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::HeadTooLarge => 431,
            Self::TransferEncoding => 501,
            Self::Version => 505,
        }
    }
}

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    version: Version,
    /// Path and query, without scheme and authority.
    target: String,
    path: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    content_length: Option<u64>,
    is_chunked: bool,
}

/// Reads a request's head from everything received so far.
///
/// # Errors
/// When no further byte can make it a request that tunerd accepts.
pub fn parse(bytes: &[u8]) -> Result<Parsed, RequestError> {
    let bounded = &bytes[..bytes.len().min(REQUEST_HEAD_BYTES_MAX)];
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut raw = httparse::Request::new(&mut fields);
    match raw.parse(bounded) {
        Ok(httparse::Status::Complete(head_bytes)) => {
            let request = Request::from_raw(&raw)?;
            Ok(Parsed::Complete { request, head_bytes })
        }
        Ok(httparse::Status::Partial) if bytes.len() >= REQUEST_HEAD_BYTES_MAX => {
            Err(RequestError::HeadTooLarge)
        }
        Ok(httparse::Status::Partial) => Ok(Parsed::NeedMore),
        Err(httparse::Error::TooManyHeaders) => Err(RequestError::HeadTooLarge),
        Err(httparse::Error::Version) if names_a_version(bounded) => Err(RequestError::Version),
        Err(
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version,
        ) => Err(RequestError::Malformed),
    }
}

/// Whether the request line's last word is some HTTP version.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or(b"");
    let word = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or(b"");
    word.strip_prefix(b"HTTP/").is_some_and(|version| version.first().is_some_and(u8::is_ascii_digit))
}

impl Request {
    fn from_raw(raw: &httparse::Request<'_, '_>) -> Result<Self, RequestError> {
        let method = Method::parse(raw.method.ok_or(RequestError::Malformed)?);
        let version = if raw.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let headers: Vec<(String, String)> = raw
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value.trim_ascii()).into_owned();
                (header.name.to_ascii_lowercase(), value)
            })
            .collect();
        let (authority, target) = split_target(method, raw.path.ok_or(RequestError::Malformed)?)?;
        // The host in the target outweighs the header (RFC 9112, 3.2.2).
        let host = authority.or(single(&headers, "host")?.filter(|host| !host.is_empty())).map(str::to_owned);
        let raw_path = target.split('?').next().unwrap_or("");
        if !has_only_valid_escapes(raw_path) {
            return Err(RequestError::Malformed);
        }
        let path = percent_decode_str(raw_path).decode_utf8_lossy().into_owned();
        let target = target.to_owned();
        let (content_length, is_chunked) = body_framing(version, &headers)?;
        Ok(Self { method, version, target, path, host, headers, content_length, is_chunked })
    }

    /// What is asked to be done.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The protocol version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Path and query as sent. Begins with `/`, or is `*`.
    #[must_use]
    #[cfg(test)]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path as sent: an encoded `/` does not separate segments.
    #[must_use]
    pub fn raw_path(&self) -> &str {
        self.target.split('?').next().unwrap_or("")
    }

    /// The percent-decoded path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as sent, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_path, query)| query)
    }

    /// The decoded names and values of the query, in order. A name without `=` has an empty value.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        form_pairs(self.query().unwrap_or(""))
    }

    /// Host and port that the client used.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The first value of a header, trimmed. `name` may be in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        values(&self.headers, name).next()
    }

    /// All values of a header, trimmed. `name` may be in any case.
    pub fn headers(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let named = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// What becomes of the connection when the answer is out, where this head is all that has come of it: bytes behind it, be they a
    /// body or the next request, are heard by nobody who answers from a core.
    #[must_use]
    pub fn persistence(&self, is_alone: bool) -> Persistence {
        let has_body = ["content-length", "transfer-encoding"].iter().any(|name| self.header(name).is_some());
        if is_alone && !has_body && self.keeps_alive() { Persistence::KeepAlive } else { Persistence::Close }
    }

    /// Whether the client means to send another request on this connection.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        let says = |word: &str| {
            values(&self.headers, "connection")
                .flat_map(|value| value.split(','))
                .any(|option| option.trim().eq_ignore_ascii_case(word))
        };
        match self.version {
            Version::Http10 => says("keep-alive") && !says("close"),
            Version::Http11 => !says("close"),
        }
    }

    /// The length of the body when the head states one.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the body comes in chunks.
    #[must_use]
    pub const fn is_chunked(&self) -> bool {
        self.is_chunked
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        let asks = self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        asks && self.version == Version::Http11
    }
}

fn values<'head>(headers: &'head [(String, String)], name: &str) -> impl Iterator<Item = &'head str> {
    headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The value of a header that may be there once at most.
fn single<'head>(headers: &'head [(String, String)], name: &str) -> Result<Option<&'head str>, RequestError> {
    let mut found = values(headers, name);
    let first = found.next();
    if found.next().is_some() { Err(RequestError::Malformed) } else { Ok(first) }
}

/// Splits an absolute-form target into authority and the rest; a fragment is dropped.
fn split_target(method: Method, target: &str) -> Result<(Option<&str>, &str), RequestError> {
    let target = target.split('#').next().unwrap_or("");
    if target.starts_with('/') || (target == "*" && method == Method::Options) {
        return Ok((None, target));
    }
    let parts = AddressParts::split(target).ok_or(RequestError::Malformed)?;
    let is_http = parts.is_of("http") || parts.is_of("https");
    if !is_http || parts.place.is_empty() || parts.userinfo.is_some() || parts.target.starts_with('?') {
        return Err(RequestError::Malformed);
    }
    Ok((Some(parts.place), if parts.target.is_empty() { "/" } else { parts.target }))
}

/// Length and chunkedness of the body. Whatever a proxy in front could understand differently is refused.
fn body_framing(version: Version, headers: &[(String, String)]) -> Result<(Option<u64>, bool), RequestError> {
    let length = match single(headers, "content-length")? {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_empty_or_too_large| RequestError::Malformed)?)
        }
        Some(_) => return Err(RequestError::Malformed),
        None => None,
    };
    match single(headers, "transfer-encoding")? {
        None => Ok((length, false)),
        Some(_) if length.is_some() || version == Version::Http10 => Err(RequestError::Malformed),
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => Ok((None, true)),
        Some(_) => Err(RequestError::TransferEncoding),
    }
}

/// Whether every `%` begins two hexadecimal digits.
fn has_only_valid_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|behind| {
        behind.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(head: &str) -> Request {
        match parse(head.as_bytes()) {
            Ok(Parsed::Complete { request, head_bytes }) => {
                assert_eq!(head_bytes, head.len());
                request
            }
            other => panic!("{head:?}: {other:?}"),
        }
    }

    #[test]
    fn every_percent_sign_begins_an_escape() {
        for (text, valid) in [
            ("a%20b", true),
            ("%2f%2F", true),
            ("100%", false),
            ("%zz%41", false),
            ("%%41", false),
            ("%4", false),
            ("", true),
        ] {
            assert_eq!(has_only_valid_escapes(text), valid, "{text}");
        }
    }

    #[test]
    fn every_method_is_known_or_other() {
        for (name, method) in [
            ("GET", Method::Get),
            ("HEAD", Method::Head),
            ("POST", Method::Post),
            ("PUT", Method::Put),
            ("PATCH", Method::Patch),
            ("DELETE", Method::Delete),
            ("OPTIONS", Method::Options),
            ("get", Method::Other),
            ("SUBSCRIBE", Method::Other),
        ] {
            assert_eq!(request(&format!("{name} / HTTP/1.1\r\n\r\n")).method(), method, "{name}");
        }
    }

    #[test]
    fn the_target_yields_path_and_query() {
        for (target, path, raw_path, query) in [
            ("/", "/", "/", None),
            ("/auto/v1?transcode=none", "/auto/v1", "/auto/v1", Some("transcode=none")),
            ("/a%20b%2Fc?", "/a b/c", "/a%20b%2Fc", Some("")),
            ("/a?b?c#d", "/a", "/a", Some("b?c")),
            ("/%ff", "/\u{fffd}", "/%ff", None),
            ("http://tuner:5004/auto/v1?x=%zz", "/auto/v1", "/auto/v1", Some("x=%zz")),
            ("HTTP://tuner", "/", "/", None),
            ("//tuner/x", "//tuner/x", "//tuner/x", None),
        ] {
            let request = request(&format!("GET {target} HTTP/1.1\r\n\r\n"));
            assert_eq!(
                (request.path(), request.raw_path(), request.query()),
                (path, raw_path, query),
                "{target}"
            );
        }
        assert_eq!(request("OPTIONS * HTTP/1.1\r\n\r\n").target(), "*");
    }

    #[test]
    fn query_pairs_are_decoded_in_order() {
        let request = request("GET /?a=1&b=x%20y+z&&c&a=%3D=%zz HTTP/1.1\r\n\r\n");
        let pairs: Vec<_> = request.query_pairs().collect();
        let expected = [("a", "1"), ("b", "x y z"), ("c", ""), ("a", "==%zz")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn the_host_is_the_targets_else_the_headers() {
        for (head, host) in [
            ("GET / HTTP/1.1\r\nHost: tuner:5004 \r\n\r\n", Some("tuner:5004")),
            ("GET http://other:80/ HTTP/1.1\r\nHost: tuner\r\n\r\n", Some("other:80")),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", None),
            ("GET / HTTP/1.0\r\n\r\n", None),
        ] {
            assert_eq!(request(head).host(), host, "{head:?}");
        }
    }

    #[test]
    fn a_request_with_something_behind_its_head_is_the_last_of_its_connection() {
        use Persistence::{Close, KeepAlive};
        for (version, header, is_alone, persistence) in [
            ("1.1", "", true, KeepAlive),
            ("1.1", "", false, Close),
            ("1.1", "Connection: close\r\n", true, Close),
            ("1.1", "Content-Length: 4\r\n", true, Close),
            ("1.1", "Transfer-Encoding: chunked\r\n", true, Close),
            ("1.0", "", true, Close),
            ("1.0", "Connection: keep-alive\r\n", true, KeepAlive),
        ] {
            let request = request(&format!("GET / HTTP/{version}\r\n{header}\r\n"));
            assert_eq!(request.persistence(is_alone), persistence, "{version} {header:?} {is_alone}");
        }
    }

    #[test]
    fn a_connection_is_kept_as_version_and_header_say() {
        for (version, header, kept) in [
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
            ("1.1", "", true),
            ("1.1", "Connection: x\r\nConnection: TE , Close\r\n", false),
            ("1.1", "Connection: keep-alive\r\n", true),
        ] {
            let request = request(&format!("GET / HTTP/{version}\r\n{header}\r\n"));
            assert_eq!(request.keeps_alive(), kept, "{version} {header:?}");
        }
    }

    #[test]
    fn the_body_is_framed_by_one_length_or_by_chunks() {
        for (headers, length, chunked) in [
            ("", None, false),
            ("Content-Length: 0\r\n", Some(0), false),
            ("content-length: 18446744073709551615\r\n", Some(u64::MAX), false),
            ("Transfer-Encoding: CHUNKED\r\n", None, true),
        ] {
            let request = request(&format!("POST / HTTP/1.1\r\n{headers}\r\n"));
            assert_eq!((request.content_length(), request.is_chunked()), (length, chunked), "{headers:?}");
        }
    }

    #[test]
    fn only_a_newer_client_waits_to_be_told_to_continue() {
        for (version, value, waits) in
            [("1.1", "100-Continue", true), ("1.0", "100-continue", false), ("1.1", "other", false)]
        {
            let request = request(&format!("POST / HTTP/{version}\r\nExpect: {value}\r\n\r\n"));
            assert_eq!(request.expects_continue(), waits, "{version} {value}");
        }
    }

    #[test]
    fn headers_are_found_in_any_case_and_trimmed() {
        let request = request("\r\nGET / HTTP/1.1\nX-One:  a \nx-one: b\nRange: bytes=0-\r\n\r\n");
        assert_eq!(request.header("x-ONE"), Some("a"));
        assert_eq!(request.header("range"), Some("bytes=0-"));
        assert_eq!(request.header("x-two"), None);
        assert_eq!(request.version(), Version::Http11);
    }

    #[test]
    fn what_is_refused_has_its_status() {
        for (head, status) in [
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.2\r\n\r\n", 505),
            ("GET / FTP/1.1\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1}", 400),
            ("GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nName : x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET /%zz HTTP/1.1\r\n\r\n", 400),
            ("GET /100% HTTP/1.1\r\n\r\n", 400),
            ("GET auto/v1 HTTP/1.1\r\n\r\n", 400),
            ("GET * HTTP/1.1\r\n\r\n", 400),
            ("GET ftp://host/ HTTP/1.1\r\n\r\n", 400),
            ("GET http:///x HTTP/1.1\r\n\r\n", 400),
            ("GET http://u@host/x HTTP/1.1\r\n\r\n", 400),
            ("CONNECT host:443 HTTP/1.1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        ] {
            assert_eq!(parse(head.as_bytes()).map_err(RequestError::status), Err(status), "{head:?}");
        }
    }

    #[test]
    fn the_head_is_bounded_in_bytes_and_fields() {
        let long = format!("GET /{}", "a".repeat(REQUEST_HEAD_BYTES_MAX));
        assert_eq!(parse(&long.as_bytes()[..REQUEST_HEAD_BYTES_MAX - 1]), Ok(Parsed::NeedMore));
        assert_eq!(parse(&long.as_bytes()[..REQUEST_HEAD_BYTES_MAX]), Err(RequestError::HeadTooLarge));
        assert_eq!(parse(format!("{long} HTTP/1.1\r\n\r\n").as_bytes()), Err(RequestError::HeadTooLarge));
        let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(request(&fields(HEADERS_MAX)).header("x"), Some("y"));
        assert_eq!(parse(fields(HEADERS_MAX + 1).as_bytes()), Err(RequestError::HeadTooLarge));
        assert_eq!(RequestError::HeadTooLarge.status(), 431);
    }

    #[test]
    fn every_prefix_of_a_head_needs_more_and_what_follows_is_left() {
        let head = "GET /auto/v1 HTTP/1.1\r\nHost: tuner\r\nAccept: */*\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head.as_bytes()[..end]), Ok(Parsed::NeedMore), "{:?}", &head[..end]);
        }
        match parse(format!("{head}GET /next").as_bytes()) {
            Ok(Parsed::Complete { head_bytes, .. }) => assert_eq!(head_bytes, head.len()),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            target in "[!-~]{0,30}",
            value in "[ -~]{0,30}",
        ) {
            let headed = [b"GET / HTTP/1.1\r\n", bytes.as_slice()].concat();
            let shaped = format!("GET {target} HTTP/1.1\r\nTransfer-Encoding: {value}\r\n\r\n");
            for candidate in [bytes.as_slice(), &headed, shaped.as_bytes()] {
                if let Ok(Parsed::Complete { request, head_bytes }) = parse(candidate) {
                    prop_assert!(head_bytes <= candidate.len());
                    prop_assert!(request.target().starts_with('/'));
                    prop_assert!(request.query_pairs().count() <= request.target().len());
                }
            }
        }
    }
}
