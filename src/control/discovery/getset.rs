//! What HDHomeRun's own tools ask of a tuner: TCP port 65001, a name in, a value or a reason out. Nothing can be set.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen, setsockopt,
    socket, sockopt,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::control::params::Listen;
use crate::control::state::State;
use crate::status::DeviceTuner;

use super::interfaces::{is_near, networks};
use super::packet::{Frame, GETSET_BYTES_MAX, GetSet};

/// Clients that are served at once. A tool has one connection; whoever comes when all places are taken finds it closed.
const CLIENTS_MAX: u32 = 32;
/// Connections that wait to be taken.
const BACKLOG: i32 = 16;
/// A client that asks nothing for so long goes; libhdhomerun connects again by itself.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A client takes its answer within this.
const SEND_MAX: Duration = Duration::from_secs(5);
/// Failures of a listener that may be over the next time.
const PASSING: [Errno; 9] = [
    Errno::ECONNABORTED,
    Errno::EPERM,
    Errno::EPROTO,
    Errno::EINTR,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOBUFS,
    Errno::ENOMEM,
    Errno::ENETDOWN,
];
/// Before a listener that fails is asked again.
const FAILURE_DELAY: Duration = Duration::from_secs(1);

pub(in crate::control) const MODEL_NUMBER: &str = "HDFX-4K";
pub(in crate::control) const FIRMWARE_NAME: &str = "hdhomerun_dvr_atsc3";
pub(in crate::control) const FIRMWARE_VERSION: &str = "20250815";

const HELP: &str = "Supported configuration options:\n\
    /sys/copyright\n/sys/features\n/sys/hwmodel\n/sys/model\n/sys/version\n\
    /lineup/location\n\
    /tuner<n>/channel\n/tuner<n>/channelmap\n/tuner<n>/filter\n/tuner<n>/lockkey\n/tuner<n>/program\n\
    /tuner<n>/status\n/tuner<n>/streaminfo\n/tuner<n>/target\n/tuner<n>/vchannel\n/tuner<n>/vstatus\n";
const UNKNOWN: &str = "ERROR: unknown getset variable";
const READ_ONLY: &str = "ERROR: getset variable is read-only";
const BUSY: &str = "ERROR: communication timeout";

/// The value of a name, or why there is none, in the words that devices have. `tuner` gives one of our tuners.
fn value<'a>(
    name: &str,
    tuner: impl FnOnce(usize) -> Option<&'a DeviceTuner<'a>>,
) -> Result<String, &'static str> {
    let fixed = match name {
        "help" => HELP,
        "/sys/model" => FIRMWARE_NAME,
        "/sys/hwmodel" => MODEL_NUMBER,
        "/sys/version" => FIRMWARE_VERSION,
        "/sys/copyright" => concat!("tunerd ", env!("CARGO_PKG_VERSION"), ", MIT license\n"),
        "/sys/features" => "channelmap: us-bcast\nmodulation: 8vsb\nauto-modulation: auto\n",
        "/lineup/location" => "disabled",
        _of_a_tuner => return of_tuner(name, tuner),
    };
    Ok(fixed.to_owned())
}

fn of_tuner<'a>(
    name: &str,
    tuner: impl FnOnce(usize) -> Option<&'a DeviceTuner<'a>>,
) -> Result<String, &'static str> {
    let (number, what) = name.strip_prefix("/tuner").and_then(|rest| rest.split_once('/')).ok_or(UNKNOWN)?;
    let is_number =
        number.len() <= 3 && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let number: usize =
        if is_number { number.parse().map_err(|_too_large| UNKNOWN)? } else { return Err(UNKNOWN) };
    let tuner = tuner(number).ok_or(UNKNOWN)?;
    Ok(match what {
        "status" => tuner.status_line(),
        "vstatus" => tuner.vstatus(),
        "channel" => tuner.channel(),
        "vchannel" => tuner.number().unwrap_or("none").to_owned(),
        "channelmap" => "us-bcast".to_owned(),
        "filter" => "0x0000-0x1fff".to_owned(),
        "program" => if tuner.number().is_some() { "1" } else { "0" }.to_owned(),
        "lockkey" | "target" | "streaminfo" => "none".to_owned(),
        _unknown => return Err(UNKNOWN),
    })
}

/// A seat among the clients, until it is dropped.
struct Seat(Rc<Cell<u32>>);

impl Seat {
    fn take(taken: &Rc<Cell<u32>>) -> Option<Self> {
        if taken.get() >= CLIENTS_MAX {
            return None;
        }
        taken.set(taken.get() + 1);
        Some(Self(Rc::clone(taken)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Begins to answer. Without it everything else works, so that no failure ends anything.
pub(super) fn start(state: &Rc<State>, wanted: Listen) {
    let taken = Rc::new(Cell::new(0));
    for address in addresses(wanted) {
        match listener(address) {
            Ok(listener) => {
                tokio_uring::spawn(serve(Rc::clone(state), listener, Rc::clone(&taken)));
            }
            // A host need not have both families.
            Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {}
            Err(error) => {
                log::warn!("HDHomeRun's tools cannot ask for details: TCP {address}: {error}");
            }
        }
    }
}

fn addresses(wanted: Listen) -> Vec<SocketAddr> {
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let hosts = wanted.only.map_or(all.to_vec(), |only| vec![only]);
    hosts.into_iter().map(|host| SocketAddr::new(host, wanted.port)).collect()
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&descriptor, sockopt::Ipv6V6Only, &true)?;
    }
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&descriptor, Backlog::new(BACKLOG)?)?;
    TcpListener::from_std(descriptor.into())
}

async fn serve(state: Rc<State>, listener: TcpListener, taken: Rc<Cell<u32>>) {
    loop {
        match listener.accept().await {
            Ok((client, from)) => {
                if is_near(from.ip(), &networks())
                    && let Some(place) = Seat::take(&taken)
                {
                    tokio_uring::spawn(converse(Rc::clone(&state), client, from, place));
                }
            }
            // Of one client, or of a host that is short of something for now.
            Err(error) if PASSING.iter().any(|errno| error.raw_os_error() == Some(*errno as i32)) => {
                log::debug!("HDHomeRun's tools: {error}");
                sleep(FAILURE_DELAY).await;
            }
            Err(error) => {
                log::warn!("HDHomeRun's tools are not answered any more: {error}");
                return;
            }
        }
    }
}

/// Answers a client until it goes, is silent for too long, or says what it should not.
async fn converse(state: Rc<State>, client: TcpStream, from: SocketAddr, place: Seat) {
    let mut received = Vec::new();
    loop {
        match Frame::parse(&received) {
            Ok(Some(frame)) => {
                let Some(asked) = GetSet::of(&frame) else { break };
                let answer = answer(&state, &asked).await;
                let reply = asked.reply(answer.as_deref().map_err(|error| *error));
                received.drain(..frame.bytes);
                if !matches!(timeout(SEND_MAX, send(&client, &reply)).await, Ok(Ok(()))) {
                    break;
                }
            }
            Ok(None) => match timeout(IDLE_MAX, receive(&client, &mut received)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false) | Err(_)) | Err(_) => break,
            },
            Err(error) => {
                log::debug!("{from}: {error}");
                break;
            }
        }
    }
    drop(place);
}

async fn answer(state: &State, asked: &GetSet) -> Result<String, &'static str> {
    if asked.is_set {
        return Err(READ_ONLY);
    }
    if !asked.name.starts_with("/tuner") {
        return value(&asked.name, |_number| None);
    }
    let cores = state.snapshots().await.ok_or(BUSY)?;
    let tuners = DeviceTuner::all(&cores);
    value(&asked.name, |number| tuners.get(number))
}

/// Waits for more bytes. False when there are no more.
async fn receive(client: &TcpStream, received: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; GETSET_BYTES_MAX];
    loop {
        client.readable().await?;
        match client.try_read(&mut buffer) {
            Ok(count) => {
                received.extend_from_slice(&buffer[..count]);
                return Ok(count > 0);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn send(client: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        client.writable().await?;
        match client.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_values_or_the_reason_of_a_device() {
        let idle = DeviceTuner::idle(0);
        let of = |name: &str| value(name, |number| (number == 0).then_some(&idle));
        for (name, expected) in [
            ("/sys/model", Ok("hdhomerun_dvr_atsc3")),
            ("/sys/hwmodel", Ok("HDFX-4K")),
            ("/sys/version", Ok("20250815")),
            ("/lineup/location", Ok("disabled")),
            ("/tuner0/status", Ok("ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0")),
            ("/tuner0/vstatus", Ok("vch=none name=none auth=none cci=none cgms=none")),
            ("/tuner0/channel", Ok("none")),
            ("/tuner0/vchannel", Ok("none")),
            ("/tuner0/channelmap", Ok("us-bcast")),
            ("/tuner0/program", Ok("0")),
            ("/tuner0/lockkey", Ok("none")),
            ("/tuner0/target", Ok("none")),
            ("/tuner0/streaminfo", Ok("none")),
            ("/tuner0/filter", Ok("0x0000-0x1fff")),
            ("/tuner1/status", Err(UNKNOWN)),
            ("/tuner+0/status", Err(UNKNOWN)),
            ("/tuner0/", Err(UNKNOWN)),
            ("/tuner/status", Err(UNKNOWN)),
            ("/tuner99999999999999999999/status", Err(UNKNOWN)),
            ("/tuner0/nothing", Err(UNKNOWN)),
            ("/sys/nothing", Err(UNKNOWN)),
            ("", Err(UNKNOWN)),
        ] {
            assert_eq!(of(name).as_deref(), expected.as_ref().copied(), "{name}");
        }
        let help = of("help").unwrap();
        for name in help.lines().skip(1) {
            assert!(of(&name.replace("<n>", "0")).is_ok(), "help names {name}");
        }
    }

    #[test]
    fn there_are_so_many_places_and_one_that_is_left_is_free() {
        let taken = Rc::new(Cell::new(0));
        let mut places: Vec<_> = (0..CLIENTS_MAX).map(|_| Seat::take(&taken).unwrap()).collect();
        assert!(Seat::take(&taken).is_none());
        places.pop();
        assert!(Seat::take(&taken).is_some());
    }
}
