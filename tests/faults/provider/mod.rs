//! Providers that do as their script says: each has an address of its own, plays a recording as a live stream, and knows
//! what happened on its connections.

mod fault;
mod media;
mod replay;
mod serve;
mod tests;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use fault::Fault;
pub(crate) use media::Make;
pub(crate) use replay::Replay;

use crate::kit::Stopwatch;

/// When a stream goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// So long after the connection's first byte.
    After(Duration),
    /// When the provider is told to.
    Told,
}

/// An answer without a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// 404.
    NotFound,
    /// 429 with `Retry-After`.
    TooMany,
    /// 200 with a page in HTML.
    Page,
    /// No answer at all, and the connection stays.
    Nothing,
}

/// What happens on one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// The stream, for as long as somebody reads.
    Play,
    /// The stream, until something goes wrong with it.
    Fail(When, Fault),
    /// No stream.
    Refuse(Refusal),
}

/// What a provider plays, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) make: Make,
    /// Added to all times of the recording, in ticks of 90 kHz.
    pub(crate) base: u64,
    /// What happens on the first connection, the second, and so on; the last act is repeated.
    pub(crate) script: Vec<Act>,
    /// Further lines of every answer's head, each with its end.
    pub(crate) headers: String,
    /// The body of refusals.
    pub(crate) body: String,
}

impl Plan {
    pub(crate) fn new(make: Make, script: &[Act]) -> Plan {
        Plan { make, base: 0, script: script.to_vec(), headers: String::new(), body: "no".to_owned() }
    }

    /// What happens on a connection, by its number.
    pub(crate) fn act(&self, connection: usize) -> Act {
        self.script[connection.min(self.script.len() - 1)]
    }
}

/// What happened on a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// The request's head.
    pub(crate) head: String,
    /// When its first byte of a stream was sent.
    pub(crate) played: Option<Duration>,
    /// When it went wrong.
    pub(crate) failed: Option<Duration>,
    /// When it was over.
    pub(crate) ended: Option<Duration>,
    /// By how much a packet has come later than it was due, at most.
    pub(crate) late: Duration,
}

pub(crate) struct Shared {
    plan: Plan,
    media: Arc<media::Media>,
    clock: Stopwatch,
    connections: Mutex<Vec<Connection>>,
    told: AtomicBool,
    over: AtomicBool,
}

/// A provider, until it is dropped.
pub(crate) struct Provider {
    address: SocketAddrV4,
    shared: Arc<Shared>,
}

impl Provider {
    /// Times are told by `clock`.
    pub(crate) fn start(clock: Stopwatch, plan: Plan) -> Provider {
        let listener = TcpListener::bind((own_host(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = SocketAddrV4::new(host_of(&listener), port);
        let shared = Arc::new(Shared {
            media: plan.make.media(),
            plan,
            clock,
            connections: Mutex::default(),
            told: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                // Ends with the connection; a client that goes away is no fault.
                std::thread::spawn(move || serve::serve(stream.ok()?, &shared));
            }
        });
        Provider { address, shared }
    }

    /// The address of its stream.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/live.ts", self.address)
    }

    /// The address of its stream with a user, a password and a query.
    pub(crate) fn url_with(&self, credentials: &str, query: &str) -> String {
        format!("http://{credentials}@{}/live.ts?{query}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// From now on what is to fail when told to fails.
    pub(crate) fn tell(&self) {
        self.shared.told.store(true, Ordering::Relaxed);
    }

    /// All connections so far.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.shared.connections.lock().unwrap().clone()
    }

    /// When it began to play at last.
    pub(crate) fn played(&self) -> Option<Duration> {
        self.connections().iter().rev().find_map(|connection| connection.played)
    }

    /// By how much it has sent later than it should have, at most.
    pub(crate) fn late(&self) -> Duration {
        self.connections().iter().map(|connection| connection.late).max().unwrap_or_default()
    }

    /// When something went wrong first.
    pub(crate) fn failed(&self) -> Option<Duration> {
        self.connections().iter().find_map(|connection| connection.failed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // The listener's thread looks at the flag when somebody comes.
        let _refused = TcpStream::connect(self.address);
    }
}

/// An address of this host that no other provider of these tests has.
fn own_host() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

fn host_of(listener: &TcpListener) -> Ipv4Addr {
    match listener.local_addr().unwrap() {
        std::net::SocketAddr::V4(address) => *address.ip(),
        std::net::SocketAddr::V6(address) => unreachable!("{address} was bound as IPv4"),
    }
}
