//! Sources: they answer as they like, stall, trickle, break off, and put garbage between packets.

use std::net::SocketAddr;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::uring::sim::{Leave, PeerId, Random, World};

use super::packets::{PACKETS_PER_SECOND, PERIOD, is_sparse, packet, packets_after};

/// Sources there are.
pub(crate) const SOURCES: u64 = 6;

/// Where a source lives.
pub(crate) fn source_address(number: i64) -> SocketAddr {
    SocketAddr::from(([10, 9, 0, u8::try_from(number).unwrap()], 8080))
}

/// A source does not run ahead of its reader by more than this.
const UNSENT_MAX: usize = 256 * 1024;
/// What a source that has just been asked has in stock.
const STOCK_PACKETS: u64 = PACKETS_PER_SECOND / 2;

/// Numbers the runs.
pub(crate) struct Runs {
    last: u32,
    /// Only such as can be tuned to at any time.
    pub(crate) is_healthy: bool,
}

impl Runs {
    pub(crate) const fn new() -> Self {
        Self { last: 0, is_healthy: false }
    }

    pub(crate) const fn count(&self) -> u32 {
        self.last
    }

    fn next(&mut self) -> u32 {
        self.last += 1;
        while self.is_healthy && is_sparse(self.last) {
            self.last += 1;
        }
        self.last
    }
}

/// What a source does once it has been asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// It sends its stream.
    Good,
    /// It sends one packet in a while.
    Trickles,
    /// It sends, but with bytes between packets that belong to nothing.
    Garbage,
    /// It sends its reader to another source.
    Redirects,
    /// It answers with a page.
    Html,
    /// It answers that there is nothing.
    NotFound,
    /// It answers nothing.
    Silent,
}

/// What becomes of a source that sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Stays,
    /// It stops sending, for so long or for ever.
    Stalls(Duration),
    /// It ends, be it in the middle of a packet.
    Ends(Leave),
}

enum Phase {
    /// The request has come so far.
    Asked(Vec<u8>),
    Sends(Sending),
    Over,
}

struct Sending {
    since: Instant,
    first: u64,
    next: u64,
    is_chunked: bool,
}

/// One connection to a source, or one child's output.
pub(crate) struct Upstream {
    pub(crate) run: u32,
    pub(crate) peer: PeerId,
    random: Random,
    phase: Phase,
    manner: Manner,
    fate: Fate,
    fate_at: Instant,
}

impl Upstream {
    /// A source that has just been connected to. In a healthy world it does what it should.
    pub(crate) fn new(world: &World, peer: PeerId, runs: &mut Runs, random: &mut Random) -> Self {
        let (run, is_healthy) = (runs.next(), runs.is_healthy);
        let mut random = random.split();
        let manner = match random.below(if is_healthy { 1 } else { 20 }) {
            1 => Manner::Trickles,
            2..=3 => Manner::Garbage,
            4 => Manner::Html,
            5 => Manner::NotFound,
            6 => Manner::Silent,
            7..=8 => Manner::Redirects,
            _mostly => Manner::Good,
        };
        let fate = match random.below(if is_healthy { 1 } else { 6 }) {
            1 => Fate::Stalls(random.time(Duration::from_secs(20))),
            2 => Fate::Stalls(Duration::MAX),
            3 => Fate::Ends(Leave::Close),
            4 => Fate::Ends(Leave::Reset),
            _mostly => Fate::Stays,
        };
        let fate_at = world.now() + random.time(Duration::from_secs(20));
        Self { run, peer, random, phase: Phase::Asked(Vec::new()), manner, fate, fate_at }
    }

    /// A child whose output is the stream from its first byte.
    pub(crate) fn child(world: &World, peer: PeerId, runs: &mut Runs, random: &mut Random) -> Self {
        let mut child = Self::new(world, peer, runs, random);
        if matches!(child.manner, Manner::Html | Manner::NotFound | Manner::Garbage | Manner::Redirects) {
            child.manner = Manner::Silent;
        }
        child.begin(world, false);
        child
    }

    /// Runs of which packets may be lost on the way, for no sign is given of what is lost.
    pub(crate) fn is_flawed(&self) -> bool {
        self.manner == Manner::Garbage
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// It breaks off, whatever it was doing.
    pub(crate) fn kill(&mut self, world: &World) {
        if !world.peer_has_closed(self.peer) {
            world.peer_close(self.peer, Leave::Reset);
        }
        self.phase = Phase::Over;
    }

    pub(crate) fn step(&mut self, world: &World) {
        if world.peer_end(self.peer).is_some() || world.peer_has_closed(self.peer) {
            // A child that was stopped has closed without doing.
            self.phase = Phase::Over;
        }
        match &mut self.phase {
            Phase::Over => {}
            Phase::Asked(request) => {
                request.extend(world.peer_received(self.peer));
                if request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    self.answer(world);
                }
            }
            Phase::Sends(_) => self.send(world),
        }
    }

    fn answer(&mut self, world: &World) {
        let refusal = match self.manner {
            Manner::Good | Manner::Trickles | Manner::Garbage => {
                let is_chunked = self.random.below(3) == 0;
                let framing =
                    if is_chunked { "Transfer-Encoding: chunked\r\n" } else { "Connection: close\r\n" };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n{framing}\r\n");
                world.peer_send(self.peer, head.as_bytes());
                return self.begin(world, is_chunked);
            }
            Manner::Silent => {
                self.phase = Phase::Asked(Vec::new());
                return;
            }
            Manner::Html => {
                "200 OK\r\nContent-Type: text/html\r\nContent-Length: 31\r\n\r\n\
                             <html><body>Sorry</body></html>"
            }
            Manner::Redirects => {
                let to = source_address(i64::try_from(self.random.between(1, SOURCES)).unwrap());
                &format!("302 Found\r\nLocation: http://{to}/elsewhere\r\nContent-Length: 0\r\n\r\n")
            }
            Manner::NotFound => "404 Not Found\r\nContent-Length: 0\r\n\r\n",
        };
        world.peer_send(self.peer, format!("HTTP/1.1 {refusal}").as_bytes());
        world.peer_close(self.peer, Leave::Close);
        self.phase = Phase::Over;
    }

    fn begin(&mut self, world: &World, is_chunked: bool) {
        // In the middle of something, as one joins live television.
        let first = self.random.below(100 * PERIOD);
        self.phase = Phase::Sends(Sending { since: world.now(), first, next: first, is_chunked });
    }

    fn send(&mut self, world: &World) {
        let Phase::Sends(sending) = &mut self.phase else { return };
        let now = world.now();
        if now >= self.fate_at {
            match self.fate {
                Fate::Stays => {}
                Fate::Stalls(time) if now - self.fate_at < time => return,
                Fate::Stalls(_) => {
                    // It goes on where it stopped: what was on air meanwhile is not sent.
                    sending.since += now - self.fate_at;
                    self.fate = Fate::Stays;
                }
                Fate::Ends(how) => return self.end(world, how),
            }
        }
        let per_second = if self.manner == Manner::Trickles { 400 } else { 1 };
        let due =
            sending.first + STOCK_PACKETS / per_second + packets_after(now - sending.since) / per_second;
        let mut bytes = Vec::new();
        while sending.next < due && world.peer_unsent(self.peer) + bytes.len() < UNSENT_MAX {
            bytes.extend(packet(self.run, sending.next));
            sending.next += 1;
            if self.manner == Manner::Garbage && self.random.below(500) == 0 {
                let garbage = self.random.bytes(1, 300);
                bytes.extend((0..garbage).map(|_| u8::try_from(self.random.below(0x40)).unwrap()));
            }
        }
        if self.manner == Manner::Silent || bytes.is_empty() {
            return;
        }
        write(world, self.peer, &bytes, sending.is_chunked, &mut self.random);
    }

    /// Ends, in the middle of a packet as likely as not.
    fn end(&mut self, world: &World, how: Leave) {
        if let Phase::Sends(sending) = &self.phase
            && self.random.below(2) == 0
            && !sending.is_chunked
        {
            let torn = packet(self.run, sending.next);
            let bytes = self.random.bytes(1, torn.len() - 1);
            world.peer_send(self.peer, &torn[..bytes]);
        }
        world.peer_close(self.peer, how);
        self.phase = Phase::Over;
    }
}

/// Sends bytes in pieces that have nothing to do with packets.
fn write(world: &World, peer: PeerId, mut bytes: &[u8], is_chunked: bool, random: &mut Random) {
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(random.bytes(1, bytes.len()));
        if is_chunked {
            world.peer_send(peer, format!("{:x}\r\n", piece.len()).as_bytes());
            world.peer_send(peer, piece);
            world.peer_send(peer, b"\r\n");
        } else {
            world.peer_send(peer, piece);
        }
        bytes = rest;
    }
}
