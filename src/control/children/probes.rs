//! Programs that are asked about a source's stream: run to their end, and what they have written is passed on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::base::{ChildExit, Clock, redact};
use crate::engine::CoreCommand;
use crate::source::Relayed;
use crate::source::profile::ffprobe;

use super::capture::{Capture, Captured, Limits};
use crate::control::outbox::{Asker, Outbox};
use crate::control::relay::{Lease, NO_PROXY, Relay};

/// Probes at the same time. Full: the asker is told that nothing was learnt.
const PROBES_MAX: usize = 16;
/// A description of every stream of a large multiplex is a tenth of this.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// The probes that run.
pub(in crate::control) struct Probes {
    capture: Capture,
    outbox: Rc<Outbox>,
    relay: Rc<Relay>,
    clock: Clock,
    /// Each one's leave to go on: it ends when this is dropped.
    running: RefCell<BTreeMap<Asker, oneshot::Sender<()>>>,
}

impl Probes {
    /// `trampoline` is this program's own binary.
    pub(in crate::control) fn new(
        trampoline: PathBuf,
        outbox: Rc<Outbox>,
        relay: Rc<Relay>,
        clock: Clock,
    ) -> Self {
        Self { capture: Capture::new(trampoline), outbox, relay, clock, running: RefCell::default() }
    }

    /// Starts a probe and tells the core what it has written; of one that is stopped, that it is gone.
    pub(in crate::control) fn start(
        self: &Rc<Self>,
        name: Asker,
        program: OsString,
        mut arguments: Vec<OsString>,
        relayed: Option<Box<Relayed>>,
    ) {
        if self.running.borrow().len() >= PROBES_MAX {
            return self.answer(name, Err("too many probes run".to_owned()));
        }
        let lease = match self.relay.lend(relayed, &mut arguments, self.clock) {
            Ok(lease) => lease,
            Err(error) => return self.answer(name, Err(format!("listen for it: {error}"))),
        };
        let (leave, stopped) = oneshot::channel();
        self.running.borrow_mut().insert(name, leave);
        let probes = Rc::clone(self);
        tokio_uring::spawn(async move {
            let unwanted = async {
                let _dropped = stopped.await;
            };
            let captured = probes.run(&program, &arguments, unwanted).await;
            probes.running.borrow_mut().remove(&name);
            let captured = captured.map(|captured| shown(captured, lease.as_ref()));
            // What it has read through us is not connected any more when that is told.
            drop(lease);
            probes.answer(name, captured);
        });
    }

    /// Ends a probe, if there is one of that name.
    pub(in crate::control) fn stop(&self, name: Asker) {
        self.running.borrow_mut().remove(&name);
    }

    /// Ends all; nothing is started any more.
    pub(in crate::control) fn stop_all(&self) {
        self.capture.stop();
    }

    /// Returns when nothing runs.
    pub(in crate::control) async fn ended(&self) {
        self.capture.ended().await;
    }

    async fn run(
        &self,
        program: &OsStr,
        arguments: &[OsString],
        unwanted: impl Future<Output = ()>,
    ) -> Result<Captured, String> {
        let limits = Limits { time: ffprobe::TIMEOUT, output_bytes: OUTPUT_BYTES_MAX };
        let environment = [(NO_PROXY.0, OsStr::new(NO_PROXY.1))];
        self.capture.run_until(program, &environment, arguments, limits, unwanted).await
    }

    fn answer(&self, (core, ticket): Asker, captured: Result<Captured, String>) {
        let (exit, stdout, stderr) = match captured {
            Ok(Captured { exit, stdout: Ok(stdout), stderr }) => (exit, stdout, stderr),
            Ok(Captured { exit, stdout: Err(error), .. }) => (exit, Vec::new(), error.to_string()),
            // As a shell says that there was nothing to run.
            Err(reason) => (Some(ChildExit::Code(127)), Vec::new(), reason),
        };
        self.outbox.send(core, CoreCommand::Probed { ticket, exit, stdout, stderr });
    }
}

/// What a probe has said, with the addresses that it has read through us.
fn shown(captured: Captured, lease: Option<&Lease>) -> Captured {
    let Some(lease) = lease else { return captured };
    let shown = lease.shown();
    let lines: Vec<_> = captured.stderr.lines().map(|line| redact::text(&shown.line(line))).collect();
    Captured { stderr: lines.join("\n"), ..captured }
}
