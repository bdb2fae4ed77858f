//! Why HLS cannot be read here, or cannot be read at all.

use std::fmt;
use std::time::Duration;

use crate::source::body::{Body, Sound};
use crate::source::error::{Kind, SourceError};

/// What a provider sends that is not read here. ffmpeg may be able to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// Segments with a beginning of their own (`EXT-X-MAP`), or boxes in a segment.
    FragmentedMp4,
    /// Samples are encrypted, not segments.
    SampleAes,
    /// The key is had by a system that only its maker's players have.
    Drm,
    /// An `EXT-X-KEY` without an address, or with an initialization vector that is none.
    KeyTag,
    /// Sound without a container.
    PackedAudio(Sound),
    /// A container that is no transport stream.
    Container(&'static str),
    /// Key pictures alone.
    KeyPicturesOnly,
    /// The mode has ffmpeg read it.
    Elsewhere,
    /// Addresses are made of variables (`EXT-X-DEFINE`).
    Variables,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FragmentedMp4 => formatter.write_str("its segments are fragmented MP4"),
            Self::SampleAes => formatter.write_str("its samples are encrypted (SAMPLE-AES)"),
            Self::Drm => formatter.write_str("its keys are protected by DRM"),
            Self::KeyTag => formatter.write_str("its EXT-X-KEY names no usable key"),
            Self::PackedAudio(sound) => {
                write!(formatter, "its segments are {} without a container", sound.name())
            }
            Self::Container(name) => write!(formatter, "its segments are {name}"),
            Self::KeyPicturesOnly => formatter.write_str("it has key pictures only"),
            Self::Elsewhere => formatter.write_str("ffmpeg reads it"),
            Self::Variables => formatter.write_str("its addresses are made of variables"),
        }
    }
}

/// Why a text is no HLS list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListError {
    /// It is this.
    NotAList(Body),
    /// Compressed by gzip, which nobody asked for, and damaged.
    DamagedGzip,
    /// A list of channels or stations: it has none of the tags of HLS.
    Plain,
    /// More bytes, segments or variants than are read.
    TooLong,
}

impl fmt::Display for ListError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAList(body) => write!(formatter, "the answer is no HLS playlist ({})", body.name()),
            Self::DamagedGzip => formatter
                .write_str("the HLS playlist is compressed by gzip, which was not asked for, and damaged"),
            Self::Plain => formatter.write_str("the playlist names streams, not segments"),
            Self::TooLong => formatter.write_str("the HLS playlist is too long"),
        }
    }
}

/// Why a segment is passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentError {
    /// No packet was found in it. It is this.
    NotTransportStream(Body),
    /// No packet was found in it after it was decrypted.
    WrongKey,
    /// Compressed by gzip, which was not asked for.
    Gzip,
    /// Nothing came.
    Empty,
}

impl fmt::Display for SegmentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTransportStream(body) => {
                write!(formatter, "the HLS segment is not MPEG-TS ({})", body.name())
            }
            Self::WrongKey => formatter.write_str("the HLS segment cannot be decrypted with its key"),
            Self::Gzip => {
                formatter.write_str("the HLS segment is compressed by gzip, which was not asked for")
            }
            Self::Empty => formatter.write_str("the HLS segment is empty"),
        }
    }
}

/// Why a run of HLS has ended otherwise than with the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Others may be able to.
    Unreadable(Unreadable),
    /// What came instead of a list.
    List(ListError),
    /// Lists that lead to lists, and never to segments.
    Nested,
    /// No variant has an address that can be fetched.
    NoVariant,
    /// The request failed, and others did instead of it.
    Request(SourceError),
    /// A list, or a key, did not come in time.
    Slow,
    /// Nothing new was listed for so long.
    Stale(Duration),
    /// One segment after the other was of no use; this is the last one's reason.
    Segments(SegmentError),
    /// What came instead of a key has so many bytes.
    Key { bytes: usize },
}

impl Failure {
    /// What everybody else is told. What is not read here looks like a body of another kind, for which other means are tried.
    #[must_use]
    pub fn to_source_error(&self) -> SourceError {
        match self {
            Self::Unreadable(why) => SourceError::new(
                Kind::NotTransportStream(Body::Hls),
                &format!("HLS is not read directly: {why}"),
            ),
            Self::List(error @ ListError::NotAList(body)) => {
                SourceError::new(Kind::NotTransportStream(*body), &error.to_string())
            }
            Self::List(error @ ListError::Plain) => {
                SourceError::new(Kind::NotTransportStream(Body::List), &error.to_string())
            }
            Self::List(error @ (ListError::DamagedGzip | ListError::TooLong)) => {
                SourceError::new(Kind::Protocol, &error.to_string())
            }
            Self::Nested => {
                SourceError::new(Kind::Protocol, "HLS playlists lead to playlists, not to segments")
            }
            Self::NoVariant => {
                SourceError::new(Kind::Unusable, "no variant of the HLS playlist can be fetched")
            }
            Self::Request(error) => error.clone(),
            Self::Slow => SourceError::new(Kind::Timeout, "timeout waiting for an HLS playlist or key"),
            Self::Stale(time) => {
                let text = format!("the HLS playlist has listed nothing new for {:.0} s", time.as_secs_f64());
                SourceError::new(Kind::Timeout, &text)
            }
            Self::Segments(error @ SegmentError::NotTransportStream(body)) => {
                // Whatever it is, it was fetched as a segment: a page there is no media for ffmpeg either.
                SourceError::new(Kind::NotTransportStream(*body), &error.to_string())
            }
            Self::Segments(error @ (SegmentError::WrongKey | SegmentError::Gzip)) => {
                SourceError::new(Kind::NotTransportStream(Body::Unknown), &error.to_string())
            }
            Self::Segments(error @ SegmentError::Empty) => SourceError::new(Kind::Closed, &error.to_string()),
            Self::Key { bytes } => {
                let text = format!("the key of the HLS segments has {bytes} bytes, not 16");
                SourceError::new(Kind::Protocol, &text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Mode, Opening, Remux, plan_after};

    #[test]
    fn what_others_may_read_is_tried_by_other_means_and_what_nobody_can_is_not() {
        let copy = Some(Opening::Ffmpeg(Remux::Copy));
        for (failure, text, then) in [
            (
                Failure::Unreadable(Unreadable::FragmentedMp4),
                "HLS is not read directly: its segments are fragmented MP4",
                copy,
            ),
            (
                Failure::Unreadable(Unreadable::PackedAudio(Sound::Adts)),
                "HLS is not read directly: its segments are AAC without a container",
                copy,
            ),
            (Failure::List(ListError::NotAList(Body::Html)), "the answer is no HLS playlist (HTML)", None),
            (
                Failure::List(ListError::Plain),
                "the playlist names streams, not segments",
                Some(Opening::Direct),
            ),
            (
                Failure::Stale(Duration::from_secs(18)),
                "the HLS playlist has listed nothing new for 18 s",
                None,
            ),
            (Failure::Request(SourceError::status(403, "", None)), "upstream returned status 403", None),
            (
                Failure::Segments(SegmentError::NotTransportStream(Body::Json)),
                "the HLS segment is not MPEG-TS (JSON)",
                None,
            ),
            (Failure::Key { bytes: 9 }, "the key of the HLS segments has 9 bytes, not 16", None),
        ] {
            let error = failure.to_source_error();
            assert_eq!(error.to_string(), text);
            assert_eq!(plan_after(Mode::Auto, Opening::Hls, &error), then, "{text}");
        }
    }
}
