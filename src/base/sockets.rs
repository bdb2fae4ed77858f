//! What the standard library and nix have no safe word for: sockets the service manager has opened for us, and one
//! socket option.
#![expect(unsafe_code, reason = "a number becomes an owner; an option is set by its number")]

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The listening sockets of systemd's socket units, in their order; none when there are no such units. To be called
/// once, before anything else could own their numbers.
///
/// # Errors
/// When the service manager's word about them makes no sense.
pub fn inherited() -> std::io::Result<Vec<OwnedFd>> {
    let numbers = sd_notify::listen_fds()?;
    Ok(numbers
        .map(|number| {
            // SAFETY: the service manager opened this descriptor for this process (LISTEN_PID names it) and nobody
            // else here knows its number; ownership begins here and ends with the value.
            unsafe { OwnedFd::from_raw_fd(number) }
        })
        .collect())
}

/// `TCP_NOTSENT_LOWAT`: a socket is writable while less than this much has been accepted and not yet been sent. What
/// a peer does not take stays with us, where it is counted, and not in the kernel, where it is not.
///
/// # Errors
/// The kernel's reason.
pub fn set_unsent_limit(socket: BorrowedFd<'_>, bytes: u32) -> std::io::Result<()> {
    let (level, option) = (nix::libc::IPPROTO_TCP, nix::libc::TCP_NOTSENT_LOWAT);
    let length = nix::libc::socklen_t::try_from(size_of::<u32>()).expect("four");
    // SAFETY: the kernel reads `length` bytes at the address of `bytes`, which lives until the call returns.
    let result = unsafe {
        nix::libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const bytes).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// True when an address is one of this host's.
#[must_use]
pub fn is_of_this_host(address: IpAddr) -> bool {
    if address.is_loopback() {
        return true;
    }
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return false };
    interfaces.filter_map(|interface| interface.address).any(|storage| {
        let v4 = storage.as_sockaddr_in().map(|inet| IpAddr::from(inet.ip()));
        let v6 = storage.as_sockaddr_in6().map(|inet| IpAddr::from(inet.ip()));
        v4.or(v6) == Some(address)
    })
}
