//! Somebody in front of a screen: watches, zaps, goes, and comes again.

use std::net::SocketAddr;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::uring::sim::{Leave, PeerId, Random, World};

/// What has come of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Pending,
    Stream,
    Refused(u16),
}

/// A request and what comes of it.
pub(super) struct Screen {
    peer: PeerId,
    asked_at: Instant,
    head: Vec<u8>,
    pub(super) answer: Answer,
    /// When the first and the last byte of the stream came.
    first_at: Option<Instant>,
    last_at: Instant,
}

impl Screen {
    pub(super) fn on(world: &World, listener: SocketAddr, channel: i64) -> Self {
        let (peer, now) = (world.connect_client(listener), world.now());
        world.peer_send(peer, format!("GET /auto/v{channel} HTTP/1.1\r\nHost: tv\r\n\r\n").as_bytes());
        Self { peer, asked_at: now, head: Vec::new(), answer: Answer::Pending, first_at: None, last_at: now }
    }

    pub(super) fn step(&mut self, world: &World) {
        let (received, now) = (world.peer_received(self.peer), world.now());
        if received.is_empty() {
            return;
        }
        if self.answer == Answer::Pending {
            self.head.extend(&received);
            self.answer = status(&self.head);
        }
        if self.answer == Answer::Stream {
            self.first_at.get_or_insert(now);
            self.last_at = now;
        }
    }

    /// From the request to the stream.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.first_at.map(|at| at - self.asked_at)
    }

    /// Something has come of the stream lately.
    pub(super) fn is_moving(&self, world: &World, within: Duration) -> bool {
        self.answer == Answer::Stream && world.now() - self.last_at <= within
    }

    pub(super) fn is_over(&self, world: &World) -> bool {
        world.peer_end(self.peer).is_some()
    }

    pub(super) fn leave(&self, world: &World, how: Leave) {
        world.peer_close(self.peer, how);
    }
}

/// The status of an answer, interim ones left out.
fn status(mut head: &[u8]) -> Answer {
    loop {
        let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Answer::Pending;
        };
        let line = String::from_utf8_lossy(&head[..end]);
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        match status.expect("an answer has a status") {
            102 => head = &head[end + 4..],
            200 => return Answer::Stream,
            other => return Answer::Refused(other),
        }
    }
}

/// Somebody.
pub(super) struct Person {
    random: Random,
    screen: Option<Screen>,
    /// When the next thing is done.
    acts_at: Instant,
    pub(super) tunes: u64,
    pub(super) streams: u64,
}

impl Person {
    pub(super) fn new(now: Instant, random: &mut Random) -> Self {
        let mut random = random.split();
        let acts_at = now + random.time(Duration::from_secs(5));
        Self { random, screen: None, acts_at, tunes: 0, streams: 0 }
    }

    pub(super) fn step(&mut self, world: &World, listener: SocketAddr, channels: i64) {
        let now = world.now();
        if let Some(screen) = &mut self.screen {
            let before = screen.answer;
            screen.step(world);
            self.streams += u64::from(before == Answer::Pending && screen.answer == Answer::Stream);
            if screen.is_over(world) {
                screen.leave(world, Leave::Close);
                self.screen = None;
                // Players try again.
                self.acts_at = now + self.random.time(Duration::from_secs(2));
            }
        }
        if now < self.acts_at {
            return;
        }
        let had = self.screen.take();
        let is_zapping = self.random.below(5) > 0;
        // Many a player opens the next channel before it closes the last one.
        let is_late = is_zapping && self.random.below(4) == 0;
        if let Some(screen) = had.as_ref().filter(|_| !is_late) {
            screen.leave(world, *self.random.pick(&[Leave::Close, Leave::Close, Leave::Reset]));
        }
        if is_zapping {
            let channel = i64::try_from(self.random.between(1, channels.unsigned_abs())).unwrap();
            self.screen = Some(Screen::on(world, listener, channel));
            self.tunes += 1;
        }
        if let Some(screen) = had.as_ref().filter(|_| is_late) {
            screen.leave(world, Leave::Close);
        }
        let stay = match self.random.below(8) {
            0 => Duration::from_millis(300),
            1..=3 => Duration::from_secs(4),
            4..=6 => Duration::from_secs(30),
            _ => Duration::from_secs(180),
        };
        self.acts_at = now + self.random.time(stay);
    }

    pub(super) fn go(&mut self, world: &World) {
        if let Some(screen) = self.screen.take() {
            screen.leave(world, Leave::Reset);
        }
    }
}
