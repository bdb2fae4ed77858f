//! Programs that read from providers by themselves: each is a connection from its start until it is gone.

use std::time::Duration;

use tunerd::base::{ChildExit, Instant};
use tunerd::engine::{ChildRefused, ControlRequest, CoreCommand, CoreId, Ticket};
use tunerd::uring::sim::{Leave, PeerId, Random, SimDescriptor, World};

use super::ledger::Provider;
use super::visit::Sending;
use crate::sim::outside::Outside;

/// The least that a program needs until it asks for something.
const START_TIME: Duration = Duration::from_millis(1);
/// From SIGTERM to SIGKILL.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// From SIGKILL until a program is gone, and its connections with it.
const KILL_TIME: Duration = Duration::from_secs(2);
/// The longest that control takes to tell of something.
const TELL_TIME: Duration = Duration::from_millis(100);
/// The longest that ffprobe reads.
const PROBE_TIME: Duration = Duration::from_secs(3);

/// Between nothing and all of them: the way from a program's address to its provider.
fn provider_of(arguments: &[std::ffi::OsString], providers: &[Provider]) -> usize {
    let is_named = |provider: &Provider| {
        let host = format!("{}:", provider.address.ip());
        arguments.iter().any(|argument| argument.to_string_lossy().contains(&host))
    };
    providers.iter().position(is_named).expect("a program's arguments name the address that it reads")
}

enum Work {
    /// It writes a stream.
    Writes { pipe: PeerId, sending: Sending },
    /// It looks at a stream, and says what it is.
    Looks,
}

struct Program {
    name: (CoreId, Ticket),
    number: u64,
    provider: usize,
    work: Work,
    ends_at: Option<Instant>,
}

/// Those that run.
pub(super) struct Programs {
    /// From a program's start until its provider hears of it: whatever had been sent before has arrived by then.
    way: Duration,
    running: Vec<Program>,
    pub(super) started: u64,
}

impl Programs {
    /// What is sent takes so long at the most.
    pub(super) const fn new(latency_max: Duration) -> Self {
        Self { way: START_TIME.saturating_add(latency_max), running: Vec::new(), started: 0 }
    }

    /// Does what has been asked.
    pub(super) fn step(
        &mut self,
        world: &World,
        outside: &mut Outside,
        providers: &mut [Provider],
        is_healthy: bool,
        random: &mut Random,
    ) {
        let now = world.now();
        for request in outside.take_programs() {
            self.asked(world, outside, providers, request, is_healthy, random);
        }
        for program in &mut self.running {
            let Work::Writes { pipe, sending } = &mut program.work else { continue };
            if program.ends_at.is_some() {
                continue;
            }
            let (bytes, end) = sending.step(now);
            if world.peer_end(*pipe).is_some() || end.is_some() {
                program.ends_at = Some(now + random.time(STOP_GRACE));
            } else if !bytes.is_empty() {
                world.peer_send(*pipe, &bytes);
            }
        }
        let is_over = |program: &mut Program| program.ends_at.is_some_and(|at| at <= now);
        for program in self.running.extract_if(.., is_over) {
            providers[program.provider].program_ended(now, program.number);
            let ((core, ticket), exit) = (program.name, ChildExit::Code(1));
            let at = now + random.time(TELL_TIME);
            match program.work {
                Work::Writes { pipe, .. } => {
                    world.peer_close(pipe, Leave::Close);
                    let stderr_tail = "the end".to_owned();
                    // Its start has been told by then.
                    outside.answer_at(
                        at + TELL_TIME,
                        core,
                        CoreCommand::ChildEnded { ticket, exit, stderr_tail, cookies: None },
                    );
                }
                Work::Looks => {
                    let (stdout, stderr) = (Vec::new(), String::new());
                    let exit = Some(exit);
                    outside.answer_at(at, core, CoreCommand::Probed { ticket, exit, stdout, stderr });
                }
            }
        }
    }

    fn asked(
        &mut self,
        world: &World,
        outside: &mut Outside,
        providers: &mut [Provider],
        request: ControlRequest<SimDescriptor>,
        is_healthy: bool,
        random: &mut Random,
    ) {
        let now = world.now();
        match request {
            ControlRequest::StartChild { core, ticket, .. } if !is_healthy && random.below(10) == 0 => {
                let result = Err(ChildRefused::NotStarted("no such program".to_owned()));
                outside.answer_at(now, core, CoreCommand::ChildStarted { ticket, result });
            }
            ControlRequest::StartChild { core, ticket, arguments, .. } => {
                let (reader, pipe) = world.pipe();
                let sending = Sending::new(now, is_healthy, random);
                let provider = provider_of(&arguments, providers);
                let number = self.starts((core, ticket), provider, Work::Writes { pipe, sending });
                providers[provider].program_began(
                    now + self.way,
                    number,
                    format!("{core:?} {ticket:?} reads"),
                );
                if providers[provider].counts_too_many(world) {
                    self.ends(number, now + random.time(STOP_GRACE));
                }
                let at = now + random.time(TELL_TIME);
                outside.answer_at(at, core, CoreCommand::ChildStarted { ticket, result: Ok(reader) });
            }
            ControlRequest::Probe { core, ticket, arguments, .. } => {
                let provider = provider_of(&arguments, providers);
                let number = self.starts((core, ticket), provider, Work::Looks);
                providers[provider].program_began(
                    now + self.way,
                    number,
                    format!("{core:?} {ticket:?} looks"),
                );
                self.ends(number, now + random.time(PROBE_TIME));
            }
            ControlRequest::StopChild { core, ticket } => {
                let Some(at) = self.running.iter().position(|program| program.name == (core, ticket)) else {
                    return;
                };
                let program = &mut self.running[at];
                match program.work {
                    Work::Writes { .. } => {
                        let latest = now + random.time(STOP_GRACE);
                        program.ends_at = Some(program.ends_at.map_or(latest, |at| at.min(latest)));
                    }
                    // It is killed, and gone when the kernel has time for that.
                    Work::Looks => {
                        let latest = now + random.time(KILL_TIME);
                        program.ends_at = Some(program.ends_at.map_or(latest, |at| at.min(latest)));
                    }
                }
            }
            ControlRequest::Connection(_)
            | ControlRequest::Resolve { .. }
            | ControlRequest::PersistHealth { .. }
            | ControlRequest::ProviderSeen(_)
            | ControlRequest::PrepareSlate { .. } => unreachable!("it concerns no program"),
        }
    }

    fn starts(&mut self, name: (CoreId, Ticket), provider: usize, work: Work) -> u64 {
        self.started += 1;
        self.running.push(Program { name, number: self.started, provider, work, ends_at: None });
        self.started
    }

    fn ends(&mut self, number: u64, at: Instant) {
        for program in self.running.iter_mut().filter(|program| program.number == number) {
            program.ends_at = Some(at);
        }
    }
}
