//! Why a source failed, in the words that are stored.

use crate::base::redact;

/// The most characters of a stored reason: it may quote what an upstream or a child said.
pub const REASON_CHARS_MAX: usize = 240;
/// What is stored when nothing is known.
pub(super) const UNKNOWN: &str = "startup failed";
/// In front of the status, by us and by ffmpeg.
const STATUS_FOLLOWS: &[&str] = &["upstream returned status", "http error", "server returned"];

/// The reason of a failure. The one given wins when it names an HTTP status; else the status that the error names;
/// else the one given; else the error.
#[must_use]
pub fn failure_reason(explicit: Option<&str>, error: &str) -> String {
    let explicit = explicit.map(str::trim).filter(|reason| !reason.is_empty());
    if let Some(reason) = explicit
        && named_status(reason).is_some()
    {
        return reason.to_owned();
    }
    if let Some(status) = named_status(error) {
        return format!("upstream returned status {status}");
    }
    let error = error.trim();
    explicit.unwrap_or(if error.is_empty() { UNKNOWN } else { error }).to_owned()
}

/// A reason fit to be stored and shown: without credentials, and no longer than [`REASON_CHARS_MAX`].
#[must_use]
pub fn stored_reason(reason: &str) -> String {
    let shown = redact::text(reason.trim());
    if shown.chars().count() <= REASON_CHARS_MAX {
        return shown;
    }
    let kept: String = shown.chars().take(REASON_CHARS_MAX - 1).collect();
    format!("{}\u{2026}", kept.trim_end())
}

/// The first status from 400 to 599 that a text names.
fn named_status(text: &str) -> Option<u16> {
    let text = text.to_ascii_lowercase();
    let status_behind = |phrase: &str| {
        text.match_indices(phrase).find_map(|(at, _)| {
            let behind = &text[at + phrase.len()..];
            let digits = behind.trim_start_matches([' ', ':', '=']);
            if digits.len() == behind.len() {
                return None;
            }
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            let status = digits[..end].parse().ok().filter(|status| (400..600).contains(status))?;
            Some((at, status))
        })
    };
    STATUS_FOLLOWS.iter().filter_map(|phrase| status_behind(phrase)).min().map(|(_, status)| status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_in_the_three_forms_and_nowhere_else() {
        for (text, expected) in [
            ("upstream returned status 404", Some(404)),
            ("Upstream Returned Status 429: slow down", Some(429)),
            ("[http @ 0x5] HTTP error 403 Forbidden", Some(403)),
            ("http://h/: Server returned 503 Service Unavailable", Some(503)),
            ("Server returned 5XX Server Error reply", None),
            ("HTTP error 302 Found", None),
            ("HTTP error 200; later: server returned 500", Some(500)),
            ("HTTP error 404 and then server returned 500", Some(404)),
            ("server returned 4040 bytes", None),
            ("http error404", None),
            ("http error", None),
            ("status 404", None),
            ("", None),
        ] {
            assert_eq!(named_status(text), expected, "{text}");
        }
    }

    #[test]
    fn the_reason_is_the_status_where_one_is_named_then_the_given_one_then_the_error() {
        for (explicit, error, expected) in [
            (Some("upstream returned status 429"), "HTTP error 500", "upstream returned status 429"),
            (Some("startup timeout"), "HTTP error 404 Not Found", "upstream returned status 404"),
            (None, "ffmpeg: Server returned 403 Forbidden", "upstream returned status 403"),
            (Some(" stream pump stall detected "), "read: reset", "stream pump stall detected"),
            (None, " connection refused ", "connection refused"),
            (Some(" "), "connection refused", "connection refused"),
            (None, " ", "startup failed"),
            (Some(""), "", "startup failed"),
        ] {
            assert_eq!(failure_reason(explicit, error), expected, "{explicit:?} {error:?}");
        }
    }

    #[test]
    fn what_is_stored_holds_no_credentials_and_has_an_end() {
        let stored =
            stored_reason("open http://user:hunter2@host/live/joe/hunter2/1.ts?token=hunter2\nfailed");
        assert!(!stored.contains("hunter2"), "{stored}");
        assert!(stored.contains("host") && stored.ends_with("failed"), "{stored}");
        let long = stored_reason(&"\u{e4}".repeat(10_000));
        assert_eq!(long.chars().count(), REASON_CHARS_MAX);
        assert!(long.ends_with('\u{2026}'));
    }
}
