//! What somebody does who wants a server to go down: many connections, many requests. Bounded in count and in time.

use crate::figures::rounded;
use crate::net::{self, Target};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An answer that takes longer is none.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Who asks as fast as it is answered does so over so many connections.
const ASKING: u64 = 32;
/// What is held is opened again when the server has closed it, so many times as often as it is held at most.
const OPENS_PER_HELD: u64 = 8;
const BODY_BYTES: usize = 1 << 20;
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Heads that never end: a byte a second on each connection.
    Slowloris,
    /// Connections on which nothing is ever said.
    Idle,
    /// Connections that are reset as soon as they are begun.
    Connects,
    /// Bodies of a mebibyte to a route that takes none.
    Bodies,
    /// Connections that are kept alive after a first request.
    KeepAlive,
    /// Requests for what is not there.
    NotFound,
    /// Requests for the lineup.
    Lineups,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    kind: Kind,
    /// The server; the path is not looked at.
    #[arg(long)]
    url: Target,
    /// Connections that are held at the same time, or requests, or connects.
    #[arg(long)]
    count: u64,
    /// It ends after so many seconds; what is held is held that long.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let started = Instant::now();
    let until = started + Duration::from_secs(args.seconds);
    let done = match args.kind {
        Kind::Slowloris | Kind::Idle | Kind::Bodies | Kind::KeepAlive => hold(args, until)?,
        Kind::Connects => connects(args, until)?,
        Kind::NotFound => ask(args, "/nothing/of/this/name", until)?,
        Kind::Lineups => ask(args, "/lineup.json", until)?,
    };
    let report = serde_json::json!({
        "label": "flood",
        "done": done,
        "seconds": rounded(started.elapsed().as_secs_f64()),
    });
    println!("{report}");
    Ok(())
}

/// A connection that is held.
struct Held {
    stream: TcpStream,
    /// Bytes of its body that are still to be sent.
    body_bytes: usize,
    is_begun: bool,
    /// It is connected, and has been counted.
    is_counted: bool,
}

/// Holds so many connections, and opens those again that the server has closed. Returns how many were connected.
fn hold(args: &Args, until: Instant) -> io::Result<u64> {
    let count = usize::try_from(args.count).map_err(io::Error::other)?;
    net::raise_descriptor_limit(count)?;
    let (begin, tick) = match args.kind {
        Kind::Slowloris => ("GET /lineup.json HTTP/1.1\r\nHost: localhost\r\nX-", Duration::from_secs(1)),
        Kind::Bodies => (
            "POST /lineup.post?scan=start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n",
            Duration::from_millis(20),
        ),
        Kind::KeepAlive => {
            ("GET /discover.json HTTP/1.1\r\nHost: localhost\r\n\r\n", Duration::from_millis(500))
        }
        Kind::Idle | Kind::Connects | Kind::NotFound | Kind::Lineups => ("", Duration::from_millis(500)),
    };
    let mut held: Vec<Option<Held>> = (0..count).map(|_| None).collect();
    let (mut opened, mut connected, mut scratch) = (0, 0, vec![0; 64 * 1024]);
    while Instant::now() < until {
        for place in &mut held {
            if let Some(one) = place.as_mut().filter(|one| !one.is_counted && one.stream.peer_addr().is_ok())
            {
                one.is_counted = true;
                connected += 1;
            }
            if place.as_mut().is_some_and(|one| !one.stays(args.kind, begin, &mut scratch)) {
                *place = None;
            }
            if place.is_none() && opened < args.count * OPENS_PER_HELD {
                let number = usize::try_from(opened).map_err(io::Error::other)?;
                let stream = net::connect_to(args.url.address, number)?;
                let body_bytes = if args.kind == Kind::Bodies { BODY_BYTES } else { 0 };
                *place = Some(Held { stream, body_bytes, is_begun: false, is_counted: false });
                opened += 1;
            }
        }
        std::thread::sleep(tick);
    }
    Ok(connected)
}

impl Held {
    /// Reads what there is, and writes what is due; false when it has been closed.
    fn stays(&mut self, kind: Kind, begin: &str, scratch: &mut [u8]) -> bool {
        if matches!(net::discard(&self.stream, scratch), Ok(Some(0)) | Err(_)) {
            return false;
        }
        let due = match kind {
            _ if !self.is_begun => begin.as_bytes(),
            Kind::Slowloris => b"a",
            Kind::Bodies => &PIECE[..self.body_bytes.min(PIECE.len())],
            Kind::Idle | Kind::Connects | Kind::KeepAlive | Kind::NotFound | Kind::Lineups => b"",
        };
        if due.is_empty() {
            self.is_begun = true;
            return true;
        }
        match self.stream.write(due) {
            Ok(bytes) if self.is_begun => self.body_bytes = self.body_bytes.saturating_sub(bytes),
            Ok(_) => self.is_begun = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        true
    }
}

/// Begins connections and resets them. Returns how many.
fn connects(args: &Args, until: Instant) -> io::Result<u64> {
    let mut done = 0;
    while done < args.count && Instant::now() < until {
        // With time left for the handshake: one that is reset before it never comes to the server.
        let mut begun = Vec::new();
        for number in 0..64_usize {
            begun.push(net::connect_to(args.url.address, number)?);
        }
        for stream in begun {
            net::reset(stream)?;
            done += 1;
        }
    }
    Ok(done)
}

/// Asks over some connections as fast as is answered. Returns how many answers have come.
fn ask(args: &Args, path: &str, until: Instant) -> io::Result<u64> {
    let (asked, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let one = || -> io::Result<()> {
        while Instant::now() < until {
            let stream = TcpStream::connect(args.url.address)?;
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            let mut reader = BufReader::new(stream);
            while Instant::now() < until {
                if asked.fetch_add(1, Ordering::Relaxed) >= args.count {
                    return Ok(());
                }
                if reader.get_mut().write_all(request.as_bytes()).is_err() || !is_answered(&mut reader) {
                    break;
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ASKING).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
    })?;
    Ok(answered.into_inner())
}

/// Reads one answer, whatever it says; false when there is none.
fn is_answered(reader: &mut BufReader<TcpStream>) -> bool {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return false;
        }
        if let Some(stated) = line.strip_prefix("Content-Length: ") {
            length = stated.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            return io::copy(&mut reader.take(length), &mut io::sink()).is_ok_and(|bytes| bytes == length);
        }
    }
}
