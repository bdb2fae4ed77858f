//! The test's hand on the world.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::base::Instant;

use super::connection::{End, Leave, PeerId, Rate};
use super::descriptor::SimDescriptor;
use super::faults::Faults;
use super::host::{Datagram, File, FileKind, Host};
use super::random::Random;
use super::server::{Answer, Server};

/// Bytes in a socket's queue, each way, unless the test says otherwise.
const QUEUE_BYTES: usize = 256 * 1024;

/// A wakeup of the world's, for the test to ring: an eventfd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wakeup(u32);

/// A simulated machine and all that is connected to it. Copies are the same world; drivers made in it share
/// its clock.
#[derive(Clone)]
pub struct World {
    host: Rc<RefCell<Host>>,
}

impl World {
    /// A world in which a seed decides everything the test leaves open.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::with_queues(seed, faults, QUEUE_BYTES)
    }

    /// A world whose sockets hold this many bytes each way.
    #[must_use]
    pub fn with_queues(seed: u64, faults: Faults, queue_bytes: usize) -> Self {
        Self { host: Rc::new(RefCell::new(Host::new(seed, faults, queue_bytes))) }
    }

    pub(super) fn host(&self) -> RefMut<'_, Host> {
        self.host.borrow_mut()
    }

    /// The host, unless an assertion failed while it was at work.
    pub(super) fn host_unless_failed(&self) -> Option<RefMut<'_, Host>> {
        self.host.try_borrow_mut().ok()
    }

    /// The time. It passes in [`crate::uring::Driver::turn`] and [`World::pass`] only.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.host().now
    }

    /// Lets time pass while no core does anything.
    pub fn pass(&self, time: Duration) {
        let mut host = self.host();
        host.close_dropped();
        let limit = host.now + time;
        host.run_until(limit);
    }

    /// No driver's turn waits past this moment: the test has something to do then. Holds until it is set anew.
    pub fn wake_at(&self, at: Instant) {
        self.host().wake_at = Some(at);
    }

    /// A sequence of the test's own, different in each world.
    #[must_use]
    pub fn random(&self) -> Random {
        self.host().random.split()
    }

    /// A hash of everything that has happened: equal in two runs of one seed and one test.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.host().digest
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.host().faults = faults;
    }

    /// Files that are open in the simulated process: adopted ones, those of closed handles on which operations
    /// are in flight, and descriptors that nobody has adopted.
    #[must_use]
    pub fn open_files(&self) -> usize {
        let mut host = self.host();
        host.close_dropped();
        host.files.len()
    }

    fn descriptor(&self, number: u32) -> SimDescriptor {
        SimDescriptor::new(number, &self.host().dropped)
    }

    /// A listening socket. Several of one address share its clients.
    #[must_use]
    pub fn listen(&self, address: SocketAddr) -> SimDescriptor {
        let number = self.host().open_file(FileKind::Listener { address, backlog: VecDeque::new() });
        self.descriptor(number)
    }

    /// A client begins to connect to a listener of ours. If nobody listens it sees [`End::Reset`].
    #[must_use]
    pub fn connect_client(&self, listener: SocketAddr) -> PeerId {
        self.host().connect_client(listener)
    }

    /// From now on connections of ours to this address are answered so.
    pub fn serve(&self, address: SocketAddr, answer: Answer) {
        let mut host = self.host();
        let server = host.servers.entry(address).or_insert(Server {
            answer,
            arrivals: VecDeque::new(),
            reached_at: Instant::START,
        });
        server.answer = answer;
    }

    /// The next connection that a server has accepted from us.
    #[must_use]
    pub fn take_arrival(&self, address: SocketAddr) -> Option<PeerId> {
        self.host().servers.get_mut(&address)?.arrivals.pop_front()
    }

    /// The reading end of a pipe, to be adopted, and its writing end.
    #[must_use]
    pub fn pipe(&self) -> (SimDescriptor, PeerId) {
        let (number, peer) = self.host().new_pipe();
        (self.descriptor(number), peer)
    }

    /// An eventfd, to be adopted, and the hand that rings it.
    #[must_use]
    pub fn wakeup(&self) -> (SimDescriptor, Wakeup) {
        let number = self.host().open_file(FileKind::Wakeup { count: 0 });
        (self.descriptor(number), Wakeup(number))
    }

    /// Adds one to an eventfd. Nothing happens when it is closed.
    pub fn ring(&self, wakeup: Wakeup) {
        let mut host = self.host();
        if let Some(FileKind::Wakeup { count }) = host.files.get_mut(&wakeup.0).map(|file| &mut file.kind) {
            *count += 1;
            host.poke(wakeup.0);
        }
    }

    /// A far end sends. The bytes wait with it until our socket's queue has room.
    pub fn peer_send(&self, peer: PeerId, bytes: &[u8]) {
        self.host().send_from_far(peer, bytes);
    }

    /// Bytes a far end has sent that have not arrived yet: it is blocked, or the network is slow.
    #[must_use]
    pub fn peer_unsent(&self, peer: PeerId) -> usize {
        self.host().connection(peer).unsent.len()
    }

    /// Bytes a far end has sent that we have not received: those and what waits in our socket's queue.
    #[must_use]
    pub fn peer_unreceived(&self, peer: PeerId) -> usize {
        let mut host = self.host();
        let connection = host.connection(peer);
        connection.unsent.len() + connection.incoming.bytes()
    }

    /// From now on a far end reads so fast.
    pub fn peer_set_read_rate(&self, peer: PeerId, rate: Rate) {
        self.host().set_rate(peer, rate);
    }

    /// A far end goes.
    pub fn peer_close(&self, peer: PeerId, how: Leave) {
        self.host().leave(peer, how);
    }

    /// True when a far end has said that it sends no more.
    #[must_use]
    pub fn peer_has_closed(&self, peer: PeerId) -> bool {
        self.host().connection(peer).fin_wanted
    }

    /// What a far end has read since the last time.
    #[must_use]
    pub fn peer_received(&self, peer: PeerId) -> Vec<u8> {
        std::mem::take(&mut self.host().connection(peer).received)
    }

    /// How our side has ended, as a far end sees it; all that was sent before has been read by then.
    #[must_use]
    pub fn peer_end(&self, peer: PeerId) -> Option<End> {
        self.host().connection(peer).end
    }

    /// When a server has accepted a connection of ours, and when it was rid of it: it has closed it, or has seen that we have.
    #[must_use]
    pub fn peer_visit(&self, peer: PeerId) -> (Instant, Option<Instant>) {
        let mut host = self.host();
        let connection = host.connection(peer);
        (connection.begun_at, connection.over_at)
    }

    /// Somebody sends a datagram; those who receive at its address get it.
    pub fn send_datagram(&self, from: IpAddr, to: SocketAddr, bytes: &[u8]) {
        self.host().send_datagram(Datagram { from, to, bytes: bytes.to_vec() });
    }

    /// How many sockets receive what is sent to an address.
    #[must_use]
    pub fn receivers(&self, to: SocketAddr) -> usize {
        let mut host = self.host();
        host.close_dropped();
        let is_one =
            |file: &&File| matches!(&file.kind, FileKind::Receiver { reception, .. } if reception.to == to);
        host.files.values().filter(is_one).count()
    }

    /// A far end's own address.
    #[must_use]
    pub fn peer_address(&self, peer: PeerId) -> SocketAddr {
        self.host().connection(peer).far_address
    }
}
