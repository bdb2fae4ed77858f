//! ffmpeg, one at a time.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::base::ChildExit;
use crate::control::children::{Capture, Captured, Limits, find};

/// Two seconds of a black picture take an encoder less than one; a machine that needs longer is better off without.
/// Nothing it makes is as much.
const LIMITS: Limits = Limits { time: Duration::from_secs(30), output_bytes: 8 * 1024 * 1024 };
/// Characters of its complaints in an error.
const COMPLAINT_CHARS_MAX: usize = 300;

/// Starts ffmpeg, one at a time.
pub(in crate::control) struct Encoder {
    capture: Capture,
    program: OsString,
}

impl Encoder {
    /// `trampoline` is this program's own binary, `program` ffmpeg.
    pub(in crate::control) fn new(trampoline: PathBuf, program: OsString) -> Self {
        Self { capture: Capture::new(trampoline), program }
    }

    /// Ends what runs; nothing is started any more.
    pub(super) fn stop(&self) {
        self.capture.stop();
    }

    /// Returns when nothing runs.
    pub(super) async fn ended(&self) {
        self.capture.ended().await;
    }

    /// What ffmpeg writes to its standard output, or why it is not to be had.
    pub(super) async fn run(&self, arguments: &[String]) -> Result<Vec<u8>, String> {
        let Captured { exit, stdout, stderr } = self.start(arguments).await?;
        let program = self.program.to_string_lossy();
        // First: a child whose output is not taken ends by that.
        let output = stdout.map_err(|error| format!("read what {program} writes: {error}"))?;
        match exit {
            Some(ChildExit::Code(0)) => Ok(output),
            Some(exit) => Err(format!("{program} ended ({exit}){}", complaint(&stderr))),
            None => Err(format!("{program} took too long")),
        }
    }

    /// What viewers need goes first, where the system has the means.
    async fn start(&self, arguments: &[String]) -> Result<Captured, String> {
        let own = arguments.iter().map(OsString::from);
        if find(&self.program).is_ok() && find(OsStr::new("nice")).is_ok() {
            let words = ["-n", "10"].map(OsString::from).into_iter();
            let all: Vec<_> = words.chain([self.program.clone()]).chain(own).collect();
            return self.capture.run(OsStr::new("nice"), &[], &all, LIMITS).await;
        }
        self.capture.run(&self.program, &[], &own.collect::<Vec<_>>(), LIMITS).await
    }
}

/// The last thing it said.
fn complaint(stderr: &str) -> String {
    let Some(last) = stderr.lines().rev().find(|line| !line.trim().is_empty()) else { return String::new() };
    format!(": {}", last.trim().chars().take(COMPLAINT_CHARS_MAX).collect::<String>())
}
