//! A provider on this host. The first segment of a path says how it behaves, the rest is a name of the test's choice:
//!
//! ```text
//! /good/{bitrate}/…      a live stream            /missing/…      404
//! /chunked/{bitrate}/…   the same in chunks       /page/…         a page with status 200
//! /blind/{bitrate}/…     one without key frames   /silent/…       a head and nothing more
//! /marked/{bitrate}/…    one that signals a discontinuity every second
//! /limited/…             429
//! /box/{bitrate}/…       403 for whoever is not [`BOX`], else a live stream
//! /cookie/{bitrate}/…    leads back to itself for whoever has not its cookie
//! /bare/{bitrate}/…      a stream without any head
//! /odd/{bitrate}/…       a head as no standard has it: HTTP/2, 200 fields, a length of -1
//! /gzip/…                a body that is compressed, it says
//! /account/{bitrate}/{refusal}/{late}/…   one connection at a time, its end noticed late by so many milliseconds; more of
//!                        them are answered with a status, with `empty` or with `close`
//! /redirect/{n}/…        n times on, then to /good/…
//! /raw/…                 the bytes given for the path, head and all
//! /whole/…               the bytes given for the path, at once and with the type given for them
//! /file/…                the bytes given for the path, as fast as their clock says, from the first request on; nothing
//!                        as long as it is hushed, and to its end when it is cut
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait::{LONG, Stopwatch};
use crate::tsgen::{Params, TsGen};

/// How often what the clock asks for is sent.
const PACE: Duration = Duration::from_millis(10);
/// How often a connection on which nothing happens is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Who may see what stands under `/box/`.
const BOX: [&str; 2] = ["\r\nUser-Agent: Box/7.1 (TV)\r\n", "\r\nReferer: http://portal.example/watch\r\n"];
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n";

/// How a live stream is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Plain,
    InChunks,
    Marked,
}

/// A recording and how fast it goes.
struct Recording {
    bytes: Vec<u8>,
    bytes_per_second: u64,
}

#[derive(Default)]
struct Shared {
    /// Request heads by path.
    requests: Mutex<BTreeMap<String, Vec<String>>>,
    recordings: Mutex<BTreeMap<String, Arc<Recording>>>,
    /// Paths of recordings of which nothing is sent.
    hushed: Mutex<BTreeSet<String>>,
    /// How often recordings were ended for whoever got them, by path.
    cuts: Mutex<BTreeMap<String, u32>>,
    /// Type and bytes by path.
    wholes: Mutex<BTreeMap<String, (&'static str, Vec<u8>)>>,
    /// Answers by path.
    raws: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
    account: Mutex<Account>,
    ends: AtomicBool,
}

/// What a provider counts of one account.
#[derive(Clone, Copy, Default)]
pub struct Account {
    held: u32,
    /// Streams that were sent at the same time, at most.
    pub streams_max: u32,
    streams: u32,
    pub refused: u32,
}

impl Account {
    /// Somebody connects, and is refused or not.
    fn connects(&mut self) -> bool {
        if self.held > 0 {
            self.refused += 1;
            return true;
        }
        self.held += 1;
        self.streams += 1;
        self.streams_max = self.streams_max.max(self.streams);
        false
    }
}

/// The provider, until it is dropped.
pub struct Upstream {
    port: u16,
    shared: Arc<Shared>,
}

impl Upstream {
    pub fn start() -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&of_thread);
                if shared.ends.load(Ordering::Relaxed) {
                    return;
                }
                // Ends with the connection; a client that goes away is no fault.
                std::thread::spawn(move || serve(stream.ok()?, &shared));
            }
        });
        Upstream { port, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Offers a recording under `path`.
    pub fn offer(&self, path: &str, bytes: Vec<u8>, length: Duration) {
        let bytes_per_second = bytes.len() as u64 * 1000 / u64::try_from(length.as_millis()).unwrap();
        let recording = Arc::new(Recording { bytes, bytes_per_second });
        self.shared.recordings.lock().unwrap().insert(path.to_owned(), recording);
    }

    /// Sends nothing of the recording under `path`, to whoever has asked and whoever asks.
    pub fn hush(&self, path: &str) {
        self.shared.hushed.lock().unwrap().insert(path.to_owned());
    }

    /// Ends the recording under `path` for whoever gets it.
    pub fn cut(&self, path: &str) {
        *self.shared.cuts.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    }

    /// Sends it again.
    pub fn speak(&self, path: &str) {
        self.shared.hushed.lock().unwrap().remove(path);
    }

    /// Offers bytes under `path`.
    pub fn offer_whole(&self, path: &str, kind: &'static str, bytes: Vec<u8>) {
        self.shared.wholes.lock().unwrap().insert(path.to_owned(), (kind, bytes));
    }

    /// Offers an answer under `path`, with these lines in its head; without any it has none.
    pub fn offer_raw(&self, path: &str, head: &str, body: &[u8]) {
        let end: &[u8] = if head.is_empty() { b"" } else { b"\r\n\r\n" };
        let answer = [head.as_bytes(), end, body].concat();
        self.shared.raws.lock().unwrap().insert(path.to_owned(), Arc::new(answer));
    }

    /// Path and head of all requests so far for what is below `folder`.
    pub fn requests_below(&self, folder: &str) -> Vec<(String, String)> {
        let requests = self.shared.requests.lock().unwrap();
        let below = requests.iter().filter(|(path, _)| path.starts_with(folder));
        below.flat_map(|(path, heads)| heads.iter().map(|head| (path.clone(), head.clone()))).collect()
    }

    /// The heads of all requests for `path` so far.
    pub fn requests(&self, path: &str) -> Vec<String> {
        self.shared.requests.lock().unwrap().get(path).cloned().unwrap_or_default()
    }

    /// What it has counted.
    pub fn account(&self) -> Account {
        *self.shared.account.lock().unwrap()
    }

    /// Requests of any kind so far.
    pub fn requests_total(&self) -> usize {
        self.shared.requests.lock().unwrap().values().map(Vec::len).sum()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // The listener's thread looks at the flag when somebody comes.
        let _refused = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let head = head(&mut stream)?;
    let path = head.split(' ').nth(1)?.to_owned();
    let request = head.clone();
    shared.requests.lock().unwrap().entry(path.clone()).or_default().push(head);
    let (kind, rest) = path.strip_prefix('/')?.split_once('/')?;
    let number = rest.split('/').next().and_then(|word| word.parse().ok());
    match kind {
        "good" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).ok()?;
            play(&stream, shared, TsGen::new(Params::new(number?)), Manner::Plain)
        }
        "marked" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).ok()?;
            play(&stream, shared, TsGen::new(Params::new(number?)), Manner::Marked)
        }
        "chunked" => {
            stream.write_all(format!("{OK}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).ok()?;
            play(&stream, shared, TsGen::new(Params::new(number?)), Manner::InChunks)
        }
        "blind" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).ok()?;
            let mut generator = TsGen::new(Params { idr_every: 100_000, ..Params::new(number?) });
            // The one key frame goes by before anybody sees it.
            generator.fill(Duration::from_secs(2), &mut Vec::new());
            play(&stream, shared, generator, Manner::Plain)
        }
        "silent" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).ok()?;
            hold(&mut stream, shared)
        }
        "redirect" => {
            let rest = rest.split_once('/').map_or("", |(_, rest)| rest);
            let next = match number? {
                1 => format!("/good/{rest}"),
                more => format!("/redirect/{}/{rest}", more - 1),
            };
            answer(&mut stream, "302 Found", &format!("Location: {next}\r\n"), "")
        }
        "page" => {
            answer(&mut stream, "200 OK", "Content-Type: text/html\r\n", "<html><body>Expired</body></html>")
        }
        "whole" => {
            let (kind, bytes) = shared.wholes.lock().unwrap().get(&path)?.clone();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", bytes.len());
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&bytes).ok()
        }
        "raw" => {
            let answer = Arc::clone(shared.raws.lock().unwrap().get(&path)?);
            stream.write_all(&answer).ok()
        }
        "file" => {
            let recording = Arc::clone(shared.recordings.lock().unwrap().get(&path)?);
            stream.write_all(format!("{OK}\r\n").as_bytes()).ok()?;
            replay(&stream, shared, &recording, &path)
        }
        "box" if !BOX.iter().all(|field| request.contains(field)) => {
            answer(&mut stream, "403 Forbidden", "", "not with this player")
        }
        "cookie" if !request.contains("\r\nCookie: seen=1\r\n") => answer(
            &mut stream,
            "302 Found",
            &format!("Location: {path}\r\nSet-Cookie: seen=1; HttpOnly\r\n"),
            "",
        ),
        "box" | "cookie" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).ok()?;
            play(&stream, shared, TsGen::new(Params::new(number?)), Manner::Plain)
        }
        "bare" => play(&stream, shared, TsGen::new(Params::new(number?)), Manner::Plain),
        "odd" => {
            let fields: String = (0..200).map(|number| format!("X-Field-{number}: {number}\r\n")).collect();
            stream
                .write_all(format!("HTTP/2 200 OK\r\n{fields}Content-Length: -1\r\n\r\n").as_bytes())
                .ok()?;
            play(&stream, shared, TsGen::new(Params::new(number?)), Manner::Plain)
        }
        "gzip" => answer(&mut stream, "200 OK", "Content-Encoding: gzip\r\n", "\u{1f}\u{8}"),
        "account" => {
            let mut words = rest.split('/').skip(1);
            let (refusal, late) = (words.next()?, words.next()?.parse().ok()?);
            let is_refused = shared.account.lock().unwrap().connects();
            if is_refused {
                return match refusal {
                    "close" => Some(()),
                    "empty" => answer(&mut stream, "200 OK", "Content-Type: video/mp2t\r\n", ""),
                    status => answer(&mut stream, &format!("{status} "), "", "max connections"),
                };
            }
            let generator = TsGen::new(Params::new(number?));
            let sent = stream.write_all(format!("{OK}\r\n").as_bytes()).ok();
            let sent = sent.and_then(|()| play(&stream, shared, generator, Manner::Plain));
            drop(stream);
            shared.account.lock().unwrap().streams -= 1;
            // The provider's own clock, not the test's.
            std::thread::park_timeout(Duration::from_millis(late));
            shared.account.lock().unwrap().held -= 1;
            sent
        }
        "limited" => answer(&mut stream, "429 Too Many Requests", "", "too many streams"),
        _ => answer(&mut stream, "404 Not Found", "", "not here"),
    }
}

fn head(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(LONG)).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(head).ok()
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).ok()
}

/// Sends a stream at its own pace until the client goes or the provider ends.
fn play(mut stream: &TcpStream, shared: &Shared, mut generator: TsGen, manner: Manner) -> Option<()> {
    let in_chunks = manner == Manner::InChunks;
    let watch = Stopwatch::start();
    let begin = generator.elapsed();
    let mut bytes = Vec::new();
    let mut marked_at = Duration::ZERO;
    while !shared.ends.load(Ordering::Relaxed) {
        generator.fill(begin + watch.elapsed(), &mut bytes);
        if manner == Manner::Marked && watch.elapsed() - marked_at >= Duration::from_secs(1) {
            marked_at = watch.elapsed();
            generator.signal_discontinuity();
        }
        // Chunks of a size that no packet fits.
        for piece in bytes.chunks(if in_chunks { 1000 } else { usize::MAX }) {
            if in_chunks {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).ok()?;
            }
            stream.write_all(piece).ok()?;
            if in_chunks {
                stream.write_all(b"\r\n").ok()?;
            }
        }
        bytes.clear();
        std::thread::park_timeout(PACE);
    }
    None
}

/// Sends a recording at its own pace, once. While it is hushed its time stands still.
fn replay(mut stream: &TcpStream, shared: &Shared, recording: &Recording, path: &str) -> Option<()> {
    let watch = Stopwatch::start();
    let mut hushed = Duration::ZERO;
    let mut sent = 0;
    let cuts = || shared.cuts.lock().unwrap().get(path).copied().unwrap_or(0);
    let cuts_before = cuts();
    while sent < recording.bytes.len() && cuts() == cuts_before && !shared.ends.load(Ordering::Relaxed) {
        let before = watch.elapsed();
        let played = before.saturating_sub(hushed);
        let due = u128::from(recording.bytes_per_second) * played.as_micros() / 1_000_000;
        let due = usize::try_from(due).unwrap().min(recording.bytes.len());
        stream.write_all(&recording.bytes[sent..due]).ok()?;
        sent = due;
        std::thread::park_timeout(PACE);
        if shared.hushed.lock().unwrap().contains(path) {
            hushed += watch.elapsed().saturating_sub(before);
        }
    }
    Some(())
}

/// Keeps a connection until the client goes or the provider ends.
fn hold(stream: &mut TcpStream, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(LOOK)).ok()?;
    while !shared.ends.load(Ordering::Relaxed) {
        if stream.read(&mut [0; 16]).is_ok_and(|count| count == 0) {
            return Some(());
        }
    }
    None
}
