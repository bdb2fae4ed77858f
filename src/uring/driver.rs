//! What the engine asks of a driver.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{Errno, KernelBytes};

/// A descriptor the driver has adopted. Valid until it is closed or detached; using it after that is a slip of
/// the engine's and fails an assertion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle(pub(super) u32);

impl Handle {
    /// The handle's slot. Two open handles never share it.
    #[must_use]
    #[cfg(any(test, feature = "sim"))]
    pub const fn slot(self) -> u32 {
        self.0
    }
}

/// An operation in flight. A key whose operation has ended names nothing, even when its slot is in use again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpKey {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl OpKey {
    pub(super) const fn to_user_data(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    pub(super) fn from_user_data(user_data: u64) -> Self {
        let index = u32::try_from(user_data & u64::from(u32::MAX)).expect("32 bits");
        let generation = u32::try_from(user_data >> 32).expect("32 bits");
        Self { index, generation }
    }
}

/// What the kernel is to do.
#[derive(Debug)]
pub enum Operation<M> {
    /// Accept connections until cancelled: one [`Event::Accepted`] each.
    Accept {
        /// A listening socket.
        listener: Handle,
    },
    /// Say when the peer has nothing more to say, or has gone: FIN, RST, or a time-out of the transport. An [`Event::Noticed`] each,
    /// until it is cancelled.
    AwaitHangup {
        /// A connected socket.
        socket: Handle,
    },
    /// Receive what is there, at least one byte.
    Receive {
        /// A connected socket.
        socket: Handle,
        /// Where to.
        into: M,
    },
    /// Read what is there, at least one byte; into registered memory if `into` is registered.
    Read {
        /// A pipe or an eventfd.
        file: Handle,
        /// Where to.
        into: M,
    },
    /// Send; may take fewer bytes than offered.
    Send {
        /// A connected socket.
        socket: Handle,
        /// What.
        from: M,
    },
    /// Send what the socket has room for now, and no more: the bytes are not read after the turn that submits this. `EAGAIN` when
    /// there is no room.
    SendNow {
        /// A connected socket.
        socket: Handle,
        /// What.
        from: M,
    },
    /// Say when the socket has room for more, or the connection is over.
    AwaitRoom {
        /// A connected socket.
        socket: Handle,
    },
    /// Send without copying what the socket has room for now: [`Event::Sent`] says how many bytes were taken, [`Event::Released`]
    /// that the memory is ours again.
    SendZeroCopy {
        /// A connected socket.
        socket: Handle,
        /// What; registered memory.
        from: M,
    },
    /// Connect.
    Connect {
        /// A socket of the address's family.
        socket: Handle,
        /// Where to.
        address: SocketAddr,
    },
    /// Receive the datagrams that are there, at least one and at most
    /// [`DATAGRAMS_PER_READ_MAX`](crate::base::limits::DATAGRAMS_PER_READ_MAX); [`Driver::datagrams`] shows them.
    Gather {
        /// A socket of [`Driver::open_receiver`].
        socket: Handle,
    },
}

/// The datagrams that a socket receives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reception {
    /// Those to this address, which may be a group, one of this host's, or none in particular.
    pub to: SocketAddr,
    /// Those from these senders; when there are none, from everybody.
    pub from: Vec<IpAddr>,
    /// Of a group those that come in by this interface, given by its name or by an address of it; when there is none, by that which
    /// the routes name.
    pub interface: Option<String>,
}

/// Why datagrams cannot be received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReceptionError {
    /// There is no such interface.
    NoInterface(String),
    /// No interface is named, and no route leads to the group.
    NoRoute,
    /// The kernel refused a step on the way.
    Refused {
        /// The step.
        step: &'static str,
        /// Its reason.
        errno: Errno,
    },
}

impl fmt::Display for ReceptionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface(name) => write!(formatter, "this host has no interface {name:?}"),
            Self::NoRoute => formatter.write_str(
                "no route leads to this group: name the interface (UPSTREAM_MULTICAST_INTERFACE, or ?iface= of the source)",
            ),
            Self::Refused { step, errno } => write!(formatter, "{step}: {errno}"),
        }
    }
}

impl ReceptionError {
    /// A step that the kernel has refused. `is_named` says whether an interface was given.
    pub(super) const fn refused(step: &'static str, errno: Errno, is_named: bool) -> Self {
        match errno {
            Errno::NODEV if !is_named => Self::NoRoute,
            errno => Self::Refused { step, errno },
        }
    }
}

/// The connection is over: `POLLHUP`, beside which there may be `POLLERR`.
pub(super) const OVER: u32 = 0x10;
const FAILED: u32 = 0x8;

/// Whether a poll has found the connection to be over in both directions. Otherwise the peer has said all that it has to say, and
/// may go on listening (RFC 9293, 3.6, case 2): who has closed its socket resets the connection when something comes.
#[must_use]
pub fn is_over(events: Result<u32, Errno>) -> bool {
    events.map_or(true, |events| events & (OVER | FAILED) != 0)
}

/// What became of an operation.
#[derive(Debug)]
pub enum Event<M, F> {
    /// The operation has ended and its memory is back.
    Done {
        /// A count of bytes, or for polls what they have noticed.
        result: Result<u32, Errno>,
        /// What the operation owned.
        memory: Option<M>,
    },
    /// A poll has noticed these events; it goes on.
    Noticed(u32),
    /// A connection was accepted; the operation goes on.
    Accepted(F),
    /// A zero-copy send has taken this many bytes; its memory is still lent.
    Sent {
        /// The bytes taken.
        result: Result<u32, Errno>,
    },
    /// The memory of a zero-copy send is back, and the operation has ended.
    Released {
        /// The memory.
        memory: M,
        /// The kernel copied after all: zero copy gains nothing with this peer.
        copied: bool,
    },
}

/// One thing that happened.
#[derive(Debug)]
pub struct Completion<T, M, F> {
    /// What the engine gave with the operation.
    pub token: T,
    /// What happened.
    pub event: Event<M, F>,
}

/// The table of operations is full; here is the memory back.
#[derive(Debug)]
pub struct Refused<M>(pub Operation<M>);

/// How a connection is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hangup {
    /// What has been sent still arrives, then FIN.
    Finish,
    /// The same, and FIN is on its way when [`Driver::close`] returns, whatever is in flight: who counts connections sees the end of
    /// this one before the next one begins.
    AtOnce,
    /// RST: what lies in the socket's queue is thrown away, and with it the kernel's hold on our memory.
    Reset,
}

/// A core's way to the kernel.
pub trait Driver {
    /// What an operation may own.
    type Memory: KernelBytes;
    /// What the engine wants to be told with a completion.
    type Token: Copy;
    /// A descriptor that is not (or no longer) the driver's.
    type Descriptor: Send;

    /// Takes a descriptor in.
    ///
    /// # Errors
    /// The descriptor, when the table of files is full.
    fn adopt(&mut self, descriptor: Self::Descriptor) -> Result<Handle, Self::Descriptor>;

    /// Gives a descriptor away. No operation may be in flight on it.
    fn detach(&mut self, handle: Handle) -> Self::Descriptor;

    /// Ends every operation on a handle and closes it once the kernel has let go. The handle is invalid from now
    /// on. Completions of its operations still come, so that what they owned finds its way back.
    fn close(&mut self, handle: Handle, how: Hangup);

    /// A non-blocking TCP socket for an address's family, ready to connect.
    ///
    /// # Errors
    /// The kernel's reason, or `EMFILE` when the table of files is full.
    fn open_socket(&mut self, address: &SocketAddr) -> Result<Handle, Errno>;

    /// A socket that receives datagrams; of a group it is a member until it is closed.
    ///
    /// # Errors
    /// When there is no such interface, or with the kernel's reason.
    fn open_receiver(&mut self, reception: &Reception) -> Result<Handle, ReceptionError>;

    /// Shows, one after the other, the datagrams that the last [`Operation::Gather`] has brought. They are gone with the next one.
    fn datagrams(&mut self, socket: Handle, each: &mut dyn FnMut(&[u8]));

    /// How many datagrams have been dropped since the socket was opened, because nobody had received those before in time.
    fn dropped_datagrams(&self, socket: Handle) -> u64;

    /// The peer's and the local address of a connected socket.
    ///
    /// # Errors
    /// The kernel's reason: the peer may be gone already.
    fn addresses(&self, handle: Handle) -> Result<(SocketAddr, SocketAddr), Errno>;

    /// Registers memory, so that zero-copy sends and reads need not pin it each time.
    ///
    /// # Errors
    /// The kernel's reason, typically the locked-memory limit.
    fn register_memory(&mut self, memory: &impl KernelBytes) -> Result<u16, Errno>;

    /// Withdraws a registration. Operations that were pushed before keep what it named.
    fn unregister_memory(&mut self, buffer: u16);

    /// Queues an operation; the kernel sees it at the next [`Driver::turn`].
    ///
    /// # Errors
    /// The operation, when [`crate::base::limits::OPERATIONS_PER_CORE_MAX`] are in flight.
    fn push(
        &mut self,
        operation: Operation<Self::Memory>,
        token: Self::Token,
    ) -> Result<OpKey, Refused<Self::Memory>>;

    /// Sends from the file in which the memory lies what the socket has room for now, ahead of whatever is queued: nothing may be in
    /// flight to it. The memory may be given back at once, but the pages are referred to until the peer has the bytes.
    ///
    /// # Errors
    /// The kernel's reason; `EAGAIN` when there is no room.
    fn send_file(&mut self, socket: Handle, from: &Self::Memory) -> Result<u32, Errno>;

    /// Asks the kernel to end an operation early. Its completion still comes; it may even say success.
    fn cancel(&mut self, key: OpKey);

    /// From now on a turn may let things gather for this long before it returns with fewer than a batch of them, if
    /// the kernel can (Linux 6.12). Waking for every single notification of a zero-copy send costs more than it tells.
    fn set_batch_wait(&mut self, batch_wait: Duration);

    /// Gives the memory back that a crowd has left behind.
    fn give_back(&mut self);

    /// Submits everything queued, and waits until something has happened or `wait` is over.
    ///
    /// # Errors
    /// When the kernel refuses to go on at all.
    fn turn(&mut self, wait: Duration) -> Result<(), Errno>;

    /// The next thing that has happened.
    fn next(&mut self) -> Option<Completion<Self::Token, Self::Memory, Self::Descriptor>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_datagrams_cannot_be_received_is_told_with_what_to_do() {
        for (error, text) in [
            (
                ReceptionError::refused("join the group", Errno::NODEV, false),
                "no route leads to this group: name the interface (UPSTREAM_MULTICAST_INTERFACE, or ?iface= of the source)",
            ),
            (
                ReceptionError::refused("join the group", Errno::NODEV, true),
                "join the group: No such device (os error 19)",
            ),
            (
                ReceptionError::refused("join the group", Errno::NOBUFS, false),
                "join the group: No buffer space available (os error 105)",
            ),
            (ReceptionError::NoInterface("eth9".to_owned()), "this host has no interface \"eth9\""),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
