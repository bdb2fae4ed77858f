//! What a provider sees: who is connected to it, from when to when.

use std::net::SocketAddr;
use std::time::Duration;

use tunerd::base::Instant;
use tunerd::lineup::PlaylistId;
use tunerd::uring::sim::{PeerId, Random, World};

/// How many connections each of them allows.
pub(super) const LIMITS: [usize; 3] = [1, 2, 4];

/// The longest that one counts a connection of which it has seen the end.
const COUNTS_MAX: Duration = Duration::from_secs(2);

/// Whoever is connected.
enum Visitor {
    Connection(PeerId),
    /// A program, by its number.
    Program {
        number: u64,
        /// Whose it is, and what it does.
        of: String,
        from: Instant,
        until: Option<Instant>,
    },
}

impl Visitor {
    fn span(&self, world: &World) -> (Instant, Option<Instant>) {
        match self {
            Self::Connection(peer) => world.peer_visit(*peer),
            Self::Program { from, until, .. } => (*from, *until),
        }
    }

    fn describe(&self, world: &World) -> String {
        let (from, until) = self.span(world);
        let until = until.map_or_else(|| "now".to_owned(), |until| format!("{until:?}"));
        match self {
            Self::Connection(peer) => format!("{peer:?} from {from:?} until {until}"),
            Self::Program { of, .. } => format!("{of} from {from:?} until {until}"),
        }
    }
}

/// A provider.
pub(super) struct Provider {
    pub(super) playlist: PlaylistId,
    pub(super) address: SocketAddr,
    pub(super) limit: usize,
    /// How it says that there are too many.
    pub(super) refusal: &'static str,
    /// How long it counts a connection of which it has seen the end.
    counts_for: Duration,
    visitors: Vec<Visitor>,
    /// Those that it has counted since it was looked at last.
    news: Vec<Instant>,
    /// The ends that it counts for a while.
    ended: Vec<Instant>,
    pub(super) visits: u64,
    /// The most that were connected at once.
    pub(super) most: usize,
}

impl Provider {
    pub(super) fn drawn(place: usize, random: &mut Random) -> Self {
        let number = u8::try_from(place).unwrap() + 1;
        let too_many = [
            "429 Too Many Requests\r\n",
            "429 Too Many Requests\r\nRetry-After: 1\r\n",
            "503 Service Unavailable\r\n",
            "403 Forbidden\r\n",
        ];
        Self {
            playlist: PlaylistId(i64::from(number)),
            address: SocketAddr::from(([10, 9, 1, number], 8080)),
            limit: LIMITS[place],
            refusal: *random.pick(&too_many),
            counts_for: if random.below(2) == 0 { Duration::ZERO } else { random.time(COUNTS_MAX) },
            visitors: Vec::new(),
            news: Vec::new(),
            ended: Vec::new(),
            visits: 0,
            most: 0,
        }
    }

    /// From now on it forgets a connection when it has seen its end.
    pub(super) fn heal(&mut self) {
        self.counts_for = Duration::ZERO;
        self.ended.clear();
    }

    /// It has accepted a connection.
    pub(super) fn accepted(&mut self, world: &World, peer: PeerId) {
        self.came(world.peer_visit(peer).0, Visitor::Connection(peer));
    }

    /// A program has been started, and is connected from then on.
    pub(super) fn program_began(&mut self, from: Instant, number: u64, of: String) {
        self.came(from, Visitor::Program { number, of, from, until: None });
    }

    /// A program is gone, and its connection with it.
    pub(super) fn program_ended(&mut self, now: Instant, ended: u64) {
        for visitor in &mut self.visitors {
            if let Visitor::Program { number, until, .. } = visitor
                && *number == ended
            {
                until.get_or_insert(now);
            }
        }
    }

    fn came(&mut self, at: Instant, visitor: Visitor) {
        self.visitors.push(visitor);
        self.news.push(at);
        self.visits += 1;
    }

    /// True when it has more than it allows, as it counts.
    pub(super) fn counts_too_many(&self, world: &World) -> bool {
        let now = world.now();
        let is_open = |visitor: &&Visitor| visitor.span(world).1.is_none();
        let open = self.visitors.iter().filter(is_open).count();
        let counted = self.ended.iter().filter(|ended| now - **ended < self.counts_for).count();
        open + counted > self.limit
    }

    /// At no moment since the last look were there more than it allows. What is wrong, if anything.
    pub(super) fn check(&mut self, world: &World) -> Result<(), String> {
        let spans: Vec<_> = self.visitors.iter().map(|visitor| visitor.span(world)).collect();
        let now = world.now();
        for at in self.news.extract_if(.., |at| *at <= now) {
            let is_there = |span: &&(Instant, Option<Instant>)| {
                span.0 <= at && span.1.is_none_or(|over_at| over_at > at)
            };
            let there = spans.iter().filter(is_there).count();
            self.most = self.most.max(there);
            if there > self.limit {
                let visitors = self.visitors.iter().filter(|visitor| is_there(&&visitor.span(world)));
                let there: Vec<_> = visitors.map(|visitor| visitor.describe(world)).collect();
                return Err(format!(
                    "a provider of {} connections sees {} at {at:?}: {}",
                    self.limit,
                    there.len(),
                    there.join("; ")
                ));
            }
        }
        self.ended.retain(|ended| now - *ended < self.counts_for);
        let ended = spans.iter().filter_map(|span| span.1);
        self.ended.extend(ended);
        self.visitors.retain(|visitor| visitor.span(world).1.is_none());
        Ok(())
    }

    /// Somebody who is connected, and has been for longer than that.
    pub(super) fn older_than(&self, world: &World, time: Duration) -> Option<String> {
        let mut visitors = self.visitors.iter();
        let is_old = |visitor: &&Visitor| {
            let (from, until) = visitor.span(world);
            until.is_none() && world.now() - from > time
        };
        visitors.find(is_old).map(|visitor| visitor.describe(world))
    }
}
