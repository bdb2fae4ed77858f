//! How a source is opened: by which mode, by which means.

use std::fmt;
use std::str::FromStr;

use crate::source::body::Body;
use crate::source::error::{Kind, SourceError};
use crate::source::list::is_list_name;
use crate::source::scheme::Scheme;

/// The setting `STREAM_MODE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// MPEG-TS over HTTP(S) directly, HLS of it too, UDP and RTP, everything else through ffmpeg.
    #[default]
    Auto,
    /// Our own clients, no process.
    Direct,
    /// ffmpeg remuxes.
    FfmpegCopy,
    /// ffmpeg encodes.
    FfmpegTranscode,
}

impl Mode {
    /// The word for it in settings, logs and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::FfmpegCopy => "ffmpeg-copy",
            Self::FfmpegTranscode => "ffmpeg-transcode",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let word = text.trim();
        [Self::Auto, Self::Direct, Self::FfmpegCopy, Self::FfmpegTranscode]
            .into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(word))
            .ok_or_else(|| SourceError::unsupported_mode(word))
    }
}

/// What ffmpeg does with the streams it reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remux {
    /// Passes them on as they are.
    Copy,
    /// Encodes them anew.
    Transcode,
}

/// The means by which one start of a source is attempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// [`crate::source::direct::Client`].
    Direct,
    /// [`crate::source::hls::Upstream`].
    Hls,
    /// [`crate::source::udp::Receiver`].
    Udp,
    /// A child with [`crate::source::ffmpeg::arguments`].
    Ffmpeg(Remux),
}

impl Opening {
    /// The word for it in the producer's name: a mode that leaves nothing open.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct | Self::Hls | Self::Udp => Mode::Direct.name(),
            Self::Ffmpeg(Remux::Copy) => Mode::FfmpegCopy.name(),
            Self::Ffmpeg(Remux::Transcode) => Mode::FfmpegTranscode.name(),
        }
    }
}

/// How a source is opened at first.
///
/// # Errors
/// When the address is not one, or the mode cannot open such an address.
pub fn plan(mode: Mode, url: &str) -> Result<Opening, SourceError> {
    if url.trim().is_empty() {
        return Err(SourceError::new(Kind::Unusable, "the source has no address"));
    }
    if url.chars().any(char::is_control) {
        return Err(SourceError::new(Kind::Unusable, "the source's address holds a control character"));
    }
    let scheme = Scheme::of(url);
    match mode {
        // What it names is opened by the mode's own means.
        Mode::Auto | Mode::FfmpegCopy | Mode::FfmpegTranscode if scheme.is_http() && is_list_name(url) => {
            Ok(Opening::Direct)
        }
        // A playlist is known by its name before anything is asked for: providers count connections.
        // What ffmpeg is to read of a master list is found by us: it would take the picture of one quality and the sound of another.
        Mode::Auto | Mode::Direct | Mode::FfmpegCopy | Mode::FfmpegTranscode
            if scheme.is_http() && is_hls(url) =>
        {
            Ok(Opening::Hls)
        }
        Mode::Auto if scheme.is_http() && !is_playlist(url) => Ok(Opening::Direct),
        Mode::Auto | Mode::Direct if scheme.is_datagrams() => Ok(Opening::Udp),
        Mode::Auto | Mode::FfmpegCopy => Ok(Opening::Ffmpeg(Remux::Copy)),
        Mode::FfmpegTranscode => Ok(Opening::Ffmpeg(Remux::Transcode)),
        Mode::Direct if scheme.is_http() => Ok(Opening::Direct),
        Mode::Direct => Err(SourceError::new(
            Kind::Unusable,
            &format!("stream mode direct opens http, https, udp and rtp only, not {}", scheme.name()),
        )),
    }
}

/// How the source is opened next time, and from then on, when its body turned out to be media of another kind.
#[must_use]
pub fn plan_after(mode: Mode, opening: Opening, failure: &SourceError) -> Option<Opening> {
    match (mode, opening, failure.kind()) {
        (
            Mode::Auto | Mode::Direct | Mode::FfmpegCopy | Mode::FfmpegTranscode,
            Opening::Direct,
            Kind::NotTransportStream(Body::Hls),
        ) => Some(Opening::Hls),
        // What has the name of a playlist and is a stream, or a list of stations.
        (Mode::Auto | Mode::Direct, Opening::Hls, Kind::NotTransportStream(Body::TransportStream))
        | (
            Mode::Auto | Mode::Direct | Mode::FfmpegCopy | Mode::FfmpegTranscode,
            Opening::Hls,
            Kind::NotTransportStream(Body::List),
        ) => Some(Opening::Direct),
        // A page or an error in JSON is no media for ffmpeg either, and asking again costs a connection.
        (Mode::Auto | Mode::FfmpegCopy, Opening::Direct | Opening::Hls, Kind::NotTransportStream(body))
            if body.may_be_media() =>
        {
            Some(Opening::Ffmpeg(Remux::Copy))
        }
        (Mode::FfmpegTranscode, Opening::Direct | Opening::Hls, Kind::NotTransportStream(body))
            if body.may_be_media() =>
        {
            Some(Opening::Ffmpeg(Remux::Transcode))
        }
        (
            Mode::Auto | Mode::Direct | Mode::FfmpegCopy | Mode::FfmpegTranscode,
            Opening::Direct | Opening::Hls | Opening::Udp | Opening::Ffmpeg(_),
            _any_other_failure,
        ) => None,
    }
}

/// True when ffmpeg need not look at a source for long: what is copied from a transport stream needs no more than the
/// tables. A playlist is none, and what it names is not known.
#[must_use]
pub fn may_be_quick(remux: Remux, url: &str) -> bool {
    let is_stream = match Scheme::of(url.trim()) {
        Scheme::Http | Scheme::Https => !is_playlist(url),
        Scheme::Udp | Scheme::Rtp | Scheme::Srt | Scheme::Tcp => true,
        Scheme::Rtsp | Scheme::Rtmp | Scheme::Test | Scheme::Other => false,
    };
    remux == Remux::Copy && is_stream
}

/// True when the path's ending names an HLS playlist.
fn is_hls(url: &str) -> bool {
    url.split(['?', '#']).next().is_some_and(|path| path.to_ascii_lowercase().ends_with(".m3u8"))
}

/// True when the path's ending names an HLS or DASH playlist.
pub(super) fn is_playlist(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or("").to_ascii_lowercase();
    [".m3u8", ".m3u", ".mpd"].iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_names_of_the_settings() {
        for (text, expected) in [
            ("auto", Mode::Auto),
            (" Direct ", Mode::Direct),
            ("FFMPEG-COPY", Mode::FfmpegCopy),
            ("ffmpeg-transcode\n", Mode::FfmpegTranscode),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
            assert_eq!(expected.to_string(), text.trim().to_ascii_lowercase());
        }
        let wrong = "Copy".parse::<Mode>().unwrap_err();
        assert_eq!(wrong.to_string(), "unsupported stream mode \"Copy\"");
    }

    #[test]
    fn auto_reads_http_and_datagrams_directly_and_everything_else_through_ffmpeg() {
        let (direct, copy, transcode) =
            (Opening::Direct, Opening::Ffmpeg(Remux::Copy), Opening::Ffmpeg(Remux::Transcode));
        for (mode, url, expected) in [
            (Mode::Auto, "http://h/1.ts", Some(direct)),
            (Mode::Auto, "HTTPS://h/1", Some(direct)),
            (Mode::Auto, "http://h/live/index.M3U8?token=1", Some(Opening::Hls)),
            (Mode::FfmpegCopy, "http://h/live/index.m3u8", Some(Opening::Hls)),
            (Mode::FfmpegTranscode, "http://h/live/index.m3u8", Some(Opening::Hls)),
            (Mode::Auto, "http://h/live/manifest.mpd", Some(copy)),
            (Mode::Auto, "http://h/live?file=a.m3u8", Some(direct)),
            (Mode::Auto, "http://h/radio.m3u", Some(direct)),
            (Mode::FfmpegCopy, "http://h/radio.pls?x=1", Some(direct)),
            (Mode::FfmpegTranscode, "/srv/radio.pls", Some(transcode)),
            (Mode::Auto, "udp://@239.0.0.1:1234", Some(Opening::Udp)),
            (Mode::Auto, "rtp://10.0.0.1@232.0.0.1:1234", Some(Opening::Udp)),
            (Mode::FfmpegCopy, "udp://@239.0.0.1:1234", Some(copy)),
            (Mode::Auto, "test://pattern", Some(copy)),
            (Mode::Auto, "/srv/x.ts", Some(copy)),
            (Mode::Direct, "http://h/index.m3u8", Some(Opening::Hls)),
            (Mode::Direct, "udp://@239.0.0.1:1234", Some(Opening::Udp)),
            (Mode::Direct, "test://pattern", None),
            (Mode::FfmpegCopy, "http://h/1.ts", Some(copy)),
            (Mode::FfmpegTranscode, "rtsp://h/1", Some(transcode)),
            (Mode::Auto, "  ", None),
            (Mode::Auto, "http://h/a\0b", None),
        ] {
            assert_eq!(plan(mode, url).ok(), expected, "{mode} {url:?}");
        }
        assert_eq!(
            plan(Mode::Direct, "rtsp://u:p@h/1").unwrap_err().to_string(),
            "stream mode direct opens http, https, udp and rtp only, not rtsp"
        );
    }

    #[test]
    fn what_may_be_media_is_opened_by_ffmpeg_after_all_unless_the_mode_forbids_it() {
        let body = |body| SourceError::new(Kind::NotTransportStream(body), "x");
        let copy = Some(Opening::Ffmpeg(Remux::Copy));
        for (mode, opening, failure, expected) in [
            (Mode::Auto, Opening::Direct, body(Body::Hls), Some(Opening::Hls)),
            (Mode::Auto, Opening::Hls, body(Body::Hls), copy),
            (Mode::Auto, Opening::Hls, body(Body::TransportStream), Some(Opening::Direct)),
            (Mode::Auto, Opening::Hls, body(Body::List), Some(Opening::Direct)),
            (Mode::Auto, Opening::Hls, body(Body::Html), None),
            (Mode::Direct, Opening::Hls, body(Body::Hls), None),
            (Mode::Auto, Opening::Direct, body(Body::Unknown), copy),
            (Mode::Auto, Opening::Direct, body(Body::Html), None),
            (Mode::Auto, Opening::Direct, body(Body::List), None),
            (Mode::FfmpegCopy, Opening::Direct, body(Body::TransportStream), copy),
            (Mode::FfmpegTranscode, Opening::Direct, body(Body::Hls), Some(Opening::Hls)),
            (Mode::FfmpegTranscode, Opening::Hls, body(Body::Hls), Some(Opening::Ffmpeg(Remux::Transcode))),
            (Mode::FfmpegCopy, Opening::Hls, body(Body::Hls), copy),
            (Mode::FfmpegCopy, Opening::Hls, body(Body::TransportStream), copy),
            (Mode::FfmpegCopy, Opening::Hls, body(Body::List), Some(Opening::Direct)),
            (Mode::FfmpegCopy, Opening::Hls, body(Body::Html), None),
            (Mode::Auto, Opening::Direct, body(Body::Json), None),
            (Mode::Auto, Opening::Udp, body(Body::Unknown), None),
            (Mode::Auto, Opening::Direct, SourceError::status(404, "", None), None),
            (Mode::Auto, Opening::Ffmpeg(Remux::Copy), body(Body::Hls), None),
            (Mode::Direct, Opening::Direct, body(Body::Hls), Some(Opening::Hls)),
            (Mode::Direct, Opening::Direct, body(Body::Dash), None),
        ] {
            assert_eq!(plan_after(mode, opening, &failure), expected, "{mode} {opening:?} {failure}");
        }
    }

    #[test]
    fn what_is_copied_from_a_stream_is_looked_at_quickly() {
        for (remux, url, expected) in [
            (Remux::Copy, "http://h/1.ts", true),
            (Remux::Copy, "udp://@239.0.0.1:1234", true),
            (Remux::Copy, "http://h/index.m3u8?x", false),
            (Remux::Copy, "rtsp://h/1", false),
            (Remux::Copy, "test://pattern", false),
            (Remux::Transcode, "http://h/1.ts", false),
        ] {
            assert_eq!(may_be_quick(remux, url), expected, "{remux:?} {url}");
        }
    }

    #[test]
    fn an_openings_name_is_a_mode() {
        for (opening, name) in [
            (Opening::Direct, "direct"),
            (Opening::Hls, "direct"),
            (Opening::Udp, "direct"),
            (Opening::Ffmpeg(Remux::Copy), "ffmpeg-copy"),
            (Opening::Ffmpeg(Remux::Transcode), "ffmpeg-transcode"),
        ] {
            assert_eq!(opening.name(), name);
        }
    }
}
