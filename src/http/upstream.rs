//! Asking an upstream, and reading what it answers.

use super::headers::RequestHeaders;
use super::url::Url;
use crate::base::limits::{UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_HEADERS_MAX};
use std::borrow::Cow;
use std::time::Duration;

/// Where the body of a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// Where the chunks say.
    Chunked,
    /// Where the connection does.
    UntilClose,
}

/// What tunerd needs to know of a response's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The final status, never an interim one.
    pub status: u16,
    /// Bytes of the head, interim responses before it included: the body begins behind them.
    pub head_bytes: usize,
    /// Where the body ends.
    pub framing: Framing,
    /// The `Location` header as sent.
    pub location: Option<String>,
    /// The `Content-Type` header as sent.
    pub content_type: Option<String>,
    /// The `Content-Range` header as sent.
    pub content_range: Option<String>,
    /// The `Retry-After` header when it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The coding of the body, when it is one that nobody asked for.
    pub content_encoding: Option<String>,
    /// The `Set-Cookie` headers as sent.
    pub set_cookies: Vec<String>,
    /// Another request may follow on the connection when the body is complete (RFC 9112, 9.3).
    pub is_kept: bool,
    /// The `Date` header as sent.
    pub date: Option<String>,
    /// The `ETag` header as sent.
    pub etag: Option<String>,
    /// The `Last-Modified` header as sent.
    pub last_modified: Option<String>,
}

/// How far a response's head has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseStatus {
    /// Not all of it.
    NeedMore,
    /// All of it.
    Complete(Box<ResponseHead>),
}

/// Why an upstream's response cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not HTTP.
    #[error("the response is not HTTP")]
    Malformed,
    /// More than [`UPSTREAM_HEAD_BYTES_MAX`] bytes or [`UPSTREAM_HEADERS_MAX`] fields.
    #[error("the response's head is too large")]
    HeadTooLarge,
    /// A transfer coding other than `chunked`.
    #[error("the response's transfer coding is not known")]
    TransferEncoding,
    /// The upstream speaks another protocol from here on, which nobody asked for.
    #[error("the response switches to another protocol")]
    ProtocolSwitch,
}

/// What a request says beside its URL.
#[derive(Debug, Clone, Copy)]
pub struct RequestFields<'fields> {
    /// Who asks, unless the headers say it. Stripped of what could end its line.
    pub user_agent: &'fields str,
    /// The value of the `Via` header.
    pub via: Option<&'fields str>,
    /// The value of the `Range` header.
    pub range: Option<&'fields str>,
    /// The answer's body may be compressed by gzip.
    pub may_be_packed: bool,
    /// What the source's list wants to be sent.
    pub headers: &'fields RequestHeaders,
    /// The value of the `Cookie` header, beside what the headers have of it.
    pub cookie: Option<&'fields str>,
    /// Another request may follow on the connection.
    pub keeps: bool,
}

/// The request for `url`.
#[must_use]
pub fn request_head(url: &Url, fields: &RequestFields<'_>) -> Vec<u8> {
    let RequestFields { user_agent, via, range, may_be_packed, headers, cookie, keeps } = *fields;
    let mut head = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", url.target(), url.authority());
    let mut push = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            head.push_str(part);
        }
    };
    if headers.get("User-Agent").is_none() {
        let plain: String = user_agent.chars().filter(|character| !character.is_control()).collect();
        push("User-Agent", &plain);
    }
    if headers.get("Accept").is_none() {
        push("Accept", "*/*");
    }
    push("Connection", if keeps { "keep-alive" } else { "close" });
    if let Some(via) = via {
        push("Via", via);
    }
    if let Some(range) = range {
        push("Range", range);
    }
    if may_be_packed {
        push("Accept-Encoding", "gzip");
    }
    if headers.get("Authorization").is_none()
        && let Some(authorization) = url.basic_authorization()
    {
        push("Authorization", &authorization);
    }
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("cookie")) {
        push(name, value);
    }
    // One field holds all cookies (RFC 6265, 5.4).
    let cookies: Vec<_> = [headers.get("Cookie"), cookie].into_iter().flatten().collect();
    if !cookies.is_empty() {
        push("Cookie", &cookies.join("; "));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Reads the head of a response from everything received so far. Interim (1xx) responses are skipped. What players
/// understand is understood: the status line `ICY 200 OK` of streaming servers, any version of HTTP in it, and a stream
/// without any head.
///
/// # Errors
/// When no further byte can make it a response that tunerd can read.
pub fn parse_response(bytes: &[u8]) -> Result<ResponseStatus, ResponseError> {
    if begins_without_head(bytes) {
        return Ok(ResponseStatus::Complete(Box::new(ResponseHead::absent())));
    }
    let bounded = &bytes[..bytes.len().min(UPSTREAM_HEAD_BYTES_MAX)];
    let mut skipped = 0;
    loop {
        let Some(mut head) = parse_one(&bounded[skipped..])? else {
            let full = bytes.len() >= UPSTREAM_HEAD_BYTES_MAX;
            return if full { Err(ResponseError::HeadTooLarge) } else { Ok(ResponseStatus::NeedMore) };
        };
        skipped += head.head_bytes;
        match head.status {
            101 => return Err(ResponseError::ProtocolSwitch),
            100..=199 => {}
            _ => {
                head.head_bytes = skipped;
                return Ok(ResponseStatus::Complete(Box::new(head)));
            }
        }
    }
}

impl ResponseHead {
    /// What stands for the head of a stream that begins without one.
    const fn absent() -> Self {
        Self {
            status: 200,
            head_bytes: 0,
            framing: Framing::UntilClose,
            location: None,
            content_type: None,
            content_range: None,
            retry_after: None,
            content_encoding: None,
            set_cookies: Vec::new(),
            is_kept: false,
            date: None,
            etag: None,
            last_modified: None,
        }
    }
}

/// True for the first bytes of a stream, where a status line should be: HTTP/0.9 has none, nor have relays that pass on a
/// multicast as it is.
fn begins_without_head(bytes: &[u8]) -> bool {
    // The sync byte of a transport stream, and that of MPEG audio: no status line begins so.
    matches!(bytes.first(), Some(0x47 | 0xFF)) || bytes.starts_with(b"#EXTM3U") || bytes.starts_with(b"ID3")
}

/// A status line of HTTP/1 in the place of what stands there: whether it is one, and how much longer it has become.
enum StatusLine<'bytes> {
    /// It may become one.
    Undecided,
    /// The whole, and by how many bytes its first line grew.
    Whole(Cow<'bytes, [u8]>, isize),
}

fn status_line(bytes: &[u8]) -> StatusLine<'_> {
    const HTTP: &[u8] = b"HTTP/1.0 ";
    let blank = bytes.iter().position(|byte| *byte == b' ');
    let is_prefix_of = |word: &[u8]| word.starts_with(&bytes[..bytes.len().min(word.len())]);
    match blank {
        None if bytes.len() < HTTP.len() && (is_prefix_of(b"ICY ") || is_prefix_of(b"HTTP/")) => {
            StatusLine::Undecided
        }
        Some(blank) if is_status_word(&bytes[..blank]) => {
            let grown = HTTP.len().cast_signed() - (blank + 1).cast_signed();
            StatusLine::Whole(Cow::Owned([HTTP, &bytes[blank + 1..]].concat()), grown)
        }
        None | Some(_) => StatusLine::Whole(Cow::Borrowed(bytes), 0),
    }
}

/// A word before the status that the parser does not know: of streaming servers, or of another version of HTTP.
fn is_status_word(word: &[u8]) -> bool {
    let version = word.strip_prefix(b"HTTP/");
    let is_version = |text: &[u8]| {
        !text.is_empty() && text.len() <= 4 && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
    };
    word == b"ICY" || version.is_some_and(|text| is_version(text) && text != b"1.1" && text != b"1.0")
}

/// The first head in `bytes`, interim or final; `None` while it is incomplete.
fn parse_one(bytes: &[u8]) -> Result<Option<ResponseHead>, ResponseError> {
    let StatusLine::Whole(bytes, grown) = status_line(bytes) else { return Ok(None) };
    let mut fields = [httparse::EMPTY_HEADER; UPSTREAM_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    // Upstreams are old and many; a header nobody reads must not cost the channel its source.
    let parsed = httparse::ParserConfig::default()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(&mut response, &bytes);
    let head_bytes = match parsed {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::HeadTooLarge),
        Err(
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version,
        ) => return Err(ResponseError::Malformed),
    };
    let status = response.code.ok_or(ResponseError::Malformed)?;
    let text = |name| field(response.headers, name).map(|value| String::from_utf8_lossy(value).into_owned());
    let coding = text("content-encoding")
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    let set_cookies = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("set-cookie"));
    Ok(Some(ResponseHead {
        set_cookies: set_cookies.map(|header| String::from_utf8_lossy(header.value).into_owned()).collect(),
        date: text("date"),
        etag: text("etag"),
        last_modified: text("last-modified"),
        content_encoding: coding,
        status,
        head_bytes: head_bytes.saturating_add_signed(-grown),
        is_kept: is_kept(response.version, response.headers),
        framing: framing(status, response.headers)?,
        location: text("location"),
        content_type: text("content-type"),
        content_range: text("content-range"),
        retry_after: field(response.headers, "retry-after").and_then(decimal).map(Duration::from_secs),
    }))
}

/// The first value of a header, trimmed.
fn field<'head>(headers: &[httparse::Header<'head>], name: &str) -> Option<&'head [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
}

fn framing(status: u16, headers: &[httparse::Header<'_>]) -> Result<Framing, ResponseError> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    let mut chunked = false;
    let mut length = None;
    // Panels say -1 for what has no end, and proxies add a length of their own: players read on until the connection closes.
    let mut has_odd_length = false;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            for coding in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if coding.eq_ignore_ascii_case(b"chunked") {
                    chunked = true;
                } else if !coding.eq_ignore_ascii_case(b"identity") && !coding.is_empty() {
                    return Err(ResponseError::TransferEncoding);
                }
            }
        } else if header.name.eq_ignore_ascii_case("content-length") {
            for value in header.value.split(|byte| *byte == b',') {
                let value = decimal(value.trim_ascii());
                has_odd_length |= value.is_none() || length.is_some_and(|known| Some(known) != value);
                length = value.or(length);
            }
        }
    }
    // Chunks win over a length (RFC 9112, 6.3). Nothing else follows on this connection that a wrong
    // choice could be confused with.
    Ok(match (chunked, length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) if !has_odd_length => Framing::Length(length),
        (false, Some(_) | None) => Framing::UntilClose,
    })
}

/// Whether the connection stays, if the body has an end. One whose end is said in two ways is not trusted so far.
fn is_kept(version: Option<u8>, headers: &[httparse::Header<'_>]) -> bool {
    let says = |word: &[u8]| {
        let fields = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("connection"));
        let mut words = fields.flat_map(|header| header.value.split(|byte| *byte == b','));
        words.any(|known| known.trim_ascii().eq_ignore_ascii_case(word))
    };
    let has = |name| field(headers, name).is_some();
    let is_plain = !(has("transfer-encoding") && has("content-length"));
    is_plain && !says(b"close") && (version == Some(1) || says(b"keep-alive"))
}

/// Digits alone, as a number.
fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(bytes: &str) -> ResponseHead {
        match parse_response(bytes.as_bytes()) {
            Ok(ResponseStatus::Complete(head)) => *head,
            other => panic!("{bytes:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_names_host_and_agent_and_closes() {
        let url = Url::parse("http://host:8080/live?x=1").unwrap();
        let none = RequestHeaders::NONE;
        let fields = |user_agent, via| RequestFields {
            user_agent,
            via,
            range: None,
            may_be_packed: false,
            headers: &none,
            cookie: None,
            keeps: false,
        };
        assert_eq!(
            String::from_utf8(request_head(&url, &fields("VLC/3\r\nX: y", None))).unwrap(),
            "GET /live?x=1 HTTP/1.1\r\nHost: host:8080\r\nUser-Agent: VLC/3X: y\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        );
        let url = Url::parse("http://u:p@host/").unwrap();
        let request = String::from_utf8(request_head(&url, &fields("a", Some("1.1 tunerd-x")))).unwrap();
        assert!(request.ends_with("\r\nAuthorization: Basic dTpw\r\n\r\n"), "{request}");
        assert!(request.contains("\r\nHost: host\r\n"), "{request}");
        assert!(request.contains("\r\nVia: 1.1 tunerd-x\r\n"), "{request}");
    }

    #[test]
    fn a_request_carries_what_its_list_says_once_and_all_cookies_in_one_field() {
        let url = Url::parse("http://u:p@host/").unwrap();
        let mut headers = RequestHeaders::default();
        for (name, value) in [
            ("user-agent", "Box/7.1 (TV)"),
            ("referrer", "http://portal.example/watch"),
            ("Authorization", "Bearer x"),
            ("Cookie", "a=1"),
            ("accept", "video/*"),
        ] {
            headers.set(name, value).unwrap();
        }
        let fields = RequestFields {
            user_agent: "tv/1",
            via: None,
            range: Some("bytes=5-9"),
            may_be_packed: true,
            headers: &headers,
            cookie: Some("b=2; c=3"),
            keeps: true,
        };
        assert_eq!(
            String::from_utf8(request_head(&url, &fields)).unwrap(),
            "GET / HTTP/1.1\r\nHost: host\r\nConnection: keep-alive\r\nRange: bytes=5-9\r\nAccept-Encoding: gzip\r\nUser-Agent: Box/7.1 (TV)\r\n\
             Referer: http://portal.example/watch\r\nAuthorization: Bearer x\r\naccept: video/*\r\n\
             Cookie: a=1; b=2; c=3\r\n\r\n"
        );
    }

    #[test]
    fn the_body_ends_where_the_head_says() {
        for (head_text, framing) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.0 200 OK\n\n", Framing::UntilClose),
            ("ICY 200 OK\r\nicy-name: x\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Framing::Length(7)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\ncontent-length: 7, 7\r\n\r\n", Framing::Length(7)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Chunked),
            ("HTTP/1.1 204 No Content\r\n\r\n", Framing::Length(0)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Framing::Length(0)),
            ("HTTP/2 200 OK\r\nContent-Length: 7\r\n\r\n", Framing::Length(7)),
            ("HTTP/2.0 200\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Framing::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: x\r\n\r\n", Framing::UntilClose),
        ] {
            let parsed = head(&format!("{head_text}BODY"));
            assert_eq!(parsed.framing, framing, "{head_text:?}");
            assert_eq!(parsed.head_bytes, head_text.len(), "{head_text:?}");
        }
    }

    #[test]
    fn a_connection_stays_when_both_the_version_and_the_fields_allow_it() {
        for (head_text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: Keep-Alive\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: Close\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nconnection: x, close\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n", true),
            ("ICY 200 OK\r\nContent-Length: 7\r\n", false),
            ("HTTP/2 200 OK\r\nContent-Length: 7\r\n", false),
        ] {
            assert_eq!(head(&format!("{head_text}\r\nBODY")).is_kept, expected, "{head_text:?}");
        }
        assert!(!head("#EXTM3U\n").is_kept);
    }

    #[test]
    fn the_head_yields_what_a_source_acts_on() {
        let parsed = head(
            "HTTP/1.1 302 Found\r\nLocation:  /a?b \r\ncontent-type: video/mp2t\r\nRetry-After: 30\r\n\r\n",
        );
        assert_eq!(parsed.status, 302);
        assert_eq!(parsed.location.as_deref(), Some("/a?b"));
        assert_eq!(parsed.content_type.as_deref(), Some("video/mp2t"));
        assert_eq!(parsed.retry_after, Some(Duration::from_secs(30)));
        let parsed = head("HTTP/1.1 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n");
        assert_eq!((parsed.status, parsed.location, parsed.retry_after), (503, None, None));
    }

    #[test]
    fn a_stream_may_begin_without_a_head() {
        for bytes in [&[0x47, 0x40, 0, 0x10][..], &[0xFF, 0xFB, 0x90], b"ID3\x04", b"#EXTM3U\n"] {
            let Ok(ResponseStatus::Complete(head)) = parse_response(bytes) else { panic!("{bytes:?}") };
            assert_eq!((head.status, head.head_bytes, head.framing), (200, 0, Framing::UntilClose));
        }
    }

    #[test]
    fn the_head_says_how_the_body_is_coded_and_which_cookies_it_sets() {
        let parsed = head(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\n\r\n",
        );
        assert_eq!(parsed.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(parsed.set_cookies, ["a=1; Path=/", "b=2"]);
        let plain = head("HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\n\r\n");
        assert_eq!((plain.content_encoding, plain.set_cookies.len()), (None, 0));
    }

    #[test]
    fn interim_responses_are_skipped_and_counted_into_the_head() {
        let text =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        assert_eq!((head(text).status, head(text).head_bytes), (200, text.len()));
        assert_eq!(parse_response(b"HTTP/1.1 100 Continue\r\n\r\n"), Ok(ResponseStatus::NeedMore));
    }

    #[test]
    fn a_header_nobody_reads_may_be_broken() {
        let parsed = head("HTTP/1.1 200 OK\r\nBad Header: x\r\nServer : y\r\nContent-Length: 3\r\n\r\n");
        assert_eq!((parsed.status, parsed.framing), (200, Framing::Length(3)));
    }

    #[test]
    fn what_is_no_usable_response_is_an_error() {
        for (text, error) in [
            ("<html>", ResponseError::Malformed),
            ("ICE 200", ResponseError::Malformed),
            ("HTTP/x 200 OK\r\n\r\n", ResponseError::Malformed),
            ("ICY abc\r\n\r\n", ResponseError::Malformed),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", ResponseError::ProtocolSwitch),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ResponseError::TransferEncoding),
        ] {
            assert_eq!(parse_response(text.as_bytes()), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_head_is_bounded_in_bytes_and_fields() {
        let line = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(UPSTREAM_HEAD_BYTES_MAX));
        assert_eq!(
            parse_response(&line.as_bytes()[..UPSTREAM_HEAD_BYTES_MAX - 1]),
            Ok(ResponseStatus::NeedMore)
        );
        assert_eq!(
            parse_response(&line.as_bytes()[..UPSTREAM_HEAD_BYTES_MAX]),
            Err(ResponseError::HeadTooLarge)
        );
        assert_eq!(parse_response(format!("{line}\r\n\r\n").as_bytes()), Err(ResponseError::HeadTooLarge));
        let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(head(&fields(UPSTREAM_HEADERS_MAX)).status, 200);
        assert_eq!(
            parse_response(fields(UPSTREAM_HEADERS_MAX + 1).as_bytes()),
            Err(ResponseError::HeadTooLarge)
        );
    }

    #[test]
    fn every_prefix_of_a_head_needs_more() {
        for text in ["ICY 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"] {
            for end in 0..text.len() {
                assert_eq!(
                    parse_response(&text.as_bytes()[..end]),
                    Ok(ResponseStatus::NeedMore),
                    "{:?}",
                    &text[..end]
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), icy: bool) {
            let start: &[u8] = if icy { b"ICY 200 OK\r\n" } else { b"HTTP/1.1 200 OK\r\n" };
            for candidate in [bytes.clone(), [start, &bytes].concat()] {
                if let Ok(ResponseStatus::Complete(head)) = parse_response(&candidate) {
                    prop_assert!(head.head_bytes <= candidate.len());
                }
            }
        }
    }
}
