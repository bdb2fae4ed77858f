//! Viewers of HLS: each asks for the list, fetches segment after segment, and throws them away.

use crate::figures::{gib, kernel, percentile, rounded};
use crate::net::{self, Target};
use crate::proc_stat;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use serde::Serialize;
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What one read takes at most.
const READ_BYTES_MAX: usize = 1 << 20;
const EVENTS_MAX: usize = 4096;
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Nap between two looks at the sockets.
const TICK: Duration = Duration::from_millis(1);
/// After an answer that is none.
const AGAIN: Duration = Duration::from_secs(1);
/// A player begins so many segments before the end of the list.
const SEGMENTS_BEFORE_END: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Lists, used in turn.
    #[arg(long, required = true, num_args = 1..)]
    url: Vec<Target>,
    #[arg(long)]
    count: usize,
    /// Viewers that begin per second.
    #[arg(long, default_value_t = 200)]
    ramp: u32,
    /// Seconds between the last viewer's beginning and the measured window.
    #[arg(long, default_value_t = 12)]
    warmup: u64,
    /// Length of the measured window.
    #[arg(long, default_value_t = 24)]
    seconds: u64,
    /// Bits per second each viewer ought to get.
    #[arg(long, default_value_t = 8_000_000)]
    bitrate: u64,
    /// The server's process, to be charged.
    #[arg(long)]
    pid: Option<u32>,
    /// The server's core, whose whole busy time is reported beside the server's own.
    #[arg(long)]
    core: Option<usize>,
    /// A connection for each request, instead of one that is kept as players do.
    #[arg(long)]
    close: bool,
    #[arg(long, default_value = "watchers")]
    label: String,
}

#[derive(Serialize)]
struct Report {
    label: String,
    kernel: String,
    viewers: usize,
    bitrate: u64,
    seconds: f64,
    bytes: u64,
    cpu_s: f64,
    cpu_s_per_gib: f64,
    core_busy_s_per_gib: f64,
    rate_min: f64,
    rate_median: f64,
    segments: u64,
    lists: u64,
    /// Segments that had left the list before they were fetched.
    missed: u64,
    /// Answers that were not 200, and connections that ended too early.
    failed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// For the list that names the session.
    Master,
    List,
    Segment(u64),
}

/// A request on its way.
struct Request {
    stream: TcpStream,
    asked: Asked,
    text: Option<String>,
    head: Vec<u8>,
    /// What is still to come of the body, once the head is there.
    left: Option<usize>,
    list: Vec<u8>,
}

struct Viewer {
    master: Target,
    list: Option<String>,
    /// The number of the segment that it wants next, once it has seen a list.
    next: Option<u64>,
    /// Segments that the last list had, and that are still to be fetched, the next one last.
    queue: Vec<String>,
    request: Option<Request>,
    /// It asks for each thing by a connection of its own,
    close: bool,
    /// or by this one again.
    kept: Option<TcpStream>,
    /// Nothing is asked for before this.
    due: Instant,
    bytes: u64,
    segments: u64,
    lists: u64,
    missed: u64,
    failed: u64,
}

/// What a list says in a line of this name.
fn tag(list: &str, name: &str) -> Option<u64> {
    list.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Its lines that are no tags.
fn references(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A reference as a list has it, beside the list.
fn beside(list: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let path = list.split('?').next().unwrap_or(list);
    let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
    format!("{folder}{reference}")
}

impl Viewer {
    fn path(&self) -> &str {
        self.list.as_deref().unwrap_or(&self.master.path)
    }

    fn begin(&mut self, epoll: &Epoll, index: usize, asked: Asked, path: String) -> io::Result<()> {
        let target = Target { address: self.master.address, path };
        let mut text = target.request();
        if self.close {
            text = text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        }
        let request = |stream| Request {
            stream,
            asked,
            text: Some(text),
            head: Vec::new(),
            left: None,
            list: Vec::new(),
        };
        if let Some(stream) = self.kept.take() {
            self.request = Some(request(stream));
            // No event will say that it can be written to.
            self.ready(Instant::now(), &mut []);
            return Ok(());
        }
        let stream = net::connect_to(target.address, index)?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        epoll.add(&stream, EpollEvent::new(flags, u64::try_from(index).expect("usize fits into u64")))?;
        self.request = Some(request(stream));
        Ok(())
    }

    /// Asks for what it wants now, if it waits for nothing.
    fn ask(&mut self, epoll: &Epoll, index: usize, now: Instant) -> io::Result<()> {
        if self.request.is_some() {
            return Ok(());
        }
        if let (Some(path), Some(number)) = (self.queue.pop(), self.next) {
            return self.begin(epoll, index, Asked::Segment(number), path);
        }
        if now < self.due {
            return Ok(());
        }
        let asked = if self.list.is_some() { Asked::List } else { Asked::Master };
        self.begin(epoll, index, asked, self.path().to_owned())
    }

    /// Reads what has come.
    fn ready(&mut self, now: Instant, scratch: &mut [u8]) {
        let Some(request) = &mut self.request else { return };
        let (is_over, bytes) = match request.take(scratch) {
            Ok((is_over, bytes)) => (is_over, bytes),
            Err(_) => {
                self.failed += 1;
                (self.request, self.due) = (None, now + AGAIN);
                return;
            }
        };
        self.bytes += bytes;
        if !is_over {
            return;
        }
        let Some(request) = self.request.take() else { return };
        if String::from_utf8_lossy(&request.head).to_ascii_lowercase().contains("connection: keep-alive") {
            self.kept = Some(request.stream);
        }
        match request.asked {
            Asked::Master => {
                let text = String::from_utf8_lossy(&request.list);
                match references(&text).next() {
                    Some(line) => (self.list, self.due) = (Some(beside(&self.master.path, line)), now),
                    None => (self.failed, self.due) = (self.failed + 1, now + AGAIN),
                }
            }
            Asked::List => {
                self.lists += 1;
                self.listed(now, &String::from_utf8_lossy(&request.list));
            }
            Asked::Segment(number) => {
                self.segments += 1;
                self.next = Some(number + 1);
            }
        }
    }

    /// As RFC 8216 has it: a list is asked for again a target duration later, or half of it when it has nothing new.
    fn listed(&mut self, now: Instant, list: &str) {
        let entries: Vec<&str> = references(list).collect();
        let first = tag(list, "#EXT-X-MEDIA-SEQUENCE:").unwrap_or(0);
        let target = Duration::from_secs(tag(list, "#EXT-X-TARGETDURATION:").unwrap_or(1).max(1));
        let begin = entries.len().saturating_sub(SEGMENTS_BEFORE_END);
        let wanted = self.next.unwrap_or(first + u64::try_from(begin).expect("usize fits into u64"));
        self.missed += first.saturating_sub(wanted);
        let wanted = wanted.max(first);
        self.next = Some(wanted);
        let known = usize::try_from(wanted - first).unwrap_or(usize::MAX).min(entries.len());
        self.queue = entries[known..].iter().rev().map(|entry| beside(self.path(), entry)).collect();
        self.due = now + if self.queue.is_empty() { target / 2 } else { target };
    }
}

impl Request {
    /// Whether all of the answer is there, and how many bytes of a segment have come.
    fn take(&mut self, scratch: &mut [u8]) -> io::Result<(bool, u64)> {
        if let Some(text) = &self.text {
            match self.stream.write(text.as_bytes()) {
                Ok(bytes) if bytes == text.len() => self.text = None,
                Ok(_) => return Err(io::Error::other("the socket takes not even a request")),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    return Ok((false, 0));
                }
                Err(error) => return Err(error),
            }
        }
        let mut of_segment = 0;
        while !scratch.is_empty() {
            let is_segment = matches!(self.asked, Asked::Segment(_));
            let read = match self.left {
                Some(0) => return Ok((true, of_segment)),
                Some(_) if is_segment => net::discard(&self.stream, scratch)?,
                Some(_) | None => net::read(&self.stream, scratch)?,
            };
            let Some(bytes) = read else { return Ok((false, of_segment)) };
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let body = match &mut self.left {
                Some(left) => {
                    *left =
                        left.checked_sub(bytes).ok_or_else(|| io::Error::other("more than its length"))?;
                    if !is_segment {
                        self.list.extend_from_slice(&scratch[..bytes]);
                    }
                    bytes
                }
                None => self.take_head(&scratch[..bytes])?,
            };
            if is_segment {
                of_segment += u64::try_from(body).expect("usize fits into u64");
            }
        }
        Ok((false, of_segment))
    }

    /// How many of these bytes are the body's.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if self.head.len() > HEAD_BYTES_MAX {
                Err(io::Error::other("no response head"))
            } else {
                Ok(0)
            };
        };
        let body = self.head.split_off(end + 4);
        let head = String::from_utf8_lossy(&self.head);
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(head.into_owned()));
        }
        let length: usize = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .ok_or_else(|| io::Error::other("an answer without length"))?;
        self.left =
            Some(length.checked_sub(body.len()).ok_or_else(|| io::Error::other("more than its length"))?);
        self.list = body;
        Ok(self.list.len())
    }
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    net::raise_descriptor_limit(args.count)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let started = Instant::now();
    let mut viewers: Vec<Viewer> = (0..args.count)
        .map(|number| Viewer {
            master: args.url[number % args.url.len()].clone(),
            list: None,
            next: None,
            queue: Vec::new(),
            request: None,
            close: args.close,
            kept: None,
            due: started + Duration::from_secs(1) * u32::try_from(number).expect("few") / args.ramp,
            bytes: 0,
            segments: 0,
            lists: 0,
            missed: 0,
            failed: 0,
        })
        .collect();
    let filled = started + Duration::from_secs(1) * u32::try_from(args.count).expect("few") / args.ramp;
    turn_until(&epoll, &mut viewers, filled + Duration::from_secs(args.warmup))?;
    let (begin, first) = (Instant::now(), proc_stat::sample(args.pid, args.core)?);
    let before: Vec<u64> = viewers.iter().map(|viewer| viewer.bytes).collect();
    turn_until(&epoll, &mut viewers, begin + Duration::from_secs(args.seconds))?;
    let last = proc_stat::sample(args.pid, args.core)?;
    let seconds = begin.elapsed().as_secs_f64();
    let taken: Vec<u64> = viewers.iter().zip(&before).map(|(viewer, before)| viewer.bytes - before).collect();
    let bytes: u64 = taken.iter().sum();
    let mut rates: Vec<f64> =
        taken.iter().map(|bytes| 8.0 * *bytes as f64 / seconds / args.bitrate as f64).collect();
    rates.sort_by(f64::total_cmp);
    let sum = |of: fn(&Viewer) -> u64| viewers.iter().map(of).sum();
    let report = Report {
        label: args.label.clone(),
        kernel: kernel(),
        viewers: args.count,
        bitrate: args.bitrate,
        seconds: rounded(seconds),
        bytes,
        cpu_s: rounded(last.cpu_s - first.cpu_s),
        cpu_s_per_gib: rounded((last.cpu_s - first.cpu_s) / gib(bytes)),
        core_busy_s_per_gib: rounded((last.core_busy_s - first.core_busy_s) / gib(bytes)),
        rate_min: rounded(rates.first().copied().unwrap_or(0.0)),
        rate_median: rounded(percentile(&rates, 50).unwrap_or(0.0)),
        segments: sum(|viewer| viewer.segments),
        lists: sum(|viewer| viewer.lists),
        missed: sum(|viewer| viewer.missed),
        failed: sum(|viewer| viewer.failed),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn turn_until(epoll: &Epoll, viewers: &mut [Viewer], until: Instant) -> io::Result<()> {
    let mut events = vec![EpollEvent::empty(); EVENTS_MAX];
    let mut scratch = vec![0; READ_BYTES_MAX];
    while Instant::now() < until {
        std::thread::sleep(TICK);
        let count = match epoll.wait(&mut events, EpollTimeout::ZERO) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let now = Instant::now();
        for event in &events[..count] {
            let index = usize::try_from(event.data()).expect("what was told to the kernel");
            viewers[index].ready(now, &mut scratch);
        }
        for (index, viewer) in viewers.iter_mut().enumerate() {
            viewer.ask(epoll, index, now)?;
        }
    }
    Ok(())
}
