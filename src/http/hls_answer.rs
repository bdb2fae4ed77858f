//! What players of HTTP Live Streaming are answered. Pages of any origin may ask, and any cache may keep what does not change.

use std::io::Write;

use super::request::Persistence;
use super::response::push_status_line;

/// What all of these answers share.
const COMMON_HEADERS: &str = "Server: HDHomeRun/1.0\r\nAccess-Control-Allow-Origin: *\r\n";
const LIST_TYPE: &str = "application/vnd.apple.mpegurl";

/// For how long a list may be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListKind {
    /// Not at all: it is made for one viewer.
    Master,
    /// For a second: it grows.
    Media,
}

impl ListKind {
    const fn cache_control(self) -> &'static str {
        match self {
            Self::Master => "no-store",
            Self::Media => "public, max-age=1",
        }
    }
}

/// Appends the whole answer to a request for a list.
pub fn hls_list(out: &mut Vec<u8>, kind: ListKind, persistence: Persistence, text: &str) {
    push_list_head(out, kind, persistence);
    push(out, format_args!("Content-Length: {}\r\n\r\n{text}", text.len()));
}

/// Appends the answer to `HEAD` on a list: nothing is tuned for it, so that its length is not known.
pub fn hls_list_head_only(out: &mut Vec<u8>, kind: ListKind) {
    push_list_head(out, kind, Persistence::Close);
    out.extend_from_slice(b"\r\n");
}

fn push_begin(out: &mut Vec<u8>, status: u16, persistence: Persistence) {
    push_status_line(out, status);
    out.extend_from_slice(COMMON_HEADERS.as_bytes());
    out.extend_from_slice(match persistence {
        Persistence::Close => b"Connection: close\r\n",
        Persistence::KeepAlive => b"Connection: keep-alive\r\n",
    });
}

fn push_list_head(out: &mut Vec<u8>, kind: ListKind, persistence: Persistence) {
    push_begin(out, 200, persistence);
    push(out, format_args!("Content-Type: {LIST_TYPE}\r\nCache-Control: {}\r\n", kind.cache_control()));
}

/// Appends the head of a segment of so many bytes. It never changes: its address is that of no other.
pub fn hls_segment_head(out: &mut Vec<u8>, persistence: Persistence, bytes: u64) {
    push_begin(out, 200, persistence);
    let kept = "Cache-Control: public, max-age=86400, immutable";
    push(out, format_args!("Content-Type: video/mp2t\r\n{kept}\r\nContent-Length: {bytes}\r\n\r\n"));
}

/// Appends the answer to a request for a segment or a file that is not there, or not any more.
pub fn hls_not_found(out: &mut Vec<u8>, persistence: Persistence) {
    push_begin(out, 404, persistence);
    out.extend_from_slice(b"Cache-Control: no-store\r\nContent-Length: 0\r\n\r\n");
}

/// Appends the answer to a page that wants to know whether it may ask.
pub fn hls_permission(out: &mut Vec<u8>) {
    push_begin(out, 204, Persistence::Close);
    out.extend_from_slice(
        b"Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Headers: Range\r\n\
          Access-Control-Max-Age: 86400\r\nAllow: GET, HEAD, OPTIONS\r\n\r\n",
    );
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::Persistence::{Close, KeepAlive};
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_page_of_any_origin_may_read_every_answer() {
        for answer in [
            written(|out| hls_list(out, ListKind::Master, KeepAlive, "x")),
            written(|out| hls_list_head_only(out, ListKind::Media)),
            written(|out| hls_segment_head(out, Close, 1)),
            written(|out| hls_not_found(out, Close)),
            written(hls_permission),
        ] {
            assert!(answer.contains("\r\nAccess-Control-Allow-Origin: *\r\n"), "{answer}");
            assert!(answer.contains("\r\n\r\n") && !answer.contains("\n\n"), "{answer}");
        }
    }

    #[test]
    fn segments_are_kept_for_good_lists_for_a_second_and_a_viewers_own_not_at_all() {
        let segment = written(|out| hls_segment_head(out, Close, 1880));
        assert!(segment.contains("\r\nContent-Length: 1880\r\n"), "{segment}");
        assert!(segment.contains("\r\nCache-Control: public, max-age=86400, immutable\r\n"), "{segment}");
        let list = written(|out| hls_list(out, ListKind::Media, Close, "#EXTM3U\n"));
        assert!(list.contains("\r\nCache-Control: public, max-age=1\r\n"), "{list}");
        assert!(list.ends_with("Content-Length: 8\r\n\r\n#EXTM3U\n"), "{list}");
        let own = written(|out| hls_list(out, ListKind::Master, Close, ""));
        assert!(own.contains("Cache-Control: no-store\r\n"));
        assert!(written(|out| hls_not_found(out, Close)).contains("Cache-Control: no-store\r\n"));
    }

    #[test]
    fn an_answer_says_what_becomes_of_the_connection() {
        for (persistence, line) in
            [(Close, "\r\nConnection: close\r\n"), (KeepAlive, "\r\nConnection: keep-alive\r\n")]
        {
            for answer in [
                written(|out| hls_list(out, ListKind::Media, persistence, "x")),
                written(|out| hls_segment_head(out, persistence, 1)),
                written(|out| hls_not_found(out, persistence)),
            ] {
                assert!(answer.contains(line), "{answer}");
            }
        }
    }
}
