//! A sender of datagrams on this host: one that does not know who receives.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::wait::Stopwatch;
use crate::tsgen::{PACKET_BYTES, Params, TsGen};

/// How often what the clock asks for is sent.
const PACE: Duration = Duration::from_millis(5);
const PACKETS_PER_DATAGRAM: usize = 7;

/// How datagrams are made, and what the network does to them.
#[derive(Clone, Copy)]
pub enum Manner {
    /// The transport stream.
    Bare,
    /// The transport stream, cut every 1472 bytes, as a sender does that knows nothing of its packets.
    Cut,
    /// RTP, with the head that this counter makes; `network` says of each packet what becomes of it.
    Rtp { head: fn(u16) -> Vec<u8>, network: fn(u64) -> Fate },
    /// RTP of this payload type, of something else.
    Foreign(u8),
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Comes,
    /// Behind so many later ones.
    ComesLater(u64),
    ComesTwice,
    IsLost,
}

/// The plainest head there is.
pub fn plain_head(sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    vec![0x80, 33, high, low, 0, 0, 0, 0, 0, 0, 0, 7]
}

/// The sender, until it is dropped.
pub struct Broadcast {
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl Broadcast {
    /// Sends a programme of this rate to a group of its own.
    pub fn to_group(bitrate: u64, manner: Manner) -> Broadcast {
        Self::start(SocketAddr::from((free_group(), 20_800)), bitrate, manner)
    }

    /// Sends a programme of this rate to an address.
    pub fn start(address: SocketAddr, bitrate: u64, manner: Manner) -> Broadcast {
        let ends = Arc::new(AtomicBool::new(false));
        let lost = Arc::new(AtomicU64::new(0));
        // By the interface of its own address.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (until, count) = (Arc::clone(&ends), Arc::clone(&lost));
        std::thread::spawn(move || send(&socket, address, bitrate, manner, &until, &count));
        Broadcast { address, ends, lost }
    }

    /// How many packets the network has lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Sends nothing more.
    pub fn stop(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A group that no other test of this host sends to.
pub fn free_group() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(239, 192 + high % 64, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn send(
    socket: &UdpSocket,
    address: SocketAddr,
    bitrate: u64,
    manner: Manner,
    ends: &AtomicBool,
    lost: &AtomicU64,
) {
    let mut generator = TsGen::new(Params::new(bitrate));
    let watch = Stopwatch::start();
    let begin = generator.elapsed();
    let mut bytes = Vec::new();
    let mut number = 0_u64;
    // Those that come later, and behind which one.
    let mut delayed: Vec<(u64, Vec<u8>)> = Vec::new();
    let size = match manner {
        Manner::Cut => 1472,
        Manner::Bare | Manner::Rtp { .. } | Manner::Foreign(_) => PACKETS_PER_DATAGRAM * PACKET_BYTES,
    };
    while !ends.load(Ordering::Relaxed) {
        generator.fill(begin + watch.elapsed(), &mut bytes);
        let whole = bytes.len() / size * size;
        for payload in bytes[..whole].chunks(size) {
            number += 1;
            // Nearly at its wrap, so that it is met.
            let sequence = u16::try_from((number + 65_000) % 65_536).unwrap();
            let (datagram, fate) = match manner {
                Manner::Bare | Manner::Cut => (payload.to_vec(), Fate::Comes),
                Manner::Rtp { head, network } => ([&head(sequence), payload].concat(), network(number)),
                Manner::Foreign(payload_type) => {
                    let mut datagram = plain_head(sequence);
                    datagram[1] = payload_type;
                    datagram.extend_from_slice(&[0x7C, 0x85, 0xB8, 0x00]);
                    (datagram, Fate::Comes)
                }
            };
            match fate {
                Fate::Comes => transmit(socket, address, &datagram),
                Fate::ComesTwice => (0..2).for_each(|_| transmit(socket, address, &datagram)),
                Fate::ComesLater(by) => delayed.push((number + by, datagram)),
                Fate::IsLost => {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            for (_, datagram) in delayed.extract_if(.., |(behind, _)| *behind <= number) {
                transmit(socket, address, &datagram);
            }
        }
        bytes.drain(..whole);
        std::thread::park_timeout(PACE);
    }
}

/// A unicast address where nobody receives answers so; a sender does not mind.
fn transmit(socket: &UdpSocket, address: SocketAddr, datagram: &[u8]) {
    let _refused = socket.send_to(datagram, address);
}
