//! Answers of the control routes.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use super::request::{Method, Request};

/// The type of JSON where HDHomeRun clients ask.
const HDHR_JSON: &str = "application/json; charset=\"utf-8\"";
/// The type of XML where HDHomeRun and UPnP clients ask.
pub const HDHR_XML: &str = "text/xml; charset=\"utf-8\"";

/// More than the heads of these answers have; a longer one is only slower.
const HEAD_BYTES_USUAL: usize = 1024;

/// An answer whose body is whole, or lies in a file. Its length is always stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    file: Option<FileBody>,
    closes: bool,
}

/// The beginning of a file, open: what is put in its place meanwhile is for the next client.
#[derive(Debug, Clone)]
pub struct FileBody {
    file: Arc<File>,
    bytes: u64,
}

impl FileBody {
    /// The file.
    #[must_use]
    pub const fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// How many of its bytes are the body.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl PartialEq for FileBody {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.bytes == other.bytes
    }
}

impl Eq for FileBody {}

impl Response {
    /// An answer without a body.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), file: None, closes: false }
    }

    /// One line of plain text.
    #[must_use]
    pub fn text(status: u16, line: &str) -> Self {
        Self::new(status)
            .header("X-Content-Type-Options", "nosniff")
            .body("text/plain; charset=utf-8", format!("{line}\n"))
    }

    /// A value as JSON; see [`to_json`].
    #[must_use]
    pub fn json<T: serde::Serialize + ?Sized>(status: u16, value: &T) -> Self {
        Self::new(status).body("application/json", to_json(value))
    }

    /// A value as JSON where HDHomeRun clients ask.
    #[must_use]
    pub fn hdhr_json<T: serde::Serialize + ?Sized>(value: &T) -> Self {
        Self::new(200).body(HDHR_JSON, to_json(value)).hdhr()
    }

    /// Adds a header. Control characters in the value become spaces, so it cannot begin another line.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.replace(char::is_control, " ")));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// Sets the first bytes of a file as the body, and their type. Whoever writes the answer writes them behind it:
    /// [`Self::file_body`].
    #[must_use]
    pub fn file(mut self, content_type: &str, file: Arc<File>, bytes: u64) -> Self {
        self.file = Some(FileBody { file, bytes });
        self.header("Content-Type", content_type)
    }

    /// What is to be written behind the answer to `request`.
    #[must_use]
    pub fn file_body(&self, request: &Request) -> Option<&FileBody> {
        self.file.as_ref().filter(|_| request.method() != Method::Head)
    }

    /// Adds the headers that HDHomeRun clients expect on discovery and lineup, and closes the connection.
    #[must_use]
    pub fn hdhr(self) -> Self {
        self.header("Server", "HDHomeRun/1.0")
            .header("Cache-Control", "no-cache")
            .header("Access-Control-Allow-Origin", "*")
            .close()
    }

    /// Closes the connection after this answer whatever the client asked for.
    #[must_use]
    pub const fn close(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The answer's status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The body, unless that lies in a file.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// Appends the answer to `request`; to `HEAD` without its body. Returns whether the connection is kept for
    /// another request.
    #[must_use = "the connection is to be closed unless it is kept"]
    pub fn write_to(&self, out: &mut Vec<u8>, request: &Request) -> bool {
        let kept = !self.closes && request.keeps_alive();
        // Growing by doubling would move a long body several times.
        out.reserve(self.body.len() + HEAD_BYTES_USUAL);
        self.write(out, kept, request.method() == Method::Head);
        kept
    }

    /// Appends the answer to something that could not be read as a request. The connection is to be closed.
    pub fn write_last(&self, out: &mut Vec<u8>) {
        self.write(out, false, false);
    }

    fn write(&self, out: &mut Vec<u8>, kept: bool, head_only: bool) {
        push_status_line(out, self.status);
        for (name, value) in &self.headers {
            push(out, format_args!("{name}: {value}\r\n"));
        }
        push(out, format_args!("Connection: {}\r\n", if kept { "keep-alive" } else { "close" }));
        // These statuses have no body, and a length would promise one.
        let has_body = !matches!(self.status, 100..=199 | 204 | 304);
        if has_body {
            let bytes = self.file.as_ref().map_or(self.body.len() as u64, FileBody::bytes);
            push(out, format_args!("Content-Length: {bytes}\r\n"));
        }
        out.extend_from_slice(b"\r\n");
        if has_body && !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

/// A value as JSON that may stand in a page: `<`, `>`, `&` and the two line separators of JavaScript are
/// escaped. No line break at the end.
///
/// # Panics
/// When the value is a map with keys that are not text, which our own types never hold.
#[must_use]
pub fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    let plain = serde_json::to_string(value).expect("our own types have text keys and infallible fields");
    // Outside of strings JSON has none of these characters.
    let (blocks, rest) = plain.as_bytes().as_chunks();
    let rest_at = plain.len() - rest.len();
    let suspects = blocks.iter().enumerate().filter(|(_, block)| has_candidate(block));
    let suspects = suspects.flat_map(|(number, _)| number * BLOCK_BYTES..(number + 1) * BLOCK_BYTES);
    let mut escaped = String::new();
    let mut copied = 0;
    for at in suspects.chain(rest_at..plain.len()).filter(|at| is_candidate(plain.as_bytes()[*at])) {
        let character = plain[at..].chars().next().expect("a candidate begins a character");
        if matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
            if copied == 0 {
                escaped.reserve(plain.len() + plain.len() / 16);
            }
            escaped.push_str(&plain[copied..at]);
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            copied = at + character.len_utf8();
        }
    }
    if copied == 0 {
        return plain;
    }
    escaped.push_str(&plain[copied..]);
    escaped
}

/// Looked at in one go: answers of megabytes hold next to nothing to escape.
const BLOCK_BYTES: usize = 64;

/// A known length and no branch per byte, so that many bytes are compared at once.
fn has_candidate(block: &[u8; BLOCK_BYTES]) -> bool {
    block.iter().fold(0, |found, byte| found | u8::from(is_candidate(*byte))) != 0
}

/// The first byte of a character that may have to be escaped. The separators begin with 0xe2, which is never
/// inside of a character.
const fn is_candidate(byte: u8) -> bool {
    // Not short-circuiting, so that many bytes are compared at once.
    (byte == b'<') | (byte == b'>') | (byte == b'&') | (byte == 0xe2)
}

/// Appends the status line.
pub(super) fn push_status_line(out: &mut Vec<u8>, status: u16) {
    push(out, format_args!("HTTP/1.1 {status} {}\r\n", reason_phrase(status)));
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

/// The words behind a status. Clients read the number; an unknown one goes without words.
const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Parsed, parse};
    use super::*;
    use std::collections::BTreeMap;

    fn answered(response: &Response, head: &str) -> (String, bool) {
        let Ok(Parsed::Complete { request, .. }) = parse(head.as_bytes()) else { panic!("{head:?}") };
        let mut out = Vec::new();
        let kept = response.write_to(&mut out, &request);
        (String::from_utf8(out).unwrap(), kept)
    }

    const GET: &str = "GET / HTTP/1.1\r\n\r\n";

    #[test]
    fn an_answer_states_its_length_and_whether_the_connection_stays() {
        let response = Response::json(200, &[1, 2]);
        let (text, kept) = answered(&response, GET);
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n\
             Content-Length: 5\r\n\r\n[1,2]"
        );
        assert!(kept);
        for (response, head) in [
            (response.clone(), "GET / HTTP/1.0\r\n\r\n"),
            (response.clone(), "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
            (response.close(), GET),
        ] {
            let (closed, kept) = answered(&response, head);
            assert_eq!(closed, text.replace("keep-alive", "close"), "{head:?}");
            assert!(!kept, "{head:?}");
        }
    }

    #[test]
    fn head_gets_the_same_head_without_the_body() {
        let response = Response::text(404, "not here");
        let (get, _) = answered(&response, GET);
        let (head, _) = answered(&response, "HEAD / HTTP/1.1\r\n\r\n");
        assert_eq!(get, format!("{head}not here\n"));
        assert!(head.contains("\r\nContent-Length: 9\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn an_answer_without_a_body_says_so_unless_its_status_does() {
        let (text, _) = answered(&Response::new(302).header("Location", "/ui/"), GET);
        assert_eq!(
            text,
            "HTTP/1.1 302 Found\r\nLocation: /ui/\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
        );
        for status in [204, 304] {
            let (text, _) = answered(&Response::new(status).body("text/plain", "x"), GET);
            assert!(!text.contains("Content-Length") && text.ends_with("\r\n\r\n"), "{text}");
        }
    }

    #[test]
    fn hdhomerun_clients_get_their_headers() {
        let (text, kept) = answered(&Response::hdhr_json(&BTreeMap::<String, u8>::new()), GET);
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=\"utf-8\"\r\n\
             Server: HDHomeRun/1.0\r\nCache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\n\
             Connection: close\r\nContent-Length: 2\r\n\r\n{}"
        );
        assert!(!kept);
    }

    #[test]
    fn a_header_cannot_begin_another_line() {
        let (text, _) = answered(&Response::new(302).header("Location", "/a\r\nSet-Cookie: x"), GET);
        assert!(text.contains("\r\nLocation: /a  Set-Cookie: x\r\n"), "{text}");
    }

    #[test]
    fn what_was_no_request_is_answered_once() {
        let mut out = Vec::new();
        Response::new(431).write_last(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn json_is_safe_inside_a_page() {
        let value = BTreeMap::from([("a<b>", "x&y\u{2028}\u{2029}\"ü")]);
        assert_eq!(to_json(&value), r#"{"a\u003cb\u003e":"x\u0026y\u2028\u2029\"ü"}"#);
    }

    #[test]
    fn json_is_escaped_wherever_in_a_long_text_it_must_be() {
        for before in 0..200 {
            for (character, escaped) in [
                ("<", "\\u003c"),
                ("&&", "\\u0026\\u0026"),
                ("\u{2028}", "\\u2028"),
                ("\u{2029}>", "\\u2029\\u003e"),
                ("\u{20ac}", "\u{20ac}"),
                ("\u{e2}", "\u{e2}"),
            ] {
                let (before, after) = ("a".repeat(before), "\u{20ac}".repeat(60));
                let text = format!("{before}{character}{after}");
                assert_eq!(to_json(&text), format!("\"{before}{escaped}{after}\""));
            }
        }
    }
}
