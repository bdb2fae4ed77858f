//! Sockets that receive datagrams, and the memory these go to.
//!
//! The kernel is asked once for all datagrams that are there (a multishot `RECVMSG`), and takes a buffer of the socket's own for
//! each. A kernel that refuses says when there are some, and they are received one by one.
#![expect(unsafe_code, reason = "the kernel is handed addresses and options by their numbers")]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use io_uring::Submitter;
use io_uring::types::RecvMsgOut;
use nix::errno::Errno as NixErrno;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, SockaddrStorage, bind, connect,
    recv, setsockopt, socket, sockopt,
};

use crate::base::Errno;
use crate::base::limits::{DATAGRAM_QUEUE_BYTES, DATAGRAMS_PER_READ_MAX};

use super::driver::{Reception, ReceptionError};
use super::submit::{self, Reaped};

/// What the kernel writes in front of a datagram: `struct io_uring_recvmsg_out`.
const HEAD_BYTES: usize = 16;
/// The largest datagram there is, and its head. Of a buffer only those pages become memory that are written to.
const BUFFER_BYTES: usize = HEAD_BYTES + 65_536;
const BUFFERS: usize = DATAGRAMS_PER_READ_MAX as usize;
const BYTES: NonZeroUsize = NonZeroUsize::new(BUFFERS * BUFFER_BYTES).expect("some");
const _: () = assert!(BUFFERS.is_power_of_two() && BUFFERS * size_of::<Entry>() <= PAGE_BYTES);
const PAGE_BYTES: usize = 4096;

/// A buffer that the kernel may take: `struct io_uring_buf`. The first one's last field is the end of the queue.
#[repr(C)]
#[derive(Default)]
struct Entry {
    address: AtomicU64,
    bytes: AtomicU32,
    number: AtomicU16,
    tail: AtomicU16,
}

/// The queue of buffers that the kernel may take, which it wants on a page of its own.
#[repr(C, align(4096))]
struct Queue([Entry; BUFFERS]);

/// What datagrams of one socket go to.
pub(super) struct Receiver {
    memory: Memory,
    group: Option<Group>,
    /// The kernel takes buffers of the group by itself.
    is_multishot: bool,
    /// The buffers of the last gathering and the bytes that the kernel has written to each, in the order of the datagrams.
    filled: Vec<(u16, usize)>,
}

struct Group {
    number: u16,
    queue: Box<Queue>,
    tail: u16,
    /// The kernel reads it while an operation is in flight.
    message: Box<libc::msghdr>,
}

/// The buffers, one behind the other.
struct Memory {
    start: NonNull<u8>,
}

/// What a completion has come to.
pub(super) enum Took {
    /// The first of several datagrams.
    First,
    /// Another one, and there may be more.
    More,
    /// The kernel does not do this; what it does is to be asked for instead.
    Refused,
    /// That was all.
    All(Result<u32, Errno>),
}

impl Memory {
    fn new() -> Result<Self, NixErrno> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses where, and nothing of ours is there.
        let mapped = unsafe { mmap_anonymous(None, BYTES, protection, MapFlags::MAP_PRIVATE) }?;
        let memory = Self { start: mapped.cast() };
        // Large pages would make memory of all of it. A kernel that has none does not know the word.
        // SAFETY: the range is what was mapped.
        let _no_large_pages = unsafe { madvise(mapped, BYTES.get(), MmapAdvise::MADV_NOHUGEPAGE) };
        Ok(memory)
    }

    /// Where a buffer begins.
    fn buffer(&self, number: u16) -> *mut u8 {
        assert!(number < DATAGRAMS_PER_READ_MAX, "buffer {number} is none of ours");
        // SAFETY: the offset lies inside of what was mapped, as the number is one of a buffer.
        unsafe { self.start.as_ptr().add(usize::from(number) * BUFFER_BYTES) }
    }

    /// The first bytes of a buffer. Nothing may be in flight that could write to it.
    fn bytes(&self, number: u16, count: usize) -> &[u8] {
        assert!(count <= BUFFER_BYTES, "the kernel writes into the buffer alone");
        let start = self.buffer(number);
        // SAFETY: the bytes are mapped, were zeros then, and nobody writes to them while they are borrowed: the kernel fills
        // a buffer once it is given in `refill`, which needs the receiver for itself alone.
        unsafe { std::slice::from_raw_parts(start, count) }
    }

    /// The same, to be written to.
    fn bytes_mut(&mut self, number: u16) -> &mut [u8] {
        let start = self.buffer(number);
        // SAFETY: as in `bytes`; and it is borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(start, BUFFER_BYTES) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was mapped so in `new`, and nobody has it but this.
        let unmapped = unsafe { munmap(self.start.cast(), BYTES.get()) };
        assert!(unmapped.is_ok(), "what was mapped can be unmapped: {unmapped:?}");
    }
}

impl Receiver {
    /// A receiver whose buffers the kernel knows by a number that nobody else has, if it takes buffers by itself.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn new(submitter: &Submitter<'_>, free: &mut Vec<u16>) -> Result<Box<Self>, ReceptionError> {
        let memory = refused("find memory", Memory::new())?;
        let mut group = free.pop().and_then(|number| {
            let group = Group::register(submitter, number);
            if group.is_none() {
                free.push(number);
            }
            group
        });
        if let Some(group) = &mut group {
            (0..DATAGRAMS_PER_READ_MAX).for_each(|number| group.give(number, memory.buffer(number)));
        }
        let is_multishot = group.is_some();
        Ok(Box::new(Self { memory, group, is_multishot, filled: Vec::with_capacity(BUFFERS) }))
    }

    /// From now on as if the kernel took no buffers.
    #[cfg(test)]
    pub(super) const fn receive_singly(&mut self) {
        self.is_multishot = false;
    }

    /// What the kernel is to be given to take buffers by itself.
    pub(super) fn group(&self) -> Option<submit::BufferGroup> {
        let group = self.group.as_ref().filter(|_| self.is_multishot)?;
        Some(submit::BufferGroup { message: &raw const *group.message, number: group.number })
    }

    /// The buffers that were filled may be filled again. Nothing is in flight.
    pub(super) fn refill(&mut self) {
        let Some(group) = self.group.as_mut().filter(|_| self.is_multishot) else {
            return self.filled.clear();
        };
        for (number, _) in self.filled.drain(..) {
            group.give(number, self.memory.buffer(number));
        }
        group.queue.0[0].tail.store(group.tail, Ordering::Release);
    }

    /// A word of the kernel's.
    pub(super) fn take(&mut self, reaped: Reaped, socket: &OwnedFd) -> Took {
        let result = Errno::check(reaped.result);
        if !self.is_multishot {
            return Took::All(result.and_then(|_ready| self.receive(socket)));
        }
        if let (Ok(bytes), Some(number)) = (result, reaped.buffer) {
            self.filled.push((number, bytes as usize));
        }
        match (reaped.more, self.filled.len(), result) {
            (true, 1, _) => Took::First,
            (true, _, _) => Took::More,
            (false, 0, Err(Errno::INVAL)) => {
                // The group stays until the socket goes: the kernel has its address.
                self.is_multishot = false;
                Took::Refused
            }
            (false, 0, Err(errno)) => Took::All(Err(errno)),
            // It was cancelled, or has no buffer left, when it had brought something.
            (false, count, _) => Took::All(Ok(u32::try_from(count).expect("few"))),
        }
    }

    /// Receives what is there, one by one.
    fn receive(&mut self, socket: &OwnedFd) -> Result<u32, Errno> {
        self.filled.clear();
        for number in 0..DATAGRAMS_PER_READ_MAX {
            let buffer = self.memory.bytes_mut(number);
            match recv(socket.as_raw_fd(), &mut buffer[HEAD_BYTES..], MsgFlags::MSG_DONTWAIT) {
                Ok(bytes) => self.filled.push((number, HEAD_BYTES + bytes)),
                Err(_) if !self.filled.is_empty() => break,
                Err(error) => return Err(errno(error)),
            }
        }
        Ok(u32::try_from(self.filled.len()).expect("few"))
    }

    /// Shows what has come last.
    pub(super) fn datagrams(&self, each: &mut dyn FnMut(&[u8])) {
        for &(number, count) in &self.filled {
            let bytes = self.memory.bytes(number, count);
            let Some(group) = self.group.as_ref().filter(|_| self.is_multishot) else {
                each(&bytes[HEAD_BYTES..]);
                continue;
            };
            if let Ok(message) = RecvMsgOut::parse(bytes, &group.message) {
                each(message.payload_data());
            }
        }
    }

    /// The kernel forgets the buffers. Gives the number that is free then.
    pub(super) fn withdraw(&self, submitter: &Submitter<'_>) -> Option<u16> {
        let group = self.group.as_ref()?;
        submitter.unregister_buf_ring(group.number).ok().map(|()| group.number)
    }
}

impl Group {
    fn register(submitter: &Submitter<'_>, number: u16) -> Option<Self> {
        let queue = Box::new(Queue(std::array::from_fn(|_| Entry::default())));
        let address = (&raw const *queue).expose_provenance() as u64;
        // SAFETY: the queue is on pages of its own and stays where it is until the registration is withdrawn, for it lives as
        // long as the socket, and with the socket the registration ends.
        let registered =
            unsafe { submitter.register_buf_ring_with_flags(address, DATAGRAMS_PER_READ_MAX, number, 0) };
        registered.ok()?;
        // SAFETY: zeros are a message without a name, without vectors and without control data.
        let message = Box::new(unsafe { std::mem::zeroed::<libc::msghdr>() });
        Some(Self { number, queue, tail: 0, message })
    }

    /// The kernel may fill a buffer, once it is told of the queue's new end.
    fn give(&mut self, number: u16, buffer: *mut u8) {
        let entry = &self.queue.0[usize::from(self.tail) % BUFFERS];
        entry.address.store(buffer.expose_provenance() as u64, Ordering::Relaxed);
        entry.bytes.store(u32::try_from(BUFFER_BYTES).expect("64 KiB"), Ordering::Relaxed);
        entry.number.store(number, Ordering::Relaxed);
        self.tail = self.tail.wrapping_add(1);
    }
}

/// A socket that receives what was asked for.
pub(super) fn open(reception: &Reception) -> Result<OwnedFd, ReceptionError> {
    let to = reception.to;
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = refused("open a socket", socket(family, SockType::Datagram, flags, SockProtocol::Udp))?;
    // The kernel gives less to those who may not ask for more; how much is no reason to do without.
    if setsockopt(&socket, sockopt::RcvBufForce, &DATAGRAM_QUEUE_BYTES).is_err() {
        refused("size its queue", setsockopt(&socket, sockopt::RcvBuf, &DATAGRAM_QUEUE_BYTES))?;
    }
    // Several programs, and several channels, may receive the same.
    refused("share the port", setsockopt(&socket, sockopt::ReuseAddr, &true))?;
    if !to.ip().is_multicast() {
        receive_at(&socket, to)?;
        if let Some(&sender) = reception.from.first() {
            let sender = SockaddrStorage::from(SocketAddr::new(sender, 0));
            refused("receive from the sender alone", connect(socket.as_raw_fd(), &sender))?;
        }
        return Ok(socket);
    }
    let interface = match &reception.interface {
        Some(name) => interface_index(name).ok_or_else(|| ReceptionError::NoInterface(name.clone()))?,
        None => 0,
    };
    let address = match to {
        SocketAddr::V6(mut v6) if v6.ip().is_unicast_link_local() || v6.ip().segments()[0] & 0x0F == 2 => {
            v6.set_scope_id(interface);
            SocketAddr::V6(v6)
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => to,
    };
    // Only what is sent to the group, whatever else comes to the port; and only by the membership of this socket.
    refused("bind to the group", bind(socket.as_raw_fd(), &SockaddrStorage::from(address)))?;
    let (level, all) = match to {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MULTICAST_ALL),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL),
    };
    refused("leave the groups of others", set_option(&socket, level, all, &0_i32))?;
    if reception.from.is_empty() {
        let request = libc::group_req { gr_interface: interface, gr_group: storage(to) };
        joined("join the group", set_option(&socket, level, libc::MCAST_JOIN_GROUP, &request), interface)?;
    }
    for &sender in &reception.from {
        let request = libc::group_source_req {
            gsr_interface: interface,
            gsr_group: storage(to),
            gsr_source: storage(SocketAddr::new(sender, 0)),
        };
        joined(
            "join the group of the sender",
            set_option(&socket, level, libc::MCAST_JOIN_SOURCE_GROUP, &request),
            interface,
        )?;
    }
    Ok(socket)
}

/// How many datagrams the kernel has dropped since the socket was opened, because its queue was full.
pub(super) fn dropped(socket: &OwnedFd) -> u64 {
    let mut figures = [0_u32; DROPS + 1];
    let mut length = libc::socklen_t::try_from(size_of_val(&figures)).expect("a few bytes");
    // SAFETY: the kernel writes `length` bytes at most to `figures`, and both live until the call returns.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            (&raw mut figures).cast(),
            &raw mut length,
        )
    };
    if result == 0 { u64::from(figures[DROPS]) } else { 0 }
}

/// The place of `SK_MEMINFO_DROPS` in what `SO_MEMINFO` tells.
const DROPS: usize = 8;

/// Since Linux 4.20; the bindings do not have it for all systems.
const IPV6_MULTICAST_ALL: i32 = 29;

/// Binds to an address of this host's. Lists name the sender there, too, as players take the port alone.
fn receive_at(socket: &OwnedFd, to: SocketAddr) -> Result<(), ReceptionError> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], to.port())),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], to.port())),
    };
    let bound = match bind(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Err(NixErrno::EADDRNOTAVAIL) => bind(socket.as_raw_fd(), &SockaddrStorage::from(any)),
        bound => bound,
    };
    refused("bind to the address", bound)
}

/// The number of an interface, by its name or by one of its addresses.
fn interface_index(name: &str) -> Option<u32> {
    if let Ok(address) = name.parse::<IpAddr>() {
        let mut interfaces = nix::ifaddrs::getifaddrs().ok()?;
        let has = |storage: SockaddrStorage| {
            let v4 = storage.as_sockaddr_in().map(|inet| IpAddr::from(inet.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|inet| IpAddr::from(inet.ip()))) == Some(address)
        };
        let found = interfaces.find(|interface| interface.address.is_some_and(has))?;
        return nix::net::if_::if_nametoindex(found.interface_name.as_str()).ok();
    }
    nix::net::if_::if_nametoindex(name).ok()
}

fn storage(address: SocketAddr) -> libc::sockaddr_storage {
    let address = SockaddrStorage::from(address);
    // SAFETY: zeros are an address of no family.
    let mut storage = unsafe { std::mem::zeroed::<libc::sockaddr_storage>() };
    let length = usize::try_from(address.len()).expect("a few bytes").min(size_of_val(&storage));
    // SAFETY: both are as long as `length` at least, and they are not the same.
    unsafe {
        std::ptr::copy_nonoverlapping(address.as_ptr().cast::<u8>(), (&raw mut storage).cast(), length)
    };
    storage
}

fn set_option<V>(socket: &OwnedFd, level: i32, option: i32, value: &V) -> Result<(), NixErrno> {
    let length = libc::socklen_t::try_from(size_of::<V>()).expect("a few hundred bytes");
    // SAFETY: the kernel reads `length` bytes at the address of `value`, which is borrowed until the call returns.
    let result = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const *value).cast(), length)
    };
    NixErrno::result(result).map(drop)
}

fn refused<V>(step: &'static str, result: Result<V, NixErrno>) -> Result<V, ReceptionError> {
    result.map_err(|error| ReceptionError::Refused { step, errno: errno(error) })
}

/// The same of a group that is joined by an interface, or by the one that the routes name.
fn joined<V>(step: &'static str, result: Result<V, NixErrno>, interface: u32) -> Result<V, ReceptionError> {
    result.map_err(|error| ReceptionError::refused(step, errno(error), interface != 0))
}

fn errno(error: NixErrno) -> Errno {
    Errno::from_positive(error as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a completion comes to, in a word.
    fn word(took: &Took) -> String {
        match took {
            Took::First => "first".to_owned(),
            Took::More => "more".to_owned(),
            Took::Refused => "refused".to_owned(),
            Took::All(result) => format!("{result:?}"),
        }
    }

    #[test]
    fn the_kernels_words_come_to_one_batch() {
        const CANCELED: i32 = -125;
        const NOBUFS: i32 = -105;
        const INVAL: i32 = -22;
        let ring = io_uring::IoUring::new(8).unwrap();
        let socket = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let canceled = "Err(Operation canceled (os error 125))";
        for (name, words, expected) in [
            (
                "cancelled when some had come",
                vec![(40, true), (41, true), (CANCELED, false)],
                vec!["first", "more", "Ok(2)"],
            ),
            ("the last in the last word", vec![(40, true), (16, false)], vec!["first", "Ok(2)"]),
            ("one that is empty", vec![(16, false)], vec!["Ok(1)"]),
            ("no buffer is left", vec![(40, true), (NOBUFS, false)], vec!["first", "Ok(1)"]),
            ("closed before anything came", vec![(CANCELED, false)], vec![canceled]),
            ("a kernel that does not know it", vec![(INVAL, false)], vec!["refused"]),
        ] {
            let mut receiver = Receiver::new(&ring.submitter(), &mut vec![7]).unwrap();
            assert!(receiver.group().is_some());
            receiver.refill();
            let mut said = Vec::new();
            for (number, (result, more)) in (0..).zip(words) {
                let buffer = (result >= 0).then_some(number);
                let reaped = Reaped { user_data: 0, result, more, notification: false, buffer };
                said.push(word(&receiver.take(reaped, &socket)));
            }
            assert_eq!(said, expected, "{name}");
            // What it does instead is to say when there are some.
            assert_eq!(receiver.group().is_none(), name == "a kernel that does not know it", "{name}");
            assert_eq!(receiver.withdraw(&ring.submitter()), Some(7), "{name}");
        }
    }
}
