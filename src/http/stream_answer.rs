//! What a viewer's request for a stream is answered with.

use super::response::push_status_line;
use std::io::Write;
use std::time::Duration;

/// When to come back after an answer that another viewer's leaving can mend.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(5);
/// When to come back for the first segment.
const RETRY_AFTER_NO_SEGMENT: Duration = Duration::from_secs(2);
/// When to come back after an answer that a restart can mend.
const RETRY_AFTER_DRAINING: Duration = Duration::from_secs(10);

/// The headers that success and failure share. Players in browsers need to read both.
const COMMON_HEADERS: &str = "Server: HDHomeRun/1.0\r\n\
     Connection: close\r\n\
     Access-Control-Allow-Origin: *\r\n\
     Cache-Control: no-cache, no-store\r\n";

/// Why a viewer gets no stream. The body of the answer is empty: some clients do not look at the status and
/// take any byte for the stream's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The path names no channel.
    #[error("guide number required")]
    GuideNumberMissing,
    /// No channel has this guide number.
    #[error("channel not found")]
    ChannelNotFound,
    /// There are fewer tuners than the path names.
    #[error("tuner not found")]
    TunerNotFound,
    /// The channel failed too often lately to be tried again now.
    #[error("channel tune backoff active")]
    TuneBackoff {
        /// Until it is tried again.
        remaining: Duration,
    },
    /// Every tuner is in use.
    #[error("all tuners busy")]
    NoTuners,
    /// The channel has as many viewers as it may.
    #[error("session at max subscribers")]
    MaxSubscribers,
    /// The server has as many viewers as it may.
    #[error("viewer limit reached")]
    ViewerLimit,
    /// The viewer's address has as many streams as it may.
    #[error("stream limit of the address reached")]
    AddressLimit,
    /// Whoever asks may not watch, or has not shown that it may.
    #[error("not allowed to watch")]
    NotAllowed,
    /// The channel has no enabled source.
    #[error("no enabled sources")]
    NoSources,
    /// No source could be started.
    #[error("no sources available")]
    TuneFailed,
    /// A source was started but no picture came in time.
    #[error("no video in time")]
    NoVideo,
    /// The sources lead back to this server.
    #[error("the channel's source is this very server")]
    SourceLoop,
    /// The request was sent out by this server, which would be its own source.
    #[error("the request comes from this very server")]
    RequestLoop,
    /// There is no memory for the ring of one channel more.
    #[error("no memory for another channel")]
    RingMemory,
    /// The server has no time for more viewers.
    #[error("server is busy")]
    Saturated,
    /// There is no segment yet that could be listed.
    #[error("no segment yet")]
    NoSegment,
    /// An administrator has sent the viewer away.
    #[error("sent away by an administrator")]
    SentAway,
    /// The server is about to stop.
    #[error("server is draining")]
    Draining,
    /// Neither `GET` nor `HEAD`.
    #[error("method not allowed")]
    MethodNotAllowed,
}

impl StreamError {
    /// The answer's status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::GuideNumberMissing => 400,
            Self::ChannelNotFound | Self::TunerNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAllowed => 403,
            Self::SentAway => 410,
            Self::RequestLoop => 508,
            Self::TuneBackoff { .. }
            | Self::NoTuners
            | Self::MaxSubscribers
            | Self::ViewerLimit
            | Self::AddressLimit
            | Self::NoSources
            | Self::TuneFailed
            | Self::NoVideo
            | Self::SourceLoop
            | Self::RingMemory
            | Self::Saturated
            | Self::NoSegment
            | Self::Draining => 503,
        }
    }

    /// One word for logs, counters and the `X-Tunerd-Reason` header.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GuideNumberMissing => "missing_guide_number",
            Self::ChannelNotFound => "channel_not_found",
            Self::TunerNotFound => "tuner_not_found",
            Self::TuneBackoff { .. } => "channel_tune_backoff",
            Self::NoTuners => "no_tuners",
            Self::MaxSubscribers => "max_subscribers",
            Self::ViewerLimit => "viewer_limit",
            Self::AddressLimit => "address_limit",
            Self::NotAllowed => "not_allowed",
            Self::NoSources => "no_sources",
            Self::TuneFailed => "other",
            Self::NoVideo => "no_video",
            Self::SourceLoop => "source_loop",
            Self::RequestLoop => "request_loop",
            Self::RingMemory => "ring_memory",
            Self::Saturated => "saturated",
            Self::NoSegment => "no_segment",
            Self::SentAway => "sent_away",
            Self::Draining => "draining",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }

    /// What whoever runs the server can do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::GuideNumberMissing => "ask for /auto/v and a guide number, as /lineup.json shows them",
            Self::ChannelNotFound => {
                "no enabled channel has this number; /lineup.json shows those that there are"
            }
            Self::TunerNotFound => "TUNER_COUNT says how many tuners there are; /auto/v takes any of them",
            Self::TuneBackoff { .. } => "its sources failed too often; the lines before say why",
            Self::NoTuners => "raise TUNER_COUNT only if the provider allows more streams",
            Self::MaxSubscribers => "SESSION_MAX_SUBSCRIBERS is how many may watch one channel",
            Self::ViewerLimit => {
                "VIEWERS_MAX, and the files that the process may open, bound the viewers; tunerd check shows both"
            }
            Self::AddressLimit => "STREAM_MAX_PER_ADDRESS is how many streams one address may have",
            Self::NotAllowed => "STREAM_ALLOW and STREAM_TOKEN say who may watch",
            Self::NoSources => "enable a source of the channel, or add one",
            Self::TuneFailed => "no source could be started; the lines before say why",
            Self::NoVideo => {
                "a source answers and shows no picture; try it in a player, or raise STARTUP_TIMEOUT"
            }
            Self::SourceLoop => "the channel's source leads back to this server; give it another one",
            Self::RequestLoop => "a source of some channel is this server; give that channel another one",
            Self::RingMemory => {
                "RING_MEMORY_BYTES bounds all channels together; raise it, or let fewer be open"
            }
            Self::Saturated => "the processor has no time left; let fewer watch, or raise CORES",
            Self::NoSegment => {
                "the channel starts slowly, or its key pictures are far apart; players ask again"
            }
            Self::SentAway => "its player may come back after a minute, or by a new session",
            Self::Draining => "the server is about to stop",
            Self::MethodNotAllowed => "players ask with GET",
        }
    }

    /// The number and text by which HDHomeRun clients know the error.
    #[must_use]
    pub const fn hdhomerun_error(self) -> Option<&'static str> {
        match self {
            Self::GuideNumberMissing | Self::ChannelNotFound | Self::TunerNotFound => {
                Some("801 Unknown Channel")
            }
            Self::TuneBackoff { .. }
            | Self::RingMemory
            | Self::Saturated
            | Self::NoSegment
            | Self::Draining => Some("803 System Busy"),
            Self::NoTuners => Some("805 All Tuners In Use"),
            Self::NoSources | Self::TuneFailed | Self::SourceLoop | Self::RequestLoop => {
                Some("806 Tune Failed")
            }
            Self::NoVideo => Some("807 No Video Data"),
            Self::MaxSubscribers | Self::ViewerLimit | Self::AddressLimit => {
                Some("809 Playback Connection Limit")
            }
            Self::MethodNotAllowed | Self::NotAllowed | Self::SentAway => None,
        }
    }

    /// Whole seconds, at least one, until a second attempt may succeed; `None` when time alone mends nothing,
    /// or it is not known whether it does.
    #[must_use]
    pub fn retry_after_secs(self) -> Option<u64> {
        let wait = match self {
            Self::TuneBackoff { remaining } => remaining,
            Self::NoTuners
            | Self::MaxSubscribers
            | Self::ViewerLimit
            | Self::AddressLimit
            | Self::RingMemory
            | Self::Saturated => RETRY_AFTER_BUSY,
            Self::NoSegment => RETRY_AFTER_NO_SEGMENT,
            Self::Draining => RETRY_AFTER_DRAINING,
            Self::GuideNumberMissing
            | Self::ChannelNotFound
            | Self::TunerNotFound
            | Self::NoSources
            | Self::TuneFailed
            | Self::NoVideo
            | Self::SourceLoop
            | Self::RequestLoop
            | Self::NotAllowed
            | Self::SentAway
            | Self::MethodNotAllowed => return None,
        };
        Some(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1))
    }
}

/// An answer before the answer (RFC 2518, 10.1): it takes its time. Clients of HTTP/1.1 pass over it.
pub const STREAM_INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// Appends the head of a stream that `tuner` serves. The body follows until the connection closes.
pub fn stream_head(out: &mut Vec<u8>, tuner: u16) {
    push_success(out);
    push(out, format_args!("X-HDHomeRun-Resource: tuner{tuner}\r\n\r\n"));
}

/// Appends the answer to `HEAD` on a stream: no tuner is used for it, so none is named.
pub fn stream_head_only(out: &mut Vec<u8>) {
    push_success(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the whole answer to a request that gets no stream.
pub fn stream_error(out: &mut Vec<u8>, error: StreamError) {
    push_status_line(out, error.status());
    out.extend_from_slice(COMMON_HEADERS.as_bytes());
    if let Some(text) = error.hdhomerun_error() {
        push(out, format_args!("X-HDHomeRun-Error: {text}\r\n"));
    }
    push(out, format_args!("X-Tunerd-Reason: {}\r\n", error.reason()));
    if let Some(seconds) = error.retry_after_secs() {
        push(out, format_args!("Retry-After: {seconds}\r\n"));
    }
    if error == StreamError::MethodNotAllowed {
        out.extend_from_slice(b"Allow: GET, HEAD\r\n");
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

fn push_success(out: &mut Vec<u8>) {
    push_status_line(out, 200);
    out.extend_from_slice(COMMON_HEADERS.as_bytes());
    out.extend_from_slice(b"Content-Type: video/mp2t\r\n");
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn a_stream_begins_with_the_head_that_recorders_and_players_expect() {
        assert_eq!(
            written(|out| stream_head(out, 3)),
            "HTTP/1.1 200 OK\r\nServer: HDHomeRun/1.0\r\nConnection: close\r\n\
             Access-Control-Allow-Origin: *\r\nCache-Control: no-cache, no-store\r\n\
             Content-Type: video/mp2t\r\nX-HDHomeRun-Resource: tuner3\r\n\r\n"
        );
    }

    #[test]
    fn head_is_answered_like_get_but_names_no_tuner() {
        let get = written(|out| stream_head(out, 0));
        assert_eq!(written(stream_head_only), get.replace("X-HDHomeRun-Resource: tuner0\r\n", ""));
    }

    #[test]
    fn every_failure_has_its_status_number_reason_and_retry() {
        let backoff = |millis| StreamError::TuneBackoff { remaining: Duration::from_millis(millis) };
        for (error, status, number, reason, retry) in [
            (
                StreamError::GuideNumberMissing,
                "400 Bad Request",
                Some("801 Unknown Channel"),
                "missing_guide_number",
                None,
            ),
            (
                StreamError::ChannelNotFound,
                "404 Not Found",
                Some("801 Unknown Channel"),
                "channel_not_found",
                None,
            ),
            (
                StreamError::TunerNotFound,
                "404 Not Found",
                Some("801 Unknown Channel"),
                "tuner_not_found",
                None,
            ),
            (
                backoff(61_001),
                "503 Service Unavailable",
                Some("803 System Busy"),
                "channel_tune_backoff",
                Some(62),
            ),
            (
                StreamError::NoTuners,
                "503 Service Unavailable",
                Some("805 All Tuners In Use"),
                "no_tuners",
                Some(5),
            ),
            (
                StreamError::AddressLimit,
                "503 Service Unavailable",
                Some("809 Playback Connection Limit"),
                "address_limit",
                Some(5),
            ),
            (StreamError::NotAllowed, "403 Forbidden", None, "not_allowed", None),
            (
                StreamError::MaxSubscribers,
                "503 Service Unavailable",
                Some("809 Playback Connection Limit"),
                "max_subscribers",
                Some(5),
            ),
            (
                StreamError::ViewerLimit,
                "503 Service Unavailable",
                Some("809 Playback Connection Limit"),
                "viewer_limit",
                Some(5),
            ),
            (StreamError::NoSources, "503 Service Unavailable", Some("806 Tune Failed"), "no_sources", None),
            (StreamError::TuneFailed, "503 Service Unavailable", Some("806 Tune Failed"), "other", None),
            (StreamError::NoVideo, "503 Service Unavailable", Some("807 No Video Data"), "no_video", None),
            (
                StreamError::RingMemory,
                "503 Service Unavailable",
                Some("803 System Busy"),
                "ring_memory",
                Some(5),
            ),
            (
                StreamError::Saturated,
                "503 Service Unavailable",
                Some("803 System Busy"),
                "saturated",
                Some(5),
            ),
            (StreamError::Draining, "503 Service Unavailable", Some("803 System Busy"), "draining", Some(10)),
            (StreamError::MethodNotAllowed, "405 Method Not Allowed", None, "method_not_allowed", None),
        ] {
            let number = number.map_or(String::new(), |text| format!("X-HDHomeRun-Error: {text}\r\n"));
            let retry = retry.map_or(String::new(), |seconds: u64| format!("Retry-After: {seconds}\r\n"));
            let allow = if error == StreamError::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
            assert_eq!(
                written(|out| stream_error(out, error)),
                format!(
                    "HTTP/1.1 {status}\r\nServer: HDHomeRun/1.0\r\nConnection: close\r\n\
                     Access-Control-Allow-Origin: *\r\nCache-Control: no-cache, no-store\r\n\
                     {number}X-Tunerd-Reason: {reason}\r\n{retry}{allow}Content-Length: 0\r\n\r\n"
                )
            );
        }
    }

    #[test]
    fn a_backoff_is_rounded_up_to_whole_seconds() {
        for (remaining, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1000), 1),
            (Duration::from_millis(1001), 2),
            (Duration::MAX, u64::MAX),
        ] {
            let error = StreamError::TuneBackoff { remaining };
            assert_eq!(error.retry_after_secs(), Some(seconds), "{remaining:?}");
        }
    }
}
