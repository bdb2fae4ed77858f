//! A provider of segments: what it answers is up to the test, and it keeps its connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait::{LONG, Stopwatch};

/// What is asked for.
pub struct Request<'head> {
    pub path: &'head str,
    pub head: &'head str,
    /// Since the provider has been asked for anything below the path's first part.
    pub passed: Duration,
}

impl Request<'_> {
    /// First byte and length of the part that is wanted.
    pub fn range(&self) -> Option<(usize, usize)> {
        let line = self.head.lines().find_map(|line| line.strip_prefix("Range: bytes="))?;
        let (from, to) = line.split_once('-')?;
        let from = from.parse().ok()?;
        Some((from, to.parse::<usize>().ok()? + 1 - from))
    }
}

/// What it answers.
pub struct Reply {
    pub status: u16,
    /// Whole lines.
    pub fields: String,
    pub body: Vec<u8>,
    /// The connection ends with the answer.
    pub closes: bool,
}

impl Reply {
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, fields: String::new(), body: body.into(), closes: false }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::new("") }
    }

    pub fn to(place: &str) -> Self {
        Self { fields: format!("Location: {place}\r\n"), ..Self::status(302) }
    }

    pub fn with(self, field: &str) -> Self {
        Self { fields: format!("{}{field}\r\n", self.fields), ..self }
    }
}

type Answer = dyn Fn(&Request<'_>) -> Reply + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    /// Each path's first part, and when it was first asked for.
    began: Mutex<Vec<(String, Stopwatch)>>,
    /// Path and range.
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    ends: AtomicBool,
}

/// The provider, until it is dropped.
pub struct Segments {
    port: u16,
    shared: Arc<Shared>,
}

impl Segments {
    /// Serves each connection as `dress` makes it.
    pub fn start_as<S: Read + Write>(
        answer: impl Fn(&Request<'_>) -> Reply + Send + Sync + 'static,
        dress: impl Fn(TcpStream) -> S + Send + Clone + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            began: Mutex::default(),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.ends.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, dress) = (Arc::clone(&of_thread), dress.clone());
                shared.connections.fetch_add(1, Ordering::Relaxed);
                // Ends with the connection; a client that goes away is no fault.
                std::thread::spawn(move || {
                    let stream = stream.ok()?;
                    stream.set_read_timeout(Some(LONG)).ok()?;
                    serve(dress(stream), &shared)
                });
            }
        });
        Self { port, shared }
    }

    pub fn start(answer: impl Fn(&Request<'_>) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_as(answer, |stream| stream)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Path and range of each request below a path.
    pub fn requests(&self, below: &str) -> Vec<String> {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|request| request.starts_with(below)).cloned().collect()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // The listener's thread looks at the flag when somebody comes.
        let _refused = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(mut stream: impl Read + Write, shared: &Shared) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let path = head.split(' ').nth(1)?;
        let began = {
            let first = path.split('/').nth(1)?.to_owned();
            let mut began = shared.began.lock().unwrap();
            match began.iter().find(|(known, _)| *known == first) {
                Some((_, began)) => *began,
                None => {
                    let now = Stopwatch::start();
                    began.push((first, now));
                    now
                }
            }
        };
        let request = Request { path, head: &head, passed: began.elapsed() };
        let range = request.range().map_or_else(String::new, |(from, length)| format!(" {from}+{length}"));
        shared.requests.lock().unwrap().push(format!("{path}{range}"));
        let Reply { status, fields, body, closes } = (shared.answer)(&request);
        let ending = if closes { "Connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 {status} x\r\n{fields}{ending}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
        stream.flush().ok()?;
        if closes {
            return Some(());
        }
    }
}
