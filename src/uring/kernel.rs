//! The driver that talks to the kernel.
#![expect(unsafe_code, reason = "the kernel is handed addresses and hands out descriptors")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::{IoUring, squeue, types};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockProtocol, SockType, SockaddrStorage, getpeername, getsockname,
    setsockopt, shutdown, sockopt,
};

use crate::base::limits::{
    CHANNELS_PER_CORE_MAX, COMPLETION_ENTRIES, COMPLETION_ENTRIES_LEAST, CONNECTIONS_PER_CORE_MAX,
    OPERATIONS_PER_CORE_MAX, REGISTERED_SPANS_MAX, SUBMISSION_ENTRIES, SUBMISSION_ENTRIES_LEAST,
};
use crate::base::{Errno, FileBytes, KernelBytes};

use super::driver::{
    Completion, Driver, Event, Handle, Hangup, OpKey, Operation, Reception, ReceptionError, Refused,
};
use super::receiver::{self, Receiver, Took};
use super::slots::{Closed, Slots, ToCancel};
use super::submit::{self, NOTIF_USAGE_ZC_COPIED, Reaped, Target};
use super::table::{InFlight, Kind, NOBODY, Stage, Table};

/// How often [`KernelDriver`] waits for the kernel to let go before it leaks what is still lent.
const DRAIN_WAITS_MAX: u32 = 50;
const DRAIN_WAIT: Duration = Duration::from_millis(20);
/// A patient turn returns early when so many completions are there.
const BATCH: usize = 128;

/// How the kernel is told which descriptor an operation is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Files {
    /// By a slot of the io_uring's table, which saves looking the number up for each operation.
    Registered,
    /// By the process's number. Before Linux 6.13 what is taken out of the table is let go in the order of the
    /// operations that use the table: a viewer that stays would keep every connection open that was closed
    /// after it came.
    Plain,
}

/// io_uring, for one thread: the one that made it.
pub struct KernelDriver<T: Copy, M: KernelBytes> {
    // Dropped in this order: the ring first, so that the kernel is gone before the memory it was lent. `Drop`
    // has drained or leaked the table by then.
    ring: IoUring,
    table: Table<T, Owned<M>>,
    slots: Slots<OwnedFd>,
    files: Files,
    /// Entries for which the kernel's queue has no room while it takes nothing. As many as there are operations, and a cancellation
    /// for each.
    backlog: VecDeque<squeue::Entry>,
    /// What a completion says besides.
    second: Option<Completion<T, M, OwnedFd>>,
    buffers_free: Vec<u16>,
    /// What datagrams go to, by the socket's slot, and the names of groups of buffers that nobody has.
    receivers: BTreeMap<u32, Box<Receiver>>,
    groups_free: Vec<u16>,
    reaped: Vec<Reaped>,
    reaped_next: usize,
    stale_completions: u64,
    batch_wait: Duration,
}

/// What the table keeps for an operation.
enum Owned<M> {
    Memory(M),
    Address(#[expect(dead_code, reason = "kept where the kernel reads it")] Box<SockaddrStorage>),
}

fn io_uring(submissions: u32, completions: u32) -> Result<IoUring, Errno> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().setup_submit_all();
    builder.setup_cqsize(completions).build(submissions).map_err(Errno::from)
}

impl<T: Copy, M: KernelBytes> KernelDriver<T, M> {
    /// The memory that one operation in flight takes, beside what it owns.
    pub const BYTES_PER_OPERATION: usize = Table::<T, Owned<M>>::BYTES_PER_OPERATION;

    /// Sets up an io_uring for this thread. What `files` should be [`super::probe`] tells.
    ///
    /// # Errors
    /// The kernel's reason; [`super::probe`] finds the words for it.
    pub fn new(files: Files) -> Result<Self, Errno> {
        let ring = match io_uring(SUBMISSION_ENTRIES, COMPLETION_ENTRIES) {
            // Locked memory may be as little as 64 KiB.
            Err(Errno::NOMEM) => io_uring(SUBMISSION_ENTRIES_LEAST, COMPLETION_ENTRIES_LEAST)?,
            made => made?,
        };
        let submitter = ring.submitter();
        let slots = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .map_or(CONNECTIONS_PER_CORE_MAX, |(soft, _hard)| u32::try_from(soft).unwrap_or(u32::MAX))
            .min(CONNECTIONS_PER_CORE_MAX);
        if files == Files::Registered {
            submitter.register_files_sparse(slots).map_err(Errno::from)?;
        }
        submitter.register_buffers_sparse(REGISTERED_SPANS_MAX).map_err(Errno::from)?;
        let buffers = u16::try_from(REGISTERED_SPANS_MAX).expect("a buffer index is 16 bits");
        let groups = u16::try_from(CHANNELS_PER_CORE_MAX).expect("a group's number is 16 bits");
        Ok(Self {
            ring,
            table: Table::with_limit(OPERATIONS_PER_CORE_MAX),
            slots: Slots::with_limit(slots),
            files,
            backlog: VecDeque::new(),
            second: None,
            buffers_free: (0..buffers).rev().collect(),
            receivers: BTreeMap::new(),
            groups_free: (0..groups).rev().collect(),
            reaped: Vec::new(),
            reaped_next: 0,
            stale_completions: 0,
            batch_wait: Duration::ZERO,
        })
    }

    /// Operations the kernel has not had its last word about.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub fn in_flight(&self) -> usize {
        self.table.count()
    }

    /// Descriptors that are open or closing.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub fn open_count(&self) -> usize {
        self.slots.open_count()
    }

    /// Completions that nobody had asked for. Always zero unless the kernel or we are wrong.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn stale_completions(&self) -> u64 {
        self.stale_completions
    }

    fn queue(&mut self, entry: &squeue::Entry) {
        if !self.backlog.is_empty() || !self.push_entry(entry) {
            self.backlog.push_back(entry.clone());
        }
    }

    /// False when the queue stays full: the kernel takes nothing before its completions are reaped. An error here is met again,
    /// and reported, by the next `turn`.
    fn push_entry(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the entry's memory belongs to the table's operation of the same `user_data`, or the entry
        // has none; `complete` removes the operation on the completion, and `Drop` drains or leaks the rest.
        let pushed = unsafe { submit::push(&mut self.ring.submission(), entry) };
        // SAFETY: as above.
        pushed || self.ring.submit().is_ok() && unsafe { submit::push(&mut self.ring.submission(), entry) }
    }

    /// Queues what waits, in its order.
    fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.push_entry(&entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    /// What the kernel knows a handle by.
    fn target(&self, handle: Handle) -> Target {
        match self.files {
            Files::Registered => Target::Registered(handle.0),
            Files::Plain => Target::Plain(self.slots.descriptor(handle).as_raw_fd()),
        }
    }

    fn update_slot(&self, handle: Handle, descriptor: RawFd) -> Result<(), Errno> {
        if self.files == Files::Plain {
            return Ok(());
        }
        self.ring.submitter().register_files_update(handle.0, &[descriptor]).map(drop).map_err(Errno::from)
    }

    fn close_now(&mut self, handle: Handle, descriptor: &OwnedFd, how: Hangup) {
        if let Some(receiver) = self.receivers.remove(&handle.0)
            && let Some(group) = receiver.withdraw(&self.ring.submitter())
        {
            self.groups_free.push(group);
        }
        if how == Hangup::Reset {
            let abort = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            // Not a socket, or gone already: then there is nothing to reset.
            let _no_socket = setsockopt(descriptor, sockopt::Linger, &abort);
        }
        let emptied = self.update_slot(handle, -1);
        assert_eq!(emptied, Ok(()), "a slot of ours can be emptied");
    }

    /// The engine's view of one completion entry, or nothing when it was nobody's.
    fn complete(&mut self, reaped: Reaped) -> Option<Completion<T, M, OwnedFd>> {
        if reaped.user_data == NOBODY {
            return None;
        }
        let key = OpKey::from_user_data(reaped.user_data);
        let Some(op) = self.table.get_mut(key) else {
            self.stale_completions += 1;
            return None;
        };
        let (token, kind, handle) = (op.token, op.kind, op.handle);
        if reaped.notification {
            let op = self.table.remove(key).expect("found above");
            let Some(Owned::Memory(memory)) = op.memory else { unreachable!("a zero-copy send owns memory") };
            if op.stage == Stage::InFlight {
                self.end_on(handle, key);
            }
            let copied = u32::from_ne_bytes(reaped.result.to_ne_bytes()) & NOTIF_USAGE_ZC_COPIED != 0;
            return Some(Completion { token, event: Event::Released { memory, copied } });
        }
        if kind == Kind::Gather {
            return self.gathered(key, reaped);
        }
        if reaped.more {
            match kind {
                Kind::ZeroCopy => {
                    op.stage = Stage::AwaitsNotification;
                    self.end_on(handle, key);
                    return Some(Completion {
                        token,
                        event: Event::Sent { result: Errno::check(reaped.result) },
                    });
                }
                Kind::Accept => {
                    // SAFETY: the kernel has just given this descriptor to us and to nobody else.
                    let socket = unsafe { OwnedFd::from_raw_fd(reaped.result) };
                    return Some(Completion { token, event: Event::Accepted(socket) });
                }
                Kind::Poll => {
                    let events = u32::try_from(reaped.result).unwrap_or_default();
                    return Some(Completion { token, event: Event::Noticed(events) });
                }
                Kind::Transfer | Kind::Connect | Kind::Gather => {
                    unreachable!("only accepts, polls and zero-copy sends have more to say, not {kind:?}")
                }
            }
        }
        let op = self.table.remove(key).expect("found above");
        self.end_on(handle, key);
        if kind == Kind::Accept && reaped.result >= 0 {
            // The last word of a multishot accept may still carry a connection.
            // SAFETY: as above.
            let socket = unsafe { OwnedFd::from_raw_fd(reaped.result) };
            self.second = Some(Completion { token, event: Event::Done { result: Ok(0), memory: None } });
            return Some(Completion { token, event: Event::Accepted(socket) });
        }
        let memory = match op.memory {
            Some(Owned::Memory(memory)) => Some(memory),
            Some(Owned::Address(_)) | None => None,
        };
        Some(Completion { token, event: Event::Done { result: Errno::check(reaped.result), memory } })
    }

    /// A word of the kernel's about datagrams. What has come is told once there is no more of it.
    fn gathered(&mut self, key: OpKey, reaped: Reaped) -> Option<Completion<T, M, OwnedFd>> {
        let op = self.table.get_mut(key).expect("found by the caller");
        let (token, handle) = (op.token, op.handle);
        let receiver = self.receivers.get_mut(&handle.0).expect("a socket that gathers has a receiver");
        let socket = self.slots.descriptor(handle);
        let took = receiver.take(reaped, socket);
        match took {
            Took::More => None,
            // What was asked for instead would not be cancelled any more.
            Took::Refused if self.slots.is_closing(handle) => {
                self.all_gathered(key, token, handle, Err(Errno::CANCELED))
            }
            Took::First => {
                // All that is there has come by the time the kernel reads this; what follows is gathered next time.
                self.queue(&submit::cancel_one(key.to_user_data()).user_data(NOBODY));
                None
            }
            Took::Refused => {
                let entry = submit::entry(
                    &Operation::<M>::Gather { socket: handle },
                    self.target(handle),
                    None,
                    self.group(handle),
                );
                self.queue(&entry.user_data(key.to_user_data()));
                None
            }
            Took::All(result) => self.all_gathered(key, token, handle, result),
        }
    }

    fn all_gathered(
        &mut self,
        key: OpKey,
        token: T,
        handle: Handle,
        result: Result<u32, Errno>,
    ) -> Option<Completion<T, M, OwnedFd>> {
        self.table.remove(key)?;
        self.end_on(handle, key);
        Some(Completion { token, event: Event::Done { result, memory: None } })
    }

    /// What datagrams of a socket go to, if the kernel takes buffers by itself.
    fn group(&self, handle: Handle) -> Option<submit::BufferGroup> {
        self.receivers.get(&handle.0)?.group()
    }

    fn end_on(&mut self, handle: Handle, key: OpKey) {
        if let Some((descriptor, how)) = self.slots.end(handle, key.index) {
            self.close_now(handle, &descriptor, how);
        }
    }
}

impl<T: Copy, M: KernelBytes> Driver for KernelDriver<T, M> {
    type Memory = M;
    type Token = T;
    type Descriptor = OwnedFd;

    fn adopt(&mut self, descriptor: OwnedFd) -> Result<Handle, OwnedFd> {
        let number = descriptor.as_raw_fd();
        let handle = self.slots.insert(descriptor)?;
        match self.update_slot(handle, number) {
            Ok(()) => Ok(handle),
            Err(_refused) => Err(self.slots.remove(handle)),
        }
    }

    fn detach(&mut self, handle: Handle) -> OwnedFd {
        let descriptor = self.slots.remove(handle);
        let emptied = self.update_slot(handle, -1);
        assert_eq!(emptied, Ok(()), "a slot of ours can be emptied");
        descriptor
    }

    fn close(&mut self, handle: Handle, how: Hangup) {
        match self.slots.close(handle, how) {
            Closed::Now(descriptor) => return self.close_now(handle, &descriptor, how),
            Closed::AfterCancel(ToCancel::All) => {
                self.queue(&submit::cancel_all(self.target(handle)).user_data(NOBODY));
            }
            Closed::AfterCancel(ToCancel::These(operations)) => {
                for index in operations.into_iter().flatten() {
                    let key = self.table.key(index);
                    self.queue(&submit::cancel_one(key.to_user_data()).user_data(NOBODY));
                }
            }
        }
        if how == Hangup::AtOnce {
            // What is queued goes first, and is cancelled: a connection that is only asked for then would begin after its end. An
            // error here is met again, and reported, by the next `turn`.
            let _submitted = self.ring.submit();
            // The peer may have gone already, or not have come yet: then it knows nothing of this connection.
            let _not_connected = shutdown(self.slots.descriptor(handle).as_raw_fd(), Shutdown::Both);
        }
    }

    fn open_socket(&mut self, address: &SocketAddr) -> Result<Handle, Errno> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            nix::sys::socket::socket(family, SockType::Stream, flags, SockProtocol::Tcp).map_err(from_nix)?;
        self.adopt(socket).map_err(|_full| Errno::MFILE)
    }

    fn open_receiver(&mut self, reception: &Reception) -> Result<Handle, ReceptionError> {
        let socket = receiver::open(reception)?;
        let handle = self
            .adopt(socket)
            .map_err(|_full| ReceptionError::Refused { step: "open a socket", errno: Errno::MFILE })?;
        match Receiver::new(&self.ring.submitter(), &mut self.groups_free) {
            Ok(receiver) => {
                self.receivers.insert(handle.0, receiver);
                Ok(handle)
            }
            Err(error) => {
                self.close(handle, Hangup::Finish);
                Err(error)
            }
        }
    }

    fn datagrams(&mut self, socket: Handle, each: &mut dyn FnMut(&[u8])) {
        if let Some(receiver) = self.receivers.get(&socket.0) {
            receiver.datagrams(each);
        }
    }

    fn dropped_datagrams(&self, socket: Handle) -> u64 {
        receiver::dropped(self.slots.descriptor(socket))
    }

    fn addresses(&self, handle: Handle) -> Result<(SocketAddr, SocketAddr), Errno> {
        let socket = self.slots.descriptor(handle).as_raw_fd();
        let peer: SockaddrStorage = getpeername(socket).map_err(from_nix)?;
        let local: SockaddrStorage = getsockname(socket).map_err(from_nix)?;
        match (plain_address(&peer), plain_address(&local)) {
            (Some(peer), Some(local)) => Ok((peer, local)),
            _not_ip => Err(Errno::INVAL),
        }
    }

    fn register_memory(&mut self, memory: &impl KernelBytes) -> Result<u16, Errno> {
        let buffer = self.buffers_free.pop().ok_or(Errno::NOBUFS)?;
        let span = nix::libc::iovec { iov_base: memory.address().cast(), iov_len: memory.len() };
        // SAFETY: the span is mapped now, and the kernel pins its pages for as long as they are registered.
        let registered =
            unsafe { self.ring.submitter().register_buffers_update(u32::from(buffer), &[span], None) };
        match registered {
            Ok(_) => Ok(buffer),
            Err(error) => {
                self.buffers_free.push(buffer);
                Err(Errno::from(error))
            }
        }
    }

    fn unregister_memory(&mut self, buffer: u16) {
        // Operations that the kernel has keep what they name; those that are queued would not find it. An error here is met again,
        // and reported, by the next `turn`.
        let _submitted = self.ring.submit();
        let nothing = nix::libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: an empty span makes the kernel let the pages go; nothing is read or written.
        let emptied =
            unsafe { self.ring.submitter().register_buffers_update(u32::from(buffer), &[nothing], None) };
        assert!(emptied.is_ok(), "a buffer of ours can be withdrawn: {emptied:?}");
        self.buffers_free.push(buffer);
    }

    fn push(&mut self, operation: Operation<M>, token: T) -> Result<OpKey, Refused<M>> {
        let address = match &operation {
            Operation::Connect { address, .. } => Some(submit::socket_address(address)),
            Operation::Accept { .. }
            | Operation::AwaitHangup { .. }
            | Operation::AwaitRoom { .. }
            | Operation::Receive { .. }
            | Operation::Read { .. }
            | Operation::Send { .. }
            | Operation::SendNow { .. }
            | Operation::SendZeroCopy { .. }
            | Operation::Gather { .. } => None,
        };
        if self.table.is_full() {
            return Err(Refused(operation));
        }
        let (handle, kind) = submit::subject(&operation);
        if kind == Kind::Gather {
            self.receivers.get_mut(&handle.0).expect("datagrams are gathered from receivers").refill();
        }
        let entry = submit::entry(&operation, self.target(handle), address.as_deref(), self.group(handle));
        let memory = match operation {
            Operation::Receive { into: memory, .. }
            | Operation::Read { into: memory, .. }
            | Operation::Send { from: memory, .. }
            | Operation::SendNow { from: memory, .. }
            | Operation::SendZeroCopy { from: memory, .. } => Some(Owned::Memory(memory)),
            Operation::Connect { .. } => address.map(Owned::Address),
            Operation::Accept { .. }
            | Operation::AwaitHangup { .. }
            | Operation::AwaitRoom { .. }
            | Operation::Gather { .. } => None,
        };
        let op = InFlight::new(token, memory, handle, kind);
        let Ok(key) = self.table.insert(op) else { unreachable!("there was room a moment ago") };
        self.slots.begin(handle, key.index);
        self.queue(&entry.user_data(key.to_user_data()));
        Ok(key)
    }

    fn send_file(&mut self, socket: Handle, from: &M) -> Result<u32, Errno> {
        let Some(FileBytes { file, offset, end }) = from.file() else {
            unreachable!("what is sent from a file lies in one")
        };
        let (socket, bytes) = (self.slots.descriptor(socket), from.len());
        let mut sent = 0;
        while sent < bytes {
            let at = (offset + sent as u64) % end;
            let count = usize::try_from(end - at).map_or(bytes - sent, |left| left.min(bytes - sent));
            let mut next = i64::try_from(at).expect("a file's size is one");
            match sendfile64(socket, file, Some(&mut next), count) {
                Ok(taken) => {
                    sent += taken;
                    if taken < count {
                        break;
                    }
                }
                Err(nix::Error::EINTR) => {}
                // What it has against the rest is told when that is sent.
                Err(_) if sent > 0 => break,
                Err(error) => return Err(from_nix(error)),
            }
        }
        if sent == 0 {
            Err(Errno::AGAIN)
        } else {
            Ok(u32::try_from(sent).expect("a send moves less than 4 GiB"))
        }
    }

    fn cancel(&mut self, key: OpKey) {
        if self.table.get_mut(key).is_some() {
            self.queue(&submit::cancel_one(key.to_user_data()).user_data(NOBODY));
        }
    }

    fn set_batch_wait(&mut self, batch_wait: Duration) {
        self.batch_wait = batch_wait;
    }

    fn give_back(&mut self) {
        self.table.give_back();
        self.slots.give_back();
        self.backlog.shrink_to_fit();
        if self.reaped_next == self.reaped.len() {
            (self.reaped, self.reaped_next) = (Vec::new(), 0);
        }
    }

    fn turn(&mut self, wait: Duration) -> Result<(), Errno> {
        debug_assert_eq!(self.reaped_next, self.reaped.len(), "completions are taken before the next turn");
        self.reaped.clear();
        self.reaped_next = 0;
        self.push_backlog();
        // What waits must not wait for something to happen.
        let wait = if self.backlog.is_empty() { wait } else { Duration::ZERO };
        let timespec = types::Timespec::from(wait);
        let mut arguments = types::SubmitArgs::new().timespec(&timespec);
        let mut wanted = 1;
        if !self.batch_wait.is_zero() && self.batch_wait < wait && self.ring.params().is_feature_min_timeout()
        {
            arguments =
                arguments.min_wait_usec(u32::try_from(self.batch_wait.as_micros()).unwrap_or(u32::MAX));
            wanted = BATCH;
        }
        match self.ring.submitter().submit_with_args(wanted, &arguments).map_err(Errno::from) {
            // Nothing happened in time, a signal came, or the completion queue is full: reap and go on.
            Ok(_) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
        self.reaped.extend(self.ring.completion().map(|entry| Reaped::from_entry(&entry)));
        for reaped in &self.reaped {
            self.table.touch(OpKey::from_user_data(reaped.user_data));
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Completion<T, M, OwnedFd>> {
        if let Some(second) = self.second.take() {
            return Some(second);
        }
        while let Some(&reaped) = self.reaped.get(self.reaped_next) {
            self.reaped_next += 1;
            if let Some(completion) = self.complete(reaped) {
                return Some(completion);
            }
        }
        None
    }
}

impl<T: Copy, M: KernelBytes> Drop for KernelDriver<T, M> {
    fn drop(&mut self) {
        for handle in self.slots.open_handles() {
            self.close(handle, Hangup::Finish);
        }
        for _ in 0..DRAIN_WAITS_MAX {
            if self.table.count() == 0 {
                return;
            }
            while self.next().is_some() {}
            if self.turn(DRAIN_WAIT).is_err() {
                break;
            }
        }
        while self.next().is_some() {}
        // What the kernel still holds is leaked: freeing it would let the kernel write into somebody else's memory.
        self.table.leak();
        for receiver in std::mem::take(&mut self.receivers).into_values() {
            Box::leak(receiver);
        }
    }
}

fn from_nix(error: nix::Error) -> Errno {
    Errno::from_positive(error as i32)
}

fn plain_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    address.as_sockaddr_in6().map(|v6| {
        let v6: std::net::SocketAddrV6 = (*v6).into();
        // A v4 client of a dual-stack listener is shown as what it is.
        v6.ip().to_ipv4_mapped().map_or(SocketAddr::V6(v6), |v4| SocketAddr::from((v4, v6.port())))
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::base::HeapBytes;

    #[test]
    fn a_kernel_that_takes_no_buffers_by_itself_is_asked_when_there_are_datagrams() {
        let mut driver = KernelDriver::<u32, HeapBytes>::new(Files::Plain).unwrap();
        let reception =
            Reception { to: "127.0.0.1:20719".parse().unwrap(), from: Vec::new(), interface: None };
        let socket = driver.open_receiver(&reception).unwrap();
        driver.receivers.get_mut(&socket.0).unwrap().receive_singly();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for expected in [3, 64, 6] {
            driver.push(Operation::Gather { socket }, 1).unwrap();
            if expected != 6 {
                for number in 0..if expected == 3 { 3 } else { 70_u8 } {
                    sender.send_to(&[number; 1316], reception.to).unwrap();
                }
            }
            driver.turn(Duration::from_secs(5)).unwrap();
            let done = driver.next().unwrap();
            assert!(
                matches!(done.event, Event::Done { result: Ok(count), .. } if count == expected),
                "{done:?}"
            );
            let mut sizes = Vec::new();
            driver.datagrams(socket, &mut |datagram| sizes.push(datagram.len()));
            assert_eq!(sizes, vec![1316; expected as usize]);
        }
    }

    #[test]
    fn a_kernel_that_takes_nothing_is_not_asked_for_ever_and_gets_everything_later() {
        // One thread alone may submit: another one's attempts fail.
        struct Moved<'driver>(&'driver mut KernelDriver<u32, HeapBytes>);
        // SAFETY: the owner waits until the other thread has ended.
        unsafe impl Send for Moved<'_> {}
        let mut driver = KernelDriver::<u32, HeapBytes>::new(Files::Plain).unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let file = driver.adopt(reader.into()).unwrap();
        let count = SUBMISSION_ENTRIES + 10;
        let moved = Moved(&mut driver);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let Moved(driver) = { moved };
                for number in 0..count {
                    driver.push(Operation::Read { file, into: HeapBytes::zeroed(1) }, number).unwrap();
                }
            });
        });
        assert_eq!(driver.backlog.len(), 10);
        let bytes = vec![7; count as usize];
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
        let mut tokens = std::collections::BTreeSet::new();
        for _turn in 0..count {
            if tokens.len() == bytes.len() {
                break;
            }
            driver.turn(Duration::from_secs(5)).unwrap();
            while let Some(done) = driver.next() {
                assert!(matches!(done.event, Event::Done { result: Ok(1), .. }), "{done:?}");
                assert!(tokens.insert(done.token));
            }
        }
        assert_eq!(tokens.len(), bytes.len());
    }

    #[test]
    fn the_connection_in_the_last_word_of_an_accept_is_handed_over() {
        let mut driver = KernelDriver::<u32, HeapBytes>::new(Files::Plain).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let handle = driver.adopt(listener.into()).unwrap();
        let key = driver.push(Operation::Accept { listener: handle }, 9).unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let mut accepted = loop {
            driver.turn(Duration::from_secs(5)).unwrap();
            if let Some(Completion { event: Event::Accepted(socket), .. }) = driver.next() {
                break std::net::TcpStream::from(socket);
            }
        };
        // The same connection once more, as the kernel says it when it has no room to say that more will come.
        let number = std::os::fd::IntoRawFd::into_raw_fd(accepted.try_clone().unwrap());
        let last = Reaped {
            user_data: key.to_user_data(),
            result: number,
            more: false,
            notification: false,
            buffer: None,
        };
        driver.reaped = vec![last];
        driver.reaped_next = 0;
        let Some(Completion { token: 9, event: Event::Accepted(socket) }) = driver.next() else {
            panic!("it carries a connection")
        };
        let Some(Completion { token: 9, event: Event::Done { result: Ok(0), memory: None } }) = driver.next()
        else {
            panic!("and it was the last")
        };
        assert!(driver.next().is_none());
        drop(std::mem::replace(&mut accepted, socket.into()));
        std::io::Write::write_all(&mut accepted, b"hello").unwrap();
        drop(accepted);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut client, &mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
