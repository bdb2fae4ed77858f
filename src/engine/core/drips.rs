//! What servers cost that send their stream a byte at a time, counted in operations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use support::tsgen::{self, TsGen};

use super::testing::{self, SimCore};
use super::*;
use crate::lineup::{Channel, Lineup, Source};
use crate::uring::sim::{Answer, Faults, PeerId, World};

const SERVER: &str = "10.0.0.9:80";
const VIEWERS: &str = "10.0.0.1:5004";
const BITRATE: u64 = 400_000;
/// Between two sends of the server: shorter than any core's turn under load.
const STEP: Duration = Duration::from_micros(200);
const TIME: Duration = Duration::from_secs(3);
/// Operations of a second: two for each five milliseconds, a receive and a send, and what else there is. The server sends 5000 times.
const PER_SECOND_MAX: u64 = 450;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dripping {
    /// A programme, each byte of which is a chunk.
    Chunks,
    /// The same by TLS, each byte a record.
    Records,
    /// A head that goes on, a byte at a time.
    Head,
    /// Something in chunks of a byte of which no programme comes.
    NoProgramme,
}

fn tls() -> ServerConnection {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// One connection as the server has it.
struct DrippingServer {
    peer: PeerId,
    tls: Option<ServerConnection>,
    request: Vec<u8>,
    generator: TsGen,
    since: Option<Instant>,
    /// Bytes of null packets.
    nulls: usize,
}

impl DrippingServer {
    fn new(kind: Dripping, peer: PeerId) -> Self {
        let generator = TsGen::new(tsgen::Params::new(BITRATE));
        let tls = (kind == Dripping::Records).then(tls);
        Self { peer, tls, request: Vec::new(), generator, since: None, nulls: 0 }
    }

    fn send(&mut self, world: &World, bytes: &[u8]) {
        let Some(tls) = &mut self.tls else { return world.peer_send(self.peer, bytes) };
        std::io::Write::write_all(&mut tls.writer(), bytes).unwrap();
        self.flush(world);
    }

    fn flush(&mut self, world: &World) {
        let Some(tls) = &mut self.tls else { return };
        let mut sent = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut sent).unwrap();
        }
        if !sent.is_empty() {
            world.peer_send(self.peer, &sent);
        }
    }

    fn receive(&mut self, world: &World) {
        let received = world.peer_received(self.peer);
        let Some(tls) = &mut self.tls else { return self.request.extend(received) };
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            tls.process_new_packets().unwrap();
        }
        // What is not there yet comes later.
        let _later = std::io::Read::read_to_end(&mut tls.reader(), &mut self.request);
        self.flush(world);
    }

    fn step(&mut self, world: &World, kind: Dripping) {
        self.receive(world);
        if !self.request.ends_with(b"\r\n\r\n") || world.peer_end(self.peer).is_some() {
            return;
        }
        let now = world.now();
        if self.since.is_none() {
            self.since = Some(now);
            let head: &[u8] = match kind {
                Dripping::Head => b"HTTP/1.1 200 OK\r\nX: ",
                Dripping::Chunks | Dripping::Records | Dripping::NoProgramme => {
                    b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nTransfer-Encoding: chunked\r\n\r\n"
                }
            };
            self.send(world, head);
        }
        let mut bytes = Vec::new();
        match kind {
            Dripping::Chunks | Dripping::Records => {
                self.generator.fill(now - self.since.unwrap_or(now), &mut bytes);
            }
            Dripping::NoProgramme => {
                let byte = |at: usize| [0x47, 0x1F, 0xFF, 0x10].get(at % 188).copied().unwrap_or(0xFF);
                bytes.extend((self.nulls..self.nulls + 10).map(byte));
                self.nulls += 10;
            }
            Dripping::Head => return self.send(world, b"x"),
        }
        for byte in bytes {
            self.send(world, &[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
        }
    }
}

struct DripCost {
    operations: u64,
    got: Vec<u8>,
}

fn cost_of(kind: Dripping) -> DripCost {
    let address: SocketAddr = SERVER.parse().unwrap();
    let world = World::new(7, Faults::default());
    world.serve(address, Answer::Accept);
    let mut params = testing::params();
    params.session.startup_timeout = 2 * TIME;
    params.session.failover_total_timeout = 2 * TIME;
    params.session.stall_detect = 2 * TIME;
    params.sources.direct.header_timeout = 2 * TIME;
    params.sources.direct.startup_timeout = 2 * TIME;
    params.sources.startup.timeout = 2 * TIME;
    params.sources.trust = Arc::new(crate::source::Trust::new(false, Vec::new()).unwrap());
    params.egress.bytes = 16_384;
    let scheme = if kind == Dripping::Records { "https" } else { "http" };
    let listing = testing::listing(1);
    let source = Source { url: format!("{scheme}://{SERVER}/x.ts"), ..listing.sources[0].clone() };
    let lineup = Lineup::new(vec![Channel { sources: vec![source], ..Channel::clone(&listing) }]);
    let viewers: SocketAddr = VIEWERS.parse().unwrap();
    let mut core: SimCore = testing::core_with(&world, params, vec![world.listen(viewers)], lineup);
    let viewer = world.connect_client(viewers);
    world.peer_send(viewer, b"GET /auto/v1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut connections: Vec<DrippingServer> = Vec::new();
    let mut got = Vec::new();
    let (until, before) = (world.now() + TIME, core.cx.driver.started());
    while world.now() < until {
        while let Some(peer) = world.take_arrival(address) {
            connections.push(DrippingServer::new(kind, peer));
        }
        for connection in &mut connections {
            connection.step(&world, kind);
        }
        let tick = world.now() + STEP;
        world.wake_at(tick);
        while world.now() < tick {
            core.turn_by(|| world.now()).unwrap();
        }
        got.extend(world.peer_received(viewer));
    }
    assert_eq!(connections.len(), 1, "{kind:?}: the source is asked once");
    DripCost { operations: core.cx.driver.started() - before, got }
}

#[test]
fn whoever_sends_a_byte_at_a_time_costs_no_more_operations_than_others() {
    for kind in [Dripping::Chunks, Dripping::Records, Dripping::Head, Dripping::NoProgramme] {
        let DripCost { operations, got } = cost_of(kind);
        let bound = PER_SECOND_MAX * TIME.as_secs();
        assert!(operations <= bound, "{kind:?}: {operations} operations, {bound} at most");
        // The programme comes all the same.
        let due = BITRATE / 8 * TIME.as_secs() / 2;
        let comes = matches!(kind, Dripping::Chunks | Dripping::Records);
        assert_eq!(got.len() as u64 > due, comes, "{kind:?}: {} bytes came", got.len());
    }
}
