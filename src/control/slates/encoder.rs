//! One run of ffmpeg that ends by itself and whose output is wanted whole.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::base::ChildExit;
use crate::control::children::{exit_of, signal_group};
use crate::control::spawn::{Spawned, find, spawn};
use crate::control::stderr_tail::StderrTail;

/// Two seconds of a black picture take an encoder less than one; a machine that needs this long is better off
/// without.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Nothing it makes is this long.
const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// Characters of its complaints in an error.
const COMPLAINT_CHARS_MAX: usize = 300;

/// Starts ffmpeg, one at a time.
pub(in crate::control) struct Encoder {
    trampoline: PathBuf,
    program: OsString,
    /// True when no more is to be encoded.
    stop: watch::Sender<bool>,
    /// Encoders that are not reaped yet.
    running: watch::Sender<usize>,
}

impl Encoder {
    /// `trampoline` is this program's own binary, `program` ffmpeg.
    pub(in crate::control) fn new(trampoline: PathBuf, program: OsString) -> Self {
        Self { trampoline, program, stop: watch::Sender::new(false), running: watch::Sender::new(0) }
    }

    /// Ends what runs; nothing is started any more.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when nothing runs.
    pub(super) async fn ended(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let mut running = self.running.subscribe();
        let _none_left = running.wait_for(|running| *running == 0).await;
    }

    /// What ffmpeg writes to its standard output, or why it is not to be had.
    pub(super) async fn run(&self, arguments: &[String]) -> Result<Vec<u8>, String> {
        let mut stop = self.stop.subscribe();
        if *stop.borrow_and_update() {
            return Err("the service is ending".to_owned());
        }
        let Spawned { process, stdout, mut stderr, ended } = self.spawn(arguments)?;
        let group = Pid::from_raw(i32::try_from(process.id()).expect("process numbers are small"));
        let mut exit = self.reap(process, ended);
        let work = async {
            let (output, ()) = tokio::join!(read(stdout), stderr.read_to_end());
            (output, (&mut exit).await.unwrap_or(ChildExit::Code(-1)))
        };
        let result = tokio::select! {
            done = timeout(TIMEOUT, work) => {
                done.map_err(|_elapsed| format!("{} took too long", self.program.to_string_lossy()))
            }
            _stopped = stop.wait_for(|stop| *stop) => Err("the service is ending".to_owned()),
        };
        let (output, exit) = result.inspect_err(|_unfinished| signal_group(group, Signal::SIGKILL))?;
        let program = self.program.to_string_lossy();
        // First: a child whose output is not taken ends by that.
        let output = output.map_err(|error| format!("read what {program} writes: {error}"))?;
        if exit != ChildExit::Code(0) {
            return Err(format!("{program} ended ({exit}){}", complaint(&stderr)));
        }
        Ok(output)
    }

    /// What viewers need goes first, where the system has the means.
    fn spawn(&self, arguments: &[String]) -> Result<Spawned, String> {
        let own = arguments.iter().map(OsString::from);
        if find(&self.program).is_ok() && find(OsStr::new("nice")).is_ok() {
            let words = ["-n", "10"].map(OsString::from).into_iter();
            let all: Vec<_> = words.chain([self.program.clone()]).chain(own).collect();
            return spawn(&self.trampoline, OsStr::new("nice"), &all);
        }
        spawn(&self.trampoline, &self.program, &own.collect::<Vec<_>>())
    }

    /// Reaps the child whenever it ends, whoever waits for it.
    fn reap(&self, mut process: Child, ended: oneshot::Receiver<()>) -> oneshot::Receiver<ChildExit> {
        let (sender, exit) = oneshot::channel();
        let running = self.running.clone();
        running.send_modify(|running| *running += 1);
        tokio_uring::spawn(async move {
            // An error says that the waiting thread is gone; the wait below is then the only one.
            let _ended = ended.await;
            let _nobody_waits = sender.send(exit_of(process.wait()));
            running.send_modify(|running| *running -= 1);
        });
        exit
    }
}

/// Everything up to the end, or that it is too much.
async fn read(pipe: OwnedFd) -> io::Result<Vec<u8>> {
    let pipe = Receiver::from_owned_fd(pipe)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match pipe.try_read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) if bytes.len() + count > OUTPUT_BYTES_MAX => {
                return Err(io::Error::other("it is too much"));
            }
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pipe.readable().await?,
            Err(error) => return Err(error),
        }
    }
}

/// The last thing it said.
fn complaint(stderr: &StderrTail) -> String {
    let text = stderr.text();
    let Some(last) = text.lines().rev().find(|line| !line.trim().is_empty()) else { return String::new() };
    format!(": {}", last.trim().chars().take(COMPLAINT_CHARS_MAX).collect::<String>())
}
