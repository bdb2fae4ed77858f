//! The control thread, from its start to the end of the drain.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use sd_notify::NotifyState;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use crate::base::logfmt::Line;
use crate::engine::{ControlRequest, CoreCommand};

use super::admin::Connections;
use super::children::{Children, Probes};
use super::discovery::{HdHomeRun, Ssdp};
use super::guide;
use super::health;
use super::heap;
use super::jobs;
use super::notify;
use super::outbox::Outbox;
use super::params::{Params, Parts};
use super::playlist;
use super::port::Inbox;
use super::providers;
use super::relay::Relay;
use super::resolver::{Question, Resolver};
use super::signals::Signals;
use super::slates::{Encoder, Slates};
use super::state::State;

/// From the signal until the cores have returned. With the two below this is less than the ten seconds a
/// stop may take.
const CORES_DRAIN_TIMEOUT: Duration = Duration::from_secs(7);
/// From then until the last child is reaped; SIGKILL comes after half a second.
const CHILDREN_END_TIMEOUT: Duration = Duration::from_millis(1000);
/// From then until the store has written everything.
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Until the channels are read again after the store could not read them at the start.
const LINEUP_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Why the control thread returned other than drained.
#[derive(thiserror::Error, Debug)]
pub enum ControlError {
    /// The kernel refused the thread its ring, its signals or its helpers.
    #[error("control cannot start")]
    Start(#[source] io::Error),
    /// A second signal came before the drain was over: whoever sent it does not want to wait for the cores.
    #[error("stopped by a second signal")]
    Interrupted,
}

/// Entries of control's io_uring where there is no memory for the usual ones.
const ENTRIES_LEAST: u32 = 32;

/// Runs control on this thread until the process is to end and everything is drained, or until all cores
/// have dropped their ports. Afterwards the store is closed and no child is left: what is not reaped in time
/// dies with this thread.
///
/// # Errors
/// When it cannot start, or when a second signal cut the drain short; then the process should end at once.
pub fn run(params: Params, parts: Parts) -> Result<(), ControlError> {
    // Not `tokio_uring::start`, which panics where this returns an error.
    let runtime = match tokio_uring::Runtime::new(&tokio_uring::builder()) {
        // Locked memory is little.
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
            tokio_uring::Runtime::new(tokio_uring::builder().entries(ENTRIES_LEAST))
        }
        made => made,
    };
    let runtime = runtime.map_err(ControlError::Start)?;
    runtime.block_on(serve(params, parts))
}

/// The parts of control that take requests.
struct Desk {
    state: Rc<State>,
    children: Rc<Children>,
    probes: Rc<Probes>,
    slates: Rc<Slates>,
    connections: Connections,
    resolver: Rc<Resolver>,
    ssdp: Ssdp,
}

impl Desk {
    fn take(&self, request: ControlRequest) {
        match request {
            ControlRequest::Connection(handed) => self.connections.take(handed, &self.state),
            ControlRequest::Resolve { core, ticket, host, port } => {
                self.resolver.ask(Question { core, ticket, host, port });
            }
            ControlRequest::StartChild { core, ticket, program, arguments, owner, listing, relayed } => {
                self.children.start((core, ticket), &program, &arguments, owner, listing, relayed);
            }
            ControlRequest::Probe { core, ticket, program, arguments, relayed } => {
                self.probes.start((core, ticket), program, arguments, relayed);
            }
            ControlRequest::StopChild { core, ticket } => {
                self.children.stop((core, ticket));
                self.probes.stop((core, ticket));
            }
            ControlRequest::PersistHealth { core, seq, rows } => {
                health::persist(&self.state, core, seq, rows);
            }
            ControlRequest::ProviderSeen(counted) => providers::remember(&self.state, counted),
            ControlRequest::PrepareSlate { core, ticket, spec } => self.slates.prepare((core, ticket), spec),
        }
    }

    /// Returns when no core can ask any more.
    async fn take_all(&self, inbox: &mut Receiver<ControlRequest>) {
        while let Some(request) = inbox.recv().await {
            self.take(request);
        }
    }
}

async fn serve(params: Params, parts: Parts) -> Result<(), ControlError> {
    let Parts { inbox: Inbox(mut inbox), mailboxes, store, clock, listed } = parts;
    let signals = Signals::new().map_err(ControlError::Start)?;
    let outbox = Rc::new(Outbox::new(mailboxes));
    let resolver = Resolver::start(clock, Rc::clone(&outbox));
    let relay = Rc::new(Relay::default());
    let children = Rc::new(Children::new(&params, Rc::clone(&outbox), Rc::clone(&relay), clock));
    let probes = Rc::new(Probes::new(params.trampoline.clone(), Rc::clone(&outbox), relay, clock));
    let encoder = Encoder::new(params.trampoline.clone(), params.ffmpeg.clone());
    let slates = Rc::new(Slates::new(encoder, params.slates.clone(), Rc::clone(&outbox)));
    if params.admin.is_none() {
        log::info!("administration is open to this host only; set ADMIN_AUTH to user:password to open it");
    }
    let connections = Connections::with_max(params.connections_max);
    let state = Rc::new(State::new(params, clock, store, Rc::clone(&outbox)));
    *state.listed.borrow_mut() = Rc::new(listed);
    jobs::interrupt_earlier(&state);
    HdHomeRun::start(&state);
    let ssdp = Ssdp::start(&state);
    let desk = Desk { state: Rc::clone(&state), children, probes, slates, connections, resolver, ssdp };

    let of_deliveries = Rc::clone(&outbox);
    tokio_uring::spawn(async move { of_deliveries.keep_delivering().await });
    tokio_uring::spawn(begin(Rc::clone(&state)));
    tokio_uring::spawn(async { heap::keep_small().await });

    let drained = loop {
        tokio::select! {
            () = desk.take_all(&mut inbox) => {
                log::info!("all cores have returned");
                break Ok(());
            }
            signal = signals.next() => match signal {
                Ok(Signal::SIGHUP) => _ = tokio_uring::spawn(playlist::read_when_told(Rc::clone(&desk.state))),
                signal => break drain(&desk, &mut inbox, &signals, signal).await,
            },
        }
    };
    finish(&desk, &signals, drained).await
}

/// What is done once, while requests are already served.
async fn begin(state: Rc<State>) {
    // Before the channels: the first who tunes one is to have the use of it.
    providers::recall(&state).await;
    let mut read = state.publish_lineup().await;
    notify::tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
    while let Err(error) = read {
        log::error!("the channels cannot be read: {error}");
        sleep(LINEUP_RETRY_DELAY).await;
        read = state.publish_lineup().await;
    }
    tokio_uring::spawn(jobs::keep(Rc::clone(&state)));
    tokio_uring::spawn(guide::keep(Rc::clone(&state)));
    playlist::keep_all(state).await;
}

/// Ends the cores, and goes on serving them until they have returned.
async fn drain(
    desk: &Desk,
    inbox: &mut Receiver<ControlRequest>,
    signals: &Signals,
    signal: io::Result<Signal>,
) -> Result<(), ControlError> {
    match signal {
        Ok(signal) => log::info!("{signal}: draining"),
        Err(error) => log::error!("signals cannot be read any more, draining: {error}"),
    }
    notify::tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    desk.ssdp.stop();
    let began = desk.state.clock.now();
    let deadline = began + CORES_DRAIN_TIMEOUT;
    desk.state.outbox.send_all(|| CoreCommand::Drain { deadline });
    let (is_drained, result) = tokio::select! {
        () = desk.take_all(inbox) => (true, Ok(())),
        () = sleep(CORES_DRAIN_TIMEOUT) => (false, Ok(())),
        _second = signals.next_end() => (false, Err(ControlError::Interrupted)),
    };
    count_drain_wait(&desk.state, is_drained, desk.state.clock.now() - began);
    result
}

fn count_drain_wait(state: &State, is_drained: bool, waited: Duration) {
    state.drain_wait.set(state.drain_wait.get().and(is_drained, waited));
    let line = |message: &str, result: &str| {
        Line::new(message).field("drain_result", result).field("drain_wait_duration_us", waited.as_micros())
    };
    if is_drained {
        log::info!("{}", line("stream drain wait completed", "ok"));
    } else {
        log::warn!("{}", line("stream drain wait failed", "error"));
    }
}

/// Ends the children, then the store.
async fn finish(
    desk: &Desk,
    signals: &Signals,
    drained: Result<(), ControlError>,
) -> Result<(), ControlError> {
    let mut hurried = drained.is_err();
    desk.children.stop_all();
    desk.probes.stop_all();
    desk.slates.stop();
    if !hurried {
        let ended = timeout(CHILDREN_END_TIMEOUT, async {
            desk.children.all_ended().await;
            desk.probes.ended().await;
            desk.slates.ended().await;
        });
        tokio::select! {
            ended = ended => if ended.is_err() {
                log::error!("a child did not end; the kernel kills it with this thread");
            },
            _second = signals.next_end() => hurried = true,
        }
    }
    if hurried {
        // What the store has committed is safe without closing it.
        return Err(ControlError::Interrupted);
    }
    if let Err(error) = desk.state.store.close(STORE_CLOSE_TIMEOUT) {
        log::warn!("{error}");
    }
    drained
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use nix::sys::signal::raise;

    use super::*;
    use crate::base::Clock;
    use crate::control::port::{Port, port};
    use crate::control::state::tests::params;
    use crate::engine::{ControlPort, HandedConnection, Mailbox, MailboxReader};
    use crate::store::{Database, Store};

    type Control = JoinHandle<Result<(), ControlError>>;

    /// Control on a thread to which these signals have been sent, and its only core.
    fn start(pending: &'static [Signal]) -> (Control, Port, MailboxReader) {
        let (port, inbox) = port();
        let (mailbox, reader) = Mailbox::new().unwrap();
        let control = std::thread::spawn(move || {
            crate::control::block_signals().unwrap();
            pending.iter().for_each(|signal| raise(*signal).unwrap());
            let store = Store::start(Database::in_memory().unwrap()).unwrap();
            run(
                params(),
                Parts { inbox, mailboxes: vec![mailbox], store, clock: Clock::start(), listed: Vec::new() },
            )
        });
        (control, port, reader)
    }

    /// Waits until the core is told to end.
    fn wait_for_drain(mailbox: &mut MailboxReader) {
        let mut wakeup = std::fs::File::from(mailbox.wakeup_descriptor().unwrap());
        loop {
            match mailbox.take() {
                Some(CoreCommand::Drain { .. }) => return,
                Some(_) => {}
                None => wakeup.read_exact(&mut [0; 8]).unwrap(),
            }
        }
    }

    #[test]
    fn waits_for_the_cores_are_counted_by_how_they_ended() {
        let store = Store::start(Database::in_memory().unwrap()).unwrap();
        let state = State::new(params(), Clock::start(), store, Rc::new(Outbox::new(Vec::new())));
        for (is_drained, millis) in [(true, 3), (false, 7000), (true, 0)] {
            count_drain_wait(&state, is_drained, Duration::from_millis(millis));
        }
        let counted = state.drain_wait.get();
        assert_eq!((counted.ok, counted.error, counted.waited), (2, 1, Duration::from_millis(7003)));
    }

    #[test]
    fn a_signal_drains_and_the_last_core_to_return_ends_it() {
        let (control, port, mut mailbox) = start(&[Signal::SIGTERM]);
        wait_for_drain(&mut mailbox);
        assert!(!control.is_finished());
        drop(port);
        control.join().unwrap().unwrap();
    }

    #[test]
    fn a_second_signal_ends_it_at_once() {
        let (control, port, _mailbox) = start(&[Signal::SIGTERM, Signal::SIGINT]);
        assert!(matches!(control.join().unwrap(), Err(ControlError::Interrupted)));
        drop(port);
    }

    /// A client, and its connection as a core would hand it over.
    fn connection(bytes: &[u8]) -> (TcpStream, ControlRequest) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        let handed = HandedConnection {
            local: server.local_addr().unwrap(),
            socket: server.into(),
            bytes: bytes.to_vec(),
            peer,
        };
        (client, ControlRequest::Connection(handed))
    }

    #[test]
    fn a_handed_connection_is_served() {
        let (control, port, _mailbox) = start(&[]);
        let (mut client, handed) = connection(b"GET /healthz HTTP/1.1\r\n");
        port.request(handed).unwrap();
        client.write_all(b"Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
        drop(port);
        control.join().unwrap().unwrap();
    }

    #[test]
    fn a_client_that_keeps_its_connection_does_not_hold_up_the_end() {
        let (control, port, _mailbox) = start(&[]);
        let (mut client, handed) = connection(b"GET /healthz HTTP/1.1\r\n\r\n");
        port.request(handed).unwrap();
        client.read_exact(&mut [0; 16]).unwrap();
        drop(port);
        control.join().unwrap().unwrap();
    }

    #[test]
    fn a_name_is_looked_up_for_the_core_that_asks() {
        let (control, port, mut mailbox) = start(&[]);
        let ticket = crate::engine::Ticket(4);
        let core = crate::engine::CoreId(0);
        let request = ControlRequest::Resolve { core, ticket, host: "127.0.0.1".to_owned(), port: 80 };
        port.request(request).unwrap();
        let mut wakeup = std::fs::File::from(mailbox.wakeup_descriptor().unwrap());
        let result = loop {
            match mailbox.take() {
                Some(CoreCommand::Resolved { ticket: answered, result }) if answered == ticket => {
                    break result;
                }
                Some(_) => {}
                None => wakeup.read_exact(&mut [0; 8]).unwrap(),
            }
        };
        assert_eq!(result, Ok(vec!["127.0.0.1:80".parse().unwrap()]));
        drop(port);
        control.join().unwrap().unwrap();
    }
}
