//! The sockets viewers connect to: bound here, one per core and address, or inherited from systemd.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, getsockname, listen,
    setsockopt, socket, sockopt,
};

use tunerd::base::sockets;
use tunerd::config::BindAddress;
use tunerd::exit::ExitCode;

use super::Failure;

/// A peer that acknowledges nothing for this long is gone: a phone in a tunnel comes back sooner, one in airplane mode
/// does not.
const USER_TIMEOUT_MIN: Duration = Duration::from_secs(8);
/// Our own limit on blocked writes comes first, so that it is us who say why a viewer has ended.
const USER_TIMEOUT_MARGIN: Duration = Duration::from_secs(2);
/// A peer to which nothing is being sent is asked whether it is there: after 4 s, then twice at 2 s.
const KEEPALIVE_IDLE_SECONDS: u32 = 4;
const KEEPALIVE_INTERVAL_SECONDS: u32 = 2;
const KEEPALIVE_PROBES: u32 = 2;
/// A viewer that stops reading is noticed when so much waits in its socket: a quarter of a second at 4 Mbit/s. What is
/// on its way to the peer is not limited by this.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;
/// Connections that wait to be accepted: two seconds' worth of the fastest join rate measured.
const BACKLOG: i32 = 4096;

/// One list of listeners per core. A viewer may take nothing for `max_blocked_write`; `None` is for ever.
///
/// Which core has a connection is decided by the kernel's hash of both addresses and ports, so that each has as many as another
/// to within a few per cent. Rejected: `SO_INCOMING_CPU`, or a filter that chooses by the processor on which the connection came
/// in. Boxes like ours have network cards of one queue, and everything would be on one core, as all that comes from one process
/// of this host would; threads of cores are not bound to processors; and Linux 6.1, with which we run, does not heed
/// `SO_INCOMING_CPU` among listeners that share a port (mended in 6.2).
pub(crate) fn open(
    addresses: &[BindAddress],
    cores: u8,
    max_blocked_write: Option<Duration>,
) -> Result<Vec<Vec<OwnedFd>>, Failure> {
    let inherited = sockets::inherited().map_err(|error| Failure::because(ExitCode::Bind, &error))?;
    let listeners: Vec<Vec<OwnedFd>> = if inherited.is_empty() {
        (0..cores).map(|core| bind_all(addresses, core == 0)).collect::<Result<_, _>>()?
    } else {
        shared(&inherited, cores)?
    };
    let user_timeout_ms = user_timeout_ms(max_blocked_write);
    for listener in listeners.iter().flatten() {
        setsockopt(listener, sockopt::TcpUserTimeout, &user_timeout_ms)
            .map_err(|error| Failure::because(ExitCode::Bind, &error))?;
    }
    Ok(listeners)
}

/// What every accepted socket inherits as `TCP_USER_TIMEOUT`. It also ends a peer that acknowledges but takes nothing, so
/// that it must not come before our own limit; 0 leaves it to the system's retransmissions.
fn user_timeout_ms(max_blocked_write: Option<Duration>) -> u32 {
    max_blocked_write.map_or(0, |limit| {
        let timeout = limit.saturating_add(USER_TIMEOUT_MARGIN).max(USER_TIMEOUT_MIN);
        u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)
    })
}

/// Where they listen. What is no Internet socket is left out.
pub(crate) fn addresses(listeners: &[Vec<OwnedFd>]) -> Vec<SocketAddr> {
    listeners.iter().flatten().filter_map(address_of).collect()
}

fn address_of(socket: &OwnedFd) -> Option<SocketAddr> {
    let storage: SockaddrStorage = getsockname(socket.as_raw_fd()).ok()?;
    let v4 = storage.as_sockaddr_in().map(|inet| SocketAddr::from((inet.ip(), inet.port())));
    let v6 = storage.as_sockaddr_in6().map(|inet| SocketAddr::from((inet.ip(), inet.port())));
    v4.or(v6)
}

/// systemd's sockets cannot be had once per core: the cores share them.
fn shared(sockets: &[OwnedFd], cores: u8) -> Result<Vec<Vec<OwnedFd>>, Failure> {
    for socket in sockets {
        set_options(socket).map_err(|error| Failure::because(ExitCode::Bind, &error))?;
    }
    let clone =
        |socket: &OwnedFd| socket.try_clone().map_err(|error| Failure::because(ExitCode::Failure, &error));
    (0..cores).map(|_| sockets.iter().map(clone).collect()).collect()
}

/// Binds one core's listeners. Only the first core can tell whether the addresses are free: the others share them.
fn bind_all(addresses: &[BindAddress], is_first: bool) -> Result<Vec<OwnedFd>, Failure> {
    let first_of = |wanted: &[SocketAddr]| first_of(wanted, is_first);
    let mut listeners = Vec::new();
    for address in addresses {
        match *address {
            BindAddress::All { port } => {
                let any = [
                    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
                ];
                listeners.push(first_of(&any)?);
            }
            BindAddress::Loopback { port } => {
                listeners.push(first_of(&[SocketAddr::from((Ipv4Addr::LOCALHOST, port))])?);
                // A host without IPv6 has no such address.
                listeners.extend(listen_on(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), is_first, false));
            }
            BindAddress::One(address) => listeners.push(one(address, is_first)?),
        }
    }
    Ok(listeners)
}

/// An address of this host, or one that it is going to have: interfaces may come up after us.
fn one(address: SocketAddr, is_first: bool) -> Result<OwnedFd, Failure> {
    match listen_on(address, is_first, false) {
        Err(nix::Error::EADDRNOTAVAIL) => {
            let socket = listen_on(address, is_first, true).map_err(|error| cannot_listen(address, error))?;
            if is_first {
                log::warn!("{address} is no address of this host yet; whoever connects is served once it is");
            }
            Ok(socket)
        }
        result => result.map_err(|error| cannot_listen(address, error)),
    }
}

/// The first address this host has the family for.
fn first_of(wanted: &[SocketAddr], is_first: bool) -> Result<OwnedFd, Failure> {
    let mut failure = None;
    for &address in wanted {
        match listen_on(address, is_first, false) {
            Ok(socket) => return Ok(socket),
            Err(error @ (nix::Error::EAFNOSUPPORT | nix::Error::EADDRNOTAVAIL)) => {
                failure = Some(cannot_listen(address, error));
            }
            Err(error) => return Err(cannot_listen(address, error)),
        }
    }
    Err(failure.expect("there is at least one address"))
}

fn cannot_listen(address: SocketAddr, error: nix::Error) -> Failure {
    let hint = if error == nix::Error::EADDRINUSE {
        "; another program listens there"
    } else if error == nix::Error::EACCES {
        "; ports below 1024 need a privilege, or systemd's socket unit"
    } else {
        ""
    };
    Failure::new(ExitCode::Bind, format!("cannot listen on {address}: {}{hint}", error.desc()))
}

/// `early`: the address need not be there yet.
fn listen_on(address: SocketAddr, is_first: bool, early: bool) -> Result<OwnedFd, nix::Error> {
    if is_first {
        // `ReusePort` would let a second tunerd of the same user in, and half of the viewers would be its.
        bound(address, false, early)?;
    }
    let listener = bound(address, true, early)?;
    set_options(&listener)?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener)
}

fn bound(address: SocketAddr, shared: bool, early: bool) -> Result<OwnedFd, nix::Error> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    if address.is_ipv6() {
        setsockopt(&listener, sockopt::Ipv6V6Only, &false)?;
    }
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    setsockopt(&listener, sockopt::ReusePort, &shared)?;
    // Of either family.
    setsockopt(&listener, sockopt::IpFreebind, &early)?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(listener)
}

/// A free port of this host, on which [`open`] may listen: as long as this is there, the kernel gives it to no program that asks
/// for any port, nor to a connection that goes out.
#[derive(Debug)]
pub(crate) struct HeldPort {
    pub(crate) address: SocketAddr,
    /// Bound, and never listening: whoever connects before [`open`] is refused.
    _socket: OwnedFd,
}

impl HeldPort {
    pub(crate) fn take() -> Result<Self, Failure> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = bound(any, true, false).map_err(|error| cannot_listen(any, error))?;
        let address = address_of(&socket).ok_or_else(|| cannot_listen(any, nix::Error::EADDRNOTAVAIL))?;
        Ok(Self { address, _socket: socket })
    }
}

/// What every accepted socket inherits.
fn set_options(listener: &OwnedFd) -> Result<(), nix::Error> {
    setsockopt(listener, sockopt::TcpNoDelay, &true)?;
    setsockopt(listener, sockopt::KeepAlive, &true)?;
    setsockopt(listener, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_SECONDS)?;
    setsockopt(listener, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_SECONDS)?;
    setsockopt(listener, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    sockets::set_unsent_limit(listener.as_fd(), UNSENT_BYTES_MAX)
        .map_err(|error| nix::Error::from_raw(error.raw_os_error().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_held_port_is_ours_and_refuses_until_we_listen() {
        let held = HeldPort::take().unwrap();
        assert!(TcpStream::connect(held.address).is_err(), "nobody listens yet");
        let listeners = open(&[BindAddress::One(held.address)], 2, None).unwrap();
        assert_eq!(addresses(&listeners), [held.address; 2]);
        assert!(TcpStream::connect(held.address).is_ok());
    }

    #[test]
    fn the_kernel_ends_nobody_before_the_limit_on_blocked_writes() {
        for (limit_seconds, expected_ms) in
            [(None, 0), (Some(1), 8_000), (Some(6), 8_000), (Some(60), 62_000), (Some(u64::MAX), u32::MAX)]
        {
            assert_eq!(
                user_timeout_ms(limit_seconds.map(Duration::from_secs)),
                expected_ms,
                "{limit_seconds:?}"
            );
        }
    }

    #[test]
    fn an_address_that_is_not_there_yet_is_listened_on() {
        for address in ["192.0.2.77:20817", "[2001:db8::77]:20817"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(listen_on(address, true, false).unwrap_err(), nix::Error::EADDRNOTAVAIL);
            let (first, second) = (one(address, true).unwrap(), one(address, false).unwrap());
            assert_eq!(addresses(&[vec![first, second]]), [address, address]);
        }
    }
}
