//! What a source may turn out to be.

/// What a body looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// An MPEG transport stream.
    TransportStream,
    /// An HLS playlist.
    Hls,
    /// A list that names streams.
    List,
    /// Sound without a container.
    Sound(Sound),
    /// A DASH manifest.
    Dash,
    /// Media in another container.
    OtherContainer(&'static str),
    /// A web page.
    Html,
    /// JSON.
    Json,
    /// XML that is no DASH manifest.
    Xml,
    /// Other text.
    Text,
    /// Nothing at all.
    Empty,
    /// None of these.
    Unknown,
}

impl Body {
    /// The word for it in error texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TransportStream => "MPEG-TS",
            Self::Hls => "HLS playlist",
            Self::List => "playlist",
            Self::Sound(sound) => sound.name(),
            Self::Dash => "DASH manifest",
            Self::OtherContainer(name) => name,
            Self::Html => "HTML",
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Text => "text",
            Self::Empty => "empty",
            Self::Unknown => "unknown format",
        }
    }

    /// True when ffmpeg might find a programme in it.
    #[must_use]
    pub const fn may_be_media(self) -> bool {
        match self {
            Self::TransportStream
            | Self::Hls
            | Self::Sound(_)
            | Self::Dash
            | Self::OtherContainer(_)
            | Self::Unknown => true,
            Self::List | Self::Html | Self::Json | Self::Xml | Self::Text | Self::Empty => false,
        }
    }

    /// True when its first bytes tell an operator something.
    pub(super) const fn is_worth_quoting(self) -> bool {
        matches!(self, Self::Html | Self::Json | Self::Xml | Self::Text)
    }
}

/// Sound as radio stations send it: frames, one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sound {
    /// MPEG audio of any layer.
    Mp3,
    /// AAC in ADTS.
    Adts,
    /// AC-3 or E-AC-3.
    Ac3,
    /// Behind a tag that may hold a picture.
    Tagged,
}

impl Sound {
    /// The word for it in error texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mp3 => "MPEG audio",
            Self::Adts => "AAC",
            Self::Ac3 => "AC-3",
            Self::Tagged => "audio with ID3",
        }
    }

    /// ffmpeg's name for it, where that is certain.
    #[must_use]
    pub const fn demuxer(self) -> Option<&'static str> {
        match self {
            Self::Mp3 => Some("mp3"),
            Self::Adts => Some("aac"),
            Self::Ac3 | Self::Tagged => None,
        }
    }
}
