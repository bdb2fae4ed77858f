//! Sources' servers: what they answer, and what becomes of a stream that has begun.

use std::net::SocketAddr;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::uring::sim::{Leave, PeerId, Random, World};

use super::feed::{Feed, Flaw, RATE, Shape};

/// A source does not run ahead of its reader by more than this.
const UNSENT_MAX: usize = 512 * 1024;
const FRAME_TIME: Duration = Duration::from_millis(1000 / RATE);
/// A source that trickles sends a picture in so many pictures' time.
const TRICKLE: u32 = 12;

/// So rare is each way of packing a programme that is not the usual one.
const ODD_ONE_IN: u64 = 6;

/// What the servers share.
pub(crate) struct Climate {
    pub(crate) is_healthy: bool,
    /// Somebody trickled last then: nobody can be blamed for gaps.
    pub(crate) trickled_at: Option<Instant>,
    runs: u32,
    /// No watchdog: what stands still would do so for ever.
    pub(crate) is_unwatched: bool,
}

impl Climate {
    pub(crate) const fn new(is_unwatched: bool) -> Self {
        Self { is_healthy: false, trickled_at: None, runs: 0, is_unwatched }
    }

    pub(crate) const fn runs(&self) -> u32 {
        self.runs
    }
}

enum Phase {
    Asked(Vec<u8>),
    Sends,
    Over,
}

/// One connection to a source.
pub(crate) struct Stream {
    pub(crate) peer: PeerId,
    /// Which run it is, as its packets say.
    pub(crate) run: u32,
    phase: Phase,
    /// Whose source it is.
    channel: Option<u64>,
    random: Random,
    feed: Feed,
    next_at: Instant,
    fault_at: Instant,
    /// It sends nothing, or little, until then.
    stalls_until: Option<Instant>,
    trickles_until: Option<Instant>,
    flawed_until: Option<Instant>,
}

impl Stream {
    pub(crate) fn new(world: &World, peer: PeerId, climate: &mut Climate, random: &mut Random) -> Self {
        climate.runs += 1;
        let mut random = random.split();
        let gop = if !climate.is_healthy && random.below(8) == 0 { 300 } else { 3 * random.between(2, 12) };
        let shape = Shape::drawn(gop, ODD_ONE_IN, &mut random);
        let feed = Feed::new(climate.runs, shape, &mut random);
        let now = world.now();
        let fault_at = now + random.time(Duration::from_secs(25));
        Self {
            peer,
            run: climate.runs,
            phase: Phase::Asked(Vec::new()),
            channel: None,
            feed,
            next_at: now,
            fault_at,
            random,
            stalls_until: None,
            trickles_until: None,
            flawed_until: None,
        }
    }

    /// It sends, to whoever watches a channel.
    pub(crate) fn is_of(&self, channel: u64) -> bool {
        self.channel == Some(channel) && matches!(self.phase, Phase::Sends)
    }

    /// What it does now may end it.
    pub(crate) fn is_ill(&self, now: Instant) -> bool {
        [self.stalls_until, self.trickles_until, self.flawed_until].iter().any(Option::is_some)
            || !matches!(self.phase, Phase::Sends)
            // Sound of before a joint plays on, and nothing comes meanwhile.
            || self.next_at > now + FRAME_TIME
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    pub(crate) fn step(&mut self, world: &World, climate: &mut Climate) {
        if world.peer_end(self.peer).is_some() || world.peer_has_closed(self.peer) {
            self.leave(world, Leave::Close);
        }
        match &mut self.phase {
            Phase::Over => {}
            Phase::Asked(request) => {
                request.extend(world.peer_received(self.peer));
                if request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    self.channel = channel_of(request);
                    self.answer(world, climate);
                }
            }
            Phase::Sends => self.send(world, climate),
        }
    }

    fn leave(&mut self, world: &World, how: Leave) {
        if !world.peer_has_closed(self.peer) {
            world.peer_close(self.peer, how);
        }
        self.phase = Phase::Over;
    }

    fn answer(&mut self, world: &World, climate: &Climate) {
        let pause = self.random.between(1, 4);
        let refusal = match self.random.below(if climate.is_healthy { 1 } else { 24 }) {
            1 => "404 Not Found\r\nContent-Length: 0\r\n\r\n",
            2 => "429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
            3 => &format!("429 Too Many Requests\r\nRetry-After: {pause}\r\nContent-Length: 0\r\n\r\n"),
            4 => "500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            5 => {
                "200 OK\r\nContent-Type: text/html\r\nContent-Length: 31\r\n\r\n<html><body>Sorry</body></html>"
            }
            6 => {
                // It never answers.
                self.phase = Phase::Asked(Vec::new());
                return;
            }
            7 => return self.leave(world, Leave::Reset),
            _mostly => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
                world.peer_send(self.peer, head.as_bytes());
                self.phase = Phase::Sends;
                // Some have half a second in stock.
                self.next_at = world.now();
                let stock = self.random.below(12);
                let bytes = self.pictures(stock);
                world.peer_send(self.peer, &bytes);
                return;
            }
        };
        world.peer_send(self.peer, format!("HTTP/1.1 {refusal}").as_bytes());
        self.leave(world, Leave::Close);
    }

    fn pictures(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        (0..count).for_each(|_| self.feed.next(&mut bytes));
        bytes
    }

    fn send(&mut self, world: &World, climate: &mut Climate) {
        let now = world.now();
        if climate.is_healthy {
            self.trickles_until = None;
            if self.feed.is_like_radio() {
                self.flawed_until = None;
                self.feed.flaw = Flaw::None;
            }
            if climate.is_unwatched {
                (self.stalls_until, self.flawed_until) = (None, None);
                self.feed.flaw = Flaw::None;
            }
        } else if now >= self.fault_at {
            self.fault_at = now + self.random.time(Duration::from_secs(25));
            self.go_wrong(world, climate);
            if self.is_over() {
                return;
            }
        }
        if self.flawed_until.is_some_and(|until| until <= now) {
            self.flawed_until = None;
            self.feed.flaw = Flaw::None;
        }
        if self.trickles_until.is_some_and(|until| until <= now) {
            self.trickles_until = None;
        }
        if self.stalls_until.take_if(|until| *until <= now).is_some() {
            self.next_at = now;
        }
        if self.stalls_until.is_some() {
            return;
        }
        let mut bytes = Vec::new();
        while self.next_at <= now {
            self.next_at += FRAME_TIME;
            if self.trickles_until.is_some() {
                self.next_at += FRAME_TIME * TRICKLE;
                climate.trickled_at = Some(now);
            }
            if world.peer_unsent(self.peer) + bytes.len() < UNSENT_MAX {
                if self.feed.is_at_joint() {
                    self.feed.joint(&mut bytes, 0, &mut self.random);
                }
                self.feed.next(&mut bytes);
            }
        }
        if !bytes.is_empty() {
            world.peer_send(self.peer, &bytes);
        }
    }

    fn go_wrong(&mut self, world: &World, climate: &mut Climate) {
        let now = world.now();
        let random = &mut self.random;
        let until = match random.below(3) {
            0 => now + Duration::from_secs(3600),
            _mostly => now + random.time(Duration::from_secs(15)),
        };
        let hours = Duration::from_secs(random.below(20 * 3600));
        let ticks = u64::try_from(hours.as_millis()).unwrap() * 90;
        let fault = random.below(18);
        let mut bytes = Vec::new();
        log::info!("run {} suffers fault {fault} at {now:?}, until {until:?}", self.feed.run);
        match fault {
            0..=1 => self.stalls_until = Some(until),
            2 => self.trickles_until = Some(now + random.time(Duration::from_secs(8))),
            3 => self.leave_torn(world, Leave::Close),
            4 => self.leave_torn(world, Leave::Reset),
            5 => {
                self.feed.excuse_next();
                let garbage = random.bytes(1, 500);
                let garbage: Vec<u8> =
                    (0..garbage).map(|_| u8::try_from(random.below(0x40)).unwrap()).collect();
                world.peer_send(self.peer, &garbage);
            }
            6 => self.spoil(&mut bytes, Flaw::FrozenClock, until),
            7 => self.spoil(&mut bytes, Flaw::NoPictures, until),
            8 => self.spoil(&mut bytes, Flaw::OnlyNull, until),
            9 => self.feed.jump_to(&mut bytes, true, ticks),
            10 => self.feed.jump_to(&mut bytes, false, ticks),
            11 => {
                // A little, as a restarted encoder does. What is less is no other time base but a clock that is read again.
                let ticks = 9_000 + random.below(90_000 * 3 - 9_000);
                let forward = random.below(2) == 0;
                self.feed.jump_to(&mut bytes, forward, ticks);
            }
            12 => {
                let pictures = self.feed.change(&mut bytes, random);
                self.next_at += FRAME_TIME * u32::try_from(pictures).unwrap();
            }
            13 => self.feed.count_anew(random),
            14 => {
                let pictures = self.feed.joint(&mut bytes, random.below(76), random);
                self.next_at += FRAME_TIME * u32::try_from(pictures).unwrap();
                // Nothing comes while its sound plays on.
                climate.trickled_at = Some(now);
            }
            15 => self.feed.end_sound_early(random.below(76)),
            // A hole, by exactly what lost packets are.
            _some => self.feed.lose(random, &mut bytes),
        }
        if !bytes.is_empty() {
            world.peer_send(self.peer, &bytes);
        }
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>, flaw: Flaw, until: Instant) {
        self.feed.spoil(bytes, flaw);
        self.flawed_until = Some(until);
    }

    /// Ends, in the middle of a packet as likely as not.
    fn leave_torn(&mut self, world: &World, how: Leave) {
        let bytes = self.pictures(1);
        let cut = self.random.bytes(0, bytes.len());
        world.peer_send(self.peer, &bytes[..cut]);
        self.leave(world, how);
    }
}

/// Where a source lives.
pub(crate) fn address(number: i64) -> SocketAddr {
    SocketAddr::from(([10, 9, 0, u8::try_from(number).unwrap()], 8080))
}

/// Sources of a channel, which are numbered in a row.
pub(crate) const SOURCES_PER_CHANNEL: i64 = 4;

/// Whose source is asked for: `GET /live/7 HTTP/1.1`.
fn channel_of(request: &[u8]) -> Option<u64> {
    let request = String::from_utf8_lossy(request);
    let number: u64 = request.split(['/', ' ']).nth(3)?.parse().ok()?;
    Some(number.checked_sub(1)? / SOURCES_PER_CHANNEL.unsigned_abs() + 1)
}
