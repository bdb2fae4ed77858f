//! The simulated kernel: its clock, its files, and what is going to happen.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{Errno, Instant};

use super::super::driver::{Hangup, Reception};
use super::connection::{Connection, PeerId};
use super::descriptor::Dropped;
use super::faults::Faults;
use super::random::Random;
use super::server::Server;
use super::span::{OpId, Span, fold};

mod execute;
mod network;

/// What one turn of a core takes at least. A loop that never waits still lets time pass.
const TURN_TIME: Duration = Duration::from_micros(1);
/// The longest a turn waits. Whoever waits longer is woken for nothing, as a signal would wake it.
const WAIT_MAX: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::uring::sim) enum What {
    Accept,
    AwaitHangup,
    Receive,
    Read,
    Send,
    SendNow,
    AwaitRoom,
    SendZeroCopy,
    Connect(SocketAddr),
    Gather,
}

/// An operation the kernel has.
#[derive(Debug)]
pub(in crate::uring::sim) struct Op {
    pub(in crate::uring::sim) what: What,
    pub(in crate::uring::sim) file: u32,
    pub(in crate::uring::sim) span: Option<Span>,
    /// Of the span, when the operation sends it: what must not change.
    pub(in crate::uring::sim) checksum: u64,
    /// It has been tried and had to wait.
    pub(in crate::uring::sim) waited: bool,
    /// What a poll has noticed last.
    pub(in crate::uring::sim) noticed: u32,
    /// Bytes of a zero-copy send that lie in a queue.
    pub(in crate::uring::sim) held: usize,
    /// When its last completion so far is seen. The next one is not seen earlier.
    pub(in crate::uring::sim) seen_at: Instant,
}

impl Op {
    pub(in crate::uring::sim) const fn new(what: What, file: u32, span: Option<Span>, checksum: u64) -> Self {
        Self { what, file, span, checksum, waited: false, noticed: 0, held: 0, seen_at: Instant::START }
    }
}

/// What a completion says.
#[derive(Clone, Copy, Debug)]
pub(in crate::uring::sim) enum Said {
    Done(Result<u32, Errno>),
    /// A poll has noticed these events, and goes on.
    Noticed(u32),
    Accepted(u32),
    /// The accept has ended with this connection.
    AcceptedLast(u32),
    Taken(Result<u32, Errno>),
    Released {
        copied: bool,
    },
}

/// Bytes on their way to an address.
#[derive(Debug)]
pub(in crate::uring::sim) struct Datagram {
    pub(in crate::uring::sim) from: IpAddr,
    pub(in crate::uring::sim) to: SocketAddr,
    pub(in crate::uring::sim) bytes: Vec<u8>,
}

/// A completion queue entry.
#[derive(Clone, Copy, Debug)]
pub(in crate::uring::sim) struct Cqe {
    pub(in crate::uring::sim) user_data: u64,
    pub(in crate::uring::sim) said: Said,
}

/// Something that is going to happen.
#[derive(Clone, Copy, Debug)]
pub(in crate::uring::sim) enum Occurrence {
    /// Operations waiting on a file are tried.
    Attempt(u32),
    /// A client's connection reaches the listener.
    Knock(PeerId),
    /// A connection attempt of ours is answered.
    Answered(OpId),
    /// A connection attempt of ours is given up.
    Unanswered(OpId),
    /// What a far end has sent arrives.
    Arrive(PeerId),
    /// A far end reads.
    Deliver(PeerId, u32),
    /// A far end's RST arrives.
    Break(PeerId),
    /// A connection we have closed, of which so much had been delivered, is given up.
    Orphan(PeerId, u64),
    /// A completion is seen.
    Seen(u32, Cqe),
    /// A zero-copy send's memory is let go.
    Release(OpId),
    /// A datagram arrives.
    Datagram(u64),
}

#[derive(Debug)]
pub(in crate::uring::sim) enum FileKind {
    Listener {
        address: SocketAddr,
        backlog: VecDeque<PeerId>,
    },
    Unconnected,
    Socket(PeerId),
    Pipe(PeerId),
    Wakeup {
        count: u64,
    },
    /// Datagrams to an address: those that wait, and those that were gathered last, and how many found no
    /// room.
    Receiver {
        reception: Reception,
        waiting: VecDeque<Vec<u8>>,
        gathered: Vec<Vec<u8>>,
        dropped: u64,
    },
}

#[derive(Debug)]
pub(in crate::uring::sim) struct File {
    pub(in crate::uring::sim) kind: FileKind,
    /// Operations that wait, oldest first.
    pub(in crate::uring::sim) waiting: Vec<OpId>,
    attempt_due: bool,
}

pub(in crate::uring::sim) struct Host {
    pub(in crate::uring::sim) now: Instant,
    pub(in crate::uring::sim) random: Random,
    pub(in crate::uring::sim) faults: Faults,
    pub(in crate::uring::sim) queue_bytes: usize,
    pub(in crate::uring::sim) files: BTreeMap<u32, File>,
    pub(in crate::uring::sim) operations: BTreeMap<OpId, Op>,
    pub(in crate::uring::sim) connections: BTreeMap<PeerId, Connection>,
    pub(in crate::uring::sim) servers: BTreeMap<SocketAddr, Server>,
    pub(in crate::uring::sim) dropped: Dropped,
    /// Datagrams on their way, by their numbers, and how many there have been.
    datagrams: BTreeMap<u64, Datagram>,
    datagrams_sent: u64,
    /// Each driver's completions.
    pub(in crate::uring::sim) seen: Vec<VecDeque<Cqe>>,
    /// A hash of everything that has happened.
    pub(in crate::uring::sim) digest: u64,
    agenda: BTreeMap<(Instant, u64), Occurrence>,
    scheduled: u64,
    files_opened: u32,
    /// No turn waits past this moment.
    pub(in crate::uring::sim) wake_at: Option<Instant>,
}

impl Host {
    pub(in crate::uring::sim) fn new(seed: u64, faults: Faults, queue_bytes: usize) -> Self {
        Self {
            now: Instant::START,
            random: Random::new(seed),
            faults,
            queue_bytes,
            files: BTreeMap::new(),
            operations: BTreeMap::new(),
            connections: BTreeMap::new(),
            servers: BTreeMap::new(),
            dropped: Dropped::default(),
            datagrams: BTreeMap::new(),
            datagrams_sent: 0,
            seen: Vec::new(),
            digest: seed,
            agenda: BTreeMap::new(),
            scheduled: 0,
            files_opened: 0,
            wake_at: None,
        }
    }

    pub(in crate::uring::sim) fn schedule(&mut self, at: Instant, event: Occurrence) {
        self.scheduled += 1;
        self.agenda.insert((at, self.scheduled), event);
    }

    pub(in crate::uring::sim) fn note(&mut self, words: [u64; 2]) {
        self.digest = words.into_iter().fold(fold(self.digest, self.now.as_nanos()), fold);
    }

    /// Lets time pass until a driver has a completion, the test is to be woken, or the wait is over. Any driver:
    /// the others run on the same time, and one that waits must not make them late.
    pub(in crate::uring::sim) fn turn(&mut self, wait: Duration) {
        self.close_dropped();
        let mut busy = TURN_TIME;
        if self.random.happens(self.faults.stall) {
            busy += self.random.time(self.faults.stall_max);
        }
        self.run_until(self.now + busy);
        let limit = self.now + wait.min(WAIT_MAX);
        let limit = self.wake_at.map_or(limit, |wake_at| limit.min(wake_at.max(self.now)));
        let interrupted = self.random.happens(self.faults.interrupted);
        while !interrupted && !self.has_anything_to_say() {
            if !self.run_next(limit) {
                self.now = limit;
                return;
            }
        }
    }

    /// Lets time pass without anybody looking.
    pub(in crate::uring::sim) fn run_until(&mut self, limit: Instant) {
        while self.run_next(limit) {}
        self.now = limit;
    }

    fn has_anything_to_say(&self) -> bool {
        self.seen.iter().any(|completions| !completions.is_empty())
    }

    fn run_next(&mut self, limit: Instant) -> bool {
        let Some(next) = self.agenda.first_entry().filter(|next| next.key().0 <= limit) else {
            return false;
        };
        let ((at, _), event) = next.remove_entry();
        self.now = self.now.max(at);
        match event {
            Occurrence::Attempt(number) => self.attempt_waiting(number),
            Occurrence::Knock(peer) => self.knock(peer),
            Occurrence::Answered(id) => self.answered(id),
            Occurrence::Unanswered(id) => self.finish(id, Err(Errno::TIMEDOUT)),
            Occurrence::Arrive(peer) => self.arrive(peer),
            Occurrence::Deliver(peer, generation) => self.deliver(peer, generation),
            Occurrence::Break(peer) => self.break_by_far(peer),
            Occurrence::Orphan(peer, delivered) => self.give_up_orphan(peer, delivered),
            Occurrence::Seen(driver, cqe) => self.see(driver, cqe),
            Occurrence::Release(id) => self.release(id),
            Occurrence::Datagram(number) => self.datagram(number),
        }
        true
    }

    pub(in crate::uring::sim) fn see(&mut self, driver: u32, cqe: Cqe) {
        let said = match cqe.said {
            Said::Done(Ok(count)) => u64::from(count),
            Said::Done(Err(errno)) => 1 << 32 | u64::from(errno.number().unsigned_abs()),
            Said::Noticed(events) => 7 << 32 | u64::from(events),
            Said::Accepted(number) => 2 << 32 | u64::from(number),
            Said::AcceptedLast(number) => 6 << 32 | u64::from(number),
            Said::Taken(Ok(count)) => 3 << 32 | u64::from(count),
            Said::Taken(Err(errno)) => 4 << 32 | u64::from(errno.number().unsigned_abs()),
            Said::Released { copied } => 5 << 32 | u64::from(copied),
        };
        self.note([cqe.user_data, said]);
        self.seen[driver as usize].push_back(cqe);
    }

    /// A driver is gone. Its memory goes with it; what lies in queues still arrives.
    pub(in crate::uring::sim) fn forget(&mut self, driver: u32) {
        self.operations.retain(|id, _| id.driver != driver);
        for file in self.files.values_mut() {
            file.waiting.retain(|id| id.driver != driver);
        }
        let mut unseen: Vec<Cqe> = self.seen[driver as usize].drain(..).collect();
        self.agenda.retain(|_, event| match event {
            Occurrence::Seen(of, cqe) if *of == driver => {
                unseen.push(*cqe);
                false
            }
            Occurrence::Seen(..)
            | Occurrence::Attempt(_)
            | Occurrence::Knock(_)
            | Occurrence::Answered(_)
            | Occurrence::Unanswered(_)
            | Occurrence::Arrive(_)
            | Occurrence::Deliver(..)
            | Occurrence::Break(_)
            | Occurrence::Orphan(..)
            | Occurrence::Release(_)
            | Occurrence::Datagram(_) => true,
        });
        for cqe in unseen {
            match cqe.said {
                Said::Accepted(number) | Said::AcceptedLast(number) => {
                    self.close_file(number, Hangup::Finish);
                }
                Said::Done(_) | Said::Noticed(_) | Said::Taken(_) | Said::Released { .. } => {}
            }
        }
    }

    pub(in crate::uring::sim) fn open_file(&mut self, kind: FileKind) -> u32 {
        // As in a process whose standard streams are open.
        let number = 3 + self.files_opened;
        self.files_opened += 1;
        self.files.insert(number, File { kind, waiting: Vec::new(), attempt_due: false });
        number
    }

    pub(in crate::uring::sim) fn close_dropped(&mut self) {
        for number in self.dropped.take() {
            self.close_file(number, Hangup::Finish);
        }
    }

    /// Closes a file unless that has been done.
    pub(in crate::uring::sim) fn close_file(&mut self, number: u32, how: Hangup) {
        let Some(file) = self.files.remove(&number) else { return };
        assert!(file.waiting.is_empty(), "file {number} has operations in flight: {:?}", file.waiting);
        match file.kind {
            FileKind::Listener { backlog, .. } => {
                for peer in backlog {
                    self.break_by_near(peer);
                }
            }
            FileKind::Socket(peer) | FileKind::Pipe(peer) => self.near_closed(peer, how),
            FileKind::Unconnected | FileKind::Wakeup { .. } | FileKind::Receiver { .. } => {}
        }
    }

    /// Says to the far end that we are gone, while the file is still open.
    pub(in crate::uring::sim) fn shut_down(&mut self, number: u32) {
        let Some(file) = self.files.get(&number) else { return };
        match file.kind {
            FileKind::Socket(peer) => self.near_shut(peer),
            // A connection that is only asked for has been given up with its operation.
            FileKind::Unconnected
            | FileKind::Listener { .. }
            | FileKind::Pipe(_)
            | FileKind::Wakeup { .. }
            | FileKind::Receiver { .. } => {}
        }
    }

    /// Something about a file has changed: what waits for it may go on.
    pub(in crate::uring::sim) fn poke(&mut self, number: u32) {
        let Some(file) = self.files.get_mut(&number) else { return };
        if file.waiting.is_empty() || file.attempt_due {
            return;
        }
        file.attempt_due = true;
        let at = self.now + self.lateness();
        self.schedule(at, Occurrence::Attempt(number));
    }

    pub(in crate::uring::sim) fn lateness(&mut self) -> Duration {
        if self.random.happens(self.faults.late) {
            self.random.time(self.faults.late_max)
        } else {
            Duration::ZERO
        }
    }

    fn attempt_waiting(&mut self, number: u32) {
        let Some(file) = self.files.get_mut(&number) else { return };
        file.attempt_due = false;
        for id in file.waiting.clone() {
            self.attempt(id);
        }
    }

    pub(in crate::uring::sim) fn connection(&mut self, peer: PeerId) -> &mut Connection {
        self.connections.get_mut(&peer).expect("connections are kept as long as the world")
    }
}
