//! Sockets as a crowd needs them: many, not blocking, and read without copying.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, listen, recv,
    setsockopt, socket, sockopt,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// Connections from one local address; the kernel's range of ephemeral ports holds some 28,000.
const CONNECTIONS_PER_ADDRESS: usize = 25_000;
/// What the listeners of the kit accept in one go.
const BACKLOG: i32 = 4096;

/// Lets this process open as many descriptors as it may.
pub(crate) fn raise_descriptor_limit(wanted: usize) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    if u64::try_from(wanted).is_ok_and(|wanted| wanted + 64 > hard) {
        return Err(io::Error::other(format!(
            "{wanted} connections need a higher descriptor limit than {hard}"
        )));
    }
    Ok(())
}

/// A listener that a crowd cannot overrun.
pub(crate) fn listen_at(address: SocketAddrV4) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Begins the `number`th connection.
pub(crate) fn connect_to(address: SocketAddrV4, number: usize) -> io::Result<TcpStream> {
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    if address.ip().is_loopback() && number >= CONNECTIONS_PER_ADDRESS {
        let step = u32::try_from(number / CONNECTIONS_PER_ADDRESS).map_err(io::Error::other)?;
        let local = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + step);
        setsockopt(&fd, sockopt::IpBindAddressNoPort, &true)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(local, 0)))?;
    }
    match connect(fd.as_raw_fd(), &SockaddrIn::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(fd)),
        Err(errno) => Err(errno.into()),
    }
}

/// Ends a connection at once, without leaving its port to wait.
pub(crate) fn reset(stream: TcpStream) -> io::Result<()> {
    setsockopt(&stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    drop(stream);
    Ok(())
}

/// Takes up to `scratch.len()` bytes from the socket without copying them; `None` when there are none.
pub(crate) fn discard(stream: &TcpStream, scratch: &mut [u8]) -> io::Result<Option<usize>> {
    received(recv(stream.as_raw_fd(), scratch, MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT))
}

/// Reads what there is, up to `buffer.len()` bytes; `None` when there are none.
pub(crate) fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    received(recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT))
}

fn received(outcome: nix::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Host, port and path of an `http://` address with an IPv4 host.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddrV4,
    pub(crate) path: String,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: not an http:// address"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.replace("localhost", "127.0.0.1");
        let host = if host.contains(':') { host } else { format!("{host}:80") };
        let address = host.parse().map_err(|error| format!("{url}: {error}"))?;
        Ok(Target { address, path: format!("/{path}") })
    }
}

impl Target {
    pub(crate) fn request(&self) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: swarm\r\nAccept: */*\r\n\r\n",
            self.path, self.address
        )
    }
}
