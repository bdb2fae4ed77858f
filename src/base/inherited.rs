//! Descriptors that the service manager has opened for us.
#![expect(unsafe_code, reason = "a number becomes an owner")]

use std::os::fd::{FromRawFd, OwnedFd};

/// The listening sockets of systemd's socket units, in their order; none when there are no such units. To be called
/// once, before anything else could own their numbers.
///
/// # Errors
/// When the service manager's word about them makes no sense.
pub fn listening_sockets() -> std::io::Result<Vec<OwnedFd>> {
    let numbers = sd_notify::listen_fds()?;
    Ok(numbers
        .map(|number| {
            // SAFETY: the service manager opened this descriptor for this process (LISTEN_PID names it) and nobody
            // else here knows its number; ownership begins here and ends with the value.
            unsafe { OwnedFd::from_raw_fd(number) }
        })
        .collect())
}
