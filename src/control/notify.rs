//! What the service manager is told. Without one, nothing is said.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// Passes a state on. The service works without its manager knowing, so a failure is logged and no more.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("tell the service manager: {error}");
    }
}

/// How often the watchdog is to be fed, and what feeds it. `None` when the service manager has not set one.
///
/// The food is one datagram that is dropped rather than waited for, so that a core may send it between two
/// packets; a manager that takes none for two intervals is what the watchdog is for.
#[must_use]
pub fn watchdog_feeder() -> Option<(Duration, Box<dyn FnMut() + Send>)> {
    let interval = sd_notify::watchdog_enabled()? / 2;
    let name = std::env::var_os("NOTIFY_SOCKET")?;
    let address = address(name.as_bytes()).ok()?;
    let mut socket = None;
    let feed = move || {
        if socket.is_none() {
            socket = connect(&address).ok();
        }
        // A manager that was restarted has a new socket: the next food goes there.
        if socket.as_ref().is_some_and(|socket| socket.send(b"WATCHDOG=1\n").is_err_and(is_final)) {
            socket = None;
        }
    };
    Some((interval, Box::new(feed)))
}

fn is_final(error: io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock
}

/// A leading `@` names a socket that is in no folder.
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
    }
}

fn connect(address: &SocketAddr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_named_by_path_or_by_an_at_sign() {
        assert_eq!(
            address(b"/run/systemd/notify").unwrap().as_pathname(),
            Some(std::path::Path::new("/run/systemd/notify"))
        );
        assert_eq!(address(b"@systemd").unwrap().as_abstract_name(), Some(&b"systemd"[..]));
        assert!(address(&[b'a'; 200]).is_err());
    }

    #[test]
    fn food_arrives_and_a_full_socket_is_not_waited_for() {
        let address = SocketAddr::from_abstract_name(format!("tunerd-test-{}", std::process::id())).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let socket = connect(&address).unwrap();
        let refused = std::iter::repeat_with(|| socket.send(b"WATCHDOG=1\n"))
            .take(1_000_000)
            .find_map(Result::err)
            .unwrap();
        assert!(!is_final(refused));
        let mut bytes = [0; 32];
        let count = manager.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"WATCHDOG=1\n");
    }
}
