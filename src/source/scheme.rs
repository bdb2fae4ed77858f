//! The schemes of source addresses, as far as they change how a source is opened.

/// The scheme of a source's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `http:`
    Http,
    /// `https:`
    Https,
    /// `udp:`
    Udp,
    /// `rtp:`
    Rtp,
    /// `rtsp:` and `rtsps:`
    Rtsp,
    /// `rtmp:` and its relatives.
    Rtmp,
    /// `srt:`
    Srt,
    /// `tcp:`
    Tcp,
    /// `test:`, the built-in test pattern.
    Test,
    /// A path, or a scheme that needs no rule of its own.
    Other,
}

impl Scheme {
    /// The scheme of an address. An address without one is a path.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let Some((word, _)) = url.trim_start().split_once(':') else { return Self::Other };
        NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map_or(Self::Other, |&(_, scheme)| scheme)
    }

    /// True for `http` and `https`.
    #[must_use]
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// True for `udp` and `rtp`.
    #[must_use]
    pub const fn is_datagrams(self) -> bool {
        matches!(self, Self::Udp | Self::Rtp)
    }

    /// The scheme's name, for error texts.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|&&(_, scheme)| scheme == self).map_or("this address", |&(name, _)| name)
    }
}

const NAMES: &[(&str, Scheme)] = &[
    ("http", Scheme::Http),
    ("https", Scheme::Https),
    ("udp", Scheme::Udp),
    ("rtp", Scheme::Rtp),
    ("rtsp", Scheme::Rtsp),
    ("rtsps", Scheme::Rtsp),
    ("rtmp", Scheme::Rtmp),
    ("rtmps", Scheme::Rtmp),
    ("rtmpt", Scheme::Rtmp),
    ("rtmpts", Scheme::Rtmp),
    ("rtmpe", Scheme::Rtmp),
    ("rtmpte", Scheme::Rtmp),
    ("srt", Scheme::Srt),
    ("tcp", Scheme::Tcp),
    ("test", Scheme::Test),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_what_stands_before_the_first_colon() {
        for (url, expected) in [
            ("http://h/", Scheme::Http),
            (" HTTPS://h/", Scheme::Https),
            ("udp://@239.0.0.1:1234", Scheme::Udp),
            ("rtp://239.0.0.1:1234", Scheme::Rtp),
            ("rtsps://h/", Scheme::Rtsp),
            ("rtmp://h/", Scheme::Rtmp),
            ("srt://h:1", Scheme::Srt),
            ("tcp://h:1", Scheme::Tcp),
            ("test://pattern", Scheme::Test),
            ("file:///srv/x.ts", Scheme::Other),
            ("/srv/x.ts", Scheme::Other),
            ("pipe:0", Scheme::Other),
            ("", Scheme::Other),
        ] {
            assert_eq!(Scheme::of(url), expected, "{url}");
        }
    }
}
