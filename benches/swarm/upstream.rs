//! A provider that never falters: each channel at an exact constant bitrate, to any number of clients.

use crate::net;
use crate::tsgen::{Params, TsGen};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How often what the clock asks for is sent.
const PACE: Duration = Duration::from_millis(10);
/// A client that is so many bytes behind is cut off.
const BACKLOG_BYTES_MAX: usize = 16 << 20;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 256;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    listen: SocketAddrV4,
    #[arg(long, default_value_t = 1)]
    channels: u8,
    #[arg(long, default_value_t = 8_000_000)]
    bitrate: u64,
    /// The upstream ends after this.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

struct Client {
    socket: TcpStream,
    head: Vec<u8>,
    /// The channel that it watches, once it has asked.
    channel: Option<u8>,
    pending: Vec<u8>,
    /// Close when all is sent.
    last_words: bool,
}

/// A channel runs from its first client to its last.
struct Channel {
    generator: TsGen,
    started: Instant,
}

struct Upstream<'args> {
    args: &'args Args,
    epoll: Epoll,
    listener: TcpListener,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    channels: BTreeMap<u8, Channel>,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let listener = net::listen_at(args.listen)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut upstream = Upstream {
        args,
        epoll,
        listener,
        clients: BTreeMap::new(),
        next_client: 0,
        channels: BTreeMap::new(),
    };
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let mut next_pace = Instant::now();
    while Instant::now() < end {
        upstream.serve_until(next_pace)?;
        upstream.pace(Instant::now());
        next_pace = (next_pace + PACE).max(Instant::now());
    }
    Ok(())
}

impl Upstream<'_> {
    fn serve_until(&mut self, until: Instant) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = EpollTimeout::try_from(left).map_err(io::Error::other)?;
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            for event in &events[..count] {
                if event.data() == LISTENER {
                    self.accept()?;
                } else {
                    self.readable(event.data());
                }
            }
            if Instant::now() >= until {
                return Ok(());
            }
            // A timeout below a millisecond counts as none: without this the rest of it would be spun away.
            if count == 0 && left < Duration::from_millis(1) {
                std::thread::sleep(left);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true)?;
            let key = self.next_client;
            self.next_client += 1;
            self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
            let client =
                Client { socket, head: Vec::new(), channel: None, pending: Vec::new(), last_words: false };
            self.clients.insert(key, client);
        }
        Ok(())
    }

    /// A request, or the end of a client.
    fn readable(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let mut scratch = [0; 4096];
        match net::read(&client.socket, &mut scratch) {
            Ok(None) => return,
            Ok(Some(bytes))
                if bytes > 0 && client.channel.is_none() && client.head.len() < HEAD_BYTES_MAX =>
            {
                client.head.extend_from_slice(&scratch[..bytes]);
            }
            Ok(Some(_)) | Err(_) => {
                self.clients.remove(&key);
                return;
            }
        }
        if client.head.windows(4).any(|window| window == b"\r\n\r\n") {
            let answer = answer(self.args, &String::from_utf8_lossy(&client.head));
            client.channel = answer.channel;
            client.last_words = answer.channel.is_none();
            client.pending = answer.text.into_bytes();
            self.flush(key);
        }
    }

    /// Makes what the clock asks for and hands it to everybody.
    fn pace(&mut self, now: Instant) {
        let mut fresh: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        let keys: Vec<(u64, Option<u8>)> =
            self.clients.iter().map(|(key, client)| (*key, client.channel)).collect();
        for number in keys.iter().filter_map(|(_, channel)| *channel) {
            let channel = self.channels.entry(number).or_insert_with(|| Channel {
                generator: TsGen::new(Params { stream: number, ..Params::new(self.args.bitrate) }),
                started: now,
            });
            // A second client of the same channel finds the clock where the first has left it.
            channel.generator.fill(now - channel.started, fresh.entry(number).or_default());
        }
        self.channels.retain(|number, _| fresh.contains_key(number));
        for (key, channel) in keys {
            let Some(bytes) = channel.and_then(|number| fresh.get(&number)) else { continue };
            if let Some(client) = self.clients.get_mut(&key) {
                client.pending.extend_from_slice(bytes);
            }
            self.flush(key);
        }
    }

    fn flush(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        while !client.pending.is_empty() {
            match client.socket.write(&client.pending) {
                Ok(bytes) => drop(client.pending.drain(..bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.clients.remove(&key);
                    return;
                }
            }
        }
        let too_far_behind = client.pending.len() > BACKLOG_BYTES_MAX;
        if too_far_behind {
            eprintln!("upstream: a client is {} bytes behind and is cut off", client.pending.len());
        }
        if too_far_behind || (client.last_words && client.pending.is_empty()) {
            self.clients.remove(&key);
        }
    }
}

struct Answer {
    channel: Option<u8>,
    text: String,
}

fn answer(args: &Args, head: &str) -> Answer {
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = path.split('?').next().unwrap_or("");
    let channel = path.strip_prefix("/ch/").and_then(|number| number.parse().ok());
    if let Some(channel) = channel.filter(|number| *number < args.channels) {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n".to_owned();
        return Answer { channel: (method == "GET").then_some(channel), text };
    }
    let (status, kind, body) = match path {
        "/playlist.m3u" => ("200 OK", "audio/x-mpegurl", playlist(args)),
        _ => ("404 Not Found", "text/plain", String::new()),
    };
    let body_sent = if method == "HEAD" { "" } else { &body };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body_sent}"
    );
    Answer { channel: None, text }
}

fn playlist(args: &Args) -> String {
    let mut text = String::from("#EXTM3U\n");
    for number in 0..args.channels {
        writeln!(
            text,
            "#EXTINF:-1 tvg-id=\"bench.{number:03}\" group-title=\"Bench\",Bench {number:03}\nhttp://{}/ch/{number}",
            args.listen
        )
        .expect("a string takes any text");
    }
    text
}
