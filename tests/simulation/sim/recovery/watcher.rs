//! Viewers that want to see a channel: who is cut off comes again.

use std::net::SocketAddr;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::uring::sim::{Leave, PeerId, Random, Rate, World};

use super::witness::Witness;

/// What a story promises its viewers.
#[derive(Clone, Copy)]
pub(crate) struct Promise {
    /// While the connection lasts something comes at least this often.
    pub(crate) gap_max: Option<Duration>,
    /// It lasts until the viewer goes.
    pub(crate) lasts: bool,
    /// Whoever reads too slowly is moved forward.
    pub(crate) skips: bool,
    /// The clock runs ahead of real time by this at most between two samples.
    pub(crate) clock_ahead_max: Duration,
}

/// How a viewer goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Habit {
    /// It reads whatever comes, and stays.
    Prompt,
    /// It does not stay, or does not read well.
    Fickle,
    /// It reads so many bytes in a second, which is the programme's own rate or more, and stays so long.
    Steady(u64, Duration),
}

struct Visit {
    peer: PeerId,
    head: Vec<u8>,
    is_stream: bool,
    witness: Witness,
    came_at: Instant,
    last_byte_at: Instant,
}

/// One viewer.
pub(crate) struct Watcher {
    pub(crate) channel: u64,
    listener: SocketAddr,
    promise: Promise,
    random: Random,
    visit: Option<Visit>,
    comes_at: Instant,
    habit: Habit,
    leaves_at: Instant,
    /// When its connection was ended by us, the last time.
    pub(crate) ended_at: Option<Instant>,
    shown_run: Option<u32>,
    pub(crate) visits: u64,
    pub(crate) packets: u64,
    pub(crate) live_packets: u64,
    pub(crate) live_at: Option<Instant>,
}

impl Watcher {
    pub(crate) fn new(
        world: &World,
        listener: SocketAddr,
        channel: u64,
        habit: Habit,
        promise: Promise,
        random: &mut Random,
    ) -> Self {
        let mut random = random.split();
        Self {
            channel,
            listener,
            promise,
            comes_at: world.now() + random.time(Duration::from_secs(2)),
            random,
            visit: None,
            habit,
            leaves_at: world.now(),
            ended_at: None,
            shown_run: None,
            visits: 0,
            packets: 0,
            live_packets: 0,
            live_at: None,
        }
    }

    pub(crate) fn step(&mut self, world: &World, trickled_at: Option<Instant>) -> Result<(), String> {
        let now = world.now();
        let is_fickle = self.is_fickle();
        let Some(visit) = &mut self.visit else {
            if now >= self.comes_at {
                self.come(world);
            }
            return Ok(());
        };
        let received = world.peer_received(visit.peer);
        let silent = now - visit.last_byte_at;
        let may_be_slow =
            is_fickle || !visit.is_stream || trickled_at.is_some_and(|at| now - at < Duration::from_secs(15));
        if !may_be_slow && self.promise.gap_max.is_some_and(|most| silent > most) {
            return Err(format!("nothing comes for {silent:?}, {:?}", world.peer_end(visit.peer)));
        }
        if !received.is_empty() {
            visit.last_byte_at = now;
            visit.take(now, &received)?;
            self.live_at = visit.witness.live_at.or(self.live_at);
        }
        let end = world.peer_end(visit.peer);
        if let Some(end) = end {
            if self.promise.lasts {
                return Err(format!("ended: {end:?}, and there is no reason"));
            }
            self.ended_at = Some(now);
            self.shown_run = visit.witness.live_run();
        }
        if end.is_some() || now >= self.leaves_at {
            let how = *self.random.pick(&[Leave::Close, Leave::Reset]);
            self.go(world, how);
            self.comes_at = now + Duration::from_millis(300) + self.random.time(Duration::from_secs(2));
        }
        Ok(())
    }

    pub(crate) fn is_fickle(&self) -> bool {
        self.habit == Habit::Fickle
    }

    /// The run of the source that it was shown last, in the visit that has just ended.
    pub(crate) fn shown_run(&self) -> Option<u32> {
        self.shown_run
    }

    /// From now on.
    pub(crate) fn promise(&mut self, promise: Promise) {
        self.promise = promise;
    }

    pub(crate) fn promised(&self) -> Promise {
        self.promise
    }

    /// It comes then, and not earlier.
    pub(crate) fn comes_at(&mut self, at: Instant) {
        self.comes_at = at;
    }

    /// The run of the source that it is shown.
    pub(crate) fn live_run(&self) -> Option<u32> {
        self.visit.as_ref().and_then(|visit| visit.witness.live_run())
    }

    /// It is there since then and has seen no picture of a source.
    pub(crate) fn dark_since(&self) -> Option<Instant> {
        let visit = self.visit.as_ref().filter(|visit| visit.witness.live_at.is_none());
        visit.map(|visit| visit.came_at)
    }

    fn come(&mut self, world: &World) {
        let peer = world.connect_client(self.listener);
        let request = format!("GET /auto/v{} HTTP/1.1\r\nHost: tunerd\r\n\r\n", self.channel);
        world.peer_send(peer, request.as_bytes());
        let now = world.now();
        let (rate, stay) = match self.habit {
            Habit::Prompt => (Rate::Unlimited, Duration::MAX),
            Habit::Steady(rate, stay) => (Rate::BytesPerSecond(rate), stay),
            Habit::Fickle => {
                let slow = Rate::BytesPerSecond(self.random.between(2_000, 60_000));
                let rate = if self.random.below(2) == 0 { slow } else { Rate::Unlimited };
                (rate, self.random.time(Duration::from_secs(20)))
            }
        };
        world.peer_set_read_rate(peer, rate);
        self.leaves_at = now + stay;
        let mut witness = Witness::default();
        witness.is_prompt = self.habit == Habit::Prompt;
        witness.may_miss = self.is_fickle() && self.promise.skips;
        witness.clock_ahead_max = self.promise.clock_ahead_max;
        self.visits += 1;
        self.visit = Some(Visit {
            peer,
            head: Vec::new(),
            is_stream: false,
            witness,
            came_at: now,
            last_byte_at: now,
        });
    }

    /// It goes, and does not come again unless time brings it.
    pub(crate) fn go(&mut self, world: &World, how: Leave) {
        self.comes_at = world.now() + Duration::MAX;
        let Some(visit) = self.visit.take() else { return };
        world.peer_close(visit.peer, how);
        self.packets += visit.witness.packets();
        self.live_packets += visit.witness.live_packets;
    }
}

impl Visit {
    fn take(&mut self, now: Instant, bytes: &[u8]) -> Result<(), String> {
        if self.is_stream {
            return self.witness.feed(now, bytes);
        }
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(()) };
        let rest = self.head.split_off(end + 4);
        let head = String::from_utf8_lossy(&self.head);
        let status = head.split(' ').nth(1).unwrap_or("");
        match status {
            "200" => {
                self.is_stream = true;
                self.witness.feed(now, &rest)
            }
            "503" => Ok(()),
            _other => Err(format!("answered with {head}")),
        }
    }
}
