//! One connection of a child: requests and answers, one after the other.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};

use crate::base::Clock;
use crate::base::limits::{HLS_LIST_BYTES_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_HEAD_TIMEOUT};
use crate::http::{Method, Parsed, Request, Url, parse};
use crate::source::direct::{Client, Part};
use crate::source::hls::{self, Start};
use crate::source::{Kind, SourceError, dash};

use super::fetch::{Fetch, LOOK, Requester, SILENCE_MAX, is_wait};
use super::origin::{Origin, Origins};

/// A body is copied in pieces of so many bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// A list that is read whole may be followed by this much more in one piece.
const LIST_ROOM_BYTES: usize = HLS_LIST_BYTES_MAX + PIECE_BYTES;
/// Between two requests on one connection.
const IDLE_MAX: Duration = Duration::from_secs(120);
const RANGE_BYTES_MAX: usize = 64;

/// Why a connection is not used any longer.
enum Over {
    Closed,
}

impl From<io::Error> for Over {
    fn from(_error: io::Error) -> Self {
        Self::Closed
    }
}

/// A child that waits for an answer.
struct Waiting<'child> {
    origin: &'child Origin,
    child: &'child TcpStream,
}

impl Requester for Waiting<'_> {
    fn is_wanted(&self) -> bool {
        !self.origin.is_over() && !has_hung_up(self.child)
    }

    fn admits(&self, url: &Url, address: IpAddr) -> Result<(), SourceError> {
        self.origin.admits(url, address)
    }

    fn silence_max(&self) -> Duration {
        SILENCE_MAX
    }

    fn connected(&self, socket: &Arc<TcpStream>) {
        self.origin.connected(socket);
    }
}

/// Serves a connection to its end.
pub(super) fn connection(clock: Clock, origins: &Origins, mut stream: TcpStream) {
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(LOOK)))
        .and_then(|()| stream.set_write_timeout(Some(LOOK)));
    if prepared.is_err() {
        return;
    }
    let mut known = None;
    while let Some(request) = next_request(clock, &mut stream, known.as_deref()) {
        match answer(clock, origins, &mut stream, &request) {
            Ok(Some(origin)) if request.keeps_alive() => known = Some(origin),
            Ok(_) | Err(Over::Closed) => return,
        }
    }
}

/// The next request; `None` when none comes, or what is none.
fn next_request(clock: Clock, stream: &mut TcpStream, known: Option<&Origin>) -> Option<Request> {
    let began = clock.now();
    let wait = if known.is_some() { IDLE_MAX } else { REQUEST_HEAD_TIMEOUT };
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match parse(&head).ok()? {
            // What follows a head is a body, or a request that did not wait for its answer: neither is a child's way.
            Parsed::Complete { request, head_bytes } => {
                return (head_bytes == head.len() && request.method() == Method::Get).then_some(request);
            }
            Parsed::NeedMore => {}
        }
        match stream.read(&mut piece) {
            Ok(0) => return None,
            Ok(count) => head.extend_from_slice(&piece[..count]),
            Err(error) if is_wait(&error) => {}
            Err(_) => return None,
        }
        let is_late = clock.now() - began >= wait || head.len() > REQUEST_HEAD_BYTES_MAX;
        if is_late || known.is_some_and(Origin::is_over) {
            return None;
        }
    }
}

/// Answers a request. The connection may be used again when it is told whose it is.
fn answer(
    clock: Clock,
    origins: &Origins,
    stream: &mut TcpStream,
    request: &Request,
) -> Result<Option<Arc<Origin>>, Over> {
    let path = request.raw_path().trim_start_matches('/');
    let (token, file) = path.split_once('/').unwrap_or((path, ""));
    let Some(origin) = origins.find(token) else {
        refuse(stream, 404, &|| true)?;
        return Ok(None);
    };
    let socket = stream.try_clone()?;
    let waiting = Waiting { origin: &origin, child: &socket };
    let is_wanted = || waiting.is_wanted();
    let file = request.query().map_or_else(|| file.to_owned(), |query| format!("{file}?{query}"));
    let Some(url) = origin.url_of(&file) else {
        // No list has named it, or none for a long time.
        refuse(stream, 404, &is_wanted)?;
        return Ok(Some(origin.clone()));
    };
    let range = request.header("range").filter(|range| range.len() <= RANGE_BYTES_MAX);
    let part = Part {
        origin: Some(origin.host().to_owned()),
        range: range.map(str::to_owned),
        may_be_packed: true,
        keeps: false,
        asks_for_packed: false,
    };
    let params = origin.params();
    let cookies = params.cookies.clone();
    let done = match Client::new(&url.text(), params, clock.now()) {
        Ok(client) => match Fetch::begin(client.with_part(part), clock, &waiting) {
            Ok(mut fetch) => {
                origin.keep_cookies(&cookies, fetch.client().cookies());
                pass_on(stream, &mut fetch, &origin, &is_wanted)
            }
            Err(refused) => {
                let (error, client) = *refused;
                origin.keep_cookies(&cookies, client.cookies());
                Err(error)
            }
        },
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => Ok(Some(origin.clone())),
        Err(error) => {
            if is_wanted() {
                origin.note_failure(&url, &error);
            }
            if let Kind::Status(status) = error.kind() {
                refuse(stream, status, &is_wanted)?;
                return Ok(Some(origin.clone()));
            }
            // No status would tell the reason; a half answer must not look whole.
            Err(Over::Closed)
        }
    }
}

/// The answer as it comes, or a list as the child is to read it.
fn pass_on(
    stream: &mut TcpStream,
    fetch: &mut Fetch<'_>,
    origin: &Origin,
    is_wanted: &dyn Fn() -> bool,
) -> Result<(), SourceError> {
    let gone = |_error: io::Error| SourceError::new(Kind::Closed, "nobody reads it any more");
    let mut bytes = vec![0; PIECE_BYTES];
    let mut count = 0;
    let mut is_end = false;
    while kind(&bytes[..count]) == Kinds::Undecided && !is_end {
        let more = fetch.read(&mut bytes[count..])?;
        is_end = more == 0;
        count += more;
    }
    let kind = kind(&bytes[..count]);
    if matches!(kind, Kinds::List | Kinds::Manifest) {
        bytes.truncate(count);
        let list = list(fetch, bytes, origin, kind)?;
        let head = head(200, fetch.client().content_type(), &[("Content-Length", &list.len().to_string())]);
        send(stream, head.as_bytes(), is_wanted).map_err(gone)?;
        return send(stream, &list, is_wanted).map_err(gone);
    }
    let client = fetch.client();
    let length = client.length().map(|length| length.to_string());
    let framing = match &length {
        Some(length) => ("Content-Length", length.as_str()),
        None => ("Transfer-Encoding", "chunked"),
    };
    let range = client.content_range().map(|range| ("Content-Range", range));
    let fields: Vec<_> = std::iter::once(framing).chain(range).collect();
    let head = head(client.status().unwrap_or(200), client.content_type(), &fields);
    send(stream, head.as_bytes(), is_wanted).map_err(gone)?;
    while count > 0 {
        if length.is_none() {
            send(stream, format!("{count:x}\r\n").as_bytes(), is_wanted).map_err(gone)?;
        }
        send(stream, &bytes[..count], is_wanted).map_err(gone)?;
        if length.is_none() {
            send(stream, b"\r\n", is_wanted).map_err(gone)?;
        }
        count = fetch.read(&mut bytes)?;
    }
    if length.is_none() {
        send(stream, b"0\r\n\r\n", is_wanted).map_err(gone)?;
    }
    Ok(())
}

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Undecided,
    /// A list of HLS.
    List,
    /// A manifest of DASH.
    Manifest,
    Other,
}

fn kind(bytes: &[u8]) -> Kinds {
    match (hls::start(bytes), dash::start(bytes)) {
        (Start::List, _) => Kinds::List,
        (_, Start::List) => Kinds::Manifest,
        (Start::Undecided, _) | (_, Start::Undecided) => Kinds::Undecided,
        (Start::Other, Start::Other) => Kinds::Other,
    }
}

/// A list that begins with these bytes, with addresses of the relay in it.
fn list(
    fetch: &mut Fetch<'_>,
    mut bytes: Vec<u8>,
    origin: &Origin,
    kind: Kinds,
) -> Result<Vec<u8>, SourceError> {
    let protocol = |text: &str| SourceError::new(Kind::Protocol, text);
    loop {
        let from = bytes.len();
        bytes.resize((from + PIECE_BYTES).min(LIST_ROOM_BYTES), 0);
        let count = fetch.read(&mut bytes[from..])?;
        bytes.truncate(from + count);
        if count == 0 {
            break;
        }
        if bytes.len() > HLS_LIST_BYTES_MAX {
            return Err(protocol("the list is too long"));
        }
    }
    let at: &Url = fetch.client().url();
    let manifest = |bytes: &[u8]| {
        origin
            .with_servers(|server| dash::rewritten(bytes, at, server))
            .ok_or_else(|| protocol("the DASH manifest names too many servers"))?
            .map_err(|error| protocol(&error.to_string()))
    };
    if kind == Kinds::Manifest {
        return manifest(&bytes);
    }
    let list = origin
        .renamed(|address| hls::rewritten(&bytes, at, address))
        .ok_or_else(|| protocol("the HLS playlist names too many segments"))?
        .map_err(|error| protocol(&error.to_string()))?;
    // What was packed may be a manifest.
    if dash::start(&list) == Start::List { manifest(&list) } else { Ok(list) }
}

fn head(status: u16, content_type: Option<&str>, fields: &[(&str, &str)]) -> String {
    let mut head = format!("HTTP/1.1 {status} -\r\n");
    for (name, value) in content_type.map(|kind| ("Content-Type", kind)).iter().chain(fields) {
        let plain: String = value.chars().filter(|character| !character.is_control()).collect();
        head.push_str(&format!("{name}: {plain}\r\n"));
    }
    head + "\r\n"
}

fn refuse(stream: &mut TcpStream, status: u16, is_wanted: &dyn Fn() -> bool) -> io::Result<()> {
    send(stream, head(status, None, &[("Content-Length", "0")]).as_bytes(), is_wanted)
}

/// Sends everything, however slowly it is taken, as long as it is wanted.
fn send(stream: &mut TcpStream, mut bytes: &[u8], is_wanted: &dyn Fn() -> bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_wait(&error) && is_wanted() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// True when the child has closed its end.
fn has_hung_up(stream: &TcpStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match recv(stream.as_raw_fd(), &mut [0], flags) {
        Ok(count) => count == 0,
        Err(errno) => errno != nix::errno::Errno::EAGAIN && errno != nix::errno::Errno::EINTR,
    }
}
