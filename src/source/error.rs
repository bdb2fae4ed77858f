//! Why a source could not be started or was lost, and what follows from it.

use std::fmt;
use std::time::Duration;

use crate::base::{ChildExit, redact};
use crate::source::body::Body;

/// Programmes that a failure lists.
const LISTED_MAX: usize = 16;

/// What went wrong. Decisions are taken by this, not by texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The source's address or the mode asked for it makes no sense.
    Unusable,
    /// The source is this very server.
    OwnServer,
    /// The stream mode does not exist.
    UnsupportedMode,
    /// The host's name has no address.
    Unresolved,
    /// No connection could be made, or it broke.
    Connection,
    /// The encrypted connection could not be established or was damaged.
    Tls,
    /// The upstream speaks something else than HTTP/1.x.
    Protocol,
    /// The redirects did not end, or led to where nobody can follow.
    Redirect,
    /// The upstream answered with this status.
    Status(u16),
    /// The body is something else than a transport stream.
    NotTransportStream(Body),
    /// The source ended before it had started.
    Closed,
    /// A time limit passed.
    Timeout,
    /// The stream lacks what a programme needs.
    Inventory,
    /// Nothing a decoder could start with was seen.
    NoEntryPoint,
    /// What is there can be read by nobody without its key.
    Scrambled,
    /// The programme that was asked for is not in the stream.
    NoProgramme,
    /// ffmpeg could not be run.
    Spawn,
}

/// The status of a request that comes back to a server it has passed.
const LOOP_DETECTED: u16 = 508;

/// What was being opened when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Opened {
    #[default]
    Nothing,
    Ffmpeg,
}

/// A failure of one source. No text in it holds credentials: they are redacted on the way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceError {
    kind: Kind,
    opened: Opened,
    text: Box<str>,
    ffmpeg: Option<Box<str>>,
    retry_after: Option<Duration>,
}

impl SourceError {
    /// A failure with the text that says what happened.
    #[must_use]
    pub fn new(kind: Kind, text: &str) -> Self {
        let text = redact::text(text.trim()).into();
        Self { kind, opened: Opened::Nothing, text, ffmpeg: None, retry_after: None }
    }

    /// The request to an upstream failed in transport.
    #[must_use]
    pub fn request(kind: Kind, detail: impl fmt::Display) -> Self {
        Self::new(kind, &format!("request upstream stream failed: {detail}"))
    }

    /// The stream has other programmes than the one that the source is set to.
    #[must_use]
    pub fn no_programme(number: u16, present: &[u16]) -> Self {
        let mut text = format!("programme {number} is not in the stream, which has ");
        match present {
            [] => text.push_str("none"),
            present => {
                let listed: Vec<String> = present.iter().take(LISTED_MAX).map(u16::to_string).collect();
                text.push_str(&listed.join(", "));
                if present.len() > LISTED_MAX {
                    text.push_str(", and others");
                }
            }
        }
        Self::new(Kind::NoProgramme, &text)
    }

    /// The source is this very server, and what it gives would go round for ever.
    #[must_use]
    pub fn own_server(address: impl fmt::Display) -> Self {
        let text = format!("the source is this very server: it listens on {address} itself");
        Self::new(Kind::OwnServer, &text)
    }

    /// True when the stream would have gone round: the source is this very server, or leads back to it.
    #[must_use]
    pub fn is_loop(&self) -> bool {
        self.kind == Kind::OwnServer || self.status_code() == Some(LOOP_DETECTED)
    }

    /// The mode is none of those that exist.
    #[must_use]
    pub fn unsupported_mode(mode: &str) -> Self {
        Self::new(Kind::UnsupportedMode, &format!("unsupported stream mode {mode:?}"))
    }

    /// The upstream refused with a status; `preview` is the beginning of what it said.
    #[must_use]
    pub fn status(status: u16, preview: &str, retry_after: Option<Duration>) -> Self {
        let preview = match preview.trim() {
            "" if status == LOOP_DETECTED => "loop detected: the source leads back to this server",
            said => said,
        };
        let text = if preview.is_empty() {
            format!("upstream returned status {status}")
        } else {
            format!("upstream returned status {status}: {preview}")
        };
        let error = Self::new(Kind::Status(status), &text);
        Self { retry_after: retry_after.filter(|_| matches!(status, 429 | 503)), ..error }
    }

    /// ffmpeg could not be run.
    #[must_use]
    pub fn spawn(detail: impl fmt::Display) -> Self {
        Self::new(Kind::Spawn, &format!("start ffmpeg: {detail}"))
    }

    /// The failure came while ffmpeg was being probed. `exit` and `stderr` tell how it ended, when it ended by
    /// itself: after a timeout we end it, and its words about that explain nothing.
    #[must_use]
    pub fn opening_ffmpeg(self, exit: Option<ChildExit>, stderr: &str) -> Self {
        let own_end = exit.filter(|exit| !exit.is_clean() && self.kind != Kind::Timeout);
        let ffmpeg = own_end.map(|exit| match redact::text(stderr.trim()) {
            words if words.is_empty() => exit.to_string().into(),
            words => format!("{exit}: {words}").into(),
        });
        Self { opened: Opened::Ffmpeg, ffmpeg, ..self }
    }

    /// True when ffmpeg has given up because it had not looked at its input for long enough.
    #[must_use]
    pub fn lacks_parameters(&self) -> bool {
        let words = self.ffmpeg.as_deref().unwrap_or_default();
        PARAMETER_WORDS.iter().any(|word| words.contains(word))
    }

    /// True when ffmpeg has found none of what it was to take.
    #[must_use]
    pub fn finds_none(&self) -> bool {
        self.ffmpeg.as_deref().is_some_and(|words| words.contains("matches no streams"))
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How long the upstream asked to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The text stored as the source's failure. A status said by ffmpeg outweighs what the probe saw of it.
    #[must_use]
    pub fn reason(&self) -> String {
        if status_in(&self.text).is_some() {
            return self.text.to_string();
        }
        match self.status_code() {
            Some(status) => format!("upstream returned status {status}"),
            None if self.text.is_empty() => "startup failed".to_owned(),
            None => match self.refused_certificate() {
                Some(words) => format!("TLS: ffmpeg does not believe the server: {words}"),
                None if self.finds_none() => "the programme asked for is not in the stream".to_owned(),
                None => self.text.to_string(),
            },
        }
    }

    /// What ffmpeg says of a certificate that it has refused.
    fn refused_certificate(&self) -> Option<&str> {
        let words = self.ffmpeg.as_deref()?;
        let at = words.find("certificate")?;
        let from = words[..at].rfind(['\n', ']']).map_or(0, |end| end + 1);
        let to = words[at..].find(['\n', '[']).map_or(words.len(), |end| at + end);
        Some(words[from..to].trim())
    }

    /// The upstream's error status (400 to 599), whether it was told to us or to ffmpeg.
    #[must_use]
    pub fn status_code(&self) -> Option<u16> {
        if let Kind::Status(status) = self.kind {
            return Some(status).filter(|status| (400..600).contains(status));
        }
        status_in(&self.text).or_else(|| self.ffmpeg.as_deref().and_then(status_in))
    }

    /// True when the server hung up, or had nothing to give: what some say to an account that has too many connections.
    #[must_use]
    pub fn is_hang_up(&self) -> bool {
        let is_quiet =
            matches!(self.kind, Kind::Connection | Kind::Closed | Kind::NotTransportStream(Body::Empty));
        is_quiet && self.refused_certificate().is_none() && !self.finds_none()
    }

    /// True when the provider says that too many streams are open: the provider is then left alone for a while.
    #[must_use]
    pub fn is_overlimit(&self) -> bool {
        self.status_code() == Some(429)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opened {
            Opened::Nothing => {}
            Opened::Ffmpeg => formatter.write_str("open ffmpeg stream: ")?,
        }
        formatter.write_str(&self.text)?;
        match &self.ffmpeg {
            Some(ffmpeg) => write!(formatter, " (ffmpeg: {ffmpeg})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SourceError {}

/// The first HTTP error status a text speaks of.
fn status_in(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    lower
        .char_indices()
        .filter_map(|(at, _)| STATUS_WORDS.iter().find_map(|words| lower[at..].strip_prefix(words)))
        .find_map(status_after)
}

/// White space, then a three-digit code of 400 to 599 that ends at a word's end.
fn status_after(rest: &str) -> Option<u16> {
    let digits = rest.trim_start();
    if digits.len() == rest.len() {
        return None;
    }
    let end = digits.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(digits.len());
    let code = digits.get(..3).filter(|_| end == 3)?;
    code.parse().ok().filter(|code| (400..=599).contains(code))
}

/// What ffmpeg says about streams of which it has not seen enough.
const PARAMETER_WORDS: &[&str] =
    &["codec parameters", "sample rate not set", "dimensions not set", "Could not write header"];

const STATUS_WORDS: &[&str] = &["upstream returned status", "http error", "server returned"];

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> SourceError {
        SourceError::new(Kind::Closed, "source closed before startup bytes were received")
    }

    #[test]
    fn a_status_is_found_in_the_words_of_ffmpeg_and_of_upstreams() {
        for (text, expected) in [
            ("HTTP error 404 Not Found", Some(404)),
            ("http ERROR 429", Some(429)),
            ("Server returned 503 Service Unavailable", Some(503)),
            ("upstream returned status 599: x", Some(599)),
            ("upstream returned status\t401", Some(401)),
            ("Server returned 5XX Server Error reply", None),
            ("Server returned 4XX Client Error, but not one of 40{0,1,3,4}", None),
            ("upstream returned status 304", None),
            ("upstream returned status 600", None),
            ("HTTP error 4040", None),
            ("HTTP error 404x", None),
            ("HTTP error 404_", None),
            ("HTTP error404", None),
            ("HTTP error", None),
            ("HTTP error 99", None),
            ("HTTP error 5XX then HTTP error 503", Some(503)),
            ("İ HTTP error 404", Some(404)),
            ("", None),
        ] {
            assert_eq!(status_in(text), expected, "{text}");
        }
    }

    #[test]
    fn what_ffmpeg_refuses_is_the_reason() {
        let closed = || SourceError::new(Kind::Closed, "source closed before startup bytes were received");
        for (said, expected) in [
            (
                "[tls @ 0x1] Peer certificate failed verification\nhttps://h/x.ts: Input/output error",
                "TLS: ffmpeg does not believe the server: Peer certificate failed verification",
            ),
            (
                "[tls @ 0x1] The certificate's owner does not match hostname h\nhttps://h/x.ts: Input/output error",
                "TLS: ffmpeg does not believe the server: The certificate's owner does not match hostname h",
            ),
            ("https://h/x.ts: Input/output error", "source closed before startup bytes were received"),
            ("Stream map '0:p:9' matches no streams.", "the programme asked for is not in the stream"),
        ] {
            let error = closed().opening_ffmpeg(Some(ChildExit::Code(1)), said);
            assert_eq!(error.is_hang_up(), expected.starts_with("source closed"), "{said}");
            assert!(error.reason().starts_with(expected), "{}", error.reason());
        }
    }

    #[test]
    fn the_reason_prefers_an_upstreams_status_over_what_the_probe_saw() {
        let exit = Some(ChildExit::Code(1));
        for (error, reason, code) in [
            (
                closed().opening_ffmpeg(exit, "HTTP error 404 Not Found"),
                "upstream returned status 404",
                Some(404),
            ),
            (
                closed().opening_ffmpeg(exit, "Server returned 503 Service Unavailable"),
                "upstream returned status 503",
                Some(503),
            ),
            (
                SourceError::status(404, " missing token\n", None),
                "upstream returned status 404: missing token",
                Some(404),
            ),
            (SourceError::status(304, "", None), "upstream returned status 304", None),
            (
                closed().opening_ffmpeg(Some(ChildExit::Code(8)), "Option not found"),
                "source closed before startup bytes were received",
                None,
            ),
            (SourceError::new(Kind::Closed, "  "), "startup failed", None),
        ] {
            assert_eq!(error.reason(), reason);
            assert_eq!(error.status_code(), code, "{reason}");
        }
    }

    #[test]
    fn only_429_says_that_too_many_streams_are_open() {
        for (status, overlimit) in [(404, false), (429, true), (503, false), (200, false)] {
            let error = SourceError::status(status, "", None);
            assert_eq!(error.is_overlimit(), overlimit, "{status}");
        }
        let told_to_ffmpeg =
            closed().opening_ffmpeg(Some(ChildExit::Code(1)), "HTTP error 429 Too Many Requests");
        assert!(told_to_ffmpeg.is_overlimit());
    }

    #[test]
    fn the_end_of_ffmpeg_is_told_unless_we_ended_it_or_it_ended_well() {
        let early = || SourceError::new(Kind::Closed, "source closed early after 3 of 10 startup bytes");
        let timeout = || SourceError::new(Kind::Timeout, "startup timeout waiting for source bytes");
        let start = "open ffmpeg stream: source closed before startup bytes were received";
        for (error, expected) in [
            (
                closed().opening_ffmpeg(Some(ChildExit::Code(1)), "HTTP error 429 Too Many Requests\n"),
                format!("{start} (ffmpeg: exit status 1: HTTP error 429 Too Many Requests)"),
            ),
            (closed().opening_ffmpeg(Some(ChildExit::Code(0)), "noise"), start.to_owned()),
            (closed().opening_ffmpeg(None, ""), start.to_owned()),
            (closed().opening_ffmpeg(Some(ChildExit::Signal(9)), ""), format!("{start} (ffmpeg: signal: killed)")),
            (
                early().opening_ffmpeg(Some(ChildExit::Code(1)), "bad"),
                "open ffmpeg stream: source closed early after 3 of 10 startup bytes (ffmpeg: exit status 1: bad)"
                    .to_owned(),
            ),
            (
                timeout().opening_ffmpeg(Some(ChildExit::Signal(9)), "x"),
                "open ffmpeg stream: startup timeout waiting for source bytes".to_owned(),
            ),
            (SourceError::spawn("No such file"), "start ffmpeg: No such file".to_owned()),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_wish_to_be_left_alone_is_kept_for_429_and_503_alone() {
        let wish = Some(Duration::from_secs(7));
        for (status, kept) in [(429, wish), (503, wish), (404, None), (301, None)] {
            assert_eq!(SourceError::status(status, "", wish).retry_after(), kept, "{status}");
        }
    }

    #[test]
    fn no_text_carries_credentials() {
        let url = "http://user:secret@host/live?token=hidden";
        for error in [
            SourceError::request(Kind::Connection, format!("connect {url}")),
            SourceError::status(403, &format!("go to {url}"), None),
            closed().opening_ffmpeg(Some(ChildExit::Code(1)), &format!("{url}: Invalid data")),
        ] {
            for text in [error.to_string(), error.reason(), format!("{error:?}")] {
                assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
            }
        }
    }
}
