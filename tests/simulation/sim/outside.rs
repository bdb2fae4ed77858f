//! Control, as cores see it: it looks names up, starts children, takes connections; and sometimes has no room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tunerd::base::{ChildExit, Instant};
use tunerd::engine::{ChildRefused, ControlPort, ControlRequest, CoreCommand, CoreId, Mailbox, Ticket};
use tunerd::uring::sim::{Chance, Leave, PeerId, Random, SimDescriptor, World};

use super::upstream::{Runs, Upstream, source_address};

/// Longest time control takes for anything.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// What a probe that succeeds has written.
const PROBED: &str =
    r#"{"streams": [{"codec_type": "video", "codec_name": "h264", "width": 640, "height": 360}]}"#;

type Command = CoreCommand<SimDescriptor>;

struct Queue {
    requests: VecDeque<ControlRequest<SimDescriptor>>,
    full: Chance,
    random: Random,
}

/// A core's way to it.
#[derive(Clone)]
pub(crate) struct Port(Arc<Mutex<Queue>>);

impl ControlPort<SimDescriptor> for Port {
    fn request(
        &self,
        request: ControlRequest<SimDescriptor>,
    ) -> Result<(), Box<ControlRequest<SimDescriptor>>> {
        let mut queue = self.0.lock().unwrap();
        let full = queue.full;
        if queue.random.happens(full) {
            return Err(Box::new(request));
        }
        queue.requests.push_back(request);
        Ok(())
    }
}

/// A child: whose it is, and the hand that writes its output.
type Child = (CoreId, Ticket, PeerId);

pub(crate) struct Outside {
    port: Port,
    mailboxes: Vec<Mailbox<SimDescriptor>>,
    /// Cores that hear nothing any more.
    returned: BTreeSet<CoreId>,
    random: Random,
    /// Answers on their way.
    answers: BTreeMap<(Instant, u64), (CoreId, Command)>,
    answered: u64,
    children: Vec<Child>,
    is_healthy: bool,
    /// What concerns programs, where somebody else does it.
    programs: Option<Vec<ControlRequest<SimDescriptor>>>,
}

impl Outside {
    pub(crate) fn new(mailboxes: Vec<Mailbox<SimDescriptor>>, random: &mut Random) -> Self {
        let queue = Queue { requests: VecDeque::new(), full: Chance::one_in(30), random: random.split() };
        Self {
            port: Port(Arc::new(Mutex::new(queue))),
            mailboxes,
            returned: BTreeSet::new(),
            random: random.split(),
            answers: BTreeMap::new(),
            answered: 0,
            children: Vec::new(),
            is_healthy: false,
            programs: None,
        }
    }

    /// What concerns programs is done by somebody else, who takes it.
    pub(crate) fn keep_programs(&mut self) {
        self.programs = Some(Vec::new());
    }

    /// What was asked about programs.
    pub(crate) fn take_programs(&mut self) -> Vec<ControlRequest<SimDescriptor>> {
        self.programs.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn port(&self) -> Port {
        self.port.clone()
    }

    /// From now on everything works.
    pub(crate) fn heal(&mut self) {
        self.is_healthy = true;
        self.port.0.lock().unwrap().full = Chance::NEVER;
    }

    /// A core has returned.
    pub(crate) fn has_returned(&mut self, core: CoreId) {
        self.returned.insert(core);
    }

    /// Tells a core something.
    pub(crate) fn tell(&self, core: CoreId, command: Command) {
        if self.returned.contains(&core) {
            return;
        }
        let sent = self.mailboxes[usize::from(core.0)].send(command);
        assert!(sent.is_ok(), "a mailbox is never as full as that here");
    }

    fn answer(&mut self, now: Instant, core: CoreId, command: Command) {
        let at = now + self.random.time(ANSWER_TIME);
        self.answer_at(at, core, command);
    }

    /// Tells a core something at a time to come.
    pub(crate) fn answer_at(&mut self, at: Instant, core: CoreId, command: Command) {
        self.answered += 1;
        self.answers.insert((at, self.answered), (core, command));
    }

    /// Does what has been asked, and hands out what is due. Children that were started come back as sources.
    pub(crate) fn step(&mut self, world: &World, upstreams: &mut Vec<Upstream>, runs: &mut Runs) {
        let now = world.now();
        let requests = std::mem::take(&mut self.port.0.lock().unwrap().requests);
        for request in requests {
            if let Some(programs) = &mut self.programs
                && matches!(
                    request,
                    ControlRequest::StartChild { .. }
                        | ControlRequest::StopChild { .. }
                        | ControlRequest::Probe { .. }
                )
            {
                programs.push(request);
                continue;
            }
            match request {
                // Whatever control does with it: this one closes it.
                ControlRequest::Connection(connection) => drop(connection),
                ControlRequest::Resolve { core, ticket, host, port } => {
                    let result = self.look_up(&host, port);
                    self.answer(now, core, CoreCommand::Resolved { ticket, result });
                }
                ControlRequest::StartChild { core, ticket, .. } => {
                    let result = if !self.is_healthy && self.random.below(8) == 0 {
                        Err(ChildRefused::NotStarted("no such program".to_owned()))
                    } else {
                        let (reader, writer) = world.pipe();
                        let child = Upstream::child(world, writer, runs, &mut self.random);
                        upstreams.push(child);
                        self.children.push((core, ticket, writer));
                        Ok(reader)
                    };
                    self.answer(now, core, CoreCommand::ChildStarted { ticket, result });
                }
                // The answer is lost.
                ControlRequest::PersistHealth { .. } if !self.is_healthy && self.random.below(30) == 0 => {}
                ControlRequest::PersistHealth { core, seq, rows } => {
                    let result = match self.random.below(if self.is_healthy { 1 } else { 8 }) {
                        0 => Ok(Vec::new()),
                        1 => Ok(rows.into_iter().map(|row| row.source).collect()),
                        2..=3 => Err("the disk is full".to_owned()),
                        _mostly => Ok(Vec::new()),
                    };
                    self.answer(now, core, CoreCommand::HealthPersisted { seq, result });
                }
                ControlRequest::ProviderSeen(_) => {}
                ControlRequest::PrepareSlate { core, ticket, .. } => {
                    let result = Err("this host has no encoder".to_owned());
                    self.answer(now, core, CoreCommand::SlateReady { ticket, result });
                }
                ControlRequest::Probe { core, ticket, .. } => {
                    let (exit, stdout) = match self.random.below(3) {
                        0 => (None, Vec::new()),
                        1 => (Some(ChildExit::Code(1)), Vec::new()),
                        _else => (Some(ChildExit::Code(0)), PROBED.as_bytes().to_vec()),
                    };
                    let stderr = String::new();
                    self.answer(now, core, CoreCommand::Probed { ticket, exit, stdout, stderr });
                }
                ControlRequest::StopChild { core, ticket } => {
                    let mut children = self.children.iter();
                    if let Some((_, _, writer)) = children.find(|child| (child.0, child.1) == (core, ticket))
                    {
                        world.peer_close(*writer, Leave::Close);
                    }
                }
            }
        }
        self.reap(world, upstreams);
        while let Some(first) = self.answers.first_entry().filter(|first| first.key().0 <= now) {
            let (core, command) = first.remove();
            self.tell(core, command);
        }
    }

    fn look_up(&mut self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        if !self.is_healthy && self.random.below(8) == 0 {
            return Err("no such name".to_owned());
        }
        let number = host.trim_start_matches("source").trim_end_matches(".example");
        let mut address = source_address(number.parse().map_err(|_wrong| "an unknown name")?);
        address.set_port(port);
        // The first address of some names leads nowhere.
        let nowhere = SocketAddr::from(([10, 9, 9, 9], port));
        Ok(if self.random.below(4) == 0 { vec![nowhere, address] } else { vec![address] })
    }

    /// The end of a child comes once, after its start has been told.
    fn reap(&mut self, world: &World, upstreams: &mut [Upstream]) {
        let now = world.now();
        for (core, ticket, writer) in std::mem::take(&mut self.children) {
            let upstream = upstreams.iter_mut().find(|upstream| upstream.peer == writer);
            let stopped = world.peer_has_closed(writer) || world.peer_end(writer).is_some();
            if stopped || upstream.as_ref().is_none_or(|upstream| upstream.is_over()) {
                if let Some(upstream) = upstream {
                    upstream.kill(world);
                }
                let exit = if stopped { ChildExit::Signal(15) } else { ChildExit::Code(0) };
                let stderr_tail = "the end".to_owned();
                self.answered += 1;
                let at = now + ANSWER_TIME + self.random.time(ANSWER_TIME);
                self.answers.insert(
                    (at, self.answered),
                    (core, CoreCommand::ChildEnded { ticket, exit, stderr_tail, cookies: None }),
                );
            } else {
                self.children.push((core, ticket, writer));
            }
        }
    }
}
