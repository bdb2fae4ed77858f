//! Operations as submission queue entries.
#![expect(unsafe_code, reason = "the kernel is handed addresses")]

use std::net::SocketAddr;

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

/// The bytes of one io_uring entry's length field.
fn length(memory: &impl KernelBytes) -> u32 {
    u32::try_from(memory.len()).expect("an operation moves less than 4 GiB")
}

const fn fixed(handle: Handle) -> types::Fixed {
    types::Fixed(handle.0)
}

/// The entry of an operation, and what its completion will look like. `address` is the connect address in
/// memory that does not move; the caller keeps it as long as the operation.
pub(super) fn entry<M: KernelBytes>(
    operation: &Operation<M>,
    address: Option<&SockaddrStorage>,
) -> (squeue::Entry, Handle, Kind) {
    match operation {
        Operation::Accept { listener } => {
            let flags = nix::libc::SOCK_CLOEXEC | nix::libc::SOCK_NONBLOCK;
            (opcode::AcceptMulti::new(fixed(*listener)).flags(flags).build(), *listener, Kind::Accept)
        }
        Operation::AwaitReadable { file } => (poll(*file, nix::libc::POLLIN), *file, Kind::Poll),
        Operation::AwaitHangup { socket } => (poll(*socket, nix::libc::POLLRDHUP), *socket, Kind::Poll),
        Operation::Receive { socket, into } => {
            (opcode::Recv::new(fixed(*socket), into.address(), length(into)).build(), *socket, Kind::Transfer)
        }
        Operation::Read { file, into } => {
            let entry = match into.registered_buffer() {
                Some(buffer) => {
                    opcode::ReadFixed::new(fixed(*file), into.address(), length(into), buffer).build()
                }
                None => opcode::Read::new(fixed(*file), into.address(), length(into)).build(),
            };
            (entry, *file, Kind::Transfer)
        }
        Operation::Send { socket, from } => {
            let entry =
                opcode::Send::new(fixed(*socket), from.address(), length(from)).flags(MSG_NOSIGNAL).build();
            (entry, *socket, Kind::Transfer)
        }
        Operation::SendZeroCopy { socket, from } => {
            let entry = opcode::SendZc::new(fixed(*socket), from.address(), length(from))
                .buf_index(from.registered_buffer())
                .zc_flags(SEND_ZC_REPORT_USAGE)
                .flags(MSG_NOSIGNAL)
                .build();
            (entry, *socket, Kind::ZeroCopy)
        }
        Operation::Connect { socket, .. } => {
            let address = address.expect("a connect comes with its address");
            (
                opcode::Connect::new(fixed(*socket), address.as_ptr().cast(), address.len()).build(),
                *socket,
                Kind::Connect,
            )
        }
    }
}

fn poll(handle: Handle, events: i16) -> squeue::Entry {
    let events = u32::try_from(i32::from(events)).expect("poll events are positive");
    opcode::PollAdd::new(fixed(handle), events).build()
}

/// The entry that ends every operation on a handle.
pub(super) fn cancel_all(handle: Handle) -> squeue::Entry {
    opcode::AsyncCancel2::new(types::CancelBuilder::fd(fixed(handle)).all()).build()
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
}

impl Reaped {
    pub(super) fn from_entry(entry: &cqueue::Entry) -> Self {
        let flags = entry.flags();
        Self {
            user_data: entry.user_data(),
            result: entry.result(),
            more: cqueue::more(flags),
            notification: cqueue::notif(flags),
        }
    }
}
