//! What ffmpeg and ffprobe are told about the servers they connect to.
//!
//! Before they verified by themselves they passed nothing of it on to what a playlist names: such a build verifies streams in one
//! piece alone, and reads HLS through us. DASH it does not read of servers that are to be verified.

use crate::source::error::{Kind, SourceError};
use crate::source::ffmpeg::capabilities::{Capabilities, Feature};
use crate::source::mode;
use crate::source::scheme::Scheme;

/// Whether servers have to show who they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Verification {
    /// They are believed.
    Off,
    /// As the program believes.
    #[default]
    On,
    /// An authority of this file has to vouch for them.
    ByRoots(String),
}

/// True when ffmpeg is to read through us what is at this address: this build cannot verify all that it would connect to.
/// `leads_to_https` is true of an address of HTTP that leads there.
#[must_use]
pub fn is_relayed(
    url: &str,
    is_playlist: bool,
    leads_to_https: bool,
    verification: &Verification,
    capabilities: &Capabilities,
) -> bool {
    let (url, verifies) = (url.trim(), capabilities.has(Feature::TlsVerify));
    let scheme = Scheme::of(url);
    let is_secure = scheme == Scheme::Https || (scheme == Scheme::Http && leads_to_https);
    let is_verified = is_secure && *verification != Verification::Off;
    let is_in_parts = is_playlist || mode::is_playlist(url);
    is_verified && !mode::is_dash(url) && if is_in_parts { !reads_playlists(capabilities) } else { !verifies }
}

/// True when what a playlist names is verified like the playlist.
fn reads_playlists(capabilities: &Capabilities) -> bool {
    capabilities.has(Feature::TlsVerifiesUntold)
}

/// The options for an input at this address that is not read through us.
///
/// # Errors
/// When the installed build cannot verify it.
pub fn options(
    url: &str,
    is_playlist: bool,
    verification: &Verification,
    capabilities: &Capabilities,
) -> Result<Vec<String>, SourceError> {
    let refused = |why: &str| {
        let text = format!(
            "the installed ffmpeg cannot verify the certificates of {why}; UPSTREAM_TLS_VERIFY, or tls_verify of the source, turns that off"
        );
        Err(SourceError::new(Kind::Tls, &text))
    };
    let mut list = Vec::new();
    if Scheme::of(url.trim()) != Scheme::Https {
        return Ok(list);
    }
    let mut option = |name: &str, value: &str| list.extend([name.to_owned(), value.to_owned()]);
    let roots = match verification {
        Verification::Off => {
            if capabilities.has(Feature::TlsVerify) {
                option("-tls_verify", "0");
            }
            return Ok(list);
        }
        Verification::On => None,
        Verification::ByRoots(file) => Some(file),
    };
    if !capabilities.has(Feature::TlsVerify) {
        return refused("servers");
    }
    let reads_playlists = reads_playlists(capabilities);
    if !reads_playlists && (is_playlist || mode::is_playlist(url)) {
        return refused("servers that a playlist names");
    }
    option("-tls_verify", "1");
    if let Some(file) = roots {
        option("-ca_file", file);
    }
    if !reads_playlists {
        option("-format_whitelist", DEMUXERS);
    }
    Ok(list)
}

/// Those that read nothing but the one stream they are given.
const DEMUXERS: &str = "aac,ac3,asf,avi,dts,eac3,flac,flv,h264,hevc,live_flv,loas,m4v,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,nut,ogg,wav";

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "tls AVOptions:\n  -tls_verify <int> (default 0)\n";
    const NEW: &str = "tls AVOptions:\n  -tls_verify <boolean> (default true)\n";

    fn told(url: &str, is_playlist: bool, verification: &Verification, help: &str) -> Result<String, String> {
        let capabilities = Capabilities::parse("ffmpeg version n", help);
        options(url, is_playlist, verification, &capabilities)
            .map(|options| options.join(" "))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_verified_is_refused_and_says_so() {
        let by_roots = Verification::ByRoots("/r.pem".to_owned());
        let (on, off) = (Verification::On, Verification::Off);
        for (url, is_playlist, verification, help, expected) in [
            ("http://h/1.ts", false, &on, "", Ok("")),
            ("udp://@239.0.0.1:1", false, &by_roots, OLD, Ok("")),
            ("https://h/1.ts", false, &off, OLD, Ok("-tls_verify 0")),
            ("https://h/1.m3u8", false, &off, OLD, Ok("-tls_verify 0")),
            ("https://h/1.ts", false, &off, "", Ok("")),
            ("HTTPS://h/1.ts", false, &by_roots, NEW, Ok("-tls_verify 1 -ca_file /r.pem")),
            ("https://h/1.m3u8", false, &by_roots, NEW, Ok("-tls_verify 1 -ca_file /r.pem")),
            ("https://h/1.ts", false, &on, NEW, Ok("-tls_verify 1")),
            ("https://h/1.ts", false, &on, "", Err("cannot verify the certificates of servers;")),
            ("https://h/1.m3u8", false, &on, OLD, Err("of servers that a playlist names;")),
            ("https://h/list", true, &by_roots, OLD, Err("of servers that a playlist names;")),
        ] {
            match (told(url, is_playlist, verification, help), expected) {
                (Ok(line), Ok(expected)) => assert_eq!(line, expected, "{url}"),
                (Err(text), Err(expected)) => assert!(text.contains(expected), "{text}"),
                (told, expected) => panic!("{url}: {told:?}, not {expected:?}"),
            }
        }
        let whole = told("https://h/1.ts", false, &by_roots, OLD).unwrap();
        assert!(whole.starts_with("-tls_verify 1 -ca_file /r.pem -format_whitelist aac,"), "{whole}");
        assert!(!DEMUXERS.split(',').any(|name| ["hls", "dash", "concat"].contains(&name)));
    }

    #[test]
    fn what_this_build_cannot_verify_is_read_through_us() {
        for (url, is_playlist, verification, help, expected) in [
            ("https://h/1.m3u8", false, Verification::On, OLD, true),
            ("https://h/1", true, Verification::ByRoots("/r.pem".to_owned()), OLD, true),
            ("https://h/1.ts", false, Verification::On, OLD, false),
            ("https://h/1.ts", false, Verification::On, "", true),
            ("https://h/1.m3u8", false, Verification::On, NEW, false),
            ("https://h/1.m3u8", false, Verification::Off, OLD, false),
            ("http://h/1.m3u8", true, Verification::On, OLD, false),
            ("https://h/1.mpd", false, Verification::On, OLD, false),
            ("rtmps://h/1", true, Verification::On, OLD, false),
        ] {
            let capabilities = Capabilities::parse("ffmpeg version n", help);
            let relayed = is_relayed(url, is_playlist, false, &verification, &capabilities);
            assert_eq!(relayed, expected, "{url} {help}");
        }
        let old = Capabilities::parse("ffmpeg version n", OLD);
        assert!(is_relayed("http://h/1", true, true, &Verification::On, &old), "it leads to https");
        assert!(!is_relayed("http://h/1", true, true, &Verification::Off, &old));
    }
}
