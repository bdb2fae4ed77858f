//! Which addresses may be opened at all. They come from lists that strangers write, and ffmpeg opens whatever it is given: files of
//! this host, pieces of them, its own descriptors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::address::{AddressParts, split_host};
use crate::http::Url;
use crate::source::error::{Kind, SourceError};

/// What may stand in `SOURCE_SCHEMES`. Whatever wraps another address, reads descriptors or runs through several files is no scheme
/// of a source.
pub const SCHEMES: [&str; 15] = [
    "http", "https", "rtsp", "rtp", "udp", "rtmp", "srt", "hls", "tcp", "rist", "mmsh", "mmst", "ftp",
    "file", "test",
];
/// Schemes that are only another way to speak the one that is named.
const WAYS: [(&str, &str); 7] = [
    ("rtsps", "rtsp"),
    ("rtmps", "rtmp"),
    ("rtmpt", "rtmp"),
    ("rtmpts", "rtmp"),
    ("rtmpe", "rtmp"),
    ("rtmpte", "rtmp"),
    ("icy", "http"),
];
/// What `hls+` may stand in front of.
const OF_HLS: [&str; 2] = ["http", "https"];

/// Which sources may be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admission {
    schemes: Vec<&'static str>,
    has_private: bool,
}

/// What an address begins with.
enum AddressStart<'url> {
    /// A path of this host.
    Path,
    Scheme(&'url str),
}

impl Admission {
    /// Those of these schemes, and of hosts that only this network reaches if `has_private`. Words that are no scheme are left out.
    #[must_use]
    pub fn new<'word>(schemes: impl IntoIterator<Item = &'word str>, has_private: bool) -> Self {
        let known = |word: &str| SCHEMES.into_iter().find(|scheme| scheme.eq_ignore_ascii_case(word));
        Self { schemes: schemes.into_iter().filter_map(known).collect(), has_private }
    }

    /// Looks at an address before anything of it is opened.
    ///
    /// # Errors
    /// Why it is not to be opened.
    pub fn check(&self, url: &str) -> Result<(), SourceError> {
        let url = url.trim();
        let scheme = match start(url) {
            AddressStart::Path => return self.check_scheme("file", "a path of this host"),
            AddressStart::Scheme(scheme) => scheme.to_ascii_lowercase(),
        };
        let (scheme, of_hls) = match scheme.strip_prefix("hls+") {
            Some(inner) => (inner, true),
            None => (scheme.as_str(), false),
        };
        if of_hls {
            self.check_scheme("hls", "hls")?;
            if !OF_HLS.contains(&scheme) {
                return Err(refused(scheme, "hls+ is followed by http or https"));
            }
        }
        let of = WAYS.iter().find(|(way, _)| *way == scheme).map_or(scheme, |(_, of)| of);
        self.check_scheme(of, scheme)?;
        // What is wrapped in `hls:` is anything.
        if of == "hls" {
            return Err(refused(scheme, "write hls+http or hls+https"));
        }
        match host(url) {
            // Groups and ports of this host are where datagrams come in.
            Some(host) if !self.has_private && of != "udp" && of != "rtp" && is_private_name(host) => {
                Err(private(host))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Looks at where a source, or what leads on from it, is about to be asked for, and at the address which that host has.
    ///
    /// # Errors
    /// Why it is not to be connected to.
    pub fn check_connection(&self, url: &Url, address: IpAddr) -> Result<(), SourceError> {
        let scheme = url.scheme().as_str();
        self.check_scheme(scheme, scheme)?;
        if self.has_private || !is_private(address) { Ok(()) } else { Err(private(&address.to_string())) }
    }

    fn check_scheme(&self, scheme: &str, shown: &str) -> Result<(), SourceError> {
        if self.schemes.contains(&scheme) {
            return Ok(());
        }
        Err(refused(shown, &format!("allowed (SOURCE_SCHEMES): {}", self.schemes.join(" "))))
    }
}

/// True for an address that is opened on this host, by whatever name: never taken from a list that was fetched.
#[must_use]
pub fn is_of_this_host(url: &str) -> bool {
    match start(url.trim()) {
        AddressStart::Path => true,
        AddressStart::Scheme(scheme) => scheme.eq_ignore_ascii_case("file"),
    }
}

/// What ffmpeg may open on the way to such an address: lists and redirects lead it on. `None` where it opens nothing itself.
#[must_use]
pub fn protocols(url: &str) -> Option<&'static str> {
    let AddressStart::Scheme(scheme) = start(url.trim()) else { return Some("file,crypto,data") };
    let scheme = scheme.to_ascii_lowercase();
    Some(match scheme.as_str() {
        "http" | "https" | "hls+http" | "hls+https" => "http,https,hls,tls,tcp,udp,rtp,crypto,data,httpproxy",
        "rtsp" | "rtsps" => "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy",
        "rtp" => "rtp,udp",
        "udp" => "udp",
        "tcp" => "tcp",
        "srt" => "srt",
        "rist" => "rist",
        "mmsh" | "mmst" => "mmsh,mmst,http,tcp",
        "ftp" => "ftp,tcp",
        "file" => "file,crypto,data",
        rtmp if rtmp.starts_with("rtmp") => {
            "rtmp,rtmps,rtmpt,rtmpts,rtmpe,rtmpte,ffrtmphttp,ffrtmpcrypt,http,https,tcp,tls,httpproxy"
        }
        _ => return None,
    })
}

/// As ffmpeg reads it: a scheme is what its characters and a colon or comma make.
fn start(url: &str) -> AddressStart<'_> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let end = url.find(|c| !is_part(c)).unwrap_or(url.len());
    match url[end..].chars().next() {
        Some(':' | ',') if end > 0 => AddressStart::Scheme(&url[..end]),
        Some(_) | None => AddressStart::Path,
    }
}

/// The host of an address with `://`.
fn host(url: &str) -> Option<&str> {
    AddressParts::split(url).map(|parts| split_host(parts.place).0)
}

/// True for a name that leads to this network whoever looks it up. Numbers that are no plain address may be one in disguise.
fn is_private_name(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = name.split('%').next().unwrap_or("").parse::<IpAddr>() {
        return is_private(address);
    }
    let last = name.rsplit('.').next().unwrap_or("");
    let is_number = last.starts_with(|c: char| c.is_ascii_digit());
    name.is_empty()
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.ends_with(".local")
        || is_number
}

/// True for addresses that nobody outside reaches.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    // This network (RFC 1122), and what providers share among their customers (RFC 6598).
    let is_shared = first == 100 && (64..128).contains(&second);
    first == 0 || is_shared || address.is_private() || address.is_loopback() || address.is_link_local()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    // What translates to IPv4 leads to where that does (RFC 6052).
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        return is_private_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

fn refused(scheme: &str, allowed: &str) -> SourceError {
    SourceError::new(Kind::Unusable, &format!("a source cannot be {scheme}; {allowed}"))
}

fn private(host: &str) -> SourceError {
    SourceError::new(
        Kind::Unusable,
        &format!(
            "the source is at {host}, which only this network reaches; ALLOW_PRIVATE_SOURCES would allow it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: [&str; 8] = ["http", "https", "rtsp", "rtp", "udp", "rtmp", "srt", "hls"];

    /// What a hostile list may hold: whatever makes ffmpeg open something of this host.
    pub(crate) const HOSTILE: [&str; 44] = [
        "/etc/passwd",
        "etc/passwd",
        "./list.m3u",
        "../tunerd.db",
        "~/x.ts",
        "C:\\x.ts",
        "\\\\host\\share",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "file:etc/passwd",
        " file:///etc/passwd",
        "pipe:0",
        "pipe:",
        "fd:3",
        "fd:",
        "unix:/run/docker.sock",
        "concat:/etc/passwd|/etc/shadow",
        "concat:http://h/a|file:/etc/passwd",
        "concatf:/etc/list",
        "subfile,,start,0,end,0,,:/etc/passwd",
        "subfile:/etc/passwd",
        "crypto:/etc/passwd",
        "crypto+file:/etc/passwd",
        "crypto+http://h/x",
        "data:text/plain;base64,aGVsbG8=",
        "data:application/x-mpegurl,%23EXTM3U",
        "cache:file:/etc/passwd",
        "async:file:/etc/passwd",
        "hls+file:///etc/passwd",
        "hls+/etc/passwd",
        "hls:/etc/passwd",
        "hls+concat:/etc/passwd",
        "tee:/tmp/x",
        "md5:/tmp/x",
        "gopher://127.0.0.1:6379/_x",
        "sftp://h/x",
        "smb://h/x",
        "ftp://h/x",
        "ipfs://x",
        "tls://h:443",
        "httpproxy://h/x",
        "ffrtmphttp://h/x",
        "lavfi:testsrc",
        "test://pattern",
    ];

    #[test]
    fn nothing_of_a_hostile_list_is_opened_and_each_entry_gets_its_sentence() {
        let admission = Admission::new(DEFAULT, true);
        for url in HOSTILE {
            let refused = admission.check(url).expect_err(url);
            assert_eq!(refused.kind(), Kind::Unusable, "{url}");
            let text = refused.to_string();
            assert!(text.starts_with("a source cannot be ") && !text.contains("passwd"), "{url}: {text}");
        }
        assert_eq!(
            admission.check("file:///etc/passwd").unwrap_err().to_string(),
            "a source cannot be file; allowed (SOURCE_SCHEMES): http https rtsp rtp udp rtmp srt hls"
        );
    }

    #[test]
    fn what_sources_are_may_be_opened() {
        let admission = Admission::new(DEFAULT, true);
        for url in [
            "http://h/1.ts",
            " HTTPS://u:p@h:8080/live/u/p/1.ts?x=file:///etc/passwd#y",
            "udp://@239.0.0.1:1234",
            "rtp://10.0.0.1@232.0.0.1:1234",
            "rtsp://h/1",
            "rtsps://h/1",
            "rtmp://h/1",
            "rtmps://h/1",
            "rtmpts://h/1",
            "srt://h:1",
            "hls+http://h/x",
            "hls+https://h/x",
            "icy://h/x",
            "http://127.0.0.1/1.ts",
        ] {
            assert!(admission.check(url).is_ok(), "{url}");
        }
        let files = Admission::new(["file", "nonsense", "pipe"], true);
        assert!(files.check("/srv/x.ts").is_ok() && files.check("file:///srv/x.ts").is_ok());
        assert!(files.check("pipe:0").is_err() && files.check("http://h/").is_err());
    }

    #[test]
    fn hosts_that_only_this_network_reaches_are_left_alone_when_asked_for() {
        let admission = Admission::new(DEFAULT, false);
        for (host, is_private) in [
            ("127.0.0.1", true),
            ("127.1", true),
            ("2130706433", true),
            ("0x7f000001", true),
            ("0", true),
            ("[::1]", true),
            ("[::ffff:10.0.0.1]", true),
            ("[64:ff9b::10.0.0.1]", true),
            ("[fe80::1%25eth0]", true),
            ("[fd00::1]", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("192.168.0.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("localhost", true),
            ("LOCALHOST.", true),
            ("a.localhost", true),
            ("box.local", true),
            ("user:pass@127.0.0.1", true),
            ("8.8.8.8", false),
            ("[2001:4860:4860::8888]", false),
            ("172.32.0.1", false),
            ("100.128.0.1", false),
            ("tv.example", false),
            ("127.0.0.1.example", false),
            ("127.0.0.1@tv.example", false),
        ] {
            for url in [format!("http://{host}/x"), format!("rtsp://{host}"), format!("hls+http://{host}/x")]
            {
                assert_eq!(admission.check(&url).is_err(), is_private, "{url}");
            }
        }
        assert!(
            admission.check("udp://@239.0.0.1:1").is_ok() && admission.check("rtp://127.0.0.1:1").is_ok()
        );
        let only_http = Admission::new(["http"], true);
        let open = Admission::new(DEFAULT, true);
        for (admission, url, address, may) in [
            (&admission, "http://h/", "10.0.0.1", false),
            (&admission, "http://h/", "8.8.8.8", true),
            (&open, "http://h/", "10.0.0.1", true),
            (&open, "https://h/", "8.8.8.8", true),
            (&only_http, "http://h/", "10.0.0.1", true),
            (&only_http, "https://h/", "8.8.8.8", false),
        ] {
            let checked = admission.check_connection(&Url::parse(url).unwrap(), address.parse().unwrap());
            assert_eq!(checked.is_ok(), may, "{url} at {address}: {checked:?}");
        }
    }

    #[test]
    fn ffmpeg_may_open_what_belongs_to_the_address_and_no_file() {
        for url in [
            "http://h/x.mpd",
            "HTTPS://h/",
            "rtsp://h/",
            "rtmps://h/",
            "srt://h:1",
            "udp://@239.0.0.1:1",
            "tcp://h:1",
        ] {
            let protocols = protocols(url).unwrap();
            for word in ["file", "pipe", "concat", "subfile", "fd", "unix", "async", "cache"] {
                assert!(!protocols.split(',').any(|protocol| protocol == word), "{url}: {protocols}");
            }
        }
        assert_eq!(protocols("test://pattern"), None);
    }

    #[test]
    fn an_address_of_this_host_is_known_by_whatever_name() {
        for (url, expected) in [
            ("/x", true),
            ("x.ts", true),
            ("file:x", true),
            (" FILE:///x", true),
            ("http://h/", false),
            ("pipe:0", false),
        ] {
            assert_eq!(is_of_this_host(url), expected, "{url}");
        }
    }
}
