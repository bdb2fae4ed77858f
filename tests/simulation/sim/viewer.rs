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

/// How a client goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Habit {
    /// It reads now fast, now slowly, and goes when it pleases.
    Whimsical,
    /// It reads as fast as it can and stays to the end.
    Faithful,
    /// It stops reading soon, for ever, and may say that it has gone.
    Rude,
}

/// One client.
pub(crate) struct Viewer {
    pub(crate) asks: Asks,
    pub(crate) peer: PeerId,
    random: Random,
    request: Vec<u8>,
    changes_rate_at: Instant,
    leaves_at: Instant,
    habit: Habit,
    pub(crate) checker: Checker,
    has_left: bool,
    /// When it closes what it has closed on its side.
    closes_at: Option<Instant>,
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
        Self::asking(world, listener, asks, channel, random, Habit::Whimsical)
    }

    /// A client that reads whatever comes and never goes.
    pub(crate) fn faithful(world: &World, listener: SocketAddr, channel: u64, random: &mut Random) -> Self {
        Self::asking(world, listener, Asks::Stream, channel, random.split(), Habit::Faithful)
    }

    /// A client that takes a little, then nothing more, and holds on to its connection.
    pub(crate) fn rude(world: &World, listener: SocketAddr, channel: u64, random: &mut Random) -> Self {
        Self::asking(world, listener, Asks::Stream, channel, random.split(), Habit::Rude)
    }

    fn asking(
        world: &World,
        listener: SocketAddr,
        asks: Asks,
        channel: u64,
        mut random: Random,
        habit: Habit,
    ) -> Self {
        let version = if random.below(4) == 0 { "1.0" } else { "1.1" };
        let path = *random.pick(&["/auto/v", "/tuner0/v"]);
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
        let (stay, steady) = match habit {
            Habit::Whimsical => (random.time(STAY_MAX), random.time(STAY_MAX / 4)),
            Habit::Faithful => (Duration::MAX, Duration::MAX),
            Habit::Rude => (STAY_MAX / 10 + random.time(STAY_MAX), random.time(STAY_MAX / 10)),
        };
        Self {
            asks,
            peer: world.connect_client(listener),
            request,
            changes_rate_at: now + steady,
            leaves_at: now + stay,
            random,
            habit,
            checker: Checker::new(),
            has_left: false,
            closes_at: None,
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
            // Who has only said that it will not ask more goes on listening, for a while.
            if self.closes_at.is_some_and(|at| now >= at) {
                self.closes_at = None;
                world.peer_close(self.peer, Leave::Close);
            }
            return Ok(());
        }
        if !self.request.is_empty() {
            let bytes = self.random.bytes(1, self.request.len());
            let rest = self.request.split_off(bytes);
            world.peer_send(self.peer, &std::mem::replace(&mut self.request, rest));
        }
        if now >= self.changes_rate_at {
            self.changes_rate_at = now + self.random.time(STAY_MAX / 2);
            let rate = match (self.habit, self.random.below(6)) {
                (Habit::Rude, _) | (_, 0) => Rate::Stopped,
                (_, 1) => Rate::BytesPerSecond(self.random.between(1, 100_000)),
                // Slower than the stream by a little.
                (_, 2..=3) => Rate::BytesPerSecond(self.random.between(100_000, 350_000)),
                (_, _mostly) => Rate::Unlimited,
            };
            world.peer_set_read_rate(self.peer, rate);
        }
        if now >= self.leaves_at || world.peer_end(self.peer).is_some() {
            let how = match self.habit {
                // Nobody can know that it does not even read any more.
                Habit::Rude => Leave::HalfClose,
                Habit::Whimsical | Habit::Faithful => {
                    *self.random.pick(&[Leave::Close, Leave::Close, Leave::HalfClose, Leave::Reset])
                }
            };
            self.go(world, how);
            if self.habit != Habit::Rude && how == Leave::HalfClose {
                self.closes_at = Some(now + self.random.time(STAY_MAX / 4));
            }
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

    /// Our side has ended, if it could notice.
    pub(crate) fn check_end(&self, world: &World) -> Result<(), String> {
        match (self.habit, world.peer_end(self.peer)) {
            // Zero copy may have had to be cut off.
            (_, Some(End::Finished | End::Reset)) | (Habit::Rude, None) => Ok(()),
            (Habit::Whimsical | Habit::Faithful, None) => Err("a viewer was left without an end".to_owned()),
        }
    }

    /// A viewer that reads gets a picture, and it keeps moving. What is wrong, if it does not.
    pub(crate) fn check_picture(&self, world: &World, longest_wait: Duration) -> Result<(), String> {
        if self.habit != Habit::Faithful {
            // It may have itself to thank for it.
            return Ok(());
        }
        let silent = world.now() - self.last_byte_at;
        if self.checker.response() != Response::Stream || silent > longest_wait {
            return Err(format!(
                "no picture: {:?}, {} bytes, the last {silent:?} ago, {:?}",
                self.checker.response(),
                self.bytes,
                world.peer_end(self.peer)
            ));
        }
        Ok(())
    }
}
