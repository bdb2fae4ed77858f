//! Getting a playlist from where it is, as sources are asked for. Blocks; has a thread of its own.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::base::{Clock, Instant};
use crate::http::{CookieJar, RequestHeaders};
use crate::source::direct::{Client, Params, Part};
use crate::source::hls::{is_gzip, unpack};
use crate::source::{Kind, SourceError};

use super::relay::{Asker, Fetch};

/// The longest playlist: several hundred thousand entries.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// From the look-up of the name to the last byte.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
const PIECE_BYTES: usize = 256 * 1024;
/// A server that names a state of its playlist with more than this is asked for all of it each time.
const VALIDATOR_BYTES_MAX: usize = 512;

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
    is(url, "http://") || is(url, "https://")
}

fn is(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// What a server says of a state of the playlist, so that it need not send it again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Validators {
    /// Those of an answer that can be sent back.
    fn of(client: &Client) -> Self {
        let short =
            |value: Option<&str>| value.filter(|value| value.len() <= VALIDATOR_BYTES_MAX).map(str::to_owned);
        let (etag, last_modified) = client.validators();
        Self { etag: short(etag), last_modified: short(last_modified) }
    }

    /// Only what has changed is to be sent. True when that can be said.
    fn add_to(&self, headers: &mut RequestHeaders) -> bool {
        let fields = [("If-None-Match", &self.etag), ("If-Modified-Since", &self.last_modified)];
        let mut is_said = false;
        for (name, value) in fields {
            is_said |= value.as_ref().is_some_and(|value| headers.set(name, value).is_ok());
        }
        is_said
    }
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

/// The playlist at an address of http, https or file, or at a path, unless it is still the one of `known`; and what its servers have
/// set by then.
pub(super) fn fetch(
    url: &str,
    mut params: Params,
    clock: Clock,
    known: &Validators,
) -> (Result<Fetched, FetchError>, CookieJar) {
    if is_fetched(url) {
        let is_conditional = known.add_to(&mut params.headers);
        return match fetch_http(url, params, clock) {
            (Err(FetchError::Status(304)), cookies) if is_conditional => (Ok(Fetched::Unchanged), cookies),
            other => other,
        };
    }
    let bytes = if is(url, "file://") {
        read_file(&percent_decode_str(&url["file://".len()..]).collect::<Vec<_>>())
    } else {
        read_file(url.as_bytes())
    };
    let of_file = |bytes| Fetched::List { bytes, validators: Validators::default() };
    (bytes.and_then(unpacked).map(of_file), params.cookies)
}

/// Waits for as long as there is time.
struct Patience {
    clock: Clock,
    until: Instant,
}

impl Asker for Patience {
    fn is_wanted(&self) -> bool {
        self.clock.now() < self.until
    }

    /// The operator has named it.
    fn admits(&self, _address: IpAddr) -> Result<(), SourceError> {
        Ok(())
    }

    fn connected(&self, _socket: &Arc<TcpStream>) {}
}

fn fetch_http(url: &str, params: Params, clock: Clock) -> (Result<Fetched, FetchError>, CookieJar) {
    let patience = Patience { clock, until: clock.now() + TIMEOUT };
    let before = params.cookies.clone();
    let part = Part { may_be_packed: true, asks_for_packed: true, ..Part::default() };
    let client = match Client::new(url, params, clock.now()) {
        Ok(client) => client.with_part(part),
        Err(error) => return (Err(refused(&error)), before),
    };
    match Fetch::begin(client, clock, &patience) {
        Ok(mut fetch) => {
            let (cookies, validators) = (fetch.client().cookies().clone(), Validators::of(fetch.client()));
            let bytes = body(&mut fetch, &patience).and_then(unpacked);
            (bytes.map(|bytes| Fetched::List { bytes, validators }), cookies)
        }
        Err(failed) => (Err(refused(&failed.0)), failed.1.cookies().clone()),
    }
}

/// Everything, or that it is too much.
fn body(fetch: &mut Fetch<'_>, patience: &Patience) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = fetch.read(&mut piece).map_err(|error| refused(&error))?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&piece[..count]);
        if bytes.len() > BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        if !patience.is_wanted() {
            return Err(FetchError::Network(format!("it takes longer than {} s", TIMEOUT.as_secs())));
        }
    }
}

fn unpacked(bytes: Vec<u8>) -> Result<Vec<u8>, FetchError> {
    if !is_gzip(&bytes) {
        return Ok(bytes);
    }
    match unpack(&bytes, BYTES_MAX) {
        Some(bytes) if bytes.len() <= BYTES_MAX => Ok(bytes),
        Some(_) => Err(FetchError::TooLong),
        None => Err(FetchError::Network("what gzip has packed is damaged".to_owned())),
    }
}

fn refused(error: &SourceError) -> FetchError {
    match error.kind() {
        Kind::Status(status) => FetchError::Status(status),
        Kind::Unusable
        | Kind::OwnServer
        | Kind::UnsupportedMode
        | Kind::Unresolved
        | Kind::Connection
        | Kind::Tls
        | Kind::Protocol
        | Kind::Redirect
        | Kind::NotTransportStream(_)
        | Kind::Closed
        | Kind::Timeout
        | Kind::Inventory
        | Kind::NoEntryPoint
        | Kind::Scrambled
        | Kind::NoProgramme
        | Kind::Spawn => {
            let text = error.to_string();
            let words = text.strip_prefix("request upstream stream failed: ").unwrap_or(&text);
            FetchError::Network(words.to_owned())
        }
    }
}

fn read_file(path: &[u8]) -> Result<Vec<u8>, FetchError> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
    let failed = |error: std::io::Error| FetchError::File(error.to_string());
    // A pipe could be waited on for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(FetchError::File("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(BYTES_MAX + 1).unwrap_or(u64::MAX);
    match File::open(path).map_err(failed)?.take(most).read_to_end(&mut bytes) {
        Ok(count) if count <= BYTES_MAX => Ok(bytes),
        Ok(_) => Err(FetchError::TooLong),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::source::Trust;

    fn params() -> Params {
        Params {
            user_agent: "tv/1".to_owned(),
            via: None,
            headers: RequestHeaders::NONE,
            cookies: CookieJar::default(),
            connect_timeout: TIMEOUT,
            header_timeout: TIMEOUT,
            startup_timeout: TIMEOUT,
            tls: Trust::new(true, Vec::new()).unwrap().client(true),
        }
    }

    fn get(url: &str) -> Result<Vec<u8>, FetchError> {
        match get_unless(url, &Validators::default())? {
            Fetched::List { bytes, .. } => Ok(bytes),
            Fetched::Unchanged => panic!("nothing was known"),
        }
    }

    fn get_unless(url: &str, known: &Validators) -> Result<Fetched, FetchError> {
        fetch(url, params(), Clock::start(), known).0
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
    fn what_is_packed_without_a_word_about_it_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.m3u.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"#EXTM3U\n").unwrap();
        let packed = encoder.finish().unwrap();
        std::fs::write(&path, &packed).unwrap();
        assert_eq!(get(path.to_str().unwrap()).unwrap(), b"#EXTM3U\n");
        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        assert!(matches!(get(path.to_str().unwrap()), Err(FetchError::Network(_))));
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
