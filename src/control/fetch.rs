//! Getting a playlist from where it is. Blocks; has a thread of its own.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use percent_encoding::percent_decode_str;

use crate::base::{Clock, Instant, redact};
use crate::catalog::xtream::{self, Account, Categories, Login, XtreamError};
use crate::http::{RequestHeaders, Url};
use crate::source::direct::{Client, Params, Part};
use crate::source::{Kind, SourceError};
use crate::store::UPLOADED;

use super::relay::{Fetch, Requester};

/// The longest playlist, as it is when it is not compressed. It lies in a file, not in memory.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// How long a server may take for its next bytes, the first included, and for all of them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const TIMEOUT: Duration = Duration::from_secs(1800);
/// How a file begins that is compressed, whatever it is called.
const GZIP: &[u8] = b"\x1F\x8B";
/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;
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
    #[error("the playlist cannot be kept while it is read: {0}")]
    Disk(String),
    #[error(transparent)]
    Account(#[from] XtreamError),
}

/// True for an address of somebody else's server.
pub(super) fn is_fetched(url: &str) -> bool {
    let is = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    is("http://") || is("https://")
}

/// True for what was written by somebody else, who has no business in the files of this host.
pub(super) fn is_foreign(url: &str) -> bool {
    is_fetched(url) || url.starts_with(UPLOADED)
}

/// What a server says of a state of the playlist, so that it need not send it again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
}

/// What has come of asking.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The playlist is the one that these validators came with.
    Unchanged,
    List {
        list: List,
        validators: Validators,
    },
}

/// A playlist from its beginning on. It lies in a file, since it may be larger than what memory there is.
pub(super) type List = BufReader<File>;

/// The playlist at an address of http, https or file, or at a path, unless it is still the one of `known`. `params` say how servers
/// are asked, and keep what these set.
pub(super) fn fetch(
    url: &str,
    params: &mut Params,
    clock: Clock,
    known: &Validators,
) -> Result<Fetched, FetchError> {
    let of_file = |list| Fetched::List { list, validators: Validators::default() };
    if let Some(login) = Login::parse(url) {
        return fetch_account(&login?, params, clock).map(of_file);
    }
    let is = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if is_fetched(url) {
        fetch_http(url, params, clock, known, IDLE_TIMEOUT)
    } else if is("file://") {
        read_file(&percent_decode_str(&url["file://".len()..]).collect::<Vec<_>>()).map(of_file)
    } else {
        read_file(url.as_bytes()).map(of_file)
    }
}

/// The playlist that was handed over.
pub(super) fn uploaded(bytes: &[u8]) -> Result<List, FetchError> {
    to_file(bytes, |error| FetchError::File(error.to_string()))
}

/// What a provider that is logged in to offers, as a list.
fn fetch_account(login: &Login, params: &mut Params, clock: Clock) -> Result<List, FetchError> {
    let mut ask = |action: &str| {
        let answer = fetch_http(&login.api(action), params, clock, &Validators::default(), IDLE_TIMEOUT)?;
        let Fetched::List { list, .. } = answer else {
            unreachable!("nothing was known that could be unchanged")
        };
        Ok::<_, FetchError>(list)
    };
    let account = Account::read(ask("")?)?;
    let categories = Categories::read(ask("get_live_categories")?)?;
    let streams = ask("get_live_streams")?;
    let of_disk = |error: io::Error| FetchError::Disk(error.to_string());
    let mut list = BufWriter::with_capacity(PIECE_BYTES, unnamed_file().map_err(of_disk)?);
    xtream::write_list(login, &account, &categories, streams, &mut list)?;
    let mut file = list.into_inner().map_err(|error| of_disk(error.into_error()))?;
    file.rewind().map_err(of_disk)?;
    Ok(BufReader::with_capacity(PIECE_BYTES, file))
}

/// Waits for as long as there is time.
struct Patience {
    clock: Clock,
    until: Instant,
    idle_timeout: Duration,
}

impl Requester for Patience {
    fn is_wanted(&self) -> bool {
        self.clock.now() < self.until
    }

    /// The operator has named it.
    fn admits(&self, _url: &Url, _address: IpAddr) -> Result<(), SourceError> {
        Ok(())
    }

    fn silence_max(&self) -> Duration {
        self.idle_timeout
    }

    fn connected(&self, _socket: &Arc<TcpStream>) {}
}

/// The body of an answer, as it comes.
struct FetchedBody<'fetch, 'patience> {
    fetch: Fetch<'fetch>,
    patience: &'patience Patience,
}

impl Read for FetchedBody<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.patience.is_wanted() {
            return Err(io::Error::other(format!("it takes longer than {} s", TIMEOUT.as_secs())));
        }
        self.fetch.read(into).map_err(|error| io::Error::other(words(&error)))
    }
}

fn fetch_http(
    url: &str,
    params: &mut Params,
    clock: Clock,
    known: &Validators,
    idle_timeout: Duration,
) -> Result<Fetched, FetchError> {
    let network = |error: io::Error| FetchError::Network(redact::text(&error.to_string()));
    match take_answer(url, params, clock, known, idle_timeout, |body| to_file(body, network))? {
        Taken::Unchanged => Ok(Fetched::Unchanged),
        Taken::Whole(list, validators) => Ok(Fetched::List { list: list?, validators }),
    }
}

/// What has become of an answer: unchanged, or what was made of its body.
pub(super) enum Taken<T> {
    Unchanged,
    Whole(T, Validators),
}

/// Asks an address of http or https, and hands the body of the answer over as it comes, unless it is still the one of `known`.
/// `params` say how servers are asked, and keep what these set.
pub(super) fn take_http<T>(
    url: &str,
    params: &mut Params,
    clock: Clock,
    known: &Validators,
    take: impl FnOnce(&mut dyn Read) -> T,
) -> Result<Taken<T>, FetchError> {
    take_answer(url, params, clock, known, IDLE_TIMEOUT, |mut body| take(&mut body))
}

fn take_answer<T>(
    url: &str,
    params: &mut Params,
    clock: Clock,
    known: &Validators,
    idle_timeout: Duration,
    take: impl FnOnce(FetchedBody<'_, '_>) -> T,
) -> Result<Taken<T>, FetchError> {
    let patience = Patience { clock, until: clock.now() + TIMEOUT, idle_timeout };
    let (connect_timeout, header_timeout) = (idle_timeout, idle_timeout);
    let mut asked = Params { connect_timeout, header_timeout, startup_timeout: TIMEOUT, ..params.clone() };
    let is_conditional = known.add_to(&mut asked.headers);
    let part = Part { may_be_packed: true, asks_for_packed: true, ..Part::default() };
    let client = Client::new(url, asked, clock.now()).map_err(|error| refused(&error))?.with_part(part);
    match Fetch::begin(client, clock, &patience) {
        Ok(fetch) => {
            params.cookies = fetch.client().cookies().clone();
            let validators = Validators::of(fetch.client());
            let taken = take(FetchedBody { fetch, patience: &patience });
            Ok(Taken::Whole(taken, validators))
        }
        Err(failed) => {
            let (error, client) = *failed;
            params.cookies = client.cookies().clone();
            let is_unchanged = is_conditional && error.kind() == Kind::Status(304);
            if is_unchanged { Ok(Taken::Unchanged) } else { Err(refused(&error)) }
        }
    }
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

fn words(error: &SourceError) -> String {
    let text = error.to_string();
    text.strip_prefix("request upstream stream failed: ").unwrap_or(&text).to_owned()
}

fn refused(error: &SourceError) -> FetchError {
    if let Kind::Status(status) = error.kind() {
        FetchError::Status(status)
    } else {
        FetchError::Network(words(error))
    }
}

fn read_file(path: &[u8]) -> Result<List, FetchError> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
    let failed = |error: io::Error| FetchError::File(error.to_string());
    // A pipe could be waited on for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(FetchError::File("it is not a regular file".to_owned()));
    }
    // A copy: whoever writes it may do so while it is read.
    to_file(File::open(path).map_err(failed)?, failed)
}

/// Copies everything into a file without a name, uncompressed, or says that it is too much.
fn to_file(from: impl Read, failed: impl Fn(io::Error) -> FetchError) -> Result<List, FetchError> {
    let mut from = BufReader::with_capacity(PIECE_BYTES, from);
    // The first piece may come in pieces.
    let mut start = Vec::new();
    from.by_ref().take(GZIP.len() as u64).read_to_end(&mut start).map_err(&failed)?;
    let is_compressed = start == GZIP;
    let whole = start.as_slice().chain(from);
    if is_compressed { copy(MultiGzDecoder::new(BufReader::new(whole)), failed) } else { copy(whole, failed) }
}

fn copy(from: impl Read, failed: impl Fn(io::Error) -> FetchError) -> Result<List, FetchError> {
    let of_disk = |error: io::Error| FetchError::Disk(error.to_string());
    let mut file = unnamed_file().map_err(of_disk)?;
    let mut from = from.take(BYTES_MAX + 1);
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        bytes += count as u64;
        if bytes > BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        file.write_all(&piece[..count]).map_err(of_disk)?;
    }
    file.rewind().map_err(of_disk)?;
    Ok(BufReader::with_capacity(PIECE_BYTES, file))
}

/// A file that is gone when it is closed.
pub(super) fn unnamed_file() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = std::env::temp_dir();
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(nix::fcntl::OFlag::O_TMPFILE.bits()).open(&folder) {
        Ok(file) => Ok(file),
        // Not every file system has such files.
        Err(_unsupported) => {
            let path = folder.join(format!("tunerd-{}.m3u", std::process::id()));
            let file = options.create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;

    use super::*;
    use crate::http::CookieJar;
    use crate::source::Trust;

    fn get(url: &str) -> Result<Vec<u8>, FetchError> {
        bytes_of(get_unless(url, &Validators::default())?)
    }

    fn bytes_of(fetched: Fetched) -> Result<Vec<u8>, FetchError> {
        let Fetched::List { mut list, .. } = fetched else { panic!("nothing was known") };
        let mut bytes = Vec::new();
        list.read_to_end(&mut bytes).unwrap();
        Ok(bytes)
    }

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

    fn get_unless(url: &str, known: &Validators) -> Result<Fetched, FetchError> {
        fetch(url, &mut params(), Clock::start(), known)
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
        assert!(matches!(get_unless(&url, &validators), Ok(Fetched::Unchanged)));
        assert!(matches!(get(&url), Err(FetchError::Status(304))), "nobody has asked for that");
        let heads = server.join().unwrap();
        assert!(!heads[0].contains("if-none-match"), "{heads:?}");
        let fields = ["\nif-none-match: w/\"7\"", "\nif-modified-since: sun, 01 mar 2026 20:15:00 gmt"];
        assert!(fields.iter().all(|field| heads[1].contains(field)), "{heads:?}");
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_is_known_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.m3u");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            get(path.to_str().unwrap())
        };
        let text = b"#EXTM3U\n".repeat(50_000);
        assert_eq!(read(&gzip(&text)).unwrap(), text);
        let mut unpacked = Vec::new();
        uploaded(&gzip(&text)).unwrap().read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
        let torn = uploaded(&gzip(&text)[..20]).unwrap_err().to_string();
        assert!(torn.starts_with("the playlist's file cannot be read: "), "{torn}");
        let two = [gzip(b"#EXTM3U\n"), gzip(b"#EXTINF:-1,One\n")].concat();
        assert_eq!(read(&two).unwrap(), b"#EXTM3U\n#EXTINF:-1,One\n");
        for plain in [&b""[..], b"\x1F", b"\x1Fx", b"#EXTM3U"] {
            assert_eq!(read(plain).unwrap(), plain);
        }
        let whole = gzip(&text);
        for broken in [&whole[..whole.len() / 2], &whole[..2], b"\x1F\x8Brubbish"] {
            assert!(matches!(read(broken), Err(FetchError::File(_))), "{} bytes", broken.len());
        }
    }

    /// Serves a head and then these pieces, one every so often, and keeps the connection.
    fn drip(pieces: &'static [&'static str], every: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for piece in pieces {
                if stream.write_all(piece.as_bytes()).is_err() {
                    return;
                }
                std::thread::park_timeout(every);
            }
            // Until the other side goes.
            let _gone = stream.read_to_end(&mut Vec::new());
        });
        url
    }

    #[test]
    fn a_server_may_be_slow_but_not_silent() {
        const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
        let idle = Duration::from_millis(400);
        let ask = |url: &str| fetch_http(url, &mut params(), Clock::start(), &Validators::default(), idle);
        let slow = drip(&[HEAD, "a", "b", "c", "d", "e", "f"], idle / 4);
        assert_eq!(
            bytes_of(ask(&slow).unwrap()).unwrap(),
            b"abcdef",
            "in one and a half times what it may be silent"
        );
        for silent in [&[][..], &[HEAD, "abc"]] {
            let url = drip(silent, Duration::ZERO);
            assert!(matches!(ask(&url), Err(FetchError::Network(_))), "{silent:?}");
        }
    }

    #[test]
    fn a_provider_is_logged_in_to_and_what_it_offers_becomes_a_list() {
        let (port, server) = serve(&[
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"user_info\":{\"auth\":\"1\",\"status\":\"Active\"}}",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"category_id\":\"1\",\"category_name\":\"News\"}]",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"name\":\"One\",\"stream_id\":7,\"category_id\":1}]",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"user_info\":{\"auth\":0}}",
        ]);
        let url = format!("xtream://name:se%20cret@127.0.0.1:{port}");
        let list = String::from_utf8(get(&url).unwrap()).unwrap();
        assert!(list.contains("group-title=\"News\",One\n"), "{list}");
        assert!(list.ends_with(&format!("http://127.0.0.1:{port}/live/name/se%20cret/7.ts\n")), "{list}");
        let refused = get(&url).unwrap_err();
        assert!(matches!(refused, FetchError::Account(XtreamError::Refused)), "{refused}");
        let heads = server.join().unwrap();
        let asked: Vec<_> = heads.iter().map(|head| head.split(' ').nth(1).unwrap()).collect();
        let login = "/player_api.php?username=name&password=se%20cret";
        let action = |action: &str| format!("{login}&action={action}");
        assert_eq!(asked, [login, &action("get_live_categories"), &action("get_live_streams"), login]);
        assert!(matches!(get("xtream://nobody"), Err(FetchError::Account(XtreamError::Address))));
    }
}
