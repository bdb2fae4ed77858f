//! SSDP: clients of UPnP search on UDP port 1900, and are told that we are here and that we go.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use crate::base::Instant;
use crate::control::params::{Network, Upnp};
use crate::control::state::State;

use super::due::{DueAnswer, DueAnswers};
use super::hosts::Hosts;
use super::interfaces::{answering, is_link_local, is_near, locals, networks};
use super::message::{Device, Search, Target};
use super::rate::{Limiter, Rate};
use super::socket::{Local, PacketSocket, Received};

/// Where the device is described.
const DESCRIPTION: &str = "/upnp/device.xml";
/// The longest search that is read.
const MESSAGE_BYTES_MAX: usize = 4096;
/// A client that starts searches for each thing it knows, some of them several times.
const RATE_OF_EACH: Rate = Rate { burst: 30, interval: Duration::from_millis(200) };
const RATE_OF_ALL: Rate = Rate { burst: 200, interval: Duration::from_millis(20) };
/// How often it is looked for new interfaces.
const INTERFACES_INTERVAL: Duration = Duration::from_secs(30);
/// Datagrams are lost: the first announcement is said again after this long.
const REPETITION_DELAY: Duration = Duration::from_secs(1);
/// Before a socket that fails is asked again.
const FAILURE_DELAY: Duration = Duration::from_secs(1);

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// On the link.
const LINK_GROUP: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0xC);
/// On the site.
const SITE_GROUP: Ipv6Addr = Ipv6Addr::new(0xFF05, 0, 0, 0, 0, 0, 0, 0xC);

/// Who tells of us.
pub(in crate::control) struct Ssdp {
    speakers: Vec<Rc<Speaker>>,
}

impl Ssdp {
    /// Begins, if that is wanted and can be. Without it everything else works, so that no failure ends anything.
    pub(in crate::control) fn start(state: &Rc<State>) -> Self {
        let Some(params) = state.params.upnp else { return Self { speakers: Vec::new() } };
        let port = params.listen.port;
        let sockets = match PacketSocket::bind_families(params.listen, true) {
            Ok(sockets) => sockets,
            Err(error) => {
                log::warn!("UPnP discovery is off: UDP port {port}: {error}");
                return Self { speakers: Vec::new() };
            }
        };
        log::info!("UPnP clients find this tuner on UDP port {port}");
        let started = state.wall_now();
        let speaker = |socket| {
            Rc::new(Speaker {
                state: Rc::clone(state),
                hosts: Hosts::new(&state.params.listens, state.params.legacy_port),
                udn: state.params.identity.udn(),
                boot_id: u32::try_from(started.unix_seconds() & 0x7FFF_FFFF).expect("31 bits"),
                params,
                socket,
                own: RefCell::default(),
                networks: RefCell::default(),
                is_silent: Cell::new(false),
            })
        };
        let speakers: Vec<_> = sockets.into_iter().map(speaker).collect();
        for speaker in &speakers {
            tokio_uring::spawn(Rc::clone(speaker).serve(started.unix_nanos()));
        }
        Self { speakers }
    }

    /// Says that we go, and nothing any more.
    pub(in crate::control) fn stop(&self) {
        for speaker in &self.speakers {
            speaker.stop();
        }
    }
}

/// Whoever speaks by one socket.
struct Speaker {
    state: Rc<State>,
    hosts: Hosts,
    udn: String,
    boot_id: u32,
    params: Upnp,
    socket: PacketSocket,
    /// Our addresses as they were looked up last.
    own: RefCell<Vec<Local>>,
    /// The networks they are on.
    networks: RefCell<Vec<Network>>,
    is_silent: Cell<bool>,
}

/// What is done when.
struct Schedule {
    limiter: Limiter,
    due: DueAnswers,
    look_at: Instant,
    announce_at: Option<Instant>,
}

impl Schedule {
    fn next(&self) -> Instant {
        let next = self.announce_at.map_or(self.look_at, |at| at.min(self.look_at));
        self.due.next().map_or(next, |at| at.min(next))
    }
}

impl Speaker {
    async fn serve(self: Rc<Self>, seed: u64) {
        let now = self.state.clock.now();
        let mut schedule = Schedule {
            limiter: Limiter::new(RATE_OF_EACH, RATE_OF_ALL),
            due: DueAnswers::new(
                seed ^ self
                    .udn
                    .bytes()
                    .fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))),
            ),
            look_at: now,
            announce_at: self.params.notify_interval.map(|_| now + REPETITION_DELAY),
        };
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        while !self.is_silent.get() {
            let now = self.state.clock.now();
            self.do_what_is_due(now, &mut schedule);
            tokio::select! {
                received = self.socket.receive(&mut buffer) => match received {
                    Ok(received) => self.on_datagram(received, &buffer[..received.bytes], &mut schedule),
                    Err(error) => {
                        log::debug!("UPnP discovery: {error}");
                        sleep(FAILURE_DELAY).await;
                    }
                },
                () = sleep(schedule.next() - now) => {}
            }
        }
    }

    fn do_what_is_due(&self, now: Instant, schedule: &mut Schedule) {
        if now >= schedule.look_at {
            schedule.look_at = now + INTERFACES_INTERVAL;
            self.look_for_interfaces();
        }
        if schedule.announce_at.is_some_and(|at| now >= at) {
            schedule.announce_at = self.params.notify_interval.map(|interval| now + interval);
            self.own.borrow().iter().for_each(|local| self.announce(*local));
        }
        while let Some(answer) = schedule.due.take(now) {
            self.answer(&answer);
        }
    }

    /// Joins the groups where there are new addresses, and says there that we are here.
    fn look_for_interfaces(&self) {
        let only = self.params.listen.only.filter(|only| !only.is_unspecified());
        let found = locals(only).into_iter().filter(|local| self.socket.is_of_family(local.address));
        let found: Vec<_> = found.collect();
        let before = self.own.replace(found);
        *self.networks.borrow_mut() = networks();
        for local in self.own.borrow().iter().filter(|local| !before.contains(local)) {
            let groups: &[IpAddr] = if local.address.is_ipv4() {
                &[IpAddr::V4(GROUP)]
            } else {
                &[LINK_GROUP.into(), SITE_GROUP.into()]
            };
            for group in groups {
                if let Err(error) = self.socket.join(*group, *local) {
                    log::debug!("{group} cannot be joined at {}: {error}", local.address);
                }
            }
            if self.params.notify_interval.is_some() {
                self.announce(*local);
            }
        }
    }

    fn on_datagram(&self, received: Received, bytes: &[u8], schedule: &mut Schedule) {
        let Some(search) = Search::parse(bytes, &self.udn) else { return };
        let Some(local) = answering(&received, &self.own.borrow()) else { return };
        if !is_near(received.from.ip(), &self.networks.borrow()) {
            return;
        }
        if self.params.listen.only.is_some_and(|only| !only.is_unspecified() && only != local.address) {
            return;
        }
        let now = self.state.clock.now();
        if self.location(local).is_none() || !schedule.limiter.admits(now, received.from.ip()) {
            return;
        }
        // Whoever asks us alone need not be spared the answers of others.
        let patience = if received.was_for_many { search.patience } else { Duration::ZERO };
        let answer = DueAnswer { to: received.from, from: local, targets: search.targets };
        if !schedule.due.add(now, patience, answer) {
            log::debug!("{} is not answered: too many answers wait", received.from);
        }
    }

    fn answer(&self, DueAnswer { to, from, targets }: &DueAnswer) {
        let Some(location) = self.location(*from) else { return };
        for target in targets {
            self.send(&self.device().answer(*target, &location, self.state.wall_now()), *from, *to);
        }
    }

    fn announce(&self, local: Local) {
        let Some(location) = self.location(local) else { return };
        let (group, name) = self.group_of(local);
        for target in Target::ALL {
            self.send(&self.device().alive(target, &name, &location), local, group);
        }
    }

    fn stop(&self) {
        self.is_silent.set(true);
        if self.params.notify_interval.is_none() {
            return;
        }
        for local in self.own.borrow().iter().filter(|local| self.location(**local).is_some()) {
            let (group, name) = self.group_of(*local);
            for target in Target::ALL {
                self.send(&self.device().gone(target, &name), *local, group);
            }
        }
    }

    /// The group that an address of ours speaks to, and how it is written: no further than the address is known.
    fn group_of(&self, local: Local) -> (SocketAddr, String) {
        let port = self.params.listen.port;
        let group = match local.address {
            IpAddr::V4(_) => IpAddr::V4(GROUP),
            IpAddr::V6(_) if is_link_local(local.address) => IpAddr::V6(LINK_GROUP),
            IpAddr::V6(_) => IpAddr::V6(SITE_GROUP),
        };
        let name = SocketAddr::new(group, port).to_string().to_ascii_uppercase();
        match group {
            IpAddr::V4(_) => (SocketAddr::new(group, port), name),
            IpAddr::V6(group) => (SocketAddrV6::new(group, port, 0, local.interface).into(), name),
        }
    }

    /// Where we are described, for those who reach this address of ours; `None` when they reach no HTTP of ours.
    fn location(&self, local: Local) -> Option<String> {
        self.hosts.reached_at(local.address).map(|host| format!("http://{host}{DESCRIPTION}"))
    }

    fn device(&self) -> Device<'_> {
        Device { udn: &self.udn, boot_id: self.boot_id, max_age: self.params.max_age }
    }

    fn send(&self, message: &str, from: Local, to: SocketAddr) {
        if let Err(error) = self.socket.send(message.as_bytes(), from, to) {
            report(&error, from, to);
        }
    }
}

fn report(error: &io::Error, from: Local, to: SocketAddr) {
    log::debug!("UPnP discovery: nothing is sent from {} to {to}: {error}", from.address);
}
