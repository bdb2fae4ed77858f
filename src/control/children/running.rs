//! Child processes whose standard output is a stream: started from control's own thread (the kernel ties a
//! child's life to the thread that forked it), each in a process group of its own, watched until it is reaped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::base::{ChildExit, Clock};
use crate::engine::{ChildOwner, ChildRefused, CoreCommand};
use crate::source::ffmpeg::LogLevel;
use crate::source::{Relayed, Trust};

use super::spawn::{Spawned, spawn};
use super::stderr_lines::{Passthrough, StderrLines};
use super::stderr_tail::StderrTail;
use crate::control::outbox::{Asker, Outbox};
use crate::control::params::Params;
use crate::control::relay::{Lease, NO_PROXY, Relay};

/// Children at the same time. Full: the start fails with that reason.
const CHILDREN_MAX: usize = 512;
/// From SIGTERM to SIGKILL.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// How long standard error may stay open after the child has ended: a process outside the child's group may
/// hold it for ever.
const STDERR_DRAIN_TIMEOUT: Duration = Duration::from_millis(200);
/// How often it is looked whether a child that does not tell of its input writes already, and how long it may still tell of it.
const OUTPUT_LOOK: Duration = Duration::from_millis(20);
const LISTING_WAIT: Duration = Duration::from_millis(100);

/// A child that runs.
struct Watched {
    process: Child,
    stderr: StderrTail,
    ended: oneshot::Receiver<()>,
    /// Where what it says goes, if that is logged.
    lines: Option<(log::Level, StderrLines)>,
    /// Its output, until it is known what its input is.
    output: Option<OwnedFd>,
    /// What it reads through us.
    lease: Option<Lease>,
}

/// The children that run.
pub(in crate::control) struct Children {
    trampoline: PathBuf,
    trust: Arc<Trust>,
    passthrough: Option<Passthrough>,
    clock: Clock,
    outbox: Rc<Outbox>,
    relay: Rc<Relay>,
    /// Each child's order to stop.
    running: RefCell<BTreeMap<Asker, watch::Sender<bool>>>,
    count: watch::Sender<usize>,
}

impl Children {
    pub(in crate::control) fn new(
        params: &Params,
        outbox: Rc<Outbox>,
        relay: Rc<Relay>,
        clock: Clock,
    ) -> Self {
        let (trampoline, passthrough) = (params.trampoline.clone(), params.passthrough);
        Self {
            trampoline,
            trust: Arc::clone(&params.trust),
            passthrough,
            clock,
            outbox,
            relay,
            running: RefCell::default(),
            count: watch::Sender::new(0),
        }
    }

    /// Starts a child and tells the core how that went. Its end is told exactly once.
    pub(in crate::control) fn start(
        self: &Rc<Self>,
        name: Asker,
        program: &OsStr,
        arguments: &[OsString],
        owner: ChildOwner,
        listing: Option<LogLevel>,
        relayed: Option<Box<Relayed>>,
    ) {
        let (core, ticket) = name;
        match self.try_start(program, arguments, name, relayed) {
            Ok((spawned, lease, stop)) => {
                let Spawned { process, stdout, mut stderr, ended } = spawned;
                let output = match listing {
                    Some(level) => {
                        stderr.listen(level);
                        Some(stdout)
                    }
                    None => {
                        self.outbox.send(core, CoreCommand::ChildStarted { ticket, result: Ok(stdout) });
                        None
                    }
                };
                let watcher = Rc::clone(self);
                let shown = lease.as_ref().map(Lease::shown);
                if let Some(shown) = &shown {
                    stderr.show(shown.clone());
                }
                let lines = self
                    .passthrough
                    .map(|passthrough| (passthrough.level, StderrLines::new(owner, shown, passthrough)));
                let child = Watched { process, stderr, ended, lines, output, lease };
                tokio_uring::spawn(async move {
                    watcher.watch(name, child, stop).await;
                });
            }
            Err(text) => {
                let result = Err(ChildRefused::NotStarted(text));
                self.outbox.send(core, CoreCommand::ChildStarted { ticket, result });
            }
        }
    }

    fn try_start(
        &self,
        program: &OsStr,
        arguments: &[OsString],
        name: Asker,
        relayed: Option<Box<Relayed>>,
    ) -> Result<(Spawned, Option<Lease>, watch::Receiver<bool>), String> {
        let failed = |reason: &str| format!("start {}: {reason}", program.to_string_lossy());
        let mut running = self.running.borrow_mut();
        if running.len() >= CHILDREN_MAX {
            return Err(failed("too many children run"));
        }
        if running.contains_key(&name) {
            return Err(failed("the ticket is in use"));
        }
        let mut arguments = arguments.to_vec();
        let lease = self.relay.lend(relayed, &mut arguments, self.clock);
        let lease = lease.map_err(|error| failed(&format!("listen for it: {error}")))?;
        // Authorities for protocols that are told of none by an argument.
        let roots = self.trust.file().map(|file| ("SSL_CERT_FILE", file.as_os_str()));
        let direct = lease.as_ref().map(|_| (NO_PROXY.0, OsStr::new(NO_PROXY.1)));
        let environment: Vec<_> = roots.into_iter().chain(direct).collect();
        let spawned = spawn(&self.trampoline, &environment, program, &arguments)?;
        let (stop, stopped) = watch::channel(false);
        running.insert(name, stop);
        self.count.send_replace(running.len());
        Ok((spawned, lease, stopped))
    }

    /// Stops a child. One that has ended, or is being stopped, is left alone.
    pub(in crate::control) fn stop(&self, name: Asker) {
        if let Some(stop) = self.running.borrow().get(&name) {
            stop.send_replace(true);
        }
    }

    /// Stops every child.
    pub(in crate::control) fn stop_all(&self) {
        for stop in self.running.borrow().values() {
            stop.send_replace(true);
        }
    }

    /// Returns when no child is left.
    pub(in crate::control) async fn all_ended(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let mut count = self.count.subscribe();
        let _none_left = count.wait_for(|count| *count == 0).await;
    }

    /// One child, from its start to its end.
    async fn watch(&self, name: Asker, child: Watched, mut stop: watch::Receiver<bool>) {
        let Watched { mut process, mut stderr, mut ended, mut lines, output, lease } = child;
        let (core, ticket) = name;
        let clock = self.clock;
        let mut hear = |bytes: &[u8]| {
            if let Some((level, lines)) = &mut lines {
                lines.push(clock.now(), bytes, |line| log::log!(*level, "{line}"));
            }
        };
        let group = Pid::from_raw(i32::try_from(process.id()).expect("process numbers are small"));
        let mut is_over = false;
        if let Some(output) = output {
            let mut was_stopped = stop.clone();
            is_over = tokio::select! {
                _ended = &mut ended => true,
                _stopped = was_stopped.wait_for(|stop| *stop) => false,
                () = stderr.read_listing(&mut hear) => false,
                () = has_output(&output) => false,
            };
            if is_over {
                let _elapsed = timeout(STDERR_DRAIN_TIMEOUT, stderr.read_listing(&mut hear)).await;
            }
            let several = stderr.listing().filter(|listing| listing.needs_choice()).cloned();
            is_over |= several.is_some();
            let result = several.map_or(Ok(output), |listing| Err(ChildRefused::Several(listing)));
            self.outbox.send(core, CoreCommand::ChildStarted { ticket, result });
        }
        if !is_over {
            let escalation = async {
                if stop.wait_for(|stop| *stop).await.is_ok() {
                    signal_group(group, Signal::SIGTERM);
                    sleep(STOP_GRACE).await;
                    signal_group(group, Signal::SIGKILL);
                }
                std::future::pending::<()>().await;
            };
            let read_and_watch = async {
                stderr.read_to_end(&mut hear).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ended = ended => {}
                () = escalation => {}
                () = read_and_watch => {}
            }
        }
        // The child is a zombie: its number, and with it the group's, cannot be anybody else's yet.
        signal_group(group, Signal::SIGKILL);
        let exit = exit_of(process.wait());
        let _elapsed = timeout(STDERR_DRAIN_TIMEOUT, stderr.read_to_end(&mut hear)).await;
        if let Some((level, lines)) = &mut lines {
            lines.end(clock.now(), |line| log::log!(*level, "{line}"));
        }
        let mut stderr_tail = stderr.text();
        if let Some(failure) = lease.as_ref().and_then(Lease::failure) {
            stderr_tail.push_str(&format!("[relay] {failure}\n"));
        }
        // Its connections are closed by then.
        let cookies = lease.as_ref().map(Lease::cookies);
        drop(lease);
        let mut running = self.running.borrow_mut();
        running.remove(&name);
        self.outbox.send(core, CoreCommand::ChildEnded { ticket, exit, stderr_tail, cookies });
        self.count.send_replace(running.len());
    }
}

/// Returns a while after something has been written: by then it has been said what the input is, or will not be.
async fn has_output(output: &OwnedFd) {
    loop {
        sleep(OUTPUT_LOOK).await;
        let mut look = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        if poll(&mut look, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            return sleep(LISTING_WAIT).await;
        }
    }
}

/// A group that is gone needs no signal.
pub(in crate::control) fn signal_group(group: Pid, signal: Signal) {
    if let Err(errno) = killpg(group, signal)
        && errno != nix::errno::Errno::ESRCH
    {
        log::warn!("send {signal} to the process group {group}: {errno}");
    }
}

pub(in crate::control) fn exit_of(status: std::io::Result<ExitStatus>) -> ChildExit {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => ChildExit::Code(code),
            (None, Some(signal)) => ChildExit::Signal(signal),
            (None, None) => ChildExit::Code(-1),
        },
        Err(error) => {
            // Only when whoever started us ignores the ends of children, which is inherited.
            log::error!("how a child ended is unknown: {error}");
            ChildExit::Code(-1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_a_code_or_a_signal() {
        for (raw, exit) in [
            (0, ChildExit::Code(0)),
            (3 << 8, ChildExit::Code(3)),
            (9, ChildExit::Signal(9)),
            (15, ChildExit::Signal(15)),
        ] {
            assert_eq!(exit_of(Ok(ExitStatus::from_raw(raw))), exit);
        }
    }
}
