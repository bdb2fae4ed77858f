//! Somebody who takes a stream at exactly its own rate, and has room for little more.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::kit::{LONG, Stopwatch};
use crate::tscheck::{Checker, Findings};

/// Its socket holds no more than this.
const SOCKET_BYTES: usize = 64 * 1024;
/// The longest wait for what is due.
const STEP: Duration = Duration::from_millis(10);
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What it has seen.
pub(crate) struct Report {
    /// Why and when it was ended.
    pub(crate) ended: Option<String>,
    pub(crate) first_byte: Duration,
    bytes: u64,
    due: u64,
    findings: Option<Findings>,
}

impl Report {
    /// What has gone wrong.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = String> {
        let findings = self.findings.as_ref().filter(|found| found.faults() + found.signalled > 0);
        // A busy machine is slow to make the stream, and to take it.
        let is_little = self.bytes < self.due / 2;
        [
            self.ended.clone(),
            findings.map(|findings| format!("{findings:?}")),
            is_little.then(|| format!("{} bytes of {}", self.bytes, self.due)),
        ]
        .into_iter()
        .flatten()
    }
}

/// Watches for `time` from the first byte on.
pub(crate) fn watch(port: u16, path: &str, rate: u64, time: Duration, is_checked: bool) -> Report {
    let mut checker = is_checked.then(Checker::new);
    let asked = Stopwatch::start();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, LONG).unwrap();
    setsockopt(&stream, sockopt::RcvBuf, &SOCKET_BYTES).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(HEAD_END) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    let first_byte = asked.elapsed();
    let clock = Stopwatch::start();
    let bytes_in = |time: Duration| u64::try_from(u128::from(rate) * time.as_micros() / 8_000_000).unwrap();
    let mut report = Report { ended: None, first_byte, bytes: 0, due: bytes_in(time), findings: None };
    // Its schedule: when it began, and what it had then. Whoever had to wait goes on from there and does not hurry.
    let (mut since, mut before) = (Duration::ZERO, 0);
    let mut buffer = vec![0; 64 * 1024];
    while clock.left_of(time).is_some() {
        let now = clock.elapsed();
        let room = (before + bytes_in(now - since)).saturating_sub(report.bytes);
        let room = usize::try_from(room).unwrap().min(buffer.len());
        if room < 2048 {
            std::thread::park_timeout(STEP);
            continue;
        }
        stream.set_read_timeout(Some(STEP)).unwrap();
        match stream.read(&mut buffer[..room]) {
            Ok(0) => report.ended = Some(format!("ended in order after {now:?}")),
            Ok(count) => {
                report.bytes += count as u64;
                if let Some(checker) = &mut checker {
                    checker.feed(&buffer[..count]);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                (since, before) = (clock.elapsed(), report.bytes);
            }
            Err(error) => report.ended = Some(format!("{error} after {now:?} and {} bytes", report.bytes)),
        }
        if report.ended.is_some() {
            break;
        }
    }
    report.findings = checker.map(|checker| checker.findings().clone());
    report
}
