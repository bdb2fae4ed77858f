//! The driver that talks to the simulated kernel.
#![expect(unsafe_code, reason = "the simulated kernel is handed addresses, as the real one is")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::limits::{CONNECTIONS_PER_CORE_MAX, OPERATIONS_PER_CORE_MAX, REGISTERED_SPANS_MAX};
use crate::base::{Errno, Instant, KernelBytes};

use super::super::driver::{
    Completion, Driver, Event, Handle, Hangup, OpKey, Operation, Reception, ReceptionError, Refused,
};
use super::super::slots::{Closed, Slots, ToCancel};
use super::super::table::{InFlight, Kind, Stage, Table};
use super::descriptor::SimDescriptor;
use super::host::{self, Cqe, Op, Said, What};
use super::span::{OpId, Span};
use super::world::World;

/// What the driver tells the kernel at the next turn.
enum Queued {
    Start(OpKey, Op),
    Cancel(OpKey),
    CancelAll(u32),
}

/// Registered memory.
struct Registered {
    address: usize,
    bytes: usize,
}

/// [`super::super::KernelDriver`]'s twin in a [`World`]. For tests and simulations.
pub struct SimDriver<T: Copy, M: KernelBytes> {
    world: World,
    id: u32,
    table: Table<T, M>,
    slots: Slots<SimDescriptor>,
    queue: Vec<Queued>,
    reaped: VecDeque<Cqe>,
    registered: BTreeMap<u16, Registered>,
    buffers_free: Vec<u16>,
    started: u64,
}

impl<T: Copy, M: KernelBytes> SimDriver<T, M> {
    /// A core's driver in a world, with the bounds of a real one.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self::with_limits(world, CONNECTIONS_PER_CORE_MAX, OPERATIONS_PER_CORE_MAX)
    }

    /// A driver for so many files and so many operations in flight.
    #[must_use]
    pub fn with_limits(world: &World, files: u32, operations: u32) -> Self {
        let mut host = world.host();
        let id = u32::try_from(host.seen.len()).expect("a world has few drivers");
        host.seen.push(VecDeque::new());
        drop(host);
        let buffers = u16::try_from(REGISTERED_SPANS_MAX).expect("a buffer index is 16 bits");
        Self {
            world: world.clone(),
            id,
            table: Table::with_limit(operations),
            slots: Slots::with_limit(files),
            queue: Vec::new(),
            reaped: VecDeque::new(),
            registered: BTreeMap::new(),
            buffers_free: (0..buffers).rev().collect(),
            started: 0,
        }
    }

    /// Operations that were begun.
    #[must_use]
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// The world the driver is in.
    #[must_use]
    pub fn world(&self) -> World {
        self.world.clone()
    }

    /// The world's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// Operations the kernel has not had its last word about.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.table.count()
    }

    /// Descriptors that are open or closing.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.slots.open_count()
    }

    /// Everything has been given back: no operation is in flight and so no memory is lent, no handle is open,
    /// nothing is registered.
    pub fn assert_quiet(&self) {
        assert_eq!(self.table.count(), 0, "operations are in flight at the end");
        assert_eq!(self.slots.open_count(), 0, "handles are open at the end");
        assert_eq!(self.registered.len(), 0, "memory is registered at the end");
    }

    const fn id_of(&self, key: OpKey) -> OpId {
        OpId { driver: self.id, user_data: key.to_user_data() }
    }

    fn number(&self, handle: Handle) -> u32 {
        self.slots.descriptor(handle).number()
    }

    fn close_now(&self, descriptor: SimDescriptor, how: Hangup) {
        self.world.host().close_file(descriptor.number(), how);
        drop(descriptor);
    }

    fn end_on(&mut self, handle: Handle, key: OpKey) {
        if let Some((descriptor, how)) = self.slots.end(handle, key.index) {
            self.close_now(descriptor, how);
        }
    }

    fn adopted_from(&self, number: u32) -> SimDescriptor {
        SimDescriptor::new(number, &self.world.host().dropped)
    }

    /// Memory that says that it is registered is.
    fn check_registered(&self, memory: &M) {
        let Some(buffer) = memory.registered_buffer() else { return };
        let registered = self.registered.get(&buffer).expect("memory says where it is registered");
        let from = memory.address() as usize;
        assert!(
            registered.address <= from && from + memory.len() <= registered.address + registered.bytes,
            "memory lies in the buffer it says it is registered in"
        );
    }

    /// Gives the kernel what is queued.
    fn hand_over(&mut self) {
        let mut host = self.world.host();
        for entry in std::mem::take(&mut self.queue) {
            match entry {
                Queued::Start(key, op) => host.start(self.id_of(key), op),
                Queued::Cancel(key) => host.cancel(self.id_of(key)),
                Queued::CancelAll(number) => host.cancel_all(number),
            }
        }
    }

    fn complete(&mut self, cqe: Cqe) -> Completion<T, M, SimDescriptor> {
        let key = OpKey::from_user_data(cqe.user_data);
        let op = self.table.get_mut(key).expect("the simulated kernel answers what was asked, once");
        let (token, handle) = (op.token, op.handle);
        let event = match cqe.said {
            Said::Accepted(number) => Event::Accepted(self.adopted_from(number)),
            Said::Noticed(events) => Event::Noticed(events),
            Said::Taken(result) => {
                op.stage = Stage::AwaitsNotification;
                self.end_on(handle, key);
                Event::Sent { result }
            }
            Said::Released { copied } => {
                let op = self.table.remove(key).expect("found above");
                assert_eq!(op.stage, Stage::AwaitsNotification, "a notification comes last");
                let memory = op.memory.expect("a zero-copy send owns memory");
                Event::Released { memory, copied }
            }
            Said::Done(result) => self.end_op(key, result),
            Said::AcceptedLast(number) => {
                // As the kernel's driver does: it is closed, and the peer tries again.
                drop(self.adopted_from(number));
                self.end_op(key, Ok(number))
            }
        };
        Completion { token, event }
    }

    fn end_op(&mut self, key: OpKey, result: Result<u32, Errno>) -> Event<M, SimDescriptor> {
        let op = self.table.remove(key).expect("found by the caller");
        self.end_on(op.handle, key);
        Event::Done { result, memory: op.memory }
    }
}

/// An operation taken apart: what it is, its handle, what it owns.
fn dissect<M>(operation: Operation<M>) -> (What, Kind, Handle, Option<M>) {
    match operation {
        Operation::Accept { listener } => (What::Accept, Kind::Accept, listener, None),
        Operation::AwaitHangup { socket } => (What::AwaitHangup, Kind::Poll, socket, None),
        Operation::Receive { socket, into } => (What::Receive, Kind::Transfer, socket, Some(into)),
        Operation::Read { file, into } => (What::Read, Kind::Transfer, file, Some(into)),
        Operation::AwaitRoom { socket } => (What::AwaitRoom, Kind::Transfer, socket, None),
        Operation::Send { socket, from } => (What::Send, Kind::Transfer, socket, Some(from)),
        Operation::SendNow { socket, from } => (What::SendNow, Kind::Transfer, socket, Some(from)),
        Operation::SendZeroCopy { socket, from } => (What::SendZeroCopy, Kind::ZeroCopy, socket, Some(from)),
        Operation::Connect { socket, address } => (What::Connect(address), Kind::Connect, socket, None),
        Operation::Gather { socket } => (What::Gather, Kind::Gather, socket, None),
    }
}

impl<T: Copy, M: KernelBytes> Driver for SimDriver<T, M> {
    type Memory = M;
    type Token = T;
    type Descriptor = SimDescriptor;

    fn adopt(&mut self, descriptor: SimDescriptor) -> Result<Handle, SimDescriptor> {
        let mut host = self.world.host();
        let faults_full = host.faults.files_full;
        assert!(host.files.contains_key(&descriptor.number()), "{descriptor:?} is open and of this world");
        if host.random.happens(faults_full) {
            return Err(descriptor);
        }
        drop(host);
        self.slots.insert(descriptor)
    }

    fn detach(&mut self, handle: Handle) -> SimDescriptor {
        self.slots.remove(handle)
    }

    fn close(&mut self, handle: Handle, how: Hangup) {
        let number = self.number(handle);
        match self.slots.close(handle, how) {
            Closed::Now(descriptor) => return self.close_now(descriptor, how),
            Closed::AfterCancel(ToCancel::All) => self.queue.push(Queued::CancelAll(number)),
            Closed::AfterCancel(ToCancel::These(operations)) => {
                let keys = operations.into_iter().flatten().map(|index| self.table.key(index));
                self.queue.extend(keys.map(Queued::Cancel));
            }
        }
        if how == Hangup::AtOnce {
            self.hand_over();
            self.world.host().shut_down(number);
        }
    }

    fn open_socket(&mut self, _address: &SocketAddr) -> Result<Handle, Errno> {
        let number = self.world.host().open_file(host::FileKind::Unconnected);
        let descriptor = self.adopted_from(number);
        self.adopt(descriptor).map_err(|_full| Errno::MFILE)
    }

    fn open_receiver(&mut self, reception: &Reception) -> Result<Handle, ReceptionError> {
        let kind = host::FileKind::Receiver {
            reception: reception.clone(),
            waiting: VecDeque::new(),
            gathered: Vec::new(),
            dropped: 0,
        };
        let number = self.world.host().open_file(kind);
        let descriptor = self.adopted_from(number);
        let step = "open a socket";
        self.adopt(descriptor).map_err(|_full| ReceptionError::Refused { step, errno: Errno::MFILE })
    }

    fn datagrams(&mut self, socket: Handle, each: &mut dyn FnMut(&[u8])) {
        let number = self.number(socket);
        let mut host = self.world.host();
        let file = host.files.get_mut(&number).expect("a driver's files are open");
        let host::FileKind::Receiver { gathered, .. } = &mut file.kind else {
            unreachable!("only receivers have datagrams")
        };
        let gathered = gathered.clone();
        drop(host);
        gathered.iter().for_each(|datagram| each(datagram));
    }

    fn dropped_datagrams(&self, socket: Handle) -> u64 {
        match self.world.host().files[&self.number(socket)].kind {
            host::FileKind::Receiver { dropped, .. } => dropped,
            host::FileKind::Listener { .. }
            | host::FileKind::Unconnected
            | host::FileKind::Socket(_)
            | host::FileKind::Pipe(_)
            | host::FileKind::Wakeup { .. } => unreachable!("only receivers have datagrams"),
        }
    }

    fn addresses(&self, handle: Handle) -> Result<(SocketAddr, SocketAddr), Errno> {
        let number = self.number(handle);
        let mut host = self.world.host();
        let host::FileKind::Socket(peer) = host.files[&number].kind else { return Err(Errno::INVAL) };
        let connection = host.connection(peer);
        if connection.broken {
            return Err(Errno::from_positive(107));
        }
        Ok((connection.far_address, connection.near_address))
    }

    fn register_memory(&mut self, memory: &impl KernelBytes) -> Result<u16, Errno> {
        let mut host = self.world.host();
        let fault = host.faults.register_fails;
        if host.random.happens(fault) {
            return Err(Errno::NOMEM);
        }
        drop(host);
        let buffer = self.buffers_free.pop().ok_or(Errno::NOBUFS)?;
        let registered = Registered { address: memory.address() as usize, bytes: memory.len() };
        self.registered.insert(buffer, registered);
        Ok(buffer)
    }

    fn unregister_memory(&mut self, buffer: u16) {
        // Operations that the kernel has keep what they name.
        self.hand_over();
        let registered = self.registered.remove(&buffer);
        assert!(registered.is_some(), "only what is registered is withdrawn");
        self.buffers_free.push(buffer);
    }

    fn push(&mut self, operation: Operation<M>, token: T) -> Result<OpKey, Refused<M>> {
        let mut host = self.world.host();
        let fault = host.faults.operations_full;
        let refused = host.random.happens(fault);
        drop(host);
        if refused || self.table.is_full() {
            return Err(Refused(operation));
        }
        let (what, kind, handle, memory) = dissect(operation);
        let number = self.number(handle);
        // SAFETY: the memory goes into the table below and stays there until `complete` sees the operation's
        // last completion, after the host has let the span go; `Drop` makes the host forget all spans first.
        let span = memory.as_ref().map(|memory| unsafe { Span::lent(memory) });
        let checksum = match (what, span) {
            (What::Send | What::SendNow | What::SendZeroCopy, Some(span)) => span.checksum(),
            (What::Accept | What::AwaitHangup | What::AwaitRoom, _)
            | (What::Receive | What::Read | What::Connect(_) | What::Gather, _)
            | (What::Send | What::SendNow | What::SendZeroCopy, None) => 0,
        };
        if let Some(memory) = &memory {
            self.check_registered(memory);
        }
        self.started += 1;
        let op = InFlight::new(token, memory, handle, kind);
        let Ok(key) = self.table.insert(op) else { unreachable!("there was room a moment ago") };
        self.slots.begin(handle, key.index);
        self.queue.push(Queued::Start(key, Op::new(what, number, span, checksum)));
        Ok(key)
    }

    fn send_file(&mut self, socket: Handle, from: &M) -> Result<u32, Errno> {
        assert!(from.file().is_some(), "what is sent from a file lies in one");
        // SAFETY: the host refers to the pages, not to the span, once it returns; until then `from` is here.
        let span = unsafe { Span::lent(from) };
        self.world.host().send_file(self.number(socket), span)
    }

    fn cancel(&mut self, key: OpKey) {
        if self.table.get_mut(key).is_some() {
            self.queue.push(Queued::Cancel(key));
        }
    }

    /// A simulated kernel wakes nobody in vain.
    fn set_batch_wait(&mut self, _batch_wait: Duration) {}

    fn give_back(&mut self) {
        self.table.give_back();
        self.slots.give_back();
    }

    fn turn(&mut self, wait: Duration) -> Result<(), Errno> {
        assert!(self.reaped.is_empty(), "completions are taken before the next turn");
        self.hand_over();
        let mut host = self.world.host();
        host.turn(wait);
        self.reaped = std::mem::take(&mut host.seen[self.id as usize]);
        Ok(())
    }

    fn next(&mut self) -> Option<Completion<T, M, SimDescriptor>> {
        let cqe = self.reaped.pop_front()?;
        Some(self.complete(cqe))
    }
}

impl<T: Copy, M: KernelBytes> Drop for SimDriver<T, M> {
    fn drop(&mut self) {
        let Some(mut host) = self.world.host_unless_failed() else {
            // An assertion of the host's has failed, and it still knows our memory.
            return self.table.leak();
        };
        host.seen[self.id as usize].append(&mut self.reaped);
        host.forget(self.id);
    }
}
