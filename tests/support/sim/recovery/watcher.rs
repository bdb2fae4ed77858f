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
    /// Whoever reads too slowly is moved forward.
    pub(crate) skips: bool,
}

struct Visit {
    peer: PeerId,
    head: Vec<u8>,
    is_stream: bool,
    witness: Witness,
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
    /// It does not stay, or does not read well.
    pub(crate) is_fickle: bool,
    leaves_at: Instant,
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
        is_fickle: bool,
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
            is_fickle,
            leaves_at: world.now(),
            visits: 0,
            packets: 0,
            live_packets: 0,
            live_at: None,
        }
    }

    pub(crate) fn step(&mut self, world: &World, trickled_at: Option<Instant>) -> Result<(), String> {
        let now = world.now();
        let Some(visit) = &mut self.visit else {
            if now >= self.comes_at {
                self.come(world);
            }
            return Ok(());
        };
        let received = world.peer_received(visit.peer);
        let silent = now - visit.last_byte_at;
        let may_be_slow = self.is_fickle
            || !visit.is_stream
            || trickled_at.is_some_and(|at| now - at < Duration::from_secs(15));
        if !may_be_slow && self.promise.gap_max.is_some_and(|most| silent > most) {
            return Err(format!("nothing comes for {silent:?}, {:?}", world.peer_end(visit.peer)));
        }
        if !received.is_empty() {
            visit.last_byte_at = now;
            visit.take(now, &received)?;
            self.live_at = visit.witness.live_at.or(self.live_at);
        }
        if world.peer_end(visit.peer).is_some() || self.is_fickle && now >= self.leaves_at {
            let how = *self.random.pick(&[Leave::Close, Leave::Reset]);
            self.go(world, how);
            self.comes_at = now + Duration::from_millis(300) + self.random.time(Duration::from_secs(2));
        }
        Ok(())
    }

    fn come(&mut self, world: &World) {
        let peer = world.connect_client(self.listener);
        let request = format!("GET /auto/v{} HTTP/1.1\r\nHost: tunerd\r\n\r\n", self.channel);
        world.peer_send(peer, request.as_bytes());
        if self.is_fickle && self.random.below(2) == 0 {
            world.peer_set_read_rate(peer, Rate::BytesPerSecond(self.random.between(2_000, 60_000)));
        }
        let mut witness = Witness::default();
        witness.is_prompt = !self.is_fickle;
        witness.may_miss = self.is_fickle && self.promise.skips;
        let now = world.now();
        self.leaves_at = now + self.random.time(Duration::from_secs(20));
        self.visits += 1;
        self.visit = Some(Visit { peer, head: Vec::new(), is_stream: false, witness, last_byte_at: now });
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
