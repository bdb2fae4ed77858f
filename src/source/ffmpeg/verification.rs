//! What ffmpeg and ffprobe are told about the servers they connect to by TLS themselves. HTTPS is not among it: that is read through us.
//!
//! Before they verified by themselves (8) they passed what they were told on to some protocols and not to others.

use crate::source::error::{Kind, SourceError};
use crate::source::ffmpeg::capabilities::{Capabilities, Feature};

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

/// How a protocol learns whether to verify.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// By options.
    ByOptions,
    /// Not at all.
    Never,
}

/// Protocols over TLS that are not read through us.
const PROTOCOLS: &[(&str, Told)] = &[
    ("rtmps", Told::ByOptions),
    ("tls", Told::ByOptions),
    ("rtsps", Told::Never),
    ("rtmpts", Told::Never),
    ("hls+https", Told::Never),
];

fn told(url: &str) -> Option<&'static (&'static str, Told)> {
    let (word, _) = url.trim_start().split_once(':')?;
    PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))
}

/// True for an address whose server ffmpeg reaches by TLS.
#[must_use]
pub fn is_by_tls(url: &str) -> bool {
    told(url).is_some()
}

/// The options for an input at this address.
///
/// # Errors
/// When the installed build cannot verify its server.
pub fn options(
    url: &str,
    verification: &Verification,
    capabilities: &Capabilities,
) -> Result<Vec<String>, SourceError> {
    let Some((name, told)) = told(url) else { return Ok(Vec::new()) };
    let knows = capabilities.has(Feature::TlsVerify);
    let mut options = vec!["-tls_verify", if *verification == Verification::Off { "0" } else { "1" }];
    if let Verification::ByRoots(file) = verification {
        options.extend(["-ca_file", file]);
    }
    match (told, verification) {
        (Told::ByOptions, _) if knows => Ok(options.into_iter().map(str::to_owned).collect()),
        (Told::ByOptions | Told::Never, Verification::Off) => Ok(Vec::new()),
        // It takes no word about it and verifies all the same.
        (Told::Never, Verification::On | Verification::ByRoots(_))
            if capabilities.has(Feature::TlsVerifiesUntold) =>
        {
            Ok(Vec::new())
        }
        (Told::ByOptions | Told::Never, Verification::On | Verification::ByRoots(_)) => {
            let text = format!(
                "the installed ffmpeg cannot verify the certificates of {name} servers; UPSTREAM_TLS_VERIFY, or tls_verify of the source, turns that off"
            );
            Err(SourceError::new(Kind::Tls, &text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "tls AVOptions:\n  -tls_verify <int> (default 0)\n";
    const NEW: &str = "tls AVOptions:\n  -tls_verify <boolean> (default true)\n";

    fn told(url: &str, verification: &Verification, help: &str) -> Result<String, String> {
        let capabilities = Capabilities::parse("ffmpeg version n", help);
        options(url, verification, &capabilities)
            .map(|options| options.join(" "))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_verified_is_refused_and_says_so() {
        let by_roots = Verification::ByRoots("/r.pem".to_owned());
        let (on, off) = (Verification::On, Verification::Off);
        let verified = Ok("-tls_verify 1 -ca_file /r.pem");
        for (url, verification, help, expected) in [
            ("http://h/1.ts", &on, "", Ok("")),
            ("https://h/1.ts", &by_roots, OLD, Ok("")),
            ("udp://@239.0.0.1:1", &by_roots, OLD, Ok("")),
            ("rtmp://h/1", &on, "", Ok("")),
            ("rtsp://h/1", &on, "", Ok("")),
            ("/srv/rtsps:/1", &on, "", Ok("")),
            ("rtmps://h/1", &by_roots, OLD, verified),
            ("RTMPS://h/1", &by_roots, NEW, verified),
            ("tls://h:1", &by_roots, OLD, verified),
            ("rtmps://h/1", &on, NEW, Ok("-tls_verify 1")),
            ("rtmps://h/1", &off, OLD, Ok("-tls_verify 0")),
            ("rtmps://h/1", &off, "", Ok("")),
            ("rtmps://h/1", &on, "", Err("of rtmps servers; UPSTREAM_TLS_VERIFY, or tls_verify")),
            ("rtsps://h/1", &off, OLD, Ok("")),
            ("rtsps://h/1", &by_roots, NEW, Ok("")),
            ("rtsps://h/1", &by_roots, OLD, Err("of rtsps servers; UPSTREAM_TLS_VERIFY, or tls_verify")),
            (" rtmpts://h/1", &on, OLD, Err("of rtmpts servers; UPSTREAM_TLS_VERIFY, or tls_verify")),
        ] {
            match (told(url, verification, help), expected) {
                (Ok(line), Ok(expected)) => assert_eq!(line, expected, "{url}"),
                (Err(text), Err(expected)) => assert!(text.contains(expected), "{text}"),
                (told, expected) => panic!("{url}: {told:?}, not {expected:?}"),
            }
        }
    }
}
