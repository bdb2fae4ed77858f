//! HTTP clients: one that asks and one that watches.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::wait::{LONG, Stopwatch};
use crate::tscheck::{Checker, Findings};
use crate::tsgen::PACKET_BYTES;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| line.split(':').next().is_some_and(|word| word.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .skip(1)
            .find(named)
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends `request` and reads until the connection ends.
pub fn exchange(port: u16, request: &[u8]) -> io::Result<Answer> {
    exchange_within(port, request, LONG)
}

/// The same for what takes longer.
pub fn exchange_within(port: u16, request: &[u8], limit: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LONG)?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    let watch = Stopwatch::start();
    let mut buffer = [0; 16 * 1024];
    loop {
        let left = watch.left_of(limit).ok_or(ErrorKind::TimedOut)?;
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    let end = head_end(&bytes).ok_or(ErrorKind::UnexpectedEof)?;
    let body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer { status: status(&head), head, body })
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END).map(|at| at + HEAD_END.len())
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no status: {head}"))
}

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// In order: everything that was sent has arrived.
    Finished,
    /// Cut off.
    Reset,
}

/// Somebody who watches.
pub struct Viewer {
    stream: TcpStream,
    pub head: String,
    /// What came together with the head.
    first: Vec<u8>,
}

impl Viewer {
    /// Asks for `path` and reads the answer's head. The stream begins in it.
    pub fn open(port: u16, path: &str) -> Viewer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let viewer = Viewer::ask(TcpStream::connect_timeout(&address, LONG).unwrap(), &request);
        assert_eq!(viewer.status(), 200, "{path}: {}", viewer.head);
        viewer
    }

    /// Sends `request` on a connection and reads the answer's head.
    pub fn ask(mut stream: TcpStream, request: &str) -> Viewer {
        stream.write_all(request.as_bytes()).unwrap();
        Viewer::answered(stream)
    }

    /// The same, and says at once that nothing more will be asked. Interim answers are passed over.
    pub fn ask_last(mut stream: TcpStream, request: &str) -> Viewer {
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut viewer = Viewer::answered(stream);
        while viewer.status() < 200 {
            let Viewer { stream, first, .. } = viewer;
            viewer = Viewer::answered_with(stream, first);
        }
        viewer
    }

    fn answered(stream: TcpStream) -> Viewer {
        Viewer::answered_with(stream, Vec::new())
    }

    /// Reads the answer's head, which begins with `bytes`.
    fn answered_with(mut stream: TcpStream, mut bytes: Vec<u8>) -> Viewer {
        let watch = Stopwatch::start();
        let mut buffer = [0; 4096];
        let end = loop {
            if let Some(end) = head_end(&bytes) {
                break end;
            }
            stream.set_read_timeout(Some(watch.left_of(LONG).expect("an answer comes"))).unwrap();
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the connection ended before the answer's head");
            bytes.extend_from_slice(&buffer[..count]);
        };
        let first = bytes.split_off(end);
        Viewer { stream, head: String::from_utf8(bytes).unwrap(), first }
    }

    pub fn status(&self) -> u16 {
        status(&self.head)
    }

    /// Its address, as the program shows it.
    pub fn address(&self) -> String {
        self.stream.local_addr().unwrap().to_string()
    }

    pub fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    /// Says that it will not ask any more, and goes on reading.
    pub fn shutdown(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// The next bytes, when some come within `limit`.
    pub fn read(&mut self, limit: Duration) -> io::Result<Vec<u8>> {
        if !self.first.is_empty() {
            return Ok(std::mem::take(&mut self.first));
        }
        let mut buffer = vec![0; 64 * 1024];
        self.stream.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        let count = self.stream.read(&mut buffer)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    /// Everything that comes during `time`. The stream must not end in it.
    pub fn watch(&mut self, time: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        let watch = Stopwatch::start();
        while let Some(left) = watch.left_of(time) {
            match self.read(left) {
                Ok(more) => {
                    assert!(!more.is_empty(), "the stream ended after {:?}", watch.elapsed());
                    bytes.extend_from_slice(&more);
                }
                Err(error) if is_quiet(&error) => {}
                Err(error) => panic!("the stream broke after {:?}: {error}", watch.elapsed()),
            }
        }
        bytes
    }

    /// Everything up to the end, which must come within `limit`.
    pub fn rest(&mut self, limit: Duration) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        let watch = Stopwatch::start();
        loop {
            let left = watch.left_of(limit).unwrap_or_else(|| panic!("the stream goes on after {limit:?}"));
            match self.read(left) {
                Ok(more) if more.is_empty() => return (bytes, End::Finished),
                Ok(more) => bytes.extend_from_slice(&more),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, End::Reset),
                Err(error) if is_quiet(&error) => {}
                Err(error) => panic!("neither an end nor a reset: {error}"),
            }
        }
    }
}

fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// What a strict receiver finds in a recording. It must consist of whole packets.
pub fn judge(recording: &[u8]) -> Findings {
    let mut checker = Checker::new();
    checker.feed(&recording[..recording.len() / PACKET_BYTES * PACKET_BYTES]);
    checker.findings().clone()
}
