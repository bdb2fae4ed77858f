//! Which requests are for a stream.

use percent_encoding::percent_decode_str;

use super::request::{Method, Request};
use super::stream_answer::StreamError;
use std::time::Duration;

/// What `/tuner<N>/` offers besides streams: the names of a tuner's variables, never guide numbers.
const TUNER_VARIABLES: &[&str] = &[
    "channel",
    "channelmap",
    "debug",
    "filter",
    "lockkey",
    "plotsample",
    "program",
    "status",
    "streaminfo",
    "target",
    "vchannel",
    "vstatus",
];

/// Who answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The core that owns the channel.
    Stream {
        /// The channel's number as written, without the leading `v`.
        guide_number: String,
        /// The tuner that was named; whichever is free serves.
        tuner: Option<u32>,
        /// Only the head is asked for: nothing is tuned.
        head_only: bool,
        /// The stream ends after this long.
        duration: Option<Duration>,
    },
    /// What players of HTTP Live Streaming ask for.
    Hls {
        /// The channel's number as written, without the leading `v`.
        guide_number: String,
        /// Which part of it.
        part: HlsPart,
        /// What is wanted of that.
        want: HlsWant,
    },
    /// A stream route, but no channel can be meant.
    StreamError(StreamError),
    /// A stream route, but neither `GET` nor `HEAD`.
    MethodNotAllowed,
    /// Everything else.
    Control,
}

/// A part of a channel as HTTP Live Streaming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HlsPart {
    /// The list, of whoever names itself so.
    List(Option<String>),
    /// A segment.
    Segment {
        /// Of which stream of the channel.
        stream: u64,
        /// Its number.
        sequence: u64,
    },
    /// Nothing that there is.
    Unknown,
}

/// What is wanted of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HlsWant {
    /// All of it.
    Whole,
    /// The head of the answer alone.
    Head,
    /// A page wants to know whether it may ask (CORS).
    Permission,
}

/// Decides by method, path and query. Unknown query parameters, `transcode` among them, change nothing.
#[must_use]
pub fn stream_route(request: &Request) -> Route {
    if let Some(path) = request.raw_path().strip_prefix("/hls/") {
        return hls_route(request, path);
    }
    let Some(place) = stream_place(request.raw_path()) else { return Route::Control };
    let head_only = match request.method() {
        Method::Get => false,
        Method::Head => true,
        Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Options | Method::Other => {
            return Route::MethodNotAllowed;
        }
    };
    // Whoever asks here takes the first byte of a body for a stream's, so that nothing else may answer.
    let Some(segment) = place.segment else { return Route::StreamError(StreamError::ChannelNotFound) };
    match guide_number(&percent_decode_str(segment).decode_utf8_lossy()) {
        Some(guide_number) => Route::Stream {
            guide_number: guide_number.to_owned(),
            tuner: place.tuner,
            head_only,
            duration: duration(request),
        },
        None => Route::StreamError(StreamError::GuideNumberMissing),
    }
}

/// Somewhere below `/hls/`.
fn hls_route(request: &Request, path: &str) -> Route {
    let want = match request.method() {
        Method::Get => HlsWant::Whole,
        Method::Head => HlsWant::Head,
        Method::Options => HlsWant::Permission,
        Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Other => {
            return Route::MethodNotAllowed;
        }
    };
    let (channel, file) = path.split_once('/').unwrap_or((path, ""));
    let Some(guide_number) =
        guide_number(&percent_decode_str(channel).decode_utf8_lossy()).map(str::to_owned)
    else {
        return Route::StreamError(StreamError::GuideNumberMissing);
    };
    let part = match segment_name(file) {
        Some((stream, sequence)) => HlsPart::Segment { stream, sequence },
        None if file == "index.m3u8" => {
            HlsPart::List(request.query_pairs().find(|(name, _)| name == "session").map(|(_, value)| value))
        }
        None => HlsPart::Unknown,
    };
    Route::Hls { guide_number, part, want }
}

/// `<stream>-<sequence>.ts`, each as it is written in lists: one segment has one address.
fn segment_name(file: &str) -> Option<(u64, u64)> {
    let (stream, sequence) = file.strip_suffix(".ts")?.split_once('-')?;
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    Some((number(stream)?, number(sequence)?))
}

/// Somewhere below `/auto` or `/tuner<N>` that is not one of a tuner's variables.
struct StreamPlace<'path> {
    tuner: Option<u32>,
    /// What names the channel, still encoded. `None` when it is not the one segment that does.
    segment: Option<&'path str>,
}

fn stream_place(raw_path: &str) -> Option<StreamPlace<'_>> {
    let path = raw_path.strip_prefix('/')?;
    let (place, segment) = path.split_once('/').unwrap_or((path, ""));
    let tuner = place.strip_prefix("tuner").and_then(tuner_number);
    let is_variable = tuner.is_some() && TUNER_VARIABLES.contains(&segment);
    let segment_named = Some(segment).filter(|segment| !segment.is_empty() && !segment.contains('/'));
    ((place == "auto" || tuner.is_some()) && !is_variable)
        .then_some(StreamPlace { tuner, segment: segment_named })
}

/// A tuner's number. One that is too large for a number is too large for a tuner as well.
pub fn tuner_number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

/// Trims, and drops one leading `v` when something follows it. `None` when nothing is left.
fn guide_number(segment: &str) -> Option<&str> {
    let number = segment.trim();
    match number.strip_prefix(['v', 'V']) {
        Some(rest) if !rest.is_empty() => Some(rest.trim()),
        Some(_) | None => Some(number).filter(|number| !number.is_empty()),
    }
}

fn duration(request: &Request) -> Option<Duration> {
    let (_, seconds) = request.query_pairs().find(|(name, _)| name == "duration")?;
    let seconds = seconds.parse::<u32>().ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::super::request::{Parsed, parse};
    use super::*;

    fn route(method: &str, target: &str) -> Route {
        match parse(format!("{method} {target} HTTP/1.1\r\n\r\n").as_bytes()) {
            Ok(Parsed::Complete { request, .. }) => stream_route(&request),
            other => panic!("{target}: {other:?}"),
        }
    }

    fn stream(guide_number: &str) -> Route {
        let tuner = None;
        Route::Stream { guide_number: guide_number.to_owned(), tuner, head_only: false, duration: None }
    }

    #[test]
    fn hls_routes_name_a_channel_and_a_part_of_it() {
        let hls =
            |guide_number: &str, part, want| Route::Hls { guide_number: guide_number.to_owned(), part, want };
        let list = |session: Option<&str>| HlsPart::List(session.map(str::to_owned));
        let segment = |stream, sequence| HlsPart::Segment { stream, sequence };
        let missing = Route::StreamError(StreamError::GuideNumberMissing);
        for (method, target, expected) in [
            ("GET", "/hls/v5/index.m3u8", hls("5", list(None), HlsWant::Whole)),
            (
                "GET",
                "/hls/v5.1/index.m3u8?token=x&session=a-b",
                hls("5.1", list(Some("a-b")), HlsWant::Whole),
            ),
            ("HEAD", "/hls/5/index.m3u8?session=", hls("5", list(Some("")), HlsWant::Head)),
            ("OPTIONS", "/hls/v5/17-4.ts", hls("5", segment(17, 4), HlsWant::Permission)),
            ("GET", "/hls/v5/17-4.ts?token=x", hls("5", segment(17, 4), HlsWant::Whole)),
            ("GET", "/hls/v5/017-4.ts", hls("5", HlsPart::Unknown, HlsWant::Whole)),
            ("GET", "/hls/v5/17-+4.ts", hls("5", HlsPart::Unknown, HlsWant::Whole)),
            ("GET", "/hls/v5/17-99999999999999999999.ts", hls("5", HlsPart::Unknown, HlsWant::Whole)),
            ("GET", "/hls/v5", hls("5", HlsPart::Unknown, HlsWant::Whole)),
            ("GET", "/hls/v5/a/index.m3u8", hls("5", HlsPart::Unknown, HlsWant::Whole)),
            ("GET", "/hls/", missing.clone()),
            ("GET", "/hls/%20/index.m3u8", missing),
            ("POST", "/hls/v5/index.m3u8", Route::MethodNotAllowed),
            ("GET", "/hls", Route::Control),
            ("GET", "/hlsx/v5/index.m3u8", Route::Control),
        ] {
            assert_eq!(route(method, target), expected, "{method} {target}");
        }
    }

    fn on_tuner(route: Route, number: u32) -> Route {
        match route {
            Route::Stream { guide_number, head_only, duration, .. } => {
                Route::Stream { guide_number, tuner: Some(number), head_only, duration }
            }
            other
            @ (Route::StreamError(_) | Route::MethodNotAllowed | Route::Hls { .. } | Route::Control) => other,
        }
    }

    #[test]
    fn a_segment_becomes_a_guide_number() {
        let missing = || Route::StreamError(StreamError::GuideNumberMissing);
        for (segment, expected) in [
            ("v101", stream("101")),
            ("V101", stream("101")),
            ("101", stream("101")),
            ("%20v101%20", stream("101")),
            ("v", stream("v")),
            ("V", stream("V")),
            ("vv101", stream("v101")),
            ("v5.1", stream("5.1")),
            ("v%20", stream("v")),
            ("v%20101", stream("101")),
            ("V101x", stream("101x")),
            ("00101", stream("00101")),
            ("%76101", stream("101")),
            ("v1%2F2", stream("1/2")),
            ("%20", missing()),
            ("%09%20", missing()),
        ] {
            assert_eq!(route("GET", &format!("/auto/{segment}")), expected, "/auto/{segment}");
            for (place, number) in [("tuner0", 0), ("tuner12", 12), ("tuner99999999999", u32::MAX)] {
                let found = route("GET", &format!("/{place}/{segment}"));
                assert_eq!(found, on_tuner(expected.clone(), number), "/{place}/{segment}");
            }
        }
    }

    #[test]
    fn head_asks_for_the_head_only() {
        assert_eq!(
            route("HEAD", "/auto/v1"),
            Route::Stream { guide_number: "1".to_owned(), tuner: None, head_only: true, duration: None }
        );
        assert_eq!(route("HEAD", "/auto/%20"), Route::StreamError(StreamError::GuideNumberMissing));
    }

    #[test]
    fn other_methods_are_not_allowed_on_streams() {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "SUBSCRIBE"] {
            assert_eq!(route(method, "/auto/v1"), Route::MethodNotAllowed, "{method}");
            assert_eq!(route(method, "/tuner0/v1"), Route::MethodNotAllowed, "{method}");
            assert_eq!(route(method, "/lineup.post"), Route::Control, "{method}");
        }
    }

    #[test]
    fn everything_else_is_for_control() {
        for target in [
            "/",
            "//auto/v1",
            "/Auto/v1",
            "/autos/v1",
            "/x/auto/v1",
            "/tuner/v1",
            "/tunerx/v1",
            "/tuner-1/v1",
            "/tuner0/status",
            "/tuner0/vstatus",
            "/tuner1/streaminfo",
            "/lineup.json",
            "/status.json",
            "/%61uto/v1",
        ] {
            assert_eq!(route("GET", target), Route::Control, "{target}");
        }
    }

    #[test]
    fn below_the_streams_places_nothing_is_answered_with_a_body() {
        for target in ["/auto", "/auto/", "/auto/a/b", "/auto/v1/", "/tuner0", "/tuner0/", "/tuner7/status/x"]
        {
            let expected = Route::StreamError(StreamError::ChannelNotFound);
            assert_eq!(route("GET", target), expected, "{target}");
            assert_eq!(route("HEAD", target), expected, "{target}");
        }
    }

    #[test]
    fn a_duration_is_a_positive_number_of_seconds_and_all_else_is_ignored() {
        for (query, seconds) in [
            ("duration=30", Some(30)),
            ("transcode=heavy&duration=1&x", Some(1)),
            ("duration=4294967295", Some(4_294_967_295)),
            ("duration=4294967296", None),
            ("duration=0", None),
            ("duration=-5", None),
            ("duration=1.5", None),
            ("duration=", None),
            ("duration=x&duration=5", None),
            ("DURATION=5", None),
            ("transcode=none", None),
            ("?transcode=none", None),
            ("", None),
        ] {
            let expected = Route::Stream {
                guide_number: "1".to_owned(),
                tuner: None,
                head_only: false,
                duration: seconds.map(Duration::from_secs),
            };
            assert_eq!(route("GET", &format!("/auto/v1?{query}")), expected, "{query}");
        }
    }
}
