//! What happens between our sockets and the far ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::base::{Errno, Instant};

use super::{Datagram, FileKind, Host, Occurrence, What};
use crate::uring::driver::Hangup;
use crate::uring::sim::connection::{Connection, End, Leave, Line, Near, PeerId, Rate};
use crate::uring::sim::flow::Piece;
use crate::uring::sim::server::Answer;
use crate::uring::sim::span::OpId;

/// What every packet takes at least.
const LATENCY: Duration = Duration::from_micros(50);
/// A far end that reads slowly does so this many times a second, unless that were less than a packet each time.
const READS_PER_SECOND: u64 = 100;
const READ_BYTES_MIN: u64 = 1448;
/// Linux gives up a connection that nobody answers after about this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// And a closed one, of which nothing more is acknowledged, after about this long.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(120);
/// What Linux's pipes can be set to.
const PIPE_BYTES: usize = 1 << 20;

impl Host {
    pub(in crate::uring::sim) fn latency(&mut self) -> Duration {
        LATENCY + self.random.time(self.faults.latency_max)
    }

    /// When what we send arrives: the way to a server is one, on which nothing overtakes anything.
    pub(in crate::uring::sim) fn behind_others(&mut self, server: SocketAddr, arrives: Instant) -> Instant {
        let Some(server) = self.servers.get_mut(&server) else { return arrives };
        server.reached_at = arrives.max(server.reached_at + Duration::from_nanos(1));
        server.reached_at
    }

    fn schedule_soon(&mut self, event: Occurrence) {
        let at = self.now + self.latency();
        self.schedule(at, event);
    }

    /// Somebody sends a datagram.
    pub(in crate::uring::sim) fn send_datagram(&mut self, datagram: Datagram) {
        let number = self.datagrams_sent;
        self.datagrams_sent += 1;
        self.datagrams.insert(number, datagram);
        self.schedule_soon(Occurrence::Datagram(number));
    }

    /// A datagram arrives with all who receive what is sent to its address; those whose queue is full lose it.
    pub(in crate::uring::sim) fn datagram(&mut self, number: u64) {
        let Datagram { from, to, bytes } = self.datagrams.remove(&number).expect("it is on its way once");
        let queue_bytes = self.queue_bytes;
        let mut reached = Vec::new();
        for (&file_number, file) in &mut self.files {
            let FileKind::Receiver { reception, waiting, dropped, .. } = &mut file.kind else { continue };
            let at = reception.to;
            let is_wanted = at == to || (at.ip().is_unspecified() && at.port() == to.port());
            let is_from = reception.from.is_empty() || reception.from.contains(&from);
            let is_room = waiting.iter().map(Vec::len).sum::<usize>() + bytes.len() <= queue_bytes;
            match (is_wanted && is_from, is_room) {
                (true, true) => {
                    waiting.push_back(bytes.clone());
                    reached.push(file_number);
                }
                (true, false) => *dropped += 1,
                (false, _) => {}
            }
        }
        for file_number in reached {
            self.note([u64::from(file_number), bytes.len() as u64]);
            self.poke(file_number);
        }
    }

    fn new_connection(&mut self, line: Line, near_address: SocketAddr) -> PeerId {
        let number = u32::try_from(self.connections.len()).expect("a world has less than 2^32 connections");
        let peer = PeerId(number);
        // Each far end has an address of its own, so that a test can tell them apart.
        let port = u16::try_from(20_000 + number % 40_000).expect("below 65536");
        let address = Ipv4Addr::from(0x0a01_0000 + number / 40_000);
        let far_address = SocketAddr::from((address, port));
        let queue_bytes = if line == Line::Pipe { PIPE_BYTES } else { self.queue_bytes };
        self.connections.insert(peer, Connection::new(line, far_address, near_address, queue_bytes));
        peer
    }

    pub(in crate::uring::sim) fn new_pipe(&mut self) -> (u32, PeerId) {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let peer = self.new_connection(Line::Pipe, nowhere);
        let number = self.open_file(FileKind::Pipe(peer));
        self.connection(peer).near = Near::Open(number);
        (number, peer)
    }

    pub(in crate::uring::sim) fn connect_client(&mut self, listener: SocketAddr) -> PeerId {
        let peer = self.new_connection(Line::Socket, listener);
        self.schedule_soon(Occurrence::Knock(peer));
        peer
    }

    pub(in crate::uring::sim) fn knock(&mut self, peer: PeerId) {
        let wanted = self.connection(peer).near_address;
        // Several listeners of one address share its clients, as with SO_REUSEPORT.
        let listeners: Vec<u32> = self
            .files
            .iter()
            .filter(
                |(_, file)| matches!(&file.kind, FileKind::Listener { address, .. } if *address == wanted),
            )
            .map(|(&number, _)| number)
            .collect();
        if listeners.is_empty() {
            return self.break_by_near(peer);
        }
        let number = *self.random.pick(&listeners);
        let file = self.files.get_mut(&number).expect("found above");
        let FileKind::Listener { backlog, .. } = &mut file.kind else { unreachable!("filtered above") };
        backlog.push_back(peer);
        self.poke(number);
    }

    pub(in crate::uring::sim) fn answered(&mut self, id: OpId) {
        let Some(op) = self.operations.get(&id) else { return };
        let What::Connect(address) = op.what else { unreachable!("only a connect is answered") };
        let number = op.file;
        let now = self.now;
        let answer = self.servers.get(&address).map_or(Answer::Refuse, |server| server.answer);
        if self.random.happens(self.faults.connect_fails) {
            // ENETUNREACH and EHOSTUNREACH: a router answered.
            let unreachable = [Errno::from_positive(101), Errno::from_positive(113)];
            let errno = *self.random.pick(&unreachable);
            return self.finish(id, Err(errno));
        }
        match answer {
            Answer::Refuse => self.finish(id, Err(Errno::CONNREFUSED)),
            Answer::Silent => self.schedule(self.now + CONNECT_TIMEOUT, Occurrence::Unanswered(id)),
            Answer::Accept => {
                let near_address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 40_000));
                let peer = self.new_connection(Line::Socket, near_address);
                let connection = self.connection(peer);
                connection.far_address = address;
                connection.near = Near::Open(number);
                connection.begun_at = now;
                self.files.get_mut(&number).expect("connecting").kind = FileKind::Socket(peer);
                let server = self.servers.get_mut(&address).expect("it has just answered");
                server.arrivals.push_back(peer);
                self.finish(id, Ok(0));
            }
        }
    }

    pub(in crate::uring::sim) fn send_from_far(&mut self, peer: PeerId, bytes: &[u8]) {
        let connection = self.connection(peer);
        assert!(!connection.fin_wanted, "{peer:?} has closed and sends no more");
        if !connection.broken {
            connection.unsent.extend(bytes);
            self.schedule_soon(Occurrence::Arrive(peer));
        }
    }

    /// The far end learns that our socket's queue has room again.
    pub(in crate::uring::sim) fn make_room_known(&mut self, peer: PeerId) {
        self.schedule_soon(Occurrence::Arrive(peer));
    }

    /// Moves what the far end has sent into our socket's queue, as far as it fits.
    pub(in crate::uring::sim) fn arrive(&mut self, peer: PeerId) {
        let fragments = self.random.happens(self.faults.fragment);
        let connection = self.connection(peer);
        if connection.broken {
            connection.unsent.clear();
            return;
        }
        if connection.near == Near::Gone || connection.near_finished {
            // We have closed, and cannot take what comes.
            if !connection.unsent.is_empty() {
                self.break_by_near(peer);
            }
            return;
        }
        let fits = connection.unsent.len().min(connection.incoming.free());
        let bytes = if fragments && fits > 0 { self.random.bytes(1, fits) } else { fits };
        let connection = self.connection(peer);
        let arrived: Vec<u8> = connection.unsent.drain(..bytes).collect();
        connection.incoming.push(Piece::Copied(arrived));
        let ends = connection.fin_wanted && connection.unsent.is_empty() && !connection.incoming_ended;
        connection.incoming_ended |= ends;
        if bytes < fits {
            self.schedule_soon(Occurrence::Arrive(peer));
        }
        if bytes > 0 || ends {
            self.poke_near(peer);
        }
    }

    fn poke_near(&mut self, peer: PeerId) {
        if let Near::Open(number) = self.connection(peer).near {
            self.poke(number);
        }
    }

    pub(in crate::uring::sim) fn set_rate(&mut self, peer: PeerId, rate: Rate) {
        let connection = self.connection(peer);
        connection.rate = rate;
        connection.delivery_generation += 1;
        connection.delivery_due = false;
        self.schedule_delivery(peer);
    }

    /// How much the far end reads in one go, and how often.
    fn reading(rate: Rate) -> (usize, Duration) {
        match rate {
            Rate::Unlimited | Rate::Stopped => (usize::MAX, Duration::ZERO),
            Rate::BytesPerSecond(rate) => {
                let rate = rate.max(1);
                let bytes = (rate / READS_PER_SECOND).max(READ_BYTES_MIN);
                let nanos = bytes.saturating_mul(1_000_000_000) / rate;
                (usize::try_from(bytes).unwrap_or(usize::MAX), Duration::from_nanos(nanos))
            }
        }
    }

    pub(in crate::uring::sim) fn schedule_delivery(&mut self, peer: PeerId) {
        let connection = self.connection(peer);
        let idle = connection.outgoing.bytes() == 0 && !connection.near_finished;
        let stopped = connection.rate == Rate::Stopped && !connection.far_closed;
        if connection.delivery_due || idle || stopped || connection.broken || connection.end.is_some() {
            return;
        }
        connection.delivery_due = true;
        let event = Occurrence::Deliver(peer, connection.delivery_generation);
        let ((_, pause), address) = (Self::reading(connection.rate), connection.far_address);
        let arrives = self.now + self.latency();
        let at = self.behind_others(address, arrives).max(self.now + pause);
        self.schedule(at, event);
    }

    /// The far end reads.
    pub(in crate::uring::sim) fn deliver(&mut self, peer: PeerId, generation: u32) {
        let now = self.now;
        let connection = self.connection(peer);
        if generation != connection.delivery_generation || connection.broken {
            return;
        }
        connection.delivery_due = false;
        if connection.far_closed && connection.outgoing.bytes() > 0 {
            // It is sent to after it has closed.
            return self.break_by_far(peer);
        }
        let (most, _) = Self::reading(connection.rate);
        let mut bytes = 0;
        for piece in self.connection(peer).outgoing.take(most) {
            let piece = match piece {
                Piece::Copied(piece) => piece,
                Piece::Held { op, bytes } => {
                    self.let_go(op, bytes.len());
                    bytes
                }
            };
            bytes += piece.len();
            self.connection(peer).received.extend(piece);
        }
        let connection = self.connection(peer);
        connection.delivered += bytes as u64;
        if connection.near_finished && connection.outgoing.bytes() == 0 {
            connection.end = Some(End::Finished);
            connection.over_at.get_or_insert(now);
        }
        let delivered = connection.delivered;
        self.note([u64::from(peer.0), delivered]);
        self.poke_near(peer);
        self.schedule_delivery(peer);
    }

    pub(in crate::uring::sim) fn leave(&mut self, peer: PeerId, how: Leave) {
        let now = self.now;
        let connection = self.connection(peer);
        if how != Leave::HalfClose {
            connection.over_at.get_or_insert(now);
        }
        match (how, connection.line) {
            (Leave::HalfClose, _) | (Leave::Close | Leave::Reset, Line::Pipe) => {
                connection.fin_wanted = true;
                self.schedule_soon(Occurrence::Arrive(peer));
            }
            (Leave::Close, Line::Socket) => {
                connection.far_closed = true;
                connection.fin_wanted = true;
                self.schedule_soon(Occurrence::Arrive(peer));
                self.schedule_delivery(peer);
            }
            (Leave::Reset, Line::Socket) => {
                connection.far_closed = true;
                connection.fin_wanted = true;
                self.schedule_soon(Occurrence::Break(peer));
            }
        }
    }

    /// Our side has said all that it has to say and takes nothing more, and its file is open.
    pub(in crate::uring::sim) fn near_shut(&mut self, peer: PeerId) {
        let connection = self.connection(peer);
        if connection.broken {
            return;
        }
        connection.near_finished = true;
        connection.incoming_ended = true;
        self.schedule_delivery(peer);
        self.poke_near(peer);
    }

    /// Our side has closed its file.
    pub(in crate::uring::sim) fn near_closed(&mut self, peer: PeerId, how: Hangup) {
        let connection = self.connection(peer);
        connection.near = Near::Gone;
        if connection.line == Line::Pipe {
            connection.broken = true;
            connection.end = Some(End::Finished);
            return;
        }
        // As in Linux: who closes without having read everything resets.
        if how == Hangup::Reset || connection.incoming.bytes() > 0 {
            return self.break_by_near(peer);
        }
        connection.near_finished = true;
        let delivered = connection.delivered;
        self.schedule_delivery(peer);
        self.schedule(self.now + ORPHAN_TIMEOUT, Occurrence::Orphan(peer, delivered));
    }

    pub(in crate::uring::sim) fn give_up_orphan(&mut self, peer: PeerId, delivered: u64) {
        let connection = self.connection(peer);
        if connection.end.is_some() {
            return;
        }
        if connection.delivered == delivered {
            return self.break_by_near(peer);
        }
        let delivered = connection.delivered;
        self.schedule(self.now + ORPHAN_TIMEOUT, Occurrence::Orphan(peer, delivered));
    }

    /// Our side resets.
    pub(in crate::uring::sim) fn break_by_near(&mut self, peer: PeerId) {
        self.connection(peer).near = Near::Gone;
        self.break_connection(peer);
    }

    /// The far end resets, or the network does in its name.
    pub(in crate::uring::sim) fn break_by_far(&mut self, peer: PeerId) {
        let connection = self.connection(peer);
        if !connection.broken {
            connection.error = Some(Errno::CONNRESET);
            self.break_connection(peer);
            self.poke_near(peer);
        }
    }

    /// A fault.
    pub(in crate::uring::sim) fn break_by_network(&mut self, peer: PeerId) {
        if self.connection(peer).line == Line::Socket {
            self.break_by_far(peer);
        }
    }

    fn break_connection(&mut self, peer: PeerId) {
        let now = self.now;
        let connection = self.connection(peer);
        connection.over_at.get_or_insert(now);
        connection.broken = true;
        connection.incoming_ended = true;
        connection.unsent.clear();
        if connection.end.is_none() {
            connection.end = Some(End::Reset);
        }
        for piece in connection.outgoing.take(usize::MAX) {
            match piece {
                Piece::Held { op, bytes } => self.let_go(op, bytes.len()),
                Piece::Copied(_) => {}
            }
        }
        self.note([u64::from(peer.0), u64::MAX]);
    }
}
