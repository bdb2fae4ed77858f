//! Getting a playlist from where it is. Blocks; has a thread of its own.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::base::limits::UPSTREAM_REDIRECTS_MAX;
use crate::base::{Clock, redact};
use crate::http::{CookieJar, Url};
use crate::source::Trust;

/// The longest playlist: several hundred thousand entries.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// From the look-up of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A server that names a state of its playlist with more than this is asked for all of it each time.
const VALIDATOR_BYTES_MAX: usize = 512;
/// Who asks, unless it is said otherwise.
const OWN_NAME: &str = concat!("tunerd/", env!("CARGO_PKG_VERSION"));

/// Why there is no playlist. The texts hold no credentials.
#[derive(thiserror::Error, Debug)]
pub(super) enum FetchError {
    #[error("the playlist's server answered with status {0}")]
    Status(u16),
    #[error("the playlist was not received: {0}")]
    Network(String),
    #[error("the playlist's file cannot be read: {0}")]
    File(String),
    #[error("the playlist is longer than {BYTES_MAX} bytes")]
    TooLong,
}

/// True for an address of somebody else's server.
pub(super) fn is_fetched(url: &str) -> bool {
    let is = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    is("http://") || is("https://")
}

/// What a server says of a state of the playlist, so that it need not send it again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
}

/// What has come of asking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// The playlist is the one that these validators came with.
    Unchanged,
    List {
        bytes: Vec<u8>,
        validators: Validators,
    },
}

/// The playlist at an address of http, https or file, or at a path, unless it is still the one of `known`.
pub(super) fn fetch(
    url: &str,
    user_agent: &str,
    trust: &Trust,
    known: &Validators,
) -> Result<Fetched, FetchError> {
    let of_file = |bytes| Fetched::List { bytes, validators: Validators::default() };
    let is = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if is_fetched(url) {
        fetch_http(url, user_agent, trust, known)
    } else if is("file://") {
        read_file(&percent_decode_str(&url["file://".len()..]).collect::<Vec<_>>()).map(of_file)
    } else {
        read_file(url.as_bytes()).map(of_file)
    }
}

fn fetch_http(url: &str, user_agent: &str, trust: &Trust, known: &Validators) -> Result<Fetched, FetchError> {
    let mut url = Url::parse(url).map_err(|error| FetchError::Network(error.to_string()))?;
    let user_agent = Some(user_agent.trim()).filter(|agent| !agent.is_empty()).unwrap_or(OWN_NAME);
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .user_agent(user_agent)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(tls(trust))
        .build()
        .new_agent();
    let clock = Clock::start();
    let deadline = clock.now() + TIMEOUT;
    let mut cookies = CookieJar::default();
    for _redirect in 0..=UPSTREAM_REDIRECTS_MAX {
        let left = deadline.since(clock.now());
        let address = format!("{}://{}{}", url.scheme().as_str(), url.authority(), url.target());
        let mut request = agent.get(address).config().timeout_global(Some(left)).build();
        if let Some(credentials) = url.basic_authorization() {
            request = request.header("Authorization", credentials);
        }
        if let Some(cookies) = cookies.header(&url) {
            request = request.header("Cookie", cookies);
        }
        for (name, value) in [("If-None-Match", &known.etag), ("If-Modified-Since", &known.last_modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response = request.call().map_err(|error| network(&error))?;
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        for field in response.headers().get_all("set-cookie") {
            cookies.set(&url, &text(field));
        }
        match (response.status().as_u16(), response.headers().get("location")) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                url = url.join(&text(location)).map_err(|error| FetchError::Network(error.to_string()))?;
            }
            (304, _) if *known != Validators::default() => return Ok(Fetched::Unchanged),
            (200..=299, _) => {
                let validators = Validators::of(response.headers());
                let bytes = read_all(response.into_body().into_reader(), |error| {
                    FetchError::Network(redact::text(&error.to_string()))
                })?;
                return Ok(Fetched::List { bytes, validators });
            }
            (status, _) => return Err(FetchError::Status(status)),
        }
    }
    Err(FetchError::Network(format!("stopped after {UPSTREAM_REDIRECTS_MAX} redirects")))
}

impl Validators {
    /// Those of an answer that can be sent back.
    fn of(headers: &ureq::http::HeaderMap) -> Self {
        let field = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            (value.len() <= VALIDATOR_BYTES_MAX).then(|| value.to_owned())
        };
        Self { etag: field("etag"), last_modified: field("last-modified") }
    }
}

fn tls(trust: &Trust) -> TlsConfig {
    let roots: Vec<_> = trust.roots().iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let roots = RootCerts::Specific(Arc::new(roots));
    TlsConfig::builder().root_certs(roots).disable_verification(!trust.verifies(None)).build()
}

fn network(error: &ureq::Error) -> FetchError {
    FetchError::Network(redact::text(&error.to_string()))
}

fn read_file(path: &[u8]) -> Result<Vec<u8>, FetchError> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
    let failed = |error: std::io::Error| FetchError::File(error.to_string());
    // A pipe could be waited on for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(FetchError::File("it is not a regular file".to_owned()));
    }
    read_all(File::open(path).map_err(failed)?, failed)
}

/// Everything, or that it is too much.
fn read_all(
    from: impl Read,
    failed: impl FnOnce(std::io::Error) -> FetchError,
) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    match from.take(BYTES_MAX + 1).read_to_end(&mut bytes) {
        Ok(count) if u64::try_from(count).is_ok_and(|count| count <= BYTES_MAX) => Ok(bytes),
        Ok(_) => Err(FetchError::TooLong),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    fn get(url: &str) -> Result<Vec<u8>, FetchError> {
        match get_unless(url, &Validators::default())? {
            Fetched::List { bytes, .. } => Ok(bytes),
            Fetched::Unchanged => panic!("nothing was known"),
        }
    }

    fn get_unless(url: &str, known: &Validators) -> Result<Fetched, FetchError> {
        fetch(url, "tv/1", &Trust::new(true, Vec::new()).unwrap(), known)
    }

    #[test]
    fn files_are_read_by_path_and_by_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b.m3u");
        std::fs::write(&path, "#EXTM3U\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(get(path).unwrap(), b"#EXTM3U\n");
        assert_eq!(get(&format!("file://{}", path.replace(' ', "%20"))).unwrap(), b"#EXTM3U\n");
        assert!(matches!(get(folder.path().to_str().unwrap()), Err(FetchError::File(_))));
        assert!(matches!(get("/no/such/file"), Err(FetchError::File(_))));
    }

    /// Serves one request after another and gives back their heads.
    fn serve(responses: &'static [&'static str]) -> (u16, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let serve = |response: &&str| {
                let (stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(&stream).lines();
                let head: Vec<_> =
                    std::iter::from_fn(|| lines.next()?.ok()).take_while(|l| !l.is_empty()).collect();
                (&stream).write_all(response.as_bytes()).unwrap();
                head.join("\n").to_lowercase()
            };
            responses.iter().map(serve).collect()
        });
        (port, server)
    }

    #[test]
    fn a_cookie_set_by_a_redirect_is_asked_for_by_its_target() {
        let (port, server) = serve(&[
            "HTTP/1.1 302 Found\r\nLocation: /list\r\nSet-Cookie: sid=1; Path=/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        ]);
        assert_eq!(get(&format!("http://127.0.0.1:{port}/login")).unwrap(), b"abc");
        let heads = server.join().unwrap();
        assert!(!heads[0].contains("cookie") && heads[1].contains("\ncookie: sid=1"), "{heads:?}");
        assert!(heads[1].starts_with("get /list http/1.1"), "{heads:?}");
    }

    #[test]
    fn a_server_is_asked_with_credentials_and_answers_with_the_text() {
        let (port, server) = serve(&["HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"]);
        assert_eq!(get(&format!("http://u:p%40ss@127.0.0.1:{port}/list?type=m3u")).unwrap(), b"abc");
        let head = &server.join().unwrap()[0];
        assert!(head.starts_with("get /list?type=m3u http/1.1"), "{head}");
        assert!(head.contains("authorization: basic dtpwqhnz"), "{head}");
        assert!(head.contains("user-agent: tv/1"), "{head}");
        assert!(head.contains("accept-encoding: gzip"), "{head}");
    }

    #[test]
    fn other_statuses_and_no_server_are_errors_without_credentials() {
        let (port, server) = serve(&["HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"]);
        let url = format!("http://user:secret@127.0.0.1:{port}/");
        assert!(matches!(get(&url), Err(FetchError::Status(403))));
        server.join().unwrap();
        let text = get(&url).unwrap_err().to_string();
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn what_a_server_has_sent_before_need_not_be_sent_again() {
        let (port, server) = serve(&[
            "HTTP/1.1 200 OK\r\nETag: W/\"7\"\r\nLast-Modified: Sun, 01 Mar 2026 20:15:00 GMT\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
        ]);
        let url = format!("http://127.0.0.1:{port}/list");
        let Ok(Fetched::List { validators, .. }) = get_unless(&url, &Validators::default()) else {
            panic!("it is sent")
        };
        assert_eq!(get_unless(&url, &validators).unwrap(), Fetched::Unchanged);
        assert!(matches!(get(&url), Err(FetchError::Status(304))), "nobody has asked for that");
        let heads = server.join().unwrap();
        assert!(!heads[0].contains("if-none-match"), "{heads:?}");
        let fields = ["\nif-none-match: w/\"7\"", "\nif-modified-since: sun, 01 mar 2026 20:15:00 gmt"];
        assert!(fields.iter().all(|field| heads[1].contains(field)), "{heads:?}");
    }
}
