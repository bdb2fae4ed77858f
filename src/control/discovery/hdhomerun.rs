//! HDHomeRun's discovery: whoever asks on UDP port 65001 for tuners is told where ours are.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use crate::control::state::State;

use super::getset;
use super::hosts::Hosts;
use super::interfaces::{answering, is_near, locals, networks};
use super::packet::{Query, Reply};
use super::rate::{Limiter, Rate};
use super::socket::{Local, PacketSocket};

/// More than any packet of this protocol has.
const PACKET_BYTES_MAX: usize = 1500;
/// A client that looks for tuners asks twice by each of its interfaces.
const RATE_OF_EACH: Rate = Rate { burst: 16, interval: Duration::from_millis(200) };
const RATE_OF_ALL: Rate = Rate { burst: 200, interval: Duration::from_millis(10) };
/// Where clients look for tuners by IPv6, which has no broadcast: on the link, and on the site.
const GROUPS: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0x176), Ipv6Addr::new(0xFF05, 0, 0, 0, 0, 0, 0, 0x176)];
/// How often it is looked for new interfaces.
const INTERFACES_INTERVAL: Duration = Duration::from_secs(30);
/// Before a socket that fails is asked again.
const FAILURE_DELAY: Duration = Duration::from_secs(1);
/// Clients read the number of tuners into one byte.
const TUNER_COUNT_MAX: usize = 255;

/// Who answers.
pub(in crate::control) struct HdHomeRun {
    state: Rc<State>,
    hosts: Hosts,
    device_id: u32,
    /// Only what is sent to this address is answered.
    only: Option<IpAddr>,
}

impl HdHomeRun {
    /// Begins to answer, if that is wanted and can be. Without it everything else works, so that no failure ends anything.
    pub(in crate::control) fn start(state: &Rc<State>) {
        let Some(listen) = state.params.hdhomerun_discovery else { return };
        let Ok(device_id) = u32::from_str_radix(&state.params.identity.device_id, 16) else {
            log::warn!("HDHomeRun discovery is off: the device id is not eight hexadecimal digits");
            return;
        };
        let sockets = match PacketSocket::bind_families(listen, false) {
            Ok(sockets) => sockets,
            Err(error) => {
                let hint = if error.kind() == io::ErrorKind::AddrInUse {
                    "; another program answers there"
                } else {
                    ""
                };
                log::warn!("HDHomeRun discovery is off: UDP port {}: {error}{hint}", listen.port);
                return;
            }
        };
        log::info!("HDHomeRun clients find this tuner as {device_id:08X} on UDP port {}", listen.port);
        let hosts = Hosts::new(&state.params.listens, state.params.legacy_port);
        let only = listen.only.filter(|only| !only.is_unspecified());
        let answerer = Rc::new(Self { state: Rc::clone(state), hosts, device_id, only });
        for socket in sockets {
            tokio_uring::spawn(Rc::clone(&answerer).serve(socket));
        }
        getset::start(state, listen);
    }

    async fn serve(self: Rc<Self>, socket: PacketSocket) {
        let mut limiter = Limiter::new(RATE_OF_EACH, RATE_OF_ALL);
        let mut joined = BTreeSet::new();
        let mut buffer = [0; PACKET_BYTES_MAX];
        loop {
            let (own, networks) = (locals(self.only), networks());
            join_all(&socket, &own, &mut joined);
            let rescan = sleep(INTERFACES_INTERVAL);
            tokio::pin!(rescan);
            loop {
                tokio::select! {
                    received = socket.receive(&mut buffer) => match received {
                        Ok(received) => {
                            let Some(local) = answering(&received, &own) else { continue };
                            if !is_near(received.from.ip(), &networks) {
                                continue;
                            }
                            let bytes = &buffer[..received.bytes];
                            self.on_datagram(&socket, &mut limiter, (received.from, local), bytes);
                        }
                        Err(error) => {
                            log::debug!("HDHomeRun discovery: {error}");
                            sleep(FAILURE_DELAY).await;
                        }
                    },
                    () = &mut rescan => break,
                }
            }
        }
    }

    fn on_datagram(
        &self,
        socket: &PacketSocket,
        limiter: &mut Limiter,
        (from, local): (SocketAddr, Local),
        bytes: &[u8],
    ) {
        if self.only.is_some_and(|only| only != local.address) {
            return;
        }
        match Query::parse(bytes) {
            Ok(query) if query.is_for(self.device_id) => {}
            Ok(_for_others) => return,
            Err(error) => {
                log::debug!("{from}: {error}");
                return;
            }
        }
        let Some(host) = self.hosts.reached_at(local.address) else { return };
        if !limiter.admits(self.state.clock.now(), from.ip()) {
            return;
        }
        if let Err(error) = socket.send(&self.reply(host), local, from) {
            log::debug!("{from} is not answered: {error}");
        }
    }

    fn reply(&self, host: SocketAddr) -> Vec<u8> {
        let identity = &self.state.params.identity;
        let base_url = format!("http://{host}");
        let reply = Reply {
            device_id: self.device_id,
            tuner_count: u8::try_from(self.state.tuner_count().min(TUNER_COUNT_MAX)).expect("it is a byte's"),
            base_url: &base_url,
            lineup_url: &format!("{base_url}/lineup.json"),
            device_auth: &identity.device_auth,
        };
        reply.packet()
    }
}

/// Joins where interfaces have come.
fn join_all(socket: &PacketSocket, own: &[Local], joined: &mut BTreeSet<u32>) {
    joined.retain(|interface| own.iter().any(|local| local.interface == *interface));
    let takes_groups = |local: &&Local| local.address.is_ipv6() && socket.is_of_family(local.address);
    for local in own.iter().filter(takes_groups) {
        if joined.insert(local.interface) {
            join(socket, *local);
        }
    }
}

fn join(socket: &PacketSocket, local: Local) {
    for group in GROUPS {
        if let Err(error) = socket.join(group.into(), local) {
            log::debug!("{group} cannot be joined by interface {}: {error}", local.interface);
        }
    }
}
