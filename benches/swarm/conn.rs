//! One viewer's connection.

use crate::net;
use crate::tscheck::Checker;
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// More than this is no response head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes everything at once and throws it away.
    Plain,
    /// Takes everything and checks it.
    Checking,
    /// Takes a trickle.
    Slow,
    /// Like `Plain` until it is told to stop reading.
    Stopping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Head,
    Body,
    Ended,
}

/// Body bytes up to an arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) bytes: u64,
}

pub(crate) struct Conn {
    stream: Option<TcpStream>,
    pub(crate) role: Role,
    phase: Phase,
    request: Vec<u8>,
    head: Vec<u8>,
    opened: Instant,
    pub(crate) status: Option<u16>,
    pub(crate) first_byte: Option<Duration>,
    /// When the server ended it; not when we closed it.
    pub(crate) ended: Option<Instant>,
    pub(crate) checker: Option<Box<Checker>>,
    pub(crate) bytes: u64,
    pub(crate) last: Option<Arrival>,
    /// First arrival of the measured window.
    pub(crate) mark: Option<Arrival>,
    pub(crate) bytes_before_window: u64,
    pub(crate) longest_gap: Duration,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream, role: Role, request: String, opened: Instant) -> Self {
        Conn {
            stream: Some(stream),
            role,
            phase: Phase::Connecting,
            request: request.into_bytes(),
            head: Vec::new(),
            opened,
            status: None,
            first_byte: None,
            ended: None,
            checker: (role == Role::Checking).then(|| Box::new(Checker::new())),
            bytes: 0,
            last: None,
            mark: None,
            bytes_before_window: 0,
            longest_gap: Duration::ZERO,
        }
    }

    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    pub(crate) fn close(&mut self) {
        self.phase = Phase::Ended;
        self.stream = None;
    }

    /// The server ended this connection, or it never came about.
    pub(crate) fn lost(&mut self, now: Instant) {
        if self.phase != Phase::Ended {
            self.ended = Some(now);
            self.close();
        }
    }

    /// From here on gaps and rates count.
    pub(crate) fn begin_window(&mut self) {
        self.mark = None;
        self.longest_gap = Duration::ZERO;
        self.bytes_before_window = self.bytes;
    }

    /// Something happened on the socket; reads at most `scratch.len()` bytes, or until there are none if `to_the_end`.
    pub(crate) fn ready(&mut self, now: Instant, to_the_end: bool, scratch: &mut [u8]) {
        if self.phase == Phase::Connecting && self.send_request().is_err() {
            self.lost(now);
        }
        while !scratch.is_empty() {
            match self.read_once(now, scratch) {
                Ok(Some(0)) | Err(_) => return self.lost(now),
                Ok(None) => return,
                Ok(Some(_)) if self.role == Role::Slow => return,
                // A short read has emptied the socket; the next bytes bring a new event.
                Ok(Some(bytes)) if bytes < scratch.len() && !to_the_end => return,
                Ok(Some(_)) => {}
            }
        }
    }

    /// Sends the request if the connection stands already.
    pub(crate) fn send_request(&mut self) -> io::Result<()> {
        let Some(stream) = self.stream.as_mut() else { return Ok(()) };
        match stream.write(&self.request) {
            Ok(bytes) if bytes == self.request.len() => self.phase = Phase::Head,
            Ok(_) => return Err(io::Error::other("the socket takes not even a request")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read_once(&mut self, now: Instant, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(stream) = self.stream.as_ref() else { return Ok(None) };
        match (self.phase, self.checker.as_mut()) {
            (Phase::Connecting | Phase::Ended, _) => Ok(None),
            (Phase::Head, _) => {
                let read = net::read(stream, scratch)?;
                self.take_head(now, &scratch[..read.unwrap_or(0)])?;
                Ok(read)
            }
            (Phase::Body, Some(checker)) => {
                let read = net::read(stream, scratch)?;
                checker.feed(&scratch[..read.unwrap_or(0)]);
                self.count(now, read.unwrap_or(0));
                Ok(read)
            }
            (Phase::Body, None) => {
                let read = net::discard(stream, scratch)?;
                self.count(now, read.unwrap_or(0));
                Ok(read)
            }
        }
    }

    fn take_head(&mut self, now: Instant, bytes: &[u8]) -> io::Result<()> {
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if self.head.len() > HEAD_BYTES_MAX {
                Err(io::Error::other("no response head"))
            } else {
                Ok(())
            };
        };
        // "HTTP/1.1 200 OK"
        self.status = self.head.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let body = self.head.split_off(end + 4);
        self.phase = Phase::Body;
        if let Some(checker) = self.checker.as_mut() {
            checker.feed(&body);
        }
        self.count(now, body.len());
        Ok(())
    }

    fn count(&mut self, now: Instant, read: usize) {
        if read == 0 {
            return;
        }
        self.bytes += u64::try_from(read).expect("usize fits into u64");
        self.first_byte.get_or_insert(now.saturating_duration_since(self.opened));
        if let Some(last) = self.last {
            self.longest_gap = self.longest_gap.max(now - last.at);
        }
        let arrival = Arrival { at: now, bytes: self.bytes };
        self.mark.get_or_insert(arrival);
        self.last = Some(arrival);
    }
}
