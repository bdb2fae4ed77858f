//! Operations as submission queue entries.
#![expect(unsafe_code, reason = "the kernel is handed addresses")]

use std::net::SocketAddr;
use std::os::fd::RawFd;

use io_uring::{cqueue, opcode, squeue, types};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use crate::base::KernelBytes;

use super::driver::{Handle, Operation};
use super::table::Kind;

/// `IORING_SEND_ZC_REPORT_USAGE`: the notification says whether the kernel copied after all.
pub(super) const SEND_ZC_REPORT_USAGE: u16 = 1 << 3;
/// `IORING_NOTIF_USAGE_ZC_COPIED`, in the notification's result.
pub(super) const NOTIF_USAGE_ZC_COPIED: u32 = 1 << 31;

const MSG_NOSIGNAL: i32 = nix::libc::MSG_NOSIGNAL;
const MSG_DONTWAIT: i32 = nix::libc::MSG_DONTWAIT;

/// The bytes of one io_uring entry's length field.
fn length(memory: &impl KernelBytes) -> u32 {
    u32::try_from(memory.len()).expect("an operation moves less than 4 GiB")
}

/// What an entry names its descriptor by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// A slot of the io_uring's own table.
    Registered(u32),
    /// A number of the process.
    Plain(RawFd),
}

/// An entry built for either kind of name; the two are different types to the operations' builders.
macro_rules! on {
    ($target:expr, |$descriptor:ident| $entry:expr) => {
        match $target {
            Target::Registered(slot) => {
                let $descriptor = types::Fixed(slot);
                $entry
            }
            Target::Plain(number) => {
                let $descriptor = types::Fd(number);
                $entry
            }
        }
    };
}

/// Buffers that the kernel takes by itself, one for each datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct BufferGroup {
    /// What is to be received of each, in memory that does not move.
    pub(super) message: *const nix::libc::msghdr,
    /// The kernel's name for them.
    pub(super) number: u16,
}

/// The handle an operation is about, and what its completion will look like.
pub(super) const fn subject<M>(operation: &Operation<M>) -> (Handle, Kind) {
    match operation {
        Operation::Accept { listener } => (*listener, Kind::Accept),
        Operation::AwaitHangup { socket } => (*socket, Kind::Poll),
        Operation::AwaitRoom { socket } => (*socket, Kind::Transfer),
        Operation::Read { file, .. } => (*file, Kind::Transfer),
        Operation::Receive { socket, .. }
        | Operation::Send { socket, .. }
        | Operation::SendNow { socket, .. } => (*socket, Kind::Transfer),
        Operation::SendZeroCopy { socket, .. } => (*socket, Kind::ZeroCopy),
        Operation::Connect { socket, .. } => (*socket, Kind::Connect),
        Operation::Gather { socket } => (*socket, Kind::Gather),
    }
}

/// The entry of an operation. `target` is what its handle stands for. `address` is the connect address in memory
/// that does not move, and `group` what datagrams go to; the caller keeps both as long as the operation.
pub(super) fn entry<M: KernelBytes>(
    operation: &Operation<M>,
    target: Target,
    address: Option<&SockaddrStorage>,
    group: Option<BufferGroup>,
) -> squeue::Entry {
    match operation {
        Operation::Accept { .. } => {
            let flags = nix::libc::SOCK_CLOEXEC | nix::libc::SOCK_NONBLOCK;
            on!(target, |listener| opcode::AcceptMulti::new(listener).flags(flags).build())
        }
        Operation::AwaitHangup { .. } => poll(target, nix::libc::POLLRDHUP, true),
        Operation::AwaitRoom { .. } => poll(target, nix::libc::POLLOUT, false),
        Operation::Receive { into, .. } => {
            on!(target, |socket| opcode::Recv::new(socket, into.address(), length(into)).build())
        }
        Operation::Read { into, .. } => on!(target, |file| match into.registered_buffer() {
            Some(buffer) => opcode::ReadFixed::new(file, into.address(), length(into), buffer).build(),
            None => opcode::Read::new(file, into.address(), length(into)).build(),
        }),
        Operation::Send { from, .. } => on!(target, |socket| {
            opcode::Send::new(socket, from.address(), length(from)).flags(MSG_NOSIGNAL).build()
        }),
        Operation::SendNow { from, .. } => on!(target, |socket| {
            opcode::Send::new(socket, from.address(), length(from)).flags(MSG_NOSIGNAL | MSG_DONTWAIT).build()
        }),
        Operation::SendZeroCopy { from, .. } => on!(target, |socket| {
            opcode::SendZc::new(socket, from.address(), length(from))
                .buf_index(from.registered_buffer())
                .zc_flags(SEND_ZC_REPORT_USAGE)
                .flags(MSG_NOSIGNAL | MSG_DONTWAIT)
                .build()
        }),
        Operation::Connect { .. } => {
            let address = address.expect("a connect comes with its address");
            on!(target, |socket| {
                opcode::Connect::new(socket, address.as_ptr().cast(), address.len()).build()
            })
        }
        Operation::Gather { .. } => match group {
            Some(BufferGroup { message, number }) => {
                on!(target, |socket| opcode::RecvMsgMulti::new(socket, message, number).build())
            }
            None => poll(target, nix::libc::POLLIN, false),
        },
    }
}

/// A poll; one that goes on tells of every change.
fn poll(target: Target, events: i16, goes_on: bool) -> squeue::Entry {
    let events = u32::try_from(i32::from(events)).expect("poll events are positive");
    on!(target, |file| opcode::PollAdd::new(file, events).multi(goes_on).build())
}

/// The entry that ends every operation on a descriptor.
pub(super) fn cancel_all(target: Target) -> squeue::Entry {
    on!(target, |descriptor| opcode::AsyncCancel2::new(types::CancelBuilder::fd(descriptor).all()).build())
}

/// The entry that ends one operation.
pub(super) fn cancel_one(user_data: u64) -> squeue::Entry {
    opcode::AsyncCancel::new(user_data).build()
}

/// A connect address as the kernel reads it.
pub(super) fn socket_address(address: &SocketAddr) -> Box<SockaddrStorage> {
    Box::new(SockaddrStorage::from(*address))
}

/// Queues an entry.
///
/// # Safety
/// Whatever the entry points to must stay valid until its last completion.
pub(super) unsafe fn push(queue: &mut squeue::SubmissionQueue<'_>, entry: &squeue::Entry) -> bool {
    // SAFETY: the caller's promise, word for word.
    unsafe { queue.push(entry) }.is_ok()
}

/// What a completion says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reaped {
    pub(super) user_data: u64,
    pub(super) result: i32,
    pub(super) more: bool,
    pub(super) notification: bool,
    /// The buffer that was filled, of those that the operation was free to take.
    pub(super) buffer: Option<u16>,
}

impl Reaped {
    pub(super) fn from_entry(entry: &cqueue::Entry) -> Self {
        let flags = entry.flags();
        Self {
            user_data: entry.user_data(),
            result: entry.result(),
            more: cqueue::more(flags),
            notification: cqueue::notif(flags),
            buffer: cqueue::buffer_select(flags),
        }
    }
}
