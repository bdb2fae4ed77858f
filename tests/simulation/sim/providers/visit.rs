//! A connection to a provider: what it is answered, and how it ends.

use std::time::Duration;

use tunerd::base::Instant;
use tunerd::uring::sim::{Leave, PeerId, Random, World};

use super::ledger::Provider;
use super::stream::{UNIT_TIME, unit};

/// What becomes of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Stays,
    /// It stands still for so long, or for ever.
    Stalls(Duration),
    Ends(Leave),
}

impl Fate {
    pub(super) fn drawn(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Stalls(random.time(Duration::from_secs(20))),
            1 => Self::Stalls(Duration::MAX),
            2 => Self::Ends(Leave::Close),
            3 => Self::Ends(Leave::Reset),
            4 => Self::Ends(Leave::HalfClose),
            _mostly => Self::Stays,
        }
    }
}

/// A stream that is being sent.
pub(super) struct Sending {
    since: Instant,
    /// In the middle of something, as one joins live television.
    first: u64,
    sent: u64,
    fate: Fate,
    fate_at: Instant,
}

impl Sending {
    pub(super) fn new(now: Instant, is_healthy: bool, random: &mut Random) -> Self {
        let fate = if is_healthy { Fate::Stays } else { Fate::drawn(random) };
        let fate_at = now + random.time(Duration::from_secs(60));
        Self { since: now, first: random.below(1 << 20), sent: 0, fate, fate_at }
    }

    /// What is to be sent now, and how it ends if it does.
    pub(super) fn step(&mut self, now: Instant) -> (Vec<u8>, Option<Leave>) {
        match self.fate {
            Fate::Ends(how) if now >= self.fate_at => return (Vec::new(), Some(how)),
            Fate::Stalls(time) if now >= self.fate_at => {
                if now - self.fate_at < time {
                    return (Vec::new(), None);
                }
                self.since += time;
                self.fate = Fate::Stays;
            }
            Fate::Stays | Fate::Stalls(_) | Fate::Ends(_) => {}
        }
        // Two are there when somebody comes.
        let due = 2 + u64::try_from((now - self.since).as_millis() / UNIT_TIME.as_millis()).unwrap();
        let from = std::mem::replace(&mut self.sent, due);
        ((from..due).flat_map(|number| unit(self.first + number)).collect(), None)
    }
}

enum Phase {
    Asked(Vec<u8>),
    Sends(Sending),
    /// Nothing more is said, and the other end is to close.
    Waits,
    Over,
}

/// One connection.
pub(super) struct Visit {
    peer: PeerId,
    /// Its place among the providers.
    pub(super) provider: usize,
    random: Random,
    phase: Phase,
    /// When the provider has closed it whatever we do.
    closes_at: Option<Instant>,
}

impl Visit {
    pub(super) fn new(peer: PeerId, provider: usize, random: &mut Random) -> Self {
        Self { peer, provider, random: random.split(), phase: Phase::Asked(Vec::new()), closes_at: None }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// It breaks off.
    pub(super) fn kill(&mut self, world: &World) {
        if !world.peer_has_closed(self.peer) {
            world.peer_close(self.peer, Leave::Reset);
        }
        self.phase = Phase::Over;
    }

    pub(super) fn step(&mut self, world: &World, provider: &Provider, is_healthy: bool) {
        let now = world.now();
        if world.peer_visit(self.peer).1.is_some() {
            self.phase = Phase::Over;
        }
        if self.closes_at.is_some_and(|at| now >= at) && !self.is_over() {
            self.closes_at = None;
            world.peer_close(self.peer, Leave::Close);
            self.phase = Phase::Over;
        }
        match &mut self.phase {
            Phase::Over | Phase::Waits => {}
            Phase::Asked(request) => {
                request.extend(world.peer_received(self.peer));
                if request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    self.answer(world, provider, is_healthy);
                }
            }
            Phase::Sends(sending) => {
                let (bytes, end) = sending.step(now);
                if !bytes.is_empty() {
                    world.peer_send(self.peer, &bytes);
                }
                if let Some(how) = end {
                    world.peer_close(self.peer, how);
                    self.phase = if how == Leave::HalfClose { Phase::Waits } else { Phase::Over };
                    // Who has only said that nothing more comes keeps the connection for a while.
                    self.closes_at = Some(now + self.random.time(Duration::from_secs(5)));
                }
            }
        }
    }

    fn answer(&mut self, world: &World, provider: &Provider, is_healthy: bool) {
        let manner = if is_healthy { 99 } else { self.random.below(24) };
        let refused = |status: &str| format!("HTTP/1.1 {status}Content-Length: 0\r\n\r\n");
        let text = match manner {
            _too_many if provider.counts_too_many(world) => refused(provider.refusal),
            0 => refused("503 Service Unavailable\r\n"),
            1 => refused("403 Forbidden\r\n"),
            2 => refused("429 Too Many Requests\r\n"),
            3 => refused("404 Not Found\r\n"),
            4..=5 => refused(&format!("302 Found\r\nLocation: http://{}/moved\r\n", provider.address)),
            6 => {
                // It hears the question, and says nothing.
                self.phase = Phase::Waits;
                return;
            }
            _mostly => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
                world.peer_send(self.peer, head.as_bytes());
                self.phase = Phase::Sends(Sending::new(world.now(), is_healthy, &mut self.random));
                return;
            }
        };
        world.peer_send(self.peer, text.as_bytes());
        // Some leave it to us to close.
        let closes_in = if self.random.below(2) == 0 { Duration::ZERO } else { Duration::from_secs(20) };
        self.closes_at = Some(world.now() + closes_in);
        self.phase = Phase::Waits;
    }
}
