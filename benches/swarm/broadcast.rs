//! A sender to groups that never falters: each channel at an exact constant bitrate, in RTP, whoever listens.

use crate::tsgen::{PACKET_BYTES, Params, TsGen};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How often what the clock asks for is sent: providers send evenly.
const PACE: Duration = Duration::from_millis(2);
const PACKETS_PER_DATAGRAM: usize = 7;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The first channel's group; the others follow it.
    #[arg(long, default_value = "239.255.80.1")]
    group: Ipv4Addr,
    #[arg(long, default_value_t = 5000)]
    port: u16,
    #[arg(long, default_value_t = 1)]
    channels: u8,
    #[arg(long, default_value_t = 8_000_000)]
    bitrate: u64,
    /// The address by whose interface they are sent.
    #[arg(long, default_value = "127.0.0.1")]
    from: Ipv4Addr,
    /// It ends after this.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

struct Channel {
    group: SocketAddr,
    generator: TsGen,
    sequence: u16,
    pending: Vec<u8>,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let socket = UdpSocket::bind((args.from, 0))?;
    let mut channels: Vec<Channel> = (0..args.channels)
        .map(|number| Channel {
            group: SocketAddr::from((
                Ipv4Addr::from_bits(args.group.to_bits() + u32::from(number)),
                args.port,
            )),
            generator: TsGen::new(Params { stream: number, ..Params::new(args.bitrate) }),
            sequence: 0,
            pending: Vec::new(),
        })
        .collect();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(args.seconds) {
        for channel in &mut channels {
            channel.send(&socket, started.elapsed())?;
        }
        std::thread::sleep(PACE);
    }
    Ok(())
}

impl Channel {
    fn send(&mut self, socket: &UdpSocket, until: Duration) -> io::Result<()> {
        self.generator.fill(until, &mut self.pending);
        let bytes = PACKETS_PER_DATAGRAM * PACKET_BYTES;
        let whole = self.pending.len() / bytes * bytes;
        let mut datagram = Vec::with_capacity(12 + bytes);
        for payload in self.pending[..whole].chunks(bytes) {
            self.sequence = self.sequence.wrapping_add(1);
            let [high, low] = self.sequence.to_be_bytes();
            datagram.clear();
            datagram.extend_from_slice(&[0x80, 33, high, low, 0, 0, 0, 0, 0, 0, 0, 1]);
            datagram.extend_from_slice(payload);
            socket.send_to(&datagram, self.group)?;
        }
        self.pending.drain(..whole);
        Ok(())
    }
}
