//! Viewers: what they ask for, how fast they read, when they go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::uring::sim::{End, Leave, PeerId, Random, Rate, World};

use super::checker::{Checker, Response};

/// The longest a viewer stays that does not stay for ever.
const STAY_MAX: Duration = Duration::from_secs(20);

/// What a client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asks {
    /// A request for a channel there is.
    Stream,
    /// The same with `HEAD`.
    Head,
    /// A channel there is not.
    UnknownChannel,
    /// A path that is not a stream's.
    Status,
    /// No HTTP.
    Nonsense,
    /// Half a request, and no more.
    HalfARequest,
}

/// One client.
pub(crate) struct Viewer {
    pub(crate) asks: Asks,
    pub(crate) peer: PeerId,
    random: Random,
    request: Vec<u8>,
    changes_rate_at: Instant,
    leaves_at: Instant,
    /// It reads as fast as it can and stays to the end.
    is_faithful: bool,
    pub(crate) checker: Checker,
    has_left: bool,
    pub(crate) bytes: u64,
    last_byte_at: Instant,
}

impl Viewer {
    /// A client that does as it pleases.
    pub(crate) fn new(world: &World, listener: SocketAddr, channels: u64, random: &mut Random) -> Self {
        let mut random = random.split();
        let asks = match random.below(16) {
            0 => Asks::Head,
            1 => Asks::UnknownChannel,
            2 => Asks::Status,
            3 => Asks::Nonsense,
            4 => Asks::HalfARequest,
            _mostly => Asks::Stream,
        };
        let channel = random.between(1, channels);
        Self::asking(world, listener, asks, channel, random, false)
    }

    /// A client that reads whatever comes and never goes.
    pub(crate) fn faithful(world: &World, listener: SocketAddr, channel: u64, random: &mut Random) -> Self {
        Self::asking(world, listener, Asks::Stream, channel, random.split(), true)
    }

    fn asking(
        world: &World,
        listener: SocketAddr,
        asks: Asks,
        channel: u64,
        mut random: Random,
        is_faithful: bool,
    ) -> Self {
        let version = if random.below(4) == 0 { "1.0" } else { "1.1" };
        let path = *random.pick(&["/auto/v", "/tuner0/v", "/tuner1/v"]);
        let request = match asks {
            Asks::Stream | Asks::HalfARequest => {
                format!("GET {path}{channel} HTTP/{version}\r\nHost: tunerd\r\n\r\n")
            }
            Asks::Head => format!("HEAD {path}{channel} HTTP/{version}\r\nHost: tunerd\r\n\r\n"),
            Asks::UnknownChannel => format!("GET {path}999 HTTP/{version}\r\nHost: tunerd\r\n\r\n"),
            Asks::Status => format!("GET /discover.json HTTP/{version}\r\nHost: tunerd\r\n\r\n"),
            Asks::Nonsense => "\u{16}\u{3}\u{1} no request at all\r\n\r\n".to_owned(),
        };
        let mut request = request.into_bytes();
        if asks == Asks::Stream && random.below(10) == 0 {
            // What nobody asked for: closing with it unread resets the connection.
            request.extend(b"and more");
        }
        if asks == Asks::HalfARequest {
            request.truncate(random.bytes(0, request.len() - 1));
        }
        let now = world.now();
        let stay = if is_faithful { Duration::MAX } else { random.time(STAY_MAX) };
        Self {
            asks,
            peer: world.connect_client(listener),
            request,
            changes_rate_at: if is_faithful { now + Duration::MAX } else { now + random.time(STAY_MAX / 4) },
            leaves_at: now + stay,
            random,
            is_faithful,
            checker: Checker::new(),
            has_left: false,
            bytes: 0,
            last_byte_at: now,
        }
    }

    /// Acts, and looks at what has arrived. What is wrong with it, if anything.
    pub(crate) fn step(&mut self, world: &World, flawed: &BTreeSet<u32>) -> Result<(), String> {
        let now = world.now();
        let received = world.peer_received(self.peer);
        if !received.is_empty() {
            self.bytes += received.len() as u64;
            self.last_byte_at = now;
            self.checker.feed(&received, flawed)?;
        }
        if self.has_left {
            return Ok(());
        }
        if !self.request.is_empty() {
            let bytes = self.random.bytes(1, self.request.len());
            let rest = self.request.split_off(bytes);
            world.peer_send(self.peer, &std::mem::replace(&mut self.request, rest));
        }
        if now >= self.changes_rate_at {
            self.changes_rate_at = now + self.random.time(STAY_MAX / 4);
            let rate = match self.random.below(6) {
                0 => Rate::Stopped,
                1 => Rate::BytesPerSecond(self.random.between(1, 40_000)),
                2 => Rate::BytesPerSecond(self.random.between(100_000, 1_000_000)),
                _mostly => Rate::Unlimited,
            };
            world.peer_set_read_rate(self.peer, rate);
        }
        if now >= self.leaves_at || world.peer_end(self.peer).is_some() {
            let how = *self.random.pick(&[Leave::Close, Leave::Close, Leave::HalfClose, Leave::Reset]);
            self.go(world, how);
        }
        self.check_answer()
    }

    /// It goes, however it has said good-bye before.
    pub(crate) fn go(&mut self, world: &World, how: Leave) {
        world.peer_close(self.peer, how);
        self.has_left = true;
    }

    /// The answer is one that fits the question.
    fn check_answer(&self) -> Result<(), String> {
        let fits = match (self.asks, self.checker.response()) {
            (_, Response::Pending) => true,
            (Asks::Stream, Response::Stream | Response::Refused(503)) => true,
            (Asks::Head, Response::Stream) => self.checker.packets() == 0,
            (Asks::UnknownChannel, Response::Refused(404)) => true,
            (Asks::Nonsense, Response::Refused(400)) => true,
            // Control had no room.
            (Asks::Status, Response::Refused(503)) => true,
            (Asks::Stream | Asks::Head | Asks::UnknownChannel | Asks::Nonsense, answer) => {
                return Err(format!("{:?} was answered with {answer:?}", self.asks));
            }
            // Not answered by a core.
            (Asks::Status | Asks::HalfARequest, answer) => {
                return Err(format!("{:?} was answered with {answer:?}", self.asks));
            }
        };
        if fits { Ok(()) } else { Err(format!("{:?} got {} packets", self.asks, self.checker.packets())) }
    }

    /// It is gone, and has seen that we are.
    pub(crate) fn is_over(&self, world: &World) -> bool {
        self.has_left && world.peer_end(self.peer).is_some()
    }

    /// How the stream ended, if it did.
    pub(crate) fn end(&self, world: &World) -> Option<End> {
        world.peer_end(self.peer)
    }

    /// A viewer that reads gets a picture, and it keeps moving. What is wrong, if it does not.
    pub(crate) fn check_picture(&self, world: &World, longest_wait: Duration) -> Result<(), String> {
        assert!(self.is_faithful, "others may have themselves to thank for it");
        let silent = world.now() - self.last_byte_at;
        if self.checker.response() != Response::Stream || silent > longest_wait {
            return Err(format!(
                "no picture: {:?}, {} bytes, the last {silent:?} ago, {:?}",
                self.checker.response(),
                self.bytes,
                self.end(world)
            ));
        }
        Ok(())
    }
}
