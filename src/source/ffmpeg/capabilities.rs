//! What the installed ffmpeg knows, from what it prints about itself.

use std::collections::BTreeSet;

/// Something one ffmpeg can do and another cannot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Feature {
    /// `-readrate`, 5.0
    Readrate,
    /// `-readrate_initial_burst`, 6.1
    ReadrateInitialBurst,
    /// `-readrate_catchup`, 7.1
    ReadrateCatchup,
    /// `-reconnect` of HTTP
    Reconnect,
    /// `-reconnect_streamed`
    ReconnectStreamed,
    /// `-reconnect_at_eof`
    ReconnectAtEof,
    /// `-reconnect_on_network_error`, 4.4
    ReconnectOnNetworkError,
    /// `-reconnect_on_http_error`, 4.4
    ReconnectOnHttpError,
    /// `-reconnect_max_retries`, 6.1
    ReconnectMaxRetries,
    /// `-reconnect_delay_max`
    ReconnectDelayMax,
    /// `-rw_timeout` of every protocol
    RwTimeout,
    /// `-buffer_size` of UDP
    UdpBufferSize,
    /// `-buffer_size` of RTP
    RtpBufferSize,
    /// `-buffer_size` of RTSP
    RtspBufferSize,
    /// `-timeout` of RTSP as a limit for reads; before 5.0 that name meant to listen
    RtspTimeout,
    /// `-stimeout` of RTSP, the older name
    RtspStimeout,
    /// `prefer_tcp` of `-rtsp_flags`
    RtspPreferTcp,
    /// `resend_headers` of `-mpegts_flags`
    ResendHeaders,
    /// `pat_pmt_at_frames` of `-mpegts_flags`
    PatPmtAtFrames,
    /// The x264 encoder
    X264,
    /// `-tls_verify`, which looks at the server's name, too
    TlsVerify,
    /// TLS is verified unless it is told otherwise: for what lists name, too, which is told nothing
    TlsVerifiesUntold,
}

/// What one ffmpeg can do. The default is one that can do nothing: there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    version: String,
    features: BTreeSet<Feature>,
}

impl Capabilities {
    /// Reads what `ffmpeg -hide_banner -version` and `ffmpeg -hide_banner -h full` print. Text that is not of
    /// ffmpeg gives capabilities that lack everything.
    #[must_use]
    pub fn parse(version: &str, help: &str) -> Self {
        // Before it verified by itself it did not look at names with this library.
        let built_with_openssl = version.contains("--enable-openssl");
        let version = version.lines().find_map(|line| line.strip_prefix("ffmpeg version "));
        let verifies_names = |features: &BTreeSet<Feature>| {
            features.contains(&Feature::TlsVerifiesUntold) || !built_with_openssl
        };
        let word = version.and_then(|rest| rest.split_whitespace().next()).unwrap_or("unknown");
        let version = word.chars().filter(char::is_ascii_graphic).take(VERSION_CHARS_MAX).collect();
        let mut features = BTreeSet::new();
        let mut section = "";
        for line in help.lines() {
            if let Some(heading) = line.strip_suffix(':').filter(|_| !line.starts_with([' ', '-'])) {
                section = heading;
                continue;
            }
            let Some(name) = line.split_whitespace().next() else { continue };
            let found = TABLE
                .iter()
                .filter(|entry| entry.name == name && section_matches(section, entry.section))
                .filter(|entry| line.contains(entry.remark));
            features.extend(found.map(|entry| entry.feature));
        }
        if !verifies_names(&features) {
            features.remove(&Feature::TlsVerify);
        }
        Self { version, features }
    }

    /// The installed version, as ffmpeg words it; `unknown` when it did not say.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// True when the installed ffmpeg knows it.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Everything it knows, in a fixed order, for the log.
    #[cfg(test)]
    pub fn features(&self) -> impl Iterator<Item = Feature> {
        self.features.iter().copied()
    }

    /// The names of the options and encoders it does not know and that are therefore left out.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let is_option = |entry: &&Entry| entry.feature != Feature::TlsVerifiesUntold;
        TABLE.iter().filter(is_option).filter(|entry| !self.has(entry.feature)).map(|entry| entry.name)
    }
}

/// Older builds write `RTSP demuxer`, newer ones too, but the HTTP protocols are `http` and `https`.
fn section_matches(heading: &str, wanted: &str) -> bool {
    wanted.is_empty() && !heading.ends_with("AVOptions")
        || heading.strip_suffix(" AVOptions").is_some_and(|owner| owner == wanted)
}

/// How one feature shows in the help text.
struct Entry {
    feature: Feature,
    /// The owner before ` AVOptions:`, or empty for ffmpeg's own options.
    section: &'static str,
    name: &'static str,
    /// Words the line must hold besides.
    remark: &'static str,
}

const fn entry(feature: Feature, section: &'static str, name: &'static str) -> Entry {
    Entry { feature, section, name, remark: "" }
}

const TABLE: &[Entry] = &[
    entry(Feature::Readrate, "", "-readrate"),
    entry(Feature::ReadrateInitialBurst, "", "-readrate_initial_burst"),
    entry(Feature::ReadrateCatchup, "", "-readrate_catchup"),
    entry(Feature::Reconnect, "http", "-reconnect"),
    entry(Feature::ReconnectStreamed, "http", "-reconnect_streamed"),
    entry(Feature::ReconnectAtEof, "http", "-reconnect_at_eof"),
    entry(Feature::ReconnectOnNetworkError, "http", "-reconnect_on_network_error"),
    entry(Feature::ReconnectOnHttpError, "http", "-reconnect_on_http_error"),
    entry(Feature::ReconnectMaxRetries, "http", "-reconnect_max_retries"),
    entry(Feature::ReconnectDelayMax, "http", "-reconnect_delay_max"),
    entry(Feature::RwTimeout, "URLContext", "-rw_timeout"),
    entry(Feature::UdpBufferSize, "udp", "-buffer_size"),
    entry(Feature::RtpBufferSize, "RTP demuxer", "-buffer_size"),
    entry(Feature::RtspBufferSize, "RTSP demuxer", "-buffer_size"),
    Entry { feature: Feature::RtspTimeout, section: "RTSP demuxer", name: "-timeout", remark: "socket" },
    entry(Feature::RtspStimeout, "RTSP demuxer", "-stimeout"),
    entry(Feature::RtspPreferTcp, "RTSP demuxer", "prefer_tcp"),
    entry(Feature::ResendHeaders, "MPEGTS muxer", "resend_headers"),
    entry(Feature::PatPmtAtFrames, "MPEGTS muxer", "pat_pmt_at_frames"),
    entry(Feature::X264, "libx264", "-preset"),
    entry(Feature::TlsVerify, "tls", "-tls_verify"),
    Entry {
        feature: Feature::TlsVerifiesUntold,
        section: "tls",
        name: "-tls_verify",
        remark: "(default true)",
    },
];

/// Versions built from a repository are long; the log needs no more than this.
const VERSION_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Excerpts of what 5.1 prints.
    const HELP_5_1: &str = "\
Advanced per-file options:
-re                 read input at native frame rate; equivalent to -readrate 1
-readrate speed     read input at specified rate

AVFormatContext AVOptions:
  -probesize         <int64>      .D......... set probing size (from 32 to I64_MAX) (default 5000000)

URLContext AVOptions:
  -rw_timeout        <int64>      ED......... Timeout for IO operations (in microseconds)

http AVOptions:
  -user_agent        <string>     .D......... override User-Agent header (default \"Lavf/59.27.100\")
  -reconnect         <boolean>    .D......... auto reconnect after disconnect before EOF (default false)
  -reconnect_delay_max <int>        .D......... max reconnect delay in seconds

icecast AVOptions:
  -user_agent        <string>     E.......... override User-Agent header

udp AVOptions:
  -buffer_size       <int>        ED......... System data size (in bytes) (from -1 to INT_MAX) (default -1)

MPEGTS muxer AVOptions:
  -mpegts_flags      <flags>      E.......... MPEG-TS muxing flags (default 0)
     resend_headers               E.......... Reemit PAT/PMT before writing the next packet
     pat_pmt_at_frames              E.......... Reemit PAT and PMT at each video frame

RTSP demuxer AVOptions:
  -rtsp_flags        <flags>      .D......... set RTSP flags (default 0)
     prefer_tcp                   ED......... try RTP via TCP first, if available
  -timeout           <int64>      .D......... set timeout (in microseconds) of socket I/O operations
  -buffer_size       <int>        ED......... Underlying protocol send/receive buffer size
";

    #[test]
    fn features_are_read_from_the_help_text() {
        let capabilities = Capabilities::parse(
            "ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers\nbuilt with gcc",
            HELP_5_1,
        );
        assert_eq!(capabilities.version(), "5.1.9-0+deb12u1");
        let found: Vec<Feature> = capabilities.features().collect();
        assert_eq!(
            found,
            [
                Feature::Readrate,
                Feature::Reconnect,
                Feature::ReconnectDelayMax,
                Feature::RwTimeout,
                Feature::UdpBufferSize,
                Feature::RtspBufferSize,
                Feature::RtspTimeout,
                Feature::RtspPreferTcp,
                Feature::ResendHeaders,
                Feature::PatPmtAtFrames,
            ]
        );
        assert!(!capabilities.has(Feature::ReadrateInitialBurst));
    }

    #[test]
    fn an_option_counts_only_in_the_section_of_its_owner() {
        for (help, feature, expected) in [
            ("icecast AVOptions:\n  -reconnect <boolean>\n", Feature::Reconnect, false),
            ("http AVOptions:\n  -reconnect <boolean>\n", Feature::Reconnect, true),
            ("http AVOptions:\n  -reconnect_streamed <boolean>\n", Feature::Reconnect, false),
            (
                "RTSP demuxer AVOptions:\n  -timeout <int> set maximum timeout (in seconds) to wait for incoming connections\n",
                Feature::RtspTimeout,
                false,
            ),
            (
                "RTSP demuxer AVOptions:\n  -stimeout <int64> set timeout of socket\n",
                Feature::RtspStimeout,
                true,
            ),
            ("dash demuxer AVOptions:\n  -readrate x\n", Feature::Readrate, false),
            ("Advanced per-file options:\n-readrate_catchup speed  x\n", Feature::ReadrateCatchup, true),
            ("libx264 AVOptions:\n  -preset <string>\n", Feature::X264, true),
            (
                "tls AVOptions:\n  -tls_verify <int> ED Verify (from 0 to 1) (default 0)\n",
                Feature::TlsVerify,
                true,
            ),
            (
                "tls AVOptions:\n  -tls_verify <int> ED Verify (from 0 to 1) (default 0)\n",
                Feature::TlsVerifiesUntold,
                false,
            ),
            (
                "tls AVOptions:\n  -tls_verify <boolean> ED Verify (default true)\n",
                Feature::TlsVerifiesUntold,
                true,
            ),
        ] {
            assert_eq!(Capabilities::parse("", help).has(feature), expected, "{help}");
        }
    }

    #[test]
    fn a_build_that_does_not_look_at_names_does_not_verify() {
        let (old, new) = (
            "tls AVOptions:\n  -tls_verify <int> (default 0)\n",
            "tls AVOptions:\n  -tls_verify <boolean> (default true)\n",
        );
        for (library, help, expected) in [
            ("--enable-gnutls", old, true),
            ("--enable-openssl", old, false),
            ("--enable-openssl", new, true),
            ("--enable-gnutls", "", false),
        ] {
            let version = format!("ffmpeg version 6\nconfiguration: --enable-gpl {library}\n");
            assert_eq!(
                Capabilities::parse(&version, help).has(Feature::TlsVerify),
                expected,
                "{library} {help}"
            );
        }
    }

    #[test]
    fn text_that_is_not_of_ffmpeg_gives_nothing() {
        for (version, help) in [("", ""), ("sh: not found", "\u{0}:\n::\n - x"), ("ffmpeg version ", ":")] {
            let capabilities = Capabilities::parse(version, help);
            assert_eq!((capabilities.version(), capabilities.features().count()), ("unknown", 0));
        }
    }
}
