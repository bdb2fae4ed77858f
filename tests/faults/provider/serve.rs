//! One connection of a provider.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::fault::{Fault, Mangler};
use super::{Act, Connection, Refusal, Replay, Shared, When};
use crate::kit::LONG;
use crate::tsview::PACKET_BYTES;

/// How often what is due is sent.
const PACE: Duration = Duration::from_millis(10);
/// How often a connection on which nothing happens is looked at.
const LOOK: Duration = Duration::from_millis(50);
const PAGE: &str = "<!DOCTYPE html><html><head><title>Expired</title></head><body>Your line has expired.";

pub(super) fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let head = head(&mut stream)?;
    let number = {
        let mut connections = shared.connections.lock().unwrap();
        connections.push(Connection { head, ..Connection::default() });
        connections.len() - 1
    };
    let mut line = Line { stream, shared, number };
    let done = match shared.plan.act(number) {
        Act::Play => line.play(None),
        Act::Fail(when, fault) => line.play(Some((when, fault))),
        Act::Refuse(refusal) => line.refuse(refusal),
    };
    line.note(|connection, now| connection.ended = Some(now));
    done
}

fn head(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(LONG)).ok()?;
    // A client that does not read is cut off in the end.
    stream.set_write_timeout(Some(LONG)).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(head).ok()
}

struct Line<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    number: usize,
}

impl Line<'_> {
    fn note(&self, write: impl FnOnce(&mut Connection, Duration)) {
        let now = self.shared.clock.elapsed();
        write(&mut self.shared.connections.lock().unwrap()[self.number], now);
    }

    fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Relaxed)
    }

    fn answer(&mut self, status: &str, kind: &str, body: Option<&str>) -> Option<()> {
        let headers = &self.shared.plan.headers;
        let length = body.map_or(String::new(), |body| format!("Content-Length: {}\r\n", body.len()));
        let body = body.unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{length}{headers}Connection: close\r\n\r\n{body}"
        );
        self.stream.write_all(answer.as_bytes()).ok()
    }

    fn refuse(&mut self, refusal: Refusal) -> Option<()> {
        let body = self.shared.plan.body.as_str();
        match refusal {
            Refusal::NotFound => self.answer("404 Not Found", "text/plain", Some(body)),
            Refusal::TooMany => {
                self.answer("429 Too Many Requests\r\nRetry-After: 2", "text/plain", Some(body))
            }
            Refusal::Page => {
                self.answer("200 OK", "text/html", Some(&format!("{PAGE}<p>{body}</p></body></html>")))
            }
            Refusal::Nothing => self.hold(),
        }
    }

    /// Sends the stream as it is due, from where it is now.
    fn play(&mut self, mut failure: Option<(When, Fault)>) -> Option<()> {
        self.answer("200 OK", "video/mp2t", None)?;
        let shared = self.shared;
        let begin = shared.clock.elapsed();
        let mut replay = Replay::at(shared.media.clone(), shared.plan.base, begin);
        let mut mangler = Mangler::new();
        let mut out = Vec::new();
        while !self.is_over() {
            let now = shared.clock.elapsed();
            let strikes = failure.take_if(|(when, _)| match *when {
                When::After(time) => now >= begin + time,
                When::Told => shared.told.load(Ordering::Relaxed),
            });
            if let Some((_, fault)) = strikes {
                self.note(|connection, now| connection.failed = Some(now));
                if ends(fault) {
                    return self.end(fault, &replay.next());
                }
                mangler.strike(fault, &mut replay, &mut out);
            }
            let late = now.saturating_sub(replay.due());
            while replay.due() <= now {
                let video_pid = replay.media().video_pid;
                mangler.push(replay.next(), video_pid, &mut out);
            }
            if !out.is_empty() {
                self.stream.write_all(&out).ok()?;
                self.note(|connection, now| {
                    connection.played = connection.played.or(Some(now));
                    connection.late = connection.late.max(late);
                });
                out.clear();
            }
            std::thread::park_timeout(PACE);
        }
        None
    }

    /// Ends the stream in a bad way; `packet` would have been next.
    fn end(&mut self, fault: Fault, packet: &[u8; PACKET_BYTES]) -> Option<()> {
        match fault {
            Fault::Silence => self.hold(),
            Fault::Reset => {
                let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&self.stream, sockopt::Linger, &at_once).ok()
            }
            Fault::Torn => self.stream.write_all(&packet[..PACKET_BYTES / 2]).ok(),
            Fault::Eof
            | Fault::GarbageOnce
            | Fault::Garbage
            | Fault::FrozenPcr
            | Fault::NoVideo
            | Fault::OnlyNulls
            | Fault::Trickle
            | Fault::Jump(_)
            | Fault::Change(_) => Some(()),
        }
    }

    /// Keeps the connection until the client goes or the provider ends.
    fn hold(&mut self) -> Option<()> {
        self.stream.set_read_timeout(Some(LOOK)).ok()?;
        while !self.is_over() {
            if self.stream.read(&mut [0; 16]).is_ok_and(|count| count == 0) {
                return Some(());
            }
        }
        None
    }
}

fn ends(fault: Fault) -> bool {
    matches!(fault, Fault::Silence | Fault::Eof | Fault::Reset | Fault::Torn)
}
