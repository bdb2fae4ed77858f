//! A socket for datagrams that knows by which of our addresses each one came, and answers from there.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType,
    SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::control::params::Listen;

/// How far announcements go: over a router or two of the same house, as the UPnP architecture recommends.
const MULTICAST_TTL: u8 = 2;

/// One of our addresses, and the interface by which it was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Local {
    pub(super) address: IpAddr,
    /// What is sent must leave by it; 0 leaves that to the routes.
    pub(super) interface: u32,
}

/// A datagram that has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Received {
    pub(super) bytes: usize,
    pub(super) from: SocketAddr,
    pub(super) local: Local,
    /// It was sent to many, not to us alone.
    pub(super) was_for_many: bool,
}

/// The socket.
pub(super) struct PacketSocket(UdpSocket);

impl PacketSocket {
    /// Binds one. Of an IPv6 address it takes no IPv4. Where it is `shared`, others may have the port, too, and all of them
    /// get what is sent to many.
    pub(super) fn bind(address: SocketAddr, shared: bool) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor = socket(family, SockType::Datagram, flags, SockProtocol::Udp)?;
        setsockopt(&descriptor, sockopt::ReuseAddr, &shared)?;
        if address.is_ipv4() {
            setsockopt(&descriptor, sockopt::Ipv4PacketInfo, &true)?;
            setsockopt(&descriptor, sockopt::IpMulticastTtl, &MULTICAST_TTL)?;
        } else {
            setsockopt(&descriptor, sockopt::Ipv6V6Only, &true)?;
            setsockopt(&descriptor, sockopt::Ipv6RecvPacketInfo, &true)?;
            setsockopt(&descriptor, sockopt::Ipv6MulticastHops, &i32::from(MULTICAST_TTL))?;
        }
        bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
        Ok(Self(UdpSocket::from_std(descriptor.into())?))
    }

    /// One for each family that there is. Broadcasts and groups do not reach a socket that is bound to an address of its own:
    /// of those only what is sent to that address alone is for whoever wants no more.
    pub(super) fn bind_families(listen: Listen, shared: bool) -> io::Result<Vec<Self>> {
        let port = listen.port;
        let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let any_v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let wanted = match listen.only {
            None => vec![any_v4, any_v6],
            Some(only) if only.is_loopback() => vec![SocketAddr::new(only, port)],
            Some(only) if only.is_ipv4() => vec![any_v4],
            Some(_v6) => vec![any_v6],
        };
        let mut sockets = Vec::new();
        let mut failure = None;
        for address in wanted {
            match Self::bind(address, shared) {
                Ok(socket) => sockets.push(socket),
                // A host need not have both.
                Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        match failure {
            Some(error) if sockets.is_empty() => Err(error),
            Some(_) | None => Ok(sockets),
        }
    }

    /// Whether an address is of the socket's family.
    pub(super) fn is_of_family(&self, address: IpAddr) -> bool {
        self.0.local_addr().is_ok_and(|own| own.is_ipv4() == address.is_ipv4())
    }

    /// Receives what is sent to a group by way of an interface. To be a member already is no error.
    pub(super) fn join(&self, group: IpAddr, local: Local) -> io::Result<()> {
        let joined = match (group, local.address) {
            (IpAddr::V4(group), IpAddr::V4(own)) => self.0.join_multicast_v4(group, own),
            (IpAddr::V6(group), IpAddr::V6(_)) => self.0.join_multicast_v6(&group, local.interface),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Ok(()),
        };
        match joined {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            joined => joined,
        }
    }

    /// The next datagram. What is longer than the buffer is cut off.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.0.async_io(Interest::READABLE, || receive(&self.0, buffer)).await
    }

    /// Sends a datagram from one of our addresses. One that there is no room for is lost, as all others may be.
    pub(super) fn send(&self, bytes: &[u8], from: Local, to: SocketAddr) -> io::Result<()> {
        let slices = [IoSlice::new(bytes)];
        let target = SockaddrStorage::from(to);
        let descriptor = self.0.as_raw_fd();
        match from.address {
            IpAddr::V4(address) => {
                let info = in_pktinfo {
                    ipi_ifindex: i32::try_from(from.interface).unwrap_or(0),
                    ipi_spec_dst: in_addr { s_addr: u32::from(address).to_be() },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(descriptor, &slices, &control, MsgFlags::empty(), Some(&target))?;
            }
            IpAddr::V6(address) => {
                let info = in6_pktinfo {
                    ipi6_addr: in6_addr { s6_addr: address.octets() },
                    ipi6_ifindex: from.interface,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(descriptor, &slices, &control, MsgFlags::empty(), Some(&target))?;
            }
        }
        Ok(())
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut slices = [IoSliceMut::new(buffer)];
    let mut control = cmsg_space!(in_pktinfo, in6_pktinfo);
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())?;
    let nameless = || io::Error::new(io::ErrorKind::InvalidData, "a datagram came without addresses");
    let from = message.address.as_ref().and_then(socket_address).ok_or_else(nameless)?;
    let (local, was_for_many) = message.cmsgs()?.find_map(local_of).ok_or_else(nameless)?;
    Ok(Received { bytes: message.bytes, from, local, was_for_many })
}

fn local_of(message: ControlMessageOwned) -> Option<(Local, bool)> {
    if let ControlMessageOwned::Ipv4PacketInfo(info) = message {
        // The address that an answer is sent from, and the one that the datagram was sent to.
        let own = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
        let was_for_many = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)) != own;
        // Routes know the way back to whoever has sent to us alone; it need not be the interface it came by.
        let interface = if was_for_many { u32::try_from(info.ipi_ifindex).ok()? } else { 0 };
        Some((Local { address: own.into(), interface }, was_for_many))
    } else if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
        let sent_to = Ipv6Addr::from(info.ipi6_addr.s6_addr);
        let was_for_many = sent_to.is_multicast();
        let is_of_cable = was_for_many || sent_to.is_unicast_link_local();
        let interface = if is_of_cable { info.ipi6_ifindex } else { 0 };
        Some((Local { address: sent_to.into(), interface }, was_for_many))
    } else {
        None
    }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|inet| SocketAddr::from((inet.ip(), inet.port())));
    v4.or_else(|| storage.as_sockaddr_in6().map(|inet| SocketAddr::V6((*inet).into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn loopback(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 0))
    }

    #[test]
    fn a_datagram_is_answered_from_the_address_it_was_sent_to() {
        tokio_uring::start(async {
            let any = PacketSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0)), false).unwrap();
            let port = any.0.local_addr().unwrap().port();
            let client = UdpSocket::bind(loopback(1)).unwrap();
            let mut buffer = [0; 64];
            for own in [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 9)] {
                client.send_to(b"who", (own, port)).unwrap();
                let received = any.receive(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..received.bytes], b"who");
                assert_eq!(received.from, client.local_addr().unwrap());
                assert_eq!((received.local.address, received.was_for_many), (IpAddr::from(own), false));
                any.send(b"me", received.local, received.from).unwrap();
                let (bytes, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!((bytes, from), (2, SocketAddr::from((own, port))));
            }
        });
    }

    #[test]
    fn the_same_holds_for_ipv6() {
        tokio_uring::start(async {
            let Ok(any) = PacketSocket::bind(SocketAddr::from(([0_u16; 8], 0)), false) else { return };
            let port = any.0.local_addr().unwrap().port();
            let Ok(client) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
            client.send_to(b"who", (Ipv6Addr::LOCALHOST, port)).unwrap();
            let mut buffer = [0; 2];
            let received = any.receive(&mut buffer).await.unwrap();
            assert_eq!((received.bytes, received.was_for_many), (2, false), "the rest is cut off");
            any.send(b"me", received.local, received.from).unwrap();
            let (_, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(from, SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        });
    }

    #[test]
    fn a_port_is_shared_only_by_those_who_share() {
        tokio_uring::start(async {
            let first = PacketSocket::bind(loopback(1), true).unwrap();
            let address = first.0.local_addr().unwrap();
            assert!(PacketSocket::bind(address, true).is_ok());
            let refused = PacketSocket::bind(address, false).map(|_| ()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        });
    }
}
