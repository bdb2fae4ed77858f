//! The programme guide that players read, and how it came to be.

use serde::Serialize;

use crate::base::{WallTime, redact};
use crate::control::admin::call::{Call, refusal};
use crate::control::guide::ShownGuide;
use crate::control::state::State;
use crate::http::{HDHR_XML, Response};
use crate::status::go_time::rfc3339;

/// How long a client should wait that asks before the first guide is there.
const RETRY_SECONDS: &str = "15";

/// `GET /guide.xml`, and packed `GET /guide.xml.gz`.
pub(super) fn file(call: &Call, state: &State, is_packed: bool) -> Result<Response, Response> {
    let guides = &state.params.guides;
    let Some(made) = state.guides().open(guides, is_packed) else {
        return Err(if state.guides().has_none(guides) {
            refusal(404, "there is no guide: no playlist names one, and GUIDE_URLS is not set")
        } else {
            refusal(503, "the guide is being read for the first time").header("Retry-After", RETRY_SECONDS)
        });
    };
    let kind = if is_packed { "application/gzip" } else { HDHR_XML };
    if call.header("if-none-match").is_some_and(|known| known.split(',').any(|one| one.trim() == made.tag)) {
        return Ok(Response::new(304).header("ETag", &made.tag));
    }
    Ok(Response::new(200)
        .header("ETag", &made.tag)
        .header("Cache-Control", "no-cache")
        .header("Access-Control-Allow-Origin", "*")
        .file(kind, made.file, made.bytes))
}

#[derive(Serialize)]
struct GuideView {
    made_at: Option<String>,
    next_read_at: Option<String>,
    channels: usize,
    channels_with_programmes: usize,
    programmes: u64,
    guides: Vec<OneGuide>,
}

#[derive(Serialize)]
struct OneGuide {
    /// Without credentials, whoever asks.
    url: String,
    /// `settings` or `playlist`.
    named_by: &'static str,
    channels: usize,
    programmes: u64,
    last_tried_at: Option<String>,
    last_read_at: Option<String>,
    /// Why it was not read the last time; what is kept is from the time before.
    last_error: Option<String>,
}

/// `GET /api/guide`.
pub(super) fn status(state: &State) -> Response {
    let time = |at: Option<WallTime>| at.map(rfc3339);
    let (made, next_at) = state.guides().made();
    let counts = made.map(|(_, counts)| counts).unwrap_or_default();
    let one = |shown: ShownGuide| OneGuide {
        url: redact::url(&shown.url),
        named_by: if shown.is_of_playlist { "playlist" } else { "settings" },
        channels: shown.reading.channels,
        programmes: shown.reading.programmes,
        last_tried_at: time(shown.reading.last_tried_at),
        last_read_at: time(shown.reading.last_read_at),
        last_error: shown.reading.last_error,
    };
    let view = GuideView {
        made_at: time(made.map(|(at, _)| at)),
        next_read_at: time(next_at),
        channels: counts.channels,
        channels_with_programmes: counts.channels_with_programmes,
        programmes: counts.programmes,
        guides: state.guides().shown(&state.params.guides).into_iter().map(one).collect(),
    };
    Response::json(200, &view)
}
