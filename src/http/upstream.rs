//! Asking an upstream, and reading what it answers.

use super::url::Url;
use crate::base::limits::{HEADERS_MAX, UPSTREAM_HEAD_BYTES_MAX};
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
    /// The `Retry-After` header when it is a number of seconds.
    pub retry_after: Option<Duration>,
}

/// How far a response's head has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseStatus {
    /// Not all of it.
    NeedMore,
    /// All of it.
    Complete(ResponseHead),
}

/// Why an upstream's response cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not HTTP.
    #[error("the response is not HTTP")]
    Malformed,
    /// More than [`UPSTREAM_HEAD_BYTES_MAX`] bytes or [`HEADERS_MAX`] fields.
    #[error("the response's head is too large")]
    HeadTooLarge,
    /// `Content-Length` is not a number, or there are two different ones.
    #[error("the response's length is not valid")]
    ContentLength,
    /// A transfer coding other than `chunked`.
    #[error("the response's transfer coding is not known")]
    TransferEncoding,
    /// The upstream speaks another protocol from here on, which nobody asked for.
    #[error("the response switches to another protocol")]
    ProtocolSwitch,
}

/// The request for `url`. `user_agent` is stripped of what could end its line; `via` and `range` are the values of those
/// headers.
#[must_use]
pub fn request_head(url: &Url, user_agent: &str, via: Option<&str>, range: Option<&str>) -> Vec<u8> {
    let mut head = format!("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ", url.target(), url.authority());
    head.extend(user_agent.chars().filter(|character| !character.is_control()));
    head.push_str("\r\nAccept: */*\r\nConnection: close\r\n");
    for (name, value) in [("Via", via), ("Range", range)] {
        if let Some(value) = value {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
    }
    if let Some(authorization) = url.basic_authorization() {
        head.push_str("Authorization: ");
        head.push_str(&authorization);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Reads the head of a response from everything received so far. Interim (1xx) responses are skipped, and
/// the status line `ICY 200 OK` of streaming servers is understood.
///
/// # Errors
/// When no further byte can make it a response that tunerd can read.
pub fn parse_response(bytes: &[u8]) -> Result<ResponseStatus, ResponseError> {
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
                return Ok(ResponseStatus::Complete(head));
            }
        }
    }
}

/// The first head in `bytes`, interim or final; `None` while it is incomplete.
fn parse_one(bytes: &[u8]) -> Result<Option<ResponseHead>, ResponseError> {
    const ICY: &[u8] = b"ICY ";
    const HTTP: &[u8] = b"HTTP/1.0 ";
    let icy = bytes.starts_with(ICY);
    if !icy && ICY.starts_with(bytes) {
        return Ok(None);
    }
    let bytes = if icy { Cow::Owned([HTTP, &bytes[ICY.len()..]].concat()) } else { Cow::Borrowed(bytes) };
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
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
    Ok(Some(ResponseHead {
        status,
        head_bytes: if icy { head_bytes - (HTTP.len() - ICY.len()) } else { head_bytes },
        framing: framing(status, response.headers)?,
        location: text("location"),
        content_type: text("content-type"),
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
                let value = decimal(value.trim_ascii()).ok_or(ResponseError::ContentLength)?;
                if length.is_some_and(|known| known != value) {
                    return Err(ResponseError::ContentLength);
                }
                length = Some(value);
            }
        }
    }
    // Chunks win over a length (RFC 9112, 6.3). Nothing else follows on this connection that a wrong
    // choice could be confused with.
    Ok(match (chunked, length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    })
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
            Ok(ResponseStatus::Complete(head)) => head,
            other => panic!("{bytes:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_names_host_and_agent_and_closes() {
        let url = Url::parse("http://host:8080/live?x=1").unwrap();
        assert_eq!(
            String::from_utf8(request_head(&url, "VLC/3\r\nX: y", None, None)).unwrap(),
            "GET /live?x=1 HTTP/1.1\r\nHost: host:8080\r\nUser-Agent: VLC/3X: y\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        );
        let url = Url::parse("http://u:p@host/").unwrap();
        let request =
            String::from_utf8(request_head(&url, "a", Some("1.1 tunerd-x"), Some("bytes=5-9"))).unwrap();
        assert!(request.ends_with("\r\nAuthorization: Basic dTpw\r\n\r\n"), "{request}");
        assert!(request.contains("\r\nHost: host\r\n"), "{request}");
        assert!(request.contains("\r\nVia: 1.1 tunerd-x\r\nRange: bytes=5-9\r\n"), "{request}");
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
        ] {
            let parsed = head(&format!("{head_text}BODY"));
            assert_eq!(parsed.framing, framing, "{head_text:?}");
            assert_eq!(parsed.head_bytes, head_text.len(), "{head_text:?}");
        }
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
            ("HTTP/2 200 OK\r\n\r\n", ResponseError::Malformed),
            ("ICY abc\r\n\r\n", ResponseError::Malformed),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", ResponseError::ProtocolSwitch),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                ResponseError::ContentLength,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ResponseError::ContentLength),
            ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", ResponseError::ContentLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", ResponseError::ContentLength),
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
        assert_eq!(head(&fields(HEADERS_MAX)).status, 200);
        assert_eq!(parse_response(fields(HEADERS_MAX + 1).as_bytes()), Err(ResponseError::HeadTooLarge));
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
