//! One run of a program that ends by itself and whose output is wanted whole.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::future::{self, Future};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Child;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::base::ChildExit;

use super::running::{exit_of, signal_group};
use super::spawn::{Spawned, spawn};

const READ_BYTES: usize = 64 * 1024;

/// What a run may cost.
#[derive(Clone, Copy, Debug)]
pub(in crate::control) struct Limits {
    pub(in crate::control) time: Duration,
    pub(in crate::control) output_bytes: usize,
}

/// A run that is over.
pub(in crate::control) struct Captured {
    /// How it ended; `None` when its time was over first.
    pub(in crate::control) exit: Option<ChildExit>,
    /// What it has written, or why that is not to be had.
    pub(in crate::control) stdout: io::Result<Vec<u8>>,
    /// The end of its complaints, redacted.
    pub(in crate::control) stderr: String,
}

/// Runs programs.
pub(in crate::control) struct Capture {
    /// This program's own binary.
    trampoline: PathBuf,
    /// True when nothing is to be run any more.
    stop: watch::Sender<bool>,
    /// Programs that are not reaped yet.
    running: watch::Sender<usize>,
}

/// Ends a program that nobody waits for any more.
struct Leash {
    group: Pid,
    /// Its number may be another's by now.
    is_reaped: Rc<Cell<bool>>,
}

impl Drop for Leash {
    fn drop(&mut self) {
        if !self.is_reaped.get() {
            signal_group(self.group, Signal::SIGKILL);
        }
    }
}

impl Capture {
    pub(in crate::control) fn new(trampoline: PathBuf) -> Self {
        Self { trampoline, stop: watch::Sender::new(false), running: watch::Sender::new(0) }
    }

    /// Ends what runs; nothing is started any more.
    pub(in crate::control) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when nothing runs.
    pub(in crate::control) async fn ended(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let mut running = self.running.subscribe();
        let _none_left = running.wait_for(|running| *running == 0).await;
    }

    /// Runs a program to its end, or to the end of its time. Dropping the future kills it.
    pub(in crate::control) async fn run(
        &self,
        program: &OsStr,
        environment: &[(&str, &OsStr)],
        arguments: &[OsString],
        limits: Limits,
    ) -> Result<Captured, String> {
        self.run_until(program, environment, arguments, limits, future::pending()).await
    }

    /// The same, until nobody wants it any more: it is killed then, and gone when this returns.
    pub(in crate::control) async fn run_until(
        &self,
        program: &OsStr,
        environment: &[(&str, &OsStr)],
        arguments: &[OsString],
        limits: Limits,
        unwanted: impl Future<Output = ()>,
    ) -> Result<Captured, String> {
        let mut stop = self.stop.subscribe();
        if *stop.borrow_and_update() {
            return Err("the service is ending".to_owned());
        }
        let Spawned { process, stdout, mut stderr, ended } =
            spawn(&self.trampoline, environment, program, arguments)?;
        let group = Pid::from_raw(i32::try_from(process.id()).expect("process numbers are small"));
        let leash = Leash { group, is_reaped: Rc::default() };
        let mut exit = self.reap(process, ended, Rc::clone(&leash.is_reaped));
        let work = async {
            let (output, ()) =
                tokio::join!(read(stdout, limits.output_bytes), stderr.read_to_end(|_said| ()));
            (output, (&mut exit).await.unwrap_or(ChildExit::Code(-1)))
        };
        let done = tokio::select! {
            done = timeout(limits.time, work) => Some(done),
            _stopped = stop.wait_for(|stop| *stop) => return Err("the service is ending".to_owned()),
            () = unwanted => None,
        };
        let (exit, stdout) = match done {
            Some(Ok((stdout, exit))) => (Some(exit), stdout),
            Some(Err(_elapsed)) => (None, Ok(Vec::new())),
            None => {
                drop(leash);
                let _however = exit.await;
                return Err("nobody wants it any more".to_owned());
            }
        };
        Ok(Captured { exit, stdout, stderr: stderr.text() })
    }

    /// Reaps the child whenever it ends, whoever waits for it.
    fn reap(
        &self,
        mut process: Child,
        ended: oneshot::Receiver<()>,
        is_reaped: Rc<Cell<bool>>,
    ) -> oneshot::Receiver<ChildExit> {
        let (sender, exit) = oneshot::channel();
        let running = self.running.clone();
        running.send_modify(|running| *running += 1);
        tokio_uring::spawn(async move {
            // An error says that the waiting thread is gone; the wait below is then the only one.
            let _ended = ended.await;
            let exit = exit_of(process.wait());
            is_reaped.set(true);
            let _nobody_waits = sender.send(exit);
            running.send_modify(|running| *running -= 1);
        });
        exit
    }
}

/// Everything up to the end, or that it is too much.
async fn read(pipe: OwnedFd, bytes_max: usize) -> io::Result<Vec<u8>> {
    let pipe = Receiver::from_owned_fd(pipe)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match pipe.try_read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) if bytes.len() + count > bytes_max => return Err(io::Error::other("it is too much")),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pipe.readable().await?,
            Err(error) => return Err(error),
        }
    }
}
